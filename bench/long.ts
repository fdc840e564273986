/**
 * What texts of a megabyte cost: how long their sender waits, and how long they keep the event loop from everybody else, analysed in it and
 * in the thread, one and ten at once. Prints a table in Markdown.
 *
 *     npx tsx bench/long.ts [name ...]
 */

import { Analyst } from '../src/analysis/analyst.ts';
import { Pipeline } from '../src/pipeline.ts';
import { openDecider } from './rig/decider.ts';
import { watchLoop } from './rig/hold.ts';
import { longTexts } from './rig/long-texts.ts';
import { table } from './rig/report.ts';

const names = process.argv.slice(2);
/** Sent at the same time by one user. */
const AT_ONCE = 10;

interface Seen {
	readonly waitMs: number;
	readonly heldMs: number;
	readonly effect: string;
}

/** Decides `times` at once. */
async function seen(pipeline: Pipeline, sql: string, times: number): Promise<Seen> {
	await decider.catalog.refresh();
	const stop = watchLoop();
	const begunMs = performance.now();
	const all = await Promise.all(Array.from({ length: times }, async () => pipeline.decide(decider.context(), sql)));
	const waitMs = performance.now() - begunMs;
	const heldMs = stop().cpuMs;
	const [first] = all;
	const effect = first?.error === undefined ? (first?.effect ?? '') : first.error.sqlstate;
	return { waitMs, heldMs, effect };
}

const decider = await openDecider();
const analyst = new Analyst({ waitingMax: 1 << 30, timeoutMs: 60_000 });
try {
	const inLoop = new Pipeline({ audit: null });
	const aside = new Pipeline({ audit: null, analyst });
	const lines: (readonly string[])[] = [];
	for (const { name, sql } of longTexts()) {
		if (names.length > 0 && !names.some((one) => name.includes(one))) continue;
		const figures = [await seen(inLoop, sql, 1), await seen(aside, sql, 1), await seen(aside, sql, AT_ONCE)];
		const [one] = figures;
		lines.push([
			name,
			String(sql.length),
			figures.map(({ effect }) => effect).join(' ') === Array(3).fill(one?.effect).join(' ')
				? (one?.effect ?? '')
				: 'DIFFERENT',
			...figures.flatMap(({ waitMs, heldMs }) => [waitMs.toFixed(0), heldMs.toFixed(0)]),
		]);
	}
	const head = ['text', 'characters', 'effect', 'in the loop, ms', 'held, ms', 'aside, ms', 'held, ms'];
	console.log(table([...head, `${AT_ONCE} at once, ms`, 'held, ms'], lines));
	console.log(`resident ${(process.memoryUsage().rss / 1024 / 1024).toFixed(0)} MiB`);
} finally {
	await analyst.close();
	await decider.close();
}
