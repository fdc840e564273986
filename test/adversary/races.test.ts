/** Attacks between a decision and what it was made on: while a text waits for a lock, another session makes code that the rest of it could come to mean. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { errorTexts, RawClient, type StatementOptions, type Target } from './client.ts';
import { type Bank, makeBank } from './fixture/bank.ts';
import { type Gate, startGate } from './fixture/gate.ts';

let bank: Bank;
let gate: Gate;

beforeAll(async () => {
	bank = await makeBank();
	gate = await startGate(bank.database, new URL('./fixture/policies', import.meta.url));
});

afterAll(async () => {
	await gate?.stop();
	await bank?.close();
});

interface Race {
	readonly name: string;
	/** What the attacker sends, with `lab` as search_path; it waits where it reads lab.inbox. */
	readonly text: string;
	/** Bound to the parameters of a text that is sent by the extended protocol. */
	readonly params?: readonly string[];
	/** What another session of theirs does meanwhile. */
	readonly made: readonly string[];
	readonly undo: string;
	/** In a third session, so that each is committed before the next. */
	readonly apart?: true;
	/** The text is of another account, which may not create anything. */
	readonly alone?: true;
	/** The server's administrator does it, without a thought of the attacker. */
	readonly byOwner?: true;
	/** Sent before all of it, by the administrator. */
	readonly before?: string;
}

const WAIT = 'select count(*) from lab.inbox';
const tells = (signature: string): string =>
	`create or replace function lab.${signature} returns text language sql security definer as 'select string_agg(ssn, '','') from app.people'`;

const PLACES = `create type lab.place as (lane text, zip text); create table lab.homes (home lab.place);
	insert into lab.homes values (row('x', 'y'))`;
/** In transactions of their own, after which nothing is known by the name of that field. */
const NO_PLACES = [
	'alter type lab.place rename attribute lane to other',
	"alter table lab.homes alter home type text using 'x'",
	tells('lane(text)'),
];
/** Each race has a field of its own: one that is gone is remembered. */
const places = (field: string): string => `create type lab.place as (${field} text, zip text);
	create table lab.homes (home lab.place, away lab.place, places lab.place[]);
	insert into lab.homes values (row('x', 'y'), row('x', 'y'), array[row('x', 'y')::lab.place])`;
const TEXTS = `alter table lab.homes alter home type text using 'x', alter away type text using 'x', alter places type text[] using '{x}'`;
const noPlaces = (field: string): readonly string[] => [
	`alter type lab.place rename attribute ${field} to other`,
	TEXTS,
	tells(`${field}(text)`),
];
const noHomes = (field: string): string =>
	`drop table lab.homes; drop type lab.place; drop function if exists lab.${field}(text)`;
const NO_HOMES = noHomes('lane');

const races: readonly Race[] = [
	{
		name: 'a function in the notation of a field, of a text',
		text: `${WAIT}; select ('x'::text).zzz`,
		made: [tells('zzz(text)')],
		undo: 'drop function if exists lab.zzz(text)',
	},
	{
		name: 'a function of the owner in the notation of a field, of a text',
		text: `${WAIT}; select ('x'::text).zzz`,
		made: [tells('zzz(text)')],
		undo: 'drop function if exists lab.zzz(text)',
		byOwner: true,
	},
	{
		name: 'a function in the notation of a field, in one statement',
		text: "select ('x'::text).zzz from lab.inbox",
		made: [tells('zzz(text)')],
		undo: 'drop function if exists lab.zzz(text)',
	},
	{
		name: 'a function in the notation of a field, of an untyped literal',
		text: `${WAIT}; select ('x').zzz, (null).zzz`,
		made: [tells('zzz(text)')],
		undo: 'drop function if exists lab.zzz(text)',
	},
	{
		name: 'a function in the notation of a field, of a parameter',
		text: 'select ($1).zzz from lab.inbox',
		params: ['x'],
		made: [tells('zzz(text)')],
		undo: 'drop function if exists lab.zzz(text)',
	},
	{
		name: 'a function in the notation of a field, of what nobody knows the type of',
		text: `${WAIT}; select (coalesce('x'::text, 'y'::varchar)).zzz`,
		made: [tells('zzz(text)')],
		undo: 'drop function if exists lab.zzz(text)',
	},
	{
		name: 'a function in the notation of a column, of a function in FROM',
		text: `${WAIT}; select p.zzz from generate_series(1, 1) p`,
		made: [tells('zzz(int)')],
		undo: 'drop function if exists lab.zzz(int)',
	},
	{
		name: 'a function of a text, in place of a field of what was a row',
		text: `${WAIT}; select (p.home).street from lab.homes p`,
		before: `create table lab.homes (home app.address); insert into lab.homes values (row('x', 'y'))`,
		made: [`alter table lab.homes alter home type text using 'x'`, tells('street(text)')],
		undo: 'drop table lab.homes; drop function if exists lab.street(text)',
	},
	{
		name: 'a function of a text by the name of a field that is gone, in place of what was a row',
		text: `${WAIT}; select (p.home).lane, (home).lane, ((p.home)).lane from lab.homes p`,
		before: PLACES,
		made: NO_PLACES,
		apart: true,
		undo: NO_HOMES,
	},
	{
		name: 'a function of a text by the name of a field that is gone, in one statement',
		text: 'select (p.home).lane from lab.inbox, lab.homes p where (p.home).lane is not null',
		before: PLACES,
		made: NO_PLACES,
		apart: true,
		undo: NO_HOMES,
	},
	{
		name: 'a function of a text by the name of a field of a field that is gone',
		text: `${WAIT}; select (p.home).at.lane from lab.homes p`,
		before: `create type lab.place as (lane text, zip text); create type lab.seat as (at lab.place);
			create table lab.homes (home lab.seat); insert into lab.homes values (row(row('x', 'y')))`,
		made: [
			'alter type lab.place rename attribute lane to other',
			'alter table lab.homes alter home type text using null',
			'alter type lab.seat alter attribute at type text',
			'alter table lab.homes alter home type lab.seat using null',
			"update lab.homes set home = row('x')",
			tells('lane(text)'),
		],
		apart: true,
		undo: 'drop table lab.homes; drop type lab.seat, lab.place; drop function if exists lab.lane(text)',
	},
	{
		name: 'a function by the name of a field that is gone, of a value that is computed',
		text: `${WAIT}; select (coalesce(p.home, p.away)).alley from lab.homes p`,
		before: places('alley'),
		made: noPlaces('alley'),
		apart: true,
		undo: noHomes('alley'),
	},
	{
		name: 'a function by the name of a field that is gone, of a row of a function in FROM',
		text: `${WAIT}; select x.road from lab.homes p, unnest(p.places) x`,
		before: places('road'),
		made: noPlaces('road'),
		apart: true,
		undo: noHomes('road'),
	},
	{
		name: 'a function by the name of a field that is gone with its type',
		text: `${WAIT}; select (coalesce(p.home, p.away)).avenue from lab.homes p`,
		before: places('avenue'),
		made: [TEXTS, 'drop type lab.place', tells('avenue(text)')],
		apart: true,
		undo: noHomes('avenue'),
	},
	{
		name: 'a function by the name of a field that there never was',
		text: `${WAIT}; select (p.home).yyy1 from lab.homes p`,
		before: places('yyy1_place'),
		made: [TEXTS, tells('yyy1(text)')],
		apart: true,
		undo: noHomes('yyy1'),
	},
	{
		name: 'a function by the name of a field that there never was, of a value that is computed',
		text: `${WAIT}; select (coalesce(p.home, p.away)).yyy2 from lab.homes p`,
		before: places('yyy2_place'),
		made: [TEXTS, tells('yyy2(text)')],
		apart: true,
		undo: noHomes('yyy2'),
	},
	{
		name: 'a function by the name of what another one gave',
		text: `${WAIT}; select (lab.allowed()).given`,
		before: `drop function lab.allowed(); create function lab.allowed(out given text, out b text) language sql as $$select 'a', 'b'$$`,
		made: [
			'drop function lab.allowed()',
			`create function lab.allowed() returns text language sql as $$select 'a'$$`,
			tells('given(text)'),
		],
		apart: true,
		undo: 'create or replace function lab.allowed() returns text language sql as $$ select $one$x$one$::text $$; drop function if exists lab.given(text)',
	},
	{
		name: 'a function by a name that a record has not',
		text: `${WAIT}; select (lab.allowed()).yyy3`,
		before: `drop function lab.allowed(); create function lab.allowed(out a text, out b text) language sql as $$select 'a', 'b'$$`,
		made: [
			'drop function lab.allowed()',
			`create function lab.allowed() returns text language sql as $$select 'a'$$`,
			tells('yyy3(text)'),
		],
		apart: true,
		undo: 'create or replace function lab.allowed() returns text language sql as $$ select $one$x$one$::text $$; drop function if exists lab.yyy3(text)',
	},
	{
		name: 'a function that was there before, in place of a field of a value that is computed',
		text: `${WAIT}; select (coalesce(p.home, p.away)).path_way from lab.homes p`,
		before: `${places('path_way')}; ${tells('path_way(text)')}`,
		made: [TEXTS],
		apart: true,
		undo: noHomes('path_way'),
	},
	{
		name: 'a function that was there before, in place of a field of a column',
		text: `${WAIT}; select (p.home).track from lab.homes p`,
		before: `${places('track')}; ${tells('track(text)')}`,
		made: [TEXTS],
		apart: true,
		undo: noHomes('track'),
	},
	{
		name: 'a function that was there before, in place of a field of a row of a function in FROM',
		text: `${WAIT}; select x.court from lab.homes p, unnest(p.places) x`,
		before: `${places('court')}; ${tells('court(text)')}`,
		made: [TEXTS],
		apart: true,
		undo: noHomes('court'),
	},
	{
		name: 'a function by the name of a column of what was a function in FROM',
		text: `${WAIT}; select x.shown from lab.allowed() x`,
		before: `drop function lab.allowed(); create function lab.allowed(out shown text, out b text) language sql as $$select 'a', 'b'$$`,
		made: [
			'drop function lab.allowed()',
			`create function lab.allowed() returns text language sql as $$select 'a'$$`,
			tells('shown(text)'),
		],
		apart: true,
		undo: 'create or replace function lab.allowed() returns text language sql as $$ select $one$x$one$::text $$; drop function if exists lab.shown(text)',
	},
	{
		name: 'a function by the name of what never was a column of a function in FROM',
		text: `${WAIT}; select x.yyy4 from lab.allowed() x`,
		before: `drop function lab.allowed(); create function lab.allowed(out a text, out b text) language sql as $$select 'a', 'b'$$`,
		made: [
			'drop function lab.allowed()',
			`create function lab.allowed() returns text language sql as $$select 'a'$$`,
			tells('yyy4(text)'),
		],
		apart: true,
		undo: 'create or replace function lab.allowed() returns text language sql as $$ select $one$x$one$::text $$; drop function if exists lab.yyy4(text)',
	},
	...(
		[
			['(coalesce(p.home, p.away))', 'bend', 'bow'],
			['(p.home)', 'curve', 'arc'],
		] as const
	).flatMap(([value, gone, there]): Race[] => [
		{
			name: `a function by the name of a field that is gone, made by another account: ${value}`,
			text: `${WAIT}; select ${value}.${gone} from lab.homes p`,
			before: places(gone),
			made: noPlaces(gone),
			apart: true,
			alone: true,
			undo: noHomes(gone),
		},
		{
			name: `a function that was there before, in place of a field that another account takes away: ${value}`,
			text: `${WAIT}; select ${value}.${there} from lab.homes p`,
			before: `${places(there)}; ${tells(`${there}(text)`)}`,
			made: [TEXTS],
			apart: true,
			alone: true,
			undo: noHomes(there),
		},
	]),
	{
		name: 'a function by the name of a field that there never was, made by another account',
		text: `${WAIT}; select (p.home).last_one from lab.homes p`,
		before: places('last_one_place'),
		made: [TEXTS, tells('last_one(text)')],
		apart: true,
		alone: true,
		undo: noHomes('last_one'),
	},
	{
		name: 'a function that takes anything, in the notation of a column',
		text: `${WAIT}; select p.zzz from lab.people p`,
		made: [tells('zzz(anyelement)')],
		undo: 'drop function if exists lab.zzz(anyelement)',
	},
	{
		name: 'a function of a row in the notation of a column',
		text: `${WAIT}; select p.zzz, (p).zzz from lab.people p`,
		made: [tells('zzz(lab.people)')],
		undo: 'drop function if exists lab.zzz(lab.people)',
	},
	{
		name: 'a function by its defaults',
		text: `${WAIT}; select p.zzz from lab.people p`,
		made: [tells("zzz(lab.people, text default 'x')")],
		undo: 'drop function if exists lab.zzz(lab.people, text)',
	},
	{
		name: 'a function that gets defaults',
		text: `${WAIT}; select p.zzz from lab.people p`,
		before: tells('zzz(lab.people, text)'),
		made: [tells("zzz(lab.people, text default 'x')")],
		undo: 'drop function if exists lab.zzz(lab.people, text)',
	},
	{
		name: 'a function in place of a column that is renamed',
		text: `${WAIT}; select p.ssn from lab.people p`,
		made: ['alter table lab.people rename ssn to other', tells('ssn(lab.people)')],
		undo: 'drop function if exists lab.ssn(lab.people); alter table lab.people rename other to ssn',
	},
	{
		name: 'a function before a column in the notation of a function',
		text: `${WAIT}; select ssn(p) from lab.people p`,
		made: [tells('ssn(lab.people)')],
		undo: 'drop function if exists lab.ssn(lab.people)',
	},
	{
		name: 'a function that moves into the path',
		text: `${WAIT}; select p.zzz from lab.people p`,
		before: `create schema lab_side; ${tells('zzz(lab.people)').replace('lab.zzz', 'lab_side.zzz')}`,
		made: ['alter function lab_side.zzz(lab.people) set schema lab'],
		undo: 'drop schema lab_side cascade; drop function if exists lab.zzz(lab.people)',
	},
	{
		name: 'a function that gets another name',
		text: `${WAIT}; select p.zzz from lab.people p`,
		before: tells('yyy(lab.people)'),
		made: ['alter function lab.yyy(lab.people) rename to zzz'],
		undo: 'drop function if exists lab.zzz(lab.people); drop function if exists lab.yyy(lab.people)',
	},
	{
		name: 'an own function by the name of a type',
		text: `${WAIT}; select mood('calm'::text)`,
		made: [tells('mood(text)')],
		undo: 'drop function if exists lab.mood(text)',
		byOwner: true,
	},
	{
		name: 'an overload of the owner that comes before what may be called',
		text: `${WAIT}; select plus_one(5)`,
		made: [tells('plus_one(int)')],
		undo: 'drop function if exists lab.plus_one(int)',
		byOwner: true,
	},
];

function optionsOf({ params }: Race): StatementOptions {
	return params === undefined ? {} : { protocol: 'extended', params };
}

/** Plays a race; answers the secrets that the attacker's sessions were told, and what else they heard. */
async function play(
	target: Target,
	race: Race,
	reader = target,
): Promise<{ readonly leaks: readonly string[]; readonly said: string }> {
	const [holder, waiter] = [
		await RawClient.login(target),
		await RawClient.login(race.alone === true ? reader : target),
	];
	const maker = race.apart === true ? await RawClient.login(target) : holder;
	try {
		if (race.before !== undefined) await bank.database.sql(race.before);
		await waiter.run('set search_path = lab, app');
		// What is not known is looked for: the gateway has the state of now, not that of the race before.
		await waiter.run('select from lab.there_is_none');
		await holder.run('begin');
		await holder.run('lock table lab.inbox in access exclusive mode');
		let done = false;
		const answered = waiter.run(race.text, optionsOf(race)).finally(() => {
			done = true;
		});
		while (!done && !(await isWaiting())) await new Promise((resolve) => setImmediate(resolve));
		for (const sql of race.made) {
			if (race.byOwner === true) await bank.database.sql(sql);
			else await maker.run(sql);
		}
		await holder.run('commit');
		await answered;
		const clients = [...new Set([holder, waiter, maker])];
		return {
			leaks: clients.flatMap((client) => bank.finder.find(client.bytes(), client.messages)),
			said: clients.flatMap((client) => errorTexts(client.messages)).join('; '),
		};
	} finally {
		holder.destroy();
		maker.destroy();
		waiter.destroy();
		for (const sql of race.undo.split('; ')) await bank.database.sql(sql).catch(() => undefined);
	}
}

async function isWaiting(): Promise<boolean> {
	const [row] = await bank.database.sql(
		`select count(*)::int as n from pg_locks l join pg_database d on d.oid = l.database and d.datname = current_database()
		where not l.granted and l.relation = 'lab.inbox'::regclass`,
	);
	return row?.['n'] === 1;
}

describe('code that comes to be between a decision and its text', () => {
	it.each(races)('without a gateway it runs: $name', async (race) => {
		const { host, port, user, password, database } = bank.database;
		const { leaks, said } = await play({ host, port, user, password, database }, race);
		expect(leaks, said).not.toEqual([]);
	});

	it.each(races)('through the gateway it does not: $name', async (race) => {
		const { leaks, said } = await play(gate.target('ana'), race, gate.target('wes'));
		expect(leaks, said).toEqual([]);
	});
});
