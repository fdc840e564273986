/** Has long texts analysed in a thread, one after the other, while the event loop serves others: parser and walk of a megabyte take a second. */
import { MessageChannel, type MessagePort, type Worker } from 'node:worker_threads';
import { GatewayError, unreachable } from '../errors.ts';
import type { SqlLimits } from '../sql/parse.ts';
import type { TextAnalysis } from '../sql/text.ts';
import type { Edit, StatementDecision } from '../stages.ts';
import { Answers, type Knowledge, Numbers } from './answers.ts';
import type { FromThread, Job, Part, Question, Reply, ThreadData } from './messages.ts';
import { decisionOf, editsOf, gatewayError, plainError } from './plain.ts';
import { startThread } from './start.ts';
import { type Waiting, WaitingTexts } from './waiting.ts';

export interface AnalystOptions {
	/** Characters of all texts that may wait for their turn (53400); one user may have half of that. */
	readonly waitingMax: number;
	/** How long one analysis may take (54001). */
	readonly timeoutMs: number;
	/** How long the thread is kept without a text: its memory is given back then. */
	readonly idleMs?: number;
	readonly startThread?: (data: ThreadData, ports: readonly MessagePort[]) => Worker;
}

/** A text, and who waits for its analysis. */
export interface LongText {
	readonly sql: string;
	readonly limits: SqlLimits;
	/** Who takes turns with others. */
	readonly user: string;
	/** What the text is analysed with; called when its turn has come. Throws GatewayError. */
	readonly begin: () => TextInputs;
	/** Aborted, with a GatewayError for its reason: nobody waits any more. */
	readonly signal?: AbortSignal | undefined;
}

export interface TextInputs extends Knowledge, Pick<Job, 'searchPath' | 'tempSchema' | 'parameterTypes'> {}

const IDLE_MS = 60_000;

/** One text from its arrival to its result. */
interface Task extends Waiting {
	readonly text: LongText;
	readonly resolve: (analysis: TextAnalysis) => void;
	readonly reject: (error: GatewayError) => void;
	stopped: boolean;
}

/** The text in the thread, and what is there of its result. */
interface Current {
	readonly task: Task;
	readonly answers: Answers;
	readonly statements: StatementDecision[];
	readonly edits: Edit[];
	readonly deadline: NodeJS.Timeout;
}

interface Running {
	readonly worker: Worker;
	readonly answers: MessagePort;
	readonly signal: Int32Array;
}

export class Analyst {
	readonly #options: AnalystOptions;
	readonly #waiting: WaitingTexts<Task>;
	readonly #numbers = new Numbers();
	#running: Running | null = null;
	#current: Current | null = null;
	#idle: NodeJS.Timeout | null = null;
	#closed = false;

	constructor(options: AnalystOptions) {
		this.#options = options;
		this.#waiting = new WaitingTexts(options.waitingMax);
	}

	/** Characters of the texts that wait for their turn. */
	get waiting(): number {
		return this.#waiting.bytes;
	}

	/** Rejects with a GatewayError: no room, too long an analysis, or that of the signal. */
	analyse(text: LongText): Promise<TextAnalysis> {
		return new Promise((resolve, reject) => {
			if (this.#closed) return reject(new GatewayError('57P01', 'the gateway is shutting down'));
			const { signal, user, sql } = text;
			const settled = (): void => signal?.removeEventListener('abort', stop);
			const task: Task = {
				...{ text, user, bytes: sql.length, stopped: false },
				resolve: (analysis) => {
					settled();
					resolve(analysis);
				},
				reject: (error) => {
					settled();
					reject(error);
				},
			};
			const stop = (): void => this.#stop(task, signal?.reason);
			if (signal?.aborted === true) return stop();
			if (!this.#waiting.add(task)) return reject(full());
			signal?.addEventListener('abort', stop, { once: true });
			this.#next();
		});
	}

	/** Texts that wait or are in the thread are refused. */
	async close(): Promise<void> {
		this.#closed = true;
		const error = new GatewayError('57P01', 'the gateway is shutting down');
		for (let task = this.#waiting.take(); task !== null; task = this.#waiting.take()) task.reject(error);
		await this.#end(error);
	}

	#next(): void {
		while (this.#current === null) {
			const task = this.#waiting.take();
			if (task === null) return this.#rest();
			this.#begin(task);
		}
	}

	#begin(task: Task): void {
		const { sql, limits, begin } = task.text;
		try {
			const { searchPath, tempSchema, parameterTypes, ...knowledge } = begin();
			const answers = new Answers(knowledge, this.#numbers);
			const { catalogHead: catalog, accessHead: access } = answers;
			const { worker } = this.#thread();
			worker.postMessage({ ...{ sql, limits, catalog, access }, searchPath, tempSchema, parameterTypes } satisfies Job);
			const deadline = setTimeout(() => void this.#end(tooLong(this.#options.timeoutMs)), this.#options.timeoutMs);
			this.#current = { task, answers, statements: [], edits: [], deadline };
		} catch (error) {
			task.reject(error instanceof GatewayError ? error : broken(error));
		}
	}

	#thread(): Running {
		if (this.#idle !== null) clearTimeout(this.#idle);
		this.#idle = null;
		return (this.#running ??= this.#start());
	}

	#start(): Running {
		const { port1: answers, port2 } = new MessageChannel();
		const signal = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
		const start = this.#options.startThread ?? startThread;
		const worker = start({ answers: port2, signal }, [port2]);
		const running: Running = { worker, answers, signal: new Int32Array(signal) };
		const gone = (error: unknown): void => {
			if (this.#running === running) void this.#end(broken(error));
		};
		worker.on('message', (message: FromThread) => {
			if (this.#running === running) this.#heard(message);
		});
		worker.on('error', gone);
		worker.on('messageerror', gone);
		worker.on('exit', (code) => gone(new Error(`the thread ended with ${code}`)));
		// A text in it is waited for by a session, which keeps the process.
		worker.unref();
		answers.unref();
		return running;
	}

	/** Without a thread from now on; the next text gets a new one. */
	async #end(error: GatewayError): Promise<void> {
		const running = this.#running;
		this.#running = null;
		this.#finish(({ task }) => task.reject(error));
		running?.answers.close();
		await running?.worker.terminate();
	}

	#heard(message: FromThread): void {
		switch (message.type) {
			case 'ready':
				return;
			case 'ask':
				return this.#reply(message.question);
			case 'refused': {
				const refused = { type: 'refused', node: message.node, error: gatewayError(message.error) } as const;
				return this.#finish(({ task }) => task.resolve(refused));
			}
			case 'analysed': {
				const { rewritten, ...rest } = message;
				return this.#finish(({ task, statements, edits }) =>
					task.resolve({ ...rest, statements, edits, ...(rewritten === null ? {} : { rewritten }) }),
				);
			}
			case 'stopped':
				return this.#finish(() => undefined);
			default:
				return unreachable(message);
		}
	}

	#reply(question: Question): void {
		const running = this.#running;
		if (running === null) return;
		running.answers.postMessage(this.#replyTo(question));
		Atomics.store(running.signal, 0, 1);
		Atomics.notify(running.signal, 0);
	}

	#replyTo(question: Question): Reply {
		const current = this.#current;
		if (current === null || current.task.stopped) return { type: 'stop' };
		if (question.of === 'part') {
			take(current, question.part);
			return { type: 'value', value: null };
		}
		try {
			return { type: 'value', value: current.answers.answer(question) };
		} catch (error) {
			return { type: 'failed', error: plainError(error) };
		}
	}

	#finish(settle: (current: Current) => void): void {
		const current = this.#current;
		if (current === null) return;
		this.#current = null;
		clearTimeout(current.deadline);
		settle(current);
		if (!this.#closed) this.#next();
	}

	/** What is in the thread already is let go of there when it next asks. */
	#stop(task: Task, reason: unknown): void {
		task.stopped = true;
		this.#waiting.remove(task);
		task.reject(reason instanceof GatewayError ? reason : broken(reason));
	}

	#rest(): void {
		if (this.#running === null) return;
		this.#idle ??= setTimeout(() => {
			this.#idle = null;
			if (this.#current === null) void this.#end(new GatewayError('57P01', 'the thread is not needed'));
		}, this.#options.idleMs ?? IDLE_MS).unref();
	}
}

function take({ statements, edits }: Current, part: Part): void {
	switch (part.type) {
		case 'statements':
			for (const plain of part.statements) statements.push(decisionOf(plain));
			return;
		case 'edits':
			for (const edit of editsOf(part)) edits.push(edit);
			return;
		default:
			unreachable(part);
	}
}

function full(): GatewayError {
	return new GatewayError('53400', 'too many long statements wait for their analysis', {
		hint: 'Try again, send the data with COPY or as parameters, or raise limits.sqlWaitingLengthMax.',
	});
}

function tooLong(timeoutMs: number): GatewayError {
	return new GatewayError('54001', `the statement takes the gateway longer to analyse than ${timeoutMs} ms`, {
		hint: 'Send the data with COPY or as parameters, or raise limits.sqlAnalysisMs.',
	});
}

/** The thread ran out of memory, could not be started, or the like. */
function broken(cause: unknown): GatewayError {
	return new GatewayError('54001', 'the statement is too complex for the gateway to analyse', { cause });
}
