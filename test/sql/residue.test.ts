/** What a statement may leave in the session, as the analysis tells it to a pool that hands connections on. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Residue } from '../../src/stages.ts';
import { type Bench, openBench } from './bench.ts';

let bench: Bench;

const setup = `
	create table plain (id int primary key, a text default 'x');
	create table counted (id serial primary key, a int);
	create table named (id int generated always as identity, a int);
	create function touch() returns trigger language plpgsql as 'begin return new; end';
	create table touched (id int);
	create trigger t before insert on touched for each row execute function touch();
	create table mother (id int primary key);
	create table child (id int references mother on delete cascade);
	create trigger t before delete on child for each row execute function touch();
	create function check_it(int) returns bool language sql immutable as 'select true';
	create table checked (id int check (check_it(id)));
	create view calling as select check_it(1) as c;
	create view counting as select nextval('counted_id_seq') as n;
	create view reading as select * from plain;
	create table guarded (id int);
	alter table guarded enable row level security;
	create policy p on guarded using (check_it(id));
	create table parts (id int) partition by list (id);
	create table part1 partition of parts for values in (1);
	create trigger t before insert on part1 for each row execute function touch();
	create procedure tidy() language sql as 'select 1';
	create domain checked_int as int check (check_it(value));
	create table with_domain (a checked_int);
	create table setting (a int, b text default set_config('a.b', 'c', false));
	create table locking (a int check (pg_try_advisory_lock(a)));
	create domain setting_int as int check (set_config('a.b', 'c', false) is not null);
	create domain setting_too as setting_int;
	create type setting_row as (a setting_too[]);
	create table with_row (a setting_row);
	create domain numbered as int default nextval('counted_id_seq');
	create table with_numbered (a int, b numbered);
	create table by_text (a int default nextval('counted_id_seq'::text::regclass));
	create table ruled (a int);
	create rule r as on insert to ruled do also insert into counted (a) values (new.a);
	create table setting_rule (a int);
	create rule r as on insert to setting_rule do also insert into setting (a) values (new.a);
	create table parent (id int primary key);
	create table adopted (id int default nextval('counted_id_seq') references parent on delete set default);
	create table grandparent (id int primary key);
	create table grandchild (id int primary key references grandparent on delete cascade);
	create table great (id int default nextval('counted_id_seq') references grandchild on delete set default);
	create table keyed (id serial references parent on delete cascade);
	create domain setting_default as text default set_config('a.b', 'c', false);
	create table with_default (a int, b setting_default);
	create domain casting_int as int check ((value::setting_int)::int > 0);
	create table with_casting (a casting_int[]);
	create type setting_range as range (subtype = setting_int, multirange_type_name = setting_ranges);
	create table with_ranges (a setting_ranges);
	create view setting_view as select 1::setting_too as a;
	create view checking_view as select array[1]::checked_int[] as a;
	create table defaulting (a int, b int default (1::setting_int)::int);
	create table checking (a int check ((a::checked_int)::int > 0));
	create domain calling_default as bool default check_it(1);
	create table with_call (a int, b calling_default);
	create table triggered (a tsvector, b text);
	create trigger t before insert on triggered for each row when (set_config('a.b', 'c', false) is not null)
		execute function tsvector_update_trigger(a, 'pg_catalog.english', b);
	create function step(int, int) returns int language plpgsql as 'begin return 1; end';
	create aggregate own_sum(int) (sfunc = step, stype = int);
	create aggregate plain_sum(int) (sfunc = int4pl, stype = int);
	create aggregate locking_max(bigint) (sfunc = int8larger, stype = bigint, finalfunc = pg_try_advisory_lock);
	create operator ### (leftarg = int, rightarg = int, function = pg_try_advisory_lock);
	create operator #### (rightarg = double precision, function = setseed);
	create operator ##### (leftarg = int, rightarg = int, function = int4pl);
	create table random_id (id uuid default gen_random_uuid(), at timestamptz default clock_timestamp());
`;

const rules = `
	p, user:alice, db, connect, allow
	p, user:alice, db, create, allow
	p, user:alice, db, temp, allow
	p, user:alice, db, do, allow
	p, user:alice, db, listen, allow
	p, user:alice, db.public.*, *, allow
	p, user:alice, db.public.check_it(integer), execute, allow
	p, user:alice, db.public.own_sum(integer), execute, allow
	p, user:alice, db.public.plain_sum(integer), execute, allow
	p, user:alice, db.public.locking_max(bigint), execute, allow
	p, user:alice, db.public.tidy(), call, allow
`;

beforeAll(async () => {
	bench = await openBench({
		setup,
		rules,
		who: { name: 'alice', roles: [], groups: [], claims: {}, method: 'scram-sha-256' },
	});
});

afterAll(async () => {
	await bench?.close();
});

describe('what a statement leaves', () => {
	const rows: readonly { readonly sql: string; readonly want: readonly Residue[] }[] = [
		{ sql: 'select * from plain', want: [] },
		{ sql: "insert into plain values (1, 'b')", want: [] },
		{ sql: 'update plain set a = default', want: [] },
		{ sql: 'delete from plain', want: [] },
		{ sql: 'copy plain from stdin', want: [] },
		{ sql: 'select * from reading', want: [] },
		{ sql: 'begin', want: [] },
		{ sql: 'set work_mem = 1000', want: [] },
		{ sql: 'declare c cursor with hold for select 1', want: ['cursor'] },
		{ sql: 'close c', want: ['cursor'] },
		{ sql: 'prepare p as select 1', want: ['prepared'] },
		{ sql: 'deallocate p', want: ['prepared'] },
		{ sql: 'listen x', want: ['listen'] },
		{ sql: 'unlisten *', want: ['listen'] },
		{ sql: 'discard all', want: ['all'] },
		{ sql: 'create temp table t (a int)', want: ['temporary'] },
		{ sql: 'select * into temp u from plain', want: ['temporary'] },
		{ sql: 'select pg_advisory_lock(1)', want: ['lock'] },
		{ sql: 'select pg_advisory_xact_lock(1)', want: [] },
		{ sql: 'select setseed(0.5)', want: ['seed'] },
		{ sql: "select nextval('counted_id_seq')", want: ['sequence'] },
		{ sql: "select currval('counted_id_seq')", want: ['sequence-read'] },
		{ sql: 'insert into counted (a) values (1)', want: ['sequence'] },
		{ sql: 'insert into named (a) values (1)', want: ['sequence'] },
		{ sql: 'select * from counted', want: [] },
		{ sql: 'select * from counting', want: ['sequence'] },
		{ sql: 'insert into touched values (1)', want: ['code'] },
		{ sql: 'select * from touched', want: [] },
		{ sql: 'delete from mother', want: ['code'] },
		{ sql: 'select * from mother', want: [] },
		{ sql: 'insert into checked values (1)', want: ['code'] },
		{ sql: 'select check_it(1)', want: ['code'] },
		{ sql: 'select * from calling', want: ['code'] },
		{ sql: 'select * from guarded', want: ['code'] },
		{ sql: 'insert into parts values (1)', want: ['code'] },
		{ sql: 'insert into with_domain values (1)', want: ['code'] },
		// PostgreSQL's own functions, where no text shows them.
		{ sql: 'insert into setting (a) values (1)', want: ['code'] },
		{ sql: 'copy setting (a) from stdin', want: ['code'] },
		{ sql: 'select * from setting', want: [] },
		{ sql: "create table u (a text default set_config('work_mem', '1000', false))", want: ['temporary', 'unknown'] },
		{ sql: 'insert into locking values (1)', want: ['code'] },
		{ sql: 'select 1::setting_int', want: ['unknown'] },
		{ sql: 'select 1::setting_too', want: ['unknown'] },
		{ sql: "select '{1}'::setting_too[]", want: ['unknown'] },
		{ sql: "select '({1})'::setting_row", want: ['unknown'] },
		{ sql: "insert into with_row values (row('{1}'))", want: ['code'] },
		{ sql: "insert into with_casting values ('{1}')", want: ['code'] },
		{ sql: 'select 1::casting_int', want: ['unknown'] },
		{ sql: "select '{1}'::casting_int[]", want: ['unknown'] },
		{ sql: "insert into with_ranges values ('{[1,2)}')", want: ['code'] },
		{ sql: "select '[1,2)'::setting_range", want: ['unknown'] },
		{ sql: "select '{[1,2)}'::setting_ranges", want: ['unknown'] },
		{ sql: 'insert into with_numbered (a) values (1)', want: ['sequence'] },
		{ sql: 'select 1::numbered', want: [] },
		{ sql: 'insert into by_text default values', want: ['sequence'] },
		{ sql: 'insert into ruled values (1)', want: ['sequence'] },
		{ sql: 'insert into setting_rule values (1)', want: ['code'] },
		{ sql: 'delete from parent', want: ['sequence'] },
		{ sql: 'delete from grandparent', want: ['sequence'] },
		{ sql: 'insert into random_id default values', want: [] },
		{ sql: 'insert into with_default (a) values (1)', want: ['code'] },
		{ sql: 'select * from setting_view', want: ['code', 'unknown'] },
		{ sql: 'select * from checking_view', want: ['code'] },
		{ sql: 'insert into defaulting (a) values (1)', want: ['code'] },
		{ sql: 'select * from defaulting', want: [] },
		{ sql: 'insert into checking values (1)', want: ['code'] },
		{ sql: 'insert into with_call (a) values (1)', want: ['code'] },
		{ sql: 'insert into triggered (b) values (1)', want: ['code'] },
		{ sql: 'create table v (like setting including all)', want: ['temporary', 'code'] },
		{ sql: 'create table w () inherits (plain)', want: ['temporary'] },
		{ sql: 'select own_sum(1)', want: ['code'] },
		{ sql: 'select plain_sum(1)', want: [] },
		{ sql: 'select locking_max(1)', want: ['code'] },
		{ sql: 'select 1 ### 2', want: ['lock'] },
		{ sql: 'select #### 0.5::float8', want: ['seed'] },
		{ sql: 'select 1 ##### 2', want: [] },
		{ sql: 'call tidy()', want: ['code'] },
		{ sql: 'do $$ begin end $$', want: ['code'] },
		{ sql: 'explain analyze select pg_advisory_lock(1)', want: ['lock'] },
		{ sql: 'explain analyze insert into touched values (1)', want: ['code'] },
	];
	test.each(rows)('$sql', async ({ sql, want }) => {
		const decision = await bench.decide(sql);
		expect(decision.error?.message).toBeUndefined();
		const effects = decision.statements.flatMap((statement) => statement.effects);
		expect(effects.flatMap((effect) => (effect.type === 'leaves' ? [effect.what] : []))).toEqual(want);
	});
});
