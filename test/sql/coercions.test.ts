/** Casts that the server puts in by itself: a user's function behind one needs a rule where it may run, and nothing else is refused for it. */
import { afterAll, beforeAll, describe, it } from 'vitest';
import type { Bench } from './bench.ts';
import { check, type Row } from './check.ts';
import { openPeople, RULES, SETUP } from './people.ts';

const MORE = `
create extension citext schema public;
create extension hstore schema public;
create type app.token as (v text);
create type app.label as enum ('a', 'b');
create function app.token_of(int) returns app.token language sql as 'select row($1::text)::app.token';
create cast (int as app.token) with function app.token_of(int) as implicit;
create function app.label_text(app.label) returns text language sql as $$ select 'x' $$;
create cast (app.label as text) with function app.label_text(app.label) as assignment;
create function app.known(int) returns app.label language sql as $$ select 'a'::app.label $$;
create function app.shown(app.token) returns text language sql as 'select ($1).v';
create function app.free(date) returns app.token language sql as $$ select row('free')::app.token $$;
create cast (date as app.token) with function app.free(date) as implicit;
create table app.tokens (id int primary key, t app.token, label app.label, name citext, tags hstore, at date);
insert into app.tokens values (1, row('one')::app.token, 'a', 'Ann', 'a=>1', '2024-01-02');
create table app.words (v varchar(10), c char(3), n name);
insert into app.words values ('v', 'c', 'n');
create function app.joined(varchar, app.token) returns boolean language sql as 'select true';
create function app.likened(text, app.token) returns boolean language sql as 'select true';
create operator app.~ (leftarg = varchar, rightarg = app.token, function = app.joined);
create operator app.~ (leftarg = text, rightarg = app.token, function = app.likened);
`;

let bench: Bench;
beforeAll(async () => {
	const rules = `${RULES}
p, role:analyst, db.app.shown(*), execute, allow
p, role:analyst, db.app.known(*), execute, allow
p, role:analyst, db.app.free(*), execute, allow
`;
	bench = await openPeople({ setup: `${SETUP}${MORE}`, rules });
});
afterAll(async () => {
	await bench?.close();
});

const denied = (sql: string, name: string): Row => ({
	sql,
	want: { error: ['42501', `permission denied for function app.${name}`] },
});
const told = (sql: string, wanted: readonly (readonly string[])[]): Row => ({ sql, want: { rows: wanted } });
const same = (sql: string): Row => ({ sql, want: { same: true } });

const RETYPED = 'alter table app.items alter label type int using 1;';
const retyped = (sql: string): Row => ({
	sql: `${RETYPED} ${sql}`,
	want: { error: ['42501', /permission denied for function app\.(token_of|label_text)/] },
});

const rows: readonly Row[] = [
	denied('select app.shown(5)', 'token_of'),
	denied('insert into app.tokens (id, t) values (2, 5)', 'token_of'),
	denied('insert into app.tokens (id, t) select id, owner from app.items', 'token_of'),
	denied('update app.tokens set t = 5', 'token_of'),
	denied('create table app.more (t app.token default 5)', 'token_of'),
	denied('alter table app.tokens alter t set default 5', 'token_of'),
	denied('alter table app.items alter owner type app.token', 'token_of'),
	denied('alter table app.tokens alter label type text using label::text', 'label_text'),
	denied('alter table app.tokens add s text generated always as (label::text) stored', 'label_text'),
	denied('insert into app.items (id, label) select 50, label from app.tokens', 'label_text'),
	denied('insert into app.items (id, label) select 50, coalesce(label, app.known(1)) from app.tokens', 'label_text'),
	denied('update app.items set label = t.label from app.tokens t where t.id = app.items.id', 'label_text'),
	denied('insert into app.items (id, label) select 50, (array_agg(label))[1] from app.tokens', 'label_text'),
	// What the text has altered may be of any type by then.
	retyped(`select label::app.token from app.items`),
	retyped(`select i.made::app.token from (select label as made from app.items) i`),
	retyped(`select app.shown(label) from app.items`),
	retyped(`insert into app.tokens (id, t) select 2, label from app.items`),
	{ sql: `${RETYPED} select label, id::text, price + 1 from app.items`, want: { text: /^alter table/ } },
	// What is allowed, or of the server, or certainly not run.
	same("select app.shown('2024-01-02'::date)"),
	same('select app.shown(at) from app.tokens'),
	same('select app.shown(t), (t).v from app.tokens'),
	same("insert into app.tokens (id, t) values (2, '(x)'), (3, null), (4, row('y'))"),
	same("insert into app.tokens (id, label) values (2, 'b') returning id, label"),
	same("update app.tokens set label = 'b', t = row('z') where label = 'a' returning id, label"),
	same('select label, count(*) from app.tokens group by label order by label'),
	same(
		"select case when t.label = 'a' then 'yes' else 'no' end, t.label is null from app.tokens t where t.label in ('a', 'b') and false",
	),
	same('create table app.more (id int, t app.token, label app.label, name text)'),
	same("create table app.more (id int default 5, name text default 'x', check (id > 0))"),
	same("select upper(i.label), coalesce(i.label, 'x'::varchar), to_json(i) from app.items i where i.id = 1"),
	same("select i.label || coalesce(i.label, 'x'::varchar) || 5 from app.items i limit 1"),
	same("select upper(coalesce(label, 'x'::varchar(3))) from app.items limit 1"),
	same('select (i.*)::text, i::text from app.items i limit 1'),
	// Beside a string an untyped literal is text, but for what takes the very type of the string.
	denied("select v ~ '(x)' from app.words", 'joined'),
	denied("select c operator(app.~) '(x)' from app.words", 'joined'),
	denied("select c ~ row('x')::app.token from app.words", 'joined'),
	told("select c ~ 'c', n ~ 'x' from app.words", [['t', 'f']]),
	// Extensions are the server's administrator's.
	told("select name, coalesce(name, 'y') from app.tokens", [['Ann', 'Ann']]),
	told("select upper(name), name || 'x' from app.tokens where name is not null", [['ANN', 'Annx']]),
	told('insert into app.tokens (id, name) select id, label from app.items where id = 2 returning name', [['item 2']]),
	told("insert into app.tokens (id, name) values (2, 'x'::char(3)), (3, 'y'::varchar), (4, true) returning name", [
		['x'],
		['y'],
		['true'],
	]),
	told('select to_json(tags), row_to_json(x) ->> $$tags$$ from app.tokens x', [['{"a": "1"}', '{"a": "1"}']]),
];

describe('casts that nobody wrote', () => {
	it.each(rows)('$sql', (row) => check(bench, row));
});
