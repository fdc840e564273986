/** Reading records back: what verify, search, report and the sinks need of a line, from any JSON that may stand there. */

export type JsonObject = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is JsonObject {
	return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export interface RecordHead {
	readonly sequence: number;
	readonly uid: string;
	readonly code: string;
	readonly timeMs: number;
	/** The whole record. */
	readonly record: JsonObject;
}

/** Null when the line is not a record of an audit log. */
export function recordHeadOf(line: Buffer | string): RecordHead | null {
	let record: unknown;
	try {
		record = JSON.parse(typeof line === 'string' ? line : line.toString('utf8'));
	} catch {
		return null;
	}
	if (!isObject(record) || !isObject(record.metadata) || typeof record.time !== 'number') return null;
	const { sequence, uid, event_code } = record.metadata;
	if (!Number.isSafeInteger(sequence) || typeof uid !== 'string' || typeof event_code !== 'string') return null;
	return { sequence: sequence as number, uid, code: event_code, timeMs: record.time, record };
}

const quickPattern =
	/"event_code":"([a-z-]+)","sequence":(\d{1,15}),(?:"uid":"[0-9a-f]+-\d+",(?:"correlation_uid":"([0-9a-f]+-\d+)",)?"original_time":"[^"]*"\},"time":(\d{1,16}),)?/;
const quickBytes = 400;

export interface QuickHead {
	readonly code: string;
	readonly sequence: number;
	/** Null where only the whole line would tell. */
	readonly timeMs: number | null;
	/** uid of the record that this one belongs to; null where there is none, or only the whole line would tell. */
	readonly correlation: string | null;
}

/** What the beginning of a line tells, without reading it whole where this program wrote it. */
export function quickHead(line: Buffer): QuickHead | null {
	const match = quickPattern.exec(line.toString('latin1', 0, quickBytes));
	if (match?.[1] !== undefined) {
		const timeMs = match[4] === undefined ? null : Number(match[4]);
		return { code: match[1], sequence: Number(match[2]), timeMs, correlation: match[3] ?? null };
	}
	const head = recordHeadOf(line);
	return head === null ? null : { code: head.code, sequence: head.sequence, timeMs: head.timeMs, correlation: null };
}
