/** Attacks by writing: rows of others, columns that are denied, and what a write tells of values that are masked or hidden. */
import { type AttackCase, attacks, probes } from '../case.ts';
import { randomNumber } from '../secrets.ts';
import { otherAccount, otherMemo, ownIban, ownNotes, ownPayload, ownSalary, ownSsn } from '../guesses.ts';

const WES = { as: 'wes' } as const;

const rows = attacks(
	'writing',
	'unwritten',
	{
		'UPDATE of all rows': "update app.accounts set memo = 'mine'",
		'UPDATE of a row of others': "update app.accounts set memo = 'mine' where id = 1010",
		'UPDATE of a row of others by its tenant': "update app.accounts set memo = 'mine' where tenant = 'globex'",
		'UPDATE behind OR': "update app.accounts set memo = 'mine' where id = 10 or true",
		'UPDATE through an alias': "update app.accounts a set memo = 'mine' where a.id > 0",
		'UPDATE ONLY': "update only app.accounts set memo = 'mine' where id = 1010",
		'UPDATE moves a row to others': "update app.accounts set tenant = 'globex' where id = 10",
		'UPDATE moves a row by a row of values': "update app.accounts set (tenant, memo) = ('globex', 'x') where id = 10",
		'UPDATE moves a row by a sublink': "update app.accounts set (tenant, memo) = (select 'globex', 'x') where id = 10",
		'UPDATE moves a row by FROM':
			"update app.accounts a set tenant = v.t from (values ('globex')) v (t) where a.id = 10",
		'UPDATE moves a row to nobody': "update app.accounts set tenant = 'nobody' where id = 10",
		'UPDATE moves a row, with a comment at the end': "update app.accounts set tenant = 'globex' where id = 10 --",
		'UPDATE moves a row, with a comment that opens at the end':
			"update app.accounts set tenant = 'globex' where id = 10 /* x */ --;",
		'UPDATE moves a row, with semicolons': "; ; update app.accounts set tenant = 'globex' where id = 10 ; ;",
		'UPDATE moves a row, with letters of several bytes':
			"/* 😀 */ update app.accounts set memo = 'é漢', tenant = 'globex' where id = 10",
		'UPDATE moves a row, with a RETURNING of its own':
			"update app.accounts set tenant = 'globex' where id = 10 returning id",
		'UPDATE moves a row under a path with other operators': [
			'set search_path = lab, pg_catalog',
			"update app.accounts set tenant = 'globex' where id = 10",
		],
		'UPDATE moves a person': "update app.people set tenant = 'globex' where id = 2",
		'UPDATE moves a row in a CTE':
			"with u as (update app.accounts set tenant = 'globex' where id = 10 returning id) select 1 from u limit 0",
		'UPDATE moves a row in a CTE that is not read':
			"with u as (update app.accounts set tenant = 'globex' where id = 10) select 1",
		'INSERT for others with a comment at the end':
			"insert into app.accounts (id, tenant, owner_id, balance) values (9040, 'globex', 1, 1) --",
		'INSERT for others under a path with other operators': [
			'set search_path = lab, pg_catalog',
			"insert into app.accounts (id, tenant, owner_id, balance) values (9041, 'globex', 1, 1)",
		],
		'DELETE under a path with other operators': [
			'set search_path = lab, pg_catalog',
			'delete from app.accounts where id = 1020',
		],
		'UPDATE of a denied column': "update app.accounts set approved_by = 'me' where id = 10",
		'UPDATE of a denied column among others': "update app.accounts set memo = 'x', approved_by = 'me' where id = 10",
		'UPDATE of a denied column to its default': 'update app.accounts set approved_by = default where id = 10',
		'UPDATE of a denied column in a row': "update app.accounts set (memo, approved_by) = row ('x', 'me') where id = 10",
		'UPDATE of a denied number': 'update app.people set salary = 1 where id = 1',
		'UPDATE of people of others': "update app.people set name = 'gone' where id = 101",
		'UPDATE of people of others through FROM':
			"update app.people p set name = 'gone' from app.accounts a where a.owner_id = p.id or true",
		'UPDATE in a CTE': "with u as (update app.accounts set memo = 'mine' returning id) select count(*) from u",
		'UPDATE in a CTE that nobody reads': "with u as (update app.accounts set memo = 'mine') select 1",
		'UPDATE through a view': "update app.accounts_v set memo = 'mine' where id = 1010",
		'UPDATE through a view, moving a row': "update app.accounts_v set tenant = 'globex' where id = 10",
		'UPDATE through a view, a denied column': "update app.accounts_v set approved_by = 'me' where id = 10",
		'UPDATE of a partition': "update app.events_new_rest set kind = 'mine'",
		'UPDATE of a partitioned table': "update app.events set kind = 'mine'",
		'UPDATE moves a row to another partition': "update app.events set tenant = 'globex' where id = 100",
		'UPDATE of a child': "update app.papers_private set title = 'mine'",
		'UPDATE of a parent': "update app.papers set title = 'mine'",
		'UPDATE by EXECUTE': [
			"prepare u (bigint) as update app.accounts set memo = 'mine' where id = $1",
			'execute u (1010)',
		],
		'UPDATE by EXPLAIN ANALYZE': "explain analyze update app.accounts set memo = 'mine'",
		'DELETE of all rows': 'delete from app.accounts where id <> all (array[10, 20, 30, 40, 50, 60])',
		'DELETE of a row of others': 'delete from app.accounts where id = 1010',
		'DELETE with USING':
			'delete from app.accounts a using app.people p where (p.id = a.owner_id or true) and a.id > 1000',
		'DELETE in a CTE': 'with d as (delete from app.accounts where id > 1000 returning *) select count(*) from d',
		'DELETE from a partition': 'delete from app.events_new_rest',
		'DELETE from a partitioned table': 'delete from app.events where id > 700',
		'DELETE from a child': 'delete from app.papers_private where id > 3',
		'DELETE from a parent': 'delete from app.papers where id = 4',
		'DELETE through a view': 'delete from app.accounts_v where id = 1010',
		'INSERT for others': "insert into app.accounts (id, tenant, owner_id, balance) values (9001, 'globex', 1, 1)",
		'INSERT for others among own':
			"insert into app.accounts (id, tenant, owner_id, balance) values (9002, 'acme', 1, 1), (9003, 'globex', 1, 1)",
		'INSERT for others by SELECT':
			"insert into app.accounts (id, tenant, owner_id, balance) select 9004, 'glo' || 'bex', 1, 1",
		'INSERT for others in a CTE':
			"with i as (insert into app.accounts (id, tenant, owner_id, balance) values (9005, 'globex', 1, 1)) select 1",
		'INSERT for others through a view':
			"insert into app.accounts_v (id, tenant, owner_id, balance) values (9006, 'globex', 1, 1)",
		'INSERT for others in a partition':
			"insert into app.events_new_rest values (9007, 'globex', '2023-01-01', 'x', 'y')",
		'INSERT for others in a partitioned table':
			"insert into app.events values (9008, 'globex', '2023-01-01', 'x', 'y')",
		'INSERT for others in a child': "insert into app.papers_private values (9009, 'x', 'y', 'globex')",
		'INSERT of a denied column':
			"insert into app.accounts (id, tenant, owner_id, balance, approved_by) values (9010, 'acme', 1, 1, 'me')",
		'INSERT of a denied column without a list': "insert into app.accounts values (9011, 'acme', 1, 'DE', 1, 'x', 'me')",
		'INSERT of a denied column by SELECT': "insert into app.accounts select 9012, 'acme', 1, 'DE2', 1, 'x', 'me'",
		'INSERT with OVERRIDING':
			"insert into app.accounts (id, tenant, owner_id, balance) overriding user value values (9013, 'globex', 1, 1)",
		'INSERT ON CONFLICT takes over a row of others':
			"insert into app.accounts (id, tenant, owner_id, balance) values (1010, 'acme', 1, 1) on conflict (id) do update set memo = 'mine'",
		'INSERT ON CONFLICT moves the own row':
			"insert into app.accounts (id, tenant, owner_id, balance) values (10, 'acme', 1, 1) on conflict (id) do update set tenant = 'globex'",
		'INSERT ON CONFLICT moves by EXCLUDED':
			"insert into app.accounts (id, tenant, owner_id, balance) values (10, 'globex', 1, 1) on conflict (id) do update set tenant = excluded.tenant",
		'INSERT ON CONFLICT sets a denied column':
			"insert into app.accounts (id, tenant, owner_id, balance) values (10, 'acme', 1, 1) on conflict (id) do update set approved_by = 'me'",
		'INSERT ON CONFLICT with a condition on others':
			"insert into app.accounts as a (id, tenant, owner_id, balance) values (1010, 'acme', 1, 1) on conflict (id) do update set memo = 'mine' where a.tenant = 'globex'",
		'MERGE updates others':
			"merge into app.accounts a using (values (1010)) v (id) on v.id = a.id when matched then update set memo = 'mine'",
		'MERGE deletes others':
			'merge into app.accounts a using (values (1010)) v (id) on v.id = a.id when matched then delete',
		'MERGE deletes by source':
			'merge into app.accounts a using (values (1)) v (id) on v.id = a.id when not matched by source and a.id > 1000 then delete',
		'MERGE moves the own row':
			"merge into app.accounts a using (values (10)) v (id) on v.id = a.id when matched then update set tenant = 'globex'",
		'MERGE inserts for others':
			"merge into app.accounts a using (values (9020)) v (id) on v.id = a.id when not matched then insert (id, tenant, owner_id, balance) values (v.id, 'globex', 1, 1)",
		'MERGE inserts a denied column':
			"merge into app.accounts a using (values (9021)) v (id) on v.id = a.id when not matched then insert (id, tenant, owner_id, balance, approved_by) values (v.id, 'acme', 1, 1, 'me')",
		'MERGE inserts without a list':
			"merge into app.accounts a using (values (9022)) v (id) on v.id = a.id when not matched then insert values (v.id, 'acme', 1, 'DE3', 1, 'x', 'me')",
		'COPY FROM for others': [
			{ sql: 'copy app.accounts (id, tenant, owner_id, balance) from stdin', copyIn: '9030\tglobex\t1\t1\n' },
		],
		'COPY FROM for others among own': [
			{
				sql: 'copy app.accounts (id, tenant, owner_id, balance) from stdin (format csv)',
				copyIn: '9031,acme,1,1\n9032,globex,1,1\n',
			},
		],
		'COPY FROM of a denied column': [
			{
				sql: 'copy app.accounts (id, tenant, owner_id, balance, approved_by) from stdin',
				copyIn: '9033\tacme\t1\t1\tme\n',
			},
		],
		'COPY FROM without a list': [
			{ sql: 'copy app.accounts from stdin', copyIn: '9034\tacme\t1\tDE4\t1\tx\tme\t2020-01-01\tz\n' },
		],
		'COPY FROM with WHERE': [
			{
				sql: "copy app.accounts (id, tenant, owner_id, balance) from stdin where tenant = 'globex'",
				copyIn: '9035\tglobex\t1\t1\n',
			},
		],
		'COPY FROM into a partition': [
			{ sql: 'copy app.events_new_rest from stdin', copyIn: '9036\tglobex\t2023-01-01\tx\ty\n' },
		],
		'COPY FROM into a partitioned table': [
			{ sql: 'copy app.events from stdin', copyIn: '9037\tglobex\t2023-01-01\tx\ty\n' },
		],
		'COPY FROM into a view': [
			{ sql: 'copy app.accounts_v (id, tenant, owner_id, balance) from stdin', copyIn: '9038\tglobex\t1\t1\n' },
		],
		'TRUNCATE of a filtered table': 'truncate app.accounts cascade',
		'TRUNCATE of a partition': 'truncate app.events_new_rest',
		'TRUNCATE of a partitioned table': 'truncate app.events',
		'TRUNCATE of a parent': 'truncate app.papers',
		'TRUNCATE by CASCADE from another table': 'truncate app.depts, app.transfers cascade',
		'INSERT without a rule': "insert into app.depts values (9, 'Mine', 'x')",
		'UPDATE without a rule': "update app.depts set title = 'Mine'",
		'DELETE without a rule': 'delete from vault.keys',
		'UPDATE of a denied table': "update app.secrets set value = 'x'",
		'a sequence is set': () => `select setval('app.ticket_seq', ${randomNumber(9)})`,
		'a sequence is moved': "select nextval('app.ticket_seq')",
		'ALTER SEQUENCE': 'alter sequence app.ticket_seq restart with 7',
		'GRANT of a role': 'grant pg_read_all_data to current_user',
		'GRANT of a table': 'grant all on app.people to public',
		'ALTER TABLE adds a column': 'alter table app.accounts add column more text',
		'ALTER TABLE enables row security': 'alter table app.people enable row level security',
		'ALTER FUNCTION': 'alter function app.headcount() leakproof',
		'CREATE OR REPLACE FUNCTION over what is granted':
			"create or replace function app.headcount() returns bigint language sql security definer as 'select 666::bigint'",
		'CREATE OR REPLACE VIEW':
			'create or replace view app.own_v as select id, tenant, name, ssn from app.people where id > 0',
		'CREATE RULE': 'create rule r as on update to app.accounts do also delete from app.transfers',
		'ALTER VIEW options': 'alter view app.barrier_v set (security_barrier = false)',
		'ALTER ROLE SET': "alter role current_user set search_path = 'lab'",
		'ALTER ROLE ALL SET': "alter role all set search_path = 'lab'",
		lo_put: "select lo_put(424242, 0, 'overwritten')",
		lo_unlink: 'select lo_unlink(424242)',
		'DO that writes': "do $$ begin update app.accounts set memo = 'mine'; end $$",
		'a trigger is disabled': 'alter table app.accounts disable trigger all',
		'DROP of a materialized view': 'drop materialized view app.over_mv cascade',
	},
	WES,
);

const batches = attacks(
	'writing',
	'unwritten',
	{
		'UPDATE WHERE CURRENT OF': `declare c cursor for select * from app.accounts where id = 1010 for update;
			fetch c; update app.accounts set memo = 'mine' where current of c`,
		'a batch of which one part is allowed':
			"update app.accounts set memo = memo where id = 10; update app.accounts set memo = 'mine' where id = 1010",
		'UPDATE in a batch behind a comment': "select 1; -- x\nupdate app.accounts set tenant = 'globex' where id = 10 --",
		'a batch of which the first part is not allowed': "update app.depts set title = 'mine'; select 1",
	},
	{ as: 'wes', protocols: ['simple'] },
);

const silent: Readonly<Record<string, string>> = {
	'RETURNING of an INSERT with a default': 'the row is the own one',
	'a foreign key that fails tells the key': 'the key is the own one',
	'COPY FROM that fails tells the line': 'the line is the own one',
	'a referencing row tells the key': 'the key is the own one',
};

const told = attacks(
	'writing',
	'no-secret',
	{
		'RETURNING a masked column': [
			'begin',
			"update app.accounts set memo = 'x' where id = 10 returning iban",
			'rollback',
		],
		'RETURNING everything': ['begin', "update app.accounts set memo = 'x' where id = 10 returning *", 'rollback'],
		'RETURNING the whole row': ['begin', "update app.accounts a set memo = 'x' where id = 10 returning a", 'rollback'],
		'RETURNING the whole row as JSON': [
			'begin',
			"update app.accounts a set memo = 'x' where id = 10 returning to_jsonb(a)",
			'rollback',
		],
		'RETURNING old and new': [
			'begin',
			"update app.accounts set memo = 'x' where id = 10 returning old.iban, new.iban, old.*",
			'rollback',
		],
		'RETURNING old and new by other names': [
			'begin',
			"update app.accounts set memo = 'x' where id = 10 returning with (old as o, new as n) o.iban, n",
			'rollback',
		],
		'RETURNING of a DELETE': ['begin', 'delete from app.accounts where id = 20 returning iban, memo', 'rollback'],
		'RETURNING of DELETE of others': [
			'begin',
			'delete from app.accounts where id <> 10 returning memo, balance',
			'rollback',
		],
		'RETURNING of an INSERT with a default': [
			'begin',
			"insert into app.accounts (id, tenant, owner_id, balance) values (9100, 'acme', 1, 1) on conflict (id) do nothing returning *",
			'rollback',
		],
		'RETURNING of ON CONFLICT': [
			'begin',
			"insert into app.accounts (id, tenant, owner_id, balance) values (10, 'acme', 1, 1) on conflict (id) do update set memo = 'x' returning iban",
			'rollback',
		],
		'RETURNING a hidden column': [
			'begin',
			"update app.accounts set memo = 'x' where id = 10 returning added",
			'rollback',
		],
		'RETURNING a hidden column by old': [
			'begin',
			"update app.accounts set memo = 'x' where id = 10 returning old.added",
			'rollback',
		],
		'RETURNING through a view': [
			'begin',
			"update app.accounts_v set memo = 'x' where id = 10 returning iban",
			'rollback',
		],
		'RETURNING of MERGE': [
			'begin',
			"merge into app.accounts a using (values (10)) v (id) on v.id = a.id when matched then update set memo = 'x' returning a.iban, a",
			'rollback',
		],
		'SET from a masked column of the same row': [
			'begin',
			'update app.accounts set memo = iban where id = 10',
			'select memo from app.accounts where id = 10',
			'rollback',
		],
		'SET from a masked column of another table': [
			'begin',
			'update app.accounts a set memo = p.ssn from app.people p where p.id = a.owner_id',
			'select memo from app.accounts',
			'rollback',
		],
		'SET from a masked column by a sublink': [
			'begin',
			'update app.accounts a set memo = (select ssn from app.people p where p.id = a.owner_id) where id = 10',
			'select memo from app.accounts where id = 10',
			'rollback',
		],
		'SET from a hidden column of the same row': [
			'begin',
			'update app.people set name = notes where id = 1',
			'select name from app.people where id = 1',
			'rollback',
		],
		'SET from a masked column of people': [
			'begin',
			'update app.people set name = ssn where id = 1',
			'select name from app.people where id = 1',
			'rollback',
		],
		'SET from a masked column, concatenated': [
			'begin',
			"update app.people set name = 'x' || salary || email where id = 1 returning name",
			'rollback',
		],
		'SET in a row from a masked column': [
			'begin',
			'update app.people set (name, tenant) = (ssn, tenant) where id = 1 returning name',
			'rollback',
		],
		'SET of a field from a masked column': [
			'begin',
			'update app.people set home.street = ssn where id = 1 returning home',
			'select home, name from app.people where id = 1',
			'rollback',
		],
		'SET of an element from a hidden column': [
			'begin',
			'update app.people set tags[1] = notes, name = tags[1] where id = 1 returning tags, name',
			'rollback',
		],
		'SET to DEFAULT and back': [
			'begin',
			'update app.accounts set added = default, memo = added where id = 10 returning memo',
			'rollback',
		],
		'SET from EXCLUDED and the target': [
			'begin',
			"insert into app.accounts as a (id, tenant, owner_id, balance) values (10, 'acme', 1, 1) on conflict (id) do update set memo = a.iban",
			'select memo from app.accounts where id = 10',
			'rollback',
		],
		'SET in MERGE from the target': [
			'begin',
			'merge into app.accounts a using (values (10)) v (id) on v.id = a.id when matched then update set memo = a.iban',
			'select memo from app.accounts where id = 10',
			'rollback',
		],
		'SET in MERGE from a source': [
			'begin',
			'merge into app.accounts a using app.people p on p.id = a.owner_id when matched then update set memo = p.ssn',
			'select memo from app.accounts',
			'rollback',
		],
		'INSERT ... SELECT of a masked column': [
			'begin',
			'insert into lab.inbox select id + 300, ssn, salary from app.people',
			'select * from lab.inbox',
			'rollback',
		],
		'INSERT ... SELECT within the table': [
			'begin',
			'insert into app.accounts (id, tenant, owner_id, balance, memo) select id + 1, tenant, owner_id, balance, iban from app.accounts',
			'select memo from app.accounts',
			'rollback',
		],
		'INSERT ... SELECT of a whole row': [
			'begin',
			'insert into lab.inbox (id, line) select id + 300, p::text from app.people p',
			'select line from lab.inbox',
			'rollback',
		],
		'a check that fails tells the row': ['begin', 'update app.accounts set balance = -1 where id = 10', 'rollback'],
		'a check that fails on INSERT ... SELECT': [
			'begin',
			'insert into app.accounts select id + 7, tenant, owner_id, iban, -1 from app.accounts',
			'rollback',
		],
		'a not-null that fails tells the row': ['begin', 'update app.accounts set memo = null where id = 10', 'rollback'],
		'a not-null that fails on people': ['begin', 'update app.people set name = null where id = 1', 'rollback'],
		'a type that fails tells the value': [
			'begin',
			'update app.accounts set owner_id = iban::int where id = 10',
			'rollback',
		],
		'a trigger that tells by NOTICE': ['begin', "update app.accounts set memo = 'x' where id = 10", 'rollback'],
		'a trigger that tells of a DELETE': ['begin', 'delete from app.accounts where id = 20', 'rollback'],
		'a trigger that tells by its error': ['begin', 'update app.people set hired = now() where id = 1', 'rollback'],
		'a trigger in a CTE': [
			'begin',
			"with u as (update app.accounts set memo = 'x' where id = 10 returning 1) select * from u",
			'rollback',
		],
		'a trigger in EXECUTE': [
			"prepare u as update app.accounts set memo = 'x' where id = 10",
			'begin',
			'execute u',
			'rollback',
		],
		'a trigger in MERGE': [
			'begin',
			"merge into app.accounts a using (values (10)) v (id) on v.id = a.id when matched then update set memo = 'x'",
			'rollback',
		],
		'a partition that does not fit tells the row': [
			'begin',
			"update app.events_new_own set tenant = 'globex', kind = payload where id = 100",
			'rollback',
		],
		'a partition that does not fit tells the row, by date': [
			'begin',
			"update app.events_old set at = '2025-01-01'",
			'rollback',
		],
		'a foreign key that fails tells the key': [
			'begin',
			'update app.accounts set owner_id = 424242 where id = 10',
			'rollback',
		],
		'a referencing row tells the key': ['begin', 'delete from app.accounts where id = 10', 'rollback'],
		'a view over what a write returns': [
			'begin',
			"with u as (update app.accounts set memo = 'x' returning *) select u.iban, u.balance from u",
			'rollback',
		],
		'COPY of an UPDATE RETURNING': [
			'begin',
			"copy (update app.accounts set memo = 'x' where id = 10 returning *) to stdout",
			'rollback',
		],
		'EXPLAIN ANALYZE of an UPDATE': [
			'begin',
			"explain (analyze, verbose, timing off, summary off) update app.accounts set memo = 'x' where id = 10 returning iban",
			'rollback',
		],
		'COPY FROM that fails tells the line': [
			'begin',
			{ sql: 'copy app.accounts (id, tenant, owner_id, balance) from stdin', copyIn: '10\tacme\t1\t1\n' },
			'rollback',
		],
	},
	WES,
).map((attack) => ({ ...attack, bare: silent[attack.name] ?? null }));

const counts = probes(
	'writing',
	{
		'an UPDATE count by a masked column': {
			guesses: ownIban,
			sql: (g) => `update app.accounts set memo = memo where iban = '${g}'`,
		},
		'an UPDATE count by a masked column of another table': {
			guesses: ownSsn,
			sql: (g) => `update app.accounts a set memo = memo from app.people p where p.id = a.owner_id and p.ssn = '${g}'`,
		},
		'an UPDATE count by a sublink': {
			guesses: ownSsn,
			sql: (g) =>
				`update app.accounts set memo = memo where id = 10 and exists (select from app.people where ssn = '${g}')`,
		},
		'an UPDATE count by a hidden column': {
			guesses: ownNotes,
			sql: (g) => `update app.people set name = name where notes = '${g}'`,
		},
		'an UPDATE count by a masked number': {
			guesses: ownSalary,
			sql: (g) => `update app.people set name = name where salary = ${g}`,
		},
		'an UPDATE count by a row of others': {
			guesses: otherMemo,
			sql: (g) => `update app.accounts set memo = memo where memo = '${g}'`,
		},
		'an UPDATE count by an id of others': {
			guesses: otherAccount,
			sql: (g) => `update app.accounts set memo = memo where id = ${g}`,
		},
		'a DELETE count by a masked column': {
			guesses: ownPayload,
			sql: (g) => `delete from app.events where payload = '${g}'`,
		},
		'a DELETE count by an id of others': {
			guesses: otherAccount,
			sql: (g) => `delete from app.accounts where id = ${g}`,
		},
		'a DELETE count with USING': {
			guesses: ownSsn,
			sql: (g) => `delete from lab.inbox i using app.people p where p.id = i.id and p.ssn = '${g}'`,
		},
		'an INSERT count by a masked column': {
			guesses: ownSsn,
			sql: (g) => `insert into lab.inbox select id + 500, 'x' from app.people where ssn = '${g}'`,
		},
		'RETURNING a comparison': {
			guesses: ownIban,
			sql: (g) => `update app.accounts set memo = memo where id = 10 returning iban = '${g}'`,
		},
		'RETURNING a comparison of old': {
			guesses: ownIban,
			sql: (g) => `update app.accounts set memo = memo where id = 10 returning old.iban = '${g}'`,
		},
		'SET by a comparison': {
			guesses: ownIban,
			sql: (g) =>
				`update app.accounts set memo = case when iban = '${g}' then 'yes' else 'no' end where id = 10 returning memo`,
		},
		'SET by a comparison that fails': {
			guesses: ownSsn,
			sql: (g) => `update app.people set name = case when ssn = '${g}' then null else name end where id = 1`,
		},
		'SET by a division': {
			guesses: ownSalary,
			sql: (g) => `update app.people set dept_id = 1 + 0 / (salary - ${g})::int where id = 1`,
		},
		'WHERE with a division on others': {
			guesses: otherAccount,
			sql: (g) => `update app.accounts set memo = memo where 1 / (id - ${g}) > -1`,
		},
		'DELETE with a division on others': {
			guesses: otherAccount,
			sql: (g) => `delete from app.transfers using app.accounts a where 1 / (a.id - ${g}) > -1`,
		},
		'ON CONFLICT with a condition on a masked column': {
			guesses: ownIban,
			sql: (g) =>
				`insert into app.accounts as a (id, tenant, owner_id, balance) values (10, 'acme', 1, 1) on conflict (id) do update set memo = 'x' where a.iban = '${g}'`,
		},
		'MERGE on a masked column': {
			guesses: ownIban,
			sql: (g) =>
				`merge into app.accounts a using (values ('${g}')) v (i) on v.i = a.iban when matched then do nothing when not matched then insert (id, tenant, owner_id, balance) values (9300, 'acme', 1, 1)`,
		},
		'MERGE with a condition on a masked column': {
			guesses: ownIban,
			sql: (g) =>
				`merge into app.accounts a using (values (10)) v (id) on v.id = a.id when matched and a.iban = '${g}' then update set memo = 'x'`,
		},
		'MERGE on a row of others': {
			guesses: otherMemo,
			sql: (g) =>
				`merge into lab.inbox i using app.accounts a on a.memo = '${g}' and i.id = 1 when matched then update set line = 'x'`,
		},
		'EXPLAIN ANALYZE of an UPDATE of others': {
			guesses: otherAccount,
			sql: (g) =>
				`explain (analyze, costs off, timing off, summary off, buffers off) update app.accounts set memo = memo where id = ${g}`,
		},
		'a cursor and WHERE CURRENT OF': {
			guesses: otherAccount,
			sql: (g) => [
				`declare c cursor for select id from app.accounts where id = ${g} for update`,
				'fetch c',
				'update app.accounts set memo = memo where current of c',
			],
		},
	},
	{ as: 'wes', transaction: true },
);

const byCreating = [
	...attacks('writing', 'unwritten', {
		'an own child adds rows to its parent': [
			'create table lab.kid () inherits (app.people)',
			"insert into lab.kid (id, tenant, name, salary) values (999, 'globex', 'x', 1)",
		],
		'an own partition adds rows to its parent': [
			"create table lab.part8 partition of app.events for values from ('2050-01-01') to ('2051-01-01')",
			"insert into lab.part8 values (1, 'globex', '2050-05-05', 'x', 'y')",
		],
		'an own view writes to what it reads': [
			'create view lab.up as select * from app.accounts',
			"update lab.up set memo = 'mine'",
			'drop view lab.up',
		],
		'an own view writes to an open table': [
			'create view lab.up2 as select * from app.depts',
			"update lab.up2 set title = 'mine'",
			'drop view lab.up2',
		],
		'an own foreign key holds a row': [
			'create table lab.hold (s int references app.depts (id) on update cascade)',
			"update app.depts set title = 'mine'",
		],
	}),
	...probes('writing', {
		'a foreign key of the own is an oracle': {
			guesses: ownSsn,
			sql: (g) => [
				'begin',
				'create table lab.guess (s text references app.people (ssn))',
				`insert into lab.guess values ('${g}')`,
				'rollback',
			],
		},
		'an exclusion of the own is none': {
			guesses: ownSsn,
			sql: (g) => [
				'begin',
				'create temp table t (s text unique)',
				'insert into t select ssn from app.people',
				`insert into t values ('${g}') on conflict do nothing`,
				'rollback',
			],
		},
	}),
];

const foreign = attacks('writing', 'denied', {
	'an analyst who inserts': [
		'begin',
		"insert into app.accounts (id, tenant, owner_id, balance) values (9400, 'acme', 1, 1)",
		'rollback',
	],
	'an analyst who updates': ['begin', "update app.people set name = 'x' where id = 1", 'rollback'],
	'an analyst who deletes': ['begin', 'delete from app.accounts where id = 20', 'rollback'],
	'an analyst who merges': [
		'begin',
		"merge into app.accounts a using (values (10)) v (id) on v.id = a.id when matched then update set memo = 'x'",
		'rollback',
	],
	'an analyst who truncates': ['begin', 'truncate app.transfers', 'rollback'],
	'an analyst who writes in a CTE': [
		'begin',
		"with u as (update app.people set name = 'x' returning 1) select 1",
		'rollback',
	],
	'an analyst who copies in': ['begin', { sql: 'copy app.depts from stdin', copyIn: '77\tx\ty\n' }, 'rollback'],
	'an analyst who writes through a view': ['begin', "update app.people_v set name = 'x' where id = 1", 'rollback'],
	'an analyst who explains a write': ['begin', "explain update app.people set name = 'x'", 'rollback'],
	'an analyst who locks for a write': ['begin', 'lock table app.accounts in exclusive mode', 'rollback'],
	'an analyst who refreshes': 'refresh materialized view app.people_mv',
	'an analyst who listens': 'listen anything',
	'an analyst who notifies': "notify anything, 'x'",
	'an analyst who notifies by a function': "select pg_notify('anything', 'x')",
	'an analyst who assigns to a masked column': ['begin', "update app.people set ssn = 'x' where id = 1", 'rollback'],
});

export const writing: readonly AttackCase[] = [...rows, ...batches, ...told, ...counts, ...byCreating, ...foreign];
