/** Hosts on a real network: one that accepts and says nothing, one that refuses, one without an address, and one that is cut off. */
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Cluster, NoHostError } from '../../src/backend/cluster.ts';
import { ClusterPool } from '../../src/backend/cluster-pool.ts';
import { SessionPool } from '../../src/backend/session-pool.ts';
import { query } from '../../src/backend/query.ts';
import type { BackendTarget } from '../../src/backend/target.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { eventually } from '../support/time.ts';

let server: TestPostgres;
let target: BackendTarget;
beforeAll(async () => {
	server = await startPostgres();
	const { host, port, user, password } = server;
	target = { host, port, user, dbname: 'postgres', password: () => password, tls: { mode: 'disable' } };
});

const ends: (() => Promise<void> | void)[] = [];
afterEach(async () => {
	for (const end of ends.splice(0).toReversed()) await end();
});

async function listen(onSocket: (socket: Socket) => void): Promise<number> {
	const sockets = new Set<Socket>();
	const listener: Server = createServer((socket) => {
		sockets.add(socket);
		socket.on('error', () => undefined);
		socket.once('close', () => sockets.delete(socket));
		onSocket(socket);
	});
	await new Promise<void>((resolve) => {
		listener.listen(0, '127.0.0.1', resolve);
	});
	ends.push(() => {
		listener.close();
		for (const socket of sockets) socket.destroy();
	});
	return (listener.address() as AddressInfo).port;
}

/** A way to the server that can be cut: then connections are still accepted, and nothing passes in either direction. */
async function cable(): Promise<{ port: number; cut: () => void; mend: () => void }> {
	let whole = true;
	const port = await listen((socket) => {
		const on = connect(server.port, server.host);
		on.on('error', () => socket.destroy());
		socket.once('close', () => on.destroy());
		on.once('close', () => whole && socket.destroy());
		socket.on('data', (chunk) => whole && on.write(chunk));
		on.on('data', (chunk) => whole && socket.write(chunk));
	});
	return {
		port,
		cut: () => {
			whole = false;
		},
		mend: () => {
			whole = true;
		},
	};
}

function start(hosts: readonly { host: string; port: number }[]): Cluster {
	const cluster = new Cluster({
		target,
		hosts,
		attrs: 'primary',
		lagMaxMs: null,
		patroni: null,
		checkMs: 20,
		timeoutMs: 500,
	});
	ends.push(() => cluster.close());
	cluster.start();
	return cluster;
}

const reasonOf = (cluster: Cluster, index: number): string | undefined => cluster.hosts[index]?.reason;

describe('hosts that are no use', () => {
	test('do not keep the primary from being found, and say why they are none', async () => {
		const silent = await listen(() => undefined);
		const { port } = await cable();
		const cluster = start([
			{ host: '127.0.0.1', port: silent },
			{ host: '127.0.0.1', port: 1 },
			{ host: 'host.invalid', port: 5432 },
			{ host: '127.0.0.1', port },
		]);
		await cluster.ready(10_000);
		const connection = await cluster.dial(target, {});
		ends.push(() => connection.close());
		expect(connection.target.port).toBe(port);
		expect(await query(connection, 'select 1')).toEqual([['1']]);
		await eventually(() =>
			expect(cluster.hosts.map(({ state }) => state)).toEqual(['down', 'down', 'down', 'primary']),
		);
		expect(reasonOf(cluster, 0)).toBe('no answer within 500 ms');
		expect(reasonOf(cluster, 1)).toMatch(/connection refused$/);
		expect(reasonOf(cluster, 2)).toMatch(/(unknown host name|host name lookup failed)$/);
	});

	test('alone make a lease wait, and end it in time', async () => {
		const silent = await listen(() => undefined);
		const cluster = start([{ host: '127.0.0.1', port: silent }]);
		const pool = new SessionPool(target, { size: 1, dial: cluster.dial });
		const waiting = new ClusterPool({ pool, cluster, waitMs: 700, waitersMax: 10, settle: () => Promise.resolve() });
		await expect(waiting.lease({ startup: {} })).rejects.toBeInstanceOf(NoHostError);
		expect(waiting.stats).toMatchObject({ leased: 0, connecting: 0, waiting: 0 });
	});
});

describe('a primary that is cut off', () => {
	test('is noticed, waited for, and used again once it can be reached', async () => {
		const { port, cut, mend } = await cable();
		const cluster = start([{ host: '127.0.0.1', port }]);
		const inner = new SessionPool(target, { size: 2, dial: cluster.dial });
		const pool = new ClusterPool({
			pool: inner,
			cluster,
			waitMs: 15_000,
			waitersMax: 10,
			settle: () => Promise.resolve(),
		});
		ends.push(() => pool.close());
		const before = await pool.lease({ startup: {} });
		cut();
		await eventually(() => expect(cluster.available).toBe(false));
		expect(reasonOf(cluster, 0)).toBe('no answer within 500 ms');
		const later = pool.lease({ startup: {} });
		await eventually(() => expect(pool.stats.waiting).toBe(1));
		// Nobody took its place, so what was leased from it is not taken away.
		expect(before.connection.alive).toBe(true);
		mend();
		const after = await later;
		expect(await query(after.connection, 'select 1')).toEqual([['1']]);
		await Promise.all([before.release('broken'), after.release('clean')]);
		expect(pool.stats).toMatchObject({ leased: 0, connecting: 0, waiting: 0 });
	});

	test('does not keep the gateway from closing, nor those who wait from hearing of it', async () => {
		const { port, cut } = await cable();
		const cluster = start([{ host: '127.0.0.1', port }]);
		const inner = new SessionPool(target, { size: 2, dial: cluster.dial });
		const pool = new ClusterPool({
			pool: inner,
			cluster,
			waitMs: 60_000,
			waitersMax: 10,
			settle: () => Promise.resolve(),
		});
		await cluster.ready(10_000);
		cut();
		await eventually(() => expect(cluster.available).toBe(false));
		const refused = expect(pool.lease({ startup: {} })).rejects.toMatchObject({ sqlstate: '57P01' });
		await pool.close();
		await refused;
	});
});
