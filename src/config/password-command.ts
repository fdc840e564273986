/** A password that a program prints, such as a token of a cloud's own sign-in: run when needed, kept for a while. */
import { execFile } from 'node:child_process';

export interface PasswordCommandOptions {
	/** Program and arguments; no shell sees them. */
	readonly command: readonly [string, ...string[]];
	/** How long what it printed is used again, in milliseconds; 0: for nobody but those who waited for it together. */
	readonly keepMs: number;
	/** Folder that it runs in. */
	readonly folder: string;
	readonly env: NodeJS.ProcessEnv;
	/** Milliseconds, never going back; default: performance.now. */
	readonly nowMs?: () => number;
}

/** A program that takes longer is ended. */
const RUN_MS_MAX = 10_000;

/** More is no password. */
const OUTPUT_BYTES_MAX = 64 * 1024;

export class PasswordCommand {
	readonly #options: PasswordCommandOptions;
	readonly #now: () => number;
	#running: Promise<string> | null = null;
	#kept: { readonly value: string; readonly untilMs: number } | null = null;

	constructor(options: PasswordCommandOptions) {
		this.#options = options;
		this.#now = options.nowMs ?? (() => performance.now());
	}

	/** Throws Error that says how the program failed, and nothing that it printed. */
	current(): Promise<string> {
		if (this.#kept !== null && this.#now() < this.#kept.untilMs) return Promise.resolve(this.#kept.value);
		this.#kept = null;
		this.#running ??= this.#run().finally(() => {
			this.#running = null;
		});
		return this.#running;
	}

	/** The server did not take it: the next one who asks gets another. */
	forget(): void {
		this.#kept = null;
	}

	async #run(): Promise<string> {
		const { command, keepMs, folder, env } = this.#options;
		const [program, ...args] = command;
		const value = await new Promise<string>((resolve, reject) => {
			const limits = { timeout: RUN_MS_MAX, maxBuffer: OUTPUT_BYTES_MAX, killSignal: 'SIGKILL' } as const;
			const child = execFile(program, args, { ...limits, cwd: folder, env, encoding: 'utf8' }, (error, out) => {
				if (error !== null) reject(new Error(`${program}: ${wordsOf(error)}`));
				else resolve(out.replace(/\r?\n$/, ''));
			});
			// It is asked for nothing, and one that reads its input shall not wait for ever.
			child.stdin?.end();
		});
		if (value === '') throw new Error(`${program}: printed nothing`);
		if (keepMs > 0) this.#kept = { value, untilMs: this.#now() + keepMs };
		return value;
	}
}

/** Node's own message repeats the arguments and what went to standard error, where secrets may be. */
function wordsOf(
	error: Error & { code?: string | number | null; killed?: boolean; signal?: NodeJS.Signals | null },
): string {
	const { code } = error;
	if (code === 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER') return `printed more than ${OUTPUT_BYTES_MAX} bytes`;
	if (error.killed === true) return `took longer than ${RUN_MS_MAX} ms`;
	if (code === 'ENOENT') return 'no such program';
	if (code === 'EACCES') return 'may not be run';
	if (typeof code === 'number') return `ended with status ${code}`;
	return error.signal == null ? 'could not be run' : `was ended by ${error.signal}`;
}
