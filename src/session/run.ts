/** A text that was recorded and is on its way: which of its statements is at work, and how each of them ended. */
import type { AuditReceipt, Decision, StatementDecision } from '../stages.ts';
import type { Outcome } from '../audit/event.ts';

const noReceipts: readonly AuditReceipt[] = [];

/** A statement that ended before its record was written. */
interface Early {
	readonly index: number;
	readonly outcome: Outcome;
}

const nothingEarly: readonly Early[] = [];

/** Where outcomes go. */
export interface OutcomeSink {
	outcome(receipt: AuditReceipt, outcome: Outcome): void;
}

/** One Query, one Parse or one portal. Its statements end one after the other; each end is told once. */
export class Run {
	readonly decision: Decision;
	/** One for each statement; empty until the records are written. */
	receipts: readonly AuditReceipt[] = noReceipts;
	/** The statement at work. */
	index = 0;
	/** Rows of result that the statement at work has sent so far, and bytes of result or of data that it has taken (COPY FROM STDIN). */
	rows = 0;
	bytes = 0;
	/** A portal that has given some of its rows and may give more. */
	suspended = false;
	#early: readonly Early[] = nothingEarly;
	/** performance.now() when the statement at work began. */
	#begunMs: number;

	constructor(decision: Decision, nowMs: number) {
		this.decision = decision;
		this.#begunMs = nowMs;
	}

	/** The statement at work; undefined when all have ended. */
	get statement(): StatementDecision | undefined {
		return this.decision.statements[this.index];
	}

	get ended(): boolean {
		return this.index >= this.decision.statements.length;
	}

	/** The records are written: from now on the backend works. What has ended before (skipped in a pipeline) is told now. */
	begin(sink: OutcomeSink, receipts: readonly AuditReceipt[], nowMs: number): void {
		this.receipts = receipts;
		this.#begunMs = nowMs;
		for (const { index, outcome } of this.#early) sink.outcome(receipts[index] as AuditReceipt, outcome);
		this.#early = nothingEarly;
	}

	/** The statement at work has ended; the next one begins. */
	end(sink: OutcomeSink, status: Outcome['status'], sqlstate: string | null, tag: string | null): void {
		const { index, statement } = this;
		this.index += 1;
		const nowMs = performance.now();
		// The record of a denial is complete by itself.
		if (statement !== undefined && statement.effect !== 'deny') {
			// The tag of a portal that ran in portions counts the last one only.
			const rows = tag === null || this.suspended ? this.rows : (rowsOfTag(tag) ?? this.rows);
			const outcome = { status, sqlstate, tag, rows, bytes: this.bytes, durationMs: nowMs - this.#begunMs };
			const receipt = this.receipts[index];
			if (receipt !== undefined) sink.outcome(receipt, outcome);
			else this.#early = [...this.#early, { index, outcome: { ...outcome, durationMs: 0 } }];
		}
		this.rows = 0;
		this.bytes = 0;
		this.#begunMs = nowMs;
	}

	/** Whatever has not ended yet ends like this. */
	endAll(sink: OutcomeSink, status: Outcome['status'], sqlstate: string | null): void {
		while (!this.ended) this.end(sink, status, sqlstate, null);
	}
}

/** `SELECT 5` and `INSERT 0 5` are 5; tags without a count are null. */
export function rowsOfTag(tag: string): number | null {
	const last = tag.charCodeAt(tag.length - 1);
	if (last < 0x30 || last > 0x39) return null;
	return Number(tag.slice(tag.lastIndexOf(' ') + 1));
}
