/** Counts the sessions of each user and of each database, and refuses those that would be too many. */
import { GatewayError } from '../errors.ts';

/** How many sessions each may have; 0: as many as there is room for. */
export interface AdmissionLimits {
	readonly perUser: (user: string) => number;
	readonly perDatabase: (database: string) => number;
	/** Of all, over all processes; where there is one, whoever takes its connections sees to that. */
	readonly all?: number;
}

/** Somebody who asks for a place, and how many there may be; 0: as many as there is room for. */
export interface Entering {
	readonly user: string;
	readonly database: string;
	readonly userMax: number;
	readonly databaseMax: number;
	readonly allMax: number;
}

/** Of what there are as many as there may be. */
export type Full = 'user' | 'database' | 'all';

/** Sessions of the same gateway in all of its processes. */
export interface SessionsElsewhere {
	/** Of all users, in the other processes. */
	readonly all: number;
	/** Takes a place. Resolves with what is full, or null: then it is taken. Rejects with FATAL 57P03 when nobody can tell. */
	enter(entering: Entering): Promise<Full | null>;
	/** Gives back a place that was taken here. */
	leave(user: string, database: string): void;
}

/** Sessions that are signing in count from the moment that it is known who they are. */
export class Admission {
	readonly #limits: AdmissionLimits;
	readonly #elsewhere: SessionsElsewhere | null;
	readonly #users = new Map<string, number>();
	readonly #databases = new Map<string, number>();

	constructor(limits: AdmissionLimits, elsewhere: SessionsElsewhere | null = null) {
		this.#limits = limits;
		this.#elsewhere = elsewhere;
	}

	/** Sessions in other processes. */
	get elsewhere(): number {
		return this.#elsewhere?.all ?? 0;
	}

	/**
	 * Takes a place. Resolves with how to give it back, once. Rejects with FATAL 53300, in PostgreSQL's words, when there is none, and
	 * 57P03 when that cannot be told.
	 */
	async enter(user: string, database: string): Promise<() => void> {
		const [databaseMax, userMax] = [this.#limits.perDatabase(database), this.#limits.perUser(user)];
		const entering: Entering = { user, database, userMax, databaseMax, allMax: this.#limits.all ?? 0 };
		const full = this.#elsewhere === null ? this.#fullFor(entering) : await this.#elsewhere.enter(entering);
		if (full === 'database') throw tooMany('database', database, databaseMax);
		if (full === 'user') throw tooMany('user', user, userMax);
		if (full === 'all') throw new GatewayError('53300', 'sorry, too many clients already', { severity: 'FATAL' });
		this.#users.set(user, (this.#users.get(user) ?? 0) + 1);
		this.#databases.set(database, (this.#databases.get(database) ?? 0) + 1);
		let inside = true;
		return () => {
			if (!inside) return;
			inside = false;
			leave(this.#users, user);
			leave(this.#databases, database);
			this.#elsewhere?.leave(user, database);
		};
	}

	/** Of this process, which is the only one. */
	#fullFor({ user, database, userMax, databaseMax }: Entering): Full | null {
		if (isFull(this.#databases.get(database) ?? 0, databaseMax)) return 'database';
		return isFull(this.#users.get(user) ?? 0, userMax) ? 'user' : null;
	}

	/** Sessions of the database, those that wait for a lease included. */
	inDatabase(database: string): number {
		return this.#databases.get(database) ?? 0;
	}

	/** Names with at least one session. */
	get users(): ReadonlyMap<string, number> {
		return this.#users;
	}
}

function isFull(count: number, limit: number): boolean {
	return limit > 0 && count >= limit;
}

function tooMany(what: 'database' | 'user', name: string, count: number): GatewayError {
	const detail = `The gateway allows this ${what} ${count} session${count === 1 ? '' : 's'} at a time.`;
	return new GatewayError('53300', `too many connections for ${what} "${name}"`, { severity: 'FATAL', detail });
}

function leave(counts: Map<string, number>, name: string): void {
	const left = (counts.get(name) ?? 1) - 1;
	if (left === 0) counts.delete(name);
	else counts.set(name, left);
}
