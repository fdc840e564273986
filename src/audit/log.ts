/** The audit log: records are accepted, written in groups, and only then may the statement go on. */
import { GatewayError, unreachable } from '../errors.ts';
import type { AuditReceipt } from '../stages.ts';
import { Batch } from './batch.ts';
import { Chain } from './chain.ts';
import type { Entry } from './entry.ts';
import type { Outcome, SessionEvent, StatementRecord } from './event.ts';
import { eventBody, type OwnEvent, ownBody } from './event-lines.ts';
import type { DeliveryStats } from './delivery.ts';
import type { RetentionOptions } from './janitor.ts';
import { type AuditLimits, auditLimits } from './limits.ts';
import { type DirectoryLock, lockDirectory } from './lock.ts';
import { type LogFamily, sizeOfOthers } from './logs.ts';
import { NoteError } from './note.ts';
import { Receipt } from './receipt.ts';
import { type AuditFs, makeDirectory, nodeFs } from './segment.ts';
import { type SinkOptions, Upkeep } from './upkeep.ts';

/** Runs once, in the order of acceptance, never during the call itself. Either an error (53100 disk full, 53000, 58030, 57P01) or a receipt. */
export type Accepted = (error: GatewayError | null, receipt: AuditReceipt | null) => void;

export interface AuditLogOptions {
	/** Directory of the log; made with mode 0700 when missing. */
	readonly path: string;
	/** `os`: a record survives the end of the process. `disk`: also that of the machine (fdatasync, one for many records). */
	readonly durability: 'os' | 'disk';
	/** Text of an Ed25519 private key (PKCS#8 PEM, or base64 of its 32 bytes): signs checkpoints. Without it they are unsigned. */
	readonly key?: string | null;
	/** Name of the log on checkpoints; by default `portcullis/<random id>`. */
	readonly origin?: string | null;
	/** Whether values of bind parameters are recorded, or only their number. Default on. */
	readonly parameters?: 'on' | 'off';
	/** Version of this program, for the records. */
	readonly productVersion?: string;
	/** Those that differ from the defaults. */
	readonly limits?: Partial<AuditLimits>;
	/** Milliseconds since the epoch. */
	readonly now?: () => number;
	readonly files?: AuditFs;
	/** Where records are delivered to as well. By default nowhere. */
	readonly sinks?: readonly SinkOptions[];
	/** By default segments are kept for ever, as they are. */
	readonly retention?: Partial<RetentionOptions>;
	/** The other logs of the same gateway. By default there are none, and never were. */
	readonly family?: LogFamily;
	/** Called when a sink or the keeping of files fails, and with null when a sink goes on; for the operator's log. */
	readonly onTrouble?: (what: string, error: Error | null) => void;
}

export interface AuditStats {
	/** Number of records in the log: also the sequence of the next. */
	readonly records: number;
	/** Since the log was opened. */
	readonly bytes: number;
	readonly writes: number;
	readonly failures: number;
	/** Records waiting to be written. */
	readonly queued: number;
	/** Outcomes and events that could not be kept while the log could not be written; a record tells how many. */
	readonly lost: number;
	/** False since the last write failed: statements are refused until one succeeds. */
	readonly healthy: boolean;
	readonly lastError: string | null;
	/** File that is written to. */
	readonly segment: string | null;
	readonly signed: boolean;
	readonly sinks: readonly DeliveryStats[];
	/** Name of the sink that is so far behind that statements are refused, or null. */
	readonly blockedBy: string | null;
}

const takenOver = 'another process has taken the audit directory';
const diskFull = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);

function writeError(cause: unknown): GatewayError {
	const code = (cause as NodeJS.ErrnoException | null)?.code ?? '';
	return diskFull.has(code)
		? new GatewayError('53100', 'refused: the audit log cannot be written, its disk is full', { cause })
		: new GatewayError('58030', 'refused: the audit log cannot be written', { cause });
}

/** One writer of one directory. Everything that is accepted in a turn of the event loop is written with one write. */
export class AuditLog {
	readonly #chain: Chain;
	readonly #lock: DirectoryLock;
	readonly #limits: AuditLimits;
	readonly #durability: 'os' | 'disk';
	readonly #now: () => number;
	readonly #batch = new Batch();
	readonly #timers: NodeJS.Timeout[] = [];
	readonly #upkeep: Upkeep;
	#queue: Entry[] = [];
	#scheduled = false;
	/** While there are outcomes to write, and nothing that somebody waits for. */
	#later: NodeJS.Timeout | null = null;
	#syncing = false;
	#checkpointDue = false;
	/** The directory's lock is still ours. */
	#owner = true;
	#closing: Promise<void> | null = null;
	/** Nothing more is taken. */
	#ended = false;
	#onIdle: (() => void) | null = null;
	#writes = 0;
	#failures = 0;
	#lost = 0;
	#lostUnrecorded = 0;
	#lastError: GatewayError | null = null;
	#blockedBy: string | null = null;

	private constructor(chain: Chain, lock: DirectoryLock, options: AuditLogOptions, limits: AuditLimits) {
		this.#chain = chain;
		this.#lock = lock;
		this.#limits = limits;
		this.#durability = options.durability;
		this.#now = options.now ?? Date.now;
		this.#upkeep = new Upkeep({
			directory: options.path,
			sinks: options.sinks ?? [],
			retention: { compress: false, keepMs: null, keepBytes: null, ...options.retention },
			others: () => sizeOfOthers(options.family ?? null),
			now: this.#now,
			end: () => chain.end,
			recordRemoval: (removed) => this.#recordRemoval(removed),
			recordGap: (sink, first, last) => this.#own('audit-gap', { sink, first, last }, null),
			onTrouble: options.onTrouble ?? (() => {}),
		});
		this.#timers.push(
			setInterval(() => this.#tick(), limits.checkpointIntervalMs).unref(),
			setInterval(() => this.#retry(), limits.retryIntervalMs).unref(),
		);
		this.#upkeep.written();
	}

	/**
	 * Opens the directory for this process alone, puts a torn last line aside, and records the start.
	 * Throws GatewayError: F0001 when another process writes it, F0000 for a directory or key that will not do, XX001 for a log that
	 * cannot be continued, 53100 or 58030 when the first record cannot be written.
	 */
	static async open(options: AuditLogOptions): Promise<AuditLog> {
		const limits: AuditLimits = { ...auditLimits, ...options.limits };
		makeDirectory(options.path);
		const lock = await lockDirectory(options.path);
		let chain: Chain | null = null;
		try {
			chain = await Chain.open({
				directory: options.path,
				durability: options.durability,
				key: options.key ?? null,
				origin: options.origin ?? null,
				productVersion: options.productVersion ?? 'unknown',
				parameters: options.parameters ?? 'on',
				limits,
				now: options.now ?? Date.now,
				files: options.files ?? nodeFs,
				family: options.family ?? null,
			});
			recordStart(chain, options.durability);
			return new AuditLog(chain, lock, options, limits);
		} catch (error) {
			chain?.abandon();
			await lock.release();
			throw error instanceof NoteError ? new GatewayError('F0000', `audit.key: ${error.message}`) : error;
		}
	}

	/** `done` runs once the record is in the log, or could not be: then the statement must not be forwarded. */
	accept(record: StatementRecord, done: Accepted): void {
		const parameters = this.#chain.lines.parameters(record.parameters);
		this.#offer({ kind: 'statement', record, parameters, timeMs: this.#now(), done });
	}

	/** How it ended. The first outcome of a receipt counts. */
	outcome(receipt: AuditReceipt, outcome: Outcome): void {
		const record = Receipt.settle(receipt, this.#chain.logId);
		if (record === null) return;
		this.#offer({ kind: 'outcome', sequence: receipt.sequence, record, outcome, timeMs: this.#now() });
	}

	/** `done`, when given, runs as for `accept`: a login can wait for its record. Otherwise it is kept and tried again. */
	event(event: SessionEvent, done?: Accepted): void {
		this.#offer({ kind: 'event', event, timeMs: this.#now(), done: done ?? null });
	}

	#own(code: OwnEvent, unmapped: object, done: Accepted | null): void {
		this.#offer({ kind: 'own', code, unmapped, timeMs: this.#now(), done });
	}

	#recordRemoval(removed: readonly string[]): Promise<void> {
		return new Promise((resolve, reject) => {
			this.#own('audit-retention', { removed }, (error) => (error === null ? resolve() : reject(error)));
		});
	}

	get stats(): AuditStats {
		return {
			records: this.#chain.size,
			bytes: this.#chain.bytes,
			writes: this.#writes,
			failures: this.#failures,
			queued: this.#queue.length,
			lost: this.#lost,
			healthy: this.#lastError === null,
			lastError:
				this.#lastError === null
					? null
					: String((this.#lastError.cause as Error | undefined)?.message ?? this.#lastError.message),
			segment: this.#chain.segment,
			signed: this.#chain.signer !== null,
			sinks: this.#upkeep.stats,
			blockedBy: this.#blockedBy,
		};
	}

	/** Writes what waits, then that the log ended, and a last checkpoint. Later records are refused. */
	close(): Promise<void> {
		this.#closing ??= this.#close();
		return this.#closing;
	}

	async #close(): Promise<void> {
		for (const timer of this.#timers) clearInterval(timer);
		if (this.#later !== null) clearTimeout(this.#later);
		await this.#upkeep.closeFiles();
		await new Promise<void>((resolve) => {
			this.#onIdle = resolve;
			this.#schedule();
		});
		this.#ended = true;
		try {
			if (!this.#owner) throw new Error(takenOver);
			this.#chain.writeOwn('audit-stop', true, { pid: process.pid });
			this.#chain.close();
		} catch (error) {
			this.#chain.abandon();
			throw writeError(error);
		} finally {
			await this.#upkeep.closeSinks(this.#limits.closeGraceMs);
			await this.#lock.release();
		}
	}

	#offer(entry: Entry): void {
		const refusal = this.#refusal(entry);
		if (refusal !== null) {
			this.#refuse(entry, refusal);
			return;
		}
		this.#queue.push(entry);
		const { outcomesMax } = this.#limits;
		const waits = entry.kind === 'outcome' && this.#durability === 'disk' && this.#queue.length < outcomesMax;
		if (waits) this.#scheduleLater();
		else this.#schedule();
	}

	/** Why the entry cannot be taken now, or null. */
	#refusal(entry: Entry): GatewayError | null {
		const statement = entry.kind === 'statement';
		if (this.#ended || (this.#closing !== null && statement)) {
			return new GatewayError('57P01', 'refused: the audit log is closed');
		}
		if (this.#blockedBy !== null && statement) {
			return new GatewayError('53100', `refused: the audit sink ${this.#blockedBy} is too far behind`);
		}
		return this.#queue.length < this.#limits.queueRecordsMax
			? null
			: new GatewayError('53000', 'refused: too many records wait for the audit log');
	}

	#schedule(): void {
		if (this.#scheduled || this.#syncing) return;
		this.#scheduled = true;
		setImmediate(() => {
			this.#scheduled = false;
			this.#flush();
			if (!this.#syncing) this.#idle();
		});
	}

	/** Nobody waits for it, but the next statement would wait for the disk once more: most times one write takes both. */
	#scheduleLater(): void {
		if (this.#scheduled || this.#syncing || this.#later !== null) return;
		this.#later = setTimeout(() => {
			this.#later = null;
			if (this.#queue.length > 0) this.#schedule();
		}, this.#limits.outcomeDelayMs);
	}

	#idle(): void {
		const resolve = this.#onIdle;
		this.#onIdle = null;
		resolve?.();
	}

	/** The entry will not be written: who waits is told so, anything else is counted, and a record will tell how many. */
	#refuse(entry: Entry, error: GatewayError): void {
		if (entry.kind !== 'outcome' && entry.done !== null) {
			const { done } = entry;
			setImmediate(() => done(error, null));
			return;
		}
		this.#lost += 1;
		this.#lostUnrecorded += 1;
	}

	/** Writes the queue, a group at a time; with `disk` one group, and goes on when that is on the disk. */
	#flush(): void {
		while (!this.#syncing) {
			try {
				this.#chain.prepare();
				this.#writeOwn();
				if (this.#queue.length === 0) {
					this.#lastError = null;
					this.#upkeep.written();
					return;
				}
				this.#writeGroup();
			} catch (error) {
				this.#fail(error);
				return;
			}
		}
	}

	/** What the log has to say of itself. */
	#writeOwn(): void {
		if (!this.#owner) throw new Error(takenOver);
		if (this.#checkpointDue && this.#chain.uncovered > 0) this.#chain.checkpoint();
		this.#checkpointDue = false;
		if (this.#lostUnrecorded === 0) return;
		this.#chain.writeOwn('audit-gap', false, { lost: this.#lostUnrecorded });
		this.#lostUnrecorded = 0;
	}

	#writeGroup(): void {
		const first = this.#chain.size;
		const batch = this.#batch;
		const entries: Entry[] = [];
		batch.clear();
		let taken = 0;
		for (const entry of this.#queue) {
			taken += 1;
			if (this.#compose(entry, first + entries.length)) entries.push(entry);
			if (batch.byteLength >= this.#limits.batchBytesMax) break;
		}
		// Only those that cannot be composed leave the queue before the write: they would fail for ever.
		this.#queue = taken === entries.length ? this.#queue : [...entries, ...this.#queue.slice(taken)];
		this.#chain.append(batch);
		this.#writes += 1;
		this.#queue = entries.length === this.#queue.length ? [] : this.#queue.slice(entries.length);
		if (this.#durability === 'os') this.#settle(entries, first);
		else this.#sync(entries, first);
	}

	#sync(entries: readonly Entry[], first: number): void {
		this.#syncing = true;
		this.#chain.sync((error) => {
			this.#syncing = false;
			if (error === null) {
				this.#settle(entries, first);
				this.#flush();
			} else {
				this.#chain.retract(this.#batch);
				this.#queue = [...entries, ...this.#queue];
				this.#fail(error);
			}
			if (!this.#syncing) this.#idle();
		});
	}

	/** Adds the entry's line to the batch. False for one that no line can be made of, which is refused by itself. */
	#compose(entry: Entry, sequence: number): boolean {
		try {
			this.#line(entry, sequence);
			return true;
		} catch (error) {
			this.#batch.dropLine();
			this.#refuse(entry, writeError(error));
			return false;
		}
	}

	#line(entry: Entry, sequence: number): void {
		const { lines } = this.#chain;
		const batch = this.#batch;
		switch (entry.kind) {
			case 'statement':
				lines.statement(batch, entry.record, entry.parameters, entry.timeMs, sequence);
				return;
			case 'outcome':
				lines.outcome(batch, entry, entry.outcome, entry.timeMs, sequence);
				return;
			case 'event': {
				const { code, body, correlation } = eventBody(entry.event);
				lines.event(batch, code, body, entry.timeMs, sequence, correlation);
				return;
			}
			case 'own': {
				const ok = entry.code !== 'audit-gap';
				lines.event(batch, entry.code, ownBody(entry.code, this.#chain, ok, entry.unmapped), entry.timeMs, sequence);
				return;
			}
			default:
				unreachable(entry);
		}
	}

	/** They are in the log. Whoever waits goes on first; the leaves are hashed behind them. */
	#settle(entries: readonly Entry[], first: number): void {
		this.#lastError = null;
		let sequence = first;
		for (const entry of entries) {
			if (entry.kind !== 'outcome' && entry.done !== null) {
				const record = entry.kind === 'statement' ? entry.record : null;
				call(entry.done, null, new Receipt(this.#chain.logId, sequence, record));
			}
			sequence += 1;
		}
		this.#chain.commit(this.#batch);
	}

	/** Nothing of the queue is in the log: who waits is told so, the rest is kept for the next try. */
	#fail(cause: unknown): void {
		this.#failures += 1;
		const error = writeError(cause);
		this.#lastError = error;
		const kept: Entry[] = [];
		const waiting: Accepted[] = [];
		for (const entry of this.#queue) {
			if (entry.kind === 'outcome' || entry.done === null) kept.push(entry);
			else waiting.push(entry.done);
		}
		this.#queue = kept;
		for (const done of waiting) call(done, error, null);
	}

	#tick(): void {
		this.#owner &&= this.#lock.holds();
		this.#blockedBy = this.#upkeep.look();
		if (this.#chain.uncovered === 0) return;
		this.#checkpointDue = true;
		this.#schedule();
	}

	#retry(): void {
		if (this.#blockedBy !== null) this.#blockedBy = this.#upkeep.look();
		if (this.#lastError === null && this.#lostUnrecorded === 0) return;
		this.#checkpointDue = true;
		this.#schedule();
	}
}

/** An exception of the caller's must not keep the others from their answer; it surfaces as uncaught. */
function call(done: Accepted, error: GatewayError | null, receipt: Receipt | null): void {
	try {
		done(error, receipt === null ? null : receipt.asReceipt());
	} catch (thrown) {
		setImmediate(() => {
			throw thrown;
		});
	}
}

function recordStart(chain: Chain, durability: 'os' | 'disk'): void {
	const { previous, torn, problems } = chain.recovered;
	try {
		chain.writeOwn('audit-start', problems.length === 0, {
			pid: process.pid,
			durability,
			signed: chain.signer !== null,
			previous: previous?.name ?? null,
			previous_closed: previous?.closed ?? null,
			torn,
			problems,
		});
	} catch (error) {
		throw writeError(error);
	}
}
