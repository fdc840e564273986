/** `serve` with two workers, as processes: start, death and restart of a worker, reload, drain, and what goes wrong at the start. */
import { readFile, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { parse, stringify } from 'yaml';
import { SERVICE_PASSWORD, startGateway, type TestConfig, type TestGateway } from '../../support/gateway.ts';
import { otherConfig, patience, type Served, serveProcess } from '../../support/serving.ts';

vi.setConfig({ testTimeout: 300_000 });

let world: TestGateway;
let served: Served;
beforeAll(async () => {
	world = await startGateway();
	const file = await otherConfig(world, 'workers', (config) => {
		config['workers'] = 2;
		config['admin'] = { host: '127.0.0.1', port: 0 };
	});
	const started = await serveProcess(file);
	served = started;
	await started.listening;
}, 180_000);
afterAll(async () => {
	await served?.kill();
	await world?.stop();
});

async function connect(port = served.port): Promise<pg.Client> {
	const client = new pg.Client({ host: '127.0.0.1', port, user: 'app', password: SERVICE_PASSWORD, database: 'shop' });
	client.on('error', () => undefined);
	await client.connect();
	return client;
}

test('it listens once both take clients, at one port each for clients and for admin', async () => {
	expect(new Set(served.workers().keys())).toEqual(new Set([1, 2]));
	expect(new Set(served.workers().values()).size).toBe(2);
	expect(served.lines('listening')).toHaveLength(1);
	const clients = await Promise.all([1, 2, 3, 4].map(() => connect()));
	for (const client of clients) expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
	await Promise.all(clients.map((client) => client.end()));
	const ready = await fetch(`http://127.0.0.1:${served.adminPort}/readyz`);
	expect(ready.status).toBe(200);
});

test('a worker that is killed is started again; the sessions of the other go on', async () => {
	// One after the other: so they are handed out in turn.
	const clients: pg.Client[] = [];
	while (clients.length < 6) clients.push(await connect());
	const before = served.workers();
	const died = served.since('worker has died');
	process.kill(before.get(1) ?? 0, 'SIGKILL');
	await vi.waitFor(() => expect(served.workers().get(1)).not.toBe(before.get(1)), patience);
	expect(served.workers().get(2)).toBe(before.get(2));
	expect(died()).toEqual([expect.objectContaining({ worker: 1, pid: before.get(1), how: 'signal SIGKILL' })]);
	const after = await Promise.allSettled(clients.map((client) => client.query('select 1 as one')));
	expect(new Set(after.map(({ status }) => status))).toEqual(new Set(['fulfilled', 'rejected']));
	await Promise.all(clients.map((client) => client.end().catch(() => undefined)));
	const again = await Promise.all([1, 2, 3, 4].map(() => connect()));
	await Promise.all(again.map((client) => client.end()));
});

test('SIGHUP reads configuration and policy again in every worker', async () => {
	const text = await readFile(served.configFile, 'utf8');
	const config = parse(text) as TestConfig;
	config.databases = { ...config.databases, other: { ...config.databases['shop'] } };
	const [reloads, ends] = [served.since('configuration was reloaded'), served.since('policy is unchanged')];
	await writeFile(served.configFile, stringify(config));
	try {
		served.signal('SIGHUP');
		await vi.waitFor(() => expect(new Set(reloads().map(({ worker }) => worker))).toEqual(new Set([1, 2])), patience);
	} finally {
		await writeFile(served.configFile, text);
		served.signal('SIGHUP');
	}
	await vi.waitFor(() => expect(reloads()).toHaveLength(4), patience);
	// The last thing that a reload says.
	await vi.waitFor(() => expect(ends()).toHaveLength(4), patience);
});

test('a signal for all processes is acted on by the supervisor alone', async () => {
	const reloads = served.lines('policy is unchanged').length;
	for (const pid of served.workers().values())
		for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR2'] as const) process.kill(pid, signal);
	const clients = await Promise.all([1, 2, 3, 4].map(() => connect()));
	await Promise.all(clients.map((client) => client.end()));
	expect(served.lines('policy is unchanged')).toHaveLength(reloads);
});

interface Tally {
	committed: number;
	/** Sessions that ended between two transactions. */
	moved: number;
	/** Errors in a transaction, without a reason, or at a login. */
	broken: unknown[];
}

/** How many transactions of `works` have been committed, as the server knows. */
async function rolled(): Promise<number> {
	const [row] = await world.backend.sql("select count(*)::int as n from sales.orders where note = 'rolling'");
	return Number(row?.['n']);
}

/** Transactions, one after the other; a new session whenever the gateway ends the one there is, or for each of them. */
async function works(tally: Tally, goesOn: () => boolean, each: boolean): Promise<void> {
	while (goesOn()) {
		let at = 'login';
		try {
			const client = await connect();
			while (goesOn()) {
				at = 'begin';
				await client.query('begin');
				at = 'transaction';
				await client.query("insert into sales.orders (tenant, customer_id, note) values ('acme', 3, 'rolling')");
				await client.query('commit');
				at = 'between';
				tally.committed += 1;
				if (each) break;
				await sleep(tally.committed % 5);
			}
			await client.end();
		} catch (error) {
			const { code, message } = error as { code?: string; message: string };
			const told = code === '57P01' || /Connection terminated|not queryable/.test(message);
			// The answer to BEGIN may be that the session has just ended; nothing may end a transaction.
			if (!told || at === 'login' || at === 'transaction') tally.broken.push(`${at}: ${message}`);
			tally.moved += 1;
		}
	}
}

test('SIGUSR2 restarts one worker after the other; nobody is refused and no transaction breaks', async () => {
	const before = served.workers();
	// What was logged and written so far is not of this: a test that is tried again stands on the same gateway.
	const told = (line: string): number => served.lines(line).length;
	const [begins, dones, written] = [told('rolling restart begins'), told('rolling restart is done'), await rolled()];
	const tally: Tally = { committed: 0, moved: 0, broken: [] };
	let going = true;
	const clients = [false, false, true, true].map((each) => works(tally, () => going, each));
	try {
		await vi.waitFor(() => expect(tally.committed).toBeGreaterThan(20), patience);
		// One that is in a transaction meanwhile, and takes its time.
		const slow = await connect();
		await slow.query('begin');
		await slow.query("insert into sales.orders (tenant, customer_id, note) values ('acme', 3, 'slow')");
		served.signal('SIGUSR2');
		await vi.waitFor(() => expect(told('rolling restart begins')).toBe(begins + 1), patience);
		const begun = tally.committed;
		await vi.waitFor(() => expect(tally.committed).toBeGreaterThan(begun + 20), patience);
		expect((await slow.query('commit')).command).toBe('COMMIT');
		await vi.waitFor(() => expect(told('rolling restart is done')).toBe(dones + 1), patience);
		const had = tally.committed;
		await vi.waitFor(() => expect(tally.committed).toBeGreaterThan(had + 20), patience);
	} finally {
		going = false;
		await Promise.all(clients);
	}
	expect(tally.broken).toEqual([]);
	const after = served.workers();
	for (const worker of [1, 2]) expect(after.get(worker)).not.toBe(before.get(worker));
	expect((await rolled()) - written).toBe(tally.committed);
});

test('a configuration that cannot be used stops a rolling restart before it begins', async () => {
	const before = served.workers();
	const refused = served.since('configuration cannot be used: no worker is restarted');
	const text = await readFile(served.configFile, 'utf8');
	await writeFile(served.configFile, `${text}\nnonsense: 1\n`);
	try {
		served.signal('SIGUSR2');
		await vi.waitFor(() => expect(refused()).toHaveLength(1), patience);
	} finally {
		await writeFile(served.configFile, text);
	}
	expect(served.workers()).toEqual(before);
});

test('SIGTERM drains all: idle sessions end, a transaction finishes, nobody is taken any more', async () => {
	const idle = await Promise.all([1, 2].map(() => connect()));
	const busy = await Promise.all([1, 2].map(() => connect()));
	for (const client of busy) await client.query('begin');
	const ends = idle.map((client) => new Promise<Error>((resolve) => client.on('error', resolve)));
	served.signal('SIGTERM');
	for (const end of ends) expect(await end).toMatchObject({ code: '57P01' });
	await vi.waitFor(() => expect(connect()).rejects.toThrow(), patience);
	for (const client of busy) expect((await client.query('commit')).command).toBe('COMMIT');
	expect(await served.ended).toBe(0);
	expect(served.log().at(-1)?.msg).toBe('stopped');
	const stopped = served.lines('worker stopped').slice(-2);
	expect(new Set(stopped.map(({ worker }) => worker))).toEqual(new Set([1, 2]));
	for (const pid of served.workers().values()) expect(() => process.kill(pid, 0)).toThrow();
});

/** Starts another one, which is gone when `check` is done. */
async function withOther(
	name: string,
	change: Parameters<typeof otherConfig>[2],
	check: (served: Served & { readonly listening: Promise<void> }) => Promise<void>,
): Promise<void> {
	const file = await otherConfig(world, name, (config) => {
		config['workers'] = 2;
		change(config);
	});
	const other = await serveProcess(file);
	other.listening.catch(() => undefined);
	try {
		await check(other);
	} finally {
		await other.kill();
	}
}

test('when the supervisor dies its workers let transactions finish, and end', async () => {
	await withOther(
		'orphans',
		() => undefined,
		async (other) => {
			await other.listening;
			const clients = await Promise.all([1, 2].map(() => connect(other.port)));
			for (const client of clients) await client.query('begin');
			other.signal('SIGKILL');
			await vi.waitFor(() => expect(other.lines('the supervisor is gone: draining')).toHaveLength(2), patience);
			for (const client of clients) expect((await client.query('commit')).command).toBe('COMMIT');
			await vi.waitFor(() => {
				for (const pid of other.workers().values()) expect(() => process.kill(pid, 0)).toThrow();
			}, patience);
			expect(other.lines('worker stopped')).toHaveLength(2);
		},
	);
});

test('a second signal ends all of it at once', async () => {
	await withOther(
		'impatient',
		() => undefined,
		async (other) => {
			await other.listening;
			const client = await connect(other.port);
			await client.query('begin');
			other.signal('SIGTERM');
			await vi.waitFor(
				() =>
					expect(other.lines('draining: transactions under way may finish; a second signal ends them')).toHaveLength(1),
				patience,
			);
			other.signal('SIGTERM');
			expect(await other.ended).toBe('SIGTERM');
			await vi.waitFor(() => {
				for (const pid of other.workers().values()) expect(() => process.kill(pid, 0)).toThrow();
			}, patience);
		},
	);
});

test('a worker that hangs gets no connections, and is replaced; what it had not taken yet goes to another', async () => {
	await withOther(
		'hanging',
		(config) => {
			config['limits'] = { workerPatienceMs: 6_000 };
		},
		async (other) => {
			await other.listening;
			const [one = 0, two = 0] = [other.workers().get(1), other.workers().get(2)];
			process.kill(one, 'SIGSTOP');
			// It does not show yet, so one of these is on its way to it.
			const early = [1, 2, 3].map(() => connect(other.port));
			const silent = 'worker does not answer: it gets no new connections';
			const told = (): unknown[] => other.lines(silent).filter(({ pid }) => pid === one);
			await vi.waitFor(() => expect(told()).toHaveLength(1), patience);
			const later = [await connect(other.port), await connect(other.port)];
			const killed = 'worker does not answer: it is killed, and started again';
			await vi.waitFor(() => expect(other.lines(killed)).toMatchObject([{ worker: 1, pid: one }]), patience);
			const all = [...later, ...(await Promise.all(early))];
			await vi.waitFor(() => expect(other.workers().get(1)).not.toBe(one), patience);
			for (const client of all) expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
			expect(other.workers().get(2)).toBe(two);
			await Promise.all(all.map((client) => client.end()));
		},
	);
});

test('what goes wrong at the start is said once, and nothing is left', async () => {
	const taken: Server = createServer().listen(0, '127.0.0.1');
	await new Promise((resolve) => taken.once('listening', resolve));
	const address = taken.address();
	const port = typeof address === 'object' ? address?.port : 0;
	await withOther(
		'taken',
		(config) => {
			config.listen['port'] = port;
		},
		async (other) => {
			expect(await other.ended).toBe(1);
			expect(other.words()).toBe(`portcullis: port ${port} on 127.0.0.1 is in use already`);
			expect(other.log().filter(({ level }) => level >= 50)).toEqual([]);
		},
	);
	taken.close();
	await withOther(
		'wrong',
		(config) => {
			config['workers'] = 'many';
		},
		async (other) => {
			expect(await other.ended).toBe(1);
			expect(other.words()).toMatch(
				/^portcullis: \S+wrong\.yaml:\d+: workers: must be a number from 1 to 64, or auto$/,
			);
		},
	);
});
