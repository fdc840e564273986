/** Puts a running gateway together from its configuration: policy, audit, sign-in, databases, pipeline, listener. */
import { AuditLog } from '../audit/log.ts';
import { AuthBridge } from '../auth/bridge.ts';
import { CancelRegistry } from '../backend/cancel.ts';
import { isHarmlessFunctionName, settingSafety } from '../catalog/safety.ts';
import type { Config, DatabaseConfig } from '../config/config.ts';
import { Pipeline } from '../pipeline.ts';
import type { Policy } from '../policy/policy.ts';
import { formatProblem, type PolicyProblem } from '../policy/problem.ts';
import { PolicyStore } from '../policy/store.ts';
import { Admission } from '../session/admission.ts';
import { defaultSessionLimits, type SessionLimits } from '../session/limits.ts';
import { Listener } from '../session/listener.ts';
import type { DatabaseServices, SessionLog, SessionServices } from '../session/services.ts';
import { lookEveryMs } from '../session/watch.ts';
import { backendRules, frontendRules } from '../wire/framer.ts';
import { authSettings } from './auth-settings.ts';
import { databaseServices } from './backends.ts';
import { listenerTls } from './listener-tls.ts';
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
	/** Takes no more clients, lets transactions finish for `deadlineMs`, then ends the rest. May be called twice. */
	close(deadlineMs?: number): Promise<void>;
}

const DRAIN_MS = 10_000;

/**
 * Starts everything; when it resolves, clients can connect. Throws PolicyError, CommandError or GatewayError with one
 * clear message, and leaves nothing behind then. A database or an identity provider that cannot be reached is a
 * warning: it may be back before the first client needs it.
 */
export async function startGateway(config: Config, options: GatewayOptions): Promise<Gateway> {
	const closers: (() => Promise<void> | void)[] = [];
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
	closers: (() => Promise<void> | void)[],
	closeAll: () => Promise<void>,
): Promise<Gateway> {
	const { log, now = Date.now } = options;
	for (const warning of config.warnings) log.warn({}, warning);
	if (config.admin !== null) log.warn({}, 'admin: this version has no admin port; the key has no effect');
	const bridge = new AuthBridge(authSettings(config), { now });
	const tls = config.listen.tls === null ? null : listenerTls(config.listen.tls, log, now);

	let opened: PolicyStore | null = null;
	const recheck = (): void => {
		for (const problem of opened?.recheck() ?? []) log.warn({}, formatProblem(problem));
	};
	const databases = new Map(config.databases.map((one) => [one.name, databaseServices(one, config, log, recheck)]));
	closers.push(async () => {
		await Promise.all([...databases.values()].flatMap(({ pool, catalog }) => [pool.close(), catalog.close()]));
	});
	await Promise.all([...databases.values()].map((database) => startCatalog(database, log)));

	const store = await PolicyStore.open(config.policies, {
		isHarmlessFunction: isHarmlessFunctionName,
		check: (policy) => [...databases.values()].flatMap((database) => problemsIn(policy, database)),
	});
	closers.push(() => store.close());
	opened = store;
	for (const problem of store.current().warnings) log.warn({}, formatProblem(problem));
	recheck();

	const audit = await openAudit(config, now);
	closers.push(() => audit.close());
	const reload = followPolicy(store, audit, log);

	const services = sessionServices({ config, log, now, bridge, databases, store, audit });
	const { host, port } = config.listen;
	const listener = await Listener.listen({ host, port, tls }, services);
	closers.push(() => listener.close({ deadlineMs: 0 }));
	store.watch();
	for (const problem of await bridge.probe()) log.warn({}, problem);
	let closing: Promise<void> | undefined;
	return {
		host,
		port: listener.address.port,
		reload,
		close: (deadlineMs = DRAIN_MS) => {
			closing ??= listener.close({ deadlineMs }).then(closeAll);
			return closing;
		},
	};
}

function problemsIn(policy: Policy, { name, catalog }: DatabaseServices): readonly PolicyProblem[] {
	// Of a database that cannot be asked nothing is known: neither that a column is there nor that it is not.
	return catalog.state.type === 'current' ? policy.problems(name, catalog.snapshot().relations()) : [];
}

async function startCatalog({ name, catalog }: DatabaseServices, log: SessionLog): Promise<void> {
	try {
		await catalog.start();
	} catch (error) {
		const cause = error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error);
		log.warn({ database: name, problem: cause }, 'database cannot be reached; statements are refused until it can');
	}
}

async function openAudit(config: Config, now: () => number): Promise<AuditLog> {
	const { path, durability, key, parameters } = config.audit;
	return AuditLog.open({ path, durability, parameters, now, key: key?.reveal() ?? null, productVersion: version() });
}

/** Log and audit hear of each change of the policy. Answers how to ask for one. */
function followPolicy(store: PolicyStore, audit: AuditLog, log: SessionLog): () => Promise<void> {
	let trigger = 'start';
	let revision: string | null = null;
	const record = (ok: boolean, problems: readonly string[]): void => {
		const { revision: current } = store.current();
		audit.event({ type: 'policy-reload', ok, revision: current, previousRevision: revision, trigger, problems });
		revision = current;
	};
	record(true, []);
	trigger = 'file change';
	store.onChange((policy) => {
		record(true, []);
		log.info({ revision: policy.revision, rules: policy.rules.length, trigger }, 'policy was reloaded');
		for (const problem of [...policy.warnings, ...store.recheck()]) log.warn({}, formatProblem(problem));
	});
	store.onRefusal((error) => {
		const problems = error.problems.map(formatProblem);
		record(false, problems);
		log.error(
			{ problems, inForce: store.current().revision, trigger },
			'policy cannot be used: the former stays in force',
		);
	});
	return async () => {
		trigger = 'signal';
		try {
			const { type } = await store.reload();
			if (type === 'unchanged') log.info({ revision: store.current().revision }, 'policy is unchanged');
		} finally {
			trigger = 'file change';
		}
	};
}

interface Parts {
	readonly config: Config;
	readonly log: SessionLog;
	readonly now: () => number;
	readonly bridge: AuthBridge;
	readonly databases: ReadonlyMap<string, DatabaseServices>;
	readonly store: PolicyStore;
	readonly audit: AuditLog;
}

/** Limits of time that a session of the database has. */
function limitsOf(config: Config, database: DatabaseConfig): SessionLimits {
	const { sessionsMax: _all, ...own } = database.limits;
	return { ...defaultSessionLimits, ...config.limits, ...own };
}

/** What each session is given; `database` answers with services of its own, that have its limits. */
function sessionServices(parts: Parts): SessionServices {
	const { config, databases } = parts;
	const shared = sharedServices(parts);
	const served = new Map<string, DatabaseServices>();
	for (const one of config.databases) {
		const database = databases.get(one.name);
		if (database === undefined) continue;
		served.set(one.name, { ...database, services: { ...shared, limits: limitsOf(config, one) } });
	}
	return { ...shared, database: (name) => served.get(name) };
}

function admissionOf({ limits, databases, identity }: Config): Admission {
	const ofUser = new Map(identity.users.map(({ name, sessionsMax }) => [name, sessionsMax]));
	const ofDatabase = new Map(databases.map(({ name, limits: { sessionsMax } }) => [name, sessionsMax]));
	return new Admission({
		perUser: (user) => ofUser.get(user) ?? limits.sessionsPerUserMax,
		perDatabase: (database) => ofDatabase.get(database) ?? 0,
	});
}

function sharedServices({ config, log, now, bridge, databases, store, audit }: Parts): SessionServices {
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
		database: (name) => databases.get(name),
		accessFor: (identity, database) => store.current().accessFor(identity, database),
		settingSafety,
		pipeline: new Pipeline({ audit }),
		audit,
		passedRows: new WeakMap(),
		cancels: new CancelRegistry(),
		admission: admissionOf(config),
		lookEveryMs: lookEveryMs(
			config.databases.flatMap(({ limits: { sessionsMax: _all, ...times } }) => Object.values(times)),
		),
		log,
		now,
	};
}
