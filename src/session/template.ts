/** Transaction mode: the backend that a client is greeted from, leased for as long as it takes to hear what it reports. */
import type { BackendPool, Lease } from '../backend/lease.ts';
import { BACKEND_LIMITS } from '../backend/limits.ts';
import { applySettings } from '../backend/pool-upkeep.ts';
import { Settings } from '../backend/settings.ts';
import { GatewayError } from '../errors.ts';
import { parseOptions } from './startup-options.ts';

/** What the greeting and the record of a login tell of a backend. */
export interface Template {
	readonly settings: Settings;
	/** ParameterStatus under those settings. */
	readonly told: ReadonlyMap<string, string>;
	readonly base: string;
	/** As it is in force under those settings. */
	readonly searchPath: string;
	readonly connection: Pick<Lease['connection'], 'address' | 'pid' | 'target'>;
}

export interface TemplateRequest {
	readonly pool: BackendPool;
	readonly as: string | undefined;
	/** Startup parameters but for user and database. */
	readonly startup: Readonly<Record<string, string>>;
	readonly signal: AbortSignal;
}

/** How often another backend is tried, where what is in force on one keeps settings from being changed (a timeout). */
const attemptsMax = 3;

/** Throws GatewayError FATAL: what the pool throws, and what the server says of a setting that it refuses. */
export async function templateOf({ pool, as, startup, signal }: TemplateRequest): Promise<Template> {
	const settings = startupAsSettings(startup);
	for (let attempt = 1; ; attempt += 1) {
		const lease = await pool.lease({ startup: {}, as, signal, settings });
		const { pooled, connection } = lease;
		if (pooled === undefined) throw new Error('a lease of another kind of pool');
		try {
			await applySettings(pooled, settings, BACKEND_LIMITS.checkTimeoutMs);
			pooled.client = null;
			const told = new Map(pooled.reported);
			const searchPath = told.get('search_path') ?? settings.values.get('search_path') ?? pooled.searchPath;
			await lease.release('clean');
			return { settings, told, base: pooled.base, searchPath, connection };
		} catch (error) {
			await lease.release(connection.alive ? 'dirty' : 'broken');
			if (attempt < attemptsMax && mayBeOfBackend(error)) continue;
			throw error instanceof GatewayError ? fatal(error) : error;
		}
	}
}

/** In the order in which the server takes them: `options` first, so that a parameter of its own wins. */
function startupAsSettings({ options = '', ...others }: Readonly<Record<string, string>>): Settings {
	const values = new Map<string, string>();
	const named = Object.entries(others).map(([name, value]) => ({ name: name.toLowerCase(), value }));
	for (const { name, value } of [...parseOptions(options), ...named]) values.set(name, value);
	return new Settings(values);
}

/** Cancelled by a timeout, or gone. */
function mayBeOfBackend(error: unknown): boolean {
	return error instanceof GatewayError && (error.sqlstate === '57014' || error.sqlstate.startsWith('08'));
}

function fatal(error: GatewayError): GatewayError {
	const { sqlstate, message, detail, hint } = error;
	return new GatewayError(sqlstate, message, {
		severity: 'FATAL',
		cause: error,
		...(detail === undefined ? {} : { detail }),
		...(hint === undefined ? {} : { hint }),
	});
}
