/** COPY to and from a pg client: the text that comes back, or what is sent. */
import type pg from 'pg';

export interface Copied {
	/** What COPY TO gave, as text. */
	readonly out: string;
	readonly tag: string;
	readonly error: { readonly sqlstate: string; readonly message: string } | null;
}

/** Runs one COPY (or a text with one in it); `input` is sent where the server asks for it. */
export function runCopy(client: pg.Client, sql: string, input = ''): Promise<Copied> {
	return new Promise((resolve, reject) => {
		const query = new CopyQuery(sql, input, resolve);
		client.on('error', reject);
		client.query(query as unknown as pg.Submittable);
	});
}

interface Connection {
	query(text: string): void;
	sendCopyFromChunk(chunk: Buffer): void;
	endCopyFrom(): void;
}

class CopyQuery {
	readonly #sql: string;
	readonly #input: string;
	readonly #done: (copied: Copied) => void;
	#out = '';
	#tag = '';
	#error: Copied['error'] = null;

	constructor(sql: string, input: string, done: (copied: Copied) => void) {
		this.#sql = sql;
		this.#input = input;
		this.#done = done;
	}

	submit(connection: Connection): void {
		connection.query(this.#sql);
	}

	handleCopyInResponse(connection: Connection): void {
		connection.sendCopyFromChunk(Buffer.from(this.#input));
		connection.endCopyFrom();
	}

	handleCopyData(message: { chunk: Buffer }): void {
		this.#out += message.chunk.toString('utf8');
	}

	handleCommandComplete(message: { text: string }): void {
		this.#tag += `${this.#tag === '' ? '' : '; '}${message.text}`;
	}

	handleError(error: pg.DatabaseError): void {
		this.#error = { sqlstate: error.code ?? '', message: error.message };
		// After an error the client takes ReadyForQuery for itself.
		this.handleReadyForQuery();
	}

	handleReadyForQuery(): void {
		this.#done({ out: this.#out, tag: this.#tag, error: this.#error });
	}

	handleRowDescription(): void {}
	handleDataRow(): void {}
	handleEmptyQuery(): void {}
	handlePortalSuspended(): void {}
}
