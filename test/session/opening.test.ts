/** The first packets: encryption in all its forms, cancel requests, versions, refusals, and clients that send rubbish. */
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls, createSecureContext, type TLSSocket } from 'node:tls';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { GatewayError } from '../../src/errors.ts';
import type { ListenerTls } from '../../src/session/services.ts';
import { protocolVersions } from '../../src/wire/codes.ts';
import {
	encodeCancelRequest,
	encodeSSLRequest,
	encodeStartup,
	encodeStartupMessage,
	encodeTerminate,
} from '../../src/wire/encode.ts';
import { makeCertificate } from '../support/certificates.ts';
import { createDatabase, type TestDatabase } from '../support/postgres.ts';
import { startTestGateway, type TestGateway, type TestGatewayOptions } from './gateway.ts';
import { until } from './until.ts';
import { Query, WireClient } from './wire-client.ts';

let database: TestDatabase;
const open: TestGateway[] = [];

async function start(options: TestGatewayOptions = {}): Promise<TestGateway> {
	const gateway = await startTestGateway(database, options);
	open.push(gateway);
	return gateway;
}

beforeAll(async () => {
	database = await createDatabase();
});

afterEach(async () => {
	for (const gateway of open.splice(0)) await gateway.close();
});

afterAll(async () => {
	await database?.drop();
});

const { cert, key } = makeCertificate({ name: 'gateway.test', hosts: ['gateway.test'] });
const context = createSecureContext({ cert, key });
const tls = (mode: ListenerTls['mode']): ListenerTls => ({
	mode,
	secureContext: () => context,
	serverCertHash: () => undefined,
});

const startupPacket = encodeStartupMessage(protocolVersions.v3_0, Object.entries({ user: 'someone', database: 'db' }));
const gssRequest = encodeStartup({ type: 'GSSENCRequest' });

/** A TCP connection whose bytes are collected. */
class Raw {
	readonly socket: Socket;
	received: Buffer = Buffer.alloc(0);
	closed = false;

	constructor(socket: Socket) {
		this.socket = socket;
		socket.on('data', (chunk: Buffer) => {
			this.received = Buffer.concat([this.received, chunk]);
		});
		socket.on('error', () => undefined);
		socket.on('close', () => {
			this.closed = true;
		});
	}

	static to(gateway: TestGateway): Raw {
		return new Raw(connectTcp({ host: '127.0.0.1', port: gateway.port }));
	}

	/** Waits for so many bytes and takes them. */
	async take(bytes: number): Promise<string> {
		await until(() => this.received.length >= bytes || this.closed);
		const taken = this.received.subarray(0, bytes).toString('latin1');
		this.received = this.received.subarray(bytes);
		return taken;
	}

	/** Hands the socket over, with nothing read. */
	release(): Socket {
		this.socket.removeAllListeners();
		return this.socket;
	}
}

async function secure(socket: Socket, alpn?: string, servername?: string): Promise<TLSSocket> {
	const secured = connectTls({
		socket,
		rejectUnauthorized: false,
		...(servername === undefined ? {} : { servername }),
		...(alpn === undefined ? {} : { ALPNProtocols: [alpn] }),
	});
	await new Promise<void>((resolve, reject) => {
		secured.once('secureConnect', resolve);
		secured.once('error', reject);
		secured.once('close', () => reject(new Error('closed')));
	});
	return secured;
}

async function greeted(client: WireClient): Promise<unknown> {
	client.socket.write(startupPacket);
	await client.ready();
	const row = (await client.query("select 'hello'")).find(({ type }) => type === 'DataRow');
	client.destroy();
	return row?.type === 'DataRow' && String(row.values[0]);
}

describe('encryption', () => {
	it.each(['allow', 'require'] as const)('is given to whoever asks (%s)', async (mode) => {
		const gateway = await start({ tls: tls(mode) });
		const raw = Raw.to(gateway);
		raw.socket.write(encodeSSLRequest());
		expect(await raw.take(1)).toBe('S');
		const secured = await secure(raw.release(), 'postgresql');
		expect(await greeted(new WireClient(secured))).toBe('hello');
		expect(gateway.pipeline.events[0]).toMatchObject({ type: 'login', session: { tls: { version: 'TLSv1.3' } } });
	});

	it('may begin at once, when the client names the protocol', async () => {
		const gateway = await start({ tls: tls('require') });
		const secured = await secure(connectTcp({ host: '127.0.0.1', port: gateway.port }), 'postgresql');
		expect(secured.alpnProtocol).toBe('postgresql');
		expect(await greeted(new WireClient(secured))).toBe('hello');
	});

	it.each([undefined, 'h2'])('does not begin at once for a client that names %s', async (alpn) => {
		const gateway = await start({ tls: tls('require') });
		const socket = connectTcp({ host: '127.0.0.1', port: gateway.port });
		socket.on('error', () => undefined);
		const outcome = await secure(socket, alpn).then(
			(secured) =>
				new Promise((resolve) => {
					secured.on('error', () => undefined);
					secured.on('close', () => resolve('closed'));
					secured.on('data', () => resolve('answered'));
					secured.write(startupPacket);
				}),
			() => 'closed',
		);
		expect(outcome).toBe('closed');
	});

	it('is declined where there is none, and the client may go on', async () => {
		const gateway = await start();
		const raw = Raw.to(gateway);
		raw.socket.write(gssRequest);
		expect(await raw.take(1)).toBe('N');
		raw.socket.write(encodeSSLRequest());
		expect(await raw.take(1)).toBe('N');
		expect(await greeted(new WireClient(raw.release()))).toBe('hello');
	});

	it('is demanded', async () => {
		const gateway = await start({ tls: tls('require') });
		await expect(WireClient.open({ port: gateway.port })).rejects.toMatchObject({ code: '28000' });
	});

	it('is not demanded where it is only allowed', async () => {
		const gateway = await start({ tls: tls('allow') });
		const client = await WireClient.open({ port: gateway.port });
		client.destroy();
	});

	it('GSS is declined, TLS then given', async () => {
		const gateway = await start({ tls: tls('require') });
		const raw = Raw.to(gateway);
		raw.socket.write(gssRequest);
		expect(await raw.take(1)).toBe('N');
		raw.socket.write(encodeSSLRequest());
		expect(await raw.take(1)).toBe('S');
		expect(await greeted(new WireClient(await secure(raw.release())))).toBe('hello');
	});
});

describe('bytes that are no proper beginning', () => {
	const rubbish: readonly [string, Buffer, ListenerTls['mode'] | null][] = [
		['plaintext behind an SSLRequest', Buffer.concat([encodeSSLRequest(), startupPacket]), 'allow'],
		['plaintext behind an SSLRequest that is declined', Buffer.concat([encodeSSLRequest(), startupPacket]), null],
		['plaintext behind a GSSENCRequest', Buffer.concat([gssRequest, startupPacket]), null],
		['two SSLRequests', Buffer.concat([encodeSSLRequest(), encodeSSLRequest()]), null],
		['a length of nothing', Buffer.from([0, 0, 0, 0]), null],
		['a negative length', Buffer.from([255, 255, 255, 255]), null],
		['a huge length', Buffer.from([0x7f, 255, 255, 255]), null],
		['HTTP', Buffer.from('GET / HTTP/1.1\r\n\r\n'), null],
		['a TLS handshake where there is no TLS', Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 252]), null],
		['broken TLS', Buffer.from([0x16, 3, 1, 0, 4, 9, 9, 9, 9]), 'allow'],
		['no user', encodeStartupMessage(protocolVersions.v3_0, []), null],
		['protocol 2', encodeStartupMessage(0x0002_0000, []), null],
		['Terminate', encodeTerminate(), null],
	];

	it.each(rubbish)('%s', async (_, bytes, mode) => {
		const gateway = await start(mode === null ? {} : { tls: tls(mode) });
		const raw = Raw.to(gateway);
		raw.socket.write(bytes);
		await until(() => raw.closed);
		// Whatever is said is an ErrorResponse, FATAL.
		const said = raw.received.toString('latin1').replace(/^N/, '');
		if (mode === null && said !== '') expect(said).toMatch(/^E.{4}SFATAL\0/s);
		await until(() => gateway.listener.stats.connecting === 0);
		expect(gateway.pool.stats.leased).toBe(0);
		expect(gateway.pipeline.events.filter(({ type }) => type === 'login')).toEqual([]);
	});

	/** As the server has it: who sends this would not understand what is said. */
	const foreign: readonly [string, Buffer][] = [
		['a length of nothing', Buffer.from([0, 0, 0, 0])],
		['a length of seven', Buffer.from([0, 0, 0, 7, 0, 0, 0])],
		['a negative length', Buffer.from([255, 255, 255, 255])],
		['a huge length', Buffer.from([0x7f, 255, 255, 255])],
		['HTTP', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
		['Terminate', encodeTerminate()],
		['a cancel request without a key', Buffer.from('0000000c04d2162e00000001', 'hex')],
		['a cancel request with too long a key', Buffer.from('0000012c04d2162e00000001', 'hex')],
	];

	it.each(foreign)('%s: the connection is closed without a word', async (_, bytes) => {
		const gateway = await start({});
		const raw = Raw.to(gateway);
		raw.socket.write(bytes);
		await until(() => raw.closed);
		expect(raw.received.length).toBe(0);
	});

	it.each([
		['SSL', encodeSSLRequest(), 'SSL request'],
		['GSS', gssRequest, 'GSSAPI encryption request'],
	] as const)('plaintext behind a request for %s: declined, and then refused', async (_, request, words) => {
		const gateway = await start({});
		const raw = Raw.to(gateway);
		raw.socket.write(Buffer.concat([request, startupPacket]));
		await until(() => raw.closed);
		const said = raw.received.toString('latin1');
		expect(said[0]).toBe('N');
		expect(said).toContain(`\0C08P01\0Mreceived unencrypted data after ${words}\0`);
	});

	it('nothing at all: the login has a deadline', async () => {
		const gateway = await start({ limits: { loginTimeoutMs: 50 } });
		const raw = Raw.to(gateway);
		await until(() => raw.closed);
		expect(raw.received.length).toBe(0);
	});

	it('half a startup packet, and then nothing', async () => {
		const gateway = await start({ limits: { loginTimeoutMs: 50 } });
		const raw = Raw.to(gateway);
		raw.socket.write(startupPacket.subarray(0, 20));
		await until(() => raw.closed);
	});

	it('no password within the deadline', async () => {
		const gateway = await start({
			limits: { loginTimeoutMs: 50 },
			steps: () => () => ({ type: 'send', messages: [Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, 3])] }),
		});
		await expect(WireClient.open({ port: gateway.port })).rejects.toMatchObject({ code: '57014' });
		expect(gateway.pipeline.events).toMatchObject([{ type: 'login-failed', sqlstate: '57014' }]);
	});
});

describe('the startup packet', () => {
	it('in single bytes', async () => {
		const gateway = await start();
		const socket = connectTcp({ host: '127.0.0.1', port: gateway.port, noDelay: true });
		const client = new WireClient(socket);
		for (const byte of startupPacket) {
			socket.write(Buffer.from([byte]));
			await new Promise((resolve) => setImmediate(resolve));
		}
		await client.ready();
		client.destroy();
	});

	it('of a newer version is answered with the one that holds', async () => {
		const gateway = await start();
		const socket = connectTcp({ host: '127.0.0.1', port: gateway.port });
		const client = new WireClient(socket);
		const params = { user: 'someone', '_pq_.unheard_of': '1', '_pq_.other': '' };
		socket.write(encodeStartupMessage(0x0003_270f, Object.entries(params)));
		const heard = await client.ready();
		expect(heard[0]).toMatchObject({
			type: 'NegotiateProtocolVersion',
			protocol: protocolVersions.v3_2,
			unrecognized: ['_pq_.unheard_of', '_pq_.other'],
		});
		expect(heard.find(({ type }) => type === 'BackendKeyData')).toMatchObject({ key: { length: 32 } });
		client.destroy();
	});

	it('of 3.0 gets a cancel key of four bytes, and the backend’s process id', async () => {
		const gateway = await start();
		const socket = connectTcp({ host: '127.0.0.1', port: gateway.port });
		const client = new WireClient(socket);
		socket.write(startupPacket);
		const data = (await client.ready()).find(({ type }) => type === 'BackendKeyData');
		expect(data).toMatchObject({ key: { length: 4 } });
		const row = (await client.query('select pg_backend_pid()')).find(({ type }) => type === 'DataRow');
		expect(row?.type === 'DataRow' && String(row.values[0])).toBe(String(data?.type === 'BackendKeyData' && data.pid));
		client.destroy();
	});

	it.each([
		[
			{ options: '-c work_mem=7MB --statement-timeout=1234 -cDateStyle=German\\ ,DMY' },
			['7MB', '1234ms', 'German, DMY'],
		],
		[{ work_mem: '8MB', options: '-c portcullis.login=password' }, ['8MB', '0', 'ISO, MDY']],
	])('sets settings: %o', async (params, want) => {
		const gateway = await start();
		const client = await WireClient.open({ port: gateway.port, params });
		const settings = [];
		for (const name of ['work_mem', 'statement_timeout', 'DateStyle']) {
			const row = (await client.query(`show ${name}`)).find(({ type }) => type === 'DataRow');
			settings.push(row?.type === 'DataRow' && String(row.values[0]));
		}
		expect(settings).toEqual(want);
		// RESET goes back to what the client asked for, as on a direct connection.
		await client.query("set work_mem = '1MB'; reset work_mem");
		const row = (await client.query('show work_mem')).find(({ type }) => type === 'DataRow');
		expect(row?.type === 'DataRow' && String(row.values[0])).toBe(want[0]);
		client.destroy();
	});
});

describe('refusals', () => {
	const rows: readonly [string, Record<string, string>, string, TestGatewayOptions?][] = [
		['a wrong password', { user: 'nobody' }, '28P01'],
		['a database that there is not', { database: 'missing' }, '3D000'],
		['somebody without connect', { user: 'outsider' }, '42501'],
		['replication without a rule', { user: 'outsider', replication: 'database' }, '42501'],
		['physical replication by the name of one database', { replication: 'true' }, '42501'],
		['a word that no connection is opened for', { replication: 'logical' }, '22023'],
		['a setting that is not harmless', { row_security: 'off' }, '42501'],
		['a setting that is not harmless, in options', { options: '-c row-security=off' }, '42501'],
		['a switch of the server', { options: '-F' }, '42501'],
		['a setting without a value', { options: '-c work_mem' }, '42501'],
		['a setting that the server does not know', { no_such_setting: 'x' }, '42704'],
		['too many settings', { work_mem: '4MB', lc_messages: 'C' }, '54000', { limits: { startupSettingsMax: 1 } }],
		['a backend that is down', {}, '08001', { target: { port: 1 } }],
		['a database that the server does not have', {}, '3D000', { target: { dbname: 'nothing_here' } }],
		['too many clients', {}, '53300', { limits: { sessionsMax: 0 } }],
	];

	it.each(rows)('%s', async (_, params, code, options) => {
		const gateway = await start(options);
		const failed = WireClient.open({ port: gateway.port, params });
		await expect(failed).rejects.toMatchObject({ code });
		await until(() => gateway.listener.stats.connecting === 0 && gateway.pool.stats.leased === 0);
		expect(gateway.listener.stats.sessions).toBe(0);
		expect(gateway.pipeline.events).toMatchObject([
			{ type: 'login-failed', sqlstate: code, user: params['user'] ?? 'someone' },
		]);
	});

	it('of a startup packet that is longer than it may be', async () => {
		const gateway = await start({ limits: { startupBytesMax: 200 } });
		await expect(WireClient.open({ port: gateway.port, params: { user: 'x'.repeat(200) } })).rejects.toMatchObject({
			code: '08P01',
		});
		(await WireClient.open({ port: gateway.port, params: { user: 'x'.repeat(100) } })).destroy();
	});

	it('of a client that leaves in the middle of its login are on record', async () => {
		const gateway = await start({
			steps: () => () => ({ type: 'send', messages: [Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, 3])] }),
		});
		const raw = Raw.to(gateway);
		raw.socket.write(startupPacket);
		await raw.take(9);
		raw.socket.write(encodeTerminate());
		await until(() => gateway.pipeline.events.length === 1);
		expect(gateway.pipeline.events).toMatchObject([{ type: 'login-failed', reason: 'the client left' }]);
	});

	it('of a login that fails tell the client what it may know, and the log why', async () => {
		const error = new GatewayError('28P01', 'password authentication failed for user "someone"', { severity: 'FATAL' });
		const gateway = await start({
			steps: () => () => ({ type: 'fail', messages: [], error, reason: 'token of another audience', method: 'token' }),
		});
		await expect(WireClient.open({ port: gateway.port })).rejects.toMatchObject({ message: error.message });
		expect(gateway.pipeline.events).toMatchObject([{ type: 'login-failed', reason: 'token of another audience' }]);
	});
});

describe('CancelRequest', () => {
	const cancel = async (gateway: TestGateway, bytes: Buffer): Promise<void> => {
		const raw = Raw.to(gateway);
		raw.socket.write(bytes);
		await until(() => raw.closed);
		expect(raw.received.length).toBe(0);
	};

	it.each([
		['', protocolVersions.v3_0],
		['', protocolVersions.v3_2],
		[' of a gateway that drains', protocolVersions.v3_0],
	] as const)('stops the statement of its own session%s (%i)', async (drains, protocol) => {
		const gateway = await start();
		const sessions = [];
		for (const _ of [1, 2]) {
			const client = new WireClient(connectTcp({ host: '127.0.0.1', port: gateway.port }));
			client.socket.write(encodeStartupMessage(protocol, Object.entries({ user: 'someone' })));
			const data = (await client.ready()).find((message) => message.type === 'BackendKeyData');
			if (data === undefined) throw new Error('no BackendKeyData');
			sessions.push({ client, data });
		}
		const [one, other] = sessions as [(typeof sessions)[0], (typeof sessions)[0]];
		const { host, port, user, password, database: name } = database;
		const holder = new pg.Client({ host, port, user, password, database: name });
		await holder.connect();
		await holder.query('select pg_advisory_lock(6432)');
		one.client.send(Query('select pg_sleep(3000)'));
		other.client.send(Query('select pg_advisory_lock(6432)'));
		// A CancelRequest that comes before the statement does nothing, as on a direct connection.
		const running = `select pid from pg_stat_activity where state = 'active' and datname = current_database()
				and (query like 'select pg_sleep(%' or wait_event = 'advisory')`;
		while ((await database.sql(running)).length < 2);
		const closed = drains === '' ? null : gateway.listener.close({ deadlineMs: 60_000 });
		const wrong = Buffer.from(one.data.key);
		wrong[0] = (wrong[0] ?? 0) ^ 1;
		await cancel(gateway, encodeCancelRequest(one.data.pid, wrong));
		await cancel(gateway, encodeCancelRequest(one.data.pid, other.data.key));
		await cancel(gateway, encodeCancelRequest(one.data.pid, one.data.key));
		const error = (await one.client.ready()).find((message) => message.type === 'ErrorResponse');
		expect(error?.fields.get('C')).toBe('57014');
		await holder.end();
		expect((await other.client.ready()).map(({ type }) => type)).not.toContain('ErrorResponse');
		const cancels = gateway.pipeline.events.filter((event) => event.type === 'cancel');
		expect(cancels.map(({ session }) => session?.backendPid ?? null)).toEqual([null, null, one.data.pid]);
		one.client.destroy();
		other.client.destroy();
		await closed;
	});

	/** Where the request comes from, and whether it is encrypted, is all the same: the key is what counts. */
	const ways: readonly [string, (gateway: TestGateway) => Promise<Socket>][] = [
		['in plaintext', (gateway) => Promise.resolve(Raw.to(gateway).release())],
		['over TLS that was asked for', (gateway) => overTls(gateway, [encodeSSLRequest()], undefined)],
		['over TLS from the first byte', (gateway) => overTls(gateway, [], 'postgresql')],
		['over TLS after GSS was declined', (gateway) => overTls(gateway, [gssRequest, encodeSSLRequest()], undefined)],
	];

	it.each(ways)('reaches a session over TLS: %s', async (_name, connectTo) => {
		const gateway = await start({ tls: tls('require') });
		const client = new WireClient(await overTls(gateway, [encodeSSLRequest()], undefined));
		client.socket.write(encodeStartupMessage(protocolVersions.v3_2, Object.entries({ user: 'someone' })));
		const data = (await client.ready()).find((message) => message.type === 'BackendKeyData');
		if (data === undefined) throw new Error('no BackendKeyData');
		client.send(Query('select pg_sleep(30)'));
		const running =
			"select pid from pg_stat_activity where state = 'active' and query = 'select pg_sleep(30)' and datname = current_database()";
		while ((await database.sql(running)).length < 1);
		const raw = new Raw(await connectTo(gateway));
		raw.socket.write(encodeCancelRequest(data.pid, data.key));
		await until(() => raw.closed);
		expect(raw.received.length).toBe(0);
		const error = (await client.ready()).find((message) => message.type === 'ErrorResponse');
		expect(error?.fields.get('C')).toBe('57014');
		client.destroy();
	});
});

/** Each request is answered by one byte, the last one by yes. A name is told too (SNI). */
async function overTls(gateway: TestGateway, requests: readonly Buffer[], alpn: string | undefined): Promise<Socket> {
	const raw = Raw.to(gateway);
	for (const [index, request] of requests.entries()) {
		raw.socket.write(request);
		expect(await raw.take(1)).toBe(index === requests.length - 1 ? 'S' : 'N');
	}
	return secure(raw.release(), alpn, 'gateway.test');
}
