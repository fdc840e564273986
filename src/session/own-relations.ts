/** Relations and routines that only this session sees, temporary or not yet committed: asked for through its own connection. */
import { loadRelations, loadRoutines, type RelationSearch } from '../pipeline.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { CatalogConnection } from '../catalog/connection.ts';
import type { CatalogSnapshot, Relation, Routine } from '../catalog/snapshot.ts';
import type { StatementDecision } from '../stages.ts';
import type { Conversation } from './conversation.ts';
import type { Altered } from './services.ts';
import { askText, type AnswerRows, Question } from './question.ts';

/**
 * Looks for relations as the session's transaction sees them. Finds nothing where the session can't be asked: in a
 * pipeline (the question would commit it), in one that failed (the question would be skipped), in a failed transaction,
 * during a COPY. The client's messages must be held back.
 */
export function lookUp(conversation: Conversation, search: RelationSearch): Promise<readonly Relation[]> {
	return seen(conversation, (connection, inTransaction) => {
		// Whether the session sees shards is for its own settings to say; what protects them is not.
		const { hasShards } = conversation.database.catalog.snapshot();
		return loadRelations(connection, search, inTransaction, hasShards);
	});
}

/** The same for routines of these names. */
export function lookUpRoutines(conversation: Conversation, names: readonly string[]): Promise<readonly Routine[]> {
	return seen(conversation, (connection, inTransaction) => loadRoutines(connection, names, inTransaction));
}

const ALTERING: ReadonlySet<string> = new Set(['alter', 'create', 'drop']);

/**
 * Relations that somebody else still sees as they were, when these objects have been altered, made or dropped in a transaction: those
 * of their names, with their partitions and children, whose columns change with theirs.
 */
export function alteredBy(objects: StatementDecision['objects'], catalog: Catalog): Altered['relations'] {
	const named = objects.filter(({ kind, action }) => kind === 'relation' && ALTERING.has(action));
	// While the catalogue is not known nothing is decided.
	const snapshot = named.length === 0 ? null : snapshotIn(catalog);
	if (snapshot === null) return named;
	const altered = new Set(named.flatMap(({ schema, name }) => snapshot.relation(schema, name) ?? []));
	for (const { children } of altered)
		for (const oid of children) {
			const child = snapshot.relationByOid(oid);
			if (child !== undefined) altered.add(child);
		}
	return [...altered];
}

function snapshotIn(catalog: Catalog): CatalogSnapshot | null {
	try {
		return catalog.snapshot();
	} catch {
		return null;
	}
}

async function seen<T>(
	conversation: Conversation,
	load: (connection: CatalogConnection, inTransaction: boolean) => Promise<readonly T[]>,
): Promise<readonly T[]> {
	if (conversation.segmentOpen) return [];
	const quiet = await conversation.replies.whenEmpty();
	if (!quiet || conversation.ended || conversation.status === 'E' || conversation.replies.skipping) return [];
	const connection = { query: (sql: string) => ask(conversation, sql) };
	try {
		return await load(connection, conversation.status === 'T');
	} catch {
		// The statement is refused for the name that was not found; what is wrong with the connection shows by itself.
		return [];
	}
}

/** Asks between two segments, when nothing is outstanding. Rejects with what went wrong. */
export function ask(conversation: Conversation, sql: string): Promise<AnswerRows> {
	return new Promise((resolve, reject) => {
		const question = new Question((rows, error) => {
			if (rows === null) reject(error ?? new Error('no answer'));
			else resolve(rows);
		});
		const { bytes, expected } = askText(question, conversation.segment, sql);
		conversation.loseUnnamed();
		conversation.outbox.forwardControl(bytes);
		for (const one of expected) conversation.replies.push(one);
		conversation.outbox.flush();
	});
}
