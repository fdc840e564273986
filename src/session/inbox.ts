/** Reads a client's packets one at a time until it is signed in: startup packets, then `p` messages. */
import type { Socket } from 'node:net';
import { frontendCodes } from '../wire/codes.ts';
import { protocolViolation } from '../wire/errors.ts';
import { frontendLengthMax } from '../wire/limits.ts';

/** The client went away, by Terminate or by closing: nobody is left to be told anything. */
export class ClientGone extends Error {
	constructor() {
		super('the client left');
		this.name = 'ClientGone';
	}
}

/** A packet, and what came behind it. */
export interface Taken<T> {
	readonly value: T;
	readonly rest: Buffer;
}

/** What a client may say while its login waits for a person: more than any does, little enough to be kept. */
const waitingBytesMax = 64 * 1024;

const nothing: Buffer = Buffer.alloc(0);

/** Never holds more than one packet and one chunk: the socket is only read while somebody waits. */
export class Inbox {
	readonly socket: Socket;
	#received = nothing;
	#wake: (() => void) | null = null;
	#gone = false;
	readonly #onData = (chunk: Buffer): void => {
		this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
		this.socket.pause();
		this.#wake?.();
	};
	readonly #onGone = (): void => {
		this.#gone = true;
		this.#wake?.();
	};

	constructor(socket: Socket) {
		this.socket = socket;
		socket.on('data', this.#onData);
		socket.on('end', this.#onGone);
		socket.on('close', this.#onGone);
		socket.on('error', this.#onGone);
		socket.pause();
	}

	/** The first value that `read` makes of what came; null asks for more bytes. Rejects with ClientGone, or what `read` throws. */
	async take<T>(read: (received: Buffer) => Taken<T> | null): Promise<T> {
		for (;;) {
			const taken = this.#received.length === 0 ? null : read(this.#received);
			if (taken !== null) {
				this.#received = taken.rest;
				return taken.value;
			}
			if (this.#gone) throw new ClientGone();
			await new Promise<void>((resolve) => {
				this.#wake = resolve;
				this.socket.resume();
			});
			this.#wake = null;
		}
	}

	/**
	 * Listens while the login waits for something else than the client: rejects with ClientGone when it leaves, FATAL 08P01
	 * when it says more than `waitingBytesMax` meanwhile. What it said is there to be taken afterwards. Never resolves.
	 */
	async left(): Promise<never> {
		for (;;) {
			if (this.#gone || this.#received[0] === frontendCodes.Terminate) throw new ClientGone();
			if (this.#received.length > waitingBytesMax)
				throw protocolViolation('too much was sent before the sign-in was through');
			await new Promise<void>((resolve) => {
				this.#wake = resolve;
				this.socket.resume();
			});
			this.#wake = null;
		}
	}

	/** Whether the other side has closed its end by now, however long ago it said the rest. */
	async hasLeft(): Promise<boolean> {
		this.socket.resume();
		// What has arrived is read in the next turn of the event loop, and told in the one after.
		for (let turn = 0; turn < 3 && !this.#gone; turn += 1) await new Promise((resolve) => setImmediate(resolve));
		this.socket.pause();
		return this.#gone;
	}

	/** The body of the next `p` message. Raises 08P01 FATAL for any other. */
	password(): Promise<Buffer> {
		return this.take(readPassword);
	}

	/** True when something came that was not taken. */
	get hasRest(): boolean {
		return this.#received.length > 0;
	}

	/** Stops reading and hands over what was not taken. The socket is paused. */
	detach(): Buffer {
		this.socket.pause();
		this.socket.off('data', this.#onData);
		this.socket.off('end', this.#onGone);
		this.socket.off('close', this.#onGone);
		this.socket.off('error', this.#onGone);
		const rest = this.#received;
		this.#received = nothing;
		return rest;
	}
}

function readPassword(received: Buffer): Taken<Buffer> | null {
	const type = received[0];
	if (type === frontendCodes.Terminate) throw new ClientGone();
	if (type !== frontendCodes.Password) throw protocolViolation(`expected password response, got message type ${type}`);
	if (received.length < 5) return null;
	const length = received.readInt32BE(1);
	if (length < 4 || length > frontendLengthMax.Password) throw protocolViolation('invalid length of password response');
	if (received.length < length + 1) return null;
	return { value: received.subarray(5, length + 1), rest: received.subarray(length + 1) };
}
