with monthly as (select date_trunc('month', o.placed_at) as m, c.country, sum(o.total) as revenue, count(distinct o.customer_id) as buyers from sales.orders o join crm.customers c on c.id = o.customer_id group by 1, 2), ranked as (select m, country, revenue, buyers, rank() over (partition by m order by revenue desc) as r, sum(revenue) over (partition by country order by m) as running from monthly) select * from ranked where r <= 2 order by m, r, country;

select k.region, p.category, count(*) as lines, sum(l.quantity * l.price) as value, avg(l.price)::numeric(10,2) from sales.order_lines l join sales.orders o on o.id = l.order_id join crm.customers c on c.id = o.customer_id join crm.countries k on k.code = c.country join sales.products p on p.id = l.product_id where o.status <> 'returned' group by k.region, p.category having sum(l.quantity) > 10 order by 1, 2;

select c.id, c.name, c.email, o.last, o.n from crm.customers c cross join lateral (select max(placed_at) as last, count(*) as n from sales.orders o where o.customer_id = c.id) o where o.n > 0 order by o.last desc, c.id limit 20;

select * from crm.customers where (created_at, id) > (timestamptz '2022-03-01', 10) order by created_at, id limit 10;

select id, email from crm.customers where id > 20 and (country = 'DE' or city is null) order by id limit 5;

select o.id, o.total, sum(o.total) over w, avg(o.total) over (partition by o.customer_id order by o.placed_at rows 3 preceding), first_value(o.status) over w, nth_value(o.total, 2) over w from sales.orders o where o.customer_id in (1, 2, 4) window w as (partition by o.customer_id order by o.placed_at, o.id) order by o.id;

select date_trunc('quarter', placed_at)::date as quarter, count(*) filter (where status = 'paid') as paid, count(*) filter (where status = 'returned') as returned, round(100.0 * count(*) filter (where status = 'returned') / nullif(count(*), 0), 1) as pct from sales.orders group by 1 order by 1;

with first_order as (select customer_id, min(placed_at) as first_at from sales.orders group by customer_id), activity as (select f.customer_id, date_trunc('month', f.first_at) as cohort, extract(month from age(o.placed_at, f.first_at))::int as month_no from first_order f join sales.orders o using (customer_id)) select cohort, month_no, count(distinct customer_id) from activity group by cohort, month_no order by 1, 2;

select coalesce(c.country, 'all') as country, coalesce(c.city, 'all') as city, grouping(c.country) as g, count(*), sum(o.total) from crm.customers c join sales.orders o on o.customer_id = c.id group by rollup (c.country, c.city) order by g, country, city;

select country, percentile_cont(array[0.25, 0.5, 0.75]) within group (order by total) as q from crm.customers c join sales.orders o on o.customer_id = c.id group by country order by country;

select d.day::date, coalesce(count(o.id), 0) as orders from generate_series('2023-01-01'::date, '2023-01-31'::date, interval '1 day') as d(day) left join sales.orders o on o.placed_at >= d.day and o.placed_at < d.day + interval '1 day' group by d.day order by d.day;

select c.name, string_agg(distinct p.category, ', ' order by p.category) as categories, array_agg(distinct p.id order by p.id) as products from crm.customers c join sales.orders o on o.customer_id = c.id join sales.order_lines l on l.order_id = o.id join sales.products p on p.id = l.product_id where c.id < 10 group by c.id, c.name order by c.id;

select to_char(date_trunc('week', placed_at), 'IYYY-IW') as week, sum(total) as total, lag(sum(total)) over (order by date_trunc('week', placed_at)) as previous, sum(sum(total)) over (order by date_trunc('week', placed_at)) as cumulative from sales.orders group by date_trunc('week', placed_at) order by 1;

select id, name, ts_rank_cd(search, query) as rank, ts_headline('english', description, query, 'StartSel=<b>, StopSel=</b>') from sales.products, websearch_to_tsquery('english', 'useful travelling') query where search @@ query order by rank desc, id limit 5;

select p.id, p.attributes ->> 'color' as color, (p.attributes ->> 'weight')::numeric as w, p.attributes -> 'sizes' as sizes from sales.products p where p.attributes @> '{"color":"green"}' and (p.attributes ->> 'weight')::int between 20 and 200 and p.attributes ? 'sizes' order by w;

select attributes ->> 'color' as color, jsonb_agg(jsonb_build_object('id', id, 'price', price) order by price) as items from sales.products group by 1 order by 1;

select id, jsonb_path_query_first(attributes, '$.sizes[0]') #>> '{}' as first_size from sales.products where attributes @@ '$.weight > 100' order by id limit 5;

select c.id, c.tags, c.tags && array['tag1', 'tag2'] as any_of, array_length(c.tags, 1), t.tag, t.ord from crm.customers c left join lateral unnest(c.tags) with ordinality as t(tag, ord) on true where c.id < 8 order by c.id, t.ord;

select id, placed_at, shipped_at, shipped_at - placed_at as lead, justify_hours(shipped_at - placed_at), extract(epoch from shipped_at - placed_at) / 3600 as hours from sales.orders where shipped_at is not null and placed_at between '2023-02-01' and '2023-02-28' order by id limit 10;

select e.name, e.salary, m.name as manager, d.name as department, e.salary - avg(e.salary) over (partition by d.id) as diff, dense_rank() over (partition by d.id order by e.salary desc nulls last) from hr.employees e left join hr.employees m on m.id = e.manager_id join hr.departments d on d.id = e.department_id order by d.id, e.id;

with recursive chain as (select id, name, manager_id, name::text as path, 0 as depth from hr.employees where manager_id is null union all select e.id, e.name, e.manager_id, c.path || ' > ' || e.name, c.depth + 1 from hr.employees e join chain c on c.id = e.manager_id) select depth, path from chain order by path limit 20;

select numrange(min(total), max(total), '[]') @> 100.0 as inside, range_agg(daterange(placed_at::date, (placed_at + interval '1 day')::date)) from sales.orders where id < 20;

select status, mode() within group (order by customer_id) as m, percentile_disc(0.9) within group (order by total), stddev_samp(total)::numeric(12,4), var_pop(total)::numeric(14,4) from sales.orders group by status order by status;

select c.country, c.id, o.total from crm.customers c join lateral (select total from sales.orders where customer_id = c.id order by total desc, id limit 2) o on true where c.country in ('DE', 'JP') order by 1, 2, 3;

select c.*, o.total from crm.customers c join sales.orders o on o.customer_id = c.id and o.status = 'paid' where c.id between 1 and 6 order by c.id, o.id;

select exists(select 1 from sales.orders o join crm.customers c on c.id = o.customer_id where c.country = 'NO' and o.total > 1000) as big_in_norway;

select distinct c.country, first_value(c.name) over (partition by c.country order by c.created_at) as oldest from crm.customers c order by 1;

select width_bucket(total, array[100, 500, 1000, 1500]::numeric[]) as bucket, count(*), min(total), max(total) from sales.orders group by 1 order by 1;

select case when total < 500 then 'small' when total < 1500 then 'medium' else 'large' end as size, status, count(*) from sales.orders group by grouping sets ((1, 2), (1), ()) order by 1 nulls last, 2 nulls last;

select a.id, b.id from crm.customers a join crm.customers b on a.country = b.country and a.city = b.city and a.id < b.id where a.id < 20 order by 1, 2;

select c.country, count(*) filter (where o.id is null) as without_orders from crm.customers c left join sales.orders o on o.customer_id = c.id group by c.country order by c.country;

select id, email, phone is null as no_phone, coalesce(phone, 'n/a'), left(card, 4) from crm.customers order by email, id limit 10;

select birth_date, count(*) from crm.customers group by birth_date order by birth_date limit 10;

select extract(decade from birth_date) as decade, count(*), array_agg(id order by id) from crm.customers group by 1 order by 1;

select v.path, v.at::date, count(*) over (partition by v.path), v.took > interval '1 second' as slow from log.visits v where v.at >= '2023-07-01' and v.at < '2023-08-01' order by v.at, v.path;

select date_trunc('month', at) as month, path, count(*), avg(took), percentile_cont(0.95) within group (order by took) from log.visits group by 1, 2 order by 1, 2 limit 20;

select t.* from (select o.*, row_number() over (partition by customer_id order by total desc, id) as rn from sales.orders o) t where t.rn = 1 order by t.customer_id limit 10;

select * from sales.order_totals t join crm.customers c on c.id = t.customer_id where t.total > 100 order by t.id limit 10;

select customer, count(*), sum(total) from sales.order_book group by customer order by 3 desc, 1 limit 5;

select d.day, d.orders, b.n from sales.daily_mv d left join (select placed_at::date as day, count(*) as n from sales.orders group by 1) b using (day) order by d.day limit 10;

select c.id from crm.customers c where not exists (select from sales.orders o where o.customer_id = c.id and o.placed_at > '2023-06-01') order by c.id;

select id, (select count(*) from sales.orders o where o.customer_id = c.id) as n, (select array_agg(total order by total) from sales.orders o where o.customer_id = c.id and o.status = 'new') as new_totals from crm.customers c where id < 12 order by id;

select json_build_object('id', c.id, 'email', c.email, 'orders', coalesce((select json_agg(json_build_object('id', o.id, 'lines', (select json_agg(l order by l.line_no) from sales.order_lines l where l.order_id = o.id)) order by o.id) from sales.orders o where o.customer_id = c.id), '[]')) from crm.customers c where c.id in (1, 2) order by c.id;

select xmlelement(name customer, xmlattributes(c.id as id), xmlforest(c.name, c.email)) from crm.customers c where id < 4 order by id;

select md5(string_agg(c::text, ',' order by c.id)) is not null from crm.customers c;

select count(*) from (select 1 from crm.customers where country = 'DE' union all select 1 from sales.orders where total > 1000) x;

select country, n, n * 100.0 / sum(n) over () as share from (select country, count(*) as n from crm.customers group by country) t order by n desc, country;

(select 'customers' as what, count(*) from crm.customers) union all (select 'orders', count(*) from sales.orders) union all (select 'visits', count(*) from log.visits) order by 1;

select o.id, o.status, o.status >= 'paid' as later, array_position(enum_range(null::sales.order_status), o.status) from sales.orders o order by o.id limit 4;

select name, regexp_replace(name, '^(\w+)\s+(\d+)$', '\2-\1'), regexp_match(email, '@(.+)$') from crm.customers order by id limit 3;

select c.id, c.name, c.email, c.birth_date, o.status, count(*), grouping(o.status) from crm.customers c join sales.orders o on o.customer_id = c.id group by c.id, rollup(o.status) having c.name <> 'Customer 1' order by c.email, 5 nulls last;

select c.id, c.name, c.city, c.profile, count(*), row_to_json(c) from crm.customers c join sales.orders o on o.customer_id = c.id group by grouping sets ((c.id, c.city), (1)) order by c.id, c.city;

select c.*, o.status, count(*), rank() over (order by c.birth_date) from crm.customers c join sales.orders o on o.customer_id = c.id group by (c.id, o.status), (), grouping sets ((c.city), (o.status)) order by c.card, 14, c.city;

select distinct on (country) id, country, email, max(total) from crm.customers join (select customer_id as id, total, status from sales.orders) o using (id) group by distinct cube(o.status), grouping sets ((id), (id)) order by country, email, 4 limit 9;

select l.order_id, l.line_no, l.price, o.total, o.comment, o.status from sales.orders o join sales.order_lines l on l.order_id = o.id group by grouping sets ((l.order_id, l.line_no, o.id), (o.id, l.line_no, l.order_id, o.status)) order by 1, 2, 6 limit 20;

select j.id, j.email, j.status, sum(j.total) from (crm.customers c join sales.orders o (oid) on o.customer_id = c.id) as j(id, tenant, name, email) group by j.id, rollup(j.status) order by 1, 3 limit 20;
