/** Collects bytes for one socket and writes them in as few calls, and with as little copying, as can be. */
import type { Writable } from 'node:stream';

/** Scattered bytes up to this many are copied into one write; more go to the kernel as a vector. */
const joinBytesMax = 32 * 1024;

export class Gather {
	#parts: Buffer[] = [];
	#bytes = 0;

	get bytes(): number {
		return this.#bytes;
	}

	/** Neighbours in one received chunk go out as one slice of it. */
	add(bytes: Buffer): void {
		const parts = this.#parts;
		this.#bytes += bytes.length;
		const last = parts[parts.length - 1];
		if (last !== undefined && last.buffer === bytes.buffer && last.byteOffset + last.length === bytes.byteOffset) {
			parts[parts.length - 1] = Buffer.from(last.buffer, last.byteOffset, last.length + bytes.length);
		} else parts.push(bytes);
	}

	/** False when the socket wants no more for now. */
	writeTo(socket: Pick<Writable, 'write' | 'cork' | 'uncork'>): boolean {
		const parts = this.#parts;
		const bytes = this.#bytes;
		if (parts.length === 0) return true;
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
	}
}
