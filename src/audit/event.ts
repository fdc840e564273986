/** What the gateway tells the audit log: statements, their outcomes, and everything else worth a record. Types only. */
import type { AuditReceipt, Identity, LoginMethod, StatementDecision } from '../stages.ts';

/** Where a session comes from and where it goes. Immutable: make a new one when a field changes (login, lease, application_name). */
export interface SessionInfo {
	/** Unique for the life of the log, e.g. a random UUID. */
	readonly id: string;
	/** Null until the login is through. */
	readonly identity: Identity | null;
	readonly clientAddress: string;
	readonly clientPort: number;
	/** application_name as the client sent it; '' when it sent none. */
	readonly application: string;
	readonly tls: { readonly version: string; readonly cipher: string } | null;
	/** The database's name as the client asked for it; '' before the startup packet. */
	readonly database: string;
	/** host:port of the leased backend; null while there is none. */
	readonly backendAddress: string | null;
	readonly backendPid: number | null;
	/** Role that the gateway uses at the backend. */
	readonly backendRole: string | null;
	/** Of a sharded database: the shard that the session is on. */
	readonly shard?: string | null;
	/** Of a replication connection: `physical` of the whole server, `database` (logical) of this one. As in the startup packet. */
	readonly replication?: 'physical' | 'database';
}

/** A connection to the server as records name it. */
export interface BackendPlace {
	/** host:port. */
	readonly address: string;
	readonly pid: number;
}

/** One bind parameter as it came in Bind (or FunctionCall). */
export interface AuditParameter {
	/** Type from Parse or ParameterDescription; 0 when nobody said. */
	readonly oid: number;
	readonly format: 0 | 1;
	/** Null is SQL NULL. Read while `accept` runs; a slice of the receive buffer is fine. */
	readonly value: Buffer | null;
	/** The value touches a masked column: the record says that there was one, not what it was. */
	readonly redact: boolean;
}

/** One statement, decided, before it is forwarded (or denied). */
export interface StatementRecord {
	readonly session: SessionInfo;
	/** Number of the transaction within the session, from 1. */
	readonly transaction: number;
	/** Number of the statement within the session, from 1. */
	readonly statement: number;
	readonly protocol: 'simple' | 'extended' | 'function-call';
	/** `prepare`: a Parse, nothing runs yet. `execute`: it is about to run. */
	readonly phase: 'prepare' | 'execute';
	/** Hand over the same object for the same cached decision: what it serialises to is cached by identity. */
	readonly decision: StatementDecision;
	readonly policyRevision: string;
	/** Where it runs, if not where `session` says: in transaction mode that may be another connection every time. */
	readonly backend?: BackendPlace | null;
	/** The whole text that the statement came in, comments and other statements included. */
	readonly text?: string | undefined;
	readonly parameters?: readonly AuditParameter[];
}

/** How a statement ended. Exactly one per receipt whose decision was not deny; for a deny the record is complete by itself. */
export interface Outcome {
	/** `unknown`: the session ended before the backend answered. */
	readonly status: 'success' | 'failure' | 'denied' | 'cancelled' | 'unknown';
	readonly sqlstate: string | null;
	/** CommandComplete's tag, e.g. `SELECT 5`. */
	readonly tag: string | null;
	/** Rows returned or affected, where known. */
	readonly rows: number | null;
	/** Bytes of result that went to the client; of a COPY FROM STDIN those that it sent. */
	readonly bytes: number;
	readonly durationMs: number;
}

/** Everything but statements. `session` carries who and where from. */
export type SessionEvent =
	| { readonly type: 'login'; readonly session: SessionInfo }
	| {
			readonly type: 'login-failed';
			readonly session: SessionInfo;
			/** The name that the client claimed in the startup packet. */
			readonly user: string;
			/** Exact reason, for the operator; the client was told less. */
			readonly reason: string;
			readonly sqlstate: string;
			/** The way in that was tried; null when it failed before one was chosen. */
			readonly method?: LoginMethod | null;
	  }
	| {
			readonly type: 'logout';
			readonly session: SessionInfo;
			/** e.g. `terminate`, `connection lost`, `token expired`, `shutdown`. */
			readonly reason: string;
			readonly durationMs: number;
	  }
	| {
			readonly type: 'cancel';
			/** Session whose statement is cancelled; null when the key matched none. */
			readonly session: SessionInfo | null;
			/** Where the CancelRequest came from: as this gateway sees it, or as the one says that has handed it on. */
			readonly clientAddress: string;
			readonly clientPort: number;
			/** Address of the gateway that has handed it on; missing: it came from the client itself. */
			readonly forwardedBy?: string;
			/** With `session: null`: other gateways were asked, and one of them may have known it. */
			readonly passed?: boolean;
	  }
	| {
			readonly type: 'guard-breach';
			readonly session: SessionInfo;
			/** Receipt of the statement whose result was about to leak. */
			readonly receipt: AuditReceipt | null;
			/** `schema.relation.column`, as far as it is known. */
			readonly object: string;
			readonly reason: string;
	  }
	| {
			readonly type: 'policy-reload';
			readonly ok: boolean;
			/** In force afterwards. */
			readonly revision: string;
			readonly previousRevision: string | null;
			/** Why it was loaded: `start`, `signal`, `file change`, `admin`, `another gateway`. */
			readonly trigger: string;
			/** What was wrong with it, each with file and line; empty when ok. */
			readonly problems: readonly string[];
	  }
	| {
			readonly type: 'config';
			readonly ok: boolean;
			readonly trigger: string;
			/** What changed, in words, without secrets. */
			readonly changes: readonly string[];
	  };
