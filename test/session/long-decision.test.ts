/** A decision that takes long: its session waits, in order, others do not, and nobody waits for what nobody wants any more. */
import { connect } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import pg from 'pg';
import type { Backend } from '../../src/wire/backend.ts';
import { encodeCancelRequest } from '../../src/wire/encode.ts';
import { createDatabase, type TestDatabase } from '../support/postgres.ts';
import { startTestGateway, type TestGateway, type TestGatewayOptions } from './gateway.ts';
import { until } from './until.ts';
import { Bind, Execute, Parse, Query, Sync, WireClient } from './wire-client.ts';

let database: TestDatabase;
let gateway: TestGateway;

async function start(options: TestGatewayOptions = {}): Promise<TestGateway> {
	gateway = await startTestGateway(database, options);
	return gateway;
}

beforeAll(async () => {
	database = await createDatabase({});
});

afterEach(async () => {
	await gateway?.close();
});

afterAll(async () => {
	await database?.drop();
});

const LONG = 'select 1 as wait_for_me';

const open = (): Promise<WireClient> => WireClient.open({ port: gateway.port });

/** Until so many decisions have to be given. */
const waits = (count = 1): Promise<void> => until(() => gateway.pipeline.waiting.size === count);

function give(): void {
	for (const decide of [...gateway.pipeline.waiting]) decide();
}

const rowsOf = (heard: readonly Backend[]): string[] =>
	heard.flatMap((message) => (message.type === 'DataRow' ? [message.raw.subarray(11).toString()] : []));
const errorsOf = (heard: readonly Backend[]): (string | undefined)[] =>
	heard.flatMap((message) => (message.type === 'ErrorResponse' ? [message.fields.get('C')] : []));
const recorded = (): string[] => gateway.pipeline.recorded.map(({ record }) => record.decision.sql);

interface Connected {
	readonly client: pg.Client;
	/** Sends a cancel request; resolves when it is dealt with. */
	readonly cancel: () => Promise<void>;
}

async function connected(): Promise<Connected> {
	const client = new pg.Client({ host: '127.0.0.1', port: gateway.port, user: 'someone', database: 'db' });
	client.on('error', () => undefined);
	await client.connect();
	const { processID, secretKey } = client as unknown as { processID: number; secretKey: number };
	const key = Buffer.alloc(4);
	key.writeInt32BE(secretKey);
	const cancel = (): Promise<void> =>
		new Promise((resolve) => {
			const socket = connect({ host: '127.0.0.1', port: gateway.port });
			socket.on('close', () => resolve());
			socket.end(encodeCancelRequest(processID, key));
			socket.resume();
		});
	return { client, cancel };
}

const codeOf = (running: Promise<unknown>): Promise<string | undefined> =>
	running.then(
		() => undefined,
		(error: unknown) => (error as { code: string }).code,
	);

describe('while a decision takes long', () => {
	it('what comes behind it waits, nothing is on record before it is made, and another session is served', async () => {
		await start();
		const [one, other] = [await open(), await open()];
		one.send(Query(LONG), Query('select 2'), Parse('select 3'), Bind(), Execute(), Sync);
		await waits();
		expect(rowsOf(await other.query('select 7'))).toEqual(['7']);
		expect(recorded()).toEqual(['select 7']);
		give();
		expect(rowsOf(await one.ready(3))).toEqual(['1', '2', '3']);
		expect(recorded()).toEqual(['select 7', LONG, 'select 2', 'select 3']);
		one.destroy();
		other.destroy();
	});

	it('in a pipeline, what came before it is answered in order', async () => {
		await start();
		const one = await open();
		const run = (sql: string) => [Parse(sql), Bind(), Execute()];
		one.send(...run('select 1'), ...run('select 2 as wait_for_me'), ...run('select 3'), Sync);
		await waits();
		give();
		expect(rowsOf(await one.ready())).toEqual(['1', '2', '3']);
		one.destroy();
	});

	it('a policy that has changed meanwhile decides anew', async () => {
		let changed = false;
		await start({ withdrawn: () => changed });
		const one = await open();
		one.send(Query(LONG));
		await waits();
		changed = true;
		const before = gateway.pipeline.paths.length;
		give();
		await waits();
		expect(gateway.pipeline.paths.length).toBe(before + 1);
		expect(recorded()).toEqual([]);
		give();
		expect(rowsOf(await one.ready())).toEqual(['1']);
		one.destroy();
	});
});

describe('a cancel request', () => {
	it('ends the wait, for the statement that it finds and no other', async () => {
		await start();
		const { client, cancel } = await connected();
		const [long, next] = [codeOf(client.query(LONG)), client.query<{ a: number }>('select 2 as a')];
		await waits();
		await cancel();
		expect(await long).toBe('57014');
		expect((await next).rows).toEqual([{ a: 2 }]);
		expect(gateway.pipeline.waiting.size).toBe(0);
		await client.end();
	});

	it('goes to the server where that is at work for the session', async () => {
		await start();
		const one = await connected();
		const running = codeOf(one.client.query('select pg_sleep(60)'));
		const active = `select 1 from pg_stat_activity where query like '%pg_sleep(60)%' and state = 'active' and pid <> pg_backend_pid()`;
		while ((await database.sql(active)).length === 0);
		const behind = one.client.query(LONG);
		await one.cancel();
		expect(await running).toBe('57014');
		await waits();
		give();
		await behind;
		await one.client.end();
	});
});

describe('nobody waits any more', () => {
	it('when the client has gone', async () => {
		await start();
		const one = await open();
		one.send(Query(LONG));
		await waits();
		one.socket.resetAndDestroy();
		await waits(0);
		await until(() => gateway.listener.stats.sessions === 0 && gateway.pool.stats.leased === 0);
		expect(recorded()).toEqual([]);
	});

	it('when the gateway drains, not before the deadline', async () => {
		await start();
		const one = await open();
		one.send(Query(LONG));
		await waits();
		const closed = gateway.listener.close({ deadlineMs: 600_000 });
		await expect(open()).rejects.toMatchObject({ code: '57P03' });
		give();
		expect(rowsOf(await one.ready())).toEqual(['1']);
		expect(errorsOf(await one.rest())).toEqual(['57P01']);
		await closed;
	});

	it('when the deadline is there', async () => {
		await start();
		const one = await open();
		one.send(Query(LONG));
		await waits();
		await gateway.listener.close({ deadlineMs: 0 });
		expect(errorsOf(await one.rest())).toEqual(['57P01']);
		expect(gateway.pipeline.waiting.size).toBe(0);
		expect(recorded()).toEqual([]);
	});
});
