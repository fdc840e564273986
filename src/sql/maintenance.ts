/** TRUNCATE, LOCK, VACUUM, ANALYZE, CLUSTER, REINDEX, REFRESH and CHECKPOINT. */
import type { NodeOf } from './nodes.ts';
import { as } from './nodes.ts';
import { mayOnDatabase, mayOnRelation } from './may.ts';
import { refuse, type Walk } from './walk.ts';
import { noteTarget, writeTarget } from './write-target.ts';

/** A filter can't spare the rows that it hides from TRUNCATE. */
export function truncate(walk: Walk, node: NodeOf<'TruncateStmt'>): void {
	for (const entry of node.relations ?? []) {
		const target = writeTarget(walk, as(entry, 'RangeVar'), 'truncate');
		noteTarget(walk, target);
		if (target.protection.filters.length > 0)
			throw refuse(
				walk,
				`TRUNCATE of ${target.relation.schema}.${target.relation.name}, some rows of which a filter hides from you,`,
				target.location,
			);
	}
	if (node.behavior === 'DROP_CASCADE')
		throw refuse(walk, 'TRUNCATE ... CASCADE', undefined, 'Name every table that is to be emptied.');
}

export function lock(walk: Walk, node: NodeOf<'LockStmt'>): void {
	for (const entry of node.relations ?? []) {
		const range = as(entry, 'RangeVar');
		if (range === undefined) throw refuse(walk, 'LOCK without a relation');
		mayOnRelation(walk, range, 'lock', false);
	}
}

export function vacuum(walk: Walk, node: NodeOf<'VacuumStmt'>): void {
	if ((node.rels ?? []).length === 0)
		mayOnDatabase(walk, 'maintain', node.is_vacuumcmd === true ? 'VACUUM' : 'ANALYZE');
	for (const entry of node.rels ?? []) {
		const range = as(entry, 'VacuumRelation')?.relation;
		if (range === undefined) throw refuse(walk, 'VACUUM without a relation');
		mayOnRelation(walk, range, 'maintain', false);
	}
	// VERBOSE counts rows, hidden ones too.
	walk.touchesProtected = true;
}

export function cluster(walk: Walk, node: NodeOf<'ClusterStmt'>): void {
	if (node.relation === undefined) mayOnDatabase(walk, 'maintain', 'CLUSTER');
	else mayOnRelation(walk, node.relation, 'maintain', false);
	walk.touchesProtected = true;
}

export function reindex(walk: Walk, node: NodeOf<'ReindexStmt'>): void {
	if (node.kind === 'REINDEX_OBJECT_TABLE' && node.relation !== undefined)
		mayOnRelation(walk, node.relation, 'maintain', false);
	else mayOnDatabase(walk, 'maintain', 'REINDEX');
	walk.touchesProtected = true;
}

export function refresh(walk: Walk, node: NodeOf<'RefreshMatViewStmt'>): void {
	if (node.relation === undefined) throw refuse(walk, 'REFRESH without a materialized view');
	mayOnRelation(walk, node.relation, 'maintain', false);
	walk.touchesProtected = true;
}

export function checkpoint(walk: Walk): void {
	mayOnDatabase(walk, 'maintain', 'CHECKPOINT');
}
