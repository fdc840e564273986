/** Tells what two texts that differ only in literals have in common, by the server's lexical rules; anything unusual has no shape. */

/**
 * Kinds of literals as the server's grammar and its typing tell them apart: an integer of four bytes, one of eight, any other number,
 * a string in single quotes. A text with an integer has another shape than the same text with a string or a longer integer.
 */
export type LiteralKind = 'int4' | 'int8' | 'numeric' | 'string';

/** A literal's place in the text, in UTF-16 units, quotes included. A minus sign before a number is not part of it. */
export interface Literal {
	readonly start: number;
	readonly end: number;
	readonly kind: LiteralKind;
}

export interface Shape {
	/** Equal for texts that the server reads as the same tokens but for the values of literals. */
	readonly key: string;
	/** In order; at least one. */
	readonly literals: readonly Literal[];
}

/** Stand for a literal in the key; no text with one of these characters outside of a string has a shape. */
const MARKS: Readonly<Record<LiteralKind, string>> = {
	int4: '\u0001',
	int8: '\u0002',
	numeric: '\u0003',
	string: '\u0004',
};

/** What a character begins, outside of strings and quoted names. */
const Begins = {
	/** Not seen in ordinary statements, or not ASCII: no shape. */
	Unusual: 0,
	/** White space, operators and brackets: they mean what they are. */
	Plain: 1,
	Word: 2,
	Number: 3,
	String: 4,
	QuotedName: 5,
	Parameter: 6,
	/** May begin a comment. */
	Minus: 7,
	Slash: 8,
	/** May begin a number. */
	Dot: 9,
} as const;

const BEGINS = tableOf([
	[' \t\n\r\f~!@#^&|`?+*%<>=()[],;:', Begins.Plain],
	['abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_', Begins.Word],
	['0123456789', Begins.Number],
	["'", Begins.String],
	['"', Begins.QuotedName],
	['$', Begins.Parameter],
	['-', Begins.Minus],
	['/', Begins.Slash],
	['.', Begins.Dot],
]);

/** May go on a word: ident_cont of scan.l, as far as it is ASCII. */
const WORD = tableOf([['abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789$', 1]]);
/** Right behind a number: part of it, or of something odd. */
const NUMBER_GOES_ON = tableOf([['abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789$.\'"', 1]]);
const DIGIT = tableOf([['0123456789', 1]]);
const SPACE = tableOf([[' \t\n\r\f', 1]]);

const INT4_MAX = '2147483647';
const INT8_MAX = '9223372036854775807';
/** With a minus sign before it such a number is of the next smaller type, so its kind is not told by its digits. */
const EDGES: ReadonlySet<string> = new Set(['2147483648', '9223372036854775808']);

const QUOTE = 0x27;

/** The shape of a text, or null for a text that has no literal or holds anything whose reading is not plain. */
export function shapeOf(sql: string): Shape | null {
	const scan = new Scan(sql);
	return scan.run() && scan.literals.length > 0
		? { key: scan.key + sql.slice(scan.from), literals: scan.literals }
		: null;
}

class Scan {
	readonly literals: Literal[] = [];
	/** Key of the text up to `from`. */
	key = '';
	from = 0;
	readonly #sql: string;
	#at = 0;

	constructor(sql: string) {
		this.#sql = sql;
	}

	/** False: the text has no shape. */
	run(): boolean {
		const sql = this.#sql;
		while (this.#at < sql.length) if (!this.#token(is(BEGINS, sql, this.#at))) return false;
		return true;
	}

	#token(begins: number): boolean {
		const sql = this.#sql;
		switch (begins) {
			case Begins.Plain:
				this.#at += 1;
				return true;
			case Begins.Word:
				return this.#word();
			case Begins.Number:
				return this.#number();
			case Begins.String:
				return this.#string();
			case Begins.QuotedName:
				return this.#quotedName();
			case Begins.Parameter:
				return this.#parameter();
			case Begins.Minus:
			case Begins.Slash:
				this.#at += 1;
				return !isComment(sql, this.#at);
			case Begins.Dot:
				this.#at += 1;
				return is(DIGIT, sql, this.#at) === 0;
			default:
				return false;
		}
	}

	/** A quote right behind it may make it E'', B'', X'', N'' or another kind of string. */
	#word(): boolean {
		const sql = this.#sql;
		do this.#at += 1;
		while (is(WORD, sql, this.#at) === 1);
		return sql.charCodeAt(this.#at) !== QUOTE;
	}

	/** Digits, or digits with a point among them. Exponents, other bases and underscores are left to the parser. */
	#number(): boolean {
		const sql = this.#sql;
		const start = this.#at;
		let end = skip(DIGIT, sql, start);
		let kind = integerKind(sql, start, end);
		if (sql[end] === '.' && is(DIGIT, sql, end + 1) === 1) {
			end = skip(DIGIT, sql, end + 1);
			kind = 'numeric';
		}
		if (kind === null || is(NUMBER_GOES_ON, sql, end) === 1) return false;
		this.#literal(start, end, kind);
		return true;
	}

	/** Under standard_conforming_strings = on: up to a quote that is not doubled. U&'' and continued strings are left to the parser. */
	#string(): boolean {
		const sql = this.#sql;
		const start = this.#at;
		if (sql[start - 1] === '&') return false;
		let end = start;
		do {
			end = sql.indexOf("'", end + 1);
			if (end === -1) return false;
			end += 1;
		} while (sql.charCodeAt(end) === QUOTE);
		if (sql.charCodeAt(skip(SPACE, sql, end)) === QUOTE) return false;
		this.#literal(start, end, 'string');
		return true;
	}

	#quotedName(): boolean {
		const sql = this.#sql;
		if (sql[this.#at - 1] === '&') return false;
		for (let at = this.#at + 1; at < sql.length; at += 1) {
			const code = sql.charCodeAt(at);
			if (code < 0x20 || code > 0x7e) return false;
			if (sql[at] !== '"') continue;
			this.#at = at + 1;
			// A doubled one goes on as what looks like another name, which comes to the same.
			return true;
		}
		return false;
	}

	/** `$1`; a dollar quote is left to the parser. */
	#parameter(): boolean {
		const sql = this.#sql;
		const end = skip(DIGIT, sql, this.#at + 1);
		if (end === this.#at + 1 || is(WORD, sql, end) === 1) return false;
		this.#at = end;
		return true;
	}

	#literal(start: number, end: number, kind: LiteralKind): void {
		this.key += this.#sql.slice(this.from, start) + MARKS[kind];
		this.literals.push({ start, end, kind });
		this.from = end;
		this.#at = end;
	}
}

/** Null: on the edge between two kinds. */
function integerKind(sql: string, start: number, end: number): LiteralKind | null {
	if (end - start < INT4_MAX.length) return 'int4';
	const digits = sql.slice(start, end).replace(/^0+(?=\d)/, '');
	if (EDGES.has(digits)) return null;
	if (isAtMost(digits, INT4_MAX)) return 'int4';
	return isAtMost(digits, INT8_MAX) ? 'int8' : 'numeric';
}

/** For digits without leading zeros. */
function isAtMost(digits: string, max: string): boolean {
	return digits.length < max.length || (digits.length === max.length && digits <= max);
}

/** After a `-` or `/`: two of the one, or the other with a star, begin a comment. */
function isComment(sql: string, at: number): boolean {
	return sql[at - 1] === '-' ? sql[at] === '-' : sql[at] === '*';
}

/** A table over ASCII; everything that is not named is 0. */
function tableOf(entries: readonly (readonly [string, number])[]): Uint8Array {
	const table = new Uint8Array(128);
	for (const [characters, value] of entries) for (const character of characters) table[character.charCodeAt(0)] = value;
	return table;
}

/** What the table says of the character at `at`; 0 beyond ASCII and at the end. */
function is(table: Uint8Array, sql: string, at: number): number {
	return table[sql.charCodeAt(at)] ?? 0;
}

function skip(table: Uint8Array, sql: string, at: number): number {
	let end = at;
	while (is(table, sql, end) === 1) end += 1;
	return end;
}
