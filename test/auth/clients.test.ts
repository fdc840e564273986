/** Real clients sign in at the bridge: pg, postgres.js and, where it is installed, psql (libpq's own SCRAM and TLS code). */
import { execFile, spawnSync } from 'node:child_process';
import { createServer, type Server, type Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import pg from 'pg';
import postgres from 'postgres';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { AuthBridge } from '../../src/auth/bridge.ts';
import { serverEndPointHash } from '../../src/auth/channel-binding.ts';
import type { ClientTls, Step } from '../../src/auth/exchange.ts';
import { FailureLimiter } from '../../src/auth/failures.ts';
import { formatVerifier, makeVerifier } from '../../src/auth/verifier.ts';
import {
	encodeBackendKeyData,
	encodeCommandComplete,
	encodeGatewayError,
	encodeParameterStatus,
	encodeReadyForQuery,
} from '../../src/wire/encode.ts';
import { Framer, loginRules } from '../../src/wire/framer.ts';
import { readStartup, type Startup } from '../../src/wire/startup.ts';
import { makeCertificate, type SignatureKind } from '../support/certificates.ts';
import { FakeIssuer, makeKey } from './issuer.ts';

const password = 'pass word';
/** Needs SASLprep, which postgres.js does not do. */
const preparedPassword = 'p\u00e4ss \u2168 word';
const verifier = formatVerifier(await makeVerifier(password));
const preparedVerifier = formatVerifier(await makeVerifier(preparedPassword));
const key = await makeKey('k1', 'RS256');
const hasPsql = spawnSync('psql', ['--version']).status === 0;
if (!hasPsql) console.warn('psql is not installed: its logins are left out');

/** A server that signs in by the bridge and answers nothing else. */
class LoginGate {
	readonly issuer = new FakeIssuer('https://id.example.com', [key]);
	readonly steps: Step[] = [];
	readonly #server: Server;
	readonly #sockets = new Set<Socket>();
	#kind: SignatureKind | null = null;

	constructor() {
		this.#server = createServer((socket) => {
			this.#sockets.add(socket);
			socket.on('error', () => undefined);
			void this.#serve(socket);
		});
	}

	async start(kind: SignatureKind | null): Promise<number> {
		this.#kind = kind;
		await new Promise<void>((resolve) => {
			this.#server.listen(0, '127.0.0.1', resolve);
		});
		return (this.#server.address() as { port: number }).port;
	}

	stop(): void {
		this.#server.close();
		for (const socket of this.#sockets) socket.destroy();
	}

	get #bridge(): AuthBridge {
		const settings = {
			issuers: [{ issuer: this.issuer.issuer, audience: 'portcullis', username: 'email' }],
			users: [
				{ name: 'app', password: { scram: verifier } },
				{ name: 'prepared', password: { scram: preparedVerifier } },
			],
		};
		const deps = { now: this.issuer.now, fetch: this.issuer.fetch, delay: async () => undefined };
		return new AuthBridge(settings, { ...deps, failures: new FailureLimiter() });
	}

	async #serve(raw: Socket): Promise<void> {
		let socket = raw;
		let tls: ClientTls | null = null;
		let start = await this.#firstPacket(socket);
		while (start !== null && start.type !== 'StartupMessage') {
			if (start.type === 'SSLRequest' && this.#kind !== null) {
				const {
					cert,
					key: secret,
					der,
				} = makeCertificate({ name: 'localhost', hosts: ['localhost'], kind: this.#kind });
				raw.write('S');
				socket = new TLSSocket(raw, { isServer: true, cert, key: secret, ALPNProtocols: ['postgresql'] });
				socket.on('error', () => undefined);
				tls = { version: 'TLSv1.3', cipher: 'x', serverCertHash: serverEndPointHash(der) ?? undefined };
			} else {
				socket.write('N');
			}
			start = await this.#firstPacket(socket);
		}
		if (start === null) return;
		const { params } = start;
		const exchange = this.#bridge.begin({
			user: params.get('user') ?? '',
			database: params.get('database') ?? '',
			options: params.get('options'),
			tls,
			address: '127.0.0.1',
		});
		const framer = new Framer(loginRules());
		let step = await exchange.step(null);
		for (;;) {
			this.steps.push(step);
			for (const message of step.messages) socket.write(message);
			if (step.type !== 'send') break;
			const body = await this.#message(socket, framer);
			if (body === null) return;
			step = await exchange.step(body);
		}
		if (step.type === 'fail') socket.end(encodeGatewayError(step.error));
		else this.#welcome(socket);
	}

	#welcome(socket: Socket): void {
		const settings = { server_version: '18.0', client_encoding: 'UTF8', standard_conforming_strings: 'on' };
		for (const [name, value] of Object.entries(settings)) socket.write(encodeParameterStatus(name, value));
		socket.write(encodeBackendKeyData(1, Buffer.alloc(4)));
		socket.write(encodeReadyForQuery('I'));
		socket.on('data', (chunk) => {
			if (chunk[0] !== 0x51) return;
			socket.write(encodeCommandComplete('SELECT 0'));
			socket.write(encodeReadyForQuery('I'));
		});
		socket.resume();
	}

	async #firstPacket(socket: Socket): Promise<Startup | null> {
		const bytes = await this.#read(socket);
		return bytes === null ? null : (readStartup(bytes)?.message ?? null);
	}

	async #message(socket: Socket, framer: Framer): Promise<Buffer | null> {
		for (;;) {
			const bytes = await this.#read(socket);
			if (bytes === null) return null;
			framer.push(bytes);
			if (framer.next()) return Buffer.from(framer.buffer.subarray(framer.start + 5, framer.end));
		}
	}

	#read(socket: Socket): Promise<Buffer | null> {
		return new Promise((resolve) => {
			socket.once('data', (chunk: Buffer) => {
				socket.pause();
				resolve(chunk);
			});
			socket.once('close', () => resolve(null));
			socket.resume();
		});
	}
}

let gate: LoginGate;

beforeEach(() => {
	gate = new LoginGate();
});

afterEach(() => {
	gate.stop();
});

interface Attempt {
	readonly port: number;
	readonly user: string;
	readonly password: string;
	readonly tls: boolean;
}

type Client = (attempt: Attempt) => Promise<string>;

/** Each answers 'ok' or the text of the error that its user would see. */
const clients: Readonly<Record<string, Client>> = {
	pg: (attempt) => withPg(attempt, false),
	'pg with channel binding': (attempt) => withPg(attempt, true),
	'postgres.js': async ({ port, user, password: secret, tls }) => {
		const sql = postgres({
			host: '127.0.0.1',
			port,
			user,
			password: secret,
			database: 'shop',
			ssl: tls ? { rejectUnauthorized: false } : false,
			max: 1,
			fetch_types: false,
		});
		try {
			await sql`select 1`.simple();
			return 'ok';
		} catch (error) {
			return (error as Error).message;
		} finally {
			await sql.end({ timeout: 1 });
		}
	},
	...(hasPsql
		? {
				psql: (attempt: Attempt) => withPsql(attempt, attempt.tls ? 'sslmode=require' : 'sslmode=disable'),
				'psql that insists on channel binding': (attempt: Attempt) =>
					withPsql(
						attempt,
						attempt.tls && attempt.user === 'app' ? 'sslmode=require channel_binding=require' : 'sslmode=prefer',
					),
				'psql without channel binding': (attempt: Attempt) =>
					withPsql(attempt, 'sslmode=prefer channel_binding=disable'),
			}
		: {}),
};

async function withPg({ port, user, password: secret, tls }: Attempt, enableChannelBinding: boolean): Promise<string> {
	const client = new pg.Client({
		host: '127.0.0.1',
		port,
		user,
		password: secret,
		database: 'shop',
		ssl: tls ? { rejectUnauthorized: false } : false,
		enableChannelBinding,
	} as pg.ClientConfig);
	client.on('error', () => undefined);
	try {
		await client.connect();
		return 'ok';
	} catch (error) {
		return (error as Error).message;
	} finally {
		await client.end().catch(() => undefined);
	}
}

function withPsql({ port, user, password: secret }: Attempt, more: string): Promise<string> {
	const conninfo = `host=127.0.0.1 port=${port} user=${user} dbname=shop ${more}`;
	const env = { ...process.env, PGPASSWORD: secret, PGCONNECT_TIMEOUT: '10', HOME: '/nonexistent' };
	return new Promise((resolve) => {
		execFile('psql', ['-X', '-w', '-c', '', conninfo], { env }, (error, _out, err) => {
			resolve(error === null ? 'ok' : err);
		});
	});
}

describe.each(Object.entries(clients))('%s', (_name, client) => {
	const rows = [
		{ name: 'SCRAM over plaintext', user: 'app', tls: null, secret: password, want: /^ok$/ },
		{ name: 'SCRAM over TLS', user: 'app', tls: 'rsa-sha256', secret: password, want: /^ok$/ },
		{
			name: 'SCRAM over TLS with a certificate of SHA-384',
			user: 'app',
			tls: 'ecdsa-sha384',
			secret: password,
			want: /^ok$/,
		},
		{
			name: 'a wrong password',
			user: 'app',
			tls: 'rsa-sha256',
			secret: 'x',
			want: /password authentication failed for user "app"/,
		},
		{ name: 'a token over TLS', user: 'ana', tls: 'rsa-sha256', secret: 'token', want: /^ok$/ },
		{
			name: 'a wrong token',
			user: 'ana',
			tls: 'rsa-sha256',
			secret: 'x.y.z',
			want: /password authentication failed for user "ana"/,
		},
	] as const;
	test.each(rows)('$name', async ({ user, tls, secret, want }) => {
		const port = await gate.start(tls);
		const token = await gate.issuer.token({ claims: { padding: 'x'.repeat(12_000) } });
		const got = await client({ port, user, password: secret === 'token' ? token : secret, tls: tls !== null });
		expect(got).toMatch(want);
		const last = gate.steps.at(-1);
		expect(last?.type).toBe(got === 'ok' ? 'done' : 'fail');
	});
});

test('the clients that can do it did bind the channel', async () => {
	const port = await gate.start('rsa-sha256');
	const attempt = { port, user: 'app', password, tls: true };
	for (const [name, method] of [
		['pg', 'scram-sha-256'],
		['pg with channel binding', 'scram-sha-256-plus'],
		['psql', 'scram-sha-256-plus'],
		['psql without channel binding', 'scram-sha-256'],
	] as const) {
		const client = clients[name];
		if (client === undefined) continue;
		expect(await client(attempt)).toBe('ok');
		expect(gate.steps.at(-1)).toMatchObject({ type: 'done', identity: { method } });
	}
});

test('a password beyond ASCII is prepared as the clients prepare it', async () => {
	const port = await gate.start(null);
	for (const name of ['pg', 'psql']) {
		const attempt = { port, user: 'prepared', password: preparedPassword, tls: false };
		expect(await (clients[name]?.(attempt) ?? 'ok')).toBe('ok');
	}
});
