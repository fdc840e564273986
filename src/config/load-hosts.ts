/** Where a database is: hosts and ports as libpq pairs them, Patroni, and shards. */
import type { DatabaseConfig, HostsConfig, ShardsConfig } from './config.ts';
import { isLoopback, type Path, type Reader } from './reader.ts';
import type { RawConfig } from './schema.ts';

type RawDatabase = RawConfig['databases'][string];
type RawShard = NonNullable<RawDatabase['shards']>[string];

/** Hosts that a database may have; Patroni may name no more either. */
const HOSTS_MAX = 32;

export async function loadHosts(reader: Reader, at: Path, raw: RawDatabase | RawShard): Promise<HostsConfig> {
	const hosts = hostsOf(reader, at, raw);
	const patroni = await loadPatroni(reader, [...at, 'patroni'], raw.patroni);
	const single = hosts.length === 1 && patroni === null;
	const [first] = hosts;
	return {
		host: first?.host ?? '',
		port: first?.port ?? 5432,
		hosts,
		targetSessionAttrs: raw.targetSessionAttrs ?? (single ? 'any' : 'primary'),
		lagMaxMs: raw.lagMaxMs ?? null,
		patroni,
	};
}

function hostsOf(reader: Reader, at: Path, raw: RawDatabase | RawShard): HostsConfig['hosts'] {
	const written = raw.host === undefined ? [] : typeof raw.host === 'string' ? raw.host.split(',') : raw.host;
	const names = written.map((name) => name.trim());
	if (names.includes('')) reader.problem([...at, 'host'], 'one of the names is empty');
	if (names.length > HOSTS_MAX) reader.problem([...at, 'host'], `more than ${HOSTS_MAX} hosts`);
	const ports = typeof raw.port === 'number' ? [raw.port] : raw.port;
	if (ports.length > 1 && ports.length !== names.length)
		reader.problem([...at, 'port'], `${ports.length} ports for ${names.length} hosts: give one, or one for each`);
	const hosts = names.map((host, index) => ({ host, port: ports[index] ?? ports[0] ?? 5432 }));
	const seen = new Set<string>();
	for (const { host, port } of hosts) {
		if (seen.has(`${host} ${port}`)) reader.problem([...at, 'host'], `${host} is there twice`);
		seen.add(`${host} ${port}`);
	}
	return hosts;
}

async function loadPatroni(reader: Reader, at: Path, raw: RawDatabase['patroni']): Promise<HostsConfig['patroni']> {
	if (raw === undefined) return null;
	const { urls, tls } = raw;
	for (const url of urls) {
		const { protocol, hostname } = new URL(url);
		if (protocol === 'http:' && !isLoopback(hostname.replace(/^\[|\]$/g, '')))
			reader.warn(`${at.join('.')}.urls: ${hostname} is asked without TLS who leads: whoever is on the way can answer`);
	}
	if ((tls.cert === undefined) !== (tls.key === undefined)) reader.problem([...at, 'tls'], 'cert and key go together');
	return {
		urls,
		tls: {
			ca: await reader.optionalPem([...at, 'tls', 'ca'], tls.ca),
			cert: await reader.optionalPem([...at, 'tls', 'cert'], tls.cert),
			key: await reader.optionalSecret([...at, 'tls', 'key'], tls.key === undefined ? undefined : { file: tls.key }),
		},
		authorization: await reader.optionalSecret([...at, 'authorization'], raw.authorization),
	};
}

/** Null for a database that is one cluster. */
export async function loadShards(reader: Reader, at: Path, raw: RawDatabase): Promise<ShardsConfig | null> {
	if (raw.shards === undefined) {
		if (raw.shardBy !== undefined) reader.problem([...at, 'shardBy'], 'is there without shards');
		return null;
	}
	for (const key of ['host', 'patroni', 'lagMaxMs', 'targetSessionAttrs'] as const)
		if (raw[key] !== undefined) reader.problem([...at, key], 'is for each of the shards to say');
	const shards: Record<string, ShardsConfig['shards'][string]> = {};
	for (const [name, one] of Object.entries(raw.shards)) {
		const here = [...at, 'shards', name];
		shards[name] = { ...(await loadHosts(reader, here, one)), dbname: one.dbname ?? null };
	}
	if (Object.keys(shards).length === 0) reader.problem([...at, 'shards'], 'must hold at least one shard');
	return { shards, by: shardBy(reader, [...at, 'shardBy'], raw, new Set(Object.keys(shards))) };
}

function shardBy(reader: Reader, at: Path, raw: RawDatabase, names: ReadonlySet<string>): ShardsConfig['by'] {
	const { by = 'parameter', claim = null, map = null, default: fallback = null } = raw.shardBy ?? {};
	if (by === 'claim' && claim === null) reader.problem([...at, 'claim'], 'missing: by claim needs it');
	if (by !== 'claim' && claim !== null) reader.problem([...at, 'claim'], `is there by ${by}`);
	for (const [value, shard] of Object.entries(map ?? {}))
		if (!names.has(shard)) reader.problem([...at, 'map', value], `there is no shard ${JSON.stringify(shard)}`);
	if (fallback !== null && !names.has(fallback))
		reader.problem([...at, 'default'], `there is no shard ${JSON.stringify(fallback)}`);
	return { by, claim, map, default: fallback };
}

/** All hosts that the configuration names for it. */
export function allHosts(database: Pick<DatabaseConfig, 'hosts' | 'sharded'>): readonly string[] {
	const shards = Object.values(database.sharded?.shards ?? {});
	return [database, ...shards].flatMap(({ hosts }) => hosts.map(({ host }) => host));
}
