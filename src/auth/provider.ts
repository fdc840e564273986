/** One OpenID provider: its metadata by discovery and its signing keys, cached, rotated, and kept through an outage. */
import { createLocalJWKSet, errors, type JWK, type JWSHeaderParameters } from 'jose';
import { type Fetch, fetchJson, isObject, type JsonObject, ProviderError } from './fetch-json.ts';
import { AUTH_LIMITS } from './limits.ts';

export interface ProviderClock {
	/** Milliseconds since the epoch. */
	readonly now: () => number;
	readonly fetch: Fetch;
}

/** OpenID Connect Discovery 1.0, section 3, and RFC 8414, section 2: what the gateway uses of it. */
export interface ProviderMetadata {
	readonly issuer: string;
	readonly jwksUri: string;
	readonly deviceAuthorizationEndpoint: string | null;
	readonly tokenEndpoint: string | null;
	readonly introspectionEndpoint: string | null;
	readonly authorizationEndpoint: string | null;
	readonly revocationEndpoint: string | null;
	/** Empty when the provider does not say. */
	readonly scopesSupported: readonly string[];
}

type LocalKeys = ReturnType<typeof createLocalJWKSet>;
export type VerificationKey = Awaited<ReturnType<LocalKeys>>;

interface Loaded {
	readonly metadata: ProviderMetadata;
	readonly keys: LocalKeys;
	readonly atMs: number;
}

export class Provider {
	readonly issuer: string;
	readonly #deps: ProviderClock;
	#loaded: Loaded | null = null;
	#loading: Promise<Loaded> | null = null;
	#triedAtMs = Number.NEGATIVE_INFINITY;
	#failure: ProviderError | null = null;

	constructor(issuer: string, deps: ProviderClock) {
		this.issuer = issuer;
		this.#deps = deps;
	}

	/** Throws ProviderError when the provider cannot be asked and nothing usable is known. */
	async metadata(): Promise<ProviderMetadata> {
		return (await this.#current()).metadata;
	}

	/**
	 * The key that a token's header names. An unknown key id makes the set be fetched again, at most once in
	 * AUTH_LIMITS.keysCooldownMs. Throws ProviderError, or jose's JWKSNoMatchingKey and JWKSMultipleMatchingKeys.
	 */
	async key(header: JWSHeaderParameters): Promise<VerificationKey> {
		const loaded = await this.#current();
		try {
			return await loaded.keys(header);
		} catch (error) {
			if (!(error instanceof errors.JWKSNoMatchingKey) || !this.#mayFetch()) throw error;
			return (await this.#refresh()).keys(header);
		}
	}

	async #current(): Promise<Loaded> {
		const ageMs = this.#loaded === null ? Number.POSITIVE_INFINITY : this.#deps.now() - this.#loaded.atMs;
		if (this.#loaded !== null && ageMs <= AUTH_LIMITS.keysStaleMs) {
			// A failure is remembered in #failure; the known keys go on working until they are stale.
			if (ageMs > AUTH_LIMITS.keysFreshMs && this.#mayFetch()) this.#refresh().catch(() => undefined);
			return this.#loaded;
		}
		if (this.#loading === null && this.#failure !== null && !this.#mayFetch()) throw this.#failure;
		return this.#refresh();
	}

	#mayFetch(): boolean {
		return this.#loading !== null || this.#deps.now() - this.#triedAtMs >= AUTH_LIMITS.keysCooldownMs;
	}

	/** One fetch at a time, shared by all who wait for it. */
	#refresh(): Promise<Loaded> {
		this.#loading ??= this.#load().finally(() => {
			this.#loading = null;
		});
		return this.#loading;
	}

	async #load(): Promise<Loaded> {
		this.#triedAtMs = this.#deps.now();
		try {
			const metadata = await this.#discover();
			const keys = await this.#fetchKeys(metadata.jwksUri);
			this.#failure = null;
			this.#loaded = { metadata, keys, atMs: this.#deps.now() };
			return this.#loaded;
		} catch (error) {
			this.#failure = error instanceof ProviderError ? error : new ProviderError(`${this.issuer}: ${String(error)}`);
			throw this.#failure;
		}
	}

	async #discover(): Promise<ProviderMetadata> {
		const url = `${this.issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
		const body = await this.#get(url);
		if (body['issuer'] !== this.issuer) {
			throw new ProviderError(`${url}: says that its issuer is ${JSON.stringify(body['issuer'])}`);
		}
		const jwksUri = body['jwks_uri'];
		if (typeof jwksUri !== 'string') throw new ProviderError(`${url}: has no jwks_uri`);
		this.#mustBeAsSafe(jwksUri, 'jwks_uri');
		const endpoint = (name: string): string | null => {
			const value = body[name];
			if (typeof value !== 'string') return null;
			this.#mustBeAsSafe(value, name);
			return value;
		};
		return {
			issuer: this.issuer,
			jwksUri,
			deviceAuthorizationEndpoint: endpoint('device_authorization_endpoint'),
			tokenEndpoint: endpoint('token_endpoint'),
			introspectionEndpoint: endpoint('introspection_endpoint'),
			authorizationEndpoint: endpoint('authorization_endpoint'),
			revocationEndpoint: endpoint('revocation_endpoint'),
			scopesSupported: textsIn(body['scopes_supported']),
		};
	}

	/** A provider elsewhere has no business with what listens on this machine. */
	#mustBeAsSafe(url: string, name: string): void {
		if (this.issuer.startsWith('https:') && !url.startsWith('https:'))
			throw new ProviderError(`${this.issuer}: ${name} ${JSON.stringify(url.slice(0, 200))} must be https`);
	}

	async #fetchKeys(url: string): Promise<LocalKeys> {
		const { keys } = await this.#get(url);
		if (!Array.isArray(keys)) throw new ProviderError(`${url}: has no keys`);
		if (keys.length > AUTH_LIMITS.keysMax) throw new ProviderError(`${url}: more than ${AUTH_LIMITS.keysMax} keys`);
		// Symmetric keys have no business in a published set, and would make HS256 conceivable.
		return createLocalJWKSet({ keys: keys.filter(isPublicKey) });
	}

	async #get(url: string): Promise<JsonObject> {
		const { status, body } = await fetchJson(this.#deps.fetch, url);
		if (status !== 200) throw new ProviderError(`${url}: status ${status}`);
		return body;
	}
}

function textsIn(value: unknown): string[] {
	return Array.isArray(value) ? value.filter((one) => typeof one === 'string') : [];
}

function isPublicKey(key: unknown): key is JWK {
	return isObject(key) && typeof key['kty'] === 'string' && key['kty'] !== 'oct';
}
