/** Migrations in one transaction: functions that only it sees are called and put behind triggers, and its schemas are searched, under the same rules as any. */
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startGateway, type TestGateway } from '../support/gateway.ts';

const RULES = `
p, *, shop, connect, allow
p, role:writer, shop, do, allow
p, role:writer, shop, create, allow
p, role:writer, shop.fresh.*, *, allow
p, role:writer, shop.public.*, *, allow
p, role:writer, shop.sales.*, *, allow
p, role:writer, shop.sales.fresh_*(*), *, allow
p, role:writer, shop.hr.employees.ssn, select, mask, nothing
`;

let gateway: TestGateway;
let client: pg.Client;
beforeAll(async () => {
	gateway = await startGateway({
		policies: { 'policy.csv': RULES, 'masks.yaml': 'masks:\n  nothing: "null"\n' },
		setup: `grant create on schema sales to public; grant all on sales.orders to public;
			do $$ begin execute format('grant create on database %I to public', current_database()); end $$`,
	});
	client = await gateway.connect('app');
});
afterAll(async () => {
	await client?.end();
	await gateway?.stop();
});

/** Runs the statements in a transaction that is rolled back; gives the first cell of the last one, or its error. */
async function transaction(statements: readonly string[], values?: readonly unknown[]): Promise<unknown> {
	await client.query('begin');
	try {
		for (const sql of statements.slice(0, -1)) await client.query(sql);
		const last = statements.at(-1) ?? '';
		const { rows } = await client.query({ text: last, rowMode: 'array', ...(values ? { values: [...values] } : {}) });
		return (rows as unknown[][])[0]?.[0];
	} catch (error) {
		const { code, message } = error as { code?: string; message: string };
		return `${code} ${message}`;
	} finally {
		await client.query('rollback');
	}
}

const MADE = `create function sales.fresh_one(a int) returns int language sql as 'select a + 1'`;

describe('a function of the transaction', () => {
	test('is called, simple and extended', async () => {
		expect(await transaction([MADE, 'select sales.fresh_one(1)'])).toBe(2);
		expect(await transaction([MADE, 'select sales.fresh_one($1::int)'], [41])).toBe(42);
		expect(await transaction([MADE, 'select sales.fresh_one(sales.fresh_one(1))'])).toBe(3);
	});

	test('stands behind a trigger', async () => {
		const trigger = `create function sales.fresh_trigger() returns trigger language plpgsql
			as $$ begin new.note := 'seen'; return new; end $$`;
		const made = 'create trigger t before insert on sales.orders for each row execute function sales.fresh_trigger()';
		const insert = "insert into sales.orders (tenant, customer_id) values ('acme', 3) returning note";
		expect(await transaction([trigger, made, insert])).toBe('seen');
	});

	test('needs its rule like any other', async () => {
		const other = `create function sales.other_one(a int) returns int language sql as 'select 1'`;
		expect(await transaction([`do $do$ begin ${other}; end $do$`, 'select sales.other_one(1)'])).toMatch(
			/^42501 permission denied for function sales\.other_one\(integer\)/,
		);
	});

	test('is gone with it', async () => {
		expect(await transaction([MADE, 'select sales.fresh_one(1)'])).toBe(2);
		expect(await transaction(['select sales.fresh_one(1)'])).toMatch(/^42883 /);
		expect(await transaction([MADE, 'select sales.fresh_one(1, 2)'])).toMatch(/^42883 /);
	});
});

describe('a schema of the transaction', () => {
	const steps = [
		'create schema fresh',
		'set local search_path = fresh, sales',
		'create table t (id serial, tenant text)',
	];

	test('is searched, and holds what is made', async () => {
		const insert = "insert into t (tenant) select tenant from orders where tenant = 'acme' limit 1 returning tenant";
		expect(await transaction([...steps, insert])).toBe('acme');
		expect(await transaction([...steps, 'select id from fresh.t union all select 5'])).toBe(5);
	});

	test('needs its rule like any other', async () => {
		const others = ['create schema other', ...steps.slice(1).map((sql) => sql.replace('fresh', 'other'))];
		expect(await transaction(others)).toMatch(/^42501 permission denied for relation other\.t/);
	});

	test('is gone with it', async () => {
		await transaction(steps);
		const where = "select schemaname from pg_tables where tablename = 't'";
		expect(await transaction([...steps.slice(1), where])).toBe('sales');
	});
});
