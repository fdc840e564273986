/** Sockets of clients that read into shared memory: the same bytes, ends and pauses as with Node's own, and nobody sees what another sent. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { readBytes, readingInto } from '../../src/session/client-socket.ts';

const shared = Buffer.alloc(readBytes);
const opened: Socket[] = [];
const servers: Server[] = [];

afterEach(async () => {
	for (const socket of opened.splice(0)) socket.destroy();
	await Promise.all(servers.splice(0).map((server) => new Promise((resolve) => server.close(resolve))));
});

interface Pair {
	readonly server: Server;
	readonly client: Socket;
	readonly accepted: Socket;
	readonly socket: Socket;
}

async function pair(): Promise<Pair> {
	const server = createServer({ allowHalfOpen: true, pauseOnConnect: true });
	servers.push(server);
	server.listen(0, '127.0.0.1');
	await once(server, 'listening');
	const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
	const [accepted] = (await once(server, 'connection')) as [Socket];
	const socket = readingInto(shared, accepted);
	opened.push(client, socket);
	client.on('error', () => undefined);
	socket.on('error', () => undefined);
	return { server, client, accepted, socket };
}

/** Every chunk that comes until `bytes` have, as it was given. */
async function chunks(socket: Socket, bytes: number): Promise<Buffer[]> {
	const given: Buffer[] = [];
	let length = 0;
	await new Promise<void>((resolve) => {
		socket.on('data', (chunk: Buffer) => {
			given.push(chunk);
			length += chunk.length;
			if (length >= bytes) resolve();
		});
	});
	return given;
}

describe('a socket that reads into shared memory', () => {
	it('is another one than was accepted, with the same connection', async () => {
		const { accepted, socket, client } = await pair();
		expect(socket).not.toBe(accepted);
		expect(socket.remotePort).toBe(client.localPort);
		expect(socket.allowHalfOpen).toBe(true);
	});

	it('gives copies: what two have sent stays what it was, whatever is read after it', async () => {
		const [one, other] = [await pair(), await pair()];
		const first = chunks(one.socket, 3);
		one.client.write('one');
		const kept = await first;
		const second = chunks(other.socket, 5);
		other.client.write('other');
		await second;
		shared.fill(0x21);
		expect(Buffer.concat(kept).toString()).toBe('one');
		expect(Buffer.concat(await second).toString()).toBe('other');
		expect([...kept, ...(await second)].some((chunk) => chunk.buffer === shared.buffer)).toBe(false);
	});

	it('keeps every byte of large pieces, and none of them lies in shared memory or in that of another', async () => {
		const { client, socket } = await pair();
		const sent = randomBytes(4 * 1024 * 1024);
		const all = chunks(socket, sent.length + 2);
		client.write(sent);
		client.write('.');
		await new Promise<void>((resolve) => {
			if (socket.bytesRead > sent.length) resolve();
			else socket.on('data', () => socket.bytesRead > sent.length && resolve());
		});
		// Small pieces after large ones are read into shared memory again.
		client.write('.');
		const given = await all;
		shared.fill(0x21);
		expect(Buffer.concat(given).equals(Buffer.concat([sent, Buffer.from('..')]))).toBe(true);
		expect(given.some((chunk) => chunk.buffer === shared.buffer)).toBe(false);
		const large = given.filter((chunk) => chunk.length >= readBytes / 2).map((chunk) => chunk.buffer);
		expect(new Set(large).size).toBe(large.length);
	});

	it('reads no more than it may while it is paused, and goes on where it was', async () => {
		const { client, socket } = await pair();
		const sent = randomBytes(8 * 1024 * 1024);
		const seen = chunks(socket, 1);
		client.write(sent);
		const begun = await seen;
		socket.pause();
		socket.removeAllListeners('data');
		// What has come by then is kept for later, and nobody reads the rest.
		for (let turn = 0; turn < 100; turn += 1) await new Promise((resolve) => setImmediate(resolve));
		expect(socket.bytesRead).toBeLessThan(sent.length);
		const rest = chunks(socket, sent.length - Buffer.concat(begun).length);
		socket.resume();
		expect(Buffer.concat([...begun, ...(await rest)]).equals(sent)).toBe(true);
	});

	it('hears that the client is done, and writes on', async () => {
		const { client, socket } = await pair();
		const ended = once(socket, 'end');
		socket.resume();
		client.end('last words');
		await ended;
		const answered = chunks(client, 6);
		socket.end('answer');
		expect(Buffer.concat(await answered).toString()).toBe('answer');
	});

	it('hears that the client is gone while it is paused', async () => {
		const { client, socket } = await pair();
		socket.on('data', () => undefined);
		socket.pause();
		const closed = new Promise((resolve) => socket.once('close', resolve));
		client.resetAndDestroy();
		await closed;
	});

	it('lets the server close once it is closed', async () => {
		const { server, client, socket } = await pair();
		const closed = once(server, 'close');
		server.close();
		socket.resume();
		client.end();
		socket.end();
		await closed;
	});

	it('is what was accepted, where Node has nothing of the kind beneath it', () => {
		const plain = new Socket();
		expect(readingInto(shared, plain)).toBe(plain);
		const strange = Object.assign(new Socket(), { _handle: { readStart: null } });
		expect(readingInto(shared, strange)).toBe(strange);
		plain.destroy();
	});
});
