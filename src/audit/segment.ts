/** The files of a log: their names, and one that is written to. A segment is whole lines or it is repaired; never half a record. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { GatewayError } from '../errors.ts';

/** What the log needs of the file system; tests put faults behind it. */
export interface AuditFs {
	readonly openSync: (path: string, flags: number, mode: number) => number;
	readonly writeSync: (fd: number, buffer: Buffer, offset: number, length: number) => number;
	readonly ftruncateSync: (fd: number, length: number) => void;
	readonly fdatasyncSync: (fd: number) => void;
	readonly fdatasync: (fd: number, done: (error: NodeJS.ErrnoException | null) => void) => void;
	readonly closeSync: (fd: number) => void;
}

export const nodeFs: AuditFs = {
	openSync: fs.openSync,
	writeSync: (fd, buffer, offset, length) => fs.writeSync(fd, buffer, offset, length),
	ftruncateSync: fs.ftruncateSync,
	fdatasyncSync: fs.fdatasyncSync,
	fdatasync: fs.fdatasync,
	closeSync: fs.closeSync,
};

/** One file of the log. */
export interface Segment {
	/** From 1; grows by one with every file. */
	readonly number: number;
	/** File name within the log's directory. */
	readonly name: string;
	readonly compressed: boolean;
}

const namePattern = /^audit-(\d{8,})-\d{8}T\d{6}Z\.jsonl(\.gz)?$/;

/** Names sort by number, also when the clock went backwards. */
export function segmentName(number: number, timeMs: number): string {
	const stamp = new Date(timeMs).toISOString().replaceAll(/[-:]|\.\d+/g, '');
	return `audit-${String(number).padStart(8, '0')}-${stamp}.jsonl`;
}

/** File in the log's directory with the newest checkpoint: to be copied elsewhere. */
export const checkpointName = 'checkpoint';

/** Leaf hashes of a segment, 32 bytes each, beside it: says which record was changed. */
export function leavesName(segment: string): string {
	return `${segment.replace(/\.gz$/, '')}.leaves`;
}

/** Number of a segment from its file name, or null for another file. */
export function parseSegmentName(name: string): Segment | null {
	const match = namePattern.exec(name);
	return match === null ? null : { number: Number(match[1]), name, compressed: match[2] !== undefined };
}

/**
 * Segments of a directory in the order of their numbers. A compressed one stands aside while its original is still there. Two of one
 * number should not be; both are listed, so that whoever reads them sees it.
 */
export function listSegments(directory: string): Segment[] {
	const names = new Set(fs.readdirSync(directory));
	return [...names]
		.map(parseSegmentName)
		.filter((segment) => segment !== null)
		.filter(({ name, compressed }) => !compressed || !names.has(name.replace(/\.gz$/, '')))
		.toSorted((left, right) => left.number - right.number || (left.name < right.name ? -1 : 1));
}

/** Makes an entry of a directory itself last (a new or renamed file). */
export function syncDirectory(directory: string): void {
	const fd = fs.openSync(directory, fs.constants.O_RDONLY);
	try {
		fs.fsyncSync(fd);
	} finally {
		fs.closeSync(fd);
	}
}

const writableByOthers = 0o022;

/** Makes the log's directory when it is missing. Throws GatewayError F0000 for one that will not do. */
export function makeDirectory(path: string): void {
	try {
		fs.mkdirSync(path, { recursive: true, mode: 0o700 });
		fs.accessSync(path, fs.constants.R_OK | fs.constants.W_OK | fs.constants.X_OK);
		// Whoever may write the directory could put other files in the place of these. One that is another's is another's to mend.
		const { mode, uid } = fs.statSync(path);
		if ((mode & writableByOthers) !== 0 && uid === process.getuid?.())
			fs.chmodSync(path, mode & ~writableByOthers & 0o777);
	} catch (cause) {
		const why = (cause as NodeJS.ErrnoException).code ?? String(cause);
		throw new GatewayError('F0000', `audit.path: ${path} cannot be used as a directory (${why})`, { cause });
	}
}

const createFlags = fs.constants.O_WRONLY | fs.constants.O_APPEND | fs.constants.O_CREAT | fs.constants.O_EXCL;

/** Appends to one file of its own. A write that fails leaves the file as it was, or `append` goes on failing until it is. */
export class SegmentWriter {
	readonly name: string;
	readonly number: number;
	readonly openedMs: number;
	readonly #fs: AuditFs;
	readonly #fd: number;
	#size = 0;
	/** Bytes past `#size` may be in the file: a failed write could not be taken back yet. */
	#ragged = false;
	/** After a failed sync nobody knows what of the file is on the disk: it takes no more. */
	#doubtful = false;

	private constructor(name: string, number: number, openedMs: number, fd: number, files: AuditFs) {
		this.name = name;
		this.number = number;
		this.openedMs = openedMs;
		this.#fd = fd;
		this.#fs = files;
	}

	/** Throws what the file system throws. */
	static create(directory: string, number: number, timeMs: number, files: AuditFs): SegmentWriter {
		const name = segmentName(number, timeMs);
		const fd = files.openSync(join(directory, name), createFlags, 0o600);
		return new SegmentWriter(name, number, timeMs, fd, files);
	}

	get size(): number {
		return this.#size;
	}

	get doubtful(): boolean {
		return this.#doubtful;
	}

	/** Writes all of it, or throws and leaves none of it. */
	append(bytes: Buffer): void {
		if (this.#ragged) this.#cutBack();
		let written = 0;
		try {
			while (written < bytes.length) {
				const more = this.#fs.writeSync(this.#fd, bytes, written, bytes.length - written);
				if (more <= 0) throw Object.assign(new Error('nothing was written'), { code: 'EIO' });
				written += more;
			}
		} catch (error) {
			this.#takeBack();
			throw error;
		}
		this.#size += bytes.length;
	}

	/** Undoes the last append of `byteLength` bytes after a sync failed; the segment takes no more. */
	retract(byteLength: number): void {
		this.#size -= byteLength;
		this.#doubtful = true;
		this.#takeBack();
	}

	sync(done: (error: NodeJS.ErrnoException | null) => void): void {
		this.#fs.fdatasync(this.#fd, done);
	}

	syncNow(): void {
		try {
			this.#fs.fdatasyncSync(this.#fd);
		} catch (error) {
			this.#doubtful = true;
			throw error;
		}
	}

	/** Throws, and stays open, when what a failed write left cannot be taken back. */
	close(): void {
		if (this.#ragged) this.#cutBack();
		this.#fs.closeSync(this.#fd);
	}

	/** Closes as it is, for a file that nobody needs any more. */
	drop(): void {
		this.#fs.closeSync(this.#fd);
	}

	#takeBack(): void {
		this.#ragged = true;
		try {
			this.#cutBack();
		} catch {
			// Stays ragged: the next append or close tries again, and fails if it must.
		}
	}

	#cutBack(): void {
		this.#fs.ftruncateSync(this.#fd, this.#size);
		this.#ragged = false;
	}
}
