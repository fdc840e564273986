/** Puts a running gateway together from its configuration: policy, audit, sign-in, databases, pipeline, listener, console. */
import { setTimeout as sleep } from 'node:timers/promises';
import { consoleDatabase } from '../admin/console/console.ts';
import { AdminServer } from '../admin/http.ts';
import { Meters, type RecordSink } from '../admin/meters.ts';
import { Analyst } from '../analysis/analyst.ts';
import type { DatabaseView, GatewayView } from '../admin/view.ts';
import type { AuditLog } from '../audit/log.ts';
import { AuthBridge } from '../auth/bridge.ts';
import { isHarmlessFunctionName } from '../catalog/safety.ts';
import type { Config } from '../config/config.ts';
import { Pipeline, type SqlLimits } from '../pipeline.ts';
import type { Policy } from '../policy/policy.ts';
import { formatProblem, type PolicyProblem } from '../policy/problem.ts';
import { PolicyStore } from '../policy/store.ts';
import type { PolicyWatcher } from '../policy/watcher/watcher.ts';
import { Listener } from '../session/listener.ts';
import type { LiveSession } from '../session/live.ts';
import type { DatabaseServices, SessionLog } from '../session/services.ts';
import type { Identity } from '../stages.ts';
import { type FormerLogs, keepFormerLogs, openAudit, withFormer } from './audit-log.ts';
import { authSettings } from './auth-settings.ts';
import { openSession } from './backends.ts';
import { clusterConfigs } from './clusters.ts';
import { ConfigFollower, type ConfigFollowerParts } from './config-following.ts';
import { Databases, type ServedDatabase } from './databases.ts';
import { listenerTls } from './listener-tls.ts';
import { MaskWatch } from './mask-watch.ts';
import { operators } from './operators.ts';
import { followPolicy, type PolicyFollower } from './policy-following.ts';
import { startPolicyWatcher } from './policy-watcher.ts';
import { cancelPeers } from './peers.ts';
import { looksOf, type ServiceParts, sessionServices } from './session-services.ts';
import { startTracing } from './tracing.ts';
import { version } from './version.ts';
import { loneBus, type WorkerBus } from './workers/bus.ts';
import { WorkerCancels } from './workers/cancels.ts';
import { SharedCounts, type SessionsLink } from './workers/counts.ts';
import { SharedFailures } from './workers/failures.ts';
import { type PlacesLink, Shares } from './workers/shares.ts';

export interface GatewayOptions {
	readonly log: SessionLog;
	/** Milliseconds since the epoch. */
	readonly now?: () => number;
	/** Reads the configuration again, for `reload`; throws ConfigError. Missing: it stays as it is. */
	readonly loadConfig?: () => Promise<Config>;
	/** The way to the other workers of this gateway; missing: there are none. */
	readonly bus?: WorkerBus;
	/** The way to the places of the pools that it shares with them; missing: its pools are its own. */
	readonly places?: PlacesLink;
	/** The way to the book of all their sessions; missing: it counts its own. */
	readonly sessions?: SessionsLink;
}

export interface Gateway {
	/** Where clients connect to. */
	readonly host: string;
	readonly port: number;
	/**
	 * Reads configuration and policy again, as SIGHUP asks for; a broken one keeps the former in force, and the log says so. Of the
	 * configuration the databases are taken up.
	 */
	reload(): Promise<void>;
	/** Where health and metrics are; null without `admin` in the configuration. */
	readonly adminPort: number | null;
	/**
	 * Says that it is not ready, and waits for that to be noticed; takes no more clients, lets transactions finish, then ends
	 * the rest. Times as configured; `deadlineMs` in their place for both. May be called twice. `notice: false`: others go on
	 * taking clients at the same port, so nobody needs to notice.
	 */
	close(deadlineMs?: number, how?: { readonly notice: boolean }): Promise<void>;
}

type Closer = () => Promise<void> | void;

interface OpenParts {
	readonly config: Config;
	readonly log: SessionLog;
	readonly closers: Closer[];
	readonly meters: Meters;
	readonly door: Door;
	readonly places: PlacesLink | undefined;
}

/** Where clients come in; null as long as nobody can. */
interface Door {
	listener: Listener | null;
}

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
	const { log, now = Date.now, bus = loneBus() } = options;
	const { worker } = bus;
	// All workers read the same file.
	if (worker === 1) for (const warning of config.warnings) log.warn({}, warning);
	const bridge = new AuthBridge(authSettings(config), { now, failures: new SharedFailures(bus, now) });
	const tls = config.listen.tls === null ? null : listenerTls(config.listen.tls, log, now);

	const meters = new Meters([...config.databases.map(({ name }) => name), consoleDatabase]);
	const door: Door = { listener: null };
	const { databases, store } = await openDatabases({ config, log, closers, meters, door, places: options.places });
	const logging = { log, now, stdout: process.stdout, worker, workers: config.workers };
	const audit = await openAudit(config.audit, logging);
	closers.push(() => audit.close());
	const former = worker === 1 ? keepFormerLogs(config.audit, logging) : null;
	closers.push(() => former?.close());
	const tracing = startTracing(config, log);
	closers.push(() => tracing?.exporter.close());
	const recorded = tracing === null ? audit : tracing.tracer.tracing(audit);
	const sink = meters.counting(recorded, consoleDatabase);
	const policy = followPolicy(store, sink, log, now);
	const pipeline = pipelineOf(config, sink, meters, closers);
	const shared = { config, databases, meters, store, pipeline };
	const spans = tracing?.exporter.counts ?? null;
	const follower = followConfig(
		{ databases, meters, door },
		{ config, load: options.loadConfig ?? null, audit: sink, log },
	);
	const parts = { ...shared, bus, follower, audit, former, policy, spans, door };
	const running: Running = { ...parts, watcher: null, draining: false };
	const view = viewOf(running, now());
	const { console, crew } = await operators({ bus, workers: config.workers, view, follower, policy, store, sink, now });
	closers.push(() => crew?.leave());
	const counts = options.sessions === undefined ? {} : { counts: new SharedCounts(bus, options.sessions) };
	const elsewhere = { ...keysElsewhere(running, log), ...counts };
	const services = sessionServices({ ...shared, log, now, bridge, audit: recorded, console, ...elsewhere });

	const { host, port } = config.listen;
	const listener = await Listener.listen({ host, port, tls }, services);
	door.listener = listener;
	closers.push(() => listener.close({ deadlineMs: 0 }));
	const onTrouble = (path: string, error: unknown) => log.error({ path, error }, 'the admin port could not answer');
	const admin = config.admin === null ? null : await AdminServer.listen({ ...config.admin, onTrouble }, view, crew);
	// The last to go: until then it says that the gateway is draining.
	if (admin !== null) closers.unshift(() => admin.close());
	store.watch();
	running.watcher = startPolicyWatcher({ ...running, log, worker, port: listener.address.port });
	closers.push(() => running.watcher?.close());
	for (const problem of await bridge.probe()) log.warn({}, problem);
	let closing: Promise<void> | undefined;
	return {
		host,
		port: listener.address.port,
		adminPort: admin?.port ?? null,
		reload: async () => {
			await follower.reload('signal');
			await policy.reload('signal');
		},
		close: (deadlineMs, { notice } = { notice: true }) => {
			closing ??= drain(running, listener, { deadlineMs, notice }).then(closeAll);
			return closing;
		},
	};
}

function pipelineOf(config: Config, audit: RecordSink, meters: Meters, closers: Closer[]): Pipeline {
	const { sqlWaitingLengthMax: waitingMax, sqlAnalysisMs: timeoutMs, sqlThreadLengthMin: asideMin } = config.limits;
	const analyst = new Analyst({ waitingMax, timeoutMs });
	closers.push(() => analyst.close());
	const onDecision = (ms: number): void => meters.decisions.observe(ms);
	return new Pipeline({ audit, limits: sqlLimits(config), analyst, asideMin, onDecision });
}

/** Other workers first: they say whether they know a key, and peers do not. */
function keysElsewhere(
	{ config, meters, bus, door }: Pick<Running, 'config' | 'meters' | 'bus' | 'door'>,
	log: SessionLog,
): Pick<ServiceParts, 'elsewhere' | 'isPeer'> {
	const workers = new WorkerCancels(bus, { cancelHere: async (one) => (await door.listener?.cancel(one)) === true });
	const peers = cancelPeers(config, meters, log);
	if (peers === null) return { elsewhere: [workers] };
	return { elsewhere: [workers, peers], isPeer: (address) => peers.isPeer(address) };
}

function sqlLimits({ limits }: Config): Partial<SqlLimits> {
	const { sqlBytesMax, sqlStatementsMax, sqlReadsMax, sqlHiddenColumnsMax } = limits;
	return {
		statementBytesMax: sqlBytesMax,
		statementsMax: sqlStatementsMax,
		readsMax: sqlReadsMax,
		hiddenColumnsMax: sqlHiddenColumnsMax,
	};
}

/** Catalogues and policy: each is checked against the other as soon as both are known, and whenever one changes. */
async function openDatabases(
	parts: OpenParts,
): Promise<{ readonly databases: Databases; readonly store: PolicyStore }> {
	const { config, log, closers, meters, door, places } = parts;
	const shares = places === undefined ? undefined : new Shares(places);
	closers.push(() => shares?.close());
	let opened: PolicyStore | null = null;
	const recheck = (): void => {
		for (const problem of opened?.recheck() ?? []) log.warn({}, formatProblem(problem));
		masks.look();
	};
	const rolesOf = (identity: Identity): ReadonlySet<string> => opened?.current().rolesOf(identity) ?? new Set();
	const sessions = (): Iterable<LiveSession> => door.listener?.sessions ?? [];
	const onGone = (name: string): void => meters.remove(name);
	const databases = new Databases({ config, log, rolesOf, onCurrent: recheck, sessions, onGone, shares });
	closers.push(() => databases.close());
	const masks = new MaskWatch({
		log,
		policy: () => opened?.current() ?? null,
		databases: () => databases.all,
		open: (database) => openSession(database, config),
	});
	closers.push(() => masks.close());
	await databases.open(config.databases);
	const store = await PolicyStore.open(config.policies, {
		isHarmlessFunction: isHarmlessFunctionName,
		check: (policy) => databases.clusters.flatMap((database) => problemsIn(policy, database)),
	});
	closers.push(() => store.close());
	opened = store;
	store.onChange(() => masks.look());
	for (const problem of store.current().warnings) log.warn({}, formatProblem(problem));
	recheck();
	return { databases, store };
}

/** What the operators' side looks at, and what changes in it. */
interface Running {
	/** As it was at the start. */
	readonly config: Config;
	readonly follower: ConfigFollower;
	readonly databases: Databases;
	readonly meters: Meters;
	readonly audit: AuditLog;
	/** Kept by the first worker. */
	readonly former: FormerLogs | null;
	readonly store: PolicyStore;
	readonly policy: PolicyFollower;
	readonly pipeline: Pipeline;
	readonly spans: GatewayView['spans'];
	readonly door: Door;
	/** To the other workers. */
	readonly bus: WorkerBus;
	/** Null where there is none, and before it is started. */
	watcher: PolicyWatcher | null;
	draining: boolean;
}

/** Keeps the parts that know databases by name with what the configuration says of them. */
function followConfig(
	{ databases, meters, door }: Pick<Running, 'databases' | 'meters' | 'door'>,
	parts: Omit<ConfigFollowerParts, 'apply'>,
): ConfigFollower {
	return new ConfigFollower({
		...parts,
		apply: async (changes, config) => {
			for (const { name } of changes.added) meters.add(name);
			await databases.change(config.databases, changes);
			door.listener?.lookEvery(looksOf(config));
		},
	});
}

async function drain(
	running: Running,
	listener: Listener,
	{ deadlineMs, notice }: { readonly deadlineMs: number | undefined; readonly notice: boolean },
): Promise<void> {
	const { drainNoticeMs, drainTimeoutMs } = running.config.limits;
	running.draining = true;
	if (deadlineMs === undefined && notice && drainNoticeMs > 0) await sleep(drainNoticeMs);
	await listener.close({ deadlineMs: deadlineMs ?? drainTimeoutMs, logins: notice ? 'abort' : 'finish' });
}

function viewOf(running: Running, startedMs: number): GatewayView {
	const { config, databases, meters, audit, former, store, policy, pipeline, spans, door } = running;
	return {
		version: version(),
		startedMs,
		sessionsMax: config.limits.sessionsMax,
		get databases() {
			return databases.all.flatMap(databaseViews);
		},
		meters,
		spans,
		sessions: () => door.listener?.sessions ?? [],
		connecting: () => door.listener?.stats.connecting ?? 0,
		pipeline: () => pipeline.stats,
		policy: () => {
			const { revision, rules } = store.current();
			return { revision, rules: rules.length, loadedMs: policy.loadedMs() };
		},
		policyWatcher: () => running.watcher?.stats ?? null,
		audit: () => withFormer(audit.stats, former?.stats ?? []),
		draining: () => running.draining,
	};
}

function databaseViews({ config, clusters }: ServedDatabase): DatabaseView[] {
	const shards = clusterConfigs(config);
	return clusters.map(({ shard, cluster, pool: gate, catalog, listeners }, index) => {
		const { name, host, port, dbname, user: role, pool, limits } = shards[index]?.database ?? config;
		const { sessionsMax } = limits;
		const behind = { gate, listeners, catalog };
		return {
			name,
			shard,
			host,
			port,
			cluster,
			dbname,
			role,
			poolMode: pool.mode,
			poolSize: pool.size,
			sessionsMax,
			...behind,
		};
	});
}

function problemsIn(policy: Policy, { name, catalog }: DatabaseServices): readonly PolicyProblem[] {
	// Of a database that cannot be asked nothing is known: neither that a column is there nor that it is not.
	return catalog.stats.state === 'current' ? policy.problems(name, catalog.snapshot().relations()) : [];
}
