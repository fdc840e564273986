/** Reads portcullis.yaml: every mistake is found at once and named by its key and line, before anything is started. */
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import type { Config, ListenConfig, PeerConfig } from './config.ts';
import { ConfigDocument, ConfigError } from './document.ts';
import { loadAudit } from './load-audit.ts';
import { loadDatabases } from './load-databases.ts';
import { loadIdentity } from './load-identity.ts';
import { loadServerTls } from './load-server-tls.ts';
import { loadWatcher } from './load-watcher.ts';
import { isLoopback, messageOf, type Path, Reader, readText } from './reader.ts';
import { configSchema, type RawConfig, workersMax } from './schema.ts';
import { Secret } from './secret.ts';

/**
 * Reads the configuration and the secrets and certificates that it names.
 *
 * @param file path of portcullis.yaml
 * @param env the environment that `env:` secrets come from
 * @throws ConfigError with every problem
 */
export async function loadConfig(file: string, env: NodeJS.ProcessEnv): Promise<Config> {
	const path = resolve(file);
	let text: string;
	try {
		text = await readText(path);
	} catch (error) {
		// The path in full says more than the file only where that was given in short.
		const reason = file === path ? messageOf(error).replace(`: ${path}`, '').replace(`${path} `, '') : messageOf(error);
		throw new ConfigError(file, [{ key: '', line: 0, reason }]);
	}
	return parseConfig(text, { file: path, shown: file, env });
}

export interface ParseOptions {
	/** Absolute path of the file: what relative paths start from. */
	readonly file: string;
	/** The file as the operator knows it, for messages. */
	readonly shown: string;
	readonly env: NodeJS.ProcessEnv;
}

/** @throws ConfigError with every problem */
export async function parseConfig(text: string, options: ParseOptions): Promise<Config> {
	const document = new ConfigDocument(text);
	if (document.problems.length > 0) throw new ConfigError(options.shown, document.problems);
	const parsed = configSchema.safeParse(document.value);
	if (!parsed.success) throw new ConfigError(options.shown, document.explain(parsed.error));
	const reader = new Reader(document, options);
	const config = await load(reader, parsed.data);
	if (reader.problems.length > 0) throw new ConfigError(options.shown, reader.problems);
	return deepFreeze(config);
}

async function loadTracing(reader: Reader, raw: RawConfig['tracing']): Promise<Config['tracing']> {
	if (raw === undefined) return null;
	const { endpoint, sampleRatio, statementText } = raw;
	const authorization = await reader.optionalSecret(['tracing', 'authorization'], raw.authorization);
	const { protocol, hostname } = new URL(endpoint);
	if (protocol === 'http:' && !isLoopback(hostname.replace(/^\[|\]$/g, '')))
		reader.warn(`tracing.endpoint: ${hostname} is reached without TLS: what goes there can be read on the network`);
	return { endpoint, authorization, sampleRatio, statementText };
}

/** What the schema cannot tell: files, secrets, and keys that contradict each other. */
async function load(reader: Reader, raw: RawConfig): Promise<Config> {
	const listen = await loadListen(reader, raw.listen);
	const identity = await loadIdentity(reader, raw);
	const databases = await loadDatabases(reader, raw);
	const workers = raw.workers === 'auto' ? Math.min(availableParallelism(), workersMax) : raw.workers;
	for (const { name, pool } of databases) {
		if (pool.size >= workers) continue;
		reader.warn(
			`databases.${name}.pool.size: ${pool.size} is less than the number of workers (${workers}), which have to take turns`,
		);
	}
	if (raw.admin !== undefined && !isLoopback(raw.admin.host))
		reader.warn(`admin.host: ${raw.admin.host}: whoever reaches it can read health and metrics, without signing in`);
	const policies = reader.path(raw.policies);
	await reader.mustBeFolder(['policies'], policies);
	return {
		file: reader.file,
		workers,
		listen,
		identity,
		databases,
		policies,
		policyWatcher: await loadWatcher(reader, raw.policyWatcher, databases),
		audit: await loadAudit(reader, raw.audit),
		admin: raw.admin ?? null,
		tracing: await loadTracing(reader, raw.tracing),
		limits: raw.limits,
		warnings: reader.warnings,
	};
}

async function loadListen(reader: Reader, raw: RawConfig['listen']): Promise<ListenConfig> {
	const { host, port, tls } = raw;
	const peers = await loadPeers(reader, raw.peers);
	if (tls.mode === 'off') {
		if (!isLoopback(host)) reader.warn(`listen.tls.mode: off on ${host}: what clients send can be read on the network`);
		return { host, port, tls: null, peers };
	}
	for (const key of ['cert', 'key'] as const) {
		if (tls[key] === undefined) reader.problem(['listen', 'tls', key], `missing: mode ${tls.mode} needs it`);
		else await reader.pem(['listen', 'tls', key], tls[key]);
	}
	if (tls.clientCrl !== undefined && tls.clientCa === undefined)
		reader.problem(['listen', 'tls', 'clientCrl'], 'is there without clientCa');
	const { cert = '', key = '', mode, clientName } = tls;
	const clientCa = await pathOf(reader, ['listen', 'tls', 'clientCa'], tls.clientCa);
	const clientCrl = await pathOf(reader, ['listen', 'tls', 'clientCrl'], tls.clientCrl);
	return {
		host,
		port,
		tls: { mode, cert: reader.path(cert), key: reader.path(key), clientCa, clientCrl, clientName },
		peers,
	};
}

async function loadPeers(reader: Reader, raw: RawConfig['listen']['peers']): Promise<PeerConfig[]> {
	const peers: PeerConfig[] = [];
	for (const [index, { host, port, tls }] of raw.entries()) {
		const at: Path = ['listen', 'peers', index];
		if (host.startsWith('/')) reader.problem([...at, 'host'], 'gateways do not listen on Unix sockets');
		if (peers.some((other) => other.host === host && other.port === port))
			reader.problem(at, `${host}:${port} is there twice`);
		const place = { hosts: [host], risk: 'cancel keys' };
		peers.push({ host, port, tls: await loadServerTls(reader, [...at, 'tls'], tls, place) });
	}
	return peers;
}

/** Absolute path of a PEM file that is there. */
async function pathOf(reader: Reader, at: Path, file: string | undefined): Promise<string | null> {
	if (file === undefined) return null;
	await reader.pem(at, file);
	return reader.path(file);
}

function deepFreeze<T>(value: T): T {
	if (typeof value === 'object' && value !== null && !(value instanceof Secret) && !Object.isFrozen(value)) {
		for (const inner of Object.values(value)) deepFreeze(inner);
		Object.freeze(value);
	}
	return value;
}
