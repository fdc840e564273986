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
`;

const rules = `
	p, user:alice, db, connect, allow
	p, user:alice, db, create, allow
	p, user:alice, db, temp, allow
	p, user:alice, db, do, allow
	p, user:alice, db, listen, allow
	p, user:alice, db.public.*, *, allow
	p, user:alice, db.public.check_it(integer), execute, allow
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
