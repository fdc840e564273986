/** Walks an expression: what it reads and calls, of what type it is, and whether it may meet rows that a filter hides. */
import type { Node, SortBy, WindowDef } from '@pgsql/types';
import type { CatalogSnapshot } from '../catalog/snapshot.ts';
import { checkCallNode } from './call.ts';
import { checkUserCasts, isSafeCast, usedType } from './casts.ts';
import { coercedTo, coercedTogether } from './coercions.ts';
import { columnRef } from './column-ref.ts';
import { jsonExpressions } from './json.ts';
import { stringsOf, TYPE } from './names.ts';
import { as, NODE_SINCE, type NodeOf, type NodeTag, tagOf } from './nodes.ts';
import { fillRow } from './named-row.ts';
import { sortedBy } from './operator-class.ts';
import { checkOperator } from './operators.ts';
import { givesRow } from './routines.ts';
import { fieldFunction, isFieldOfRow, refuseUnknownField, rowTypeOf } from './field-function.ts';
import { type FieldStep, fixFields } from './fixed-field.ts';
import { constantType } from './literal.ts';
import { collectAsked } from './sampled.ts';
import { resolveBare, type Scope } from './scope.ts';
import { commonType, resolvedType } from './types.ts';
import { placeOf } from './group-by.ts';
import { mayFailByCount } from './single-row.ts';
import { brought, called, joined, tried, unsafe } from './expr-info.ts';
import { GatewayError } from '../errors.ts';
import { type ExprInfo, type Place, positionAt, refuse, requireVersion, type Walk } from './walk.ts';

/** What an expression is walked with. */
export interface Around {
	readonly walk: Walk;
	readonly scope: Scope;
	readonly place: Place;
	/** The value is written back to a table: a masked value must not be. */
	readonly writing: boolean;
	/** `rows`: before IN (query) a row stays a record, which the server tells from a list. `all`: it stays as it is written, to be compared. */
	readonly keeps?: 'rows' | 'all';
}

const NOTHING: ExprInfo = { type: null, constant: true, safe: true };

/** Walks any expression. Throws 42501 for what is not allowed and for a node type that no expression has. */
export function expression(node: Node | undefined, around: Around): ExprInfo {
	if (node === undefined) return NOTHING;
	const tag = tagOf(node);
	const handler = (HANDLERS as Partial<Record<NodeTag, (value: never, around: Around) => ExprInfo>>)[tag];
	if (handler === undefined) throw refuse(around.walk, `an expression of kind ${tag}`);
	requireVersion(around.walk, tag, NODE_SINCE[tag]);
	return handler((node as Record<string, unknown>)[tag] as never, around);
}

/** Walks several; the type is the one that they have in common. */
export function expressions(nodes: readonly (Node | undefined)[] | undefined, around: Around): ExprInfo {
	return joined((nodes ?? []).map((node) => expression(node, around)));
}

/** Walks a condition and notes when it could tell something of a hidden row. */
export function condition(node: Node | undefined, around: Omit<Around, 'place'>): void {
	for (const part of conjuncts(node)) {
		collectAsked(around.walk, () => {
			const info = truth(part, { ...around, place: 'qual' });
			if (!info.safe) around.walk.leaky = true;
			return info.safe;
		});
	}
}

/** Parts that AND joins; none where there is no condition. */
function conjuncts(node: Node | undefined): readonly Node[] {
	const bool = as(node, 'BoolExpr');
	if (bool?.boolop === 'AND_EXPR') return (bool.args ?? []).flatMap(conjuncts);
	return node === undefined ? [] : [node];
}

type Handlers = { [K in NodeTag]?: (value: NodeOf<K>, around: Around) => ExprInfo };

const HANDLERS: Handlers = {
	A_Const: (node) => ({ type: constantType(node), constant: true, safe: true }),
	ParamRef: (node, { walk }) => ({
		type: parameterType(walk, node.number ?? 0),
		constant: true,
		safe: true,
		runs: true,
	}),
	ColumnRef: columnRef,
	A_Expr: operation,
	BoolExpr: (node, around) =>
		tried(
			(node.args ?? []).map((arg) => truth(arg, around)),
			TYPE.bool,
		),
	NullTest: (node, around) => ({ ...expression(node.arg, around), type: TYPE.bool }),
	BooleanTest: (node, around) => truth(node.arg, around),
	FuncCall: functionCall,
	SubLink: subLink,
	CaseExpr: caseExpression,
	CoalesceExpr: (node, around) =>
		brought(
			around.walk,
			(node.args ?? []).map((arg) => expression(arg, around)),
		),
	// Compared by whatever its type is sorted by: that of records fails where two differ in their types, if it comes so far.
	MinMaxExpr: (node, around) => {
		const parts = (node.args ?? []).map((arg) => expression(arg, around));
		coercedTogether(around.walk, parts, node.location);
		return unsafe(around.walk, joined(parts));
	},
	SQLValueFunction: (node) => ({ type: SQL_VALUE_TYPES[node.op ?? ''] ?? null, constant: true, safe: true }),
	TypeCast: typeCast,
	CollateClause: (node, around) => expression(node.arg, around),
	A_ArrayExpr: (node, around) => {
		const items = brought(
			around.walk,
			(node.elements ?? []).map((element) => expression(element, around)),
		);
		const element =
			items.type === null || items.type === TYPE.unknown ? 0 : around.walk.context.catalog.arrayTypeOf(items.type);
		return { ...items, type: element === 0 ? null : element };
	},
	RowExpr: rowExpression,
	A_Indirection: indirection,
	GroupingFunc: (node, around) => ({ ...expressions(node.args, around), type: TYPE.int4 }),
	NamedArgExpr: (node, around) => expression(node.arg, around),
	XmlExpr: (node, around) => {
		const named = (node.named_args ?? []).map((item) => expression(as(item, 'ResTarget')?.val, around));
		const plain = (node.args ?? []).map((arg) => expression(arg, around));
		for (const arg of plain) coercedTo(around.walk, arg, [TYPE.xml, TYPE.text, TYPE.int4], node.location);
		return unsafe(around.walk, joined([...named, ...plain], node.op === 'IS_DOCUMENT' ? TYPE.bool : TYPE.xml));
	},
	XmlSerialize: (node, around) =>
		unsafe(around.walk, {
			...wanted(node.expr, [TYPE.xml], around),
			type: usedType(around.walk, node.typeName, node.location)?.oid ?? null,
		}),
	SetToDefault: () => ({ type: TYPE.unknown, constant: true, safe: true }),
	MergeSupportFunc: () => ({ type: TYPE.text, constant: false, safe: true }),
	List: (node, around) => expressions(node.items, around),
	...jsonExpressions({
		expression: (node, around) => expression(node, around),
		sortItems: (nodes, around) => sortItems(nodes, around),
		windowDefinition: (window, around) => windowDefinition(window, around),
	}),
};

/** Node types that may stand in an expression; for the test that looks over the grammar's list. */
export const EXPRESSION_TAGS: readonly string[] = Object.keys(HANDLERS);

const SQL_VALUE_TYPES: Readonly<Record<string, number>> = {
	SVFOP_CURRENT_DATE: TYPE.date,
	SVFOP_CURRENT_TIME: TYPE.timetz,
	SVFOP_CURRENT_TIME_N: TYPE.timetz,
	SVFOP_CURRENT_TIMESTAMP: TYPE.timestamptz,
	SVFOP_CURRENT_TIMESTAMP_N: TYPE.timestamptz,
	SVFOP_LOCALTIME: TYPE.time,
	SVFOP_LOCALTIME_N: TYPE.time,
	SVFOP_LOCALTIMESTAMP: TYPE.timestamp,
	SVFOP_LOCALTIMESTAMP_N: TYPE.timestamp,
	SVFOP_CURRENT_ROLE: TYPE.name,
	SVFOP_CURRENT_USER: TYPE.name,
	SVFOP_USER: TYPE.name,
	SVFOP_SESSION_USER: TYPE.name,
	SVFOP_CURRENT_CATALOG: TYPE.name,
	SVFOP_CURRENT_SCHEMA: TYPE.name,
};

/** Where the server wants a truth value, it casts as for assignment. */
export function truth(node: Node | undefined, around: Around): ExprInfo {
	return { ...wanted(node, [TYPE.bool], around), type: TYPE.bool };
}

/** The same for other types: the value may be cast to one of them. */
export function wanted(node: Node | undefined, types: readonly number[], around: Around): ExprInfo {
	const info = expression(node, around);
	const isCast = node !== undefined && coercedTo(around.walk, info, types);
	return isCast ? unsafe(around.walk, info) : info;
}

function rowExpression(node: NodeOf<'RowExpr'>, around: Around): ExprInfo {
	const parts = (node.args ?? []).map((arg) => expression(arg, around));
	return { ...joined(parts, null), fields: (node.args ?? []).some(isStar) ? null : parts.map(({ type }) => type) };
}

function isStar(node: Node): boolean {
	return as(node, 'ColumnRef')?.fields?.some((field) => 'A_Star' in field) === true;
}

/** A parameter without a declared type is like an untyped literal, unless something else in the text gives it a type first. */
function parameterType(walk: Walk, number: number): number | null {
	const declared = walk.context.parameterTypes[number - 1] ?? 0;
	if (declared !== 0) return declared;
	return walk.source.occurrences(number) > 1 ? null : TYPE.unknown;
}

function typeCast(node: NodeOf<'TypeCast'>, around: Around): ExprInfo {
	const arg = expression(node.arg, around);
	const isRow = node.arg !== undefined && 'RowExpr' in node.arg;
	for (const modifier of node.typeName?.typmods ?? []) expression(modifier, around);
	const target = usedType(around.walk, node.typeName, node.location);
	fillRow(around.walk, node.arg, target?.oid);
	checkUserCasts(around.walk, (isRow ? arg.fields : null) ?? arg.type, target?.oid, node.location);
	const harmless = target !== undefined && isSafeCast(around.walk.context.catalog, arg.type, target.oid);
	// A literal is read as its type before anything runs, but not checked against a domain.
	const folds = node.arg !== undefined && 'A_Const' in node.arg && target?.kind === 'b';
	const { constant } = arg;
	return called(around.walk, arg, { type: target?.oid ?? null, constant, leakproof: harmless, folds });
}

/** `column(row)` is another way to write `row.column`, where no function of that name takes it. */
function fieldOf(node: NodeOf<'FuncCall'>, around: Around): ExprInfo | undefined {
	const names = stringsOf(node.funcname);
	const arg = as(node.args?.[0], 'ColumnRef');
	const row = stringsOf(arg?.fields);
	if (names.length !== 1 || node.args?.length !== 1 || row.length !== 1) return undefined;
	const found = resolveBare(around.scope, row[0] ?? '');
	if (found.kind !== 'item') return undefined;
	const column = found.item.columns?.find((candidate) => candidate.name === names[0]);
	if (column === undefined || around.walk.context.catalog.routinesNamed(column.name).length > 0) return undefined;
	return { type: column.type, constant: false, safe: !column.masked };
}

/** FUNC_MAX_ARGS of the server, which would say the same, but only after everything was looked at. */
const ARGUMENTS_MAX = 100;

function functionCall(node: NodeOf<'FuncCall'>, around: Around): ExprInfo {
	if ((node.args ?? []).length > ARGUMENTS_MAX) {
		const words = `cannot pass more than ${ARGUMENTS_MAX} arguments to a function`;
		throw new GatewayError('54023', words, positionAt(around.walk, node.location));
	}
	const args = (node.args ?? []).map((arg) => expression(arg, around));
	const field = fieldOf(node, around);
	if (field !== undefined) return field;
	const order = sortItems(node.agg_order, around);
	const filter = node.agg_filter === undefined ? NOTHING : truth(node.agg_filter, around);
	const window = windowDefinition(node.over, around);
	const within = node.agg_within_group === true ? order : [];
	const info = checkCallNode(around.walk, node, [...args, ...within]);
	const whole = joined([...args, ...order, filter, window], info.type);
	const constant = whole.constant && !info.volatile && node.agg_star !== true;
	const { type, leakproof, immutable } = info;
	const result = called(around.walk, whole, { type, constant, leakproof, folds: immutable });
	return givesRow(info) ? { ...result, fields: null } : result;
}

function caseExpression(node: NodeOf<'CaseExpr'>, around: Around): ExprInfo {
	const subject = node.arg === undefined ? undefined : expression(node.arg, around);
	const tests: ExprInfo[] = [];
	const results: ExprInfo[] = [];
	for (const item of node.args ?? []) {
		const when = as(item, 'CaseWhen');
		const test = subject === undefined ? truth(when?.expr, around) : expression(when?.expr, around);
		tests.push(subject === undefined ? test : compared(around, ['='], subject, test, node.location));
		results.push(expression(when?.result, around));
	}
	results.push(expression(node.defresult, around));
	const given = brought(
		around.walk,
		results.filter((result) => result !== NOTHING),
	);
	return tried([...tests, given], given.type);
}

function compared(
	around: Around,
	names: readonly string[],
	left: ExprInfo,
	right: ExprInfo,
	location: number | undefined,
): ExprInfo {
	const info = checkOperator(around.walk, { names, left: left.type, right: right.type, location });
	const { type, leakproof, immutable } = info;
	const constant = left.constant && right.constant && !info.volatile;
	return called(around.walk, joined([left, right]), { type, constant, leakproof, folds: immutable });
}

function operation(node: NodeOf<'A_Expr'>, around: Around): ExprInfo {
	const names = stringsOf(node.name);
	const { location } = node;
	const binary = (operator: readonly string[], left: ExprInfo, right: ExprInfo): ExprInfo =>
		compared(around, operator, left, right, location);
	switch (node.kind) {
		case 'AEXPR_OP': {
			const pairs = rowPairs(node.lexpr, node.rexpr);
			if (pairs !== undefined) {
				return tried(
					pairs.map(([left, right]) => binary(names, expression(left, around), expression(right, around))),
					TYPE.bool,
				);
			}
			const right = expression(node.rexpr, around);
			if (node.lexpr !== undefined) return binary(names, expression(node.lexpr, around), right);
			const info = checkOperator(around.walk, { names, left: undefined, right: right.type, location });
			const { type, leakproof, immutable } = info;
			const constant = right.constant && !info.volatile;
			return called(around.walk, right, { type, constant, leakproof, folds: immutable });
		}
		case 'AEXPR_OP_ANY':
		case 'AEXPR_OP_ALL': {
			const array = expression(node.rexpr, around);
			const element = array.type === null ? null : elementOf(around, array.type);
			return { ...binary(names, expression(node.lexpr, around), { ...array, type: element }), type: TYPE.bool };
		}
		case 'AEXPR_DISTINCT':
		case 'AEXPR_NOT_DISTINCT':
			return { ...binary(names, expression(node.lexpr, around), expression(node.rexpr, around)), type: TYPE.bool };
		case 'AEXPR_NULLIF': {
			const left = expression(node.lexpr, around);
			const right = expression(node.rexpr, around);
			return { ...binary(names, left, right), type: nullifType(around.walk.context.catalog, left.type, right.type) };
		}
		case 'AEXPR_IN':
			return inList(node, around, names);
		case 'AEXPR_LIKE':
		case 'AEXPR_ILIKE':
		case 'AEXPR_SIMILAR':
			return { ...binary(names, expression(node.lexpr, around), expression(node.rexpr, around)), type: TYPE.bool };
		case 'AEXPR_BETWEEN':
		case 'AEXPR_NOT_BETWEEN':
		case 'AEXPR_BETWEEN_SYM':
		case 'AEXPR_NOT_BETWEEN_SYM':
			return between(node, around);
		default:
			throw refuse(around.walk, `an operation of kind ${String(node.kind)}`, location);
	}
}

/** The first value comes back as its = takes it: as it is where there is one for two of its type. */
function nullifType(catalog: CatalogSnapshot, left: number | null, right: number | null): number | null {
	if (left === null || commonType([left, right]) !== left) return null;
	const kept = catalog.operators('pg_catalog', '=').some((one) => one.left === left && one.right === left);
	return kept || catalog.typeByOid(left)?.kind === 'e' ? left : null;
}

function elementOf(around: Around, type: number): number | null {
	if (type === TYPE.unknown) return TYPE.unknown;
	const element = around.walk.context.catalog.typeByOid(type)?.element ?? 0;
	return element === 0 ? null : element;
}

/** `(a, b) = (c, d)` compares pair by pair. */
function rowPairs(left: Node | undefined, right: Node | undefined): readonly (readonly [Node, Node])[] | undefined {
	const l = as(left, 'RowExpr')?.args;
	const r = as(right, 'RowExpr')?.args;
	if (l === undefined || r === undefined || l.length !== r.length) return undefined;
	return l.flatMap((node, i) => {
		const other = r[i];
		return other === undefined ? [] : [[node, other] as const];
	});
}

function inList(node: NodeOf<'A_Expr'>, around: Around, names: readonly string[]): ExprInfo {
	const items = as(node.rexpr, 'List')?.items ?? [];
	const row = as(node.lexpr, 'RowExpr');
	if (row !== undefined) {
		// The row is walked once, however many it is compared with: its edits must not be made twice.
		const lefts = (row.args ?? []).map((part) => expression(part, around));
		const parts = items.flatMap((item) => {
			const rights = as(item, 'RowExpr')?.args;
			if (rights === undefined || rights.length !== lefts.length) {
				return [compared(around, names, { ...joined(lefts), type: null }, expression(item, around), node.location)];
			}
			return lefts.map((left, i) => compared(around, names, left, expression(rights[i], around), node.location));
		});
		return tried(parts, TYPE.bool);
	}
	const left = expression(node.lexpr, around);
	const seen = new Map<number | null, ExprInfo>();
	const parts: ExprInfo[] = [left];
	const rights: ExprInfo[] = [];
	for (const item of items) {
		const right = expression(item, around);
		rights.push(right);
		let info = seen.get(right.type);
		if (info === undefined) {
			info = compared(around, names, left, { ...right, constant: true, safe: true }, node.location);
			seen.set(right.type, info);
		}
		parts.push(info, right);
	}
	const isCast = coercedTogether(around.walk, [left, ...rights], node.location);
	const whole = tried(parts, TYPE.bool);
	return isCast ? unsafe(around.walk, whole) : whole;
}

function between(node: NodeOf<'A_Expr'>, around: Around): ExprInfo {
	const left = expression(node.lexpr, around);
	const bounds = as(node.rexpr, 'List')?.items ?? [];
	const symmetric = node.kind?.endsWith('_SYM') === true;
	const negated = node.kind?.includes('NOT') === true;
	const operators = negated ? ['<', '>'] : ['>=', '<='];
	const parts = bounds.flatMap((bound, i) => {
		const right = expression(bound, around);
		const used = symmetric ? operators : [operators[i] ?? '>='];
		return used.map((name) => compared(around, [name], left, right, node.location));
	});
	return tried(parts, TYPE.bool);
}

function subLink(node: NodeOf<'SubLink'>, around: Around): ExprInfo {
	const { walk, scope, place } = around;
	if (node.subselect === undefined) throw refuse(walk, 'a subquery without a query', node.location);
	const tests = as(node.testexpr, 'RowExpr')?.args ?? (node.testexpr === undefined ? [] : [node.testexpr]);
	const lefts = tests.map((test) => expression(test, { ...around, keeps: 'rows' }));
	// What a query inside reads may be asked about by what is around it, whatever its own conditions are.
	const { asked, lates, named } = walk;
	walk.asked = null;
	walk.named = new Set();
	const columns = walk.query(walk, node.subselect, scope, place);
	const late = walk.lates > lates;
	const isSafe = !mayFailByCount(walk, node, scope);
	for (const item of walk.named) named.add(item);
	walk.named = named;
	walk.asked = asked;
	const types = columns?.map((column) => resolvedType(column.type));
	const [first] = columns ?? [];
	if (first !== undefined) walk.firstColumns.set(node.subselect, first.name);
	switch (node.subLinkType) {
		case 'EXISTS_SUBLINK':
			return { type: TYPE.bool, constant: false, safe: true, late };
		case 'ANY_SUBLINK':
		case 'ALL_SUBLINK': {
			const names = node.operName === undefined ? ['='] : stringsOf(node.operName);
			const parts = lefts.map((left, i) =>
				compared(around, names, left, { type: types?.[i] ?? null, constant: false, safe: true }, node.location),
			);
			const whole = joined(parts, TYPE.bool);
			return { ...whole, constant: false, late: late || whole.late === true };
		}
		case 'EXPR_SUBLINK':
			return { type: types?.[0] ?? null, constant: false, safe: isSafe, late };
		case 'ARRAY_SUBLINK': {
			const element = types?.[0] ?? null;
			const array = element === null ? 0 : walk.context.catalog.arrayTypeOf(element);
			return { type: array === 0 ? null : array, constant: false, safe: true, late };
		}
		default:
			throw refuse(walk, `a subquery of kind ${String(node.subLinkType)}`, node.location);
	}
}

function indirection(node: NodeOf<'A_Indirection'>, around: Around): ExprInfo {
	let info = expression(node.arg, around);
	const steps: FieldStep[] = [];
	for (const step of node.indirection ?? []) {
		const field = as(step, 'String')?.sval;
		const indices = as(step, 'A_Indices');
		if (field !== undefined) {
			if (isFieldOfRow(node.arg, field, around.scope) && info.type === null) continue;
			if (info.fields === null && node.arg !== undefined && 'FuncCall' in node.arg)
				refuseUnknownField(around.walk, field, undefined, placeOf(node.arg));
			const type = fieldFunction(around.walk, field, info.type, placeOf(node.arg), info.fields !== undefined);
			const row = type === undefined ? undefined : rowTypeOf(around.walk, info.type);
			if (row !== undefined) steps.push(row);
			// What is no field is a call of a function.
			info = type === undefined ? { type: null, constant: false, safe: false } : { ...info, type };
		} else if (indices !== undefined) {
			const subscripts = [indices.lidx, indices.uidx].map((index) => wanted(index, [TYPE.int4, TYPE.text], around));
			const parts = joined([info, ...subscripts]);
			steps.push(undefined);
			const element = info.type === null || indices.is_slice === true ? null : elementOf(around, info.type);
			// A subscript out of reason is null, never an error, but jsonb and others have code of their own.
			info = unsafe(around.walk, { ...parts, type: indices.is_slice === true ? info.type : element });
		} else if (as(step, 'A_Star') !== undefined) steps.push(undefined);
		else throw refuse(around.walk, `an indirection of kind ${tagOf(step)}`);
	}
	if (around.keeps !== 'all') fixFields(around.walk, node, steps, around.scope);
	return info;
}

/** ORDER BY items, of a query or of an aggregate. `USING operator` names an operator. */
export function sortItems(
	nodes: readonly Node[] | undefined,
	around: Around,
	skip?: (node: Node) => boolean,
): readonly ExprInfo[] {
	return (nodes ?? []).map((node) => {
		const sort: SortBy | undefined = as(node, 'SortBy');
		if (sort?.node === undefined) throw refuse(around.walk, 'an ORDER BY item without an expression');
		const info = skip?.(sort.node) === true ? NOTHING : expression(sort.node, around);
		if (sort.useOp !== undefined) {
			const names = stringsOf(sort.useOp);
			sortedBy(around.walk, { names, left: info.type, right: info.type, location: sort.location });
		}
		return info;
	});
}

/** What the offset of a frame may be cast to. */
const FRAME_OFFSETS: readonly number[] = [TYPE.int2, TYPE.int4, TYPE.int8, TYPE.numeric, TYPE.float8, TYPE.interval];

/** An OVER clause or an entry of WINDOW. */
export function windowDefinition(window: WindowDef | undefined, around: Around): ExprInfo {
	if (window === undefined) return NOTHING;
	return joined(
		[
			expressions(window.partitionClause, around),
			...sortItems(window.orderClause, around),
			wanted(window.startOffset, FRAME_OFFSETS, around),
			wanted(window.endOffset, FRAME_OFFSETS, around),
		],
		null,
	);
}
