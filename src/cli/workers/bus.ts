/** How the workers of one gateway talk to each other: questions to all others, and words that want no answer, by way of the supervisor. */

/** A worker's side. What goes over it is plain data: it becomes JSON on the way. */
export interface WorkerBus {
	/** 1..N, and the same after a restart. */
	readonly worker: number;
	/** Live workers but for this one, in order. */
	readonly others: readonly number[];
	/** Asks all other live workers, which answer in any order; those that do not within `timeoutMs`, or cannot, are left out. */
	ask(question: string, argument: unknown, timeoutMs: number): Promise<readonly WorkerAnswer[]>;
	/** Tells all other live workers, at most once, in order; no answer. */
	tell(topic: string, message: unknown): void;
	/** What this worker answers to a question, or does when it is told; one handler for each. Whoever asks may wait for a Promise. */
	on(topic: string, handler: BusHandler): void;
	/** Told of the number of each worker that is here no more, also when it is soon back. */
	onLeft(handler: (worker: number) => void): void;
	/** Told of the number of each worker that has come. */
	onJoined(handler: (worker: number) => void): void;
}

export interface WorkerAnswer {
	readonly worker: number;
	readonly answer: unknown;
}

export type BusHandler = (argument: unknown, from: number) => unknown;

/** What goes between a worker and the supervisor. */
export type BusMessage =
	| {
			readonly type: 'bus-ask';
			readonly id: number;
			readonly from: number;
			readonly question: string;
			readonly argument: unknown;
	  }
	| {
			readonly type: 'bus-answer';
			readonly id: number;
			readonly from: number;
			readonly to: number;
			/** Missing: it has none. */
			readonly answer?: { readonly value: unknown };
	  }
	| { readonly type: 'bus-tell'; readonly from: number; readonly topic: string; readonly message: unknown }
	/** A worker hears from now on: what was said before may be lost. */
	| { readonly type: 'bus-hello'; readonly from: number }
	/** From the supervisor: who is there, the one that hears it included. */
	| { readonly type: 'bus-members'; readonly workers: readonly number[] };

/** The bus of a gateway with one worker: there is nobody to ask. */
export function loneBus(): WorkerBus {
	return {
		worker: 1,
		others: [],
		ask: async () => [],
		tell: () => undefined,
		on: () => undefined,
		onLeft: () => undefined,
		onJoined: () => undefined,
	};
}

interface Question {
	/** Workers that have not answered. */
	readonly open: Set<number>;
	readonly answers: WorkerAnswer[];
	/** Everybody has answered or left. */
	readonly done: () => void;
}

/** A worker's side of a bus with several. */
export class LinkedBus implements WorkerBus {
	readonly worker: number;
	readonly #send: (message: BusMessage) => void;
	readonly #trouble: (topic: string, error: unknown) => void;
	readonly #handlers = new Map<string, BusHandler>();
	readonly #left: ((worker: number) => void)[] = [];
	readonly #joined: ((worker: number) => void)[] = [];
	readonly #questions = new Map<number, Question>();
	#others: readonly number[] = [];
	#lastId = 0;

	/** `send` is how a message gets to the supervisor, `trouble` is told when a handler throws. */
	constructor(
		worker: number,
		send: (message: BusMessage) => void,
		trouble: (topic: string, error: unknown) => void = () => undefined,
	) {
		this.worker = worker;
		this.#send = send;
		this.#trouble = trouble;
		send({ type: 'bus-hello', from: worker });
	}

	get others(): readonly number[] {
		return this.#others;
	}

	ask(question: string, argument: unknown, timeoutMs: number): Promise<readonly WorkerAnswer[]> {
		if (this.#others.length === 0) return Promise.resolve([]);
		this.#lastId += 1;
		const id = this.#lastId;
		return new Promise((resolve) => {
			const answers: WorkerAnswer[] = [];
			const done = (): void => {
				clearTimeout(timer);
				this.#questions.delete(id);
				resolve(answers.sort((one, other) => one.worker - other.worker));
			};
			const timer = setTimeout(done, timeoutMs);
			this.#questions.set(id, { open: new Set(this.#others), answers, done });
			this.#send({ type: 'bus-ask', id, from: this.worker, question, argument });
		});
	}

	tell(topic: string, message: unknown): void {
		if (this.#others.length > 0) this.#send({ type: 'bus-tell', from: this.worker, topic, message });
	}

	on(topic: string, handler: BusHandler): void {
		if (this.#handlers.has(topic)) throw new Error(`two handlers for ${topic}`);
		this.#handlers.set(topic, handler);
	}

	onLeft(handler: (worker: number) => void): void {
		this.#left.push(handler);
	}

	onJoined(handler: (worker: number) => void): void {
		this.#joined.push(handler);
	}

	/** What the supervisor has sent. */
	receive(message: BusMessage): void {
		switch (message.type) {
			case 'bus-ask':
				void this.#answer(message);
				return;
			case 'bus-answer':
				this.#take(message);
				return;
			case 'bus-tell':
				this.#hear(message);
				return;
			case 'bus-members':
				this.#meet(message.workers);
				return;
			case 'bus-hello':
				return;
		}
	}

	async #answer({ id, from, question, argument }: Extract<BusMessage, { type: 'bus-ask' }>): Promise<void> {
		const reply = { type: 'bus-answer', id, from: this.worker, to: from } as const;
		const handler = this.#handlers.get(question);
		if (handler === undefined) {
			this.#send(reply);
			return;
		}
		try {
			this.#send({ ...reply, answer: { value: await handler(argument, from) } });
		} catch (error) {
			this.#trouble(question, error);
			this.#send(reply);
		}
	}

	/** One that comes too late, or twice, is for nobody. */
	#take({ id, from, answer }: Extract<BusMessage, { type: 'bus-answer' }>): void {
		const question = this.#questions.get(id);
		if (question === undefined || !question.open.delete(from)) return;
		if (answer !== undefined) question.answers.push({ worker: from, answer: answer.value });
		if (question.open.size === 0) question.done();
	}

	#hear({ topic, from, message }: Extract<BusMessage, { type: 'bus-tell' }>): void {
		try {
			const result = this.#handlers.get(topic)?.(message, from);
			if (result instanceof Promise) result.catch((error: unknown) => this.#trouble(topic, error));
		} catch (error) {
			this.#trouble(topic, error);
		}
	}

	#meet(workers: readonly number[]): void {
		const before = this.#others;
		this.#others = workers.filter((worker) => worker !== this.worker).sort((one, other) => one - other);
		const left = before.filter((worker) => !this.#others.includes(worker));
		for (const question of [...this.#questions.values()]) {
			for (const worker of left) question.open.delete(worker);
			if (question.open.size === 0) question.done();
		}
		for (const worker of left) for (const handler of this.#left) handler(worker);
		for (const worker of this.#others)
			if (!before.includes(worker)) for (const handler of this.#joined) handler(worker);
	}
}

/** The supervisor's side: passes on what a worker says, and tells all of them who is there. */
export class BusHub {
	readonly #members = new Map<number, (message: BusMessage) => void>();

	/** From now on the worker hears the others. Answers what to call when it is gone. */
	join(worker: number, send: (message: BusMessage) => void): () => void {
		this.#members.set(worker, send);
		this.#tellMembers();
		return () => {
			// Its successor has the same number.
			if (this.#members.get(worker) !== send) return;
			this.#members.delete(worker);
			this.#tellMembers();
		};
	}

	/** `from` is who has sent it, whatever the message says. */
	receive(from: number, message: BusMessage): void {
		if (!this.#members.has(from)) return;
		switch (message.type) {
			case 'bus-hello':
				this.#members.get(from)?.({ type: 'bus-members', workers: [...this.#members.keys()] });
				return;
			case 'bus-ask':
			case 'bus-tell':
				for (const [worker, send] of this.#members) if (worker !== from) send({ ...message, from });
				return;
			case 'bus-answer':
				this.#members.get(message.to)?.({ ...message, from });
				return;
			case 'bus-members':
				return;
		}
	}

	#tellMembers(): void {
		const workers = [...this.#members.keys()];
		for (const send of this.#members.values()) send({ type: 'bus-members', workers });
	}
}
