/** How many sessions the other workers have, of each user and each database: told by each login and each end. */
import type { SessionsElsewhere } from '../../session/admission.ts';
import type { WorkerBus } from './bus.ts';

const loginTopic = 'session';
const allTopic = 'sessions';

interface Told {
	readonly user: string;
	readonly database: string;
	/** 1: one more; -1: one less. */
	readonly by: 1 | -1;
}

type Counts = Map<string, number>;

/** Of one other worker. */
interface Tally {
	readonly users: Counts;
	readonly databases: Counts;
}

/** Two logins at two workers at the same moment may both be let in where there is room for one: nobody waits for the others. */
export class SharedCounts implements SessionsElsewhere {
	readonly #bus: WorkerBus;
	readonly #own: Tally = { users: new Map(), databases: new Map() };
	readonly #others = new Map<number, Tally>();

	constructor(bus: WorkerBus) {
		this.#bus = bus;
		bus.on(loginTopic, (message, from) => {
			const tally = this.#others.get(from) ?? { users: new Map(), databases: new Map() };
			this.#others.set(from, tally);
			count(tally, message as Told);
		});
		bus.on(allTopic, (message, from) => {
			const { users, databases } = message as { users: [string, number][]; databases: [string, number][] };
			this.#others.set(from, { users: new Map(users), databases: new Map(databases) });
		});
		bus.onLeft((worker) => this.#others.delete(worker));
		// Who has just come knows of nobody.
		bus.onJoined(() => {
			const { users, databases } = this.#own;
			if (users.size > 0) bus.tell(allTopic, { users: [...users], databases: [...databases] });
		});
	}

	ofUser(user: string): number {
		return this.#sum(({ users }) => users.get(user) ?? 0);
	}

	inDatabase(database: string): number {
		return this.#sum(({ databases }) => databases.get(database) ?? 0);
	}

	get all(): number {
		return this.#sum(({ users }) => [...users.values()].reduce((total, one) => total + one, 0));
	}

	tell(user: string, database: string, by: 1 | -1): void {
		const told: Told = { user, database, by };
		count(this.#own, told);
		this.#bus.tell(loginTopic, told);
	}

	#sum(value: (tally: Tally) => number): number {
		let total = 0;
		for (const tally of this.#others.values()) total += value(tally);
		return total;
	}
}

function count({ users, databases }: Tally, { user, database, by }: Told): void {
	add(users, user, by);
	add(databases, database, by);
}

function add(counts: Counts, name: string, by: number): void {
	const now = (counts.get(name) ?? 0) + by;
	if (now <= 0) counts.delete(name);
	else counts.set(name, now);
}
