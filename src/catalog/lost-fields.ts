/** Names of fields that were and are no more: a statement that was decided while they were may still wait to run. */
import { CATALOG_LIMITS } from './limits.ts';

/** Immutable. Nothing tells how long a statement may wait, so nothing is ever forgotten; beyond a limit every name counts as lost. */
export class LostFields {
	/** Null: more than are remembered. */
	readonly #names: ReadonlySet<string> | null;
	readonly #max: number;

	constructor(names: ReadonlySet<string> | null = new Set(), max: number = CATALOG_LIMITS.lostFieldsMax) {
		this.#names = names;
		this.#max = max;
	}

	has(name: string): boolean {
		return this.#names === null || this.#names.has(name);
	}

	with(more: Iterable<string>): LostFields {
		if (this.#names === null) return this;
		const names = new Set(this.#names);
		for (const name of more) {
			names.add(name);
			if (names.size > this.#max) return new LostFields(null, this.#max);
		}
		return names.size === this.#names.size ? this : new LostFields(names, this.#max);
	}
}

export const NO_LOST_FIELDS = new LostFields();

/** For who cannot know what others saw. */
export const ANY_LOST_FIELDS = new LostFields(null);
