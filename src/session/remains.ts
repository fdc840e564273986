/** Session mode with `pool.reuse`: whether DISCARD ALL takes all that a client leaves on its server connection. */
import type { Lease, LeaseEnd } from '../backend/lease.ts';
import type { Decision } from '../stages.ts';
import { Keepsakes, type PoolingRules } from './keepsakes.ts';

/** By the same rules as between two transactions of transaction mode (keepsakes.ts). */
export class Remains {
	readonly #keepsakes: Keepsakes;
	/** A setting of a name of its own was made: it would be empty for the next client, who would find it missing on a new connection. */
	#named = false;

	readonly #lease: Lease;

	constructor(rules: PoolingRules, lease: Lease) {
		this.#keepsakes = new Keepsakes(rules);
		this.#lease = lease;
	}

	/** ParameterStatus. */
	reported(name: string, value: string): void {
		this.#lease.reported?.(name, value);
	}

	/** A statement of the decision is about to be sent. */
	note(decision: Decision): void {
		this.#keepsakes.note(decision);
		for (const { effects } of decision.statements)
			for (const effect of effects) if (effect.type === 'set' && effect.name.includes('.')) this.#named = true;
	}

	/** With nothing outstanding, outside of any transaction. */
	end(): LeaseEnd {
		return this.#named || this.#keepsakes.end() === 'broken' ? 'broken' : 'dirty';
	}
}
