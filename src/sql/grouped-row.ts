/** The row of a replaced relation as a whole beside GROUP BY its key: put together of its columns, which depend on the key. */
import type { ColumnRef, SelectStmt } from '@pgsql/types';
import { outsideAggregates, valueOfGroup } from './dependent-value.ts';
import { castToRow, extentOf } from './named-row.ts';
import type { PendingRead } from './protected-read.ts';
import { quoteIdentifier } from './quote.ts';
import type { RangeItem } from './scope.ts';
import { positionAt, type Walk } from './walk.ts';
import { GatewayError } from '../errors.ts';

/** Rewrites the references to the item's row that run on the groups. `unequal`: columns that the server cannot group by. */
export function showGroupedRows(
	walk: Walk,
	statement: SelectStmt,
	item: RangeItem,
	read: PendingRead,
	unequal: ReadonlySet<string>,
): void {
	const clauses = [statement.targetList, statement.havingClause, statement.sortClause, statement.windowClause];
	for (const node of outsideAggregates(walk, [...clauses, statement.distinctClause])) {
		if (walk.rows.get(node) !== item) continue;
		const extent = extentOf(walk, node);
		if (extent === undefined) throw cannotPlace(walk, node);
		walk.edits.withdraw(extent.start, extent.end);
		walk.edits.replace(extent.start, extent.end, rowText(walk, node, item, read, unequal, extent.text));
	}
}

function rowText(
	walk: Walk,
	node: ColumnRef,
	item: RangeItem,
	read: PendingRead,
	unequal: ReadonlySet<string>,
	name: string,
): string {
	const values = (item.columns ?? []).map((column) => {
		const text = `${name}.${quoteIdentifier(column.name)}`;
		const value = unequal.has(column.name) ? valueOfGroup(walk, read, node, column.name, text) : text;
		return { name: column.name, value };
	});
	const isNullable = item.nullable === true;
	const plain = unequal.size > 0 || isNullable ? undefined : castToRow(walk, read, name);
	if (plain !== undefined) return plain;
	const list = values.map((column) => `${column.value} AS ${quoteIdentifier(column.name)}`).join(', ');
	const key = read.relation.columns.find(({ attnum }) => attnum === read.relation.primaryKey[0])?.name ?? '';
	const shown = item.columns?.find((column) => column.origin === key)?.name ?? key;
	// Where an outer join has no row there is no key either.
	const where = isNullable ? ` WHERE ${name}.${quoteIdentifier(shown)} IS NOT NULL` : '';
	const typed = castToRow(walk, read, `ROW(${values.map(({ value }) => value).join(', ')})`);
	if (typed !== undefined) return `(SELECT ${typed} AS ${name}${where})`;
	return `(SELECT "_r" AS ${name} FROM (SELECT ${list}) AS "_r"${where})`;
}

function cannotPlace(walk: Walk, node: ColumnRef): GatewayError {
	const words = 'the gateway cannot place a whole row beside GROUP BY the primary key';
	return new GatewayError('0A000', words, positionAt(walk, node.location));
}
