/** What the backend's answers do to the session: outcomes for the audit log, names, portals, transaction, settings. */
import { GatewayError } from '../errors.ts';
import { statementName } from '../wire/frontend.ts';
import { decodeBackend, type TransactionStatus } from '../wire/backend.ts';
import type { SessionEffect, StatementDecision } from '../stages.ts';
import type { Outcome } from '../audit/event.ts';
import type { Conversation } from './conversation.ts';
import { alteredBy } from './own-relations.ts';
import { afterPrepare, changesNames, unplaced } from './prepared.ts';
import type { Expected } from './replies.ts';
import type { ServerError } from './responses.ts';
import type { Run } from './run.ts';
import { outdate } from './virtual.ts';

/** CommandComplete (`tag`) or PortalSuspended (null) of the statement at work. Answers what the client gets for it; null: as it came. */
export function afterCommand(conversation: Conversation, run: Run, tag: string | null): Buffer | null {
	const { statement } = run;
	// What succeeds in a failed transaction is its end, or a ROLLBACK TO.
	if (conversation.status === 'E') conversation.status = 'T';
	conversation.names.touched();
	if (statement !== undefined && statement.effects.length > 0) {
		for (const effect of statement.effects) follow(conversation, effect, run);
		const told = tag === null ? null : (conversation.loans?.subscriptions.completed(statement, tag) ?? null);
		if (told !== null) {
			run.end(conversation.services.audit, 'success', null, told.tag);
			return told.bytes;
		}
	}
	if (tag !== null) run.end(conversation.services.audit, 'success', null, tag);
	return null;
}

/** The message was done: names mean what it made of them. */
export function confirm(conversation: Conversation, expected: Expected): void {
	const { statementChange, portalChange, shared } = expected;
	if (shared !== null) shared.sure = true;
	if (statementChange !== null) conversation.statements.confirm(statementChange);
	if (portalChange === null) return;
	const replaced = portalChange.previous?.value;
	if (replaced !== undefined) closePortal(conversation, replaced.run);
	conversation.portals.confirm(portalChange);
	if (expected.unsettles && expected.portal !== null && expected.kind === 'bind') conversation.names.poised();
}

/** A portal is gone: if it was only partly run, that was all of it. */
export function closePortal(conversation: Conversation, run: Run): void {
	run.endAll(conversation.services.audit, run.suspended ? 'success' : 'cancelled', null);
}

/** ReadyForQuery. `expected`: what it ends; null when it came for a Sync that the backend was expected to ignore. */
export function ready(conversation: Conversation, expected: Expected | null, status: TransactionStatus): void {
	const { replies, services } = conversation;
	const idle = status === 'I';
	conversation.status = status;
	conversation.names.ready(idle);
	if (expected !== null) {
		if (expected.run !== null) expected.run.endAll(services.audit, 'success', null);
		// A Query that fails early enough leaves the unnamed portal; believing in it is harmless, the server knows better.
		if (expected.failed && expected.portalChange !== null) {
			conversation.portals.undo(expected.portalChange);
			expected.portalChange = null;
		}
		confirm(conversation, expected);
		expected.finishQuestion(replies.head);
	}
	if (idle) {
		if (conversation.catalogDirty) {
			conversation.committedDdl();
			conversation.names.forgetOwn();
		}
		const segment = expected === null ? (replies.head?.segment ?? conversation.segment) - 1 : expected.segment;
		if (conversation.portals.size > 0) {
			conversation.portals.dropUpTo(segment, (portal) => closePortal(conversation, portal.run));
		}
	}
	conversation.loans?.subscriptions.readyForQuery(status);
	if (replies.length > 0) return;
	conversation.inBlock = !idle;
	if (idle && !conversation.segmentOpen && conversation.outbox.empty) conversation.cursors.rest();
	if (idle && !conversation.segmentOpen && conversation.outbox.empty) conversation.touchedProtected = false;
}

/** ErrorResponse while `expected` was at the head. True when the client is to see it. */
export function fail(conversation: Conversation, expected: Expected | undefined, error: ServerError): boolean {
	const { replies, services } = conversation;
	const { audit } = services;
	if (error.fatal) conversation.backendSaidWhy = true;
	conversation.loans?.subscriptions.failed();
	const cancelled = error.sqlstate === '57014';
	const status: Outcome['status'] = expected?.denial != null ? 'denied' : cancelled ? 'cancelled' : 'failure';
	if (expected === undefined) return true;
	if (error.sqlstate === '0A000' && conversation.loans !== null && expected.prepared !== null)
		outdate(conversation.loans, expected.prepared);
	expected.question?.fail(error.fields);
	expected.run?.end(audit, status, error.sqlstate, null);
	expected.run?.endAll(audit, status === 'denied' ? status : 'cancelled', status === 'denied' ? error.sqlstate : null);
	if (error.fatal) return true;
	if (expected.endsWithReady) {
		expected.failed = true;
		replies.failCopyIn();
		return expected.question === null;
	}
	const { statementChange } = expected;
	if (expected.dropsUnnamed && statementChange !== null) {
		conversation.statements.lose(statementChange);
		expected.statementChange = null;
	}
	replies.failSegment((skipped) => skip(conversation, skipped));
	expected.finishQuestion(replies.head);
	// A question that ends with a Sync of its own leaves no trace; one inside of the client's pipeline has failed that.
	return expected.question === null || replies.head?.question !== expected.question;
}

/** A ParameterStatus: the session follows what names and texts depend on, and ends where it could not follow. True: the client gets it. */
export function followParameter(conversation: Conversation, raw: Buffer): boolean {
	const message = decodeBackend(raw);
	if (message.type !== 'ParameterStatus') return true;
	const { name, value } = message;
	const { info, names, loans, remains, replies } = conversation;
	remains?.reported(name, value);
	if (name === 'search_path') names.report(value);
	else if (name === 'application_name') {
		if (info.application !== value) conversation.info = { ...info, application: value };
	} else if (!isSafeParameter(name, value)) {
		const words = `the backend reports ${name} = ${value}, with which the gateway cannot read statements as the server does`;
		throw new GatewayError('0A000', words, { severity: 'FATAL' });
	}
	// What a question of the gateway's own changes is told to the client when it is done, where it has not heard it.
	return loans === null || loans.reported(name, value, replies.head?.question == null);
}

/** The server reports the name as it was given, and compares names by their letters and digits alone; UNICODE is UTF8. */
function isReadable(encoding: string): boolean {
	return ['utf8', 'unicode', 'sqlascii'].includes(encoding.toLowerCase().replaceAll(/[^a-z0-9]/g, ''));
}

function isSafeParameter(name: string, value: string): boolean {
	switch (name) {
		case 'standard_conforming_strings':
			return value === 'on';
		case 'client_encoding':
		case 'server_encoding':
			return isReadable(value);
		default:
			return true;
	}
}

/** Never ran, because something before it in the pipeline failed (or it failed itself: then its run has ended). */
function skip(conversation: Conversation, skipped: Expected): void {
	const { statements, portals, services } = conversation;
	if (skipped.statementChange !== null) statements.undo(skipped.statementChange);
	if (skipped.portalChange !== null) portals.undo(skipped.portalChange);
	conversation.loans?.skipped(skipped);
	const denied = skipped.denial !== null;
	skipped.run?.endAll(services.audit, denied ? 'denied' : 'cancelled', null);
}

function follow(conversation: Conversation, effect: SessionEffect, run: Run): void {
	const { statements, segment } = conversation;
	switch (effect.type) {
		case 'set':
		case 'names-unknown':
			if (changesNames(effect)) conversation.names.changed();
			// ROLLBACK TO SAVEPOINT: what was made, altered or dropped since then is as it was.
			if (effect.type === 'names-unknown' && conversation.catalogDirty) altered(conversation, []);
			followReset(conversation, effect, run);
			return;
		case 'ddl':
			conversation.didDdl();
			altered(conversation, run.statement?.objects ?? []);
			if (effect.schema !== undefined) conversation.names.madeSchema(effect.schema);
			return;
		case 'prepare':
			learnPrepared(conversation, effect.name, run);
			return;
		case 'deallocate':
			// PREPARE and DEALLOCATE share their names with Parse and Close.
			if (effect.name === null) {
				statements.clear();
				deallocatedAll(conversation, run);
			} else if (statements.has(effect.name)) statements.confirm(statements.change(effect.name, undefined, segment));
			return;
		case 'close':
			if (run.statement !== undefined) conversation.cursors.closed(effect.name, run.statement);
			return;
		default:
	}
}

/**
 * What the session knows of its own relations, and of these where the catalogue has them, may hold no longer: ALTER TABLE, and what
 * takes another's name, change what a name means for the rest of the transaction. Whoever may do everything need not be understood.
 */
function altered(conversation: Conversation, objects: StatementDecision['objects']): void {
	const { names, database } = conversation;
	names.forgetOwn();
	if (!conversation.context().access.unrestricted) names.alter(alteredBy(objects, database.catalog));
}

/** What a RESET leads back to on a shared backend is not what the client asked for when it came. */
function followReset({ loans }: Conversation, effect: SessionEffect, { statement }: Run): void {
	if (loans === null) return;
	if (effect.type === 'set') {
		if (effect.reset === true) loans.wasReset(effect.name);
	} else if (statement?.node === 'VariableSetStmt') loans.wasReset(null);
}

function deallocatedAll({ loans }: Conversation, { statement }: Run): void {
	if (loans === null) return;
	loans.backend.statements.clear();
	if (statement?.node === 'DiscardStmt') loans.wasDiscarded();
}

/** PREPARE: EXECUTE may run it now, and Bind too. */
function learnPrepared(conversation: Conversation, name: string, run: Run): void {
	const { statement } = run;
	if (statement === undefined) return;
	const { statements, segment } = conversation;
	const { sql, rewritten } = statement;
	const decision = afterPrepare(run.decision, statement);
	const prepared = {
		name: statementName(name),
		sql,
		bySql: true,
		paramTypes: [],
		decision,
		serverText: rewritten,
		knownTypes: null,
		verified: false,
		describedIn: 0,
		...unplaced,
	};
	statements.confirm(statements.change(name, prepared, segment));
}
