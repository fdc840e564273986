/** The contract of a login: what the session hands to the auth bridge and what it gets back, step by step. Types only. */
import type { GatewayError } from '../errors.ts';
import type { Identity, LoginMethod } from '../stages.ts';
import type { ClientCertificate } from './client-certificate.ts';
import type { Standing } from './standing.ts';

/** How the client's connection is encrypted; null (where this type is used) means plaintext. */
export interface ClientTls {
	/** As Node prints it, e.g. `TLSv1.3`. */
	readonly version: string;
	readonly cipher: string;
	/**
	 * Hash of the certificate that the gateway itself showed (RFC 5929, tls-server-end-point): `serverEndPointHash(der)`.
	 * Missing: SCRAM-SHA-256-PLUS is not offered.
	 */
	readonly serverCertHash?: Buffer | undefined;
	/** What the client showed, trusted or not; missing: nothing. */
	readonly clientCertificate?: ClientCertificate | undefined;
}

/** One login attempt: what is known when the startup packet has been read. */
export interface LoginRequest {
	/** Startup parameter `user`; not empty. */
	readonly user: string;
	/** The database that the client asked for. */
	readonly database: string;
	/** Startup parameter `options` as sent (may hold `-c portcullis.login=...`). */
	readonly options?: string | undefined;
	readonly tls: ClientTls | null;
	/** The peer's IP address. */
	readonly address: string;
	/** Aborted when the client leaves or the login deadline passes: waits and fetches of the exchange end then. */
	readonly signal?: AbortSignal | undefined;
}

/** What a client that failed is told, and what only the operator is told. */
export interface LoginFailure {
	readonly type: 'fail';
	/** Complete messages to send before the ErrorResponse; usually none. */
	readonly messages: readonly Buffer[];
	/** FATAL, short and safe: 28P01, 28000 or 08P01. The session sends it and closes. */
	readonly error: GatewayError;
	/** Exact cause, for log and audit only; holds no password and no token. */
	readonly reason: string;
	/** The way in that was tried; null when it failed before one was chosen. */
	readonly method: LoginMethod | null;
}

export type Step =
	/** Send these, then wait for the next `p` message and give its body to `step`. */
	| { readonly type: 'send'; readonly messages: readonly Buffer[] }
	/** Send these at once, then await `next`, without input from the client (the device flow's wait for approval). */
	| { readonly type: 'wait'; readonly messages: readonly Buffer[]; readonly next: Promise<Step> }
	/**
	 * Signed in. `messages` end with AuthenticationOk unless an earlier step has sent it already; the session never makes
	 * an AuthenticationOk of its own. `standing`: whether it still holds, for the session to ask.
	 */
	| {
			readonly type: 'done';
			readonly messages: readonly Buffer[];
			readonly identity: Identity;
			readonly standing?: Standing;
	  }
	| LoginFailure;

/** One login in progress. Not reusable; after `done` or `fail` it must not be stepped again. */
export interface Exchange {
	/**
	 * `input`: null to start, then the body (without type and length) of each `p` message.
	 * Never throws and never rejects for what a client sends: that is a `fail` step. A fail resolves after a constant delay.
	 */
	step(input: Buffer | null): Step | Promise<Step>;
}
