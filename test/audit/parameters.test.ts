/** Bind parameters as they stand in a record: readable, bounded, redacted. */
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { AuditParameter } from '../../src/audit/event.ts';
import { toJson } from '../../src/audit/json.ts';
import { parametersText, renderParameter } from '../../src/audit/parameters.ts';
import { record } from './samples.ts';
import { accept, only, openLog } from './support.ts';

const bytes = (hex: string) => Buffer.from(hex, 'hex');
const parameter = (oid: number, format: 0 | 1, value: Buffer | null, redact = false): AuditParameter => ({
	oid,
	format,
	value,
	redact,
});

const textOf = (of: AuditParameter, parameterBytesMax: number): string =>
	parametersText([of], { parameterBytesMax, parametersBytesMax: Number.POSITIVE_INFINITY });

const rows: readonly { name: string; of: AuditParameter; want: object }[] = [
	{ name: 'text', of: parameter(25, 0, Buffer.from('añb')), want: { oid: 25, value: 'añb' } },
	{ name: 'null', of: parameter(25, 0, null), want: { oid: 25, value: null } },
	{ name: 'empty', of: parameter(25, 0, Buffer.alloc(0)), want: { oid: 25, value: '' } },
	{ name: 'text that is no UTF-8', of: parameter(0, 0, bytes('ff61')), want: { oid: 0, base64: '/2E=' } },
	{ name: 'redacted', of: parameter(25, 0, Buffer.from('secret'), true), want: { oid: 25, redacted: true } },
	{ name: 'redacted null', of: parameter(25, 0, null, true), want: { oid: 25, redacted: true } },
	{ name: 'binary boolean', of: parameter(16, 1, bytes('01')), want: { oid: 16, value: 'true' } },
	{ name: 'binary smallint', of: parameter(21, 1, bytes('fffe')), want: { oid: 21, value: '-2' } },
	{ name: 'binary integer', of: parameter(23, 1, bytes('0000002a')), want: { oid: 23, value: '42' } },
	{
		name: 'binary bigint',
		of: parameter(20, 1, bytes('7fffffffffffffff')),
		want: { oid: 20, value: '9223372036854775807' },
	},
	{ name: 'binary double', of: parameter(701, 1, bytes('3ff8000000000000')), want: { oid: 701, value: '1.5' } },
	{
		name: 'binary uuid',
		of: parameter(2950, 1, bytes('5e0c1d526d6c4a579b1c3f6a0ce1a001')),
		want: { oid: 2950, value: '5e0c1d52-6d6c-4a57-9b1c-3f6a0ce1a001' },
	},
	{
		name: 'binary timestamptz',
		of: parameter(1184, 1, bytes('0000000000000000')),
		want: { oid: 1184, value: '2000-01-01T00:00:00.000Z' },
	},
	{
		name: 'binary timestamptz infinity',
		of: parameter(1184, 1, bytes('7fffffffffffffff')),
		want: { oid: 1184, base64: 'f/////////8=' },
	},
	{ name: 'binary integer of the wrong length', of: parameter(23, 1, bytes('00')), want: { oid: 23, base64: 'AA==' } },
	{ name: 'binary of an unlisted type', of: parameter(600, 1, bytes('00ff')), want: { oid: 600, base64: 'AP8=' } },
];

describe('a bind parameter', () => {
	it.each(rows)('$name', ({ of, want }) => {
		expect(renderParameter(of, 1024)).toEqual(want);
	});

	it.each(rows)('as text says the same: $name', ({ of }) => {
		for (const max of [0, 3, 1024]) expect(textOf(of, max)).toBe(toJson(renderParameter(of, max)));
	});

	it('of any bytes says the same as text', () => {
		const anyBytes = fc.oneof(
			fc.uint8Array({ maxLength: 40 }).map((taken) => Buffer.from(taken)),
			fc.string({ maxLength: 40 }).map((text) => Buffer.from(text)),
		);
		fc.assert(
			fc.property(anyBytes, fc.constantFrom(0, 23, 25), fc.constantFrom<0 | 1>(0, 1), (value, oid, format) => {
				const of = parameter(oid, format, value);
				expect(textOf(of, 34)).toBe(toJson(renderParameter(of, 34)));
			}),
		);
	});

	it('that is long is cut at a character, with its length and digest', () => {
		const value = Buffer.from('é'.repeat(600));
		const sha256 = createHash('sha256').update(value).digest('hex');
		expect(renderParameter(parameter(25, 0, value), 1001)).toEqual({
			oid: 25,
			value: 'é'.repeat(500),
			bytes: 1200,
			sha256,
		});
	});

	it('is one of many: together they show no more than the limit, and each tells its length and digest', () => {
		const limits = { parameterBytesMax: 10, parametersBytesMax: 25 };
		const many = Array.from({ length: 5 }, () => parameter(25, 0, Buffer.from('éééééééé')));
		const shown = JSON.parse(`[${parametersText(many, limits)}]`) as { value: string; bytes: number; sha256: string }[];
		expect(shown.map(({ value }) => value)).toEqual(['ééééé', 'ééééé', 'éé', '', '']);
		for (const { bytes, sha256 } of shown) expect([bytes, sha256.length]).toEqual([16, 64]);
	});

	it('that begins within a character is cut to nothing, not from the end', () => {
		const value = Buffer.from([0xbf, 0x61, 0x62]);
		expect(renderParameter(parameter(25, 0, value), 0)).toMatchObject({ value: '', bytes: 3 });
	});

	it('shows no password of a connection string, short or long', () => {
		for (const [value, want] of [
			['host=h password=hunter2', 'host=h password=[redacted]'],
			['pg://eve:hunter2@h/db', 'pg://eve:[redacted]@h/db'],
			[`pg://eve:hunter2@${'h'.repeat(40)}`, `pg://eve:[redacted]@${'h'.repeat(40)}`],
		] as const) {
			expect(JSON.parse(textOf(parameter(25, 0, Buffer.from(value)), 1024))).toEqual({ oid: 25, value: want });
		}
	});

	it('is read during accept: the buffer may be used again at once', async () => {
		const { log, path } = await openLog();
		const value = Buffer.from('first');
		const accepted = accept(log, record({ parameters: [parameter(25, 0, value)] }));
		value.write('later');
		await accepted;
		expect(only(path, 'statement')).toMatchObject({ unmapped: { parameters: [{ value: 'first' }] } });
	});

	it('is only counted where the configuration says so', async () => {
		const { log, path } = await openLog({ parameters: 'off' });
		await accept(log, record({ parameters: [parameter(25, 0, Buffer.from('x')), parameter(25, 0, null)] }));
		const { unmapped } = only(path, 'statement') as unknown as { unmapped: object };
		expect(unmapped).toMatchObject({ parameter_count: 2 });
		expect(unmapped).not.toHaveProperty('parameters');
	});
});
