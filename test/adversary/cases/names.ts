/** Attacks on how names are resolved: what the gateway checks must be what the server runs. */
import { type AttackCase, attacks, conversations, probes } from '../case.ts';
import { otherSsn } from '../guesses.ts';
import { LONG_VIEW } from '../fixture/names.ts';
import { bindExecute, parse, sync } from '../messages.ts';

export const names: readonly AttackCase[] = [
	...attacks('names', 'masked', {
		'search_path by SET': ['set search_path = app', 'select ssn, salary from people'],
		'search_path by SET SCHEMA': ["set schema 'app'", 'select ssn from people'],
		'search_path by SET SESSION ... TO': ['set session search_path to app, lab', 'select ssn from people'],
		'search_path quoted as one string': [`set search_path = 'app'`, 'select ssn from people'],
		'search_path with "$user" and missing schemas first': [
			`set search_path = "$user", nowhere, app, lab`,
			'select ssn from people',
		],
		'search_path by set_config': ["select set_config('search_path', 'app', false)", 'select ssn from people'],
		'search_path goes back when SET LOCAL ends': [
			'set search_path = app',
			'begin',
			'set local search_path = lab',
			'select ssn from people',
			'commit',
			'select ssn from people',
		],
		'search_path goes back when its transaction fails': [
			'set search_path = app',
			'begin',
			'set search_path = lab',
			'rollback',
			'select ssn from people',
		],
		'search_path goes back to a savepoint': [
			'begin',
			'set search_path = app',
			'savepoint a',
			'set search_path = lab',
			'rollback to a',
			'select ssn from people',
			'commit',
		],
		'search_path stays after RELEASE': [
			'begin',
			'set search_path = lab',
			'savepoint a',
			'set search_path = app',
			'release a',
			'select ssn from people',
			'commit',
		],
		'SET LOCAL over a savepoint': [
			'begin',
			'set local search_path = app',
			'savepoint a',
			'set local search_path = lab',
			'rollback to savepoint a',
			'select ssn from people',
			'rollback',
		],
		'quoted names': 'select "ssn" from "app"."people"',
		'names in capitals': 'SELECT P.SSN FROM APP.PEOPLE P',
		'names in Unicode escapes': `select U&"\\0073sn" from app.U&"p\\0065ople"`,
		'names in Unicode escapes of another kind': `select U&"!0073sn" uescape '!' from app.people`,
		'comments inside of a name': 'select ssn from app /* a */ . /* b /* c */ */ people',
		'a line comment inside of a name': 'select ssn from app -- lab\n.people',
		'odd white space': 'select\tssn\ffrom\r\napp.people',
		'a semicolon and comments around': '/* x */ ; -- y\n select ssn from app.people ; ;',
		'a table next to a CTE of the same name': 'with people as (select * from app.people) select ssn from people',
		'a CTE that reads the table whose name it takes': [
			'set search_path = app',
			'with people as (select * from people) select ssn, notes_too.id from people, lateral (select id) notes_too',
		],
		'a CTE before the one that would shadow its table': [
			'set search_path = app',
			'with a as (select ssn from people), people as (select 1 as ssn) select * from a',
		],
		'a CTE of a sublink does not shadow the table outside': [
			'set search_path = app',
			"select (with people as (select 'x' as ssn) select ssn from people), ssn from people",
		],
		'a CTE of one branch does not shadow the table in the other': [
			'set search_path = app',
			"(with people as (select 'x'::text as ssn) select ssn from people) union all select ssn from people",
		],
		'a CTE does not shadow a qualified name':
			"with people as (select 'x' as ssn) select p.ssn from app.people p, people",
		'a CTE of an outer level shadows inside, and the table stays outside of it': [
			'set search_path = app',
			'with x as (with people as (select 1 as ssn) select ssn from people) select people.ssn from x, people',
		],
		'a recursive CTE named like the table': [
			'set search_path = app',
			'with recursive p(s, n) as (select ssn, 1 from people union all select s, n + 1 from p where n < 2) select * from p',
		],
		'an alias that hides another table': 'select depts.ssn from app.people as depts',
		'aliases swapped': 'select depts.ssn, people.title from app.people as depts, app.depts as people',
		'column aliases that move the names': 'select id from app.people as p (tenant2, id2, n2, id)',
		'a column alias on a whole row': 'select p from app.people as p (a, b, c, d)',
		'a whole row named like a column': 'select people from app.people',
		'a field of a whole row with a schema': 'select (app.people.*).ssn from app.people',
		'a column with schema and table': 'select app.people.ssn from app.people',
		'a name of 63 bytes': `select ssn from app.${LONG_VIEW}`,
		'a name that is cut to 63 bytes': `select ssn from app.${LONG_VIEW}_and_more`,
		'a quoted name that is cut to 63 bytes': `select ssn from app."${LONG_VIEW}_and_more"`,
		'two columns of the same name': 'select ssn as x, x from (select ssn, ssn as x from app.people) s',
		'a join alias':
			'select j.ssn from (app.people p join app.depts d on d.id = p.dept_id) as j (id, tenant, name, email, ssn)',
		'USING with an alias': 'select j.tenant, p.ssn from app.people p join app.accounts a using (tenant) as j',
	}),
	...attacks('names', 'no-secret', {
		'a statement prepared under one path and run under another': [
			'set search_path = lab',
			'prepare q as select ssn from people',
			'execute q',
			'set search_path = app',
			'execute q',
		],
		'search_path by a computed name of a setting': [
			"select set_config('search' || '_path', 'app', false)",
			'select ssn from people',
		],
		'search_path by a computed value': [
			"select set_config('search_path', string_agg(x, ''), false) from unnest(array['a', 'pp']) x",
			'select ssn from people',
		],
		'search_path in a CTE': [
			"with s as (select set_config('search_path', 'app', false) as v) select v from s",
			'select ssn from people',
		],
		'search_path by UPDATE of pg_settings': [
			"update pg_settings set setting = 'app' where name = 'search_path'",
			'select ssn from people',
		],
		'search_path by DISCARD ALL': ['set search_path = lab', 'discard all', 'select ssn from app.people'],
		'a temporary table comes before the path': [
			'create temp table people as select 1 as id, 2 as ssn',
			'set search_path = app',
			'select ssn from people',
			'drop table pg_temp.people',
			'select ssn from people',
		],
		'a temporary table that is rolled back': [
			'set search_path = app',
			'begin',
			'create temp table people (ssn text)',
			'select ssn from people',
			'rollback',
			'select ssn from people',
		],
		'a temporary table that ends with its transaction': [
			'set search_path = app',
			'begin',
			'create temp table people (ssn text) on commit drop',
			'commit',
			'select ssn from people',
		],
		'a temporary table dropped by DISCARD TEMP': [
			'set search_path = app',
			'create temp table people (ssn text)',
			'discard temp',
			'select ssn from people',
		],
		'pg_temp last in the path': [
			'create temp table people (ssn text)',
			'set search_path = app, pg_temp',
			'select ssn from people',
		],
		'a temporary table is renamed out of the way': [
			'set search_path = app',
			'create temp table people (ssn text)',
			'alter table people rename to folk',
			'select ssn from people',
		],
		'a table is renamed into the place of another': [
			'begin',
			'alter table lab.people rename to others',
			'alter table app.people set schema lab',
			'select ssn from lab.people',
			'rollback',
		],
		'the schema is renamed': ['begin', 'alter schema app rename to lab2', 'select ssn from lab2.people', 'rollback'],
	}),
	...attacks(
		'names',
		'no-secret',
		{
			'a batch that changes the path and reads': 'set search_path = app; select ssn from people',
			'a batch that changes the path twice':
				'set search_path = app; set search_path = lab; select 1; set search_path = app; select ssn from people',
			'a batch with SET LOCAL': 'begin; set local search_path = app; select ssn from people; commit',
			'a batch that goes back to a path': [
				'set search_path = app',
				'begin; set search_path = lab; rollback; select ssn from people',
			],
			'a batch with set_config': "select set_config('search_path', 'app', false); select ssn from people",
			'a batch that drops what shadows': [
				'set search_path = app',
				'create temp table people (ssn text); drop table people; select ssn from people',
			],
			'a batch that makes what it reads': 'create temp view v as select 1; select ssn from app.people',
			'a batch whose first part fails': 'set search_path = app; select 1/0; select 2',
		},
		{ protocols: ['simple'] },
	).map((attack) => (attack.name.endsWith('first part fails') ? { ...attack, bare: 'it reads nothing' } : attack)),
	...attacks(
		'names',
		'no-secret',
		{
			'search_path by a bound value': [
				{ sql: "select set_config('search_path', $1, false)", params: ['app'] },
				'select ssn from people',
			],
			'the name of the setting is bound': [
				{ sql: "select set_config($1, 'app', false)", params: ['search_path'], paramTypes: [25] },
				'select ssn from people',
			],
		},
		{ protocols: ['extended', 'binary'] },
	),
	...attacks(
		'names',
		'no-secret',
		{
			'search_path by startup options': 'select ssn from people',
			'search_path by startup options, after RESET': [
				'set search_path = lab',
				'reset search_path',
				'select ssn from people',
			],
			'search_path by startup options, after SET DEFAULT': [
				'set search_path = lab',
				'set search_path to default',
				'select ssn from people',
			],
			'search_path by startup options, after RESET ALL': [
				'set search_path = lab',
				'reset all',
				'select ssn from people',
			],
			'search_path by startup options, after DISCARD ALL': [
				'set search_path = lab',
				'discard all',
				'select ssn from people',
			],
		},
		{ startup: { options: '-c search_path=app' } },
	),
	...attacks(
		'names',
		'no-secret',
		{ 'search_path by a startup parameter': 'select ssn from people' },
		{ startup: { search_path: 'app' } },
	),
	...attacks(
		'names',
		'no-secret',
		{ 'search_path by startup options, written the long way': 'select ssn from people' },
		{ startup: { options: '--search_path=app\\,lab' } },
	),
	...attacks('names', 'no-secret', {
		'a mask does not call what the path has': [
			'set search_path = lab, pg_catalog',
			'select ssn, email, bonus, born from app.people',
		],
		'a mask is not cast to a type of the path': [
			'set search_path = lab, pg_catalog',
			'select ssn, token, prefs, search, photo from app.people',
		],
		'a filter does not use an operator of the path': [
			'set search_path = lab, pg_catalog',
			'select id, name from app.people',
		],
		'a filter of a partition does not use an operator of the path': [
			'set search_path = lab, pg_catalog',
			'select id, kind from app.events',
		],
		'a filter of a child does not use an operator of the path': [
			'set search_path = lab, pg_catalog',
			'select id, title, body from app.papers',
		],
		'a view does not call what the path has': [
			'set search_path = lab, pg_catalog',
			'select code, label from app.people_vv',
		],
		'a view of JSON does not call what the path has': ['set search_path = lab, pg_catalog', 'select j from app.json_v'],
		'a view does not compare by an operator of the path': [
			'set search_path = lab, pg_catalog',
			'select id, present from app.exists_v',
			'select * from app.barrier_v',
		],
		'a recursive view does not concatenate by an operator of the path': [
			'set search_path = lab, pg_catalog',
			'select * from app.tree_v',
		],
		'a metadata mask does not use what the path has': [
			'set search_path = lab, pg_catalog',
			'select query from pg_stat_activity',
			'select subconninfo from pg_subscription',
		],
		'a temporary table named like a type': [
			'create temp table text (a int)',
			'create temp table date (a int)',
			'select ssn, born from app.people',
		],
		'a prepared statement is planned again under another path': [
			'prepare q as select upper(name) from app.people',
			'execute q',
			'set search_path = lab, pg_catalog',
			'execute q',
		],
		'an operator of a prepared statement is resolved again under another path': [
			"prepare q as select id from app.people where name = 'x'",
			'execute q',
			'set search_path = lab, pg_catalog',
			'execute q',
		],
		'a type of a prepared statement is resolved again under another path': [
			'prepare q as select name::text from app.people',
			'execute q',
			'set search_path = lab, pg_catalog',
			'execute q',
		],
		'a function is called after a savepoint brings the path back': [
			'begin',
			'set local search_path = lab, pg_catalog',
			'savepoint a',
			'set local search_path = pg_catalog',
			'rollback to a',
			'select upper(name) from app.people',
			'rollback',
		],
		'a function is called after set_config': [
			"select set_config('search_path', 'lab, pg_catalog', false)",
			'select upper(name), name::text from app.people',
		],
	}),
	...attacks(
		'names',
		'no-secret',
		{
			'a batch changes the path and calls': 'set search_path = lab, pg_catalog; select upper(name) from app.people',
			'a batch changes the path and casts': 'set search_path = lab, pg_catalog; select name::text from app.people',
			'a batch changes the path by set_config and calls':
				"select set_config('search_path', 'lab, pg_catalog', false); select upper(name) from app.people",
			'a batch changes the path and writes': [
				'begin',
				'set search_path = lab, pg_catalog; update lab.inbox set line = upper(p.name) from app.people p',
				'rollback',
			],
		},
		{ protocols: ['simple'] },
	),
	...attacks('names', 'denied', {
		'a function of the path before pg_catalog': [
			'set search_path = lab, pg_catalog',
			'select lower(name) from app.people',
		],
		'a function of the path before pg_catalog, with a cast': [
			'set search_path = lab, pg_catalog',
			"select lower('x'::text)",
		],
		'an operator of the path': ['set search_path = app', "select id from depts where title =~~= 'x'"],
		'an aggregate that is a function in the path': ['set search_path = lab, pg_catalog', "select count('x'::text)"],
	}),
	...attacks(
		'names',
		'no-secret',
		{
			'the database as part of the name': (world) => `select ssn, ${world.own.id} from bank.app.people`,
		},
		{ bare: 'the database has another name there' },
	),
	...probes('names', {
		'a name that is resolved twice': {
			guesses: otherSsn,
			sql: (guess) => [
				'set search_path = lab, app',
				`select count(*) from app.people, lab.people l where app.people.ssn = '${guess}'`,
			],
		},
	}),
	...conversations('names', 'no-secret', {
		'a statement is parsed under one path and bound under another': async (client) => {
			await client.run('set search_path = lab');
			client.send(parse('s', 'select ssn from people'), sync());
			await client.waitFor('ReadyForQuery');
			await client.run('set search_path = app');
			client.send(...bindExecute('s'), sync());
			await client.waitFor('ReadyForQuery');
		},
		'the path is changed between Parse and Bind of a pipeline': async (client) => {
			await client.run('set search_path = lab');
			client.send(
				parse('s', 'select ssn from people'),
				parse('p', 'set search_path = app'),
				...bindExecute('p'),
				...bindExecute('s'),
				sync(),
			);
			await client.waitFor('ReadyForQuery');
		},
		'the path is changed before Parse of the same pipeline': async (client) => {
			await client.run('set search_path = lab');
			client.send(
				parse('p', 'set search_path = app'),
				...bindExecute('p'),
				parse('s', 'select ssn from people'),
				...bindExecute('s'),
				sync(),
			);
			await client.waitFor('ReadyForQuery');
		},
		'the path is set in a pipeline that fails later': async (client) => {
			await client.run('set search_path = app');
			client.send(
				parse('p', 'set search_path = lab'),
				...bindExecute('p'),
				parse('e', 'select 1/0'),
				...bindExecute('e'),
				sync(),
			);
			await client.waitFor('ReadyForQuery');
			await client.run('select ssn from people');
		},
		'a function is parsed under one path and bound under another': async (client) => {
			client.send(parse('s', 'select upper(name) from app.people'), sync());
			await client.waitFor('ReadyForQuery');
			await client.run('set search_path = lab, pg_catalog');
			client.send(...bindExecute('s'), sync());
			await client.waitFor('ReadyForQuery');
		},
		'a function is parsed in the pipeline that changes the path': async (client) => {
			client.send(
				parse('s', 'select upper(name) from app.people'),
				parse('p', 'set search_path = lab, pg_catalog'),
				...bindExecute('p'),
				...bindExecute('s'),
				sync(),
			);
			await client.waitFor('ReadyForQuery');
		},
		'a mask is bound under a path with other functions': async (client) => {
			client.send(parse('s', 'select ssn, email, born from app.people'), sync());
			await client.waitFor('ReadyForQuery');
			await client.run('set search_path = lab, pg_catalog');
			client.send(...bindExecute('s'), sync());
			await client.waitFor('ReadyForQuery');
		},
		'set_config with a bound value in a pipeline': async (client) => {
			await client.run('set search_path = lab');
			client.send(
				parse('p', "select set_config('search_path', $1, false)"),
				...bindExecute('p', ['app']),
				parse('s', 'select ssn from people'),
				...bindExecute('s'),
				sync(),
			);
			await client.waitFor('ReadyForQuery');
		},
	}),
];
