/** Failed logins of all workers together: else whoever guesses has as many tries as there are workers. */
import { FailureLimiter } from '../../auth/failures.ts';
import type { WorkerBus } from './bus.ts';

const failedTopic = 'login-failed';
const succeededTopic = 'login-succeeded';

interface Told {
	readonly address: string;
	readonly user: string;
	readonly guessable: boolean;
}

/** Each worker counts its own and those that it is told of. */
export class SharedFailures extends FailureLimiter {
	readonly #bus: WorkerBus;

	/** `now`: milliseconds since the epoch. */
	constructor(bus: WorkerBus, now: () => number) {
		super();
		this.#bus = bus;
		bus.on(failedTopic, (message) => {
			const { address, user, guessable } = message as Told;
			super.fail(address, user, now(), guessable);
		});
		bus.on(succeededTopic, (message) => {
			const { address, user } = message as Told;
			super.succeed(address, user);
		});
	}

	override fail(address: string, user: string, nowMs: number, guessable = true): void {
		super.fail(address, user, nowMs, guessable);
		const told: Told = { address, user, guessable };
		this.#bus.tell(failedTopic, told);
	}

	override succeed(address: string, user: string): void {
		super.succeed(address, user);
		this.#bus.tell(succeededTopic, { address, user });
	}
}
