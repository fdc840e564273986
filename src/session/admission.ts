/** Counts the sessions of each user and of each database, and refuses those that would be too many. */
import { GatewayError } from '../errors.ts';

/** How many sessions each may have; 0: as many as there is room for. */
export interface AdmissionLimits {
	readonly perUser: (user: string) => number;
	readonly perDatabase: (database: string) => number;
}

/** Sessions of the same gateway in other processes. */
export interface SessionsElsewhere {
	ofUser(user: string): number;
	inDatabase(database: string): number;
	/** Of all users. */
	readonly all: number;
	/** Told of each place that is taken here (1) and given back (-1). */
	tell(user: string, database: string, by: 1 | -1): void;
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

	/** Takes a place. Answers how to give it back, once. Throws FATAL 53300, in PostgreSQL's words, when there is none. */
	enter(user: string, database: string): () => void {
		const ofUser = this.#users.get(user) ?? 0;
		const ofDatabase = this.#databases.get(database) ?? 0;
		const inDatabase = ofDatabase + (this.#elsewhere?.inDatabase(database) ?? 0);
		const withUser = ofUser + (this.#elsewhere?.ofUser(user) ?? 0);
		const [databaseMax, userMax] = [this.#limits.perDatabase(database), this.#limits.perUser(user)];
		if (isFull(inDatabase, databaseMax)) throw tooMany('database', database, databaseMax);
		if (isFull(withUser, userMax)) throw tooMany('user', user, userMax);
		this.#users.set(user, ofUser + 1);
		this.#databases.set(database, ofDatabase + 1);
		this.#elsewhere?.tell(user, database, 1);
		let inside = true;
		return () => {
			if (!inside) return;
			inside = false;
			leave(this.#users, user);
			leave(this.#databases, database);
			this.#elsewhere?.tell(user, database, -1);
		};
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
