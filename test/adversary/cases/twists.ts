/** Attacks in the corners of the grammar: names that are reached in a roundabout way, code that runs where none seems to, texts whose statements lean on each other. */
import { type AttackCase, attacks, probes } from '../case.ts';
import { otherName, otherNameStart, otherTenant, otherTitle } from '../guesses.ts';

/** The planner tries a condition on sampled values of all rows: that it asks about a column has to be seen whatever way it is named. */
const sampled = probes('barriers', {
	'LIKE that fails for what it matches, through the name of a join': {
		guesses: otherNameStart,
		sql: (g) =>
			`select count(*) from (app.people p join app.depts d on d.id = p.dept_id) as j where j.name like '${g}%\\'`,
	},
	'LIKE that fails for what it matches, through the name of a join with names of columns': {
		guesses: otherNameStart,
		sql: (g) =>
			`select count(*) from (app.depts d left join app.people p on d.id = p.dept_id) as j (a, b, c, d, e, f) where f like '${g}%\\'`,
	},
	'LIKE that fails for what it matches, beside columns that nobody knows': {
		guesses: otherNameStart,
		sql: (g) =>
			`select count(*) from app.people p where exists (select from generate_series(1, 1::bigint) n where name like '${g}%\\')`,
	},
	'LIKE that fails for what it matches, after USING of two types': {
		guesses: otherNameStart,
		sql: (g) =>
			`select count(*) from app.people join (select 'x'::varchar as name) v using (name) where name like '${g}%\\'`,
	},
	'LIKE that fails for what it matches, after NATURAL JOIN of two types': {
		guesses: otherNameStart,
		sql: (g) =>
			`select count(*) from (select id, name from app.people) p natural join (select 'x'::varchar as name) v where name like '${g}%\\'`,
	},
});

/** Code that runs where no function or operator is written, on rows that a filter hides. */
const unwritten = probes('barriers', {
	'GREATEST of rows, which fails where two differ in type': {
		guesses: otherName,
		sql: (g) =>
			`select count(*) from app.people where greatest(row(name, 1), row('${g}'::text, 'x'::text)) is not null`,
	},
	'LEAST of rows in an array': {
		guesses: otherName,
		sql: (g) =>
			`select count(*) from app.people where least(array[row(name, 1)], array[row('${g}'::text, 'x'::text)]) is not null`,
	},
	'a function in the notation of a field': {
		guesses: otherTitle,
		sql: (g) => `select count(*) from app.papers where (case when title = '${g}' then -1 else 65 end).chr is not null`,
	},
	'a value of a domain behind CASE': {
		guesses: otherTitle,
		sql: (g) =>
			`select count(*) from app.papers where case when title = '${g}' then 0::lab.positive is not null else true end`,
	},
	'a value of a domain behind OR': {
		guesses: otherTitle,
		sql: (g) => `select count(*) from app.papers where title <> '${g}' or 0::lab.positive is null`,
	},
	'a parameter that fails behind CASE, in a generic plan': {
		guesses: otherTitle,
		sql: (g) => [
			'set plan_cache_mode = force_generic_plan',
			`prepare q (int) as select count(*) from app.papers where case when title = '${g}' then 1 / $1 else 1 end = 1`,
			'execute q (0)',
		],
	},
	'a parameter that fails behind COALESCE, in a generic plan': {
		guesses: otherTitle,
		sql: (g) => [
			'set plan_cache_mode = force_generic_plan',
			`prepare q (int) as select count(*) from app.papers where coalesce(nullif(title <> '${g}', false), 1 / $1 = 1)`,
			'execute q (0)',
		],
	},
	'a text that is no date behind CASE': {
		guesses: otherTitle,
		sql: (g) =>
			`select count(*) from app.papers where case when title = '${g}' then ('x' || '')::date is null else true end`,
	},
	'a column of a subquery that fails behind CASE': {
		guesses: otherTitle,
		sql: (g) => [
			'set plan_cache_mode = force_generic_plan',
			`prepare q (int) as select count(*) from app.papers, (select 1 / $1 as x) s where case when title = '${g}' then x else 1 end = 1`,
			'execute q (0)',
		],
	},
	'a query for a value that gives several': {
		guesses: otherTitle,
		sql: (g) =>
			`select count(*) from app.papers p where p.id < (select 1000 from app.depts d where d.title <> p.title and p.title = '${g}')`,
	},
	'a query for a value that gives several, named in a query inside': {
		guesses: otherTitle,
		sql: (g) =>
			`select count(*) from app.papers p where p.id < (select 1000 from app.depts d where exists (select from app.depts e where p.title = '${g}'))`,
	},
});

/** A view of the text at hand is no barrier to the statements behind it. */
const inOneText = [
	...attacks(
		'barriers',
		'no-secret',
		{
			'a view and a cheap function over it, in one text':
				'create temp view v as select id, name from app.people; select id from v where app.log_note(name)',
			'a view over a view and a cheap function, in one text':
				'begin; create view lab.v1 as select id, name from app.people; create view lab.v2 as select * from lab.v1; select id from lab.v2 where app.log_note(name); rollback',
			'a view under another name and a cheap function, in one text':
				'begin; create view lab.v1 as select id, name from app.people; alter view lab.v1 rename to v3; select id from lab.v3 where app.log_note(name); rollback',
			'a view over something protected and a cast that fails, in one text':
				'create temp view v as select id, name from app.people; select name::int from v where id > 100',
		},
		{ protocols: ['simple'] },
	),
	...probes(
		'barriers',
		{
			'a view and LIKE that fails for what it matches, in one text': {
				guesses: otherNameStart,
				sql: (g) =>
					`create temp view v as select id, name from app.people; select count(*) from v where name like '${g}%\\'`,
			},
			'a view and its plan, in one text': {
				guesses: otherTenant,
				sql: (g) =>
					`create temp view v as select id, tenant from app.people; explain select id from v where tenant = '${g}'`,
			},
			'EXPLAIN behind another, in one text': {
				guesses: () => ({ right: 'aaaaaaaa', wrong: 'zzzzzzzz' }),
				sql: (g) => `explain select 1; explain select id from app.people where name < '${g}'`,
			},
		},
		{ protocols: ['simple'] },
	),
];

const parts = attacks(
	'writing',
	'denied',
	{
		'a part of a masked document is set': [
			'begin',
			`update app.people set prefs['theme']['x'] = '1' where id = 1`,
			'rollback',
		],
		'a part of a masked document is set, counted from its end': [
			'begin',
			`update app.people set prefs['list'][-9] = '1' where id = 1`,
			'rollback',
		],
		'a slice of a masked array is set': ['begin', `update app.people set tags[1:2] = '{a}' where id = 1`, 'rollback'],
		'a field of a masked row is set': ['begin', `update app.people set home.street = 'x' where id = 1`, 'rollback'],
		'a part of a masked array is set, in a list': [
			'begin',
			`update app.people set (name, tags[1]) = ('x', 'y') where id = 1`,
			'rollback',
		],
		'a part of a masked array is set by MERGE': [
			'begin',
			`merge into app.people p using (values (1)) v (id) on v.id = p.id when matched then update set tags[1] = 'x'`,
			'rollback',
		],
	},
	{ as: 'wes' },
);

const operators = attacks('functions', 'denied', {
	'an operator of the own whose negator is not': [
		'begin',
		'create operator lab.!== (leftarg = text, rightarg = text, function = pg_catalog.texteq, negator = operator(app.=~~=))',
		"select id from app.depts where not (title operator(lab.!==) 'x')",
		'rollback',
	],
	'an operator of the own whose commutator is not': [
		'begin',
		'create operator lab.!== (leftarg = text, rightarg = text, function = pg_catalog.texteq, commutator = operator(app.=~~=))',
		'rollback',
	],
	'an operator of the own that changes one of the server': [
		'begin',
		'create operator lab.!== (leftarg = text, rightarg = text, function = pg_catalog.texteq, commutator = operator(pg_catalog.^@))',
		'rollback',
	],
});

/** What only the session sees, since it is not committed, is by the name of something else. */
const uncommitted = attacks('names', 'no-secret', {
	'a function whose types fit better than those of the server': [
		'begin',
		`create function lab.reverse(varchar) returns text language plpgsql as $$ begin return (select string_agg(ssn, ',') from app.people); end $$`,
		'set local search_path = lab',
		"select reverse('x'::varchar)",
		'rollback',
	],
	'a function before that of the server': [
		'begin',
		`create function lab.btrim(pg_catalog.text) returns pg_catalog.text language plpgsql as $$ begin return (select string_agg(ssn, ',') from app.people); end $$`,
		'set local search_path = lab, pg_catalog',
		"select btrim('x'::pg_catalog.text)",
		'rollback',
	],
	'a function in place of a cast': [
		'begin',
		`create function lab.tid(text) returns text language plpgsql as $$ begin return (select string_agg(ssn, ',') from app.people); end $$`,
		'set local search_path = lab',
		"select tid('(0,1)'::text)",
		'rollback',
	],
	'an overload of what may be called': [
		'begin',
		`create function lab.allowed(text default 'x') returns text language plpgsql as $$ begin return (select string_agg(ssn, ',') from app.people); end $$`,
		"select lab.allowed('x')",
		'rollback',
	],
	'a function in the notation of a field': [
		'begin',
		`create function lab.zzz(text) returns text language plpgsql as $$ begin return (select string_agg(ssn, ',') from app.people); end $$`,
		'set local search_path = lab',
		"select ('x'::text).zzz",
		'rollback',
	],
	'a function in the notation of a field of what nobody knows the type of': [
		'begin',
		`create function lab.zzz(text) returns text language plpgsql as $$ begin return (select string_agg(ssn, ',') from app.people); end $$`,
		'set local search_path = lab',
		"select (coalesce('x'::text, 'y'::varchar)).zzz",
		'rollback',
	],
	'a function in the notation of a column': [
		'begin',
		`create function lab.zzz(lab.people) returns text language plpgsql as $$ begin return (select string_agg(ssn, ',') from app.people); end $$`,
		'set local search_path = lab',
		'select p.zzz, (p).zzz from lab.people p',
		'rollback',
	],
	'a function that is renamed to one of the server': [
		'begin',
		'alter function lab.evil() rename to now',
		'set local search_path = lab, pg_catalog',
		'select now()',
		'rollback',
	],
	'an aggregate whose types fit better': [
		'begin',
		'create aggregate lab.max(varchar) (sfunc = lab.max_of, stype = text)',
		"select lab.max('x'::varchar)",
		'rollback',
	],
}).map((attack) =>
	attack.name === 'an aggregate whose types fit better' ? { ...attack, bare: 'the function is not there' } : attack,
);

const uncommittedTypes = probes('barriers', {
	'a domain by the name of a type of the server': {
		guesses: otherTitle,
		sql: (g) => [
			'begin',
			`create domain lab.varchar as pg_catalog.text check (value <> '${g}')`,
			'set local search_path = lab, pg_catalog',
			'select count(*) from app.papers where title::lab.varchar is not null',
			'rollback',
		],
	},
	'an operator by the name of one of the server': {
		guesses: otherTitle,
		sql: (g) => [
			'begin',
			'create operator lab.^@ (leftarg = pg_catalog.text, rightarg = pg_catalog.text, function = pg_catalog.textlike)',
			'create operator lab.< (leftarg = pg_catalog.text, rightarg = pg_catalog.text, function = pg_catalog.textlike)',
			'set local search_path = lab, pg_catalog',
			`select count(*) from app.papers where title < '${g.slice(0, -1)}\\'`,
			'rollback',
		],
	},
});

const better = attacks('names', 'no-secret', {
	'a view does not call what fits better in a later schema': ['set search_path = lab', 'select label from app.cat_v'],
	'a view does not compare by what fits better in a later schema': [
		'set search_path = lab',
		'select id, plain from app.cat_v',
	],
});

/** Without a gateway all of them run into what they ask for, but for those of which the bare database says the same. */
const never: Readonly<Record<string, string>> = {
	'a part of a masked document is set': 'it fails there by the value, as it should not',
	'a part of a masked document is set, counted from its end': 'it fails there by the value, as it should not',
	'a slice of a masked array is set': 'it fails there by the value, as it should not',
	'an operator of the own that changes one of the server': 'the server minds it too',
	'a view over something protected and a cast that fails, in one text': 'the view shows everything there',
	'a view does not compare by what fits better in a later schema': 'the arrays say nothing of anybody',
};

export const twists: readonly AttackCase[] = [
	...sampled,
	...unwritten,
	...inOneText,
	...parts,
	...operators,
	...uncommitted,
	...uncommittedTypes,
	...better,
].map((attack) => ({ ...attack, bare: attack.bare ?? never[attack.name] ?? null }));
