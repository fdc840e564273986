/** Fits V8's garbage collector to what a gateway does: many short-lived objects, and a buffer of 64 KiB for every read. */
import { getHeapStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** How often the memory outside of V8's heap is looked at, and by how much it may have grown since it was least. */
const lookMs = 20;
const growthBytes = 8 * 1024 * 1024;
/** What V8 lets come to its old generation, and promoted from outside, before it marks: so much of what was left last time. */
const growingPercent = 100;

/**
 * Those buffers lie outside of V8's heap. Some 10 to 60 MiB of them make it mark the whole heap, unless it finds earlier that nobody
 * refers to them any more: when it collects its young generation, which a transfer of large messages hardly fills in the
 * meantime. So that is asked for while they pile up (it takes under a millisecond), and the bound for marking is set higher
 * than V8 sets it for programs that allocate as little: COPY took five times PgBouncer's CPU time, and takes the same now.
 * Measured by `npm run bench`.
 */
export function tuneHeap(): void {
	setFlagsFromString(`--heap-growing-percent=${growingPercent}`);
	setFlagsFromString('--expose-gc');
	const collect = runInNewContext('gc') as (options: { readonly type: 'minor' }) => void;
	let leastBytes = outsideBytes();
	setInterval(() => {
		const bytes = outsideBytes();
		leastBytes = Math.min(leastBytes, bytes);
		if (bytes - leastBytes < growthBytes) return;
		collect({ type: 'minor' });
		// What was found is given back a little later, by another thread.
		leastBytes = outsideBytes();
	}, lookMs).unref();
}

function outsideBytes(): number {
	return getHeapStatistics().external_memory;
}
