/** What a command of the CLI is given in place of `process`, and the error that ends it with one line. */
import type { Readable } from 'node:stream';

export interface CommandIo {
	/** Writes to standard output as it stands; line ends are the caller's. */
	readonly out: (text: string) => void;
	readonly err: (text: string) => void;
	readonly stdin: Readable & { readonly isTTY?: boolean; setRawMode?: (on: boolean) => unknown };
	readonly env: NodeJS.ProcessEnv;
	/** Whether standard output may be coloured: a terminal, and NO_COLOR is not set. */
	readonly color: boolean;
	/** Columns of the terminal; 0 where there is none: lines may be as long as they are. */
	readonly columns: number;
	/** Resolves when standard output can take more; null when it can now. */
	readonly drained?: () => Promise<void> | null;
}

/** Ends the command: `message` goes to standard error, after the program's name, without a stack trace. */
export class CommandError extends Error {
	/** 1: it failed. 2: it was called wrongly. */
	readonly exitStatus: 1 | 2;

	constructor(message: string, exitStatus: 1 | 2 = 1) {
		super(message);
		this.name = 'CommandError';
		this.exitStatus = exitStatus;
	}
}

/** The real one. */
export function processIo(process: NodeJS.Process): CommandIo {
	const { stdin, stdout, stderr, env } = process;
	return {
		out: (text) => void stdout.write(text),
		err: (text) => void stderr.write(text),
		stdin,
		env,
		color: stdout.isTTY && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb',
		columns: stdout.isTTY && stdout.columns > 0 ? stdout.columns : 0,
		drained: () => (stdout.writableNeedDrain ? new Promise((resolve) => stdout.once('drain', resolve)) : null),
	};
}

/** SGR codes, or nothing where colour is not wanted. */
export interface Paint {
	readonly bold: (text: string) => string;
	readonly dim: (text: string) => string;
	readonly red: (text: string) => string;
	readonly green: (text: string) => string;
	readonly yellow: (text: string) => string;
	readonly cyan: (text: string) => string;
}

export function paint(color: boolean): Paint {
	const code =
		(open: number, close: number) =>
		(text: string): string =>
			color ? `\u001b[${open}m${text}\u001b[${close}m` : text;
	return {
		bold: code(1, 22),
		dim: code(2, 22),
		red: code(31, 39),
		green: code(32, 39),
		yellow: code(33, 39),
		cyan: code(36, 39),
	};
}
