/** Passwords that a program prints: run without a shell, together, kept for a while, and never shown when it fails. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { PasswordCommand } from '../../src/config/password-command.ts';

let folder: string;
beforeEach(async () => {
	folder = await mkdtemp(join(tmpdir(), 'portcullis-command-'));
	await writeFile(join(folder, 'token'), 'two\nlines\n');
});
afterEach(() => rm(folder, { recursive: true }));

const env = { PATH: process.env['PATH'], PASSWORD: 'from the environment' };
let nowMs = 0;

function command(words: readonly [string, ...string[]], keepMs = 0): PasswordCommand {
	return new PasswordCommand({ command: words, keepMs, folder, env, nowMs: () => nowMs });
}

/** Each run prints one more. */
const counter = (name: string): readonly [string, ...string[]] => [
	'sh',
	'-c',
	`echo x >> ${name}; echo secret$(wc -l < ${name} | tr -d ' ')`,
];

test('without its line end, with the environment, and without a shell in between', async () => {
	expect(await command(['printf', '%s\n', '$(id) `id` ; a']).current()).toBe('$(id) `id` ; a');
	expect(await command(['sh', '-c', 'printf "%s\\r\\n" "$PASSWORD"']).current()).toBe('from the environment');
	expect(await command(['cat', './token']).current()).toBe('two\nlines');
	expect(await command(['sh', '-c', 'cat; echo ended']).current()).toBe('ended');
});

test('those who ask at the same time get one run; each later one another, unless it is kept', async () => {
	const each = command(counter('each'));
	expect(await Promise.all([each.current(), each.current(), each.current()])).toEqual([
		'secret1',
		'secret1',
		'secret1',
	]);
	expect(await each.current()).toBe('secret2');
	const kept = command(counter('kept'), 1000);
	expect([await kept.current(), await kept.current()]).toEqual(['secret1', 'secret1']);
	nowMs += 1000;
	expect(await kept.current()).toBe('secret2');
	kept.forget();
	expect(await kept.current()).toBe('secret3');
	expect(await readFile(join(folder, 'kept'), 'utf8')).toBe('x\nx\nx\n');
});

describe('failures, which name the program and nothing that it printed', () => {
	const rows: { name: string; words: readonly [string, ...string[]]; want: RegExp }[] = [
		{
			name: 'a status',
			words: ['sh', '-c', 'echo hunter; echo hunter >&2; exit 3'],
			want: /^sh: ended with status 3$/,
		},
		{ name: 'nothing printed', words: ['true'], want: /^true: printed nothing$/ },
		{ name: 'an empty line', words: ['echo'], want: /^echo: printed nothing$/ },
		{ name: 'no such program', words: ['no-such-program', 'hunter'], want: /^no-such-program: no such program$/ },
		{ name: 'no program at all', words: ['./token'], want: /^\.\/token: may not be run$/ },
		{ name: 'a signal', words: ['sh', '-c', 'kill -TERM $$'], want: /^sh: was ended by SIGTERM$/ },
		{ name: 'too much', words: ['sh', '-c', 'yes hunter'], want: /^sh: printed more than 65536 bytes$/ },
	];
	test.each(rows)('$name', async ({ words, want }) => {
		const failing = command(words, 1000);
		const failure: unknown = await failing.current().catch((error: unknown) => error);
		expect((failure as Error).message).toMatch(want);
		expect((failure as Error).message).not.toContain('hunter');
		// A failure is not kept.
		await expect(failing.current()).rejects.toThrow();
	});
});
