/** Slows down guessing: counts failed logins by address and by user name, in bounded memory, and says who has to wait. */
import { createHash } from 'node:crypto';
import { isIPv6 } from 'node:net';
import { LRUCache } from 'lru-cache';
import { ADDRESS_FAILURES, AUTH_LIMITS, type FailureLimits, USER_FAILURES } from './limits.ts';

interface Tally {
	/** Failures not yet forgotten. */
	level: number;
	/** When `level` was right. */
	atMs: number;
	/** Attempts before this moment are refused unseen. */
	blockedUntilMs: number;
}

export type Verdict =
	| { readonly allowed: true }
	| { readonly allowed: false; readonly by: 'address' | 'user'; readonly retryAfterMs: number };

/** A leaky count: `burst` failures are free, each one more doubles the pause. Refused attempts do not count. */
class FailureCount {
	readonly #limits: FailureLimits;
	readonly #tallies: LRUCache<string, Tally>;

	constructor(limits: FailureLimits, entriesMax: number) {
		this.#limits = limits;
		this.#tallies = new LRUCache({ max: entriesMax });
	}

	waitMs(key: string, nowMs: number): number {
		const tally = this.#tallies.get(key);
		return tally === undefined ? 0 : Math.max(0, tally.blockedUntilMs - nowMs);
	}

	fail(key: string, nowMs: number): void {
		const { burst, forgetMs, pauseMs, pauseMsMax } = this.#limits;
		const tally = this.#tallies.get(key) ?? { level: 0, atMs: nowMs, blockedUntilMs: 0 };
		// Enough failures for the longest pause: more would only make the memory of them last longer.
		const levelMax = burst + Math.ceil(Math.log2(pauseMsMax / pauseMs)) + 1;
		const kept = Math.max(0, tally.level - Math.max(0, nowMs - tally.atMs) / forgetMs);
		tally.level = Math.min(kept + 1, levelMax);
		tally.atMs = nowMs;
		if (tally.level > burst) {
			const pause = Math.min(pauseMs * 2 ** (Math.ceil(tally.level - burst) - 1), pauseMsMax);
			tally.blockedUntilMs = nowMs + pause;
		}
		this.#tallies.set(key, tally);
	}
}

/**
 * Failed logins of all sessions of a gateway, counted by address, by user name, and by both together. Who has signed in
 * from an address before is only held to the count of both: guessing from elsewhere, or by others behind the same
 * address, locks nobody out who is known. No count is cleared by a success, or each one would buy an attacker a burst.
 */
export class FailureLimiter {
	readonly #addresses: FailureCount;
	readonly #users: FailureCount;
	readonly #pairs: FailureCount;
	readonly #known: LRUCache<string, true>;

	constructor(
		options: {
			readonly address?: FailureLimits;
			/** For a user name, and for a user name from one address. */
			readonly user?: FailureLimits;
			readonly entriesMax?: number;
		} = {},
	) {
		const entriesMax = options.entriesMax ?? AUTH_LIMITS.failureEntriesMax;
		this.#addresses = new FailureCount(options.address ?? ADDRESS_FAILURES, entriesMax);
		this.#users = new FailureCount(options.user ?? USER_FAILURES, entriesMax);
		this.#pairs = new FailureCount(options.user ?? USER_FAILURES, entriesMax);
		this.#known = new LRUCache({ max: entriesMax });
	}

	/**
	 * Asked when a login begins and again before a proof is looked at, so that attempts in parallel gain nothing.
	 * `guessable`: false where the proof is nothing that can be guessed (a token): then a name is never held up, which
	 * somebody else could bring about, and only floods from one address are.
	 */
	check(address: string, user: string, nowMs: number, guessable = true): Verdict {
		const network = networkOf(address);
		const known = this.#known.has(pair(network, user));
		if (!guessable) {
			const waitMs = known ? 0 : this.#addresses.waitMs(network, nowMs);
			return waitMs > 0 ? { allowed: false, by: 'address', retryAfterMs: waitMs } : { allowed: true };
		}
		if (known) {
			const byBoth = this.#pairs.waitMs(pair(network, user), nowMs);
			return byBoth > 0 ? { allowed: false, by: 'user', retryAfterMs: byBoth } : { allowed: true };
		}
		const byAddress = this.#addresses.waitMs(network, nowMs);
		if (byAddress > 0) return { allowed: false, by: 'address', retryAfterMs: byAddress };
		const byUser = this.#users.waitMs(keyOf(user), nowMs);
		return byUser > 0 ? { allowed: false, by: 'user', retryAfterMs: byUser } : { allowed: true };
	}

	fail(address: string, user: string, nowMs: number, guessable = true): void {
		const network = networkOf(address);
		this.#addresses.fail(network, nowMs);
		if (!guessable) return;
		this.#users.fail(keyOf(user), nowMs);
		this.#pairs.fail(pair(network, user), nowMs);
	}

	succeed(address: string, user: string): void {
		this.#known.set(pair(networkOf(address), user), true);
	}
}

function pair(network: string, user: string): string {
	return `${network} ${keyOf(user)}`;
}

/** Names come from anybody and may fill a startup packet: what is kept of them is short. */
function keyOf(user: string): string {
	return user.length <= 64 ? user : createHash('sha256').update(user).digest('base64');
}

/** One host often has a whole /64 of IPv6; an IPv4 address written as IPv6 counts as IPv4. */
export function networkOf(address: string): string {
	const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
	if (mapped !== null) return mapped[1] ?? address;
	const bare = address.replace(/%.*$/, '');
	if (!isIPv6(bare)) return address;
	const [head = '', tail] = bare.toLowerCase().split('::');
	const left = head === '' ? [] : head.split(':');
	if (tail === undefined) return left.slice(0, 4).map(trimGroup).join(':');
	const right = tail === '' ? [] : tail.split(':');
	const zeros = Math.max(0, 8 - left.length - right.length);
	return [...left, ...Array<string>(zeros).fill('0'), ...right].slice(0, 4).map(trimGroup).join(':');
}

function trimGroup(group: string): string {
	return group.replace(/^0+(?=.)/, '');
}
