/** Random statements give the same rows through the gateway's rewriting as on a database where security_barrier views stand for the policy. */
import fc from 'fast-check';
import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Answer, ask, type Bench, openBench } from '../sql/bench.ts';
import { type Statement, statementOf } from './grammar.ts';
import { GATEWAY_SETUP, MASKS, ORACLE_SETUP, RULES, SECRETS, stateQuery, WHO } from './world.ts';

/** `ORACLE_RUNS=5000 ORACLE_SEED=1 npx vitest run test/oracle`; with runs but no seed, a fresh one. */
const RUNS = Number(process.env['ORACLE_RUNS'] ?? 400);
const SEED = Number(
	process.env['ORACLE_SEED'] ?? (process.env['ORACLE_RUNS'] === undefined ? 1 : Date.now() % 2 ** 31),
);

const TIMEOUT_MS = 3000;
const TIMED_OUT = '57014';

let bench: Bench;
let oracle: Bench;
beforeAll(async () => {
	const common = { rules: RULES, masks: MASKS, who: WHO, path: ['lab'] };
	bench = await openBench({ ...common, setup: GATEWAY_SETUP });
	oracle = await openBench({ ...common, setup: ORACLE_SETUP });
	bench.client.on('notice', (notice) => spied.push(notice.message ?? ''));
	// A statement that takes long proves nothing by it; it is left out on both sides.
	for (const { client } of [bench, oracle]) await client.query(`set statement_timeout = ${TIMEOUT_MS}`);
});
afterAll(async () => {
	await bench?.close();
	await oracle?.close();
});

interface Result {
	readonly answer: Answer;
	/** What the tables hold afterwards, for a write. */
	readonly state: string;
}

async function play(client: pg.Client, sql: string, values: readonly string[], state: string | null): Promise<Result> {
	await client.query('begin');
	try {
		const answer = await ask(client, sql, values);
		const after = state !== null && answer.kind === 'rows' ? await ask(client, state) : null;
		return { answer, state: JSON.stringify(after) };
	} finally {
		await client.query('rollback');
	}
}

async function through({ sql, values, writes }: Statement): Promise<Result> {
	const decision = await bench.decide(sql);
	if (decision.effect === 'deny') {
		const { error } = decision;
		return {
			answer: { kind: 'error', sqlstate: error?.sqlstate ?? '', message: error?.message ?? '', position: undefined },
			state: '',
		};
	}
	spied.length = 0;
	const result = await play(bench.client, decision.rewritten, values, writes ? stateQuery('lab') : null);
	const { answer } = result;
	if (answer.kind === 'rows')
		return decision.statements[0]?.hidesRows === true
			? { ...result, answer: { ...answer, names: [], rows: [] } }
			: result;
	const told = bench.pipeline.clientFields(
		new Map([
			['C', answer.sqlstate],
			['M', answer.message],
		]),
		decision,
		0,
	);
	return { ...result, answer: { ...answer, sqlstate: told.get('C') ?? '', message: told.get('M') ?? '' } };
}

/** One form for what may differ: the order of rows without ORDER BY, and the words of errors. */
function comparable({ answer, state }: Result, ordered: boolean): unknown {
	// A row that a filter refuses is 42501 at the gateway and a broken check option on a view.
	if (answer.kind === 'error') return { sqlstate: answer.sqlstate === '44000' ? '42501' : answer.sqlstate };
	const rows = answer.rows.map((row) => JSON.stringify(row));
	return { names: answer.names, rows: ordered ? rows : rows.toSorted(), tag: answer.tag, state };
}

async function difference(statement: Statement): Promise<string | null> {
	const mine = await through(statement);
	counts.spied += spied.length;
	const leak = spied.find((notice) => SECRETS.test(notice));
	if (leak !== undefined) return `${statement.sql}\n  values  ${JSON.stringify(statement.values)}\n  tells   ${leak}`;
	const theirs = await play(
		oracle.client,
		statement.sql,
		statement.values,
		statement.writes ? stateQuery('raw') : null,
	);
	count(statement, mine, theirs);
	const [got, want] = [comparable(mine, statement.ordered), comparable(theirs, statement.ordered)];
	if ([mine, theirs].some(({ answer }) => answer.kind === 'error' && answer.sqlstate === TIMED_OUT)) return null;
	const isSame = JSON.stringify(got) === JSON.stringify(want);
	if (isSame) return null;
	const show = ({ answer, state }: Result, other: Result): string => {
		if (answer.kind === 'error') return `${answer.sqlstate} ${answer.message}`;
		const changed =
			state === other.state ? '' : ` and leaves other rows behind: ${firstDifference(state, other.state)}`;
		return `${answer.tag} ${JSON.stringify(answer.names)} ${JSON.stringify(answer.rows).slice(0, 2000)}${changed}`;
	};
	return `${statement.sql}\n  values  ${JSON.stringify(statement.values)}\n  gateway ${show(mine, theirs)}\n  oracle  ${show(theirs, mine)}`;
}

function firstDifference(text: string, other: string): string {
	const at = [...text].findIndex((character, i) => character !== other[i]);
	return text.slice(Math.max(0, at - 150), at + 150);
}

/** What the function `spy` was given while the latest statement ran through the gateway. */
const spied: string[] = [];

const counts = { spied: 0, compared: 0, withRows: 0, errors: 0, writes: 0, written: 0, protected: 0 };

function count(statement: Statement, mine: Result, theirs: Result): void {
	counts.compared += 1;
	if (theirs.answer.kind === 'error') counts.errors += 1;
	else if (theirs.answer.rows.length > 0) counts.withRows += 1;
	if (statement.writes) {
		counts.writes += 1;
		if (mine.answer.kind === 'rows' && !mine.answer.tag.endsWith(' 0')) counts.written += 1;
	}
	if (/people|events|docs|memos|Odd|directory|loud|pairs|deep|snap/.test(statement.sql)) counts.protected += 1;
}

const tapes = fc.array(fc.nat(9999), { minLength: 40, maxLength: 300, size: 'max' });

test(`${RUNS} random statements, seed ${SEED}`, { timeout: Math.max(60_000, RUNS * 200) }, async () => {
	const property = fc.asyncProperty(tapes, async (numbers) => {
		const found = await difference(statementOf(numbers));
		if (found !== null) throw new Error(found);
	});
	const path = process.env['ORACLE_PATH'];
	await fc.assert(property, { seed: SEED, numRuns: RUNS, ...(path === undefined ? {} : { path }) });
	process.stdout.write(`oracle: seed ${SEED}, ${JSON.stringify(counts)}\n`);
	// Statements that all fail, or that give nothing, would prove nothing.
	expect(counts.withRows).toBeGreaterThan(RUNS * 0.45);
	expect(counts.errors).toBeLessThan(RUNS * 0.08);
	expect(counts.protected).toBeGreaterThan(RUNS * 0.6);
	expect(counts.written).toBeGreaterThan(RUNS * 0.04);
	expect(counts.spied).toBeGreaterThan(RUNS);
});

test('the same statements tell secrets where nothing stands before the tables', { timeout: 120_000 }, async () => {
	let told = 0;
	for (const numbers of fc.sample(tapes, { seed: SEED, numRuns: 200 })) {
		const statement = statementOf(numbers);
		spied.length = 0;
		await play(bench.client, statement.sql, statement.values, null);
		if (spied.some((notice) => SECRETS.test(notice))) told += 1;
	}
	expect(told).toBeGreaterThan(5);
});
