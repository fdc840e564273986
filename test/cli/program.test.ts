/** The command line: help and versions, exit statuses, and one line of words for whatever is wrong. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { CommandIo } from '../../src/cli/io.ts';
import { runCommandLine } from '../../src/cli/program.ts';

interface Run {
	readonly status: number;
	readonly out: string;
	readonly err: string;
}

async function run(args: readonly string[], env: NodeJS.ProcessEnv = {}, stdin = ''): Promise<Run> {
	let out = '';
	let err = '';
	const input = new PassThrough();
	input.end(stdin);
	const io: CommandIo = {
		out: (text) => {
			out += text;
		},
		err: (text) => {
			err += text;
		},
		stdin: input,
		env,
		color: false,
		columns: 100,
	};
	const status = await runCommandLine(args, io);
	return { status, out, err };
}

let folder: string;
beforeAll(async () => {
	folder = await mkdtemp(join(tmpdir(), 'portcullis-cli-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const GOOD = `identity: { issuers: [{ issuer: https://id.example.com, audience: portcullis }] }
databases: { shop: { host: 127.0.0.1, port: 1, user: gateway } }
policies: ${JSON.stringify(join(import.meta.dirname, '../../policies'))}
audit: { path: ./audit }
`;

async function configFile(text: string): Promise<string> {
	const file = join(folder, 'portcullis.yaml');
	await writeFile(file, text);
	return file;
}

describe('help and usage', () => {
	const commands = [
		'serve',
		'check',
		'explain',
		'policy test',
		'audit verify',
		'audit search',
		'audit report',
		'audit prove',
		'hash-password',
		'login',
		'token',
		'psql',
		'logout',
		'demo',
	];
	for (const command of commands) {
		test(`${command} --help has an example`, async () => {
			const { status, out } = await run([...command.split(' '), '--help']);
			expect(status).toBe(0);
			expect(out).toMatch(/Examples:\n {2}\$ (portcullis|npm run demo)/);
		});
	}

	test('--version', async () => {
		expect(await run(['--version'])).toMatchObject({ status: 0, out: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) });
	});

	const wrong = [
		{ name: 'an unknown command', args: ['srve'], err: /unknown command 'srve'/ },
		{ name: 'an unknown option', args: ['serve', '--port', '1'], err: /unknown option '--port'/ },
		{ name: 'a missing argument', args: ['explain', '--user', 'ben'], err: /missing required argument 'sql'/ },
		{ name: 'a missing option', args: ['explain', 'select 1'], err: /--user/ },
		{
			name: 'a claim without a value',
			args: ['explain', '--user', 'b', '--claim', 'tenant', 'select 1'],
			err: /name=value/,
		},
		{ name: 'iterations that are no number', args: ['hash-password', '--iterations', 'many'], err: /number/ },
	];
	for (const { name, args, err } of wrong) {
		test(`${name} ends with 2`, async () => {
			const got = await run(args);
			expect(got.status).toBe(2);
			expect(got.err).toMatch(err);
		});
	}
});

/** Each of these is what an operator may do wrong; `err` is everything that is said. */
const MISTAKES: readonly { name: string; yaml: string; command?: string[]; err: RegExp }[] = [
	{
		name: 'an unknown key',
		yaml: `${GOOD}lisen: {}\n`,
		err: /^portcullis: \S+portcullis\.yaml:5: lisen: unknown key\n$/,
	},
	{
		name: 'two mistakes are two lines',
		yaml: GOOD.replace('port: 1', 'prot: 1').replace('audience: portcullis', 'audience: 7'),
		err: /^(portcullis: \S+portcullis\.yaml:\d+: (databases\.shop\.prot: unknown key|identity\.issuers\[0\]\.audience: .*)\n){2}$/,
	},
	{ name: 'no YAML', yaml: 'listen: [', err: /^portcullis: \S+portcullis\.yaml:\d+: .+\n$/ },
	{
		name: 'a missing secret',
		yaml: GOOD.replace('user: gateway', 'user: g, password: { env: NOT_SET }'),
		err: /NOT_SET is not set\n$/,
	},
	{
		name: 'missing policies',
		yaml: GOOD.replace(/policies: .*/, 'policies: ./nowhere'),
		err: /policies: no such file: .*nowhere\n$/,
	},
	{
		name: 'a pool mode that there is not',
		yaml: GOOD.replace('user: gateway', 'user: g, pool: { mode: statement }'),
		command: ['serve'],
		err: /^portcullis: \S+portcullis\.yaml:2: databases\.shop\.pool\.mode: [^\n]*transaction[^\n]*\n$/,
	},
];

describe('bad configuration ends with 1 and says what and where, without a stack trace', () => {
	for (const { name, yaml, command, err } of MISTAKES) {
		for (const words of command
			? [command]
			: [['serve'], ['check'], ['policy', 'test'], ['explain', '--user', 'x', 'select 1']]) {
			test(`${words[0]}: ${name}`, async () => {
				const got = await run([...words, '--config', await configFile(yaml)]);
				expect(got.status).toBe(1);
				expect(got.err).toMatch(err);
				expect(got.err).not.toMatch(/\n {4}at /);
				expect(got.out).toBe('');
			});
		}
	}

	test('a missing file', async () => {
		const got = await run(['check', '--config', join(folder, 'none.yaml')]);
		expect(got).toMatchObject({ status: 1, err: expect.stringMatching(/none\.yaml: no such file/) });
	});

	test('a broken policy: every mistake with file and line', async () => {
		const policies = join(folder, 'policies');
		const { cp } = await import('node:fs/promises');
		await cp(join(import.meta.dirname, '../../policies'), policies, { recursive: true });
		await writeFile(
			join(policies, 'policy.csv'),
			'p, *, shop, connect, alow\np, role:x, shop.a.b, select, mask, none\n',
		);
		const got = await run([
			'serve',
			'--config',
			await configFile(GOOD.replace(/policies: .*/, 'policies: ./policies')),
		]);
		expect(got.status).toBe(1);
		expect(got.err.split('\n')).toEqual([
			expect.stringMatching(/^portcullis: policy\.csv:1: .*alow/),
			expect.stringMatching(/^portcullis: policy\.csv:2: .*none/),
			'',
		]);
	});

	test('PORTCULLIS_DEBUG shows the stack', async () => {
		const got = await run(['check', '--config', join(folder, 'none.yaml')], { PORTCULLIS_DEBUG: '1' });
		expect(got.err).toMatch(/\n {4}at /);
	});
});

test('a port that is taken is one line, and nothing stays behind', async () => {
	const taken = createServer();
	await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
	const { port } = taken.address() as { port: number };
	const file = await configFile(`listen: { port: ${port} }\n${GOOD}`);
	// The audit log is locked by one process: a second attempt shows that the first let go of it.
	for (let attempt = 0; attempt < 2; attempt++) {
		const { status, err } = await run(['serve', '--config', file]);
		const words = err.split('\n').filter((line) => line.startsWith('portcullis:'));
		expect(words).toEqual([`portcullis: port ${port} on 127.0.0.1 is in use already`]);
		expect(status).toBe(1);
	}
	taken.close();
});

test('check says what there is', async () => {
	const got = await run(['check', '--config', await configFile(GOOD)]);
	expect(got.status).toBe(0);
	expect(got.out).toMatch(/ok {2}1 database, 1 issuer, 0 service accounts, \d+ rules/);
});

test('hash-password reads standard input', async () => {
	const got = await run(['hash-password', '--iterations', '4096'], {}, 'secret\n');
	expect(got).toMatchObject({
		status: 0,
		out: expect.stringMatching(/^SCRAM-SHA-256\$4096:[\w+/=]+\$[\w+/=]+:[\w+/=]+\n$/),
	});
});

test('explain on a database that is down says so', async () => {
	const got = await run(['explain', '--config', await configFile(GOOD), '--user', 'ben', 'select 1']);
	expect(got.status).toBe(1);
	expect(got.err).toMatch(/^portcullis: .*shop.*\n$/);
	// What is wrong, and not only that something is.
	expect(got.err).toMatch(/not known at the moment; cannot connect to the database server: connection refused;/);
});
