/** Counts durations in buckets: a few comparisons and additions for each, everything else when it is read. */

/** Upper bounds in seconds: from a lookup in memory to a statement that runs for a minute. */
export const durationBounds: readonly number[] = [
	0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
];

export class Histogram {
	/** Upper bounds in seconds, ascending. */
	readonly bounds: readonly number[];
	/** How many fell between the bound before and this one; the last is for what exceeds all. Not cumulative. */
	readonly counts: Float64Array;
	readonly #boundsMs: Float64Array;
	#sumMs = 0;
	#count = 0;

	constructor(bounds: readonly number[] = durationBounds) {
		this.bounds = bounds;
		this.counts = new Float64Array(bounds.length + 1);
		this.#boundsMs = Float64Array.from(bounds, (seconds) => seconds * 1000);
	}

	/** Milliseconds. */
	observe(ms: number): void {
		const bounds = this.#boundsMs;
		let at = 0;
		while (at < bounds.length && ms > (bounds[at] as number)) at += 1;
		this.counts[at] = (this.counts[at] as number) + 1;
		this.#sumMs += ms;
		this.#count += 1;
	}

	get count(): number {
		return this.#count;
	}

	/** Seconds. */
	get sum(): number {
		return this.#sumMs / 1000;
	}
}
