/**
 * What row filters and masks cost in the server, on a table of a million rows: planning and execution (EXPLAIN ANALYZE) of what the
 * gateway sends against the same statement on hand-written security_barrier views. Prints a table in Markdown; ends with status 1
 * where a statement takes more than 1.3 times as long.
 *
 *     npx tsx bench/filters.ts [--quick] [--only REGEXP] [--plans]
 */
import { parseArgs } from 'node:util';
import pg from 'pg';
import { Pipeline } from '../src/pipeline.ts';
import { type Decider, openDecider } from './rig/decider.ts';
import { type FilterCase, filterCases, filterRules, filterTablesSql } from './rig/filter-cases.ts';
import { median, table } from './rig/report.ts';
import { DATABASE } from './rig/stage.ts';
import { ROLE } from './rig/tables.ts';

const { values: options } = parseArgs({
	options: {
		quick: { type: 'boolean', default: false },
		only: { type: 'string', default: '' },
		/** Shows the plans of those that are too slow. */
		plans: { type: 'boolean', default: false },
	},
});

const ROWS = options.quick ? 200_000 : 1_000_000;
/** A case ends after so many runs of each side, or so many milliseconds, but not before it has been run a few times. */
const RUNS_MAX = options.quick ? 60 : 400;
const RUNS_MIN = 7;
const CASE_MS = options.quick ? 500 : 4_000;
/** A prepared statement gets its generic plan with the sixth execution. */
const WARM_RUNS = 6;
const RATIO_MAX = 1.3;

/** Milliseconds. */
interface Times {
	readonly planning: number[];
	readonly execution: number[];
}

interface Side {
	readonly text: string;
	readonly explain: string;
	readonly times: Times;
}

interface Explained {
	readonly 'QUERY PLAN': readonly { readonly 'Planning Time': number; readonly 'Execution Time': number }[];
}

/** Oids of the types that a client may declare. */
async function oidsOf(types: readonly string[]): Promise<readonly number[]> {
	const known = types.map((type) => (type === 'unknown' ? '0' : `'${type}'::regtype::oid::int`));
	const { rows } = await decider.client.query<{ oids: number[] }>(`select array[${known.join()}]::int[] as oids`);
	return rows[0]?.oids ?? [];
}

async function rewritten(sql: string, types: readonly string[]): Promise<string> {
	const decision = await pipeline.decide(decider.context(), sql, await oidsOf(types));
	if (decision.effect !== 'mask') {
		throw new Error(`${decision.effect} instead of a mask: ${sql}: ${decision.error?.message ?? ''}`);
	}
	return decision.rewritten;
}

async function sideOf(name: string, text: string, parameters: FilterCase['parameters']): Promise<Side> {
	const times = { planning: [], execution: [] };
	const explain = 'explain (analyze, timing off, summary on, buffers off, format json)';
	if (parameters === undefined) return { text, explain: `${explain} ${text}`, times };
	await server.query(`prepare ${name} (${parameters.map(({ type }) => type).join(', ')}) as ${text}`);
	return { text, explain: `${explain} execute ${name} (${parameters.map(({ value }) => value).join(', ')})`, times };
}

async function run({ explain, times }: Side, writes: boolean, counts: boolean): Promise<void> {
	if (writes) await server.query('begin');
	const { rows } = await server.query<Explained>(explain);
	if (writes) await server.query('rollback');
	const [plan] = rows[0]?.['QUERY PLAN'] ?? [];
	if (plan === undefined || !counts) return;
	times.planning.push(plan['Planning Time']);
	times.execution.push(plan['Execution Time']);
}

function total({ planning, execution }: Times): number {
	return median(planning.map((ms, i) => ms + (execution[i] ?? 0)));
}

interface Outcome {
	readonly line: readonly string[];
	readonly ratio: number;
}

async function compare(one: FilterCase): Promise<Outcome> {
	const { name, sql, parameters, writes = false } = one;
	const named = (suffix: string): string => sql.replaceAll(/@(\w+)/g, (_, table) => `public.bench_${table}${suffix}`);
	await server.query('deallocate all');
	const gateway = await sideOf(
		'gateway',
		await rewritten(
			named(''),
			(parameters ?? []).map(({ type }) => type),
		),
		parameters,
	);
	const view = await sideOf('view', named('_view'), parameters);
	for (let warm = 0; warm < WARM_RUNS; warm += 1) for (const side of [gateway, view]) await run(side, writes, false);
	const begun = performance.now();
	for (let count = 0; count < RUNS_MAX; count += 1) {
		if (count >= RUNS_MIN && performance.now() - begun > CASE_MS) break;
		for (const side of count % 2 === 0 ? [gateway, view] : [view, gateway]) await run(side, writes, true);
	}
	const ratio = total(gateway.times) / total(view.times);
	if (options.plans && ratio > RATIO_MAX) for (const side of [gateway, view]) await showPlan(side, writes);
	const ms = (value: number): string => value.toFixed(3);
	const fence = gateway.text.includes(' OFFSET 0') ? 'fence' : '';
	const of = (times: Times): string[] => [ms(median(times.planning)), ms(median(times.execution)), ms(total(times))];
	return { ratio, line: [name, fence, ...of(view.times), ...of(gateway.times), ratio.toFixed(2)] };
}

async function showPlan({ explain, text }: Side, writes: boolean): Promise<void> {
	if (writes) await server.query('begin');
	const { rows } = await server.query<Record<string, string>>(explain.replace(', format json', ''));
	if (writes) await server.query('rollback');
	console.log(`\n${text}\n${rows.map((row) => `    ${Object.values(row).join('')}`).join('\n')}\n`);
}

const decider: Decider = await openDecider(undefined, filterRules);
for (const statement of filterTablesSql(ROWS).split(/;\n/)) await decider.client.query(statement);
await decider.catalog.refresh();
const pipeline = new Pipeline({ audit: null });
const { host, port } = decider.postgres;
const server = new pg.Client({ host, port, user: ROLE, password: ROLE, database: DATABASE });
await server.connect();
// One process runs a statement, so that the ratio is one of work done.
await server.query('set max_parallel_workers_per_gather = 0');
try {
	const outcomes: Outcome[] = [];
	for (const one of filterCases) if (new RegExp(options.only).test(one.name)) outcomes.push(await compare(one));
	const head = ['statement', '', 'view: plan, ms', 'run', 'both', 'gateway: plan, ms', 'run', 'both', 'ratio'];
	console.log(
		table(
			head,
			outcomes.map(({ line }) => line),
		),
	);
	const slow = outcomes.filter(({ ratio }) => ratio > RATIO_MAX);
	console.log(
		`\n${ROWS.toLocaleString('en')} rows; ${outcomes.length} statements, ${slow.length} of them above ${RATIO_MAX}.`,
	);
	if (slow.length > 0) process.exitCode = 1;
} finally {
	await server.end();
	await decider.close();
}
