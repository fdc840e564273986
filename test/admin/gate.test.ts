/** The gate before a pool: pause, resume, disable, and what is counted, on a pool that the test holds. */
import { expect, test } from 'vitest';
import { Gate } from '../../src/admin/gate.ts';
import { GatewayError } from '../../src/errors.ts';
import { EasyPool } from './view.ts';

function gateOf(options: { readonly waitMs?: number; readonly waitersMax?: number } = {}): {
	gate: Gate;
	pool: EasyPool;
} {
	const pool = new EasyPool();
	return { pool, gate: new Gate(pool, { database: 'shop', waitMs: 10_000, waitersMax: 10, ...options }) };
}

async function code(act: Promise<unknown>): Promise<string> {
	return act.then(
		() => 'granted',
		(error: unknown) => (error instanceof GatewayError ? error.sqlstate : 'another error'),
	);
}

test('what is not paused goes to the pool at once', async () => {
	const { gate, pool } = gateOf();
	const lease = await gate.lease({ startup: {} });
	expect(pool.leased).toBe(1);
	await lease.release('clean');
	expect(pool.leased).toBe(0);
	expect(gate.results).toMatchObject({ granted: 1, failed: 0 });
	expect(gate.durations.count).toBe(1);
	expect(gate.waits).toBe(0);
});

test('leases that are asked for during a pause wait, in order, until it ends', async () => {
	const { gate, pool } = gateOf();
	gate.pause();
	const order: number[] = [];
	const leases = [1, 2, 3].map((number) => gate.lease({ startup: {} }).then(() => order.push(number)));
	expect(gate.stats).toMatchObject({ waiting: 3, leased: 0 });
	expect(gate.longestWaitMs).toBeGreaterThanOrEqual(0);
	gate.resume();
	await Promise.all(leases);
	expect(order).toEqual([1, 2, 3]);
	expect(pool.leased).toBe(3);
	expect(gate.stats.waiting).toBe(0);
	expect(gate.longestWaitMs).toBe(0);
	expect(gate.waits).toBe(3);
});

test('a pause that lasts too long refuses those that wait, with words of its own', async () => {
	const { gate, pool } = gateOf({ waitMs: 1 });
	gate.pause();
	await expect(gate.lease({ startup: {} })).rejects.toMatchObject({
		sqlstate: '57P03',
		severity: 'FATAL',
		message: 'database "shop" is paused by an administrator of the gateway',
	});
	expect(pool.leased).toBe(0);
	expect(gate.results.paused).toBe(1);
	expect(gate.stats.waiting).toBe(0);
});

test('only so many wait; the next is refused at once', async () => {
	const { gate } = gateOf({ waitersMax: 1 });
	gate.pause();
	const first = gate.lease({ startup: {} });
	expect(await code(gate.lease({ startup: {} }))).toBe('57P03');
	gate.resume();
	await first;
});

test('a client that leaves is forgotten', async () => {
	const { gate, pool } = gateOf();
	gate.pause();
	const leaving = new AbortController();
	const lease = gate.lease({ startup: {}, signal: leaving.signal });
	leaving.abort();
	expect(await code(lease)).toBe('08006');
	expect(gate.stats.waiting).toBe(0);
	gate.resume();
	expect(pool.leased).toBe(0);
	expect(gate.results.left).toBe(1);
});

test('at the end of the gateway those that wait are told', async () => {
	const { gate, pool } = gateOf();
	gate.pause();
	const lease = code(gate.lease({ startup: {} }));
	await gate.close();
	expect(await lease).toBe('57P01');
	expect(pool.closed).toBe(true);
});

test.each([
	{ failure: new GatewayError('53300', 'full'), result: 'full' },
	{ failure: new GatewayError('57P03', 'the database system is starting up'), result: 'failed' },
	{ failure: new Error('unforeseen'), result: 'failed' },
])('a pool that says $failure.message counts as $result', async ({ failure, result }) => {
	const { gate, pool } = gateOf();
	pool.failure = failure;
	await expect(gate.lease({ startup: {} })).rejects.toBe(failure);
	expect(Object.entries(gate.results).filter(([, count]) => count > 0)).toEqual([[result, 1]]);
});

test('a lease that finds the pool full counts as a wait', async () => {
	const { gate } = gateOf();
	for (let i = 0; i < 3; i += 1) await gate.lease({ startup: {} });
	expect(gate.waits).toBe(1);
});

test('a disabled database refuses in the words of PostgreSQL, and is enabled again', () => {
	const { gate } = gateOf();
	gate.admit();
	gate.disable();
	expect(() => gate.admit()).toThrow('database "shop" is not currently accepting connections');
	gate.enable();
	gate.admit();
});
