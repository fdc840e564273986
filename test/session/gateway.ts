/** Starts a listener for tests: real sockets and a real backend, with a login that lets everybody in and a fake pipeline. */
import type { Step } from '../../src/auth/exchange.ts';
import { CancelRegistry } from '../../src/backend/cancel.ts';
import { connectBackend } from '../../src/backend/connection.ts';
import type { BackendPool } from '../../src/backend/lease.ts';
import { SessionPool } from '../../src/backend/session-pool.ts';
import { TransactionPool } from '../../src/backend/pool.ts';
import type { ReusingPoolOptions, TransactionPoolOptions } from '../../src/backend/pool-options.ts';
import { SharedListener, type SharedListenerOptions } from '../../src/backend/shared-listener.ts';
import type { BackendTarget } from '../../src/backend/target.ts';
import type { Catalog } from '../../src/catalog/catalog.ts';
import { GatewayError } from '../../src/errors.ts';
import { Admission, type AdmissionLimits } from '../../src/session/admission.ts';
import { defaultSessionLimits, type SessionLimits } from '../../src/session/limits.ts';
import { lookEveryMs } from '../../src/session/watch.ts';
import { Listener } from '../../src/session/listener.ts';
import type { PoolingRules } from '../../src/session/keepsakes.ts';
import type { ConsoleServices } from '../../src/session/live.ts';
import type { ListenerTls, SessionServices } from '../../src/session/services.ts';
import type { Access, Answer, Identity } from '../../src/stages.ts';
import { encodeAuthenticationOk } from '../../src/wire/encode.ts';
import { backendRules, frontendRules } from '../../src/wire/framer.ts';
import type { MessageBudget } from '../../src/wire/message-budget.ts';
import type { TestDatabase } from '../support/postgres.ts';
import { FakePipeline, someone } from './fake-pipeline.ts';

export interface TestGateway {
	readonly port: number;
	readonly listener: Listener;
	readonly pipeline: FakePipeline;
	readonly pool: BackendPool;
	/** Transaction mode with `hears`. */
	readonly hearing: SharedListener | null;
	/** How often the catalogue was looked at again. */
	readonly refreshes: { count: number };
	/** The look at the catalogue that is under way, as a test has it. */
	readonly looks: { underWay: Promise<unknown> | null; following: Promise<unknown> | null };
	/** What went to the operator's log, by message. */
	readonly logged: string[];
	close(): Promise<void>;
}

export interface TestGatewayOptions {
	readonly limits?: Partial<SessionLimits>;
	readonly tls?: ListenerTls;
	readonly identity?: Partial<Identity>;
	readonly poolSize?: number;
	readonly target?: Partial<BackendTarget>;
	readonly now?: () => number;
	readonly admission?: AdmissionLimits;
	readonly console?: ConsoleServices;
	/** Transaction mode, with these options of the pool. */
	readonly pooled?: Partial<TransactionPoolOptions> & Partial<PoolingRules>;
	/** Session mode, in which connections go on to the next client. */
	readonly reusing?: Partial<ReusingPoolOptions>;
	/** In transaction mode LISTEN goes by a listener that is shared. */
	readonly hears?: Partial<SharedListenerOptions>;
	/** How cancel requests are sent. */
	readonly cancels?: ConstructorParameters<typeof CancelRegistry>[0];
	/** Asked each time: true once the policy allows nothing any more. */
	readonly withdrawn?: () => boolean;
	/** Room for long messages of all clients. */
	readonly longMessages?: MessageBudget;
	/** A login that answers these steps, one for each call. */
	readonly steps?: () => (input: Buffer | null) => Step | Promise<Step>;
}

function timesOf(limits: SessionLimits): number[] {
	const { queryTimeoutMs, transactionTimeoutMs, idleTransactionTimeoutMs, backendLifetimeMs } = limits;
	return [queryTimeoutMs, transactionTimeoutMs, idleTransactionTimeoutMs, backendLifetimeMs];
}

const yes: Answer = { allowed: true, denied: false, named: true, actionNamed: true, rules: [] };
const no: Answer = { ...yes, allowed: false };

export async function startTestGateway(database: TestDatabase, options: TestGatewayOptions = {}): Promise<TestGateway> {
	const pipeline = new FakePipeline();
	const { host, port, user, password } = database;
	const target: BackendTarget = {
		host,
		port,
		user,
		dbname: database.database,
		password: () => password,
		tls: { mode: 'disable' },
		...options.target,
	};
	const size = options.poolSize ?? 50;
	const { pooled, reusing } = options;
	const pool =
		pooled === undefined
			? new SessionPool(target, { size, ...reusing })
			: new TransactionPool(target, { size, ...pooled });
	const rules: PoolingRules = { userCode: 'pin', sequences: 'transaction', trusted: [], ...pooled };
	const hearing =
		options.hears === undefined
			? null
			: new SharedListener({
					role: user,
					connect: (signal) => connectBackend(target, { application_name: 'hears' }, { signal }),
					...options.hears,
				});
	const pooling = {
		...(pooled === undefined ? {} : { pooling: rules }),
		...(reusing === undefined ? {} : { reusing: rules }),
		...(hearing === null ? {} : { listener: hearing }),
	};
	const refreshes = { count: 0 };
	const looks: TestGateway['looks'] = { underWay: null, following: null };
	const catalog = {
		get underWay() {
			return looks.underWay;
		},
		get following() {
			return looks.following;
		},
		refresh: () => {
			refreshes.count += 1;
			return Promise.resolve();
		},
		follow: () => catalog.refresh(),
		// What asks for the session's own relations asks it whether there are shards.
		snapshot: () => ({ hasShards: false }),
	} as unknown as Catalog;
	const logged: string[] = [];
	const log = (_fields: object, message: string) => {
		logged.push(message);
	};
	const services: SessionServices = {
		limits: { ...defaultSessionLimits, ...options.limits },
		clientRules: frontendRules(),
		serverRules: backendRules(),
		bridge: { begin: (request) => ({ step: options.steps?.() ?? (() => welcome(request.user, options.identity)) }) },
		database: (name) => (name === 'missing' ? undefined : { name, pool, catalog, backendRole: user, ...pooling }),
		accessFor: (identity) => (identity.name === 'outsider' || options.withdrawn?.() === true ? outsider : insider),
		settingSafety: (name) =>
			name === 'row_security'
				? { safe: false, grantable: false, reason: 'it switches protection off' }
				: { safe: true },
		pipeline,
		audit: pipeline,
		passedRows: new WeakMap(),
		cancels: new CancelRegistry(options.cancels),
		admission: new Admission(options.admission ?? { perUser: () => 0, perDatabase: () => 0 }),
		lookEveryMs: lookEveryMs(timesOf({ ...defaultSessionLimits, ...options.limits })),
		...(options.console === undefined ? {} : { console: options.console }),
		...(options.longMessages === undefined ? {} : { longMessages: options.longMessages }),
		log: { info: log, warn: log, error: log },
		now: options.now ?? Date.now,
	};
	const listener = await Listener.listen({ host: '127.0.0.1', port: 0, tls: options.tls ?? null }, services);
	return {
		port: listener.address.port,
		listener,
		pipeline,
		pool,
		hearing,
		refreshes,
		looks,
		logged,
		close: async () => {
			await listener.close({ deadlineMs: 0 });
			await hearing?.close();
			await pool.close();
		},
	};
}

function welcome(user: string, identity: Partial<Identity> | undefined): Step {
	if (user === 'nobody') {
		const error = new GatewayError('28P01', 'password authentication failed for user "nobody"', { severity: 'FATAL' });
		return { type: 'fail', messages: [], error, reason: 'no such user', method: 'scram-sha-256' };
	}
	return { type: 'done', messages: [encodeAuthenticationOk()], identity: { ...someone, name: user, ...identity } };
}

const insider = accessOf(yes, 'insider');
const outsider = accessOf(no, 'outsider');

function accessOf(answer: Answer, shape: string): Access {
	return {
		database: 'any',
		revision: 'p1',
		shape,
		unrestricted: false,
		narrowsSystem: false,
		onDatabase: () => answer,
		onRelation: () => answer,
		onColumn: () => answer,
		readColumn: () => ({ ...answer, protectionNamed: false }),
		filtersOf: () => ({ filters: [], protectionNamed: false, rules: [] }),
		onFunction: () => answer,
		onSchema: () => answer,
	};
}
