/** Reads a relation in FROM: is it allowed, what of it may be seen, and what stands in its place. */
import type { RangeVar } from '@pgsql/types';
import { needsNamedRule } from '../catalog/safety.ts';
import type { Relation } from '../catalog/snapshot.ts';
import { GatewayError } from '../errors.ts';
import { hiddenCatalogue } from './hidden-catalogue.ts';
import { type HiddenColumns, hiddenColumns } from './hidden-columns.ts';
import { displayRelation, isOwnTemporary, resolveRelation, stringsOf } from './names.ts';
import {
	belowView,
	PolicyMisfit,
	type Protection,
	protectionOf,
	shownType,
	systemProtection,
	unprotected,
} from './protection.ts';
import { noteProtection } from './note-protection.ts';
import { defaultSqlLimits } from './parse.ts';
import { type PendingRead, type Span, spanOf, visible } from './protected-read.ts';
import { quoteIdentifier } from './quote.ts';
import type { ItemColumn, RangeItem } from './scope.ts';
import { type InlinedView, inlineView, isComputed } from './view.ts';
import { addRules, denied, noteUse, positionAt, refuse, type UseNote, type Walk } from './walk.ts';

/** What reading a relation comes to. */
interface Reading {
	readonly protection: Protection | null;
	readonly view: InlinedView | null;
	readonly note: UseNote;
	/** It holds protected rows, and nothing in the server keeps a condition from running on those that it leaves out. */
	readonly open?: boolean;
}

const READABLE: ReadonlySet<Relation['kind']> = new Set([
	'table',
	'partitioned',
	'view',
	'matview',
	'foreign',
	'sequence',
]);

/** Resolves, asks and, where something protects the relation, plans its replacement. `sample`: text of a TABLESAMPLE to move inside. */
export function readRelation(walk: Walk, range: RangeVar, sample: { text: string } | null): RangeItem {
	const relation = resolveRelation(walk, range);
	const only = range.inh !== true;
	const reading = read(walk, relation, only, range.location);
	noteTypes(walk, relation);
	const alias = range.alias?.aliasname;
	const aliases = stringsOf(range.alias?.colnames);
	const name = alias ?? relation.name;
	if (reading.protection === null) {
		qualifyName(walk, range, relation);
		const columns = relation.columns.map((column, i) => ({
			name: column.name,
			type: column.typeOid,
			masked: walk.mode === 'view' && !isSystem(relation.schema) && isComputed(relation, i),
			origin: column.name,
		}));
		return item(relation, name, alias, rename(columns, aliases), reading.note, false);
	}
	const plan: PendingRead = {
		relation,
		protection: reading.protection,
		span: spanOf(walk, range),
		only: only && relation.kind !== 'view' && relation.kind !== 'matview',
		sample: sample?.text ?? '',
		definition: reading.view?.definition ?? null,
		open: reading.open === true,
		needsAlias: alias === undefined,
		pushed: [],
		sampled: new Set(),
		systemColumns: new Set(),
		stars: [],
		unequal: new Map(),
		onlyIfRead: isLeftUnlessRead(relation, reading) ? reading.note : null,
		qualify: range.schemaname === undefined && range.catalogname === undefined,
	};
	if (sample !== null && reading.view !== null) throw refuse(walk, 'TABLESAMPLE on a protected view', range.location);
	walk.pending.push(plan);
	const columns = seenColumns(walk, relation, reading.protection, reading);
	const made = item(relation, name, alias, rename(columns, aliases), reading.note, true);
	walk.reads.set(made, plan);
	return made;
}

/** Columns of the system's own may be masked, which matters only to who reads those. */
function isLeftUnlessRead({ schema }: Relation, { protection, view }: Reading): boolean {
	return isSystem(schema) && view === null && protection?.filters.length === 0;
}

/** Types that its values have; a relation of the text at hand may have columns of types that are not known. */
export function noteTypes(walk: Walk, relation: Relation): void {
	walk.types.add(relation.rowType);
	for (const { typeOid } of relation.columns) {
		walk.types.add(typeOid);
		if (typeOid === 0) walk.anyType = true;
	}
}

function item(
	relation: Relation,
	name: string,
	alias: string | undefined,
	columns: readonly ItemColumn[],
	note: UseNote,
	replaced: boolean,
): RangeItem {
	return {
		name,
		schema: alias === undefined ? relation.schema : null,
		columns,
		replaced,
		qualifiedOnly: false,
		note,
		rowType: replaced ? null : relation.rowType,
	};
}

/** Columns as the subquery shows them. */
function seenColumns(
	walk: Walk,
	relation: Relation,
	protection: Protection,
	{ view, open }: Reading,
): readonly ItemColumn[] {
	const isFiltered = protection.filters.length > 0 && !isSystem(relation.schema);
	const columns = protection.columns.map((column, i) => ({
		column,
		computed: open === true || (view === null ? isFiltered && isComputed(relation, i) : view.computed[i] !== false),
	}));
	return columns
		.filter(({ column }) => visible(walk, column))
		.map(({ column, computed }) => ({
			name: column.column.name,
			type: shownType(walk.context.catalog, column),
			masked: computed || column.state !== 'plain',
			origin: column.column.name,
		}));
}

/** An alias list renames the first columns. */
export function rename(columns: readonly ItemColumn[], aliases: readonly string[]): readonly ItemColumn[] {
	if (aliases.length === 0) return columns;
	return columns.map((column, i) => ({ ...column, name: aliases[i] ?? column.name }));
}

/** Writes the schema before a name that the client left to search_path: what was resolved is what runs. */
export function qualifyName(walk: Walk, range: RangeVar, relation: Relation): void {
	if (range.catalogname !== undefined) {
		const span: Span = spanOf(walk, range);
		walk.edits.replace(
			span.name,
			span.nameEnd,
			`${quoteIdentifier(relation.schema)}.${quoteIdentifier(relation.name)}`,
		);
	} else if (range.schemaname === undefined)
		walk.edits.insert(range.location ?? 0, `${quoteIdentifier(relation.schema)}.`);
}

/** Is reading allowed, and under what protection. */
function read(walk: Walk, relation: Relation, only: boolean, location: number | undefined): Reading {
	const note = noteUse(walk, 'relation', relation.schema, relation.name, 'select');
	if (!READABLE.has(relation.kind)) {
		throw new GatewayError(
			'42809',
			`cannot read ${relation.kind} "${relation.schema}.${relation.name}"`,
			positionAt(walk, location),
		);
	}
	if (isOwnTemporary(walk, relation)) return readOwn(walk, relation, note);
	if (relation.temporary)
		throw refuse(walk, `another session's temporary relation ${displayRelation(relation)}`, location);
	if (isSystem(relation.schema)) return readSystem(walk, relation, note, location);
	const found = guarded(walk, relation, () => protectionOf(walk.context.catalog, walk.context.access, relation, only));
	const protection = walk.mode === 'statement' ? found : belowView(found);
	checkReadable(walk, relation, protection, location);
	addRules(note, walk.context.access.onRelation(relation.schema, relation.name, 'select').rules);
	const isView = relation.kind === 'view' || relation.kind === 'matview';
	const inlined = isView && !isMadeHere(relation) ? inlineView(walk, relation) : null;
	if (protection.none && inlined === null && !isOpen(walk, relation)) return { protection: null, view: null, note };
	noteProtection(walk, note, protection);
	return { protection, view: inlined, note, open: isOpen(walk, relation) };
}

/** A view of this text's own over something protected. */
function isOpen(walk: Walk, relation: Relation): boolean {
	if (relation.madeOverProtected !== true) return false;
	walk.touchesProtected = true;
	walk.masks = true;
	return true;
}

/** The session's own: what is in a temporary table was its to see; a temporary view shows what its tables show now. */
function readOwn(walk: Walk, relation: Relation, note: UseNote): Reading {
	const view = relation.kind === 'view' && !isMadeHere(relation) ? inlineView(walk, relation) : null;
	const open = isOpen(walk, relation);
	return { protection: view === null && !open ? null : unprotected(relation), view, note, open };
}

/** A view that an earlier statement of the same text makes: its query was rewritten for whoever reads it now. */
function isMadeHere(relation: Relation): boolean {
	return relation.oid === 0;
}

/** select is needed on the relation or on some column of it; an explicit deny of the relation beats everything, views included. */
function checkReadable(walk: Walk, relation: Relation, protection: Protection, location: number | undefined): void {
	const { access } = walk.context;
	const answer = access.onRelation(relation.schema, relation.name, 'select');
	const object = `${access.database}.${displayRelation(relation)}`;
	if (walk.mode === 'view') {
		if (answer.denied) throw denied(walk, `relation ${displayRelation(relation)}`, answer, 'select', object, location);
		return;
	}
	const kept = answer.named ? null : needsNamedRule(relation.schema, relation.name);
	if (answer.allowed && kept === null) return;
	if (answer.allowed) {
		throw new GatewayError(
			'42501',
			`permission denied for relation ${displayRelation(relation)}: ${kept}, so a rule with a wildcard does not allow it`,
			positionAt(walk, location),
		);
	}
	if (!answer.denied && protection.columns.some((column) => column.state === 'plain' || column.state === 'masked'))
		return;
	throw denied(walk, `relation ${displayRelation(relation)}`, answer, 'select', object, location);
}

export function isSystem(schema: string): boolean {
	return schema === 'pg_catalog' || schema === 'information_schema' || schema === 'pg_toast';
}

function readSystem(walk: Walk, relation: Relation, note: UseNote, location: number | undefined): Reading {
	const { access } = walk.context;
	const safety = systemProtection(relation);
	const hidden = hiddenFrom(walk);
	if (safety === 'harmless' && hidden === null && !access.narrowsSystem) return { protection: null, view: null, note };
	const answer = access.onRelation(relation.schema, relation.name, 'select');
	if (answer.deniedByName === true) {
		addRules(note, answer.rules);
		const object = `${access.database}.${displayRelation(relation)}`;
		throw denied(walk, `relation ${displayRelation(relation)}`, answer, 'select', object, location);
	}
	if (answer.allowed && answer.named) {
		addRules(note, answer.rules);
		return { protection: null, view: null, note };
	}
	if (safety !== 'harmless' && 'refused' in safety) {
		throw new GatewayError('42501', `permission denied for relation ${displayRelation(relation)}: ${safety.refused}`, {
			...positionAt(walk, location),
			hint: `A rule that names ${access.database}.${displayRelation(relation)} without a wildcard would allow it.`,
		});
	}
	const catalogue = hidden === null ? null : readCatalogue(walk, relation, hidden, safety, note);
	if (catalogue !== null) return catalogue;
	if (safety === 'harmless') return { protection: null, view: null, note };
	if (safety.filters.length > 0) noteProtection(walk, note, safety);
	return { protection: safety, view: null, note };
}

/** Null where it tells nothing of hidden columns. `safety`: what holds in it for everybody. */
function readCatalogue(
	walk: Walk,
	relation: Relation,
	hidden: HiddenColumns,
	safety: Protection | 'harmless',
	note: UseNote,
): Reading | null {
	if (relation.definition !== null) {
		const view = inlineView(walk, relation);
		if (view === null) return null;
		return { protection: { ...unprotected(relation), ofNames: { from: null } }, view, note };
	}
	const { columns } = safety === 'harmless' ? unprotected(relation) : safety;
	const protection = hiddenCatalogue(relation, hidden, columns);
	if (protection === null) return null;
	listHidden(walk, hidden);
	if (protection.filters.length > 0) noteProtection(walk, note, protection);
	return { protection, view: null, note };
}

function hiddenFrom(walk: Walk): HiddenColumns | null {
	const { catalog, access, hiddenColumns: told, hiddenColumnsMax } = walk.context;
	if (told !== undefined) return told();
	return hiddenColumns(catalog, access, hiddenColumnsMax ?? defaultSqlLimits.hiddenColumnsMax);
}

/** The text grows with each place. */
function listHidden(walk: Walk, hidden: HiddenColumns): void {
	const max = walk.context.hiddenColumnsMax ?? defaultSqlLimits.hiddenColumnsMax;
	walk.hiddenListed += hidden.keys.length;
	if (!hidden.tooMany && walk.hiddenListed <= max) return;
	throw new GatewayError(
		'54001',
		`the policy hides more columns than the gateway keeps out of the catalogues in one statement (${max})`,
		{ hint: 'Raise limits.sqlHiddenColumnsMax, or read the catalogues in fewer places of the statement.' },
	);
}

/** A mask or filter that no longer fits its relation denies the relation. */
export function guarded<T>(walk: Walk, relation: Relation, compute: () => T): T {
	try {
		return compute();
	} catch (error) {
		if (!(error instanceof PolicyMisfit)) throw error;
		throw new GatewayError('42501', `permission denied for relation ${displayRelation(relation)}: ${error.message}`, {
			hint: 'The policy has to be mended; until then the relation is refused.',
			cause: walk.mode,
		});
	}
}
