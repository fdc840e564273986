/** From a token to an Identity: finds the issuer that it is of, has it checked, and reads its claims. */
import type { Identity, LoginMethod } from '../stages.ts';
import { identityFromClaims, missingScope } from './claims.ts';
import { type JsonObject, ProviderError } from './fetch-json.ts';
import { checkIntrospection, introspect } from './introspection.ts';
import { aboutJwt, type CheckedClaims, checkJwt, type JwtAbout, type TokenRefusal } from './jwt.ts';
import { AUTH_LIMITS } from './limits.ts';
import { Provider, type ProviderClock } from './provider.ts';
import { type IntrospectionSettings, type IssuerSettings, prefixesOf } from './settings.ts';

export type { TokenRefusal } from './jwt.ts';

export type TokenResult =
	/** `recheckMs`: the issuer can take the token back, and is to be asked again so often. */
	{ readonly ok: true; readonly identity: Identity; readonly recheckMs?: number } | TokenRefusal;

export interface TokenExpectation {
	/** The only issuer that will do. */
	readonly issuer?: string | undefined;
	/** In place of the configured audience. */
	readonly audience?: string | undefined;
	/** Who is asked about an opaque token where several issuers could be: the one that the client named. */
	readonly preferred?: string | undefined;
}

/** What may be shown to an issuer as a token (RFC 6750, section 2.1): not what a person would type. */
const OPAQUE = /^[A-Za-z0-9._~+/-]{16,}=*$/;

const REVOKED: TokenRefusal = { ok: false, reason: 'the issuer says that the token is not active', fault: 'token' };

interface Issuer {
	readonly settings: IssuerSettings;
	readonly provider: Provider;
}

/** Checks tokens of all configured issuers. */
export class TokenVerifier {
	readonly #issuers = new Map<string, Issuer>();
	/** What names of some issuer or its workloads begin with. */
	readonly #prefixes: readonly string[];
	readonly #deps: ProviderClock;

	constructor(issuers: readonly IssuerSettings[], deps: ProviderClock) {
		this.#deps = deps;
		this.#prefixes = issuers.flatMap(prefixesOf).filter((prefix) => prefix !== '');
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

	/** Never rejects. The issuer that the token claims only chooses the checks; it is verified with the rest. */
	async verify(token: string, method: LoginMethod, expect: TokenExpectation = {}): Promise<TokenResult> {
		if (Buffer.byteLength(token) > AUTH_LIMITS.tokenBytesMax) return refuse('the token is too long');
		const about = aboutJwt(token);
		const words = about?.words ?? ' (an opaque token)';
		const issuer = about === null ? this.#issuerOfOpaque(expect) : this.#issuerOf(about, expect);
		if (!('settings' in issuer)) return about === null ? issuer : refuse(issuer.reason + words);
		const checked = await this.#check(issuer, token, about !== null, expect);
		if (!checked.ok) return refuse(checked.reason + words, checked.fault);
		// OpenID Connect Core, section 3.1.3.7: an ID token for us has us as its authorized party, where it names one.
		const { azp } = checked.claims;
		if (expect.audience !== undefined && azp !== undefined && azp !== expect.audience)
			return refuse(`claim azp is not what it must be${words}`);
		const missing = missingScope(checked.claims, issuer.settings.requiredScopes ?? []);
		if (missing !== null) return refuse(`the token lacks scope ${missing}${words}`);
		const result = identityFromClaims(checked.claims, issuer.settings, method, this.#prefixes);
		if (!result.ok) return refuse(result.reason + words);
		const { introspection } = issuer.settings;
		const everyMs = introspection?.everyMs ?? AUTH_LIMITS.recheckMs;
		const asked = introspection !== undefined && (about === null || introspection.always === true);
		return asked && everyMs > 0 ? { ...result, recheckMs: everyMs } : result;
	}

	#issuerOf(about: JwtAbout, expect: TokenExpectation): Issuer | TokenRefusal {
		const issuer = about.issuer === null ? undefined : this.#issuers.get(about.issuer);
		if (issuer === undefined) return refuse('no such issuer is configured');
		if (expect.issuer !== undefined && about.issuer !== expect.issuer) return refuse('a token of another issuer');
		return issuer;
	}

	/** An opaque token is shown to one issuer only: to others it would be a secret given away. */
	#issuerOfOpaque(expect: TokenExpectation): Issuer | TokenRefusal {
		const able = [...this.#issuers.values()].filter(({ settings }) => settings.introspection !== undefined);
		if (able.length === 0) return refuse('not a JSON Web Token');
		const named = expect.issuer ?? expect.preferred;
		const chosen = able.find(({ settings }) => settings.issuer === named);
		if (chosen !== undefined) return chosen;
		const [only, ...others] = able;
		if (only === undefined || expect.issuer !== undefined) return refuse('not a JSON Web Token of that issuer');
		return others.length === 0 ? only : refuse('an opaque token, and the client did not name its issuer');
	}

	async #check(issuer: Issuer, token: string, isJwt: boolean, expect: TokenExpectation): Promise<CheckedClaims> {
		const { provider } = issuer;
		const settings =
			expect.audience === undefined ? issuer.settings : { ...issuer.settings, audience: expect.audience };
		const { introspection } = settings;
		if (!isJwt) {
			if (introspection === undefined) return refuse('not a JSON Web Token');
			if (!OPAQUE.test(token)) return refuse('neither a JSON Web Token nor an opaque one');
			return this.#ask(provider, introspection, token, (body) => checkIntrospection(body, settings, this.#deps.now()));
		}
		const checked = await checkJwt(token, provider, settings.audience, this.#deps.now());
		if (!checked.ok || introspection?.always !== true) return checked;
		return this.#ask(provider, introspection, token, (body) => (body['active'] === true ? checked : REVOKED));
	}

	async #ask(
		provider: Provider,
		client: IntrospectionSettings,
		token: string,
		judge: (body: JsonObject) => CheckedClaims,
	): Promise<CheckedClaims> {
		try {
			return judge(await introspect(this.#deps.fetch, await provider.metadata(), client, token));
		} catch (error) {
			if (!(error instanceof ProviderError)) throw error;
			return refuse(`the issuer cannot be asked: ${error.message}`, 'provider');
		}
	}
}

function refuse(reason: string, fault: TokenRefusal['fault'] = 'token'): TokenRefusal {
	return { ok: false, reason, fault };
}
