/** The gateway's own certificate and key, read again when their files change, so that a renewed one needs no restart. */
import { X509Certificate } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { createSecureContext, type SecureContext } from 'node:tls';
import { serverEndPointHash } from '../auth/channel-binding.ts';
import type { ListenConfig } from '../config/config.ts';
import type { ListenerTls, SessionLog } from '../session/services.ts';
import { CommandError } from './io.ts';

/** How often the files are looked at, at most. */
const LOOK_INTERVAL_MS = 1_000;

interface Loaded {
	/** Of both files: modification times and sizes. */
	readonly stamp: string;
	readonly context: SecureContext;
	readonly hash: Buffer | undefined;
}

/** Throws CommandError when certificate and key cannot be used together; later, a bad pair leaves the former in force. */
export function listenerTls(tls: NonNullable<ListenConfig['tls']>, log: SessionLog, now: () => number): ListenerTls {
	let loaded: Loaded;
	try {
		loaded = load(tls);
	} catch (error) {
		throw new CommandError(`listen.tls: ${tls.cert} and ${tls.key} cannot be used: ${messageOf(error)}`);
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
	return { mode: tls.mode, secureContext: () => current().context, serverCertHash: () => current().hash };
}

function load(tls: { readonly cert: string; readonly key: string }): Loaded {
	const stamp = stampOf(tls);
	const cert = readFileSync(tls.cert);
	// Throws when the two do not belong together.
	const context = createSecureContext({ cert, key: readFileSync(tls.key), minVersion: 'TLSv1.2' });
	return { stamp, context, hash: serverEndPointHash(new X509Certificate(cert).raw) ?? undefined };
}

function stampOf(tls: { readonly cert: string; readonly key: string }): string {
	return [tls.cert, tls.key]
		.map((file) => {
			const { mtimeMs, size, ino } = statSync(file);
			return `${mtimeMs}:${size}:${ino}`;
		})
		.join(' ');
}

function messageOf(error: unknown): string {
	return error instanceof Error ? error.message : String(error);
}
