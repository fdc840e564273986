/** Leases of backend connections: session mode today (dial on lease, close on release), transaction mode by the same interface. */
import { ScramKeyCache } from '../auth/scram-keys.ts';
import type { GatewayError } from '../errors.ts';
import { following } from './abort.ts';
import { type BackendConnection, type ConnectOptions, connectBackend } from './connection.ts';
import { allInUse, givenUp, poolClosed, queueFull } from './lease-errors.ts';
import { BACKEND_LIMITS } from './limits.ts';
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
	/** Transaction mode: settings that the client wants; a backend that has them is preferred. */
	readonly settings?: Settings | undefined;
	/** Transaction mode: who asks; a backend that was this client's last is preferred. */
	readonly client?: object | undefined;
}

/**
 * How the lease is given back. clean: ReadyForQuery('I') seen, nothing of the client's is left in the session state;
 * dirty: usable, but the state is the client's (or unknown); broken: not to be used again.
 */
export type LeaseEnd = 'clean' | 'dirty' | 'broken';

export interface Lease {
	readonly connection: BackendConnection;
	/** Transaction mode: what is known of its session state. Missing: the connection was made for this lease. */
	readonly pooled?: PooledBackend;
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
	/** Transaction mode: those that nobody has. */
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

/** What of a pool may change while it is at work; everything but `size` means something in transaction mode alone. */
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

interface Waiter {
	grant(): void;
	refuse(error: GatewayError): void;
}

/**
 * Session mode: each lease is a connection of its own, started with the client's own parameters and closed at its end,
 * so no session state can pass from one client to another.
 */
export class SessionPool implements BackendPool {
	readonly #target: BackendTarget;
	readonly #options: PoolOptions;
	readonly #dial: typeof connectBackend;
	#size: number;
	#retired: GatewayError | null = null;
	readonly #leased = new Set<BackendConnection>();
	readonly #waiting = new Set<Waiter>();
	readonly #keys = new WeakMap<BackendTarget, ScramKeyCache>();
	readonly #closing = new AbortController();
	/** Places taken: dialling, leased, or closing. */
	#taken = 0;
	#connecting = 0;

	constructor(target: BackendTarget, options: PoolOptions) {
		this.#target = target;
		this.#options = options;
		this.#size = options.size;
		this.#dial = options.dial ?? connectBackend;
	}

	/** Those that are just being closed included. */
	get taken(): number {
		return this.#taken;
	}

	get stats(): PoolStats {
		return {
			size: this.#size,
			leased: this.#leased.size,
			connecting: this.#connecting,
			waiting: this.#waiting.size,
		};
	}

	async lease(request: LeaseRequest): Promise<Lease> {
		await this.#place(request.signal);
		this.#connecting += 1;
		try {
			const connection = await this.#connect(request);
			if (this.#closing.signal.aborted) {
				await connection.close();
				throw this.#retired ?? poolClosed();
			}
			this.#leased.add(connection);
			return { connection, release: () => this.#release(connection) };
		} catch (error) {
			this.#freePlace();
			throw this.#retired ?? error;
		} finally {
			this.#connecting -= 1;
		}
	}

	get retired(): GatewayError | null {
		return this.#retired;
	}

	retire(error: GatewayError): void {
		this.#retired ??= error;
		this.#closing.abort(this.#retired);
		for (const waiter of [...this.#waiting]) waiter.refuse(this.#retired);
	}

	resize({ size }: PoolBounds): void {
		this.#size = size;
		for (const waiter of [...this.#waiting]) {
			if (this.#taken >= size) return;
			this.#taken += 1;
			waiter.grant();
		}
	}

	async close(): Promise<void> {
		this.retire(poolClosed());
		await Promise.all([...this.#leased].map((connection) => this.#release(connection)));
	}

	async #connect({ startup, as, signal, readBuffer }: LeaseRequest): Promise<BackendConnection> {
		const target = as === undefined ? this.#target : this.#options.targets?.get(as);
		if (target === undefined) throw new Error(`the pool has no target ${as}`);
		const attempt = following(signal, this.#closing.signal);
		const options: ConnectOptions = { signal: attempt.signal, readBuffer, keys: this.#keysOf(target) };
		try {
			return await this.#dial(target, startup, options);
		} finally {
			attempt.release();
		}
	}

	#keysOf(target: BackendTarget): ScramKeyCache {
		let keys = this.#keys.get(target);
		if (keys === undefined) {
			keys = new ScramKeyCache();
			this.#keys.set(target, keys);
		}
		return keys;
	}

	/** The place is free when the server has seen the end, so that its own limit is not overrun. */
	async #release(connection: BackendConnection): Promise<void> {
		if (!this.#leased.delete(connection)) return;
		await connection.close();
		this.#freePlace();
	}

	#freePlace(): void {
		const [next] = this.#waiting;
		if (next === undefined || this.#taken > this.#size) this.#taken -= 1;
		else next.grant();
	}

	/** Takes a place, or waits for one in order of arrival. */
	async #place(signal: AbortSignal | undefined): Promise<void> {
		if (this.#closing.signal.aborted) throw this.#retired ?? poolClosed();
		if (signal?.aborted === true) throw givenUp();
		const size = this.#size;
		if (this.#taken < size) {
			this.#taken += 1;
			return;
		}
		const { queueTimeoutMs = BACKEND_LIMITS.queueTimeoutMs, queueMax = BACKEND_LIMITS.queueMax } = this.#options;
		if (this.#waiting.size >= queueMax) {
			throw queueFull(size, queueMax);
		}
		await this.#wait(queueTimeoutMs, signal);
	}

	#wait(timeoutMs: number, signal: AbortSignal | undefined): Promise<void> {
		return new Promise((resolve, reject) => {
			const settle = (): void => {
				clearTimeout(timer);
				signal?.removeEventListener('abort', leave);
				this.#waiting.delete(waiter);
			};
			const waiter: Waiter = {
				grant: () => {
					settle();
					resolve();
				},
				refuse: (error) => {
					settle();
					reject(error);
				},
			};
			const leave = (): void => waiter.refuse(givenUp());
			const timer = setTimeout(() => {
				waiter.refuse(allInUse(this.#size, timeoutMs));
			}, timeoutMs);
			signal?.addEventListener('abort', leave, { once: true });
			this.#waiting.add(waiter);
		});
	}
}
