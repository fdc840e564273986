/** The hosts of a database at work: a cluster where there are several, or where it matters what the one is. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Cluster, type ClusterEvent, NoHostError } from '../backend/cluster.ts';
import { BACKEND_LIMITS } from '../backend/limits.ts';
import { openQuerySession, type QuerySession } from '../backend/query.ts';
import type { BackendTarget } from '../backend/target.ts';
import type { Config, DatabaseConfig, HostsConfig } from '../config/config.ts';
import { unreachable } from '../errors.ts';
import type { SessionLog } from '../session/services.ts';

/** A database as one cluster: a shard of it, or all of it. */
export interface ClusterConfig {
	/** Null: the database is not sharded. */
	readonly shard: string | null;
	readonly database: DatabaseConfig;
}

/** Each of the clusters that a database is on, as a database of its own. */
export function clusterConfigs(database: DatabaseConfig): readonly ClusterConfig[] {
	if (database.sharded === null) return [{ shard: null, database }];
	return Object.entries(database.sharded.shards).map(([shard, { dbname, ...hosts }]) => ({
		shard,
		database: { ...database, ...hosts, dbname: dbname ?? database.dbname, sharded: null },
	}));
}

/** Null where there is one host, whatever it is: nobody needs to ask it then. Not yet started. */
export function clusterOf(
	database: DatabaseConfig,
	target: BackendTarget,
	{ limits }: Config,
	onEvent?: (event: ClusterEvent) => void,
): Cluster | null {
	const { hosts, targetSessionAttrs: attrs, lagMaxMs, patroni } = database;
	if (hosts.length === 1 && attrs === 'any' && patroni === null) return null;
	const { hostCheckMs: checkMs, hostTimeoutMs: timeoutMs } = limits;
	return new Cluster({ target, hosts, attrs, lagMaxMs, patroni: patroniOf(patroni), checkMs, timeoutMs, onEvent });
}

function patroniOf(patroni: HostsConfig['patroni']): ConstructorParameters<typeof Cluster>[0]['patroni'] {
	if (patroni === null) return null;
	const { urls, tls, authorization } = patroni;
	const { ca, cert, key } = tls;
	const pem = { ca: ca ?? undefined, cert: cert ?? undefined, key: key?.reveal() };
	return { urls, tls: pem, authorization: authorization?.reveal() };
}

/** A connection for the gateway's own questions, to a host that is what was asked for. Waits up to `waitMs` for one. */
export async function openOwnSession(
	cluster: Cluster | null,
	target: BackendTarget,
	waitMs: number,
): Promise<QuerySession> {
	if (cluster === null) return openQuerySession(target);
	const endMs = performance.now() + waitMs;
	for (;;) {
		await cluster.ready(endMs - performance.now());
		try {
			return await openQuerySession(target, {}, undefined, cluster.dial);
		} catch (error) {
			// The host has just gone, and nobody had noticed.
			if (!(error instanceof NoHostError) || performance.now() >= endMs) throw error;
			await sleep(BACKEND_LIMITS.hostRetryMinMs);
		}
	}
}

/** The same without a gateway: the hosts are asked for this alone. */
export async function openLoneSession(
	database: DatabaseConfig,
	target: BackendTarget,
	config: Config,
): Promise<QuerySession> {
	const cluster = clusterOf(database, target, config);
	cluster?.start();
	try {
		return await openOwnSession(cluster, target, config.limits.connectTimeoutMs);
	} finally {
		await cluster?.close();
	}
}

/** What happens to the hosts, for the operator. */
export function clusterLog(name: string, shard: string | null, log: SessionLog): (event: ClusterEvent) => void {
	const where = { database: name, ...(shard === null ? {} : { shard }) };
	return (event) => {
		switch (event.type) {
			case 'host': {
				const { host, is, reason } = event;
				if (reason !== null) log.warn({ ...where, host, problem: reason }, 'host is down');
				else log.info({ ...where, host }, `host is ${is}`);
				return;
			}
			case 'primary': {
				const { host, from, awayMs } = event;
				if (from === null) log.info({ ...where, host }, 'primary is known');
				else log.warn({ ...where, host, from, awayMs: Math.round(awayMs) }, 'another host is the primary now');
				return;
			}
			case 'conflict':
				if (event.words === null) log.info(where, 'it is clear again which host is the primary');
				else log.error({ ...where, problem: event.words }, 'more than one host says that it is the primary');
				return;
			case 'dropped': {
				const { host, connections, why } = event;
				log.warn({ ...where, host, connections, why }, 'connections to a host were ended');
				return;
			}
			case 'patroni':
				if (event.answers) log.info(where, 'Patroni answers');
				else log.warn(where, 'Patroni does not answer: who leads is taken from the hosts themselves');
				return;
			default:
				unreachable(event);
		}
	};
}
