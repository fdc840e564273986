/** Tokens: what signs a person in and what does not, each by its reason; keys through rotation and outage. */
import { createHmac } from 'node:crypto';
import { SignJWT, UnsecuredJWT } from 'jose';
import { beforeEach, describe, expect, test } from 'vitest';
import { AUTH_LIMITS } from '../../src/auth/limits.ts';
import type { IssuerSettings } from '../../src/auth/settings.ts';
import { TokenVerifier } from '../../src/auth/token.ts';
import { FakeIssuer, makeKey } from './issuer.ts';

const first = await makeKey('k1');
const second = await makeKey('k2');
const stranger = await makeKey('k1');
const rsa = await makeKey('r1', 'RS256');

let issuer: FakeIssuer;
let verifier: TokenVerifier;

function settings(fields: Partial<IssuerSettings> = {}): IssuerSettings {
	return {
		issuer: issuer.issuer,
		audience: ['other', 'portcullis'],
		username: 'email',
		groups: 'groups',
		claims: ['tenant', 'profile.level'],
		...fields,
	};
}

function make(fields: Partial<IssuerSettings> = {}): TokenVerifier {
	return new TokenVerifier([settings(fields)], issuer);
}

beforeEach(() => {
	issuer = new FakeIssuer('https://id.example.com', [first, rsa]);
	verifier = make();
});

type Changes = Parameters<FakeIssuer['token']>[0];

async function outcome(token: string | Changes): Promise<string> {
	const result = await verifier.verify(typeof token === 'string' ? token : await issuer.token(token), 'token');
	return result.ok ? `ok ${result.identity.name}` : result.reason;
}

const seconds = 1_700_000_000;

describe('accepted', () => {
	const rows: { name: string; changes: Changes }[] = [
		{ name: 'a good token', changes: {} },
		{ name: 'RS256', changes: { key: rsa } },
		{ name: 'several audiences', changes: { claims: { aud: ['x', 'portcullis'] } } },
		{ name: 'an access token (RFC 9068)', changes: { header: { typ: 'at+jwt' } } },
		{ name: 'just expired, within the tolerance', changes: { claims: { exp: seconds - 29 } } },
		{ name: 'not yet valid, within the tolerance', changes: { claims: { nbf: seconds + 29 } } },
		{ name: 'no groups', changes: { claims: { groups: null } } },
		{ name: 'verified e-mail', changes: { claims: { email_verified: true } } },
	];
	test.each(rows)('$name', async ({ changes }) => {
		expect(await outcome(changes)).toBe('ok ana');
	});

	test('the identity', async () => {
		const claims = {
			groups: ['data-team', 'eu'],
			tenant: 'acme',
			profile: { level: 3 },
			admin: true,
			roles: ['root'],
		};
		const result = await verifier.verify(await issuer.token({ claims }), 'token');
		expect(result).toEqual({
			ok: true,
			identity: {
				name: 'ana',
				roles: [],
				groups: ['data-team', 'eu'],
				claims: { tenant: 'acme', 'profile.level': 3 },
				method: 'token',
				issuer: 'https://id.example.com',
				subject: 'u-1',
				tokenId: 't-1',
				expiresAtMs: (seconds + 300 + 30) * 1000,
			},
		});
	});

	const groupRows = [
		{ groups: 'a b', want: ['a', 'b'] },
		{ groups: 'a,b, c', want: ['a', 'b', 'c'] },
		{ groups: ' ', want: [] },
		{ groups: ['a b', ''], want: ['a b'] },
	];
	test.each(groupRows)('groups $groups', async ({ groups, want }) => {
		const result = await verifier.verify(await issuer.token({ claims: { groups } }), 'token');
		expect(result).toMatchObject({ ok: true, identity: { groups: want } });
	});

	test('groups by a path, and claims of a shape that policies cannot use are left out', async () => {
		verifier = make({ groups: 'realm_access.roles', claims: ['tenant', 'list', 'n', '__proto__', 'constructor'] });
		const claims = { realm_access: { roles: ['x'] }, tenant: { deep: 1 }, list: [1, 'a'], n: null };
		const result = await verifier.verify(await issuer.token({ claims }), 'token');
		expect(result).toMatchObject({ ok: true, identity: { groups: ['x'], claims: {} } });
		if (result.ok) expect(Object.keys(result.identity.claims)).toEqual([]);
	});

	test('two issuers, each with its own keys and claims', async () => {
		const other = new FakeIssuer('https://other.example.com/realm/', [second]);
		const fetch: typeof globalThis.fetch = (input, init) =>
			(String(input).startsWith(issuer.issuer) ? issuer : other).fetch(input, init);
		const both = new TokenVerifier([settings(), settings({ issuer: other.issuer, username: 'login' })], {
			now: issuer.now,
			fetch,
		});
		expect(await both.verify(await issuer.token(), 'token')).toMatchObject({ ok: true });
		const own = await other.token({ claims: { login: 'bob' } });
		expect(await both.verify(own, 'token')).toMatchObject({ ok: true, identity: { name: 'bob' } });
		const crossed = await other.token({ claims: { iss: issuer.issuer } });
		expect(await both.verify(crossed, 'token')).toMatchObject({ ok: false });
	});
});

describe('refused', () => {
	const rows: { name: string; changes: Changes; want: RegExp }[] = [
		{ name: 'expired', changes: { claims: { exp: seconds - 31 } }, want: /expired/ },
		{ name: 'without expiry', changes: { claims: { exp: undefined } }, want: /claim exp is missing/ },
		{ name: 'not yet valid', changes: { claims: { nbf: seconds + 31 } }, want: /not valid yet/ },
		{ name: 'for another audience', changes: { claims: { aud: 'portcullis2' } }, want: /claim aud/ },
		{ name: 'for no audience', changes: { claims: { aud: undefined } }, want: /claim aud is missing/ },
		{ name: 'foreign issuer', changes: { claims: { iss: 'https://evil.example.com' } }, want: /no such issuer .*evil/ },
		{
			name: 'issuer with a slash more',
			changes: { claims: { iss: 'https://id.example.com/' } },
			want: /no such issuer/,
		},
		{ name: 'issuer in capitals', changes: { claims: { iss: 'https://ID.example.com' } }, want: /no such issuer/ },
		{ name: 'no issuer', changes: { claims: { iss: undefined } }, want: /no such issuer .*issuer missing/ },
		{ name: "a stranger's key with a known id", changes: { key: stranger }, want: /signature is wrong .*key id "k1"/ },
		{ name: 'unknown key', changes: { key: second }, want: /no such key .*key id "k2"/ },
		{ name: 'no user name', changes: { claims: { email: undefined } }, want: /no claim email/ },
		{ name: 'a list as the user name', changes: { claims: { email: ['ana'] } }, want: /no claim email/ },
		{ name: 'an empty user name', changes: { claims: { email: '' } }, want: /no claim email/ },
		{ name: 'a user name with a line end', changes: { claims: { email: 'ana\nroot' } }, want: /no usable user name/ },
		{ name: 'a user name without end', changes: { claims: { email: 'a'.repeat(300) } }, want: /no usable user name/ },
		{ name: 'unverified e-mail', changes: { claims: { email_verified: false } }, want: /not verified/ },
		{ name: 'groups that are none', changes: { claims: { groups: [1, 2] } }, want: /claim groups/ },
		{
			name: 'too many groups',
			changes: { claims: { groups: Array.from({ length: 2001 }, String) } },
			want: /more than 2000/,
		},
		{ name: 'bound to a key (DPoP, mTLS)', changes: { claims: { cnf: { jkt: 'x' } } }, want: /cnf/ },
		{ name: 'a logout token', changes: { header: { typ: 'logout+jwt' } }, want: /type "logout\+jwt"/ },
		{ name: 'a security event', changes: { claims: { events: {} } }, want: /security event/ },
	];
	test.each(rows)('$name', async ({ changes, want }) => {
		expect(await outcome(changes)).toMatch(want);
	});

	test('a critical header that is not understood', async () => {
		const token = await new SignJWT({ iss: issuer.issuer, aud: 'portcullis', email: 'ana', exp: seconds + 100 })
			.setProtectedHeader({ alg: 'ES256', kid: 'k1', crit: ['vnd'], vnd: 1 })
			.sign(first.privateKey, { crit: { vnd: true } });
		expect(await outcome(token)).toMatch(/not an acceptable JSON Web Token: ERR_JOSE_NOT_SUPPORTED/);
	});

	test('alg none', async () => {
		const token = new UnsecuredJWT({ email: 'ana', aud: 'portcullis' })
			.setIssuer(issuer.issuer)
			.setExpirationTime(seconds + 100)
			.encode();
		expect(await outcome(token)).toMatch(/algorithm is not allowed .*"none"/);
	});

	test('HS256 with the public key as the secret', async () => {
		const good = await issuer.token({ key: rsa });
		const [, payload] = good.split('.');
		const header = Buffer.from(JSON.stringify({ alg: 'HS256', kid: 'r1' })).toString('base64url');
		const mac = createHmac('sha256', JSON.stringify(rsa.jwk)).update(`${header}.${payload}`).digest('base64url');
		expect(await outcome(`${header}.${payload}.${mac}`)).toMatch(/algorithm is not allowed/);
	});

	test('ES256 with a key that is for RS256', async () => {
		expect(await outcome({ header: { kid: 'r1' } })).toMatch(/no such key/);
	});

	test('every byte of the signature and the payload counts', async () => {
		const token = await issuer.token();
		const [header = '', payload = '', signature = ''] = token.split('.');
		for (let at = 0; at < 20; at += 1) {
			const flip = (text: string): string => text.slice(0, at) + (text[at] === 'A' ? 'B' : 'A') + text.slice(at + 1);
			expect(await outcome(`${header}.${payload}.${flip(signature)}`)).not.toMatch(/^ok/);
			expect(await outcome(`${header}.${flip(payload)}.${signature}`)).not.toMatch(/^ok/);
		}
	});

	test.each(['', 'secret', 'a.b.c', '..', 'eyJhbGciOiJub25lIn0..', `${'x'.repeat(70_000)}`])(
		'no token: %.20s',
		async (token) => {
			expect(await outcome(token)).toMatch(/^(not a JSON Web Token|the token is too long|no such issuer)/);
			expect(issuer.fetched).toEqual([]);
		},
	);

	test('the reason holds nothing of the token that could be used', async () => {
		const token = await issuer.token({ key: stranger });
		const reason = await outcome(token);
		for (const part of token.split('.')) expect(reason).not.toContain(part);
	});
});

describe('keys', () => {
	test('are fetched once for many', async () => {
		const tokens = await Promise.all(Array.from({ length: 20 }, () => issuer.token()));
		expect(await Promise.all(tokens.map(outcome))).toEqual(Array(20).fill('ok ana'));
		expect(issuer.fetched).toEqual(['/.well-known/openid-configuration', '/jwks']);
	});

	test('rotation: a new key id makes them be fetched again, at most once in a while', async () => {
		expect(await outcome({})).toBe('ok ana');
		issuer.keys = [second];
		issuer.nowMs += AUTH_LIMITS.keysCooldownMs - 1;
		expect(await outcome({ key: second })).toMatch(/no such key/);
		issuer.nowMs += 1;
		expect(await outcome({ key: second })).toBe('ok ana');
		expect(await outcome({ key: first })).toMatch(/no such key/);
		const fetched = issuer.fetched.length;
		for (let attempt = 0; attempt < 50; attempt += 1) await outcome({ key: first });
		expect(issuer.fetched).toHaveLength(fetched);
	});

	test('outage: known keys work for the stated time, and recover by themselves', async () => {
		expect(await outcome({})).toBe('ok ana');
		issuer.mode = 'down';
		issuer.nowMs += AUTH_LIMITS.keysStaleMs;
		expect(await outcome({})).toBe('ok ana');
		issuer.nowMs += AUTH_LIMITS.keysCooldownMs + 1;
		const failed = await verifier.verify(await issuer.token(), 'token');
		expect(failed).toMatchObject({ ok: false, fault: 'provider', reason: expect.stringMatching(/ECONNREFUSED/) });
		issuer.mode = 'up';
		expect(await outcome({})).toMatch(/cannot be asked/);
		issuer.nowMs += AUTH_LIMITS.keysCooldownMs;
		expect(await outcome({})).toBe('ok ana');
	});

	test('are refreshed in the background while the old ones work', async () => {
		expect(await outcome({})).toBe('ok ana');
		issuer.nowMs += AUTH_LIMITS.keysFreshMs + 1;
		expect(await outcome({})).toBe('ok ana');
		await new Promise(setImmediate);
		expect(issuer.fetched).toHaveLength(4);
		issuer.nowMs += AUTH_LIMITS.keysStaleMs;
		expect(await outcome({})).toBe('ok ana');
	});

	const broken: { mode: FakeIssuer['mode']; want: RegExp }[] = [
		{ mode: 'down', want: /cannot be asked: .*ECONNREFUSED/ },
		{ mode: 'error', want: /status 500/ },
		{ mode: 'html', want: /no JSON/ },
		{ mode: 'redirect', want: /status 302/ },
		{ mode: 'endless', want: /longer than/ },
		{ mode: 'foreign', want: /says that its issuer is "https:\/\/evil/ },
	];
	test.each(broken)('provider $mode: refused, and not asked again at once', async ({ mode, want }) => {
		issuer.mode = mode;
		expect(await outcome({})).toMatch(want);
		const fetched = issuer.fetched.length;
		expect(await outcome({})).toMatch(want);
		expect(issuer.fetched).toHaveLength(fetched);
	});

	const metadata = [
		{ name: 'no jwks_uri', value: { jwks_uri: undefined }, want: /no jwks_uri/ },
		{ name: 'keys over plaintext', value: { jwks_uri: 'http://id.example.com/jwks' }, want: /must be https/ },
		{ name: 'keys from a file', value: { jwks_uri: 'file:///etc/passwd' }, want: /must be https/ },
	];
	test.each(metadata)('$name', async ({ value, want }) => {
		issuer.metadata = value;
		expect(await outcome({})).toMatch(want);
	});

	test('symmetric and broken keys in the set are passed over', async () => {
		const odd = [{ kty: 'oct', k: 'c2VjcmV0', kid: 'k1', alg: 'HS256' }, { kid: 'k1' }, null, 'x'];
		issuer.routes.set('/jwks', () => Response.json({ keys: [...odd, first.jwk] }));
		expect(await outcome({})).toBe('ok ana');
	});

	test('a token without a key id works where one key fits, and is refused where several do', async () => {
		expect(await outcome({ header: { kid: undefined } })).toBe('ok ana');
		issuer = new FakeIssuer('https://id.example.com', [first, second]);
		verifier = make();
		expect(await outcome({ header: { kid: undefined } })).toMatch(/several keys/);
	});
});
