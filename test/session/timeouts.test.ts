/** Limits of time and number on real sessions: the right one is hit, with the right words, and the others go on. */
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import type { SessionLimits } from '../../src/session/limits.ts';
import type { Backend } from '../../src/wire/backend.ts';
import { createDatabase, type TestDatabase } from '../support/postgres.ts';
import { startTestGateway, type TestGateway, type TestGatewayOptions } from './gateway.ts';
import { Bind, Execute, Flush, Parse, Query, Sync, WireClient } from './wire-client.ts';

let database: TestDatabase;
beforeAll(async () => {
	database = await createDatabase();
});
afterAll(() => database?.drop());

let gateway: TestGateway | undefined;
const clients: WireClient[] = [];
afterEach(async () => {
	for (const client of clients.splice(0)) client.destroy();
	await gateway?.close();
	gateway = undefined;
});

async function start(limits: Partial<SessionLimits>, options: TestGatewayOptions = {}): Promise<void> {
	gateway = await startTestGateway(database, { limits, ...options });
}

async function connect(user = 'someone', name = 'db'): Promise<WireClient> {
	const client = await WireClient.open({ port: gateway?.port ?? 0, params: { user, database: name } });
	clients.push(client);
	return client;
}

/** Messages as words: errors with SQLSTATE, severity and text, the rest by name. */
function words(messages: readonly Backend[]): string[] {
	return messages.flatMap((message) => {
		if (message.type === 'ErrorResponse')
			return [`${message.fields.get('V')} ${message.fields.get('C')} ${message.fields.get('M')}`];
		if (message.type === 'ReadyForQuery') return [`Ready ${message.status}`];
		return message.type === 'CommandComplete' ? [message.tag] : [];
	});
}

const OVERDUE = 'ERROR 57014 canceling statement due to query timeout of the gateway';

test('a statement that runs too long is cancelled, and the session goes on', async () => {
	await start({ queryTimeoutMs: 200 });
	const client = await connect();
	expect(words(await client.query('select pg_sleep(30)'))).toEqual([OVERDUE, 'Ready I']);
	expect(words(await client.query('select 1'))).toEqual(['SELECT 1', 'Ready I']);
	const [first] = gateway?.pipeline.recorded ?? [];
	expect(first?.outcomes).toEqual([expect.objectContaining({ status: 'cancelled', sqlstate: '57014' })]);
});

test('in the extended protocol too, and inside of a transaction the transaction has failed', async () => {
	await start({ queryTimeoutMs: 200 });
	const client = await connect();
	await client.query('begin');
	client.send(Parse('select pg_sleep(30)'), Bind(), Execute(), Sync);
	expect(words(await client.ready())).toEqual([OVERDUE, 'Ready E']);
	expect(words(await client.query('rollback'))).toEqual(['ROLLBACK', 'Ready I']);
});

test('many short statements are not one long one, though they are all sent at once', async () => {
	await start({ queryTimeoutMs: 400 });
	const client = await connect();
	client.send(...Array.from({ length: 12 }, () => [Parse('select pg_sleep(0.06)'), Bind(), Execute(), Sync]).flat());
	const answers = words(await client.ready(12));
	expect(answers).toEqual(Array.from({ length: 12 }, () => ['SELECT 1', 'Ready I']).flat());
});

test('of a pipeline up to one Sync the server tells nothing until it is done: it is one', async () => {
	await start({ queryTimeoutMs: 300 });
	const client = await connect();
	const pipeline = Array.from({ length: 12 }, () => [Parse('select pg_sleep(0.06)'), Bind(), Execute()]).flat();
	client.send(...pipeline, Sync, Query('select 1'));
	const answers = words(await client.ready(2));
	expect(answers.slice(-4)).toEqual([OVERDUE, 'Ready I', 'SELECT 1', 'Ready I']);
});

test('what the client itself cancels keeps the words of the server', async () => {
	await start({ queryTimeoutMs: 60_000 });
	const client = await connect();
	client.send(Query('select pg_sleep(30)'));
	await expect
		.poll(() =>
			database.sql("select 1 from pg_stat_activity where query like '%pg_sleep(30)%' and pid <> pg_backend_pid()"),
		)
		.toHaveLength(1);
	await database.sql(
		"select pg_cancel_backend(pid) from pg_stat_activity where query like '%pg_sleep(30)%' and pid <> pg_backend_pid()",
	);
	expect(words(await client.ready())).toEqual(['ERROR 57014 canceling statement due to user request', 'Ready I']);
});

test('a client that is silent inside of a transaction is ended, one outside is not', async () => {
	await start({ idleTransactionTimeoutMs: 200 });
	const [silent, outside] = [await connect(), await connect()];
	await silent.query('begin');
	expect(words(await silent.rest())).toEqual(['FATAL 25P03 terminating connection due to idle-in-transaction timeout']);
	expect(words(await outside.query('select 1'))).toEqual(['SELECT 1', 'Ready I']);
});

test('a pipeline without its Sync is a transaction', async () => {
	await start({ idleTransactionTimeoutMs: 200 });
	const client = await connect();
	client.send(Parse('select 1'), Bind(), Execute(), Flush);
	await client.until('CommandComplete');
	expect(words(await client.rest())).toEqual(['FATAL 25P03 terminating connection due to idle-in-transaction timeout']);
});

test('a long statement is not silence', async () => {
	await start({ idleTransactionTimeoutMs: 200 });
	const client = await connect();
	await client.query('begin');
	expect(words(await client.query('select pg_sleep(0.6)'))).toEqual(['SELECT 1', 'Ready T']);
	expect(words(await client.query('commit'))).toEqual(['COMMIT', 'Ready I']);
});

test('a transaction that lasts too long is ended, however busy it is', async () => {
	await start({ transactionTimeoutMs: 300 });
	const client = await connect();
	await client.query('begin');
	let last: Backend[] = [];
	while (!client.closed) last = await client.query('select 1');
	expect(words(last).at(-1)).toBe('FATAL 25P04 terminating connection due to transaction timeout');
});

test('an idle session gives up a server connection that is too old; one in a transaction finishes first', async () => {
	await start({ backendLifetimeMs: 300 });
	const [idle, busy] = [await connect(), await connect()];
	await busy.query('begin');
	const words57P01 = 'FATAL 57P01 terminating connection: its server connection is older than the gateway allows';
	expect(words(await idle.rest())).toEqual([words57P01]);
	expect(words(await busy.query('select 1'))).toEqual(['SELECT 1', 'Ready T']);
	expect(words(await busy.query('commit'))).toEqual(['COMMIT', 'Ready I']);
	expect(words(await busy.rest())).toEqual([words57P01]);
});

test('so many sessions of one user, and of one database; a place is free again when one ends', async () => {
	await start(
		{},
		{ admission: { perUser: (user) => (user === 'ana' ? 1 : 0), perDatabase: (name) => (name === 'small' ? 2 : 0) } },
	);
	const ana = await connect('ana', 'small');
	await expect(connect('ana', 'db')).rejects.toMatchObject({
		code: '53300',
		message: 'too many connections for user "ana"',
	});
	await connect('ben', 'small');
	await expect(connect('cem', 'small')).rejects.toMatchObject({
		code: '53300',
		message: 'too many connections for database "small"',
	});
	await connect('cem', 'db');
	ana.destroy();
	await expect
		.poll(() =>
			connect('ana', 'small').then(
				() => 'in',
				(error: { code: string }) => error.code,
			),
		)
		.toBe('in');
});

test('a lease that cannot be had gives the place back', async () => {
	await start({}, { admission: { perUser: () => 1, perDatabase: () => 0 }, target: { dbname: 'no_such_database' } });
	for (let i = 0; i < 3; i += 1) await expect(connect()).rejects.toMatchObject({ code: '3D000' });
});
