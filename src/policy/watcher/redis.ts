/** The way to other gateways over Redis (publish and subscribe), by the client that the Redis project keeps; a package that the operator adds. */
import { createRequire } from 'node:module';
import { isIP } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ConnectionOptions } from 'node:tls';
import type { LineEvents, NoticeLine } from './watcher.ts';

/** How to reach a server. Never printed. */
export interface RedisSettings {
	readonly host: string;
	readonly port: number;
	/** Null: whoever Redis takes without a name. */
	readonly user: string | null;
	/** Asked for each login; null: none. */
	readonly password: () => Promise<string | null>;
	readonly tls: {
		readonly mode: 'disable' | 'require' | 'verify-ca' | 'verify-full';
		readonly ca?: string | undefined;
		readonly cert?: string | undefined;
		readonly key?: string | undefined;
	};
	readonly channel: string;
}

export const REDIS_LIMITS = {
	connectTimeoutMs: 10_000,
	/** Between two questions whether the server is there, and how long it may say nothing. */
	pingMs: 10_000,
	silenceMs: 35_000,
	/** Between two attempts to connect; doubles from the one to the other. */
	retryMinMs: 100,
	retryMaxMs: 10_000,
	/** After a subscription that was refused. */
	subscribeAgainMs: 1_000,
} as const;

const clientPackage = '@redis/client';

/** Why Redis cannot be used here, or null. */
export function redisClientProblem(): string | null {
	try {
		createRequire(import.meta.url).resolve(clientPackage);
		return null;
	} catch {
		return `policyWatcher.redis needs a client that is not installed: npm install ${clientPackage}@6`;
	}
}

/** Connects at once, and again whenever the connection is lost. */
export function redisLine(settings: RedisSettings, events: LineEvents): NoticeLine {
	let closed = false;
	const opening = open(settings, events);
	opening.catch((error: unknown) => events.down(wordsOf(error)));
	return {
		publish: async (text) => {
			const client = await opening;
			if (!client.isReady) throw new Error('there is no connection to Redis');
			await client.publish(settings.channel, text);
		},
		close: async () => {
			if (closed) return;
			closed = true;
			const client = await opening.catch(() => null);
			if (client?.isOpen === true) client.destroy();
		},
	};
}

async function open(settings: RedisSettings, events: LineEvents) {
	const { createClient } = await import('@redis/client');
	const { host, port, user, password, tls, channel } = settings;
	const { connectTimeoutMs: connectTimeout, silenceMs: socketTimeout, pingMs: pingInterval } = REDIS_LIMITS;
	const reconnectStrategy = (retries: number): number =>
		Math.min(REDIS_LIMITS.retryMinMs * 2 ** Math.min(retries, 20), REDIS_LIMITS.retryMaxMs);
	const common = { host, port, connectTimeout, socketTimeout, reconnectStrategy };
	const client = createClient({
		// RESP3, in which a connection that listens can speak too (Redis 6 and later).
		RESP: 3,
		name: 'portcullis',
		socket: tls.mode === 'disable' ? common : { ...common, ...tlsOptions(host, tls), tls: true },
		credentialsProvider: {
			type: 'async-credentials-provider',
			credentials: async () => {
				const secret = await password();
				return { ...(user === null ? {} : { username: user }), ...(secret === null ? {} : { password: secret }) };
			},
		},
		// What cannot be said now is not said later: the next notice says more.
		disableOfflineQueue: true,
		pingInterval,
	});
	let listens = false;
	client.on('error', (error: unknown) => events.down(wordsOf(error)));
	// The client subscribes anew before it says that it is ready again.
	client.on('ready', () => {
		if (listens) events.up();
	});
	const begin = async (): Promise<void> => {
		await client.connect();
		while (client.isOpen) {
			try {
				await client.subscribe(channel, events.heard);
				listens = true;
				events.up();
				return;
			} catch (error) {
				events.down(wordsOf(error));
				await sleep(REDIS_LIMITS.subscribeAgainMs, undefined, { ref: false });
			}
		}
	};
	begin().catch((error: unknown) => events.down(wordsOf(error)));
	return client;
}

function tlsOptions(host: string, { mode, ca, cert, key }: RedisSettings['tls']): ConnectionOptions {
	return {
		...(isIP(host) === 0 ? { servername: host } : {}),
		...(ca === undefined ? {} : { ca }),
		...(cert === undefined ? {} : { cert }),
		...(key === undefined ? {} : { key }),
		// As in libpq, `require` with a root certificate verifies against it.
		rejectUnauthorized: mode !== 'require' || ca !== undefined,
		...(mode === 'verify-full' ? {} : { checkServerIdentity: () => undefined }),
		minVersion: 'TLSv1.2',
	};
}

/** The client's own words, which hold no secret. */
function wordsOf(error: unknown): string {
	if (error instanceof AggregateError && error.message === '') return wordsOf(error.errors[0]);
	return error instanceof Error ? error.message : String(error);
}
