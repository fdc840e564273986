/** Decides which statements are traced, and follows each of those from its record to its end. */
import { randomBytes as systemRandomBytes } from 'node:crypto';
import type { Accepted } from '../../audit/log.ts';
import type { Outcome, SessionEvent, StatementRecord } from '../../audit/event.ts';
import type { AuditReceipt } from '../../stages.ts';
import type { RecordSink } from '../meters.ts';
import { contextOf, type TraceContext } from './context.ts';
import type { SpanExporter } from './exporter.ts';
import { type SpanOptions, spanOf, type Traced } from './span.ts';

export interface TracerOptions extends SpanOptions {
	/** Share of statements without a context of their own that begin a trace: 0 to 1. */
	readonly sampleRatio: number;
	readonly exporter: Pick<SpanExporter, 'add'>;
	/** Milliseconds since the epoch, with fractions. */
	readonly now: () => number;
	readonly random?: () => number;
	readonly randomBytes?: (bytes: number) => Buffer;
}

export class Tracer {
	readonly #options: TracerOptions;
	readonly #random: () => number;
	readonly #randomBytes: (bytes: number) => Buffer;
	readonly #open = new WeakMap<AuditReceipt, Traced>();

	constructor(options: TracerOptions) {
		this.#options = options;
		this.#random = options.random ?? Math.random;
		this.#randomBytes = options.randomBytes ?? systemRandomBytes;
	}

	/** The sink, with what passes traced. */
	tracing(sink: RecordSink): RecordSink {
		return {
			accept: (record, done) => this.#accept(sink, record, done),
			outcome: (receipt, outcome) => this.#outcome(sink, receipt, outcome),
			event: (event: SessionEvent, done?: Accepted) =>
				done === undefined ? sink.event(event) : sink.event(event, done),
		};
	}

	#accept(sink: RecordSink, record: StatementRecord, done: Accepted): void {
		const context = this.#contextFor(record);
		if (context === null) {
			sink.accept(record, done);
			return;
		}
		const startMs = this.#options.now();
		sink.accept(record, (error, receipt) => {
			if (receipt !== null)
				this.#begin(receipt, { record, context, startMs, spanId: this.#id(8), recordId: receipt.id });
			done(error, receipt);
		});
	}

	#begin(receipt: AuditReceipt, traced: Traced): void {
		if (traced.record.decision.effect !== 'deny') this.#open.set(receipt, traced);
		else this.#finish(traced, null);
	}

	#outcome(sink: RecordSink, receipt: AuditReceipt, outcome: Outcome): void {
		const traced = this.#open.get(receipt);
		if (traced !== undefined) {
			this.#open.delete(receipt);
			this.#finish(traced, outcome);
		}
		sink.outcome(receipt, outcome);
	}

	#finish(traced: Traced, outcome: Outcome | null): void {
		this.#options.exporter.add(spanOf(traced, outcome, this.#options.now(), this.#options));
	}

	/** The caller's decision counts, where there is one. What is only prepared is not traced. */
	#contextFor(record: StatementRecord): TraceContext | null {
		if (record.phase === 'prepare') return null;
		const given = contextOf(record.text ?? record.decision.sql);
		if (given !== null) return given.sampled ? given : null;
		const { sampleRatio } = this.#options;
		if (sampleRatio === 0 || this.#random() >= sampleRatio) return null;
		return { traceId: this.#id(16), parentId: null, sampled: true };
	}

	#id(bytes: number): string {
		return this.#randomBytes(bytes).toString('hex');
	}
}
