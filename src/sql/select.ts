/** Walks SELECT, VALUES and set operations: clauses in the order in which names come into sight. */
import type { Node, SelectStmt, WithClause } from '@pgsql/types';
import { joined } from './expr-info.ts';
import { coercedTogether } from './coercions.ts';
import { type Around, condition, expression, expressions, sortItems, wanted, windowDefinition } from './expression.ts';
import { stripSchema } from './column-ref.ts';
import { fromClause, resolved, withoutSiblings } from './from.ts';
import { keepFunctionalDependency } from './group-by.ts';
import { stringsOf, TYPE } from './names.ts';
import { as, type NodeOf, tagOf } from './nodes.ts';
import { outputName } from './output-name.ts';
import { columnAt, seenThrough } from './leaf.ts';
import { pushConditions } from './push.ts';
import { quoteIdentifier } from './quote.ts';
import {
	bareColumns,
	type CteInfo,
	findItem,
	type ItemColumn,
	newScope,
	type RangeItem,
	resolveBare,
	type Scope,
} from './scope.ts';
import { commonType } from './types.ts';
import { noteAsked } from './sampled.ts';
import { GatewayError } from '../errors.ts';
import { type ExprInfo, type Place, positionAt, refuse, type Walk } from './walk.ts';

type Columns = readonly ItemColumn[] | null;

/** Is told the columns of the first part of a set operation before the others are walked. */
type OnFirst = (columns: Columns) => void;

/** Walks a SelectStmt within `parent`; gives its output columns. */
export function select(
	walk: Walk,
	statement: SelectStmt,
	parent: Scope | null,
	place: Place,
	onFirst?: OnFirst,
): Columns {
	if (statement.intoClause !== undefined) {
		const at = positionAt(walk, statement.intoClause.rel?.location);
		throw new GatewayError('42601', 'SELECT ... INTO is not allowed here', at);
	}
	const scope = newScope(parent);
	withClause(walk, statement.withClause, scope);
	let columns: Columns;
	if (statement.op !== undefined && statement.op !== 'SETOP_NONE')
		columns = setOperation(walk, statement, scope, place, onFirst);
	else if (statement.valuesLists !== undefined) columns = values(walk, statement, scope, place);
	else columns = plain(walk, statement, scope, place);
	const around: Around = { walk, scope: newScope(parent), place, writing: false };
	within(
		around,
		[statement.limitCount, statement.limitOffset].map((node) => wanted(node, [TYPE.int8], around)),
	);
	return columns;
}

/** Below the top, an expression of any clause may come to run on rows that a filter around it has yet to hide. */
function within({ walk, place }: Around, infos: readonly ExprInfo[]): void {
	if (place === 'qual' && infos.some((info) => !info.safe)) walk.leaky = true;
}

/** CTEs come into sight one after the other; all at once where the clause is recursive. */
export function withClause(walk: Walk, clause: WithClause | undefined, scope: Scope): void {
	const ctes = (clause?.ctes ?? []).flatMap((node) => as(node, 'CommonTableExpr') ?? []);
	if (clause?.recursive === true) {
		for (const cte of ctes) scope.ctes.push({ name: cte.ctename ?? '', columns: null, uses: 0 });
	}
	for (const cte of ctes) {
		if (cte.ctequery === undefined) throw refuse(walk, 'a CTE without a query', cte.location);
		const inner = withoutSiblings(scope);
		const recursive = clause?.recursive === true ? as(cte.ctequery, 'SelectStmt') : undefined;
		const columns =
			recursive === undefined
				? walk.query(walk, cte.ctequery, inner, 'qual')
				: select(walk, recursive, inner, 'qual', (first) => scope.ctes.push(recursiveCte(cte, first)));
		scope.ctes.push(cteInfo(walk, cte, columns, scope, recursive === undefined));
	}
}

/** What a recursive CTE looks like to itself: its columns have the types of the first part. */
function recursiveCte(cte: NodeOf<'CommonTableExpr'>, first: Columns): CteInfo {
	const names = stringsOf(cte.aliascolnames);
	const columns = resolved(first)?.map((column, i) => ({ ...column, name: names[i] ?? column.name, masked: true }));
	return { name: cte.ctename ?? '', columns: columns ?? null, uses: 0 };
}

function cteInfo(walk: Walk, cte: NodeOf<'CommonTableExpr'>, columns: Columns, scope: Scope, plain: boolean): CteInfo {
	const info: { -readonly [K in keyof CteInfo]: CteInfo[K] } = { name: cte.ctename ?? '', columns: null, uses: 0 };
	info.columns = cteColumns(walk, cte, plain ? seenThrough(walk, cte.ctequery, columns, info) : columns, scope);
	return info;
}

function cteColumns(walk: Walk, cte: NodeOf<'CommonTableExpr'>, columns: Columns, scope: Scope): Columns {
	if (columns === null) return null;
	const names = stringsOf(cte.aliascolnames);
	const named = (resolved(columns) ?? []).map((column, i) => ({ ...column, name: names[i] ?? column.name }));
	const { search_clause: search, cycle_clause: cycle } = cte;
	if (search?.search_seq_column !== undefined) named.push({ name: search.search_seq_column, type: null, masked: true });
	if (cycle !== undefined) {
		const around: Around = { walk, scope: withoutSiblings(scope), place: 'output', writing: false };
		expressions([cycle.cycle_mark_value, cycle.cycle_mark_default], around);
		for (const name of [cycle.cycle_mark_column, cycle.cycle_path_column]) {
			if (name !== undefined) named.push({ name, type: null, masked: true });
		}
	}
	return named;
}

function setOperation(walk: Walk, statement: SelectStmt, scope: Scope, place: Place, onFirst?: OnFirst): Columns {
	if (statement.larg === undefined || statement.rarg === undefined)
		throw refuse(walk, 'a set operation without two sides');
	const left = select(walk, statement.larg, scope, place);
	onFirst?.(left);
	const right = select(walk, statement.rarg, scope, place);
	const columns =
		left?.map((column, i): ItemColumn => {
			const other = { type: right?.[i]?.type ?? null };
			const isCast = coercedTogether(walk, [column, other]);
			const type = commonType([column.type, other.type]);
			return { name: column.name, type, masked: column.masked || right?.[i]?.masked !== false || isCast };
		}) ?? null;
	const output: RangeItem = { name: null, schema: null, columns, replaced: false, qualifiedOnly: false, rowType: null };
	const around: Around = {
		walk,
		scope: { parent: null, items: [output], ctes: scope.ctes },
		place: 'output',
		writing: false,
	};
	sortItems(statement.sortClause, around);
	return columns;
}

function values(walk: Walk, statement: SelectStmt, scope: Scope, place: Place): Columns {
	const around: Around = { walk, scope, place, writing: false };
	const rows = (statement.valuesLists ?? []).map((row) => {
		const infos = (as(row, 'List')?.items ?? []).map((item) => expression(item, around));
		within(around, infos);
		return infos;
	});
	const columns = (rows[0] ?? []).map((_, n): ItemColumn => {
		const infos = rows.flatMap((row) => row[n] ?? []);
		const isCast = coercedTogether(walk, infos);
		const { type, safe, late } = joined(infos);
		return { name: `column${n + 1}`, type, masked: !safe || late === true || isCast, given: infos };
	});
	const sorted = { ...around, scope: { parent: scope, items: [computedItem(columns)], ctes: [] } };
	within(around, sortItems(statement.sortClause, sorted));
	return columns;
}

function computedItem(columns: Columns): RangeItem {
	return { name: null, schema: null, columns, replaced: false, qualifiedOnly: false, rowType: null };
}

function plain(walk: Walk, statement: SelectStmt, scope: Scope, place: Place): Columns {
	fromClause(walk, statement.fromClause, scope);
	condition(statement.whereClause, { walk, scope, writing: false });
	pushConditions(walk, statement.whereClause, scope);
	const outer = walk.settingName;
	walk.settingName = settingAsked(walk, statement, scope);
	const columns = targetList(walk, statement.targetList, scope, place);
	walk.settingName = outer;
	const around: Around = { walk, scope, place, writing: false };
	const names = new Set((statement.targetList ?? []).map((node) => targetName(node)));
	// In GROUP BY an input column wins over an output name, in ORDER BY the output name does.
	const groupSkips = (node: Node): boolean => isOutputName(node, names) && !isInputColumn(node, scope);
	for (const node of statement.groupClause ?? []) grouping(node, around, groupSkips);
	condition(statement.havingClause, { walk, scope, writing: false });
	within(
		around,
		(statement.windowClause ?? []).map((node) => windowDefinition(as(node, 'WindowDef'), around)),
	);
	distinct(statement.distinctClause, around, (node) => isOutputName(node, names));
	within(
		around,
		sortItems(statement.sortClause, around, (node) => isOutputName(node, names)),
	);
	for (const node of statement.lockingClause ?? []) {
		if (as(node, 'LockingClause') === undefined) throw refuse(walk, `a locking clause of kind ${tagOf(node)}`);
	}
	keepFunctionalDependency(walk, statement, scope);
	return columns;
}

/**
 * pg_dump sets a setting only where the server has it: `select set_config(name, ...) from pg_settings where name = '...'`.
 * The name of the one row that this reads; undefined for any other query.
 */
function settingAsked(walk: Walk, statement: SelectStmt, scope: Scope): string | undefined {
	// Equality has to be the server's own.
	if (walk.usersOperator) return undefined;
	const [item] = scope.items;
	const settings = walk.context.catalog.relation('pg_catalog', 'pg_settings');
	if (scope.items.length !== 1 || item?.note?.schema !== 'pg_catalog' || item.note.name !== settings?.name)
		return undefined;
	const where = as(statement.whereClause, 'A_Expr');
	const isName = stringsOf(as(where?.lexpr, 'ColumnRef')?.fields).join('.') === 'name';
	const isEqual = where?.kind === 'AEXPR_OP' && stringsOf(where.name).join('.') === '=';
	return isName && isEqual ? as(where.rexpr, 'A_Const')?.sval?.sval : undefined;
}

function grouping(node: Node, around: Around, skip: (node: Node) => boolean): void {
	const set = as(node, 'GroupingSet');
	if (set === undefined) {
		if (!skip(node)) within(around, [expression(node, around)]);
		return;
	}
	for (const item of set.content ?? []) grouping(item, around, skip);
}

/** DISTINCT is a list of one empty node, DISTINCT ON a list of expressions. */
function distinct(nodes: readonly Node[] | undefined, around: Around, skip: (node: Node) => boolean): void {
	for (const node of nodes ?? []) {
		if (Object.keys(node).length > 0 && !skip(node)) within(around, [expression(node, around)]);
	}
}

function isOutputName(node: Node, names: ReadonlySet<string | undefined>): boolean {
	const fields = as(node, 'ColumnRef')?.fields;
	return fields?.length === 1 && names.has(stringsOf(fields)[0]);
}

function isInputColumn(node: Node, scope: Scope): boolean {
	return resolveBare({ ...scope, parent: null }, stringsOf(as(node, 'ColumnRef')?.fields)[0] ?? '').kind === 'column';
}

function targetName(node: Node): string | undefined {
	const target = as(node, 'ResTarget');
	return target?.name ?? outputName(target?.val);
}

/** MaxTupleAttributeNumber of the server, which would say the same, but only after everything was looked at. */
const TARGETS_MAX = 1664;

/** Walks a select list; stars are expanded into the columns that are in sight. */
export function targetList(walk: Walk, nodes: readonly Node[] | undefined, scope: Scope, place: Place): Columns {
	if ((nodes ?? []).length > TARGETS_MAX)
		throw new GatewayError('54011', `target lists can have at most ${TARGETS_MAX} entries`);
	const columns: ItemColumn[] = [];
	let known = true;
	for (const node of nodes ?? []) {
		const target = as(node, 'ResTarget');
		if (target?.val === undefined) throw refuse(walk, `a select list with a node of kind ${tagOf(node)}`);
		const starred = starColumns(walk, target.val, scope, place);
		if (starred !== undefined) {
			if (starred === null) known = false;
			else columns.push(...starred);
			continue;
		}
		const info = expression(target.val, { walk, scope, place, writing: false });
		if (place === 'qual' && !info.safe) walk.leaky = true;
		const through = place === 'qual' && walk.reads.size > 0 ? columnAt(target.val, scope) : undefined;
		columns.push({
			name: target.name ?? outputName(target.val, walk.firstColumns),
			type: info.type,
			masked: !info.safe || info.late === true,
			...(through === undefined ? {} : { through }),
		});
		if ('A_Indirection' in target.val && (target.val.A_Indirection.indirection ?? []).some((step) => 'A_Star' in step))
			known = false;
	}
	return known ? columns : null;
}

/** Columns of `*` or `t.*`; undefined for anything else, null when they can't be told. */
function starColumns(walk: Walk, node: Node, scope: Scope, place: Place): Columns | undefined {
	const fields = as(node, 'ColumnRef')?.fields;
	const last = fields?.at(-1);
	if (fields === undefined || last === undefined || !('A_Star' in last)) return undefined;
	if (fields.length === 1) {
		noteStar(walk, node, scope.items);
		if (place === 'qual') for (const item of scope.items) noteAsked(walk, item, undefined);
		return allItems(scope);
	}
	const names = stringsOf(fields);
	const item = findItem(scope, names.at(-2) ?? '', names.length > 2 ? (names.at(-3) ?? null) : null);
	if (item === undefined) {
		walk.doubt = true;
		return null;
	}
	stripSchema(as(node, 'ColumnRef') ?? {}, names, item, walk);
	noteStar(walk, node, [item]);
	if (place === 'qual') noteAsked(walk, item, undefined);
	return noted(item);
}

/** Where a star stands, in case it has to be written out beside a system column that is named as well. */
function noteStar(walk: Walk, node: Node, items: readonly RangeItem[]): void {
	for (const item of items) {
		const read = walk.reads.get(item);
		if (read === undefined) continue;
		const reference = as(node, 'ColumnRef');
		const fields = reference?.fields ?? [];
		const start = reference?.location ?? 0;
		const token = walk.source.tokenAt(start) + 2 * (fields.length - 1);
		const end = walk.source.tokens[token]?.end ?? start;
		const columns = (item.columns ?? []).map(
			(column) => `${quoteIdentifier(item.name ?? '')}.${quoteIdentifier(column.name)}`,
		);
		const text = items.length === 1 && fields.length <= 2 && columns.length > 0 ? columns.join(', ') : null;
		read.stars.push({ start, end, text });
	}
}

function allItems(scope: Scope): Columns {
	const columns: ItemColumn[] = [];
	for (const item of scope.items) {
		const own = bareColumns(item);
		if (own === null) return null;
		noted(item);
		columns.push(...own.map((column) => ({ ...column, through: { item, column } })));
	}
	return columns;
}

function noted(item: RangeItem): Columns {
	for (const column of item.columns ?? []) item.note?.columns.add(column.origin ?? column.name);
	return item.columns?.map((column) => ({ ...column, through: { item, column } })) ?? null;
}
