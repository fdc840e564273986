/** What has to be undone at the end, in reverse order, each step once, and none kept from running by another's failure. */

export class Cleanup {
	readonly #steps: (() => Promise<void> | void)[] = [];
	#running: Promise<void> | undefined;

	/** What is added after the end has begun is undone all the same. */
	add(step: () => Promise<void> | void): void {
		this.#steps.push(step);
		if (this.#running !== undefined) this.#running = this.#running.then(() => this.#runAll());
	}

	/** Runs all steps; a second call waits for the first. Never rejects. */
	run(): Promise<void> {
		this.#running ??= this.#runAll();
		return this.#running;
	}

	async #runAll(): Promise<void> {
		for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
			try {
				await step();
			} catch {
				// Something that cannot be undone must not keep the rest from being undone.
			}
		}
	}
}
