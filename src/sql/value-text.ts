/** A column's value as text for a mask or filter: written in one way, whatever DateStyle and bytea_output the session has. */
import type { Column } from '../catalog/snapshot.ts';
import type { ValueUse } from '../stages.ts';
import { TYPE } from './names.ts';

const BYTEA = 17;

/** `value`: SQL of the column. Dates and times are written as ISO 8601 has them, as under the server's own default. */
export function usedAs(value: string, { typeOid }: Pick<Column, 'typeOid'>, as: ValueUse): string {
	if (as === 'value') return value;
	switch (typeOid) {
		case TYPE.date:
			return iso(value);
		case TYPE.timestamp:
			return `pg_catalog.replace(${iso(value)}, 'T', ' ')`;
		case TYPE.timestamptz:
			// An offset of whole hours has no minutes.
			return `pg_catalog.regexp_replace(pg_catalog.replace(${iso(value)}, 'T', ' '), '([+-][0-9][0-9]):00$', '\\1')`;
		case BYTEA:
			// Beside || bytes are joined to bytes.
			return as === 'text'
				? `('\\x'::pg_catalog.text OPERATOR(pg_catalog.||) pg_catalog.encode(${value}, 'hex'))`
				: value;
		default:
			return value;
	}
}

/** JSON has them so always. */
function iso(value: string): string {
	return `(pg_catalog.to_json(${value}) OPERATOR(pg_catalog.#>>) '{}'::pg_catalog.text[])`;
}
