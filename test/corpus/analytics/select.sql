select * from crm.customers order by id;

select id, name, email, phone, card, birth_date, profile from crm.customers where country = 'DE' order by id;

select c.* from crm.customers c where c.id between 1 and 20;

select count(*) from crm.customers;

select count(*), count(phone), count(distinct email), count(email) filter (where country = 'FR') from crm.customers;

select email, card from crm.customers where id = 1;

select id from crm.customers where email like 'c%' and name ilike 'customer 1%';

select id from crm.customers where lower(name) = 'customer 7';

select id, name from crm.customers where id in (1, 2, 4, 5) or name = 'Customer 10';

select id, upper(name) as loud, length(email) as size, substring(card from 6) as tail from crm.customers order by id limit 10;

select initcap(city), concat_ws(', ', city, country), format('%s <%s>', name, email) from crm.customers order by id limit 5;

select coalesce(phone, 'none') as phone, nullif(city, 'Oslo'), greatest(id, 5), least(id, 5) from crm.customers order by id limit 8;

select case when id < 50 then 'low' when id < 100 then 'middle' else 'high' end as band, count(*) from crm.customers group by 1 order by 1;

select distinct country from crm.customers order by country;

select distinct on (country) country, id, name from crm.customers order by country, id desc;

select country, city, count(*) as n from crm.customers group by country, city having count(*) > 2 order by n desc, country, city;

select id, name, email, created_at from crm.customers group by id order by id limit 7;

select c.id, c.name, c.card, count(o.id) as orders, sum(o.total) as spent from crm.customers c left join sales.orders o on o.customer_id = c.id group by c.id order by spent desc nulls last, c.id limit 10;

select c.*, count(*) as orders from crm.customers c join sales.orders o on o.customer_id = c.id group by c.id order by c.id;

select extract(year from birth_date) as year, count(*) from crm.customers group by 1 order by 1;

select date_trunc('month', placed_at) as month, sum(total), avg(total), min(total), max(total) from sales.orders group by 1 order by 1;

select to_char(placed_at, 'YYYY-MM') as month, count(*) from sales.orders group by 1 order by 1;

select date_part('dow', placed_at) as day, count(*) from sales.orders group by 1 order by 1;

select placed_at::date, count(*) from sales.orders where placed_at >= '2023-03-01' and placed_at < '2023-04-01' group by 1 order by 1;

select id, shipped_at - placed_at as took, age(shipped_at, placed_at) from sales.orders where shipped_at is not null order by id limit 5;

select id, placed_at at time zone 'Europe/Berlin', placed_at + interval '1 day' from sales.orders order by id limit 3;

select date_bin('7 days', placed_at, timestamptz '2023-01-01') as week, count(*) from sales.orders group by 1 order by 1 limit 5;

select d::date as day, coalesce(sum(o.total), 0) as total from generate_series(timestamptz '2023-02-01', '2023-02-10', '1 day') d left join sales.orders o on o.placed_at::date = d::date group by d order by d;

select make_date(2023, 5, 1), make_interval(days => 3), current_date = now()::date, extract(epoch from interval '1 hour');

select status, count(*), sum(total) from sales.orders group by status order by status;

select id, status from sales.orders where status in ('paid', 'shipped') and status <> 'new' order by id limit 5;

select enum_range(null::sales.order_status)::text, enum_first('paid'::sales.order_status);

select status::text, count(*) from sales.orders where status = any (array['new', 'paid']::sales.order_status[]) group by 1 order by 1;

select c.name, o.id, o.total from crm.customers c join sales.orders o on o.customer_id = c.id where o.total > 1500 order by o.total desc;

select c.name, o.id from crm.customers c, sales.orders o where o.customer_id = c.id and c.country = 'JP' order by o.id limit 10;

select c.name, o.total, l.line_no, p.name from crm.customers c join sales.orders o on o.customer_id = c.id join sales.order_lines l on l.order_id = o.id join sales.products p on p.id = l.product_id where c.id = 2 order by o.id, l.line_no;

select p.name, sum(l.quantity) as sold from sales.products p join sales.order_lines l on l.product_id = p.id join sales.orders o on o.id = l.order_id group by p.name order by sold desc, p.name limit 5;

select k.name, count(c.id) from crm.countries k left join crm.customers c on c.country = k.code group by k.name order by k.name;

select k.name from crm.countries k right join crm.customers c on c.country = k.code where c.id < 10 order by c.id;

select coalesce(a.country, b.country) as country, a.n, b.n from (select country, count(*) n from crm.customers where id < 50 group by 1) a full join (select country, count(*) n from crm.customers where id >= 50 group by 1) b on a.country = b.country order by 1;

select * from crm.customers join (values (1, 'one'), (2, 'two')) v (id, word) using (id) order by id;

select id, name, total from crm.customers natural join (select customer_id as id, sum(total) as total from sales.orders group by 1) t order by id limit 5;

select count(*) from crm.countries cross join crm.customers;

select a.id, b.id from crm.customers a join crm.customers b on a.country = b.country and a.id < b.id where a.id < 10 order by 1, 2 limit 10;

select c.id, x.total from crm.customers c cross join lateral (select total from sales.orders o where o.customer_id = c.id order by total desc limit 1) x order by c.id limit 5;

select c.id, x.n from crm.customers c left join lateral (select count(*) as n from sales.orders o where o.customer_id = c.id and o.total > 1000) x on true order by c.id limit 5;

select id from crm.customers c where exists (select from sales.orders o where o.customer_id = c.id and o.comment = 'urgent') order by id;

select id from crm.customers where id not in (select customer_id from sales.orders where total > 500) order by id;

select id, (select max(total) from sales.orders o where o.customer_id = c.id) as top from crm.customers c order by id limit 6;

select id, array(select o.id from sales.orders o where o.customer_id = c.id order by o.id) as orders from crm.customers c order by id limit 4;

select id from sales.orders where total > all (select avg(total) from sales.orders group by status) order by id limit 5;

select id from sales.orders where (customer_id, status) in (select customer_id, status from sales.orders where id = 1) order by id;

select id, total, rank() over (order by total desc) as place from sales.orders order by place limit 5;

select id, customer_id, row_number() over (partition by customer_id order by placed_at) as nth, sum(total) over (partition by customer_id order by placed_at rows between unbounded preceding and current row) as running from sales.orders where customer_id < 6 order by customer_id, nth;

select id, total - lag(total) over w as delta, lead(id) over w, first_value(total) over w, ntile(4) over w from sales.orders window w as (order by id) order by id limit 6;

select id, avg(total) over (order by id rows between 2 preceding and 2 following) from sales.orders order by id limit 5;

select id, total, percent_rank() over (order by total), cume_dist() over (order by total), dense_rank() over (order by status) from sales.orders order by id limit 3;

select id, count(*) over (partition by country) as peers, email from crm.customers order by id limit 6;

select sum(total) over (order by placed_at range between interval '7 days' preceding and current row) from sales.orders order by placed_at limit 5;

select id, sum(total) over (order by id groups between 1 preceding and 1 following exclude current row) from sales.orders order by id limit 4;

select percentile_cont(0.5) within group (order by total), percentile_disc(array[0.25, 0.75]) within group (order by total), mode() within group (order by status) from sales.orders;

select stddev(total), variance(total), corr(total, customer_id), regr_slope(total, customer_id) from sales.orders;

select string_agg(name, ', ' order by name) from crm.customers where id < 12;

select array_agg(id order by id desc) filter (where country = 'NO') from crm.customers;

select bool_and(total > 0), bool_or(total > 1900), every(id > 0), bit_and(id), bit_or(customer_id) from sales.orders;

select country, status, count(*) from crm.customers c join sales.orders o on o.customer_id = c.id group by grouping sets ((country, status), (country), ()) order by country nulls last, status nulls last;

select country, city, count(*), grouping(country, city) from crm.customers group by rollup (country, city) order by 1 nulls last, 2 nulls last;

select country, city, count(*) from crm.customers group by cube (country, city) order by 1 nulls last, 2 nulls last;

select id, name from crm.customers where id < 5 union select id, name from crm.customers where id in (4, 5) order by id;

select country from crm.customers union all select code from crm.countries order by 1;

select country from crm.customers intersect select code from crm.countries order by 1;

select code from crm.countries except select country from crm.customers where country <> 'BR' order by 1;

(select id from crm.customers order by id limit 2) union all (select id from crm.customers order by id desc limit 2);

values (1, 'a'), (2, 'b'), (3, 'c') order by 1 desc limit 2;

table crm.countries order by code;

table crm.customers order by id limit 3;

select * from only crm.customers order by id limit 3;

select count(*) from crm.customers tablesample bernoulli (100);

select id from crm.customers order by created_at desc, id limit 5 offset 5;

select id from crm.customers order by id fetch first 3 rows only;

select id, country from crm.customers order by country fetch first 2 rows with ties;

select id from crm.customers where birth_date >= '1960-01-01' and birth_date < '1970-01-01' order by id;

select id, birth_date, birth_date + 30 as later, extract(year from age(date '2024-01-01', birth_date)) as age from crm.customers order by id limit 5;

select id from crm.customers where phone is null order by id limit 3;

select id, profile is null as nothing, profile ->> 'theme' as theme from crm.customers order by id limit 3;

select id, name from crm.customers where not (country = 'DE' or country = 'FR') and city is not null and id % 2 = 0 order by id limit 5;

select id from crm.customers where name similar to 'Customer (1|2)' or name ~ '^Customer 10[0-9]$' or name !~ 'C' order by id;

select id, name collate "C" from crm.customers order by name collate "C" limit 5;

select id from crm.customers where (country, city) = ('DE', 'Paris') order by id;

select id, row_number() over () from (select id from crm.customers order by id limit 3) s;

select x.id from (select * from crm.customers) as x where x.email is not null order by x.id limit 3;

select s.a, s.b from (select id, email from crm.customers) as s (a, b) order by a limit 3;

select c from crm.customers c order by c.id limit 2;

select c.id, (c).name from crm.customers c order by id limit 2;

select row(id, name) from crm.customers order by id limit 2;

select id::text || '-' || country from crm.customers order by id limit 3;

select cast(id as bigint), id::numeric(6, 2), '5'::int, true::text, total::float8 from (select id, 1.5 as total from crm.customers) s order by 1 limit 2;

select 1;

select 1 + 1 as two, 'x' || 'y' as xy, now() > '2020-01-01' as later, pi() > 3 as round, version() like 'PostgreSQL%' as pg;

select current_user is not null, session_user is not null, current_database() is not null, current_schema, pg_backend_pid() > 0;

select generate_series(1, 5) as n;

select * from generate_series(1, 3) with ordinality as t (a, n);

select random() < 2, gen_random_uuid() is not null, md5('x'), sha256('x'), encode('abc', 'hex'), decode('616263', 'hex');

select 'a' as "Mixed Case", 'b' as "quoted ""name""";

select * from sales.products where price between 10 and 20 order by price;

select name, price, sales.discounted(price) as cheaper from sales.products order by id limit 3;

select * from sales.order_totals order by id limit 5;

select * from sales.order_book order by id limit 5;

select name, country from crm.customer_names where country = 'DE' order by id;

select count(*), sum(total) from sales.order_totals;

select b.customer, b.email from sales.order_book b join crm.customers c on c.name = b.customer where c.id = 4 order by b.id;

select day, orders, total from sales.daily_mv order by day limit 5;

select sum(orders) from sales.daily_mv where day >= '2023-06-01';

select id, name, salary from hr.employees order by id;

select department_id, count(*), sum(salary), max(salary) from hr.employees group by department_id order by department_id;

select d.name, avg(e.salary) from hr.departments d left join hr.employees e on e.department_id = d.id group by d.id order by d.id;

select m.name as manager, count(*) as reports, max(e.salary) from hr.employees e join hr.employees m on m.id = e.manager_id group by m.id order by m.id;

select id from hr.employees where salary > 60000 order by id;

select path, count(*), avg(took) from log.visits group by path order by path;

select at::date, path, address from log.visits where at >= '2023-12-25' and at < '2024-01-05' order by at;

select count(*) from log.visits_2023;

select path, count(*) from log.visits_2024 group by path order by path;

select tableoid::regclass::text, count(*) from log.visits group by 1 order by 1;

select justify_interval(sum(took)), extract(epoch from max(took)) from log.visits;

select width_bucket(total, 0, 2000, 10) as bucket, count(*) from sales.orders group by 1 order by 1;

select round(total), ceil(total), floor(total), trunc(total, 1), mod(id, 7), abs(-total), sign(total), power(2, 3), sqrt(total)::int from sales.orders order by id limit 2;

select regexp_replace(name, '\d+', '#'), split_part(email, '@', 2), translate(name, 'abc', 'xyz'), lpad(id::text, 5, '0'), repeat('ab', 2), reverse(city), position('m' in name), trim(both 'C' from name), overlay(name placing 'X' from 1 for 1), strpos(name, 'o'), left(name, 3), right(name, 3), ascii(name), chr(65), quote_literal(city), to_hex(id) from crm.customers order by id limit 3;

select regexp_matches(name, '(\w+) (\d+)'), regexp_split_to_array(email, '@'), string_to_array(name, ' '), regexp_count(name, 'o'), regexp_substr(name, '\d+') from crm.customers order by id limit 3;

select unnest(string_to_array('a,b,c', ','));

select to_number('12.5', '99.9'), to_date('2023-05-01', 'YYYY-MM-DD'), to_timestamp(0) = 'epoch', to_char(1234.5, '9,999.99');

select numrange(1, 5) @> 3.0, daterange('2023-01-01', '2023-02-01') && daterange('2023-01-15', '2023-03-01'), tstzrange(placed_at, shipped_at) @> placed_at from sales.orders where shipped_at is not null order by id limit 2;

select inet '10.0.0.1' << inet '10.0.0.0/8', host(inet '10.0.0.1/8'), masklen(inet '10.0.0.0/8');

select exists (select 1 from crm.customers where id = 1), not exists (select 1 from crm.customers where id = -1);

select count(*) from crm.customers c where c.created_at > (select avg(extract(epoch from created_at)) * interval '1 second' + timestamptz 'epoch' from crm.customers);

select /* a comment */ id -- and another
from crm.customers /* with /* nested */ ones */ order by id limit 1;

SELECT ID, NAME FROM CRM.CUSTOMERS WHERE COUNTRY = 'DE' ORDER BY ID LIMIT 2;

select "id", "name" from "crm"."customers" where "country" = E'\x44E' order by "id" limit 2;

select 'it''s', $$dollar $quoted$$, $x$a 'b' $$ c$x$, U&'d\0061t\+000061', e'tab\there', b'101', x'1F';

select id as order, total as "select" from sales.orders order by id limit 1;

select 'Zürich 漢字 😀' as place, name from crm.customers where city <> 'Zürich' order by id limit 2;

select count(*) from crm.customers where tags @> array['tag1'] and not tags && array['tag6'];

select tag, count(*) from crm.customers, unnest(tags) as tag group by tag order by tag;

select id, tags[1], array_length(tags, 1), cardinality(tags), array_position(tags, 'tag1'), tags || 'x'::text, array_remove(tags, 'tag1'), array_to_string(tags, '|') from crm.customers order by id limit 3;

select array[1, 2, 3] || 4, array_agg(x) from unnest(array[3, 1, 2]) x;

select (array[1, 2, 3])[2:3], array_upper(array[1, 2], 1), array_fill(7, array[2]), array[[1, 2], [3, 4]];

select id from crm.customers where 'tag2' = any (tags) order by id limit 4;

select id from sales.products where id = any ('{1,2,3}'::int[]) order by id;
