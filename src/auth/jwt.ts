/** Checks one JSON Web Token against its issuer (RFC 7519, RFC 8725, RFC 9068): signature by allow-list, issuer, audience, times. */
import { decodeJwt, decodeProtectedHeader, errors, jwtVerify } from 'jose';
import { type JsonObject, ProviderError } from './fetch-json.ts';
import { AUTH_LIMITS } from './limits.ts';
import type { Provider } from './provider.ts';

/** Asymmetric only: `none` and HS* can never be asked for by a token. */
const ALGORITHMS = [
	'RS256',
	'RS384',
	'RS512',
	'PS256',
	'PS384',
	'PS512',
	'ES256',
	'ES384',
	'ES512',
	'EdDSA',
	'Ed25519',
];

/** RFC 8725, section 3.11: a token made for something else (logout, DPoP, secevent) must not sign anybody in. */
const TYPES = new Set(['jwt', 'at+jwt', 'application/at+jwt', 'application/jwt']);

/** Why a token, or the question about it, came to nothing. */
export interface TokenRefusal {
	readonly ok: false;
	/** Exact, for log and audit; it holds no part of the token but its issuer, key id and algorithm. */
	readonly reason: string;
	/** expired: genuine, but past its time; provider: it could not be checked; token: anything else. */
	readonly fault: 'token' | 'expired' | 'provider';
}

export type CheckedClaims = { readonly ok: true; readonly claims: JsonObject } | TokenRefusal;

/** RFC 7515, section 7.1. Decoders pass over blanks and padding, by which one token could be written in many ways. */
const COMPACT = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*$/;

/** What a token says of itself before anything is verified; null when it is no JSON Web Token. */
export interface JwtAbout {
	readonly issuer: string | null;
	/** Issuer, key id and algorithm, for the end of a reason. */
	readonly words: string;
}

/** `text`, or words in its place where it is a token that somebody has put where a name belongs: records hold none. */
export function withoutToken(text: string): string {
	return text.startsWith('ey') && COMPACT.test(text) ? '[redacted: a token]' : text;
}

export function aboutJwt(token: string): JwtAbout | null {
	if (!COMPACT.test(token)) return null;
	try {
		const { iss } = decodeJwt(token);
		const { kid, alg } = decodeProtectedHeader(token);
		const words = ` (issuer ${quote(iss)}, key id ${quote(kid)}, algorithm ${quote(alg)})`;
		return { issuer: typeof iss === 'string' ? iss : null, words };
	} catch {
		return null;
	}
}

/** `nowMs`: milliseconds since the epoch. Never rejects. */
export async function checkJwt(
	token: string,
	provider: Provider,
	audience: string | readonly string[],
	nowMs: number,
): Promise<CheckedClaims> {
	try {
		const { typ } = decodeProtectedHeader(token);
		if (typ !== undefined && !TYPES.has(String(typ).toLowerCase())) {
			return refuse(`a token of type ${quote(typ)} is not for signing in`);
		}
		const { payload } = await jwtVerify(token, (header) => provider.key(header), {
			algorithms: ALGORITHMS,
			issuer: provider.issuer,
			audience: typeof audience === 'string' ? audience : [...audience],
			clockTolerance: AUTH_LIMITS.clockToleranceSeconds,
			currentDate: new Date(nowMs),
			requiredClaims: ['exp'],
		});
		if (payload['cnf'] !== undefined) return refuse('the token is bound to a key that the client did not prove (cnf)');
		if (payload['events'] !== undefined) return refuse('a security event token is not for signing in');
		return { ok: true, claims: payload };
	} catch (error) {
		return refuse(describe(error), faultOf(error));
	}
}

function refuse(reason: string, fault: TokenRefusal['fault'] = 'token'): TokenRefusal {
	return { ok: false, reason, fault };
}

/** jose looks at the times after signature, issuer and audience, so an expired token is a genuine one. */
function faultOf(error: unknown): TokenRefusal['fault'] {
	if (error instanceof errors.JWTExpired) return 'expired';
	return error instanceof ProviderError ? 'provider' : 'token';
}

/** Values out of an unverified token, short and harmless enough for a log line. */
function quote(value: unknown): string {
	if (typeof value !== 'string') return 'missing';
	return JSON.stringify(value.length > 200 ? `${value.slice(0, 200)}...` : value);
}

function describe(error: unknown): string {
	if (error instanceof errors.JWTExpired) return 'the token has expired';
	if (error instanceof errors.JWTClaimValidationFailed) {
		if (error.claim === 'nbf' && error.reason === 'check_failed') return 'the token is not valid yet (nbf)';
		return `claim ${error.claim} is ${error.reason === 'missing' ? 'missing' : 'not what it must be'}`;
	}
	if (error instanceof errors.JOSEAlgNotAllowed) return 'the algorithm is not allowed';
	if (error instanceof errors.JWSSignatureVerificationFailed) return 'the signature is wrong';
	if (error instanceof errors.JWKSNoMatchingKey) return 'the issuer has no such key';
	if (error instanceof errors.JWKSMultipleMatchingKeys) return 'several keys match: the token needs a key id';
	if (error instanceof ProviderError) return `the issuer cannot be asked: ${error.message}`;
	if (error instanceof errors.JWTInvalid || error instanceof errors.JWSInvalid) return 'not a JSON Web Token';
	if (error instanceof errors.JOSEError) return `not an acceptable JSON Web Token: ${error.code}`;
	return `cannot be checked: ${error instanceof Error ? error.name : 'unknown error'}`;
}
