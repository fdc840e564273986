/** What every session of a gateway is given, from its configuration: limits, rules, and the parts that all of them share. */
import type { Meters, RecordSink } from '../admin/meters.ts';
import { CancelRegistry } from '../backend/cancel.ts';
import { settingSafety } from '../catalog/safety.ts';
import type { Config, DatabaseConfig } from '../config/config.ts';
import type { Pipeline } from '../pipeline.ts';
import type { PolicyStore } from '../policy/store.ts';
import { Admission, type AdmissionLimits, type SessionsElsewhere } from '../session/admission.ts';
import { defaultSessionLimits, type SessionLimits } from '../session/limits.ts';
import type { ConsoleServices } from '../session/live.ts';
import type { DatabaseServices, SessionLog, SessionServices } from '../session/services.ts';
import { lookEveryMs } from '../session/watch.ts';
import { backendRules, frontendRules } from '../wire/framer.ts';
import { MessageBudget } from '../wire/message-budget.ts';
import { clusterConfigs } from './clusters.ts';
import type { Databases, OpenedGated, ServedDatabase } from './databases.ts';
import { shardFor } from './shards.ts';

export interface ServiceParts {
	readonly config: Config;
	readonly log: SessionLog;
	/** Milliseconds since the epoch. */
	readonly now: () => number;
	readonly bridge: SessionServices['bridge'];
	readonly databases: Pick<Databases, 'all' | 'find'>;
	readonly store: PolicyStore;
	/** Where records go to. */
	readonly audit: RecordSink;
	readonly pipeline: Pipeline;
	readonly meters: Meters;
	readonly console: ConsoleServices;
	/** Who may know cancel keys that this process does not, in the order in which they are asked. */
	readonly elsewhere?: SessionServices['elsewhere'];
	/** Sessions of other workers; missing: there are none. */
	readonly counts?: SessionsElsewhere;
	readonly isPeer?: SessionServices['isPeer'];
}

/** A cluster as sessions see it. */
type ServedCluster = OpenedGated & DatabaseServices;

/** `database` answers with services of its own, that have its limits and count for it. */
export function sessionServices(parts: ServiceParts): SessionServices {
	const { config, databases, meters, audit } = parts;
	const shared = sharedServices(parts);
	const made = new WeakMap<ServedDatabase, readonly ServedCluster[]>();
	const clustersOf = (served: ServedDatabase): readonly ServedCluster[] => {
		const known = made.get(served);
		if (known !== undefined) return known;
		const { config: own } = served;
		const services = { ...shared, limits: limitsOf(config, own), audit: meters.counting(audit, own.name) };
		const clusters = sharding(
			own,
			served.clusters.map((cluster) => ({ ...cluster, services, heir: heirOf(cluster) })),
		);
		made.set(served, clusters);
		return clusters;
	};
	/** A session works on as the role that it works as, or nowhere. */
	const heirOf =
		({ name, lineage }: OpenedGated): NonNullable<DatabaseServices['heir']> =>
		(identity, leaseAs) => {
			const served = databases.find(name);
			const found = served === undefined ? undefined : clustersOf(served).find((one) => one.lineage === lineage);
			if (found === undefined || found.pool.retired !== null) return undefined;
			const role = found.asRole?.(identity);
			return role?.leaseAs === leaseAs ? { ...found, ...role } : undefined;
		};
	return {
		...shared,
		database: (name) => {
			const served = databases.find(name);
			if (served === undefined) return undefined;
			const [database] = clustersOf(served);
			database?.pool.admit();
			return database;
		},
	};
}

/** How often sessions have to be compared with their limits of time; null: never. */
export function looksOf({ databases }: Config): number | null {
	return lookEveryMs(databases.flatMap((database) => Object.values(timesOf(database))));
}

/** A sharded database has no services of its own: those of the first shard stand in until it is known which. */
function sharding({ name, sharded }: DatabaseConfig, clusters: readonly ServedCluster[]): readonly ServedCluster[] {
	if (sharded === null) return clusters;
	const onShard: DatabaseServices['onShard'] = (identity, asked) => {
		const shard = shardFor(sharded, name, identity, asked);
		const found = shards.find((cluster) => cluster.shard === shard);
		if (found === undefined) throw new Error(`shard ${shard} of ${name} is not open`);
		return found;
	};
	const shards: readonly ServedCluster[] = clusters.map((cluster) => ({ ...cluster, onShard }));
	return shards;
}

function sharedServices(parts: ServiceParts): SessionServices {
	const { config, log, now, bridge, databases, store, audit, pipeline, meters, console } = parts;
	const { queryBytesMax, bindBytesMax, longMessagesBytesMax } = config.limits;
	return {
		limits: limitsOfAll(config),
		clientRules: frontendRules({
			Query: queryBytesMax,
			Parse: queryBytesMax,
			Bind: bindBytesMax,
			FunctionCall: bindBytesMax,
		}),
		longMessages: new MessageBudget(longMessagesBytesMax),
		serverRules: backendRules(),
		bridge,
		database: (name) => databases.find(name)?.clusters[0],
		accessFor: (identity, database) => store.current().accessFor(identity, database),
		settingSafety,
		pipeline,
		audit: meters.counting(audit, console.database),
		passedRows: new WeakMap(),
		cancels: new CancelRegistry(),
		...(parts.elsewhere === undefined ? {} : { elsewhere: parts.elsewhere }),
		...(parts.isPeer === undefined ? {} : { isPeer: parts.isPeer }),
		leave: leaving(parts),
		admission: admissionOf(config, databases, parts.counts ?? null),
		console,
		lookEveryMs: looksOf(config),
		ended: (session) => meters.ended(session),
		log,
		now,
	};
}

/** Two names may lead to the same database; DROP DATABASE comes from another one on that server. */
function leaving({ databases, log }: ServiceParts): NonNullable<SessionServices['leave']> {
	return (beside, dbname) => {
		const known = databases.all.flatMap(({ config, clusters }) =>
			clusterConfigs(config).flatMap(({ shard, database }) => {
				const found = clusters.find((cluster) => cluster.shard === shard);
				const servers = database.hosts.map(({ host, port }) => `${host} ${port}`);
				return found === undefined ? [] : [{ ...found, dbname: database.dbname, servers }];
			}),
		);
		const shard = beside.shard ?? null;
		const servers = known.find((one) => one.name === beside.name && one.shard === shard)?.servers ?? [];
		for (const one of known) {
			if (one.dbname !== dbname || !one.servers.some((server) => servers.includes(server))) continue;
			log.info(
				{ database: one.name },
				'connections of the gateway are closed: somebody needs the database for themselves',
			);
			one.pool.closeIdle();
			for (const catalog of one.catalogs) void catalog.rest();
		}
	};
}

function limitsOf(config: Config, database: DatabaseConfig): SessionLimits {
	return { ...limitsOfAll(config), ...timesOf(database) };
}

/** The port gives connections to the workers in turn, so each has its part of those that have not signed in. */
function limitsOfAll({ limits, workers }: Config): SessionLimits {
	const connectingPerAddressMax = Math.ceil(limits.connectingPerAddressMax / workers);
	return { ...defaultSessionLimits, ...limits, connectingPerAddressMax };
}

/** Limits of time that the database has. */
function timesOf({ limits }: DatabaseConfig): Omit<DatabaseConfig['limits'], 'sessionsMax'> {
	const { sessionsMax: _count, ...times } = limits;
	return times;
}

function admissionOf(
	{ limits, identity }: Config,
	databases: ServiceParts['databases'],
	elsewhere: SessionsElsewhere | null,
): Admission {
	const ofUser = new Map(identity.users.map(({ name, sessionsMax }) => [name, sessionsMax]));
	const each: AdmissionLimits = {
		perUser: (user) => ofUser.get(user) ?? limits.sessionsPerUserMax,
		perDatabase: (database) => databases.find(database)?.config.limits.sessionsMax ?? 0,
		all: limits.sessionsMax,
	};
	return new Admission(each, elsewhere);
}
