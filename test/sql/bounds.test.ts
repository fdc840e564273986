/** Bounds of an analysis: what is too much is refused before it is looked at, and others are served between the statements of a long text. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Pipeline } from '../../src/pipeline.ts';
import type { Bench } from './bench.ts';
import { check, type Row } from './check.ts';
import { openPeople, RULES, SETUP } from './people.ts';

let bench: Bench;
beforeAll(async () => {
	const long = `create view app.long as select '${'x'.repeat(100_000)}'::text as x;`;
	bench = await openPeople({ setup: `${SETUP}${long}`, rules: RULES });
});
afterAll(async () => {
	await bench?.close();
});

const list = (item: string, count: number): string => Array.from({ length: count }, () => item).join(', ');
const ctes = (count: number): string =>
	Array.from({ length: count }, (_, i) => `c${i} as (select id from people)`).join(', ');

describe('too much of', () => {
	const rows: readonly (Row & { readonly name: string })[] = [
		{ name: 'columns', sql: `select ${list('ssn', 1665)} from people`, want: { error: ['54011', 'target lists can'] } },
		{ name: 'constants', sql: `select ${list('1', 1664)}`, want: { same: true } },
		{
			name: 'arguments',
			sql: `select concat(${list('ssn', 101)}) from people`,
			want: { error: ['54023', 'cannot pass'] },
		},
		{ name: 'arguments, just not', sql: `select concat(${list('1', 100)})`, want: { same: true } },
		{
			name: 'reads',
			sql: `with ${ctes(2001)} select 1`,
			want: { error: ['54001', 'a statement that reads protected'] },
		},
		{
			name: 'definitions of views',
			sql: `select 1 from ${Array.from({ length: 11 }, (_, i) => `app.long v${i}`).join(', ')}`,
			want: { error: ['54000', 'a text that reads views'] },
		},
		{
			name: 'definitions of views in several statements',
			sql: 'table app.long;'.repeat(11),
			want: { error: ['54000', 'a text that reads views'] },
		},
		{ name: 'definitions of views, just not', sql: 'table app.long;'.repeat(10), want: { same: true } },
	];
	test.each(rows)('$name', (row) => check(bench, row));
});

test("limits are the operator's", async () => {
	const pipeline = new Pipeline({ audit: null, limits: { readsMax: 2, statementBytesMax: 100, statementsMax: 3 } });
	const asked = async (sql: string): Promise<string> => {
		const { error } = await pipeline.decide(bench.context(), sql);
		return `${error?.sqlstate} ${error?.hint}`;
	};
	expect(await asked('with a as (table people), b as (table people) select 1')).toBe('undefined undefined');
	expect(await asked('with a as (table people), b as (table people) table people')).toMatch(
		/54001 .*limits.sqlReadsMax/,
	);
	expect(await asked(`select '${'x'.repeat(100)}'`)).toMatch(/54000 .*limits.sqlBytesMax/);
	expect(await asked('select 1; select 2; select 3; select 4')).toMatch(/54000 .*limits.sqlStatementsMax/);
});

test('a text may be long, and have fewer tokens for its length', async () => {
	const asked = async (sql: string): Promise<string> => (await bench.decide(sql)).error?.sqlstate ?? 'allowed';
	const rows = (length: number): string =>
		`insert into notes (body) values ${`('${'x'.repeat(400)}'),`.repeat(length / 407)}('y')`;
	expect(await asked(rows(3_000_000))).toBe('allowed');
	expect(await asked(rows(5_000_000))).toBe('54000');
	expect(await asked(`select 1 from people where id in (${'1,'.repeat(600_000)}2)`)).toBe('54000');
});

test('a long text is looked at in slices', async () => {
	const sql = 'select ssn from people where id = 1;'.repeat(4_000);
	let turns = 0;
	let done = false;
	const count = (): void => {
		turns += 1;
		if (!done) setImmediate(count);
	};
	setImmediate(count);
	const decision = await bench.pipeline.decide(bench.context(), sql);
	done = true;
	expect(decision.effect).toBe('mask');
	expect(decision.statements).toHaveLength(4_000);
	expect(turns).toBeGreaterThan(3);
});
