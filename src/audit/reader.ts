/** Reads a segment line by line, plain or compressed, without holding more of it than one line and one chunk. */
import { createReadStream } from 'node:fs';
import { createGunzip } from 'node:zlib';

export interface ReadOptions {
	readonly compressed: boolean;
	readonly lineBytesMax: number;
	/** Bytes (of the plain text) to skip; must be the start of a line. */
	readonly start?: number;
	/** Bytes (of the plain text) to stop before. */
	readonly end?: number;
	/** Waited for now and then: what is done with the lines may be slower than the disk. */
	readonly drained?: () => Promise<void> | null;
}

/** What follows the last line feed. */
export interface Tail {
	/** Offset of the first byte after the last line feed. */
	readonly offset: number;
	readonly bytes: Buffer;
}

export class LineTooLong extends Error {
	constructor(offset: number, lineBytesMax: number) {
		super(`a line at byte ${offset} is longer than ${lineBytesMax} bytes`);
		this.name = 'LineTooLong';
	}
}

type OnLine = (line: Buffer, offset: number) => void | false;

/** Cuts chunks into lines. `push` returns false once `onLine` has. */
class LineCutter {
	readonly #onLine: OnLine;
	readonly #lineBytesMax: number;
	#offset: number;
	#kept: Buffer[] = [];
	#keptBytes = 0;

	constructor(onLine: OnLine, lineBytesMax: number, offset: number) {
		this.#onLine = onLine;
		this.#lineBytesMax = lineBytesMax;
		this.#offset = offset;
	}

	push(chunk: Buffer): boolean {
		let start = 0;
		for (let end = chunk.indexOf(0x0a); end >= 0; end = chunk.indexOf(0x0a, start)) {
			const line = this.#joined(chunk.subarray(start, end));
			const at = this.#offset;
			this.#offset += line.length + 1;
			start = end + 1;
			if (this.#onLine(line, at) === false) return false;
		}
		if (start < chunk.length) this.#keep(chunk.subarray(start));
		return true;
	}

	tail(): Tail {
		return { offset: this.#offset, bytes: Buffer.concat(this.#kept) };
	}

	#keep(rest: Buffer): void {
		this.#keptBytes += rest.length;
		if (this.#keptBytes > this.#lineBytesMax) throw new LineTooLong(this.#offset, this.#lineBytesMax);
		this.#kept.push(rest);
	}

	#joined(rest: Buffer): Buffer {
		if (this.#kept.length === 0) return rest;
		this.#keep(rest);
		const line = Buffer.concat(this.#kept);
		this.#kept = [];
		this.#keptBytes = 0;
		return line;
	}
}

/**
 * Calls `onLine` with each line (without its line feed; valid only during the call) and its offset in the plain text; it may
 * return false to stop. Throws what the file system or the decompression throws, and LineTooLong.
 */
export async function readLines(path: string, options: ReadOptions, onLine: OnLine): Promise<Tail> {
	const { compressed, lineBytesMax, start = 0, end } = options;
	const cutter = new LineCutter(onLine, lineBytesMax, start);
	const range = compressed ? {} : { start, ...(end === undefined ? {} : { end: end - 1 }) };
	if (end !== undefined && end <= start) return cutter.tail();
	const file = createReadStream(path, { highWaterMark: 256 * 1024, ...range });
	const source = compressed ? file.pipe(createGunzip({ chunkSize: 256 * 1024 })) : file;
	if (compressed) file.on('error', (error) => source.destroy(error));
	try {
		let at = 0;
		for await (const piece of source) {
			const chunk = compressed
				? within(piece as Buffer, at, start, end ?? Number.POSITIVE_INFINITY)
				: (piece as Buffer);
			at += (piece as Buffer).length;
			if (!cutter.push(chunk)) break;
			await options.drained?.();
		}
	} finally {
		file.destroy();
	}
	return cutter.tail();
}

/** The part of a chunk at `at` that lies in [start, end). */
function within(chunk: Buffer, at: number, start: number, end: number): Buffer {
	return chunk.subarray(Math.max(0, start - at), Math.max(0, Math.min(chunk.length, end - at)));
}
