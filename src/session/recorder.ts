/** Puts statements on record before they may go: one record for each, and the run that they begin. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { AuditParameter, StatementRecord } from '../audit/event.ts';
import { GatewayError } from '../errors.ts';
import type { AuditReceipt, Decision, StatementDecision } from '../stages.ts';
import type { Bind } from '../wire/frontend.ts';
import type { Conversation } from './conversation.ts';
import type { Prepared } from './prepared.ts';
import { Run } from './run.ts';

/** What is the same for all statements of a recording. */
export type Protocol = StatementRecord['protocol'];
export type Phase = StatementRecord['phase'];

/** Statements of one text that are handed to the log before others are served. */
const AT_ONCE_MAX = 500;

/**
 * Records every statement of the decision and answers the run at once. `go` gets the last receipt when all are written.
 * If one cannot be written, nothing goes and the session ends.
 */
export function record(
	conversation: Conversation,
	decision: Decision,
	protocol: Protocol,
	phase: Phase,
	parameters: readonly AuditParameter[] | undefined,
	go: (receipt: AuditReceipt) => void,
): Run {
	const { statements } = decision;
	const run = new Run(decision, 0);
	const receipts: AuditReceipt[] = [];
	const done = (error: GatewayError | null, receipt: AuditReceipt | null): void => {
		if (receipt === null) {
			failRecord(conversation, error);
			return;
		}
		receipts.push(receipt);
		if (receipts.length < statements.length) return;
		run.begin(conversation.services.audit, receipts, performance.now());
		if (conversation.ended) run.endAll(conversation.services.audit, 'unknown', null);
		else {
			go(receipt);
			if (conversation.stalled) conversation.pump();
		}
	};
	const { transaction, info: session, services, place: backend } = conversation;
	const { policyRevision } = conversation;
	const text = decision.sql;
	if (decision.error?.cause !== undefined) tellFault(conversation, decision.error);
	const accept = (statement: StatementDecision): void => {
		conversation.statement += 1;
		const number = conversation.statement;
		const told = {
			session,
			transaction,
			statement: number,
			protocol,
			phase,
			decision: statement,
			policyRevision,
			backend,
			text,
		};
		services.pipeline.accept(parameters === undefined ? told : withParameters(told, parameters), done);
	};
	if (statements.length <= AT_ONCE_MAX) for (const statement of statements) accept(statement);
	else conversation.wait(inParts(statements, accept));
	return run;
}

/** The client learns that its statement could not be analysed, and the operator why. */
function tellFault({ services, info }: Conversation, error: GatewayError): void {
	const level = error.sqlstate === 'XX000' ? 'error' : 'warn';
	services.log[level]({ session: info.id, error }, 'a statement could not be analysed and was refused');
}

/** The session's next message waits until all are handed over, so that its records come behind these. */
async function inParts(
	statements: readonly StatementDecision[],
	accept: (statement: StatementDecision) => void,
): Promise<void> {
	for (let at = 0; at < statements.length; at += AT_ONCE_MAX) {
		if (at > 0) await nextTurn();
		for (const statement of statements.slice(at, at + AT_ONCE_MAX)) accept(statement);
	}
}

function withParameters(record: StatementRecord, parameters: readonly AuditParameter[]): StatementRecord {
	const { session, transaction, statement, protocol, phase, decision, policyRevision, backend = null, text } = record;
	return { session, transaction, statement, protocol, phase, decision, policyRevision, backend, text, parameters };
}

/** The values of a Bind for the record; those that meet a protected column, or may, are not written down. */
export function boundParameters(bind: Bind, prepared: Prepared): readonly AuditParameter[] | undefined {
	const { params, paramFormats } = bind;
	if (params.length === 0) return undefined;
	const statement = prepared.decision.statements[0];
	const shown = statement?.shownParameters;
	const redact = statement?.touchesProtected === true;
	const types = prepared.knownTypes ?? prepared.paramTypes;
	return params.map((value, index) => ({
		oid: types[index] ?? 0,
		format: formatOf(paramFormats, index),
		value,
		redact: shown === undefined ? redact : !shown.has(index + 1),
	}));
}

/** No formats: all text; one: for all. */
export function formatOf(formats: readonly number[], index: number): 0 | 1 {
	const format = formats.length === 1 ? formats[0] : formats[index];
	return format === 1 ? 1 : 0;
}

function failRecord(conversation: Conversation, error: GatewayError | null): void {
	if (conversation.ended) return;
	const cause = error ?? new GatewayError('58030', 'the audit log gave no receipt');
	const fatal = new GatewayError(cause.sqlstate, cause.message, { severity: 'FATAL', cause });
	conversation.fail(fatal, 'audit log failed');
}
