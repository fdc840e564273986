/** Who sees a table through masks may add to it, and index what they see; nothing that reads or uncovers what the masks keep back. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { identityOf } from '../policy/support.ts';
import { type Bench, openBench } from './bench.ts';

const SETUP = `
create schema shop;
create table shop.buyers (id int primary key, name text not null, email text, card text, pin int, shown boolean, made timestamptz default now());
insert into shop.buyers values (1, 'Ann', 'ann@x.org', '4000-1', 7, false), (2, 'Bob', 'bob@x.org', '4000-2', 7, true);
create table shop.rows (id int primary key, tenant text);
create table shop.whole (id int not null, email text) partition by range (id);
create table shop.part partition of shop.whole for values from (0) to (10);
create table shop.parent (id int, email text);
create table shop.child (id int, email text) inherits (shop.parent);
create view shop.faces as select id, email from shop.buyers;
create function shop.peek(shop.buyers) returns int language sql immutable as 'select $1.pin';
create function shop.tell(int) returns int language sql immutable as 'select $1';
alter table shop.buyers owner to sql_bench; alter table shop.whole owner to sql_bench; alter table shop.part owner to sql_bench;
`;

const RULES = `
p, *, db, *, allow
p, *, db.shop.*, *, allow
p, *, db.shop.*(*), execute, allow
p, *, db.shop.buyers.email, select, mask, email
p, *, db.shop.buyers.card, select, mask, card
p, *, db.shop.buyers.pin, select, deny
p, user:dee, db.shop.rows, select, filter, own_tenant
p, user:nat, db.shop.whole, truncate, deny
p, *, db.shop.whole.email, select, mask, email
p, *, db.shop.parent.email, select, mask, email
`;

const MASKS = `
masks:
  email: "left(value, 1)"
  card: "case when shown then value end"
filters:
  own_tenant: "tenant = claims.tenant"
`;

let bench: Bench;
beforeAll(async () => {
	const who = identityOf(['user:dee'], { tenant: 'acme' });
	bench = await openBench({ setup: SETUP, rules: RULES, masks: MASKS, who, path: ['shop'] });
});
afterAll(async () => {
	await bench?.close();
});

describe('of a table with masks', () => {
	test.each([
		'create index on buyers (name)',
		'create unique index concurrently if not exists by_name on shop.buyers (name, id desc) include (made)',
		"create index on buyers (lower(name), (buyers.id + 1)) where shown and name <> ''",
		'alter table buyers add column note text, add phone varchar(20) not null default 5::text',
		'alter table shop.buyers alter name set default upper(current_user), alter name drop not null, alter id set not null',
		'alter table if exists buyers set (fillfactor = 90), alter email set statistics 500, alter card set storage external',
		'alter table only buyers cluster on buyers_pkey',
	])('works: %s', async (sql) => {
		expect((await bench.decide(sql)).error?.message).toBeUndefined();
		if (!sql.includes('concurrently')) expect(await bench.run(sql)).toMatchObject({ kind: 'rows' });
	});

	test.each([
		'create index on buyers (email)',
		'create unique index on buyers (name) include (pin)',
		'create index on buyers ((email || name))',
		'create index on buyers (name) where card > 1::text',
		'create index on buyers ((buyers::text))',
		'create index on buyers (peek(buyers))',
		'create index on buyers ((buyers.peek))',
		'create index on buyers ((buyers.*))',
		'create index on rows (id)',
		'create index on whole (id)',
		'create index on part (id)',
		'create index on parent (id)',
		'alter table buyers add column copy text generated always as (email) stored',
		"alter table buyers add column a int check (email <> '')",
		'alter table buyers add column a int unique',
		'alter table parent add column a int',
		'alter table rows add column a int',
		'alter table buyers add column a int, drop column shown',
		'alter table buyers rename column email to mail',
		'alter table buyers alter email set not null',
		'alter table buyers alter pin drop not null',
		'alter table buyers alter name type text using email',
		"alter table buyers add check (email <> 'x')",
		'alter table buyers add unique (email)',
		'alter table buyers replica identity full',
		'alter table buyers disable trigger all',
		'alter table buyers inherit parent',
		'alter table buyers rename to others',
		'create statistics on name, email from buyers',
	])('is refused: %s', async (sql) => {
		expect(await bench.run(sql)).toMatchObject({ kind: 'error', sqlstate: '42501' });
	});

	test.each([
		['max', undefined],
		[
			'dee',
			'TRUNCATE ... CASCADE beside shop.rows, some rows of which a filter hides from you, is not allowed through the gateway',
		],
		['nat', expect.stringMatching(/^TRUNCATE ... CASCADE beside shop\.(whole|part), which you may not empty, /)],
	])('TRUNCATE ... CASCADE, by %s', async (name, want) => {
		const who = identityOf([`user:${name}`], { tenant: 'acme' });
		expect((await bench.decide('truncate buyers restart identity cascade', { who })).error?.message).toEqual(want);
	});

	test('what its errors could tell is kept back', async () => {
		expect((await bench.decide('create unique index on buyers (shown)')).statements[0]?.touchesProtected).toBe(true);
	});
});
