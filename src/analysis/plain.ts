/** Errors and decisions in a form that can be copied from thread to thread, and back. */
import { inspect } from 'node:util';
import { GatewayError } from '../errors.ts';
import type { Edit, StatementDecision } from '../stages.ts';
import type { Part, PlainDecision, PlainError } from './messages.ts';

export function plainError(error: unknown): PlainError {
	if (!(error instanceof GatewayError)) return { message: error instanceof Error ? error.message : String(error) };
	const { message, sqlstate, severity, detail, hint, position, raisedBy, cause } = error;
	return {
		...{ message, sqlstate, severity },
		...(detail === undefined ? {} : { detail }),
		...(hint === undefined ? {} : { hint }),
		...(position === undefined ? {} : { position }),
		...(raisedBy === undefined ? {} : { raisedBy }),
		...(cause === undefined ? {} : { cause: inspect(cause) }),
	};
}

/** An error that was none of the gateway's is told as an internal one. */
export function gatewayError({ message, sqlstate, ...fields }: PlainError): GatewayError {
	return sqlstate === undefined
		? new GatewayError('XX000', 'the gateway could not analyse the statement, so it is refused', { cause: message })
		: new GatewayError(sqlstate, message, fields);
}

export function plainDecision(decision: StatementDecision): PlainDecision {
	const { error, checks, rewritten, ...rest } = decision;
	return {
		...rest,
		rewritten: rewritten === decision.sql ? null : rewritten,
		error: error === undefined ? null : plainError(error),
		checks: checks.map((check) => ({ nonce: check.nonce, error: plainError(check.error) })),
	};
}

export function decisionOf({ error, checks, rewritten, ...rest }: PlainDecision): StatementDecision {
	return {
		...rest,
		rewritten: rewritten ?? rest.sql,
		checks: checks.map((check) => ({ nonce: check.nonce, error: gatewayError(check.error) })),
		...(error === null ? {} : { error: gatewayError(error) }),
	};
}

export function plainEdits(edits: readonly Edit[]): Extract<Part, { type: 'edits' }> {
	const places = new Int32Array(2 * edits.length);
	for (const [i, { start, end }] of edits.entries()) places.set([start, end], 2 * i);
	return { type: 'edits', places, texts: edits.map(({ text }) => text) };
}

export function editsOf({ places, texts }: Extract<Part, { type: 'edits' }>): Edit[] {
	return texts.map((text, i) => ({ start: places[2 * i] ?? 0, end: places[2 * i + 1] ?? 0, text }));
}
