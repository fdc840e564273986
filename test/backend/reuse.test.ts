/** Session pools with `reuse`: which connections go on to whom, and that whatever is not plainly as new is closed. */
import { type AddressInfo, createServer, connect, type Server, type Socket } from 'node:net';
import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { BackendConnection, connectBackend } from '../../src/backend/connection.ts';
import { ByteChannel } from '../../src/backend/channel.ts';
import type { Lease, LeaseRequest } from '../../src/backend/lease.ts';
import type { ReusingPoolOptions } from '../../src/backend/pool-options.ts';
import { SessionPool } from '../../src/backend/session-pool.ts';
import type { BackendTarget } from '../../src/backend/target.ts';
import { encodeBackend } from '../../src/wire/encode.ts';

const target: BackendTarget = {
	host: 'db',
	port: 5432,
	dbname: 'shop',
	user: 'gateway',
	password: () => 'x',
	tls: { mode: 'disable' },
};
const discarded = encodeBackend({ type: 'CommandComplete', tag: 'DISCARD ALL' });
const ready = encodeBackend({ type: 'ReadyForQuery', status: 'I' });
const status = (name: string, value: string): Buffer => encodeBackend({ type: 'ParameterStatus', name, value });
const plain = [discarded, ready];

let server: Server;
/** What the server answers to DISCARD ALL; null: nothing. */
let answer: readonly Buffer[] | null = plain;
let accepted: Socket[] = [];
let numbers = 0;
let most = 0;
const open = new Set<BackendConnection>();
let pool: SessionPool;

const dial: typeof connectBackend = async (at) => {
	const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
	const channel = new ByteChannel(socket, true);
	await once(socket, 'connect');
	numbers += 1;
	const connection: BackendConnection = {
		socket,
		channel,
		target: at,
		address: 'db:5432',
		pid: numbers,
		cancelKey: Buffer.alloc(4),
		serverVersion: 180_000,
		parameters: new Map([['TimeZone', 'UTC']]),
		get alive() {
			return channel.alive;
		},
		attach: (sink) => channel.attach(sink),
		detach: (rest) => channel.detach(rest),
		close: () => channel.close(),
	};
	open.add(connection);
	most = Math.max(most, open.size);
	socket.once('close', () => open.delete(connection));
	return connection;
};

function start(options: Partial<ReusingPoolOptions> = {}): void {
	pool = new SessionPool(target, { size: 2, dial, targets: new Map([['other', target]]), ...options });
}

beforeEach(async () => {
	answer = plain;
	accepted = [];
	numbers = 0;
	most = 0;
	server = createServer((socket) => {
		accepted.push(socket);
		socket.on('error', () => undefined);
		socket.on('data', () => {
			if (answer !== null) socket.write(Buffer.concat(answer));
		});
	});
	server.listen(0, '127.0.0.1');
	await once(server, 'listening');
	start();
});

afterEach(async () => {
	await pool.close();
	for (const socket of accepted) socket.destroy();
	await new Promise((resolve) => server.close(resolve));
	expect([open.size, pool.taken]).toEqual([0, 0]);
});

const lease = (more: Partial<LeaseRequest> = {}): Promise<Lease> =>
	pool.lease({ startup: { application_name: 'psql' }, reuse: true, ...more });

async function visit(more?: Partial<LeaseRequest>): Promise<number> {
	const leased = await lease(more);
	await leased.release('dirty');
	return leased.connection.pid;
}

async function gone(count: number): Promise<void> {
	while (open.size > count) await new Promise((resolve) => setImmediate(resolve));
}

describe('a connection goes on', () => {
	test.each<[string, Partial<LeaseRequest>, number]>([
		['to who asks for the same', {}, 1],
		['not for other startup parameters', { startup: { application_name: 'pgbench' } }, 2],
		['not for more of them', { startup: { application_name: 'psql', DateStyle: 'German' } }, 2],
		['not for another role', { as: 'other' }, 2],
		['not to who wants one for itself', { reuse: false }, 2],
	])('%s', async (_, more, pid) => {
		expect(await visit()).toBe(1);
		expect(await visit(more)).toBe(pid);
		expect(await visit()).toBe(1);
	});

	test.each<[string, readonly Buffer[] | null]>([
		[
			'an error',
			[
				encodeBackend({
					type: 'ErrorResponse',
					fields: new Map([
						['S', 'ERROR'],
						['C', '25001'],
						['M', 'no'],
					]),
				}),
				ready,
			],
		],
		['the end of something else', [encodeBackend({ type: 'CommandComplete', tag: 'SELECT 1' }), ready]],
		['the end of something else before it', [encodeBackend({ type: 'CommandComplete', tag: 'SELECT 1' }), ...plain]],
		['what belongs to another statement', [encodeBackend({ type: 'ParseComplete' }), ...plain]],
		['nothing but that it is ready', [ready]],
		['that a transaction is open', [discarded, encodeBackend({ type: 'ReadyForQuery', status: 'T' })]],
		['another setting than at the login', [status('TimeZone', 'Asia/Tokyo'), ...plain]],
		['a setting that it has not told of before', [status('search_path', 'app'), ...plain]],
		['no message', [Buffer.from('?????????')]],
		['more than was asked for', [...plain, ready]],
		['nothing', null],
	])('not where the server answers %s', async (_, given) => {
		start({ checkTimeoutMs: 50 });
		answer = given;
		expect(await visit()).toBe(1);
		await gone(0);
		answer = plain;
		expect(await visit()).toBe(2);
	});

	test('where settings are reported as they were', async () => {
		answer = [
			status('TimeZone', 'UTC'),
			encodeBackend({ type: 'NotificationResponse', pid: 7, channel: 'c', payload: '' }),
			...plain,
		];
		const first = await lease();
		first.reported?.('TimeZone', 'Asia/Tokyo');
		await first.release('dirty');
		expect(await visit()).toBe(1);
	});

	test('not where they are not', async () => {
		const first = await lease();
		first.reported?.('TimeZone', 'Asia/Tokyo');
		await first.release('dirty');
		expect(await visit()).toBe(2);
	});

	test('not from who leaves it broken', async () => {
		await (await lease()).release('broken');
		expect(await visit()).toBe(2);
	});

	test('not once it is old, and not where its host is no more what was asked for', async () => {
		start({ lifetimeMs: 1 });
		const first = await lease();
		await new Promise((resolve) => setTimeout(resolve, 5));
		await first.release('dirty');
		expect(open.size).toBe(0);
		let usable = true;
		start({ usable: () => usable });
		expect(await visit()).toBe(2);
		usable = false;
		expect(await visit()).toBe(3);
	});

	test('is tried first when nobody had it for long', async () => {
		start({ checkAfterMs: 0 });
		expect(await visit()).toBe(1);
		expect(await visit()).toBe(1);
		answer = [ready];
		const next = await lease();
		expect(next.connection.pid).toBe(2);
		answer = plain;
		await next.release('dirty');
	});
});

describe('a connection that nobody has', () => {
	test.each<[string, (socket: Socket) => void]>([
		['a message', (socket) => socket.write(status('TimeZone', 'UTC'))],
		['half a message', (socket) => socket.write('N')],
		['that it ends', (socket) => socket.end()],
	])('is closed when the server says %s', async (_, say) => {
		await visit();
		say(accepted[0] as Socket);
		await gone(0);
		expect(await visit()).toBe(2);
	});

	test('gives up its place to others, and no place is used twice', async () => {
		const kinds = Array.from({ length: 24 }, (_, at) => ({ startup: { application_name: String(at % 5) } }));
		const pids = await Promise.all(kinds.map(visit));
		expect(new Set(pids).size).toBeGreaterThanOrEqual(5);
		expect(most).toBe(2);
		expect(pool.stats).toMatchObject({ leased: 0, connecting: 0, waiting: 0 });
	});

	test('goes straight to who waits for the same', async () => {
		start({ size: 1 });
		expect(new Set(await Promise.all([visit(), visit(), visit()]))).toEqual(new Set([1]));
	});

	test.each<[string, () => void | Promise<void>]>([
		[
			'a smaller pool',
			() =>
				pool.resize({
					size: 0,
					reserve: 0,
					reserveAfterMs: 0,
					statementsMax: 1,
					idleMs: 0,
					checkAfterMs: 0,
					lifetimeMs: 0,
				}),
		],
		['closeIdle', () => pool.closeIdle()],
		['the end of the pool', () => pool.close()],
	])('is closed by %s', async (_, act) => {
		await visit();
		expect(pool.stats).toEqual({ size: 2, leased: 0, connecting: 0, waiting: 0, idle: 1 });
		await act();
		await gone(0);
	});

	test('is closed after a while', async () => {
		start({ idleMs: 1 });
		await visit();
		await gone(0);
		expect(pool.stats.idle).toBe(0);
	});

	test('the end of the pool does not wait for a server that says nothing', async () => {
		answer = null;
		const released = (await lease()).release('dirty');
		await pool.close();
		await released;
	});
});
