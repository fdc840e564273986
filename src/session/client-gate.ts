/** The way to a client's socket, which can be held: what is written then waits, in order, until the wait is over. */
import type { Socket } from 'node:net';
import type { ClientStream } from './relay.ts';

/** Held bytes up to this many do not hold back whoever produces them. */
const heldBytesMax = 64 * 1024;

interface Hold {
	/** Written before what waits. */
	readonly first: (write: (bytes: Buffer) => void) => void;
	over: boolean;
	readonly parts: Buffer[];
}

export class ClientGate implements ClientStream {
	readonly #socket: Socket;
	readonly #opened: () => void;
	readonly #holds: Hold[] = [];
	#bytes = 0;

	/** `opened`: what waited is written, and the socket takes more. */
	constructor(socket: Socket, opened: () => void) {
		this.#socket = socket;
		this.#opened = opened;
	}

	get held(): boolean {
		return this.#holds.length > 0;
	}

	get writableLength(): number {
		return this.#socket.writableLength + this.#bytes;
	}

	write(bytes: Buffer): boolean {
		const hold = this.#holds.at(-1);
		if (hold === undefined) return this.#socket.write(bytes);
		hold.parts.push(bytes);
		this.#bytes += bytes.length;
		return this.#bytes <= heldBytesMax;
	}

	cork(): void {
		if (!this.held) this.#socket.cork();
	}

	uncork(): void {
		if (!this.held) this.#socket.uncork();
	}

	/** What is written from now on waits for `until`, which must not reject; then `first` may write something before it. */
	hold(until: Promise<void>, first: Hold['first']): void {
		const hold: Hold = { first, over: false, parts: [] };
		this.#holds.push(hold);
		void until.then(() => {
			hold.over = true;
			this.#open();
		});
	}

	/** The session is over: what waited goes out now, and nothing is held any more. */
	end(): void {
		const holds = this.#holds.splice(0);
		for (const { parts } of holds) this.#writeAll(parts);
	}

	#open(): void {
		const before = this.#holds.length;
		for (let hold = this.#holds[0]; hold?.over === true; hold = this.#holds[0]) {
			hold.first((bytes) => this.#socket.write(bytes));
			this.#writeAll(hold.parts);
			this.#holds.shift();
		}
		if (this.#holds.length < before && !this.held && !this.#socket.writableNeedDrain) this.#opened();
	}

	#writeAll(parts: readonly Buffer[]): void {
		for (const part of parts) {
			this.#bytes -= part.length;
			this.#socket.write(part);
		}
	}
}
