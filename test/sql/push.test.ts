/** Conditions that are copied into the fence of a filtered relation: it keeps its index, and the rows stay those that a barrier view gives. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Bench, openBench } from './bench.ts';
import { ANALYST } from './people.ts';

const SETUP = `
create table public.big (id bigint primary key, code text not null unique, tenant text not null, kin int, at timestamptz not null, due date, word text not null);
insert into public.big select i, 'C' || i, case i % 2 when 0 then 'acme' else 'globex' end, nullif(i % 50, 7),
	timestamptz '2024-01-01' + i * interval '1 hour', case when i % 3 > 0 then date '2024-01-01' + i % 100 end, 'w' || i % 13 from generate_series(1, 20000) i;
create index on public.big (kin);
create index on public.big (at);
create table public.kin (id int primary key, tenant text not null, name text not null, next int);
insert into public.kin select i, case i % 3 when 0 then 'globex' else 'acme' end, 'k' || i, i + 1 from generate_series(1, 60) i;
create table public.open (id int primary key, big bigint);
insert into public.open select i, i * 4 from generate_series(1, 30) i;
create view public.big_view with (security_barrier) as select * from public.big where tenant = 'acme';
create view public.kin_view with (security_barrier) as select * from public.kin where tenant = 'acme';
create view public.open_view as select * from public.open;
analyze;
`;
const RULES = `
p, role:analyst, db, connect, allow
p, role:analyst, db.public.*, select, allow
p, role:analyst, db.public.big, update, allow
p, role:analyst, db.public.big, delete, allow
p, role:analyst, db.public.big, select, filter, own
p, role:analyst, db.public.kin, select, filter, own
`;
const MASKS = 'filters:\n  own: "tenant = claims.tenant"\n';

let bench: Bench;
beforeAll(async () => {
	bench = await openBench({ setup: SETUP, rules: RULES, masks: MASKS, who: ANALYST });
});
afterAll(async () => {
	await bench?.close();
});

interface Row {
	/** `@x` stands for the table through the gateway, for the barrier view beside it. */
	readonly sql: string;
	readonly types?: readonly number[];
	readonly values?: readonly string[];
}

const INT4 = 23;
const INT8 = 20;

/** LIKE is not leakproof, so each of these has a fence around every filtered table. */
const indexed: readonly Row[] = [
	{ sql: `select * from @big where id = 400 and word like 'w%'` },
	{ sql: `select * from @big where 400 = id and word like 'w%'` },
	{ sql: `select * from @big where id = 9999999999 and word like 'w%'` },
	{ sql: `select * from @big where id = '400'::bigint and word like 'w%'` },
	{ sql: `select * from @big where id = cast($1 as int8) and word like 'w%'`, values: ['400'] },
	{ sql: `select * from @big where id = $1 and word like 'w%'`, types: [INT8], values: ['400'] },
	{ sql: `select * from @big where id = $1 and word like 'w%'`, values: ['400'] },
	{ sql: `select * from @big where id = 200 + 200 and word like 'w%'` },
	{ sql: `select * from @big where id = abs(-400) and word like 'w%'` },
	{ sql: `select * from @big where code = 'C400' and word like 'w%'` },
	{ sql: `select * from @big where id in (2, 4, 400) and word like 'w%'` },
	{ sql: `select * from @big where code in ('C2', 'C400') and word like 'w%'` },
	{ sql: `select * from @big where id in (2, '4', 400) and word like 'w%'` },
	{ sql: `select * from @big where id = any('{2,400}') and word like 'w%'` },
	{ sql: `select * from @big where id = any($1) and word like 'w%'`, types: [1016], values: ['{2,400}'] },
	{ sql: `select * from @big where (id = 2 or code = 'C400') and word like 'w%'` },
	{ sql: `select * from @big where id between 400 and 404 and word like 'w%'` },
	{ sql: `select * from @big where not (id < 19990 or id > 20000) and word like 'w%'` },
	{
		sql: `select * from @big where at >= timestamptz '2024-02-01' - interval '3 hours' and at < '2024-02-01' and word like 'w%'`,
	},
	{ sql: `select * from @big where at > now() + interval '9 years' and word like 'w%'` },
	{ sql: `select * from @big where at = date_trunc('day', timestamptz '2024-02-01 10:00') and word like 'w%'` },
	{ sql: `select * from @big b join @kin k on k.id = b.kin where b.id = 400 and k.name like 'k%'` },
	{ sql: `select * from @kin k join @big b on b.kin = k.id where k.id = 5 and b.word like 'w%'` },
	{ sql: `select * from @kin k join @big b on b.kin = k.id and k.id = 5 and b.kin = 5 and b.word like 'w%'` },
	{ sql: `select * from @kin k, @big b where b.kin = k.id and 5 = k.id and b.word like 'w%'` },
	{ sql: `select * from @kin k left join @big b on b.kin = k.id and b.word like 'w%' where k.id = 5` },
	{ sql: `select * from @kin k left join @big b on b.kin = 5 and b.word like 'w%' where k.id < 3` },
	{ sql: `select * from @big b right join @kin k on b.kin = k.id and b.word like 'w%' where k.id = 5` },
	{ sql: `select * from @open o join @big b on b.id = o.big where o.big = 400 and b.word like 'w%'` },
	{
		sql: `select id, big from @open o join (select id as big, word from @big) b using (big) where big = 400 and word like 'w%'`,
	},
	{ sql: `select * from (select *, upper(word) as up from @big) s where s.id = 400 and s.word like 'w%'` },
	{ sql: `select * from (select id as i, word w from @big) s (n) where n = 400 and w like 'w%'` },
	{ sql: `select * from (select * from (select * from @big) r) s where s.id = 400 and s.word like 'w%'` },
	{ sql: `with s as (select * from @big) select * from s where id = 400 and word like 'w%'` },
	{
		sql: `with s (a, b) as (select id, word from @big), t as (select * from s) select * from t where a = 400 and b like 'w%'`,
	},
	{
		sql: `select name, (select max(b.word) from @big b where b.kin = 5 and b.word like 'w%') from @kin k where k.id < 5`,
	},
];

/** What may not be copied, or not everywhere. */
const others: readonly Row[] = [
	{
		sql: `select * from @kin k left join @big b on b.kin = k.id and b.id < 40 where b.id is null and k.name like 'k%'`,
	},
	{
		sql: `select * from @kin k left join @big b on b.kin = k.id and b.id < 40 where not (b.id is not null) and k.name like 'k%'`,
	},
	{
		sql: `select * from @kin k left join @big b on b.kin = k.id and b.id < 40 where (b.id is null or b.id = 4) and k.name like 'k%'`,
	},
	{ sql: `select * from @kin k left join @big b on b.kin = k.id and k.id = 5 and b.word like 'w1%' where k.id < 9` },
	{
		sql: `select * from @kin k left join (@big b join @open o on b.id = o.big and o.id = 5) on b.kin = k.id and k.name like 'k%'`,
	},
	{
		sql: `select * from @kin k full join (select * from @big where id < 60) b on b.kin = k.id and k.id = 5 and b.word like 'w1%'`,
	},
	{
		sql: `select * from @kin k full join (select * from @big where id < 60) b on b.kin = k.id where k.id = 4 and k.name like 'k%'`,
	},
	{
		sql: `select * from @kin k full join @open o using (id) where id = 35 and k.name is null and coalesce(name, 'k') like 'k%'`,
	},
	{
		sql: `select * from @open o left join (select * from @big where id < 60) b on b.id = o.big and b.word like 'w%' where b.due is null`,
	},
	{
		sql: `with s as (select * from @big where word like 'w%') select count(*) from s where id = 400 union all select count(*) from s`,
	},
	{
		sql: `with s as (select * from @big) select (select count(*) from s), id from s where id = 400 and word like 'w%'`,
	},
	{ sql: `select * from (select * from @big order by id limit 5) s where s.id = 400 and s.word like 'w%'` },
	{
		sql: `select * from (select distinct on (kin) * from @big order by kin, id) s where s.id < 60 and s.word like 'w%'`,
	},
	{ sql: `select * from (select id, count(*) over () as n, word from @big) s where s.id = 400 and s.word like 'w%'` },
	{
		sql: `select * from (select id, generate_series(1, 2) as n, word from @big) s where s.id = 400 and s.word like 'w%'`,
	},
	{ sql: `select * from (select max(id) as id, max(word) as word from @big) s where s.id = 400 and s.word like 'w%'` },
	{
		sql: `select * from (select kin as id, count(*) as n, max(word) as word from @big group by kin) s where s.id = 4 and s.word like 'w%'`,
	},
	{
		sql: `select * from (select id from @kin union all select kin from @big where id < 50) s where s.id = 4 and s.id::text like '4%'`,
	},
	{ sql: `select * from @big where (id = 400 or word like 'w1%') and id < 450` },
	{ sql: `select * from @big where due is null and id < 60 and word like 'w%'` },
	{
		sql: `select * from @big b join @kin k on k.id = b.kin where (b.id = 4 or k.id = 5) and b.id < 60 and b.word like 'w%'`,
	},
	{ sql: `select lower($1), id from @big where word like 'w%' and id = $2`, types: [0, INT4], values: ['X', '400'] },
	{
		sql: `select count(*) from @big where exists (select from @kin k where k.id = kin and k.name like 'k1%') and id < 500`,
	},
	{
		sql: `with recursive r (id, next, name) as (select id, next, name from @kin where id = 1 union all select k.id, k.next, k.name from r join @kin k on k.id = r.next where k.id < 9 and k.name like 'k%') select * from r`,
	},
];

const through = (sql: string): string => sql.replaceAll('@', 'public.');
const beside = (sql: string): string => sql.replaceAll(/@(\w+)/g, 'public.$1_view');

async function compare({ sql, types = [], values = [] }: Row): Promise<void> {
	const gateway = await bench.run(through(sql), { types, values });
	const view = await bench.direct(beside(sql), values);
	if (gateway.kind !== 'rows' || view.kind !== 'rows') throw new Error(JSON.stringify([gateway, view]));
	const sorted = (rows: readonly (readonly (string | null)[])[]): readonly string[] =>
		rows.map((row) => JSON.stringify(row)).toSorted();
	expect(sorted(gateway.rows)).toEqual(sorted(view.rows));
}

describe('an index is used behind a fence', () => {
	test.each(indexed)('$sql', async (row) => {
		const { sql, types = [], values = [] } = row;
		const { rewritten, error } = await bench.decide(through(sql), { types });
		expect(error).toBeUndefined();
		expect(rewritten).toContain('OFFSET 0');
		const answer = await bench.direct(`explain ${rewritten}`, values);
		const plan = answer.kind === 'rows' ? answer.rows.map(([line]) => line ?? '').join('\n') : answer.message;
		expect(plan).toMatch(/Index.* on big/);
		await compare(row);
	});
});

describe('rows are those of a barrier view', () => {
	test.each(others)('$sql', compare);
});

describe('a write by its key keeps the index', () => {
	test.each([
		`update @big set word = 'x' where id = 400 and word like 'w%'`,
		`update @big b set word = k.name from @kin k where k.id = b.kin and b.id = 400 and k.name like 'k%'`,
		`update @big b set word = k.name from @kin k where k.id = b.kin and k.id = 5 and b.word like 'w%'`,
		`delete from @big where code = 'C400' and word like 'w%'`,
		`delete from @big b using @open o where b.id = o.big and o.big = 400 and b.word like 'w%'`,
	])('%s', async (sql) => {
		const { rewritten, error } = await bench.decide(through(sql));
		expect(error).toBeUndefined();
		expect(rewritten).toContain('CASE WHEN');
		const answer = await bench.direct(`explain ${rewritten}`);
		const plan = answer.kind === 'rows' ? answer.rows.map(([line]) => line ?? '').join('\n') : answer.message;
		expect(plan).toMatch(/Index.* on big/);
		const gateway = await bench.run(through(sql));
		const view = await bench.direct(beside(sql));
		expect(gateway.kind === 'rows' && gateway.tag).toBe(view.kind === 'rows' && view.tag);
	});
});

describe('a write that joins by a key does not try every pair of rows', () => {
	test.each([
		`update @big b set word = k.name from @kin k where k.id = b.kin and b.word like 'w%'`,
		`update @big b set word = 'x' from @open o where o.big = b.id and b.word like 'w%'`,
		`delete from @big b using @kin k where b.kin = k.id and k.name || b.word like 'k%'`,
	])('%s', async (sql) => {
		const { rewritten, error } = await bench.decide(through(sql));
		expect(error).toBeUndefined();
		expect(rewritten).toContain('CASE WHEN');
		const answer = await bench.direct(`explain ${rewritten}`);
		const plan = answer.kind === 'rows' ? answer.rows.map(([line]) => line ?? '').join('\n') : answer.message;
		expect(plan).toMatch(/(Hash|Merge) Cond|Index Cond/);
		const gateway = await bench.run(through(sql));
		const view = await bench.direct(beside(sql));
		expect(gateway.kind === 'rows' && gateway.tag).toBe(view.kind === 'rows' && view.tag);
	});
});
