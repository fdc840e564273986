/** The first packets of a connection: encryption requests, cancel requests, and the startup packet (protocol, "Start-up"). */
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { ClientTls } from '../auth/exchange.ts';
import { GatewayError } from '../errors.ts';
import { protocolViolation } from '../wire/errors.ts';
import { type CancelRequest, isForeign, readStartup, type Startup, type StartupMessage } from '../wire/startup.ts';
import { ClientGone, Inbox } from './inbox.ts';
import type { ListenerTls } from './services.ts';

/** First byte of a TLS handshake record: a client that begins with TLS at once. */
const tlsHandshake = 0x16;

/** Registered for PostgreSQL (IANA, ALPN protocol IDs). */
const alpn = 'postgresql';

const accept = Buffer.from('S');
const decline = Buffer.from('N');

/** What a connection turned out to be. */
export type Opened =
	| { readonly type: 'cancel'; readonly inbox: Inbox; readonly request: CancelRequest }
	| {
			readonly type: 'startup';
			readonly inbox: Inbox;
			readonly message: StartupMessage;
			readonly tls: ClientTls | null;
	  };

/**
 * Reads up to the startup packet or cancel request. Rejects with ClientGone when there is nobody to talk to, with
 * GatewayError when there is: then `onInbox` was told on which socket.
 */
export async function openConnection(
	socket: Socket,
	offered: ListenerTls | null,
	startupBytesMax: number,
	onInbox: (inbox: Inbox) => void,
): Promise<Opened> {
	let inbox = new Inbox(socket);
	onInbox(inbox);
	let tls: ClientTls | null = null;
	const asked = new Set<Startup['type']>();
	const encrypt = async (listener: ListenerTls, direct: boolean): Promise<void> => {
		const secured = await upgrade(inbox, listener, direct);
		inbox = new Inbox(secured);
		onInbox(inbox);
		tls = tlsOf(secured, listener);
	};
	if (offered !== null && (await firstByte(inbox)) === tlsHandshake) await encrypt(offered, true);
	for (;;) {
		const message = await inbox.take((received) => {
			if (isForeign(received)) throw new ClientGone();
			const read = readStartup(received, startupBytesMax);
			return read === null ? null : { value: read.message, rest: read.rest };
		});
		switch (message.type) {
			case 'CancelRequest':
				return { type: 'cancel', inbox, request: message };
			case 'StartupMessage':
				return { type: 'startup', inbox, message, tls };
			default:
		}
		const encrypts = message.type === 'SSLRequest' && offered !== null;
		const expected = tls === null && !asked.has(message.type);
		if (expected && !encrypts) socket.write(decline);
		// What came in plaintext must never count as sent inside of the encryption.
		if (inbox.hasRest) throw unencrypted(message.type);
		if (!expected) throw protocolViolation(`unexpected ${message.type}`);
		asked.add(message.type);
		if (encrypts) {
			socket.write(accept);
			await encrypt(offered, false);
		}
	}
}

function unencrypted(request: Startup['type']): GatewayError {
	const what = request === 'SSLRequest' ? 'SSL request' : 'GSSAPI encryption request';
	const detail = 'This could be either a client-software bug or evidence of an attempted man-in-the-middle attack.';
	return new GatewayError('08P01', `received unencrypted data after ${what}`, { severity: 'FATAL', detail });
}

function firstByte(inbox: Inbox): Promise<number> {
	return inbox.take((received) => ({ value: received[0] as number, rest: received }));
}

/** `direct`: without an SSLRequest; then the client has to name the protocol by ALPN (protocol, "SSL Session Encryption"). */
async function upgrade(inbox: Inbox, listener: ListenerTls, direct: boolean): Promise<TLSSocket> {
	const { socket } = inbox;
	const rest = inbox.detach();
	if (rest.length > 0) socket.unshift(rest);
	const secured = new TLSSocket(socket, {
		isServer: true,
		secureContext: listener.secureContext(),
		ALPNProtocols: [alpn],
		// Nobody has to show a certificate, and what one is worth is for the sign-in to judge.
		requestCert: listener.clientCertificate !== undefined,
		rejectUnauthorized: false,
	});
	secured.allowHalfOpen = true;
	secured.on('error', () => undefined);
	await new Promise<void>((resolve, reject) => {
		secured.once('secure', resolve);
		secured.once('close', () => reject(new ClientGone()));
	});
	if (direct && secured.alpnProtocol !== alpn) {
		secured.destroy();
		throw new ClientGone();
	}
	return secured;
}

function tlsOf(secured: TLSSocket, listener: ListenerTls): ClientTls {
	const serverCertHash = listener.serverCertHash();
	const clientCertificate = listener.clientCertificate?.(secured);
	return {
		version: secured.getProtocol() ?? 'unknown',
		cipher: secured.getCipher().name,
		serverCertHash,
		clientCertificate,
	};
}

/** FATAL unless the connection is encrypted as the listener demands. */
export function requireTls(offered: ListenerTls | null, tls: ClientTls | null): void {
	if (offered?.mode !== 'require' || tls !== null) return;
	const hint = 'Connect with sslmode=require or better.';
	throw new GatewayError('28000', 'the gateway accepts only TLS connections', { severity: 'FATAL', hint });
}
