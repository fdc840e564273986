/** Bad input on the wire: each gets one clear error, and nothing leaks, hangs or stays behind. */
import { connect, createServer, type Server, type Socket } from 'node:net';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startGateway, type TestGateway } from '../support/gateway.ts';

let gateway: TestGateway;
let dead: Server;
beforeAll(async () => {
	// Takes connections and closes them: a server that refuses.
	dead = createServer((socket) => socket.destroy());
	await new Promise<void>((resolve) => dead.listen(0, '127.0.0.1', resolve));
	gateway = await startGateway({
		configure: (config) => {
			const shop = config.databases['shop'] ?? {};
			config.databases['forbidden'] = { ...shop };
			config['limits'] = { loginTimeoutMs: 2_000, connectTimeoutMs: 2_000 };
		},
	});
});
afterAll(async () => {
	dead.close();
	await gateway.stop();
});

interface Attempt {
	readonly name: string;
	readonly options: (good: pg.ClientConfig, world: TestGateway) => Promise<pg.ClientConfig> | pg.ClientConfig;
	readonly who?: string;
	readonly code: string;
	readonly message: RegExp;
}

const ATTEMPTS: readonly Attempt[] = [
	{
		name: 'a wrong password of a service account',
		who: 'app',
		options: (good) => ({ ...good, password: 'wrong' }),
		code: '28P01',
		message: /^password authentication failed for user "app"$/,
	},
	{
		name: 'a password that is no token',
		options: (good) => ({ ...good, password: 'hunter2' }),
		code: '28P01',
		message: /^password authentication failed for user "ben"$/,
	},
	{
		name: 'an expired token',
		options: async (good, { provider }) => ({ ...good, password: await provider.forge('ben', { expiresInS: -300 }) }),
		code: '28P01',
		message: /^password authentication failed for user "ben"$/,
	},
	{
		name: 'a token of a foreign key',
		options: async (good, { provider }) => ({ ...good, password: await provider.forge('ben', { key: 'foreign' }) }),
		code: '28P01',
		message: /^password authentication failed for user "ben"$/,
	},
	{
		name: 'a token of a foreign issuer',
		options: async (good, { provider }) => ({
			...good,
			password: await provider.forge('ben', { issuer: 'https://evil.example' }),
		}),
		code: '28P01',
		message: /^password authentication failed for user "ben"$/,
	},
	{
		name: 'a token for another service',
		options: async (good, { provider }) => ({ ...good, password: await provider.forge('ben', { audience: 'other' }) }),
		code: '28P01',
		message: /^password authentication failed for user "ben"$/,
	},
	{
		name: 'a token of somebody else',
		options: async (good, { provider }) => ({ ...good, password: await provider.signIn('ana') }),
		code: '28000',
		message: /does not belong to user "ben"/,
	},
	{
		name: 'an unknown database',
		options: (good) => ({ ...good, database: 'nowhere' }),
		code: '3D000',
		message: /^database "nowhere" does not exist$/,
	},
	{
		name: 'a database without a connect rule',
		options: (good) => ({ ...good, database: 'forbidden' }),
		code: '42501',
		message: /^permission denied for database "forbidden"$/,
	},
	{
		name: 'a setting that is not harmless',
		options: (good) => ({ ...good, options: '-c role=postgres' }),
		code: '42501',
		message: /^parameter "role" cannot be set through the gateway/,
	},
	{
		name: 'a replication connection',
		options: (good) => ({ ...good, replication: 'database' }),
		code: '42501',
		message: /^permission denied to replicate database "shop"$/,
	},
];

describe('a login that fails', () => {
	for (const { name, who = 'ben', options, code, message } of ATTEMPTS) {
		test(name, async () => {
			const client = new pg.Client(await options(await gateway.credentials(who), gateway));
			client.on('error', () => undefined);
			const error: unknown = await client.connect().then(
				() => undefined,
				(reason: unknown) => reason,
			);
			await client.end().catch(() => undefined);
			expect(error).toMatchObject({ code, severity: 'FATAL' });
			expect((error as Error).message).toMatch(message);
			await leavesNothing();
		});
	}

	test('is on record, with the exact reason that the client was not told', async () => {
		const failed = (await gateway.audit()).filter(
			(record) => (record['metadata'] as { event_code: string }).event_code === 'login-failed',
		);
		expect(failed.length).toBeGreaterThanOrEqual(ATTEMPTS.length);
		const reasons = failed.map((record) => String(record['status_detail'])).join('\n');
		expect(reasons).toMatch(/expired/);
		expect(reasons).toMatch(/signature/i);
		expect(reasons).not.toMatch(/eyJ|hunter2/);
	});
});

describe('a backend that is not there', () => {
	const table = [
		{ database: 'down', code: '08001', message: /cannot connect to the database server/ },
		{ database: 'refusing', code: /^08/, message: /database server/ },
		{ database: 'missing', code: '3D000', message: /no_such_database|does not exist/ },
	];
	for (const { database, code, message } of table) {
		test(database, async () => {
			const world = await startGateway({
				configure: (config) => {
					const shop = config.databases['shop'] ?? {};
					const port = database === 'down' ? 1 : (dead.address() as { port: number }).port;
					config.databases['shop'] =
						database === 'missing' ? { ...shop, dbname: 'no_such_database' } : { ...shop, port };
				},
			});
			try {
				expect(world.log.filter(({ level }) => level === 'warn').map((line) => line.message)).toContainEqual(
					expect.stringMatching(/cannot be reached/),
				);
				const error: unknown = await world.connect('app').catch((reason: unknown) => reason);
				expect(error).toMatchObject({
					severity: 'FATAL',
					code: code instanceof RegExp ? expect.stringMatching(code) : code,
				});
				expect((error as Error).message).toMatch(message);
				expect((error as Error).message).not.toMatch(/gateway-password/);
			} finally {
				await world.stop();
			}
		});
	}

	test('goes away in the middle of a session', async () => {
		const client = await gateway.connect('ben');
		const ended = new Promise<unknown>((resolve) => client.once('error', resolve));
		const query = client.query('select pg_sleep(30)').catch((error: unknown) => error);
		await expect.poll(() => sleepers()).toBe(1);
		await gateway.backend.sql(
			"select pg_terminate_backend(pid) from pg_stat_activity where query like '%pg_sleep(30)%' and pid <> pg_backend_pid()",
		);
		expect(await query).toMatchObject({ code: '57P01' });
		await ended;
		await leavesNothing();
	});
});

describe('a client that sends garbage', () => {
	const startup = (length: number, code: number): Buffer => {
		const bytes = Buffer.alloc(8);
		bytes.writeInt32BE(length, 0);
		bytes.writeInt32BE(code, 4);
		return bytes;
	};
	const table = [
		{ name: 'HTTP', bytes: Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n') },
		{ name: 'a length of two gigabytes', bytes: startup(0x7fff_ffff, 196_608) },
		{ name: 'a length of zero', bytes: startup(0, 196_608) },
		{ name: 'protocol 2', bytes: startup(8, 131_072) },
		{ name: 'noise', bytes: Buffer.from(Array.from({ length: 4096 }, (_, index) => (index * 7919) % 256)) },
		{ name: 'half a packet and silence', bytes: startup(100, 196_608) },
	];
	for (const { name, bytes } of table) {
		test(name, async () => {
			const answer = await raw(bytes);
			// An error in the protocol's own format, or a closed connection where no PostgreSQL client is there to read one.
			if (answer.length > 0) expect(answer.toString('latin1')).toMatch(/^E.*SFATAL.*C(08P01|0A000|57014|28000)/s);
			expect(answer.length).toBeLessThan(500);
		});
	}

	test('after the login', async () => {
		const { client, socket } = await openSocket('app');
		const ended = new Promise<Buffer>((resolve) => {
			const chunks: Buffer[] = [];
			socket.on('data', (chunk: Buffer) => chunks.push(chunk));
			socket.once('close', () => resolve(Buffer.concat(chunks)));
		});
		socket.write(Buffer.from([0x21, 0, 0, 0, 4]));
		expect((await ended).toString('latin1')).toMatch(/^E.*SFATAL.*C08P01/s);
		await client.end().catch(() => undefined);
		await leavesNothing();
	});
});

describe('a client that disconnects', () => {
	const moments: { name: string; sql: string | null }[] = [
		{ name: 'between statements', sql: null },
		{
			name: 'inside a transaction',
			sql: "begin; insert into sales.orders (tenant, customer_id, note) values ('acme', 3, 'left')",
		},
		{ name: 'in the middle of a result', sql: 'select a.*, b.* from sales.orders a, sales.orders b limit 2000000' },
		{ name: 'in the middle of a statement', sql: 'select pg_sleep(3)' },
	];
	for (const { name, sql } of moments) {
		test(name, async () => {
			const { client, socket } = await openSocket('app');
			if (sql !== null) client.query(sql).catch(() => undefined);
			if (name === 'in the middle of a result') await new Promise((resolve) => socket.once('data', resolve));
			else if (name === 'in the middle of a statement') await expect.poll(() => sleepers()).toBe(1);
			else await client.query('select 1');
			socket.destroy();
			await leavesNothing();
			expect(await gateway.backend.sql("select from sales.orders where note = 'left'")).toEqual([]);
		});
	}

	test('in the middle of a login', async () => {
		const socket = connect(gateway.port, gateway.host);
		await new Promise((resolve) => socket.once('connect', resolve));
		const parameters = Buffer.from('user\0app\0database\0shop\0\0');
		const head = Buffer.alloc(8);
		head.writeInt32BE(8 + parameters.length, 0);
		head.writeInt32BE(196_608, 4);
		socket.write(Buffer.concat([head, parameters]));
		await new Promise((resolve) => socket.once('data', resolve));
		socket.destroy();
		await leavesNothing();
	});
});

/** No session of a client stays at the backend (the catalogue's own connection does). */
async function leavesNothing(): Promise<void> {
	const count = async (): Promise<unknown> => {
		const found = await gateway.backend.sql(
			"select count(*)::int as n from pg_stat_activity where usename = 'gateway' and datname = current_database() and application_name <> 'portcullis'",
		);
		return found[0]?.['n'];
	};
	await expect.poll(count).toBe(0);
}

async function sleepers(): Promise<unknown> {
	const found = await gateway.backend.sql(
		"select count(*)::int as n from pg_stat_activity where state = 'active' and query like '%pg_sleep%' and datname = current_database() and pid <> pg_backend_pid()",
	);
	return found[0]?.['n'];
}

/** A signed-in client, and its socket. */
async function openSocket(who: string): Promise<{ client: pg.Client; socket: Socket }> {
	const client = await gateway.connect(who);
	const { stream } = (client as unknown as { connection: { stream: Socket } }).connection;
	return { client, socket: stream };
}

/** What the gateway answers to bytes of somebody who then waits, up to the end of the connection. */
async function raw(bytes: Buffer): Promise<Buffer> {
	return new Promise((resolve) => {
		const chunks: Buffer[] = [];
		const socket = connect(gateway.port, gateway.host, () => socket.write(bytes));
		socket.on('data', (chunk: Buffer) => chunks.push(chunk));
		socket.on('error', () => undefined);
		socket.once('close', () => resolve(Buffer.concat(chunks)));
	});
}
