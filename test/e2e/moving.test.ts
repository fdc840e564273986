/** A database in transaction mode that moves while clients are at work in it: by RELOAD alone, and between PAUSE and RESUME. */
import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { GATEWAY_ROLE } from '../../src/cli/demo/shop.ts';
import { shopDatabase, startGateway, type TestConfig, type TestGateway } from '../support/gateway.ts';
import type { TestDatabase } from '../support/postgres.ts';
import { eventually } from '../support/time.ts';

const rules = [
	...['connect', 'temp', 'listen', 'notify'].map((action) => `p, *, shop, ${action}, allow`),
	...['select', 'insert', 'delete'].map((action) => `p, *, shop.public.*, ${action}, allow`),
	'p, *, shop.public.places.secret, select, deny',
	'p, *, shop.pg_catalog.*(*), execute, allow',
	...['connect', 'alter'].map((action) => `p, *, portcullis, ${action}, allow`),
	'',
].join('\n');

const grant = `grant all on all tables in schema public to ${GATEWAY_ROLE}`;
/** The same names, and columns that only the policy tells from those of the other. */
const setups = {
	here: `create table public.work (n int); create table public.places (place text);
		insert into public.places values ('here'); ${grant}`,
	there: `create table public.work (n int); create table public.places (secret text, place text);
		insert into public.places values ('nobody is to see this', 'there'); ${grant}`,
};
const LEFT = 'nothing is left of a database as it was configured before';

let gateway: TestGateway;
let there: TestDatabase;
const clients: pg.Client[] = [];

beforeEach(async () => {
	there = await shopDatabase(setups.there);
	gateway = await startGateway({
		setup: setups.here,
		policies: { 'policy.csv': rules, 'masks.yaml': '{}' },
		configure: (config) => {
			config.databases['shop'] = { ...config.databases['shop'], pool: { mode: 'transaction', size: 3 } };
			config['limits'] = { drainTimeoutMs: 60_000, poolWaitMs: 60_000 };
		},
	});
});
afterEach(async () => {
	await Promise.all(clients.splice(0).map((client) => client.end().catch(() => undefined)));
	await gateway?.stop();
	await there?.drop();
});

interface Visitor {
	readonly client: pg.Client;
	/** SQLSTATE of what ended it. */
	readonly ends: (string | undefined)[];
	/** Payloads. */
	readonly heard: string[];
}

async function connect(database = 'shop'): Promise<Visitor> {
	const client = await gateway.connect('app', { database });
	const ends: (string | undefined)[] = [];
	const heard: string[] = [];
	client.on('error', (error: Error & { code?: string }) => ends.push(error.code));
	client.on('notification', ({ payload }) => heard.push(payload ?? ''));
	clients.push(client);
	return { client, ends, heard };
}

async function configure(edit: (shop: Record<string, unknown>, config: TestConfig) => void): Promise<void> {
	const config = parse(await readFile(gateway.configFile, 'utf8')) as TestConfig;
	edit(config.databases['shop'] as Record<string, unknown>, config);
	await writeFile(gateway.configFile, stringify(config));
}

const toThere = (shop: Record<string, unknown>): void => {
	shop['dbname'] = there.database;
};

async function move(edit: (shop: Record<string, unknown>, config: TestConfig) => void = toThere): Promise<void> {
	await configure(edit);
	await gateway.gateway.reload();
}

async function operate(...commands: string[]): Promise<Record<string, unknown>[]> {
	const { client } = await connect('portcullis');
	let rows: Record<string, unknown>[] = [];
	for (const command of commands) ({ rows } = await client.query<Record<string, unknown>>(command));
	return rows;
}

const select = 'select * from public.places';

const place = async ({ client }: Visitor): Promise<unknown> => (await client.query(select)).rows;

const left = (): unknown[] => gateway.log.filter(({ message }) => message === LEFT).map(({ fields }) => fields);

/** Connections of the gateway to the database, those of its catalogue apart. */
async function backends(database: TestDatabase): Promise<number> {
	const words = "usename = '" + GATEWAY_ROLE + "' and datname = current_database() and query !~* 'pg_class'";
	return (await database.sql(`select from pg_stat_activity where ${words}`)).length;
}

/** Nothing of the former is left, and nobody waits for anything. */
async function atRest(): Promise<void> {
	await eventually(() => expect(left()).toHaveLength(1));
	await eventually(async () => {
		const [pool] = await operate('show pools');
		expect(pool).toMatchObject({ cl_waiting: 0, sv_active: 0, sv_login: 0, sv_pinned: 0 });
	});
	await eventually(async () => expect(await backends(gateway.backend)).toBe(0));
}

describe('RELOAD alone', () => {
	test('takes along who is between two transactions, with settings and prepared statements', async () => {
		const visitor = await connect();
		const { client } = visitor;
		await client.query("set application_name = 'carried'");
		await client.query("set work_mem = '5MB'");
		const named = { name: 'where', text: 'select place, current_setting($1) as set from public.places' };
		expect((await client.query(named, ['work_mem'])).rows).toEqual([{ place: 'here', set: '5MB' }]);
		const idle = await connect();
		await move();
		expect((await client.query(named, ['work_mem'])).rows).toEqual([{ place: 'there', set: '5MB' }]);
		expect((await client.query("select current_setting('application_name') as name")).rows).toEqual([
			{ name: 'carried' },
		]);
		expect(await place(idle)).toEqual([{ place: 'there' }]);
		expect([visitor.ends, idle.ends]).toEqual([[], []]);
		await atRest();
		expect(left()).toEqual([{ database: 'shop', sessions: 0, moved: 2 }]);
	});

	test('decides anew: what the policy hides there was not there before', async () => {
		const visitor = await connect();
		const { client } = visitor;
		expect(await place(visitor)).toEqual([{ place: 'here' }]);
		const named = { name: 'all', text: select };
		await client.query(named);
		await move();
		expect(await place(visitor)).toEqual([{ place: 'there' }]);
		expect((await client.query(named)).rows).toEqual([{ place: 'there' }]);
		await expect(client.query('select secret from public.places')).rejects.toMatchObject({ code: '42703' });
	});

	test('lets transactions finish where they began, ends who is pinned, and comes to rest', async () => {
		const [busy, pinned, pinnedBusy] = [await connect(), await connect(), await connect()];
		await busy.client.query('begin');
		await busy.client.query('insert into public.work values (1)');
		await pinned.client.query('create temporary table kept (n int)');
		await pinnedBusy.client.query('create temporary table kept (n int)');
		await pinnedBusy.client.query('begin');
		await move();
		await eventually(() => expect(pinned.ends).toContain('57P01'));
		expect(await place(busy)).toEqual([{ place: 'here' }]);
		await busy.client.query('commit');
		expect(await place(busy)).toEqual([{ place: 'there' }]);
		await pinnedBusy.client.query('select n from kept');
		await pinnedBusy.client.query('commit');
		await eventually(() => expect(pinnedBusy.ends).toContain('57P01'));
		expect(busy.ends).toEqual([]);
		expect(await gateway.backend.sql('select n from public.work')).toEqual([{ n: 1 }]);
		await atRest();
		expect(left()).toEqual([{ database: 'shop', sessions: 2, moved: 1 }]);
	});

	test('ends transactions whose time is up', async () => {
		await gateway.stop();
		gateway = await startGateway({
			setup: setups.here,
			policies: { 'policy.csv': rules, 'masks.yaml': '{}' },
			configure: (config) => {
				config.databases['shop'] = { ...config.databases['shop'], pool: { mode: 'transaction', size: 3 } };
				config['limits'] = { drainTimeoutMs: 200 };
			},
		});
		const busy = await connect();
		await busy.client.query('begin');
		await move();
		await eventually(() => expect(busy.ends).toContain('57P01'));
		await atRest();
	});

	test('nobody between two transactions notices under load, and each transaction is on one of the two', async () => {
		const visitors = await Promise.all(Array.from({ length: 12 }, () => connect()));
		const errors: unknown[] = [];
		let done = 0;
		let over = false;
		const works = visitors.map(async ({ client }, who) => {
			const insert = { name: 'insert', text: 'insert into public.work values ($1)' };
			const where = { name: 'where', text: select };
			for (let n = 0; !over; n += 1) {
				try {
					await client.query('begin');
					const first = (await client.query(where)).rows;
					await client.query(insert, [who]);
					expect((await client.query(where)).rows).toEqual(first);
					await client.query('commit');
					await client.query(insert, [who]);
					done += 1;
				} catch (error) {
					errors.push(error);
					return;
				}
			}
		});
		const enough = async (more: number): Promise<void> => {
			const until = done + more;
			await eventually(() => expect(done + 1000 * errors.length).toBeGreaterThan(until));
		};
		await enough(24);
		await move();
		await enough(24);
		await eventually(() => expect(left()).toHaveLength(1));
		await move((shop) => {
			shop['dbname'] = gateway.backend.database;
		});
		await enough(24);
		over = true;
		await Promise.all(works);
		expect(errors).toEqual([]);
		const counts = await Promise.all(
			[gateway.backend, there].map(async (database) =>
				Number((await database.sql('select count(*) from public.work'))[0]?.['count']),
			),
		);
		expect((counts[0] as number) + (counts[1] as number)).toBe(2 * done);
		expect(Math.min(...counts)).toBeGreaterThan(0);
		await eventually(() => expect(left()).toHaveLength(2));
	});

	test('takes along those of each shard, and who works as another role by now', async () => {
		const role = `mover_${randomBytes(4).toString('hex')}`;
		await gateway.backend.sql(`create role ${role} login password 'gateway-password' in role ${GATEWAY_ROLE}`);
		try {
			const { database: here } = gateway.backend;
			await move((shop) => {
				const { host, port, dbname: _dbname, ...rest } = shop;
				const at = (dbname: string): object => ({ host, port, dbname });
				const shards = { one: at(here), two: at(there.database) };
				for (const key of Object.keys(shop)) delete shop[key];
				Object.assign(shop, rest, { shards, shardBy: { by: 'parameter', default: 'one' } });
			});
			const [one, two] = [await connect(), await connect()];
			await two.client.query("set portcullis.shard = 'two'");
			expect([await place(one), await place(two)]).toEqual([[{ place: 'here' }], [{ place: 'there' }]]);
			await move((shop) => {
				const { one: first, two: second } = shop['shards'] as Record<string, unknown>;
				Object.assign(shop, { user: role, shards: { two: first, one: second } });
			});
			expect([await place(one), await place(two)]).toEqual([[{ place: 'there' }], [{ place: 'here' }]]);
			await two.client.query("set portcullis.shard = 'one'");
			expect(await place(two)).toEqual([{ place: 'there' }]);
			expect((await two.client.query('select session_user as role')).rows).toEqual([{ role }]);
			expect([one.ends, two.ends]).toEqual([[], []]);
			await Promise.all(clients.splice(0).map((client) => client.end()));
			await gateway.gateway.close(0);
		} finally {
			await gateway.backend.sql(`drop role ${role}`);
		}
	});

	test('what is told to users at their sign-in, or another mode, makes them sign in again', async () => {
		const visitor = await connect();
		await move((shop) => {
			shop['tellUser'] = ['setting'];
		});
		await eventually(() => expect(visitor.ends).toContain('57P01'));
	});

	test('a database that is not there any more takes nobody along', async () => {
		const visitor = await connect();
		await visitor.client.query('begin');
		await move();
		await move((_shop, config) => {
			config.databases = { other: config.databases['shop'] as Record<string, unknown> };
		});
		await visitor.client.query('commit');
		await eventually(() => expect(visitor.ends).toContain('57P01'));
	});
});

describe('PAUSE, RELOAD and RESUME', () => {
	test('who has asked meanwhile, or has come, is served there', async () => {
		const [idle, asking, listening] = [await connect(), await connect(), await connect()];
		await listening.client.query('listen news');
		expect(await place(idle)).toEqual([{ place: 'here' }]);
		await operate('pause shop');
		const asked = place(asking);
		const coming = connect();
		const waiting = async (): Promise<unknown> => (await operate('show pools'))[0]?.['cl_waiting'];
		await eventually(async () => expect(await waiting()).toBe(2));
		await configure(toThere);
		await operate('reload');
		await eventually(async () => expect(await waiting()).toBe(2));
		await operate('resume shop');
		expect(await asked).toEqual([{ place: 'there' }]);
		expect(await place(await coming)).toEqual([{ place: 'there' }]);
		expect(await place(idle)).toEqual([{ place: 'there' }]);
		await idle.client.query("notify news, 'moved'");
		await eventually(() => expect(listening.heard).toEqual(['moved']));
		expect([idle.ends, asking.ends, listening.ends]).toEqual([[], [], []]);
		await atRest();
	});

	test('DDL that was done there since the RELOAD is known to the first statement', async () => {
		const visitor = await connect();
		expect(await place(visitor)).toEqual([{ place: 'here' }]);
		await operate('pause shop');
		await configure(toThere);
		await operate('reload');
		await there.sql(
			'alter table public.places rename column place to shown; alter table public.places rename column secret to place',
		);
		await there.sql('alter table public.places rename column shown to secret');
		await operate('resume shop');
		// What is called `secret` by now is hidden.
		expect(await place(visitor)).toEqual([{ place: 'nobody is to see this' }]);
	});
});

describe('who listens', () => {
	test('hears both until nothing is left of the former', async () => {
		const [listener, busy, other] = [await connect(), await connect(), await connect()];
		await listener.client.query('listen news');
		await busy.client.query('begin');
		await busy.client.query("notify news, 'late, here'");
		await move();
		await other.client.query("notify news, 'there'");
		await eventually(() => expect(listener.heard).toEqual(['there']));
		await busy.client.query('commit');
		await eventually(() => expect(listener.heard).toEqual(['there', 'late, here']));
		await atRest();
		await there.sql("notify news, 'from beside'");
		await eventually(() => expect(listener.heard).toContain('from beside'));
		await listener.client.query('unlisten news');
		await listener.client.query('listen other');
		await there.sql("notify news, 'no'; notify other, 'yes'");
		await eventually(() => expect(listener.heard).toEqual(['there', 'late, here', 'from beside', 'yes']));
		expect(listener.ends).toEqual([]);
	});

	test('on the same server hears each notification once, in order, while it moves', async () => {
		const listener = await connect();
		await listener.client.query('listen news');
		const wanted: string[] = [];
		let over = false;
		const notifying = (async () => {
			for (let n = 0; !over; n += 1) {
				await gateway.backend.sql(`notify news, '${n}'`);
				wanted.push(String(n));
			}
		})();
		for (const host of ['localhost', '127.0.0.1']) {
			const heard = listener.heard.length;
			await eventually(() => expect(listener.heard.length).toBeGreaterThan(heard + 20));
			await move((shop) => {
				shop['host'] = host;
			});
		}
		const heard = listener.heard.length;
		await eventually(() => expect(listener.heard.length).toBeGreaterThan(heard + 20));
		over = true;
		await notifying;
		await eventually(() => expect(listener.heard.length).toBeGreaterThanOrEqual(wanted.length));
		expect(listener.heard).toEqual(wanted);
		expect(listener.ends).toEqual([]);
		await eventually(() => expect(left()).toHaveLength(2));
	});

	test('may begin to in a transaction that is still there', async () => {
		const [listener, other] = [await connect(), await connect()];
		await listener.client.query('begin');
		await listener.client.query('listen news');
		await move();
		await listener.client.query('commit');
		await other.client.query("notify news, 'there'");
		await eventually(() => expect(listener.heard).toEqual(['there']));
		await gateway.backend.sql("notify news, 'here'");
		expect(listener.ends).toEqual([]);
	});

	test('is ended where it cannot be heard on, because something may be missed', async () => {
		const [listener, other] = [await connect(), await connect()];
		await listener.client.query('listen news');
		await there.sql(`revoke connect on database "${there.database}" from public`);
		await there.sql(`revoke connect on database "${there.database}" from ${GATEWAY_ROLE}`);
		await move();
		await eventually(() => expect(listener.ends).toContain('57P01'));
		await expect(other.client.query(select)).rejects.toMatchObject({
			code: expect.stringMatching(/^(08|42|28)/) as string,
		});
		expect(other.ends).toEqual([]);
		await there.sql(`grant connect on database "${there.database}" to ${GATEWAY_ROLE}`);
		await eventually(async () => expect(await place(other)).toEqual([{ place: 'there' }]));
	});
});
