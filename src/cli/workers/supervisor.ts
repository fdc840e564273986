/** The supervisor: starts the workers, starts again those that die, turns signals into what all of them do, and passes on what they say. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { SessionLog } from '../../session/services.ts';
import { CommandError } from '../io.ts';
import { BusHub } from './bus.ts';
import { type FromWorker, isOfBus, isOfPlaces, isOfSessions, type Listening } from './messages.ts';
import { Places } from './places.ts';
import type { StartWorker, WorkerProcess } from './processes.ts';
import { Pulse } from './pulse.ts';
import { SessionBook } from './session-book.ts';

export interface SupervisorOptions {
	readonly workers: number;
	readonly start: StartWorker;
	readonly log: SessionLog;
	/** A worker that does not answer for so long, in milliseconds, is killed and started again; 0: never. */
	readonly patienceMs: number;
	/** Times of its own; missing: as below. */
	readonly times?: Partial<typeof supervisorTimes>;
}

export const supervisorTimes = {
	/** Before a worker that died is started again; each time twice as long, up to `retryMsMax`. */
	retryMs: 100,
	retryMsMax: 30_000,
	/** A worker that lived for so long is started again as if it was the first time. */
	steadyMs: 60_000,
	/** What a worker may take to drain beyond what it has said: closing its log, and what waits for its sinks. */
	graceMs: 15_000,
	/** Between two questions whether a worker answers, at most. */
	askMs: 1_000,
};

/** One number of 1..N, and who has it at the moment. */
interface Post {
	readonly worker: number;
	process: WorkerProcess | null;
	retryMs: number;
	startedMs: number;
	retry: NodeJS.Timeout | null;
	/** How long it may take to drain. */
	drainMs: number;
	/** It was told to drain, so its end is no accident; null: it was not. */
	leaving: { readonly notice: boolean } | null;
}

/** How the start of a worker came out. */
type Outcome = Extract<FromWorker, { readonly type: 'listening' }> | Extract<FromWorker, { readonly type: 'failed' }>;

export class Supervisor {
	readonly #options: SupervisorOptions;
	readonly #times: typeof supervisorTimes;
	readonly #posts: readonly Post[];
	readonly #hub = new BusHub();
	readonly #places: Places;
	readonly #sessions = new SessionBook();
	/** No worker is started any more. */
	#stopping = false;
	/** All of them have been up. */
	#started = false;
	#rolling: Promise<void> | null = null;

	constructor(options: SupervisorOptions) {
		this.#options = options;
		this.#times = { ...supervisorTimes, ...options.times };
		const { workers, log } = options;
		this.#places = new Places({
			workers,
			log,
			send: (worker, message) => this.#posts[worker - 1]?.process?.send(message),
		});
		this.#posts = Array.from({ length: options.workers }, (_, at) => ({
			worker: at + 1,
			process: null,
			retryMs: this.#times.retryMs,
			startedMs: 0,
			retry: null,
			drainMs: 0,
			leaving: null,
		}));
	}

	/** Resolves when every worker takes clients. Throws CommandError, with all of them ended, when one cannot be started. */
	async start(): Promise<Listening> {
		const outcomes = this.#posts.map((post) => this.#launch(post));
		// The first that fails is enough, and has said why.
		const failure = await Promise.race([
			...outcomes.map((outcome) => outcome.then((one) => (one.type === 'failed' ? one : new Promise<never>(() => {})))),
			Promise.all(outcomes).then(() => null),
		]);
		if (failure !== null) {
			this.#stopping = true;
			await Promise.all(this.#posts.map((post) => this.#drain(post, false)));
			throw new CommandError(failure.words, failure.status);
		}
		const [first] = await Promise.all(outcomes);
		this.#started = true;
		if (first?.type !== 'listening') throw new Error('a gateway has one worker at least');
		return first.at;
	}

	reload(): void {
		for (const { process } of this.#posts) process?.send({ type: 'reload' });
	}

	/** Drains all. Resolves when the last has ended. */
	async stop(): Promise<void> {
		this.#stopping = true;
		await Promise.all(this.#posts.map((post) => this.#drain(post, true)));
	}

	/**
	 * Starts every worker anew, one after the other, each while the others take clients. Ends early when one does not come up: the
	 * rest stay as they are. While it goes on nothing comes of a second call.
	 */
	restart(): Promise<void> {
		this.#rolling ??= this.#restart().finally(() => {
			this.#rolling = null;
		});
		return this.#rolling;
	}

	/** Ends all at once. */
	kill(): void {
		this.#stopping = true;
		for (const { process, retry } of this.#posts) {
			if (retry !== null) clearTimeout(retry);
			process?.kill();
		}
	}

	async #restart(): Promise<void> {
		const { log } = this.#options;
		log.info({ workers: this.#posts.length }, 'rolling restart begins');
		for (const post of this.#posts) {
			if (this.#stopping) return;
			await this.#drain(post, false);
			if (this.#stopping) return;
			const outcome = await this.#launch(post);
			if (outcome.type === 'failed') {
				log.error({ worker: post.worker }, 'rolling restart is given up: the other workers stay as they are');
				return;
			}
		}
		log.info({ workers: this.#posts.length }, 'rolling restart is done');
	}

	/** Resolves when it takes clients, or does not. */
	#launch(post: Post): Promise<Outcome> {
		const { start, workers, log } = this.#options;
		const { worker } = post;
		const process = start(worker, workers);
		const { pid } = process;
		post.process = process;
		post.startedMs = performance.now();
		post.leaving = null;
		const pulse = this.#pulseOf(process, worker);
		const leaveHub = this.#hub.join(worker, (message) => process.send(message));
		return new Promise((resolve) => {
			let failed = false;
			process.onMessage((message) => {
				if (message.type === 'listening') {
					post.drainMs = message.drainMs;
					log.info({ worker, pid }, 'worker takes clients');
					pulse.start();
					resolve(message);
				} else if (message.type === 'failed') {
					failed = true;
					if (this.#started && !this.#stopping)
						log.error({ worker, pid, problem: message.words }, 'worker cannot start');
					resolve(message);
				} else if (message.type === 'pong') pulse.answered();
				else {
					// What it was told before it could listen is lost.
					if (message.type === 'bus-hello' && post.leaving !== null) process.send({ type: 'drain', ...post.leaving });
					this.#pass(worker, message);
				}
			});
			process.onExit((how) => {
				pulse.stop();
				leaveHub();
				post.process = null;
				this.#places.left(worker);
				this.#sessions.left(worker);
				if (this.#started && !failed && post.leaving === null && !this.#stopping)
					log.error({ worker, pid, how }, 'worker has died');
				resolve({ type: 'failed', words: `worker ${worker} ended while it started (${how})`, status: 1 });
				if (post.leaving === null) this.#again(post);
			});
		});
	}

	/** It may be held up while it starts: nobody waits for it then. */
	#pulseOf(process: WorkerProcess, worker: number): Pulse {
		const { log, patienceMs } = this.#options;
		const { pid } = process;
		const { askMs } = this.#times;
		return new Pulse({
			everyMs: patienceMs === 0 ? askMs : Math.min(askMs, Math.ceil(patienceMs / 4)),
			patienceMs,
			ask: () => process.send({ type: 'ping' }),
			onSilent: (silent) => {
				process.rest(silent);
				if (silent) log.warn({ worker, pid }, 'worker does not answer: it gets no new connections');
				else log.info({ worker, pid }, 'worker answers again');
			},
			onLost: () => {
				log.error({ worker, pid, patienceMs }, 'worker does not answer: it is killed, and started again');
				process.kill();
			},
		});
	}

	/** What node:cluster says to itself comes by here too. */
	#pass(worker: number, message: Exclude<FromWorker, Outcome | { readonly type: 'pong' }>): void {
		if (isOfBus(message)) this.#hub.receive(worker, message);
		else if (isOfPlaces(message)) this.#places.receive(worker, message);
		else if (isOfSessions(message)) {
			const answer = this.#sessions.receive(worker, message);
			if (answer !== null) this.#posts[worker - 1]?.process?.send(answer);
		}
	}

	#again(post: Post): void {
		if (this.#stopping) return;
		const { retryMs, retryMsMax, steadyMs } = this.#times;
		if (performance.now() - post.startedMs >= steadyMs) post.retryMs = retryMs;
		post.retry = setTimeout(() => {
			post.retry = null;
			void this.#launch(post);
		}, post.retryMs);
		post.retryMs = Math.min(post.retryMs * 2, retryMsMax);
	}

	async #drain(post: Post, notice: boolean): Promise<void> {
		if (post.retry !== null) clearTimeout(post.retry);
		post.retry = null;
		const { process } = post;
		if (process === null) return;
		post.leaving = { notice };
		const ended = new Promise<void>((resolve) => process.onExit(() => resolve()));
		process.send({ type: 'drain', notice });
		const done = new AbortController();
		const patience = sleep(post.drainMs + this.#times.graceMs, null, { signal: done.signal }).then(
			() => {
				this.#options.log.error(
					{ worker: post.worker, pid: process.pid },
					'worker does not drain in time: it is ended',
				);
				process.kill();
			},
			() => undefined,
		);
		await ended;
		done.abort();
		await patience;
	}
}
