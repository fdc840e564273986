/** The commands check and hash-password, without a terminal and with a pretended one. */
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { parseVerifier, scramKeys, sha256 } from '../../src/auth/verifier.ts';
import { check } from '../../src/cli/check.ts';
import { hashPassword } from '../../src/cli/hash-password.ts';
import { CommandError, type CommandIo } from '../../src/cli/io.ts';
import { ConfigError } from '../../src/config/document.ts';
import { PolicyError } from '../../src/policy/problem.ts';

interface TestIo extends CommandIo {
	readonly written: { out: string; err: string };
	readonly stdin: CommandIo['stdin'] & PassThrough;
}

function testIo(input: string | undefined, terminal = false): TestIo {
	const written = { out: '', err: '' };
	const stdin = Object.assign(new PassThrough(), { isTTY: terminal, setRawMode: () => undefined });
	if (input !== undefined) stdin.end(input);
	const append = (to: 'out' | 'err') => (text: string) => {
		written[to] += text;
	};
	return { written, stdin, out: append('out'), err: append('err'), env: {}, color: false, columns: 100 };
}

describe('check', () => {
	let folder: string;
	beforeEach(async () => {
		folder = await mkdtemp(join(tmpdir(), 'portcullis-check-'));
		await cp(fileURLToPath(new URL('../../policies', import.meta.url)), join(folder, 'policies'), { recursive: true });
	});
	afterEach(() => rm(folder, { recursive: true, force: true }));

	const CONFIG = `identity:
  issuers: [{ issuer: https://id.example.com, audience: portcullis, claims: [tenant] }]
databases: { shop: { host: localhost, user: gateway } }
`;

	async function run(config: string): Promise<string> {
		const file = join(folder, 'portcullis.yaml');
		await writeFile(file, config);
		const io = testIo('');
		expect(await check(io, { config: file })).toBe(0);
		return io.written.out;
	}

	test('sums up what is sound', async () => {
		expect(await run(CONFIG)).toMatch(
			/^ok {2}1 database, 1 issuer, 0 service accounts, \d+ rules and \d+ links \(policy [0-9a-f]{16}\)\n$/,
		);
	});

	test('warns of what is likely not meant', async () => {
		const out = await run(CONFIG.replace('[tenant]', '[region]').replace('localhost', 'db, tls: { mode: disable }'));
		expect(out).toContain('warning  databases.shop.tls.mode: disable to db');
		expect(out).toContain(
			'warning  masks.yaml names claims.tenant, which no issuer and no user of the configuration has',
		);
	});

	test('says what workers make of the sizes of pools, and where they are too small for them', async () => {
		const shop = CONFIG.replace('gateway }', 'gateway, pool: { size: SIZE } }');
		expect(await run(`workers: 3\n${shop.replace('SIZE', '10')}`)).toMatch(
			/^3 workers; server connections of each, which they lend each other: 3 or 4 of 10 for shop\nok /,
		);
		expect(await run(`workers: 3\n${shop.replace('SIZE', '2')}`)).toContain(
			'warning  databases.shop.pool.size: 2 is less than the number of workers (3), which have to take turns\n',
		);
		expect(await run(`workers: auto\n${shop.replace('SIZE', '1000')}`)).toMatch(/(?:^|\n)ok /);
	});

	test('refuses a configuration with mistakes', async () => {
		await expect(run(CONFIG.replace('host: localhost', 'hots: localhost'))).rejects.toThrow(ConfigError);
		await expect(run(CONFIG.replace('https:', 'http:'))).rejects.toThrow(CommandError);
	});

	test('refuses a policy with mistakes, all of them', async () => {
		await writeFile(join(folder, 'policies/policy.csv'), 'p, *\np, *, shop, connect, alow\n');
		await expect(run(CONFIG)).rejects.toThrow(PolicyError);
		await expect(run(CONFIG)).rejects.toThrow(/^policy\.csv:1: .*\npolicy\.csv:2: .*$/);
	});
});

describe('hash-password', () => {
	async function verifies(output: string, password: string): Promise<boolean> {
		const verifier = parseVerifier(output.trim());
		if (!verifier) return false;
		const { clientKey } = await scramKeys(password, verifier.salt, verifier.iterations);
		return sha256(clientKey).equals(verifier.storedKey);
	}

	test('reads one line and prints its verifier', async () => {
		for (const [input, password] of [
			['secret', 'secret'],
			['secret\n', 'secret'],
			['secret\r\nmore\n', 'secret'],
			[' with blanks \n', ' with blanks '],
			['pässwört\n', 'pässwört'],
		] as const) {
			const io = testIo(input);
			expect(await hashPassword(io, { iterations: 4096 })).toBe(0);
			expect(io.written.out).toMatch(/^SCRAM-SHA-256\$4096:\S+\n$/);
			expect(await verifies(io.written.out, password)).toBe(true);
			expect(await verifies(io.written.out, `${password}x`)).toBe(false);
			expect(io.written.err).toBe('');
		}
	});

	test('refuses an empty and an endless password', async () => {
		await expect(hashPassword(testIo(''))).rejects.toThrow('the password is empty');
		await expect(hashPassword(testIo('\n'))).rejects.toThrow('the password is empty');
		await expect(hashPassword(testIo('x'.repeat(5_000)))).rejects.toThrow('longer than');
	});

	/** Types a line at each prompt. */
	async function atTerminal(lines: readonly string[]): Promise<TestIo> {
		const waiting = [...lines];
		const io = testIo(undefined, true);
		const prompting: TestIo = {
			...io,
			err: (text) => {
				io.err(text);
				if (text.endsWith(': ')) queueMicrotask(() => io.stdin.write(waiting.shift() ?? ''));
			},
		};
		await hashPassword(prompting, { iterations: 4096 });
		return io;
	}

	test('asks twice at a terminal, and shows nothing of what is typed', async () => {
		const io = await atTerminal(['secret\r', 'secret\r']);
		expect(io.written.err).toBe('Password: \nAgain: \n');
		expect(await verifies(io.written.out, 'secret')).toBe(true);
	});

	test('refuses two different passwords, and Ctrl-C', async () => {
		await expect(atTerminal(['secret\r', 'other\r'])).rejects.toThrow('the passwords differ');
		await expect(atTerminal(['sec\u0003'])).rejects.toThrow('cancelled');
	});
});
