with big as (select * from sales.orders where total > 1000) select count(*), sum(total) from big;

with a as (select id, country from crm.customers), b as (select country, count(*) as n from a group by country) select * from b order by country;

with recursive n (i) as (values (1) union all select i + 1 from n where i < 5) select * from n;

with recursive tree as (select id, name, manager_id, 1 as depth from hr.employees where manager_id is null union all select e.id, e.name, e.manager_id, t.depth + 1 from hr.employees e join tree t on e.manager_id = t.id) select depth, count(*) from tree group by depth order by depth;

with recursive t (id, path) as (select id, array[id] from hr.employees where id = 1 union all select e.id, path || e.id from hr.employees e join t on e.manager_id = t.id) select * from t order by id limit 5;

with recursive g (id, manager_id) as (select id, manager_id from hr.employees where id = 5 union select e.id, e.manager_id from hr.employees e join g on g.manager_id = e.id) cycle id set looped using path select id, looped from g order by id;

with recursive t as (select id, name, manager_id from hr.employees where manager_id is null union all select e.id, e.name, e.manager_id from hr.employees e join t on e.manager_id = t.id) search breadth first by id set ord select id from t order by ord limit 5;

with m as materialized (select * from crm.customers), n as not materialized (select * from m) select count(*) from n;

with customers as (select 1 as id, 'shadow' as name) select * from customers;

with x as (select max(id) as top from sales.orders) select o.id, o.total from sales.orders o, x where o.id = x.top;

with monthly as (select date_trunc('month', placed_at) as m, sum(total) as t from sales.orders group by 1) select m, t, t - lag(t) over (order by m) as change from monthly order by m;

with cohort as (select customer_id, min(placed_at) as first from sales.orders group by 1) select date_trunc('quarter', first) as q, count(*) from cohort group by 1 order by 1;

with a (x, y) as (select id, email from crm.customers) select y from a where x = 1;

select * from (with s as (select 1 as one) select * from s) t;

select (with s as (select count(*) as n from crm.customers) select n from s) as n;

with w as (insert into lab.notes (id, topic) values (100, 'cte') returning id, topic) select * from w;
delete from lab.notes where id = 100;

with d as (delete from lab.notes where id = 3 returning *) select id, topic from d;
insert into lab.notes values (3, 'topic 0', 'body 3', 1.5);
