/** Syslog: RFC 5424 messages over TLS (RFC 5425, octet counting) or, on a trusted network, plain TCP (RFC 6587). */
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { hostname } from 'node:os';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import { type Sink, SinkError, type SinkRecord } from './sink.ts';

export interface SyslogOptions {
	readonly host: string;
	readonly port: number;
	/** Null is plain TCP. The server's certificate is always verified. */
	readonly tls: Pick<ConnectionOptions, 'ca' | 'cert' | 'key' | 'servername'> | null;
	/** 0 to 23; 13 is "log audit". Default 13. */
	readonly facility?: number;
	readonly appName?: string;
	readonly hostname?: string;
	readonly connectTimeoutMs?: number;
}

/** RFC 5424, 6.2.1: severities by OCSF severity_id (informational, low, medium, high, critical). */
const severities: readonly number[] = [6, 6, 5, 4, 3, 2, 1];
const logAudit = 13;

/** Header fields are printable ASCII without spaces, of bounded length (RFC 5424, 6); nothing left is the nil value. */
function headerField(text: string, lengthMax: number): string {
	const clean = text.replaceAll(/[^\x21-\x7e]/g, '').slice(0, lengthMax);
	return clean === '' ? '-' : clean;
}

/** One message with its length before it. The record's uid is in MSGID's neighbour, structured data, so that doubles can be told. */
export function syslogFrame(
	record: SinkRecord,
	options: Pick<SyslogOptions, 'facility' | 'appName' | 'hostname'>,
): Buffer {
	const priority = (options.facility ?? logAudit) * 8 + (severities[record.severity] ?? 6);
	const time = new Date(record.timeMs).toISOString();
	const host = headerField(options.hostname ?? hostname(), 255);
	const app = headerField(options.appName ?? 'portcullis', 48);
	// meta@: RFC 5424, 7.3 (sequenceId is limited to 31 bits and wraps); the uid under the enterprise number for documentation.
	const data = `[meta sequenceId="${(record.sequence % 2_147_483_647) + 1}"][portcullis@32473 uid="${record.uid}"]`;
	const text = `<${priority}>1 ${time} ${host} ${app} ${process.pid} ${headerField(record.code, 32)} ${data} ${record.line}`;
	const message = Buffer.from(text);
	return Buffer.concat([Buffer.from(`${message.length} `), message]);
}

class SyslogSink implements Sink {
	readonly name = 'syslog';
	/** The protocol has no acknowledgement. */
	readonly acknowledges = false;
	readonly #options: SyslogOptions;
	#socket: Socket | null = null;
	#broken: (error: Error) => void = () => {};

	constructor(options: SyslogOptions) {
		this.#options = options;
	}

	onBroken(broken: (error: Error) => void): void {
		this.#broken = broken;
	}

	async deliver(records: readonly SinkRecord[], signal: AbortSignal): Promise<void> {
		const socket = this.#socket ?? (await this.#connect(signal));
		const bytes = Buffer.concat(records.map((record) => syslogFrame(record, this.#options)));
		await new Promise<void>((resolve, reject) => {
			const abort = () => {
				socket.destroy();
				reject(new SinkError('the receiver took nothing in time'));
			};
			signal.addEventListener('abort', abort, { once: true });
			socket.write(bytes, (error) => {
				signal.removeEventListener('abort', abort);
				if (error === null || error === undefined) resolve();
				else reject(error);
			});
		});
	}

	close(): Promise<void> {
		const socket = this.#socket;
		this.#socket = null;
		return new Promise((resolve, reject) => {
			if (socket === null || socket.destroyed) return resolve();
			socket.once('close', (failed) => {
				if (failed) reject(new SinkError('the connection broke while it was closed'));
				else resolve();
			});
			socket.end(() => socket.destroy());
		});
	}

	#connect(signal: AbortSignal): Promise<Socket> {
		const { host, port, tls, connectTimeoutMs = 10_000 } = this.#options;
		return new Promise((resolve, reject) => {
			// The time for this delivery is the time to connect in; the connection is for those after it too.
			const abort = () => socket.destroy();
			const ready = () => {
				signal.removeEventListener('abort', abort);
				socket.setTimeout(0);
				this.#socket = socket;
				resolve(socket);
			};
			const socket: Socket =
				tls === null
					? connectTcp({ host, port }, ready)
					: connectTls({ host, port, ...serverName(host), minVersion: 'TLSv1.2', ...tls }, ready);
			socket.setTimeout(connectTimeoutMs, () => socket.destroy(new SinkError('the receiver did not answer in time')));
			socket.setKeepAlive(true, 30_000);
			// A receiver does not speak; what it sends is read away so that its end is noticed.
			socket.resume();
			socket.on('error', (error: Error) => {
				reject(error);
				this.#lost(socket, error);
			});
			socket.on('close', () => {
				const error = new SinkError('the receiver closed the connection');
				reject(error);
				this.#lost(socket, error);
			});
			signal.addEventListener('abort', abort, { once: true });
		});
	}

	#lost(socket: Socket, error: Error): void {
		if (this.#socket !== socket) return;
		this.#socket = null;
		this.#broken(error);
	}
}

/** The TLS extension takes names only (RFC 6066, 3); an address is verified against the certificate all the same. */
function serverName(host: string): { readonly servername?: string } {
	return isIP(host) === 0 ? { servername: host } : {};
}

export function syslogSink(options: SyslogOptions): Sink {
	return new SyslogSink(options);
}
