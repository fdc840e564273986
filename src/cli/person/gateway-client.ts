/** A client of the gateway as libpq 18 is one by OAUTHBEARER: asks where to get a token, or signs in with one. */
import { once } from 'node:events';
import { connect, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { type Backend, decodeBackend } from '../../wire/backend.ts';
import { protocolVersions } from '../../wire/codes.ts';
import {
	encodeFrontend,
	encodeQuery,
	encodeSSLRequest,
	encodeStartupMessage,
	encodeTerminate,
} from '../../wire/encode.ts';
import { backendRules, Framer } from '../../wire/framer.ts';
import { CommandError } from '../io.ts';

export interface GatewayAddress {
	readonly host: string;
	readonly port: number;
	/** verified: the certificate has to be good for `host`. */
	readonly tls: 'off' | 'verified';
	/** Authorities in PEM in place of those that Node knows. */
	readonly ca?: string | undefined;
}

/** What the gateway says of a token that is missing or not good (RFC 7628, section 3.2.2), as it came. */
export type BearerFailure = Readonly<Record<string, unknown>>;

export type BearerOutcome =
	/** `rows`: of the statement that was asked for. */
	| { readonly type: 'signed-in'; readonly rows: readonly (readonly (string | null)[])[] }
	| { readonly type: 'told'; readonly failure: BearerFailure; readonly error: string }
	/** `words`: of the server's error, or why there is none. */
	| { readonly type: 'refused'; readonly words: string };

export interface BearerLogin {
	readonly user: string;
	readonly database: string;
	/** What the session calls itself. */
	readonly application?: string;
	/** Null asks where to get one. */
	readonly token: string | null;
	/** Run when signed in. */
	readonly sql?: string;
}

const DEADLINE_MS = 10_000;
/** More than any answer has that is looked at here. */
const MESSAGE_BYTES_MAX = 64 * 1024;

/** One connection. Throws CommandError when there is nobody, or no gateway, to talk to. */
export async function bearerLogin(address: GatewayAddress, asked: BearerLogin): Promise<BearerOutcome> {
	const where = `${address.host}:${address.port}`;
	const socket = await reach(address, where);
	const late = setTimeout(() => socket.destroy(new Error(`no answer within ${DEADLINE_MS / 1000} s`)), DEADLINE_MS);
	try {
		return await converse(socket, asked);
	} catch (error) {
		throw new CommandError(`${where}: ${error instanceof Error ? error.message : 'the connection was lost'}`);
	} finally {
		clearTimeout(late);
		socket.destroy();
	}
}

async function converse(
	socket: Socket,
	{ user, database, token, sql, application = 'portcullis' }: BearerLogin,
): Promise<BearerOutcome> {
	const params = { user, database, application_name: application, options: '-c portcullis.login=oauthbearer' };
	socket.write(encodeStartupMessage(protocolVersions.v3_0, Object.entries(params)));
	const rows: (string | null)[][] = [];
	let failure: BearerFailure | null = null;
	let asking = sql;
	for await (const message of receive(socket)) {
		switch (message.type) {
			case 'AuthenticationSASL':
				if (!message.mechanisms.includes('OAUTHBEARER')) return refused('it does not ask for OAUTHBEARER');
				socket.write(encodeFrontend({ type: 'Password', body: initialResponse(token) }));
				break;
			case 'AuthenticationSASLContinue':
				failure = readFailure(message.data);
				socket.write(encodeFrontend({ type: 'Password', body: Buffer.from([1]) }));
				break;
			case 'AuthenticationCleartextPassword':
			case 'AuthenticationMD5Password':
				return refused('it asks for a password');
			case 'ErrorResponse': {
				const error = message.fields.get('M') ?? 'an error without words';
				return failure === null ? refused(error) : { type: 'told', failure, error };
			}
			case 'DataRow':
				rows.push(cells(message.raw));
				break;
			case 'ReadyForQuery':
				if (asking === undefined) {
					socket.end(encodeTerminate());
					return { type: 'signed-in', rows };
				}
				socket.write(encodeQuery(asking));
				asking = undefined;
				break;
			default:
		}
	}
	throw new Error('the connection was closed without an answer');
}

function refused(words: string): BearerOutcome {
	return { type: 'refused', words };
}

/** RFC 7628, section 3.1, as libpq sends it. */
function initialResponse(token: string | null): Buffer {
	const text = Buffer.from(`n,,\u0001auth=${token === null ? '' : `Bearer ${token}`}\u0001\u0001`);
	const length = Buffer.alloc(4);
	length.writeInt32BE(text.length);
	return Buffer.concat([Buffer.from('OAUTHBEARER\0'), length, text]);
}

function readFailure(data: Buffer): BearerFailure {
	const value: unknown = JSON.parse(data.toString());
	if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error('its answer makes no sense');
	return value as BearerFailure;
}

/** Values of a DataRow, as text (protocol, "DataRow"). */
function cells(raw: Buffer): (string | null)[] {
	const values: (string | null)[] = [];
	let at = 7;
	for (let count = raw.readInt16BE(5); count > 0; count -= 1) {
		const length = raw.readInt32BE(at);
		at += 4;
		values.push(length < 0 ? null : raw.toString('utf8', at, at + length));
		at += Math.max(length, 0);
	}
	return values;
}

async function* receive(socket: Socket): AsyncGenerator<Backend> {
	const framer = new Framer(backendRules({ DataRow: MESSAGE_BYTES_MAX }, ['DataRow']));
	for await (const chunk of socket) {
		framer.push(chunk as Buffer);
		while (framer.next()) yield decodeBackend(Buffer.from(framer.buffer.subarray(framer.start, framer.end)));
	}
}

/** Connected, and encrypted where that is asked for. Throws CommandError that says what is the matter. */
async function reach({ host, port, tls, ca }: GatewayAddress, where: string): Promise<Socket> {
	const socket = host.startsWith('/') ? connect(`${host}/.s.PGSQL.${port}`) : connect(port, host);
	socket.setTimeout(DEADLINE_MS, () => socket.destroy(new Error(`no answer within ${DEADLINE_MS / 1000} s`)));
	try {
		await once(socket, 'connect');
		if (tls === 'off') return unlimited(socket);
		socket.write(encodeSSLRequest());
		const [answer] = (await once(socket, 'data')) as [Buffer];
		if (answer.toString('latin1') !== 'S') throw new Error('it does not encrypt its connections');
		socket.pause();
		const named = isIP(host) === 0 ? { servername: host } : {};
		const secured = connectTls({ socket, host, ...named, ...(ca === undefined ? {} : { ca }) });
		await once(secured, 'secureConnect');
		return unlimited(secured);
	} catch (error) {
		socket.destroy();
		throw new CommandError(`${where}: ${wordsOf(error)}`);
	}
}

function unlimited(socket: Socket): Socket {
	socket.setTimeout(0);
	return socket;
}

function wordsOf(error: unknown): string {
	const { code, message } = error as NodeJS.ErrnoException;
	switch (code) {
		case 'ECONNREFUSED':
			return 'nobody listens there: is that the gateway, and is it up?';
		case 'ENOTFOUND':
		case 'EAI_AGAIN':
			return 'no such host is known';
		case 'ECONNRESET':
			return 'it closed the connection: is that the gateway?';
		default:
			return message === '' ? (code ?? 'cannot be reached') : message;
	}
}
