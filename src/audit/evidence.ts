/** Reads the evidence in a log's directory: headers, leaf hashes, checkpoints. What cannot be read is a finding, not an error. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { type Hash, hashBytes, hashFromBase64, hashFromBytes, leafHash } from './merkle.ts';
import { type Checkpoint, NoteError, type NoteVerifier, parseCheckpoint, parseNote, verifyNote } from './note.ts';
import { readLines } from './reader.ts';
import { isObject, quickHead, recordHeadOf } from './record.ts';
import { parseHeader, type SegmentHeader } from './recover.ts';
import { leavesName, type Segment } from './segment.ts';

export interface Finding {
	readonly kind:
		| 'changed'
		| 'removed'
		| 'inserted'
		| 'reordered'
		| 'cut-off'
		/** One of these, somewhere between two checkpoints. */
		| 'altered'
		/** A checkpoint itself is wrong. */
		| 'checkpoint'
		/** A file cannot be read as a segment. */
		| 'segment'
		/** Bytes after the last whole record: what a crash leaves too. */
		| 'torn'
		/** The leaf hashes beside a segment were changed, its records not. */
		| 'leaves'
		/** A log of which others tell is not there. */
		| 'missing-log'
		/** A log stands where another should. */
		| 'other-log';
	/** File name. */
	readonly segment: string | null;
	/** Line in the segment, from 1. */
	readonly line: number | null;
	/** Sequences of the first record concerned and of the last. */
	readonly records: readonly [number, number] | null;
	readonly message: string;
}

/** A tree head that the records must lead to, and where it was found. */
export interface Head extends Checkpoint {
	readonly from: string;
	readonly signed: boolean;
}

/** One segment, read whole. */
export interface Content {
	readonly segment: Segment;
	readonly header: SegmentHeader;
	/** Leaf hashes of its lines. */
	readonly leaves: readonly Hash[];
	/** Those that were kept beside it, or null. They may be fewer: they are written behind the records. */
	readonly kept: readonly Hash[] | null;
	/** Checkpoints among its records. */
	readonly heads: readonly Head[];
	/** Names of segments that retention removed, as its records tell. */
	readonly retired: readonly string[];
}

/** What the reading of a segment reports to. */
export interface Reading {
	/** Names that the log goes by or went by. */
	readonly origins: readonly string[];
	/** Empty where neither a key was given nor the log names one. */
	readonly verifiers: readonly NoteVerifier[];
	readonly lineBytesMax: number;
	readonly find: (finding: Finding) => void;
}

/** Throws NoteError when it is no checkpoint of this log, or not signed by the key that there is. */
export function readHead(
	text: string,
	from: string,
	{ origins, verifiers }: Pick<Reading, 'origins' | 'verifiers'>,
): Head {
	let body = text;
	if (verifiers.length > 0) {
		const note = parseNote(text);
		verifyNote(note, verifiers);
		body = note.text;
	}
	const checkpoint = parseCheckpoint(body);
	if (!origins.includes(checkpoint.origin)) {
		throw new NoteError('ERR_NOTE_MALFORMED', `it is of the log ${checkpoint.origin}, not of ${origins.join(', ')}`);
	}
	return { ...checkpoint, from, signed: verifiers.length > 0 };
}

/** A checkpoint record as a head. Throws NoteError. */
function headOfLine(line: Buffer, from: string, origin: string, reading: Reading): Head {
	const unmapped = recordHeadOf(line)?.record.unmapped;
	const root = isObject(unmapped) && typeof unmapped.root_hash === 'string' ? hashFromBase64(unmapped.root_hash) : null;
	if (!isObject(unmapped) || typeof unmapped.tree_size !== 'number' || root === null) {
		throw new NoteError('ERR_NOTE_MALFORMED', 'size or root are missing');
	}
	if (reading.verifiers.length === 0 || typeof unmapped.note !== 'string') {
		return { origin, size: unmapped.tree_size, root, from, signed: false };
	}
	const head = readHead(unmapped.note, from, reading);
	if (head.size !== unmapped.tree_size || head.root !== root) {
		throw new NoteError('ERR_NOTE_MALFORMED', 'what is signed is not what the record says');
	}
	return head;
}

function retiredNames(line: Buffer): string[] {
	const unmapped = recordHeadOf(line)?.record.unmapped;
	if (!isObject(unmapped) || !Array.isArray(unmapped.removed)) return [];
	return unmapped.removed.filter((name): name is string => typeof name === 'string');
}

function keptLeaves(directory: string, segment: Segment): Hash[] | null {
	const path = join(directory, leavesName(segment.name));
	if (!fs.existsSync(path)) return null;
	const bytes = fs.readFileSync(path);
	const count = Math.floor(bytes.length / hashBytes);
	return Array.from({ length: count }, (_, index) =>
		hashFromBytes(bytes.subarray(index * hashBytes, (index + 1) * hashBytes)),
	);
}

/** The header of a segment, or null when it does not begin with one or cannot be read. */
export async function readHeader(
	directory: string,
	segment: Segment,
	lineBytesMax: number,
): Promise<SegmentHeader | null> {
	let header: SegmentHeader | null = null;
	const { name, compressed } = segment;
	try {
		await readLines(join(directory, name), { compressed, lineBytesMax }, (line) => {
			header = parseHeader(line);
			return false;
		});
	} catch {
		return null;
	}
	return header;
}

/** Reads a segment whose header is known. */
export async function readContent(
	directory: string,
	segment: Segment,
	header: SegmentHeader,
	reading: Reading,
): Promise<Content> {
	const leaves: Hash[] = [];
	const heads: Head[] = [];
	const retired: string[] = [];
	const { name, compressed } = segment;
	const found = (kind: Finding['kind'], line: number | null, message: string) =>
		reading.find({ kind, segment: name, line, records: null, message });
	const onLine = (line: Buffer) => {
		const code = quickHead(line)?.code;
		if (code === 'checkpoint') {
			try {
				heads.push(headOfLine(line, `the checkpoint in ${name} line ${leaves.length + 1}`, header.origin, reading));
			} catch (error) {
				if (!(error instanceof NoteError)) throw error;
				found('checkpoint', leaves.length + 1, `a checkpoint that does not hold: ${error.message}`);
			}
		}
		if (code === 'audit-retention') retired.push(...retiredNames(line));
		leaves.push(leafHash(line));
	};
	try {
		const tail = await readLines(join(directory, name), { compressed, lineBytesMax: reading.lineBytesMax }, onLine);
		if (tail.bytes.length > 0)
			found('torn', leaves.length + 1, `${tail.bytes.length} bytes follow the last whole record`);
	} catch (error) {
		found(
			'segment',
			leaves.length + 1,
			`cannot be read further: ${error instanceof Error ? error.message : String(error)}`,
		);
	}
	return { segment, header, leaves, kept: keptLeaves(directory, segment), heads, retired };
}
