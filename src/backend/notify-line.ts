/** A connection of the gateway's own that listens to one channel and notifies on it; dialled again, with patience, whenever it is lost. */
import { setTimeout as sleep } from 'node:timers/promises';
import { decodeBackend } from '../wire/backend.ts';
import type { BackendConnection } from './connection.ts';
import { connectionLost } from './errors.ts';
import { BACKEND_LIMITS } from './limits.ts';
import { ListenerLine } from './listener-line.ts';

export interface NotifyLineOptions {
	/** Dials and signs in; throws as connectBackend does. */
	readonly connect: (signal: AbortSignal) => Promise<BackendConnection>;
	readonly channel: string;
	/** Payload of a notification, those of the line itself included. */
	readonly heard: (payload: string) => void;
	/** It hears from now on; what was said before may have been missed. */
	readonly up: () => void;
	/** It does not hear: because it was lost, or an attempt has failed. */
	readonly down: (problem: string) => void;
	/** Between two attempts; doubles from the one to the other. */
	readonly retryMinMs?: number;
	readonly retryMaxMs?: number;
}

/** Longest wait between two attempts: others wait for what is missed meanwhile. */
const retryMaxMs = 10_000;

export class NotifyLine {
	readonly #options: NotifyLineOptions;
	readonly #closing = new AbortController();
	readonly #running: Promise<void>;
	#line: ListenerLine | null = null;

	constructor(options: NotifyLineOptions) {
		this.#options = options;
		this.#running = this.#run();
	}

	/** Resolves when the server has it. Rejects without a connection. `payload`: below 8000 bytes, no zero byte, no backslash. */
	publish(payload: string): Promise<void> {
		const line = this.#line;
		if (line === null) return Promise.reject(connectionLost(null));
		return line.run(`notify ${identifier(this.#options.channel)}, '${payload.replaceAll("'", "''")}'`);
	}

	async close(): Promise<void> {
		this.#closing.abort();
		await this.#line?.close();
		await this.#running;
	}

	async #run(): Promise<void> {
		const { signal } = this.#closing;
		const { retryMinMs = BACKEND_LIMITS.hostRetryMinMs, retryMaxMs: most = retryMaxMs, down } = this.#options;
		let waitMs = retryMinMs;
		while (!signal.aborted) {
			try {
				await this.#once(() => {
					waitMs = retryMinMs;
				});
			} catch (error) {
				if (signal.aborted) return;
				down(error instanceof Error ? error.message : String(error));
			}
			await sleep(waitMs, undefined, { signal, ref: false }).catch(() => undefined);
			waitMs = Math.min(waitMs * 2, most);
		}
	}

	/** One connection, from its beginning to its end; always rejects. */
	async #once(begun: () => void): Promise<never> {
		const { connect, channel, heard, up } = this.#options;
		const { signal } = this.#closing;
		const connection = await connect(signal);
		let gone: (error: Error) => void = () => undefined;
		const end = new Promise<never>((_, reject) => {
			gone = reject;
		});
		end.catch(() => undefined);
		const line = new ListenerLine(connection, {
			timeoutMs: BACKEND_LIMITS.listenerTimeoutMs,
			onNotification: (_channel, raw) => {
				const message = decodeBackend(raw);
				if (message.type === 'NotificationResponse') heard(message.payload);
			},
			onGone: (error) => gone(error),
		});
		try {
			signal.throwIfAborted();
			// A role may have one for its sessions, and this is to be idle.
			await line.run('set idle_session_timeout = 0');
			await line.run(`listen ${identifier(channel)}`);
			this.#line = line;
			begun();
			up();
			return await end;
		} finally {
			this.#line = null;
			await line.close();
		}
	}
}

function identifier(name: string): string {
	return `"${name.replaceAll('"', '""')}"`;
}
