/** Chance that can be repeated: everything that a fault run decides by chance comes from one number. */

export class Seeded {
	#state: number;

	constructor(seed: number) {
		this.#state = seed >>> 0;
	}

	/** From 0 up to 1 (mulberry32). */
	next(): number {
		this.#state = (this.#state + 0x6d2b79f5) >>> 0;
		let mixed = this.#state;
		mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
		mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
		return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
	}

	/** A whole number from 0 up to `end`, which is not among them. */
	below(end: number): number {
		return Math.floor(this.next() * end);
	}

	/** From `least` up to `most`. */
	between(least: number, most: number): number {
		return least + this.below(most - least + 1);
	}

	chance(probability: number): boolean {
		return this.next() < probability;
	}

	/** By weight. */
	pick<T>(choices: readonly { readonly weight: number; readonly value: T }[]): T {
		let left = this.next() * choices.reduce((sum, { weight }) => sum + weight, 0);
		for (const { weight, value } of choices) {
			left -= weight;
			if (left < 0) return value;
		}
		throw new Error('there is nothing to choose from');
	}

	/** One of its own for somebody whose speed is nobody else's. */
	fork(): Seeded {
		return new Seeded(Math.floor(this.next() * 4_294_967_296));
	}
}
