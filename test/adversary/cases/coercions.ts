/** Attacks through casts that nobody has written: the server puts them between a value and the type that is wanted in its place. */
import { type AttackCase, attacks } from '../case.ts';

const arguments_ = attacks('functions', 'denied', {
	'an unwritten cast to the parameter of a function': 'select app.show(current_date)',
	'an unwritten cast between rows, to the parameter of a function': "select app.show(row('x')::app.plain)",
	'an unwritten cast of a column to the parameter of a function': 'select app.show(p) from lab.loot',
	'an unwritten cast to a named parameter': 'select app.show(b => current_date)',
	'an unwritten cast to a field of a parameter': 'select app.show_chest(row(current_date, 1))',
	'an unwritten cast to a field of a parameter, from a subquery':
		'select app.show_chest(s) from (select current_date as b, 1 as n) s',
	'an unwritten cast to the elements of a parameter': 'select app.show_all(array[current_date])',
	'an unwritten cast to the parameter of a procedure': 'call app.show_it(current_date)',
	'an unwritten cast to the parameter of a function of the server': "select upper('up'::app.flag)",
	'an unwritten cast to the parameter of a function in FROM': 'select * from app.show(current_date)',
	'an unwritten cast to an operand': 'select current_date operator(app.===) current_date',
	'an unwritten cast to one operand': 'select b operator(app.===) current_date from lab.loot',
	'an unwritten cast to an operand, with ANY': 'select current_date operator(app.===) any (array[b]) from lab.loot',
	'an unwritten cast to what EXECUTE gives': ['prepare q (app.booty) as select $1', 'execute q (current_date)'],
	'an unwritten cast to what EXECUTE gives, by the place of the parameter': [
		'prepare q as select app.show($1)',
		'execute q (current_date)',
	],
	'an unwritten cast, by the notation of a field': ['set search_path = app', "select (row('x')::plain).show"],
});

const common = attacks('functions', 'denied', {
	'an unwritten cast in CASE': 'select case when id = 1 then p else b end from lab.loot',
	'an unwritten cast in COALESCE': 'select coalesce(p, b) from lab.loot',
	'an unwritten cast in GREATEST': 'select greatest(p, b) from lab.loot',
	'an unwritten cast in an array': 'select array[p, b] from lab.loot',
	'an unwritten cast in UNION': 'select p from lab.loot union all select b from lab.loot',
	'an unwritten cast in VALUES': 'values ((select p from lab.loot)), ((select b from lab.loot))',
	'an unwritten cast in a recursive query':
		'with recursive r (x, n) as (select b, 1 from lab.loot union all select (select p from lab.loot), n + 1 from r where n < 2) select * from r',
	'an unwritten cast in IN': 'select p in (b, b) from lab.loot',
	'an unwritten cast in USING':
		'select v from (select p as v from lab.loot) x full join (select b as v from lab.loot) y using (v)',
	'an unwritten cast to the default of a window function': 'select lag(p, 1, b) over () from lab.loot',
	'an unwritten cast in what is appended': 'select array_append(array[b], p) from lab.loot',
	'a literal beside a row whose field runs a function': "select coalesce(d, '(x)') from lab.loot",
	'a literal beside a row whose field runs a function, in an array': "select array[d, '(x)'] from lab.loot",
	'a literal beside a row whose field runs a function, in UNION': "select d from lab.loot union all select '(x)'",
	'a literal beside a row whose field runs a function, in CASE':
		"select case when id = 1 then '(x)' else d end from lab.loot",
});

const wanted = attacks('functions', 'denied', {
	'an unwritten cast in WHERE': "select 1 where 'up'::app.flag",
	'an unwritten cast in HAVING': "select 1 having 'up'::app.flag",
	'an unwritten cast in ON': "select 1 from app.depts a join app.depts b on 'up'::app.flag",
	'an unwritten cast in CASE WHEN': "select case when 'up'::app.flag then 1 end",
	'an unwritten cast in NOT': "select not 'up'::app.flag",
	'an unwritten cast in AND': "select true and 'up'::app.flag",
	'an unwritten cast in IS TRUE': "select 'up'::app.flag is true",
	'an unwritten cast in FILTER': "select count(*) filter (where 'up'::app.flag)",
	'an unwritten cast in LIMIT': "select 1 limit 'up'::app.flag",
	'an unwritten cast in OFFSET': "select 1 offset 'up'::app.flag",
	'an unwritten cast in a window frame':
		"select count(*) over (order by id rows 'up'::app.flag preceding) from app.depts",
	'an unwritten cast in to_json': "select to_json('up'::app.flag)",
	'an unwritten cast in row_to_json': "select row_to_json(s) from (select 'up'::app.flag as f) s",
	'an unwritten cast in jsonb_build_object': "select jsonb_build_object('a', 'up'::app.flag)",
	'an unwritten cast in json_agg': "select json_agg(array['up'::app.flag])",
	'an unwritten cast in JSON_ARRAY': "select json_array('up'::app.flag)",
	'an unwritten cast in JSON_OBJECT': "select json_object('a': 'up'::app.flag)",
});

const assigned = attacks(
	'functions',
	'denied',
	{
		'an unwritten cast in INSERT': 'insert into lab.loot (id, s) values (5, 101) returning s',
		'an unwritten cast in INSERT without columns': 'insert into lab.loot values (5, 101) returning s',
		'an unwritten cast in INSERT of several rows':
			'insert into lab.loot (id, s) values (5, null), (6, 101) returning s',
		'an unwritten cast in INSERT from a query': 'insert into lab.loot (id, s) select 5, 101 returning s',
		'an unwritten cast in INSERT of a row': 'insert into lab.loot (id, c) values (5, row(current_date, 1)) returning c',
		'an unwritten cast in INSERT of a field': 'insert into lab.loot (id, c.b) values (5, current_date) returning c',
		'an unwritten cast in UPDATE': 'update lab.loot set s = 101 returning s',
		'an unwritten cast in UPDATE of several columns': 'update lab.loot set (s, id) = (101, 2) returning s',
		'an unwritten cast in UPDATE from a query': 'update lab.loot set (s, id) = (select 101, 2) returning s',
		'an unwritten cast in UPDATE of a field': 'update lab.loot set c.b = current_date returning c',
		'an unwritten cast in UPDATE of an element': 'update lab.loot set many[1] = current_date returning many',
		'an unwritten cast in ON CONFLICT':
			'insert into lab.loot (id) values (1) on conflict (id) do update set s = 101 returning s',
		'an unwritten cast in MERGE, updated':
			'merge into lab.loot l using (values (1)) v (id) on v.id = l.id when matched then update set s = 101 returning s',
		'an unwritten cast in MERGE, inserted':
			'merge into lab.loot l using (values (7)) v (id) on v.id = l.id when not matched then insert (id, s) values (7, 101) returning s',
		'an unwritten cast in a default': [
			'alter table lab.loot alter s set default 101',
			'insert into lab.loot (id) values (5) returning s',
		],
	},
	{ transaction: true },
);

export const coercions: readonly AttackCase[] = [...arguments_, ...common, ...wanted, ...assigned];
