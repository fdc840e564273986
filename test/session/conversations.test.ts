/** The same conversations, message for message, with PostgreSQL directly and through the gateway. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { otherVersions } from '../catalog/support.ts';
import { createDatabase, startPostgres, type TestDatabase } from '../support/postgres.ts';
import { converse, openDirect, type Turn } from './converse.ts';
import { startTestGateway, type TestGateway } from './gateway.ts';
import {
	Bind,
	ClosePortal,
	CloseStatement,
	CopyData,
	CopyDone,
	CopyFail,
	DescribePortal,
	DescribeStatement,
	Execute,
	Flush,
	Parse,
	Query,
	Sync,
	Terminate,
	WireClient,
} from './wire-client.ts';

describe.each([undefined, ...otherVersions()])('PostgreSQL (%s)', (native) => {
	let database: TestDatabase;
	let gateway: TestGateway;

	beforeAll(async () => {
		database = await createDatabase({
			server: await startPostgres(native === undefined ? {} : { native }),
			setup: `create table items (id int primary key, name text, unique (name) deferrable initially deferred);
			insert into items select n, 'item ' || n from generate_series(1, 20) n;
			create function noisy() returns int language plpgsql as $$ begin raise notice 'here'; return 1; end $$;
			create function pinged() returns int language sql as $$ notify bell, 'ding'; select 1 $$;`,
		});
		gateway = await startTestGateway(database);
	});

	afterAll(async () => {
		await gateway?.close();
		await database?.drop();
	});

	interface Case {
		readonly name: string;
		readonly turns: readonly Turn[];
		/** Codes of error fields that only the server can tell. */
		readonly without?: string;
	}

	const cases: readonly Case[] = [
		{ name: 'a query', turns: [{ send: [Query('select 1 as one, null as nothing')] }] },
		{ name: 'an empty query', turns: [{ send: [Query('')] }, { send: [Query(' -- nothing\n')] }] },
		{ name: 'only semicolons', turns: [{ send: [Query(';;')] }] },
		{ name: 'several statements', turns: [{ send: [Query('select 1; select 2, 3; select from items limit 2')] }] },
		{
			name: 'several statements with an error in the middle',
			turns: [{ send: [Query('select 1; select 1/0; select 2')] }, { send: [Query('select 3')] }],
		},
		{ name: 'an error with a position', turns: [{ send: [Query('select no_such_column from items')] }] },
		{
			name: 'queries without waiting',
			turns: [{ send: [Query('select 1'), Query('select 2'), Query('bad'), Query('select 3')], until: 4 }],
		},
		{
			name: 'a transaction block that fails',
			turns: [
				{ send: [Query('begin')] },
				{ send: [Query('select 1/0')] },
				{ send: [Query('select 1')] },
				{ send: [Query('rollback')] },
			],
		},
		{
			name: 'a savepoint',
			turns: [
				{ send: [Query('begin; savepoint a; select 1')] },
				{ send: [Query('x')] },
				{ send: [Query('rollback to a'), Query('select 2'), Query('commit')], until: 3 },
			],
		},
		{ name: 'a notice', turns: [{ send: [Query('select noisy()')] }] },
		{ name: 'a notification', turns: [{ send: [Query('listen bell')] }, { send: [Query('unlisten bell')] }] },
		{ name: 'a reported setting', turns: [{ send: [Query("set application_name = 'me'; set timezone = 'UTC'")] }] },
		{
			name: 'extended with parameters',
			turns: [
				{
					send: [
						Parse('select $1::int + 1 as n, $2::text as t'),
						DescribeStatement(),
						Bind(['41', null]),
						DescribePortal(),
						Execute(),
						Sync,
					],
				},
			],
		},
		{
			name: 'extended, step by step with Flush',
			turns: [
				{ send: [Parse('select id from items order by id', 's1'), Flush], until: 'ParseComplete' },
				{ send: [DescribeStatement('s1'), Flush], until: 'RowDescription' },
				{ send: [Bind([], 's1', 'p1'), Flush], until: 'BindComplete' },
				{ send: [Execute(7, 'p1'), Flush], until: 'PortalSuspended' },
				{ send: [Execute(7, 'p1'), Flush], until: 'PortalSuspended' },
				{ send: [Execute(0, 'p1'), Flush], until: 'CommandComplete' },
				{ send: [ClosePortal('p1'), CloseStatement('s1'), Sync] },
			],
		},
		{
			name: 'a statement without a result',
			turns: [
				{
					send: [
						Parse('update items set name = name where id = 1'),
						DescribeStatement(),
						Bind(),
						DescribePortal(),
						Execute(),
						Sync,
					],
				},
			],
		},
		{
			name: 'an empty statement',
			turns: [{ send: [Parse(''), DescribeStatement(), Bind(), DescribePortal(), Execute(), Sync] }],
		},
		{
			name: 'a named statement used again',
			turns: [
				{ send: [Parse('select $1::text', 'again'), Sync] },
				{ send: [Bind(['a'], 'again'), DescribePortal(), Execute(), Sync] },
				{
					send: [
						Bind(['b'], 'again'),
						DescribePortal(),
						Execute(),
						Sync,
						Bind(['c'], 'again'),
						DescribePortal(),
						Execute(),
						Sync,
					],
					until: 2,
				},
				{ send: [CloseStatement('again'), Sync] },
				{ send: [Bind(['d'], 'again'), Execute(), Sync] },
			],
		},
		{
			name: 'a Parse of a name in use',
			turns: [
				{ send: [Parse('select 1', 'twice'), Sync] },
				{
					send: [
						Parse('select 2', 'twice'),
						Bind([], 'twice'),
						DescribePortal(),
						Execute(),
						Sync,
						Bind([], 'twice'),
						DescribePortal(),
						Execute(),
						Sync,
					],
					until: 2,
				},
				{ send: [CloseStatement('twice'), Sync] },
			],
		},
		{
			name: 'a pipeline with an error at Parse',
			turns: [
				{
					send: [
						Parse('select 1'),
						Bind(),
						DescribePortal(),
						Execute(),
						Parse('select broken from'),
						Bind(),
						DescribePortal(),
						Execute(),
						Parse('select 2'),
						Bind(),
						DescribePortal(),
						Execute(),
						Sync,
						Parse('select 3'),
						Bind(),
						DescribePortal(),
						Execute(),
						Sync,
					],
					until: 2,
				},
			],
		},
		{
			name: 'a pipeline with an error at Execute rolls back what came before',
			turns: [
				{
					send: [
						Parse("insert into items values (100, 'hundred')"),
						Bind(),
						DescribePortal(),
						Execute(),
						Parse('select 1/(id - 1) from items where id = 1'),
						Bind(),
						DescribePortal(),
						Execute(),
						Parse('select 2'),
						Bind(),
						Execute(),
						Sync,
					],
				},
				{ send: [Query('select count(*) from items where id = 100')] },
			],
		},
		{
			name: 'a pipeline with an error at Bind',
			turns: [
				{ send: [Parse('select $1::int'), Bind(['no number']), DescribePortal(), Execute(), Sync] },
				{ send: [Query('select 1')] },
			],
		},
		{
			name: 'an error at the Sync itself',
			turns: [
				{ send: [Parse("insert into items values (101, 'item 1')"), Bind(), DescribePortal(), Execute(), Sync] },
				{ send: [Query('select count(*) from items where id = 101')] },
			],
		},
		{
			name: 'a Describe of a cursor of DECLARE',
			turns: [
				{ send: [Query('begin'), Query('declare c cursor for select id, name from items order by id')], until: 2 },
				{ send: [DescribePortal('c'), Sync] },
				{ send: [Query('fetch 2 from c'), Query('close c'), Query('commit')], until: 3 },
			],
		},
		{
			name: 'a Bind of nothing',
			turns: [{ send: [Bind([], 'missing'), DescribePortal(), Execute(), Sync] }, { send: [Bind(), Sync] }],
		},
		{
			name: 'an Execute of nothing',
			turns: [
				{ send: [Execute(0, 'missing'), Sync] },
				{ send: [DescribePortal('missing'), Sync] },
				{ send: [DescribeStatement('missing'), Sync] },
			],
		},
		{ name: 'a Close of nothing', turns: [{ send: [ClosePortal('missing'), CloseStatement('missing'), Sync] }] },
		{ name: 'a Sync alone', turns: [{ send: [Sync] }, { send: [Sync, Sync, Sync], until: 3 }] },
		{ name: 'several commands in a Parse', turns: [{ send: [Parse('select 1; select 2'), Bind(), Execute(), Sync] }] },
		{
			name: 'a Query destroys the unnamed statement',
			turns: [{ send: [Parse('select 1'), Sync] }, { send: [Query('select 2')] }, { send: [Bind(), Execute(), Sync] }],
		},
		{
			name: 'an unnamed statement outlives its pipeline',
			turns: [
				{ send: [Parse('select 4'), Sync] },
				{ send: [Bind(), DescribePortal(), Execute(), Sync] },
				{ send: [Bind(), DescribePortal(), Execute(), Sync] },
			],
		},
		{
			name: 'a portal does not outlive its transaction',
			turns: [
				{ send: [Parse('select 5'), Bind([], '', 'p'), Sync] },
				{ send: [DescribePortal('p'), Execute(0, 'p'), Sync] },
			],
		},
		{
			name: 'a portal of a transaction block',
			turns: [
				{ send: [Query('begin')] },
				{
					send: [
						Parse('select id from items order by id'),
						Bind([], '', 'held'),
						DescribePortal('held'),
						Execute(2, 'held'),
						Sync,
					],
				},
				{ send: [Execute(2, 'held'), Sync] },
				{ send: [Query('commit')] },
				{ send: [Execute(2, 'held'), Sync] },
			],
		},
		{
			name: 'a Query in the middle of a pipeline',
			turns: [
				{
					send: [
						Parse("insert into items values (102, 'x')"),
						Bind(),
						DescribePortal(),
						Execute(),
						Query('select 1/0'),
					],
				},
				{ send: [Query('select count(*) from items where id = 102')] },
			],
		},
		{
			name: 'a Query that is skipped',
			turns: [{ send: [Parse('bad syntax'), Query('select 1'), Sync] }],
		},
		{
			name: 'BEGIN and COMMIT in a pipeline',
			turns: [
				{
					send: [
						Parse('begin'),
						Bind(),
						DescribePortal(),
						Execute(),
						Parse('select 1'),
						Bind(),
						DescribePortal(),
						Execute(),
						Sync,
						Parse('select 2'),
						Bind(),
						DescribePortal(),
						Execute(),
						Parse('commit'),
						Bind(),
						DescribePortal(),
						Execute(),
						Sync,
					],
					until: 2,
				},
			],
		},
		{
			name: 'COPY in',
			turns: [
				{ send: [Query('create temp table copied (a int, b text)')] },
				{ send: [Query('copy copied from stdin')], until: 'CopyInResponse' },
				{ send: [CopyData('1\tone\n'), CopyData('2\ttwo\n3\tth'), CopyData('ree\n'), CopyDone] },
				{ send: [Query('select * from copied')] },
				{ send: [Query('copy copied from stdin')], until: 'CopyInResponse' },
				{ send: [CopyData('4\tfour\n'), CopyFail('changed my mind')] },
				{ send: [Query('copy copied from stdin')], until: 'CopyInResponse' },
				{ send: [CopyData('five\tfive\n'), CopyData('6\tsix\n'), CopyDone] },
				{ send: [Query('select count(*) from copied')] },
			],
		},
		{
			name: 'COPY in, blindly',
			turns: [
				{ send: [Query('create temp table blind (a int)')] },
				{ send: [Query('copy blind from stdin'), CopyData('1\n'), CopyDone, Query('select * from blind')], until: 2 },
				{ send: [Query('copy no_such from stdin'), CopyData('1\n'), CopyDone, Query('select 7')], until: 2 },
			],
		},
		{
			name: 'COPY in with Sync and Flush in between',
			turns: [
				{ send: [Query('create temp table between_it (a int)')] },
				{ send: [Query('copy between_it from stdin')], until: 'CopyInResponse' },
				{ send: [CopyData('1\n'), Flush, Sync, CopyData('2\n'), CopyDone] },
				{ send: [Query('select count(*) from between_it')] },
			],
		},
		{
			name: 'COPY in by the extended protocol',
			turns: [
				{ send: [Query('create temp table extended_copy (a int)')] },
				{
					send: [Parse('copy extended_copy from stdin'), Bind(), DescribePortal(), Execute(), Sync],
					until: 'CopyInResponse',
				},
				{ send: [CopyData('1\n'), CopyDone, Sync] },
				{
					send: [Parse('copy extended_copy from stdin'), Bind(), DescribePortal(), Execute(), Sync],
					until: 'CopyInResponse',
				},
				{ send: [CopyData('x\n'), CopyDone, Sync] },
				{ send: [Query('select count(*) from extended_copy')] },
			],
		},
		{
			// As libpq's PQexecParams sends it: the Sync that the server ignores had to end what the transaction changed.
			name: 'COPY in by the extended protocol where the transaction has changed what names mean',
			turns: [
				{ send: [Query('begin')] },
				{ send: [Query('create temp table changed_copy (a int)')] },
				{ send: [Query('set local search_path to public')] },
				{
					send: [Parse('copy pg_temp.changed_copy from stdin'), Bind(), DescribePortal(), Execute(), Sync],
					until: 'CopyInResponse',
				},
				{ send: [CopyData('1\n'), CopyDone, Sync] },
				{ send: [Query('select count(*) from pg_temp.changed_copy')] },
				{ send: [Query('rollback')] },
			],
		},
		{
			// The server ignores a Flush while it takes data: the one that was sent for the data brings no CommandComplete.
			name: 'data behind the end of a COPY by the extended protocol',
			turns: [
				{ send: [Query('create temp table beyond (a int)')] },
				{ send: [Parse('copy beyond from stdin'), Flush], until: 'ParseComplete' },
				{ send: [Bind(), Execute(), CopyData('1\n'), CopyDone, CopyData('2\n'), Sync] },
				{ send: [Query('select * from beyond')] },
			],
		},
		{
			name: 'COPY and more statements in one query',
			turns: [
				{ send: [Query('create temp table more (a int)')] },
				{
					send: [Query('copy more from stdin; select count(*) from more; copy more to stdout')],
					until: 'CopyInResponse',
				},
				{ send: [CopyData('1\n2\n'), CopyDone] },
			],
		},
		{
			name: 'COPY out',
			turns: [
				{ send: [Query('copy (select * from items where id < 5 order by id) to stdout')] },
				{ send: [Query('copy (select 1/(id - 3) from items where id < 9) to stdout')] },
			],
		},
		{
			name: 'COPY data without a COPY',
			turns: [{ send: [CopyData('stray\n'), CopyDone, Query('select 1')] }],
		},
		{
			name: 'a message that does not belong into a COPY',
			without: 'W',
			turns: [
				{ send: [Query('create temp table odd (a int)')] },
				{ send: [Query('copy odd from stdin')], until: 'CopyInResponse' },
				{ send: [CopyData('1\n'), Query('select 1')], until: 'end' },
			],
		},
		{
			name: 'SET search_path in a pipeline',
			turns: [
				{
					send: [
						Parse('set search_path = pg_catalog'),
						Bind(),
						DescribePortal(),
						Execute(),
						Parse('select current_schema()'),
						Bind(),
						DescribePortal(),
						Execute(),
						Sync,
					],
				},
				{ send: [Query('show search_path'), Query('reset search_path'), Query('show search_path')], until: 3 },
			],
		},
		{ name: 'Terminate', turns: [{ send: [Query('select 1'), Terminate], until: 'end' }] },
		{
			name: 'a function call',
			turns: [
				{
					send: [
						{ type: 'FunctionCall', oid: 1397, argFormats: [], args: [Buffer.from('-5')], resultFormat: 0 },
						{ type: 'FunctionCall', oid: 999_999, argFormats: [], args: [], resultFormat: 0 },
					],
					until: 2,
				},
			],
		},
	];

	describe('a conversation is the same through the gateway', () => {
		it.each(cases)('$name', async ({ turns, without }) => {
			const direct = await openDirect(database);
			const wanted = await converse(direct, turns, without);
			const through = await WireClient.open({ port: gateway.port, params: { database: database.database } });
			const got = await converse(through, turns, without);
			expect(got).toEqual(wanted);
		});

		it('would notice a difference', async () => {
			const one = await WireClient.open({ port: gateway.port });
			const other = await WireClient.open({ port: gateway.port });
			const a = await converse(one, [{ send: [Query('select 1')] }]);
			const b = await converse(other, [{ send: [Query('select 2')] }]);
			expect(a).not.toEqual(b);
		});
	});
});
