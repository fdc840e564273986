/** The thread in which long texts are analysed, one at a time; what it has to know it asks the event loop for, and waits. */
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { unreachable } from '../errors.ts';
import type { Analysis } from '../sql/analyse.ts';
import { applyEdits } from '../sql/edits.ts';
import type { HiddenColumns } from '../sql/hidden-columns.ts';
import { type AnalysedText, analysing, beginText, together } from '../sql/text.ts';
import type { AnalysisContext } from '../sql/walk.ts';
import type { FromThread, Job, Part, PreparedAnswer, Question, Reply, ThreadData } from './messages.ts';
import { nonce } from './nonce.ts';
import { gatewayError, plainDecision, plainEdits, plainError } from './plain.ts';
import { Remembered } from './remembered.ts';

/** What one message has at most, so that the loop is soon done with it. */
const STATEMENTS_MAX = 100;
const EDITS_MAX = 2_000;

/** The loop waits for the result no more. */
class Stopped extends Error {}

class Thread {
	readonly #answers: ThreadData['answers'];
	readonly #signal: Int32Array;
	readonly #tell: (message: FromThread) => void;
	readonly #remembered = new Remembered((question) => this.#ask(question));
	#stopped = false;

	constructor({ answers, signal }: ThreadData, tell: (message: FromThread) => void) {
		this.#answers = answers;
		this.#signal = new Int32Array(signal);
		this.#tell = tell;
	}

	work(job: Job): void {
		this.#stopped = false;
		const result = this.#resultOf(job);
		this.#tell(this.#stopped ? { type: 'stopped' } : result);
	}

	#resultOf(job: Job): FromThread {
		try {
			const begun = beginText(job.sql, job.limits, this.#inputsOf(job));
			if (begun.type === 'refused') return { type: 'refused', node: begun.node, error: plainError(begun.error) };
			const analyses: Analysis[] = [];
			for (const analysis of analysing(begun)) {
				analyses.push(analysis);
				// An analysis takes whatever it meets for a refusal.
				if (this.#stopped) return { type: 'stopped' };
			}
			return this.#told(job, together(analyses));
		} catch (error) {
			return { type: 'refused', node: 'Undecided', error: plainError(error) };
		}
	}

	#told(job: Job, { statements, edits, doubt, missing, missingRoutines }: AnalysedText): FromThread {
		for (let at = 0; at < statements.length; at += STATEMENTS_MAX) {
			const some = statements.slice(at, at + STATEMENTS_MAX);
			this.#give({ type: 'statements', statements: some.map((statement) => plainDecision(statement)) });
		}
		for (let at = 0; at < edits.length; at += EDITS_MAX) this.#give(plainEdits(edits.slice(at, at + EDITS_MAX)));
		const rewritten = edits.length === 0 ? null : applyEdits(Buffer.from(job.sql, 'utf8'), edits);
		return { type: 'analysed', doubt, missing, missingRoutines, rewritten };
	}

	#give(part: Part): void {
		this.#ask({ of: 'part', part });
	}

	#inputsOf({ catalog, access, searchPath, tempSchema, parameterTypes, limits }: Job): AnalysisContext | null {
		if (searchPath === null) return null;
		const names = { searchPath, tempSchema, parameterTypes };
		// The loop puts it so.
		const prepared = (name: string): PreparedAnswer => this.#ask({ of: 'prepared', name }) as PreparedAnswer;
		return {
			catalog: this.#remembered.catalog(catalog),
			access: this.#remembered.access(access),
			...names,
			nonce,
			readsMax: limits.readsMax,
			hiddenColumnsMax: limits.hiddenColumnsMax,
			hiddenColumns: this.#hidden(limits.hiddenColumnsMax),
			touchesProtected: (name) => prepared(name).touchesProtected,
			castTargets: (name) => prepared(name).castTargets,
		};
	}

	/** Asked once for a text. */
	#hidden(columnsMax: number): () => HiddenColumns | null {
		let hidden: HiddenColumns | null | undefined;
		// The loop puts it so.
		return () => {
			if (hidden === undefined) hidden = this.#ask({ of: 'hidden', columnsMax }) as HiddenColumns | null;
			return hidden;
		};
	}

	#ask(question: Question): unknown {
		if (this.#stopped) throw new Stopped();
		Atomics.store(this.#signal, 0, 0);
		this.#tell({ type: 'ask', question });
		Atomics.wait(this.#signal, 0, 0);
		const received = receiveMessageOnPort(this.#answers);
		if (received === undefined) throw new Error('the event loop has not answered');
		// The loop sends nothing else there.
		const reply = received.message as Reply;
		switch (reply.type) {
			case 'value':
				return reply.value;
			case 'failed':
				throw gatewayError(reply.error);
			case 'stop':
				this.#stopped = true;
				throw new Stopped();
			default:
				return unreachable(reply);
		}
	}
}

if (parentPort !== null) {
	const port = parentPort;
	const thread = new Thread(workerData as ThreadData, (message) => port.postMessage(message));
	port.on('message', (job: Job) => thread.work(job));
	port.postMessage({ type: 'ready' } satisfies FromThread);
}
