/** Attacks by names without schema that mean one thing to the gateway and, by the time they run, another to the server. */
import { type AttackCase, attacks } from '../case.ts';

/** The first of the name is the own one, the one behind it in the path is not. */
const PATH = 'set local search_path = lab, app';

/** What the transaction has dropped is still in the catalogue, and what stands behind it in the path comes to be meant. */
const gone = attacks(
	'names',
	'denied',
	{
		'a table is dropped twice': [PATH, 'drop table people', 'drop table people cascade'],
		'a table is dropped twice, by a list': [PATH, 'drop table people', 'drop table inbox, people cascade'],
		'a view is dropped twice': [PATH, 'drop view own_v', 'drop view own_v'],
		'a sequence is dropped twice': [PATH, 'drop sequence ticket_seq', 'drop sequence ticket_seq'],
		'a comment on what was dropped': [PATH, 'drop table people', "comment on table people is 'x'"],
		'a comment on a column of what was dropped': [PATH, 'drop table people', "comment on column people.ssn is 'x'"],
		'nextval of what was dropped': [PATH, 'drop sequence ticket_seq', "select nextval('ticket_seq')"],
		'setval of what was dropped': [PATH, 'drop sequence ticket_seq', "select setval('ticket_seq', 99)"],
	},
	{ transaction: true, sqlstates: ['42P01', '42501'] },
);

const behind = attacks(
	'names',
	'denied',
	{
		'a type of a schema behind the own one is dropped': [PATH, 'drop type wrapped cascade'],
		'a type of a schema behind the own one is renamed': [PATH, 'alter type mood rename to spirit'],
		'a type of a schema behind the own one gets a value': [PATH, "alter type mood add value 'wild'"],
		'a type of a schema behind the own one is moved': [PATH, 'alter type mood set schema lab'],
		'a domain of a schema behind the own one is dropped': [PATH, 'drop domain checked cascade'],
		'a function of a schema behind the own one is dropped': [PATH, 'drop function plus_one(int)'],
		'a function of a schema behind the own one is altered': [PATH, 'alter function plus_one(int) leakproof'],
		'a function of a schema behind the own one is renamed': [PATH, 'alter function plus_one(int) rename to plus_two'],
		'an operator of a schema behind the own one is dropped': [PATH, 'drop operator <+> (text, int)'],
		'a comment on a type of a schema behind the own one': [PATH, "comment on type mood is 'x'"],
		'the name of a sequence is cut by a cast': [PATH, "select nextval(('ticket_seqx'::varchar(10))::regclass)"],
	},
	{ transaction: true },
);

/** Steps around which an own object by the name of another's is there, outside of the transaction. */
function owned(make: string, drop: string, ...steps: readonly string[]): readonly string[] {
	return [make, 'set search_path = lab, app', 'begin', ...steps, 'rollback', drop];
}

const DOMAIN = 'create domain lab.stealing as pg_catalog.text';
const NO_DOMAIN = 'drop domain lab.stealing';

/** Code that runs for a value of a type, or as an operator, of the name of the own one. */
const code = attacks('names', 'no-secret', {
	'a domain is dropped, and that behind it is meant': owned(DOMAIN, NO_DOMAIN, NO_DOMAIN, "select 'x'::stealing"),
	'a domain is renamed, and that behind it is meant': owned(
		DOMAIN,
		NO_DOMAIN,
		'alter domain lab.stealing rename to robbing',
		"select cast('x' as stealing)",
	),
	'a domain goes with its base, and that behind it is meant': [
		'create domain lab.base as pg_catalog.text',
		...owned(
			'create domain lab.stealing as lab.base',
			'drop domain lab.stealing, lab.base',
			'drop domain lab.base cascade',
			"select 'x'::stealing",
		),
	],
	'an array of a domain that is dropped': owned(DOMAIN, NO_DOMAIN, NO_DOMAIN, "select '{x}'::stealing[]"),
	'a column of a domain that is dropped': owned(
		DOMAIN,
		NO_DOMAIN,
		NO_DOMAIN,
		'create temp table t (a stealing)',
		"insert into t values ('x')",
	),
	'a column of a record, of a domain that is dropped': owned(
		DOMAIN,
		NO_DOMAIN,
		NO_DOMAIN,
		`select * from json_to_record('{"a": "x"}') as r (a stealing)`,
	),
	'JSON_VALUE of a domain that is dropped': owned(
		DOMAIN,
		NO_DOMAIN,
		NO_DOMAIN,
		`select json_value('{"a": "x"}', '$.a' returning stealing)`,
	),
	'the type of a table that is dropped': owned(
		'create table lab.stealing (a int)',
		'drop table lab.stealing',
		'drop table lab.stealing',
		"select 'x'::stealing",
	),
	'a cast to a type that is dropped': owned(
		'create domain lab.stolen as pg_catalog.int4',
		'drop domain lab.stolen',
		'drop domain lab.stolen',
		'select 101::stolen',
	),
	'an operator is dropped, and that behind it is meant': owned(
		'create operator lab.<+> (leftarg = pg_catalog.text, rightarg = int, function = pg_catalog."left")',
		'drop operator lab.<+> (pg_catalog.text, int)',
		'drop operator lab.<+> (pg_catalog.text, int)',
		"select 'x'::pg_catalog.text <+> 101",
	),
});

/** Attacks by names that lead elsewhere. */
export const elsewhere: readonly AttackCase[] = [...gone, ...behind, ...code];
