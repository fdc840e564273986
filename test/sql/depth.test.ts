/** The bound on nesting: it never lies below the height of the tree, and what it lets through the parser survives. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { parseSync } from 'libpg-query';
import { describe, expect, test } from 'vitest';
import { nestingBound } from '../../src/sql/depth.ts';
import { defaultSqlLimits, parse } from '../../src/sql/parse.ts';
import { cpuMsOf } from '../support/time.ts';

const rep = (text: string, n: number): string => text.repeat(n);

/** Texts whose trees are `n` levels high, or about that, each by another part of the grammar. */
const TOWERS: Readonly<Record<string, (n: number) => string>> = {
	brackets: (n) => `select ${rep('(', n)}1${rep(')', n)}`,
	calls: (n) => `select ${rep('f(', n)}1${rep(')', n)}`,
	arrays: (n) => `select ${rep('array[', n)}1${rep(']', n)}`,
	rows: (n) => `select ${rep('row(', n)}1${rep(')', n)}`,
	subqueries: (n) => `select ${rep('(select ', n)}1${rep(')', n)}`,
	'derived tables': (n) => `select * from ${rep('(select * from ', n)}t${rep(') t', n)}`,
	'common table expressions': (n) => `${rep('with a as (', n)}select 1${rep(') select 1', n)}`,
	'a chain of operators': (n) => `select 1${rep(' + 1', n)}`,
	'a chain of odd operators': (n) => `select 1${rep(' operator(pg_catalog.+) 1', n)}`,
	'prefix operators': (n) => `select ${rep('- ', n)}1`,
	not: (n) => `select ${rep('not ', n)}true`,
	casts: (n) => `select 1${rep('::int', n)}`,
	collations: (n) => `select a${rep(' collate "C"', n)}`,
	'time zones': (n) => `select a${rep(" at time zone 'x'", n)}`,
	'local times': (n) => `select a${rep(' at local', n)}`,
	'null tests': (n) => `select a${rep(' is null', n)}`,
	'short null tests': (n) => `select a${rep(' isnull', n)}`,
	subscripts: (n) => `select (a)${rep('[1]', n)}`,
	'like in brackets': (n) => `select ${rep("'a' like (", n)}1${rep(')', n)}`,
	'between in brackets': (n) => `select ${rep('not a between 1 and (', n)}1${rep(')', n)}`,
	'else case': (n) => `select ${rep('case when a then b else ', n)}1${rep(' end', n)}`,
	'case when case': (n) => `select ${rep('case when ', n)}a${rep(' then b end', n)}`,
	'case of a column named end': (n) => `select ${rep('case when t.end then b else ', n)}1${rep(' end', n)}`,
	unions: (n) => `select 1${rep(' union select 1', n)}`,
	'unions of numbers that end in a dot': (n) => `select 1.${rep(' union select 1.', n)}`,
	'unions in brackets': (n) => `${rep('(select 1 union ', n)}select 1${rep(')', n)}`,
	joins: (n) => `select 1 from a${rep(' join a on b and c', n)}`,
	'cross joins': (n) => `select 1 from a${rep(' cross join a', n)}`,
	'joins from the right': (n) => `select 1 from ${rep('a join ', n)}a${rep(' on b or c', n)}`,
	'columns named like reserved words': (n) => `select 1${rep(' + t.and', n)}`,
	'columns named like other reserved words': (n) => `select 1${rep(' + t . /* ; */ select', n)}`,
	'parameters with fields': (n) => `select 1${rep(' + $1.or', n)}`,
	'columns named set': (n) => `select set${rep('+set', n)}`,
	'columns named values': (n) => `select values${rep('+values', n)}`,
	'operators on the left of brackets': (n) => tower(n, 20, '', ' + 1'),
	'operators on the right of brackets': (n) => tower(n, 20, '- ', ''),
	'not before a distinct from': (n) => tower(n, 10, 'not ', '', 'a is distinct from '),
	'not before a between': (n) => tower(n, 10, 'not ', '', 'a between 1 and '),
	'operators after case': (n) =>
		`select ${rep('(case when ', n / 20)}a${rep(` then 1 end${rep(' + 1', 18)})`, n / 20)}`,
	'behind a string that goes on in the next line': (n) => `select e'a'\n'\\'' ${rep('+ 1', n)}`,
	'behind a quoted name': (n) => `select "a""'"${rep('+ 1', n)} -- '`,
	'behind dollars': (n) => `select $a$ ' $b$ $a$ || 1${rep('+ 1', n)} -- '`,
	'behind a name with dollars': (n) => `select a$a$${rep('+ a$a$', n)}`,
	'behind comments': (n) => `select /* ' /* */ " */ 1 -- '\n${rep('+ 1', n)}`,
};

/** `((1 + 1 + 1) + 1 + 1) ...`: `each` operators a bracket. */
function tower(n: number, each: number, left: string, right: string, link = ''): string {
	const levels = Math.floor(n / each);
	return `select ${rep(`${rep(left, each - 1)}${link}(`, levels)}1${rep(`)${rep(right, each - 1)}`, levels)}`;
}

/** Nodes above one another: objects that have a tag. Lists and fields are not counted. */
function height(value: unknown): number {
	if (typeof value !== 'object' || value === null) return 0;
	let highest = 0;
	for (const entry of Object.values(value)) highest = Math.max(highest, height(entry));
	const keys = Object.keys(value);
	return !Array.isArray(value) && keys.length === 1 && /^[A-Z]/.test(keys[0] ?? '') ? highest + 1 : highest;
}

/** What a statement has above its expressions, and what one level may have: a subquery in FROM is three nodes. */
const BASE = 8;
const NODES_PER_LEVEL = 4;

describe('the bound on nesting', () => {
	test.each(Object.keys(TOWERS))('grows with %s', (name) => {
		for (const n of [20, 100, 400]) {
			const sql = TOWERS[name]?.(n) ?? '';
			expect(height(parseSync(sql)), sql.slice(0, 80)).toBeLessThanOrEqual(
				BASE + NODES_PER_LEVEL * nestingBound(Buffer.from(sql)),
			);
		}
	});

	/** A grammar of expressions and queries in which any part may hold any other, with as few brackets as there can be. */
	const { query } = fc.letrec<{ expr: string; query: string; from: string }>((tie) => {
		const operand = fc.constantFrom(
			'a',
			'1',
			'1.',
			't.and',
			't.end',
			'set',
			'values',
			'$1.or',
			"e'\\''\n''",
			'"or"',
			'between',
		);
		const expr = tie('expr');
		return {
			expr: fc.oneof(
				{ maxDepth: 5, depthSize: 'large' },
				operand,
				fc
					.tuple(expr, fc.constantFrom('+', '||', 'and', 'or', 'operator(x.+)', 'is distinct from', 'like'), expr)
					.map(([l, op, r]) => `(${l}) ${op} ${r}`),
				fc
					.tuple(
						expr,
						fc.integer({ min: 1, max: 30 }),
						fc.constantFrom(' + 1', '::int', ' is null', ' collate "C"', ' and b', '[1]', '.f'),
					)
					.map(([e, n, s]) => `(${e})${rep(s, n)}`),
				fc
					.tuple(fc.constantFrom('not ', '- '), fc.integer({ min: 1, max: 30 }), expr)
					.map(([p, n, e]) => `${rep(p, n)}(${e})`),
				fc.tuple(expr, expr, expr).map(([a, b, c]) => `case when ${a} then ${b} else ${c} end`),
				fc.tuple(expr, expr).map(([a, b]) => `not (${a}) between 1 and (${b})`),
				fc.tuple(tie('query')).map(([q]) => `exists (${q})`),
			),
			from: fc.oneof(
				{ maxDepth: 3 },
				fc.constant('t'),
				fc.tuple(tie('from'), tie('from'), expr).map(([l, r, on]) => `${l} join ${r} on ${on}`),
				tie('query').map((q) => `(${q}) q`),
			),
			query: fc.oneof(
				{ maxDepth: 4 },
				expr.map((e) => `select ${e}`),
				fc.tuple(expr, tie('from')).map(([e, f]) => `select ${e} from ${f}`),
				fc.tuple(tie('query'), tie('query')).map(([l, r]) => `${l} union ${r}`),
			),
		};
	});

	test('never lies below the height of a random tree', () => {
		let parsed = 0;
		fc.assert(
			fc.property(query, (sql) => {
				let tree: unknown;
				try {
					tree = parseSync(sql);
				} catch {
					return;
				}
				parsed += 1;
				expect(height(tree)).toBeLessThanOrEqual(BASE + NODES_PER_LEVEL * nestingBound(Buffer.from(sql)));
			}),
			{ numRuns: 400 },
		);
		expect(parsed).toBeGreaterThan(100);
	});

	const flat: Readonly<Record<string, string>> = {
		'values lists': `insert into t values ${rep("(1, -2, 'a', null, now(), 3::numeric), ", 5000)}(1)`,
		conditions: `select 1 from t where ${rep('t.a = 1 and ', 5000)}true or ${rep('b <> -1 or ', 5000)}true`,
		'a list of values': `select 1 from t where a in (${rep("-1, 'x', ", 5000)}1)`,
		'columns with cases': `select ${rep('case when a.b then 1 else 2 end as c, ', 3000)}1`,
		'joins that are not too many': `select 1 from a${rep(' join b on a.x = b.y and a.z = b.z + 1', 500)}`,
		statements: rep('select (1 + 1) union select 2; ', 3000),
		'long literals': `select '${rep('((((not ', 5000)}', $$${rep('((((', 5000)}$$, "${rep('[', 50)}" /* ${rep('((', 5000)} */`,
	};
	test.each(Object.keys(flat))('stays low for %s', (name) => {
		expect(nestingBound(Buffer.from(flat[name] ?? ''))).toBeLessThan(defaultSqlLimits.nestingMax);
	});

	test('takes time in proportion to the text', async () => {
		const cost = (n: number): Promise<number> => {
			const bytes = Buffer.from(`select ${rep("f(a[1], 'b', -c.d) + case when e then $$x$$ end, ", n)}1`);
			return cpuMsOf(() => nestingBound(bytes));
		};
		await cost(5000);
		expect(await cost(40_000)).toBeLessThan(Math.max(60 * (await cost(5000)), 400));
	});
});

/** Parses each text in a process of its own, several times: a stack that overflows inside the parser takes the process along, at once or later. */
function survivors(texts: readonly (readonly [string, string])[]): Promise<string> {
	const script = `
		const { loadModule, parseSync } = require('libpg-query');
		let input = '';
		process.stdin.setEncoding('utf8').on('data', (part) => { input += part; }).on('end', async () => {
			await loadModule();
			for (const [name, sql] of JSON.parse(input)) {
				process.stdout.write(name);
				for (let i = 0; i < 3; i += 1) try { parseSync(sql); } catch (error) { if (error.constructor.name !== 'SqlError') throw error; }
				parseSync('select 1');
				process.stdout.write(': well\\n');
			}
		});`;
	return new Promise((resolve) => {
		const root = fileURLToPath(new URL('../..', import.meta.url));
		const child = execFile(process.execPath, ['-e', script], { cwd: root, timeout: 110_000 }, (error, stdout) => {
			resolve(error === null ? stdout : `${stdout}${error.signal ?? error.message}`);
		});
		child.stdin?.end(JSON.stringify(texts));
	});
}

describe('what the bound lets through', () => {
	/** The highest tower that is not refused. */
	const highest = (make: (n: number) => string): string => {
		let low = 0;
		let high = 4 * defaultSqlLimits.nestingMax;
		while (high - low > 1) {
			const middle = (low + high) >> 1;
			if (nestingBound(Buffer.from(make(middle))) <= defaultSqlLimits.nestingMax) low = middle;
			else high = middle;
		}
		return make(low);
	};

	test('the parser survives', async () => {
		const names = Object.keys(TOWERS);
		const told = await survivors(names.map((name) => [name, highest(TOWERS[name] ?? String)]));
		expect(told.trim().split('\n')).toEqual(names.map((name) => `${name}: well`));
	});

	test.each(Object.keys(TOWERS))('and more of %s is refused unparsed', async (name) => {
		const sql = TOWERS[name]?.(4 * defaultSqlLimits.nestingMax) ?? '';
		const refused = (): void =>
			expect(() => parse(sql, defaultSqlLimits)).toThrow(expect.objectContaining({ sqlstate: '54001' }) as Error);
		expect(await cpuMsOf(refused)).toBeLessThan(1000);
	});
});
