/** What goes on when the sign-in of a session has ended: for its grace, and no longer, whoever sends or is sent. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { LiveStanding } from '../../src/auth/standing.ts';
import { encodeAuthenticationOk } from '../../src/wire/encode.ts';
import { createDatabase, type TestDatabase } from '../support/postgres.ts';
import { someone } from './fake-pipeline.ts';
import { startTestGateway, type TestGateway } from './gateway.ts';
import { CopyData, CopyDone, Query, WireClient } from './wire-client.ts';

const startMs = 1_000_000;
const endMs = startMs + 60_000;
const graceMs = 30_000;

let nowMs = startMs;
let database: TestDatabase;
let gateway: TestGateway | undefined;

beforeAll(async () => {
	database = await createDatabase({ setup: 'create table t (a int)' });
});

afterEach(async () => {
	await gateway?.close();
	gateway = undefined;
});

afterAll(() => database?.drop());

async function open(pooled: boolean): Promise<WireClient> {
	nowMs = startMs;
	const now = (): number => nowMs;
	const identity = { ...someone, expiresAtMs: endMs };
	const standing = (): LiveStanding => {
		const delay = (): Promise<void> => new Promise(() => undefined);
		return new LiveStanding(identity, { action: 'refuse', graceMs }, {}, { now, delay });
	};
	gateway = await startTestGateway(database, {
		now,
		steps: () => () => ({ type: 'done', messages: [encodeAuthenticationOk()], identity, standing: standing() }),
		...(pooled ? { pooled: {}, hears: {} } : {}),
	});
	return WireClient.open({ port: gateway.port });
}

/** Ends with the error of an expired sign-in. */
async function isCut(client: WireClient): Promise<boolean> {
	const last = (await client.rest()).at(-1);
	return last?.type === 'ErrorResponse' && last.fields.get('C') === '28000' && last.fields.get('V') === 'FATAL';
}

/** What the server waits for that has so many rows to send. */
async function waiting(): Promise<unknown> {
	const [row] = await database.sql(
		"select wait_event from pg_stat_activity where datname = current_database() and query like '%repeat%' and pid <> pg_backend_pid()",
	);
	return row?.['wait_event'];
}

describe.each([false, true])('transaction mode: %s', (pooled) => {
	test('data of a COPY', async () => {
		const client = await open(pooled);
		client.send(Query('copy t from stdin'));
		await client.until('CopyInResponse');
		nowMs = endMs + graceMs - 1;
		client.send(CopyData('1\n'), CopyData('2\n'), CopyDone);
		expect((await client.until('CommandComplete')).at(-1)).toMatchObject({ tag: 'COPY 2' });
		client.destroy();
		await gateway?.close();

		const other = await open(pooled);
		other.send(Query('copy t from stdin'));
		await other.until('CopyInResponse');
		nowMs = endMs + graceMs;
		other.send(CopyData('1\n'));
		expect(await isCut(other)).toBe(true);
	});

	test('rows', async () => {
		const client = await open(pooled);
		// More than is on its way while nobody reads.
		client.socket.pause();
		client.send(Query("select repeat('x', 1000) from generate_series(1, 100000)"));
		await expect.poll(waiting).toBe('ClientWrite');
		nowMs = endMs + graceMs;
		client.socket.resume();
		const heard = await client.rest();
		expect(heard.some(({ type }) => type === 'CommandComplete')).toBe(false);
		expect(heard.length).toBeGreaterThan(1);
	});

	test('notifications', async () => {
		const client = await open(pooled);
		await client.query('listen bell');
		nowMs = endMs + graceMs - 1;
		await database.sql("notify bell, 'first'");
		await client.until('NotificationResponse');
		nowMs = endMs + graceMs;
		await database.sql("notify bell, 'second'");
		expect(await isCut(client)).toBe(true);
	});
});
