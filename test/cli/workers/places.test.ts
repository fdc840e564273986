/** The supervisor's book of places: parts, lending, taking back, deaths and other sizes, and that a size is never exceeded. */
import fc from 'fast-check';
import { expect, test, vi } from 'vitest';
import { type PlacesToWorker, shareOf } from '../../../src/cli/workers/place-messages.ts';
import { Places } from '../../../src/cli/workers/places.ts';

const log = { info: () => undefined, warn: () => undefined, error: () => undefined };

/** What a worker says of a pool that it has opened. */
const opened = (size: number, pool = 'p', leaving = false) =>
	({ type: 'places-open', pool, book: 'p', size, leaving }) as const;

/** A worker as the book sees it: keeps to what it is allotted as soon as it can. */
class Worker {
	/** Connections that it has. */
	used = 0;
	/** Clients that want one. */
	clients = 0;
	places = 0;
	reserve = false;
	seq = 0;

	get wanted(): number {
		return Math.max(0, this.clients - this.places);
	}

	get spare(): number {
		return Math.max(0, this.places - this.clients);
	}
}

class House {
	readonly workers = new Map<number, Worker>();
	readonly places: Places;
	nowMs = 0;
	size: number;
	readonly checks: { worker: number; id: number; pids: number[] }[] = [];
	/** On its way to the workers, in order for each. */
	readonly mail: { to: Worker; number: number; message: PlacesToWorker }[] = [];

	constructor(count: number, size: number) {
		this.size = size;
		this.places = new Places({
			workers: count,
			log,
			now: () => this.nowMs,
			send: (number, message) => {
				const to = this.workers.get(number);
				if (to !== undefined) this.mail.push({ to, number, message });
			},
		});
		for (let number = 1; number <= count; number += 1) this.start(number);
		this.settle();
	}

	get total(): number {
		return [...this.workers.values()].reduce((sum, { used }) => sum + used, 0);
	}

	of(number: number): Worker {
		const worker = this.workers.get(number);
		if (worker === undefined) throw new Error(`no worker ${number}`);
		return worker;
	}

	start(number: number): void {
		this.workers.set(number, new Worker());
		this.places.receive(number, opened(this.size));
	}

	die(number: number): Worker {
		const worker = this.of(number);
		this.workers.delete(number);
		this.places.left(number);
		return worker;
	}

	deliver(): void {
		const post = this.mail.shift();
		if (post === undefined || this.workers.get(post.number) !== post.to) return;
		const { to, number, message } = post;
		if (message.type === 'places-allot') {
			to.places = message.places;
			to.reserve = message.reserve;
			to.seq = message.seq;
		} else if (message.type === 'places-check') {
			this.checks.push({ worker: number, id: message.id, pids: message.servers.map(({ pid }) => pid) });
			return;
		} else if (to.wanted > 0) return;
		this.look(number);
	}

	/** Connects and disconnects as it may, and says how it is. */
	look(number: number): void {
		const worker = this.of(number);
		worker.used = Math.max(Math.min(worker.clients, worker.places), Math.min(worker.used, worker.clients));
		const { seq, wanted, spare } = worker;
		const held = Math.max(worker.places, worker.used);
		this.places.receive(number, { type: 'places-state', pool: 'p', seq, held, wanted, spare });
	}

	/** Somebody is asked for the connections of a worker that died. */
	async nextCheck(): Promise<void> {
		const had = this.checks.length;
		await vi.waitFor(() => {
			for (let left = 100; this.mail.length > 0 && left > 0; left -= 1) this.deliver();
			expect(this.checks.length).toBeGreaterThan(had);
		}, 30_000);
	}

	/** Until nobody has anything to say. */
	settle(rounds = 5): void {
		for (let round = 0; round < rounds; round += 1) {
			for (const number of this.workers.keys()) this.look(number);
			for (let left = 10_000; this.mail.length > 0 && left > 0; left -= 1) this.deliver();
			this.nowMs += 20;
		}
	}
}

test('each begins with its part, the first with what is left over', () => {
	const house = new House(3, 8);
	expect([1, 2, 3].map((number) => house.of(number).places)).toEqual([3, 3, 2]);
	expect([1, 2, 3].map((worker) => shareOf(2, worker, 3))).toEqual([1, 1, 0]);
	expect(house.of(3).reserve).toBe(true);
});

test('who lacks places gets those that others do not need, and gives them back when those do', () => {
	const house = new House(2, 6);
	house.of(1).clients = 6;
	house.settle();
	expect([house.of(1).used, house.of(2).places]).toEqual([6, 0]);
	house.of(2).clients = 2;
	house.settle();
	// Their connections are in use: they come back as they are given back.
	expect([house.of(1).places, house.of(2).places]).toEqual([4, 0]);
	house.of(1).clients = 5;
	house.settle();
	expect([house.of(1).places, house.of(2).places]).toEqual([4, 1]);
	house.of(1).clients = 4;
	house.settle();
	expect([house.of(1).used, house.of(2).used]).toEqual([4, 2]);
});

test('when everybody wants all of them, each has its part', () => {
	const house = new House(3, 9);
	house.of(2).clients = 9;
	house.settle();
	expect(house.of(2).used).toBe(9);
	for (const number of [1, 2, 3]) house.of(number).clients = 20;
	// Those that have one use it for a while.
	for (let turn = 0; turn < 20; turn += 1) {
		for (const worker of house.workers.values()) worker.used = Math.min(worker.used, worker.places);
		house.settle(1);
	}
	expect([1, 2, 3].map((number) => house.of(number).used)).toEqual([3, 3, 3]);
});

test('fewer places than workers go round', () => {
	const house = new House(2, 1);
	for (const number of [1, 2]) house.of(number).clients = 5;
	const had = new Set<number>();
	for (let turn = 0; turn < 100; turn += 1) {
		house.settle(1);
		for (const [number, worker] of house.workers) {
			if (worker.used > 0) had.add(number);
			worker.used = Math.min(worker.used, worker.places);
		}
		expect(house.total).toBeLessThanOrEqual(1);
	}
	expect(had).toEqual(new Set([1, 2]));
});

test('places of a worker that died count until its connections are gone, and so does its reserve', async () => {
	const house = new House(2, 4);
	house.of(1).clients = 2;
	house.settle();
	const server = { host: 'db', port: 5432, pid: 77 };
	house.places.receive(1, { type: 'places-server', pool: 'p', server, open: true });
	house.die(1);
	house.start(1);
	house.of(1).clients = 4;
	house.of(2).clients = 4;
	house.settle();
	// Nobody is left without any: one of the other's comes, when it is done with it.
	expect([house.of(1).places, house.of(2).places]).toEqual([0, 1]);
	house.of(2).used = 1;
	house.settle();
	expect([house.of(1).used, house.of(2).used]).toEqual([1, 1]);
	expect([house.of(1).reserve, house.of(2).reserve]).toEqual([false, true]);

	await house.nextCheck();
	expect(house.checks.at(-1)?.pids).toEqual([77]);
	house.places.receive(2, { type: 'places-checked', pool: 'p', id: house.checks.at(-1)?.id ?? 0, gone: false });
	house.settle();
	expect(house.total).toBe(2);
	await house.nextCheck();
	house.places.receive(2, { type: 'places-checked', pool: 'p', id: house.checks.at(-1)?.id ?? 0, gone: true });
	house.settle();
	expect([house.of(1).used, house.of(2).used]).toEqual([2, 2]);
	expect(house.of(1).reserve).toBe(true);
	house.places.close();
});

test('a smaller size holds at once, a larger one when all have read it', () => {
	const house = new House(2, 6);
	for (const number of [1, 2]) house.of(number).clients = 3;
	house.settle();
	house.places.receive(1, opened(2));
	house.settle();
	expect([house.of(1).places, house.of(2).places]).toEqual([1, 1]);
	for (const worker of house.workers.values()) worker.used = Math.min(worker.used, worker.places);
	house.settle();
	house.places.receive(2, opened(2));
	house.places.receive(1, opened(8));
	house.settle();
	expect(house.total).toBe(2);
	house.places.receive(2, opened(8));
	house.settle();
	expect([house.of(1).used, house.of(2).used]).toEqual([3, 3]);
});

test('a pool that is let go and the one that takes its place keep to the size together', () => {
	const house = new House(2, 4);
	for (const number of [1, 2]) house.of(number).clients = 2;
	house.settle();
	/** The last word to each pool. */
	const allotted: Record<string, { places: number; seq: number; reserve: boolean }> = {};
	const hear = (): Record<string, unknown> => {
		for (const { number, message } of house.mail.splice(0))
			if (message.type === 'places-allot') allotted[`${number} ${message.pool}`] = message;
		return Object.fromEntries(
			Object.entries(allotted).map(([pool, { places, reserve }]) => [pool, reserve ? places : [places]]),
		);
	};
	const says = (worker: number, pool: string, held: number, wanted = 0): void => {
		const { seq = 0 } = allotted[`${worker} ${pool}`] ?? {};
		house.places.receive(worker, { type: 'places-state', pool, seq, held, wanted, spare: 0 });
	};
	// Moved, and moved back at once: worker 1 has clients in the former one still, worker 2 has none and the same name again.
	house.places.receive(1, opened(4, 'p', true));
	house.places.receive(1, opened(4, 'p 1'));
	expect(hear()).toEqual({ '1 p': [0], '1 p 1': [0] });
	house.places.receive(2, { type: 'places-closed', pool: 'p' });
	house.places.receive(2, opened(4));
	expect(hear()).toEqual({ '1 p': [0], '1 p 1': [2], '2 p': 0 });
	says(1, 'p', 1);
	expect(hear()).toEqual({ '1 p': [0], '1 p 1': [2], '2 p': 1 });
	says(2, 'p', 1, 3);
	expect(hear()).toEqual({ '1 p': [0], '1 p 1': [2], '2 p': 1 });
	house.places.receive(1, { type: 'places-closed', pool: 'p' });
	expect(hear()).toEqual({ '1 p': [0], '1 p 1': 2, '2 p': 2 });
	house.places.close();
});

test('whatever happens in whatever order, the size is never exceeded, and in the end nothing is lost', () => {
	const step = fc.oneof(
		fc.record({ type: fc.constant('clients' as const), worker: fc.integer({ min: 1, max: 3 }), count: fc.nat(12) }),
		fc.record({ type: fc.constant('deliver' as const), count: fc.nat(5) }),
		fc.record({ type: fc.constant('look' as const), worker: fc.integer({ min: 1, max: 3 }) }),
		fc.record({ type: fc.constant('wait' as const), ms: fc.nat(300) }),
		fc.record({ type: fc.constant('restart' as const), worker: fc.integer({ min: 1, max: 3 }) }),
	);
	fc.assert(
		fc.property(fc.integer({ min: 1, max: 10 }), fc.array(step, { maxLength: 80 }), (size, steps) => {
			const house = new House(3, size);
			for (const one of steps) {
				if (one.type === 'clients') house.of(one.worker).clients = one.count;
				else if (one.type === 'deliver') for (let n = 0; n < one.count; n += 1) house.deliver();
				else if (one.type === 'look') house.look(one.worker);
				else if (one.type === 'wait') house.nowMs += one.ms;
				else {
					// In good order: it has closed its pool before.
					house.places.receive(one.worker, { type: 'places-closed', pool: 'p' });
					house.die(one.worker);
					house.start(one.worker);
				}
				expect(house.total).toBeLessThanOrEqual(size);
			}
			for (const worker of house.workers.values()) worker.clients = 0;
			house.settle();
			house.of(2).clients = size;
			house.settle(10);
			expect(house.of(2).used).toBe(size);
			house.places.close();
		}),
		{ numRuns: 300 },
	);
});
