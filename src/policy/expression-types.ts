/** The types that an expression of masks.yaml may cast to, and how each is written so that search_path has no say. */
import type { DataTypeDef } from 'pgsql-ast-parser';
import type { PolicyTree } from '../stages.ts';

/** Type as the grammar names it -> name in pg_catalog. Without types that look something up (regclass) or hold rows. */
const TYPES: ReadonlyMap<string, string> = new Map([
	['bigint', 'int8'],
	['bit varying', 'varbit'],
	['bool', 'bool'],
	['boolean', 'bool'],
	['bytea', 'bytea'],
	['character varying', 'varchar'],
	['cidr', 'cidr'],
	['date', 'date'],
	['decimal', 'numeric'],
	['double precision', 'float8'],
	['float', 'float8'],
	['float4', 'float4'],
	['float8', 'float8'],
	['inet', 'inet'],
	['int', 'int4'],
	['int2', 'int2'],
	['int4', 'int4'],
	['int8', 'int8'],
	['integer', 'int4'],
	['interval', 'interval'],
	['json', 'json'],
	['jsonb', 'jsonb'],
	['macaddr', 'macaddr'],
	['money', 'money'],
	['numeric', 'numeric'],
	['real', 'float4'],
	['smallint', 'int2'],
	['text', 'text'],
	['time', 'time'],
	['time with time zone', 'timetz'],
	['time without time zone', 'time'],
	['timestamp', 'timestamp'],
	['timestamp with time zone', 'timestamptz'],
	['timestamp without time zone', 'timestamp'],
	['timestamptz', 'timestamptz'],
	['timetz', 'timetz'],
	['uuid', 'uuid'],
	['varbit', 'varbit'],
	['varchar', 'varchar'],
]);

/** These mean a length of one when they have none. */
const ONE_WIDE: ReadonlyMap<string, string> = new Map([
	['bit', 'bit'],
	['char', 'bpchar'],
	['character', 'bpchar'],
]);

const WITH_MODIFIER: ReadonlySet<string> = new Set(
	'bit bpchar interval numeric time timestamp timestamptz timetz varbit varchar'.split(' '),
);

/** @throws Error with a reason for the author of the policy */
export function typeName(
	type: DataTypeDef,
): Pick<Extract<PolicyTree, { node: 'cast' }>, 'type' | 'modifier' | 'array'> {
	// An array of arrays is an array.
	if (type.kind === 'array') return { ...typeName(type.arrayOf), array: true };
	const wide = TYPES.get(type.name);
	const oneWide = ONE_WIDE.get(type.name);
	const name = wide ?? oneWide;
	const foreign = (type.schema !== undefined && type.schema !== 'pg_catalog') || type.doubleQuoted === true;
	if (name === undefined || foreign) {
		throw new Error(
			`cast to ${[type.schema, type.name].filter(Boolean).join('.')}: only the plain built-in types are allowed`,
		);
	}
	const config = type.config ?? (oneWide === undefined ? [] : [1]);
	if (config.length > 0 && !WITH_MODIFIER.has(name)) throw new Error(`type ${type.name} takes no length`);
	return { type: name, modifier: config.length > 0 ? `(${config.join(', ')})` : '', array: false };
}
