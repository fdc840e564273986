/** A secret of the configuration: read from the environment or a file, never printed. */
import { readFile } from 'node:fs/promises';
import { inspect } from 'node:util';

/** Largest file that is taken for a secret. */
const SECRET_BYTES_MAX = 64 * 1024;

export type SecretSource =
	| { readonly env: string }
	| { readonly file: string }
	/** Stands in the configuration itself, which is right only for what is safe to show there: a SCRAM verifier. */
	| { readonly text: string };

/** Where a secret comes from each time. */
export interface LateSecret {
	current(): Promise<string>;
	forget?(): void;
}

/** Holds the value as it was at load. Prints as `[redacted]` through String, JSON and inspect. */
export class Secret {
	readonly #value: string | null;
	readonly #source: LateSecret;
	/** Where it comes from, equal for equal places. */
	readonly #origin: string;

	private constructor(value: string | null, source: LateSecret, origin: string) {
		this.#value = value;
		this.#source = source;
		this.#origin = origin;
	}

	/** `file` of the source is absolute. Throws Error with a reason that names variable or file, not the value. */
	static async read(source: SecretSource, env: NodeJS.ProcessEnv): Promise<Secret> {
		const late = { current: () => readSource(source, env) };
		return new Secret(await readSource(source, env), late, JSON.stringify(source));
	}

	/** One that is not known before it is needed. `origin`: where it comes from, without secrets. */
	static late(source: LateSecret, origin: string): Secret {
		return new Secret(null, source, origin);
	}

	/** Whether the other one is read from the same place; what stands there may be another by now. */
	hasOriginOf(other: Secret): boolean {
		return this.#origin === other.#origin;
	}

	/** Whether the other one was the same when the configuration was loaded. */
	hasValueOf(other: Secret): boolean {
		return this.#value === other.#value;
	}

	/** The value as it was when the configuration was loaded. Throws Error for one that came late. */
	reveal(): string {
		if (this.#value === null) throw new Error('this secret is known only when it is needed');
		return this.#value;
	}

	/** The value as it is now: a secret that was rotated in its file is taken up. Throws like `read`. */
	current(): Promise<string> {
		return this.#source.current();
	}

	/** It was not taken: where it is kept for a while, that ends. */
	refused(): void {
		this.#source.forget?.();
	}

	toString(): string {
		return '[redacted]';
	}

	toJSON(): string {
		return '[redacted]';
	}

	[inspect.custom](): string {
		return '[redacted]';
	}
}

async function readSource(source: SecretSource, env: NodeJS.ProcessEnv): Promise<string> {
	if ('text' in source) return source.text;
	if ('env' in source) {
		const value = env[source.env];
		if (value === undefined || value === '') throw new Error(`environment variable ${source.env} is not set`);
		return value;
	}
	let bytes: Buffer;
	try {
		bytes = await readFile(source.file);
	} catch (error) {
		throw new Error(describeFileError(source.file, error));
	}
	if (bytes.length > SECRET_BYTES_MAX) throw new Error(`${source.file} is larger than ${SECRET_BYTES_MAX} bytes`);
	// Editors and `echo` end a file with a line feed that is not part of the secret.
	const text = bytes.toString('utf8').replace(/\r?\n$/, '');
	if (text === '') throw new Error(`${source.file} is empty`);
	return text;
}

/** Why a file could not be read, in words for the operator. */
export function describeFileError(path: string, error: unknown): string {
	const code = error instanceof Error && 'code' in error ? error.code : undefined;
	switch (code) {
		case 'ENOENT':
			return `no such file: ${path}`;
		case 'EACCES':
			return `no permission to read ${path}`;
		case 'EISDIR':
			return `${path} is a folder`;
		default:
			return `${path} cannot be read (${typeof code === 'string' ? code : 'unknown error'})`;
	}
}
