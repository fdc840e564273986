/** MERGE: a write whose filter has to hold in the join, in the clauses for unmatched target rows, and for the rows left behind. */
import type { MergeStmt, MergeWhenClause } from '@pgsql/types';
import type { Action } from '../stages.ts';
import { condition, expression } from './expression.ts';
import { fromClause } from './from.ts';
import { smallestLocation } from './group-by.ts';
import { as, type NodeOf } from './nodes.ts';
import { returning } from './returning.ts';
import { type ItemColumn, newScope, type Scope } from './scope.ts';
import { withClause } from './select.ts';
import { isKeyword } from './source.ts';
import { mayOnFound } from './may.ts';
import { refuse, type Walk } from './walk.ts';
import { setItems } from './write.ts';
import {
	assignedTo,
	checkWrittenColumn,
	filterCondition,
	noteTarget,
	requireKin,
	wholeOrPlain,
	type WriteTarget,
	writeTarget,
	writtenNames,
} from './write-target.ts';

const ACTIONS: Readonly<Record<string, Action>> = { CMD_INSERT: 'insert', CMD_UPDATE: 'update', CMD_DELETE: 'delete' };

/** From this version on MERGE has RETURNING, by which the rows left behind are checked. */
const RETURNING_SINCE = 170000;

export function merge(
	walk: Walk,
	statement: MergeStmt,
	parent: Scope | null,
	nested: boolean,
): readonly ItemColumn[] | null {
	const scope = newScope(parent);
	withClause(walk, statement.withClause, scope);
	const clauses = (statement.mergeWhenClauses ?? []).flatMap((node) => as(node, 'MergeWhenClause') ?? []);
	const actions = [...new Set(clauses.flatMap((clause) => ACTIONS[clause.commandType ?? ''] ?? []))];
	const target = writeTarget(walk, statement.relation, actions[0] ?? 'update');
	for (const action of actions.slice(1)) requireAction(walk, target, action);
	if (statement.sourceRelation !== undefined) fromClause(walk, [statement.sourceRelation], scope);
	const source: Scope = { ...scope, items: [...scope.items] };
	const rows: Scope = { ...scope, items: [...scope.items, target.item] };
	condition(statement.joinCondition, { walk, scope: rows, writing: false });
	for (const clause of clauses) whenClause(walk, clause, clause.commandType === 'CMD_INSERT' ? source : rows, target);
	const filtered = target.protection.filters.length > 0;
	if (filtered) {
		if (walk.context.catalog.serverVersion < RETURNING_SINCE)
			throw refuse(walk, 'MERGE into a relation with a row filter on this version of the server', target.location);
		restrictMerge(walk, statement, clauses, target);
	}
	noteTarget(walk, target);
	return returning(walk, statement.returningClause, rows, target, filtered, nested);
}

function requireAction(walk: Walk, target: WriteTarget, action: Action): void {
	if (action === 'delete') mayOnFound(walk, target.relation, action, false, target.location);
	requireKin(walk, target.relation, { action, only: target.only, location: target.location });
}

function whenClause(walk: Walk, clause: MergeWhenClause, scope: Scope, target: WriteTarget): void {
	condition(clause.condition, { walk, scope, writing: false });
	const action = ACTIONS[clause.commandType ?? ''];
	if (action === undefined || action === 'delete') {
		if (action === undefined && clause.commandType !== 'CMD_NOTHING')
			throw refuse(walk, `MERGE with ${String(clause.commandType)}`);
		return;
	}
	const named = writtenNames(clause.targetList);
	const columns =
		named.length > 0
			? named
			: target.relation.columns
					.filter((column) => column.generated === '')
					.map(({ name }) => ({ name, location: undefined }));
	for (const { name, location } of columns) checkWrittenColumn(walk, target, name, action, location);
	const around = { walk, scope, place: 'output', writing: !target.protection.none } as const;
	if (action === 'update') {
		setItems(clause.targetList, around, target);
		return;
	}
	const items: readonly NodeOf<'ResTarget'>[] = (clause.targetList ?? []).flatMap(
		(node) => as(node, 'ResTarget') ?? [],
	);
	for (const item of items) wholeOrPlain(walk, item, target);
	const into = items.length > 0 ? items : columns.map(({ name }) => ({ name }));
	for (const [at, node] of (clause.values ?? []).entries()) {
		const info = expression(node, around);
		const column = into[at];
		if (column !== undefined) assignedTo(walk, target, info, column);
	}
}

/** Puts the filter into ON, and into the clauses that look at target rows without a partner. */
function restrictMerge(
	walk: Walk,
	statement: MergeStmt,
	clauses: readonly MergeWhenClause[],
	target: WriteTarget,
): void {
	const filter = filterCondition(target, target.qualifier) ?? 'true';
	const { tokens } = walk.source;
	const on = keywordBefore(walk, statement.joinCondition, 'on');
	let when = nextKeyword(walk, on + 1, 'when');
	guardCondition(walk, tokens[on + 1]?.start, tokens[when - 1]?.end, filter);
	for (const clause of clauses) {
		const then = nextKeyword(walk, when + 1, 'then');
		if (clause.matchKind === 'MERGE_WHEN_NOT_MATCHED_BY_SOURCE') {
			if (clause.condition === undefined) walk.edits.insert(tokens[then - 1]?.end ?? 0, ` AND ${filter}`);
			else {
				const and = nextKeyword(walk, when + 1, 'and');
				guardCondition(walk, tokens[and + 1]?.start, tokens[then - 1]?.end, filter);
			}
		}
		when = nextKeyword(walk, then + 1, 'when');
	}
}

function guardCondition(walk: Walk, start: number | undefined, end: number | undefined, filter: string): void {
	if (start === undefined || end === undefined || end <= start)
		throw refuse(walk, 'a MERGE that the gateway cannot take apart');
	walk.edits.insert(start, walk.leaky ? `CASE WHEN ${filter} THEN (` : `${filter} AND (`);
	walk.edits.insert(end, walk.leaky ? ') ELSE false END' : ')');
}

function keywordBefore(walk: Walk, node: unknown, word: string): number {
	const first = smallestLocation(node);
	let index = Number.isFinite(first) ? walk.source.tokenAt(first) : -1;
	while (index >= 0 && !isKeyword(walk.source.tokens[index], word)) index -= 1;
	if (index < 0) throw refuse(walk, 'a MERGE that the gateway cannot take apart');
	return index;
}

/** The next such keyword outside of brackets and of CASE ... END; tokens.length when there is none. */
function nextKeyword(walk: Walk, from: number, word: string): number {
	const { tokens } = walk.source;
	let depth = 0;
	for (let i = from; i < tokens.length; i += 1) {
		const token = tokens[i];
		if (depth === 0 && isKeyword(token, word)) return i;
		if (token?.text === '(' || isKeyword(token, 'case')) depth += 1;
		else if (token?.text === ')' || isKeyword(token, 'end')) depth -= 1;
		if (depth < 0) return i;
	}
	return tokens.length;
}
