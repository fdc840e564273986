/** The simple protocol: Query, and FunctionCall, which is answered in the same way (protocol, "Simple Query", "Function Call"). */
import { GatewayError } from '../errors.ts';
import { movedNames } from '../pipeline.ts';
import type { AuditReceipt, Decision } from '../stages.ts';
import { encodeGatewayError, encodeQuery, encodeReadyForQuery } from '../wire/encode.ts';
import type { FunctionCall, Query } from '../wire/frontend.ts';
import { type Conversation, type Progress, refusedText } from './conversation.ts';
import { fetchable } from './cursors.ts';
import { formatOf, type Protocol, record } from './recorder.ts';
import type { AuditParameter } from '../audit/event.ts';
import { Expected } from './replies.ts';
import { decideReplication } from './replication.ts';
import type { Run } from './run.ts';
import { makeReal, namesSettled } from './virtual.ts';

const emptyQuery = encodeQuery('');

const noTypes: readonly number[] = [];

interface Recording {
	readonly decision: Decision;
	readonly protocol: Protocol;
	readonly parameters?: readonly AuditParameter[];
}

/** Query: decided as a whole before any of it is forwarded. */
export function handleQuery(conversation: Conversation, message: Query): Progress {
	const command = replicationCommand(conversation, message.sql);
	if (command === null && !conversation.settled()) return 'again';
	const decided = command ?? conversation.decide(message.sql, noTypes);
	if (decided === null) return 'again';
	const error = decided.effect === 'deny' ? null : fetchable(conversation, decided);
	if (error === 'again') return 'again';
	const decision = error === null ? withNamesThatHold(conversation, decided) : denied(decided, error);
	if (conversation.loans !== null && !namesSettled(conversation, decision)) {
		conversation.drain();
		return 'again';
	}
	const recording: Recording = { decision, protocol: 'simple' };
	if (decision.effect === 'deny') deny(conversation, recording);
	else {
		const unheard = conversation.loans?.subscriptions.prepare(decision) ?? null;
		if (unheard === 'wait') return 'again';
		if (unheard !== null) return refuseQuery(conversation, unheard);
		const expected = conversation.expectRun(command === null ? 'query' : 'replication', decision);
		if (!becomeReal(conversation, decision)) return 'done';
		dropUnnamed(conversation, expected);
		send(conversation, recording, queryBytes(message, decision), expected);
	}
	conversation.endSegment();
	return 'done';
}

/** A text of several statements is refused where names would not mean to the later ones what they meant when it was decided. */
function withNamesThatHold(conversation: Conversation, decision: Decision): Decision {
	if (decision.effect === 'deny' || decision.statements.length < 2) return decision;
	if (conversation.context().access.unrestricted) return decision;
	const { names, catalogDirty } = conversation;
	// What a ROLLBACK takes back of a transaction that has changed neither is no name.
	const error = movedNames(decision, { dirty: names.dirty, inTransaction: names.dirty || catalogDirty });
	return error === undefined ? decision : denied(decision, error);
}

function denied(decision: Decision, error: GatewayError): Decision {
	return { ...decision, effect: 'deny', rewritten: decision.sql, edits: [], error };
}

/** The decision on what is no SQL on a replication connection. Null: it is SQL. */
function replicationCommand(conversation: Conversation, sql: string): Decision | null {
	const { replication } = conversation;
	return replication === null ? null : decideReplication(replication, conversation.context().access, sql);
}

/** FunctionCall: needs `execute` on the function. */
export function handleFunctionCall(conversation: Conversation, message: FunctionCall): Progress {
	if (!conversation.settled()) return 'again';
	const decision = conversation.decideCall(message.oid);
	if (decision === null) return 'again';
	const redact = decision.statements[0]?.touchesProtected === true;
	const parameters = message.args.map((value, index) => ({
		oid: 0,
		format: formatOf(message.argFormats, index),
		value,
		redact,
	}));
	const recording: Recording = { decision, protocol: 'function-call', parameters };
	if (decision.effect === 'deny') deny(conversation, recording);
	else send(conversation, recording, message.raw, conversation.expectRun('function-call', decision));
	conversation.endSegment();
	return 'done';
}

/** A Query that cannot be read (its body is malformed, or no UTF-8): fails as a statement would, without a record. */
export function refuseQuery(conversation: Conversation, error: GatewayError): Progress {
	if (canAnswer(conversation)) conversation.client.write(refusal(error));
	else {
		conversation.outbox.forwardControl(encodeQuery(refusedText(conversation, error)));
		const expected = new Expected('query', conversation.segment);
		expected.denial = error;
		conversation.replies.push(expected);
	}
	conversation.endSegment();
	return 'done';
}

function recordAll(conversation: Conversation, recording: Recording, go: (receipt: AuditReceipt) => void): Run {
	const { decision, protocol, parameters } = recording;
	return record(conversation, decision, protocol, 'execute', parameters, go);
}

/** Nothing but white space and comments has no record: then nothing at all is what is sent. */
function queryBytes(message: Query, decision: Decision): Buffer {
	if (decision.statements.length === 0) return emptyQuery;
	return decision.rewritten === message.sql ? message.raw : encodeQuery(decision.rewritten);
}

/** Transaction mode: what the text names by SQL has to have that name on the backend. False: it was refused. */
function becomeReal(conversation: Conversation, decision: Decision): boolean {
	const { loans, outbox } = conversation;
	if (loans === null) return true;
	const before = makeReal(conversation, loans, decision);
	if (before instanceof GatewayError) {
		refuseQuery(conversation, before);
		return false;
	}
	for (const bytes of before) outbox.forwardControl(bytes);
	return true;
}

function send(conversation: Conversation, recording: Recording, bytes: Buffer, expected: Expected): void {
	const { decision } = recording;
	if (decision.statements.length === 0) conversation.outbox.forwardControl(bytes);
	else {
		const held = conversation.outbox.holdStatement(bytes);
		expected.run = recordAll(conversation, recording, (receipt) => held.forwardStatement(receipt));
	}
	conversation.followBlocks(decision);
	(conversation.loans ?? conversation.remains)?.note(decision);
	conversation.cursors.note(decision, noTypes, conversation.policyRevision);
	conversation.loans?.subscriptions.note(decision);
	conversation.replies.push(expected);
}

/**
 * A denial, recorded before it is answered. Where the backend has nothing to do and no transaction is open it is
 * answered here; otherwise the backend is made to fail in its place.
 */
function deny(conversation: Conversation, recording: Recording): void {
	const { decision } = recording;
	const error = decision.error ?? new GatewayError('42501', 'statement refused by the gateway');
	const { outbox, replies, services } = conversation;
	if (canAnswer(conversation)) {
		loseUnnamed(conversation, recording);
		const held = outbox.holdStatement(Buffer.alloc(0));
		const run = recordAll(conversation, recording, (receipt) => {
			held.answerInstead(receipt, () => {
				run.endAll(services.audit, 'denied', error.sqlstate);
				conversation.client.write(refusal(error));
				queueMicrotask(() => conversation.loans?.rest());
			});
		});
		return;
	}
	const held = outbox.holdStatement(encodeQuery(refusedText(conversation, error)));
	const expected = new Expected('query', conversation.segment);
	expected.denial = error;
	expected.run = recordAll(conversation, recording, (receipt) => held.forwardStatement(receipt));
	dropUnnamed(conversation, expected);
	replies.push(expected);
}

/** The backend keeps its unnamed statement, but for the client it is gone with any Query, whatever becomes of that. */
function loseUnnamed({ statements, segment }: Conversation, { protocol }: Recording): void {
	if (protocol === 'simple' && statements.has('')) statements.confirm(statements.change('', undefined, segment));
}

/** Nothing is outstanding and the backend is outside of any transaction, an implicit one included. */
function canAnswer(conversation: Conversation): boolean {
	return conversation.replies.length === 0 && conversation.status === 'I' && !conversation.segmentOpen;
}

/** Ready follows at once: outside of a transaction an error leaves nothing behind. */
function refusal(error: GatewayError): Buffer {
	return Buffer.concat([encodeGatewayError(error), encodeReadyForQuery('I')]);
}

/** A Query destroys the unnamed statement and the unnamed portal. */
function dropUnnamed(conversation: Conversation, expected: Expected): void {
	const { statements, portals, segment, loans } = conversation;
	if (loans !== null) loans.backend.unnamed = null;
	if (statements.has('')) expected.statementChange = statements.change('', undefined, segment);
	if (portals.has('')) expected.portalChange = portals.change('', undefined, segment);
}
