/** Rows of the console as the protocol has them: a few types, in text and in binary. */
import { unreachable } from '../../errors.ts';
import { encodeDataRow, encodeRowDescription } from '../../wire/encode.ts';

export type ColumnType = 'text' | 'int4' | 'int8';
export type Value = string | number | null;

export interface Column {
	readonly name: string;
	readonly type: ColumnType;
}

export interface Table {
	readonly columns: readonly Column[];
	readonly rows: readonly (readonly Value[])[];
}

/** Format codes as in Bind: none (all text), one (for all) or one each. */
export type Formats = readonly number[];

/** Oids and sizes of pg_type. */
const types = {
	text: { oid: 25, size: -1 },
	int4: { oid: 23, size: 4 },
	int8: { oid: 20, size: 8 },
} as const satisfies Record<ColumnType, { oid: number; size: number }>;

/** Columns from a list of words: `name` is text, `name:int4` says otherwise. */
export function columns(words: string): readonly Column[] {
	return words
		.trim()
		.split(/\s+/)
		.map((word) => {
			const [name = '', type = 'text'] = word.split(':');
			return { name, type: type as ColumnType };
		});
}

export function rowDescription(of: readonly Column[], formats: Formats): Buffer {
	return encodeRowDescription(
		of.map(({ name, type }, index) => ({
			name,
			tableOid: 0,
			attnum: 0,
			typeOid: types[type].oid,
			typeSize: types[type].size,
			typmod: -1,
			format: formatOf(formats, index),
		})),
	);
}

export function dataRow(of: readonly Column[], row: readonly Value[], formats: Formats): Buffer {
	return encodeDataRow(
		of.map(({ type }, index) => {
			const value = row[index] ?? null;
			if (value === null || formatOf(formats, index) === 0) return value === null ? null : String(value);
			return binary(type, value);
		}),
	);
}

function formatOf(formats: Formats, index: number): 0 | 1 {
	return (formats.length === 1 ? formats[0] : formats[index]) === 1 ? 1 : 0;
}

function binary(type: ColumnType, value: string | number): Buffer {
	switch (type) {
		case 'text':
			return Buffer.from(String(value));
		case 'int4': {
			const bytes = Buffer.alloc(4);
			bytes.writeInt32BE(Number(value));
			return bytes;
		}
		case 'int8': {
			const bytes = Buffer.alloc(8);
			bytes.writeBigInt64BE(BigInt(value));
			return bytes;
		}
		default:
			return unreachable(type);
	}
}
