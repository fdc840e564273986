/** A socket with one reader at a time, so that a backend can be handed from login to relay to query without losing a byte. */
import type { Socket } from 'node:net';
import { BACKEND_LIMITS } from './limits.ts';

/** What reads a backend's bytes at a time. */
export interface ByteSink {
	/**
	 * Bytes as they came. With a `readBuffer` the chunk is only valid during the call (the buffer is used again), unless `keeps`
	 * says otherwise: what must outlive it is copied. Hold reading back with `socket.pause()`.
	 */
	data(chunk: Buffer): void;
	/** Asked after `data`. True: it still refers to the chunk's memory, so the next bytes are read into other memory. Missing: never. */
	keeps?(): boolean;
	/** The connection is over: once, after the last `data`. `error` is null for an orderly end. */
	closed(error: Error | null): void;
}

export class ByteChannel {
	/** For write, cork, pause and resume; only the channel reads. */
	readonly socket: Socket;
	#sink: ByteSink | null = null;
	/** Bytes that came while nobody read. */
	#unread: Buffer[] = [];
	#closed = false;
	#error: Error | null = null;

	/** `subscribe`: false when the socket was made with an `onread` that calls `receive`. */
	constructor(socket: Socket, subscribe: boolean) {
		this.socket = socket;
		if (subscribe) socket.on('data', (chunk: Buffer) => this.receive(chunk, false));
		socket.on('error', (error) => {
			this.#error ??= error;
		});
		hearOut(socket);
		socket.on('close', () => {
			this.#closed = true;
			const sink = this.#sink;
			this.#sink = null;
			sink?.closed(this.#error);
		});
		socket.pause();
	}

	get alive(): boolean {
		return !this.#closed && !this.socket.destroyed && this.socket.writable;
	}

	/** Makes `sink` the reader: first of what is unread, then of the socket. */
	attach(sink: ByteSink): void {
		if (this.#sink !== null) throw new Error('the channel has a reader already');
		this.#sink = sink;
		while (this.#unread.length > 0 && this.#sink === sink) sink.data(this.#unread.shift() as Buffer);
		if (this.#sink !== sink) return;
		if (this.#closed) {
			this.#sink = null;
			sink.closed(this.#error);
			return;
		}
		if (this.socket.isPaused()) this.socket.resume();
	}

	/**
	 * Takes the reader away. Reading stops with the next bytes, which are kept: most times another reader comes before them, and
	 * to stop and begin again takes as long as half a statement. `rest`: what the reader was given but did not use; not kept by
	 * anyone else.
	 */
	detach(rest?: Buffer): void {
		this.#sink = null;
		if (rest !== undefined && rest.length > 0) this.#unread.unshift(rest);
	}

	/** `reused`: the chunk's memory is read into again after the call, unless the answer is that somebody still refers to it. */
	receive(chunk: Buffer, reused: boolean): boolean {
		const sink = this.#sink;
		if (sink === null) {
			this.#unread.push(reused ? Buffer.from(chunk) : chunk);
			this.socket.pause();
			return false;
		}
		sink.data(chunk);
		return sink.keeps?.() === true;
	}

	/** Writes `last`, ends, and resolves when the socket is closed; cuts it after a while. Idempotent. */
	async close(last?: Buffer): Promise<void> {
		if (this.#closed) return;
		const closed = new Promise<void>((resolve) => {
			this.socket.once('close', () => resolve());
		});
		if (!this.socket.writable) this.socket.destroy();
		else if (last === undefined) this.socket.end();
		else this.socket.end(last);
		// Unread bytes would keep the end of the stream from being seen.
		this.#sink ??= { data: () => undefined, closed: () => undefined };
		this.socket.resume();
		const timer = setTimeout(() => this.socket.destroy(), BACKEND_LIMITS.closeTimeoutMs);
		await closed;
		clearTimeout(timer);
	}

	/** Cuts the connection; the reader's `closed` gets `error`. */
	destroy(error: Error): void {
		this.#error ??= error;
		this.socket.destroy();
	}
}

/**
 * A write fails once the server has closed the connection, and Node would then close the socket at once: what the server said
 * last, and why it left, would stay in the kernel unread. All of it is there by then, so the socket is read until nothing comes.
 */
function hearOut(socket: Socket): void {
	const destroy = socket.destroy.bind(socket);
	let endMs = 0;
	const hear = (before: number, error: Error): void => {
		const { bytesRead, destroyed } = socket;
		if (destroyed) return;
		if (bytesRead === before || performance.now() > endMs) destroy(error);
		// Whoever reads it takes no more for now.
		else if (socket.isPaused()) setTimeout(hear, BACKEND_LIMITS.hearOutEveryMs, -1, error).unref();
		// The first comes in this turn of the event loop, the second when the socket has been looked at in the next one.
		else setImmediate(() => setImmediate(hear, bytesRead, error));
	};
	socket.destroy = (error?: NodeJS.ErrnoException): Socket => {
		if (error?.syscall !== 'write' || socket.destroyed || endMs > 0) return destroy(error);
		endMs = performance.now() + BACKEND_LIMITS.closeTimeoutMs;
		hear(-1, error);
		return socket;
	};
}
