/** The section `audit`: the log, and each sink with the keys that belong to its kind. */
import type { AuditConfig, SinkConfig } from './config.ts';
import { isLoopback, type Path, type Reader } from './reader.ts';
import type { RawConfig } from './schema.ts';
import type { RawSink } from './schema-audit.ts';
import type { Secret } from './secret.ts';

type Kind = RawSink['type'];
type SinkKey = Exclude<keyof RawSink, 'type' | 'spoolBytes'>;

/** Which keys each kind takes; `true` for those that it cannot do without. */
const keysOf = {
	stdout: {},
	syslog: { host: true, port: false, facility: false, tls: false },
	otlp: { url: true, headers: false },
	nats: { servers: true, subject: false, user: false, password: false, token: false, tls: false },
	kafka: {
		servers: true,
		topic: true,
		user: false,
		password: false,
		mechanism: false,
		compression: false,
		tls: false,
	},
	postgres: { host: true, port: false, database: true, table: false, user: true, password: false, tls: false },
} as const satisfies Record<Kind, Partial<Record<SinkKey, boolean>>>;

const dayMs = 86_400_000;

export async function loadAudit(reader: Reader, raw: RawConfig['audit']): Promise<AuditConfig> {
	const { durability, parameters, rotate, compress, keep } = raw;
	const sinks: SinkConfig[] = [];
	for (const [index, one] of raw.sinks.entries()) {
		const at: Path = ['audit', 'sinks', index];
		checkKeys(reader, at, one);
		if (raw.sinks.findIndex((other) => other.type === one.type) !== index) {
			reader.problem([...at, 'type'], `${one.type} is there twice: one sink of each kind`);
		}
		if (one.type === 'kafka') checkKafka(reader, at, one);
		sinks.push(await loadSink(reader, at, one));
	}
	return {
		path: reader.path(raw.path),
		durability,
		key: await reader.optionalSecret(['audit', 'key'], raw.key),
		parameters,
		segmentBytesMax: rotate.bytes,
		segmentAgeMaxMs: rotate.hours * 3_600_000,
		compress,
		keepMs: keep.days === undefined ? null : keep.days * dayMs,
		keepBytes: keep.bytes ?? null,
		sinks,
	};
}

function checkKeys(reader: Reader, at: Path, raw: RawSink): void {
	const takes: Partial<Record<string, boolean>> = keysOf[raw.type];
	for (const key of Object.keys(raw)) {
		if (key !== 'type' && key !== 'spoolBytes' && takes[key] === undefined)
			reader.problem([...at, key], `not a key of ${raw.type}`);
	}
	for (const [key, needed] of Object.entries(takes)) {
		if (needed === true && !(key in raw)) reader.problem(at, `${raw.type} needs ${key}`);
	}
}

function checkKafka(reader: Reader, at: Path, { servers = [], user, password, mechanism, tls }: RawSink): void {
	for (const [index, server] of servers.entries()) {
		if (!/^[^\s:/]+:\d{1,5}$|^\[[0-9a-fA-F:.]+\]:\d{1,5}$/.test(server))
			reader.problem([...at, 'servers', index], 'must be host:port');
	}
	if ((user === undefined) !== (password === undefined)) reader.problem(at, 'user and password go together');
	if (mechanism !== undefined && user === undefined) reader.problem([...at, 'mechanism'], 'needs user and password');
	const known = servers.every((server) => isLoopback(server.replace(/:\d+$/, '')));
	if (mechanism === 'PLAIN' && tls?.mode === 'off' && !known)
		reader.warn('audit.sinks: mechanism: PLAIN without TLS: the password of the Kafka sink can be read on the network');
}

/** What is missing is a problem already; what stands in for it is never used. */
async function loadSink(reader: Reader, at: Path, raw: RawSink): Promise<SinkConfig> {
	const headers: Record<string, Secret> = {};
	for (const [name, source] of Object.entries(raw.headers ?? {})) {
		const value = await reader.secret([...at, 'headers', name], source);
		if (value !== undefined) headers[name] = value;
	}
	const [schema = 'public', table = 'portcullis_audit'] = raw.table?.split('.') ?? [];
	return {
		type: raw.type,
		spoolBytesMax: raw.spoolBytes,
		host: raw.host ?? '',
		port: raw.port ?? (raw.type === 'syslog' ? 6514 : 5432),
		url: raw.url ?? '',
		headers,
		servers: raw.servers ?? [],
		subject: raw.subject ?? 'portcullis.audit',
		topic: raw.topic ?? '',
		mechanism: raw.mechanism ?? 'SCRAM-SHA-512',
		compression: raw.compression ?? 'none',
		database: raw.database ?? '',
		schema,
		table,
		user: raw.user ?? null,
		password: await reader.optionalSecret([...at, 'password'], raw.password),
		token: await reader.optionalSecret([...at, 'token'], raw.token),
		facility: raw.facility ?? null,
		tls: await loadTls(reader, at, raw),
	};
}

async function loadTls(reader: Reader, at: Path, raw: RawSink): Promise<SinkConfig['tls']> {
	const { tls } = raw;
	const hosts = raw.servers?.map((server) => server.replace(/:\d+$/, '')) ?? [raw.host ?? ''];
	const loopback = hosts.every(isLoopback);
	const mode = tls?.mode ?? (loopback ? 'off' : 'verify-full');
	if ((tls?.cert === undefined) !== (tls?.key === undefined))
		reader.problem([...at, 'tls'], 'cert and key go together');
	if (mode === 'off' && !loopback) {
		reader.warn(`audit.sinks: tls.mode: off to ${hosts.join(', ')}: the audit log can be read on the network`);
	}
	const [ca, cert, key] = await Promise.all(
		(['ca', 'cert', 'key'] as const).map((name) => reader.optionalPem([...at, 'tls', name], tls?.[name])),
	);
	return mode === 'off' ? null : { ca: ca ?? null, cert: cert ?? null, key: key ?? null };
}
