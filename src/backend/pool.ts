/** Transaction mode: backends that many clients lease in turn, each for a transaction, and that are kept between leases. */
import { setMaxListeners } from 'node:events';
import { ScramKeyCache } from '../auth/scram-keys.ts';
import { GatewayError } from '../errors.ts';
import { following } from './abort.ts';
import { type BackendConnection, connectBackend } from './connection.ts';
import { backendFailure, mayPass } from './errors.ts';
import { IdleReader } from './idle-reader.ts';
import type { BackendPool, Lease, LeaseAsker, LeaseEnd, LeaseRequest, PoolBounds, PoolStats } from './lease.ts';
import { allInUse, givenUp, poolClosed, queueFull } from './lease-errors.ts';
import { BACKEND_LIMITS } from './limits.ts';
import { isLike, PooledBackend, type PinReason, pinReasons } from './pooled.ts';
import { ask, check, discard } from './pool-upkeep.ts';
import { type PoolLimits, poolLimits, type TransactionPoolOptions } from './pool-options.ts';
import type { BackendTarget } from './target.ts';
import { type Waiter, WaitingLine } from './waiting-line.ts';

/** Of the backends of one role: those that are on their way, and what went wrong last. */
interface Making {
	count: number;
	retryMs: number;
	retry: NodeJS.Timeout | null;
	error: GatewayError | null;
}

const done = Promise.resolve();

export class TransactionPool implements BackendPool {
	/** Times that a client had to keep its backend, by reason, since the start. */
	readonly #pinsTotal = new Map<PinReason, number>(pinReasons.map((reason) => [reason, 0]));
	readonly #target: BackendTarget;
	readonly #options: TransactionPoolOptions;
	#limits: PoolLimits;
	#retired: GatewayError | null = null;
	readonly #dial: typeof connectBackend;
	readonly #keys = new WeakMap<BackendTarget, ScramKeyCache>();
	readonly #closing = new AbortController();
	readonly #janitor: NodeJS.Timeout;
	readonly #making = new Map<string | undefined, Making>();
	/** The one that was used last is the last. */
	readonly #idle: PooledBackend[] = [];
	readonly #leased = new Set<PooledBackend>();
	readonly #alone = new Set<BackendConnection>();
	readonly #waiting: WaitingLine;
	/** Places taken: idle, leased, dialling, being tried or being closed. */
	#taken = 0;
	#connecting = 0;
	#numbers = 0;
	/** Of those that were idle when the pool was retired. */
	#closed: Promise<unknown> = Promise.resolve();

	constructor(target: BackendTarget, options: TransactionPoolOptions) {
		this.#target = target;
		this.#options = options;
		this.#limits = poolLimits(options);
		this.#waiting = new WaitingLine({
			timeoutMs: this.#limits.queueTimeoutMs,
			late: (request) => this.#lateError(request),
			left: givenUp,
		});
		this.#dial = options.dial ?? connectBackend;
		// Each dial under way listens.
		setMaxListeners(0, this.#closing.signal);
		this.#janitor = setInterval(() => this.#sweep(), BACKEND_LIMITS.sweepMs).unref();
	}

	get full(): boolean {
		return this.#leased.size + this.#alone.size + this.#connecting >= this.#limits.size;
	}

	/** Those that are just being closed included. */
	get taken(): number {
		return this.#taken;
	}

	get stats(): PoolStats {
		const pinned = new Map<PinReason, number>(pinReasons.map((reason) => [reason, 0]));
		for (const { pins } of this.#leased) for (const pin of pins) pinned.set(pin, (pinned.get(pin) ?? 0) + 1);
		return {
			size: this.#limits.size,
			leased: this.#leased.size + this.#alone.size,
			connecting: this.#connecting,
			waiting: this.#waiting.size,
			idle: this.#idle.length,
			pinned: Object.fromEntries(pinned),
			pinsTotal: Object.fromEntries(this.#pinsTotal),
		};
	}

	/** A backend that is there and needs nothing done first; null: ask for a lease. */
	take(request: LeaseRequest): Lease | null {
		if (this.#waiting.size > 0 || this.#closing.signal.aborted || isAlone(request)) return null;
		const backend = this.#pick(request);
		if (backend === null) return null;
		if (!this.#needsCheck(backend)) return this.#leaseOf(backend);
		this.#idle.push(backend);
		this.#watch(backend);
		return null;
	}

	lease(request: LeaseRequest): Promise<Lease> {
		return new Promise((granted, refused) => {
			this.ask(request, { granted, refused });
		});
	}

	ask(request: LeaseRequest, asker: LeaseAsker): void {
		const refusal = this.#refusal(request);
		const taken = refusal === null ? this.take(request) : null;
		if (refusal !== null) asker.refused(refusal);
		else if (taken !== null) asker.granted(taken);
		else this.#wait(request, asker);
	}

	#refusal({ signal }: LeaseRequest): GatewayError | null {
		if (this.#closing.signal.aborted) return this.#retired ?? poolClosed();
		return signal?.aborted === true ? givenUp() : null;
	}

	closeIdle(): void {
		for (const backend of this.#idle.splice(0)) void this.#dismiss(backend);
	}

	get retired(): GatewayError | null {
		return this.#retired;
	}

	retire(error: GatewayError): void {
		if (this.#retired !== null) return;
		this.#retired = error;
		clearInterval(this.#janitor);
		this.#waiting.close();
		this.#closing.abort(error);
		for (const { retry } of this.#making.values()) if (retry !== null) clearTimeout(retry);
		for (const waiter of [...this.#waiting]) waiter.refuse(error);
		this.#closed = Promise.all(this.#idle.splice(0).map((backend) => this.#dismiss(backend)));
	}

	resize(bounds: PoolBounds): void {
		this.#limits = { ...this.#limits, ...bounds };
		const surplus = this.#taken - bounds.size - bounds.reserve;
		if (surplus > 0) for (const backend of this.#idle.splice(0, surplus)) void this.#dismiss(backend);
		this.#serve();
	}

	async close(): Promise<void> {
		this.retire(poolClosed());
		const leased = [...this.#leased].map(({ connection }) => connection.close());
		await Promise.all([this.#closed, ...leased]);
		await Promise.all([...this.#alone].map((connection) => connection.close()));
	}

	// ------------------------------------------------------------- leases

	#leaseOf(backend: PooledBackend): Lease {
		this.#leased.add(backend);
		return {
			connection: backend.connection,
			pooled: backend,
			pin: (reasons) => this.#pin(backend, reasons),
			release: (state) => this.#release(backend, state),
		};
	}

	#pin(backend: PooledBackend, reasons: readonly PinReason[]): void {
		for (const reason of reasons) {
			if (!backend.pins.includes(reason)) this.#pinsTotal.set(reason, (this.#pinsTotal.get(reason) ?? 0) + 1);
		}
		backend.pins = reasons;
	}

	#release(backend: PooledBackend, state: LeaseEnd): Promise<void> {
		if (!this.#leased.delete(backend)) return done;
		backend.onDrain = null;
		backend.pins = [];
		const usable = state !== 'broken' && backend.connection.alive && !this.#closing.signal.aborted;
		if (!usable || this.#isOld(backend) || this.#isSurplus) return this.#drop(backend);
		if (state !== 'clean' || backend.suspect) return this.#clean(backend, state);
		this.#rest(backend);
		return done;
	}

	async #clean(backend: PooledBackend, state: LeaseEnd): Promise<void> {
		const { checkTimeoutMs } = this.#limits;
		this.#connecting += 1;
		const good = state === 'dirty' ? await discard(backend, checkTimeoutMs) : await check(backend, checkTimeoutMs);
		this.#connecting -= 1;
		if (good && !this.#closing.signal.aborted) this.#rest(backend);
		else await this.#drop(backend);
	}

	/** There are more than there may be, since the pool was made smaller. */
	get #isSurplus(): boolean {
		return this.#taken > this.#limits.size + this.#limits.reserve;
	}

	/** Nobody has it now. */
	#rest(backend: PooledBackend): void {
		backend.idleSinceMs = performance.now();
		this.#idle.push(backend);
		this.#watch(backend);
		if (this.#waiting.size > 0) this.#serve();
	}

	/** Of the idle ones: one with the client's settings, if there is one; else the one that was used last. */
	#pick({ as, settings, client }: LeaseRequest): PooledBackend | null {
		for (;;) {
			let found = -1;
			const last = this.#idle.length - 1;
			for (let at = last; at >= 0 && last - at < BACKEND_LIMITS.pickMax; at -= 1) {
				const backend = this.#idle[at] as PooledBackend;
				if (backend.as !== as) continue;
				if (backend.client === client && client !== undefined) {
					found = at;
					break;
				}
				if (found === -1 || (isLike(backend, settings) && !isLike(this.#idle[found], settings))) found = at;
			}
			if (found === -1) found = this.#idle.findLastIndex((backend) => backend.as === as);
			const [backend] = found === -1 ? [] : this.#idle.splice(found, 1);
			if (backend === undefined) return null;
			this.#unwatch(backend);
			const { usable } = this.#options;
			if (backend.connection.alive && !this.#isOld(backend) && usable?.(backend.connection) !== false) return backend;
			void this.#drop(backend);
		}
	}

	// ------------------------------------------------------------- waiting

	#wait(request: LeaseRequest, asker: LeaseAsker): void {
		const { size, queueMax, reserve, reserveAfterMs } = this.#limits;
		if (this.#waiting.size < queueMax) {
			this.#waiting.wait(request, isAlone(request), asker);
			if (reserve > 0) this.#serveAt(performance.now() + reserveAfterMs);
			this.#serve();
		} else asker.refused(queueFull(size, queueMax));
	}

	/** A timer counts whole milliseconds, so it may be early by part of one. */
	#serveAt(atMs: number): void {
		const look = (): void => (performance.now() < atMs ? this.#serveAt(atMs) : this.#serve());
		setTimeout(look, atMs - performance.now()).unref();
	}

	#lateError({ as }: LeaseRequest): GatewayError {
		const error = this.#making.get(as)?.error ?? null;
		if (error !== null) return error;
		const { size, queueTimeoutMs } = this.#limits;
		return allInUse(size, queueTimeoutMs);
	}

	/** Gives what is idle to those that wait, in order of arrival, and dials for the others where there is room. */
	#serve(): void {
		const { size, reserve } = this.#limits;
		const wanted = new Map<string | undefined, number>();
		// Most times the first few are served and the others have to wait on: they are not copied for that.
		for (const waiter of this.#waiting) {
			if (this.#idle.length === 0 && this.#taken >= size + reserve) return;
			const { as } = waiter.request;
			if (waiter.alone) {
				if (!this.#makeRoom(waiter, undefined)) return;
				void this.#serveAlone(waiter);
				continue;
			}
			const backend = this.#pick(waiter.request);
			if (backend !== null) {
				if (this.#needsCheck(backend)) void this.#checkFirst(backend);
				else {
					waiter.grant(this.#leaseOf(backend));
					continue;
				}
			}
			const number = (wanted.get(as) ?? 0) + 1;
			wanted.set(as, number);
			const making = this.#makingOf(as);
			if (making.count >= number) continue;
			if (making.retry !== null) continue;
			if (!this.#makeRoom(waiter, as)) return;
			void this.#make(as, making);
		}
	}

	/** Takes a place. An idle backend of another role gives up its own. False: there is none. */
	#makeRoom(waiter: Waiter, as: string | undefined): boolean {
		const { size, reserve, reserveAfterMs } = this.#limits;
		const late = performance.now() - waiter.sinceMs >= reserveAfterMs;
		if (this.#taken < size + (late ? reserve : 0)) {
			this.#taken += 1;
			return true;
		}
		const at = this.#idle.findIndex((backend) => waiter.alone || backend.as !== as);
		const [victim] = at === -1 ? [] : this.#idle.splice(at, 1);
		if (victim === undefined) return false;
		this.#unwatch(victim);
		// When its place is free, those that wait are looked at again.
		void this.#drop(victim);
		return false;
	}

	#makingOf(as: string | undefined): Making {
		let making = this.#making.get(as);
		if (making === undefined) {
			making = { count: 0, retryMs: BACKEND_LIMITS.redialMinMs, retry: null, error: null };
			this.#making.set(as, making);
		}
		return making;
	}

	/** Dials, in a place that is taken already. Whoever waits first when it is there gets it. */
	async #make(as: string | undefined, making: Making): Promise<void> {
		making.count += 1;
		this.#connecting += 1;
		try {
			const backend = await this.#connect(as);
			making.error = null;
			making.retryMs = BACKEND_LIMITS.redialMinMs;
			making.count -= 1;
			this.#connecting -= 1;
			if (this.#closing.signal.aborted) await this.#drop(backend);
			else this.#rest(backend);
		} catch (error) {
			making.count -= 1;
			this.#connecting -= 1;
			this.#taken -= 1;
			this.#notMade(as, making, error);
		}
	}

	/** Those that wait go on waiting where the server may be back before their time is up. */
	#notMade(as: string | undefined, making: Making, thrown: unknown): void {
		const error = thrown instanceof GatewayError ? thrown : backendFailure('08001', 'cannot connect', thrown);
		making.error = error;
		if (this.#closing.signal.aborted) return;
		const waiting = [...this.#waiting].filter(({ request, alone }) => request.as === as && !alone);
		if (!mayPass(error)) {
			for (const waiter of waiting) waiter.refuse(error);
			making.error = null;
		} else if (making.retry === null) {
			making.retry = setTimeout(() => {
				making.retry = null;
				this.#serve();
			}, making.retryMs).unref();
			making.retryMs = Math.min(making.retryMs * 2, BACKEND_LIMITS.redialMaxMs);
		}
		// Its place may serve another role.
		this.#serve();
	}

	async #connect(as: string | undefined): Promise<PooledBackend> {
		const target = this.#targetOf(as);
		const connection = await this.#dial(
			target,
			{},
			{
				signal: this.#closing.signal,
				readBuffer: Buffer.allocUnsafeSlow(BACKEND_LIMITS.readBytes),
				keys: this.#keysOf(target),
			},
		);
		try {
			const { statementsMax, checkTimeoutMs } = this.#limits;
			// Before version 18 it is not reported.
			const rows = await ask(connection, "select pg_catalog.current_setting('search_path')", checkTimeoutMs);
			const searchPath = rows[0]?.[0] ?? '';
			const base = JSON.stringify([...connection.parameters, searchPath]);
			const nextNumber = (): number => (this.#numbers += 1);
			const bornMs = performance.now();
			return new PooledBackend(connection, { as, bornMs, statementsMax, base, searchPath, nextNumber });
		} catch (error) {
			await connection.close();
			throw error;
		}
	}

	/** A connection that is the waiter's own, in a place that is taken already. */
	async #serveAlone(waiter: Waiter): Promise<void> {
		const { as, startup, signal, readBuffer } = waiter.request;
		this.#waiting.delete(waiter);
		this.#connecting += 1;
		const attempt = following(signal, this.#closing.signal);
		try {
			const target = this.#targetOf(as);
			const connection = await this.#dial(target, startup, {
				signal: attempt.signal,
				readBuffer,
				keys: this.#keysOf(target),
			});
			this.#alone.add(connection);
			waiter.grant({ connection, release: () => this.#releaseAlone(connection) });
		} catch (error) {
			this.#freePlace();
			const failure = error instanceof GatewayError ? error : backendFailure('08001', 'cannot connect', error);
			waiter.refuse(this.#retired ?? failure);
		} finally {
			attempt.release();
			this.#connecting -= 1;
		}
	}

	async #releaseAlone(connection: BackendConnection): Promise<void> {
		if (!this.#alone.delete(connection)) return;
		await connection.close();
		this.#freePlace();
	}

	#targetOf(as: string | undefined): BackendTarget {
		const target = as === undefined ? this.#target : this.#options.targets?.get(as);
		if (target === undefined) throw new Error(`the pool has no target ${as}`);
		return target;
	}

	#keysOf(target: BackendTarget): ScramKeyCache {
		let keys = this.#keys.get(target);
		if (keys === undefined) {
			keys = new ScramKeyCache();
			this.#keys.set(target, keys);
		}
		return keys;
	}

	// ------------------------------------------------------------- upkeep

	#needsCheck(backend: PooledBackend): boolean {
		return performance.now() - backend.idleSinceMs >= this.#limits.checkAfterMs;
	}

	#isOld({ bornMs }: PooledBackend): boolean {
		const { lifetimeMs } = this.#limits;
		return lifetimeMs > 0 && performance.now() - bornMs >= lifetimeMs;
	}

	/** It counts as on its way meanwhile. */
	async #checkFirst(backend: PooledBackend): Promise<void> {
		const making = this.#makingOf(backend.as);
		making.count += 1;
		this.#connecting += 1;
		const good = await check(backend, this.#limits.checkTimeoutMs);
		making.count -= 1;
		this.#connecting -= 1;
		if (!good || this.#closing.signal.aborted) {
			await this.#drop(backend);
			return;
		}
		const waiter = [...this.#waiting].find(({ request, alone }) => request.as === backend.as && !alone);
		if (waiter === undefined) this.#rest(backend);
		else waiter.grant(this.#leaseOf(backend));
	}

	#watch(backend: PooledBackend): void {
		backend.reader ??= new IdleReader(backend, () => this.#gone(backend));
		backend.connection.attach(backend.reader);
	}

	#unwatch(backend: PooledBackend): void {
		backend.connection.detach(backend.reader?.rest());
	}

	/** It was idle. */
	#dismiss(backend: PooledBackend): Promise<void> {
		this.#unwatch(backend);
		return this.#drop(backend);
	}

	/** It went away, or said what it should not have, while nobody had it. */
	#gone(backend: PooledBackend): void {
		const at = this.#idle.indexOf(backend);
		if (at === -1) return;
		this.#idle.splice(at, 1);
		void this.#drop(backend);
	}

	/** The place is free when the server has seen the end, so that its own limit is not overrun. */
	async #drop({ connection }: PooledBackend): Promise<void> {
		await connection.close();
		this.#freePlace();
	}

	#freePlace(): void {
		this.#taken -= 1;
		if (this.#waiting.size > 0 && !this.#closing.signal.aborted) this.#serve();
	}

	#sweep(): void {
		const { idleMs } = this.#limits;
		const nowMs = performance.now();
		for (const backend of [...this.#idle]) {
			const unused = idleMs > 0 && nowMs - backend.idleSinceMs >= idleMs;
			if (!unused && !this.#isOld(backend) && this.#options.usable?.(backend.connection) !== false) continue;
			this.#unwatch(backend);
			this.#gone(backend);
		}
	}
}

/** A replication connection is nobody else's, before or after. */
function isAlone({ startup }: LeaseRequest): boolean {
	return startup['replication'] !== undefined;
}
