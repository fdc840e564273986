/** Bounds how deep the parser may have to recurse, from the bytes alone and before it runs: an overflow inside WASM can't be recovered from. */

const QUOTE = 0x27;
const DOUBLE = 0x22;
const DOLLAR = 0x24;
const BACKSLASH = 0x5c;

/** Words that end an operand, so that what follows starts at the depth of the bracket again (lists the grammar flattens). */
const BREAKS: ReadonlySet<string> = new Set(['and', 'or', 'when', 'then', 'else', 'from', 'where', 'values', 'set', 'select']);
/** Words that put one more level around their operand or join a further one on. */
const DEEPENS: ReadonlySet<string> = new Set([
	'not', 'join', 'union', 'intersect', 'except', 'is', 'isnull', 'notnull', 'collate', 'like', 'ilike', 'similar', 'at', 'operator',
	'between', 'in', 'case', 'explain', 'any', 'all', 'some', 'escape', 'overlaps', 'only', 'lateral', 'with',
]);

/**
 * An upper bound of the nesting of the parse tree: brackets, chains of operators, joins and set operations.
 * Commas, AND, OR and semicolons start a new chain. Lexes as the server does under standard_conforming_strings = on.
 */
export function nestingBound(bytes: Buffer): number {
	/** Length of the operator chain at each open bracket. */
	const chains: number[] = [0];
	let sum = 0;
	let deepest = 0;
	let at = 0;
	const deepen = (): void => {
		const top = chains.length - 1;
		chains[top] = (chains[top] ?? 0) + 1;
		sum += 1;
		if (sum > deepest) deepest = sum;
	};
	const breakChain = (): void => {
		const top = chains.length - 1;
		sum -= chains[top] ?? 0;
		chains[top] = 0;
	};
	while (at < bytes.length) {
		const byte = bytes[at] ?? 0;
		if (isWordStart(byte)) {
			const end = wordEnd(bytes, at);
			const word = end - at <= 9 ? bytes.toString('latin1', at, end).toLowerCase() : '';
			if (BREAKS.has(word)) breakChain();
			else if (DEEPENS.has(word)) deepen();
			at = bytes[end] === QUOTE && word === 'e' ? afterQuoted(bytes, end, QUOTE, true) : end;
			continue;
		}
		const after = afterLiteralOrComment(bytes, at, byte);
		if (after > at) {
			at = after;
			continue;
		}
		if (byte === 0x28 || byte === 0x5b) {
			deepen();
			chains.push(0);
		} else if (byte === 0x29 || byte === 0x5d) {
			if (chains.length > 1) {
				breakChain();
				chains.pop();
			}
		} else if (byte === 0x2c) breakChain();
		else if (byte === 0x3b) {
			chains.length = 1;
			sum = chains[0] = 0;
		} else if (isOperator(byte)) deepen();
		at += 1;
	}
	return deepest;
}

function isWordStart(byte: number): boolean {
	return (byte >= 0x61 && byte <= 0x7a) || (byte >= 0x41 && byte <= 0x5a) || byte === 0x5f || byte >= 0x80;
}

function wordEnd(bytes: Buffer, start: number): number {
	let at = start + 1;
	for (; at < bytes.length; at += 1) {
		const byte = bytes[at] ?? 0;
		if (!isWordStart(byte) && !(byte >= 0x30 && byte <= 0x39) && byte !== DOLLAR) break;
	}
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
	if (byte === 0x2d && next === 0x2d) {
		let end = at + 2;
		while (end < bytes.length && bytes[end] !== 0x0a && bytes[end] !== 0x0d) end += 1;
		return end;
	}
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
		else return at + 1;
	}
	return bytes.length;
}

/** `$tag$ ... $tag$`; a lone `$1` is a parameter and no literal. */
function afterDollar(bytes: Buffer, at: number): number {
	let end = at + 1;
	const first = bytes[end] ?? 0;
	if (first !== DOLLAR && !isWordStart(first)) return at + 1;
	while (end < bytes.length && bytes[end] !== DOLLAR) {
		const byte = bytes[end] ?? 0;
		if (!isWordStart(byte) && !(byte >= 0x30 && byte <= 0x39)) return at + 1;
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
