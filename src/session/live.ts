/** A session as listener, limits and operators see it, and the gateway's own database as the login sees it. Types only. */
import type { Socket } from 'node:net';
import type { SessionInfo } from '../audit/event.ts';
import type { Lapse, Standing } from '../auth/standing.ts';
import type { GatewayError } from '../errors.ts';
import type { Access, Identity } from '../stages.ts';

/** As in pg_stat_activity; `active` while anything is outstanding. */
export type SessionState = 'active' | 'idle' | 'idle in transaction' | 'idle in transaction (aborted)';

/** Bytes on the sockets so far, TLS included where there is any. */
export interface Traffic {
	readonly fromClient: number;
	readonly toClient: number;
	readonly fromBackend: number;
	readonly toBackend: number;
}

export interface LiveSession {
	/** Changes as the session goes on: a new object then. */
	readonly info: SessionInfo;
	/** Milliseconds since the epoch. */
	readonly startedMs: number;
	/** It is over, though its lease may not be given back yet. */
	readonly ended: boolean;
	/** Between two transactions, with nothing outstanding. */
	readonly idle: boolean;
	/** What its server connections are leased from; missing: it has none. */
	readonly pool?: object;
	/** False: in transaction mode, without a server connection at the moment. */
	readonly leased?: boolean;
	/** At work on a stream that has no end of its own: no use to wait for it. Missing: never. */
	readonly streaming?: boolean;
	readonly state: SessionState;
	/** Milliseconds since the client said something. */
	readonly quietMs: number;
	readonly traffic: Traffic;
	/** Statements that the client has prepared by Parse. */
	readonly preparedStatements: number;
	/** It is a session of the gateway's own database: it has no backend. */
	readonly console: boolean;
	/** True when BackendKeyData told the client this pid and key. */
	hasKey(pid: number, key: Buffer): boolean;
	/** Gives up the decision that takes long, on a cancel request. False: there is none, or the server is at work for the session. */
	interrupt?(): boolean;
	/**
	 * Transaction mode, between two transactions and without a server connection: the session goes on where its database is now.
	 * False: it cannot. Missing: it never can.
	 */
	follow?(): boolean;
	/** Compares the session with its limits of time, and acts on one that is overrun. `nowMs`: performance.now(). */
	look(nowMs: number): void;
	/** Tells the client (FATAL) and ends the session now. */
	terminate(error: GatewayError, reason: string): void;
}

/** What a session of the gateway's own database begins with: signed in, on record, not greeted. */
export interface ConsoleParts {
	readonly identity: Identity;
	/** Whether the sign-in still holds, to be watched and closed; missing where nothing but time can end it. */
	readonly standing: Standing | undefined;
	/** Null while the sign-in holds. */
	readonly lapse: (nowMs: number) => Lapse | null;
	readonly access: Access;
	readonly info: SessionInfo;
	readonly socket: Socket;
	/** Messages to begin with; they end with AuthenticationOk, unless the client has had that. */
	readonly welcome: readonly Buffer[];
	/** What BackendKeyData has to tell. */
	readonly pid: number;
	readonly key: Buffer;
	/** What the client sent right behind its last login message. */
	readonly rest: Buffer;
	/** Called once, when the session is over. */
	readonly over: () => void;
}

/** The gateway's own database, which no backend stands behind. */
export interface ConsoleServices {
	/** The name that clients connect to. */
	readonly database: string;
	/** May this identity enter? FATAL 42501 if not. */
	admit(access: Access): void;
	/** Greets the client and serves it from then on. */
	open(parts: ConsoleParts): LiveSession;
}
