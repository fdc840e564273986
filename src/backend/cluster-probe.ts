/** Asks a host what it is, over a connection that is kept for that: role, timeline, and position in the log. */
import { GatewayError } from '../errors.ts';
import type { HostReport } from './cluster-host.ts';
import { parseLsn } from './cluster-lag.ts';
import { backendFailure } from './errors.ts';
import { openQuerySession, type QuerySession } from './query.ts';
import type { BackendTarget } from './target.ts';

/** A connection to one host. */
export interface Probe {
	/** Throws GatewayError when the host does not answer, which ends the connection. */
	ask(): Promise<HostReport>;
	close(): Promise<void>;
}

/** Signs in; throws what connectBackend throws. */
export type OpenProbe = (target: BackendTarget, signal: AbortSignal) => Promise<Probe>;

/** What every server can be asked. */
const ROLE = `select pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('default_transaction_read_only')`;

/** What some managed servers do not let be asked. A standby writes no timeline of its own, and a primary replays nothing. */
const WHOLE = `${ROLE},
	(select system_identifier from pg_catalog.pg_control_system()),
	case when not pg_catalog.pg_is_in_recovery()
		then pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8) end,
	case when pg_catalog.pg_is_in_recovery() then pg_catalog.pg_last_wal_replay_lsn() else pg_catalog.pg_current_wal_lsn() end,
	pg_catalog.pg_last_wal_receive_lsn(),
	1000 * extract(epoch from pg_catalog.clock_timestamp() - pg_catalog.pg_last_xact_replay_timestamp())`;

export const openProbe: OpenProbe = async (target, signal) => {
	const session = await openQuerySession(target, { application_name: 'portcullis (role of the host)' }, signal);
	return new QueryProbe(session);
};

class QueryProbe implements Probe {
	readonly #session: QuerySession;
	#sql = WHOLE;

	constructor(session: QuerySession) {
		this.#session = session;
	}

	async ask(): Promise<HostReport> {
		try {
			return await this.#ask();
		} catch (error) {
			// An error of the statement, not of the connection: this server does not have all of it.
			const lacking = error instanceof GatewayError && /^(0A|42|55)/.test(error.sqlstate);
			if (!lacking || this.#sql === ROLE) throw error;
			this.#sql = ROLE;
			return this.#ask();
		}
	}

	close(): Promise<void> {
		return this.#session.close();
	}

	async #ask(): Promise<HostReport> {
		const [row] = await this.#session.query(this.#sql);
		const [inRecovery, readOnly, system, timeline, lsn, received, replayedAgoMs] = row ?? [];
		if (inRecovery !== 't' && inRecovery !== 'f')
			throw backendFailure('08P01', 'the database server does not say whether it is in recovery');
		return {
			role: inRecovery === 't' ? 'standby' : 'primary',
			readOnly: readOnly === 'on',
			system: system ?? null,
			timeline: timeline === null || timeline === undefined ? null : Number.parseInt(timeline, 16),
			lsn: parseLsn(lsn ?? null),
			received: parseLsn(received ?? null),
			replayedAgoMs: replayedAgoMs === null || replayedAgoMs === undefined ? null : Number(replayedAgoMs),
		};
	}
}
