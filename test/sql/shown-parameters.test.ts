/** Which bind parameters may stand in the audit log: those that meet a masked or hidden column, or may, do not. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Identity } from '../../src/stages.ts';
import type { Bench } from './bench.ts';
import { ANALYST, AUDITOR, openPeople, RULES, SETUP } from './people.ts';
import { cpuMsOf } from '../support/time.ts';

/** Stands for pgcrypto's. */
const CRYPT = `create function app.crypt(text, text) returns text language sql immutable as 'select $2'`;

let bench: Bench;
beforeAll(async () => {
	bench = await openPeople({
		setup: `${SETUP}${CRYPT}`,
		rules: `${RULES}p, role:analyst, db.app.crypt(*), execute, allow\n`,
	});
});
afterAll(async () => {
	await bench?.close();
});

/** `undefined`: the decision says nothing, so that touchesProtected alone decides. */
async function shown(sql: string, who: Identity = ANALYST): Promise<readonly number[] | undefined> {
	const { effect, statements, error } = await bench.decide(sql, { who });
	expect([sql, effect, error?.message]).not.toContain('deny');
	const [statement] = statements;
	if (statement?.shownParameters === undefined) expect(statement?.touchesProtected).toBe(false);
	return statement?.shownParameters && [...statement.shownParameters].sort((left, right) => left - right);
}

describe('on a relation with masked and hidden columns', () => {
	const rows: readonly { readonly sql: string; readonly want: readonly number[] }[] = [
		{ sql: 'select * from people where id = $1', want: [1] },
		{ sql: 'select ssn from people where id = $1 and ssn = $2', want: [1] },
		{ sql: 'select ssn from people where $2 = ssn or not (id < $1)', want: [1] },
		{ sql: 'select 1 from people where id = $1 or ssn like $1', want: [] },
		{ sql: 'select name from people p where p.name in ($1, $2) and p.salary between $3 and $4', want: [1, 2] },
		{ sql: 'select name from people where id = any($1::int[]) limit $2 offset $3', want: [1, 2, 3] },
		{ sql: 'select name from people where lower(name) like $1 || $2 and lower(ssn) like $3', want: [1, 2] },
		{ sql: 'select name from people where (name, ssn) = ($1, $2)', want: [] },
		{ sql: 'select name from people where (name, id) = ($1, $2::int)', want: [1, 2] },
		{ sql: 'select coalesce(ssn, $1), coalesce(name, $2), $3::text from people', want: [2, 3] },
		{ sql: 'select name from people where (ssn = $1) is true', want: [] },
		{ sql: 'select case when ssn is null then $1 else name end from people', want: [] },
		{
			sql: 'select * from people p join teams t on t.id = p.team and t.title = $1 and t.city = $2 || p.ssn',
			want: [1],
		},
		{
			sql: 'select * from items where owner = $1 and id in (select id from people where name = $2 and ssn = $3)',
			want: [1, 2],
		},
		{ sql: 'select * from people where ssn in (select $1)', want: [] },
		{ sql: 'select * from people where $1 = (select max(ssn) from people)', want: [] },
		{
			sql: 'select id from items where label = $1 and exists (select from people where name = $2 and ssn = $3)',
			want: [1, 2],
		},
		{ sql: 'select id from people where id = twice($1) + $2', want: [] },
		{ sql: 'select count(*) filter (where ssn = $1), count(*) filter (where name = $2) from people', want: [2] },
		{ sql: 'select name from people order by ssn = $1, name = $2', want: [2] },
		{ sql: 'select name from people group by name having max(ssn) = $1 and max(name) = $2', want: [2] },
		{ sql: 'select id from people where id = $1 union select id from people where ssn = $2 limit $3', want: [1, 3] },
		{ sql: 'select id from people where twice(id) = $1 and id = twice($2)', want: [] },
		{ sql: 'select people from people where people::text = $1', want: [] },
		{ sql: 'select a.id from people a, items s where s.label = $1 and a.id = s.id and s.id = $2', want: [1, 2] },
		{ sql: 'insert into people (id, tenant, name, ssn) values ($1, $2, $3, $4)', want: [1, 2, 3] },
		{
			sql: "insert into people (id, tenant, name, ssn) values ($1, 'acme', 'a' || $2, $3), ($4, $5, $1::text, $6)",
			want: [1, 2, 4, 5],
		},
		{ sql: "insert into people values ($1, 'acme', $2)", want: [] },
		{ sql: "insert into people (id, tenant, ssn) select id, 'acme', $1 from items where id = $2", want: [2] },
		{
			sql: "insert into people (id, tenant, name) values ($1, 'acme', $4) on conflict (id) do update set ssn = $2, name = $3",
			want: [1, 3, 4],
		},
		{ sql: 'update people set name = $1, ssn = $2 where id = $3', want: [1, 3] },
		{ sql: 'update people set (name, ssn) = ($1, $2) where id = $3', want: [3] },
		{ sql: 'update people set name = $1 from items where items.id = people.id and label = $2', want: [1, 2] },
		{ sql: 'delete from people where id = $1 and ssn = $2 returning name, $3::int', want: [1, 3] },
		{ sql: 'select * from (select ssn as id from people) p where id = $1', want: [] },
		{ sql: 'select * from (select ssn as id, name from people) p where id = $1 and name = $2', want: [2] },
		{ sql: 'select * from (select * from people) p where p.id = $1 and ssn = $2', want: [1] },
		{
			sql: 'select * from (select p.*, lower(name) as low, lower(ssn) as l from people p) q where low = $1 or l = $2',
			want: [1],
		},
		{
			sql: 'select * from (select p.*, lower(name) as low, lower(ssn) as l from people p) q where low = $1 and l = $2',
			want: [1],
		},
		{
			sql: 'select * from (select name from people where id = $1 and ssn = $2 limit $3) p where name = $4',
			want: [1, 3, 4],
		},
		{ sql: 'select * from (select max(ssn) from people) p (m) where m = $1', want: [] },
		{ sql: 'select * from (select max(ssn) from people) p where max = $1', want: [] },
		{ sql: 'select * from (select max(name) as m, count(*) as n from people) p where m = $1 and n > $2', want: [1, 2] },
		{ sql: 'select * from (select name from people union select ssn from people) p where name = $1', want: [] },
		{ sql: 'select * from (select name from people union select label from items) p where name = $1', want: [1] },
		{
			sql: 'select * from (select id, name from people union select * from (select id, ssn from people) q) p where name = $1',
			want: [],
		},
		{ sql: 'select * from people p, (select $1::text as x) q where p.ssn = q.x and p.id = $2', want: [2] },
		{ sql: 'select * from people p join (values ($1::text)) q on p.ssn = q.column1 and p.id = $2', want: [2] },
		{ sql: 'select * from people p, lateral (select p.ssn as title) q where title = $1', want: [] },
		{ sql: 'select * from (select q as label, id from people q) p where label::text = $1 and id = $2', want: [2] },
		{
			sql: 'select * from (select x as y, id from (select ssn as x, id from people) p) q where y = $1 and id = $2',
			want: [2],
		},
		{
			sql: 'select * from people label where label::text = $1 and exists (select from items where items.label = $2)',
			want: [2],
		},
		{ sql: 'with p as (select ssn as name from people) select * from p where name = $1', want: [] },
		{
			sql: 'with p as (select id, name from people where ssn = $1) select * from p where name = $2 and id = $3',
			want: [2, 3],
		},
		{ sql: 'with p (a, b) as (select id, ssn from people) select * from p where a = $1 and b = $2', want: [1] },
		{ sql: 'with p (id) as (select ssn from people) select id from p where id = $1', want: [] },
		{ sql: 'with p (id) as (select * from people) select id from p where id = $1', want: [] },
		{
			sql: 'with recursive t (n) as (select 1 union all select n + 1 from t where n < $1) select * from t join people p on p.id = n and p.ssn = $2',
			want: [1],
		},
		{
			sql: "with recursive t (n) as (select ssn from people union all select n || 'x' from t where n < $1) select * from t",
			want: [],
		},
		{
			sql: 'with u as (update people set name = $1, ssn = $2 where id = $3 returning id, name) select * from u where name = $4',
			want: [1, 3, 4],
		},
		{
			sql: 'with u as (update people set name = $1 where id = $2 returning ssn as name) select * from u where name = $3',
			want: [2],
		},
		{
			sql: 'with u as (delete from people where id = $1 returning id, $2::text as x) select * from u where x = $3',
			want: [1, 3],
		},
		{
			sql: 'with p as (select id from people where id = $1) update items set label = $2 from p where p.id = items.id',
			want: [1, 2],
		},
		{
			sql: `merge into people p using items i on p.id = i.id and i.label = $1 when matched and p.name = $2 then update set name = $3, ssn = $4
				when not matched and i.id = $5 then insert (id, tenant, ssn) values (i.id, 'acme', $6)`,
			want: [1, 2, 3, 5],
		},
		{
			sql: `merge into people p using (select id, label as l from items where owner = $1) i on p.id = i.id and p.ssn = $2
				when matched and l = $3 then delete`,
			want: [1, 3],
		},
		{ sql: 'select * from people p (a, b, c, d, name) where name = $1', want: [] },
		{ sql: 'select * from people p join unnest($1::int[]) name on name = p.id and p.name = $2', want: [] },
		{ sql: 'select * from directory where id = $1', want: [] },
		{ sql: 'select * from people where id = $1 for update', want: [1] },
	];
	it.each(rows)('$sql: $want', async ({ sql, want }) => {
		expect(await shown(sql)).toEqual(want);
	});

	it('whoever sees everything has everything shown', async () => {
		expect(await shown('select * from people where ssn = $1', AUDITOR)).toBeUndefined();
	});

	it('the same text says the same for every value, whether its shape is known or not', async () => {
		for (let id = 0; id < 5; id += 1)
			expect(await shown(`select $1::int, ${id} from people where ssn = $2`)).toEqual([1]);
	});
});

describe('elsewhere', () => {
	it('all are shown', async () => {
		expect(await shown('select * from items where id = $1')).toBeUndefined();
		expect(await shown('select 1')).toBeUndefined();
		expect(await shown("select '$1' from items")).toBeUndefined();
		expect(await shown("select 'crypt $1' from items")).toBeUndefined();
	});

	it('but those that go into pgcrypto as a password or key', async () => {
		expect(await shown('select id from items where label = crypt($1, label) and id = $2')).toEqual([2]);
		expect(
			await shown('select id from items where label = app.crypt(lower($1), $3) and id = $2 and owner = $3::int'),
		).toEqual([2]);
		expect(await shown('select id from people where name = crypt($1, name) and id = $2')).toEqual([2]);
	});

	it('however deep they stand, it is soon told', async () => {
		const nested = (depth: number, before: string, inner: string, after: string): string =>
			`${before.repeat(depth)}${inner}${after.repeat(depth)}`;
		const crypt = `select id from items where label = ${nested(200, 'crypt(', '$1', ", 'x')")} and id = $2`;
		const inPeople = nested(60, 'id in (select id from people where ', 'ssn = $1 and name = $2', ')');
		const inTargets = `$1 = ${nested(60, '(select max(', "''", ') from people where id = $2)')}`;
		const inFrom = nested(60, 'select * from (', 'select id, name, ssn as s from people where ssn = $1', ') d');
		const chain = Array.from({ length: 60 }, (_, at) => `t${at + 1} as (select c${at} as c${at + 1}, id from t${at})`);
		const inWith = `with t0 as (select ssn as c0, id from people), ${chain.join(', ')} select * from t60`;
		for (const [sql, want] of [
			[`${inFrom} where name = $2 and s = $3`, [2]],
			[`${inWith} where c60 = $1 and id = $2`, [2]],
			[crypt, [2]],
			[`select 1 from people where ${inPeople}`, [2]],
			[`select 1 from people where ${inTargets}`, [2]],
		] as const) {
			const asked = async (): Promise<void> => expect(await shown(sql)).toEqual(want);
			expect(await cpuMsOf(asked)).toBeLessThan(2_000);
		}
	});
});
