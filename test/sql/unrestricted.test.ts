/** Whoever may do everything sends what the server reads, byte for byte; what wants a rule by name still wants it. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Bench } from './bench.ts';
import { AUDITOR, MANAGER, openPeople, RULES, SETUP } from './people.ts';

let bench: Bench;
beforeAll(async () => {
	const rules = `${RULES}
p, role:named, db, *, allow
p, role:named, db.*.*, *, allow
p, role:named, db.*.*(*), *, allow
p, role:named, db.pg_catalog.pg_ls_logdir(), execute, allow
p, role:named, "db.pg_catalog.set_config(text,text,boolean)", execute, allow
p, role:named, db.pg_catalog.pg_class, *, allow
`;
	bench = await openPeople({ setup: SETUP, rules, path: ['app', 'hr'] });
});
afterAll(async () => {
	await bench?.close();
});

const NAMED = { ...AUDITOR, name: 'ned', roles: ['named'] };

describe('runs as it was written', () => {
	test.each([
		'select * from people p where twice(id) = 4 for update',
		'insert into notes (body) values (1) returning *',
		'update people set salary = salary + 1 where id = 1',
		'delete from notes using items where notes.id = items.id',
		'create view seen as select * from people',
		'create temp view seen as select * from people',
		'create table made (like items)',
		'explain (costs off) select * from people',
		'copy people to stdout',
		// names that only the server knows, or nobody
		'select * from nothing_there',
		'select nothing_there(1, 2)',
		'select nothing_there from people',
		"select 'a'::nothing_there",
		"select nextval('nothing_there')",
		'prepare p as select nothing_there()',
		// what is refused to others for want of an analysis
		'create role joe',
		'alter role joe set search_path = app',
		"alter database db set work_mem = '8MB'",
		'drop role joe',
		'grant app_owner to joe',
		'create rule r as on insert to notes do instead nothing',
		'create policy p on people using (true)',
		'alter table people owner to joe',
		'alter default privileges grant select on tables to joe',
		'create schema authorization joe create table t (a int)',
		'create statistics s on id, tenant from people',
		'create operator class c for type int using btree as operator 1 <',
		"prepare transaction 'x'",
		'truncate people cascade',
		'vacuum analyze pg_class',
		'drop access method m',
		// several at once, whatever they do to names
		'set search_path = app; select * from items',
		'rollback; select 1',
	])('%s', async (sql) => {
		const decision = await bench.decide(sql, { who: AUDITOR });
		expect(decision.error?.message).toBeUndefined();
		expect(decision.rewritten).toBe(sql);
		expect(decision.edits).toEqual([]);
		expect(decision.statements.some((statement) => statement.touchesProtected)).toBe(false);
	});

	test('and its notices and errors come back as they are', async () => {
		for (const sql of [
			'do $$ begin raise notice $x$a$x$; end $$',
			'fetch c',
			'call tidy(1)',
			'vacuum verbose people',
		]) {
			const decision = await bench.decide(sql, { who: NAMED });
			expect(decision.statements.map((statement) => statement.touchesProtected)).toEqual([false]);
		}
	});

	test('the catalogue is looked at again after what was not analysed', async () => {
		const effects = async (sql: string): Promise<readonly string[]> =>
			(await bench.decide(sql, { who: AUDITOR })).statements[0]?.effects.map((effect) => effect.type) ?? [];
		expect(await effects('create table made (a nothing_there)')).toContain('ddl');
		expect(await effects('create event trigger e on ddl_command_end execute function f()')).toContain('names-unknown');
		expect(await effects('prepare p as select nothing_there()')).toContain('prepare');
		expect(await effects('copy nothing_there from stdin')).toContain('copy-in');
		expect(await effects('copy nothing_there to stdout')).toContain('copy-out');
	});

	test.each([
		['create database made', 'template1'],
		['create database made template default owner joe', 'template1'],
		['create database made template = other', 'other'],
		['drop database made', 'made'],
		['alter database made rename to other', 'made'],
		['alter database made set tablespace pg_default', 'made'],
	])('leaves the database that %s needs for itself', async (sql, database) => {
		const { statements } = await bench.decide(sql, { who: AUDITOR });
		expect(statements[0]?.effects.filter(({ type }) => type === 'alone')).toEqual([{ type: 'alone', database }]);
	});
});

describe('is refused all the same', () => {
	const rows: readonly string[] = [
		'set role postgres',
		'reset role',
		'set session authorization postgres',
		'set standard_conforming_strings = off',
		"select set_config('role', 'postgres', false)",
		"select set_config('role', 'postgres', false), nothing_there()",
		'alter role joe set role = postgres',
		"alter role joe set session_preload_libraries = 'x'",
		'alter database db set standard_conforming_strings = off',
		'create function f() returns nothing_there language sql set role = postgres as $$select 1$$',
		'alter system set work_mem = 1',
		"load 'x'",
		// a wildcard does not do for what wants to be named
		"select pg_read_file('x')",
		"select pg_read_file('x'), nothing_there()",
		'select nothing_there(), * from pg_authid',
		'select (select rolpassword from pg_catalog.pg_authid limit 1), nothing_there()',
		"select x.pg_read_file from (select 'a'::text) x, nothing_there",
		"create rule r as on insert to notes do also select pg_read_file('x')",
		"create policy p on people using (pg_read_file('x') is null)",
		'create policy p on people using (exists (select from pg_shadow))',
		'create operator class c for type text using hash as function 1 pg_read_file(text)',
		"set search_path = app; select pg_read_file('x')",
		"copy people to '/tmp/x'",
		"copy nothing_there from '/etc/passwd'",
		"copy (select nothing_there()) to program 'cat'",
		'update pg_class set relname = relname',
		'with w as (delete from pg_class returning 1) select nothing_there()',
		'insert into pg_proc select nothing_there()',
		'copy pg_class from stdin',
		'select nothing_there() from pg_toast.pg_toast_1',
		'select nothing_there() from pg_temp_3.t',
		'select nothing_there() from pg_stat_statements',
	];
	test.each(rows)('%s', async (sql) => {
		const decision = await bench.decide(sql, { who: AUDITOR });
		expect(decision.effect).toBe('deny');
		expect(decision.error?.sqlstate).toMatch(/^(42501|42P01|42883|42601)$/);
	});

	test('a rule by name opens just that', async () => {
		const effect = async (sql: string): Promise<string> => (await bench.decide(sql, { who: NAMED })).effect;
		expect(await effect('select pg_ls_logdir(), nothing_there()')).toBe('allow');
		expect(await effect('select pg_ls_waldir(), nothing_there()')).toBe('deny');
		expect(await effect('update pg_class set relname = relname')).toBe('allow');
		expect(await effect('update pg_proc set proname = proname')).toBe('deny');
		expect(await effect("select set_config('role', 'x', false), nothing_there()")).toBe('deny');
		expect(await effect('set role x')).toBe('deny');
	});

	test('a file of the server takes a rule for the table, or for the database where no rule can name the table', async () => {
		const own = 'create temp table mine (a int); copy mine to ';
		expect((await bench.decide(`${own} '/tmp/x'`, { who: AUDITOR })).effect).toBe('allow');
		expect((await bench.decide(`${own} '/tmp/x'`)).error?.message).toMatch(/copy on db/);
		expect((await bench.decide("copy items to '/tmp/x'", { who: AUDITOR })).error?.message).toMatch(/wildcard/);
	});

	test('only what is written has to be named for that', async () => {
		const sql = 'delete from pg_class where oid in (select objid from pg_depend) and nothing_there()';
		expect((await bench.decide(sql, { who: NAMED })).effect).toBe('allow');
		expect((await bench.decide(sql.replace('pg_depend', 'pg_authid'), { who: NAMED })).effect).toBe('deny');
		expect((await bench.decide('vacuum pg_toast.pg_toast_1', { who: NAMED })).effect).toBe('allow');
		expect((await bench.decide('table pg_toast.pg_toast_1', { who: NAMED })).effect).toBe('deny');
	});

	test('what is refused to everybody is refused without the hint of a way', async () => {
		const { error } = await bench.decide('set role postgres', { who: AUDITOR });
		expect(error).toMatchObject({ sqlstate: '42501', hint: undefined });
	});

	test('masks of system relations hold', async () => {
		const decision = await bench.decide('select query from pg_stat_activity', { who: AUDITOR });
		expect(decision.rewritten).not.toBe('select query from pg_stat_activity');
	});

	test.each([
		'create role joe',
		'select nothing_there()',
		'update pg_class set relname = relname',
		'rollback to a; select 1',
	])('to somebody from whom one relation is kept: %s', async (sql) => {
		expect((await bench.decide(sql, { who: MANAGER })).effect).toBe('deny');
	});
});
