/** TRUNCATE, LOCK, VACUUM, ANALYZE, CLUSTER, REINDEX, REFRESH and CHECKPOINT. */
import type { NodeOf } from './nodes.ts';
import { as } from './nodes.ts';
import type { RangeVar } from '@pgsql/types';
import { mayOnDatabase, mayOnRelation } from './may.ts';
import type { Relation } from '../catalog/snapshot.ts';
import { displayRelation, isOwnTemporary } from './names.ts';
import { protectionOf } from './protection.ts';
import { guarded, isSystem } from './read-relation.ts';
import { noteBeneath } from './view.ts';
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
	if (node.behavior === 'DROP_CASCADE') mayEmptyAll(walk);
}

const WITH_ROWS: ReadonlySet<Relation['kind']> = new Set(['table', 'partitioned']);

/** CASCADE empties every table that refers to those named, whichever these are: for whoever may empty all that there are. */
function mayEmptyAll(walk: Walk): void {
	const { access, catalog } = walk.context;
	for (const relation of catalog.relations()) {
		const { schema, name, kind, temporary } = relation;
		if (!WITH_ROWS.has(kind) || temporary || isSystem(schema)) continue;
		const answer = access.onRelation(schema, name, 'truncate');
		const rowsKept = () => protectionOf(catalog, access, relation, false).filters.length > 0;
		const isKept = answer.allowed && guarded(walk, relation, rowsKept);
		if (answer.allowed && !isKept) continue;
		const what = isKept ? 'some rows of which a filter hides from you' : 'which you may not empty';
		const hint = 'Name every table that is to be emptied, without CASCADE.';
		throw refuse(walk, `TRUNCATE ... CASCADE beside ${displayRelation(relation)}, ${what},`, undefined, hint);
	}
}

export function lock(walk: Walk, node: NodeOf<'LockStmt'>): void {
	for (const entry of node.relations ?? []) {
		const range = as(entry, 'RangeVar');
		if (range === undefined) throw refuse(walk, 'LOCK without a relation');
		mayOnRelation(walk, range, 'lock', false);
	}
}

export function vacuum(walk: Walk, node: NodeOf<'VacuumStmt'>): void {
	if ((node.rels ?? []).length === 0) onAll(walk, node.is_vacuumcmd === true ? 'VACUUM' : 'ANALYZE');
	for (const entry of node.rels ?? []) {
		const range = as(entry, 'VacuumRelation')?.relation;
		if (range === undefined) throw refuse(walk, 'VACUUM without a relation');
		onOne(walk, range);
	}
}

export function cluster(walk: Walk, node: NodeOf<'ClusterStmt'>): void {
	if (node.relation === undefined) onAll(walk, 'CLUSTER');
	else onOne(walk, node.relation);
}

export function reindex(walk: Walk, node: NodeOf<'ReindexStmt'>): void {
	if (node.kind === 'REINDEX_OBJECT_TABLE' && node.relation !== undefined) onOne(walk, node.relation);
	else onAll(walk, 'REINDEX');
}

/** VERBOSE counts rows, hidden ones too, and an index that cannot be made quotes values: of a table of which something is kept back both are. */
function onOne(walk: Walk, range: RangeVar): void {
	const relation = mayOnRelation(walk, range, 'maintain', false);
	if (isOwnTemporary(walk, relation)) return;
	const { catalog, access } = walk.context;
	const protection = guarded(walk, relation, () => protectionOf(catalog, access, relation, false));
	if (!protection.none) walk.touchesProtected = true;
	noteBeneath(walk, relation);
}

function onAll(walk: Walk, what: string): void {
	mayOnDatabase(walk, 'maintain', what);
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
