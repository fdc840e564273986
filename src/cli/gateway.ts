/** Puts a running gateway together from its configuration: policy, audit, sign-in, databases, pipeline, listener, console. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Console, consoleDatabase } from '../admin/console/console.ts';
import { Control } from '../admin/control.ts';
import { Gate } from '../admin/gate.ts';
import { AdminServer } from '../admin/http.ts';
import { Meters, type RecordSink } from '../admin/meters.ts';
import type { DatabaseView, GatewayView } from '../admin/view.ts';
import type { AuditLog } from '../audit/log.ts';
import { AuthBridge } from '../auth/bridge.ts';
import { isHarmlessFunctionName } from '../catalog/safety.ts';
import type { Config, DatabaseConfig } from '../config/config.ts';
import { Pipeline, type SqlLimits } from '../pipeline.ts';
import type { Policy } from '../policy/policy.ts';
import { formatProblem, type PolicyProblem } from '../policy/problem.ts';
import { PolicyStore } from '../policy/store.ts';
import { Listener } from '../session/listener.ts';
import type { DatabaseServices, SessionLog } from '../session/services.ts';
import type { Access, Identity } from '../stages.ts';
import { openAudit } from './audit-log.ts';
import { authSettings } from './auth-settings.ts';
import { databaseServices, type OpenedDatabase } from './backends.ts';
import { clusterConfigs } from './clusters.ts';
import { configRows } from './config-rows.ts';
import { listenerTls } from './listener-tls.ts';
import { followPolicy, type PolicyFollower, reloadWords } from './policy-following.ts';
import { type GatedDatabase, sessionServices } from './session-services.ts';
import { startTracing } from './tracing.ts';
import { version } from './version.ts';

export interface GatewayOptions {
	readonly log: SessionLog;
	/** Milliseconds since the epoch. */
	readonly now?: () => number;
}

export interface Gateway {
	/** Where clients connect to. */
	readonly host: string;
	readonly port: number;
	/** Reads the policy again, as SIGHUP asks for; a broken one keeps the former in force, and the log says so. */
	reload(): Promise<void>;
	/** Where health and metrics are; null without `admin` in the configuration. */
	readonly adminPort: number | null;
	/**
	 * Says that it is not ready, and waits for that to be noticed; takes no more clients, lets transactions finish, then ends
	 * the rest. Times as configured; `deadlineMs` in their place for both. May be called twice.
	 */
	close(deadlineMs?: number): Promise<void>;
}

type Closer = () => Promise<void> | void;

/** One cluster of a database, behind its gate. */
type OpenedGated = GatedDatabase & OpenedDatabase;

/**
 * Starts everything; when it resolves, clients can connect. Throws PolicyError, CommandError or GatewayError with one
 * clear message, and leaves nothing behind then. A database or an identity provider that cannot be reached is a
 * warning: it may be back before the first client needs it.
 */
export async function startGateway(config: Config, options: GatewayOptions): Promise<Gateway> {
	const closers: Closer[] = [];
	const closeAll = async (): Promise<void> => {
		for (let closer = closers.pop(); closer !== undefined; closer = closers.pop()) await closer();
	};
	try {
		return await start(config, options, closers, closeAll);
	} catch (error) {
		await closeAll();
		throw error;
	}
}

async function start(
	config: Config,
	options: GatewayOptions,
	closers: Closer[],
	closeAll: () => Promise<void>,
): Promise<Gateway> {
	const { log, now = Date.now } = options;
	for (const warning of config.warnings) log.warn({}, warning);
	const bridge = new AuthBridge(authSettings(config), { now });
	const tls = config.listen.tls === null ? null : listenerTls(config.listen.tls, log, now);

	const { databases, store } = await openDatabases(config, log, closers);
	const audit = await openAudit(config.audit, { log, now, stdout: process.stdout });
	closers.push(() => audit.close());
	const meters = new Meters([...databases.keys(), consoleDatabase]);
	const tracing = startTracing(config, log);
	closers.push(() => tracing?.exporter.close());
	const recorded = tracing === null ? audit : tracing.tracer.tracing(audit);
	const sink = meters.counting(recorded, consoleDatabase);
	const policy = followPolicy(store, sink, log, now);
	const pipeline = new Pipeline({
		audit: sink,
		limits: sqlLimits(config),
		onDecision: (ms) => meters.decisions.observe(ms),
	});
	const shared = { config, databases, meters, store, pipeline };
	const spans = tracing?.exporter.counts ?? null;
	const running: Running = { ...shared, audit, policy, spans, listener: null, draining: false };
	const view = viewOf(running, now());
	const console = consoleOf(running, view, sink, now);
	const services = sessionServices({ ...shared, log, now, bridge, audit: recorded, console });

	const { host, port } = config.listen;
	const listener = await Listener.listen({ host, port, tls }, services);
	running.listener = listener;
	closers.push(() => listener.close({ deadlineMs: 0 }));
	const admin = config.admin === null ? null : await AdminServer.listen(config.admin, view);
	// The last to go: until then it says that the gateway is draining.
	if (admin !== null) closers.unshift(() => admin.close());
	store.watch();
	for (const problem of await bridge.probe()) log.warn({}, problem);
	let closing: Promise<void> | undefined;
	return {
		host,
		port: listener.address.port,
		adminPort: admin?.port ?? null,
		reload: async () => {
			await policy.reload('signal');
		},
		close: (deadlineMs) => {
			closing ??= drain(running, listener, deadlineMs).then(closeAll);
			return closing;
		},
	};
}

function sqlLimits({ limits }: Config): Partial<SqlLimits> {
	const { sqlBytesMax, sqlStatementsMax, sqlReadsMax } = limits;
	return { statementBytesMax: sqlBytesMax, statementsMax: sqlStatementsMax, readsMax: sqlReadsMax };
}

/** Catalogues and policy: each is checked against the other as soon as both are known, and whenever one changes. */
async function openDatabases(
	config: Config,
	log: SessionLog,
	closers: Closer[],
): Promise<{ readonly databases: ReadonlyMap<string, readonly OpenedGated[]>; readonly store: PolicyStore }> {
	let opened: PolicyStore | null = null;
	const recheck = (): void => {
		for (const problem of opened?.recheck() ?? []) log.warn({}, formatProblem(problem));
	};
	const rolesOf = (identity: Identity): ReadonlySet<string> => opened?.current().rolesOf(identity) ?? new Set();
	const databases = new Map<string, readonly OpenedGated[]>();
	for (const one of config.databases) {
		let revision = 0;
		const nextRevision = (): number => (revision += 1);
		const hooks = { log, rolesOf, onCurrent: recheck, nextRevision };
		const opened = clusterConfigs(one).map((cluster) => databaseServices(cluster, config, hooks));
		databases.set(
			one.name,
			opened.map((database) => ({ ...database, pool: gateOf(database, config) })),
		);
	}
	const all = [...databases.values()].flat();
	const catalogs = all.flatMap(({ name, catalogs }) => catalogs.map((catalog) => ({ name, catalog })));
	closers.push(async () => {
		await Promise.all(all.flatMap(({ listeners }) => listeners.map((listener) => listener.close())));
		await Promise.all(all.map(({ pool }) => pool.close()));
		await Promise.all(catalogs.map(({ catalog }) => catalog.close()));
	});
	for (const { cluster } of all) cluster?.start();
	await Promise.all(catalogs.map((one) => startCatalog(one, log)));

	const store = await PolicyStore.open(config.policies, {
		isHarmlessFunction: isHarmlessFunctionName,
		check: (policy) => all.flatMap((database) => problemsIn(policy, database)),
	});
	closers.push(() => store.close());
	opened = store;
	for (const problem of store.current().warnings) log.warn({}, formatProblem(problem));
	recheck();
	return { databases, store };
}

/** What the operators' side looks at, and what changes in it. */
interface Running {
	readonly config: Config;
	readonly databases: ReadonlyMap<string, readonly OpenedGated[]>;
	readonly meters: Meters;
	readonly audit: AuditLog;
	readonly store: PolicyStore;
	readonly policy: PolicyFollower;
	readonly pipeline: Pipeline;
	readonly spans: GatewayView['spans'];
	listener: Listener | null;
	draining: boolean;
}

function consoleOf(running: Running, view: GatewayView, sink: RecordSink, now: () => number): Console {
	const { config, policy, store } = running;
	const control = new Control({ view, reload: async () => reloadWords(await policy.reload('admin')) });
	const rights = (identity: Identity): Access => store.current().accessFor(identity, consoleDatabase);
	return new Console({ view, control, config: configRows(config), sink, accessFor: rights, now });
}

async function drain(running: Running, listener: Listener, deadlineMs: number | undefined): Promise<void> {
	const { drainNoticeMs, drainTimeoutMs } = running.config.limits;
	running.draining = true;
	if (deadlineMs === undefined && drainNoticeMs > 0) await sleep(drainNoticeMs);
	await listener.close({ deadlineMs: deadlineMs ?? drainTimeoutMs });
}

function viewOf(running: Running, startedMs: number): GatewayView {
	const { config, databases, meters, audit, store, policy, pipeline, spans } = running;
	const views = config.databases.flatMap((one): DatabaseView[] => {
		const opened = databases.get(one.name) ?? [];
		return clusterConfigs(one).flatMap(({ shard, database }) => {
			const found = opened.find((cluster) => cluster.shard === shard);
			return found === undefined ? [] : [databaseView(database, found)];
		});
	});
	return {
		version: version(),
		startedMs,
		sessionsMax: config.limits.sessionsMax,
		databases: views,
		meters,
		spans,
		sessions: () => running.listener?.sessions ?? [],
		connecting: () => running.listener?.stats.connecting ?? 0,
		pipeline: () => pipeline.stats,
		policy: () => {
			const { revision, rules } = store.current();
			return { revision, rules: rules.length, loadedMs: policy.loadedMs() };
		},
		audit: () => audit.stats,
		draining: () => running.draining,
	};
}

function databaseView(database: DatabaseConfig, { shard, cluster, pool: gate, catalog }: OpenedGated): DatabaseView {
	const { name, host, port, dbname, user: role, pool, limits } = database;
	const { sessionsMax } = limits;
	return { name, shard, host, port, cluster, dbname, role, poolMode: pool.mode, sessionsMax, gate, catalog };
}

function gateOf({ name, pool }: DatabaseServices, { limits }: Config): Gate {
	return new Gate(pool, { database: name, waitMs: limits.poolWaitMs, waitersMax: limits.poolWaitersMax });
}

function problemsIn(policy: Policy, { name, catalog }: DatabaseServices): readonly PolicyProblem[] {
	// Of a database that cannot be asked nothing is known: neither that a column is there nor that it is not.
	return catalog.stats.state === 'current' ? policy.problems(name, catalog.snapshot().relations()) : [];
}

async function startCatalog(
	{ name, catalog }: Pick<DatabaseServices, 'name' | 'catalog'>,
	log: SessionLog,
): Promise<void> {
	try {
		await catalog.start();
	} catch (error) {
		const cause = error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error);
		log.warn({ database: name, problem: cause }, 'database cannot be reached; statements are refused until it can');
	}
}
