select * from sales.orders order by id limit 3;

insert into sales.orders (id, tenant, customer_id, total, placed_at) values (9001, 'acme', 1, 12.5, '2024-01-01') returning id, status, total;
select * from sales.orders where id = 9001;
update sales.orders set status = 'paid', total = total + 1 where id = 9001;
update sales.orders set shipped_at = placed_at + interval '1 day' where id = 9001 returning shipped_at, old.status, new.status;
insert into sales.order_lines values (9001, 1, 3, 2, 9.5), (9001, 2, 4, 1, 3);
update sales.order_lines set quantity = quantity + 1 where order_id = 9001 and line_no = 1;
delete from sales.order_lines where order_id = 9001 returning line_no;
delete from sales.orders where id = 9001;

begin;
update sales.orders set comment = 'checked' where placed_at < '2023-02-01';
select count(*) from sales.orders where comment = 'checked';
rollback;

begin;
select id from sales.orders where id = 2 for update;
update sales.orders set status = 'shipped' where id = 2 returning status;
rollback;

begin;
update sales.orders o set comment = c.name from crm.customers c where c.id = o.customer_id and c.country = 'DE' returning o.id, o.comment;
rollback;

begin;
delete from sales.orders o using crm.customers c where c.id = o.customer_id and c.id = 4 returning o.id;
rollback;

begin;
insert into sales.orders (id, tenant, customer_id, total, placed_at) select 10000 + id, tenant, id, 1, '2024-02-01' from crm.customers where id < 10;
select count(*) from sales.orders where id > 10000;
rollback;

begin;
insert into sales.orders (id, tenant, customer_id, total, placed_at) values (10, 'acme', 11, 5, '2024-02-01') on conflict (id) do update set total = excluded.total, comment = 'merged' returning id, total, comment;
insert into sales.orders (id, tenant, customer_id, total, placed_at) values (13, 'acme', 13, 5, '2024-02-01') on conflict do nothing;
rollback;

begin;
merge into sales.orders o using (values (13::bigint, 99.5), (20001, 7)) v (id, total) on v.id = o.id when matched then update set total = v.total when not matched then insert (id, tenant, customer_id, total, placed_at) values (v.id, 'acme', 1, v.total, '2024-03-01');
select id, total from sales.orders where id in (13, 20001) order by id;
rollback;

begin;
update crm.customers set city = 'Bergen', tags = tags || 'moved'::text where id = 1 returning id, city, tags, email;
rollback;

begin;
update crm.customers set name = upper(name) where country = 'NO';
select name from crm.customers where country = 'NO' order by id;
rollback;

begin;
insert into sales.orders (id, tenant, customer_id, total, placed_at) values (30001, 'acme', 2, 1, '2024-05-05') returning *;
rollback;

begin;
with gone as (delete from sales.orders where id = 3 returning *) select id, total from gone;
rollback;

begin;
with changed as (update sales.orders set total = 0 where customer_id = 2 returning id) select count(*) from changed;
rollback;

begin;
declare c cursor for select id from sales.orders where customer_id = 5 for update;
fetch 1 from c;
commit;

prepare add_order (bigint, numeric) as insert into sales.orders (id, tenant, customer_id, total, placed_at) values ($1, 'acme', 1, $2, now()) returning id, total;
begin;
execute add_order (40001, 5);
execute add_order (40002, 6.5);
rollback;
deallocate add_order;

begin;
update sales.orders set (status, comment) = ('paid', 'row') where id = 1 returning status, comment;
update sales.orders set (total, comment) = (select sum(l.quantity * l.price), 'sum' from sales.order_lines l where l.order_id = orders.id) where id = 1 returning total;
update sales.orders set comment = default where id = 1;
rollback;

begin;
update only sales.orders as o set total = o.total * 1.1 where o.status in (select 'new'::sales.order_status) and o.id < 50;
rollback;

insert into lab.notes values (70, 'w', 'x', 1) returning *;
update lab.notes set body = null where id = 70;
delete from lab.notes where id = 70;

begin;
insert into sales.api_orders (id, firm, customer, total, placed) values (9101, 'acme', 1, 12.5, '2024-01-01') returning *;
insert into sales.api_orders values ('2024-01-02', 9102, 'acme', 1, 13.5), ('2024-01-03', 9103, 'acme', 1, 14.5) returning id, status;
update sales.api_orders set remark = 'checked', total = total * 2 where id in (9101, 9102) returning id, total, remark, new.status, old.total;
update "sales"."api_orders" set "remark" = 'q' where "sales"."api_orders"."id" = 9102 returning "sales"."api_orders"."id";
select * from sales.orders where id between 9101 and 9103 order by id;
delete from sales.api_orders where id = 9103 returning *;
rollback;

begin;
update sales.new_orders set remark = 'soon' where customer < 20 returning id, remark;
update sales.new_orders n set remark = c.mail from crm.contacts c where c.id = n.customer and c.id < 12 returning n.id, n.remark, c.card;
with late as (update sales.new_orders set total = total + 1 where id < 40 returning id, total) select count(*), sum(total) from late;
delete from sales.new_orders o using sales.order_lines l where l.order_id = o.id and l.quantity > 2 returning o.id;
rollback;

begin;
insert into sales.api_orders as a (id, firm, customer, total, placed) values (10, 'acme', 11, 5, '2024-02-01') on conflict (id) do update set total = excluded.total + a.total, remark = 'again' where a.firm = 'acme' returning id, total, remark;
insert into sales.api_orders (id, firm, customer, total, placed) values (13, 'acme', 13, 5, '2024-02-01') on conflict do nothing;
merge into sales.api_orders a using (values (1, 'm'), (90210, 'n')) v (id, remark) on v.id = a.id when matched then update set remark = v.remark when not matched then insert (id, firm, customer, total, placed, remark) values (v.id, 'acme', 1, 1, '2024-03-01', v.remark) returning merge_action(), a.id, a.remark;
rollback;

begin;
update crm.contacts set name = 'Renamed' where mail like 'c%' and id < 30 returning id, mail, card_start, shout;
update crm.contacts set mail = 'new@x.org' where card_start = '**** 1' or id = 3 returning id;
rollback;

prepare set_remark (text, bigint) as update sales.api_orders set remark = $1 where id = $2 returning remark, id;
begin;
execute set_remark ('prepared', 4);
rollback;
deallocate set_remark;

explain update sales.orders set comment = 'x' where id = 1;
explain (format json) insert into sales.orders (tenant, customer_id, status, total, placed_at) values ('acme', 1, 'new', 10, '2024-01-01');
explain verbose update sales.orders set comment = 'y' where id = 2 returning id;
prepare set_comment (text, bigint) as update sales.orders set comment = $1 where id = $2;
explain execute set_comment ('z', 3);
