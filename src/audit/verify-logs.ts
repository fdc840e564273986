/** Verifies all logs of a gateway: each by itself, what they say of each other, and whether one of them is gone. Only reads. */
import { readHeader, type Finding, type Head } from './evidence.ts';
import { auditLimits } from './limits.ts';
import { listLogs, type LogPlace, type NotedLog, ownLogName, workerLogName } from './logs.ts';
import { NoteError, parseCheckpoint } from './note.ts';
import type { SegmentHeader } from './recover.ts';
import { listSegments } from './segment.ts';
import { verifyLog, type VerifyReport } from './verify.ts';

export interface VerifyLogsOptions {
	/** Public keys: PEM, or the text of signed-note, one or several. */
	readonly publicKey?: string;
	/** Texts of checkpoints that were kept elsewhere, of any of the logs. */
	readonly checkpoints?: readonly string[];
}

/** Something that was found, and in which log. */
export interface LogFinding extends Finding {
	readonly log: string;
}

export interface LogReport extends VerifyReport {
	/** `worker-2`, or `.` for the folder's own. */
	readonly log: string;
	/** A checkpoint that was kept elsewhere told how long it has to be. */
	readonly checked: boolean;
}

export interface VerifyLogsReport {
	/** True when nothing was found. */
	readonly ok: boolean;
	/** In all of the logs, and of logs that are not there. */
	readonly findings: readonly LogFinding[];
	/** In the order of their workers. */
	readonly logs: readonly LogReport[];
}

/** A log with the headers of its segments. */
interface Known {
	readonly place: LogPlace;
	readonly headers: readonly { readonly segment: string; readonly header: SegmentHeader }[];
}

/** What a header says of another log. */
interface Claim extends NotedLog {
	readonly from: string;
}

/** A kept checkpoint, as it was given. */
interface Kept {
	readonly text: string;
	readonly origin: string;
	readonly size: number;
}

/**
 * Whether the folder is to be verified as one of several logs: it has folders of workers, or its own log tells of some. The folder of
 * one worker by itself is one log.
 */
export async function holdsSeveral(folder: string): Promise<boolean> {
	const known = await readAll(folder);
	if (known.some(({ place }) => place.worker !== null)) return true;
	return known.some(({ headers }) => headers.some(({ header }) => header.worker === null && header.others.length > 0));
}

/** Throws NoteError for a key or a checkpoint that is none. */
export async function verifyLogs(folder: string, options: VerifyLogsOptions = {}): Promise<VerifyLogsReport> {
	const { publicKey, checkpoints = [] } = options;
	const known = await readAll(folder);
	const claims = claimsOf(known);
	const kept = checkpoints.map(keptOf);
	const findings = [...missingLogs(known, claims), ...strangeCheckpoints(known, kept), ...wrongPlaces(known)];
	const logs: LogReport[] = [];
	// One after the other: each is read whole.
	for (const { place, headers } of known) {
		const origins = originsOf(headers);
		const own = claims.filter(({ log }) => log === place.name);
		findings.push(...otherLogs(place, origins, own));
		const checkpoint = kept.filter(({ origin }) => origins.has(origin)).map(({ text }) => text);
		const heads = own.filter(({ origin }) => origins.has(origin)).map(headOf);
		const report = await verifyLog(place.directory, {
			checkpoint,
			heads,
			...(publicKey === undefined ? {} : { publicKey }),
		});
		findings.push(...report.findings.map((finding) => ({ ...finding, log: place.name })));
		logs.push({ ...report, log: place.name, checked: checkpoint.length > 0 });
	}
	return { ok: findings.length === 0, findings, logs };
}

/** Headers first, and of all logs: what is read of a log afterwards is at least as long as they say. */
async function readAll(folder: string): Promise<Known[]> {
	return Promise.all(
		listLogs(folder).map(async (place) => {
			const segments = listSegments(place.directory);
			const headers = await Promise.all(
				segments.map(async (segment) => ({
					segment: segment.name,
					header: await readHeader(place.directory, segment, auditLimits.recordBytesMax),
				})),
			);
			const read = headers.flatMap(({ segment, header }) => (header === null ? [] : [{ segment, header }]));
			return { place, headers: read };
		}),
	);
}

function claimsOf(known: readonly Known[]): Claim[] {
	return known.flatMap(({ place, headers }) =>
		headers.flatMap(({ segment, header }) =>
			header.others.map((other) => ({ ...other, from: `the header of ${segment} of ${nameOf(place.name)}` })),
		),
	);
}

function headOf({ origin, size, root, from }: Claim): Head {
	return { origin, size, root, from, signed: false };
}

function originsOf(headers: Known['headers']): ReadonlySet<string> {
	return new Set(headers.map(({ header }) => header.origin));
}

function keptOf(text: string): Kept {
	const { origin, size } = parseCheckpoint(text);
	return { text, origin, size };
}

function finding(kind: Finding['kind'], log: string, message: string): LogFinding {
	return { kind, log, segment: null, line: null, records: null, message };
}

/** Of which others tell, by name or by how many workers there were. */
function missingLogs(known: readonly Known[], claims: readonly Claim[]): LogFinding[] {
	const here = new Set(known.map(({ place }) => place.name));
	const found = new Map<string, LogFinding>();
	for (const claim of claims.toSorted((left, right) => right.size - left.size)) {
		if (here.has(claim.log) || found.has(claim.log)) continue;
		const what = `${nameOf(claim.log)} (${claim.origin}, ${claim.size} records) is not there: ${claim.from} tells of it`;
		found.set(claim.log, finding('missing-log', claim.log, what));
	}
	for (const { place, headers } of known) {
		for (const { segment, header } of headers) {
			for (let worker = 1; header.workers > 1 && worker <= header.workers; worker += 1) {
				const name = workerLogName(worker);
				if (here.has(name) || found.has(name)) continue;
				const why = `by ${segment} of ${nameOf(place.name)} there were ${header.workers} workers`;
				found.set(name, finding('missing-log', name, `${nameOf(name)} is not there, or has never begun: ${why}`));
			}
		}
	}
	return [...found.values()];
}

/** Kept checkpoints of logs that are not here. */
function strangeCheckpoints(known: readonly Known[], kept: readonly Kept[]): LogFinding[] {
	const origins = new Set(known.flatMap(({ headers }) => headers.map(({ header }) => header.origin)));
	return kept
		.filter(({ origin }) => !origins.has(origin))
		.map(({ origin, size }) =>
			finding('missing-log', origin, `the log ${origin} is not there: a given checkpoint has ${size} records of it`),
		);
}

/** Logs that lie in the folder of another worker, or are there twice. */
function wrongPlaces(known: readonly Known[]): LogFinding[] {
	const found: LogFinding[] = [];
	const seen = new Map<string, string>();
	for (const { place, headers } of known) {
		const strange = headers.find(({ header }) => header.worker !== place.worker);
		if (strange !== undefined) {
			const { worker } = strange.header;
			const whose = worker === null ? 'the gateway without workers' : `worker ${worker}`;
			found.push(finding('other-log', place.name, `what lies here is of ${whose}, by ${strange.segment}`));
		}
		for (const origin of originsOf(headers)) {
			const other = seen.get(origin);
			if (other === undefined) seen.set(origin, place.name);
			else found.push(finding('other-log', place.name, `${origin} is ${nameOf(other)} as well: one is a copy`));
		}
	}
	return found;
}

/** Another log has taken the place of one that others tell of. */
function otherLogs(place: LogPlace, origins: ReadonlySet<string>, claims: readonly Claim[]): LogFinding[] {
	const gone = new Map(claims.filter(({ origin }) => !origins.has(origin)).map((claim) => [claim.origin, claim]));
	return [...gone.values()].map(({ origin, size, from }) =>
		finding('other-log', place.name, `${from} tells of ${origin} with ${size} records, which is not what lies here`),
	);
}

function nameOf(log: string): string {
	return log === ownLogName ? "the folder's own log" : log;
}

/** The checkpoints in a text: signed notes or bare ones, one behind the other. Throws NoteError for anything else. */
export function splitCheckpoints(text: string): string[] {
	// A note is text, an empty line and signatures; it begins with a line that is none of these.
	const blocks: string[] = [];
	let signed = false;
	let current: string[] = [];
	const take = (): void => {
		const lines = current.slice(0, current.findLastIndex((line) => line !== '') + 1);
		const whole = signed ? [lines] : bareCheckpoints(lines);
		blocks.push(...whole.map((of) => `${of.join('\n')}\n`));
		current = [];
		signed = false;
	};
	for (const line of text.split('\n')) {
		const signature = line.startsWith('\u2014 ');
		if (signed && !signature) {
			take();
			if (line === '') continue;
		}
		signed = signature;
		current.push(line);
	}
	take();
	if (blocks.length === 0) throw new NoteError('ERR_NOTE_MALFORMED', 'there is no checkpoint');
	return blocks;
}

/** Unsigned ones are three lines each: origin, size, root. Anything else is taken as it is, and refused by whoever reads it. */
function bareCheckpoints(lines: readonly string[]): (readonly string[])[] {
	if (lines.length === 0) return [];
	const several = lines.length % 3 === 0 && lines.every((line, at) => at % 3 !== 1 || /^\d+$/.test(line));
	if (!several) return [lines];
	return Array.from({ length: lines.length / 3 }, (_, at) => lines.slice(at * 3, at * 3 + 3));
}
