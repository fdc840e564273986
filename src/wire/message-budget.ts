/** What long messages of all clients may take together: many that are begun and never finished would use up the memory. */
import { GatewayError } from '../errors.ts';

/** Buffers up to this long are not counted: a session may have one, and there are only so many sessions. */
export const uncountedBytesMax = 256 * 1024;

/** What one client has of the budget. */
export interface MessageShare {
	/** Takes room for a message that is as long so far. Raises FATAL 53200 when there is none. */
	take(bytes: number): void;
	/** Gives back what was taken. */
	give(bytes: number): void;
}

/** One for a process. */
export class MessageBudget {
	readonly #bytesMax: number;
	readonly #byUser = new Map<string, number>();
	#bytes = 0;

	/** `bytesMax`: of all together. One user may have half of it. */
	constructor(bytesMax: number) {
		this.#bytesMax = bytesMax;
	}

	/** Taken at the moment. */
	get bytes(): number {
		return this.#bytes;
	}

	shareOf(user: string): MessageShare {
		return {
			take: (bytes) => this.#take(user, bytes),
			give: (bytes) => this.#give(user, bytes),
		};
	}

	#take(user: string, bytes: number): void {
		const own = (this.#byUser.get(user) ?? 0) + bytes;
		if (this.#bytes + bytes > this.#bytesMax || own > this.#bytesMax / 2) {
			throw new GatewayError('53200', 'out of memory', {
				severity: 'FATAL',
				detail: `Long messages of all clients may take ${this.#bytesMax} bytes at a time, those of one user half of it.`,
				hint: 'Try again later, or send less at a time.',
			});
		}
		this.#bytes += bytes;
		this.#byUser.set(user, own);
	}

	#give(user: string, bytes: number): void {
		this.#bytes -= bytes;
		const own = (this.#byUser.get(user) ?? 0) - bytes;
		if (own > 0) this.#byUser.set(user, own);
		else this.#byUser.delete(user);
	}
}
