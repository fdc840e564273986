/** Panels side by side: columns line up, refusals wrap into what is left, what differs is painted. */
import { expect, test } from 'vitest';
import { type Panel, sideBySide, wrap } from '../../../src/cli/demo/panels.ts';
import { paint } from '../../../src/cli/io.ts';

const raw: Panel = {
	title: 'ana',
	answer: {
		kind: 'rows',
		columns: ['id', 'ssn'],
		rows: [
			['1', '937-54-7907'],
			['2', '974-08-5814'],
		],
	},
};
const masked: Panel = { title: 'ben', answer: { kind: 'rows', columns: ['id', 'ssn'], rows: [['1', 'XXX-XX-7907']] } };
const refused: Panel = {
	title: 'app',
	answer: { kind: 'refused', sqlstate: '42501', words: ['permission denied for table employees', 'no rule allows it'] },
};

const table: { name: string; panels: Panel[]; columns: number; want: string[] }[] = [
	{
		name: 'three of them',
		panels: [masked, raw, refused],
		columns: 100,
		want: [
			'   ben             │ ana             │ app',
			'   id  ssn         │ id  ssn         │ ✘ ERROR 42501',
			'   1   XXX-XX-7907 │ 1   937-54-7907 │ permission denied for table employees',
			'                   │ 2   974-08-5814 │ no rule allows it',
		],
	},
	{
		name: 'a refusal in a narrow place wraps',
		panels: [raw, refused],
		columns: 50,
		want: [
			'   ana             │ app',
			'   id  ssn         │ ✘ ERROR 42501',
			'   1   937-54-7907 │ permission denied for table',
			'   2   974-08-5814 │ employees',
			'                   │ no rule allows it',
		],
	},
	{
		name: 'no rows, and a tag',
		panels: [
			{ title: 'a', answer: { kind: 'rows', columns: ['x'], rows: [] } },
			{ title: 'b', answer: { kind: 'done', tag: 'UPDATE 1' } },
			{ title: 'c', answer: { kind: 'rows', columns: ['longer'], rows: [[null]] } },
		],
		columns: 80,
		want: ['   a         │ b          │ c', '   x         │ ✔ UPDATE 1 │ longer', '   (no rows) │            │ null'],
	},
];

for (const { name, panels, columns, want } of table) {
	test(name, () => {
		expect(sideBySide(panels, 1, columns, paint(false))).toEqual(want);
	});
}

test('only what differs from the reference is painted as masked', () => {
	const text = sideBySide([masked, raw], 1, 100, paint(true)).join('\n');
	expect(text).toContain('\u001b[33mXXX-XX-7907\u001b[39m');
	expect(text).not.toContain('\u001b[33m937');
	expect(text).not.toContain('\u001b[33m1 ');
});

test('wrap keeps every word, and the width', () => {
	const text = 'a line that is longer than the width, with aVeryLongWordThatStandsAlone inside';
	const lines = wrap(text, 16);
	expect(lines.join('').replaceAll(' ', '')).toBe(text.replaceAll(' ', ''));
	expect(lines.filter((line) => line.length > 16)).toEqual([]);
	expect(lines).toContain('aVeryLongWordTha');
});
