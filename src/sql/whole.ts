/** One decision for a whole text of the decisions on its statements, or of the reason why it has none. */
import { GatewayError } from '../errors.ts';
import type { Decision, StatementDecision } from '../stages.ts';
import { applyEdits } from './edits.ts';

/** `rewritten`: the text with the edits in it, where that was made already. */
export type WholeOf = Pick<Decision, 'statements' | 'edits'> & { readonly rewritten?: string | undefined };

/** A denial of one statement denies all of the text, before any of it is forwarded. */
export function wholeOf(sql: string, { statements, edits, rewritten: made }: WholeOf, revision: string): Decision {
	const denied = statements.find((statement) => statement.effect === 'deny');
	if (denied !== undefined) {
		// A denial that has lost its reason, on the way from the thread say, is one all the same.
		const error = denied.error ?? new GatewayError('42501', 'the statement is not allowed through the gateway');
		return { effect: 'deny', sql, rewritten: sql, edits: [], statements, error, revision };
	}
	const rewritten = edits.length === 0 ? sql : (made ?? applyEdits(Buffer.from(sql, 'utf8'), edits));
	const effect = statements.some((statement) => statement.effect === 'mask') ? 'mask' : 'allow';
	return { effect, sql, rewritten, edits, statements, revision };
}

/** `node`: of the grammar, or what it is called that has none. */
export function refusal(sql: string, node: string, error: GatewayError, revision: string): Decision {
	const statement: StatementDecision = {
		effect: 'deny',
		node,
		sql,
		rewritten: sql,
		objects: [],
		rules: [],
		touchesProtected: false,
		checks: [],
		hidesRows: false,
		effects: [],
		error,
	};
	return { effect: 'deny', sql, rewritten: sql, edits: [], statements: [statement], error, revision };
}
