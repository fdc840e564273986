/** Names of types as the server prints them: for rules that name routines by their arguments, and for errors. */
import type { CatalogSnapshot, Type } from '../catalog/snapshot.ts';
import { effectivePath, TYPE } from './names.ts';
import { displayIdentifier } from './quote.ts';
import type { Walk } from './walk.ts';

/** format_type under a search_path of `visible` schemas besides pg_catalog; of none where it is missing. */
export function displayType(catalog: CatalogSnapshot, type: Type, visible: readonly string[] = []): string {
	const element =
		type.element === 0 || catalog.arrayTypeOf(type.element) !== type.oid ? undefined : catalog.typeByOid(type.element);
	return element === undefined ? displayPlain(type, visible) : `${displayPlain(element, visible)}[]`;
}

/** The same in an error of the session's; undefined where it is not known. */
export function shownType({ context }: Walk, oid: number | null): string | undefined {
	if (oid === TYPE.unknown) return 'unknown';
	const type = oid === null ? undefined : context.catalog.typeByOid(oid);
	return type === undefined ? undefined : displayType(context.catalog, type, effectivePath(context, true));
}

function displayPlain({ schema, name }: Type, visible: readonly string[]): string {
	if (schema !== 'pg_catalog') {
		const own = displayIdentifier(name);
		return visible.includes(schema) ? own : `${displayIdentifier(schema)}.${own}`;
	}
	if (name === 'char') return '"char"';
	return WORDS[name] ?? name;
}

/** Types of pg_catalog that the server prints by a word of SQL. */
const WORDS: Readonly<Record<string, string>> = {
	bool: 'boolean',
	bpchar: 'character',
	float4: 'real',
	float8: 'double precision',
	int2: 'smallint',
	int4: 'integer',
	int8: 'bigint',
	time: 'time without time zone',
	timestamp: 'timestamp without time zone',
	timestamptz: 'timestamp with time zone',
	timetz: 'time with time zone',
	varbit: 'bit varying',
	varchar: 'character varying',
};
