/** Runs the gateway's own statements (catalogue, pool) on a backend connection that no client is using, in pg-protocol's words. */
import { serialize } from 'pg-protocol';
import type { GatewayError } from '../errors.ts';
import { type BackendConnection, connectBackend } from './connection.ts';
import { readMessages } from './converse.ts';
import { backendFailure, connectionLost, serverError } from './errors.ts';
import { BACKEND_LIMITS } from './limits.ts';
import { type PgMessage, PgReader } from './pg-reader.ts';
import type { BackendTarget } from './target.ts';

export type Rows = (string | null)[][];

/**
 * Runs SQL text by the simple protocol: the rows of the last statement that returned any, in text, null for SQL NULL.
 * One at a time, and only while no other reader is attached. Throws GatewayError with the server's SQLSTATE (the
 * connection is usable then), 08006 when the connection is gone, 08P01 for an answer that is malformed and 54000 for one
 * of more than `bytesMax` (the connection is closed then).
 */
export async function query(
	connection: BackendConnection,
	sql: string,
	bytesMax: number = BACKEND_LIMITS.queryBytesMax,
): Promise<Rows> {
	if (!connection.alive) throw connectionLost(null);
	// pg-protocol would write it as it is, and the server would take what follows for a message.
	if (sql.includes('\0')) throw new Error('a statement of the gateway holds a zero byte');
	const result = new QueryResult(connection, bytesMax);
	const reader = new PgReader();
	connection.socket.write(serialize.query(sql));
	await readMessages(connection.channel, {
		decode: (bytes) => reader.read(bytes),
		handle: (message) => result.take(message),
	});
	if (result.error !== null) throw result.error;
	return result.rows;
}

class QueryResult {
	rows: Rows = [];
	error: GatewayError | null = null;
	readonly #connection: BackendConnection;
	readonly #bytesMax: number;
	#bytes = 0;

	constructor(connection: BackendConnection, bytesMax: number) {
		this.#connection = connection;
		this.#bytesMax = bytesMax;
	}

	/** True at the end of the answer. */
	take(message: PgMessage): true | undefined {
		switch (message.name) {
			case 'rowDescription':
				this.rows = [];
				return undefined;
			case 'dataRow':
				this.#count(message.length);
				this.rows.push(message.fields);
				return undefined;
			case 'error':
				this.error = serverError(message.fields);
				return undefined;
			case 'copyInResponse':
				this.#connection.socket.write(serialize.copyFail('not supported by the gateway'));
				return undefined;
			case 'readyForQuery':
				return true;
			case 'other':
				return undefined;
		}
	}

	#count(bytes: number): void {
		this.#bytes += bytes;
		if (this.#bytes <= this.#bytesMax) return;
		const error = backendFailure('54000', `the answer is longer than ${this.#bytesMax} bytes`);
		this.#connection.channel.destroy(error);
		throw error;
	}
}

/** A connection for queries of the gateway's own, as the catalogue wants one. */
export interface QuerySession {
	/** Queries run one after the other, in the order of the calls. */
	query(sql: string): Promise<Rows>;
	/** Ends the connection, also in the middle of a query (which rejects then). Never rejects. */
	close(): Promise<void>;
}

/** Dials and signs in; throws what `connectBackend` throws. `connect`: stands in for it where there are several hosts. */
export async function openQuerySession(
	target: BackendTarget,
	startup: Readonly<Record<string, string>> = {},
	signal?: AbortSignal,
	connect: typeof connectBackend = connectBackend,
): Promise<QuerySession> {
	const settings = { application_name: 'portcullis', client_encoding: 'UTF8', ...startup };
	const connection = await connect(target, settings, { signal });
	let last: Promise<unknown> = Promise.resolve();
	return {
		query: (sql) => {
			const mine = last.then(() => query(connection, sql));
			last = mine.catch(() => undefined);
			return mine;
		},
		close: () => connection.close(),
	};
}
