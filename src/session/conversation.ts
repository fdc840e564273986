/** The state of one signed-in session that both directions share, and the few moves that they have in common. */
import type { BackendPlace, SessionInfo } from '../audit/event.ts';
import { lapseOf, type Standing } from '../auth/standing.ts';
import type { BackendConnection } from '../backend/connection.ts';
import type { Lease } from '../backend/lease.ts';
import { GatewayError } from '../errors.ts';
import type { Access, Decision, Identity } from '../stages.ts';
import type { TransactionStatus } from '../wire/backend.ts';
import { encodeFlush, encodeParse } from '../wire/encode.ts';
import { type Frontend, statementName } from '../wire/frontend.ts';
import type { Relation, Routine } from '../catalog/snapshot.ts';
import { type PreparedBefore, type RelationSearch, sharedListen } from '../pipeline.ts';
import { Cursors } from './cursors.ts';
import { type LoanParts, Loans } from './loans.ts';
import { SessionNames } from './names.ts';
import { Outbox } from './outbox.ts';
import { lookUp, lookUpRoutines } from './own-relations.ts';
import { PendingMap } from './pending-map.ts';
import { type Portal, type Prepared, portalWeight, resets, unsettles } from './prepared.ts';
import { askSearchPath, askSearchPathSimply, Question } from './question.ts';
import { Expected, ReplyQueue } from './replies.ts';
import { Remains } from './remains.ts';
import type { Replication } from './replication.ts';
import { shardDecision } from './shards.ts';
import type { DatabaseServices, SessionServices, StatementContext } from './services.ts';

/** done: the message is dealt with. again: it has to wait; it is handled anew when something has moved. */
export type Progress = 'done' | 'again';

/** The client's side as the conversation needs it. */
export interface ClientEnd {
	/** False: the client does not take it as fast; whoever produces should wait for `drain`. */
	write(bytes: Buffer): boolean;
	/** Transaction mode: what is written waits for something; and bytes that wait, there or in the socket. */
	readonly held?: boolean;
	readonly writableLength?: number;
}

/** What the session has to do when the conversation cannot or need not go on. */
export interface Ending {
	/** Tells the client (FATAL) and ends the session. `reason` is for log and audit. */
	fail(error: GatewayError, reason: string): void;
}

export interface ConversationParts {
	readonly services: SessionServices;
	readonly database: DatabaseServices;
	readonly identity: Identity;
	readonly info: SessionInfo;
	/** Null: in transaction mode, where `loan` says how to get one. */
	readonly lease: Lease | null;
	readonly loan?: LoanParts | undefined;
	readonly client: ClientEnd;
	readonly ending: Ending;
	/** Missing: the sign-in holds until `identity.expiresAtMs`. */
	readonly standing?: Standing | undefined;
	/** Missing: an ordinary connection. */
	readonly replication?: Replication | null;
}

/** Never a name that a client's statement could have by accident; nothing is ever stored under it. */
export const refusedStatement = statementName('portcullis refused');

const beginsStatement: ReadonlySet<Frontend['type']> = new Set(['Query', 'Parse', 'Bind', 'Execute', 'FunctionCall']);

export class Conversation {
	readonly services: SessionServices;
	/** In transaction mode another one once the session has moved: to another shard, or after its database. */
	database: DatabaseServices;
	readonly identity: Identity;
	/** Transaction mode; null: the session has one backend from its beginning to its end. */
	readonly loans: Loans | null;
	/** Session mode with `pool.reuse`: what the client leaves on its backend. */
	readonly remains: Remains | null;
	/** Null: between two leases. */
	connection: BackendConnection | null;
	readonly client: ClientEnd;
	readonly ending: Ending;
	readonly standing: Standing | undefined;
	/** What the connection was opened for; null: an ordinary one. */
	readonly replication: Replication | null;
	readonly outbox: Outbox;
	readonly replies = new ReplyQueue();
	readonly statements = new PendingMap<Prepared>(statementWeight);
	readonly portals = new PendingMap<Portal>(portalWeight);
	/** Those of DECLARE. */
	readonly cursors: Cursors;
	readonly names: SessionNames;
	/** In transaction mode `place` says which connection it is. */
	info: SessionInfo;
	/** Transaction mode: the connection that the session has or had last. Null: the one in `info`. */
	place: BackendPlace | null = null;
	/** As in the latest ReadyForQuery; T also when a failed transaction has been ended since. */
	status: TransactionStatus = 'I';
	/** Number of the pipeline segment that the client is sending: it ends with a Sync, Query or FunctionCall. */
	segment = 1;
	/** Extended-query messages have been sent since the segment began. */
	segmentOpen = false;
	/** A message was sent to fail: the backend will ignore what follows up to the next Sync, so that is not even sent. */
	doomed = false;
	/** A statement of the transaction under way touches protected relations. */
	touchedProtected = false;
	/** DDL was done: the catalogue must be looked at before the next decision. */
	catalogStale = false;
	/** The transaction under way has done DDL. */
	catalogDirty = false;
	/** Numbers of the transaction under way and of the latest statement, for the audit log. */
	transaction = 1;
	statement = 0;
	/** A transaction block is open if all that was sent succeeds. */
	inBlock = false;
	/** The backend has said (FATAL) why it closes the connection. */
	backendSaidWhy = false;
	/** The pipeline segment that has run for too long and is being cancelled, and what the client is told of it. */
	overdue: { readonly segment: number; readonly error: GatewayError } | null = null;
	/** The session is over: nothing is sent, recorded or decided any more. */
	ended = false;
	/** search_path was asked for on behalf of the message at hand, without an answer. */
	askedInVain = false;
	/** Something asynchronous has to finish before the next message of the client is handled. */
	pending = 0;
	/** Messages of the client wait in the intake until something moves. */
	stalled = false;
	/** Set by the intake: handles the client's messages that wait. */
	pump: () => void = () => undefined;

	#context: StatementContext | null = null;
	/** For EXECUTE: what the name stands for, if that is beyond doubt. */
	readonly #prepared = (name: string): PreparedBefore | undefined => {
		const found = this.statements.lookup(name, this.segment);
		if (found.type !== 'present') return undefined;
		const { decision } = found.value;
		const [statement] = decision.statements;
		return statement === undefined ? undefined : { decision, statement };
	};
	readonly #lookUp = async (search: RelationSearch): Promise<readonly Relation[]> => {
		const found = await lookUp(this, search);
		this.names.learnOwn(found);
		return found;
	};
	readonly #lookUpRoutines = (names: readonly string[]): Promise<readonly Routine[]> => lookUpRoutines(this, names);
	readonly #inTransaction = (): boolean => this.inBlock || this.status !== 'I';
	readonly #interruption = (): AbortSignal => (this.#deciding ??= new AbortController()).signal;
	/** Of the decision that takes long, while it is made. */
	#deciding: AbortController | null = null;
	/** A cancel request met that question: what the client's statement would have got, had it been under way already. */
	#cancelled: GatewayError | null = null;
	#decided: { readonly key: string; readonly access: Access; readonly decision: Decision } | null = null;
	#flushedAfter: Expected | undefined;
	/** The catalogue is being looked at for what the latest transaction has done. */
	#looked: Promise<unknown> | null = null;
	/** The VACUUM that has waited for a look. */
	#waitedFor: string | null = null;

	constructor(parts: ConversationParts) {
		this.services = parts.services;
		this.database = parts.database;
		this.identity = parts.identity;
		this.info = parts.info;
		this.connection = parts.lease?.connection ?? null;
		this.client = parts.client;
		this.ending = parts.ending;
		this.standing = parts.standing;
		this.replication = parts.replication ?? null;
		this.outbox = new Outbox(this.connection?.socket ?? null);
		this.cursors = new Cursors(parts.services.limits);
		const { loan } = parts;
		const reported = loan?.told ?? this.connection?.parameters;
		this.names = new SessionNames(reported?.get('search_path'));
		this.loans = loan === undefined ? null : new Loans(this, loan);
		const { reusing } = parts.database;
		this.remains = reusing === undefined || parts.lease === null ? null : new Remains(reusing, parts.lease);
		if (loan !== undefined && this.names.stale) this.names.answered(loan.searchPath);
	}

	/** `info` with the connection that the session has or had last. */
	get placedInfo(): SessionInfo {
		const { info, place } = this;
		if (place === null || (info.backendPid === place.pid && info.backendAddress === place.address)) return info;
		return { ...info, backendPid: place.pid, backendAddress: place.address };
	}

	/** Who asks under which policy and with which names: one object as long as none of them changes. */
	context(): StatementContext {
		const access: Access = this.services.accessFor(this.identity, this.database.name);
		const names = this.status === 'E' ? this.names.latest : this.names.current;
		const old = this.#context;
		const { identity, info, database } = this;
		const same = old !== null && old.access === access && old.names === names && old.info === info;
		if (same && old.catalog === database.catalog) return old;
		this.#context = {
			identity,
			database: database.name,
			access,
			catalog: database.catalog,
			names,
			info,
			prepared: this.#prepared,
			lookUp: this.#lookUp,
			lookUpRoutines: this.#lookUpRoutines,
			inTransaction: this.#inTransaction,
			interruption: this.#interruption,
		};
		return this.#context;
	}

	/** Of the policy under which the latest decision was made or checked. */
	get policyRevision(): string {
		return (this.#context ?? this.context()).access.revision;
	}

	/** The decision on a text; null while it is being made: then the message has to be handled `again`. */
	decide(sql: string, parameterTypes: readonly number[]): Decision | null {
		const known = this.#takeDecided(sql) ?? shardDecision(this, sql);
		const context = this.context();
		const decision =
			known ?? this.#await(sql, context.access, this.services.pipeline.decide(context, sql, parameterTypes));
		if (decision?.effect === 'deny' && this.#cancelled !== null) return { ...decision, error: this.#cancelled };
		if (decision !== null && this.#waitsForLook(sql, decision)) return null;
		return decision !== null && this.loans?.subscriptions.shared === true ? sharedListen(decision) : decision;
	}

	/** The decision on a FunctionCall; null as for `decide`. */
	decideCall(oid: number): Decision | null {
		const key = `FunctionCall ${oid}`;
		const known = this.#takeDecided(key);
		if (known !== null) return known;
		const context = this.context();
		return this.#await(key, context.access, this.services.pipeline.decideCall(context, oid));
	}

	/**
	 * True when the state of the session is known well enough to decide. Otherwise what is missing is on its way, and the
	 * message has to be handled `again`.
	 */
	settled(): boolean {
		const { replies, names, loans } = this;
		if (loans?.needsRepair === true) {
			if (replies.length > 0) return this.drain();
			this.wait(loans.repair().catch(() => undefined));
			return false;
		}
		if (replies.unsettled > 0 || ((names.dirty || this.catalogDirty) && replies.length > 0)) return this.drain();
		if (this.catalogStale) {
			this.catalogStale = false;
			const looked = this.#looked ?? this.#look();
			this.#looked = null;
			// Others are to know soon; what somebody may do who may do everything does not hang on it.
			if (this.loans !== null || !this.context().access.unrestricted) {
				this.wait(looked);
				return false;
			}
		}
		if (names.temporaryStale && !this.segmentOpen && this.status !== 'E') {
			if (replies.length > 0) return this.drain();
			this.wait(lookUp(this, names.wanted).then((found) => names.learnTemporary(found)));
			return false;
		}
		if (!names.stale || this.status === 'E' || this.askedInVain) return true;
		if (replies.length > 0) return this.drain();
		this.#ask();
		return false;
	}

	/** DDL was done in the transaction under way. */
	didDdl(): void {
		this.catalogDirty = true;
		this.catalogStale = true;
		this.#looked = null;
	}

	/** A transaction that did DDL is over: others are to know at once, and this session before its next decision. */
	committedDdl(): void {
		this.catalogDirty = false;
		this.catalogStale = true;
		this.#looked = this.database.catalog.follow().catch(() => undefined);
	}

	/** Nothing of the session is on a backend: whatever comes next is decided by the catalogue there. */
	moveTo(database: DatabaseServices): void {
		this.database = database;
		this.forgetMessage();
		this.#looked = null;
		const shard = typeof database.shard === 'string' ? { shard: database.shard } : {};
		this.info = { ...this.info, backendRole: database.backendRole, ...shard };
	}

	/** A Query of the gateway's own destroys the unnamed statement and portal; the statement is parsed again when it is needed. */
	loseUnnamed(): void {
		const { statements, portals, segment, loans } = this;
		if (loans !== null) loans.lostUnnamed();
		const found = loans === null ? statements.lookup('', segment) : ({ type: 'absent' } as const);
		if (found.type === 'present') {
			const lost = { ...found.value, serverText: null, verified: false, describedIn: 0 };
			statements.confirm(statements.change('', lost, segment));
		}
		if (portals.has('')) portals.confirm(portals.change('', undefined, segment));
	}

	/** False: the message has to wait. Once the sign-in has expired, no statement begins outside of a transaction any more. */
	admits(type: Frontend['type']): boolean {
		if (this.standing === undefined && this.identity.expiresAtMs === undefined) return true;
		const nowMs = this.services.now();
		const lapse = lapseOf(this.standing, this.identity, nowMs);
		if (lapse === null) return true;
		// A client that never lets its transaction end would never have to sign in again.
		if (nowMs < lapse.sinceMs + (this.standing?.graceMs ?? Number.POSITIVE_INFINITY)) {
			if (this.segmentOpen || !beginsStatement.has(type)) return true;
			if (this.replies.length > 0) return this.drain();
			if (this.status !== 'I') return true;
		}
		this.fail(lapse.error, lapse.reason);
		return false;
	}

	/** Sees to it that all outstanding replies come, by a Flush where no Sync is under way. Always false. */
	drain(): false {
		const last = this.replies.last;
		if (last !== undefined && !last.endsWithReady && last !== this.#flushedAfter) {
			this.#flushedAfter = last;
			this.outbox.forwardControl(encodeFlush());
		}
		return false;
	}

	/** A COPY has all its data. The server has ignored a Flush that came before that, so whatever waits for its answer asks again. */
	forgetFlush(): void {
		this.#flushedAfter = undefined;
	}

	/** Holds the client's messages back until `work` is done. */
	wait(work: Promise<unknown>): void {
		this.holdBack();
		work.then(
			() => this.goOn(),
			(error: unknown) => {
				this.breakDown(error);
				this.goOn();
			},
		);
	}

	/** Holds the client's messages back until `goOn`. */
	holdBack(): void {
		this.pending += 1;
	}

	/** What the latest `holdBack` was for is done. */
	goOn(): void {
		this.pending -= 1;
		if (!this.ended) this.pump();
	}

	/** Something went wrong inside of the gateway: the session is over. */
	breakDown(error: unknown): void {
		this.fail(internalError(error), 'internal error');
	}

	fail(error: GatewayError, reason: string): void {
		this.ending.fail(error, reason);
	}

	/**
	 * Answers an extended-query message with `error`: what goes to the backend in its place is sure to fail there, so that
	 * order, rollback, skip and status are the server's own.
	 */
	refuse(error: GatewayError): Progress {
		this.outbox.forwardControl(encodeParse(refusedStatement, refusedText(this, error)));
		this.replies.push(this.doom(error));
		return 'done';
	}

	/** What to expect of a Parse that is sent to fail. */
	doom(error: GatewayError): Expected {
		const expected = new Expected('parse', this.segment);
		expected.denial = error;
		this.doomed = true;
		this.segmentOpen = true;
		return expected;
	}

	/** A Sync, Query or FunctionCall has been sent. */
	endSegment(): void {
		this.segment += 1;
		this.segmentOpen = false;
		this.doomed = false;
		if (!this.inBlock) this.transaction += 1;
	}

	/** Nothing of the client's is outstanding, nothing waits, and no transaction is open, as far as this side knows. */
	get atRest(): boolean {
		const { pending, stalled, ended, status, segmentOpen, doomed, replies, outbox } = this;
		if (pending > 0 || ((stalled || doomed) && !ended) || status !== 'I' || segmentOpen) return false;
		if (replies.length > 0 || replies.skipping || replies.copyIn) return false;
		return outbox.empty;
	}

	/** Follows BEGIN, COMMIT and ROLLBACK ahead of the replies, for the numbering of transactions. */
	followBlocks(decision: Decision): void {
		for (const statement of decision.statements) {
			for (const effect of statement.effects) {
				if (effect.type === 'begin') this.inBlock = true;
				else if (effect.type === 'commit' || effect.type === 'rollback') this.inBlock = false;
				else if (effect.type === 'alone') this.services.leave?.(this.database, effect.database);
			}
			if (statement.touchesProtected) this.touchedProtected = true;
		}
	}

	/** An Expected for a run of the decision. */
	expectRun(kind: 'query' | 'execute' | 'function-call' | 'replication', decision: Decision): Expected {
		const expected = new Expected(kind, this.segment);
		expected.unsettles = unsettles(decision) || (this.loans !== null && resets(decision));
		return expected;
	}

	/** The message at hand is not handled any more: what was decided for it while it waited is not for another. */
	forgetMessage(): void {
		this.#decided = null;
		this.askedInVain = false;
		this.#cancelled = null;
	}

	/** What was decided for the message at hand while it waited. */
	#takeDecided(key: string): Decision | null {
		const decided = this.#decided;
		this.#decided = null;
		// While it was made the policy may have become another: then it is made again.
		return decided?.key === key && decided.access === this.context().access ? decided.decision : null;
	}

	/** The decision that takes long is not waited for any more: it is a refusal with this error. False: there is none. */
	interrupt(error: () => GatewayError): boolean {
		if (this.#deciding === null) return false;
		this.#deciding.abort(error());
		return true;
	}

	/** VACUUM keeps what a look may still see; masks and refusals follow what others have just changed. Waits once for each. */
	#waitsForLook(sql: string, { effect, statements }: Decision): boolean {
		const { catalog } = this.database;
		const clears = effect !== 'deny' && !this.#inTransaction() && statements.some(({ node }) => node === 'VacuumStmt');
		const follows = effect === 'deny' || statements.some(({ touchesProtected }) => touchesProtected);
		const awaited = clears ? catalog.underWay : follows ? catalog.following : null;
		const look = this.#waitedFor === sql ? null : awaited;
		this.#waitedFor = look === null ? null : sql;
		if (look !== null) this.wait(look);
		return look !== null;
	}

	/** A look that fails leaves the catalogue stale, and the decision says so to the client. */
	#look(): Promise<unknown> {
		return this.database.catalog.refresh().catch(() => undefined);
	}

	#await(key: string, access: Access, made: Decision | Promise<Decision>): Decision | null {
		if (!(made instanceof Promise)) return made;
		this.wait(
			made.then((decision) => {
				this.#deciding = null;
				this.#decided = { key, access, decision };
			}),
		);
		return null;
	}

	#ask(): void {
		const question = new Question((rows, error) => {
			const answer = rows?.[0]?.[0] ?? null;
			this.pending -= 1;
			this.askedInVain = answer === null;
			this.#cancelled = error?.sqlstate === '57014' ? error : null;
			this.names.answered(answer);
			// The intake goes on after the chunk of replies is dealt with.
		});
		this.pending += 1;
		const { bytes, expected } =
			this.replication === null
				? askSearchPath(question, this.segment, this.segmentOpen ? 'flush' : 'sync')
				: askSearchPathSimply(question, this.segment);
		this.outbox.forwardControl(bytes);
		for (const one of expected) this.replies.push(one);
	}
}

/** Text that no grammar accepts; it explains itself to whoever reads the server's log. */
export function refusedText(conversation: Conversation, error: GatewayError): string {
	const where = `session ${conversation.info.id}, statement ${conversation.statement}`;
	return `portcullis_denied /* ${error.sqlstate}: refused by the Portcullis gateway, see its audit log: ${where} */`;
}

/** For what should not happen: the client learns that it was the gateway, the operator's log has the cause. */
export function internalError(cause: unknown): GatewayError {
	return new GatewayError('XX000', 'internal error of the gateway', { severity: 'FATAL', cause });
}

function statementWeight(prepared: Prepared): number {
	return prepared.sql.length + (prepared.serverText === prepared.sql ? 0 : (prepared.serverText?.length ?? 0)) + 200;
}
