/** New names for relations, columns, routines and schemas: the rules go by names, so a new one must not give more than the old one did. */
import { committedRelation } from '../catalog/overlay.ts';
import type { CatalogSnapshot, Column, Relation, Routine } from '../catalog/snapshot.ts';
import type { Access, Action } from '../stages.ts';
import { displayRelation, isOwnTemporary } from './names.ts';
import { related } from './kin.ts';
import { fieldOf, mayLoseRoutines, mayMakeRoutine, mayMakeType, mayMoveOperator } from './new-code.ts';
import { protectionOf } from './protection.ts';
import { displayIdentifier, quoteIdentifier } from './quote.ts';
import { guarded } from './read-relation.ts';
import { inlineView } from './view.ts';
import { refuse, type Walk } from './walk.ts';

interface Name {
	readonly schema: string;
	readonly name: string;
}

const ON_RELATIONS: readonly Action[] = ['delete', 'truncate', 'copy', 'alter', 'drop', 'grant', 'maintain'];
const ON_COLUMNS = ['insert', 'update'] as const;

/**
 * Throws where the new name would give a right that the old one did not; and for a view over something protected whose new
 * name another relation has: what that one is known as by now, here or in another session, would be read as it stands.
 */
export function renameRelation(walk: Walk, relation: Relation, to: Name): void {
	walk.gone.push(relation);
	walk.made.push({ ...relation, ...to });
	if (isOwnTemporary(walk, relation)) return;
	mayBecome(walk, relation, to);
	if (relation.kind !== 'view' && relation.kind !== 'matview') return;
	if (committedRelation(walk.context.catalog, to.schema, to.name) === undefined) return;
	if (relation.oid === 0 || inlineView(walk, relation) === null) return;
	throw refuse(
		walk,
		`giving the view ${displayRelation(relation)}, which reads what the policy protects, the name of ${displayRelation(to)}`,
	);
}

export function renameColumn(walk: Walk, relation: Relation, from: string, to: string): void {
	const { access, catalog } = walk.context;
	// Partitions and children are renamed with it.
	for (const one of [relation, ...related(catalog, relation, 'children')]) {
		const columns = one.columns.map((column) => (column.name === from ? { ...column, name: to } : column));
		walk.made.push({ ...one, columns });
	}
	const gained = (['select', ...ON_COLUMNS] as const).find(
		(action) => mayColumn(access, relation, to, action) && !mayColumn(access, relation, from, action),
	);
	if (gained !== undefined && !isOwnTemporary(walk, relation))
		throw gain(walk, `column ${displayRelation(relation)}.${displayIdentifier(from)}`, displayIdentifier(to), gained);
}

/** ALTER SCHEMA ... RENAME: of everything in it, also of what may come to be meant because search_path names the new schema. */
export function mayRenameSchema(walk: Walk, from: string, to: string): void {
	const { access, catalog } = walk.context;
	for (const relation of catalog.relations()) {
		if (relation.schema !== from) continue;
		const protection = guarded(walk, relation, () => protectionOf(catalog, access, relation, false));
		const narrowed =
			protection.filters.length > 0 ||
			protection.columns.some((column) => column.state === 'masked' || column.state === 'hidden');
		if (narrowed) throw refuse(walk, `renaming a schema that holds ${displayRelation(relation)}, which is protected,`);
		renameRelation(walk, relation, { schema: to, name: relation.name });
	}
	walk.made.length = 0;
	const { routines, operators, types } = catalog.objectsIn(from);
	for (const routine of routines) mayRenameRoutine(walk, routine, { schema: to });
	for (const operator of operators) mayMoveOperator(walk, operator);
	for (const { kind, relation, name } of types) if (kind !== 'c' || relation === 0) mayMakeType(walk, name);
	for (const routine of routines)
		mayLoseRoutines(
			walk,
			routines.filter(({ name }) => name === routine.name),
		);
}

/** Every routine that may be meant. */
export function mayRenameRoutines(walk: Walk, names: readonly string[], to: Partial<Name>): void {
	const { catalog } = walk.context;
	const found = catalog
		.routinesNamed(names.at(-1) ?? '')
		.filter((routine) => names.length < 2 || routine.schema === names.at(-2));
	for (const routine of found) mayRenameRoutine(walk, routine, to);
	mayLoseRoutines(walk, found);
}

function mayRenameRoutine(walk: Walk, routine: Routine, to: Partial<Name>): void {
	const { access } = walk.context;
	const next = { schema: to.schema ?? routine.schema, name: to.name ?? routine.name };
	const gained = (['execute', 'call'] as const).find(
		(action) =>
			access.onFunction(next.schema, next.name, routine.argNames, action).allowed &&
			!access.onFunction(routine.schema, routine.name, routine.argNames, action).allowed,
	);
	if (gained !== undefined) throw gain(walk, `function ${displayRelation(routine)}`, displayRelation(next), gained);
	const action = routine.kind === 'procedure' ? 'call' : 'execute';
	mayMakeRoutine(walk, { ...next, args: routine.argNames, action, field: fieldOf(walk, routine) });
}

function mayBecome(walk: Walk, from: Relation, to: Name): void {
	const gained = gainedBy(walk, from, to);
	if (gained !== undefined) throw gain(walk, `relation ${displayRelation(from)}`, displayRelation(to), gained);
}

/** Throws where rows of a child would be read or written by rights to its parents, or to views over these, that one has not to the child. */
export function mayBecomeChild(walk: Walk, child: Relation, parent: Relation): void {
	if (isOwnTemporary(walk, child)) return;
	const { access, catalog } = walk.context;
	const parents = [parent, ...related(catalog, parent, 'parents')];
	const isThere = ({ name }: Column): boolean => parent.columns.some((column) => column.name === name);
	const part = { ...child, columns: child.columns.filter(isThere) };
	for (const over of parents) {
		const gained = gainedBy(walk, part, over);
		if (gained !== undefined) throw gainByParent(walk, child, over, gained);
	}
	if (part.columns.every(({ name }) => mayColumn(access, child, name, 'select'))) return;
	const seen = viewsOver(catalog, parents).find(({ schema, name, columns }) =>
		columns.some((column) => mayColumn(access, { schema, name }, column.name, 'select')),
	);
	if (seen !== undefined) throw gainByParent(walk, child, seen, 'select');
}

function gainByParent(walk: Walk, child: Relation, over: Relation, action: Action): Error {
	const words = `making ${displayRelation(child)} a part of what ${displayRelation(over)} shows, by which a rule lets you ${action} it,`;
	return refuse(walk, words, undefined, `A rule that allows ${action} on ${displayRelation(child)} would allow that.`);
}

/** Views in whose definitions the names of these relations stand, or those of such views: more than there are, never fewer. */
function viewsOver(catalog: CatalogSnapshot, relations: readonly Relation[]): readonly Relation[] {
	const views = [...catalog.relations()].filter(({ definition }) => definition !== null);
	const found: Relation[] = [];
	for (const over of relations) addViews(over);
	return found;

	function addViews({ name }: Relation): void {
		for (const view of views) {
			if (found.includes(view) || view.definition?.includes(quoteIdentifier(name).slice(1, -1)) !== true) continue;
			found.push(view);
			addViews(view);
		}
	}
}

/** What one may do under the other name, and not under the relation's own. */
function gainedBy(walk: Walk, from: Relation, to: Name): Action | undefined {
	const { access } = walk.context;
	return (
		ON_RELATIONS.find(
			(action) =>
				access.onRelation(to.schema, to.name, action).allowed &&
				!access.onRelation(from.schema, from.name, action).allowed,
		) ??
		(['select', ...ON_COLUMNS] as const).find((action) =>
			from.columns.some(({ name }) => mayColumn(access, to, name, action) && !mayColumn(access, from, name, action)),
		)
	);
}

function mayColumn(access: Access, { schema, name }: Name, column: string, action: Action): boolean {
	if (action !== 'select') return access.onColumn(schema, name, column, action).allowed;
	return access.readColumn(schema, name, column).allowed;
}

function gain(walk: Walk, what: string, name: string, action: Action): Error {
	return refuse(walk, `giving ${what} the name ${name}, under which a rule lets you ${action} it,`);
}
