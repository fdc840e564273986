/** Where a trace context is taken from, and from what it is not. */
import { describe, expect, test } from 'vitest';
import { contextOf } from '../../../src/admin/trace/context.ts';
import { cpuMsOf } from '../../support/time.ts';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const SPAN = '00f067aa0ba902b7';
const given = `00-${TRACE}-${SPAN}-01`;
const found = { traceId: TRACE, parentId: SPAN, sampled: true };

describe('a text', () => {
	const rows: readonly { readonly text: string; readonly want: object | null }[] = [
		{ text: 'select 1', want: null },
		{ text: `select 1 /*traceparent='${given}'*/`, want: found },
		{ text: `/*traceparent='${given}'*/ select 1`, want: found },
		{ text: `select 1; /* traceparent = '${given}' */`, want: found },
		{ text: `select 1 /*action='%2Fx',traceparent='${given}',tracestate='a=b'*/`, want: found },
		{ text: `/* a * b */ select /*a**/ 1 /*traceparent='${given}'*/`, want: found },
		{ text: `select 1 /*traceparent='00-${TRACE}-${SPAN}-00'*/`, want: { ...found, sampled: false } },
		{ text: `select 1 /*traceparent='cc-${TRACE}-${SPAN}-03-later'*/`, want: found },
		{ text: `select 1 /*traceparent='ff-${TRACE}-${SPAN}-01'*/`, want: null },
		{ text: `select 1 /*traceparent='00-${'0'.repeat(32)}-${SPAN}-01'*/`, want: null },
		{ text: `select 1 /*traceparent='00-${TRACE}-${'0'.repeat(16)}-01'*/`, want: null },
		{ text: `select 1 /*traceparent='00-${TRACE.toUpperCase()}-${SPAN}-01'*/`, want: null },
		{ text: `select 1 /*traceparent='00-${TRACE.slice(1)}-${SPAN}-01'*/`, want: null },
		{ text: `select '/*' where traceparent='${given}'`, want: { ...found } },
		{ text: `select 'traceparent=''${given}'''`, want: null },
		{ text: `select 1 -- traceparent='${given}'`, want: null },
		{ text: `select 1 /*x*/ where traceparent='${given}'`, want: null },
	];
	test.each(rows)('$text', ({ text, want }) => {
		expect(contextOf(text)).toEqual(want);
	});

	test('is read in no time, however long', async () => {
		const texts = [
			`select ${'/*'.repeat(500_000)} traceparent='00-`,
			'*/ traceparent'.repeat(100_000),
			`/*${"traceparent=''".repeat(100_000)}`,
		];
		const read = (): void => expect(texts.map(contextOf)).toEqual([null, null, null]);
		expect(await cpuMsOf(read)).toBeLessThan(1_000);
	});
});
