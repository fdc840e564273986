/** Shapes of statements: what the gateway takes for a literal is what the server's scanner takes for one, or there is no shape. */
import fc from 'fast-check';
import { scanSync } from 'libpg-query';
import { describe, expect, it } from 'vitest';
import { type LiteralKind, shapeOf } from '../../src/sql/shape.ts';
import { replaced } from '../../src/sql/template.ts';

interface Case {
	readonly sql: string;
	/** Texts and kinds of the literals; null: no shape. */
	readonly want: readonly (readonly [string, LiteralKind])[] | null;
}

const cases: readonly Case[] = [
	{ sql: 'select a from t where id = 42', want: [['42', 'int4']] },
	{ sql: 'select 2147483647', want: [['2147483647', 'int4']] },
	{ sql: 'select 0000000000001', want: [['0000000000001', 'int4']] },
	{ sql: 'select 2147483649', want: [['2147483649', 'int8']] },
	{ sql: 'select 9223372036854775807', want: [['9223372036854775807', 'int8']] },
	{ sql: 'select 9223372036854775809', want: [['9223372036854775809', 'numeric']] },
	{
		sql: 'select 10.25, 7',
		want: [
			['10.25', 'numeric'],
			['7', 'int4'],
		],
	},
	{
		sql: "select 'it''s', ''",
		want: [
			["'it''s'", 'string'],
			["''", 'string'],
		],
	},
	{ sql: "select 'ß \\ -- /* $1 \n;'", want: [["'ß \\ -- /* $1 \n;'", 'string']] },
	{
		sql: "select '''', 1",
		want: [
			["''''", 'string'],
			['1', 'int4'],
		],
	},
	{ sql: 'select t1.a2 from "T 3" where x= -5', want: [['5', 'int4']] },
	{
		sql: 'update t set a=a+-5 where b<1;',
		want: [
			['5', 'int4'],
			['1', 'int4'],
		],
	},
	{ sql: 'select $1, 2', want: [['2', 'int4']] },
	{ sql: "select date '2024-01-01'", want: [["'2024-01-01'", 'string']] },
	{ sql: 'select a$1 from "b""c" where d = 3', want: [['3', 'int4']] },
	// nothing to vary
	{ sql: 'select a from t', want: null },
	{ sql: '', want: null },
	// on the edge of two types once a minus is drawn in
	{ sql: 'select -2147483648', want: null },
	{ sql: 'select 9223372036854775808', want: null },
	// other strings
	{ sql: "select E'a\\'b', 1", want: null },
	{ sql: "select e'a'", want: null },
	{ sql: "select b'1', 1", want: null },
	{ sql: "select x'1f', 1", want: null },
	{ sql: "select n'a', 1", want: null },
	{ sql: "select U&'\\0061', 1", want: null },
	{ sql: 'select U&"\\0061", 1', want: null },
	{ sql: 'select $$a$$, 1', want: null },
	{ sql: 'select $a$b$a$, 1', want: null },
	{ sql: "select 'a'\n'b'", want: null },
	{ sql: "select 'a' 'b'", want: null },
	{ sql: "select 'a", want: null },
	// comments
	{ sql: 'select 1 -- 2', want: null },
	{ sql: 'select /* 2 */ 1', want: null },
	{ sql: 'select 3 /* 2 */', want: null },
	{ sql: 'select 1 +/* 2 */ 1', want: null },
	// other numbers
	{ sql: 'select 1e5', want: null },
	{ sql: 'select 1.', want: null },
	{ sql: 'select .5', want: null },
	{ sql: 'select 1_000', want: null },
	{ sql: 'select 0x1F', want: null },
	{ sql: 'select 1a', want: null },
	{ sql: 'select a[1..2]', want: null },
	{ sql: "select 1'a'", want: null },
	{ sql: 'select $1a, 2', want: null },
	// what is not ASCII outside of strings, and what is no SQL
	{ sql: 'select é, 1', want: null },
	{ sql: 'select "é", 1', want: null },
	{ sql: 'select\u00a01', want: null },
	{ sql: 'select\u000b1', want: null },
	{ sql: 'select "a, 1', want: null },
	{ sql: 'select \\1', want: null },
	{ sql: 'select \u00011', want: null },
];

function literalsOf(sql: string): [string, LiteralKind][] | null {
	return shapeOf(sql)?.literals.map(({ start, end, kind }) => [sql.slice(start, end), kind]) ?? null;
}

describe('literals of a text', () => {
	it.each(cases)('$sql', ({ sql, want }) => {
		expect(literalsOf(sql)).toEqual(want);
	});

	it('have the same key when they differ in nothing else', () => {
		const key = shapeOf("select a from t where b = 'x' and c > 10")?.key;
		expect(shapeOf("select a from t where b = '' and c > 2000000000")?.key).toBe(key);
		for (const other of [
			"select a from t where b = 'x' and c > 3000000000",
			"select a from t where b = 'x' and c > 1.0",
			"select a from t where b = 'x' and c > -10",
			"select a from t where b = 'x' and c > '10'",
			"select a from t where b =  'x' and c > 10",
			"select A from t where b = 'x' and c > 10",
			"select a from t where b in ('x') and c > 10",
		]) {
			expect(shapeOf(other)?.key).not.toBe(key);
		}
	});
});

/** What the scanner and the shape could disagree about, in pieces. */
const pieces = fc.constantFrom(
	...[
		'select ',
		'a',
		'E',
		'u&',
		'U&',
		'b',
		'x',
		'n',
		'_',
		'$',
		'$1',
		'$a$',
		'"',
		'"q"',
		"'",
		"''",
		"'s'",
		"'\\'",
		'\n',
		' ',
	],
	...[
		'\t',
		'-',
		'--',
		'/',
		'/*',
		'*/',
		'*',
		'.',
		'..',
		'::',
		':=',
		'=>',
		'@',
		'&',
		'|',
		'1',
		'0',
		'12',
		'9.5',
		'2147483647',
	],
	...[
		'2147483648',
		'9999999999',
		'99999999999999999999',
		'1e1',
		'0x1',
		'1_0',
		'(',
		')',
		'[',
		']',
		',',
		';',
		'é',
		'\u000b',
		'\\',
	],
	...['uescape', ' + ', '+-', '@-', '<', '{', '\u0001', '\u0004'],
);
const anyText = fc.array(pieces, { maxLength: 14 }).map((parts) => parts.join(''));

const CONSTANTS: Readonly<Record<string, LiteralKind[]>> = {
	ICONST: ['int4'],
	FCONST: ['int8', 'numeric'],
	SCONST: ['string'],
};
const NEVER = new Set(['BCONST', 'XCONST', 'USCONST', 'UIDENT', 'SQL_COMMENT', 'C_COMMENT']);

/** Tokens of the server's scanner; null for what it refuses. */
function tokensOf(sql: string): { name: string; text: string; start: number; end: number }[] | null {
	try {
		return scanSync(sql).tokens.map((token) => ({ ...token, name: token.tokenName }));
	} catch {
		return null;
	}
}

describe('against the server’s scanner', () => {
	it('literals are its constants, all of them and nothing else', () => {
		let shapes = 0;
		fc.assert(
			fc.property(anyText, (sql) => {
				const shape = shapeOf(sql);
				const tokens = shape === null ? null : tokensOf(sql);
				if (shape === null || tokens === null) return;
				shapes += 1;
				const bytes = (at: number): number => Buffer.byteLength(sql.slice(0, at));
				const constants = tokens.filter(({ name }) => CONSTANTS[name] !== undefined);
				expect(shape.literals.map(({ start, end }) => [bytes(start), bytes(end)])).toEqual(
					constants.map(({ start, end }) => [start, end]),
				);
				for (const [at, { name }] of constants.entries()) expect(CONSTANTS[name]).toContain(shape.literals[at]?.kind);
				expect(tokens.filter(({ name }) => NEVER.has(name))).toEqual([]);
			}),
			{ numRuns: 20_000 },
		);
		expect(shapes).toBeGreaterThan(500);
	});

	it('other literals of the kinds leave every other token as it is', () => {
		const values: Readonly<Record<LiteralKind, fc.Arbitrary<string>>> = {
			int4: fc.nat().map(String),
			int8: fc.bigInt({ min: 2_147_483_649n, max: 9_223_372_036_854_775_807n }).map(String),
			numeric: fc.tuple(fc.nat(), fc.nat()).map(([a, b]) => `${a}.${b}`),
			string: fc.string({ unit: 'grapheme' }).map((text) => `'${text.replaceAll('\0', '').replaceAll("'", "''")}'`),
		};
		let compared = 0;
		fc.assert(
			fc.property(anyText, fc.gen(), (sql, gen) => {
				const shape = shapeOf(sql);
				const before = shape === null ? null : tokensOf(sql);
				if (shape === null || before === null) return;
				compared += 1;
				const other = replaced(sql, shape, (kind) => gen(() => values[kind]));
				expect(shapeOf(other)?.key).toBe(shape.key);
				const told = (tokens: readonly { name: string; text: string }[] | null): unknown =>
					tokens?.map(({ name, text }) => (CONSTANTS[name] === undefined ? text : name));
				expect(told(tokensOf(other))).toEqual(told(before));
			}),
			{ numRuns: 10_000 },
		);
		expect(compared).toBeGreaterThan(200);
	});
});
