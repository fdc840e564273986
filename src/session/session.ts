/** One signed-in session from greeting to end: wires both directions together, and gives everything back exactly once. */
import { timingSafeEqual } from 'node:crypto';
import type { Socket } from 'node:net';
import type { SessionInfo } from '../audit/event.ts';
import type { Lease, LeaseEnd } from '../backend/lease.ts';
import type { CancelHandle } from '../backend/cancel.ts';
import { GatewayError } from '../errors.ts';
import { encodeGatewayError } from '../wire/encode.ts';
import { ClientGate } from './client-gate.ts';
import { Conversation, type ConversationParts } from './conversation.ts';
import { Intake } from './intake.ts';
import type { LiveSession, SessionState, Traffic } from './live.ts';
import { Relay } from './relay.ts';
import { Watch } from './watch.ts';

/** How long a client may take to read its last words before its socket is destroyed. */
const farewellMs = 5_000;

export interface SessionParts extends Omit<ConversationParts, 'client' | 'ending'> {
	readonly socket: Socket;
	readonly cancel: CancelHandle;
	/** What the client sent right behind its last login message. */
	readonly rest: Buffer;
	/** Called once, when the session is over and its lease is given back. */
	readonly over: () => void;
}

export class Session implements LiveSession {
	readonly console = false;
	/** Milliseconds since the epoch. */
	readonly startedMs: number;
	readonly #parts: SessionParts;
	readonly #conversation: Conversation;
	readonly #intake: Intake;
	readonly #relay: Relay;
	readonly #begunMs: number;
	readonly #watch: Watch;
	/** Transaction mode: the way to the client, which waits while it is to hear something first. */
	readonly #gate: ClientGate | null;
	/** Bytes on the backend's socket before it was this client's. */
	readonly #before: Pick<Traffic, 'fromBackend' | 'toBackend'>;
	readonly #onBackendDrain = (): void => this.#conversation.pump();
	#lastHeardMs: number;
	#lingering: NodeJS.Timeout | null = null;

	constructor(parts: SessionParts) {
		this.#parts = parts;
		const { socket } = parts;
		this.#begunMs = performance.now();
		this.startedMs = parts.services.now();
		this.#watch = new Watch(parts.services.limits);
		this.#lastHeardMs = this.#begunMs;
		this.#before = bytesOn(parts.lease);
		this.#gate = parts.loan === undefined ? null : new ClientGate(socket, () => this.#drained());
		this.#conversation = new Conversation({
			...parts,
			client: this.#gate ?? { write: (bytes) => socket.write(bytes) },
			ending: { fail: (error, reason) => this.#end(reason, 'broken', error) },
		});
		this.#relay = new Relay(this.#conversation, this.#gate ?? socket, (error) => this.#backendGone(error));
		this.#intake = new Intake(this.#conversation, socket, () => this.#leave());
	}

	/** Begins to relay. The client has had its ReadyForQuery. */
	start(): void {
		const { socket, lease, rest } = this.#parts;
		const conversation = this.#conversation;
		socket.on('data', (chunk: Buffer) => {
			this.#lastHeardMs = performance.now();
			this.#intake.receive(chunk);
		});
		socket.on('drain', () => this.#drained());
		socket.once('end', () => this.#intake.end());
		socket.once('error', () => this.#end('connection lost', 'broken'));
		socket.once('close', () => this.#end('connection lost', 'broken'));
		lease?.connection.socket.on('drain', this.#onBackendDrain);
		lease?.connection.attach(this.#relay);
		if (conversation.loans !== null) conversation.loans.side = { relay: this.#relay, cancel: this.#parts.cancel };
		this.#parts.standing?.watch(({ error, reason }) => this.#end(reason, 'broken', error));
		if (rest.length > 0) this.#intake.receive(rest);
		// A client may have said everything, and that it is done, before its login was through.
		if (socket.readableEnded) this.#intake.end();
		socket.resume();
	}

	get ended(): boolean {
		return this.#conversation.ended;
	}

	get info(): SessionInfo {
		return this.#conversation.placedInfo;
	}

	/** True when BackendKeyData told the client this pid and key. */
	hasKey(pid: number, key: Buffer): boolean {
		const { cancel } = this.#parts;
		return cancel.pid === pid && cancel.key.length === key.length && timingSafeEqual(cancel.key, key);
	}

	interrupt(): boolean {
		// What the server is at work on is what is cancelled, as long as there is something.
		if (this.#conversation.replies.length > 0) return false;
		return this.#conversation.interrupt(() => new GatewayError('57014', 'canceling statement due to user request'));
	}

	/** Between two transactions, with nothing outstanding. */
	get idle(): boolean {
		const { replies, status, segmentOpen, outbox, pending } = this.#conversation;
		return pending === 0 && replies.length === 0 && status === 'I' && !segmentOpen && outbox.empty;
	}

	get streaming(): boolean {
		const { replies } = this.#conversation;
		return replies.head?.kind === 'replication' && replies.copyIn;
	}

	get pool(): object {
		return this.#conversation.database.pool;
	}

	get leased(): boolean {
		return this.#conversation.connection !== null;
	}

	follow(): boolean {
		return this.idle && !this.leased && this.#conversation.loans?.follow() === true;
	}

	get state(): SessionState {
		const { replies, status, segmentOpen, outbox } = this.#conversation;
		if (replies.length > 0 || segmentOpen || !outbox.empty) return 'active';
		if (status === 'I') return 'idle';
		return status === 'T' ? 'idle in transaction' : 'idle in transaction (aborted)';
	}

	/** Milliseconds since the client said something. */
	get quietMs(): number {
		return performance.now() - this.#lastHeardMs;
	}

	get traffic(): Traffic {
		const { socket, lease } = this.#parts;
		const fromClient = socket.bytesRead;
		const toClient = socket.bytesWritten;
		const lent = this.#conversation.loans?.traffic;
		if (lent !== undefined) return { fromClient, toClient, ...lent };
		const now = bytesOn(lease);
		const fromBackend = now.fromBackend - this.#before.fromBackend;
		return { fromClient, toClient, fromBackend, toBackend: now.toBackend - this.#before.toBackend };
	}

	get preparedStatements(): number {
		return this.#conversation.statements.size;
	}

	look(nowMs: number): void {
		const { replies, status, segmentOpen, transaction, loans } = this.#conversation;
		const { head } = replies;
		// A backup takes as long as it takes, and a stream has no end.
		if (head?.kind === 'replication') return;
		const verdict = this.#watch.look(
			{
				head,
				index: head?.run?.index ?? 0,
				// What came before the Sync is in a transaction, with all its locks.
				inTransaction: status !== 'I' || head !== undefined || segmentOpen,
				transaction,
				heardMs: this.#lastHeardMs,
				leasedMs: loans === null ? (this.#parts.lease?.bornMs ?? this.#begunMs) : loans.pinnedSinceMs(nowMs),
			},
			nowMs,
		);
		if (verdict.type === 'end') this.#end(verdict.reason, 'broken', verdict.error);
		else if (verdict.type === 'cancel') this.#cancelOverdue(verdict.error);
	}

	/** Tells the client (FATAL) and ends the session now. */
	terminate(error: GatewayError, reason: string): void {
		this.#end(reason, 'broken', error);
	}

	/** The client takes more. */
	#drained(): void {
		const { connection, loans } = this.#conversation;
		connection?.socket.resume();
		loans?.subscriptions.rest();
	}

	/** The client has left and all that it sent is handled: what it began may finish, for a while. */
	#leave(): void {
		const { replies, outbox, services, inBlock } = this.#conversation;
		const last = replies.last;
		const willFinish = last?.endsWithReady === true && !replies.copyIn;
		if ((outbox.empty || outbox.inMessage) && (last === undefined || !willFinish)) {
			this.#end('terminate', inBlock || last !== undefined || outbox.inMessage ? 'broken' : 'dirty');
			return;
		}
		this.#lingering ??= setTimeout(() => this.#abandon(), services.limits.lingerMs);
	}

	/** Nothing new is sent until the cancel request has arrived, so that it hits no later statement. */
	#cancelOverdue(error: GatewayError): void {
		const { pid, key } = this.#parts.cancel;
		const conversation = this.#conversation;
		const { head } = conversation.replies;
		if (head === undefined) return;
		conversation.overdue = { segment: head.segment, error };
		conversation.wait(conversation.services.cancels.cancel(pid, key));
	}

	/** The backend still works for a client that has left long ago. */
	#abandon(): void {
		const { pid, key } = this.#parts.cancel;
		this.#conversation.services.cancels.cancel(pid, key).then(
			() => this.#end('connection lost', 'broken'),
			() => this.#end('connection lost', 'broken'),
		);
	}

	#backendGone(error: Error | null): void {
		if (this.#conversation.backendSaidWhy) {
			this.#end('ended by the backend', 'broken');
			return;
		}
		const words = 'the connection to the database server was lost';
		const cause = error ?? undefined;
		this.#end('backend lost', 'broken', new GatewayError('08006', words, { severity: 'FATAL', cause }));
	}

	#end(reason: string, state: LeaseEnd, error?: GatewayError): void {
		const conversation = this.#conversation;
		if (conversation.ended) return;
		conversation.ended = true;
		conversation.interrupt(() => new GatewayError('57P01', 'the session is over'));
		// It looks at what is outstanding.
		const givenBack = conversation.loans?.end(state);
		const left = this.#leftAs(state);
		const { socket, lease, cancel, services, over } = this.#parts;
		services.ended?.(this);
		this.#parts.standing?.close();
		if (this.#lingering !== null) clearTimeout(this.#lingering);
		const { audit, log } = services;
		conversation.outbox.close();
		this.#intake.close();
		conversation.replies.abandon((expected) => expected.run?.endAll(audit, 'unknown', null));
		for (const portal of conversation.portals.values()) {
			portal.run.endAll(audit, portal.run.suspended ? 'success' : 'unknown', null);
		}
		conversation.portals.clear();
		conversation.statements.clear();
		if (error !== undefined) {
			log.warn({ session: conversation.info.id, sqlstate: error.sqlstate, error, reason }, 'session ended by an error');
		}
		this.#gate?.end();
		sayGoodbye(socket, this.#relay.inMessage ? undefined : error);
		cancel.release();
		const durationMs = performance.now() - this.#begunMs;
		audit.event({ type: 'logout', session: conversation.placedInfo, reason, durationMs });
		lease?.connection.detach();
		lease?.connection.socket.off('drain', this.#onBackendDrain);
		(givenBack ?? lease?.release(left) ?? Promise.resolve()).then(over, over);
	}

	/** Session mode: a cancel request may still reach the connection, so that it goes to nobody else then. */
	#leftAs(state: LeaseEnd): LeaseEnd {
		const { remains, atRest, replies } = this.#conversation;
		if (remains === null || state === 'broken') return state;
		const rests = atRest && !replies.doubtful && this.#relay.between;
		return rests && this.#parts.cancel.cancelled === null ? remains.end() : 'broken';
	}
}

function bytesOn(lease: Lease | null): Pick<Traffic, 'fromBackend' | 'toBackend'> {
	const socket = lease?.connection.socket;
	return { fromBackend: socket?.bytesRead ?? 0, toBackend: socket?.bytesWritten ?? 0 };
}

/** Last words, then the end of the stream; a client that does not read them is cut off. */
export function sayGoodbye(socket: Socket, error: GatewayError | undefined): void {
	if (socket.destroyed) return;
	socket.removeAllListeners('data');
	socket.resume();
	const timer = setTimeout(() => socket.destroy(), farewellMs);
	timer.unref();
	socket.once('close', () => clearTimeout(timer));
	// Errors of a socket that is on its way out interest nobody, but unheard they would end the process.
	socket.on('error', () => undefined);
	if (error === undefined) socket.end();
	else socket.end(encodeGatewayError(error));
}
