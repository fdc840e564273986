/** The gateway's own database through the whole gateway: psql, pg and postgres.js, who may do what, and what is recorded. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type pg from 'pg';
import postgres from 'postgres';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { hasPsql, psql } from '../support/psql.ts';

const CONSOLE = { database: 'portcullis' };

let gateway: TestGateway;
beforeAll(async () => {
	const policy = await readFile(fileURLToPath(new URL('../../policies/policy.csv', import.meta.url)), 'utf8');
	gateway = await startGateway({
		policies: {
			'policy.csv': `${policy}
p, *, *, connect, allow
p, user:ana, portcullis, connect, allow
p, user:ana, portcullis, alter, allow
p, user:ben, portcullis, connect, allow
`,
		},
	});
});
afterAll(() => gateway?.stop());

let operator: pg.Client | null = null;
/** Ana on the console, connected once for each test that asks. */
async function console(): Promise<pg.Client> {
	operator ??= await gateway.connect('ana', CONSOLE);
	return operator;
}
afterEach(async () => {
	await operator?.query('RESUME');
	await operator?.query('ENABLE shop');
	await operator?.end();
	operator = null;
});

/** SQLSTATE of what `act` rejects with; 'ok' when it does not. */
async function code(act: Promise<unknown>): Promise<unknown> {
	return act.then(
		() => 'ok',
		(error: { code?: unknown }) => error.code,
	);
}

describe('reachable', () => {
	test('by pg, simple and extended, text and binary', async () => {
		const client = await gateway.connect('ana', CONSOLE);
		try {
			const simple = await client.query('SHOW DATABASES');
			expect(simple.rows).toEqual([
				expect.objectContaining({ name: 'shop', pool_size: 20, paused: 0, disabled: 0, pool_mode: 'session' }),
			]);
			const extended = await client.query({ name: 'named', text: 'show stats' });
			expect(extended.rows.map((row: { database: string }) => row.database)).toEqual(['shop', 'portcullis']);
			const binary = await client.query({ text: 'show pools', binary: true } as pg.QueryConfig);
			expect(binary.rows[0]).toMatchObject({ database: 'shop', cl_active: 0, maxwait: 0 });
			const several = (await client.query('SHOW VERSION; SHOW HELP;')) as unknown as pg.QueryResult[];
			expect(several.map(({ rows }) => rows.length)).toEqual([1, 18]);
		} finally {
			await client.end();
		}
	});

	test('by postgres.js with its defaults', async () => {
		const { host, port, user, password } = await gateway.credentials('ana');
		const sql = postgres({ host, port, user, password, database: 'portcullis', max: 1, onnotice: () => undefined });
		try {
			const [row] = await sql`show version`;
			expect(row?.['version']).toMatch(/^Portcullis \d/);
			expect((await sql`show clients`).map((client) => client['database'])).toContain('portcullis');
			await expect(sql`show nonsense`).rejects.toMatchObject({ code: '42704' });
			expect((await sql`select 1`)[0]).toEqual({ '?column?': 1 });
		} finally {
			await sql.end();
		}
	});

	test.skipIf(!hasPsql())('by psql', async () => {
		const target = { ...(await gateway.credentials('ana')), ...CONSOLE };
		const shown = await psql(target, 'show version;\nshow databases;\nnonsense;\n\\conninfo\n');
		expect(shown.stdout).toMatch(/^Portcullis \d/);
		expect(shown.stdout).toMatch(/^shop\|/m);
		expect(shown.stdout).toMatch(/connected to database "portcullis"/);
		expect(shown.stderr).toMatch(
			/ERROR: {2}syntax error at or near "nonsense"\nLINE 1: nonsense;\n {8}\^\nHINT: {2}SHOW HELP/,
		);
	});
});

describe('who may do what', () => {
	test('a rule has to name the console: a wildcard in its place lets nobody in', async () => {
		expect(await code(gateway.connect('app', CONSOLE))).toBe('42501');
	});

	test('connect is enough to look, and not to act', async () => {
		const ben = await gateway.connect('ben', CONSOLE);
		try {
			expect((await ben.query('SHOW POOLS')).rows).toHaveLength(1);
			for (const command of ['PAUSE', 'RESUME shop', 'KILL', 'DISABLE shop', 'ENABLE shop', 'RELOAD', 'KILL_CLIENT x'])
				expect([command, await code(ben.query(command))]).toEqual([command, '42501']);
			const error = await ben.query('pause').catch((thrown: unknown) => thrown);
			expect(error).toMatchObject({
				message: 'permission denied for PAUSE on the console',
				detail: 'No rule of the policy names portcullis and allows alter.',
			});
			// What is refused refuses all that was sent with it.
			expect(await code(ben.query('SHOW POOLS; PAUSE; SHOW CLIENTS'))).toBe('42501');
		} finally {
			await ben.end();
		}
		const [row] = (await (await console()).query('SHOW DATABASES')).rows as { paused: number }[];
		expect(row?.paused).toBe(0);
	});

	test('every command is on record before it is done, what is refused too', async () => {
		const ana = await console();
		await ana.query('PAUSE shop');
		await ana.query('RESUME shop');
		await code(ana.query('SHUTDOWN'));
		const records = (await gateway.audit()).filter(
			(record) => (record['database'] as { name?: string } | undefined)?.name === 'portcullis',
		);
		const seen = records.flatMap((record) => {
			const query = (record['query_info'] as { query_string?: string } | undefined)?.query_string;
			return query === undefined ? [] : [`${String(record['action'])} ${query}`];
		});
		expect(seen).toEqual(
			expect.arrayContaining(['Allowed PAUSE shop', 'Allowed RESUME shop', 'Denied SHUTDOWN', 'Denied pause']),
		);
		const pause = records.find((record) => JSON.stringify(record).includes('"query_string":"PAUSE shop"'));
		expect(JSON.stringify(pause)).toContain('portcullis, alter, allow');
		expect(pause).toMatchObject({ actor: { user: { name: 'ana' } } });
	});
});

describe('what operators do', () => {
	test('PAUSE lets new clients wait and leaves others alone; RESUME lets them in', async () => {
		const ana = await console();
		const before = await gateway.connect('ben');
		const notices: string[] = [];
		ana.on('notice', ({ message }) => notices.push(message ?? ''));
		await ana.query('PAUSE shop NOWAIT');
		expect(notices).toEqual(['1 session has a server connection, and keeps it until it is done']);
		expect((await before.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
		const waits = gateway.connect('ben');
		await expect
			.poll(async () => (await ana.query('SHOW POOLS')).rows[0] as unknown)
			.toMatchObject({ cl_active: 1, cl_waiting: 1 });
		await ana.query('RESUME');
		const after = await waits;
		expect((await after.query('select 2 as two')).rows).toEqual([{ two: 2 }]);
		await Promise.all([before.end(), after.end()]);
	});

	test('KILL ends every session of the database, and pauses it', async () => {
		const ana = await console();
		const victims = await Promise.all([gateway.connect('ben'), gateway.connect('app')]);
		const ends = victims.map(
			(client) =>
				new Promise((resolve) => {
					client.on('error', (error) => resolve((error as pg.DatabaseError).code));
				}),
		);
		await ana.query('KILL shop');
		expect(await Promise.all(ends)).toEqual(['57P01', '57P01']);
		const [row] = (await ana.query('SHOW DATABASES')).rows as object[];
		expect(row).toMatchObject({ paused: 1, current_client_connections: 0 });
		expect((await ana.query('SHOW CLIENTS')).rows).toHaveLength(1);
	});

	test('KILL_CLIENT ends one session', async () => {
		const ana = await console();
		const [ben, app] = [await gateway.connect('ben'), await gateway.connect('app')];
		const clients = (await ana.query('SHOW CLIENTS')).rows as { user: string; id: string }[];
		const id = clients.find(({ user }) => user === 'ben')?.id ?? '';
		const ended = new Promise((resolve) => {
			ben.on('error', (error) => resolve((error as pg.DatabaseError).code));
		});
		await ana.query(`KILL_CLIENT '${id}'`);
		expect(await ended).toBe('57P01');
		expect((await app.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
		expect(await code(ana.query(`KILL_CLIENT '${id}'`))).toBe('22023');
		await app.end();
	});

	test('DISABLE refuses new sessions, ENABLE takes them again', async () => {
		const ana = await console();
		const before = await gateway.connect('ben');
		await ana.query('DISABLE shop');
		expect(await code(gateway.connect('ben'))).toBe('55000');
		expect((await before.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
		await ana.query('ENABLE shop');
		const after = await gateway.connect('ben');
		await Promise.all([before.end(), after.end()]);
	});

	test('RELOAD reads the policy again and says what came of it', async () => {
		const ana = await console();
		const notices: string[] = [];
		ana.on('notice', ({ message }) => notices.push(message ?? ''));
		await ana.query('RELOAD');
		expect(notices).toEqual([expect.stringMatching(/^policy [0-9a-f]{16} is unchanged$/)]);
		const file = join(gateway.folder, 'policies', 'policy.csv');
		const good = await readFile(file, 'utf8');
		await writeFile(file, `${good}\nnonsense\n`);
		const error = await ana.query('RELOAD').catch((thrown: unknown) => thrown);
		expect(error).toMatchObject({ code: 'F0000', detail: expect.stringMatching(/policy\.csv:\d+/) as string });
		// Ana's right to act goes with the next policy, in the session that she has.
		await writeFile(file, good.replace('p, user:ana, portcullis, alter, allow', ''));
		await ana.query('RELOAD');
		expect(await code(ana.query('RELOAD'))).toBe('42501');
		await writeFile(file, good);
		await gateway.gateway.reload();
	});

	test('a database that there is not, and a command that there is not', async () => {
		const ana = await console();
		expect(await code(ana.query('PAUSE nowhere'))).toBe('3D000');
		expect(await code(ana.query('SHUTDOWN'))).toBe('42601');
		expect(await code(ana.query('select * from pg_class'))).toBe('42601');
	});

	test('SHOW CONFIG shows every key and no secret', async () => {
		const rows = (await (await console()).query('SHOW CONFIG')).rows as { key: string; value: string }[];
		const values = new Map(rows.map(({ key, value }) => [key, value]));
		expect(values.get('databases.shop.password')).toBe('[redacted]');
		expect(values.get('identity.users[0].password')).toBe('[redacted]');
		expect(values.get('limits.poolWaitMs')).toBe('5000');
		expect(JSON.stringify(rows)).not.toMatch(/gateway-password|SCRAM-SHA-256/);
	});

	test('SHOW SERVERS names the backend of each session, SHOW READINESS says why not', async () => {
		const ben = await gateway.connect('ben', { application_name: 'report' });
		const pid = ((await ben.query('select pg_backend_pid() as pid')).rows[0] as { pid: number }).pid;
		const ana = await console();
		expect((await ana.query('SHOW SERVERS')).rows).toEqual([
			expect.objectContaining({ user: 'gateway', database: 'shop', remote_pid: pid, application_name: 'report' }),
		]);
		expect((await ana.query('SHOW READINESS')).rows).toEqual([
			{ check: 'draining', ok: 1, reason: '' },
			{ check: 'audit', ok: 1, reason: '' },
			{ check: 'catalogue shop', ok: 1, reason: '' },
		]);
		await ben.end();
	});
});
