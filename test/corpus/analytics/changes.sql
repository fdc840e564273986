begin;
insert into sales.orders (id, tenant, customer_id, status, total, placed_at) values (9001, 'acme', 1, 'new', 10.5, '2024-01-01') returning id, status, total;
insert into sales.orders (id, tenant, customer_id, total, placed_at) values (9001, 'acme', 1, 11, '2024-01-02') on conflict (id) do update set total = excluded.total, comment = coalesce(orders.comment, 'again') where orders.total <> excluded.total returning *;
insert into sales.orders (id, tenant, customer_id, total, placed_at) values (9001, 'acme', 1, 12, '2024-01-02'), (9002, 'acme', 2, 13, '2024-01-03') on conflict (id) do nothing;
insert into sales.orders as o (id, tenant, customer_id, total, placed_at) select 9100 + id, tenant, id, id * 2, '2024-02-01' from crm.customers where id in (1, 2, 4) on conflict (id) do update set total = o.total + excluded.total returning o.id, o.total;
update sales.orders set status = 'shipped', shipped_at = placed_at + interval '1 day' where id = 9001 and status = 'new' returning id, shipped_at;
update sales.orders o set comment = c.name from crm.customers c where c.id = o.customer_id and o.id in (9001, 9002) returning o.id, o.comment, c.email;
update sales.orders set (comment, total) = ('x', total * 2) where id = 9002 returning comment, total;
update sales.orders set total = (select sum(total) from sales.orders where customer_id = 1) where id = 9002 returning id;
with moved as (delete from sales.orders where id = 9101 returning *) insert into lab.notes (id, topic, rank) select 5000, 'moved', total from moved returning id, rank;
with up as (update sales.orders set comment = 'bulk' where id between 9100 and 9200 returning id) select count(*) from up;
merge into sales.orders o using (values (9001, 5), (9300, 7)) v (id, total) on o.id = v.id when matched and v.total < 6 then update set total = v.total when matched then delete when not matched then insert (id, tenant, customer_id, total, placed_at) values (v.id, 'acme', 1, v.total, '2024-03-01') returning merge_action(), o.id, o.total;
delete from sales.orders o using crm.customers c where c.id = o.customer_id and c.country = 'FR' and o.id > 9000 returning o.id;
delete from sales.orders where id > 9000;
rollback;

begin;
select id, status from sales.orders where status = 'new' order by id limit 3 for update skip locked;
with job as (select id from sales.orders where status = 'new' order by placed_at, id limit 1 for update skip locked) update sales.orders o set status = 'paid' from job where job.id = o.id returning o.id, o.status;
select o.id from sales.orders o join crm.customers c on c.id = o.customer_id where o.id = 1 for update of o;
select id from sales.orders where id = 2 for no key update nowait;
rollback;

begin;
update crm.customers set city = 'Bergen' where country = 'NO' and id < 20 returning id, city, email;
update crm.customers set tags = array_append(tags, 'vip'), city = initcap(city) where id = 1 returning tags;
update crm.customers set tags[1] = 'first' where id = 1 returning tags;
update crm.customers set profile = '{"a": 1}' where id = 1;
update crm.customers set email = 'new@mail.test' where id = 1 returning id;
update crm.customers set phone = null, birth_date = date '1980-02-03' where id = 2 returning id, phone;
update crm.customers c set name = name || '!' where exists (select from sales.orders o where o.customer_id = c.id and o.total > 1900) returning c.id, c.name;
update crm.customers set name = upper(name) where lower(name) like 'customer 1%' and coalesce(city, '') <> '' returning id, name;
update crm.customers set city = null where email = 'c***@mail1.test' and id < 10 returning id;
rollback;

begin;
insert into lab.notes (id, topic, body) values (900, 'a', null), (901, 'b', 'x') on conflict (id) do update set body = excluded.body returning id, topic;
insert into lab.notes select 910 + n, 't' || n, md5(n::text), n from generate_series(1, 3) n returning id, topic, rank;
insert into lab.notes (id, topic, body) values (920, 'c', default) on conflict do nothing;
rollback;

begin;
insert into lab.notes (id, topic, body) values (900, 'a', null), (901, 'b', 'x');
update lab.notes n set rank = s.r from (select id, row_number() over (order by id) as r from lab.notes) s where s.id = n.id and n.id >= 900 returning n.id, n.rank;
delete from lab.notes where id in (select id from lab.notes where topic = 'a') returning id;
merge into lab.notes n using (select id, name from crm.customers where id in (1, 2)) c on c.id + 900 = n.id when matched then update set body = c.name when not matched then insert (id, topic, body) values (c.id + 900, 'made', c.name) returning merge_action(), n.id, n.body, old.body, new.body;
update lab.notes set body = 'z' where id = 901 returning old.body, new.body, old.*, new.id;
update lab.notes set body = 'z' where id = 901 returning with (old as o, new as n) o.body as before, n.body as after;
rollback;

begin;
declare c cursor for select id, total from sales.orders where customer_id = 1 order by id for read only;
fetch 2 from c;
fetch all from c;
close c;
declare d cursor for select * from lab.notes for update;
fetch 1 from d;
update lab.notes set rank = 99 where current of d;
rollback;

prepare ins (int, text) as insert into lab.notes (id, topic) values ($1, $2) on conflict (id) do update set topic = excluded.topic returning id, topic;
execute ins (990, 'p');
execute ins (990, 'q');
deallocate ins;
delete from lab.notes where id = 990;

prepare upd (numeric, bigint) as update sales.orders set total = $1 where id = $2 returning id, total;
begin;
execute upd (5, 1);
rollback;
deallocate upd;

begin;
update sales.orders set comment = case when total > 1000 then 'big' else comment end where customer_id = 2 and placed_at < now() - interval '1 day' returning id, comment;
update sales.orders set total = round(total * 1.1, 2), shipped_at = coalesce(shipped_at, now()) where status = any (array['paid', 'shipped']::sales.order_status[]) and customer_id = 1 returning id, total;
update sales.orders set status = 'returned' where id = (select id from sales.orders where status = 'shipped' order by id limit 1) returning id;
update sales.orders o set total = t.total from (select order_id, sum(quantity * price) as total from sales.order_lines group by order_id) t where t.order_id = o.id and o.customer_id = 4 returning o.id, o.total;
delete from sales.order_lines l using sales.orders o where o.id = l.order_id and o.customer_id = 1 returning l.order_id, l.line_no;
insert into sales.order_lines (order_id, line_no, product_id, quantity, price) select id, 9, 1, 2, 3.5 from sales.orders where customer_id = 2 returning order_id, quantity;
update sales.order_lines set quantity = quantity + 1 where (order_id, line_no) in (select id, 9 from sales.orders where customer_id = 2) returning quantity;
rollback;

begin;
savepoint a;
insert into lab.notes (id, topic) values (999, 'undone');
rollback to a;
insert into lab.notes (id, topic) values (1000, 'ok') returning id;
release a;
rollback;

select count(*) from sales.orders o where not exists (select from sales.order_lines l where l.order_id = o.id);

begin;
with n as (insert into sales.orders (id, tenant, customer_id, total, placed_at) values (9400, 'acme', 1, 0, now()) returning id), l as (insert into sales.order_lines (order_id, line_no, product_id, quantity, price) select n.id, x.n, x.p, 1, 9.5 from n, (values (1, 3), (2, 4)) x (n, p) returning order_id, price) select order_id, sum(price) from l group by order_id;
rollback;
