/** Copies a query's leakproof conditions into the fenced subqueries of filtered relations, so that these keep their indexes. */
import type { Node } from '@pgsql/types';
import { columnAt, type Leaf, leafOf, mayBeMissing } from './leaf.ts';
import { type MovedValue, movedValue } from './moved-value.ts';
import { stringsOf, TYPE } from './names.ts';
import { as, type NodeOf } from './nodes.ts';
import { operatorsMeant } from './operators.ts';
import { INNER } from './protected-read.ts';
import { quoteIdentifier } from './quote.ts';
import type { CteInfo, RangeItem, Scope } from './scope.ts';
import { operatorType } from './types.ts';
import type { Walk } from './walk.ts';

/** A condition as it stands in a subquery. */
export interface Pushed {
	readonly text: string;
	/** It came through these: it holds for the subquery's rows only where each of them is read in one place. */
	readonly ctes: readonly CteInfo[];
}

/** Where conditions on the target of a write go; it is no subquery. */
export interface PushTarget {
	readonly item: RangeItem;
	/** By what its columns are qualified there. */
	readonly qualifier: string;
	readonly conditions: string[];
}

/** A condition on columns of one item. */
interface Condition {
	readonly leaf: Leaf;
	/** It is never true where every column is null: it holds inside of an outer join's nullable side too. */
	readonly strict: boolean;
	readonly render: (qualifier: string) => string;
	/** The same condition on another column that is equal to the first; only for a comparison of one column with values. */
	readonly onAnother?: (leaf: Leaf) => ((qualifier: string) => string) | undefined;
}

const COMPARISONS: ReadonlySet<string> = new Set(['=', '<', '>', '<=', '>=']);

/** Looks at the conjuncts of WHERE and copies what it can; copying nothing is always right. */
export function pushConditions(walk: Walk, where: Node | undefined, scope: Scope, target?: PushTarget): void {
	if (walk.reads.size === 0 && target === undefined) return;
	const all = conjuncts(where);
	for (const conjunct of all) noteEquality(walk, conjunct, scope);
	for (const conjunct of all) {
		const condition = conditionOf(walk, conjunct, scope);
		if (condition === undefined) continue;
		push(walk, condition.leaf, condition, target);
		if (condition.onAnother === undefined) continue;
		for (const leaf of equalTo(condition.leaf)) {
			const render = condition.onAnother(leaf);
			if (render !== undefined) push(walk, leaf, { ...condition, render }, target);
		}
	}
}

/**
 * Comparisons of the target of a write with what is joined to it, by which the planner joins: it does not look into CASE for them.
 * They are the server's own and leakproof, over columns as they are.
 */
export function joinConditions(
	walk: Walk,
	where: Node | undefined,
	scope: Scope,
	target: RangeItem,
): readonly string[] {
	return conjuncts(where).flatMap((node) => {
		const operation = as(node, 'A_Expr');
		const names = stringsOf(operation?.name);
		if (operation?.kind !== 'AEXPR_OP' || names.at(-1) !== '=') return [];
		const sides = [columnAt(operation.lexpr, scope), columnAt(operation.rexpr, scope)] as const;
		const [left, right] = sides;
		if (left === undefined || right === undefined || left.item === right.item) return [];
		if (left.item !== target && right.item !== target) return [];
		if (sides.some((side) => side === undefined || side.column.masked || side.item.name === null)) return [];
		if (!isLeakproof(walk, names, left.column.type, right.column.type)) return [];
		const text = ({ item, column }: typeof left): string =>
			`${quoteIdentifier(item.name ?? '')}.${quoteIdentifier(column.name)}`;
		return [`(${text(left)} OPERATOR(pg_catalog.=) ${text(right)})`];
	});
}

/** The same for ON. `inner`: the items whose rows only come if it holds; both sides of an inner join, else the nullable one. */
export function pushJoinConditions(walk: Walk, on: Node | undefined, scope: Scope, inner: readonly RangeItem[]): void {
	if (walk.reads.size === 0) return;
	for (const conjunct of conjuncts(on)) {
		noteEquality(walk, conjunct, scope);
		const condition = conditionOf(walk, conjunct, scope);
		const [first] = condition?.leaf.path ?? [];
		if (condition !== undefined && first !== undefined && inner.includes(first)) push(walk, condition.leaf, condition);
	}
}

/** Notes that USING and NATURAL compare two columns. */
export function noteEqualColumns(left: Leaf | undefined, right: Leaf | undefined): void {
	if (left === undefined || right === undefined || !areComparable(left, right)) return;
	(left.item.equal ??= []).push({ origin: left.column.origin, other: right });
	(right.item.equal ??= []).push({ origin: right.column.origin, other: left });
}

function push(walk: Walk, leaf: Leaf, condition: Condition, target?: PushTarget): void {
	if (!condition.strict && mayBeMissing(leaf)) return;
	if (leaf.item === target?.item) {
		if (leaf.ctes.length === 0) target.conditions.push(condition.render(target.qualifier));
		return;
	}
	walk.reads.get(leaf.item)?.pushed.push({ text: condition.render(INNER), ctes: leaf.ctes });
}

function conjuncts(node: Node | undefined): readonly Node[] {
	const bool = as(node, 'BoolExpr');
	if (bool?.boolop === 'AND_EXPR') return (bool.args ?? []).flatMap(conjuncts);
	return node === undefined ? [] : [node];
}

// ---------------------------------------------------------------- columns that are equal

function noteEquality(walk: Walk, node: Node, scope: Scope): void {
	const operation = as(node, 'A_Expr');
	if (operation?.kind !== 'AEXPR_OP') return;
	const names = stringsOf(operation.name);
	if (names.at(-1) !== '=') return;
	const left = leafOf(operation.lexpr, scope);
	const right = left === undefined ? undefined : leafOf(operation.rexpr, scope);
	if (left === undefined || right === undefined) return;
	if (isLeakproof(walk, names, left.column.type, right.column.type)) noteEqualColumns(left, right);
}

const INTEGERS: ReadonlySet<number | null> = new Set([TYPE.int2, TYPE.int4, TYPE.int8]);

/** What is equal to the one is equal to the other: so it is within a type, and among integers. */
function areComparable(left: Leaf, right: Leaf): boolean {
	const [l, r] = [left.column.type, right.column.type];
	return l !== null && (l === r || (INTEGERS.has(l) && INTEGERS.has(r)));
}

function isSame(left: Leaf, right: Leaf): boolean {
	return left.item === right.item && left.column.origin === right.column.origin;
}

/** Other columns that are equal to this one in all rows that are kept. */
function equalTo(from: Leaf): readonly Leaf[] {
	const found: Leaf[] = [from];
	for (const at of found) {
		for (const { origin, other } of at.item.equal ?? []) {
			if (origin === at.column.origin && !found.some((known) => isSame(known, other))) found.push(other);
		}
	}
	return found.slice(1);
}

// ---------------------------------------------------------------- conditions

function conditionOf(walk: Walk, node: Node, scope: Scope): Condition | undefined {
	const bool = as(node, 'BoolExpr');
	if (bool !== undefined) return combined(walk, bool, scope);
	const test = as(node, 'NullTest');
	if (test !== undefined) {
		const leaf = leafOf(test.arg, scope);
		// Of a row, IS NULL asks for its fields.
		if (leaf === undefined || walk.context.catalog.typeByOid(leaf.column.type ?? 0)?.kind !== 'b') return undefined;
		const word = test.nulltesttype === 'IS_NULL' ? 'IS NULL' : 'IS NOT NULL';
		return { leaf, strict: false, render: (qualifier) => `(${columnOf(leaf, qualifier)} ${word})` };
	}
	const operation = as(node, 'A_Expr');
	return operation === undefined ? undefined : comparison(walk, operation, scope);
}

/** AND, OR and NOT of conditions on one item. */
function combined(walk: Walk, { boolop, args = [] }: NodeOf<'BoolExpr'>, scope: Scope): Condition | undefined {
	const parts: Condition[] = [];
	for (const arg of args) {
		const part = conditionOf(walk, arg, scope);
		if (part === undefined) return undefined;
		parts.push(part);
	}
	const [first] = parts;
	if (first === undefined || parts.some(({ leaf }) => !isSamePlace(leaf, first.leaf))) return undefined;
	const strict = parts.every((part) => part.strict);
	const texts = (qualifier: string): readonly string[] => parts.map((part) => part.render(qualifier));
	const render = (qualifier: string): string =>
		boolop === 'NOT_EXPR'
			? `(NOT ${texts(qualifier).join('')})`
			: `(${texts(qualifier).join(boolop === 'AND_EXPR' ? ' AND ' : ' OR ')})`;
	return { leaf: first.leaf, strict, render };
}

function isSamePlace(left: Leaf, right: Leaf): boolean {
	return (
		left.item === right.item &&
		left.path.length === right.path.length &&
		left.path.every((at, i) => at === right.path[i])
	);
}

/** A column with values, on either side, or two columns of one item. */
function comparison(walk: Walk, operation: NodeOf<'A_Expr'>, scope: Scope): Condition | undefined {
	const leaf = leafOf(operation.lexpr, scope);
	if (leaf === undefined) {
		const right = operation.kind === 'AEXPR_OP' ? leafOf(operation.rexpr, scope) : undefined;
		return right === undefined ? undefined : ofOne(right, valueWith(walk, operation));
	}
	switch (operation.kind) {
		case 'AEXPR_OP': {
			const other = leafOf(operation.rexpr, scope);
			return other === undefined ? ofOne(leaf, withValue(walk, operation)) : ofTwo(walk, operation, leaf, other);
		}
		case 'AEXPR_OP_ANY':
			return ofOne(leaf, withArray(walk, operation));
		case 'AEXPR_IN':
			return ofOne(leaf, withList(walk, operation));
		case 'AEXPR_BETWEEN':
			return ofOne(leaf, withBounds(walk, operation));
		default:
			return undefined;
	}
}

/** How a column is compared with values: the condition for any column of that type; undefined where it can't be moved. */
type Comparing = ((leaf: Leaf) => ((qualifier: string) => string) | undefined) & {
	/** A value takes its type from the column: it could get another one from another. */
	readonly untyped?: boolean;
};

function ofOne(leaf: Leaf, comparing: Comparing | undefined): Condition | undefined {
	const render = comparing?.(leaf);
	if (comparing === undefined || render === undefined) return undefined;
	const onAnother = (other: Leaf): ReturnType<Comparing> =>
		comparing.untyped === true && other.column.type !== leaf.column.type ? undefined : comparing(other);
	return { leaf, strict: true, render, onAnother };
}

function ofTwo(walk: Walk, operation: NodeOf<'A_Expr'>, left: Leaf, right: Leaf): Condition | undefined {
	const names = stringsOf(operation.name);
	const name = names.at(-1) ?? '';
	if (!COMPARISONS.has(name) || !isSamePlace(left, right)) return undefined;
	if (!isLeakproof(walk, names, left.column.type, right.column.type)) return undefined;
	const render = (qualifier: string): string =>
		`(${columnOf(left, qualifier)} OPERATOR(pg_catalog.${name}) ${columnOf(right, qualifier)})`;
	return { leaf: left, strict: true, render };
}

/** `column = value`. */
function withValue(walk: Walk, operation: NodeOf<'A_Expr'>): Comparing | undefined {
	const names = stringsOf(operation.name);
	const name = names.at(-1) ?? '';
	const value = COMPARISONS.has(name) ? movedValue(walk, operation.rexpr) : undefined;
	if (value === undefined) return undefined;
	const comparing = (leaf: Leaf): ReturnType<Comparing> =>
		isLeakproof(walk, names, leaf.column.type, value.type)
			? (qualifier) => `(${columnOf(leaf, qualifier)} OPERATOR(pg_catalog.${name}) ${value.text})`
			: undefined;
	return Object.assign(comparing, { untyped: value.type === TYPE.unknown });
}

/** `value = column`. */
function valueWith(walk: Walk, operation: NodeOf<'A_Expr'>): Comparing | undefined {
	const names = stringsOf(operation.name);
	const name = names.at(-1) ?? '';
	const value = COMPARISONS.has(name) ? movedValue(walk, operation.lexpr) : undefined;
	if (value === undefined) return undefined;
	const comparing = (leaf: Leaf): ReturnType<Comparing> =>
		isLeakproof(walk, names, value.type, leaf.column.type)
			? (qualifier) => `(${value.text} OPERATOR(pg_catalog.${name}) ${columnOf(leaf, qualifier)})`
			: undefined;
	return Object.assign(comparing, { untyped: value.type === TYPE.unknown });
}

/** `column = ANY (array)`. */
function withArray(walk: Walk, operation: NodeOf<'A_Expr'>): Comparing | undefined {
	const names = stringsOf(operation.name);
	const value = names.at(-1) === '=' ? movedValue(walk, operation.rexpr) : undefined;
	if (value === undefined) return undefined;
	const untyped = value.type === TYPE.unknown;
	const element = untyped ? TYPE.unknown : (walk.context.catalog.typeByOid(value.type)?.element ?? 0);
	const comparing = (leaf: Leaf): ReturnType<Comparing> =>
		element !== 0 && isLeakproof(walk, names, leaf.column.type, element)
			? (qualifier) => `(${columnOf(leaf, qualifier)} OPERATOR(pg_catalog.=) ANY (${value.text}))`
			: undefined;
	return Object.assign(comparing, { untyped });
}

/** `column IN (values)`; as the server does, one comparison with an array where all of them are of one type. */
function withList(walk: Walk, operation: NodeOf<'A_Expr'>): Comparing | undefined {
	const names = stringsOf(operation.name);
	if (names.at(-1) !== '=') return undefined;
	const values: MovedValue[] = [];
	for (const item of as(operation.rexpr, 'List')?.items ?? []) {
		const value = movedValue(walk, item);
		if (value === undefined) return undefined;
		values.push(value);
	}
	const [first] = values;
	const untyped = values.some(({ type }) => type === TYPE.unknown);
	const isUniform = first !== undefined && !untyped && values.every(({ type }) => type === first.type);
	const comparing = (leaf: Leaf): ReturnType<Comparing> => {
		if (!values.every(({ type }) => isLeakproof(walk, names, leaf.column.type, type))) return undefined;
		const array = isUniform ? `ARRAY[${values.map(({ text }) => text).join(', ')}]` : untypedArray(walk, leaf, values);
		if (array !== undefined)
			return (qualifier) => `(${columnOf(leaf, qualifier)} OPERATOR(pg_catalog.=) ANY (${array}))`;
		return (qualifier) => {
			const column = columnOf(leaf, qualifier);
			return `(${values.map(({ text }) => `${column} OPERATOR(pg_catalog.=) ${text}`).join(' OR ')})`;
		};
	};
	return Object.assign(comparing, { untyped });
}

/** Untyped literals are of the column's type then. */
function untypedArray(walk: Walk, leaf: Leaf, values: readonly MovedValue[]): string | undefined {
	const { catalog } = walk.context;
	if (!values.every(({ type }) => type === TYPE.unknown)) return undefined;
	const array = catalog.typeByOid(catalog.arrayTypeOf(operatorType(catalog, leaf.column.type) ?? 0));
	if (array?.schema !== 'pg_catalog') return undefined;
	return `CAST(ARRAY[${values.map(({ text }) => text).join(', ')}] AS pg_catalog.${quoteIdentifier(array.name)})`;
}

/** `column BETWEEN value AND value`. */
function withBounds(walk: Walk, operation: NodeOf<'A_Expr'>): Comparing | undefined {
	const [low, high] = as(operation.rexpr, 'List')?.items ?? [];
	const from = movedValue(walk, low);
	const to = movedValue(walk, high);
	if (from === undefined || to === undefined) return undefined;
	const comparing = (leaf: Leaf): ReturnType<Comparing> => {
		const { type } = leaf.column;
		if (!isLeakproof(walk, ['>='], type, from.type) || !isLeakproof(walk, ['<='], type, to.type)) return undefined;
		return (qualifier) => {
			const column = columnOf(leaf, qualifier);
			return `(${column} OPERATOR(pg_catalog.>=) ${from.text} AND ${column} OPERATOR(pg_catalog.<=) ${to.text})`;
		};
	};
	return Object.assign(comparing, { untyped: from.type === TYPE.unknown || to.type === TYPE.unknown });
}

function columnOf({ column }: Leaf, qualifier: string): string {
	return `${qualifier}.${quoteIdentifier(column.origin)}`;
}

/** The operator that the statement means is the server's own for just these types, and leakproof. */
function isLeakproof(walk: Walk, names: readonly string[], left: number | null, right: number | null): boolean {
	const { catalog } = walk.context;
	const meant = operatorsMeant(walk, { names, left, right, location: undefined });
	const [operator] = meant;
	if (meant.length !== 1 || operator?.schema !== 'pg_catalog') return false;
	const [l, r] = [operatorType(catalog, left), operatorType(catalog, right)];
	const isOwn = operator.left === (l === TYPE.unknown ? r : l) && operator.right === (r === TYPE.unknown ? l : r);
	return isOwn && catalog.routineByOid(operator.routine)?.leakproof === true;
}
