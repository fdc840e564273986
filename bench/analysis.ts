/**
 * What deciding a statement costs, in CPU microseconds: the first analysis, a text that was seen before, and a text that differs
 * from one that was seen in its literals only. Prints a table in Markdown.
 *
 *     npx tsx bench/analysis.ts [--quick]
 */
import { Pipeline } from '../src/pipeline.ts';
import { defaultSqlLimits, parse } from '../src/sql/parse.ts';
import type { Decision } from '../src/stages.ts';
import { openDecider } from './rig/decider.ts';
import { median, table } from './rig/report.ts';
import { type Statement, statements } from './rig/statements.ts';

const quick = process.argv.includes('--quick');
/** Rounds of each figure (the median counts), and those before: the compiler of JavaScript has to see the code first. */
const ROUNDS = quick ? 5 : 15;
const WARM_ROUNDS = quick ? 3 : 6;
/** Bytes of text that a round goes through, and how many texts it has at most. */
const ROUND_BYTES = 200_000;
const ROUND_TEXTS_MAX = 1_000;
/** A cache of this size is asked and filled as any other, and remembers nothing. */
const FORGETFUL = 1;

interface Work {
	readonly prepare: () => Pipeline;
	readonly one: (pipeline: Pipeline, i: number) => void;
}

/** CPU microseconds of one: median over the rounds. */
async function cost(texts: number, { prepare, one }: Work): Promise<number> {
	const rounds: number[] = [];
	for (let round = 0; round < WARM_ROUNDS + ROUNDS; round += 1) {
		// The catalogue has to be looked at now and then, or it is not believed any more.
		await decider.catalog.refresh();
		const pipeline = prepare();
		const begun = process.cpuUsage();
		for (let i = 0; i < texts; i += 1) one(pipeline, i);
		const { user, system } = process.cpuUsage(begun);
		if (round >= WARM_ROUNDS) rounds.push((user + system) / texts);
	}
	return median(rounds);
}

function decided(decision: Decision | Promise<Decision>): Decision {
	if (decision instanceof Promise) throw new Error('the catalogue was asked again');
	if (decision.effect === 'deny') {
		throw new Error(`denied: ${decision.error?.message ?? ''}: ${decision.sql.slice(0, 200)}`);
	}
	return decision;
}

interface Figures {
	readonly first: number;
	readonly parsing: number;
	readonly repeat: number;
	/** Null where the text has no literals to differ in. */
	readonly literal: { readonly micros: number; readonly served: number } | null;
}

async function measure({ text, types = [] }: Statement): Promise<Figures> {
	const count = Math.min(ROUND_TEXTS_MAX, Math.ceil(ROUND_BYTES / text(0).length));
	const texts = Array.from({ length: count }, (_, i) => text(i));
	const decide = (pipeline: Pipeline, sql: string): Decision => decided(pipeline.decide(decider.context(), sql, types));
	const one = (pipeline: Pipeline, i: number): Decision => decide(pipeline, texts[i] ?? '');
	const remembering = (): Pipeline => new Pipeline({ audit: null });
	/** Two texts of a shape are analysed before it is remembered; all others are found by it. */
	const shaped = (): Pipeline => {
		const pipeline = new Pipeline({ audit: null, cacheBytesMax: FORGETFUL });
		for (const literal of [-1, -2, -3]) decide(pipeline, text(literal));
		return pipeline;
	};
	const literal = async (): Promise<Figures['literal']> => {
		const micros = await cost(count, { prepare: shaped, one });
		const pipeline = shaped();
		const before = pipeline.stats.hits;
		for (let i = 0; i < count; i += 1) one(pipeline, i);
		return { micros, served: (pipeline.stats.hits - before) / count };
	};
	const first = (): Pipeline => new Pipeline({ audit: null, cacheBytesMax: FORGETFUL, shapesBytesMax: 0 });
	return {
		first: await cost(count, { prepare: first, one }),
		parsing: await cost(count, { prepare: first, one: (_, i) => parse(texts[i] ?? '', defaultSqlLimits) }),
		repeat: await cost(ROUND_TEXTS_MAX, { prepare: remembering, one: (pipeline) => decide(pipeline, texts[0] ?? '') }),
		literal: texts[0] === texts[1] ? null : await literal(),
	};
}

async function line(statement: Statement): Promise<readonly string[]> {
	const { first, parsing, repeat, literal } = await measure(statement);
	const { text, types = [] } = statement;
	const decision = decided(new Pipeline({ audit: null }).decide(decider.context(), text(0), types));
	const micros = (value: number): string => value.toFixed(value < 10 ? 2 : 1);
	return [
		statement.name,
		`${Buffer.byteLength(decision.sql)} to ${Buffer.byteLength(decision.rewritten)}`,
		decision.effect,
		micros(first),
		micros(parsing),
		micros(repeat),
		literal === null ? '-' : micros(literal.micros),
		literal === null ? '-' : `${(literal.served * 100).toFixed(0)} %`,
	];
}

const decider = await openDecider();
try {
	const lines: (readonly string[])[] = [];
	for (const statement of statements) lines.push(await line(statement));
	const head = [
		'statement',
		'bytes',
		'effect',
		'first, us',
		'of it parsing',
		'repeat, us',
		'new literal, us',
		'without analysis',
	];
	console.log(table(head, lines));
} finally {
	await decider.close();
}
