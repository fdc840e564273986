/** Walks INSERT, UPDATE and DELETE: what they write, what they read, which rows they may touch and leave behind. */
import type { DeleteStmt, InsertStmt, Node, OnConflictClause, UpdateStmt } from '@pgsql/types';
import { endOf, whereExtent } from './clause.ts';
import { type Around, condition, expression } from './expression.ts';
import { fromClause, withoutSiblings } from './from.ts';
import { as } from './nodes.ts';
import { joinConditions, pushConditions } from './push.ts';
import { returning } from './returning.ts';
import { type ItemColumn, newScope, type RangeItem, type Scope } from './scope.ts';
import { withClause } from './select.ts';
import { type ExprInfo, refuse, type Walk } from './walk.ts';
import {
	assignedItem,
	assignedTo,
	checkWrittenColumn,
	filterCondition,
	noteTarget,
	wholeOrPlain,
	type WriteTarget,
	writeTarget,
	writtenNames,
} from './write-target.ts';

type Columns = readonly ItemColumn[] | null;

export function insert(walk: Walk, statement: InsertStmt, parent: Scope | null, nested: boolean): Columns {
	const scope = newScope(parent);
	withClause(walk, statement.withClause, scope);
	const target = writeTarget(walk, statement.relation, 'insert');
	const select = as(statement.selectStmt, 'SelectStmt');
	const named = writtenNames(statement.cols);
	for (const { name, location } of named) checkWrittenColumn(walk, target, name, 'insert', location);
	if (named.length === 0 && statement.selectStmt !== undefined) {
		for (const column of target.relation.columns.slice(0, widthOf(select))) {
			if (column.generated === '')
				checkWrittenColumn(walk, target, column.name, 'insert', statement.relation?.location);
		}
	}
	for (const node of statement.cols ?? []) indices(walk, as(node, 'ResTarget')?.indirection, scope);
	if (statement.selectStmt !== undefined) {
		const columns = walk.query(walk, statement.selectStmt, withoutSiblings(scope), 'output');
		inserted(walk, statement, target, columns);
	}
	const rows: Scope = { ...scope, items: [target.item] };
	if (statement.onConflictClause !== undefined)
		onConflict(walk, statement.onConflictClause, rows, target, statement.returningClause !== undefined);
	noteTarget(walk, target);
	return returning(walk, statement.returningClause, rows, target, target.protection.filters.length > 0, nested);
}

/** How many columns the first row of VALUES fills; all of them where it can't be told. */
function widthOf(select: { valuesLists?: Node[] } | undefined): number | undefined {
	const row = as(select?.valuesLists?.[0], 'List');
	return row === undefined ? undefined : (row.items ?? []).length;
}

/** Each column of the rows goes into a column of the target. */
function inserted(walk: Walk, { cols }: InsertStmt, target: WriteTarget, columns: Columns): void {
	const named = (cols ?? []).flatMap((node) => as(node, 'ResTarget') ?? []);
	const into = named.length > 0 ? named : target.relation.columns.map(({ name }) => ({ name }));
	const count = columns?.length ?? into.length;
	for (const [at, column] of into.slice(0, count).entries()) {
		const { type = null, given = [{ type }] } = columns?.[at] ?? {};
		for (const value of given) assignedTo(walk, target, value, column);
	}
}

function indices(walk: Walk, nodes: readonly Node[] | undefined, scope: Scope): void {
	for (const node of nodes ?? []) {
		const index = as(node, 'A_Indices');
		const around = { walk, scope, place: 'output', writing: true } as const;
		expression(index?.lidx, around);
		expression(index?.uidx, around);
	}
}

function onConflict(
	walk: Walk,
	clause: OnConflictClause,
	scope: Scope,
	target: WriteTarget,
	hasReturning: boolean,
): void {
	const ofIndex: Scope = { ...scope, items: [indexed(target)] };
	const inferred = { walk, scope: ofIndex, place: 'output', writing: false, keeps: 'all' } as const;
	for (const node of clause.infer?.indexElems ?? []) {
		const element = as(node, 'IndexElem');
		expression(element?.expr, inferred);
	}
	expression(clause.infer?.whereClause, inferred);
	if (clause.action !== 'ONCONFLICT_UPDATE') return;
	// The rows that the client proposed are the client's own.
	const { inline: _inline, note: _note, ...plain } = target.item;
	const excluded: RangeItem = {
		...plain,
		columns: target.relation.columns.map((column) => ({
			name: column.name,
			type: column.typeOid,
			masked: false,
			origin: column.name,
		})),
		name: 'excluded',
		schema: null,
		qualifiedOnly: false,
	};
	const update: Scope = { ...scope, items: [...scope.items, excluded] };
	requireUpdate(walk, target, clause);
	assignments(walk, clause.targetList, update, target);
	condition(clause.whereClause, { walk, scope: update, writing: false });
	restrict(walk, target, clause.whereClause, update, hasReturning);
}

/** The target as the expressions of an index name it: they say which index is meant, and no value of a row is read by them. */
function indexed({ item, protection, relation, qualifier }: WriteTarget): RangeItem {
	if (item.inline === undefined) return item;
	const byName = new Map([...protection.byName].filter(([, { state }]) => state === 'hidden'));
	return { ...item, inline: { relation, qualifier, protection: { ...protection, byName } } };
}

function requireUpdate(walk: Walk, target: WriteTarget, clause: OnConflictClause): void {
	for (const { name, location } of writtenNames(clause.targetList))
		checkWrittenColumn(walk, target, name, 'update', location);
}

export function update(walk: Walk, statement: UpdateStmt, parent: Scope | null, nested: boolean): Columns {
	const scope = newScope(parent);
	withClause(walk, statement.withClause, scope);
	const target = writeTarget(walk, statement.relation, 'update');
	const written = writtenNames(statement.targetList);
	for (const { name, location } of written) checkWrittenColumn(walk, target, name, 'update', location);
	fromClause(walk, statement.fromClause, scope);
	const rows: Scope = { ...scope, items: [target.item, ...scope.items] };
	assignments(walk, statement.targetList, rows, target);
	currentOf(walk, statement.whereClause, target);
	condition(currentOfNode(statement.whereClause) ? undefined : statement.whereClause, {
		walk,
		scope: rows,
		writing: false,
	});
	restrict(walk, target, statement.whereClause, rows, statement.returningClause !== undefined);
	noteTarget(walk, target);
	const moves = mayMove(target, written);
	return returning(walk, statement.returningClause, rows, target, moves, nested);
}

/** A row that satisfies the filters may no longer do so when it is updated. */
function mayMove({ relation, protection }: WriteTarget, written: ReturnType<typeof writtenNames>): boolean {
	const { filters } = protection;
	if (filters.length === 0) return false;
	if (relation.hasTriggers || relation.kind === 'view' || filters.some(({ ofChild }) => ofChild === true)) return true;
	const filtered = new Set(filters.flatMap((filter) => filter.columns));
	// What the server computes changes with other columns, in a child with others than here.
	if (relation.columns.some(({ name, generated }) => generated !== '' && filtered.has(name))) return true;
	return written.some(({ name }) => filtered.has(name));
}

export function remove(walk: Walk, statement: DeleteStmt, parent: Scope | null): Columns {
	const scope = newScope(parent);
	withClause(walk, statement.withClause, scope);
	const target = writeTarget(walk, statement.relation, 'delete');
	fromClause(walk, statement.usingClause, scope);
	const rows: Scope = { ...scope, items: [target.item, ...scope.items] };
	currentOf(walk, statement.whereClause, target);
	condition(currentOfNode(statement.whereClause) ? undefined : statement.whereClause, {
		walk,
		scope: rows,
		writing: false,
	});
	restrict(walk, target, statement.whereClause, rows, statement.returningClause !== undefined);
	noteTarget(walk, target);
	return returning(walk, statement.returningClause, rows, target, false, true);
}

function currentOfNode(where: Node | undefined): boolean {
	return where !== undefined && 'CurrentOfExpr' in where;
}

/** WHERE CURRENT OF needs a cursor on the bare table, which a protected one never has. */
function currentOf(walk: Walk, where: Node | undefined, target: WriteTarget): void {
	if (currentOfNode(where) && !target.protection.none)
		throw refuse(walk, 'WHERE CURRENT OF on a protected relation', target.location);
}

/** SET a = x, (b, c) = (...): what is computed is written, so nothing masked may go into it. */
function assignments(walk: Walk, nodes: readonly Node[] | undefined, scope: Scope, target: WriteTarget): void {
	const around = { walk, scope, place: 'output', writing: !target.protection.none } as const;
	for (const node of nodes ?? []) indices(walk, as(node, 'ResTarget')?.indirection, scope);
	setItems(nodes, around, target);
}

/** The items of SET; what a row is assigned from stands in the tree once per column, and is walked once. */
export function setItems(nodes: readonly Node[] | undefined, around: Around, target: WriteTarget): void {
	const { walk } = around;
	let info: ExprInfo | undefined;
	for (const node of nodes ?? []) {
		const assigned = as(node, 'ResTarget');
		if (assigned === undefined) continue;
		wholeOrPlain(walk, assigned, target);
		const multiple = as(assigned.val, 'MultiAssignRef');
		if (multiple === undefined) info = expression(assigned.val, around);
		else if (multiple.colno === 1) info = expression(multiple.source, around);
		assignedItem(walk, target, assigned, info);
	}
}

/** Adds the filters to WHERE, as a barrier where the client's own condition could tell something of a hidden row. */
function restrict(walk: Walk, target: WriteTarget, where: Node | undefined, scope: Scope, hasReturning: boolean): void {
	const { item, qualifier } = target;
	const conditions: string[] = [];
	const filter = filterCondition(target, qualifier);
	pushConditions(walk, where, scope, filter === null ? undefined : { item, qualifier, conditions });
	if (filter === null) return;
	if (where === undefined) {
		walk.edits.insert(endOf(walk, target.location ?? 0, hasReturning), ` WHERE ${filter}`);
		return;
	}
	const extent = whereExtent(walk, where);
	if (walk.leaky) {
		// The planner does not look into CASE for what an index could serve.
		const joins = joinConditions(walk, where, scope, item);
		const keys = [...conditions, ...joins].map((condition) => `${condition} AND `).join('');
		walk.edits.insert(extent.start, `${keys}CASE WHEN ${filter} THEN (`);
		walk.edits.insert(extent.end, ') ELSE false END');
	} else {
		walk.edits.insert(extent.start, `${filter} AND (`);
		walk.edits.insert(extent.end, ')');
	}
}
