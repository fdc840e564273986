/** Shows columns that depend on the key of a group and have no equality, so that they cannot be added to GROUP BY: as one value of the group. */
import type { ColumnRef, Node, SelectStmt } from '@pgsql/types';
import { GatewayError } from '../errors.ts';
import { displayRelation, stringsOf } from './names.ts';
import type { PendingRead } from './protected-read.ts';
import { quoteIdentifier } from './quote.ts';
import { bareColumns, type RangeItem, type Scope } from './scope.ts';
import { positionAt, type Walk } from './walk.ts';

/** `any_value` came with 16; before that the first of an array of them is taken. */
const ANY_VALUE_SINCE = 160_000;

/** A read of a group's key with what is named of its columns that have no equality. */
export interface Dependent {
	readonly item: RangeItem;
	readonly read: PendingRead;
	/** Columns of the item that are not grouped by and cannot be, by the names that they have in the query. */
	readonly names: ReadonlySet<string>;
}

/** Takes one value of the group for each reference to such a column; all values of it in a group are the same. */
export function showDependent(walk: Walk, statement: SelectStmt, scope: Scope, dependents: readonly Dependent[]): void {
	const clauses = [
		statement.targetList,
		statement.havingClause,
		statement.sortClause,
		statement.windowClause,
		statement.distinctClause,
	];
	const named = new Map(
		dependents.flatMap(({ read, names }) =>
			[...read.unequal].filter(([, column]) => names.has(column)).map(([node]) => [node, read] as const),
		),
	);
	for (const node of outsideAggregates(walk, clauses)) {
		const read = named.get(node);
		if (read === undefined) continue;
		const { start, end } = extentOf(walk, node);
		const name = stringsOf(node.fields).at(-1) ?? '';
		const [before, after] = around(walk, read, node, name);
		walk.edits.insert(start, before);
		walk.edits.insert(end, after);
	}
	for (const target of statement.targetList ?? []) {
		const value = 'ResTarget' in target ? target.ResTarget.val : undefined;
		if (value !== undefined && 'ColumnRef' in value) writeOutStar(walk, value.ColumnRef, scope, dependents);
	}
}

/** A query in brackets gives its column the name that a mere reference would have given, wherever that stands. */
function around(walk: Walk, read: PendingRead, node: ColumnRef, name: string): readonly [string, string] {
	const { catalog } = walk.context;
	const as = `AS ${quoteIdentifier(name)})`;
	if (catalog.serverVersion >= ANY_VALUE_SINCE) return ['(SELECT pg_catalog.any_value(', `) ${as}`];
	const column = read.relation.columns.find((candidate) => candidate.name === read.unequal.get(node));
	if (column !== undefined && catalog.typeByOid(column.typeOid)?.category === 'A') throw tooOld(walk, read, node, name);
	return ['(SELECT (pg_catalog.array_agg(', `))[1] ${as}`];
}

/** One value of the group, as a mere value: all are the same. */
export function valueOfGroup(walk: Walk, read: PendingRead, node: ColumnRef, column: string, text: string): string {
	if (walk.context.catalog.serverVersion >= ANY_VALUE_SINCE) return `pg_catalog.any_value(${text})`;
	const { type } = walk.rows.get(node)?.columns?.find(({ name }) => name === column) ?? {};
	if (walk.context.catalog.typeByOid(type ?? 0)?.category === 'A') throw tooOld(walk, read, node, column);
	return `(pg_catalog.array_agg(${text}))[1]`;
}

function tooOld(walk: Walk, read: PendingRead, node: ColumnRef, name: string): GatewayError {
	return new GatewayError(
		'0A000',
		`column "${name}" beside GROUP BY the primary key of ${displayRelation(read.relation)}, which the policy protects, needs PostgreSQL 16: its type has no equality`,
		positionAt(walk, node.location),
	);
}

/** References that run on the groups: arguments of aggregates run on their rows. */
export function outsideAggregates(walk: Walk, clauses: unknown): readonly ColumnRef[] {
	const found: ColumnRef[] = [];
	const visit = (value: unknown, inQuery: boolean): void => {
		if (typeof value !== 'object' || value === null) return;
		for (const [tag, entry] of Object.entries(value as Record<string, MaybeAggregate>)) {
			if (tag === 'ColumnRef') found.push(entry as ColumnRef);
			// An aggregate of a query within is mostly that query's own, which takes its rows as many times as there are groups.
			else if (inQuery || !isAggregate(walk, tag, entry)) visit(entry, inQuery || tag === 'SubLink');
			else if (entry.agg_within_group === true) visit(entry.args, false);
		}
	};
	visit(clauses, false);
	return found;
}

interface MaybeAggregate {
	readonly funcname?: Node[];
	readonly over?: unknown;
	readonly constructor?: unknown;
	readonly agg_within_group?: boolean;
	readonly args?: unknown;
}

function isAggregate(walk: Walk, tag: string, node: MaybeAggregate): boolean {
	if (tag === 'JsonObjectAgg' || tag === 'JsonArrayAgg')
		return (node.constructor as { over?: unknown } | undefined)?.over === undefined;
	if (tag !== 'FuncCall' || node.over !== undefined) return false;
	const name = stringsOf(node.funcname).at(-1) ?? '';
	return walk.context.catalog.routinesNamed(name).some((routine) => routine.kind === 'aggregate');
}

/** Bytes of a reference, without the schema that is taken from it. */
function extentOf(walk: Walk, node: ColumnRef): { start: number; end: number } {
	const { tokens } = walk.source;
	const first = walk.source.tokenAt(node.location ?? 0);
	const count = (node.fields ?? []).length;
	const end = tokens[first + 2 * count - 2];
	const start = tokens[first + 2 * Math.max(0, count - 2)];
	if (start === undefined || end === undefined || tokens.slice(first, first + 2 * count).some(isEscaped)) {
		throw new GatewayError(
			'0A000',
			'the gateway cannot place a column of a type without equality beside GROUP BY the primary key',
			positionAt(walk, node.location),
		);
	}
	return { start: start.start, end: end.end };
}

function isEscaped(token: { readonly name: string }): boolean {
	return token.name === 'UIDENT';
}

/** A star that stands for such a column is written out. */
function writeOutStar(walk: Walk, node: ColumnRef, scope: Scope, dependents: readonly Dependent[]): void {
	const last = node.fields?.at(-1);
	if (last === undefined || !('A_Star' in last)) return;
	const qualifier = stringsOf(node.fields).at(-2);
	const items = qualifier === undefined ? scope.items : scope.items.filter(({ name }) => name === qualifier);
	const shown = items.map((item) => ({ item, columns: qualifier === undefined ? bareColumns(item) : item.columns }));
	const list: string[] = [];
	let isNeeded = false;
	for (const { item, columns } of shown) {
		if (columns === null) return;
		for (const { name, from } of columns) {
			const dependent = dependents.find((candidate) => candidate.item === (from ?? item));
			const own = item.name === null ? '' : `${quoteIdentifier(item.name)}.`;
			const text = `${own}${quoteIdentifier(name)}`;
			if (dependent?.names.has(name) !== true) list.push(text);
			else {
				isNeeded = true;
				list.push(around(walk, dependent.read, node, name).join(text));
			}
		}
	}
	if (!isNeeded) return;
	const { start, end } = extentOf(walk, node);
	walk.edits.replace(start, end, list.join(', '));
	for (const read of walk.pending) {
		const rest = read.stars.filter((star) => star.end !== end);
		read.stars.splice(0, read.stars.length, ...rest);
	}
}
