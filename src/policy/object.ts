/** Objects of the policy: how `database.schema.relation.column` and functions are written, and which pattern covers which object. */

/** Longest identifier that PostgreSQL keeps (NAMEDATALEN - 1), in bytes. A longer one in a rule could never match. */
const IDENTIFIER_BYTES_MAX = 63;

/** An object that a question is about: real names, exactly as the catalogue has them. */
export type Target =
	| { readonly kind: 'database'; readonly database: string }
	| { readonly kind: 'schema'; readonly database: string; readonly schema: string }
	| { readonly kind: 'relation'; readonly database: string; readonly schema: string; readonly relation: string }
	| {
			readonly kind: 'column';
			readonly database: string;
			readonly schema: string;
			readonly relation: string;
			readonly column: string;
	  }
	| {
			readonly kind: 'function';
			readonly database: string;
			readonly schema: string;
			readonly name: string;
			/** From `catalogTypes`. */
			readonly types: string;
	  };

/** One part of an object in a rule: a name, or a name with `*`. */
export interface NamePattern {
	/** The name, folded and unquoted; with `*` where `wild`. */
	readonly text: string;
	readonly wild: boolean;
}

/** The object of a rule. */
export type ObjectPattern =
	| { readonly kind: 'database'; readonly database: NamePattern }
	| {
			readonly kind: 'relation';
			readonly database: NamePattern;
			readonly schema: NamePattern;
			readonly relation: NamePattern;
	  }
	| {
			readonly kind: 'column';
			readonly database: NamePattern;
			readonly schema: NamePattern;
			readonly relation: NamePattern;
			readonly column: NamePattern;
	  }
	| {
			readonly kind: 'function';
			readonly database: NamePattern;
			readonly schema: NamePattern;
			readonly name: NamePattern;
			/** From `canonicalTypes`; null for `(*)`, all overloads. */
			readonly types: string | null;
	  };

/**
 * Reads the object of a rule. Unquoted parts fold to lower case as SQL does; a quoted part is literal, `*` in it too.
 *
 * @throws Error with a reason for the author of the policy
 */
export function parseObject(text: string): ObjectPattern {
	const { parts, types } = splitObject(text);
	const [database, schema, third, column] = parts;
	if (types !== undefined) {
		if (parts.length !== 3 || !database || !schema || !third) {
			throw new Error(`function ${text} must be written database.schema.function(types)`);
		}
		return {
			kind: 'function',
			database,
			schema,
			name: third,
			types: types === '*' ? null : canonicalTypes(splitTypes(types)),
		};
	}
	if (parts.length === 1 && database) return { kind: 'database', database };
	if (parts.length === 3 && database && schema && third) return { kind: 'relation', database, schema, relation: third };
	if (parts.length === 4 && database && schema && third && column) {
		return { kind: 'column', database, schema, relation: third, column };
	}
	throw new Error(
		`object ${text} has ${parts.length} parts: it must be database, database.schema.relation, ` +
			'database.schema.relation.column or database.schema.function(types); a name with dots in it is quoted',
	);
}

/** True when the pattern covers the target: the same kind of object, or a relation pattern for a column of it or its schema. */
export function covers(pattern: ObjectPattern, target: Target): boolean {
	if (!matches(pattern.database, target.database)) return false;
	switch (pattern.kind) {
		case 'database':
			return target.kind === 'database';
		case 'relation':
			// What is said of `database.schema.*` is said of the schema itself, e.g. create.
			if (target.kind === 'schema')
				return pattern.relation.text === '*' && pattern.relation.wild && matches(pattern.schema, target.schema);
			if (target.kind !== 'relation' && target.kind !== 'column') return false;
			return matches(pattern.schema, target.schema) && matches(pattern.relation, target.relation);
		case 'column':
			return (
				target.kind === 'column' &&
				matches(pattern.schema, target.schema) &&
				matches(pattern.relation, target.relation) &&
				matches(pattern.column, target.column)
			);
		case 'function':
			return (
				target.kind === 'function' &&
				matches(pattern.schema, target.schema) &&
				matches(pattern.name, target.name) &&
				(pattern.types === null || pattern.types === target.types)
			);
	}
}

/** True when no part of the pattern, argument types included, has a wildcard. */
export function isExact(pattern: ObjectPattern): boolean {
	if (pattern.database.wild) return false;
	switch (pattern.kind) {
		case 'database':
			return true;
		case 'relation':
			return !pattern.schema.wild && !pattern.relation.wild;
		case 'column':
			return !pattern.schema.wild && !pattern.relation.wild && !pattern.column.wild;
		case 'function':
			return !pattern.schema.wild && !pattern.name.wild && pattern.types !== null;
	}
}

/** True when the pattern names one relation (schema and relation without wildcard), be it for one of its columns. */
export function namesRelation(pattern: ObjectPattern): boolean {
	return (pattern.kind === 'relation' || pattern.kind === 'column') && !pattern.schema.wild && !pattern.relation.wild;
}

/** Schemas of what PostgreSQL brings, some of which needs no rule. */
const SYSTEM_SCHEMAS = ['pg_catalog', 'information_schema', 'pg_toast'] as const;

/** True when the pattern could cover an object of one of PostgreSQL's own schemas. */
export function mayBeOfSystem(pattern: ObjectPattern): boolean {
	return pattern.kind !== 'database' && SYSTEM_SCHEMAS.some((schema) => matches(pattern.schema, schema));
}

/** True when the pattern is for one of PostgreSQL's own schemas alone. */
export function isOfSystem(pattern: ObjectPattern): boolean {
	return pattern.kind !== 'database' && !pattern.schema.wild && mayBeOfSystem(pattern);
}

/** True when the pattern covers whatever there is of its kind: `database.*.*`, `database.*.*(*)`. */
export function isEverything(pattern: ObjectPattern): boolean {
	const isAll = ({ wild, text }: NamePattern): boolean => wild && text === '*';
	switch (pattern.kind) {
		case 'database':
			return false;
		case 'relation':
			return isAll(pattern.schema) && isAll(pattern.relation);
		case 'column':
			return isAll(pattern.schema) && isAll(pattern.relation) && isAll(pattern.column);
		case 'function':
			return isAll(pattern.schema) && isAll(pattern.name) && pattern.types === null;
	}
}

/** True when `name` is the pattern's name, or fits its wildcards. `*` stands for any run of characters, none included. */
export function matches(pattern: NamePattern, name: string): boolean {
	return pattern.wild ? fitsGlob(pattern.text, name) : pattern.text === name;
}

/**
 * One comparable text for a list of argument types as regprocedure prints them. Aliases that PostgreSQL's grammar knows
 * (`int`, `varchar`) become the name that regprocedure prints, since a deny rule that never matches would be a hole.
 *
 * @throws Error with a reason for the author of the policy
 */
export function canonicalTypes(types: readonly string[]): string {
	return types.map(canonicalType).join(',');
}

/** The same for what the catalogue says. A type that it names in a way that no rule can name fits no rule but `(*)`. */
export function catalogTypes(types: readonly string[]): string {
	try {
		return canonicalTypes(types);
	} catch {
		return JSON.stringify(types);
	}
}

const UNQUOTED_PART = /^[A-Za-z0-9_$*\u0080-\uffff]+$/;
/** To PostgreSQL letters like others; but who writes one mostly means none, and the rule would be about another name. */
const BLANK = /[\p{Zs}\u2800]/u;

/** Cuts at the dots that are not within quotes; what follows an opening parenthesis are the types. */
function splitObject(text: string): { parts: NamePattern[]; types: string | undefined } {
	const parts: NamePattern[] = [];
	let at = 0;
	for (;;) {
		let part: NamePattern;
		if (text[at] === '"') {
			const closing = closingQuote(text, at);
			part = quotedPart(text.slice(at + 1, closing));
			at = closing + 1;
		} else {
			const start = at;
			while (at < text.length && text[at] !== '.' && text[at] !== '(' && text[at] !== '"') at++;
			part = unquotedPart(text.slice(start, at), text);
		}
		parts.push(part);
		if (at === text.length) return { parts, types: undefined };
		if (text[at] === '(') {
			if (!text.endsWith(')')) throw new Error(`object ${text} lacks the closing parenthesis`);
			return { parts, types: text.slice(at + 1, -1).trim() };
		}
		if (text[at] !== '.') throw new Error(`object ${text}: a part is either quoted as a whole or not at all`);
		at++;
	}
}

function closingQuote(text: string, opening: number): number {
	let at = opening + 1;
	for (; at < text.length; at++) {
		if (text[at] !== '"') continue;
		if (text[at + 1] !== '"') return at;
		at++;
	}
	throw new Error(`object ${text} lacks a closing quote`);
}

function quotedPart(inner: string): NamePattern {
	const name = inner.replaceAll('""', '"');
	if (name === '') throw new Error('an object part may not be empty');
	checkLength(name);
	return { text: name, wild: false };
}

function unquotedPart(part: string, whole: string): NamePattern {
	if (part === '') throw new Error(`object ${whole === '' ? '""' : whole} has an empty part`);
	if (!UNQUOTED_PART.test(part) || BLANK.test(part))
		throw new Error(`object ${whole}: quote the part ${part} as in SQL: "${part}"`);
	checkLength(part);
	return { text: foldCase(part), wild: part.includes('*') };
}

function checkLength(name: string): void {
	if (Buffer.byteLength(name) > IDENTIFIER_BYTES_MAX) {
		throw new Error(`name ${name} is longer than the ${IDENTIFIER_BYTES_MAX} bytes that PostgreSQL keeps`);
	}
}

/** PostgreSQL folds ASCII only where the encoding is UTF8 (downcase_identifier). */
function foldCase(name: string): string {
	return name.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}

/** Two pointers with one point of return: linear in practice, never exponential. */
function fitsGlob(glob: string, name: string): boolean {
	let g = 0;
	let n = 0;
	let star = -1;
	let resume = 0;
	while (n < name.length) {
		if (glob[g] === '*') {
			star = g++;
			resume = n;
		} else if (glob[g] === name[n]) {
			g++;
			n++;
		} else if (star >= 0) {
			g = star + 1;
			n = ++resume;
		} else {
			return false;
		}
	}
	while (glob[g] === '*') g++;
	return g === glob.length;
}

/** Names that the grammar takes for a built-in type, and what format_type prints for it. */
const TYPE_ALIASES: ReadonlyMap<string, string> = new Map([
	['bool', 'boolean'],
	['int', 'integer'],
	['int4', 'integer'],
	['int2', 'smallint'],
	['int8', 'bigint'],
	['float', 'double precision'],
	['float8', 'double precision'],
	['float4', 'real'],
	['decimal', 'numeric'],
	['dec', 'numeric'],
	['varchar', 'character varying'],
	['char varying', 'character varying'],
	['char', 'character'],
	['bpchar', 'character'],
	['nchar', 'character'],
	['national character', 'character'],
	['varbit', 'bit varying'],
	['timestamp', 'timestamp without time zone'],
	['timestamptz', 'timestamp with time zone'],
	['time', 'time without time zone'],
	['timetz', 'time with time zone'],
]);

const PRINTED_TYPES: ReadonlySet<string> = new Set(TYPE_ALIASES.values());

/** Splits at the commas that are not within double quotes. */
function splitTypes(text: string): string[] {
	if (text === '') return [];
	return text.match(/(?:"(?:[^"]|"")*"|[^,"])+|(?<=^|,)(?=,|$)/g) ?? [text];
}

function canonicalType(text: string): string {
	const [, base = '', array = ''] = /^(.*?)((?:\s*\[\s*\d*\s*\])*)$/s.exec(text.trim()) ?? [];
	const name = canonicalTypeName(base.trim(), text);
	return array === '' ? name : `${name}[]`;
}

/** What a type's name consists of: quoted or plain identifiers, dots between schema and name, blanks between words. */
const TYPE_WORD = /^(?:"(?:[^"]|"")+"|[A-Za-z_\u0080-\uffff][A-Za-z0-9_$\u0080-\uffff]*|\.|\s+)$/;

function canonicalTypeName(base: string, whole: string): string {
	const words = base.match(/"(?:[^"]|"")*"|[^"\s.]+|\.|\s+/g) ?? [];
	if (base === '' || words.join('') !== base) throw new Error(`${JSON.stringify(whole)} is not an argument type`);
	const spaced = words.map((word) =>
		word.startsWith('"') ? unquoteNeedless(word) : foldCase(word).replace(/\s+/, ' '),
	);
	const name = spaced
		.join('')
		.replace(/ ?\. ?/g, '.')
		.replace(/^pg_catalog\./, '');
	if (!words.every((word) => TYPE_WORD.test(word))) {
		throw new Error(`argument type ${whole}: types are written as regprocedure prints them, all overloads as (*)`);
	}
	return TYPE_ALIASES.get(name) ?? name;
}

/** regprocedure quotes only where it must; `hr."plain"` means the same as `hr.plain`. */
function unquoteNeedless(quoted: string): string {
	const name = quoted.slice(1, -1);
	const special = TYPE_ALIASES.has(name) || PRINTED_TYPES.has(name);
	return /^[a-z_][a-z0-9_$]*$/.test(name) && !special ? name : quoted;
}
