/** Opens a TCP or Unix socket to a backend and negotiates TLS on it (protocol, "SSL Session Encryption"). */
import { connect, isIP, type NetConnectOpts, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls';
import { encodeSSLRequest } from '../wire/encode.ts';
import { ByteChannel } from './channel.ts';
import { backendFailure, cannotConnect } from './errors.ts';
import { BACKEND_LIMITS } from './limits.ts';
import type { BackendTarget } from './target.ts';

export interface Dialled {
	readonly channel: ByteChannel;
	/** The server's certificate in DER; null on plaintext. */
	readonly serverCertificate: Buffer | null;
	readonly encrypted: boolean;
}

/** What of a target is dialled. */
export type DialTarget = Pick<BackendTarget, 'host' | 'port' | 'tls' | 'keepAliveMs'> & {
	/** Where `host` is, if that is known already; its certificate has to be for `host` all the same. */
	readonly address?: string;
};

/**
 * Connects, and encrypts as `target.tls` says; a Unix socket is never encrypted, as in libpq. Throws GatewayError 08001.
 * An aborted `signal` cuts the socket, now and after the call.
 */
export async function dial(target: DialTarget, signal: AbortSignal, readBuffer?: Buffer): Promise<Dialled> {
	const local = target.host.startsWith('/');
	const { keepAliveMs = 0, address: known = target.host } = target;
	const address: NetConnectOpts = local
		? { path: `${target.host}/.s.PGSQL.${target.port}` }
		: { host: known, port: target.port, noDelay: true, keepAlive: true, keepAliveInitialDelay: keepAliveMs };
	try {
		if (local || target.tls.mode === 'disable') return await dialPlain(address, signal, readBuffer);
		const socket = await opened(connect(address), 'connect', signal);
		await requestTls(socket, signal);
		return await encrypt(socket, target, signal);
	} catch (error) {
		// The reason of an abort says more than the AbortError of whoever waited.
		throw cannotConnect(signal.aborted ? signal.reason : error);
	}
}

/**
 * With a buffer: `onread`, which reads into it again and again, or into another one while it is in use, and into a bigger one once
 * it was full. Without: 'data' events.
 */
async function dialPlain(address: NetConnectOpts, signal: AbortSignal, readBuffer?: Buffer): Promise<Dialled> {
	if (readBuffer === undefined) {
		const channel = new ByteChannel(connect(address), true);
		await opened(channel.socket, 'connect', signal);
		return { channel, serverCertificate: null, encrypted: false };
	}
	let next = readBuffer;
	const callback = (bytes: number): boolean => {
		const { length } = next;
		const size = bytes === length ? BACKEND_LIMITS.readBytes : length;
		if (channel.receive(next.subarray(0, bytes), true) || size > length) next = Buffer.allocUnsafeSlow(size);
		return true;
	};
	// Asked once in the beginning, and after each call of `callback`.
	const buffer = (): Buffer => next;
	const channel = new ByteChannel(connect({ ...address, onread: { buffer, callback } }), false);
	await opened(channel.socket, 'connect', signal);
	return { channel, serverCertificate: null, encrypted: false };
}

/** SSLRequest and its one-byte answer. More than that byte was put there by somebody else (CVE-2021-23222). */
async function requestTls(socket: Socket, signal: AbortSignal): Promise<void> {
	const answer = new Promise<Buffer>((resolve, reject) => {
		socket.once('data', resolve);
		socket.once('error', reject);
		socket.once('close', () => reject(backendFailure('08001', 'the database server closed the connection')));
	});
	socket.write(encodeSSLRequest());
	const bytes = await answer;
	socket.pause();
	if (bytes.length === 1 && bytes[0] === 0x53) return;
	socket.destroy();
	if (signal.aborted) throw signal.reason;
	const refused = bytes.length === 1 && bytes[0] === 0x4e;
	throw backendFailure(
		'08001',
		refused
			? 'the database server does not support TLS, and the configuration asks for it'
			: 'the database server gave an invalid answer to SSLRequest',
	);
}

/** Always by 'data' events: Node calls no `onread` of a TLS socket that wraps another. */
async function encrypt(socket: Socket, target: DialTarget, signal: AbortSignal): Promise<Dialled> {
	const secure = connectTls({ ...tlsOptions(target), socket });
	const channel = new ByteChannel(secure, true);
	await opened(secure, 'secureConnect', signal);
	return { channel, serverCertificate: certificateOf(secure), encrypted: true };
}

function tlsOptions({ host, tls }: DialTarget): ConnectionOptions {
	// As in libpq, `require` with a root certificate verifies against it.
	const verified = tls.mode !== 'require' || tls.ca !== undefined;
	return {
		host,
		...(isIP(host) === 0 ? { servername: host } : {}),
		...(tls.ca === undefined ? {} : { ca: tls.ca }),
		...(tls.cert === undefined ? {} : { cert: tls.cert }),
		...(tls.key === undefined ? {} : { key: tls.key }),
		rejectUnauthorized: verified,
		...(tls.mode === 'verify-full' ? {} : { checkServerIdentity: () => undefined }),
		minVersion: 'TLSv1.2',
		ALPNProtocols: ['postgresql'],
	};
}

function certificateOf(socket: TLSSocket): Buffer | null {
	const certificate = socket.getPeerX509Certificate();
	return certificate === undefined ? null : certificate.raw;
}

/** Resolves at `event`; rejects with the socket's error. From here on an abort cuts the socket. */
function opened<S extends Socket>(socket: S, event: 'connect' | 'secureConnect', signal: AbortSignal): Promise<S> {
	return new Promise((resolve, reject) => {
		const abort = (): void => {
			socket.destroy(signal.reason instanceof Error ? signal.reason : new Error('aborted'));
		};
		if (signal.aborted) abort();
		signal.addEventListener('abort', abort, { once: true });
		let open = false;
		socket.once(event, () => {
			open = true;
			resolve(socket);
		});
		socket.once('error', reject);
		socket.once('close', () => {
			signal.removeEventListener('abort', abort);
			// An error takes its time to be made, and nobody would hear of this one.
			if (open) return;
			reject(backendFailure('08001', 'the database server closed the connection'));
		});
	});
}
