/** How far a standby is behind, measured by where the primary was when: no clock but the gateway's is trusted for it. */
import type { HostReport } from './cluster-host.ts';

/** How far behind. `ms` is null when nothing is known that tells. */
export interface Lag {
	readonly bytes: bigint | null;
	readonly ms: number | null;
}

/** `16/B374D848` as a number (PostgreSQL, "pg_lsn Type"); null for what is none. */
export function parseLsn(text: string | null): bigint | null {
	const match = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/.exec(text ?? '');
	return match === null ? null : (BigInt(`0x${match[1]}`) << 32n) | BigInt(`0x${match[2]}`);
}

interface Sample {
	readonly atMs: number;
	readonly lsn: bigint;
}

/**
 * Where the primary was at which time. A standby that has replayed up to a position is as old as the first moment at which
 * the primary was seen beyond it; one that has all of it is not behind, however long ago the last transaction was.
 */
export class WalHistory {
	readonly #samplesMax: number;
	#samples: Sample[] = [];
	#source = '';

	constructor(samplesMax: number) {
		this.#samplesMax = samplesMax;
	}

	/** `source`: which primary on which timeline; the positions of another one do not compare. */
	add(source: string, atMs: number, lsn: bigint): void {
		if (source !== this.#source) {
			this.#source = source;
			this.#samples = [];
		}
		if ((this.#samples.at(-1)?.lsn ?? -1n) >= lsn) return;
		this.#samples.push({ atMs, lsn });
		if (this.#samples.length > this.#samplesMax) this.#samples.splice(0, this.#samples.length - this.#samplesMax);
	}

	/**
	 * How far the standby is behind the primary. Where it is behind all that was seen, its own word (the age of the last
	 * transaction that it replayed) counts too if it is worse; where no primary was ever seen, only its own word is left.
	 */
	lag(report: HostReport, nowMs: number): Lag {
		const { lsn, received, replayedAgoMs } = report;
		const last = this.#samples.at(-1);
		if (last === undefined) return { bytes: null, ms: lsn !== null && lsn === received ? 0 : replayedAgoMs };
		if (lsn === null) return { bytes: null, ms: null };
		if (lsn >= last.lsn) return { bytes: 0n, ms: 0 };
		const at = firstBeyond(this.#samples, lsn);
		const seenMs = nowMs - (this.#samples[at] ?? last).atMs;
		const ms = at === 0 ? Math.max(seenMs, replayedAgoMs ?? 0) : seenMs;
		return { bytes: last.lsn - lsn, ms };
	}
}

/** Index of the first sample beyond `lsn`; there is one. */
function firstBeyond(samples: readonly Sample[], lsn: bigint): number {
	let low = 0;
	let high = samples.length - 1;
	while (low < high) {
		const middle = (low + high) >> 1;
		if ((samples[middle] as Sample).lsn > lsn) high = middle;
		else low = middle + 1;
	}
	return low;
}
