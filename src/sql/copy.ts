/** COPY to and from the client: a protected relation is copied through a query, incoming rows are checked by the filters. */
import type { CopyStmt } from '@pgsql/types';
import type { Relation } from '../catalog/snapshot.ts';
import { GatewayError } from '../errors.ts';
import { endOf, whereExtent } from './clause.ts';
import { intoOf } from './definition.ts';
import { condition } from './expression.ts';
import { displayRelation, isOwnTemporary, resolveRelation, stringsOf } from './names.ts';
import { as } from './nodes.ts';
import { finishReads, spanOf, subquery, visible } from './protected-read.ts';
import type { Protection } from './protection.ts';
import { quoteIdentifier } from './quote.ts';
import { readRelation } from './read-relation.ts';
import { newScope } from './scope.ts';
import { addRules, denied, noteUse, refuse, type Walk } from './walk.ts';
import { checkWrittenColumn, failingCheck, filterCondition, noteTarget, writeTarget } from './write-target.ts';

export function copy(walk: Walk, statement: CopyStmt): void {
	serverSide(walk, statement);
	if (statement.query !== undefined) {
		const query = as(statement.query, 'SelectStmt');
		if (query !== undefined && intoOf(query) !== undefined)
			throw new GatewayError('0A000', 'COPY (SELECT INTO) is not supported');
		walk.query(walk, statement.query, null, 'output');
		walk.effects.push({ type: 'copy-out' });
	} else if (statement.is_from === true) {
		copyFrom(walk, statement);
		walk.effects.push({ type: 'copy-in' });
	} else {
		copyTo(walk, statement);
		walk.effects.push({ type: 'copy-out' });
	}
}

/** Files and programs of the server need `copy`. */
function serverSide(walk: Walk, statement: CopyStmt): void {
	if (statement.filename === undefined && statement.is_program !== true) return;
	const { access } = walk.context;
	const range = statement.relation;
	const found = range === undefined ? undefined : resolveRelation(walk, range);
	// The session's own is as a query is: no rule can name it, and what is in it was its to see.
	const relation = found === undefined || isOwnTemporary(walk, found) ? undefined : found;
	const answer =
		relation === undefined ? access.onDatabase('copy') : access.onRelation(relation.schema, relation.name, 'copy');
	const what = statement.is_program === true ? 'COPY with a program of the server' : 'COPY with a file of the server';
	const object = relation === undefined ? access.database : `${access.database}.${relation.schema}.${relation.name}`;
	addRules(noteUse(walk, 'database', '', access.database, 'copy'), answer.rules);
	if (!answer.allowed) throw denied(walk, what, answer, 'copy', object, range?.location);
	if (relation !== undefined && !answer.named) throw refuse(walk, `${what} by a rule with a wildcard`, range?.location);
}

function copyTo(walk: Walk, statement: CopyStmt): void {
	const range = statement.relation;
	if (range === undefined) throw refuse(walk, 'COPY without a relation');
	const relation = resolveRelation(walk, range);
	// COPY of a table never reads its children.
	const item = readRelation(walk, { ...range, inh: relation.kind !== 'table' }, null);
	const read = walk.reads.get(item);
	for (const name of columnNames(statement)) item.note?.columns.add(name);
	if (columnNames(statement).length === 0) for (const column of relation.columns) item.note?.columns.add(column.name);
	if (read === undefined) return;
	walk.pending.splice(walk.pending.indexOf(read), 1);
	const span = spanOf(walk, range);
	const names = columnNames(statement);
	const shown = read.protection.columns
		.filter((column) => visible(walk, column) && column.column.generated === '')
		.map((column) => column.column.name);
	for (const name of names) if (!shown.includes(name)) throw notShown(walk, read.protection, relation, name);
	const list = (names.length === 0 ? shown : names).map((name) => `"_c".${quoteIdentifier(name)}`).join(', ');
	const end = names.length === 0 ? span.end : columnListEnd(walk, span.end);
	walk.edits.replace(span.start, end, `(SELECT ${list} FROM (${subquery(walk, read, false)}) AS "_c")`);
}

/** A column that is not there, or hidden, or generated, as the server says it; or one that no rule allows. */
function notShown(walk: Walk, protection: Protection, relation: Relation, name: string): GatewayError {
	const column = protection.byName.get(name);
	const display = `${displayRelation(relation)}.${name}`;
	if (column?.state === 'refused') {
		return denied(
			walk,
			`column ${display}`,
			{ denied: false, rules: column.rules },
			'select',
			`${walk.context.access.database}.${display}`,
		);
	}
	if (column === undefined || column.state === 'hidden') {
		return new GatewayError('42703', `column "${name}" of relation "${relation.name}" does not exist`);
	}
	return new GatewayError('42P10', `column "${name}" is a generated column`, {
		detail: 'Generated columns cannot be used in COPY.',
	});
}

function columnNames(statement: CopyStmt): readonly string[] {
	return stringsOf(statement.attlist);
}

function columnListEnd(walk: Walk, after: number): number {
	const open = walk.source.tokenAt(after);
	if (walk.source.tokens[open]?.text !== '(') throw refuse(walk, 'a column list of COPY that the gateway cannot place');
	return walk.source.tokens[walk.source.closing(open)]?.end ?? after;
}

function copyFrom(walk: Walk, statement: CopyStmt): void {
	const target = writeTarget(walk, statement.relation, 'insert');
	const names = columnNames(statement);
	const written =
		names.length > 0
			? names
			: target.relation.columns.filter((column) => column.generated === '').map((column) => column.name);
	for (const name of written) checkWrittenColumn(walk, target, name, 'insert', statement.relation?.location);
	const scope = { ...newScope(null), items: [target.item] };
	condition(statement.whereClause, { walk, scope, writing: false, keeps: 'all' });
	noteTarget(walk, target);
	checkIncoming(walk, statement, target);
	finishReads(walk);
}

/** COPY FROM has no RETURNING: the rows are checked by its WHERE, which sees each row before it is stored. */
function checkIncoming(walk: Walk, statement: CopyStmt, target: ReturnType<typeof writeTarget>): void {
	const qualifier = quoteIdentifier(target.relation.name);
	const filter = filterCondition(target, qualifier);
	if (filter === null) return;
	if (target.relation.hasInsertTriggers ?? target.relation.hasTriggers) {
		throw refuse(
			walk,
			`COPY into ${displayRelation(target.relation)}, whose rows a trigger may change after the row filter has seen them,`,
			target.location,
			'Use INSERT.',
		);
	}
	const filtered = new Set(target.protection.filters.flatMap((one) => one.columns));
	const computed = target.relation.columns.find(({ name, generated }) => generated !== '' && filtered.has(name));
	if (computed !== undefined) {
		const what = `COPY into ${displayRelation(target.relation)}, whose column ${computed.name} is computed after the row filter has seen the rows,`;
		throw refuse(walk, what, target.location, 'Use INSERT.');
	}
	const [column] = target.relation.columns;
	if (column === undefined) throw refuse(walk, 'writing to a relation without columns');
	const check = `CASE WHEN ${filter} THEN true ELSE ${failingCheck(walk, target, `${qualifier}.${quoteIdentifier(column.name)}`)} END`;
	if (statement.whereClause === undefined) {
		walk.edits.insert(endOf(walk, target.location ?? 0, false), ` WHERE ${check}`);
		return;
	}
	// A row that the client's own condition leaves out is not checked.
	const extent = whereExtent(walk, statement.whereClause);
	walk.edits.insert(extent.start, 'CASE WHEN (');
	walk.edits.insert(extent.end, `) THEN ${check} ELSE false END`);
}
