/** The section `policyWatcher`: over PostgreSQL, of the configuration or another one, or over Redis. */
import type { Config, PolicyWatcherConfig } from './config.ts';
import { loadServerTls } from './load-server-tls.ts';
import type { Path, Reader } from './reader.ts';
import type { RawConfig } from './schema.ts';

type RawWatcher = NonNullable<RawConfig['policyWatcher']>;
type Way = PolicyWatcherConfig['over'];

const risk = 'the password, and which policy is in force,';

export async function loadWatcher(
	reader: Reader,
	raw: RawConfig['policyWatcher'],
	databases: Config['databases'],
): Promise<PolicyWatcherConfig | null> {
	if (raw === undefined) return null;
	const { name = null, channel, differAfterMs, postgres, redis } = raw;
	const at: Path = ['policyWatcher'];
	if ((postgres === undefined) === (redis === undefined)) {
		reader.problem(at, 'needs one of postgres and redis');
		return null;
	}
	const over =
		postgres === undefined ? await overRedis(reader, redis) : await overPostgres(reader, postgres, databases);
	return over === null ? null : { name, channel, differAfterMs, over };
}

async function overRedis(reader: Reader, raw: RawWatcher['redis']): Promise<Way | null> {
	if (raw === undefined) return null;
	const { host, port, user = null, password, tls } = raw;
	const at: Path = ['policyWatcher', 'redis'];
	return {
		type: 'redis',
		host,
		port,
		user,
		password: await reader.optionalSecret([...at, 'password'], password),
		tls: await loadServerTls(reader, [...at, 'tls'], tls, { hosts: [host], risk }),
	};
}

async function overPostgres(
	reader: Reader,
	raw: NonNullable<RawWatcher['postgres']>,
	databases: Config['databases'],
): Promise<Way | null> {
	const at: Path = ['policyWatcher', 'postgres'];
	const { database, host, port, dbname, user, password, tls } = raw;
	if (database !== undefined) {
		checkDatabase(reader, at, raw, databases);
		return { type: 'database', database };
	}
	if (host === undefined) {
		reader.problem(at, 'needs database, or host');
		return null;
	}
	for (const [key, value] of Object.entries({ dbname, user }))
		if (value === undefined) reader.problem([...at, key], 'missing: host needs it');
	return {
		type: 'postgres',
		host,
		port,
		dbname: dbname ?? '',
		user: user ?? '',
		password: await reader.optionalSecret([...at, 'password'], password),
		tls: await loadServerTls(reader, [...at, 'tls'], tls, { hosts: [host], risk }),
	};
}

function checkDatabase(
	reader: Reader,
	at: Path,
	{ database, ...raw }: NonNullable<RawWatcher['postgres']>,
	databases: Config['databases'],
): void {
	for (const key of ['host', 'dbname', 'user', 'password', 'tls'] as const)
		if (raw[key] !== undefined) reader.problem([...at, key], 'is there beside database');
	const found = databases.find(({ name }) => name === database);
	if (found === undefined) {
		reader.problem([...at, 'database'], `there is no database ${JSON.stringify(database)}`);
		return;
	}
	if (['standby', 'read-only', 'prefer-standby'].includes(found.targetSessionAttrs))
		reader.problem([...at, 'database'], `${found.name} leads to standbys, on which nobody can notify`);
}
