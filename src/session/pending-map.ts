/** What the server will have under each name once everything in flight is done, and what it has if some of that fails. */

/** One change of one name: sent to the server, not yet answered. `value` undefined: the name is removed. */
export interface Change<T> {
	readonly name: string;
	readonly value: T | undefined;
	/** Number of the pipeline segment (the messages up to a Sync) in which it was sent. */
	readonly segment: number;
	confirmed: boolean;
	/** What holds if this change fails or is skipped. */
	previous: Change<T> | undefined;
	/** What it adds to the map's weight; 0 once it is out of the map. */
	weight: number;
}

/** `unsure`: it depends on an answer that has not come whether the name means this or that. */
export type Lookup<T> =
	| { readonly type: 'absent' }
	| { readonly type: 'unsure' }
	| { readonly type: 'present'; readonly value: T };

const absent = { type: 'absent' } as const;
const unsure = { type: 'unsure' } as const;

/**
 * Within one segment a lookup may trust the latest change: if that fails, the server skips everything up to the next
 * Sync, the message that looked it up included. Across segments it may not, unless the only other possibility is that
 * the name is absent (then the server itself refuses the message).
 */
export class PendingMap<T> {
	readonly #latest = new Map<string, Change<T>>();
	readonly #weigh: (value: T) => number;
	#weight = 0;

	/** `weigh`: bytes that a value takes, for `weight`. */
	constructor(weigh: (value: T) => number) {
		this.#weigh = weigh;
	}

	/** Names that are in use or may be. */
	get size(): number {
		return this.#latest.size;
	}

	/** Sum over everything that is kept, values that may still be wanted back included. */
	get weight(): number {
		return this.#weight;
	}

	has(name: string): boolean {
		return this.#latest.has(name);
	}

	lookup(name: string, segment: number): Lookup<T> {
		const latest = this.#latest.get(name);
		if (latest === undefined) return absent;
		if (!latest.confirmed && latest.segment !== segment && latest.previous !== undefined) return unsure;
		return latest.value === undefined ? absent : { type: 'present', value: latest.value };
	}

	/** False: it depends on an answer that has not come whether there is anything under that name at all. */
	isSettled(name: string, segment: number): boolean {
		const latest = this.#latest.get(name);
		return latest === undefined || latest.confirmed || latest.segment === segment;
	}

	/** Says that a message which gives `name` this value (undefined: removes it) is on its way. */
	change(name: string, value: T | undefined, segment: number): Change<T> {
		const weight = value === undefined ? 0 : this.#weigh(value);
		const change = { name, value, segment, confirmed: false, previous: this.#latest.get(name), weight };
		this.#weight += weight;
		this.#latest.set(name, change);
		return change;
	}

	/** The server has done it. */
	confirm(change: Change<T>): void {
		change.confirmed = true;
		this.#forget(change.previous);
		change.previous = undefined;
		// A name that is known to be gone leaves no trace.
		if (change.value === undefined) this.#bypass(change, undefined);
	}

	/** The server has refused or skipped it. */
	undo(change: Change<T>): void {
		this.#weight -= change.weight;
		change.weight = 0;
		this.#bypass(change, change.previous);
	}

	/** The server has refused it, and what it was to replace is gone all the same. */
	lose(change: Change<T>): void {
		this.#forget(change);
		change.previous = undefined;
		this.#bypass(change, undefined);
	}

	/** Forgets names that were last changed in or before `segment`, and tells `each` what they stood for. */
	dropUpTo(segment: number, each: (value: T) => void): void {
		for (const [name, change] of this.#latest) {
			if (change.segment > segment) continue;
			this.#latest.delete(name);
			this.#forget(change);
			if (change.value !== undefined) each(change.value);
		}
	}

	/** Forgets everything, for DISCARD ALL, DEALLOCATE ALL and the end of the session. */
	clear(): void {
		for (const change of this.#latest.values()) this.#forget(change);
		this.#latest.clear();
	}

	/** What every name stands for if all goes well. */
	*values(): Iterable<T> {
		for (const change of this.#latest.values()) if (change.value !== undefined) yield change.value;
	}

	/** Takes one change out of its chain: what rested on it rests on `previous` now. */
	#bypass(change: Change<T>, previous: Change<T> | undefined): void {
		const latest = this.#latest.get(change.name);
		if (latest === change) {
			if (previous === undefined) this.#latest.delete(change.name);
			else this.#latest.set(change.name, previous);
			return;
		}
		for (let later = latest; later !== undefined; later = later.previous) {
			if (later.previous === change) later.previous = previous;
		}
	}

	/** Takes a chain of changes out of the weight. */
	#forget(chain: Change<T> | undefined): void {
		for (let change = chain; change !== undefined; change = change.previous) {
			this.#weight -= change.weight;
			change.weight = 0;
		}
	}
}
