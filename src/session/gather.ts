/** Collects bytes for one socket and writes them in as few calls, and with as little copying, as can be. */
import type { Writable } from 'node:stream';

/** Scattered bytes up to this many are copied into one write; more go to the kernel as a vector. */
const joinBytesMax = 32 * 1024;

export class Gather {
	/** Pieces before the last one. Empty as a rule: then no array is made that would outlive the write. */
	#parts: Buffer[] = [];
	#bytes = 0;
	/** The piece that may still grow, and the bytes right behind it in the same memory that belong to it. */
	#last: Buffer | null = null;
	#more = 0;

	get bytes(): number {
		return this.#bytes;
	}

	/** Neighbours in one received chunk go out as one slice of it. */
	add(bytes: Buffer): void {
		if (bytes.length === 0) return;
		this.#bytes += bytes.length;
		const last = this.#last;
		if (last !== null) {
			const end = last.byteOffset + last.length + this.#more;
			if (end === bytes.byteOffset && last.buffer === bytes.buffer) {
				this.#more += bytes.length;
				return;
			}
			this.#parts.push(this.#complete(last));
		}
		this.#last = bytes;
	}

	/** False when the socket wants no more for now. */
	writeTo(socket: Pick<Writable, 'write' | 'cork' | 'uncork'>): boolean {
		const bytes = this.#bytes;
		const last = this.#last;
		if (last === null) return true;
		const piece = this.#complete(last);
		this.#bytes = 0;
		this.#last = null;
		const parts = this.#parts;
		if (parts.length === 0) return socket.write(piece);
		this.#parts = [];
		parts.push(piece);
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
		this.#last = null;
		this.#more = 0;
	}

	#complete(last: Buffer): Buffer {
		const more = this.#more;
		this.#more = 0;
		return more === 0 ? last : Buffer.from(last.buffer, last.byteOffset, last.length + more);
	}
}
