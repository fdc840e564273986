/** The second lock: no column that the policy hides or masks may come back as itself, whatever the rewrite believed. */
import type { CatalogSnapshot, Relation } from '../catalog/snapshot.ts';
import type { Access } from '../stages.ts';
import { isSystem } from './read-relation.ts';
import { protectionOf } from './protection.ts';

/** What RowDescription says of a column: where it comes from; 0 where it is computed. */
export interface RowOrigin {
	readonly tableOid: number;
	readonly attnum: number;
}

type Guarded = ReadonlyMap<number, string>;

/** `schema.relation.column` of the first protected column that comes back as itself; null when there is none. */
export function breach(fields: readonly RowOrigin[], access: Access, catalog: CatalogSnapshot): string | null {
	for (const field of fields) {
		if (field.tableOid === 0) continue;
		const name = guardedColumns(access, catalog, field.tableOid).get(field.attnum);
		if (name !== undefined) return name;
	}
	return null;
}

/** Kept as long as the access and the snapshot live: both are replaced, never changed. */
const guardedByAccess = new WeakMap<Access, WeakMap<CatalogSnapshot, Map<number, Guarded>>>();

function guardedColumns(access: Access, catalog: CatalogSnapshot, oid: number): Guarded {
	let bySnapshot = guardedByAccess.get(access);
	if (bySnapshot === undefined) guardedByAccess.set(access, (bySnapshot = new WeakMap()));
	let byOid = bySnapshot.get(catalog);
	if (byOid === undefined) bySnapshot.set(catalog, (byOid = new Map<number, Guarded>()));
	let guarded = byOid.get(oid);
	if (guarded === undefined) byOid.set(oid, (guarded = compute(access, catalog, catalog.relationByOid(oid))));
	return guarded;
}

function compute(access: Access, catalog: CatalogSnapshot, relation: Relation | undefined): Guarded {
	if (relation === undefined || relation.temporary || isSystem(relation.schema)) return new Map();
	const protection = protectionOf(catalog, access, relation, true);
	return new Map(
		protection.columns
			.filter((column) => column.state === 'masked' || column.state === 'hidden')
			.map((column) => [column.column.attnum, `${relation.schema}.${relation.name}.${column.column.name}`]),
	);
}
