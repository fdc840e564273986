/** Looking through a session at what only it sees, and laying that over a snapshot; the session must not notice. */
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import type { CatalogSession } from '../../src/catalog/connection.ts';
import { loadRelations, loadRoutines, overlay } from '../../src/catalog/overlay.ts';
import type { CatalogSnapshot, Relation } from '../../src/catalog/snapshot.ts';
import { createDatabase, startPostgres, type TestDatabase } from '../support/postgres.ts';
import { loadOnce, openSession, otherVersions } from './support.ts';

describe.each([undefined, ...otherVersions()])('a session (%s)', (native) => {
	let database: TestDatabase;
	let snapshot: CatalogSnapshot;
	let session: CatalogSession;
	beforeAll(async () => {
		database = await createDatabase({
			server: await startPostgres(native === undefined ? {} : { native }),
			setup: `create schema hr; create type hr.mood as enum ('sad'); create table hr.employees (id int primary key, ssn text);
				create view hr.staff as select id from hr.employees`,
		});
		snapshot = await loadOnce(database);
	});
	afterAll(() => database.drop());
	beforeEach(async () => {
		session = await openSession(database);
		onTestFinished(() => session.close());
	});

	async function one(sql: string): Promise<string | null | undefined> {
		const [row] = await session.query(sql);
		return row?.[0];
	}

	it('is asked by good plans, whatever plans it wants for itself', async () => {
		const wanted = ['enable_hashjoin', 'enable_mergejoin', 'enable_nestloop', 'enable_indexscan', 'jit'];
		const asked = `select ${wanted.map((name) => `current_setting('${name}')`).join(" || ' ' || ")}`;
		await session.query(wanted.map((name) => `set ${name} = ${name === 'jit' ? 'on' : 'off'}`).join('; '));
		let during: unknown;
		const spy = {
			query: async (sql: string) => {
				const rows = await session.query(sql.replace(/; (rollback[^;]*)(;[^;]*)?$/, `; ${asked}; $1$2`));
				during ??= rows[0]?.[0];
				return [];
			},
		};
		await loadRelations(spy, 'temporary', false);
		expect(during).toBe('on on on on off');
		expect(await one(asked)).toBe('off off off off on');
		await session.query('begin');
		during = undefined;
		await loadRelations(spy, 'temporary', true);
		expect(during).toBe('on on on on off');
		expect(await one(asked)).toBe('off off off off on');
		await session.query('rollback');
	});

	it('finds its temporary relations, by name or all of them', async () => {
		await session.query(`create temp table t (a int primary key, m hr.mood[], c text collate "C");
			create temp table u () inherits (hr.employees);
			create temp view v as select a from t`);
		const temporary = await loadRelations(session, 'temporary', false);
		expect(temporary.map(({ name, kind }) => `${kind} ${name}`).sort()).toEqual([
			'index t_pkey',
			'table t',
			'table u',
			'view v',
		]);
		expect(temporary.every(({ temporary }) => temporary)).toBe(true);
		const [t] = await loadRelations(session, [{ schema: 'pg_temp', name: 't' }], false);
		expect(t).toMatchObject({
			kind: 'table',
			primaryKey: [1],
			schema: await one('select pg_my_temp_schema()::regnamespace'),
		});
		expect(t?.columns).toMatchObject([
			{ name: 'a', type: 'integer', notNull: true },
			{ name: 'm', type: 'hr.mood[]' },
			{ name: 'c', type: 'text', collation: 'pg_catalog."C"' },
		]);
		const u = temporary.find(({ name }) => name === 'u');
		expect(u?.parents).toEqual([snapshot.relation('hr', 'employees')?.oid]);
		expect(u?.columns.map(({ name }) => name)).toEqual(['id', 'ssn']);
		expect(temporary.find(({ name }) => name === 'v')?.definition).toMatch(/FROM (pg_temp(_\d+)?\.)?t;/);
	});

	it('finds what its transaction has made and changed, and nobody else does', async () => {
		await session.query(`begin; create table hr.made (a int); create table hr.child () inherits (hr.made);
			alter table hr.employees add column later text; create view hr.seen as select later from hr.employees`);
		const search = ['made', 'child', 'employees', 'seen', 'nowhere'].map((name) => ({ schema: 'hr', name }));
		const found = await loadRelations(session, search, true);
		const named = new Map(found.map((relation) => [relation.name, relation]));
		expect([...named.keys()].sort()).toEqual(['child', 'employees', 'made', 'seen']);
		expect(named.get('employees')?.columns.map(({ name }) => name)).toEqual(['id', 'ssn', 'later']);
		expect(named.get('seen')?.definition).toMatch(/FROM hr\.employees/);
		expect(named.get('made')?.children).toEqual([named.get('child')?.oid]);
		expect((await loadOnce(database)).relation('hr', 'made')).toBeUndefined();
		await session.query('rollback');
		expect(await loadRelations(session, search, false)).toMatchObject([{ name: 'employees' }]);
	});

	it('finds the routines that its transaction has made or replaced, with those of the snapshot', async () => {
		await session.query(`create function hr.twin(a int) returns int language sql as 'select 1'`);
		const below = await loadOnce(database);
		await session.query(`begin; create or replace function hr.twin(a int) returns int language sql stable as 'select 2';
			create function hr.twin(a text) returns text language sql as 'select a';
			create procedure hr."Odd '\\ name"() language sql as 'select 1'`);
		const found = await loadRoutines(session, ['twin', "Odd '\\ name", 'upper', 'nowhere'], true);
		expect(found.map(({ name, argNames }) => `${name}(${argNames.join()})`).sort()).toEqual([
			"Odd '\\ name()",
			'twin(integer)',
			'twin(text)',
		]);
		const laid = overlay(below, [], [], found);
		expect(
			laid
				.routines('hr', 'twin')
				.map(({ volatility }) => volatility)
				.sort(),
		).toEqual(['stable', 'volatile']);
		expect(laid.routines('public', 'twin')).toEqual([]);
		expect(laid.routinesNamed('twin').length).toBe(2);
		expect(laid.routinesNamed('upper')).toEqual(below.routinesNamed('upper'));
		for (const routine of found) expect(laid.routineByOid(routine.oid)).toBe(routine);
		await session.query('rollback; drop function hr.twin(int)');
		expect(await loadRoutines(session, ['twin'], false)).toEqual([]);
	});

	it('is not changed by it, inside a transaction or outside', async () => {
		const state = `select concat_ws(' ', current_setting('search_path'), current_setting('lock_timeout'),
			current_setting('transaction_isolation'), current_setting('transaction_read_only'), current_setting('quote_all_identifiers'))`;
		await session.query(`set search_path = hr, public; set lock_timeout = '7s'; set quote_all_identifiers = on`);
		const before = await one(state);
		expect(await loadRelations(session, [{ schema: 'hr', name: 'employees' }], false)).toMatchObject([
			{ columns: [{ type: 'integer' }, {}] },
		]);
		expect(await one(state)).toBe(before);
		await session.query(
			'begin isolation level repeatable read; set local lock_timeout = 5000; savepoint portcullis_catalog',
		);
		const inside = await one(state);
		const xid = await one('select txid_current_if_assigned()');
		await loadRelations(session, [{ schema: 'hr', name: 'employees' }], true);
		expect(await one(state)).toBe(inside);
		expect(await one('select txid_current_if_assigned()')).toBe(xid);
		// The session's own savepoint of that name is there still.
		await session.query('rollback to savepoint portcullis_catalog; commit');
		expect(await one(state)).toBe(before);
	});

	it('is as usable after an error as before', async () => {
		const other = await openSession(database);
		onTestFinished(() => other.close());
		await other.query('begin; lock table hr.employees in access exclusive mode');
		const search = [{ schema: 'hr', name: 'staff' }];
		await expect(loadRelations(session, search, false)).rejects.toMatchObject({ sqlstate: '55P03' });
		expect(await one('select now() = statement_timestamp()')).toBe('t');
		await session.query('begin; create temp table kept (a int) on commit drop');
		await expect(loadRelations(session, search, true)).rejects.toMatchObject({ sqlstate: '55P03' });
		expect(await one('select count(*) from kept')).toBe('0');
		await session.query('rollback');
		await other.query('rollback');
		expect(await loadRelations(session, search, false)).toMatchObject([{ name: 'staff' }]);
	});

	it.each([`x' or true --`, `\\' or true --`, `"a"`, `x\\`, 'é\u2028'])(
		'is not misled by the name %j',
		async (name) => {
			await session.query('set standard_conforming_strings = off');
			expect(await loadRelations(session, [{ schema: 'hr', name }], false)).toEqual([]);
			expect(await loadRelations(session, [{ schema: name, name: 'employees' }], false)).toEqual([]);
			await session.query('set standard_conforming_strings = on');
			await session.query(`create temp table "${name.replaceAll('"', '""')}" (a int)`);
			expect(await loadRelations(session, [{ schema: 'pg_temp', name }], false)).toMatchObject([{ name }]);
		},
	);

	it('finds nothing when asked for nothing, and refuses NUL', async () => {
		expect(await loadRelations(session, [], false)).toEqual([]);
		await expect(loadRelations(session, [{ schema: 'hr', name: 'a\0b' }], false)).rejects.toThrow(RangeError);
	});
});

describe('an overlay', () => {
	const relation = (oid: number, schema: string, name: string, more: Partial<Relation> = {}): Relation => ({
		...{ oid, schema, name, kind: 'table', temporary: false, columns: [], parents: [], children: [], primaryKey: [] },
		...{ definition: null, hasRules: false, hasTriggers: false, rowType: 0 },
		...more,
	});
	let database: TestDatabase;
	let below: CatalogSnapshot;
	beforeAll(async () => {
		database = await createDatabase({
			setup: 'create table kept (a int); create table replaced (a int); create table renamed (a int)',
		});
		below = await loadOnce(database);
	});
	afterAll(() => database.drop());

	it('puts its relations in place of those below, by name and by oid', () => {
		const replaced = relation(1, 'public', 'replaced');
		const renamed = relation(below.relation('public', 'renamed')?.oid ?? 0, 'public', 'other_name');
		const temporary = relation(2, 'pg_temp_3', 't', { temporary: true });
		const above = overlay(below, [replaced, renamed, temporary]);
		expect(above.relation('public', 'replaced')).toBe(replaced);
		expect(above.relationByOid(1)).toBe(replaced);
		expect(above.relation('public', 'renamed')).toBeUndefined();
		expect(above.relation('public', 'other_name')).toBe(renamed);
		expect(above.relationByOid(renamed.oid)).toBe(renamed);
		expect(above.relation('pg_temp_3', 't')).toBe(temporary);
		expect(above.relation('public', 't')).toBeUndefined();
		expect(above.relation('public', 'kept')).toBe(below.relation('public', 'kept'));
		expect([above.hasSchema('pg_temp_3'), above.mayUseSchema('pg_temp_3'), above.hasSchema('public')]).toEqual([
			true,
			true,
			true,
		]);
		const names = [...above.relations()]
			.filter(({ schema }) => schema !== 'pg_catalog' && schema !== 'information_schema')
			.map(({ name }) => name);
		expect(names.sort()).toEqual(['kept', 'other_name', 'replaced', 't']);
	});

	it('leaves everything else to the snapshot below', () => {
		const above = overlay(below, [relation(1, 'public', 'x')]);
		expect(above).toMatchObject({ revision: below.revision, serverVersion: below.serverVersion, user: below.user });
		expect(above.routines('pg_catalog', 'lower')).toEqual(below.routines('pg_catalog', 'lower'));
		expect(above.routinesNamed('lower')).toEqual(below.routinesNamed('lower'));
		expect(above.routineByOid(1242)).toBe(below.routineByOid(1242));
		expect(above.operators('pg_catalog', '=')).toEqual(below.operators('pg_catalog', '='));
		expect(above.operatorsNamed('=')).toEqual(below.operatorsNamed('='));
		expect(above.type('pg_catalog', 'text')).toBe(below.type('pg_catalog', 'text'));
		expect(above.typeByOid(25)).toBe(below.typeByOid(25));
		expect(above.arrayTypeOf(25)).toBe(1009);
		expect(above.cast(23, 20)).toBe(below.cast(23, 20));
		expect(above.userCasts).toBe(below.userCasts);
	});

	it('of nothing is the snapshot itself', () => {
		expect(overlay(below, [])).toBe(below);
	});
});
