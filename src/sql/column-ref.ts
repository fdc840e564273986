/** A column reference: what it resolves to, what the audit notes of it, and the edits that a protected item asks for. */
import type { ColumnRef } from '@pgsql/types';
import { GatewayError } from '../errors.ts';
import { hasEquality } from './equality.ts';
import { displayRelation, stringsOf } from './names.ts';
import { fieldFunction, refuseUnknownField, SYSTEM_COLUMNS } from './field-function.ts';
import { fieldOfItem } from './fixed-field.ts';
import type { InlineTarget } from './inline-target.ts';
import { nameRow } from './named-row.ts';
import {
	bareColumns,
	findItem,
	type ItemColumn,
	type RangeItem,
	resolveBare,
	resolveQualified,
	type Scope,
} from './scope.ts';
import { noteAsked } from './sampled.ts';
import { denied, type ExprInfo, type Place, positionAt, refuse, type Walk } from './walk.ts';

interface Around {
	readonly walk: Walk;
	readonly scope: Scope;
	readonly place: Place;
	readonly writing: boolean;
	readonly keeps?: 'rows' | 'all';
}

const OPAQUE: ExprInfo = { type: null, constant: false, safe: false };

export function columnRef(node: ColumnRef, around: Around): ExprInfo {
	const fields = node.fields ?? [];
	const names = stringsOf(fields);
	const last = fields.at(-1);
	if (last !== undefined && 'A_Star' in last) return star(node, names.slice(0, -1), around);
	const name = names.at(-1) ?? '';
	if (names.length === 1) return bare(node, name, around);
	const itemName = names.at(-2) ?? '';
	const schema = names.length > 2 ? (names.at(-3) ?? null) : null;
	const found = resolveQualified(around.scope, schema, itemName, name);
	if (found.kind === 'column') {
		fieldOfItem(around.walk, found.item, name);
		stripSchema(node, names, found.item, around.walk);
		return column(node, found.item, found.column, around);
	}
	if (found.kind === 'missing-column' || found.kind === 'opaque') return notAColumn(node, name, found.item, around);
	walkDoubt(around.walk);
	return OPAQUE;
}

function bare(node: ColumnRef, name: string, around: Around): ExprInfo {
	const found = resolveBare(around.scope, name);
	switch (found.kind) {
		case 'column':
			return column(node, found.item, found.column, around);
		case 'item':
			return wholeRow(node, found.item, around);
		case 'opaque':
			noteEverywhere(name, around);
			refuseIfTargets(node, name, around);
			return OPAQUE;
		default:
			hiddenTargetColumn(node, name, around);
			if (SYSTEM_COLUMNS.has(name)) systemColumn(name, around.scope.items, around.walk);
			else walkDoubt(around.walk);
			return OPAQUE;
	}
}

/** A replaced relation shows a system column when it is the only one that can be meant. */
function systemColumn(name: string, items: readonly RangeItem[], walk: Walk): void {
	const reads = items.flatMap((item) => walk.reads.get(item) ?? []);
	const [read] = reads;
	if (read !== undefined && reads.length === 1 && read.definition === null) read.systemColumns.add(name);
}

/** It may be a column of any item in sight that has one of that name. */
function noteEverywhere(name: string, { walk, scope: from, place }: Around): void {
	for (let scope: Scope | null = from; scope !== null; scope = scope.parent) {
		for (const item of scope.items) {
			walk.named.add(item);
			const column = item.columns?.find((candidate) => candidate.name === name);
			if (column === undefined) continue;
			item.note?.columns.add(column.origin ?? name);
			if (place === 'qual') noteAsked(walk, column.from ?? item, column.origin ?? name);
		}
	}
}

/** The name may be that of an item whose columns are not known, or of a protected column of the write's target: not a guess to make. */
function refuseIfTargets(node: ColumnRef, name: string, around: Around): void {
	for (let scope: Scope | null = around.scope; scope !== null; scope = scope.parent) {
		for (const item of scope.items) {
			const state = item.inline?.protection.byName.get(name)?.state;
			if (state === undefined || state === 'plain') continue;
			throw refuse(
				around.walk,
				`the name ${name}, which may be that of a protected column,`,
				node.location,
				'Qualify it.',
			);
		}
	}
}

/** A name that no item has: the catalogue may be behind, so the pipeline looks again before it forwards. */
function walkDoubt(walk: Walk): void {
	walk.doubt = true;
}

function column(node: ColumnRef, item: RangeItem, found: ItemColumn, around: Around): ExprInfo {
	around.walk.named.add(item);
	item.note?.columns.add(found.origin ?? found.name);
	if (item.inline !== undefined) inlineColumn(node, item, item.inline, found.name, around);
	if (around.walk.reads.size > 0) noteUnequal(node, found.from ?? item, found, around.walk);
	if (around.place === 'qual') noteAsked(around.walk, found.from ?? item, found.origin ?? found.name);
	return { type: found.type, constant: false, safe: !found.masked };
}

/** A column that GROUP BY the primary key cannot list; it may have to be shown in another way. */
function noteUnequal(node: ColumnRef, item: RangeItem, { name, type }: ItemColumn, walk: Walk): void {
	const read = walk.reads.get(item);
	if (read === undefined || read.relation.primaryKey.length === 0 || hasEquality(walk.context.catalog, type)) return;
	read.unequal.set(node, name);
}

/** `t.f` where t has no column f: a hidden column looks as if it were not there; otherwise it may call f(t). */
function notAColumn(node: ColumnRef, name: string, item: RangeItem, around: Around): ExprInfo {
	if (item.inline !== undefined) {
		const protection = item.inline.protection.byName.get(name);
		if (protection !== undefined) throw noSuchColumn(node, name, item.inline, around.walk);
		if (!item.inline.protection.none) walkDoubt(around.walk);
	}
	if (SYSTEM_COLUMNS.has(name)) {
		systemColumn(name, [item], around.walk);
		stripSchema(node, stringsOf(node.fields), item, around.walk);
		return OPAQUE;
	}
	if (item.isFunction === true) refuseUnknownField(around.walk, name, item.name ?? '', node.location);
	if (item.columns !== null) walkDoubt(around.walk);
	around.walk.named.add(item);
	stripSchema(node, stringsOf(node.fields), item, around.walk);
	return {
		...OPAQUE,
		type: fieldFunction(around.walk, name, item.rowType, node.location, item.maybeValue !== true) ?? null,
	};
}

function wholeRow(node: ColumnRef, item: RangeItem, around: Around): ExprInfo {
	around.walk.named.add(item);
	item.note?.columns.add('*');
	if (around.place === 'qual') noteAsked(around.walk, item, undefined);
	// A whole row would show the system columns too.
	around.walk.reads.get(item)?.stars.push({ start: 0, end: 0, text: null });
	if (item.inline !== undefined && !item.inline.protection.none) {
		throw refuse(
			around.walk,
			`the whole row of ${displayRelation(item.inline.relation)}, which the statement writes and the policy protects,`,
			node.location,
		);
	}
	around.walk.rows.set(node, item);
	if (around.keeps === undefined) nameRow(around.walk, node, item);
	const isRecord = item.rowType === null && item.maybeValue !== true;
	const row = isRecord ? { fields: null } : {};
	return { type: item.rowType, constant: false, safe: item.rowType !== null, ...row };
}

/** `t.*` in an expression is a whole row; in a select list the list expands it. */
function star(node: ColumnRef, qualifier: readonly string[], around: Around): ExprInfo {
	const name = qualifier.at(-1);
	if (name === undefined) {
		for (const item of around.scope.items) wholeRow(node, item, around);
		return OPAQUE;
	}
	const item = findItem(around.scope, name, qualifier.length > 1 ? (qualifier.at(-2) ?? null) : null);
	if (item === undefined) {
		walkDoubt(around.walk);
		return OPAQUE;
	}
	stripSchema(node, [...qualifier, '*'], item, around.walk);
	return wholeRow(node, item, around);
}

/** `schema.table.column` of a replaced relation: the subquery has no schema. */
export function stripSchema(node: ColumnRef, names: readonly string[], item: RangeItem, walk: Walk): void {
	const extra = names.length - 2;
	if (extra <= 0 || !item.replaced) return;
	const { tokens } = walk.source;
	const first = walk.source.tokenAt(node.location ?? 0);
	const keep = tokens[first + 2 * extra];
	if (keep === undefined) throw refuse(walk, 'a column reference that the gateway cannot place', node.location);
	walk.edits.replace(node.location ?? 0, keep.start, '');
}

// ---------------------------------------------------------------- the target of a write

function inlineColumn(node: ColumnRef, item: RangeItem, target: InlineTarget, name: string, around: Around): void {
	const { walk } = around;
	const protection = target.protection.byName.get(name);
	if (protection === undefined || protection.state === 'plain') return;
	if ((node.fields ?? []).length === 1) refuseAmbiguous(node, name, around);
	if (protection.state === 'hidden') throw noSuchColumn(node, name, target, walk);
	const object = `${walk.context.access.database}.${displayRelation(target.relation)}.${name}`;
	if (protection.state === 'refused') {
		throw denied(
			walk,
			`column ${displayRelation(target.relation)}.${name}`,
			{ denied: false, rules: protection.rules },
			'select',
			object,
			node.location,
		);
	}
	if (around.writing) {
		const rule = protection.rules[0];
		throw new GatewayError(
			'42501',
			`permission denied for column ${displayRelation(target.relation)}.${name}: it is masked (${protection.mask}, ${rule?.file}:${rule?.line}), so what is written must not be computed from it`,
			positionAt(walk, node.location),
		);
	}
	refuseShadowed(node, item, name, around);
	const { tokens } = walk.source;
	const count = (node.fields ?? []).length;
	const first = walk.source.tokenAt(node.location ?? 0);
	const end = tokens[first + 2 * count - 2]?.end;
	if (end === undefined || tokens[first]?.name === 'UIDENT')
		throw refuse(walk, 'a column reference that the gateway cannot place', node.location);
	walk.edits.replace(node.location ?? 0, end, protection.render(target.qualifier));
}

/** A mask names the columns of the target by its alias, which means something else where the query has a nearer one. */
function refuseShadowed(node: ColumnRef, item: RangeItem, name: string, { scope, walk }: Around): void {
	if (item.schema !== null || findItem(scope, item.name ?? '', null) === item) return;
	const what = `the masked column ${name} of "${item.name}" inside of a query that has another "${item.name}"`;
	throw refuse(walk, what, node.location, 'Give one of them another alias.');
}

/** In the place of a bare name stands a qualified mask, so the server would no longer see that the name was ambiguous. */
function refuseAmbiguous(node: ColumnRef, name: string, around: Around): void {
	for (let scope: Scope | null = around.scope; scope !== null; scope = scope.parent) {
		const having = scope.items.filter((item) => bareColumns(item)?.some((column) => column.name === name) === true);
		if (having.length > 1) {
			throw new GatewayError(
				'42702',
				`column reference "${name}" is ambiguous`,
				positionAt(around.walk, node.location),
			);
		}
		if (having.length > 0) return;
	}
}

function noSuchColumn(node: ColumnRef, name: string, target: InlineTarget, walk: Walk): GatewayError {
	return new GatewayError(
		'42703',
		`column "${name}" of relation "${target.relation.name}" does not exist`,
		positionAt(walk, node.location),
	);
}

/** A bare name that resolves to nothing but is a hidden column of the target. */
function hiddenTargetColumn(node: ColumnRef, name: string, around: Around): void {
	for (let scope: Scope | null = around.scope; scope !== null; scope = scope.parent) {
		for (const item of scope.items) {
			const state = item.inline?.protection.byName.get(name)?.state;
			if (item.inline !== undefined && state !== undefined && state !== 'plain')
				throw noSuchColumn(node, name, item.inline, around.walk);
		}
	}
}
