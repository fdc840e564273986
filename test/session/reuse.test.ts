/** Session mode with `reuse`: which ends of a conversation leave a server connection that the next client may have. */
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { encodeCancelRequest } from '../../src/wire/encode.ts';
import { createDatabase, type TestDatabase } from '../support/postgres.ts';
import { startTestGateway, type TestGateway } from './gateway.ts';
import { until } from './until.ts';
import { Bind, CopyData, Execute, Flush, Parse, Query, Sync, Terminate, WireClient } from './wire-client.ts';

let database: TestDatabase;
let gateway: TestGateway;

beforeAll(async () => {
	database = await createDatabase({ setup: 'create table t (a int)' });
	gateway = await startTestGateway(database, { poolSize: 2, reusing: {} });
});

afterAll(async () => {
	await gateway?.close();
	await database?.drop();
});

async function ask(client: WireClient, sql: string): Promise<string | undefined> {
	const [row] = (await client.query(sql)).filter(({ type }) => type === 'DataRow');
	return row?.type === 'DataRow' ? row.values[0]?.toString() : undefined;
}

async function left(): Promise<void> {
	const { listener, pool } = gateway;
	await until(() => listener.stats.sessions === 0 && pool.stats.leased + pool.stats.connecting === 0);
}

async function leave(client: WireClient): Promise<void> {
	client.send(Terminate);
	await client.rest();
	await left();
}

const pidOf = (client: WireClient): Promise<string | undefined> => ask(client, 'select pg_backend_pid()');

interface End {
	readonly name: string;
	readonly act: (client: WireClient) => Promise<void>;
	/** The next client has the same connection. */
	readonly goesOn: boolean;
}

const ends: readonly End[] = [
	{ name: 'between two transactions', act: leave, goesOn: true },
	{
		name: 'with prepared statements and a temporary table',
		act: async (client) => {
			await ask(client, 'create temp table own (a int)');
			client.send(Parse('select 1', 'kept'), Bind([], 'kept'), Execute(), Sync);
			await client.ready();
			await leave(client);
		},
		goesOn: true,
	},
	{
		name: 'behind a statement that failed',
		act: async (client) => {
			await ask(client, 'select 1/0');
			await leave(client);
		},
		goesOn: true,
	},
	{
		name: 'within a transaction',
		act: async (client) => {
			await ask(client, 'begin');
			await ask(client, 'insert into t values (1)');
			await leave(client);
		},
		goesOn: false,
	},
	{
		// For the server a transaction is open, which nothing but the missing Sync tells.
		name: 'within a pipeline, all of which is answered',
		act: async (client) => {
			client.send(Parse('insert into t values (1)'), Bind(), Execute(), Flush);
			await client.until('CommandComplete');
			await leave(client);
		},
		goesOn: false,
	},
	{
		name: 'within a pipeline that has failed',
		act: async (client) => {
			client.send(Parse('select 1/0'), Bind(), Execute(), Flush);
			await client.until('ErrorResponse');
			await leave(client);
		},
		goesOn: false,
	},
	{
		name: 'within COPY',
		act: async (client) => {
			client.send(Query('copy t from stdin'));
			await client.until('CopyInResponse');
			client.send(CopyData('1\n'));
			await leave(client);
		},
		goesOn: false,
	},
	{
		// As by Terminate.
		name: 'without a word',
		act: async (client) => {
			client.socket.end();
			await left();
		},
		goesOn: true,
	},
	{
		// Until then it may not have arrived.
		name: 'behind a cancel request',
		act: async (client) => {
			const socket = connect({ host: '127.0.0.1', port: gateway.port });
			socket.end(encodeCancelRequest(client.pid, client.key));
			await new Promise((resolve) => socket.resume().once('close', resolve));
			await leave(client);
		},
		goesOn: false,
	},
];

describe('a client that leaves', () => {
	test.each(ends)('$name', async ({ act, goesOn }) => {
		const first = await WireClient.open({ port: gateway.port });
		const pid = await pidOf(first);
		await act(first);
		const next = await WireClient.open({ port: gateway.port });
		expect((await pidOf(next)) === pid).toBe(goesOn);
		expect(await ask(next, 'select count(*) from t')).toBe('0');
		expect(await ask(next, 'select count(*) from pg_prepared_statements')).toBe('0');
		expect(await ask(next, "select to_regclass('pg_temp.own') is null")).toBe('t');
		await leave(next);
	});

	test('leaves it to those who ask for the same', async () => {
		const pids: (string | undefined)[] = [];
		for (const application_name of ['one', 'other', 'one', 'other', 'third', 'other']) {
			const client = await WireClient.open({ port: gateway.port, params: { application_name } });
			expect(await ask(client, 'show application_name')).toBe(application_name);
			await ask(client, "set application_name = 'of this one alone'");
			pids.push(await pidOf(client));
			await leave(client);
		}
		const [one, other, oneAgain, otherAgain, third, otherLast] = pids;
		expect([oneAgain, otherAgain, otherLast]).toEqual([one, other, other]);
		expect(new Set([one, other, third]).size).toBe(3);
		expect(gateway.pool.stats).toEqual({ size: 2, leased: 0, connecting: 0, waiting: 0, idle: 2 });
	});

	test('counts its own bytes', async () => {
		const first = await WireClient.open({ port: gateway.port });
		await ask(first, "select repeat('x', 100000)");
		await leave(first);
		const next = await WireClient.open({ port: gateway.port });
		const [session] = gateway.listener.sessions;
		expect(session?.traffic.fromBackend).toBe(0);
		await ask(next, 'select 1');
		expect(session?.traffic.fromBackend).toBeLessThan(1000);
		await leave(next);
	});
});
