/** Reading through the whole gateway with real clients: allow, deny, mask, filter, hidden columns, default deny. */
import pg from 'pg';
import postgres from 'postgres';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { hasPsql, psql } from '../support/psql.ts';

let gateway: TestGateway;
beforeAll(async () => {
	gateway = await startGateway();
});
afterAll(() => gateway.stop());

/** Rows as text, one string a row, or the SQLSTATE and the beginning of the message. */
type Want = { readonly rows: readonly string[] } | { readonly error: RegExp };

interface Row {
	readonly name: string;
	readonly who: 'ben' | 'gita' | 'ana' | 'mallory' | 'app';
	readonly sql: string;
	readonly want: Want;
}

const denied = (what: string): Want => ({ error: new RegExp(`^42501 permission denied for relation ${what}`) });

const TABLE: readonly Row[] = [
	{
		name: 'a mask and a row filter',
		who: 'ben',
		sql: 'select id, name, ssn, salary from hr.employees order by id limit 2',
		want: { rows: ['1|Hiro Larsen|XXX-XX-7907|', '4|Cyrus Haddad|XXX-XX-1628|'] },
	},
	{
		name: 'the same for another tenant',
		who: 'gita',
		sql: 'select id, name, ssn, salary from hr.employees order by id limit 2',
		want: { rows: ['2|Oscar Weber|XXX-XX-5814|', '3|Victor Hughes|XXX-XX-3721|'] },
	},
	{
		name: 'unmask and unfilter',
		who: 'ana',
		sql: 'select id, name, ssn, salary from hr.employees order by id limit 2',
		want: { rows: ['1|Hiro Larsen|937-54-7907|162500.00', '2|Oscar Weber|974-08-5814|139900.00'] },
	},
	{
		name: 'a mask with a column of its own type, a domain',
		who: 'ben',
		sql: 'select email, birth_date from hr.employees where id = 1',
		want: { rows: ['h***@acme.example|1975-01-01'] },
	},
	{
		name: 'masked values are what WHERE sees',
		who: 'ben',
		sql: "select count(*) from hr.employees where ssn = '937-54-7907' or salary > 0",
		want: { rows: ['0'] },
	},
	{
		name: 'and what it sees can be found',
		who: 'ben',
		sql: "select name from hr.employees where ssn = 'XXX-XX-7907'",
		want: { rows: ['Hiro Larsen'] },
	},
	{
		name: 'filters hold in aggregates',
		who: 'ben',
		sql: 'select count(*), count(salary) from hr.employees',
		want: { rows: ['285|0'] },
	},
	{
		name: 'filters hold in joins, subqueries, CTEs and set operations',
		who: 'gita',
		sql: `with e as (select * from hr.employees)
			select count(*) from e join hr.departments d on d.id = e.department_id where e.id in (select id from hr.employees)
			union all select count(*) from (select tenant from hr.employees union select 'acme' where false) t`,
		want: { rows: ['195', '1'] },
	},
	{ name: 'a view over them', who: 'ben', sql: 'select count(*) from hr.employee_directory', want: { rows: ['285'] } },
	{
		name: 'a view that aggregates a masked column',
		who: 'ben',
		sql: 'select tenant, sum(employees), max(average_salary) from department_sizes group by 1',
		want: { rows: ['acme|285|'] },
	},
	{
		name: 'a materialized view with a filter of its own',
		who: 'ben',
		sql: 'select distinct tenant from sales.monthly_revenue',
		want: { rows: ['acme'] },
	},
	{
		name: 'a partitioned table',
		who: 'ben',
		sql: 'select count(distinct tenant), count(iban) from sales.payments',
		want: { rows: ['1|0'] },
	},
	{
		name: 'a hidden column does not exist',
		who: 'ben',
		sql: 'select photo from hr.employees',
		want: { error: /^42703 column "photo" does not exist/ },
	},
	{
		name: 'nor is it in the whole row',
		who: 'ben',
		sql: "select (to_jsonb(e) ? 'photo') as photo, to_jsonb(e) ->> 'ssn' as ssn from hr.employees e where id = 1",
		want: { rows: ['f|XXX-XX-7907'] },
	},
	{
		name: 'a denied table names its rule',
		who: 'ben',
		sql: 'select * from hr.secrets',
		want: { error: /^42501 .*policy\.csv:\d+/ },
	},
	{ name: 'default deny', who: 'app', sql: 'select * from hr.employees', want: denied('hr.employees') },
	{
		name: 'default deny for who has no role',
		who: 'mallory',
		sql: 'select 1 from hr.departments',
		want: denied('hr.departments'),
	},
	{
		name: 'harmless built-ins need no rule',
		who: 'mallory',
		sql: "select upper('a') || 1, 1 + 1",
		want: { rows: ['A1|2'] },
	},
	{
		name: 'the catalogue needs no rule',
		who: 'mallory',
		sql: "select count(*) from information_schema.tables where table_schema = 'hr' and table_name = 'none'",
		want: { rows: ['0'] },
	},
	{ name: 'an allowed function', who: 'ben', sql: 'select headcount()', want: { rows: ['480'] } },
	{
		name: 'a function without a rule',
		who: 'app',
		sql: 'select headcount()',
		want: { error: /^42501 .*headcount\(\)/ },
	},
	{
		name: 'a function that writes',
		who: 'ben',
		sql: 'select raise_salary(1, 10)',
		want: { error: /^42501 .*raise_salary/ },
	},
	{
		name: 'a harmful built-in',
		who: 'ana',
		sql: "select pg_read_file('/etc/passwd')",
		want: { error: /^42501 .*pg_read_file/ },
	},
	{
		name: 'a syntax error',
		who: 'ben',
		sql: 'select from where',
		want: { error: /^42601 syntax error at or near "where"/ },
	},
	{
		name: 'no such table',
		who: 'ben',
		sql: 'select * from hr.nothing',
		want: { error: /^42P01 relation "hr.nothing" does not exist/ },
	},
	{ name: 'what is not built', who: 'ben', sql: 'vacuum hr.employees', want: { error: /^(42501|0A000) / } },
];

function check(want: Want, got: { rows: string[] } | { error: string }): void {
	if ('rows' in want) expect(got).toEqual({ rows: want.rows });
	else expect('error' in got ? got.error : `rows: ${got.rows.join()}`).toMatch(want.error);
}

const TEXT = { getTypeParser: () => (value: string) => value };

describe('pg, simple protocol', () => {
	for (const { name, who, sql, want } of TABLE) {
		test(`${name} (${who})`, async () => {
			const client = await gateway.connect(who, { types: TEXT });
			try {
				check(want, await viaPg(() => client.query<(string | null)[]>({ text: sql, rowMode: 'array' })));
			} finally {
				await client.end();
			}
		});
	}
});

describe('pg, extended protocol', () => {
	for (const { name, who, sql, want } of TABLE) {
		test(`${name} (${who})`, async () => {
			const client = await gateway.connect(who, { types: TEXT });
			try {
				// A name makes pg use Parse, Bind and Execute.
				const query = { name: 'q', text: sql, rowMode: 'array' as const };
				check(want, await viaPg(() => client.query<(string | null)[]>(query)));
			} finally {
				await client.end();
			}
		});
	}
});

async function viaPg(
	query: () => Promise<pg.QueryArrayResult<(string | null)[]>>,
): Promise<{ rows: string[] } | { error: string }> {
	try {
		return { rows: (await query()).rows.map((row) => row.map((value) => value ?? '').join('|')) };
	} catch (error) {
		if (!(error instanceof pg.DatabaseError)) throw error;
		return { error: `${error.code} ${error.message}` };
	}
}

describe('postgres.js', () => {
	for (const { name, who, sql, want } of TABLE) {
		test(`${name} (${who})`, async () => {
			const { host, port, user, password, database } = await gateway.credentials(who);
			const client = postgres({ host, port, user, password, database, max: 1, fetch_types: false });
			try {
				const rows = await client.unsafe(sql, [], { prepare: true }).values();
				check(want, { rows: rows.map((row) => row.map(asText).join('|')) });
			} catch (error) {
				if (!(error instanceof postgres.PostgresError)) throw error;
				check(want, { error: `${error.code} ${error.message}` });
			} finally {
				await client.end({ timeout: 1 });
			}
		});
	}
});

/** postgres.js decodes values by their type; back to what the server writes. */
function asText(value: unknown): string {
	if (value === null) return '';
	if (typeof value === 'boolean') return value ? 't' : 'f';
	if (value instanceof Date) return value.toISOString().slice(0, 10);
	return String(value);
}

describe.skipIf(!hasPsql())('psql', () => {
	for (const { name, who, sql, want } of TABLE) {
		test(`${name} (${who})`, async () => {
			const { status, stdout, stderr } = await psql(await gateway.credentials(who), `${sql};\n`, [
				'-A',
				'-t',
				'-v',
				'VERBOSITY=verbose',
			]);
			const error = /ERROR: {2}(\w{5}): (.*)/.exec(stderr);
			if (error) check(want, { error: `${error[1]} ${error[2]}` });
			else check(want, { rows: stdout === '' ? [] : stdout.trimEnd().split('\n') });
			expect(status).toBe(0);
		});
	}
});
