/** Follows one session from look to look, and says which limit of time it has overrun. No timers, no I/O. */
import { GatewayError } from '../errors.ts';

/** Limits of time, in milliseconds; 0 switches one off. */
export interface TimeLimits {
	/** A statement, from the moment that all before it are answered; the server answers a pipeline when that is done, up to its Sync. */
	readonly queryTimeoutMs: number;
	/** A transaction block, from its begin. */
	readonly transactionTimeoutMs: number;
	/** Between two messages of a client inside of a transaction. */
	readonly idleTransactionTimeoutMs: number;
	/** Age of a server connection after which a session that is idle has to give it up. */
	readonly backendLifetimeMs: number;
}

/** What can be seen of a session at one moment. */
export interface Sight {
	/** What the backend works on; another object for each message. Undefined when nothing is outstanding. */
	readonly head: object | undefined;
	/** The statement at work within `head`. */
	readonly index: number;
	readonly inTransaction: boolean;
	/** Number of the transaction. */
	readonly transaction: number;
	/** Changes whenever the client says something. */
	readonly heardMs: number;
	/** Since when the session has had its server connection. */
	readonly leasedMs: number;
}

export type Verdict =
	| { readonly type: 'in order' }
	/** Cancel what runs, and tell the client this in place of the server's own words. */
	| { readonly type: 'cancel'; readonly error: GatewayError }
	| { readonly type: 'end'; readonly error: GatewayError; readonly reason: string };

const inOrder: Verdict = { type: 'in order' };

/** How long a backend may take to obey a cancel request before its connection is given up. */
export const cancelGraceMs = 10_000;

export class Watch {
	readonly #limits: TimeLimits;
	#head: object | undefined;
	#index = 0;
	#headSinceMs = 0;
	#cancelledMs: number | null = null;
	#transaction = 0;
	#transactionSinceMs = 0;
	#waiting = false;
	#heardMs = 0;
	#waitingSinceMs = 0;

	constructor(limits: TimeLimits) {
		this.#limits = limits;
	}

	/** Times are counted from the first look at which something was so: an overrun shows at most one interval late. */
	look(sight: Sight, nowMs: number): Verdict {
		const running = this.#lookAtQuery(sight, nowMs);
		if (running.type !== 'in order') return running;
		const open = this.#lookAtTransaction(sight, nowMs);
		if (open.type !== 'in order') return open;
		const { backendLifetimeMs } = this.#limits;
		const free = sight.head === undefined && !sight.inTransaction;
		if (!free || backendLifetimeMs === 0 || nowMs - sight.leasedMs < backendLifetimeMs) return inOrder;
		return end('57P01', 'terminating connection: its server connection is older than the gateway allows', 'lifetime');
	}

	#lookAtQuery({ head, index }: Sight, nowMs: number): Verdict {
		if (head !== this.#head || index !== this.#index) {
			this.#head = head;
			this.#index = index;
			this.#headSinceMs = nowMs;
			this.#cancelledMs = null;
		}
		const { queryTimeoutMs } = this.#limits;
		if (head === undefined || queryTimeoutMs === 0) return inOrder;
		if (this.#cancelledMs !== null) {
			if (nowMs - this.#cancelledMs < cancelGraceMs) return inOrder;
			return end('57014', 'terminating connection: the server did not cancel an overdue statement', 'query timeout');
		}
		if (nowMs - this.#headSinceMs < queryTimeoutMs) return inOrder;
		this.#cancelledMs = nowMs;
		const detail = `The gateway lets a statement run for ${queryTimeoutMs} ms.`;
		return {
			type: 'cancel',
			error: new GatewayError('57014', 'canceling statement due to query timeout of the gateway', { detail }),
		};
	}

	#lookAtTransaction({ head, inTransaction, transaction, heardMs }: Sight, nowMs: number): Verdict {
		const waiting = inTransaction && head === undefined;
		if (waiting !== this.#waiting || heardMs !== this.#heardMs) {
			this.#waiting = waiting;
			this.#heardMs = heardMs;
			this.#waitingSinceMs = nowMs;
		}
		if (!inTransaction || transaction !== this.#transaction) {
			this.#transaction = inTransaction ? transaction : 0;
			this.#transactionSinceMs = nowMs;
		}
		const { idleTransactionTimeoutMs, transactionTimeoutMs } = this.#limits;
		if (waiting && idleTransactionTimeoutMs > 0 && nowMs - this.#waitingSinceMs >= idleTransactionTimeoutMs)
			return end('25P03', 'terminating connection due to idle-in-transaction timeout', 'idle in transaction');
		if (inTransaction && transactionTimeoutMs > 0 && nowMs - this.#transactionSinceMs >= transactionTimeoutMs)
			return end('25P04', 'terminating connection due to transaction timeout', 'transaction timeout');
		return inOrder;
	}
}

function end(sqlstate: string, words: string, reason: string): Verdict {
	return { type: 'end', error: new GatewayError(sqlstate, words, { severity: 'FATAL' }), reason };
}

const lookMinMs = 20;
const lookMaxMs = 1_000;

/** How often sessions have to be looked at for these limits to hold within a tenth; null: never. */
export function lookEveryMs(limits: readonly number[]): number | null {
	const least = Math.min(...limits.filter((limit) => limit > 0));
	return Number.isFinite(least) ? Math.min(Math.max(Math.floor(least / 10), lookMinMs), lookMaxMs) : null;
}
