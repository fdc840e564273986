/** Cancel requests to peers: every one of them is asked, none is waited for without end, and strangers cannot cause more than so many. */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, test, vi } from 'vitest';
import type { CancelQuestion } from '../../src/session/cancelling.ts';
import { CancelPeers, type CancelPeersOptions, type Peer, type PeerResult } from '../../src/session/peers.ts';
import { readForwardedCancel } from '../../src/wire/peer-cancel.ts';
import { readStartup } from '../../src/wire/startup.ts';

const patience = { timeout: 30_000, interval: 5 };
const question: CancelQuestion = {
	pid: 4711,
	key: Buffer.alloc(32, 7),
	clientAddress: '192.0.2.7',
	clientPort: 50_123,
	forwarded: false,
	forwardedBy: null,
};

/** Takes cancel requests and keeps each connection until it is told to close it. */
class FakePeer {
	readonly server: Server;
	readonly asked: unknown[] = [];
	readonly open = new Set<Socket>();
	/** Connections that it has not closed itself, at most. */
	most = 0;
	#held = 0;
	/** Closes each as soon as it has its request. */
	prompt = true;

	static async listen(host = '127.0.0.1', port = 0): Promise<FakePeer> {
		const peer = new FakePeer();
		peer.server.listen(port, host);
		await once(peer.server, 'listening');
		stops.push(() => peer.stop());
		return peer;
	}

	private constructor() {
		this.server = createServer((socket) => {
			this.open.add(socket);
			this.#held += 1;
			this.most = Math.max(this.most, this.#held);
			socket.on('error', () => undefined);
			socket.on('close', () => this.open.delete(socket));
			let received = Buffer.alloc(0);
			socket.on('data', (chunk) => {
				received = Buffer.concat([received, chunk]);
				const read = readStartup(received);
				if (read?.message.type !== 'CancelRequest') return;
				this.asked.push(readForwardedCancel(read.message.pid, read.message.key));
				if (!this.prompt) return;
				this.#held -= 1;
				socket.end();
			});
		});
	}

	get port(): number {
		return (this.server.address() as AddressInfo).port;
	}

	get peer(): Peer {
		return { host: '127.0.0.1', port: this.port, tls: { mode: 'disable' } };
	}

	async stop(): Promise<void> {
		const closed = this.server.listening ? once(this.server, 'close') : null;
		this.server.close();
		for (const socket of this.open) socket.destroy();
		await closed;
	}
}

const stops: (() => Promise<void>)[] = [];
afterEach(async () => {
	for (const stop of stops.splice(0)) await stop();
});

interface Watched {
	readonly peers: CancelPeers;
	readonly counts: Record<PeerResult, number>;
	readonly states: [peer: string, problem: string | null][];
}

function watched(peers: readonly Peer[], more: Partial<CancelPeersOptions> = {}): Watched {
	const counts = { sent: 0, failed: 0, dropped: 0 };
	const states: Watched['states'] = [];
	const count = (result: PeerResult): void => {
		counts[result] += 1;
	};
	const onState = (peer: string, problem: string | null): void => {
		states.push([peer, problem]);
	};
	return { peers: new CancelPeers({ peers, count, onState, ...more }), counts, states };
}

describe('a request', () => {
	test('goes to every peer, with where it came from, and is over when all have closed', async () => {
		const [one, other] = [await FakePeer.listen(), await FakePeer.listen()];
		other.prompt = false;
		const { peers, counts } = watched([one.peer, other.peer]);
		let fate: string | null = null;
		const over = peers.cancel(question).then((result) => {
			fate = result;
		});
		await vi.waitFor(() => expect([one.asked.length, other.asked.length, counts.sent]).toEqual([1, 1, 1]), patience);
		expect(fate).toBeNull();
		for (const socket of other.open) socket.end();
		await over;
		expect(fate).toBe('passed');
		const { pid, key, clientAddress, clientPort } = question;
		expect([...one.asked, ...other.asked]).toEqual(Array(2).fill({ pid, key, clientAddress, clientPort }));
		expect(counts).toEqual({ sent: 2, failed: 0, dropped: 0 });
	});

	test.each([
		{ name: 'that a peer has handed on', more: { forwarded: true } },
		{ name: 'with a key of no gateway', more: { key: Buffer.alloc(16) } },
		{ name: 'with a key of 256 bytes', more: { key: Buffer.alloc(256) } },
	])('$name goes nowhere', async ({ more }) => {
		const peer = await FakePeer.listen();
		const { peers, counts } = watched([peer.peer]);
		expect(await peers.cancel({ ...question, ...more })).toBe('unknown');
		expect([peer.asked, counts]).toEqual([[], { sent: 0, failed: 0, dropped: 0 }]);
	});

	test('is not waited for where a peer says nothing, refuses, or has no address; the others have it at once', async () => {
		const [good, mute, gone] = [await FakePeer.listen(), await FakePeer.listen(), await FakePeer.listen()];
		mute.prompt = false;
		const { peer: refusing } = gone;
		await gone.stop();
		const nowhere = { ...refusing, host: 'nowhere.invalid' };
		const lookup = (host: string): Promise<never> => Promise.reject(new Error(`no ${host}`));
		const { peers, counts, states } = watched([mute.peer, refusing, nowhere, good.peer], {
			lookup,
			limits: { answerTimeoutMs: 1_500 },
		});
		expect(await Promise.all([peers.cancel(question), peers.cancel(question)])).toEqual(['passed', 'passed']);
		expect([good.asked.length, counts]).toEqual([2, { sent: 2, failed: 6, dropped: 0 }]);
		expect(states).toHaveLength(3);
		expect(Object.fromEntries(states)).toEqual({
			[`127.0.0.1:${mute.port}`]: 'it does not answer',
			[`127.0.0.1:${refusing.port}`]: 'connection refused',
			[`nowhere.invalid:${refusing.port}`]: 'no nowhere.invalid',
		});
		await vi.waitFor(() => expect(mute.open.size).toBe(0), patience);
	});

	test('finds a peer that is back, which is told', async () => {
		const peer = await FakePeer.listen();
		const { peer: where } = peer;
		await peer.stop();
		const { peers, states } = watched([where]);
		await peers.cancel(question);
		const back = await FakePeer.listen('127.0.0.1', where.port);
		await peers.cancel(question);
		expect(back.asked).toHaveLength(1);
		expect(states.map(([, problem]) => problem)).toEqual(['connection refused', null]);
	});

	test('goes to every gateway that a name leads to', async () => {
		const one = await FakePeer.listen();
		const other = await FakePeer.listen('127.0.0.2', one.port);
		const lookup = vi.fn(async () => ['127.0.0.1', '127.0.0.2']);
		let nowMs = 0;
		const named = { ...one.peer, host: 'gateways.test' };
		const { peers, counts } = watched([named], { lookup, clock: () => nowMs, limits: { lookupKeepMs: 10 } });
		await peers.cancel(question);
		await peers.cancel(question);
		expect([one.asked.length, other.asked.length, counts.sent]).toEqual([2, 2, 4]);
		expect(lookup).toHaveBeenCalledTimes(1);
		nowMs = 10;
		expect(await peers.isPeer('127.0.0.2')).toBe(true);
		expect(await peers.isPeer('::ffff:127.0.0.1')).toBe(true);
		expect(await peers.isPeer('127.0.0.3')).toBe(false);
		expect(lookup).toHaveBeenCalledTimes(2);
	});
});

describe('many requests', () => {
	test('take turns at a peer, and all get there', async () => {
		const peer = await FakePeer.listen();
		const { peers, counts } = watched([peer.peer], { limits: { atOnceMax: 3, turnTimeoutMs: 60_000 } });
		await Promise.all(Array.from({ length: 60 }, () => peers.cancel(question)));
		expect(counts).toEqual({ sent: 60, failed: 0, dropped: 0 });
		expect(peer.most).toBeLessThanOrEqual(3);
	});

	test('are dropped where they wait too long for a turn, so that what gets there is never late', async () => {
		const peer = await FakePeer.listen();
		peer.prompt = false;
		const { peers, counts } = watched([peer.peer], { limits: { atOnceMax: 2, turnTimeoutMs: 50 } });
		const all = Array.from({ length: 7 }, () => peers.cancel(question));
		await vi.waitFor(() => expect([peer.open.size, counts.dropped]).toEqual([2, 5]), patience);
		peer.prompt = true;
		for (const socket of peer.open) socket.end();
		await Promise.all(all);
		// The turns were given back.
		await Promise.all([peers.cancel(question), peers.cancel(question)]);
		expect(counts).toEqual({ sent: 4, failed: 0, dropped: 5 });
	});

	test('of one network leave room for others', async () => {
		const peer = await FakePeer.listen();
		peer.prompt = false;
		const { peers, counts } = watched([peer.peer], { limits: { ofNetworkMax: 3 } });
		const ask = (clientAddress: string): Promise<string> => peers.cancel({ ...question, clientAddress });
		const crowd = Array.from({ length: 10 }, (_, host) => ask(`2001:db8::${host + 1}`));
		const alone = ask('2001:db8:0:1::1');
		await vi.waitFor(() => expect(peer.asked).toHaveLength(4), patience);
		expect(counts.dropped).toBe(7);
		for (const socket of peer.open) socket.end();
		expect((await Promise.all(crowd)).filter((fate) => fate === 'passed')).toHaveLength(3);
		expect(await alone).toBe('passed');
	});

	test('of one network are so many at once and then so many a second', async () => {
		const peer = await FakePeer.listen();
		let nowMs = 1_000;
		const limits = { ofNetwork: { burst: 4, perSecond: 2 }, ofAll: { burst: 6, perSecond: 2 } };
		const { peers, counts } = watched([peer.peer], { limits, clock: () => nowMs });
		const ask = async (clientAddress: string, times: number): Promise<number> => {
			for (let time = 0; time < times; time += 1) await peers.cancel({ ...question, clientAddress });
			return counts.sent;
		};
		expect(await ask('192.0.2.1', 10)).toBe(4);
		expect(await ask('192.0.2.2', 10)).toBe(6);
		nowMs += 500;
		expect(await ask('192.0.2.1', 10)).toBe(7);
		expect(counts.dropped).toBe(23);
	});
});
