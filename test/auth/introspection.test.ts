/** Opaque tokens by introspection (RFC 7662): what the issuer's answer must say, who is asked, and required scopes. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import type { IssuerSettings } from '../../src/auth/settings.ts';
import { TokenVerifier } from '../../src/auth/token.ts';
import { FakeIssuer, makeKey } from './issuer.ts';

const key = await makeKey('k1');
const opaque = 'opaque-token-0123456789';
const nowS = 1_700_000_000;

let issuer: FakeIssuer;
let answer: Record<string, unknown>;
let asked: { form: Record<string, string>; authorization: string | null }[];

beforeEach(() => {
	issuer = new FakeIssuer('https://id.example.com', [key]);
	issuer.metadata = { introspection_endpoint: 'https://id.example.com/introspect' };
	answer = { active: true, aud: 'portcullis', exp: nowS + 60, username: 'ana', sub: 'u1', groups: ['g'] };
	asked = [];
	issuer.routes.set('/introspect', (form, headers) => {
		asked.push({ form: Object.fromEntries(form), authorization: headers.get('authorization') });
		return Response.json(answer);
	});
});

const client = { clientId: 'gate way', clientSecret: 'a:b&c' };

function verifier(fields: Partial<IssuerSettings> = {}): TokenVerifier {
	const settings = {
		issuer: issuer.issuer,
		audience: 'portcullis',
		username: 'username',
		groups: 'groups',
		clientId: 'psql',
		introspection: client,
		...fields,
	};
	return new TokenVerifier([settings], issuer);
}

test('an active token signs in, and the question is put as RFC 7662 says', async () => {
	const result = await verifier().verify(opaque, 'token');
	expect(result).toEqual({
		ok: true,
		identity: {
			name: 'ana',
			roles: [],
			groups: ['g'],
			claims: {},
			method: 'token',
			issuer: 'https://id.example.com',
			subject: 'u1',
			expiresAtMs: (nowS + 60 + 30) * 1000,
		},
		recheckMs: 300_000,
	});
	const authorization = `Basic ${Buffer.from('gate+way:a%3Ab%26c').toString('base64')}`;
	expect(asked).toEqual([{ form: { token: opaque, token_type_hint: 'access_token' }, authorization }]);
});

describe('answers', () => {
	const rows: { name: string; change: Record<string, unknown>; want: RegExp }[] = [
		{ name: 'several audiences', change: { aud: ['x', 'portcullis'] }, want: /^ok$/ },
		{
			name: 'issued to our own client, without audience',
			change: { aud: undefined, client_id: 'psql', token_type: 'Bearer' },
			want: /^ok$/,
		},
		{ name: 'a refresh token of our own client', change: { aud: undefined, client_id: 'psql' }, want: /claim aud/ },
		{ name: 'says its issuer', change: { iss: 'https://id.example.com' }, want: /^ok$/ },
		{ name: 'says that it is a bearer token', change: { token_type: 'Bearer' }, want: /^ok$/ },
		{ name: 'not active', change: { active: false }, want: /not active/ },
		{ name: 'active in words', change: { active: 'true' }, want: /does not say whether it is active/ },
		{ name: 'for another audience', change: { aud: 'x' }, want: /claim aud/ },
		{ name: 'for another audience, to our own client', change: { aud: 'x', client_id: 'psql' }, want: /claim aud/ },
		{ name: 'no audience', change: { aud: undefined }, want: /claim aud/ },
		{ name: 'another issuer', change: { iss: 'https://other.example.com' }, want: /claim iss/ },
		{ name: 'expired', change: { exp: nowS - 31 }, want: /expired/ },
		{ name: 'without end', change: { exp: undefined }, want: /claim exp is missing/ },
		{ name: 'not yet valid', change: { nbf: nowS + 31 }, want: /not valid yet/ },
		{ name: 'bound to a key', change: { cnf: { jkt: 'x' } }, want: /cnf/ },
		{ name: 'DPoP', change: { token_type: 'DPoP' }, want: /no bearer token/ },
		{ name: 'no user name', change: { username: undefined }, want: /no claim username/ },
	];
	test.each(rows)('$name', async ({ change, want }) => {
		answer = { ...answer, ...change };
		const result = await verifier().verify(opaque, 'token');
		expect(result.ok ? 'ok' : result.reason).toMatch(want);
		if (!result.ok) expect(result.reason).not.toContain(opaque);
	});
});

describe('who is asked', () => {
	const rows = [
		{ name: 'nobody for a password', token: 'hunter2', want: /neither a JSON Web Token nor an opaque one/ },
		{ name: 'nobody for a long password with spaces', token: 'correct horse battery staple', want: /neither/ },
		{
			name: 'nobody where it is not configured',
			fields: { introspection: undefined },
			token: opaque,
			want: /^not a JSON Web Token/,
		},
	];
	test.each(rows)('$name', async ({ token, fields = {}, want }) => {
		const result = await verifier(fields).verify(token, 'token');
		expect(result).toMatchObject({ ok: false, reason: expect.stringMatching(want) });
		expect(asked).toEqual([]);
	});

	test('only the issuer that the client named, where several could be', async () => {
		const other = {
			issuer: 'https://other.example.com',
			audience: 'portcullis',
			username: 'username',
			introspection: client,
		};
		const own = { ...other, issuer: issuer.issuer };
		const both = new TokenVerifier([other, own], issuer);
		expect(await both.verify(opaque, 'token')).toMatchObject({
			ok: false,
			reason: expect.stringMatching(/did not name/),
		});
		expect(asked).toEqual([]);
		expect(await both.verify(opaque, 'token', { preferred: issuer.issuer })).toMatchObject({ ok: true });
		const one = new TokenVerifier([{ ...other, introspection: undefined }, own], issuer);
		expect(await one.verify(opaque, 'token', { preferred: other.issuer })).toMatchObject({ ok: true });
		expect(await one.verify(opaque, 'token', { issuer: other.issuer })).toMatchObject({ ok: false });
	});

	test('an endpoint that fails is an outage, not a guess', async () => {
		for (const status of [401, 500]) {
			issuer.routes.set('/introspect', () => Response.json({}, { status }));
			expect(await verifier().verify(opaque, 'token')).toMatchObject({ ok: false, fault: 'provider' });
		}
		issuer.metadata = {};
		expect(await verifier().verify(opaque, 'token')).toMatchObject({ ok: false, fault: 'provider' });
	});
});

describe('JSON Web Tokens', () => {
	test('are not asked about, unless always', async () => {
		const token = await issuer.token({ claims: { username: 'ana' } });
		answer = { active: false };
		expect(await verifier().verify(token, 'token')).toMatchObject({ ok: true });
		const always = verifier({ introspection: { ...client, always: true } });
		expect(await always.verify(token, 'token')).toMatchObject({
			ok: false,
			reason: expect.stringMatching(/not active/),
		});
		answer = { active: true };
		expect(await always.verify(token, 'token')).toMatchObject({ ok: true, identity: { name: 'ana' } });
		const forged = await issuer.token({ key: await makeKey('k1'), claims: { username: 'ana' } });
		asked = [];
		expect(await always.verify(forged, 'token')).toMatchObject({ ok: false });
		expect(asked).toEqual([]);
	});

	const scopes = [
		{ claims: { scope: 'openid db:read db:write' }, ok: true },
		{ claims: { scp: ['db:read', 'db:write'] }, ok: true },
		{ claims: { scp: 'db:read db:write' }, ok: true },
		{ claims: { scope: 'db:read' }, ok: false },
		{ claims: { scope: 'db:readdb:write' }, ok: false },
		{ claims: { scope: 7 }, ok: false },
		{ claims: {}, ok: false },
	];
	test.each(scopes)('required scopes: $claims', async ({ claims, ok }) => {
		const token = await issuer.token({ claims: { username: 'ana', ...claims } });
		const result = await verifier({ requiredScopes: ['db:read', 'db:write'] }).verify(token, 'token');
		expect(result.ok).toBe(ok);
		if (!result.ok) expect(result.reason).toMatch(/lacks scope db:/);
	});
});

/** A workload's client-credentials token, opaque, from a provider that is not ours. */
describe('a real provider', () => {
	let server: Server;
	let url: string;

	beforeAll(async () => {
		// It tells the console that it is not meant for production.
		for (const level of ['warn', 'info'] as const) vi.spyOn(console, level).mockImplementation(() => undefined);
		const { Provider } = await import('oidc-provider');
		server = createServer();
		await new Promise<void>((resolve) => {
			server.listen(0, '127.0.0.1', resolve);
		});
		url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
		const secret = 'a-secret-of-at-least-32-characters-length';
		const provider = new Provider(url, {
			clients: ['reporting', 'gateway'].map((id) => ({
				client_id: id,
				client_secret: secret,
				grant_types: ['client_credentials'],
				redirect_uris: [],
				response_types: [],
			})),
			ttl: { ClientCredentials: () => 600 },
			features: {
				clientCredentials: { enabled: true },
				introspection: { enabled: true, allowedPolicy: () => true },
				devInteractions: { enabled: false },
			},
		});
		server.on('request', (request, response) => void provider.callback()(request, response));
	});

	afterAll(() => {
		server.closeAllConnections();
		server.close();
	});

	async function obtain(): Promise<string> {
		const basic = Buffer.from('reporting:a-secret-of-at-least-32-characters-length').toString('base64');
		const response = await fetch(`${url}/token`, {
			method: 'POST',
			headers: { authorization: `Basic ${basic}` },
			body: new URLSearchParams({ grant_type: 'client_credentials' }),
		});
		return String(((await response.json()) as Record<string, unknown>)['access_token']);
	}

	test('a workload signs in with an opaque token', async () => {
		const settings = {
			issuer: url,
			audience: 'portcullis',
			username: 'client_id',
			clientId: 'reporting',
			introspection: { clientId: 'gateway', clientSecret: 'a-secret-of-at-least-32-characters-length' },
		};
		const real = new TokenVerifier([settings], { fetch: globalThis.fetch, now: Date.now });
		const token = await obtain();
		expect(await real.verify(token, 'token')).toMatchObject({ ok: true, identity: { name: 'reporting', issuer: url } });
		expect(await real.verify(`${token}x`, 'token')).toMatchObject({
			ok: false,
			reason: expect.stringMatching(/not active/),
		});
	});
});
