/** Cancel keys: only the right one works, on the right backend, and a real statement stops. */
import { randomBytes } from 'node:crypto';
import { type AddressInfo, createServer } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { CancelRegistry, type SendCancel } from '../../src/backend/cancel.ts';
import { type BackendConnection, connectBackend } from '../../src/backend/connection.ts';
import { query } from '../../src/backend/query.ts';
import type { BackendTarget } from '../../src/backend/target.ts';
import {
	encodeAuthenticationOk,
	encodeBackendKeyData,
	encodeCancelRequest,
	encodeParameterStatus,
	encodeReadyForQuery,
} from '../../src/wire/encode.ts';
import { decodeStartup } from '../../src/wire/startup.ts';
import { startPostgres } from '../support/postgres.ts';

function fake(pid: number, alive = true): BackendConnection {
	const connection: Partial<BackendConnection> = { pid, alive, cancelKey: Buffer.from([1, 2, 3, pid]) };
	return connection as BackendConnection;
}

function recorder(): { readonly sent: number[]; readonly registry: CancelRegistry } {
	const sent: number[] = [];
	const send: SendCancel = async (_target, pid, key) => {
		expect(key).toEqual(Buffer.from([1, 2, 3, pid]));
		sent.push(pid);
		await new Promise(setImmediate);
		return true;
	};
	return { sent, registry: new CancelRegistry({ send }) };
}

describe('CancelRegistry', () => {
	test('keys are of the asked length and differ', () => {
		const { registry } = recorder();
		const [short, long] = [registry.register(7, 4), registry.register(7, 32)];
		expect([short.key.length, long.key.length]).toEqual([4, 32]);
		expect(registry.register(7, 32).key).not.toEqual(long.key);
	});

	test('the key decides between clients with one pid', async () => {
		const { registry, sent } = recorder();
		const [a, b] = [registry.register(7, 4), registry.register(7, 32)];
		a.point(fake(1));
		b.point(fake(2));
		expect(await registry.cancel(7, b.key)).toBe(true);
		expect(await registry.cancel(7, a.key)).toBe(true);
		expect(sent).toEqual([2, 1]);
	});

	test('nothing is sent for a wrong key, a wrong pid, a prefix, a released key or an idle client', async () => {
		const { registry, sent } = recorder();
		const handle = registry.register(7, 32);
		handle.point(fake(1));
		const wrong = Buffer.from(handle.key);
		wrong[31] = (wrong[31] ?? 0) ^ 1;
		expect(await registry.cancel(7, wrong)).toBe(false);
		expect(await registry.cancel(8, handle.key)).toBe(false);
		expect(await registry.cancel(7, handle.key.subarray(0, 4))).toBe(false);
		expect(await registry.cancel(7, Buffer.alloc(0))).toBe(false);
		handle.point(fake(1, false));
		expect(await registry.cancel(7, handle.key)).toBe(true);
		handle.point(null);
		expect(await registry.cancel(7, handle.key)).toBe(true);
		handle.point(fake(1));
		handle.release();
		expect(await registry.cancel(7, handle.key)).toBe(false);
		expect(sent).toEqual([]);
	});

	test('a flood of one key is one request at a time, and a failure stays here', async () => {
		const { registry, sent } = recorder();
		const handle = registry.register(7, 4);
		handle.point(fake(1));
		await Promise.all(Array.from({ length: 50 }, () => registry.cancel(7, handle.key)));
		expect(sent).toEqual([1]);
		const failing = new CancelRegistry({ send: () => Promise.reject(new Error('refused')) });
		const other = failing.register(7, 4);
		other.point(fake(1));
		expect(await failing.cancel(7, other.key)).toBe(true);
	});

	test('a client that has another backend meanwhile gets a request of its own', async () => {
		const answers: (() => void)[] = [];
		const sent: number[] = [];
		const send: SendCancel = (_target, pid) => {
			sent.push(pid);
			return new Promise((resolve) => answers.push(() => resolve(true)));
		};
		const registry = new CancelRegistry({ send });
		const handle = registry.register(7, 4);
		handle.point(fake(1));
		const first = registry.cancel(7, handle.key);
		handle.point(fake(2));
		const second = registry.cancel(7, handle.key);
		expect(sent).toEqual([1, 2]);
		for (const answer of answers) answer();
		expect(await Promise.all([first, second])).toEqual([true, true]);
	});

	test('one that may still come is remembered as long as the backend is the same', async () => {
		let inTime = false;
		const registry = new CancelRegistry({ send: () => Promise.resolve(inTime) });
		const handle = registry.register(7, 4);
		handle.point(fake(1));
		await registry.cancel(7, handle.key);
		inTime = true;
		await registry.cancel(7, handle.key);
		expect(await handle.cancelled).toBe(false);
		handle.point(fake(2));
		expect(handle.cancelled).toBe(null);
		await registry.cancel(7, handle.key);
		expect(await handle.cancelled).toBe(true);
	});

	// Servers of protocol 3.2, and what stands in front of servers, have keys of 4 to 256 bytes.
	test.each([4, 5, 32, 255, 256])('a key of %i bytes goes back to its server whole', async (length) => {
		const key = randomBytes(length);
		const { target, requests } = await serverWithKey(key);
		const connection = await connectBackend(target, {});
		onTestFinished(() => connection.close());
		const registry = new CancelRegistry();
		const handle = registry.register(connection.pid, 4);
		handle.point(connection);
		expect(await registry.cancel(handle.pid, handle.key)).toBe(true);
		expect(requests).toEqual([encodeCancelRequest(4711, key)]);
	});

	test('stops a statement on a real server', async () => {
		const { host, port, user, password } = await startPostgres();
		const target: BackendTarget = {
			host,
			port,
			dbname: 'postgres',
			user,
			password: () => password,
			tls: { mode: 'disable' },
		};
		const connection = await connectBackend(target, {});
		onTestFinished(() => connection.close());
		const registry = new CancelRegistry();
		const handle = registry.register(connection.pid, 32);
		handle.point(connection);
		const running = query(connection, 'select pg_sleep(60)');
		const failed = expect(running).rejects.toMatchObject({ sqlstate: '57014' });
		await waitUntilActive(target, connection.pid);
		expect(await registry.cancel(handle.pid, handle.key)).toBe(true);
		await failed;
		expect(await query(connection, 'select 1')).toEqual([['1']]);
	});
});

/** Greets everybody with that key, and keeps the first bytes of those who bring a CancelRequest. */
async function serverWithKey(key: Buffer): Promise<{ readonly target: BackendTarget; readonly requests: Buffer[] }> {
	const requests: Buffer[] = [];
	const settings = {
		server_version: '18.0',
		server_encoding: 'UTF8',
		client_encoding: 'UTF8',
		standard_conforming_strings: 'on',
	};
	const welcome = Buffer.concat([
		encodeAuthenticationOk(),
		...Object.entries(settings).map(([name, value]) => encodeParameterStatus(name, value)),
		encodeBackendKeyData(4711, key),
		encodeReadyForQuery('I'),
	]);
	const server = createServer((socket) => {
		socket.on('error', () => undefined);
		socket.once('data', (bytes) => {
			if (decodeStartup(bytes).type === 'StartupMessage') {
				socket.write(welcome);
				socket.once('data', () => socket.end());
				return;
			}
			requests.push(bytes);
			socket.end();
		});
	});
	await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
	onTestFinished(() => {
		server.close();
	});
	const { port } = server.address() as AddressInfo;
	const target = {
		host: '127.0.0.1',
		port,
		dbname: 'd',
		user: 'u',
		password: () => null,
		tls: { mode: 'disable' },
	} as const;
	return { target, requests };
}

/** A cancel that comes before the statement has begun is lost, as PostgreSQL says. */
async function waitUntilActive(target: BackendTarget, pid: number): Promise<void> {
	const other = await connectBackend(target, {});
	try {
		for (;;) {
			const [row] = await query(other, `select wait_event from pg_stat_activity where pid = ${pid}`);
			if (row?.[0] === 'PgSleep') return;
		}
	} finally {
		await other.close();
	}
}
