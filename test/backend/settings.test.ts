/** Settings that go along with a client: what leads from one set of them to another, and which give a text the same meaning. */
import { describe, expect, it } from 'vitest';
import { noSettings, Settings, settingsChange } from '../../src/backend/settings.ts';

const settings = (values: Record<string, string>): Settings => new Settings(new Map(Object.entries(values)));

describe('the change from one set of settings to another', () => {
	it.each([
		{ name: 'nothing', from: {}, to: {}, want: '' },
		{ name: 'the same, in another order', from: { a: '1', b: '2' }, to: { b: '2', a: '1' }, want: '' },
		{ name: 'one more', from: {}, to: { a: '1' }, want: "select pg_catalog.set_config('a', '1', false)" },
		{ name: 'another value', from: { a: '1' }, to: { a: '2' }, want: "select pg_catalog.set_config('a', '2', false)" },
		{ name: 'one less', from: { a: '1' }, to: {}, want: 'reset "a"' },
		{
			name: 'one less, one more',
			from: { 'x.y': '1' },
			to: { b: '2' },
			want: `reset "x"."y"; select pg_catalog.set_config('b', '2', false)`,
		},
		{
			name: 'quotes and backslashes',
			from: { 'a"b': '' },
			to: { "c'd": "'; drop table x --\\" },
			want: `reset "a""b"; select pg_catalog.set_config('c''d', '''; drop table x --\\', false)`,
		},
	])('$name', ({ from, to, want }) => {
		expect(settingsChange(settings(from), settings(to))).toBe(want);
	});
});

it('is the same object when nothing changes', () => {
	const some = settings({ a: '1' });
	expect(some.with(new Map([['a', '1']]))).toBe(some);
	expect(some.with(new Map([['b', null]]))).toBe(some);
	expect(some.with(new Map([['a', null]])).key).toBe(noSettings.key);
});

it.each([
	{ other: { datestyle: 'ISO', application_name: 'x', 'portcullis.user': 'u', lock_timeout: '1' }, same: true },
	{ other: { datestyle: 'German' }, same: false },
	{ other: {}, same: false },
])('gives a text the same meaning under $other: $same', ({ other, same }) => {
	expect(settings(other).meaning === settings({ datestyle: 'ISO' }).meaning).toBe(same);
});
