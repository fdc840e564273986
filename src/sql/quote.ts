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

/** A string literal under standard_conforming_strings = on. A NUL can't be in a PostgreSQL text. */
export function quoteLiteral(value: string): string {
	if (value.includes('\0')) throw new RangeError('a PostgreSQL text has no NUL');
	return `'${value.replaceAll("'", "''")}'`;
}
