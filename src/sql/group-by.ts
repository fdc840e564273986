/** Keeps GROUP BY the primary key working on a replaced relation: a subquery has no key, so the other columns are added to the list. */
import type { ColumnRef, Node, SelectStmt } from '@pgsql/types';
import { type Dependent, showDependent } from './dependent-value.ts';
import { hasEquality } from './equality.ts';
import { showGroupedRows } from './grouped-row.ts';
import { stringsOf } from './names.ts';
import { as } from './nodes.ts';
import type { PendingRead } from './protected-read.ts';
import { quoteIdentifier } from './quote.ts';
import { type RangeItem, resolveBare, resolveQualified, type Scope } from './scope.ts';
import { isKeyword } from './source.ts';
import type { Walk } from './walk.ts';

/** Adds to GROUP BY the columns that the server would have known to depend on the key. */
export function keepFunctionalDependency(walk: Walk, statement: SelectStmt, scope: Scope): void {
	const groups = statement.groupClause ?? [];
	if (groups.length === 0) return;
	const added: string[] = [];
	const dependents: Dependent[] = [];
	for (const { item, read, shown } of keyed(walk, scope)) {
		const grouped = groupedColumns(statement, groups, scope, item);
		if (!keyColumns(read).every((name) => grouped.always.has(shown.get(name) ?? '\0'))) continue;
		const own = new Set(shown.values());
		const wanted = [...referenced(walk, statement, scope, item)].filter(
			(name) => own.has(name) && !grouped.ever.has(name),
		);
		const unequal = withoutEquality(walk, item, wanted);
		if (walk.reads.has(item)) {
			// What only some of the sets group by is null in the others, but not in the row as a whole.
			const partly = [...grouped.ever].filter((name) => !grouped.always.has(name));
			showGroupedRows(walk, statement, item, read, new Set([...unequal, ...partly]));
			if (unequal.size > 0) dependents.push({ item, read, names: unequal });
		}
		for (const name of wanted)
			if (!unequal.has(name)) added.push(`${quoteIdentifier(item.name ?? '')}.${quoteIdentifier(name)}`);
	}
	if (dependents.length > 0) showDependent(walk, statement, scope, dependents);
	if (added.length === 0) return;
	const at = afterGroupBy(walk, groups);
	if (at !== undefined) walk.edits.insert(at, ` ${added.join(', ')}, `);
}

interface Keyed {
	readonly item: RangeItem;
	readonly read: PendingRead;
	/** Names that the relation's own columns have in the query, as columns of the item. */
	readonly shown: ReadonlyMap<string, string>;
}

/** Replaced relations with a key, in FROM or in a join that has a name of its own. */
function keyed(walk: Walk, { items }: Scope): readonly Keyed[] {
	return items.flatMap((item) => {
		const within = (item.columns ?? []).flatMap(({ behind }) => behind?.item ?? []);
		return [...new Set([item, ...within])].flatMap((one) => {
			const read = walk.reads.get(one);
			if (read === undefined || read.relation.primaryKey.length === 0) return [];
			const shown = (item.columns ?? []).flatMap(({ name, origin, behind }) => {
				const own = one === item ? (origin ?? name) : behind?.item === one ? behind.origin : undefined;
				return own === undefined ? [] : [[own, name] as const];
			});
			return [{ item, read, shown: new Map(shown) }];
		});
	});
}

/** Those of the names whose columns the server cannot group by. */
function withoutEquality({ context }: Walk, { columns }: RangeItem, names: readonly string[]): ReadonlySet<string> {
	return new Set(
		names.filter((name) => {
			const column = columns?.find((candidate) => candidate.name === name);
			return column !== undefined && !hasEquality(context.catalog, column.type);
		}),
	);
}

/** Names of the key's columns; a masked or hidden key is none. */
function keyColumns(read: PendingRead): readonly string[] {
	return read.relation.primaryKey.map((attnum) => {
		const protection = read.protection.columns.find((column) => column.column.attnum === attnum);
		return protection?.state === 'plain' ? protection.column.name : '\0';
	});
}

function own(scope: Scope, item: RangeItem, node: Node | undefined): string | undefined {
	const names = stringsOf(as(node, 'ColumnRef')?.fields);
	if (names.length === 0) return undefined;
	const local: Scope = { ...scope, parent: null };
	const found =
		names.length === 1
			? resolveBare(local, names[0] ?? '')
			: resolveQualified(
					local,
					names.length > 2 ? (names.at(-3) ?? null) : null,
					names.at(-2) ?? '',
					names.at(-1) ?? '',
				);
	return found.kind === 'column' && (found.column.from ?? found.item) === item ? found.column.name : undefined;
}

/** What is grouped by: a number or an output name stands for an item of the list, unless an input column has that name. */
function groupedExpression(statement: SelectStmt, node: Node, scope: Scope): Node | undefined {
	const position = as(node, 'A_Const')?.ival?.ival;
	if (position !== undefined) return as(statement.targetList?.[position - 1], 'ResTarget')?.val;
	const names = stringsOf(as(node, 'ColumnRef')?.fields);
	const [name] = names;
	if (name === undefined || names.length !== 1 || resolveBare({ ...scope, parent: null }, name).kind === 'column')
		return node;
	const target = statement.targetList?.find((entry) => as(entry, 'ResTarget')?.name === name);
	return target === undefined ? node : as(target, 'ResTarget')?.val;
}

/** Columns of an item that are grouped by: in each of the grouping sets, and in any of them. */
interface Grouped {
	readonly always: ReadonlySet<string>;
	readonly ever: ReadonlySet<string>;
}

function groupedColumns(statement: SelectStmt, groups: readonly Node[], scope: Scope, item: RangeItem): Grouped {
	return together(groups.map((node) => groupedBy(statement, node, scope, item)));
}

/** Items beside each other: each set of the one with each of the other. */
function together(parts: readonly Grouped[]): Grouped {
	return {
		always: new Set(parts.flatMap(({ always }) => [...always])),
		ever: new Set(parts.flatMap(({ ever }) => [...ever])),
	};
}

function groupedBy(statement: SelectStmt, node: Node, scope: Scope, item: RangeItem): Grouped {
	const set = as(node, 'GroupingSet');
	const row = as(node, 'RowExpr');
	// `(a, b)` is no row here but both of them.
	const within = set?.content ?? (row?.row_format === 'COERCE_IMPLICIT_CAST' ? row.args : undefined);
	if (within === undefined && set === undefined) {
		const name = own(scope, item, groupedExpression(statement, node, scope));
		const names = new Set(name === undefined ? [] : [name]);
		return { always: names, ever: names };
	}
	const parts = (within ?? []).map((part) => groupedBy(statement, part, scope, item));
	const all = together(parts);
	if (set === undefined || set.kind === 'GROUPING_SET_SIMPLE') return all;
	if (set.kind !== 'GROUPING_SET_SETS') return { always: new Set(), ever: all.ever };
	const always = [...all.always].filter((name) => parts.every((part) => part.always.has(name)));
	return { always: new Set(always), ever: all.ever };
}

/** Columns of the item that the clauses after GROUP BY may name; a star means all of them. */
function referenced(walk: Walk, statement: SelectStmt, scope: Scope, item: RangeItem): ReadonlySet<string> {
	const found = new Set<string>();
	const visit = (value: unknown): void => {
		if (typeof value !== 'object' || value === null) return;
		if (Array.isArray(value)) {
			for (const entry of value) visit(entry);
			return;
		}
		if ('ColumnRef' in value) {
			const node = value as Node;
			const fields = as(node, 'ColumnRef')?.fields ?? [];
			const last = fields.at(-1);
			if (last !== undefined && 'A_Star' in last) {
				const qualifier = stringsOf(fields).at(-2);
				if (qualifier === undefined || qualifier === item.name)
					for (const column of item.columns ?? []) found.add(column.name);
				return;
			}
			const name = own(scope, item, node);
			if (name !== undefined) found.add(name);
			else if (walk.rows.get(value.ColumnRef as ColumnRef) === item)
				for (const column of item.columns ?? []) found.add(column.name);
			return;
		}
		for (const entry of Object.values(value)) visit(entry);
	};
	visit([
		statement.targetList,
		statement.havingClause,
		statement.sortClause,
		statement.windowClause,
		statement.distinctClause,
	]);
	return found;
}

/** The byte after `GROUP BY [ALL]`, found by walking back from the first group expression. */
function afterGroupBy(walk: Walk, groups: readonly Node[]): number | undefined {
	const { source } = walk;
	const first = Math.min(...groups.map((node) => smallestLocation(node)));
	if (!Number.isFinite(first)) return undefined;
	for (let i = source.tokenAt(first); i > 0; i -= 1) {
		if (!isKeyword(source.tokens[i], 'by') || !isKeyword(source.tokens[i - 1], 'group')) continue;
		const next = source.tokens[i + 1];
		return isKeyword(next, 'all') || isKeyword(next, 'distinct') ? next?.end : source.tokens[i]?.end;
	}
	return undefined;
}

/** The smallest location in a tree; a location of 0 is left out by the parser, and no expression can stand there. */
export function smallestLocation(node: unknown): number {
	if (typeof node !== 'object' || node === null) return Number.POSITIVE_INFINITY;
	let smallest = Number.POSITIVE_INFINITY;
	for (const [key, value] of Object.entries(node)) {
		if (key === 'location' && typeof value === 'number' && value > 0) smallest = Math.min(smallest, value);
		else if (typeof value === 'object') smallest = Math.min(smallest, smallestLocation(value));
	}
	return smallest;
}

/** Where it begins, for an error's position; undefined where that can't be told. */
export function placeOf(node: Node | undefined): number | undefined {
	const place = smallestLocation(node);
	return Number.isFinite(place) ? place : undefined;
}
