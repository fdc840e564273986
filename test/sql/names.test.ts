/** Names mean what they mean to the server: search_path, quoting, CTEs, aliases and scopes; and what was resolved is written into the text. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Bench } from './bench.ts';
import { check, type Row } from './check.ts';
import { AUDITOR, openPeople, RULES, SETUP, STRANGER } from './people.ts';

const LONG = `a${'x'.repeat(80)}`;
const MORE = `
create table app."MiXed" ("A" int, "b.c" int, "d""e" int);
insert into app."MiXed" values (1, 2, 3);
create table app.${LONG} (a int);
create table app."tüte" (a int);
create table other.shared (from_other int);
create table app.shared (from_app int);
create table locked.shared (from_locked int);
insert into other.shared values (1); insert into app.shared values (2); insert into locked.shared values (3);
create table app.pg_am (mine int);
insert into app.pg_am values (7);
create schema sql_bench;
create table sql_bench.own (x int);
insert into sql_bench.own values (4);
`;

let bench: Bench;
beforeAll(async () => {
	bench = await openPeople({
		setup: `${SETUP}${MORE}`,
		rules: `${RULES}\np, role:analyst, db.sql_bench.*, select, allow\np, role:analyst, db.locked.*, select, allow\n`,
	});
});
afterAll(async () => {
	await bench?.close();
});

describe('a relation without a schema is the first of the path', () => {
	const rows: readonly { path: readonly string[]; sql: string; text: string | RegExp }[] = [
		{ path: ['app', 'other'], sql: 'select * from shared', text: 'select * from "app".shared' },
		{ path: ['other', 'app'], sql: 'select * from shared', text: 'select * from "other".shared' },
		{ path: ['nowhere', 'app'], sql: 'select * from shared', text: 'select * from "app".shared' },
		{ path: ['locked', 'app'], sql: 'select * from shared', text: 'select * from "app".shared' },
		{ path: ['$user', 'app'], sql: 'select * from own', text: 'select * from "sql_bench".own' },
		{ path: ['app'], sql: 'select oid from pg_am', text: 'select oid from "pg_catalog".pg_am' },
		{ path: ['app', 'pg_catalog'], sql: 'select * from pg_am', text: 'select * from "app".pg_am' },
		{ path: [], sql: 'select amname from pg_am', text: 'select amname from "pg_catalog".pg_am' },
		{ path: ['app'], sql: 'select * from SHARED', text: 'select * from "app".SHARED' },
		{ path: ['app'], sql: 'select * from "shared"', text: 'select * from "app"."shared"' },
		{ path: ['app'], sql: 'select * from "MiXed"', text: 'select * from "app"."MiXed"' },
		{ path: ['app'], sql: 'select * from U&"\\0073hared"', text: 'select * from "app".U&"\\0073hared"' },
		{ path: ['app'], sql: 'select * from tüte', text: 'select * from "app".tüte' },
		{ path: ['app'], sql: `select * from ${LONG}`, text: `select * from "app".${LONG}` },
		{ path: ['app'], sql: `select * from ${LONG}yyy`, text: `select * from "app".${LONG}yyy` },
		{ path: ['app'], sql: 'select * from db.app.shared', text: 'select * from "app"."shared"' },
		{ path: ['app'], sql: 'table shared', text: 'table "app".shared' },
		{ path: ['app'], sql: 'select * from only shared', text: 'select * from only "app".shared' },
		{ path: ['app'], sql: 'select * from only (shared)', text: 'select * from only ("app".shared)' },
		{ path: ['app'], sql: 'select * from shared*', text: 'select * from "app".shared*' },
		{ path: ['app'], sql: 'insert into shared values (1)', text: 'insert into "app".shared values (1)' },
		{ path: ['app'], sql: 'update only shared set from_app = 1', text: 'update only "app".shared set from_app = 1' },
		{
			path: ['app'],
			sql: 'delete from shared s where s.from_app = 1',
			text: 'delete from "app".shared s where s.from_app = 1',
		},
		{
			path: ['app'],
			sql: 'select 1 from shared /* shared */ where 1 in (select 2 from shared)',
			text: 'select 1 from "app".shared /* shared */ where 1 in (select 2 from "app".shared)',
		},
	];
	test.each(rows)('$path: $sql', async ({ path, sql, text }) => {
		await check(bench, { sql, path, want: { text } });
		// What is forwarded runs, whatever the path of the connection is.
		const { rewritten } = await bench.decide(sql, { path });
		const answer = await bench.direct(`set local search_path = ''; ${rewritten}`);
		expect(answer.kind === 'error' ? answer.message : 'rows').toBe('rows');
	});

	test.each(['select * from people', 'update people set name = null', 'select nosuch(1)', 'set search_path = app'])(
		'an unknown path refuses %s',
		async (sql) => {
			const decision = await bench.decide(sql, { path: null });
			expect(decision.error?.sqlstate).toBe('42501');
			expect(decision.error?.message).toContain('search_path');
		},
	);
});

describe('what is not there', () => {
	const rows: readonly Row[] = [
		{ sql: 'select * from nosuch', want: { error: ['42P01', 'relation "nosuch" does not exist'] } },
		{ sql: 'select * from app.nosuch', want: { error: ['42P01', 'relation "app.nosuch" does not exist'] } },
		{ sql: 'select * from nowhere.items', want: { error: ['42P01', 'relation "nowhere.items" does not exist'] } },
		{
			sql: 'select * from postgres.app.items',
			want: { error: ['0A000', 'cross-database references are not implemented: "postgres.app.items"'] },
		},
		{
			sql: "select nosuch(1, 'x', 1.5::real, 'sad'::app.mood, array[1])",
			want: { error: ['42883', 'function nosuch(integer, unknown, real, mood, integer[]) does not exist'] },
		},
		{
			sql: 'select app.twice(1, 2)',
			want: { error: ['42883', 'function app.twice(integer, integer) does not exist'] },
		},
		{ sql: 'call nosuch(1)', want: { error: ['42883', 'procedure nosuch(integer) does not exist'] } },
		{ sql: "select 1 === 'x'::name", want: { error: ['42883', 'operator does not exist: integer === name'] } },
		{ sql: 'select @@@ 5::bigint', want: { error: ['42883', 'operator does not exist: @@@ bigint'] } },
		{ sql: 'select nosuch from items', want: { same: true } },
		{ sql: 'select items.nosuch from items', want: { same: true } },
		{ sql: 'select x.id from items', want: { same: true } },
		{ sql: 'select id from items, notes', want: { same: true } },
		{ sql: 'select items.id from items i', want: { same: true } },
		{ sql: 'select * from items i join notes i on true', want: { same: true } },
		{ sql: 'select * from pg_temp.items', want: { error: ['42P01', 'relation "pg_temp.items" does not exist'] } },
		{ sql: 'select * from items_pkey', want: { error: ['42809', ''] } },
	];
	test.each(rows)('$sql', async (row) => check(bench, row));

	test('is looked for once more in the catalogue', async () => {
		await bench.database.sql(
			'create table app.late (a int); grant all on app.late to sql_bench; insert into app.late values (5)',
		);
		const before = bench.catalog.snapshot().revision;
		expect(await bench.run('select * from late')).toMatchObject({ kind: 'rows', rows: [['5']] });
		expect(bench.catalog.snapshot().revision).toBeGreaterThan(before);
		await bench.database.sql('drop table app.late');
	});
});

describe('scopes', () => {
	const same: readonly string[] = [
		// common table expressions hide relations, in their order, and only where they are in sight
		'with items as (select 1 as one) select * from items',
		'with items as (select id from items where id = 1) select * from items',
		'with a as (select 1 as x), b as (select x + 1 as y from a) select * from a, b',
		'with recursive b as (select x from a), a as (select 1 as x) select * from b',
		'with x as (select 1 as id) select * from app.items i where i.id in (select id from x)',
		'select * from (with items as (select 1 as one) select * from items) q, items where items.id = one',
		'with items as (select 1 as one) select * from (with items as (select 2 as two) select * from items) q',
		'with items as (select 1 as one) select * from app.items where id = 1',
		'with "Items" as (select 1 as one) select * from items where id = 1',
		'with x(a) as (select id from items) select a from x where a < 3',
		'with x(a, b) as (select id from items) select a from x',
		"with t as (insert into notes (body) values ('n') returning id > 0 as ok, body) select * from t",
		'with t as (update notes set n = n + 1 returning *) select body, n from t order by 1',
		'with t as (delete from notes returning body) select body from t order by 1',
		'with t as (delete from notes) select 1',
		// columns of outer queries, shadowing and correlation
		'select (select i.id) from items i where id = 1',
		'select (select id from notes where notes.id = items.id) from items where id < 3 order by 1',
		'select id from items where exists (select from notes where id = items.id) order by 1',
		'select (select max(i.id) from notes) from items i group by id order by 1 limit 2',
		'select (select x.id from (select items.id) x) from items where id = 1',
		'select * from items i, lateral (select i.id + 1 as z) l where i.id = 1',
		'select * from items i left join lateral (select i.id + 1 as z) l on true where i.id = 1',
		'select * from items i, (select i.id) l where i.id = 1',
		'select * from generate_series(1, 2) g, lateral (select g) h',
		'select * from items i, generate_series(1, i.id) g where i.id < 3 order by 1, 2, 6',
		'select * from items i cross join lateral app.several(i.id) s where i.id < 3 order by 1, s',
		// aliases of output columns
		'select id as x from items order by x limit 2',
		'select id as x from items group by x order by x limit 2',
		'select -id as id from items order by id limit 2',
		'select -id as id from items group by id order by id limit 2',
		'select id as x from items where x = 1',
		'select id as x from items group by id having x = 1',
		'select id % 2 as owner, count(*) from items group by owner order by 1, 2',
		'select label as id from items order by id desc limit 1',
		'select id from items order by -id limit 1',
		'select id as x from items order by -x limit 1',
		'select distinct on (x) id % 2 as x, id from items order by x, id',
		'select id, label from items union select id, body from notes order by label, id limit 3',
		'select id as a from items union select id from notes order by a limit 3',
		'select 1 as a union select 2 order by a + 1',
		// whole rows and fields
		'select i from items i where id = 1',
		'select (i).label from items i where id = 1',
		'select (i.*).label from items i where id = 1',
		'select i.i from (select 1 as i) i',
		'select i from (select 1 as i) i',
		'select count(i) from items i',
		'select i.* from items i where i.id = 1',
		'select app.items.* from app.items where app.items.id = 1',
		'select items.label from app.items where items.id = 1',
		'select row(i.*) from items i where id = 1',
		'select i is null, i is not null from items i where id = 1',
		'select (pair()).*, (pair()).a',
		'select label(i) from items i where id = 1',
		'select i.label, label(i), (i).label from items i where id = 1',
		'select "MiXed"."A", "b.c", "d""e" from "MiXed"',
		'select x."A" from "MiXed" as x("A", b)',
		'select a.b from items as a(b) where b = 1',
		'select a.id from items as a(b) where b = 1',
		"select items.ctid is not null, xmin is not null, tableoid = 'app.items'::regclass from items where id = 1",
		// join aliases
		'select j.id from (items join notes using (id)) j order by 1',
		'select items.id from (items join notes using (id)) j order by 1',
		'select j.id, items.label, notes.body from items join notes using (id) as j order by 1',
		'select j.label from items join notes using (id) as j',
		'select * from (items i join notes n on i.id = n.id) as q(a, b) order by a',
		'select id, body from items natural join notes order by 1',
		'select id from items left join notes using (id) where notes.body is null order by 1 limit 2',
		'select items.id, notes.id, id from items full join notes using (id) order by 3 limit 2',
	];
	test.each(same)('%s', async (sql) => check(bench, { sql, want: { same: true } }));
});

describe('protected relations', () => {
	const rows: readonly Row[] = [
		{ sql: 'select ssn from people where id = 1', want: { rows: [['XXX-XX-1001']] } },
		{ sql: 'select people.ssn from people where people.id = 1', want: { rows: [['XXX-XX-1001']] } },
		{ sql: 'select hr.people.ssn from hr.people where hr.people.id = 1', want: { rows: [['XXX-XX-1001']] } },
		{
			sql: 'select hr . /* a */ people\n.\n"ssn" from hr.people where hr.people.id = 1',
			want: { rows: [['XXX-XX-1001']] },
		},
		{ sql: 'select HR.People.SSN from HR.PEOPLE where id = 1', want: { rows: [['XXX-XX-1001']] } },
		{ sql: 'select db.hr.people.ssn from hr.people where id = 1', want: { rows: [['XXX-XX-1001']] } },
		{
			sql: 'select hr.people.* from hr.people where id = 11',
			want: {
				rows: [
					[
						'11',
						'acme',
						'p11',
						'p11@x.org',
						'XXX-XX-1011',
						null,
						'1983-01-05',
						'3',
						'5',
						'{a11,b}',
						'{"k": 11, "l": [11, 12]}',
					],
				],
			},
		},
		{ sql: 'select (people).ssn from people where id = 1', want: { rows: [['XXX-XX-1001']] } },
		{ sql: 'select (p.*).ssn from people p where id = 1', want: { rows: [['XXX-XX-1001']] } },
		{ sql: 'select (hr.people.*).ssn from hr.people where id = 1', want: { rows: [['XXX-XX-1001']] } },
		{ sql: 'select p.ssn from people as p(i) where i = 1', want: { rows: [['XXX-XX-1001']] } },
		{ sql: 'select p.a, p.e from people as p(a, b, c, d, e) where a = 1', want: { rows: [['1', 'XXX-XX-1001']] } },
		{ sql: 'select "p q".ssn from people "p q" where id = 1', want: { rows: [['XXX-XX-1001']] } },
		{ sql: 'select max(id), count(*) from people', want: { rows: [['11', '8']] } },
		{ sql: 'select max(id), count(*) from people', who: AUDITOR, want: { rows: [['12', '12']] } },
		{ sql: 'with people as (select 1 as ssn) select ssn from people', want: { rows: [['1']] } },
		{
			sql: 'with people as (select ssn from people where id = 1) select ssn from people',
			want: { rows: [['XXX-XX-1001']] },
		},
		{
			sql: 'select (select ssn from people p where p.id = t.id) from teams t order by t.id',
			want: { rows: [['XXX-XX-1001'], ['XXX-XX-1002'], [null]] },
		},
		{
			sql: "select t.id from teams t where exists (select from people where people.team = t.id and ssn like '%1') order by 1",
			want: { rows: [['2'], ['3']] },
		},
		{
			sql: 'select x.ssn from people x, lateral (select x.ssn as y) l where x.id = 1 and l.y = x.ssn',
			want: { rows: [['XXX-XX-1001']] },
		},
		{
			sql: 'select a.ssn, b.ssn from people a join people b on b.boss = a.id where a.id = 2 order by 2',
			want: {
				rows: [
					['XXX-XX-1002', 'XXX-XX-1004'],
					['XXX-XX-1002', 'XXX-XX-1005'],
				],
			},
		},
		{
			sql: 'select hr.people.id, other.people.note from hr.people join other.people on hr.people.id = other.people.id',
			// A limit: in place of the protected one there is a subquery, which has no schema to tell the two apart by.
			want: { error: ['42712', 'table name "people" specified more than once'] },
		},
		{ sql: 'select * from people where photo is null', want: { error: ['42703', 'column "photo" does not exist'] } },
		{ sql: 'select p.photo from people p', want: { error: ['42703', 'column p.photo does not exist'] } },
		{ sql: 'select (p).photo from people p', want: { error: ['42703', /photo/] } },
		{ sql: 'select photo(p) from people p', want: { error: ['42883', /photo/] } },
		{ sql: 'select * from secrets', want: { error: ['42501', /denied by policy\.csv:\d+/] } },
		{
			sql: 'select * from people',
			who: STRANGER,
			want: { error: ['42501', /no rule of the policy allows select on db\.hr\.people/] },
		},
		{ sql: 'select 1', who: STRANGER, want: { rows: [['1']] } },
		{ sql: 'select count(*) > 100 from pg_class', who: STRANGER, want: { rows: [['t']] } },
	];
	test.each(rows)('$sql', async (row) => check(bench, row));
});
