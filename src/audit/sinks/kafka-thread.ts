/** The thread of the Kafka sink: takes batches of records one after the other, and answers each when the cluster has it. */
import { parentPort, workerData } from 'node:worker_threads';
import { compatibilityPartitioner, ProduceAcks, Producer, type ProducerOptions } from '@platformatic/kafka';
import type { KafkaAnswer, KafkaSettings } from './kafka.ts';
import type { SinkRecord } from './sink.ts';

/**
 * Records in one request, unless one is longer: below what brokers take where nobody has set another limit (1,048,588
 * bytes, message.max.bytes), with room for keys and headers.
 */
const requestBytesMax = 768 * 1024;
/** A request whose answer was lost is made again under its sequence number, so the cluster keeps its records once. */
const retries = 2;
const retryDelayMs = 100;

type TextOptions = ProducerOptions<Buffer, Buffer, Buffer, Buffer>;

function producerOptions(settings: KafkaSettings): TextOptions {
	const { brokers, tls, sasl, compression, timeoutMs } = settings;
	return {
		clientId: 'portcullis-audit',
		bootstrapBrokers: [...brokers],
		idempotent: true,
		// "None yet" (InitProducerId), where the client's default names the producer 0.
		producerId: -1n,
		producerEpoch: -1,
		compression,
		// As Java's producer does.
		partitioner: compatibilityPartitioner,
		retries,
		retryDelay: retryDelayMs,
		timeout: timeoutMs,
		connectTimeout: timeoutMs,
		requestTimeout: timeoutMs,
		// An address is no server name (RFC 6066, 3); its certificate is verified all the same.
		...(tls === null ? {} : { tls: { ...tls }, tlsServerName: !brokers.some(isAddress) }),
		...(sasl === undefined ? {} : { sasl: { ...sasl } }),
	};
}

function isAddress(broker: string): boolean {
	return /^\[|^[\d.]+:\d+$/.test(broker);
}

function messageOf(topic: string, { uid, code, sequence, severity, timeMs, line }: SinkRecord) {
	const headers = new Map(
		Object.entries({ uid, event_code: code, sequence: String(sequence), severity: String(severity) }).map(
			([name, value]) => [Buffer.from(name), Buffer.from(value)] as const,
		),
	);
	return { topic, key: Buffer.from(uid), value: Buffer.from(line), timestamp: BigInt(timeMs), headers };
}

/** In order, in as many requests as are needed. */
async function deliver(
	producer: Producer<Buffer, Buffer, Buffer, Buffer>,
	topic: string,
	records: readonly SinkRecord[],
): Promise<void> {
	let messages: ReturnType<typeof messageOf>[] = [];
	let bytes = 0;
	for (const record of records) {
		const message = messageOf(topic, record);
		if (messages.length > 0 && bytes + message.value.length > requestBytesMax) {
			await producer.send({ messages, acks: ProduceAcks.ALL });
			messages = [];
			bytes = 0;
		}
		messages.push(message);
		bytes += message.value.length;
	}
	if (messages.length > 0) await producer.send({ messages, acks: ProduceAcks.ALL });
}

interface ClientError {
	readonly message?: unknown;
	readonly apiId?: unknown;
	readonly errors?: readonly ClientError[];
	readonly cause?: ClientError;
}

/** What the client says, from the outermost to the cause: its own messages, which hold no secret. */
function wordsOf(error: ClientError): string[] {
	const { message, apiId, errors = [], cause } = error;
	const text = String(message).replace(/\.$/, '');
	const own = typeof apiId === 'string' ? `${apiId}: ${text}` : text;
	const inner = [...errors, ...(cause === undefined ? [] : [cause])].flatMap(wordsOf);
	return [...new Set([own, ...inner])];
}

function failure(error: unknown): KafkaAnswer {
	const words = wordsOf(error instanceof Error ? (error as ClientError) : { message: String(error) });
	const tooLarge = words.some((word) => /^(MESSAGE|RECORD_LIST)_TOO_LARGE:/.test(word));
	const problem = words.join(': ').slice(0, 500);
	return {
		delivered: false,
		problem: tooLarge ? `${problem} (max.message.bytes of the topic)` : problem,
		tooLarge,
	};
}

const settings = workerData as KafkaSettings;
const producer = new Producer<Buffer, Buffer, Buffer, Buffer>(producerOptions(settings));
parentPort?.on('message', (records: readonly SinkRecord[]) => {
	void deliver(producer, settings.topic, records)
		.then((): KafkaAnswer => ({ delivered: true }), failure)
		.then((answer) => parentPort?.postMessage(answer));
});
