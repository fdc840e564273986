/** For each database of the configuration: where it is, a pool of connections to it, and its catalogue. */
import { createHash } from 'node:crypto';
import type { Cluster } from '../backend/cluster.ts';
import { ClusterPool } from '../backend/cluster-pool.ts';
import { connectBackend } from '../backend/connection.ts';
import type { BackendPool, PoolBounds, PoolOptions } from '../backend/lease.ts';
import { TransactionPool } from '../backend/pool.ts';
import { openQuerySession, type QuerySession } from '../backend/query.ts';
import { SessionPool } from '../backend/session-pool.ts';
import type { BackendTarget } from '../backend/target.ts';
import { Catalog, type CatalogState } from '../catalog/catalog.ts';
import type { BackendUserConfig, Config, DatabaseConfig } from '../config/config.ts';
import type { SharedListener } from '../backend/shared-listener.ts';
import { unreachable } from '../errors.ts';
import type { DatabaseServices, RoleServices, SessionLog } from '../session/services.ts';
import type { Identity } from '../stages.ts';
import {
	type ClusterConfig,
	clusterConfigs,
	clusterLog,
	clusterOf,
	openLoneSession,
	openOwnSession,
} from './clusters.ts';
import { sharedListener } from './shared-listeners.ts';
import type { ServerConnection } from './workers/place-messages.ts';
import type { Shares } from './workers/shares.ts';

/** How to reach the server of a database. The password is read anew for each login, so that a rotated one is taken up. */
export function targetOf(
	database: DatabaseConfig,
	config: Config,
	{ user, password }: BackendUserConfig = database,
): BackendTarget {
	const { host, port, dbname, allowPassword, tls } = database;
	return {
		host,
		port,
		dbname,
		user,
		password: () => password?.current() ?? null,
		passwordRefused: () => password?.refused(),
		allowPassword,
		tls: {
			mode: tls.mode,
			ca: tls.ca ?? undefined,
			cert: tls.cert ?? undefined,
			key: tls.key?.reveal(),
		},
		connectTimeoutMs: config.limits.connectTimeoutMs,
		keepAliveMs: config.limits.keepAliveMs,
	};
}

/** The catalogue of a database, not yet started. */
export function catalogOf(database: DatabaseConfig, config: Config, onState?: (state: CatalogState) => void): Catalog {
	const more = onState === undefined ? {} : { onState };
	const connect = (): Promise<QuerySession> => openSession(database, config);
	return new Catalog({ ...more, database: database.name, connect, timeZone: database.timeZone });
}

/** A connection for questions of the gateway's own, apart from a running one; of a sharded database to the first shard. */
export function openSession(whole: DatabaseConfig, config: Config): Promise<QuerySession> {
	const [first] = clusterConfigs(whole);
	const { database } = first ?? { database: whole };
	return openLoneSession(database, targetOf(database, config), config);
}

/** What of a database, or of a shard of it, has to be started and closed: its catalogues and listeners, for each role that works there. */
export interface OpenedDatabase extends DatabaseServices {
	readonly catalogs: readonly Catalog[];
	/** In transaction mode one for each role; closed with the pool. */
	readonly listeners: readonly SharedListener[];
	/** By the role that they are for; undefined: the gateway's own. */
	readonly listenersOf: ReadonlyMap<string | undefined, SharedListener>;
	/** Null: one host that nobody needs to ask what it is. Closed with the pool. */
	readonly cluster: Cluster | null;
	/** Null: the database is not sharded. */
	readonly shard: string | null;
}

/** What the parts of a database tell, and ask. */
export interface DatabaseHooks {
	readonly log: SessionLog;
	/** The catalogue has become known (again). */
	readonly onCurrent: () => void;
	/** Roles that somebody has under the policy in force. */
	readonly rolesOf: (identity: Identity) => ReadonlySet<string>;
	/** Numbers the snapshots of all catalogues of the database: their decisions are remembered together. */
	readonly nextRevision: () => number;
	/** Keeps the pools of all workers together within their sizes; missing: there are no other workers. */
	readonly shares?: Shares | undefined;
}

/** Pool and catalogues of one cluster; nothing is connected yet. */
export function databaseServices(
	{ database, shard }: ClusterConfig,
	config: Config,
	hooks: DatabaseHooks,
): OpenedDatabase {
	const { name, user, users, tellUser, physicalReplication } = database;
	const own = targetOf(database, config);
	const cluster = clusterOf(database, own, config, clusterLog(name, shard, hooks.log));
	const targets = new Map(Object.entries(users).map(([role, one]) => [role, targetOf(database, config, one)]));
	const alone = targets.size === 0 && hooks.shares === undefined && config.listen.peers.length === 0;
	const catalogFor = (target: BackendTarget): Catalog =>
		liveCatalog(target, { name, cluster, timeZone: database.timeZone, config, hooks, alone });
	const pool = poolOf({ database, shard }, own, {
		config,
		shares: hooks.shares,
		options: { targets, ...(cluster === null ? {} : { dial: cluster.dial, usable: cluster.usable }) },
	});
	const catalog = catalogFor(own);
	const listenersOf = new Map<string | undefined, SharedListener>();
	const listenerFor = (target: BackendTarget, role?: string): { listener?: SharedListener } => {
		if (database.pool.mode !== 'transaction') return {};
		const listener = sharedListener(target, { name, shard, cluster, config, log: hooks.log });
		listenersOf.set(role, listener);
		return { listener };
	};
	const heard = listenerFor(own);
	const roles = new Map<string, RoleServices>();
	for (const [role, target] of targets) {
		const { user: backendRole } = target;
		roles.set(role, { catalog: catalogFor(target), backendRole, leaseAs: role, ...listenerFor(target, role) });
	}
	const catalogs = [catalog, ...[...roles.values()].map((one) => one.catalog)];
	return {
		name,
		shard,
		cluster,
		pool: cluster === null ? pool : waitingPool(pool, cluster, catalogs, config),
		catalog,
		catalogs,
		...heard,
		listeners: [...listenersOf.values()],
		listenersOf,
		backendRole: user,
		tellUser,
		...poolingOf(database),
		physicalReplication,
		asRole: (identity) => {
			if (roles.size === 0) return undefined;
			const held = hooks.rolesOf(identity);
			for (const [role, services] of roles) if (held.has(role)) return services;
			return undefined;
		},
	};
}

function poolingOf({ pool }: DatabaseConfig): Pick<DatabaseServices, 'pooling' | 'reusing'> {
	if (pool.mode === 'transaction') return { pooling: pool };
	return pool.reuse ? { reusing: pool } : {};
}

/** What of a pool may change while it is at work. */
export function boundsOf({ pool, limits }: Pick<DatabaseConfig, 'pool' | 'limits'>): PoolBounds {
	const { size, reserve, reserveAfterMs, statementsMax, idleMs, checkAfterMs } = pool;
	const { backendLifetimeMs: lifetimeMs } = limits;
	return { size, reserve, reserveAfterMs, statementsMax, idleMs, checkAfterMs, lifetimeMs };
}

interface PoolParts {
	readonly config: Config;
	readonly shares: Shares | undefined;
	readonly options: Pick<PoolOptions, 'targets' | 'dial' | 'usable'>;
}

function poolOf(
	{ database, shard }: ClusterConfig,
	target: BackendTarget,
	{ config, shares, options }: PoolParts,
): BackendPool {
	const { poolWaitMs: queueTimeoutMs, poolWaitersMax: queueMax } = config.limits;
	const make = (bounds: PoolBounds, dial?: PoolOptions['dial']): SessionPool | TransactionPool => {
		const all = { ...options, ...bounds, queueTimeoutMs, queueMax, ...(dial === undefined ? {} : { dial }) };
		return database.pool.mode === 'session' ? new SessionPool(target, all) : new TransactionPool(target, all);
	};
	const bounds = boundsOf(database);
	if (shares === undefined) return make(bounds);
	const shared = shares.open(sharedName(database, shard), bounds, (servers) => areGone(target, servers));
	return shared.fill(make(shared.bounds, shared.dialling(options.dial ?? connectBackend)));
}

/** The same in all workers, and another one for a pool that takes the place of one whose sessions go on for a while. */
function sharedName(database: DatabaseConfig, shard: string | null): string {
	const { pool, limits: _limits, ...rest } = database;
	const text = JSON.stringify({ ...rest, mode: pool.mode });
	const hash = createHash('sha256').update(text).digest('hex').slice(0, 16);
	return `${database.name}${shard === null ? '' : ` ${shard}`} ${hash}`;
}

/** Asked of each server, as the gateway's own role there. */
async function areGone(target: BackendTarget, servers: readonly ServerConnection[]): Promise<boolean> {
	const byServer = new Map<string, ServerConnection[]>();
	for (const one of servers) {
		const key = `${one.host} ${one.port}`;
		byServer.set(key, [...(byServer.get(key) ?? []), one]);
	}
	for (const [first, ...more] of byServer.values()) {
		if (first === undefined) continue;
		const session = await openQuerySession({ ...target, host: first.host, port: first.port });
		try {
			const pids = [first, ...more].map(({ pid }) => String(Math.trunc(pid))).join(', ');
			const rows = await session.query(`select 1 from pg_catalog.pg_stat_activity where pid in (${pids}) limit 1`);
			if (rows.length > 0) return false;
		} finally {
			await session.close();
		}
	}
	return true;
}

/** DDL that the old primary did not pass on in time is gone on the new one: so the catalogues look again before anything runs there. */
function waitingPool(
	pool: BackendPool,
	cluster: Cluster,
	catalogs: readonly Catalog[],
	{ limits }: Config,
): ClusterPool {
	const { failoverWaitMs: waitMs, poolWaitersMax: waitersMax } = limits;
	const settle = (): Promise<unknown> => Promise.all(catalogs.map((catalog) => catalog.refresh()));
	return new ClusterPool({ pool, cluster, waitMs, waitersMax, settle });
}

interface CatalogParts {
	readonly name: string;
	readonly cluster: Cluster | null;
	readonly timeZone: string | null;
	readonly config: Config;
	readonly hooks: DatabaseHooks;
	/** There is no other catalogue of the database, of another role, worker or gateway. */
	readonly alone: boolean;
}

/** The catalogue of a running gateway: it waits for a failover, but not for the first host, which may be away for long. */
function liveCatalog(target: BackendTarget, { name, cluster, timeZone, config, hooks, alone }: CatalogParts): Catalog {
	const { hostTimeoutMs, failoverWaitMs } = config.limits;
	let known = false;
	const connect = async (): Promise<QuerySession> => {
		const session = await openOwnSession(cluster, target, known ? failoverWaitMs : hostTimeoutMs);
		known = true;
		return session;
	};
	const onState = follower(name, target.user, hooks);
	const away = cluster === null ? {} : { away: () => !cluster.available };
	return new Catalog({ database: name, connect, onState, nextRevision: hooks.nextRevision, alone, timeZone, ...away });
}

function follower(database: string, role: string, { log, onCurrent }: DatabaseHooks): (state: CatalogState) => void {
	const fields = { database, role };
	return (state) => {
		switch (state.type) {
			case 'unknown':
				return;
			case 'current':
				log.info(fields, 'catalogue is current');
				onCurrent();
				return;
			case 'stale':
				log.warn({ ...fields, problem: state.error.message }, 'catalogue is stale: statements are refused');
				return;
			default:
				unreachable(state);
		}
	};
}
