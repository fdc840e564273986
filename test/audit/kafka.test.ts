/** The Kafka sink against librdkafka's mock broker, read back with a consumer of another make; broken off and refused in the middle. */
import { describe, expect, it } from 'vitest';
import { type KafkaSettings, kafkaSink } from '../../src/audit/sinks/kafka.ts';
import type { Sink } from '../../src/audit/sinks/sink.ts';
import { makeCertificate } from '../support/certificates.ts';
import { type Broker, hasKafka, startBroker } from '../support/kafka/broker.ts';
import { apiKeys, type FrontOptions } from '../support/kafka/front.ts';
import { threadStarter } from '../support/kafka/thread.ts';
import { decision, record } from './samples.ts';
import { accept, logText, openLog, records, success, until } from './support.ts';

function sinkTo(broker: Broker, more: Partial<KafkaSettings> = {}): Sink {
	const settings: KafkaSettings = {
		brokers: [`localhost:${broker.port}`],
		topic: 'audit',
		tls: null,
		compression: 'none',
		timeoutMs: 5_000,
		...more,
	};
	return kafkaSink({ settings, startThread });
}

function openWith(sink: Sink, closeGraceMs = 60_000) {
	const limits = { retryMinMs: 5, retryMaxMs: 50 };
	return openLog({ sinks: [{ sink, spoolBytesMax: 1e9, limits }], limits: { closeGraceMs } });
}

type Log = Awaited<ReturnType<typeof openLog>>['log'];

async function statements(log: Log, count: number, sql = 'select'): Promise<void> {
	for (let n = 0; n < count; n += 1)
		log.outcome(await accept(log, record({ decision: decision({ sql: `${sql} ${n}` }) })), success);
}

const lag = (log: Log) => log.stats.sinks[0]?.lagRecords;
const problem = (log: Log) => log.stats.sinks[0]?.lastError ?? null;
const linesOf = (path: string) => logText(path).trimEnd().split('\n');

async function values(broker: Broker): Promise<string[]> {
	return (await broker.messages('audit')).map((message) => message.value);
}

const there = hasKafka();
const startThread = threadStarter();

describe.skipIf(!there)('Kafka', { timeout: 120_000 }, () => {
	it('has every record once, in order, with its uid as key', async () => {
		const broker = await startBroker();
		const { log, path } = await openWith(sinkTo(broker));
		await statements(log, 30, "select '\u{1f512}\u202e', ");
		await log.close();
		const messages = await broker.messages('audit');
		expect(messages.map((message) => message.value)).toEqual(linesOf(path));
		const all = records(path);
		expect(messages.map((message) => message.key)).toEqual(all.map(({ metadata }) => metadata.uid));
		expect(messages[2]?.headers).toEqual({
			uid: all[2]?.metadata.uid,
			event_code: 'statement',
			sequence: '2',
			severity: '1',
		});
	});

	it('has it packed, and a statement of megabytes with small ones in as many requests as it takes', async () => {
		const broker = await startBroker();
		const { log, path } = await openWith(sinkTo(broker, { compression: 'gzip' }));
		await statements(log, 3, `select '${'x'.repeat(2_000_000)}', `);
		await log.close();
		expect(await values(broker)).toEqual(linesOf(path));
		expect(broker.seen.get(apiKeys.Produce)).toBeGreaterThanOrEqual(3);
	});

	it('spreads over partitions, each in order', async () => {
		const broker = await startBroker();
		await broker.command('topic many 3');
		const { log, path } = await openWith(sinkTo(broker, { topic: 'many' }));
		await statements(log, 50);
		await log.close();
		const messages = await broker.messages('many');
		expect(new Set(messages.map((message) => message.partition))).toEqual(new Set([0, 1, 2]));
		const place = new Map(linesOf(path).map((line, at) => [line, at]));
		for (const partition of [0, 1, 2]) {
			const places = messages.filter((one) => one.partition === partition).map((one) => place.get(one.value) ?? -1);
			expect(places).toEqual(places.toSorted((a, b) => a - b));
		}
		expect(messages.map((message) => message.value).toSorted()).toEqual(linesOf(path).toSorted());
	});

	it('that is away for a while has every record all the same, and the log goes on meanwhile', async () => {
		const broker = await startBroker();
		const { log, path } = await openWith(sinkTo(broker));
		await statements(log, 10);
		await until(() => lag(log) === 0);
		await broker.shut();
		await statements(log, 10);
		await until(() => problem(log) !== null);
		expect(problem(log)).toMatch(/ECONNREFUSED|Connection closed|connect/i);
		expect(lag(log)).toBe(20);
		await broker.open();
		await until(() => lag(log) === 0);
		await log.close();
		expect(await values(broker)).toEqual(linesOf(path));
	});

	it('that comes back as another has what the first had not acknowledged', async () => {
		const broker = await startBroker();
		const { log, path } = await openWith(sinkTo(broker));
		await statements(log, 10);
		await until(() => lag(log) === 0);
		await broker.shut();
		const before = await values(broker);
		await broker.replace();
		await broker.open();
		await statements(log, 10);
		// Without the topic: nothing is lost, and none is made.
		await until(() => problem(log) !== null);
		await broker.command('topic audit 1');
		await log.close();
		expect([...before, ...(await values(broker))]).toEqual(linesOf(path));
	});

	it('gives again what was written but not acknowledged: at least once, in order, known by its key', async () => {
		let lose = 2;
		const treat = (apiKey: number) => (apiKey === apiKeys.Produce && lose-- > 0 ? 'lost' : 'pass');
		const broker = await startBroker({ treat });
		const { log, path } = await openWith(sinkTo(broker));
		await statements(log, 5);
		await log.close();
		const messages = await broker.messages('audit');
		expect(messages.length).toBeGreaterThanOrEqual(linesOf(path).length);
		expect([...new Map(messages.map(({ key, value }) => [key, value])).values()]).toEqual(linesOf(path));
	});

	// The client tries a third time what may be only for now.
	const refusals: readonly { name: string; code: number; times: number; want: RegExp }[] = [
		{ name: 'a batch that is too large', code: 10, times: 1, want: /MESSAGE_TOO_LARGE.*max\.message\.bytes/ },
		{ name: 'too few replicas', code: 19, times: 3, want: /NOT_ENOUGH_REPLICAS/ },
		{ name: 'a topic that it may not write to', code: 29, times: 1, want: /TOPIC_AUTHORIZATION_FAILED/ },
	];
	it.each(refusals)('refused, $name, is tried again until it is taken', async ({ code, times, want }) => {
		const broker = await startBroker();
		for (let n = 0; n < times; n += 1) await broker.command(`fail ${apiKeys.Produce} ${code}`);
		const troubles: string[] = [];
		const limits = { retryMinMs: 5, retryMaxMs: 50 };
		const { log, path } = await openLog({
			sinks: [{ sink: sinkTo(broker), spoolBytesMax: 1e9, limits }],
			limits: { closeGraceMs: 60_000 },
			onTrouble: (_, error) => error !== null && troubles.push(error.message),
		});
		await statements(log, 5);
		await log.close();
		expect(troubles.join('\n')).toMatch(want);
		expect(await values(broker)).toEqual(linesOf(path));
	});

	it('survives answers that are none: they end the client, not the process', async () => {
		let garbage = 3;
		const broker = await startBroker({ treat: () => (garbage-- > 0 ? 'garbage' : 'pass') });
		const { log, path } = await openWith(sinkTo(broker));
		await statements(log, 5);
		await log.close();
		expect(garbage).toBeLessThan(0);
		expect(await values(broker)).toEqual(linesOf(path));
	});
});

describe.skipIf(!there)('Kafka, signing in', { timeout: 120_000 }, () => {
	const authority = makeCertificate({ name: 'Test CA', authority: true });
	const { cert, key } = makeCertificate({ name: 'broker', hosts: ['localhost'], issuer: authority });
	const user = { user: 'audit', password: 'correct horse' };

	const rows: readonly { name: string; front: Omit<FrontOptions, 'broker'>; sink: Partial<KafkaSettings> }[] = [
		{ name: 'TLS', front: { tls: { cert, key } }, sink: { tls: { ca: authority.cert } } },
		...(['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512'] as const).map((mechanism) => ({
			name: `TLS and ${mechanism}`,
			front: { tls: { cert, key }, sasl: { mechanism, ...user } },
			sink: { tls: { ca: authority.cert }, sasl: { mechanism, username: user.user, password: user.password } },
		})),
	];
	it.each(rows)('$name', async ({ front, sink }) => {
		const broker = await startBroker(front);
		const { log, path } = await openWith(sinkTo(broker, sink));
		await statements(log, 5);
		await log.close();
		expect(await values(broker)).toEqual(linesOf(path));
	});

	const wrong: readonly {
		name: string;
		front: Omit<FrontOptions, 'broker'>;
		sink: Partial<KafkaSettings>;
		want: RegExp;
	}[] = [
		{
			name: 'a certificate that nobody vouches for',
			front: { tls: { cert, key } },
			sink: { tls: {} },
			want: /certificate|unable to verify/i,
		},
		...(['PLAIN', 'SCRAM-SHA-256'] as const).map((mechanism) => ({
			name: `a wrong password, ${mechanism}`,
			front: { sasl: { mechanism, ...user } },
			sink: { sasl: { mechanism, username: user.user, password: 'wrong horse' } },
			want: /SASL|authentication/i,
		})),
		{
			name: 'another mechanism than the broker has',
			front: { sasl: { mechanism: 'SCRAM-SHA-512', ...user } },
			sink: { sasl: { mechanism: 'PLAIN', username: user.user, password: user.password } },
			want: /SASL mechanism/i,
		},
		{ name: 'no SASL where there has to be', front: { sasl: { mechanism: 'PLAIN', ...user } }, sink: {}, want: /./ },
	];
	it.each(wrong)('$name: nothing is written, and it is said why, without a secret', async ({ front, sink, want }) => {
		const broker = await startBroker(front);
		const { log } = await openWith(sinkTo(broker, { timeoutMs: 2_000, ...sink }), 10);
		await until(() => problem(log) !== null);
		expect(problem(log)).toMatch(want);
		expect(problem(log)).not.toContain('horse');
		expect(await values(broker)).toEqual([]);
		expect(broker.seen.get(apiKeys.Produce)).toBeUndefined();
	});
});
