/** Stands before the pool of one database: operators hold leases back or shut the database, and leases are measured. */
import type { BackendPool, Lease, LeaseAsker, LeaseRequest, PoolBounds, PoolStats } from '../backend/lease.ts';
import { GatewayError } from '../errors.ts';
import { Histogram } from './histogram.ts';

export interface GateOptions {
	readonly database: string;
	/** How long a lease is held back while the database is paused. */
	readonly waitMs: number;
	/** Leases held back at a time; the next is refused at once. */
	readonly waitersMax: number;
}

/** What has become of the leases that were asked for. */
export type LeaseResult = 'granted' | 'full' | 'paused' | 'left' | 'failed';

/** A lease that was asked for. */
class Begun implements LeaseAsker {
	readonly sinceMs = performance.now();
	/** It waits for the end of a pause. */
	held: boolean;
	readonly #request: LeaseRequest;
	readonly #asker: LeaseAsker;
	readonly #tell: (begun: Begun, result: LeaseResult) => void;

	/** `tell`: what has become of it. */
	constructor(
		request: LeaseRequest,
		asker: LeaseAsker,
		held: boolean,
		tell: (begun: Begun, result: LeaseResult) => void,
	) {
		this.#request = request;
		this.#asker = asker;
		this.held = held;
		this.#tell = tell;
	}

	granted(lease: Lease): void {
		this.#tell(this, 'granted');
		this.#asker.granted(lease);
	}

	refused(error: unknown): void {
		this.#tell(this, failureOf(this.#request, this, error));
		this.#asker.refused(error);
	}
}

/** A lease that waits for the end of a pause. */
interface Held {
	go(): void;
	refuse(error: GatewayError): void;
}

export class Gate implements BackendPool {
	readonly #pool: BackendPool;
	readonly #options: GateOptions;
	readonly #held = new Set<Held>();
	/** When each of those that have asked and have no lease yet did so. */
	readonly #waiting = new Set<Begun>();
	#paused = false;
	#disabled = false;
	/** From asking for a lease to having it. */
	readonly durations = new Histogram();
	readonly results: Record<LeaseResult, number> = { granted: 0, full: 0, paused: 0, left: 0, failed: 0 };
	/** Leases that had to wait because the pool was full or paused. */
	waits = 0;

	constructor(pool: BackendPool, options: GateOptions) {
		this.#pool = pool;
		this.#options = options;
	}

	/** Waits while the database is paused, then asks the pool. Rejects like the pool, and with 57P03 when the pause lasts too long. */
	lease(request: LeaseRequest): Promise<Lease> {
		return new Promise((granted, refused) => {
			this.ask(request, { granted, refused });
		});
	}

	ask(request: LeaseRequest, asker: LeaseAsker): void {
		const held = this.#paused && this.retired === null;
		const begun = new Begun(request, asker, held, this.#tell);
		if (this.#paused || isFull(this.#pool)) this.waits += 1;
		this.#waiting.add(begun);
		if (held) this.#askLater(request, begun);
		else this.#ask(request, begun);
	}

	#askLater(request: LeaseRequest, begun: Begun): void {
		this.#hold(request.signal).then(
			() => {
				begun.held = false;
				this.#ask(request, begun);
			},
			(error: unknown) => begun.refused(error),
		);
	}

	#ask(request: LeaseRequest, begun: Begun): void {
		if (this.#pool.ask !== undefined) this.#pool.ask(request, begun);
		else
			this.#pool.lease(request).then(
				(lease) => begun.granted(lease),
				(error: unknown) => begun.refused(error),
			);
	}

	readonly #tell = (begun: Begun, result: LeaseResult): void => {
		this.results[result] += 1;
		this.#waiting.delete(begun);
		this.durations.observe(performance.now() - begun.sinceMs);
	};

	take(request: LeaseRequest): Lease | null {
		if (this.#paused) return null;
		const lease = this.#pool.take?.(request) ?? null;
		if (lease === null) return null;
		this.results.granted += 1;
		this.durations.observe(0);
		return lease;
	}

	/** Those that wait for the end of a pause wait too. */
	get stats(): PoolStats {
		const stats = this.#pool.stats;
		return { ...stats, waiting: stats.waiting + this.#held.size };
	}

	closeIdle(): void {
		this.#pool.closeIdle?.();
	}

	/** How long the first of those that have asked and have nothing yet has been at it, in milliseconds. */
	get longestWaitMs(): number {
		const [first] = this.#waiting;
		return first === undefined ? 0 : performance.now() - first.sinceMs;
	}

	get paused(): boolean {
		return this.#paused;
	}

	get disabled(): boolean {
		return this.#disabled;
	}

	/** Leases that are asked for from now on wait. */
	pause(): void {
		this.#paused = true;
	}

	/** Those that waited go on. */
	resume(): void {
		this.#paused = false;
		for (const held of [...this.#held]) held.go();
	}

	/** New clients are refused from now on; `admit` says so. */
	disable(): void {
		this.#disabled = true;
	}

	enable(): void {
		this.#disabled = false;
	}

	/** Throws FATAL 55000, in PostgreSQL's words, while the database is disabled. */
	admit(): void {
		if (!this.#disabled) return;
		const words = `database "${this.#options.database}" is not currently accepting connections`;
		throw new GatewayError('55000', words, {
			severity: 'FATAL',
			detail: 'An administrator of the gateway disabled it.',
		});
	}

	get retired(): GatewayError | null {
		return this.#pool.retired ?? null;
	}

	retire(error: GatewayError): void {
		this.#pool.retire(error);
		for (const held of [...this.#held]) held.refuse(error);
	}

	resize(bounds: PoolBounds): void {
		this.#pool.resize(bounds);
	}

	async close(): Promise<void> {
		this.retire(new GatewayError('57P01', 'the gateway is shutting down', { severity: 'FATAL' }));
		await this.#pool.close();
	}

	#hold(signal: AbortSignal | undefined): Promise<void> {
		const { database, waitMs, waitersMax } = this.#options;
		if (this.#held.size >= waitersMax) return Promise.reject(pausedError(database));
		return new Promise((resolve, reject) => {
			const settle = (): void => {
				clearTimeout(timer);
				signal?.removeEventListener('abort', leave);
				this.#held.delete(held);
			};
			const held: Held = {
				go: () => {
					settle();
					resolve();
				},
				refuse: (error) => {
					settle();
					reject(error);
				},
			};
			const leave = (): void => held.refuse(new GatewayError('08006', 'the client left', { severity: 'FATAL' }));
			const timer = setTimeout(() => held.refuse(pausedError(database)), waitMs);
			signal?.addEventListener('abort', leave, { once: true });
			this.#held.add(held);
		});
	}
}

function failureOf({ signal }: LeaseRequest, { held }: Begun, error: unknown): LeaseResult {
	if (signal?.aborted === true) return 'left';
	if (error instanceof GatewayError && error.sqlstate === '53300') return 'full';
	return held ? 'paused' : 'failed';
}

function isFull(pool: BackendPool): boolean {
	if (pool.full !== undefined) return pool.full;
	const { size, leased, connecting } = pool.stats;
	return leased + connecting >= size;
}

function pausedError(database: string): GatewayError {
	return new GatewayError('57P03', `database "${database}" is paused by an administrator of the gateway`, {
		severity: 'FATAL',
		hint: 'Try again later.',
	});
}
