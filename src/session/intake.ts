/** From the client to the backend: messages are handled strictly in order, one at a time, and wait where they have to. */
import { GatewayError } from '../errors.ts';
import { frontendCodes as code } from '../wire/codes.ts';
import { encodeGatewayError } from '../wire/encode.ts';
import { protocolViolation } from '../wire/errors.ts';
import { Framer } from '../wire/framer.ts';
import { decodeFrontend, type Frontend } from '../wire/frontend.ts';
import { type Conversation, internalError, type Progress } from './conversation.ts';
import * as extended from './extended.ts';
import { cutOff } from './outlived.ts';
import { Expected } from './replies.ts';
import { refusedInReplication } from './replication.ts';
import * as simple from './simple.ts';
import { beforeLease, refuseUnleased } from './unleased.ts';

/** The client's socket as far as the intake holds it back. */
export interface ClientSource {
	pause(): unknown;
	resume(): unknown;
}

/** One or more CopyData messages, or parts of them, as they came. */
interface DataSlice {
	readonly raw: Buffer;
	/** It begins with the beginning of a message. */
	readonly first: boolean;
	/** It ends with the end of one. */
	readonly last: boolean;
}

const opensSegment: ReadonlySet<Frontend['type']> = new Set(['Parse', 'Bind', 'Describe', 'Execute', 'Close']);

/** Types that a server which skips to the next Sync looks at. */
const neverSkipped: ReadonlySet<number> = new Set([code.Sync, code.Terminate, code.Password]);

export class Intake {
	readonly #conversation: Conversation;
	readonly #source: ClientSource;
	readonly #left: () => void;
	readonly #framer: Framer;
	/** Chunks that came while the framer was still busy with an earlier one. */
	readonly #backlog: Buffer[] = [];
	/** The message that has to be handled again. */
	#deferred: Frontend | null = null;
	/** The same of CopyData. */
	#deferredData: DataSlice | null = null;
	/** What is left of the CopyData message under way is for the backend. */
	#passesData = false;
	#unrecorded: extended.UnrecordedParse | null = null;
	#pumping = false;
	/** The client is to be held back: with its next bytes, as most times what was waited for is there before them. */
	#held = false;
	#paused = false;
	/** Terminate or the end of the stream was seen: nothing more will come. */
	#finished = false;
	/** The client has broken the protocol: it is told when what it sent before that is answered, and nothing more is read. */
	#violation: GatewayError | null = null;

	/** `left`: the client has gone (Terminate or end of stream) and everything that it sent is handled. */
	constructor(conversation: Conversation, source: ClientSource, left: () => void) {
		this.#conversation = conversation;
		this.#source = source;
		this.#left = left;
		const { services, identity } = conversation;
		this.#framer = new Framer(services.clientRules, services.longMessages?.shareOf(identity.name) ?? null);
		conversation.pump = () => this.pump();
	}

	receive(chunk: Buffer): void {
		if (this.#finished || this.#conversation.ended) return;
		this.#backlog.push(chunk);
		if (this.#held && !this.#paused) {
			this.#paused = true;
			this.#source.pause();
		}
		this.pump();
	}

	/** The session is over: what has come is nobody's any more. */
	close(): void {
		this.#framer.drop();
	}

	/** The client will send nothing more. */
	end(): void {
		this.#finished = true;
		this.pump();
	}

	/** Handles what is there until something has to be waited for. */
	pump(): void {
		const conversation = this.#conversation;
		if (this.#pumping || conversation.pending > 0 || conversation.ended) return;
		this.#pumping = true;
		try {
			conversation.stalled = !this.#drainInput();
			this.#recordLeft();
			if (!conversation.ended) conversation.outbox.flush();
			conversation.loans?.rest();
		} catch (error) {
			if (!this.#postpone(error)) this.#fail(error);
		} finally {
			this.#pumping = false;
		}
		if (conversation.ended) return;
		this.#holdBack(conversation.stalled);
		if (this.#finished && !conversation.stalled) {
			// Whatever still moves calls `pump`, which comes back here.
			conversation.stalled = true;
			this.#left();
		}
	}

	/** True when all input is handled. */
	#drainInput(): boolean {
		const conversation = this.#conversation;
		for (;;) {
			if (conversation.ended) return true;
			if (this.#violation !== null) throw this.#violation;
			if (this.#full()) return false;
			const message = this.#deferred;
			if (this.#deferredData !== null) {
				if (!this.#copyData(this.#deferredData)) return false;
				this.#deferredData = null;
			} else if (message !== null) {
				// By now the backend may be known to skip it.
				if (!this.#ignored(message.raw[0] as number) && this.#handle(message) === 'again') return false;
				this.#deferred = null;
				conversation.forgetMessage();
			} else if (!this.#framer.next()) {
				const chunk = this.#backlog.shift();
				if (chunk === undefined) return true;
				this.#framer.push(chunk);
			} else if (!this.#frame()) return false;
			if (conversation.pending > 0) return false;
		}
	}

	/** False: the frame's message waits. */
	#frame(): boolean {
		const { type, buffer, start, end } = this.#framer;
		const raw = buffer.subarray(start, end);
		if (type === code.CopyData) {
			const { first, last } = this.#framer;
			this.#recordLeft();
			const data = { raw, first, last };
			if (this.#copyData(data)) return true;
			this.#deferredData = data;
			return false;
		}
		if (this.#ignored(type)) return true;
		const message = this.#decode(type, raw);
		if (message === null) return true;
		if (this.#handle(message) === 'done') return true;
		this.#deferred = message;
		return false;
	}

	/** What the backend is known to skip is not even sent: nothing of it would run. */
	#ignored(type: number): boolean {
		const { replies, doomed } = this.#conversation;
		return (doomed || replies.skipping) && !neverSkipped.has(type);
	}

	/**
	 * The first slice of a message says for all of it whether the backend gets it. False: it has to wait, because it is not known
	 * yet whether a COPY begins or has failed.
	 */
	#copyData(data: DataSlice): boolean {
		const { replies, loans } = this.#conversation;
		if (data.first) {
			if (cutOff(this.#conversation)) return false;
			const dropped = this.#ignored(code.CopyData) || loans?.ready === false;
			if (!dropped && !replies.copyIn && replies.length > 0) return this.#conversation.drain();
			// Outside of a COPY the server would drop it.
			this.#passesData = !dropped && replies.copyIn;
		}
		if (!this.#passesData) return true;
		const run = replies.head?.run;
		// What a COPY takes counts as what one gives: without the messages' headers.
		if (run !== null && run !== undefined) run.bytes += data.raw.length - (data.first ? 5 : 0);
		this.#conversation.outbox.forwardData(data.raw, data.last);
		return true;
	}

	/** Null: the message could not be read, and was refused. */
	#decode(type: number, raw: Buffer): Frontend | null {
		try {
			return decodeFrontend(raw);
		} catch (error) {
			if (!(error instanceof GatewayError) || error.severity === 'FATAL') throw error;
			// Outside of a COPY the server drops it unread, and within one it says itself what is wrong with it.
			if (type === code.CopyFail) return { type: 'CopyFail', raw, message: '' };
			this.#recordLeft();
			if (this.#conversation.loans?.ready === false) {
				refuseUnleased(this.#conversation, type, error);
				return null;
			}
			const ofQuery = type === code.Query || type === code.FunctionCall;
			if (ofQuery) simple.refuseQuery(this.#conversation, error);
			else this.#conversation.refuse(error);
			return null;
		}
	}

	#handle(message: Frontend): Progress {
		const conversation = this.#conversation;
		if (conversation.replies.copyIn) refuseDuringCopy(conversation, message);
		const shared = message.type === 'Bind' && message.statement === '' ? this.#unrecorded : null;
		if (shared === null) this.#recordLeft();
		if (!conversation.admits(message.type)) return 'again';
		if (conversation.loans?.ready === false) {
			const progress = beforeLease(conversation, conversation.loans, message);
			if (progress !== null) return progress;
		}
		if (conversation.replication !== null && refuseInReplication(conversation, message)) return 'done';
		// A question inside of the client's pipeline makes it one to the server, which refuses some statements there.
		if (!conversation.segmentOpen && opensSegment.has(message.type) && !conversation.settled()) return 'again';
		switch (message.type) {
			case 'Query':
				return simple.handleQuery(conversation, message);
			case 'FunctionCall':
				return simple.handleFunctionCall(conversation, message);
			case 'Parse':
				return extended.handleParse(conversation, message, (unrecorded) => {
					this.#unrecorded = unrecorded;
				});
			case 'Bind':
				this.#unrecorded = null;
				return extended.handleBind(conversation, message, shared);
			case 'Describe':
				return extended.handleDescribe(conversation, message);
			case 'Execute':
				return extended.handleExecute(conversation, message);
			case 'Close':
				return extended.handleClose(conversation, message);
			case 'Sync':
				return extended.handleSync(conversation, message);
			default:
				return this.#handleRest(message);
		}
	}

	#handleRest(
		message: Extract<Frontend, { type: 'Flush' | 'CopyData' | 'CopyDone' | 'CopyFail' | 'Password' | 'Terminate' }>,
	): Progress {
		const { outbox, replies, segment } = this.#conversation;
		switch (message.type) {
			case 'Terminate':
				this.#finished = true;
				this.#backlog.length = 0;
				this.#framer.takeRest();
				return 'done';
			case 'CopyDone':
			case 'CopyFail':
				replies.push(new Expected('copy-end', segment));
				outbox.forwardControl(message.raw);
				this.#conversation.forgetFlush();
				return 'done';
			case 'Flush':
			case 'CopyData':
				outbox.forwardControl(message.raw);
				return 'done';
			default:
				throw invalidType(message.raw);
		}
	}

	/** A Parse that no Bind followed at once is put on record by itself. */
	#recordLeft(): void {
		const unrecorded = this.#unrecorded;
		if (unrecorded === null) return;
		this.#unrecorded = null;
		extended.recordParse(this.#conversation, unrecorded);
	}

	/** Too much is on its way: the client is not read until some of it has arrived. */
	#full(): boolean {
		const { outbox, replies, services } = this.#conversation;
		if (outbox.needsDrain || outbox.pendingBytes > services.limits.outboxBytesMax) return true;
		if (replies.length < services.limits.pendingRepliesMax || replies.copyIn || outbox.inMessage) return false;
		this.#conversation.drain();
		return true;
	}

	#holdBack(hold: boolean): void {
		this.#held = hold;
		if (hold || !this.#paused) return;
		this.#paused = false;
		this.#source.resume();
	}

	/** True: what the client sent before it broke the protocol is answered first, as by the server, which reads no further meanwhile. */
	#postpone(error: unknown): boolean {
		const conversation = this.#conversation;
		const { replies, ended } = conversation;
		if (!(error instanceof GatewayError) || ended || replies.length === 0 || replies.copyIn) return false;
		this.#violation = error;
		this.#backlog.length = 0;
		this.#recordLeft();
		conversation.drain();
		conversation.outbox.flush();
		conversation.stalled = true;
		return true;
	}

	#fail(error: unknown): void {
		const conversation = this.#conversation;
		if (error instanceof GatewayError) {
			const { sqlstate, message, severity } = error;
			const fatal =
				severity === 'FATAL' ? error : new GatewayError(sqlstate, message, { severity: 'FATAL', cause: error });
			const reason = sqlstate === '53200' ? 'no room for a long message' : 'protocol violation by the client';
			conversation.fail(fatal, reason);
		} else conversation.fail(internalError(error), 'internal error');
	}
}

/** True: it was refused. */
function refuseInReplication(conversation: Conversation, message: Frontend): boolean {
	const error = refusedInReplication(message);
	if (error === null) return false;
	if (message.type === 'FunctionCall') simple.refuseQuery(conversation, error);
	else conversation.refuse(error);
	return true;
}

/** While the backend takes CopyData, only messages of the COPY may come (protocol, "COPY Operations"). */
function refuseDuringCopy(conversation: Conversation, message: Frontend): void {
	switch (message.type) {
		case 'CopyData':
		case 'CopyDone':
		case 'CopyFail':
		case 'Flush':
		case 'Sync':
		case 'Terminate':
			return;
		default:
	}
	const first = message.raw[0] ?? 0;
	if (conversation.replies.head?.kind === 'replication') {
		// As ProcessRepliesIfAny (walsender.c) has it.
		throw protocolViolation(`invalid standby message type "${String.fromCharCode(first)}"`);
	}
	const type = first.toString(16).toUpperCase().padStart(2, '0');
	const error = new GatewayError('08P01', `unexpected message type 0x${type} during COPY from stdin`);
	conversation.client.write(encodeGatewayError(error));
	// The server gives up the connection too.
	throw protocolViolation('terminating connection because protocol synchronization was lost');
}

function invalidType(raw: Buffer): GatewayError {
	return protocolViolation(`invalid frontend message type ${raw[0] ?? 0}`);
}
