/** Denials that a relation takes over from its parents, its children and the tables under a view, for what is done to it. */
import type { CatalogSnapshot, Relation } from '../catalog/snapshot.ts';
import type { Access, Action, Answer } from '../stages.ts';
import { displayRelation } from './names.ts';
import { as } from './nodes.ts';
import { defaultSqlLimits, parse } from './parse.ts';
import { addRules, denied, noteUse, type Walk } from './walk.ts';

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

function deniedThere(walk: Walk, relation: Relation, answer: Answer, { action, column, location }: Deed): Error {
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

function answerOf(access: Access, { schema, name, columns }: Relation, action: Action, column?: string): Answer {
	const isThere = column !== undefined && columns.some((candidate) => candidate.name === column);
	return isThere ? access.onColumn(schema, name, column, action) : access.onRelation(schema, name, action);
}

/**
 * A write to a view is one to its table. A rule that names the view is its author's word for that; a wildcard, or the session's
 * own view, is not, so the table is asked for as well. What a rule denies for the table is denied either way.
 */
export function requireBase(walk: Walk, view: Relation, isNamed: boolean, deed: Deed): void {
	// What its own triggers and rules do is their author's choice.
	if (isNamed && (view.hasTriggers || view.hasRules)) return;
	const base = baseOf(walk, view);
	if (base === undefined) return;
	const { relation } = base;
	const column = deed.column === undefined ? undefined : base.columns.get(deed.column);
	if (deed.column !== undefined && column === undefined) return;
	const there: Deed = column === undefined ? deed : { ...deed, column };
	const own = relation.schema === walk.context.tempSchema;
	const answer = own ? undefined : answerOf(walk.context.access, relation, deed.action, column);
	if (answer !== undefined) {
		addRules(noteUse(walk, 'relation', relation.schema, relation.name, deed.action), answer.rules);
		if (answer.denied || !(isNamed || answer.allowed)) throw deniedThere(walk, relation, answer, there);
		refuseByKin(walk, relation, there);
	}
	if (relation.kind === 'view') requireBase(walk, relation, isNamed || answer?.named === true, there);
}

interface Base {
	readonly relation: Relation;
	/** The base's columns by the view's. */
	readonly columns: ReadonlyMap<string, string>;
}

/** The one relation in FROM of a view that the server writes through by itself. */
function baseOf(walk: Walk, view: Relation): Base | undefined {
	if (view.kind !== 'view') return undefined;
	const parsed = parse(view.definition ?? '', { ...defaultSqlLimits, statementsMax: 1 });
	const query = as(parsed.statements[0]?.node, 'SelectStmt');
	// With a WITH clause the server writes through none, and the name in FROM may be the clause's.
	const from = query?.withClause === undefined ? (query?.fromClause ?? []) : [];
	const range = from.length === 1 ? as(from[0], 'RangeVar') : undefined;
	const schema = range?.schemaname ?? walk.context.tempSchema ?? 'pg_catalog';
	const relation = range === undefined ? undefined : walk.context.catalog.relation(schema, range.relname ?? '');
	if (relation === undefined) return undefined;
	const columns = new Map<string, string>();
	for (const [at, target] of (query?.targetList ?? []).entries()) {
		const field = as(as(as(target, 'ResTarget')?.val, 'ColumnRef')?.fields?.at(-1), 'String')?.sval;
		const column = view.columns[at];
		if (field !== undefined && column !== undefined) columns.set(column.name, field);
	}
	return { relation, columns };
}
