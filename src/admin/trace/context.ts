/** Trace context: read from a SQL comment, or made anew (W3C Trace Context, "traceparent Header"; sqlcommenter's comments). */

export interface TraceContext {
	/** 32 hexadecimal digits. */
	readonly traceId: string;
	/** Of the caller's span: 16 hexadecimal digits; null when the trace begins here. */
	readonly parentId: string | null;
	readonly sampled: boolean;
}

const key = 'traceparent';
const value = /traceparent\s*=\s*'([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})/y;
const zeros = /^0+$/;

/** How often the word may come before one looks no further. */
const mentionsMax = 8;

/** What a comment of the text says (`traceparent='00-...-...-01'` among others); null when it says nothing that counts. */
export function contextOf(text: string): TraceContext | null {
	let at = text.indexOf(key);
	for (let mention = 0; at >= 0 && mention < mentionsMax; mention += 1) {
		if (isInComment(text, at)) {
			value.lastIndex = at;
			const context = readContext(value.exec(text));
			if (context !== null) return context;
		}
		at = text.indexOf(key, at + key.length);
	}
	return null;
}

/** Near enough: a `/*` in a string looks like one, and what follows from it is only which trace a span belongs to. */
function isInComment(text: string, at: number): boolean {
	return text.lastIndexOf('/*', at) > text.lastIndexOf('*/', at);
}

function readContext(match: RegExpExecArray | null): TraceContext | null {
	const [, version, traceId, parentId, flags] = match ?? [];
	if (version === undefined || traceId === undefined || parentId === undefined || flags === undefined) return null;
	if (version === 'ff' || zeros.test(traceId) || zeros.test(parentId)) return null;
	return { traceId, parentId, sampled: (Number.parseInt(flags, 16) & 1) === 1 };
}
