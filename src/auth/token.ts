/** Checks of JSON Web Tokens (RFC 7519, RFC 8725, RFC 9068): signature by allow-list, issuer, audience, times, claims. */
import { decodeJwt, decodeProtectedHeader, errors, jwtVerify } from 'jose';
import type { Identity, LoginMethod } from '../stages.ts';
import { type ClaimsResult, identityFromClaims } from './claims.ts';
import { ProviderError } from './fetch-json.ts';
import { AUTH_LIMITS } from './limits.ts';
import { Provider, type ProviderClock } from './provider.ts';
import type { IssuerSettings } from './settings.ts';

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

export type TokenResult = { readonly ok: true; readonly identity: Identity } | TokenRefusal;

export interface TokenRefusal {
	readonly ok: false;
	/** Exact, for log and audit; it holds no part of the token but its issuer, key id and algorithm. */
	readonly reason: string;
	/** expired: genuine, but past its time; provider: it could not be checked; token: anything else. */
	readonly fault: 'token' | 'expired' | 'provider';
}

export interface TokenExpectation {
	readonly issuer?: string | undefined;
	readonly audience?: string | undefined;
}

interface Issuer {
	readonly settings: IssuerSettings;
	readonly provider: Provider;
}

/** Checks tokens of all configured issuers. */
export class TokenVerifier {
	readonly #issuers = new Map<string, Issuer>();
	readonly #now: () => number;

	constructor(issuers: readonly IssuerSettings[], deps: ProviderClock) {
		this.#now = deps.now;
		for (const settings of issuers) {
			this.#issuers.set(settings.issuer, { settings, provider: new Provider(settings.issuer, deps) });
		}
	}

	/** The provider of a configured issuer. */
	provider(issuer: string): Provider | undefined {
		return this.#issuers.get(issuer)?.provider;
	}

	get providers(): readonly Provider[] {
		return [...this.#issuers.values()].map(({ provider }) => provider);
	}

	/**
	 * Never rejects. The issuer that the token claims only chooses the checks; it is verified with the rest.
	 * `expect`: the only issuer that will do, and the audience in place of the configured one.
	 */
	async verify(token: string, method: LoginMethod, expect: TokenExpectation = {}): Promise<TokenResult> {
		if (Buffer.byteLength(token) > AUTH_LIMITS.tokenBytesMax) return refuse('the token is too long');
		let about = '';
		try {
			const { iss } = decodeJwt(token);
			const header = decodeProtectedHeader(token);
			about = ` (issuer ${quote(iss)}, key id ${quote(header.kid)}, algorithm ${quote(header.alg)})`;
			const issuer = typeof iss === 'string' ? this.#issuers.get(iss) : undefined;
			if (issuer === undefined) return refuse(`no such issuer is configured${about}`);
			if (expect.issuer !== undefined && iss !== expect.issuer) return refuse(`a token of another issuer${about}`);
			if (header.typ !== undefined && !TYPES.has(String(header.typ).toLowerCase())) {
				return refuse(`a token of type ${quote(header.typ)} is not for signing in${about}`);
			}
			const settings =
				expect.audience === undefined ? issuer.settings : { ...issuer.settings, audience: expect.audience };
			const result = await verifyFor({ ...issuer, settings }, token, method, this.#now());
			return result.ok ? result : refuse(result.reason + about);
		} catch (error) {
			return refuse(describe(error) + about, faultOf(error));
		}
	}
}

async function verifyFor(
	{ settings, provider }: Issuer,
	token: string,
	method: LoginMethod,
	nowMs: number,
): Promise<ClaimsResult> {
	const { payload } = await jwtVerify(token, (header) => provider.key(header), {
		algorithms: ALGORITHMS,
		issuer: settings.issuer,
		audience: typeof settings.audience === 'string' ? settings.audience : [...settings.audience],
		clockTolerance: AUTH_LIMITS.clockToleranceSeconds,
		currentDate: new Date(nowMs),
		requiredClaims: ['exp'],
	});
	if (payload['cnf'] !== undefined)
		return { ok: false, reason: 'the token is bound to a key that the client did not prove (cnf)' };
	if (payload['events'] !== undefined) return { ok: false, reason: 'a security event token is not for signing in' };
	return identityFromClaims(payload, settings, method);
}

function refuse(reason: string, fault: TokenRefusal['fault'] = 'token'): TokenRefusal {
	return { ok: false, reason, fault };
}

/** jose looks at the times after the signature, so an expired token is a genuine one. */
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
