/** Signing in at a real PostgreSQL by every method and TLS mode, and what is refused there and why. */
import { connect, createServer, type Server, type Socket } from 'node:net';
import { connect as connectTls, TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { checkSettings, connectBackend } from '../../src/backend/connection.ts';
import { openQuerySession, query } from '../../src/backend/query.ts';
import type { BackendTarget, BackendTls } from '../../src/backend/target.ts';
import { GatewayError } from '../../src/errors.ts';
import { encodeQuery } from '../../src/wire/encode.ts';
import { makeCertificate } from '../support/certificates.ts';
import { type LoginServer, PASSWORD, startLoginServer } from './server.ts';

let server: LoginServer;

beforeAll(async () => {
	server = await startLoginServer();
});

afterAll(async () => {
	await server.stop();
});

function target(fields: Partial<BackendTarget> = {}): BackendTarget {
	return {
		host: server.host,
		port: server.port,
		dbname: 'postgres',
		user: 'scram_user',
		password: () => PASSWORD,
		tls: { mode: 'disable' },
		...fields,
	};
}

interface Row {
	readonly name: string;
	readonly fields?: Partial<BackendTarget>;
	readonly tls?: () => BackendTls;
	readonly startup?: Readonly<Record<string, string>>;
	/** What pg_stat_ssl and the server's view of the login must say, or the SQLSTATE and words of the refusal. */
	readonly want: { readonly ssl: boolean } | { readonly sqlstate: string; readonly words: RegExp };
}

const stranger = makeCertificate({ name: 'Stranger', authority: true });

const rows: Row[] = [
	{ name: 'SCRAM over plaintext', want: { ssl: false } },
	{
		name: 'SCRAM with a password that arrives later',
		fields: { password: async () => PASSWORD },
		want: { ssl: false },
	},
	{ name: 'trust', fields: { user: 'trusted', password: () => null }, want: { ssl: false } },
	{ name: 'TLS required', tls: () => ({ mode: 'require' }), want: { ssl: true } },
	{
		name: 'a user who may come by TLS only',
		fields: { user: 'tls_only' },
		tls: () => ({ mode: 'require' }),
		want: { ssl: true },
	},
	{ name: 'verify-ca', tls: () => ({ mode: 'verify-ca', ca: server.ca.cert }), want: { ssl: true } },
	{
		name: 'verify-full by the right name',
		fields: { host: 'localhost' },
		tls: () => ({ mode: 'verify-full', ca: server.ca.cert }),
		want: { ssl: true },
	},
	{
		name: 'client certificate',
		fields: { user: 'cert_user', password: () => null },
		tls: () => {
			const { cert, key } = makeCertificate({ name: 'cert_user', issuer: server.ca });
			return { mode: 'verify-ca', ca: server.ca.cert, cert, key };
		},
		want: { ssl: true },
	},
	{ name: 'md5 where allowed', fields: { user: 'md5_user', allowPassword: ['md5'] }, want: { ssl: false } },
	{
		name: 'cleartext where allowed',
		fields: { user: 'clear_user', allowPassword: ['cleartext'] },
		want: { ssl: false },
	},
	{
		name: 'verify-full by another name',
		tls: () => ({ mode: 'verify-full', ca: server.ca.cert }),
		want: { sqlstate: '08001', words: /another host name/ },
	},
	{
		name: 'verify-ca with a foreign authority',
		tls: () => ({ mode: 'verify-ca', ca: stranger.cert }),
		want: { sqlstate: '08001', words: /not trusted/ },
	},
	{
		name: 'require with a foreign authority, as libpq',
		tls: () => ({ mode: 'require', ca: stranger.cert }),
		want: { sqlstate: '08001', words: /not trusted/ },
	},
	{
		name: 'verify-full with the authorities of the system',
		fields: { host: 'localhost' },
		tls: () => ({ mode: 'verify-full' }),
		want: { sqlstate: '08001', words: /not trusted/ },
	},
	{
		name: 'md5',
		fields: { user: 'md5_user' },
		want: { sqlstate: '0A000', words: /md5 password, which is not allowed/ },
	},
	{
		name: 'cleartext',
		fields: { user: 'clear_user' },
		want: { sqlstate: '0A000', words: /cleartext password, which is not/ },
	},
	{ name: 'wrong password', fields: { password: () => 'x' }, want: { sqlstate: '08004', words: /rejected the login/ } },
	{ name: 'unknown user', fields: { user: 'nobody' }, want: { sqlstate: '08004', words: /rejected the login/ } },
	{ name: 'plaintext refused', fields: { user: 'tls_only' }, want: { sqlstate: '08004', words: /rejected the login/ } },
	{ name: 'no password', fields: { password: () => null }, want: { sqlstate: '08004', words: /none is configured/ } },
	{
		name: 'a password that cannot be read',
		fields: {
			password: () => {
				throw new Error('ENOENT /secret/path');
			},
		},
		want: { sqlstate: '08004', words: /^the password for the database server cannot be read$/ },
	},
	{
		name: 'unknown database',
		fields: { dbname: 'nowhere' },
		want: { sqlstate: '3D000', words: /"nowhere" does not exist/ },
	},
	{
		name: 'a startup parameter that the server does not know',
		startup: { no_such_setting: '1' },
		want: { sqlstate: '42704', words: /no_such_setting/ },
	},
	{
		name: 'standard_conforming_strings off',
		startup: { options: '-c standard_conforming_strings=off' },
		want: { sqlstate: '0A000', words: /standard_conforming_strings .* is off/ },
	},
	{
		name: 'client_encoding LATIN1',
		startup: { client_encoding: 'LATIN1' },
		want: { sqlstate: '0A000', words: /client_encoding .* is LATIN1/ },
	},
	{ name: 'unknown host', fields: { host: 'no-such-host.invalid' }, want: { sqlstate: '08001', words: /host name/ } },
	{ name: 'nobody listens', fields: { port: 1 }, want: { sqlstate: '08001', words: /connection refused/ } },
	{ name: 'no Unix socket', fields: { host: '/nowhere' }, want: { sqlstate: '08001', words: /no such socket/ } },
];

async function check({ fields = {}, tls, startup = {}, want }: Row): Promise<void> {
	const to = target({ ...fields, ...(tls === undefined ? {} : { tls: tls() }) });
	if (!('ssl' in want)) {
		const error: unknown = await connectBackend(to, startup).catch((reason: unknown) => reason);
		expect(error).toBeInstanceOf(GatewayError);
		expect(error).toMatchObject({ sqlstate: want.sqlstate, severity: 'FATAL' });
		expect((error as GatewayError).message).toMatch(want.words);
		expect((error as GatewayError).message).not.toMatch(/127\.0\.0\.1|secret/);
		return;
	}
	const connection = await connectBackend(to, startup);
	onTestFinished(() => connection.close());
	const [seen] = await query(
		connection,
		'select pg_backend_pid(), ssl, current_user from pg_stat_ssl where pid = pg_backend_pid()',
	);
	expect(seen).toEqual([String(connection.pid), want.ssl ? 't' : 'f', to.user]);
	expect(connection.serverVersion).toBeGreaterThanOrEqual(180_000);
	expect(connection.parameters.get('server_encoding')).toBe('UTF8');
	expect(connection.cancelKey).toHaveLength(4);
}

describe('login', () => {
	test.each(rows)('$name', check);

	test('startup parameters take effect, user and database cannot be replaced by them', async () => {
		const startup = {
			application_name: 'psql',
			options: '-c work_mem=7MB',
			DateStyle: 'SQL',
			user: 'root',
			database: 'x',
		};
		const connection = await connectBackend(target(), startup);
		onTestFinished(() => connection.close());
		expect(connection.parameters.get('application_name')).toBe('psql');
		expect(connection.parameters.get('DateStyle')).toMatch(/^SQL/);
		const shown = await query(connection, "select current_user, current_database(), current_setting('work_mem')");
		expect(shown).toEqual([['scram_user', 'postgres', '7MB']]);
	});

	test('a password that the server refuses is reported, so that a kept one is not tried for ever', async () => {
		let refused = 0;
		let password = 'stale';
		const fields = { password: () => password, passwordRefused: () => (refused += 1) };
		await expect(connectBackend(target(fields), {})).rejects.toMatchObject({ sqlstate: '08004' });
		expect(refused).toBe(1);
		password = PASSWORD;
		await (await connectBackend(target(fields), {})).close();
		await expect(connectBackend(target({ ...fields, dbname: 'nowhere' }), {})).rejects.toMatchObject({
			sqlstate: '3D000',
		});
		expect(refused).toBe(1);
	});

	test('channel binding finds a man in the middle even where no certificate is verified', async () => {
		const port = await interpose(server);
		const to = target({ port, tls: { mode: 'require' } });
		const error: unknown = await connectBackend(to, {}).catch((reason: unknown) => reason);
		expect(error).toMatchObject({ sqlstate: '08004', cause: { message: 'SCRAM channel binding check failed' } });
		// The way through him works as such: without SCRAM nobody notices.
		const trusted = await connectBackend({ ...to, user: 'trusted' }, {});
		await trusted.close();
	});

	test('gives up when told, and at its deadline', async () => {
		const silent = await listen(() => undefined);
		const late = connectBackend(target({ port: silent, connectTimeoutMs: 50 }), {});
		await expect(late).rejects.toMatchObject({ sqlstate: '08001', message: expect.stringMatching(/within 50 ms/) });
		const aborted = AbortSignal.abort();
		await expect(connectBackend(target(), {}, { signal: aborted })).rejects.toMatchObject({ sqlstate: '08001' });
		const leaving = new AbortController();
		const waiting = connectBackend(target({ port: silent }), {}, { signal: leaving.signal });
		leaving.abort();
		await expect(waiting).rejects.toMatchObject({ sqlstate: '08001', message: expect.stringMatching(/given up/) });
	});
});

describe('servers that do not keep to the protocol', () => {
	const frame = (type: string, body: Buffer): Buffer => {
		const head = Buffer.alloc(5);
		head.write(type, 0, 'latin1');
		head.writeInt32BE(body.length + 4, 1);
		return Buffer.concat([head, body]);
	};
	const auth = (code: number, rest = Buffer.alloc(0)): Buffer => {
		const body = Buffer.alloc(4);
		body.writeInt32BE(code);
		return frame('R', Buffer.concat([body, rest]));
	};
	const sasl = auth(10, Buffer.from('SCRAM-SHA-256\0\0'));
	const scripts: { name: string; tls?: boolean; answers: Buffer[]; sqlstate: string }[] = [
		{ name: 'closes at once', answers: [], sqlstate: '08006' },
		{ name: 'garbage', answers: [Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')], sqlstate: '08P01' },
		{ name: 'AuthenticationOk in place of the proof', answers: [sasl, auth(0)], sqlstate: '08P01' },
		{
			name: 'AuthenticationOk after the challenge, without the proof',
			answers: [sasl, auth(11, Buffer.from('r=x')), auth(0)],
			sqlstate: '08004',
		},
		{ name: 'a mechanism that nobody has', answers: [auth(10, Buffer.from('PLAIN\0\0'))], sqlstate: '08004' },
		{ name: 'Kerberos', answers: [auth(7)], sqlstate: '0A000' },
		{ name: 'an unknown method', answers: [auth(99)], sqlstate: '08P01' },
		{ name: 'data before the login', answers: [frame('D', Buffer.from([0, 0]))], sqlstate: '08P01' },
		{
			name: 'ready without settings',
			answers: [Buffer.concat([auth(0), frame('Z', Buffer.from('I'))])],
			sqlstate: '0A000',
		},
		{ name: 'no TLS where it is asked for', tls: true, answers: [Buffer.from('N')], sqlstate: '08001' },
		{ name: 'bytes stuffed after the S', tls: true, answers: [Buffer.from('SR')], sqlstate: '08001' },
		{ name: 'closes in place of TLS', tls: true, answers: [], sqlstate: '08001' },
	];
	test.each(scripts)('$name: $sqlstate', async ({ tls = false, answers, sqlstate }) => {
		const left = [...answers];
		const port = await listen((socket) => {
			const next = left.shift();
			if (next === undefined) socket.end();
			else socket.write(next);
		});
		const to = target({ port, connectTimeoutMs: 2000, tls: { mode: tls ? 'require' : 'disable' } });
		await expect(connectBackend(to, {})).rejects.toMatchObject({ sqlstate });
	});
});

describe('hand-over to a reader', () => {
	const modes = [
		{ name: 'plaintext', tls: false, readBuffer: false },
		{ name: 'plaintext into one buffer', tls: false, readBuffer: true },
		{ name: 'TLS', tls: true, readBuffer: false },
		{ name: 'TLS into one buffer', tls: true, readBuffer: true },
	];
	test.each(modes)('$name: no byte is lost between query, reader and query', async ({ tls, readBuffer }) => {
		const to = target({ tls: { mode: tls ? 'require' : 'disable' } });
		const connection = await connectBackend(to, {}, readBuffer ? { readBuffer: Buffer.alloc(1024) } : {});
		onTestFinished(() => connection.close());
		expect(await query(connection, 'select 1')).toEqual([['1']]);
		const chunks: Buffer[] = [];
		await new Promise<void>((resolve, reject) => {
			connection.attach({
				data: (chunk) => {
					chunks.push(Buffer.from(chunk));
					if (Buffer.concat(chunks).includes(Buffer.from('Z\0\0\0\x05I'))) resolve();
				},
				closed: (error) => reject(error ?? new Error('closed')),
			});
			connection.socket.write(encodeQuery("select repeat('x', 30000)"));
		});
		connection.detach();
		const answer = Buffer.concat(chunks);
		expect(answer[0]).toBe('T'.charCodeAt(0));
		expect(answer.toString().match(/x{30000}/)).not.toBeNull();
		expect(await query(connection, 'select 2')).toEqual([['2']]);
	});

	test.each([
		{ name: 'of what is not kept is read into again', keeps: false },
		{ name: 'of what is kept is left alone', keeps: true },
	])('the memory $name', async ({ keeps }) => {
		const connection = await connectBackend(target(), {}, { readBuffer: Buffer.alloc(4096) });
		onTestFinished(() => connection.close());
		const chunks: { readonly chunk: Buffer; readonly copy: Buffer }[] = [];
		for (const word of ['first', 'second']) {
			await new Promise<void>((resolve, reject) => {
				connection.attach({
					data: (chunk) => {
						chunks.push({ chunk, copy: Buffer.from(chunk) });
						resolve();
					},
					keeps: () => keeps,
					closed: (error) => reject(error ?? new Error('closed')),
				});
				connection.socket.write(encodeQuery(`select '${word}'`));
			});
			connection.detach();
		}
		const [first, second] = chunks;
		expect(first?.copy.includes('first')).toBe(true);
		expect(second?.copy.includes('second')).toBe(true);
		expect(first?.chunk.buffer === second?.chunk.buffer).toBe(!keeps);
		expect(first?.chunk.equals(first.copy)).toBe(keeps);
	});

	test('the reader hears of the end, also when it comes late', async () => {
		for (const early of [true, false]) {
			const connection = await connectBackend(target(), {});
			const closed = new Promise<Error | null>((resolve) => {
				const attach = (): void => connection.attach({ data: () => undefined, closed: resolve });
				if (early) attach();
				else connection.socket.once('close', () => setImmediate(attach));
			});
			if (!early) connection.attach({ data: () => undefined, closed: () => undefined });
			await server.sql(`select pg_terminate_backend(${connection.pid})`);
			expect(await closed).toBeNull();
			expect(connection.alive).toBe(false);
			await expect(query(connection, 'select 1')).rejects.toMatchObject({ sqlstate: '08006' });
			await connection.close();
		}
	});

	test('two readers at a time are a mistake that shows', async () => {
		const connection = await connectBackend(target(), {});
		onTestFinished(() => connection.close());
		connection.attach({ data: () => undefined, closed: () => undefined });
		expect(() => connection.attach({ data: () => undefined, closed: () => undefined })).toThrow(/reader already/);
	});
});

describe('query', () => {
	const queries: { name: string; sql: string; want: (string | null)[][] | string }[] = [
		{
			name: 'text and NULL',
			sql: "select 'a', null::int union all select '\u00fc', 2 order by 1",
			want: [
				['a', null],
				['\u00fc', '2'],
			],
		},
		{ name: 'the last statement with rows', sql: 'select 1; select 2; set work_mem = default', want: [['2']] },
		{ name: 'no rows', sql: 'select 1 where false', want: [] },
		{ name: 'nothing', sql: '', want: [] },
		{ name: 'an error', sql: 'select * from nowhere', want: '42P01' },
		{ name: 'an error after rows', sql: 'select 1; select 1/0', want: '22012' },
		{ name: 'COPY to the gateway', sql: 'create temp table t (x int); copy t from stdin', want: '57014' },
	];
	test.each(queries)('$name', async ({ sql, want }) => {
		const session = await openQuerySession(target());
		onTestFinished(() => session.close());
		if (typeof want === 'string') await expect(session.query(sql)).rejects.toMatchObject({ sqlstate: want });
		else expect(await session.query(sql)).toEqual(want);
		expect(await session.query('select 3')).toEqual([['3']]);
	});

	test('several at once run in order', async () => {
		const session = await openQuerySession(target(), { application_name: 'catalogue' });
		onTestFinished(() => session.close());
		const answers = [
			session.query('select 1'),
			session.query('select 1/0').catch(() => 'failed'),
			session.query('show application_name'),
		];
		expect(await Promise.all(answers)).toEqual([[['1']], 'failed', [['catalogue']]]);
	});

	test('close ends a query that runs', async () => {
		const session = await openQuerySession(target());
		const running = session.query('select pg_sleep(60)');
		const failed = expect(running).rejects.toMatchObject({ sqlstate: '08006' });
		await session.close();
		await failed;
	});
});

describe('checkSettings', () => {
	const good = {
		server_version: '16.4 (Debian)',
		standard_conforming_strings: 'on',
		server_encoding: 'UTF8',
		client_encoding: 'UTF8',
	};
	const settings: { name: string; change: Record<string, string | undefined>; want: number | RegExp }[] = [
		{ name: 'good', change: {}, want: 160_004 },
		{ name: 'beta', change: { server_version: '19beta1' }, want: 190_000 },
		{ name: 'SQL_ASCII', change: { server_encoding: 'SQL_ASCII', client_encoding: 'SQL_ASCII' }, want: 160_004 },
		{ name: 'too old', change: { server_version: '13.22' }, want: /version 13\.22/ },
		{ name: 'no version', change: { server_version: undefined }, want: /version unknown/ },
		{ name: 'server LATIN1', change: { server_encoding: 'LATIN1' }, want: /server_encoding .* LATIN1/ },
		{ name: 'strings off', change: { standard_conforming_strings: 'off' }, want: /standard_conforming_strings/ },
		{ name: 'strings not reported', change: { standard_conforming_strings: undefined }, want: /not reported/ },
	];
	test.each(settings)('$name', ({ change, want }) => {
		const entries = Object.entries({ ...good, ...change }).filter(
			(entry): entry is [string, string] => entry[1] !== undefined,
		);
		const run = (): number => checkSettings(new Map(entries));
		if (want instanceof RegExp) expect(run).toThrow(want);
		else expect(run()).toBe(want);
	});
});

/** A server that calls `answer` for everything it is sent. */
function listen(answer: (socket: Socket) => void): Promise<number> {
	return listenTo((socket) => socket.on('data', () => answer(socket)));
}

async function listenTo(accept: (socket: Socket) => void): Promise<number> {
	const fake: Server = createServer((socket) => {
		socket.on('error', () => undefined);
		accept(socket);
	});
	await new Promise<void>((resolve) => {
		fake.listen(0, '127.0.0.1', resolve);
	});
	onTestFinished(() => {
		fake.close();
	});
	return (fake.address() as { port: number }).port;
}

/** Ends TLS with a certificate of its own on one side, and speaks TLS with the server on the other. */
async function interpose({ host, port }: LoginServer): Promise<number> {
	const own = makeCertificate({ name: 'localhost', hosts: ['localhost'] });
	return listenTo((client) => {
		client.once('data', () => {
			client.pause();
			client.write('S');
			const inside = new TLSSocket(client, { isServer: true, cert: own.cert, key: own.key });
			inside.on('error', () => undefined);
			const outside = connect(port, host);
			outside.write(Buffer.from([0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f]));
			outside.once('data', () => {
				outside.pause();
				const server = connectTls({ socket: outside, rejectUnauthorized: false, ALPNProtocols: ['postgresql'] });
				server.on('error', () => undefined);
				server.pipe(inside);
				inside.pipe(server);
			});
		});
	});
}
