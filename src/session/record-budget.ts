/** How many records strangers may cause: who has not signed in must not be able to fill the audit log, which stops the gateway. */

/** A count that forgets: so many at once, and then so many a second. */
export interface Allowance {
	readonly burst: number;
	readonly perSecond: number;
}

/** Of one network (an address, or /64 of IPv6), and of all together. */
const OF_NETWORK: Allowance = { burst: 200, perSecond: 2 };
const OF_ALL: Allowance = { burst: 5_000, perSecond: 50 };

/** Networks that are told apart; further ones share one account. */
const NETWORKS_MAX = 10_000;
const OTHERS = 'other addresses';

class Bucket {
	/** Records that were made since, and are not forgotten yet. */
	#level = 0;
	#atMs = 0;
	/** Attempts since the last record that have none of their own. */
	unrecorded = 0;

	room(allowance: Allowance, nowMs: number): boolean {
		this.#level = Math.max(0, this.#level - (Math.max(0, nowMs - this.#atMs) / 1000) * allowance.perSecond);
		this.#atMs = nowMs;
		return this.#level + 1 <= allowance.burst;
	}

	take(): void {
		this.#level += 1;
	}

	isEmpty(allowance: Allowance, nowMs: number): boolean {
		this.room(allowance, nowMs);
		return this.#level === 0 && this.unrecorded === 0;
	}
}

export interface Unrecorded {
	readonly network: string;
	readonly count: number;
}

/** Asked before each record of an attempt that came to nothing. What has none is counted, and told of in `drain`. */
export class RecordBudget {
	readonly #ofNetwork: Allowance;
	readonly #ofAll: Allowance;
	readonly #all = new Bucket();
	readonly #networks = new Map<string, Bucket>();

	constructor(ofNetwork = OF_NETWORK, ofAll = OF_ALL) {
		this.#ofNetwork = ofNetwork;
		this.#ofAll = ofAll;
	}

	/** True when this one is to be recorded. `nowMs`: performance.now(). */
	take(network: string, nowMs: number): boolean {
		const bucket = this.#bucketOf(network);
		if (bucket.room(this.#ofNetwork, nowMs) && this.#all.room(this.#ofAll, nowMs)) {
			bucket.take();
			this.#all.take();
			return true;
		}
		bucket.unrecorded += 1;
		return false;
	}

	/** What was not recorded since the last time, by network; forgets those that have been quiet. */
	drain(nowMs: number): readonly Unrecorded[] {
		const told: Unrecorded[] = [];
		for (const [network, bucket] of this.#networks) {
			if (bucket.unrecorded > 0) told.push({ network, count: bucket.unrecorded });
			bucket.unrecorded = 0;
			if (bucket.isEmpty(this.#ofNetwork, nowMs)) this.#networks.delete(network);
		}
		return told;
	}

	#bucketOf(network: string): Bucket {
		const known = this.#networks.get(network);
		if (known !== undefined) return known;
		const key = this.#networks.size < NETWORKS_MAX ? network : OTHERS;
		const bucket = this.#networks.get(key) ?? new Bucket();
		this.#networks.set(key, bucket);
		return bucket;
	}
}
