/** Says how a list of records differs from the one it should be: which were changed, removed, inserted, reordered. */
import type { Hash } from './merkle.ts';

export interface Difference {
	readonly kind: 'changed' | 'removed' | 'inserted' | 'reordered';
	/** Index in the list as it should be: the record that was changed, removed or moved, or before which one was inserted. */
	readonly index: number;
	/** Index in the list as it is; for a removed record, where it is missing. */
	readonly found: number;
}

function positions(list: readonly Hash[]): Map<Hash, number> {
	return new Map(list.map((hash, index) => [hash, index]));
}

export interface Comparison {
	readonly differences: readonly Difference[];
	/** Index in `have` from which it goes beyond the end of `want`. */
	readonly beyond: number;
}

function samePrefix(want: readonly Hash[], have: readonly Hash[]): boolean {
	return want.length <= have.length && want.every((hash, index) => hash === have[index]);
}

/**
 * Compares records by their hashes: as they should be and as they are. Every record has a number of its own, so no two should be
 * equal. What `have` holds beyond the end of `want` is no difference: the hashes are written down behind the records.
 */
export function compare(want: readonly Hash[], have: readonly Hash[]): Comparison {
	if (samePrefix(want, have)) return { differences: [], beyond: want.length };
	const found: Difference[] = [];
	const inWant = positions(want);
	const inHave = positions(have);
	const moved = new Set<number>();
	let [index, at] = [0, 0];
	while (index < want.length) {
		const wanted = want[index] as Hash;
		const seen = have[at];
		const seenLater = seen !== undefined && (inWant.get(seen) ?? -1) > index;
		const wantedLater = (inHave.get(wanted) ?? -1) > at;
		if (moved.has(index)) {
			index += 1;
		} else if (seen === wanted) {
			index += 1;
			at += 1;
		} else if (seenLater && wantedLater) {
			const from = inWant.get(seen) as number;
			found.push({ kind: 'reordered', index: from, found: at });
			moved.add(from);
			at += 1;
		} else if (wantedLater) {
			found.push({ kind: 'inserted', index, found: at });
			at += 1;
		} else if (seen === undefined || seenLater) {
			found.push({ kind: 'removed', index, found: at });
			index += 1;
		} else {
			found.push({ kind: 'changed', index, found: at });
			index += 1;
			at += 1;
		}
	}
	return { differences: found, beyond: at };
}
