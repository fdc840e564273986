/** For each database of the configuration: where it is, a pool of connections to it, and its catalogue. */
import { SessionPool } from '../backend/lease.ts';
import { openQuerySession } from '../backend/query.ts';
import type { BackendTarget } from '../backend/target.ts';
import { Catalog, type CatalogOptions, type CatalogState } from '../catalog/catalog.ts';
import type { BackendUserConfig, Config, DatabaseConfig } from '../config/config.ts';
import { unreachable } from '../errors.ts';
import type { DatabaseServices, RoleServices, SessionLog } from '../session/services.ts';
import type { Identity } from '../stages.ts';

/** How to reach the server of a database. The password is read anew for each login, so that a rotated one is taken up. */
export function targetOf(
	database: DatabaseConfig,
	config: Config,
	{ user, password }: BackendUserConfig = database,
): BackendTarget {
	const { host, port, dbname, allowPassword, tls } = database;
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
	return catalogBy(targetOf(database, config), database, onState === undefined ? {} : { onState });
}

function catalogBy(
	target: BackendTarget,
	database: DatabaseConfig,
	more: Pick<CatalogOptions, 'onState' | 'nextRevision'>,
): Catalog {
	return new Catalog({ ...more, database: database.name, connect: () => openQuerySession(target) });
}

/** What of a database has to be started and closed: its catalogues, one for each role that works there. */
export interface OpenedDatabase extends DatabaseServices {
	readonly catalogs: readonly Catalog[];
}

/** What the parts of a database tell, and ask. */
export interface DatabaseHooks {
	readonly log: SessionLog;
	/** The catalogue has become known (again). */
	readonly onCurrent: () => void;
	/** Roles that somebody has under the policy in force. */
	readonly rolesOf: (identity: Identity) => ReadonlySet<string>;
}

/** Pool and catalogues; nothing is connected yet. */
export function databaseServices(database: DatabaseConfig, config: Config, hooks: DatabaseHooks): OpenedDatabase {
	const { name, user, users, tellUser, physicalReplication } = database;
	let revision = 0;
	// Decisions of all roles are remembered together.
	const nextRevision = (): number => (revision += 1);
	const catalogFor = (target: BackendTarget): Catalog =>
		catalogBy(target, database, { nextRevision, onState: follower(name, target.user, hooks) });
	const own = targetOf(database, config);
	const targets = new Map(Object.entries(users).map(([role, one]) => [role, targetOf(database, config, one)]));
	const { poolWaitMs, poolWaitersMax } = config.limits;
	const pool = new SessionPool(own, {
		targets,
		size: database.pool.size,
		queueTimeoutMs: poolWaitMs,
		queueMax: poolWaitersMax,
	});
	const catalog = catalogFor(own);
	const roles = new Map<string, RoleServices>();
	for (const [role, target] of targets) {
		roles.set(role, { catalog: catalogFor(target), backendRole: target.user, leaseAs: role });
	}
	return {
		name,
		pool,
		catalog,
		catalogs: [catalog, ...[...roles.values()].map((one) => one.catalog)],
		backendRole: user,
		tellUser,
		physicalReplication,
		asRole: (identity) => {
			if (roles.size === 0) return undefined;
			const held = hooks.rolesOf(identity);
			for (const [role, services] of roles) if (held.has(role)) return services;
			return undefined;
		},
	};
}

function follower(database: string, role: string, { log, onCurrent }: DatabaseHooks): (state: CatalogState) => void {
	const fields = { database, role };
	return (state) => {
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
}
