/** The benchmark's own tables, views, role and rules, beside those of the sample database. */

/** Role of the database, and user of the gateway: the same name and password everywhere. */
export const ROLE = 'bench';
export const TENANT = 'acme';

/** A table that is read and copied as a whole: about 133 bytes a row in COPY's text format, so 3 million are 400 MB. */
export function rowsSql(rows: number): string {
	return `
create table public.bench_rows as
	select i as id, case i % 2 when 0 then 'acme' else 'globex' end as tenant, 'customer ' || lpad(i::text, 8, '0') as name,
		round((i % 99991) * 1.37, 2) as amount, timestamptz '2024-01-01' + i * interval '7 seconds' as created_at,
		repeat(md5(i::text), 2) as note
	from generate_series(1, ${rows}) as i;
create unlogged table public.bench_copy (like public.bench_rows);
`;
}

/** The masks and the filter of the analyst as somebody would write them by hand: what the others are measured with. */
export function viewsSql(password: string): string {
	return `
create view public.bench_employees with (security_barrier) as
	select id, name, left(email, 1) || '***@' || split_part(email, '@', 2) as email, 'XXX-XX-' || right(ssn, 4) as ssn,
		null::numeric(10,2) as salary, date_trunc('year', birth_date)::date as birth_date
	from hr.employees where tenant = '${TENANT}';
create role ${ROLE} login password '${password}';
grant usage on schema hr, sales to ${ROLE};
grant select, insert, update, delete on all tables in schema public, hr, sales to ${ROLE};
grant pg_read_all_stats to ${ROLE};
`;
}

/** Added to the rules of the repository. */
export const ownRules = `
g, user:${ROLE}, role:analyst
p, user:${ROLE}, shop.public.pgbench_*, insert, allow
p, user:${ROLE}, shop.public.pgbench_*, update, allow
p, user:${ROLE}, shop.public.bench_copy, insert, allow
`;

export const openPolicy = `
p, *, shop, connect, allow
p, *, shop.*.*, *, allow
`;

/** A pgbench script that reads one row of employees: by the table's own name through the gateway that masks it. */
export function maskedScript(masking: boolean): string {
	const relation = masking ? 'hr.employees' : 'public.bench_employees';
	return `\\set id random(1, 480)
select id, name, email, ssn, salary, birth_date from ${relation} where id = :id;
`;
}
