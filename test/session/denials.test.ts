/** A denial at any point gives the order of replies, the skip to Sync, the rollback and the status of a server's error. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { otherVersions } from '../catalog/support.ts';
import { createDatabase, startPostgres, type TestDatabase } from '../support/postgres.ts';
import { converse, openDirect, type Turn } from './converse.ts';
import { startTestGateway, type TestGateway } from './gateway.ts';
import {
	Bind,
	CopyData,
	CopyDone,
	DescribePortal,
	DescribeStatement,
	Execute,
	Flush,
	Parse,
	Query,
	Sync,
	WireClient,
} from './wire-client.ts';

describe.each([undefined, ...otherVersions()])('PostgreSQL (%s)', (native) => {
	let database: TestDatabase;
	let gateway: TestGateway;

	beforeAll(async () => {
		database = await createDatabase({
			server: await startPostgres(native === undefined ? {} : { native }),
			setup: 'create table items (id int primary key)',
		});
		gateway = await startTestGateway(database);
	});

	beforeEach(async () => {
		await database.sql('delete from items');
		gateway.pipeline.recorded.length = 0;
	});

	afterAll(async () => {
		await gateway?.close();
		await database?.drop();
	});

	const insert = (id: number) => [Parse(`insert into items values (${id})`), Bind(), DescribePortal(), Execute()];
	const run = (sql: string) => [Parse(sql), Bind(), DescribePortal(), Execute()];

	interface Case {
		readonly name: string;
		/** `denied`: what the gateway refuses, and what the server cannot parse. */
		readonly turns: (denied: string) => readonly Turn[];
		/** Rows left in the table. */
		readonly rows?: number;
	}

	const cases: readonly Case[] = [
		{ name: 'a query', turns: (denied) => [{ send: [Query(denied)] }, { send: [Query('select 1')] }] },
		{
			name: 'queries without waiting',
			turns: (denied) => [
				{ send: [Query('select 1'), Query(denied), Query('select 2'), Query(denied), Query(denied)], until: 5 },
				{ send: [Query(denied), Query(denied), Query('select 3')], until: 3 },
			],
		},
		{
			name: 'a query behind a slow decision',
			turns: (denied) => [
				{ send: [Query('select slow_me from (select 1 as slow_me) x'), Query(denied), Query('select 2')], until: 3 },
			],
		},
		{
			name: 'a batch of which one statement is refused',
			turns: (denied) => [{ send: [Query(`insert into items values (1); ${denied}; insert into items values (2)`)] }],
			rows: 0,
		},
		{
			name: 'a query in a transaction block',
			turns: (denied) => [
				{ send: [Query('begin')] },
				{ send: [Query('insert into items values (1)')] },
				{ send: [Query(denied)] },
				{ send: [Query('select 1')] },
				{ send: [Query('commit')] },
			],
			rows: 0,
		},
		{
			name: 'a query in a transaction block with a savepoint',
			turns: (denied) => [
				{ send: [Query('begin'), Query('insert into items values (1)'), Query('savepoint a')], until: 3 },
				{ send: [Query(denied)] },
				{ send: [Query('rollback to a'), Query('commit')], until: 2 },
			],
			rows: 1,
		},
		{
			name: 'a query in a failed transaction block',
			turns: (denied) => [
				{ send: [Query('begin')] },
				{ send: [Query('select 1/0')] },
				{ send: [Query(denied)] },
				{ send: [Query('rollback')] },
			],
		},
		{
			name: 'Parse',
			turns: (denied) => [{ send: [...run(denied), Sync] }, { send: [...run('select 1'), Sync] }],
		},
		{
			name: 'Parse with Flush',
			turns: (denied) => [
				{ send: [Parse(denied, 'x'), Flush], until: 'ErrorResponse' },
				{ send: [DescribeStatement('x'), Flush, Sync] },
				{ send: [Bind([], 'x'), Execute(), Sync] },
			],
		},
		{
			name: 'Parse in the middle of a pipeline',
			turns: (denied) => [
				{ send: [...insert(1), ...run(denied), ...insert(2), Sync, ...insert(3), Sync], until: 2 },
				{ send: [Query('select * from items')] },
			],
			rows: 1,
		},
		{
			name: 'Parse, and a Query before the Sync',
			turns: (denied) => [
				{ send: [...run(denied), Query('insert into items values (9)'), Sync] },
				{ send: [Query('select 1')] },
			],
			rows: 0,
		},
		{
			name: 'Parse after an error of the server',
			turns: (denied) => [
				{ send: [...insert(1), ...run('select 1/0'), ...run(denied), Sync] },
				{ send: [Query('select 1')] },
			],
			rows: 0,
		},
		{
			name: 'a pipeline with several Syncs, each with a refusal',
			turns: (denied) => [
				{
					send: [...insert(1), ...run(denied), Sync, ...run(denied), ...insert(2), Sync, ...insert(3), Sync],
					until: 3,
				},
			],
			rows: 1,
		},
		{
			name: 'Parse in a transaction block',
			turns: (denied) => [
				{ send: [...run('begin'), ...insert(1), Sync] },
				{ send: [...run(denied), Sync] },
				{ send: [...insert(2), Sync] },
				{ send: [...run('commit'), Sync] },
			],
			rows: 0,
		},
		{
			name: 'Parse of the unnamed statement keeps nothing of the old one',
			turns: (denied) => [
				{ send: [Parse('select 1'), Sync] },
				{ send: [Parse(denied), Sync] },
				{ send: [Bind(), Execute(), Sync] },
			],
		},
		{
			name: 'a query drops the unnamed statement',
			turns: (denied) => [
				{ send: [Parse('select 1'), Sync] },
				{ send: [Query(denied)] },
				{ send: [Bind(), Execute(), Sync] },
			],
		},
		{
			name: 'Parse of another name keeps the unnamed statement',
			turns: (denied) => [
				{ send: [Parse('select 1'), Sync] },
				{ send: [Parse(denied, 'other'), Sync] },
				{ send: [Bind(), DescribePortal(), Execute(), Sync] },
			],
		},
		{
			name: 'a slow decision in a pipeline',
			turns: (denied) => [
				{
					send: [
						...insert(1),
						...run('select slow_me from (select 1 as slow_me) x'),
						...run(denied),
						Sync,
						...insert(2),
						Sync,
					],
					until: 2,
				},
			],
			rows: 1,
		},
		{
			name: 'COPY',
			turns: (denied) => [{ send: [Query(denied), CopyData('1\n'), CopyDone, Query('select 1')], until: 2 }],
		},
		{
			name: 'a query in an open pipeline',
			turns: (denied) => [{ send: [...insert(1), Flush], until: 'CommandComplete' }, { send: [Query(denied)] }],
			rows: 0,
		},
	];

	describe('a denial looks like an error of the server', () => {
		it.each(cases)('$name', async ({ turns, rows }) => {
			const wanted = await converse(await openDirect(database), turns('nonsense'), 'SVCMP');
			if (rows !== undefined) expect(await count()).toBe(rows);
			await database.sql('delete from items');
			const client = await WireClient.open({ port: gateway.port });
			const got = await converse(client, turns("select 'deny_me'"), 'SVCMP');
			expect(got).toEqual(wanted);
			if (rows !== undefined) expect(await count()).toBe(rows);
			const denied = gateway.pipeline.recorded.filter(({ record }) => record.decision.effect === 'deny');
			expect(denied.length).toBeGreaterThan(0);
			// The record of a denial is complete by itself.
			expect(denied.flatMap(({ outcomes }) => outcomes)).toEqual([]);
		});

		it('tells the error of the gateway, not the one it provoked', async () => {
			const client = await WireClient.open({ port: gateway.port });
			for (const sql of ['begin', "select 'deny_me'", 'rollback', "select 'deny_me'"]) {
				const error = (await client.query(sql)).find((message) => message.type === 'ErrorResponse');
				if (!sql.includes('deny_me')) continue;
				expect(Object.fromEntries(error?.fields ?? [])).toEqual({
					S: 'ERROR',
					V: 'ERROR',
					C: '42501',
					M: 'no rule allows this',
				});
			}
			client.destroy();
		});

		it('of a function call', async () => {
			const client = await WireClient.open({ port: gateway.port });
			const call = { type: 'FunctionCall', oid: 1, argFormats: [], args: [], resultFormat: 0 } as const;
			client.send(call, Query('select 1'));
			const heard = await client.ready(2);
			expect(heard.map(({ type }) => type)).toEqual([
				'ErrorResponse',
				'ReadyForQuery',
				'RowDescription',
				'DataRow',
				'CommandComplete',
				'ReadyForQuery',
			]);
			client.destroy();
		});

		it('text that does not parse is answered with the position of the syntax error', async () => {
			const wanted = await converse(await openDirect(database), [{ send: [Query('select 1 from from')] }]);
			const client = await WireClient.open({ port: gateway.port });
			const got = await converse(client, [{ send: [Query('select 1 from from')] }]);
			expect(got).toEqual(wanted);
		});
	});

	async function count(): Promise<number> {
		const [row] = await database.sql('select count(*)::int as n from items');
		return Number(row?.['n']);
	}
});
