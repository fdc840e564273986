/** The log as a chain of leaves in files: segments, headers, the Merkle tree over them and its signed checkpoints. */
import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { Batch } from './batch.ts';
import type { LogEnd } from './delivery.ts';
import { ownBody, type OwnEvent } from './event-lines.ts';
import type { AuditLimits } from './limits.ts';
import { Lines } from './lines.ts';
import { familyMembers, type LogFamily } from './logs.ts';
import { copyHash, type Frontier, type Hash, hashBytes, hashToBase64 } from './merkle.ts';
import { checkpointText, type NoteSigner, parseSigner, signNote } from './note.ts';
import { type Recovered, recover } from './recover.ts';
import { type AuditFs, checkpointName, leavesName, SegmentWriter, syncDirectory } from './segment.ts';

export interface ChainOptions {
	readonly directory: string;
	readonly durability: 'os' | 'disk';
	/** Text of the Ed25519 private key that signs checkpoints, or null. */
	readonly key: string | null;
	/** Name of the log; by default the one it has, or `portcullis/<random id>`. */
	readonly origin: string | null;
	readonly productVersion: string;
	readonly parameters: 'on' | 'off';
	readonly limits: AuditLimits;
	readonly now: () => number;
	readonly files: AuditFs;
	/** The other logs of the gateway, of which each segment's header tells; null where there can be none. */
	readonly family: LogFamily | null;
}

/** Leaf hashes are written behind the records, this many at a time. */
const leavesBufferBytes = 64 * 1024;

/** The leaf hashes of one segment, in a file of their own. They can be made again from the records, so an error only ends them. */
class LeavesWriter {
	readonly #files: AuditFs;
	readonly #buffer = Buffer.allocUnsafe(leavesBufferBytes);
	#fd: number | null;
	#used = 0;

	constructor(path: string, files: AuditFs) {
		this.#files = files;
		const { O_WRONLY, O_APPEND, O_CREAT, O_EXCL } = fs.constants;
		this.#fd = files.openSync(path, O_WRONLY | O_APPEND | O_CREAT | O_EXCL, 0o600);
	}

	add(leaf: Hash): void {
		if (this.#used === this.#buffer.length) this.flush();
		copyHash(leaf, this.#buffer, this.#used);
		this.#used += hashBytes;
	}

	flush(): void {
		const { length } = this.#buffer.subarray(0, this.#used);
		this.#used = 0;
		if (this.#fd === null || length === 0) return;
		try {
			const written = this.#files.writeSync(this.#fd, this.#buffer, 0, length);
			if (written !== length) this.close();
		} catch {
			this.close();
		}
	}

	close(): void {
		if (this.#fd === null) return;
		const fd = this.#fd;
		this.#fd = null;
		this.#files.closeSync(fd);
	}
}

interface Open {
	readonly writer: SegmentWriter;
	readonly leaves: LeavesWriter;
}

/**
 * Order of use: `prepare` (may begin a new segment), make lines from `size` on, `append`, and once they are known to last `commit`,
 * or `retract`. `append` and `prepare` throw what the file system throws and then nothing has changed.
 */
export class Chain {
	readonly lines: Lines;
	readonly logId: string;
	readonly origin: string;
	readonly signer: NoteSigner | null;
	readonly recovered: Recovered;
	readonly #options: ChainOptions;
	readonly #frontier: Frontier;
	readonly #own = new Batch();
	#open: Open | null = null;
	#nextNumber: number;
	#previousName: string | null;
	/** Records up to here need no checkpoint: the last one covers them, or they are nothing but that checkpoint. */
	#covered: number;
	#bytes = 0;
	#end: LogEnd | null = null;

	private constructor(options: ChainOptions, recovered: Recovered) {
		this.#options = options;
		this.recovered = recovered;
		this.logId = recovered.logId ?? randomBytes(8).toString('hex');
		this.origin = options.origin ?? recovered.origin ?? `portcullis/${this.logId}`;
		this.signer = options.key === null ? null : parseSigner(options.key, this.origin);
		this.#frontier = recovered.frontier;
		this.#covered = recovered.frontier.size;
		this.#nextNumber = recovered.nextNumber;
		this.#previousName = recovered.previous?.name ?? null;
		this.lines = new Lines({
			logId: this.logId,
			productVersion: options.productVersion,
			parameters: options.parameters,
			limits: options.limits,
		});
	}

	/** Reads where the log stood. Throws NoteError for a key that is none, GatewayError for a log that cannot be continued. */
	static async open(options: ChainOptions): Promise<Chain> {
		const recovered = await recover(options.directory, options.limits.recordBytesMax);
		return new Chain(options, recovered);
	}

	/** Number of records so far, and the sequence of the next. */
	get size(): number {
		return this.#frontier.size;
	}

	/** Bytes written since the log was opened. */
	get bytes(): number {
		return this.#bytes;
	}

	get segment(): string | null {
		return this.#open?.writer.name ?? null;
	}

	/** Up to where the log may be read: what is beyond may still be taken back. Null before the first record. */
	get end(): LogEnd | null {
		return this.#end;
	}

	get uncovered(): number {
		return this.size - this.#covered;
	}

	/** Makes sure that there is a segment with room. */
	prepare(): void {
		const open = this.#open;
		if (open !== null && !this.#due(open.writer)) return;
		if (open !== null) this.#finish(open);
		this.#begin();
	}

	append(batch: Batch): void {
		this.#writer().append(batch.bytes);
	}

	/** Asks the disk; for durability `disk`. */
	sync(done: (error: NodeJS.ErrnoException | null) => void): void {
		this.#writer().sync(done);
	}

	/** Takes back an append whose sync failed; the next `prepare` begins another segment. */
	retract(batch: Batch): void {
		this.#writer().retract(batch.byteLength);
	}

	/** The lines are in the log: they become leaves. */
	commit(batch: Batch): void {
		const leaves = this.#open?.leaves;
		for (let index = 0; index < batch.length; index += 1) {
			const leaf = batch.leaf(index);
			this.#frontier.append(leaf);
			leaves?.add(leaf);
		}
		this.#bytes += batch.byteLength;
		if (this.#end !== null) this.#end = { ...this.#end, bytes: this.#end.bytes + batch.byteLength, size: this.size };
	}

	/** Writes a record of the log's own at once. Throws what the file system throws. */
	writeOwn(code: OwnEvent, ok: boolean, unmapped: object): void {
		this.prepare();
		this.#writeInto(code, ok, unmapped);
	}

	/** Writes a checkpoint over all records so far, and copies the newest beside the segments. */
	checkpoint(): void {
		this.prepare();
		this.#checkpointHere();
	}

	/** Last checkpoint and close. The chain takes nothing more. */
	close(): void {
		const open = this.#open;
		if (open === null) return;
		try {
			this.#checkpointHere();
			open.writer.syncNow();
			open.writer.close();
			this.#open = null;
			open.leaves.flush();
			open.leaves.close();
		} finally {
			this.abandon();
		}
	}

	/** Closes without a word, for when even that cannot be written. */
	abandon(): void {
		const open = this.#open;
		this.#open = null;
		open?.leaves.close();
		open?.writer.drop();
	}

	#writer(): SegmentWriter {
		if (this.#open === null) throw new Error('no segment is open');
		return this.#open.writer;
	}

	#due(writer: SegmentWriter): boolean {
		const { segmentBytesMax, segmentAgeMaxMs } = this.#options.limits;
		const age = this.#options.now() - writer.openedMs;
		return writer.doubtful || writer.size >= segmentBytesMax || age >= segmentAgeMaxMs;
	}

	#begin(): void {
		const { directory, files, durability, now } = this.#options;
		const number = this.#nextNumber;
		const end = this.#end;
		const writer = SegmentWriter.create(directory, number, now(), files);
		this.#nextNumber += 1;
		try {
			if (durability === 'disk') syncDirectory(directory);
			const leaves = new LeavesWriter(join(directory, leavesName(writer.name)), files);
			this.#open = { writer, leaves };
			this.#end = { segment: writer.name, bytes: 0, firstOfSegment: this.size, size: this.size };
			this.#writeInto('segment', true, {
				segment: number,
				log_id: this.logId,
				origin: this.origin,
				previous: this.#previousName,
				tree_size: this.size,
				root_hash: hashToBase64(this.#frontier.root()),
				frontier: this.#frontier.subtrees.map(hashToBase64),
				public_key: this.signer?.verifier.text ?? null,
				...familyMembers(this.#options.family),
			});
		} catch (error) {
			this.#discard(writer, end);
			throw error;
		}
		this.#previousName = writer.name;
	}

	/** A segment that could not even be given its header leaves nothing behind. */
	#discard(writer: SegmentWriter, end: LogEnd | null): void {
		const open = this.#open;
		this.#open = null;
		this.#end = end;
		open?.leaves.close();
		writer.drop();
		fs.rmSync(join(this.#options.directory, writer.name), { force: true });
		fs.rmSync(join(this.#options.directory, leavesName(writer.name)), { force: true });
	}

	/** Ends a full segment with a checkpoint. A doubtful one is left as it is: it takes no more. */
	#finish(open: Open): void {
		if (!open.writer.doubtful) {
			this.#checkpointHere();
			// Before anything in the next segment counts as safe, this one has to be.
			if (this.#options.durability === 'disk') open.writer.syncNow();
		}
		open.writer.close();
		this.#open = null;
		open.leaves.flush();
		open.leaves.close();
	}

	#writeInto(code: OwnEvent, ok: boolean, unmapped: object): void {
		const batch = this.#own;
		batch.clear();
		this.lines.event(batch, code, ownBody(code, this, ok, unmapped), this.#options.now(), this.size);
		this.append(batch);
		this.commit(batch);
	}

	#checkpointHere(): void {
		const head = { origin: this.origin, size: this.size, root: this.#frontier.root() };
		const note = this.signer === null ? null : signNote(checkpointText(head), this.signer);
		const unmapped = { tree_size: head.size, root_hash: hashToBase64(head.root), note };
		this.#writeInto('checkpoint', true, unmapped);
		this.#covered = this.size;
		this.#open?.leaves.flush();
		this.#publish(note ?? checkpointText(head));
	}

	/** The copy beside the segments is for others to fetch; the one in the log counts, so a failure here is no failure of the log. */
	#publish(text: string): void {
		const path = join(this.#options.directory, checkpointName);
		try {
			// What is left there from a crash, or put there by another, is not written to.
			fs.rmSync(`${path}.new`, { force: true });
			fs.writeFileSync(`${path}.new`, text, { mode: 0o600, flag: 'wx' });
			fs.renameSync(`${path}.new`, path);
		} catch {
			fs.rmSync(`${path}.new`, { force: true });
		}
	}
}
