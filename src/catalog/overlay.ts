/** A snapshot with a few relations laid over it: temporary ones, and those of a transaction that has not committed. */
import type { CatalogConnection } from './connection.ts';
import type { CatalogSnapshot, Relation } from './snapshot.ts';

/** The snapshot, with `relations` in place of those of the same schema and name or oid. */
export function overlay(_snapshot: CatalogSnapshot, _relations: readonly Relation[]): CatalogSnapshot {
	throw new Error('not built');
}

/**
 * Looks a relation up through a session's own connection, in its own transaction: temporary relations and those not yet
 * committed. `schema` is as in pg_namespace ('pg_temp' stands for the session's own temporary schema). Changes
 * no setting of the session. Null when there is none.
 */
export function loadRelation(
	_connection: CatalogConnection,
	_schema: string,
	_name: string,
): Promise<Relation | null> {
	throw new Error('not built');
}
