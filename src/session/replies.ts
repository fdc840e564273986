/** What the backend still has to answer, message by message, so that each of its messages is attributed to its cause. */
import type { GatewayError } from '../errors.ts';
import type { SharedStatement } from '../backend/shared-statements.ts';
import type { Change } from './pending-map.ts';
import type { Portal, Prepared } from './prepared.ts';
import type { Question } from './question.ts';
import type { Run } from './run.ts';

/**
 * parse, bind, close: one Complete. describe-*: (ParameterDescription,) RowDescription or NoData. execute: rows, then
 * CommandComplete, EmptyQueryResponse or PortalSuspended. query: the same for each statement, then ReadyForQuery.
 * function-call: FunctionCallResponse, ReadyForQuery. sync: ReadyForQuery. copy-end: nothing, it marks a CopyDone or
 * CopyFail that was sent before the backend asked for data. replication: whatever a replication command answers, then
 * ReadyForQuery.
 */
export type ExpectedKind =
	| 'parse'
	| 'bind'
	| 'close'
	| 'describe-statement'
	| 'describe-portal'
	| 'execute'
	| 'query'
	| 'function-call'
	| 'replication'
	| 'sync'
	| 'copy-end';

/** The answer to one message. */
export class Expected {
	readonly kind: ExpectedKind;
	/** Pipeline segment in which it was sent. */
	readonly segment: number;
	/** What was recorded for it; null for what needs no record. */
	run: Run | null = null;
	prepared: Prepared | null = null;
	portal: Portal | null = null;
	statementChange: Change<Prepared> | null = null;
	portalChange: Change<Portal> | null = null;
	/** The client must not see the replies: the message was the gateway's. */
	swallow = false;
	/** Transaction mode: the client gets this for the reply. */
	instead: Buffer | null = null;
	/** Transaction mode: a statement that is prepared for all who lease the backend. */
	shared: SharedStatement | null = null;
	/** Transaction mode: the one that a Describe looks at. */
	sharedAsDescribed: Pick<SharedStatement, 'shape' | 'describing'> | null = null;
	/** A Parse of the unnamed statement: the server drops the former one whatever becomes of it. */
	dropsUnnamed = false;
	/** The message was sent to fail: the client gets this in place of the backend's error. */
	denial: GatewayError | null = null;
	/** The gateway's own question, which takes the replies. */
	question: Question | null = null;
	/** What it does to the session has to be known before the next decision. */
	unsettles = false;
	/** Something has come that ends it, or a part of it. No Query and no FunctionCall is answered by ReadyForQuery alone. */
	answered = false;
	/** An ErrorResponse has come; only ReadyForQuery is left. */
	failed = false;

	constructor(kind: ExpectedKind, segment: number) {
		this.kind = kind;
		this.segment = segment;
	}

	/** ReadyForQuery is the last of its replies. */
	get endsWithReady(): boolean {
		const { kind } = this;
		return kind === 'sync' || kind === 'query' || kind === 'function-call' || kind === 'replication';
	}

	/** ReadyForQuery may be what comes next. */
	get awaitsReady(): boolean {
		const { kind } = this;
		return kind === 'query' || kind === 'function-call' ? this.answered || this.failed : this.endsWithReady;
	}

	/** `next` is at the head now: if it is not part of the same question, the question has been answered. */
	finishQuestion(next: Expected | undefined): void {
		if (this.question !== null && next?.question !== this.question) this.question.finish();
	}
}

export class ReplyQueue {
	readonly #items: Expected[] = [];
	#head = 0;
	#unsettled = 0;
	#skipping = false;
	#copyIn = false;
	/** Syncs that the backend has ignored if it took data as long as they came. */
	#ignoredSyncs = 0;
	/** The same, of a COPY that has failed: nobody knows how many of them came before that. */
	#doubtfulSyncs = 0;
	/** Who waits for the queue to be empty. */
	#waiting: ((empty: boolean) => void)[] = [];

	get length(): number {
		return this.#items.length - this.#head;
	}

	/** What the next message of the backend answers. */
	get head(): Expected | undefined {
		return this.#items[this.#head];
	}

	get last(): Expected | undefined {
		return this.length === 0 ? undefined : this.#items[this.#items.length - 1];
	}

	/** Answers outstanding that may change what names mean. */
	get unsettled(): number {
		return this.#unsettled;
	}

	/** The backend is known to ignore everything up to a Sync that has not been sent yet. */
	get skipping(): boolean {
		return this.#skipping;
	}

	/** The backend takes CopyData; it ignores Sync and Flush meanwhile. */
	get copyIn(): boolean {
		return this.#copyIn;
	}

	push(expected: Expected): void {
		if (expected.kind === 'sync') {
			if (this.#copyIn) {
				this.#ignoredSyncs += 1;
				return;
			}
			this.#skipping = false;
		} else if (expected.kind === 'copy-end') {
			if (this.#copyIn || this.length === 0) {
				this.#copyIn = false;
				return;
			}
		}
		if (expected.unsettles) this.#unsettled += 1;
		this.#items.push(expected);
	}

	/** The head has its last reply. */
	shift(): void {
		// What is answered to a Sync of the COPY comes before everything else.
		if (this.head?.kind !== 'sync' && this.head?.failed === false) this.#doubtfulSyncs = 0;
		this.#remove();
		while (this.head?.kind === 'copy-end') this.#remove();
	}

	/**
	 * The head has begun to take CopyData. A Sync that was sent behind it, before the end of the data, is ignored by the
	 * backend and has no answer, unless the COPY fails before that.
	 */
	beginCopyIn(): void {
		const items = this.#items;
		let at = this.#head + 1;
		this.#ignoredSyncs = 0;
		while (at < items.length && items[at]?.kind !== 'copy-end') {
			const ignored = items[at];
			if (ignored?.kind === 'sync') {
				// Nobody is to wait for what it would have ended: the Sync behind the data does.
				if (ignored.unsettles) this.#unsettled -= 1;
				items.splice(at, 1);
				this.#ignoredSyncs += 1;
			} else at += 1;
		}
		if (at < items.length) items.splice(at, 1);
		else {
			this.#copyIn = true;
			this.#wake(false);
		}
	}

	/** The COPY, if it was one, has come to its end. */
	endCopyIn(): void {
		this.#copyIn = false;
		this.#ignoredSyncs = 0;
	}

	/** An error: data that still comes is ignored by the backend, but not a Sync, which it may have read by now. */
	failCopyIn(): void {
		this.#copyIn = false;
		this.#doubtfulSyncs += this.#ignoredSyncs;
		this.#ignoredSyncs = 0;
	}

	/** ReadyForQuery may still come for a Sync that was sent while a COPY took data, and nobody knows whether it does. */
	get doubtful(): boolean {
		return this.#doubtfulSyncs > 0;
	}

	/** The head of an extended-query message has failed: everything up to the next Sync is skipped. `each` is told what. */
	failSegment(each: (skipped: Expected) => void): void {
		this.failCopyIn();
		while (this.length > 0 && this.head?.kind !== 'sync') {
			const skipped = this.head as Expected;
			this.#remove();
			each(skipped);
		}
		if (this.length === 0) this.#skipping = true;
	}

	/** A ReadyForQuery that nobody waited for. False: it is not that of a Sync behind the failure of a COPY either. */
	resume(): boolean {
		if (this.#doubtfulSyncs === 0) return false;
		this.#doubtfulSyncs -= 1;
		this.#skipping = false;
		return true;
	}

	/** The session is over. `each` is told what never got an answer. */
	abandon(each: (expected: Expected) => void): void {
		while (this.length > 0) {
			const expected = this.head as Expected;
			this.#remove();
			expected.question?.abandon();
			each(expected);
		}
	}

	/** Resolves with true once nothing is outstanding; with false when that takes more from the client first (a COPY). */
	whenEmpty(): Promise<boolean> {
		if (this.length === 0) return Promise.resolve(true);
		if (this.#copyIn) return Promise.resolve(false);
		return new Promise((resolve) => this.#waiting.push(resolve));
	}

	#wake(empty: boolean): void {
		const waiting = this.#waiting;
		this.#waiting = [];
		for (const resolve of waiting) resolve(empty);
	}

	#remove(): void {
		const head = this.#items[this.#head];
		if (head === undefined) return;
		if (head.unsettles) this.#unsettled -= 1;
		this.#head += 1;
		if (this.#head === this.#items.length) {
			this.#items.length = 0;
			this.#head = 0;
			if (this.#waiting.length > 0) this.#wake(true);
		} else if (this.#head >= 1024) {
			this.#items.splice(0, this.#head);
			this.#head = 0;
		}
	}
}
