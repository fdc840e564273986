/** One connection that listens for many: its commands are answered in order, and notifications are told as they come. */
import { decodeBackend } from '../wire/backend.ts';
import { backendCodes as code } from '../wire/codes.ts';
import { encodeQuery } from '../wire/encode.ts';
import { backendRules, Framer } from '../wire/framer.ts';
import type { BackendConnection, ByteSink } from './connection.ts';
import { backendFailure, connectionLost, serverError } from './errors.ts';

const rules = backendRules();

export interface LineOptions {
	/** How long the server may say nothing while it owes an answer. */
	readonly timeoutMs: number;
	/** `message`: the NotificationResponse as it came, to be kept as long as anybody likes. */
	readonly onNotification: (channel: string, message: Buffer) => void;
	/** Once; before the commands that were under way are rejected. */
	readonly onGone: (error: Error) => void;
}

interface Command {
	failure: Error | null;
	done(): void;
	failed(error: Error): void;
}

export class ListenerLine implements ByteSink {
	readonly connection: BackendConnection;
	readonly #options: LineOptions;
	readonly #framer = new Framer(rules);
	readonly #commands: Command[] = [];
	#timer: NodeJS.Timeout | null = null;
	/** What the server said last before it closed the connection. */
	#lastWords: Error | null = null;
	#gone = false;
	#asking: Promise<void> | null = null;
	#asksNext: Promise<void> | null = null;

	constructor(connection: BackendConnection, options: LineOptions) {
		this.connection = connection;
		this.#options = options;
		connection.attach(this);
	}

	get alive(): boolean {
		return !this.#gone && this.connection.alive;
	}

	/** Rejects with what the server says (GatewayError), and when the connection is gone. */
	run(sql: string): Promise<void> {
		if (!this.alive) return Promise.reject(connectionLost(this.#lastWords));
		this.connection.socket.write(encodeQuery(sql));
		return new Promise((resolve, reject) => {
			this.#commands.push({ failure: null, done: resolve, failed: reject });
			this.#expect();
		});
	}

	/**
	 * Resolves when everything has been told of which a server process knew that it was committed when this was called: the server
	 * signals those that listen before it answers who has notified, and tells what it was signalled before it is ready again
	 * (async.c; PostgresMain). When the connection is gone too.
	 */
	caughtUp(): Promise<void> {
		if (this.#asking === null) return this.#ask();
		// A question that has been sent already may have been answered before whatever this is to wait for.
		this.#asksNext ??= this.#asking.then(() => {
			this.#asksNext = null;
			return this.#ask();
		});
		return this.#asksNext;
	}

	close(): Promise<void> {
		this.#end(backendFailure('57P01', 'the gateway closes the connection'));
		return this.connection.close();
	}

	data(chunk: Buffer): void {
		const framer = this.#framer;
		this.#timer?.refresh();
		try {
			framer.push(chunk);
			while (framer.next()) this.#message();
		} catch (error) {
			this.connection.channel.destroy(error instanceof Error ? error : new Error(String(error)));
		}
	}

	closed(error: Error | null): void {
		this.#end(this.#lastWords ?? connectionLost(error));
	}

	#ask(): Promise<void> {
		const answered = this.run('').catch(() => undefined);
		this.#asking = answered.then(() => {
			this.#asking = null;
		});
		return this.#asking;
	}

	#message(): void {
		const { type, buffer, start, end } = this.#framer;
		switch (type) {
			case code.NotificationResponse: {
				// The chunk that it came in is larger, and would be kept with it.
				const message = decodeBackend(Buffer.from(buffer.subarray(start, end)));
				if (message.type === 'NotificationResponse') this.#options.onNotification(message.channel, message.raw);
				return;
			}
			case code.ErrorResponse: {
				const message = decodeBackend(buffer.subarray(start, end));
				if (message.type !== 'ErrorResponse') return;
				const error = serverError(message.fields);
				if (error.severity === 'FATAL') this.#lastWords = error;
				const [command] = this.#commands;
				if (command !== undefined) command.failure = error;
				return;
			}
			case code.ReadyForQuery:
				this.#answered();
				return;
			default:
		}
	}

	#answered(): void {
		const command = this.#commands.shift();
		if (command === undefined) throw backendFailure('08P01', 'an answer to nothing');
		if (this.#commands.length === 0 && this.#timer !== null) {
			clearTimeout(this.#timer);
			this.#timer = null;
		}
		if (command.failure === null) command.done();
		else command.failed(command.failure);
	}

	#expect(): void {
		if (this.#commands.length > 0) this.#timer ??= setTimeout(() => this.#late(), this.#options.timeoutMs).unref();
	}

	/** A process that was held up itself finds the answer in its socket before it comes to the check. */
	#late(): void {
		const [late] = this.#commands;
		this.#timer = null;
		setImmediate(() => {
			if (this.#gone) return;
			if (this.#commands[0] !== late) this.#expect();
			else this.connection.channel.destroy(backendFailure('08006', 'the database server does not answer'));
		});
	}

	#end(error: Error): void {
		if (this.#gone) return;
		this.#gone = true;
		if (this.#timer !== null) clearTimeout(this.#timer);
		this.#options.onGone(error);
		for (const command of this.#commands.splice(0)) command.failed(error);
	}
}
