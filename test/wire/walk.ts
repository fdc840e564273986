/** Walks a stream through a framer in given pieces and holds the framer to its promises; shared by the wire tests. */
import type { Framer } from '../../src/wire/framer.ts';

/** What a framer yields, as the tests compare it. Made by `walk` for Framer, and by planted faults. */
export type Frames = Pick<
	Framer,
	'push' | 'next' | 'type' | 'buffer' | 'start' | 'end' | 'count' | 'first' | 'last' | 'between'
>;

/** One message of a stream, of which the beginning and the end were seen. */
export interface Seen {
	readonly type: number;
	readonly bytes: Buffer;
	/** How many frames it came in. */
	readonly frames: number;
}

/** Cuts `stream` at the offsets of `cuts` (ascending). */
export function cut(stream: Buffer, cuts: readonly number[]): Buffer[] {
	const edges = [0, ...cuts, stream.length];
	return edges.slice(1).map((end, i) => stream.subarray(edges[i], end));
}

/**
 * Pushes `chunks` and puts the frames together again, message by message. Throws where a frame breaks a promise:
 * bytes lost, doubled or out of order, a frame of an unexpected size, wrong `count`, `first` or `last`.
 */
export function walk(framer: Frames, chunks: readonly Buffer[]): Seen[] {
	const seen: Seen[] = [];
	let open: { type: number; parts: Buffer[] } | null = null;
	for (const chunk of chunks) {
		framer.push(chunk);
		while (framer.next()) {
			const bytes = Buffer.from(framer.buffer.subarray(framer.start, framer.end));
			if (bytes.length === 0) throw new Error('empty frame');
			if (framer.first !== (open === null)) throw new Error(`first is ${framer.first}`);
			let begun = 0;
			let at = 0;
			while (at < bytes.length) {
				if (open === null) {
					open = { type: framer.type, parts: [] };
					begun++;
				}
				if (open.type !== framer.type) throw new Error('type changed within a message');
				const known = Buffer.concat([...open.parts, bytes.subarray(at)]);
				if (known.length < 5) throw new Error('a frame that ends within a header');
				const before = open.parts.reduce((sum, part) => sum + part.length, 0);
				const end = Math.min(bytes.length, at + known.readInt32BE(1) + 1 - before);
				open.parts.push(bytes.subarray(at, end));
				if (before + end - at === known.readInt32BE(1) + 1) {
					const whole = Buffer.concat(open.parts);
					if (whole[0] !== framer.type) throw new Error(`type is ${framer.type}`);
					seen.push({ type: open.type, bytes: whole, frames: open.parts.length });
					open = null;
				}
				at = end;
			}
			if (framer.last !== (open === null)) throw new Error(`last is ${framer.last}`);
			if (framer.count !== begun) throw new Error(`count is ${framer.count}, ${begun} began`);
		}
	}
	if (framer.between && open !== null) throw new Error('between messages, but one is open');
	return seen;
}
