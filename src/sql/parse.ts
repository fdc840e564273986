/** Parses SQL with PostgreSQL's own grammar (libpg-query) within limits, and gives the server's own syntax error where it does not parse. */
import { hasSqlDetails, loadModule, parseSync, scanSync } from 'libpg-query';
import type { Node, ParseResult } from '@pgsql/types';
import { GatewayError } from '../errors.ts';
import { commentWork } from './comments.ts';
import { textBounds } from './depth.ts';
import { SourceText } from './source.ts';

// The parser is WASM that loads in some tens of milliseconds; whoever imports this file may parse at once.
await loadModule();

/** Limits on what is analysed; a text beyond them is refused with 54000 before it is parsed. */
export interface SqlLimits {
	/** UTF-8 bytes of one Query or Parse. Its tokens, and the definitions of views that it reads, are bounded by it too: `weightMax`. */
	readonly statementBytesMax: number;
	/** Statements of one Query. */
	readonly statementsMax: number;
	/** Places of one statement that read protected relations. */
	readonly readsMax: number;
	/** Hidden columns that the text for one statement lists, over all places in which it reads a catalogue that names columns. */
	readonly hiddenColumnsMax: number;
	/** Levels of nesting (brackets, chains of operators, joins); deeper ones would exhaust the parser's stack. */
	readonly nestingMax: number;
}

export const defaultSqlLimits: SqlLimits = Object.freeze({
	statementBytesMax: 4 * 1024 * 1024,
	statementsMax: 10_000,
	readsMax: 2_000,
	hiddenColumnsMax: 100_000,
	nestingMax: 2_000,
});

const WEIGHT_MIN = 1024 * 1024;

/**
 * Tokens of a text, and characters of the definitions of the views that it reads. What a text costs goes by its tokens: rows of an INSERT
 * and long strings may be four times as long as a text of the shortest tokens.
 */
export function weightMax({ statementBytesMax }: Pick<SqlLimits, 'statementBytesMax'>): number {
	return Math.max(WEIGHT_MIN, Math.floor(statementBytesMax / 4));
}

/** One statement of a text: its tree and the byte range of its own text, without the semicolon. */
export interface ParsedStatement {
	readonly node: Node;
	readonly start: number;
	readonly end: number;
}

export interface Parsed {
	readonly source: SourceText;
	readonly statements: readonly ParsedStatement[];
}

const LONGER = 'Raise limits.sqlBytesMax, or send the data as parameters or with COPY.';

/**
 * Parses the whole text of a Query or Parse message.
 * Throws GatewayError: 42601 and the like with position where the server would; 54000 or 54001 beyond the limits.
 */
export function parse(sql: string, limits: SqlLimits): Parsed {
	const source = new SourceText(sql);
	if (source.bytes.length > limits.statementBytesMax) {
		throw new GatewayError(
			'54000',
			`statement of ${source.bytes.length} bytes is longer than the gateway analyses (${limits.statementBytesMax} bytes)`,
			{ hint: LONGER },
		);
	}
	checkNesting(source.bytes, limits);
	if (sql.trim() === '') return { source, statements: [] };
	const tree = parseTree(source, limits);
	const statements = (tree.stmts ?? []).map((raw): ParsedStatement => {
		if (raw.stmt === undefined) throw new GatewayError('XX000', 'the parser gave a statement without a tree');
		const start = raw.stmt_location ?? 0;
		const length = raw.stmt_len ?? 0;
		return { node: raw.stmt, start, end: length === 0 ? source.bytes.length : start + length };
	});
	if (statements.length > limits.statementsMax) {
		throw new GatewayError(
			'54000',
			`a query of ${statements.length} statements is more than the gateway analyses at once (${limits.statementsMax})`,
			{ hint: 'Send it in parts, or raise limits.sqlStatementsMax.' },
		);
	}
	return { source, statements };
}

/**
 * The parser takes a comment for a token, which the server does not: one between NOT and IN is no syntax error there, and
 * a string goes on after one. So what does not parse is tried once more with blanks in place of its comments.
 */
function parseTree(source: SourceText, limits: SqlLimits): ParseResult {
	try {
		return parseText(source, source.sql);
	} catch (error) {
		const blanked = error instanceof GatewayError ? withoutComments(source) : source.sql;
		if (blanked === source.sql) throw error;
		checkNesting(Buffer.from(blanked, 'utf8'), limits);
		return parseText(source, blanked);
	}
}

/** The text with a blank for every byte of its comments, so that offsets in bytes stay; itself where there is none. */
function withoutComments(source: SourceText): string {
	if (!/--|\/\*/.test(source.sql)) return source.sql;
	try {
		const bytes = Buffer.from(source.bytes);
		for (const { start, end, tokenName } of scanSync(source.sql).tokens) {
			if (tokenName === 'C_COMMENT' || tokenName === 'SQL_COMMENT') bytes.fill(' ', start, end);
		}
		return bytes.toString('utf8');
	} catch {
		// What cannot be scanned cannot be parsed either; its error has been told.
		return source.sql;
	}
}

/** Bytes read again, see `commentWork`: some 50 ms of the parser. */
const COMMENT_WORK_MAX = 4_000_000;

function checkNesting(bytes: Buffer, limits: SqlLimits): void {
	// Every level takes a byte at least, so a short text needs no look.
	if (bytes.length > limits.nestingMax && commentWork(bytes) > COMMENT_WORK_MAX) {
		throw new GatewayError('54001', 'statement has more comments in a row, without blanks, than the gateway analyses');
	}
	if (bytes.length <= limits.nestingMax) return;
	const { height, tokens } = textBounds(bytes);
	if (tokens > weightMax(limits)) {
		const words = `statement of more than ${weightMax(limits)} words and signs is more than the gateway analyses`;
		throw new GatewayError('54000', words, { hint: LONGER });
	}
	if (height <= limits.nestingMax) return;
	throw new GatewayError(
		'54001',
		`statement nests brackets or chains operators deeper than the gateway analyses (${limits.nestingMax})`,
	);
}

function parseText(source: SourceText, sql: string): ParseResult {
	try {
		return parseSync(sql);
	} catch (error) {
		if (hasSqlDetails(error)) {
			const offset = error.sqlDetails?.cursorPosition ?? 0;
			// Offset 0 stands for no position too. The parser counts characters of the text that it was given.
			const known = offset > 0 || !WITHOUT_POSITION.test(error.message);
			const before = [...sql].slice(0, offset).join('');
			const position = known ? { position: source.position(Buffer.byteLength(before)) } : {};
			const sqlstate = syntaxSqlstate(error.message, before);
			throw new GatewayError(sqlstate, error.message, { ...position, ...advice(error.message, sqlstate) });
		}
		// A stack that overflows inside WASM, or output that is no JSON: denied, and the parser stays usable.
		throw new GatewayError('54001', 'the statement is too complex for the gateway to analyse', { cause: error });
	}
}

/** What the server says without a position. */
const WITHOUT_POSITION = /^invalid byte sequence|^STDIN\/STDOUT not allowed/;

/** Messages of scan.l and gram.y whose SQLSTATE is not 42601; the parser tells the message only. */
const OTHER_SQLSTATES: readonly (readonly [RegExp, string])[] = [
	[/^unsafe use of \\'|nonstandard use of/, '22P06'],
	[/^invalid byte sequence/, '22021'],
	[/^role name .* is reserved|cannot be used as a role name/, '42939'],
	[/^frame (start|end|starting) /, '42P20'],
	[/^(modulus|remainder) for hash partition provided more than once/, '42710'],
	[/^precision for type float|^column number must be|^unrecognized (partitioning strategy|JSON encoding)/, '22023'],
	[
		/not yet implemented|not implemented|no longer supported|is not supported$|^WITH CHECK OPTION not supported/,
		'0A000',
	],
	[
		/constraints cannot be (marked|altered)|^current database cannot be changed|^aggregates cannot have output arguments/,
		'0A000',
	],
	[/^CREATE SCHEMA IF NOT EXISTS cannot include|^an ordered-set aggregate with a VARIADIC direct argument/, '0A000'],
];

/** HINT and DETAIL that scan.l and gram.y give with a message; the parser tells the message only. */
const ADVICE: readonly (readonly [RegExp, { readonly hint?: string; readonly detail?: string }])[] = [
	[/^missing argument$/, { hint: 'Use NONE to denote the missing argument of a unary operator.' }],
	[/^LIMIT #,# syntax is not supported$/, { hint: 'Use separate LIMIT and OFFSET clauses.' }],
	[/^unrecognized row security option /, { hint: 'Only PERMISSIVE or RESTRICTIVE policies are supported currently.' }],
	[
		/^UNENCRYPTED PASSWORD is no longer supported$/,
		{ hint: 'Remove UNENCRYPTED to store the password in encrypted form instead.' },
	],
	[
		/^invalid publication object list$/,
		{ detail: 'One of TABLE or TABLES IN SCHEMA must be specified before a standalone table or schema name.' },
	],
];

function advice(message: string, sqlstate: string): { readonly hint?: string; readonly detail?: string } {
	if (message !== 'invalid Unicode escape') return ADVICE.find(([pattern]) => pattern.test(message))?.[1] ?? {};
	const forms = sqlstate === '22025' ? '\\uXXXX or \\UXXXXXXXX' : '\\XXXX or \\+XXXXXX';
	return { hint: `Unicode escapes must be ${forms}.` };
}

const ESCAPE_STRING = /e'(?:[^'\\]|''|\\.)*$/is;

function syntaxSqlstate(message: string, before: string): string {
	if (message.startsWith('LIMIT #,# syntax')) return '42601';
	// In e'' the scanner says so, in U&'' the parser, with another SQLSTATE.
	if (message === 'invalid Unicode escape' && ESCAPE_STRING.test(before)) return '22025';
	return OTHER_SQLSTATES.find(([pattern]) => pattern.test(message))?.[1] ?? '42601';
}
