/** Attacks by writing through views: rows of others, columns that are denied or masked, and what the views' own conditions tell. */
import { type AttackCase, attacks, probes } from '../case.ts';
import { otherAccount, otherMemo, otherSsn, ownIban } from '../guesses.ts';

const WES = { as: 'wes' } as const;
const NEW = "(id, tenant, owner_id, balance) values (%, 'globex', 1, 1)";
const others = (id: number): string => NEW.replace('%', String(id));

const rows = attacks(
	'writing',
	'unwritten',
	{
		'through a view: UPDATE of all rows': "update app.through_v set memo = 'mine'",
		'through a view: UPDATE of a row of others': "update app.through_v set memo = 'mine' where id = 1010",
		'through a view: UPDATE behind OR': "update app.through_v v set memo = 'mine' where v.id = 10 or true",
		'through a view: UPDATE of a nested one': "update app.through_nested_v set memo = 'mine' where id = 1010",
		'through a view: UPDATE under other names': "update app.through_names_v set line = 'mine' where number = 1010",
		'through a view: UPDATE of a nested one under other names': "update app.through_names_vv set line = 'mine'",
		'through a view: UPDATE of a security barrier': "update app.through_barrier_v set memo = 'mine'",
		'through a view: UPDATE of an invoker': "update app.through_invoker_v set memo = 'mine'",
		'through a view: UPDATE with a check option': "update app.through_checked_v set memo = 'mine' where id = 1010",
		'through a view: UPDATE without the tenant in it': "update app.through_less_v set memo = 'mine' where id = 1010",
		'through a view: UPDATE moves a row': "update app.through_v set tenant = 'globex' where id = 10",
		'through a view: UPDATE moves a row by another name':
			"update app.through_names_vv set firm = 'globex' where number = 10",
		'through a view: UPDATE moves a row by the second of two names':
			"update app.through_twice_v set again = 'globex' where id = 10",
		'through a view: UPDATE moves a row, with RETURNING':
			"update app.through_v set tenant = 'globex' where id = 10 returning id",
		'through a view: UPDATE moves a row by FROM':
			"update app.through_v a set tenant = v.t from (values ('globex')) v (t) where a.id = 10",
		'through a view: UPDATE moves a row in a CTE':
			"with u as (update app.through_v set tenant = 'globex' where id = 10) select 1",
		'through a view: UPDATE of a row of others by a trigger':
			"update app.through_trigger_v set memo = 'mine' where id = 1010",
		'through a view: UPDATE of others where a rule runs':
			"update app.through_ruled_v set memo = 'mine' where id = 1010",
		'through a view: UPDATE of a denied column': "update app.through_v set approved_by = 'me' where id = 10",
		'through a view: UPDATE of a denied column by another name':
			"update app.through_names_vv set boss = 'me' where number = 10",
		'through a view: UPDATE of a denied column named as another':
			"update app.through_mislead_v set iban = 'me' where id = 10",
		'through a view: UPDATE of a partition’s column named as another': "update app.ledgers_mislead_v set line = 'me'",
		'through a view: DELETE of all rows': 'delete from app.through_v where id <> all (array[10, 20, 30, 40, 50, 60])',
		'through a view: DELETE of a row of others': 'delete from app.through_names_vv where number = 1010',
		'through a view: DELETE with USING': 'delete from app.through_v a using app.depts d where a.id > 1000',
		'through a view: DELETE without the tenant in it': 'delete from app.through_less_v where id > 1000',
		'through a view: DELETE with a LIMIT in it': 'delete from app.through_one_v where id > 1000',
		'through a view: DELETE FROM ONLY of a denied partition': 'delete from only app.ledgers_v where id = 1',
		'through a view: DELETE where only INSERT has a trigger': 'delete from app.ledgers_early where id = 1',
		'through a view: INSERT for others': `insert into app.through_v ${others(9201)}`,
		'through a view: INSERT for others, nested': `insert into app.through_nested_v ${others(9202)}`,
		'through a view: INSERT for others by its default':
			'insert into app.through_default_v (id, owner_id, balance) values (9203, 1, 1)',
		'through a view: INSERT for others with a check option': `insert into app.through_checked_v ${others(9204)}`,
		'through a view: INSERT of a denied column':
			"insert into app.through_names_v (number, firm, owner, total, boss) values (9205, 'acme', 1, 1, 'me')",
		'through a view: INSERT of a denied column without a list':
			"insert into app.through_mislead_v values (9206, 'acme', 1, 'c', 1, 'me', 'm')",
		'through a view: INSERT ON CONFLICT takes over a row of others':
			"insert into app.through_v (id, tenant, owner_id, balance) values (1010, 'acme', 1, 1) on conflict (id) do update set memo = 'mine'",
		'through a view: INSERT ON CONFLICT moves by EXCLUDED':
			"insert into app.through_names_v (number, firm, owner, total) values (10, 'globex', 1, 1) on conflict (number) do update set firm = excluded.firm",
		'through a view: MERGE updates others':
			"merge into app.through_v a using (values (1010)) v (id) on v.id = a.id when matched then update set memo = 'mine'",
		'through a view: MERGE deletes by source':
			'merge into app.through_v a using (values (1)) v (id) on v.id = a.id when not matched by source and a.id > 1000 then delete',
		'through a view: MERGE inserts for others':
			"merge into app.through_names_v a using (values (9207)) v (id) on v.id = a.number when not matched then insert (number, firm, owner, total) values (v.id, 'globex', 1, 1)",
	},
	WES,
);

const told = attacks(
	'writing',
	'no-secret',
	{
		'through a view: RETURNING a masked column': [
			'begin',
			"update app.through_names_v set line = 'x' where number = 10 returning code",
			'rollback',
		],
		'through a view: RETURNING everything': [
			'begin',
			"update app.through_v set memo = 'x' where id = 10 returning *",
			'rollback',
		],
		'through a view: RETURNING a hidden column': [
			'begin',
			"update app.through_v set memo = 'x' where id = 10 returning added",
			'rollback',
		],
		'through a view: RETURNING the row': [
			'begin',
			"update app.through_v a set memo = 'x' where id = 10 returning a, to_jsonb(a), a.*::text",
			'rollback',
		],
		'through a view: RETURNING old and new': [
			'begin',
			"update app.through_v set memo = 'x' where id = 10 returning old.iban, new.iban, old.*",
			'rollback',
		],
		'through a view: RETURNING what it computes': [
			'begin',
			"update app.through_made_v set memo = 'x' where id = 10 returning loud, same",
			'rollback',
		],
		'through a view: RETURNING what it reads elsewhere': [
			'begin',
			"update app.through_told_v set memo = 'x' where id = 10 returning least",
			'rollback',
		],
		'through a view: RETURNING a column named as another': [
			'begin',
			'update app.through_mislead_v set balance = 1 where id = 10 returning memo',
			'rollback',
		],
		'through a view: RETURNING of a DELETE of others': [
			'begin',
			'delete from app.through_v where id <> 10 returning memo, balance',
			'rollback',
		],
		'through a view: RETURNING of MERGE': [
			'begin',
			"merge into app.through_v a using (values (10)) v (id) on v.id = a.id when matched then update set memo = 'x' returning a.iban",
			'rollback',
		],
		'through a view: SET from a masked column': [
			'begin',
			'update app.through_names_v set line = code where number = 10',
			'select memo from app.accounts where id = 10',
			'rollback',
		],
		'through a view: SET from what it computes': [
			'begin',
			'update app.through_made_v set memo = same where id = 10',
			'select memo from app.accounts where id = 10',
			'rollback',
		],
		'through a view: SET from a masked column on conflict': [
			'begin',
			"insert into app.through_v as a (id, tenant, owner_id, balance) values (10, 'acme', 1, 1) on conflict (id) do update set memo = a.iban",
			'select memo from app.accounts where id = 10',
			'rollback',
		],
		'through a view: a trigger that tells the row': [
			'begin',
			"update app.through_trigger_v set memo = 'x' where id = 10",
			'rollback',
		],
		'through a view: a rule that keeps the row': [
			'begin',
			"update app.through_ruled_v set memo = 'x' where id = 10",
			'select line from app.through_kept',
			'rollback',
		],
		'through a view: a check that fails tells the row': [
			'begin',
			'update app.through_v set balance = -1 where id = 10',
			'rollback',
		],
	},
	WES,
);

const counted = probes(
	'writing',
	{
		'through a view: WHERE over a masked column': {
			guesses: ownIban,
			sql: (guess) => ['begin', `update app.through_v set memo = 'x' where iban = '${guess}'`, 'rollback'],
		},
		'through a view: WHERE over a masked column by another name': {
			guesses: ownIban,
			sql: (guess) => ['begin', `delete from app.through_names_vv where c = '${guess}' returning number`, 'rollback'],
		},
		'through a view: WHERE over what it computes': {
			guesses: ownIban,
			sql: (guess) => ['begin', `update app.through_made_v set memo = 'x' where same = '${guess}'`, 'rollback'],
		},
		'through a view: WHERE over what it reads elsewhere': {
			guesses: otherSsn,
			sql: (guess) => ['begin', `update app.through_told_v set memo = 'x' where least = '${guess}'`, 'rollback'],
		},
		'through a view: WHERE over a row of others': {
			guesses: otherMemo,
			sql: (guess) => ['begin', `update app.through_v set memo = 'x' where memo = '${guess}'`, 'rollback'],
		},
		'through a view: an error by a row of others': {
			guesses: otherAccount,
			sql: (guess) => [
				'begin',
				`update app.through_v set memo = 'x' where 1 / (id - ${guess}) < 7 and id > 9`,
				'rollback',
			],
		},
		'through a view: WHERE over a row of others in MERGE': {
			guesses: otherMemo,
			sql: (guess) => [
				'begin',
				`merge into app.through_v a using (values ('${guess}')) v (m) on v.m = a.memo when matched then update set memo = 'x'`,
				'rollback',
			],
		},
	},
	WES,
);

/** The view's own condition works on what is kept from who writes. */
const conditions = attacks(
	'writing',
	'denied',
	{
		'through a view: whose condition reads a masked column': [
			'begin',
			"update app.through_secret_v set memo = 'x'",
			'rollback',
		],
		'through a view: whose condition reads the whole row': [
			'begin',
			"update app.through_row_v set memo = 'x'",
			'rollback',
		],
		'through a view: whose condition reads people': ['begin', "update app.through_others_v set memo = 'x'", 'rollback'],
		'through a view: a condition on what it computes': [
			'begin',
			"update app.through_made_v set memo = 'x' where loud = 'X'",
			'rollback',
		],
	},
	WES,
);

export const viewWrites: readonly AttackCase[] = [...rows, ...told, ...counted, ...conditions];
