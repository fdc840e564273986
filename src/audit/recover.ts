/** Finds where a log stood when its last process ended: the tree, the numbers, and a last line that was cut off. */
import * as fs from 'node:fs';
import { basename, join } from 'node:path';
import { GatewayError } from '../errors.ts';
import type { NotedLog } from './logs.ts';
import { Frontier, type Hash, hashBytes, hashFromBase64, hashToBytes, leafHash, sameHash } from './merkle.ts';
import { readLines } from './reader.ts';
import { isObject, recordHeadOf } from './record.ts';
import { leavesName, listSegments, type Segment, syncDirectory } from './segment.ts';

/** The first record of a segment, read back. */
export interface SegmentHeader {
	readonly logId: string;
	readonly origin: string;
	readonly number: number;
	/** Sequence of the header itself: the number of records before this segment. */
	readonly sequence: number;
	/** The tree before this segment. */
	readonly subtrees: readonly Hash[];
	readonly timeMs: number;
	/** Name of the segment before; null for the first. */
	readonly previous: string | null;
	/** Text of the public key that checkpoints can be checked with, or null for unsigned ones. */
	readonly publicKey: string | null;
	/** Which worker's log it is; null for that of a gateway without workers. */
	readonly worker: number | null;
	/** How many workers the gateway had; 1 where the header does not say. */
	readonly workers: number;
	/** How far the other logs of the gateway were. */
	readonly others: readonly NotedLog[];
}

const textOrNull = (value: unknown): string | null => (typeof value === 'string' ? value : null);
const countOf = (value: unknown): number | null =>
	Number.isSafeInteger(value) && (value as number) > 0 ? (value as number) : null;

function notedLogs(value: unknown): NotedLog[] {
	return (Array.isArray(value) ? value : []).flatMap((one) => {
		if (!isObject(one) || typeof one.root_hash !== 'string') return [];
		const { log, origin, tree_size: size } = one;
		const root = hashFromBase64(one.root_hash);
		if (typeof log !== 'string' || typeof origin !== 'string' || !Number.isSafeInteger(size) || root === null)
			return [];
		return [{ log, origin, size: size as number, root }];
	});
}

/** Null when the line is no header. */
export function parseHeader(line: Buffer): SegmentHeader | null {
	const head = recordHeadOf(line);
	if (head === null || head.code !== 'segment') return null;
	const { unmapped } = head.record;
	if (!isObject(unmapped) || !Array.isArray(unmapped.frontier)) return null;
	const { log_id, origin, segment, frontier, tree_size } = unmapped;
	const subtrees = frontier.map((text) => (typeof text === 'string' ? hashFromBase64(text) : null));
	const sound =
		typeof log_id === 'string' &&
		typeof origin === 'string' &&
		typeof segment === 'number' &&
		tree_size === head.sequence &&
		subtrees.every((hash) => hash !== null);
	if (!sound) return null;
	try {
		new Frontier(head.sequence, subtrees);
	} catch {
		return null;
	}
	const [previous, publicKey] = [textOrNull(unmapped.previous), textOrNull(unmapped.public_key)];
	return {
		logId: log_id,
		origin,
		number: segment,
		sequence: head.sequence,
		subtrees,
		timeMs: head.timeMs,
		previous,
		publicKey,
		worker: countOf(unmapped.worker),
		workers: countOf(unmapped.workers) ?? 1,
		others: notedLogs(unmapped.logs),
	};
}

/** A cut-off line that was put aside. */
export interface Torn {
	readonly file: string;
	readonly keptAs: string;
	readonly bytes: number;
}

export interface Recovered {
	/** Null for a directory without a log. */
	readonly logId: string | null;
	readonly origin: string | null;
	readonly frontier: Frontier;
	readonly nextNumber: number;
	/** The segment that was written last, and whether the log was closed in order. */
	readonly previous: { readonly name: string; readonly closed: boolean } | null;
	readonly torn: readonly Torn[];
	/** What does not fit together, in words. */
	readonly problems: readonly string[];
}

interface Scan {
	readonly header: SegmentHeader | null;
	readonly frontier: Frontier;
	readonly leaves: readonly Hash[];
	/** The log was closed in order: its last records are audit-stop and a checkpoint. */
	readonly closed: boolean;
	readonly problems: readonly string[];
	readonly tail: { readonly offset: number; readonly bytes: Buffer };
}

async function scan(directory: string, segment: Segment, lineBytesMax: number): Promise<Scan> {
	let header: SegmentHeader | null = null;
	let frontier = new Frontier();
	let codes: readonly string[] = [];
	const leaves: Hash[] = [];
	const problems: string[] = [];
	const options = { compressed: segment.compressed, lineBytesMax };
	const tail = await readLines(join(directory, segment.name), options, (line) => {
		if (leaves.length === 0) {
			header = parseHeader(line);
			frontier = header === null ? frontier : new Frontier(header.sequence, header.subtrees);
		}
		const head = recordHeadOf(line);
		if (head?.sequence !== frontier.size)
			problems.push(`${segment.name}: line ${leaves.length + 1} is not record ${frontier.size}`);
		if (head?.code === 'checkpoint') {
			const { unmapped } = head.record;
			const root =
				isObject(unmapped) && typeof unmapped.root_hash === 'string' ? hashFromBase64(unmapped.root_hash) : null;
			if (root === null || !sameHash(root, frontier.root())) {
				problems.push(`${segment.name}: checkpoint ${frontier.size} does not fit the records before it`);
			}
		}
		codes = [...codes.slice(-1), head?.code ?? ''];
		const leaf = leafHash(line);
		frontier.append(leaf);
		leaves.push(leaf);
	});
	const closed = codes[0] === 'audit-stop' && codes[1] === 'checkpoint';
	return { header, frontier, leaves, closed, problems, tail };
}

function unusedName(directory: string, name: string): string {
	for (let count = 1; ; count += 1) {
		const candidate = count === 1 ? `${name}.torn` : `${name}.torn-${count}`;
		if (!fs.existsSync(join(directory, candidate))) return candidate;
	}
}

/** Keeps the bytes after the last whole record in a file of their own and cuts them off. */
function putAside(directory: string, segment: Segment, tail: { offset: number; bytes: Buffer }): Torn {
	const keptAs = unusedName(directory, segment.name);
	const path = join(directory, segment.name);
	if (tail.offset === 0) {
		fs.renameSync(path, join(directory, keptAs));
	} else {
		fs.writeFileSync(join(directory, keptAs), tail.bytes, { mode: 0o600, flush: true });
		const fd = fs.openSync(path, fs.constants.O_RDWR | fs.constants.O_NOFOLLOW);
		try {
			fs.ftruncateSync(fd, tail.offset);
			fs.fsyncSync(fd);
		} finally {
			fs.closeSync(fd);
		}
	}
	syncDirectory(directory);
	return { file: segment.name, keptAs, bytes: tail.bytes.length };
}

/** Completes the leaf hashes beside the segment. They are written behind the records, so a crash leaves them short. */
function mendLeaves(directory: string, segment: Segment, leaves: readonly Hash[]): string[] {
	const path = join(directory, leavesName(segment.name));
	const want = Buffer.concat(leaves.map(hashToBytes));
	const have = fs.existsSync(path) ? fs.readFileSync(path) : Buffer.alloc(0);
	const whole = have.subarray(0, have.length - (have.length % hashBytes));
	if (!whole.equals(want.subarray(0, whole.length)))
		return [`${basename(path)} does not fit the records of ${segment.name}`];
	if (have.length !== want.length) fs.writeFileSync(path, want, { mode: 0o600 });
	return [];
}

/**
 * Reads the last segment and says how to go on; changes nothing but a torn end, which it puts aside, and missing leaf hashes.
 * Throws GatewayError XX001 when the last segment does not say where the tree stood.
 */
export async function recover(directory: string, lineBytesMax: number): Promise<Recovered> {
	const segments = listSegments(directory);
	const nextNumber = (segments.at(-1)?.number ?? 0) + 1;
	const torn: Torn[] = [];
	for (const segment of segments.toReversed()) {
		const found = await scan(directory, segment, lineBytesMax);
		const aside = found.tail.bytes.length > 0 || found.leaves.length === 0;
		if (aside && !segment.compressed) torn.push(putAside(directory, segment, found.tail));
		if (found.leaves.length === 0) continue;
		if (found.header === null) {
			throw new GatewayError(
				'XX001',
				`${join(directory, segment.name)} does not begin with the header of an audit segment: run "portcullis audit verify" and move the directory away`,
			);
		}
		const problems = [...found.problems, ...mendLeaves(directory, segment, found.leaves)];
		return {
			logId: found.header.logId,
			origin: found.header.origin,
			frontier: found.frontier,
			nextNumber,
			previous: { name: segment.name, closed: found.closed },
			torn,
			problems,
		};
	}
	return { logId: null, origin: null, frontier: new Frontier(), nextNumber, previous: null, torn, problems: [] };
}
