/** Walks FROM: what each item brings into sight, and the replacements that protected relations need. */
import type { Alias, Node } from '@pgsql/types';
import { checkUserCasts, usedType } from './casts.ts';
import { coerced, coercedTogether } from './coercions.ts';
import { condition, expression, wanted } from './expression.ts';
import { rowTypeOf } from './field-function.ts';
import { displayRelation, resolveRelation, stringsOf, TYPE } from './names.ts';
import { as, NODE_SINCE, type NodeOf, tagOf } from './nodes.ts';
import { checkOperator } from './operators.ts';
import { leafOfColumn, seenThrough } from './leaf.ts';
import { noteEqualColumns, pushJoinConditions } from './push.ts';
import { findRoutines } from './routines.ts';
import { readRelation, rename } from './read-relation.ts';
import { noteAsked } from './sampled.ts';
import { bareColumns, findCte, type ItemColumn, type RangeItem, type Scope } from './scope.ts';
import { settingsFunction } from './settings-function.ts';
import { isKeyword } from './source.ts';
import { commonType, resolvedType } from './types.ts';
import { refuse, requireVersion, type Walk } from './walk.ts';

type Columns = readonly ItemColumn[] | null;

/** Walks the items of FROM in order; later ones may see earlier ones (LATERAL). */
export function fromClause(walk: Walk, nodes: readonly Node[] | undefined, scope: Scope): void {
	for (const node of nodes ?? []) scope.items.push(...fromItem(walk, node, scope));
}

/** The items that one node of FROM brings into sight. They are not yet in `scope`. */
function fromItem(walk: Walk, node: Node, scope: Scope): readonly RangeItem[] {
	if ('RangeVar' in node) return [rangeVar(walk, node.RangeVar, scope)];
	if ('RangeSubselect' in node) return [subselect(walk, node.RangeSubselect, scope)];
	if ('JoinExpr' in node) return join(walk, node.JoinExpr, scope);
	if ('RangeFunction' in node) return [rangeFunction(walk, node.RangeFunction, scope)];
	if ('RangeTableSample' in node) return [tableSample(walk, node.RangeTableSample, scope)];
	if ('RangeTableFunc' in node) return [xmlTable(walk, node.RangeTableFunc, scope)];
	if ('JsonTable' in node) {
		requireVersion(walk, 'JSON_TABLE', NODE_SINCE.JsonTable);
		return [jsonTable(walk, node.JsonTable, scope)];
	}
	throw refuse(walk, `a FROM item of kind ${tagOf(node)}`);
}

/** Node types that FROM may hold; for the test that looks over the grammar's list. */
export const FROM_TAGS: readonly string[] = [
	'RangeVar',
	'RangeSubselect',
	'JoinExpr',
	'RangeFunction',
	'RangeTableSample',
	'RangeTableFunc',
	'JsonTable',
];

function computed(name: string | null, columns: readonly ItemColumn[] | null, alias: Alias | undefined): RangeItem {
	const names = stringsOf(alias?.colnames);
	return {
		name,
		schema: null,
		columns: columns === null ? null : rename(columns, names),
		replaced: false,
		qualifiedOnly: false,
		rowType: null,
	};
}

function rangeVar(walk: Walk, range: NodeOf<'RangeVar'>, scope: Scope): RangeItem {
	if (range.schemaname === undefined) {
		const cte = findCte(scope, range.relname ?? '');
		if (cte !== undefined) {
			cte.uses += 1;
			return computed(range.alias?.aliasname ?? cte.name, cte.columns, range.alias);
		}
	}
	return readRelation(walk, range, null);
}

/** A scope that shows the CTEs and the outer query, but not the siblings in FROM. */
export function withoutSiblings(scope: Scope): Scope {
	return { parent: scope.parent, items: [], ctes: scope.ctes };
}

function subselect(walk: Walk, node: NodeOf<'RangeSubselect'>, scope: Scope): RangeItem {
	if (node.subquery === undefined) throw refuse(walk, 'a subquery without a query');
	const columns = walk.query(walk, node.subquery, node.lateral === true ? scope : withoutSiblings(scope), 'qual');
	return computed(node.alias?.aliasname ?? null, resolved(seenThrough(walk, node.subquery, columns)), node.alias);
}

/** Columns of a query as who reads it sees them: no relation's own any more, and untyped literals are text. */
export function resolved(columns: Columns): Columns {
	return (
		columns?.map(({ name, type, masked, through }) => ({
			name,
			type: resolvedType(type),
			masked,
			...(through === undefined ? {} : { through }),
		})) ?? null
	);
}

// ---------------------------------------------------------------- joins

function join(walk: Walk, node: NodeOf<'JoinExpr'>, scope: Scope): readonly RangeItem[] {
	if (node.larg === undefined || node.rarg === undefined) throw refuse(walk, 'a join without two sides');
	const left = fromItem(walk, node.larg, scope);
	const inner: Scope = { parent: scope.parent, items: [...scope.items, ...left], ctes: scope.ctes };
	const right = fromItem(walk, node.rarg, inner);
	const both: Scope = { ...inner, items: [...inner.items, ...right] };
	condition(node.quals, { walk, scope: both, writing: false });
	const merged = mergedColumns(walk, node, left, right);
	pushJoinConditions(walk, node.quals, both, innerSides(node, left, right));
	for (const item of nullableSides(node, left, right)) item.nullable = true;
	const items = [...mergedItems(merged, left, right), ...left, ...right];
	if (node.join_using_alias?.aliasname !== undefined) {
		items.push({ ...computed(node.join_using_alias.aliasname, merged, undefined), qualifiedOnly: true });
	}
	if (node.alias === undefined) return items;
	// What is read through the join's own name can't be told from here: all of it.
	for (const item of items) {
		for (const column of item.columns ?? []) item.note?.columns.add(column.origin ?? column.name);
		noteAsked(walk, item, undefined);
	}
	// Whose column an alias of the join means is no longer told by its origin.
	const known = allColumns(items) !== null;
	const columns = known
		? items.flatMap((item) => (bareColumns(item) ?? []).map((column) => handedOn(item, column)))
		: null;
	return [computed(node.alias.aliasname ?? null, columns, node.alias)];
}

function handedOn(item: RangeItem, { name, type, masked, from, origin, behind }: ItemColumn): ItemColumn {
	const own = behind ?? (origin === undefined ? undefined : { item: from ?? item, origin });
	return { name, type, masked, ...(own === undefined ? {} : { behind: own }) };
}

type Items = readonly RangeItem[];

/** The items whose rows come only where ON holds. */
function innerSides({ jointype }: NodeOf<'JoinExpr'>, left: Items, right: Items): Items {
	if (jointype === 'JOIN_INNER') return [...left, ...right];
	if (jointype === 'JOIN_LEFT') return right;
	return jointype === 'JOIN_RIGHT' ? left : [];
}

/** The items in place of whose rows there may be nulls. */
function nullableSides({ jointype }: NodeOf<'JoinExpr'>, left: Items, right: Items): Items {
	if (jointype === 'JOIN_INNER') return [];
	if (jointype === 'JOIN_LEFT') return right;
	return jointype === 'JOIN_RIGHT' ? left : [...left, ...right];
}

/** The join's own columns, which take the places of those that they were made of. */
function mergedItems(merged: Columns, left: readonly RangeItem[], right: readonly RangeItem[]): readonly RangeItem[] {
	if (merged?.length === 0) return [];
	for (const item of [...left, ...right]) {
		const names = (merged ?? item.columns ?? []).map((column) => column.name);
		item.merged = new Set([...(item.merged ?? []), ...names]);
	}
	return [computed(null, merged, undefined)];
}

/** Columns that USING or NATURAL merge; each is a comparison of its own. Null when NATURAL cannot be told. */
function mergedColumns(
	walk: Walk,
	node: NodeOf<'JoinExpr'>,
	left: readonly RangeItem[],
	right: readonly RangeItem[],
): Columns {
	const names = node.isNatural === true ? commonNames(left, right) : stringsOf(node.usingClause);
	if (names === null) {
		walk.leaky = true;
		for (const item of [...left, ...right]) noteAsked(walk, item, undefined);
		return null;
	}
	return names.map((name) => {
		const l = columnNamed(left, name);
		const r = columnNamed(right, name);
		const types = [l?.column.type ?? null, r?.column.type ?? null] as const;
		const info = checkOperator(walk, { names: ['='], left: types[0], right: types[1], location: undefined });
		const isCast = coercedTogether(
			walk,
			types.map((type) => ({ type })),
		);
		const masked = l?.column.masked === true || r?.column.masked === true || isCast;
		if (!info.leakproof || masked) {
			walk.leaky = true;
			for (const one of [l, r]) if (one !== undefined) noteAsked(walk, one.column.from ?? one.item, one.column.origin);
		} else if (l !== undefined && r !== undefined) {
			noteEqualColumns(leafOfColumn(l.item, l.column), leafOfColumn(r.item, r.column));
		}
		const type = commonType(types);
		const side = type === null || node.jointype === 'JOIN_FULL' ? undefined : node.jointype === 'JOIN_RIGHT' ? r : l;
		if (side === undefined) {
			// The server may still hand on one side's column, which a condition then asks about.
			for (const one of [l, r]) if (one !== undefined) noteAsked(walk, one.column.from ?? one.item, one.column.origin);
			return { name, type, masked };
		}
		const { origin, through } = side.column;
		return {
			name,
			type,
			masked,
			from: side.column.from ?? side.item,
			...(origin === undefined ? {} : { origin }),
			...(through === undefined ? {} : { through }),
		};
	});
}

function commonNames(left: readonly RangeItem[], right: readonly RangeItem[]): readonly string[] | null {
	const names = allColumns(left);
	const others = allColumns(right);
	if (names === null || others === null) return null;
	return names.map((column) => column.name).filter((name) => others.some((other) => other.name === name));
}

/** Finds a column and notes that it is read. */
function columnNamed(items: readonly RangeItem[], name: string): { item: RangeItem; column: ItemColumn } | undefined {
	for (const item of items) {
		const column = bareColumns(item)?.find((candidate) => candidate.name === name);
		if (column === undefined) continue;
		item.note?.columns.add(column.origin ?? name);
		return { item, column };
	}
	return undefined;
}

function allColumns(items: readonly RangeItem[]): Columns {
	const all: ItemColumn[] = [];
	for (const item of items) {
		const columns = bareColumns(item);
		if (columns === null) return null;
		all.push(...columns);
	}
	return all;
}

// ---------------------------------------------------------------- functions, samples, tables made of documents

function rangeFunction(walk: Walk, node: NodeOf<'RangeFunction'>, scope: Scope): RangeItem {
	const settings = settingsFunction(walk, node);
	if (settings !== undefined) return settings;
	const calls = (node.functions ?? []).flatMap((entry) => separateUnnest(as(entry, 'List')?.items ?? []));
	const alone = calls.length === 1;
	let columns: Columns = [];
	let ofRow = false;
	for (const [call, definitions] of calls) {
		const info = expression(call, { walk, scope, place: 'qual', writing: false });
		if (!info.safe && !info.constant) walk.leaky = true;
		const computedPerRow = !info.constant;
		const defined =
			definitionNames(walk, definitions, computedPerRow) ??
			definitionNames(walk, { List: { items: node.coldeflist ?? [] } }, computedPerRow);
		const declared = defined ?? declaredColumns(walk, call, computedPerRow);
		ofRow ||= declared === null && rowTypeOf(walk, info.type) !== undefined;
		const own = declared ?? functionColumns(walk, call, info.type, alone ? node.alias : undefined, computedPerRow);
		columns = columns === null || own === null ? null : [...columns, ...own];
	}
	if (columns !== null && node.ordinality === true)
		columns = [...columns, { name: 'ordinality', type: TYPE.int8, masked: false }];
	const name = node.alias?.aliasname ?? functionName(calls[0]?.[0]);
	const maybeValue = alone && node.ordinality !== true && (columns === null || columns.length === 1);
	return { ...computed(name, columns, node.alias), maybeValue, isFunction: true, ofRow };
}

/** `unnest(a, b)` stands for ROWS FROM (unnest(a), unnest(b)) in FROM, and means the server's own unnest then. */
function separateUnnest(items: readonly Node[]): readonly (readonly Node[])[] {
	const [node, definitions] = items;
	const call = as(node, 'FuncCall');
	const args = call?.args ?? [];
	const isPlain = call?.func_variadic !== true && call?.agg_order === undefined && call?.agg_filter === undefined;
	if (call === undefined || !isPlain || args.length < 2 || stringsOf(call.funcname).join('.') !== 'unnest')
		return [items];
	const funcname = ['pg_catalog', 'unnest'].map((sval) => ({ String: { sval } }));
	return args.map((arg) => [
		{ FuncCall: { ...call, funcname, args: [arg] } },
		...(definitions === undefined ? [] : [definitions]),
	]);
}

/** Names of OUT and TABLE arguments, where every overload that may be meant has the same. */
function declaredColumns(walk: Walk, node: Node | undefined, masked: boolean): readonly ItemColumn[] | null {
	const call = as(node, 'FuncCall');
	if (call === undefined) return null;
	const args = (call.args ?? []).map(() => ({ type: null, constant: false, safe: false }));
	const names = stringsOf(call.funcname);
	const candidates = findRoutines(walk.context, { names, args, loose: true, location: undefined, action: 'execute' });
	const columns = candidates[0]?.outColumns ?? [];
	const agreed = candidates.every((routine) => routine.outColumns.join('\0') === columns.join('\0'));
	return columns.length === 0 || !agreed ? null : columns.map((name) => ({ name, type: null, masked }));
}

function definitionNames(walk: Walk, node: Node | undefined, masked: boolean): readonly ItemColumn[] | null {
	const items = as(node, 'List')?.items ?? [];
	if (items.length === 0) return null;
	return items.map((item) => {
		const column = as(item, 'ColumnDef');
		return {
			name: column?.colname ?? '',
			type: usedType(walk, column?.typeName, column?.location)?.oid ?? null,
			masked,
		};
	});
}

function functionName(call: Node | undefined): string | null {
	return stringsOf(as(call, 'FuncCall')?.funcname).at(-1) ?? null;
}

/** Columns of a function in FROM: its row type's, or one of its own name (or of the alias). null where it can't be told. */
function functionColumns(
	walk: Walk,
	call: Node | undefined,
	type: number | null,
	alias: Alias | undefined,
	masked: boolean,
): readonly ItemColumn[] | null {
	if (type === null) return null;
	const { catalog } = walk.context;
	const result = catalog.typeByOid(type);
	if (result === undefined || result.kind === 'p') return null;
	if (result.kind === 'c') {
		const relation = catalog.relationByOid(result.relation);
		return relation?.columns.map((column) => ({ name: column.name, type: column.typeOid, masked })) ?? null;
	}
	const name = alias?.aliasname ?? functionName(call);
	return name === null ? null : [{ name, type, masked }];
}

function tableSample(walk: Walk, node: NodeOf<'RangeTableSample'>, scope: Scope): RangeItem {
	const range = as(node.relation, 'RangeVar');
	if (range === undefined) throw refuse(walk, 'TABLESAMPLE on what is not a relation', node.location);
	const method = stringsOf(node.method);
	if (!['bernoulli', 'system'].includes(method.at(-1) ?? '') || method.length > (method[0] === 'pg_catalog' ? 2 : 1)) {
		throw refuse(walk, `the sampling method ${method.join('.')}`, node.location);
	}
	for (const arg of [...(node.args ?? []), node.repeatable])
		wanted(arg, [TYPE.float4, TYPE.float8], { walk, scope: withoutSiblings(scope), place: 'output', writing: false });
	const extent = sampleExtent(walk, node.location);
	const text = { text: walk.source.slice(extent.start, extent.end) };
	const item = readRelation(walk, range, text);
	if (item.replaced) {
		const args = [...(node.args ?? []), ...(node.repeatable === undefined ? [] : [node.repeatable])];
		if (!args.every((arg) => 'A_Const' in arg || 'ParamRef' in arg)) {
			throw refuse(
				walk,
				`TABLESAMPLE with a computed argument on ${displayRelation(resolveRelation(walk, range))}`,
				node.location,
			);
		}
		walk.edits.replace(extent.start, extent.end, '');
	}
	return item;
}

/** `TABLESAMPLE method (args) [REPEATABLE (seed)]`; the node's location is the method's name. */
function sampleExtent(walk: Walk, location: number | undefined): { start: number; end: number } {
	const { source } = walk;
	const at = source.tokenAt(location ?? 0);
	const start = source.tokens[at - 1];
	if (!isKeyword(start, 'tablesample') || start === undefined)
		throw refuse(walk, 'a TABLESAMPLE that the gateway cannot place', location);
	let open = at;
	while (open < source.tokens.length && source.tokens[open]?.text !== '(') open += 1;
	let close = source.closing(open);
	if (isKeyword(source.tokens[close + 1], 'repeatable')) close = source.closing(close + 2);
	return { start: start.start, end: source.tokens[close]?.end ?? start.end };
}

function xmlTable(walk: Walk, node: NodeOf<'RangeTableFunc'>, scope: Scope): RangeItem {
	const around = { walk, scope, place: 'qual', writing: false } as const;
	walk.leaky = true;
	wanted(node.docexpr, [TYPE.xml], around);
	wanted(node.rowexpr, [TYPE.text], around);
	for (const namespace of node.namespaces ?? []) wanted(as(namespace, 'ResTarget')?.val, [TYPE.text], around);
	const columns = (node.columns ?? []).map((entry): ItemColumn => {
		const column = as(entry, 'RangeTableFuncCol');
		wanted(column?.colexpr, [TYPE.text], around);
		const type = usedType(walk, column?.typeName, column?.location)?.oid ?? null;
		const given = expression(column?.coldefexpr, around);
		if (column?.coldefexpr !== undefined) coerced(walk, given, { type, assignment: true, location: column.location });
		return { name: column?.colname ?? '', type: null, masked: true };
	});
	return computed(node.alias?.aliasname ?? 'xmltable', columns, node.alias);
}

function jsonTable(walk: Walk, node: NodeOf<'JsonTable'>, scope: Scope): RangeItem {
	const around = { walk, scope, place: 'qual', writing: false } as const;
	walk.leaky = true;
	wanted(node.context_item?.raw_expr, [TYPE.json, TYPE.jsonb, TYPE.text], around);
	expression(node.pathspec?.string, around);
	for (const item of node.passing ?? []) expression(as(item, 'JsonArgument')?.val?.raw_expr, around);
	expression(node.on_error?.expr, around);
	const columns: ItemColumn[] = [];
	const visit = (entries: readonly Node[] | undefined): void => {
		for (const entry of entries ?? []) {
			const column = as(entry, 'JsonTableColumn');
			if (column === undefined) throw refuse(walk, `a JSON_TABLE column of kind ${tagOf(entry)}`);
			expression(column.pathspec?.string, around);
			checkUserCasts(walk, null, usedType(walk, column.typeName, column.location)?.oid, column.location);
			expression(column.on_empty?.expr, around);
			expression(column.on_error?.expr, around);
			if (column.coltype === 'JTC_NESTED') visit(column.columns);
			else columns.push({ name: column.name ?? '', type: null, masked: true });
		}
	};
	visit(node.columns);
	return computed(node.alias?.aliasname ?? 'json_table', columns, node.alias);
}
