/** The server's side of SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677): pure functions from message to message. */
import { timingSafeEqual } from 'node:crypto';
import { AUTH_LIMITS } from './limits.ts';
import { decodeBase64, hmac, SCRAM_KEY_BYTES, type ScramVerifier, sha256 } from './verifier.ts';

export type ScramMechanism = 'SCRAM-SHA-256' | 'SCRAM-SHA-256-PLUS';

const BINDING_TYPE = 'tls-server-end-point';

/** What the exchange of one client stands on. */
export interface ScramOffer {
	readonly verifier: ScramVerifier;
	/** True when `verifier` was made up for a name that nobody has: the same work is done, and the proof is refused. */
	readonly mock: boolean;
	/** tls-server-end-point hash of the certificate that this client saw; null when PLUS is not offered. */
	readonly serverCertHash: Buffer | null;
	/** Base64 (or other printable, no comma) text that has never been used before; at least 18 random bytes. */
	readonly serverNonce: string;
}

/** Why it ends. `message` may be told to the client; `reason` is for the log. Neither holds anything secret. */
export interface ScramRefusal {
	readonly ok: false;
	readonly sqlstate: '08P01' | '28000' | '28P01' | '0A000';
	readonly message: string;
	readonly reason: string;
}

export interface ExpectClientFinal {
	readonly ok: true;
	readonly offer: ScramOffer;
	/** server-first-message, to be sent in AuthenticationSASLContinue. */
	readonly reply: string;
	readonly nonce: string;
	readonly clientFirstBare: string;
	/** What `c=` must decode to: gs2-header and channel binding data. */
	readonly bindingInput: Buffer;
	readonly mechanism: ScramMechanism;
}

export interface ScramVerified {
	readonly ok: true;
	/** server-final-message, to be sent in AuthenticationSASLFinal. */
	readonly reply: string;
}

/** Mechanisms to put in AuthenticationSASL, the best first. */
export function scramMechanisms(serverCertHash: Buffer | null): readonly ScramMechanism[] {
	return serverCertHash === null ? ['SCRAM-SHA-256'] : ['SCRAM-SHA-256-PLUS', 'SCRAM-SHA-256'];
}

/** A verifier for a user that does not exist, equal for equal names as long as the process lives. */
export function mockVerifier(
	secret: Buffer,
	user: string,
	like: { iterations: number; saltBytes: number },
): ScramVerifier {
	const salt = Buffer.alloc(like.saltBytes);
	for (let offset = 0, block = 0; offset < salt.length; offset += SCRAM_KEY_BYTES, block += 1) {
		hmac(secret, `salt:${block}:${user}`).copy(salt, offset);
	}
	return {
		iterations: like.iterations,
		salt,
		storedKey: hmac(secret, `stored:${user}`),
		serverKey: hmac(secret, `server:${user}`),
	};
}

const GS2_HEADER = /^([nyp])(?:=([A-Za-z0-9.-]+))?,([^,]*),/;
const CLIENT_FIRST_BARE = /^n=([^,]*),r=([\x21-\x2b\x2d-\x7e]+)(?:,[A-Za-z]=[^,]*)*$/;

/** Takes client-first-message. The user name in it is ignored, as PostgreSQL does: the startup packet has it. */
export function acceptClientFirst(
	offer: ScramOffer,
	mechanism: string,
	input: Buffer,
): ExpectClientFinal | ScramRefusal {
	if (mechanism !== 'SCRAM-SHA-256' && mechanism !== 'SCRAM-SHA-256-PLUS') {
		return refuse('08P01', 'client selected an invalid SASL authentication mechanism', 'unknown SASL mechanism');
	}
	const text = decode(input);
	if (text === null) return malformed('client-first-message is not clean UTF-8 or too long');
	const header = GS2_HEADER.exec(text);
	if (header === null) return malformed('no gs2-header');
	const binding = checkBindingFlag(offer, mechanism, header[1] ?? '', header[2]);
	if (!('data' in binding)) return binding;
	if (header[3] !== '') {
		return refuse('0A000', 'client uses authorization identity, but it is not supported', 'authzid sent');
	}
	const clientFirstBare = text.slice(header[0].length);
	if (clientFirstBare.startsWith('m=')) {
		return refuse('0A000', 'client requires an unsupported SCRAM extension', 'mandatory extension');
	}
	const bare = CLIENT_FIRST_BARE.exec(clientFirstBare);
	if (bare === null) return malformed('client-first-message-bare');
	const nonce = `${bare[2] ?? ''}${offer.serverNonce}`;
	const { salt, iterations } = offer.verifier;
	return {
		ok: true,
		offer,
		reply: `r=${nonce},s=${salt.toString('base64')},i=${iterations}`,
		nonce,
		clientFirstBare,
		bindingInput: Buffer.concat([Buffer.from(header[0]), binding.data]),
		mechanism,
	};
}

/** RFC 5802, section 6: which flag may come with which mechanism. A downgrade shows here. */
function checkBindingFlag(
	offer: ScramOffer,
	mechanism: ScramMechanism,
	flag: string,
	name: string | undefined,
): { readonly data: Buffer } | ScramRefusal {
	const plus = mechanism === 'SCRAM-SHA-256-PLUS';
	if (flag === 'p') {
		if (!plus) return malformed('channel binding data with SCRAM-SHA-256');
		if (offer.serverCertHash === null) return malformed('SCRAM-SHA-256-PLUS was not offered');
		if (name !== BINDING_TYPE) {
			return refuse('08P01', 'unsupported SCRAM channel-binding type', `channel binding type ${name ?? 'missing'}`);
		}
		return { data: offer.serverCertHash };
	}
	if (name !== undefined) return malformed('gs2-header');
	if (plus) return malformed('SCRAM-SHA-256-PLUS without channel binding data');
	if (flag === 'y' && offer.serverCertHash !== null) {
		return refuse(
			'28000',
			'SCRAM channel binding negotiation error',
			'the client was led to believe that channel binding is not offered: a downgrade attempt',
		);
	}
	return { data: Buffer.alloc(0) };
}

const CLIENT_FINAL = /^(c=([A-Za-z0-9+/=]+),r=([\x21-\x2b\x2d-\x7e]+)(?:,[A-Za-z]=[^,]*)*),p=([A-Za-z0-9+/=]+)$/;

/** Takes client-final-message. Everything is computed before anything is judged, for a known user and for a made-up one. */
export function acceptClientFinal(state: ExpectClientFinal, input: Buffer): ScramVerified | ScramRefusal {
	const text = decode(input);
	if (text === null) return malformed('client-final-message is not clean UTF-8 or too long');
	const match = CLIENT_FINAL.exec(text);
	if (match === null) return malformed('client-final-message');
	const [, withoutProof = '', c = '', r = '', p = ''] = match;
	const proof = decodeBase64(p);
	const binding = decodeBase64(c);
	if (proof?.length !== SCRAM_KEY_BYTES || binding === null) return malformed('base64 in client-final-message');
	if (!sameBytes(Buffer.from(r), Buffer.from(state.nonce))) {
		return malformed('nonce does not match: a replayed or mixed-up message');
	}
	if (!sameBytes(binding, state.bindingInput)) {
		return refuse('28000', 'SCRAM channel binding check failed', 'channel binding data does not match');
	}
	const { verifier, mock } = state.offer;
	const authMessage = `${state.clientFirstBare},${state.reply},${withoutProof}`;
	const clientSignature = hmac(verifier.storedKey, authMessage);
	const clientKey = Buffer.alloc(SCRAM_KEY_BYTES);
	for (let i = 0; i < SCRAM_KEY_BYTES; i += 1) clientKey[i] = (proof[i] ?? 0) ^ (clientSignature[i] ?? 0);
	const proven = timingSafeEqual(sha256(clientKey), verifier.storedKey);
	const serverSignature = hmac(verifier.serverKey, authMessage);
	if (!proven || mock) {
		return refuse('28P01', 'password authentication failed', mock ? 'no such user' : 'wrong password');
	}
	return { ok: true, reply: `v=${serverSignature.toString('base64')}` };
}

function sameBytes(a: Buffer, b: Buffer): boolean {
	return a.length === b.length && timingSafeEqual(a, b);
}

function decode(input: Buffer): string | null {
	if (input.length > AUTH_LIMITS.scramMessageBytesMax || input.includes(0)) return null;
	try {
		return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(input);
	} catch {
		return null;
	}
}

function refuse(sqlstate: ScramRefusal['sqlstate'], message: string, reason: string): ScramRefusal {
	return { ok: false, sqlstate, message, reason };
}

function malformed(reason: string): ScramRefusal {
	return refuse('08P01', 'malformed SCRAM message', `malformed SCRAM message: ${reason}`);
}
