/** One way to say what a statement must come to, for the tables of the tests. */
import { expect } from 'vitest';
import type { Answer, Ask, Bench } from './bench.ts';

/** `same`: on the bare database it gives the very same. `rows`: cells as text, NULL as null. `error`: SQLSTATE and part of the message. */
export type Want =
	| { readonly same: true }
	| { readonly rows: readonly (readonly (string | null)[])[] }
	| { readonly error: readonly [sqlstate: string, message: RegExp | string] }
	/** The statement as it is forwarded. */
	| { readonly text: string | RegExp };

export interface Row extends Ask {
	readonly sql: string;
	readonly want: Want;
	readonly values?: readonly (string | null)[];
}

export async function check(bench: Bench, row: Row): Promise<void> {
	const { sql, want } = row;
	if ('text' in want) {
		const decision = await bench.decide(sql, row);
		expect(decision.error?.message).toBeUndefined();
		if (typeof want.text === 'string') expect(decision.rewritten).toBe(want.text);
		else expect(decision.rewritten).toMatch(want.text);
		return;
	}
	const answer = await bench.run(sql, row);
	if ('same' in want) {
		expect(plain(answer)).toEqual(plain(await bench.direct(sql, row.values)));
	} else if ('rows' in want) {
		expect(answer.kind === 'rows' ? answer.rows : `${answer.sqlstate} ${answer.message}`).toEqual(want.rows);
	} else {
		const [sqlstate, message] = want.error;
		if (answer.kind === 'rows') throw new Error(`no error but ${JSON.stringify(answer.rows).slice(0, 200)}`);
		expect(`${answer.sqlstate} ${answer.message}`).toMatch(
			typeof message === 'string' ? `${sqlstate} ${message}` : message,
		);
		expect(answer.sqlstate).toBe(sqlstate);
	}
}

/** Without the tag's count for errors, and without their words: those of the server may be withheld. */
function plain(answer: Answer): unknown {
	return answer.kind === 'error' ? { sqlstate: answer.sqlstate, position: answer.position } : answer;
}
