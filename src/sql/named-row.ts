/** The row of a replaced relation as a whole is a mere record: it gets the type back that it has on the server, where it still fits. */
import type { ColumnRef, Node } from '@pgsql/types';
import { as } from './nodes.ts';
import type { PendingRead } from './protected-read.ts';
import { qualified, quoteIdentifier } from './quote.ts';
import type { RangeItem } from './scope.ts';
import type { Walk } from './walk.ts';

/** Writes `CAST(p AS app.people)` for `p`, where that is the same. */
export function nameRow(walk: Walk, node: ColumnRef, item: RangeItem): void {
	const read = walk.reads.get(item);
	const extent = read === undefined ? undefined : extentOf(walk, node);
	if (read === undefined || extent === undefined) return;
	const cast = castToRow(walk, read, extent.text);
	if (cast === undefined) return;
	// Where an outer join has no row, the cast would make a row of nulls.
	const orNull = `(CASE WHEN ${extent.text} IS NOT DISTINCT FROM NULL THEN NULL ELSE ${cast} END)`;
	walk.edits.replace(extent.start, extent.end, item.nullable === true ? orNull : cast);
}

/** A row as one of its relation's type; undefined with hidden columns, which leave too few fields. */
export function castToRow(walk: Walk, read: PendingRead, row: string): string | undefined {
	const isWhole = read.protection.columns.every(({ state }) => state === 'plain' || state === 'masked');
	if (!isWhole || !fits(walk, read)) return undefined;
	return `CAST(${row} AS ${qualified(read.relation.schema, read.relation.name)})`;
}

/** Writes `p::app.people` where the relation has hidden columns, which are null in it, as below a view. */
export function fillRow(walk: Walk, node: Node | undefined, target: number | undefined): void {
	const reference = as(node, 'ColumnRef');
	const item = reference === undefined ? undefined : walk.rows.get(reference);
	const read = item === undefined ? undefined : walk.reads.get(item);
	if (reference === undefined || item === undefined || read === undefined || item.nullable === true) return;
	if (read.relation.rowType !== target) return;
	const extent = extentOf(walk, reference);
	if (extent === undefined || !fits(walk, read)) return;
	const shown = [...(item.columns ?? [])];
	const columns = read.protection.columns.map(({ state }) => {
		const column = state === 'plain' || state === 'masked' ? shown.shift() : undefined;
		return column === undefined ? 'NULL' : `${extent.text}.${quoteIdentifier(column.name)}`;
	});
	if (columns.includes('NULL')) walk.edits.replace(extent.start, extent.end, `ROW(${columns.join(', ')})`);
}

/** Without its domain a masked value may be none that the domain takes. */
function fits(walk: Walk, { relation, protection, systemColumns }: PendingRead): boolean {
	if (walk.mode === 'view' || relation.rowType === 0 || relation.temporary || systemColumns.size > 0) return false;
	return protection.columns.every(({ state, column }) => state === 'plain' || column.plainType === undefined);
}

/** Where a bare name stands; undefined for `p.*` and for a name that is written in an odd way. */
export function extentOf(
	walk: Walk,
	node: ColumnRef,
): { readonly start: number; readonly end: number; readonly text: string } | undefined {
	if (node.fields?.length !== 1 || !('String' in (node.fields[0] ?? {}))) return undefined;
	const token = walk.source.tokens[walk.source.tokenAt(node.location ?? 0)];
	if (token === undefined || token.start !== (node.location ?? 0) || token.name === 'UIDENT') return undefined;
	return { start: token.start, end: token.end, text: token.text };
}
