/** What two workers share: cancel keys, the places of a pool, limits of sessions; also when one is killed and after a reload. */
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { connect as connectTcp } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { parse, stringify } from 'yaml';
import { GATEWAY_ROLE } from '../../../src/cli/demo/shop.ts';
import {
	SERVICE_PASSWORD,
	shopDatabase,
	startGateway,
	type TestConfig,
	type TestGateway,
} from '../../support/gateway.ts';
import { otherConfig, patience, type Served, serveProcess } from '../../support/serving.ts';

vi.setConfig({ testTimeout: 300_000 });

const size = 4;
const rules = [
	'p, *, shop.public.*, create, allow',
	...['shop', 'shop_tx', 'shop_few', 'shop_again'].flatMap((name) => [
		`p, *, ${name}, connect, allow`,
		`p, *, ${name}.public.offices, select, allow`,
	]),
];
rules.push(
	'p, *, shop_tx.public.ledger, insert, allow',
	...['connect', 'alter'].map((action) => `p, user:app, portcullis, ${action}, allow`),
);
const ledger = `grant create on schema public to ${GATEWAY_ROLE}; create table public.ledger (who int); grant select, insert on public.ledger to ${GATEWAY_ROLE}`;

let world: TestGateway;
let served: Served;
const open = new Set<pg.Client>();
beforeAll(async () => {
	world = await startGateway({
		setup: ledger,
		policies: { 'policy.csv': `${rules.join('\n')}\n`, 'masks.yaml': '{}' },
	});
	const file = await otherConfig(world, 'sharing', (config) => {
		const { shop } = config.databases;
		config['workers'] = 2;
		config['limits'] = { poolWaitMs: 120_000 };
		config.databases = {
			shop: { ...shop, pool: { size } },
			shop_tx: { ...shop, pool: { mode: 'transaction', size } },
			shop_again: { ...shop, pool: { size, reuse: true } },
			shop_few: { ...shop, pool: { size: 10 }, limits: { sessionsMax: 3 } },
		};
	});
	const started = await serveProcess(file);
	served = started;
	await started.listening;
}, 180_000);
// A test that fails leaves nothing behind that makes others fail.
afterEach(() => end(...open));
afterAll(async () => {
	await served?.kill();
	await world?.stop();
});

async function connect(database: string): Promise<pg.Client> {
	const login = { host: '127.0.0.1', port: served.port, user: 'app', password: SERVICE_PASSWORD, database };
	const client = new pg.Client(login);
	client.on('error', () => undefined);
	await client.connect();
	open.add(client);
	return client;
}

async function end(...clients: readonly pg.Client[]): Promise<void> {
	for (const client of clients) {
		open.delete(client);
		await client.end().catch(() => undefined);
	}
}

/** Connections are handed out in turn, so these are on the workers by turns. */
async function inTurn(count: number, database: string): Promise<pg.Client[]> {
	const clients: pg.Client[] = [];
	while (clients.length < count) clients.push(await connect(database));
	return clients;
}

test('a function that could be a field is made only by who may run it, as each worker knows what it has seen itself', async () => {
	const make = "create function public.nearest(x text) returns text language sql as $$select 'a'$$";
	const shared = await connect('shop');
	await expect(shared.query(make)).rejects.toMatchObject({
		code: '42501',
		message: expect.stringMatching(/taken for a field/),
	});
	await end(shared);
	const alone = new pg.Client(await world.credentials('app'));
	await alone.connect();
	await alone.query(make);
	await alone.end();
});

/** Server connections of pools, those of the gateway's own questions left out. */
const pooled = `select count(*)::int as n from pg_stat_activity
	where usename = '${GATEWAY_ROLE}' and datname = current_database() and application_name <> 'portcullis'`;

async function countOfPooled(database = world.backend): Promise<number> {
	const [row] = await database.sql(pooled);
	return Number(row?.['n']);
}

/** The largest number of server connections while `act` runs. */
async function mostDuring(act: () => Promise<void>, database = world.backend): Promise<number> {
	// Those of the test before are about to go.
	await vi.waitFor(async () => expect(await countOfPooled(database)).toBeLessThanOrEqual(size), patience);
	let most = 0;
	let going = true;
	const look = async (): Promise<void> => {
		while (going) {
			most = Math.max(most, await countOfPooled(database));
			await sleep(5);
		}
	};
	const looking = look();
	try {
		await act();
	} finally {
		going = false;
		await looking;
	}
	return most;
}

/** Sends a cancel request for what the client runs, and waits for its end. */
async function cancel(client: pg.Client): Promise<void> {
	const { processID, secretKey } = client as unknown as { processID: number; secretKey: number };
	const request = Buffer.alloc(16);
	request.writeInt32BE(16, 0);
	request.writeInt32BE(80_877_102, 4);
	request.writeInt32BE(processID, 8);
	request.writeInt32BE(secretKey, 12);
	const socket = connectTcp(served.port, '127.0.0.1');
	socket.on('error', () => undefined);
	socket.write(request);
	await new Promise((resolve) => socket.on('close', resolve).resume());
}

async function cancelRecords(): Promise<unknown[]> {
	const records: unknown[] = [];
	for (const worker of ['worker-1', 'worker-2']) {
		const folder = join(world.folder, 'audit-sharing', worker);
		for (const file of (await readdir(folder)).filter((name) => name.endsWith('.jsonl')))
			for (const line of (await readFile(join(folder, file), 'utf8')).split('\n'))
				if (line.includes('"activity_name":"Cancel"')) records.push(JSON.parse(line));
	}
	return records;
}

test.each(['shop', 'shop_tx'])('a cancel request hits its query, whichever worker gets it: %s', async (database) => {
	const before = (await cancelRecords()).length;
	const clients = await inTurn(3, database);
	const [bystander, ...targets] = clients;
	if (bystander === undefined) throw new Error('three of them');
	const undisturbed = bystander.query('select pg_sleep(600)').catch((error: unknown) => error);
	const tries = 6;
	for (let n = 0; n < tries; n += 1) {
		const target = targets[n % 2] as pg.Client;
		const mark = `select pg_sleep(600) /* ${database} ${n} */`;
		const failed = target.query(mark).then(
			() => 'done',
			(error: unknown) => (error as { code: string }).code,
		);
		const running = `select from pg_stat_activity where state = 'active' and query like '%/* ${database} ${n} */%'
			and usename = '${GATEWAY_ROLE}'`;
		await vi.waitFor(async () => expect(await world.backend.sql(running)).toHaveLength(1), patience);
		await cancel(target);
		expect(await failed).toBe('57014');
	}
	expect(await Promise.race([undisturbed, Promise.resolve('it runs')])).toBe('it runs');
	await cancel(bystander);
	expect(await undisturbed).toMatchObject({ code: '57014' });
	await vi.waitFor(async () => expect(await cancelRecords()).toHaveLength(before + tries + 1), patience);
});

/** Each has a server connection at the same moment. */
async function atOnce(clients: readonly pg.Client[]): Promise<void> {
	await Promise.all(clients.map((client) => client.query('begin')));
	await Promise.all(clients.map((client) => client.query('select pg_sleep(0.05)')));
	await Promise.all(clients.map((client) => client.query('commit')));
}

test('places go to the worker whose clients wait, and all together keep to the size', async () => {
	const clients = await inTurn(8, 'shop_tx');
	const most = await mostDuring(async () => {
		const evens = clients.filter((_, index) => index % 2 === 0);
		const odds = clients.filter((_, index) => index % 2 === 1);
		for (const some of [evens, odds, clients.slice(0, 4), evens, odds]) await atOnce(some);
		// All of them, again and again: they take turns.
		for (let turn = 0; turn < 10; turn += 1)
			await Promise.all(clients.map((client) => client.query('select pg_sleep(0.01)')));
	});
	expect(most).toBe(size);
});

test('the same with a server connection for each session', async () => {
	const clients = await inTurn(4, 'shop');
	const [one, two, three, four] = clients as [pg.Client, pg.Client, pg.Client, pg.Client];
	await end(one, three);
	const more = await inTurn(2, 'shop');
	for (const client of [two, four, ...more]) expect((await client.query('select 1 as one')).rows).toHaveLength(1);
});

test('sessions of a database are limited over both workers', async () => {
	const clients = await inTurn(3, 'shop_few');
	const refused = async (): Promise<void> => {
		const more = await connect('shop_few').catch((error: unknown) => error);
		if (more instanceof pg.Client) await end(more);
		expect(more).toMatchObject({ code: '53300', message: 'too many connections for database "shop_few"' });
	};
	for (const _ of [1, 2, 3, 4]) await vi.waitFor(refused, patience);
	await end(...clients.slice(0, 1));
	await vi.waitFor(() => connect('shop_few'), patience);
	await vi.waitFor(refused, patience);
	// At the same moment, at both workers.
	let most = 0;
	for (let turn = 0; turn < 3; turn += 1) {
		await end(...open);
		await vi.waitFor(async () => {
			const all = await Promise.allSettled(Array.from({ length: 8 }, () => connect('shop_few')));
			const entered = all.filter(({ status }) => status === 'fulfilled').length;
			most = Math.max(most, entered);
			// Who has left is counted for a moment more.
			if (entered < 3) await end(...open);
			expect(entered).toBeGreaterThanOrEqual(3);
		}, patience);
	}
	expect(most).toBe(3);
});

test('places of a worker that is killed come back when its connections are gone, and not before', async () => {
	const clients = await inTurn(8, 'shop_tx');
	const evens = clients.filter((_, index) => index % 2 === 0);
	const most = await mostDuring(async () => {
		// What its clients run goes on at the server for a while.
		const running = evens.map((client) => client.query('select pg_sleep(5)').catch(() => 'gone'));
		const busy = `${pooled} and state = 'active'`;
		await vi.waitFor(async () => expect(await world.backend.sql(busy)).toEqual([{ n: size }]), patience);
		const before = served.workers();
		process.kill(before.get(1) ?? 0, 'SIGKILL');
		await Promise.all(running);
		await vi.waitFor(() => expect(served.workers().get(1)).not.toBe(before.get(1)), patience);
		const next = await inTurn(8, 'shop_tx');
		for (const half of [0, 1]) await atOnce(next.filter((_, index) => index % 2 === half));
	});
	expect(most).toBe(size);
});

async function configure(change: (config: TestConfig) => void): Promise<void> {
	const config = parse(await readFile(served.configFile, 'utf8')) as TestConfig;
	change(config);
	await writeFile(served.configFile, stringify(config));
}

interface Work {
	done: number;
	readonly errors: unknown[];
	stop(): Promise<void>;
}

/** Transactions and statements by themselves, one after the other, until they are stopped. */
function working(clients: readonly pg.Client[]): Work {
	let going = true;
	const insert = { name: 'insert', text: 'insert into public.ledger values ($1)' };
	const works = clients.map(async (client, who) => {
		while (going) {
			try {
				await client.query('begin');
				await client.query(insert, [who]);
				await client.query('commit');
				await client.query(insert, [who]);
				work.done += 1;
			} catch (error) {
				work.errors.push(error);
				return;
			}
		}
	});
	const work: Work = {
		done: 0,
		errors: [],
		stop: async () => {
			going = false;
			await Promise.all(works);
		},
	};
	return work;
}

async function more(work: Work): Promise<void> {
	const had = work.done;
	await vi.waitFor(() => expect(work.done + 1000 * work.errors.length).toBeGreaterThan(had + 10), patience);
}

test('a database that is moved takes the clients of both workers along, and its places are those of one pool', async () => {
	const there = await shopDatabase(ledger);
	try {
		const console = await connect('portcullis');
		const clients = await inTurn(8, 'shop_tx');
		const work = working(clients);
		/** What is left of a former one is closed by both. */
		const left = (): number => served.lines('nothing is left of a database as it was configured before').length;
		const moveTo = async (dbname: string): Promise<void> => {
			await configure((config) => {
				config.databases['shop_tx'] = { ...config.databases['shop_tx'], dbname };
			});
			await console.query('reload');
		};
		const before = left();
		const mostThere = mostDuring(
			() =>
				mostDuring(async () => {
					await more(work);
					await console.query('pause shop_tx');
					await moveTo(there.database);
					expect((await console.query('show databases')).rows).toContainEqual(
						expect.objectContaining({ name: 'shop_tx', database: there.database, paused: 1, pool_size: size }),
					);
					await console.query('resume shop_tx');
					await more(work);
					// There and back, while somebody is in a transaction at the one that is let go, and then again.
					const [slow] = await inTurn(1, 'shop_tx');
					await slow?.query('begin');
					await slow?.query('insert into public.ledger values (-1)');
					for (const database of [world.backend, there, world.backend]) {
						await moveTo(database.database);
						await more(work);
					}
					await slow?.query('commit');
					await vi.waitFor(() => expect(left()).toBe(before + 8), patience);
					await more(work);
				}).then((most) => expect(most).toBe(size)),
			there,
		);
		expect(await mostThere).toBeLessThanOrEqual(size);
		await work.stop();
		expect(work.errors).toEqual([]);
		const counts = await Promise.all(
			[world.backend, there].map((database) =>
				database.sql('select count(*)::int as n from public.ledger where who >= 0'),
			),
		);
		expect(counts.flat().reduce((sum, { n }) => sum + Number(n), 0)).toBe(2 * work.done);
		// All of its places are there for either of the two workers.
		for (const half of [0, 1]) await atOnce(clients.filter((_, index) => index % 2 === half));
		await vi.waitFor(async () => {
			const pools = (await console.query('show pools')).rows as Record<string, unknown>[];
			const mine = pools.filter(({ database }) => database === 'shop_tx');
			expect(mine).toEqual([expect.objectContaining({ cl_waiting: 0, sv_active: 0, sv_login: 0 })]);
		}, patience);
		expect(await countOfPooled(there)).toBe(0);
	} finally {
		await end(...open);
		await there.drop();
	}
});

test('another size holds in all workers after a reload', async () => {
	const clients = await inTurn(8, 'shop_tx');
	const resize = async (to: number): Promise<void> => {
		await configure((config) => {
			config.databases['shop_tx'] = { ...config.databases['shop_tx'], pool: { mode: 'transaction', size: to } };
		});
		const had = served.lines('configuration was reloaded').length;
		served.signal('SIGHUP');
		await vi.waitFor(() => expect(served.lines('configuration was reloaded')).toHaveLength(had + 2), patience);
	};
	const work = async (): Promise<void> => {
		for (let turn = 0; turn < 10; turn += 1)
			await Promise.all(clients.map((client) => client.query('select pg_sleep(0.01)')));
	};
	await resize(2);
	await vi.waitFor(async () => expect(await countOfPooled()).toBeLessThan(3), patience);
	expect(await mostDuring(work)).toBe(2);
	await resize(6);
	expect(await mostDuring(() => atOnce(clients.slice(0, 6)))).toBe(6);
});

// The last one: what is idle then stays, and would be counted.
test('a worker that keeps connections for the next clients gives their places to another whose clients wait', async () => {
	const [one, two, three, four] = (await inTurn(4, 'shop_again')) as [pg.Client, pg.Client, pg.Client, pg.Client];
	await end(one, three);
	// One of these is at the worker that has no place left.
	const more = await inTurn(2, 'shop_again');
	for (const client of [two, four, ...more]) expect((await client.query('select 1 as one')).rows).toHaveLength(1);
	await end(two, four, ...more);
	await end(...(await inTurn(4, 'shop_again')));
});
