/** The extended protocol: Parse, Bind, Describe, Execute, Close, Sync and Flush (protocol, "Extended Query"). */
import { GatewayError } from '../errors.ts';
import type { Decision } from '../stages.ts';
import { encodeClose, encodeDescribe, encodeExecute, encodeParse } from '../wire/encode.ts';
import type { Bind, Close, Describe, Execute, Parse, PortalName, StatementName, Sync } from '../wire/frontend.ts';
import { type Conversation, type Progress, refusedStatement, refusedText } from './conversation.ts';
import { fetchable, rewrittenOf, shownOf } from './cursors.ts';
import type { Held } from './outbox.ts';
import type { Loans } from './loans.ts';
import { afterPrepare, hidesRows, movesNames, type Portal, type Prepared, statementOf, unplaced } from './prepared.ts';
import { boundParameters, record } from './recorder.ts';
import { Expected } from './replies.ts';
import { Run } from './run.ts';
import { closeName, makeReal, namesSettled, place, virtualParse, withStatement } from './virtual.ts';

/** A Parse of the unnamed statement that waits for the next message: a Bind of it shares its record. */
export interface UnrecordedParse {
	readonly prepared: Prepared;
	readonly expected: Expected;
	readonly held: Held;
}

/** Parse. A text to be recorded with the next message is left in `leave`. */
export function handleParse(
	conversation: Conversation,
	message: Parse,
	leave: (unrecorded: UnrecordedParse) => void,
): Progress {
	if (!conversation.settled()) return 'again';
	const decision = conversation.decide(message.sql, message.paramTypes);
	if (decision === null) return 'again';
	if (decision.effect === 'deny') return deny(conversation, decision, 'prepare', message.name);
	// The server never takes several. It says so itself, with all fields of its error, where the text is not the gateway's matter.
	const own = conversation.loans === null && conversation.context().access.unrestricted;
	if (decision.statements.length > 1 && !own)
		return deny(conversation, severalStatements(decision), 'prepare', message.name);
	const { statements } = conversation;
	const { limits } = conversation.services;
	if (statements.size >= limits.statementsMax && !statements.has(message.name)) return refuseCount(conversation);
	if (statements.weight + message.raw.length > limits.statementBytesMax) return refuseCount(conversation);
	const text = textOf(decision);
	const prepared = makePrepared(message, decision, text);
	const { loans } = conversation;
	if (loans !== null && !executesReal(conversation, loans, decision)) return again(conversation);
	const virtual = loans === null ? null : virtualParse(conversation, loans, message, prepared);
	if (virtual === 'unsure') return again(conversation);
	if (virtual instanceof GatewayError) return conversation.refuse(virtual);
	const expected = virtual?.expected ?? new Expected('parse', conversation.segment);
	expected.dropsUnnamed = message.name === '';
	expected.prepared = prepared;
	expected.statementChange = statements.change(message.name, prepared, conversation.segment);
	conversation.segmentOpen = true;
	const plain = (): Buffer =>
		text === message.sql ? message.raw : encodeParse(message.name, text, message.paramTypes);
	const bytes = virtual?.bytes ?? plain();
	conversation.replies.push(expected);
	if (decision.statements.length === 0) {
		conversation.outbox.forwardControl(bytes);
		return 'done';
	}
	const unrecorded = { prepared, expected, held: conversation.outbox.holdStatement(bytes) };
	if (message.name === '') leave(unrecorded);
	else recordParse(conversation, unrecorded);
	return 'done';
}

/** What an EXECUTE returns is told by the statement that the server has under its name when it is parsed. False: it has to wait. */
function executesReal(conversation: Conversation, loans: Loans, decision: Decision): boolean {
	if (!decision.statements.some(({ effects }) => effects.some(({ type }) => type === 'execute'))) return true;
	if (!namesSettled(conversation, decision)) return false;
	conversation.segmentOpen = true;
	const real = makeReal(conversation, loans, decision);
	// A name that the gateway keeps for itself is refused when it is bound.
	if (!(real instanceof GatewayError)) for (const bytes of real) conversation.outbox.forwardControl(bytes);
	return true;
}

/** Puts a Parse on record by itself. */
export function recordParse(conversation: Conversation, unrecorded: UnrecordedParse): void {
	const { prepared, expected, held } = unrecorded;
	expected.run = record(conversation, prepared.decision, 'extended', 'prepare', undefined, (receipt) => {
		held.forwardStatement(receipt);
	});
}

/**
 * Bind: the statement is looked at again under the policy of now, and put on record with its values.
 * `unrecorded`: the Parse that came just before, if it was of this statement.
 */
export function handleBind(conversation: Conversation, message: Bind, unrecorded: UnrecordedParse | null): Progress {
	const { statements, portals, segment, services } = conversation;
	const found = statements.lookup(message.statement, segment);
	switch (found.type) {
		case 'unsure':
			conversation.drain();
			return 'again';
		case 'absent':
			return conversation.refuse(noStatement(message.statement));
		default:
	}
	const prepared = found.value;
	const outstanding = unrecorded === null ? renew(conversation, prepared) : null;
	if (outstanding !== null) return outstanding;
	const unfetchable = refuseFetch(conversation, prepared.decision, unrecorded);
	if (unfetchable !== null) return unfetchable;
	const { portalsMax, statementBytesMax } = services.limits;
	const many = portals.size >= portalsMax && !portals.has(message.portal);
	const long = message.portal !== '' && portals.weight + prepared.sql.length > statementBytesMax;
	if (many || long) {
		if (unrecorded !== null) recordParse(conversation, unrecorded);
		const words = many
			? `more than ${portalsMax} portals`
			: `portals of statements of more than ${statementBytesMax} bytes`;
		return conversation.refuse(new GatewayError('54000', `${words} in one session`));
	}
	const { loans } = conversation;
	if (loans !== null) return bindVirtual(conversation, loans, message, prepared, unrecorded);
	conversation.remains?.note(prepared.decision);
	conversation.cursors.note(prepared.decision, prepared.paramTypes, conversation.policyRevision);
	conversation.segmentOpen = true;
	forwardBind(conversation, message, onServer(conversation, prepared), unrecorded);
	return 'done';
}

/** Sees to it that what was prepared is decided as it would be now. Null: it is. */
function renew(conversation: Conversation, prepared: Prepared): Progress | null {
	if (!conversation.settled()) return 'again';
	const { services, database } = conversation;
	const follows = database.catalog.following !== null;
	if (!follows && services.pipeline.isCurrent(prepared.decision, conversation.context())) return null;
	const decision = conversation.decide(prepared.sql, prepared.paramTypes);
	if (decision === null) return 'again';
	if (decision.effect === 'deny') return deny(conversation, decision, 'execute', null);
	const [statement] = prepared.bySql ? decision.statements : [];
	const now = statement === undefined ? decision : afterPrepare(decision, statement);
	// The server has what PREPARE was given, and nobody but its client could give it another.
	if (prepared.bySql && now.rewritten !== prepared.serverText) return conversation.refuse(outdated(prepared.name));
	prepared.decision = now;
	return null;
}

/** Bind of a statement that this backend may not have yet. */
function bindVirtual(
	conversation: Conversation,
	loans: Loans,
	message: Bind,
	prepared: Prepared,
	unrecorded: UnrecordedParse | null,
): Progress {
	const { decision } = prepared;
	const placed = namesSettled(conversation, decision) ? place(conversation, loans, prepared) : 'unsure';
	if (placed === 'unsure') {
		// Its Parse has to be answered before this is handled again.
		if (unrecorded !== null) recordParse(conversation, unrecorded);
		return again(conversation);
	}
	if (placed instanceof GatewayError) return refuseBind(conversation, placed, unrecorded);
	conversation.segmentOpen = true;
	const real = makeReal(conversation, loans, decision);
	if (real instanceof GatewayError) return refuseBind(conversation, real, unrecorded);
	loans.note(decision);
	conversation.cursors.note(decision, prepared.paramTypes, conversation.policyRevision);
	const renamed = withStatement(message, placed.name);
	const before = [...placed.before, ...real];
	forwardBind(conversation, message, { prepared, before, renamed }, unrecorded);
	return 'done';
}

function refuseBind(conversation: Conversation, error: GatewayError, unrecorded: UnrecordedParse | null): Progress {
	if (unrecorded !== null) recordParse(conversation, unrecorded);
	return conversation.refuse(error);
}

/** Describe. What it shows of a statement goes through the result guard. */
export function handleDescribe(conversation: Conversation, message: Describe): Progress {
	const expected = new Expected(message.kind === 'S' ? 'describe-statement' : 'describe-portal', conversation.segment);
	if (message.kind === 'S') {
		const found = conversation.statements.lookup(message.name, conversation.segment);
		if (found.type === 'absent') return conversation.refuse(noStatement(message.name));
		if (found.type === 'unsure') return again(conversation);
		expected.prepared = found.value;
		const { loans } = conversation;
		if (loans !== null) return describeVirtual(conversation, loans, expected, found.value);
	} else {
		const found = conversation.portals.lookup(message.name, conversation.segment);
		if (found.type === 'unsure') return again(conversation);
		// A portal that the gateway has not seen may be a cursor of DECLARE: drivers describe those, and only that.
		if (found.type === 'present') {
			expected.prepared = found.value.prepared;
			expected.portal = found.value;
		}
	}
	if (expected.prepared !== null) expected.prepared.describedIn = conversation.segment;
	return control(conversation, message.raw, expected);
}

function describeVirtual(conversation: Conversation, loans: Loans, expected: Expected, prepared: Prepared): Progress {
	// The server may have to be given its text.
	const outstanding = renew(conversation, prepared);
	if (outstanding !== null) return outstanding;
	const placed = place(conversation, loans, prepared);
	if (placed === 'unsure') return again(conversation);
	if (placed instanceof GatewayError) return conversation.refuse(placed);
	prepared.describedIn = conversation.segment;
	expected.sharedAsDescribed = placed.shared ?? null;
	const describe = encodeDescribe({ kind: 'S', name: placed.name });
	return control(conversation, Buffer.concat([...placed.before, describe]), expected);
}

/** Execute of a portal that the gateway has recorded; of no other, whatever the server may have under that name. */
export function handleExecute(conversation: Conversation, message: Execute): Progress {
	const found = conversation.portals.lookup(message.portal, conversation.segment);
	if (found.type === 'absent') return conversation.refuse(noPortal(message.portal));
	if (found.type === 'unsure') return again(conversation);
	// What a RESET before it has taken away has to be there again.
	if (conversation.loans !== null && !conversation.settled()) return 'again';
	const portal = found.value;
	const policy = conversation.context().access.revision;
	// A segment lasts until the client sends a Sync, so the policy may be another by now.
	if (portal.segment !== conversation.segment || portal.shown.policy !== policy) {
		const checked = recheck(conversation, portal);
		if (checked !== null) return checked;
		portal.shown.policy = policy;
	}
	const { decision } = portal;
	const unheard = conversation.loans?.subscriptions.prepare(decision) ?? null;
	if (unheard === 'wait') return 'again';
	if (unheard !== null) return conversation.refuse(unheard);
	verifyFirst(conversation, portal);
	const expected = conversation.expectRun('execute', decision);
	expected.run = portal.run;
	expected.portal = portal;
	expected.prepared = portal.prepared;
	conversation.followBlocks(decision);
	conversation.loans?.subscriptions.note(decision);
	// Without the gateway's RETURNING there would be no rows to count, so there would be no limit either.
	const unlimited = hidesRows(decision) && message.maxRows > 0;
	return control(conversation, unlimited ? encodeExecute(message.portal, 0) : message.raw, expected);
}

export function handleClose(conversation: Conversation, message: Close): Progress {
	const { statements, portals, segment, loans } = conversation;
	const expected = new Expected('close', segment);
	let bytes = message.raw;
	if (message.kind === 'S') {
		const found = loans === null ? null : statements.lookup(message.name, segment);
		if (found?.type === 'unsure' || (loans !== null && !statements.isSettled(message.name, segment)))
			return again(conversation);
		if (loans !== null) bytes = closeName(loans, found?.type === 'present' ? found.value : null, message.name);
		if (statements.has(message.name)) expected.statementChange = statements.change(message.name, undefined, segment);
	} else {
		const found = portals.lookup(message.name, segment);
		if (found.type === 'present') expected.portal = found.value;
		if (found.type !== 'absent') expected.portalChange = portals.change(message.name, undefined, segment);
	}
	return control(conversation, bytes, expected);
}

export function handleSync(conversation: Conversation, message: Sync): Progress {
	const expected = new Expected('sync', conversation.segment);
	// The end of a transaction that changed names may change them back.
	expected.unsettles = conversation.names.dirty || conversation.catalogDirty;
	conversation.outbox.forwardControl(message.raw);
	conversation.replies.push(expected);
	// While the backend takes CopyData it ignores a Sync.
	if (!conversation.replies.copyIn) conversation.endSegment();
	return 'done';
}

function control(conversation: Conversation, bytes: Buffer, expected: Expected): Progress {
	conversation.segmentOpen = true;
	conversation.outbox.forwardControl(bytes);
	conversation.replies.push(expected);
	return 'done';
}

function again(conversation: Conversation): Progress {
	conversation.drain();
	return 'again';
}

function makePrepared(message: Parse, decision: Decision, text: string): Prepared {
	return {
		name: message.name,
		sql: message.sql,
		bySql: false,
		paramTypes: message.paramTypes,
		decision,
		serverText: text,
		knownTypes: null,
		verified: false,
		describedIn: 0,
		...unplaced,
	};
}

/** What is sent for a decision: nothing at all where there is no statement. */
function textOf(decision: Decision): string {
	return decision.statements.length === 0 ? '' : decision.rewritten;
}

/** The statement as the backend has to have it: where its text is another by now, it is closed and parsed anew. */
function onServer(
	conversation: Conversation,
	prepared: Prepared,
): { readonly prepared: Prepared; readonly before: Buffer[] } {
	const text = textOf(prepared.decision);
	if (prepared.serverText === text) return { prepared, before: [] };
	const { statements, segment, replies } = conversation;
	const before: Buffer[] = [];
	const step = (kind: 'close' | 'parse', serverText: string | null): Prepared => {
		const next = { ...prepared, serverText, verified: false, describedIn: 0 };
		const expected = new Expected(kind, segment);
		expected.swallow = true;
		expected.statementChange = statements.change(prepared.name, next, segment);
		replies.push(expected);
		return next;
	};
	if (prepared.name !== '' && prepared.serverText !== null) {
		before.push(encodeClose({ kind: 'S', name: prepared.name }));
		step('close', null);
	}
	before.push(encodeParse(prepared.name, text, prepared.paramTypes));
	return { prepared: step('parse', text), before };
}

function forwardBind(
	conversation: Conversation,
	message: Bind,
	target: { readonly prepared: Prepared; readonly before: readonly Buffer[]; readonly renamed?: Buffer },
	unrecorded: UnrecordedParse | null,
): void {
	const { prepared, before, renamed = message.raw } = target;
	const { decision } = prepared;
	const formats = message.resultFormats.length;
	// The client knows of no columns, and the server takes any number of formats for none.
	const bind = formats > 1 && hidesRows(decision) ? withoutFormats(renamed, formats) : renamed;
	const bytes = before.length === 0 ? bind : Buffer.concat([...before, bind]);
	const run = recordBind(conversation, message, prepared, bytes, unrecorded);
	const expected = new Expected('bind', conversation.segment);
	const shown = shownOf(statementOf(decision), prepared, conversation.policyRevision);
	const portal: Portal = { name: message.portal, prepared, decision, segment: conversation.segment, run, shown };
	expected.run = run;
	expected.portal = portal;
	expected.prepared = prepared;
	expected.portalChange = conversation.portals.change(message.portal, portal, conversation.segment);
	expected.unsettles = movesNames(decision);
	if (statementOf(decision)?.touchesProtected === true) conversation.touchedProtected = true;
	conversation.replies.push(expected);
}

/** A Bind without the formats of results, which stand at its end. */
function withoutFormats(bind: Buffer, formats: number): Buffer {
	const bytes = Buffer.from(bind.subarray(0, bind.length - 2 * formats));
	bytes.writeInt16BE(0, bytes.length - 2);
	bytes.writeInt32BE(bytes.length - 1, 1);
	return bytes;
}

/** The record is written at Bind, not at Execute: planning may already run functions of the statement. */
function recordBind(
	conversation: Conversation,
	message: Bind,
	prepared: Prepared,
	bytes: Buffer,
	unrecorded: UnrecordedParse | null,
): Run {
	const { decision } = prepared;
	if (decision.statements.length === 0) {
		conversation.outbox.forwardControl(bytes);
		return new Run(decision, 0);
	}
	const held = conversation.outbox.holdStatement(bytes);
	const parameters = boundParameters(message, prepared);
	return record(conversation, decision, 'extended', 'execute', parameters, (receipt) => {
		unrecorded?.held.forwardStatement(receipt);
		held.forwardStatement(receipt);
	});
}

/** What a FETCH would show is refused by now, or has to be waited for; null: neither. `unrecorded`: of its Parse. */
function refuseFetch(
	conversation: Conversation,
	decision: Decision,
	unrecorded: UnrecordedParse | null,
): Progress | null {
	const error = fetchable(conversation, decision);
	if (error === null) return null;
	if (unrecorded !== null) recordParse(conversation, unrecorded);
	return error === 'again' ? 'again' : deny(conversation, deniedWhole(decision, error), 'execute', null);
}

/** A portal of an earlier segment or policy runs only while the policy still says what it said at Bind; null: it does. */
function recheck(conversation: Conversation, portal: Portal): Progress | null {
	const { pipeline } = conversation.services;
	const unfetchable = refuseFetch(conversation, portal.decision, null);
	if (unfetchable !== null) return unfetchable;
	if (pipeline.isCurrent(portal.decision, conversation.context())) return null;
	if (!conversation.settled()) return 'again';
	const { sql, paramTypes, rewritten } = portal.shown;
	const decision = conversation.decide(sql, paramTypes);
	if (decision === null) return 'again';
	if (decision.effect === 'deny') return deny(conversation, decision, 'execute', null);
	if (rewrittenOf(statementOf(decision)) === rewritten) return null;
	return conversation.refuse(
		new GatewayError('42501', 'the policy has changed since this portal was bound: bind it again'),
	);
}

/** A statement whose result nobody has described yet is described to the result guard alone. */
function verifyFirst(conversation: Conversation, portal: Portal): void {
	const { prepared } = portal;
	if (prepared.verified || prepared.describedIn === conversation.segment) return;
	prepared.describedIn = conversation.segment;
	const expected = new Expected('describe-portal', conversation.segment);
	expected.swallow = true;
	expected.prepared = prepared;
	expected.portal = portal;
	control(conversation, encodeDescribe({ kind: 'P', name: portal.name }), expected);
}

/** A denial, recorded, and a Parse in its place that fails. `name`: of the client's Parse, null in place of other messages. */
function deny(
	conversation: Conversation,
	decision: Decision,
	phase: 'prepare' | 'execute',
	name: StatementName | null,
): Progress {
	const error = decision.error ?? new GatewayError('42501', 'statement refused by the gateway');
	if (decision.statements.length === 0) return conversation.refuse(error);
	const held = conversation.outbox.holdStatement(
		encodeParse(name ?? refusedStatement, refusedText(conversation, error)),
	);
	const expected = conversation.doom(error);
	if (name === '') {
		expected.dropsUnnamed = true;
		expected.statementChange = conversation.statements.change('', undefined, conversation.segment);
		conversation.loans?.lostUnnamed();
	}
	expected.run = record(conversation, decision, 'extended', phase, undefined, (receipt) => {
		held.forwardStatement(receipt);
	});
	conversation.replies.push(expected);
	return 'done';
}

/** As the server says it, and on record as a denial. */
function severalStatements(decision: Decision): Decision {
	const raisedBy = 'exec_parse_message';
	const error = new GatewayError('42601', 'cannot insert multiple commands into a prepared statement', { raisedBy });
	return deniedWhole(decision, error);
}

function deniedWhole(decision: Decision, error: GatewayError): Decision {
	const statements = decision.statements.map((statement) => ({ ...statement, effect: 'deny', error }) as const);
	return { ...decision, effect: 'deny', statements, error };
}

function refuseCount(conversation: Conversation): Progress {
	const { statementsMax, statementBytesMax } = conversation.services.limits;
	const words = `prepared statements of one session take more than ${statementsMax} names or ${statementBytesMax} bytes`;
	return conversation.refuse(new GatewayError('54000', words));
}

function noStatement(name: StatementName): GatewayError {
	const words =
		name === '' ? 'unnamed prepared statement does not exist' : `prepared statement "${name}" does not exist`;
	return new GatewayError('26000', words);
}

function outdated(name: StatementName): GatewayError {
	const words = `prepared statement "${name}" was decided under another policy, catalogue or search_path`;
	return new GatewayError('42501', words, { hint: 'DEALLOCATE it and PREPARE it again.' });
}

function noPortal(name: PortalName): GatewayError {
	return new GatewayError('34000', `portal "${name}" does not exist`);
}
