/** Statements like those that applications send, for measuring what deciding them costs. */

export interface Statement {
	readonly name: string;
	/** The text with the i-th literals; the same text for every i where it has parameters. */
	readonly text: (i: number) => string;
	/** Oids of the parameters' types, where the client declares them. */
	readonly types?: readonly number[];
}

const INT4 = 23;
const INT8 = 20;

/** As Hibernate writes an entity with its two parents: every column by name, under aliases of its own. */
function wideSelect(value: string): string {
	const employee =
		'id tenant name email phone ssn salary birth_date hired_on employment department_id manager_id skills address';
	const customer = 'id tenant name email card_number country created_at';
	const columns = (alias: string, names: string): string[] =>
		names.split(' ').map((name, i) => `${alias}."${name}" as "${name}${i}_${alias}"`);
	const list = [
		...columns('e1_0', employee),
		...columns('c1_0', customer),
		'd1_0."id" as "d_id"',
		'd1_0."name" as "d_name"',
	];
	return `select ${list.join(', ')} from "hr"."employees" e1_0 left join "hr"."departments" d1_0 on d1_0."id"=e1_0."department_id" left join "sales"."customers" c1_0 on c1_0."id"=e1_0."id" where e1_0."id"=${value} order by e1_0."id" limit 20`;
}

/** A report of about 10 kB, as a BI tool makes it: one branch for each month and measure, over protected tables. */
function report(i: number): string {
	const year = 2024 + (Math.abs(i) % 2);
	const branch = (month: number): string => `
	select '${year}-${String(month).padStart(2, '0')}' as month, c.country, o.status, count(distinct o.id) as orders,
		count(distinct c.id) as customers, sum(p.amount) as revenue, avg(p.amount) as average,
		sum(case when p.amount > ${100 + Math.abs(i)} then p.amount else 0 end) as large,
		sum(case when o.status = 'returned' then 1 else 0 end)::numeric / nullif(count(*), 0) as returned_share,
		percentile_cont(0.5) within group (order by p.amount) as median,
		string_agg(distinct left(c.name, 12), ', ' order by left(c.name, 12)) filter (where o.status <> 'new') as names
	from sales.customers c
	join sales.orders o on o.customer_id = c.id and o.status in ('paid', 'shipped', 'returned')
	left join sales.payments p on p.order_id = o.id
	where extract(month from o.ordered_at) = ${month} and o.ordered_at >= '${year}-01-01' and c.country <> 'XX'
	group by c.country, o.status
	having count(*) > ${Math.abs(i) % 7}`;
	const branches = Array.from({ length: 12 }, (_, month) => branch(month + 1));
	return `with months as (${branches.join('\n\tunion all')}\n)
select m.month, m.country, sum(m.orders) as orders, sum(m.revenue) as revenue, max(m.median) as median,
	rank() over (partition by m.month order by sum(m.revenue) desc nulls last) as place
from months m group by m.month, m.country order by m.month, place limit 500`;
}

export const statements: readonly Statement[] = [
	{
		name: 'pgbench select-only, literal',
		text: (i) => `SELECT abalance FROM pgbench_accounts WHERE aid = ${1_000 + i};`,
	},
	{ name: 'pgbench select-only, parameter', text: () => 'SELECT abalance FROM pgbench_accounts WHERE aid = $1;' },
	{
		name: 'pgbench TPC-B update, literals',
		text: (i) => `UPDATE pgbench_accounts SET abalance = abalance + ${-i} WHERE aid = ${1_000 + i};`,
	},
	{
		name: 'point select, masks and filter, literal',
		text: (i) => `select id, name, email, ssn from hr.employees where id = ${1_000 + i}`,
	},
	{
		name: 'point select, masks and filter, parameter',
		text: () => 'select id, name, email, ssn from hr.employees where id = $1',
		types: [INT4],
	},
	{
		name: 'join of three protected tables, literals',
		text: (i) =>
			`select o.id, o.ordered_at, c.name, c.email, c.card_number, p.amount, p.iban from sales.orders o join sales.customers c on c.id = o.customer_id left join sales.payments p on p.order_id = o.id where o.status = 'paid' and c.id = ${1_000 + i} order by o.ordered_at desc limit 50`,
	},
	{ name: 'wide select of an ORM, literal', text: (i) => wideSelect(String(1_000 + i)) },
	{ name: 'wide select of an ORM, parameter', text: () => wideSelect('$1'), types: [INT8] },
	{ name: 'report', text: report },
];
