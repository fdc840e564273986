/** Attacks on the sign-in of a whole gateway: floods, clients that leave, sizes, secrets in records, and what answers tell. */
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { connect, Socket } from 'node:net';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { introspect } from '../../src/auth/introspection.ts';
import { Provider } from '../../src/auth/provider.ts';
import { TokenVerifier } from '../../src/auth/token.ts';
import { login } from '../../src/cli/person/commands.ts';
import { readProfile } from '../../src/cli/person/profile.ts';
import { type Backend, decodeBackend } from '../../src/wire/backend.ts';
import { protocolVersions } from '../../src/wire/codes.ts';
import { encodeFrontend, encodeStartupMessage } from '../../src/wire/encode.ts';
import { backendRules, Framer } from '../../src/wire/framer.ts';
import { arrive } from '../cli/person/person.ts';
import { startOidc } from '../support/oidc.ts';
import { SERVICE_PASSWORD, startGateway, type TestGateway } from '../support/gateway.ts';

let gateway: TestGateway;

beforeAll(async () => {
	gateway = await startGateway();
});

afterAll(async () => {
	await gateway.stop();
});

/** A connection whose messages are read one by one. */
class Client {
	readonly socket: Socket;
	readonly #messages: AsyncGenerator<Backend>;

	constructor() {
		this.socket = connect({ host: gateway.host, port: gateway.port, noDelay: true });
		this.socket.on('error', () => undefined);
		this.#messages = receive(this.socket);
		onTestFinished(() => void this.socket.destroy());
	}

	startup(user: string, options?: string, database = 'shop'): void {
		const params = { user, database, ...(options === undefined ? {} : { options }) };
		this.socket.write(encodeStartupMessage(protocolVersions.v3_0, Object.entries(params)));
	}

	/** The next messages up to that one (it included), or up to the end. */
	async until(type: Backend['type']): Promise<Backend[]> {
		const seen: Backend[] = [];
		for (;;) {
			const { value, done } = await this.#messages.next();
			if (done === true) return seen;
			seen.push(value);
			if (value.type === type) return seen;
		}
	}
}

async function* receive(socket: Socket): AsyncGenerator<Backend> {
	const framer = new Framer(backendRules());
	for await (const chunk of socket) {
		framer.push(chunk as Buffer);
		while (framer.next()) yield decodeBackend(Buffer.from(framer.buffer.subarray(framer.start, framer.end)));
	}
}

function sqlstateOf(messages: readonly Backend[]): string | undefined {
	const last = messages.at(-1);
	return last?.type === 'ErrorResponse' ? last.fields.get('C') : last?.type;
}

async function refusal(
	user: string,
	password: string,
	more: pg.ClientConfig = {},
	{ host, port } = gateway,
): Promise<unknown> {
	const client = new pg.Client({ host, port, user, password, database: 'shop', ...more });
	client.on('error', () => undefined);
	try {
		await client.connect();
		await client.end();
		return 'signed in';
	} catch (error) {
		return (error as { code?: unknown }).code ?? String(error);
	}
}

const DEVICE = '-c portcullis.login=device';

describe('a client that leaves while its login waits for a person', () => {
	const ways: { name: string; leave: (socket: Socket) => void }[] = [
		{ name: 'closes', leave: (socket) => socket.end() },
		{ name: 'resets', leave: (socket) => socket.resetAndDestroy() },
		{ name: 'says so', leave: (socket) => socket.write(encodeFrontend({ type: 'Terminate' })) },
	];
	test.each(ways)('$name: nobody waits any more', async ({ leave }) => {
		const client = new Client();
		client.startup('ana', DEVICE);
		await client.until('NoticeResponse');
		const before = (await gateway.audit()).length;
		leave(client.socket);
		const since = async (): Promise<string> => JSON.stringify((await gateway.audit()).slice(before));
		await expect.poll(since).toContain('the client left');
	});

	test('one that talks on meanwhile is heard once it is signed in, and not before', async () => {
		const client = new Client();
		client.startup('ana', DEVICE);
		const [notice] = (await client.until('NoticeResponse')).slice(-1);
		client.socket.write(encodeFrontend({ type: 'Query', sql: 'select 7' }));
		const text = notice?.type === 'NoticeResponse' ? (notice.fields.get('M') ?? '') : '';
		await gateway.provider.approveDevice(/code (\S+)/.exec(text)?.[1] ?? '', 'ana');
		const seen = (await client.until('CommandComplete')).map(({ type }) => type);
		expect(seen).toContain('ReadyForQuery');
		expect(seen.at(-1)).toBe('CommandComplete');
	});

	test('one that talks without end is not listened to without end', async () => {
		const client = new Client();
		client.startup('ana', DEVICE);
		await client.until('NoticeResponse');
		const megabyte = Buffer.alloc(1024 * 1024, encodeFrontend({ type: 'Sync' }));
		for (let sent = 0; sent < 32; sent += 1) client.socket.write(megabyte);
		// What the gateway takes and does not look at is bounded; the rest waits at the client.
		await expect.poll(() => client.socket.bytesWritten).toBeGreaterThan(100_000);
		expect(client.socket.writableLength).toBeGreaterThan(8 * 1024 * 1024);
		expect(sqlstateOf(await client.until('ErrorResponse'))).toBe('08P01');
	});
});

describe('a flood of connections', () => {
	/** Connections of one address that have not signed in. */
	const CROWD = 8;

	let narrow: TestGateway;

	beforeAll(async () => {
		narrow = await startGateway({
			configure: (config) => {
				config['limits'] = { connectingPerAddressMax: CROWD };
			},
		});
	});

	afterAll(() => narrow.stop());

	const signIn = (more: pg.ClientConfig = {}): Promise<unknown> => refusal('app', SERVICE_PASSWORD, more, narrow);

	async function silent(count: number): Promise<Socket[]> {
		const sockets = Array.from({ length: count }, () => connect({ host: narrow.host, port: narrow.port }));
		onTestFinished(() => sockets.forEach((socket) => void socket.destroy()));
		for (const socket of sockets) socket.on('error', () => undefined);
		await Promise.all(sockets.map((socket) => once(socket, 'connect')));
		return sockets;
	}

	test('uses up the places of its own address only', async () => {
		const sockets = await silent(CROWD);
		const [ninth] = await silent(1);
		if (ninth !== undefined && !ninth.closed) await once(ninth, 'close');
		expect(await signIn()).toMatch(/ECONNRESET|terminated unexpectedly/);
		expect(await signIn({ stream: () => from('127.0.0.2') })).toBe('signed in');
		const told = narrow.log.filter(({ message }) => message.startsWith('connections are cut'));
		expect(told).toEqual([
			{ level: 'warn', message: expect.any(String) as string, fields: { address: '127.0.0.1', limit: CROWD } },
		]);
		for (const socket of sockets) socket.destroy();
		await expect.poll(() => signIn()).toBe('signed in');
	});

	/** A socket for pg that comes from another address of this machine. */
	function from(localAddress: string): Socket {
		const socket = new Socket();
		const plainly = socket.connect.bind(socket);
		return Object.assign(socket, {
			connect: (port: number, host: string) => plainly({ port, host, localAddress }),
		});
	}

	test('who has signed in is no longer of the crowd', async () => {
		const clients = await Promise.all(Array.from({ length: 2 * CROWD }, () => serial(() => narrow.connect('app'))));
		for (const client of clients) await client.end();
	});
});

/** One after the other. */
let last: Promise<unknown> = Promise.resolve();
function serial<T>(work: () => Promise<T>): Promise<T> {
	const next = last.then(work);
	last = next;
	return next;
}

test('attempts without end do not fill the audit log', async () => {
	const own = await startGateway();
	onTestFinished(() => own.stop());
	const ask = async (): Promise<void> => {
		const socket = connect({ host: own.host, port: own.port });
		socket.on('error', () => undefined);
		const params = { user: 'ana', database: 'shop', options: '-c portcullis.login=device', replication: 'nonsense' };
		socket.end(encodeStartupMessage(protocolVersions.v3_0, Object.entries(params)));
		socket.resume();
		await once(socket, 'close');
	};
	for (let left = 40; left > 0; left -= 1) await Promise.all(Array.from({ length: 10 }, ask));
	await own.gateway.close(0);
	const failed = (await own.audit())
		.map((record) => JSON.stringify(record))
		.filter((line) => line.includes('login-failed'));
	expect(failed.length).toBeGreaterThanOrEqual(201);
	expect(failed.length).toBeLessThan(300);
	// None of them is lost sight of.
	const rest = Number(/(\d+) more attempts from there/.exec(failed.at(-1) ?? '')?.[1]);
	expect(rest + failed.length - 1).toBe(400);
});

describe('sizes', () => {
	const rows: { name: string; bytes: () => Buffer }[] = [
		{ name: 'a startup packet of 2 GB', bytes: () => Buffer.from([0x7f, 0xff, 0xff, 0xff, 0, 3, 0, 0]) },
		{ name: 'a startup packet of negative length', bytes: () => Buffer.from([0xff, 0xff, 0xff, 0xff, 0, 3, 0, 0]) },
	];
	test.each(rows)('$name ends the connection by its first bytes, without a word', async ({ bytes }) => {
		const client = new Client();
		client.socket.write(bytes());
		// As PostgreSQL does with what may be no client of its own (ProcessStartupPacket).
		expect(await client.until('ErrorResponse')).toEqual([]);
	});

	test.each([1024 * 1024, 0x7fffffff, -1, 3])('a token of %d bytes is refused by its length', async (length) => {
		const client = new Client();
		client.startup('ana');
		expect((await client.until('AuthenticationCleartextPassword')).length).toBe(1);
		const head = Buffer.from([0x70, 0, 0, 0, 0]);
		head.writeInt32BE(length, 1);
		client.socket.write(head);
		expect(sqlstateOf(await client.until('ErrorResponse'))).toBe('08P01');
	});

	test('a token of 16 kB signs in', async () => {
		const padded = await gateway.provider.forge('ana', { claims: { pad: 'x'.repeat(16_000) } });
		expect(await refusal('ana', padded)).toBe('signed in');
	});
});

test('no byte of a secret is in log or audit, however it came', async () => {
	const { provider } = gateway;
	const good = await provider.signIn('ana');
	const forged = await provider.forge('ana', { key: 'foreign' });
	const expired = await provider.forge('ana', { expiresInS: -600 });
	const secret = 'correct horse battery staple';
	const attempts: Promise<unknown>[] = [
		refusal('ana', good),
		refusal('ana', forged),
		refusal('ana', expired),
		refusal('ben', good),
		refusal('ana', secret),
		refusal('app', secret),
		refusal('app', SERVICE_PASSWORD),
		refusal('app', good),
		// By mistake, where a name belongs.
		refusal(good, 'x'),
		refusal('ana', 'x', { database: forged }),
		refusal('ana', good, { application_name: expired }),
		refusal('ana', good, { options: `-c portcullis.login=${forged}` }),
		refusal('ana', good, { options: `-c portcullis.issuer=${forged}` }),
	];
	await Promise.all(attempts);
	const bearer = new Client();
	bearer.startup('ana', '-c portcullis.login=oauthbearer');
	await bearer.until('AuthenticationSASL');
	const initial = Buffer.from(`n,,\u0001auth=Bearer ${forged}\u0001\u0001`);
	const length = Buffer.alloc(4);
	length.writeInt32BE(initial.length);
	bearer.socket.write(
		encodeFrontend({ type: 'Password', body: Buffer.concat([Buffer.from('OAUTHBEARER\0'), length, initial]) }),
	);
	await bearer.until('AuthenticationSASLContinue');
	const folder = join(gateway.folder, 'audit');
	const files = await Promise.all(
		(await readdir(folder, { withFileTypes: true }))
			.filter((entry) => entry.isFile())
			.map(({ name }) => readFile(join(folder, name), 'latin1')),
	);
	const held = [...files, JSON.stringify(gateway.log)].join('\n');
	expect(held).toContain('the signature is wrong');
	expect(held).toContain('[redacted: a token]');
	// Of a token the payload alone would tell who it is of, and the signature alone is what makes it worth something.
	const parts = [good, forged, expired].flatMap((token) => token.split('.').slice(1));
	for (const part of [...parts, secret, SERVICE_PASSWORD]) expect(held.includes(part), part).toBe(false);
});

test('a refresh token is no access token, though the provider calls it active', async () => {
	const provider = await startOidc({ opaqueTokens: true });
	const person = await arrive();
	onTestFinished(async () => {
		await provider.stop();
		await person.leave();
	});
	person.browser = (url) => {
		void provider.authorize(url, 'ana').then((back) => fetch(back));
		return true;
	};
	const { issuer, clientId } = provider;
	await login(person.io, { profile: 'default', issuer, clientId, username: 'sub' }, person.deps);
	const { refreshToken = null } = (await readProfile(person.file))?.tokens ?? {};
	const introspection = provider.resourceServer;
	const settings = { issuer, clientId, audience: provider.audience, username: 'sub', introspection };
	const verifier = new TokenVerifier([settings], { fetch, now: Date.now });
	expect(await verifier.verify(await provider.signIn('ana'), 'token')).toMatchObject({ ok: true });
	const asked = await introspect(
		fetch,
		await new Provider(issuer, person.deps).metadata(),
		introspection,
		refreshToken ?? '',
	);
	expect(asked).toMatchObject({ active: true, client_id: clientId });
	expect(await verifier.verify(refreshToken ?? '', 'token')).toMatchObject({
		ok: false,
		reason: 'claim aud is not what it must be (an opaque token)',
	});
});

describe('what an answer tells', () => {
	test('a wrong password, an account without one, and a name that nobody has are told the same', async () => {
		const words = async (user: string): Promise<string> => {
			const { host, port } = gateway;
			const client = new pg.Client({ host, port, user, password: 'x', database: 'shop' });
			client.on('error', () => undefined);
			const error = await client.connect().catch((one: unknown) => one as pg.DatabaseError);
			if (!(error instanceof Error)) throw new Error('signed in');
			const { code, severity, message, detail, hint } = error;
			return JSON.stringify({ code, severity, message: message.replace(user, 'NAME'), detail, hint });
		};
		const told = new Set([await words('app'), await words('ana'), await words('nobody-at-all')]);
		expect([...told]).toEqual([
			JSON.stringify({ code: '28P01', severity: 'FATAL', message: 'password authentication failed for user "NAME"' }),
		]);
	});

	test('whether a database exists is told to nobody who has not signed in', async () => {
		expect(await refusal('ana', 'x', { database: 'no-such-database' })).toBe('28P01');
		expect(await refusal('app', 'x', { database: 'no-such-database' })).toBe('28P01');
	});
});
