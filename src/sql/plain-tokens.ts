/** Tokens of texts with nothing unusual in them: the server's scanner tells of each token in JSON, a third of the cost of a first analysis. */
import type { Token } from './source.ts';

/** What stands at a place of the text; everything else leaves the text to the server's scanner. */
const WORD = /[a-z_][a-z_0-9$]*/iy;
const NUMBER = /\d+(?:\.\d+)?/y;
/** Longer numbers may be too large for the scanner. */
const PARAMETER = /\$\d{1,9}/y;
const SPACE = /[ \t\n\r\f]*/y;
/** A run of characters that operators may have is one of these, or it takes the scanner's rules to tell where each ends. */
const OPERATORS: ReadonlySet<string> = new Set([
	...['+', '-', '*', '/', '<', '>', '=', '%', '~', '<=', '>=', '<>', '!=', '||', '->', '->>', '::', ':='],
]);
const OPERATOR_RUN = /[~!@#^&|`?+\-*/%<>=:]+/y;

const ASCII_MAX = 0x7f;

/**
 * The tokens, as the server's scanner finds them, in order; `name` is SCONST for a string and nothing that anybody asks for otherwise.
 * Null: the text has comments, characters beyond ASCII, strings or numbers of special kinds, or anything else that is not plain.
 */
export function plainTokens(sql: string): Token[] | null {
	for (let i = 0; i < sql.length; i += 1) if (sql.charCodeAt(i) > ASCII_MAX) return null;
	const tokens: Token[] = [];
	for (let at = endOf(SPACE, sql, 0); at < sql.length; ) {
		const end = tokenEnd(sql, at);
		if (end === null) return null;
		tokens.push({ start: at, end, text: sql.slice(at, end), name: sql[at] === "'" ? 'SCONST' : 'plain' });
		at = endOf(SPACE, sql, end);
		// A string goes on in the next line.
		if (sql[end - 1] === "'" && sql[at] === "'") return null;
	}
	return tokens;
}

function tokenEnd(sql: string, at: number): number | null {
	const first = sql[at] ?? '';
	if ('(),;[]'.includes(first)) return at + 1;
	// A point may begin a number, or be one of two.
	if (first === '.') return /[.\d]/.test(sql[at + 1] ?? '') ? null : at + 1;
	if (first === "'" || first === '"') return quotedEnd(sql, at, first);
	if (first === '$') return matched(PARAMETER, sql, at, /[\w$]/);
	// 1e5, 0x1f, 1_000, 1., and what is an error.
	if (/\d/.test(first)) return matched(NUMBER, sql, at, /[\w$.'"]/);
	// E'', B'', X'' and N''; U&'' and U&"" fall to their operator.
	if (/[a-z_]/i.test(first)) return matched(WORD, sql, at, /['"]/);
	const end = endOf(OPERATOR_RUN, sql, at);
	return OPERATORS.has(sql.slice(at, end)) ? end : null;
}

/** Up to a quote that is not doubled; under standard_conforming_strings = on, which the gateway holds. */
function quotedEnd(sql: string, at: number, quote: string): number | null {
	let end = at;
	do {
		end = sql.indexOf(quote, end + 1);
		if (end === -1) return null;
		end += 1;
	} while (sql[end] === quote);
	// "" is an error.
	return quote === '"' && end === at + 2 ? null : end;
}

/** Null where nothing matches, or what is behind it may make something else of it. */
function matched(pattern: RegExp, sql: string, at: number, behind: RegExp): number | null {
	const end = endOf(pattern, sql, at);
	return end === at || behind.test(sql[end] ?? '') ? null : end;
}

/** Where the match that begins at `at` ends; `at` where there is none. */
function endOf(pattern: RegExp, sql: string, at: number): number {
	pattern.lastIndex = at;
	return pattern.test(sql) ? pattern.lastIndex : at;
}
