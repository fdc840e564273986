/** Nothing runs that is not on record, every record has one outcome, and a log that fails stops the session. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { GatewayError } from '../../src/errors.ts';
import { createDatabase, type TestDatabase } from '../support/postgres.ts';
import { startTestGateway, type TestGateway } from './gateway.ts';
import { until } from './until.ts';
import {
	Bind,
	CloseStatement,
	CopyData,
	CopyDone,
	DescribePortal,
	Execute,
	Flush,
	Parse,
	Query,
	Sync,
	WireClient,
} from './wire-client.ts';

let database: TestDatabase;
let gateway: TestGateway;
let client: WireClient;

beforeAll(async () => {
	database = await createDatabase({ setup: 'create table items (id int primary key)' });
});

beforeEach(async () => {
	gateway = await startTestGateway(database);
	client = await WireClient.open({ port: gateway.port, params: { application_name: 'recorder' } });
});

afterEach(async () => {
	client.destroy();
	await gateway.close();
	await database.sql('delete from items');
});

afterAll(async () => {
	await database?.drop();
});

/** One line for each record: statement, transaction, protocol, phase, text, outcome. */
function lines(): string[] {
	return gateway.pipeline.recorded.map(({ record, outcomes }) => {
		const { transaction, statement, protocol, phase, decision } = record;
		const ends = outcomes.map(
			({ status, sqlstate, tag, rows }) => `${status} ${sqlstate ?? '-'} ${tag ?? '-'} ${rows ?? '-'}`,
		);
		return `${transaction}.${statement} ${protocol} ${phase} [${decision.sql.trim()}] ${ends.join(' & ')}`;
	});
}

interface Case {
	readonly name: string;
	readonly run: () => Promise<unknown>;
	readonly want: readonly string[];
}

const cases: readonly Case[] = [
	{
		name: 'a query of several statements',
		run: () => client.query('select 1; insert into items values (1), (2); select * from items'),
		want: [
			'1.1 simple execute [select 1] success - SELECT 1 1',
			'1.2 simple execute [insert into items values (1), (2)] success - INSERT 0 2 2',
			'1.3 simple execute [select * from items] success - SELECT 2 2',
		],
	},
	{
		name: 'an error in the middle of a query',
		run: () => client.query('select 1; select 1/0; select 2'),
		want: [
			'1.1 simple execute [select 1] success - SELECT 1 1',
			'1.2 simple execute [select 1/0] failure 22012 - 0',
			'1.3 simple execute [select 2] cancelled - - 0',
		],
	},
	{
		name: 'numbers of transactions',
		run: async () => {
			for (const sql of ['select 1', 'begin', 'select 2', 'commit', 'select 3']) await client.query(sql);
		},
		want: [
			'1.1 simple execute [select 1] success - SELECT 1 1',
			'2.2 simple execute [begin] success - BEGIN 0',
			'2.3 simple execute [select 2] success - SELECT 1 1',
			'2.4 simple execute [commit] success - COMMIT 0',
			'3.5 simple execute [select 3] success - SELECT 1 1',
		],
	},
	{
		name: 'an unnamed Parse shares the record of its Bind',
		run: async () => {
			client.send(Parse('select $1::int'), Bind(['7']), DescribePortal(), Execute(), Sync);
			await client.ready();
		},
		want: ['1.1 extended execute [select $1::int] success - SELECT 1 1'],
	},
	{
		name: 'a Parse by itself, and a Bind later',
		run: async () => {
			client.send(Parse('select 1'), Flush);
			await client.until('ParseComplete');
			client.send(Bind(), Execute(), Sync);
			await client.ready();
		},
		want: ['1.1 extended prepare [select 1] success - - 0', '1.2 extended execute [select 1] success - SELECT 1 1'],
	},
	{
		name: 'a named statement run twice',
		run: async () => {
			client.send(
				Parse('select $1::int', 's', [23]),
				Sync,
				Bind(['1'], 's'),
				Execute(),
				Bind(['2'], 's'),
				Execute(),
				Sync,
			);
			await client.ready(2);
		},
		want: [
			'1.1 extended prepare [select $1::int] success - - 0',
			'2.2 extended execute [select $1::int] success - SELECT 1 1',
			'2.3 extended execute [select $1::int] success - SELECT 1 1',
		],
	},
	{
		name: 'a portal in portions',
		run: async () => {
			client.send(Parse('select generate_series(1, 5)'), Bind(), Execute(2), Execute(2), Execute(2), Sync);
			await client.ready();
		},
		want: ['1.1 extended execute [select generate_series(1, 5)] success - SELECT 1 5'],
	},
	{
		name: 'a portal that is left in the middle',
		run: async () => {
			client.send(Parse('select generate_series(1, 5)'), Bind(), Execute(2), Sync);
			await client.ready();
		},
		want: ['1.1 extended execute [select generate_series(1, 5)] success - - 2'],
	},
	{
		name: 'a Bind that is never executed',
		run: async () => {
			client.send(Parse('select 1'), Bind(), Sync);
			await client.ready();
		},
		want: ['1.1 extended execute [select 1] cancelled - - 0'],
	},
	{
		name: 'what an error in a pipeline skips',
		run: async () => {
			client.send(Parse('select 1/0'), Bind(), Execute(), Parse('select 2'), Bind(), Execute(), Sync);
			await client.ready();
		},
		want: ['1.1 extended execute [select 1/0] failure 22012 - 0', '1.2 extended execute [select 2] cancelled - - 0'],
	},
	{
		name: 'a denial, and what follows it in the pipeline',
		run: async () => {
			client.send(
				Parse('insert into items values (1)'),
				Bind(),
				Execute(),
				Parse("select 'deny_me'"),
				Bind(),
				Execute(),
				Sync,
			);
			await client.ready();
			await client.query("select 1; select 'deny_me'");
		},
		want: [
			'1.1 extended execute [insert into items values (1)] success - INSERT 0 1 1',
			"1.2 extended prepare [select 'deny_me'] ",
			'2.3 simple execute [select 1] ',
			"2.4 simple execute [select 'deny_me'] ",
		],
	},
	{
		name: 'COPY in and out',
		run: async () => {
			client.send(Query('copy items from stdin'));
			await client.until('CopyInResponse');
			client.send(CopyData('1\n2\n'), CopyData('3\n'), CopyDone);
			await client.ready();
			await client.query('copy items to stdout');
		},
		want: [
			'1.1 simple execute [copy items from stdin] success - COPY 3 3',
			'2.2 simple execute [copy items to stdout] success - COPY 3 3',
		],
	},
	{ name: 'nothing at all', run: () => client.query(' -- nothing'), want: [] },
	{
		name: 'a cancelled statement',
		run: async () => {
			client.send(Query("set statement_timeout = '50ms'"), Query('select pg_sleep(10)'));
			await client.ready(2);
		},
		want: [
			"1.1 simple execute [set statement_timeout = '50ms'] success - SET 0",
			'2.2 simple execute [select pg_sleep(10)] cancelled 57014 - 0',
		],
	},
	{
		name: 'a function call',
		run: async () => {
			client.send({ type: 'FunctionCall', oid: 1397, argFormats: [], args: [Buffer.from('-5')], resultFormat: 0 });
			await client.ready();
		},
		want: ['1.1 function-call execute [select 1397] success - - 1'],
	},
];

describe('records and outcomes', () => {
	it.each(cases)('$name', async ({ run, want }) => {
		await run();
		expect(lines()).toEqual(want);
	});

	it('has the values of parameters, unless they touch what is protected', async () => {
		client.send(Parse('select $1::int, $2::text', '', [23]), Bind(['7', null]), Execute(), Sync);
		client.send(Parse('select $1::int as protect_me', '', [23]), Bind(['8']), Execute(), Sync);
		await client.ready(2);
		expect(gateway.pipeline.recorded.map(({ record }) => record.parameters)).toMatchObject([
			[
				{ oid: 23, format: 0, value: Buffer.from('7'), redact: false },
				{ oid: 0, format: 0, value: null, redact: false },
			],
			[{ oid: 23, format: 0, value: Buffer.from('8'), redact: true }],
		]);
	});

	it('says who, from where and through which backend', async () => {
		await client.query('select 1');
		expect(gateway.pipeline.recorded[0]?.record.session).toMatchObject({
			identity: { name: 'someone' },
			clientAddress: '127.0.0.1',
			application: 'recorder',
			database: 'db',
			backendAddress: `127.0.0.1:${database.port}`,
		});
		await client.query("set application_name = 'other'");
		await client.query('select 1');
		expect(gateway.pipeline.recorded.at(-1)?.record.session.application).toBe('other');
	});

	it.each(['a\x1b[31mname\nof\ttwo lines', 'prüfung\u009b2J', 'x'.repeat(200), `${'x'.repeat(61)}€€`, '💧'.repeat(20)])(
		'has the name of the application as the server does: %j',
		async (name) => {
			const named = await WireClient.open({ port: gateway.port, params: { application_name: name } });
			const row = (await named.query('show application_name')).find((message) => message.type === 'DataRow');
			named.destroy();
			const said = row?.type === 'DataRow' ? String(row.values[0]) : '';
			expect(said).toMatch(/^[\x20-\x7e]+$/);
			expect(gateway.pipeline.recorded.at(-1)?.record.session.application).toBe(said);
		},
	);

	it('of statements that were under way when the client vanished are unknown', async () => {
		client.send(Query('select pg_sleep(0.3)'));
		await until(() => gateway.pipeline.recorded.length === 1);
		client.socket.resetAndDestroy();
		await until(() => gateway.pipeline.recorded[0]?.outcomes.length === 1);
		expect(lines()).toEqual(['1.1 simple execute [select pg_sleep(0.3)] unknown - - 0']);
	});
});

describe('a log that fails', () => {
	const full = new GatewayError('53100', 'the audit log cannot be written: no space left on device');

	it.each([
		['a query', [Query('insert into items values (1)')]],
		['a pipeline', [Parse('insert into items values (1)'), Bind(), Execute(), Sync]],
		['a denial', [Query("select 'deny_me'")]],
	])('lets nothing of %s through and ends the session', async (_, messages) => {
		gateway.pipeline.failure = full;
		client.send(...messages);
		const heard = await client.rest();
		expect(heard.map(({ type }) => type)).toEqual(['ErrorResponse']);
		expect(heard[0]?.type === 'ErrorResponse' && [heard[0].fields.get('V'), heard[0].fields.get('C')]).toEqual([
			'FATAL',
			'53100',
		]);
		expect(await database.sql('select * from items')).toEqual([]);
		await until(() => gateway.pool.stats.leased === 0);
	});

	it('lets nobody in', async () => {
		gateway.pipeline.failure = full;
		await expect(WireClient.open({ port: gateway.port })).rejects.toMatchObject({ code: '53100' });
		await until(() => gateway.pool.stats.leased === 1);
	});
});

describe('what the gateway did not see does not run', () => {
	it('a statement prepared behind its back', async () => {
		await client.query("do $$ begin execute 'prepare hidden as insert into items values (1)'; end $$");
		client.send(Bind([], 'hidden'), Execute(), Sync);
		const heard = await client.ready();
		expect(heard.map(({ type }) => type)).toEqual(['ErrorResponse', 'ReadyForQuery']);
		expect(heard[0]?.type === 'ErrorResponse' && heard[0].fields.get('C')).toBe('26000');
		expect(await database.sql('select * from items')).toEqual([]);
	});

	it('a cursor opened behind its back', async () => {
		await client.query('begin; declare behind cursor for select 1');
		client.send(Execute(0, 'behind'), Sync);
		const heard = await client.ready();
		expect(heard[0]?.type === 'ErrorResponse' && heard[0].fields.get('C')).toBe('34000');
	});

	it('a statement whose name has changed its meaning in flight', async () => {
		// The second Parse fails on the server; what is bound after the Sync is the first statement, and recorded as such.
		client.send(Parse("select 'first'", 's'), Sync);
		await client.ready();
		client.send(
			Parse("select 'second'", 's'),
			Sync,
			Bind([], 's'),
			Execute(),
			Sync,
			CloseStatement('s'),
			Parse('broken broken'),
			Sync,
			Bind([], 's'),
			Execute(),
			Sync,
		);
		const heard = await client.ready(4);
		const values = heard.flatMap((message) => (message.type === 'DataRow' ? message.values.map(String) : []));
		expect(values).toEqual(['first']);
		const executed = gateway.pipeline.recorded.filter(({ record }) => record.phase === 'execute');
		expect(executed.map(({ record }) => record.decision.sql)).toEqual(["select 'first'"]);
	});
});
