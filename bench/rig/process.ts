/** A proxy under test as a process of its own: started, measured from outside (Linux's /proc), ended. */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export interface ProxyOptions {
	readonly command: string;
	readonly args: readonly string[];
	readonly env?: NodeJS.ProcessEnv;
	/** File that gets what it says. */
	readonly log: string;
	/** Where it listens when it is ready, on 127.0.0.1. */
	readonly port: number;
	readonly account?: { readonly uid: number; readonly gid: number };
}

export interface Proxy {
	/** CPU time that all threads of the process and of its workers have taken so far, in microseconds. */
	cpuMicros(): number;
	/** Resident memory, in bytes; what workers share counts for each. */
	memoryBytes(): number;
	/** SIGTERM, and SIGKILL where that is not enough. Resolves when the process is gone. */
	stop(): Promise<void>;
}

const READY_MS = 30_000;
const STOP_MS = 20_000;

/** Resolves once connections are accepted. Throws Error with the end of its log when it does not come up. */
export async function startProxy(options: ProxyOptions): Promise<Proxy> {
	const log = openSync(options.log, 'w', 0o644);
	const { command, args, env = process.env, account } = options;
	const child = spawn(command, args, { stdio: ['ignore', log, log], env, ...account });
	closeSync(log);
	let failure: string | null = null;
	child.once('error', (error) => {
		failure = error.message;
	});
	child.once('exit', (code, signal) => {
		failure ??= `it ended (${code ?? signal})`;
	});
	const deadline = performance.now() + READY_MS;
	while (!(await accepts(options.port))) {
		if (failure !== null || performance.now() > deadline) {
			const said = readFileSync(options.log, 'utf8').slice(-2_000);
			await stop(child);
			throw new Error(`${command} did not come up: ${failure ?? 'it does not listen'}\n${said}`);
		}
		await sleep(50);
	}
	const pid = child.pid ?? 0;
	return {
		cpuMicros: () => sum(withWorkers(pid).map(cpuMicros)),
		memoryBytes: () => sum(withWorkers(pid).map(memoryBytes)),
		stop: () => stop(child),
	};
}

async function accepts(port: number): Promise<boolean> {
	return new Promise((resolve) => {
		const socket = connect(port, '127.0.0.1');
		socket.once('connect', () => {
			socket.destroy();
			resolve(true);
		});
		socket.once('error', () => resolve(false));
	});
}

/** The process and those that it has started. */
function withWorkers(pid: number): readonly number[] {
	const started = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1')
		.split(' ')
		.filter((word) => word.trim() !== '');
	return [pid, ...started.map(Number)];
}

function sum(values: readonly number[]): number {
	return values.reduce((total, value) => total + value, 0);
}

/** Field 1 of schedstat is the time on a CPU in nanoseconds, exact, where utime and stime of stat count ticks of 10 ms. */
function cpuMicros(pid: number): number {
	let nanoseconds = 0;
	for (const thread of readdirSync(`/proc/${pid}/task`)) {
		nanoseconds += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'latin1').split(' ')[0]);
	}
	return nanoseconds / 1_000;
}

function memoryBytes(pid: number): number {
	const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1];
	return Number(kilobytes) * 1_024;
}

async function stop(child: ChildProcess): Promise<void> {
	if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
	const gone = new Promise<void>((resolve) => {
		child.once('exit', () => resolve());
	});
	child.kill('SIGTERM');
	const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
	await gone;
	clearTimeout(timer);
}
