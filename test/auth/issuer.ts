/** An identity provider without a network: a `fetch` that serves discovery and keys, and a signer of tokens. */
import { type CryptoKey, exportJWK, generateKeyPair, type JWK, type JWTPayload, SignJWT } from 'jose';

export interface SigningKey {
	readonly kid: string;
	readonly alg: string;
	readonly privateKey: CryptoKey;
	readonly jwk: JWK;
}

export async function makeKey(kid: string, alg = 'ES256'): Promise<SigningKey> {
	const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
	return { kid, alg, privateKey, jwk: { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' } };
}

/** How a token departs from a good one; undefined takes a claim or header away. */
export interface TokenChanges {
	readonly claims?: Readonly<Record<string, unknown>>;
	readonly header?: Readonly<Record<string, unknown>>;
	readonly key?: SigningKey;
}

export class FakeIssuer {
	readonly issuer: string;
	keys: SigningKey[];
	/** Seconds since the epoch, for tokens; and the gateway's clock. */
	nowMs = 1_700_000_000_000;
	/** How it answers; 'down': connection refused. */
	mode: 'up' | 'down' | 'error' | 'html' | 'endless' | 'redirect' | 'foreign' = 'up';
	/** Paths fetched. */
	readonly fetched: string[] = [];
	/** More members of the metadata, or others in place of them. */
	metadata: Record<string, unknown> = {};
	/** Answers for other paths. */
	readonly routes = new Map<string, (form: URLSearchParams, headers: Headers) => Response>();

	constructor(issuer: string, keys: SigningKey[]) {
		this.issuer = issuer;
		this.keys = keys;
	}

	readonly now = (): number => this.nowMs;

	readonly fetch: typeof globalThis.fetch = async (input, init) => {
		const url = new URL(String(input));
		const path = url.href.slice(this.issuer.replace(/\/$/, '').length);
		this.fetched.push(path);
		await Promise.resolve();
		switch (this.mode) {
			case 'up':
				return this.#answer(path, new URLSearchParams(String(init?.body ?? '')), new Headers(init?.headers));
			case 'foreign':
				return Response.json({ issuer: 'https://evil.example.com', jwks_uri: `${this.issuer}/jwks` });
			case 'down':
				throw new TypeError('fetch failed', { cause: new Error('connect ECONNREFUSED 10.0.0.9:443') });
			case 'error':
				return Response.json({ error: 'oops' }, { status: 500 });
			case 'html':
				return new Response('<html>');
			case 'redirect':
				return new Response(null, { status: 302, headers: { location: 'https://evil.example.com/' } });
			case 'endless':
				return new Response(new Blob([Buffer.alloc(2_000_000, ' ')]));
		}
	};

	#answer(path: string, form: URLSearchParams, headers: Headers): Response {
		const route = this.routes.get(path);
		if (route !== undefined) return route(form, headers);
		if (path === '/.well-known/openid-configuration') {
			return Response.json({
				issuer: this.issuer,
				jwks_uri: `${this.issuer.replace(/\/$/, '')}/jwks`,
				...this.metadata,
			});
		}
		if (path === '/jwks') return Response.json({ keys: this.keys.map(({ jwk }) => jwk) });
		return Response.json({}, { status: 404 });
	}

	/** A good token for ana, or what the changes make of it. */
	async token(changes: TokenChanges = {}): Promise<string> {
		const key = changes.key ?? this.keys[0];
		if (key === undefined) throw new Error('no key');
		const now = Math.floor(this.nowMs / 1000);
		const claims = {
			iss: this.issuer,
			aud: 'portcullis',
			sub: 'u-1',
			jti: 't-1',
			iat: now,
			exp: now + 300,
			email: 'ana',
			...changes.claims,
		} as JWTPayload;
		return new SignJWT(claims)
			.setProtectedHeader({ alg: key.alg, kid: key.kid, typ: 'JWT', ...changes.header })
			.sign(key.privateKey);
	}
}
