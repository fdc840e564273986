/** From the backend to the client: every message is attributed to its cause, and only what matters is decoded. */
import type { ByteSink } from '../backend/connection.ts';
import { GatewayError } from '../errors.ts';
import type { StatementDecision } from '../stages.ts';
import { backendName, decodeBackend, decodeRowDescription, type TransactionStatus } from '../wire/backend.ts';
import { backendCodes as code } from '../wire/codes.ts';
import { encodeNoData } from '../wire/encode.ts';
import { Framer } from '../wire/framer.ts';
import { type Conversation, internalError } from './conversation.ts';
import { Gather } from './gather.ts';
import type { Prepared } from './prepared.ts';
import type { Expected, ExpectedKind } from './replies.ts';
import { cutOff, unheard } from './outlived.ts';
import { afterCommand, closePortal, confirm, fail, followParameter, ready } from './outcomes.ts';
import { ReplicationReplies, StreamRevoked } from './replication-replies.ts';
import { errorForClient, noticeForClient, type ServerError } from './responses.ts';
import type { Run } from './run.ts';
import { noteShape } from './virtual.ts';

/** Stands for what a cursor of DECLARE runs, where the result guard wants to know what it looks at. */
const cursor: StatementDecision = {
	effect: 'allow',
	node: 'DeclareCursorStmt',
	sql: '',
	rewritten: '',
	objects: [],
	rules: [],
	touchesProtected: true,
	checks: [],
	hidesRows: false,
	effects: [],
};

/** A RowDescription up to this long is remembered once the guard has passed it. */
const rememberedBytesMax = 4096;

/** Where what the client is to get goes to. */
export interface ClientStream {
	/** Bytes that the kernel has not taken yet. */
	readonly writableLength: number;
	write(bytes: Buffer): boolean;
	cork(): void;
	uncork(): void;
	/** Transaction mode: what is written from now on waits for `until`; then `first` may write something before it. */
	hold?(until: Promise<void>, first: (write: (bytes: Buffer) => void) => void): void;
}

export class Relay implements ByteSink {
	readonly #conversation: Conversation;
	readonly #client: ClientStream;
	readonly #framer: Framer;
	readonly #gather = new Gather();
	readonly #closed: (error: Error | null) => void;
	/** Null: an ordinary connection. */
	readonly #replication: ReplicationReplies | null;
	/** The run of neighbouring frames that the client gets as they came. */
	#run: Buffer | null = null;
	#runStart = 0;
	#runEnd = 0;
	/** The client has had the beginning of a message, and not its end. */
	#inMessage = false;

	/** `closed`: the backend has gone. */
	constructor(conversation: Conversation, client: ClientStream, closed: (error: Error | null) => void) {
		this.#conversation = conversation;
		this.#client = client;
		this.#framer = new Framer(conversation.services.serverRules);
		this.#closed = closed;
		this.#replication = conversation.replication === null ? null : new ReplicationReplies(conversation);
	}

	data(chunk: Buffer): void {
		const conversation = this.#conversation;
		const framer = this.#framer;
		if (conversation.ended || cutOff(conversation)) return;
		try {
			framer.push(chunk);
			while (!conversation.ended && framer.next()) if (this.#frame()) this.#pass();
		} catch (error) {
			this.#breakOff(error);
			return;
		}
		this.#write();
		if (conversation.ended) return;
		if (conversation.stalled) conversation.pump();
		conversation.loans?.rest();
	}

	/** What the backend has sent so far ends at the end of a message. */
	get between(): boolean {
		return this.#framer.between;
	}

	/** True while nothing can be said to the client: it would take it for a part of the message that it is reading. */
	get inMessage(): boolean {
		return this.#inMessage;
	}

	/** What the kernel has not taken yet may lie in the chunk. Everything else that is kept of one is copied. */
	keeps(): boolean {
		return this.#client.writableLength > 0;
	}

	closed(error: Error | null): void {
		this.#closed(error);
	}

	/** True: the client gets the frame as it came. */
	#frame(): boolean {
		if (this.#replication !== null) return this.#replicated(this.#replication);
		return this.#ordinary();
	}

	/** On a replication connection: a reply to a command, or to SQL. */
	#replicated(replication: ReplicationReplies): boolean {
		const { head } = this.#conversation.replies;
		const passes = head?.kind === 'replication' ? replication.reply(this.#framer, head) : null;
		return passes ?? this.#ordinary();
	}

	#ordinary(): boolean {
		switch (this.#framer.type) {
			case code.DataRow:
				return this.#rows();
			case code.CommandComplete:
				return this.#complete();
			case code.ReadyForQuery:
				return this.#ready();
			case code.BindComplete:
				return this.#confirmed('bind');
			case code.ParseComplete:
				return this.#confirmed('parse');
			case code.CloseComplete:
				return this.#confirmed('close');
			case code.RowDescription:
				return this.#description();
			case code.NoData:
				return this.#noData();
			case code.ParameterDescription:
				return this.#parameters();
			case code.ErrorResponse:
				return this.#error();
			default:
				return this.#rare();
		}
	}

	#rare(): boolean {
		switch (this.#framer.type) {
			case code.CopyData:
				return this.#copyData();
			case code.CopyDone:
				return this.#running().question === null;
			case code.CopyInResponse:
				this.#copyStarts();
				this.#conversation.replies.beginCopyIn();
				return true;
			case code.CopyOutResponse:
				this.#copyStarts();
				return true;
			case code.EmptyQueryResponse:
				return this.#empty();
			case code.PortalSuspended:
				return this.#suspended();
			case code.FunctionCallResponse:
				return this.#callResult();
			case code.NoticeResponse:
				return this.#notice();
			case code.ParameterStatus:
				return followParameter(this.#conversation, this.#raw());
			case code.NotificationResponse:
				return this.#notification();
			default:
				throw this.#unexpected();
		}
	}

	/** In transaction mode a backend may tell of what somebody else's code has left. */
	#notification(): boolean {
		const { loans } = this.#conversation;
		if (loans === null) {
			const error = unheard(this.#conversation);
			if (error !== null) throw new StreamRevoked(error, 'policy');
			return true;
		}
		const message = decodeBackend(this.#raw());
		return message.type === 'NotificationResponse' && loans.passes(message.channel);
	}

	#rows(): boolean {
		const expected = this.#running();
		const framer = this.#framer;
		if (expected.question !== null) {
			expected.question.row(this.#raw());
			return false;
		}
		const run = this.#runOf(expected);
		if (run.statement?.hidesRows !== false) return this.#hiddenRows(run);
		run.rows += framer.count;
		run.bytes += framer.end - framer.start;
		return true;
	}

	/** Rows of the gateway's own RETURNING stay here; rows of nothing must not come at all. */
	#hiddenRows(run: Run): false {
		if (run.statement === undefined) throw this.#unexpected();
		return false;
	}

	#copyData(): boolean {
		const expected = this.#running();
		const run = this.#runOf(expected);
		run.rows += this.#framer.count;
		run.bytes += this.#framer.end - this.#framer.start;
		return true;
	}

	/** A COPY that the decision knows nothing of must not begin. */
	#copyStarts(): void {
		const { statement } = this.#runOf(this.#running());
		if (statement === undefined || statement.hidesRows) throw this.#unexpected();
	}

	#complete(): boolean {
		const expected = this.#running();
		const { replies } = this.#conversation;
		replies.endCopyIn();
		expected.answered = true;
		let told: Buffer | null = null;
		if (expected.question === null) {
			const run = this.#runOf(expected);
			const { buffer, start, end } = this.#framer;
			// A portal that has ended may be executed again: it has no rows left, and no second outcome.
			if (run.ended && expected.kind === 'query') throw this.#unexpected();
			if (!run.ended) told = afterCommand(this.#conversation, run, buffer.toString('latin1', start + 5, end - 1));
		}
		if (expected.kind === 'execute') replies.shift();
		return expected.swallow ? false : this.#replaced(told);
	}

	#empty(): boolean {
		const expected = this.#running();
		expected.answered = true;
		if (expected.kind === 'execute') this.#conversation.replies.shift();
		return !expected.swallow;
	}

	#suspended(): boolean {
		const expected = this.#expect('execute');
		const run = this.#runOf(expected);
		run.suspended = true;
		afterCommand(this.#conversation, run, null);
		this.#conversation.replies.shift();
		return !expected.swallow;
	}

	#callResult(): boolean {
		const expected = this.#expect('function-call');
		const run = this.#runOf(expected);
		expected.answered = true;
		run.rows += this.#framer.count;
		run.bytes += this.#framer.end - this.#framer.start;
		return true;
	}

	#ready(): boolean {
		const { buffer, start } = this.#framer;
		const status = String.fromCharCode(buffer[start + 5] as number);
		if (status !== 'I' && status !== 'T' && status !== 'E') throw this.#unexpected();
		const { replies } = this.#conversation;
		const expected = replies.head;
		if (expected?.awaitsReady !== true) {
			if (!replies.resume()) throw this.#unexpected();
			ready(this.#conversation, null, status satisfies TransactionStatus);
			return this.#told(status);
		}
		replies.shift();
		ready(this.#conversation, expected, status);
		return expected.swallow ? false : this.#told(status);
	}

	/** Whoever listens reads what there is to hear before it reads that its transaction is over. Always true. */
	#told(status: TransactionStatus): true {
		const { loans } = this.#conversation;
		if (status !== 'I' || loans?.subscriptions.listens !== true) return true;
		this.#write();
		const { subscriptions } = loans;
		this.#client.hold?.(subscriptions.caughtUp(), (write) => subscriptions.tell(write));
		return true;
	}

	#confirmed(kind: 'parse' | 'bind' | 'close'): boolean {
		const expected = this.#expect(kind);
		if (expected.denial !== null) throw this.#unexpected();
		const conversation = this.#conversation;
		if (kind === 'parse' || expected.instead !== null)
			expected.run?.end(conversation.services.audit, 'success', null, null);
		if (kind === 'close' && expected.portal !== null) closePortal(conversation, expected.portal.run);
		confirm(conversation, expected);
		conversation.replies.shift();
		expected.finishQuestion(conversation.replies.head);
		if (expected.instead !== null) return this.#replaced(expected.instead);
		return !expected.swallow;
	}

	#description(): boolean {
		const expected = this.#head();
		if (expected.question !== null) {
			expected.question.restart();
			return false;
		}
		if (expected.kind === 'query') {
			const { statement } = this.#runOf(expected);
			if (statement === undefined) throw this.#unexpected();
			this.#guard(statement);
			return !statement.hidesRows;
		}
		if (this.#conversation.loans !== null) noteShape(expected, decodeRowDescription(this.#raw()));
		const prepared = this.#described(expected);
		const statement = prepared === null ? cursor : prepared.decision.statements[0];
		if (statement !== undefined) this.#guard(statement);
		if (expected.swallow || statement?.hidesRows !== true) return !expected.swallow;
		return this.#replaced(encodeNoData());
	}

	#noData(): boolean {
		const expected = this.#head();
		if (this.#conversation.loans !== null) noteShape(expected, []);
		this.#described(expected);
		return !expected.swallow;
	}

	/** The Describe at the head has its last reply. Null: it was of a cursor of DECLARE. */
	#described(expected: Expected): Prepared | null {
		const { prepared, kind } = expected;
		if (kind !== 'describe-portal' && kind !== 'describe-statement') throw this.#unexpected();
		// If the guard has something against it, the session ends, and this does not matter.
		if (prepared !== null) prepared.verified = true;
		this.#conversation.replies.shift();
		return prepared;
	}

	#parameters(): boolean {
		const expected = this.#expect('describe-statement');
		if (expected.prepared !== null) expected.prepared.knownTypes = parameterTypes(this.#raw());
		return !expected.swallow;
	}

	/** The second lock: no protected column passes, whatever the first one overlooked. */
	#guard(statement: StatementDecision): void {
		const { services } = this.#conversation;
		const raw = this.#raw();
		const { objects } = statement;
		const passed = services.passedRows.get(objects);
		if (passed?.equals(raw) === true) return;
		const object = services.pipeline.breach(decodeRowDescription(raw), statement, this.#conversation.context());
		if (object !== null) throw new Breach(object);
		if (statement !== cursor && raw.length <= rememberedBytesMax) services.passedRows.set(objects, Buffer.from(raw));
	}

	#error(): boolean {
		const conversation = this.#conversation;
		const expected = conversation.replies.head;
		const error: ServerError = errorForClient(conversation, expected, this.#raw());
		const shown = fail(conversation, expected, error);
		return shown ? this.#replaced(error.forClient) : false;
	}

	/** Nobody but the gateway asked for what is said of its own question. */
	#notice(): boolean {
		const conversation = this.#conversation;
		if (conversation.replies.head?.question != null) return false;
		return this.#replaced(noticeForClient(conversation, this.#raw()));
	}

	/** Gives the client `bytes` in place of the frame; true when they are the frame itself. */
	#replaced(bytes: Buffer | null): boolean {
		if (bytes === null) return true;
		this.#flushRun();
		this.#gather.add(bytes);
		return false;
	}

	#raw(): Buffer {
		const { buffer, start, end } = this.#framer;
		return buffer.subarray(start, end);
	}

	#head(): Expected {
		const expected = this.#conversation.replies.head;
		if (expected === undefined || expected.failed) throw this.#unexpected();
		return expected;
	}

	#expect(kind: ExpectedKind): Expected {
		const expected = this.#head();
		if (expected.kind !== kind) throw this.#unexpected();
		return expected;
	}

	#running(): Expected {
		const expected = this.#head();
		if (expected.kind !== 'execute' && expected.kind !== 'query') throw this.#unexpected();
		return expected;
	}

	/** What was recorded; results of anything that was not, or that was denied, must not come. */
	#runOf(expected: Expected): Run {
		if (expected.run === null || expected.denial !== null) throw this.#unexpected();
		return expected.run;
	}

	#unexpected(): GatewayError {
		const name = backendName(this.#framer.type) ?? String(this.#framer.type);
		const waiting = this.#conversation.replies.head?.kind ?? 'nothing';
		const cause = new Error(`${name} while waiting for the replies to: ${waiting}`);
		return new GatewayError('08P01', `unexpected ${name} message from the backend`, { severity: 'FATAL', cause });
	}

	#pass(): void {
		const { buffer, start, end, last } = this.#framer;
		this.#inMessage = !last;
		if (this.#run === buffer && this.#runEnd === start) {
			this.#runEnd = end;
			return;
		}
		this.#flushRun();
		this.#run = buffer;
		this.#runStart = start;
		this.#runEnd = end;
	}

	#flushRun(): void {
		if (this.#run === null) return;
		this.#gather.add(this.#run.subarray(this.#runStart, this.#runEnd));
		this.#run = null;
	}

	/** A client that does not take it holds the backend back. */
	#write(): void {
		this.#flushRun();
		if (this.#gather.bytes === 0) return;
		if (!this.#gather.writeTo(this.#client)) this.#conversation.connection?.socket.pause();
	}

	#breakOff(error: unknown): void {
		// What was cleared before still reaches the client.
		this.#write();
		const conversation = this.#conversation;
		if (error instanceof Breach) breach(conversation, error.object);
		else if (error instanceof StreamRevoked) conversation.fail(error.error, error.reason);
		else if (error instanceof GatewayError) conversation.fail(error, 'protocol violation by the backend');
		else conversation.fail(internalError(error), 'internal error');
	}
}

/** Thrown within this file when the result guard has found something. */
class Breach extends Error {
	readonly object: string;

	constructor(object: string) {
		super('result guard');
		this.object = object;
	}
}

function breach(conversation: Conversation, object: string): void {
	const { services, placedInfo: info, replies } = conversation;
	const run = replies.head?.run ?? replies.head?.portal?.run;
	const receipt = run?.receipts[run.index] ?? null;
	const reason = 'a protected column was about to pass raw';
	services.audit.event({ type: 'guard-breach', session: info, receipt, object, reason });
	services.log.error({ session: info.id, object, user: conversation.identity.name }, `ALARM: result guard: ${reason}`);
	const words = 'the gateway stopped a result that would have shown protected data';
	conversation.fail(new GatewayError('42501', words, { severity: 'FATAL' }), 'result guard');
}

function parameterTypes(raw: Buffer): readonly number[] {
	const count = raw.length < 7 ? 0 : raw.readUInt16BE(5);
	if (raw.length !== 7 + 4 * count)
		throw new GatewayError('08P01', 'malformed ParameterDescription', { severity: 'FATAL' });
	return Array.from({ length: count }, (_, index) => raw.readUInt32BE(7 + 4 * index));
}
