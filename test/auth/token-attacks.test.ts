/** Tokens as somebody would make them who knows how gateways fail: headers that bring their own key, forms of claims, wrappings. */
import { createHmac, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { CompactEncrypt, exportJWK, exportSPKI, generateKeyPair, importJWK } from 'jose';
import { beforeEach, describe, expect, test } from 'vitest';
import type { IssuerSettings } from '../../src/auth/settings.ts';
import { TokenVerifier } from '../../src/auth/token.ts';
import { FakeIssuer, makeKey, type SigningKey, type TokenChanges } from './issuer.ts';

const good = await makeKey('k1');
const rsa = await makeKey('r1', 'RS256');
/** The attacker's own. */
const evil = await makeKey('k1');
const evilJwk = { ...evil.jwk, kid: 'k1' };

let issuer: FakeIssuer;

beforeEach(() => {
	issuer = new FakeIssuer('https://id.example.com', [good, rsa]);
});

function verifier(more: Partial<IssuerSettings> = {}): TokenVerifier {
	return new TokenVerifier([{ issuer: issuer.issuer, audience: 'portcullis', username: 'email', ...more }], issuer);
}

/** 'ok NAME', or the reason; with the addresses that were asked, where there are other ones than the issuer's two. */
async function outcome(token: string, more: Partial<IssuerSettings> = {}, audience?: string): Promise<string> {
	const result = await verifier(more).verify(token, 'token', { audience });
	const elsewhere = issuer.fetched.filter((path) => path !== '/.well-known/openid-configuration' && path !== '/jwks');
	expect(elsewhere).toEqual([]);
	return result.ok ? `ok ${result.identity.name}` : result.reason;
}

const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

describe('a header that brings its own key', () => {
	const rows: { name: string; header: Readonly<Record<string, unknown>>; want: RegExp }[] = [
		{ name: 'jwk', header: { jwk: evilJwk }, want: /signature is wrong/ },
		{ name: 'jku', header: { jku: 'https://evil.example.com/jwks' }, want: /signature is wrong/ },
		{ name: 'x5u', header: { x5u: 'https://evil.example.com/cert' }, want: /signature is wrong/ },
		{ name: 'x5c', header: { x5c: ['MIIB'] }, want: /signature is wrong/ },
		{ name: 'kid that is a path', header: { kid: '../../../../dev/null' }, want: /no such key/ },
		{ name: 'kid that is an address', header: { kid: 'https://evil.example.com/key' }, want: /no such key/ },
		{ name: 'kid that is SQL', header: { kid: "x' UNION SELECT 'k" }, want: /no such key/ },
		{ name: 'kid that is a list', header: { kid: ['k1'] }, want: /no such key|not a|cannot be checked/ },
		{ name: 'kid that is a number', header: { kid: 1 }, want: /no such key|not a|cannot be checked/ },
		{ name: 'kid of the prototype', header: { kid: '__proto__' }, want: /no such key/ },
		{ name: 'kid without end', header: { kid: 'k'.repeat(20_000) }, want: /no such key .{0,400}$/ },
		{ name: 'crit', header: { crit: ['exp'], exp: 1 }, want: /not an acceptable|not a JSON Web Token/ },
		{ name: 'an empty crit', header: { crit: [] }, want: /not an acceptable|not a JSON Web Token/ },
		{
			name: 'a payload as it stands (b64)',
			header: { b64: false, crit: ['b64'] },
			want: /signature is wrong/,
		},
		{ name: 'zip', header: { zip: 'DEF' }, want: /signature is wrong/ },
	];
	test.each(rows)('$name', async ({ header, want }) => {
		const payload = (await issuer.token()).split('.')[1] ?? '';
		const head = encode({ alg: 'ES256', kid: 'k1', typ: 'JWT', ...header });
		expect(await outcome(`${head}.${payload}.${es256(`${head}.${payload}`)}`)).toMatch(want);
	});

	function es256(text: string): string {
		const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
		return sign('sha256', Buffer.from(text), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url');
	}
});

describe('an algorithm of the attacker', () => {
	test.each(['none', 'None', 'nOnE', 'NONE', ''])('"%s" without a signature', async (alg) => {
		const [, payload = ''] = (await issuer.token()).split('.');
		expect(await outcome(`${encode({ alg, kid: 'k1', typ: 'JWT' })}.${payload}.`)).not.toMatch(/^ok/);
	});

	test.each(['HS256', 'HS384', 'HS512'])('%s with the public RSA key, in each of its forms', async (alg) => {
		const [, payload = ''] = (await issuer.token()).split('.');
		const head = encode({ alg, kid: 'r1', typ: 'JWT' });
		const spki = await exportSPKI((await importJWK(rsa.jwk, 'RS256')) as never);
		const der = createPublicKey(spki).export({ type: 'spki', format: 'der' });
		for (const secret of [spki, spki.trim(), JSON.stringify(rsa.jwk), der, rsa.jwk.n ?? '', '']) {
			const mac = createHmac(`sha${alg.slice(2)}`, secret)
				.update(`${head}.${payload}`)
				.digest('base64url');
			expect(await outcome(`${head}.${payload}.${mac}`)).toMatch(/algorithm is not allowed/);
		}
	});

	test.each(['RS1', 'RSA1_5', 'ES256K', 'ML-DSA-44', 'constructor'])('%s', async (alg) => {
		const [, payload = '', signature = ''] = (await issuer.token()).split('.');
		expect(await outcome(`${encode({ alg, kid: 'k1' })}.${payload}.${signature}`)).toMatch(/algorithm is not allowed/);
	});

	test('an ECDSA signature in another encoding, of zeros, or cut short', async () => {
		const token = await issuer.token();
		const [head = '', payload = '', signature = ''] = token.split('.');
		const zeros = Buffer.alloc(64).toString('base64url');
		for (const other of [zeros, '', signature.slice(0, 40), `${signature}AAAA`, Buffer.from('0').toString('base64url')])
			expect(await outcome(`${head}.${payload}.${other}`)).not.toMatch(/^ok/);
	});
});

describe('keys that the issuer should not use', () => {
	async function published(jwk: object, key: SigningKey): Promise<string> {
		issuer.routes.set('/jwks', () => Response.json({ keys: [jwk] }));
		return outcome(await issuer.token({ key }));
	}

	test('one that is for encryption', async () => {
		expect(await published({ ...good.jwk, use: 'enc' }, good)).toMatch(/no such key/);
		expect(await published({ ...good.jwk, use: undefined, key_ops: ['encrypt'] }, good)).toMatch(/no such key/);
	});

	test('two with one key id', async () => {
		issuer.routes.set('/jwks', () => Response.json({ keys: [good.jwk, evil.jwk] }));
		expect(await outcome(await issuer.token())).toMatch(/several keys match/);
	});

	test('RSA of 1024 bits', async () => {
		const pair = generateKeyPairSync('rsa', { modulusLength: 1024 });
		const jwk = { ...pair.publicKey.export({ format: 'jwk' }), kid: 'weak', alg: 'RS256' };
		const [, payload = ''] = (await issuer.token()).split('.');
		issuer.routes.set('/jwks', () => Response.json({ keys: [jwk] }));
		expect(await outcome(rs256(pair.privateKey, 'weak', payload))).toMatch(/cannot be checked/);
	});

	test('a private one', async () => {
		const jwk = { ...(await exportJWK(good.privateKey)), kid: 'k1', alg: 'ES256' };
		expect(await published(jwk, evil)).toMatch(/ERR_JWKS_INVALID/);
	});

	function rs256(key: KeyObject, kid: string, payload: string): string {
		const head = encode({ alg: 'RS256', kid });
		return `${head}.${payload}.${sign('sha256', Buffer.from(`${head}.${payload}`), key).toString('base64url')}`;
	}
});

const nowS = 1_700_000_000;

describe('claims in other forms', () => {
	const rows: { name: string; claims: TokenChanges['claims']; want: RegExp }[] = [
		{ name: 'aud that contains ours', claims: { aud: 'xportcullisx' }, want: /claim aud/ },
		{ name: 'aud with a slash at the end', claims: { aud: 'portcullis/' }, want: /claim aud/ },
		{ name: 'aud in capitals', claims: { aud: 'Portcullis' }, want: /claim aud/ },
		{ name: 'aud with a blank', claims: { aud: 'portcullis ' }, want: /claim aud/ },
		{ name: 'aud as one string of several', claims: { aud: 'other portcullis' }, want: /claim aud/ },
		{ name: 'aud as a list in a list', claims: { aud: [['portcullis']] }, want: /claim aud/ },
		{ name: 'aud as an object', claims: { aud: { portcullis: true } }, want: /claim aud/ },
		{ name: 'an empty list as aud', claims: { aud: [] }, want: /claim aud/ },
		{ name: 'aud as a wildcard', claims: { aud: '*' }, want: /claim aud/ },
		{ name: 'iss as a list', claims: { iss: ['https://id.example.com'] }, want: /no such issuer/ },
		{ name: 'iss with a path', claims: { iss: 'https://id.example.com/x' }, want: /no such issuer/ },
		{ name: 'iss with a user', claims: { iss: 'https://id.example.com@evil.example.com' }, want: /no such issuer/ },
		{ name: 'iss of the prototype', claims: { iss: '__proto__' }, want: /no such issuer/ },
		{ name: 'exp as text', claims: { exp: String(nowS + 300) }, want: /claim exp/ },
		{ name: 'exp as a list', claims: { exp: [nowS + 300] }, want: /claim exp/ },
		{ name: 'exp as a boolean', claims: { exp: true }, want: /claim exp/ },
		{ name: 'exp null', claims: { exp: null }, want: /claim exp/ },
		{ name: 'exp negative', claims: { exp: -1 }, want: /expired/ },
		{ name: 'exp beyond all times', claims: { exp: 1e300 }, want: /claim exp is no time/ },
		{ name: 'exp with a fraction', claims: { exp: nowS + 300.5 }, want: /^ok/ },
		{ name: 'nbf as text', claims: { nbf: '0' }, want: /claim nbf/ },
		{ name: 'nbf beyond all times', claims: { nbf: 1e300 }, want: /not valid yet/ },
		{ name: 'nbf null', claims: { nbf: null }, want: /claim nbf/ },
		{ name: 'a name with a zero byte', claims: { email: 'ana\0root' }, want: /no usable user name/ },
		{ name: 'a name as an object', claims: { email: { toString: 'ana' } }, want: /no claim email/ },
		{ name: 'a name with an escape for a terminal', claims: { email: '\u001b[2Jana' }, want: /no usable user name/ },
		{ name: 'a name with a line separator of C1', claims: { email: 'ana\u0085' }, want: /no usable user name/ },
	];
	test.each(rows)('$name', async ({ claims, want }) => {
		expect(await outcome(await issuer.token({ claims: claims ?? {} }))).toMatch(want);
	});

	const parties = [
		{ name: 'ourselves', azp: 'psql', want: /^ok/ },
		{ name: 'nobody', azp: undefined, want: /^ok/ },
		{ name: 'another client', azp: 'other', want: /claim azp/ },
		{ name: 'several', azp: ['psql'], want: /claim azp/ },
	];
	test.each(parties)('an ID token made for $name', async ({ azp, want }) => {
		const token = await issuer.token({ claims: { aud: ['psql', 'other'], azp } });
		expect(await outcome(token, {}, 'psql')).toMatch(want);
	});
});

describe('wrappings', () => {
	test('an encrypted token is none', async () => {
		const { publicKey } = await generateKeyPair('RSA-OAEP-256');
		const token = await new CompactEncrypt(Buffer.from(await issuer.token()))
			.setProtectedHeader({ alg: 'RSA-OAEP-256', enc: 'A256GCM', cty: 'JWT' })
			.encrypt(publicKey);
		expect(await outcome(token)).toMatch(/not a JSON Web Token/);
	});

	test('a token within a token is not looked into', async () => {
		const inner = await issuer.token();
		const head = encode({ alg: 'ES256', kid: 'k1', cty: 'JWT' });
		const body = Buffer.from(inner).toString('base64url');
		expect(await outcome(`${head}.${body}.${inner.split('.')[2] ?? ''}`)).toMatch(
			/not a JSON Web Token|signature is wrong/,
		);
	});

	test('JSON in place of the compact form, and whatever stands around it', async () => {
		const token = await issuer.token();
		const [head = '', payload = '', signature = ''] = token.split('.');
		const forms = [
			JSON.stringify({ protected: head, payload, signature }),
			JSON.stringify({ payload, signatures: [{ protected: head, signature }] }),
			`Bearer ${token}`,
			` ${token}`,
			`${token}\n`,
			`${token}=`,
			`${token}.`,
			`${token}.x`,
			`${head}..${signature}`,
			token.replace('.', '\u2024'),
		];
		for (const form of forms) expect(await outcome(form), form).not.toMatch(/^ok/);
	});

	test('one that is 64 kB long works, one that is longer is not even read', async () => {
		const pad = (bytes: number): Promise<string> => issuer.token({ claims: { pad: 'x'.repeat(bytes) } });
		expect(await outcome(await pad(16_000))).toBe('ok ana');
		issuer.fetched.length = 0;
		expect(await outcome(await pad(70_000))).toBe('the token is too long');
		expect(issuer.fetched).toEqual([]);
	});
});

describe('an issuer that has been taken over', () => {
	const rows = [
		{
			name: 'keys from this machine',
			metadata: { jwks_uri: 'http://127.0.0.1:9432/metrics' },
			want: /jwks_uri .* must be https/,
		},
		{ name: 'keys from localhost', metadata: { jwks_uri: 'http://localhost/' }, want: /jwks_uri .* must be https/ },
		{
			name: 'keys from this machine by IPv6',
			metadata: { jwks_uri: 'http://[::1]:5432/' },
			want: /jwks_uri .* must be https/,
		},
		{
			name: 'keys from the metadata of a cloud',
			metadata: { jwks_uri: 'http://169.254.169.254/latest' },
			want: /must be https/,
		},
		{ name: 'keys from a file', metadata: { jwks_uri: 'file:///etc/passwd' }, want: /must be https/ },
		{
			name: 'a user in the address',
			metadata: { jwks_uri: 'https://a:b@id.example.com/jwks' },
			want: /user or password/,
		},
		{
			name: 'the secret to this machine',
			metadata: { introspection_endpoint: 'http://127.0.0.1/' },
			want: /introspection_endpoint .* must be https/,
		},
		{
			name: 'a code over plaintext',
			metadata: { token_endpoint: 'http://127.0.0.1/' },
			want: /token_endpoint .* must be https/,
		},
		{ name: 'the issuer of another', metadata: { issuer: 'https://id.example.com/' }, want: /says that its issuer is/ },
		{ name: 'no issuer', metadata: { issuer: undefined }, want: /says that its issuer is undefined/ },
	];
	test.each(rows)('$name', async ({ metadata, want }) => {
		issuer.metadata = metadata;
		expect(await outcome(await issuer.token())).toMatch(want);
	});

	test('keys without end', async () => {
		issuer.routes.set('/jwks', () => Response.json({ keys: Array.from({ length: 101 }, () => good.jwk) }));
		expect(await outcome(await issuer.token())).toMatch(/more than 100 keys/);
	});
});
