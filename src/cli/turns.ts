/** Long computations in the loop that serves sessions, in pieces. */
import { setImmediate } from 'node:timers/promises';

/** How long sessions wait for a piece, in milliseconds. */
const PIECE_MS = 5;

/** To be awaited at each step of a computation: lets others have their turn where a piece has lasted long enough. */
export function turns(): () => Promise<void> {
	let since = performance.now();
	return async () => {
		if (performance.now() - since < PIECE_MS) return;
		await setImmediate();
		since = performance.now();
	};
}
