/** Splicing edits into a text, and finding the way back from a position in the result. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { applyEdits, EditList, mapPosition } from '../../src/sql/edits.ts';
// The parser has to be loaded before a text can be scanned.
import '../../src/sql/parse.ts';
import { SourceText } from '../../src/sql/source.ts';
import type { Edit } from '../../src/stages.ts';

/** One character each, one to four bytes long. */
const CHARACTERS = ['a', ' ', 'ü', '€', '😀', '"', '\n'];

/** A text as characters, and edits at characters of it that do not overlap; texts between edits may be empty. */
const edited = fc
	.array(
		fc.tuple(
			fc.array(fc.constantFrom(...CHARACTERS), { maxLength: 6 }),
			fc.array(fc.constantFrom(...CHARACTERS), { maxLength: 4 }),
			fc.array(fc.constantFrom('(', 'ß', '漢', '𝒳'), { maxLength: 4 }),
		),
		{ maxLength: 6 },
	)
	.map((parts) => {
		let sql = '';
		const edits: Edit[] = [];
		for (const [kept, replaced, text] of parts) {
			sql += kept.join('');
			const start = Buffer.byteLength(sql);
			sql += replaced.join('');
			edits.push({ start, end: Buffer.byteLength(sql), text: text.join('') });
		}
		return { sql, edits, parts };
	});

describe('applying edits', () => {
	test('replaces what they cover and nothing else', () => {
		fc.assert(
			fc.property(edited, ({ sql, edits, parts }) => {
				const want = parts.map(([kept, , text]) => kept.join('') + text.join('')).join('');
				expect(applyEdits(Buffer.from(sql), edits)).toBe(want);
			}),
		);
	});

	test('leaves out those of other statements', () => {
		const bytes = Buffer.from('ü;select b;€');
		const edits = [
			{ start: 0, end: 2, text: 'X' },
			{ start: 10, end: 11, text: 'Y' },
			{ start: 12, end: 15, text: 'Z' },
		];
		expect(applyEdits(bytes, edits, 3, 11)).toBe('select Y');
	});
});

describe('mapping a position back', () => {
	test('finds each character that was kept, and the beginning of what was replaced', () => {
		fc.assert(
			fc.property(edited, ({ sql, edits, parts }) => {
				let before = 1;
				let after = 1;
				for (const [kept, replaced, text] of parts) {
					for (let i = 0; i < kept.length; i += 1) expect(mapPosition(sql, edits, after + i)).toBe(before + i);
					before += kept.length;
					after += kept.length;
					for (let i = 0; i < text.length; i += 1) expect(mapPosition(sql, edits, after + i)).toBe(before);
					before += replaced.length;
					after += text.length;
				}
				// One past the end, where an unexpected end of input is reported.
				expect(mapPosition(sql, edits, after)).toBe(before);
			}),
		);
	});

	test('is the identity without edits', () => {
		expect(mapPosition('select ü', [], 8)).toBe(8);
	});
});

describe('a list of edits', () => {
	const list = (text: string): EditList => new EditList(Buffer.from(text));

	test('sorts them, and keeps insertions at one place in their order', () => {
		const edits = list('abcdef');
		edits.insert(4, '(1)');
		edits.replace(0, 2, '(x)');
		edits.insert(4, '(2)');
		edits.replace(2, 4, '(y)');
		expect(edits.sorted().map((edit) => edit.text)).toEqual(['(x)', '(y)', '(1)', '(2)']);
		expect(edits.length).toBe(4);
	});

	test.each([
		[
			'two replacements of one place',
			[
				[0, 3],
				[2, 4],
			],
		],
		[
			'one inside of the other',
			[
				[0, 5],
				[2, 4],
			],
		],
		[
			'an insertion inside of a replacement',
			[
				[0, 3],
				[1, 1],
			],
		],
		['backwards', [[3, 1]]],
	] as const)('throws for %s', (_, ranges) => {
		const edits = list('abcdef');
		for (const [start, end] of ranges) edits.replace(start, end, '()');
		expect(() => edits.sorted()).toThrow('edits overlap');
	});

	test.each([
		{ text: 'where"ssn"', start: 5, end: 10, put: 'CAST(x)', want: 'where CAST(x)' },
		{ text: 'where "ssn"', start: 6, end: 11, put: 'CAST(x)', want: 'where CAST(x)' },
		{ text: '"a"and', start: 0, end: 3, put: 'NULL', want: 'NULL and' },
		{ text: 'ü"a"é', start: 2, end: 5, put: 'x', want: 'ü x é' },
		{ text: '$1"a"$1', start: 2, end: 5, put: 'x', want: '$1 x $1' },
		{ text: 'a"b"c', start: 1, end: 4, put: '(x)', want: 'a(x)c' },
		{ text: 'hr.a', start: 0, end: 3, put: '', want: 'a' },
	])('keeps words apart: $text', ({ text, start, end, put, want }) => {
		const edits = list(text);
		edits.replace(start, end, put);
		expect(applyEdits(Buffer.from(text), edits.sorted())).toBe(want);
	});
});

describe('a text', () => {
	test('counts positions in characters', () => {
		const source = new SourceText('aü€😀b');
		expect([0, 1, 3, 6, 10, 11].map((offset) => source.position(offset))).toEqual([1, 2, 3, 4, 5, 6]);
	});

	test('finds tokens, without comments, by their bytes', () => {
		const source = new SourceText('select /* ü */ "ä", (b -- c\n + 1)');
		expect(source.tokens.map((token) => token.text)).toEqual(['select', '"ä"', ',', '(', 'b', '+', '1', ')']);
		for (const token of source.tokens) expect(source.slice(token.start, token.end)).toBe(token.text);
		expect(source.tokens[source.tokenAt(source.bytes.indexOf('"ä"'))]?.text).toBe('"ä"');
		expect(source.tokenAt(source.bytes.length)).toBe(source.tokens.length);
		expect(source.tokens[source.closing(3)]?.text).toBe(')');
	});

	test.each([
		['select $1', 1, 1],
		['select $1, $1', 1, 2],
		['select $1, $11', 1, 1],
		['select $1, $11', 11, 1],
		['select 1', 1, 0],
	] as const)('counts the parameters of %s', (sql, number, want) => {
		expect(new SourceText(sql).occurrences(number)).toBe(want);
	});
});
