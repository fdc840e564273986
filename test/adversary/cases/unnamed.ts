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

export const unnamed: readonly AttackCase[] = [...classes, ...sorted, ...copied];
