/** The target of INSERT, UPDATE, DELETE and COPY FROM: may it be written, which of its columns, and under what protection. */
import type { Node, RangeVar } from '@pgsql/types';
import type { Relation } from '../catalog/snapshot.ts';
import type { Action } from '../stages.ts';
import { GatewayError } from '../errors.ts';
import type { InlineTarget } from './inline-target.ts';
import { displayRelation, isOwnTemporary, resolveRelation } from './names.ts';
import { as, type NodeOf } from './nodes.ts';
import { type Deed, refuseByKin } from './kin.ts';
import { coerced, type Given } from './coercions.ts';
import { type Protection, protectionOf, shownType } from './protection.ts';
import { qualified, quoteIdentifier } from './quote.ts';
import { noteProtection } from './note-protection.ts';
import { guarded, isSystem, noteTypes, qualifyName } from './read-relation.ts';
import type { RangeItem } from './scope.ts';
import { requireBase } from './view-base.ts';
import { type ViewProtection, viewProtection } from './view-target.ts';
import { addRules, denied, type ExprInfo, noteUse, positionAt, refuse, type UseNote, type Walk } from './walk.ts';

/** A write's target with what protects it. */
export interface WriteTarget {
	readonly relation: Relation;
	readonly protection: Protection;
	readonly item: RangeItem;
	/** The name by which its row is qualified in the statement. */
	readonly qualifier: string;
	/** Columns that are written are noted here. */
	readonly note: UseNote;
	/** Rows of children are left alone (ONLY). */
	readonly only: boolean;
	readonly location: number | undefined;
}

const NOTHING: Protection = { columns: [], filters: [], none: true, byName: new Map(), via: [] };

/** Resolves and qualifies the target, and asks for the action on the relation or on some column of it. */
export function writeTarget(walk: Walk, range: RangeVar | undefined, action: Action): WriteTarget {
	if (range === undefined) throw refuse(walk, 'a write without a target');
	const relation = resolveRelation(walk, range);
	const { location } = range;
	const note = noteUse(walk, 'relation', relation.schema, relation.name, action);
	const own = isOwnTemporary(walk, relation);
	if (relation.temporary && !own)
		throw refuse(walk, `another session's temporary relation ${displayRelation(relation)}`, location);
	if (isSystem(relation.schema))
		throw refuse(walk, `writing to the system catalogue ${displayRelation(relation)}`, location);
	if (!own) requireWrite(walk, relation, note, action, location);
	const { protection, computed } = protectedBy(walk, relation, range, own);
	const unwritable = protection.filters.find((filter) => filter.readOnly);
	if (unwritable !== undefined)
		throw refuse(
			walk,
			`writing to ${displayRelation(relation)}, whose filter ${unwritable.name} rests on a column of a child of it,`,
			location,
		);
	const only = range.inh !== true;
	requireKin(walk, relation, { action, only, location });
	qualifyName(walk, range, relation);
	noteTypes(walk, relation);
	const name = range.alias?.aliasname ?? relation.name;
	// With its schema it cannot be taken for something nearer by the same name; an alias has none.
	const qualifier = range.alias === undefined ? qualified(relation.schema, relation.name) : quoteIdentifier(name);
	const inline: InlineTarget = { relation, protection, qualifier };
	return {
		relation,
		protection,
		qualifier,
		note,
		only,
		location,
		item: targetItem(walk, { inline, computed, name }, range),
	};
}

function requireWrite(
	walk: Walk,
	relation: Relation,
	note: UseNote,
	action: Action,
	location: number | undefined,
): void {
	const { access } = walk.context;
	const answer = access.onRelation(relation.schema, relation.name, action);
	addRules(note, answer.rules);
	const some =
		!answer.denied &&
		relation.columns.some((column) => access.onColumn(relation.schema, relation.name, column.name, action).allowed);
	if (answer.allowed || (some && (action === 'insert' || action === 'update'))) return;
	const object = `${access.database}.${displayRelation(relation)}`;
	throw denied(walk, `relation ${displayRelation(relation)}`, answer, action, object, location);
}

function protectedBy(walk: Walk, relation: Relation, range: RangeVar, own: boolean): ViewProtection {
	if (relation.kind === 'view') return viewProtection(walk, relation, range.location);
	if (own) return { protection: NOTHING, computed: new Set() };
	const { catalog, access } = walk.context;
	const protection = guarded(walk, relation, () => protectionOf(catalog, access, relation, range.inh !== true));
	return { protection, computed: new Set() };
}

function targetItem(
	walk: Walk,
	{ inline, computed, name }: { inline: InlineTarget; computed: ReadonlySet<string>; name: string },
	range: RangeVar,
): RangeItem {
	const { relation, protection } = inline;
	// Columns without a rule stay in sight, so that a reference to one is answered with its reason.
	const columns = relation.columns
		.map((column) => protection.byName.get(column.name) ?? ({ column, state: 'plain' } as const))
		.filter(({ state }) => state !== 'hidden')
		.map((shown) => ({
			name: shown.column.name,
			type: shownType(walk.context.catalog, shown),
			masked: shown.state !== 'plain' || computed.has(shown.column.name),
			origin: shown.column.name,
		}));
	const protectedTarget = relation.temporary && protection.none ? {} : { inline };
	return {
		name,
		schema: range.alias === undefined ? relation.schema : null,
		columns,
		replaced: false,
		qualifiedOnly: false,
		note: noteUse(walk, 'relation', relation.schema, relation.name, 'select'),
		rowType: relation.rowType,
		...protectedTarget,
	};
}

/** Touching the target's rows under a filter, or showing masked columns of it, makes the statement a protected one. */
export function noteTarget(walk: Walk, target: WriteTarget): void {
	if (target.protection.none) return;
	const narrowed =
		target.protection.filters.length > 0 ||
		target.protection.columns.some((column) => column.state === 'masked' || column.state === 'hidden');
	if (narrowed) noteProtection(walk, target.note, target.protection);
	// The server's errors quote the whole row, also the columns that no rule lets be read.
	walk.touchesProtected = true;
}

/** Asks for a column that is written; `name` may not exist, which the server will say. */
export function checkWrittenColumn(
	walk: Walk,
	target: WriteTarget,
	name: string,
	action: Action,
	location: number | undefined,
): void {
	const { relation } = target;
	target.note.columns.add(name);
	if (!relation.temporary) {
		const { access } = walk.context;
		const answer = access.onColumn(relation.schema, relation.name, name, action);
		addRules(target.note, answer.rules);
		const display = `${displayRelation(relation)}.${name}`;
		if (!answer.allowed)
			throw denied(walk, `column ${display}`, answer, action, `${access.database}.${display}`, location);
	}
	requireKin(walk, relation, { action, column: name, only: target.only, location });
}

/** What else a write reaches has to let it: parents, children, and the table under a view. */
export function requireKin(walk: Walk, relation: Relation, deed: Deed): void {
	if (!relation.temporary) refuseByKin(walk, relation, deed);
	if (relation.kind !== 'view') return;
	const { access } = walk.context;
	const isNamed = !relation.temporary && access.onRelation(relation.schema, relation.name, deed.action).named;
	requireBase(walk, relation, isNamed, deed);
}

/** What is stored in a column is cast to its type; to that of a part where only a part is set. */
export function assignedTo(
	walk: Walk,
	target: WriteTarget,
	given: Given,
	{ name, indirection, location }: Assigned,
): void {
	const column = target.relation.columns.find((candidate) => candidate.name === name);
	if (column === undefined) return;
	const wanted = { type: column.typeOid || null, assignment: true, location };
	coerced(walk, (indirection ?? []).length === 0 ? given : { type: null }, wanted);
}

type Assigned = Pick<NodeOf<'ResTarget'>, 'name' | 'indirection' | 'location'>;

/** The same for SET: `infos` are those of the values of one item, which may be a row for several columns. */
export function assignedItem(
	walk: Walk,
	target: WriteTarget,
	item: NodeOf<'ResTarget'>,
	info: ExprInfo | undefined,
): void {
	const multiple = as(item.val, 'MultiAssignRef');
	if (multiple === undefined) assignedTo(walk, target, info ?? { type: null }, item);
	else assignedTo(walk, target, { type: info?.fields?.[(multiple.colno ?? 1) - 1] ?? null }, item);
}

/** To set a part of a value the server reads the whole of it, and fails by what it finds there. */
export function wholeOrPlain(walk: Walk, assigned: NodeOf<'ResTarget'> | undefined, target: WriteTarget): void {
	if ((assigned?.indirection ?? []).length === 0) return;
	const name = assigned?.name ?? '';
	const state = target.protection.byName.get(name)?.state ?? 'plain';
	if (state === 'plain') return;
	const what = `setting a part of the column ${displayRelation(target.relation)}.${name}, which may not be read as it is,`;
	throw refuse(walk, what, assigned?.location, 'Set the column as a whole.');
}

/** Names of the columns in a column list. */
export function writtenNames(
	nodes: readonly Node[] | undefined,
): readonly { name: string; location: number | undefined }[] {
	return (nodes ?? []).flatMap((node) => {
		const target = as(node, 'ResTarget');
		const name = target?.name ?? as(node, 'String')?.sval;
		return name === undefined ? [] : [{ name, location: target?.location }];
	});
}

/** The condition of all filters on a row qualified by `qualifier`; null when there is none. */
export function filterCondition(target: WriteTarget, qualifier: string): string | null {
	const { filters } = target.protection;
	if (filters.length === 0) return null;
	return `(${filters.map((filter) => filter.render(qualifier)).join(' AND ')})`;
}

/** Registers the check of the rows that a write leaves behind; gives SQL that fails, with the check's word in the error, for a row of it. */
export function failingCheck(walk: Walk, target: WriteTarget, column: string): string {
	const nonce = walk.context.nonce();
	const names = target.protection.filters.map((filter) => `"${filter.name}"`).join(', ');
	const rule = target.protection.filters[0]?.rules[0];
	const error = new GatewayError(
		'42501',
		`new row violates row filter ${names} for table "${target.relation.name}" (${rule?.file}:${rule?.line})`,
		positionAt(walk, target.location),
	);
	walk.checks.push({ nonce, error });
	// Depends on the row, so that the planner can't fold it into an error of every row.
	return `CAST((pg_catalog.concat('${nonce}', (${column}) IS NULL)) AS pg_catalog.bool)`;
}
