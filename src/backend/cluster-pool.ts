/** Stands before the pool of a database with several hosts: a lease waits while none of them is what was asked for. */
import { setTimeout as sleep } from 'node:timers/promises';
import { GatewayError } from '../errors.ts';
import { following } from './abort.ts';
import { type Cluster, NoHostError } from './cluster.ts';
import { backendFailure } from './errors.ts';
import { BACKEND_LIMITS } from './limits.ts';
import type { BackendPool, Lease, LeaseRequest, PoolBounds, PoolStats } from './lease.ts';

export interface ClusterPoolOptions {
	readonly pool: BackendPool;
	readonly cluster: Cluster;
	/** How long a lease waits for a host. */
	readonly waitMs: number;
	/** Leases that may wait for a host at a time; the next is refused at once. */
	readonly waitersMax: number;
	/** After a change of the primary, before the first lease there: looks again at what was known of the database. */
	readonly settle: () => Promise<unknown>;
}

/**
 * Nothing that waits here has sent anything, so nothing runs twice. A lease that failed because its host went away, or
 * because the pool's queue stood still meanwhile, is asked for again, until `waitMs` after it was asked for first.
 */
export class ClusterPool implements BackendPool {
	readonly #options: ClusterPoolOptions;
	readonly #retiring = new AbortController();
	/** Leases that wait for a host. */
	#waiting = 0;
	#settled = 0;
	#settling: { readonly generation: number; readonly done: Promise<unknown> } | null = null;

	constructor(options: ClusterPoolOptions) {
		this.#options = options;
	}

	async lease(request: LeaseRequest): Promise<Lease> {
		const { pool, cluster, waitMs } = this.#options;
		const endMs = performance.now() + waitMs;
		for (;;) {
			if (this.retired !== null) throw this.retired;
			const { generation } = cluster;
			await this.#host(endMs - performance.now(), request.signal);
			try {
				await this.#settle();
				return await pool.lease(request);
			} catch (error) {
				const stood = !cluster.available || generation !== cluster.generation;
				if (!mayWait(error, stood) || performance.now() >= endMs || request.signal?.aborted === true) throw error;
			}
			// What is known of the hosts may be a moment older than what the lease just met.
			await sleep(BACKEND_LIMITS.hostRetryMinMs);
		}
	}

	take(request: LeaseRequest): Lease | null {
		const { pool, cluster } = this.#options;
		const { generation } = cluster;
		const settled = generation <= 1 || generation === this.#settled;
		return cluster.available && settled ? (pool.take?.(request) ?? null) : null;
	}

	get stats(): PoolStats {
		const stats = this.#options.pool.stats;
		return { ...stats, waiting: stats.waiting + this.#waiting };
	}

	get retired(): GatewayError | null {
		return this.#options.pool.retired ?? null;
	}

	/** The hosts are watched on, for what is leased. */
	retire(error: GatewayError): void {
		this.#options.pool.retire(error);
		this.#retiring.abort(error);
	}

	resize(bounds: PoolBounds): void {
		this.#options.pool.resize(bounds);
	}

	closeIdle(): void {
		this.#options.pool.closeIdle?.();
	}

	async close(): Promise<void> {
		await this.#options.cluster.close();
		await this.#options.pool.close();
	}

	async #host(waitMs: number, signal: AbortSignal | undefined): Promise<void> {
		const { cluster, waitersMax } = this.#options;
		if (cluster.available) return;
		if (this.#waiting >= waitersMax)
			throw backendFailure('53300', `too many clients: ${waitersMax} wait for a database server`);
		this.#waiting += 1;
		const either = following(signal, this.#retiring.signal);
		try {
			await cluster.ready(waitMs, either.signal);
		} catch (error) {
			throw this.retired ?? error;
		} finally {
			either.release();
			this.#waiting -= 1;
		}
	}

	async #settle(): Promise<void> {
		const { cluster, settle } = this.#options;
		const { generation } = cluster;
		// The first primary is the one that everything was learnt from.
		if (generation <= 1 || generation === this.#settled) return;
		if (this.#settling?.generation !== generation) this.#settling = { generation, done: settle() };
		try {
			await this.#settling.done;
			this.#settled = generation;
		} finally {
			if (this.#settling?.generation === generation) this.#settling = null;
		}
	}
}

/** `stood`: there was no host for some of the time. */
function mayWait(error: unknown, stood: boolean): boolean {
	if (error instanceof NoHostError) return true;
	if (!(error instanceof GatewayError)) return false;
	return (error.sqlstate === '53300' && stood) || error.sqlstate === '57P03';
}
