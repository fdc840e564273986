/**
 * Stands before librdkafka's mock broker and adds what that has not: ApiVersions as clients of today ask for it, TLS, SASL,
 * and broken connections where a test wants them. Everything else goes through as it came (kafka.apache.org/protocol).
 */
import { connect, createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type TlsOptions } from 'node:tls';
import { ScramServer, type ScramUser } from './scram.ts';

/** The kinds of requests that the sink makes, by api_key. */
export const apiKeys = Object.freeze({
	Produce: 0,
	Metadata: 3,
	SaslHandshake: 17,
	ApiVersions: 18,
	InitProducerId: 22,
	SaslAuthenticate: 36,
});

/** What the mock of librdkafka 2.12 answers, and what the front does itself: api_key, lowest and highest version. */
const versions: readonly (readonly [number, number, number])[] = [
	[apiKeys.Produce, 0, 10],
	[apiKeys.Metadata, 0, 12],
	[apiKeys.SaslHandshake, 0, 1],
	[apiKeys.ApiVersions, 0, 3],
	[apiKeys.InitProducerId, 0, 4],
	[apiKeys.SaslAuthenticate, 0, 2],
];

/** `lost`: the broker does it, but the connection ends before the answer. `garbage`: an answer that is none. */
export type Treatment = 'pass' | 'lost' | 'garbage';

export interface FrontOptions {
	/** Port of the mock at this moment, on 127.0.0.1. */
	readonly broker: () => number;
	readonly tls?: TlsOptions;
	readonly sasl?: ScramUser & { readonly mechanism: 'PLAIN' | 'SCRAM-SHA-256' | 'SCRAM-SHA-512' };
	/** Asked for each request. */
	readonly treat?: (apiKey: number) => Treatment;
}

export interface Front {
	readonly port: number;
	/** Requests that came, by api_key. */
	readonly seen: Map<number, number>;
	/** Cuts all connections and takes none until `open`. */
	shut(): Promise<void>;
	open(): Promise<void>;
}

/** Gives whole frames, each behind its length. */
function framer(frame: (bytes: Buffer) => void): (chunk: Buffer) => void {
	let pending = Buffer.alloc(0);
	return (chunk) => {
		pending = Buffer.concat([pending, chunk]);
		while (pending.length >= 4 && pending.length >= 4 + pending.readInt32BE(0)) {
			const end = 4 + pending.readInt32BE(0);
			frame(pending.subarray(0, end));
			pending = pending.subarray(end);
		}
	};
}

const int16 = (value: number) => Buffer.from([(value >> 8) & 0xff, value & 0xff]);
const int32 = (value: number) => Buffer.from([value >>> 24, (value >> 16) & 0xff, (value >> 8) & 0xff, value & 0xff]);
const string = (text: string) => Buffer.concat([int16(text.length), Buffer.from(text)]);
/** Behind a varint of its length and one; of two bytes always, which holds for up to 16,382. */
const compact = (text: string) =>
	Buffer.concat([Buffer.from([((text.length + 1) & 0x7f) | 0x80, (text.length + 1) >> 7]), Buffer.from(text)]);

/** One connection of a client. */
class Passage {
	readonly #client: Socket;
	readonly #options: FrontOptions;
	readonly #front: Front;
	readonly #upstream: Socket;
	/** api_key of requests on their way, by correlation_id. */
	readonly #asked = new Map<number, { readonly apiKey: number; readonly treatment: Treatment }>();
	#signedIn: boolean;
	#scram: ScramServer | null = null;

	constructor(client: Socket, options: FrontOptions, front: Front) {
		this.#client = client;
		this.#options = options;
		this.#front = front;
		this.#signedIn = options.sasl === undefined;
		this.#upstream = connect(options.broker(), '127.0.0.1');
		const end = () => {
			client.destroy();
			this.#upstream.destroy();
		};
		for (const socket of [client, this.#upstream]) socket.on('error', end).on('close', end);
		client.on(
			'data',
			framer((bytes) => this.#request(bytes)),
		);
		this.#upstream.on(
			'data',
			framer((bytes) => this.#response(bytes)),
		);
	}

	#request(bytes: Buffer): void {
		const [apiKey, version, correlation] = [bytes.readInt16BE(4), bytes.readInt16BE(6), bytes.readInt32BE(8)];
		const { seen } = this.#front;
		seen.set(apiKey, (seen.get(apiKey) ?? 0) + 1);
		const treatment = this.#options.treat?.(apiKey) ?? 'pass';
		const body = bytes.subarray(14 + Math.max(0, bytes.readInt16BE(12)));
		if (treatment === 'garbage') this.#answer(correlation, [Buffer.from([0, 0])]);
		else if (apiKey === apiKeys.ApiVersions) this.#apiVersions(correlation, version);
		else if (apiKey === apiKeys.SaslHandshake) this.#handshake(correlation, body);
		else if (apiKey === apiKeys.SaslAuthenticate) this.#authenticate(correlation, body);
		else if (!this.#signedIn) this.#client.destroy();
		else {
			this.#asked.set(correlation, { apiKey, treatment });
			this.#upstream.write(bytes);
		}
	}

	#response(bytes: Buffer): void {
		const asked = this.#asked.get(bytes.readInt32BE(4));
		this.#asked.delete(bytes.readInt32BE(4));
		if (asked?.treatment === 'lost') {
			this.#client.destroy();
			return;
		}
		if (asked?.apiKey === apiKeys.Metadata) {
			// The client shall come back by this way, and by a name that can stand in a certificate: it is as long.
			const host = bytes.indexOf('127.0.0.1');
			if (host >= 0) bytes.writeInt32BE(this.#front.port, host + bytes.write('localhost', host));
		}
		this.#client.write(bytes);
	}

	#answer(correlation: number, parts: readonly Buffer[]): void {
		const body = Buffer.concat([int32(correlation), ...parts]);
		this.#client.write(Buffer.concat([int32(body.length), body]));
	}

	#apiVersions(correlation: number, version: number): void {
		const flexible = version >= 3;
		const tags = flexible ? [Buffer.from([0])] : [];
		const rows = versions.flatMap((row) => [...row.map(int16), ...tags]);
		const count = flexible ? Buffer.from([versions.length + 1]) : int32(versions.length);
		this.#answer(correlation, [int16(0), count, ...rows, ...(version >= 1 ? [int32(0)] : []), ...tags]);
	}

	#handshake(correlation: number, body: Buffer): void {
		const { sasl } = this.#options;
		const asked = body.toString('utf8', 2, 2 + body.readInt16BE(0));
		if (sasl !== undefined && asked.startsWith('SCRAM-'))
			this.#scram = new ScramServer(asked.endsWith('256') ? 'sha256' : 'sha512', sasl);
		const fits = sasl?.mechanism === asked;
		// 33: UNSUPPORTED_SASL_MECHANISM
		this.#answer(correlation, [int16(fits ? 0 : 33), int32(1), string(sasl?.mechanism ?? 'NONE')]);
	}

	#authenticate(correlation: number, body: Buffer): void {
		const { sasl } = this.#options;
		// Behind the tags of the header: compact bytes.
		const [low = 0, high = 0] = body.subarray(1);
		const long = low > 0x7f;
		const length = (long ? (low & 0x7f) | (high << 7) : low) - 1;
		const message = body.toString('utf8', long ? 3 : 2, (long ? 3 : 2) + length);
		let answer: string | null;
		if (this.#scram !== null) answer = this.#scram.answer(message);
		else answer = message === `\0${sasl?.user}\0${sasl?.password}` ? '' : null;
		this.#signedIn ||= answer !== null && (this.#scram === null || answer.startsWith('v='));
		const [error, why] = answer === null ? [58, compact('wrong password')] : [0, Buffer.from([0])];
		const noTags = Buffer.from([0]);
		this.#answer(correlation, [noTags, int16(error), why, compact(answer ?? ''), Buffer.alloc(8), noTags]);
	}
}

/** Listens on a free port of 127.0.0.1. */
export async function startFront(options: FrontOptions): Promise<Front> {
	const sockets = new Set<Socket>();
	let server: Server | null = null;
	const listen = async (port: number): Promise<number> => {
		const accept = (socket: Socket) => {
			sockets.add(socket.on('close', () => sockets.delete(socket)));
			new Passage(socket, options, front);
		};
		const opened = options.tls === undefined ? createServer(accept) : createTlsServer(options.tls, accept);
		// A client that does not trust the certificate.
		opened.on('tlsClientError', () => {});
		await new Promise<void>((resolve, reject) => opened.once('error', reject).listen(port, '127.0.0.1', resolve));
		server = opened;
		const address = opened.address();
		return typeof address === 'object' && address !== null ? address.port : 0;
	};
	const front = {
		port: 0,
		seen: new Map<number, number>(),
		shut: async () => {
			const closing = server;
			server = null;
			for (const socket of sockets) socket.destroy();
			await new Promise<void>((resolve) => (closing === null ? resolve() : closing.close(() => resolve())));
		},
		open: async () => {
			await listen(front.port);
		},
	};
	front.port = await listen(0);
	return front;
}
