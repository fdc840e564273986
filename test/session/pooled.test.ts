/** Sessions in transaction mode: whose backend it is, what goes along with a client, and what becomes of faults. */
import { createServer, type Server, type Socket } from 'node:net';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Backend } from '../../src/wire/backend.ts';
import { encodeCancelRequest, type FrontendFields } from '../../src/wire/encode.ts';
import { createDatabase, type TestDatabase } from '../support/postgres.ts';
import { startTestGateway, type TestGateway, type TestGatewayOptions } from './gateway.ts';
import { until } from './until.ts';
import {
	Bind,
	CloseStatement,
	CopyData,
	CopyDone,
	DescribeStatement,
	Execute,
	Flush,
	Parse,
	Query,
	Sync,
	WireClient,
} from './wire-client.ts';

let database: TestDatabase;
let gateway: TestGateway;

beforeAll(async () => {
	database = await createDatabase({ setup: 'create table items (id int)' });
});

afterEach(async () => {
	await gateway?.close();
});

afterAll(async () => {
	await database?.drop();
});

async function start(pooled: TestGatewayOptions['pooled'], size: number, more: TestGatewayOptions = {}): Promise<void> {
	gateway = await startTestGateway(database, { ...more, poolSize: size, pooled: pooled ?? {} });
}

const open = (params: Readonly<Record<string, string>> = {}): Promise<WireClient> =>
	WireClient.open({ port: gateway.port, params });

/** Values of all rows, errors as their SQLSTATE. */
function told(answers: readonly Backend[]): string[] {
	return answers.flatMap((answer) => {
		if (answer.type === 'DataRow') return [answer.values.map(String).join('|')];
		return answer.type === 'ErrorResponse' ? [String(answer.fields.get('C'))] : [];
	});
}

const ask = async (client: WireClient, sql: string): Promise<string[]> => told(await client.query(sql));

async function send(client: WireClient, ...messages: FrontendFields[]): Promise<string[]> {
	client.send(...messages);
	return told(await client.ready());
}

const pidOf = async (client: WireClient): Promise<string> => (await ask(client, 'select pg_backend_pid()'))[0] ?? '';

/** As the server sees it, past the gateway. */
const waitsFor = (stats: Partial<TestGateway['pool']['stats']>): Promise<void> =>
	until(() => Object.entries(stats).every(([key, value]) => gateway.pool.stats[key as keyof typeof stats] === value));

describe('a backend', () => {
	it('serves many clients, one after the other', async () => {
		await start({}, 2);
		const clients = await Promise.all(Array.from({ length: 12 }, () => open()));
		const pids = new Set((await Promise.all(clients.map(pidOf))).flat());
		expect(pids.size).toBeLessThanOrEqual(2);
		expect(gateway.pool.stats).toMatchObject({ leased: 0, waiting: 0 });
	});

	it('stays with its client for a transaction, and for no longer', async () => {
		await start({}, 1);
		const [one, two] = [await open(), await open()];
		const pid = await pidOf(one);
		await ask(one, 'begin');
		const waiting = pidOf(two);
		await waitsFor({ waiting: 1 });
		expect(await pidOf(one)).toBe(pid);
		await ask(one, 'commit');
		expect(await waiting).toBe(pid);
	});

	it('is not leased for what the gateway can answer by itself, or is given back behind it', async () => {
		await start({}, 1);
		const client = await open();
		expect(await ask(client, 'select deny_me')).toEqual(['42501']);
		client.send(Sync);
		await client.ready();
		client.send(Flush, Flush, CopyDone, Sync);
		await client.ready();
		await waitsFor({ leased: 0, idle: 1 });
		expect(await ask(client, 'select 1')).toEqual(['1']);
	});

	it('is another one when the former died while nobody had it', async () => {
		await start({}, 1);
		const client = await open();
		const pid = await pidOf(client);
		await database.sql(`select pg_terminate_backend(${pid})`);
		await waitsFor({ idle: 0 });
		expect(await pidOf(client)).not.toBe(pid);
	});

	it('that dies in a transaction ends that session and no other', async () => {
		await start({}, 1);
		const [one, two] = [await open(), await open()];
		await ask(one, 'begin');
		const pid = await pidOf(one);
		await database.sql(`select pg_terminate_backend(${pid})`);
		expect(told(await one.rest())).toEqual(['57P01']);
		expect(await ask(two, 'select 1')).toEqual(['1']);
	});

	it('that dies in the middle of a COPY ends that session and no other', async () => {
		await start({}, 1);
		const [one, two] = [await open(), await open()];
		const pid = await pidOf(one);
		one.send(Query('copy items from stdin'), CopyData('1\n'));
		await one.until('CopyInResponse');
		await database.sql(`select pg_terminate_backend(${pid})`);
		expect(told(await one.rest()).at(-1)).toMatch(/57P01|08006/);
		expect(await ask(two, 'select count(*) from items')).toEqual(['0']);
	});

	it('whose client leaves in a transaction goes to nobody else', async () => {
		await start({}, 1);
		const [one, two] = [await open(), await open()];
		const pid = await pidOf(one);
		await ask(one, 'begin; insert into items values (1)');
		one.destroy();
		expect(await pidOf(two)).not.toBe(pid);
		expect(await ask(two, 'select count(*) from items')).toEqual(['0']);
	});

	it('is closed when it is old, and when nobody needs it', async () => {
		await start({ lifetimeMs: 1 }, 1);
		const client = await open();
		const pid = await pidOf(client);
		// The first statement alone may be done within the millisecond.
		await ask(client, 'select pg_sleep(0.01)');
		expect(await pidOf(client)).not.toBe(pid);
		await gateway.close();
		await start({ idleMs: 1 }, 1);
		await pidOf(await open());
		await waitsFor({ idle: 0 });
	});

	it('that has been idle for long is tried first', async () => {
		await start({ checkAfterMs: 0 }, 1);
		const client = await open();
		const pid = await pidOf(client);
		expect(await pidOf(client)).toBe(pid);
	});
});

describe('prepared statements', () => {
	it('are shared by text, and named by each client as it likes', async () => {
		await start({}, 1);
		const [one, two] = [await open(), await open()];
		const text = 'select $1::int + 1';
		await send(one, Parse(text, 'mine'), Sync);
		await send(two, Parse(text, 'yours'), Sync);
		await send(two, Parse('select 2 * $1::int', 'mine'), Sync);
		expect(await send(one, Bind(['20'], 'mine'), Execute(), Sync)).toEqual(['21']);
		expect(await send(two, Bind(['20'], 'mine'), Execute(), Sync)).toEqual(['40']);
		expect(await send(two, Bind(['1'], 'yours'), Execute(), Sync)).toEqual(['2']);
		expect(await ask(one, "select count(*) from pg_prepared_statements where statement like 'select $1%'")).toEqual([
			'1',
		]);
		expect(await send(one, Parse('select 3', 'mine'), Sync)).toEqual(['42P05']);
		await send(one, CloseStatement('mine'), Sync);
		expect(await send(one, Bind(['1'], 'mine'), Execute(), Sync)).toEqual(['26000']);
		expect(await send(two, Bind(['1'], 'yours'), Execute(), Sync)).toEqual(['2']);
	});

	it('are prepared again on a backend that does not have them', async () => {
		await start({}, 2);
		const [one, two] = [await open(), await open()];
		await send(one, Parse('select pg_backend_pid(), $1::int', 'a'), DescribeStatement('a'), Sync);
		const first = (await send(one, Bind(['1'], 'a'), Execute(), Sync))[0]?.split('|')[0];
		// Somebody else has that backend now.
		await ask(two, 'begin');
		const pid = await pidOf(two);
		const [second] = await send(one, Bind(['2'], 'a'), Execute(), Sync);
		expect(second?.split('|')[1]).toBe('2');
		expect(second?.startsWith(`${pid}|`)).toBe(false);
		expect([first, second?.split('|')[0]]).toContain(pid === first ? second?.split('|')[0] : first);
	});

	it('whose Parse was skipped are not there, though the backend has the text', async () => {
		await start({}, 1);
		const [one, two] = [await open(), await open()];
		await send(one, Parse('select 9', 'a'), Sync);
		const skipped = [Parse('select 1/0'), Bind(), Execute(), Parse('select 9', 'a'), Sync];
		two.send(...skipped, Bind([], 'a'), Execute(), Sync, Parse('select 9', 'a'), Bind([], 'a'), Execute(), Sync);
		expect(told(await two.ready(3))).toEqual(['22012', '26000', '9']);
	});

	it('that were not used for longest are closed', async () => {
		await start({ statementsMax: 3 }, 1);
		const client = await open();
		const numbers = Array.from({ length: 10 }, (_, n) => n);
		for (const n of numbers) await send(client, Parse(`select ${n}`, `s${n}`), Sync);
		for (const n of numbers) expect(await send(client, Bind([], `s${n}`), Execute(), Sync)).toEqual([String(n)]);
		const [count] = await ask(client, "select count(*) from pg_prepared_statements where name like 'portcullis%'");
		expect(Number(count)).toBeLessThanOrEqual(4);
	});

	it('without a name outlast their Sync, whoever has the backend in between', async () => {
		await start({}, 1);
		const [one, two] = [await open(), await open()];
		await send(one, Parse('select $1::int * 2'), Sync);
		expect(await send(two, Parse('select 7'), Bind(), Execute(), Sync)).toEqual(['7']);
		expect(await send(one, Bind(['21']), Execute(), Sync)).toEqual(['42']);
		await ask(two, 'select 1');
		expect(await send(one, DescribeStatement(), Bind(['4']), Execute(), Sync)).toEqual(['8']);
		expect(await send(one, Parse('select nothing_like_that'), Sync)).toEqual(['42703']);
		expect(await send(one, Bind(['1']), Execute(), Sync)).toEqual(['26000']);
	});

	it('that return something else by now are refused, as the server does', async () => {
		await start({}, 2);
		const table = 'create table changing (a int)';
		await database.sql(table);
		const [one, two] = [await open(), await open()];
		await send(one, Parse('select * from changing', 'a'), DescribeStatement('a'), Sync);
		await ask(two, 'begin');
		await database.sql('alter table changing add b text');
		const answers = await send(one, Bind([], 'a'), Execute(), Sync).catch(() => []);
		expect(answers).toEqual(['0A000']);
		await ask(two, 'rollback');
		await database.sql('drop table changing');
	});

	it('by SQL and by Parse have the same names', async () => {
		await start({}, 1);
		const [one, two] = [await open(), await open()];
		await send(one, Parse('select 5', 'p'), Sync);
		expect(await ask(one, 'execute p')).toEqual(['5']);
		expect(await ask(one, 'deallocate p')).toEqual([]);
		expect(await send(one, Bind([], 'p'), Execute(), Sync)).toEqual(['26000']);
		await ask(one, 'prepare q as select 6');
		await until(() => gateway.pool.stats.pinned?.['prepared'] === 1);
		expect(await send(one, Bind([], 'q'), Execute(), Sync)).toEqual(['6']);
		await ask(one, 'deallocate q');
		await waitsFor({ leased: 0 });
		expect(await send(two, Parse('select 8', 'q'), Bind([], 'q'), Execute(), Sync)).toEqual(['8']);
		expect(await ask(two, 'prepare "portcullis shared 1" as select 1')).toEqual(['42602']);
	});

	it('of a table that is gone are deallocated all the same, within the transaction that dropped it too', async () => {
		await start({}, 1);
		await database.sql('create table going (a int)');
		const one = await open();
		await send(one, Parse('select * from going', 'a'), Parse('select a from going', 'b'), Sync);
		await ask(one, 'begin');
		await ask(one, 'drop table going');
		expect(await ask(one, 'deallocate a')).toEqual([]);
		expect(await ask(one, 'select 1')).toEqual(['1']);
		await ask(one, 'commit');
		expect(await ask(one, 'prepare b as select 1')).toEqual(['42P05']);
		expect(await ask(one, 'deallocate b')).toEqual([]);
		expect(await ask(one, 'deallocate b')).toEqual(['26000']);
	});

	it('are gone after DEALLOCATE ALL, and those of others are not', async () => {
		await start({}, 1);
		const [one, two] = [await open(), await open()];
		await send(one, Parse('select 1', 'a'), Sync);
		await send(two, Parse('select 1', 'a'), Sync);
		await ask(one, 'deallocate all');
		expect(await send(one, Bind([], 'a'), Execute(), Sync)).toEqual(['26000']);
		expect(await send(two, Bind([], 'a'), Execute(), Sync)).toEqual(['1']);
	});
});

describe('settings', () => {
	const startup = { application_name: 'mine', options: '-c statement_timeout=7s -c timezone=Asia/Tokyo' };
	const all =
		"select current_setting('application_name'), current_setting('statement_timeout'), current_setting('timezone')";

	it('of the startup packet go along, and RESET leads back to them', async () => {
		await start({}, 1);
		const one = await open(startup);
		const two = await open({ application_name: 'other' });
		const mine = ['mine|7s|Asia/Tokyo'];
		expect(await ask(one, all)).toEqual(mine);
		expect((await ask(two, all))[0]).toMatch(/^other\|0\|/);
		for (const sql of ['reset all', 'reset application_name', 'set timezone to default', 'discard all']) {
			await ask(one, "set application_name = 'another'");
			await ask(one, sql);
			if (sql !== 'reset all' && sql !== 'discard all') await ask(one, 'reset application_name');
			expect(await ask(one, all), sql).toEqual(mine);
			await ask(two, 'select 1');
			expect(await ask(one, all), sql).toEqual(mine);
		}
	});

	it.each([
		['in a transaction', 'commit', 'mine'],
		['in a transaction that is rolled back', 'rollback', 'another'],
	])('are reset %s', async (_name, end, want) => {
		await start({}, 1);
		const [one, two] = [await open(startup), await open()];
		await ask(one, "set application_name = 'another'");
		await ask(one, 'begin');
		await ask(one, 'reset application_name');
		expect(await ask(one, 'show application_name')).toEqual(['mine']);
		await ask(one, end);
		await ask(two, 'select 1');
		expect(await ask(one, 'show application_name')).toEqual([want]);
	});

	it('are as they should be before the next statement runs, also one that was bound before', async () => {
		await start({}, 1);
		const client = await open(startup);
		const answers = await send(
			client,
			Parse('show application_name', 'a'),
			Bind([], 'a', 'p'),
			Parse('reset all', 'b'),
			Bind([], 'b', 'q'),
			Execute(0, 'q'),
			Execute(0, 'p'),
			Sync,
		);
		expect(answers).toEqual(['mine']);
	});

	it('that the server reports are told to their client, and only what is another', async () => {
		await start({}, 1);
		const [one, two] = [await open(), await open()];
		await ask(one, "set application_name = 'one'");
		const statuses = (answers: readonly Backend[]): string[] =>
			answers.flatMap((answer) => (answer.type === 'ParameterStatus' ? [`${answer.name}=${answer.value}`] : []));
		expect(statuses(await two.query('select 1'))).toEqual([]);
		expect(statuses(await one.query('select 1'))).toEqual([]);
		expect(statuses(await two.query("set application_name = 'two'"))).toEqual(['application_name=two']);
		expect(statuses(await one.query('show application_name'))).toEqual([]);
		expect(await ask(one, 'show application_name')).toEqual(['one']);
	});

	it('of one client do not keep the gateway from serving another', async () => {
		await start({}, 1);
		const [one, two] = [await open(), await open()];
		await ask(one, 'set statement_timeout = 1');
		expect(await ask(two, 'select pg_sleep(0.05)')).toEqual(['']);
		expect(await ask(one, 'select pg_sleep(0.5)')).toEqual(['57014']);
	});

	it('that the server refuses refuse the login', async () => {
		await start({}, 1);
		await expect(open({ datestyle: 'nonsense' })).rejects.toMatchObject({ code: '22023' });
		expect(await ask(await open(), 'select 1')).toEqual(['1']);
	});
});

describe("a user's code", () => {
	const planting = "do $$ begin perform set_config('app.left', 'behind', false); end $$";
	const looking = "select coalesce(current_setting('app.left', true), '')";

	it('pins, and its backend is closed behind the client', async () => {
		await start({}, 1);
		const one = await open();
		const pid = await pidOf(one);
		await ask(one, planting);
		await until(() => gateway.pool.stats.pinned?.['code'] === 1);
		expect(await ask(one, looking)).toEqual(['behind']);
		one.send({ type: 'Terminate' });
		const two = await open();
		expect(await pidOf(two)).not.toBe(pid);
		expect(gateway.pool.stats).toMatchObject({ pinned: { code: 0 }, pinsTotal: { code: 1 } });
	});

	it('does not pin where the backend is reset behind it', async () => {
		await start({ userCode: 'reset' }, 1);
		const [one, two] = [await open(), await open()];
		const pid = await pidOf(one);
		await ask(one, planting);
		expect(await pidOf(two)).toBe(pid);
		expect(await ask(two, looking)).toEqual(['']);
		expect(gateway.pool.stats.pinsTotal).toMatchObject({ code: 0 });
	});

	it.each([['app.code'], ['app.*']])('does not pin where %s is trusted', async (name) => {
		await start({ trusted: [name] }, 1);
		const [one, two] = [await open(), await open()];
		await ask(one, 'select 1 as user_code');
		expect(await ask(two, 'select 2')).toEqual(['2']);
		expect(gateway.pool.stats.pinsTotal).toMatchObject({ code: 0 });
	});
});

describe('a pool that is full', () => {
	it('is an error in time, and the session goes on', async () => {
		// Long enough for the logins, which need the connection too.
		await start({ queueTimeoutMs: 500 }, 1);
		const [one, two] = [await open(), await open()];
		await ask(one, 'begin');
		expect(await ask(two, 'select 1')).toEqual(['53300']);
		expect(await send(two, Parse('select 1'), Bind(), Execute(), Sync)).toEqual(['53300']);
		await ask(one, 'commit');
		expect(await send(two, Parse('select 1'), Bind(), Execute(), Sync)).toEqual(['1']);
	});

	it('has a reserve for those that have waited', async () => {
		await start({ queueTimeoutMs: 5_000, reserve: 1, reserveAfterMs: 20 }, 1);
		const [one, two] = [await open(), await open()];
		await ask(one, 'begin');
		expect(await ask(two, 'select 1')).toEqual(['1']);
	});

	it('serves those that wait in order', async () => {
		await start({}, 1);
		const [first, ...others] = await Promise.all(Array.from({ length: 6 }, () => open()));
		await ask(first as WireClient, 'begin');
		const order: number[] = [];
		const waiting = others.map(async (client, n) => {
			await waitsFor({ waiting: n });
			await ask(client, 'select 1');
			order.push(n);
		});
		await waitsFor({ waiting: 5 });
		await ask(first as WireClient, 'commit');
		await Promise.all(waiting);
		expect(order).toEqual([0, 1, 2, 3, 4]);
	});

	it('loses no place when somebody who waits leaves', async () => {
		await start({}, 1);
		const [one, two] = [await open(), await open()];
		await ask(one, 'begin');
		two.send(Query('select 1'));
		await waitsFor({ waiting: 1 });
		// One that only says no more may still read the answer.
		two.socket.resetAndDestroy();
		await waitsFor({ waiting: 0 });
		await ask(one, 'commit');
		await waitsFor({ leased: 0, idle: 1 });
	});
});

describe('a cancel request', () => {
	const keyOf = (client: pg.Client): { pid: number; key: Buffer } => {
		const { processID, secretKey } = client as unknown as { processID: number; secretKey: number };
		const key = Buffer.alloc(4);
		key.writeInt32BE(secretKey);
		return { pid: processID, key };
	};
	const connected = async (): Promise<pg.Client> => {
		const client = new pg.Client({ host: '127.0.0.1', port: gateway.port, user: 'someone', database: 'db' });
		client.on('error', () => undefined);
		await client.connect();
		return client;
	};
	const cancel = async ({ pid, key }: { pid: number; key: Buffer }): Promise<void> => {
		const { connect } = await import('node:net');
		await new Promise<void>((resolve) => {
			const socket = connect({ host: '127.0.0.1', port: gateway.port });
			socket.on('close', () => resolve());
			socket.end(encodeCancelRequest(pid, key));
			socket.resume();
		});
	};

	it('reaches what its client runs, and never a neighbour', async () => {
		await start({}, 1);
		const [one, two] = [await connected(), await connected()];
		// Both have had the one backend.
		await one.query('select 1');
		await two.query('select 1');
		const running = one.query('select pg_sleep(0.3)');
		await waitsFor({ leased: 1 });
		await cancel(keyOf(two));
		await expect(running).resolves.toMatchObject({ rowCount: 1 });
		const cancelled = one.query('select pg_sleep(10)').catch((error: unknown) => (error as { code: string }).code);
		await waitsFor({ leased: 1 });
		await cancel(keyOf(one));
		expect(await cancelled).toBe('57014');
		// Cancels without end, while the other works on the same backend.
		for (let n = 0; n < 20; n += 1) {
			const quick = one.query('select 1').catch(() => null);
			await Promise.all([cancel(keyOf(one)), quick]);
			expect((await two.query('select 2 as two')).rows).toEqual([{ two: 2 }]);
		}
		await Promise.all([one.end(), two.end()]);
	});

	// The server has it, and has not closed the connection that it came by: it may signal the backend at any time.
	it.each([
		['is over', true],
		['may still come', false],
	])('that %s: the neighbour has the same backend: %s', async (_state, dealtWith) => {
		await start({}, 1, { cancels: { send: () => Promise.resolve(dealtWith) } });
		const [one, two] = [await connected(), await connected()];
		const pidOf = async (client: pg.Client): Promise<unknown> =>
			(await client.query<{ pid: number }>('select pg_backend_pid() as pid')).rows[0]?.pid;
		await one.query('begin');
		const pid = await pidOf(one);
		await cancel(keyOf(one));
		await one.query('commit');
		expect((await pidOf(two)) === pid).toBe(dealtWith);
		await Promise.all([one.end(), two.end()]);
	});
});

describe('a host that takes connections and says nothing', () => {
	let silent: Server;
	const sockets: Socket[] = [];

	afterEach(() => {
		for (const socket of sockets) socket.destroy();
		silent?.close();
	});

	it('is an error in time', async () => {
		silent = createServer((socket) => sockets.push(socket));
		await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
		const { port } = silent.address() as { port: number };
		// It is tried again until then.
		await start({ queueTimeoutMs: 2_000 }, 2, { target: { port, connectTimeoutMs: 50 } });
		await expect(open()).rejects.toMatchObject({ code: '08001' });
		expect(gateway.pool.stats).toMatchObject({ leased: 0, waiting: 0 });
	});
});
