/** For a pool in transaction mode: who hears notifications for the sessions of one role, on whichever host is the one to be on. */
import type { Cluster } from '../backend/cluster.ts';
import { type BackendConnection, connectBackend } from '../backend/connection.ts';
import { type ListenerEvent, SharedListener } from '../backend/shared-listener.ts';
import type { BackendTarget } from '../backend/target.ts';
import type { Config } from '../config/config.ts';
import { unreachable } from '../errors.ts';
import type { SessionLog } from '../session/services.ts';

export interface SharedListenerParts {
	/** Of the database. */
	readonly name: string;
	/** Null: the database is not sharded. */
	readonly shard: string | null;
	/** Null: one host that nobody needs to ask what it is. */
	readonly cluster: Cluster | null;
	readonly config: Config;
	readonly log: SessionLog;
}

/** As the server lists the connection. */
const startup = { application_name: 'portcullis listener', client_encoding: 'UTF8' };

/** Nothing is connected until somebody listens. */
export function sharedListener(target: BackendTarget, parts: SharedListenerParts): SharedListener {
	const { name, shard, cluster, config, log } = parts;
	const { poolWaitMs, failoverWaitMs } = config.limits;
	const waitMs = cluster === null ? poolWaitMs : failoverWaitMs;
	const connect = async (signal: AbortSignal): Promise<BackendConnection> => {
		if (cluster === null) return connectBackend(target, startup, { signal });
		await cluster.ready(waitMs, signal);
		return cluster.dial(target, startup, { signal });
	};
	const where = { database: name, ...(shard === null ? {} : { shard }), role: target.user };
	const onEvent = (event: ListenerEvent): void => {
		switch (event.type) {
			case 'connected':
				log.info({ ...where, host: event.address, pid: event.pid }, 'the connection that hears notifications is there');
				return;
			case 'lost': {
				const { error, hearers: sessions } = event;
				const words = 'the connection that hears notifications was lost: sessions that listen are ended';
				log.warn({ ...where, problem: error.message, sessions }, words);
				return;
			}
			default:
				unreachable(event);
		}
	};
	return new SharedListener({ role: target.user, connect, waitMs, onEvent });
}
