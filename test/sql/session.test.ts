/** Statements on the session itself: settings, transactions, cursors, prepared statements, EXPLAIN, SHOW, LISTEN, DO and CALL. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { SessionEffect } from '../../src/stages.ts';
import type { Bench } from './bench.ts';
import { check, type Row } from './check.ts';
import { AUDITOR, openPeople, RULES, SETUP, STRANGER } from './people.ts';

let bench: Bench;
beforeAll(async () => {
	const rules = `${RULES}
p, role:operator, db, set, allow
p, role:operator, db, listen, allow
p, role:operator, db, notify, allow
p, role:operator, db, do, allow
p, role:analyst, db, listen, allow
p, user:kim, db.pg_catalog.pg_roles, select, deny
p, user:kim, db.information_schema.t*, select, deny
p, user:kim, db.pg_catalog.md5(text), execute, deny
p, user:lou, db.*.*, select, deny
p, user:lou, db.*.*(*), execute, deny
`;
	bench = await openPeople({ setup: SETUP, rules });
});
afterAll(async () => {
	await bench?.close();
});

const OPERATOR = { ...STRANGER, name: 'olga', roles: ['operator'] };

describe('what needs no rule is denied by one that names it', () => {
	const KIM = { ...STRANGER, name: 'kim' };
	const LOU = { ...STRANGER, name: 'lou' };
	const denied = (what: string): Row['want'] => ({
		error: ['42501', new RegExp(`permission denied for ${what}.*: denied by`)],
	});
	const rows: readonly Row[] = [
		{ who: KIM, sql: 'select rolname from pg_roles', want: denied('relation pg_catalog.pg_roles') },
		{ who: KIM, sql: 'table pg_catalog.pg_roles', want: denied('relation pg_catalog.pg_roles') },
		{ who: KIM, sql: 'copy pg_roles to stdout', want: denied('relation pg_catalog.pg_roles') },
		{
			who: KIM,
			sql: 'select 1 where exists (select from information_schema.tables)',
			want: denied('relation information_schema.tables'),
		},
		{ who: KIM, sql: "select md5('x')", want: denied('function pg_catalog.md5') },
		{ who: KIM, sql: "select upper(md5('x'::text))", want: denied('function pg_catalog.md5') },
		{
			who: KIM,
			sql: "select upper('x'), md5('x'::bytea), count(*) from pg_database where datname = current_database()",
			want: { same: true },
		},
		{ who: KIM, sql: 'select count(*) from information_schema.schemata', want: { same: true } },
		// A rule on everything is one on what users have made.
		{ who: LOU, sql: "select md5('x'), count(*) from pg_roles", want: { same: true } },
		{ who: LOU, sql: 'select * from hr.people', want: denied('relation hr.people') },
	];
	test.each(rows)('$who.name: $sql', async (row) => {
		await check(bench, row);
	});
});

describe('settings', () => {
	const allowed: readonly string[] = [
		'set statement_timeout = 5',
		"set timezone to 'UTC'",
		'set time zone local',
		"set time zone 'Europe/Berlin'",
		"set time zone interval '-08:00' hour to minute",
		'set time zone -7',
		'set time zone default',
		"select set_config('timezone', 'America/New_York', true)",
		'set datestyle = iso, mdy',
		"set application_name = 'x'",
		"set local work_mem = '4MB'",
		'set session work_mem to default',
		'set search_path = app, hr',
		"set search_path = ''",
		'set search_path to default',
		"set schema 'app'",
		"set names 'utf8'",
		"set client_encoding = 'UTF-8'",
		'set client_encoding to sql_ascii',
		'set standard_conforming_strings = on',
		'set row_security = on',
		'set seed = 0.5',
		'set SEARCH_PATH = app',
		'set "search_path" = app',
		'reset work_mem',
		'reset search_path',
		'reset all',
		'reset client_encoding',
		'reset standard_conforming_strings',
		'set transaction isolation level serializable',
		'set transaction read only',
		'set session characteristics as transaction read only',
		'set local transaction_read_only = on',
		'set xml option document',
		"select set_config('work_mem', '4MB', true)",
		"select set_config('search_path', $1, false)",
		"select pg_catalog.set_config('Work_Mem', '1MB', false)",
		'show work_mem',
		'show search_path',
		"select current_setting('work_mem')",
		'set extra_float_digits = 3',
		"set intervalstyle = 'iso_8601'",
		'set bytea_output = escape',
		'set client_min_messages = notice',
		'set role none',
	];
	test.each(allowed.filter((sql) => sql !== 'set role none'))('%s', async (sql) => {
		const decision = await bench.decide(sql);
		expect(decision.error?.message).toBeUndefined();
		expect(decision.rewritten).toBe(sql);
	});

	const refused: readonly string[] = [
		'set role postgres',
		'set role none',
		'reset role',
		'set session authorization postgres',
		'set session authorization default',
		'reset session authorization',
		'set local role postgres',
		"set session_authorization = 'x'",
		'set row_security = off',
		'set standard_conforming_strings = off',
		"set standard_conforming_strings to 'off'",
		"set client_encoding = 'latin1'",
		"set names 'SJIS'",
		"set session_preload_libraries = 'x'",
		"set local_preload_libraries = 'x'",
		'set backslash_quote = on',
		"set timezone = 'Europe/Berlin-12'",
		"select set_config('timezone', 'EUROPE/BERLIN-12', false)",
		'set transform_null_equals = on',
		'set log_statement = none',
		'set "role" = \'postgres\'',
		'set ROLE postgres',
		'set client_min_messages = log',
		'set client_min_messages = debug1',
		"select set_config('role', 'postgres', false)",
		"select set_config('ROLE', 'postgres', false)",
		"select set_config('role_is_cut'::varchar(4), 'postgres', false)",
		"select set_config('role_is_cut'::char(4)::text, 'postgres', false)",
		"select set_config($1, 'x', false)",
		"select set_config('ro' || 'le', 'postgres', false)",
		"select set_config('row_security', $1, false)",
		"select set_config('row_security', 'off', true)",
		"select pg_catalog.set_config(setting, 'x', false) from pg_settings",
		"select set_config(setting_name => 'role', new_value => 'x', is_local => false)",
		"select set_config('client_encoding', 'latin1', false)",
		"select count(set_config('role', 'x', false)) from items",
		"select 1 from items where set_config('role', 'x', false) = 'x'",
		"insert into notes (body) values (set_config('role', 'x', false))",
		'set myapp.tenant = 5',
		'set nosuch_setting = 1',
		'alter role sql_bench set row_security = off',
		"alter database db set role = 'x'",
		'alter system set work_mem = 1',
		"set transaction snapshot '00000003-0000001B-1'",
		"select set_config('session_authorization', 'x', false)",
	];
	test.each(refused)('%s', async (sql) => {
		const decision = await bench.decide(sql);
		expect(decision.effect).toBe('deny');
		expect(decision.error?.sqlstate).toBe('42501');
	});

	test.each(['set myapp.tenant = 5', 'set log_statement = none', 'set nosuch_setting = 1'])(
		'with a rule: %s',
		async (sql) => {
			const decision = await bench.decide(sql, { who: OPERATOR });
			// Some are refused whatever the policy says; those that are not name the rule that allows them.
			if (decision.effect === 'allow')
				expect(decision.statements.flatMap((statement) => statement.rules).map((rule) => rule.text)).toContain(
					'p, role:operator, db, set, allow',
				);
			else expect(decision.error?.sqlstate).toBe('42501');
			expect((await bench.decide('set role postgres', { who: OPERATOR })).effect).toBe('deny');
		},
	);

	test("the rule for set is what lets a setting of one's own be set", async () => {
		expect((await bench.decide('set myapp.tenant = 5', { who: OPERATOR })).effect).toBe('allow');
		expect((await bench.decide('set myapp.tenant = 5', { who: STRANGER })).error?.message).toContain('myapp.tenant');
	});
});

describe('effects on the session', () => {
	const rows: readonly { sql: string; want: readonly SessionEffect[] }[] = [
		{ sql: 'begin', want: [{ type: 'begin' }] },
		{ sql: 'start transaction isolation level serializable', want: [{ type: 'begin' }] },
		{ sql: 'commit', want: [{ type: 'commit' }] },
		{ sql: 'end', want: [{ type: 'commit' }] },
		{ sql: 'savepoint a', want: [{ type: 'savepoint', does: 'define', name: 'a' }] },
		{ sql: 'release savepoint "A b"', want: [{ type: 'savepoint', does: 'release', name: 'A b' }] },
		{
			sql: 'rollback to savepoint A',
			want: [{ type: 'savepoint', does: 'rollback', name: 'a' }, { type: 'names-unknown' }],
		},
		{ sql: 'listen Chan', want: [{ type: 'listen', channel: 'chan' }] },
		{ sql: 'listen "So""me"', want: [{ type: 'listen', channel: 'So"me' }] },
		{ sql: `listen ${'x'.repeat(70)}`, want: [{ type: 'listen', channel: 'x'.repeat(63) }] },
		// 32 times two bytes: the 63rd is half of a letter.
		{ sql: `listen "${'é'.repeat(32)}"`, want: [{ type: 'listen', channel: 'é'.repeat(31) }] },
		{ sql: 'listen É', want: [{ type: 'listen', channel: 'É' }] },
		{ sql: 'unlisten a', want: [{ type: 'unlisten', channel: 'a' }] },
		{ sql: 'unlisten *', want: [{ type: 'unlisten', channel: null }] },
		{
			sql: 'discard all',
			want: [
				{ type: 'deallocate', name: null },
				{ type: 'names-unknown' },
				{ type: 'unlisten', channel: null },
				{ type: 'close', name: null },
			],
		},
		{ sql: 'declare C cursor for select 1', want: [{ type: 'declare', name: 'c', holds: false }] },
		{ sql: 'declare "C" scroll cursor with hold for select 1', want: [{ type: 'declare', name: 'C', holds: true }] },
		{ sql: 'close c', want: [{ type: 'close', name: 'c' }] },
		{ sql: 'close all', want: [{ type: 'close', name: null }] },
		{ sql: 'discard plans', want: [] },
		{ sql: 'set search_path = app', want: [{ type: 'set', name: 'search_path', local: false }] },
		{ sql: 'set local search_path = app', want: [{ type: 'set', name: 'search_path', local: true }] },
		{ sql: 'SET "Search_Path" TO app', want: [{ type: 'set', name: 'search_path', local: false }] },
		{ sql: "set schema 'app'", want: [{ type: 'set', name: 'search_path', local: false }] },
		{ sql: 'reset search_path', want: [{ type: 'set', name: 'search_path', local: false, reset: true }] },
		{ sql: 'reset all', want: [{ type: 'names-unknown' }] },
		{ sql: 'deallocate p', want: [{ type: 'deallocate', name: 'p' }] },
		{ sql: 'deallocate all', want: [{ type: 'deallocate', name: null }] },
		{ sql: 'prepare p as select 1', want: [{ type: 'prepare', name: 'p' }] },
		{ sql: 'copy notes to stdout', want: [{ type: 'copy-out' }] },
		{ sql: 'copy notes from stdin', want: [{ type: 'copy-in' }] },
		{ sql: 'select 1', want: [] },
	];
	test.each(rows)('$sql', async ({ sql, want }) => {
		const decision = await bench.decide(sql);
		expect(decision.error?.message).toBeUndefined();
		expect(decision.statements[0]?.effects.filter(({ type }) => type !== 'leaves')).toEqual(want);
	});

	test.each([
		'rollback',
		'abort',
		'rollback to a',
		'discard all',
		"select set_config('search_path', 'app', false)",
		'call tidy(1)',
		'reset all',
		'drop view cheap',
		'create view app.v2 as select 1',
		'drop table notes',
	])('names are not certain after %s', async (sql) => {
		const effects = (await bench.decide(sql)).statements[0]?.effects ?? [];
		const uncertain = effects.some(
			(effect) =>
				effect.type === 'names-unknown' ||
				effect.type === 'ddl' ||
				(effect.type === 'set' && effect.name === 'search_path'),
		);
		expect(uncertain).toBe(true);
	});
});

describe('other statements', () => {
	const rows: readonly Row[] = [
		{ sql: "prepare transaction 'x'", want: { error: ['42501', /two-phase/] } },
		{ sql: "commit prepared 'x'", want: { error: ['42501', /two-phase/] } },
		{
			sql: 'declare c cursor for select id, ssn from people order by id',
			want: { text: /^declare c cursor for select id, ssn from \(SELECT .* AS "_p" WHERE/ },
		},
		{ sql: 'declare c cursor for select id from secrets', want: { error: ['42501', /hr\.secrets/] } },
		{
			sql: 'declare c scroll cursor with hold for table people',
			want: { text: /^declare c scroll cursor with hold for SELECT \* FROM \(SELECT/ },
		},
		{
			sql: 'prepare p (int) as select ssn from people where id = $1',
			want: { text: /^prepare p \(int\) as select ssn from \(SELECT/ },
		},
		{
			sql: "prepare p as update people set name = 'x' where ssn = $1",
			want: { text: /^prepare p as update "hr"\.people set name = 'x' where CASE WHEN/ },
		},
		{ sql: 'prepare p as table secrets', want: { error: ['42501', /hr\.secrets/] } },
		{ sql: 'execute nosuch', want: { error: ['26000', 'prepared statement "nosuch" does not exist'] } },
		{ sql: 'explain select 1', want: { same: true } },
		{ sql: 'explain (costs off) select * from items where id = 1', want: { same: true } },
		{
			sql: 'explain analyze select * from people',
			want: { error: ['42501', /EXPLAIN ANALYZE of a statement/] },
		},
		{ sql: 'explain select * from directory', want: { text: /costs/i } },
		{ sql: "explain update people set name = 'x'", want: { text: /costs/i } },
		{ sql: 'explain select * from secrets', want: { error: ['42501', /hr\.secrets/] } },
		{ sql: 'explain delete from nosuch', want: { error: ['42P01', 'relation "nosuch" does not exist'] } },
		{ sql: 'listen x', want: { same: true } },
		{ sql: 'unlisten *', want: { same: true } },
		{ sql: 'notify x', want: { error: ['42501', /NOTIFY: no rule of the policy allows notify on db/] } },
		{ sql: "select pg_notify('x', 'y')", want: { error: ['42501', /pg_notify/] } },
		{ sql: "notify x, 'y'", who: OPERATOR, want: { same: true } },
		{ sql: "select pg_notify('x', 'y')", who: OPERATOR, want: { same: true } },
		{ sql: 'listen x', who: STRANGER, want: { error: ['42501', /LISTEN/] } },
		{ sql: 'do $$ begin end $$', want: { error: ['42501', /DO: no rule of the policy allows do on db/] } },
		{ sql: 'do $$ begin end $$', who: OPERATOR, want: { same: true } },
		{ sql: 'call tidy(1)', want: { same: true } },
		{
			sql: 'call app.tidy((select max(id) from people))',
			want: { error: ['0A000', 'cannot use subquery in CALL argument'] },
		},
		{
			sql: 'call tidy(1)',
			who: STRANGER,
			want: { error: ['42501', /no rule of the policy allows call on db\.app\.tidy\(integer\)/] },
		},
		{ sql: 'call nosuch(1)', want: { error: ['42883', /nosuch/] } },
		{ sql: 'lock table notes in share mode', want: { same: true } },
		{ sql: 'lock table people in share mode', want: { error: ['42501', /lock/] } },
		{ sql: 'checkpoint', want: { error: ['42501', /CHECKPOINT/] } },
		{ sql: "load 'x'", want: { error: ['42501', /LOAD/] } },
		{ sql: 'set constraints all deferred', want: { same: true } },
		{ sql: 'fetch 1 from c', want: { text: 'fetch 1 from c' } },
		{ sql: 'close c', want: { text: 'close c' } },
		{ sql: "select nextval('app.counter')", want: { rows: [['1']] } },
		{ sql: "select nextval('counter')", want: { rows: [['2']] } },
		{ sql: "select nextval('app.counter'::regclass), currval('counter')", want: { rows: [['3', '3']] } },
		{
			sql: "select nextval('ap' || 'p.counter')",
			want: { error: ['42501', /sequence: its name has to be a literal/] },
		},
		{ sql: "select nextval('other.app.counter')", want: { error: ['0A000', /cross-database/] } },
		{ sql: "select nextval('app.counter.counter.x')", want: { error: ['0A000', /cross-database/] } },
		{ sql: "select nextval('app.\u00a0counter')", want: { error: ['42P01', /does not exist/] } },
		{ sql: "select nextval('app.counter')", who: STRANGER, want: { error: ['42501', /sequence app\.counter/] } },
		{ sql: 'select last_value from counter', want: { rows: [['3']] } },
		{ sql: 'select last_value from counter', who: STRANGER, want: { error: ['42501', /app\.counter/] } },
		{ sql: 'select pg_sleep(0)', want: { rows: [['']] } },
		{ sql: "select pg_read_file('x')", want: { error: ['42501', /pg_read_file/] } },
		{ sql: "select query_to_xml('select 1', true, true, '')", want: { error: ['42501', /query_to_xml/] } },
		{ sql: 'select pg_terminate_backend(1)', want: { error: ['42501', /pg_terminate_backend/] } },
		{ sql: 'select lo_get(1)', want: { error: ['42501', /lo_get/] } },
		{
			sql: 'select app.forbidden(1)',
			want: {
				error: [
					'42501',
					/permission denied for function app\.forbidden\(integer\): no rule of the policy allows execute/,
				],
			},
		},
		{ sql: 'select app.forbidden(1)', who: AUDITOR, want: { rows: [['1']] } },
		{ sql: 'select 1 operator(app.~~~) 1', who: STRANGER, want: { error: ['42501', /app\.near/] } },
		{ sql: 'select id from items order by id using <', want: { same: true } },
	];
	test.each(rows)('$sql', async (row) => check(bench, row));
});
