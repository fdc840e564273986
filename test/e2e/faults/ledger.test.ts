/** The checker of the fault run is checked itself: each kind of wrong that it is there for is planted, and it says so. */
import { expect, test } from 'vitest';
import { Ledger } from './ledger.ts';
import { Seeded } from './seeded.ts';

/** Told, refused, and unknown, which may be there or not. */
function ledger(): Ledger {
	const made = new Ledger();
	for (const op of ['told', 'refused', 'unknown', 'lost']) made.sent(op, 2, true);
	made.told('told');
	made.refused('refused');
	return made;
}

const right = { told: 2, unknown: 2 };

const rows: readonly { name: string; found: Record<string, number>; counters: number; wrong: readonly RegExp[] }[] = [
	{ name: 'all is right', found: right, counters: 2, wrong: [] },
	{ name: 'a commit is lost', found: { unknown: 2 }, counters: 1, wrong: [/^told \(told at \d+ ms\) is not there$/] },
	{
		name: 'something was done twice',
		found: { ...right, told: 4 },
		counters: 2,
		wrong: [/^told .* wrote 2 rows: 4 are there$/],
	},
	{
		name: 'half of something was done',
		found: { ...right, unknown: 1 },
		counters: 2,
		wrong: [/^unknown .* wrote 2 rows: 1 are there$/],
	},
	{
		name: 'what was refused was done',
		found: { ...right, refused: 2 },
		counters: 3,
		wrong: [/^refused \(refused at \d+ ms\) is there$/],
	},
	{
		name: 'nobody sent it',
		found: { ...right, other: 1 },
		counters: 2,
		wrong: [/^other is there, and nobody sent it$/],
	},
	{
		name: 'one half of a transaction is missing',
		found: right,
		counters: 1,
		wrong: [/^the counters say 1, and 2 have counted$/],
	},
];

test.each(rows)('$name', ({ found, counters, wrong }) => {
	const result = ledger().check(new Map(Object.entries(found)), counters);
	expect(result.wrong).toEqual(wrong.map((pattern) => expect.stringMatching(pattern) as string));
});

test('what nobody can know is told apart by what became of it', () => {
	expect(ledger().check(new Map(Object.entries(right)), 2)).toEqual({
		told: 1,
		refused: 1,
		happened: 1,
		vanished: 1,
		wrong: [],
	});
});

test('chance is the same again for the same seed', () => {
	const some = (seed: number): number[] => {
		const random = new Seeded(seed);
		return [random.below(1_000), random.between(5, 9), random.fork().below(1_000)];
	};
	expect(some(7)).toEqual(some(7));
	expect(some(7)).not.toEqual(some(8));
});
