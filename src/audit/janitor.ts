/** Keeps house in a log's directory: packs segments that are closed, and removes those that are older or more than is kept. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { leavesName, listSegments, type Segment, syncDirectory } from './segment.ts';

export interface RetentionOptions {
	/** Closed segments are compressed with gzip. */
	readonly compress: boolean;
	/** Segments whose last record is older are removed; null keeps them for ever. */
	readonly keepMs: number | null;
	/**
	 * The oldest segments are removed when all of them together are larger; null for any size. Where several logs share it, only those
	 * that are larger than their equal part give something up.
	 */
	readonly keepBytes: number | null;
}

/** Logs beside this one, all together. */
export interface OtherLogs {
	readonly logs: number;
	readonly bytes: number;
}

export interface JanitorOptions {
	readonly directory: string;
	readonly retention: RetentionOptions;
	readonly now: () => number;
	/** Name of the segment that is written to. */
	readonly current: () => string | null;
	/** What the other logs hold that share `keepBytes` with this one. By default there are none. */
	readonly others?: () => OtherLogs;
	/** Number of the oldest segment that somebody still reads: it and later ones stay as they are. */
	readonly needed: () => number;
	/**
	 * Called before segments are removed, with their names as they were written. Resolves when the log says so; rejects when that
	 * cannot be written, and then they stay.
	 */
	readonly recordRemoval: (names: readonly string[]) => Promise<void>;
	/** For the operator's log. */
	readonly onTrouble: (error: Error) => void;
}

interface File {
	readonly segment: Segment;
	readonly bytes: number;
	readonly changedMs: number;
}

/** Name of the segment as it was first written. */
function plainName({ name }: Segment): string {
	return name.replace(/\.gz$/, '');
}

export class Janitor {
	readonly #options: JanitorOptions;
	#running: Promise<void> | null = null;
	#again = false;
	readonly #closing = new AbortController();

	constructor(options: JanitorOptions) {
		this.#options = options;
	}

	/** Something may be to do. One round at a time; never rejects. */
	sweep(): void {
		if (this.#closing.signal.aborted) return;
		this.#again = true;
		this.#running ??= this.#rounds();
	}

	async close(): Promise<void> {
		this.#closing.abort();
		await this.#running;
	}

	async #rounds(): Promise<void> {
		while (this.#again && !this.#closing.signal.aborted) {
			this.#again = false;
			try {
				if (this.#options.retention.compress) await this.#pack();
				await this.#retire();
			} catch (error) {
				if (!this.#closing.signal.aborted)
					this.#options.onTrouble(error instanceof Error ? error : new Error(String(error)));
			}
		}
		this.#running = null;
	}

	/** Closed segments that nobody reads any more, oldest first. */
	#settled(): File[] {
		const { directory, current, needed } = this.#options;
		const open = current();
		return listSegments(directory)
			.filter(({ name, number }) => name !== open && number < needed())
			.flatMap((segment) => {
				const stat = fs.statSync(join(directory, segment.name), { throwIfNoEntry: false });
				return stat === undefined ? [] : [{ segment, bytes: stat.size, changedMs: stat.mtimeMs }];
			});
	}

	async #pack(): Promise<void> {
		const { directory } = this.#options;
		for (const { segment, changedMs } of this.#settled()) {
			if (segment.compressed || this.#closing.signal.aborted) continue;
			const plain = join(directory, segment.name);
			const packed = `${plain}.gz`;
			// Present beside its original: complete, for it gets that name only then.
			if (!fs.existsSync(packed)) {
				const target = fs.createWriteStream(`${packed}.new`, { mode: 0o600, flush: true });
				await pipeline(fs.createReadStream(plain), createGzip({ level: 4 }), target, { signal: this.#closing.signal });
				fs.utimesSync(`${packed}.new`, changedMs / 1000, changedMs / 1000);
				fs.renameSync(`${packed}.new`, packed);
				syncDirectory(directory);
			}
			fs.rmSync(plain);
		}
	}

	async #retire(): Promise<void> {
		const { directory, retention, now, recordRemoval } = this.#options;
		const { keepMs, keepBytes } = retention;
		if (keepMs === null && keepBytes === null) return;
		const files = this.#settled();
		let bytes = listSegments(directory).reduce(
			(sum, { name }) => sum + (fs.statSync(join(directory, name), { throwIfNoEntry: false })?.size ?? 0),
			0,
		);
		const others = this.#options.others?.() ?? { logs: 0, bytes: 0 };
		const old: Segment[] = [];
		for (const file of files) {
			const tooOld = keepMs !== null && file.changedMs < now() - keepMs;
			const tooMuch = keepBytes !== null && bytes + others.bytes > keepBytes && bytes > keepBytes / (others.logs + 1);
			// Only ever from the old end: what is left is one stretch of the log.
			if (!tooOld && !tooMuch) break;
			old.push(file.segment);
			bytes -= file.bytes;
		}
		if (old.length === 0) return;
		await recordRemoval(old.map(plainName));
		for (const segment of old) {
			fs.rmSync(join(directory, segment.name), { force: true });
			fs.rmSync(join(directory, leavesName(segment.name)), { force: true });
		}
	}
}
