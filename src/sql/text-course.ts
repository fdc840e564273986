/** How names change in the course of a text: what its statements make is there for those after it, what a rollback takes back is not. */
import type { Node } from '@pgsql/types';
import { as } from './nodes.ts';
import { pathSet } from './path-change.ts';
import type { AnalysisContext } from './walk.ts';

/** What names mean at one place of a text. */
interface Place {
	readonly known: AnalysisContext;
	/** search_path once the transaction is committed, which ends SET LOCAL. */
	readonly committedPath: readonly string[];
}

/** Where a text has come to. */
export interface Course {
	readonly at: Place;
	/** What a ROLLBACK brings back: where the transaction under way began, which is at the text's own start at the latest. */
	readonly begun: Place;
	/** Those of the text alone, the latest last. */
	readonly savepoints: readonly { readonly name: string; readonly at: Place }[];
}

/** At the start of a text that is not sent within a transaction, or takes none back as a whole (`movedNames`). */
export function courseFrom(known: AnalysisContext): Course {
	const at = { known, committedPath: known.searchPath };
	return { at, begun: at, savepoints: [] };
}

/** The same, once a statement has made or dropped something. */
export function withKnown(course: Course, known: AnalysisContext): Course {
	return { ...course, at: { ...course.at, known } };
}

/** After SET search_path, and what begins, ends and takes back transactions and parts of them. */
export function following(course: Course, node: Node): Course {
	const { at, begun, savepoints } = course;
	const set = pathSet(node);
	if (set !== undefined) {
		const known = { ...at.known, searchPath: set.path };
		return { ...course, at: { known, committedPath: set.local ? at.committedPath : set.path } };
	}
	const { kind, savepoint_name: name = '' } = as(node, 'TransactionStmt') ?? {};
	const index = savepoints.findLastIndex((savepoint) => savepoint.name === name);
	switch (kind) {
		case 'TRANS_STMT_COMMIT': {
			const committed = { ...at, known: { ...at.known, searchPath: at.committedPath } };
			return { at: committed, begun: committed, savepoints: [] };
		}
		case 'TRANS_STMT_ROLLBACK':
			return { at: begun, begun, savepoints: [] };
		case 'TRANS_STMT_SAVEPOINT':
			return { ...course, savepoints: [...savepoints, { name, at }] };
		case 'TRANS_STMT_RELEASE':
			return index === -1 ? course : { ...course, savepoints: savepoints.slice(0, index) };
		case 'TRANS_STMT_ROLLBACK_TO':
			return { ...course, at: savepoints[index]?.at ?? at, savepoints: savepoints.slice(0, index + 1) };
		default:
			return course;
	}
}
