/** librdkafka's mock Kafka broker behind its front, and what a consumer of another make (kcat) finds in it. */
import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { onTestFinished } from 'vitest';
import { type Front, type FrontOptions, startFront } from './front.ts';

/** Where build.sh puts it. */
function mockPath(): string {
	const source = readFileSync(new URL('mock.c', import.meta.url));
	const digest = createHash('sha256').update(source).digest('hex').slice(0, 12);
	const cache = process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache');
	return join(cache, 'portcullis', `kafka-mock-3.6.1-${digest}`);
}

/** Whether the tests can run; says why not. */
export function hasKafka(): boolean {
	const missing = existsSync(mockPath())
		? spawnSync('kcat', ['-V']).status === 0
			? null
			: 'kcat is not installed (Debian: kcat)'
		: 'the mock broker is not built (test/support/kafka/build.sh)';
	if (missing !== null) console.warn(`${missing}: the tests of the Kafka sink are left out`);
	return missing === null;
}

export interface Message {
	readonly key: string;
	readonly value: string;
	readonly partition: number;
	readonly headers: Readonly<Record<string, string>>;
}

export interface Broker extends Front {
	/** A command of mock.c. */
	command(text: string): Promise<void>;
	/** All messages of a topic, by partition and offset, as librdkafka 2.0 reads them. */
	messages(topic: string): Promise<readonly Message[]>;
	/** Another broker in its place, empty. */
	replace(): Promise<void>;
}

interface Mock {
	readonly child: ChildProcess;
	readonly port: number;
	command(text: string): Promise<void>;
}

async function startMock(): Promise<Mock> {
	const child = spawn(mockPath(), { stdio: ['pipe', 'pipe', 'inherit'] });
	onTestFinished(() => {
		child.kill('SIGKILL');
	});
	const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
	const next = async () => (await lines.next()).value ?? 'the mock ended';
	const port = Number(await next());
	return {
		child,
		port,
		command: async (text) => {
			child.stdin.write(`${text}\n`);
			const answer = await next();
			if (answer !== 'ok') throw new Error(`${text}: ${answer}`);
		},
	};
}

/** Starts both, with a topic `audit` of one partition. */
export async function startBroker(options: Omit<FrontOptions, 'broker'> = {}): Promise<Broker> {
	let mock = await startMock();
	await mock.command('topic audit 1');
	const front = await startFront({ ...options, broker: () => mock.port });
	onTestFinished(() => front.shut());
	return Object.assign(front, {
		command: (text: string) => mock.command(text),
		messages: (topic: string) => readAll(mock.port, topic),
		replace: async () => {
			mock.child.kill('SIGKILL');
			mock = await startMock();
		},
	});
}

async function readAll(port: number, topic: string): Promise<readonly Message[]> {
	const args = [
		'-b',
		`127.0.0.1:${port}`,
		'-C',
		'-t',
		topic,
		'-e',
		'-q',
		'-J',
		'-X',
		'fetch.message.max.bytes=100000000',
		// At the end of a topic the broker waits for more by half a second otherwise.
		'-X',
		'fetch.wait.max.ms=5',
	];
	const { stdout } = await promisify(execFile)('kcat', args, { maxBuffer: 1e9 });
	return stdout
		.split('\n')
		.filter((line) => line !== '')
		.map((line) => {
			const { key, payload, partition, headers = [] } = JSON.parse(line);
			const pairs = headers.flatMap((_: string, at: number) => (at % 2 === 0 ? [[headers[at], headers[at + 1]]] : []));
			return { key, value: payload, partition, headers: Object.fromEntries(pairs) };
		});
}
