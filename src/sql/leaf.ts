/** Which relation's column a reference comes down to, through subqueries and CTEs that hand its rows on as they are. */
import type { Node, SelectStmt } from '@pgsql/types';
import { stringsOf } from './names.ts';
import { as } from './nodes.ts';
import { type CteInfo, type ItemColumn, type RangeItem, resolveBare, resolveQualified, type Scope } from './scope.ts';
import type { Walk } from './walk.ts';

/** A column of a relation in FROM that is no mask's. */
export interface Leaf {
	readonly item: RangeItem;
	readonly column: ItemColumn & { readonly origin: string };
	/** The items that it was seen through, the statement's own first, the relation last. */
	readonly path: readonly RangeItem[];
	readonly ctes: readonly CteInfo[];
}

/** A column of this very query, not of one around it; undefined for anything else. */
export function leafOf(node: Node | undefined, scope: Scope): Leaf | undefined {
	const found = columnAt(node, scope);
	return found === undefined ? undefined : leafOfColumn(found.item, found.column);
}

/** The same, but only one step: what the reference names in FROM of the query. */
export function columnAt(
	node: Node | undefined,
	scope: Scope,
): { readonly item: RangeItem; readonly column: ItemColumn } | undefined {
	const names = stringsOf(as(node, 'ColumnRef')?.fields);
	const own: Scope = { ...scope, parent: null };
	let found;
	if (names.length === 1) found = resolveBare(own, names[0] ?? '');
	else if (names.length > 1) {
		found = resolveQualified(own, names.at(-3) ?? null, names.at(-2) ?? '', names.at(-1) ?? '');
	}
	return found?.kind === 'column' ? { item: found.item, column: found.column } : undefined;
}

/** Steps that are gone through: each of a chain of queries would go through all of those below it. */
const STEPS_MAX = 200;

export function leafOfColumn(from: RangeItem, of: ItemColumn): Leaf | undefined {
	let item = from;
	let column = of;
	const path: RangeItem[] = [];
	const ctes: CteInfo[] = [];
	for (;;) {
		if (column.masked || path.length >= STEPS_MAX) return undefined;
		item = column.from ?? item;
		path.push(item);
		const { origin, through } = column;
		if (through === undefined) {
			return origin === undefined ? undefined : { item, column: { ...column, origin }, path, ctes };
		}
		if (through.cte !== undefined) ctes.push(through.cte);
		({ item, column } = through);
	}
}

/** An outer join may put nulls in place of its row. */
export function mayBeMissing({ path }: Leaf): boolean {
	return path.some((item) => item.nullable === true);
}

/**
 * Columns of a query for who reads it from outside: where each of its rows is one row of its FROM, handed on as it is, its plain
 * columns can be seen through to those of the relations.
 */
export function seenThrough(
	walk: Walk,
	query: Node | undefined,
	columns: readonly ItemColumn[] | null,
	cte?: CteInfo,
): readonly ItemColumn[] | null {
	const statement = as(query, 'SelectStmt');
	const isOpen = statement !== undefined && handsOn(walk, statement);
	return (
		columns?.map(({ through, ...column }) =>
			isOpen && through !== undefined
				? { ...column, through: cte === undefined ? through : { ...through, cte } }
				: column,
		) ?? null
	);
}

/** No grouping, no limit, nothing that counts rows or depends on which there are. */
function handsOn(walk: Walk, statement: SelectStmt): boolean {
	if (statement.op !== undefined && statement.op !== 'SETOP_NONE') return false;
	const { distinctClause, groupClause, havingClause, windowClause, valuesLists, limitCount, limitOffset } = statement;
	const { lockingClause, intoClause, targetList } = statement;
	const kept = [distinctClause, groupClause, havingClause, windowClause, valuesLists, limitCount, limitOffset];
	if ([...kept, lockingClause, intoClause].some((clause) => clause !== undefined)) return false;
	return !walk.usersOperator && (targetList ?? []).every((target) => isPerRow(walk, target));
}

/** Every call in it is of an ordinary function of the server's own that gives one value for each row, the same however often. */
function isPerRow(walk: Walk, value: unknown): boolean {
	if (typeof value !== 'object' || value === null) return true;
	for (const [key, child] of Object.entries(value)) {
		if (key === 'SubLink') return false;
		if (key === 'FuncCall' && !isPlainCall(walk, stringsOf((child as { funcname?: Node[] }).funcname).at(-1) ?? ''))
			return false;
		if (!isPerRow(walk, child)) return false;
	}
	return true;
}

function isPlainCall(walk: Walk, name: string): boolean {
	const routines = walk.context.catalog.routinesNamed(name);
	return routines.every(
		({ builtin, kind, returnsSet, volatility }) =>
			builtin && kind === 'function' && !returnsSet && volatility !== 'volatile',
	);
}
