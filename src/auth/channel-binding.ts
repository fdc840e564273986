/** The tls-server-end-point channel binding (RFC 5929, section 4.1): the hash of a server's certificate. */
import { createHash } from 'node:crypto';

/** Hash by signature algorithm. MD5 and SHA-1 are replaced by SHA-256 (RFC 5929). EdDSA names no hash: no binding. */
const HASH_OF_SIGNATURE: Readonly<Record<string, string>> = {
	'1.2.840.113549.1.1.4': 'sha256', // md5WithRSAEncryption
	'1.2.840.113549.1.1.5': 'sha256', // sha1WithRSAEncryption
	'1.2.840.113549.1.1.14': 'sha224',
	'1.2.840.113549.1.1.11': 'sha256',
	'1.2.840.113549.1.1.12': 'sha384',
	'1.2.840.113549.1.1.13': 'sha512',
	'1.2.840.10045.4.1': 'sha256', // ecdsa-with-SHA1
	'1.2.840.10045.4.3.1': 'sha224',
	'1.2.840.10045.4.3.2': 'sha256',
	'1.2.840.10045.4.3.3': 'sha384',
	'1.2.840.10045.4.3.4': 'sha512',
};

const RSASSA_PSS = '1.2.840.113549.1.1.10';

/** Digest algorithms inside RSASSA-PSS parameters (RFC 4055). Absent parameters mean SHA-1, which becomes SHA-256. */
const HASH_OF_DIGEST: Readonly<Record<string, string>> = {
	'1.3.14.3.2.26': 'sha256', // SHA-1
	'2.16.840.1.101.3.4.2.4': 'sha224',
	'2.16.840.1.101.3.4.2.1': 'sha256',
	'2.16.840.1.101.3.4.2.2': 'sha384',
	'2.16.840.1.101.3.4.2.3': 'sha512',
};

/**
 * The channel binding data for a certificate in DER (`X509Certificate.raw`, `getPeerX509Certificate().raw`).
 * Null where no hash is defined for its signature (Ed25519, unknown algorithms): SCRAM-PLUS is not possible then.
 */
export function serverEndPointHash(der: Buffer): Buffer | null {
	const hash = signatureHash(der);
	return hash === null ? null : createHash(hash).update(der).digest();
}

function signatureHash(der: Buffer): string | null {
	// Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm SEQUENCE { OID, parameters }, signature }
	const certificate = readElement(der, 0);
	if (certificate === null) return null;
	const tbs = readElement(der, certificate.body);
	if (tbs === null) return null;
	const algorithm = readElement(der, tbs.end);
	if (algorithm === null) return null;
	const oid = readElement(der, algorithm.body);
	if (oid?.tag !== 0x06) return null;
	const name = decodeOid(der.subarray(oid.body, oid.end));
	if (name !== RSASSA_PSS) return HASH_OF_SIGNATURE[name] ?? null;
	return pssHash(der, oid.end, algorithm.end);
}

/** RSASSA-PSS-params ::= SEQUENCE { hashAlgorithm [0] EXPLICIT AlgorithmIdentifier DEFAULT sha1, ... } */
function pssHash(der: Buffer, start: number, end: number): string | null {
	if (start >= end) return 'sha256';
	const params = readElement(der, start);
	if (params?.tag !== 0x30) return null;
	if (params.body >= params.end) return 'sha256';
	const tagged = readElement(der, params.body);
	if (tagged === null) return null;
	if (tagged.tag !== 0xa0) return 'sha256';
	const algorithm = readElement(der, tagged.body);
	const oid = algorithm === null ? null : readElement(der, algorithm.body);
	if (oid?.tag !== 0x06) return null;
	return HASH_OF_DIGEST[decodeOid(der.subarray(oid.body, oid.end))] ?? null;
}

interface Element {
	readonly tag: number;
	/** Offset of the contents. */
	readonly body: number;
	/** Offset after the contents. */
	readonly end: number;
}

/** One DER element's extent; null when it does not lie wholly in the buffer. */
function readElement(der: Buffer, offset: number): Element | null {
	const tag = der[offset];
	const first = der[offset + 1];
	if (tag === undefined || first === undefined) return null;
	let body = offset + 2;
	let length = first;
	if (first >= 0x80) {
		const bytes = first & 0x7f;
		if (bytes === 0 || bytes > 4 || body + bytes > der.length) return null;
		length = der.readUIntBE(body, bytes);
		body += bytes;
	}
	const end = body + length;
	return end > der.length ? null : { tag, body, end };
}

function decodeOid(bytes: Buffer): string {
	const arcs: number[] = [];
	let value = 0;
	for (const byte of bytes) {
		value = value * 128 + (byte & 0x7f);
		if ((byte & 0x80) !== 0) continue;
		if (arcs.length === 0) {
			const top = Math.min(Math.floor(value / 40), 2);
			arcs.push(top, value - top * 40);
		} else {
			arcs.push(value);
		}
		value = 0;
	}
	return arcs.join('.');
}
