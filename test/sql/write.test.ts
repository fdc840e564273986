/** INSERT, UPDATE, DELETE and MERGE: the columns written, the rows touched and left behind, what is read on the way, and what comes back. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Bench } from './bench.ts';
import { check, type Row } from './check.ts';
import { AUDITOR, openPeople, RULES, SETUP, STRANGER } from './people.ts';

const MORE = `
create table hr.log (id int primary key, tenant text, note text default 'none', secret int, made int generated always as (id * 2) stored);
insert into hr.log (id, tenant, note, secret) values (1, 'acme', 'a', 10), (2, 'globex', 'b', 20), (3, null, 'c', 30);
create table hr.moved (id int, tenant text);
create function hr.move() returns trigger language plpgsql as $$ begin new.tenant := 'globex'; return new; end $$;
create trigger move before insert or update on hr.moved for each row when (new.id > 100) execute function hr.move();
insert into hr.moved values (1, 'acme'), (2, 'globex');
create unique index on hr.people (lower(ssn)) where ssn is not null;
create table other.masked (id int, ssn text);
insert into other.masked values (1, 's1');
create function hr.told(text) returns boolean language plpgsql cost 0.0001 as $$ begin raise notice 'row %', $1; return true; end $$;
`;
const MORE_RULES = `
p, role:analyst, db.hr.log, insert, allow
p, role:analyst, db.hr.log, update, allow
p, role:analyst, db.hr.log, delete, allow
p, role:analyst, db.hr.log.secret, insert, deny
p, role:analyst, db.hr.log.note, update, deny
p, role:analyst, db.hr.log, select, filter, own_tenant
p, role:analyst, db.hr.moved, *, allow
p, role:analyst, db.hr.moved, select, filter, own_tenant
p, role:analyst, db.hr.told(text), execute, allow
p, role:clerk, db.app.notes.body, insert, allow
p, role:clerk, db.app.notes.body, update, allow
p, role:clerk, db.app.notes, delete, allow
p, role:clerk, db.app.notes.id, select, allow
p, role:clerk, db.hr.teams.title, *, allow
p, role:analyst, db.hr.directory, update, allow
p, role:analyst, db.app.cheap, update, allow
`;
const CLERK = { ...STRANGER, name: 'cleo', roles: ['clerk'] };

let bench: Bench;
beforeAll(async () => {
	bench = await openPeople({ setup: `${SETUP}${MORE}`, rules: `${RULES}${MORE_RULES}` });
});
afterAll(async () => {
	await bench?.close();
});

/** Runs the write and then asks, past the gateway, what is there; all of it is rolled back. */
async function leaves(sql: string, question: string): Promise<unknown> {
	const decision = await bench.decide(sql);
	expect(decision.error?.message).toBeUndefined();
	const answer = await bench.direct(`${decision.rewritten}; ${question}`);
	return answer.kind === 'rows' ? answer.rows : `${answer.sqlstate} ${answer.message}`;
}

describe('where nothing is protected', () => {
	const same: readonly string[] = [
		"insert into notes (body) values ('x') returning body, n",
		"insert into notes (body) values ('x'), ('y') returning n + 1 as m, notes.body",
		"insert into app.notes values (60, 'x', 3, 'odd') returning *",
		'insert into notes default values returning body, n',
		'insert into notes (body, n) select label, id from items where id < 3 order by id returning body, n',
		"insert into notes (id, body) overriding system value values (50, 'x') returning id",
		"insert into notes as x (id, body) values (1, 'x') on conflict (id) do update set body = excluded.body || x.body where x.id = 1 returning x.body, x.id",
		"insert into notes (id, body) values (1, 'x') on conflict do nothing returning id",
		"insert into notes (id, body) values (1, 'x') on conflict on constraint notes_pkey do update set (body, n) = (excluded.body, 9) returning *",
		"insert into notes (id, body) values (1, 'x') on conflict (id) where id > 0 do update set n = default returning n",
		'update notes set n = n + 1 returning id, n',
		'update notes as x set n = x.n + 1, body = default where x.id = 1 returning x.*',
		'update only notes set (n, body) = (select id, label from items where items.id = notes.id) returning *',
		"update notes set n = i.id from items i where i.id = notes.id and i.label like 'item%' returning notes.id, i.*",
		'update notes set n = i.id from items i join items j using (id) where i.id = notes.id returning *',
		'update notes set "Odd Name" = \'q\' where id = 1 returning "Odd Name"',
		'with x as (select 1 as id) update notes set n = 5 from x where x.id = notes.id returning n',
		'delete from notes where id = 1 returning *',
		'delete from notes using items where items.id = notes.id and items.id = 2 returning notes.*, items.label',
		'delete from notes n where exists (select from items i where i.id = n.id) returning n.id',
		'with gone as (delete from notes returning *) insert into notes (body, n) select body, n + 100 from gone returning n',
		'update notes set n = 1 returning old.n, new.n, old.*, new.body',
		'update notes set n = 1 returning with (old as o, new as e) o.n, e.n',
		'merge into notes n using items i on i.id = n.id when matched and i.id = 1 then update set body = i.label when matched then delete returning merge_action(), n.id',
		"merge into notes n using (values (1, 'a'), (77, 'b')) v(k, b) on n.id = v.k when matched then do nothing when not matched then insert (id, body) values (v.k, v.b) returning n.*",
		'merge into notes using items on false when not matched by source and notes.id = 1 then delete when not matched and items.id = 3 then insert default values',
		'update nosuch set a = 1',
		'update notes set nosuch = 1',
		'insert into notes (nosuch) values (1)',
		'insert into notes (body) values (1, 2)',
		'update notes set body = nosuch',
	];
	test.each(same)('%s', async (sql) => {
		if (sql.includes('nosuch set'))
			await check(bench, { sql, want: { error: ['42P01', 'relation "nosuch" does not exist'] } });
		else await check(bench, { sql, want: { same: true } });
	});
});

describe('rules for writing', () => {
	const rows: readonly Row[] = [
		{
			sql: "insert into teams values (9, 'x', 'y')",
			want: {
				error: [
					'42501',
					/permission denied for relation hr\.teams: no rule of the policy allows insert on db\.hr\.teams/,
				],
			},
		},
		{
			sql: "update teams set title = 'x'",
			want: { error: ['42501', /no rule of the policy allows update on db\.hr\.teams/] },
		},
		{ sql: 'delete from teams', want: { error: ['42501', /no rule of the policy allows delete/] } },
		{
			sql: 'merge into teams using items on false when not matched then insert values (1)',
			want: { error: ['42501', /insert/] },
		},
		{
			sql: 'merge into log using items on false when matched then update set note = 1',
			want: { error: ['42501', /hr\.log\.note.*denied by policy\.csv/] },
		},
		{ sql: 'truncate people', want: { error: ['42501', /truncate/] } },
		{ sql: 'truncate notes', want: { same: true } },
		// A rule on a column is none on its table.
		{ sql: 'truncate teams', who: CLERK, want: { error: ['42501', /no rule of the policy allows truncate/] } },
		{
			sql: 'update people set boss = 1 where id = 1',
			want: { error: ['42501', /column hr\.people\.boss: denied by policy\.csv:\d+/] },
		},
		{ sql: "update people set (name, boss) = ('x', 1) where id = 1", want: { error: ['42501', /hr\.people\.boss/] } },
		{ sql: "update log set note = 'x'", want: { error: ['42501', /hr\.log\.note/] } },
		{
			sql: "insert into log (id, tenant, secret) values (9, 'acme', 1)",
			want: { error: ['42501', /hr\.log\.secret/] },
		},
		{ sql: "insert into log values (9, 'acme', 'n', 1)", want: { error: ['42501', /hr\.log\.secret/] } },
		{ sql: "insert into log values (9, 'acme', 'n')", want: { rows: [] } },
		{ sql: "insert into log select 9, 'acme', 'n', 1", want: { error: ['42501', /hr\.log\.secret/] } },
		{ sql: 'insert into log table log', want: { error: ['42501', /hr\.log\.secret/] } },
		{
			sql: "insert into log (id, tenant) values (1, 'acme') on conflict (id) do update set note = 'x'",
			want: { error: ['42501', /hr\.log\.note/] },
		},
		{
			sql: "insert into log (id, tenant) values (1, 'acme') on conflict (id) do update set secret = 5 returning id",
			want: { rows: [['1']] },
		},
		{
			sql: "insert into people (id, tenant, name, ssn) values (90, 'acme', 'x', 'new-1') on conflict (lower(ssn)) where ssn is not null do update set name = excluded.name returning id, name",
			want: { rows: [['90', 'x']] },
		},
		{
			sql: "insert into people (id, tenant, name, ssn) values (90, 'acme', 'x', 'y') on conflict (encode(photo, 'hex')) do nothing",
			want: { error: ['42703', /photo/] },
		},
		{ sql: "insert into pg_catalog.pg_class (relname) values ('x')", want: { error: ['42501', /system catalogue/] } },
		{ sql: "insert into notes (body) values ('x')", who: CLERK, want: { rows: [] } },
		{ sql: "insert into notes (body, n) values ('x', 1)", who: CLERK, want: { error: ['42501', /app\.notes\.n/] } },
		{ sql: 'insert into notes values (5)', who: CLERK, want: { error: ['42501', /app\.notes\.id/] } },
		{ sql: "update notes set body = 'x'", who: CLERK, want: { rows: [] } },
		{ sql: "update notes set body = 'x' returning id", who: CLERK, want: { rows: [['1'], ['2']] } },
		{ sql: "update notes set body = body || 'x'", who: CLERK, want: { error: ['42501', /column app\.notes\.body/] } },
		{ sql: "update notes set body = 'x' where n = 7", who: CLERK, want: { error: ['42501', /column app\.notes\.n/] } },
		{ sql: "update notes set body = 'x' returning *", who: CLERK, want: { error: ['42501', /body/] } },
		{ sql: 'delete from notes where id = 1', who: CLERK, want: { rows: [] } },
		{ sql: "delete from notes where body = 'one'", who: CLERK, want: { error: ['42501', /column app\.notes\.body/] } },
		{ sql: "update directory set name = 'x'", want: { error: ['42501', /view hr\.directory/] } },
		{ sql: "update cheap set label = 'x' where id = 1 returning label", want: { rows: [['x']] } },
		{
			sql: "insert into people (id, tenant, name) values (50, 'acme', 'x')",
			who: STRANGER,
			want: { error: ['42501', /no rule/] },
		},
	];
	test.each(rows)('$sql', async (row) => check(bench, row));
});

describe('rows that a filter hides', () => {
	const rows: readonly { sql: string; question: string; want: unknown }[] = [
		{
			sql: "update people set name = 'x'",
			question: "select count(*), count(*) filter (where tenant = 'globex') from hr.people where name = 'x'",
			want: [['8', '0']],
		},
		{
			sql: "update people set name = 'x' where id in (1, 3)",
			question: "select id from hr.people where name = 'x'",
			want: [['1']],
		},
		{
			sql: "update people p set name = 'x' where p.id < 4 or p.tenant = 'globex'",
			question: "select id from hr.people where name = 'x' order by 1",
			want: [['1'], ['2']],
		},
		{
			sql: "update people set name = 'x' from teams t where t.id = people.team or true",
			question: "select count(*) from hr.people where name = 'x'",
			want: [['8']],
		},
		{ sql: 'delete from log', question: 'select id from hr.log order by 1', want: [['2'], ['3']] },
		{ sql: 'delete from log where id = 2 or true', question: 'select id from hr.log order by 1', want: [['2'], ['3']] },
		{
			sql: 'delete from log using teams where true',
			question: 'select id from hr.log order by 1',
			want: [['2'], ['3']],
		},
		{
			sql: 'update log set secret = 99 where told(tenant)',
			question: 'select id from hr.log where secret = 99',
			want: [['1']],
		},
		{
			sql: 'with x as (delete from log returning id) select * from x',
			question: 'select id from hr.log order by 1',
			want: [['2'], ['3']],
		},
		{
			sql: 'merge into log using teams t on t.id = log.id when matched then delete',
			question: 'select id from hr.log order by 1',
			want: [['2'], ['3']],
		},
		{
			sql: 'merge into log using (select 9 as k) s on log.id = s.k when not matched by source then delete',
			question: 'select id from hr.log order by 1',
			want: [['2'], ['3']],
		},
		{
			sql: 'merge into log using (select 9 as k) s on log.id = s.k when not matched by source and log.id > 0 or true then delete',
			question: 'select id from hr.log order by 1',
			want: [['2'], ['3']],
		},
		{
			sql: "insert into log (id, tenant) values (1, 'acme') on conflict (id) do update set secret = 5",
			question: 'select id from hr.log where secret = 5',
			want: [['1']],
		},
		{
			sql: "insert into log (id, tenant) values (2, 'acme') on conflict (id) do update set secret = 5",
			question: 'select id from hr.log where secret = 5',
			want: [],
		},
		{
			sql: "insert into log (id, tenant) values (2, 'acme') on conflict (id) do update set secret = 5 where true or log.id = 2",
			question: 'select id from hr.log where secret = 5',
			want: [],
		},
		{
			sql: "insert into log (id, tenant) values (2, 'acme') on conflict do nothing",
			question: 'select tenant from hr.log where id = 2',
			want: [['globex']],
		},
	];
	test.each(rows)('are not touched by $sql', async ({ sql, question, want }) => {
		expect(await leaves(sql, question)).toEqual(want);
	});

	test('are not seen by a function of the statement', async () => {
		const notices: string[] = [];
		bench.client.on('notice', (notice) => notices.push(notice.message ?? ''));
		for (const sql of [
			'update log set secret = 99 where told(tenant)',
			'delete from log where told(tenant)',
			'update log set secret = 1 from teams t where told(tenant) and t.id = log.id',
		])
			await bench.run(sql);
		expect(notices.filter((notice) => notice.startsWith('row') && notice !== 'row acme')).toEqual([]);
		expect(notices.filter((notice) => notice === 'row acme').length).toBeGreaterThan(0);
	});
});

describe('rows that a write would leave behind', () => {
	const refused: readonly string[] = [
		"insert into people (id, tenant, name) values (100, 'globex', 'x')",
		"insert into people (id, tenant, name) values (100, 'acme', 'x'), (101, 'globex', 'y')",
		"insert into people (id, tenant, name) values (100, 'globex', 'x') returning id",
		"insert into people (id, tenant, name) values (100, 'globex', 'x') returning *",
		"insert into people (id, tenant, name) select 100, 'globex', 'x'",
		'insert into log (id) values (9)',
		"insert into log (id, note) values (9, 'x') returning note",
		"update people set tenant = 'globex' where id = 1",
		"update people set tenant = 'globex' where id = 1 returning id, name as n",
		"update people set (name, tenant) = ('x', 'globex') where id = 1",
		'update log set tenant = null where id = 1',
		"insert into log (id, tenant) values (1, 'acme') on conflict (id) do update set tenant = 'globex'",
		"with x as (insert into log (id, tenant) values (9, 'globex')) select 1",
		"with x as (insert into log (id, tenant) values (9, 'globex') returning id) select * from x",
		"with x as (update log set tenant = 'globex' returning id) select * from x",
		"with x as (update log set tenant = 'globex') select 1",
		"insert into moved values (101, 'acme')",
		'update moved set id = 101',
		"merge into log using (select 9 as k) s on log.id = s.k when not matched then insert (id, tenant) values (s.k, 'globex')",
		"merge into log using (select 1 as k) s on log.id = s.k when matched then update set tenant = 'globex'",
		"merge into log using (select 1 as k) s on log.id = s.k when matched then update set tenant = 'globex' returning merge_action(), log.id",
		"insert into events values (9, '2024-05-05', 'globex', 'x')",
		"update events set tenant = 'globex' where id = 2",
	];
	test.each(refused)('%s', async (sql) => {
		const answer = await bench.run(sql);
		expect(answer).toMatchObject({ kind: 'error', sqlstate: '42501' });
		expect(answer.kind === 'error' ? answer.message : '').toMatch(
			/^new row violates row filter "own_tenant" for table "\w+" \(policy\.csv:\d+\)$/,
		);
		// The same statement is no error for who sees all rows.
		expect(await bench.run(sql, { who: AUDITOR })).toMatchObject({ kind: 'rows' });
	});

	const allowed: readonly Row[] = [
		{
			sql: "insert into people (id, tenant, name) values (100, 'acme', 'x') returning id, tenant",
			want: { rows: [['100', 'acme']] },
		},
		{ sql: "insert into people (id, tenant, name) values (100, 'acme', 'x')", want: { rows: [] } },
		{ sql: "update people set tenant = 'acme' where id < 3 returning id", want: { rows: [['1'], ['2']] } },
		{ sql: "update people set tenant = 'acme' where id < 3", want: { rows: [] } },
		{
			sql: "update people set tenant = tenant, name = 'q' where id = 1 returning tenant, name",
			want: { rows: [['acme', 'q']] },
		},
		{ sql: "insert into moved values (5, 'acme') returning *", want: { rows: [['5', 'acme']] } },
		{ sql: "with x as (insert into log (id, tenant) values (9, 'acme')) select 1", want: { rows: [['1']] } },
		{ sql: "insert into log (id, tenant) values (9, 'acme') returning made, note", want: { rows: [['18', 'none']] } },
		{ sql: "insert into events values (9, '2024-05-05', 'acme', 'x') returning id", want: { rows: [['9']] } },
	];
	test.each(allowed)('but $sql', async (row) => check(bench, row));

	test('a RETURNING of the gateway stays with it', async () => {
		const decision = await bench.decide("insert into log (id, tenant) values (9, 'acme')");
		expect(decision.statements[0]?.hidesRows).toBe(true);
		expect(
			(await bench.decide("insert into log (id, tenant) values (9, 'acme') returning id")).statements[0]?.hidesRows,
		).toBe(false);
		expect(
			(await bench.decide("with x as (insert into log (id, tenant) values (9, 'acme')) select 1")).statements[0]
				?.hidesRows,
		).toBe(false);
		expect((await bench.decide('delete from log')).statements[0]?.hidesRows).toBe(false);
		for (const written of ["insert into log (id, tenant) values (9, 'acme')", "update log set note = 'x'"]) {
			expect((await bench.decide(`explain ${written}`)).statements[0]?.hidesRows).toBe(false);
		}
	});

	test('the words of the check never reach the client', async () => {
		const decision = await bench.decide("insert into log (id, tenant) values (9, 'globex')");
		const [nonce] = decision.statements.flatMap((statement) => statement.checks.map((check_) => check_.nonce));
		expect(nonce).toMatch(/^portcullis_check_[0-9a-f]{24}$/);
		const answer = await bench.run("insert into log (id, tenant) values (9, 'globex')");
		expect(JSON.stringify(answer)).not.toContain('portcullis_check');
	});
});

describe('what a write reads', () => {
	const rows: readonly Row[] = [
		{ sql: "update people set name = 'x' where ssn = '123-45-1001'", want: { rows: [] } },
		{ sql: "update people set name = 'x' where ssn = '123-45-1001' returning id", want: { rows: [] } },
		{ sql: "update people set name = 'x' where ssn = 'XXX-XX-1001' returning id", want: { rows: [['1']] } },
		{ sql: "update people p set name = 'x' where p.salary is null and id = 1 returning id", want: { rows: [['1']] } },
		{
			sql: "update people set name = 'x' where people.ssn like 'XXX%' and (people).id = 1 returning id",
			want: { error: ['42501', /whole row/] },
		},
		{
			sql: 'update people set name = ssn where id = 1',
			want: { error: ['42501', /column hr\.people\.ssn: it is masked \(ssn_last4, policy\.csv:\d+\)/] },
		},
		{ sql: 'update people set name = upper(left(ssn, 3)) where id = 1', want: { error: ['42501', /is masked/] } },
		{
			sql: 'update people set name = (select ssn from people x where x.id = 1) where id = 2 returning name',
			want: { rows: [['XXX-XX-1001']] },
		},
		{ sql: 'update people set (name, email) = (ssn, email) where id = 1', want: { error: ['42501', /is masked/] } },
		{
			sql: 'update people set name = photo::text where id = 1',
			want: { error: ['42703', 'column "photo" of relation "people" does not exist'] },
		},
		{
			sql: 'update people set name = null where photo is null',
			want: { error: ['42703', 'column "photo" of relation "people" does not exist'] },
		},
		{ sql: "update people set name = 'x' where id = 1 returning photo", want: { error: ['42703', /photo/] } },
		{ sql: "update people set name = 'x' where id = 1 returning people", want: { error: ['42501', /whole row/] } },
		{
			sql: "update people set name = 'x' where id = 1 returning to_jsonb(people.*)",
			want: { error: ['42501', /whole row/] },
		},
		{
			sql: "update people set name = 'x' where id = 1 returning ssn, old.ssn, new.salary, old.name",
			want: { rows: [['XXX-XX-1001', 'XXX-XX-1001', null, 'p1']] },
		},
		{
			sql: "update people set name = 'x' where id = 1 returning with (old as before) before.ssn, before.*",
			want: {
				rows: [
					[
						'XXX-XX-1001',
						'1',
						'acme',
						'p1',
						'p1@x.org',
						'XXX-XX-1001',
						null,
						'1980-04-10',
						'2',
						null,
						'{a1,b}',
						'{"k": 1, "l": [1, 2]}',
					],
				],
			},
		},
		{
			sql: "update people set ssn = '999-99-9999' where id = 1 returning ssn, old.ssn",
			want: { rows: [['XXX-XX-9999', 'XXX-XX-1001']] },
		},
		{
			sql: "insert into people (id, tenant, name, ssn) values (100, 'acme', 'x', '1-2-3456') returning ssn, people.ssn as s, upper(ssn)",
			want: { rows: [['XXX-XX-3456', 'XXX-XX-3456', 'XXX-XX-3456']] },
		},
		{
			sql: "insert into people (id, tenant, name) values (1, 'acme', 'x') on conflict (id) do update set name = people.ssn",
			want: { error: ['42501', /is masked/] },
		},
		{
			sql: "insert into people (id, tenant, name) values (1, 'acme', 'x') on conflict (id) do update set name = excluded.name where people.ssn = 'XXX-XX-1001' returning name",
			want: { rows: [['x']] },
		},
		{
			sql: "insert into people (id, tenant, name) values (1, 'acme', 'x') on conflict (id) do update set name = excluded.name where people.ssn = '123-45-1001' returning name",
			want: { rows: [] },
		},
		{
			sql: "insert into people (id, tenant, name) values (1, 'acme', 'x') on conflict (id) do update set name = 'y' where ssn like 'X%'",
			want: { error: ['42702', 'column reference "ssn" is ambiguous'] },
		},
		{
			sql: 'delete from people using people x where people.id = x.id and people.id = 11 returning ssn',
			want: { error: ['42702', 'column reference "ssn" is ambiguous'] },
		},
		{
			sql: 'delete from people using people x where people.id = x.id and people.id = 11 returning people.ssn, x.ssn',
			want: { rows: [['XXX-XX-1011', 'XXX-XX-1011']] },
		},
		{
			sql: 'insert into notes (body) select ssn from people where id = 1 returning body',
			want: { rows: [['XXX-XX-1001']] },
		},
		{
			sql: "insert into notes (body) select string_agg(ssn, ',' order by id) from people where id < 4 returning body",
			want: { rows: [['XXX-XX-1001,XXX-XX-1002']] },
		},
		{
			sql: 'insert into notes (body) values ((select ssn from people where id = 1)) returning body',
			want: { rows: [['XXX-XX-1001']] },
		},
		{
			sql: 'update notes set body = p.ssn from people p where p.id = notes.id returning body',
			want: { rows: [['XXX-XX-1001'], ['XXX-XX-1002']] },
		},
		{
			sql: "delete from notes using people p where p.ssn = 'XXX-XX-1001' and p.id = notes.id returning p.ssn, notes.id",
			want: { rows: [['XXX-XX-1001', '1']] },
		},
		{
			sql: 'merge into notes n using people p on p.id = n.id when matched then update set body = p.ssn returning n.body, p.ssn',
			want: {
				rows: [
					['XXX-XX-1001', 'XXX-XX-1001'],
					['XXX-XX-1002', 'XXX-XX-1002'],
				],
			},
		},
		{
			sql: "merge into people p using (select 1 as k) s on p.id = s.k when matched and p.ssn = '123-45-1001' then delete when matched then update set name = 'm' returning merge_action(), p.name, p.ssn",
			want: { rows: [['UPDATE', 'm', 'XXX-XX-1001']] },
		},
		{
			sql: 'merge into people p using (select 1 as k) s on p.id = s.k when matched then update set name = p.ssn',
			want: { error: ['42501', /is masked/] },
		},
	];
	test.each(rows)('$sql', async (row) => check(bench, row));
});

/** A mask in place of a column of the target names the target, which something nearer by that name must not be taken for. */
describe('a query within that has something by the name of the target', () => {
	const rows: readonly Row[] = [
		...[
			"update hr.people set name = 'x' where exists (select from app.items people where ssn like 'XXX%') and id = 1 returning id",
			"update people set name = 'x' where exists (select from other.people where ssn like 'XXX-XX-1001') and people.id = 1 returning id",
			"update hr.people set name = 'x' where exists (select from other.masked people where hr.people.ssn like 'XXX%') and id = 1 returning id",
			"update hr.people set name = 'x' where exists (select from other.people where hr.people.ssn = 'XXX-XX-1001') and id = 1 returning id",
			"update hr.people set name = 'x' where exists (select from app.items i join app.notes people on people.id < i.id and ssn like 'XXX%') and id = 1 returning id",
			"update hr.people set name = 'x' from other.people where hr.people.ssn = 'XXX-XX-1001' returning hr.people.id",
			"update hr.people e set name = 'x' where exists (select from app.items people where ssn like 'XXX%') and id = 1 returning id",
			"merge into hr.people using app.items i on i.id = people.id when matched and i.id = 1 and exists (select from other.people where hr.people.ssn like 'XXX%') then update set name = 'x' returning hr.people.id",
			"insert into hr.people (id, tenant, name) values (1, 'acme', 'n') on conflict (id) do update set name = 'u' where exists (select from app.items people where hr.people.ssn like 'XXX%') returning id",
		].map((sql): Row => ({ sql, want: { rows: [['1']] } })),
		{
			sql: "update hr.people set name = 'x' where id = 1 returning id, (select ssn from app.items people limit 1)",
			want: { rows: [['1', 'XXX-XX-1001']] },
		},
		{
			sql: "update hr.people set name = 'x' where id = 1 returning (select hr.people.ssn from other.masked people)",
			want: { rows: [['XXX-XX-1001']] },
		},
		{
			sql: "delete from hr.people where id = 10 and exists (select from other.people where ssn = 'XXX-XX-1010') returning hr.people.id",
			want: { rows: [['10']] },
		},
		{
			sql: "update hr.people e set name = 'x' where exists (select from app.items e where ssn like 'XXX%') and id = 1",
			want: { error: ['42501', 'the masked column ssn of "e" inside of a query that has another "e" is not allowed'] },
		},
		{
			sql: "update hr.people set name = 'x' where exists (select from other.masked people where people.ssn = 's1') and id = 1 returning id",
			want: { rows: [['1']] },
		},
	];
	test.each(rows)('$sql', async (row) => check(bench, row));
});
