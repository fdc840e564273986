/** Transaction mode: relations that change under statements which clients share by text, and no client pays for another's. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import type { Backend } from '../../src/wire/backend.ts';
import { createDatabase, type TestDatabase } from '../support/postgres.ts';
import { startTestGateway, type TestGateway } from './gateway.ts';
import { until } from './until.ts';
import {
	Bind,
	CloseStatement,
	DescribePortal,
	DescribeStatement,
	Execute,
	Parse,
	Sync,
	WireClient,
} from './wire-client.ts';

let database: TestDatabase;
let gateway: TestGateway;
let one: WireClient;
let other: WireClient;

beforeAll(async () => {
	database = await createDatabase({ setup: 'create table items (a int); insert into items values (1)' });
});

beforeEach(async () => {
	gateway = await startTestGateway(database, { poolSize: 1, pooled: {} });
	[one, other] = [await WireClient.open({ port: gateway.port }), await WireClient.open({ port: gateway.port })];
});

afterEach(async () => {
	one.destroy();
	other.destroy();
	await gateway.close();
});

afterAll(async () => {
	await database?.drop();
});

const errorsOf = (messages: readonly Backend[]) =>
	messages.flatMap((message) => (message.type === 'ErrorResponse' ? [message.fields.get('C')] : []));
const columnsOf = (messages: readonly Backend[]) =>
	messages.flatMap((message) => (message.type === 'RowDescription' ? message.fields.map(({ name }) => name) : []));

/** Prepares and runs it as a driver does. */
async function prepare(client: WireClient, sql: string, name: string): Promise<Backend[]> {
	client.send(Parse(sql, name), DescribeStatement(name), Bind([], name), Execute(), Sync);
	return client.ready();
}

it('temporary tables of one name are those of each client, though both have them in one schema', async () => {
	await one.query('create temp table mine (a int)');
	expect(columnsOf(await prepare(one, 'select * from mine', 's'))).toEqual(['a']);
	await one.query('drop table mine');
	await other.query('create temp table mine (b text, c int)');
	const heard = await prepare(other, 'select * from mine', 's');
	expect(errorsOf(heard)).toEqual([]);
	expect(columnsOf(heard)).toEqual(['b', 'c']);
	await other.query('drop table mine');
});

it('what is parsed anew gives what the relation has by now, and what was prepared before is refused as by the server', async () => {
	const text = 'select * from items';
	expect(columnsOf(await prepare(one, text, 's'))).toEqual(['a']);
	await database.sql('alter table items add b int');
	// Nobody knows of the change yet.
	other.send(Parse(text, 's'), Bind([], 's'), DescribePortal(), Execute(), Sync);
	expect(errorsOf(await other.ready())).toEqual(['0A000']);
	const heard = await prepare(other, text, 't');
	expect(errorsOf(heard)).toEqual([]);
	expect(columnsOf(heard)).toEqual(['a', 'b']);
	for (const _ of [1, 2]) {
		one.send(Bind([], 's'), Execute(), Sync);
		expect(errorsOf(await one.ready())).toEqual(['0A000']);
	}
	expect(columnsOf(await prepare(one, text, 'again'))).toEqual(['a', 'b']);
	other.send(Bind([], 's'), DescribePortal(), Execute(), Sync);
	expect(columnsOf(await other.ready())).toEqual(['a', 'b']);
	// The one that was replaced is closed.
	const names = "select count(*) from pg_prepared_statements where statement = 'select * from items'";
	const [count] = (await other.query(names)).filter((message) => message.type === 'DataRow');
	expect(count?.type === 'DataRow' && String(count.values[0])).toBe('1');
});

it.each(['s', ''])(
	'a statement "%s" that returns something else on another backend is refused, and the session goes on',
	async (name) => {
		const text = `select * from items as of_${name.length}`;
		const [{ n } = {}] = await database.sql(
			"select count(*) as n from information_schema.columns where table_name = 'items'",
		);
		expect(errorsOf(await prepare(one, text, name))).toEqual([]);
		await database.sql(`alter table items add more_${String(n)} int`);
		await database.sql(
			'select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()',
		);
		await until(() => gateway.pool.stats.idle === 0);
		for (const _ of [1, 2]) {
			one.send(Bind([], name), DescribePortal(), Execute(), Sync);
			expect(errorsOf(await one.ready())).toEqual(['0A000']);
		}
		one.send(CloseStatement(name), Sync);
		await one.ready();
		expect(columnsOf(await prepare(one, text, name))).toContain(`more_${String(n)}`);
	},
);

it('EXECUTE of what was prepared by Parse is described as that', async () => {
	one.send(
		Parse('select 1 as number', 'named'),
		Sync,
		Parse('execute named'),
		DescribeStatement(),
		Bind(),
		Execute(),
		Sync,
	);
	const heard = await one.ready(2);
	expect(columnsOf(heard)).toEqual(['number']);
	expect(heard.filter(({ type }) => type === 'DataRow').length).toBe(1);
});

it('DDL is looked at when its transaction is over, whether or not its client goes on', async () => {
	await one.query('begin');
	await one.query('create table fresh (a int)');
	const before = gateway.refreshes.count;
	await one.query('commit');
	// Once for COMMIT itself, which is decided too, and once for what it did.
	expect(gateway.refreshes.count).toBe(before + 2);
	await one.query('select 1');
	expect(gateway.refreshes.count).toBe(before + 2);
	await one.query('drop table fresh');
});
