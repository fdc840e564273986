/** What all sections of the configuration are read with: problems and warnings by key, secrets, and PEM files. */
import { readFile, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import type { ConfigDocument, ConfigProblem } from './document.ts';
import { PasswordCommand } from './password-command.ts';
import { describeFileError, Secret, type SecretSource } from './secret.ts';

/** Largest configuration file, and largest PEM file that it names. */
const FILE_BYTES_MAX = 4 * 1024 * 1024;

export type Path = readonly (string | number)[];

export interface ReaderOptions {
	/** Absolute path of the configuration: what relative paths start from. */
	readonly file: string;
	readonly env: NodeJS.ProcessEnv;
}

/** Nothing here throws for what the file says: it becomes a problem, and a value that nobody will use stands in. */
export class Reader {
	readonly problems: ConfigProblem[] = [];
	readonly warnings: string[] = [];
	/** Absolute path of the configuration. */
	readonly file: string;
	readonly #document: ConfigDocument;
	readonly #env: NodeJS.ProcessEnv;

	constructor(document: ConfigDocument, options: ReaderOptions) {
		this.#document = document;
		this.file = options.file;
		this.#env = options.env;
	}

	problem(path: Path, reason: string): void {
		this.problems.push(this.#document.problem(path, reason));
	}

	warn(text: string): void {
		this.warnings.push(text);
	}

	/** A path of the file as an absolute one. */
	path(relative: string): string {
		return resolve(dirname(this.file), relative);
	}

	async secret(path: Path, source: SecretSource): Promise<Secret | undefined> {
		try {
			return await Secret.read('file' in source ? { file: this.path(source.file) } : source, this.#env);
		} catch (error) {
			this.problem(path, messageOf(error));
			return undefined;
		}
	}

	/** The same for a key that may be missing. */
	async optionalSecret(path: Path, source: SecretSource | undefined): Promise<Secret | null> {
		return source === undefined ? null : ((await this.secret(path, source)) ?? null);
	}

	/** What a program prints; it runs in the folder of the configuration, when it is needed and not before. */
	command(command: readonly [string, ...string[]], keepMs: number): Secret {
		const late = new PasswordCommand({ command, keepMs, folder: dirname(this.file), env: this.#env });
		return Secret.late(late, JSON.stringify({ command, keepMs }));
	}

	/** Text of a PEM file. */
	async pem(path: Path, file: string): Promise<string> {
		try {
			const text = await readText(this.path(file));
			if (!text.includes('-----BEGIN ')) throw new Error(`${file} is not a PEM file`);
			return text;
		} catch (error) {
			this.problem(path, messageOf(error));
			return '';
		}
	}

	async optionalPem(path: Path, file: string | undefined): Promise<string | null> {
		return file === undefined ? null : this.pem(path, file);
	}

	async mustBeFolder(path: Path, folder: string): Promise<void> {
		try {
			if (!(await stat(folder)).isDirectory()) this.problem(path, `${folder} is not a folder`);
		} catch (error) {
			this.problem(path, describeFileError(folder, error));
		}
	}

	unique<Key extends string>(path: Path, key: Key, items: readonly Readonly<Record<Key, string>>[]): void {
		for (const [index, item] of items.entries()) {
			const first = items.findIndex((other) => other[key] === item[key]);
			if (first !== index) this.problem([...path, index, key], `${JSON.stringify(item[key])} is there twice`);
		}
	}
}

/** True for the machine itself: a loopback address or the folder of a Unix socket. */
export function isLoopback(host: string): boolean {
	return host === 'localhost' || host === '::1' || host.startsWith('/') || /^127\.\d+\.\d+\.\d+$/.test(host);
}

/** Text of a file. Throws Error with words for the operator. */
export async function readText(path: string): Promise<string> {
	let bytes: Buffer;
	try {
		bytes = await readFile(path);
	} catch (error) {
		throw new Error(describeFileError(path, error));
	}
	if (bytes.length > FILE_BYTES_MAX) throw new Error(`${path} is larger than ${FILE_BYTES_MAX} bytes`);
	try {
		return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
	} catch {
		throw new Error(`${path} is not UTF-8`);
	}
}

export function messageOf(error: unknown): string {
	return error instanceof Error ? error.message : String(error);
}
