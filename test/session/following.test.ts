/** The session follows what names mean, what statements have become under a new policy, and what must not be shown. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Backend } from '../../src/wire/backend.ts';
import type { FrontendFields } from '../../src/wire/encode.ts';
import { otherVersions } from '../catalog/support.ts';
import { createDatabase, startPostgres, type TestDatabase } from '../support/postgres.ts';
import { startTestGateway, type TestGateway } from './gateway.ts';
import { until } from './until.ts';
import {
	Bind,
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
	let client: WireClient;

	beforeAll(async () => {
		database = await createDatabase({
			server: await startPostgres(native === undefined ? {} : { native }),
			setup: `create table items (id int primary key, secret text);
			insert into items values (1, 'raw'), (2, 'raw');
			create table unique_later (id int unique deferrable initially deferred)`,
		});
	});

	beforeEach(async () => {
		gateway = await startTestGateway(database);
		client = await WireClient.open({ port: gateway.port });
	});

	afterEach(async () => {
		client.destroy();
		await gateway.close();
	});

	afterAll(async () => {
		await database?.drop();
	});

	const run = (sql: string) => [Parse(sql), Bind(), DescribePortal(), Execute()];
	const kinds = (messages: readonly Backend[]) => messages.map(({ type }) => type);
	const rowsOf = (messages: readonly Backend[]) =>
		messages.flatMap((message) => (message.type === 'DataRow' ? [message.values.map(String)] : []));
	const errorsOf = (messages: readonly Backend[]) =>
		messages.flatMap((message) => (message.type === 'ErrorResponse' ? [Object.fromEntries(message.fields)] : []));

	it('decides again what was decided while the policy became another', async () => {
		await gateway.close();
		gateway = await startTestGateway(database, { withdrawn: () => gateway.pipeline.paths.length > 0 });
		client = await WireClient.open({ port: gateway.port });
		await client.query('select slow_me from (select 1 as slow_me) x');
		expect(gateway.pipeline.paths.length).toBe(2);
	});

	describe('search_path is known at every decision', () => {
		const standard = ['$user', 'public'];
		const cases = [
			{
				name: 'from the login on',
				run: () => client.query('select 1'),
				want: [standard],
			},
			{
				name: 'after SET, without waiting for it',
				run: () => {
					client.send(Query('set search_path = a, "B c", \'$user\''), Query('select 1'));
					return client.ready(2);
				},
				want: [standard, ['a', 'B c', '$user']],
			},
			{
				name: 'after ROLLBACK, without waiting for it',
				run: () => {
					client.send(
						Query('begin'),
						Query('set search_path = a'),
						Query('select 1'),
						Query('rollback'),
						Query('select 2'),
					);
					return client.ready(5);
				},
				want: [standard, standard, ['a'], ['a'], standard],
			},
			{
				name: 'after an error that rolls back',
				run: () => {
					client.send(
						Query('begin'),
						Query('set local search_path = a'),
						Query('select 1/0'),
						Query('rollback'),
						Query('select 2'),
					);
					return client.ready(5);
				},
				// Before 18 a failed transaction cannot be asked; only its end can run there.
				want: [standard, standard, ['a'], native === undefined ? standard : ['a'], standard],
			},
			{
				name: 'after the end of a failed transaction, in a pipeline',
				run: async () => {
					client.send(Query('begin'), Query('set local search_path = a'), Query('select 1/0'));
					await client.ready(3);
					client.send(...run('rollback'), ...run('select 2'), Sync);
					return client.ready();
				},
				want: [standard, standard, ['a'], native === undefined ? standard : ['a'], standard],
			},
			{
				name: 'in the middle of a pipeline',
				run: () => {
					client.send(...run('set search_path = a'), ...run('select 1'), Sync, ...run('select 2'), Sync);
					return client.ready(2);
				},
				want: [standard, ['a'], ['a']],
			},
			{
				name: 'after a pipeline that set it and failed',
				run: () => {
					client.send(...run('set search_path = a'), ...run('select 1/0'), Sync, ...run('select 2'), Sync);
					return client.ready(2);
				},
				want: [standard, ['a'], standard],
			},
			{
				name: 'after the end of SET LOCAL in a pipeline',
				run: () => {
					client.send(
						...run('begin'),
						...run('set local search_path = a'),
						...run('select 1'),
						...run('commit'),
						...run('select 2'),
						Sync,
					);
					return client.ready();
				},
				want: [standard, standard, ['a'], ['a'], standard],
			},
		];

		it.each(cases)('$name', async ({ run: act, want }) => {
			const heard = await act();
			expect(errorsOf(heard).filter(({ C }) => C !== '22012')).toEqual([]);
			expect(gateway.pipeline.paths).toEqual(want);
		});

		it('and the question leaves no trace in what the client hears', async () => {
			client.send(...run('set search_path = a'), ...run('select 1'), Sync);
			expect(kinds(await client.ready()).filter((kind) => kind !== 'ParameterStatus')).toEqual([
				...['ParseComplete', 'BindComplete', 'NoData', 'CommandComplete'],
				...['ParseComplete', 'BindComplete', 'RowDescription', 'DataRow', 'CommandComplete'],
				'ReadyForQuery',
			]);
			expect(rowsOf(await client.query('select name from pg_prepared_statements'))).toEqual([]);
		});
	});

	describe('a catalogue that the session has changed', () => {
		it('is looked at again before the next decision, and once more at COMMIT', async () => {
			client.send(Query('create temp table one (a int)'), Query('select * from one'));
			await client.ready(2);
			expect(gateway.refreshes.count).toBe(1);
			for (const sql of ['begin', 'create temp table two (a int)', 'select * from two', 'commit', 'select 1'])
				await client.query(sql);
			expect(gateway.refreshes.count).toBe(3);
		});

		it('is not being read when a VACUUM begins, if that look ends', async () => {
			let ended = (): void => undefined;
			gateway.looks.underWay = new Promise<void>((resolve) => {
				ended = resolve;
			});
			await client.query('select 1');
			const decided = gateway.pipeline.paths.length;
			client.send(Query('vacuum pg_class'));
			await until(() => gateway.pipeline.paths.length > decided);
			expect(gateway.pipeline.recorded.length).toBe(1);
			// Somebody else's look, which never ends.
			gateway.looks.underWay = new Promise(() => undefined);
			ended();
			expect(kinds(await client.ready())).toEqual(['CommandComplete', 'ReadyForQuery']);
			gateway.looks.underWay = null;
			expect(kinds(await client.query('vacuum pg_class'))).toEqual(['CommandComplete', 'ReadyForQuery']);
			gateway.looks.underWay = new Promise(() => undefined);
			await client.query('begin');
			expect(kinds(await client.query('analyze pg_class'))).toEqual(['CommandComplete', 'ReadyForQuery']);
		});
	});

	describe('a catalogue that others have just changed', () => {
		const cases = [
			{ name: 'is waited for by what reads protected relations', sql: "select 'protect_me'", waits: true },
			{ name: 'is waited for by what is refused', sql: "select 'deny_me'", waits: true },
			{ name: 'is not waited for by anything else', sql: "select 'all the same'", waits: false },
		];

		it.each(cases)('$name', async ({ sql, waits }) => {
			client.send(Parse(sql, 'early'), Sync);
			await client.ready();
			const early = sql.includes('deny_me') ? [Query(sql)] : [Bind([], 'early'), Execute(), Sync];
			for (const messages of [[Query(sql)], [Parse(sql), Bind(), Execute(), Sync], early]) {
				let ended = (): void => undefined;
				gateway.looks.following = new Promise<void>((resolve) => {
					ended = resolve;
				});
				const decided = gateway.pipeline.paths.length;
				const recorded = gateway.pipeline.recorded.length;
				client.send(...messages);
				await until(() => gateway.pipeline.paths.length > decided);
				if (waits) expect(gateway.pipeline.recorded.length).toBe(recorded);
				// Somebody else's DDL, which never ends.
				gateway.looks.following = new Promise(() => undefined);
				if (waits) ended();
				await client.ready();
				expect(gateway.pipeline.recorded.length).toBeGreaterThan(recorded);
				gateway.looks.following = null;
			}
		});
	});

	describe('relations that only the session sees', () => {
		const setup = ['begin', 'create temp table mine (a int)', 'create table fresh (a int)'];

		it('are found through its own connection, and kept while they last', async () => {
			for (const sql of setup) await client.query(sql);
			await client.query("select 'look_up_me'");
			expect(gateway.pipeline.found).toEqual([['fresh', 'mine']]);
			expect(gateway.pipeline.own.at(-1)).toEqual(['mine']);
			await client.query('select 1');
			expect([...(gateway.pipeline.own.at(-1) ?? [])].sort()).toEqual(['fresh', 'mine']);
			expect(kinds(await client.query('rollback'))).toEqual(['CommandComplete', 'ReadyForQuery']);
			await client.query('select 2');
			expect(gateway.pipeline.own.at(-1)).toEqual([]);
		});

		it('are found behind statements that are still running', async () => {
			client.send(...[...setup, "select 'look_up_me' from pg_sleep(0.05)", 'commit'].map(Query));
			expect(errorsOf(await client.ready(5))).toEqual([]);
			expect(gateway.pipeline.found).toEqual([['fresh', 'mine']]);
			await client.query('drop table fresh');
		});

		it('are not asked for where that would end a pipeline, a failed transaction or a COPY', async () => {
			client.send(...run('create temp table mine (a int)'), ...run("select 'look_up_me'"), Sync);
			expect(errorsOf(await client.ready())).toEqual([]);
			await client.query('begin');
			await client.query('select 1/0');
			await client.query("select 'look_up_me'");
			await client.query('rollback');
			client.send(Query('copy items from stdin'), Query("select 'look_up_me'"));
			expect(errorsOf(await client.rest()).map(({ C }) => C)).toEqual(['08P01', '08P01']);
			expect(gateway.pipeline.found).toEqual([[], [], []]);
		});

		it('are not asked for where the server skips everything up to a Sync, and what was decided there is not kept', async () => {
			const text = "select 'look_up_me'";
			client.send(Parse('select nothing_like_that'), Query('select 1'), Query(text), Sync);
			expect(kinds(await client.ready())).toEqual(['ErrorResponse', 'ReadyForQuery']);
			expect(kinds(await client.query(text))).toContain('DataRow');
			expect(gateway.pipeline.found).toEqual([[], []]);
			expect(gateway.pipeline.paths.length).toBe(4);
		});

		it('cost the client nothing, its unnamed statement neither', async () => {
			client.send(Parse("select 'unnamed'"), Sync);
			await client.ready();
			client.send(Parse("select 'look_up_me'", 'other'), Sync, Bind(), DescribePortal(), Execute(), Sync);
			const heard = await client.ready(2);
			expect(kinds(heard)).toEqual([
				...['ParseComplete', 'ReadyForQuery'],
				...['BindComplete', 'RowDescription', 'DataRow', 'CommandComplete', 'ReadyForQuery'],
			]);
			expect(rowsOf(heard)).toEqual([['unnamed']]);
		});

		it('of a session that ends meanwhile are no longer looked for', async () => {
			client.send(Query('select pg_sleep(0.2)'), Query("select 'look_up_me'"));
			await until(() => gateway.pipeline.recorded.length === 1);
			client.socket.resetAndDestroy();
			await until(() => gateway.pipeline.found.length === 1 && gateway.pool.stats.leased === 0);
		});
	});

	describe('PREPARE', () => {
		it('is known to EXECUTE and to Bind, DEALLOCATE forgets it', async () => {
			client.send(Query("prepare q as select 'prepared'"), Query('execute q'), Query('execute other'));
			const heard = await client.ready(3);
			expect(rowsOf(heard)).toEqual([['prepared']]);
			expect(gateway.pipeline.executed).toEqual(["prepare q as select 'prepared'", undefined]);
			client.send(Bind([], 'q'), DescribePortal(), Execute(), Sync);
			expect(rowsOf(await client.ready())).toEqual([['prepared']]);
			expect(gateway.pipeline.recorded.at(-1)?.record.decision.sql).toBe("prepare q as select 'prepared'");
			client.send(Query('deallocate q'), Bind([], 'q'), Execute(), Sync);
			expect(errorsOf(await client.ready(2))).toMatchObject([{ C: '26000' }]);
		});

		it('is decided again, and refused where another text would have to run', async () => {
			const bound = async () => {
				client.send(Bind([], 'q'), DescribePortal(), Execute(), Sync);
				return client.ready();
			};
			await client.query("prepare q as select 'old_text'");
			gateway.pipeline.revision += 1;
			expect(rowsOf(await bound())).toEqual([['new_text']]);
			gateway.pipeline.revision += 1;
			gateway.pipeline.replacement = 'newer_text';
			expect(errorsOf(await bound())).toMatchObject([{ C: '42501', H: 'DEALLOCATE it and PREPARE it again.' }]);
			gateway.pipeline.replacement = 'new_text';
			expect(rowsOf(await bound())).toEqual([['new_text']]);
			gateway.pipeline.revision += 1;
			gateway.pipeline.denied.add("prepare q as select 'old_text'");
			expect(errorsOf(await bound())).toMatchObject([{ C: '42501' }]);
			expect(gateway.pipeline.recorded.at(-1)?.record.decision.effect).toBe('deny');
		});

		it('that fails is not known', async () => {
			client.send(Query('prepare q as select nothing_here'), Query('execute q'));
			await client.ready(2);
			expect(gateway.pipeline.executed).toEqual([undefined]);
		});
	});

	describe('a prepared statement under a policy that changes', () => {
		beforeEach(async () => {
			client.send(Parse("select 'old_text'", 's'), Sync);
			await client.ready();
		});

		it('runs on while its text stays the same', async () => {
			gateway.pipeline.revision += 1;
			client.send(Bind([], 's'), Execute(), Sync);
			expect(rowsOf(await client.ready())).toEqual([['new_text']]);
		});

		it('runs the new text, and the client hears nothing of the change', async () => {
			gateway.pipeline.revision += 1;
			gateway.pipeline.replacement = 'newer_text';
			for (const _ of [1, 2]) {
				client.send(Bind([], 's'), DescribePortal(), Execute(), Sync);
				const heard = await client.ready();
				expect(rowsOf(heard)).toEqual([['newer_text']]);
				expect(kinds(heard)).toEqual(['BindComplete', 'RowDescription', 'DataRow', 'CommandComplete', 'ReadyForQuery']);
			}
			expect(gateway.pipeline.recorded.at(-1)?.record.decision.rewritten).toBe("select 'newer_text'");
		});

		it('recovers when the new text could not be parsed at first', async () => {
			gateway.pipeline.revision += 1;
			gateway.pipeline.replacement = "x' from nowhere --";
			client.send(Bind([], 's'), Execute(), Sync);
			expect(errorsOf(await client.ready())).toMatchObject([{ C: '42P01' }]);
			gateway.pipeline.revision += 1;
			gateway.pipeline.replacement = 'fixed';
			client.send(Bind([], 's'), Execute(), Sync);
			expect(rowsOf(await client.ready())).toEqual([['fixed']]);
		});

		it('is refused when it is denied by now', async () => {
			gateway.pipeline.revision += 1;
			gateway.pipeline.denied.add("select 'old_text'");
			client.send(...run('select 1'), Bind([], 's'), Execute(), ...run('select 2'), Sync);
			const heard = await client.ready();
			expect(rowsOf(heard)).toEqual([['1']]);
			expect(errorsOf(heard)).toMatchObject([{ C: '42501' }]);
		});

		it('is refused at Execute too, when it was bound before', async () => {
			await client.query('begin');
			client.send(Bind([], 's', 'p'), Sync);
			await client.ready();
			gateway.pipeline.revision += 1;
			gateway.pipeline.denied.add("select 'old_text'");
			client.send(Execute(0, 'p'), Sync);
			const heard = await client.ready();
			expect(kinds(heard)).toEqual(['ErrorResponse', 'ReadyForQuery']);
			expect(errorsOf(heard)).toMatchObject([{ C: '42501' }]);
		});
	});

	describe('rows that are the gateway’s own', () => {
		it('are hidden in the simple protocol', async () => {
			const heard = await client.query(
				'insert /* hide_me */ into items values (3) returning id; delete from items where id = 3',
			);
			expect(kinds(heard)).toEqual(['CommandComplete', 'CommandComplete', 'ReadyForQuery']);
			expect(heard[0]).toMatchObject({ tag: 'INSERT 0 1' });
		});

		it('are hidden in the extended protocol, and need no portions', async () => {
			const sql = 'update /* hide_me */ items set secret = secret returning id';
			client.send(Parse(sql), DescribeStatement(), Bind(), DescribePortal(), Execute(1), Sync);
			const heard = await client.ready();
			expect(kinds(heard)).toEqual([
				...[
					'ParseComplete',
					'ParameterDescription',
					'NoData',
					'BindComplete',
					'NoData',
					'CommandComplete',
					'ReadyForQuery',
				],
			]);
		});

		it('are nothing that a Bind could give formats for', async () => {
			const bind = { ...Bind(), resultFormats: [0, 1, 1] } as FrontendFields;
			client.send(Parse('update /* hide_me */ items set secret = secret returning id'), bind, Execute(), Sync);
			expect(kinds(await client.ready())).toEqual([
				...['ParseComplete', 'BindComplete', 'CommandComplete', 'ReadyForQuery'],
			]);
		});
	});

	describe('the result guard', () => {
		const leak = 'select secret as leak_me from items';

		it.each([
			['a query', [Query(leak)]],
			['a Describe of the statement', [Parse(leak), DescribeStatement(), Sync]],
			['a Describe of the portal', [Parse(leak), Bind(), DescribePortal(), Execute(), Sync]],
			['an Execute that nobody described', [Parse(leak), Bind(), Execute(), Sync]],
			['a later statement of a query', [Query(`select 1; ${leak}`)]],
		])('stops %s', async (_, messages) => {
			client.send(...messages);
			const heard = await client.rest();
			expect(rowsOf(heard).flat()).not.toContain('raw');
			expect(errorsOf(heard)).toMatchObject([{ V: 'FATAL', C: '42501' }]);
			expect(gateway.pipeline.events.map(({ type }) => type)).toContain('guard-breach');
			expect(gateway.logged.join()).toContain('ALARM');
		});

		it('stops a Describe of a cursor', async () => {
			await client.query('begin');
			await client.query(`declare c cursor for ${leak}`);
			client.send(DescribePortal('c'), Sync);
			expect(errorsOf(await client.rest())).toMatchObject([{ V: 'FATAL', C: '42501' }]);
		});

		it('looks once at a statement that is run without a Describe', async () => {
			client.send(Parse('select 1', 'quiet'), Bind([], 'quiet'), Execute(), Sync, Bind([], 'quiet'), Execute(), Sync);
			expect(kinds(await client.ready(2))).toEqual([
				...['ParseComplete', 'BindComplete', 'DataRow', 'CommandComplete', 'ReadyForQuery'],
				...['BindComplete', 'DataRow', 'CommandComplete', 'ReadyForQuery'],
			]);
		});
	});

	describe('errors of statements on protected relations', () => {
		const codes = (fields: Record<string, string> | undefined) => Object.keys(fields ?? {});

		it('lose what could tell a value', async () => {
			const plain = errorsOf(await client.query("insert into items values (1, 'x')"))[0];
			expect(codes(plain)).toContain('D');
			const redacted = errorsOf(await client.query("insert /* protect_me */ into items values (1, 'x')"))[0];
			expect(codes(redacted)).not.toContain('D');
			expect(redacted?.['C']).toBe('23505');
		});

		it('lose it also when they come at the end of the transaction', async () => {
			const insert = 'insert /* protect_me */ into unique_later values (7), (7)';
			expect(codes(errorsOf(await client.query(insert))[0])).not.toContain('D');
			client.send(...run(insert), Sync);
			expect(codes(errorsOf(await client.ready())[0])).not.toContain('D');
			await client.query('begin');
			await client.query(insert);
			expect(codes(errorsOf(await client.query('commit'))[0])).not.toContain('D');
			expect(codes(errorsOf(await client.query(`${insert}; select 1`))[0])).not.toContain('D');
			client.send(Parse('set constraints all immediate', 'now'), Sync);
			await client.ready();
			await client.query('begin');
			await client.query(insert);
			expect(codes(errorsOf(await client.query('execute now'))[0])).not.toContain('D');
			await client.query('rollback');
			// A transaction of its own is none of their business.
			expect(codes(errorsOf(await client.query('insert into unique_later values (7), (7)'))[0])).toContain('D');
		});
	});

	describe('a backend that reports what the gateway cannot follow', () => {
		it.each([
			['standard_conforming_strings', 'off'],
			['client_encoding', 'LATIN1'],
		])('ends the session: %s = %s', async (name, value) => {
			client.send(Query(`set ${name} = ${value}`), Query('select 1'));
			const heard = await client.rest();
			expect(errorsOf(heard)).toMatchObject([{ V: 'FATAL', C: '0A000' }]);
			expect(rowsOf(heard)).toEqual([]);
		});
	});

	describe('a Flush', () => {
		it('is enough to hear of everything before it', async () => {
			client.send(Parse('select slow_me from (select 1 as slow_me) x'), Flush);
			expect(kinds(await client.until('ParseComplete'))).toEqual(['ParseComplete']);
		});
	});
});
