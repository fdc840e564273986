select from crm.customers where id < 4;

select all id from crm.customers order by id limit all offset 98;

select id from crm.customers order by id limit null;

select id as n, n.name from crm.customers n order by n desc limit 2;

select country, count(*) as n from crm.customers group by country order by count(*) desc, 1;

select country c, max(id) m from crm.customers group by c order by m;

select upper(country) from crm.customers group by upper(country) order by upper(country);

select id, name from crm.customers order by length(name), id desc nulls first limit 3;

select id from crm.customers order by 1 using > limit 2;

select c.id, o.id from crm.customers c join sales.orders o using (tenant) where c.id = 1 order by o.id limit 3;

select tenant, count(*) from crm.customers join sales.orders using (tenant) group by tenant;

select j.tenant, count(*) from crm.customers join sales.orders using (tenant) as j group by j.tenant;

select * from (crm.customers c join crm.countries k on k.code = c.country) order by c.id limit 1;

select x.id, x.region from (crm.customers c join crm.countries k on k.code = c.country) as x (id, tenant, name, email, phone, card, birth_date, country, city, tags, profile, created_at, code, k_name, region) order by 1 limit 2;

select c.id from crm.customers c left join crm.countries k on k.code = c.country and k.region = 'Asia' where k.code is null order by 1 limit 3;

select count(*) from crm.customers a, crm.customers b where a.id = b.id;

select count(*) from crm.customers c, lateral (select 1 from sales.orders o where o.customer_id = c.id limit 2) x;

select c.id, t.tag, t.n from crm.customers c, unnest(c.tags) with ordinality t (tag, n) where c.id < 5 order by 1, 3;

select * from rows from (generate_series(1, 3), unnest(array['a', 'b'])) as r (n, l);

select * from json_to_recordset('[{"a":1}]') as (a int), generate_series(1, 2) g;

select * from unnest(array[1, 2], array['x', 'y', 'z']) as u (a, b);

select s.n, c.name from generate_series(1, 5) s (n) left join crm.customers c on c.id = s.n order by 1;

select rank(500.0) within group (order by total), percent_rank(500.0) within group (order by total) from sales.orders;

select count(*) filter (where total > 100) over (order by id), nth_value(id, 2) over (order by id rows between unbounded preceding and unbounded following) from sales.orders order by id limit 3;

select id, sum(total) over w1, count(*) over w2 from sales.orders window w1 as (partition by customer_id), w2 as (w1 order by id) order by id limit 4;

select row_number() over (order by count(*) desc, country), country from crm.customers group by country;

select sum(sum(total)) over (order by date_trunc('month', placed_at)) from sales.orders group by date_trunc('month', placed_at) order by 1 limit 3;

select grouping(country), count(*) from crm.customers group by distinct rollup (country), rollup (country) order by 1, 2;

select array_agg(distinct country order by country), string_agg(distinct city, ',' order by city) from crm.customers;

select json_object_agg(country, n) from (select country, count(*) n from crm.customers group by 1 order by 1) s;

select (select array_agg(x) from (select id from sales.orders o where o.customer_id = c.id order by id limit 2) y (x)) from crm.customers c order by c.id limit 3;

select id, case country when 'DE' then 'germany' when 'FR' then 'france' else coalesce((select name from crm.countries where code = country), '?') end from crm.customers order by id limit 6;

select exists (select from crm.customers where country = 'XX'), 5 = any (select id from crm.customers), 0 < all (select id from crm.customers);

select id from crm.customers where (id, country) in (values (1, 'FR'), (2, 'NO'), (4, 'BR')) order by id;

select id from crm.customers where row (id, name) > row (110, 'Customer 110') order by id;

select id from crm.customers where country is not distinct from 'DE' and id is distinct from 5 order by id limit 2;

select id from crm.customers where id between symmetric 10 and 1 order by id;

select id from crm.customers where name like any (array['%1', '%2']) order by id limit 4;

select id from crm.customers where name not like 'C%' escape '!' or id = 2 order by id limit 1;

select count(*) from sales.orders where (placed_at, interval '1 day') overlaps (timestamptz '2023-03-01', timestamptz '2023-03-10');

select id from sales.orders where placed_at between '2023-03-01' and '2023-03-03' or shipped_at > now() order by id;

select count(*) from sales.orders where placed_at > now() - interval '100 years' and extract(isodow from placed_at) in (6, 7);

select to_char(total, 'FM999990.00'), to_char(placed_at, 'Day DD Mon'), total::int::text from sales.orders order by id limit 2;

select '2023-01-01'::date + 1, date '2023-01-31' + interval '1 month', timestamp '2023-01-01 10:00' - timestamp '2022-12-31', time '10:00' + interval '30 min', timetz '10:00+02';

select interval '1 year 2 months 3 days', interval '1' year, interval '1-2' year to month, interval '10:30' hour to minute;

select cast('1' as sales.quantity), '5'::sales.quantity + 1, 'paid'::sales.order_status > 'new';

select 1 in (1, 2), null is null, true and not false, 1 <> 2, 5 % 3, 2 ^ 3, |/ 16, @ -5, 7 & 3, 1 << 4, 'a' < 'b', 'abc' ~* 'B';

select 10 / 4, 10 / 4.0, 10::float / 4, 1e3, 0x1f, 1_000, .5, -1 * -2;

select array[1, 2] || array[3], array[1, 2] @> array[1], 1 = any ('{1,2}'), array_dims(array[[1], [2]]), '{a,b}'::text[], array(select generate_series(1, 3));

select ('{"a": [1, 2]}'::jsonb -> 'a' ->> 0)::int, jsonb '[1]' || jsonb '2', jsonb '{"a": 1}' #- '{a}', jsonb '{"a": {"b": 2}}' #> '{a,b}';

select point(1, 2) <-> point(4, 6), box '((0,0),(1,1))' @> point '(0.5,0.5)', circle '<(0,0),1>';

select int4range(1, 10) * int4range(5, 20), lower(int4range(1, 10)), upper_inf('[1,)'::int4range), '{[1,3),[5,7)}'::int4multirange;

select '192.168.1.0/24'::cidr >> '192.168.1.7', network('10.1.2.3/8'), '08:00:2b:01:02:03'::macaddr;

select b'101' | b'010', bit_length('abc'), '\x414243'::bytea || 'D', get_byte('\x41', 0), encode('\x41'::bytea, 'escape');

select money '12.50' is not null, '550e8400-e29b-41d4-a716-446655440000'::uuid, 'a'::"char", 'x'::name;

select coalesce(null, 'a', 'b'), nullif(1, 1), greatest(1, null, 3), num_nulls(1, null), num_nonnulls(1, null);

select overlay('abcdef' placing 'XX' from 2 for 3), trim(leading 'x' from 'xxa'), position('b' in 'abc'), substring('abcdef' from 2 for 3), substring('abc123' from '[0-9]+'), substring('abc' similar 'a#"b#"c' escape '#');

select 'a' collate "C" < 'b', normalize('é', nfc), 'é' is normalized, unistr('\0041');

select extract(century from date '2023-01-01'), date_part('week', date '2023-01-01'), localtimestamp is not null, current_time is not null, localtime(0) is not null, current_timestamp(3) is not null;

select current_catalog is not null, current_role is not null, user is not null, system_user is null or true;

select pg_typeof(array_agg(id)), pg_typeof(sum(total)), pg_typeof(count(*)) from sales.orders;

select count(*) from (select distinct customer_id, status from sales.orders) s;

select * from (values (1, 'one'), (2, null)) v (n, w) where w is not null;

select v.column1 from (values (1), (2)) v order by 1;

select max(x) from (select 1 as x union all select 2 union select 3 intersect select 3) s;

(select id from crm.customers where id < 3 order by id desc) union (select id from sales.orders where id < 3) order by 1;

(table crm.countries except table crm.countries) union all (table crm.countries limit 1);

select a.n from (select 1 as n union select 2) a full outer join (select 2 as n union select 3) b on a.n = b.n order by a.n nulls first;

with a as (select 1 as x), b as (with c as (select x + 1 as y from a) select y from c) select a.x, b.y from a, b;

with recursive f (a, b) as (values (0, 1) union all select b, a + b from f where b < 50) select a from f;

with recursive d (day) as (select date '2023-01-01' union all select day + 1 from d where day < '2023-01-05') select d.day, count(o.id) from d left join sales.orders o on o.placed_at::date = d.day group by d.day order by d.day;

with t as (select customer_id, sum(total) s from sales.orders group by 1), r as (select *, ntile(3) over (order by s) as q from t) select q, count(*), round(avg(s), 2) from r group by q order by q;

select c.name, o.* from crm.customers c join lateral (select id, total from sales.orders where customer_id = c.id order by total desc fetch first 2 rows only) o on true where c.id < 4 order by c.name, o.id;

select c.country, percentile_cont(0.9) within group (order by o.total) as p90 from crm.customers c join sales.orders o on o.customer_id = c.id group by c.country order by 1;

select o.status, count(*) * 100.0 / sum(count(*)) over () as share from sales.orders o group by o.status order by 1;

select date_trunc('month', o.placed_at) as m, count(*) filter (where o.status = 'paid') as paid, count(*) filter (where o.status = 'returned') as returned from sales.orders o group by m having count(*) > 10 order by m;

select c.id, c.email, first.placed_at from crm.customers c join (select distinct on (customer_id) customer_id, placed_at from sales.orders order by customer_id, placed_at) first on first.customer_id = c.id order by c.id limit 5;

select e.name, e.salary, e.salary - avg(e.salary) over (partition by e.department_id) as diff from hr.employees e order by e.id limit 5;

select d.name, json_agg(json_build_object('n', e.name, 's', e.salary) order by e.id) filter (where e.id < 8) from hr.departments d join hr.employees e on e.department_id = d.id group by d.id order by d.id;

select lag(salary) over (order by id), salary from hr.employees order by id limit 3;

select v.path, count(*) over (partition by v.path) from log.visits v where v.at < '2023-06-20' order by v.at;

select v.at, p.at from log.visits_2023 v join log.visits_2024 p on p.path = v.path where v.id = 1 order by p.at limit 2;

select count(*) from log.visits v where exists (select from log.visits w where w.path = v.path and w.at > v.at);

select c.id from crm.customers as c where c in (select d from crm.customers d where d.id < 3) order by 1;

select count(c), count(c.*), count(distinct c.country) from crm.customers c;

select c.id, (select k.name from crm.countries k where k.code = c.country), k2.region from crm.customers c join crm.countries k2 on k2.code = c.country where k2.region in (select region from crm.countries where code = 'DE') order by c.id limit 3;

select p.name, l.quantity, l.quantity * l.price as amount from sales.order_lines l join sales.products p on p.id = l.product_id join sales.orders o on o.id = l.order_id and o.status = 'paid' where p.attributes ->> 'color' = 'red' order by o.id, l.line_no limit 4;

select sum(l.quantity * l.price) as revenue, p.category from sales.order_lines l join sales.products p on p.id = l.product_id where l.order_id in (select id from sales.orders where placed_at >= '2023-06-01') group by p.category order by revenue desc;

select id, md5(email), email = lower(email), email ~ '@', split_part(email, '@', 1) from crm.customers order by id limit 2;

select substr(card, 6) as last4, count(*) from crm.customers group by 1 order by 1 limit 3;

select birth_date, count(*) from crm.customers group by birth_date order by birth_date limit 4;

select id from crm.customers where birth_date = '1960-01-01' order by id;

select max(birth_date) - min(birth_date), min(email), max(card) from crm.customers;

select c.id, c.phone, c.profile from crm.customers c where c.phone is not null or c.profile is not null;

select count(*) from crm.customers a join crm.customers b on a.email = b.email;

select email, count(*) from crm.customers group by email having count(*) > 1 order by 2 desc, 1 limit 3;

select distinct email from crm.customers order by email limit 3;

select id, email, row_number() over (partition by email order by id) from crm.customers order by id limit 4;

select email from crm.customers union select email from crm.customers order by 1 limit 3;

begin; select count(*) from crm.customers; commit

select 1; select 2; select email from crm.customers where id = 1

set statement_timeout = 10000; select count(*) from sales.orders; reset statement_timeout

create temp table b1 as select id from crm.customers where id < 4; select count(*) from b1; drop table b1

select count(*) from crm.customers; select 1/0; select 2

begin;
declare c no scroll cursor without hold for select id, email from crm.customers where id < 20 order by id for read only;
fetch forward 3 c;
fetch c;
move forward all in c;
rollback;

begin;
select id from sales.orders o where id = 2 for no key update of o nowait;
select id from sales.orders where id = 4 for share skip locked;
select o.id, c.id from sales.orders o join crm.customers c on c.id = o.customer_id where o.id = 2 for update of o;
rollback;

prepare p1 as select $1::text, $2::int + 1;
execute p1 ('a', 1);
execute p1 (null, 2 * 3);
prepare p2 (date, date) as select count(*) from sales.orders where placed_at::date between $1 and $2;
execute p2 ('2023-03-01', date '2023-03-01' + 10);
explain (costs off) execute p1 ('a', 1);
deallocate p1;
deallocate all;

create temp table e1 (id int generated always as identity primary key, a text not null default 'x', b numeric(5, 2), c text[] default '{}', unique (a, b));
insert into e1 (a, b) values ('q', 1.5), (default, 2) returning *;
insert into e1 (a, b) select name, 1 from crm.customers where id < 4 on conflict (a, b) do nothing;
create unique index e1_i on e1 (lower(a), b);
select count(*) from e1;
comment on table e1 is 'mine';
create temp sequence es start 5;
select count(*) from e1 join crm.customers c on c.name = e1.a;
alter table e1 drop column c, add column d int default 3;
select a, d from e1 order by id;
truncate e1 restart identity;
drop table e1;

create temp table p0 (id int, at date) partition by range (at);
create temp table p1 partition of p0 for values from ('2023-01-01') to ('2024-01-01');
insert into p0 select id, '2023-05-05' from crm.customers where id < 5;
select count(*) from p0;
select tableoid::regclass::text from p0 limit 1;
drop table p0;

create temp view tv as select country, count(*) as n from crm.customers group by country;
create temp view tw as select * from tv where n > 5;
select * from tw order by country;
drop view tw, tv;

show work_mem;
show "TimeZone";
show time zone;
show session authorization;
show client_encoding;
show max_connections;
select name, setting from pg_settings where name like 'enable_hash%' order by 1;
select set_config('statement_timeout', '7s', true), current_setting('statement_timeout');
reset statement_timeout;

select e from hr.employees e where e.id = 7;
select e::hr.employees, (e::hr.employees).salary from hr.employees e where e.id = 7;
select (c::crm.customers).name, c::crm.customers is null from crm.customers c where c.id = 7;
select (array_agg(e order by e.salary desc, e.id))[1].name, count(*) from hr.employees e;
select (select e from hr.employees e where e.id = 1).name;
select (coalesce(e, e)).name, (case when e.id > 3 then e end).hired from hr.employees e order by e.id limit 5;
select x.* from hr.employees e, unnest(array[e]) x order by x.id limit 3;
select pg_typeof(e)::text, pg_typeof(array_agg(e))::text from hr.employees e group by e.id order by e.id limit 1;
select (jsonb_populate_record(e, '{"name": "zz"}')).* from hr.employees e order by e.id limit 1;
select row_to_json(e) from hr.employees e(a, b, c) order by a limit 1;
select e, count(*) from hr.employees e group by e order by e limit 3;
select distinct e from hr.employees e order by e limit 1;
select count(m), count(*), count(*) filter (where m is null) from hr.employees e left join hr.employees m on m.id = e.manager_id;
select row_to_json(m) from hr.employees e left join hr.employees m on m.id = e.manager_id order by e.id limit 5;
select coalesce(m, e), (coalesce(m, e)).name, m, m is null, row_to_json(m) from hr.employees e left join hr.employees m on m.id = e.manager_id order by e.id limit 6;
select case when e.id > 5 then m else e end, array[e, m]::text from hr.employees e left join hr.employees m on m.id = e.manager_id order by e.id limit 7;
select e from hr.employees e where id < 3 union all select m from hr.employees e left join hr.employees m on m.id = e.manager_id where e.id < 6;
select m, count(*) from hr.employees e left join hr.employees m on m.id = e.manager_id group by m order by m;
select m.id, m, (m).name, row_to_json(m), count(*) from hr.employees e full join hr.employees m on m.id = e.manager_id group by m.id, m order by 1 nulls first limit 3;
select e, count(*) from hr.employees e group by e.id order by e.id limit 2;
select e in (select f from hr.employees f where f.id < 3) from hr.employees e order by e.id limit 4;
select lag(e) over (order by e.id) from hr.employees e limit 2;
select (t).lines, t::text from sales.order_totals t order by t.id limit 1;

select e.id, row_to_json(e) from hr.employees e group by e.id order by e.id limit 2;
select row_to_json(c), count(o.id) from crm.customers c left join sales.orders o on o.customer_id = c.id group by c.id order by c.id limit 2;
select c, count(o.id) from crm.customers c left join sales.orders o on o.customer_id = c.id group by c.id order by c.id limit 2;
select c.id, to_jsonb(c), count(*) filter (where o.total > 5) from crm.customers c left join sales.orders o on o.customer_id = c.id group by c.id having c is not null or count(*) > 1 order by c.id limit 2;
select m.id, m, row_to_json(m), count(*) from hr.employees e left join hr.employees m on m.id = e.manager_id group by m.id order by 1 nulls first limit 3;
select c.id, (select row_to_json(c)), (select max(x.id) from sales.orders x where x.customer_id = c.id) from crm.customers c group by c.id order by 1 limit 1;
select json_agg(c), c.id from crm.customers c group by c.id order by 2 limit 1;

set search_path = crm, "sales"; select count(*) from customers c join orders o on o.customer_id = c.id where email like 'c%'; reset search_path

select pg_catalog.set_config('search_path', '', false); select email from crm.customers where id = 1; reset search_path
