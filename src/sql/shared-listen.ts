/** LISTEN for whoever shares a listener: what runs on the server in its place answers and fails as it would, and leaves nothing there. */
import type { Decision, Edit, SessionEffect, StatementDecision } from '../stages.ts';
import { applyEdits } from './edits.ts';
import { isKeyword, SourceText } from './source.ts';

/**
 * LISTEN becomes UNLISTEN of the same channel, which does nothing on a connection that listens to nothing. Both take no snapshot,
 * fail in a failed transaction alike, and are fine in one that is read only; in recovery only LISTEN is refused (utility.c,
 * ClassifyUtilityCommandAsReadOnly), so there it has to stay what it is. Its effect is marked as `shared`. The decision itself
 * where it has neither, or one that is not found in the text.
 */
export function sharedListen(decision: Decision): Decision {
	const { statements } = decision;
	if (decision.effect === 'deny' || !statements.some(isEither)) return decision;
	const count = statements.filter(isListen).length;
	const places = count === 0 ? [] : placesOf(decision.sql);
	if (places.length !== count) return decision;
	const added = places.map((at): Edit => ({ start: at, end: at, text: 'UN' }));
	const edits = [...decision.edits, ...added].toSorted((a, b) => a.start - b.start || a.end - b.end);
	const rewritten = applyEdits(Buffer.from(decision.sql, 'utf8'), edits);
	return { ...decision, edits, rewritten, statements: decision.statements.map(shared) };
}

function isEither({ node }: StatementDecision): boolean {
	return node === 'ListenStmt' || node === 'UnlistenStmt';
}

function isListen({ node }: StatementDecision): boolean {
	return node === 'ListenStmt';
}

/** Where each statement that is a LISTEN begins: the word can begin no other, and stands at the beginning of nothing else. */
function placesOf(sql: string): number[] {
	const { tokens } = new SourceText(sql);
	return tokens
		.filter((token, i) => isKeyword(token, 'listen') && (i === 0 || tokens[i - 1]?.text === ';'))
		.map(({ start }) => start);
}

function shared(statement: StatementDecision): StatementDecision {
	if (!isEither(statement)) return statement;
	const effects = statement.effects.flatMap((effect): SessionEffect[] => {
		if (effect.type === 'listen') return [{ ...effect, shared: true }];
		return effect.type === 'leaves' && effect.what === 'listen' ? [] : [effect];
	});
	if (!isListen(statement)) return { ...statement, effects };
	const [at = 0] = placesOf(statement.rewritten);
	const rewritten = applyEdits(Buffer.from(statement.rewritten, 'utf8'), [{ start: at, end: at, text: 'UN' }]);
	return { ...statement, effects, rewritten };
}
