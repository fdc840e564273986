/** A client of the wire protocol that keeps every byte it receives, for tests that look for secrets in all of them. */
import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { continueScram, finishScram, type ScramClientFinal, startScram } from '../../src/auth/scram-client.ts';
import { type Backend, decodeBackend, type ErrorResponse } from '../../src/wire/backend.ts';
import { protocolVersions } from '../../src/wire/codes.ts';
import {
	encodeBind,
	encodeDescribe,
	encodeExecute,
	encodeFrontend,
	encodeParse,
	encodeQuery,
	encodeStartupMessage,
	encodeSync,
	encodeTerminate,
} from '../../src/wire/encode.ts';
import type { PortalName, StatementName } from '../../src/wire/frontend.ts';

/** Where to sign in and as whom. */
export interface Target {
	readonly host: string;
	readonly port: number;
	readonly user: string;
	readonly password: string;
	readonly database: string;
}

/** How a statement is sent: a Query, or Parse/Bind/Describe/Execute/Sync with results as text or in binary. */
export type Protocol = 'simple' | 'extended' | 'binary';

/** A value of a Bind: text, bytes as they are in format `binary`, or NULL. */
export type Param = string | null | { readonly binary: Buffer };

export interface StatementOptions {
	readonly protocol?: Protocol;
	readonly params?: readonly Param[];
	readonly paramTypes?: readonly number[];
	/** What is sent when the server asks for COPY data; none is a CopyFail. */
	readonly copyIn?: string | Buffer;
}

/** How long a test waits for an answer before it calls the other side stuck. */
const ANSWER_TIMEOUT_MS = 60_000;

/** The connection ended while an answer was awaited. */
export class ConnectionEnded extends Error {
	override readonly name = 'ConnectionEnded';
}

export class RawClient {
	/** Messages in the order that they came, since the last `forget`. */
	messages: Backend[] = [];
	/** Everything received since then, first packets included. */
	received: Buffer[] = [];
	readonly #socket: Socket;
	#rest: Buffer = Buffer.alloc(0);
	#closed = false;
	#broken: Error | null = null;
	#waiting: (() => void) | null = null;
	#waited = 0;

	private constructor(socket: Socket) {
		this.#socket = socket;
		socket.on('data', (chunk: Buffer) => this.#take(chunk));
		socket.on('error', () => this.#end());
		socket.on('close', () => this.#end());
	}

	/** Connects and sends nothing. */
	static async open(host: string, port: number): Promise<RawClient> {
		const socket = connect({ host, port, noDelay: true });
		await new Promise<void>((resolve, reject) => {
			socket.once('connect', resolve);
			socket.once('error', reject);
		});
		return new RawClient(socket);
	}

	/** Connects and signs in by SCRAM; `params` are added to the startup packet. Throws what the server said when it refuses. */
	static async login(target: Target, params: Readonly<Record<string, string>> = {}): Promise<RawClient> {
		const client = await RawClient.open(target.host, target.port);
		try {
			await client.signIn(target, params);
		} catch (error) {
			client.destroy();
			throw error;
		}
		return client;
	}

	/** Startup to the first ReadyForQuery. Leaves the messages of it in `messages`. */
	async signIn(target: Target, params: Readonly<Record<string, string>> = {}): Promise<void> {
		const names = { user: target.user, database: target.database, ...params };
		this.send(encodeStartupMessage(protocolVersions.v3_0, Object.entries(names)));
		const start = startScram({
			offered: ['SCRAM-SHA-256'],
			tls: false,
			serverCertHash: null,
			nonce: randomBytes(18).toString('base64'),
		});
		let final: ScramClientFinal | null = null;
		for (;;) {
			const message = await this.next();
			switch (message.type) {
				case 'AuthenticationSASL': {
					const length = Buffer.alloc(4);
					length.writeInt32BE(Buffer.byteLength(start.message));
					const first = Buffer.concat([Buffer.from(`${start.mechanism}\0`), length, Buffer.from(start.message)]);
					this.send(encodeFrontend({ type: 'Password', body: first }));
					break;
				}
				case 'AuthenticationCleartextPassword':
					this.send(encodeFrontend({ type: 'Password', body: Buffer.from(`${target.password}\0`) }));
					break;
				case 'AuthenticationSASLContinue':
					final = await continueScram(start, target.password, message.data.toString());
					this.send(encodeFrontend({ type: 'Password', body: Buffer.from(final.message) }));
					break;
				case 'AuthenticationSASLFinal':
					if (final === null) throw new Error('AuthenticationSASLFinal out of order');
					finishScram(final, message.data.toString());
					break;
				case 'ErrorResponse':
					throw new ServerError(message);
				case 'ReadyForQuery':
					return;
				default:
					break;
			}
		}
	}

	get closed(): boolean {
		return this.#closed;
	}

	/** Writes bytes as they are. */
	send(...bytes: readonly Buffer[]): void {
		if (!this.#closed) this.#socket.write(Buffer.concat(bytes));
	}

	/** The next message; throws ConnectionEnded when there is none to come, and after ten seconds of silence. */
	async next(): Promise<Backend> {
		await this.#until(() => this.messages.length > this.#waited);
		const message = this.messages[this.#waited];
		this.#waited += 1;
		if (message === undefined) throw new ConnectionEnded('connection ended');
		return message;
	}

	/** Waits for `count` messages of a type (from now on), or the end of the connection. Answers whether it still stands. */
	async waitFor(type: Backend['type'], count = 1): Promise<boolean> {
		for (let seen = 0; seen < count; ) {
			let message: Backend;
			try {
				message = await this.next();
			} catch (error) {
				if (error instanceof ConnectionEnded) return false;
				throw error;
			}
			if (message.type === type) seen += 1;
		}
		return true;
	}

	/** Sends one statement and waits for its ReadyForQuery. Answers the messages of it; a closed connection ends them. */
	async run(sql: string, options: StatementOptions = {}): Promise<readonly Backend[]> {
		const from = this.messages.length;
		this.#waited = from;
		const { protocol = 'simple', params = [], paramTypes = [] } = options;
		if (protocol === 'simple') this.send(encodeQuery(sql));
		else {
			this.send(
				encodeParse('' as StatementName, sql, paramTypes),
				encodeBind({
					portal: '' as PortalName,
					statement: '' as StatementName,
					paramFormats: params.map((param) => (param !== null && typeof param === 'object' ? 1 : 0)),
					params: params.map(paramBytes),
					resultFormats: [protocol === 'binary' ? 1 : 0],
				}),
				encodeDescribe({ kind: 'P', name: '' as PortalName }),
				encodeExecute('' as PortalName, 0),
				encodeSync(),
			);
		}
		await this.#answer(options.copyIn, protocol !== 'simple');
		return this.messages.slice(from);
	}

	async #answer(copyIn: string | Buffer | undefined, extended: boolean): Promise<void> {
		for (;;) {
			let message: Backend;
			try {
				message = await this.next();
			} catch (error) {
				if (error instanceof ConnectionEnded) return;
				throw error;
			}
			if (message.type === 'ReadyForQuery') return;
			if (message.type !== 'CopyInResponse') continue;
			if (copyIn === undefined) this.send(encodeFrontend({ type: 'CopyFail', message: 'no data' }));
			else {
				const data = Buffer.from(copyIn);
				this.send(encodeFrontend({ type: 'CopyData', data }), encodeFrontend({ type: 'CopyDone' }));
			}
			// The Sync that was sent with the Execute is ignored while the server waits for COPY data.
			if (extended) this.send(encodeSync());
		}
	}

	/** Resolves when the other side has closed the connection. */
	async waitForEnd(): Promise<void> {
		await this.#until(() => this.#closed);
	}

	/** Begins anew to keep what is received. */
	forget(): void {
		this.messages = [];
		this.received = [];
		this.#waited = 0;
	}

	/** All bytes received so far. */
	bytes(): Buffer {
		return Buffer.concat(this.received);
	}

	/** Says goodbye and waits for the connection to end. */
	async end(): Promise<void> {
		this.send(encodeTerminate());
		this.#socket.end();
		await this.#until(() => this.#closed);
	}

	destroy(): void {
		this.#socket.destroy();
	}

	#take(chunk: Buffer): void {
		this.received.push(chunk);
		let rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
		try {
			while (rest.length >= 5) {
				const total = rest.readInt32BE(1) + 1;
				if (rest.length < total) break;
				this.messages.push(decodeBackend(rest.subarray(0, total)));
				rest = rest.subarray(total);
			}
		} catch (error) {
			// Bytes that are no message (an answer to SSLRequest, an error of protocol 2) stay in `received`.
			this.#broken = error as Error;
			rest = Buffer.alloc(0);
		}
		this.#rest = rest;
		this.#waiting?.();
	}

	#end(): void {
		this.#closed = true;
		this.#waiting?.();
	}

	async #until(ready: () => boolean): Promise<void> {
		if (this.#broken !== null) throw this.#broken;
		if (ready() || this.#closed) return;
		await new Promise<void>((resolve, reject) => {
			const timer = setTimeout(() => {
				this.#waiting = null;
				reject(new Error(`no answer for ${ANSWER_TIMEOUT_MS} ms; the last message was ${this.messages.at(-1)?.type}`));
			}, ANSWER_TIMEOUT_MS);
			this.#waiting = () => {
				if (this.#broken === null && !ready() && !this.#closed) return;
				this.#waiting = null;
				clearTimeout(timer);
				if (this.#broken === null) resolve();
				else reject(this.#broken);
			};
		});
	}
}

/** The server refused the login. */
export class ServerError extends Error {
	override readonly name = 'ServerError';
	readonly sqlstate: string;
	constructor(response: ErrorResponse) {
		super(response.fields.get('M') ?? '');
		this.sqlstate = response.fields.get('C') ?? '';
	}
}

/** SQLSTATEs of the ErrorResponses among messages. */
export function sqlstates(messages: readonly Backend[]): string[] {
	return messages.flatMap((message) => (message.type === 'ErrorResponse' ? [message.fields.get('C') ?? ''] : []));
}

/** Texts of the ErrorResponses among messages, for failure reports. */
export function errorTexts(messages: readonly Backend[]): string[] {
	return messages.flatMap((message) =>
		message.type === 'ErrorResponse' ? [`${message.fields.get('C') ?? ''} ${message.fields.get('M') ?? ''}`] : [],
	);
}

/** Rows of the answers among messages, cells as UTF-8 text. */
export function textRows(messages: readonly Backend[]): (string | null)[][] {
	return messages.flatMap((message) =>
		message.type === 'DataRow' ? [message.values.map((value) => value?.toString('utf8') ?? null)] : [],
	);
}

function paramBytes(param: Param): Buffer | null {
	if (param === null) return null;
	return typeof param === 'string' ? Buffer.from(param) : param.binary;
}
