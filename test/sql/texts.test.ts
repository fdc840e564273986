/** Texts of several statements: what one makes, renames or drops is followed for those after it. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Bench } from './bench.ts';
import { openPeople, RULES, SETUP } from './people.ts';

const FRESH = `
p, role:analyst, db.app.fresh_*(*), execute, allow
p, role:analyst, db.app.fresh_tidy(integer), call, allow
p, role:analyst, db.app.uuid_*(*), execute, allow
p, role:analyst, db.app.unaccent(*), execute, allow
p, role:analyst, db.app.similarity(*), execute, allow
p, role:analyst, db.app.levenshtein(*), execute, allow
p, role:analyst, db, create, allow
p, role:analyst, db, drop, allow
p, role:analyst, db, do, allow
p, role:analyst, db.made_one.*, *, allow
p, role:analyst, db.other.*, *, allow
`;

/** The gateway's role makes schemas and extensions, and owns one of the schemas. */
const OWNED = `create sequence hr.numbers; alter schema other owner to sql_bench; alter table other.people owner to sql_bench;
do $$ begin execute format('grant create on database %I to sql_bench', current_database()); end $$;`;

let bench: Bench;
beforeAll(async () => {
	bench = await openPeople({ setup: SETUP + OWNED, rules: RULES + FRESH, path: ['app', 'hr'] });
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
		// A text may have ended the transaction, after a SET.
		await bench.client.query('rollback; set search_path = app, hr');
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
			want: [[4]],
		},
		{
			name: 'makes a function that no rule lets it run',
			sql: "create function sudden(int) returns int language sql as 'select 1'; select sudden(2)",
			want: '42501 permission denied for function app.sudden(integer): no rule of the policy allows execute on db.app.sudden(integer)',
		},
		{
			name: 'makes another function of a name that one has and may not run the one behind',
			sql: "begin; savepoint s; create function app.twice(bigint) returns int language sql as 'select 1'; rollback to s; select app.twice(2)",
			want: [[4]],
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
			'set search_path = default; select 1 from items',
			'set search_path from current; select 1 from items',
			"select pg_catalog.set_config('search_path', 'other', false); select note from people",
			"select pg_catalog.set_config('search_path', '', true); select 1 from app.items",
			"select set_config('search_path', '', false); select 1 from app.items",
			"select pg_catalog.set_config('search_path', '', false) from other.people limit 0; select 1 from items",
			"select pg_catalog.set_config('search_path', '', false) where false; select 1 from items",
			'begin; savepoint s; release s; rollback to s; select 1 from people',
			'begin; savepoint s; savepoint t; rollback to s; rollback to t; select 1 from people',
			'begin; savepoint s; commit; begin; rollback to s; select 1 from people',
			`set search_path = '${'x'.repeat(64)}'; select 1 from items`,
		].map((sql) => ({
			name: `changes search_path in a way that is not followed: ${sql}`,
			sql,
			want: '42501 a statement that may change search_path has to be sent by itself, before those that it is meant for',
		})),
		{
			name: 'sets search_path for a transaction, which ends before the text',
			sql: 'set search_path = hr; begin; set local search_path = other; select note from people; commit; select ssn from people where id = 1',
			want: [['XXX-XX-1001']],
		},
		{
			name: 'sets search_path for its own transaction',
			sql: 'set local search_path = other; select note from people',
			want: [['another table of that name']],
		},
		{
			name: 'takes a search_path back',
			sql: 'begin; savepoint s; set search_path = other; rollback to s; select ssn from people where id = 1',
			want: [['XXX-XX-1001']],
		},
		{
			name: 'takes back a table by the name of a protected one, part by part',
			sql: 'savepoint a; create temp table people (ssn int); savepoint b; rollback to b; release b; rollback to a; select ssn from people where id = 1',
			want: [['XXX-XX-1001']],
		},
		{
			name: 'takes back what it has dropped',
			sql: 'create table made (a int); insert into made values (5); savepoint a; drop table made; rollback to a; select a from made',
			want: [[5]],
		},
		{
			name: 'takes back what it has made, and makes it again',
			sql: 'savepoint a; create table made (b text); rollback to a; create table made (a int); insert into made (a) values (3); select a from made',
			want: [[3]],
		},
		{
			name: 'makes a table and uses the sequences and indexes that come with it',
			sql: "create table made (id serial primary key, n int generated by default as identity, unique (n)); select setval('made_id_seq', 41); alter sequence made_n_seq restart 7; alter index made_n_key rename to other; alter index app.made_pkey rename to third; insert into made default values returning id, n",
			want: [[42, 7]],
		},
		{
			name: 'sets the sequence of a column, whichever it is',
			sql: "create table made (id serial primary key, v int); insert into made (v) values (1); select setval(pg_get_serial_sequence('made', 'id'), 50, false); select nextval(pg_get_serial_sequence('app.made', 'id')::regclass)",
			want: [['50']],
		},
		{
			name: 'takes a number of a sequence of a schema in which one may not be meant',
			sql: "select nextval(pg_get_serial_sequence('hr.teams', 'id'))",
			want: expect.stringMatching(/^42501 permission denied for sequence hr\.numbers/),
		},
		{
			name: 'makes a schema, sets search_path to it and makes a table there',
			sql: 'create schema made_one; set search_path = made_one, app; create table t (id serial, v int); insert into t (v) select 1 from items where id = 1; select id, v from t; reset work_mem',
			want: [[1, 1]],
		},
		{
			name: 'drops a schema and makes it anew',
			sql: 'drop schema other cascade; create schema other; create table other.people (n int); insert into other.people values (5); select n from other.people',
			want: [[5]],
		},
		{
			name: 'makes an extension and calls what it brings',
			sql: 'create extension if not exists pgcrypto schema app; create extension "uuid-ossp" schema app; create table made (id uuid default app.uuid_generate_v4()); insert into made default values; select length(id::text), app.uuid_nil() from made',
			want: [[36, '00000000-0000-0000-0000-000000000000']],
		},
		{
			name: 'makes extensions for searching and calls what they bring',
			sql: "create extension unaccent schema app; create extension pg_trgm schema app; create extension fuzzystrmatch schema app; create table made (a text); create index on made using gin (a app.gin_trgm_ops); select app.unaccent('é'), app.similarity('a', 'a'), app.levenshtein('a', 'bc')",
			want: [['e', 1, 2]],
		},
		{
			name: 'makes an extension and calls what no rule lets it run',
			sql: 'create extension pg_trgm schema app; create extension pgcrypto schema app; select app.gen_random_bytes(4)',
			want: '42501 permission denied for function app.gen_random_bytes(integer): no rule of the policy allows execute on db.app.gen_random_bytes(integer)',
		},
		{
			name: 'makes a row type and changes it',
			sql: 'create type fresh_pair as (a int); alter type app.fresh_pair add attribute b int; create table made of app.fresh_pair',
			want: expect.stringMatching(/^42501 CREATE TABLE OF a type that the gateway does not know/),
		},
		{
			name: 'begins with DO, and goes on with what is there',
			sql: 'do $$ begin create temp table done (a int); end $$; create table made (a int); insert into made values (3); do $$ begin update app.made set a = a + 1; end $$; select a from made',
			want: [[4]],
		},
		{
			name: 'begins with DO, and reads what is protected',
			sql: 'do $$ begin null; end $$; select ssn from people where id = 1',
			want: [['XXX-XX-1001']],
		},
		{
			name: 'names what DO makes',
			sql: "do $$ begin if true then create table if not exists done (a int, b text default 'x'); end if; create temp table others as select 7 as n; end $$; insert into done (a) values (3); select a, n from done, others",
			want: [[3, 7]],
		},
		{
			name: 'names what DO makes by the name of what is protected',
			sql: 'do $$ begin if false then create table hr.people (ssn text); end if; end $$; select ssn from hr.people where id = 1',
			want: [['XXX-XX-1001']],
		},
		{
			name: 'names what DO may not make',
			sql: 'do $$ begin create table hr.done (a int); end $$; select a from hr.done',
			want: '42P01 relation "hr.done" does not exist',
		},
		{
			name: 'names what DO makes by code that is put together',
			sql: "do $$ begin execute 'create temp table done (a int)'; end $$; select a from done",
			want: '42P01 relation "done" does not exist',
		},
		...['set search_path = other', "perform set_config('search_path', 'other', false)", 'discard all', 'reset all'].map(
			(body) => ({
				name: `begins with DO that may set search_path: ${body}`,
				sql: `do $$ begin ${body}; end $$; select note from people`,
				want: '42501 a statement that may change search_path has to be sent by itself, before those that it is meant for',
			}),
		),
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
