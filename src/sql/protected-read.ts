/** Replaces a reference to a protected relation by a subquery that shows what the identity may see. */
import type { ColumnRef, RangeVar } from '@pgsql/types';
import type { Relation } from '../catalog/snapshot.ts';
import { GatewayError } from '../errors.ts';
import { displayRelation } from './names.ts';
import { noteProtection } from './note-protection.ts';
import { castTo, type ColumnProtection, type Protection, type RowFilter } from './protection.ts';
import type { Pushed } from './push.ts';
import { castType, qualified, quoteIdentifier } from './quote.ts';
import { isKeyword } from './source.ts';
import { refuse, type UseNote, type Walk } from './walk.ts';

/** Inside of the subquery the relation goes by this name, so that nothing outside can be meant by a column of it. */
export const INNER = '"_p"';

/** A replacement that is written out when the whole statement has been seen, since only then it is known whether it needs a fence. */
export interface PendingRead {
	readonly relation: Relation;
	readonly protection: Protection;
	readonly span: Span;
	/** `ONLY`, where the client wrote it. */
	readonly only: boolean;
	/** Moved inside, e.g. `TABLESAMPLE bernoulli (10)`. */
	readonly sample: string;
	/** The rewritten definition, where the relation is a view that has to be inlined. */
	readonly definition: string | null;
	/** A view of this text's own, whose definition is in the server, masks and filters in it. */
	readonly open: boolean;
	/** True when the client gave no alias. */
	readonly needsAlias: boolean;
	/** Leakproof conditions of the statement's own that hold inside of a fence too, so that it keeps its index. */
	readonly pushed: Pushed[];
	/** Columns on whose sampled values, those of hidden rows among them, the planner may try a condition of the statement's. */
	readonly sampled: Set<string>;
	/** System columns that the statement names; shown by the subquery as well. */
	readonly systemColumns: Set<string>;
	/** Stars that would show the system columns too, unless they are written out: their extent, and what they stand for. */
	readonly stars: Star[];
	/** References to columns by whose values the server cannot group, with the column's name in the query, where the relation has a key. */
	readonly unequal: Map<ColumnRef, string>;
	/** The relation may stay as it is unless the statement reads one of its masked columns; this note tells which it reads. */
	readonly onlyIfRead: UseNote | null;
	/** The client wrote no schema. */
	readonly qualify: boolean;
}

/** A star of a select list over this one item. `text` is null when it can't be written out. */
export interface Star {
	readonly start: number;
	readonly end: number;
	readonly text: string | null;
}

/** Bytes of the text that name the relation, with ONLY, `*` and parentheses; `table` for the command TABLE. */
export interface Span {
	readonly start: number;
	readonly end: number;
	readonly table: boolean;
	/** Start of the name itself, where a schema can be put before it. */
	readonly name: number;
	/** End of the name itself. */
	readonly nameEnd: number;
}

/** Finds the extent of a RangeVar; refuses where the text is not what the tree says, rather than guess. */
export function spanOf(walk: Walk, range: RangeVar): Span {
	const { tokens } = walk.source;
	const location = range.location ?? 0;
	const first = walk.source.tokenAt(location);
	const parts = 1 + (range.schemaname === undefined ? 0 : 1) + (range.catalogname === undefined ? 0 : 1);
	const last = first + 2 * parts - 2;
	const unclear = (): Error => refuse(walk, `this way of writing the name of relation "${range.relname}"`, location);
	if (tokens[first]?.start !== location) throw unclear();
	for (let i = first; i <= last; i += 1) {
		const token = tokens[i];
		if (token === undefined || token.name === 'UIDENT' || (i - first) % 2 !== (token.text === '.' ? 1 : 0))
			throw unclear();
	}
	let from = first;
	let to = last;
	if (range.inh !== true && isKeyword(tokens[from - 1], 'only')) from -= 1;
	else if (range.inh !== true && tokens[from - 1]?.text === '(' && isKeyword(tokens[from - 2], 'only')) {
		from -= 2;
		to += 1;
		if (tokens[to]?.text !== ')') throw unclear();
	} else if (tokens[to + 1]?.text === '*') to += 1;
	const table = isKeyword(tokens[from - 1], 'table');
	if (table) from -= 1;
	const start = tokens[from]?.start ?? location;
	const end = tokens[to]?.end ?? location;
	return { start, end, table, name: location, nameEnd: tokens[last]?.end ?? end };
}

/** Writes out all replacements of a walk. */
export function finishReads(walk: Walk): void {
	const { readsMax } = walk.context;
	if (readsMax !== undefined && walk.pending.length > readsMax) {
		throw new GatewayError(
			'54001',
			`a statement that reads protected relations in ${walk.pending.length} places is more than the gateway analyses (${readsMax})`,
			{ hint: 'Raise limits.sqlReadsMax.' },
		);
	}
	for (const read of walk.pending) {
		if (read.onlyIfRead !== null && !readsMasked(read, read.onlyIfRead)) {
			if (read.qualify) walk.edits.insert(read.span.name, `${quoteIdentifier(read.relation.schema)}.`);
			continue;
		}
		if (read.onlyIfRead !== null) noteProtection(walk, read.onlyIfRead, read.protection);
		const fence = walk.leaky && isBarrier(read);
		writeOutStars(walk, read);
		const alias = read.needsAlias ? ` AS ${quoteIdentifier(read.relation.name)}` : '';
		const text = `(${subquery(walk, read, fence)})${alias}`;
		walk.edits.replace(read.span.start, read.span.end, read.span.table ? `SELECT * FROM ${text}` : text);
	}
}

/** It holds rows or values that no condition of the statement's may run on. */
function isBarrier({ protection, definition, open }: PendingRead): boolean {
	return protection.ofNames === undefined && (protection.filters.length > 0 || definition !== null || open);
}

/** System columns are named beside a star: the star is written out, or the system columns are left out. */
function writeOutStars(walk: Walk, read: PendingRead): void {
	if (read.systemColumns.size === 0 || read.stars.length === 0) return;
	if (read.definition !== null || read.stars.some((star) => star.text === null)) {
		read.systemColumns.clear();
		return;
	}
	for (const star of read.stars) walk.edits.replace(star.start, star.end, star.text ?? '');
}

function readsMasked(read: PendingRead, note: UseNote): boolean {
	if (note.columns.has('*')) return true;
	return read.protection.columns.some((column) => column.state !== 'plain' && note.columns.has(column.column.name));
}

type Subquery = Pick<
	PendingRead,
	'relation' | 'protection' | 'only' | 'sample' | 'definition' | 'pushed' | 'sampled' | 'systemColumns'
>;

/** The subquery's text, without the parentheses around it. */
export function subquery(walk: Walk, read: Subquery, fence: boolean): string {
	const { relation, protection } = read;
	const shown = protection.columns.filter((column) => visible(walk, column));
	if (shown.length === 0)
		throw refuse(walk, `reading ${displayRelation(relation)}, none of whose columns may be seen,`);
	const opaque = (column: ColumnProtection): boolean =>
		fence && (walk.usersOperator || read.sampled.has(column.column.name));
	const system = [...read.systemColumns].map((name) => `${INNER}.${name} AS ${quoteIdentifier(name)}`);
	const list = [...shown.map((column) => remembered(column, opaque(column))), ...system].join(', ');
	const conditions = [...protection.filters.map(filterText), ...(fence ? moved(read.pushed) : [])];
	const where = conditions.length === 0 ? '' : ` WHERE ${conditions.join(' AND ')}`;
	return `SELECT ${list} FROM ${fromItem(read)}${where}${fence ? ' OFFSET 0' : ''}`;
}

/** Texts of columns and filters are the same in every statement; kept as long as the protection that they belong to. */
const columnTexts = new WeakMap<ColumnProtection, { clear?: string; opaque?: string }>();
const filterTexts = new WeakMap<RowFilter, string>();

function remembered(column: ColumnProtection, opaque: boolean): string {
	let texts = columnTexts.get(column);
	if (texts === undefined) columnTexts.set(column, (texts = {}));
	return opaque ? (texts.opaque ??= shownAs(column, true)) : (texts.clear ??= shownAs(column, false));
}

function filterText(filter: RowFilter): string {
	let text = filterTexts.get(filter);
	if (text === undefined) filterTexts.set(filter, (text = filter.render(INNER)));
	return text;
}

/** A CTE that is read in two places hands its rows to both, whatever the one wants of them. */
function moved(pushed: readonly Pushed[]): ReadonlySet<string> {
	return new Set(pushed.filter(({ ctes }) => ctes.every(({ uses }) => uses === 1)).map(({ text }) => text));
}

function fromItem(read: Subquery): string {
	const { relation } = read;
	if (read.definition !== null) {
		const names = relation.columns.map((column) => quoteIdentifier(column.name)).join(', ');
		return `(${read.definition}) AS ${INNER}(${names})`;
	}
	const sample = read.sample === '' ? '' : ` ${read.sample}`;
	const replaced = read.protection.ofNames?.from?.(sample);
	if (replaced !== undefined) return `${replaced} AS ${INNER}`;
	return `${read.only ? 'ONLY ' : ''}${qualified(relation.schema, relation.name)} AS ${INNER}${sample}`;
}

/** Hidden columns are left out; below a view they read as null, since the view's columns are there by name. */
export function visible(walk: Walk, column: ColumnProtection): boolean {
	if (walk.mode === 'view') return true;
	return column.state === 'plain' || column.state === 'masked';
}

/**
 * `opaque`: the planner must not see through to the column's statistics, on whose sampled values it would try an operator to
 * estimate a condition: a user's, or one of its own that fails for some values (LIKE with a backslash at the end, reached
 * only by what matches up to there). A security_barrier view keeps it from that too.
 */
function shownAs(protection: ColumnProtection, opaque: boolean): string {
	const name = quoteIdentifier(protection.column.name);
	if (protection.state === 'masked') return `${protection.render(INNER)} AS ${name}`;
	if (protection.state === 'hidden') return `${castTo(protection.column, 'null')} AS ${name}`;
	if (!opaque) return `${INNER}.${name}`;
	// A null of the very type keeps the type modifier in RowDescription; it is not known of what the text itself makes.
	const { type } = protection.column;
	const otherwise = type === '' ? '' : `ELSE CAST(NULL AS ${castType(type)})`;
	return `CASE WHEN pg_catalog.pg_backend_pid() OPERATOR(pg_catalog.>) 0 THEN ${INNER}.${name} ${otherwise} END AS ${name}`;
}
