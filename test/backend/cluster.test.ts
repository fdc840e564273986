/** A cluster finds its primary, follows it, waits for it, and never gives a connection to a host that is something else. */
import { afterEach, describe, expect, test } from 'vitest';
import { Cluster, type ClusterEvent, type ClusterOptions, NoHostError } from '../../src/backend/cluster.ts';
import type { PatroniView } from '../../src/backend/cluster-patroni.ts';
import { ClusterPool } from '../../src/backend/cluster-pool.ts';
import type { BackendPool } from '../../src/backend/lease.ts';
import { SessionPool } from '../../src/backend/session-pool.ts';
import { FakeHost, FakeHosts, target } from './fake-hosts.ts';
import { eventually } from '../support/time.ts';

const clusters: Cluster[] = [];
afterEach(async () => {
	await Promise.all(clusters.splice(0).map((cluster) => cluster.close()));
});

interface Made {
	readonly cluster: Cluster;
	readonly events: ClusterEvent[];
}

function make(fakes: FakeHosts, options: Partial<ClusterOptions> = {}): Made {
	const events: ClusterEvent[] = [];
	const { openProbe, connect } = fakes;
	const own = { target, hosts: fakes.addresses, lagMaxMs: null, patroni: null, openProbe, connect };
	const cluster = new Cluster({
		...own,
		attrs: 'primary',
		checkMs: 5,
		timeoutMs: 50,
		onEvent: (event) => events.push(event),
		...options,
	});
	clusters.push(cluster);
	cluster.start();
	return { cluster, events };
}

const never = new AbortController().signal;
const hostOf = async (cluster: Cluster): Promise<string> => (await cluster.dial(target, {})).target.host;

describe('the primary', () => {
	test('is found among its standbys, and followed when it moves', async () => {
		const fakes = new FakeHosts({ a: new FakeHost('standby'), b: new FakeHost('primary'), c: new FakeHost('standby') });
		const { cluster, events } = make(fakes);
		await cluster.ready(1000);
		expect(await hostOf(cluster)).toBe('b');
		fakes.of('b').mood = 'refused';
		await eventually(() => expect(cluster.available).toBe(false));
		const waiting = cluster.ready(5000);
		fakes.of('c').promote(2);
		await waiting;
		expect(await hostOf(cluster)).toBe('c');
		expect(cluster).toMatchObject({ failovers: 1, generation: 2 });
		expect(events.filter(({ type }) => type === 'primary')).toMatchObject([
			{ host: 'b:5432', from: null },
			{ host: 'c:5432', from: 'b:5432' },
		]);
	});

	test('that comes back as it was is not used again: another has its place', async () => {
		const fakes = new FakeHosts({ a: new FakeHost('primary'), b: new FakeHost('standby') });
		const { cluster, events } = make(fakes);
		await cluster.ready(1000);
		fakes.of('a').mood = 'refused';
		fakes.of('b').promote(2);
		await eventually(() => expect(cluster.generation).toBe(2));
		fakes.of('a').mood = 'fine';
		await eventually(() =>
			expect(events).toContainEqual({ type: 'conflict', words: expect.stringContaining('a:5432 is') }),
		);
		expect(await hostOf(cluster)).toBe('b');
		// Not even when the new one is away.
		fakes.of('b').mood = 'refused';
		await eventually(() => expect(cluster.available).toBe(false));
		await expect(cluster.dial(target, {})).rejects.toBeInstanceOf(NoHostError);
		expect(fakes.of('a').logins).toBe(0);
	});

	test('that was replaced loses what is connected to it', async () => {
		const fakes = new FakeHosts({ a: new FakeHost('primary'), b: new FakeHost('standby') });
		const { cluster, events } = make(fakes);
		await cluster.ready(1000);
		const connection = await cluster.dial(target, {});
		expect(cluster.usable(connection)).toBe(true);
		fakes.of('b').promote(2);
		await eventually(() => expect(connection.socket.destroyed).toBe(true));
		expect(cluster.usable(connection)).toBe(false);
		expect(connection.socket.errored).toMatchObject({ sqlstate: '57P01' });
		expect(events).toContainEqual(expect.objectContaining({ type: 'dropped', host: 'a:5432', connections: 1 }));
	});

	test('that only does not answer keeps them: nobody has taken its place', async () => {
		const fakes = new FakeHosts({ a: new FakeHost('primary'), b: new FakeHost('standby') });
		const { cluster } = make(fakes);
		await cluster.ready(1000);
		const connection = await cluster.dial(target, {});
		fakes.of('a').mood = 'silent';
		await eventually(() => expect(cluster.available).toBe(false));
		expect(cluster.usable(connection)).toBe(false);
		expect(connection.socket.destroyed).toBe(false);
		fakes.of('a').mood = 'fine';
		await cluster.ready(1000);
		expect(cluster.usable(connection)).toBe(true);
		expect(cluster.failovers).toBe(0);
	});

	test('that says something else at the login is not given out', async () => {
		const fakes = new FakeHosts({ a: new FakeHost('primary') });
		const { cluster } = make(fakes, { checkMs: 60_000 });
		await cluster.ready(1000);
		fakes.of('a').loginRole = 'standby';
		await expect(cluster.dial(target, {})).rejects.toMatchObject({ sqlstate: '57P03', severity: 'FATAL' });
		expect(fakes.of('a')).toMatchObject({ logins: 1, open: new Set() });
		// It was asked again at once, though its time had not come.
		await eventually(() => expect(fakes.of('a').questions).toBeGreaterThan(1));
	});

	test('that the login finds gone is down at once', async () => {
		const fakes = new FakeHosts({ a: new FakeHost('primary') });
		const { cluster } = make(fakes, { checkMs: 60_000 });
		await cluster.ready(1000);
		fakes.of('a').mood = 'refused';
		await expect(cluster.dial(target, {})).rejects.toMatchObject({
			sqlstate: '57P03',
			detail: 'Asked for: primary; of 1 hosts: 1 down.',
		});
		expect(cluster.available).toBe(false);
	});
});

describe('a dial', () => {
	test('to a host that accepts and says nothing is given up when the questions say so', async () => {
		const fakes = new FakeHosts({ a: new FakeHost('standby'), b: new FakeHost('standby') });
		const { cluster } = make(fakes, { attrs: 'standby' });
		await cluster.ready(1000);
		await eventually(() => expect(cluster.hosts.filter(({ used }) => used)).toHaveLength(2));
		fakes.of('a').mood = 'silent';
		const hosts = await Promise.all([hostOf(cluster), hostOf(cluster), hostOf(cluster)]);
		expect(hosts).toEqual(['b', 'b', 'b']);
	});

	test('that the client gives up ends as its own', async () => {
		const fakes = new FakeHosts({ a: new FakeHost('primary') });
		const { cluster } = make(fakes, { checkMs: 60_000 });
		await cluster.ready(1000);
		fakes.of('a').mood = 'silent';
		const leaving = new AbortController();
		const dialling = cluster.dial(target, {}, { signal: leaving.signal });
		leaving.abort();
		await expect(dialling).rejects.toMatchObject({ sqlstate: '08001' });
		expect(cluster.available).toBe(true);
	});

	test('goes to the standby with the fewest connections, and to the next when one is full', async () => {
		const fakes = new FakeHosts({ a: new FakeHost('standby'), b: new FakeHost('standby'), c: new FakeHost('primary') });
		const { cluster } = make(fakes, { attrs: 'prefer-standby' });
		await eventually(() => expect(cluster.hosts.every(({ state }) => state !== 'unknown')).toBe(true));
		const hosts: string[] = [];
		for (let count = 0; count < 6; count++) hosts.push(await hostOf(cluster));
		expect(hosts.toSorted()).toEqual(['a', 'a', 'a', 'b', 'b', 'b']);
		fakes.of('a').mood = 'full';
		expect([await hostOf(cluster), await hostOf(cluster)]).toEqual(['b', 'b']);
		fakes.of('b').mood = 'full';
		expect(await hostOf(cluster)).toBe('c');
		fakes.of('c').mood = 'full';
		await expect(cluster.dial(target, {})).rejects.toMatchObject({ sqlstate: '53300' });
	});

	test('avoids a standby that is too far behind', async () => {
		const fakes = new FakeHosts({ a: new FakeHost('standby'), b: new FakeHost('standby'), c: new FakeHost('primary') });
		fakes.of('a').lsn = 50n;
		fakes.of('a').replayedAgoMs = 60_000;
		const { cluster } = make(fakes, { attrs: 'prefer-standby', lagMaxMs: 10_000 });
		await eventually(() => expect(cluster.hosts.map(({ used }) => used)).toEqual([false, true, true]));
		expect(cluster.hosts[0]).toMatchObject({ name: 'a:5432', state: 'standby', lag: { bytes: 50n, ms: 60_000 } });
		expect([await hostOf(cluster), await hostOf(cluster)]).toEqual(['b', 'b']);
		const connection = await cluster.dial(target, {});
		fakes.of('b').mood = 'refused';
		await eventually(() => expect(cluster.usable(connection)).toBe(false));
		expect(await hostOf(cluster)).toBe('c');
		// Caught up again.
		fakes.of('a').lsn = 100n;
		await eventually(async () => expect(await hostOf(cluster)).toBe('a'));
	});

	test('of a read-only entry loses what is connected to a standby that is promoted', async () => {
		const fakes = new FakeHosts({ a: new FakeHost('standby'), b: new FakeHost('standby') });
		const { cluster } = make(fakes, { attrs: 'standby' });
		await eventually(() => expect(cluster.hosts.filter(({ used }) => used)).toHaveLength(2));
		const connections = [await cluster.dial(target, {}), await cluster.dial(target, {})];
		fakes.of('a').promote(2);
		await eventually(() => expect(connections.filter(({ socket }) => socket.destroyed)).toHaveLength(1));
		expect(await hostOf(cluster)).toBe('b');
	});
});

describe('Patroni', () => {
	test('has the last word on who leads, and names the hosts', async () => {
		const fakes = new FakeHosts({
			a: new FakeHost('primary', 3),
			b: new FakeHost('primary', 4),
			c: new FakeHost('standby'),
		});
		let leader: string | null = 'a:5432';
		const member = (host: string) => ({ host, port: 5432, spared: false });
		const view = (): PatroniView => ({ members: [member('a'), member('b'), member('c')], leader });
		const { cluster, events } = make(fakes, {
			hosts: [{ host: 'c', port: 5432 }],
			patroni: { urls: [] },
			askPatroni: () => Promise.resolve(view()),
		});
		await cluster.ready(1000);
		expect(await hostOf(cluster)).toBe('a');
		leader = null;
		await eventually(() => expect(cluster.available).toBe(false));
		leader = 'b:5432';
		await cluster.ready(1000);
		expect(await hostOf(cluster)).toBe('b');
		expect(cluster.hosts.map(({ name }) => name).toSorted()).toEqual(['a:5432', 'b:5432', 'c:5432']);
		expect(events).toContainEqual({ type: 'patroni', answers: true });
	});

	test('that drops a member which is cut off ends what is connected to it, once another leads', async () => {
		const fakes = new FakeHosts({ a: new FakeHost('primary', 3), b: new FakeHost('standby') });
		const member = (host: string) => ({ host, port: 5432, spared: false });
		let view: PatroniView = { members: [member('a'), member('b')], leader: 'a:5432' };
		const { cluster } = make(fakes, { patroni: { urls: [] }, askPatroni: () => Promise.resolve(view) });
		await cluster.ready(1000);
		const connection = await cluster.dial(target, {});
		fakes.of('a').mood = 'silent';
		view = { members: [member('b')], leader: null };
		await eventually(() => expect(cluster.hosts.map(({ name }) => name)).toEqual(['b:5432']));
		expect(cluster.usable(connection)).toBe(false);
		expect(connection.socket.destroyed).toBe(false);
		fakes.of('b').promote(4);
		view = { members: [member('b')], leader: 'b:5432' };
		await eventually(() => expect(connection.socket.destroyed).toBe(true));
		expect(await hostOf(cluster)).toBe('b');
	});

	test('that does not answer leaves it to the hosts', async () => {
		const fakes = new FakeHosts({ a: new FakeHost('primary', 3), b: new FakeHost('primary', 4) });
		const { cluster } = make(fakes, { patroni: { urls: [] }, askPatroni: () => Promise.resolve(null) });
		await eventually(async () => expect(await hostOf(cluster)).toBe('b'));
	});
});

describe('a lease', () => {
	function pooled(
		cluster: Cluster,
		more: { waitMs?: number; waitersMax?: number; size?: number; settle?: () => Promise<unknown> } = {},
	): BackendPool {
		const { waitMs = 5000, waitersMax = 100, size = 2, settle = () => Promise.resolve() } = more;
		const pool = new SessionPool(target, { size, queueTimeoutMs: 20, dial: cluster.dial, usable: cluster.usable });
		return new ClusterPool({ pool, cluster, waitMs, waitersMax, settle });
	}

	test('waits for a new primary, though the queue of the pool has a shorter deadline, and for what is learnt of it anew', async () => {
		const fakes = new FakeHosts({ a: new FakeHost('primary'), b: new FakeHost('standby') });
		const { cluster } = make(fakes);
		let settled = 0;
		const settle = (): Promise<void> => {
			settled += 1;
			// The first attempt may find the new primary still busy.
			return settled === 1 ? Promise.reject(new NoHostError('')) : Promise.resolve();
		};
		const pool = pooled(cluster, { settle });
		const before = await pool.lease({ startup: {} });
		expect([before.connection.target.host, settled]).toEqual(['a', 0]);
		await before.release('clean');
		fakes.of('a').mood = 'refused';
		const leases = [1, 2, 3].map(() => pool.lease({ startup: {} }));
		await eventually(() => expect(pool.stats.waiting).toBe(3));
		fakes.of('b').promote(2);
		const first = await Promise.race(leases);
		expect(first.connection.target.host).toBe('b');
		expect(settled).toBe(2);
		for (const lease of leases) await (await lease).release('clean');
		expect(pool.stats).toMatchObject({ leased: 0, connecting: 0, waiting: 0 });
		expect([...fakes.of('a').open, ...fakes.of('b').open]).toEqual([]);
	});

	test('that finds the pool full fails as always while the hosts are there', async () => {
		const fakes = new FakeHosts({ a: new FakeHost('primary') });
		const { cluster } = make(fakes);
		const pool = pooled(cluster, { size: 1 });
		const lease = await pool.lease({ startup: {} });
		await expect(pool.lease({ startup: {} })).rejects.toMatchObject({ sqlstate: '53300' });
		await lease.release('clean');
	});

	test('does not wait for ever, nor with too many others, nor for a client that has left', async () => {
		const fakes = new FakeHosts({ a: new FakeHost('standby') });
		const { cluster } = make(fakes);
		const pool = pooled(cluster, { waitMs: 100, waitersMax: 2 });
		const leaving = new AbortController();
		const one = pool.lease({ startup: {}, signal: leaving.signal });
		const other = pool.lease({ startup: {}, signal: never });
		await expect(pool.lease({ startup: {} })).rejects.toMatchObject({ sqlstate: '53300' });
		leaving.abort();
		await expect(one).rejects.toMatchObject({ sqlstate: '08006' });
		await expect(other).rejects.toMatchObject({
			sqlstate: '57P03',
			detail: 'Asked for: primary; of 1 hosts: 1 standby.',
		});
		expect(pool.stats.waiting).toBe(0);
	});

	test('that waits does not hurry the questions, however many there are', async () => {
		const fakes = new FakeHosts({ a: new FakeHost('primary') });
		fakes.of('a').mood = 'refused';
		const { cluster } = make(fakes, { checkMs: 1000 });
		const pool = pooled(cluster, { waitersMax: 500 });
		await eventually(() => expect(cluster.hosts[0]?.state).toBe('down'));
		const before = fakes.of('a').probes;
		const leases = Array.from({ length: 200 }, async () => {
			await new Promise(setImmediate);
			return pool.lease({ startup: {} });
		});
		const refused = Promise.allSettled(leases);
		for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
		expect(pool.stats.waiting).toBe(200);
		expect(fakes.of('a').probes - before).toBeLessThan(5);
		await pool.close();
		await refused;
	});

	test('that waits is refused when the gateway closes', async () => {
		const fakes = new FakeHosts({ a: new FakeHost('standby') });
		const { cluster } = make(fakes);
		const pool = pooled(cluster);
		const waiting = pool.lease({ startup: {} });
		const refused = expect(waiting).rejects.toMatchObject({ sqlstate: '57P01' });
		await pool.close();
		await refused;
		await expect(pool.lease({ startup: {} })).rejects.toMatchObject({ sqlstate: '57P01' });
	});
});
