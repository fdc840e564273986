SELECT "crm"."customers"."id", "crm"."customers"."name", "crm"."customers"."email" FROM "crm"."customers" WHERE "crm"."customers"."tenant" = 'acme' AND ("crm"."customers"."id" > 5 OR "crm"."customers"."city" IS NULL) ORDER BY "crm"."customers"."id" ASC LIMIT 21;

SELECT COUNT(*) AS "__count" FROM "crm"."customers" WHERE UPPER("crm"."customers"."name"::text) LIKE UPPER('%omer 1%');

SELECT "o"."id", "o"."total", "c"."id" AS "c_id", "c"."name" AS "c_name" FROM "sales"."orders" "o" INNER JOIN "crm"."customers" "c" ON ("o"."customer_id" = "c"."id") WHERE "c"."country" IN ('DE', 'FR') ORDER BY "o"."id" DESC LIMIT 10 OFFSET 20;

SELECT t0.id, t0.name, t0.email, (SELECT COUNT(U0.id) FROM sales.orders U0 WHERE U0.customer_id = t0.id AND U0.status = 'paid') AS paid FROM crm.customers t0 ORDER BY paid DESC, t0.id LIMIT 5;

SELECT c1_0.id, c1_0.city, c1_0.email, o1_0.customer_id, o1_0.id, o1_0.total FROM crm.customers c1_0 LEFT JOIN sales.orders o1_0 ON c1_0.id = o1_0.customer_id WHERE c1_0.id = 2 ORDER BY o1_0.id;

select distinct c1_0.id, c1_0.name from crm.customers c1_0 join sales.orders o1_0 on c1_0.id=o1_0.customer_id where o1_0.total > 1000 order by c1_0.id offset 0 rows fetch first 10 rows only;

SELECT "t0"."id", "t0"."email", COALESCE("t1"."data", '[]'::jsonb) AS "orders" FROM "crm"."customers" AS "t0" LEFT JOIN LATERAL (SELECT COALESCE(JSONB_AGG("__t3__"."__j__"), '[]') AS "data" FROM (SELECT "__t2__"."__j__" FROM (SELECT JSONB_BUILD_OBJECT('id', "t4"."id", 'total', "t4"."total") AS "__j__" FROM (SELECT "t5".* FROM "sales"."orders" AS "t5" WHERE "t0"."id" = "t5"."customer_id") AS "t4" ORDER BY "t4"."id") AS "__t2__") AS "__t3__") AS "t1" ON TRUE WHERE "t0"."id" < 5 ORDER BY "t0"."id";

SELECT "users"."id", "users"."name", "users_posts"."data" as "posts" from "crm"."customers" "users" left join lateral (select coalesce(json_agg(json_build_array("p"."id", "p"."status", "p"."total") order by "p"."id"), '[]'::json) as "data" from "sales"."orders" "p" where "p"."customer_id" = "users"."id") "users_posts" on true where "users"."id" = 4;

SELECT "orders".* FROM "sales"."orders" INNER JOIN "crm"."customers" ON "crm"."customers"."id" = "orders"."customer_id" WHERE "crm"."customers"."country" = 'NO' AND "orders"."placed_at" BETWEEN '2023-01-01 00:00:00' AND '2023-03-31 23:59:59' ORDER BY "orders"."id" LIMIT 5;

SELECT 1 AS one FROM "crm"."customers" WHERE "crm"."customers"."email" = 'c***@mail1.test' LIMIT 1;

SELECT COUNT(count_column) FROM (SELECT 1 AS count_column FROM "crm"."customers" WHERE "crm"."customers"."country" = 'DE' LIMIT 11) subquery_for_count;

SELECT "customers"."country" AS "customers_country", COUNT(*) AS "count_all", MAX("customers"."created_at") AS max_created FROM "crm"."customers" GROUP BY "customers"."country" ORDER BY 1;

SELECT DATE_TRUNC('month', "sales"."orders"."placed_at") AS "placed_at", SUM("sales"."orders"."total") AS "sum", COUNT(distinct "sales"."orders"."customer_id") AS "count" FROM "sales"."orders" LEFT JOIN "crm"."customers" AS "Customers" ON "sales"."orders"."customer_id" = "Customers"."id" WHERE "Customers"."country" = 'DE' GROUP BY DATE_TRUNC('month', "sales"."orders"."placed_at") ORDER BY DATE_TRUNC('month', "sales"."orders"."placed_at") ASC;

SELECT "source"."country" AS "country", AVG("source"."total") AS "avg" FROM (SELECT "sales"."orders"."id" AS "id", "sales"."orders"."total" AS "total", "C"."country" AS "country" FROM "sales"."orders" INNER JOIN "crm"."customers" "C" ON "sales"."orders"."customer_id" = "C"."id") AS "source" WHERE ("source"."country" <> 'JP' OR "source"."country" IS NULL) GROUP BY "source"."country" ORDER BY "avg" DESC, "source"."country" ASC LIMIT 1048575;

SELECT SUM(1) AS "cnt:x:ok", CAST(TRUNC(EXTRACT(YEAR FROM "orders"."placed_at")) AS INTEGER) AS "yr:placed_at:ok", SUM("orders"."total") AS "sum:total:ok" FROM "sales"."orders" "orders" INNER JOIN "crm"."customers" "customers" ON ("orders"."customer_id" = "customers"."id") GROUP BY 2 HAVING (COUNT(1) > 0);

SELECT "customers"."city" AS "city" FROM "crm"."customers" "customers" WHERE (("customers"."city" >= 'A') AND ("customers"."city" <= 'Z')) GROUP BY 1 ORDER BY "city" ASC;

select "_"."country", sum("_"."total") as "a0" from (select "$Outer"."id","$Outer"."customer_id","$Inner"."country","$Outer"."total" from "sales"."orders" "$Outer" left outer join "crm"."customers" "$Inner" on ("$Outer"."customer_id" = "$Inner"."id")) "_" group by "_"."country" order by 1 limit 1001;

select "$Table"."id" as "id", "$Table"."name" as "name", "$Table"."email" as "email", "$Table"."birth_date" as "birth_date" from "crm"."customers" "$Table" order by 1 limit 5;

WITH base AS (SELECT c.id, c.country, c.email FROM crm.customers c), orders_agg AS (SELECT customer_id, COUNT(*) n, SUM(total) t FROM sales.orders GROUP BY 1) SELECT base.country AS "base.country", COALESCE(SUM(orders_agg.t), 0) AS "orders.total", COUNT(DISTINCT base.id) AS "base.count" FROM base LEFT JOIN orders_agg ON base.id = orders_agg.customer_id GROUP BY (base.country) ORDER BY 2 DESC, 1 FETCH NEXT 500 ROWS ONLY;

SELECT floor(extract(epoch from at)/3600)*3600 AS "time", path AS metric, count(*) AS value FROM log.visits WHERE at BETWEEN '2023-06-01T00:00:00Z' AND '2023-07-01T00:00:00Z' GROUP BY 1, 2 ORDER BY 1, 2;

SELECT DATE_TRUNC('week', placed_at) AS __timestamp, status AS status, sum(total) AS "SUM(total)" FROM sales.orders WHERE placed_at >= TO_TIMESTAMP('2023-01-01 00:00:00.000000', 'YYYY-MM-DD HH24:MI:SS.US') GROUP BY DATE_TRUNC('week', placed_at), status ORDER BY "SUM(total)" DESC, 1, 2 LIMIT 10;

SELECT country AS country, COUNT(*) AS count FROM (SELECT * FROM crm.customers WHERE country IN ('DE', 'JP')) AS virtual_table GROUP BY country ORDER BY count DESC, 1 LIMIT 100;

with src as (select * from crm.customers), renamed as (select id as customer_id, name as customer_name, lower(email) as email from src) select count(*) as failures, count(*) != 0 as should_warn, count(*) != 0 as should_error from (select customer_id from renamed where customer_id is null) dbt_internal_test;

select unique_field, count(*) as n_records from (select id as unique_field from crm.customers where id is not null) x group by unique_field having count(*) > 1;

with child as (select customer_id as from_field from sales.orders where customer_id is not null), parent as (select id as to_field from crm.customers) select from_field from child left join parent on child.from_field = parent.to_field where parent.to_field is null order by 1;

SELECT "id","tenant","name","email","created_at" FROM "crm"."customers" WHERE "created_at" > '2022-02-01' OR ("created_at" = '2022-02-01' AND "id" > 5) ORDER BY "created_at", "id" LIMIT 50;

select x.* from (select c.*, row_number() over (order by c.id) as rn from crm.customers c) x where x.rn between 6 and 10;

select c.id, c.name, json_agg(row_to_json(o)) from crm.customers c join (select customer_id, id, total from sales.orders order by id) o on o.customer_id = c.id where c.id = 7 group by c.id, c.name;

SELECT t.*, CTID FROM crm.countries t LIMIT 501;

SELECT t.* FROM crm.customers t ORDER BY t.id LIMIT 501;

SELECT count(*) FROM crm.customers t WHERE t.tags @> '{tag1}'::text[];

select * from crm.customers where id = any(string_to_array('1,2,4', ',')::int[]) order by 1;

select * from sales.orders where customer_id in (select id from crm.customers where country = 'DE' and id < 30) and total > (select avg(total) from sales.orders) order by id limit 10;

select o.id, o.status, case o.status when 'new' then 1 when 'paid' then 2 else 3 end as rank from sales.orders o order by rank, o.id limit 10;

select coalesce(nullif(trim(comment), ''), 'none') as c, count(*) from sales.orders group by 1 order by 1;

select a.country, b.country from (select distinct country from crm.customers) a, (select distinct country from crm.customers) b where a.country < b.country order by 1, 2;

select sum(case when status = 'paid' then total else 0 end) as paid, sum(case when status = 'new' then total end) as new, count(*) from sales.orders where placed_at >= now() - interval '100 years' and (shipped_at is null or shipped_at < current_timestamp);

select id, total from sales.orders where ('' = '' or comment = '') and (null::int is null or customer_id = null::int) order by id limit 3;

select greatest(c.created_at, o.placed_at), least(o.total, 100) from crm.customers c join sales.orders o on o.customer_id = c.id where greatest(o.total, 10) > 1900 order by o.id limit 5;

select id from crm.customers where coalesce(city, country::text) = 'Oslo' and case when id > 50 then country = 'DE' else true end order by id limit 5;

select p.category, p.name, p.price, p.price - lag(p.price, 1, p.price) over (partition by p.category order by p.price) as step, round(p.price / sum(p.price) over (partition by p.category) * 100, 1) as share from sales.products p order by 1, 3;

select array_agg(distinct country) filter (where country <> 'DE'), count(distinct (country, city)) from crm.customers;

select (c).id, (c).email from (select c from crm.customers c where c.id < 4) x order by 1;

select x.email from (select (c).* from crm.customers c where c.id < 4) x order by 1;

select to_jsonb(c) - 'tags' - 'profile' from crm.customers c where id = 1;

select c.id, jsonb_build_object('e', c.email, 'card', c.card) @> '{"card":"**** 0001"}' from crm.customers c where c.id = 1;

select d.name, coalesce(json_agg(json_build_object('n', e.name, 's', e.salary) order by e.id) filter (where e.id is not null), '[]') from hr.departments d left join hr.employees e on e.department_id = d.id group by d.id, d.name order by d.id;

select tenant, count(*) from crm.customers group by tenant;

select * from (values (1, 'a'), (2, 'b')) v(id, x) join crm.customers c using (id) order by id;

select c.name from crm.customers c join sales.orders o on (o.customer_id, 'paid'::sales.order_status) = (c.id, o.status) where c.id = 2 order by o.id;

select count(*) from crm.customers c full join sales.orders o on o.customer_id = c.id;

select count(*) from (select id from crm.customers except all select customer_id from sales.orders) x;

select percentile_cont(0.5) within group (order by extract(epoch from (shipped_at - placed_at))) from sales.orders where shipped_at is not null;

select corr(total, extract(epoch from placed_at)), regr_r2(total, id), covar_samp(total, id) from sales.orders;

select a.id, count(b.id) from crm.customers a left join lateral (select id from crm.customers z where z.country = a.country and z.id <> a.id limit 3) b on true where a.id < 6 group by a.id order by a.id;

select o.id, l.line_no, p.name from sales.orders o join sales.order_lines l on l.order_id = o.id join sales.products p on p.id = l.product_id join crm.customers c on c.id = o.customer_id join crm.countries k on k.code = c.country where k.region = 'Europe' and p.search @@ to_tsquery('english', 'lamp | kettle') and o.placed_at >= '2023-05-01' order by 1, 2 limit 15;

select distinct on (o.customer_id) o.customer_id, o.id, o.total from sales.orders o order by o.customer_id, o.total desc, o.id limit 10;

select id, name from crm.customers where name ilike any (array['%10', '%20', 'customer 7']) order by id;

select id from crm.customers where email ~* '^c.*@mail[12]\.test$' order by id limit 5;

select c.id, string_agg(l.order_id || ':' || l.line_no, ',' order by l.order_id, l.line_no) from crm.customers c join sales.orders o on o.customer_id = c.id join sales.order_lines l on l.order_id = o.id where c.id in (1, 2) group by 1 order by 1;

select extract(isodow from at)::int as dow, extract(hour from at)::int as hour, count(*) from log.visits group by cube (1, 2) order by 1 nulls last, 2 nulls last limit 20;

select host(address), network(address), family(address) from log.visits limit 1;

select count(*) filter (where address is null), count(address) from log.visits;

select tsrange('2023-01-01', '2023-02-01') @> placed_at::timestamp as january, count(*) from sales.orders group by 1 order by 1;

select id, xmin is not null, tableoid::regclass::text from crm.customers order by id limit 2;

select o.* from sales.orders o where o.ctid = (select min(ctid) from sales.orders) limit 1;

select lower(range_agg(int4range(id, id + 1))::text) from crm.customers where id < 12;

select e.id, e.salary, ntile(4) over (order by e.salary desc, e.id), e.salary::money::numeric from hr.employees e order by e.id limit 5;

select jsonb_object_agg(country, n) from (select country, count(*) n from crm.customers group by country) x;

select p.id, r.color, r.weight from sales.products p, jsonb_to_record(p.attributes) as r(color text, weight int) order by p.id limit 3;

with __local_0__ as (select to_json((json_build_object('__identifiers'::text, json_build_array(__local_1__."id"), 'id'::text, (__local_1__."id"), 'email'::text, (__local_1__."email")))) as "@nodes" from (select __local_1__.* from "crm"."customers" as __local_1__ where (TRUE) and (TRUE) order by __local_1__."id" ASC limit 3) __local_1__), __local_2__ as (select json_agg(to_json(__local_0__)) as data from __local_0__) select coalesce((select __local_2__.data from __local_2__), '[]'::json) as "data", (select json_build_object('totalCount'::text, count(1)) from "crm"."customers" as __local_1__ where 1 = 1) as "aggregates";

WITH pgrst_source AS (SELECT "crm"."customers"."id", "crm"."customers"."email", row_to_json("customers_countries_1".*) AS "countries" FROM "crm"."customers" LEFT JOIN LATERAL (SELECT "countries_1"."name" FROM "crm"."countries" AS "countries_1" WHERE "countries_1"."code" = "crm"."customers"."country") AS "customers_countries_1" ON TRUE WHERE "crm"."customers"."id" >= 2 ORDER BY "crm"."customers"."id" LIMIT 3 OFFSET 0) SELECT null::bigint AS total_result_set, pg_catalog.count(_postgrest_t) AS page_total, coalesce(json_agg(_postgrest_t), '[]') AS body, nullif(current_setting('response.headers', true), '') AS response_headers, nullif(current_setting('response.status', true), '') AS response_status FROM (SELECT * FROM pgrst_source) _postgrest_t;

SELECT coalesce(json_agg("root" ORDER BY "root.pg.id" ASC NULLS LAST), '[]') AS "root" FROM (SELECT row_to_json((SELECT "_e" FROM (SELECT "_root.base"."id" AS "id", "_root.base"."email" AS "email", "_root.ar.root.orders"."orders" AS "orders") AS "_e")) AS "root", "_root.base"."id" AS "root.pg.id" FROM (SELECT * FROM "crm"."customers" WHERE (("crm"."customers"."id") < (('5')::integer)) ORDER BY "id" ASC NULLS LAST) AS "_root.base" LEFT OUTER JOIN LATERAL (SELECT coalesce(json_agg("orders" ORDER BY "o.id"), '[]') AS "orders" FROM (SELECT row_to_json((SELECT "_e" FROM (SELECT "_root.ar.root.orders.base"."id" AS "id", "_root.ar.root.orders.base"."total" AS "total") AS "_e")) AS "orders", "_root.ar.root.orders.base"."id" AS "o.id" FROM (SELECT * FROM "sales"."orders" WHERE (("_root.base"."id") = ("customer_id"))) AS "_root.ar.root.orders.base") AS "_root.ar.root.orders") AS "_root.ar.root.orders" ON ('true') ORDER BY "root.pg.id" ASC NULLS LAST) AS "_root";

SELECT "t0"."email" AS "email", SUM("t1"."total") AS "sum:total:ok", COUNT(DISTINCT "t1"."id") AS "ctd:id:ok" FROM "crm"."customers" "t0" INNER JOIN "sales"."orders" "t1" ON ("t0"."id" = "t1"."customer_id") WHERE ((EXTRACT(YEAR FROM "t1"."placed_at") = 2023) AND (CAST("t0"."country" AS TEXT) IN ('DE', 'FR'))) GROUP BY 1 HAVING (COUNT(1) > 0) ORDER BY 1;

select t.* from crm.customers c, lateral (values ('email', c.email), ('card', c.card), ('phone', c.phone)) t(k, v) where c.id = 1 order by 1;

select array_agg(x order by x.id) from (select id, email from crm.customers where id < 4) x;

select jsonb_agg(row_to_json(x)) from (select c.id, c.email, (select jsonb_agg(o.id order by o.id) from sales.orders o where o.customer_id = c.id) os from crm.customers c where c.id < 4 order by c.id) x;

select * from hr.employees e where e = (select x from hr.employees x where x.id = e.id) order by id limit 1;

with s as (select customer_id, placed_at, sum(case when placed_at - prev > interval '30 days' or prev is null then 1 else 0 end) over (partition by customer_id order by placed_at) sess from (select customer_id, placed_at, lag(placed_at) over (partition by customer_id order by placed_at) prev from sales.orders) x) select customer_id, sess, count(*), min(placed_at), max(placed_at) from s group by 1, 2 order by 1, 2 limit 6;

SELECT "crm"."customers"."id", "crm"."customers"."email", COALESCE("aggr_selection_0_Order"."_aggr_count_orders", 0) AS "_aggr_count_orders" FROM "crm"."customers" LEFT JOIN (SELECT "sales"."orders"."customer_id", COUNT(*) AS "_aggr_count_orders" FROM "sales"."orders" WHERE 1=1 GROUP BY "sales"."orders"."customer_id") AS "aggr_selection_0_Order" ON ("crm"."customers"."id" = "aggr_selection_0_Order"."customer_id") WHERE ("crm"."customers"."email"::text ILIKE '%MAIL1%' AND ("crm"."customers"."id") IN (SELECT "t1"."customer_id" FROM "sales"."orders" AS "t1" WHERE ("t1"."total" > 100 AND "t1"."customer_id" IS NOT NULL))) ORDER BY "crm"."customers"."email" ASC, "crm"."customers"."id" DESC LIMIT 5 OFFSET 0;
