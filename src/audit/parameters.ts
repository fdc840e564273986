/** Bind parameters as they stand in a record: readable where the type is known, bounded, redacted where they must be. */
import { isUtf8 } from 'node:buffer';
import { hash } from 'node:crypto';
import { withoutConnectionSecrets } from '../secrets.ts';
import type { AuditParameter } from './event.ts';
import { toJson } from './json.ts';

interface Rendered {
	readonly oid: number;
	/** The value as text; null is SQL NULL. */
	readonly value?: string | null;
	/** The value's bytes, where they are no text that this program can read. */
	readonly base64?: string;
	/** The policy keeps the value out of the log. */
	readonly redacted?: true;
	/** The value was longer than the limit: its whole length and digest follow. */
	readonly bytes?: number;
	readonly sha256?: string;
}

function asText(bytes: Buffer): string | null {
	return isUtf8(bytes) ? bytes.toString('utf8') : null;
}

function uuidText(bytes: Buffer): string {
	return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** Microseconds since 2000-01-01 as PostgreSQL sends them; null beyond what a date can say (infinity too). */
function timestampText(bytes: Buffer): string | null {
	const micros = bytes.readBigInt64BE();
	const millis = Number(micros / 1000n) + Date.UTC(2000, 0, 1);
	return Math.abs(millis) > 8.64e15 ? null : new Date(millis).toISOString();
}

interface BinaryType {
	/** Exact length, or null when any will do. */
	readonly bytes: number | null;
	readonly text: (bytes: Buffer) => string | null;
}

/** Binary formats of built-in types (their send functions) by pg_type.oid; whatever is not listed is shown as bytes. */
const binaryTypes: Readonly<Record<number, BinaryType>> = {
	16: { bytes: 1, text: (b) => (b[0] === 0 ? 'false' : 'true') },
	18: { bytes: null, text: asText },
	19: { bytes: null, text: asText },
	20: { bytes: 8, text: (b) => b.readBigInt64BE().toString() },
	21: { bytes: 2, text: (b) => b.readInt16BE().toString() },
	23: { bytes: 4, text: (b) => b.readInt32BE().toString() },
	25: { bytes: null, text: asText },
	26: { bytes: 4, text: (b) => b.readUInt32BE().toString() },
	114: { bytes: null, text: asText },
	700: { bytes: 4, text: (b) => b.readFloatBE().toString() },
	701: { bytes: 8, text: (b) => b.readDoubleBE().toString() },
	1042: { bytes: null, text: asText },
	1043: { bytes: null, text: asText },
	1114: { bytes: 8, text: timestampText },
	1184: { bytes: 8, text: timestampText },
	2950: { bytes: 16, text: uuidText },
};

function readable(parameter: AuditParameter, bytes: Buffer): string | null {
	if (parameter.format === 0) return asText(bytes);
	const type = binaryTypes[parameter.oid];
	if (type === undefined || (type.bytes !== null && type.bytes !== bytes.length)) return null;
	return type.text(bytes);
}

/** Cuts UTF-8 text without cutting a character in two. */
function cut(bytes: Buffer, bytesMax: number): Buffer {
	let end = bytesMax;
	while (end > Math.max(0, bytesMax - 4) && ((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
	return bytes.subarray(0, end);
}

/** One parameter for the record. `bytesMax` bounds the bytes that are shown. */
export function renderParameter(parameter: AuditParameter, bytesMax: number): Rendered {
	const { oid, value } = parameter;
	if (parameter.redact) return { oid, redacted: true };
	if (value === null) return { oid, value: null };
	const whole = value.length <= bytesMax;
	const shown = whole ? value : cut(value, bytesMax);
	const text = readable(parameter, shown);
	return {
		oid,
		...(text === null ? { base64: shown.toString('base64') } : { value: withoutConnectionSecrets(text) }),
		...(whole ? {} : { bytes: value.length, sha256: hash('sha256', value, 'hex') }),
	};
}

/** Most values are numbers and words: so short, and without anything that JSON or a terminal would take for more. */
const plainBytesMax = 32;

/** JSON texts of the parameters of one record, with commas between. */
export function parametersText(
	parameters: readonly AuditParameter[],
	limits: { readonly parameterBytesMax: number; readonly parametersBytesMax: number },
): string {
	let left = limits.parametersBytesMax;
	let text = '';
	for (const parameter of parameters) {
		text += `${text === '' ? '' : ','}${parameterText(parameter, Math.min(left, limits.parameterBytesMax))}`;
		left = Math.max(0, left - Math.min(parameter.value?.length ?? 0, limits.parameterBytesMax));
	}
	return text;
}

/** JSON text of `renderParameter`. */
function parameterText(parameter: AuditParameter, bytesMax: number): string {
	const { oid, value, format, redact } = parameter;
	if (
		!redact &&
		format === 0 &&
		value !== null &&
		value.length <= Math.min(plainBytesMax, bytesMax) &&
		isPlain(value)
	) {
		return `{"oid":${oid},"value":"${withoutConnectionSecrets(value.toString('latin1'))}"}`;
	}
	return toJson(renderParameter(parameter, bytesMax));
}

/** Printable ASCII without quotes and backslashes. */
function isPlain(bytes: Buffer): boolean {
	// By index: there are many, and they are short.
	for (let at = 0; at < bytes.length; at += 1) {
		const byte = bytes[at] ?? 0;
		if (byte < 0x20 || byte > 0x7e || byte === 0x22 || byte === 0x5c) return false;
	}
	return true;
}
