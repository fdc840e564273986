/** SCRAM verifiers: as PostgreSQL makes them, parsed strictly, and made by hash-password. */
import { describe, expect, test } from 'vitest';
import { formatVerifier, makeVerifier, parseVerifier, preparePassword } from '../../src/auth/verifier.ts';

/** Made by PostgreSQL 15: create user ... password 'pencil'. */
const stored = 'SCRAM-SHA-256$4096:VQ4XBHjkVsxGJf4Ex5UqZQ==$';

describe('parseVerifier', () => {
	const key = Buffer.alloc(32, 1).toString('base64');
	const rows = [
		{ name: 'as in pg_authid', text: `${stored}${key}:${key}`, ok: true },
		{ name: 'one round', text: `SCRAM-SHA-256$1:c2FsdA==$${key}:${key}`, ok: true },
		{ name: 'a clear password', text: 'secret', ok: false },
		{ name: 'an md5 hash', text: `md5${'0'.repeat(32)}`, ok: false },
		{ name: 'no rounds', text: `SCRAM-SHA-256$0:c2FsdA==$${key}:${key}`, ok: false },
		{ name: 'too many rounds', text: `SCRAM-SHA-256$9999999999:c2FsdA==$${key}:${key}`, ok: false },
		{ name: 'no salt', text: `SCRAM-SHA-256$4096:$${key}:${key}`, ok: false },
		{ name: 'salt that is no base64', text: `SCRAM-SHA-256$4096:c2F$${key}:${key}`, ok: false },
		{ name: 'a short key', text: `SCRAM-SHA-256$4096:c2FsdA==$AAAA:${key}`, ok: false },
		{ name: 'the example of the documentation', text: 'SCRAM-SHA-256$4096:c2FsdA==$...:...', ok: false },
		{ name: 'something after it', text: `${stored}${key}:${key} `, ok: false },
		{ name: 'another hash', text: `SCRAM-SHA-512$4096:c2FsdA==$${key}:${key}`, ok: false },
		{ name: 'nothing', text: '', ok: false },
	];
	test.each(rows)('$name: $ok', ({ text, ok }) => {
		const parsed = parseVerifier(text);
		expect(parsed !== null).toBe(ok);
		if (parsed !== null) expect(formatVerifier(parsed)).toBe(text);
	});
});

describe('makeVerifier', () => {
	test('RFC 7677: the same keys as its exchange proves', async () => {
		const salt = Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64');
		expect(formatVerifier(await makeVerifier('pencil', { salt }))).toBe(
			'SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=',
		);
	});

	test('a salt of its own each time', async () => {
		const [a, b] = [await makeVerifier('x'), await makeVerifier('x')];
		expect(a.salt).not.toEqual(b.salt);
		expect(a.salt).toHaveLength(16);
		expect(a.iterations).toBe(4096);
	});

	test.each(['', 'x'.repeat(1025)])('refuses an empty and an endless password', async (password) => {
		await expect(makeVerifier(password)).rejects.toThrow(RangeError);
	});
});

/** RFC 4013, section 3, and what PostgreSQL does with passwords that SASLprep refuses. */
describe('preparePassword', () => {
	const rows = [
		{ name: 'soft hyphen goes', password: 'I\u00adX', want: 'IX' },
		{ name: 'ASCII stays', password: 'user', want: 'user' },
		{ name: 'case stays', password: 'USER', want: 'USER' },
		{ name: 'NFKC', password: '\u00aa', want: 'a' },
		{ name: 'NFKC of a number sign', password: '\u2168', want: 'IX' },
		{ name: 'other spaces become spaces', password: 'a\u00a0b', want: 'a b' },
		{ name: 'prohibited: as it is', password: 'a\u0007b', want: 'a\u0007b' },
		{ name: 'bidirectional rule broken: as it is', password: '\u0627\u0031', want: '\u0627\u0031' },
		{ name: 'nothing left: as it is', password: '\u00ad', want: '\u00ad' },
	];
	test.each(rows)('$name', ({ password, want }) => {
		expect(preparePassword(password)).toBe(want);
	});
});
