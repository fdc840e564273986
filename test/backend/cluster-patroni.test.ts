/** Patroni's REST interface: what is taken from an answer, which of several answers counts, and nodes that give none. */
import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { agree, askPatroni, parseCluster, type PatroniAnswer } from '../../src/backend/cluster-patroni.ts';
import { makeCertificate } from '../support/certificates.ts';

/** As Patroni 3.0.2 and 4.0 answer. */
const BODY = {
	members: [
		{ name: 'n1', role: 'leader', state: 'running', host: '10.0.0.1', port: 5432, timeline: 5 },
		{ name: 'n2', role: 'sync_standby', state: 'streaming', host: '10.0.0.2', port: '5433', timeline: 5, lag: 0 },
		{
			name: 'n3',
			role: 'replica',
			state: 'running',
			host: '::1',
			port: 5432,
			timeline: 4,
			tags: { noloadbalance: true },
		},
		{ name: 'n4', role: 'replica', state: 'starting' },
	],
	scope: 'shop',
};

const servers: Server[] = [];
afterEach(() => {
	for (const server of servers.splice(0)) {
		server.close();
		server.closeAllConnections();
	}
});

async function serve(
	listener: RequestListener,
	make: (listener: RequestListener) => Server = createServer,
): Promise<number> {
	const server = make(listener);
	servers.push(server);
	await new Promise<void>((resolve) => {
		server.listen(0, '127.0.0.1', resolve);
	});
	return (server.address() as AddressInfo).port;
}

const never = new AbortController().signal;
const answers =
	(body: unknown, status = 200): RequestListener =>
	(_request, response) =>
		void response.writeHead(status).end(typeof body === 'string' ? body : JSON.stringify(body));

describe('an answer', () => {
	test('names members, the leader, and who is not for balanced reading', () => {
		expect(parseCluster(BODY)).toEqual({
			members: [
				{ host: '10.0.0.1', port: 5432, spared: false },
				{ host: '10.0.0.2', port: 5433, spared: false },
				{ host: '::1', port: 5432, spared: true },
			],
			leader: '10.0.0.1:5432',
			timeline: 5,
		});
	});

	test('of a standby cluster names no leader: its own is read-only', () => {
		const members = [{ role: 'standby_leader', host: 'a', port: 1 }];
		expect(parseCluster({ members }).leader).toBeNull();
	});

	test.each([
		null,
		'text',
		{},
		{ members: [] },
		{ members: [{ role: 'leader' }] },
		{ members: [{ host: 'a', port: 0 }] },
		{ members: Array(33).fill(BODY.members[0]) },
	])('that is none: %j', (body) => {
		expect(() => parseCluster(body)).toThrow();
	});
});

describe('several answers', () => {
	const answer = (leader: string | null, timeline: number): PatroniAnswer => ({ members: [], leader, timeline });
	test.each([
		{ name: 'none', of: [], want: undefined },
		{ name: 'the newest timeline', of: [answer('old', 4), answer('old', 4), answer('new', 5)], want: 'new' },
		{ name: 'the majority on one', of: [answer('x', 5), answer('y', 5), answer('y', 5)], want: 'y' },
		{ name: 'the majority that sees no leader', of: [answer(null, 5), answer('x', 5), answer(null, 5)], want: null },
	])('$name', ({ of, want }) => {
		expect(agree(of)?.leader).toBe(want);
	});
});

describe('nodes', () => {
	test('one that answers is enough, and a silent one is not waited for', async () => {
		const good = await serve(answers(BODY));
		const silent = await serve(() => undefined);
		const broken = await serve(answers('<html>', 200));
		const refusing = await serve(answers(BODY, 503));
		const urls = [silent, broken, refusing, good].map((port) => `http://127.0.0.1:${port}/`);
		const begunMs = performance.now();
		const view = await askPatroni({ urls }, never);
		expect(view?.leader).toBe('10.0.0.1:5432');
		expect(performance.now() - begunMs).toBeLessThan(1500);
	});

	test('none that answers is no answer', async () => {
		const refusing = await serve(answers(BODY, 503));
		const endless = await serve((_request, response) => void response.end(Buffer.alloc(2 * 1024 * 1024, ' ')));
		const urls = [`http://127.0.0.1:${refusing}`, `http://127.0.0.1:${endless}`, 'http://127.0.0.1:1'];
		expect(await askPatroni({ urls }, never)).toBeNull();
	});

	test('TLS is verified, and credentials are sent', async () => {
		const ca = makeCertificate({ name: 'authority', authority: true });
		const own = makeCertificate({ name: 'node', hosts: ['127.0.0.1'], issuer: ca });
		let path = '';
		let authorization: string | undefined;
		const port = await serve(
			(request, response) => {
				path = request.url ?? '';
				authorization = request.headers.authorization;
				answers(BODY)(request, response);
			},
			(listener) => createTlsServer({ cert: own.cert, key: own.key }, listener),
		);
		const urls = [`https://127.0.0.1:${port}`];
		expect(await askPatroni({ urls }, never)).toBeNull();
		expect(path).toBe('');
		const view = await askPatroni({ urls, tls: { ca: ca.cert }, authorization: 'Basic eDp5' }, never);
		expect(view?.leader).toBe('10.0.0.1:5432');
		expect({ path, authorization }).toEqual({ path: '/cluster', authorization: 'Basic eDp5' });
	});
});
