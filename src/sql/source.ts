/** The text of a statement: its bytes, its tokens by the server's own scanner, and where things stand in it. */
import { scanSync } from 'libpg-query';
import { plainTokens } from './plain-tokens.ts';

/** A token of the server's scanner; offsets are UTF-8 bytes. */
export interface Token {
	readonly start: number;
	readonly end: number;
	readonly text: string;
	/** SCONST is a string without a letter before it, UIDENT a name with U& before it; nothing else is asked for. */
	readonly name: string;
}

const COMMENTS: ReadonlySet<string> = new Set(['C_COMMENT', 'SQL_COMMENT']);

/** The scanner's answer is no JSON where a token has one of these: the parser takes them in literals, quoted names and comments alone. */
// oxlint-disable-next-line no-control-regex -- they are what is looked for
const CONTROLS = /[\u0001-\u0008\u000b\u000c\u000e-\u001f]/g;

/** Lazily scanned text. Offsets of the parser (`location`) and of the scanner are byte offsets into `bytes`. */
export class SourceText {
	readonly sql: string;
	readonly bytes: Buffer;
	#tokens: readonly Token[] | undefined;
	#occurrences: ReadonlyMap<number, number> | undefined;
	/** Characters before a byte. */
	#counted = { at: 0, characters: 0 };

	constructor(sql: string) {
		this.sql = sql;
		this.bytes = Buffer.from(sql, 'utf8');
	}

	/** Tokens without comments, in order. */
	get tokens(): readonly Token[] {
		this.#tokens ??= plainTokens(this.sql) ?? this.#scan();
		return this.#tokens;
	}

	#scan(): Token[] {
		const readable = this.sql.replace(CONTROLS, ' ');
		const own = readable === this.sql;
		return scanSync(readable)
			.tokens.filter(({ tokenName }) => !COMMENTS.has(tokenName))
			.map(({ start, end, text, tokenName: name }) => ({
				start,
				end,
				text: own ? text : this.slice(start, end),
				name,
			}));
	}

	/** How often `$number` stands in the text, at most: literals and comments are not told apart. */
	occurrences(number: number): number {
		this.#occurrences ??= countParameters(this.sql);
		return this.#occurrences.get(number) ?? 0;
	}

	slice(start: number, end: number): string {
		return this.bytes.toString('utf8', start, end);
	}

	/** Index of the first token that starts at or after `offset`; tokens.length when there is none. */
	tokenAt(offset: number): number {
		const tokens = this.tokens;
		let low = 0;
		let high = tokens.length;
		while (low < high) {
			const middle = (low + high) >> 1;
			if ((tokens[middle]?.start ?? 0) < offset) low = middle + 1;
			else high = middle;
		}
		return low;
	}

	/** 1-based character position of a byte offset, as ErrorResponse field P counts. Goes on from the last one, where that came before. */
	position(offset: number): number {
		let { at, characters } = this.#counted.at <= offset ? this.#counted : { at: 0, characters: 0 };
		for (; at < offset && at < this.bytes.length; at += 1) {
			if (((this.bytes[at] ?? 0) & 0xc0) !== 0x80) characters += 1;
		}
		this.#counted = { at, characters };
		return characters + 1;
	}

	/** Index of the token that closes the parenthesis at token `open`. */
	closing(open: number): number {
		let depth = 0;
		for (let i = open; i < this.tokens.length; i += 1) {
			const text = this.tokens[i]?.text;
			if (text === '(') depth += 1;
			else if (text === ')') {
				depth -= 1;
				if (depth === 0) return i;
			}
		}
		return this.tokens.length - 1;
	}
}

function countParameters(sql: string): Map<number, number> {
	const counts = new Map<number, number>();
	for (const [, digits] of sql.matchAll(/\$(\d+)/g)) counts.set(Number(digits), (counts.get(Number(digits)) ?? 0) + 1);
	return counts;
}

/** True when token `text` is the keyword `word` (keywords are compared without case, as the scanner folds ASCII). */
export function isKeyword(token: Token | undefined, word: string): boolean {
	return token !== undefined && token.name !== 'SCONST' && token.text.toLowerCase() === word;
}
