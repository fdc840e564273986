/** What operators can do to a running gateway: reload, pause, resume, kill, disable, enable. */
import { GatewayError } from '../errors.ts';
import type { LiveSession } from '../session/live.ts';
import type { DatabaseView, GatewayView } from './view.ts';

export interface ControlParts {
	readonly view: GatewayView;
	/** Reads the policy again. Answers what came of it in a few words; rejects with GatewayError when it is refused. */
	readonly reload: () => Promise<string>;
}

type Words = string | Promise<string>;

/** Each answers with words for whoever asked; GatewayError 3D000 for a database that there is not. */
export interface Operations {
	reload(): Words;
	/** Null: every database. */
	pause(database: string | null): Words;
	/** Server connections that sessions have, or are about to; those that nobody has are closed. */
	busy(database: string | null): number | Promise<number>;
	resume(database: string | null): Words;
	kill(database: string | null): Words;
	/** `id` as in SHOW CLIENTS. GatewayError 22023 when there is no such session. */
	killClient(id: string): Words;
	disable(database: string): Words;
	enable(database: string): Words;
}

/** Of the process that it is in. */
export class Control implements Operations {
	readonly #view: GatewayView;
	readonly #reload: () => Promise<string>;

	constructor({ view, reload }: ControlParts) {
		this.#view = view;
		this.#reload = reload;
	}

	reload(): Promise<string> {
		return this.#reload();
	}

	pause(name: string | null): string {
		return pausedWords(this.pauseNow(name));
	}

	busy(name: string | null): number {
		const databases = this.#databases(name);
		for (const { gate } of databases) gate.closeIdle();
		return databases.reduce((sum, { gate }) => sum + gate.stats.leased + gate.stats.connecting, 0);
	}

	/** Answers how many sessions have a server connection. */
	pauseNow(name: string | null): number {
		const databases = this.#databases(name);
		for (const { gate } of databases) gate.pause();
		return databases.reduce((sum, { gate }) => sum + gate.stats.leased, 0);
	}

	resume(name: string | null): string {
		for (const { gate } of this.#databases(name)) gate.resume();
		return '';
	}

	kill(name: string | null): string {
		return killedWords(this.killNow(name));
	}

	/** Pauses too, as in PgBouncer: else the clients would be back before the reason is gone. Answers how many sessions it ended. */
	killNow(name: string | null): number {
		const databases = this.#databases(name);
		for (const { gate } of databases) gate.pause();
		const names = new Set(databases.map((database) => database.name));
		let ended = 0;
		for (const session of [...this.#view.sessions()]) {
			if (session.ended || !names.has(session.info.database)) continue;
			end(session);
			ended += 1;
		}
		return ended;
	}

	killClient(id: string): string {
		if (!this.killClientNow(id)) throw noSession(id);
		return '';
	}

	/** False when there is no such session. */
	killClientNow(id: string): boolean {
		for (const session of this.#view.sessions()) {
			if (session.ended || session.info.id !== id) continue;
			end(session);
			return true;
		}
		return false;
	}

	disable(name: string): string {
		for (const { gate } of this.#databases(name)) gate.disable();
		return '';
	}

	enable(name: string): string {
		for (const { gate } of this.#databases(name)) gate.enable();
		return '';
	}

	#databases(name: string | null): readonly DatabaseView[] {
		const { databases } = this.#view;
		if (name === null) return databases;
		const found = databases.filter((database) => database.name === name);
		if (found.length === 0) throw new GatewayError('3D000', `database "${name}" does not exist`);
		return found;
	}
}

function end(session: LiveSession): void {
	const words = 'terminating connection due to administrator command';
	session.terminate(new GatewayError('57P01', words, { severity: 'FATAL' }), 'killed');
}

export function pausedWords(left: number): string {
	return `${left} session${left === 1 ? ' has a server connection, and keeps it until it is done' : 's have server connections, and keep them until they are done'}`;
}

export function killedWords(ended: number): string {
	return `${ended} session${ended === 1 ? '' : 's'} ended; new ones wait until RESUME`;
}

export function noSession(id: string): GatewayError {
	return new GatewayError('22023', `there is no session "${id}"`, { hint: 'SHOW CLIENTS lists them.' });
}
