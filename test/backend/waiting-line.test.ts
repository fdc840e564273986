/** Those that wait for a connection: in order, for so long and no longer, and not when they have left. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Lease } from '../../src/backend/lease.ts';
import { WaitingLine } from '../../src/backend/waiting-line.ts';
import { GatewayError } from '../../src/errors.ts';

beforeEach(() => {
	vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
});
afterEach(() => {
	vi.useRealTimers();
});

const lease = {} as Lease;

function line(): WaitingLine {
	return new WaitingLine({
		timeoutMs: 100,
		late: ({ as }) => new GatewayError('53300', `late: ${as}`),
		left: () => new GatewayError('08006', 'left'),
	});
}

/** What became of one that waits. */
function wait(of: WaitingLine, as: string, signal?: AbortSignal): { told: string } {
	const waiter = { told: 'waits' };
	of.wait({ startup: {}, as, signal }, false, {
		granted: () => (waiter.told = 'granted'),
		refused: (error) => (waiter.told = (error as Error).message),
	});
	return waiter;
}

test('are in order of arrival', async () => {
	const waiting = line();
	const waiters = ['a', 'b', 'c'].map((as) => wait(waiting, as));
	expect([...waiting].map(({ request }) => request.as)).toEqual(['a', 'b', 'c']);
	for (const waiter of waiting) if (waiter.request.as !== 'b') waiter.grant(lease);
	await vi.advanceTimersByTimeAsync(0);
	expect(waiters.map(({ told }) => told)).toEqual(['granted', 'waits', 'granted']);
	expect(waiting.size).toBe(1);
	waiting.close();
});

test('are refused each when its own time is up', async () => {
	const waiting = line();
	const first = wait(waiting, 'first');
	await vi.advanceTimersByTimeAsync(60);
	const second = wait(waiting, 'second');
	await vi.advanceTimersByTimeAsync(50);
	expect([first.told, second.told]).toEqual(['late: first', 'waits']);
	await vi.advanceTimersByTimeAsync(60);
	expect(second.told).toBe('late: second');
	const third = wait(waiting, 'third');
	await vi.advanceTimersByTimeAsync(90);
	expect(third.told).toBe('waits');
	await vi.advanceTimersByTimeAsync(20);
	expect([third.told, waiting.size, vi.getTimerCount()]).toEqual(['late: third', 0, 0]);
});

test('leave, each time that they wait', async () => {
	const waiting = line();
	const leaving = new AbortController();
	const before = wait(waiting, 'a', leaving.signal);
	for (const waiter of waiting) waiter.grant(lease);
	const again = wait(waiting, 'a', leaving.signal);
	const other = wait(waiting, 'b', new AbortController().signal);
	leaving.abort();
	await vi.advanceTimersByTimeAsync(0);
	expect([before.told, again.told, other.told]).toEqual(['granted', 'left', 'waits']);
	expect(waiting.size).toBe(1);
	waiting.close();
	expect(vi.getTimerCount()).toBe(0);
});
