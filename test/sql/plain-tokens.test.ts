/** Tokens of plain texts are those of the server's scanner, and what is not plain is left to it. */
import fc from 'fast-check';
import { loadModule, scanSync } from 'libpg-query';
import { beforeAll, describe, expect, it, test } from 'vitest';
import { plainTokens } from '../../src/sql/plain-tokens.ts';
import { SourceText } from '../../src/sql/source.ts';

beforeAll(() => loadModule());

/** More are run by hand: PORTCULLIS_RUNS=200000. */
const runs = Number(process.env['PORTCULLIS_RUNS'] ?? 3_000);

const asked = (name: string): string => (name === 'SCONST' || name === 'UIDENT' ? name : 'plain');

/** What the server's scanner finds. */
function scanned(sql: string): unknown {
	if (sql === '') return [];
	try {
		return scanSync(sql)
			.tokens.filter(({ tokenName }) => tokenName !== 'C_COMMENT' && tokenName !== 'SQL_COMMENT')
			.map(({ start, end, text, tokenName }) => ({ start, end, text, name: asked(tokenName) }));
	} catch {
		return 'an error';
	}
}

const plain = [
	...['select', 'a', 'N', 'E', 'U', 'b', 'x', '_c$1', 'Order', '1', '42', '1.5', '2147483648', '$1', '$12'],
	...[
		"'a'",
		"''",
		"'it''s'",
		"'\\'",
		"'a\nb'",
		"'--'",
		'"A"',
		'"a""b"',
		'"U&"',
		'(',
		')',
		',',
		';',
		'[',
		']',
		'.',
		'::',
	],
	...[':=', '+', '-', '*', '/', '<', '>', '=', '%', '~', '||', '<=', '>=', '<>', '!=', '->', '->>'],
];
const odd = [
	...['.5', '1e5', '0x1F', '1_0', '""', ':', '..', '?', '@', '&', '#', '`', '$', '$$', '$a$', '!', '|', '=>', '^'],
	...['--', '/*', '*/', "'", '"', '\\', '{', 'é'],
];
const piece = fc.oneof(
	{ weight: 40, arbitrary: fc.constantFrom(...plain) },
	{ weight: 1, arbitrary: fc.constantFrom(...odd) },
);
const text = fc
	.array(fc.tuple(piece, fc.constantFrom('', '', ' ', '\n', '\t ', '\f')), { maxLength: 12 })
	.map((parts) => parts.flat().join(''));

describe('tokens', () => {
	it('are those of the scanner, of any text that is plain', () => {
		let compared = 0;
		fc.assert(
			fc.property(text, (sql) => {
				// Of blanks alone the scanner says nothing that could be read.
				if (sql.trim() === '') return;
				const tokens = plainTokens(sql);
				if (tokens === null) return;
				compared += 1;
				expect(tokens).toEqual(scanned(sql));
			}),
			{ numRuns: runs },
		);
		expect(compared).toBeGreaterThan(runs / 4);
	});

	it.each([
		`insert into t (a, "B c", d) values (1, 'it''s', -2.5), ($1, null, a.b::int)`,
		`select e.*, count(*) from hr.employees e where id in (1, 2) and name <> 'x' or a->>'k' = $2;\n\tselect 1`,
		`update t set a = b || 'c', d = array[1, 2] where e >= 1.0 and f != ''`,
		'',
	])('%s', (sql) => {
		expect(plainTokens(sql)).toEqual(scanned(sql));
	});

	it.each([
		...[
			"select 'é'",
			'select 1 -- one',
			'select /* one */ 1',
			"select E'a'",
			"select U&'a'",
			'select U&"a"',
			'select 1e5',
		],
		...[
			"select 'a'\n'b'",
			'select $$a$$',
			'select 0x1f',
			'select a[1:2]',
			'select 1=-1',
			'select f(a => 1)',
			"select 'a",
		],
	])('%s is left to the scanner', (sql) => {
		expect(plainTokens(sql)).toBeNull();
	});
});

test('a long text has the tokens that the scanner finds', () => {
	const rows = Array.from({ length: 3_000 }, (_, i) => `(${i}, 'value ${i}', "a".b)`).join(', ');
	const sql = `insert into t values ${rows}`;
	const { tokens } = new SourceText(sql);
	expect(tokens[0]?.name).toBe('plain');
	expect(tokens.map((token) => ({ ...token, name: asked(token.name) }))).toEqual(
		scanSync(sql).tokens.map(({ start, end, text, tokenName }) => ({ start, end, text, name: asked(tokenName) })),
	);
});
