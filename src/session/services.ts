/** What a session is given to work with: pipeline, login, pools, audit, limits. Types only, so that tests can stand in. */
import type { SecureContext, TLSSocket } from 'node:tls';
import type { Accepted } from '../audit/log.ts';
import type { Outcome, SessionEvent, SessionInfo, StatementRecord } from '../audit/event.ts';
import type { ClientCertificate } from '../auth/client-certificate.ts';
import type { Exchange, LoginRequest } from '../auth/exchange.ts';
import type { BackendPool } from '../backend/lease.ts';
import type { CancelRegistry } from '../backend/cancel.ts';
import type { SharedListener } from '../backend/shared-listener.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { SettingSafety } from '../catalog/safety.ts';
import type { Relation, Routine } from '../catalog/snapshot.ts';
import type { PreparedBefore } from '../pipeline.ts';
import type { Access, AuditReceipt, Decision, Identity, StatementDecision } from '../stages.ts';
import type { ResponseFields, RowField } from '../wire/backend.ts';
import type { FrameRules } from '../wire/framer.ts';
import type { MessageBudget } from '../wire/message-budget.ts';
import type { Admission } from './admission.ts';
import type { KeysElsewhere } from './cancelling.ts';
import type { PoolingRules } from './keepsakes.ts';
import type { SessionLimits } from './limits.ts';
import type { ConsoleServices, LiveSession } from './live.ts';
import type { TellUser } from './told-user.ts';

/** Relations that are no more what the catalogue shows. */
export interface Altered {
	readonly relations: readonly { readonly schema: string; readonly name: string }[];
	/** Another one whenever something of the session is altered, or back as it was. */
	readonly count: number;
}

/** What names mean to this session now. */
export interface Names {
	/** Schemas as in the setting, unquoted; null while nobody knows. The same array as long as nothing changed. */
	readonly searchPath: readonly string[] | null;
	/** Name of the session's own temporary schema; null while it has none. */
	readonly tempSchema: string | null;
	/** Relations that only this session sees. The same array as long as nothing changed; missing: it has none that are known. */
	readonly own?: readonly Relation[];
	/** Schemas that its transaction makes. Missing: none. */
	readonly schemas?: readonly string[];
	/** What its transaction has altered of what the catalogue shows. Missing: nothing. */
	readonly altered?: Altered;
}

/** Who asks, where, and under what circumstances. */
export interface StatementContext {
	readonly identity: Identity;
	readonly database: string;
	readonly access: Access;
	readonly catalog: Catalog;
	readonly names: Names;
	readonly info: SessionInfo;
	readonly prepared: (name: string) => PreparedBefore | undefined;
	readonly lookUp: (
		search: readonly { readonly schema: string; readonly name: string }[],
	) => Promise<readonly Relation[]>;
	readonly lookUpRoutines: (names: readonly string[]) => Promise<readonly Routine[]>;
	readonly inTransaction?: () => boolean;
	/** Asked for once for a decision that takes long: aborted, with a GatewayError, when the client waits for it no more. */
	readonly interruption?: () => AbortSignal;
}

/** The pipeline as a session sees it. */
export interface StatementPipeline {
	/**
	 * Never throws for what a client sends: text that does not parse is a denial. A Promise when the catalogue has to be
	 * looked at. `parameterTypes` as in Parse: oids, 0 or missing where the type is left to the server.
	 */
	decide(context: StatementContext, sql: string, parameterTypes?: readonly number[]): Decision | Promise<Decision>;
	/** The decision on a FunctionCall of the function with this oid. */
	decideCall(context: StatementContext, oid: number): Decision | Promise<Decision>;
	/** False when policy, catalogue, names or identity have changed in a way that may change the decision. */
	isCurrent(decision: Decision, context: StatementContext): boolean;
	/** `done` runs at the end of the turn of the event loop, in the order of the calls. */
	accept(record: StatementRecord, done: Accepted): void;
	/** What the client is told of a server's error or notice on a statement of the decision; the same map: unchanged. */
	clientFields(fields: ResponseFields, decision: Decision, statement: number): ResponseFields;
	/** The same when it is not known which statement of a transaction raised it, and one of them touched protected relations. */
	redactedFields(fields: ResponseFields): ResponseFields;
	/** Null when all columns may pass; else which may not, `schema.relation.column`. */
	breach(fields: readonly RowField[], statement: StatementDecision, context: StatementContext): string | null;
}

/** One database as clients know it. */
export interface DatabaseServices {
	readonly name: string;
	readonly pool: BackendPool;
	readonly catalog: Catalog;
	/** Role that the gateway signs in with. */
	readonly backendRole: string;
	/** Which of the pool's targets signs in at the server; missing: the pool's own. */
	readonly leaseAs?: string;
	/** What is another for this person, who works as another role on the server; undefined: nothing. */
	readonly asRole?: (identity: Identity) => RoleServices | undefined;
	/**
	 * Of a sharded database: what is another on the shard of this person, who may have asked for one by name (null: did not).
	 * Throws FATAL GatewayError when there is none for them. Missing: it is not sharded.
	 */
	readonly onShard?: (identity: Identity, asked: string | null) => DatabaseServices;
	/** Name of the shard that this is. */
	readonly shard?: string | null;
	/** What its sessions are given, where limits or audit are the database's own. */
	readonly services?: SessionServices;
	/** Transaction mode: what holds there, and that it is one. Missing: session mode. */
	readonly pooling?: PoolingRules;
	/** Session mode: a server connection goes on to the next client, by these rules. Missing: it is closed. */
	readonly reusing?: PoolingRules;
	/**
	 * Transaction mode, once `pool` is retired because the database is configured anew: where a session of this person goes on that
	 * works as `leaseAs`. Undefined: nowhere.
	 */
	readonly heir?: (identity: Identity, leaseAs: string | undefined) => DatabaseServices | undefined;
	/** Transaction mode: who hears for those that listen. Missing: LISTEN keeps the server connection. */
	readonly listener?: SharedListener;
	/** Physical replication, of the whole server, may go by this name; missing: by the name `replication` alone. */
	readonly physicalReplication?: boolean;
	/** How the server is told who a session is for; missing: not at all. */
	readonly tellUser?: readonly TellUser[];
}

/** The same database by another role, to which names may mean something else: so it has a catalogue of its own. */
export type RoleServices = Required<Pick<DatabaseServices, 'catalog' | 'backendRole' | 'leaseAs'>> &
	Pick<DatabaseServices, 'listener'>;

export interface SessionAudit {
	outcome(receipt: AuditReceipt, outcome: Outcome): void;
	event(event: SessionEvent, done?: Accepted): void;
}

/** For the operator. `fields` hold no secrets and no values of statements. */
export interface SessionLog {
	info(fields: object, message: string): void;
	warn(fields: object, message: string): void;
	error(fields: object, message: string): void;
}

/** TLS as the listener offers it. */
export interface ListenerTls {
	readonly mode: 'require' | 'allow';
	/** Asked for each handshake, so that a renewed certificate is taken up; keep it as long as the files are the same. */
	readonly secureContext: () => SecureContext;
	/** RFC 5929 tls-server-end-point of that certificate (`serverEndPointHash`). */
	readonly serverCertHash: () => Buffer | undefined;
	/** What the client showed, once the handshake is done. Missing: no certificate is asked for. */
	readonly clientCertificate?: (secured: TLSSocket) => ClientCertificate | undefined;
}

export interface SessionServices {
	readonly limits: SessionLimits;
	/** What clients may send once signed in (`frontendRules` with the configured sizes). Shared by all sessions. */
	readonly clientRules: FrameRules;
	/** Room for long messages of all clients; missing: it is not counted. */
	readonly longMessages?: MessageBudget;
	readonly serverRules: FrameRules;
	readonly bridge: { begin(request: LoginRequest): Exchange };
	/** Undefined: no such database (3D000). Throws GatewayError 55000 for one that an operator has disabled. */
	readonly database: (name: string) => DatabaseServices | undefined;
	/** The same object as long as the policy and the identity's answers are the same; cheap enough to be asked per statement. */
	readonly accessFor: (identity: Identity, database: string) => Access;
	readonly settingSafety: (name: string, value: string) => SettingSafety;
	readonly pipeline: StatementPipeline;
	readonly audit: SessionAudit;
	/**
	 * RowDescriptions that the result guard has passed, so that a repeated statement costs a comparison. By what all texts of one
	 * analysis have in common. Made empty.
	 */
	readonly passedRows: WeakMap<StatementDecision['objects'], Buffer>;
	readonly cancels: CancelRegistry;
	/** Who may know a cancel key that no session here has, in the order in which they are asked; missing: nobody. */
	readonly elsewhere?: readonly KeysElsewhere[];
	/** Whether a gateway of `listen.peers` is at this address; missing: there are none. */
	readonly isPeer?: (address: string) => Promise<boolean>;
	/** Ends the gateway's own connections, and those that nobody has, to the database `dbname` on the same server as `beside`. */
	readonly leave?: (beside: DatabaseServices, dbname: string) => void;
	readonly admission: Admission;
	/** The gateway's own database; without it there is none. */
	readonly console?: ConsoleServices;
	/** How often sessions are compared with their limits of time, in milliseconds; null: never. */
	readonly lookEveryMs: number | null;
	/** Told of each session at its end, while its counters can still be read. */
	readonly ended?: (session: LiveSession) => void;
	readonly log: SessionLog;
	/** Milliseconds since the epoch. */
	readonly now: () => number;
}
