/** Kafka: each record is a message whose key is the record's uid. The client, a package that the operator adds, runs in a thread. */
import { createRequire } from 'node:module';
import { Worker } from 'node:worker_threads';
import { type Sink, SinkError, type SinkRecord } from './sink.ts';

export type KafkaMechanism = 'PLAIN' | 'SCRAM-SHA-256' | 'SCRAM-SHA-512';

/** How to reach a cluster, and what to write where. Never printed. Crosses into the thread as it is. */
export interface KafkaSettings {
	/** host:port of brokers to ask for the others. */
	readonly brokers: readonly string[];
	/** It has to be there: the sink makes none. */
	readonly topic: string;
	/** PEM texts; null is plain TCP. The certificate is verified with its name. */
	readonly tls: { readonly ca?: string; readonly cert?: string; readonly key?: string } | null;
	readonly sasl?: { readonly mechanism: KafkaMechanism; readonly username: string; readonly password: string };
	readonly compression: 'none' | 'gzip';
	/** For a connection and for an answer, each. */
	readonly timeoutMs: number;
}

export interface KafkaOptions {
	readonly settings: KafkaSettings;
	/** Default: startKafkaThread. */
	readonly startThread?: (settings: KafkaSettings) => Worker;
}

/** What the thread answers for each batch. */
export type KafkaAnswer =
	| { readonly delivered: true }
	| { readonly delivered: false; readonly problem: string; readonly tooLarge: boolean };

const clientPackage = '@platformatic/kafka';

/** Why the sink cannot work here, or null. */
export function kafkaClientProblem(): string | null {
	try {
		createRequire(import.meta.url).resolve(clientPackage);
		return null;
	} catch {
		// Its major version 2 asks for Node 22.
		const major = Number(process.versions.node.split('.')[0]) < 22 ? 1 : 2;
		return `the Kafka sink needs a client that is not installed: npm install ${clientPackage}@${major}`;
	}
}

/**
 * An exception out of a callback of the client would end the process, with all its sessions; here it ends a thread. So does
 * any failure: nothing of a client that has failed is used again, and the next batch is given to a new one.
 */
class KafkaSink implements Sink {
	readonly name = 'kafka';
	readonly acknowledges = true;
	readonly #options: KafkaOptions;
	#thread: Worker | null = null;

	constructor(options: KafkaOptions) {
		this.#options = options;
	}

	async deliver(records: readonly SinkRecord[], signal: AbortSignal): Promise<void> {
		const thread = this.#thread ?? this.#start();
		let answer: KafkaAnswer;
		try {
			answer = await answerOf(thread, records, signal);
		} catch (error) {
			this.#end(thread);
			throw error;
		}
		if (answer.delivered) return;
		this.#end(thread);
		throw new SinkError(answer.problem, { tooLarge: answer.tooLarge });
	}

	/** What was delivered has been acknowledged, so there is nothing to wait for. */
	async close(): Promise<void> {
		const thread = this.#thread;
		this.#thread = null;
		await thread?.terminate();
	}

	#start(): Worker {
		const { settings, startThread = startKafkaThread } = this.#options;
		const thread = startThread(settings);
		// Heard even when nothing is being delivered, else it would end the process after all.
		thread.on('error', () => this.#end(thread));
		thread.unref();
		this.#thread = thread;
		return thread;
	}

	#end(thread: Worker): void {
		if (this.#thread === thread) this.#thread = null;
		void thread.terminate();
	}
}

/** The file beside this one. */
function startKafkaThread(settings: KafkaSettings): Worker {
	return new Worker(new URL('kafka-thread.js', import.meta.url), { workerData: settings, name: 'audit-kafka' });
}

function answerOf(thread: Worker, records: readonly SinkRecord[], signal: AbortSignal): Promise<KafkaAnswer> {
	return new Promise((resolve, reject) => {
		const settle = (how: () => void) => {
			thread.off('message', onMessage).off('error', onError).off('exit', onExit);
			signal.removeEventListener('abort', onAbort);
			how();
		};
		const onMessage = (answer: KafkaAnswer) => settle(() => resolve(answer));
		const onError = (error: unknown) => settle(() => reject(error instanceof Error ? error : new Error(String(error))));
		const onExit = () => settle(() => reject(new Error('the thread of the Kafka client ended')));
		const onAbort = () => settle(() => reject(new Error('the cluster did not answer in time')));
		thread.on('message', onMessage).on('error', onError).on('exit', onExit);
		signal.addEventListener('abort', onAbort, { once: true });
		if (signal.aborted) onAbort();
		else thread.postMessage(records);
	});
}

/** `deliver` resolves when all in-sync replicas have every record. Throws when the client is not installed. */
export function kafkaSink(options: KafkaOptions): Sink {
	const problem = kafkaClientProblem();
	if (problem !== null) throw new Error(problem);
	return new KafkaSink(options);
}
