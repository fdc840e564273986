/** The client's side of SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677), for signing in at a backend. */
import { timingSafeEqual } from 'node:crypto';
import { AUTH_LIMITS } from './limits.ts';
import type { DeriveKeys } from './scram-keys.ts';
import type { ScramMechanism } from './scram-server.ts';
import { decodeBase64, hmac, scramKeys, sha256 } from './verifier.ts';

/** A server that does not keep to SCRAM, or does not know the password. The text holds nothing secret. */
export class ScramClientError extends Error {
	override readonly name = 'ScramClientError';
}

export interface ScramClientStart {
	readonly mechanism: ScramMechanism;
	/** client-first-message, for SASLInitialResponse. */
	readonly message: string;
	readonly nonce: string;
	readonly bare: string;
	readonly bindingInput: Buffer;
}

export interface ScramClientFinal {
	/** client-final-message, for SASLResponse. */
	readonly message: string;
	readonly serverSignature: Buffer;
}

export interface ScramClientOptions {
	/** Mechanisms in AuthenticationSASL. */
	readonly offered: readonly string[];
	/** True when the connection is encrypted. */
	readonly tls: boolean;
	/** tls-server-end-point hash of the server's certificate; null when there is none. */
	readonly serverCertHash: Buffer | null;
	/** Printable text without commas, never used before: at least 18 random bytes in base64. */
	readonly nonce: string;
}

/**
 * Chooses the mechanism and makes client-first-message. With TLS and a server that does not offer PLUS the flag is `y`,
 * so that a server whose offer was tampered with notices. Throws ScramClientError when no SCRAM is offered.
 */
export function startScram(options: ScramClientOptions): ScramClientStart {
	const { offered, tls, serverCertHash, nonce } = options;
	const canBind = tls && serverCertHash !== null;
	const bare = `n=,r=${nonce}`;
	if (canBind && offered.includes('SCRAM-SHA-256-PLUS')) {
		const header = 'p=tls-server-end-point,,';
		const bindingInput = Buffer.concat([Buffer.from(header), serverCertHash]);
		return { mechanism: 'SCRAM-SHA-256-PLUS', message: header + bare, nonce, bare, bindingInput };
	}
	if (!offered.includes('SCRAM-SHA-256')) {
		throw new ScramClientError('the server offers no SASL mechanism that the gateway can use');
	}
	const header = canBind ? 'y,,' : 'n,,';
	return { mechanism: 'SCRAM-SHA-256', message: header + bare, nonce, bare, bindingInput: Buffer.from(header) };
}

const SERVER_FIRST = /^r=([\x21-\x2b\x2d-\x7e]+),s=([A-Za-z0-9+/=]+),i=([1-9][0-9]{0,9})(?:,[A-Za-z]=[^,]*)*$/;

/** Takes server-first-message. Throws ScramClientError for a foreign nonce, a bad salt or a count beyond the limit. */
export async function continueScram(
	start: ScramClientStart,
	password: string,
	serverFirst: string,
	derive: DeriveKeys = scramKeys,
): Promise<ScramClientFinal> {
	const match = SERVER_FIRST.exec(serverFirst);
	if (match === null) throw new ScramClientError('malformed server-first-message');
	const [, nonce = '', s = '', i = ''] = match;
	if (!nonce.startsWith(start.nonce) || nonce.length === start.nonce.length) {
		throw new ScramClientError('the server did not extend the nonce');
	}
	const salt = decodeBase64(s);
	if (salt === null || salt.length === 0) throw new ScramClientError('malformed salt');
	const iterations = Number(i);
	if (iterations > AUTH_LIMITS.scramIterationsMax) {
		throw new ScramClientError(`the server asks for more than ${AUTH_LIMITS.scramIterationsMax} rounds`);
	}
	const { clientKey, serverKey } = await derive(password, salt, iterations);
	const withoutProof = `c=${start.bindingInput.toString('base64')},r=${nonce}`;
	const authMessage = `${start.bare},${serverFirst},${withoutProof}`;
	const signature = hmac(sha256(clientKey), authMessage);
	const proof = Buffer.from(clientKey.map((byte, at) => byte ^ (signature[at] ?? 0)));
	return {
		message: `${withoutProof},p=${proof.toString('base64')}`,
		serverSignature: hmac(serverKey, authMessage),
	};
}

/** Takes server-final-message. Throws ScramClientError when the server does not prove that it knows the password. */
export function finishScram(final: ScramClientFinal, serverFinal: string): void {
	const match = /^v=([A-Za-z0-9+/=]+)(?:,[A-Za-z]=[^,]*)*$/.exec(serverFinal);
	const signature = match === null ? null : decodeBase64(match[1] ?? '');
	if (signature === null) throw new ScramClientError('malformed server-final-message');
	const same = signature.length === final.serverSignature.length && timingSafeEqual(signature, final.serverSignature);
	if (!same) throw new ScramClientError('the server does not know the password');
}
