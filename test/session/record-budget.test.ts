/** Strangers may cause so many records and no more; what has none is counted, and none of it is forgotten. */
import { expect, test } from 'vitest';
import { RecordBudget } from '../../src/session/record-budget.ts';

function count(budget: RecordBudget, network: string, times: number, nowMs: number): number {
	return Array.from({ length: times }, () => budget.take(network, nowMs)).filter(Boolean).length;
}

test('a burst, then so many a second; the rest is counted', () => {
	const budget = new RecordBudget({ burst: 10, perSecond: 2 }, { burst: 100, perSecond: 100 });
	expect(count(budget, 'a', 50, 0)).toBe(10);
	expect(count(budget, 'a', 50, 1_000)).toBe(2);
	expect(count(budget, 'b', 50, 1_000)).toBe(10);
	expect(budget.drain(1_000)).toEqual([
		{ network: 'a', count: 88 },
		{ network: 'b', count: 40 },
	]);
	expect(budget.drain(1_000)).toEqual([]);
	expect(count(budget, 'a', 50, 60_000)).toBe(10);
});

test('many networks together have no more than all may', () => {
	const budget = new RecordBudget({ burst: 10, perSecond: 2 }, { burst: 100, perSecond: 1 });
	let recorded = 0;
	for (let network = 0; network < 50_000; network += 1) recorded += count(budget, `n${network}`, 1, 0);
	expect(recorded).toBe(100);
	const told = budget.drain(0);
	expect(told.reduce((sum, { count: one }) => sum + one, 0)).toBe(49_900);
	expect(told.length).toBeLessThanOrEqual(10_001);
	// Quiet networks are forgotten, so that memory is not theirs for ever.
	budget.drain(1_000_000);
	expect(count(budget, 'n1', 1, 1_000_000)).toBe(1);
});

test('a clock that goes back does no harm', () => {
	const budget = new RecordBudget({ burst: 1, perSecond: 1 }, { burst: 10, perSecond: 1 });
	expect(count(budget, 'a', 2, 5_000)).toBe(1);
	expect(count(budget, 'a', 2, 1_000)).toBe(0);
});
