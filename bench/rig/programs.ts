/** Which of the programs that the benchmark needs are on this machine, their versions, and running one to its end. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Path and first line of `--version`; null where it is missing. */
export interface Program {
	readonly path: string;
	readonly version: string;
}

/** Debian keeps some of them out of the PATH of ordinary accounts. */
const alsoIn = ['/usr/sbin', '/usr/local/sbin'];

export function findProgram(name: string): Program | null {
	const folders = [...(process.env['PATH'] ?? '').split(delimiter), ...alsoIn];
	const path = folders.map((folder) => join(folder, name)).find(existsSync);
	if (path === undefined) return null;
	const { stdout } = spawnSync(path, ['--version'], { encoding: 'utf8' });
	return { path, version: stdout.split('\n')[0] ?? '' };
}

export interface RunOptions {
	readonly env: NodeJS.ProcessEnv;
	readonly cwd?: string;
	/** File descriptor that becomes its standard input. */
	readonly stdin?: number;
	/** Its output is of no interest. */
	readonly discard?: boolean;
	/** Gets what it writes to standard error, as it comes. */
	readonly onError?: (text: string) => void;
}

/** Runs a program to its end and answers what it printed. Throws Error with its own words when it fails. */
export async function runProgram(path: string, args: readonly string[], options: RunOptions): Promise<string> {
	const { env, cwd, stdin = 'ignore', discard = false } = options;
	const child = spawn(path, args, { env, cwd, stdio: [stdin, discard ? 'ignore' : 'pipe', 'pipe'] });
	const said = collect(child);
	if (options.onError !== undefined) child.stderr?.on('data', options.onError);
	const code = await new Promise<number | NodeJS.Signals | null>((resolve, reject) => {
		child.once('error', reject);
		child.once('close', (status, signal) => resolve(status ?? signal));
	});
	if (code !== 0) throw new Error(`${path} failed (${code}): ${(said.error || said.output).trim().slice(-1_000)}`);
	return said.output;
}

function collect(child: ChildProcess): { output: string; error: string } {
	const said = { output: '', error: '' };
	child.stdout?.setEncoding('utf8').on('data', (text: string) => {
		said.output += text;
	});
	child.stderr?.setEncoding('utf8').on('data', (text: string) => {
		said.error += text;
	});
	return said;
}
