/** Prepared statements that a backend has for whoever leases it: by text and parameter types, the latest used last. */

/** One of them. */
export interface SharedStatement {
	readonly key: string;
	/** On the server. */
	readonly name: string;
	/** Pipeline segment of the client that had it prepared; of no meaning once it is `sure`. */
	readonly segment: number;
	/** The server has said that it is there. */
	sure: boolean;
	/** What it returns as this backend described it; null while nobody has seen it. */
	shape: string | null;
	/** Somebody has asked what it returns, and waits for the answer. */
	describing: boolean;
	/** The server refuses it: its plan gives another result by now. Who parses the text anew gets another in its place. */
	outdated: boolean;
}

export class SharedStatements {
	/** In the order of use. */
	readonly #byKey = new Map<string, SharedStatement>();
	/** Nobody finds them any more; they are still to be closed. */
	readonly #replaced: SharedStatement[] = [];
	readonly #max: number;

	constructor(max: number) {
		this.#max = max;
	}

	get size(): number {
		return this.#byKey.size;
	}

	/** `unsure`: it was sent in an earlier segment, and whether that came through is not known yet. */
	lookup(key: string, segment: number): SharedStatement | 'unsure' | null {
		const found = this.#byKey.get(key);
		if (found === undefined) return null;
		if (!found.sure && found.segment !== segment) return 'unsure';
		this.#byKey.delete(key);
		this.#byKey.set(key, found);
		return found;
	}

	/** Without a use of it. */
	find(key: string): SharedStatement | null {
		return this.#byKey.get(key) ?? null;
	}

	/** One that is on its way. */
	add(key: string, name: string, segment: number): SharedStatement {
		const added = { key, name, segment, sure: false, shape: null, describing: false, outdated: false };
		const former = this.#byKey.get(key);
		if (former !== undefined) this.#replaced.push(former);
		this.#byKey.delete(key);
		this.#byKey.set(key, added);
		return added;
	}

	/** One that was replaced, or, when there are too many, that was not used for longest: it is forgotten, and has to be closed. */
	evict(): SharedStatement | null {
		const replaced = this.#replaced.pop();
		if (replaced !== undefined) return replaced;
		if (this.#byKey.size <= this.#max) return null;
		for (const statement of this.#byKey.values()) {
			if (!statement.sure) continue;
			this.#byKey.delete(statement.key);
			return statement;
		}
		return null;
	}

	/** The server has refused or skipped it. */
	remove(statement: SharedStatement): void {
		if (this.#byKey.get(statement.key) === statement) this.#byKey.delete(statement.key);
	}

	/** DEALLOCATE ALL, DISCARD ALL. */
	clear(): void {
		this.#byKey.clear();
		this.#replaced.length = 0;
	}
}
