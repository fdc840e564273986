/** A server that lets anybody in, answers whatever comes first with the bytes that it was given, and hangs up, unless it is to stay. */
import { type AddressInfo, createServer, type Socket } from 'node:net';
import {
	encodeAuthenticationOk,
	encodeBackendKeyData,
	encodeParameterStatus,
	encodeReadyForQuery,
} from '../../src/wire/encode.ts';
import type { TestDatabase } from '../support/postgres.ts';

export interface ScriptedServer {
	/** Where it is, and how to sign in. */
	readonly database: TestDatabase;
	/** What is answered to whatever the client says. */
	answer: Buffer;
	close(): void;
}

const settings = {
	server_version: '18.0',
	server_encoding: 'UTF8',
	client_encoding: 'UTF8',
	standard_conforming_strings: 'on',
	search_path: 'public',
};

export interface ScriptedServerOptions {
	/** As PostgreSQL does before 18; default: it tells search_path at the sign-in. */
	readonly tellsPath?: boolean;
	/** It goes on listening, and says nothing more. */
	readonly stays?: boolean;
	/** It resets the connection behind its answer, as a server does that has not read everything; called just before. */
	readonly resets?: () => unknown;
}

export async function startScriptedServer(options: ScriptedServerOptions = {}): Promise<ScriptedServer> {
	const { tellsPath = true, stays = false, resets } = options;
	const told = Object.entries(settings).filter(([name]) => tellsPath || name !== 'search_path');
	const welcome = Buffer.concat([
		encodeAuthenticationOk(),
		...told.map(([name, value]) => encodeParameterStatus(name, value)),
		encodeBackendKeyData(4711, Buffer.from([1, 2, 3, 4])),
		encodeReadyForQuery('I'),
	]);
	const open = new Set<Socket>();
	const server = createServer((socket) => {
		open.add(socket);
		socket.on('error', () => undefined);
		socket.on('close', () => open.delete(socket));
		socket.once('data', () => {
			socket.write(welcome);
			socket.once('data', () => {
				if (resets === undefined) {
					if (stays) socket.write(scripted.answer);
					else socket.end(scripted.answer);
					return;
				}
				resets();
				socket.write(scripted.answer);
				socket.resetAndDestroy();
			});
		});
	});
	await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
	const { port } = server.address() as AddressInfo;
	const database = { host: '127.0.0.1', port, user: 'u', password: 'p', database: 'd' } as TestDatabase;
	const scripted: ScriptedServer = {
		database,
		answer: Buffer.alloc(0),
		close: () => {
			for (const socket of open) socket.destroy();
			server.close();
		},
	};
	return scripted;
}
