/** `portcullis serve` as a process of its own, for tests of what only processes have: signals, workers, deaths. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { vi } from 'vitest';
import { parse, stringify } from 'yaml';
import type { TestConfig, TestGateway } from './gateway.ts';
import { compiledProgram } from './program.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** For what takes its time on a busy machine. */
export const patience = { timeout: 120_000, interval: 50 };

export interface ServedLine {
	readonly level: number;
	readonly msg: string;
	/** Missing in lines of the supervisor, or a gateway without workers. */
	readonly worker?: number;
	readonly pid?: number;
	readonly [field: string]: unknown;
}

export interface Served {
	readonly process: ChildProcess;
	readonly configFile: string;
	readonly port: number;
	/** 0: there is none. */
	readonly adminPort: number;
	/** The operator's log up to now. */
	readonly log: () => readonly ServedLine[];
	/** What it has said on standard error that is no line of the log. */
	readonly words: () => string;
	/** Process ids of the workers that took clients last, by number. */
	readonly workers: () => ReadonlyMap<number, number>;
	/** Lines of the log with this message. */
	readonly lines: (message: string) => readonly ServedLine[];
	/** Lines with this message from now on: a test that is tried again stands on the same gateway. */
	readonly since: (message: string) => () => readonly ServedLine[];
	readonly signal: (signal: NodeJS.Signals) => void;
	/** Exit status, or the signal that ended it. */
	readonly ended: Promise<number | NodeJS.Signals | null>;
	/** SIGKILL for all of it that is left. */
	readonly kill: () => Promise<void>;
}

/** The configuration of `world` under another name, as `change` leaves it. Answers its path. */
export async function otherConfig(
	world: TestGateway,
	name: string,
	change: (config: TestConfig) => void,
): Promise<string> {
	const config = parse(await readFile(world.configFile, 'utf8')) as TestConfig;
	config['audit'] = { path: `./audit-${name}` };
	change(config);
	const file = join(world.folder, `${name}.yaml`);
	await writeFile(file, stringify(config));
	return file;
}

/** Starts it; `listening` is what to wait for where it is expected to come up. */
export async function serveProcess(configFile: string): Promise<Served & { readonly listening: Promise<void> }> {
	const [node, program] = await compiledProgram();
	const child = spawn(node, [program, 'serve', '--config', configFile], {
		cwd: root,
		env: { ...process.env, SHOP_PASSWORD: 'gateway-password' },
		stdio: ['ignore', 'pipe', 'pipe'],
		// A process group of its own, to end what is left of it.
		detached: true,
	});
	let out = '';
	let err = '';
	child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
	child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
	const rows = (): string[] => err.split('\n').slice(0, -1);
	const isLog = (row: string): boolean => row.startsWith('{"level"');
	const log = (): ServedLine[] =>
		rows()
			.filter(isLog)
			.map((row) => JSON.parse(row) as ServedLine);
	const lines = (message: string): ServedLine[] => log().filter(({ msg }) => msg === message);
	const ended = once(child, 'exit').then(([code, signal]) => (code ?? signal) as number | NodeJS.Signals | null);
	const found = (pattern: RegExp): number => Number(pattern.exec(out)?.[1] ?? 0);
	return {
		process: child,
		configFile,
		get port() {
			return found(/ listens on \S+:(\d+) for/);
		},
		get adminPort() {
			return found(/health and metrics on \S+:(\d+)/);
		},
		log,
		lines,
		since: (message) => {
			const before = lines(message).length;
			return () => lines(message).slice(before);
		},
		words: () =>
			rows()
				.filter((row) => !isLog(row))
				.join('\n'),
		workers: () => new Map(lines('worker takes clients').map(({ worker = 0, pid = 0 }) => [worker, pid])),
		signal: (signal) => void child.kill(signal),
		ended,
		kill: async () => {
			try {
				process.kill(-(child.pid ?? 0), 'SIGKILL');
			} catch {
				// Nothing is left of it.
			}
			await ended;
		},
		listening: vi.waitFor(() => {
			if (child.exitCode !== null) throw new Error(`it has ended: ${err}`);
			if (!out.includes(' listens on ')) throw new Error(`it does not listen yet: ${err}`);
		}, patience),
	};
}
