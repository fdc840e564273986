/** The first packets of a connection, which have no type byte: StartupMessage, SSLRequest, GSSENCRequest, CancelRequest. */
import { GatewayError } from '../errors.ts';
import { protocolVersions, requestCodes } from './codes.ts';
import { strictText } from './cursor.ts';
import { protocolViolation } from './errors.ts';
import { cancelKeyBytesMax, startupBytesMax } from './limits.ts';

/** A packet up to this long may be a startup packet that is too long: its sender is told. */
const plausibleBytesMax = 1 << 20;

/** Protocol, "StartupMessage". A name given twice has its last value, as in PostgreSQL. */
export interface StartupMessage {
	readonly type: 'StartupMessage';
	readonly raw: Buffer;
	/** As on the wire: major version in the upper 16 bits, minor in the lower. The major is always 3. */
	readonly protocol: number;
	/** In the order sent, protocol options (`_pq_.`) included. */
	readonly params: ReadonlyMap<string, string>;
}

/** Protocol, "SSLRequest". */
export interface SSLRequest {
	readonly type: 'SSLRequest';
	readonly raw: Buffer;
}

/** Protocol, "GSSENCRequest". */
export interface GSSENCRequest {
	readonly type: 'GSSENCRequest';
	readonly raw: Buffer;
}

/** Protocol, "CancelRequest". `key` has 4 to 256 bytes and is a slice of `raw`. */
export interface CancelRequest {
	readonly type: 'CancelRequest';
	readonly raw: Buffer;
	readonly pid: number;
	readonly key: Buffer;
}

export type Startup = StartupMessage | SSLRequest | GSSENCRequest | CancelRequest;

/** A first packet, and the bytes that came after it. */
export interface StartupRead {
	readonly message: Startup;
	/** Slice of what was received. After an SSLRequest it must be empty: bytes sent before TLS is up are never inside it. */
	readonly rest: Buffer;
}

/** What the gateway answers to a version: the one that holds, and whether NegotiateProtocolVersion has to say so. */
export interface Negotiation {
	readonly protocol: number;
	readonly unrecognized: readonly string[];
	/** True when the client asked for a newer minor version or for options that are not known. */
	readonly mustTell: boolean;
}

/**
 * The first packet in `received` (all that came so far), or null when more bytes are needed. The declared length is
 * checked as soon as its four bytes are there. Raises 08P01 FATAL, 0A000 FATAL for a protocol other than 3.
 */
export function readStartup(received: Buffer, bytesMax = startupBytesMax): StartupRead | null {
	if (received.length < 4) return null;
	const length = received.readInt32BE(0);
	if (length < 8 || length > bytesMax) throw protocolViolation('invalid length of startup packet');
	if (received.length < length) return null;
	return { message: decodeStartup(received.subarray(0, length)), rest: received.subarray(length) };
}

/**
 * True for what begins no conversation: a length that no first packet has, or a cancel request of a wrong one. The server
 * closes such a connection without a word (ProcessStartupPacket), as whoever is there would not understand any.
 */
export function isForeign(received: Buffer): boolean {
	if (received.length < 4) return false;
	const length = received.readInt32BE(0);
	if (length < 8 || length > plausibleBytesMax) return true;
	if (received.length < 8 || received.readUInt32BE(4) !== requestCodes.CancelRequest) return false;
	return length < 16 || length > 12 + cancelKeyBytesMax;
}

/** Decodes one whole first packet. Raises 08P01 FATAL, 0A000 FATAL for a protocol other than 3. */
export function decodeStartup(raw: Buffer): Startup {
	if (raw.length < 8 || raw.length > startupBytesMax || raw.readInt32BE(0) !== raw.length) {
		throw protocolViolation('invalid length of startup packet');
	}
	const code = raw.readUInt32BE(4);
	switch (code) {
		case requestCodes.SSLRequest:
			requireLength(raw, 8, 8, 'SSLRequest');
			return { type: 'SSLRequest', raw };
		case requestCodes.GSSENCRequest:
			requireLength(raw, 8, 8, 'GSSENCRequest');
			return { type: 'GSSENCRequest', raw };
		case requestCodes.CancelRequest:
			requireLength(raw, 16, 12 + cancelKeyBytesMax, 'CancelRequest');
			return { type: 'CancelRequest', raw, pid: raw.readInt32BE(8), key: raw.subarray(12) };
		default:
			return decodeStartupMessage(raw, code);
	}
}

/** Which version and options hold for a startup packet (protocol, "NegotiateProtocolVersion"). The gateway knows 3.0 and 3.2. */
export function negotiate(startup: Pick<StartupMessage, 'protocol' | 'params'>): Negotiation {
	const unrecognized = [...startup.params.keys()].filter((name) => name.startsWith('_pq_.'));
	const newest = protocolVersions.v3_2;
	// 3.1 was never released: who asks for it speaks 3.0's shapes.
	const protocol = startup.protocol >= newest ? newest : protocolVersions.v3_0;
	return { protocol, unrecognized, mustTell: startup.protocol > newest || unrecognized.length > 0 };
}

function requireLength(raw: Buffer, least: number, most: number, what: string): void {
	if (raw.length < least || raw.length > most) throw protocolViolation(`invalid length of ${what} packet`);
}

function decodeStartupMessage(raw: Buffer, protocol: number): StartupMessage {
	const major = protocol >>> 16;
	const minor = protocol & 0xffff;
	if (major !== 3) {
		const words = `unsupported frontend protocol ${major}.${minor}: server supports 3.0 to 3.2`;
		throw new GatewayError('0A000', words, { severity: 'FATAL' });
	}
	const params = new Map<string, string>();
	let at = 8;
	while (at < raw.length && raw[at] !== 0) {
		const nameEnd = raw.indexOf(0, at);
		const valueEnd = nameEnd === -1 ? -1 : raw.indexOf(0, nameEnd + 1);
		if (valueEnd === -1) throw layout();
		const name = startupText(raw, at, nameEnd);
		const value = startupText(raw, nameEnd + 1, valueEnd);
		params.set(name, value);
		at = valueEnd + 1;
	}
	if (at !== raw.length - 1) throw layout();
	return { type: 'StartupMessage', raw, protocol, params };
}

function startupText(raw: Buffer, start: number, end: number): string {
	try {
		return strictText(raw, start, end, 'startup packet');
	} catch (cause) {
		throw new GatewayError('08P01', 'startup packet is not UTF-8', { severity: 'FATAL', cause });
	}
}

function layout(): GatewayError {
	return protocolViolation('invalid startup packet layout: expected terminator as last byte');
}
