/** NATS JetStream: each record is a message whose id is the record's, so that the stream drops what it is given twice. */
import { jetstream, type JetStreamClient } from '@nats-io/jetstream';
import { connect, type NatsConnection, type NodeConnectionOptions } from '@nats-io/transport-node';
import type { Sink, SinkRecord } from './sink.ts';

export interface NatsOptions {
	/** Servers, sign-in and TLS as the client takes them. */
	readonly connection: Pick<NodeConnectionOptions, 'servers' | 'user' | 'pass' | 'token' | 'tls' | 'authenticator'>;
	/** The stream that takes it must be there: `PREFIX.>` in its subjects. The code of the record follows the prefix. */
	readonly subjectPrefix: string;
	readonly timeoutMs?: number;
}

class NatsSink implements Sink {
	readonly name = 'nats';
	readonly acknowledges = true;
	readonly #options: NatsOptions;
	#connection: { readonly nats: NatsConnection; readonly stream: JetStreamClient } | null = null;

	constructor(options: NatsOptions) {
		this.#options = options;
	}

	async deliver(records: readonly SinkRecord[], signal: AbortSignal): Promise<void> {
		const { stream } = await this.#connected();
		const { subjectPrefix, timeoutMs = 10_000 } = this.#options;
		const answers = records.map(({ uid, code, line }) =>
			stream.publish(`${subjectPrefix}.${code}`, line, { msgID: uid, timeout: timeoutMs }),
		);
		// All of them are waited for, also behind a failure: none may answer into the next batch.
		const failed = (await Promise.allSettled(answers)).find((answer) => answer.status === 'rejected');
		if (failed !== undefined) throw failed.reason;
		signal.throwIfAborted();
	}

	async close(): Promise<void> {
		const connection = this.#connection;
		this.#connection = null;
		await connection?.nats.close();
	}

	async #connected(): Promise<{ readonly stream: JetStreamClient }> {
		if (this.#connection !== null && !this.#connection.nats.isClosed()) return this.#connection;
		// Delivery tries again by itself and at its own pace, so the client does not.
		const nats = await connect({ ...this.#options.connection, reconnect: false, name: 'portcullis-audit' });
		this.#connection = { nats, stream: jetstream(nats) };
		return this.#connection;
	}
}

/** `deliver` resolves when the stream has acknowledged every record. */
export function natsSink(options: NatsOptions): Sink {
	return new NatsSink(options);
}
