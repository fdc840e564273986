/** Makes X.509 certificates for the demo and for tests, with Node alone: an authority, and servers or clients under it. */
import { generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import { isIP } from 'node:net';

export interface TestCertificate {
	/** PEM. */
	readonly cert: string;
	readonly key: string;
	readonly der: Buffer;
	readonly name: string;
	readonly privateKey: KeyObject;
	/** As it stands in the certificate, big-endian. */
	readonly serial: Buffer;
}

export type SignatureKind =
	| 'rsa-sha256'
	| 'rsa-sha384'
	| 'rsa-sha512'
	| 'rsa-pss'
	| 'ecdsa-sha256'
	| 'ecdsa-sha384'
	| 'ed25519';

export interface CertificateOptions {
	readonly name: string;
	/** More common names in the subject. */
	readonly moreNames?: readonly string[];
	/** Host names and addresses for subjectAltName. */
	readonly hosts?: readonly string[];
	readonly emails?: readonly string[];
	readonly uris?: readonly string[];
	/** extKeyUsage; missing: none, which is good for everything. */
	readonly usage?: 'server' | 'client';
	/** Signs it; missing: it signs itself. */
	readonly issuer?: TestCertificate;
	readonly authority?: boolean;
	readonly kind?: SignatureKind;
	/** Days from now; negative: it has expired. Default 30. */
	readonly days?: number;
}

/** OID of the signature, hash for node:crypto. */
const SIGNATURES: Readonly<Record<SignatureKind, { readonly oid: string; readonly hash: string | null }>> = {
	'rsa-sha256': { oid: '1.2.840.113549.1.1.11', hash: 'sha256' },
	'rsa-sha384': { oid: '1.2.840.113549.1.1.12', hash: 'sha384' },
	'rsa-sha512': { oid: '1.2.840.113549.1.1.13', hash: 'sha512' },
	'rsa-pss': { oid: '1.2.840.113549.1.1.10', hash: 'sha384' },
	'ecdsa-sha256': { oid: '1.2.840.10045.4.3.2', hash: 'sha256' },
	'ecdsa-sha384': { oid: '1.2.840.10045.4.3.3', hash: 'sha384' },
	ed25519: { oid: '1.3.101.112', hash: null },
};

const day = 86_400_000;

/** The kind says what the key is and how the issuer's key signs; issuer and certificate are of one kind. */
export function makeCertificate(options: CertificateOptions): TestCertificate {
	const kind = options.kind ?? 'ecdsa-sha256';
	const { publicKey, privateKey } = makeKeys(kind);
	const issuerKey = options.issuer?.privateKey ?? privateKey;
	const serial = Buffer.concat([Buffer.from([1]), randomBytes(15)]);
	const end = Date.now() + (options.days ?? 30) * day;
	const tbs = sequence(
		tagged(0, integer(Buffer.from([2]))),
		integer(serial),
		algorithmOf(kind),
		nameOf(options.issuer?.name ?? options.name),
		sequence(time(Math.min(Date.now(), end) - day), time(end)),
		nameOf(options.name, ...(options.moreNames ?? [])),
		publicKey.export({ type: 'spki', format: 'der' }),
		tagged(3, sequence(...extensions(options))),
	);
	const signature = sign(SIGNATURES[kind].hash, tbs, signingKey(kind, issuerKey));
	const der = sequence(tbs, algorithmOf(kind), element(0x03, Buffer.from([0]), signature));
	return {
		cert: pem('CERTIFICATE', der),
		key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
		der,
		name: options.name,
		privateKey,
		serial,
	};
}

/** The authority's list of revoked certificates (RFC 5280, section 5), in PEM. The authority's key is of the default kind. */
export function makeRevocationList(authority: TestCertificate, revoked: readonly TestCertificate[]): string {
	const kind = 'ecdsa-sha256';
	const since = time(Date.now() - day);
	const entries = revoked.map(({ serial }) => sequence(integer(serial), since));
	const list = sequence(
		integer(Buffer.from([1])),
		algorithmOf(kind),
		nameOf(authority.name),
		since,
		time(Date.now() + day),
		...(entries.length === 0 ? [] : [sequence(...entries)]),
	);
	const signature = sign(SIGNATURES[kind].hash, list, signingKey(kind, authority.privateKey));
	return pem('X509 CRL', sequence(list, algorithmOf(kind), element(0x03, Buffer.from([0]), signature)));
}

function pem(label: string, der: Buffer): string {
	const base64 = (der.toString('base64').match(/.{1,64}/g) ?? []).join('\n');
	return `-----BEGIN ${label}-----\n${base64}\n-----END ${label}-----\n`;
}

function makeKeys(kind: SignatureKind): { publicKey: KeyObject; privateKey: KeyObject } {
	if (kind === 'ed25519') return generateKeyPairSync('ed25519');
	if (kind === 'ecdsa-sha256') return generateKeyPairSync('ec', { namedCurve: 'P-256' });
	if (kind === 'ecdsa-sha384') return generateKeyPairSync('ec', { namedCurve: 'P-384' });
	return generateKeyPairSync('rsa', { modulusLength: 2048 });
}

function signingKey(kind: SignatureKind, key: KeyObject): Parameters<typeof sign>[2] {
	// 6: RSA_PKCS1_PSS_PADDING; 48: the length of SHA-384, as in the parameters below.
	return kind === 'rsa-pss' ? { key, padding: 6, saltLength: 48 } : key;
}

function algorithmOf(kind: SignatureKind): Buffer {
	const id = oid(SIGNATURES[kind].oid);
	if (kind === 'rsa-pss') {
		const sha384 = sequence(oid('2.16.840.1.101.3.4.2.2'), nul());
		const mgf = sequence(oid('1.2.840.113549.1.1.8'), sha384);
		return sequence(id, sequence(tagged(0, sha384), tagged(1, mgf), tagged(2, integer(Buffer.from([48])))));
	}
	return kind.startsWith('rsa') ? sequence(id, nul()) : sequence(id);
}

function extensions({ authority = false, usage, ...names }: CertificateOptions): Buffer[] {
	const { hosts = [], emails = [], uris = [] } = names;
	const list = [sequence(oid('2.5.29.19'), boolean(true), octets(authority ? sequence(boolean(true)) : sequence()))];
	const alternatives = [
		...hosts.map(generalName),
		...emails.map((email) => element(0x81, Buffer.from(email))),
		...uris.map((uri) => element(0x86, Buffer.from(uri))),
	];
	if (alternatives.length > 0) list.push(sequence(oid('2.5.29.17'), octets(sequence(...alternatives))));
	if (usage !== undefined) {
		const purpose = oid(`1.3.6.1.5.5.7.3.${usage === 'server' ? 1 : 2}`);
		list.push(sequence(oid('2.5.29.37'), octets(sequence(purpose))));
	}
	return list;
}

function generalName(host: string): Buffer {
	if (isIP(host) === 4) return element(0x87, Buffer.from(host.split('.').map(Number)));
	return element(0x82, Buffer.from(host));
}

// ---------------------------------------------------------------- DER

function element(tag: number, ...contents: readonly Buffer[]): Buffer {
	const body = Buffer.concat(contents);
	if (body.length < 0x80) return Buffer.concat([Buffer.from([tag, body.length]), body]);
	const length = Buffer.alloc(2);
	length.writeUInt16BE(body.length);
	return Buffer.concat([Buffer.from([tag, 0x82]), length, body]);
}

function sequence(...contents: readonly Buffer[]): Buffer {
	return element(0x30, ...contents);
}

function tagged(number: number, content: Buffer): Buffer {
	return element(0xa0 + number, content);
}

function integer(bytes: Buffer): Buffer {
	return element(0x02, bytes);
}

function boolean(value: boolean): Buffer {
	return element(0x01, Buffer.from([value ? 0xff : 0]));
}

function octets(content: Buffer): Buffer {
	return element(0x04, content);
}

function nul(): Buffer {
	return element(0x05);
}

function oid(text: string): Buffer {
	const [first = 0, second = 0, ...rest] = text.split('.').map(Number);
	const bytes = [first * 40 + second, ...rest].flatMap((arc) => {
		const digits = [arc & 0x7f];
		for (let left = arc >>> 7; left > 0; left >>>= 7) digits.unshift((left & 0x7f) | 0x80);
		return digits;
	});
	return element(0x06, Buffer.from(bytes));
}

/** GeneralizedTime. */
function time(ms: number): Buffer {
	const digits = new Date(ms).toISOString().replace(/[-:T]|\.\d+/g, '');
	return element(0x18, Buffer.from(digits));
}

function nameOf(...commonNames: readonly string[]): Buffer {
	return sequence(
		...commonNames.map((name) => element(0x31, sequence(oid('2.5.4.3'), element(0x0c, Buffer.from(name))))),
	);
}
