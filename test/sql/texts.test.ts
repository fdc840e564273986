/** Texts of several statements: what one makes, renames or drops is followed for those after it. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Bench } from './bench.ts';
import { openPeople, RULES, SETUP } from './people.ts';

const FRESH = `
p, role:analyst, db.app.fresh_*(*), execute, allow
p, role:analyst, db.app.fresh_tidy(integer), call, allow
`;

let bench: Bench;
beforeAll(async () => {
	bench = await openPeople({ setup: SETUP, rules: RULES + FRESH, path: ['app', 'hr'] });
});
afterAll(async () => {
	await bench?.close();
});

/** Rows of the last statement that gave any. */
async function played(sql: string): Promise<unknown> {
	const { error, rewritten } = await bench.decide(sql);
	if (error !== undefined) return `${error.sqlstate} ${error.message}`;
	await bench.client.query('begin');
	try {
		const results: unknown = await bench.client.query({ text: rewritten, rowMode: 'array' });
		const all = (Array.isArray(results) ? results : [results]) as { rows: unknown[] }[];
		return all.findLast(({ rows }) => rows.length > 0)?.rows;
	} finally {
		await bench.client.query('rollback');
	}
}

describe('a text that', () => {
	const rows: readonly { readonly name: string; readonly sql: string; readonly want: unknown }[] = [
		{
			name: 'makes a table and uses it',
			sql: "create table made (a int, b text); insert into made values (1, 'x'); select b, a from made",
			want: [['x', 1]],
		},
		{
			name: 'makes a table in place of one that is dropped',
			sql: 'drop table if exists made; create table made (c int); insert into made values (3); select c from made',
			want: [[3]],
		},
		{
			name: 'makes a table of a protected one',
			sql: 'create table made as select id, ssn from people; select ssn from made where id = 1; drop table made',
			want: [['XXX-XX-1001']],
		},
		{
			name: 'makes a view over a protected table',
			sql: 'create view made as select id, ssn from people; select ssn from made where id = 1; drop view made',
			want: [['XXX-XX-1001']],
		},
		{
			name: 'makes a view over a protected table and asks it by what is not leakproof',
			sql: "create view made as select id, ssn from people; select ssn, id from made where ssn like '%1001'",
			want: [['XXX-XX-1001', 1]],
		},
		{
			name: 'makes a sequence and asks it',
			sql: "create sequence made; select nextval('made'); drop sequence made",
			want: [['1']],
		},
		{
			name: 'makes a temporary table and renames it',
			sql: 'create temp table t1 as select id, ssn from people; alter table t1 rename to t2; select ssn from t2 where id = 1',
			want: [['XXX-XX-1001']],
		},
		{
			name: 'makes a function and calls it',
			sql: "create function fresh_one(a int, b int default 5) returns int language sql as 'select a + b'; select fresh_one(2)",
			want: [[7]],
		},
		{
			name: 'makes a function and puts it behind a trigger',
			sql: 'create function app.fresh_up() returns trigger language plpgsql as $$ begin new.n := 8; return new; end $$; create trigger up before insert on notes for each row execute function app.fresh_up(); insert into notes (body) values (null) returning n',
			want: [[8]],
		},
		{
			name: 'makes a function of several columns and reads them',
			sql: "create function fresh_rows(n int) returns table (x int, y text) language sql as $$ select i, 'y' || i from generate_series(1, n) i $$; select y, x from fresh_rows(1) where x > 0",
			want: [['y1', 1]],
		},
		{
			name: 'makes a procedure and calls it',
			sql: "create procedure fresh_tidy(int) language sql as 'select 1'; call fresh_tidy(3); select 4",
			want: '42501 a statement that may change search_path has to be sent by itself, before those that it is meant for',
		},
		{
			name: 'makes a function that no rule lets it run',
			sql: "create function sudden(int) returns int language sql as 'select 1'; select sudden(2)",
			want: '42501 permission denied for function app.sudden(integer): no rule of the policy allows execute on db.app.sudden(integer)',
		},
		{
			name: 'makes another function of a name that one has and may not run the one behind',
			sql: "begin; savepoint s; create function app.twice(bigint) returns int language sql as 'select 1'; rollback to s; select app.twice(2::bigint)",
			want: '42501 a statement that may change search_path has to be sent by itself, before those that it is meant for',
		},
		{
			name: 'sets search_path to constants and names what is there',
			sql: "set search_path = other, hr; select note from people; set search_path to 'hr'; select ssn from people where id = 1",
			want: [['XXX-XX-1001']],
		},
		{
			name: 'empties search_path as a dump does, and makes a table by its whole name',
			sql: "select pg_catalog.set_config('search_path', '', false); set search_path = ''; create table app.made (a int); insert into app.made values (4); select a from app.made",
			want: [[4]],
		},
		{
			name: 'names what is no longer on search_path',
			sql: 'set search_path = other; select * from items',
			want: '42P01 relation "items" does not exist',
		},
		{
			name: 'names what is not on an emptied search_path',
			sql: "select pg_catalog.set_config('search_path', '', false); select * from items",
			want: '42P01 relation "items" does not exist',
		},
		...[
			'set local search_path = other; select note from people',
			'set search_path = default; select 1 from items',
			'set search_path from current; select 1 from items',
			"select pg_catalog.set_config('search_path', 'other', false); select note from people",
			"select pg_catalog.set_config('search_path', '', true); select 1 from app.items",
			"select set_config('search_path', '', false); select 1 from app.items",
			"select pg_catalog.set_config('search_path', '', false) from other.people limit 0; select 1 from items",
			"select pg_catalog.set_config('search_path', '', false) where false; select 1 from items",
			'begin; savepoint s; set search_path = other; rollback to s; select 1 from people',
			`set search_path = '${'x'.repeat(64)}'; select 1 from items`,
		].map((sql) => ({
			name: `changes search_path in a way that is not followed: ${sql}`,
			sql,
			want: '42501 a statement that may change search_path has to be sent by itself, before those that it is meant for',
		})),
		{
			name: 'reads what it has dropped',
			sql: 'create temp table t1 (a int); drop table t1; select * from t1',
			want: '42P01 relation "t1" does not exist',
		},
		{
			name: 'writes through a view that it has made',
			sql: "create view made as select id, ssn from people; update made set ssn = 'x'",
			want: expect.stringMatching(/^42501 /),
		},
	];
	test.each(rows)('$name', async ({ sql, want }) => {
		expect(await played(sql)).toEqual(want);
	});
});
