/** Writing through views over protected tables: as the same statement on the table, or refused with the reason. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Answer, Bench } from './bench.ts';
import { check, type Row } from './check.ts';
import { identityOf } from '../policy/support.ts';
import { openPeople, RULES, SETUP } from './people.ts';

const MORE = `
create schema api;
create table hr.staff (
	id int primary key, tenant text not null default 'acme', name text, ssn text, salary numeric, photo bytea,
	note text default 'none', grade int, made int generated always as (id * 2) stored
);
insert into hr.staff (id, tenant, name, ssn, salary, photo, grade)
	select i, case when i % 3 = 0 then 'globex' else 'acme' end, 'p' || i, '123-45-' || 1000 + i, 1000 * i, '\\x01', i % 5 from generate_series(1, 12) i;
create view api.staff as select id, tenant, name, ssn, salary, photo, note, grade from hr.staff;
create view api.renamed (pay, "Who", firm, no, code) as select s.salary, s.name, s.tenant, s.id, s.ssn from hr.staff s order by s.id;
create view api.nested as select "Who" as who, no, firm, code as c from api.renamed where no < 100;
create view api.graded as select id, tenant, name, ssn, grade from hr.staff where grade > 1 with local check option;
create view api.upper as select id, tenant, ssn, grade from api.graded where grade < 4 with cascaded check option;
create view api.barrier with (security_barrier) as select id, tenant, name, ssn from hr.staff where id <> 4;
create view api.invoker with (security_invoker) as select id, tenant, name, ssn from hr.staff;
create view api.defaults as select id, tenant, name, note from hr.staff;
alter view api.defaults alter note set default 'of the view';
alter view api.defaults alter tenant set default 'globex';
create view api.computed as select id, tenant, name, ssn, grade, upper(name) as loud, left(ssn, 3) as area, 100 / (id - 3) as rate, 7 as seven from hr.staff;
create view api.odd as select id, tenant, name, ssn as a, salary, concat_ws(', ', ssn, name) as words, (case when s.salary > 5 then s.salary * array_length(array[1, 2], 1) else -1 end)::numeric(12, 2) as pay from hr.staff s;
create view api.unshown as select id, tenant, name, ssn || note as words from hr.staff;
create view api.twice as select id, tenant, tenant as again, name from hr.staff;
create view api.aliased as select a, c, b from hr.staff x(a, b, c);
create view api.tenantless as select id, name, note from hr.staff;
create view api.by_ssn as select id, tenant, name from hr.staff where ssn like '123%';
create view api.by_row as select id, tenant, name from hr.staff s where s.* is not null;
create view api.by_team as select id, tenant, name from hr.staff where exists (select from hr.teams t where t.id = staff.id);
create view api.by_boss as select id, tenant, name from hr.staff where exists (select from hr.people p where p.id = staff.id);
create view api.joined as select s.id, s.tenant, s.name, t.title from hr.staff s join hr.teams t on t.id = s.id;
create view api.grouped as select tenant, count(*) as n from hr.staff group by tenant;
create view api.limited as select id, tenant, name from hr.staff limit 5;
create view api.ruled as select id, tenant, name, ssn from hr.staff;
create rule gone as on delete to api.ruled do instead delete from hr.staff where id = old.id;
create view api.masked as select id, tenant, name, ssn, salary from hr.staff;
create view api.lifted as select id, tenant, name from hr.staff;
create view api.guarded as select id, label, 100 / (id - 3) as rate from app.items;
create view api.triggered as select id, tenant, name, ssn from hr.staff;
create function api.put() returns trigger language plpgsql as $$ begin
	if tg_op = 'DELETE' then delete from hr.staff where id = old.id; return old; end if;
	if new.name = 'moves' then new.tenant := 'globex'; end if;
	if tg_op = 'INSERT' then insert into hr.staff (id, tenant, name, ssn) values (new.id, new.tenant, new.name, new.ssn); return new; end if;
	update hr.staff set tenant = new.tenant, name = new.name where id = old.id; return new;
end $$;
create trigger put instead of insert or update or delete on api.triggered for each row execute function api.put();
create view api.inner_v as select id, tenant, name, ssn, note from hr.staff;
create view api.outer_v as select name as n, ssn as s, id, tenant as t, note || '!' as m, name || id as k from api.inner_v where id < 50;
create view api.docs as select id, tenant, body from hr.docs;
create view api.memos as select id, tenant, body from hr.memos;
create view api.only_docs as select id, tenant from only hr.docs;
create table hr.moved (id int primary key, tenant text, line text);
create function hr.move() returns trigger language plpgsql as $$ begin new.tenant := 'globex'; return new; end $$;
create trigger move before insert or update on hr.moved for each row when (new.line = 'move') execute function hr.move();
insert into hr.moved values (1, 'acme', 'x');
create table hr.made (id int primary key, raw text, tenant text generated always as (lower(raw)) stored);
insert into hr.made (id, raw) values (1, 'ACME');
create view api.made as select id, raw, tenant from hr.made;
create view api.moved as select id, line, tenant from hr.moved;
`;
const MORE_RULES = `
p, role:analyst, db.hr.staff, insert, allow
p, role:analyst, db.hr.staff, update, allow
p, role:analyst, db.hr.staff, delete, allow
p, role:analyst, db.hr.staff, select, filter, own_tenant
p, role:analyst, db.hr.staff.ssn, select, mask, ssn_last4
p, role:analyst, db.hr.staff.salary, select, mask, nothing
p, role:analyst, db.hr.staff.photo, select, deny
p, role:analyst, db.hr.staff.grade, update, deny
p, role:analyst, db.hr.moved, *, allow
p, role:analyst, db.hr.moved, select, filter, own_tenant
p, role:analyst, db.hr.made, *, allow
p, role:analyst, db.hr.made, select, filter, own_tenant
p, role:analyst, db.hr.docs, *, allow
p, role:analyst, db.hr.memos, *, allow
p, role:analyst, db.api.*, *, allow
p, role:analyst, db.api.triggered, *, allow
p, role:outsider, db.api.defaults, select, allow
p, role:outsider, db.api.defaults, update, allow
p, role:analyst, db.api.masked.name, select, mask, nothing
p, role:analyst, db.api.masked.tenant, select, deny
p, role:analyst, db.api.lifted.*, select, unmask
p, role:analyst, db.api.lifted, select, unfilter
p, role:analyst, db.api.guarded, select, filter, small
p, role:analyst, db.api.inner_v.name, select, mask, nothing
p, role:analyst, db.api.inner_v.note, select, deny
p, role:analyst, db.api.inner_v, select, filter, small
`;
const MASKS = `masks:
  ssn_last4: "'XXX-XX-' || right(value, 4)"
  nothing: "null"
filters:
  own_tenant: "tenant = claims.tenant"
  small: "id + 0 + 0 + 0 < 3"
`;

let bench: Bench;
beforeAll(async () => {
	const rules = `${RULES}${MORE_RULES}`;
	bench = await openPeople({ setup: `${SETUP}${MORE}`, rules, masks: MASKS });
});
afterAll(async () => {
	await bench?.close();
});

const STATE = 'select * from hr.staff order by id';

/** What the write gives and what it leaves, past the gateway; all of it is rolled back. */
async function comesTo(sql: string): Promise<{ readonly answer: Answer; readonly left: unknown }> {
	const answer = await bench.run(sql);
	const decision = await bench.decide(sql);
	expect(decision.error?.message).toBeUndefined();
	const left = await bench.direct(`${decision.rewritten}; ${STATE}`);
	return { answer, left: left.kind === 'rows' ? left.rows : left.sqlstate };
}

describe('as on the table', () => {
	// The same with the columns by the table's names, where they differ.
	const pairs: readonly (readonly [view: string, table: string])[] = [
		["update api.staff set name = 'x'", "update hr.staff set name = 'x'"],
		["update api.staff set name = 'x' where id = 3", "update hr.staff set name = 'x' where id = 3"],
		[
			"update api.staff set name = 'x' where id in (1, 3) returning *",
			"update hr.staff set name = 'x' where id in (1, 3) returning id, tenant, name, ssn, salary, NULL::bytea as photo, note, grade",
		],
		[
			"update api.staff s set name = s.name || '!' where s.ssn = 'XXX-XX-1001' returning s.ssn, s.salary",
			"update hr.staff s set name = s.name || '!' where s.ssn = 'XXX-XX-1001' returning s.ssn, s.salary",
		],
		[
			"update api.staff set name = 'x' where ssn = '123-45-1001' returning id",
			"update hr.staff set name = 'x' where ssn = '123-45-1001' returning id",
		],
		[
			"update api.staff set name = 'x' where photo is null returning id",
			"update hr.staff set name = 'x' where true returning id",
		],
		["update api.staff set ssn = 'new' where id = 1", "update hr.staff set ssn = 'new' where id = 1"],
		[
			"update api.staff set name = 'x' where 1 / (id - 3) < 9 returning id",
			"update hr.staff set name = 'x' where 1 / (id - 3) < 9 returning id",
		],
		["update api.staff set tenant = 'globex' where id = 1", "update hr.staff set tenant = 'globex' where id = 1"],
		["update api.twice set again = 'globex' where id = 1", "update hr.staff set tenant = 'globex' where id = 1"],
		[
			'update api.staff set name = i.label from app.items i where i.id = staff.id returning staff.id, name, ssn, label',
			'update hr.staff set name = i.label from app.items i where i.id = staff.id returning staff.id, name, ssn, label',
		],
		[
			"update api.staff set (name, note) = (select p.ssn, 'n' from hr.people p where p.id = 1) where id = 2 returning name",
			"update hr.staff set (name, note) = (select p.ssn, 'n' from hr.people p where p.id = 1) where id = 2 returning name",
		],
		[
			`update api.renamed set "Who" = 'x' where code like 'XXX%1' returning code, pay, "Who", firm`,
			`update hr.staff set name = 'x' where ssn like 'XXX%1' returning ssn as code, salary as pay, name as "Who", tenant as firm`,
		],
		[
			"update api.nested set who = 'x' where c = 'XXX-XX-1002' returning *",
			"update hr.staff set name = 'x' where ssn = 'XXX-XX-1002' returning name as who, id as no, tenant as firm, ssn as c",
		],
		[
			"update api.aliased set c = 'x' where a < 4 returning b",
			"update hr.staff set name = 'x' where id < 4 returning tenant as b",
		],
		["update api.barrier set name = 'x' where length(ssn) = 11", "update hr.staff set name = 'x' where id <> 4"],
		["update api.invoker set name = 'x' where ssn like '%4'", "update hr.staff set name = 'x' where ssn like '%4'"],
		[
			"update api.by_team set name = 'x' returning id",
			"update hr.staff set name = 'x' where id in (1, 2) returning id",
		],
		[
			"update api.computed set name = 'x' where rate > 20 returning id, loud, rate, seven",
			"update hr.staff set name = 'x' where id in (4, 5, 7) returning id, upper(name) as loud, 100 / (id - 3) as rate, 7 as seven",
		],
		[
			"update api.computed set name = 'x' where area = 'XXX' returning id, area",
			"update hr.staff set name = 'x' where left(ssn, 3) = 'XXX' returning id, left(ssn, 3) as area",
		],
		[
			"update api.computed set name = 'x' where id = 1 returning *",
			"update hr.staff set name = 'x' where id = 1 returning id, tenant, name, ssn, grade, upper(name) as loud, left(ssn, 3) as area, 100 / (id - 3) as rate, 7 as seven",
		],
		[
			"merge into api.computed c using hr.people p on p.id = c.id and c.area = left(p.ssn, 3) when matched and c.area = 'XXX' then delete returning c.id, c.area",
			"merge into hr.staff c using hr.people p on p.id = c.id and left(c.ssn, 3) = left(p.ssn, 3) when matched and left(c.ssn, 3) = 'XXX' then delete returning c.id, left(c.ssn, 3) as area",
		],
		['delete from api.staff', 'delete from hr.staff'],
		[
			'delete from api.staff where id < 5 returning *',
			'delete from hr.staff where id < 5 returning id, tenant, name, ssn, salary, NULL::bytea as photo, note, grade',
		],
		[
			'delete from api.renamed r using hr.people p where p.id = r.no and p.ssn = r.code returning r.no',
			'delete from hr.staff r using hr.people p where p.id = r.id and p.ssn = r.ssn returning r.id as no',
		],
		[
			'with d as (delete from api.staff where id < 5 returning id, ssn) select * from d order by id',
			'with d as (delete from hr.staff where id < 5 returning id, ssn) select * from d order by id',
		],
		[
			"insert into api.staff (id, name) values (20, 'n') returning *",
			"insert into hr.staff (id, name) values (20, 'n') returning id, tenant, name, ssn, salary, NULL::bytea as photo, note, grade",
		],
		[
			"insert into api.staff (id, tenant, name) values (20, 'acme', 'n'), (21, 'globex', 'm')",
			"insert into hr.staff (id, tenant, name) values (20, 'acme', 'n'), (21, 'globex', 'm')",
		],
		["insert into api.staff values (20, 'acme', 'n', 's')", "insert into hr.staff values (20, 'acme', 'n', 's')"],
		[
			"insert into api.renamed values (1, 'n', 'acme', 20, 's') returning no, code",
			"insert into hr.staff (id, tenant, name, ssn, salary) values (20, 'acme', 'n', 's', 1) returning id as no, ssn as code",
		],
		[
			'insert into api.nested (no, who) select id + 30, ssn from hr.people returning who, firm',
			'insert into hr.staff (id, name) select id + 30, ssn from hr.people returning name as who, tenant as firm',
		],
		[
			"insert into api.defaults (id, name) values (20, 'n')",
			"insert into hr.staff (id, name, note, tenant) values (20, 'n', 'of the view', 'globex')",
		],
		[
			"insert into api.defaults (id, name, tenant) values (20, 'n', 'acme')",
			"insert into hr.staff (id, name, note, tenant) values (20, 'n', 'of the view', 'acme')",
		],
		[
			"insert into api.staff (id, name) values (1, 'n') on conflict (id) do update set name = excluded.name || staff.name where staff.ssn = 'XXX-XX-1001' returning id, name, ssn",
			"insert into hr.staff (id, name) values (1, 'n') on conflict (id) do update set name = excluded.name || staff.name where staff.ssn = 'XXX-XX-1001' returning id, name, ssn",
		],
		[
			'insert into api.renamed as r (no, "Who") values (3, \'n\') on conflict (no) do update set "Who" = \'taken\'',
			"insert into hr.staff as r (id, name) values (3, 'n') on conflict (id) do update set name = 'taken'",
		],
		[
			"insert into api.staff (id, name) values (1, 'n') on conflict do nothing returning id",
			"insert into hr.staff (id, name) values (1, 'n') on conflict do nothing returning id",
		],
		[
			'merge into api.staff s using hr.people p on p.id = s.id and p.ssn = s.ssn when matched and s.id < 5 then update set name = p.ssn when matched then delete returning merge_action(), s.id, s.ssn',
			'merge into hr.staff s using hr.people p on p.id = s.id and p.ssn = s.ssn when matched and s.id < 5 then update set name = p.ssn when matched then delete returning merge_action(), s.id, s.ssn',
		],
		[
			"merge into api.renamed r using (values (1, 'a'), (3, 'b'), (50, 'c')) v(k, n) on r.no = v.k when matched then update set \"Who\" = v.n when not matched by source then delete",
			"merge into hr.staff r using (values (1, 'a'), (3, 'b'), (50, 'c')) v(k, n) on r.id = v.k when matched then update set name = v.n when not matched by source then delete",
		],
		[
			"update api.staff set name = 'x' where id = 1 returning old.ssn, new.name",
			"update hr.staff set name = 'x' where id = 1 returning old.ssn, new.name",
		],
		[
			"update api.staff set name = 'x' where id = 1 returning with (old as o) o.ssn, o.photo",
			"update hr.staff set name = 'x' where id = 1 returning with (old as o) o.ssn, null::bytea as photo",
		],
		[
			"update api.triggered set name = 'x' where ssn like 'XXX%' returning id, ssn",
			"update hr.staff set name = 'x' where ssn like 'XXX%' returning id, ssn",
		],
		["update api.triggered set name = 'moves' where id = 1", "update hr.staff set tenant = 'globex' where id = 1"],
		["insert into api.triggered values (20, 'acme', 'moves')", "insert into hr.staff values (20, 'globex', 'moves')"],
		['delete from api.triggered where ssn is not null', 'delete from hr.staff where ssn is not null'],
		["explain update api.staff set name = 'x'", "explain update api.staff set name = 'x'"],
	];
	for (const [view, table] of pairs) {
		test(view, async () => {
			const there = await comesTo(table);
			const here = await comesTo(view);
			const plain = ({ answer, left }: typeof here): unknown => ({
				answer:
					answer.kind === 'rows'
						? { ...answer, rows: answer.rows.map((row) => JSON.stringify(row)).toSorted() }
						: answer.sqlstate,
				left,
			});
			expect(plain(here)).toEqual(plain(there));
		});
	}
});

test('an error quotes the row of the table, of which only the view may be read', async () => {
	const sql = 'update api.defaults set tenant = null where id = 1';
	const decision = await bench.decide(sql, { who: identityOf(['user:out', 'role:outsider']) });
	expect(decision.error?.message).toBeUndefined();
	expect(decision.statements.at(-1)?.touchesProtected).toBe(true);
});

describe('what comes back is what is read', () => {
	const views = [
		'staff',
		'renamed',
		'nested',
		'graded',
		'upper',
		'barrier',
		'invoker',
		'defaults',
		'computed',
		'odd',
		'twice',
	];
	const more = [
		'aliased',
		'masked',
		'lifted',
		'by_team',
		'triggered',
		'inner_v',
		'outer_v',
		'guarded',
		'docs',
		'memos',
	];
	for (const view of [...views, ...more]) {
		test(view, async () => {
			const read = await bench.run(`select * from api.${view}`);
			const gone = await bench.run(`delete from api.${view} returning *`);
			const plain = (answer: Answer): unknown =>
				answer.kind === 'rows'
					? { names: answer.names, rows: answer.rows.map((row) => JSON.stringify(row)).toSorted() }
					: answer;
			expect(read.kind === 'rows' ? read.rows.length : 0).toBeGreaterThan(0);
			expect(plain(gone)).toEqual(plain(read));
		});
	}
});

describe('of the view itself', () => {
	const REFUSED = (why: RegExp): Row['want'] => ({ error: ['42501', why] });
	const rows: readonly Row[] = [
		{ sql: "update api.graded set name = 'x' where id = 2 returning ssn", want: { rows: [['XXX-XX-1002']] } },
		{ sql: 'insert into api.graded (id, grade) values (20, 1)', want: { error: ['44000', /./] } },
		{ sql: 'insert into api.upper (id, grade) values (20, 5)', want: { error: ['44000', /./] } },
		{ sql: 'insert into api.upper (id, grade) values (20, 1)', want: { error: ['44000', /./] } },
		{ sql: 'insert into api.upper (id, grade) values (20, 3) returning id, ssn', want: { rows: [['20', null]] } },
		{ sql: "insert into api.upper (id, tenant, grade) values (20, 'globex', 3)", want: REFUSED(/row filter/) },
		{ sql: 'update api.graded set grade = 1 where id = 2', want: REFUSED(/hr\.staff\.grade/) },
		{ sql: "update api.computed set loud = 'x'", want: { error: ['0A000', /cannot update column/] } },
		{ sql: "update api.computed set name = 'x' where id = 1 returning area", want: { rows: [['XXX']] } },
		{
			sql: "update api.computed set name = 'x' where id = 2 returning old.area || id, new.area",
			want: { rows: [['XXX2', 'XXX']] },
		},
		{
			sql: "update api.odd set name = 'x' where words = 'XXX-XX-1001, p1' returning words, pay",
			want: { rows: [['XXX-XX-1001, x', '-1.00']] },
		},
		{ sql: "update api.odd o set name = 'x' where o.pay > 0", want: { rows: [] } },
		{ sql: "update api.unshown set name = 'x' where id = 1 returning id", want: { rows: [['1']] } },
		{
			sql: "update api.unshown set name = 'x' where id = 1 returning words",
			want: REFUSED(/does not show the column (ssn|note)/),
		},
		{ sql: 'update api.computed set name = area where id = 1', want: REFUSED(/masked/) },
		{ sql: 'update api.staff set name = ssn', want: REFUSED(/masked/) },
		{ sql: 'update api.staff set name = photo::text', want: REFUSED(/masked/) },
		{ sql: "update api.staff s set name = 'x' where s is not null", want: REFUSED(/whole row/) },
		{ sql: "update api.staff s set name = 'x' returning s", want: REFUSED(/whole row/) },
		{ sql: "update api.staff set name = 'x' where ctid is not null", want: { error: ['42703', /./] } },
		{
			sql: "update api.masked set name = 'x' where id = 1 returning name, ssn",
			want: { rows: [[null, 'XXX-XX-1001']] },
		},
		{ sql: "update api.masked set name = 'x' where id = 3 returning id", want: { rows: [] } },
		{
			sql: "update api.masked set name = 'x' where name is null and id < 3 returning id",
			want: { rows: [['1'], ['2']] },
		},
		{ sql: "update api.masked set name = 'x' where tenant = 'acme'", want: { error: ['42703', /tenant/] } },
		{ sql: "update api.lifted set name = 'x' where id = 3 returning name", want: { rows: [['x']] } },
		{ sql: "update api.guarded set label = 'x' where rate = -100 returning id", want: { rows: [['2']] } },
		{
			sql: "update api.guarded set label = 'x' returning id, rate",
			want: {
				rows: [
					['1', '-50'],
					['2', '-100'],
				],
			},
		},
		{ sql: 'select id from api.guarded where rate = -100', want: { rows: [['2']] } },
		{ sql: "update api.moved set line = 'move'", want: REFUSED(/row filter/) },
		{ sql: 'copy hr.made (id, raw) from stdin', want: REFUSED(/column tenant is computed/) },
		{ sql: "update hr.made set raw = 'GLOBEX'", want: REFUSED(/row filter/) },
		{ sql: "update api.made set raw = 'GLOBEX'", want: REFUSED(/row filter/) },
		{ sql: "update api.made set raw = 'Acme' returning id", want: { rows: [['1']] } },
		{ sql: "insert into api.moved values (2, 'move', 'acme')", want: REFUSED(/row filter/) },
		{ sql: 'update api.memos set id = 30 where id = 3 returning body', want: { rows: [[null]] } },
		{
			sql: 'update api.docs set id = id + 100 returning id, body',
			want: {
				rows: [
					['101', null],
					['103', null],
				],
			},
		},
		// what can't be said of the view's columns
		{ sql: "update api.tenantless set name = 'x'", want: REFUSED(/does not show the column tenant/) },
		{ sql: "insert into api.tenantless values (20, 'x', 'y')", want: REFUSED(/does not show the column tenant/) },
		{ sql: 'delete from api.tenantless', want: REFUSED(/does not show the column tenant/) },
		{ sql: "update api.by_ssn set name = 'x'", want: REFUSED(/condition reads the column ssn/) },
		{ sql: "update api.by_row set name = 'x'", want: REFUSED(/condition reads the column/) },
		{ sql: "update api.by_boss set name = 'x'", want: REFUSED(/beside the relation in its FROM/) },
		{ sql: "update api.joined set name = 'x'", want: REFUSED(/not those of one relation/) },
		{ sql: 'delete from api.grouped', want: REFUSED(/not those of one relation/) },
		{ sql: 'delete from api.limited', want: REFUSED(/not those of one relation/) },
		{ sql: "update api.ruled set name = 'x'", want: REFUSED(/has rules/) },
		{ sql: 'delete from api.ruled', want: REFUSED(/has rules/) },
		{ sql: 'copy api.triggered from stdin', want: REFUSED(/trigger/) },
	];
	for (const row of rows) test(row.sql, () => check(bench, row));
});
