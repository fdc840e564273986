/** Two gateways behind a balancer that sends cancel requests anywhere: each finds its session, none hits a later statement, nobody learns anything. */
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { encodeCancelRequest, encodeSSLRequest } from '../../src/wire/encode.ts';
import { encodeForwardedCancel } from '../../src/wire/peer-cancel.ts';
import { Balancer } from '../support/balancer.ts';
import { makeCertificate } from '../support/certificates.ts';
import { SERVICE_PASSWORD, startGateway, type TestConfig, type TestGateway } from '../support/gateway.ts';
import { type Sibling, type Siblings, startSiblings } from '../support/siblings.ts';

const patience = { timeout: 60_000, interval: 20 };

const rules = [
	...['shop', 'shop_tx'].flatMap((name) => [
		`p, *, ${name}, connect, allow`,
		`p, *, ${name}.pg_catalog.pg_sleep(*), execute, allow`,
	]),
	'',
].join('\n');

/** Gives database, provider and policy. */
let world: TestGateway;
let admin: pg.Client;
let siblings: Siblings | null = null;
let balancer: Balancer | null = null;
beforeAll(async () => {
	world = await startGateway({ policies: { 'policy.csv': rules, 'masks.yaml': '{}' } });
	const { host, port, user, password, database } = world.backend;
	admin = new pg.Client({ host, port, user, password, database });
	await admin.connect();
	await writeFile(join(world.folder, 'server.crt'), certificate.cert);
	await writeFile(join(world.folder, 'server.key'), certificate.key);
	await writeFile(join(world.folder, 'other.crt'), makeCertificate({ name: 'other', hosts: ['127.0.0.1'] }).cert);
}, 120_000);
afterEach(async () => {
	await balancer?.close();
	await siblings?.stop();
	[balancer, siblings] = [null, null];
});
afterAll(async () => {
	await admin?.end();
	await world?.stop();
});

const certificate = makeCertificate({ name: 'gateways', hosts: ['127.0.0.1'] });

/** Two that know each other, and themselves, as one file for both would have it. */
async function start(tls: 'off' | 'verified' | 'not trusted'): Promise<readonly [Sibling, Sibling]> {
	const ca = tls === 'verified' ? './server.crt' : './other.crt';
	siblings = await startSiblings(world, {
		count: 2,
		configure: (config: TestConfig, _index, ports) => {
			const { shop } = config.databases;
			config.databases = {
				shop: { ...shop, pool: { size: 20 } },
				shop_tx: { ...shop, pool: { mode: 'transaction', size: 5 } },
			};
			const secured = tls === 'off' ? {} : { tls: { mode: 'require', cert: './server.crt', key: './server.key' } };
			const peerTls = tls === 'off' ? {} : { tls: { mode: 'verify-full', ca } };
			config.listen = {
				...config.listen,
				...secured,
				peers: ports.map((port) => ({ host: '127.0.0.1', port, ...peerTls })),
			};
		},
	});
	const [one, other] = siblings.all;
	if (one === undefined || other === undefined) throw new Error('there are not two');
	return [one, other];
}

async function connected(port: number, database: string, ssl: boolean): Promise<pg.Client> {
	const login = { host: '127.0.0.1', port, user: 'app', password: SERVICE_PASSWORD, database };
	const client = new pg.Client(ssl ? { ...login, ssl: { ca: certificate.cert } } : login);
	client.on('error', () => undefined);
	await client.connect();
	return client;
}

interface CancelKey {
	readonly pid: number;
	readonly key: Buffer;
}

/** What BackendKeyData told the client. */
function keyOf(client: pg.Client): CancelKey {
	const { processID, secretKey } = client as unknown as { readonly processID: number; readonly secretKey: number };
	const key = Buffer.alloc(4);
	key.writeInt32BE(secretKey);
	return { pid: processID, key };
}

/** Sends a first packet as libpq does, and waits for the end of the connection. Resolves with what was said. */
async function say(port: number, packet: Buffer, { ssl = false, from = '127.0.0.1' } = {}): Promise<string> {
	const plain = connectTcp({ host: '127.0.0.1', port, localAddress: from });
	plain.on('error', () => undefined);
	let socket: Socket = plain;
	if (ssl) {
		plain.write(encodeSSLRequest());
		await new Promise((resolve) => plain.once('data', resolve));
		socket = connectTls({ socket: plain, ca: certificate.cert, host: '127.0.0.1' });
		socket.on('error', () => undefined);
	}
	let said = '';
	socket.on('data', (chunk: Buffer) => {
		said += chunk.toString('latin1');
	});
	socket.write(packet);
	await new Promise((resolve) => socket.once('close', resolve));
	return said;
}

/** The server works on the statement with this text in it. */
async function running(tag: string): Promise<void> {
	await vi.waitFor(async () => {
		const { rowCount } = await admin.query(
			`select from pg_stat_activity where state = 'active' and query like $1 and pid <> pg_backend_pid()`,
			[`%${tag}%`],
		);
		expect(rowCount).toBe(1);
	}, patience);
}

let tags = 0;

/** A long statement that has begun, and how it ends. */
async function sleeping(client: pg.Client): Promise<{ readonly tag: string; readonly ended: Promise<unknown> }> {
	tags += 1;
	const tag = `sleeper ${tags}.`;
	const ended = client.query(`select pg_sleep(300) /* ${tag} */`).then(
		() => null,
		(error: unknown) => error,
	);
	await running(tag);
	return { tag, ended };
}

const cancelled = { code: '57014' };

/** Records are written a moment after what they tell of. */
async function hasCancels(gateway: Sibling, want: readonly object[]): Promise<void> {
	await vi.waitFor(async () => expect(cancelsIn(await gateway.audit())).toEqual(want), patience);
}

function cancelsIn(records: readonly Record<string, unknown>[]): unknown[] {
	return records
		.filter(({ metadata }) => (metadata as { event_code: string }).event_code === 'cancel')
		.map(({ unmapped, src_endpoint: from, status }) => {
			const { matched, passed_on: passed, forwarded_by: by } = unmapped as Record<string, unknown>;
			return { matched, passed, by, status, ip: (from as { ip: string }).ip };
		});
}

describe.each(['off', 'verified'] as const)('through a balancer, TLS %s', (tls) => {
	test('every cancel request finds its session, and hits no later statement', { timeout: 300_000 }, async () => {
		const gateways = await start(tls);
		balancer = await Balancer.start(20);
		await balancer.serve(gateways);
		const { port } = balancer;
		await vi.waitFor(() => expect(balancer?.ready).toHaveLength(2), patience);
		const ssl = tls === 'verified';
		const works = async (database: string): Promise<number> => {
			const client = await connected(port, database, ssl);
			const packet = encodeCancelRequest(keyOf(client).pid, keyOf(client).key);
			for (let round = 0; round < 6; round += 1) {
				const { ended } = await sleeping(client);
				// Encrypted or not, as clients like it.
				expect(await say(port, packet, { ssl: ssl && round % 2 === 0 })).toBe('');
				expect(await ended).toMatchObject(cancelled);
				for (let later = 0; later < 3; later += 1)
					expect((await client.query(`select ${later} as n`)).rows).toEqual([{ n: later }]);
			}
			await client.end();
			return 6;
		};
		const databases = ['shop', 'shop_tx', 'shop', 'shop_tx'];
		const done = await Promise.all(databases.map(works));
		expect(done).toEqual([6, 6, 6, 6]);
		// Each is on record once with its session, wherever it came in; of those that were handed on, the other gateway has a record too.
		const allOf = async (): Promise<unknown[]> =>
			(await Promise.all(gateways.map((gateway) => gateway.audit()))).flatMap(cancelsIn);
		await vi.waitFor(async () => {
			const known = (await allOf()).filter((one) => (one as { matched: boolean }).matched);
			expect(known).toHaveLength(24);
		}, patience);
		const all = await allOf();
		const handedOn = all.filter((one) => (one as { by?: string }).by !== undefined);
		expect(handedOn.length).toBeGreaterThan(0);
		await vi.waitFor(async () => {
			const passed = (await allOf()).filter((one) => (one as { passed?: boolean }).passed);
			expect(passed).toHaveLength(handedOn.length);
		}, patience);
	});
});

describe('a request at the wrong gateway', () => {
	test('is on record where the session is, as the other one saw it come', { timeout: 120_000 }, async () => {
		const [one, other] = await start('off');
		const client = await connected(one.port, 'shop', false);
		const { pid, key } = keyOf(client);
		const { ended } = await sleeping(client);
		await say(other.port, encodeCancelRequest(pid, key), { from: '127.0.0.9' });
		expect(await ended).toMatchObject(cancelled);
		const matched = { matched: true, by: '127.0.0.1', status: 'Success', ip: '127.0.0.9' };
		await hasCancels(one, [matched]);
		await hasCancels(other, [{ matched: false, passed: true, status: 'Unknown', ip: '127.0.0.9' }]);
		// It was handed on to the one that has it, and to itself.
		expect(await other.metrics()).toMatch(/^portcullis_peer_cancels_total\{result="sent"\} 2$/m);
		expect(await other.metrics()).toMatch(/^portcullis_cancel_requests_total\{result="passed"\} 1$/m);
		expect(await one.metrics()).toMatch(/^portcullis_peer_cancels_total\{result="found"\} 1$/m);
		await client.end();
	});

	test('tells nobody whether the key was right, and a wrong one cancels nothing', { timeout: 120_000 }, async () => {
		const [one, other] = await start('off');
		const client = await connected(one.port, 'shop', false);
		const { pid, key } = keyOf(client);
		const wrong = Buffer.from(key);
		wrong[0] = (wrong[0] ?? 0) ^ 1;
		const { ended, tag } = await sleeping(client);
		const requests = [
			encodeCancelRequest(pid, wrong),
			encodeCancelRequest(pid ^ 1, key),
			encodeCancelRequest(pid, Buffer.alloc(32)),
			encodeCancelRequest(pid, Buffer.alloc(200)),
		];
		for (const packet of requests) expect(await say(other.port, packet)).toBe('');
		await running(tag);
		expect(await say(other.port, encodeCancelRequest(pid, key))).toBe('');
		expect(await ended).toMatchObject(cancelled);
		await client.end();
	});

	test('does not get further by the mark of a peer, and cannot lie about where it comes from', {
		timeout: 120_000,
	}, async () => {
		const [one, other] = await start('off');
		const client = await connected(one.port, 'shop', false);
		const { pid, key } = keyOf(client);
		const marked = encodeForwardedCancel({ pid, key, clientAddress: '203.0.113.1', clientPort: 1 });
		const { ended } = await sleeping(client);
		const stranger = { from: '127.0.0.9' };
		expect(await say(other.port, marked, stranger)).toBe('');
		await hasCancels(other, [{ matched: false, status: 'Failure', ip: '127.0.0.9' }]);
		expect(await other.metrics()).toMatch(/^portcullis_peer_cancels_total\{result="sent"\} 0$/m);
		// Who has the key may use it; the record says where it really came from.
		expect(await say(one.port, marked, stranger)).toBe('');
		expect(await ended).toMatchObject(cancelled);
		await hasCancels(one, [{ matched: true, status: 'Success', ip: '127.0.0.9' }]);
		await client.end();
	});

	test('is not acted upon once whoever handed it on has left', { timeout: 120_000 }, async () => {
		const [one] = await start('off');
		const client = await connected(one.port, 'shop', false);
		const { pid, key } = keyOf(client);
		const { ended } = await sleeping(client);
		const marked = encodeForwardedCancel({ pid, key, clientAddress: '', clientPort: 0 });
		const late = connectTcp({ host: '127.0.0.1', port: one.port });
		late.on('error', () => undefined);
		late.end(marked);
		late.resume();
		await new Promise((resolve) => late.once('close', resolve));
		expect(cancelsIn(await one.audit())).toEqual([]);
		expect(await say(one.port, encodeCancelRequest(pid, key))).toBe('');
		expect(await ended).toMatchObject(cancelled);
		await client.end();
	});
});

describe('a peer that cannot be had', () => {
	test('is told in the log, and the other goes on', { timeout: 120_000 }, async () => {
		const [one, other] = await start('off');
		const [way] = siblings?.cables ?? [];
		if (way === undefined) throw new Error('no way');
		const client = await connected(one.port, 'shop', false);
		const { pid, key } = keyOf(client);
		const packet = encodeCancelRequest(pid, key);
		const { ended } = await sleeping(client);
		way.state = 'refusing';
		await say(other.port, packet);
		await vi.waitFor(
			() => expect(other.log.map(({ message }) => message)).toContain('a peer does not take cancel requests'),
			patience,
		);
		way.state = 'whole';
		await say(other.port, packet);
		expect(await ended).toMatchObject(cancelled);
		expect(other.log.map(({ message }) => message)).toContain('a peer takes cancel requests again');
		await client.end();
	});

	test('gets no key when its certificate is not trusted', { timeout: 120_000 }, async () => {
		const [one, other] = await start('not trusted');
		const client = await connected(one.port, 'shop', true);
		const { pid, key } = keyOf(client);
		const { ended } = await sleeping(client);
		await say(other.port, encodeCancelRequest(pid, key));
		const told = other.log.find(({ message }) => message === 'a peer does not take cancel requests');
		expect(told?.fields).toMatchObject({ problem: expect.stringMatching(/certificate/) });
		expect(await other.metrics()).toMatch(/^portcullis_peer_cancels_total\{result="failed"\} 2$/m);
		expect(cancelsIn(await one.audit())).toEqual([]);
		await say(one.port, encodeCancelRequest(pid, key));
		expect(await ended).toMatchObject(cancelled);
		await client.end();
	});
});
