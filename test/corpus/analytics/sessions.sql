begin;
select count(*) from sales.orders;
commit;

begin isolation level repeatable read read only;
select count(*) from crm.customers;
rollback;

start transaction read only, deferrable;
select 1;
end;

begin;
savepoint a;
select id from crm.customers order by id limit 1;
release savepoint a;
savepoint b;
rollback to savepoint b;
abort;

begin;
declare c cursor for select id, email from crm.customers order by id;
fetch 3 from c;
fetch next from c;
move 2 in c;
fetch forward 2 from c;
close c;
commit;

begin;
declare c scroll cursor with hold for select id from sales.orders order by id;
commit;
fetch first from c;
fetch last from c;
fetch prior from c;
fetch absolute 5 from c;
fetch relative -1 from c;
fetch backward 2 from c;
close all;

declare h cursor with hold for select name from crm.customers order by id limit 5;
fetch all from h;
close h;

prepare top (int) as select id, total from sales.orders where customer_id = $1 order by id;
execute top (2);
execute top (1 + 3);
deallocate top;

prepare mask as select email, card from crm.customers where id = $1;
execute mask (1);
execute mask (2);
deallocate prepare mask;

prepare a as select 1;
prepare b as select count(*) from crm.customers;
execute b;
deallocate all;

create temp table mine (id int, email text);
insert into mine select id, email from crm.customers where id < 10;
select * from mine order by id;
update mine set email = 'x' where id = 1;
delete from mine where id = 2;
select count(*) from mine;
truncate mine;
drop table mine;

create temp table top as select customer_id, sum(total) as spent from sales.orders group by 1;
select * from top order by spent desc, customer_id limit 3;
create index on top (customer_id);
analyze top;
alter table top add column flag boolean default false;
select count(*) from top t join crm.customers c on c.id = t.customer_id where not flag;
drop table top;

create temporary table if not exists t1 (n serial primary key, v numeric check (v > 0), at timestamptz default now()) on commit preserve rows;
insert into t1 (v) values (1), (2.5) returning n, v;
select sum(v) from t1;
drop table if exists t1;

begin;
create temp table gone (x int) on commit drop;
insert into gone values (1);
select * from gone;
commit;

select id, name into temp picked from crm.customers where country = 'FR';
select count(*) from picked;
drop table picked;

create temp view v as select id, email from crm.customers;
select * from v order by id limit 2;
drop view v;

copy (select id, email, card from crm.customers order by id) to stdout;

copy (select id, name from crm.customers order by id limit 5) to stdout with (format csv, header);

copy crm.countries to stdout;

copy crm.countries (code, name) to stdout csv header delimiter ';';

copy crm.customers (id, email, birth_date) to stdout;

copy (values (1, 'a'), (2, null)) to stdout with (null 'nil', delimiter '|');

copy sales.order_lines to stdout (format binary);

set timezone = 'Europe/Oslo';
select placed_at from sales.orders order by id limit 1;
set time zone 'UTC';
show timezone;
reset timezone;

set datestyle = 'ISO, DMY';
set statement_timeout = '5s';
set local work_mem = '8MB';
set session application_name = 'corpus';
show application_name;
show all;
show server_version;
show search_path;
show transaction isolation level;
reset all;

set search_path = crm, sales;
select count(*) from customers join orders on customer_id = customers.id;
select current_schemas(true);
show search_path;
set search_path to default;

set search_path = "crm", 'sales', public;
select email from customers order by id limit 1;
prepare q as select name from customers where id = $1;
execute q (1);
deallocate q;
reset search_path;

begin;
set local search_path = hr;
select name, salary from employees order by id limit 2;
commit;

select set_config('search_path', 'crm', false);
select count(*) from customers;
select set_config('search_path', '', false);
select pg_catalog.set_config('work_mem', '5MB', true);
reset search_path;

set enable_seqscan = off;
set random_page_cost = 1.1;
set jit = off;
set extra_float_digits = 3;
set intervalstyle = 'iso_8601';
set bytea_output = 'escape';
set lock_timeout = 1000;
set idle_in_transaction_session_timeout = '1min';
set client_min_messages = warning;
set default_transaction_read_only = off;
set lc_numeric = 'C';
set client_encoding = 'UTF8';
set names 'UTF8';
set standard_conforming_strings = on;
set check_function_bodies = false;
set plan_cache_mode = auto;
set default_text_search_config = 'pg_catalog.english';
reset statement_timeout;
discard plans;

set transaction_isolation = 'repeatable read';

begin;
set transaction isolation level serializable;
set constraints all deferred;
select 1;
rollback;

set session characteristics as transaction isolation level read committed;

discard temp;
discard sequences;

discard all;
select count(*) from crm.customers;

explain select * from crm.countries;

explain (costs off) select * from sales.products where id = 1;

explain analyze select count(*) from sales.order_lines;

explain (analyze, buffers, format json) select * from sales.products order by price;

explain (verbose, settings) select p.name from sales.products p join sales.order_lines l on l.product_id = p.id;

explain select * from crm.customers where id = 1;

explain (costs off) select count(*) from sales.orders group by customer_id;

begin;
select id from sales.products where id = 1 for share;
select id from crm.customers where id = 1 for key share;
rollback;

select pg_sleep(0.001), clock_timestamp() > now() - interval '1 minute', statement_timestamp() is not null;

select pg_advisory_lock(42), pg_advisory_unlock(42), pg_try_advisory_xact_lock(7);

select txid_current() > 0, pg_current_xact_id() is not null, pg_is_in_recovery(), pg_postmaster_start_time() < now();

select current_setting('server_version_num')::int > 140000, current_setting('no.such', true) is null;

select pg_typeof(email), pg_typeof(salary) from crm.customers, hr.employees limit 1;

select pg_column_size(name) > 0, pg_size_pretty(1024::bigint) from crm.countries limit 1;

select obj_description('crm.customers'::regclass), col_description('crm.customers'::regclass, 4), 'crm.customers'::regclass::text, to_regclass('no.such'), format_type(23, null);

select has_table_privilege('crm.customers', 'select'), has_schema_privilege('crm', 'usage'), has_database_privilege(current_database(), 'connect');

select pg_get_viewdef('crm.customer_names'::regclass), pg_get_indexdef('crm.customers_pkey'::regclass), pg_get_constraintdef(oid) from pg_constraint where conname = 'customers_pkey';

begin;
select 1/0;
rollback;
select 1;

begin work;
commit work;
begin transaction;
rollback transaction;

begin;
lock table crm.customers in access share mode;
lock crm.countries, sales.orders in share mode nowait;
rollback;

insert into lab.notes values (50, 'new', 'text', 1);
insert into lab.notes (id, topic) values (51, 'a'), (52, 'b') returning id;
update lab.notes set body = upper(body), rank = rank + 1 where id = 50 returning body, rank;
insert into lab.notes (id, topic, body) values (50, 'again', 'x') on conflict (id) do update set topic = excluded.topic, body = lab.notes.body || excluded.body returning topic, body;
insert into lab.notes (id, topic) values (50, 'once more') on conflict do nothing;
merge into lab.notes n using (values (50, 'm'), (60, 'n')) v (id, topic) on v.id = n.id when matched then update set topic = v.topic when not matched then insert (id, topic) values (v.id, v.topic);
delete from lab.notes where id >= 50 returning id;

insert into lab.notes select id + 1000, email, card, null from crm.customers where id < 5;
select topic, body from lab.notes where id > 1000 order by id;
delete from lab.notes n using crm.customers c where n.id = c.id + 1000;

update lab.notes n set body = c.name from crm.customers c where c.id = n.id;
select body from lab.notes order by id;
update lab.notes set body = 'body ' || id;

set client_encoding = 'UNICODE';
select 'é', name from crm.customers order by id limit 1;
set names 'utf-8';
select 'é', name from crm.customers order by id limit 1;
reset client_encoding;
select 1;

set row_security = on;
select count(*) from crm.customers;

drop table if exists scratch;
create temp table scratch as select id, email from crm.customers where id < 4;
drop table if exists scratch;
drop table if exists scratch cascade;
create temp table scratch (a int);
insert into scratch values (1);
select * from scratch;
drop table scratch;

drop table if exists pg_temp.nothing_here;
drop table if exists nothing_here, nor_here cascade;
drop view if exists nothing_here;
drop materialized view if exists nothing_here;
drop index if exists nothing_here;
drop sequence if exists nothing_here;
drop type if exists nothing_here;
drop domain if exists nothing_here, nor_here cascade;
drop function if exists nothing_here(int, text), nor_here;
drop procedure if exists nothing_here();
drop aggregate if exists nothing_here(int);
alter table if exists nothing_here add column a int;
alter table if exists nothing_here rename column a to b;
alter view if exists nothing_here rename to nor_here;
alter index if exists nothing_here rename to nor_here;
alter sequence if exists nothing_here restart;
drop trigger if exists nothing_here on nor_here;

begin;
create temp table customers as select 1 as id;
drop table customers;
drop table if exists customers_of_nobody;
select count(*) from crm.customers;
rollback;

create temp sequence numbers;
select nextval('numbers'), currval('numbers'), setval('numbers', 7), nextval('numbers'::regclass);
comment on sequence numbers is 'mine';
drop sequence numbers;

create temp table noted (a int, b text);
comment on table noted is 'mine';
comment on column noted.a is 'a number';
select obj_description('noted'::regclass), col_description('noted'::regclass, 1);
drop table noted;

create temp table staged (like crm.customers, loaded date);
insert into staged select *, date '2024-01-01' from crm.customers where id < 4;
select attname, atttypid::regtype, atttypmod, attnotnull from pg_attribute where attrelid = 'staged'::regclass and attnum > 0 and attname <> 'email' order by attnum;
select id, email, loaded from staged;
drop table staged;

create temp table staged (like sales.orders including defaults including constraints excluding comments);
insert into staged select * from sales.orders where id < 4;
select * from staged;
drop table staged;

create temp table kin (id int primary key, parent int references kin on delete cascade, boss int, foreign key (boss) references pg_temp.kin (id));
insert into kin values (1, null, null), (2, 1, 1);
delete from kin where id = 1;
select count(*) from kin;
drop table kin;

select pid, phase, heap_blks_scanned from pg_stat_progress_vacuum;
select pid, phase, blocks_done, tuples_done from pg_stat_progress_create_index;
select relid::regclass, command, type, bytes_processed from pg_stat_progress_copy where relid <> 0;
select name from pg_stat_slru order by 1;
select pid, phase from pg_stat_progress_analyze;
