/** What clients of a fault run wrote, as far as they know, held at the end against what is in the table. */

/** sent: nobody can know. told: the server said that it is committed. refused: an error came before anything could be. */
type State = 'sent' | 'told' | 'refused';

interface Entry {
	readonly rows: number;
	readonly counted: boolean;
	state: State;
	/** performance.now() when that was known. */
	atMs: number;
}

export interface LedgerResult {
	readonly told: number;
	readonly refused: number;
	/** Of those of which nobody can know: how many happened, and how many did not. */
	readonly happened: number;
	readonly vanished: number;
	/** In words; empty when all is right. */
	readonly wrong: readonly string[];
}

export class Ledger {
	readonly #entries = new Map<string, Entry>();

	/** It is about to be sent. `rows`: how many it writes, all of them or none. `counted`: it adds one to a counter too. */
	sent(op: string, rows: number, counted: boolean): void {
		if (this.#entries.has(op)) throw new Error(`${op} is used twice`);
		this.#entries.set(op, { rows, counted, state: 'sent', atMs: performance.now() });
	}

	told(op: string): void {
		this.#settle(op, 'told');
	}

	refused(op: string): void {
		this.#settle(op, 'refused');
	}

	/** `found`: rows by operation. `counters`: the sum of the counters. */
	check(found: ReadonlyMap<string, number>, counters: number): LedgerResult {
		const wrong: string[] = [];
		let [told, refused, happened, vanished, counted] = [0, 0, 0, 0, 0];
		for (const [op, entry] of this.#entries) {
			const rows = found.get(op) ?? 0;
			const words = `${op} (${entry.state} at ${Math.round(entry.atMs)} ms)`;
			if (rows > 0 && entry.counted) counted += 1;
			if (rows !== 0 && rows !== entry.rows) wrong.push(`${words} wrote ${entry.rows} rows: ${rows} are there`);
			if (entry.state === 'told') {
				told += 1;
				if (rows === 0) wrong.push(`${words} is not there`);
			} else if (entry.state === 'refused') {
				refused += 1;
				if (rows > 0) wrong.push(`${words} is there`);
			} else if (rows > 0) happened += 1;
			else vanished += 1;
		}
		for (const op of found.keys()) if (!this.#entries.has(op)) wrong.push(`${op} is there, and nobody sent it`);
		if (counters !== counted) wrong.push(`the counters say ${counters}, and ${counted} have counted`);
		return { told, refused, happened, vanished, wrong };
	}

	#settle(op: string, state: State): void {
		const entry = this.#entries.get(op);
		if (entry === undefined) throw new Error(`${op} was never sent`);
		entry.state = state;
		entry.atMs = performance.now();
	}
}
