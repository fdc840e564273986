/** A PostgreSQL server in a folder of its own that can be stopped, copied and started again, run by an account other than root. */
import { execFile } from 'node:child_process';
import { chown, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePort } from '../../src/cli/demo/postgres.ts';

const execute = promisify(execFile);

export const HOST = '127.0.0.1';
/** The superuser that runs the tests; its name shows in what they print. */
export const SUPERUSER = 'postgres';
export const DATABASE = 'regression';

/** What pg_regress sets for the server, with a server that need not survive a crash. */
const SETTINGS = {
	listen_addresses: HOST,
	unix_socket_directories: '',
	fsync: 'off',
	max_prepared_transactions: '2',
	max_connections: '40',
	wal_level: 'replica',
	log_min_messages: 'fatal',
};

export interface Account {
	readonly uid: number;
	readonly gid: number;
}

/** The account to run servers as: ours, or `postgres` when we are root, which PostgreSQL refuses. */
export async function serverAccount(): Promise<Account | undefined> {
	if (process.getuid?.() !== 0) return undefined;
	const id = async (flag: string): Promise<number> => Number((await execute('id', [flag, SUPERUSER])).stdout);
	return { uid: await id('-u'), gid: await id('-g') };
}

/** Runs a program with none of our own PG* variables. Throws with what it said when it fails. */
export async function run(program: string, args: readonly string[], account?: Account): Promise<string> {
	const env = { PATH: process.env['PATH'] ?? '/usr/bin:/bin', LC_ALL: 'C' };
	const { stdout } = await execute(program, args, { env, cwd: '/', maxBuffer: 1 << 28, ...account });
	return stdout;
}

/** A folder that the account may write to. */
export async function folderFor(account: Account | undefined, path: string): Promise<string> {
	await mkdir(path, { recursive: true });
	if (account !== undefined) await chown(path, account.uid, account.gid);
	return path;
}

export class Cluster {
	readonly data: string;
	private readonly bin: string;
	private readonly account: Account | undefined;
	port = 0;

	constructor(data: string, bin: string, account: Account | undefined) {
		this.data = data;
		this.bin = bin;
		this.account = account;
	}

	/** A new cluster as pg_regress --no-locale makes it; stopped. */
	async initialise(): Promise<void> {
		await rm(this.data, { recursive: true, force: true });
		const args = ['-D', this.data, '-U', SUPERUSER, '--auth=trust', '-E', 'UTF8', '--no-locale', '--no-sync'];
		await run(join(this.bin, 'initdb'), [...args, '--wal-segsize=4'], this.account);
	}

	/** The same bytes as another cluster, which must be stopped. */
	async copyFrom(data: string): Promise<void> {
		await rm(this.data, { recursive: true, force: true });
		await run('cp', ['-a', data, this.data], this.account);
	}

	async start(): Promise<void> {
		this.port = await freePort();
		const flags = Object.entries({ ...SETTINGS, port: String(this.port) }).map(
			([name, value]) => `-c ${name}=${value}`,
		);
		const log = join(this.data, 'server.log');
		await run(
			join(this.bin, 'pg_ctl'),
			['-D', this.data, '-w', '-l', log, '-o', flags.join(' '), 'start'],
			this.account,
		);
	}

	/** `immediate` for one that nobody looks at again. */
	async stop(mode: 'fast' | 'immediate' = 'fast'): Promise<void> {
		await run(join(this.bin, 'pg_ctl'), ['-D', this.data, '-w', '-m', mode, 'stop'], this.account);
	}

	/** Runs SQL as superuser, around any gateway; gives what psql prints unaligned. */
	async sql(database: string, text: string): Promise<string> {
		const to = ['-h', HOST, '-p', String(this.port), '-U', SUPERUSER, '-d', database];
		return run(join(this.bin, 'psql'), ['-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1', ...to, '-c', text]);
	}
}
