/** Runs the gateway's own statements (catalogue, pool) on a backend connection that no client is using. */
import type { GatewayError } from '../errors.ts';
import type { Backend } from '../wire/backend.ts';
import { encodeCopyFail, encodeQuery } from '../wire/encode.ts';
import { type BackendConnection, connectBackend } from './connection.ts';
import { converse } from './converse.ts';
import { backendFailure, connectionLost, serverError } from './errors.ts';
import { BACKEND_LIMITS } from './limits.ts';
import type { BackendTarget } from './target.ts';

export type Rows = (string | null)[][];

/**
 * Runs SQL text by the simple protocol: the rows of the last statement that returned any, in text, null for SQL NULL.
 * One at a time, and only while no other reader is attached. Throws GatewayError with the server's SQLSTATE (the
 * connection is usable then), 08006 when the connection is gone, 54000 for a result that is too large (it is closed).
 */
export async function query(connection: BackendConnection, sql: string): Promise<Rows> {
	if (!connection.alive) throw connectionLost(null);
	const result = new QueryResult(connection);
	connection.socket.write(encodeQuery(sql));
	await converse(connection.channel, (message) => result.take(message));
	if (result.error !== null) throw result.error;
	return result.rows;
}

class QueryResult {
	rows: Rows = [];
	error: GatewayError | null = null;
	readonly #connection: BackendConnection;
	#bytes = 0;

	constructor(connection: BackendConnection) {
		this.#connection = connection;
	}

	/** True at the end of the answer. */
	take(message: Backend): true | undefined {
		switch (message.type) {
			case 'RowDescription':
				this.rows = [];
				return undefined;
			case 'DataRow':
				this.#count(message.raw.length);
				this.rows.push(message.values.map((value) => (value === null ? null : value.toString('utf8'))));
				return undefined;
			case 'ErrorResponse':
				this.error = serverError(message.fields);
				return undefined;
			case 'CopyInResponse':
				this.#connection.socket.write(encodeCopyFail('not supported by the gateway'));
				return undefined;
			case 'ReadyForQuery':
				return true;
			default:
				return undefined;
		}
	}

	#count(bytes: number): void {
		this.#bytes += bytes;
		if (this.#bytes <= BACKEND_LIMITS.queryBytesMax) return;
		const error = backendFailure('54000', `the answer is longer than ${BACKEND_LIMITS.queryBytesMax} bytes`);
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

/** Dials and signs in; throws what `connectBackend` throws. */
export async function openQuerySession(
	target: BackendTarget,
	startup: Readonly<Record<string, string>> = {},
	signal?: AbortSignal,
): Promise<QuerySession> {
	const settings = { application_name: 'portcullis', client_encoding: 'UTF8', ...startup };
	const connection = await connectBackend(target, settings, { signal });
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
