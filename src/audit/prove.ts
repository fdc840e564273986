/** Proves that one record is in the log (C2SP tlog-proof): for an outsider who has the public key and nothing else of the log. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { readHeader } from './evidence.ts';
import { auditLimits } from './limits.ts';
import {
	Frontier,
	type Hash,
	hashBytes,
	hashFromBase64,
	hashFromBytes,
	hashToBase64,
	leafHash,
	PartialTree,
	perfectSubtrees,
	rootFromInclusion,
	sameHash,
} from './merkle.ts';
import {
	type Checkpoint,
	checkpointText,
	NoteError,
	parseCheckpoint,
	parseNote,
	parseVerifiers,
	verifyNote,
} from './note.ts';
import { readLines } from './reader.ts';
import { isObject, quickHead, recordHeadOf } from './record.ts';
import type { SegmentHeader } from './recover.ts';
import { leavesName, listSegments, type Segment } from './segment.ts';

const firstLine = 'c2sp.org/tlog-proof@v1';

/** Why there is no proof: what was asked for is not there, or the log does not fit together. */
export class ProveError extends Error {
	readonly code: 'ERR_PROVE_NO_RECORD' | 'ERR_PROVE_NO_CHECKPOINT' | 'ERR_PROVE_DAMAGED';

	constructor(code: ProveError['code'], message: string) {
		super(message);
		this.name = 'ProveError';
		this.code = code;
	}
}

interface Place {
	readonly segment: Segment;
	readonly header: SegmentHeader;
	/** Number of records before the next segment; infinite for the last. */
	readonly end: number;
}

async function placesOf(directory: string): Promise<Place[]> {
	const found: { segment: Segment; header: SegmentHeader }[] = [];
	for (const segment of listSegments(directory)) {
		const header = await readHeader(directory, segment, auditLimits.recordBytesMax);
		if (header === null) throw new ProveError('ERR_PROVE_DAMAGED', `${segment.name} does not begin with a header`);
		found.push({ segment, header });
	}
	return found.map((place, index) => ({
		...place,
		end: found[index + 1]?.header.sequence ?? Number.POSITIVE_INFINITY,
	}));
}

/** The part of its records' uids that is the log's own; null where there is no log. */
export async function logIdOf(directory: string): Promise<string | null> {
	const segment = listSegments(directory).at(-1);
	if (segment === undefined) return null;
	return (await readHeader(directory, segment, auditLimits.recordBytesMax))?.logId ?? null;
}

interface SignedHead extends Checkpoint {
	/** The note, or the bare checkpoint of an unsigned log. */
	readonly text: string;
}

/** The record, and the first checkpoint that covers it, reading no further than needed. */
async function find(
	directory: string,
	places: readonly Place[],
	sequence: number,
): Promise<{ record: Buffer; head: SignedHead }> {
	let record: Buffer | null = null;
	let head: SignedHead | null = null;
	for (const { segment, header, end } of places) {
		if (end <= sequence || head !== null) continue;
		let at = header.sequence;
		const options = { compressed: segment.compressed, lineBytesMax: auditLimits.recordBytesMax };
		await readLines(join(directory, segment.name), options, (line) => {
			if (at === sequence) record = Buffer.from(line);
			if (at > sequence && quickHead(line)?.code === 'checkpoint') head = headOf(line, header.origin);
			at += 1;
			return head === null ? undefined : false;
		});
	}
	if (record === null) throw new ProveError('ERR_PROVE_NO_RECORD', `record ${sequence} is not in the log`);
	if (head === null) {
		throw new ProveError(
			'ERR_PROVE_NO_CHECKPOINT',
			`no checkpoint covers record ${sequence} yet: one is written every few seconds`,
		);
	}
	return { record, head };
}

function headOf(line: Buffer, origin: string): SignedHead {
	const unmapped = recordHeadOf(line)?.record.unmapped;
	const root = isObject(unmapped) && typeof unmapped.root_hash === 'string' ? hashFromBase64(unmapped.root_hash) : null;
	if (!isObject(unmapped) || typeof unmapped.tree_size !== 'number' || root === null) {
		throw new ProveError('ERR_PROVE_DAMAGED', 'the checkpoint after the record cannot be read');
	}
	const checkpoint = { origin, size: unmapped.tree_size, root };
	return { ...checkpoint, text: typeof unmapped.note === 'string' ? unmapped.note : checkpointText(checkpoint) };
}

/** Leaf hashes of segments, from the files beside them or else from the records themselves. */
class Leaves {
	readonly #directory: string;
	readonly #places: readonly Place[];
	readonly #made = new Map<string, Hash[]>();

	constructor(directory: string, places: readonly Place[]) {
		this.#directory = directory;
		this.#places = places;
	}

	/** Makes sure that those of [first, size) can be read without waiting. */
	async load(size: number): Promise<void> {
		for (const place of this.#places) {
			const count = Math.min(place.end, size) - place.header.sequence;
			if (count <= 0) continue;
			const path = join(this.#directory, leavesName(place.segment.name));
			const bytes = fs.statSync(path, { throwIfNoEntry: false })?.size ?? 0;
			if (bytes < count * hashBytes) this.#made.set(place.segment.name, await this.#hashed(place));
		}
	}

	/** Those of [start, end), which lie in one segment; null when they do not. */
	range(start: number, end: number): Hash[] | null {
		const place = this.#places.find((candidate) => candidate.header.sequence <= start && end <= candidate.end);
		if (place === undefined) return null;
		const from = start - place.header.sequence;
		const made = this.#made.get(place.segment.name);
		if (made !== undefined) return made.slice(from, from + end - start);
		const bytes = Buffer.alloc((end - start) * hashBytes);
		const fd = fs.openSync(join(this.#directory, leavesName(place.segment.name)), 'r');
		try {
			fs.readSync(fd, bytes, 0, bytes.length, from * hashBytes);
		} finally {
			fs.closeSync(fd);
		}
		return Array.from({ length: end - start }, (_, at) =>
			hashFromBytes(bytes.subarray(at * hashBytes, (at + 1) * hashBytes)),
		);
	}

	async #hashed({ segment }: Place): Promise<Hash[]> {
		const leaves: Hash[] = [];
		const options = { compressed: segment.compressed, lineBytesMax: auditLimits.recordBytesMax };
		await readLines(join(this.#directory, segment.name), options, (line) => {
			leaves.push(leafHash(line));
		});
		return leaves;
	}
}

/** Leaves that are hashed at one go; above it a subtree is split further. */
const rangeLeavesMax = 4096;

function treeOf(leaves: Leaves, first: SegmentHeader): PartialTree {
	// What retention removed is known by the roots of its perfect subtrees alone, and that is all that proofs need of it.
	const removed = new Map<string, Hash>();
	for (const [index, [start, end]] of perfectSubtrees(first.sequence).entries()) {
		removed.set(`${start}-${end}`, first.subtrees[index] as Hash);
	}
	return new PartialTree((from, to) => {
		if (from < first.sequence) return removed.get(`${from}-${to}`) ?? null;
		if (to - from > rangeLeavesMax) return null;
		const hashes = leaves.range(from, to);
		if (hashes === null) return null;
		const tree = new Frontier();
		for (const hash of hashes) tree.append(hash);
		return tree.root();
	});
}

/**
 * The proof for the record of that sequence against the first checkpoint that covers it, as text (C2SP tlog-proof). Its `extra`
 * line holds the record itself. Throws ProveError.
 */
export async function proveRecord(directory: string, sequence: number): Promise<string> {
	const places = await placesOf(directory);
	const first = places[0]?.header;
	if (first === undefined) throw new ProveError('ERR_PROVE_NO_RECORD', `there is no audit log in ${directory}`);
	if (sequence < first.sequence) {
		throw new ProveError(
			'ERR_PROVE_NO_RECORD',
			`record ${sequence} is not in the log any more: it begins with ${first.sequence}`,
		);
	}
	const { record, head } = await find(directory, places, sequence);
	const leaves = new Leaves(directory, places);
	await leaves.load(head.size);
	const path = treeOf(leaves, first).inclusion(sequence, head.size);
	const root = rootFromInclusion(leafHash(record), sequence, head.size, path);
	if (root === null || !sameHash(root, head.root)) {
		throw new ProveError('ERR_PROVE_DAMAGED', `record ${sequence} does not lead to its checkpoint: verify the log`);
	}
	const lines = [firstLine, `extra ${record.toString('base64')}`, `index ${sequence}`, ...path.map(hashToBase64), ''];
	return `${lines.join('\n')}\n${head.text}`;
}

export interface CheckedProof {
	readonly sequence: number;
	/** The record that is proven, as JSON text. */
	readonly record: string;
	readonly checkpoint: Checkpoint;
	/** False for a proof against an unsigned checkpoint, which only says that record and checkpoint fit. */
	readonly signed: boolean;
}

/**
 * Checks a proof with nothing but the public key (null for a log without one). Throws NoteError when it is malformed, its checkpoint
 * is not signed by the key, or the record does not lead to it.
 */
export function checkProof(proof: string, publicKey: string | null): CheckedProof {
	const malformed = (what: string) => new NoteError('ERR_NOTE_MALFORMED', `not a proof: ${what}`);
	const gap = proof.indexOf('\n\n');
	const [version, extra, index, ...path] = proof.slice(0, Math.max(gap, 0)).split('\n');
	if (version !== firstLine) throw malformed(`it must begin with ${firstLine}`);
	if (extra?.startsWith('extra ') !== true) throw malformed('the record is missing');
	const sequence = /^index (0|[1-9]\d{0,14})$/.exec(index ?? '')?.[1];
	if (sequence === undefined) throw malformed('the index is missing');
	const hashes = path.map(hashFromBase64);
	if (!hashes.every((hash) => hash !== null)) throw malformed('a hash is none');
	const noteText = proof.slice(gap + 2);
	const checkpoint = readCheckpoint(noteText, publicKey);
	const record = Buffer.from(extra.slice('extra '.length), 'base64');
	const root = rootFromInclusion(leafHash(record), Number(sequence), checkpoint.size, hashes);
	if (root === null || !sameHash(root, checkpoint.root)) {
		throw new NoteError('ERR_NOTE_SIGNATURE', `the record does not lead to the checkpoint of ${checkpoint.origin}`);
	}
	return { sequence: Number(sequence), record: record.toString('utf8'), checkpoint, signed: publicKey !== null };
}

function readCheckpoint(text: string, publicKey: string | null): Checkpoint {
	if (publicKey === null) return parseCheckpoint(text.split('\n\n')[0] ?? '');
	const note = parseNote(text);
	const checkpoint = parseCheckpoint(note.text);
	verifyNote(note, parseVerifiers(publicKey, [checkpoint.origin]));
	return checkpoint;
}
