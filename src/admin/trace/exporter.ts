/** Sends spans to a collector in batches (OTLP/HTTP with JSON). What does not get through in time is dropped, and counted. */
import { setTimeout as sleep } from 'node:timers/promises';

export interface ExporterOptions {
	/** The whole address, e.g. `http://localhost:4318/v1/traces`. */
	readonly url: string;
	/** Of the Authorization header; asked for anew for each request. Never printed. */
	readonly authorization?: () => Promise<string>;
	readonly version: string;
	/** Called when sending begins to fail, and with null when it goes on; for the operator's log. */
	readonly onTrouble?: (error: Error | null) => void;
	readonly fetch?: typeof fetch;
	readonly limits?: Partial<ExporterLimits>;
}

export interface ExporterLimits {
	/** Spans that wait; the next is dropped. */
	readonly queueMax: number;
	readonly batchMax: number;
	/** How long a span waits for others. */
	readonly intervalMs: number;
	readonly timeoutMs: number;
	/** Tries of one batch, and the wait after the first of them; it doubles. */
	readonly tries: number;
	readonly retryMs: number;
	/** How long closing waits for what is left. */
	readonly closeMs: number;
}

export const exporterLimits: ExporterLimits = Object.freeze({
	queueMax: 8_192,
	batchMax: 512,
	intervalMs: 5_000,
	timeoutMs: 10_000,
	tries: 4,
	retryMs: 500,
	closeMs: 2_000,
});

/** OTLP, "Retryable Response Codes". */
const retryable: ReadonlySet<number> = new Set([429, 502, 503, 504]);

export class SpanExporter {
	readonly #options: ExporterOptions;
	readonly #limits: ExporterLimits;
	readonly #closing = new AbortController();
	#queue: object[] = [];
	#timer: NodeJS.Timeout | null = null;
	#sending: Promise<void> | null = null;
	#failing = false;
	/** Spans that the collector has taken, and those that it will never get. */
	readonly counts = { sent: 0, dropped: 0 };

	constructor(options: ExporterOptions) {
		this.#options = options;
		this.#limits = { ...exporterLimits, ...options.limits };
	}

	add(span: object): void {
		if (this.#closing.signal.aborted || this.#queue.length >= this.#limits.queueMax) {
			this.counts.dropped += 1;
			return;
		}
		this.#queue.push(span);
		this.#schedule();
	}

	/** Sends what is left, for a while. */
	async close(): Promise<void> {
		const late = AbortSignal.timeout(this.#limits.closeMs);
		late.addEventListener('abort', () => this.#closing.abort(), { once: true });
		for (this.#send(); this.#sending !== null; this.#send()) await this.#sending;
		this.#closing.abort();
		this.counts.dropped += this.#queue.length;
		this.#queue = [];
	}

	/** A batch that is full goes now, another one in a while. */
	#schedule(): void {
		if (this.#queue.length >= this.#limits.batchMax) this.#send();
		else if (this.#queue.length > 0) this.#timer ??= setTimeout(() => this.#send(), this.#limits.intervalMs).unref();
	}

	#send(): void {
		if (this.#timer !== null) clearTimeout(this.#timer);
		this.#timer = null;
		if (this.#queue.length === 0 || this.#sending !== null || this.#closing.signal.aborted) return;
		const batch = this.#queue.splice(0, this.#limits.batchMax);
		this.#sending = this.#deliver(batch).then((ok) => {
			if (ok) this.counts.sent += batch.length;
			else this.counts.dropped += batch.length;
			this.#sending = null;
			this.#schedule();
		});
	}

	/** False when the batch is given up. Never rejects. */
	async #deliver(batch: readonly object[]): Promise<boolean> {
		const { tries, retryMs } = this.#limits;
		const { signal } = this.#closing;
		for (let attempt = 1; attempt <= tries; attempt += 1) {
			const problem = await this.#post(batch).catch((error: unknown) => ({ error, again: true }));
			if (problem === null) {
				this.#trouble(null);
				return true;
			}
			const { error, again } = problem;
			this.#trouble(error instanceof Error ? error : new Error(String(error)));
			if (!again || attempt === tries || signal.aborted) return false;
			await sleep(retryMs * 2 ** (attempt - 1), undefined, { signal, ref: false }).catch(() => undefined);
		}
		return false;
	}

	async #post(batch: readonly object[]): Promise<{ readonly error: Error; readonly again: boolean } | null> {
		const { url, authorization, version } = this.#options;
		const send = this.#options.fetch ?? fetch;
		const response = await send(url, {
			method: 'POST',
			headers: {
				'content-type': 'application/json',
				...(authorization === undefined ? {} : { authorization: await authorization() }),
			},
			body: requestOf(batch, version),
			signal: AbortSignal.any([this.#closing.signal, AbortSignal.timeout(this.#limits.timeoutMs)]),
			redirect: 'error',
		});
		await response.arrayBuffer();
		if (response.ok) return null;
		return { error: new Error(`the collector answered ${response.status}`), again: retryable.has(response.status) };
	}

	#trouble(error: Error | null): void {
		if ((error !== null) === this.#failing) return;
		this.#failing = error !== null;
		this.#options.onTrouble?.(error);
	}
}

/** The body of one ExportTraceServiceRequest. */
function requestOf(spans: readonly object[], version: string): string {
	const attributes = [
		{ key: 'service.name', value: { stringValue: 'portcullis' } },
		{ key: 'service.version', value: { stringValue: version } },
	];
	const scopeSpans = [{ scope: { name: 'portcullis', version }, spans }];
	return JSON.stringify({ resourceSpans: [{ resource: { attributes }, scopeSpans }] });
}
