/** `portcullis hash-password`: makes the SCRAM verifier of a password, for `identity.users` of the configuration. */
import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import { formatVerifier, makeVerifier } from '../auth/verifier.ts';
import { CommandError, type CommandIo } from './io.ts';

export interface HashPasswordOptions {
	/** PBKDF2 rounds; more are slower for whoever guesses, and for each login. */
	readonly iterations?: number;
}

/** Reads one line of standard input (asks twice, without echo, at a terminal) and prints the verifier. */
export async function hashPassword(io: CommandIo, options: HashPasswordOptions = {}): Promise<number> {
	const password = io.stdin.isTTY === true ? await askTwice(io) : await firstLine(io.stdin);
	if (password === '') throw new CommandError('the password is empty');
	try {
		io.out(`${formatVerifier(await makeVerifier(password, options))}\n`);
	} catch (error) {
		if (error instanceof RangeError) throw new CommandError(error.message);
		throw error;
	}
	return 0;
}

async function firstLine(stdin: CommandIo['stdin']): Promise<string> {
	const lines = createInterface({ input: stdin, crlfDelay: Number.POSITIVE_INFINITY });
	for await (const line of lines) return line;
	return '';
}

async function askTwice(io: CommandIo): Promise<string> {
	const first = await ask(io, 'Password: ');
	const second = await ask(io, 'Again: ');
	if (first !== second) throw new CommandError('the passwords differ');
	return first;
}

/** The prompt goes to standard error, so that the output can be redirected; what is typed is not shown. */
async function ask(io: CommandIo, prompt: string): Promise<string> {
	io.err(prompt);
	const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
	const terminal = createInterface({ input: io.stdin, output: silent, terminal: true });
	try {
		return await new Promise<string>((resolve, reject) => {
			terminal.once('line', resolve);
			terminal.once('SIGINT', () => reject(new CommandError('cancelled')));
			terminal.once('close', () => reject(new CommandError('cancelled')));
		});
	} finally {
		terminal.close();
		io.err('\n');
	}
}
