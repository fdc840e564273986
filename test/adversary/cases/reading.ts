/** Attacks that read a protected column or row in some place of the grammar. */
import { type AttackCase, attacks, probes } from '../case.ts';
import { otherId, otherName, ownSsn } from '../guesses.ts';

const selectList = attacks('reading', 'masked', {
	'every column': 'select * from app.people',
	'every column of an alias': 'select p.* from app.people p',
	'one masked column': 'select ssn from app.people',
	'every masked column':
		'select ssn, email, salary, bonus, born, pin, token, prefs, tags, home, search, doc from app.people',
	'rows of others': 'select id, tenant, name from app.people',
	'rows of others by id': 'select name from app.people where id = 101',
	'a whole row': 'select p from app.people p',
	'a whole row as text': 'select p::text from app.people p',
	'a whole row in an array': 'select array_agg(p) from app.people p',
	'a whole row in ROW': 'select row(p, 1) from app.people p',
	'ROW of a star': 'select row(p.*) from app.people p',
	'the row as a record, expanded': 'select (p).* from app.people p',
	'a field of the whole row': 'select (p).ssn from app.people p',
	'a field by functional notation': 'select ssn(p) from app.people p',
	'a field by functional notation of an unaliased table': 'select ssn(people) from app.people',
	'to_json of the row': 'select to_json(p) from app.people p',
	row_to_json: 'select row_to_json(p) from app.people p',
	'row_to_json, pretty': 'select row_to_json(p, true) from app.people p',
	'to_jsonb, one key': "select to_jsonb(p) ->> 'ssn' from app.people p",
	'json_agg of the row': 'select json_agg(p) from app.people p',
	'jsonb_agg of a star': 'select jsonb_agg(to_jsonb(p.*)) from app.people p',
	json_build_object: "select json_build_object('s', ssn, 'p', salary) from app.people",
	json_object_agg: 'select json_object_agg(id, ssn) from app.people',
	'JSON constructors of the standard': "select json_object('s': ssn), json_array(ssn, salary) from app.people",
	JSON_ARRAYAGG: 'select json_arrayagg(ssn) from app.people',
	JSON_OBJECTAGG: 'select json_objectagg(id: ssn) from app.people',
	'JSON_SCALAR and JSON_SERIALIZE': 'select json_scalar(ssn), json_serialize(json_scalar(ssn)) from app.people',
	'JSON_QUERY over the row': "select json_query(to_jsonb(p), '$.ssn') from app.people p",
	'JSON_VALUE over the row': "select json_value(to_jsonb(p), '$.ssn') from app.people p",
	'JSON_TABLE over the row':
		"select t.s from app.people p, json_table(to_jsonb(p), '$' columns (s text path '$.ssn')) t",
	'a jsonb subscript': "select prefs['theme'] from app.people",
	'a json arrow': "select prefs -> 'theme', prefs ->> 'theme', prefs #>> '{theme}' from app.people",
	jsonb_each: 'select e.* from app.people, jsonb_each(prefs) e',
	'jsonb_each_text in the select list': 'select jsonb_each_text(prefs) from app.people',
	jsonb_populate_record: 'select * from app.people p, jsonb_to_record(to_jsonb(p)) as r (ssn text)',
	'an array element': 'select tags[1] from app.people',
	'an array slice': 'select tags[1:1] from app.people',
	'unnest of an array column': 'select unnest(tags) from app.people',
	'unnest in FROM': 'select t from app.people, unnest(tags) t',
	array_to_string: "select array_to_string(tags, ',') from app.people",
	'a field of a composite column': 'select (home).street from app.people',
	'a field of a composite column with its table': 'select (p.home).street from app.people p',
	'all fields of a composite column': 'select (home).* from app.people',
	'a composite column as text': 'select home::text from app.people',
	'the words of a tsvector': 'select search from app.people',
	'unnest of a tsvector': 'select (unnest(search)).lexeme from app.people',
	xmlforest: 'select xmlforest(ssn, salary) from app.people',
	'xmlelement with attributes': 'select xmlelement(name p, xmlattributes(ssn as s), salary) from app.people',
	'xmlagg and xmlconcat': 'select xmlagg(xmlconcat(xmlelement(name a, ssn), xmlcomment(name))) from app.people',
	xpath: "select xpath('//ssn/text()', doc) from app.people",
	xmltable: "select x.s from app.people, xmltable('/card' passing doc columns s text path 'ssn') x",
	xmlserialize: 'select xmlserialize(content doc as text) from app.people',
	'xmlpi and xmlroot': "select xmlroot(xmlelement(name a, ssn), version '1.0') from app.people",
	'a hex encoding': "select encode(ssn::bytea, 'hex') from app.people",
	'a base64 encoding': "select encode(convert_to(ssn, 'UTF8'), 'base64') from app.people",
	reversed: 'select reverse(ssn) from app.people',
	'in capitals': 'select upper(ssn) from app.people',
	'a part': 'select substr(ssn, 1, 8) from app.people',
	'a part by SUBSTRING FROM FOR': 'select substring(ssn from 1 for 8) from app.people',
	'a part by a regular expression': "select substring(ssn from '^(........)') from app.people",
	letters: "select string_agg(c, ',') from app.people, regexp_split_to_table(ssn, '') c where id = 1",
	'letters by generate_series':
		"select string_agg(substr(ssn, n, 1), ',' order by n) from app.people, generate_series(1, length(ssn)) n where id = 1",
	'a hash': 'select md5(ssn), sha256(ssn::bytea) from app.people',
	format: "select format('%s %L %I', ssn, salary, name) from app.people",
	concat_ws: "select concat_ws('/', ssn, email, salary) from app.people",
	concatenated: "select ssn || '' || name from app.people",
	'quote_literal and quote_nullable': 'select quote_literal(ssn), quote_nullable(salary) from app.people',
	'a cast of the number': 'select salary::text, salary::numeric, salary::float8, salary::varchar from app.people',
	'arithmetic that undoes itself': 'select salary + 1 - 1, -(-salary), salary * 2 / 2 from app.people',
	CASE: "select case when true then ssn else '' end from app.people",
	'COALESCE, NULLIF, GREATEST and LEAST':
		"select coalesce(ssn, ''), nullif(ssn, ''), greatest(ssn, ''), least(ssn, 'zzzz') from app.people",
	'a date in other formats':
		"select to_char(born, 'YYYY-MM-DD'), born::timestamp, born::text, to_char(born, 'DD.MM.YYYY') from app.people",
	'EXTRACT of a date': "select extract(year from born) || '-' || to_char(born, 'MM-DD') from app.people",
	'a COLLATE clause': 'select ssn collate "C" from app.people',
	'a type cast in front': 'select cast(ssn as varchar(40)), ssn::char(20), ssn::name from app.people',
	'a window function':
		'select first_value(ssn) over (order by id), lag(ssn) over w, array_agg(ssn) over w from app.people window w as (order by id)',
	aggregates: "select min(ssn), max(ssn), string_agg(ssn, ','), array_agg(ssn), max(salary) from app.people",
	'aggregates of one row': 'select sum(salary), avg(salary), min(pin) from app.people where id = 1',
	'an aggregate with FILTER and ORDER BY':
		"select string_agg(ssn, ',' order by salary) filter (where salary > 0) from app.people",
	'percentile and mode':
		'select mode() within group (order by ssn), percentile_disc(0.5) within group (order by ssn) from app.people',
	any_value: 'select any_value(ssn) from app.people group by tenant',
	'a set-returning function of the column': "select regexp_split_to_table(ssn, ',') from app.people",
	'generate_series with the number': 'select generate_series(salary, salary) from app.people',
	'system columns beside': 'select tableoid, ctid, xmin, ssn from app.people',
	'letters of several bytes before it': "select 'é😀ﬃ漢字', ssn from app.people -- ü",
	'letters of several bytes in names':
		'select "é😀".ssn as "漢字", "é😀".name from app.people as "é😀" where "é😀".id > 0',
	'letters of several bytes in a comment': '/* 😀😀😀😀😀😀 */ select /* é */ ssn from /* ﬃ */ app.people /* 漢 */',
	'letters of several bytes and several tables':
		"with c as (select 'ééé' as e, ssn from app.people) select c.*, a.iban, '😀' from c, app.accounts a",
	'a comment at the end': 'select ssn from app.people --',
	'a comment at the end of a join': 'select p.ssn, a.iban from app.people p, app.accounts a --',
	'JSON_EXISTS with PASSING':
		"select json_exists(to_jsonb(p), '$.ssn ? (@ == $x)' passing ssn as x), ssn from app.people p",
	'ROWS FROM with a column definition list':
		'select r.ssn from app.people p, rows from (json_to_record(to_json(p)) as (ssn text)) r',
	'a row of several tables':
		'select (p, a, d) from app.people p, app.accounts a, app.depts d where a.owner_id = p.id and d.id = p.dept_id',
	'a positional ORDER BY beyond a hidden column': 'select * from app.people order by 10, 9, 5',
	'an alias that needs quotes': 'select "a""b; --".ssn from app.people as "a""b; --"',
	'a parameter beside': [{ sql: 'select ssn, $1::int from app.people', params: ['1'], protocol: 'extended' }],
});

const clauses = attacks('reading', 'masked', {
	'a subquery in FROM': 'select s.x from (select ssn as x from app.people) s',
	'a subquery without an alias': 'select ssn from (select * from app.people)',
	'nested subqueries': 'select * from (select * from (select * from (select * from app.people) a) b) c',
	'a join': 'select p.ssn, a.iban from app.people p join app.accounts a on a.owner_id = p.id',
	'a join the other way round': 'select a.iban, p.ssn from app.accounts a right join app.people p on a.owner_id = p.id',
	'a left join from an open table': 'select d.title, p.ssn from app.depts d left join app.people p on p.dept_id = d.id',
	'a full join': 'select p.ssn, q.ssn from app.people p full join app.people q using (id)',
	'a self join': 'select a.ssn, b.name from app.people a, app.people b where a.id <> b.id',
	'NATURAL JOIN': 'select * from app.people natural join (select 1 as id) x',
	USING: 'select * from app.people join (select 1 as id) x using (id)',
	'USING on the masked column': 'select ssn from app.people a join app.people b using (ssn)',
	'a cross join in parentheses': 'select * from (app.people cross join app.depts)',
	LATERAL: 'select x.ssn from app.depts d, lateral (select ssn from app.people p where p.dept_id = d.id) x',
	'LATERAL values': 'select v.x from app.people p, lateral (values (p.ssn), (p.email)) v (x)',
	'LATERAL function': 'select v from app.people p, lateral unnest(array[p.ssn, p.email]) v',
	'ROWS FROM': 'select r.* from app.people p, rows from (unnest(array[p.ssn]), generate_series(1, 1)) r',
	'a CTE': 'with c as (select * from app.people) select ssn from c',
	'a CTE of a CTE': 'with a as (select * from app.people), b as (select * from a) select * from b',
	'a materialized CTE': 'with c as materialized (select * from app.people) select * from c',
	'a recursive CTE':
		'with recursive r as (select id, ssn, 0 as n from app.people where id = 1 union all select p.id, p.ssn, n + 1 from r join app.people p on p.manager_id = r.id) select * from r',
	'a recursive CTE with SEARCH':
		'with recursive r as (select id, ssn from app.people where id = 1 union all select p.id, p.ssn from r join app.people p on p.manager_id = r.id) search depth first by ssn set o select o, ssn from r',
	'a recursive CTE with CYCLE':
		'with recursive r as (select id, ssn from app.people where id = 1 union all select p.id, p.ssn from r join app.people p on p.manager_id = r.id) cycle ssn set c using path select path from r',
	'a scalar sublink': 'select (select ssn from app.people where id = 1)',
	'an ARRAY sublink': 'select array(select ssn from app.people)',
	'a ROW sublink': 'select (select (ssn, salary) from app.people where id = 1)',
	'a sublink in CASE': 'select case when exists (select from app.people) then (select min(ssn) from app.people) end',
	'a sublink in VALUES': 'values ((select ssn from app.people where id = 1))',
	'a sublink in LIMIT': 'select ssn from app.people limit (select count(*) from app.people)',
	'a sublink in ORDER BY': 'select ssn from app.people order by (select max(ssn) from app.people)',
	'a sublink in a function argument': 'select upper((select ssn from app.people where id = 1))',
	'a sublink in FROM of a function': 'select * from unnest(array(select ssn from app.people))',
	'a sublink in an array':
		'select array[(select ssn from app.people where id = 1), (select iban from app.accounts where id = 10)]',
	'a sublink in JSON': "select json_object('x': (select ssn from app.people where id = 1))",
	'a sublink in XML': 'select xmlelement(name x, (select ssn from app.people where id = 1))',
	'a correlated sublink': 'select (select p.ssn) from app.people p',
	UNION: 'select ssn from app.people union select iban from app.accounts',
	'UNION ALL under a constant': "select 'x' union all select ssn from app.people",
	INTERSECT: 'select ssn from app.people intersect select ssn from app.people',
	EXCEPT: "select ssn from app.people except select 'x'",
	'a set operation in parentheses':
		'(select ssn from app.people) union all (select notes_of from (select name as notes_of from app.people) n)',
	TABLE: 'table app.people',
	'TABLE in a subquery': 'select ssn from (table app.people) t',
	'TABLE in a CTE': 'with t as (table app.people) table t',
	'TABLE ONLY': 'table only app.people',
	ONLY: 'select ssn from only app.people',
	'ONLY in parentheses': 'select ssn from only (app.people)',
	'a star after the name': 'select ssn from app.people *',
	TABLESAMPLE: 'select ssn, name from app.people tablesample bernoulli (100)',
	'TABLESAMPLE REPEATABLE': 'select ssn from app.people p tablesample system (100) repeatable (1)',
	'GROUP BY the masked column': 'select ssn from app.people group by ssn',
	'GROUP BY a position': 'select ssn, count(*) from app.people group by 1',
	'GROUP BY the primary key': 'select id, ssn, name from app.people group by id',
	'GROUPING SETS': 'select ssn, salary from app.people group by grouping sets ((ssn), (salary), (ssn, salary))',
	'CUBE and ROLLUP': 'select ssn, tenant from app.people group by cube (ssn), rollup (tenant)',
	HAVING: 'select max(ssn) from app.people having max(ssn) is not null',
	DISTINCT: 'select distinct ssn from app.people',
	'DISTINCT ON': 'select distinct on (ssn) ssn, salary from app.people order by ssn',
	'ORDER BY LIMIT OFFSET FETCH':
		'select ssn from app.people order by salary desc offset 0 fetch first 3 rows with ties',
	'FOR UPDATE': ['begin', 'select ssn from app.people for update', 'rollback'],
	'FOR SHARE OF an alias': [
		'begin',
		'select p.ssn from app.people p, app.depts d for share of p skip locked',
		'rollback',
	],
	'an INTO that is none': 'select ssn as into_this from app.people',
	'PREPARE and EXECUTE': ['prepare q as select ssn from app.people', 'execute q', 'deallocate q'],
	'PREPARE with a parameter': [
		'prepare q (int) as select ssn from app.people where id >= $1',
		'execute q (1)',
		'execute q ((1 + 0))',
	],
	'a cursor': ['begin', 'declare c cursor for select ssn from app.people', 'fetch all from c', 'rollback'],
	'a scrollable cursor with hold': [
		'declare c scroll cursor with hold for select ssn from app.people',
		'fetch forward 2 from c',
		'fetch last from c',
		'fetch absolute 1 from c',
		'close c',
	],
	'a binary cursor': [
		'begin',
		'declare c binary cursor for select ssn, salary from app.people',
		'fetch 10 in c',
		'commit',
	],
	'a cursor and MOVE': ['begin', 'declare c cursor for table app.people', 'move 1 in c', 'fetch all c', 'commit'],
	'COPY of a query': 'copy (select ssn from app.people) to stdout',
	'COPY of a table': 'copy app.people (id, ssn, salary, name) to stdout',
	'COPY as CSV': "copy (select * from app.people) to stdout with (format csv, header true, delimiter ';')",
	'COPY of a query in binary': 'copy (select ssn, salary from app.people) to stdout (format binary)',
	'COPY of TABLE': 'copy (table app.people) to stdout',
	'COPY of VALUES': 'copy (values ((select ssn from app.people where id = 1))) to stdout',
	'COPY of a partition': 'copy app.events_new_rest (id, payload) to stdout',
	'COPY in the old syntax': "copy app.people (ssn, name) to stdout with delimiter '|' null 'x' csv header",
	'CREATE TEMP TABLE AS': ['create temp table t as select ssn, salary from app.people', 'select * from t'],
	'CREATE TEMP TABLE AS TABLE': ['create temp table t as select * from (table app.people) x', 'select * from t'],
	'CREATE TABLE AS': ['create table lab.t1 as select ssn from app.people', 'table lab.t1', 'drop table lab.t1'],
	'CREATE TABLE AS EXECUTE': ['prepare q as select ssn from app.people', 'create temp table t as execute q', 'table t'],
	'SELECT INTO': ['select ssn, id into temp t from app.people', 'select * from t'],
	'SELECT INTO TEMPORARY TABLE': ['select * into temporary table t from app.people', 'select * from t'],
	'a temporary table by INSERT': [
		'create temp table t (s text)',
		'insert into t select ssn from app.people',
		'table t',
	],
	'INSERT ... SELECT RETURNING': [
		'begin',
		'insert into lab.inbox (id, line) select id + 100, ssn from app.people returning line',
		'rollback',
	],
	'INSERT ... VALUES of a sublink': [
		'begin',
		'insert into lab.inbox values (100, (select ssn from app.people where id = 1)) returning *',
		'rollback',
	],
	'INSERT ... ON CONFLICT SET from a sublink': [
		'begin',
		"insert into lab.inbox values (1, 'x') on conflict (id) do update set line = (select ssn from app.people where id = 1) returning line",
		'rollback',
	],
	'UPDATE ... FROM': [
		'begin',
		'update lab.inbox i set line = p.ssn from app.people p where p.id = i.id returning i.line, p.ssn',
		'rollback',
	],
	'UPDATE ... SET a row': [
		'begin',
		'update lab.inbox set (line, amount) = (select ssn, salary from app.people where id = 1) returning *',
		'rollback',
	],
	'DELETE ... USING': [
		'begin',
		'delete from lab.inbox i using app.people p where p.id = i.id returning p.ssn, p.salary',
		'rollback',
	],
	'a writable CTE': [
		'begin',
		'with w as (insert into lab.inbox select id + 50, ssn, salary from app.people returning *) select * from w',
		'rollback',
	],
	'MERGE from it': [
		'begin',
		'merge into lab.inbox i using app.people p on p.id = i.id when matched then update set line = p.ssn when not matched then insert values (p.id + 100, p.ssn, p.salary)',
		'select * from lab.inbox',
		'rollback',
	],
	'MERGE RETURNING': [
		'begin',
		'merge into lab.inbox i using (select * from app.people) p on p.id = i.id when matched then update set line = p.ssn returning merge_action(), i.*, p.ssn',
		'rollback',
	],
	'RETURNING a sublink': [
		'begin',
		"insert into lab.inbox values (5, 'x') returning (select ssn from app.people where id = 1)",
		'rollback',
	],
	'RETURNING old and new': [
		'begin',
		'update lab.inbox i set line = p.ssn from app.people p where p.id = i.id returning old.line, new.line',
		'rollback',
	],
	'the parent of a partition': 'select payload, kind from app.events',
	'a partition': 'select payload, kind from app.events_old',
	'a partition of a partition': 'select payload, kind from app.events_new_rest',
	'a middle partition': 'select * from app.events_new',
	'the parent in inheritance': 'select title, body from app.papers',
	'a child': 'select title, body from app.papers_private',
	'a foreign table': 'select line from app.ext',
	'a column rename and a filter on top':
		"select * from (select ssn as a, name as b from app.people) x where a like '%' and b <> ''",
	'operators of sublinks': 'select id, ssn from app.people where ssn = any (select ssn from app.people)',
	'IS DISTINCT, BETWEEN and IN':
		"select ssn from app.people where ssn is distinct from 'x' and salary is null or ssn in ('a', ssn) or ssn between ' ' and 'zz'",
	'OVERLAPS, AT TIME ZONE and casts':
		"select ssn from app.people where (hired, interval '1 day') overlaps (hired at time zone 'utc' at time zone 'utc', interval '2 days')",
	'GROUPING, CURRENT_USER and others beside':
		'select ssn, grouping(ssn), current_user, current_catalog from app.people group by ssn',
});

const denied = attacks(
	'reading',
	'denied',
	{
		'a hidden column': 'select photo from app.people',
		'another hidden column in WHERE': "select id from app.people where notes like 'a%'",
		'a hidden column of a whole row': 'select (p).notes from app.people p',
		'a hidden column in ORDER BY': 'select id from app.people order by notes',
		'a hidden column by functional notation': 'select notes(p) from app.people p',
		'a hidden column in a CTE': 'with c as (select notes from app.people) select * from c',
		'a hidden column in COPY': 'copy app.people (notes) to stdout',
		'a hidden column in USING': "select 1 from app.people join (select 'x' as notes) n using (notes)",
		'a table that is denied': 'select * from app.secrets',
		'a table that is denied, in a sublink': 'select 1 where exists (select from app.secrets)',
		'a table that is denied, in COPY': 'copy app.secrets to stdout',
		'a table without a rule': 'select * from vault.keys',
		'a table without a rule, in a CTE that nobody reads': 'with k as (select * from vault.keys) select 1',
		'a table without a rule, count only': 'select count(*) from vault.keys',
		'a table without a rule, no column': 'select from vault.keys',
		'a table without a rule, where false': 'select key from vault.keys where false',
		'a table without a rule, in EXPLAIN': 'explain select * from vault.keys',
		'a table without a rule, in PREPARE': 'prepare q as select * from vault.keys',
		'a table without a rule, in DECLARE': ['begin', 'declare c cursor for select * from vault.keys', 'rollback'],
		'a table without a rule, in INSERT ... SELECT': [
			'begin',
			'insert into lab.inbox (id, line) select id + 10, key from vault.keys',
			'rollback',
		],
		'a table without a rule, in a view': ['begin', 'create view lab.v as select * from vault.keys', 'rollback'],
		'a table without a rule, in CTAS': ['begin', 'create table lab.t as select * from vault.keys', 'rollback'],
		'a function without a rule, in CALL': 'call app.proc_ok(app.ssn_of(101))',
		'a function without a rule, in EXECUTE': ['prepare q (text) as select $1', 'execute q (app.ssn_of(101))'],
		'CREATE OR REPLACE VIEW over what is granted': [
			'begin',
			'create or replace view app.exists_v as select id, true as present from app.people',
			'rollback',
		],
		'a table without a rule, in LOCK': ['begin', 'lock table vault.keys', 'rollback'],
		'a sequence without a rule': 'select last_value from app.invoice_seq',
		'a procedure without a rule': "call app.proc_no('x')",
		DO: "do $$ begin raise notice '%', (select ssn from app.people where id = 101); end $$",
		'COPY to a program': "copy app.depts to program 'cat > /dev/null'",
		'COPY to a file': "copy (select 1) to '/dev/null'",
		'COPY from a program': (world) => [
			'begin',
			`copy lab.inbox (line) from program 'cat ${world.fileName}'`,
			'rollback',
		],
	},
	{ sqlstates: ['42501', '42703', '42883'] },
);

const asNobody = attacks(
	'reading',
	'denied',
	{
		'a table, without any rule': 'select * from app.people',
		'a view, without any rule': 'select * from app.people_v',
		'a table of another schema, without any rule': 'table lab.inbox',
		'a function, without any rule': 'select app.headcount()',
		'a temporary table, without any rule': 'create temp table t as select 1 as x',
		'an INSERT, without any rule': ['begin', "insert into lab.inbox values (9, 'x')", 'rollback'],
	},
	{ as: 'nob' },
);

const odd = [
	...attacks('reading', 'no-secret', {
		'an array sublink of whole rows': 'select array(select p from app.people p)',
		'jsonb_populate_record with the row type':
			'select ssn from jsonb_populate_record(null::app.people, (select to_jsonb(p) from app.people p where id = 1))',
		'a cast of the row to its type': 'select (p::app.people).ssn from app.people p',
		'a cast of the record to the row type': 'select (row(p.*)::text) from app.people p',
		json_populate_recordset:
			'select * from json_populate_recordset(null::app.people, (select json_agg(p) from app.people p))',
		'a hidden column among all': 'select p.* from app.people p where id = 1',
		'a hidden column in the whole row': 'select row_to_json(p)::text from app.people p where id = 1',
		'COPY of a whole table with hidden columns': 'copy app.people to stdout',
		'a join alias over hidden columns': 'select j from (app.people p join app.depts d on d.id = p.dept_id) j',
		'CREATE MATERIALIZED VIEW': [
			'create materialized view lab.m1 as select ssn from app.people',
			'table lab.m1',
			'drop materialized view lab.m1',
		],
		'CREATE VIEW': ['create view lab.v1 as select ssn from app.people', 'table lab.v1', 'drop view lab.v1'],
		'CREATE TEMP VIEW': ['create temp view v as select ssn, notes from app.people', 'table v'],
		'CREATE TEMP VIEW of a star': ['create temp view v as select * from app.people', 'table v'],
		'CREATE RECURSIVE VIEW': [
			'create temp recursive view v (s) as select ssn from app.people union all select s from v where false',
			'table v',
		],
		'CREATE VIEW over a view': ['create temp view v as select * from app.people_v', 'table v'],
		'a table that inherits': [
			'begin',
			'create table lab.kid () inherits (app.people)',
			'select ssn from app.people',
			'rollback',
		],
		'a table like it': [
			'begin',
			'create table lab.copy (like app.people including all)',
			'insert into lab.copy select * from app.people',
			'select * from lab.copy',
			'rollback',
		],
		'ctid of others': "select name from app.people where ctid >= '(0,0)'",
		'a TABLESAMPLE method by a user': 'select name from app.people tablesample public.system (100)',
		'a graph query': 'select * from graph_table (app.g match (a) columns (a.ssn))',
		'XMLTABLE with a sublink':
			"select x.* from xmltable('/a' passing (select xmlelement(name a, ssn) from app.people where id = 1) columns s text path '.') x",
		'JSON_TABLE with a sublink':
			"select t.* from json_table((select to_jsonb(p) from app.people p where id = 1), '$' columns (s text path '$.ssn')) t",
		'JSON_TABLE with a default from a sublink':
			"select t.* from json_table('{}'::jsonb, '$' columns (s text path 'strict $.x' default 'none' on error)) t, app.people p",
		'a function in FROM with a sublink':
			"select * from regexp_split_to_table((select string_agg(ssn, ' ') from app.people), ' ')",
		'generate_series over a sublink':
			'select * from generate_series((select salary from app.people where id = 1), (select salary from app.people where id = 1))',
		'DECLARE with a sublink in its LIMIT': [
			'begin',
			'declare c cursor for select ssn from app.people limit (select 5)',
			'fetch all c',
			'rollback',
		],
		'a default that reads by a function': [
			'create temp table t (a int, s text default app.ssn_of(101))',
			'insert into t (a) values (1) returning s',
		],
		'SELECT FOR UPDATE in a CTE': [
			'begin',
			'with c as (select * from app.people for update) select ssn from c',
			'rollback',
		],
		'COPY of INSERT RETURNING': [
			'begin',
			'copy (insert into lab.inbox select id + 20, ssn from app.people returning line) to stdout',
			'rollback',
		],
		'EXPLAIN ANALYZE of INSERT': [
			'begin',
			'explain (analyze, verbose, timing off) insert into lab.inbox select id + 20, ssn from app.people',
			'select * from lab.inbox',
			'rollback',
		],
	}),
].map((attack) => {
	const never: Readonly<Record<string, string>> = {
		'JSON_TABLE with a default from a sublink': 'it reads nothing of the row',
		'a TABLESAMPLE method by a user': 'there is no such method',
		'a graph query': 'the server does not know it yet',
	};
	return { ...attack, bare: never[attack.name] ?? null };
});

const rules = attacks(
	'reading',
	'no-secret',
	{
		'a rule that reads it': [
			'begin',
			'create rule r as on insert to lab.inbox do instead select ssn from app.people',
			"insert into lab.inbox values (7, 'x')",
			'rollback',
		],
	},
	{ protocols: ['simple'] },
);

const claims = [
	...attacks(
		'reading',
		'no-secret',
		{ 'rows of anyone without a tenant': 'select id, tenant, name, ssn from app.people' },
		{ as: 'eve' },
	),
	...attacks(
		'reading',
		'no-secret',
		{ 'rows by a tenant that is SQL': 'select id, tenant, name, ssn from app.people' },
		{ as: 'mal' },
	),
];

const guesses = probes('reading', {
	'a value in the select list': {
		guesses: ownSsn,
		sql: (guess) => `select ssn = '${guess}' from app.people where id = 1`,
	},
	'a row of others by its name': {
		guesses: otherName,
		sql: (guess) => `select count(*) from app.people where name = '${guess}'`,
	},
	EXISTS: { guesses: otherId, sql: (guess) => `select exists (select from app.people where id = ${guess})` },
	'a bound value': {
		guesses: otherName,
		sql: (guess) => [{ sql: 'select id from app.people where name = $1', params: [guess], protocol: 'extended' }],
	},
	'an EXECUTE': {
		guesses: ownSsn,
		sql: (guess) => ['prepare q (text) as select count(*) from app.people where ssn = $1', `execute q ('${guess}')`],
	},
});

export const reading: readonly AttackCase[] = [
	...selectList,
	...clauses,
	...denied,
	...asNobody,
	...odd,
	...rules,
	...claims,
	...guesses,
];
