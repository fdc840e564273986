/** A cluster under real Patroni with a real etcd (Debian: patroni, etcd-server, postgresql), for tests that take its leader away. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { chown, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { stringify } from 'yaml';
import { freePort } from '../../src/cli/demo/postgres.ts';

const SUPERUSER_PASSWORD = 'superuser-password';
const DEADLINE_MS = 90_000;

/** Folder of the server's programs; null where something is missing. */
export function patroniBinaries(): string | null {
	if (!existsSync('/usr/bin/patroni') || !existsSync('/usr/bin/etcd')) return null;
	const versions = existsSync('/usr/lib/postgresql') ? readdirSync('/usr/lib/postgresql') : [];
	const folders = versions.map((version) => `/usr/lib/postgresql/${version}/bin`);
	return folders.find((folder) => existsSync(join(folder, 'postgres')) && existsSync(join(folder, 'pgbench'))) ?? null;
}

export interface PatroniNode {
	readonly name: string;
	readonly port: number;
	/** Of its REST interface. */
	readonly url: string;
	/** The whole machine goes: Patroni and PostgreSQL are killed at once. */
	kill(): Promise<void>;
	/** PostgreSQL alone crashes; its Patroni finds it so. */
	crash(): Promise<void>;
	start(): void;
}

export interface PatroniCluster {
	readonly nodes: readonly PatroniNode[];
	/** The node that holds the lock; waits until there is one and all that run follow it. */
	leader(running?: number): Promise<PatroniNode>;
	/** Moves the leader in order, as an operator does. */
	switchover(from: PatroniNode): Promise<void>;
	/** Runs SQL text as the superuser on a node. */
	sql(node: PatroniNode, database: string, text: string): Promise<Record<string, unknown>[]>;
	/** What the programs printed, for a test that fails. */
	said(): string;
	stop(): Promise<void>;
}

interface Account {
	readonly uid?: number;
	readonly gid?: number;
}

export async function startPatroni(binaries: string, count: number): Promise<PatroniCluster> {
	const account = await postgresAccount();
	const folder = await mkdtemp('/tmp/portcullis-patroni-');
	if (account.uid !== undefined && account.gid !== undefined) await chown(folder, account.uid, account.gid);
	let said = '';
	const programs = new Set<ChildProcess>();
	const run = (program: string, args: string[]): ChildProcess => {
		const env = {
			PATH: `${binaries}:/usr/bin:/bin`,
			HOME: folder,
			LC_ALL: 'C.UTF-8',
			ETCD_UNSUPPORTED_ARCH: process.arch,
		};
		const child = spawn(program, args, { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'], ...account });
		programs.add(child);
		child.once('exit', () => programs.delete(child));
		const keep = (chunk: Buffer): void => {
			said = `${said}${chunk.toString()}`.slice(-64 * 1024);
		};
		child.stdout.on('data', keep);
		child.stderr.on('data', keep);
		return child;
	};
	const etcd = await freePort();
	const peers = await freePort();
	const client = `http://127.0.0.1:${etcd}`;
	const peer = `http://127.0.0.1:${peers}`;
	const listening = ['--listen-client-urls', client, '--advertise-client-urls', client];
	const peering = ['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer, '--initial-cluster', `n=${peer}`];
	run('/usr/bin/etcd', [
		'--name',
		'n',
		'--data-dir',
		join(folder, 'etcd'),
		...listening,
		...peering,
		'--unsafe-no-fsync',
	]);
	const nodes: PatroniNode[] = [];
	for (let index = 1; index <= count; index++)
		nodes.push(await makeNode({ index, folder, account, etcd, binaries, run }));
	for (const node of nodes) node.start();
	const cluster: PatroniCluster = {
		nodes,
		leader: (running = count) => awaitLeader(nodes, running, () => said),
		switchover: async (from) => {
			const answer = await fetch(`${from.url}/switchover`, {
				method: 'POST',
				body: JSON.stringify({ leader: from.name }),
			});
			if (!answer.ok) throw new Error(`switchover: ${await answer.text()}`);
		},
		sql,
		said: () => said,
		stop: async () => {
			await Promise.all(nodes.map((node) => node.kill()));
			const running = [...programs];
			for (const child of running) child.kill('SIGKILL');
			await Promise.all(running.map(ended));
			await rm(folder, { recursive: true, force: true, maxRetries: 10 });
		},
	};
	return cluster;
}

interface NodeParts {
	readonly index: number;
	readonly folder: string;
	readonly account: Account;
	readonly etcd: number;
	readonly binaries: string;
	readonly run: (program: string, args: string[]) => ChildProcess;
}

async function makeNode({ index, folder, account, etcd, binaries, run }: NodeParts): Promise<PatroniNode> {
	const name = `node${index}`;
	const [port, rest] = [await freePort(), await freePort()];
	const own = join(folder, name);
	await mkdir(own);
	if (account.uid !== undefined && account.gid !== undefined) await chown(own, account.uid, account.gid);
	const file = join(own, 'patroni.yaml');
	await writeFile(file, stringify(settingsOf({ name, port, rest, own, etcd, binaries })));
	let patroni: ChildProcess | null = null;
	const postmaster = async (): Promise<number | null> => {
		const text = await readFile(join(own, 'data', 'postmaster.pid'), 'utf8').catch(() => '');
		const pid = Number(text.split('\n')[0]);
		return pid > 0 ? pid : null;
	};
	const crash = async (): Promise<void> => {
		const pid = await postmaster();
		if (pid !== null) signal(pid, 'SIGKILL');
	};
	return {
		name,
		port,
		url: `http://127.0.0.1:${rest}`,
		crash,
		kill: async () => {
			const running = patroni;
			running?.kill('SIGKILL');
			await crash();
			if (running !== null) await ended(running);
		},
		start: () => {
			patroni = run('/usr/bin/patroni', [file]);
		},
	};
}

/** Times as short as Patroni takes them: a leader that is gone is replaced 20 seconds after it last renewed its lock. */
function settingsOf(at: {
	readonly name: string;
	readonly port: number;
	readonly rest: number;
	readonly own: string;
	readonly etcd: number;
	readonly binaries: string;
}): object {
	const { name, port, rest, own, etcd, binaries } = at;
	const parameters = { max_connections: 100, shared_buffers: '32MB', wal_keep_size: '256MB', wal_log_hints: 'on' };
	const dcs = {
		ttl: 20,
		loop_wait: 1,
		retry_timeout: 3,
		primary_start_timeout: 0,
		maximum_lag_on_failover: 1_048_576,
		// Nothing that was acknowledged may be lost: the test counts.
		synchronous_mode: true,
		postgresql: { use_pg_rewind: true, parameters },
	};
	const authentication = {
		superuser: { username: 'postgres', password: SUPERUSER_PASSWORD },
		replication: { username: 'replicator', password: 'replicator-password' },
	};
	return {
		scope: 'shop',
		name,
		restapi: { listen: `127.0.0.1:${rest}`, connect_address: `127.0.0.1:${rest}` },
		etcd3: { hosts: `127.0.0.1:${etcd}` },
		bootstrap: { dcs, initdb: [{ encoding: 'UTF8' }, { locale: 'C' }, 'no-sync'] },
		postgresql: {
			listen: `127.0.0.1:${port}`,
			connect_address: `127.0.0.1:${port}`,
			data_dir: join(own, 'data'),
			bin_dir: binaries,
			pgpass: join(own, 'pgpass'),
			authentication,
			parameters: { unix_socket_directories: own, fsync: 'off', password_encryption: 'scram-sha-256' },
			pg_hba: [
				'local all all trust',
				'host replication all 127.0.0.1/32 scram-sha-256',
				'host all all 127.0.0.1/32 scram-sha-256',
			],
		},
	};
}

async function awaitLeader(nodes: readonly PatroniNode[], running: number, said: () => string): Promise<PatroniNode> {
	const endMs = performance.now() + DEADLINE_MS;
	while (performance.now() < endMs) {
		for (const { url } of nodes) {
			const members = await membersAt(url);
			const leader = members.find(({ role, state }) => role === 'leader' && state === 'running');
			const following = members.filter(({ role, state }) => role !== 'leader' && /running|streaming/.test(state));
			const insync = following.some(({ role }) => role === 'sync_standby') || running === 1;
			const node = nodes.find(({ name }) => name === leader?.name);
			const holds = node !== undefined && insync && following.length + 1 >= running;
			// The list is what members last said of themselves; this asks the node.
			if (holds && (await fetch(`${node.url}/primary`).catch(() => null))?.ok === true) return node;
		}
		await sleep(200);
	}
	throw new Error(`Patroni has no leader with ${running - 1} followers:\n${said()}`);
}

async function membersAt(url: string): Promise<{ name: string; role: string; state: string }[]> {
	try {
		const answer = await fetch(`${url}/cluster`, { signal: AbortSignal.timeout(2000) });
		const body = (await answer.json()) as { members?: { name: string; role: string; state: string }[] };
		return body.members ?? [];
	} catch {
		return [];
	}
}

async function sql({ port }: PatroniNode, database: string, text: string): Promise<Record<string, unknown>[]> {
	const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', password: SUPERUSER_PASSWORD, database });
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

/** PostgreSQL does not run as root. */
async function postgresAccount(): Promise<Account> {
	if (process.getuid?.() !== 0) return {};
	const entries = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'));
	const [, , uid, gid] = entries.find(([name]) => name === 'postgres') ?? [];
	if (uid === undefined || gid === undefined) throw new Error('there is no account postgres');
	return { uid: Number(uid), gid: Number(gid) };
}

function signal(pid: number, name: NodeJS.Signals): void {
	try {
		process.kill(pid, name);
	} catch {
		// It has ended already.
	}
}

async function ended(child: ChildProcess): Promise<void> {
	if (child.exitCode !== null || child.signalCode !== null) return;
	await new Promise<void>((resolve) => {
		child.once('exit', () => resolve());
	});
}
