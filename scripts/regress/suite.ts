/** The regression suite in a PostgreSQL source tree: its schedule, its C library, and how pg_regress runs one file. */
import { spawn } from 'node:child_process';
import { open, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Account, DATABASE, folderFor, HOST, run, SUPERUSER } from './cluster.ts';

/** Longer than any test of the suite takes. */
const TEST_TIMEOUT_MS = 900_000;

export interface Suite {
	/** src/test/regress of the source tree. */
	readonly folder: string;
	/** The files in the order in which they need each other. */
	readonly tests: readonly string[];
	/** Holds regress.so and the shared libraries of contrib that the tests load. */
	readonly libraries: string;
	/** Tables that they copy to and from files of the server. */
	readonly copied: readonly string[];
	/** Where the tests write files, on the server and in psql. */
	readonly output: string;
}

/** Reads the schedule and compiles what the tests load. Needs a C compiler and the server's headers. */
export async function openSuite(source: string, state: string, account: Account | undefined): Promise<Suite> {
	const folder = join(source, 'src', 'test', 'regress');
	const schedule = await readFile(join(folder, 'parallel_schedule'), 'utf8');
	const tests = schedule
		.split('\n')
		.flatMap((line) => (/^test:(.*)$/.exec(line)?.[1] ?? '').split(' ').filter(Boolean));
	const libraries = await folderFor(account, join(state, 'lib'));
	const output = await folderFor(account, join(state, 'output'));
	await folderFor(account, join(output, 'results'));
	await compile(join(folder, 'regress.c'), libraries);
	return { folder, tests, libraries, output, copied: await copiedTables(folder, tests) };
}

async function copiedTables(folder: string, tests: readonly string[]): Promise<readonly string[]> {
	const texts = await Promise.all(tests.map((test) => readFile(join(folder, 'sql', `${test}.sql`), 'utf8')));
	const names = texts.flatMap((text) =>
		[...text.matchAll(/^copy\s+(\w+)[^;]*?\b(?:from|to)\s+[:']/gim)].map((match) => match[1]),
	);
	return [...new Set(names.flatMap((name) => name?.toLowerCase() ?? []))];
}

async function compile(file: string, libraries: string): Promise<void> {
	const say = async (flag: string): Promise<string> => (await run('pg_config', [flag])).trim();
	const target = join(libraries, 'regress.so');
	await run('gcc', ['-O1', '-w', '-fPIC', '-shared', '-I', await say('--includedir-server'), '-o', target, file]);
	const installed = await say('--pkglibdir');
	const names = (await readdir(installed)).filter((name) => name.endsWith('.so'));
	await Promise.all(
		names.map(async (name) => symlink(join(installed, name), join(libraries, name)).catch(() => undefined)),
	);
}

/** SQL for a fresh server, as pg_regress makes the database. */
export const DATABASE_SQL: readonly string[] = [
	`CREATE DATABASE "${DATABASE}" TEMPLATE=template0`,
	...[
		"lc_messages TO 'C'",
		"lc_monetary TO 'C'",
		"lc_numeric TO 'C'",
		"lc_time TO 'C'",
		"bytea_output TO 'hex'",
		"timezone_abbreviations TO 'Default'",
	].map((setting) => `ALTER DATABASE "${DATABASE}" SET ${setting}`),
];

/** Statements that the gateway refuses to everybody: they change as whom statements run, or what the gateway relies on. */
const NEVER_ALLOWED =
	/^(?:(?:re)?set\s+(?:session\s+|local\s+)?(?:role|session\s+authorization|session_authorization|session_replication_role|standard_conforming_strings|lo_compat_privileges|local_preload_libraries)\b|load\b)[^;]*;/gim;

/** A copy of a test without those statements, for both connections; undefined where it has none. */
export async function withoutRefused(suite: Suite, test: string, folder: string): Promise<string | undefined> {
	const text = await readFile(join(suite.folder, 'sql', `${test}.sql`), 'latin1');
	const left = text.replaceAll(NEVER_ALLOWED, '');
	if (left === text) return undefined;
	const copy = join(folder, `${test}.sql`);
	await writeFile(copy, left, 'latin1');
	return copy;
}

/** Runs one file as pg_regress does, and writes everything that psql prints to `result`. True unless it had to be stopped. */
export async function runTest(
	suite: Suite,
	test: string,
	target: { readonly port: number; readonly password: string },
	result: string,
	script = join(suite.folder, 'sql', `${test}.sql`),
): Promise<boolean> {
	const input = await open(script);
	const output = await open(result, 'w');
	const args = ['-X', '-a', '-q', '-d', DATABASE, '-v', 'HIDE_TABLEAM=on', '-v', 'HIDE_TOAST_COMPRESSION=on'];
	try {
		return await new Promise<boolean>((resolve, reject) => {
			const env = {
				PATH: process.env['PATH'] ?? '/usr/bin:/bin',
				LC_MESSAGES: 'C',
				PGTZ: 'PST8PDT',
				PGDATESTYLE: 'Postgres, MDY',
				PGOPTIONS: '-c intervalstyle=postgres_verbose',
				PGHOST: HOST,
				PGPORT: String(target.port),
				PGUSER: SUPERUSER,
				PGPASSWORD: target.password,
				PGAPPNAME: `pg_regress/${test}`,
				PG_ABS_SRCDIR: suite.folder,
				PG_ABS_BUILDDIR: suite.output,
				PG_LIBDIR: suite.libraries,
				PG_DLSUFFIX: '.so',
			};
			const stdio = [input.fd, output.fd, output.fd];
			const child = spawn('psql', args, { env, stdio, cwd: suite.output, timeout: TEST_TIMEOUT_MS });
			child.once('error', reject);
			child.once('close', (_code, signal) => {
				resolve(signal === null);
			});
		});
	} finally {
		await Promise.all([input.close(), output.close()]);
	}
}
