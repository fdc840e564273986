/** The admin port: what it answers to whom, also to what no browser would send, and that it goes away. */
import { connect } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { AdminServer } from '../../src/admin/http.ts';
import { GatewayError } from '../../src/errors.ts';
import { readExposition } from './exposition.ts';
import { testView, type ViewOptions } from './view.ts';

const open: AdminServer[] = [];
afterEach(async () => {
	await Promise.all(open.splice(0).map((server) => server.close()));
});

async function start(view: ViewOptions = {}): Promise<AdminServer> {
	const server = await AdminServer.listen({ host: '127.0.0.1', port: 0 }, testView(view));
	open.push(server);
	return server;
}

async function ask(
	server: AdminServer,
	path: string,
	init: RequestInit = {},
): Promise<{ status: number; type: string; body: string }> {
	const response = await fetch(`http://127.0.0.1:${server.port}${path}`, init);
	return { status: response.status, type: response.headers.get('content-type') ?? '', body: await response.text() };
}

test('/healthz answers as long as the process does', async () => {
	const { status, body } = await ask(await start({ draining: true, audit: { healthy: false } }), '/healthz');
	expect(status).toBe(200);
	expect(JSON.parse(body)).toMatchObject({ status: 'ok', version: '1.2.3' });
});

test('/readyz says which check fails', async () => {
	const good = await ask(await start(), '/readyz');
	expect([good.status, JSON.parse(good.body)]).toEqual([
		200,
		{ status: 'ready', checks: { draining: 'ok', audit: 'ok', 'catalogue shop': 'ok' } },
	]);
	const bad = await ask(
		await start({ databases: { shop: { state: 'stale', problem: 'timed out' } }, draining: true }),
		'/readyz',
	);
	expect([bad.status, JSON.parse(bad.body)]).toEqual([
		503,
		{
			status: 'not ready',
			checks: {
				draining: 'the gateway is about to stop',
				audit: 'ok',
				'catalogue shop': 'the catalogue is stale: timed out',
			},
		},
	]);
});

test('/readyz of one database', async () => {
	const server = await start({ databases: { shop: {}, crm: { state: 'unknown' } } });
	expect((await ask(server, '/readyz?database=shop')).status).toBe(200);
	expect((await ask(server, '/readyz?database=crm')).status).toBe(503);
	expect((await ask(server, '/readyz?database=none')).status).toBe(404);
});

test('/metrics is what Prometheus reads', async () => {
	const { status, type, body } = await ask(await start(), '/metrics');
	expect([status, type]).toEqual([200, 'text/plain; version=0.0.4; charset=utf-8']);
	expect(readExposition(body).has('portcullis_sessions')).toBe(true);
});

test.each([
	{ path: '/', method: 'GET', want: 404 },
	{ path: '/metrics/', method: 'GET', want: 404 },
	{ path: '/../../etc/passwd', method: 'GET', want: 404 },
	{ path: '/healthz', method: 'POST', want: 405 },
	{ path: '/readyz', method: 'DELETE', want: 405 },
])('$method $path is $want', async ({ path, method, want }) => {
	expect((await ask(await start(), path, { method })).status).toBe(want);
});

test('HEAD has no body', async () => {
	const { status, body } = await ask(await start(), '/metrics', { method: 'HEAD' });
	expect([status, body]).toEqual([200, '']);
});

/** Everything that the server answers to these bytes before it closes. */
async function raw(server: AdminServer, bytes: string): Promise<string> {
	const socket = connect(server.port, '127.0.0.1');
	let answer = '';
	socket.on('error', () => undefined);
	socket.on('data', (chunk) => {
		answer += chunk.toString();
	});
	socket.write(bytes);
	await new Promise<void>((resolve) => {
		socket.once('close', () => resolve());
	});
	return answer;
}

test.each([
	{ name: 'no HTTP', bytes: '\0\0\0\x08\x04\xd2\x16\x2f', want: /^HTTP\/1\.1 400/ },
	{
		name: 'endless headers',
		bytes: `GET /healthz HTTP/1.1\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`,
		want: /^HTTP\/1\.1 431/,
	},
])('$name is refused', async ({ bytes, want }) => {
	expect(await raw(await start(), bytes)).toMatch(want);
});

test('a port that is taken is an error that names the key', async () => {
	const { port } = await start();
	const error = await AdminServer.listen({ host: '127.0.0.1', port }, testView()).catch((thrown: unknown) => thrown);
	expect(error).toBeInstanceOf(GatewayError);
	expect(error).toMatchObject({
		sqlstate: '55006',
		message: `admin.port: port ${port} on 127.0.0.1 is in use already`,
	});
});

test('what cannot be answered is 500 to who asks, and a reason to the operator', async () => {
	const reason = new Error('no view');
	const view = {
		...testView(),
		get databases(): never {
			throw reason;
		},
	};
	const told: unknown[] = [];
	const onTrouble = (path: string, error: unknown) => void told.push([path, error]);
	const server = await AdminServer.listen({ host: '127.0.0.1', port: 0, onTrouble }, view);
	open.push(server);
	expect((await ask(server, '/metrics')).status).toBe(500);
	expect(told).toEqual([['/metrics', reason]]);
});

test('close ends connections that are kept alive', async () => {
	const server = await start();
	const socket = connect(server.port, '127.0.0.1');
	socket.on('error', () => undefined);
	const answered = new Promise<void>((resolve) => {
		socket.once('data', () => resolve());
	});
	socket.write('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n');
	await answered;
	const closed = new Promise<void>((resolve) => {
		socket.once('close', () => resolve());
	});
	await server.close();
	await closed;
});
