/** The databases that a running gateway serves: opened as the configuration says, and taken up, adjusted, replaced or let go when it changes. */
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { Gate } from '../admin/gate.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { Config, DatabaseConfig } from '../config/config.ts';
import { GatewayError } from '../errors.ts';
import type { LiveSession } from '../session/live.ts';
import type { SessionLog } from '../session/services.ts';
import { boundsOf, type DatabaseHooks, databaseServices, type OpenedDatabase } from './backends.ts';
import { clusterConfigs } from './clusters.ts';
import type { ConfigChanges } from './config-changes.ts';

/** One cluster of a database, behind the gate that operators hold. */
export interface OpenedGated extends OpenedDatabase {
	readonly pool: Gate;
	/** The same object in the one that takes the place of another whose sessions go on there. */
	readonly lineage: object;
}

/** A database as clients know it. Another object whenever something of it is another. */
export interface ServedDatabase {
	readonly config: DatabaseConfig;
	/** One, or one for each shard, in the order of the configuration. */
	readonly clusters: readonly OpenedGated[];
}

export interface DatabasesParts {
	/** For what holds for all databases, and never changes. */
	readonly config: Config;
	readonly log: SessionLog;
	readonly rolesOf: DatabaseHooks['rolesOf'];
	readonly onCurrent: () => void;
	/** Sessions that are signed in. */
	readonly sessions: () => Iterable<LiveSession>;
	/** Nothing is left of a database that is not served any more. */
	readonly onGone: (name: string) => void;
	/** Missing: there are no other workers. */
	readonly shares?: DatabaseHooks['shares'];
}

/** Between two looks at the sessions of a database that is let go. */
const lookEveryMs = 100;

export class Databases {
	readonly #parts: DatabasesParts;
	#served: ReadonlyMap<string, ServedDatabase> = new Map();
	/** By name, for ever: a decision that was made under a number must not be taken for one of another catalogue. */
	readonly #revisions = new Map<string, number>();
	readonly #leaving = new Set<Promise<void>>();
	#closed = false;

	constructor(parts: DatabasesParts) {
		this.#parts = parts;
	}

	/** In the order of the configuration. */
	get all(): readonly ServedDatabase[] {
		return [...this.#served.values()];
	}

	/** The clusters of all of them. */
	get clusters(): readonly OpenedGated[] {
		return this.all.flatMap(({ clusters }) => clusters);
	}

	find(name: string): ServedDatabase | undefined {
		return this.#served.get(name);
	}

	/** Resolves when each catalogue is known, or its database is known to be out of reach. */
	async open(configs: readonly DatabaseConfig[]): Promise<void> {
		const opened = configs.map((config) => this.#make(config));
		this.#served = new Map(opened.map((one) => [one.config.name, one]));
		await this.#start(opened);
	}

	/** What is new is looked at before anybody is let in there; what is let go serves what it has begun, for `drainTimeoutMs`. */
	async change(order: readonly DatabaseConfig[], changes: ConfigChanges): Promise<void> {
		const opened = [...changes.added, ...changes.replaced].map((config) => {
			const former = this.#served.get(config.name);
			return this.#make(config, former !== undefined && mayFollow(former.config, config) ? former : undefined);
		});
		await this.#start(opened);
		if (this.#closed) {
			await Promise.all(opened.map(close));
			return;
		}
		const before = this.#served;
		const handed = Promise.all(opened.map((one) => handOver(before.get(one.config.name), one)));
		// Who asked for the reload does not wait for a server that is not there: who listens is told when it is known.
		await Promise.race([handed, sleep(this.#parts.config.limits.connectTimeoutMs, undefined, { ref: false })]);
		if (this.#closed) {
			await Promise.all(opened.map(close));
			return;
		}
		for (const one of opened) holdAs(before.get(one.config.name), one);
		const fresh = new Map(opened.map((one) => [one.config.name, one]));
		this.#served = new Map(
			order.flatMap((config) => {
				const former = before.get(config.name);
				const found = fresh.get(config.name) ?? (former === undefined ? undefined : { ...former, config });
				return found === undefined ? [] : [[config.name, found] as const];
			}),
		);
		for (const { name, pool, limits } of changes.adjusted)
			for (const cluster of this.#served.get(name)?.clusters ?? []) cluster.pool.resize(boundsOf({ pool, limits }));
		for (const { name } of changes.removed) this.#letGo(before.get(name), removed(name));
		for (const { name } of changes.replaced) this.#letGo(before.get(name), replaced(name));
	}

	/** Ends everything, what is just let go too. */
	async close(): Promise<void> {
		this.#closed = true;
		await Promise.all([...this.#leaving, ...this.all.map(close)]);
	}

	/** `former`: its sessions go on in this one. */
	#make(config: DatabaseConfig, former?: ServedDatabase): ServedDatabase {
		const { log, rolesOf, onCurrent, shares, config: whole } = this.#parts;
		const { name } = config;
		const nextRevision = (): number => {
			const next = (this.#revisions.get(name) ?? 0) + 1;
			this.#revisions.set(name, next);
			return next;
		};
		const hooks = { log, rolesOf, onCurrent, nextRevision, shares };
		const clusters = clusterConfigs(config).map((cluster) => {
			const opened = databaseServices(cluster, whole, hooks);
			const lineage = former?.clusters.find(({ shard }) => shard === opened.shard)?.lineage ?? {};
			return { ...opened, lineage, pool: gateOf(opened, whole) };
		});
		return { config, clusters };
	}

	async #start(opened: readonly ServedDatabase[]): Promise<void> {
		const clusters = opened.flatMap((one) => one.clusters);
		for (const { cluster } of clusters) cluster?.start();
		const { log } = this.#parts;
		const catalogs = clusters.flatMap(({ name, catalogs }) => catalogs.map((catalog) => ({ name, catalog })));
		await Promise.all(catalogs.map(({ name, catalog }) => startCatalog(name, catalog, log)));
	}

	#letGo(database: ServedDatabase | undefined, error: GatewayError): void {
		if (database === undefined) return;
		for (const { pool } of database.clusters) pool.retire(error);
		const leaving = this.#drain(database, error);
		this.#leaving.add(leaving);
		void leaving.finally(() => this.#leaving.delete(leaving));
	}

	/**
	 * Sessions that have somewhere to go go there, at the latest with their next message; of the others those that are idle end now,
	 * and the rest as soon as they are or when time is up. Then all that was opened is closed.
	 */
	async #drain(database: ServedDatabase, error: GatewayError): Promise<void> {
		const { log, config, sessions, onGone } = this.#parts;
		const { name } = database.config;
		const pools: ReadonlySet<object> = new Set(database.clusters.map(({ pool }) => pool));
		const seen = new Set<LiveSession>();
		const endMs = performance.now() + config.limits.drainTimeoutMs;
		// Who was just let in shows a moment later.
		for (let look = 0; ; look += 1) {
			const late = this.#closed || performance.now() >= endMs;
			let left = 0;
			for (const session of sessions()) {
				if (session.pool === undefined || !pools.has(session.pool)) continue;
				seen.add(session);
				if (session.follow?.() === true) continue;
				left += 1;
				if (!session.ended && (late || session.idle || session.streaming === true))
					session.terminate(error, 'configuration');
			}
			if (this.#closed || (look > 0 && left === 0 && !isBusy(database))) break;
			await sleep(lookEveryMs);
		}
		await close(database);
		const ended = [...seen].filter((session) => session.ended).length;
		const moved = seen.size - ended;
		log.info({ database: name, sessions: ended, moved }, 'nothing is left of a database as it was configured before');
		if (!this.#served.has(name)) onGone(name);
	}
}

/**
 * Whether sessions of the one can go on in the other, where it is and who works there apart. What the server is told of a user is
 * told at the login.
 */
function mayFollow(former: DatabaseConfig, now: DatabaseConfig): boolean {
	if (former.pool.mode !== 'transaction' || now.pool.mode !== 'transaction') return false;
	const settled = ({ tellUser, sharded }: DatabaseConfig): unknown => [tellUser, sharded?.by ?? null];
	return isDeepStrictEqual(settled(former), settled(now));
}

/** Who listens hears of both servers until the former is closed. */
async function handOver(former: ServedDatabase | undefined, now: ServedDatabase): Promise<void> {
	const before = new Map(former?.clusters.map((cluster) => [cluster.lineage, cluster]));
	await Promise.all(
		now.clusters.flatMap(({ lineage, listenersOf }) =>
			[...(before.get(lineage)?.listenersOf ?? [])].flatMap(([role, listener]) => {
				const heir = listenersOf.get(role);
				return heir === undefined ? [] : [listener.handOver(heir)];
			}),
		),
	);
}

/** What operators have paused or disabled stays so, wherever it is now. */
function holdAs(former: ServedDatabase | undefined, now: ServedDatabase): void {
	for (const { shard, pool } of now.clusters) {
		const same = former?.clusters.find((cluster) => cluster.shard === shard) ?? former?.clusters[0];
		if (same?.pool.paused === true) pool.pause();
		if (same?.pool.disabled === true) pool.disable();
	}
}

function isBusy({ clusters }: ServedDatabase): boolean {
	return clusters.some(({ pool }) => {
		const { leased, connecting, waiting } = pool.stats;
		return leased + connecting + waiting > 0;
	});
}

async function close({ clusters }: ServedDatabase): Promise<void> {
	await Promise.all(clusters.flatMap(({ listeners }) => listeners.map((listener) => listener.close())));
	await Promise.all(clusters.map(({ pool }) => pool.close()));
	await Promise.all(clusters.flatMap(({ catalogs }) => catalogs.map((catalog) => catalog.close())));
}

function gateOf({ name, pool }: OpenedDatabase, { limits }: Config): Gate {
	return new Gate(pool, { database: name, waitMs: limits.poolWaitMs, waitersMax: limits.poolWaitersMax });
}

async function startCatalog(name: string, catalog: Catalog, log: SessionLog): Promise<void> {
	try {
		await catalog.start();
	} catch (error) {
		const cause = error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error);
		log.warn({ database: name, problem: cause }, 'database cannot be reached; statements are refused until it can');
	}
}

function removed(name: string): GatewayError {
	const words = `terminating connection: database "${name}" was removed from the configuration of the gateway`;
	return new GatewayError('57P01', words, { severity: 'FATAL' });
}

function replaced(name: string): GatewayError {
	const words = `terminating connection: the configuration of database "${name}" has changed`;
	return new GatewayError('57P01', words, { severity: 'FATAL', hint: 'Connect again.' });
}
