/** What a client's certificate says about who holds it: the names in its subject or its alternative names. */
import type { X509Certificate } from 'node:crypto';

/** Where the name stands: the common name of the subject, or alternative names of one kind (RFC 5280, section 4.2.1.6). */
export type CertificateName = 'cn' | 'dns' | 'email' | 'uri';

/** A certificate that a client showed, and whose private key it proved to have. */
export interface ClientCertificate {
	/** Names of its holder, by the configured rule; empty when it is not trusted or has none. */
	readonly names: readonly string[];
	/** Why it gives no name, for log and audit; null when it does. */
	readonly problem: string | null;
	/** In one line, e.g. `O=Shop, CN=app`. */
	readonly subject: string;
	readonly issuer: string;
	/** SHA-256 of the whole certificate, as Node prints it. */
	readonly fingerprint: string;
	/** Milliseconds since the epoch. */
	readonly expiresAtMs: number;
}

/** `verifyError`: why the chain is not trusted, as OpenSSL says it; null when it is. */
export function readClientCertificate(
	certificate: X509Certificate,
	verifyError: string | null,
	rule: CertificateName,
): ClientCertificate {
	const about = {
		subject: oneLine(certificate.subject),
		issuer: oneLine(certificate.issuer),
		fingerprint: certificate.fingerprint256,
		expiresAtMs: Date.parse(certificate.validTo),
	};
	if (verifyError !== null) return { ...about, names: [], problem: `it is not trusted (${verifyError})` };
	const names = rule === 'cn' ? commonNames(certificate) : alternativeNames(certificate, rule);
	const problem = names.length > 0 ? null : `it has no usable name (${rule})`;
	return { ...about, names, problem };
}

/** One or none: of several it could not be told which one the authority has looked at. */
function commonNames(certificate: X509Certificate): string[] {
	// Several come as a list, though the type does not say so.
	const { CN: name } = certificate.toLegacyObject().subject as { readonly CN?: unknown };
	return typeof name === 'string' && isUsable(name) ? [name] : [];
}

const PREFIXES = { dns: 'DNS', email: 'email', uri: 'URI' } as const;

/** Node writes `DNS:a, email:b`; what holds a comma, a quote or odd bytes comes as a JSON string. */
const ENTRY = /(?:^|, )([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^",]*)(?=, |$)/gy;

function alternativeNames(certificate: X509Certificate, rule: keyof typeof PREFIXES): string[] {
	const text = certificate.subjectAltName ?? '';
	const names: string[] = [];
	let read = 0;
	for (const [entry, kind, value = ''] of text.matchAll(ENTRY)) {
		read += entry.length;
		const name = value.startsWith('"') ? (JSON.parse(value) as string) : value;
		if (kind === PREFIXES[rule] && isUsable(name)) names.push(name);
	}
	// What is not wholly understood gives no name at all.
	return read === text.length ? names : [];
}

/** Printable: a zero byte or an escape has no business in a name. */
function isUsable(name: string): boolean {
	return name !== '' && !/\p{Cc}/u.test(name);
}

function oneLine(name: string): string {
	return name.replaceAll('\n', ', ').replaceAll(/\p{Cc}/gu, '?');
}
