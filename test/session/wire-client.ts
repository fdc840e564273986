/** A client that speaks raw protocol messages, for conversations that no driver would have. */
import { connect, type Socket } from 'node:net';
import { type Backend, decodeBackend } from '../../src/wire/backend.ts';
import { protocolVersions } from '../../src/wire/codes.ts';
import { encodeFrontend, encodeStartupMessage, type FrontendFields } from '../../src/wire/encode.ts';
import { backendRules, Framer } from '../../src/wire/framer.ts';
import { portalName, statementName } from '../../src/wire/frontend.ts';
import { startScram, continueScram, finishScram } from '../../src/auth/scram-client.ts';

/** Messages that hold everything whole, DataRow and CopyData too. */
const rules = backendRules({}, ['DataRow', 'CopyData', 'FunctionCallResponse']);

export class WireClient {
	readonly socket: Socket;
	readonly #framer = new Framer(rules);
	readonly #received: Backend[] = [];
	#wake: (() => void) | null = null;
	closed = false;
	/** As told at the sign-in. */
	pid = 0;
	key: Buffer = Buffer.alloc(0);
	error: Error | null = null;

	constructor(socket: Socket) {
		this.socket = socket;
		socket.on('data', (chunk: Buffer) => {
			this.#framer.push(chunk);
			while (this.#framer.next()) {
				const { buffer, start, end } = this.#framer;
				this.#received.push(decodeBackend(Buffer.from(buffer.subarray(start, end))));
			}
			this.#wake?.();
		});
		socket.on('error', (error) => {
			this.error = error;
		});
		socket.on('close', () => {
			this.closed = true;
			this.#wake?.();
		});
	}

	/** Connects and signs in; the password is for a server that asks for SCRAM. */
	static async open(options: {
		readonly port: number;
		readonly params?: Readonly<Record<string, string>>;
		readonly password?: string;
		readonly protocol?: number;
	}): Promise<WireClient> {
		const client = new WireClient(connect({ host: '127.0.0.1', port: options.port, noDelay: true }));
		const params = { user: 'someone', database: 'db', ...options.params };
		const protocol = options.protocol ?? protocolVersions.v3_0;
		client.socket.write(encodeStartupMessage(protocol, Object.entries(params)));
		await client.#signIn(options.password ?? '');
		return client;
	}

	send(...messages: FrontendFields[]): void {
		this.socket.write(Buffer.concat(messages.map(encodeFrontend)));
	}

	/** The next message; null at the end of the stream. */
	async next(): Promise<Backend | null> {
		for (;;) {
			const message = this.#received.shift();
			if (message !== undefined) return message;
			if (this.closed) return null;
			await new Promise<void>((resolve) => {
				this.#wake = resolve;
			});
		}
	}

	/** Everything up to the message of that type (it included), or to the end of the stream. */
	async until(type: Backend['type'], times = 1): Promise<Backend[]> {
		const messages: Backend[] = [];
		for (let left = times; ; ) {
			const message = await this.next();
			if (message === null) return messages;
			messages.push(message);
			if (message.type === type) left -= 1;
			if (left === 0) return messages;
		}
	}

	ready(times = 1): Promise<Backend[]> {
		return this.until('ReadyForQuery', times);
	}

	/** Messages up to the end of the stream. */
	async rest(): Promise<Backend[]> {
		const messages: Backend[] = [];
		for (let message = await this.next(); message !== null; message = await this.next()) messages.push(message);
		return messages;
	}

	/** A Query, and everything up to ReadyForQuery. */
	query(sql: string): Promise<Backend[]> {
		this.send({ type: 'Query', sql });
		return this.ready();
	}

	destroy(): void {
		this.socket.destroy();
	}

	async #signIn(password: string): Promise<void> {
		for (;;) {
			const message = await this.next();
			if (message === null) throw this.error ?? new Error('closed during the login');
			if (message.type === 'ErrorResponse') {
				this.destroy();
				throw Object.assign(new Error(message.fields.get('M')), { code: message.fields.get('C') });
			}
			if (message.type === 'AuthenticationSASL') await this.#scram(message.mechanisms, password);
			if (message.type === 'BackendKeyData') [this.pid, this.key] = [message.pid, message.key];
			if (message.type === 'ReadyForQuery') return;
		}
	}

	async #scram(offered: readonly string[], password: string): Promise<void> {
		const start = startScram({ offered, tls: false, serverCertHash: null, nonce: 'abcdefghijklmnopqrstuvwx' });
		const first = Buffer.from(start.message);
		const length = Buffer.alloc(4);
		length.writeInt32BE(first.length);
		const initial = Buffer.concat([Buffer.from(`${start.mechanism}\0`), length, first]);
		this.send({ type: 'Password', body: initial });
		const next = await this.next();
		if (next?.type !== 'AuthenticationSASLContinue') throw new Error('no SASLContinue');
		const final = await continueScram(start, password, next.data.toString());
		this.send({ type: 'Password', body: Buffer.from(final.message) });
		const last = await this.next();
		if (last?.type !== 'AuthenticationSASLFinal') throw new Error('no SASLFinal');
		finishScram(final, last.data.toString());
	}
}

// ---------------------------------------------------------------- short forms of messages

export const Query = (sql: string): FrontendFields => ({ type: 'Query', sql });
export const Parse = (sql: string, name = '', paramTypes: number[] = []): FrontendFields => ({
	type: 'Parse',
	name: statementName(name),
	sql,
	paramTypes,
});
export const Bind = (values: (string | null)[] = [], statement = '', portal = ''): FrontendFields => ({
	type: 'Bind',
	portal: portalName(portal),
	statement: statementName(statement),
	paramFormats: [],
	params: values.map((value) => (value === null ? null : Buffer.from(value))),
	resultFormats: [],
});
export const DescribeStatement = (name = ''): FrontendFields => ({
	type: 'Describe',
	kind: 'S',
	name: statementName(name),
});
export const DescribePortal = (name = ''): FrontendFields => ({ type: 'Describe', kind: 'P', name: portalName(name) });
export const Execute = (maxRows = 0, portal = ''): FrontendFields => ({
	type: 'Execute',
	portal: portalName(portal),
	maxRows,
});
export const CloseStatement = (name = ''): FrontendFields => ({ type: 'Close', kind: 'S', name: statementName(name) });
export const ClosePortal = (name = ''): FrontendFields => ({ type: 'Close', kind: 'P', name: portalName(name) });
export const Sync: FrontendFields = { type: 'Sync' };
export const Flush: FrontendFields = { type: 'Flush' };
export const Terminate: FrontendFields = { type: 'Terminate' };
export const CopyData = (text: string): FrontendFields => ({ type: 'CopyData', data: Buffer.from(text) });
export const CopyDone: FrontendFields = { type: 'CopyDone' };
export const CopyFail = (message: string): FrontendFields => ({ type: 'CopyFail', message });
