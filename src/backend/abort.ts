/** Follows other signals for a while. AbortSignal.any would do, but what lives long keeps a trace of each of its followers (Node 20). */
import { setMaxListeners } from 'node:events';

export interface Following {
	readonly signal: AbortSignal;
	abort(reason: unknown): void;
	/** Follows no longer. */
	release(): void;
}

/** Aborted with the first of them, for its reason. Release it when what it is for is over. */
export function following(...signals: readonly (AbortSignal | undefined)[]): Following {
	const own = new AbortController();
	const followed = signals.filter((signal) => signal !== undefined);
	const listeners = followed.map((signal) => {
		const abort = (): void => own.abort(signal.reason);
		// Many may follow one that lives long; Node would warn of a leak from ten on.
		setMaxListeners(0, signal);
		if (signal.aborted) abort();
		else signal.addEventListener('abort', abort, { once: true });
		return { signal, abort };
	});
	return {
		signal: own.signal,
		abort: (reason) => own.abort(reason),
		release: () => {
			for (const { signal, abort } of listeners) signal.removeEventListener('abort', abort);
		},
	};
}
