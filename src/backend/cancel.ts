/** Cancel keys that the gateway gives to its clients, and the way from such a key to the backend that works for them. */
import { randomBytes as systemRandomBytes, timingSafeEqual } from 'node:crypto';
import { encodeCancelRequest } from '../wire/encode.ts';
import type { BackendConnection } from './connection.ts';
import { dial } from './dial.ts';
import { BACKEND_LIMITS } from './limits.ts';
import type { BackendTarget } from './target.ts';

/** A client's cancel key as registered. `pid` and `key` are what BackendKeyData tells the client. */
export interface CancelHandle {
	readonly pid: number;
	readonly key: Buffer;
	/** The backend that works for this client now; null: nothing to cancel. */
	point(connection: BackendConnection | null): void;
	/** Of the cancel requests to that backend: resolves when they are dealt with; false: one may still take effect. Null: there was none. */
	readonly cancelled: Promise<boolean> | null;
	/** Forgets the key. */
	release(): void;
}

/**
 * Sends one CancelRequest and waits for the server to close. False: it did not do so in time, and may cancel something later. Rejects
 * with GatewayError 08001 where nothing was sent.
 */
export type SendCancel = (target: BackendTarget, pid: number, key: Buffer) => Promise<boolean>;

/** A cancel under way to that backend: another one for the same client joins it. */
interface Sending {
	readonly connection: BackendConnection;
	/** Never rejects. */
	readonly done: Promise<boolean>;
}

interface Entry {
	readonly key: Buffer;
	connection: BackendConnection | null;
	sending: Sending | null;
	cancelled: Promise<boolean> | null;
}

export class CancelRegistry {
	/** By pid; backends of several servers may share one. */
	readonly #entries = new Map<number, Entry[]>();
	readonly #send: SendCancel;
	readonly #randomBytes: (bytes: number) => Buffer;

	constructor(options: { readonly send?: SendCancel; readonly randomBytes?: (bytes: number) => Buffer } = {}) {
		this.#send = options.send ?? sendCancel;
		this.#randomBytes = options.randomBytes ?? systemRandomBytes;
	}

	/** `keyBytes`: 4 for protocol 3.0, 32 for 3.2. `pid`: the backend's own in session mode. */
	register(pid: number, keyBytes: 4 | 32): CancelHandle {
		const entry: Entry = { key: this.#randomBytes(keyBytes), connection: null, sending: null, cancelled: null };
		const siblings = this.#entries.get(pid);
		if (siblings === undefined) this.#entries.set(pid, [entry]);
		else siblings.push(entry);
		return {
			pid,
			key: entry.key,
			point: (connection) => {
				entry.connection = connection;
				entry.cancelled = null;
			},
			get cancelled() {
				return entry.cancelled;
			},
			release: () => this.#forget(pid, entry),
		};
	}

	/**
	 * Sends a CancelRequest to the backend of that client. True when the key was known; the client is never told.
	 * Resolves when the backend has closed the cancel connection or its deadline has passed; never rejects.
	 */
	async cancel(pid: number, key: Buffer): Promise<boolean> {
		let found: Entry | undefined;
		for (const entry of this.#entries.get(pid) ?? []) {
			if (entry.key.length === key.length && timingSafeEqual(entry.key, key)) found = entry;
		}
		if (found === undefined) return false;
		const { connection } = found;
		if (connection === null || !connection.alive) return true;
		if (found.sending?.connection !== connection) this.#begin(found, connection);
		await found.sending?.done;
		return true;
	}

	#begin(entry: Entry, connection: BackendConnection): void {
		const { target, pid, cancelKey } = connection;
		// As in PostgreSQL the one who asks learns nothing; a cancel that got lost shows as a statement that goes on.
		const done = this.#send(target, pid, cancelKey).catch(() => true);
		const sending: Sending = { connection, done };
		entry.sending = sending;
		const before = entry.cancelled;
		entry.cancelled = before === null ? done : Promise.all([before, done]).then((all) => all.every(Boolean));
		void done.then(() => {
			if (entry.sending === sending) entry.sending = null;
		});
	}

	#forget(pid: number, entry: Entry): void {
		entry.connection = null;
		const siblings = this.#entries.get(pid);
		if (siblings === undefined) return;
		const left = siblings.filter((other) => other !== entry);
		if (left.length === 0) this.#entries.delete(pid);
		else this.#entries.set(pid, left);
	}
}

/** With the same encryption as the target's connections: the key is a secret. */
async function sendCancel(target: BackendTarget, pid: number, key: Buffer): Promise<boolean> {
	const signal = AbortSignal.timeout(BACKEND_LIMITS.cancelTimeoutMs);
	const { channel } = await dial(target, signal);
	return new Promise<boolean>((resolve) => {
		channel.attach({ data: () => undefined, closed: () => resolve(!signal.aborted) });
		channel.socket.write(encodeCancelRequest(pid, key));
	});
}
