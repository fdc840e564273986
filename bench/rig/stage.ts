/** Everything that a benchmark runs against: PostgreSQL with its tables, PgBouncer, and the gateway under two policies. */
import { randomBytes } from 'node:crypto';
import { chown, cp, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { stringify } from 'yaml';
import { type EmbeddedPostgres, freePort, startEmbeddedPostgres } from '../../src/cli/demo/postgres.ts';
import { shopRolesSql, shopSql } from '../../src/cli/demo/shop.ts';
import { type Proxy, startProxy } from './process.ts';
import { type Program, runProgram } from './programs.ts';
import { openPolicy, ownRules, ROLE, rowsSql, TENANT, viewsSql } from './tables.ts';

/**
 * direct: no proxy. demo: the policy of the repository, with the rules that the benchmark's tables need. open: allows all.
 * Those with `pooled` have transaction pooling on a few server connections; the others give each client one of its own.
 * `workers`: the demo with two of them, where the others have one process. `reuse`: the next client gets the connection, as from PgBouncer.
 */
export type TargetKind = 'direct' | 'pgbouncer' | 'pgbouncer-pooled' | GatewayKind;

type GatewayKind = 'demo' | 'open' | 'demo-workers' | 'demo-reuse' | 'demo-pooled' | 'demo-workers-pooled';

export interface Target {
	readonly kind: TargetKind;
	readonly port: number;
	/** Null where the client talks to PostgreSQL itself. */
	readonly proxy: Proxy | null;
	/** Where a gateway tells its metrics. */
	readonly adminPort?: number;
}

export interface Stage {
	readonly postgres: EmbeddedPostgres;
	/** Temporary: scripts, logs, data. */
	readonly folder: string;
	readonly targets: readonly Target[];
	readonly password: string;
	/** Runs SQL as superuser, around every proxy. */
	sql(text: string): Promise<readonly Record<string, unknown>[]>;
	/** What libpq's programs need to reach a target. */
	env(target: Target): NodeJS.ProcessEnv;
	stop(): Promise<void>;
}

export interface StageOptions {
	readonly kinds: readonly TargetKind[];
	/** Null: left out. */
	readonly pgbouncer: Program | null;
	readonly pgbench: Program | null;
	/** pgbench's scale: 100,000 accounts each. */
	readonly scale: number;
	/** Of the table that is read and copied as a whole. */
	readonly rows: number;
	/** More arguments for the gateway's node. */
	readonly nodeArgs: (kind: GatewayKind) => readonly string[];
	readonly say: (words: string) => void;
}

export const DATABASE = 'shop';
const CONNECTIONS_MAX = 1_100;
/** Server connections behind a pooled target, and clients that it takes. */
export const POOL_SIZE = 20;
const POOLED_CLIENTS_MAX = 12_000;

const repository = new URL('../../', import.meta.url);

/** Throws Error where something does not start; nothing is left behind then. */
export async function setStage(options: StageOptions): Promise<Stage> {
	const undo: (() => Promise<unknown>)[] = [];
	const stop = async (): Promise<void> => {
		for (let step = undo.pop(); step !== undefined; step = undo.pop()) await step();
	};
	try {
		const folder = await mkdtemp(join(tmpdir(), 'portcullis-bench-'));
		undo.push(() => rm(folder, { recursive: true, force: true }));
		// PgBouncer keeps those of clients that have left while the next proxy opens its own.
		const settings = {
			max_connections: String(2 * CONNECTIONS_MAX + 50),
			shared_buffers: '512MB',
			max_wal_size: '4GB',
		};
		const postgres = await startEmbeddedPostgres({ settings });
		undo.push(() => postgres.stop());
		const password = randomBytes(12).toString('hex');
		const sql = (text: string) => asSuperuser(postgres, DATABASE, text);
		await fill(postgres, password, options);
		const parts: Parts = { folder, postgres, password, verifier: await verifierOf(postgres), options };
		const targets: Target[] = [];
		for (const kind of options.kinds) {
			const target = await startTarget(kind, parts);
			const { proxy } = target;
			if (proxy !== null) undo.push(() => proxy.stop());
			targets.push(target);
		}
		const env = ({ port }: Target): NodeJS.ProcessEnv => libpqEnv(port, ROLE, password);
		return { postgres, folder, targets, password, sql, env, stop };
	} catch (error) {
		await stop();
		throw error;
	}
}

interface Parts {
	readonly folder: string;
	readonly postgres: EmbeddedPostgres;
	readonly password: string;
	/** Of the role's password, as in pg_authid: PgBouncer and the gateway check the same one. */
	readonly verifier: string;
	readonly options: StageOptions;
}

async function fill(postgres: EmbeddedPostgres, password: string, options: StageOptions): Promise<void> {
	const { pgbench, scale, rows, say } = options;
	say(`PostgreSQL ${postgres.version}: the sample database, ${scale * 100_000} accounts, ${rows} rows to copy`);
	await asSuperuser(postgres, 'postgres', shopRolesSql(randomBytes(9).toString('hex')));
	await asSuperuser(postgres, 'postgres', `create database ${DATABASE}`);
	await asSuperuser(postgres, DATABASE, shopSql());
	if (pgbench !== null) {
		const env = libpqEnv(postgres.port, postgres.user, postgres.password);
		await runProgram(pgbench.path, ['--initialize', '--quiet', `--scale=${scale}`], { env });
	}
	await asSuperuser(postgres, DATABASE, rowsSql(rows));
	await asSuperuser(postgres, DATABASE, viewsSql(password));
	await asSuperuser(postgres, DATABASE, 'vacuum analyze');
	await asSuperuser(postgres, DATABASE, 'checkpoint');
}

async function verifierOf(postgres: EmbeddedPostgres): Promise<string> {
	const [row] = await asSuperuser(postgres, DATABASE, `select rolpassword from pg_authid where rolname = '${ROLE}'`);
	return String(row?.['rolpassword']);
}

async function startTarget(kind: TargetKind, parts: Parts): Promise<Target> {
	switch (kind) {
		case 'direct':
			return { kind, port: parts.postgres.port, proxy: null };
		case 'pgbouncer':
		case 'pgbouncer-pooled':
			return startPgbouncer(kind, parts);
		default:
			return startGateway(kind, parts);
	}
}

/** SCRAM on both sides, no TLS, no logs of connections. It refuses to run as root, so it runs as whoever runs PostgreSQL. */
async function startPgbouncer(kind: 'pgbouncer' | 'pgbouncer-pooled', parts: Parts): Promise<Target> {
	const { folder, postgres, verifier, options } = parts;
	if (options.pgbouncer === null) throw new Error('pgbouncer is missing');
	const { uid, gid } = await stat(postgres.directory);
	const port = await freePort();
	const home = join(postgres.directory, kind);
	const pooled = kind === 'pgbouncer-pooled';
	await mkdir(home);
	const settings = `[databases]
${DATABASE} = host=${postgres.host} port=${postgres.port} dbname=${DATABASE}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = ${join(home, 'users.txt')}
pool_mode = ${pooled ? 'transaction' : 'session'}
default_pool_size = ${pooled ? POOL_SIZE : CONNECTIONS_MAX}
max_client_conn = ${POOLED_CLIENTS_MAX}
ignore_startup_parameters = extra_float_digits,options
log_connections = 0
log_disconnections = 0
`;
	await writeFile(join(home, 'users.txt'), `"${ROLE}" "${verifier}"\n`);
	await writeFile(join(home, 'pgbouncer.ini'), settings);
	for (const path of [home, join(home, 'users.txt'), join(home, 'pgbouncer.ini')]) await chown(path, uid, gid);
	const proxy = await startProxy({
		command: options.pgbouncer.path,
		args: [join(home, 'pgbouncer.ini')],
		log: join(folder, `${kind}.log`),
		port,
		...(process.getuid?.() === 0 ? { account: { uid, gid } } : {}),
	});
	return { kind, port, proxy };
}

/** The gateway as it is installed: what was built. */
async function startGateway(kind: GatewayKind, parts: Parts): Promise<Target> {
	const { folder, postgres, verifier, password, options } = parts;
	const port = await freePort();
	const adminPort = await freePort();
	const home = join(folder, kind);
	await cp(fileURLToPath(new URL('policies', repository)), join(home, 'policies'), { recursive: true });
	const rules = join(home, 'policies', 'policy.csv');
	await writeFile(rules, kind === 'open' ? openPolicy : `${await readFile(rules, 'utf8')}\n${ownRules}`);
	const config = {
		workers: kind.includes('-workers') ? 2 : 1,
		listen: { host: '127.0.0.1', port },
		admin: { host: '127.0.0.1', port: adminPort },
		identity: { users: [{ name: ROLE, password: { scram: verifier }, claims: { tenant: TENANT } }] },
		databases: {
			[DATABASE]: {
				host: postgres.host,
				port: postgres.port,
				user: ROLE,
				password: { env: 'BENCH_PASSWORD' },
				pool: kind.endsWith('-pooled')
					? { mode: 'transaction', size: POOL_SIZE }
					: { size: CONNECTIONS_MAX, reuse: kind === 'demo-reuse' },
			},
		},
		policies: './policies',
		audit: { path: './audit' },
		limits: { sessionsMax: POOLED_CLIENTS_MAX, poolWaitersMax: POOLED_CLIENTS_MAX, poolWaitMs: 60_000 },
	};
	await writeFile(join(home, 'portcullis.yaml'), stringify(config));
	const program = fileURLToPath(new URL('bin/portcullis.js', repository));
	const proxy = await startProxy({
		command: process.execPath,
		args: [...options.nodeArgs(kind), program, 'serve', '--config', join(home, 'portcullis.yaml')],
		env: { ...process.env, BENCH_PASSWORD: password, NODE_ENV: 'production' },
		log: join(folder, `${kind}.log`),
		port,
	});
	return { kind, port, proxy, adminPort };
}

function libpqEnv(port: number, user: string, password: string): NodeJS.ProcessEnv {
	const place = { PGHOST: '127.0.0.1', PGPORT: String(port), PGDATABASE: DATABASE };
	return { PATH: process.env['PATH'], ...place, PGUSER: user, PGPASSWORD: password, PGSSLMODE: 'disable' };
}

async function asSuperuser(
	{ host, port, user, password }: EmbeddedPostgres,
	database: string,
	text: string,
): Promise<readonly Record<string, unknown>[]> {
	const client = new pg.Client({ host, port, user, password, database });
	await client.connect();
	try {
		return (await client.query<Record<string, unknown>>(text)).rows;
	} finally {
		await client.end();
	}
}
