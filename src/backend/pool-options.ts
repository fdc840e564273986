/** What pools can be told, with the defaults of what they are not told. */
import type { PoolOptions } from './lease.ts';
import { BACKEND_LIMITS } from './limits.ts';

/** Of pools that hand connections on. */
export interface ReusingPoolOptions extends PoolOptions {
	/** Age at which a backend is closed once nobody has it; 0: never. */
	readonly lifetimeMs?: number | undefined;
	/** How long nobody needs a backend before it is closed; 0: never. */
	readonly idleMs?: number | undefined;
	/** How long a backend is idle before it is tried with a question at its next use. */
	readonly checkAfterMs?: number | undefined;
	readonly checkTimeoutMs?: number | undefined;
}

export interface TransactionPoolOptions extends ReusingPoolOptions {
	/** Prepared statements that a backend keeps, whoever had them prepared. */
	readonly statementsMax?: number | undefined;
	/** Backends beyond `size`, for clients that have waited for `reserveAfterMs`. */
	readonly reserve?: number | undefined;
	readonly reserveAfterMs?: number | undefined;
}

/** All of them, with their defaults. */
export type PoolLimits = {
	readonly [K in Exclude<keyof TransactionPoolOptions, 'targets' | 'dial' | 'usable'>]-?: number;
};

export function poolLimits(options: TransactionPoolOptions): PoolLimits {
	const { targets: _targets, dial: _dial, usable: _usable, ...given } = options;
	return {
		size: given.size,
		queueTimeoutMs: given.queueTimeoutMs ?? BACKEND_LIMITS.queueTimeoutMs,
		queueMax: given.queueMax ?? BACKEND_LIMITS.queueMax,
		statementsMax: given.statementsMax ?? BACKEND_LIMITS.statementsMax,
		reserve: given.reserve ?? 0,
		reserveAfterMs: given.reserveAfterMs ?? BACKEND_LIMITS.reserveAfterMs,
		lifetimeMs: given.lifetimeMs ?? 0,
		idleMs: given.idleMs ?? BACKEND_LIMITS.idleMs,
		checkAfterMs: given.checkAfterMs ?? BACKEND_LIMITS.checkAfterMs,
		checkTimeoutMs: given.checkTimeoutMs ?? BACKEND_LIMITS.checkTimeoutMs,
	};
}
