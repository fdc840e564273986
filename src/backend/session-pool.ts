/** Session mode: a backend for each client, dialled for it and closed behind it, or handed on to the next that asks for the same. */
import { ScramKeyCache } from '../auth/scram-keys.ts';
import type { GatewayError } from '../errors.ts';
import { following } from './abort.ts';
import { type BackendConnection, type ConnectOptions, connectBackend } from './connection.ts';
import type { BackendPool, Lease, LeaseEnd, LeaseRequest, PoolBounds, PoolStats } from './lease.ts';
import { allInUse, givenUp, poolClosed, queueFull } from './lease-errors.ts';
import { BACKEND_LIMITS } from './limits.ts';
import { type PoolLimits, poolLimits, type ReusingPoolOptions } from './pool-options.ts';
import { keyOf, Reusable, renew } from './reusable.ts';
import type { BackendTarget } from './target.ts';

interface Waiter {
	/** Of what it may be handed on from another client; null: it is to be dialled. */
	readonly key: string | null;
	/** With a place; `kept`: and what is on it. */
	grant(kept: Reusable | null): void;
	refuse(error: GatewayError): void;
}

/**
 * Without `reuse` each lease is a connection of its own, started with the client's own parameters and closed at its end. With it, a
 * connection serves clients one after the other whose roles and startup parameters are the same, byte for byte: so RESET leads to
 * the same for each. DISCARD ALL stands between two of them, and what is not as at its login behind that is closed.
 */
export class SessionPool implements BackendPool {
	readonly #target: BackendTarget;
	readonly #options: ReusingPoolOptions;
	readonly #dial: typeof connectBackend;
	#limits: PoolLimits;
	#retired: GatewayError | null = null;
	readonly #leased = new Set<BackendConnection>();
	readonly #waiting = new Set<Waiter>();
	/** Those that nobody has; the one that was used last is the last. Empty while anybody waits. */
	readonly #idle: Reusable[] = [];
	/** Between two clients. */
	readonly #renewing = new Set<BackendConnection>();
	readonly #keys = new WeakMap<BackendTarget, ScramKeyCache>();
	readonly #closing = new AbortController();
	/** Of what is idle; null as long as nothing was. */
	#janitor: NodeJS.Timeout | null = null;
	#reuses = false;
	/** Places taken: dialling, leased, idle, being reset or closing. */
	#taken = 0;
	#connecting = 0;
	/** Of those that were idle when the pool was retired. */
	#closed: Promise<unknown> = Promise.resolve();

	constructor(target: BackendTarget, options: ReusingPoolOptions) {
		this.#target = target;
		this.#options = options;
		this.#limits = poolLimits(options);
		this.#dial = options.dial ?? connectBackend;
	}

	/** Those that are just being closed included. */
	get taken(): number {
		return this.#taken;
	}

	get stats(): PoolStats {
		return {
			size: this.#limits.size,
			leased: this.#leased.size,
			connecting: this.#connecting,
			waiting: this.#waiting.size,
			...(this.#reuses ? { idle: this.#idle.length } : {}),
		};
	}

	async lease(request: LeaseRequest): Promise<Lease> {
		const key = request.reuse === true ? keyOf(request) : null;
		const kept = await this.#place(key, request.signal);
		this.#connecting += 1;
		try {
			if (kept !== null && (await this.#isGood(kept))) return this.#leaseOf(kept);
			const connection = await this.#connect(request);
			if (this.#closing.signal.aborted) {
				await connection.close();
				throw this.#retired ?? poolClosed();
			}
			if (key !== null) return this.#leaseOf(new Reusable(connection, key));
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
		if (this.#retired !== null) return;
		this.#retired = error;
		if (this.#janitor !== null) clearInterval(this.#janitor);
		this.#closing.abort(this.#retired);
		for (const waiter of [...this.#waiting]) waiter.refuse(this.#retired);
		this.#closed = Promise.all(this.#idle.splice(0).map((kept) => this.#dismiss(kept)));
	}

	resize(bounds: PoolBounds): void {
		this.#limits = { ...this.#limits, ...bounds };
		const { size } = bounds;
		for (const kept of this.#idle.splice(0, Math.max(0, this.#taken - size))) void this.#dismiss(kept);
		for (const waiter of [...this.#waiting]) {
			if (this.#taken >= size) return;
			this.#taken += 1;
			waiter.grant(null);
		}
	}

	closeIdle(): void {
		for (const kept of this.#idle.splice(0)) void this.#dismiss(kept);
	}

	async close(): Promise<void> {
		this.retire(poolClosed());
		// Whoever resets one sees that it is closed.
		const renewing = [...this.#renewing].map((connection) => connection.close());
		await Promise.all([this.#closed, ...renewing, ...[...this.#leased].map((one) => this.#release(one))]);
	}

	// ------------------------------------------------------------- one client after the other

	#leaseOf(kept: Reusable): Lease {
		const { connection, bornMs } = kept;
		this.#leased.add(connection);
		return {
			connection,
			bornMs,
			reported: (name, value) => kept.reported.set(name, value),
			release: (state) => this.#handOn(kept, state),
		};
	}

	/** To the next that waits for the same, or nobody has it then. */
	async #handOn(kept: Reusable, state: LeaseEnd): Promise<void> {
		const { connection } = kept;
		if (state === 'broken' || !this.#mayKeep(kept)) return this.#release(connection);
		if (!this.#leased.delete(connection)) return;
		this.#connecting += 1;
		this.#renewing.add(connection);
		const good = await renew(kept, this.#limits.checkTimeoutMs);
		this.#renewing.delete(connection);
		this.#connecting -= 1;
		const [next] = this.#waiting;
		if (!good || !this.#mayKeep(kept) || (next !== undefined && next.key !== kept.key)) await this.#drop(connection);
		else if (next === undefined) this.#rest(kept);
		else next.grant(kept);
	}

	#mayKeep({ connection, bornMs }: Reusable): boolean {
		const { lifetimeMs, size } = this.#limits;
		if (!connection.alive || this.#closing.signal.aborted || this.#taken > size) return false;
		if (lifetimeMs > 0 && performance.now() - bornMs >= lifetimeMs) return false;
		return this.#options.usable?.(connection) !== false;
	}

	#rest(kept: Reusable): void {
		this.#reuses = true;
		this.#janitor ??= setInterval(() => this.#sweep(), BACKEND_LIMITS.sweepMs).unref();
		this.#idle.push(kept);
		kept.watch(() => {
			const at = this.#idle.indexOf(kept);
			if (at === -1) return;
			this.#idle.splice(at, 1);
			void this.#drop(kept.connection);
		});
	}

	/** The one of that kind that was used last. */
	#takeIdle(key: string): Reusable | null {
		for (;;) {
			const at = this.#idle.findLastIndex((kept) => kept.key === key);
			const [kept] = at === -1 ? [] : this.#idle.splice(at, 1);
			if (kept === undefined) return null;
			if (this.#mayKeep(kept)) {
				kept.unwatch();
				return kept;
			}
			void this.#dismiss(kept);
		}
	}

	/** One that was idle for long is tried first. False: it is closed, and its place is to be dialled for. */
	async #isGood(kept: Reusable): Promise<boolean> {
		const { checkAfterMs, checkTimeoutMs } = this.#limits;
		const { connection, idleSinceMs } = kept;
		const needsCheck = performance.now() - idleSinceMs >= checkAfterMs;
		if (this.#mayKeep(kept) && (!needsCheck || (await renew(kept, checkTimeoutMs))) && this.#mayKeep(kept)) return true;
		await connection.close();
		return false;
	}

	/** It was idle. */
	#dismiss(kept: Reusable): Promise<void> {
		kept.unwatch();
		return this.#drop(kept.connection);
	}

	#sweep(): void {
		const { idleMs } = this.#limits;
		const nowMs = performance.now();
		for (const kept of [...this.#idle]) {
			if (!(idleMs > 0 && nowMs - kept.idleSinceMs >= idleMs) && this.#mayKeep(kept)) continue;
			this.#idle.splice(this.#idle.indexOf(kept), 1);
			void this.#dismiss(kept);
		}
	}

	// ------------------------------------------------------------- connections and their places

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

	async #release(connection: BackendConnection): Promise<void> {
		if (this.#leased.delete(connection)) await this.#drop(connection);
	}

	/** The place is free when the server has seen the end, so that its own limit is not overrun. */
	async #drop(connection: BackendConnection): Promise<void> {
		await connection.close();
		this.#freePlace();
	}

	#freePlace(): void {
		const [next] = this.#waiting;
		if (next === undefined || this.#taken > this.#limits.size) this.#taken -= 1;
		else next.grant(null);
	}

	/** Takes a place, with what is on it where that is of this kind, or waits for one in order of arrival. */
	async #place(key: string | null, signal: AbortSignal | undefined): Promise<Reusable | null> {
		if (this.#closing.signal.aborted) throw this.#retired ?? poolClosed();
		if (signal?.aborted === true) throw givenUp();
		const kept = key === null ? null : this.#takeIdle(key);
		if (kept !== null) return kept;
		const { size, queueMax } = this.#limits;
		if (this.#taken < size) {
			this.#taken += 1;
			return null;
		}
		if (this.#waiting.size >= queueMax) {
			throw queueFull(size, queueMax);
		}
		const waits = this.#wait(key, signal);
		// One of another kind gives up its place: the one that nobody has needed for longest.
		const victim = this.#idle.shift();
		if (victim !== undefined) void this.#dismiss(victim);
		return waits;
	}

	#wait(key: string | null, signal: AbortSignal | undefined): Promise<Reusable | null> {
		return new Promise((resolve, reject) => {
			const { size, queueTimeoutMs } = this.#limits;
			const settle = (): void => {
				clearTimeout(timer);
				signal?.removeEventListener('abort', leave);
				this.#waiting.delete(waiter);
			};
			const waiter: Waiter = {
				key,
				grant: (kept) => {
					settle();
					resolve(kept);
				},
				refuse: (error) => {
					settle();
					reject(error);
				},
			};
			const leave = (): void => waiter.refuse(givenUp());
			const timer = setTimeout(() => {
				waiter.refuse(allInUse(size, queueTimeoutMs));
			}, queueTimeoutMs);
			signal?.addEventListener('abort', leave, { once: true });
			this.#waiting.add(waiter);
		});
	}
}
