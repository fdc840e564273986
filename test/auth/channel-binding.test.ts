/** tls-server-end-point (RFC 5929): which hash for which signature, and no crash on what is no certificate. */
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { serverEndPointHash } from '../../src/auth/channel-binding.ts';
import { makeCertificate, type SignatureKind } from '../support/certificates.ts';

const rows: { kind: SignatureKind; hash: string | null }[] = [
	{ kind: 'rsa-sha256', hash: 'sha256' },
	{ kind: 'rsa-sha384', hash: 'sha384' },
	{ kind: 'rsa-sha512', hash: 'sha512' },
	{ kind: 'rsa-pss', hash: 'sha384' },
	{ kind: 'ecdsa-sha256', hash: 'sha256' },
	{ kind: 'ecdsa-sha384', hash: 'sha384' },
	{ kind: 'ed25519', hash: null },
];

test.each(rows)('$kind: $hash', ({ kind, hash }) => {
	const { der } = makeCertificate({ name: 'localhost', kind });
	const want = hash === null ? null : createHash(hash).update(der).digest();
	expect(serverEndPointHash(der)).toEqual(want);
});

test('SHA-1 signatures are bound with SHA-256 (RFC 5929, section 4.1)', () => {
	const { der } = makeCertificate({ name: 'localhost', kind: 'rsa-sha256' });
	// sha256WithRSAEncryption to sha1WithRSAEncryption, in both places.
	const sha256 = Buffer.from('06092a864886f70d01010b', 'hex');
	for (let at = der.indexOf(sha256); at >= 0; at = der.indexOf(sha256, at + 1)) der[at + sha256.length - 1] = 5;
	expect(serverEndPointHash(der)).toEqual(createHash('sha256').update(der).digest());
});

test('bytes that are no certificate have none', () => {
	const { der } = makeCertificate({ name: 'localhost' });
	for (let length = 0; length < 40; length += 1) expect(serverEndPointHash(der.subarray(0, length))).toBeNull();
	fc.assert(
		fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
			expect(() => serverEndPointHash(Buffer.from(bytes))).not.toThrow();
		}),
	);
});
