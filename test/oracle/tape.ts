/** A tape of numbers that a grammar makes its choices from: shorter tapes and smaller numbers make simpler texts, so that shrinking works. */
export class Tape {
	readonly #numbers: readonly number[];
	#at = 0;

	constructor(numbers: readonly number[]) {
		this.#numbers = numbers;
	}

	/** A number from 0 to `below` - 1; 0 when the tape has ended. */
	below(below: number): number {
		const number = this.#numbers[this.#at] ?? 0;
		this.#at += 1;
		return number % below;
	}

	/** True in about `percent` of 100 cases; false when the tape has ended. */
	chance(percent: number): boolean {
		return this.below(100) >= 100 - percent;
	}

	pick<T>(choices: readonly T[]): T {
		const choice = choices[this.below(choices.length)];
		if (choice === undefined) throw new Error('nothing to choose from');
		return choice;
	}

	/** From `least` to `most` things. */
	times<T>(least: number, most: number, make: (index: number) => T): T[] {
		return Array.from({ length: least + this.below(most - least + 1) }, (_, index) => make(index));
	}

	get ended(): boolean {
		return this.#at >= this.#numbers.length;
	}
}
