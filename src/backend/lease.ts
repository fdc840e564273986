/** Leases of backend connections: one interface to the pools of session mode (session-pool.ts) and of transaction mode (pool.ts). */
import type { GatewayError } from '../errors.ts';
import type { BackendConnection, connectBackend } from './connection.ts';
import type { PinReason, PooledBackend } from './pooled.ts';
import type { Settings } from './settings.ts';
import type { BackendTarget } from './target.ts';

export interface LeaseRequest {
	/**
	 * Startup parameters of this client that the backend is to be started with (session mode). With `replication` among them the
	 * connection is made for this client and closed after it, in every mode.
	 */
	readonly startup: Readonly<Record<string, string>>;
	/** Key of `PoolOptions.targets`: signs in as that one says; missing: as the pool's own target says. */
	readonly as?: string | undefined;
	/** Aborted when the client leaves: its place in the queue, or its dialling, is given up. */
	readonly signal?: AbortSignal | undefined;
	readonly readBuffer?: Buffer | undefined;
	/**
	 * Session mode: it may be one that another client had who asked for the same, reset by DISCARD ALL, and may go on to the next. The
	 * startup parameters must not name one session.
	 */
	readonly reuse?: boolean | undefined;
	/** Transaction mode: settings that the client wants; a backend that has them is preferred. */
	readonly settings?: Settings | undefined;
	/** Transaction mode: who asks; a backend that was this client's last is preferred. */
	readonly client?: object | undefined;
}

/**
 * How the lease is given back. clean: ReadyForQuery('I') seen, nothing of the client's is left in the session state;
 * dirty: usable, but the state is the client's; with `reuse`, nothing that DISCARD ALL does not take; broken: not to be used again.
 */
export type LeaseEnd = 'clean' | 'dirty' | 'broken';

export interface Lease {
	readonly connection: BackendConnection;
	/** Transaction mode: what is known of its session state. Missing: nobody else has the connection as long as the client is there. */
	readonly pooled?: PooledBackend;
	/** Session mode with `reuse`: of the connection. */
	readonly bornMs?: number;
	/** The same: the server has said so, whatever was asked. */
	reported?(name: string, value: string): void;
	/** Transaction mode: why the client keeps it between its transactions, for metrics; empty: it does not. */
	pin?(reasons: readonly PinReason[]): void;
	/** Once; a second call does nothing. Detach the reader before. */
	release(state: LeaseEnd): Promise<void>;
}

/** Who asked for a lease: told once. Whoever tells it is still at work, so it does nothing yet that may throw or give the lease back. */
export interface LeaseAsker {
	granted(lease: Lease): void;
	refused(error: unknown): void;
}

export interface PoolStats {
	/** The bound. */
	readonly size: number;
	readonly leased: number;
	readonly connecting: number;
	readonly waiting: number;
	/** Those that nobody has. Missing: in session mode where each connection is made for one client. */
	readonly idle?: number;
	/** Transaction mode: clients that keep their backend, by reason; and how often one began to, since the start. */
	readonly pinned?: Readonly<Record<string, number>>;
	readonly pinsTotal?: Readonly<Record<string, number>>;
}

export interface BackendPool {
	/**
	 * A connection for the caller alone. Throws GatewayError 53300 when the pool stays full until the queue's deadline or
	 * the queue is full, 57P01 when the pool is closed, and what `connectBackend` throws.
	 */
	lease(request: LeaseRequest): Promise<Lease>;
	/** `lease` without a promise, for sessions in a crowd, where each transaction waits. Missing: `askFor` takes `lease`. */
	ask?(request: LeaseRequest, asker: LeaseAsker): void;
	/** A connection that can be had at once; null: it takes `lease`. Missing: it always does. */
	take?(request: LeaseRequest): Lease | null;
	readonly stats: PoolStats;
	/** Whoever asks for a lease now may have to wait. Missing: as `stats` says. */
	readonly full?: boolean;
	/** Set by `retire`. Missing or null: it goes on. */
	readonly retired?: GatewayError | null;
	/** Refuses new leases and those that wait, with `error`; what is leased goes on, and is closed when it is given back. */
	retire(error: GatewayError): void;
	/** Other bounds from now on. Connections that are too many end as soon as nobody has them. */
	resize(bounds: PoolBounds): void;
	/** Ends the connections that nobody has. Missing: there are none. */
	closeIdle?(): void;
	/** Refuses new leases, fails those that wait, closes what is leased. */
	close(): Promise<void>;
}

/** What of a pool may change while it is at work; everything but `size` means something only where connections are handed on. */
export interface PoolBounds {
	readonly size: number;
	readonly reserve: number;
	readonly reserveAfterMs: number;
	readonly statementsMax: number;
	readonly idleMs: number;
	readonly checkAfterMs: number;
	readonly lifetimeMs: number;
}

export interface PoolOptions {
	/** Other roles that sign in at the same server, counted together. */
	readonly targets?: ReadonlyMap<string, BackendTarget> | undefined;
	/** Backends at a time, those being dialled or closed included. */
	readonly size: number;
	readonly queueTimeoutMs?: number | undefined;
	readonly queueMax?: number | undefined;
	/** Default: connectBackend. */
	readonly dial?: typeof connectBackend | undefined;
	/**
	 * Asked when a connection that was idle is about to be leased; false: its host is not what was asked for any more, so it is
	 * closed and another one taken. Missing: always true.
	 */
	readonly usable?: ((connection: BackendConnection) => boolean) | undefined;
}

/** Asks the pool in the way that costs it least. */
export function askFor(pool: BackendPool, request: LeaseRequest, asker: LeaseAsker): void {
	if (pool.ask !== undefined) pool.ask(request, asker);
	else
		pool.lease(request).then(
			(lease) => asker.granted(lease),
			(error: unknown) => asker.refused(error),
		);
}
