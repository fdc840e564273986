/** Many clients of real drivers and programs on few server connections: pg, postgres.js, psql and pgbench in its three modes. */
import pg from 'pg';
import postgres from 'postgres';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createDatabase, startPostgres, type TestDatabase } from '../support/postgres.ts';
import { installation, runProgram, startToolGateway, TOOL_PASSWORD, type ToolGateway } from '../support/tools.ts';

const size = 3;
const programs = installation(['pgbench', 'psql']);

let database: TestDatabase;
let gateway: ToolGateway;

beforeAll(async () => {
	const server = await startPostgres();
	database = await createDatabase({
		server,
		setup: 'create table notes (id int generated always as identity, who text, word text)',
	});
	const { host, port, user } = server;
	gateway = await startToolGateway({
		users: { app: ['app'], other: ['app'] },
		databases: {
			pooled: {
				...{ host, port, user, dbname: database.database, password: { env: 'SECRET' } },
				pool: { mode: 'transaction', size },
			},
		},
		policy: 'p, role:app, pooled, *, allow\np, role:app, pooled.*.*, *, allow\np, role:app, pooled.*.*(*), *, allow\n',
		secrets: { SECRET: server.password },
		limits: { poolWaitMs: 30_000 },
	});
});

afterAll(async () => {
	await gateway?.stop();
	await database?.drop();
});

const target = (user = 'app') => ({
	host: '127.0.0.1',
	port: gateway.port,
	user,
	password: TOOL_PASSWORD,
	database: 'pooled',
});

async function connectionsOf(): Promise<number> {
	const [row] = await database.sql(
		`select count(*)::int as n from pg_stat_activity
			where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'`,
	);
	return Number((row as { n?: number } | undefined)?.n);
}

describe('many clients on few connections', () => {
	test('pg, with named statements and transactions', async () => {
		const clients = Array.from({ length: 24 }, (_, n) => new pg.Client(target(n % 2 === 0 ? 'app' : 'other')));
		await Promise.all(clients.map((client) => client.connect()));
		await Promise.all(
			clients.map(async (client, n) => {
				const user = n % 2 === 0 ? 'app' : 'other';
				for (let turn = 0; turn < 12; turn += 1) {
					const read = { name: `read ${turn % 4}`, text: `select $1::int + ${turn % 4} as sum`, values: [n] };
					expect((await client.query(read)).rows).toEqual([{ sum: n + (turn % 4) }]);
					const who = await client.query<{ who: string }>("select current_setting('portcullis.user') as who");
					expect(who.rows).toEqual([{ who: user }]);
					await client.query('begin');
					const text = 'insert into notes (who, word) values ($1, $2)';
					await client.query({ name: 'write', text, values: [`${n}`, `${turn}`] });
					await client.query(turn % 3 === 0 ? 'rollback' : 'commit');
				}
			}),
		);
		expect(await connectionsOf()).toBeLessThanOrEqual(size + 1);
		const rows = await database.sql('select count(*)::int as n from notes');
		expect(rows).toEqual([{ n: 24 * 8 }]);
		await Promise.all(clients.map((client) => client.end()));
	});

	test('postgres.js', async () => {
		const sql = postgres({ ...target(), max: 12 });
		const sums = await Promise.all(
			Array.from({ length: 100 }, (_, n) =>
				n % 5 === 0
					? sql.begin(async (own) => (await own<{ v: number }[]>`select ${n}::int as v`)[0]?.v)
					: sql<{ v: number }[]>`select ${n}::int as v, ${'x'.repeat(n)}::text as pad`.then((rows) => rows[0]?.v),
			),
		);
		expect(sums).toEqual(Array.from({ length: 100 }, (_, n) => n));
		await sql.end();
	});

	test.skipIf(programs === null)('psql', async () => {
		const { port } = gateway;
		const env = { PGPASSWORD: TOOL_PASSWORD, PGOPTIONS: '-c timezone=Asia/Tokyo' };
		const input = `\\d notes
show timezone;
create temp table mine as select 1 as a;
select a from mine;
begin; declare c cursor for select generate_series(1, 5); fetch 2 from c; commit;
\\copy (select 1) to stdout
`;
		const args = [
			'-X',
			'-h',
			'127.0.0.1',
			'-p',
			String(port),
			'-U',
			'app',
			'-d',
			'pooled',
			'-At',
			'-v',
			'ON_ERROR_STOP=0',
		];
		const { stdout, status } = await runProgram(`${programs?.bin}/psql`, args, { env, input });
		expect(status).toBe(0);
		expect(stdout).toContain('Asia/Tokyo');
		expect(stdout.split('\n')).toEqual(expect.arrayContaining(['1', 'COMMIT']));
	});

	describe.skipIf(programs === null)('pgbench', () => {
		const env = { PGPASSWORD: TOOL_PASSWORD };
		const at = (): string[] => ['-h', '127.0.0.1', '-p', String(gateway.port), '-U', 'app'];

		beforeAll(async () => {
			const ended = await runProgram(`${programs?.bin}/pgbench`, [...at(), '-i', '-q', 'pooled'], { env });
			expect(ended).toMatchObject({ status: 0 });
		});

		test.each(['simple', 'extended', 'prepared'])('%s', async (mode) => {
			const before = await database.sql('select sum(delta)::int as sum, count(*)::int as n from pgbench_history');
			// A thread for each client: pgbench waits in the one that prepares, while others of its thread hold transactions.
			const run = ['-M', mode, '-n', '-c', '12', '-j', '12', '-t', '25', 'pooled'];
			const ended = await runProgram(`${programs?.bin}/pgbench`, [...at(), ...run], { env });
			expect(ended).toMatchObject({ status: 0 });
			expect(ended.stdout).toContain('number of transactions actually processed: 300/300');
			const [history] = (await database.sql(
				'select coalesce(sum(delta), 0)::int as sum, count(*)::int as n from pgbench_history',
			)) as { sum: number; n: number }[];
			expect((history?.n ?? 0) - Number((before[0] as { n?: number }).n)).toBe(300);
			for (const [table, column] of [
				['accounts', 'abalance'],
				['tellers', 'tbalance'],
				['branches', 'bbalance'],
			]) {
				const rows = await database.sql(`select sum(${column})::int as sum from pgbench_${table}`);
				expect(rows).toEqual([{ sum: history?.sum }]);
			}
			expect(await connectionsOf()).toBeLessThanOrEqual(size + 1);
		});
	});
});
