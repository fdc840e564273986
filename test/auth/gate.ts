/** A server that signs its clients in by the auth bridge and answers every Query with nothing: a gateway's front door alone. */
import { createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { TLSSocket } from 'node:tls';
import { AuthBridge } from '../../src/auth/bridge.ts';
import { serverEndPointHash } from '../../src/auth/channel-binding.ts';
import type { ClientTls, Step } from '../../src/auth/exchange.ts';
import type { Fetch } from '../../src/auth/fetch-json.ts';
import type { AuthSettings } from '../../src/auth/settings.ts';
import {
	encodeBackendKeyData,
	encodeCommandComplete,
	encodeGatewayError,
	encodeParameterStatus,
	encodeReadyForQuery,
} from '../../src/wire/encode.ts';
import { Framer, loginRules } from '../../src/wire/framer.ts';
import { readStartup, type Startup } from '../../src/wire/startup.ts';
import { makeCertificate, type SignatureKind, type TestCertificate } from '../support/certificates.ts';

export interface GateOptions {
	readonly settings: AuthSettings;
	/** Network and clock of the bridge; missing: the real ones. */
	readonly network?: { readonly fetch: Fetch; readonly now: () => number };
	/** Longest pause between polls of a device flow; missing: as the provider asks. */
	readonly pollMs?: number;
	/** TLS with a certificate of this kind; null: none. */
	readonly tls?: SignatureKind | null;
}

export class LoginGate {
	/** All steps of all logins, in order. */
	readonly steps: Step[] = [];
	readonly #bridge: AuthBridge;
	readonly #server: Server;
	readonly #sockets = new Set<Socket>();
	readonly #certificate: TestCertificate | null;

	constructor({ settings, network, pollMs, tls = null }: GateOptions) {
		const longest = pollMs ?? (network === undefined ? Number.POSITIVE_INFINITY : 0);
		const delay = async (ms: number, signal?: AbortSignal): Promise<void> => {
			await sleep(Math.min(ms, longest), undefined, signal === undefined ? {} : { signal }).catch(() => undefined);
		};
		this.#bridge = new AuthBridge(settings, { ...network, delay });
		this.#certificate = tls === null ? null : makeCertificate({ name: 'localhost', hosts: ['localhost'], kind: tls });
		this.#server = createServer((socket) => {
			this.#sockets.add(socket);
			socket.on('error', () => undefined);
			void this.#serve(socket);
		});
	}

	/** The port it listens on, of 127.0.0.1. */
	async start(): Promise<number> {
		await new Promise<void>((resolve) => {
			this.#server.listen(0, '127.0.0.1', resolve);
		});
		return (this.#server.address() as { port: number }).port;
	}

	stop(): void {
		this.#server.close();
		for (const socket of this.#sockets) socket.destroy();
	}

	async #serve(raw: Socket): Promise<void> {
		let socket = raw;
		let tls: ClientTls | null = null;
		let start = await firstPacket(socket);
		while (start !== null && start.type !== 'StartupMessage') {
			if (start.type === 'SSLRequest' && this.#certificate !== null) {
				const { cert, key, der } = this.#certificate;
				raw.write('S');
				socket = new TLSSocket(raw, { isServer: true, cert, key, ALPNProtocols: ['postgresql'] });
				socket.on('error', () => undefined);
				tls = { version: 'TLSv1.3', cipher: 'x', serverCertHash: serverEndPointHash(der) ?? undefined };
			} else {
				socket.write('N');
			}
			start = await firstPacket(socket);
		}
		if (start !== null) await this.#login(socket, start, tls);
	}

	async #login(socket: Socket, start: Startup & { type: 'StartupMessage' }, tls: ClientTls | null): Promise<void> {
		const leaving = new AbortController();
		socket.once('close', () => leaving.abort());
		const { params } = start;
		const exchange = this.#bridge.begin({
			user: params.get('user') ?? '',
			database: params.get('database') ?? '',
			options: params.get('options'),
			tls,
			address: '127.0.0.1',
			signal: leaving.signal,
		});
		const framer = new Framer(loginRules());
		let step = await exchange.step(null);
		for (;;) {
			this.steps.push(step);
			for (const message of step.messages) socket.write(message);
			if (step.type === 'done' || step.type === 'fail') break;
			if (step.type === 'wait') {
				// Read on meanwhile, or the end of the connection would not be seen.
				socket.resume();
				step = await step.next;
				continue;
			}
			const body = await nextBody(socket, framer);
			if (body === null) return;
			step = await exchange.step(body);
		}
		if (step.type === 'fail') socket.end(encodeGatewayError(step.error));
		else welcome(socket);
	}
}

function welcome(socket: Socket): void {
	const settings = { server_version: '18.0', client_encoding: 'UTF8', standard_conforming_strings: 'on' };
	for (const [name, value] of Object.entries(settings)) socket.write(encodeParameterStatus(name, value));
	socket.write(encodeBackendKeyData(1, Buffer.alloc(4)));
	socket.write(encodeReadyForQuery('I'));
	socket.on('data', (chunk: Buffer) => {
		if (chunk[0] !== 0x51) return;
		socket.write(encodeCommandComplete('SELECT 0'));
		socket.write(encodeReadyForQuery('I'));
	});
	socket.resume();
}

async function firstPacket(socket: Socket): Promise<Startup | null> {
	const bytes = await read(socket);
	return bytes === null ? null : (readStartup(bytes)?.message ?? null);
}

async function nextBody(socket: Socket, framer: Framer): Promise<Buffer | null> {
	for (;;) {
		const bytes = await read(socket);
		if (bytes === null) return null;
		framer.push(bytes);
		if (framer.next()) return Buffer.from(framer.buffer.subarray(framer.start + 5, framer.end));
	}
}

function read(socket: Socket): Promise<Buffer | null> {
	return new Promise((resolve) => {
		socket.once('data', (chunk: Buffer) => {
			socket.pause();
			resolve(chunk);
		});
		socket.once('close', () => resolve(null));
		socket.resume();
	});
}
