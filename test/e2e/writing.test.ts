/** Writing through the whole gateway: what a rule allows, for the rows that a filter shows, and COPY and transactions. */
import { text } from 'node:stream/consumers';
import type pg from 'pg';
import postgres from 'postgres';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { hasPsql, psql } from '../support/psql.ts';

let gateway: TestGateway;
let app: pg.Client;
let ben: pg.Client;
beforeAll(async () => {
	gateway = await startGateway();
	app = await gateway.connect('app');
	ben = await gateway.connect('ben');
});
afterAll(async () => {
	await Promise.all([app?.end(), ben?.end()]);
	await gateway?.stop();
});

/** Each in a transaction of its own that is rolled back. */
const TABLE: readonly { name: string; sql: string; values?: unknown[]; want: string }[] = [
	{
		name: 'INSERT for the own tenant',
		sql: "insert into sales.orders (tenant, customer_id) values ('acme', 3)",
		want: 'INSERT 1',
	},
	{
		name: 'INSERT with parameters and RETURNING',
		sql: 'insert into sales.orders (tenant, customer_id, note) values ($1, $2, $3) returning tenant, note',
		values: ['acme', 3, "it's"],
		want: "INSERT 1: acme|it's",
	},
	{
		name: 'INSERT for another tenant',
		sql: "insert into sales.orders (tenant, customer_id) values ('globex', 8)",
		want: '42501 new row violates row filter "own_tenant" for table "orders"',
	},
	{
		name: 'INSERT ... SELECT reads filtered rows',
		sql: 'insert into sales.orders (tenant, customer_id) select tenant, id from sales.customers where id < 10',
		want: 'INSERT 6',
	},
	{ name: 'UPDATE of rows that are there', sql: "update sales.orders set note = 'x' where id = 1", want: 'UPDATE 1' },
	{
		name: 'UPDATE of rows that are not',
		sql: "update sales.orders set note = 'x' where tenant = 'globex'",
		want: 'UPDATE 0',
	},
	{
		name: 'UPDATE that moves a row out of sight',
		sql: "update sales.orders set tenant = 'globex' where id = 1",
		want: '42501 new row violates row filter "own_tenant" for table "orders"',
	},
	{
		name: 'UPDATE of a column with a deny',
		sql: 'update sales.orders set id = 1 where id = 1',
		want: '42501 permission denied for column sales.orders.id',
	},
	{ name: 'DELETE', sql: "delete from sales.orders where id between 1 and 10 and status = 'new'", want: 'DELETE 2' },
	{
		name: 'no rule',
		sql: "insert into hr.departments values (9, 'X', 'Y', 1)",
		want: '42501 permission denied for relation hr.departments',
	},
	{
		name: 'a constraint',
		sql: "insert into sales.orders (tenant, customer_id, status) values ('acme', 3, 'lost')",
		want: '23514 ',
	},
	{ name: 'TRUNCATE has no rule', sql: 'truncate sales.orders cascade', want: '42501 ' },
	{ name: 'DDL has no rule', sql: 'create table sales.mine (a int)', want: '42501 ' },
	{ name: 'what reads the server is denied by name', sql: "copy sales.products to program 'cat'", want: '42501 ' },
];

describe('INSERT, UPDATE, DELETE', () => {
	for (const { name, sql, values, want } of TABLE) {
		for (const protocol of ['simple', 'extended'] as const) {
			if (values !== undefined && protocol === 'simple') continue;
			test(`${name} (${protocol})`, async () => {
				await app.query('begin');
				const query = { text: sql, rowMode: 'array' as const, ...(values ? { values } : {}) };
				const run = app.query(protocol === 'simple' ? query : { ...query, name: `${name} of ${sql.length}` });
				const got = await run.then(
					({ command, rowCount, rows }) =>
						`${command} ${rowCount ?? 0}${rows.length === 0 ? '' : `: ${(rows as unknown[][]).map((row) => row.join('|')).join()}`}`,
					(error: pg.DatabaseError) => `${error.code} ${error.message}`,
				);
				await app.query('rollback');
				if (/^\d/.test(want)) expect(got.slice(0, want.length)).toBe(want);
				else expect(got).toBe(want);
			});
		}
	}
});

describe('what is written is what the database has', () => {
	test('a committed write, and its audit record with the outcome', async () => {
		const { rows } = await app.query<{ id: number }>(
			"insert into sales.orders (tenant, customer_id, note) values ('acme', 3, 'kept') returning id",
		);
		const id = rows[0]?.id ?? 0;
		expect(await gateway.backend.sql(`select tenant, note from sales.orders where id = ${id}`)).toEqual([
			{ tenant: 'acme', note: 'kept' },
		]);
		const records = await gateway.audit();
		const statement = records.findLast((record) => JSON.stringify(record).includes("'kept'")) as {
			metadata: { uid: string };
		};
		expect(statement).toMatchObject({ metadata: { event_code: 'statement' }, actor: { user: { name: 'app' } } });
		await expect
			.poll(async () =>
				(await gateway.audit()).find(
					(record) => (record['metadata'] as { correlation_uid?: string }).correlation_uid === statement.metadata.uid,
				),
			)
			.toMatchObject({ metadata: { event_code: 'outcome' }, unmapped: { rows: 1, ended: 'success' } });
	});

	test('a denial inside a transaction fails the transaction', async () => {
		const client = await gateway.connect('app');
		await client.query('begin');
		await client.query("insert into sales.orders (tenant, customer_id, note) values ('acme', 3, 'rolled back')");
		await expect(client.query('select * from hr.employees')).rejects.toMatchObject({ code: '42501' });
		await expect(client.query('select 1')).rejects.toMatchObject({ code: '25P02' });
		expect((await client.query('commit')).command).toBe('ROLLBACK');
		await client.end();
		expect(await gateway.backend.sql("select from sales.orders where note = 'rolled back'")).toEqual([]);
	});

	test('an error on a protected table says nothing of its rows', async () => {
		const failing = "insert into sales.orders (tenant, customer_id, status) values ('acme', 3, 'lost')";
		const error: unknown = await app.query(failing).catch((reason: unknown) => reason);
		expect(error).toMatchObject({ code: '23514', detail: undefined });
		const direct: unknown = await gateway.backend.sql(failing).catch((reason: unknown) => reason);
		expect(direct).toMatchObject({ code: '23514', detail: expect.stringContaining('Failing row contains') });
	});

	test('savepoints, SET and SHOW', async () => {
		await app.query('begin; savepoint s');
		await app.query("set local statement_timeout = '7s'");
		expect((await app.query<{ statement_timeout: string }>('show statement_timeout')).rows).toEqual([
			{ statement_timeout: '7s' },
		]);
		await app.query('rollback to s; commit');
		await expect(app.query("set session_replication_role = 'replica'")).rejects.toMatchObject({ code: '42501' });
	});
});

describe('COPY', () => {
	const connect = async (who: string): Promise<postgres.Sql> => {
		const { host, port, user, password, database } = await gateway.credentials(who);
		return postgres({ host, port, user, password, database, max: 1, fetch_types: false });
	};

	test('to the client: masked and filtered', async () => {
		const sql = await connect('ben');
		const query = 'copy (select id, ssn, salary from hr.employees order by id limit 2) to stdout';
		expect(await text(await sql.unsafe(query).readable())).toBe('1\tXXX-XX-7907\t\\N\n4\tXXX-XX-1628\t\\N\n');
		expect((await text(await sql.unsafe('copy hr.employees to stdout').readable())).match(/\n/g)).toHaveLength(285);
		await sql.end();
	});

	test('from the client, where no filter stands in the way', async () => {
		const sql = await connect('app');
		const order = await sql.unsafe("insert into sales.orders (tenant, customer_id) values ('acme', 3) returning id");
		const id = Number(order[0]?.['id']);
		const sink = await sql
			.unsafe('copy sales.order_items (order_id, line, product_id, quantity, price) from stdin')
			.writable();
		await new Promise<void>((resolve, reject) => {
			sink.once('error', reject);
			sink.once('finish', resolve);
			sink.write(`${id}\t1\t2\t3\t4.50\n`);
			sink.end(`${id}\t2\t3\t1\t9.00\n`);
		});
		await sql.end();
		expect(await gateway.backend.sql(`select sum(amount) from sales.order_items where order_id = ${id}`)).toEqual([
			{ sum: '22.50' },
		]);
	});

	test('without a rule', async () => {
		await expect(ben.query('copy sales.orders from stdin')).rejects.toMatchObject({ code: '42501' });
		await expect(ben.query('copy hr.secrets to stdout')).rejects.toMatchObject({ code: '42501' });
	});

	test.skipIf(!hasPsql())('\\copy of psql, out and in', async () => {
		const script = `\\copy (select ssn from hr.employees order by id limit 1) to stdout\n`;
		expect(await psql(await gateway.credentials('ben'), script)).toMatchObject({ status: 0, stdout: 'XXX-XX-7907\n' });
	});
});

test('what is refused in a failed transaction is answered as anything is there', async () => {
	const refused = ['select * from nothing_there', 'table hr.secrets', 'create role joe', 'select pg_read_file($1)'];
	for (const sql of [...refused, 'select 1 frm x y']) {
		await ben.query('begin');
		try {
			await expect(ben.query('select 1 / 0')).rejects.toMatchObject({ code: '22012' });
			const values = sql.includes('$1') ? ['x'] : undefined;
			const error: unknown = await ben.query(sql, values).catch((reason: unknown) => reason);
			expect(error).toMatchObject({ code: refused.includes(sql) ? '25P02' : '42601' });
		} finally {
			await ben.query('rollback');
		}
	}
	await expect(ben.query('table hr.secrets')).rejects.toMatchObject({ code: '42501' });
});
