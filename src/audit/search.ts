/** Finds records by person, object, decision and time, each statement joined with its outcome. Reads the log as it lies. */
import { join } from 'node:path';
import { toJson } from './json.ts';
import { auditLimits } from './limits.ts';
import { readLines } from './reader.ts';
import { isObject, type JsonObject, quickHead, recordHeadOf } from './record.ts';
import { listSegments } from './segment.ts';

export interface SearchFilter {
	/** Name of the user, exactly. */
	readonly user?: string;
	/** `schema.relation`, or a relation's name in any schema. */
	readonly relation?: string;
	/** Name of a column that the statement reads or writes. */
	readonly column?: string;
	readonly database?: string;
	readonly decision?: 'allow' | 'mask' | 'deny';
	/** metadata.event_code; by default statements only, null for every record. */
	readonly code?: string | null;
	/** Milliseconds since the epoch; from inclusive, until exclusive. */
	readonly fromMs?: number;
	readonly untilMs?: number;
	readonly session?: string;
	/** `query_info.uid`. */
	readonly fingerprint?: string;
	/** Text anywhere in the record, as it was before it was written as JSON. */
	readonly text?: string;
}

/** One record, and what it came to. */
export interface Hit {
	readonly sequence: number;
	readonly timeMs: number;
	readonly code: string;
	readonly record: JsonObject;
	/** The outcome's record; null when there is none (a denial, or the process ended before). */
	readonly outcome: JsonObject | null;
	/** For a FETCH the record of the cursor's declaration: what it reads is told there. */
	readonly declaration: JsonObject | null;
}

const actions: Readonly<Record<string, number>> = { allow: 1, deny: 2, mask: 4 };

function textAt(record: JsonObject, ...path: readonly string[]): string {
	let value: unknown = record;
	for (const name of path) value = isObject(value) ? value[name] : undefined;
	return typeof value === 'string' ? value : '';
}

/** Objects that a statement uses; for a FETCH those of its cursor. Empty for any other record. */
export function objectsOf({ record, declaration }: Pick<Hit, 'record' | 'declaration'>): JsonObject[] {
	return [...ownObjects(record), ...(declaration === null ? [] : ownObjects(declaration))];
}

function ownObjects(record: JsonObject): JsonObject[] {
	const objects = isObject(record.unmapped) ? record.unmapped.objects : undefined;
	return Array.isArray(objects) ? objects.filter(isObject) : [];
}

export function columnsOf(object: JsonObject): string[] {
	return Array.isArray(object.columns)
		? object.columns.filter((column): column is string => typeof column === 'string')
		: [];
}

export function userOf(record: JsonObject): string {
	return textAt(record, 'actor', 'user', 'name') || textAt(record, 'user', 'name');
}

export function databaseOf(record: JsonObject): string {
	return textAt(record, 'database', 'name') || textAt(record, 'unmapped', 'database');
}

export function statementOf(record: JsonObject): string {
	return textAt(record, 'query_info', 'query_string');
}

export function detailOf(record: JsonObject): string {
	return textAt(record, 'status_detail');
}

export function decisionOf(record: JsonObject): string {
	return Object.keys(actions).find((name) => actions[name] === record.action_id) ?? '';
}

function matchesObject(hit: Hit, filter: SearchFilter): boolean {
	const { relation, column } = filter;
	if (relation === undefined && column === undefined) return true;
	return objectsOf(hit).some((object) => {
		const name = textAt(object, 'name');
		const full = `${textAt(object, 'schema')}.${name}`;
		if (relation !== undefined && relation !== full && relation !== name) return false;
		const masks = isObject(object.masks) ? Object.keys(object.masks) : [];
		return column === undefined || columnsOf(object).includes(column) || masks.includes(column);
	});
}

function matches(hit: Hit, filter: SearchFilter): boolean {
	const { record, code, timeMs } = hit;
	if (filter.code !== null && code !== (filter.code ?? 'statement')) return false;
	if (filter.fromMs !== undefined && timeMs < filter.fromMs) return false;
	if (filter.untilMs !== undefined && timeMs >= filter.untilMs) return false;
	if (filter.decision !== undefined && record.action_id !== actions[filter.decision]) return false;
	if (filter.user !== undefined && userOf(record) !== filter.user) return false;
	if (filter.database !== undefined && databaseOf(record) !== filter.database) return false;
	if (filter.session !== undefined && textAt(record, 'actor', 'session', 'uid') !== filter.session) return false;
	if (filter.fingerprint !== undefined && textAt(record, 'query_info', 'uid') !== filter.fingerprint) return false;
	return matchesObject(hit, filter);
}

/**
 * Joins outcomes to the statements that wait for them, in the order of the statements. One that runs for long does not hold back all
 * that comes behind it: when many wait it is told out of its turn, with its outcome.
 */
class Joiner {
	readonly #waiting = new Map<string, { hit: Hit; done: boolean }>();
	readonly #onHit: (hit: Hit) => void;

	constructor(onHit: (hit: Hit) => void) {
		this.#onHit = onHit;
	}

	add(uid: string, hit: Hit): void {
		const complete = hit.code !== 'statement' || hit.record.action_id === actions.deny;
		this.#waiting.set(uid, { hit, done: complete });
		this.#release(false);
	}

	waitsFor(uid: string): boolean {
		return this.#waiting.has(uid);
	}

	outcome(record: JsonObject): void {
		const uid = textAt(record, 'metadata', 'correlation_uid');
		const waiting = this.#waiting.get(uid);
		if (waiting === undefined) return;
		this.#waiting.set(uid, { hit: { ...waiting.hit, outcome: record }, done: true });
		this.#release(false);
	}

	/** No outcome comes any more: the log ends here, or another process began to write it. */
	finish(): void {
		this.#release(true);
	}

	#release(all: boolean): void {
		const tooMany = this.#waiting.size > waitingMax;
		for (const [uid, { hit, done }] of this.#waiting) {
			if (!done && !all) {
				if (tooMany) continue;
				return;
			}
			this.#waiting.delete(uid);
			this.#onHit(hit);
		}
	}
}

/** Statements that wait for the outcome of one before them. */
const waitingMax = 10_000;

/** Which declaration a FETCH reads from: the last of that name in its session. */
class Cursors {
	readonly #declared = new Map<string, JsonObject>();

	/** Any statement's record; the declaration for a FETCH. */
	take(record: JsonObject): JsonObject | null {
		const name = textAt(record, 'unmapped', 'cursor');
		if (name === '') return null;
		const key = `${textAt(record, 'actor', 'session', 'uid')} ${name}`;
		if (textAt(record, 'unmapped', 'node') !== declares) return this.#declared.get(key) ?? null;
		this.#declared.delete(key);
		this.#declared.set(key, record);
		const [oldest] = this.#declared.keys();
		if (this.#declared.size > cursorsMax && oldest !== undefined) this.#declared.delete(oldest);
		return null;
	}
}

const declares = 'DeclareCursorStmt';
const declaresMark = Buffer.from(`"node":"${declares}"`);
/** Declarations that are remembered. */
const cursorsMax = 10_000;

/** A line that cannot match is not parsed: its bytes lack what the filter names. */
function quickNeedles(filter: SearchFilter): Buffer[] {
	const needles = [filter.text, filter.session, filter.fingerprint]
		.filter((text): text is string => text !== undefined)
		.map((text) => toJson(text).slice(1, -1));
	// Names are looked for as they stand in JSON; those with anything to escape are left to the full comparison.
	for (const name of [filter.user, filter.database])
		if (name !== undefined && /^[\w@.-]+$/.test(name)) needles.push(`"${name}"`);
	return needles.map((needle) => Buffer.from(needle));
}

export interface SearchOptions {
	/** Waited for now and then, so that hits need not pile up. */
	readonly drained?: () => Promise<void> | null;
}

/** Calls `onHit` for each match in the order of the log. Lines that are no records are passed over: `audit verify` tells of them. */
export async function searchLog(
	directory: string,
	filter: SearchFilter,
	onHit: (hit: Hit) => void,
	{ drained }: SearchOptions = {},
): Promise<void> {
	const joiner = new Joiner(onHit);
	const cursors = new Cursors();
	const needles = quickNeedles(filter);
	const onLine = (line: Buffer): void => {
		const quick = quickHead(line);
		if (quick?.code === 'audit-start') joiner.finish();
		if (quick?.code === 'statement' && line.includes(declaresMark)) {
			const declaration = recordHeadOf(line);
			if (declaration !== null) cursors.take(declaration.record);
		}
		if (quick?.code === 'outcome' && filter.code !== 'outcome') {
			if (quick.correlation !== null && !joiner.waitsFor(quick.correlation)) return;
		} else if (isOutside(quick?.timeMs ?? null, filter) || !needles.every((needle) => line.includes(needle))) return;
		const head = recordHeadOf(line);
		if (head === null) return;
		const { sequence, timeMs, code, record, uid } = head;
		if (code === 'outcome' && filter.code !== 'outcome') {
			joiner.outcome(record);
			return;
		}
		const declaration = code === 'statement' ? cursors.take(record) : null;
		const hit: Hit = { sequence, timeMs, code, record, outcome: null, declaration };
		if (matches(hit, filter)) joiner.add(uid, hit);
	};
	for (const { name, compressed } of listSegments(directory)) {
		const options = { compressed, lineBytesMax: auditLimits.recordBytesMax };
		await readLines(join(directory, name), drained === undefined ? options : { ...options, drained }, onLine);
	}
	joiner.finish();
}

function isOutside(timeMs: number | null, { fromMs, untilMs }: SearchFilter): boolean {
	if (timeMs === null) return false;
	return (fromMs !== undefined && timeMs < fromMs) || (untilMs !== undefined && timeMs >= untilMs);
}
