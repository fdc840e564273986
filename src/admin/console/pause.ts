/** PAUSE as PgBouncer has it: it is done when nobody has a server connection any more; until then it can be taken back. */
import { setTimeout as sleep } from 'node:timers/promises';
import { GatewayError } from '../../errors.ts';
import type { Operations } from '../control.ts';
import type { DatabaseView } from '../view.ts';

export interface Pausing {
	readonly control: Operations;
	/** Of this process, in which everything that is paused is. */
	readonly databases: readonly DatabaseView[];
	/** Null: every database. */
	readonly database: string | null;
	/** How long to wait, in milliseconds. */
	readonly waitMs: number;
	/** The operator has sent a cancel request, or has left. */
	readonly signal: AbortSignal;
}

/** Between two looks. */
const lookMs = 50;

/**
 * Resolves when it is paused and no session has a server connection. Rejects with GatewayError 55006 when that takes too long, and 57014
 * when it is cancelled: then everything is as it was before.
 */
export async function pause({ control, databases, database, waitMs, signal }: Pausing): Promise<void> {
	const held = new Set(databases.filter(({ gate }) => gate.paused).map(({ name }) => name));
	const named = database === null ? [...new Set(databases.map(({ name }) => name))] : [database];
	const endMs = performance.now() + waitMs;
	await control.pause(database);
	try {
		for (;;) {
			const busy = await control.busy(database);
			if (busy === 0) return;
			if (signal.aborted)
				throw new GatewayError('57014', 'canceling PAUSE due to user request: nothing is paused by it');
			if (performance.now() >= endMs) throw stillBusy(busy, waitMs);
			await sleep(lookMs, undefined, { signal }).catch(() => undefined);
		}
	} catch (error) {
		for (const name of named) if (!held.has(name)) await resumed(control, name);
		throw error;
	}
}

/** A worker that does not answer, or a database that has gone meanwhile: why PAUSE has failed is what the operator is told. */
async function resumed(control: Operations, name: string): Promise<void> {
	try {
		await control.resume(name);
	} catch (error) {
		if (!(error instanceof GatewayError)) throw error;
	}
}

function stillBusy(busy: number, waitMs: number): GatewayError {
	const sessions = busy === 1 ? '1 session has a server connection' : `${busy} sessions have server connections`;
	return new GatewayError('55006', `PAUSE is given up: after ${waitMs} ms ${sessions} still`, {
		detail:
			'Nothing is paused by it. A session that has one between two transactions too (session mode, or pinned) keeps it until it ends.',
		hint: 'SHOW SERVERS lists them, KILL_CLIENT ends one, and PAUSE with NOWAIT does not wait for them.',
	});
}
