/** The catalogue of one database: the latest snapshot, refreshed on demand and by polling for DDL made elsewhere. */
import type { CatalogSession } from './connection.ts';
import type { CatalogSnapshot } from './snapshot.ts';

export interface CatalogOptions {
	/** Opens a connection of the catalogue's own. */
	readonly connect: () => Promise<CatalogSession>;
	/** As clients name it; for messages. */
	readonly database: string;
	/** Told once each time the catalogue becomes stale, and when it is current again. */
	readonly onState?: (state: CatalogState) => void;
}

export type CatalogState =
	/** Nothing was loaded yet. */
	| { readonly type: 'unknown'; readonly error?: Error }
	| { readonly type: 'current' }
	/** The last look failed: DDL may have happened unseen. */
	| { readonly type: 'stale'; readonly sinceMs: number; readonly error: Error };

export interface Catalog {
	readonly state: CatalogState;
	/** The latest snapshot. Throws GatewayError 57P03 while the catalogue is unknown or stale. */
	snapshot(): CatalogSnapshot;
	/** A snapshot that was begun after this call. Rejects with GatewayError 57P03 when the database cannot be asked. */
	refresh(): Promise<CatalogSnapshot>;
	/** Loads the first snapshot and begins polling. Rejects as refresh does; polling goes on all the same. */
	start(): Promise<void>;
	close(): Promise<void>;
}

export function openCatalog(_options: CatalogOptions): Catalog {
	throw new Error('not built');
}
