/** Verifies a log: finds changed, removed, inserted, reordered and cut-off records, and says which. Only reads. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { compare, type Comparison, type Difference } from './diff.ts';
import { type Content, type Finding, type Head, readContent, readHead, readHeader } from './evidence.ts';
import { auditLimits } from './limits.ts';
import { Frontier, type Hash, hashToBase64 } from './merkle.ts';
import { NoteError, type NoteVerifier, parseVerifiers } from './note.ts';
import type { SegmentHeader } from './recover.ts';
import { checkpointName, listSegments, type Segment } from './segment.ts';

export type { Finding } from './evidence.ts';

export interface VerifyOptions {
	/** Public keys: PEM, or the text of signed-note, one or several. Without them the log's own word for its keys is taken. */
	readonly publicKey?: string;
	/** Text of a checkpoint that was kept elsewhere, or of several. */
	readonly checkpoint?: string | readonly string[];
	/** What other logs say of this one. */
	readonly heads?: readonly Head[];
	readonly lineBytesMax?: number;
}

export interface VerifyReport {
	/** True when nothing was found. */
	readonly ok: boolean;
	readonly findings: readonly Finding[];
	/** Name of the log; null for a directory without one. */
	readonly origin: string | null;
	readonly segments: number;
	/** Sequence of the first record that is there; what came before went by retention. */
	readonly first: number;
	/** Number of records that the log has had: one more than the sequence of the last. */
	readonly size: number;
	/** Base64 root of the tree over them. */
	readonly root: string;
	readonly checkpoints: number;
	/** Of these, with a good signature. */
	readonly signed: number;
	/** Number of records that a checkpoint covers which holds (a signed one, where there is a key). */
	readonly covered: number;
	/** Where the key came from: with one from the log itself, somebody who forges all of it is not found. */
	readonly key: 'given' | 'from the log' | 'none';
}

interface Known {
	readonly segment: Segment;
	readonly header: SegmentHeader;
}

/** Throws NoteError for a key or a checkpoint that is none, or one of another log. */
export async function verifyLog(directory: string, options: VerifyOptions = {}): Promise<VerifyReport> {
	const findings: Finding[] = [];
	const lineBytesMax = options.lineBytesMax ?? auditLimits.recordBytesMax;
	const known: Known[] = [];
	for (const segment of listSegments(directory)) {
		const header = await readHeader(directory, segment, lineBytesMax);
		if (header !== null) known.push({ segment, header });
		else findings.push(fault('segment', segment.name, null, 'does not begin with the header of a segment'));
	}
	const first = known[0]?.header;
	const origins = [...new Set(known.map(({ header }) => header.origin))];
	const stated = known.flatMap(({ header }) => header.publicKey ?? []);
	const verifiers =
		options.publicKey === undefined
			? [...new Set(stated)].flatMap((key) => parseVerifiers(key, origins))
			: parseVerifiers(options.publicKey, origins.length === 0 ? ['none'] : origins);
	const log = { origins, verifiers };
	const outside = first === undefined ? [] : outsideHeads(directory, options, log, findings);
	const walk = new Walk(outside, verifiers.length > 0, findings);
	for (const [index, { segment, header }] of known.entries()) {
		const reading = { ...log, lineBytesMax, find: (finding: Finding) => findings.push(finding) };
		const content = await readContent(directory, segment, header, reading);
		walk.take(content, known[index + 1] ?? null);
	}
	walk.finish();
	if (options.publicKey !== undefined && walk.size > 0 && walk.signed === 0) {
		findings.push(fault('checkpoint', null, null, 'no checkpoint in the log is signed by the given key'));
	}
	return {
		ok: findings.length === 0,
		findings,
		origin: known.at(-1)?.header.origin ?? null,
		segments: known.length,
		first: first?.sequence ?? 0,
		size: walk.size,
		root: hashToBase64(walk.root),
		checkpoints: walk.checkpoints,
		signed: walk.signed,
		covered: walk.covered,
		key: verifiers.length === 0 ? 'none' : options.publicKey === undefined ? 'from the log' : 'given',
	};
}

function fault(
	kind: Finding['kind'],
	segment: string | null,
	records: readonly [number, number] | null,
	message: string,
): Finding {
	return { kind, segment, line: null, records, message };
}

/** Checkpoints from elsewhere: the one that is given, and the copy beside the segments. */
function outsideHeads(
	directory: string,
	options: VerifyOptions,
	log: { readonly origins: readonly string[]; readonly verifiers: readonly NoteVerifier[] },
	findings: Finding[],
): Head[] {
	const heads: Head[] = [...(options.heads ?? [])];
	const given = typeof options.checkpoint === 'string' ? [options.checkpoint] : (options.checkpoint ?? []);
	for (const checkpoint of given) heads.push(readHead(checkpoint, 'the given checkpoint', log));
	const beside = join(directory, checkpointName);
	if (!fs.existsSync(beside)) return heads;
	const text = fs.readFileSync(beside, 'utf8');
	// A log that was unsigned for a while has unsigned copies: they still must fit.
	const unsigned = !text.includes('\n\n');
	try {
		heads.push(readHead(text, `the file "${checkpointName}"`, unsigned ? { ...log, verifiers: [] } : log));
	} catch (error) {
		if (!(error instanceof NoteError)) throw error;
		findings.push(fault('checkpoint', checkpointName, null, `does not hold: ${error.message}`));
	}
	return heads;
}

/** The root of the tree at each of some sizes, in one pass. */
function rootsAt(before: Frontier, leaves: readonly Hash[], heads: readonly Head[]): Map<number, Hash> {
	const sizes = new Set(heads.map((head) => head.size));
	const tree = before.clone();
	const roots = new Map<number, Hash>();
	if (sizes.has(tree.size)) roots.set(tree.size, tree.root());
	for (const leaf of leaves) {
		tree.append(leaf);
		if (sizes.has(tree.size)) roots.set(tree.size, tree.root());
	}
	return roots;
}

function extended(before: Frontier, leaves: readonly Hash[]): Frontier {
	const tree = before.clone();
	for (const leaf of leaves) tree.append(leaf);
	return tree;
}

/** Goes through the segments with the tree in hand, and holds every head against it. */
class Walk {
	checkpoints = 0;
	signed = 0;
	covered = 0;
	readonly #outside: readonly Head[];
	readonly #keyed: boolean;
	readonly #findings: Finding[];
	readonly #retired = new Set<string>();
	#tree: Frontier | null = null;
	#first: SegmentHeader | null = null;
	#lastName: string | null = null;

	constructor(outside: readonly Head[], keyed: boolean, findings: Finding[]) {
		this.#outside = outside;
		this.#keyed = keyed;
		this.#findings = findings;
	}

	get size(): number {
		return this.#tree?.size ?? 0;
	}

	get root(): Hash {
		return (this.#tree ?? new Frontier()).root();
	}

	take(content: Content, next: Known | null): void {
		const { header, segment } = content;
		this.#first ??= header;
		this.checkpoints += content.heads.length;
		this.signed += content.heads.filter((head) => head.signed).length;
		for (const name of content.retired) this.#retired.add(name);
		// Whatever was wrong with the segments before is told already; from here on their header's word is as good as any.
		const before = new Frontier(header.sequence, header.subtrees);
		const comparison = content.kept === null ? null : compare(content.kept, content.leaves);
		const heads = this.#due(content, next);
		const asFound = rootsAt(before, content.leaves, heads);
		const bad = heads.filter((head) => asFound.get(head.size) !== head.root);
		const good = heads.filter((head) => asFound.get(head.size) === head.root);
		this.#cover(good);
		if (bad.length === 0) {
			this.#tree = extended(before, content.leaves);
			this.#tellUnproven(content, comparison, good.at(-1)?.size ?? header.sequence);
		} else {
			this.#tree = this.#tellBroken(content, before, comparison, { heads, good, bad });
		}
		this.#lastName = segment.name;
		if (next !== null) this.#tellGap(next);
	}

	finish(): void {
		const cut = this.#outside.filter((head) => head.size > this.size).toSorted((a, b) => b.size - a.size)[0];
		if (cut !== undefined) {
			const range: [number, number] = [this.size, cut.size - 1];
			this.#findings.push(
				fault('cut-off', this.#lastName, range, `${recordsText(range)} are missing at the end: ${cut.from} has them`),
			);
		}
		const first = this.#first;
		if (first === null || first.sequence === 0) return;
		if (first.previous === null || !this.#retired.has(first.previous)) {
			const range: [number, number] = [0, first.sequence - 1];
			this.#findings.push(
				fault('removed', null, range, `${recordsText(range)} are gone, and no record says that retention removed them`),
			);
		}
	}

	/** Heads that this segment's records must lead to, by size. The next segment's header is one of them. */
	#due(content: Content, next: Known | null): Head[] {
		const start = content.header.sequence;
		const end = start + Math.max(content.leaves.length, content.kept?.length ?? 0);
		const heads = [...content.heads, ...this.#outside];
		if (next !== null) {
			const { header } = next;
			const root = new Frontier(header.sequence, header.subtrees).root();
			heads.push({
				origin: header.origin,
				size: header.sequence,
				root,
				from: `the header of ${next.segment.name}`,
				signed: false,
			});
		}
		return heads.filter((head) => head.size >= start && head.size <= end).toSorted((a, b) => a.size - b.size);
	}

	#cover(good: readonly Head[]): void {
		for (const head of good) if (head.signed || !this.#keyed) this.covered = Math.max(this.covered, head.size);
	}

	/** All heads hold. Differences from the kept hashes then are theirs up to the last head; behind it nobody knows better. */
	#tellUnproven(content: Content, comparison: Comparison | null, provenSize: number): void {
		const differences = comparison?.differences ?? [];
		const proven = differences.filter((difference) => content.header.sequence + difference.index < provenSize);
		if (proven.length > 0) {
			const why = `${proven.length} leaf hashes beside it were changed; its records lead to the checkpoints and are as they were`;
			this.#findings.push(fault('leaves', content.segment.name, null, why));
		}
		for (const difference of differences) if (!proven.includes(difference)) this.#tell(content, difference);
	}

	/** Some head does not hold. Where the kept hashes lead to it they say which records it is. Returns the best known tree. */
	#tellBroken(
		content: Content,
		before: Frontier,
		comparison: Comparison | null,
		{
			heads,
			good,
			bad,
		}: { readonly heads: readonly Head[]; readonly good: readonly Head[]; readonly bad: readonly Head[] },
	): Frontier {
		const differences = comparison?.differences ?? [];
		const written = [...(content.kept ?? []), ...content.leaves.slice(comparison?.beyond ?? 0)];
		const asWritten = rootsAt(before, written, heads);
		for (const difference of differences) this.#tell(content, difference);
		const held = heads.filter((head) => asWritten.get(head.size) === head.root);
		if (held.length === heads.length) return extended(before, written);
		const [firstBad] = heads.filter((head) => bad.includes(head) && !held.includes(head));
		if (firstBad !== undefined) {
			const sure = [...good, ...held].filter((head) => head.size < firstBad.size).map((head) => head.size);
			const range: [number, number] = [Math.max(content.header.sequence, ...sure), firstBad.size - 1];
			const why = `${recordsText(range)} do not lead to ${firstBad.from}: one or more were changed, removed, inserted or reordered`;
			this.#findings.push(fault('altered', content.segment.name, range, why));
		}
		return extended(before, content.leaves);
	}

	#tell(content: Content, difference: Difference): void {
		const record = content.header.sequence + difference.index;
		const line = difference.found + 1;
		const message = {
			changed: `record ${record} was changed`,
			removed: `record ${record} was removed`,
			inserted: `a record was inserted before record ${record}`,
			reordered: `record ${record} was moved here`,
		}[difference.kind];
		this.#findings.push({
			kind: difference.kind,
			segment: content.segment.name,
			line,
			records: [record, record],
			message,
		});
	}

	/** Compares where this segment ends with where the next begins. */
	#tellGap(next: Known): void {
		const begins = next.header.sequence;
		if (begins > this.size) {
			const range: [number, number] = [this.size, begins - 1];
			const where = next.header.previous === this.#lastName ? `at its end` : `between it and ${next.segment.name}`;
			this.#findings.push(fault('removed', this.#lastName, range, `${recordsText(range)} are missing ${where}`));
		} else if (begins < this.size) {
			const range: [number, number] = [begins, this.size - 1];
			const why = `${this.size - begins} records stand at its end that ${next.segment.name} does not know of`;
			this.#findings.push(fault('inserted', this.#lastName, range, why));
		}
	}
}

function recordsText([first, last]: readonly [number, number]): string {
	return first === last ? `record ${first}` : `records ${first} to ${last}`;
}
