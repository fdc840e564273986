/** A database spread over two clusters, through the whole gateway: chosen at the login by parameter and by claim, each with its own catalogue. */
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { GATEWAY_ROLE } from '../../src/cli/demo/shop.ts';
import { shopDatabase, startGateway, type TestGateway } from '../support/gateway.ts';
import { createDatabase, type TestDatabase } from '../support/postgres.ts';

let eu: TestDatabase;
let us: TestDatabase;
let gateway: TestGateway;

const POLICY = `
p, *, orders, connect, allow
p, *, orders.public.*, select, allow
p, *, mine, connect, allow
p, *, mine.public.*, select, allow
p, *, plain, connect, allow
p, *, moving, connect, allow
p, *, moving.public.*, select, allow
p, user:ana, moving, temp, allow
p, user:ana, moving, listen, allow
p, user:ana, portcullis, connect, allow
`;

/** Each shard has a table that the other has not, and one that both have with other columns. */
function setup(name: string, columns: string): string {
	return `create table public.place (${columns}); insert into public.place (name) values ('${name}');
		create table public.only_${name} (id int); grant select on all tables in schema public to ${GATEWAY_ROLE}`;
}

beforeAll(async () => {
	// It makes the role that both grant to.
	await (await shopDatabase()).drop();
	[eu, us] = await Promise.all([
		createDatabase({ setup: setup('eu', 'name text') }),
		createDatabase({ setup: setup('us', 'region int default 7, name text') }),
	]);
	const { host, port } = eu;
	const shards = {
		eu: { host, port, dbname: eu.database },
		us: { host: [host], port, dbname: us.database, targetSessionAttrs: 'primary' },
	};
	const own = { user: GATEWAY_ROLE, password: { env: 'SHOP_PASSWORD' } };
	gateway = await startGateway({
		policies: { 'policy.csv': POLICY },
		configure: (config) => {
			const { databases } = config;
			config['limits'] = { poolWaitMs: 500 };
			databases['orders'] = { ...own, shards };
			databases['mine'] = { ...own, shards, shardBy: { by: 'claim', claim: 'tenant', map: { acme: 'eu' } } };
			const lost = { host, port: 1, dbname: 'lost' };
			databases['moving'] = { ...own, shards: { ...shards, lost }, pool: { mode: 'transaction', size: 3 } };
			databases['plain'] = { ...own, host, port, dbname: eu.database };
		},
	});
});
afterAll(async () => {
	await gateway?.stop();
	await Promise.all([eu?.drop(), us?.drop()]);
});

const asking = (shard: string): { options: string } => ({ options: `-c portcullis.shard=${shard}` });

async function rowsOf(name: string, database: string, sql: string, more: object = {}): Promise<unknown[]> {
	const client = await gateway.connect(name, { database, ...more });
	try {
		return (await client.query<Record<string, unknown>>(sql)).rows;
	} finally {
		await client.end();
	}
}

describe('by parameter', () => {
	test('the client chooses, and names mean what they mean there', async () => {
		expect(await rowsOf('ben', 'orders', 'select * from place', asking('eu'))).toEqual([{ name: 'eu' }]);
		expect(await rowsOf('ben', 'orders', 'select * from place', asking('us'))).toEqual([{ region: 7, name: 'us' }]);
		// The same text again, now that both decisions are remembered.
		expect(await rowsOf('ben', 'orders', 'select * from place', asking('eu'))).toEqual([{ name: 'eu' }]);
		expect(await rowsOf('ben', 'orders', 'select * from only_eu', asking('eu'))).toEqual([]);
		await expect(rowsOf('ben', 'orders', 'select * from only_eu', asking('us'))).rejects.toMatchObject({
			code: '42P01',
		});
	});

	test('nothing asked for, or what there is not, is an error that says what there is', async () => {
		const hint = 'Connect with options=-c portcullis.shard=NAME; there are: eu, us.';
		await expect(gateway.connect('ben', { database: 'orders' })).rejects.toMatchObject({ code: '22023', hint });
		await expect(gateway.connect('ben', { database: 'orders', ...asking('uk') })).rejects.toMatchObject({
			code: '22023',
			hint,
		});
		await expect(gateway.connect('ben', { database: 'plain', ...asking('eu') })).rejects.toMatchObject({
			code: '22023',
			message: 'database "plain" has no shards, so portcullis.shard cannot be set for it',
		});
	});

	test('it cannot be changed later in session mode, and nothing runs where it was not meant to', async () => {
		const client = await gateway.connect('ben', { database: 'orders', ...asking('eu') });
		for (const sql of ["set portcullis.shard = 'us'", '/* portcullis.shard = us */ select * from place'])
			await expect(client.query(sql)).rejects.toMatchObject({ code: '0A000' });
		await expect(client.query('/* portcullis.shard: ? */ select 1')).rejects.toMatchObject({ code: '42601' });
		expect((await client.query('/* portcullis.shard = eu */ select * from place')).rows).toEqual([{ name: 'eu' }]);
		await client.end();
	});
});

describe('in transaction mode', () => {
	let client: pg.Client;
	beforeEach(async () => {
		client = await gateway.connect('ben', { database: 'moving', ...asking('eu') });
	});
	afterEach(() => client.end());

	const nameOf = async (sql = 'select name from place'): Promise<unknown> =>
		(await client.query<{ name: string }>(sql)).rows[0]?.name;

	test('SET moves the session, and every way to write it that is taken', async () => {
		const ways = [
			"set portcullis.shard = 'us'",
			'SET portcullis.shard TO EU',
			'set session portcullis.shard=us;',
			"set portcullis.shard to 'eu'",
		];
		for (const [index, sql] of ways.entries()) {
			expect(await client.query(sql)).toMatchObject({ command: 'SET' });
			expect(await nameOf()).toBe(index % 2 === 0 ? 'us' : 'eu');
		}
		expect((await client.query('select * from only_eu')).rows).toEqual([]);
		await expect(client.query('select * from only_us')).rejects.toMatchObject({ code: '42P01' });
	});

	test('the ways that are not taken are refused, and move nothing', async () => {
		const ways = [
			"set portcullis.shard = 'us'; select 1",
			"set local portcullis.shard = 'us'",
			"select set_config('portcullis.shard', 'us', false)",
			'reset portcullis.shard',
			'set portcullis.shard to default',
			'set portcullis.shard to eu, us',
		];
		for (const sql of ways) {
			await expect(client.query(sql)).rejects.toMatchObject({ code: '42501' });
			expect(await nameOf()).toBe('eu');
		}
	});

	test('a comment in front moves it too, with parameters and in prepared statements', async () => {
		expect(await nameOf('/* portcullis.shard = us */ select name from place')).toBe('us');
		expect(await nameOf()).toBe('us');
		const both = { name: 'both', text: 'select name from place where name <> $1', values: ['x'] };
		const bound = {
			name: 'bound',
			text: "/*portcullis.shard: 'eu'*/ select name from place where name <> $1",
			values: ['x'],
		};
		expect((await client.query(both)).rows).toEqual([{ name: 'us' }]);
		expect((await client.query(bound)).rows).toEqual([{ name: 'eu' }]);
		// Prepared on one shard, run on the other; and the one with the comment goes where that says.
		expect((await client.query(both)).rows).toEqual([{ name: 'eu' }]);
		await client.query("set portcullis.shard = 'us'");
		expect((await client.query(both)).rows).toEqual([{ name: 'us' }]);
		expect((await client.query(bound)).rows).toEqual([{ name: 'eu' }]);
		expect(await nameOf()).toBe('eu');
	});

	test('a shard that there is not, or that cannot be reached, leaves it where it was', async () => {
		await expect(client.query("set portcullis.shard = 'uk'")).rejects.toMatchObject({ code: '22023' });
		expect(await nameOf()).toBe('eu');
		await expect(client.query("set portcullis.shard = 'lost'")).rejects.toMatchObject({ code: '08001' });
		expect(await nameOf()).toBe('eu');
		await expect(client.query('/* portcullis.shard = lost */ select name from place')).rejects.toMatchObject({
			code: '08001',
		});
		expect(await nameOf()).toBe('eu');
	});

	test('not in a transaction, nor with a temporary table', async () => {
		const row = '/* portcullis.shard = us */ select name from place';
		for (const sql of ["set portcullis.shard = 'us'", row]) {
			await client.query('begin');
			await expect(client.query(sql)).rejects.toMatchObject({ code: '25001' });
			await client.query('rollback');
			expect(await nameOf()).toBe('eu');
		}
		await client.query('begin');
		expect(await nameOf('/* portcullis.shard = eu */ select name from place')).toBe('eu');
		await client.query('commit');
		const owner = await gateway.connect('ana', { database: 'moving', ...asking('eu') });
		await owner.query('create temp table mine (id int)');
		await expect(owner.query(row)).rejects.toMatchObject({ code: '25001' });
		await owner.end();
	});

	test('who listens stays where it listens, and hears what is notified there', async () => {
		const listener = await gateway.connect('ana', { database: 'moving', ...asking('eu') });
		const heard: string[] = [];
		listener.on('notification', ({ payload = '' }) => heard.push(payload));
		await listener.query('listen news');
		await expect(listener.query("set portcullis.shard = 'us'")).rejects.toMatchObject({ code: '25001' });
		await us.sql("notify news, 'us'");
		await eu.sql("notify news, 'eu'");
		await listener.query('select name from place');
		expect(heard).toEqual(['eu']);
		await listener.query('unlisten *');
		await listener.query("set portcullis.shard = 'us'");
		await listener.query('listen news');
		await eu.sql("notify news, 'eu'");
		await us.sql("notify news, 'us'");
		await listener.query('select name from place');
		expect(heard).toEqual(['eu', 'us']);
		await listener.end();
	});

	test('each statement is on record with the shard that it was for', async () => {
		await client.query('select name, 1 as marked from place');
		await client.query("set portcullis.shard = 'us'");
		await client.query('select name, 1 as marked from place');
		const shardsOf = async (text: string): Promise<unknown[]> => {
			const records = (await gateway.audit()) as {
				query_info?: { query_string?: string };
				unmapped?: { shard?: string };
			}[];
			return records
				.filter(({ query_info }) => query_info?.query_string === text)
				.map(({ unmapped }) => unmapped?.shard);
		};
		expect(await shardsOf('select name, 1 as marked from place')).toEqual(['eu', 'us']);
		expect((await shardsOf("set portcullis.shard = 'us'")).at(-1)).toBe('us');
	});
});

describe('by claim', () => {
	test('it is not for the client to choose', async () => {
		const client = await gateway.connect('ben', { database: 'mine' });
		for (const sql of ["set portcullis.shard = 'us'", '/* portcullis.shard = us */ select name from place'])
			await expect(client.query(sql)).rejects.toMatchObject({
				code: '42501',
				message: 'permission denied for shard "us" of database "mine"',
			});
		await client.end();
		expect(await rowsOf('ben', 'mine', 'select name from place')).toEqual([{ name: 'eu' }]);
		expect(await rowsOf('ben', 'mine', 'select name from place', asking('eu'))).toEqual([{ name: 'eu' }]);
		await expect(gateway.connect('ben', { database: 'mine', ...asking('us') })).rejects.toMatchObject({
			code: '42501',
		});
	});

	test('who has none is refused', async () => {
		const message = 'database "mine" has no shard for this user: the claim tenant does not name one';
		await expect(gateway.connect('gita', { database: 'mine' })).rejects.toMatchObject({ code: '22023', message });
	});
});

test('the console shows each shard with its pool, and its hosts where there is a choice', async () => {
	const databases = await rowsOf('ana', 'portcullis', 'show databases');
	expect(databases).toMatchObject([
		{ name: 'shop' },
		{ name: 'orders/eu', database: eu.database },
		{ name: 'orders/us', database: us.database },
		{ name: 'mine/eu' },
		{ name: 'mine/us' },
		{ name: 'moving/eu' },
		{ name: 'moving/us' },
		{ name: 'moving/lost' },
		{ name: 'plain' },
	]);
	const hosts = await rowsOf('ana', 'portcullis', 'show hosts');
	expect(hosts).toMatchObject([
		{ database: 'orders', shard: 'us', state: 'primary', used: 1 },
		{ database: 'mine', shard: 'us', state: 'primary', used: 1 },
		{ database: 'moving', shard: 'us', state: 'primary', used: 1 },
	]);
});
