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
}

/** Transactions of the log are picked by chance so that writing it costs nothing that counts. */
const sampledShare = 0.1;

/** Throws Error with pgbench's words when a client was aborted or a transaction failed. */
export async function pgbench(options: PgbenchOptions): Promise<PgbenchResult> {
	const { program, env, folder, mode, clients, seconds, script, reconnect = false } = options;
	const sampling = clients === 1 || reconnect ? [] : [`--sampling-rate=${sampledShare}`];
	const args = [
		'--no-vacuum',
		`--protocol=${mode}`,
		`--client=${clients}`,
		`--time=${seconds}`,
		...(typeof script === 'string' ? [`--builtin=${script}`] : [`--file=${script.file}`]),
		...(reconnect ? ['--connect'] : []),
		'--log',
		...sampling,
	];
	try {
		const report = parseReport(await runProgram(program, args, { env, cwd: folder }));
		return { ...report, latency: percentiles(await readLog(folder)) };
	} finally {
		for (const name of await logs(folder)) await rm(join(folder, name));
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
