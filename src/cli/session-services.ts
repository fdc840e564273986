/** What every session of a gateway is given, from its configuration: limits, rules, and the parts that all of them share. */
import type { Gate } from '../admin/gate.ts';
import type { Meters, RecordSink } from '../admin/meters.ts';
import { CancelRegistry } from '../backend/cancel.ts';
import { settingSafety } from '../catalog/safety.ts';
import type { Config, DatabaseConfig } from '../config/config.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { Pipeline } from '../pipeline.ts';
import type { PolicyStore } from '../policy/store.ts';
import { Admission } from '../session/admission.ts';
import { defaultSessionLimits, type SessionLimits } from '../session/limits.ts';
import type { ConsoleServices } from '../session/live.ts';
import type { DatabaseServices, SessionLog, SessionServices } from '../session/services.ts';
import { lookEveryMs } from '../session/watch.ts';
import { backendRules, frontendRules } from '../wire/framer.ts';
import { clusterConfigs } from './clusters.ts';
import { shardFor } from './shards.ts';

/** A database behind the gate that operators hold. */
export interface GatedDatabase extends DatabaseServices {
	readonly pool: Gate;
	/** Null: the database is not sharded. */
	readonly shard: string | null;
	readonly catalogs: readonly Catalog[];
}

export interface ServiceParts {
	readonly config: Config;
	readonly log: SessionLog;
	/** Milliseconds since the epoch. */
	readonly now: () => number;
	readonly bridge: SessionServices['bridge'];
	/** The clusters of each: one, or its shards. */
	readonly databases: ReadonlyMap<string, readonly GatedDatabase[]>;
	readonly store: PolicyStore;
	/** Where records go to. */
	readonly audit: RecordSink;
	readonly pipeline: Pipeline;
	readonly meters: Meters;
	readonly console: ConsoleServices;
}

/** `database` answers with services of its own, that have its limits and count for it. */
export function sessionServices(parts: ServiceParts): SessionServices {
	const { config, databases, meters, audit } = parts;
	const shared = sharedServices(parts);
	const served = new Map<string, GatedDatabase>();
	for (const one of config.databases) {
		const services = { ...shared, limits: limitsOf(config, one), audit: meters.counting(audit, one.name) };
		const clusters = (databases.get(one.name) ?? []).map((cluster) => ({ ...cluster, services }));
		const [first] = sharding(one, clusters);
		if (first !== undefined) served.set(one.name, first);
	}
	return {
		...shared,
		database: (name) => {
			const database = served.get(name);
			database?.pool.admit();
			return database;
		},
	};
}

/** A sharded database has no services of its own: those of the first shard stand in until it is known which. */
function sharding({ name, sharded }: DatabaseConfig, clusters: readonly GatedDatabase[]): readonly GatedDatabase[] {
	if (sharded === null) return clusters;
	const onShard: DatabaseServices['onShard'] = (identity, asked) => {
		const shard = shardFor(sharded, name, identity, asked);
		const found = shards.find((cluster) => cluster.shard === shard);
		if (found === undefined) throw new Error(`shard ${shard} of ${name} is not open`);
		return found;
	};
	const shards: readonly GatedDatabase[] = clusters.map((cluster) => ({ ...cluster, onShard }));
	return shards;
}

function sharedServices(parts: ServiceParts): SessionServices {
	const { config, log, now, bridge, databases, store, audit, pipeline, meters, console } = parts;
	const { queryBytesMax, bindBytesMax } = config.limits;
	return {
		limits: { ...defaultSessionLimits, ...config.limits },
		clientRules: frontendRules({
			Query: queryBytesMax,
			Parse: queryBytesMax,
			Bind: bindBytesMax,
			FunctionCall: bindBytesMax,
		}),
		serverRules: backendRules(),
		bridge,
		database: (name) => databases.get(name)?.[0],
		accessFor: (identity, database) => store.current().accessFor(identity, database),
		settingSafety,
		pipeline,
		audit: meters.counting(audit, console.database),
		passedRows: new WeakMap(),
		cancels: new CancelRegistry(),
		leave: leaving(parts),
		admission: admissionOf(config),
		console,
		lookEveryMs: lookEveryMs(config.databases.flatMap((database) => Object.values(timesOf(database)))),
		ended: (session) => meters.ended(session),
		log,
		now,
	};
}

/** Two names may lead to the same database; DROP DATABASE comes from another one on that server. */
function leaving({ config, databases, log }: ServiceParts): NonNullable<SessionServices['leave']> {
	const known = config.databases.flatMap((one) =>
		clusterConfigs(one).flatMap(({ shard, database: { dbname, hosts } }) => {
			const found = databases.get(one.name)?.find((cluster) => cluster.shard === shard);
			return found === undefined
				? []
				: [{ ...found, dbname, servers: hosts.map(({ host, port }) => `${host} ${port}`) }];
		}),
	);
	return (beside, dbname) => {
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
	return { ...defaultSessionLimits, ...config.limits, ...timesOf(database) };
}

/** Limits of time that the database has. */
function timesOf({ limits }: DatabaseConfig): Omit<DatabaseConfig['limits'], 'sessionsMax'> {
	const { sessionsMax: _count, ...times } = limits;
	return times;
}

function admissionOf({ limits, databases, identity }: Config): Admission {
	const ofUser = new Map(identity.users.map(({ name, sessionsMax }) => [name, sessionsMax]));
	const ofDatabase = new Map(databases.map(({ name, limits: { sessionsMax } }) => [name, sessionsMax]));
	return new Admission({
		perUser: (user) => ofUser.get(user) ?? limits.sessionsPerUserMax,
		perDatabase: (database) => ofDatabase.get(database) ?? 0,
	});
}
