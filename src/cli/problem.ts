/** Turns whatever ended a command into the words for standard error: one line for each problem, no stack trace. */
import { inspect } from 'node:util';
import { ConfigError } from '../config/document.ts';
import { GatewayError } from '../errors.ts';
import { PolicyError } from '../policy/problem.ts';
import { CommandError } from './io.ts';

export interface Ending {
	/** With line end. */
	readonly text: string;
	/** The same as it was thrown: without the program's name in front of each line. */
	readonly words: string;
	readonly status: 1 | 2;
}

/** The stack trace is shown only where PORTCULLIS_DEBUG is set. */
export function describeFailure(error: unknown, env: NodeJS.ProcessEnv): Ending {
	const words = wordsOf(error);
	const lines = words
		.split('\n')
		.map((line) => `portcullis: ${line}\n`)
		.join('');
	const debug = (env['PORTCULLIS_DEBUG'] ?? '') === '' ? '' : `${inspect(error)}\n`;
	return { text: lines + debug, words, status: error instanceof CommandError ? error.exitStatus : 1 };
}

function wordsOf(error: unknown): string {
	// The folder of the files is said once, by the caller or the first problem.
	if (error instanceof ConfigError || error instanceof PolicyError || error instanceof CommandError)
		return error.message;
	if (error instanceof GatewayError) {
		// Words of our own; those of the system are in the message already.
		const cause = error.cause instanceof GatewayError ? error.cause.message : undefined;
		const parts = [error.message, cause, error.detail, error.hint].filter((part) => part !== undefined);
		return parts.map((part) => part.replace(/\.$/, '')).join('; ');
	}
	if (error instanceof Error && 'syscall' in error) return error.message;
	const words = error instanceof Error ? error.message : String(error);
	return `internal error: ${words} (PORTCULLIS_DEBUG=1 shows where)`;
}
