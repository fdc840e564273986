/** Attacks on the beginning of a connection: what is slipped in before TLS, handshakes that do not end, old versions, floods of bytes. */
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect as connectTcp, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { listenerTls } from '../../src/cli/listener-tls.ts';
import type { ListenerTls } from '../../src/session/services.ts';
import { protocolVersions } from '../../src/wire/codes.ts';
import { encodeFrontend, encodeSSLRequest, encodeStartupMessage } from '../../src/wire/encode.ts';
import { makeCertificate } from '../support/certificates.ts';
import { createDatabase, type TestDatabase } from '../support/postgres.ts';
import { startTestGateway, type TestGateway } from './gateway.ts';
import { until } from './until.ts';

const { cert, key } = makeCertificate({ name: 'gateway.test', hosts: ['gateway.test'] });
const startup = encodeStartupMessage(protocolVersions.v3_0, Object.entries({ user: 'someone', database: 'db' }));

let folder: string;
let tls: ListenerTls;
let database: TestDatabase;
let gateway: TestGateway;

beforeAll(async () => {
	folder = await mkdtemp(join(tmpdir(), 'portcullis-tls-'));
	const files = { cert: join(folder, 'gateway.crt'), key: join(folder, 'gateway.key') };
	await writeFile(files.cert, cert);
	await writeFile(files.key, key, { mode: 0o600 });
	const log = { info: () => undefined, warn: () => undefined, error: () => undefined };
	tls = listenerTls({ mode: 'require', ...files, clientCa: null, clientCrl: null, clientName: 'cn' }, log, Date.now);
	database = await createDatabase();
});

afterEach(async () => {
	await gateway.close();
});

afterAll(async () => {
	await database?.drop();
	await rm(folder, { recursive: true });
});

async function start(loginTimeoutMs = 20_000): Promise<void> {
	gateway = await startTestGateway(database, { tls, limits: { loginTimeoutMs } });
}

function open(): Socket {
	const socket = connectTcp({ host: '127.0.0.1', port: gateway.port, noDelay: true });
	socket.on('error', () => undefined);
	onTestFinished(() => void socket.destroy());
	return socket;
}

/** After the gateway has said that it goes on with TLS. */
async function asked(): Promise<Socket> {
	const socket = open();
	socket.write(encodeSSLRequest());
	const [answer] = (await once(socket, 'data')) as [Buffer];
	expect(answer.toString()).toBe('S');
	socket.pause();
	return socket;
}

async function secured(more: ConnectionOptions = {}): Promise<TLSSocket> {
	const socket = connectTls({ socket: await asked(), rejectUnauthorized: false, ...more });
	socket.on('error', () => undefined);
	await once(socket, 'secureConnect');
	return socket;
}

/** What the peer says before it closes. */
async function last(socket: Socket): Promise<string> {
	let said = '';
	socket.on('data', (chunk) => {
		said += chunk.toString('latin1');
	});
	socket.resume();
	if (!socket.closed) await once(socket, 'close');
	return said;
}

async function nothingLeft(): Promise<void> {
	await until(() => gateway.listener.stats.connecting === 0);
	expect(gateway.pipeline.events.filter(({ type }) => type === 'login')).toEqual([]);
}

describe('plaintext after the gateway has agreed to TLS', () => {
	const rows = [
		{ name: 'a startup packet', bytes: startup },
		{ name: 'a password', bytes: encodeFrontend({ type: 'Password', body: Buffer.from('secret\0') }) },
		{ name: 'another SSLRequest', bytes: encodeSSLRequest() },
	];
	test.each(rows)('$name is no handshake', async ({ bytes }) => {
		await start();
		const socket = await asked();
		socket.write(bytes);
		// A TLS alert at most: nothing that a client would take for an answer.
		expect(await last(socket)).not.toMatch(/^[RES]/);
		await nothingLeft();
	});

	test('behind the ClientHello, in the same segment, is none either', async () => {
		await start();
		const socket = await asked();
		const both = through(socket, (chunk) => [Buffer.concat([chunk, startup])]);
		const dirty = connectTls({ socket: both, rejectUnauthorized: false });
		dirty.on('error', () => undefined);
		expect(await last(socket)).not.toMatch(/^[RES]/);
		await nothingLeft();
	});
});

test('TLS within TLS is not asked for', async () => {
	await start();
	const socket = await secured();
	socket.write(encodeSSLRequest());
	expect(await last(socket)).toMatch(/^E.{4}SFATAL\0VFATAL\0C08P01\0Munexpected SSLRequest/s);
	await nothingLeft();
});

test.each(['TLSv1', 'TLSv1.1'] as const)('%s is refused', async (version) => {
	await start();
	const old = connectTls({
		socket: await asked(),
		rejectUnauthorized: false,
		minVersion: version,
		maxVersion: version,
		ciphers: 'DEFAULT@SECLEVEL=0',
	});
	const [error] = (await once(old, 'error')) as [Error];
	expect(error.message).toMatch(/version|alert|disconnected/i);
	await nothingLeft();
});

test('TLS 1.2 is taken, and its keys are not negotiated anew by the client', async () => {
	await start();
	const socket = await secured({ maxVersion: 'TLSv1.2' });
	expect(socket.getProtocol()).toBe('TLSv1.2');
	const refused = new Promise((resolve) => {
		socket.once('error', ({ code }: NodeJS.ErrnoException) => resolve(code));
		socket.renegotiate({}, () => resolve('done'));
	});
	expect(await refused).toBe('ERR_SSL_NO_RENEGOTIATION');
	socket.destroy();
});

describe('a handshake that does not go on', () => {
	const hello = Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3]);
	const rows: { name: string; begin: () => Promise<Socket> }[] = [
		{ name: 'half a ClientHello', begin: async () => write(await asked(), hello) },
		{ name: 'half a ClientHello at once', begin: async () => write(open(), hello) },
		{ name: 'half a ClientHello, and half a close', begin: async () => write(await asked(), hello).end() },
		{ name: 'none at all', begin: asked },
		{ name: 'an encrypted connection without a startup packet', begin: () => secured() },
	];
	test.each(rows)('$name ends at the deadline of logins', async ({ begin }) => {
		await start(150);
		const socket = await begin();
		await last(socket);
		await nothingLeft();
	});

	function write(socket: Socket, bytes: Buffer): Socket {
		socket.write(bytes);
		return socket;
	}
});

test('a handshake in single bytes is one', async () => {
	await start();
	const socket = await asked();
	const single = through(socket, (chunk) => [...chunk].map((byte) => Buffer.from([byte])));
	const slow = connectTls({ socket: single, rejectUnauthorized: false });
	await once(slow, 'secureConnect');
	slow.write(startup);
	await once(slow, 'data');
	slow.destroy();
});

/** A socket whose writes go out as `pieces` of them. */
function through(socket: Socket, pieces: (chunk: Buffer) => readonly Buffer[]): Duplex {
	const both = new Duplex({
		read: () => undefined,
		write: (chunk: Buffer, _encoding, done) => {
			for (const piece of pieces(chunk)) socket.write(piece);
			done();
		},
	});
	socket.on('data', (chunk) => both.push(chunk));
	socket.on('close', () => both.push(null));
	socket.resume();
	return both;
}
