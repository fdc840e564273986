/** Counts what happens while it happens, in plain numbers; whoever wants to know reads them. No I/O, no timers. */
import type { AuditReceipt, LoginMethod } from '../stages.ts';
import type { Accepted } from '../audit/log.ts';
import type { Outcome, SessionEvent, StatementRecord } from '../audit/event.ts';
import type { LiveSession, Traffic } from '../session/live.ts';
import type { SessionAudit } from '../session/services.ts';
import { Histogram } from './histogram.ts';

/** What becomes of a login, by the SQLSTATE that ended it. */
export type LoginResult = 'success' | 'refused' | 'denied' | 'full' | 'backend' | 'timeout' | 'left' | 'error';

/** Why a session ended: the reasons of the audit log, those that nobody foresaw as `other`. */
export const sessionEnds = [
	'terminate',
	'connection lost',
	'idle',
	'idle in transaction',
	'query timeout',
	'transaction timeout',
	'lifetime',
	'listener lost',
	'notifications',
	'token expired',
	'backend lost',
	'ended by the backend',
	'killed',
	'configuration',
	'shutdown',
	'result guard',
	'audit log failed',
	'protocol violation by the client',
	'protocol violation by the backend',
	'internal error',
	'other',
] as const;
export type SessionEnd = (typeof sessionEnds)[number];

const knownEnds: ReadonlySet<string> = new Set(sessionEnds);

/** Counters of one database, or of the gateway's own (the console). */
export class DatabaseMeter {
	readonly effects: Record<'allow' | 'mask' | 'deny', number> = { allow: 0, mask: 0, deny: 0 };
	readonly prepared: Record<'allow' | 'mask' | 'deny', number> = { allow: 0, mask: 0, deny: 0 };
	readonly outcomes: Record<Outcome['status'], number> = {
		success: 0,
		failure: 0,
		denied: 0,
		cancelled: 0,
		unknown: 0,
	};
	readonly durations = new Histogram();
	rows = 0;
	resultBytes = 0;
	sessions = 0;
	breaches = 0;
	readonly ends = new Map<SessionEnd, number>();
	/** Bytes of sessions that have ended. */
	fromClient = 0;
	toClient = 0;
	fromBackend = 0;
	toBackend = 0;

	addTraffic(traffic: Traffic): void {
		this.fromClient += traffic.fromClient;
		this.toClient += traffic.toClient;
		this.fromBackend += traffic.fromBackend;
		this.toBackend += traffic.toBackend;
	}
}

/** Where records go to: the audit log, or what stands for it. */
export interface RecordSink extends SessionAudit {
	accept(record: StatementRecord, done: Accepted): void;
}

export class Meters {
	readonly decisions = new Histogram();
	/** `method result`, e.g. `token success`. */
	readonly logins = new Map<string, number>();
	readonly reloads = { success: 0, failure: 0 };
	readonly cancels = { matched: 0, unmatched: 0, passed: 0 };
	/** Requests to peers, by what became of them; `found`: requests from peers whose key was known here. */
	readonly peerCancels = { sent: 0, failed: 0, dropped: 0, found: 0 };
	readonly #databases: Map<string, DatabaseMeter>;
	/** For what belongs to no database that there is. */
	readonly #nowhere = new DatabaseMeter();

	/** `databases`: every name that there is; a label never has another value. */
	constructor(databases: readonly string[]) {
		this.#databases = new Map(databases.map((name) => [name, new DatabaseMeter()]));
	}

	get databases(): ReadonlyMap<string, DatabaseMeter> {
		return this.#databases;
	}

	/** There is one more, unless it is there already. */
	add(database: string): void {
		if (!this.#databases.has(database)) this.#databases.set(database, new DatabaseMeter());
	}

	/** There is one less, and what was counted for it shows no more. */
	remove(database: string): void {
		this.#databases.delete(database);
	}

	of(database: string): DatabaseMeter {
		return this.#databases.get(database) ?? this.#nowhere;
	}

	/** Call it for each session at its end. */
	ended(session: LiveSession): void {
		this.of(session.info.database).addTraffic(session.traffic);
	}

	/** The sink, with everything that passes counted; `outcome` counts for `database`. */
	counting(sink: RecordSink, database: string): RecordSink {
		return new CountingSink(sink, this, this.of(database));
	}

	statement({ session, phase, decision }: StatementRecord): void {
		const meter = this.of(session.database);
		if (phase === 'prepare') meter.prepared[decision.effect] += 1;
		else meter.effects[decision.effect] += 1;
	}

	event(event: SessionEvent): void {
		switch (event.type) {
			case 'login':
				this.of(event.session.database).sessions += 1;
				this.#login(event.session.identity?.method ?? null, 'success');
				return;
			case 'login-failed':
				this.#login(event.method ?? null, loginResult(event.sqlstate, event.session.identity !== null));
				return;
			case 'logout': {
				const { ends } = this.of(event.session.database);
				const reason = knownEnds.has(event.reason) ? (event.reason as SessionEnd) : 'other';
				ends.set(reason, (ends.get(reason) ?? 0) + 1);
				return;
			}
			case 'guard-breach':
				this.of(event.session.database).breaches += 1;
				return;
			case 'cancel':
				this.cancels[event.session !== null ? 'matched' : event.passed === true ? 'passed' : 'unmatched'] += 1;
				if (event.session !== null && event.forwardedBy !== undefined) this.peerCancels.found += 1;
				return;
			case 'policy-reload':
				this.reloads[event.ok ? 'success' : 'failure'] += 1;
				return;
			default:
		}
	}

	#login(method: LoginMethod | null, result: LoginResult): void {
		const key = `${method ?? 'none'} ${result}`;
		this.logins.set(key, (this.logins.get(key) ?? 0) + 1);
	}
}

class CountingSink implements RecordSink {
	readonly #sink: RecordSink;
	readonly #meters: Meters;
	readonly #database: DatabaseMeter;

	constructor(sink: RecordSink, meters: Meters, database: DatabaseMeter) {
		this.#sink = sink;
		this.#meters = meters;
		this.#database = database;
	}

	accept(record: StatementRecord, done: Accepted): void {
		this.#meters.statement(record);
		this.#sink.accept(record, done);
	}

	outcome(receipt: AuditReceipt, outcome: Outcome): void {
		const meter = this.#database;
		meter.outcomes[outcome.status] += 1;
		meter.durations.observe(outcome.durationMs);
		meter.rows += outcome.rows ?? 0;
		meter.resultBytes += outcome.bytes;
		this.#sink.outcome(receipt, outcome);
	}

	event(event: SessionEvent, done?: Accepted): void {
		this.#meters.event(event);
		if (done === undefined) this.#sink.event(event);
		else this.#sink.event(event, done);
	}
}

/** `signedIn`: it is known who they are, so what failed came after the credentials. */
export function loginResult(sqlstate: string, signedIn: boolean): LoginResult {
	if (sqlstate === '53300') return 'full';
	if (sqlstate === '57014') return 'timeout';
	if (sqlstate.startsWith('28')) return 'refused';
	if (sqlstate === '42501' || sqlstate === '3D000' || sqlstate === '55000') return 'denied';
	if (sqlstate === '08P01') return 'error';
	if (sqlstate === '08006' && !signedIn) return 'left';
	if (sqlstate.startsWith('08') || sqlstate.startsWith('57') || sqlstate === '0A000') return 'backend';
	return 'error';
}
