/** Time as the catalogue sees it, so that a test can hold the hands. */

export interface Clock {
	/** Milliseconds that never go back. */
	now(): number;
	/** Runs `then` once after so many milliseconds; the answer cancels it. Does not keep the process alive. */
	after(delayMs: number, then: () => void): () => void;
}

export const systemClock: Clock = {
	now: () => performance.now(),
	after: (delayMs, then) => {
		const timer = setTimeout(then, delayMs);
		timer.unref();
		return () => clearTimeout(timer);
	},
};
