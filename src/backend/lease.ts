/** Leases of backend connections: session mode today (dial on lease, close on release), transaction mode by the same interface. */
import type { BackendConnection } from './connection.ts';

export interface LeaseRequest {
	/** Startup parameters of this client that the backend is to be started with (session mode). */
	readonly startup: Readonly<Record<string, string>>;
	/** Aborted when the client leaves: its place in the queue is given up. */
	readonly signal?: AbortSignal | undefined;
	readonly readBuffer?: Buffer | undefined;
}

/**
 * How the lease is given back. clean: ReadyForQuery('I') seen, nothing of the client's is left in the session state;
 * dirty: usable, but the state is the client's (or unknown); broken: not to be used again.
 */
export type LeaseEnd = 'clean' | 'dirty' | 'broken';

export interface Lease {
	readonly connection: BackendConnection;
	/** Once; a second call does nothing. */
	release(state: LeaseEnd): Promise<void>;
}

export interface PoolStats {
	readonly size: number;
	readonly leased: number;
	readonly connecting: number;
	readonly waiting: number;
}

export interface BackendPool {
	/**
	 * A connection for the caller alone. Throws GatewayError 53300 when the pool stays full until the queue's deadline or
	 * the queue is full, 57P01 when the pool is closed, and what `connectBackend` throws.
	 */
	lease(request: LeaseRequest): Promise<Lease>;
	readonly stats: PoolStats;
	/** Refuses new leases, fails those that wait, closes what is leased. */
	close(): Promise<void>;
}
