/** COPY to and from the client: a protected relation is copied through a query, incoming rows are checked by the filters. */
import type { CopyStmt } from '@pgsql/types';
import { condition } from './expression.ts';
import { resolveRelation, stringsOf } from './names.ts';
import { finishReads, spanOf, subquery, visible } from './protected-read.ts';
import { quoteIdentifier } from './quote.ts';
import { readRelation } from './read-relation.ts';
import { newScope } from './scope.ts';
import { isKeyword } from './source.ts';
import { addRules, denied, noteUse, refuse, type Walk } from './walk.ts';
import { checkWrittenColumn, failingCheck, filterCondition, noteTarget, writeTarget } from './write-target.ts';

export function copy(walk: Walk, statement: CopyStmt): void {
	serverSide(walk, statement);
	if (statement.query !== undefined) {
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
	const relation = range === undefined ? undefined : resolveRelation(walk, range);
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
	const list = (names.length === 0 ? shown : names).map((name) => `"_c".${quoteIdentifier(name)}`).join(', ');
	const end = names.length === 0 ? span.end : columnListEnd(walk, span.end);
	walk.edits.replace(span.start, end, `(SELECT ${list} FROM (${subquery(walk, read, false)}) AS "_c")`);
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
	condition(statement.whereClause, { walk, scope, writing: false });
	noteTarget(walk, target);
	checkIncoming(walk, statement, target);
	finishReads(walk);
}

/** COPY FROM has no RETURNING: the rows are checked by its WHERE, which sees each row before it is stored. */
function checkIncoming(walk: Walk, statement: CopyStmt, target: ReturnType<typeof writeTarget>): void {
	const qualifier = quoteIdentifier(target.relation.name);
	const filter = filterCondition(target, qualifier);
	if (filter === null) return;
	const [column] = target.relation.columns;
	if (column === undefined) throw refuse(walk, 'writing to a relation without columns');
	const check = `CASE WHEN ${filter} THEN true ELSE ${failingCheck(walk, target, `${qualifier}.${quoteIdentifier(column.name)}`)} END`;
	const { source } = walk;
	if (statement.whereClause === undefined) {
		const last = source.tokens.findLast((token) => token.text !== ';');
		walk.edits.insert(last?.end ?? source.bytes.length, ` WHERE ${check}`);
		return;
	}
	const where = source.tokens.findLast((token) => isKeyword(token, 'where'));
	const last = source.tokens.findLast((token) => token.text !== ';');
	if (where === undefined || last === undefined)
		throw refuse(walk, 'a WHERE clause of COPY that the gateway cannot place');
	walk.edits.insert(where.end, ` ${check} AND (`);
	walk.edits.insert(last.end, ')');
}
