/** Writes identifiers and literals so that the server reads back exactly what was meant. */

const PLAIN = /^[a-z_][a-z0-9_]*$/;

/** Always quoted unless it is plain lower case; the reserved words are quoted because callers ask for `quoteAlways`. */
export function quoteIdentifier(name: string): string {
	return `"${name.replaceAll('"', '""')}"`;
}

/** `schema.name`, each part quoted; parts of plain lower case that are no keyword could go bare, but quoting is never wrong. */
export function qualified(schema: string, name: string): string {
	return `${quoteIdentifier(schema)}.${quoteIdentifier(name)}`;
}

/** For messages and `explain`: quoted only where SQL would need it. */
export function displayIdentifier(name: string): string {
	return PLAIN.test(name) ? name : quoteIdentifier(name);
}

/** Types that the grammar knows by a word of its own, so that search_path does not matter to them. */
const WORDS_FOR_TYPES: ReadonlySet<string> = new Set([
	...[
		'bit',
		'boolean',
		'character',
		'bigint',
		'integer',
		'smallint',
		'numeric',
		'real',
		'interval',
		'time',
		'timestamp',
	],
]);

/**
 * What format_type prints under an empty search_path, to be written under any: a name without schema is pg_catalog's, and
 * the path of the session may have another before it.
 */
export function castType(type: string): string {
	const name = /^("char"|[a-z_][a-z0-9_]*)(?:\([\d,-]*\))?(?:\[\])*$/.exec(type)?.[1];
	return name === undefined || WORDS_FOR_TYPES.has(name) ? type : `pg_catalog.${type}`;
}

/** A string literal under standard_conforming_strings = on. A NUL can't be in a PostgreSQL text. */
export function quoteLiteral(value: string): string {
	if (value.includes('\0')) throw new RangeError('a PostgreSQL text has no NUL');
	return `'${value.replaceAll("'", "''")}'`;
}
