/** Several workers as one gateway: metrics, readiness, tables and commands, with workers that are away, silent, slow or draining. */
import { describe, expect, test, vi } from 'vitest';
import { parseCommands } from '../../src/admin/console/command.ts';
import { Console, type Result } from '../../src/admin/console/console.ts';
import { Control } from '../../src/admin/control.ts';
import { workerNames } from '../../src/admin/crew/bus.ts';
import { Crew } from '../../src/admin/crew/crew.ts';
import { exposition } from '../../src/admin/exposition.ts';
import type { GatewayView } from '../../src/admin/view.ts';
import { GatewayError } from '../../src/errors.ts';
import type { Access, Answer } from '../../src/stages.ts';
import { type JoinedBuses, joinedBuses } from '../support/workers.ts';
import { readExposition } from './exposition.ts';
import { testSession, type TestSession } from './session.ts';
import { testView, twoHosts, type ViewOptions } from './view.ts';

interface Hand {
	readonly worker: number;
	readonly view: GatewayView;
	readonly crew: Crew;
	readonly console: Console;
	readonly sessions: readonly TestSession[];
	/** What its audit log was given. */
	readonly recorded: string[];
}

interface Options {
	readonly views?: readonly ViewOptions[];
	readonly reload?: (worker: number) => Promise<string>;
}

const yes: Answer = { allowed: true, denied: false, named: true, rules: [] };

/** A worker with a session of its own, `s1` of the first. */
function handOf(buses: JoinedBuses['buses'], worker: number, options: Options): Hand {
	const bus = buses[worker - 1];
	if (bus === undefined) throw new Error(`there is no worker ${worker}`);
	const sessions = [testSession({ id: `s${worker}` })];
	const view = testView({ sessions, ...options.views?.[worker - 1] });
	const reload = (): Promise<string> => options.reload?.(worker) ?? Promise.resolve('policy p1 is unchanged');
	const control = new Control({ view, reload });
	const crew = new Crew({ bus, workers: buses.length, view, control, config: () => [] });
	const recorded: string[] = [];
	const sink = {
		accept: (record: { decision: { sql: string } }, done: (error: null, receipt: object) => void) => {
			recorded.push(record.decision.sql);
			done(null, {});
		},
		outcome: () => undefined,
		event: () => undefined,
	};
	const console = new Console({
		view,
		control: crew.operations,
		tables: crew.tables,
		config: () => [],
		sink: sink as never,
		accessFor: () => ({ revision: 'p1', onDatabase: () => yes }) as unknown as Access,
		now: Date.now,
		pauseWaitMs: () => 600_000,
	});
	return { worker, view, crew, console, sessions, recorded };
}

async function handsOf(
	count: number,
	options: Options = {},
): Promise<JoinedBuses & { readonly hands: readonly Hand[] }> {
	const joined = joinedBuses(count);
	const hands = joined.buses.map(({ worker }) => handOf(joined.buses, worker, options));
	for (const { crew } of hands) await crew.join();
	return { ...joined, hands };
}

async function type(hand: Hand | undefined, sql: string): Promise<Result> {
	const results: Result[] = [];
	const asking = {
		identity: {},
		info: {},
		protocol: 'simple',
		number: 1,
		signal: new AbortController().signal,
	} as never;
	await hand?.console.run(parseCommands(sql), asking, (result) => {
		results.push(result);
	});
	const [only] = results;
	if (only === undefined) throw new Error('no result');
	return only;
}

/** Rows as objects. */
async function show(hand: Hand | undefined, sql: string): Promise<Record<string, unknown>[]> {
	const result = await type(hand, sql);
	if (result.type !== 'table') throw new Error('no table');
	const { columns, rows } = result.table;
	return rows.map((row) => Object.fromEntries(columns.map(({ name }, index) => [name, row[index]])));
}

async function metric(hand: Hand | undefined, series: string): Promise<number | undefined> {
	const page = exposition((await hand?.crew.families()) ?? []);
	readExposition(page);
	const line = page.split('\n').find((one) => one.startsWith(`${series} `));
	return line === undefined ? undefined : Number(line.slice(series.length + 1));
}

/** It is there, and has no answer to anything: as if its time was over, without anybody having to wait for that. */
function silence({ buses }: JoinedBuses, worker: number): void {
	const bus = buses[worker - 1];
	if (bus === undefined) throw new Error(`there is no worker ${worker}`);
	const receive = bus.receive.bind(bus);
	bus.receive = (message): void => receive(message.type === 'bus-ask' ? { ...message, question: 'nothing' } : message);
}

describe('metrics of several workers', () => {
	test('are summed, or joined by what they mean, and of each process where only that says something', async () => {
		const { hands } = await handsOf(3, { views: [{}, { audit: { healthy: false } }, { cluster: twoHosts }] });
		for (const { view, worker } of hands) {
			view.meters.of('shop').effects.allow = worker * 10;
			view.meters.of('shop').durations.observe(worker);
		}
		hands[1]?.view.databases[0]?.gate.pause();
		for (const hand of hands) {
			expect(await metric(hand, 'portcullis_statements_total{database="shop",effect="allow"}')).toBe(60);
			expect(await metric(hand, 'portcullis_statement_duration_seconds_count{database="shop"}')).toBe(3);
			expect(await metric(hand, 'portcullis_statement_duration_seconds_bucket{database="shop",le="0.001"}')).toBe(1);
			expect(await metric(hand, 'portcullis_sessions{database="shop",state="idle"}')).toBe(3);
			expect(await metric(hand, 'portcullis_pool_size{database="shop"}')).toBe(6);
			expect(await metric(hand, 'portcullis_sessions_max')).toBe(5_000);
			expect(await metric(hand, 'portcullis_database_paused{database="shop"}')).toBe(1);
			expect(await metric(hand, 'portcullis_audit_healthy')).toBe(0);
			expect(await metric(hand, 'portcullis_ready')).toBe(0);
			expect(await metric(hand, 'portcullis_policy_info{revision="0123456789abcdef"}')).toBe(1);
			expect(await metric(hand, 'portcullis_workers{state="alive"}')).toBe(3);
			expect(await metric(hand, 'process_resident_memory_bytes{worker="2"}')).toBeGreaterThan(0);
			expect(await metric(hand, 'process_resident_memory_bytes')).toBeUndefined();
		}
	});

	test('are the same as those of one, but for what tells of workers', async () => {
		const { hands } = await handsOf(2);
		const alone = readExposition(exposition((await hands[0]?.crew.families()) ?? []));
		const { families } = await import('../../src/admin/families.ts');
		const one = readExposition(exposition(families(testView())));
		expect([...alone.keys()]).toEqual([...one.keys()]);
	});

	test('keep what a catalogue that is unknown says of its age', async () => {
		const { hands } = await handsOf(2, { views: [{}, { databases: { shop: { state: 'unknown', ageMs: null } } }] });
		expect(await metric(hands[0], 'portcullis_catalog_age_seconds{database="shop"}')).toBeNaN();
	});

	test('of a worker that is gone stay counted, whoever is asked, and go on with the next one', async () => {
		const joined = await handsOf(3);
		const { buses, hands, leave, replace } = joined;
		const series = 'portcullis_statements_total{database="shop",effect="allow"}';
		const time = 'portcullis_statement_duration_seconds_count{database="shop"}';
		for (const { view, worker } of hands) {
			view.meters.of('shop').effects.allow = worker * 10;
			view.meters.of('shop').durations.observe(worker);
		}
		expect(await metric(hands[0], series)).toBe(60);
		leave(3);
		// Nobody has asked the second one before: it asks the first.
		expect(await metric(hands[1], series)).toBe(60);
		expect(await metric(hands[1], time)).toBe(3);
		expect(await metric(hands[1], 'portcullis_sessions{database="shop",state="idle"}')).toBe(2);
		expect(await metric(hands[1], 'portcullis_workers{state="configured"}')).toBe(3);
		expect(await metric(hands[1], 'portcullis_workers{state="alive"}')).toBe(2);
		expect(await metric(hands[1], 'portcullis_worker_up{worker="3"}')).toBe(0);
		// Its successor begins at nothing; before it has taken over what was counted, nobody counts on it.
		replace(3);
		const later = handOf(buses, 3, {});
		later.view.meters.of('shop').effects.allow = 1;
		expect(await metric(hands[1], series)).toBe(60);
		await later.crew.join();
		expect(await metric(hands[1], series)).toBe(61);
		expect(await metric(later, series)).toBe(61);
		expect(await metric(hands[0], 'portcullis_worker_up{worker="3"}')).toBe(1);
	});

	test('of the worker that was asked stay counted when it is gone', async () => {
		const { hands, leave } = await handsOf(3);
		for (const { view } of hands) view.meters.of('shop').rows = 5;
		expect(await metric(hands[0], 'portcullis_rows_total{database="shop"}')).toBe(15);
		leave(1);
		expect(await metric(hands[2], 'portcullis_rows_total{database="shop"}')).toBe(15);
	});

	test('outlast workers that are replaced one after the other, though nobody asks meanwhile', async () => {
		const joined = joinedBuses(2);
		const first = joined.buses.map(({ worker }) => handOf(joined.buses, worker, {}));
		for (const { crew } of first) await crew.join();
		for (const { view } of first) view.meters.of('shop').rows = 5;
		let hands = first;
		for (const worker of [1, 2]) {
			hands[worker - 1]?.crew.leave();
			// What was sent arrives before the end is noticed.
			await new Promise((resolve) => setImmediate(() => setImmediate(() => setImmediate(resolve))));
			joined.replace(worker);
			const next = handOf(joined.buses, worker, {});
			await next.crew.join();
			hands = hands.map((hand) => (hand.worker === worker ? next : hand));
		}
		for (const { view } of hands) view.meters.of('shop').rows = 1;
		for (const hand of hands) expect(await metric(hand, 'portcullis_rows_total{database="shop"}')).toBe(12);
	});

	test('of a worker that does not answer are left out, but for what it had counted, and that is shown', async () => {
		const joined = await handsOf(2);
		for (const { view } of joined.hands) view.meters.of('shop').rows = 5;
		expect(await metric(joined.hands[0], 'portcullis_rows_total{database="shop"}')).toBe(10);
		silence(joined, 2);
		expect(await metric(joined.hands[0], 'portcullis_rows_total{database="shop"}')).toBe(10);
		expect(await metric(joined.hands[0], 'portcullis_worker_up{worker="2"}')).toBe(0);
		expect(await metric(joined.hands[0], 'portcullis_workers{state="alive"}')).toBe(2);
		expect(await metric(joined.hands[0], 'portcullis_pool_size{database="shop"}')).toBe(2);
	});
});

describe('readiness of several workers', () => {
	const rows: readonly {
		readonly name: string;
		readonly views: readonly ViewOptions[];
		readonly ready: boolean;
		readonly reasons?: readonly string[];
	}[] = [
		{ name: 'all ready', views: [{}, {}, {}], ready: true, reasons: [] },
		{
			name: 'one that cannot write its log',
			views: [{}, { audit: { healthy: false, lastError: 'ENOSPC' } }, {}],
			ready: false,
			reasons: ['worker 2: the audit log cannot be written: ENOSPC'],
		},
		{ name: 'one that is being replaced', views: [{}, { draining: true }, {}], ready: true, reasons: [] },
		{
			name: 'one that is being replaced, and one that is not ready',
			views: [{ draining: true }, {}, { databases: { shop: { state: 'unknown' } } }],
			ready: false,
			reasons: ['worker 3: the catalogue is unknown'],
		},
		{
			name: 'all about to stop',
			views: [{ draining: true }, { draining: true }, { draining: true }],
			ready: false,
			reasons: ['the gateway is about to stop'],
		},
	];
	test.each(rows)('$name', async ({ views, ready, reasons = [] }) => {
		const { hands } = await handsOf(3, { views });
		for (const hand of hands) {
			const found = await hand.crew.readiness(null);
			expect(found.ready).toBe(ready);
			expect(found.checks.filter(({ ok }) => !ok).map(({ reason }) => reason)).toEqual(reasons);
			expect(found.silent).toEqual([]);
		}
	});

	test('is of those that answer, and says who does not', async () => {
		const joined = await handsOf(3);
		silence(joined, 3);
		expect(await joined.hands[0]?.crew.readiness('shop')).toMatchObject({ ready: true, silent: [3] });
		joined.leave(3);
		expect(await joined.hands[0]?.crew.readiness('shop')).toMatchObject({ ready: true, silent: [] });
	});
});

describe('tables of several workers', () => {
	test('join rows that are about the same, and say of the others which worker they are of', async () => {
		const { hands } = await handsOf(2, { views: [{ cluster: twoHosts }, { cluster: twoHosts }] });
		for (const hand of hands) {
			expect(await show(hand, 'SHOW POOLS')).toMatchObject([{ database: 'shop', user: 'gateway', cl_active: 2 }]);
			expect(await show(hand, 'SHOW DATABASES')).toMatchObject([
				{ name: 'shop', pool_size: 2, current_client_connections: 2, max_client_connections: 0, paused: 0 },
			]);
			expect(await show(hand, 'SHOW CLIENTS')).toMatchObject([
				{ id: 's1', worker: 1 },
				{ id: 's2', worker: 2 },
			]);
			expect(await show(hand, 'SHOW SERVERS')).toMatchObject([
				{ link: 's1', worker: 1 },
				{ link: 's2', worker: 2 },
			]);
			expect(await show(hand, 'SHOW HOSTS')).toMatchObject([
				{ host: 'db1', connections: 14, used: 1, lag_ms: null },
				{ host: 'db2', connections: 0, lag_ms: 1500 },
			]);
			expect(await show(hand, 'SHOW STATS')).toMatchObject([
				{ database: 'shop', total_received: 2 },
				{ database: 'portcullis' },
			]);
			expect(await show(hand, 'SHOW WORKERS')).toMatchObject([
				{ worker: 1, state: 'active', sessions: 1 },
				{ worker: 2, state: 'active', sessions: 1 },
			]);
			expect(await show(hand, 'SHOW READINESS')).toMatchObject([{ check: 'draining', ok: 1 }, {}, {}]);
			expect(await show(hand, 'SHOW VERSION')).toEqual([{ version: 'Portcullis 1.2.3' }]);
		}
	});

	test('have columns that are known before they are asked for', async () => {
		const { hands } = await handsOf(2);
		for (const name of ['clients', 'pools', 'workers'] as const) {
			const result = await type(hands[0], `SHOW ${name}`);
			expect(hands[0]?.console.columnsOf({ type: 'show', name })).toEqual(
				result.type === 'table' ? result.table.columns : null,
			);
		}
	});

	test('add up why clients keep their connections, and have the longest wait', async () => {
		const { hands } = await handsOf(2);
		const [one, two] = hands.map(({ view }) => view.databases[0]?.gate);
		if (one === undefined || two === undefined) throw new Error('no gates');
		const statsOf = (pinned: object): object => ({ size: 2, leased: 1, connecting: 0, waiting: 1, idle: 1, pinned });
		Object.defineProperty(one, 'stats', { value: statsOf({ temporary: 1, lock: 2 }) });
		Object.defineProperty(two, 'stats', { value: statsOf({ temporary: 3, listen: 1 }) });
		Object.defineProperty(one, 'longestWaitMs', { value: 999 });
		Object.defineProperty(two, 'longestWaitMs', { value: 2_001 });
		expect(await show(hands[0], 'SHOW POOLS')).toMatchObject([
			{
				cl_waiting: 2,
				sv_active: 2,
				sv_pinned: 7,
				pins: 'temporary 4, lock 2, listen 1',
				maxwait: 2,
				maxwait_us: 1_000,
			},
		]);
	});

	test('say which worker is not in them', async () => {
		const joined = await handsOf(3);
		silence(joined, 2);
		const found = await type(joined.hands[0], 'SHOW CLIENTS');
		expect(found).toMatchObject({ notice: 'worker 2 did not answer, and what is theirs is not shown' });
		expect(await show(joined.hands[0], 'SHOW WORKERS')).toMatchObject([
			{ worker: 1, state: 'active' },
			{ worker: 3, state: 'active' },
			{ worker: 2, state: 'silent' },
		]);
		joined.leave(2);
		expect(await type(joined.hands[0], 'SHOW CLIENTS')).toMatchObject({ notice: '' });
		expect((await show(joined.hands[0], 'SHOW WORKERS')).at(-1)).toMatchObject({ worker: 2, state: 'away', pid: null });
	});
});

describe('commands to several workers', () => {
	const gates = (hands: readonly Hand[]) => hands.map(({ view }) => view.databases[0]?.gate);

	test('are done by all, and recorded by the one that was asked', async () => {
		const { hands } = await handsOf(3);
		expect(await type(hands[1], 'PAUSE shop NOWAIT')).toMatchObject({
			notice: expect.stringMatching(/^0 sessions have/),
		});
		await type(hands[1], 'RESUME');
		// It is done when nobody of any of them has a server connection.
		const lease = await gates(hands)[2]?.lease({ startup: {} });
		let done = false;
		const pausing = type(hands[1], 'PAUSE shop').then((result) => {
			done = true;
			return result;
		});
		await vi.waitFor(() => expect(gates(hands).map((gate) => gate?.paused)).toEqual([true, true, true]), 30_000);
		expect(done).toBe(false);
		await lease?.release('clean');
		expect(await pausing).toMatchObject({ tag: 'PAUSE', notice: '' });
		expect(gates(hands).map((gate) => gate?.paused)).toEqual([true, true, true]);
		await type(hands[1], 'RESUME');
		await type(hands[1], 'DISABLE shop');
		expect(gates(hands).map((gate) => [gate?.paused, gate?.disabled])).toEqual([
			[false, true],
			[false, true],
			[false, true],
		]);
		await type(hands[1], 'ENABLE shop');
		expect(await type(hands[1], 'KILL shop')).toMatchObject({ notice: '3 sessions ended; new ones wait until RESUME' });
		expect(hands.map(({ sessions }) => sessions.map(({ terminated }) => terminated))).toEqual([
			[['killed']],
			[['killed']],
			[['killed']],
		]);
		expect(hands.map(({ recorded }) => recorded.length)).toEqual([0, 7, 0]);
	});

	test('KILL_CLIENT finds the worker of the session', async () => {
		const { hands } = await handsOf(3);
		await type(hands[0], "KILL_CLIENT 's3'");
		await type(hands[0], "KILL_CLIENT 's1'");
		expect(hands.map(({ sessions }) => sessions[0]?.terminated.length)).toEqual([1, 0, 1]);
		await expect(type(hands[0], "KILL_CLIENT 's9'")).rejects.toMatchObject({ sqlstate: '22023' });
	});

	test('KILL_CLIENT of a session that is nowhere, while a worker says nothing, is not told to be nowhere', async () => {
		const joined = await handsOf(3);
		silence(joined, 3);
		await type(joined.hands[0], "KILL_CLIENT 's2'");
		await expect(type(joined.hands[0], "KILL_CLIENT 's3'")).rejects.toMatchObject({
			sqlstate: '58000',
			detail: expect.stringMatching(/worker 3/),
		});
	});

	test('for a database that there is not are refused', async () => {
		const { hands } = await handsOf(2);
		await expect(type(hands[0], 'PAUSE nowhere')).rejects.toMatchObject({ sqlstate: '3D000' });
	});

	test('say which worker has not done it', async () => {
		const joined = await handsOf(4);
		silence(joined, 2);
		await expect(type(joined.hands[0], 'PAUSE')).rejects.toMatchObject({
			sqlstate: '58000',
			message: 'PAUSE was not done by worker 2',
			detail: 'Done by workers 1, 3 and 4.\nNo answer from worker 2; it may be done there, too.',
		});
		expect(gates(joined.hands).map((gate) => gate?.paused)).toEqual([true, false, true, true]);
	});

	test('RELOAD is of all: one answer where they agree, else each by itself', async () => {
		const same = await handsOf(2);
		expect(await type(same.hands[0], 'RELOAD')).toMatchObject({ notice: 'policy p1 is unchanged' });
		const differ = await handsOf(2, { reload: async (worker) => `policy p${worker}` });
		expect(await type(differ.hands[0], 'RELOAD')).toMatchObject({ notice: 'worker 1: policy p1\nworker 2: policy p2' });
		const refuse = (): Promise<string> => Promise.reject(new GatewayError('F0000', 'no', { detail: 'line 3' }));
		const refused = await handsOf(2, { reload: refuse });
		await expect(type(refused.hands[0], 'RELOAD')).rejects.toMatchObject({ sqlstate: 'F0000', detail: 'line 3' });
		const half = await handsOf(2, { reload: (worker) => (worker === 2 ? refuse() : Promise.resolve('')) });
		await expect(type(half.hands[0], 'RELOAD')).rejects.toMatchObject({
			message: 'RELOAD was not done by worker 2',
			detail: 'Done by worker 1.\nWorker 2: no',
		});
	});

	test('that stop something hold for a worker that comes later', async () => {
		const { buses, hands, leave, replace } = await handsOf(3);
		leave(3);
		await type(hands[0], 'PAUSE shop');
		await type(hands[1], 'DISABLE shop');
		replace(3);
		const later = handOf(buses, 3, {});
		await later.crew.join();
		const gate = later.view.databases[0]?.gate;
		expect([gate?.paused, gate?.disabled]).toEqual([true, true]);
	});
});

test('names of workers are words', () => {
	expect([[3], [1, 2], [1, 2, 4]].map(workerNames)).toEqual(['worker 3', 'workers 1 and 2', 'workers 1, 2 and 4']);
});
