/** SCRAM-SHA-256 by the vectors of RFC 7677, both sides against each other, and what an attacker may try on the server. */
import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { continueScram, finishScram, ScramClientError, startScram } from '../../src/auth/scram-client.ts';
import {
	acceptClientFinal,
	acceptClientFirst,
	type ExpectClientFinal,
	mockVerifier,
	type ScramOffer,
	scramMechanisms,
} from '../../src/auth/scram-server.ts';
import { makeVerifier } from '../../src/auth/verifier.ts';

/** RFC 7677, section 3. */
const rfc = {
	password: 'pencil',
	salt: Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64'),
	clientNonce: 'rOprNGfwEbeRWgbNEkqO',
	serverNonce: '%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0',
	clientFirst: 'n,,n=user,r=rOprNGfwEbeRWgbNEkqO',
	serverFirst: 'r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096',
	clientFinal:
		'c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=',
	serverFinal: 'v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=',
};

const hash = Buffer.alloc(32, 7);
const verifier = await makeVerifier(rfc.password, { salt: rfc.salt });

function offer(fields: Partial<ScramOffer> = {}): ScramOffer {
	return { verifier, mock: false, serverCertHash: null, serverNonce: rfc.serverNonce, ...fields };
}

describe('RFC 7677, section 3', () => {
	test('server', () => {
		const first = acceptClientFirst(offer(), 'SCRAM-SHA-256', Buffer.from(rfc.clientFirst));
		expect(first).toMatchObject({ ok: true, reply: rfc.serverFirst });
		const final = acceptClientFinal(first as ExpectClientFinal, Buffer.from(rfc.clientFinal));
		expect(final).toEqual({ ok: true, reply: rfc.serverFinal });
	});

	test('client', async () => {
		const start = {
			mechanism: 'SCRAM-SHA-256',
			message: rfc.clientFirst,
			nonce: rfc.clientNonce,
			bare: rfc.clientFirst.slice(3),
			bindingInput: Buffer.from('n,,'),
		} as const;
		const final = await continueScram(start, rfc.password, rfc.serverFirst);
		expect(final.message).toBe(rfc.clientFinal);
		finishScram(final, rfc.serverFinal);
	});
});

describe('client against server', () => {
	const rows = [
		{ name: 'plain', server: null, tls: false, client: null, mechanism: 'SCRAM-SHA-256', flag: 'n' },
		{ name: 'TLS without binding data', server: null, tls: true, client: null, mechanism: 'SCRAM-SHA-256', flag: 'n' },
		{ name: 'TLS, server without PLUS', server: null, tls: true, client: hash, mechanism: 'SCRAM-SHA-256', flag: 'y' },
		{ name: 'PLUS', server: hash, tls: true, client: hash, mechanism: 'SCRAM-SHA-256-PLUS', flag: 'p' },
		{ name: 'client cannot bind', server: hash, tls: true, client: null, mechanism: 'SCRAM-SHA-256', flag: 'n' },
	];
	test.each(rows)('$name', async ({ server, tls, client, mechanism, flag }) => {
		const offered = scramMechanisms(server);
		const start = startScram({ offered, tls, serverCertHash: client, nonce: 'abc' });
		expect(start.mechanism).toBe(mechanism);
		expect(start.message[0]).toBe(flag);
		const first = acceptClientFirst(offer({ serverCertHash: server }), start.mechanism, Buffer.from(start.message));
		if (!first.ok) throw new Error(first.reason);
		const final = await continueScram(start, rfc.password, first.reply);
		const verified = acceptClientFinal(first, Buffer.from(final.message));
		if (!verified.ok) throw new Error(verified.reason);
		finishScram(final, verified.reply);
	});

	test('any password in any form', async () => {
		await fc.assert(
			fc.asyncProperty(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 40 }), async (password) => {
				const made = await makeVerifier(password, { iterations: 2 });
				const start = startScram({ offered: ['SCRAM-SHA-256'], tls: false, serverCertHash: null, nonce: 'n1' });
				const first = acceptClientFirst(offer({ verifier: made }), start.mechanism, Buffer.from(start.message));
				if (!first.ok) throw new Error(first.reason);
				const right = await continueScram(start, password, first.reply);
				expect(acceptClientFinal(first, Buffer.from(right.message)).ok).toBe(true);
				const wrong = await continueScram(start, `${password}x`, first.reply);
				expect(acceptClientFinal(first, Buffer.from(wrong.message))).toMatchObject({ ok: false, sqlstate: '28P01' });
			}),
			{ numRuns: 50 },
		);
	});
});

describe('server, client-first-message', () => {
	const plus = offer({ serverCertHash: hash });
	const rows: { name: string; offer?: ScramOffer; mechanism?: string; message: string | Buffer; want: string }[] = [
		{ name: 'the user name in it does not matter', message: 'n,,n=,r=abc', want: 'ok' },
		{ name: 'optional extensions are ignored', message: 'n,,n=,r=abc,x=1', want: 'ok' },
		{ name: 'y where PLUS is not offered', message: 'y,,n=,r=abc', want: 'ok' },
		{ name: 'n where PLUS is offered', offer: plus, message: 'n,,n=,r=abc', want: 'ok' },
		{ name: 'y where PLUS was offered: a downgrade', offer: plus, message: 'y,,n=,r=abc', want: '28000' },
		{ name: 'p with the plain mechanism', offer: plus, message: 'p=tls-server-end-point,,n=,r=abc', want: '08P01' },
		{
			name: 'PLUS that was not offered',
			mechanism: 'SCRAM-SHA-256-PLUS',
			message: 'p=tls-server-end-point,,n=,r=a',
			want: '08P01',
		},
		{ name: 'PLUS with n', offer: plus, mechanism: 'SCRAM-SHA-256-PLUS', message: 'n,,n=,r=abc', want: '08P01' },
		{ name: 'PLUS with y', offer: plus, mechanism: 'SCRAM-SHA-256-PLUS', message: 'y,,n=,r=abc', want: '08P01' },
		{
			name: 'tls-unique',
			offer: plus,
			mechanism: 'SCRAM-SHA-256-PLUS',
			message: 'p=tls-unique,,n=,r=abc',
			want: '08P01',
		},
		{ name: 'p without a type', offer: plus, mechanism: 'SCRAM-SHA-256-PLUS', message: 'p,,n=,r=abc', want: '08P01' },
		{ name: 'n with a type', message: 'n=x,,n=,r=abc', want: '08P01' },
		{ name: 'other mechanism', mechanism: 'PLAIN', message: 'n,,n=,r=abc', want: '08P01' },
		{ name: 'SCRAM-SHA-1', mechanism: 'SCRAM-SHA-1', message: 'n,,n=,r=abc', want: '08P01' },
		{ name: 'authzid', message: 'n,a=root,n=,r=abc', want: '0A000' },
		{ name: 'mandatory extension', message: 'n,,m=x,n=,r=abc', want: '0A000' },
		{ name: 'no nonce', message: 'n,,n=', want: '08P01' },
		{ name: 'empty nonce', message: 'n,,n=,r=', want: '08P01' },
		{ name: 'nonce with a control character', message: 'n,,n=,r=a\u0007b', want: '08P01' },
		{ name: 'empty', message: '', want: '08P01' },
		{ name: 'NUL', message: 'n,,n=,r=abc\0', want: '08P01' },
		{
			name: 'not UTF-8',
			message: Buffer.from([0x6e, 0x2c, 0x2c, 0x6e, 0x3d, 0xff, 0x2c, 0x72, 0x3d, 0x61]),
			want: '08P01',
		},
		{ name: 'too long', message: `n,,n=,r=${'a'.repeat(5000)}`, want: '08P01' },
	];
	test.each(rows)('$name: $want', ({ offer: given = offer(), mechanism = 'SCRAM-SHA-256', message, want }) => {
		const got = acceptClientFirst(given, mechanism, Buffer.from(message as string));
		expect(got.ok ? 'ok' : got.sqlstate).toBe(want);
	});
});

describe('server, client-final-message', () => {
	async function attempt(
		change: (message: string) => string,
		given = offer({ serverCertHash: hash }),
	): Promise<string> {
		const offered = scramMechanisms(given.serverCertHash);
		const start = startScram({ offered, tls: true, serverCertHash: given.serverCertHash, nonce: 'abc' });
		const first = acceptClientFirst(given, start.mechanism, Buffer.from(start.message));
		if (!first.ok) throw new Error(first.reason);
		const final = await continueScram(start, rfc.password, first.reply);
		const got = acceptClientFinal(first, Buffer.from(change(final.message)));
		return got.ok ? 'ok' : `${got.sqlstate} ${got.reason}`;
	}
	const rows: { name: string; change: (message: string) => string; want: RegExp }[] = [
		{ name: 'as it is', change: (m) => m, want: /^ok$/ },
		{ name: 'extension outside the proof', change: (m) => m.replace(',p=', ',x=1,p='), want: /^28P01/ },
		{
			name: 'flipped proof',
			change: (m) => m.replace(/p=.(.*)$/, (_, rest) => `p=${m.includes('p=A') ? 'B' : 'A'}${rest}`),
			want: /^28P01 wrong password/,
		},
		{ name: 'short proof', change: (m) => m.replace(/p=.*$/, 'p=AAAA'), want: /^08P01/ },
		{ name: 'proof that is no base64', change: (m) => m.replace(/p=.*$/, 'p=='), want: /^08P01/ },
		{ name: 'no proof', change: (m) => m.replace(/,p=.*$/, ''), want: /^08P01/ },
		{ name: 'something after the proof', change: (m) => `${m},x=1`, want: /^08P01/ },
		{ name: 'nonce of another exchange', change: (m) => m.replace(/r=[^,]*/, 'r=abcOTHER'), want: /^08P01 .*nonce/ },
		{ name: "nonce without the server's part", change: (m) => m.replace(/r=[^,]*/, 'r=abc'), want: /^08P01 .*nonce/ },
		{ name: 'binding data removed', change: (m) => m.replace(/c=[^,]*/, 'c=biws'), want: /^28000 channel binding/ },
		{
			name: 'binding data of another certificate',
			change: (m) =>
				m.replace(/c=[^,]*/, `c=${Buffer.from(`p=tls-server-end-point,,${'x'.repeat(32)}`).toString('base64')}`),
			want: /^28000 channel binding/,
		},
		{ name: 'empty', change: () => '', want: /^08P01/ },
	];
	test.each(rows)('$name', async ({ change, want }) => {
		expect(await attempt(change)).toMatch(want);
	});

	test('the right password of a made-up user is refused too', async () => {
		expect(await attempt((m) => m, offer({ mock: true }))).toBe('28P01 no such user');
	});

	test('a message replayed into another exchange', () => {
		const first = acceptClientFirst(offer({ serverNonce: 'fresh' }), 'SCRAM-SHA-256', Buffer.from(rfc.clientFirst));
		const got = acceptClientFinal(first as ExpectClientFinal, Buffer.from(rfc.clientFinal));
		expect(got).toMatchObject({ ok: false, sqlstate: '08P01' });
	});
});

describe('client', () => {
	const start = startScram({ offered: ['SCRAM-SHA-256'], tls: false, serverCertHash: null, nonce: 'mine' });
	const rows = [
		{ name: 'a nonce that does not extend its own', first: 'r=other,s=c2FsdA==,i=1' },
		{ name: 'its own nonce alone', first: 'r=mine,s=c2FsdA==,i=1' },
		{ name: 'no salt', first: 'r=mineA,s=,i=1' },
		{ name: 'salt that is no base64', first: 'r=mineA,s=c2F,i=1' },
		{ name: 'no rounds', first: 'r=mineA,s=c2FsdA==,i=0' },
		{ name: 'rounds without end', first: 'r=mineA,s=c2FsdA==,i=4000000000' },
		{ name: 'an error', first: 'e=unknown-user' },
	];
	test.each(rows)('refuses $name', async ({ first }) => {
		await expect(continueScram(start, 'x', first)).rejects.toThrow(ScramClientError);
	});

	test('refuses a server that does not know the password', async () => {
		const final = await continueScram(start, 'x', 'r=mineA,s=c2FsdA==,i=1');
		const foreign = `v=${Buffer.alloc(32).toString('base64')}`;
		for (const last of [foreign, 'v=', 'e=invalid-proof', '']) {
			expect(() => finishScram(final, last)).toThrow(ScramClientError);
		}
	});

	test('refuses a server without SCRAM', () => {
		const options = { offered: ['OAUTHBEARER'], tls: false, serverCertHash: null, nonce: 'mine' };
		expect(() => startScram(options)).toThrow(ScramClientError);
	});
});

test('made-up verifiers are stable for a name, differ by name and by process, and look like real ones', () => {
	const secret = randomBytes(32);
	const like = { iterations: 4096, saltBytes: 16 };
	const ana = mockVerifier(secret, 'ana', like);
	expect(ana).toEqual(mockVerifier(secret, 'ana', like));
	expect(ana.salt).toHaveLength(16);
	expect(ana.salt).not.toEqual(mockVerifier(secret, 'bob', like).salt);
	expect(ana.salt).not.toEqual(mockVerifier(randomBytes(32), 'ana', like).salt);
	expect(ana.storedKey).toHaveLength(verifier.storedKey.length);
	expect(mockVerifier(secret, 'ana', { ...like, saltBytes: 40 }).salt).toHaveLength(40);
});
