/** Tables of a million rows behind a filter and masks, the views that somebody would write by hand, and statements that need their indexes. */
import { ROLE, TENANT } from './tables.ts';

export interface FilterCase {
	readonly name: string;
	/** `@orders`, `@customers` and `@countries` stand for the table, or for the view. */
	readonly sql: string;
	/** Types and values of $1, $2 ...; then the statement is prepared. The type 'unknown' is one that the client leaves to the server. */
	readonly parameters?: readonly { readonly type: string; readonly value: string }[];
	/** It changes rows: each run is rolled back. */
	readonly writes?: boolean;
}

export function filterTablesSql(rows: number): string {
	return `
create table public.bench_orders (id bigint primary key, code text not null unique, ref varchar(20) not null, tenant text not null,
	customer_id int not null, parent_id bigint, email text not null, card text not null, amount numeric(10,2) not null, status text not null,
	created_at timestamptz not null, due date, note text);
insert into public.bench_orders select i, 'C-' || lpad(i::text, 8, '0'), 'R' || i, case i % 2 when 0 then 'acme' else 'globex' end,
	1 + (i + 50) % 100000, nullif(i / 2, 0), 'customer' || i || '@mail.example', '4000 0000 0000 ' || lpad((i % 10000)::text, 4, '0'),
	round((i % 99991) * 1.37, 2), (array['new', 'paid', 'shipped', 'returned'])[1 + i / 2 % 4],
	timestamptz '2024-01-01' + i * interval '1 minute', case when i % 3 > 0 then date '2024-01-01' + i % 700 end, repeat(md5(i::text), 3)
	from generate_series(1, ${rows}) as i;
create index on public.bench_orders (customer_id);
create index on public.bench_orders (ref);
create index on public.bench_orders (created_at);
create index on public.bench_orders (tenant, status, created_at);
create table public.bench_customers (id int primary key, tenant text not null, name text not null, email text not null, country char(2) not null);
insert into public.bench_customers select i, case (i - 1) % 2 when 0 then 'acme' else 'globex' end, 'customer ' || i, 'customer' || i || '@mail.example',
	(array['DE', 'PT', 'CH', 'FR', 'NL', 'GB', 'US'])[1 + i % 7] from generate_series(1, 100000) as i;
create table public.bench_countries (code char(2) primary key, name text not null);
insert into public.bench_countries values ('DE', 'Germany'), ('PT', 'Portugal'), ('CH', 'Switzerland'), ('FR', 'France'),
	('NL', 'Netherlands'), ('GB', 'United Kingdom'), ('US', 'United States');
create view public.bench_orders_view with (security_barrier) as
	select id, code, ref, tenant, customer_id, parent_id, left(email, 1) || '***@' || split_part(email, '@', 2) as email,
		'**** **** **** ' || right(card, 4) as card, amount, status, created_at, due, note
	from public.bench_orders where tenant = '${TENANT}' with check option;
create view public.bench_customers_view with (security_barrier) as
	select id, tenant, name, left(email, 1) || '***@' || split_part(email, '@', 2) as email, country
	from public.bench_customers where tenant = '${TENANT}' with check option;
create view public.bench_countries_view as select * from public.bench_countries;
alter role ${ROLE} login password '${ROLE}';
grant select, insert, update, delete on all tables in schema public to ${ROLE};
vacuum analyze public.bench_orders;
vacuum analyze public.bench_customers;
vacuum analyze public.bench_countries;
`;
}

export const filterRules = `
p, user:${ROLE}, shop.public.bench_orders, select, filter, own_tenant
p, user:${ROLE}, shop.public.bench_orders.email, select, mask, email
p, user:${ROLE}, shop.public.bench_orders.card, select, mask, card_last4
p, user:${ROLE}, shop.public.bench_orders, update, allow
p, user:${ROLE}, shop.public.bench_orders, delete, allow
p, user:${ROLE}, shop.public.bench_customers, select, filter, own_tenant
p, user:${ROLE}, shop.public.bench_customers.email, select, mask, email
p, user:${ROLE}, shop.public.bench_*_view, *, deny
`;

const id = [{ type: 'bigint', value: '500000' }];
const columns = 'id, code, email, card, amount, status';

/** Of these the issue asks: by key, a join on the key, the first ten in order. */
const asked: readonly FilterCase[] = [
	{ name: 'id = literal', sql: `select ${columns} from @orders where id = 500000` },
	{ name: 'id = $1', sql: `select ${columns} from @orders where id = $1`, parameters: id },
	{
		name: 'id = $1, its type left open',
		sql: `select ${columns} from @orders where id = $1`,
		parameters: [{ type: 'unknown', value: '500000' }],
	},
	{
		name: 'join with an open table on the key',
		sql: 'select c.id, c.name, c.email, k.name from @customers c join @countries k on k.code = c.country where c.id = 51',
	},
	{
		name: 'join of two filtered tables on the key, by the one',
		sql: `select o.id, o.email, c.name, c.email from @orders o join @customers c on c.id = o.customer_id where o.id = 500000`,
	},
	{
		name: 'join of two filtered tables on the key, by the other',
		sql: `select o.id, o.email, c.name, c.email from @customers c join @orders o on o.customer_id = c.id where c.id = $1`,
		parameters: [{ type: 'integer', value: '51' }],
	},
	{ name: 'order by id limit 10', sql: `select ${columns} from @orders order by id limit 10` },
	{ name: 'order by id desc limit 10', sql: `select * from @orders order by id desc limit 10` },
	{
		name: 'next page by key',
		sql: `select ${columns} from @orders where id > $1 order by id limit 10`,
		parameters: id,
	},
];

/** Nothing in these could tell of a hidden row, as far as the server knows: no fence is needed. */
const plain: readonly FilterCase[] = [
	{ name: 'text key = literal', sql: `select ${columns} from @orders where code = 'C-00500000'` },
	{
		name: 'text key = $1',
		sql: `select ${columns} from @orders where code = $1`,
		parameters: [{ type: 'text', value: "'C-00500000'" }],
	},
	{ name: 'varchar key = literal', sql: `select ${columns} from @orders where ref = 'R500000'` },
	{ name: 'id in a list', sql: `select ${columns} from @orders where id in (2, 400, 60000, 800000, 1000000)` },
	{
		name: 'id = any($1)',
		sql: `select ${columns} from @orders where id = any($1)`,
		parameters: [{ type: 'bigint[]', value: "'{2,400,60000,800000,1000000}'" }],
	},
	{
		name: 'range of ids',
		sql: `select ${columns} from @orders where id between 500000 and 500200`,
	},
	{
		name: 'range of times',
		sql: `select ${columns} from @orders where created_at >= '2024-12-01' and created_at < '2024-12-01 04:00'`,
	},
	{
		name: 'range of times, computed',
		sql: `select ${columns} from @orders where created_at >= timestamptz '2024-12-02' - interval '4 hours' and created_at < date '2024-12-02'`,
	},
	{
		name: 'status and latest first',
		sql: `select ${columns} from @orders where status = 'paid' order by created_at desc limit 20`,
	},
	{ name: 'a subquery with the key outside', sql: `select * from (select * from @orders) s where s.id = 500000` },
	{
		name: 'id in (select ...)',
		sql: `select ${columns} from @orders where customer_id in (select id from @customers where id < 20)`,
	},
	{ name: 'count of all', sql: 'select count(*) from @orders' },
	{ name: 'group by', sql: 'select status, sum(amount), count(*) from @orders group by status' },
];

/** Something in these could tell of a hidden row, so they have a fence (OFFSET 0); the index is kept all the same. */
const fenced: readonly FilterCase[] = [
	{ name: 'id = literal and LIKE', sql: `select ${columns} from @orders where id = 500000 and code like 'C-%'` },
	{ name: 'literal = id and LIKE', sql: `select ${columns} from @orders where 500000 = id and code like 'C-%'` },
	{
		name: 'id = $1 and LIKE',
		sql: `select ${columns} from @orders where id = $1 and code like $2`,
		parameters: [...id, { type: 'text', value: "'C-%'" }],
	},
	{
		name: 'id = a cast literal and LIKE',
		sql: `select ${columns} from @orders where id = '500000'::bigint and code like 'C-%'`,
	},
	{
		name: 'id in a list and a function',
		sql: `select ${columns} from @orders where id in (2, 400, 60000, 800000) and lower(status) = 'new'`,
	},
	{
		name: 'two ids by OR and a function',
		sql: `select ${columns} from @orders where (id = 2 or id = 800000) and lower(status) <> 'old'`,
	},
	{
		name: 'a masked column compared, by id',
		sql: `select ${columns} from @orders where id = 500000 and email like 'c%'`,
	},
	{
		name: 'range of times and ILIKE',
		sql: `select ${columns} from @orders where created_at >= '2024-12-01' and created_at < '2024-12-01 04:00' and note ilike '%a%'`,
	},
	{
		name: 'range of times, computed, and ILIKE',
		sql: `select ${columns} from @orders where created_at >= timestamptz '2024-12-02' - interval '4 hours' and created_at < date '2024-12-02' and note ilike '%a%'`,
	},
	{
		name: 'customer, LIKE, latest first',
		sql: `select ${columns} from @orders where customer_id = 51 and note like '%a%' order by created_at desc limit 10`,
	},
	{
		name: 'two filtered tables, by the key of one, LIKE',
		sql: `select o.id, c.name from @orders o join @customers c on c.id = o.customer_id where o.id = 500000 and c.name like 'cust%'`,
	},
	{
		name: 'two filtered tables, by the joined key, LIKE',
		sql: `select o.id, c.name from @customers c join @orders o on o.customer_id = c.id where c.id = 51 and o.note like '%a%'`,
	},
	{
		name: 'left join of two filtered tables, LIKE',
		sql: `select c.name, o.id from @customers c left join @orders o on o.customer_id = c.id and o.note like '%a%' where c.id = 51`,
	},
	{
		name: 'a subquery with key and LIKE outside',
		sql: `select * from (select * from @orders) s where s.id = 500000 and s.code like 'C-%'`,
	},
	{
		name: 'a CTE with key and LIKE outside',
		sql: `with s as (select * from @orders) select * from s where s.id = 500000 and s.code like 'C-%'`,
	},
	{
		name: 'null test and a function',
		sql: `select ${columns} from @orders where parent_id is null and lower(status) <> 'old'`,
	},
	{
		name: 'order by id limit 10 and LIKE',
		sql: `select ${columns} from @orders where code like 'C-%' order by id limit 10`,
	},
	{ name: 'LIKE over everything, counted', sql: `select count(*) from @orders where note like '%abc%'` },
];

const writes: readonly FilterCase[] = [
	{ name: 'update by key', sql: 'update @orders set amount = amount + 1 where id = 500000' },
	{
		name: 'update by key, $1',
		sql: 'update @orders set amount = amount + $2 where id = $1',
		parameters: [...id, { type: 'numeric', value: '1' }],
	},
	{
		name: 'update by key, returning masked',
		sql: 'update @orders set amount = amount + 1 where id = 500000 returning id, email, amount',
	},
	{
		name: 'update by key and LIKE',
		sql: `update @orders set amount = amount + 1 where id = 500000 and code like 'C-%'`,
	},
	{ name: 'delete by key', sql: 'delete from @orders where id = 500000' },
	{
		name: 'delete by customer, from a join',
		sql: 'delete from @orders o using @customers c where c.id = o.customer_id and c.id = 51',
	},
].map((one) => ({ ...one, writes: true }));

export const filterCases: readonly FilterCase[] = [...asked, ...plain, ...fenced, ...writes];
