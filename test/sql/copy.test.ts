/** COPY: what comes out is what SELECT shows, and what goes in is held to the rules and filters. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Bench } from './bench.ts';
import { runCopy } from './copying.ts';
import { openPeople, RULES, SETUP } from './people.ts';

const MORE = `
create table hr.log (id int primary key, tenant text, note text, twice int generated always as (id * 2) stored);
insert into hr.log (id, tenant, note) values (1, 'acme', 'a'), (2, 'globex', 'b'), (3, null, 'where;');
create table hr.moved (id int, tenant text);
create function hr.move() returns trigger language plpgsql as $$ begin new.tenant := 'globex'; return new; end $$;
create trigger move before insert on hr.moved for each row execute function hr.move();
create table hr.stamped (id int, tenant text);
create trigger stamp before update on hr.stamped for each row execute function hr.move();
create table hr.partly (id int, open text, closed text);
insert into hr.partly values (1, 'o', 'c');
`;
const MORE_RULES = `
p, role:analyst, db.hr.log, insert, allow
p, role:analyst, db.hr.log, select, filter, own_tenant
p, role:analyst, db.hr.moved, *, allow
p, role:analyst, db.hr.stamped, *, allow
p, role:analyst, db.hr.stamped, select, filter, own_tenant
p, role:analyst, db.hr.moved, select, filter, own_tenant
p, role:clerk, db.hr.partly.open, select, allow
p, role:clerk, db.hr.partly.open, insert, allow
`;

let bench: Bench;
beforeAll(async () => {
	bench = await openPeople({ setup: `${SETUP}${MORE}`, rules: `${RULES}${MORE_RULES}` });
});
afterAll(async () => {
	await bench?.close();
});

describe('COPY TO', () => {
	const rows: readonly { sql: string; want: string }[] = [
		{
			sql: 'copy (select id, ssn from people where id < 3 order by id) to stdout',
			want: '1\tXXX-XX-1001\n2\tXXX-XX-1002\n',
		},
		{ sql: 'copy log to stdout', want: '1\tacme\ta\n' },
		{ sql: 'copy hr.log to stdout', want: '1\tacme\ta\n' },
		{ sql: 'copy "log" to stdout with (format csv, header)', want: 'id,tenant,note\n1,acme,a\n' },
		{ sql: 'copy log (note, id) to stdout csv', want: 'a,1\n' },
		{ sql: "copy log(note) to stdout delimiter '|' null 'where'", want: 'a\n' },
		{ sql: 'copy log /* where; */ (id) to stdout -- ;\n', want: '1\n' },
		{ sql: 'copy log to stdout; select 1 from log where id = 1', want: '1\tacme\ta\n' },
		{ sql: 'copy notes (body) to stdout', want: 'one\ntwo\n' },
		{ sql: 'copy docs to stdout', want: '1\tacme\t\\N\n' },
		{ sql: 'copy memos (id, body) to stdout', want: '3\t\\N\n' },
		{ sql: 'copy events_2024 (id, tenant) to stdout', want: '4\tacme\n6\tacme\n8\tacme\n' },
		{ sql: 'copy (table docs) to stdout', want: '1\tacme\t\\N\n3\tacme\t\\N\n' },
		{ sql: "copy (update log set note = 'x' returning id, note) to stdout", want: '42501' },
		{ sql: "copy (insert into log (id, tenant) values (9, 'acme') returning id, note) to stdout", want: '9\t\\N\n' },
		{ sql: "copy (insert into log (id, tenant) values (9, 'globex') returning id, note) to stdout", want: '42501' },
		{ sql: 'copy people (id, photo) to stdout', want: '42703' },
		{ sql: 'copy people (nosuch) to stdout', want: '42703' },
		{ sql: 'copy log (twice) to stdout', want: '42P10' },
		{ sql: 'copy secrets to stdout', want: '42501' },
		{ sql: 'copy nosuch to stdout', want: '42P01' },
		{ sql: "copy notes to '/tmp/x'", want: '42501' },
		{ sql: "copy notes to program 'cat'", want: '42501' },
		{ sql: "copy (select 1) to program 'cat'", want: '42501' },
	];
	test.each(rows)('$sql', async ({ sql, want }) => {
		const decision = await bench.decide(sql);
		if (/^\w{5}$/.test(want) && decision.effect === 'deny') {
			expect(decision.error?.sqlstate).toBe(want);
			return;
		}
		expect(decision.error?.message).toBeUndefined();
		await bench.client.query('begin');
		const { out, error } = await runCopy(bench.client, decision.rewritten);
		await bench.client.query('rollback');
		if (error === null) expect(out).toBe(want);
		else
			expect(
				bench.pipeline
					.clientFields(
						new Map([
							['C', error.sqlstate],
							['M', error.message],
						]),
						decision,
						0,
					)
					.get('C'),
			).toBe(want);
	});

	test('a column that no rule allows', async () => {
		const who = { name: 'cleo', roles: ['clerk'], groups: [], claims: {}, method: 'token' } as const;
		const decision = await bench.decide('copy hr.partly (open, closed) to stdout', { who });
		expect(decision.error).toMatchObject({
			sqlstate: '42501',
			message: expect.stringContaining('hr.partly.closed') as string,
		});
		const allowed = await bench.decide('copy hr.partly (open) to stdout', { who });
		expect((await runCopy(bench.client, allowed.rewritten)).out).toBe('o\n');
	});
});

describe('COPY FROM', () => {
	const mine = '10\tacme\tx\n';
	const theirs = '11\tglobex\ty\n';
	const rows: readonly { sql: string; input: string; want: string | null; left: readonly string[] }[] = [
		{ sql: 'copy log from stdin', input: mine, want: null, left: ['10'] },
		{ sql: 'copy log from stdin', input: mine + theirs, want: '42501', left: [] },
		{ sql: 'copy log (id, tenant, note) from stdin with (format text)', input: theirs, want: '42501', left: [] },
		{ sql: 'copy log from stdin csv', input: '10,acme,x\n', want: null, left: ['10'] },
		{ sql: 'copy log (id) from stdin', input: '10\n', want: '42501', left: [] },
		{ sql: "copy log from stdin where tenant = 'acme'", input: mine + theirs, want: null, left: ['10'] },
		{ sql: "copy log from stdin where tenant = 'acme' or true", input: mine + theirs, want: '42501', left: [] },
		{ sql: "copy log from stdin where tenant = 'acme' -- ;", input: mine + theirs, want: null, left: ['10'] },
		{ sql: 'copy log from stdin where id > 10', input: mine + theirs, want: '42501', left: [] },
		{ sql: 'copy log from stdin where id < 11;', input: mine + theirs, want: null, left: ['10'] },
		{ sql: 'copy log from stdin; select 1 from log where id = 1', input: mine + theirs, want: '42501', left: [] },
		{ sql: 'copy log from stdin; select 1 from log', input: theirs, want: '42501', left: [] },
		{
			sql: 'copy log from stdin where id = 10; select 1 from log where id = 1;',
			input: mine + theirs,
			want: null,
			left: ['10'],
		},
		{ sql: 'select 1 from log where true; copy log from stdin', input: theirs, want: '42501', left: [] },
		{ sql: "copy log from stdin (format csv, delimiter ';')", input: '10;acme;x\n', want: null, left: ['10'] },
		{ sql: 'copy people (id, boss) from stdin', input: '', want: null, left: [] },
		{ sql: 'copy moved from stdin', input: '1\tacme\n', want: '42501', left: [] },
		// Its trigger is on UPDATE.
		{ sql: 'copy stamped from stdin', input: '1\tacme\n', want: null, left: [] },
		{ sql: 'copy stamped from stdin', input: '1\tglobex\n', want: '42501', left: [] },
		{ sql: 'copy teams from stdin', input: '', want: '42501', left: [] },
		{ sql: "copy notes from '/etc/passwd'", input: '', want: '42501', left: [] },
		{ sql: "copy notes from program 'cat'", input: '', want: '42501', left: [] },
	];
	test.each(rows)('$sql', async ({ sql, input, want, left }) => {
		const decision = await bench.decide(sql);
		if (decision.effect === 'deny') {
			expect(decision.error?.sqlstate).toBe(want);
			return;
		}
		await bench.client.query('begin');
		const { error } = await runCopy(bench.client, decision.rewritten, input);
		const at = decision.statements.findIndex((statement) => statement.node === 'CopyStmt');
		const told =
			error === null
				? null
				: bench.pipeline.clientFields(
						new Map([
							['C', error.sqlstate],
							['M', error.message],
						]),
						decision,
						at,
					);
		expect(told?.get('C') ?? null).toBe(want);
		if (error === null) {
			const { rows: found } = await bench.client.query<{ id: string }>(
				'select id::text from hr.log where id > 3 order by 1',
			);
			expect(found.map((row) => row.id)).toEqual(left);
		} else expect(told?.get('M')).toMatch(/^new row violates row filter "own_tenant"/);
		await bench.client.query('rollback');
	});

	test('columns are written that nobody named', async () => {
		const who = { name: 'cleo', roles: ['clerk'], groups: [], claims: {}, method: 'token' } as const;
		expect((await bench.decide('copy hr.partly from stdin', { who })).error?.message).toContain('hr.partly.id');
		expect((await bench.decide('copy hr.partly (open) from stdin', { who })).effect).toBe('allow');
	});
});
