/** Whose name a client's certificate gives, by each rule; and that a doubtful one gives nobody's. */
import { X509Certificate } from 'node:crypto';
import { expect, test } from 'vitest';
import { type CertificateName, readClientCertificate } from '../../src/auth/client-certificate.ts';
import { type CertificateOptions, makeCertificate } from '../support/certificates.ts';

const all = {
	name: 'app',
	hosts: ['app.example.com', '10.0.0.1', 'other.example.com'],
	emails: ['app@example.com'],
	uris: ['spiffe://example.com/app'],
};

const rows: { name: string; options: CertificateOptions; rule: CertificateName; want: string[] }[] = [
	{ name: 'common name', options: all, rule: 'cn', want: ['app'] },
	{
		name: 'common name beyond ASCII',
		options: { name: 'b\u00fcro, "x" + y' },
		rule: 'cn',
		want: ['b\u00fcro, "x" + y'],
	},
	{ name: 'DNS names', options: all, rule: 'dns', want: ['app.example.com', 'other.example.com'] },
	{
		name: 'a wildcard, which is a name like any other',
		options: { name: 'x', hosts: ['*.example.com'] },
		rule: 'dns',
		want: ['*.example.com'],
	},
	{ name: 'e-mail address', options: all, rule: 'email', want: ['app@example.com'] },
	{ name: 'URI', options: all, rule: 'uri', want: ['spiffe://example.com/app'] },
	{ name: 'no alternative names', options: { name: 'app' }, rule: 'dns', want: [] },
	{ name: 'none of that kind', options: { name: 'app', hosts: ['a.example.com'] }, rule: 'uri', want: [] },
	{ name: 'several common names', options: { name: 'app', moreNames: ['root'] }, rule: 'cn', want: [] },
	{ name: 'an empty common name', options: { name: '' }, rule: 'cn', want: [] },
	{ name: 'a common name with a zero byte', options: { name: 'app\0.evil' }, rule: 'cn', want: [] },
	{ name: 'a common name with an escape', options: { name: 'app\u001b[2J' }, rule: 'cn', want: [] },
	{ name: 'an alternative name with a zero byte', options: { name: 'x', uris: ['app\0x'] }, rule: 'uri', want: [] },
	{
		name: 'an alternative name that looks like two',
		options: { name: 'x', hosts: ['a, DNS:root'] },
		rule: 'dns',
		want: ['a, DNS:root'],
	},
	{
		name: 'an alternative name with quotes',
		options: { name: 'x', uris: ['a", URI:"root'] },
		rule: 'uri',
		want: ['a", URI:"root'],
	},
];

test.each(rows)('$name', ({ options, rule, want }) => {
	const made = makeCertificate(options);
	const got = readClientCertificate(new X509Certificate(made.der), null, rule);
	expect(got.names).toEqual(want);
	expect(got.problem === null).toBe(want.length > 0);
	expect(got.expiresAtMs).toBeGreaterThan(Date.now());
	// It goes to log and audit.
	expect(`${got.subject}${got.issuer}${got.problem}`).not.toMatch(/\p{Cc}/u);
});

test('one that is not trusted gives no name, by any rule', () => {
	const made = new X509Certificate(makeCertificate(all).der);
	for (const rule of ['cn', 'dns', 'email', 'uri'] as const) {
		const got = readClientCertificate(made, 'CERT_HAS_EXPIRED', rule);
		expect(got).toMatchObject({ names: [], problem: 'it is not trusted (CERT_HAS_EXPIRED)', subject: 'CN=app' });
	}
});
