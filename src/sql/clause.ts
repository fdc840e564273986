/** Finds clauses of a writing statement in its text: WHERE, RETURNING and the end. */
import { smallestLocation } from './group-by.ts';
import { isKeyword } from './source.ts';
import { refuse, type Walk } from './walk.ts';

/** Byte offsets of a clause's body. */
export interface Extent {
	readonly start: number;
	readonly end: number;
}

/** Depth of brackets before each token would be needed at once; statements are short, so it is counted where it is asked. */
function depthChange(text: string | undefined): number {
	if (text === '(' || text === '[') return 1;
	return text === ')' || text === ']' ? -1 : 0;
}

/**
 * From token `from` on, the first token at the same depth of brackets that `stops` accepts, or the token that closes the
 * bracket around, or the end of the statement.
 */
export function scanTo(walk: Walk, from: number, stops: (index: number) => boolean): number {
	const { tokens } = walk.source;
	let depth = 0;
	for (let i = from; i < tokens.length; i += 1) {
		const text = tokens[i]?.text;
		if (depth === 0 && (text === ')' || text === ';' || stops(i))) return i;
		depth += depthChange(text);
	}
	return tokens.length;
}

/** The body of the WHERE clause whose tree is `where`: from after the keyword to RETURNING or the end. */
export function whereExtent(walk: Walk, where: unknown): Extent {
	const { source } = walk;
	const first = smallestLocation(where);
	if (!Number.isFinite(first)) throw refuse(walk, 'a WHERE clause that the gateway cannot place');
	let index = source.tokenAt(first);
	while (index >= 0 && !isKeyword(source.tokens[index], 'where')) index -= 1;
	const keyword = source.tokens[index];
	if (keyword === undefined) throw refuse(walk, 'a WHERE clause that the gateway cannot place');
	const end = scanTo(walk, index + 1, (i) => isKeyword(source.tokens[i], 'returning'));
	const last = source.tokens[end - 1];
	return { start: source.tokens[index + 1]?.start ?? keyword.end, end: last?.end ?? keyword.end };
}

/** The byte at which the statement that names its target at `location` ends, before RETURNING when `returning`. */
export function endOf(walk: Walk, location: number, returning: boolean): number {
	const { source } = walk;
	const stop = scanTo(walk, source.tokenAt(location), (i) => returning && isKeyword(source.tokens[i], 'returning'));
	return source.tokens[stop - 1]?.end ?? source.bytes.length;
}

/** The index of the RETURNING keyword of the statement that names its target at `location`. */
export function returningToken(walk: Walk, location: number): number {
	const { source } = walk;
	const index = scanTo(walk, source.tokenAt(location), (i) => isKeyword(source.tokens[i], 'returning'));
	if (!isKeyword(source.tokens[index], 'returning'))
		throw refuse(walk, 'a RETURNING clause that the gateway cannot place');
	return index;
}
