/** Runs pgbench against one target and reads what it measured: transactions, rate, and percentiles from its log. */
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { runProgram } from './programs.ts';

export type QueryMode = 'simple' | 'extended' | 'prepared';

export interface PgbenchOptions {
	readonly program: string;
	readonly env: NodeJS.ProcessEnv;
	/** For its log; emptied afterwards. */
	readonly folder: string;
	readonly mode: QueryMode;
	readonly clients: number;
	readonly seconds: number;
	/** A built-in script, or a file. */
	readonly script: 'select-only' | 'tpcb-like' | { readonly file: string };
	/** A new connection for every transaction. */
	readonly reconnect?: boolean;
	/** Logins that the target does in a second at least; 16 by default. */
	readonly loginsPerSecond?: number;
	/** A reading of something that grows with the work: its growth for each transaction is `perTransaction`. */
	readonly meter?: (() => number) | undefined;
}

export interface Percentiles {
	readonly p50: number;
	readonly p95: number;
	readonly p99: number;
}

export interface PgbenchResult {
	readonly transactions: number;
	/** Transactions a second. */
	readonly rate: number;
	/** Milliseconds. */
	readonly latency: Percentiles;
	/** Of the meter; signing in does not count unless that is what is measured. Null without a meter. */
	readonly perTransaction: number | null;
}

/** Transactions of the log are picked by chance so that writing it costs nothing that counts. */
const sampledShare = 0.1;

/** pgbench counts the time from before its clients connect, which takes a while with many of them. */
const startSeconds = (clients: number, loginsPerSecond: number): number => 1 + Math.ceil(clients / loginsPerSecond);

/** Throws Error with pgbench's words when a client was aborted or a transaction failed. */
export async function pgbench(options: PgbenchOptions): Promise<PgbenchResult> {
	const {
		program,
		env,
		folder,
		mode,
		clients,
		seconds,
		script,
		reconnect = false,
		loginsPerSecond = 16,
		meter,
	} = options;
	const sampling = clients === 1 || reconnect ? [] : [`--sampling-rate=${sampledShare}`];
	const args = [
		'--no-vacuum',
		`--protocol=${mode}`,
		`--client=${clients}`,
		`--time=${seconds + (reconnect ? 0 : startSeconds(clients, loginsPerSecond))}`,
		'--progress=1',
		...(typeof script === 'string' ? [`--builtin=${script}`] : [`--file=${script.file}`]),
		...(reconnect ? ['--connect'] : []),
		'--log',
		...sampling,
	];
	const progress = new Progress(meter ?? null);
	const before = meter?.();
	try {
		const onError = (text: string): void => progress.add(text);
		const report = parseReport(await runProgram(program, args, { env, cwd: folder, onError }));
		const whole = before === undefined || meter === undefined ? null : (meter() - before) / report.transactions;
		const perTransaction = reconnect ? whole : (progress.perTransaction ?? whole);
		return { ...report, latency: percentiles(await readLog(folder)), perTransaction };
	} finally {
		for (const name of await logs(folder)) await rm(join(folder, name));
	}
}

/** Follows pgbench's reports of progress, one a second, from the first one on, when all clients have connected. */
export class Progress {
	readonly #meter: (() => number) | null;
	#rest = '';
	#first: { readonly reading: number; readonly second: number } | null = null;
	#second = 0;
	#reading = 0;
	#transactions = 0;

	constructor(meter: (() => number) | null) {
		this.#meter = meter;
	}

	/** Text of standard error as it comes, in pieces of any size. */
	add(text: string): void {
		const lines = (this.#rest + text).split('\n');
		this.#rest = lines.pop() ?? '';
		for (const line of lines) this.#line(line);
	}

	/** Growth of the meter for each transaction between the first report and the last; null where there were not two. */
	get perTransaction(): number | null {
		if (this.#first === null || this.#transactions === 0) return null;
		return (this.#reading - this.#first.reading) / this.#transactions;
	}

	#line(line: string): void {
		const match = /^progress: ([\d.]+) s, ([\d.]+) tps/.exec(line);
		if (match === null || this.#meter === null) return;
		const [second, rate] = [Number(match[1]), Number(match[2])];
		const reading = this.#meter();
		if (this.#first === null) {
			if (rate > 0) this.#first = { reading, second };
		} else {
			this.#transactions += rate * (second - this.#second);
			this.#reading = reading;
		}
		this.#second = second;
	}
}

/** What pgbench prints at its end. Throws Error where transactions failed or nothing was done. */
export function parseReport(text: string): { readonly transactions: number; readonly rate: number } {
	const transactions = Number(/number of transactions actually processed: (\d+)/.exec(text)?.[1] ?? 0);
	const rate = Number(/^tps = ([\d.]+)/m.exec(text)?.[1] ?? 0);
	const failed = Number(/number of failed transactions: (\d+)/.exec(text)?.[1] ?? 0);
	if (transactions === 0 || rate === 0 || failed > 0) throw new Error(`pgbench did not do its work: ${text.trim()}`);
	return { transactions, rate };
}

async function logs(folder: string): Promise<string[]> {
	return (await readdir(folder)).filter((name) => name.startsWith('pgbench_log.'));
}

/** Latencies in microseconds: the third field of each line. */
async function readLog(folder: string): Promise<Float64Array> {
	const texts = await Promise.all((await logs(folder)).map((name) => readFile(join(folder, name), 'latin1')));
	return parseLog(texts.join(''));
}

/** Field 3 of each line: microseconds of the transaction. */
export function parseLog(text: string): Float64Array {
	const lines = text.split('\n').filter((line) => line !== '');
	return Float64Array.from(lines, (line) => Number(line.split(' ')[2]));
}

/** In milliseconds, by nearest rank; zeros for no measurement at all. */
export function percentiles(microseconds: Float64Array): Percentiles {
	const sorted = microseconds.slice().sort();
	const at = (share: number): number => (sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0) / 1_000;
	return { p50: at(0.5), p95: at(0.95), p99: at(0.99) };
}
