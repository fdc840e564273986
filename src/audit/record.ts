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

const quickPattern = /"event_code":"([a-z-]+)","sequence":(\d{1,15}),/;
const quickBytes = 256;

/** Code and number alone, without reading the whole line where this program wrote it. */
export function quickHead(line: Buffer): { readonly code: string; readonly sequence: number } | null {
	const match = quickPattern.exec(line.toString('latin1', 0, quickBytes));
	if (match?.[1] !== undefined) return { code: match[1], sequence: Number(match[2]) };
	return recordHeadOf(line);
}
