/** For each database of the configuration: where it is, a pool of connections to it, and its catalogue. */
import { SessionPool } from '../backend/lease.ts';
import { openQuerySession } from '../backend/query.ts';
import type { BackendTarget } from '../backend/target.ts';
import { Catalog, type CatalogState } from '../catalog/catalog.ts';
import type { Config, DatabaseConfig } from '../config/config.ts';
import { unreachable } from '../errors.ts';
import type { DatabaseServices, SessionLog } from '../session/services.ts';

/** How to reach the server of a database. The password is read anew for each login, so that a rotated one is taken up. */
export function targetOf(database: DatabaseConfig, config: Config): BackendTarget {
	const { host, port, dbname, user, password, allowPassword, tls } = database;
	return {
		host,
		port,
		dbname,
		user,
		password: () => password?.current() ?? null,
		passwordRefused: () => password?.refused(),
		allowPassword,
		tls: {
			mode: tls.mode,
			ca: tls.ca ?? undefined,
			cert: tls.cert ?? undefined,
			key: tls.key?.reveal(),
		},
		connectTimeoutMs: config.limits.connectTimeoutMs,
	};
}

/** The catalogue of a database, not yet started. */
export function catalogOf(database: DatabaseConfig, config: Config, onState?: (state: CatalogState) => void): Catalog {
	const target = targetOf(database, config);
	const options = { database: database.name, connect: () => openQuerySession(target) };
	return new Catalog(onState === undefined ? options : { ...options, onState });
}

/** Pool and catalogue; nothing is connected yet. `onCurrent`: the catalogue has become known (again). */
export function databaseServices(
	database: DatabaseConfig,
	config: Config,
	log: SessionLog,
	onCurrent: () => void,
): DatabaseServices {
	const follow = (state: CatalogState): void => {
		const fields = { database: database.name };
		switch (state.type) {
			case 'unknown':
				return;
			case 'current':
				log.info(fields, 'catalogue is current');
				onCurrent();
				return;
			case 'stale':
				log.warn({ ...fields, problem: state.error.message }, 'catalogue is stale: statements are refused');
				return;
			default:
				unreachable(state);
		}
	};
	const { poolWaitMs, poolWaitersMax } = config.limits;
	const pool = new SessionPool(targetOf(database, config), {
		size: database.pool.size,
		queueTimeoutMs: poolWaitMs,
		queueMax: poolWaitersMax,
	});
	const { name, user, tellUser } = database;
	return { name, pool, catalog: catalogOf(database, config, follow), backendRole: user, tellUser };
}
