/** What protects a view that is written: the policy of the table under it, said of the view's own columns. */
import type { SelectStmt } from '@pgsql/types';
import type { Column, Relation } from '../catalog/snapshot.ts';
import type { GatewayError } from '../errors.ts';
import { displayRelation } from './names.ts';
import { as, type NodeOf } from './nodes.ts';
import {
	belowView,
	castTo,
	type ColumnProtection,
	columnOf,
	makeProtection,
	type Protection,
	protectionOf,
	type RowFilter,
	type RowName,
	unprotected,
} from './protection.ts';
import { quoteIdentifier } from './quote.ts';
import { guarded, isSystem } from './read-relation.ts';
import { type InlinedView, inlineView } from './view.ts';
import { type ViewBase, viewBase } from './view-base.ts';
import { refuse, type Walk } from './walk.ts';

export interface ViewProtection {
	readonly protection: Protection;
	/** Columns that are more than a column of the table: an operator on one runs the view's own expression, on hidden rows too. */
	readonly computed: ReadonlySet<string>;
}

/**
 * The statement goes on naming the view, whose check option, defaults and triggers hold as ever; so what protects the table has to
 * be said of the view's columns. Throws 42501 with the reason where it can't.
 */
export function viewProtection(walk: Walk, view: Relation, location: number | undefined): ViewProtection {
	const own = ownProtection(walk, view);
	const inlined = inlineView(walk, view);
	if (inlined === null && own.none) return { protection: own, computed: new Set() };
	const base = viewBase(walk, view);
	const computed = new Set(view.columns.flatMap(({ name }) => (base?.columns.has(name) === true ? [] : [name])));
	if (view.hasRules) throw unwritable(walk, view, 'which has rules', location);
	if (inlined === null) return { protection: own, computed };
	return { protection: composed(own, inherited(walk, view, inlined, location)), computed };
}

function unwritable(walk: Walk, view: Relation, why: string, location: number | undefined): GatewayError {
	const what = `writing through the view ${displayRelation(view)}, over something that the policy protects and ${why},`;
	return refuse(walk, what, location);
}

function ownProtection(walk: Walk, relation: Relation, only = false): Protection {
	const { catalog, access } = walk.context;
	if (relation.temporary) return unprotected(relation);
	return guarded(walk, relation, () => protectionOf(catalog, access, relation, only));
}

/** What is inherited from the relation in FROM, in terms of the view's columns. */
function inherited(walk: Walk, view: Relation, inlined: InlinedView, location: number | undefined): Protection {
	const base = viewBase(walk, view);
	if (base === undefined || !isRowByRow(base.query))
		throw unwritable(walk, view, 'whose rows are not those of one relation', location);
	const under = beneath(walk, base, location);
	if (inlined.reads.length !== (under.isRead ? 1 : 0) || inlined.reads.some(({ oid }) => oid !== base.relation.oid))
		throw unwritable(walk, view, 'which reads it beside the relation in its FROM', location);
	const told = mentioned(base.query.whereClause, kept(base, under.protection));
	if (told !== undefined) throw unwritable(walk, view, `whose condition reads the column ${told} of it`, location);
	const refuseColumn = (column: string): GatewayError =>
		unwritable(walk, view, `which does not show the column ${column} that a mask or filter rests on`, location);
	return inTermsOf(view, base, under.protection, refuseColumn, (filter) =>
		unwritable(walk, view, `whose filter ${filter.name} holds for some of its partitions or children`, location),
	);
}

function inTermsOf(
	view: Relation,
	base: ViewBase,
	protection: Protection,
	refuseColumn: (column: string) => GatewayError,
	refuseFilter: (filter: RowFilter) => GatewayError,
): Protection {
	const shown = new Map<string, string[]>();
	for (const [name, column] of base.columns) shown.set(column, [...(shown.get(column) ?? []), name]);
	const rowOf =
		(row: RowName): RowName =>
		(column) => {
			const [name] = shown.get(column) ?? [];
			if (name === undefined) throw refuseColumn(column);
			return columnOf(row, name);
		};
	const keeps = kept(base, protection);
	const columns = view.columns.map((column, at): ColumnProtection => {
		const name = base.columns.get(column.name);
		const under = protection.byName.get(name ?? '');
		if (under?.state === 'masked') return { ...under, column, render: (row) => under.render(rowOf(row)) };
		const target = base.query.targetList?.[at];
		const told = name === undefined ? mentioned(target, keeps) : undefined;
		if (told === undefined) return { column, state: 'plain' };
		const value = { column, told, from: mentionedOf(target, base.names), text: base.expression(at) };
		return computedFrom(base.alias, value, protection, rowOf, refuseColumn);
	});
	const filters = protection.filters.map((filter): RowFilter => {
		if (filter.readOnly || filter.ofChild === true) throw refuseFilter(filter);
		const names = filter.columns.map((column) => shown.get(column) ?? []);
		for (const [at, column] of filter.columns.entries()) if (names[at]?.length === 0) throw refuseColumn(column);
		return { ...filter, columns: names.flat(), render: (row) => filter.render(rowOf(row)) };
	});
	return makeProtection(columns, filters, [displayRelation(base.relation), ...protection.via]);
}

interface Computed {
	readonly column: Column;
	/** A column of the table from which it is computed and which may not be seen as it is. */
	readonly told: string;
	/** All columns of the table that it may be computed from, by the definition's names for them; null for the whole row. */
	readonly from: ReadonlyMap<string, string> | null;
	readonly text: string | undefined;
}

/** The view's own expression, over a row of what may be seen of the table: as in a read. */
function computedFrom(
	alias: string,
	{ column, told, from, text }: Computed,
	protection: Protection,
	rowOf: (row: RowName) => RowName,
	refuseColumn: (column: string) => GatewayError,
): ColumnProtection {
	const source = protection.byName.get(told);
	const rules = source?.state === 'masked' ? source.rules : [];
	const render = (row: RowName): string => {
		if (from === null || text === undefined) throw refuseColumn(told);
		const values = [...from].map(([name, base]) => {
			const under = protection.byName.get(base);
			const value = under?.state === 'masked' ? under.render(rowOf(row)) : columnOf(rowOf(row), base);
			return `${value} AS ${quoteIdentifier(name)}`;
		});
		return castTo(column, `SELECT ${text} FROM (SELECT ${values.join(', ')}) AS ${quoteIdentifier(alias)}`);
	};
	return { column, state: 'masked', mask: `computed from ${told}`, rules, render };
}

interface Beneath {
	readonly protection: Protection;
	/** The view's definition reads it as something protected. */
	readonly isRead: boolean;
}

/** What protects the relation in FROM, as below a view: hidden columns read as null, and those without a rule are the author's choice. */
function beneath(walk: Walk, base: ViewBase, location: number | undefined): Beneath {
	const { relation, only } = base;
	if (isSystem(relation.schema)) throw refuse(walk, `writing to the system catalogue ${displayRelation(relation)}`);
	const own = asBelowView(ownProtection(walk, relation, only));
	if (relation.kind !== 'view') return { protection: own, isRead: !own.none };
	const inlined = inlineView(walk, relation);
	if (inlined === null && own.none) return { protection: own, isRead: false };
	if (relation.hasRules) throw unwritable(walk, relation, 'which has rules', location);
	if (inlined === null) return { protection: own, isRead: true };
	return { protection: composed(own, inherited(walk, relation, inlined, location)), isRead: true };
}

function asBelowView(protection: Protection): Protection {
	const columns = belowView(protection).columns.map((one): ColumnProtection => {
		if (one.state !== 'hidden') return one;
		return {
			column: one.column,
			state: 'masked',
			mask: 'hidden',
			rules: one.rules,
			render: () => castTo(one.column, 'null'),
		};
	});
	return makeProtection(columns, protection.filters, protection.via);
}

/** Rules on the view itself hold on top of what it shows of its table. */
function composed(own: Protection, from: Protection): Protection {
	const shown =
		(row: RowName): RowName =>
		(name) => {
			const under = from.byName.get(name);
			return under?.state === 'masked' ? under.render(row) : columnOf(row, name);
		};
	const columns = own.columns.map((one): ColumnProtection => {
		const under = from.byName.get(one.column.name);
		if (one.state === 'masked') return { ...one, render: (row) => one.render(shown(row)) };
		return one.state === 'plain' && under !== undefined ? under : one;
	});
	const filters = own.filters.map((filter) => ({ ...filter, render: (row: RowName) => filter.render(shown(row)) }));
	return makeProtection(columns, [...from.filters, ...filters], [...from.via, ...own.via]);
}

/** Its rows are rows of the relation in FROM, one for one, without looking at others. */
function isRowByRow(query: SelectStmt): boolean {
	const lists = [query.distinctClause, query.groupClause, query.windowClause, query.valuesLists, query.lockingClause];
	if (lists.some((list) => (list ?? []).length > 0)) return false;
	if (query.havingClause !== undefined || query.limitCount !== undefined || query.limitOffset !== undefined)
		return false;
	return query.op === undefined || query.op === 'SETOP_NONE';
}

/** Names that the definition has for columns that may not be seen as they are, with the columns. */
function kept(base: ViewBase, protection: Protection): ReadonlyMap<string, string> {
	return new Map([...base.names].filter(([, column]) => protection.byName.get(column)?.state === 'masked'));
}

/** The first column of those that a part of the definition may name; a whole row names all. Queries inside of it are not told apart. */
function mentioned(node: unknown, columns: ReadonlyMap<string, string>): string | undefined {
	const found = mentionedOf(node, columns) ?? columns;
	return [...found.values()][0];
}

/** The columns that it may name; null for a whole row. */
function mentionedOf(node: unknown, columns: ReadonlyMap<string, string>): ReadonlyMap<string, string> | null {
	const found = new Map<string, string>();
	return addMentioned(node, columns, found) ? found : null;
}

function addMentioned(node: unknown, columns: ReadonlyMap<string, string>, found: Map<string, string>): boolean {
	if (typeof node !== 'object' || node === null) return true;
	const reference = 'ColumnRef' in node ? (node.ColumnRef as NodeOf<'ColumnRef'>) : undefined;
	if (reference === undefined) return Object.values(node).every((value) => addMentioned(value, columns, found));
	const last = reference.fields?.at(-1);
	const name = as(last, 'String')?.sval ?? '';
	const column = columns.get(name);
	if (column !== undefined) found.set(name, column);
	return last === undefined || !('A_Star' in last);
}
