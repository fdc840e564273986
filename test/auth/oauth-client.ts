/** An OAUTHBEARER client in the exact message flow of libpq 18 (fe-auth-oauth.c): asks where to get a token, then brings it. */
import { connect, type Socket } from 'node:net';
import { type Backend, decodeBackend } from '../../src/wire/backend.ts';
import { protocolVersions } from '../../src/wire/codes.ts';
import { encodeFrontend, encodeStartupMessage } from '../../src/wire/encode.ts';
import { backendRules, Framer } from '../../src/wire/framer.ts';

/** RFC 7628, section 3.2.2. */
export interface BearerFailure {
	readonly status: string;
	readonly 'openid-configuration': string;
	readonly scope: string;
}

export interface BearerAttempt {
	/** Types of the server's messages, in order. */
	readonly seen: readonly string[];
	readonly failure: BearerFailure | null;
	/** SQLSTATE and message of the ErrorResponse. */
	readonly error: string | null;
	readonly signedIn: boolean;
}

/** What libpq does from first to last: an attempt without a token, and with what that told, one with it. */
export async function signIn(
	port: number,
	user: string,
	getToken: (failure: BearerFailure) => Promise<string>,
	options?: string,
): Promise<readonly BearerAttempt[]> {
	const more = options === undefined ? {} : { options };
	const first = await attempt(port, user, null, more);
	if (first.failure === null) return [first];
	return [first, await attempt(port, user, await getToken(first.failure), more)];
}

export interface AttemptOptions {
	/** Replaces client-initial-response. */
	readonly initial?: string;
	/** Replaces the answer to a failure. */
	readonly acknowledgement?: string;
	/** Startup parameter `options`. */
	readonly options?: string;
}

/** One connection. `token` null: the attempt that only asks. */
export async function attempt(
	port: number,
	user: string,
	token: string | null,
	more: AttemptOptions = {},
): Promise<BearerAttempt> {
	const auth = token === null ? '' : `Bearer ${token}`;
	const { initial = `n,,\u0001auth=${auth}\u0001\u0001`, acknowledgement = '\u0001', options } = more;
	const socket = connect(port, '127.0.0.1');
	const messages = receive(socket);
	socket.write(
		encodeStartupMessage(
			protocolVersions.v3_2,
			Object.entries({ user, database: 'shop', ...(options === undefined ? {} : { options }) }),
		),
	);
	const seen: string[] = [];
	let failure: BearerFailure | null = null;
	let error: string | null = null;
	for await (const message of messages) {
		seen.push(message.type);
		if (message.type === 'AuthenticationSASL') {
			if (!message.mechanisms.includes('OAUTHBEARER')) throw new Error('OAUTHBEARER is not offered');
			socket.write(encodeFrontend({ type: 'Password', body: initialResponse(initial) }));
		}
		if (message.type === 'AuthenticationSASLContinue') {
			failure = JSON.parse(message.data.toString()) as BearerFailure;
			socket.write(encodeFrontend({ type: 'Password', body: Buffer.from(acknowledgement) }));
		}
		if (message.type === 'ErrorResponse') error = `${message.fields.get('C')} ${message.fields.get('M')}`;
		if (message.type === 'ReadyForQuery') break;
	}
	socket.destroy();
	return { seen, failure, error, signedIn: seen.at(-1) === 'ReadyForQuery' };
}

function initialResponse(text: string): Buffer {
	const length = Buffer.alloc(4);
	length.writeInt32BE(Buffer.byteLength(text));
	return Buffer.concat([Buffer.from('OAUTHBEARER\0'), length, Buffer.from(text)]);
}

async function* receive(socket: Socket): AsyncGenerator<Backend> {
	const framer = new Framer(backendRules());
	for await (const chunk of socket) {
		framer.push(chunk as Buffer);
		while (framer.next()) yield decodeBackend(Buffer.from(framer.buffer.subarray(framer.start, framer.end)));
	}
}
