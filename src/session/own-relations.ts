/** Relations and routines that only this session sees, temporary or not yet committed: asked for through its own connection. */
import { loadRelations, loadRoutines, type RelationSearch } from '../pipeline.ts';
import type { CatalogConnection } from '../catalog/connection.ts';
import type { Relation, Routine } from '../catalog/snapshot.ts';
import type { Conversation } from './conversation.ts';
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
