/** Cancel keys that the gateway gives to its clients, and the way from such a key to the backend that works for them. */
import type { BackendConnection } from './connection.ts';

/** A client's cancel key as registered. `pid` and `key` are what BackendKeyData tells the client. */
export interface CancelHandle {
	readonly pid: number;
	readonly key: Buffer;
	/** The backend that works for this client now; null: nothing to cancel. */
	point(connection: BackendConnection | null): void;
	/** Forgets the key. */
	release(): void;
}

export interface CancelRegistry {
	/** `keyBytes`: 4 for protocol 3.0, 32 for 3.2. `pid`: the backend's own in session mode. */
	register(pid: number, keyBytes: 4 | 32): CancelHandle;
	/**
	 * Sends a CancelRequest to the backend of that client. True when the key was known; the client is never told.
	 * Resolves when the backend has closed the cancel connection (or its deadline has passed); never rejects.
	 */
	cancel(pid: number, key: Buffer): Promise<boolean>;
}
