/** The supervisor's book of sessions: how many there are, and each user and each database has over all workers, so that a last place is given once. */
import type { Full } from '../../session/admission.ts';

/** From a worker. */
export type SessionsFromWorker =
	/** Somebody is about to have a session. A limit of 0: as many as there is room for. */
	| {
			readonly type: 'sessions-enter';
			readonly id: number;
			readonly user: string;
			readonly database: string;
			readonly userMax: number;
			readonly databaseMax: number;
			/** Of all users and databases. */
			readonly allMax: number;
	  }
	/** Somebody who was let in has left. */
	| { readonly type: 'sessions-leave'; readonly user: string; readonly database: string };

export interface SessionsToWorker {
	readonly type: 'sessions-answer';
	/** Of the question. */
	readonly id: number;
	/** Who has as many as they may; null: it is counted from now on. */
	readonly full: Full | null;
}

/** Of one worker. */
interface Tally {
	readonly users: Map<string, number>;
	readonly databases: Map<string, number>;
	all: number;
}

export class SessionBook {
	readonly #workers = new Map<number, Tally>();

	/** Null: there is nothing to answer. */
	receive(worker: number, message: SessionsFromWorker): SessionsToWorker | null {
		const { user, database } = message;
		if (message.type === 'sessions-leave') {
			this.#count(worker, user, database, -1);
			return null;
		}
		const full = this.#fullFor(message);
		if (full === null) this.#count(worker, user, database, 1);
		return { type: 'sessions-answer', id: message.id, full };
	}

	/** The worker has died, or ended. */
	left(worker: number): void {
		this.#workers.delete(worker);
	}

	#fullFor({
		user,
		database,
		userMax,
		databaseMax,
		allMax,
	}: Extract<SessionsFromWorker, { type: 'sessions-enter' }>): Full | null {
		const tallies = [...this.#workers.values()];
		const inDatabase = tallies.reduce((sum, { databases }) => sum + (databases.get(database) ?? 0), 0);
		if (databaseMax > 0 && inDatabase >= databaseMax) return 'database';
		const ofUser = tallies.reduce((sum, { users }) => sum + (users.get(user) ?? 0), 0);
		if (userMax > 0 && ofUser >= userMax) return 'user';
		return allMax > 0 && tallies.reduce((sum, { all }) => sum + all, 0) >= allMax ? 'all' : null;
	}

	#count(worker: number, user: string, database: string, by: 1 | -1): void {
		const tally = this.#workers.get(worker) ?? { users: new Map(), databases: new Map(), all: 0 };
		this.#workers.set(worker, tally);
		add(tally.users, user, by);
		add(tally.databases, database, by);
		tally.all += by;
	}
}

function add(counts: Map<string, number>, name: string, by: number): void {
	const now = (counts.get(name) ?? 0) + by;
	if (now <= 0) counts.delete(name);
	else counts.set(name, now);
}
