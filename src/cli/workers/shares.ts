/** A worker's side of shared pools: each keeps to the places that it was allotted, says when it wants more, and gives back what it does not need. */
import type { BackendConnection, connectBackend } from '../../backend/connection.ts';
import { askFor } from '../../backend/lease.ts';
import type { BackendPool, Lease, LeaseAsker, LeaseRequest, PoolBounds, PoolStats } from '../../backend/lease.ts';
import type { GatewayError } from '../../errors.ts';
import { type PlacesFromWorker, type PlacesToWorker, type ServerConnection, shareOf } from './place-messages.ts';

/** The way to the supervisor. */
export interface PlacesLink {
	readonly worker: number;
	readonly workers: number;
	send(message: PlacesFromWorker): void;
	onMessage(handler: (message: PlacesToWorker) => void): void;
}

/** A pool that says how many places are taken, those that are just being closed included. */
export type CountedPool = BackendPool & { readonly taken: number };

/** Asks the servers whether all of these are gone; rejects when it cannot be told. */
export type AreGone = (servers: readonly ServerConnection[]) => Promise<boolean>;

/** Between two looks at the pools. */
const lookMs = 20;
/** Looks for which a place has to have been unused before others may have it: else two busy workers take them from each other. */
const looksUnused = 5;

/** The pools of this worker. */
export class Shares {
	readonly #link: PlacesLink;
	readonly #pools = new Map<string, SharedPool>();
	readonly #timer: NodeJS.Timeout;

	constructor(link: PlacesLink) {
		this.#link = link;
		link.onMessage((message) => this.#pools.get(message.pool)?.receive(message));
		this.#timer = setInterval(() => {
			for (const pool of this.#pools.values()) pool.look();
		}, lookMs).unref();
	}

	/** Not yet filled with a pool. `name` is the same in all workers. */
	open(name: string, bounds: PoolBounds, areGone: AreGone): SharedPool {
		// One that is just let go may have the same name, when a change is taken back at once: they keep to one size together.
		let pool = name;
		for (let again = 1; this.#pools.has(pool); again += 1) pool = `${name} ${again}`;
		const shared = new SharedPool(pool, bounds, {
			book: name,
			link: this.#link,
			areGone,
			closed: () => this.#pools.delete(pool),
		});
		this.#pools.set(pool, shared);
		return shared;
	}

	close(): void {
		clearInterval(this.#timer);
	}
}

interface SharedParts {
	/** The same in all workers. */
	readonly book: string;
	readonly link: PlacesLink;
	readonly areGone: AreGone;
	readonly closed: () => void;
}

/** One pool as its worker sees it. `bounds` are those of all workers together. */
export class SharedPool implements BackendPool {
	readonly #name: string;
	readonly #parts: SharedParts;
	#bounds: PoolBounds;
	#pool: CountedPool | null = null;
	#places = 0;
	#reserve = 0;
	#leaving = false;
	/** Its share of the reserve is its own. */
	#reserved = false;
	#seq = 0;
	/** Places that were free at the last looks. */
	#free: number[] = [];
	#told = '';

	constructor(name: string, bounds: PoolBounds, parts: SharedParts) {
		this.#name = name;
		this.#bounds = bounds;
		this.#parts = parts;
	}

	/** What this worker has of them now: nothing at first. */
	get bounds(): PoolBounds {
		return { ...this.#bounds, size: this.#places, reserve: this.#reserve };
	}

	/** To dial with: the supervisor is told of every connection, so that it can tell what is left of this worker if it dies. */
	dialling(dial: typeof connectBackend): typeof connectBackend {
		return async (...args) => {
			const connection = await dial(...args);
			this.#tellOf(connection);
			return connection;
		};
	}

	/** From now on it is at work; `pool` was made with `bounds`. */
	fill(pool: CountedPool): this {
		this.#pool = pool;
		this.#open();
		return this;
	}

	lease(request: LeaseRequest): Promise<Lease> {
		return this.#inner.lease(request);
	}

	ask(request: LeaseRequest, asker: LeaseAsker): void {
		askFor(this.#inner, request, asker);
	}

	take(request: LeaseRequest): Lease | null {
		return this.#inner.take?.(request) ?? null;
	}

	get stats(): PoolStats {
		return this.#inner.stats;
	}

	get full(): boolean {
		const { full, stats } = this.#inner;
		return full ?? stats.leased + stats.connecting >= stats.size;
	}

	get retired(): GatewayError | null {
		return this.#inner.retired ?? null;
	}

	retire(error: GatewayError): void {
		this.#inner.retire(error);
		if (this.#leaving) return;
		this.#leaving = true;
		this.#open();
	}

	resize(bounds: PoolBounds): void {
		const { size } = this.#bounds;
		this.#bounds = bounds;
		this.#keepTo(this.#places, this.#reserved);
		if (size !== bounds.size) this.#open();
	}

	closeIdle(): void {
		this.#inner.closeIdle?.();
	}

	async close(): Promise<void> {
		await this.#inner.close();
		this.#send({ type: 'places-closed', pool: this.#name });
		this.#parts.closed();
	}

	receive(message: PlacesToWorker): void {
		switch (message.type) {
			case 'places-allot':
				this.#seq = message.seq;
				this.#keepTo(message.places, message.reserve);
				this.look();
				return;
			case 'places-ask':
				// Who wants some says so itself.
				if (this.#wanted() === 0) this.#tell(0);
				return;
			case 'places-check': {
				const { pool, id, servers } = message;
				this.#parts.areGone(servers).then(
					(gone) => this.#send({ type: 'places-checked', pool, id, gone }),
					// It is asked again.
					() => undefined,
				);
			}
		}
	}

	/** Tells the supervisor what has changed, and that it wants more, as long as it does. */
	look(): void {
		const wanted = this.#wanted();
		const { idle = 0 } = this.#inner.stats;
		this.#free.push(wanted > 0 ? 0 : this.#places - this.#inner.taken + idle);
		if (this.#free.length > looksUnused) this.#free.shift();
		if (wanted > 0 || this.#told !== `${this.#seq} ${this.#held}`) this.#tell(wanted);
	}

	/** It may be using so many. */
	get #held(): number {
		return Math.max(this.#places, this.#inner.taken - this.#reserve);
	}

	#wanted(): number {
		const { waiting, connecting, pinned } = this.#inner.stats;
		if (waiting === 0 || this.#inner.taken < this.#places) return 0;
		// In session mode those that are being connected wait no more.
		return pinned === undefined ? waiting : Math.max(0, waiting - connecting);
	}

	#tell(wanted: number): void {
		const seq = this.#seq;
		const held = this.#held;
		const unused = this.#free.length < looksUnused ? 0 : Math.min(...this.#free);
		const spare = Math.max(0, Math.min(unused, this.#places));
		this.#told = `${seq} ${held}`;
		this.#send({ type: 'places-state', pool: this.#name, seq, held, wanted, spare });
	}

	#keepTo(places: number, reserve: boolean): void {
		const { worker, workers } = this.#parts.link;
		if (places !== this.#places) this.#free = [];
		this.#places = places;
		this.#reserved = reserve;
		// In session mode there is no reserve.
		const any = reserve && this.#inner.stats.pinned !== undefined;
		this.#reserve = any ? shareOf(this.#bounds.reserve, worker, workers) : 0;
		this.#inner.resize(this.bounds);
	}

	#open(): void {
		const { size } = this.#bounds;
		this.#send({ type: 'places-open', pool: this.#name, book: this.#parts.book, size, leaving: this.#leaving });
	}

	#tellOf({ target, pid, socket }: BackendConnection): void {
		const { host, port } = target;
		const server = { host, port, pid };
		this.#send({ type: 'places-server', pool: this.#name, server, open: true });
		socket.once('close', () => this.#send({ type: 'places-server', pool: this.#name, server, open: false }));
	}

	#send(message: PlacesFromWorker): void {
		this.#parts.link.send(message);
	}

	get #inner(): CountedPool {
		if (this.#pool === null) throw new Error(`the pool ${this.#name} is not filled`);
		return this.#pool;
	}
}
