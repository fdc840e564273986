/** Views, materialized views, partitions, inheritance and foreign keys to the side: protections are inherited unless a rule names the relation itself. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Bench } from './bench.ts';
import { check, type Row } from './check.ts';
import { ANALYST, openPeople, RULES, SETUP } from './people.ts';

const MORE = `
create view hr.bare as select * from hr.people;
create view hr.totals as select team, count(*) as n, max(ssn) as top from hr.people group by team;
create view hr.limited as select id, ssn from hr.people order by id desc limit 3;
create view hr.both as select id, name from hr.people union all select id, title from hr.teams;
create view hr.with_cte as with w as (select id, ssn from hr.people) select * from w;
create view hr.sub as select t.id, (select max(p.ssn) from hr.people p where p.team = t.id) as top from hr.teams t;
create view hr.windowed as select id, rank() over (order by ssn) as r from hr.people;
create view hr.lateral as select t.id, l.ssn from hr.teams t cross join lateral (select p.ssn from hr.people p where p.team = t.id limit 1) l;
create view hr.renamed ("I d", s, "select") as select id, ssn, name from hr.people;
create view hr.calls as select id, app.twice(name) as d from hr.people;
create view hr.secretive as select * from hr.secrets;
create view hr.named as select id, ssn, tenant from hr.people;
create view hr.open as select id, ssn from hr.people;
create view hr.of_system as select relname from pg_catalog.pg_class where relname = 'people';
create materialized view hr.frozen as select id, ssn, tenant from hr.people;
create view app.over_items as select * from app.items;
create view app.over_view as select * from hr.directory;
create view hr.photo_there as select id, photo from hr.people;
create view hr.barrier with (security_barrier) as select id, ssn from hr.people where id > 1;
create view hr.checked as select * from app.items where price < 5 with check option;
create recursive view hr.bosses (id, level) as select id, 1 from hr.people where boss is null union all select p.id, b.level + 1 from hr.people p join bosses b on p.boss = b.id;
create table hr.tree (id int, tenant text, v text) partition by list (tenant);
create table hr.tree_acme partition of hr.tree for values in ('acme') partition by range (id);
create table hr.tree_acme_low partition of hr.tree_acme for values from (0) to (10);
create table hr.tree_rest partition of hr.tree default;
insert into hr.tree values (1, 'acme', 'v1'), (2, 'globex', 'v2');
create table hr.free_child (more text) inherits (hr.docs);
insert into hr.free_child values (9, 'globex', 'f9', 'm');
create table hr.base (id int, v text);
create table hr.guarded (extra text) inherits (hr.base);
insert into hr.base values (1, 'open');
insert into hr.guarded values (2, 'closed', 'x');
create table hr.two_parents () inherits (hr.base, hr.docs);
create schema kept;
create table kept.pay (id int, iban text, bank text, twice text generated always as (iban || iban) stored);
create table kept.pay_abroad () inherits (kept.pay);
insert into kept.pay (id, iban, bank) values (1, 'DE1', 'b1');
insert into kept.pay_abroad (id, iban, bank) values (2, 'AT2', 'b2');
create view hr.pay as select * from kept.pay;
create view hr.pay_abroad as select id, iban, bank from kept.pay_abroad where iban > 'A';
create view hr.pay_over as select p.iban as account, max(p.bank) as bank from hr.pay p group by p.iban;
create table kept.open (id int, iban text, twice text generated always as (iban || iban) stored);
insert into kept.open (id, iban) values (1, 'DE1');
insert into hr.two_parents (id, v, tenant, body) values (20, 'w', 'globex', 'b20'), (21, 'w', 'acme', 'b21');
`;
const MORE_RULES = `
p, role:analyst, db.hr.named.ssn, select, unmask
p, role:analyst, db.hr.named.id, select, unmask
p, role:analyst, db.hr.named.tenant, select, unmask
p, role:analyst, db.hr.named, select, unfilter
p, role:analyst, db.hr.open.ssn, select, unmask
p, role:analyst, db.hr.tree, select, filter, own_tenant
p, role:analyst, db.hr.tree.v, select, mask, nothing
p, role:analyst, db.hr.free_child, select, unfilter
p, role:analyst, db.hr.free_child.body, select, unmask
p, role:analyst, db.hr.guarded.v, select, mask, nothing
p, role:analyst, db.kept.pay.iban, select, mask, nothing
p, role:analyst, db.kept.pay.bank, select, deny
p, role:analyst, db.kept.open.iban, select, mask, nothing
p, role:analyst, db.kept.open.id, select, allow
p, role:analyst, db.kept.open.twice, select, allow
`;

let bench: Bench;
beforeAll(async () => {
	bench = await openPeople({ setup: `${SETUP}${MORE}`, rules: `${RULES}${MORE_RULES}` });
});
afterAll(async () => {
	await bench?.close();
});

describe('views', () => {
	const rows: readonly Row[] = [
		{
			sql: 'select id, ssn, salary from bare order by id limit 2',
			want: {
				rows: [
					['1', 'XXX-XX-1001', null],
					['2', 'XXX-XX-1002', null],
				],
			},
		},
		{ sql: 'select count(*) from bare', want: { rows: [['8']] } },
		// No rule lets anybody read the table itself: what masks and hides its columns holds for views over it all the same.
		{
			sql: 'select * from pay order by id',
			want: {
				rows: [
					['1', null, null, null],
					['2', null, null, null],
				],
			},
		},
		{ sql: 'select * from pay_abroad', want: { rows: [] } },
		{ sql: 'select * from pay_over', want: { rows: [[null, null]] } },
		{ sql: 'select * from kept.open', want: { rows: [['1', null]] } },
		{ sql: 'select photo from bare where id = 1', want: { rows: [[null]] } },
		{ sql: 'select * from photo_there where id = 1', want: { rows: [['1', null]] } },
		{
			sql: 'select * from totals order by team',
			want: {
				rows: [
					['2', '4', 'XXX-XX-1010'],
					['3', '4', 'XXX-XX-1011'],
				],
			},
		},
		{
			sql: 'select * from limited',
			want: {
				rows: [
					['11', 'XXX-XX-1011'],
					['10', 'XXX-XX-1010'],
					['8', 'XXX-XX-1008'],
				],
			},
		},
		{ sql: `select count(*) from "both" where name like 'p%'`, want: { rows: [['8']] } },
		{ sql: 'select count(*), max(ssn) from with_cte', want: { rows: [['8', 'XXX-XX-1011']] } },
		{
			sql: 'select * from sub order by id',
			want: {
				rows: [
					['1', null],
					['2', 'XXX-XX-1010'],
					['3', 'XXX-XX-1011'],
				],
			},
		},
		{ sql: 'select max(r) from windowed', want: { rows: [['8']] } },
		{ sql: "select count(*) from hr.lateral where ssn like 'XXX%'", want: { rows: [['2']] } },
		{
			sql: 'select "I d", s, "select" from renamed where s = \'XXX-XX-1001\'',
			want: { rows: [['1', 'XXX-XX-1001', 'p1']] },
		},
		{ sql: 'select hr.renamed.s from hr.renamed where "I d" = 1', want: { rows: [['XXX-XX-1001']] } },
		{ sql: 'select d from calls where id = 1', want: { rows: [['p1p1']] } },
		{ sql: 'select id from barrier order by id limit 1', want: { rows: [['2']] } },
		{ sql: 'select max(level) from bosses', want: { rows: [['4']] } },
		{
			sql: 'select * from nested order by title',
			want: {
				rows: [
					['Dev', '4', 'XXX-XX-1010'],
					['Law', '4', 'XXX-XX-1011'],
				],
			},
		},
		{ sql: 'select count(*), max(ssn) from app.over_view', want: { rows: [['8', 'XXX-XX-1011']] } },
		{ sql: 'select count(*), max(ssn) from snapshot', want: { rows: [['8', 'XXX-XX-1011']] } },
		{ sql: 'select count(*), max(ssn) from frozen', want: { rows: [['8', 'XXX-XX-1011']] } },
		{
			sql: 'select d.name from directory d join people p using (id) where p.ssn = d.ssn and d.id = 1',
			want: { rows: [['p1']] },
		},
		{ sql: 'select ssn from hr.directory as x(a, b, ssn) where a = 1', want: { rows: [['XXX-XX-1001']] } },
		{
			sql: "select (d).ssn, to_jsonb(d) ->> 'ssn' from directory d where id = 1",
			want: { rows: [['XXX-XX-1001', 'XXX-XX-1001']] },
		},
		{ sql: 'select * from secretive', want: { error: ['42501', /hr\.secrets.*through view hr\.secretive/] } },
		{
			sql: 'select ssn from directory tablesample system (100)',
			want: { error: ['42501', /TABLESAMPLE on a protected view/] },
		},
		{ sql: 'copy directory to stdout', want: { text: /^copy \(SELECT/ } },
		// nothing below them is protected: they stay as they are
		{ sql: 'select * from cheap', want: { text: 'select * from "app".cheap' } },
		{
			sql: 'select * from over_items i where i.id = 1',
			want: { text: 'select * from "app".over_items i where i.id = 1' },
		},
		{ sql: 'select * from of_system', want: { rows: [['people'], ['people']] } },
		{
			sql: "update checked set label = 'x' where id = 1",
			want: { error: ['42501', /no rule of the policy allows update on db\.hr\.checked/] },
		},
		// a rule that names the view itself stands in place of what it inherits
		{ sql: 'select count(*), min(ssn) from named', want: { rows: [['12', '123-45-1001']] } },
		{ sql: 'select count(*), min(ssn) from open', want: { rows: [['8', 'XXX-XX-1001']] } },
	];
	test.each(rows)('$sql', async (row) => check(bench, row));

	test('say in the record what they read', async () => {
		const { statements } = await bench.decide('select name, top from directory, nested');
		const uses = statements.flatMap((statement) => statement.objects).filter((use) => use.kind === 'relation');
		expect(
			uses.map((use) => `${use.schema}.${use.name}${use.via === undefined ? '' : ` via ${use.via}`}`).sort(),
		).toEqual(['hr.directory', 'hr.nested', 'hr.people via hr.directory', 'hr.teams via hr.directory']);
		expect(uses.find((use) => use.name === 'people')).toMatchObject({
			masks: { ssn: 'ssn_last4', salary: 'nothing' },
			filters: ['own_tenant'],
			hidden: ['photo'],
		});
	});
});

describe('partitions and children', () => {
	const rows: readonly Row[] = [
		{ sql: 'select id, v from tree', want: { rows: [['1', null]] } },
		{ sql: 'select id, v from tree_acme', want: { rows: [['1', null]] } },
		{ sql: 'select id, v from tree_acme_low', want: { rows: [['1', null]] } },
		{ sql: 'select id, v from tree_rest', want: { rows: [] } },
		{ sql: 'select id, v from only tree_acme_low', want: { rows: [['1', null]] } },
		{ sql: 'select id from events_2023 order by 1', want: { rows: [['2']] } },
		{
			sql: 'select id, body from docs order by 1',
			want: {
				rows: [
					['1', null],
					['3', null],
					['21', null],
				],
			},
		},
		{ sql: 'select id, body from only docs order by 1', want: { rows: [['1', null]] } },
		{ sql: 'select id, body, kind from memos', want: { rows: [['3', null, 'k']] } },
		{
			sql: 'select id, v from base order by 1',
			want: {
				rows: [
					['1', null],
					['2', null],
					['20', null],
					['21', null],
				],
			},
		},
		{ sql: 'select id, v from only base', want: { rows: [['1', 'open']] } },
		{ sql: 'select id, v from guarded', want: { rows: [['2', null]] } },
		{ sql: 'select id, body from two_parents', want: { rows: [['21', null]] } },
		{ sql: 'select id, body from free_child', want: { rows: [['9', 'f9']] } },
	];
	test.each(rows)('$sql', async (row) => check(bench, row));

	test('a filter of a child alone holds for its rows when the parent is read', async () => {
		const own = await openPeople({
			setup: SETUP,
			rules: `
p, *, db, connect, allow
p, role:analyst, db.hr.*, select, allow
p, role:analyst, db.hr.memos, select, filter, own_tenant
p, role:analyst, db.hr.events_2024, select, filter, own_tenant
`,
		});
		await check(own, { sql: 'select id from docs order by 1', want: { rows: [['1'], ['2'], ['3']] } });
		await check(own, { sql: 'select id from only docs order by 1', want: { rows: [['1'], ['2']] } });
		await check(own, { sql: 'select id from memos', want: { rows: [['3']] } });
		await check(own, {
			sql: "select count(*) filter (where tenant = 'globex' and at >= '2024-01-01'), count(*) filter (where tenant = 'globex') from events",
			want: { rows: [['0', '2']] },
		});
		await own.close();
	});
});

describe('the result guard', () => {
	test.each([
		['people', 'ssn', 'hr.people.ssn'],
		['people', 'photo', 'hr.people.photo'],
		['people', 'name', null],
		['tree_acme_low', 'v', 'hr.tree_acme_low.v'],
		['memos', 'body', 'hr.memos.body'],
		['free_child', 'body', null],
		['teams', 'title', null],
		['secrets', 'body', 'hr.secrets.body'],
	])('%s.%s', async (table, column, want) => {
		const { rows } = await bench.client.query<{ oid: number; attnum: number }>(
			'select attrelid::int as oid, attnum from pg_attribute where attrelid = $1::regclass and attname = $2',
			[`hr.${table}`, column],
		);
		const [found] = rows;
		if (found === undefined) throw new Error('no such column');
		const decision = await bench.decide('select 1');
		const [statement] = decision.statements;
		if (statement === undefined) throw new Error('no statement');
		const origins = [
			{ tableOid: 0, attnum: 0 },
			{ tableOid: found.oid, attnum: found.attnum },
		];
		expect(bench.pipeline.breach(origins, statement, bench.context())).toBe(want);
	});

	test('finds nothing in what the rewriting lets through, and everything without it', async () => {
		for (const sql of [
			'select * from people',
			'select p.ssn from people p',
			'select * from directory',
			'select body from docs',
		]) {
			const decision = await bench.decide(sql, { who: ANALYST });
			const [statement] = decision.statements;
			if (statement === undefined) throw new Error('no statement');
			const origins = async (text: string): Promise<{ tableOid: number; attnum: number }[]> => {
				const { fields } = await bench.client.query(`${text} limit 0`);
				return fields.map((field) => ({ tableOid: field.tableID, attnum: field.columnID }));
			};
			expect(bench.pipeline.breach(await origins(decision.rewritten), statement, bench.context())).toBeNull();
			const raw = await origins(sql);
			if (!sql.includes('directory')) expect(bench.pipeline.breach(raw, statement, bench.context())).toMatch(/^hr\./);
		}
	});
});
