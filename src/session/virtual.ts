/** Transaction mode: prepared statements that clients name as they like, and that backends share by text and types. */
import type { SharedStatement } from '../backend/shared-statements.ts';
import { GatewayError } from '../errors.ts';
import type { Decision } from '../stages.ts';
import type { RowField } from '../wire/backend.ts';
import { encodeClose, encodeDescribe, encodeParse, encodeParseComplete, encodeSync } from '../wire/encode.ts';
import { type Bind, type Parse, type StatementName, statementName } from '../wire/frontend.ts';
import type { Conversation } from './conversation.ts';
import type { Loans } from './loans.ts';
import type { Prepared } from './prepared.ts';
import { Question } from './question.ts';
import { Expected } from './replies.ts';
import { noStatementName, ownStatements, sharedName } from './virtual-names.ts';

const parseComplete = encodeParseComplete();

/** What to send in place of a client's Parse, with what is expected of it. */
export interface VirtualParse {
	readonly bytes: Buffer;
	readonly expected: Expected;
}

/** A statement as the backend has it, and what has to be sent before that is so. */
export interface Placed {
	readonly name: StatementName;
	readonly before: readonly Buffer[];
	/** The one that others use too; missing: it is the client's own. */
	readonly shared?: SharedStatement;
}

/**
 * A client's Parse. A statement that the backend has already is not sent again: a Close of nothing takes its turn, and the
 * client gets ParseComplete for the answer. `unsure`: it has to wait. GatewayError: what the client is told in place of it.
 */
export function virtualParse(
	conversation: Conversation,
	loans: Loans,
	message: Parse,
	prepared: Prepared,
): VirtualParse | 'unsure' | GatewayError {
	const { segment, statements, status } = conversation;
	const text = textOf(prepared);
	if (message.name === '') {
		const expected = new Expected('parse', segment);
		loans.backend.unnamed = prepared;
		prepared.placedText = text;
		return {
			expected,
			bytes: text === message.sql ? message.raw : encodeParse(message.name, text, message.paramTypes),
		};
	}
	// The server knows nothing of the client's names: it cannot refuse what turns out not to be there.
	if (!statements.isSettled(message.name, segment)) return 'unsure';
	const named = statements.lookup(message.name, segment);
	if (named.type === 'unsure') return 'unsure';
	if (named.type === 'present') return parseTaken(conversation, loans, message, { prepared, taken: named.value });
	// In a failed transaction the server has to say what it thinks of it.
	const key = status === 'E' ? null : keyOf(loans, prepared);
	const shared = key === null ? null : loans.backend.statements.lookup(key, segment);
	if (shared === 'unsure') return 'unsure';
	if (shared !== null && !shared.outdated) {
		const expected = new Expected('close', segment);
		expected.instead = parseComplete;
		return { expected, bytes: encodeClose({ kind: 'S', name: noStatementName }) };
	}
	const added = loans.backend.statements.add(key ?? privateKey(loans), sharedName(loans.backend.nextNumber()), segment);
	const expected = new Expected('parse', segment);
	expected.shared = added;
	prepared.privately = key === null ? added : null;
	const evicted = evict(conversation, loans);
	return {
		expected,
		bytes: Buffer.concat([...evicted, encodeParse(statementName(added.name), text, message.paramTypes)]),
	};
}

/** The client has that name already: the server is to say so, or what else it has against the text. */
function parseTaken(
	conversation: Conversation,
	loans: Loans,
	message: Parse,
	{ prepared, taken }: { readonly prepared: Prepared; readonly taken: Prepared },
): VirtualParse | 'unsure' | GatewayError {
	const { pipeline } = conversation.services;
	const isCurrent = taken.bySql || pipeline.isCurrent(taken.decision, conversation.context());
	const placed = isCurrent ? place(conversation, loans, taken) : placeNothing(conversation, loans);
	if (placed === 'unsure' || placed instanceof GatewayError) return placed;
	const expected = new Expected('parse', conversation.segment);
	const bytes = encodeParse(placed.name, textOf(prepared), message.paramTypes);
	return { expected, bytes: Buffer.concat([...placed.before, bytes]) };
}

/**
 * Sees to it that the backend has the statement. `unsure`: it has to wait. GatewayError 0A000 where it returns something
 * else by now than the client was told.
 */
export function place(conversation: Conversation, loans: Loans, prepared: Prepared): Placed | 'unsure' | GatewayError {
	if (prepared.bySql) return { name: prepared.name, before: [] };
	if (!conversation.statements.isSettled(prepared.name, conversation.segment)) return 'unsure';
	if (prepared.name === '') return placeUnnamed(conversation, loans, prepared);
	const { segment } = conversation;
	const { statements } = loans.backend;
	const key = keyOf(loans, prepared);
	const { privately } = prepared;
	const own = privately === null ? null : statements.lookup(privately.key, segment);
	// A key of the same number on a backend of another pool is somebody else's.
	const found =
		(own === 'unsure' || own === privately ? own : null) ?? (key === null ? null : statements.lookup(key, segment));
	if (found === 'unsure') return 'unsure';
	if (found === null || (found.outdated && prepared.shape === null)) {
		const added = statements.add(key ?? privateKey(loans), sharedName(loans.backend.nextNumber()), segment);
		prepared.privately = key === null ? added : null;
		const evicted = evict(conversation, loans);
		const expected = swallowed(conversation, 'parse', prepared);
		expected.shared = added;
		const name = statementName(added.name);
		const before = [...evicted, encodeParse(name, textOf(prepared), prepared.paramTypes)];
		if (prepared.shape === null) return { name, before, shared: added };
		return describeFirst(conversation, prepared, { name, before, described: added });
	}
	const isAnother = prepared.shape !== null && found.shape !== null && prepared.shape !== found.shape;
	if (isAnother || found.outdated) return changedResult();
	const name = statementName(found.name);
	if (prepared.shape !== null && found.shape === null)
		return describeFirst(conversation, prepared, { name, before: [], described: found });
	return { name, before: [], shared: found };
}

/** Takes a name on the server for what stands for a text that is not for it any more. */
function placeNothing(conversation: Conversation, loans: Loans): Placed {
	const { statements } = loans.backend;
	const added = statements.add(privateKey(loans), sharedName(loans.backend.nextNumber()), conversation.segment);
	const evicted = evict(conversation, loans);
	swallowed(conversation, 'parse', null).shared = added;
	const name = statementName(added.name);
	return { name, before: [...evicted, encodeParse(name, '', [])] };
}

/** The server has refused to run it, because it gives another result than when it was prepared (0A000). */
export function outdate(loans: Loans, prepared: Prepared): void {
	const key = prepared.privately?.key ?? keyOf(loans, prepared);
	const found = key === null ? null : loans.backend.statements.find(key);
	if (found !== null) found.outdated = true;
}

/** The name goes; the statement stays for others. */
export function closeName(loans: Loans, prepared: Prepared | null, name: string): Buffer {
	if (name === '') {
		loans.backend.unnamed = null;
		return encodeClose({ kind: 'S', name: statementName('') });
	}
	const real = prepared !== null && (prepared.bySql || prepared.madeReal === loans.backend);
	if (real) loans.keepsakes.doubts.add('prepared');
	return encodeClose({ kind: 'S', name: real ? prepared.name : noStatementName });
}

/** False: whether there is what the text names, or whether the text runs at all, depends on answers that have not come. */
export function namesSettled({ statements, segment, replies, segmentOpen }: Conversation, decision: Decision): boolean {
	return decision.statements.every(({ effects }) =>
		effects.every((effect) => {
			if (effect.type !== 'execute' && effect.type !== 'deallocate' && effect.type !== 'prepare') return true;
			const name = effect.name ?? '';
			if (name === '' || !statements.isSettled(name, segment)) return name === '';
			const found = statements.lookup(name, segment);
			// It is given that name by a segment of the gateway's own, whose Sync would end what the server skips.
			return found.type === 'absent' || (found.type === 'present' && (segmentOpen || replies.length === 0));
		}),
	);
}

/**
 * EXECUTE and DEALLOCATE of what the client prepared by Parse: it is given the client's name on the server. Answers what
 * has to be sent before them; GatewayError 42602 for a name of the gateway's own.
 */
export function makeReal(
	conversation: Conversation,
	loans: Loans,
	decision: Decision,
): readonly Buffer[] | GatewayError {
	const before: Buffer[] = [];
	for (const { effects } of decision.statements) {
		for (const effect of effects) {
			if (effect.type !== 'execute' && effect.type !== 'deallocate' && effect.type !== 'prepare') continue;
			const name = effect.name ?? '';
			if (name.startsWith(ownStatements))
				return new GatewayError('42602', `prepared statement name "${name}" is reserved for the gateway`);
			const found = conversation.statements.lookup(name, conversation.segment);
			if (name === '' || found.type !== 'present' || found.value.bySql) continue;
			const prepared = found.value;
			// A name that is taken, or is to go, needs no text: the statement's own may not parse any more.
			const text = effect.type === 'execute' ? textOf(prepared) : '';
			const isReal = prepared.madeReal === loans.backend;
			if (isReal && (prepared.realText === text || effect.type !== 'execute')) continue;
			prepared.madeReal = loans.backend;
			prepared.realText = text;
			loans.keepsakes.doubts.add('prepared');
			before.push(...realBytes(conversation, prepared, { text, isReal }));
		}
	}
	return before;
}

/** The message with another name of the statement in it. */
export function withStatement(message: Bind, name: StatementName): Buffer {
	if (name === message.statement) return message.raw;
	const { raw, portal, statement } = message;
	const portalEnd = 5 + Buffer.byteLength(portal) + 1;
	const rest = raw.subarray(portalEnd + Buffer.byteLength(statement) + 1);
	const named = Buffer.from(`${name}\0`);
	const bytes = Buffer.concat([raw.subarray(0, portalEnd), named, rest]);
	bytes.writeInt32BE(bytes.length - 1, 1);
	return bytes;
}

/** RowDescription of a statement whose backend may be another one; throws FATAL 0A000 when the client was told otherwise. */
export function noteShape(expected: Expected, fields: readonly RowField[]): void {
	const { prepared, sharedAsDescribed: shared } = expected;
	// As equalRowTypes (tupdesc.c): names and types.
	const shape = JSON.stringify(fields.map(({ name, typeOid, typmod }) => [name, typeOid, typmod]));
	if (shared !== null) {
		shared.shape = shape;
		shared.describing = false;
		// The gateway asked, and looks at the answer before it goes on.
		if (expected.swallow) return;
	}
	if (prepared === null) return;
	if (prepared.shape !== null && prepared.shape !== shape) {
		const { sqlstate, message } = changedResult();
		throw new GatewayError(sqlstate, message, { severity: 'FATAL' });
	}
	prepared.shape = shape;
}

function changedResult(): GatewayError {
	// By the routine drivers know that it helps to prepare it anew, and do.
	return new GatewayError('0A000', 'cached plan must not change result type', { raisedBy: 'RevalidateCachedQuery' });
}

function textOf({ decision }: Prepared): string {
	return decision.statements.length === 0 ? '' : decision.rewritten;
}

/** Null: it is not for others. */
function keyOf(loans: Loans, prepared: Prepared): string | null {
	const { scope } = loans;
	if (scope === null) return null;
	return `${prepared.paramTypes.join()}\0${prepared.decision.revision}\0${scope}\0${textOf(prepared)}`;
}

function privateKey(loans: Loans): string {
	return `\0${loans.backend.nextNumber()}`;
}

/** Closes what the backend has too many of. */
function evict(conversation: Conversation, loans: Loans): Buffer[] {
	const bytes: Buffer[] = [];
	for (let old = loans.backend.statements.evict(); old !== null; old = loans.backend.statements.evict()) {
		swallowed(conversation, 'close', null);
		bytes.push(encodeClose({ kind: 'S', name: statementName(old.name) }));
	}
	return bytes;
}

/** The server's unnamed statement is whoever's was last: where it is not this one, it is parsed again. */
function placeUnnamed(conversation: Conversation, loans: Loans, prepared: Prepared): Placed | 'unsure' | GatewayError {
	const text = textOf(prepared);
	const { backend } = loans;
	const { name, reparsed } = prepared;
	if (backend.unnamed === prepared && prepared.placedText === text) {
		if (reparsed === null || reparsed.shape === prepared.shape) return { name, before: [] };
		return reparsed.shape === null ? 'unsure' : changedResult();
	}
	backend.unnamed = prepared;
	prepared.placedText = text;
	prepared.reparsed = prepared.shape === null ? null : { shape: null, describing: false };
	swallowed(conversation, 'parse', prepared);
	const parsed = encodeParse(name, text, prepared.paramTypes);
	if (prepared.reparsed === null) return { name, before: [parsed] };
	return describeFirst(conversation, prepared, { name, before: [parsed], described: prepared.reparsed });
}

/** What the client was told that it returns has to hold on this backend too: nothing of it runs before that is known. */
function describeFirst(
	conversation: Conversation,
	prepared: Prepared,
	{ name, before, described }: Placed & { readonly described: NonNullable<Expected['sharedAsDescribed']> },
): 'unsure' {
	if (described.describing) return 'unsure';
	described.describing = true;
	swallowed(conversation, 'describe-statement', prepared).sharedAsDescribed = described;
	conversation.segmentOpen = true;
	conversation.outbox.forwardControl(Buffer.concat([...before, encodeDescribe({ kind: 'S', name })]));
	return 'unsure';
}

/** `isReal`: the backend has another text under that name. */
function realBytes(
	conversation: Conversation,
	prepared: Prepared,
	{ text, isReal }: { readonly text: string; readonly isReal: boolean },
): Buffer[] {
	const parse = encodeParse(prepared.name, text, text === '' ? [] : prepared.paramTypes);
	const former = isReal ? [encodeClose({ kind: 'S', name: prepared.name })] : [];
	if (conversation.segmentOpen) {
		if (isReal) swallowed(conversation, 'close', null);
		swallowed(conversation, 'parse', prepared);
		return [...former, parse];
	}
	// A segment of its own: whatever comes of it, the client's statement runs, and says so.
	const question = new Question(() => undefined);
	if (isReal) swallowed(conversation, 'close', null).question = question;
	swallowed(conversation, 'parse', prepared).question = question;
	swallowed(conversation, 'sync', null).question = question;
	return [...former, parse, encodeSync()];
}

function swallowed(
	conversation: Conversation,
	kind: 'parse' | 'close' | 'sync' | 'describe-statement',
	prepared: Prepared | null,
): Expected {
	const expected = new Expected(kind, conversation.segment);
	expected.swallow = true;
	expected.prepared = prepared;
	conversation.replies.push(expected);
	return expected;
}
