/** Names of fields that are gone: kept, shared while nothing is added, and taken to be all names beyond the limit. */
import { expect, it } from 'vitest';
import { LostFields } from '../../src/catalog/lost-fields.ts';

it('keeps every name, and what it was before stays as it was', () => {
	const none = new LostFields(new Set(), 3);
	const one = none.with(['a']);
	const two = one.with(['b', 'a']);
	expect([none, one, two].map((lost) => ['a', 'b', 'c'].filter((name) => lost.has(name)))).toEqual([
		[],
		['a'],
		['a', 'b'],
	]);
	expect(two.with([])).toBe(two);
	expect(two.with(['b'])).toBe(two);
});

it('takes every name for lost once there are more than it keeps, for ever', () => {
	const full = new LostFields(new Set(), 2).with(['a', 'b']);
	expect(full.has('c')).toBe(false);
	const more = full.with(['c']);
	expect(more.has('never')).toBe(true);
	expect(more.with(['d']).has('never')).toBe(true);
});
