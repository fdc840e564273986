/** Those that wait for a connection of a pool, in order of arrival: in a crowd every transaction of everybody waits, so it is cheap. */
import type { GatewayError } from '../errors.ts';
import type { Lease, LeaseAsker, LeaseRequest } from './lease.ts';

export class Waiter {
	readonly request: LeaseRequest;
	/** It wants a connection of its own, started with its own parameters. */
	readonly alone: boolean;
	readonly sinceMs = performance.now();
	readonly #line: Set<Waiter>;
	readonly #asker: LeaseAsker;

	constructor(line: Set<Waiter>, request: LeaseRequest, alone: boolean, asker: LeaseAsker) {
		this.#line = line;
		this.request = request;
		this.alone = alone;
		this.#asker = asker;
	}

	grant(lease: Lease): void {
		this.#line.delete(this);
		this.#asker.granted(lease);
	}

	refuse(error: GatewayError): void {
		this.#line.delete(this);
		this.#asker.refused(error);
	}
}

export interface WaitingLineOptions {
	/** How long one waits at most. */
	readonly timeoutMs: number;
	/** What it is told then. */
	readonly late: (request: LeaseRequest) => GatewayError;
	/** What one is told whose signal is aborted. */
	readonly left: () => GatewayError;
}

export class WaitingLine {
	readonly #options: WaitingLineOptions;
	readonly #waiting = new Set<Waiter>();
	/** Those of whom it is heard when they leave. */
	readonly #heard = new WeakSet<AbortSignal>();
	/** For the first in the line: nobody has waited for longer. */
	#patience: NodeJS.Timeout | null = null;

	constructor(options: WaitingLineOptions) {
		this.#options = options;
	}

	get size(): number {
		return this.#waiting.size;
	}

	/** In order of arrival; those that are granted or refused meanwhile have left. */
	[Symbol.iterator](): Iterator<Waiter> {
		return this.#waiting.values();
	}

	/** `asker` is told when it is granted a lease, or refused. */
	wait(request: LeaseRequest, alone: boolean, asker: LeaseAsker): void {
		this.#waiting.add(new Waiter(this.#waiting, request, alone, asker));
		this.#hear(request.signal);
		this.#patience ??= setTimeout(() => this.#losePatience(), this.#options.timeoutMs);
	}

	/** It is served: it waits no longer, but has no answer yet. */
	delete(waiter: Waiter): void {
		this.#waiting.delete(waiter);
	}

	/** Nobody will wait any more. */
	close(): void {
		if (this.#patience !== null) clearTimeout(this.#patience);
	}

	/** One timer for all of them. */
	#losePatience(): void {
		const { timeoutMs, late } = this.#options;
		this.#patience = null;
		const nowMs = performance.now();
		for (const waiter of this.#waiting) {
			const leftMs = waiter.sinceMs + timeoutMs - nowMs;
			if (leftMs >= 1) {
				this.#patience = setTimeout(() => this.#losePatience(), leftMs);
				return;
			}
			waiter.refuse(late(waiter.request));
		}
	}

	/** Once for each signal: a client asks for leases again and again. */
	#hear(signal: AbortSignal | undefined): void {
		if (signal === undefined || this.#heard.has(signal)) return;
		this.#heard.add(signal);
		const leave = (): void => {
			for (const waiter of this.#waiting) if (waiter.request.signal === signal) waiter.refuse(this.#options.left());
		};
		signal.addEventListener('abort', leave, { once: true });
	}
}
