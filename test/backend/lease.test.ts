/** Session-mode leases: one connection each, bounded, queued with a deadline, and nothing left behind. */
import { describe, expect, test } from 'vitest';
import type { BackendConnection, connectBackend } from '../../src/backend/connection.ts';
import { SessionPool } from '../../src/backend/session-pool.ts';
import type { BackendTarget } from '../../src/backend/target.ts';
import { GatewayError } from '../../src/errors.ts';

const target: BackendTarget = {
	host: 'db',
	port: 5432,
	dbname: 'shop',
	user: 'gateway',
	password: () => 'x',
	tls: { mode: 'disable' },
};

/** Dials connections that exist in name only, and keeps count of them. */
class FakeServer {
	open = 0;
	most = 0;
	dialled: Readonly<Record<string, string>>[] = [];
	failure: GatewayError | null = null;
	/** Resolves the closing of a connection; by default at once. */
	closing: Promise<void> = Promise.resolve();

	readonly dial: typeof connectBackend = async (_target, startup, options) => {
		this.dialled.push(startup);
		this.open += 1;
		this.most = Math.max(this.most, this.open);
		await Promise.resolve();
		if (this.failure !== null || options?.signal?.aborted === true) {
			this.open -= 1;
			throw this.failure ?? new GatewayError('08001', 'aborted');
		}
		const close = async (): Promise<void> => {
			await this.closing;
			this.open -= 1;
		};
		return { close } as Partial<BackendConnection> as BackendConnection;
	};
}

function pool(server: FakeServer, size = 2, queueTimeoutMs = 5000, queueMax = 10): SessionPool {
	return new SessionPool(target, { size, queueTimeoutMs, queueMax, dial: server.dial });
}

const request = { startup: { application_name: 'psql' } };

describe('SessionPool', () => {
	test('dials with the parameters of the client, closes at release', async () => {
		const server = new FakeServer();
		const leases = pool(server);
		const lease = await leases.lease(request);
		expect(server.dialled).toEqual([request.startup]);
		expect(leases.stats).toEqual({ size: 2, leased: 1, connecting: 0, waiting: 0 });
		await lease.release('clean');
		await lease.release('clean');
		expect(leases.stats).toEqual({ size: 2, leased: 0, connecting: 0, waiting: 0 });
		expect(server.open).toBe(0);
	});

	test('never more than its size, in order of arrival', async () => {
		const server = new FakeServer();
		const leases = pool(server, 2);
		const order: number[] = [];
		const work = Array.from({ length: 20 }, async (_, at) => {
			const lease = await leases.lease(request);
			order.push(at);
			await new Promise(setImmediate);
			await lease.release(at % 2 === 0 ? 'dirty' : 'broken');
		});
		// Ten wait at most; the last ones are refused.
		const done = await Promise.allSettled(work);
		expect(done.map(({ status }) => status)).toEqual([...Array(12).fill('fulfilled'), ...Array(8).fill('rejected')]);
		expect(server.most).toBe(2);
		expect(order).toEqual(Array.from({ length: 12 }, (_, at) => at));
		expect(server.open).toBe(0);
	});

	test('a place is not free before the server has seen the end', async () => {
		const server = new FakeServer();
		const leases = pool(server, 1);
		let closed: () => void = () => undefined;
		server.closing = new Promise((resolve) => {
			closed = resolve;
		});
		const first = await leases.lease(request);
		const released = first.release('clean');
		const second = leases.lease(request);
		await new Promise(setImmediate);
		expect(leases.stats.waiting).toBe(1);
		closed();
		await released;
		await (await second).release('clean');
		expect(server.most).toBe(1);
	});

	test('53300 when the wait is over, and the place is kept for nobody', async () => {
		const server = new FakeServer();
		const leases = pool(server, 1, 20);
		const held = await leases.lease(request);
		await expect(leases.lease(request)).rejects.toMatchObject({ sqlstate: '53300', severity: 'FATAL' });
		expect(leases.stats.waiting).toBe(0);
		await held.release('clean');
		await (await leases.lease(request)).release('clean');
	});

	test('a client that leaves gives up its place in the queue', async () => {
		const server = new FakeServer();
		const leases = pool(server, 1);
		const held = await leases.lease(request);
		const leaving = new AbortController();
		const waiting = leases.lease({ ...request, signal: leaving.signal });
		const next = leases.lease(request);
		leaving.abort();
		await expect(waiting).rejects.toMatchObject({ sqlstate: '08006' });
		await held.release('clean');
		await (await next).release('clean');
		await expect(leases.lease({ ...request, signal: leaving.signal })).rejects.toMatchObject({ sqlstate: '08006' });
		expect(leases.stats).toEqual({ size: 1, leased: 0, connecting: 0, waiting: 0 });
	});

	test('a failed dial frees its place', async () => {
		const server = new FakeServer();
		const leases = pool(server, 1);
		server.failure = new GatewayError('08001', 'down', { severity: 'FATAL' });
		await expect(leases.lease(request)).rejects.toBe(server.failure);
		server.failure = null;
		await (await leases.lease(request)).release('clean');
	});

	test('close ends those that wait, those that dial and those that work', async () => {
		const server = new FakeServer();
		const leases = pool(server, 2);
		await leases.lease(request);
		const dialling = leases.lease(request);
		const waiting = leases.lease(request);
		await Promise.resolve();
		const failed = Promise.allSettled([dialling, waiting]);
		await leases.close();
		expect((await failed).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
		expect(server.open).toBe(0);
		await expect(leases.lease(request)).rejects.toMatchObject({ sqlstate: '57P01' });
	});
});
