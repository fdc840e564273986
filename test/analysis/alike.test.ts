/** What the thread decides is what the event loop decides, of every kind of statement and for everybody. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Analyst } from '../../src/analysis/analyst.ts';
import type { Relation } from '../../src/catalog/snapshot.ts';
import { GatewayError } from '../../src/errors.ts';
import { Pipeline, type PipelineContext } from '../../src/pipeline.ts';
import type { Decision, StatementDecision } from '../../src/stages.ts';
import { policyOf } from '../policy/support.ts';
import type { Bench } from '../sql/bench.ts';
import { ANALYST, AUDITOR, MANAGER, openPeople, RULES, SETUP, STRANGER } from '../sql/people.ts';
import { STATEMENTS } from '../sql/statements.ts';

let bench: Bench;
let analyst: Analyst;
let aside: Pipeline;
const inLoop = new Pipeline({ audit: null, shapesBytesMax: 0 });

beforeAll(async () => {
	bench = await openPeople({ setup: SETUP });
	analyst = new Analyst({ waitingMax: 100_000_000, timeoutMs: 600_000 });
	aside = new Pipeline({ audit: null, shapesBytesMax: 0, analyst, asideMin: 0 });
});
afterAll(async () => {
	await analyst?.close();
	await bench?.close();
});

/** As it can be compared: the words of each analysis are random, and rules are the same where they say the same. */
function plain(decision: Decision): unknown {
	const told = (_key: string, value: unknown): unknown => {
		if (value instanceof GatewayError) {
			const { message, sqlstate, severity, detail, hint, position, raisedBy } = value;
			return { message, sqlstate, severity, detail, hint, position, raisedBy };
		}
		return value instanceof Set ? [...value] : value;
	};
	return JSON.parse(JSON.stringify(decision, told).replaceAll(/portcullis_check_[0-9a-f]+/g, 'check'));
}

async function alike(context: PipelineContext, sql: string, types: readonly number[] = []): Promise<Decision> {
	const here = await inLoop.decide(context, sql, types);
	const there = await aside.decide(context, sql, types);
	expect(plain(there), sql).toEqual(plain(here));
	return there;
}

/** On relations and code that are there. */
const REAL: readonly string[] = [
	'select * from people',
	'select ssn, name from hr.people where ssn like $1 and id = $2',
	'select * from directory d join pairs p on p.a = d.name where d.ssn is null',
	'select title, top from nested order by n',
	'select count(*) from snapshot where ssn > $1',
	"insert into notes (body) values ('n'), ('m') returning body, n",
	"update people set name = upper(name) where ssn = 'x' returning *",
	'delete from hr.docs where id = 1',
	'merge into hr.docs d using people p on p.id = d.id when matched then delete',
	'select app.twice(id), app.forbidden(1) from items',
	'select id ~~~ 1 from items',
	'create temp table mine (a int); insert into mine values (1); select * from mine, people',
	'create view seen as select ssn from people; select * from seen',
	'alter table items rename to things; select * from things; select * from items',
	'drop table if exists nowhere, items; select * from items',
	'alter schema app rename to elsewhere',
	'create function later(people) returns int language sql as $$ select 1 $$',
	'copy people to stdout',
	'copy (select ssn from people) to stdout (format csv)',
	'execute known(1)',
	'execute unknown(1)',
	'explain select * from people',
	'select; ; select 1',
	'selec 1',
	'select 1; selec 2',
	'select * from nowhere',
	"select nothing_such('a')",
	'set search_path = hr; select * from people',
	"select 'é', U&'\\0041', ssn from people",
	'',
	' -- nothing',
];

describe('a decision', () => {
	const people = [
		{ name: 'an analyst', who: ANALYST },
		{ name: 'an auditor', who: AUDITOR },
		{ name: 'a manager', who: MANAGER },
		{ name: 'a stranger', who: STRANGER },
	];
	it.each(people)('on what is there is the same, for $name', async ({ who }) => {
		for (const sql of REAL) await alike(bench.context({ who }), sql);
	});

	it('on every kind of statement is the same', async () => {
		for (const sql of STATEMENTS) await alike(bench.context(), sql);
	});

	it('of a session whose names nobody knows is the same', async () => {
		for (const sql of ['select 1', 'selec']) await alike(bench.context({ path: null }), sql);
	});

	it('with types of parameters is the same', async () => {
		await alike(bench.context(), 'select $1, ssn from people where id = $2', [25, 23]);
	});

	it('on what the session has prepared is the same', async () => {
		const prepared = await inLoop.decide(bench.context(), 'select ssn from people where id = $1');
		const [statement] = prepared.statements;
		if (statement === undefined) throw new Error('nothing was prepared');
		const context: PipelineContext = {
			...bench.context(),
			prepared: (name) => (name === 'known' ? { decision: prepared, statement } : undefined),
		};
		for (const sql of ['execute known(1)', 'explain execute known(1)', 'execute unknown']) await alike(context, sql);
		expect((await alike(context, 'execute known(1)')).effect).toBe('mask');
	});

	it('on relations that only the session sees is the same', async () => {
		const items = bench.catalog.snapshot().relation('app', 'items');
		if (items === undefined) throw new Error('app.items is not there');
		const own: readonly Relation[] = [
			{ ...items, oid: 900_001, schema: 'pg_temp_3', temporary: true },
			{ ...items, oid: 900_002, schema: 'hr', name: 'fresh' },
		];
		const context = bench.context({ temp: 'pg_temp_3' });
		const mine: PipelineContext = { ...context, names: { ...context.names, own } };
		for (const sql of ['select * from items', 'select * from hr.fresh, people', 'alter table items rename to people'])
			await alike(mine, sql);
	});
});

describe('what changes meanwhile', () => {
	/** A pipeline in which `change` happens behind each of the first analyses. */
	function changing(times: number, change: () => Promise<unknown>): Pipeline {
		let left = times;
		return new Pipeline({
			audit: null,
			asideMin: 0,
			analyst: {
				analyse: async (text) => {
					const analysis = await analyst.analyse(text);
					left -= 1;
					if (left >= 0) await change();
					return analysis;
				},
			},
		});
	}
	let last = 0;
	const makes = async (): Promise<void> => {
		last += 1;
		await bench.database.sql(`create table app.made${last} (a int)`);
		await bench.catalog.refresh();
	};

	it('the catalogue: it is decided anew', async () => {
		const pipeline = changing(1, makes);
		const decision = await pipeline.decide(bench.context(), 'select ssn from people');
		expect(decision.effect).toBe('mask');
		expect(pipeline.isCurrent(decision, bench.context())).toBe(true);
	});

	it('the policy, under what was prepared: it is decided anew beside the loop, and again where the policy changes meanwhile', async () => {
		const long = `prepare p as select ssn from people where id in (${'1, '.repeat(100)}2)`;
		const asked: string[] = [];
		let left = 0;
		const pipeline = new Pipeline({
			audit: null,
			asideMin: 200,
			analyst: {
				analyse: async (text) => {
					asked.push(text.sql);
					const analysis = await analyst.analyse(text);
					left -= 1;
					if (left >= 0) await makes();
					return analysis;
				},
			},
		});
		const decision = await pipeline.decide(bench.context(), long);
		const statement = decision.statements[0] as StatementDecision;
		const context = { ...bench.context(), prepared: () => ({ decision, statement }) };
		expect((await pipeline.decide(context, 'execute p')).effect).toBe('mask');
		expect(asked).toEqual([long]);
		await makes();
		expect((await pipeline.decide(context, 'execute p')).statements[0]).toMatchObject({
			effect: 'mask',
			touchesProtected: true,
		});
		expect(asked).toEqual([long, long]);
		left = 1;
		const renewed = await pipeline.decide(context, 'execute p');
		expect(renewed.effect).toBe('mask');
		expect(pipeline.isCurrent(renewed, context)).toBe(true);
		expect(asked).toEqual([long, long, long, long]);
		const other = { ...context, access: bench.context({ who: STRANGER }).access };
		expect((await pipeline.decide(other, 'execute p')).error?.sqlstate).toBe('42501');
	});

	it('without an end: it is refused, and that is not remembered', async () => {
		const pipeline = changing(3, makes);
		expect((await pipeline.decide(bench.context(), 'select ssn from people')).error?.sqlstate).toBe('40001');
		expect((await pipeline.decide(bench.context(), 'select ssn from people')).effect).toBe('mask');
	});

	it('whoever waits leaves: that is not remembered either', async () => {
		const leaving = new AbortController();
		leaving.abort(new GatewayError('57014', 'canceling statement due to user request'));
		const pipeline = changing(0, makes);
		const context = bench.context();
		const gone = await pipeline.decide({ ...context, interruption: () => leaving.signal }, 'select 1 from people');
		expect(gone.error?.sqlstate).toBe('57014');
		expect((await pipeline.decide(context, 'select 1 from people')).effect).toBe('mask');
	});

	it('the policy is told apart by its revision', async () => {
		const stricter = await policyOf(`${RULES}\np, role:analyst, db.hr.people, select, deny\n`);
		const context = { ...bench.context(), access: stricter.accessFor(ANALYST, 'db') };
		expect((await alike(context, 'select ssn from people')).error?.sqlstate).toBe('42501');
		expect((await alike(bench.context(), 'select ssn from people')).effect).toBe('mask');
	});
});

it('what is remembered of a long text is found without the thread', async () => {
	const pipeline = new Pipeline({ audit: null, analyst });
	const sql = `select ssn from people where id in (${Array.from({ length: 5_000 }, (_, i) => i).join(', ')})`;
	const first = await pipeline.decide(bench.context(), sql);
	expect(first.effect).toBe('mask');
	expect(pipeline.decide(bench.context(), sql)).toBe(first);
});
