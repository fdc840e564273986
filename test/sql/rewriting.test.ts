/** What is written into a text does not depend on where in the text a statement stands, nor on how it is laid out. */
import fc from 'fast-check';
import { scanSync } from 'libpg-query';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { statementOf } from '../oracle/grammar.ts';
import { GATEWAY_SETUP, MASKS, RULES, WHO } from '../oracle/world.ts';
import { type Bench, openBench } from './bench.ts';

/** Every kind of edit: qualified names, subqueries with and without a fence, filters, checks, masks in place, stars, GROUP BY, COPY. */
const STATEMENTS: readonly string[] = [
	'select 1',
	'select ssn from people where id = 1',
	'select lab.people.ssn from lab.people',
	'table people',
	'table only teams',
	'select * from only (lab.people)',
	'select p.* from people as p(a, b), lateral (select p.a) q',
	'select id, name from people group by id',
	"select count(*) from people p join teams t on t.id = p.team where p.ssn like 'X%' and p.id = 5 for update of p",
	'select * from people tablesample bernoulli (50) repeatable (1) where id > 1',
	'with people as (select * from people) select * from people union select * from lab.people order by 1',
	"select mode() within group (order by lab.people.ssn), max(lab.people.id) filter (where lab.people.name = 'x') from lab.people",
	'select * from directory, loud, snap, docs, memos, "Odd Table"',
	"update people set name = 'x'",
	"update people p set name = 'x' where p.ssn = '1' returning p.ssn, *",
	"update people set tenant = 'x' where id = 1 or name ~ 'y' returning id + 1, name n, upper(ssn) as u",
	'update people set name = t.title from teams t join items using (id) where t.id = team returning *',
	"delete from people using teams where teams.id = people.team and ssn = '1' returning people.*",
	'delete from events',
	"insert into people (id, tenant, name) values (1, 'acme', 'x')",
	"insert into people (id, tenant) select id, tenant from lab.people where ssn = '1' on conflict (id) do update set name = 'x' where people.ssn = '2' returning ssn",
	"merge into people p using teams t on t.id = p.id and p.name = t.title when matched and p.ssn = '1' then update set name = 'x' when not matched by source then delete",
	"with w as (delete from people where id = 1 returning *), v as (insert into events values (1, '2024-01-01', 'acme', 'x')) select * from w",
	'copy people to stdout',
	'copy people (id, ssn) to stdout with (format csv)',
	'copy people from stdin where id > 5',
	'copy events from stdin',
	'create temp table x as select ssn from people',
	'declare c cursor for select * from people',
	'prepare p as select ssn from people where id = $1',
	'set statement_timeout = 5',
	'begin',
];

let bench: Bench;
beforeAll(async () => {
	bench = await openBench({
		setup: GATEWAY_SETUP,
		rules: `${RULES}\np, role:analyst, db, temp, allow\n`,
		masks: MASKS,
		who: WHO,
		path: ['lab'],
	});
});
afterAll(async () => {
	await bench?.close();
});

/** The text that is forwarded, with the words of checks made equal; what is said instead when it is refused. */
async function rewrite(sql: string): Promise<string> {
	const decision = await bench.decide(sql);
	if (decision.effect === 'deny') return `refused: ${decision.error?.sqlstate} ${decision.error?.message}`;
	return decision.rewritten.replaceAll(/portcullis_check_[0-9a-f]+/g, 'check');
}

function tokens(sql: string): readonly string[] {
	return scanSync(sql)
		.tokens.filter((token) => !token.tokenName.endsWith('_COMMENT'))
		.map((token) => token.text);
}

/** Another layout of the same statement. */
const LAYOUTS: Readonly<Record<string, (sql: string) => string>> = {
	'comments between all tokens': (sql) => tokens(sql).join(' /* ü€😀 ; where ( */ '),
	'a line for each token': (sql) => tokens(sql).join(" -- ' ; returning )\n\t"),
	'as little space as can be': (sql) =>
		tokens(sql).reduce(
			(text, token) =>
				/[\w"'$\u0080-\uffff]$/.test(text) && /^[\w"'$\u0080-\uffff]/.test(token)
					? `${text} ${token}`
					: /[-+*/<>=~!@#%^&|`?:.]$/.test(text) && /^[-+*/<>=~!@#%^&|`?:.]/.test(token)
						? `${text} ${token}`
						: text + token,
			'',
		),
	'capital letters': (sql) =>
		tokens(sql)
			.map((token) => (/^[a-z_]\w*$/.test(token) ? token.toUpperCase() : token))
			.join(' '),
};

async function sameInAllLayouts(sql: string): Promise<void> {
	const want = tokens(await rewrite(sql)).map((token) => token.toLowerCase());
	for (const [name, layout] of Object.entries(LAYOUTS)) {
		const got = tokens(await rewrite(layout(sql))).map((token) => token.toLowerCase());
		expect(got, `${name}: ${layout(sql)}`).toEqual(want);
	}
}

describe('a statement', () => {
	test.each(STATEMENTS)('%s', async (sql) => {
		const want = await rewrite(sql);
		expect(want).not.toMatch(/^refused/);
		expect(await rewrite(`${sql};`)).toBe(`${want};`);
		expect(await rewrite(`/* ünï😀 */ ${sql} -- ; where`)).toBe(`/* ünï😀 */ ${want} -- ; where`);
		await sameInAllLayouts(sql);
	});

	test('that is random', async () => {
		const tape = fc.array(fc.nat(9999), { minLength: 40, maxLength: 200, size: 'max' });
		await fc.assert(
			fc.asyncProperty(tape, async (numbers) => sameInAllLayouts(statementOf(numbers).sql)),
			{ numRuns: 120, seed: 7 },
		);
	});
});

describe('words without blanks between them', () => {
	test.each([
		'select"ssn"from"people"where"id"=1',
		'select(ssn)from people where(id=1)',
		'update people set name=\'x\'where"ssn"=\'1\'returning"ssn",(id)',
		'update people set name=\'x\'where 1=(id)or"ssn"in(\'1\')returning"id"as"x"',
		"insert into people(id,tenant)values(1,'acme')on conflict(id)do update set name='x'where\"people\".\"ssn\"='1'returning(id)",
		'table"people"',
		'select*from only"people"',
		'select*from lateral(table"people")q',
		'delete from people using"teams"where"teams".id=people.team and"ssn"=\'1\'returning"ssn"',
		'merge into"people"p using"teams"t on(t.id=p.id)when matched and"p"."ssn"=\'1\'then delete',
		'select\'x\'from"people"where\'X\'<"ssn"',
	])('%s', async (sql) => {
		const decision = await bench.decide(sql);
		expect(decision.error?.message).toBeUndefined();
		const answer = await bench.direct(decision.rewritten);
		expect(answer.kind === 'error' ? answer.message : 'rows').toBe('rows');
	});
});

describe('two statements in one text', () => {
	test.each(STATEMENTS)('%s', async (first) => {
		for (const second of STATEMENTS) {
			// A parameter that stands twice in a text has no certain type.
			if (first.includes('$1') && second.includes('$1')) continue;
			const want = `${await rewrite(first)} ; ${await rewrite(second)}`;
			expect(await rewrite(`${first} ; ${second}`)).toBe(want);
			const decision = await bench.decide(`${first} ; ${second}`);
			const own = decision.statements.map((statement) =>
				statement.rewritten.replaceAll(/portcullis_check_[0-9a-f]+/g, 'check'),
			);
			expect(own).toEqual([await rewrite(first), await rewrite(second)]);
		}
	});
});
