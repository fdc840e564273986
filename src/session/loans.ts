/** Transaction mode: the backend that a session has for a transaction at a time, and what of the session goes along with it. */
import type { CancelHandle } from '../backend/cancel.ts';
import type { ByteSink } from '../backend/connection.ts';
import {
	askFor,
	type BackendPool,
	type Lease,
	type LeaseAsker,
	type LeaseEnd,
	type LeaseRequest,
} from '../backend/lease.ts';
import type { PooledBackend } from '../backend/pooled.ts';
import { noSettings, type Settings, settingsAnew, settingsChange } from '../backend/settings.ts';
import { GatewayError } from '../errors.ts';
import type { Decision } from '../stages.ts';
import { encodeParameterStatus } from '../wire/encode.ts';
import type { Conversation } from './conversation.ts';
import { ask } from './own-relations.ts';
import { Keepsakes, type PoolingRules } from './keepsakes.ts';
import { askWithin, Question } from './question.ts';
import type { Expected } from './replies.ts';
import type { DatabaseServices } from './services.ts';
import { shardSetting } from './shards.ts';
import { learnedSettings, stateQuestion, stateRow } from './state-question.ts';
import { Subscriptions } from './subscriptions.ts';

/** What a session in transaction mode begins with. */
export interface LoanParts {
	readonly pool: BackendPool;
	/** Key of the pool's targets. */
	readonly as: string | undefined;
	/** What the client asked for at startup, and what the server is told of it. */
	readonly startup: Settings;
	/** What the client was told at the login, by name. */
	readonly told: ReadonlyMap<string, string>;
	/** `base` of the backend that it was told from, and search_path there. */
	readonly base: string;
	readonly searchPath: string;
	readonly rules: PoolingRules;
}

/** What a backend is attached to while the session has it. */
export interface LoanSide {
	readonly relay: ByteSink & { readonly between: boolean };
	readonly cancel: CancelHandle;
}

const settled = Promise.resolve();

/** How often a backend is taken on which the session's settings cannot be had. */
const attemptsMax = 3;

export class Loans {
	readonly keepsakes: Keepsakes;
	readonly subscriptions: Subscriptions;
	/** What the client wants its settings to be. */
	settings: Settings;
	readonly #startup: Settings;
	readonly #conversation: Conversation;
	#pool: BackendPool;
	#request: LeaseRequest;
	/** Where the session was before the message at hand, which moves it to another shard; null: where it is. */
	#movedFrom: DatabaseServices | null = null;
	readonly #left = new AbortController();
	readonly #told: Map<string, string>;
	#base: string;
	#side: LoanSide | null = null;
	#lease: Lease | null = null;
	#backend: PooledBackend | null = null;
	/** There is a backend, and it is as the client wants it. */
	#ready = false;
	#failure: GatewayError | null = null;
	/** How often the message at hand has had a backend on which the session's settings could not be had. */
	#attempt = 0;
	readonly #asker: LeaseAsker = {
		// Whoever gives a lease back is not to do what its next holder has to.
		granted: (lease) => void settled.then(() => this.#fetched(lease)),
		refused: (error) => void settled.then(() => this.#notFetched(error)),
	};
	readonly #onDrain = (): void => this.#conversation.pump();
	/** Settings that a RESET has taken from what the client asked for at startup; they are set again. */
	#repairs = false;
	#fromBackend = 0;
	#toBackend = 0;
	#sinceRead = 0;
	#sinceWritten = 0;

	constructor(conversation: Conversation, parts: LoanParts) {
		this.#conversation = conversation;
		this.#pool = parts.pool;
		this.settings = parts.startup;
		this.#startup = parts.startup;
		this.#told = new Map(parts.told);
		this.#base = parts.base;
		this.keepsakes = new Keepsakes(parts.rules);
		this.subscriptions = new Subscriptions(conversation);
		this.#request = { startup: {}, as: parts.as, signal: this.#left.signal, client: this };
	}

	set side(side: LoanSide) {
		this.#side = side;
	}

	get ready(): boolean {
		return this.#ready;
	}

	/** Only while `ready`. */
	get backend(): PooledBackend {
		if (this.#backend === null) throw new Error('the session has no backend');
		return this.#backend;
	}

	/** Process id that the client was told when it signed in. */
	get toldPid(): number | null {
		return this.#side?.cancel.pid ?? null;
	}

	/** The client keeps its backend between its transactions. */
	get pinned(): boolean {
		return this.#lease !== null && this.keepsakes.pins.size > 0;
	}

	/** performance.now() when the backend was dialled that the client keeps; `otherwise` where it keeps none. */
	pinnedSinceMs(otherwise: number): number {
		return this.pinned ? (this.#backend?.bornMs ?? otherwise) : otherwise;
	}

	/** Bytes on the backends' sockets while they were this session's. */
	get traffic(): { readonly fromBackend: number; readonly toBackend: number } {
		const socket = this.#lease?.connection.socket;
		if (socket === undefined) return { fromBackend: this.#fromBackend, toBackend: this.#toBackend };
		return {
			fromBackend: this.#fromBackend + socket.bytesRead - this.#sinceRead,
			toBackend: this.#toBackend + socket.bytesWritten - this.#sinceWritten,
		};
	}

	/** Why there was no backend for the message at hand; asked once. Then the message has not moved the session either. */
	takeFailure(): GatewayError | null {
		const failure = this.#failure;
		this.#failure = null;
		if (failure !== null && this.#movedFrom !== null) this.#moveTo(this.#movedFrom);
		if (failure !== null) this.#movedFrom = null;
		return failure;
	}

	/** Nothing of the session is on a backend: the next one is of another shard, if there is one to be had. */
	moveTo(database: DatabaseServices): void {
		this.#movedFrom ??= this.#conversation.database;
		this.#moveTo(database);
	}

	/**
	 * Where the pool is retired, the session goes on where its database is now. Nothing of it may be on a backend. False: it is where
	 * it was, because nothing is another, or there is nowhere to go.
	 */
	follow(): boolean {
		const { database, identity } = this.#conversation;
		if (!database.pool.retired || this.#lease !== null) return false;
		const heir = database.heir?.(identity, database.leaseAs);
		if (heir === undefined) return false;
		// It was refused because of that, and asks again.
		if (this.#failure?.sqlstate === '57P01') this.#failure = null;
		const { leaseAs } = this.#movedFrom ?? {};
		this.#movedFrom = this.#movedFrom?.heir?.(identity, leaseAs) ?? null;
		this.#moveTo(heir);
		// What was done there since the catalogue was looked at first has to be known before anything is decided.
		this.#conversation.catalogStale = true;
		if (heir.pooling !== undefined) this.keepsakes.govern(heir.pooling);
		this.subscriptions.moved();
		return true;
	}

	/** True: there is a backend. Otherwise one is on its way, and the message has to be handled `again`. */
	borrow(): boolean {
		this.#attempt = 0;
		const taken = this.#pool.take?.(this.#asked()) ?? null;
		if (taken === null) {
			this.#fetch();
			return false;
		}
		return this.#begin(taken);
	}

	/** The session may have come to rest: then its backend is for others, unless something of the client's stays on it. */
	rest(): void {
		const { keepsakes, subscriptions } = this;
		if (this.#ready && this.#resting()) {
			// An answer may still come, or not: it must not reach another client.
			if (this.#conversation.replies.doubtful) keepsakes.pin('unknown');
			if (this.#repairs || keepsakes.doubtful) this.#conversation.wait(this.#learn());
			else if (keepsakes.pins.size === 0) {
				const owned = subscriptions.disown();
				if (owned === null) this.#giveBack();
				else this.#conversation.wait(owned);
			} else this.#lease?.pin?.([...keepsakes.pins]);
		}
		subscriptions.rest();
	}

	/** A notification that came from the backend itself is for who may have had it listen, and not for who is told of it anyway. */
	passes(channel: string): boolean {
		const { pins, doubts } = this.keepsakes;
		const mayListen = pins.has('listen') || pins.has('code') || pins.has('unknown') || doubts.has('listen');
		return mayListen && !this.subscriptions.isListening(channel);
	}

	/** A statement of the decision is about to be sent. */
	note(decision: Decision): void {
		this.keepsakes.note(decision);
		if (this.keepsakes.sequences && this.#backend !== null) this.#backend.sequences = true;
	}

	/** RESET of a setting, of all of them when `name` is null, has been done. */
	wasReset(name: string | null): void {
		if (name === null ? this.#startup !== noSettings : this.#startup.values.has(name)) this.#repairs = true;
	}

	/** DISCARD ALL has been done. */
	wasDiscarded(): void {
		this.#backend?.discarded();
		this.keepsakes.discarded();
		this.wasReset(null);
	}

	/** True: what a RESET took has to be set again before the next statement; `repair` does so. */
	get needsRepair(): boolean {
		return this.#repairs && this.#conversation.status !== 'E';
	}

	/** Nothing may be outstanding. Inside of a pipeline too. */
	repair(): Promise<void> {
		this.#repairs = false;
		const conversation = this.#conversation;
		const sql = settingsAnew(this.#startup.values);
		return new Promise((resolve, reject) => {
			const question = new Question((rows, error) => {
				// Without a backend the session is over.
				if (this.#backend !== null) this.#tell();
				if (rows === null) reject(error ?? new Error('no answer'));
				else resolve();
			});
			const end = conversation.segmentOpen ? 'flush' : 'sync';
			const { bytes, expected } = askWithin(question, conversation.segment, sql, end);
			conversation.outbox.forwardControl(bytes);
			for (const one of expected) conversation.replies.push(one);
			conversation.outbox.flush();
		});
	}

	/** The server has another unnamed statement now, or none. */
	lostUnnamed(): void {
		if (this.#backend !== null) this.#backend.unnamed = null;
	}

	/** The server has refused what was expected, or skipped it. */
	skipped({ kind, shared, sharedAsDescribed, dropsUnnamed, swallow, prepared }: Expected): void {
		if (kind === 'parse' && swallow && shared === null && prepared !== null) prepared.madeReal = null;
		if (sharedAsDescribed !== null) sharedAsDescribed.describing = false;
		if (shared !== null) this.#backend?.statements.remove(shared);
		if (kind === 'parse' && (dropsUnnamed || shared === null)) this.lostUnnamed();
	}

	/** ParameterStatus. True: the client is told. */
	reported(name: string, value: string, forClient: boolean): boolean {
		this.#backend?.reported.set(name, value);
		if (forClient) this.#told.set(name, value);
		return forClient;
	}

	/** Statements that may be prepared for others too have equal ones; null: what is prepared now is for this client. */
	get scope(): string | null {
		const { unsettled, temporary } = this.keepsakes;
		return unsettled || temporary || this.#conversation.catalogDirty ? null : this.settings.meaning;
	}

	/** The session is over; nothing is outstanding, or it is `broken`. */
	async end(state: LeaseEnd): Promise<void> {
		this.#left.abort();
		this.subscriptions.end();
		const lease = this.#lease;
		if (lease === null) return;
		const { doubtful } = this.#conversation.replies;
		const kept = state === 'broken' || doubtful || !this.#resting() ? 'broken' : this.keepsakes.end();
		lease.connection.detach();
		await this.#part(lease, kept);
	}

	#moveTo(database: DatabaseServices): void {
		const conversation = this.#conversation;
		// What the session has changed there, others are to know too.
		if (conversation.catalogStale) conversation.database.catalog.refresh().catch(() => undefined);
		conversation.moveTo(database);
		this.#pool = database.pool;
		this.#request = { ...this.#request, as: database.leaseAs };
		if (this.settings.values.has(shardSetting))
			this.settings = this.settings.with(new Map([[shardSetting, database.shard ?? null]]));
	}

	#asked(): LeaseRequest {
		if (this.#request.settings !== this.settings) this.#request = { ...this.#request, settings: this.settings };
		return this.#request;
	}

	#fetch(): void {
		this.#conversation.holdBack();
		askFor(this.#pool, this.#asked(), this.#asker);
	}

	/** In a crowd every transaction comes here: most times there is nothing more to wait for. */
	#fetched(lease: Lease): void {
		const conversation = this.#conversation;
		try {
			if (conversation.ended) void lease.release('clean');
			else this.#begin(lease);
		} catch (error) {
			conversation.breakDown(error);
		}
		conversation.goOn();
	}

	#notFetched(error: unknown): void {
		const conversation = this.#conversation;
		if (error instanceof GatewayError) this.#failure = error;
		else conversation.breakDown(error);
		conversation.goOn();
	}

	/** False: it is not ready yet, and the client's messages wait until it is, or another one. */
	#begin(lease: Lease): boolean {
		this.#take(lease);
		const work = this.#prepare();
		if (work === null) return true;
		this.#conversation.wait(work.then((done) => (done ? undefined : this.#tryAnother())));
		return false;
	}

	#tryAnother(): void {
		this.#attempt += 1;
		if (this.#conversation.ended) return;
		if (this.#attempt < attemptsMax) this.#fetch();
		else this.#failure = new GatewayError('08006', 'the settings of the session could not be restored');
	}

	#take(lease: Lease): void {
		const { pooled, connection } = lease;
		const conversation = this.#conversation;
		if (pooled === undefined || this.#side === null) throw new Error('a lease of another kind of pool');
		this.#lease = lease;
		this.#backend = pooled;
		pooled.onDrain = this.#onDrain;
		const { socket } = connection;
		this.#sinceRead = socket.bytesRead;
		this.#sinceWritten = socket.bytesWritten;
		conversation.connection = connection;
		conversation.place = pooled.place;
		conversation.outbox.point(socket);
		this.#side.cancel.point(connection);
		connection.attach(this.#side.relay);
	}

	/** Null: it is ready. Otherwise: whether it could be made so; if not, it is given up. */
	#prepare(): Promise<boolean> | null {
		const backend = this.backend;
		const conversation = this.#conversation;
		const foreign = backend.client !== this;
		const sequences = foreign && backend.sequences;
		const sql = settingsChange(backend.settings, this.settings);
		const isBase = backend.base === this.#base;
		backend.client = this;
		if (!isBase) {
			this.#base = backend.base;
			conversation.names.moved(backend.reported.get('search_path'));
		}
		if (sql === '' && isBase && !sequences) {
			this.#ready = true;
			this.#movedFrom = null;
			return null;
		}
		const texts = [sequences ? 'discard sequences' : '', sql].filter((text) => text !== '');
		return this.#makeReady(texts.join('; '));
	}

	async #makeReady(sql: string): Promise<boolean> {
		const conversation = this.#conversation;
		const backend = this.backend;
		try {
			if (sql !== '') await ask(conversation, sql);
		} catch {
			if (!conversation.ended) this.#giveUp();
			return false;
		}
		if (conversation.ended) return false;
		backend.sequences = false;
		backend.settings = this.settings;
		this.#tell();
		this.#ready = true;
		this.#movedFrom = null;
		return true;
	}

	/** What the server reports now and the client has not heard. */
	#tell(): void {
		for (const [name, value] of this.backend.reported) {
			if (this.#told.get(name) === value) continue;
			this.#told.set(name, value);
			this.#conversation.client.write(encodeParameterStatus(name, value));
		}
	}

	#resting(): boolean {
		return this.#conversation.atRest && this.#side?.relay.between === true;
	}

	/** Asks the server what of the client's is on the backend, now that a transaction is over that may have left something. */
	async #learn(): Promise<void> {
		const conversation = this.#conversation;
		const { keepsakes } = this;
		const names = keepsakes.touched(this.settings);
		const { doubts } = keepsakes;
		try {
			if (this.#repairs) await this.repair();
			if (doubts.size > 0 || names.length > 0) {
				const row = stateRow(await ask(conversation, stateQuestion(doubts, names)), doubts.size + names.length);
				keepsakes.learn(doubts, row);
				this.settings = this.settings.with(learnedSettings(names, row.slice(doubts.size)));
				this.backend.settings = this.settings;
			}
			this.#tell();
			keepsakes.settle();
		} catch {
			if (conversation.ended) return;
			// What is not known stays with its client.
			keepsakes.pin('unknown');
			keepsakes.settle();
		}
	}

	#giveUp(): void {
		const lease = this.#lease;
		if (lease === null) return;
		lease.connection.detach();
		void this.#part(lease, 'broken');
	}

	#giveBack(): void {
		const lease = this.#lease;
		if (lease === null) return;
		lease.connection.detach();
		this.#conversation.names.left();
		const end = this.keepsakes.end();
		this.keepsakes.start();
		void this.#part(lease, end);
	}

	/** A cancel request on its way is waited for: it must not hit whoever has the backend next. */
	#part(lease: Lease, end: LeaseEnd): Promise<void> {
		const conversation = this.#conversation;
		const { socket } = lease.connection;
		this.#fromBackend += socket.bytesRead - this.#sinceRead;
		this.#toBackend += socket.bytesWritten - this.#sinceWritten;
		const backend = this.#backend;
		if (backend !== null) backend.onDrain = null;
		this.#lease = null;
		this.#backend = null;
		this.#ready = false;
		this.subscriptions.parted();
		conversation.connection = null;
		conversation.outbox.point(null);
		const cancelled = this.#side?.cancel.cancelled ?? null;
		this.#side?.cancel.point(null);
		if (cancelled !== null && backend !== null) {
			backend.suspect = true;
			return cancelled.then((dealtWith) => lease.release(dealtWith ? end : 'broken'));
		}
		return lease.release(end);
	}
}
