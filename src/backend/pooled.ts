/** A backend of a transaction pool, and all that is known of the session state on it. */
import type { IdleReader } from './idle-reader.ts';
import { noSettings, type Settings } from './settings.ts';
import { SharedStatements } from './shared-statements.ts';
import type { BackendConnection } from './connection.ts';

/**
 * Why a client keeps its backend between its transactions. temporary, cursor, prepared, lock, listen, sequence: it has some
 * of those there. seed: it has set that of random(). role: it works as another. code: a user's code ran, which may have
 * left anything. unknown: something ran that nobody has looked at.
 */
export const pinReasons = [
	...(['temporary', 'cursor', 'prepared', 'lock', 'listen', 'sequence'] as const),
	...(['seed', 'role', 'code', 'unknown'] as const),
] as const;

export type PinReason = (typeof pinReasons)[number];

export interface PooledOptions {
	/** Key of `PoolOptions.targets`; undefined: the pool's own. */
	readonly as: string | undefined;
	/** performance.now() when it was dialled. */
	readonly bornMs: number;
	readonly statementsMax: number;
	/** What its server says by itself: equal for backends on which a session finds the same defaults. */
	readonly base: string;
	/** search_path as the server begins with it. */
	readonly searchPath: string;
	/** Never the same twice in one pool. */
	readonly nextNumber: () => number;
}

export class PooledBackend {
	readonly connection: BackendConnection;
	/** The connection as records name it. */
	readonly place: { readonly address: string; readonly pid: number };
	readonly as: string | undefined;
	readonly bornMs: number;
	readonly base: string;
	readonly searchPath: string;
	readonly nextNumber: () => number;
	/** Settings in force beyond what it began with. */
	settings: Settings = noSettings;
	/** ParameterStatus as the server reported it last, by name. */
	readonly reported = new Map<string, string>();
	readonly statements: SharedStatements;
	/** Whose unnamed statement it has: an object of the session's; null: nobody's that is known. */
	unnamed: object | null = null;
	/** Who leased it last. */
	client: object | null = null;
	/** Its sequences (currval, lastval) were used by `client` since they were discarded last. */
	sequences = false;
	/** performance.now() when it became idle. */
	idleSinceMs = 0;
	/** A cancel request went to it: it is tried before anybody else gets it. */
	suspect = false;
	/** Why the client that has it keeps it between its transactions. */
	pins: readonly PinReason[] = [];
	/** What reads it while nobody has it. */
	reader: IdleReader | null = null;
	/** Its kernel buffer has room again; set while it is leased. */
	onDrain: (() => void) | null = null;

	constructor(connection: BackendConnection, options: PooledOptions) {
		this.connection = connection;
		this.place = { address: connection.address, pid: connection.pid };
		this.as = options.as;
		this.bornMs = options.bornMs;
		this.base = options.base;
		this.searchPath = options.searchPath;
		this.nextNumber = options.nextNumber;
		this.statements = new SharedStatements(options.statementsMax);
		this.#reportBase();
		connection.socket.on('drain', () => this.onDrain?.());
	}

	/** DISCARD ALL has been done. */
	discarded(): void {
		this.settings = noSettings;
		this.statements.clear();
		this.unnamed = null;
		this.sequences = false;
		this.#reportBase();
	}

	#reportBase(): void {
		for (const [name, value] of this.connection.parameters) this.reported.set(name, value);
	}
}

/** Its settings are those that are asked for. */
export function isLike(backend: PooledBackend | undefined, settings: Settings | undefined): boolean {
	return backend !== undefined && settings !== undefined && backend.settings.key === settings.key;
}
