/** Bounds what comments cost the parser's lexer, which reads the operator characters that follow each opening of a comment again. */

const SLASH = 0x2f;
const STAR = 0x2a;

/** Characters of operators, `op_chars` of the lexer: ~ ! @ # ^ & | ` ? + - * / % < > = */
const OPERATOR: ReadonlySet<number> = new Set(Buffer.from('~!@#^&|`?+-*/%<>='));

/**
 * How many bytes the lexer may read in openings of comments: for every `/` and `*` side by side, the operator characters
 * from there on. An upper bound, since those in strings count too. One pass.
 */
export function commentWork(bytes: Buffer): number {
	let work = 0;
	let runEnd = 0;
	for (let at = 0; at + 1 < bytes.length; at += 1) {
		if (bytes[at] !== SLASH || bytes[at + 1] !== STAR) continue;
		if (runEnd <= at) {
			runEnd = at;
			while (runEnd < bytes.length && OPERATOR.has(bytes[runEnd] ?? 0)) runEnd += 1;
		}
		work += runEnd - at;
	}
	return work;
}
