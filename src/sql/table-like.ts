/** LIKE in CREATE TABLE: the columns of another relation, as many of them as may be seen. No row of it is read. */
import { madeColumn } from './casts.ts';
import { displayRelation, isOwnTemporary, resolveRelation } from './names.ts';
import type { NodeOf } from './nodes.ts';
import { type PendingRead, spanOf, visible } from './protected-read.ts';
import { castType, quoteIdentifier } from './quote.ts';
import { qualifyName, readRelation } from './read-relation.ts';
import type { ItemColumn } from './scope.ts';
import { isKeyword } from './source.ts';
import { refuse, type Walk } from './walk.ts';

/** TableLikeOption of the server (parsenodes.h): CONSTRAINTS, DEFAULTS, GENERATED, INDEXES and STATISTICS, which hold expressions. */
const LIKE_EXPRESSIONS = 0b1101_1100;

/** Gives the columns that it makes. */
export function tableLike(walk: Walk, like: NodeOf<'TableLikeClause'>): readonly ItemColumn[] {
	const range = like.relation;
	if (range === undefined) throw refuse(walk, 'CREATE TABLE ... LIKE without a relation');
	const relation = resolveRelation(walk, range);
	const item = readRelation(walk, range, null);
	mayCopy(walk, like);
	const read = walk.reads.get(item);
	if (read !== undefined) {
		walk.pending.splice(walk.pending.indexOf(read), 1);
		if (read.protection.columns.every((column) => visible(walk, column))) qualifyName(walk, range, relation);
		else writeOut(walk, like, read);
	}
	for (const { type } of item.columns ?? []) madeColumn(walk, type, range.location);
	return item.columns ?? [];
}

/** Columns that are hidden stay so: those that are not are written in the place of the clause, as plain LIKE copies them. */
function writeOut(walk: Walk, like: NodeOf<'TableLikeClause'>, read: PendingRead): void {
	const { tokens } = walk.source;
	const at = walk.source.tokenAt(like.relation?.location ?? 0);
	const word = tokens[at - 1];
	const span = like.relation === undefined ? null : spanOf(walk, like.relation);
	const next = tokens.find(({ start }) => span !== null && start >= span.end);
	if (
		span === null ||
		word === undefined ||
		!isKeyword(word, 'like') ||
		['including', 'excluding'].some((option) => isKeyword(next, option))
	) {
		const words = `LIKE ... INCLUDING of ${displayRelation(read.relation)}, which has columns that may not be seen,`;
		throw refuse(walk, words, like.relation?.location, 'Leave INCLUDING out: the columns that may be seen are copied.');
	}
	const columns = read.protection.columns
		.filter((column) => visible(walk, column))
		.map(({ column: { name, type, collation, notNull } }) => {
			const collate = collation === null ? '' : ` COLLATE ${collation}`;
			return `${quoteIdentifier(name)} ${castType(type)}${collate}${notNull ? ' NOT NULL' : ''}`;
		});
	walk.edits.replace(word.start, span.end, columns.join(', '));
}

/** What LIKE copies runs for whoever writes the copy: no more than for who may write what it is copied from. */
function mayCopy(walk: Walk, like: NodeOf<'TableLikeClause'>): void {
	if (like.relation === undefined || ((like.options ?? 0) & LIKE_EXPRESSIONS) === 0) return;
	const relation = resolveRelation(walk, like.relation);
	const { access } = walk.context;
	if (relation.copiesCode !== true || isOwnTemporary(walk, relation)) return;
	if (access.onRelation(relation.schema, relation.name, 'insert').allowed) return;
	const words = `copying defaults, checks or indexes of ${displayRelation(relation)}, which call functions,`;
	throw refuse(
		walk,
		words,
		like.relation.location,
		'Leave INCLUDING out. A rule that allows insert on it would allow that.',
	);
}
