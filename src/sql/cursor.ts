/** The cursor of the session that a statement declares or fetches from, for the record of it. */
import type { Node } from '@pgsql/types';
import type { StatementDecision } from '../stages.ts';
import { as } from './nodes.ts';

/** A member of StatementDecision, or nothing. */
export function cursorOf(node: Node): Pick<StatementDecision, 'cursor'> {
	const name = as(node, 'DeclareCursorStmt')?.portalname ?? as(node, 'FetchStmt')?.portalname;
	return name === undefined ? {} : { cursor: name };
}
