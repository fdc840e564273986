/** What operators can do to a running gateway: reload, pause, resume, kill, disable, enable. */
import { GatewayError } from '../errors.ts';
import type { LiveSession } from '../session/live.ts';
import type { DatabaseView, GatewayView } from './view.ts';

export interface ControlParts {
	readonly view: GatewayView;
	/** Reads the policy again. Answers what came of it in a few words; rejects with GatewayError when it is refused. */
	readonly reload: () => Promise<string>;
}

/** Each answers with words for whoever asked; GatewayError 3D000 for a database that there is not. */
export class Control {
	readonly #view: GatewayView;
	readonly #reload: () => Promise<string>;

	constructor({ view, reload }: ControlParts) {
		this.#view = view;
		this.#reload = reload;
	}

	reload(): Promise<string> {
		return this.#reload();
	}

	/** Null: every database. */
	pause(name: string | null): string {
		const databases = this.#databases(name);
		for (const { gate } of databases) gate.pause();
		const left = databases.reduce((sum, { gate }) => sum + gate.stats.leased, 0);
		return `${left} session${left === 1 ? ' has a server connection, and keeps it until it is done' : 's have server connections, and keep them until they are done'}`;
	}

	resume(name: string | null): string {
		for (const { gate } of this.#databases(name)) gate.resume();
		return '';
	}

	/** Pauses too, as in PgBouncer: else the clients would be back before the reason is gone. */
	kill(name: string | null): string {
		const databases = this.#databases(name);
		for (const { gate } of databases) gate.pause();
		const names = new Set(databases.map((database) => database.name));
		let ended = 0;
		for (const session of [...this.#view.sessions()]) {
			if (session.ended || !names.has(session.info.database)) continue;
			end(session);
			ended += 1;
		}
		return `${ended} session${ended === 1 ? '' : 's'} ended; new ones wait until RESUME`;
	}

	/** `id` as in SHOW CLIENTS. GatewayError 22023 when there is no such session. */
	killClient(id: string): string {
		for (const session of this.#view.sessions()) {
			if (session.ended || session.info.id !== id) continue;
			end(session);
			return '';
		}
		throw new GatewayError('22023', `there is no session "${id}"`, { hint: 'SHOW CLIENTS lists them.' });
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
