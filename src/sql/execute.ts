/** EXECUTE: what it runs is what was prepared, so that decision has to be there, and to hold still. */
import { GatewayError } from '../errors.ts';
import type { Decision, StatementDecision } from '../stages.ts';

/** A statement that the session prepared, with the decision on the text it was prepared in. */
interface Prepared {
	readonly decision: Decision;
	readonly statement: StatementDecision;
}

/**
 * The decision on an EXECUTE with what it runs in it: its objects, rules, masks and checks. Refused (26000) when the
 * gateway knows of no such statement, and (42501) when policy, catalogue or names have changed since so that another text
 * would have to run. `renew`: the decision of now on what was prepared then.
 */
export function executed(
	decision: StatementDecision,
	prepared: ((name: string) => Prepared | undefined) | undefined,
	renew: (before: Prepared) => StatementDecision | undefined,
): StatementDecision {
	const execute = decision.effects.find((effect) => effect.type === 'execute');
	if (execute === undefined || execute.type !== 'execute' || decision.effect === 'deny') return decision;
	const before = prepared?.(execute.name);
	if (before === undefined) {
		return refused(decision, new GatewayError('26000', `prepared statement "${execute.name}" does not exist`));
	}
	const statement = renew(before);
	if (statement === undefined || statement.effect === 'deny' || statement.rewritten !== before.statement.rewritten) {
		const error = new GatewayError(
			'42501',
			`prepared statement "${execute.name}" was decided under another policy, catalogue or search_path`,
			{
				hint: 'DEALLOCATE it and PREPARE it again.',
			},
		);
		return refused(decision, error);
	}
	// The plan was decided to be shown without its estimates only if it was known by then.
	if (decision.node === 'ExplainStmt' && statement.touchesProtected && !decision.touchesProtected) {
		const words = 'EXPLAIN EXECUTE of a statement on protected relations is not allowed through the gateway';
		return refused(decision, new GatewayError('42501', words, { hint: 'EXPLAIN the statement itself.' }));
	}
	return {
		...decision,
		executes: statement.sql,
		executesRewritten: statement.executesRewritten ?? statement.rewritten,
		...(statement.cursor === undefined ? {} : { cursor: statement.cursor }),
		effect: statement.effect,
		objects: [...decision.objects, ...statement.objects],
		rules: [...decision.rules, ...statement.rules],
		touchesProtected: decision.touchesProtected || statement.touchesProtected,
		checks: [...decision.checks, ...statement.checks],
		hidesRows: decision.node !== 'ExplainStmt' && statement.hidesRows,
		effects: [...decision.effects, ...statement.effects.filter((effect) => effect.type !== 'prepare')],
	};
}

function refused(decision: StatementDecision, error: GatewayError): StatementDecision {
	return { ...decision, effect: 'deny', effects: [], error };
}
