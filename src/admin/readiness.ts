/** Whether clients should be sent here, and if not, why. */
import type { GatewayView } from './view.ts';

export interface Check {
	/** `draining`, `audit`, or `catalogue NAME`. */
	readonly name: string;
	readonly ok: boolean;
	/** Why not; empty when ok. */
	readonly reason: string;
}

export interface Readiness {
	readonly ready: boolean;
	readonly checks: readonly Check[];
}

/** `database`: only what clients of that one need; null: of all of them. */
export function readiness(view: GatewayView, database: string | null = null): Readiness {
	const checks = [drainCheck(view), auditCheck(view), ...catalogChecks(view, database)];
	return { ready: checks.every(({ ok }) => ok), checks };
}

function check(name: string, reason: string | null): Check {
	return { name, ok: reason === null, reason: reason ?? '' };
}

function drainCheck(view: GatewayView): Check {
	return check('draining', view.draining() ? 'the gateway is about to stop' : null);
}

function auditCheck(view: GatewayView): Check {
	const { healthy, lastError, blockedBy } = view.audit();
	if (!healthy) return check('audit', `the audit log cannot be written: ${lastError ?? 'unknown error'}`);
	return check('audit', blockedBy === null ? null : `the audit sink ${blockedBy} is too far behind`);
}

function catalogChecks(view: GatewayView, database: string | null): Check[] {
	const asked = database === null ? view.databases : view.databases.filter(({ name }) => name === database);
	return asked.map(({ name, shard, catalog }) => {
		const { state, problem } = catalog.stats;
		const why = problem === null ? '' : `: ${problem}`;
		const whole = shard === null ? name : `${name}/${shard}`;
		return check(`catalogue ${whole}`, state === 'current' ? null : `the catalogue is ${state}${why}`);
	});
}
