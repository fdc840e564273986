/** Attacks from the far corners of SELECT, MERGE and ON CONFLICT: queries inside of what is seldom computed, aliases that mean something else. */
import { type AttackCase, attacks, probes } from '../case.ts';
import { ownIban, ownNotes, ownSsn, ownTag } from '../guesses.ts';

const OWN = '(select ssn from app.people where id = 1)';

const inside = attacks('reading', 'masked', {
	'a query in PASSING of JSON_QUERY': `select json_query('{}', '$x' passing ${OWN} as x with wrapper)`,
	'a query in DEFAULT of XMLTABLE': `select x.* from xmltable('/a' passing '<a/>' columns s text path 'b' default ${OWN}) x`,
	'a query in PATH of XMLTABLE': `select x.* from xmltable('/a' passing '<a/>' columns s text path (select '''' || ssn || '''' from app.people where id = 1)) x`,
	'a query in DISTINCT ON': `select distinct on (${OWN}) ${OWN} from app.depts`,
	'a query in a subscript': 'select (array[1, 2])[(select 1)], (array(select ssn from app.people))[1:2]',
	'a query in a default of lead': `select lead(ssn, 1, ${OWN}) over (order by id) from app.people`,
	'a frame that leaves rows out':
		'select last_value(ssn) over (order by id groups between unbounded preceding and 1 following exclude current row) from app.people',
	'a hypothetical rank': `select rank('x') within group (order by ssn), percentile_disc(array[0, 0.5, 1]) within group (order by ssn) from app.people`,
	'the row of a join by its name': 'select j from (app.people p join app.depts d on d.id = p.dept_id) as j',
	'all of a join by its name': 'select j.*, to_jsonb(j) from (app.people p join app.depts d on d.id = p.dept_id) as j',
	'a row handed on and taken apart': 'select (x).* from (select p as x from app.people p) s',
	'a record of the type of the table':
		'select (json_populate_recordset(null::app.people, json_agg(p))).ssn from app.people p',
	'a CTE that is read before it stands there':
		'with recursive a as (select * from b), b as (select ssn from app.people) select * from a',
	'SEARCH and CYCLE together':
		'with recursive r as (select id, manager_id, ssn from app.people where manager_id is null union all select p.id, p.manager_id, p.ssn from r join app.people p on p.manager_id = r.id) search breadth first by id set o cycle id set c using path select * from r',
	'what depends on the key of each grouping set':
		'select id, ssn, email, salary, row_to_json(p), grouping(name) from app.people p group by grouping sets ((id, name), (1)) order by ssn',
	'what depends on the key beside a rollup, by the name of a join':
		'select j.id, j.ssn, j.tags, max(j.email) from (app.people p join app.depts d (x) on d.x = p.dept_id) as j group by (j.id), rollup(j.dept_id)',
	'an array as variadic arguments': 'select concat(variadic array_agg(ssn)) from app.people',
	'COPY in binary': 'copy app.people to stdout (format binary)',
	'COPY with options of every kind':
		"copy app.people (ssn, name) to stdout (format csv, force_quote *, header, encoding 'UTF8', delimiter '|')",
	'COPY in the old words': `copy app.people to stdout csv header quote as '"' null as 'x'`,
	'a transaction that locks as pg_dump does': [
		'begin',
		'lock table app.people in access share mode',
		'copy app.people (id, ssn) to stdout',
		'rollback',
	],
});

const guesses = probes('barriers', {
	'a row among rows': { guesses: ownSsn, sql: (g) => `select ('${g}', 1) in (select ssn, id from app.people)` },
	'an array that overlaps': {
		guesses: ownTag,
		sql: (g) => `select count(*) from app.people where tags && array['${g}']`,
	},
	'words of a hidden column': {
		guesses: ownNotes,
		sql: (g) => `select count(*) from app.people where search @@ to_tsquery('simple', '${g}')`,
	},
	'a natural join with a hidden column': {
		guesses: ownNotes,
		sql: (g) =>
			`select count(*) from app.people natural join (select '${g}'::text as notes) x where x.notes is not null`,
	},
	'whether all are null, over what is found': {
		guesses: ownSsn,
		sql: (g) => `select num_nonnulls(variadic array_agg(ssn)) from app.people where ssn = '${g}'`,
	},
});

const written = probes(
	'writing',
	{
		'MERGE that asks in its condition': {
			guesses: ownSsn,
			sql: (g) =>
				`merge into app.accounts a using app.people p on p.id = a.owner_id and p.ssn = '${g}' when matched then update set memo = memo`,
		},
		'MERGE that asks of what no source matches': {
			guesses: ownIban,
			sql: (g) =>
				`merge into app.accounts a using (values (1)) v (id) on v.id = a.id when not matched by source and a.iban = '${g}' then update set memo = memo`,
		},
		'ON CONFLICT that asks of the row that is there': {
			guesses: ownIban,
			sql: (g) =>
				`insert into app.accounts as a (id, tenant, owner_id, balance) values (10, 'acme', 1, 1) on conflict (id) do update set memo = a.memo where a.iban = '${g}'`,
		},
		'UPDATE that asks in a query with another table of its name': {
			guesses: ownIban,
			sql: (g) =>
				`update app.accounts set memo = memo where exists (select from app.depts accounts where iban = '${g}')`,
		},
		'UPDATE that asks in a query with another table of its name, by its schema': {
			guesses: ownIban,
			sql: (g) =>
				`update app.accounts set memo = memo where exists (select from (values ('x')) accounts (iban) where app.accounts.iban = '${g}')`,
		},
		'UPDATE that asks of the same table once more': {
			guesses: ownIban,
			sql: (g) => `update app.accounts a set memo = a.memo from app.accounts b where b.id = a.id and b.iban = '${g}'`,
		},
	},
	{ as: 'wes', transaction: true },
);

/** The check of what a write leaves behind reads the new row, whatever is called old and new. */
const aliased = attacks(
	'writing',
	'unwritten',
	{
		'a source by the name of new':
			"update app.accounts a set tenant = 'globex' from (select 'acme' as tenant) as new where a.id = 10 returning a.id",
		'a target by the name of new':
			"update app.accounts as new set tenant = 'globex' where new.id = 10 returning new.id",
		'a target by the name of old':
			"update app.accounts as old set tenant = 'globex' where old.id = 10 returning old.id",
		'a source of MERGE by the name of new':
			"merge into app.accounts a using (values (10, 'acme')) new (id, tenant) on new.id = a.id when matched then update set tenant = 'globex' returning a.id",
		'a new row by the name of new':
			"insert into app.accounts as new (id, tenant, owner_id, balance) select 9100, 'globex', 1, 1 returning new.id",
		'a CTE by the name of the table':
			"with accounts as (select 'acme' as tenant) insert into app.accounts (id, tenant, owner_id, balance) values (9101, 'globex', 1, 1) returning (select tenant from accounts), id",
	},
	{ as: 'wes' },
);

/** Attacks from the corners. */
export const corners: readonly AttackCase[] = [...inside, ...guesses, ...written, ...aliased];
