/** What a client is told of the backend's errors and notices: as they came, or without what could tell protected values. */
import { GatewayError } from '../errors.ts';
import type { Decision } from '../stages.ts';
import { decodeBackend, type ResponseFields } from '../wire/backend.ts';
import { encodeErrorResponse, encodeGatewayError, encodeNoticeResponse } from '../wire/encode.ts';
import type { Conversation } from './conversation.ts';
import type { Expected } from './replies.ts';
import { ownStatements, sharedNames } from './virtual-names.ts';

/** An error of the backend, and what the client gets for it. */
export interface ServerError {
	readonly sqlstate: string;
	/** As it came. */
	readonly fields: ResponseFields;
	/** FATAL and PANIC: the backend closes the connection after it. */
	readonly fatal: boolean;
	/** Null: the message as it came. */
	readonly forClient: Buffer | null;
}

export function errorForClient(conversation: Conversation, expected: Expected | undefined, raw: Buffer): ServerError {
	const fields = fieldsOf(raw);
	const severity = fields.get('V') ?? fields.get('S') ?? '';
	const fatal = severity === 'FATAL' || severity === 'PANIC';
	const sqlstate = fields.get('C') ?? 'XX000';
	if (expected !== undefined && expected.denial !== null && !fatal) {
		const told = isAborted(conversation, expected) ? aborted : expected.denial;
		return { sqlstate: expected.denial.sqlstate, fields, fatal, forClient: encodeGatewayError(told) };
	}
	const { overdue } = conversation;
	if (overdue !== null && overdue.segment === expected?.segment && sqlstate === overdue.error.sqlstate) {
		return { sqlstate, fields, fatal, forClient: encodeGatewayError(overdue.error) };
	}
	const told = named(conversation, expected, tell(conversation, expected, fields));
	return { sqlstate, fields, fatal, forClient: told === fields ? null : encodeErrorResponse(told) };
}

const aborted = new GatewayError(
	'25P02',
	'current transaction is aborted, commands ignored until end of transaction block',
);

/** In a failed transaction the server reads a text for its grammar, and then looks no further. */
function isAborted(conversation: Conversation, { run }: Expected): boolean {
	return conversation.status === 'E' && run !== null && run.decision.statements[0]?.node !== 'Unparsable';
}

/** Null: the message as it came. */
export function noticeForClient(conversation: Conversation, raw: Buffer): Buffer | null {
	const { head } = conversation.replies;
	if (!conversation.touchedProtected && (head === undefined || !isChanged(decisionOf(head)))) return null;
	const fields = fieldsOf(raw);
	const told = tell(conversation, head, fields);
	return told === fields ? null : encodeNoticeResponse(told);
}

/** The same map: nothing to hide. */
function tell(conversation: Conversation, expected: Expected | undefined, fields: ResponseFields): ResponseFields {
	const { pipeline } = conversation.services;
	const decision = expected === undefined ? null : decisionOf(expected);
	const told = decision === null ? fields : pipeline.clientFields(fields, decision, statementIndex(expected, decision));
	if (told !== fields || !conversation.touchedProtected) return told;
	// Deferred constraints and triggers of an earlier statement speak up at the end of the transaction.
	const ends = decision === null || endsTransaction(decision) || isLastOfText(conversation, expected, decision);
	return ends ? pipeline.redactedFields(fields) : fields;
}

/** The client's name of a statement in place of that which the backend has it under. */
function named({ loans }: Conversation, expected: Expected | undefined, fields: ResponseFields): ResponseFields {
	const message = fields.get('M') ?? '';
	const prepared = expected?.prepared ?? null;
	if (loans === null || prepared === null || !message.includes(`"${ownStatements}`)) return fields;
	return new Map(fields).set(
		'M',
		message.replace(sharedNames, () => `"${prepared.name}"`),
	);
}

function decisionOf(expected: Expected): Decision | null {
	return expected.run?.decision ?? expected.prepared?.decision ?? null;
}

function isChanged(decision: Decision | null): boolean {
	return decision !== null && (decision.effect === 'mask' || decision.rewritten !== decision.sql);
}

function statementIndex(expected: Expected | undefined, decision: Decision): number {
	return Math.min(expected?.run?.index ?? 0, Math.max(0, decision.statements.length - 1));
}

function endsTransaction({ statements }: Decision): boolean {
	return statements.some(({ node, effects, executes }) => {
		if (node === 'TransactionStmt' || node === 'ConstraintsSetStmt') return true;
		// It may run one of these that was given by Parse.
		if (node !== 'ExecuteStmt') return false;
		return executes === undefined || /constraints/i.test(executes) || effects.some(({ type }) => type === 'commit');
	});
}

/** Outside of a transaction block a text is one transaction, which ends before its last statement is said to be done. */
function isLastOfText({ status }: Conversation, expected: Expected | undefined, { statements }: Decision): boolean {
	const { length } = statements;
	return expected?.kind === 'query' && status === 'I' && length > 1 && (expected.run?.index ?? 0) >= length - 1;
}

function fieldsOf(raw: Buffer): ResponseFields {
	const message = decodeBackend(raw);
	if (message.type === 'ErrorResponse' || message.type === 'NoticeResponse') return message.fields;
	throw new GatewayError('08P01', 'malformed error message from the backend', { severity: 'FATAL' });
}
