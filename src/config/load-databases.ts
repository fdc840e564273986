/** The section `databases`: where each is, and how the gateway signs in there. */
import type { BackendUserConfig, DatabaseConfig, DatabaseLimits } from './config.ts';
import { allHosts, loadHosts, loadShards } from './load-hosts.ts';
import { loadServerTls } from './load-server-tls.ts';
import { isLoopback, type Path, type Reader } from './reader.ts';
import type { RawConfig } from './schema.ts';
import type { Secret } from './secret.ts';

/** The gateway's own database: what clients reach under this name is the console. */
const RESERVED = 'portcullis';

/** What clients of physical replication connect to: pg_basebackup, pg_receivewal, standbys. */
const PHYSICAL = 'replication';

type RawDatabase = RawConfig['databases'][string];

/** In the order of the file. */
export async function loadDatabases(reader: Reader, raw: RawConfig): Promise<DatabaseConfig[]> {
	const databases: DatabaseConfig[] = [];
	for (const [name, one] of Object.entries(raw.databases))
		databases.push({ ...(await loadDatabase(reader, name, one)), limits: limitsOf(one, raw.limits) });
	return databases;
}

/** What the database says for itself goes before what holds for all. */
function limitsOf({ limits: own }: RawDatabase, limits: RawConfig['limits']): DatabaseLimits {
	return {
		sessionsMax: own.sessionsMax,
		queryTimeoutMs: own.queryTimeoutMs ?? limits.queryTimeoutMs,
		transactionTimeoutMs: own.transactionTimeoutMs ?? limits.transactionTimeoutMs,
		idleTransactionTimeoutMs: own.idleTransactionTimeoutMs ?? limits.idleTransactionTimeoutMs,
		backendLifetimeMs: own.backendLifetimeMs ?? limits.backendLifetimeMs,
	};
}

async function loadDatabase(reader: Reader, name: string, raw: RawDatabase): Promise<Omit<DatabaseConfig, 'limits'>> {
	const at: Path = ['databases', name];
	if (name === RESERVED) reader.problem(at, "is the gateway's own database: choose another name");
	const hosts = await loadHosts(reader, at, raw);
	const sharded = await loadShards(reader, at, raw);
	const users: Record<string, BackendUserConfig> = {};
	for (const [role, own] of Object.entries(raw.users)) {
		const password = await loadPassword(reader, [...at, 'users', role, 'password'], own.password);
		users[role] = { user: own.user, password };
	}
	return {
		name,
		users,
		...hosts,
		sharded,
		dbname: raw.dbname ?? name,
		user: raw.user,
		password: await loadPassword(reader, [...at, 'password'], raw.password),
		allowPassword: raw.allowPassword,
		tellUser: loadTellUser(reader, at, raw),
		physicalReplication: raw.physicalReplication ?? name === PHYSICAL,
		timeZone: raw.timeZone ?? null,
		tls: await loadTls(reader, name, raw, allHosts({ ...hosts, sharded })),
		pool: raw.pool,
	};
}

function loadTellUser(reader: Reader, at: Path, { tellUser, pool }: RawDatabase): DatabaseConfig['tellUser'] {
	const reuses = pool.mode === 'session' && pool.reuse;
	if (reuses && tellUser?.includes('setting') === true)
		reader.problem(
			[...at, 'pool', 'reuse'],
			'no connection is used again with `tellUser: [setting]`, which tells of one session',
		);
	return tellUser ?? (pool.mode === 'transaction' || reuses ? ['user'] : ['setting']);
}

async function loadPassword(reader: Reader, at: Path, raw: RawDatabase['password']): Promise<Secret | null> {
	if (raw === undefined || !('command' in raw)) return reader.optionalSecret(at, raw);
	const [program, ...args] = raw.command;
	// The schema wants a program.
	if (program === undefined) return null;
	return reader.command([program, ...args], raw.keepMs);
}

async function loadTls(
	reader: Reader,
	name: string,
	raw: RawDatabase,
	hosts: readonly string[],
): Promise<DatabaseConfig['tls']> {
	const at: Path = ['databases', name, 'tls'];
	// Hosts that only Patroni knows may be anywhere.
	const tls = await loadServerTls(reader, at, raw.tls, {
		hosts,
		elsewhere: 'hosts of Patroni',
		risk: 'statements and rows',
	});
	const remote = hosts.length === 0 || hosts.some((host) => !isLoopback(host));
	if (tls.mode === 'disable' && remote && raw.allowPassword.includes('cleartext'))
		reader.warn(`databases.${name}.allowPassword: the password can be read on the network too`);
	return tls;
}
