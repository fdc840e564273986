/** LISTEN in transaction pooling through the whole gateway: drivers and psql, the policy, operators, audit, and the end. */
import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import postgres from 'postgres';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { createDatabase, startPostgres, type TestDatabase } from '../support/postgres.ts';
import { hasPsql, psql } from '../support/psql.ts';
import { eventually } from '../support/time.ts';
import { startToolGateway, TOOL_PASSWORD, type ToolGateway } from '../support/tools.ts';

const POLICY = `p, role:app, *, *, allow
p, role:app, *.*.*, *, allow
p, role:app, *.*.*(*), *, allow
p, user:reader, pooled, connect, allow
p, user:reader, pooled, listen, allow
p, user:deaf, pooled, connect, allow
p, role:special, roles, connect, allow
p, role:special, roles, listen, allow
p, role:app, portcullis, connect, allow
p, role:app, portcullis, alter, allow
`;

/** A role on the server that some work as. */
const SPECIAL = `listen_special_${randomBytes(4).toString('hex')}`;

let database: TestDatabase;
let gateway: ToolGateway;
const clients: pg.Client[] = [];

beforeAll(async () => {
	const server = await startPostgres();
	database = await createDatabase({ server, setup: `create role ${SPECIAL} login password 'special'` });
	gateway = await start();
});

afterEach(async () => {
	await Promise.all(clients.splice(0).map((client) => client.end().catch(() => undefined)));
});

afterAll(async () => {
	await gateway?.stop();
	await database?.sql(`drop role ${SPECIAL}`);
	await database?.drop();
});

function start(): Promise<ToolGateway> {
	const { host, port, user, password } = database;
	const at = { host, port, user, dbname: database.database, password: { env: 'SECRET' } };
	const pool = { mode: 'transaction', size: 2 };
	return startToolGateway({
		users: { app: ['app'], other: ['app'], reader: [], deaf: [], special: ['special'] },
		databases: {
			pooled: { ...at, pool },
			second: { ...at, pool },
			kept: { ...at, pool: { size: 4 } },
			roles: { ...at, pool, users: { special: { user: SPECIAL, password: { env: 'SPECIAL' } } } },
		},
		policy: POLICY,
		secrets: { SECRET: password, SPECIAL: 'special' },
		limits: { poolWaitMs: 30_000 },
	});
}

const target = (user: string, name = 'pooled', { port } = gateway) => ({
	host: '127.0.0.1',
	port,
	user,
	password: TOOL_PASSWORD,
	database: name,
});

/** What a client hears, and the SQLSTATE of what ended it. */
interface Hearing {
	readonly client: pg.Client;
	readonly heard: string[];
	readonly ended: string[];
}

async function connect(user: string, name?: string, of: ToolGateway = gateway): Promise<Hearing> {
	const client = new pg.Client(target(user, name, of));
	const heard: string[] = [];
	const ended: string[] = [];
	client.on('notification', ({ channel, payload }) => heard.push(`${channel}=${payload}`));
	client.on('error', (error: Error & { code?: string }) => ended.push(error.code ?? String(error)));
	await client.connect();
	clients.push(client);
	return { client, heard, ended };
}

/** SQLSTATE, or `ok`. */
const codeOf = (work: Promise<unknown>): Promise<string> =>
	work.then(
		() => 'ok',
		(error: { code?: string }) => error.code ?? String(error),
	);

async function shown(what: string): Promise<Record<string, unknown>[]> {
	const { client } = await connect('app', 'portcullis');
	const { rows } = await client.query<Record<string, unknown>>(`show ${what}`);
	return rows;
}

async function operate(command: string): Promise<void> {
	const { client } = await connect('app', 'portcullis');
	await client.query(command);
}

/** Process ids of the connections that hear, as the server lists them. */
async function listeners(): Promise<unknown[]> {
	const rows = await database.sql(
		"select pid from pg_stat_activity where datname = current_database() and application_name = 'portcullis listener'",
	);
	return rows.map((row) => row['pid']);
}

describe('clients', () => {
	test('pg, simple and extended, of somebody who may do everything and of somebody who may not', async () => {
		const [one, two] = [await connect('app'), await connect('reader')];
		await one.client.query('listen one');
		await two.client.query({ name: 'listens', text: 'LISTEN "Two"', values: [] });
		const { client } = await connect('other', 'kept');
		await client.query(`notify one, 'x'; notify "Two", 'y'; notify two, 'z'`);
		await eventually(() => expect([one.heard, two.heard]).toEqual([['one=x'], ['Two=y']]));
		await one.client.query('begin');
		await one.client.query("select pg_notify('one', 'own')");
		expect(one.heard).toEqual(['one=x']);
		await one.client.query('commit');
		expect(one.heard).toEqual(['one=x', 'one=own']);
	});

	test('postgres.js listens by itself', async () => {
		const { password, ...rest } = target('app');
		const sql = postgres({ ...rest, password, max: 2, onnotice: () => undefined });
		try {
			const heard: string[] = [];
			const subscription = await sql.listen('news', (payload) => heard.push(payload));
			await sql.notify('news', 'one');
			await eventually(() => expect(heard).toEqual(['one']));
			await subscription.unlisten();
			await sql.notify('news', 'two');
			await sql`select 1`;
			expect(heard).toEqual(['one']);
		} finally {
			await sql.end();
		}
	});

	test.skipIf(!hasPsql())('psql prints the same as on a connection of its own', async () => {
		const script = [
			...['listen a;', "notify a, 'x';", 'begin;', 'listen b;', "notify b, 'y';", 'commit;', 'unlisten a;'],
			...[
				"notify a, 'z';",
				'begin;',
				'listen c;',
				'rollback;',
				'notify c;',
				"listen d \\; notify d, 'w';",
				'select 1;',
			],
		].join('\n');
		const { host, port, user, password, database: name } = database;
		const own = await psql({ host, port, user, password, database: name }, script, []);
		const ours = await psql(target('app'), script, []);
		const plain = ({ stdout, stderr }: typeof own): string => `${stdout}${stderr}`.replaceAll(/PID \d+/g, 'PID n');
		expect(plain(ours)).toBe(plain(own));
		expect(plain(ours)).toContain('Asynchronous notification "a" with payload "x" received');
	});

	test('of two pools have a listener each, and sessions of their own connection none', async () => {
		const [one, two, three] = [await connect('app'), await connect('app', 'second'), await connect('app', 'kept')];
		for (const { client } of [one, two, three]) await client.query('listen everywhere');
		await database.sql("notify everywhere, 'x'");
		for (const { heard } of [one, two, three]) await eventually(() => expect(heard).toEqual(['everywhere=x']));
		const pools = ['kept', 'pooled', 'second'];
		const lines = (await shown('servers')).filter(
			(row) => row['type'] === 'L' && pools.includes(String(row['database'])),
		);
		expect(new Set(lines.map((row) => row['database']))).toEqual(new Set(['pooled', 'second']));
		expect(lines).toHaveLength(2);
	});
});

test('each role of the server has a listener of its own', async () => {
	const [special, app] = [await connect('special', 'roles'), await connect('app', 'roles')];
	for (const { client } of [special, app]) await client.query('listen a');
	const lines = (await shown('servers')).filter((row) => row['type'] === 'L' && row['database'] === 'roles');
	expect(new Set(lines.map((row) => row['user']))).toEqual(new Set([SPECIAL, database.user]));
	const rows = await database.sql(
		`select usename from pg_stat_activity where pid in (${lines.map((row) => Number(row['remote_pid'])).join()})`,
	);
	expect(new Set(rows.map((row) => row['usename']))).toEqual(new Set([SPECIAL, database.user]));
	await app.client.query("notify a, 'x'");
	await eventually(() => expect([special.heard, app.heard]).toEqual([['a=x'], ['a=x']]));
});

describe('the policy', () => {
	test('says who may listen, each time', async () => {
		const file = join(gateway.folder, 'policies', 'policy.csv');
		const [deaf, reader] = [await connect('deaf'), await connect('reader')];
		expect(await codeOf(deaf.client.query('listen a'))).toBe('42501');
		expect(await codeOf(deaf.client.query('unlisten *'))).toBe('ok');
		const listens = { name: 'listens', text: 'listen a' };
		expect(await codeOf(reader.client.query(listens))).toBe('ok');
		const before = await readFile(file, 'utf8');
		try {
			await writeFile(file, before.replace('p, user:reader, pooled, listen, allow\n', ''));
			await gateway.gateway.reload();
			expect(await codeOf(reader.client.query(listens))).toBe('42501');
			expect(await codeOf(reader.client.query('listen b'))).toBe('42501');
			expect(await codeOf(reader.client.query('begin; listen b; commit'))).toBe('42501');
		} finally {
			await writeFile(file, before);
			await gateway.gateway.reload();
		}
		await database.sql("notify a, 'x'; notify b");
		await reader.client.query('unlisten b');
		expect([deaf.heard, reader.heard]).toEqual([[], ['a=x']]);
	});

	test('and the audit log what was asked for, and that it was done', async () => {
		const { client } = await connect('app');
		await client.query('listen audited');
		const isIt = ({ sql }: Record<string, unknown>): boolean => sql === 'listen audited';
		await eventually(async () => {
			const records = await gateway.audit();
			const record = records.find((one) => JSON.stringify(one).includes('listen audited'));
			expect(record).toBeDefined();
			expect(records.some((one) => JSON.stringify(one).includes('"tag":"LISTEN"'))).toBe(true);
			expect(records.filter(isIt).length).toBeLessThan(2);
		});
	});
});

describe('operators', () => {
	test('see the connection, how many it hears for, and nothing pinned', async () => {
		const [one, two] = [await connect('app'), await connect('reader')];
		await one.client.query('listen a');
		await two.client.query('listen a');
		await two.client.query('listen b');
		// Those of the test before may be just about to go.
		await eventually(async () => {
			const pool = (await shown('pools')).find((row) => row['database'] === 'pooled');
			expect(pool).toMatchObject({ sv_pinned: 0, sv_active: 0, sv_listen: 1, cl_listen: 2, channels: 2 });
		});
		const lines = (await shown('servers')).filter((row) => row['type'] === 'L' && row['database'] === 'pooled');
		expect(lines).toEqual([expect.objectContaining({ user: database.user, state: 'listen' })]);
		const listed = await database.sql(
			`select application_name from pg_stat_activity where pid = ${Number(lines[0]?.['remote_pid'])}`,
		);
		expect(listed).toEqual([{ application_name: 'portcullis listener' }]);
	});

	test('PAUSE: who listens goes on hearing, and who begins to waits for RESUME', async () => {
		const [one, two] = [await connect('app'), await connect('app')];
		await one.client.query('listen a');
		await operate('pause pooled');
		try {
			await database.sql("notify a, 'paused'");
			await eventually(() => expect(one.heard).toEqual(['a=paused']));
			const waiting = two.client.query('listen a');
			await eventually(async () =>
				expect((await shown('pools')).find((row) => row['database'] === 'pooled')?.['cl_waiting']).toBe(1),
			);
			await operate('resume pooled');
			await waiting;
		} finally {
			await operate('resume pooled');
		}
		await database.sql("notify a, 'resumed'");
		await eventually(() => expect(two.heard).toEqual(['a=resumed']));
	});

	test('KILL ends who listens', async () => {
		const one = await connect('app');
		await one.client.query('listen a');
		try {
			await operate('kill pooled');
			await eventually(() => expect(one.ended).toContain('57P01'));
			await eventually(async () =>
				expect((await shown('pools')).find((row) => row['database'] === 'pooled')?.['cl_listen']).toBe(0),
			);
		} finally {
			await operate('resume pooled');
		}
	});

	test('a server connection that is ended on the server ends who listens, and they can come back', async () => {
		const one = await connect('app');
		await one.client.query('listen a');
		await database.sql(
			"select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name = 'portcullis listener'",
		);
		await eventually(() => expect(one.ended).toContain('57P01'));
		const again = await connect('app');
		await again.client.query('listen a');
		await database.sql("notify a, 'back'");
		await eventually(() => expect(again.heard).toEqual(['a=back']));
	});

	test('the end of the gateway is the end of who listens, and of its connection', async () => {
		const own = await start();
		const others = await listeners();
		const one = await connect('app', 'pooled', own);
		await one.client.query('listen a');
		const [its] = (await listeners()).filter((pid) => !others.includes(pid));
		expect(its).toBeDefined();
		await own.stop();
		expect(one.ended).toContain('57P01');
		await eventually(async () => expect((await listeners()).filter((pid) => pid === its)).toEqual([]));
	});
});
