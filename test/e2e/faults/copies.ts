/** COPY and pipelines by pg's connection, as far as a fault run needs them, and left in the middle. */
import type { Socket } from 'node:net';
import type pg from 'pg';

/** What pg's connection is made of; its types do not have it. */
export interface RawConnection {
	readonly stream: Socket;
	query(text: string): void;
	parse(query: { text: string; name?: string }, more?: boolean): void;
	bind(config: { values: unknown[] }, more?: boolean): void;
	execute(config: object, more?: boolean): void;
	flush(): void;
	sync(): void;
	sendCopyFromChunk(chunk: Buffer): void;
	endCopyFrom(): void;
	sendCopyFail(why: string): void;
}

export function rawOf(client: pg.Client): RawConnection {
	return (client as unknown as { connection: RawConnection }).connection;
}

/** What pg takes in place of a query. */
class Copy {
	readonly done: Promise<void>;
	readonly #text: string;
	#resolve: () => void = () => undefined;
	#reject: (error: unknown) => void = () => undefined;
	#failed = false;

	constructor(text: string) {
		this.#text = text;
		this.done = new Promise((resolve, reject) => {
			this.#resolve = resolve;
			this.#reject = reject;
		});
	}

	submit(connection: RawConnection): void {
		connection.query(this.#text);
	}

	handleError(error: unknown): void {
		this.#failed = true;
		this.#reject(error);
	}

	handleReadyForQuery(): void {
		if (!this.#failed) this.#resolve();
	}

	handleCopyInResponse(_connection: RawConnection): void {
		throw new Error('nothing to copy');
	}

	handleCopyData(_message: { readonly chunk: Buffer }): void {
		throw new Error('nothing was asked for');
	}

	handleCommandComplete(): void {}
	handleRowDescription(): void {}
	handleDataRow(): void {}
	handleEmptyQuery(): void {}
	handlePortalSuspended(): void {}
}

class CopyIn extends Copy {
	readonly #send: (connection: RawConnection) => void;

	constructor(text: string, send: (connection: RawConnection) => void) {
		super(text);
		this.#send = send;
	}

	override handleCopyInResponse(connection: RawConnection): void {
		this.#send(connection);
	}
}

class CopyOut extends Copy {
	readonly #line: (line: string) => void;

	constructor(text: string, line: (line: string) => void) {
		super(text);
		this.#line = line;
	}

	override handleCopyData({ chunk }: { readonly chunk: Buffer }): void {
		this.#line(chunk.toString().replace(/\n$/, ''));
	}
}

class Pipeline extends Copy {
	readonly #queries: readonly Pipelined[];

	constructor(queries: readonly Pipelined[]) {
		super('');
		this.#queries = queries;
	}

	override submit(connection: RawConnection): void {
		for (const { text, values } of this.#queries) {
			connection.parse({ text });
			connection.bind({ values: [...values] });
			connection.execute({});
		}
		connection.sync();
	}
}

export interface Pipelined {
	readonly text: string;
	readonly values: readonly unknown[];
}

/** All of them with one Sync behind. */
export function pipelined(client: pg.Client, queries: readonly Pipelined[]): Promise<void> {
	const pipeline = new Pipeline(queries);
	client.query(pipeline as unknown as pg.Submittable);
	return pipeline.done;
}

/** `send` is called when the server takes data; it has to end it, or the client. */
export function copyIn(client: pg.Client, text: string, send: (connection: RawConnection) => void): Promise<void> {
	const copy = new CopyIn(text, send);
	client.query(copy as unknown as pg.Submittable);
	return copy.done;
}

export function copyOut(client: pg.Client, text: string, line: (line: string) => void): Promise<void> {
	const copy = new CopyOut(text, line);
	client.query(copy as unknown as pg.Submittable);
	return copy.done;
}
