/** Starts the watcher of the policy (`policyWatcher`), if there is to be one: over PostgreSQL or Redis, with the log told. */
import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { type BackendConnection, connectBackend } from '../backend/connection.ts';
import { NotifyLine } from '../backend/notify-line.ts';
import type { BackendTarget } from '../backend/target.ts';
import type { Config, PolicyWatcherConfig, ServerTlsConfig } from '../config/config.ts';
import { GatewayError, unreachable } from '../errors.ts';
import type { PolicyStore } from '../policy/store.ts';
import { redisClientProblem, redisLine } from '../policy/watcher/redis.ts';
import { type LineEvents, type NoticeLine, PolicyWatcher, type WatcherEvent } from '../policy/watcher/watcher.ts';
import type { SessionLog } from '../session/services.ts';
import { targetOf } from './backends.ts';
import { clusterConfigs } from './clusters.ts';
import type { Databases } from './databases.ts';
import { CommandError } from './io.ts';
import type { PolicyFollower } from './policy-following.ts';

export interface WatcherParts {
	readonly config: Config;
	readonly store: PolicyStore;
	readonly policy: PolicyFollower;
	readonly databases: Pick<Databases, 'find'>;
	readonly log: SessionLog;
	/** Where clients connect to. */
	readonly port: number;
	/** Number of this worker. */
	readonly worker: number;
}

/** As the server lists the connection. */
const startup = { application_name: 'portcullis policy watcher', client_encoding: 'UTF8' };

/**
 * Null without `policyWatcher`. Throws CommandError where the package for Redis is missing. A server that is not there is for the
 * log alone: the files are followed all the same.
 */
export function startPolicyWatcher(parts: WatcherParts): PolicyWatcher | null {
	const { config, store, policy, log, port, worker } = parts;
	const { policyWatcher: settings, workers } = config;
	if (settings === null) return null;
	if (settings.over.type === 'redis') {
		const problem = redisClientProblem();
		if (problem !== null) throw new CommandError(problem);
	}
	const name = settings.name ?? defaultName(port);
	const watcher = new PolicyWatcher({
		gateway: workers === 1 ? name : `${name}/${worker}`,
		instance: randomBytes(8).toString('hex'),
		revision: () => store.current().revision,
		differAfterMs: settings.differAfterMs,
		open: (events) => lineOf(settings, parts, events),
		onEvent: (event) => tell(log, store, event),
	});
	watcher.setUpdateCallback(() => void policy.look());
	store.onChange(() => void watcher.update());
	return watcher;
}

/** What of the host's name may stand in a notice. */
function defaultName(port: number): string {
	const host = hostname()
		.replaceAll(/[^A-Za-z0-9.-]/g, '-')
		.replace(/^[^A-Za-z0-9]+/, '')
		.slice(0, 50);
	return `${host === '' ? 'gateway' : host}:${port}`;
}

function lineOf({ channel, over }: PolicyWatcherConfig, parts: WatcherParts, events: LineEvents): NoticeLine {
	const { config } = parts;
	switch (over.type) {
		case 'database':
			return new NotifyLine({ channel, connect: (signal) => connectTo(over.database, parts, signal), ...events });
		case 'postgres': {
			const { host, port, dbname, user, password } = over;
			const { connectTimeoutMs, keepAliveMs } = config.limits;
			const limits = { connectTimeoutMs, keepAliveMs };
			const secret = (): Promise<string | null> | null => password?.current() ?? null;
			const target: BackendTarget = { host, port, dbname, user, password: secret, tls: tlsOf(over.tls), ...limits };
			return new NotifyLine({ channel, connect: (signal) => connectBackend(target, startup, { signal }), ...events });
		}
		case 'redis': {
			const { host, port, user, password } = over;
			const secret = async (): Promise<string | null> => (await password?.current()) ?? null;
			return redisLine({ host, port, user, password: secret, tls: tlsOf(over.tls), channel }, events);
		}
		default:
			return unreachable(over);
	}
}

/** To the primary of a database as it is configured at the moment; of a sharded one to that of the first shard. */
async function connectTo(
	name: string,
	{ config, databases }: Pick<WatcherParts, 'config' | 'databases'>,
	signal: AbortSignal,
): Promise<BackendConnection> {
	const served = databases.find(name);
	const [first] = served === undefined ? [] : clusterConfigs(served.config);
	const cluster = served?.clusters[0]?.cluster ?? null;
	if (first === undefined) throw new GatewayError('3D000', `there is no database ${name} any more`);
	const target = targetOf(first.database, config);
	if (cluster === null) return connectBackend(target, startup, { signal });
	await cluster.ready(config.limits.failoverWaitMs, signal);
	return cluster.dial(target, startup, { signal });
}

function tlsOf({ mode, ca, cert, key }: ServerTlsConfig): BackendTarget['tls'] {
	return { mode, ca: ca ?? undefined, cert: cert ?? undefined, key: key?.reveal() };
}

function tell(log: SessionLog, store: PolicyStore, event: WatcherEvent): void {
	const { revision } = store.current();
	switch (event.type) {
		case 'up':
			log.info({ revision }, 'the policy watcher hears other gateways');
			return;
		case 'down':
			log.warn(
				{ problem: event.problem },
				'the policy watcher hears nobody: the policy stays in force, and its files are followed',
			);
			return;
		case 'differs': {
			const { count, others } = event;
			log.warn({ revision, count, others }, 'other gateways have another policy in force');
			return;
		}
		case 'agrees':
			log.info({ revision }, 'all gateways that are heard of have the same policy in force');
			return;
		default:
			unreachable(event);
	}
}
