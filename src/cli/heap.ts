/** Fits V8's garbage collector to what a gateway does: many short-lived objects, and a buffer of 64 KiB for every read. */
import { setFlagsFromString } from 'node:v8';

/**
 * Those buffers lie outside of V8's heap, and 64 MiB of them make it mark the whole heap, unless it finds earlier that nobody refers to
 * them any more: when it collects its young generation. That grows to 16 MiB by default, which a transfer hardly fills in the meantime.
 * Kept at its first size it is collected often enough: half the CPU time of COPY and of large results was marking. Measured by
 * `npm run bench`.
 */
export function tuneHeap(): void {
	setFlagsFromString('--semi-space-growth-factor=1');
}
