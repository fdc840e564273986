/** What is added to a line piece by piece is what the same in one text would be, wherever the buffer ends. */
import { describe, expect, it } from 'vitest';
import { Batch } from '../../src/audit/batch.ts';
import { leafHash } from '../../src/audit/merkle.ts';

/** The line that `write` makes, in buffers that are full at every place of it. */
function lineOf(write: (to: Batch) => void): string {
	const seen = new Set<string>();
	for (let room = 1; room < 48; room += 1) {
		const batch = new Batch(room);
		write(batch);
		batch.endLine();
		expect(batch.leaf(0)).toBe(leafHash(batch.bytes.subarray(0, -1)));
		seen.add(batch.bytes.toString());
	}
	expect(seen.size).toBe(1);
	return [...seen].join('');
}

describe('a number', () => {
	const numbers = [
		0,
		-0,
		1,
		9,
		10,
		99,
		100,
		12_345,
		999_999_999,
		1_000_000_000,
		2_147_483_647,
		2_147_483_648,
		4_294_967_296,
		1e15,
		Number.MAX_SAFE_INTEGER,
		-1,
		-10,
		1.5,
		0.1,
		1e21,
		Number.NaN,
		Number.POSITIVE_INFINITY,
	];
	it.each(numbers)('%d', (value) => {
		expect(lineOf((to) => to.number(value))).toBe(`${String(value)}\n`);
		const around = (to: Batch): void => {
			to.text('a:');
			to.number(value);
			to.text(',b');
		};
		expect(lineOf(around)).toBe(`a:${String(value)},b\n`);
	});
});

describe('a plain statement', () => {
	it('comes with quotation marks', () => {
		expect(lineOf((to) => expect(to.plain('select 1')).toBe(true))).toBe('"select 1"\n');
		expect(lineOf((to) => expect(to.plain('')).toBe(true))).toBe('""\n');
	});

	it('comes as JSON has it', () => {
		const sql = 'select "x"\n\tfrom "\\" -- like a description';
		expect(lineOf((to) => expect(to.plain(sql)).toBe(true))).toBe(`${JSON.stringify(sql)}\n`);
	});

	it.each(["select 'é'", 'select\r1', "select crypt('a', 'b')", 'a\u202eb'])(
		'%j is none, and leaves nothing behind',
		(sql) => {
			const write = (to: Batch): void => {
				to.text('before');
				expect(to.plain(sql)).toBe(false);
				to.text('behind');
			};
			expect(lineOf(write)).toBe('beforebehind\n');
		},
	);
});
