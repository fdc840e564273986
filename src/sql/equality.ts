/** Which types have no equality by which the server could group: its GROUP BY, DISTINCT and UNION fail for them with 42883. */
import type { CatalogSnapshot } from '../catalog/snapshot.ts';

/** Types of pg_catalog without a default operator class of btree or hash; a test compares them with the server. */
const WITHOUT: ReadonlySet<string> = new Set([
	'box',
	'circle',
	'gtsvector',
	'json',
	'jsonpath',
	'line',
	'lseg',
	'path',
	'pg_brin_bloom_summary',
	'pg_brin_minmax_multi_summary',
	'pg_snapshot',
	'point',
	'polygon',
	'refcursor',
	'txid_snapshot',
	'xml',
]);

/** Domains and arrays nest this deep at most before nobody looks further. */
const HOPS_MAX = 32;

/** False where the server certainly finds no equality for values of the type; a type that is not known counts as having one. */
export function hasEquality(catalog: CatalogSnapshot, oid: number | null, hops = 0): boolean {
	const type = oid === null ? undefined : catalog.typeByOid(oid);
	if (type === undefined || hops > HOPS_MAX) return true;
	if (type.kind === 'd') return hasEquality(catalog, type.base, hops + 1);
	if (type.element !== 0) return hasEquality(catalog, type.element, hops + 1);
	if (type.kind === 'c') {
		const columns = catalog.relationByOid(type.relation)?.columns ?? [];
		return columns.every((column) => hasEquality(catalog, column.typeOid, hops + 1));
	}
	return type.schema !== 'pg_catalog' || !WITHOUT.has(type.name);
}
