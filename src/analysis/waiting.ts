/** Texts that wait for the thread: users take turns, so that one who sends many holds up nobody but themselves. */

/** Of something that waits. */
export interface Waiting {
	readonly user: string;
	readonly bytes: number;
}

/** What may wait; one user may have half of it. */
export class WaitingTexts<T extends Waiting> {
	readonly #bytesMax: number;
	/** By user, in the order of their turns. */
	readonly #lines = new Map<string, T[]>();
	#bytes = 0;

	constructor(bytesMax: number) {
		this.#bytesMax = bytesMax;
	}

	get bytes(): number {
		return this.#bytes;
	}

	/** False: there is no room for it. One alone is let in however long it is. */
	add(one: T): boolean {
		const line = this.#lines.get(one.user) ?? [];
		const own = line.reduce((sum, { bytes }) => sum + bytes, one.bytes);
		if (line.length > 0 && own > this.#bytesMax / 2) return false;
		if (this.#bytes > 0 && this.#bytes + one.bytes > this.#bytesMax) return false;
		line.push(one);
		this.#lines.set(one.user, line);
		this.#bytes += one.bytes;
		return true;
	}

	/** The first of whoever's turn it is, who then is the last to have one. */
	take(): T | null {
		for (const [user, line] of this.#lines) {
			const [first] = line;
			if (first === undefined) continue;
			this.remove(first);
			const rest = this.#lines.get(user);
			if (rest !== undefined) {
				this.#lines.delete(user);
				this.#lines.set(user, rest);
			}
			return first;
		}
		return null;
	}

	/** False: it does not wait any more. */
	remove(one: T): boolean {
		const line = this.#lines.get(one.user);
		const at = line?.indexOf(one) ?? -1;
		if (line === undefined || at === -1) return false;
		line.splice(at, 1);
		if (line.length === 0) this.#lines.delete(one.user);
		this.#bytes -= one.bytes;
		return true;
	}
}
