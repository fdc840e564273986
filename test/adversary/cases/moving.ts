/** Attacks by names that come to mean something else: renamed in a transaction or a text, shadowed by a path, or copied with their types. */
import { type AttackCase, attacks, probes } from '../case.ts';
import { otherId, otherNameStart } from '../guesses.ts';

const renamed = attacks('names', 'no-secret', {
	'a view takes the name of a table, in a transaction': [
		'begin',
		'alter table lab.box rename to box_old',
		'alter view lab.report rename to box',
		'select * from lab.box',
		'rollback',
	],
	'a materialized view takes the name of a table, in a transaction': [
		'begin',
		'alter table lab.box rename to box_old',
		'alter materialized view lab.report_mv rename to box',
		'select * from lab.box',
		'rollback',
	],
	'a view takes the name of a table that is dropped': [
		'begin',
		'drop table lab.box',
		'alter table lab.report rename to box',
		'select * from lab.box',
		'rollback',
	],
	'a view takes the name of a table, by its schema': [
		'begin',
		'create schema lab_other',
		'alter view lab.report set schema lab_other',
		'select * from lab_other.report',
		'rollback',
	],
	'a prepared statement over a name that moves': [
		'begin',
		'prepare moving as select * from lab.box',
		'alter table lab.box rename to box_old',
		'alter view lab.report rename to box',
		'execute moving',
		'rollback',
		'deallocate all',
	],
	'a column of a view takes another name': [
		'begin',
		'alter view lab.report rename column ssn to label',
		'select * from lab.report',
		'rollback',
	],
	'a function takes the name of one that may be called': [
		'begin',
		'alter function lab.allowed() rename to allowed_old',
		'alter function lab.evil() rename to allowed',
		'select lab.allowed()',
		'rollback',
	],
});

const inOneText = attacks(
	'names',
	'no-secret',
	{
		'a view takes the name of a table, in one text':
			'begin; alter table lab.box rename to box_old; alter view lab.report rename to box; select * from lab.box; rollback',
		'a table is dropped and a view takes its name, in one text':
			'begin; drop table lab.box; alter view lab.report rename to box; select * from lab.box; rollback',
		'a view is made in place of a table, in one text':
			'begin; drop table lab.box; create view lab.box as select * from app.people; select * from lab.box; rollback',
		'a table is made of a protected one, in one text':
			'begin; create table lab.mine as select * from app.people; select * from lab.mine; rollback',
		'a view is made and written through, in one text':
			'begin; create view lab.mine as select id, ssn, name from app.people; update lab.mine set name = ssn returning *; rollback',
	},
	{ protocols: ['simple'] },
);

const shadowed = attacks('names', 'no-secret', {
	'an own function in the place of one that a view calls': [
		'begin',
		`create or replace function lab.upper(a text) returns text language plpgsql immutable as $$ begin
			insert into lab.inbox (id, line) select 5000 + id, ssn from app.people on conflict do nothing; return a; end $$`,
		'set local search_path = lab, pg_catalog',
		'select code from app.people_vv',
		'select line from lab.inbox',
		'rollback',
	],
	'an own operator in the place of one that a view uses': [
		'begin',
		`create or replace function lab.capture_eq(a text, b text) returns boolean language plpgsql immutable as $$ begin
			insert into lab.inbox (id, line) select 5000 + id, ssn from app.people on conflict do nothing; return true; end $$`,
		'set local search_path = lab, pg_catalog',
		'select * from app.barrier_v',
		'select line from lab.inbox',
		'rollback',
	],
});

const typed = attacks('functions', 'no-secret', {
	'a table of a type whose fields run a function': [
		'create temp table typed of lab.row_of_domains',
		"insert into typed values ('x')",
		'drop table typed',
	],
	'a table like one whose columns run a function': [
		'begin',
		'create table lab.copied (like lab.dom)',
		"insert into lab.copied values ('x')",
		'rollback',
	],
	'a table that inherits columns which run a function': [
		'begin',
		'create table lab.heir () inherits (lab.dom)',
		"insert into lab.heir values ('x')",
		'rollback',
	],
	'a table of a query whose columns run a function': [
		'begin',
		'create table lab.copied as select * from lab.dom',
		"insert into lab.copied values ('x')",
		'rollback',
	],
	'a literal among values of a column that runs a function': [
		"select array_append(array_agg(a), 'x') from lab.dom",
		"select array_prepend('x', array_append(array_agg(a), min(a))) from lab.dom",
		"select array_position(array_agg(a), 'x') from lab.dom",
	],
	'a table of a null to which a cast leads': [
		'begin',
		'create temp table told as select null::app.stolen as s',
		'insert into told values (101) returning s',
		'rollback',
	],
});

/** The planner tries a condition on sampled values of all rows, to estimate how many there are. */
const sampled = probes('barriers', {
	'LIKE that fails for what it matches, on samples': {
		guesses: otherNameStart,
		sql: (g) => `select count(*) from app.people where name like '${g}%\\'`,
	},
	'LIKE that fails for what it matches, in a subquery': {
		guesses: otherNameStart,
		sql: (g) => `select * from (select id, name as n from app.people) s where n like '${g}%\\'`,
	},
	'LIKE that fails for what it matches, through a CTE': {
		guesses: otherNameStart,
		sql: (g) =>
			`with s as (select * from app.people) select count(*) from s join app.depts d on d.id = s.dept_id where s.name like '${g}%\\'`,
	},
	'LIKE that fails for what it matches, in ON': {
		guesses: otherNameStart,
		sql: (g) => `select count(*) from app.depts d left join app.people p on p.dept_id = d.id and p.name like '${g}%\\'`,
	},
	'LIKE that fails for what it matches, in EXISTS': {
		guesses: otherNameStart,
		sql: (g) =>
			`select count(*) from app.depts d where exists (select from (select name from app.people) s where s.name like '${g}%\\')`,
	},
	'LIKE that fails for what it matches, through a view': {
		guesses: otherNameStart,
		sql: (g) => `select count(*) from app.people_vv where label like '${g}%\\'`,
	},
	'LIKE that fails for what it matches, on a field of the row': {
		guesses: otherNameStart,
		sql: (g) => `select count(*) from app.people p where (p).name like '${g}%\\'`,
	},
	'LIKE that fails for what it matches, in HAVING': {
		guesses: otherNameStart,
		sql: (g) => `select name from app.people group by name having name like '${g}%\\'`,
	},
	'LIKE that fails for what it matches, in a plan': {
		guesses: otherNameStart,
		sql: (g) => `explain select count(*) from app.people where name like '${g}%\\'`,
	},
	'LIKE that fails for what it matches, after a renaming': {
		guesses: otherNameStart,
		sql: (g) => `select count(*) from app.people as p (a, b, c) where c like '${g}%\\'`,
	},
	'LIKE that fails for what it matches, after USING': {
		guesses: otherNameStart,
		sql: (g) =>
			`select count(*) from app.people p join (select name from app.people) q using (name) where name like '${g}%\\'`,
	},
	'a group in a subquery that fails on a hidden row': {
		guesses: otherId,
		sql: (g) =>
			`select id from app.people p where (select count(*) from (select d.id from app.depts d group by d.id, 1 / (p.id - ${g})) s) > 0`,
	},
	'a limit in a subquery that fails on a hidden row': {
		guesses: otherId,
		sql: (g) => `select id from app.people p where (select count(*) from (select 1 limit 1 / (p.id - ${g}) + 9) s) > 0`,
	},
	'a window in a subquery that fails on a hidden row': {
		guesses: otherId,
		sql: (g) =>
			`select id from app.people p where (select max(r) from (select row_number() over (order by 1 / (p.id - ${g})) as r) s) > 0`,
	},
});

/** Attacks whose names move. */
export const moving: readonly AttackCase[] = [...renamed, ...inOneText, ...shadowed, ...typed, ...sampled];
