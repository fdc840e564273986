/** The demo as people run it: the tour, lines to copy that work, a clean end, free ports, and nothing left behind. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, rm, symlink } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import { compiledProgram } from '../support/program.ts';
import { hasPsql } from '../support/psql.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const DEADLINE_MS = 180_000;

interface Demo {
	readonly child: ChildProcess;
	/** Everything written so far. */
	text(): string;
	readonly ended: Promise<number | null>;
}

/** With a home that is empty, as on a new machine, and without a terminal. */
async function startDemo(...args: readonly string[]): Promise<Demo> {
	const [node, program] = await compiledProgram();
	const child = spawn(node, [program, 'demo', ...args], {
		cwd: ROOT,
		env: { PATH: process.env['PATH'] ?? '', HOME: '/nonexistent' },
		stdio: ['ignore', 'pipe', 'pipe'],
	});
	let written = '';
	for (const stream of [child.stdout, child.stderr]) {
		stream.setEncoding('utf8');
		stream.on('data', (chunk: string) => {
			written += chunk;
		});
	}
	const ended = new Promise<number | null>((resolve) => child.once('close', (code) => resolve(code)));
	return { child, text: () => written, ended };
}

/** The demo's folder, from its own words. */
function folderOf(demo: Demo): string {
	return /(\S*portcullis-demo-\w+)\/audit/.exec(demo.text())?.[1] ?? 'no folder was named';
}

/** Holds the demo's usual ports, where nobody else does already. */
async function takePorts(): Promise<Server[]> {
	const take = (port: number): Promise<Server> =>
		new Promise((resolve) => {
			const server = createServer();
			server.once('error', () => resolve(server));
			server.listen(port, '127.0.0.1', () => resolve(server));
		});
	return Promise.all([6432, 9455, 5499].map(take));
}

test('--once: shows the tour with its usual ports taken, ends with 0, leaves nothing', {
	timeout: DEADLINE_MS,
}, async () => {
	const taken = await takePorts();
	const demo = await startDemo('--once');
	const status = await demo.ended;
	for (const server of taken) server.close();
	const text = demo.text();
	expect(status, text).toBe(0);
	const ways = [
		['SCRAM-SHA-256', 'app', 'scram-sha-256'],
		['SCRAM-SHA-256-PLUS', 'app', 'scram-sha-256-plus'],
		['client certificate', 'loader', 'certificate'],
		['token as the password', 'ben', 'token'],
		['token of a program', 'workload:reporting', 'token'],
		['device flow', 'ana', 'device'],
		['OAUTHBEARER', 'gita', 'oauthbearer'],
		['portcullis login', 'ana', 'token'],
	];
	for (const [title, who, method] of ways) expect(text).toMatch(new RegExp(`^   ${title} .* ${who} +${method}$`, 'm'));
	expect(text).toMatch(/NOTICE: {2}sign in as ana: open http:\S+ and confirm the code \S+\n/);
	expect(text).toMatch(/Hiro Larsen\s+XXX-XX-7907 │ 1\s+Hiro Larsen\s+937-54-7907 │/);
	expect(text).toMatch(/✘ ERROR 42501/);
	expect(text).toMatch(/denied by\s/);
	expect(text).toMatch(/policy\.csv:\d+/);
	expect(text).toMatch(/✔ UPDATE 2/);
	expect(text).toMatch(/\d\d:\d\d:\d\d\.\d{3} ben {3}mask/);
	expect(text).not.toMatch(/127\.0\.0\.1:6432\b|internal error/);
	expect(text).not.toContain('\u001b');
	expect(text.split('\n').filter((line) => line.length > 100)).toEqual([]);
	expect(existsSync(folderOf(demo))).toBe(false);
});

test('every printed line works; Ctrl-C ends all of it', { timeout: DEADLINE_MS }, async () => {
	const demo = await startDemo();
	try {
		await expect.poll(() => demo.text(), { timeout: DEADLINE_MS / 2 }).toContain('Running until Ctrl-C');
		const lines = copied(demo.text());
		expect(lines.map((line) => /psql|node|npx/.exec(line)?.[0])).toEqual(['psql', 'psql', 'node', 'npx']);
		const [asAnalyst = '', asWriter = '', driver = '', explain = ''] = lines;
		if (hasPsql()) {
			expect(await shell(asAnalyst)).toContain('Hiro Larsen  | XXX-XX-7907 |');
			expect(await shell(asWriter, "select 'orders', count(*) > 3000 from sales.orders;\n")).toMatch(/orders\s+\| t/);
		}
		expect(await shell(driver)).toContain("'XXX-XX-7907'");
		expect(await shell(explain)).toMatch(/decision {2}mask.*ssn masked by ssn_last4.*policy\.csv:\d+/s);
		const folder = folderOf(demo);
		expect(existsSync(folder)).toBe(true);
		const databases = readdirSync(tmpdir()).filter((name) => name.startsWith('portcullis-pg-'));
		demo.child.kill('SIGINT');
		expect(await demo.ended).toBe(0);
		expect(existsSync(folder)).toBe(false);
		// Other tests have servers of their own: one of those that were there is gone.
		const left = readdirSync(tmpdir()).filter((name) => databases.includes(name));
		expect(left.length).toBeLessThan(databases.length);
	} finally {
		demo.child.kill('SIGKILL');
	}
});

test('interrupted while it starts, it ends and leaves nothing', { timeout: DEADLINE_MS }, async () => {
	const before = new Set(readdirSync(tmpdir()));
	const demo = await startDemo();
	await expect.poll(() => demo.text(), { timeout: DEADLINE_MS / 2 }).toContain('Portcullis');
	demo.child.kill('SIGTERM');
	expect(await demo.ended).toBe(130);
	const left = readdirSync(tmpdir()).filter((name) => !before.has(name) && name.startsWith('portcullis-demo-'));
	expect(left.map((name) => join(tmpdir(), name))).toEqual([]);
});

test('where only the packages of a gateway in production are, one line says what to do', async () => {
	const [node, program] = await compiledProgram();
	const compiled = join(dirname(program), '..');
	const folder = await mkdtemp(join(tmpdir(), 'portcullis-test-'));
	onTestFinished(() => rm(folder, { recursive: true, force: true }));
	for (const name of ['bin', 'dist', 'package.json'])
		await cp(join(compiled, name), join(folder, name), { recursive: true });
	const { dependencies } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as { dependencies: object };
	for (const name of Object.keys(dependencies)) {
		const link = join(folder, 'node_modules', name);
		await mkdir(dirname(link), { recursive: true });
		await symlink(join(ROOT, 'node_modules', name), link);
	}
	const words = await new Promise((resolve) => {
		execFile(node, [join(folder, 'bin', 'portcullis.js'), 'demo', '--once'], (_error, stdout, stderr) =>
			resolve(stdout + stderr),
		);
	});
	expect(words).toBe(
		'portcullis: the demo needs the development packages: run npm ci && npm run demo in a clone of the repository\n',
	);
});

/** The commands that the demo prints to be copied, continuation lines included. */
function copied(text: string): string[] {
	const found: string[][] = [];
	let open = false;
	for (const line of text.slice(text.indexOf(' Try it')).split('\n')) {
		if (/^ {3}(PGPASSWORD|npx)/.test(line)) found.push([line]);
		else if (open && /^ {5}/.test(line)) found.at(-1)?.push(line);
		open = /^ {3}(PGPASSWORD|npx)/.test(line) || (open && /^ {5}/.test(line));
	}
	return found.map((lines) => lines.join('\n'));
}

async function shell(command: string, input = ''): Promise<string> {
	return new Promise((resolve, reject) => {
		const child = execFile('bash', ['-c', command], { cwd: ROOT, timeout: 120_000 }, (error, stdout, stderr) => {
			if (error) reject(new Error(`${command}\n${stderr}`));
			else resolve(stdout);
		});
		child.stdin?.end(input);
	});
}
