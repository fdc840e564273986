/** The cursor of the session that a statement declares, fetches from or closes. */
import type { Node } from '@pgsql/types';
import type { SessionEffect, StatementDecision } from '../stages.ts';
import { as } from './nodes.ts';

/** CURSOR_OPT_HOLD (parsenodes.h). */
const HOLD = 0x20;

/** For the record of it. A member of StatementDecision, or nothing. */
export function cursorOf(node: Node): Pick<StatementDecision, 'cursor'> {
	const name = as(node, 'DeclareCursorStmt')?.portalname ?? as(node, 'FetchStmt')?.portalname;
	return name === undefined ? {} : { cursor: name };
}

/** Which cursors there are behind it, if it succeeds. */
export function cursorEffects(node: Node): SessionEffect[] {
	const declared = as(node, 'DeclareCursorStmt');
	if (declared !== undefined) {
		const { portalname: name = '', options = 0 } = declared;
		return [{ type: 'declare', name, holds: (options & HOLD) !== 0 }];
	}
	const closed = as(node, 'ClosePortalStmt');
	if (closed !== undefined) return [{ type: 'close', name: closed.portalname ?? null }];
	return as(node, 'DiscardStmt')?.target === 'DISCARD_ALL' ? [{ type: 'close', name: null }] : [];
}
