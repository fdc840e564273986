/** Inlines views over protected relations: their definition runs with the protections of what it reads. */
import type { Relation } from '../catalog/snapshot.ts';
import { GatewayError } from '../errors.ts';
import { applyEdits } from './edits.ts';
import { displayRelation, effectivePath, UnknownObject } from './names.ts';
import { defaultSqlLimits, parse } from './parse.ts';
import { finishReads } from './protected-read.ts';
import type { ItemColumn } from './scope.ts';
import { type AnalysisContext, newWalk, refuse, type Shadowing, type Walk } from './walk.ts';

/** A view as it may run for an identity. */
export interface InlinedView {
	readonly definition: string;
	/** For each column of the view: it is computed or masked, not a plain column that may meet any row. */
	readonly computed: readonly boolean[];
	/** What it reads that is protected, once for each place; below the views that it reads it is not looked for. */
	readonly reads: readonly Relation[];
}

/**
 * The definition of a view or materialized view as it may run for this identity; null where nothing below it is
 * protected, so that the view can be read as it stands.
 */
export function inlineView(walk: Walk, relation: Relation): InlinedView | null {
	if (relation.definition === null || relation.definition.trim() === '') {
		throw refuse(walk, `view ${displayRelation(relation)}, whose definition is not known,`);
	}
	countDefinition(walk, relation.definition);
	if (walk.views.includes(relation.oid)) throw refuse(walk, `view ${displayRelation(relation)}, which reads itself,`);
	const parsed = parse(relation.definition, { ...defaultSqlLimits, statementsMax: 1 });
	const statement = parsed.statements[0];
	if (statement === undefined) throw refuse(walk, `view ${displayRelation(relation)}, whose definition is empty,`);
	// Definitions are printed under an empty search_path: every name outside pg_catalog is qualified in them.
	const shadowing = { ...shadowingSchemas(walk), found: undefined };
	const context: AnalysisContext = { ...walk.context, searchPath: [], parameterTypes: [], shadowing };
	const inner = newWalk(context, parsed.source, walk.query, 'view', [...walk.views, relation.oid]);
	let columns: readonly ItemColumn[] | null;
	try {
		columns = inner.query(inner, statement.node, null, 'output');
		// The view's own expressions are its author's; against those of the statement the view as a whole gets the fence.
		inner.leaky = false;
		finishReads(inner);
	} catch (error) {
		throw error instanceof GatewayError ? throughView(error, relation) : error;
	}
	mergeUses(walk, inner, relation);
	walk.hiddenListed += inner.hiddenListed;
	const computed = relation.columns.map((_, i) => columns?.[i]?.masked !== false);
	computedIn.set(relation, computed);
	if (!inner.masks || liftedByName(walk, inner, relation)) return null;
	if (context.shadowing?.found !== undefined) throw throughView(context.shadowing.found, relation);
	// Of the catalogues for whom columns are hidden only names are kept back.
	walk.touchesProtected ||= inner.touchesProtected;
	walk.masks = true;
	return {
		definition: applyEdits(parsed.source.bytes, inner.edits.sorted(), statement.start, statement.end),
		computed,
		reads: inner.pending.map((read) => read.relation),
	};
}

/** Of views that stay as they are; kept as long as the snapshot's relation lives, which is replaced and never changed. */
const computedIn = new WeakMap<Relation, readonly boolean[]>();

/** Is the column of a view more than a plain one: then the view's own expression runs in a condition on it, before a filter of the view. */
export function isComputed(view: Relation, at: number): boolean {
	return view.kind === 'view' && computedIn.get(view)?.[at] !== false;
}

/** What a short definition takes beside its length. */
const DEFINITION_WORK = 256;

/** Views over views, and many of them, are a longer text than the one that names them: it is bounded as if they stood in it. */
function countDefinition({ context: { definitions } }: Walk, definition: string): void {
	if (definitions === undefined) return;
	definitions.length += definition.length + DEFINITION_WORK;
	if (definitions.length <= definitions.lengthMax) return;
	throw new GatewayError(
		'54000',
		`a text that reads views with definitions of more than ${definitions.lengthMax} characters in all is more than the gateway analyses`,
		{ hint: 'Raise limits.sqlBytesMax.' },
	);
}

/** What is done to a view or materialized view as such touches what it reads: the server works on that as it is. */
export function noteBeneath(walk: Walk, relation: Relation): void {
	if ((relation.kind !== 'view' && relation.kind !== 'matview') || relation.oid === 0) return;
	try {
		inlineView(walk, relation);
	} catch (error) {
		if (!(error instanceof GatewayError)) throw error;
		walk.touchesProtected = true;
		walk.masks = true;
	}
}

function throughView(error: GatewayError, relation: Relation): GatewayError {
	const message = `${error.message} (through ${relation.kind} ${displayRelation(relation)})`;
	const fields = { ...(error.hint === undefined ? {} : { hint: error.hint }), cause: error };
	return error instanceof UnknownObject
		? new UnknownObject(error.sqlstate, message, fields, error.search, error.routine)
		: new GatewayError(error.sqlstate, message, fields);
}

/** Everything but pg_catalog and the temporary schema, which is never searched for functions and operators. */
function shadowingSchemas({ context }: Walk): Pick<Shadowing, 'schemas' | 'later'> {
	if (context.shadowing !== undefined) return context.shadowing;
	const path = effectivePath(context, false);
	const at = path.indexOf('pg_catalog');
	return { schemas: path.slice(0, at), later: path.slice(at + 1) };
}

/**
 * Rules that name the view itself stand in place of what it inherits: for masks when they name every column of it, for
 * filters when a filter or unfilter names it. Both have to be lifted before the view is read as it stands.
 */
function liftedByName(walk: Walk, inner: Walk, relation: Relation): boolean {
	const { access } = walk.context;
	const uses = [...inner.uses.values()];
	const masked = uses.some((use) => use.masks.size > 0 || use.hidden.size > 0);
	const filtered = uses.some((use) => use.filters.size > 0);
	const columnsNamed = relation.columns.every(
		(column) => access.readColumn(relation.schema, relation.name, column.name).protectionNamed,
	);
	const rowsNamed = access.filtersOf(relation.schema, relation.name).protectionNamed;
	return (!masked || columnsNamed) && (!filtered || rowsNamed);
}

/** What the view reads is noted for audit and explain, as reached through it. */
function mergeUses(walk: Walk, inner: Walk, relation: Relation): void {
	for (const [key, use] of inner.uses) {
		use.via ??= displayRelation(relation);
		if (!walk.uses.has(key)) walk.uses.set(key, use);
	}
}
