/** Counts what is under way of each network, so that one of them cannot have all the places there are. */

/** One count for each network (`networkOf`), forgotten at zero. */
export class Crowds {
	readonly #max: number;
	readonly #counts = new Map<string, number>();

	/** 0: no limit. */
	constructor(max: number) {
		this.#max = max;
	}

	/** Null when there are as many as there may be; else what to call once, when it is no longer one of them. */
	enter(network: string): (() => void) | null {
		const count = this.#counts.get(network) ?? 0;
		if (this.#max > 0 && count >= this.#max) return null;
		this.#counts.set(network, count + 1);
		return () => {
			const left = (this.#counts.get(network) ?? 1) - 1;
			if (left === 0) this.#counts.delete(network);
			else this.#counts.set(network, left);
		};
	}
}
