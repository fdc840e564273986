/** One signed-in connection to a backend: dialled, encrypted, authenticated, checked, then handed over to the relay. */
import type { Socket } from 'node:net';
import type { BackendTarget } from './target.ts';

/** What reads a backend's bytes at a time. */
export interface ByteSink {
	/**
	 * Bytes as they came. With a `readBuffer` the chunk is only valid during the call (the buffer is used again):
	 * what must outlive it is copied. Hold reading back with `connection.socket.pause()`.
	 */
	data(chunk: Buffer): void;
	/** The connection is over: once, and never before the last `data`. `error` is null for an orderly end. */
	closed(error: Error | null): void;
}

export interface BackendConnection {
	/** TCP or TLS socket, for write, cork, pause and resume. Nobody reads from it directly: see `attach`. */
	readonly socket: Socket;
	readonly target: BackendTarget;
	/** Host and port as dialled, for audit: `10.0.0.5:5432`. */
	readonly address: string;
	/** BackendKeyData. */
	readonly pid: number;
	readonly cancelKey: Buffer;
	/** server_version as a number: 180000 for 18.0, 150018 for 15.18. */
	readonly serverVersion: number;
	/** ParameterStatus values in force at the end of the login, by name as sent, in the order sent. */
	readonly parameters: ReadonlyMap<string, string>;
	/** False once the socket has ended, failed or been closed. */
	readonly alive: boolean;
	/**
	 * Makes `sink` the only reader. Bytes that came before are given to it during the call; reading goes on from there.
	 * The login ends at ReadyForQuery('I'), so the first bytes that a sink sees begin a message.
	 */
	attach(sink: ByteSink): void;
	/** Takes the reader away; bytes that come meanwhile are kept (bounded by the socket's own buffering: reading is paused). */
	detach(): void;
	/** Sends Terminate where that still makes sense and closes. Idempotent; resolves when the socket is closed. */
	close(): Promise<void>;
}

export interface ConnectOptions {
	/** Read into this buffer, again and again, instead of a new one for each read (`onread` of net.connect). */
	readonly readBuffer?: Buffer | undefined;
	readonly signal?: AbortSignal | undefined;
}

/**
 * Dials and signs in. `startup` are the startup parameters beside user and database (application_name, options, ...).
 * Throws GatewayError: 08001 cannot connect, 08004 the server rejected the login, 08006 it went away meanwhile, 57P03 it
 * is starting up or shutting down, 53300 it has no slot, 3D000 no such database there, 0A000 a setting or version that
 * the gateway refuses. No text holds a secret.
 */
export declare function connectBackend(
	target: BackendTarget,
	startup: Readonly<Record<string, string>>,
	options?: ConnectOptions,
): Promise<BackendConnection>;
