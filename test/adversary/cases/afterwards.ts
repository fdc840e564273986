/** Attacks by what a statement does later than it seems: a path that changes in the middle of a text, by what was kept before. */
import { encodeQuery } from '../../../src/wire/encode.ts';
import { type AttackCase, attacks, conversations } from '../case.ts';
import { bind, execute, parse, sync } from '../messages.ts';

/** Nobody may call lab.upper, which stands before pg_catalog's under the path that each of these leads to. */
const CAPTURED = 'select upper(title) from app.depts';
const SET_IT = "set_config('search_path', 'lab, pg_catalog', false)";

const inOneText = attacks(
	'names',
	'no-secret',
	{
		'the end of SET LOCAL, and a call': [
			'set search_path = lab, pg_catalog',
			'begin',
			'set local search_path = app',
			`commit; ${CAPTURED}`,
		],
		'the end of SET LOCAL by END AND CHAIN, and a call': [
			'set search_path = lab, pg_catalog',
			'begin',
			'set local search_path = app',
			`end and chain; ${CAPTURED}`,
			'rollback',
		],
		'the end of a set_config for the transaction, and a call': [
			'set search_path = lab, pg_catalog',
			'begin',
			"select set_config('search_path', 'app', true)",
			`commit; ${CAPTURED}`,
		],
		'the end of a transaction that has failed, and a call': [
			'set search_path = lab, pg_catalog',
			'begin',
			'set search_path = app',
			'select 1/0',
			`commit; ${CAPTURED}`,
		],
		'a SET that is taken back, and a call': [
			'set search_path = lab, pg_catalog',
			'begin',
			'set search_path = app',
			`rollback; ${CAPTURED}`,
		],
		'a SET that is taken back in one text, and a call': [
			'set search_path = lab, pg_catalog',
			`begin; set search_path = app; rollback; ${CAPTURED}`,
		],
		'a SET that is taken back to a savepoint, and a call': [
			'set search_path = lab, pg_catalog',
			`begin; savepoint a; savepoint a; set search_path = app; release a; rollback to a; ${CAPTURED}; rollback`,
		],
		'SET LOCAL for the text, and a call': `set local search_path = lab, pg_catalog; ${CAPTURED}`,
		'SET LOCAL that ends in one text, and a call': [
			'set search_path = lab, pg_catalog',
			`set local search_path = app; commit; ${CAPTURED}`,
		],
		'a table before a protected one that is taken back': [
			'set search_path = app',
			'begin; create temp table people (ssn text); rollback; select ssn from people',
		],
		'a table before a protected one that is taken back in parts': [
			'set search_path = app',
			'begin; savepoint a; create temp table people (ssn text); rollback to a; select ssn from people; rollback',
		],
		'a row of a cursor that sets the path, and a call': [
			'begin',
			`declare c cursor for select ${SET_IT}`,
			`fetch c; ${CAPTURED}`,
			'rollback',
		],
		'a row of a cursor that is passed by, and a call': [
			'begin',
			`declare c cursor for select ${SET_IT}`,
			`move c; ${CAPTURED}`,
			'rollback',
		],
		'a cursor that is kept at the end of its transaction, and a call': [
			'begin',
			`declare c cursor with hold for select ${SET_IT}`,
			`commit; ${CAPTURED}`,
		],
		'EXECUTE of what sets the path, and a call': [`prepare q as select ${SET_IT}`, `execute q; ${CAPTURED}`],
		'EXPLAIN ANALYZE EXECUTE of what sets the path, and a call': [
			`prepare q as select ${SET_IT}`,
			`explain analyze execute q; ${CAPTURED}`,
		],
		'a table of EXECUTE of what sets the path, and a call': [
			`prepare q as select ${SET_IT}`,
			`create temp table x as execute q; ${CAPTURED}`,
		],
		'a view that sets the path, and a call': [
			`create temp view setting as select ${SET_IT} as x`,
			`select * from setting; ${CAPTURED}`,
		],
		'a default that sets the path, and a call': [
			`create temp table t (a int, b text default ${SET_IT})`,
			`insert into t values (1); ${CAPTURED}`,
		],
		'a default that is given later and sets the path, and a call': [
			'create temp table t (a int, b text)',
			`alter table t alter column b set default ${SET_IT}`,
			`insert into t values (1); ${CAPTURED}`,
		],
		'a check that sets the path, and a call': [
			`create temp table t (a int check (${SET_IT} <> ''))`,
			`insert into t values (1); ${CAPTURED}`,
		],
		'a domain that sets the path, and a call': [
			'begin',
			`create domain lab.setting as text check (${SET_IT} <> '')`,
			`select 'x'::lab.setting; ${CAPTURED}`,
			'rollback',
		],
	},
	{ protocols: ['simple'] },
);

const portals = conversations('names', 'no-secret', {
	'a portal that sets the path, by FETCH, and a call': async (client) => {
		await client.run('begin');
		client.send(parse('s', `select ${SET_IT}`), bind('s', [], 'p'), sync());
		await client.waitFor('ReadyForQuery');
		await client.run(`fetch p; ${CAPTURED}`);
		await client.run('rollback');
	},
	'the same in one packet': async (client) => {
		await client.run('begin');
		client.send(parse('s', `select ${SET_IT}`), bind('s', [], 'p'), encodeQuery(`fetch p; ${CAPTURED}`));
		await client.waitFor('ReadyForQuery');
		await client.run('rollback');
	},
	'a cursor that sets the path and a call, in one pipeline': async (client) => {
		await client.run('begin');
		await client.run(`declare c cursor for select ${SET_IT}`);
		client.send(parse('f', 'fetch c'), bind('f'), execute(), parse('u', CAPTURED), bind('u'), execute(), sync());
		await client.waitFor('ReadyForQuery');
		await client.run('rollback');
	},
	'the end of SET LOCAL and a call, in one pipeline': async (client) => {
		await client.run('set search_path = lab, pg_catalog');
		await client.run('begin');
		await client.run('set local search_path = app');
		client.send(parse('e', 'commit'), bind('e'), execute(), parse('u', CAPTURED), bind('u'), execute(), sync());
		await client.waitFor('ReadyForQuery');
	},
	'a statement that sets the path, parsed, and EXECUTE of it in a text': async (client) => {
		client.send(parse('s', "select set_config('search_path', $1, false)"), sync());
		await client.waitFor('ReadyForQuery');
		await client.run(`execute s ('lab, pg_catalog'); ${CAPTURED}`);
	},
	'a FETCH that was parsed, by EXECUTE in a text, of a cursor that sets the path': async (client) => {
		await client.run('begin');
		await client.run(`declare c cursor for select ${SET_IT}`);
		client.send(parse('s', 'fetch c'), sync());
		await client.waitFor('ReadyForQuery');
		await client.run(`execute s; ${CAPTURED}`);
		await client.run('rollback');
	},
	'a portal that sets the path between two calls': async (client) => {
		client.send(
			parse('s', `select ${SET_IT}`),
			parse('u', CAPTURED),
			bind('s', [], 'p'),
			bind('u', [], 'q'),
			execute('p'),
			execute('q'),
			bind('u', [], 'r'),
			execute('r'),
			sync(),
		);
		await client.waitFor('ReadyForQuery');
	},
});

/** Attacks by what comes later. */
export const afterwards: readonly AttackCase[] = [...inOneText, ...portals];
