/** Reads whole messages of a backend for the gateway's own conversations: login and queries. */
import { type Backend, decodeBackend } from '../wire/backend.ts';
import { backendRules, Framer } from '../wire/framer.ts';
import type { ByteChannel } from './channel.ts';
import { connectionLost } from './errors.ts';
import { BACKEND_LIMITS } from './limits.ts';

const RULES = backendRules(
	{
		DataRow: BACKEND_LIMITS.queryRowBytesMax,
		CopyData: BACKEND_LIMITS.queryRowBytesMax,
		FunctionCallResponse: BACKEND_LIMITS.queryRowBytesMax,
	},
	['DataRow', 'CopyData', 'FunctionCallResponse'],
);

/** How the bytes of one whole message (type, length, body) are read. */
interface Reading<M, T> {
	/** Throws for a malformed message: the connection cannot be trusted any more then. */
	readonly decode: (bytes: Buffer) => M;
	/** Undefined: the conversation goes on. */
	readonly handle: (message: M) => T | undefined;
}

/**
 * Gives each message to `handle` until it answers something; what came after that message stays unread in the channel.
 * A message is only valid during the call. Rejects when the connection ends (08006), when a message is malformed (the
 * channel is destroyed then) and when `handle` throws (the channel keeps its place after that message).
 */
export function converse<T>(channel: ByteChannel, handle: (message: Backend) => T | undefined): Promise<T> {
	return readMessages(channel, { decode: decodeBackend, handle });
}

/** The same with a decoder of the caller's. No more than one message of a limited size is ever kept. */
export function readMessages<M, T>(channel: ByteChannel, { decode, handle }: Reading<M, T>): Promise<T> {
	return new Promise((resolve, reject) => {
		const framer = new Framer(RULES);
		const next = (): { readonly message: M } | null => {
			try {
				return framer.next() ? { message: decode(framer.buffer.subarray(framer.start, framer.end)) } : null;
			} catch (error) {
				reject(error instanceof Error ? error : new Error(String(error)));
				channel.detach();
				channel.destroy(error as Error);
				return null;
			}
		};
		channel.attach({
			data: (chunk) => {
				framer.push(chunk);
				for (let one = next(); one !== null; one = next()) {
					try {
						const answer = handle(one.message);
						if (answer === undefined) continue;
						resolve(answer);
					} catch (error) {
						reject(error instanceof Error ? error : new Error(String(error)));
					}
					channel.detach(Buffer.from(framer.takeRest()));
					return;
				}
			},
			closed: (error) => reject(connectionLost(error)),
		});
	});
}
