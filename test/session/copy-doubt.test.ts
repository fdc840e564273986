/** A COPY that fails while Syncs are under way: nobody can know how many of them are answered, and no answer may go astray. */
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import type { Backend } from '../../src/wire/backend.ts';
import { createDatabase, type TestDatabase } from '../support/postgres.ts';
import { converse, openDirect, type Turn } from './converse.ts';
import { startTestGateway, type TestGateway } from './gateway.ts';
import { until } from './until.ts';
import {
	Bind,
	CopyData,
	CopyDone,
	DescribePortal,
	Execute,
	Flush,
	Parse,
	Query,
	Sync,
	WireClient,
} from './wire-client.ts';

let database: TestDatabase;
let gateway: TestGateway;

beforeAll(async () => {
	database = await createDatabase({
		setup: `create view seen as select 1 as a;
		create table once (id int primary key, secret text);
		insert into once values (1, 'raw')`,
	});
});

afterEach(async () => {
	await gateway.close();
});

afterAll(async () => {
	await database?.drop();
});

/** The server answers both Syncs: the COPY fails before it takes data. */
const blindly = [Parse('copy seen from stdin'), Bind(), Execute(), Sync, CopyDone, Sync];

const errorsOf = (messages: readonly Backend[]) =>
	messages.flatMap((message) => (message.type === 'ErrorResponse' ? [Object.fromEntries(message.fields)] : []));

it.each<{ readonly name: string; readonly turns: readonly Turn[] }>([
	{
		name: 'a Sync behind the data that it fails for',
		turns: [
			{ send: [Query('copy once from stdin')], until: 'CopyInResponse' },
			{ send: [CopyData('2\n'), Sync, CopyDone, Query('select 1'), Query('select 2')], until: 4 },
			{ send: [Parse('copy once from stdin'), Bind(), Execute(), Flush], until: 'CopyInResponse' },
			{ send: [CopyData('2\n'), Sync, Sync, CopyDone, Sync, Query('select 3'), Query('select 4')], until: 5 },
		],
	},
	{
		name: 'Syncs before and behind the data that it fails for',
		turns: [
			{ send: [Query('copy once from stdin')], until: 'CopyInResponse' },
			{ send: [CopyData('2\tx\n'), Sync, CopyData('x\n'), Sync, CopyDone, Query('select 1')], until: 3 },
		],
	},
	{
		name: 'a failure before it takes data',
		turns: [
			{ send: [...blindly, Query('select 1'), Query('select 2/0'), Query('select 3')], until: 5 },
			{ send: [...blindly, Parse('select 4'), Bind(), Execute(), Sync], until: 3 },
		],
	},
])('$name: the same as directly', async ({ turns }) => {
	gateway = await startTestGateway(database);
	const wanted = await converse(await openDirect(database), turns);
	expect(await converse(await WireClient.open({ port: gateway.port }), turns)).toEqual(wanted);
});

it('what a protected statement says is not taken for the answer to the next one', async () => {
	gateway = await startTestGateway(database);
	const client = await WireClient.open({ port: gateway.port });
	client.send(...blindly, Query("insert into once values (1, 'protect_me')"), Query('select 1'), Query('select 2'));
	const heard = await client.ready(5);
	const [, told] = errorsOf(heard);
	expect(told).toMatchObject({ C: '23505' });
	expect(told).not.toHaveProperty('D');
	expect(heard.flatMap((message) => (message.type === 'DataRow' ? [String(message.values[0])] : []))).toEqual([
		'1',
		'2',
	]);
	const [, insert, ...selects] = gateway.pipeline.recorded.filter(({ record }) => record.phase === 'execute');
	expect(insert?.outcomes).toMatchObject([{ status: 'failure', sqlstate: '23505' }]);
	expect(selects.map(({ outcomes }) => outcomes[0]?.status)).toEqual(['success', 'success']);
	client.destroy();
});

it('in transaction mode the connection stays with its client, and is closed behind it', async () => {
	gateway = await startTestGateway(database, { poolSize: 1, pooled: {} });
	const client = await WireClient.open({ port: gateway.port });
	const pidOf = async (one: WireClient): Promise<string> => {
		one.send(Parse('select pg_backend_pid()'), Bind(), DescribePortal(), Execute(), Sync);
		const row = (await one.ready()).find((message) => message.type === 'DataRow');
		return String(row?.type === 'DataRow' && row.values[0]);
	};
	const pid = await pidOf(client);
	client.send(Query('copy once from stdin'));
	await client.until('CopyInResponse');
	client.send(CopyData('2\tx\n'), Sync, CopyData('bad\n'), CopyDone);
	expect(errorsOf(await client.ready()).map(({ C }) => C)).toEqual(['22P02']);
	// It took the Sync for a part of the COPY, which the gateway cannot know.
	await until(() => gateway.pool.stats.pinned?.unknown === 1);
	expect(await pidOf(client)).toBe(pid);
	client.destroy();
	const other = await WireClient.open({ port: gateway.port });
	expect(await pidOf(other)).not.toBe(pid);
	other.destroy();
});
