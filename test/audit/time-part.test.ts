/** The bytes that a line has for its time are the same as those made anew for each, whatever came before. */
import { expect, test } from 'vitest';
import { TimePart } from '../../src/audit/time-part.ts';

function madeAnew(timeMs: number): string {
	return `","original_time":"${new Date(timeMs).toISOString()}"},"time":${timeMs}`;
}

const noon = Date.UTC(2026, 10, 23, 12);

test.each<{ name: string; times: readonly number[] }>([
	{ name: 'within one second', times: [0, 1, 9, 10, 99, 100, 101, 500, 999, 7].map((ms) => noon + ms) },
	{ name: 'back and forth between seconds', times: [noon + 999, noon + 1000, noon + 999, noon - 1, noon] },
	{ name: 'the same again', times: [noon + 12, noon + 12, noon + 13, noon + 12] },
	{ name: 'in the first seconds of the epoch and before', times: [0, 1, 999, 1000, 1001, -1, -1000, -999, 5] },
	{
		name: 'beyond four digits of a year',
		times: [253_402_300_799_998, 253_402_300_799_999, 253_402_300_800_000, 253_402_300_800_001],
	},
	{ name: 'with parts of a millisecond', times: [noon + 0.5, noon + 1, noon + 1.25, noon + 2] },
])('$name', ({ times }) => {
	const part = new TimePart();
	expect(times.map((timeMs) => part.at(timeMs).toString())).toEqual(times.map(madeAnew));
});

test('for a clock that runs on by any steps', () => {
	const part = new TimePart();
	let seed = 7;
	let timeMs = noon;
	for (let round = 0; round < 2000; round += 1) {
		seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
		timeMs += seed % 400;
		if (part.at(timeMs).toString() !== madeAnew(timeMs)) throw new Error(`other bytes at ${timeMs}`);
	}
});
