/** Watches one host: asks it again and again, keeps its state, and ends the connections that were made to it. */
import { following } from './abort.ts';
import type { BackendConnection } from './connection.ts';
import { type HostAddress, type HostReport, type HostState, nameOfHost } from './cluster-host.ts';
import type { OpenProbe, Probe } from './cluster-probe.ts';
import { backendFailure } from './errors.ts';
import { BACKEND_LIMITS } from './limits.ts';
import type { BackendTarget } from './target.ts';

export interface WatchOptions {
	/** How to sign in; host and port are the watched one's. */
	readonly target: BackendTarget;
	/** Between two questions, while it answers. */
	readonly checkMs: number;
	/** For an answer, connecting included. */
	readonly timeoutMs: number;
	readonly openProbe: OpenProbe;
	/** Told after each answer, and after each failure. */
	readonly onState: (watch: HostWatch) => void;
}

export class HostWatch {
	readonly address: HostAddress;
	readonly name: string;
	/** Where this host is, and how to sign in there. */
	readonly target: BackendTarget;
	readonly #options: WatchOptions;
	readonly #connections = new Set<BackendConnection>();
	#state: HostState = { type: 'unknown' };
	#changedMs = performance.now();
	#probe: Probe | null = null;
	#looking = false;
	/** Something happened during the look under way: its answer may be too old. */
	#again = false;
	/** When the last look began. */
	#lookedMs = -Infinity;
	#retryMs: number = BACKEND_LIMITS.hostRetryMinMs;
	#timer: NodeJS.Timeout | null = null;
	#closed = new AbortController();
	/** Aborted when the host goes down: whoever dials it need not wait for the end of time. */
	#dialling = new AbortController();

	constructor(address: HostAddress, options: WatchOptions) {
		this.address = address;
		this.name = nameOfHost(address);
		this.target = { ...options.target, ...address };
		this.#options = options;
	}

	get state(): HostState {
		return this.#state;
	}

	/** Since its state is what it is, in milliseconds. */
	get ageMs(): number {
		return performance.now() - this.#changedMs;
	}

	/** Connections that are open, leased and idle ones alike. */
	get connections(): number {
		return this.#connections.size;
	}

	/** Aborted when the host goes down or is watched no longer. */
	get dialling(): AbortSignal {
		return this.#dialling.signal;
	}

	/** Counts the connection until it is closed; the server's closing it is a reason to look at once. */
	adopt(connection: BackendConnection): void {
		this.#connections.add(connection);
		const { socket } = connection;
		// Before Node's own listener, which ends this side too.
		socket.prependOnceListener('end', () => {
			if (!socket.writableEnded) this.look();
		});
		socket.once('error', () => this.look());
		socket.once('close', () => this.#connections.delete(connection));
	}

	has(connection: BackendConnection): boolean {
		return this.#connections.has(connection);
	}

	/** Ends all connections to it: those in use fail with `why`, and no pool leases an idle one again. */
	drop(why: string): number {
		const dropped = [...this.#connections];
		this.#connections.clear();
		for (const connection of dropped) connection.channel.destroy(backendFailure('57P01', why));
		return dropped.length;
	}

	/** It could not be reached just now: it is down until it answers again. */
	suspect(reason: string): void {
		if (this.#state.type !== 'down') this.#set({ type: 'down', reason });
		this.look();
	}

	/** Asks soon rather than later: now, unless that was just done. */
	look(): void {
		if (this.#closed.signal.aborted) return;
		if (this.#looking) {
			this.#again = true;
			return;
		}
		const shortestMs = Math.min(BACKEND_LIMITS.hostRetryMinMs, this.#options.checkMs);
		const waitMs = this.#lookedMs + shortestMs - performance.now();
		if (waitMs > 0) this.#later(waitMs);
		else this.#start();
	}

	async close(): Promise<void> {
		this.#closed.abort(backendFailure('57P01', 'the gateway is shutting down'));
		this.#dialling.abort(this.#closed.signal.reason);
		if (this.#timer !== null) clearTimeout(this.#timer);
		await this.#forget();
	}

	#later(delayMs: number): void {
		if (this.#timer !== null) clearTimeout(this.#timer);
		this.#timer = setTimeout(() => this.#start(), delayMs);
		this.#timer.unref();
	}

	#start(): void {
		if (this.#timer !== null) clearTimeout(this.#timer);
		this.#timer = null;
		this.#looking = true;
		this.#lookedMs = performance.now();
		void this.#look().finally(() => {
			this.#looking = false;
			if (this.#closed.signal.aborted) return;
			const again = this.#again && this.#state.type === 'up';
			this.#again = false;
			if (again) this.look();
			else this.#later(this.#state.type === 'up' ? this.#options.checkMs : this.#retryMs);
		});
	}

	async #look(): Promise<void> {
		// What is open may have been cut off without a word: that says nothing of the host, a fresh connection does.
		const reason = this.#probe === null ? await this.#ask() : (await this.#ask()) && (await this.#ask());
		if (this.#closed.signal.aborted || reason === null) return;
		this.#retryMs = Math.min(this.#retryMs * 2, BACKEND_LIMITS.hostRetryMaxMs, this.#options.checkMs);
		this.#set({ type: 'down', reason });
	}

	/** Null: it answered; else why not. */
	async #ask(): Promise<string | null> {
		const { timeoutMs } = this.#options;
		const attempt = following(this.#closed.signal);
		const timer = setTimeout(() => attempt.abort(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
		try {
			const report = await Promise.race([this.#report(attempt.signal), rejectedBy(attempt.signal)]);
			this.#retryMs = BACKEND_LIMITS.hostRetryMinMs;
			if (!this.#closed.signal.aborted) this.#set({ type: 'up', report });
			return null;
		} catch (error) {
			// Whatever it still waits for ends with its connection.
			void this.#forget();
			return error instanceof Error ? error.message : String(error);
		} finally {
			clearTimeout(timer);
			attempt.release();
		}
	}

	async #report(signal: AbortSignal): Promise<HostReport> {
		let probe = this.#probe;
		if (probe === null) {
			probe = await this.#options.openProbe(this.target, signal);
			if (signal.aborted) await probe.close();
			signal.throwIfAborted();
			this.#probe = probe;
		}
		return probe.ask();
	}

	async #forget(): Promise<void> {
		const probe = this.#probe;
		this.#probe = null;
		await probe?.close();
	}

	#set(state: HostState): void {
		const before = this.#state;
		this.#state = state;
		if (before.type !== state.type) this.#changedMs = performance.now();
		if (state.type === 'down' && before.type !== 'down') this.#dialling.abort(backendFailure('08001', state.reason));
		else if (state.type === 'up' && this.#dialling.signal.aborted) this.#dialling = new AbortController();
		this.#options.onState(this);
	}
}

/** Never resolves. */
function rejectedBy(signal: AbortSignal): Promise<never> {
	return new Promise((_, reject) => {
		const fail = (): void => reject(signal.reason as Error);
		if (signal.aborted) fail();
		else signal.addEventListener('abort', fail, { once: true });
	});
}
