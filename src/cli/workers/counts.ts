/** Sessions of all workers together: a place is taken at the supervisor, and how many there are in all is told by each login and each end. */
import { GatewayError } from '../../errors.ts';
import type { Entering, Full, SessionsElsewhere } from '../../session/admission.ts';
import type { WorkerBus } from './bus.ts';
import type { SessionsFromWorker, SessionsToWorker } from './session-book.ts';

/** The way to the supervisor. */
export interface SessionsLink {
	send(message: SessionsFromWorker): void;
	onMessage(handler: (message: SessionsToWorker) => void): void;
}

const loginTopic = 'session';
const allTopic = 'sessions';

/** How long the supervisor may take: it does little else. */
const answerMs = 5_000;

export class SharedCounts implements SessionsElsewhere {
	readonly #bus: WorkerBus;
	readonly #link: SessionsLink;
	readonly #answerMs: number;
	readonly #questions = new Map<number, { readonly entering: Entering; answer(full: Full | null): void }>();
	/** Of whom nobody waits for the answer any more. */
	readonly #late = new Map<number, Entering>();
	/** Sessions of each other worker. */
	readonly #others = new Map<number, number>();
	#own = 0;
	#lastId = 0;

	constructor(bus: WorkerBus, link: SessionsLink, timeoutMs: number = answerMs) {
		this.#bus = bus;
		this.#link = link;
		this.#answerMs = timeoutMs;
		link.onMessage((message) => this.#hear(message));
		bus.on(loginTopic, (by, from) => {
			this.#others.set(from, (this.#others.get(from) ?? 0) + Number(by));
		});
		bus.on(allTopic, (count, from) => {
			this.#others.set(from, Number(count));
		});
		bus.onLeft((worker) => this.#others.delete(worker));
		// Who has just come knows of nobody.
		bus.onJoined(() => {
			if (this.#own > 0) bus.tell(allTopic, this.#own);
		});
	}

	get all(): number {
		let total = 0;
		for (const count of this.#others.values()) total += count;
		return total;
	}

	enter(entering: Entering): Promise<Full | null> {
		this.#lastId += 1;
		const id = this.#lastId;
		return new Promise((resolve, reject) => {
			const timer = setTimeout(() => {
				this.#questions.delete(id);
				this.#late.set(id, entering);
				const words = 'the gateway cannot tell at the moment how many sessions there are';
				reject(new GatewayError('57P03', words, { severity: 'FATAL', hint: 'Try again later.' }));
			}, this.#answerMs);
			const answer = (full: Full | null): void => {
				clearTimeout(timer);
				this.#questions.delete(id);
				if (full === null) this.#told(1);
				resolve(full);
			};
			this.#questions.set(id, { entering, answer });
			this.#link.send({ type: 'sessions-enter', id, ...entering });
		});
	}

	leave(user: string, database: string): void {
		this.#told(-1);
		this.#link.send({ type: 'sessions-leave', user, database });
	}

	#hear({ id, full }: SessionsToWorker): void {
		this.#questions.get(id)?.answer(full);
		const late = this.#late.get(id);
		if (late === undefined) return;
		this.#late.delete(id);
		if (full === null) this.#link.send({ type: 'sessions-leave', user: late.user, database: late.database });
	}

	#told(by: 1 | -1): void {
		this.#own += by;
		this.#bus.tell(loginTopic, by);
	}
}
