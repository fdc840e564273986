/** Data definition and maintenance: decided by the rules for the objects, never a way around a protection, and written with the schema that is meant. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Bench } from './bench.ts';
import { check, type Row } from './check.ts';
import { identityOf } from '../policy/support.ts';
import { AUDITOR, MANAGER, openPeople, RULES, SETUP, STRANGER } from './people.ts';

/** May change schemas, and not run what is in them. */
const DEPLOYER = identityOf(['user:dep', 'role:deployer'], { tenant: 'acme' });

/** May run whatever is in a schema, by a wildcard and by name. */
const CALLER = identityOf(['user:cal', 'role:caller'], { tenant: 'acme' });
const NAMER = identityOf(['user:nam', 'role:caller', 'role:namer'], { tenant: 'acme' });

/** May make schemas, and nothing in them. */
const MAKER = identityOf(['user:mak', 'role:maker'], {});

/** May make what is not there yet in one schema, and run what is in it. */
const ADDER = identityOf(['user:add', 'role:adder'], {});

const SIDES = `
create aggregate app.total(int) (sfunc = int4pl, stype = int);
create schema side_1; create function side_1.now(varchar) returns text language sql as 'select null::text';
create schema side_2; create function side_2.fresh(int, int) returns int language sql as 'select 1';
create schema side_3; create function side_3.fresh(anyelement) returns int language sql as 'select 1';
create schema side_4; create operator side_4.= (leftarg = text, rightarg = text, function = texteq);
create schema side_5; create domain side_5.varchar as text;
create function side_1.both(text, text) returns boolean language sql as 'select true';
create schema side_6; create operator side_6.~~~ (leftarg = text, rightarg = text, function = side_1.both);
create schema side_7; create type side_7.pair as (a int); create table side_7.t (a int);
create domain app.code as text; create domain app.codes as app.code[]; create type app.coded as (n int, codes app.codes);
create schema side_8; create extension tablefunc schema side_8; create extension citext schema side_8; create extension pg_trgm schema side_8;
create table hr.coded (id int, c app.coded); create domain app.free as int; create table app.freed (f app.free);
`;

let bench: Bench;
beforeAll(async () => {
	const rules = `${RULES}
p, role:analyst, db.hr.people, alter, allow
p, role:analyst, db.hr.people, drop, allow
p, role:analyst, db.hr.people, maintain, allow
p, role:analyst, db.hr.snapshot, maintain, allow
p, role:analyst, db.hr.people, lock, allow
p, role:analyst, db.hr.people, truncate, allow
p, role:analyst, db.hr.people, grant, allow
p, role:analyst, db.hr.mine, create, allow
p, role:analyst, db.hr.mine_2, create, allow
p, role:deployer, db, alter, allow
p, role:maker, db, create, allow
p, role:adder, db.app.*, create, allow
p, role:adder, db.app.*, select, allow
p, role:adder, db.app.*(*), execute, allow
p, role:caller, db.side_8.*(*), execute, allow
p, role:namer, db.side_8.crosstab(text), execute, allow
p, role:caller, db.hr.people, select, allow
p, role:caller, db.hr.people, select, filter, own_tenant
p, role:caller, db.hr.people.ssn, select, mask, ssn_last4
p, role:deployer, db.app.twice(*), execute, allow
`;
	bench = await openPeople({ setup: `${SETUP}${SIDES}`, rules, path: ['app', 'hr'] });
});
afterAll(async () => {
	await bench?.close();
});

const denied = (sql: string, words: RegExp | string = '', who = undefined as Row['who']): Row => ({
	sql,
	want: { error: ['42501', words] },
	...(who === undefined ? {} : { who }),
});
const text = (sql: string, rewritten: string | RegExp): Row => ({ sql, want: { text: rewritten } });

describe('making code by the name of other code', () => {
	const body = "language sql as 'select 1'";
	const taken = /could be taken for another of its name/;
	const rows: readonly Row[] = [
		text(`create function app.fresh(int) returns int ${body}`, `create function app.fresh(int) returns int ${body}`),
		denied('create function app.fresh(app.items) returns int language sql as $$ select 1 $$', /as in \(x\).fresh/),
		denied(
			'create function app.fresh(anyelement, int default 1) returns int language sql as $$ select 1 $$',
			/taken for a field/,
		),
		denied('create function app.label(int) returns int language sql as $$ select 1 $$', /taken for a field/),
		text('create function app.label(int, int) returns int language sql as $$ select 1 $$', /^create function/),
		denied('create cast (int as float4) without function', /WITHOUT FUNCTION/),
		// Its maker may run it.
		text(`create function app.twice(bigint) returns int ${body}`, /^create function/),
		text(`create procedure app.tidy_up(text) ${body}`, /^create procedure/),
		text('drop function app.twice(int)', /^drop function/),
		text('create domain app.amount as numeric check (value > 0)', /^create domain/),
		text('create operator app.#+# (leftarg = int, rightarg = int, function = int4pl)', /^create operator/),
		text('create operator app.< (leftarg = app.mood, rightarg = app.mood, function = enum_lt)', /^create operator/),
		denied(`create function app.reverse(varchar) returns text ${body}`, taken),
		denied(`create function app.jsonb(text) returns text ${body}`, taken),
		denied(
			`create function app.now(timestamp with time zone[], out int) ${body}`,
			/app\.now\(timestamp with time zone\[\]\)/,
		),
		denied('create aggregate app.max (app.mood) (sfunc = enum_larger, stype = app.mood)', taken),
		denied('create aggregate app.max (basetype = text, sfunc = text_larger, stype = text)', /app\.max\(text\)/),
		denied('alter function app.forbidden(int) rename to abs', taken),
		denied('alter function app.twice(int) rename to abs', taken),
		denied('create domain app.date as text', /a type by the name of date/),
		denied("create type app.text as enum ('x')", /a type by the name of text/),
		denied('create type app.uuid as (a int)', /a type by the name of uuid/),
		denied('alter type app.mood rename to text', /a type by the name of text/),
		denied('create operator app.= (leftarg = text, rightarg = text, function = textlike)', /an operator =/),
		denied('create operator app.- (rightarg = int, function = int4abs)', /an operator -/),
	];
	test.each(rows)('$sql', (row) => check(bench, row));
});

describe('taking the place of what is there', () => {
	const body = "language sql as 'select 1'";
	const passes = (sql: string, who?: Row['who']): Row => ({ ...text(sql, /./), ...(who === undefined ? {} : { who }) });
	const unknown: Row = {
		who: ADDER,
		sql: `create or replace function app.twice(app.items.missing%type) returns int ${body}`,
		want: { error: ['42703', 'column "missing" of relation "app.items" does not exist'] },
	};
	test.each([
		passes('create or replace view app.cheap as select id, label from app.items'),
		passes('create or replace view app.dear as select id, label from app.items', ADDER),
		denied('create or replace view app.cheap as select id, label from app.items', /alter on db\.app\.cheap/, ADDER),
		passes('create view app.dear as select 1 as a; create or replace view app.dear as select 2 as a', ADDER),
		passes('create or replace temp view cheap as select 1 as a'),
		passes(`create or replace function app.twice(int) returns int ${body}`),
		passes(`create or replace function app.thrice(int) returns int ${body}`, ADDER),
		denied(`create or replace function app.twice(integer) returns int ${body}`, /alter on db\.app\.\*/, ADDER),
		denied(`create or replace function app.twice(n int4) returns int ${body}`, /alter on db\.app\.\*/, ADDER),
		denied(
			`create or replace function app.twice(app.items.id%type) returns int ${body}`,
			/alter on db\.app\.\*/,
			ADDER,
		),
		denied(
			`create or replace function app.twice(n items.owner%type) returns int ${body}`,
			/alter on db\.app\.\*/,
			ADDER,
		),
		passes(`create or replace function app.thrice(app.items.id%type) returns int ${body}`, ADDER),
		unknown,
		denied(`create or replace procedure app.tidy(int) ${body}`, /alter on db\.app\.\*/, ADDER),
		denied('create or replace aggregate app.total(int) (sfunc = int4mi, stype = int)', /alter on db\.app\.\*/, ADDER),
		// Whatever calls it, a trigger or a default, would call this.
		denied(`create or replace function app.forbidden(int) returns int ${body}`, /execute on db\.app\.forbidden/),
		denied('create or replace aggregate app.total(int) (sfunc = int4mi, stype = int)', /execute on db\.app\.total/),
	])('$sql', (row) => check(bench, row));
});

describe('giving a schema another name', () => {
	const renamed = (schema: string): string => `alter schema ${schema} rename to coming`;
	test.each([
		denied(renamed('side_1'), /making coming.now.character varying., which could be taken/, DEPLOYER),
		denied(renamed('side_3'), /taken for a field/, DEPLOYER),
		denied(renamed('side_4'), /moving an operator =/, DEPLOYER),
		denied(renamed('side_5'), /a type by the name of/, DEPLOYER),
		denied(renamed('side_6'), /moving an operator ~~~/, DEPLOYER),
		{ ...text(renamed('side_2'), renamed('side_2')), who: DEPLOYER },
		{ ...text(renamed('side_7'), renamed('side_7')), who: DEPLOYER },
	])('$sql', (row) => check(bench, row));
});

describe('making relations', () => {
	const rows: readonly Row[] = [
		text(
			"create table made (a int primary key, b text default upper('x'))",
			'create table "app".made (a int primary key, b text default upper(\'x\'))',
		),
		text('create table app.made (a int)', 'create table app.made (a int)'),
		text('create table hr.mine (a int)', 'create table hr.mine (a int)'),
		text('create temp table made (a int)', 'create temp table made (a int)'),
		text(
			'create table made (id int primary key, up int references made, other int, foreign key (other) references app.made (id))',
			'create table "app".made (id int primary key, up int references "app".made, other int, foreign key (other) references app.made (id))',
		),
		text(
			'create table if not exists items (id int primary key, up int references items)',
			'create table if not exists "app".items (id int primary key, up int references "app".items)',
		),
		text(
			'create temp table people (id int primary key, up int references people)',
			'create temp table people (id int primary key, up int references people)',
		),
		denied('create table locked.made (id int primary key, up int references made)', ''),
		denied('create table app.people (id int primary key, up int references hr.people)', /foreign key/),
		text('create table pg_temp.made (a int)', 'create table pg_temp.made (a int)'),
		text(
			'create table if not exists made (like items including all)',
			'create table if not exists "app".made (like "app".items including all)',
		),
		text(
			'create table made as select ssn from people',
			/^create table "app"\.made as select ssn from \(SELECT .* WHERE .*\) AS "people"$/s,
		),
		text(
			'create temp table made as table people',
			/^create temp table made as SELECT \* FROM \(SELECT .*\) AS "people"$/s,
		),
		text('select ssn into made from people', /^select ssn into "app"\.made from \(SELECT .*\) AS "people"$/s),
		text(
			'select ssn into made from people union select name from people',
			/^select ssn into "app"\.made from \(SELECT .*\) AS "people" union select name from \(SELECT .*\) AS "people"$/s,
		),
		text(
			'(select ssn into made from people) union all values (1::text)',
			/^\(select ssn into "app"\.made from \(SELECT .*$/s,
		),
		text('create view made as select ssn from people', /^create view "app"\.made as select ssn from \(SELECT/s),
		text(
			'create materialized view made as select ssn from people with no data',
			/^create materialized view "app"\.made as select ssn from \(SELECT .*\) AS "people" with no data$/s,
		),
		text('create sequence made', 'create sequence "app".made'),
		text('create index on items (label)', 'create index on "app".items (label)'),
		text(
			'create unique index made on app.items ((upper(label))) where id > 0',
			'create unique index made on app.items ((upper(label))) where id > 0',
		),
		denied('create table hr.other_one (a int)', /create on db\.hr\.other_one/),
		denied('create table pg_catalog.made (a int)'),
		denied('create table made (a int)', /create/, STRANGER),
		denied('create temp table made (a int)', /temp/, STRANGER),
		denied('create table made as select * from secrets', /hr\.secrets/),
		denied('create view made as select * from secrets', /hr\.secrets/),
		text(
			'create table made (x int, like people, y int)',
			'create table "app".made (x int, "id" integer NOT NULL, "tenant" pg_catalog.text NOT NULL, "name" pg_catalog.text NOT NULL, ' +
				'"email" pg_catalog.text, "ssn" pg_catalog.text, "salary" numeric(10,2), "born" pg_catalog.date, "team" integer, ' +
				'"boss" integer, "tags" pg_catalog.text[], "extra" pg_catalog.jsonb, y int)',
		),
		text(
			'create temp table made (like events including all)',
			'create temp table made (like "hr".events including all)',
		),
		text('create temp table made (like directory)', 'create temp table made (like "hr".directory)'),
		denied('create table made (like people including all)', /LIKE \.\.\. INCLUDING of hr\.people/),
		denied('create table made (like secrets)', /hr\.secrets/),
		denied('create table made (p int references people)', /foreign key/),
		denied('create table made () inherits (people)', /protects/),
		denied('create table made partition of people default', /protects/),
		denied('create index on people (ssn)', /protects/),
		denied('create table made (a int default app.forbidden(1))', /app\.forbidden/),
		denied('create table made (a int check (app.forbidden(a) > 0))', /app\.forbidden/),
		denied('create table made (a int generated always as (app.forbidden(1)) stored)', /app\.forbidden/),
		denied('create index on items (app.forbidden(id))', /app\.forbidden/),
		denied('create view made as select app.forbidden(1)', /app\.forbidden/),
		denied('create rule r as on select to items do instead select * from people', /RULE/),
		denied('create foreign table made (a int) server s', ''),
		denied('create unlogged table hr.x (a int)', /create on db\.hr\.x/),
	];
	test.each(rows)('$sql', async (row) => check(bench, row));

	test('a view over something temporary is temporary', async () => {
		const decision = await bench.decide('create temp table mine (a int); create view shown as select a from mine');
		expect(decision.error?.message).toBeUndefined();
		const answer = await bench.direct(
			`${decision.rewritten}; select relpersistence from pg_class where relname = 'shown'`,
		);
		expect(answer.kind === 'rows' ? answer.rows : answer.message).toEqual([['t']]);
	});

	test('a relation that is not there has no position where the server gives none', async () => {
		for (const sql of [
			'alter table gone add a int',
			'create index on gone (a)',
			'lock gone',
			'alter sequence gone cycle',
		]) {
			const [got, want] = [await bench.run(sql), await bench.direct(sql)];
			expect(got).toEqual(want);
		}
	});

	test('what was made holds masked values for ever', async () => {
		const decision = await bench.decide('create temp table kept as select id, ssn from people');
		const answer = await bench.direct(`${decision.rewritten}; select ssn from kept where id = 1`);
		expect(answer.kind === 'rows' ? answer.rows : answer.message).toEqual([['XXX-XX-1001']]);
	});
});

describe('changing relations', () => {
	const rows: readonly Row[] = [
		text('alter table notes add column x int default 5', 'alter table "app".notes add column x int default 5'),
		text('alter table notes rename to scraps', 'alter table "app".notes rename to scraps'),
		text(
			'alter table only notes rename column body to text',
			'alter table only "app".notes rename column body to text',
		),
		text(
			'alter table notes alter column body type varchar using left(body, 5)',
			'alter table "app".notes alter column body type varchar using left(body, 5)',
		),
		text(
			'alter table notes drop column n, alter column body set not null',
			'alter table "app".notes drop column n, alter column body set not null',
		),
		text('alter view cheap rename to dear', 'alter view "app".cheap rename to dear'),
		text('alter sequence counter restart', 'alter sequence "app".counter restart'),
		text('truncate notes', 'truncate "app".notes'),
		text('vacuum (analyze) notes', 'vacuum (analyze) "app".notes'),
		text('analyze notes (body)', 'analyze "app".notes (body)'),
		text('cluster notes using notes_pkey', 'cluster "app".notes using notes_pkey'),
		text('reindex table notes', 'reindex table "app".notes'),
		text('refresh materialized view hr.snapshot', /refresh/),
		text('lock people in share mode', 'lock "hr".people in share mode'),
		text('drop table notes', /drop table (app\.|"app"\.)?notes/),
		text('drop table if exists app.nosuch', 'drop table if exists app.nosuch'),
		text('alter table if exists nosuch add column x int', 'alter table if exists pg_temp.nosuch add column x int'),
		text(
			'alter table if exists app."No Such" rename a to b',
			'alter table if exists "pg_portcullis_nowhere"."No Such" rename a to b',
		),
		text('alter sequence if exists app.nosuch restart', /"pg_portcullis_nowhere"\.nosuch/),
		text('alter view if exists app.nosuch set schema app', /"pg_portcullis_nowhere"\.nosuch/),
		text('alter table if exists notes add column x int', 'alter table if exists "app".notes add column x int'),
		denied('alter table if exists hr.nosuch add column x int', /alter on db\.hr\.nosuch/),
		denied('alter table if exists nosuch owner to postgres', /OWNER|ChangeOwner/i),
		text("comment on table notes is 'x'", /comment on table (app\.|"app"\.)?notes is 'x'/),
		text('grant select on notes to public', 'grant select on "app".notes to public'),
		denied('alter table teams add column x int', /alter on db\.hr\.teams/),
		denied('alter table people add column x int', /protects/),
		denied('alter table people alter column ssn type text using ssn', /protects/),
		denied('alter table people rename to folk', /protects/),
		denied('alter table people set schema app', ''),
		denied('alter table people disable trigger all', ''),
		denied('alter table notes owner to postgres', ''),
		denied('alter table notes inherit people', /protects/),
		denied('alter table notes add foreign key (n) references people', /foreign key/),
		denied('alter table notes add column x int default app.forbidden(1)', /app\.forbidden/),
		denied('alter table notes alter column n type int using app.forbidden(n)', /app\.forbidden/),
		denied('truncate people', /TRUNCATE of hr\.people/),
		denied('truncate notes, people', /TRUNCATE of hr\.people/),
		denied('grant select on people to public', /protects/),
		denied('drop table teams', /drop on db\.hr\.teams/),
		denied('drop table notes, teams', /drop on db\.hr\.teams/),
		denied('drop schema hr cascade', ''),
		denied('drop owned by sql_bench', ''),
		denied('refresh materialized view hr.snapshot', /maintain/, STRANGER),
		denied('vacuum', /VACUUM/),
		denied('reindex database db', /REINDEX/),
		denied('comment on column teams.id is null', /hr\.teams/),
	];
	test.each(rows.filter((row) => row.sql !== 'refresh materialized view hr.snapshot' || row.who !== undefined))(
		'$sql',
		async (row) => check(bench, row),
	);
});

describe('owners, domains, statistics, policies, rules', () => {
	const same = (sql: string, who?: Row['who']): Row => ({ ...text(sql, sql), ...(who === undefined ? {} : { who }) });
	const rows: readonly Row[] = [
		text('alter table notes owner to current_user', 'alter table "app".notes owner to current_user'),
		same('alter view app.cheap owner to session_user'),
		same('alter sequence app.counter owner to sql_bench'),
		same('alter function app.twice(int) owner to current_role'),
		same('alter type app.mood owner to sql_bench'),
		same('alter domain app.small owner to current_user'),
		same('alter schema app owner to current_user', MANAGER),
		denied('alter view app.cheap owner to postgres', /OWNER TO postgres .*/),
		denied('alter function app.twice(int) owner to postgres', /OWNER TO postgres/),
		denied('alter table people owner to current_user', /protects/),
		denied('alter table teams owner to current_user', /alter on db\.hr\.teams/),
		denied('alter schema app owner to current_user', /alter on db/),
		denied('alter schema app owner to postgres', /OWNER TO postgres/, MANAGER),
		same('alter domain app.free add check (value > 0)'),
		same('alter domain app.free set not null'),
		same('alter domain app.free set default 1'),
		same('alter domain app.free drop default'),
		same('alter domain app.free add constraint small check (value < 5) not valid'),
		same('alter domain app.free validate constraint small'),
		same('alter domain app.free rename constraint small to smaller'),
		same("comment on constraint small on domain app.free is 'x'"),
		// A value of it stands deep in a row of what they may not alter.
		denied("alter domain app.code add check (value <> 'x')", /alter on db\.hr\.coded/),
		denied('alter domain app.code set not null', /alter on db\.hr\.coded/),
		denied('alter domain app.code validate constraint c', /alter on db\.hr\.coded/),
		same("alter domain app.code add check (value <> 'x') not valid"),
		denied('alter domain app.free add check (app.forbidden(value) > 0)', /app\.forbidden/),
		denied('alter domain app.free set default app.forbidden(1)', /app\.forbidden/),
		denied("alter domain app.free set default length(set_config('search_path', 'x', false))", /set_config/),
		denied('alter domain app.free set not null', /alter on db\.app/, STRANGER),
		text(
			'create statistics app.s (ndistinct) on label, (owner + 1) from items',
			'create statistics app.s (ndistinct) on label, (owner + 1) from "app".items',
		),
		same('create statistics on label, owner from app.items'),
		same('alter statistics app.s set statistics 5'),
		denied('create statistics app.s on name, ssn from people', /alter on|protects/),
		denied('create statistics app.s on (app.forbidden(owner)) from app.items', /app\.forbidden/),
		denied('create statistics hr.s on label, owner from app.items', /create on db\.hr\.\*/),
		text('create policy p on items using (owner = 1)', 'create policy p on "app".items using (owner = 1)'),
		same('create policy p on app.items for insert with check (items.owner in (select n from app.notes))'),
		same('alter policy p on app.items using (app.items.owner > 1)'),
		denied('create policy p on app.items using (owner in (select id from people))', /policy protects from you/),
		denied('create policy p on app.items using (owner in (select id from secrets))', /hr\.secrets/),
		denied('create policy p on app.items using (app.forbidden(owner) > 1)', /app\.forbidden/),
		denied('create policy p on people using (true)', /protects/),
		denied('create policy p on teams using (true)', /alter on db\.hr\.teams/),
		text(
			'create rule r as on delete to items where old.owner > 1 do instead nothing',
			'create rule r as on delete to "app".items where old.owner > 1 do instead nothing',
		),
		text(
			'create rule r as on update to app.items do also (insert into notes (body, n) values (new.label, old.owner); delete from notes where n = old.id)',
			/^create rule r as on update to app\.items do also \(insert into "app"\.notes .*; delete from "app"\.notes where n = old\.id\)$/,
		),
		same('alter table app.items disable rule r'),
		denied('create rule r as on select to items do instead select * from items', /ON SELECT/),
		denied('create rule r as on insert to items do also select ssn from people', /policy protects from you/),
		denied('create rule r as on insert to items do also insert into people (id) values (new.id)', /policy protects/),
		denied('create rule r as on insert to items do also delete from teams', /delete on db\.hr\.teams/),
		denied('create rule r as on insert to items do also select app.forbidden(new.owner)', /app\.forbidden/),
		denied('create rule r as on insert to items do also notify x', /NOTIFY/),
		denied('create rule r as on insert to people do also select 1', /protects/),
		same('alter table app.notes alter constraint c deferrable'),
		same('create schema authorization current_user', MANAGER),
		same('create schema if not exists fresh authorization sql_bench', MANAGER),
		denied('create schema fresh authorization postgres', /AUTHORIZATION postgres/, MANAGER),
		{
			...text(
				'create schema fresh create view v as select a from t create table t (a int primary key, b int) create index on t (b) grant select on t to public',
				'create schema fresh create view "fresh".v as select a from "fresh".t create table "fresh".t (a int primary key, b int) create index on "fresh".t (b) grant select on "fresh".t to public',
			),
			who: MANAGER,
		},
		denied('create schema fresh create view v as select id from hr.secrets', /hr\.secrets/, MANAGER),
		denied('create schema app create table t (a int)', /of a schema that is there/, MANAGER),
		denied('create schema fresh create table t (a int)', /db\.fresh\.t/, MAKER),
		same('create schema fresh', MAKER),
		same('alter default privileges in schema app grant select on tables to public', MANAGER),
		same('alter default privileges for role sql_bench grant select on tables to public', MANAGER),
		denied('alter default privileges for role postgres grant select on tables to public', /FOR postgres/, MANAGER),
		{
			...text(
				'create publication p for table items (id) where (id > 0), tables in schema other',
				'create publication p for table "app".items (id) where (id > 0), tables in schema other',
			),
			who: MANAGER,
		},
		same('create publication p for all tables', MANAGER),
		same('alter publication p add table app.items', MANAGER),
		same('drop publication p', MANAGER),
		denied('create publication p for table app.items', /replicate on db/),
		denied('create publication p for table app.items', /replicate on db/, MAKER),
		denied('create publication p for table hr.secrets', /hr\.secrets/, MANAGER),
		denied('alter publication p set table hr.secrets', /hr\.secrets/, MANAGER),
		denied('drop publication p', /drop on db/),
		same('alter text search configuration app.conf add mapping for asciiword with simple'),
		same('alter text search dictionary app.dict (stopwords = english)'),
		same('alter collation app.coll refresh version'),
		denied('alter text search dictionary hr.dict (stopwords = english)', /alter on db\.hr/),
	];
	test.each(rows)('$sql', (row) => check(bench, row));
});

describe('what extensions bring', () => {
	const SQL = "select * from side_8.crosstab('select 1, 2, 3') as c (a int, b int)";
	const rows: readonly Row[] = [
		// A wildcard opens what computes, and not what runs a text past the analysis.
		{
			sql: "select 'A'::side_8.citext operator(side_8.=) 'a', side_8.similarity('a', 'b')",
			who: CALLER,
			want: { rows: [['t', '0']] },
		},
		{
			sql: "select id from hr.people where name operator(side_8.%) 'p1'",
			who: CALLER,
			want: { rows: [['1'], ['10'], ['11']] },
		},
		{
			sql: "select id from hr.people where side_8.word_similarity(ssn, '1001') > 0.9",
			who: CALLER,
			want: { rows: [] },
		},
		denied("select id from hr.people where name operator(side_8.%) 'p1'", /execute on db\.side_8\.similarity_op/),
		denied("select 'A'::side_8.citext operator(side_8.=) 'a'", /execute on db\.side_8\.citext_eq/),
		denied(SQL, /runs SQL text/),
		{ ...denied(SQL, /runs SQL text/), who: CALLER },
		denied('select side_8.connectby($1, $2, $3, $4, 1)', /runs SQL text/, CALLER),
		{ sql: SQL, who: NAMER, want: { same: true } },
		{ sql: SQL, who: AUDITOR, want: { same: true } },
	];
	test.each(rows)('$sql', (row) => check(bench, row));

	// By the types of the columns, which are those of the table that is being made.
	const PATH = 'set search_path to app, side_8;';
	const allowed: readonly string[] = [
		"create table app.fresh (x text check (x like 'a%'), check (x = 'b' and fresh.x <> 'c'), y int generated always as (length(x)) stored)",
		"create table app.fresh (x text) partition by list (upper(x)); create table app.of_fresh partition of app.fresh (x check (x like 'a%')) default",
		"create index on app.items (label) where label like 'a%' or label = 'b'",
		"alter table app.items add check (label like 'a%')",
	];
	test.each(allowed)('%s', (sql) => check(bench, { sql: `${PATH} ${sql}`, want: { text: /^set search_path/ } }));
	const unruled: readonly string[] = [
		"create table app.fresh (x citext check (x like 'a%'))",
		"create table app.fresh (x citext, y text, check (y = 'a' and x = 'b'))",
		"create table app.fresh (x citext); create index on app.fresh (x) where x = 'a'",
		"alter table app.items alter label type citext, add check (label = 'a')",
		"alter table app.items add extra citext, add check (extra = 'a')",
		"create table app.fresh (like app.items, check (id = 1 and label::citext = 'a'))",
	];
	test.each(unruled)('not %s', (sql) => check(bench, denied(`${PATH} ${sql}`, /execute on db\.side_8\./)));
});

test.each([
	['vacuum (verbose) app.notes', false],
	['analyze verbose app.notes, hr.people', true],
	['vacuum (verbose, analyze) hr.snapshot', true],
	['cluster hr.people', true],
	['reindex table app.items', false],
])('what %s says is withheld where something of a table is kept back: %s', async (sql, want) => {
	expect((await bench.decide(sql)).statements[0]?.touchesProtected).toBe(want);
});

describe('routines, types and the rest', () => {
	const rows: readonly Row[] = [
		text("create function app.made() returns int language sql as 'select 1'", /create function app\.made/),
		text("create procedure app.made() language sql as ''", /create procedure/),
		text("create type app.made as enum ('a')", /create type/),
		text('create domain app.made as int check (value > 0)', /create domain/),
		text('drop function app.twice(int)', /drop function/),
		text('alter function app.twice(int) stable', /alter function/),
		denied("create function hr.made() returns int language sql as 'select 1'", /create on db\.hr\.\*/),
		denied("create function app.made() returns int language sql set role = 'postgres' as 'select 1'", /"role"/),
		denied("create function app.made() returns int language sql set row_security = off as 'select 1'", /row_security/),
		denied('alter function app.twice(int) set session_authorization = x', /session_authorization/),
		denied('create domain app.made as int check (app.forbidden(value) > 0)', /app\.forbidden/),
		denied('create operator app.~+~ (leftarg = int, rightarg = int, function = app.forbidden)', ''),
		denied('create cast (app.mood as int) with function app.forbidden(int)', ''),
		denied('create aggregate app.made (int) (sfunc = app.forbidden, stype = int)', ''),
		denied('create extension dblink', /CREATE EXTENSION/),
		denied('create schema made', /CREATE SCHEMA/),
		denied('create schema made create table x (a int)', ''),
		denied('create role x', ''),
		denied("alter role postgres password 'x'", ''),
		denied('create database x', /42501 CREATE DATABASE is not/),
		denied('create publication p for all tables', /replicate on db/),
		denied("create subscription s connection 'x' publication p", ''),
		denied('create server s foreign data wrapper w', ''),
		denied('create foreign data wrapper w', /42501 CREATE FOREIGN DATA WRAPPER is not/),
		denied('create event trigger e on ddl_command_end execute function f()', ''),
		denied('alter default privileges grant select on tables to public', ''),
		denied('reassign owned by a to b', ''),
		denied("security label on table app.notes is 'x'", /42501 SECURITY LABEL is not/),
		denied('create language x', ''),
		denied('alter system set work_mem = 1', ''),
	];
	test.each(rows)('$sql', async (row) => check(bench, row));

	test('with a rule the same go through', async () => {
		for (const sql of [
			'create schema made',
			'create extension dblink',
			'vacuum',
			'drop table hr.teams',
			'create table hr.free (a int)',
		])
			expect((await bench.decide(sql, { who: AUDITOR })).error?.message).toBeUndefined();
	});
});
