/** A gateway as the operators' side sees it, made of plain values, for tests that have no gateway. */
import { Gate } from '../../src/admin/gate.ts';
import { Meters } from '../../src/admin/meters.ts';
import type { DatabaseView, GatewayView } from '../../src/admin/view.ts';
import type { AuditStats } from '../../src/audit/log.ts';
import type { BackendPool, Lease, PoolStats } from '../../src/backend/lease.ts';
import type { CatalogStats } from '../../src/catalog/catalog.ts';
import type { LiveSession } from '../../src/session/live.ts';

export const goodAudit: AuditStats = {
	records: 12,
	bytes: 3456,
	writes: 7,
	failures: 0,
	queued: 0,
	lost: 0,
	healthy: true,
	lastError: null,
	segment: 'audit-1.jsonl',
	signed: true,
	sinks: [],
	blockedBy: null,
};

export const goodCatalog: CatalogStats = {
	state: 'current',
	problem: null,
	revision: 3,
	ageMs: 250,
	looks: 9,
	failures: 0,
};

/** A primary and a standby that is a little behind. */
export const twoHosts: DatabaseView['cluster'] = {
	available: true,
	failovers: 2,
	hosts: [
		{
			name: 'db1:5432',
			host: 'db1',
			port: 5432,
			state: 'primary',
			reason: '',
			used: true,
			lag: null,
			timeline: 3,
			connections: 7,
			sinceMs: 61_500,
		},
		{
			name: 'db2:5433',
			host: 'db2',
			port: 5433,
			state: 'standby',
			reason: '',
			used: false,
			lag: { bytes: 4096n, ms: 1500 },
			timeline: null,
			connections: 0,
			sinceMs: 5000,
		},
	],
};

/** One role that somebody listens as, and one that nobody does. */
export const twoListeners: DatabaseView['listeners'] = [
	{
		stats: {
			role: 'gateway',
			connection: { address: '10.0.0.5:5432', pid: 4711, sinceMs: 1_700_000_002_000 },
			channels: 3,
			hearers: 5,
			received: 40,
			told: 120,
			losses: 1,
			overflows: 2,
		},
	},
	{
		stats: {
			role: 'gateway_ro',
			connection: null,
			channels: 0,
			hearers: 0,
			received: 2,
			told: 2,
			losses: 0,
			overflows: 0,
		},
	},
];

/** A pool that grants at once, as many as asked for. */
export class EasyPool implements BackendPool {
	leased = 0;
	/** Set: what the next leases reject with. */
	failure: Error | null = null;
	closed = false;

	lease(): Promise<Lease> {
		if (this.failure !== null) return Promise.reject(this.failure);
		this.leased += 1;
		return Promise.resolve({
			connection: null as never,
			release: () => {
				this.leased -= 1;
				return Promise.resolve();
			},
		});
	}

	get stats(): PoolStats {
		const pins = { idle: 0, pinned: { temporary: 0 }, pinsTotal: { temporary: 0 } };
		return { size: 2, leased: this.leased, connecting: 0, waiting: 0, ...pins };
	}

	retire(): void {}

	resize(): void {}

	close(): Promise<void> {
		this.closed = true;
		return Promise.resolve();
	}
}

export interface ViewOptions {
	readonly databases?: Readonly<Record<string, Partial<CatalogStats>>>;
	readonly audit?: Partial<AuditStats>;
	readonly sessions?: readonly LiveSession[];
	readonly draining?: boolean;
	readonly cluster?: DatabaseView['cluster'];
	readonly listeners?: DatabaseView['listeners'];
}

export function testView(options: ViewOptions = {}): GatewayView {
	const databases = Object.entries(options.databases ?? { shop: {} }).map(
		([name, catalog]): DatabaseView => ({
			name,
			host: '10.0.0.5',
			port: 5432,
			shard: null,
			cluster: options.cluster ?? null,
			dbname: name,
			role: 'gateway',
			poolMode: 'session',
			poolSize: 2,
			listeners: options.listeners ?? [],
			sessionsMax: 0,
			gate: new Gate(new EasyPool(), { database: name, waitMs: 1_000, waitersMax: 10 }),
			catalog: { stats: { ...goodCatalog, ...catalog } },
		}),
	);
	return {
		version: '1.2.3',
		startedMs: 1_700_000_000_000,
		sessionsMax: 5_000,
		databases,
		meters: new Meters([...databases.map(({ name }) => name), 'portcullis']),
		spans: { sent: 5, dropped: 1 },
		sessions: () => options.sessions ?? [],
		connecting: () => 4,
		pipeline: () => ({ hits: 90, misses: 10, looks: 1, remembered: { decisions: 8, bytes: 20_000 } }),
		policy: () => ({ revision: '0123456789abcdef', rules: 71, loadedMs: 1_700_000_001_000 }),
		policyWatcher: () => ({ up: true, same: 2, other: 1, notices: { told: 5, failed: 1, heard: 9, ignored: 3 } }),
		audit: () => ({ ...goodAudit, ...options.audit }),
		draining: () => options.draining ?? false,
	};
}
