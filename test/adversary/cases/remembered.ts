/** Attacks on what a gateway remembers: the same shape of statement with another literal, where the literal matters. */
import { type AttackCase, attacks, type Step } from '../case.ts';
import { randomNumber, randomWord } from '../secrets.ts';

/** The harmless one often enough to be remembered, each time with another literal, and then the other. */
function warmed(harmless: (word: string) => Step, ...then: readonly Step[]): Step[] {
	return [...Array.from({ length: 4 }, () => harmless(randomWord(5))), ...then];
}

export const remembered: readonly AttackCase[] = [
	...attacks('protocol', 'masked', {
		'another string': () =>
			warmed((w) => `select ssn from app.people where name <> '${w}'`, `select ssn from app.people where name <> ''`),
		'a longer string before the table': () =>
			warmed(
				(w) => `select '${w}', ssn, name from app.people`,
				`select '${'x'.repeat(300)}', ssn, name from app.people`,
			),
		'letters of several bytes': () =>
			warmed((w) => `select '${w}', ssn, name from app.people p`, `select 'é😀漢', ssn, name from app.people p`),
		'a quote in the string': () =>
			warmed(
				(w) => `select '${w}', ssn from app.people`,
				`select 'a''b'', ssn from app.people --', ssn from app.people`,
			),
		'an empty string': () => warmed((w) => `select '${w}', ssn from app.people`, `select '', ssn from app.people`),
		'an escape string': () =>
			warmed(
				(w) => `select e'${w}', ssn from app.people`,
				String.raw`select e'\'', ssn from app.people --', ssn from app.people`,
				String.raw`select e'\x27\'', ssn from app.people`,
			),
		'dollar quotes': () =>
			warmed(
				(w) => `select $$${w}$$, ssn from app.people`,
				"select $$a'b$$, ssn from app.people",
				'select $a$ $$ $a$, ssn from app.people',
			),
		'one kind of string for another': () =>
			warmed(
				(w) => `select '${w}', ssn from app.people`,
				`select $q$x$q$, ssn from app.people`,
				`select U&'\\0061', ssn from app.people`,
				`select b'101', ssn from app.people`,
				`select x'1f', ssn from app.people`,
			),
		'a larger number': () =>
			warmed(
				() => `select ssn from app.people where id < ${randomNumber(3)}`,
				'select ssn from app.people where id < 2000000000',
				'select ssn from app.people where id < 20000000000',
				'select ssn from app.people where id < 1e9',
			),
		'a negative number': () =>
			warmed(
				() => `select ssn, ${randomNumber(2)} from app.people`,
				'select ssn, -1 from app.people',
				'select ssn, - 1 from app.people',
				'select ssn --1\n, 2 from app.people',
			),
		'a number of another kind': () =>
			warmed(
				() => `select ssn, ${randomNumber(2)} from app.people`,
				'select ssn, 0x1f from app.people',
				'select ssn, 1_000 from app.people',
				'select ssn, .5 from app.people',
				'select ssn, 1.5e-3 from app.people',
			),
		'strings that are continued': () =>
			warmed((w) => `select '${w}'\n'${w}', ssn from app.people`, "select 'a'\n'b', ssn from app.people"),
		'a comment with a quote': () =>
			warmed(
				(w) => `select ssn /* '${w} */ from app.people where name <> '${w}'`,
				"select ssn /* ' */ from app.people where name <> ''",
			),
		'a position in ORDER BY': () =>
			warmed(
				() => 'select id, name, ssn from app.people order by 1',
				'select id, name, ssn from app.people order by 3',
				'select id, name, ssn from app.people order by 2',
			),
		'a position in GROUP BY': [
			'select ssn, tenant, count(*) from app.people group by 1, 2',
			'select ssn, tenant, count(*) from app.people group by 2, 1',
		],
		'a LIMIT': () =>
			warmed(() => `select ssn from app.people limit ${randomNumber(1)}`, 'select ssn from app.people limit 1000'),
		COPY: () =>
			warmed(
				(w) => `copy (select '${w}', ssn, name from app.people) to stdout`,
				"copy (select 'é😀', ssn, name from app.people) to stdout",
			),
		'a view': () =>
			warmed((w) => `select '${w}', code, label from app.people_vv`, "select 'é😀''', code, label from app.people_vv"),
		'a CTE and a join': () =>
			warmed(
				(w) => `with c as (select '${w}' as w, ssn from app.people) select c.*, a.iban, '${w}' from c, app.accounts a`,
				"with c as (select 'é😀é😀' as w, ssn from app.people) select c.*, a.iban, '' from c, app.accounts a",
			),
		EXECUTE: () => [
			'prepare q (text) as select ssn, $1 from app.people',
			...warmed((w) => `execute q ('${w}')`, "execute q ('é''')"),
		],
	}),
	...attacks('protocol', 'no-secret', {
		'another search_path': () =>
			warmed(
				() => "select set_config('search_path', 'lab', false)",
				"select set_config('search_path', 'app', false)",
				'select ssn from people',
			),
		'another search_path by SET': () =>
			warmed(() => "set search_path = 'lab'", "set search_path = 'app'", 'select ssn from people'),
		'another type by text': () =>
			warmed(
				() => `select pg_input_is_valid('${randomNumber(2)}', 'integer')`,
				"select pg_input_is_valid('x', 'app.stealing')",
			),
		'another file': (world) =>
			warmed(
				(w) => `select '${w}' as f from app.depts`,
				`select pg_read_file('${world.fileName}') as f from app.depts`,
			),
		'a literal in the place of another cast': () =>
			warmed((w) => `select cast('${w}' as text)`, "select cast('x' as app.stealing)"),
		'a value in a filter of the own': () =>
			warmed(
				() => "select ssn, name from app.people where tenant = 'acme'",
				"select ssn, name from app.people where tenant = 'globex'",
			),
		'a sequence by text': () =>
			warmed((w) => `select to_regclass('${w}')`, "select pg_sequence_last_value('app.invoice_seq')::text"),
		'the same text by another user of the same shape': [
			'select name from app.people where id > 0',
			'select name from app.people where id > 99',
		],
	}),
	...attacks('protocol', 'denied', {
		'another setting': () =>
			warmed(
				() => "select set_config('statement_timeout', '9000', true)",
				"select set_config('role', 'pg_monitor', true)",
			),
		'another value of a setting': () => warmed(() => "set client_encoding = 'UTF8'", "set client_encoding = 'LATIN1'"),
		'another overload': () => warmed(() => `select app.over(${randomNumber(3)})`, "select app.over('x')"),
		'another overload by the size of a number': () =>
			warmed(() => `select app.over(${randomNumber(3)})`, 'select app.over(null::text)'),
		'another denied table': () => warmed((w) => `select id, '${w}' from app.depts`, "select id, 'x' from app.secrets"),
	}),
	...attacks(
		'protocol',
		'unwritten',
		{
			'another tenant by UPDATE': () =>
				warmed(
					() => "update app.accounts set tenant = 'acme' where id = 10",
					"update app.accounts set tenant = 'globex' where id = 10",
				),
			'another tenant by INSERT': () =>
				warmed(
					() =>
						"insert into app.accounts (id, tenant, owner_id, balance) values (9060, 'acme', 1, 1) on conflict do nothing",
					"insert into app.accounts (id, tenant, owner_id, balance) values (9061, 'globex', 1, 1) on conflict do nothing",
				),
			'another row by UPDATE': () =>
				warmed(
					(w) => `update app.accounts set memo = '${w}' where id = 10`,
					"update app.accounts set memo = 'mine' where id = 1010",
				),
			'another row by DELETE': () =>
				warmed(
					() => `delete from app.accounts where id = ${randomNumber(7)}`,
					'delete from app.accounts where id = 1020',
				),
			'another tenant by MERGE': () =>
				warmed(
					() =>
						"merge into app.accounts a using (values (10)) v (id) on v.id = a.id when matched then update set tenant = 'acme'",
					"merge into app.accounts a using (values (10)) v (id) on v.id = a.id when matched then update set tenant = 'globex'",
				),
		},
		{ as: 'wes' },
	),
];
