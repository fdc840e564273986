/** Attacks through functions, operators, casts and aggregates: the user's own and the harmful ones of the server. */
import { type AttackCase, attacks, conversations } from '../case.ts';
import { textRows } from '../client.ts';
import { bindExecute, functionCall, parse, sync } from '../messages.ts';

const own = attacks(
	'functions',
	'denied',
	{
		'a function without a rule': 'select app.ssn_of(101)',
		'a function in FROM': 'select * from app.ssn_of(101)',
		'a function in WHERE': "select id from app.depts where app.ssn_of(101) <> ''",
		'a function in LIMIT': 'select 1 limit length(app.ssn_of(101))',
		'a function in ORDER BY': 'select id from app.depts order by app.ssn_of(101)',
		'a function in VALUES': 'values (app.ssn_of(101))',
		'a function in a default': [
			'begin',
			'insert into lab.inbox (id, line) values (5, app.ssn_of(101)) returning line',
			'rollback',
		],
		'a function in RETURNING': ['begin', "insert into lab.inbox values (5, 'x') returning app.ssn_of(101)", 'rollback'],
		'a function in ON CONFLICT': [
			'begin',
			"insert into lab.inbox values (1, 'x') on conflict (id) do update set line = app.ssn_of(101) returning line",
			'rollback',
		],
		'a function in EXECUTE': ['prepare q (text) as select $1', 'execute q (app.ssn_of(101))'],
		'a function in COPY': 'copy (select app.ssn_of(101)) to stdout',
		'a function in a cursor': ['begin', 'declare c cursor for select app.ssn_of(101)', 'fetch c', 'rollback'],
		'a function in EXPLAIN': 'explain (analyze, verbose) select app.ssn_of(101)',
		'a function in a window frame':
			'select sum(1) over (order by id rows between length(app.ssn_of(101)) preceding and current row) from app.depts',
		'a function in a CASE that never runs': "select case when false then app.ssn_of(101) else 'x' end",
		'a function in ROWS FROM': 'select * from rows from (app.ssn_of(101), generate_series(1, 2))',
		'a function in LATERAL': 'select s from app.depts d, lateral app.ssn_of(d.id + 100) s',
		'a function in TABLESAMPLE': 'select * from app.depts tablesample bernoulli (length(app.ssn_of(101)))',
		'a function in GROUPING SETS': 'select count(*) from app.depts group by grouping sets ((app.ssn_of(101)), ())',
		'a function in XMLELEMENT': 'select xmlelement(name a, app.ssn_of(101))',
		'a function in a JSON constructor': "select json_object('a': app.ssn_of(101))",
		'a function in an array subscript': "select (array['x'])[length(app.ssn_of(101))]",
		'a function in COALESCE': "select coalesce(null, app.ssn_of(101), 'x')",
		'a function in a sublink': 'select (select app.ssn_of(101))',
		'a function in MERGE': [
			'begin',
			'merge into lab.inbox i using (values (1)) v (id) on v.id = i.id when matched then update set line = app.ssn_of(101) returning i.line',
			'rollback',
		],
		'a function that gives rows': "select * from app.people_of('globex')",
		'a function that gives rows, expanded': "select (app.people_of('globex')).*",
		'a field of what a function gives': "select (app.people_of('globex')).ssn",
		'a function with named notation': 'select app.ssn_of(n => 101)',
		'a function in quoted and escaped names': `select "app".U&"ssn\\005Fof"(101)`,
		'a function with its schema in the path': ['set search_path = app', 'select ssn_of(101)'],
		'a function by VARIADIC': "select app.many(variadic array['x'])",
		'a function with variadic arguments': "select app.many('a', 'b')",
		'a function by its defaults, which call another': 'select app.defaulted()',
		'another overload by an untyped literal': "select app.over('x')",
		'another overload by a cast': "select app.over('x'::text)",
		'another overload by a varchar': "select app.over('x'::varchar)",
		'a function that runs text': "select app.dyn('select ssn from app.people where id = 101')",
		'a function on the whole row': 'select app.full_name(p) from app.people p',
		'a function on the whole row by functional notation': [
			'set search_path = app',
			'select p.full_name from app.people p',
		],
		'a function on a row value made by hand': 'select app.full_name(row(p.*)::app.people) from app.people p',
		'a procedure without a rule': "call app.proc_no('x')",
		'an aggregate': 'select app.collect(name) from app.people',
		'an aggregate as a window function': 'select app.collect(title) over (order by id) from app.depts',
		'an aggregate that steals': 'select app.thief(title) from app.depts',
		'an aggregate with DISTINCT and FILTER': 'select app.thief(distinct title) filter (where id > 0) from app.depts',
		'an operator': "select 'x' operator(app.<+>) 101",
		'an operator by the path': ['set search_path = app', "select 'x'::text <+> 101"],
		'a prefix operator': 'select operator(app.~~~) 101',
		'an operator with ANY': "select 'x' operator(app.=~~=) any (array['a'])",
		'an operator with ANY of a sublink': "select 'x' operator(app.=~~=) any (select title from app.depts)",
		'an operator with a row': "select row('x', 'y') operator(app.=~~=) row('a', 'b')",
		'an operator in ORDER BY USING': 'select title from app.depts order by title using operator(app.=~~=)',
		'an operator in a join': 'select 1 from app.depts a join app.depts b on a.title operator(app.=~~=) b.title',
		'an operator in CASE': ['set search_path = app, pg_catalog', "select 1 where 'x'::text =~~= 'y'::text"],
		'an operator in NULLIF and IN': ['set search_path = app, pg_catalog', "select ('x' =~~= 'y') is true"],
		'a cast': "select 'x'::text::app.wrapped",
		'a cast by CAST': 'select cast(title as app.wrapped) from app.depts',
		'a cast that steals': 'select 101::app.stolen',
		'a cast that steals, by assignment': [
			'begin',
			'create temp table t (s app.stolen)',
			'insert into t values (101) returning s',
			'rollback',
		],
		'a cast of an array': "select array['x', 'y']::text[]::app.wrapped[]",
		'a domain that tells': "select 'x'::app.checked",
		'a domain that steals': "select 'x'::app.stealing",
		'a domain of an array': "select array['x']::app.stealing[]",
		'a domain in jsonb_to_record': 'select * from jsonb_to_record(\'{"a": "x"}\') as r (a app.stealing)',
		'a domain in XMLTABLE': "select * from xmltable('/a' passing '<a>x</a>' columns a app.stealing path '.')",
		'a domain in JSON_TABLE':
			"select * from json_table(jsonb '{\"a\": \"x\"}', '$' columns (a app.stealing path '$.a'))",
		'a domain in JSON_VALUE': `select json_value(jsonb '"x"', '$' returning app.stealing)`,
		'a domain by domain_in': "select domain_in('x'::cstring, 'app.stealing'::regtype, -1)",
		'a domain by array_in': "select array_in('{x}'::cstring, 'app.stealing'::regtype, -1)",
		'a domain by pg_input_is_valid': "select pg_input_is_valid('x', 'app.stealing')",
		'a domain by pg_input_error_info': "select * from pg_input_error_info('x', 'app.stealing')",
		'a domain in a record type': 'select * from json_populate_record(null::lab.row_of_domains, \'{"a": "x"}\')',
		'a domain in a record by a cast': "select '(x)'::lab.row_of_domains",
		'a domain in a record by record_in': "select record_in('(x)'::cstring, 'lab.row_of_domains'::regtype, -1)",
		'a domain in a record by ROW': "select row('x')::lab.row_of_domains",
		'a domain over a domain': "select 'x'::lab.domain_of_domain",
		'a domain in json_to_recordset': 'select * from json_to_recordset(\'[{"a": "x"}]\') as r (a app.stealing)',
		'a domain as a column': ['begin', 'create temp table t (a app.stealing)', "insert into t values ('x')", 'rollback'],
		'a domain as a parameter': ['prepare q (app.stealing) as select 1', "execute q ('x')"],
		'CREATE FUNCTION': [
			'begin',
			"create function lab.f() returns text language sql security definer as 'select ssn from app.people where id = 101'",
			'select lab.f()',
			'rollback',
		],
		'CREATE TEMP FUNCTION': [
			'begin',
			"create function pg_temp.f() returns text language sql as 'select ssn from app.people where id = 101'",
			'select pg_temp.f()',
			'rollback',
		],
		'CREATE FUNCTION with BEGIN ATOMIC': [
			'begin',
			'create function lab.f() returns text begin atomic select ssn from app.people where id = 101; end',
			'select lab.f()',
			'rollback',
		],
		'CREATE PROCEDURE': [
			'begin',
			"create procedure lab.p(inout t text) language sql as 'select ssn from app.people where id = 101'",
			"call lab.p('x')",
			'rollback',
		],
		'CREATE AGGREGATE': [
			'begin',
			'create aggregate lab.a (text) (sfunc = app.steal, stype = text)',
			'select lab.a(title) from app.depts',
			'rollback',
		],
		'CREATE OPERATOR': [
			'begin',
			'create operator lab.# (leftarg = text, rightarg = int, function = app.give)',
			"select 'x' operator(lab.#) 101",
			'rollback',
		],
		'CREATE CAST': ['begin', 'create cast (bigint as app.stolen) with inout', "select '(x)'::app.stolen", 'rollback'],
		'CREATE DOMAIN with a check': [
			'begin',
			'create domain lab.d as text check (app.check_steal(value))',
			"select 'x'::lab.d",
			'rollback',
		],
		'CREATE CONVERSION': ['begin', "create conversion lab.c for 'LATIN1' to 'UTF8' from iso8859_1_to_utf8", 'rollback'],
		'ALTER FUNCTION': ['begin', 'alter function app.headcount() leakproof', 'rollback'],
		'ALTER FUNCTION SET': ['begin', 'alter function app.headcount() set row_security = off', 'rollback'],
		'a function in a table default': [
			'begin',
			'create temp table t (a int, b text default app.ssn_of(101))',
			'insert into t values (1) returning b',
			'rollback',
		],
		'a function in a check constraint': [
			'begin',
			'create temp table t (a text check (app.check_steal(a)))',
			"insert into t values ('x')",
			'rollback',
		],
		'a function in a generated column': [
			'begin',
			'create temp table t (a int, b int generated always as (app.plus_one(a)) stored, c text default app.ssn_of(101))',
			'insert into t values (1) returning *',
			'rollback',
		],
		'a function in an index': [
			'begin',
			'create table lab.t (a text)',
			'create index on lab.t ((app.over(a)))',
			'rollback',
		],
		'a function in a partition key': [
			'begin',
			'create table lab.p (a text default app.ssn_of(101)) partition by list (a)',
			'rollback',
		],
		'a function in a view': ['begin', 'create temp view v as select app.ssn_of(101)', 'table v', 'rollback'],
		'a function in CTAS': ['begin', 'create temp table t as select app.ssn_of(101) as s', 'table t', 'rollback'],
	},
	{ sqlstates: ['42501', '0A000', '42883'] },
);

const neverOwn: Readonly<Record<string, string>> = {
	'a function in TABLESAMPLE': 'the argument is checked first',
	'a function in a window frame': 'the argument is checked first',
	'an operator in ORDER BY USING': 'the operator is of no operator class',
	'an operator with a row': 'the operator is of no operator class',
	'a function in an index': 'the function must be immutable there',
	'a function in an array subscript': 'it answers NULL',
	'CREATE CAST': 'the types are of the wrong kind there',
};

const harmful = attacks('functions', 'no-secret', {
	pg_read_file: (w) => `select pg_read_file('${w.fileName}')`,
	'pg_read_file with a range': (w) => `select pg_read_file('${w.fileName}', 0, 100)`,
	'pg_read_file by functional notation': (w) => `select ('${w.fileName}'::text).pg_read_file`,
	'pg_read_file in FROM': (w) => `select * from pg_read_file('${w.fileName}')`,
	'pg_read_file by its full name': (w) => `select pg_catalog.pg_read_file('${w.fileName}', true)`,
	pg_read_binary_file: (w) => `select pg_read_binary_file('${w.fileName}')`,
	pg_ls_dir: "select string_agg(f, ' ') from pg_ls_dir('.') f",
	pg_stat_file: (w) => `select size from pg_stat_file('${w.fileName}')`,
	lo_get: 'select lo_get(424242)',
	'lo_get as text': "select convert_from(lo_get(424242), 'UTF8')",
	loread: ['begin', 'select loread(lo_open(424242, 262144), 1000)', 'rollback'],
	lo_export: "select lo_export(424242, '/dev/null')",
	query_to_xml: "select query_to_xml('select ssn from app.people', true, false, '')",
	table_to_xml: "select table_to_xml('app.people', true, false, '')",
	schema_to_xml: "select schema_to_xml('app', true, false, '')",
	database_to_xml: "select database_to_xml(true, false, '')",
	cursor_to_xml: [
		'begin',
		'declare c cursor for select ssn from app.people',
		"select cursor_to_xml('c', 10, true, false, '')",
		'rollback',
	],
	query_to_xml_and_xmlschema: "select query_to_xml_and_xmlschema('table app.people', true, false, '')",
	'table_to_xml of a regclass':
		"select table_to_xml(c.oid, true, false, '') from pg_class c where relname = 'people' and relnamespace = 'app'::regnamespace",
	ts_stat: "select word from ts_stat('select search from app.people')",
	'ts_stat with a cast':
		"select word from ts_stat('select to_tsvector(''simple'', ssn || '' '' || notes) from app.people')",
	'ts_rewrite with a query':
		"select ts_rewrite('a'::tsquery, 'select ''a''::tsquery, plainto_tsquery(''simple'', string_agg(notes, '' '')) from app.people')",
	'xpath_table and others that are not there': "select xpath_table('id', 'doc', 'app.people', '//ssn', 'true')",
	dblink: "select * from dblink('dbname=bank', 'select ssn from app.people') as t (s text)",
	currtid2: "select currtid2('app.people', '(0,1)')",
	pg_sequence_last_value: "select pg_sequence_last_value('app.invoice_seq')",
	nextval: "select nextval('app.invoice_seq')::text",
	'currval and lastval': [
		"select nextval('app.invoice_seq')",
		"select currval('app.invoice_seq')::text, lastval()::text",
	],
	setval: "select setval('app.ticket_seq', 5)",
	'pg_get_expr of statistics': 'select pg_get_expr(stxexprs, stxrelid) from pg_statistic_ext',
	pg_mcv_list_items: 'select m.* from pg_statistic_ext_data d, pg_mcv_list_items(d.stxdmcv) m',
	pg_stat_get_activity: 'select query from pg_stat_get_activity(null)',
	pg_stat_get_backend_activity: 'select pg_stat_get_backend_activity(i) from pg_stat_get_backend_idset() i',
	pg_show_all_file_settings:
		"select pg_current_logfile(), pg_read_file('postgresql.conf') like '%' || (select current_setting('data_directory')) || '%'",
	pg_logical_emit_message: "select pg_logical_emit_message(false, 'x', 'y')",
	pg_create_logical_replication_slot: "select pg_create_logical_replication_slot('intruder', 'test_decoding', true)",
	pg_terminate_backend: 'select pg_terminate_backend(0)',
	pg_reload_conf: 'select pg_reload_conf()',
	'binary_upgrade functions': "select binary_upgrade_set_next_pg_type_oid('0')",
	'brin and gin page functions': "select gin_clean_pending_list('app.people_pkey')",
	'has_table_privilege is harmless, to_regclass too':
		"select pg_relation_filepath('app.people') is not null and pg_read_binary_file(pg_relation_filepath('app.people')) is null",
	'a data file of the table': "select encode(pg_read_binary_file(pg_relation_filepath('app.people')), 'escape')",
	'a data file of the toast or index': "select pg_read_binary_file(pg_relation_filepath('app.people_ssn_key'))",
	'set_config of role':
		"select set_config('role', 'pg_monitor', false), set_config('session_authorization', current_user, false)",
	lo_import: (w) => ['begin', `select lo_import('${w.fileName}', 424243)`, 'select lo_get(424243)', 'rollback'],
	pg_export_snapshot: ['begin', 'select pg_export_snapshot()', 'rollback'],
	'a harmful function in a hidden place': (w) =>
		`select 1 from generate_series(1, 1) n order by case when n = 2 then '' else pg_read_file('${w.fileName}') end`,
	'a harmful function as a window argument': (w) =>
		`select lag(pg_read_file('${w.fileName}'), 0) over () from app.depts`,
	'a harmful function behind a cast of its name': (w) => `select pg_read_file(('${w.fileName}'::name)::text)`,
	'a harmful function in COPY': (w) => `copy (select pg_read_file('${w.fileName}')) to stdout`,
	'a harmful function in a default': [
		'begin',
		'create temp table t (a int, b text default lo_get(424242)::text)',
		'insert into t values (1) returning b',
		'rollback',
	],
});

const neverHarmful: Readonly<Record<string, string>> = {
	pg_ls_dir: 'names of files are no secrets of the fixture',
	pg_stat_file: 'a size is no secret of the fixture',
	lo_export: 'it answers a number',
	'xpath_table and others that are not there': 'the function is not there',
	dblink: 'the extension is not there',
	currtid2: 'it answers the place of a row',
	setval: 'it answers its argument',
	'pg_get_expr of statistics': 'an expression has no values',
	pg_show_all_file_settings: 'it answers true or false',
	pg_logical_emit_message: 'it answers a position',
	pg_create_logical_replication_slot: 'the plug-in is not there',
	pg_terminate_backend: 'there is no such process',
	pg_reload_conf: 'it answers true',
	'binary_upgrade functions': 'only the upgrade may call them',
	'brin and gin page functions': 'the index is of another kind',
	'has_table_privilege is harmless, to_regclass too': 'it answers true or false',
	'set_config of role': 'it answers its arguments',
	pg_export_snapshot: 'it answers a name',
	'a harmful function in a hidden place': 'it answers nothing of the file',
};

const newer = attacks(
	'functions',
	'no-secret',
	{
		'JSON_SCALAR as a function': "select json_scalar('x')",
		'JSON_SERIALIZE as a function': "select json_serialize('x')",
		'JSON_VALUE as a function': "select json_value(jsonb '{}', '$.a')",
		'JSON_QUERY as a function': "select json_query(jsonb '{}', '$.a')",
		'JSON_EXISTS as a function': "select json_exists(jsonb '{}', '$.a')",
		'JSON_ARRAY as a function': "select json_array('x')",
		'JSON_ARRAYAGG as a function': 'select json_arrayagg(title) from app.depts',
		'MERGE_ACTION as a function': 'select merge_action()',
		'JSON_SCALAR as a function in FROM': "select * from json_scalar('x')",
		'JSON_SCALAR as a function in a default': [
			'begin',
			"create temp table t (a int, b text default json_scalar('x'))",
			'insert into t values (1) returning b',
			'rollback',
		],
	},
	{ bare: 'a server of today has them built in, older ones call what a user made' },
);

const typed = conversations('functions', 'no-secret', {
	'a parameter of the type of a domain': async (client) => {
		const oid = Number(textRows(await client.run("select 'app.stealing'::regtype::oid"))[0]?.[0]);
		client.send(parse('', 'select $1', [oid]), ...bindExecute('', ['x']), sync());
		await client.waitFor('ReadyForQuery');
	},
	'a parameter of the type of an array of domains': async (client) => {
		const oid = Number(textRows(await client.run("select 'app.stealing[]'::regtype::oid"))[0]?.[0]);
		client.send(parse('', 'select $1', [oid]), ...bindExecute('', ['{x}']), sync());
		await client.waitFor('ReadyForQuery');
	},
	'a parameter that becomes a domain': async (client) => {
		client.send(parse('', 'select $1::app.stealing'), ...bindExecute('', ['x']), sync());
		await client.waitFor('ReadyForQuery');
	},
	'a parameter of a record type with a domain': async (client) => {
		const oid = Number(textRows(await client.run("select 'lab.row_of_domains'::regtype::oid"))[0]?.[0]);
		client.send(parse('', 'select $1', [oid]), ...bindExecute('', ['(x)']), sync());
		await client.waitFor('ReadyForQuery');
	},
	'FunctionCall of domain_in': async (client) => {
		const oid = textRows(await client.run("select 'app.stealing'::regtype::oid"))[0]?.[0] ?? '';
		client.send(functionCall(2597, ['x', oid, '-1']));
		await client.waitFor('ReadyForQuery');
	},
	'FunctionCall of array_in': async (client) => {
		const oid = textRows(await client.run("select 'app.stealing'::regtype::oid"))[0]?.[0] ?? '';
		client.send(functionCall(750, ['{x}', oid, '-1']));
		await client.waitFor('ReadyForQuery');
	},
});

const calls = conversations('functions', 'no-secret', {
	'FunctionCall of a function without a rule': async (client) => {
		const oid = Number(textRows(await client.run("select 'app.ssn_of(int)'::regprocedure::oid"))[0]?.[0]);
		client.send(functionCall(oid, ['101']));
		await client.waitFor('ReadyForQuery');
	},
	'FunctionCall in binary': async (client) => {
		const oid = Number(textRows(await client.run("select 'app.ssn_of(int)'::regprocedure::oid"))[0]?.[0]);
		client.send(functionCall(oid, [Buffer.from([0, 0, 0, 101])], 1));
		await client.waitFor('ReadyForQuery');
	},
	'FunctionCall of lo_get': async (client) => {
		client.send(functionCall(3458, ['424242']));
		await client.waitFor('ReadyForQuery');
	},
	'FunctionCall of pg_read_file': async (client, world) => {
		client.send(functionCall(2624, [world.fileName, '0', '1000']));
		client.send(functionCall(3826, [world.fileName]));
		await client.waitFor('ReadyForQuery', 2);
	},
	'FunctionCall of query_to_xml': async (client) => {
		client.send(functionCall(2924, ['select ssn from app.people', 't', 'f', '']));
		await client.waitFor('ReadyForQuery');
	},
	'FunctionCall of set_config and a read': async (client) => {
		client.send(functionCall(2078, ['search_path', 'app', 'f']));
		await client.waitFor('ReadyForQuery');
		await client.run('select ssn from people');
	},
	'FunctionCall of a harmful function in a transaction': async (client) => {
		await client.run('begin');
		client.send(functionCall(3458, ['424242']));
		await client.waitFor('ReadyForQuery');
		await client.run('select lo_get(424242)');
		await client.run('rollback');
	},
	'FunctionCall between messages of a pipeline': async (client) => {
		client.send(parse('', 'select 1'), ...bindExecute(''), functionCall(3458, ['424242']), sync());
		await client.waitFor('ReadyForQuery', 2);
	},
});

export const functions: readonly AttackCase[] = [
	...own.map((attack) => ({ ...attack, bare: neverOwn[attack.name] ?? null })),
	...harmful.map((attack) => ({ ...attack, bare: neverHarmful[attack.name] ?? null })),
	...newer,
	...typed,
	...calls,
];
