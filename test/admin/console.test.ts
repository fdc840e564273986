/** The console message by message: both protocols, portions of results, errors, records that cannot be written, and who gets in. */
import { connect as connectTcp } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Console, consoleDatabase } from '../../src/admin/console/console.ts';
import { Control } from '../../src/admin/control.ts';
import type { GatewayView } from '../../src/admin/view.ts';
import type { Lease } from '../../src/backend/lease.ts';
import { GatewayError } from '../../src/errors.ts';
import type { Access, Answer, Identity } from '../../src/stages.ts';
import type { Backend } from '../../src/wire/backend.ts';
import { protocolVersions } from '../../src/wire/codes.ts';
import { encodeCancelRequest, encodeStartupMessage } from '../../src/wire/encode.ts';
import { type FakePipeline } from '../session/fake-pipeline.ts';
import { startTestGateway, type TestGateway, type TestGatewayOptions } from '../session/gateway.ts';
import {
	Bind,
	CloseStatement,
	DescribePortal,
	DescribeStatement,
	Execute,
	Flush,
	Parse,
	Query,
	Sync,
	Terminate,
	WireClient,
} from '../session/wire-client.ts';
import { until } from '../session/until.ts';
import { createDatabase, type TestDatabase } from '../support/postgres.ts';
import { testSession } from './session.ts';
import { testView } from './view.ts';

let database: TestDatabase;
beforeAll(async () => {
	database = await createDatabase();
});
afterAll(() => database?.drop());

const yes: Answer = { allowed: true, denied: false, named: true, rules: [] };

let gateway: TestGateway | undefined;
let view: GatewayView;
const clients: WireClient[] = [];
afterEach(async () => {
	for (const client of clients.splice(0)) client.destroy();
	await gateway?.close();
	gateway = undefined;
});

/** What the pipeline of the test gateway would get goes to the same list of records. */
class LateSink {
	pipeline: FakePipeline | null = null;
	accept: FakePipeline['accept'] = (record, done) => this.pipeline?.accept(record, done);
	outcome: FakePipeline['outcome'] = (receipt, outcome) => this.pipeline?.outcome(receipt, outcome);
	event: FakePipeline['event'] = (event, done) => this.pipeline?.event(event, done);
}

/** `answers`: what the policy says of actions on the console; those not listed are allowed. */
async function start(
	answers: Readonly<Record<string, Answer>> = {},
	options: TestGatewayOptions & { readonly pauseWaitMs?: number; readonly sessions?: number } = {},
): Promise<void> {
	view = testView({ sessions: Array.from({ length: options.sessions ?? 1 }, () => testSession()) });
	const sink = new LateSink();
	const access = (_identity: Identity): Access =>
		({ revision: 'p1', onDatabase: (action: string) => answers[action] ?? yes }) as unknown as Access;
	const control = new Control({ view, reload: () => Promise.resolve('policy p1 is unchanged') });
	const console = new Console({
		view,
		control,
		config: () => [],
		sink,
		accessFor: access,
		now: options.now ?? Date.now,
		pauseWaitMs: () => options.pauseWaitMs ?? 600_000,
	});
	const served = {
		database: consoleDatabase,
		admit: () => console.admit(access({} as Identity)),
		open: console.open.bind(console),
	};
	gateway = await startTestGateway(database, { ...options, console: served });
	sink.pipeline = gateway.pipeline;
}

async function connect(user = 'someone'): Promise<WireClient> {
	const client = await WireClient.open({ port: gateway?.port ?? 0, params: { user, database: consoleDatabase } });
	clients.push(client);
	return client;
}

/** Messages in short: errors with SQLSTATE, rows with their values, the rest by name. */
function words(messages: readonly Backend[]): string[] {
	return messages.map((message) => {
		switch (message.type) {
			case 'ErrorResponse':
				return `${message.fields.get('V')} ${message.fields.get('C')}`;
			case 'NoticeResponse':
				return `notice ${message.fields.get('M')}`;
			case 'DataRow':
				return `row ${message.values.map((value) => value?.toString() ?? 'null').join('|')}`;
			case 'RowDescription':
				return `columns ${message.fields.map(({ name, typeOid, format }) => `${name}:${typeOid}:${format}`).join(' ')}`;
			case 'CommandComplete':
				return message.tag;
			case 'ReadyForQuery':
				return `ready ${message.status}`;
			default:
				return message.type;
		}
	});
}

const POOLS =
	'columns database:25:0 user:25:0 cl_active:23:0 cl_waiting:23:0 sv_active:23:0 sv_login:23:0 maxwait:23:0 maxwait_us:23:0 pool_mode:25:0 sv_idle:23:0 sv_pinned:23:0 pins:25:0 sv_listen:23:0 cl_listen:23:0 channels:23:0';
const POOL = 'row shop|gateway|1|0|0|0|0|0|session|0|0||0|0|0';

describe('the simple protocol', () => {
	const rows: readonly { readonly sql: string; readonly want: readonly string[] }[] = [
		{ sql: 'SHOW POOLS', want: [POOLS, POOL, 'SHOW', 'ready I'] },
		{ sql: '', want: ['EmptyQueryResponse', 'ready I'] },
		{ sql: ' -- nothing\n;', want: ['EmptyQueryResponse', 'ready I'] },
		{
			sql: 'PAUSE; RESUME',
			want: ['PAUSE', 'RESUME', 'ready I'],
		},
		{
			sql: 'PAUSE shop NOWAIT',
			want: ['notice 0 sessions have server connections, and keep them until they are done', 'PAUSE', 'ready I'],
		},
		{ sql: 'RELOAD', want: ['notice policy p1 is unchanged', 'RELOAD', 'ready I'] },
		{ sql: 'select 1', want: ['columns ?column?:23:0', 'row 1', 'SELECT 1', 'ready I'] },
		{ sql: 'set application_name = x', want: ['SET', 'ready I'] },
		{ sql: 'show server_encoding', want: ['columns server_encoding:25:0', 'row UTF8', 'SHOW', 'ready I'] },
		{ sql: 'SHUTDOWN', want: ['ERROR 42601', 'ready I'] },
		{ sql: 'RESUME; PAUSE nowhere; SHOW VERSION', want: ['RESUME', 'ERROR 3D000', 'ready I'] },
		{ sql: "KILL_CLIENT 'none'", want: ['ERROR 22023', 'ready I'] },
	];
	test.each(rows)('$sql', async ({ sql, want }) => {
		await start();
		const client = await connect();
		expect(words(await client.query(sql))).toEqual(want);
		expect(words(await client.query('select 1')).at(-1)).toBe('ready I');
	});
});

describe('the extended protocol', () => {
	test('describes without doing, and does it once', async () => {
		await start();
		const client = await connect();
		client.send(Parse('PAUSE', 's'), DescribeStatement('s'), Bind([], 's'), DescribePortal(), Flush);
		expect(words(await client.until('NoData', 2))).toEqual([
			'ParseComplete',
			'ParameterDescription',
			'NoData',
			'BindComplete',
			'NoData',
		]);
		expect(view.databases[0]?.gate.paused).toBe(false);
		client.send(Execute(), Sync);
		expect(words(await client.ready()).at(-2)).toBe('PAUSE');
		expect(view.databases[0]?.gate.paused).toBe(true);
		client.send(Parse('SHOW POOLS'), DescribeStatement(), Bind(), Execute(), CloseStatement(), Sync);
		expect(words(await client.ready())).toEqual([
			'ParseComplete',
			'ParameterDescription',
			POOLS,
			'BindComplete',
			POOL,
			'SHOW',
			'CloseComplete',
			'ready I',
		]);
	});

	test('gives results in portions', async () => {
		await start();
		const client = await connect();
		client.send(Parse('SHOW HELP'), Bind(), Execute(6), Execute(6), Execute(6), Execute(6), Sync);
		const seen = words(await client.ready()).filter((word) => !word.startsWith('row'));
		expect(seen).toEqual([
			'ParseComplete',
			'BindComplete',
			'PortalSuspended',
			'PortalSuspended',
			'SHOW',
			'SHOW',
			'ready I',
		]);
	});

	test('gives numbers in binary to those who ask', async () => {
		await start();
		const client = await connect();
		client.send(Parse('SHOW STATS'), { ...Bind(), resultFormats: [1] } as never, DescribePortal(), Execute(), Sync);
		const messages = await client.ready();
		const row = messages.find((message) => message.type === 'DataRow');
		expect(words(messages)[2]).toContain('total_query_count:20:1');
		expect(row?.type === 'DataRow' ? row.values[2] : null).toEqual(Buffer.alloc(8));
	});

	const rows: readonly {
		readonly name: string;
		readonly send: Parameters<WireClient['send']>;
		readonly want: string;
	}[] = [
		{ name: 'a command that there is not', send: [Parse('SHUTDOWN')], want: 'ERROR 42601' },
		{ name: 'several commands', send: [Parse('PAUSE; RESUME')], want: 'ERROR 42601' },
		{ name: 'a statement that there is not', send: [Bind([], 'none')], want: 'ERROR 26000' },
		{ name: 'a portal that there is not', send: [Execute(0, 'none')], want: 'ERROR 34000' },
		{ name: 'parameters', send: [Parse('PAUSE'), Bind(['x'])], want: 'ERROR 08P01' },
		{ name: 'a statement twice', send: [Parse('PAUSE', 's'), Parse('PAUSE', 's')], want: 'ERROR 42P05' },
		{
			name: 'as many formats as there are not columns',
			send: [Parse('SHOW POOLS'), { ...Bind(), resultFormats: [0, 1] } as never],
			want: 'ERROR 08P01',
		},
	];
	test.each(rows)('$name is an error, and what follows is skipped up to Sync', async ({ send, want }) => {
		await start();
		const client = await connect();
		client.send(...send, Parse('PAUSE'), Bind(), Execute(), Sync);
		expect(words(await client.ready()).slice(-2)).toEqual([want, 'ready I']);
		expect(view.databases[0]?.gate.paused).toBe(false);
		expect(words(await client.query('select 1')).at(-2)).toBe('SELECT 1');
	});
});

describe('who gets in, and what is recorded', () => {
	test('nobody whom no rule names', async () => {
		await start({ connect: { ...yes, named: false } });
		await expect(connect()).rejects.toMatchObject({ code: '42501' });
		await gateway?.close();
		await start({ connect: { ...yes, allowed: false } });
		await expect(connect()).rejects.toMatchObject({ code: '42501' });
		expect(gateway?.pipeline.events).toEqual([expect.objectContaining({ type: 'login-failed', sqlstate: '42501' })]);
	});

	test('who may only look does nothing, and that is recorded before the answer', async () => {
		await start({ alter: { ...yes, named: false } });
		const client = await connect();
		expect(words(await client.query('SHOW VERSION')).at(-2)).toBe('SHOW');
		expect(words(await client.query('PAUSE'))).toEqual(['ERROR 42501', 'ready I']);
		expect(view.databases[0]?.gate.paused).toBe(false);
		const recorded = gateway?.pipeline.recorded.map(({ record, outcomes }) => [
			record.decision.effect,
			record.decision.sql,
			record.statement,
			outcomes.map(({ status }) => status),
		]);
		expect(recorded).toEqual([
			['allow', 'SHOW VERSION', 1, ['success']],
			['deny', 'PAUSE', 2, []],
		]);
	});

	test('what cannot be recorded is not done, and ends the session', async () => {
		await start();
		const client = await connect();
		if (gateway) gateway.pipeline.failure = new GatewayError('53100', 'the audit log cannot be written');
		client.send(Query('PAUSE'));
		expect(words(await client.rest())).toEqual(['FATAL 53100']);
		expect(view.databases[0]?.gate.paused).toBe(false);
	});

	test('a sign-in that has expired does nothing more', async () => {
		let now = 1_000;
		await start({}, { now: () => now, identity: { expiresAtMs: 2_000 } });
		const client = await connect();
		expect(words(await client.query('RESUME')).at(-2)).toBe('RESUME');
		now = 2_000;
		client.send(Query('PAUSE'));
		expect(words(await client.rest())).toEqual(['FATAL 28000']);
		expect(view.databases[0]?.gate.paused).toBe(false);
	});

	test('operators get in when nobody else does any more, though not without end', async () => {
		await start({}, { limits: { sessionsMax: 1 } });
		const user = await WireClient.open({ port: gateway?.port ?? 0 });
		clients.push(user);
		await expect(WireClient.open({ port: gateway?.port ?? 0 })).rejects.toMatchObject({ code: '53300' });
		for (let i = 0; i < 20; i += 1) expect(words(await (await connect()).query('select 1')).at(-1)).toBe('ready I');
		await expect(connect()).rejects.toMatchObject({ code: '53300' });
	});
});

describe('PAUSE', () => {
	/** A session has a server connection. */
	async function busy(pauseWaitMs?: number): Promise<Lease> {
		await start({}, pauseWaitMs === undefined ? {} : { pauseWaitMs });
		const lease = await view.databases[0]?.gate.lease({ startup: {} });
		if (lease === undefined) throw new Error('no lease');
		return lease;
	}
	const paused = (): boolean | undefined => view.databases[0]?.gate.paused;

	test('is done when nobody has a server connection any more', async () => {
		const lease = await busy();
		const client = await connect();
		let answered = false;
		const answer = client.query('PAUSE').then((messages) => {
			answered = true;
			return words(messages);
		});
		await until(() => paused() === true);
		// Others are answered meanwhile.
		expect(words(await (await connect()).query('SHOW POOLS')).at(-1)).toBe('ready I');
		expect(answered).toBe(false);
		await lease.release('clean');
		expect(await answer).toEqual(['PAUSE', 'ready I']);
		expect(paused()).toBe(true);
	});

	test('is taken back by a cancel request', async () => {
		const lease = await busy();
		const client = new WireClient(connectTcp({ host: '127.0.0.1', port: gateway?.port ?? 0 }));
		clients.push(client);
		client.socket.write(
			encodeStartupMessage(protocolVersions.v3_0, [
				['user', 'someone'],
				['database', consoleDatabase],
			]),
		);
		const data = (await client.ready()).find((message) => message.type === 'BackendKeyData');
		if (data === undefined) throw new Error('no BackendKeyData');
		client.send(Query('PAUSE'));
		await until(() => paused() === true);
		const request = connectTcp({ host: '127.0.0.1', port: gateway?.port ?? 0 });
		request.on('error', () => undefined);
		request.write(encodeCancelRequest(data.pid, data.key));
		expect(words(await client.ready())).toEqual(['ERROR 57014', 'ready I']);
		expect(paused()).toBe(false);
		await lease.release('clean');
	});

	test('is taken back when the operator has left', async () => {
		const lease = await busy();
		const client = await connect();
		client.send(Query('PAUSE'));
		await until(() => paused() === true);
		client.socket.end();
		await until(() => paused() === false);
		await lease.release('clean');
	});

	test('is given up when it takes too long; what was paused before stays so', async () => {
		const lease = await busy(20);
		const client = await connect();
		expect(words(await client.query('PAUSE'))).toEqual(['ERROR 55006', 'ready I']);
		expect(paused()).toBe(false);
		await client.query('PAUSE NOWAIT');
		expect(words(await client.query('PAUSE shop'))).toEqual(['ERROR 55006', 'ready I']);
		expect(paused()).toBe(true);
		await lease.release('clean');
	});
});

test('answers wait for a client that does not read them, and are not made meanwhile', async () => {
	await start({}, { sessions: 1_000 });
	const client = await connect();
	client.socket.pause();
	// Some 20 MB of answers: more than the system takes of what is on its way.
	const [texts, commands] = [2, 40];
	for (let text = 0; text < texts; text += 1) client.send(Query('show clients;'.repeat(commands)));
	const done = (): number => gateway?.pipeline.recorded.length ?? 0;
	for (let [before, still] = [-1, 0]; still < 10; await new Promise((resolve) => setTimeout(resolve, 20))) {
		still = before === done() && before > 0 ? still + 1 : 0;
		before = done();
	}
	expect(done()).toBeLessThan(texts * commands);
	client.socket.resume();
	await client.ready(texts);
	expect(done()).toBe(texts * commands);
});

describe('the end', () => {
	const ends = (): unknown[] => (gateway?.pipeline.events ?? []).filter(({ type }) => type === 'logout');

	test('of a client that says so, after what it sent before', async () => {
		await start();
		const client = await connect();
		client.send(Query('PAUSE'), Terminate);
		expect(words(await client.rest()).slice(-2)).toEqual(['PAUSE', 'ready I']);
		expect(ends()).toEqual([expect.objectContaining({ reason: 'terminate' })]);
	});

	test('of a client that just goes', async () => {
		await start();
		(await connect()).destroy();
		await expect.poll(ends).toEqual([expect.objectContaining({ reason: 'terminate' })]);
	});

	test.each([
		{ name: 'a message that is too long', bytes: Buffer.from([0x51, 0, 2, 0, 0]) },
		{ name: 'a message that there is not', bytes: Buffer.from([0x01, 0, 0, 0, 4]) },
		{ name: 'data of a COPY', bytes: Buffer.from([0x64, 0, 0, 0, 5, 0x78]) },
	])('$name ends the session', async ({ bytes }) => {
		await start();
		const client = await connect();
		client.socket.write(bytes);
		expect(words(await client.rest())).toEqual(['FATAL 08P01']);
		expect(ends()).toEqual([expect.objectContaining({ reason: 'protocol violation by the client' })]);
	});

	test('of the gateway', async () => {
		await start();
		const client = await connect();
		await gateway?.listener.close({ deadlineMs: 1_000 });
		expect(words(await client.rest())).toEqual(['FATAL 57P01']);
	});
});
