/** Asks a worker again and again whether its event loop turns, and says so when it does not. */

export interface PulseOptions {
	/** Between two questions, in milliseconds. One that was not answered in this time is silent. */
	readonly everyMs: number;
	/** Silent for so long, it is lost; 0: never. */
	readonly patienceMs: number;
	readonly ask: () => void;
	/** Told of each change. */
	readonly onSilent: (silent: boolean) => void;
	/** Told once. */
	readonly onLost: () => void;
}

/**
 * Counts questions and not time: a supervisor that was itself held up, or stopped together with its workers, takes nobody for lost
 * when it goes on.
 */
export class Pulse {
	readonly #options: PulseOptions;
	#timer: NodeJS.Timeout | null = null;
	#asked = false;
	/** Looks at which the question was still open. */
	#missed = 0;

	constructor(options: PulseOptions) {
		this.#options = options;
	}

	start(): void {
		this.#timer ??= setInterval(() => this.#look(), this.#options.everyMs).unref();
	}

	stop(): void {
		if (this.#timer !== null) clearInterval(this.#timer);
		this.#timer = null;
	}

	answered(): void {
		const { onSilent } = this.#options;
		const silent = this.#missed > 0;
		this.#asked = false;
		this.#missed = 0;
		if (silent) onSilent(false);
	}

	#look(): void {
		const { everyMs, patienceMs, ask, onSilent, onLost } = this.#options;
		if (!this.#asked) {
			this.#asked = true;
			ask();
			return;
		}
		this.#missed += 1;
		if (this.#missed === 1) onSilent(true);
		if (patienceMs === 0 || this.#missed * everyMs < patienceMs) return;
		this.stop();
		onLost();
	}
}
