/** Denials that a relation takes over from its parents and its children, for what is done to it. */
import type { CatalogSnapshot, Relation } from '../catalog/snapshot.ts';
import type { Access, Action, Answer } from '../stages.ts';
import { displayRelation } from './names.ts';
import { denied, type Walk } from './walk.ts';

/** Relations that are reached by inheritance and partitioning, the nearest first. */
export function related(
	catalog: CatalogSnapshot,
	relation: Relation,
	direction: 'parents' | 'children',
): readonly Relation[] {
	const found = new Map<number, Relation>();
	const visit = (at: Relation): void => {
		for (const oid of at[direction]) {
			const next = catalog.relationByOid(oid);
			if (next === undefined || found.has(oid)) continue;
			found.set(oid, next);
			visit(next);
		}
	};
	visit(relation);
	return [...found.values()];
}

/** What is asked of a relation: an action on it as a whole, or on one of its columns. */
export interface Deed {
	readonly action: Action;
	readonly column?: string;
	/** Rows of children are left alone (ONLY). */
	readonly only: boolean;
	readonly location: number | undefined;
}

/** Throws where a rule denies it for a relation that it belongs to, or one that belongs to it: rules of both hold, and deny beats everything. */
export function refuseByKin(walk: Walk, relation: Relation, deed: Deed): void {
	const found = denialAmong(walk.context.catalog, walk.context.access, relation, deed);
	if (found !== undefined) throw deniedThere(walk, found.relation, found.answer, deed);
}

/** 42501 for a deed that is not allowed on the relation. */
export function deniedThere(walk: Walk, relation: Relation, answer: Answer, { action, column, location }: Deed): Error {
	const display = displayRelation(relation) + (column === undefined ? '' : `.${column}`);
	const what = column === undefined ? 'relation' : 'column';
	return denied(walk, `${what} ${display}`, answer, action, `${walk.context.access.database}.${display}`, location);
}

interface Denial {
	readonly relation: Relation;
	readonly answer: Answer;
}

/** Kept as long as the access and the snapshot live, both of which are replaced and never changed: a table may have thousands of partitions. */
const denials = new WeakMap<Access, WeakMap<CatalogSnapshot, WeakMap<Relation, Map<string, Denial | undefined>>>>();

function denialAmong(
	catalog: CatalogSnapshot,
	access: Access,
	relation: Relation,
	{ action, column, only }: Deed,
): Denial | undefined {
	if (relation.parents.length === 0 && relation.children.length === 0) return undefined;
	let ofAccess = denials.get(access);
	if (ofAccess === undefined) denials.set(access, (ofAccess = new WeakMap()));
	let ofCatalog = ofAccess.get(catalog);
	if (ofCatalog === undefined) ofAccess.set(catalog, (ofCatalog = new WeakMap()));
	let known = ofCatalog.get(relation);
	if (known === undefined) ofCatalog.set(relation, (known = new Map<string, Denial | undefined>()));
	const key = `${action} ${only ? 'only' : 'all'} ${column ?? ''}`;
	if (!known.has(key)) {
		const kin = [...related(catalog, relation, 'parents'), ...(only ? [] : related(catalog, relation, 'children'))];
		known.set(key, firstDenial(access, kin, action, column));
	}
	return known.get(key);
}

function firstDenial(
	access: Access,
	kin: readonly Relation[],
	action: Action,
	column: string | undefined,
): Denial | undefined {
	for (const relation of kin) {
		const answer = answerOf(access, relation, action, column);
		if (answer.denied) return { relation, answer };
	}
	return undefined;
}

/** Of the column where there is one, else of the relation. */
export function answerOf(access: Access, { schema, name, columns }: Relation, action: Action, column?: string): Answer {
	const isThere = column !== undefined && columns.some((candidate) => candidate.name === column);
	return isThere ? access.onColumn(schema, name, column, action) : access.onRelation(schema, name, action);
}
