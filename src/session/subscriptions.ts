/** Transaction mode: what a session listens to by a listener that it shares. LISTEN and UNLISTEN take effect with their transaction. */
import type { Hearer, SharedListener } from '../backend/shared-listener.ts';
import { GatewayError } from '../errors.ts';
import type { Decision, StatementDecision } from '../stages.ts';
import type { TransactionStatus } from '../wire/backend.ts';
import { encodeCommandComplete } from '../wire/encode.ts';
import type { Conversation } from './conversation.ts';
import { cutOff, unheard } from './outlived.ts';

/** What a transaction has done so far. `channel` null: UNLISTEN *. */
type Action =
	| { readonly type: 'listen'; readonly channel: string }
	| { readonly type: 'unlisten'; readonly channel: string | null };

interface Heard {
	readonly channel: string;
	readonly message: Buffer;
}

/** What the server says to UNLISTEN, and the client is to read for its LISTEN. */
const unlistenTag = 'UNLISTEN';
const listenTag = 'LISTEN';
const listenComplete = encodeCommandComplete(listenTag);

/** Of the process id in a NotificationResponse: behind its type and length. */
const pidAt = 5;

/** While more than this waits in the socket, the client is told of nothing more. */
const socketBytesMax = 64 * 1024;

export class Subscriptions implements Hearer {
	readonly #conversation: Conversation;
	/** Channels that the session listens to. */
	readonly #listens = new Set<string>();
	/** Channels that the listener tells of: those, and those of LISTENs that have not come to their end. */
	readonly #joined = new Set<string>();
	/** Channels of LISTENs that were sent in the transactions under way. */
	readonly #sent = new Set<string>();
	/** Of the transaction under way, as far as the server has answered. */
	#actions: Action[] = [];
	#savepoints: { readonly name: string; readonly at: number }[] = [];
	#failed = false;
	/** Notifications that the client has not been told of, of channels that it listens to, or may by now. */
	#waiting: Heard[] = [];
	#waitingBytes = 0;
	/** Channels that the message at hand needs, and whether it can be sent. */
	#wanted: readonly string[] = [];
	#ready = false;
	#failure: GatewayError | null = null;
	/** The question whether everything has been told that there was when the statements under way came in. */
	#asked: Promise<void> | null = null;
	/** A statement under way may notify. */
	#notifies = false;
	/** Process of the backend on which the session alone has notified whatever is told with this from now on; null: of none that is known. */
	#ownPid: number | null = null;
	/** The session cannot go on once its transaction is over. */
	#end: { readonly error: GatewayError; readonly reason: string } | null = null;
	#over = false;

	constructor(conversation: Conversation) {
		this.#conversation = conversation;
	}

	/** There is something that hears for this session, and the server it is on would let it listen. */
	get shared(): boolean {
		const { database, loans } = this.#conversation;
		if (database.listener === undefined || loans?.ready !== true) return false;
		// In recovery LISTEN is refused by the server, in its own words.
		return loans.backend.reported.get('in_hot_standby') !== 'on';
	}

	/** It listens to something, or may by now. */
	get busy(): boolean {
		return this.#listens.size > 0 || this.#sent.size > 0;
	}

	/** It listens to something. */
	get listens(): boolean {
		return this.#listens.size > 0;
	}

	isListening(channel: string): boolean {
		return this.#listens.has(channel);
	}

	/**
	 * Before a statement of the decision is sent: what it listens to has to be heard by then, and what was committed before an
	 * UNLISTEN too. Null: go on. `wait`: it has to be handled again. GatewayError: it cannot be heard.
	 */
	prepare(decision: Decision): 'wait' | GatewayError | null {
		if (this.busy && this.#ownPid === null && this.#ownable && decision.statements.some(mayNotify)) {
			this.#conversation.wait(this.#own());
			return 'wait';
		}
		const channels = this.#toJoin(decision);
		const { failure, isReady } = this.#takeReady(channels);
		if (failure !== null || isReady) return failure;
		if (channels === null) return null;
		const { channelsMax } = this.#conversation.services.limits;
		if (new Set([...this.#joined, ...channels]).size > channelsMax)
			return new GatewayError('54000', `more than ${channelsMax} channels in one session`);
		this.#conversation.wait(this.#join(channels));
		return 'wait';
	}

	/** A statement of the decision is sent. */
	note(decision: Decision): void {
		for (const { effects } of decision.statements) {
			if (effects.length === 0) continue;
			for (const effect of effects) {
				if (effect.type !== 'listen' || effect.shared !== true) continue;
				this.#sent.add(effect.channel);
				// The transaction may have notified before it.
				this.#notifies = true;
			}
		}
		if (!this.busy) return;
		this.#notifies ||= decision.statements.some(mayNotify);
		if (!this.#notifies && !this.#conversation.inBlock) this.#asked = this.#listener?.caughtUp() ?? null;
	}

	/** CommandComplete with `tag`. Answers what the client gets in its place; null: as it came. */
	completed({ effects }: StatementDecision, tag: string): { readonly tag: string; readonly bytes: Buffer } | null {
		let told: ReturnType<Subscriptions['completed']> = null;
		for (const effect of effects) {
			switch (effect.type) {
				case 'listen':
					if (effect.shared !== true) break;
					this.#actions.push(effect);
					if (tag === unlistenTag) told = { tag: listenTag, bytes: listenComplete };
					break;
				case 'unlisten':
					if (this.busy) this.#actions.push(effect);
					break;
				case 'commit':
					// In a failed transaction the server rolls back.
					this.#finish(tag === 'COMMIT');
					break;
				case 'rollback':
					this.#finish(false);
					break;
				case 'savepoint':
					this.#savepoint(effect.does, effect.name);
					break;
				default:
			}
		}
		return told;
	}

	/** Before the backend goes to somebody else: resolves when all that was notified on it is here. Null: there is nothing to wait for. */
	disown(): Promise<void> | null {
		if (this.#ownPid === null) return null;
		const caughtUp = this.#listener?.caughtUp() ?? Promise.resolve();
		return caughtUp.then(() => {
			this.#ownPid = null;
		});
	}

	/** The session has no backend any more. */
	parted(): void {
		this.#ownPid = null;
	}

	/** ErrorResponse: the transaction has failed. */
	failed(): void {
		this.#failed = true;
	}

	/** ReadyForQuery, when it is no longer among what is outstanding. */
	readyForQuery(status: TransactionStatus): void {
		if (status === 'I') this.#finish(!this.#failed);
		this.#failed = status === 'E';
		const { replies, segmentOpen, outbox } = this.#conversation;
		if (replies.length > 0 || segmentOpen || !outbox.empty) return;
		if (status === 'I') this.#sent.clear();
		// Whatever came until now was committed before any LISTEN that is still to be.
		this.#drop(({ channel }) => !this.#listens.has(channel));
		if (status === 'I') this.#part();
	}

	/**
	 * Before the client is told that its transaction is over: a server tells it first of what has been notified until then (its own
	 * notifications, and those of whoever was told of theirs before it sent the statement). Resolves when that is here.
	 */
	caughtUp(): Promise<void> {
		const asked = this.#notifies ? null : this.#asked;
		this.#asked = null;
		this.#notifies = false;
		return asked ?? this.#listener?.caughtUp() ?? Promise.resolve();
	}

	/** Tells the client, wherever its transactions are. */
	tell(write: (bytes: Buffer) => void): void {
		if (this.#waiting.length === 0) return;
		const error = unheard(this.#conversation);
		if (error !== null) {
			this.#stop(error, 'policy');
			return;
		}
		const { listener } = this.#conversation.database;
		const kept: Heard[] = [];
		for (const one of this.#waiting) {
			if (this.#listens.has(one.channel)) {
				write(one.message);
				if (listener !== undefined) listener.told += 1;
			} else if (this.#sent.has(one.channel)) kept.push(one);
		}
		this.#waiting = kept;
		this.#waitingBytes = kept.reduce((sum, { message }) => sum + message.length, 0);
	}

	/** Where the client is between two transactions, it is told now; or it is the end of the session. */
	rest(): void {
		if (this.#waiting.length === 0 && this.#end === null) return;
		const conversation = this.#conversation;
		const { status, replies, segmentOpen, doomed, ended, client } = conversation;
		if (ended || status !== 'I' || replies.length > 0 || segmentOpen || doomed || client.held === true) return;
		if (this.#end !== null) {
			conversation.fail(this.#end.error, this.#end.reason);
			return;
		}
		if (cutOff(conversation)) return;
		if ((client.writableLength ?? 0) <= socketBytesMax) this.tell((bytes) => client.write(bytes));
	}

	hear(channel: string, message: Buffer): void {
		if (this.#end !== null || this.#over) return;
		if (!this.#listens.has(channel) && !(this.#sent.has(channel) && this.#inFlight)) return;
		this.#waiting.push({ channel, message: this.#signed(message) });
		this.#waitingBytes += message.length;
		this.rest();
		const { notifyBytesMax } = this.#conversation.services.limits;
		if (this.#waitingBytes > notifyBytesMax) this.#overflow(notifyBytesMax);
	}

	lost(): void {
		this.#joined.clear();
		if (this.#listens.size > 0) this.#miss();
	}

	/** The session is on another server, whose listener has joined all that it listens to; where it has not, something was missed. */
	moved(): void {
		for (const channel of this.#listens) if (this.#listener?.hears(this, channel) !== true) this.#miss();
	}

	/** The session is over. */
	end(): void {
		this.#over = true;
		this.#sent.clear();
		this.#listens.clear();
		this.#waiting = [];
		this.#part();
	}

	get #listener(): SharedListener | undefined {
		return this.#conversation.database.listener;
	}

	/** All that is heard is from the server that the session's backend is on. */
	get #ownable(): boolean {
		return this.#conversation.loans?.ready === true && this.#listener?.alone === true;
	}

	/** What others have notified on the backend is here by then: what comes from it afterwards is the session's own. */
	async #own(): Promise<void> {
		await this.#listener?.caughtUp();
		const { loans } = this.#conversation;
		this.#ownPid = loans?.ready === true ? loans.backend.connection.pid : 0;
	}

	/** Clients know their own notifications by the process id that they were told when they signed in. */
	#signed(message: Buffer): Buffer {
		const told = this.#conversation.loans?.toldPid ?? null;
		if (this.#ownPid === null || told === null || message.readInt32BE(pidAt) !== this.#ownPid) return message;
		const signed = Buffer.from(message);
		signed.writeInt32BE(told, pidAt);
		return signed;
	}

	/** A commit may be on its way. */
	get #inFlight(): boolean {
		const { replies, outbox, segmentOpen } = this.#conversation;
		return replies.length > 0 || segmentOpen || !outbox.empty;
	}

	/** Channels that the decision listens to, and where it may commit, all that the transaction does. Null: it waits for nothing. */
	#toJoin({ statements }: Decision): readonly string[] | null {
		let channels: Set<string> | null = null;
		let commits = false;
		let unlistens = false;
		for (const { effects } of statements) {
			if (effects.length === 0) continue;
			for (const effect of effects) {
				if (effect.type === 'listen' && effect.shared === true) channels = (channels ?? new Set()).add(effect.channel);
				else if (effect.type === 'commit') commits = true;
				else if (effect.type === 'unlisten') unlistens = this.#listens.size > 0;
			}
		}
		// A transaction that has failed is rolled back by its COMMIT.
		const { status, replies } = this.#conversation;
		if (status === 'E' && replies.length === 0) commits = false;
		if (commits && this.#sent.size > 0) channels = new Set([...(channels ?? []), ...this.#sent]);
		return channels !== null || unlistens ? [...(channels ?? [])] : null;
	}

	/** What came of joining them; what was joined for a message that never went out is not kept. */
	#takeReady(channels: readonly string[] | null): { readonly failure: GatewayError | null; readonly isReady: boolean } {
		if (channels === null && this.#wanted.length === 0 && !this.#ready) return { failure: null, isReady: true };
		const failure = channels === null ? null : this.#failure;
		const hears = (channel: string): boolean => this.#joined.has(channel) && this.#wanted.includes(channel);
		const isReady = channels === null || (this.#ready && channels.every(hears));
		this.#failure = null;
		this.#ready = false;
		this.#wanted = [];
		return { failure, isReady };
	}

	async #join(channels: readonly string[]): Promise<void> {
		this.#wanted = channels;
		try {
			if (channels.length === 0) await this.#listener?.caughtUp();
			else await this.#listener?.join(this, channels);
			for (const channel of channels) this.#joined.add(channel);
			this.#ready = true;
			// It left meanwhile.
			if (this.#over) this.#part();
			this.rest();
		} catch (error) {
			if (!(error instanceof GatewayError)) throw error;
			const { sqlstate, message, detail } = error;
			this.#failure = new GatewayError(sqlstate, message, {
				cause: error,
				...(detail === undefined ? {} : { detail }),
			});
		}
	}

	#savepoint(does: 'define' | 'release' | 'rollback', name: string): void {
		if (does === 'define') {
			this.#savepoints.push({ name, at: this.#actions.length });
			return;
		}
		const index = this.#savepoints.findLastIndex((savepoint) => savepoint.name === name);
		const savepoint = this.#savepoints[index];
		if (does === 'rollback') this.#failed = false;
		if (savepoint === undefined) return;
		if (does === 'rollback') this.#actions.length = savepoint.at;
		this.#savepoints.length = does === 'rollback' ? index + 1 : index;
	}

	/** The transaction is over. */
	#finish(committed: boolean): void {
		const actions = this.#actions;
		this.#failed = false;
		if (this.#savepoints.length > 0) this.#savepoints = [];
		if (actions.length === 0) return;
		this.#actions = [];
		if (!committed) return;
		for (const action of actions) {
			if (action.type === 'listen') this.#listens.add(action.channel);
			else if (action.channel === null) this.#listens.clear();
			else this.#listens.delete(action.channel);
		}
		for (const channel of this.#listens) if (!this.#joined.has(channel)) this.#miss();
		this.#drop(({ channel }) => !this.#listens.has(channel) && !this.#sent.has(channel));
	}

	#drop(isGone: (heard: Heard) => boolean): void {
		if (this.#waiting.length === 0) return;
		this.#waiting = this.#waiting.filter((one) => !isGone(one));
		this.#waitingBytes = this.#waiting.reduce((sum, { message }) => sum + message.length, 0);
	}

	/** The listener need not tell of what nobody here listens to. */
	#part(): void {
		if (this.#joined.size === this.#listens.size) return;
		for (const channel of this.#joined) {
			if (this.#listens.has(channel) || (!this.#over && this.#wanted.includes(channel))) continue;
			this.#joined.delete(channel);
			this.#listener?.part(this, channel);
		}
	}

	/** As with a connection of its own that is lost: whoever listens has to begin anew, and look at what it missed. */
	#miss(): void {
		if (this.#over) return;
		const words = 'terminating connection: the connection that hears notifications for it was lost';
		const detail = 'Notifications may have been missed.';
		this.#stop(new GatewayError('57P01', words, { severity: 'FATAL', detail }), 'listener lost');
	}

	#overflow(bytesMax: number): void {
		if (this.#listener !== undefined) this.#listener.overflows += 1;
		const words = `terminating connection: more than ${bytesMax} bytes of notifications wait for it`;
		const hint = 'Read what comes, and do not stay in a transaction for long while you listen.';
		this.#stop(new GatewayError('54000', words, { severity: 'FATAL', hint }), 'notifications');
	}

	#stop(error: GatewayError, reason: string): void {
		this.#end ??= { error, reason };
		this.#waiting = [];
		this.#waitingBytes = 0;
		queueMicrotask(() => this.rest());
	}
}

/** By NOTIFY, pg_notify, or code that the gateway does not look into. */
function mayNotify({ node, sql, executes, effects }: StatementDecision): boolean {
	if (node === 'NotifyStmt' || /notify/i.test(sql) || (executes !== undefined && /notify/i.test(executes))) return true;
	return effects.some((effect) => effect.type === 'leaves' && (effect.what === 'code' || effect.what === 'unknown'));
}
