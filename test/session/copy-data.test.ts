/** CopyData comes in slices, and each message is passed on whole or not at all: what follows it must never be taken for its body. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { encodeFrontend, type FrontendFields } from '../../src/wire/encode.ts';
import { createDatabase, type TestDatabase } from '../support/postgres.ts';
import { openDirect, plain } from './converse.ts';
import { startTestGateway, type TestGateway } from './gateway.ts';
import { until } from './until.ts';
import { Bind, CopyData, CopyDone, Execute, Flush, Parse, Query, Sync, WireClient } from './wire-client.ts';

let database: TestDatabase;
const running: TestGateway[] = [];

beforeAll(async () => {
	database = await createDatabase({ setup: 'create table items (id int)' });
});

afterEach(async () => {
	for (const gateway of running.splice(0)) await gateway.close();
});

afterAll(async () => {
	await database?.drop();
});

async function start(pooled: boolean, limits = {}): Promise<TestGateway> {
	const gateway = await startTestGateway(database, { poolSize: 1, limits, ...(pooled ? { pooled: {} } : {}) });
	running.push(gateway);
	return gateway;
}

const bytesOf = (...messages: readonly FrontendFields[]): Buffer => Buffer.concat(messages.map(encodeFrontend));
const fail = [Parse('select 1/0'), Bind(), Execute()];
const stray = bytesOf(CopyData('0123456789'));

/** Pieces that are sent when so many answers of the type before have come. */
type Step = { readonly after?: 'ErrorResponse' | 'ReadyForQuery' | 'CopyInResponse'; readonly send: Buffer };

const head = (messages: readonly FrontendFields[], cut: number): Buffer =>
	Buffer.concat([bytesOf(...messages), stray.subarray(0, cut)]);
const tail = (cut: number, ...messages: readonly FrontendFields[]): Buffer =>
	Buffer.concat([stray.subarray(cut), bytesOf(...messages)]);

const conversations: readonly (readonly [string, (cut: number) => readonly Step[], number])[] = [
	[
		'an error comes in the middle of one',
		(cut) => [{ send: head(fail, cut) }, { after: 'ErrorResponse', send: tail(cut, Sync, Query('select 2')) }],
		2,
	],
	[
		'an answer comes in the middle of one',
		(cut) => [{ send: head([Query('select 1')], cut) }, { after: 'ReadyForQuery', send: tail(cut, Query('select 2')) }],
		1,
	],
	[
		'the end of a failed COPY comes in the middle of one',
		(cut) => [
			{ send: bytesOf(Query('copy items from stdin')) },
			{ after: 'CopyInResponse', send: head([CopyData('x\n')], cut) },
			{ after: 'ReadyForQuery', send: tail(cut, CopyDone, Query('select 2')) },
		],
		1,
	],
	[
		'the same without waiting for the COPY to begin',
		(cut) => [
			{ send: head([Query('copy items from stdin'), CopyData('x\n')], cut) },
			{ after: 'ReadyForQuery', send: tail(cut, CopyDone, Query('select 2')) },
		],
		1,
	],
	[
		'a COPY of the extended protocol fails in the middle of one',
		(cut) => [
			{ send: head([Parse('copy items from stdin'), Bind(), Execute(), CopyData('x\n')], cut) },
			{ after: 'ErrorResponse', send: tail(cut, CopyDone, Sync, Query('select 2')) },
		],
		2,
	],
	['nothing is under way', (cut) => [{ send: head([], cut) }, { send: tail(cut, Query('select 2')) }], 1],
	[
		'a segment is open',
		(cut) => [{ send: head([Parse('select 1'), Flush], cut) }, { send: tail(cut, Sync, Query('select 2')) }],
		2,
	],
];

async function lead(client: WireClient, steps: readonly Step[], ready: number): Promise<unknown[]> {
	const heard: unknown[] = [];
	for (const { after, send } of steps) {
		if (after !== undefined) heard.push(...(await client.until(after)).map((message) => plain(message, '')));
		client.socket.write(send);
		await new Promise((resolve) => setImmediate(resolve));
	}
	heard.push(...(await client.ready(ready)).map((message) => plain(message, '')));
	client.destroy();
	return heard;
}

describe.each([
	['session', false],
	['transaction', true],
] as const)('in %s mode', (_mode, pooled) => {
	const rows = conversations.flatMap(([name, steps, ready]) =>
		[1, 4, 5, 9].map((cut) => ({ name, cut, steps, ready })),
	);
	it.each(rows)('$name, cut at $cut', async ({ steps, cut, ready }) => {
		const gateway = await start(pooled);
		const wanted = await lead(await openDirect(database), steps(cut), ready);
		expect(await lead(await WireClient.open({ port: gateway.port }), steps(cut), ready)).toEqual(wanted);
	});

	// The server would read what lies in the value as messages of its own.
	it('no message can be hidden in the value of another', async () => {
		const gateway = await start(pooled);
		const client = await WireClient.open({ port: gateway.port });
		const smuggled = bytesOf(Sync, Query('insert into items values (666)'));
		const bind = bytesOf(Sync, Parse('select $1::bytea', 's'), {
			...Bind([''], 's'),
			type: 'Bind',
			params: [smuggled],
		} as FrontendFields);
		const announced = Buffer.from('d\0\0\0\0', 'latin1');
		announced.writeInt32BE(4 + bind.indexOf(smuggled), 1);
		client.socket.write(Buffer.concat([bytesOf(...fail), announced]));
		await client.until('ErrorResponse');
		client.socket.write(Buffer.concat([Buffer.alloc(bind.indexOf(smuggled)), bind, bytesOf(Sync)]));
		await client.ready(2);
		client.destroy();
		await until(() => gateway.listener.stats.sessions === 0);
		expect(await database.sql('select * from items')).toEqual([]);
		expect(gateway.pipeline.recorded.map(({ record }) => record.decision.sql)).not.toContain(
			'insert into items values (666)',
		);
	});

	it('a deep pipeline puts nothing of the gateway into the middle of one', async () => {
		const gateway = await start(pooled, { pendingRepliesMax: 3 });
		const client = await WireClient.open({ port: gateway.port });
		client.socket.write(head([Parse('select 1'), Bind(), Bind(), Bind(), Bind(), Bind()], 7));
		await until(() => gateway.listener.stats.sessions === 1);
		client.socket.write(tail(7, Execute(), Sync, Query('select 2')));
		expect((await client.ready(2)).map(({ type }) => type).filter((type) => type === 'DataRow').length).toBe(2);
		client.destroy();
	});
});

it('whoever has the connection next has it whole', async () => {
	const gateway = await start(true);
	const one = await WireClient.open({ port: gateway.port });
	one.socket.write(head([Query('select 1')], 8));
	await one.ready();
	const other = await WireClient.open({ port: gateway.port });
	expect((await other.query('select 2')).map(({ type }) => type)).toContain('DataRow');
	one.socket.write(tail(8, Query('select 3')));
	expect((await one.ready()).map(({ type }) => type)).toContain('DataRow');
	one.socket.write(head([Query('select 1')], 8));
	await one.ready();
	one.destroy();
	expect((await other.query('select 2')).map(({ type }) => type)).toContain('DataRow');
	other.destroy();
});
