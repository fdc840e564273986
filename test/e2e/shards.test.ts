/** A database spread over two clusters, through the whole gateway: chosen at the login by parameter and by claim, each with its own catalogue. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
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
		configure: ({ databases }) => {
			databases['orders'] = { ...own, shards };
			databases['mine'] = { ...own, shards, shardBy: { by: 'claim', claim: 'tenant', map: { acme: 'eu' } } };
			databases['plain'] = { ...own, host, port, dbname: eu.database };
		},
	});
}, 60_000);
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

	test('it cannot be changed later', async () => {
		const client = await gateway.connect('ben', { database: 'orders', ...asking('eu') });
		await expect(client.query("set portcullis.shard = 'us'")).rejects.toMatchObject({ code: '42501' });
		expect((await client.query('/* portcullis.shard = us */ select * from place')).rows).toEqual([{ name: 'eu' }]);
		await client.end();
	});
});

describe('by claim', () => {
	test('it is not for the client to choose', async () => {
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
		{ name: 'plain' },
	]);
	const hosts = await rowsOf('ana', 'portcullis', 'show hosts');
	expect(hosts).toMatchObject([
		{ database: 'orders', shard: 'us', state: 'primary', used: 1 },
		{ database: 'mine', shard: 'us', state: 'primary', used: 1 },
	]);
});
