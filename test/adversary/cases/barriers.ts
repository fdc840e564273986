/** Attacks on masks and filters as barriers: errors, notices, estimates and orders that would tell of hidden values. */
import { type AttackCase, attacks, probes } from '../case.ts';
import {
	otherAccount,
	otherId,
	otherMemo,
	otherName,
	otherSalary,
	otherTenant,
	ownBorn,
	ownEmail,
	ownIban,
	ownNotes,
	ownPayload,
	ownPin,
	ownPref,
	ownSalary,
	ownSsn,
	ownSsnStart,
	ownTag,
	paperBody,
	peopleCount,
} from '../guesses.ts';

const errors = probes('barriers', {
	'division by zero on a masked column': {
		guesses: ownSalary,
		sql: (g) => `select id from app.people where 1 / (salary - ${g}) is not null`,
	},
	'division by zero on a hidden row': {
		guesses: otherSalary,
		sql: (g) => `select 1 / (salary - ${g}) from app.people`,
	},
	'division by zero on the id of a hidden row': {
		guesses: otherId,
		sql: (g) => `select id from app.people where 1 / (id - ${g}) > -1`,
	},
	'division by zero behind OR': {
		guesses: otherId,
		sql: (g) => `select id from app.people where id = 1 or 1 / (id - ${g}) > -1`,
	},
	'division by zero behind a forged tenant condition': {
		guesses: otherId,
		sql: (g) => `select id from app.people where tenant = 'globex' and 1 / (id - ${g}) > -1`,
	},
	'division by zero in CASE': {
		guesses: ownSsn,
		sql: (g) => `select case when ssn = '${g}' then 1 / (id - id) end from app.people`,
	},
	'division by zero in a join condition': {
		guesses: otherId,
		sql: (g) => `select count(*) from app.people p join app.depts d on d.id = p.dept_id and 1 / (p.id - ${g}) > -1`,
	},
	'division by zero in an outer join': {
		guesses: otherId,
		sql: (g) => `select count(*) from app.depts d left join app.people p on 1 / (p.id - ${g}) > -1`,
	},
	'division by zero in a lateral subquery': {
		guesses: otherId,
		sql: (g) =>
			`select count(*) from app.depts d, lateral (select 1 / (id - ${g}) as x from app.people p offset 0) x where x > -1`,
	},
	'division by zero in ORDER BY': {
		guesses: otherId,
		sql: (g) => `select id from app.people order by 1 / (id - ${g}), id`,
	},
	'division by zero in GROUP BY': {
		guesses: otherId,
		sql: (g) => `select count(*) from app.people group by 1 / (id - ${g})`,
	},
	'division by zero in HAVING': {
		guesses: otherId,
		sql: (g) => `select id from app.people group by id having 1 / (id - ${g}) > -1 order by id`,
	},
	'division by zero in an aggregate': {
		guesses: otherId,
		sql: (g) => `select sum(1 / (id - ${g})) > -100 from app.people`,
	},
	'division by zero in a FILTER clause': {
		guesses: otherId,
		sql: (g) => `select count(*) filter (where 1 / (id - ${g}) > -1) from app.people`,
	},
	'division by zero in a window': {
		guesses: otherId,
		sql: (g) => `select count(*) over (order by 1 / (id - ${g})) from app.people`,
	},
	'division by zero in a view': {
		guesses: otherId,
		sql: (g) => `select id from app.people_v where 1 / (id - ${g}) > -1`,
	},
	'division by zero through a nested view': {
		guesses: otherId,
		sql: (g) => `select id from app.people_vv where 1 / (id - ${g}) > -1`,
	},
	'division by zero in a partition': {
		guesses: (w) => ({ right: String(w.other.event.id), wrong: '99990' }),
		sql: (g) => `select id from app.events_new_rest where 1 / (id - ${g}) > -1`,
	},
	'division by zero through a child': {
		guesses: () => ({ right: '4', wrong: '9' }),
		sql: (g) => `select id from app.papers where 1 / (id - ${g}) is not null`,
	},
	'division by zero in a cursor': {
		guesses: otherId,
		sql: (g) => [
			'begin',
			`declare c cursor for select id from app.people where 1 / (id - ${g}) > -1`,
			'fetch all c',
			'rollback',
		],
	},
	'division by zero in COPY': {
		guesses: otherId,
		sql: (g) => `copy (select id from app.people where 1 / (id - ${g}) > -1) to stdout`,
	},
	'division by zero in DISTINCT ON': {
		guesses: otherId,
		sql: (g) => `select distinct on (1 / (id - ${g})) id from app.people order by 1 / (id - ${g}), id`,
	},
	'an integer that overflows': {
		guesses: () => ({ right: '2147483546', wrong: '2147483000' }),
		sql: (g) => `select id from app.people where id + ${g} > 0`,
	},
	'a smallint that overflows': {
		guesses: () => ({ right: '330', wrong: '110' }),
		sql: (g) => `select id from app.people where (id * ${g})::int2 >= 0`,
	},
	'a letter of a wrong number': {
		guesses: otherId,
		sql: (g) => `select id from app.people where chr(case when id = ${g} then -1 else 65 end) <> ''`,
	},
	'a time zone that is unknown': {
		guesses: otherName,
		sql: (g) =>
			`select id from app.people where hired at time zone (case when name = '${g}' then 'nowhere' else 'utc' end) is not null`,
	},
	'a generate_series of step zero': {
		guesses: otherId,
		sql: (g) => `select count(*) from app.people p, lateral generate_series(1, 2, p.id - ${g}) n`,
	},
	'ntile of a wrong number': {
		guesses: otherName,
		sql: (g) =>
			`select ntile(case when exists (select from app.people where name = '${g}') then 0 else 1 end) over () from app.depts`,
	},
	'IN with an expression': {
		guesses: otherId,
		sql: (g) => `select id from app.people where id in (1, 1 / (id - ${g}))`,
	},
	'a row comparison that fails': {
		guesses: otherId,
		sql: (g) => `select id from app.people where (id, 1) > (1 / (id - ${g}), 2)`,
	},
	'a cast that fails': {
		guesses: ownSsnStart,
		sql: (g) => `select id from app.people where (case when ssn like '${g}%' then 'x' else '1' end)::int = 1`,
	},
	'a cast of the whole column that fails': {
		guesses: otherName,
		sql: (g) =>
			`select count(*) from app.people where replace(name, '${g}', '1') = '1' and replace(name, '${g}', '1')::int = 1`,
	},
	'a date that overflows': {
		guesses: otherId,
		sql: (g) =>
			`select id from app.people where hired + (case when id = ${g} then 1e9 else 1 end) * interval '1 year' > '2000-01-01'`,
	},
	'a regular expression that is wrong for one row': {
		guesses: otherName,
		sql: (g) => `select id from app.people where 'x' ~ (case when name = '${g}' then '(' else 'x' end)`,
	},
	'a sublink that gives two rows': {
		guesses: otherName,
		sql: (g) =>
			`select id from app.people p where id < (select 1000 from generate_series(1, case when p.name = '${g}' then 2 else 1 end))`,
	},
	'repeat with too large a count': {
		guesses: otherName,
		sql: (g) =>
			`select id from app.people where length(repeat('x', case when name = '${g}' then 2000000000 else 1 end)) > 0`,
	},
	'sqrt of a negative number': {
		guesses: otherId,
		sql: (g) => `select id from app.people where sqrt(case when id = ${g} then -1 else 1 end) > 0`,
	},
	'numeric overflow': {
		guesses: otherId,
		sql: (g) => `select id from app.people where power(10::numeric, case when id = ${g} then 1000000 else 1 end) > 0`,
	},
	'an array with a wrong element': {
		guesses: otherName,
		sql: (g) => `select id from app.people where (array[1])[1] = (case when name = '${g}' then 'x' else '1' end)::int`,
	},
	'jsonb with a wrong text': {
		guesses: otherName,
		sql: (g) => `select id from app.people where (case when name = '${g}' then '{' else '1' end)::jsonb = '1'`,
	},
	'to_char with a wrong format': {
		guesses: otherName,
		sql: (g) =>
			`select id from app.people where set_byte('a'::bytea, case when name = '${g}' then 9 else 0 end, 1) is not null`,
	},
});

const predicates = probes('barriers', {
	'WHERE on a masked column': { guesses: ownSsn, sql: (g) => `select id from app.people where ssn = '${g}'` },
	'WHERE on a masked number': { guesses: ownSalary, sql: (g) => `select id from app.people where salary = ${g}` },
	'WHERE on a masked number, greater': {
		guesses: ownSalary,
		sql: (g) => `select id from app.people where salary >= ${g} and salary <= ${g}`,
	},
	'WHERE on a masked date': { guesses: ownBorn, sql: (g) => `select id from app.people where born = '${g}'` },
	'WHERE on a masked e-mail': { guesses: ownEmail, sql: (g) => `select id from app.people where email = '${g}'` },
	'WHERE on a masked array': { guesses: ownTag, sql: (g) => `select id from app.people where '${g}' = any (tags)` },
	'WHERE on a masked array by @>': {
		guesses: ownTag,
		sql: (g) => `select id from app.people where tags @> array['${g}']`,
	},
	'WHERE on a masked jsonb': {
		guesses: ownPref,
		sql: (g) => `select id from app.people where prefs ->> 'theme' = '${g}'`,
	},
	'WHERE on a masked jsonb by @>': {
		guesses: ownPref,
		sql: (g) => `select id from app.people where prefs @> '{"theme": "${g}"}'`,
	},
	'WHERE on a masked jsonb by a path': {
		guesses: ownPref,
		sql: (g) => `select id from app.people where prefs @? '$.theme ? (@ == "${g}")'`,
	},
	'WHERE on a masked tsvector': {
		guesses: ownNotes,
		sql: (g) => `select id from app.people where search @@ to_tsquery('simple', '${g}')`,
	},
	'LIKE on a masked column': { guesses: ownSsnStart, sql: (g) => `select id from app.people where ssn like '${g}%'` },
	ILIKE: { guesses: ownSsnStart, sql: (g) => `select id from app.people where ssn ilike '${g}%'` },
	'SIMILAR TO': { guesses: ownSsnStart, sql: (g) => `select id from app.people where ssn similar to '${g}%'` },
	'a regular expression': { guesses: ownSsnStart, sql: (g) => `select id from app.people where ssn ~ '^${g}'` },
	'starts_with and ^@': {
		guesses: ownSsnStart,
		sql: (g) => `select id from app.people where starts_with(ssn, '${g}') or ssn ^@ '${g}'`,
	},
	position: { guesses: ownSsnStart, sql: (g) => `select position('${g}' in ssn) from app.people where id = 1` },
	'a masked column of a joined table': {
		guesses: ownIban,
		sql: (g) => `select p.id from app.people p join app.accounts a on a.owner_id = p.id where a.iban = '${g}'`,
	},
	'a join on a masked column': {
		guesses: ownSsn,
		sql: (g) => `select p.id from app.people p join (values ('${g}')) v (s) on p.ssn = v.s`,
	},
	'USING on a masked column': {
		guesses: ownSsn,
		sql: (g) => `select id from app.people join (select '${g}'::text as ssn) v using (ssn)`,
	},
	'NATURAL JOIN on a masked column': {
		guesses: ownSsn,
		sql: (g) => `select count(*) from (select ssn from app.people) p natural join (select '${g}'::text as ssn) v`,
	},
	INTERSECT: { guesses: ownSsn, sql: (g) => `select ssn from app.people intersect select '${g}'` },
	EXCEPT: { guesses: ownSsn, sql: (g) => `select '${g}' except select ssn from app.people` },
	'IN a sublink': { guesses: ownSsn, sql: (g) => `select '${g}' in (select ssn from app.people)` },
	'EXISTS with a correlated condition': {
		guesses: ownSsn,
		sql: (g) =>
			`select id from app.depts d where exists (select from app.people p where p.dept_id = d.id and p.ssn = '${g}')`,
	},
	'ORDER BY a comparison': {
		guesses: ownSsn,
		sql: (g) => `select id from app.people order by (ssn = '${g}'), id limit 1`,
	},
	'ORDER BY a masked column': {
		guesses: ownSalary,
		sql: (g) =>
			`select x from (select salary, 'row' as x from app.people where id = 1 union all select ${g} - 0, 'guess') s (v, x) where v is not null or true order by v = ${g}, x`,
	},
	'LIMIT by a comparison': {
		guesses: ownSsn,
		sql: (g) => `select id from app.people order by id limit (select count(*) from app.people where ssn = '${g}')`,
	},
	'OFFSET by a comparison': {
		guesses: ownSsn,
		sql: (g) => `select id from app.people order by id offset (select count(*) from app.people where ssn = '${g}')`,
	},
	'GROUP BY a comparison': { guesses: ownSsn, sql: (g) => `select ssn = '${g}', count(*) from app.people group by 1` },
	HAVING: { guesses: ownSsn, sql: (g) => `select tenant from app.people group by tenant having bool_or(ssn = '${g}')` },
	DISTINCT: { guesses: ownSsn, sql: (g) => `select distinct ssn = '${g}' from app.people` },
	'count of DISTINCT': {
		guesses: ownSsn,
		sql: (g) => `select count(distinct x) from (select ssn as x from app.people union all select '${g}') s`,
	},
	'a window': {
		guesses: ownSsn,
		sql: (g) => `select id, rank() over (order by ssn = '${g}') from app.people order by 1`,
	},
	'an aggregate with FILTER': {
		guesses: ownSsn,
		sql: (g) => `select count(*) filter (where ssn = '${g}') from app.people`,
	},
	'TABLESAMPLE and WHERE': {
		guesses: ownSsn,
		sql: (g) => `select count(*) from app.people tablesample bernoulli (100) where ssn = '${g}'`,
	},
	'a hash': { guesses: ownSsn, sql: (g) => `select id from app.people where md5(ssn) = md5('${g}')` },
	hashtext: { guesses: ownSsn, sql: (g) => `select id from app.people where hashtext(ssn) = hashtext('${g}')` },
	'a row comparison': { guesses: ownSsn, sql: (g) => `select id from app.people where (ssn, id) = ('${g}', 1)` },
	'a comparison of whole rows': {
		guesses: ownSsn,
		sql: (g) => `select count(*) from app.people p where row(p.*)::text like '%${g}%'`,
	},
	'the whole row as text': {
		guesses: ownSsn,
		sql: (g) => `select count(*) from app.people p where p::text like '%${g}%'`,
	},
	'the row as json': {
		guesses: ownPin,
		sql: (g) => `select count(*) from app.people p where to_jsonb(p) @> '{"pin": ${g}}'`,
	},
	xmlexists: {
		guesses: ownSsn,
		sql: (g) => `select count(*) from app.people where xmlexists('//ssn[.="${g}"]' passing doc)`,
	},
	'a masked column of a partition': {
		guesses: ownPayload,
		sql: (g) => `select count(*) from app.events_new_own where payload = '${g}'`,
	},
	'a masked column of the partitioned table': {
		guesses: ownPayload,
		sql: (g) => `select count(*) from app.events where payload = '${g}'`,
	},
	'a masked column of a child through its parent': {
		guesses: paperBody,
		sql: (g) => `select count(*) from app.papers where body = '${g}'`,
	},
	'a masked column of a view': { guesses: ownSsn, sql: (g) => `select count(*) from app.people_v where ssn = '${g}'` },
	'a renamed column of a view': { guesses: ownSalary, sql: (g) => `select count(*) from app.renamed_v where b = ${g}` },
	'a masked column of a matview': {
		guesses: ownSsn,
		sql: (g) => `select count(*) from app.people_mv where ssn = '${g}'`,
	},
	'a row of others': { guesses: otherName, sql: (g) => `select count(*) from app.people where name = '${g}'` },
	'a row of others through an account': {
		guesses: otherMemo,
		sql: (g) => `select count(*) from app.accounts where memo = '${g}'`,
	},
	'a row of others through a join': {
		guesses: otherAccount,
		sql: (g) =>
			`select count(*) from app.transfers t right join app.accounts a on a.id = t.account_id where a.id = ${g}`,
	},
	'a tenant that exists': { guesses: otherTenant, sql: (g) => `select count(*) from app.people where tenant = '${g}'` },
	'the number of all rows': { guesses: peopleCount, sql: (g) => `select count(*) = ${g} from app.people` },
	'the number of all rows in an outer join': {
		guesses: peopleCount,
		sql: (g) => `select count(*) = ${g} from generate_series(1, 1) n left join app.people p on true`,
	},
	'an anti join': {
		guesses: otherId,
		sql: (g) => `select n from generate_series(1, 1) n where not exists (select from app.people where id = ${g})`,
	},
	'a full join': {
		guesses: otherId,
		sql: (g) =>
			`select count(p.name) from app.people p full join (values (${g})) v (id) using (id) where v.id is not null`,
	},
	'FOR UPDATE of a hidden row': {
		guesses: otherId,
		sql: (g) => ['begin', `select id from app.people where id = ${g} for update nowait`, 'rollback'],
	},
	'FOR UPDATE leaves xmax': {
		guesses: otherId,
		sql: (g) => [
			'begin',
			`select count(*) from (select id from app.people where id = ${g} for key share) x`,
			'rollback',
		],
	},
	'a function of the whole table': {
		guesses: peopleCount,
		sql: (g) => `select (select count(*) from (table app.people) t) = ${g}`,
	},
	'WHERE CURRENT OF is no oracle': {
		guesses: otherId,
		sql: (g) => ['begin', `declare c cursor for select id from app.people where id = ${g}`, 'fetch c', 'rollback'],
	},
});

const hidden = probes('barriers', {
	'a hidden column in WHERE': { guesses: ownNotes, sql: (g) => `select id from app.people where notes = '${g}'` },
	'a hidden column of the whole row': {
		guesses: ownNotes,
		sql: (g) => `select count(*) from app.people p where p::text like '%${g}%'`,
	},
	'a hidden column in a view': { guesses: ownNotes, sql: (g) => `select id from app.people_v where notes = '${g}'` },
	'a hidden column in a CTE view': {
		guesses: ownNotes,
		sql: (g) => `select count(*) from app.cte_v where notes = '${g}'`,
	},
	'a hidden column in an aggregated view': {
		guesses: ownNotes,
		sql: (g) => `select count(*) from app.array_v where text like '%${g}%'`,
	},
});

/** Not a value but a place in the order of all values, which the planner's histogram tells. */
const place = (): { right: string; wrong: string } => ({ right: 'aaaaaaaa', wrong: 'zzzzzzzz' });

const plans = probes('barriers', {
	'EXPLAIN of a masked condition': {
		guesses: place,
		sql: (g) => `explain select id from app.people where ssn < '${g}'`,
	},
	'EXPLAIN of hidden names': { guesses: place, sql: (g) => `explain select * from app.people where name < '${g}'` },
	'EXPLAIN of a hidden tenant': {
		guesses: otherTenant,
		sql: (g) => `explain select id from app.people where tenant = '${g}'`,
	},
	'EXPLAIN ANALYZE of a hidden row': {
		guesses: otherId,
		sql: (g) => `explain (analyze, timing off, summary off, buffers off) select id from app.people where id = ${g}`,
	},
	'EXPLAIN ANALYZE of a hidden tenant': {
		guesses: otherTenant,
		sql: (g) =>
			`explain (analyze, costs off, timing off, summary off, buffers off) select id from app.people where tenant = '${g}'`,
	},
	'EXPLAIN in JSON': {
		guesses: () => ({ right: '100000000000000', wrong: '999999999999999' }),
		sql: (g) => `explain (format json) select id from app.people where salary < ${g}`,
	},
	'EXPLAIN of a view': {
		guesses: otherTenant,
		sql: (g) => `explain select id from app.people_v where tenant = '${g}'`,
	},
	'EXPLAIN of an EXECUTE': {
		guesses: otherTenant,
		sql: (g) => ['prepare q (text) as select id from app.people where tenant = $1', `explain execute q ('${g}')`],
	},
	'EXPLAIN of a join': {
		guesses: otherTenant,
		sql: (g) => `explain select 1 from app.depts d join app.people p on p.dept_id = d.id where p.tenant = '${g}'`,
	},
	'EXPLAIN of a sublink': {
		guesses: otherTenant,
		sql: (g) => `explain select (select count(*) from app.people where tenant = '${g}')`,
	},
	'EXPLAIN of CTAS': {
		guesses: otherTenant,
		sql: (g) => `explain create temp table t as select id from app.people where tenant = '${g}'`,
	},
	'EXPLAIN of DECLARE': {
		guesses: otherTenant,
		sql: (g) => `explain declare c cursor for select id from app.people where tenant = '${g}'`,
	},
	'EXPLAIN of a parallel plan': {
		guesses: otherTenant,
		sql: (g) => [
			"set debug_parallel_query = 'on'",
			`explain (costs off, analyze, timing off, summary off, buffers off) select id from app.people where tenant = '${g}'`,
		],
	},
});

const estimates = attacks(
	'barriers',
	'no-secret',
	{
		'EXPLAIN VERBOSE with constants folded':
			"explain (verbose, costs off) select id from app.people where ssn = (select 'x') and app.note(ssn) <> ''",
		'EXPLAIN ANALYZE prints rows removed by the filter':
			'explain (analyze, costs off, timing off, summary off) select id from app.people where salary > 0',
		'EXPLAIN with memory and settings': 'explain (settings, generic_plan) select ssn from app.people where id = $1',
	},
	{ bare: 'a plan has no values of rows' },
);

/** On the bare database the function sees every row; here only what the user may see, and masked. */
const tellers = attacks('barriers', 'no-secret', {
	'a cheap function that tells in WHERE': "select id from app.people where app.note(name) <> ''",
	'a cheap function that tells of a masked column': "select id from app.people where app.note(ssn) <> ''",
	'a cheap function on the id and others': 'select id from app.people where app.note_id(salary)',
	'a cheap function on the whole row': 'select id from app.people p where app.note_row(p)',
	'a cheap function after a forged condition':
		"select id from app.people where tenant = 'globex' and app.note(name) <> ''",
	'a cheap function in OR': "select id from app.people where tenant = 'globex' or app.note(name) = 'x'",
	'a cheap function in a join':
		"select 1 from app.depts d join app.people p on p.dept_id = d.id and app.note(p.name) <> ''",
	'a cheap function in an outer join': "select 1 from app.depts d left join app.people p on app.note(p.name) <> ''",
	'a cheap function in the select list with LIMIT': 'select app.note(name) from app.people limit 1000',
	'a cheap function in ORDER BY': 'select id from app.people order by app.note(name)',
	'a cheap function in GROUP BY': 'select 1 from app.people group by app.note(name)',
	'a cheap function in HAVING': "select tenant from app.people group by tenant having app.note(max(name)) <> ''",
	'a cheap function in a window': 'select row_number() over (order by app.note(name)) from app.people',
	'a cheap function in a view': "select id from app.people_v where app.note(ssn || name) <> ''",
	'a cheap function in a nested view': "select id from app.people_vv where app.note(label) <> ''",
	'a cheap function over a barrier view': "select id from app.barrier_v where app.note(ssn) <> ''",
	'a cheap function in a sublink': "select 1 where exists (select from app.people p where app.note(p.name) = 'x')",
	'a cheap function in a CTE':
		"with c as not materialized (select * from app.people) select id from c where app.note(name) <> ''",
	'a cheap function in a lateral': 'select 1 from app.people p, lateral (select app.note(p.name)) x',
	'a cheap function in a partition': "select id from app.events where app.note(kind || payload) <> ''",
	'a cheap function in a child': "select id from app.papers where app.note(body || title) <> ''",
	'a cheap function in a matview': "select id from app.people_mv where app.note(ssn || name) <> ''",
	'a cheap function in a cursor': [
		'begin',
		"declare c cursor for select id from app.people where app.note(name) <> ''",
		'fetch all c',
		'rollback',
	],
	'a cheap function in COPY': "copy (select id from app.people where app.note(name) <> '') to stdout",
	'a cheap function with INFO': 'select id from app.people where app.log_note(name || ssn)',
	'a cheap operator that tells': 'select id from app.people where name operator(app.<==>) ssn',
	'a cheap operator behind ANY': "select id from app.people where name operator(app.<==>) any (array['a', 'b'])",
	'a cheap operator in a sublink':
		'select 1 from app.depts where title operator(app.<==>) all (select name from app.people)',
	'a cheap function in UPDATE': [
		'begin',
		"update lab.inbox set line = 'x' from app.people p where app.note(p.name) <> ''",
		'rollback',
	],
	'a cheap function in INSERT ... SELECT': [
		'begin',
		"insert into lab.inbox select id + 30, 'x' from app.people where app.note(name) <> ''",
		'rollback',
	],
	'a cheap function in CTAS': "create temp table t as select id from app.people where app.note(name) <> ''",
	'a cheap function in a prepared statement': [
		"prepare q as select id from app.people where app.note(name) <> ''",
		'execute q',
	],
	'a cheap function in EXPLAIN ANALYZE':
		"explain (analyze, timing off) select id from app.people where app.note(name) <> ''",
	'a cheap function in DELETE ... USING': [
		'begin',
		"delete from lab.inbox using app.people p where app.note(p.name) = 'x'",
		'rollback',
	],
	'a cheap function in MERGE': [
		'begin',
		"merge into lab.inbox i using app.people p on i.id = p.id and app.note(p.name) <> '' when matched then do nothing",
		'rollback',
	],
	'a cheap function in a VALUES list': "values ((select app.note(max(name)) from app.people where tenant = 'globex'))",
	'a domain that tells in WHERE': "select id from app.people where name::app.checked <> ''",
	'a domain that tells in the select list': 'select name::app.checked, ssn::app.checked from app.people',
	'a cast that tells in WHERE': 'select id from app.people where name::app.wrapped is not null',
	'an array cast that tells': 'select array_agg(name)::app.wrapped[] from app.people',
	'an aggregate that tells': 'select app.collect(name || ssn) from app.people',
	'an error that tells': (w) => `select id from app.people where app.fail_if(name, '${w.other.name}')`,
	'a cast error quotes the value': 'select name::int from app.people where id > 100',
	'a cast error quotes the masked value': 'select ssn::int from app.people',
	'a cast in WHERE quotes the value': 'select id from app.people where id > 100 and name::int = 1',
	'a cast in a join quotes the value':
		'select 1 from (select * from app.people where id > 100) a join app.depts d on a.name::int = d.id',
	'an XML error quotes the value': "select xmlparse(document '<a>' || name) from app.people where id > 100",
	'a JSON error quotes the value': "select ('{' || name)::json from app.people where id > 100",
	'a date error quotes the value': 'select name::date from app.people where id > 100',
	'a uuid error quotes the value': 'select name::uuid from app.people where id > 100',
	'a tsquery error quotes the value': "select (name || ' &')::tsquery from app.people where id > 100",
	'an enum error quotes the value': 'select name::app.mood from app.people where id > 100',
	'a regclass error quotes the value': 'select name::regclass from app.people where id > 100',
	'a regtype error quotes the value': 'select to_regtype(name), name::regtype from app.people where id > 100',
	'a function that is not found quotes the type':
		"select set_config('application_name', (select name from app.people where id = 101), false)",
	'a parameter status carries the value':
		"select set_config('application_name', string_agg(name || ssn, '-'), false) from app.people",
	'an encoding error': "select convert_from(('\\xff'::bytea || name::bytea), 'UTF8') from app.people where id > 100",
	pg_input_error_info: "select i.message from app.people p, pg_input_error_info(p.name, 'integer') i",
	'a message to the log that comes back': [
		"set client_min_messages = 'log'",
		'set debug_print_parse = on',
		'select ssn from app.people',
	],
	'log_statement at the client': ["set client_min_messages = 'debug5'", 'select name from app.people where id = 101'],
	'a NOTIFY with the value': [
		'listen told',
		"select pg_notify('told', string_agg(name || ssn, ',')) from app.people",
		'unlisten told',
	],
});

const refused: Readonly<Record<string, string>> = {
	'an error that tells': 'the error has no value in it',
	'a tsquery error quotes the value': 'the error comes back with it or without',
	'an encoding error': 'the error quotes the first bytes only',
	'an XML error quotes the value': 'the value stands in the detail of the parser, cut',
};

const delays = probes(
	'barriers',
	{
		'sleeping on a masked value': {
			guesses: ownSsn,
			sql: (g) =>
				`select id from app.people where case when ssn = '${g}' then pg_sleep(0.25) is not null else true end and id = 1`,
		},
		'sleeping on a hidden row': {
			guesses: otherName,
			sql: (g) =>
				`select id from app.people where case when name = '${g}' then pg_sleep(0.25) is not null else true end`,
		},
		'sleeping on a hidden row through a view': {
			guesses: otherName,
			sql: (g) =>
				`select id from app.people_vv where case when label = '${g}' then pg_sleep(0.25) is not null else true end`,
		},
	},
	{ delayMs: 150, protocols: ['simple'] },
);

export const barriers: readonly AttackCase[] = [
	...errors,
	...predicates,
	...hidden,
	...plans,
	...estimates,
	...tellers.map((attack) => ({ ...attack, bare: refused[attack.name] ?? null })),
	...delays,
];
