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

/** Attacks by names that lead elsewhere. */
export const elsewhere: readonly AttackCase[] = [...gone, ...behind];
