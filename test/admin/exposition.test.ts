/** Text format and histograms; the reader that other tests rely on is tried with planted faults. */
import { describe, expect, test } from 'vitest';
import { exposition } from '../../src/admin/exposition.ts';
import { Histogram } from '../../src/admin/histogram.ts';
import { readExposition } from './exposition.ts';

describe('the page', () => {
	test('escapes labels and help, and writes every kind of number', () => {
		const page = exposition([
			{
				type: 'gauge',
				name: 'a_gauge',
				help: 'One line\nand \\ another.',
				across: 'sum',
				samples: [
					{ labels: { name: 'a"b\\c\nd', other: '' }, value: 1.5 },
					{ labels: { name: 'nan' }, value: Number.NaN },
					{ labels: { name: 'inf' }, value: Number.NEGATIVE_INFINITY },
				],
			},
			{ type: 'counter', name: 'b_total', help: 'None yet.', samples: [] },
		]);
		expect(page).toBe(
			[
				'# HELP a_gauge One line\\nand \\\\ another.',
				'# TYPE a_gauge gauge',
				'a_gauge{name="a\\"b\\\\c\\nd",other=""} 1.5',
				'a_gauge{name="nan"} NaN',
				'a_gauge{name="inf"} -Inf',
				'# HELP b_total None yet.',
				'# TYPE b_total counter',
				'',
			].join('\n'),
		);
		expect(readExposition(page).get('a_gauge')?.samples[0]?.labels).toEqual({ name: 'a"b\\c\nd', other: '' });
	});

	test('writes a histogram in cumulative buckets', () => {
		const histogram = new Histogram([0.001, 0.01]);
		for (const ms of [0, 0.5, 1, 1.5, 10, 16, 5_000]) histogram.observe(ms);
		const page = exposition([
			{ type: 'histogram', name: 'd_seconds', help: 'D.', histograms: [{ labels: { db: 'x' }, histogram }] },
		]);
		expect(page.split('\n').slice(2, -1)).toEqual([
			'd_seconds_bucket{db="x",le="0.001"} 3',
			'd_seconds_bucket{db="x",le="0.01"} 5',
			'd_seconds_bucket{db="x",le="+Inf"} 7',
			'd_seconds_sum{db="x"} 5.029',
			'd_seconds_count{db="x"} 7',
		]);
		readExposition(page);
	});
});

describe('the reader finds', () => {
	const rows: readonly { readonly name: string; readonly page: string; readonly want: RegExp }[] = [
		{ name: 'a missing end', page: '# HELP a b', want: /line feed/ },
		{ name: 'a sample without family', page: 'a 1\n', want: /outside/ },
		{ name: 'a type without help', page: '# TYPE a gauge\na 1\n', want: /no HELP/ },
		{ name: 'a raw quote', page: '# HELP a b\n# TYPE a gauge\na{x="y"z"} 1\n', want: /no sample/ },
		{ name: 'no number', page: '# HELP a b\n# TYPE a gauge\na one\n', want: /no sample/ },
		{ name: 'a series twice', page: '# HELP a b\n# TYPE a gauge\na{x="1",y="2"} 1\na{y="2",x="1"} 2\n', want: /twice/ },
		{ name: 'a counter by another name', page: '# HELP a b\n# TYPE a counter\na 1\n', want: /without _total/ },
		{
			name: 'a counter below zero',
			page: '# HELP a_total b\n# TYPE a_total counter\na_total -1\n',
			want: /below zero/,
		},
		{
			name: 'buckets that shrink',
			page: '# HELP h b\n# TYPE h histogram\nh_bucket{le="1"} 2\nh_bucket{le="+Inf"} 1\nh_sum 1\nh_count 1\n',
			want: /shrink/,
		},
		{
			name: 'a count that is not the last bucket',
			page: '# HELP h b\n# TYPE h histogram\nh_bucket{le="+Inf"} 1\nh_sum 1\nh_count 2\n',
			want: /not the count/,
		},
	];
	test.each(rows)('$name', ({ page, want }) => {
		expect(() => readExposition(page)).toThrow(want);
	});
});
