/** Copies a query's simple leakproof conditions into the fenced subquery of a filtered relation, so that it keeps its index. */
import type { Node } from '@pgsql/types';
import { constantText } from './literal.ts';
import { stringsOf, TYPE } from './names.ts';
import { as } from './nodes.ts';
import { operatorsMeant } from './operators.ts';
import { operatorType } from './types.ts';
import { INNER } from './protected-read.ts';
import { quoteIdentifier } from './quote.ts';
import { type ItemColumn, type RangeItem, resolveBare, resolveQualified, type Scope } from './scope.ts';
import type { Walk } from './walk.ts';

/** Only strict comparisons: they hold inside of an outer join's nullable side too. */
const STRICT: ReadonlySet<string> = new Set(['=', '<', '>', '<=', '>=']);

/** Looks at the conjuncts of WHERE and copies what it can; copying nothing is always right. */
export function pushConditions(walk: Walk, where: Node | undefined, scope: Scope): void {
	if (walk.reads.size === 0) return;
	for (const conjunct of conjuncts(where)) {
		const found = comparison(walk, conjunct, scope);
		if (found === undefined) continue;
		walk.reads.get(found.item)?.pushed.push(found.text);
	}
}

function conjuncts(node: Node | undefined): readonly Node[] {
	const bool = as(node, 'BoolExpr');
	if (bool?.boolop === 'AND_EXPR') return (bool.args ?? []).flatMap(conjuncts);
	return node === undefined ? [] : [node];
}

function comparison(walk: Walk, node: Node, scope: Scope): { item: RangeItem; text: string } | undefined {
	const operation = as(node, 'A_Expr');
	if (operation === undefined) return undefined;
	const written = stringsOf(operation.name);
	const name = written.at(-1) ?? '';
	const left = reference(walk, operation.lexpr, scope);
	if (left === undefined) return undefined;
	const column = `${INNER}.${quoteIdentifier(left.column.origin ?? '')}`;
	const wrap = (text: string): { item: RangeItem; text: string } => ({ item: left.item, text: `(${text})` });
	switch (operation.kind) {
		case 'AEXPR_OP': {
			const value = plainValue(walk, operation.rexpr);
			if (!STRICT.has(name) || value === undefined || !isLeakproof(walk, name, left.column, operation.rexpr, written))
				return undefined;
			return wrap(`${column} OPERATOR(pg_catalog.${name}) ${value}`);
		}
		case 'AEXPR_OP_ANY': {
			const parameter = as(operation.rexpr, 'ParamRef');
			const value = plainValue(walk, operation.rexpr);
			if (name !== '=' || parameter === undefined || value === undefined) return undefined;
			if (!isLeakproof(walk, name, left.column, undefined, written)) return undefined;
			return wrap(`${column} OPERATOR(pg_catalog.=) ANY (${value})`);
		}
		case 'AEXPR_IN': {
			const items = as(operation.rexpr, 'List')?.items ?? [];
			const values = items.map((item) =>
				isLeakproof(walk, '=', left.column, item, written) ? plainValue(walk, item) : undefined,
			);
			if (name !== '=' || values.includes(undefined)) return undefined;
			return wrap(values.map((value) => `${column} OPERATOR(pg_catalog.=) ${value}`).join(' OR '));
		}
		case 'AEXPR_BETWEEN': {
			const [low, high] = as(operation.rexpr, 'List')?.items ?? [];
			const [from, to] = [plainValue(walk, low), plainValue(walk, high)];
			if (from === undefined || to === undefined) return undefined;
			if (!isLeakproof(walk, '>=', left.column, low, ['>=']) || !isLeakproof(walk, '<=', left.column, high, ['<=']))
				return undefined;
			return wrap(`${column} OPERATOR(pg_catalog.>=) ${from} AND ${column} OPERATOR(pg_catalog.<=) ${to}`);
		}
		default:
			return undefined;
	}
}

/** A plain column of a replaced relation of this very query. */
function reference(
	walk: Walk,
	node: Node | undefined,
	scope: Scope,
): { item: RangeItem; column: ItemColumn } | undefined {
	const names = stringsOf(as(node, 'ColumnRef')?.fields);
	const own: Scope = { ...scope, parent: null };
	let found;
	if (names.length === 1) found = resolveBare(own, names[0] ?? '');
	else if (names.length > 1) {
		found = resolveQualified(own, names.at(-3) ?? null, names.at(-2) ?? '', names.at(-1) ?? '');
	}
	if (found?.kind !== 'column' || found.column.masked || found.column.origin === undefined) return undefined;
	const item = found.column.from ?? found.item;
	return walk.reads.has(item) ? { item, column: found.column } : undefined;
}

/** The operator that the statement means is the server's own, and leakproof. */
function isLeakproof(
	walk: Walk,
	name: string,
	column: ItemColumn,
	value: Node | undefined,
	written: readonly string[],
): boolean {
	const { catalog } = walk.context;
	const right = valueType(walk, value);
	const names = written.length > 1 ? [...written.slice(0, -1), name] : [name];
	const meant = operatorsMeant(walk, { names, left: column.type, right, location: undefined });
	const type = operatorType(catalog, column.type);
	const other = right === TYPE.unknown ? type : right;
	const [operator] = meant;
	const isOwn = operator?.schema === 'pg_catalog' && operator.left === type && operator.right === other;
	return meant.length === 1 && isOwn && catalog.routineByOid(operator.routine)?.leakproof === true;
}

function valueType(walk: Walk, node: Node | undefined): number {
	const constant = as(node, 'A_Const');
	if (constant?.ival !== undefined) return TYPE.int4;
	if (constant?.boolval !== undefined) return TYPE.bool;
	const parameter = as(node, 'ParamRef');
	return parameter === undefined
		? TYPE.unknown
		: walk.context.parameterTypes[(parameter.number ?? 0) - 1] || TYPE.unknown;
}

/** A constant, or a parameter whose type is the same there: declared, or found by this comparison alone. */
function plainValue(walk: Walk, node: Node | undefined): string | undefined {
	const parameter = as(node, 'ParamRef');
	if (parameter !== undefined) {
		const number = parameter.number ?? 0;
		const declared = (walk.context.parameterTypes[number - 1] ?? 0) !== 0;
		return declared || walk.source.occurrences(number) === 1 ? `$${number}` : undefined;
	}
	const constant = as(node, 'A_Const');
	return constant === undefined ? undefined : constantText(constant);
}
