/** Bytes that nobody meant, from clients and from servers: the session ends or goes on, and nothing else notices. */
import { connect } from 'node:net';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { protocolVersions } from '../../src/wire/codes.ts';
import {
	encodeBindComplete,
	encodeCommandComplete,
	encodeDataRow,
	encodeErrorResponse,
	encodeFrontend,
	encodeNoData,
	encodeNoticeResponse,
	encodeParseComplete,
	encodeReadyForQuery,
	encodeRowDescription,
	encodeStartupMessage,
} from '../../src/wire/encode.ts';
import { createDatabase, type TestDatabase } from '../support/postgres.ts';
import { startTestGateway, type TestGateway } from './gateway.ts';
import { type ScriptedServer, startScriptedServer } from './scripted-server.ts';
import { until } from './until.ts';
import { Bind, CopyData, CopyDone, DescribePortal, Execute, Parse, Query, Sync, WireClient } from './wire-client.ts';

/** More are run by hand: PORTCULLIS_RUNS=5000. */
const runs = Number(process.env['PORTCULLIS_RUNS'] ?? 200);

/** What happens to a stream of bytes. */
type Damage =
	| { readonly type: 'set' | 'insert'; readonly at: number; readonly bytes: Uint8Array }
	| { readonly type: 'remove' | 'repeat'; readonly at: number; readonly length: number };

const at = fc.nat({ max: 10_000 });
const damage: fc.Arbitrary<Damage> = fc.oneof(
	fc.record({
		type: fc.constantFrom('set', 'insert'),
		at,
		bytes: fc.oneof(
			fc.uint8Array({ minLength: 1, maxLength: 6 }),
			fc.constantFrom(Uint8Array.of(0), Uint8Array.of(255, 255, 255, 255)),
		),
	}),
	fc.record({ type: fc.constantFrom('remove', 'repeat'), at, length: fc.integer({ min: 1, max: 40 }) }),
);

function damaged(whole: Buffer, damages: readonly Damage[]): Buffer {
	let bytes = whole;
	for (const one of damages) {
		const position = one.at % (bytes.length + 1);
		const before = bytes.subarray(0, position);
		const after = bytes.subarray(position);
		switch (one.type) {
			case 'set':
				bytes = Buffer.concat([before, one.bytes, after.subarray(one.bytes.length)]);
				break;
			case 'insert':
				bytes = Buffer.concat([before, one.bytes, after]);
				break;
			case 'remove':
				bytes = Buffer.concat([before, after.subarray(one.length)]);
				break;
			default:
				bytes = Buffer.concat([before, after.subarray(0, one.length), after]);
		}
	}
	return bytes;
}

/** Sends the bytes (and the end of the stream), and hears everything until the gateway closes. */
async function pour(port: number, bytes: Buffer, end: boolean): Promise<Buffer> {
	const socket = connect({ host: '127.0.0.1', port });
	const heard: Buffer[] = [];
	socket.on('error', () => undefined);
	socket.on('data', (chunk) => heard.push(chunk));
	if (end) socket.end(bytes);
	else socket.write(bytes);
	await new Promise<void>((resolve) => socket.once('close', () => resolve()));
	return Buffer.concat(heard);
}

async function settled(gateway: TestGateway): Promise<void> {
	await until(() => gateway.listener.stats.sessions + gateway.listener.stats.connecting === 1);
}

const startup = encodeStartupMessage(
	protocolVersions.v3_0,
	Object.entries({ user: 'someone', database: 'db', application_name: 'fuzz', options: '-c work_mem=4MB' }),
);

describe('a client', () => {
	let database: TestDatabase;
	let gateway: TestGateway;
	let witness: WireClient;

	beforeAll(async () => {
		database = await createDatabase({ setup: 'create table items (id int)' });
		gateway = await startTestGateway(database, { limits: { lingerMs: 200 } });
		witness = await WireClient.open({ port: gateway.port });
	});

	afterAll(async () => {
		witness?.destroy();
		await gateway?.close();
		await database?.drop();
	});

	const messages = Buffer.concat(
		[
			Query('select 1; select 2'),
			Parse('select $1::int', 'a', [23]),
			Bind(['7'], 'a', 'p'),
			DescribePortal('p'),
			Execute(1, 'p'),
			Sync,
			Query("select 'deny_me'"),
			Query('copy items from stdin'),
			CopyData('1\n'),
			CopyDone,
			Query('begin'),
			Parse('select slow_me from (select 1 as slow_me) x'),
			Bind(),
			Execute(),
			Sync,
			Query('rollback'),
		].map(encodeFrontend),
	);

	it.each([
		['before it is signed in', (damages: readonly Damage[]) => damaged(startup, damages)],
		['once it is signed in', (damages: readonly Damage[]) => Buffer.concat([startup, damaged(messages, damages)])],
	])('%s', { timeout: 120_000 + 300 * runs }, async (_, make) => {
		await fc.assert(
			fc.asyncProperty(fc.array(damage, { minLength: 1, maxLength: 4 }), async (damages) => {
				await pour(gateway.port, make(damages), true);
				await settled(gateway);
				expect((await witness.query('select 1')).length).toBe(4);
				for (const { record, outcomes } of gateway.pipeline.recorded.splice(0)) {
					expect([record.decision.sql, outcomes.length]).toEqual([
						record.decision.sql,
						record.decision.effect === 'deny' ? 0 : 1,
					]);
				}
			}),
			{ numRuns: runs, timeout: 30_000 },
		);
	});
});

describe('a server', () => {
	let server: ScriptedServer;
	let gateway: TestGateway;

	beforeAll(async () => {
		server = await startScriptedServer();
		gateway = await startTestGateway(server.database);
	});

	afterAll(async () => {
		await gateway?.close();
		server?.close();
	});

	const field = { name: 'a', tableOid: 0, attnum: 0, typeOid: 25, typeSize: -1, typmod: -1, format: 0 };
	const fields = new Map([
		['S', 'ERROR'],
		['V', 'ERROR'],
		['C', '22012'],
		['M', 'division by zero'],
	]);
	const replies = Buffer.concat([
		encodeParseComplete(),
		encodeBindComplete(),
		encodeRowDescription([field]),
		encodeDataRow(['confidential']),
		encodeNoticeResponse(fields),
		encodeDataRow([null]),
		encodeCommandComplete('SELECT 2'),
		encodeReadyForQuery('I'),
		encodeRowDescription([field]),
		encodeErrorResponse(fields),
		encodeReadyForQuery('I'),
		encodeParseComplete(),
		encodeBindComplete(),
		encodeNoData(),
		encodeErrorResponse(fields),
		encodeReadyForQuery('I'),
	]);
	const questions = [
		Parse('select 1'),
		Bind(),
		DescribePortal(),
		Execute(),
		Sync,
		Query('select 2'),
		Parse('insert into items values (1)', 'b'),
		Bind([], 'b'),
		DescribePortal(),
		Execute(),
		Sync,
	];

	it('that is in order is understood', async () => {
		server.answer = replies;
		const client = await WireClient.open({ port: gateway.port });
		client.send(...questions);
		const heard = (await client.rest()).map(({ type }) => type);
		expect(heard.filter((type) => type === 'ReadyForQuery').length).toBe(3);
	});

	it('that is not ends its session, and shows no rows of anything that was not asked', {
		timeout: 120_000 + 300 * runs,
	}, async () => {
		await fc.assert(
			fc.asyncProperty(fc.array(damage, { minLength: 1, maxLength: 3 }), async (damages) => {
				server.answer = damaged(replies, damages);
				// What the server said before the damage is heard; then the session ends, whatever else it says.
				const heard = await pour(gateway.port, Buffer.concat([startup, ...questions.map(encodeFrontend)]), false);
				const rows = heard.toString('latin1').split('confidential').length - 1;
				expect(rows).toBeLessThanOrEqual(damages.filter(({ type }) => type === 'repeat').length + 1);
				await until(() => gateway.listener.stats.sessions === 0 && gateway.pool.stats.leased === 0);
			}),
			{ numRuns: runs, timeout: 30_000 },
		);
	});
});
