/** However a session ends, its lease is given back once, nobody hangs, and the others go on. */
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { GatewayError } from '../../src/errors.ts';
import type { Backend } from '../../src/wire/backend.ts';
import { protocolVersions } from '../../src/wire/codes.ts';
import { encodeErrorResponse, encodeStartupMessage, type FrontendFields } from '../../src/wire/encode.ts';
import { createDatabase, type TestDatabase } from '../support/postgres.ts';
import { startTestGateway, type TestGateway, type TestGatewayOptions } from './gateway.ts';
import { startScriptedServer } from './scripted-server.ts';
import { until } from './until.ts';
import {
	Bind,
	CopyData,
	DescribePortal,
	Execute,
	Flush,
	Parse,
	Query,
	Sync,
	Terminate,
	WireClient,
} from './wire-client.ts';

let database: TestDatabase;
const open: TestGateway[] = [];

async function start(options: TestGatewayOptions = {}): Promise<TestGateway> {
	const gateway = await startTestGateway(database, options);
	open.push(gateway);
	return gateway;
}

beforeAll(async () => {
	database = await createDatabase({ setup: 'create table items (id int)' });
});

beforeEach(async () => {
	await database.sql('delete from items');
});

afterEach(async () => {
	for (const gateway of open.splice(0)) await gateway.close();
});

afterAll(async () => {
	await database?.drop();
});

const reasonOf = (gateway: TestGateway) =>
	gateway.pipeline.events.flatMap((event) => (event.type === 'logout' ? [event.reason] : []));
const fatalOf = (heard: readonly Backend[]) =>
	heard.flatMap((message) =>
		message.type === 'ErrorResponse' ? [`${message.fields.get('V')} ${message.fields.get('C')}`] : [],
	);

async function gone(gateway: TestGateway): Promise<void> {
	await until(() => gateway.pool.stats.leased === 0 && gateway.listener.stats.sessions === 0);
	const rows = await database.sql(
		`select count(*)::int as n from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`,
	);
	if (rows[0]?.['n'] !== 0) await gone(gateway);
}

describe('a client that leaves', () => {
	interface Row {
		readonly name: string;
		readonly leave: (client: WireClient) => void;
		/** Rows that the server has kept of the insert that was sent last. */
		readonly kept?: number;
	}
	const insert = Query('insert into items select 1 from pg_sleep(0.05)');
	const rows: readonly Row[] = [
		{ name: 'by Terminate', leave: (client) => client.send(Terminate) },
		{ name: 'by closing', leave: (client) => client.socket.end() },
		{ name: 'by a reset', leave: (client) => client.socket.resetAndDestroy() },
		{
			name: 'by Terminate right behind a statement',
			leave: (client) => {
				client.send(insert, Terminate);
				client.socket.end();
			},
			kept: 1,
		},
		{
			name: 'by closing right behind a statement',
			leave: (client) => {
				client.send(insert);
				client.socket.end();
			},
			kept: 1,
		},
		{
			name: 'right behind a slow decision',
			leave: (client) => {
				client.send(Query('insert into items select 1 as slow_me'));
				client.socket.end();
			},
			kept: 1,
		},
		{
			name: 'right behind a pipeline without Sync',
			leave: (client) => {
				client.send(Parse('insert into items values (1)'), Bind(), Execute());
				client.socket.end();
			},
			kept: 0,
		},
		{
			name: 'in a transaction',
			leave: (client) => {
				client.send(Query('begin'), Query('insert into items values (1)'), Terminate);
			},
			kept: 0,
		},
		{
			name: 'in the middle of a message',
			leave: (client) => client.socket.end(Buffer.from([0x51, 0, 0, 1, 0, 0x73])),
		},
		{
			name: 'in the middle of a COPY',
			leave: (client) => {
				client.send(Query('copy items from stdin'), CopyData('1\n2\n'));
				client.socket.end();
			},
			kept: 0,
		},
		{
			name: 'in the middle of a CopyData message',
			leave: (client) => {
				client.send(Query('copy items from stdin'));
				client.socket.end(Buffer.from([0x64, 0, 0, 1, 0, 0x31, 0x0a]));
			},
			kept: 0,
		},
		{
			name: 'by a reset while a statement runs',
			leave: (client) => {
				client.send(Query('select pg_sleep(0.1)'));
				setImmediate(() => client.socket.resetAndDestroy());
			},
		},
	];

	it.each(rows)('$name', async ({ leave, kept }) => {
		const gateway = await start();
		const other = await WireClient.open({ port: gateway.port });
		const client = await WireClient.open({ port: gateway.port });
		leave(client);
		await until(() => reasonOf(gateway).length === 1);
		await until(() => gateway.pool.stats.leased === 1 && client.closed);
		const heard = await other.query('select 1');
		expect(heard.map(({ type }) => type)).toContain('DataRow');
		other.send(Terminate);
		await gone(gateway);
		if (kept !== undefined) expect((await database.sql('select * from items')).length).toBe(kept);
		for (const { outcomes } of gateway.pipeline.recorded) expect(outcomes.length).toBe(1);
	});

	it('still hears the answers, if it only stopped talking', async () => {
		const gateway = await start();
		const client = await WireClient.open({ port: gateway.port });
		client.send(Query('select 1 from pg_sleep(0.05)'), Query('select 2'));
		client.socket.end();
		const heard = await client.rest();
		expect(heard.filter(({ type }) => type === 'ReadyForQuery').length).toBe(2);
	});

	it('does not keep a statement running for ever', async () => {
		const gateway = await start({ limits: { lingerMs: 100 } });
		const client = await WireClient.open({ port: gateway.port });
		client.send(Query('insert into items select 1 from pg_sleep(60)'), Terminate);
		await gone(gateway);
		expect(await database.sql('select * from items')).toEqual([]);
	});
});

describe('a backend that goes', () => {
	it.each([
		['while nothing happens', null],
		['while a statement runs', Query('select pg_sleep(30)')],
	])('%s', async (_, busy) => {
		const gateway = await start();
		const client = await WireClient.open({ port: gateway.port });
		const other = await WireClient.open({ port: gateway.port });
		const row = (await client.query('select pg_backend_pid()')).find((message) => message.type === 'DataRow');
		if (busy !== null) {
			client.send(busy);
			await until(() => gateway.pipeline.recorded.length === 2);
		}
		await database.sql(`select pg_terminate_backend(${String(row?.values[0])})`);
		// The server says why, and the gateway adds nothing to it.
		expect(fatalOf(await client.rest())).toEqual(['FATAL 57P01']);
		expect(reasonOf(gateway)).toEqual(['ended by the backend']);
		expect((await other.query('select 1')).length).toBeGreaterThan(2);
		other.destroy();
		await gone(gateway);
	});

	it('without a word', async () => {
		const gateway = await start();
		const client = await WireClient.open({ port: gateway.port });
		client.send(Query('select pg_sleep(0.3)'));
		await until(() => gateway.pipeline.recorded.length === 1);
		void gateway.pool.close();
		expect(fatalOf(await client.rest())).toEqual(['FATAL 08006']);
		await gone(gateway);
	});
});

describe('a backend that resets the connection', () => {
	const words = (severity: string, message: string): Buffer =>
		encodeErrorResponse(
			new Map([
				['S', severity],
				['V', severity],
				['C', '08P01'],
				['M', message],
			]),
		);

	// It does so with what it has not read, behind an error in a COPY for example; a write of the gateway's fails before it has read that.
	it('is heard out', async () => {
		const others: WireClient[] = [];
		const server = await startScriptedServer({ resets: () => others[0]?.send(Sync) });
		server.answer = Buffer.concat([words('ERROR', 'odd'), words('FATAL', 'so odd')]);
		try {
			const gateway = await start({ target: { port: server.database.port } });
			const client = await WireClient.open({ port: gateway.port });
			others.push(client);
			client.send(Query('select 1'));
			expect(fatalOf(await client.rest())).toEqual(['ERROR 08P01', 'FATAL 08P01']);
		} finally {
			server.close();
		}
	});
});

describe('messages that do not belong', () => {
	it.each([
		['an unknown type', Buffer.from([0x7e, 0, 0, 0, 4]), 'FATAL 08P01'],
		['a message of the server', Buffer.from([0x5a, 0, 0, 0, 5, 0x49]), 'FATAL 08P01'],
		['a password', Buffer.from([0x70, 0, 0, 0, 6, 0x41, 0]), 'FATAL 08P01'],
		['a length of nothing', Buffer.from([0x51, 0, 0, 0, 0]), 'FATAL 08P01'],
		['a negative length', Buffer.from([0x51, 255, 255, 255, 255]), 'FATAL 08P01'],
		['a length beyond the limit', Buffer.from([0x51, 0x7f, 255, 255, 255]), 'FATAL 08P01'],
		['a startup packet', Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]), 'FATAL 08P01'],
	])('%s end the session', async (_, bytes, want) => {
		const gateway = await start();
		const client = await WireClient.open({ port: gateway.port });
		client.socket.write(bytes);
		expect(fatalOf(await client.rest())).toEqual([want]);
		await gone(gateway);
	});

	it.each([
		['a Query that does not end', Buffer.from([0x51, 0, 0, 0, 8, 0x73, 0x73, 0x73, 0x73]), '08P01'],
		['a Query that is no UTF-8', Buffer.from([0x51, 0, 0, 0, 7, 0xff, 0xfe, 0]), '22021'],
		['a Query with a NUL in it', Buffer.from([0x51, 0, 0, 0, 8, 0x73, 0, 0x73, 0]), '08P01'],
	])('%s fail like a statement', async (_, bytes, code) => {
		const gateway = await start();
		const client = await WireClient.open({ port: gateway.port });
		for (const status of ['I', 'E']) {
			client.socket.write(bytes);
			const heard = await client.ready();
			expect(heard).toMatchObject([{ type: 'ErrorResponse' }, { type: 'ReadyForQuery', status }]);
			expect(heard[0]?.type === 'ErrorResponse' && heard[0].fields.get('C')).toBe(code);
			await client.query('begin');
		}
		client.destroy();
	});

	it.each([
		['a Bind that does not end', Buffer.from([0x42, 0, 0, 0, 6, 0, 0]), '08P01'],
		['a Describe of neither', Buffer.from([0x44, 0, 0, 0, 6, 0x58, 0]), '08P01'],
		['a Parse that is no UTF-8', Buffer.from([0x50, 0, 0, 0, 9, 0, 0xff, 0, 0, 0]), '22021'],
	])('%s fail their pipeline', async (_, bytes, code) => {
		const gateway = await start();
		const client = await WireClient.open({ port: gateway.port });
		client.send(Parse('insert into items values (1)'), Bind(), Execute());
		client.socket.write(bytes);
		client.send(Parse('select 1'), Bind(), DescribePortal(), Execute(), Sync, Query('select count(*) from items'));
		const heard = await client.ready(2);
		const error = heard.find((message) => message.type === 'ErrorResponse');
		expect(error?.fields.get('C')).toBe(code);
		const counts = heard.flatMap((message) => (message.type === 'DataRow' ? message.values.map(String) : []));
		expect(counts).toEqual(['0']);
		client.destroy();
	});
});

describe('limits of a session', () => {
	it.each([
		['prepared statements', { statementsMax: 3 }, (n: number) => [Parse('select 1', `s${n}`), Sync]],
		[
			'bytes of prepared statements',
			{ statementBytesMax: 5_000 },
			(n: number) => [Parse(`select '${'x'.repeat(2_000)}'`, `s${n}`), Sync],
		],
	])('%s', async (_, limits, messages) => {
		const gateway = await start({ limits });
		const client = await WireClient.open({ port: gateway.port });
		const codes = [];
		for (let n = 0; n < 5; n += 1) {
			client.send(...messages(n));
			const error = (await client.ready()).find((message) => message.type === 'ErrorResponse');
			codes.push(error?.fields.get('C') ?? 'ok');
		}
		expect(codes).toContain('ok');
		expect(codes.at(-1)).toBe('54000');
		// What is closed makes room.
		for (let n = 0; n < 5; n += 1) client.send({ type: 'Query', sql: 'deallocate all' });
		await client.ready(5);
		client.send(...messages(9));
		expect((await client.ready()).map(({ type }) => type)).toContain('ParseComplete');
		client.destroy();
	});

	it('portals', async () => {
		const gateway = await start({ limits: { portalsMax: 2 } });
		const client = await WireClient.open({ port: gateway.port });
		await client.query('begin');
		client.send(Parse('select 1', 's'), Bind([], 's', 'a'), Bind([], 's', 'b'), Bind([], 's', 'c'), Sync);
		expect((await client.ready()).map(({ type }) => type)).toEqual([
			...['ParseComplete', 'BindComplete', 'BindComplete', 'ErrorResponse', 'ReadyForQuery'],
		]);
		await client.query('rollback');
		client.send(Bind([], 's', 'd'), Sync);
		expect((await client.ready()).map(({ type }) => type)).toEqual(['BindComplete', 'ReadyForQuery']);
		client.destroy();
	});

	// A portal keeps the text of its statement, also when that is gone by its name.
	it('bytes of what portals show', async () => {
		const gateway = await start({ limits: { statementBytesMax: 5_000 } });
		const client = await WireClient.open({ port: gateway.port });
		await client.query('begin');
		const of = (n: number): FrontendFields[] => [
			Parse(`select ${n} /* ${'x'.repeat(2_000)} */`),
			Bind([], '', `p${n}`),
		];
		const heard: Backend['type'][][] = [];
		for (const n of [1, 2, 3]) {
			client.send(...of(n), Sync);
			heard.push((await client.ready()).map(({ type }) => type));
		}
		const taken = ['ParseComplete', 'BindComplete', 'ReadyForQuery'];
		expect(heard).toEqual([taken, taken, ['ParseComplete', 'ErrorResponse', 'ReadyForQuery']]);
		await client.query('rollback');
		// What replaces one another takes the room of one.
		client.send(...of(4), ...Array.from({ length: 20 }, () => [Bind(), Execute()]).flat(), Sync);
		expect((await client.ready()).some(({ type }) => type === 'ErrorResponse')).toBe(false);
		client.destroy();
	});

	it('a pipeline deeper than what may be outstanding, without a Sync, still moves', async () => {
		const gateway = await start({ limits: { pendingRepliesMax: 20 } });
		const client = await WireClient.open({ port: gateway.port });
		const messages = Array.from({ length: 500 }, () => [Bind([], 's'), DescribePortal(), Execute()]).flat();
		client.send(Parse('select 1', 's'), ...messages, Flush);
		await client.until('CommandComplete', 500);
		client.send(Sync);
		await client.ready();
		client.destroy();
	});

	it('idle time', async () => {
		const gateway = await start({ limits: { idleTimeoutMs: 150 } });
		const client = await WireClient.open({ port: gateway.port });
		const busy = await WireClient.open({ port: gateway.port });
		await busy.query('begin');
		expect(fatalOf(await client.rest())).toEqual(['FATAL 57P05']);
		expect((await busy.query('select 1')).at(-1)).toMatchObject({ status: 'T' });
		busy.destroy();
	});
});

describe('a sign-in that expires', () => {
	it('lets the transaction finish, and then nothing more', async () => {
		let now = 1_000;
		const gateway = await start({ now: () => now, identity: { expiresAtMs: 2_000 } });
		const client = await WireClient.open({ port: gateway.port });
		await client.query('begin');
		now = 3_000;
		client.send(Query('insert into items values (1)'), Query('commit'), Query('insert into items values (2)'));
		expect(fatalOf(await client.rest())).toEqual(['FATAL 28000']);
		expect((await database.sql('select id from items')).map(({ id }) => id)).toEqual([1]);
		expect(reasonOf(gateway)).toEqual(['token expired']);
	});

	it('in a pipeline too', async () => {
		let now = 1_000;
		const gateway = await start({ now: () => now, identity: { expiresAtMs: 2_000 } });
		const client = await WireClient.open({ port: gateway.port });
		client.send(Parse('insert into items values (1)', 's'), Flush);
		await client.until('ParseComplete');
		now = 3_000;
		client.send(Bind([], 's'), Execute(), Sync, Bind([], 's'), Execute(), Sync);
		expect(fatalOf(await client.rest())).toEqual(['FATAL 28000']);
		expect((await database.sql('select id from items')).length).toBe(1);
	});
});

describe('the end of the listener', () => {
	it('waits for transactions, ends idle sessions at once, and the rest at the deadline', async () => {
		const gateway = await start();
		const [idle, working, stuck] = await Promise.all([1, 2, 3].map(() => WireClient.open({ port: gateway.port })));
		if (idle === undefined || working === undefined || stuck === undefined) throw new Error('not connected');
		await working.query('begin');
		await stuck.query('begin');
		const closed = gateway.listener.close({ deadlineMs: 1_500 });
		expect(fatalOf(await idle.rest())).toEqual(['FATAL 57P01']);
		await working.query('insert into items values (1)');
		const late = WireClient.open({ port: gateway.port });
		await expect(late).rejects.toMatchObject({ code: '57P03', message: 'the database system is shutting down' });
		await working.query('commit');
		expect(fatalOf(await working.rest())).toEqual(['FATAL 57P01']);
		expect(fatalOf(await stuck.rest())).toEqual(['FATAL 57P01']);
		await closed;
		expect((await database.sql('select * from items')).length).toBe(1);
		await gone(gateway);
		await expect(WireClient.open({ port: gateway.port })).rejects.toThrow(/ECONNREFUSED/);
	});
});

describe('the end of a listener beside others at its port', () => {
	it('signs in who was accepted before, though they had said nothing yet', async () => {
		const gateway = await start();
		const socket = connect({ host: '127.0.0.1', port: gateway.port });
		const heard = text(socket);
		await until(() => gateway.listener.stats.connecting === 1);
		const closed = gateway.listener.close({ deadlineMs: 60_000, logins: 'finish' });
		const params = { user: 'someone', database: 'db' };
		socket.write(encodeStartupMessage(protocolVersions.v3_0, Object.entries(params)));
		await closed;
		expect(await heard).toMatch(/server_version.*C57P01/s);
		expect(await heard).not.toContain('57P03');
	});
});

describe('an error inside of the gateway', () => {
	it('ends only the session in which it happens, and says nothing of itself', async () => {
		const gateway = await start();
		const client = await WireClient.open({ port: gateway.port });
		const other = await WireClient.open({ port: gateway.port });
		gateway.pipeline.decide = () => {
			throw new TypeError('secret detail');
		};
		client.send(Query('select 1'));
		const heard = await client.rest();
		expect(fatalOf(heard)).toEqual(['FATAL XX000']);
		expect(JSON.stringify(heard.map((message) => message.raw.toString()))).not.toContain('secret');
		gateway.pipeline.decide = () => Promise.reject(new GatewayError('XX001', 'odd'));
		other.send(Query('select 1'));
		expect(fatalOf(await other.rest())).toEqual(['FATAL XX000']);
		await gone(gateway);
	});

	it('is told to the operator where it only kept a statement from being analysed', async () => {
		const gateway = await start();
		const client = await WireClient.open({ port: gateway.port });
		const decide = gateway.pipeline.decide.bind(gateway.pipeline);
		gateway.pipeline.decide = async (context, sql) => {
			const error = new GatewayError('XX000', 'refused', { cause: new TypeError('secret detail') });
			return { ...(await decide(context, sql)), error };
		};
		const heard = await client.query('select deny_me');
		expect(heard.map(({ type }) => type)).toEqual(['ErrorResponse', 'ReadyForQuery']);
		expect(JSON.stringify(heard.map((message) => message.raw.toString()))).not.toContain('secret');
		expect(gateway.logged).toEqual(['a statement could not be analysed and was refused']);
		client.send(Terminate);
		await gone(gateway);
	});
});
