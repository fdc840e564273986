/** Users take turns, and none of them fills the room. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { WaitingTexts } from '../../src/analysis/waiting.ts';

interface One {
	readonly user: string;
	readonly bytes: number;
	readonly n: number;
}

const of = (user: string, n: number, bytes = 1): One => ({ user, bytes, n });

function taken(waiting: WaitingTexts<One>): string[] {
	const all: string[] = [];
	for (let one = waiting.take(); one !== null; one = waiting.take()) all.push(`${one.user}${one.n}`);
	return all;
}

describe('turns', () => {
	it('go round the users, in order for each', () => {
		const waiting = new WaitingTexts<One>(100);
		for (let n = 1; n <= 3; n += 1) waiting.add(of('a', n));
		waiting.add(of('b', 1));
		waiting.add(of('c', 1));
		waiting.add(of('b', 2));
		expect(taken(waiting)).toEqual(['a1', 'b1', 'c1', 'a2', 'b2', 'a3']);
		expect(waiting.bytes).toBe(0);
	});

	it('one that comes later is not behind all of another user', () => {
		const waiting = new WaitingTexts<One>(100);
		for (let n = 1; n <= 10; n += 1) waiting.add(of('a', n));
		waiting.take();
		waiting.add(of('b', 1));
		expect([waiting.take(), waiting.take()].map((one) => one?.user)).toEqual(['a', 'b']);
	});

	it('what was removed has none', () => {
		const waiting = new WaitingTexts<One>(100);
		const [first, second] = [of('a', 1), of('a', 2)];
		waiting.add(first);
		waiting.add(second);
		expect(waiting.remove(first)).toBe(true);
		expect(waiting.remove(first)).toBe(false);
		expect(taken(waiting)).toEqual(['a2']);
	});
});

describe('room', () => {
	it.each([
		{ name: 'half for one user', held: [of('a', 1, 30), of('a', 2, 20)], next: of('a', 3, 1), fits: false },
		{ name: 'the rest for others', held: [of('a', 1, 50)], next: of('b', 1, 50), fits: true },
		{ name: 'no more than there is', held: [of('a', 1, 50), of('b', 1, 40)], next: of('c', 1, 11), fits: false },
		{ name: 'the first, however long', held: [], next: of('a', 1, 1_000), fits: true },
	])('$name', ({ held, next, fits }) => {
		const waiting = new WaitingTexts<One>(100);
		for (const one of held) expect(waiting.add(one)).toBe(true);
		expect(waiting.add(next)).toBe(fits);
	});

	it('is counted exactly, whatever comes and goes', () => {
		const step = fc.record({
			user: fc.constantFrom('a', 'b', 'c'),
			bytes: fc.nat(60),
			does: fc.constantFrom('add', 'take', 'remove'),
		});
		fc.assert(
			fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
				const waiting = new WaitingTexts<One>(100);
				const held = new Set<One>();
				steps.forEach(({ user, bytes, does }, n) => {
					const one = of(user, n, bytes);
					const [any] = held;
					if (does === 'add') {
						if (waiting.add(one)) held.add(one);
					} else if (does === 'take') {
						const got = waiting.take();
						expect(got === null).toBe(held.size === 0);
						if (got !== null) expect(held.delete(got)).toBe(true);
					} else if (any !== undefined) {
						expect(waiting.remove(any)).toBe(true);
						held.delete(any);
					}
					expect(waiting.bytes).toBe([...held].reduce((sum, each) => sum + each.bytes, 0));
				});
				expect(taken(waiting).length).toBe(held.size);
			}),
		);
	});
});
