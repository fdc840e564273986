/** The databases of the configuration change while clients are at work in them: added, adjusted, replaced, removed, or with a mistake. */
import { readFile, writeFile } from 'node:fs/promises';
import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { parse, stringify } from 'yaml';
import { GATEWAY_ROLE } from '../../src/cli/demo/shop.ts';
import { shopDatabase, startGateway, type TestConfig, type TestGateway } from '../support/gateway.ts';
import type { TestDatabase } from '../support/postgres.ts';

const patience = { timeout: 30_000, interval: 50 };

const names = ['shop', 'shop_tx', 'other', 'late'];
const rules = [
	...names.flatMap((name) => [
		...['connect', 'temp'].map((action) => `p, *, ${name}, ${action}, allow`),
		...['select', 'insert'].map((action) => `p, *, ${name}.public.*, ${action}, allow`),
		`p, *, ${name}.pg_catalog.pg_sleep(*), execute, allow`,
	]),
	...['connect', 'alter'].map((action) => `p, *, portcullis, ${action}, allow`),
	'',
].join('\n');

const grant = `grant all on all tables in schema public to ${GATEWAY_ROLE}`;
const setup = `create table public.things (name text, size int); insert into public.things values ('old', 1); ${grant}`;
const otherSetup = `create table public.things (colour text, size int, name text);
	insert into public.things values ('red', 2, 'new'); ${grant}`;

let gateway: TestGateway;
let second: TestDatabase;
const clients: pg.Client[] = [];

beforeEach(async () => {
	second = await shopDatabase(otherSetup);
	gateway = await startGateway({
		setup,
		policies: { 'policy.csv': rules, 'masks.yaml': '{}' },
		configure: (config) => {
			const { shop } = config.databases;
			config.databases = {
				shop: { ...shop, pool: { size: 3 } },
				shop_tx: { ...shop, pool: { mode: 'transaction', size: 2 } },
				other: { ...shop, pool: { size: 3 } },
			};
			config['limits'] = { drainTimeoutMs: 60_000, poolWaitMs: 60_000 };
		},
	});
});
afterEach(async () => {
	await Promise.all(clients.splice(0).map((client) => client.end().catch(() => undefined)));
	await gateway?.stop();
	await second?.drop();
});

/** Its errors outside of a query are in `ends`. */
async function connect(database: string): Promise<pg.Client & { ends: pg.DatabaseError[] }> {
	const client = await gateway.connect('app', { database });
	const ends: pg.DatabaseError[] = [];
	client.on('error', (error) => ends.push(error as pg.DatabaseError));
	clients.push(client);
	return Object.assign(client, { ends });
}

/** Changes the file, and has it read as SIGHUP does. */
async function change(edit: (config: TestConfig) => void): Promise<void> {
	await edited(edit);
	await gateway.gateway.reload();
}

async function edited(edit: (config: TestConfig) => void): Promise<void> {
	const config = parse(await readFile(gateway.configFile, 'utf8')) as TestConfig;
	edit(config);
	await writeFile(gateway.configFile, stringify(config));
}

async function shown(what: string): Promise<Record<string, unknown>[]> {
	const client = await connect('portcullis');
	try {
		return (await client.query<Record<string, unknown>>(`show ${what}`)).rows;
	} finally {
		await client.end();
	}
}

async function configRecords(): Promise<unknown[]> {
	const records = (await gateway.audit()).filter(
		(record) => (record['metadata'] as { event_code: string }).event_code === 'config',
	);
	return records.map(({ status, unmapped }) => ({ status, ...(unmapped as object) }));
}

const logged = (message: string): unknown[] =>
	gateway.log.filter((line) => line.message === message).map(({ fields }) => fields);

const LEFT = 'nothing is left of a database as it was configured before';

/** Server connections of the gateway that clients have, or had. */
async function backends(database: TestDatabase): Promise<number> {
	const rows = await database.sql(
		`select from pg_stat_activity where usename = '${GATEWAY_ROLE}' and datname = current_database()`,
	);
	return rows.length;
}

describe('a database that is removed', () => {
	test('lets transactions finish, ends who is idle with the reason, and is not there for anybody who comes', async () => {
		const [idle, busy, pooled, pooledBusy, bystander] = await Promise.all(
			['shop', 'shop', 'shop_tx', 'shop_tx', 'other'].map(connect),
		);
		for (const client of [busy, pooledBusy]) {
			await client?.query('begin');
			await client?.query("insert into public.things values ('kept', 7)");
		}
		await pooled?.query('select 1');
		await change(({ databases }) => {
			delete databases['shop'];
			delete databases['shop_tx'];
		});
		const words = (name: string): object => ({
			code: '57P01',
			severity: 'FATAL',
			message: `terminating connection: database "${name}" was removed from the configuration of the gateway`,
		});
		await vi.waitFor(() => expect(idle?.ends[0]).toMatchObject(words('shop')), patience);
		await vi.waitFor(() => expect(pooled?.ends[0]).toMatchObject(words('shop_tx')), patience);
		await expect(connect('shop')).rejects.toMatchObject({ code: '3D000' });
		await expect(connect('shop_tx')).rejects.toMatchObject({ code: '3D000' });
		// They are listed no more, and those who are in a transaction still work.
		const listed = async (what: string): Promise<unknown[]> =>
			(await shown(what)).map((row) => row['name'] ?? row['database']);
		expect(await listed('databases')).toEqual(['other']);
		expect(await listed('pools')).toEqual(['other']);
		expect(logged(LEFT)).toEqual([]);
		for (const [name, client] of [['shop', busy] as const, ['shop_tx', pooledBusy] as const]) {
			expect((await client?.query('select count(*)::int as n from public.things'))?.rows).toEqual([
				{ n: name === 'shop' ? 2 : 3 },
			]);
			expect((await client?.query('commit'))?.command).toBe('COMMIT');
			await vi.waitFor(() => expect(client?.ends[0]).toMatchObject(words(name)), patience);
		}
		await vi.waitFor(() => {
			expect(logged(LEFT)).toContainEqual({ database: 'shop', sessions: 2, moved: 0 });
			expect(logged(LEFT)).toContainEqual({ database: 'shop_tx', sessions: 2, moved: 0 });
		}, patience);
		// What was counted for them shows as long as anybody is there.
		expect(await listed('stats')).toEqual(['other', 'portcullis']);
		// That of the bystander, and that of its catalogue while it looks.
		await vi.waitFor(async () => expect(await backends(gateway.backend)).toBeLessThanOrEqual(2), patience);
		expect((await bystander?.query('select name from public.things where size = 1'))?.rows).toEqual([{ name: 'old' }]);
		expect(await gateway.backend.sql("select from public.things where name = 'kept'")).toHaveLength(2);
		expect(await configRecords()).toEqual([
			{
				status: 'Success',
				trigger: 'signal',
				changes: ['databases.shop is not there any more', 'databases.shop_tx is not there any more'],
			},
		]);
		const ends = (await gateway.audit()).filter((record) => JSON.stringify(record).includes('"configuration"'));
		expect(ends.length).toBeGreaterThanOrEqual(4);
	});

	test('ends transactions too when their time is up', async () => {
		await gateway.stop();
		gateway = await startGateway({
			setup,
			policies: { 'policy.csv': rules, 'masks.yaml': '{}' },
			configure: (config) => {
				config.databases['other'] = { ...config.databases['shop'] };
				config['limits'] = { drainTimeoutMs: 200 };
			},
		});
		const busy = await connect('shop');
		await busy.query('begin');
		await change(({ databases }) => {
			delete databases['shop'];
		});
		await vi.waitFor(() => expect(busy.ends[0]).toMatchObject({ code: '57P01' }), patience);
		await vi.waitFor(() => expect(logged(LEFT)).toEqual([{ database: 'shop', sessions: 1, moved: 0 }]), patience);
	});

	test('tells those who wait for a server connection, in a full pool', async () => {
		await change(({ databases }) => {
			for (const name of ['shop', 'shop_tx']) Object.assign(databases[name]?.['pool'] as object, { size: 1 });
		});
		const [holder, pooled, waiter] = await Promise.all(['shop', 'shop_tx', 'shop_tx'].map(connect));
		await holder?.query('begin');
		await pooled?.query('begin');
		const waiting = waiter?.query('select 1');
		const login = connect('shop');
		const refused = Promise.all([
			expect(waiting).rejects.toMatchObject({ code: '57P01', message: /removed from the configuration/ }),
			expect(login).rejects.toMatchObject({ code: '57P01', message: /removed from the configuration/ }),
		]);
		await vi.waitFor(async () => {
			const waits = (await shown('pools')).map(({ database, cl_waiting: count }) => [database, count]);
			expect(waits).toContainEqual(['shop', 1]);
			expect(waits).toContainEqual(['shop_tx', 1]);
		}, patience);
		await change(({ databases }) => {
			delete databases['shop'];
			delete databases['shop_tx'];
		});
		await refused;
		await Promise.all([holder?.query('rollback'), pooled?.query('rollback')]);
		await vi.waitFor(() => expect(logged(LEFT)).toHaveLength(2), patience);
	});

	test('does not keep the gateway from stopping', async () => {
		const busy = await connect('shop');
		await busy.query('begin');
		await change(({ databases }) => {
			delete databases['shop'];
		});
		await gateway.gateway.close(0);
		await vi.waitFor(() => expect(busy.ends[0]).toMatchObject({ code: '57P01' }), patience);
	});
});

describe('a database that is added', () => {
	test('can be connected to at once, and is counted', async () => {
		await expect(connect('late')).rejects.toMatchObject({ code: '3D000' });
		await change(({ databases }) => {
			databases['late'] = { ...databases['shop'], dbname: second.database };
		});
		const client = await connect('late');
		expect((await client.query('select * from public.things')).rows).toEqual([{ colour: 'red', size: 2, name: 'new' }]);
		const stats = (await shown('stats')).find(({ database }) => database === 'late');
		expect(stats).toMatchObject({ total_query_count: '1' });
		expect((await shown('config')).map(({ key }) => key)).toContain('databases.late.dbname');
	});
});

describe('a database that is another', () => {
	test('is looked at anew: nothing that was decided for the old one is used again', async () => {
		const [old, pooled] = await Promise.all(['shop', 'shop_tx'].map(connect));
		const text = 'select * from public.things';
		for (const client of [old, pooled]) expect((await client?.query(text))?.rows).toEqual([{ name: 'old', size: 1 }]);
		await change(({ databases }) => {
			for (const name of ['shop', 'shop_tx']) Object.assign(databases[name] as object, { dbname: second.database });
		});
		await vi.waitFor(
			() =>
				expect(old?.ends[0]).toMatchObject({
					code: '57P01',
					message: expect.stringMatching(/the configuration of database "shop" has changed/) as string,
				}),
			patience,
		);
		// In transaction mode it goes on (moving.test.ts).
		expect((await pooled?.query(text))?.rows).toEqual([{ colour: 'red', size: 2, name: 'new' }]);
		expect(pooled?.ends).toEqual([]);
		for (const name of ['shop', 'shop_tx']) {
			const client = await connect(name);
			expect((await client.query(text)).rows).toEqual([{ colour: 'red', size: 2, name: 'new' }]);
			await expect(client.query("insert into public.things values ('x', 1, 'y', 3)")).rejects.toMatchObject({
				code: '42601',
			});
		}
		await vi.waitFor(() => expect(logged(LEFT)).toHaveLength(2), patience);
	});

	test('stays paused or disabled, as operators had it', async () => {
		const operator = await connect('portcullis');
		await operator.query('pause shop');
		await operator.query('disable other');
		await change(({ databases }) => {
			for (const name of ['shop', 'other']) Object.assign(databases[name] as object, { dbname: second.database });
		});
		await expect(connect('other')).rejects.toMatchObject({ code: '55000' });
		const waiting = connect('shop');
		await vi.waitFor(async () => {
			const shop = (await shown('pools')).find(({ database }) => database === 'shop');
			expect(shop).toMatchObject({ cl_waiting: 1 });
		}, patience);
		await operator.query('resume shop');
		expect((await (await waiting).query('select name from public.things')).rows).toEqual([{ name: 'new' }]);
	});

	test('may be pooled in another way, or be worked in as another role', async () => {
		const before = await connect('shop');
		const role = async (client: pg.Client): Promise<unknown> =>
			(await client.query<{ role: string }>('select current_user as role')).rows[0]?.role;
		expect(await role(before)).toBe(GATEWAY_ROLE);
		await change(({ databases }) => {
			Object.assign(databases['shop'] as object, { pool: { mode: 'transaction', size: 2 } });
			Object.assign(databases['other'] as object, { user: 'nobody_there' });
		});
		const after = await connect('shop');
		expect(await role(after)).toBe(GATEWAY_ROLE);
		expect((await shown('pools')).find(({ database }) => database === 'shop')).toMatchObject({
			pool_mode: 'transaction',
		});
		await expect(connect('other')).rejects.toMatchObject({ code: '08004' });
	});
});

describe('bounds that are others', () => {
	test('hold at once, and nobody has to connect again', async () => {
		const [one, two] = await Promise.all(['shop_tx', 'shop_tx'].map(connect));
		await one?.query('begin');
		await two?.query('begin');
		const third = await connect('other');
		const size = async (): Promise<unknown> =>
			(await shown('databases')).find(({ name }) => name === 'shop_tx')?.['pool_size'];
		await change(({ databases }) => {
			Object.assign(databases['shop_tx']?.['pool'] as object, { size: 1 });
			Object.assign(databases['other'] as object, { pool: { size: 1 } });
		});
		expect(await size()).toBe(1);
		// It has to wait for both.
		const waiter = await (async () => {
			await Promise.all([one?.query('commit'), two?.query('commit')]);
			return connect('shop_tx');
		})();
		await waiter.query('begin');
		const waiting = Promise.all([one?.query('select 1 as n'), connect('other')]);
		await vi.waitFor(async () => {
			const waits = (await shown('pools')).map(({ database, cl_waiting: count }) => [database, count]);
			expect(waits).toContainEqual(['shop_tx', 1]);
			expect(waits).toContainEqual(['other', 1]);
		}, patience);
		await change(({ databases }) => {
			Object.assign(databases['shop_tx']?.['pool'] as object, { size: 2 });
			Object.assign(databases['other'] as object, { pool: { size: 2 } });
		});
		const [answer] = await waiting;
		expect(answer?.rows).toEqual([{ n: 1 }]);
		await waiter.query('commit');
		expect((await third.query('select 1 as n')).rows).toEqual([{ n: 1 }]);
		expect(logged(LEFT)).toEqual([]);
	});

	test('of time hold for sessions that begin afterwards', async () => {
		const before = await connect('shop');
		await change((config) => {
			Object.assign(config['limits'] as object, { idleTransactionTimeoutMs: 100 });
		});
		const after = await connect('shop');
		await Promise.all([before.query('begin'), after.query('begin')]);
		await vi.waitFor(() => expect(after.ends[0]).toMatchObject({ code: '25P03' }), patience);
		await before.query('commit');
		expect(logged('changes of the configuration that need a restart')).toEqual([]);
	});
});

describe('what cannot be taken up', () => {
	test('a mistake changes nothing, and everybody is told', async () => {
		const client = await connect('shop');
		await edited(({ databases }) => {
			delete databases['other'];
			Object.assign(databases['shop'] as object, { pool: { sise: 3 } });
		});
		const operator = await connect('portcullis');
		await expect(operator.query('reload')).rejects.toMatchObject({
			code: 'F0000',
			message: 'the configuration cannot be used: the former stays in force',
			detail: expect.stringContaining('sise') as string,
		});
		await gateway.gateway.reload();
		expect((await client.query('select 1 as n')).rows).toEqual([{ n: 1 }]);
		await connect('other');
		const problems = [expect.stringMatching(/portcullis\.yaml:\d+: databases\.shop\.pool.*sise/) as string];
		expect(logged('configuration cannot be used: the former stays in force')).toEqual([
			{ problems, trigger: 'admin' },
			{ problems, trigger: 'signal' },
		]);
		expect(await configRecords()).toEqual([
			{ status: 'Failure', trigger: 'admin', changes: problems },
			{ status: 'Failure', trigger: 'signal', changes: problems },
		]);
	});

	test('a key that needs a restart is named, and what does not is taken up', async () => {
		await edited((config) => {
			Object.assign(config['limits'] as object, { sessionsMax: 7 });
			Object.assign(config.databases['shop']?.['pool'] as object, { size: 5 });
		});
		const operator = await connect('portcullis');
		const notices: string[] = [];
		operator.on('notice', ({ message }) => notices.push(message ?? ''));
		await operator.query('reload');
		const later = 'limits.sessionsMax: 5000 is 7 now';
		expect(notices.join()).toContain(`databases.shop.pool.size: 3 is 5 now; after a restart: ${later}; policy `);
		expect(logged('changes of the configuration that need a restart')).toEqual([{ keys: [later], trigger: 'admin' }]);
		const config = new Map((await shown('config')).map(({ key, value }) => [key, value]));
		expect([config.get('limits.sessionsMax'), config.get('databases.shop.pool.size')]).toEqual(['5000', '5']);
		await operator.query('reload');
		expect(await configRecords()).toHaveLength(1);
	});
});
