/** Delivers a log to one sink, at least once: reads the segments from where the sink got to, retries, and says how far behind it is. */
import * as fs from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { isObject } from './record.ts';
import { listSegments } from './segment.ts';
import { type Sink, SinkError, type SinkRecord } from './sinks/sink.ts';

export interface DeliveryLimits {
	readonly batchRecordsMax: number;
	/** A batch is no longer, unless one record is. */
	readonly batchBytesMax: number;
	readonly timeoutMs: number;
	readonly retryMinMs: number;
	readonly retryMaxMs: number;
	/** Without acknowledgement: a record counts as delivered when the connection has been up for so long after it. */
	readonly confirmAfterMs: number;
}

export const deliveryLimits: DeliveryLimits = Object.freeze({
	batchRecordsMax: 512,
	batchBytesMax: 1024 * 1024,
	timeoutMs: 30_000,
	retryMinMs: 100,
	retryMaxMs: 30_000,
	confirmAfterMs: 2_000,
});

/** Where the log ends for readers: what is beyond it may still be taken back. */
export interface LogEnd {
	readonly segment: string;
	readonly bytes: number;
	/** Sequence of the first record of that segment. */
	readonly firstOfSegment: number;
	/** Number of records so far. */
	readonly size: number;
}

export interface DeliveryOptions {
	readonly directory: string;
	readonly sink: Sink;
	readonly end: () => LogEnd | null;
	readonly limits?: Partial<DeliveryLimits>;
	/** Called when something went wrong and when it goes on again; for the operator's log. */
	readonly onTrouble?: (error: Error | null) => void;
	/** Called when records, from first to last, will never be delivered. */
	readonly onGap?: (first: number, last: number) => void;
}

export interface DeliveryStats {
	readonly sink: string;
	/** Records handed over since the start, with those that were sent again. */
	readonly delivered: number;
	readonly retries: number;
	/** Records in the log that the sink has not taken yet. */
	readonly lagRecords: number;
	readonly lagBytes: number;
	readonly lastError: string | null;
}

/** A place between two records. */
interface Position {
	/** Number of the segment. */
	readonly segment: number;
	readonly offset: number;
	/** Sequence of the record that begins there. */
	readonly sequence: number;
}

interface Batch {
	readonly records: readonly SinkRecord[];
	readonly next: Position;
}

const cursorFolder = 'sinks';
const headPattern = /"event_code":"([a-z-]+)","sequence":(\d+),"uid":"([^"\\]+)"/;
const timePattern = /"original_time":"[^"\\]*"\},"time":(-?\d+)/;
// Within a JSON string the quotes would be escaped, so this is the attribute itself.
const severityPattern = /[,{]"severity_id":(\d+)/;

/** A line of the log as a record for sinks, or null when it is none (a log that was tampered with). */
function sinkRecordOf(line: string): SinkRecord | null {
	const head = headPattern.exec(line.slice(0, 400));
	if (head?.[1] === undefined || head[3] === undefined) return null;
	const timeMs = Number(timePattern.exec(line.slice(0, 600))?.[1] ?? 0);
	const severity = Number(severityPattern.exec(line)?.[1] ?? 1);
	return { sequence: Number(head[2]), uid: head[3], code: head[1], timeMs, severity, line };
}

export class Delivery {
	readonly #options: DeliveryOptions;
	readonly #limits: DeliveryLimits;
	readonly #stopping = new AbortController();
	readonly #running: Promise<void>;
	/** Next to be sent. */
	#position: Position;
	/** Everything before it need not be sent again. */
	#confirmed: Position;
	/** Sent, and not confirmed yet: until when to wait, and up to where. */
	#unconfirmed: { readonly dueMs: number; readonly upTo: Position }[] = [];
	#rewind = false;
	/** Somebody said `wake` since the log was last looked at. */
	#news = false;
	#wake: (() => void) | null = null;
	#file: { readonly name: string; readonly handle: FileHandle } | null = null;
	#delivered = 0;
	#retries = 0;
	#lastError: Error | null = null;

	constructor(options: DeliveryOptions) {
		this.#options = options;
		this.#limits = { ...deliveryLimits, ...options.limits };
		this.#position = this.#firstPosition();
		this.#confirmed = this.#position;
		options.sink.onBroken?.((error) => this.#broken(error));
		this.#running = this.#run();
	}

	/** There may be something new. Costs next to nothing while the sink is busy. */
	wake(): void {
		this.#news = true;
		this.#wake?.();
		this.#wake = null;
	}

	/** Number of the segment that is needed still; older ones may be packed or go. */
	get neededSegment(): number {
		return this.#confirmed.segment;
	}

	get stats(): DeliveryStats {
		const end = this.#options.end();
		return {
			sink: this.#options.sink.name,
			delivered: this.#delivered,
			retries: this.#retries,
			lagRecords: end === null ? 0 : Math.max(0, end.size - this.#confirmed.sequence),
			lagBytes: this.#lagBytes(end),
			lastError: this.#lastError?.message ?? null,
		};
	}

	/** Gives the sink `graceMs` to take what is left, then stops; the rest is delivered after the next start. */
	async close(graceMs: number): Promise<void> {
		const timer = setTimeout(() => this.#stopping.abort(), graceMs);
		const end = this.#options.end();
		while (!this.#stopping.signal.aborted && end !== null && this.#position.sequence < end.size) {
			this.wake();
			await pause(5, this.#stopping.signal);
		}
		clearTimeout(timer);
		this.#stopping.abort();
		this.wake();
		await this.#running;
		// The connection ends in order here: what was sent over it is as safe as it gets.
		const { sink } = this.#options;
		await turnsOfTheLoop();
		const inOrder = await sink.close().then(
			() => true,
			() => false,
		);
		if (inOrder && !this.#rewind) this.#confirm(this.#position);
		await this.#file?.handle.close();
	}

	async #run(): Promise<void> {
		const { signal } = this.#stopping;
		let backoffMs = this.#limits.retryMinMs;
		let recordsMax = this.#limits.batchRecordsMax;
		while (!signal.aborted) {
			try {
				if (this.#rewind) this.#goBack();
				this.#news = false;
				const batch = await this.#read(recordsMax);
				if (batch === null) {
					await this.#idle();
					continue;
				}
				if (batch.records.length > 0) await this.#send(batch.records);
				if (this.#rewind) continue;
				await this.#sent(batch.next);
				this.#delivered += batch.records.length;
				backoffMs = this.#limits.retryMinMs;
				recordsMax = this.#limits.batchRecordsMax;
				this.#trouble(null);
			} catch (error) {
				if (signal.aborted) return;
				this.#rewind = !this.#options.sink.acknowledges;
				this.#retries += 1;
				this.#trouble(error instanceof Error ? error : new Error(String(error)));
				if (error instanceof SinkError && error.tooLarge) recordsMax = Math.max(1, Math.floor(recordsMax / 2));
				const waitMs =
					(error instanceof SinkError ? error.retryAfterMs : null) ?? backoffMs * (0.5 + Math.random() / 2);
				backoffMs = Math.min(backoffMs * 2, this.#limits.retryMaxMs);
				await pause(waitMs, signal);
			}
		}
	}

	#send(records: readonly SinkRecord[]): Promise<void> {
		const signal = AbortSignal.any([this.#stopping.signal, AbortSignal.timeout(this.#limits.timeoutMs)]);
		return this.#options.sink.deliver(records, signal);
	}

	/** Waits for more, or for the moment when what was sent counts as delivered. */
	async #idle(): Promise<void> {
		const due = this.#unconfirmed[0]?.dueMs;
		await new Promise<void>((resolve) => {
			const timer = due === undefined ? undefined : setTimeout(() => this.wake(), Math.max(1, due - Date.now()));
			timer?.unref();
			this.#wake = () => {
				clearTimeout(timer);
				resolve();
			};
			if (this.#news || this.#stopping.signal.aborted) this.wake();
		});
		await this.#confirmDue();
	}

	async #sent(upTo: Position): Promise<void> {
		this.#position = upTo;
		if (this.#options.sink.acknowledges) {
			this.#confirm(upTo);
			return;
		}
		this.#unconfirmed.push({ dueMs: Date.now() + this.#limits.confirmAfterMs, upTo });
		await this.#confirmDue();
	}

	/** A connection that broke while this process was held up has broken before: what is known of it by now is heard first. */
	async #confirmDue(): Promise<void> {
		const now = Date.now();
		if (this.#unconfirmed[0] === undefined || this.#unconfirmed[0].dueMs > now) return;
		await turnsOfTheLoop();
		if (this.#rewind) return;
		while (this.#unconfirmed[0] !== undefined && this.#unconfirmed[0].dueMs <= now) {
			const { upTo } = this.#unconfirmed.shift() as { upTo: Position };
			if (this.#unconfirmed[0] === undefined || this.#unconfirmed[0].dueMs > now) this.#confirm(upTo);
		}
	}

	#confirm(position: Position): void {
		this.#confirmed = position;
		const path = this.#cursorPath();
		fs.writeFileSync(`${path}.new`, `${JSON.stringify(position)}\n`, { mode: 0o600 });
		fs.renameSync(`${path}.new`, path);
	}

	#broken(error: Error): void {
		if (this.#unconfirmed.length === 0 && this.#position.sequence === this.#confirmed.sequence) return;
		this.#rewind = true;
		this.#retries += 1;
		this.#trouble(error);
		this.wake();
	}

	#goBack(): void {
		this.#rewind = false;
		this.#position = this.#confirmed;
		this.#unconfirmed = [];
	}

	#trouble(error: Error | null): void {
		const changed = (error === null) !== (this.#lastError === null);
		this.#lastError = error;
		if (changed) this.#options.onTrouble?.(error);
	}

	// ------------------------------------------------------------ reading

	#cursorPath(): string {
		const folder = join(this.#options.directory, cursorFolder);
		fs.mkdirSync(folder, { recursive: true, mode: 0o700 });
		return join(folder, `${this.#options.sink.name}.cursor`);
	}

	/**
	 * Where it got to. A sink that is new begins with the segment that is written to, and so does one whose next segment was packed
	 * or removed while it was not configured: `onGap` is told.
	 */
	#firstPosition(): Position {
		const { directory, end, onGap } = this.#options;
		const segments = listSegments(directory);
		const cursor = readCursor(this.#cursorPath());
		if (cursor !== null && segments.some(({ number, compressed }) => number === cursor.segment && !compressed))
			return cursor;
		const last = segments.at(-1);
		const start = { segment: last?.number ?? 1, offset: 0, sequence: end()?.firstOfSegment ?? 0 };
		if (cursor !== null && cursor.sequence < start.sequence) onGap?.(cursor.sequence, start.sequence - 1);
		return start;
	}

	#lagBytes(end: LogEnd | null): number {
		if (end === null) return 0;
		let bytes = 0;
		for (const { number, name } of listSegments(this.#options.directory)) {
			if (number < this.#confirmed.segment) continue;
			const size =
				name === end.segment
					? end.bytes
					: (fs.statSync(join(this.#options.directory, name), { throwIfNoEntry: false })?.size ?? 0);
			bytes += number === this.#confirmed.segment ? Math.max(0, size - this.#confirmed.offset) : size;
		}
		return bytes;
	}

	/** The next records, or null when there are none yet. A batch without records only moves on to the next segment. */
	async #read(recordsMax: number): Promise<Batch | null> {
		const end = this.#options.end();
		if (end === null) return null;
		const segments = listSegments(this.#options.directory);
		const at = segments.find((segment) => segment.number >= this.#position.segment);
		if (at === undefined) return null;
		const offset = at.number === this.#position.segment ? this.#position.offset : 0;
		const handle = await this.#fileOf(at.name);
		const limit = at.name === end.segment ? end.bytes : (await handle.stat()).size;
		const batch = await this.#lines(
			handle,
			{ segment: at.number, offset, sequence: this.#position.sequence },
			limit,
			recordsMax,
		);
		if (batch !== null) return batch;
		const next = segments.find((segment) => segment.number > at.number);
		if (at.name === end.segment || next === undefined) return null;
		return { records: [], next: { segment: next.number, offset: 0, sequence: this.#position.sequence } };
	}

	async #lines(handle: FileHandle, from: Position, limit: number, recordsMax: number): Promise<Batch | null> {
		let length = Math.min(this.#limits.batchBytesMax, limit - from.offset);
		while (length > 0) {
			const { buffer, bytesRead } = await handle.read(Buffer.allocUnsafe(length), 0, length, from.offset);
			const text = buffer.subarray(0, bytesRead);
			const batch = cutBatch(text, from, recordsMax);
			if (batch !== null || bytesRead < length || from.offset + length >= limit) return batch;
			// One record is longer than a batch should be.
			length = Math.min(length * 4, limit - from.offset);
		}
		return null;
	}

	async #fileOf(name: string): Promise<FileHandle> {
		if (this.#file?.name === name) return this.#file.handle;
		await this.#file?.handle.close();
		this.#file = null;
		const handle = await open(join(this.#options.directory, name), 'r');
		this.#file = { name, handle };
		return handle;
	}
}

/** One for the end of a socket to be read, one for its being told, and one more. */
const turnsToHear = 3;

async function turnsOfTheLoop(): Promise<void> {
	for (let turn = 0; turn < turnsToHear; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

function cutBatch(bytes: Buffer, from: Position, recordsMax: number): Batch | null {
	const records: SinkRecord[] = [];
	let start = 0;
	let { sequence } = from;
	for (let end = bytes.indexOf(0x0a); end >= 0 && records.length < recordsMax; end = bytes.indexOf(0x0a, start)) {
		const record = sinkRecordOf(bytes.toString('utf8', start, end));
		start = end + 1;
		if (record === null) continue;
		records.push(record);
		sequence = record.sequence + 1;
	}
	return start === 0 ? null : { records, next: { segment: from.segment, offset: from.offset + start, sequence } };
}

function readCursor(path: string): Position | null {
	let value: unknown;
	try {
		value = JSON.parse(fs.readFileSync(path, 'utf8'));
	} catch {
		return null;
	}
	if (!isObject(value)) return null;
	const { segment, offset, sequence } = value;
	const sound = [segment, offset, sequence].every((number) => Number.isSafeInteger(number) && (number as number) >= 0);
	return sound ? (value as unknown as Position) : null;
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
	return new Promise((resolve) => {
		if (signal.aborted) return resolve();
		const done = () => {
			clearTimeout(timer);
			signal.removeEventListener('abort', done);
			resolve();
		};
		const timer = setTimeout(done, ms);
		timer.unref();
		signal.addEventListener('abort', done, { once: true });
	});
}
