/**
 * Transaction mode: every kind of session state that PostgreSQL has is planted by one client and looked for from a neighbour,
 * on a pool of one server connection. Nothing may reach the neighbour; the client itself keeps what it would keep by itself.
 * Session mode with `reuse`: the same on a connection whose client has left.
 */
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { SHARED_PREFIX } from '../../src/catalog/data/relations.ts';
import { ownStatements } from '../../src/session/virtual-names.ts';
import { SERVICE_PASSWORD, startGateway, type TestGateway } from '../support/gateway.ts';

const setup = `
create schema app;
create sequence app.seq;
create table app.counted (id serial, a int);
create table app.identified (id int generated always as identity, a int);
create table app.triggered (a int);
create table app.copied (a int);
create function app.plant() returns int language plpgsql as $$ begin
	perform set_config('app.hidden', 'planted', false);
	create temp table by_code (a int);
	return 1;
end $$;
create function app.by_trigger() returns trigger language plpgsql as $$ begin
	perform set_config('app.by_trigger', 'planted', false);
	return new;
end $$;
create function app.seeds() returns int language plpgsql as $$ begin
	perform setseed(0.42);
	return 1;
end $$;
create view app.seeding as select app.seeds() as s;
create trigger t before insert on app.triggered for each row execute function app.by_trigger();
create function pg_temp.marks(name text) returns text language sql as $$ select format('set_config(%L, %L, false) is not null', name, 'planted') $$;
do $$ begin
	execute 'create table app.by_default (a int, b text default set_config(''app.by_default'', ''planted'', false))';
	execute 'create table app.by_check (a int check (' || pg_temp.marks('app.by_check') || '))';
	execute 'create domain app.marked as int check (' || pg_temp.marks('app.by_domain') || ')';
end $$;
create domain app.marked_too as app.marked;
create table app.by_domain (a app.marked_too[]);
create table app.by_rule (a int);
create rule r as on insert to app.by_rule do also insert into app.by_default (a) values (new.a);
create table app.locking (a int, b text default pg_advisory_lock(79)::text);
create domain app.numbered as int default nextval('app.seq');
create table app.by_numbered (a int, b app.numbered);
create table app.by_numbering_rule (a int);
create rule r as on insert to app.by_numbering_rule do also insert into app.counted (a) values (new.a);
create table app.referred (id int primary key);
create table app.referring (id int default nextval('app.seq') references app.referred on delete set default deferrable initially deferred);
insert into app.referred select generate_series(1000, 1100);
insert into app.referring select id from app.referred;
insert into app.referred select generate_series(1, 100);
select lo_create(424242);
grant select, update on large object 424242 to gateway;
grant usage, create on schema app to gateway;
grant all on all tables in schema app to gateway;
grant all on all sequences in schema app to gateway;
`;

const rules = (database: string): string => `
p, *, ${database}, connect, allow
p, *, ${database}, temp, allow
p, *, ${database}, set, allow
p, *, ${database}, listen, allow
p, *, ${database}, notify, allow
p, *, ${database}, do, allow
p, *, ${database}.app.*, *, allow
p, *, ${database}.app.plant(), execute, allow
p, *, ${database}.app.seeds(), execute, allow
p, *, ${database}.pg_catalog.lo_open(oid,integer), execute, allow
p, *, ${database}.pg_catalog.loread(integer,integer), execute, allow
`;

let gateway: TestGateway;
const people = ['owner', 'neighbour'] as const;

beforeAll(async () => {
	gateway = await startGateway({
		setup,
		policies: { 'policy.csv': rules('pooled') + rules('sequences') + rules('reused'), 'masks.yaml': '{}' },
		configure: (config) => {
			const [service] = config.identity.users;
			for (const name of people) config.identity.users.push({ ...service, name, roles: [] });
			const shop = config.databases['shop'];
			const pool = { mode: 'transaction', size: 1 };
			config.databases = {
				pooled: { ...shop, pool },
				sequences: { ...shop, pool: { ...pool, sequences: 'pin' } },
				// What is told of the user keeps connections apart, which would hide what gets from one to the other.
				reused: { ...shop, pool: { mode: 'session', size: 1, reuse: true }, tellUser: [] },
			};
			config['limits'] = { poolWaitMs: 40 };
		},
	});
});

afterAll(async () => {
	await gateway?.stop();
});

async function openOnce(user: (typeof people)[number], database: string): Promise<pg.Client | null> {
	const { host, port } = gateway;
	const client = new pg.Client({ host, port, user, password: SERVICE_PASSWORD, database });
	client.on('error', () => undefined);
	try {
		await client.connect();
		return client;
	} catch (error) {
		if ((error as { code?: string }).code === '53300') return null;
		throw error;
	}
}

/** A neighbour waits for the backend of somebody who has just left. */
async function open(user: (typeof people)[number], database: string): Promise<pg.Client> {
	for (let attempt = 0; attempt < 50; attempt += 1) {
		const client = await openOnce(user, database);
		if (client !== null) return client;
	}
	throw new Error('the backend does not come back');
}

/** Rows as text, or the SQLSTATE. */
async function outcome(client: pg.Client, sql: string): Promise<string> {
	try {
		// Of several statements the last.
		const { rows = [] } = [await client.query<Record<string, unknown>>(sql)].flat().at(-1) ?? {};
		return JSON.stringify(rows.map((row) => Object.values(row)));
	} catch (error) {
		return (error as { code?: string }).code ?? String(error);
	}
}

/** The connection may just be on its way back from somebody else. */
async function surely(client: pg.Client, sql: string): Promise<string> {
	let seen = await outcome(client, sql);
	for (let n = 0; seen === '53300' && n < 50; n += 1) seen = await outcome(client, sql);
	return seen;
}

interface Kind {
	readonly kind: string;
	readonly database?: string;
	/** Statements that plant it. */
	readonly plant: readonly string[];
	/** A statement that shows whether it is there. */
	readonly look: string;
	/** What the owner sees of it afterwards; by default something else than before. */
	readonly ownerSees?: 'it' | 'nothing';
	/** Missing: all of them. */
	readonly ways?: readonly Way[];
	/** Tells that the neighbour sees it, where that is not plain from a difference to before. */
	readonly isLeak?: (seen: string) => boolean;
}

const setting = (name: string, sql: string): Kind => ({ kind: `setting ${name}`, plant: [sql], look: `show ${name}` });

/** One that is like others: not every way is tried again. */
const alike = (one: Kind): Kind => ({
	...one,
	ways: ['a statement by itself', 'a transaction', 'a transaction rolled back'],
});

const kinds: readonly Kind[] = [
	setting('work_mem', "set work_mem = '77MB'"),
	setting('search_path', 'set search_path = app, public'),
	alike(setting('timezone', "set time zone 'Asia/Tokyo'")),
	alike(setting('datestyle', "set datestyle = 'German'")),
	alike(setting('intervalstyle', 'set intervalstyle = iso_8601')),
	setting('application_name', "set application_name = 'it''s mine'"),
	alike(setting('statement_timeout', "set statement_timeout = '66s'")),
	alike(setting('client_encoding', "set client_encoding = 'SQL_ASCII'")),
	setting('default_transaction_isolation', 'set session characteristics as transaction isolation level serializable'),
	alike(setting('default_transaction_read_only', "select set_config('default_transaction_read_only', 'on', false)")),
	{
		// That somebody has used the name shows: it is empty then, and not missing.
		...setting('app.secret', "set app.secret = 'hidden'"),
		isLeak: (seen) => seen.includes('hidden'),
	},
	{ ...setting('lock_timeout', "set local lock_timeout = '9s'"), kind: 'SET LOCAL', ownerSees: 'nothing' },
	{ kind: 'role', plant: ['set role postgres'], look: 'show role', ownerSees: 'nothing' },
	{
		kind: 'session authorization',
		plant: ['set session authorization postgres'],
		look: 'show session_authorization',
		ownerSees: 'nothing',
	},
	{ kind: 'temporary table', plant: ['create temp table secret_t as select 1 as s'], look: 'select s from secret_t' },
	{ kind: 'temporary view', plant: ['create temp view secret_v as select 2 as s'], look: 'select s from secret_v' },
	{ kind: 'temporary sequence', plant: ['create temp sequence secret_s'], look: 'select last_value from secret_s' },
	{ kind: 'table in pg_temp', plant: ['create table pg_temp.secret_p (s int)'], look: 'select s from secret_p' },
	{ kind: 'select into', plant: ['select 3 as s into temp secret_i'], look: 'select s from secret_i' },
	{ kind: 'prepared by SQL', plant: ['prepare secret_q as select 4 as s'], look: 'execute secret_q' },
	{
		kind: 'prepared by SQL, as the server lists it',
		plant: ['prepare secret_l as select 5 as s'],
		look: "select count(*) from pg_prepared_statements where name = 'secret_l'",
	},
	{
		kind: 'cursor WITH HOLD',
		plant: ['declare secret_c cursor with hold for select 6 as s'],
		look: 'select name from pg_cursors where is_holdable',
	},
	{
		kind: 'advisory lock of the session',
		plant: ['select pg_advisory_lock(77)'],
		look: 'select pg_advisory_unlock(77)',
	},
	{
		kind: 'advisory lock of the transaction',
		plant: ['select pg_advisory_xact_lock(78)'],
		look: 'select pg_advisory_unlock(78)',
		ownerSees: 'nothing',
	},
	{
		// It is on a connection of the gateway's own: who hears what is in the test behind this one.
		kind: 'LISTEN, as the server lists it',
		plant: ['listen secret'],
		look: 'select * from pg_listening_channels()',
		ownerSees: 'nothing',
	},
	{
		kind: 'currval',
		plant: ["select nextval('app.seq')"],
		look: "select currval('app.seq') > 0",
		ownerSees: 'nothing',
	},
	{
		kind: 'currval of a serial column',
		plant: ['insert into app.counted (a) values (1)'],
		look: "select currval('app.counted_id_seq') > 0",
		ownerSees: 'nothing',
	},
	{
		kind: 'currval, with `sequences: pin`',
		database: 'sequences',
		plant: ["select nextval('app.seq')"],
		look: "select currval('app.seq') > 0",
	},
	{
		kind: 'currval of an identity, with `sequences: pin`',
		database: 'sequences',
		plant: ['insert into app.identified (a) values (1)'],
		look: "select currval('app.identified_id_seq') > 0",
	},
	{
		kind: 'seed of random()',
		plant: ['select setseed(0.42)'],
		look: 'select random()',
		isLeak: (seen) => seen === seeded,
	},
	{ kind: 'SET seed', plant: ['set seed = 0.42'], look: 'select random()', isLeak: (seen) => seen === seeded },
	{
		kind: 'large object descriptor',
		plant: ['select lo_open(424242, 262144)'],
		look: 'select loread(0, 1)',
		ownerSees: 'nothing',
	},
	{ kind: 'setting by a function', plant: ['select app.plant()'], look: "select current_setting('app.hidden', true)" },
	{ kind: 'temporary table by a function', plant: ['select app.plant()'], look: 'select a from by_code' },
	{
		kind: 'setting by a trigger',
		plant: ['insert into app.triggered values (1)'],
		look: "select current_setting('app.by_trigger', true)",
	},
	// What PostgreSQL's own functions do where no statement shows them.
	...(
		[
			['a default', 'insert into app.by_default (a) values (1)', 'app.by_default'],
			['a check', 'insert into app.by_check values (1)', 'app.by_check'],
			['the check of a domain', 'select 1::app.marked', 'app.by_domain'],
			['the check of a column of arrays of domains', "insert into app.by_domain values ('{1}')", 'app.by_domain'],
			['the default of a table that a rule writes to', 'insert into app.by_rule values (1)', 'app.by_default'],
		] as const
	).map(([by, sql, name]) =>
		alike({
			kind: `setting by ${by}`,
			plant: [sql],
			look: `select current_setting('${name}', true)`,
			isLeak: (seen) => seen.includes('planted'),
		}),
	),
	alike({
		kind: 'advisory lock by a default',
		plant: ['insert into app.locking values (1)'],
		look: 'select pg_advisory_unlock(79)',
	}),
	...(
		[
			['the default of a domain', 'insert into app.by_numbered (a) values (1)', 'app.seq'],
			['a rule', 'insert into app.by_numbering_rule values (1)', 'app.counted_id_seq'],
			[
				'a foreign key',
				'delete from app.referred where id = (select min(id) from app.referred where id >= 1000)',
				'app.seq',
			],
		] as const
	).map(([by, sql, sequence]) =>
		alike({
			kind: `currval by ${by}`,
			plant: [sql],
			look: `select currval('${sequence}') > 0`,
			ownerSees: 'nothing',
		}),
	),
	{
		kind: 'setting by DO',
		plant: ["do $$ begin perform set_config('app.by_do', 'planted', false); end $$"],
		look: "select current_setting('app.by_do', true)",
	},
];

/** What `random()` gives right after `setseed(0.42)`. */
let seeded = '';

const ways = {
	'a statement by itself': (plant) => plant,
	'a transaction': (plant) => ['begin', ...plant, 'commit'],
	'a transaction rolled back': (plant) => ['begin', ...plant, 'rollback'],
	'a savepoint rolled back': (plant) => ['begin', 'savepoint s', ...plant, 'rollback to s', 'commit'],
	'a transaction that is left open': (plant) => ['begin', ...plant],
} as const satisfies Record<string, (plant: readonly string[]) => readonly string[]>;

type Way = keyof typeof ways;

interface Trial {
	readonly leaked: boolean;
	readonly pinned: boolean;
	readonly kept: boolean;
}

async function trial(
	{ plant, look, isLeak, database = 'pooled' }: Kind,
	way: Way,
	leaves: 'politely' | 'cut',
): Promise<Trial> {
	const before = await open('neighbour', database);
	const nothing = await surely(before, look);
	const leaks = isLeak ?? ((seen: string) => seen !== nothing && seen !== '53300');
	await before.end();
	const owner = await open('owner', database);
	for (const sql of ways[way](plant)) await surely(owner, sql);
	const neighbour = await openOnce('neighbour', database);
	const early = neighbour === null ? '53300' : await outcome(neighbour, look);
	const own = await surely(owner, look);
	if (leaves === 'cut')
		(owner as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
	else await owner.end();
	const later = neighbour ?? (await open('neighbour', database));
	const late = await surely(later, look);
	await later.end();
	return { leaked: leaks(early) || leaks(late), pinned: early === '53300', kept: own !== nothing };
}

describe('state of a session', () => {
	const table: string[] = [];

	beforeAll(async () => {
		const rows = await gateway.backend.sql('select random() from (select setseed(0.42) offset 0) s');
		seeded = JSON.stringify(rows.map((row) => Object.values(row)));
	});

	afterAll(() => {
		process.stdout.write(`${['kind | tried | leaked | pinned | kept by its owner', ...table].join('\n')}\n`);
	});

	test.each(kinds)('$kind', async (one) => {
		const trials: Trial[] = [];
		for (const way of one.ways ?? (Object.keys(ways) as Way[])) trials.push(await trial(one, way, 'politely'));
		trials.push(await trial(one, 'a statement by itself', 'cut'));
		const count = (key: keyof Trial): number => trials.filter((each) => each[key]).length;
		table.push(`${one.kind} | ${trials.length} | ${count('leaked')} | ${count('pinned')} | ${count('kept')}`);
		expect(count('leaked')).toBe(0);
		const [alone, committed] = trials;
		const keeps = (one.ownerSees ?? 'it') === 'it';
		expect([alone?.kept, committed?.kept]).toEqual([keeps, keeps]);
	});
});

/** What a connection does not go on with; everything else that is planted here is taken by DISCARD ALL. */
const closedBehind: readonly RegExp[] = [
	/^setting app\.secret$/,
	/seed/,
	/^(?:setting|temporary table|advisory lock|currval) by (?!the default of a domain|a rule|a foreign key)/,
	/^setting by the default of a table/,
];

describe('what a client of session mode leaves, with `reuse`', () => {
	const pid = 'select pg_backend_pid()';
	const reused = kinds.filter(({ database }) => database === undefined);
	let goneOn = 0;

	async function visit(user: (typeof people)[number], statements: readonly string[]): Promise<readonly string[]> {
		const client = await open(user, 'reused');
		const seen: string[] = [];
		for (const sql of statements) seen.push(await outcome(client, sql));
		await client.end();
		return seen;
	}

	test.each(reused)('$kind', async ({ kind, plant, look, isLeak, ways: few }) => {
		for (const way of ['a statement by itself', 'a transaction', 'a transaction that is left open'] as const) {
			if (few?.includes(way) === false) continue;
			const [before] = await visit('neighbour', [look]);
			const owned = await visit('owner', [pid, ...ways[way](plant)]);
			const [after, there] = await visit('neighbour', [look, pid]);
			const leaks = isLeak ?? ((seen: string) => seen !== before);
			expect(leaks(after ?? '')).toBe(false);
			const isSame = there === owned[0];
			if (isSame) goneOn += 1;
			const closes = way === 'a transaction that is left open' || closedBehind.some((one) => one.test(kind));
			expect([way, isSame]).toEqual([way, !closes]);
		}
	});

	// DISCARD ALL leaves the seed of random() as it is.
	const called: readonly (readonly string[])[] = [
		['select app.seeds()'],
		['prepare p as select app.seeds()', 'execute p', 'deallocate p'],
		['begin', 'declare c cursor for select app.seeds()', 'fetch c', 'commit'],
		['declare c cursor with hold for select app.seeds()', 'fetch c', 'close c'],
		['explain analyze select app.seeds()'],
		['create temp table made as select app.seeds()'],
		['prepare p as select app.seeds()', 'create temp table made as execute p'],
		['select s from app.seeding'],
		['create temp view own as select app.seeds() as s', 'select s from own'],
		['select 1; select app.seeds(); select 1'],
		["do 'begin perform app.seeds(); end'"],
		['with s as (select app.seeds()) select 1 from s'],
		['select 1 where exists (select from app.seeding where s = 1)', 'discard all'],
		['values (setseed(0.42))'],
	];

	test.each(called.map((statements) => ({ sql: statements.join('; '), statements })))(
		'the seed of $sql reaches nobody',
		async ({ statements }) => {
			const [pidOfOwner, ...answers] = await visit('owner', [pid, ...statements]);
			expect(answers.filter((answer) => !answer.startsWith('['))).toEqual([]);
			const [seen, there] = await visit('neighbour', ['select random()', pid]);
			expect(seen).not.toBe(seeded);
			expect(there).not.toBe(pidOfOwner);
		},
	);

	test('what was prepared by the protocol, and run, counts as well', async () => {
		const owner = await open('owner', 'reused');
		const before = await outcome(owner, pid);
		await owner.query({ name: 'seeding', text: 'select app.seeds()' });
		await owner.end();
		expect((await visit('neighbour', [pid]))[0]).not.toBe(before);
	});

	test('and most of it is reset', () => {
		expect(goneOn).toBeGreaterThan(20);
	});
});

describe('LISTEN', () => {
	/** Channels that a client hears of by the end of a question. */
	async function heardBy(client: pg.Client): Promise<string[]> {
		const heard: string[] = [];
		// What was notified for others before may only come now, while it is idle.
		expect(await surely(client, 'select 1')).toBe('[[1]]');
		const note = ({ channel }: pg.Notification): number => heard.push(channel);
		client.on('notification', note);
		for (const channel of ['secret', 'ours']) await gateway.backend.sql(`notify ${channel}`);
		expect(await surely(client, 'select 1')).toBe('[[1]]');
		client.off('notification', note);
		return heard;
	}

	test.each(Object.keys(ways) as Way[])('%s: reaches no neighbour, and does not keep the connection', async (way) => {
		const neighbour = await open('neighbour', 'pooled');
		expect(await surely(neighbour, 'listen ours')).toBe('[]');
		const owner = await open('owner', 'pooled');
		for (const sql of ways[way](['listen secret'])) expect(await surely(owner, sql)).toBe('[]');
		const isOpen = way === 'a transaction that is left open';
		const keeps = way === 'a statement by itself' || way === 'a transaction';
		if (isOpen) await owner.query('rollback');
		expect(await heardBy(neighbour)).toEqual(['ours']);
		expect(await heardBy(owner)).toEqual(keeps ? ['secret'] : []);
		await owner.end();
		expect(await heardBy(neighbour)).toEqual(['ours']);
		await neighbour.end();
	});
});

describe('statements that clients prepare', () => {
	test('are not shown to others who have the connection', async () => {
		expect(SHARED_PREFIX).toBe(ownStatements);
		const owner = await open('owner', 'pooled');
		expect(await surely(owner, 'select 1')).toBe('[[1]]');
		await owner.query({ name: 'mine', text: "select 'of-the-owner' as secret" });
		await owner.end();
		const neighbour = await open('neighbour', 'pooled');
		expect(await surely(neighbour, 'prepare own_statement as select 5')).toBe('[]');
		const listed = await neighbour.query<{ name: string; statement: string }>('select * from pg_prepared_statements');
		expect(JSON.stringify(listed.rows)).not.toContain('of-the-owner');
		expect(listed.rows.some(({ name }) => name.startsWith(SHARED_PREFIX))).toBe(true);
		expect(listed.rows.find(({ name }) => name === 'own_statement')?.statement).toContain('select 5');
		expect(await outcome(neighbour, 'select p::text from pg_prepared_statements p')).not.toContain('of-the-owner');
		expect(await outcome(neighbour, 'select * from pg_prepared_statement()')).toBe('42501');
		await neighbour.end();
	});
});
