/** The supervisor's book of places: which worker may have how many connections of each pool, never more together than its size. */
import type { SessionLog } from '../../session/services.ts';
import { type PlacesFromWorker, type PlacesToWorker, type ServerConnection, shareOf } from './place-messages.ts';

export interface PlacesOptions {
	readonly workers: number;
	/** To the worker of that number; does nothing when it is gone. */
	readonly send: (worker: number, message: PlacesToWorker) => void;
	readonly log: SessionLog;
	/** Milliseconds; missing: performance.now. */
	readonly now?: () => number;
}

/** A wish is forgotten when it is not said again. */
const wishMs = 200;
/** Between two questions who can spare a place. */
const askMs = 10;
/** How long a worker without any place has to see others use theirs, where there are fewer places than workers. */
const turnMs = 100;
/** Between two looks for the connections of a worker that died, and how long nobody can look before they are taken for gone. */
const checkMs = 250;
const checkMsMax = 60_000;

interface Member {
	readonly worker: number;
	/** As the worker calls it. */
	readonly pool: string;
	/** Of the pool, as this worker has read it. */
	size: number;
	/** It is let go: another one of the same worker may have taken its place. */
	leaving: boolean;
	/** It may be using so many. */
	held: number;
	/** It was told to keep to so many. */
	target: number;
	seq: number;
	wanted: number;
	wishedMs: number;
	/** When it was last given one. */
	givenMs: number;
	readonly servers: Map<string, ServerConnection>;
	/** It has to be told. */
	changed: boolean;
}

/** Places of a worker that died, until the server has seen that. */
interface Orphan {
	readonly worker: number;
	readonly places: number;
	readonly servers: readonly ServerConnection[];
	readonly sinceMs: number;
	/** Of the question that is under way. */
	id: number;
}

interface Book {
	readonly name: string;
	readonly members: Set<Member>;
	readonly orphans: Set<Orphan>;
	/** When it was last asked who can spare a place. */
	askedMs: number;
}

export class Places {
	readonly #options: PlacesOptions;
	readonly #now: () => number;
	readonly #books = new Map<string, Book>();
	#lastId = 0;
	#timer: NodeJS.Timeout | null = null;

	constructor(options: PlacesOptions) {
		this.#options = options;
		this.#now = options.now ?? (() => performance.now());
	}

	receive(worker: number, message: PlacesFromWorker): void {
		const found =
			this.#find(worker, message.pool) ?? (message.type === 'places-open' ? this.#add(worker, message) : null);
		if (found === null) return;
		const { book, member } = found;
		switch (message.type) {
			case 'places-open':
				this.#open(book, member, message);
				break;
			case 'places-state':
				this.#hear(book, member, message);
				break;
			case 'places-server': {
				const { server, open } = message;
				const key = JSON.stringify(server);
				if (open) member.servers.set(key, server);
				else member.servers.delete(key);
				return;
			}
			case 'places-closed':
				book.members.delete(member);
				this.#returnReserve(book, worker);
				break;
			case 'places-checked':
				if (message.gone) for (const orphan of book.orphans) if (orphan.id === message.id) this.#forget(book, orphan);
				break;
		}
		this.#settle(book);
	}

	/** The worker has died, or ended. What it had at its end counts until the server has closed it. */
	left(worker: number): void {
		const sinceMs = this.#now();
		for (const book of this.#books.values()) {
			const own = [...book.members].filter((member) => member.worker === worker);
			if (own.length === 0) continue;
			for (const member of own) {
				book.members.delete(member);
				const { held: places, servers } = member;
				book.orphans.add({ worker, places, servers: [...servers.values()], sinceMs, id: 0 });
			}
			this.#settle(book);
		}
		this.#timer ??= setInterval(() => this.#lookForOrphans(), checkMs).unref();
	}

	close(): void {
		if (this.#timer !== null) clearInterval(this.#timer);
	}

	#find(worker: number, pool: string): { readonly book: Book; readonly member: Member } | null {
		for (const book of this.#books.values())
			for (const member of book.members) if (member.worker === worker && member.pool === pool) return { book, member };
		return null;
	}

	#add(
		worker: number,
		{ pool, book: name, size }: Extract<PlacesFromWorker, { type: 'places-open' }>,
	): { readonly book: Book; readonly member: Member } {
		let book = this.#books.get(name);
		if (book === undefined) {
			book = { name, members: new Set(), orphans: new Set(), askedMs: Number.NEGATIVE_INFINITY };
			this.#books.set(name, book);
		}
		const fresh = { held: 0, target: 0, seq: 0, wanted: 0, wishedMs: 0, givenMs: 0, changed: true };
		const member: Member = { ...fresh, worker, pool, size, leaving: false, servers: new Map() };
		book.members.add(member);
		return { book, member };
	}

	#open(book: Book, member: Member, { size, leaving }: Extract<PlacesFromWorker, { type: 'places-open' }>): void {
		member.size = size;
		if (member.leaving || !leaving) return;
		member.leaving = true;
		// What it has beyond that it gives back by and by.
		this.#allot(member, 0);
		this.#returnReserve(book, member.worker);
	}

	#hear(book: Book, member: Member, message: Extract<PlacesFromWorker, { type: 'places-state' }>): void {
		const { seq, held, wanted, spare } = message;
		// It has not heard of the last allotment, and says how things are as soon as it has.
		if (seq !== member.seq) return;
		member.held = held;
		member.wanted = wanted;
		member.wishedMs = this.#now();
		const lacking = this.#lacking(book);
		if (wanted === 0) {
			if (spare > 0 && lacking > 0) {
				this.#allot(member, Math.max(0, member.target - Math.min(spare, lacking)));
			}
			return;
		}
		if (lacking === 0 || this.#now() - book.askedMs < askMs) return;
		book.askedMs = this.#now();
		for (const { worker, pool, target } of book.members)
			if (worker !== member.worker && target > 0) this.#options.send(worker, { type: 'places-ask', pool });
	}

	#settle(book: Book): void {
		const members = [...book.members];
		if (members.length > 0) {
			this.#shrink(book, members);
			this.#give(book, members);
			this.#takeBack(book, members);
			this.#tell(book);
		} else if (book.orphans.size === 0) this.#books.delete(book.name);
	}

	/** What is free goes to those that want it, and then to those that have less than their part. */
	#give(book: Book, members: readonly Member[]): void {
		for (let free = this.#free(book); free > 0; free -= 1) {
			const [next] = members
				.filter((one) => this.#wishOf(one) > 0 || one.target < this.#partOf(book, one))
				.sort(
					(one, other) =>
						Math.sign(this.#wishOf(other)) - Math.sign(this.#wishOf(one)) ||
						this.#surplusOf(book, one) - this.#surplusOf(book, other) ||
						one.givenMs - other.givenMs,
				);
			if (next === undefined) return;
			next.givenMs = this.#now();
			if (next.wanted > 0) next.wanted -= 1;
			this.#allot(next, next.target + 1);
		}
	}

	/** Where the pool was made smaller. */
	#shrink(book: Book, members: readonly Member[]): void {
		const over = sum(members, ({ target }) => target) - sizeOf(book);
		for (let left = over; left > 0; left -= 1) this.#takeOne(book, ({ target }) => target > 0);
	}

	/** Who lacks what is theirs gets it from those that have more, as soon as these are done with it. */
	#takeBack(book: Book, members: readonly Member[]): void {
		const turnOver = this.#now() - turnMs;
		const isOver = ({ target, givenMs }: Member): boolean => target > 1 || (target === 1 && givenMs <= turnOver);
		for (const member of members) {
			const wish = this.#wishOf(member);
			if (wish === 0) continue;
			const due = Math.min(this.#partOf(book, member) - member.target, wish) - this.#coming(book);
			for (let more = Math.min(due, this.#lacking(book)); more > 0; more -= 1)
				if (!this.#takeOne(book, (one) => one.target > this.#partOf(book, one) && isOver(one))) break;
			// There are fewer places than workers, or those of a worker that died are not back: nobody is left without any.
			if (member.held === 0 && this.#coming(book) === 0 && this.#lacking(book) > 0) this.#takeOne(book, isOver);
		}
	}

	/** From the one that has most beyond its part, of those that may give. False: none may. */
	#takeOne(book: Book, may: (one: Member) => boolean): boolean {
		const [donor] = [...book.members]
			.filter(may)
			.sort((one, other) => this.#surplusOf(book, other) - this.#surplusOf(book, one));
		if (donor !== undefined) this.#allot(donor, donor.target - 1);
		return donor !== undefined;
	}

	#allot(member: Member, places: number): void {
		member.target = places;
		member.held = Math.max(member.held, places);
		member.changed = true;
	}

	/** Those that have another number of places now; what they say from here on is of that. */
	#tell(book: Book): void {
		const { members, orphans } = book;
		for (const member of members) {
			if (!member.changed) continue;
			member.changed = false;
			member.seq += 1;
			const { worker, pool, seq, target: places, leaving } = member;
			const reserve =
				!leaving &&
				![...orphans].some((orphan) => orphan.worker === worker) &&
				![...members].some((other) => other.leaving && other.worker === worker);
			this.#options.send(worker, { type: 'places-allot', pool, seq, places, reserve });
		}
	}

	#wishOf({ wanted, wishedMs }: Member): number {
		return this.#now() - wishedMs <= wishMs ? wanted : 0;
	}

	#partOf(book: Book, { worker, leaving }: Member): number {
		return leaving ? 0 : shareOf(sizeOf(book), worker, this.#options.workers);
	}

	/** What it has beyond its part, which is one at least for who wants one; below zero where it has less. */
	#surplusOf(book: Book, member: Member): number {
		return member.target - Math.max(this.#partOf(book, member), Math.sign(this.#wishOf(member)));
	}

	/** Places that are on their way back. */
	#coming({ members }: Book): number {
		return sum([...members], ({ held, target }) => held - target);
	}

	/** Places that nobody has; below zero after the pool was made smaller. */
	#free(book: Book): number {
		const held = sum([...book.members], (one) => one.held);
		return sizeOf(book) - held - sum([...book.orphans], ({ places }) => places);
	}

	/** Wished for, and neither free nor on its way back. */
	#lacking(book: Book): number {
		const wished = sum([...book.members], (one) => this.#wishOf(one));
		return Math.max(0, wished - Math.max(0, this.#free(book)) - this.#coming(book));
	}

	#lookForOrphans(): void {
		let left = 0;
		for (const book of this.#books.values()) {
			for (const orphan of book.orphans) {
				left += 1;
				const { servers, sinceMs, worker } = orphan;
				if (this.#now() - sinceMs > checkMsMax) {
					this.#options.log.warn({ worker }, 'nobody can tell whether connections of a worker that died are closed');
					this.#forget(book, orphan);
					continue;
				}
				const [asked] = book.members;
				if (asked === undefined) continue;
				this.#lastId += 1;
				orphan.id = this.#lastId;
				this.#options.send(asked.worker, { type: 'places-check', pool: asked.pool, id: orphan.id, servers });
			}
			this.#settle(book);
		}
		if (left > 0 || this.#timer === null) return;
		clearInterval(this.#timer);
		this.#timer = null;
	}

	#forget(book: Book, orphan: Orphan): void {
		book.orphans.delete(orphan);
		this.#returnReserve(book, orphan.worker);
	}

	/** It may be the successor's now. */
	#returnReserve({ members }: Book, worker: number): void {
		for (const member of members) if (member.worker === worker) member.changed = true;
	}
}

/** While a reload is under way some workers have read the new number and some have not: the smaller one holds. */
function sizeOf({ members }: Book): number {
	const all = [...members];
	const staying = all.filter(({ leaving }) => !leaving);
	return Math.min(...(staying.length > 0 ? staying : all).map(({ size }) => size));
}

function sum<T>(of: readonly T[], value: (one: T) => number): number {
	return of.reduce((total, one) => total + value(one), 0);
}
