/** What protects a relation from an identity: hidden and masked columns and row filters, its own and those it inherits. */
import { relationSafety } from '../catalog/safety.ts';
import type { CatalogSnapshot, Column, Relation } from '../catalog/snapshot.ts';
import type { Access, BoundExpression, PolicyTree, RuleRef } from '../stages.ts';
import { type PolicyHoles, printPolicy } from './policy-print.ts';
import { settle } from './policy-settle.ts';
import { Unsettled } from './policy-tree.ts';
import { related } from './kin.ts';
import { baseType } from './types.ts';
import { castType, qualified, quoteIdentifier } from './quote.ts';

/** How the columns of a row are called: qualified by a name, or each by SQL of its own (those of a table in terms of a view over it). */
export type RowName = string | ((column: string) => string);

export type ColumnProtection =
	| { readonly column: Column; readonly state: 'plain' }
	| { readonly column: Column; readonly state: 'hidden'; readonly rules: readonly RuleRef[] }
	/** No rule allows it. `below`: as a view over the relation shows it. */
	| {
			readonly column: Column;
			readonly state: 'refused';
			readonly rules: readonly RuleRef[];
			readonly below: ColumnProtection;
	  }
	| {
			readonly column: Column;
			readonly state: 'masked';
			readonly mask: string;
			readonly rules: readonly RuleRef[];
			/** SQL of the masked value in a row of that name; it has the column's type. */
			readonly render: (row: RowName) => string;
	  };

export interface RowFilter {
	readonly name: string;
	readonly rules: readonly RuleRef[];
	readonly columns: readonly string[];
	/** It can't be asked of a row that is just being written. */
	readonly readOnly: boolean;
	/** It holds for rows of one child, to which an update may move a row. Missing: for all rows. */
	readonly ofChild?: boolean;
	readonly render: (row: RowName) => string;
}

export interface Protection {
	readonly columns: readonly ColumnProtection[];
	readonly filters: readonly RowFilter[];
	/** Nothing is masked, hidden, refused or filtered. */
	readonly none: boolean;
	/** Column by name, for look-ups. */
	readonly byName: ReadonlyMap<string, ColumnProtection>;
	/** Where an inherited part comes from. */
	readonly via: readonly string[];
	/** Of a catalogue: all that it keeps back are names of hidden columns, on which conditions of the statement may run. Missing: no. */
	readonly ofNames?: {
		/** What is read in place of the relation, with what TABLESAMPLE asks of it. */
		readonly from: ((sample: string) => string) | null;
	};
}

/** The name under which masks and filters are written down that hold for everybody. */
export const BUILT_IN = 'built-in';

/** A system relation with built-in masks (other sessions' statements and the like). */
export function systemProtection(relation: Relation): Protection | 'harmless' | { readonly refused: string } {
	const safety = relationSafety(relation.schema, relation.name);
	if (safety.safe === true) return 'harmless';
	if (safety.safe === false) return { refused: safety.reason };
	const rule: RuleRef = { file: 'built-in', line: 0, text: safety.reason };
	const columns = relation.columns.map((column): ColumnProtection => {
		const expression = safety.columns[column.name];
		if (expression === undefined) return { column, state: 'plain' };
		return { column, state: 'masked', mask: BUILT_IN, rules: [rule], render: () => castTo(column, expression) };
	});
	const { filter } = safety;
	const filters: RowFilter[] =
		filter === undefined
			? []
			: [{ name: BUILT_IN, rules: [rule], columns: [], readOnly: true, render: () => `(${filter})` }];
	return makeProtection(columns, filters, []);
}

/** Of a relation that no rule narrows: all of its columns as they are. */
export function unprotected(relation: Relation): Protection {
	const columns = relation.columns.map((column): ColumnProtection => ({ column, state: 'plain' }));
	return makeProtection(columns, [], []);
}

type Protections = WeakMap<Relation, { all?: Protection; only?: Protection }>;

/** Kept as long as the access and the snapshot live: both are replaced, never changed. */
const protections = new WeakMap<Access, WeakMap<CatalogSnapshot, Protections>>();

/** Protection of a relation of the user's. `only`: rows of children are not read. */
export function protectionOf(catalog: CatalogSnapshot, access: Access, relation: Relation, only: boolean): Protection {
	let ofAccess = protections.get(access);
	if (ofAccess === undefined) protections.set(access, (ofAccess = new WeakMap()));
	let ofCatalog = ofAccess.get(catalog);
	if (ofCatalog === undefined) ofAccess.set(catalog, (ofCatalog = new WeakMap()));
	let known = ofCatalog.get(relation);
	if (known === undefined) ofCatalog.set(relation, (known = {}));
	if (only) return (known.only ??= findProtection(catalog, access, relation, true));
	return (known.all ??= findProtection(catalog, access, relation, false));
}

/** The column looks as if it were not there. */
export function isHidden(catalog: CatalogSnapshot, access: Access, relation: Relation, column: Column): boolean {
	const ancestors = related(catalog, relation, 'parents');
	const descendants = childrenRead(catalog, access, relation).descendants;
	return columnProtection(catalog, access, relation, column, ancestors, descendants, []).state === 'hidden';
}

/** Children that a rule denies as a whole are left out of their parent. */
function childrenRead(
	catalog: CatalogSnapshot,
	access: Access,
	relation: Relation,
): { readonly descendants: readonly Relation[]; readonly left: readonly Relation[] } {
	const children = related(catalog, relation, 'children');
	const left = children.filter(({ schema, name }) => access.onRelation(schema, name, 'select').denied);
	const without = new Set(left.flatMap((child) => [child, ...related(catalog, child, 'children')]));
	return { descendants: children.filter((child) => !without.has(child)), left };
}

function findProtection(catalog: CatalogSnapshot, access: Access, relation: Relation, only: boolean): Protection {
	const ancestors = related(catalog, relation, 'parents');
	const { descendants, left } = only ? { descendants: [], left: [] } : childrenRead(catalog, access, relation);
	const via: string[] = [];
	const columns = relation.columns.map((column) =>
		columnProtection(catalog, access, relation, column, ancestors, descendants, via),
	);
	const filters = filtersFor(catalog, access, relation, ancestors, descendants, via);
	return makeProtection(
		columns,
		[...filters, ...left.map((child) => absence(catalog, access, child))],
		[...new Set(via)],
	);
}

/** Rows of a child that may not be read at all are left out of its parent. */
function absence(catalog: CatalogSnapshot, access: Access, child: Relation): RowFilter {
	const { rules } = access.onRelation(child.schema, child.name, 'select');
	const render = (row: RowName): string => `(${isElsewhere(catalog, child, row)})`;
	return { name: `not ${child.schema}.${child.name}`, rules, columns: [], readOnly: false, ofChild: true, render };
}

/** SQL: the row is in another relation than the child and those that belong to it. */
function isElsewhere(catalog: CatalogSnapshot, child: Relation, row: RowName): string {
	const oids = [child, ...related(catalog, child, 'children')].map((one) => `${one.oid}`).join(', ');
	return `${systemColumnOf(row, 'tableoid')}::pg_catalog.int8 OPERATOR(pg_catalog.<>) ALL (ARRAY[${oids}]::pg_catalog.int8[])`;
}

export function makeProtection(
	columns: readonly ColumnProtection[],
	filters: readonly RowFilter[],
	via: readonly string[],
): Protection {
	return {
		columns,
		filters,
		none: filters.length === 0 && columns.every((column) => column.state === 'plain'),
		byName: new Map(columns.map((column) => [column.column.name, column])),
		via,
	};
}

function columnProtection(
	catalog: CatalogSnapshot,
	access: Access,
	relation: Relation,
	column: Column,
	ancestors: readonly Relation[],
	descendants: readonly Relation[],
	via: string[],
): ColumnProtection {
	const own = access.readColumn(relation.schema, relation.name, column.name);
	if (own.denied) return { column, state: 'hidden', rules: own.rules };
	const shown = (): ColumnProtection => {
		if (own.mask !== undefined) return maskedColumn(catalog, relation, column, own.mask);
		if (own.protectionNamed) return { column, state: 'plain' };
		const inherited = inheritedProtection(catalog, access, relation, column, ancestors, descendants, via);
		const computed = (): ColumnProtection | undefined =>
			computedProtection(catalog, access, relation, column, descendants);
		return inherited ?? computed() ?? { column, state: 'plain' };
	};
	return own.allowed ? shown() : { column, state: 'refused', rules: own.rules, below: shown() };
}

/** As it is below a view: columns that no rule allows are its author's choice; what is denied, masked or filtered is not. */
export function belowView(protection: Protection): Protection {
	if (!protection.columns.some(({ state }) => state === 'refused')) return protection;
	const columns = protection.columns.map((one) => (one.state === 'refused' ? one.below : one));
	return makeProtection(columns, protection.filters, protection.via);
}

function inheritedProtection(
	catalog: CatalogSnapshot,
	access: Access,
	relation: Relation,
	column: Column,
	ancestors: readonly Relation[],
	descendants: readonly Relation[],
	via: string[],
): ColumnProtection | undefined {
	for (const other of [...ancestors, ...descendants]) {
		if (!other.columns.some((candidate) => candidate.name === column.name)) continue;
		const answer = access.readColumn(other.schema, other.name, column.name);
		if (!answer.denied && answer.mask === undefined) continue;
		via.push(`${other.schema}.${other.name}`);
		if (answer.denied) return { column, state: 'hidden', rules: answer.rules };
		if (answer.mask !== undefined) return maskedColumn(catalog, relation, column, answer.mask);
	}
	return undefined;
}

/**
 * What the server computes from a column tells of it: null where that one may not be seen as it is, unless a rule names what is
 * computed. A child may compute it from others than its parent does.
 */
function computedProtection(
	catalog: CatalogSnapshot,
	access: Access,
	relation: Relation,
	column: Column,
	descendants: readonly Relation[],
): ColumnProtection | undefined {
	for (const table of [relation, ...descendants]) {
		const own = table === relation ? column : table.columns.find(({ name }) => name === column.name);
		for (const attnum of own?.computedFrom ?? []) {
			const source = table.columns.find((candidate) => candidate.attnum === attnum);
			if (source === undefined) continue;
			const [parents, children] = [related(catalog, table, 'parents'), related(catalog, table, 'children')];
			const found = columnProtection(catalog, access, table, source, parents, children, []);
			const from = found.state === 'refused' ? found.below : found;
			if (from.state !== 'masked' && from.state !== 'hidden') continue;
			const mask = `computed from ${source.name}`;
			return { column, state: 'masked', mask, rules: from.rules, render: () => castTo(column, 'null') };
		}
	}
	return undefined;
}

/** The column as a mask shows it. */
export function maskedColumn(
	catalog: CatalogSnapshot,
	relation: Relation,
	column: Column,
	mask: BoundExpression,
): ColumnProtection {
	let tree: PolicyTree | undefined;
	const render = (row: RowName): string => {
		tree ??= settled(catalog, relation, mask, column);
		const value = columnOf(row, column.name);
		return castTo(column, printPolicy(tree, { value, column: columnFinder(relation, row, mask.rule) }));
	};
	return { column, state: 'masked', mask: mask.name, rules: [mask.rule], render };
}

function filtersFor(
	catalog: CatalogSnapshot,
	access: Access,
	relation: Relation,
	ancestors: readonly Relation[],
	descendants: readonly Relation[],
	via: string[],
): readonly RowFilter[] {
	const own = access.filtersOf(relation.schema, relation.name);
	const filters = own.filters.map((filter) => rowFilter(catalog, relation, filter));
	const seen = new Set(own.filters.map((filter) => filter.name));
	// Lifted by a rule that names it: what its children keep to themselves is lifted with it.
	if (own.protectionNamed && filters.length === 0) return filters;
	for (const ancestor of own.protectionNamed ? [] : ancestors) {
		for (const filter of access.filtersOf(ancestor.schema, ancestor.name).filters) {
			if (seen.has(filter.name)) continue;
			seen.add(filter.name);
			via.push(`${ancestor.schema}.${ancestor.name}`);
			filters.push(rowFilter(catalog, relation, filter));
		}
	}
	for (const child of descendants) {
		for (const filter of access.filtersOf(child.schema, child.name).filters) {
			if (seen.has(filter.name)) continue;
			via.push(`${child.schema}.${child.name}`);
			filters.push(childFilter(catalog, relation, filter, child));
		}
	}
	return filters;
}

function rowFilter(catalog: CatalogSnapshot, relation: Relation, filter: BoundExpression): RowFilter {
	const condition = conditionOf(catalog, relation, filter);
	const render = (row: RowName): string => `(${condition(row)})`;
	return { name: filter.name, rules: [filter.rule], columns: filter.columns, readOnly: false, render };
}

/** A filter of `child` alone holds for its rows, and those of its own children, when they are read through the parent. */
function childFilter(
	catalog: CatalogSnapshot,
	relation: Relation,
	filter: BoundExpression,
	child: Relation,
): RowFilter {
	const known = filter.columns.every((name) => relation.columns.some((column) => column.name === name));
	const condition = conditionOf(catalog, known ? relation : child, filter);
	const render = (row: RowName): string => {
		const elsewhere = isElsewhere(catalog, child, row);
		if (known) return `(${elsewhere} OR ${condition(row)})`;
		// The filter names a column that only the child has: the row is looked at there.
		const [table, place] = [systemColumnOf(row, 'tableoid'), systemColumnOf(row, 'ctid')];
		const same = `${CHILD}.tableoid OPERATOR(pg_catalog.=) ${table} AND ${CHILD}.ctid OPERATOR(pg_catalog.=) ${place}`;
		return `(${elsewhere} OR EXISTS (SELECT FROM ${qualified(child.schema, child.name)} AS ${CHILD} WHERE ${same} AND ${condition(CHILD)}))`;
	};
	return { name: filter.name, rules: [filter.rule], columns: filter.columns, readOnly: !known, ofChild: true, render };
}

/** The name of the child's row in a filter that is looked up in the child. */
const CHILD = '"_k"';

/** SQL of a filter for a row. */
function conditionOf(catalog: CatalogSnapshot, relation: Relation, filter: BoundExpression): (row: RowName) => string {
	let tree: PolicyTree | undefined;
	return (row) => {
		tree ??= settled(catalog, relation, filter);
		return printPolicy(tree, { column: columnFinder(relation, row, filter.rule) });
	};
}

/** Why a mask (of `column`) or filter would mean what the session's settings say; null where it does not, or its columns are not there. */
export function unsettledReason(
	catalog: CatalogSnapshot,
	relation: Relation,
	expression: BoundExpression,
	column?: Column,
): string | null {
	if (!expression.columns.every((name) => relation.columns.some((one) => one.name === name))) return null;
	try {
		settled(catalog, relation, expression, column);
		return null;
	} catch (error) {
		if (error instanceof PolicyMisfit) return error.reason;
		throw error;
	}
}

/** The mask (of `column`) or filter as it means the same in every session. */
function settled(
	catalog: CatalogSnapshot,
	relation: Relation,
	{ name, rule, tree }: BoundExpression,
	column?: Column,
): PolicyTree {
	const typeOf = (other: string): number => columnNamed(relation, other, rule).typeOid;
	const masked = column === undefined ? {} : { value: column.typeOid, result: column.typeOid };
	try {
		return settle(tree, { catalog, column: typeOf, ...masked });
	} catch (error) {
		if (!(error instanceof Unsettled)) throw error;
		const what = column === undefined ? `the filter ${name}` : `the mask ${name} of ${column.name}`;
		throw new PolicyMisfit(relation, rule, `in ${what} ${error.message}`);
	}
}

function columnFinder(relation: Relation, row: RowName, rule: RuleRef): PolicyHoles['column'] {
	return (name) => columnOf(row, columnNamed(relation, name, rule).name);
}

function columnNamed(relation: Relation, name: string, rule: RuleRef): Column {
	const found = relation.columns.find((column) => column.name === name);
	if (found !== undefined) return found;
	const reason = `names the column ${name}, which ${relation.schema}.${relation.name} does not have`;
	throw new PolicyMisfit(relation, rule, reason);
}

/**
 * A mask or filter does not go with the relation: it names a column that is not there (any more), or means what the session's settings
 * say. The relation is refused.
 */
export class PolicyMisfit extends Error {
	readonly relation: Relation;
	/** Without the rule. */
	readonly reason: string;
	constructor(relation: Relation, rule: RuleRef, reason: string) {
		super(`${rule.file}:${rule.line} ${reason}`);
		this.relation = relation;
		this.reason = reason;
	}
}

/** SQL of a column of the row. */
export function columnOf(row: RowName, name: string): string {
	return typeof row === 'string' ? `${row}.${quoteIdentifier(name)}` : row(name);
}

function systemColumnOf(row: RowName, name: 'tableoid' | 'ctid'): string {
	return typeof row === 'string' ? `${row}.${name}` : row(name);
}

/** The column keeps its type and its collation; a domain that checks its values gives way to its base type, as in what the client is told of it. */
export function castTo(column: Column, expression: string): string {
	const cast = `CAST((${expression}) AS ${castType(column.plainType ?? column.type)})`;
	return column.collation === null ? cast : `${cast} COLLATE ${column.collation}`;
}

/** The type under which the statement sees a column. */
export function shownType(catalog: CatalogSnapshot, { column, state }: ColumnProtection): number {
	const isPlain = column.plainType === undefined || state === 'plain' || state === 'refused';
	return isPlain ? column.typeOid : (baseType(catalog, column.typeOid) ?? column.typeOid);
}
