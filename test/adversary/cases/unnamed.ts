/** Attacks by functions that nobody names: the server runs those of an operator class, and what a copied definition calls. */
import { type AttackCase, attacks } from '../case.ts';

const classes = attacks(
	'functions',
	'denied',
	{
		'an index by an operator class': 'create index on lab.numbers (n app.telling)',
		'an index of an expression by an operator class': 'create index on lab.numbers ((n + 1) app.telling)',
		'an index by an operator class of search_path': [
			'set local search_path = app',
			'create index on lab.numbers (n telling)',
		],
		'an index by the operator class of a type': 'create index on lab.ranks (r)',
		'an index of an expression by the operator class of its type': 'create index on lab.ranks ((row(1)::app.rank))',
		'an exclusion constraint by an operator class':
			'create table lab.apart (n int, exclude using btree (n app.telling with =))',
		'an exclusion constraint that is added, by an operator class':
			'alter table lab.numbers add exclude using btree (n app.telling with =)',
		'a partition key by an operator class': [
			'create table lab.parts (n int) partition by range (n app.telling)',
			'create table lab.part partition of lab.parts for values from (3) to (1)',
		],
		'a range type by an operator class': [
			'create type lab.span as range (subtype = int, subtype_opclass = app.telling)',
			'select lab.span(3, 1)',
		],
		'a primary key by the operator class of its type': 'alter table lab.ranks add primary key (r)',
		'a unique column by the operator class of its type': 'create table lab.unlike (r app.rank unique)',
	},
	{ transaction: true, protocols: ['simple', 'extended'] },
);

const sorted = attacks('functions', 'denied', {
	'ORDER BY USING an operator of a class': 'select n from lab.numbers order by n using operator(app.@<)',
	'ORDER BY USING in an aggregate': 'select array_agg(n order by n using operator(app.@>)) from lab.numbers',
	'ORDER BY USING in a window': 'select rank() over (order by n using operator(app.@<)) from lab.numbers',
});

const copied = attacks(
	'functions',
	'no-secret',
	{
		'a default that LIKE copies': [
			'create table lab.copy (like app.forms including defaults)',
			'insert into lab.copy (id) values (1) returning made',
		],
		'a generated column that LIKE copies': [
			'create table lab.copy (like app.forms including generated)',
			'insert into lab.copy (id) values (1) returning told',
		],
		'everything that LIKE copies': [
			'create table lab.copy (like app.forms including all)',
			'insert into lab.copy (id) values (1) returning made, told',
		],
		'everything that LIKE copies but the indexes': [
			'create table lab.copy (like app.forms including all excluding indexes)',
			'insert into lab.copy (id) values (1) returning made, told',
		],
	},
	{ transaction: true, protocols: ['simple', 'extended'] },
);

/** What the default of a domain calls, where nothing is written to a column of it. */
const defaulted = attacks(
	'functions',
	'no-secret',
	{
		'a column of a domain with a default': [
			'create temporary table forms (n int, made app.told_by_default)',
			'insert into forms (n) values (1) returning made',
		],
		'a column of a domain with a default that is added': [
			'alter table lab.numbers add made app.told_by_default',
			'select made from lab.numbers',
		],
		'a column that becomes one of a domain with a default': [
			'create temporary table forms (n int, made text)',
			'alter table forms alter made type app.told_by_default',
			'insert into forms (n) values (1) returning made',
		],
		'a column of a domain with a default, made by a query': [
			'create table lab.forms as select 1 as n, null::app.told_by_default as made',
			'insert into lab.forms (n) values (1) returning made',
		],
		'a domain over one with a default': [
			'create domain lab.by_default as app.told_by_default',
			'create table lab.forms (n int, made lab.by_default)',
			'insert into lab.forms (n) values (1) returning made',
		],
		'everything in one text':
			'create temporary table forms (n int, made app.told_by_default); insert into forms (n) values (1) returning made',
	},
	{ transaction: true, protocols: ['simple'] },
);

const PATH = 'set local search_path = lab, app, public';
/** From now on `word` is of a type for which another function of the name is the one that is meant. */
const RETYPED = ['alter table lab.tunes rename word to was', 'alter table lab.tunes rename tone to word'];

/** What a transaction has altered is in the catalogue as it was before. */
const retyped = attacks(
	'functions',
	'no-secret',
	{
		'a column that is of another type by now': [PATH, ...RETYPED, 'select initcap(word) from tunes'],
		'an index on a column that is of another type by now': [PATH, ...RETYPED, 'create index on tunes (initcap(word))'],
		'a column whose type was altered': [
			PATH,
			'alter table lab.airs alter word type app.tone using word::app.tone',
			'select initcap(word) from airs',
		],
		'a column of a child, altered in its parent': [PATH, ...RETYPED, 'select initcap(word) from songs'],
		'a field of a column, altered in the table of its type': [
			PATH,
			...RETYPED,
			'select initcap((tune).word) from scores',
		],
		'another table by the name of one': [
			PATH,
			'alter table lab.tunes rename to was',
			'create table lab.tunes as select id, tone as word from lab.was',
			'select initcap(word) from tunes',
		],
		'a column that is of its old type again': [
			PATH,
			'alter table lab.tunes rename word to was',
			'alter table lab.tunes rename tone to word',
			'savepoint s',
			'alter table lab.tunes rename word to tone',
			'alter table lab.tunes rename was to word',
			'select initcap(word) from tunes',
			'rollback to savepoint s',
			'select initcap(word) from tunes',
		],
		'a statement that was prepared before': [
			PATH,
			'prepare before as select initcap(word) from tunes',
			...RETYPED,
			'execute before',
		],
	},
	{ transaction: true, protocols: ['simple', 'extended'] },
);

const retypedInText = attacks(
	'functions',
	'no-secret',
	{
		'a column whose type is altered in the text': [
			PATH,
			'alter table lab.airs alter word type app.tone using word::app.tone; select initcap(word) from airs',
		],
		'a column of a child that is renamed in the text': [PATH, `${RETYPED.join('; ')}; select initcap(word) from songs`],
		'a table that is made and altered in the text': [
			PATH,
			`create table lab.verses (word text); insert into lab.verses values ('up');
			alter table lab.verses alter word type app.tone using word::app.tone; select initcap(word) from lab.verses`,
		],
	},
	{ transaction: true, protocols: ['simple'] },
);

export const unnamed: readonly AttackCase[] = [
	...classes,
	...sorted,
	...copied,
	...defaulted,
	...retyped,
	...retypedInText,
];
