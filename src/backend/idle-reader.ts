/** Reads what a backend says while nobody has it: settings that its server changed are noted, anything else ends it. */
import { decodeBackend } from '../wire/backend.ts';
import { backendCodes as code } from '../wire/codes.ts';
import { backendRules, Framer } from '../wire/framer.ts';
import type { ByteSink } from './connection.ts';
import { backendFailure } from './errors.ts';
import type { PooledBackend } from './pooled.ts';

const rules = backendRules();

export class IdleReader implements ByteSink {
	readonly #backend: PooledBackend;
	readonly #gone: () => void;
	readonly #framer = new Framer(rules);

	/** `gone`: it is of no use any more. */
	constructor(backend: PooledBackend, gone: () => void) {
		this.#backend = backend;
		this.#gone = gone;
	}

	data(chunk: Buffer): void {
		const framer = this.#framer;
		try {
			framer.push(chunk);
			while (framer.next()) this.#message();
		} catch (error) {
			const cause = error instanceof Error ? error : new Error(String(error));
			this.#backend.connection.channel.destroy(cause);
			this.#gone();
		}
	}

	closed(): void {
		this.#gone();
	}

	/** The beginning of a message whose end has not come: the next reader's. */
	rest(): Buffer | undefined {
		return this.#framer.between ? undefined : Buffer.from(this.#framer.takeRest());
	}

	#message(): void {
		const { type, buffer, start, end } = this.#framer;
		if (type === code.NoticeResponse || type === code.NotificationResponse) return;
		const message = type === code.ParameterStatus ? decodeBackend(buffer.subarray(start, end)) : null;
		if (message?.type !== 'ParameterStatus') throw backendFailure('08P01', 'an idle backend said something');
		this.#backend.reported.set(message.name, message.value);
	}
}
