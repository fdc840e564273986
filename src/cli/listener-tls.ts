/** The gateway's own certificate and key, and the authorities of its clients' certificates: read again when their files change, so that a renewed one needs no restart. */
import { constants, X509Certificate } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { createSecureContext, type SecureContext, type TLSSocket } from 'node:tls';
import { serverEndPointHash } from '../auth/channel-binding.ts';
import { type CertificateName, type ClientCertificate, readClientCertificate } from '../auth/client-certificate.ts';
import type { ListenTlsConfig } from '../config/config.ts';
import type { ListenerTls, SessionLog } from '../session/services.ts';
import { CommandError } from './io.ts';

/** How often the files are looked at, at most. */
const LOOK_INTERVAL_MS = 1_000;

interface Loaded {
	/** Of all files: modification times and sizes. */
	readonly stamp: string;
	readonly context: SecureContext;
	readonly hash: Buffer | undefined;
}

/** Throws CommandError when the files cannot be used together; later, a bad set leaves the former in force. */
export function listenerTls(tls: ListenTlsConfig, log: SessionLog, now: () => number): ListenerTls {
	let loaded: Loaded;
	try {
		loaded = load(tls);
	} catch (error) {
		throw new CommandError(`listen.tls: ${filesOf(tls).join(' and ')} cannot be used: ${messageOf(error)}`);
	}
	let lookedAtMs = now();
	let refused = '';
	const current = (): Loaded => {
		if (now() - lookedAtMs < LOOK_INTERVAL_MS) return loaded;
		lookedAtMs = now();
		let stamp = refused;
		try {
			stamp = stampOf(tls);
			if (stamp === loaded.stamp || stamp === refused) return loaded;
			loaded = load(tls);
			log.info({ cert: tls.cert }, 'certificate was renewed');
		} catch (error) {
			refused = stamp;
			log.error(
				{ cert: tls.cert, problem: messageOf(error) },
				'certificate cannot be renewed: the former stays in force',
			);
		}
		return loaded;
	};
	return {
		mode: tls.mode,
		secureContext: () => current().context,
		serverCertHash: () => current().hash,
		...(tls.clientCa === null
			? {}
			: { clientCertificate: (secured: TLSSocket) => clientCertificateOf(secured, tls.clientName) }),
	};
}

function load(tls: ListenTlsConfig): Loaded {
	const stamp = stampOf(tls);
	const cert = readFileSync(tls.cert);
	const clients =
		tls.clientCa === null
			? {}
			: {
					ca: readFileSync(tls.clientCa),
					...(tls.clientCrl === null ? {} : { crl: readFileSync(tls.clientCrl) }),
				};
	const secureOptions =
		// Not by disableRenegotiation(): that does nothing for a socket that no tls.Server has made.
		constants.SSL_OP_NO_RENEGOTIATION |
		// As PostgreSQL: a resumed session would bring its certificate along without another look at it.
		(tls.clientCa === null ? 0 : constants.SSL_OP_NO_TICKET);
	// Throws when the key does not belong to the certificate.
	const context = createSecureContext({
		cert,
		key: readFileSync(tls.key),
		minVersion: 'TLSv1.2',
		secureOptions,
		...clients,
	});
	return { stamp, context, hash: serverEndPointHash(new X509Certificate(cert).raw) ?? undefined };
}

function clientCertificateOf(secured: TLSSocket, rule: CertificateName): ClientCertificate | undefined {
	const certificate = secured.getPeerX509Certificate();
	return certificate === undefined ? undefined : readClientCertificate(certificate, verifyErrorOf(secured), rule);
}

/**
 * OpenSSL's verdict on the chain. Node copies it to `authorized` only for sockets that a tls.Server has made, so it is
 * asked where Node asks; should that ever be gone, no certificate is trusted.
 */
function verifyErrorOf(secured: TLSSocket): string | null {
	const { _handle: handle } = secured as unknown as {
		readonly _handle?: { verifyError?(): NodeJS.ErrnoException | null };
	};
	if (typeof handle?.verifyError !== 'function') return 'this version of Node does not tell';
	const error = handle.verifyError();
	return error === null || error === undefined ? null : (error.code ?? error.message);
}

function filesOf({ cert, key, clientCa, clientCrl }: ListenTlsConfig): string[] {
	return [cert, key, clientCa, clientCrl].filter((file) => file !== null);
}

function stampOf(tls: ListenTlsConfig): string {
	return filesOf(tls)
		.map((file) => {
			const { mtimeMs, size, ino } = statSync(file);
			return `${mtimeMs}:${size}:${ino}`;
		})
		.join(' ');
}

function messageOf(error: unknown): string {
	return error instanceof Error ? error.message : String(error);
}
