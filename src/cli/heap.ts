/** Fits V8's garbage collector to what a gateway does: many short-lived objects, and a buffer of 64 KiB for every read of a client. */
import { setFlagsFromString } from 'node:v8';

/**
 * Such buffers lie outside of V8's heap, and some 64 MiB of them make it mark the whole heap, unless it finds earlier that nobody
 * refers to them any more: that was more than half of the CPU time of COPY. V8 11 (Node 20) finds it when it collects its young
 * generation, which happens often enough as long as that stays at its first size. V8 13 (Node 24) has a limit that grows with the heap.
 * Measured by `npm run bench`.
 */
const FLAGS: Readonly<Record<string, string>> = {
	11: '--semi-space-growth-factor=1',
	13: '--external-memory-accounted-in-global-limit',
};

/** For the process that serves; other versions of V8 stay as they are. */
export function tuneHeap(): void {
	const flag = FLAGS[process.versions.v8.split('.')[0] ?? ''];
	if (flag !== undefined) setFlagsFromString(flag);
}
