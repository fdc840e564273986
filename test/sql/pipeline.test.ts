/** The pipeline as a whole: what it remembers and forgets, texts of several statements, calls by oid, and that it never throws. */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { GatewayError } from '../../src/errors.ts';
import { Pipeline, type PipelineContext } from '../../src/pipeline.ts';
import type { Decision } from '../../src/stages.ts';
import { policyOf } from '../policy/support.ts';
import type { Bench } from './bench.ts';
import { ANALYST, AUDITOR, openPeople, RULES, SETUP, STRANGER } from './people.ts';
import { STATEMENTS } from './statements.ts';
import { cpuMsOf } from '../support/time.ts';

const MORE = `
create function app.noisy() returns int language plpgsql security definer as $$ begin raise exception 'no: %', (select body from hr.secrets limit 1); end $$;
create function app.hidden(int) returns int language sql as 'select $1';
`;

let bench: Bench;
beforeAll(async () => {
	bench = await openPeople({ setup: `${SETUP}${MORE}` });
});
afterAll(async () => {
	await bench?.close();
});

const at = (decision: Decision | Promise<Decision>): Decision => {
	if (decision instanceof Promise) throw new Error('the catalogue was looked at again');
	return decision;
};

describe('what is remembered', () => {
	test('a text is analysed once, for everybody who gets the same answers', () => {
		const pipeline = new Pipeline({ audit: null });
		const context = bench.context();
		const first = at(pipeline.decide(context, 'select ssn from people'));
		expect(at(pipeline.decide(context, 'select ssn from people'))).toBe(first);
		expect(at(pipeline.decide(bench.context({ who: { ...ANALYST, name: 'bob' } }), 'select ssn from people'))).toBe(
			first,
		);
		expect(pipeline.stats).toMatchObject({ hits: 2, misses: 1, looks: 0 });
	});

	const differences: readonly { name: string; ask: Parameters<Bench['context']>[0]; types?: readonly number[] }[] = [
		{ name: 'who asks', ask: { who: AUDITOR } },
		{ name: 'an attribute that the policy uses', ask: { who: { ...ANALYST, claims: { tenant: 'globex' } } } },
		{ name: 'the path', ask: { path: ['other', 'hr'] } },
		{ name: 'the order of the path', ask: { path: ['app', 'hr'] } },
		{ name: 'the temporary schema', ask: { temp: 'pg_temp_7' } },
		{ name: 'the types of the parameters', ask: {}, types: [23] },
	];
	test.each(differences)('but not where $name differs', async ({ ask, types }) => {
		const pipeline = new Pipeline({ audit: null });
		const first = at(pipeline.decide(bench.context(), 'select * from people'));
		const second = await pipeline.decide(bench.context(ask), 'select * from people', types ?? []);
		expect(second).not.toBe(first);
		expect(pipeline.stats).toMatchObject({ hits: 0, misses: 2 });
		// Nothing of the other one has taken the first one's place.
		expect(at(pipeline.decide(bench.context(), 'select * from people'))).toBe(first);
	});

	test('a catalogue that is not known is looked at before a refusal', async () => {
		const pipeline = new Pipeline({ audit: null });
		const { catalog } = bench;
		const late = (type: 'current' | 'stale', known: () => Promise<unknown>): PipelineContext['catalog'] =>
			new Proxy(catalog, {
				get: (target, key) => {
					if (key === 'state') return { type };
					if (key === 'snapshot') return throwUnknown;
					if (key === 'known') return known;
					return key === 'refresh' ? () => target.refresh() : Reflect.get(target, key, target);
				},
			});
		const throwUnknown = (): never => {
			throw new GatewayError('57P03', 'the catalogue is not known at the moment');
		};
		const sql = 'select ssn from people';
		const never = (): Promise<never> => Promise.reject(new Error('nobody asks for it'));
		const busy = await pipeline.decide({ ...bench.context(), catalog: late('current', never) }, sql);
		expect(busy).toMatchObject({ effect: 'mask' });
		const failed = late('stale', () => catalog.refresh());
		expect(await pipeline.decide({ ...bench.context(), catalog: failed }, sql)).toMatchObject({ effect: 'mask' });
		const gone = late('stale', async () => throwUnknown());
		expect(await pipeline.decide({ ...bench.context(), catalog: gone }, sql)).toMatchObject({
			effect: 'deny',
			error: { sqlstate: '57P03' },
		});
	});

	test('paths that join to the same text are not the same', async () => {
		const pipeline = new Pipeline({ audit: null });
		const first = await pipeline.decide(bench.context({ path: ['hr","app'] }), 'select id from items');
		const second = await pipeline.decide(bench.context({ path: ['hr', 'app'] }), 'select id from items');
		expect(first.effect).toBe('deny');
		expect(second.effect).toBe('allow');
	});

	test('memory is bounded', async () => {
		const pipeline = new Pipeline({ audit: null, cacheBytesMax: 64 * 1024, shapesBytesMax: 0 });
		for (let i = 0; i < 200; i += 1) await pipeline.decide(bench.context(), `select ${i} as c${i}`);
		const { decisions, bytes } = pipeline.stats.remembered;
		expect(bytes).toBeLessThanOrEqual(64 * 1024);
		expect(decisions).toBeGreaterThan(5);
		expect(decisions).toBeLessThan(40);
		// The latest are there, the oldest are not.
		await pipeline.decide(bench.context(), 'select 199 as c199');
		expect(pipeline.stats.hits).toBe(1);
		await pipeline.decide(bench.context(), 'select 0 as c0');
		expect(pipeline.stats.hits).toBe(1);
	});

	test('a report is kept, which is much longer than most texts', async () => {
		const pipeline = new Pipeline({ audit: null });
		const sql = Array.from({ length: 250 }, () => 'select id, name, ssn from people where id < 5').join(' union all ');
		const first = await pipeline.decide(bench.context(), sql);
		expect(first.effect).toBe('mask');
		expect(await pipeline.decide(bench.context(), sql)).toBe(first);
		expect(pipeline.stats).toMatchObject({ hits: 1, misses: 1 });
	});

	test('a very long text is not kept', async () => {
		const pipeline = new Pipeline({ audit: null });
		const sql = `select '${'x'.repeat(100_000)}'`;
		await pipeline.decide(bench.context(), sql);
		await pipeline.decide(bench.context(), sql);
		expect(pipeline.stats).toMatchObject({ hits: 0, misses: 2, remembered: { decisions: 0 } });
	});

	test('an answer that rests on a name nobody knows is not kept', async () => {
		const pipeline = new Pipeline({ audit: null });
		expect((await pipeline.decide(bench.context(), 'select * from later')).error?.sqlstate).toBe('42P01');
		await bench.database.sql('create table app.later (a int)');
		expect((await pipeline.decide(bench.context(), 'select * from later')).effect).toBe('allow');
		await bench.database.sql('drop table app.later');
		await bench.catalog.refresh();
		expect((await pipeline.decide(bench.context(), 'select * from later')).error?.sqlstate).toBe('42P01');
	});
});

describe('a decision is of the moment', () => {
	test('another policy', async () => {
		const context = bench.context();
		const decision = await bench.pipeline.decide(context, 'select ssn from people');
		expect(bench.pipeline.isCurrent(decision, context)).toBe(true);
		const stricter = await policyOf(`${RULES}\np, role:analyst, db.hr.people, select, deny\n`);
		const later: PipelineContext = { ...context, access: stricter.accessFor(ANALYST, 'db') };
		expect(bench.pipeline.isCurrent(decision, later)).toBe(false);
		expect((await bench.pipeline.decide(later, 'select ssn from people')).error?.sqlstate).toBe('42501');
		expect((await bench.pipeline.decide(context, 'select ssn from people')).effect).toBe('mask');
	});

	test('another catalogue', async () => {
		const context = bench.context();
		const decision = await bench.pipeline.decide(context, 'select * from notes');
		await bench.database.sql('alter table app.notes add column extra int');
		await bench.catalog.refresh();
		expect(bench.pipeline.isCurrent(decision, context)).toBe(false);
		await bench.database.sql('alter table app.notes drop column extra');
		await bench.catalog.refresh();
		expect(bench.pipeline.isCurrent(decision, context)).toBe(false);
	});

	test.each([{ path: ['app'] }, { path: null }, { temp: 'pg_temp_3' }])('other names: %j', async (ask) => {
		const decision = await bench.pipeline.decide(bench.context(), 'select * from notes');
		expect(bench.pipeline.isCurrent(decision, bench.context(ask))).toBe(false);
	});
});

describe('a text of several statements', () => {
	const rows: readonly { sql: string; want: string | RegExp }[] = [
		{ sql: 'select 1; select 2', want: 'select 1; select 2' },
		{
			sql: 'select id from items; select id from people;',
			want: /^select id from "app"\.items; select id from \(SELECT .*\) AS "people";$/,
		},
		{ sql: 'select 1; select * from secrets', want: /^42501 .*hr\.secrets/ },
		{ sql: 'select * from secrets; select 1', want: /^42501 .*hr\.secrets/ },
		{ sql: 'select 1; selec 2', want: /^42601 syntax error/ },
		{ sql: 'begin; select id from items; commit', want: 'begin; select id from "app".items; commit' },
		{ sql: 'begin; rollback', want: 'begin; rollback' },
		{ sql: 'rollback; begin', want: 'rollback; begin' },
		{ sql: "set work_mem = '1MB'; select id from items", want: 'set work_mem = \'1MB\'; select id from "app".items' },
		{
			sql: 'select id from items; set search_path = other',
			want: 'select id from "app".items; set search_path = other',
		},
		{
			sql: 'set search_path = other; select * from people',
			want: 'set search_path = other; select * from "other".people',
		},
		{ sql: 'SET "Search_Path" = other; select * from people', want: /^42501 .*search_path/ },
		{
			sql: "set schema 'other'; select * from people",
			want: 'set schema \'other\'; select * from "other".people',
		},
		{
			sql: 'set local search_path = other; select * from people',
			want: 'set local search_path = other; select * from "other".people',
		},
		{ sql: 'reset search_path; select * from people', want: /^42501 .*search_path/ },
		{ sql: 'reset all; select * from people', want: /^42501 .*search_path/ },
		{ sql: 'discard all; select * from people', want: /^42501 .*search_path/ },
		{ sql: "select set_config('search_path', 'other', false); select * from people", want: /^42501 .*search_path/ },
		{
			sql: "select 1 from items where pg_catalog.set_config('search_path', 'other', false) = ''; select * from people",
			want: /^42501 .*search_path/,
		},
		{
			sql: "with x as (select set_config('search_path', 'other', false)) select * from x; select * from people",
			want: /^42501 .*search_path/,
		},
		{ sql: "select \"set_config\"('search_path', 'other', false); select * from people", want: /^42501 .*search_path/ },
		{ sql: 'rollback; select id from items', want: 'rollback; select id from "app".items' },
		{ sql: 'rollback to a; select * from people', want: /^42501 .*search_path/ },
		{ sql: 'call tidy(1); select * from people', want: /^42501 .*search_path/ },
		{ sql: 'do $$ begin end $$; select * from people', want: /^42501/ },
		{ sql: 'savepoint a; select id from items', want: 'savepoint a; select id from "app".items' },
		{ sql: ';;select 1;;', want: ';;select 1;;' },
	];
	test.each(rows)('$sql', async ({ sql, want }) => {
		const decision = await bench.decide(sql);
		const got =
			decision.error === undefined ? decision.rewritten : `${decision.error.sqlstate} ${decision.error.message}`;
		if (typeof want === 'string') expect(got).toBe(want);
		else expect(got).toMatch(want);
	});

	test('is refused as a whole, with the first reason', async () => {
		const decision = await bench.decide('select id from items; select * from secrets; select nosuch()');
		expect(decision).toMatchObject({ effect: 'deny', rewritten: decision.sql, edits: [] });
		expect(decision.error).toBe(decision.statements[1]?.error);
		expect(decision.statements.map((statement) => statement.effect)).toEqual(['allow', 'deny', 'deny']);
	});

	test('each statement has its own text', async () => {
		const decision = await bench.decide(" select 'ü' ; /* a */ update people set name = 'x' ; ");
		expect(decision.statements.map((statement) => statement.sql)).toEqual([
			"select 'ü'",
			"update people set name = 'x'",
		]);
		expect(decision.statements.map((statement) => statement.node)).toEqual(['SelectStmt', 'UpdateStmt']);
	});
});

describe('FunctionCall', () => {
	const oidOf = async (signature: string): Promise<number> => {
		const { rows } = await bench.client.query<{ oid: number }>('select $1::regprocedure::oid::int as oid', [signature]);
		return rows[0]?.oid ?? 0;
	};
	test.each([
		['app.twice(integer)', null],
		['app.forbidden(integer)', /^42501 permission denied for function app\.forbidden\(integer\): no rule/],
		['pg_catalog.abs(integer)', /^42501 .*pg_catalog\.abs\(integer\)/],
		['pg_catalog.current_setting(text)', /^42501 .*pg_catalog\.current_setting\(text\)/],
		['pg_catalog.set_config(text,text,boolean)', /^42501/],
		['pg_catalog.nextval(regclass)', /^42501/],
		['pg_catalog.domain_in(cstring,oid,integer)', /^42501/],
		['pg_catalog.array_in(cstring,oid,integer)', /^42501/],
		['pg_catalog.to_json(anyelement)', /^42501/],
		['pg_catalog.lo_open(oid,integer)', /^42501/],
		['pg_catalog.pg_read_file(text)', /^42501/],
	])('%s', async (signature, want) => {
		const decision = bench.pipeline.decideCall(bench.context(), await oidOf(signature));
		const got = decision.error === undefined ? null : `${decision.error.sqlstate} ${decision.error.message}`;
		if (want === null) expect(got).toBeNull();
		else expect(got).toMatch(want);
		expect(decision.statements[0]?.touchesProtected).toBe(true);
	});

	test('an oid that is none', () => {
		expect(bench.pipeline.decideCall(bench.context(), 4_000_000_000).error).toMatchObject({ sqlstate: '42883' });
	});

	test('a wildcard does not open what is harmful', async () => {
		const who = AUDITOR;
		expect(bench.pipeline.decideCall(bench.context({ who }), await oidOf('app.forbidden(integer)')).effect).toBe(
			'allow',
		);
		expect(bench.pipeline.decideCall(bench.context({ who }), await oidOf('pg_catalog.pg_read_file(text)')).effect).toBe(
			'deny',
		);
	});
});

describe('whatever is sent', () => {
	test.each(STATEMENTS.map((sql) => sql.replaceAll(/\s+/g, ' ')))('a decision comes back: %s', async (sql) => {
		for (const who of [ANALYST, AUDITOR, STRANGER]) {
			const decision = await bench.decide(sql, { who });
			expect(decision.statements.length).toBe(1);
			expect(decision.error?.sqlstate).not.toBe('XX000');
			if (decision.effect === 'deny') expect(decision.error).toBeInstanceOf(GatewayError);
			if (who === STRANGER && decision.effect === 'mask') throw new Error('nothing is masked for who may see nothing');
		}
	});

	test('random bytes and broken statements', async () => {
		const pieces = fc.constantFrom(
			...STATEMENTS.flatMap((sql) => sql.split(/\b/)),
			"'",
			'"',
			'$$',
			'/*',
			'--',
			';',
			'(',
			')',
			'\\',
			'€',
			'😀',
			'\u0000',
			' ',
		);
		await fc.assert(
			fc.asyncProperty(
				fc.oneof(
					fc.string({ unit: 'binary' }),
					fc.array(pieces, { maxLength: 40 }).map((parts) => parts.join('')),
				),
				async (sql) => {
					const decision = await bench.pipeline.decide(bench.context(), sql);
					if (decision.effect === 'deny') {
						expect(decision.error).toBeInstanceOf(GatewayError);
						expect(decision.error?.sqlstate).toMatch(/^[0-9A-Z]{5}$/);
						expect(decision.error?.sqlstate).not.toBe('XX000');
						expect(decision.rewritten).toBe(sql);
					}
				},
			),
			{ numRuns: 500 },
		);
	});

	const towers: Readonly<Record<string, string>> = {
		'a thousand joins': `select 1 from items i0 ${Array.from({ length: 1000 }, (_, i) => `join items i${i + 1} on i${i + 1}.id = i${i}.id`).join(' ')}`,
		'a hundred protected joins': `select 1 from people i0 ${Array.from({ length: 100 }, (_, i) => `join people i${i + 1} on i${i + 1}.id = i${i}.id`).join(' ')}`,
		'deep brackets': `select ${'('.repeat(1500)}1${')'.repeat(1500)}`,
		'ten thousand brackets': `select ${'('.repeat(10_000)}1${')'.repeat(10_000)}`,
		'a long chain': `select id${' + id'.repeat(1900)} from items`,
		'a long chain over a protected table': `select id${' + id'.repeat(1900)} from people`,
		'nested subqueries': `${'select * from ('.repeat(150)}select * from people${') q'.repeat(150)}`,
		'nested sublinks': `select ${'(select '.repeat(400)}1${')'.repeat(400)}`,
		'ten thousand conditions': `select 1 from people where ${'id = 1 or '.repeat(10_000)}false`,
		'ten thousand values': `select 1 from people where id in (${'1,'.repeat(10_000)}2)`,
		'ten thousand rows': `insert into notes (body) values ${"('x'),".repeat(10_000)}('y')`,
		'ten thousand columns': `select ${'id,'.repeat(10_000)}id from people`,
		'a thousand unions': `select 1${' union select 1'.repeat(1000)}`,
		'two thousand queries, each of the one before': `with c0 as (select id, ssn from people) ${Array.from({ length: 2000 }, (_, i) => `, c${i + 1} as (select id, ssn from c${i} where id > ${i})`).join('')} select * from c2000`,
		'a thousand statements': 'select id from people;'.repeat(1000),
	};
	test.each(Object.keys(towers))('%s take no more than a moment', async (name) => {
		const sql = towers[name] ?? '';
		const asked = async (): Promise<void> => {
			const decision = await bench.decide(sql);
			expect(decision.error?.sqlstate ?? 'none').toMatch(/^(none|54001|54000|54011)$/);
		};
		expect(await cpuMsOf(asked)).toBeLessThan(5000);
		expect((await bench.decide('select 1')).effect).toBe('allow');
	});
});
