/** What the analysis believes of a value's type is what the server makes of it: overloads, operators and casts are told apart by it. */
import fc from 'fast-check';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { defaultSqlLimits, parse } from '../../src/sql/parse.ts';
import { queryNode } from '../../src/sql/query.ts';
import { baseType } from '../../src/sql/types.ts';
import { newWalk } from '../../src/sql/walk.ts';
import { statementOf } from '../oracle/grammar.ts';
import { GATEWAY_SETUP, MASKS, RULES as WORLD_RULES, WHO } from '../oracle/world.ts';
import { type Bench, openBench } from './bench.ts';
import { openPeople, RULES, SETUP } from './people.ts';

const MORE = `
create function app.g(int) returns text language sql as $$ select 'allowed' $$;
create function app.g(numeric) returns text language sql as $$ select 'FORBIDDEN numeric' $$;
create function app.g(bigint) returns text language sql as $$ select 'FORBIDDEN bigint' $$;
create function app.g(text) returns text language sql as $$ select 'FORBIDDEN text' $$;
create function app.g(app.small) returns text language sql as $$ select 'FORBIDDEN domain' $$;
create function app.g(varchar) returns text language sql as $$ select 'FORBIDDEN varchar' $$;
create function app.g(int[]) returns text language sql as $$ select 'FORBIDDEN array' $$;
create function hr.h(int, int default 1) returns text language sql as $$ select 'FORBIDDEN default' $$;
create function app.h(int) returns text language sql as $$ select 'allowed' $$;
create function hr.k(variadic int[]) returns text language sql as $$ select 'FORBIDDEN variadic' $$;
create function app.k(int) returns text language sql as $$ select 'allowed' $$;
create type app.pair as (a int, b text);
create type app.cash as (v int);
create type app.named as (n text);
create function app.told(app.cash) returns text language sql as $$ select 'FORBIDDEN cast' $$;
create cast (app.cash as text) with function app.told(app.cash) as assignment;
create function app.bad(varchar, varchar) returns text language sql as $$ select 'FORBIDDEN operator' $$;
create operator app.|| (leftarg = varchar, rightarg = varchar, function = app.bad);
create function app.worse(varchar, text) returns text language sql as $$ select 'FORBIDDEN operator' $$;
create operator app.|< (leftarg = varchar, rightarg = text, function = app.worse);
create function app.fine(text, text) returns text language sql as $$ select 'allowed' $$;
create operator app.|< (leftarg = text, rightarg = text, function = app.fine);
create function app.domained(app.small, app.small) returns text language sql as $$ select 'FORBIDDEN operator' $$;
create operator app.+ (leftarg = app.small, rightarg = app.small, function = app.domained);
`;

let bench: Bench;
beforeAll(async () => {
	const rules = `${RULES}
p, role:analyst, db.app.g(integer), execute, allow
p, role:analyst, db.app.h(integer), execute, allow
p, role:analyst, db.app.k(integer), execute, allow
p, role:analyst, "db.app.fine(text,text)", execute, allow
`;
	bench = await openPeople({ setup: `${SETUP}${MORE}`, rules });
});
afterAll(async () => {
	await bench?.close();
});

/** Queries with one column or several; each type that the analysis names has to be the server's. */
const QUERIES: readonly string[] = [
	"select 1, 1.5, 5000000000, 99999999999999999999, 1e3, 0x10, 0xFFFFFFFFFF, 1_000, true, null, b'1', x'f'",
	"select 'a', 'a'::text, 'a'::varchar, 'a'::varchar(3), 'a'::char(3), 'a'::name, '1'::int, int '1', '{1}'::int[]",
	'select current_date, current_time, current_timestamp, localtime, localtimestamp, current_user, session_user, current_catalog, current_schema',
	"select coalesce(1, 2), coalesce(1, 2.5), coalesce(null, 1), coalesce('a', 'b'), coalesce(1, 5000000000), coalesce('a'::varchar, 'b')",
	"select greatest(1, 2.5), least('a', 'b'), greatest(1, null), least(date '2024-01-01', now())",
	"select case when true then 1 end, case when true then 1 else 2.5 end, case when true then null else 1 end, case 1 when 1 then 'a' else 'b' end",
	"select nullif(1, 2), nullif(1, 2.5), nullif('a', 'b'), nullif('a'::varchar, 'b'), nullif(5::app.small, 6), nullif('{1}'::int[], '{2}'), nullif('sad'::app.mood, 'ok')",
	"select array[1, 2], array[1, 2.5], array['a'], array[null, 1], array[array[1], array[2]], array[]::int[], (array[1, 2.5])[1], (array[1, 2])[1:2]",
	"select row(1, 2), (1, 'a')::app.pair, ((1, 'a')::app.pair).a, ((1, 'a')::app.pair).b",
	"select 1 + 1, 1 + 1.5, 1 / 2, 2 ^ 2, -1, - 1.5, 'a' || 'b', 'a' || 1, 1 || 'a', 7 % 3, 5 & 3, ~5, @ -5, !! 'a'::tsquery",
	'select 1::app.small + 1, 1::app.small + 1.5, 1::smallint + 1, 1::smallint + 1::bigint, 1::real + 1, 1::float8 + 1::numeric',
	"select date '2024-01-01' + 1, date '2024-01-01' - date '2023-01-01', now() - now(), now() + interval '1 day', interval '1 day' * 2, date '2024-01-01' + time '10:00'",
	"select '{1,2}'::int[] || 3, 3 || '{1,2}'::int[], '{1,2}'::int[] || '{3}', '{\"a\":1}'::jsonb -> 'a', '{\"a\":1}'::jsonb ->> 'a', '{\"a\":1}'::json #> '{a}', '{\"a\":1}'::jsonb || '{}'",
	"select 1 = 1, 1 < 2.5, 'a' like 'b', 'a' ~ 'b', 1 between 0 and 2, 1 in (1, 2), 1 = any('{1}'), not true, true and false, null is null, 1 is distinct from 2, exists (select 1)",
	'select (select 1), (select 1 union select 2.5 limit 1), array(select 1), array(select id from app.items), (select label from app.items limit 1)',
	"select abs(-1), abs(-1.5), round(1.5), round(1.5, 1), length('a'), upper('a'), substring('abc', 1, 1), left('a', 1), now(), extract(year from now()), date_part('year', now()), position('a' in 'b')",
	"select count(*), count(id), sum(id), avg(id), min(id), max(label), array_agg(id), string_agg(label, ','), bool_and(true), sum(price), min(at), jsonb_agg(id), json_object_agg(id, label) from app.items",
	'select row_number() over (), rank() over (order by id), lag(id) over (), lag(id, 1, 2.5) over (), first_value(label) over (), ntile(2) over (), sum(id) over () from app.items limit 1',
	'select percentile_cont(0.5) within group (order by id), mode() within group (order by label), percentile_disc(0.5) within group (order by id) from app.items',
	"select array_append('{1}', 2), array_append(null, 1), array_position('{1}'::int[], 1), array_cat('{1}'::int[], '{2}'), array_to_string('{1}'::int[], ','), array_length('{1}'::int[], 1), array_remove(array[1], 1), array_fill(1, '{2}'), unnest('{1}'::int[])",
	"select lower(int4range(1, 2)), int4range(1, 2) * int4range(1, 3), range_merge(int4range(1, 2), int4range(3, 4)), multirange(int4range(1, 2)), enum_first(null::app.mood), enum_range('sad'::app.mood), isempty('empty'::int4range)",
	"select unnest('{a}'::text[]), unnest('{[1,2)}'::int4multirange), unnest('a:1'::tsvector), upper(int4range(1, 2)), upper('{[1,2)}'::int4multirange), upper('a'::text)",
	"select to_json(1), to_jsonb('a'::text), row_to_json(i) from app.items i limit 1",
	"select json_build_object('a', 1), jsonb_path_query('{}', '$'), json_array_length('[]'), json_value('{}', '$'), json_query('{}', '$'), json_exists('{}', '$'), json_object('a': 1), json_array(1), json('{}'), json_scalar(1), json_serialize('{}')",
	"select twice(1), twice('a'), twice(1::smallint), twice('a'::varchar), pair(), (pair()).a, (pair()).b, 1 ~~~ 2, several(1)",
	'select i.* from app.items i limit 1',
	'select * from app.items i join app.notes n on i.id = n.id limit 1',
	'select * from app.items join app.notes using (id) limit 1',
	'select * from app.items natural join app.notes limit 1',
	"select * from (select 1 as id, 2 as n) a join (select 1::bigint as id, 'x'::text as z) b using (id)",
	"select * from (select 1 as id, 2 as n) a full join (select 1::bigint as id, 'x'::text as z) b using (id)",
	"select id, n, z from (select 1 as id, 2 as n) a right join (select 1::bigint as id, 'x'::text as z) b using (id)",
	"select * from (select * from (select 1 as id, 2 as n) a join (select 1 as id, 'x'::text as z) b using (id)) s(p, q, r)",
	"select * from ((select 1 as id, 2 as n) a join (select 1 as id, 'x'::text as z) b using (id)) as s(p, q, r)",
	'select a.id, b.id, j.id from (select 1 as id) a join (select 1::bigint as id) b using (id) as j',
	"select * from (select 1 as a, 2 as b) x natural join (select 'x'::text as c, 1 as a) y natural join (select 1::bigint as b) z",
	"select * from (values (1, 'a'), (2.5, 'b')) v(x, y)",
	"select * from (values (null, 'a'::varchar), (1, 'b')) v(x, y)",
	'select 1 union select 2.5',
	"select 1, 'a' union all select 5000000000, 'b'::varchar",
	'select null union select 1',
	"select * from (select 'a' as x, null as y) s",
	'select * from generate_series(1, 2), generate_series(1::bigint, 2) b, generate_series(1.5, 2) c',
	'select * from generate_series(1, 2) with ordinality as g(a, b)',
	"select * from rows from (generate_series(1, 2), unnest('{a}'::text[])) as r(a, b)",
	"select * from unnest('{1}'::int[], '{a}'::text[]) as u(a, b)",
	"select * from json_to_record('{}') as r(a int, b text)",
	"select * from json_each('{}'), json_each_text('{}') b, jsonb_array_elements('[]') c",
	'select * from pair() with ordinality, pair() as p(x, y)',
	'select s from several(1) s, twice(1) t',
	'select t.*, t from twice(1) t',
	"select * from xmltable('/a' passing '<a/>' columns b int path 'b', c for ordinality)",
	"select * from json_table('[]', '$' columns (a int path '$', b for ordinality))",
	'with a(x) as (select 1), b as (select x + 1.5 as y from a) select * from a, b',
	'with recursive r(n) as (select 1 union all select n + 1 from r where n < 3) select * from r',
	'with recursive r(n) as (select 1 union all select n + 1 from r where n < 3) search breadth first by n set o cycle n set c using p select n, c from r',
	"with x as (insert into app.notes (body) values ('a') returning id, body, n + 0.5 as m) select * from x",
	'select p.*, p from hr.people p limit 1',
	"select id, ssn, salary, born, tags[1], extra -> 'k', extra, boss from people limit 1",
	'select * from directory, nested, snapshot limit 1',
	'select d.ssn, n.n, s.name from directory d, nested n, snapshot s limit 1',
	'select * from events, docs, only docs d, memos limit 1',
	'select oid, relname, relkind, relacl from pg_class limit 1',
	'select (i).label, (i).* from app.items i limit 1',
	"select 'a' collate \"C\", ('a' || 'b') collate \"C\"",
	"select at at time zone 'UTC' from app.items limit 1",
	"select timezone('UTC', now()), now() at local, timestamp '2024-01-01' at time zone 'UTC'",
	"select overlay('abc' placing 'x' from 1), trim('a'), ltrim('a', 'b'), normalize('a'), 'a' similar to 'b', (date '2024-01-01', interval '1 day') overlaps (date '2024-01-01', interval '1 day')",
	"select xmlelement(name a), xmlforest(1 as a), xmlconcat('<a/>'), xmlparse(content 'a'), xmlserialize(content '<a/>' as text), '<a/>' is document, xmlpi(name a), xmlexists('/a' passing '<a/>')",
	"select 'pg_class'::regclass, 'now'::text::date, cast(1 as numeric(5, 2)), 1::int8::int4, 'sad'::app.mood, '5'::app.small, '(1,2)'::point, '1 day'::interval",
	'select grouping(id), merge.n from (select 1 as id, 2 as n) merge group by rollup (id), n',
];

describe('the type of each column', () => {
	test.each(QUERIES)('%s', async (sql) => {
		const { access, catalog } = bench.context();
		const context = {
			access,
			catalog: catalog.snapshot(),
			searchPath: ['hr', 'app'],
			tempSchema: null,
			parameterTypes: [],
			nonce: () => 'n',
		};
		const parsed = parse(sql, defaultSqlLimits);
		const walk = newWalk(context, parsed.source, queryNode);
		const [statement] = parsed.statements;
		if (statement === undefined) throw new Error('no statement');
		const columns = queryNode(walk, statement.node, null, 'output');
		const decision = await bench.decide(sql);
		expect(decision.error).toBeUndefined();
		await bench.client.query('begin');
		const { fields } = await bench.client.query(decision.rewritten);
		await bench.client.query('rollback');
		const names = fields.map((field) => field.name);
		// What the analysis cannot tell it says so; what it says has to be right.
		if (columns === null) return;
		expect(columns.map((column) => column.name)).toEqual(names);
		const text = (type: number | null): number | null => (type === 705 ? 25 : baseType(catalog.snapshot(), type));
		const wrong = fields.flatMap((field, i) => {
			const type = text(columns[i]?.type ?? null);
			return type === null || type === field.dataTypeID
				? []
				: [`${i + 1} ${field.name}: ${type} instead of ${field.dataTypeID}`];
		});
		expect(wrong).toEqual([]);
	});
});

test('the types and names of random queries', async () => {
	const world = await openBench({ setup: GATEWAY_SETUP, rules: WORLD_RULES, masks: MASKS, who: WHO, path: ['lab'] });
	let told = 0;
	const tape = fc.array(fc.nat(9999), { minLength: 40, maxLength: 200, size: 'max' });
	await fc.assert(
		fc.asyncProperty(tape, async (numbers) => {
			const { sql, values, writes } = statementOf(numbers);
			const decision = await world.decide(sql);
			if (writes || decision.effect === 'deny') return;
			const { access, catalog } = world.context();
			const context = {
				access,
				catalog: catalog.snapshot(),
				searchPath: ['lab'],
				tempSchema: null,
				parameterTypes: [],
				nonce: () => 'n',
			};
			const parsed = parse(sql, defaultSqlLimits);
			const [statement] = parsed.statements;
			if (statement === undefined) throw new Error('no statement');
			const columns = queryNode(newWalk(context, parsed.source, queryNode), statement.node, null, 'output');
			await world.client.query('begin');
			const answer = await fieldsOf(world.client, decision.rewritten, values);
			await world.client.query('rollback');
			if (columns === null || answer === null) return;
			expect(columns.map((column) => column.name)).toEqual(answer.map((field) => field.name));
			for (const [n, { type }] of columns.entries()) {
				if (type === null) continue;
				told += 1;
				expect(type === 705 ? 25 : baseType(catalog.snapshot(), type), `${sql}: column ${n + 1}`).toBe(
					answer[n]?.dataTypeID,
				);
			}
		}),
		{ numRuns: 250, seed: 5 },
	);
	await world.close();
	expect(told).toBeGreaterThan(150);
});

/** Null for what the server refuses; the rows are not asked for. */
async function fieldsOf(client: pg.Client, sql: string, values: readonly string[]): Promise<pg.FieldDef[] | null> {
	try {
		const { fields } = await client.query(`select * from (${sql}) as q limit 0`, [...values]);
		return fields;
	} catch {
		return null;
	}
}

/** Each would call the forbidden overload if it ran. */
const FORBIDDEN: readonly string[] = [
	'select g(coalesce(1, 2.5))',
	'select g(case when true then 1 else 2.5 end)',
	'select g(greatest(1, 2.5))',
	'select g((array[1, 2.5])[1])',
	'select g(nullif(1, 2.5))',
	'select g(lag(id, 1, 2.5) over ()) from items',
	'select g(v) from (values (1), (2.5)) t(v)',
	'select g(v) from (select 1 union all select 2.5) t(v)',
	'select g((select 1 union select 2.5 limit 1))',
	'select g(id) from (select 1 as id) a join (select 1::bigint as id) b using (id)',
	'select g(id) from (select 1 as id) a full join (select 1::bigint as id) b using (id)',
	'select g(id) from (select 1 as id) a natural join (select 1::bigint as id) b',
	"select g(q) from (select * from (select 1 as id, 'x'::text as n) a join (select 1 as id, 2 as z) b using (id)) s(p, q, r)",
	"select g(z) from (select * from (select 1 as id, 2 as n) a join (select 1 as id, 'x'::text as z) b using (id)) s",
	"select g(r) from (select * from (select 1 as id, 2 as n) a join (select 1 as id, 'x'::text as z) b using (id)) s(p, q, r)",
	"with s(p, q, r) as (select * from (select 1 as id, 2 as n) a natural join (select 1 as id, 'x'::text as z) b) select g(r) from s",
	'select g(5::app.small)',
	"select g('a'::varchar)",
	"select g('{1}'::int[])",
	'select g(variadic array[1])',
	'select h(1)',
	'select k(1)',
	"select 'a'::varchar || 'b'::varchar",
	"select 'a'::varchar || 'b'",
	"select 'a'::varchar |< 'b'::varchar",
	"select 'a'::varchar |< 'b'::text",
	'select 1::app.small + 1::app.small',
	"select 1::app.small + '1'",
	"select 'a' || unnest('{a}'::varchar[])",
	"select g(unnest('{1.5}'::numeric[]))",
	'select row(1)::app.cash::text',
	'select (array[row(1)::app.cash])::text[]',
	'select text(row(1)::app.cash)',
	'select (row(row(1)::app.cash))::app.named',
];

describe('an overload that no rule allows', () => {
	test.each(FORBIDDEN)('%s', async (sql) => {
		const decision = await bench.decide(sql);
		const direct = await bench.direct(sql);
		// The row must be worth having: on the database itself it does call what it must not.
		expect(JSON.stringify(direct)).toMatch(/FORBIDDEN|"error"/);
		expect(decision.error?.sqlstate).toBe('42501');
		expect(decision.error?.message).toMatch(/permission denied for function/);
	});

	const allowed: readonly string[] = [
		'select g(1)',
		'select g(id) from items',
		'select g(id + 1) from items',
		'select g(coalesce(1, 2))',
		'select g(case when true then 1 end)',
		'select g(id) from items join notes using (id)',
		'select g(q) from (select * from (select 1 as id, 2 as n) a join (select 1 as id, 3 as z) b using (id)) s(p, q, r)',
		"select 'a'::text |< 'b'::text",
		"select 'a' |< 'b'",
		'select 1::app.small + 1',
		"select 'toast.' || x from unnest('{a}'::text[]) x",
		"select 'toast.' || unnest('{a}'::text[])",
		"select g(unnest('{1}'::int[]))",
	];
	test.each(allowed)('but %s', async (sql) => {
		const answer = await bench.run(sql);
		expect(answer.kind === 'error' ? answer.message : 'rows').toBe('rows');
		expect(JSON.stringify(answer)).not.toContain('FORBIDDEN');
	});
});
