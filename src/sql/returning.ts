/** RETURNING of a write: masked columns in place, stars written out, and the check of the rows that are left behind. */
import type { Node, ReturningClause } from '@pgsql/types';
import { endOf, returningToken, scanTo } from './clause.ts';
import { expression } from './expression.ts';
import { stringsOf } from './names.ts';
import { as } from './nodes.ts';
import { outputName } from './output-name.ts';
import { castType, quoteIdentifier } from './quote.ts';
import { bareColumns, findItem, type ItemColumn, type RangeItem, type Scope } from './scope.ts';
import { isKeyword } from './source.ts';
import { refuse, type Walk } from './walk.ts';
import { failingCheck, filterCondition, type WriteTarget } from './write-target.ts';

type Columns = readonly ItemColumn[] | null;

/**
 * Walks RETURNING within a scope that has the target (and FROM items). `check`: the rows have to satisfy the filters.
 * `nested`: the statement stands in a CTE, whose rows never reach the client by themselves.
 */
export function returning(
	walk: Walk,
	clause: ReturningClause | undefined,
	scope: Scope,
	target: WriteTarget,
	check: boolean,
	nested: boolean,
): Columns {
	const location = target.location ?? 0;
	if (clause === undefined) {
		if (check) {
			walk.edits.insert(endOf(walk, location, false), ` RETURNING ${checked(walk, target, 'true')} AS "ok"`);
			if (!nested) walk.hidesRows = true;
		}
		return [];
	}
	const inner: Scope = { ...scope, items: [...scope.items, ...oldAndNew(walk, clause, target)] };
	const columns: ItemColumn[] = [];
	let known = true;
	let token = firstItem(walk, clause, location);
	for (const [i, node] of (clause.exprs ?? []).entries()) {
		const end = scanTo(walk, token, (at) => walk.source.tokens[at]?.text === ',');
		const own = returned(walk, node, inner, target, { first: token, end, check: check && i === 0 });
		if (own === null) known = false;
		else columns.push(...own);
		token = end + 1;
	}
	return known ? columns : null;
}

/** PostgreSQL 18's old and new, under their own names or those of WITH (OLD AS o, NEW AS n). */
function oldAndNew(walk: Walk, clause: ReturningClause, target: WriteTarget): readonly RangeItem[] {
	if (walk.context.catalog.serverVersion < 180000) return [];
	const options = (clause.options ?? []).flatMap((node) => as(node, 'ReturningOption') ?? []);
	return (['old', 'new'] as const).map((word) => {
		const option = options.find((candidate) => candidate.option === `RETURNING_OPTION_${word.toUpperCase()}`);
		const name = option?.value ?? word;
		const { inline } = target.item;
		const own = inline === undefined ? {} : { inline: { ...inline, qualifier: quoteIdentifier(name) } };
		return { ...target.item, ...own, name, schema: null, qualifiedOnly: true };
	});
}

function firstItem(walk: Walk, clause: ReturningClause, location: number): number {
	const at = returningToken(walk, location) + 1;
	if ((clause.options ?? []).length === 0 || !isKeyword(walk.source.tokens[at], 'with')) return at;
	return walk.source.closing(at + 1) + 1;
}

interface Place {
	/** Index of the item's first token, and of the one after its last. */
	readonly first: number;
	readonly end: number;
	readonly check: boolean;
}

function returned(walk: Walk, node: Node, scope: Scope, target: WriteTarget, place: Place): Columns {
	const item = as(node, 'ResTarget');
	const { tokens } = walk.source;
	const start = tokens[place.first]?.start ?? 0;
	const end = tokens[place.end - 1]?.end ?? start;
	const star = starColumns(item?.val, scope);
	if (star !== undefined) return expandStar(walk, star, scope, target, { start, end, check: place.check });
	const before = walk.edits.length;
	const info = expression(item?.val, { walk, scope, place: 'output', writing: false });
	const name = item?.name ?? outputName(item?.val, walk.firstColumns);
	if (place.check) wrap(walk, target, item?.name, name, place);
	// A mask in the place of a column would give the name of what it is made of.
	else if (item?.name === undefined && walk.edits.length > before)
		walk.edits.insert(end, ` AS ${quoteIdentifier(name)}`);
	return [{ name, type: info.type, masked: !info.safe }];
}

/** CASE WHEN the row satisfies the filters THEN what was asked for: else the check fails. */
function wrap(walk: Walk, target: WriteTarget, label: string | undefined, name: string, place: Place): void {
	const { tokens } = walk.source;
	let last = place.end - 1;
	if (label !== undefined) {
		last -= 1;
		if (isKeyword(tokens[last], 'as')) last -= 1;
	}
	const start = tokens[place.first]?.start;
	const end = tokens[last]?.end;
	if (start === undefined || end === undefined || end <= start)
		throw refuse(walk, 'a RETURNING clause that the gateway cannot place');
	const condition = filterCondition(target, target.qualifier) ?? 'true';
	// A null of the column's very type keeps the type modifier in RowDescription.
	const column = target.relation.columns.find((candidate) => candidate.name === name && last === place.first);
	const none = column === undefined ? 'NULL' : `CAST(NULL AS ${castType(column.type)})`;
	walk.edits.insert(start, `CASE WHEN ${condition} THEN (`);
	const otherwise = `) WHEN ${failing(walk, target)} THEN ${none} ELSE ${none} END`;
	walk.edits.insert(end, label === undefined ? `${otherwise} AS ${quoteIdentifier(name)}` : otherwise);
}

function checked(walk: Walk, target: WriteTarget, value: string): string {
	// The branches of CASE are tried in order, which OR does not promise.
	return `CASE WHEN ${filterCondition(target, target.qualifier) ?? 'true'} THEN ${value} WHEN ${failing(walk, target)} THEN NULL END`;
}

function failing(walk: Walk, target: WriteTarget): string {
	const [column] = target.relation.columns;
	if (column === undefined) throw refuse(walk, 'writing to a relation without columns');
	return failingCheck(walk, target, `${target.qualifier}.${quoteIdentifier(column.name)}`);
}

interface StarColumn {
	readonly item: RangeItem;
	readonly column: ItemColumn;
}

/** The columns of `*` or `t.*`; undefined for anything else, null when they can't be told. */
function starColumns(node: Node | undefined, scope: Scope): readonly StarColumn[] | null | undefined {
	const fields = as(node, 'ColumnRef')?.fields;
	const last = fields?.at(-1);
	if (fields === undefined || last === undefined || !('A_Star' in last)) return undefined;
	if (fields.length === 1) return inOrder(scope.items.map((item) => [item, bareColumns(item)]));
	const names = stringsOf(fields);
	const item = findItem(scope, names.at(-2) ?? '', names.length > 2 ? (names.at(-3) ?? null) : null);
	return item === undefined ? undefined : inOrder([[item, item.columns]]);
}

function inOrder(items: readonly (readonly [RangeItem, Columns])[]): readonly StarColumn[] | null {
	const all: StarColumn[] = [];
	for (const [item, columns] of items) {
		if (columns === null) return null;
		for (const column of columns) all.push({ item, column });
	}
	return all;
}

function expandStar(
	walk: Walk,
	all: readonly StarColumn[] | null,
	scope: Scope,
	target: WriteTarget,
	place: { start: number; end: number; check: boolean },
): Columns {
	for (const { item, column } of all ?? []) item.note?.columns.add(column.name);
	if (target.protection.none && !place.check) return all?.map(({ column }) => column) ?? null;
	if (all === null) throw refuse(walk, 'RETURNING * over columns that the gateway does not know');
	const texts = all.map(({ item, column }, i) => {
		const text = shown(walk, scope, item, column);
		const value = place.check && i === 0 ? checked(walk, target, text) : text;
		return `${value} AS ${quoteIdentifier(column.name)}`;
	});
	if (texts.length === 0) throw refuse(walk, 'RETURNING * where no column may be seen');
	walk.edits.replace(place.start, place.end, texts.join(', '));
	return all.map(({ column }) => column);
}

function shown(walk: Walk, scope: Scope, item: RangeItem, column: ItemColumn): string {
	const { name } = column;
	const protection = item.inline?.protection.byName.get(name);
	const of = item.name === null ? (column.from?.name ?? null) : item.name;
	if (of === null) return bare(walk, scope, name);
	const qualifier = item.inline?.qualifier ?? quoteIdentifier(of);
	if (protection?.state === 'masked') return protection.render(qualifier);
	if (protection?.state === 'refused')
		throw refuse(walk, `RETURNING * with the column ${name}, which no rule lets you select,`);
	return `${qualifier}.${quoteIdentifier(name)}`;
}

/** A column of what has no name of its own: an unnamed subquery, or what USING made of two columns. */
function bare(walk: Walk, scope: Scope, name: string): string {
	const isClear =
		scope.items.flatMap((item) => bareColumns(item) ?? []).filter((column) => column.name === name).length === 1;
	if (!isClear) throw refuse(walk, `RETURNING * with several columns ${name}`, undefined, 'Name the columns instead.');
	return quoteIdentifier(name);
}
