/** Collects bytes for one socket and writes them in as few calls, and with as little copying, as can be. */
import type { Writable } from 'node:stream';

/** Scattered bytes up to this many are copied into one write; more go to the kernel as a vector. */
const joinBytesMax = 32 * 1024;

export class Gather {
	/** Pieces that are complete. */
	#parts: Buffer[] = [];
	#bytes = 0;
	/** The piece that may still grow: what it lies in, and from where to where. */
	#memory: ArrayBufferLike | null = null;
	#start = 0;
	#end = 0;

	get bytes(): number {
		return this.#bytes;
	}

	/** Neighbours in one received chunk go out as one slice of it. */
	add(bytes: Buffer): void {
		this.#bytes += bytes.length;
		if (bytes.buffer === this.#memory && bytes.byteOffset === this.#end) {
			this.#end += bytes.length;
			return;
		}
		this.#complete();
		this.#memory = bytes.buffer;
		this.#start = bytes.byteOffset;
		this.#end = bytes.byteOffset + bytes.length;
	}

	/** False when the socket wants no more for now. */
	writeTo(socket: Pick<Writable, 'write' | 'cork' | 'uncork'>): boolean {
		const bytes = this.#bytes;
		if (bytes === 0) return true;
		this.#complete();
		const parts = this.#parts;
		this.#parts = [];
		this.#bytes = 0;
		if (parts.length === 1) return socket.write(parts[0]);
		if (bytes <= joinBytesMax) return socket.write(Buffer.concat(parts, bytes));
		let room = true;
		socket.cork();
		for (const part of parts) room = socket.write(part);
		socket.uncork();
		return room;
	}

	clear(): void {
		this.#parts = [];
		this.#bytes = 0;
		this.#memory = null;
	}

	#complete(): void {
		if (this.#memory === null) return;
		if (this.#end > this.#start) this.#parts.push(Buffer.from(this.#memory, this.#start, this.#end - this.#start));
		this.#memory = null;
	}
}
