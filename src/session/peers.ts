/** Hands cancel requests that nobody in this gateway knows on to the other gateways (`listen.peers`), each of which may have the session. */
import { type LookupAddress, lookup as systemLookup } from 'node:dns';
import { isIP } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { networkOf } from '../auth/failures.ts';
import { type DialTarget, dial } from '../backend/dial.ts';
import { encodeForwardedCancel, ownKeyLengths } from '../wire/peer-cancel.ts';
import type { CancelFate, CancelQuestion, KeysElsewhere } from './cancelling.ts';
import { Crowds } from './crowds.ts';
import { type Allowance, RecordBudget } from './record-budget.ts';

/** Where another gateway listens. A name with several addresses stands for as many gateways. */
export type Peer = Pick<DialTarget, 'host' | 'port' | 'tls'>;

/** Limits of what strangers may cause: whoever sends a cancel request need not have signed in. */
export const PEER_LIMITS = {
	/** Addresses that one name may lead to. */
	addressesMax: 32,
	/** Requests under way or waiting for their turn: of one network (an address, or /64 of IPv6), and of all together. */
	ofNetworkMax: 200,
	waitingMax: 1_000,
	/** Connections to one peer at a time. */
	atOnceMax: 32,
	/** Requests of one network, and of all together: so many at once, and then so many a second. */
	ofNetwork: { burst: 500, perSecond: 100 },
	ofAll: { burst: 2_000, perSecond: 400 },
	/** Waiting for a connection to be free. */
	turnTimeoutMs: 2_000,
	/** TCP and TLS to a peer. */
	connectTimeoutMs: 2_000,
	/** The peer's work: longer than what it gives its own request to the server (BACKEND_LIMITS.cancelTimeoutMs). */
	answerTimeoutMs: 6_000,
	/** How long what a name leads to is used again. */
	lookupKeepMs: 5_000,
} as const;

/** What became of a request and one peer, or of a request for which no peer was asked. */
export type PeerResult = 'sent' | 'failed' | 'dropped';

export interface CancelPeersOptions {
	readonly peers: readonly Peer[];
	readonly count: (result: PeerResult) => void;
	/** A peer does not answer, or does again (null); once for each change. */
	readonly onState: (peer: string, problem: string | null) => void;
	/** Default: PEER_LIMITS. */
	readonly limits?: Partial<Limits>;
	/** Every address of a name. Default: the system's. */
	readonly lookup?: (host: string) => Promise<readonly string[]>;
	/** Milliseconds; default: performance.now. */
	readonly clock?: () => number;
}

type Limits = { readonly [Name in keyof typeof PEER_LIMITS]: Name extends 'ofNetwork' | 'ofAll' ? Allowance : number };

/** Never says whether a peer knew a key: peers do not tell, because anybody can ask them. */
export class CancelPeers implements KeysElsewhere {
	readonly #links: readonly PeerLink[];
	readonly #options: CancelPeersOptions;
	readonly #crowds: Crowds;
	readonly #budget: RecordBudget;
	readonly #clock: () => number;
	readonly #limits: Limits;
	#waiting = 0;
	#drainedMs = 0;

	constructor(options: CancelPeersOptions) {
		this.#options = options;
		this.#clock = options.clock ?? (() => performance.now());
		this.#limits = { ...PEER_LIMITS, ...options.limits };
		this.#crowds = new Crowds(this.#limits.ofNetworkMax);
		this.#budget = new RecordBudget(this.#limits.ofNetwork, this.#limits.ofAll);
		this.#links = options.peers.map((peer) => new PeerLink(peer, this.#limits, options, this.#clock));
	}

	/** Resolves when every peer has closed its connection, which it does when the request has reached the server, or when its time is up. */
	async cancel(question: CancelQuestion): Promise<CancelFate> {
		const { key, forwarded, clientAddress } = question;
		// A key that no gateway has given out is not worth asking for.
		if (forwarded || !ownKeyLengths.includes(key.length) || this.#links.length === 0) return 'unknown';
		const leave = this.#enter(networkOf(clientAddress));
		if (leave === null) {
			this.#options.count('dropped');
			return 'unknown';
		}
		try {
			const packet = encodeForwardedCancel(question);
			await Promise.all(this.#links.map((link) => link.send(packet)));
			return 'passed';
		} finally {
			leave();
		}
	}

	/** Whether one of the peers is there. What a name leads to is looked up anew now and then. */
	async isPeer(address: string): Promise<boolean> {
		const all = await Promise.all(this.#links.map((link) => link.addresses().catch(() => [])));
		return all.flat().some((known) => plain(known) === plain(address));
	}

	/** Null: there are too many, or too often. Else what to call at the end. */
	#enter(network: string): (() => void) | null {
		const nowMs = this.#clock();
		if (nowMs - this.#drainedMs > 60_000) {
			this.#drainedMs = nowMs;
			this.#budget.drain(nowMs);
		}
		if (this.#waiting >= this.#limits.waitingMax || !this.#budget.take(network, nowMs)) return null;
		const leave = this.#crowds.enter(network);
		if (leave === null) return null;
		this.#waiting += 1;
		return () => {
			this.#waiting -= 1;
			leave();
		};
	}
}

type LinkOptions = Pick<CancelPeersOptions, 'count' | 'onState' | 'lookup'>;

/** The way to one peer, or to all gateways that go by one name. */
class PeerLink {
	readonly #peer: Peer;
	readonly #limits: Limits;
	readonly #options: LinkOptions;
	readonly #clock: () => number;
	readonly #turns: (() => void)[] = [];
	#busy = 0;
	#known: { readonly atMs: number; readonly addresses: Promise<readonly string[]> } | null = null;
	/** Addresses that did not answer the last time, and the name if it led nowhere. */
	readonly #down = new Set<string>();

	constructor(peer: Peer, limits: Limits, options: LinkOptions, clock: () => number) {
		this.#peer = peer;
		this.#limits = limits;
		this.#options = options;
		this.#clock = clock;
	}

	/** Rejects when the name leads nowhere. */
	addresses(): Promise<readonly string[]> {
		const { host } = this.#peer;
		if (isIP(host) !== 0) return Promise.resolve([host]);
		const nowMs = this.#clock();
		if (this.#known === null || nowMs - this.#known.atMs >= this.#limits.lookupKeepMs) {
			const addresses = this.#lookUp(host);
			addresses.catch(() => undefined);
			this.#known = { atMs: nowMs, addresses };
		}
		return this.#known.addresses;
	}

	/** Never rejects: a peer that is not there has no session that could be meant. */
	async send(packet: Buffer): Promise<void> {
		const { host } = this.#peer;
		let addresses: readonly string[];
		try {
			addresses = await this.addresses();
		} catch (error) {
			this.#failed(host, error);
			return;
		}
		if (isIP(host) === 0) this.#is(host, null);
		await Promise.all(addresses.map((address) => this.#sendTo(address, packet)));
	}

	async #lookUp(host: string): Promise<readonly string[]> {
		const timer = new AbortController();
		const { connectTimeoutMs, addressesMax } = this.#limits;
		const late = sleep(connectTimeoutMs, undefined, { signal: timer.signal, ref: false }).then(() => {
			throw new Error('the lookup of its name takes too long');
		});
		try {
			const all = await Promise.race([(this.#options.lookup ?? lookupAll)(host), late]);
			for (const address of this.#down) if (address !== host && !all.includes(address)) this.#down.delete(address);
			return all.slice(0, addressesMax);
		} finally {
			late.catch(() => undefined);
			timer.abort();
		}
	}

	async #sendTo(address: string, packet: Buffer): Promise<void> {
		if (!(await this.#turn())) {
			this.#options.count('dropped');
			return;
		}
		try {
			await this.#deliver(address, packet);
			this.#options.count('sent');
			this.#is(address, null);
		} catch (error) {
			this.#failed(address, error);
		} finally {
			this.#passTurn();
		}
	}

	async #deliver(address: string, packet: Buffer): Promise<void> {
		const { connectTimeoutMs, answerTimeoutMs } = this.#limits;
		const ends = new AbortController();
		const late = (): void => ends.abort(new Error('it does not answer'));
		let timer = setTimeout(late, connectTimeoutMs);
		try {
			const { channel } = await dial({ ...this.#peer, address }, ends.signal);
			clearTimeout(timer);
			timer = setTimeout(late, answerTimeoutMs);
			await new Promise<void>((resolve) => {
				channel.attach({ data: () => undefined, closed: () => resolve() });
				channel.socket.write(packet);
			});
			ends.signal.throwIfAborted();
		} finally {
			clearTimeout(timer);
		}
	}

	/** False: none was to be had in time. */
	#turn(): Promise<boolean> {
		if (this.#busy < this.#limits.atOnceMax) {
			this.#busy += 1;
			return Promise.resolve(true);
		}
		return new Promise((resolve) => {
			const mine = (): void => {
				clearTimeout(timer);
				resolve(true);
			};
			const timer = setTimeout(() => {
				this.#turns.splice(this.#turns.indexOf(mine), 1);
				resolve(false);
			}, this.#limits.turnTimeoutMs);
			this.#turns.push(mine);
		});
	}

	#passTurn(): void {
		const next = this.#turns.shift();
		if (next === undefined) this.#busy -= 1;
		else next();
	}

	#failed(where: string, error: unknown): void {
		this.#options.count('failed');
		const words = error instanceof Error ? error.message : String(error);
		this.#is(where, words.replace('cannot connect to the database server: ', '').replace('the database server', 'it'));
	}

	/** Told once for each change. */
	#is(where: string, problem: string | null): void {
		if ((problem !== null) === this.#down.has(where)) return;
		if (problem === null) this.#down.delete(where);
		else this.#down.add(where);
		const { host, port } = this.#peer;
		const name = `${host}:${port}`;
		this.#options.onState(where === host ? name : `${name} (${where})`, problem);
	}
}

function lookupAll(host: string): Promise<readonly string[]> {
	return new Promise((resolve, reject) => {
		systemLookup(host, { all: true }, (error, found: LookupAddress[]) => {
			if (error === null) resolve(found.map(({ address }) => address));
			else reject(new Error(`its name leads nowhere (${error.code ?? error.message})`));
		});
	});
}

/** An IPv4 address that is written as IPv6, as IPv4. */
function plain(address: string): string {
	return address.toLowerCase().replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/, '');
}
