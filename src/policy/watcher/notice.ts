/** What gateways tell each other of their policies: which revision is in force. Nothing in it is secret, and nothing is proven. */

/**
 * `state`: this is in force here. `ask`: the same, and whoever hears it says what is in force there. `gone`: this gateway stops.
 */
export interface Notice {
	readonly kind: 'state' | 'ask' | 'gone';
	/** Name of the gateway, for operators. */
	readonly gateway: string;
	/** One for each start of a gateway, so that it knows its own words. */
	readonly instance: string;
	readonly revision: string;
}

/** Longest text that is read; PostgreSQL carries 8000 bytes. */
const noticeBytesMax = 1_000;

/** A name that may stand in logs. */
export const gatewayName = /^[A-Za-z0-9][A-Za-z0-9._:/-]{0,99}$/;
const hex = /^[0-9a-f]{16}$/;
const kinds: ReadonlySet<unknown> = new Set(['state', 'ask', 'gone'] satisfies Notice['kind'][]);

/** As JSON, in characters that need no quoting anywhere. */
export function formatNotice({ kind, gateway, instance, revision }: Notice): string {
	return JSON.stringify({ v: 1, kind, gateway, instance, revision });
}

/** Null for anything that is no notice: whoever may write to the channel may write what they like. */
export function readNotice(text: string): Notice | null {
	if (text.length > noticeBytesMax) return null;
	let value: unknown;
	try {
		value = JSON.parse(text);
	} catch {
		return null;
	}
	if (typeof value !== 'object' || value === null) return null;
	const { v, kind, gateway, instance, revision } = value as Readonly<Record<string, unknown>>;
	if (v !== 1 || !kinds.has(kind)) return null;
	if (typeof gateway !== 'string' || !gatewayName.test(gateway)) return null;
	if (typeof instance !== 'string' || !hex.test(instance)) return null;
	if (typeof revision !== 'string' || !hex.test(revision)) return null;
	return { kind: kind as Notice['kind'], gateway, instance, revision };
}
