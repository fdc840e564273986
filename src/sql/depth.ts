/** Bounds how deep the parser may have to recurse, and how many tokens there are for it, from the bytes alone and before it runs: an overflow inside WASM can't be recovered from. */

const QUOTE = 0x27;
const DOUBLE = 0x22;
const DOLLAR = 0x24;
const BACKSLASH = 0x5c;
const DASH = 0x2d;
const DOT = 0x2e;

/** Reserved words between operands of a list that the grammar flattens, or between clauses: no chain of operators goes on across them. */
const BREAKS: ReadonlySet<string> = new Set(['and', 'or', 'when', 'then', 'else', 'from', 'where', 'select', 'on']);
/** Words that put one more level around their operand. */
const DEEPENS: ReadonlySet<string> = new Set([
	'not',
	'is',
	'isnull',
	'notnull',
	'collate',
	'like',
	'ilike',
	'similar',
	'at',
	'operator',
	'between',
	'in',
	'explain',
	'any',
	'all',
	'some',
	'escape',
	'overlaps',
	'only',
	'lateral',
	'with',
]);
const SET_OPERATIONS: ReadonlySet<string> = new Set(['union', 'intersect', 'except']);

/** What stands between two brackets, between CASE and END, or in the text as a whole. Heights are levels of the tree. */
interface Frame {
	isCase: boolean;
	/** Operators since the last break, and the height of the highest of their operands. */
	operators: number;
	operand: number;
	/** BETWEENs whose AND is still to come. */
	betweens: number;
	/** Joins since the last comma or clause, and the height of the highest thing in them. */
	joins: number;
	joined: number;
	/** Set operations of the query, and the height of the highest of its parts. */
	sets: number;
	part: number;
	/** Height of the highest statement up to now. */
	height: number;
}

/** What the parser will have to do, as upper bounds. */
export interface TextBounds {
	/** Levels of the parse tree. */
	readonly height: number;
	/** Words, numbers, strings, quoted names, comments, and single characters of everything else. */
	readonly tokens: number;
}

/** Height of the parse tree alone. */
export function nestingBound(bytes: Buffer): number {
	return textBounds(bytes).height;
}

/**
 * An upper bound of the height of the parse tree: brackets, chains of operators, CASE, joins and set operations, each of
 * which may hold the others on its left and on its right. Lexes as the server does under standard_conforming_strings = on.
 */
export function textBounds(bytes: Buffer): TextBounds {
	const frames = new Frames();
	let tokens = 0;
	/** The last word, where it may change what the next one is; '.' after a dot. */
	let before = '';
	let at = 0;
	while (at < bytes.length) {
		const byte = bytes[at] ?? 0;
		if (!isSpace(byte)) tokens += 1;
		if (isWordStart(byte)) {
			const end = wordEnd(bytes, at);
			const word = end - at <= 9 ? bytes.toString('latin1', at, end).toLowerCase() : '';
			const isString = word === 'e' && bytes[end] === QUOTE;
			// After a dot or AS any word is but a name, reserved ones too.
			const isName = before === '.' || before === 'as';
			if (!isName) frames.word(word, before);
			before = isName ? '' : word;
			at = isString ? afterQuoted(bytes, end, QUOTE, true) : end;
			continue;
		}
		if (isDigit(byte) || (byte === DOLLAR && isDigit(bytes[at + 1] ?? 0))) {
			at = afterNumber(bytes, at, byte);
			before = '';
			continue;
		}
		const after = afterLiteralOrComment(bytes, at, byte);
		if (after > at) {
			if (byte === QUOTE || byte === DOUBLE) before = '';
			at = after;
			continue;
		}
		if (!isSpace(byte)) {
			frames.symbol(byte);
			before = byte === DOT ? '.' : '';
		}
		at += 1;
	}
	return { height: frames.total(), tokens };
}

class Frames {
	readonly #frames: Frame[] = [newFrame(false)];
	#top = 0;

	word(word: string, before: string): void {
		const frame = this.#frame();
		if (word === 'case') this.#open(true);
		else if (word === 'end') {
			if (frame.isCase) this.#close();
		} else if (word === 'join') frame.joins += 1;
		else if (SET_OPERATIONS.has(word)) frame.sets += 1;
		else if (BREAKS.has(word)) this.#break(frame, word, before);
		else if (DEEPENS.has(word)) {
			frame.operators += 1;
			if (word === 'between') frame.betweens += 1;
		}
	}

	symbol(byte: number): void {
		const frame = this.#frame();
		if (byte === 0x28 || byte === 0x5b) {
			if (byte === 0x5b) frame.operators += 1;
			this.#open(false);
		} else if (byte === 0x29 || byte === 0x5d) {
			while (this.#frame().isCase) this.#close();
			if (this.#top > 0) this.#close();
		} else if (byte === 0x2c) endItem(frame);
		else if (byte === 0x3b) endStatement(frame);
		else if (isOperator(byte)) frame.operators += 1;
	}

	total(): number {
		while (this.#top > 0) this.#close();
		return endStatement(this.#frame());
	}

	#break(frame: Frame, word: string, before: string): void {
		// The AND of BETWEEN and the FROM of IS DISTINCT FROM stand inside of an operand.
		if (word === 'and' && frame.betweens > 0) {
			frame.betweens -= 1;
			return;
		}
		if (word === 'from' && before === 'distinct') return;
		if (word === 'from' || word === 'where' || word === 'select') endItem(frame);
		else endChain(frame);
	}

	#frame(): Frame {
		const frame = this.#frames[this.#top];
		if (frame === undefined) throw new RangeError('no frame is open');
		return frame;
	}

	#open(isCase: boolean): void {
		this.#top += 1;
		const used = this.#frames[this.#top];
		if (used === undefined) this.#frames.push(newFrame(isCase));
		else used.isCase = isCase;
	}

	#close(): void {
		const frame = this.#frame();
		const height = endStatement(frame) + 1;
		frame.height = 0;
		this.#top -= 1;
		const outer = this.#frame();
		outer.operand = Math.max(outer.operand, height);
	}
}

function newFrame(isCase: boolean): Frame {
	return { isCase, operators: 0, operand: 0, betweens: 0, joins: 0, joined: 0, sets: 0, part: 0, height: 0 };
}

function endChain(frame: Frame): void {
	frame.joined = Math.max(frame.joined, frame.operand + frame.operators);
	frame.operators = frame.operand = frame.betweens = 0;
}

function endItem(frame: Frame): void {
	endChain(frame);
	frame.part = Math.max(frame.part, frame.joined + frame.joins);
	frame.joins = frame.joined = 0;
}

function endStatement(frame: Frame): number {
	endItem(frame);
	frame.height = Math.max(frame.height, frame.part + frame.sets);
	frame.part = frame.sets = 0;
	return frame.height;
}

function isWordStart(byte: number): boolean {
	return (byte >= 0x61 && byte <= 0x7a) || (byte >= 0x41 && byte <= 0x5a) || byte === 0x5f || byte >= 0x80;
}

function wordEnd(bytes: Buffer, start: number): number {
	let at = start + 1;
	for (; at < bytes.length; at += 1) {
		const byte = bytes[at] ?? 0;
		if (!isWordStart(byte) && !isDigit(byte) && byte !== DOLLAR) break;
	}
	return at;
}

function isDigit(byte: number): boolean {
	return byte >= 0x30 && byte <= 0x39;
}

/** A number takes a dot with it; that of `$1.x` is a dot before a name. */
function afterNumber(bytes: Buffer, start: number, first: number): number {
	let at = start + 1;
	while (isDigit(bytes[at] ?? 0) || bytes[at] === 0x5f) at += 1;
	if (first === DOLLAR || bytes[at] !== DOT || bytes[at + 1] === DOT) return at;
	at += 1;
	while (isDigit(bytes[at] ?? 0)) at += 1;
	return at;
}

function isOperator(byte: number): boolean {
	return '+-*/<>=~!@#%^&|`?:.'.includes(String.fromCharCode(byte));
}

/** The offset after a literal, quoted name or comment that starts at `at`; `at` itself where none does. */
function afterLiteralOrComment(bytes: Buffer, at: number, byte: number): number {
	const next = bytes[at + 1];
	if (byte === QUOTE) return afterQuoted(bytes, at, QUOTE, false);
	if (byte === DOUBLE) return afterQuoted(bytes, at, DOUBLE, false);
	if (byte === DOLLAR) return afterDollar(bytes, at);
	if (byte === DASH && next === DASH) return afterLineComment(bytes, at);
	if (byte === 0x2f && next === 0x2a) return afterBlockComment(bytes, at);
	return at;
}

function afterQuoted(bytes: Buffer, open: number, quote: number, escapes: boolean): number {
	let at = open + 1;
	while (at < bytes.length) {
		const byte = bytes[at];
		if (escapes && byte === BACKSLASH) at += 2;
		else if (byte !== quote) at += 1;
		else if (bytes[at + 1] === quote) at += 2;
		else {
			const next = escapes ? continuation(bytes, at + 1) : -1;
			if (next === -1) return at + 1;
			at = next + 1;
		}
	}
	return bytes.length;
}

/**
 * The quote after white space with a line break in it: the string goes on there, escapes and all. -1 where there is none.
 * The server allows comments before it too; libpg-query gives a syntax error for that.
 */
function continuation(bytes: Buffer, from: number): number {
	let at = from;
	let broken = false;
	while (at < bytes.length) {
		const byte = bytes[at] ?? 0;
		if (!isSpace(byte)) return broken && byte === QUOTE ? at : -1;
		broken ||= isNewline(byte);
		at += 1;
	}
	return -1;
}

function afterLineComment(bytes: Buffer, start: number): number {
	let end = start + 2;
	while (end < bytes.length && !isNewline(bytes[end] ?? 0)) end += 1;
	return end;
}

function isNewline(byte: number): boolean {
	return byte === 0x0a || byte === 0x0d;
}

function isSpace(byte: number): boolean {
	return byte === 0x20 || (byte >= 0x09 && byte <= 0x0d);
}

/** `$tag$ ... $tag$`; a lone `$1` is a parameter and no literal. */
function afterDollar(bytes: Buffer, at: number): number {
	let end = at + 1;
	const first = bytes[end] ?? 0;
	if (first !== DOLLAR && !isWordStart(first)) return at + 1;
	while (end < bytes.length && bytes[end] !== DOLLAR) {
		const byte = bytes[end] ?? 0;
		if (!isWordStart(byte) && !isDigit(byte)) return at + 1;
		end += 1;
	}
	if (bytes[end] !== DOLLAR) return at + 1;
	const close = bytes.indexOf(bytes.subarray(at, end + 1), end + 1);
	return close === -1 ? bytes.length : close + (end + 1 - at);
}

/** Block comments nest. */
function afterBlockComment(bytes: Buffer, open: number): number {
	let depth = 0;
	let at = open;
	while (at < bytes.length) {
		if (bytes[at] === 0x2f && bytes[at + 1] === 0x2a) {
			depth += 1;
			at += 2;
		} else if (bytes[at] === 0x2a && bytes[at + 1] === 0x2f) {
			depth -= 1;
			at += 2;
			if (depth === 0) return at;
		} else at += 1;
	}
	return bytes.length;
}
