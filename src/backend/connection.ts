/** One signed-in connection to a backend: dialled, encrypted, authenticated, checked, then handed over to the relay. */
import type { Socket } from 'node:net';
import type { ScramKeyCache } from '../auth/scram-keys.ts';
import { encodeTerminate } from '../wire/encode.ts';
import type { ByteChannel, ByteSink } from './channel.ts';
import { type Dialled, dial } from './dial.ts';
import { backendFailure } from './errors.ts';
import { BACKEND_LIMITS } from './limits.ts';
import { type LoginResult, login } from './login.ts';
import type { BackendTarget } from './target.ts';

export type { ByteSink } from './channel.ts';

export interface BackendConnection {
	/** TCP or TLS socket, for write, cork, pause and resume. Nobody reads from it directly: see `attach`. */
	readonly socket: Socket;
	readonly target: BackendTarget;
	/** Host and port as configured, for audit: `10.0.0.5:5432`. */
	readonly address: string;
	/** BackendKeyData; 0 and no bytes when the server sent none. */
	readonly pid: number;
	readonly cancelKey: Buffer;
	/** server_version as a number: 180000 for 18.0, 150018 for 15.18. */
	readonly serverVersion: number;
	/** ParameterStatus values in force at the end of the login, by name as sent, in the order sent. */
	readonly parameters: ReadonlyMap<string, string>;
	/** False once the socket has ended, failed or been closed. */
	readonly alive: boolean;
	/** For the gateway's own conversations (see converse.ts). */
	readonly channel: ByteChannel;
	/**
	 * Makes `sink` the only reader. Bytes that came before are given to it during the call; reading goes on from there.
	 * The login ends at ReadyForQuery('I'), so the first bytes that a sink sees begin a message. Throws Error when there
	 * is a reader already.
	 */
	attach(sink: ByteSink): void;
	/** Takes the reader away and stops reading. `rest`: what the reader was given but did not use. */
	detach(rest?: Buffer): void;
	/** Sends Terminate where that still makes sense and closes. Idempotent; resolves when the socket is closed. */
	close(): Promise<void>;
}

export interface ConnectOptions {
	/** On plaintext: read into this buffer, again and again, instead of a new one for each read (`onread` of net.connect). */
	readonly readBuffer?: Buffer | undefined;
	/** Of the account that the target names; without it the keys are worked out for this connection alone. */
	readonly keys?: ScramKeyCache | undefined;
	/** Aborted: the attempt is given up. Of no effect once the connection is made. */
	readonly signal?: AbortSignal | undefined;
}

/**
 * Dials and signs in. `startup` are the startup parameters beside user and database (application_name, options, ...).
 * Throws GatewayError, FATAL: 08001 cannot connect, 08004 the server rejected the gateway's login, 08006 it went away
 * meanwhile, 0A000 a login method, version or setting that the gateway refuses, and what the server itself says (57P03
 * starting up, 53300 no slot, 3D000 no such database, 22023 a startup parameter it refuses). No text holds a secret.
 */
export async function connectBackend(
	target: BackendTarget,
	startup: Readonly<Record<string, string>>,
	options: ConnectOptions = {},
): Promise<BackendConnection> {
	const timeoutMs = target.connectTimeoutMs ?? BACKEND_LIMITS.connectTimeoutMs;
	const attempt = new AbortController();
	const giveUp = (): void => attempt.abort(backendFailure('08001', 'the connection attempt was given up'));
	const timer = setTimeout(() => {
		attempt.abort(backendFailure('08001', `cannot connect to the database server: no answer within ${timeoutMs} ms`));
	}, timeoutMs);
	options.signal?.addEventListener('abort', giveUp, { once: true });
	if (options.signal?.aborted === true) giveUp();
	try {
		const dialled = await dial(target, attempt.signal, options.readBuffer);
		return await signIn(dialled, target, startup, options.keys, attempt.signal);
	} finally {
		clearTimeout(timer);
		options.signal?.removeEventListener('abort', giveUp);
	}
}

async function signIn(
	dialled: Dialled,
	target: BackendTarget,
	startup: Readonly<Record<string, string>>,
	keys: ScramKeyCache | undefined,
	signal: AbortSignal,
): Promise<BackendConnection> {
	try {
		const result = await login(dialled, target, startup, keys);
		return new Connection(dialled.channel, target, result, checkSettings(result.parameters));
	} catch (error) {
		await dialled.channel.close(dialled.channel.alive ? encodeTerminate() : undefined);
		throw signal.aborted ? signal.reason : error;
	}
}

class Connection implements BackendConnection {
	readonly channel: ByteChannel;
	readonly target: BackendTarget;
	readonly address: string;
	readonly pid: number;
	readonly cancelKey: Buffer;
	readonly serverVersion: number;
	readonly parameters: ReadonlyMap<string, string>;

	constructor(channel: ByteChannel, target: BackendTarget, result: LoginResult, serverVersion: number) {
		this.channel = channel;
		this.target = target;
		this.address = target.host.includes(':') ? `[${target.host}]:${target.port}` : `${target.host}:${target.port}`;
		this.pid = result.pid;
		this.cancelKey = result.cancelKey;
		this.parameters = result.parameters;
		this.serverVersion = serverVersion;
	}

	get socket(): Socket {
		return this.channel.socket;
	}

	get alive(): boolean {
		return this.channel.alive;
	}

	attach(sink: ByteSink): void {
		this.channel.attach(sink);
	}

	detach(rest?: Buffer): void {
		this.channel.detach(rest);
	}

	close(): Promise<void> {
		return this.channel.close(encodeTerminate());
	}
}

/**
 * The gateway lexes SQL as a server with these settings does; with others what was authorised might not be what runs.
 * Answers the server's version as a number. Throws GatewayError 0A000.
 */
export function checkSettings(parameters: ReadonlyMap<string, string>): number {
	const version = versionNumber(parameters.get('server_version') ?? '');
	if (version < BACKEND_LIMITS.serverVersionMin) {
		const has = parameters.get('server_version') ?? 'unknown';
		throw backendFailure('0A000', `the database server has version ${has}, and at least 14 is needed`);
	}
	requireSetting(parameters, 'standard_conforming_strings', ['on']);
	requireSetting(parameters, 'server_encoding', ['UTF8', 'SQL_ASCII']);
	requireSetting(parameters, 'client_encoding', ['UTF8', 'SQL_ASCII']);
	return version;
}

function requireSetting(parameters: ReadonlyMap<string, string>, name: string, wanted: readonly string[]): void {
	const value = parameters.get(name);
	if (value !== undefined && wanted.includes(value)) return;
	const has = value === undefined ? 'is not reported' : `is ${value}`;
	throw backendFailure('0A000', `${name} of the database server ${has}, and must be ${wanted.join(' or ')}`);
}

/** `18.1`, `15.18 (Debian 15.18-1)`, `19beta1`: as server_version_num; 0 for what is none. */
function versionNumber(text: string): number {
	const match = /^(\d+)(?:\.(\d+))?/.exec(text);
	return match === null ? 0 : Number(match[1]) * 10_000 + Number(match[2] ?? 0);
}
