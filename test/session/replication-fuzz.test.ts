/** Spoiled bytes on replication connections, from clients and from servers: the session ends or goes on, nothing is left, nobody else notices. */
import { connect } from 'node:net';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { protocolVersions } from '../../src/wire/codes.ts';
import {
	encodeBackend,
	encodeCommandComplete,
	encodeDataRow,
	encodeFrontend,
	encodeReadyForQuery,
	encodeRowDescription,
	encodeStartupMessage,
} from '../../src/wire/encode.ts';
import { createDatabase, type TestDatabase } from '../support/postgres.ts';
import { startTestGateway, type TestGateway } from './gateway.ts';
import { type ScriptedServer, startScriptedServer } from './scripted-server.ts';
import { until } from './until.ts';
import { CopyData, CopyDone, Parse, Query, Sync, Terminate, WireClient } from './wire-client.ts';

/** More are run by hand: PORTCULLIS_RUNS=5000. */
const runs = Number(process.env['PORTCULLIS_RUNS'] ?? 100);

interface Damage {
	readonly at: number;
	readonly removed: number;
	readonly put: Uint8Array;
}

const damage: fc.Arbitrary<Damage> = fc.record({
	at: fc.nat({ max: 10_000 }),
	removed: fc.nat({ max: 12 }),
	put: fc.oneof(
		fc.uint8Array({ maxLength: 8 }),
		fc.constantFrom(
			...['Q', 'c', 'd', 'f', 'X', 'S', 'W', 'Z'].map((type) => Buffer.from(`${type}\0\0\0\x04`, 'latin1')),
		),
	),
});

function damaged(whole: Buffer, damages: readonly Damage[]): Buffer {
	let bytes = whole;
	for (const { at, removed, put } of damages) {
		const position = at % (bytes.length + 1);
		bytes = Buffer.concat([bytes.subarray(0, position), put, bytes.subarray(position + removed)]);
	}
	return bytes;
}

/** Sends the bytes and the end of the stream, and hears everything until the gateway closes. */
async function pour(port: number, bytes: Buffer): Promise<Buffer> {
	const socket = connect({ host: '127.0.0.1', port });
	const heard: Buffer[] = [];
	socket.on('error', () => undefined);
	socket.on('data', (chunk) => heard.push(chunk));
	socket.end(bytes);
	await new Promise<void>((resolve) => socket.once('close', () => resolve()));
	return Buffer.concat(heard);
}

const startupFor = (replication: string): Buffer =>
	encodeStartupMessage(
		protocolVersions.v3_0,
		Object.entries({ user: 'someone', database: 'replication', replication }),
	);

describe('a client', () => {
	let database: TestDatabase;
	let gateway: TestGateway;
	let witness: WireClient;

	beforeAll(async () => {
		database = await createDatabase();
		gateway = await startTestGateway(database, { limits: { lingerMs: 200 } });
		witness = await WireClient.open({ port: gateway.port });
	});

	afterAll(async () => {
		witness?.destroy();
		await gateway?.close();
		await database?.drop();
	});

	it.each(['true', 'database'])('of replication=%s', { timeout: 120_000 + 300 * runs }, async (kind) => {
		const [row] = await database.sql('select pg_current_wal_flush_lsn()::text as at');
		const messages = Buffer.concat(
			[
				Query('IDENTIFY_SYSTEM'),
				Query('SHOW port'),
				Query('select 1'),
				Query("select 'deny_me'"),
				Parse('select 1'),
				Sync,
				Query(`START_REPLICATION ${String(row?.['at'])}`),
				CopyData('r'.padEnd(34, '\0')),
				CopyDone,
				Query('SHOW port'),
				Query(`START_REPLICATION ${String(row?.['at'])}`),
				Terminate,
			].map(encodeFrontend),
		);
		await fc.assert(
			fc.asyncProperty(fc.array(damage, { minLength: 1, maxLength: 4 }), async (damages) => {
				await pour(gateway.port, Buffer.concat([startupFor(kind), damaged(messages, damages)]));
				await until(() => gateway.listener.stats.sessions + gateway.listener.stats.connecting === 1);
				expect((await witness.query('select 1')).length).toBe(4);
				for (const { record, outcomes } of gateway.pipeline.recorded.splice(0)) {
					const { sql, effect } = record.decision;
					expect([sql, outcomes.length]).toEqual([sql, effect === 'deny' ? 0 : 1]);
				}
			}),
			{ numRuns: runs, timeout: 30_000 },
		);
		expect(gateway.pool.stats.leased).toBe(1);
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
	const replies = Buffer.concat([
		encodeRowDescription([field]),
		encodeDataRow(['row']),
		encodeCommandComplete('IDENTIFY_SYSTEM'),
		encodeReadyForQuery('I'),
		encodeBackend({ type: 'CopyBothResponse', format: 0, columnFormats: [] }),
		encodeBackend({ type: 'CopyData', data: Buffer.from('w'.padEnd(60, 'x')) }),
		encodeBackend({ type: 'CopyDone' }),
		encodeCommandComplete('COPY 0'),
		encodeCommandComplete('START_REPLICATION'),
		encodeReadyForQuery('I'),
	]);
	const questions = [Query('IDENTIFY_SYSTEM'), Query('START_REPLICATION 0/1'), CopyDone].map(encodeFrontend);

	it('that is in order is passed on byte for byte', async () => {
		server.answer = replies;
		const client = await WireClient.open({
			port: gateway.port,
			params: { database: 'replication', replication: 'true' },
		});
		client.socket.write(Buffer.concat(questions));
		const heard = await client.rest();
		expect(Buffer.concat(heard.map(({ raw }) => raw)).subarray(0, replies.length)).toEqual(replies);
	});

	it('that is not ends its session at the latest', { timeout: 120_000 + 300 * runs }, async () => {
		await fc.assert(
			fc.asyncProperty(fc.array(damage, { minLength: 1, maxLength: 3 }), async (damages) => {
				server.answer = damaged(replies, damages);
				await pour(gateway.port, Buffer.concat([startupFor('true'), ...questions]));
				await until(() => gateway.listener.stats.sessions === 0 && gateway.pool.stats.leased === 0);
				for (const { outcomes } of gateway.pipeline.recorded.splice(0)) expect(outcomes.length).toBe(1);
			}),
			{ numRuns: runs, timeout: 30_000 },
		);
	});
});
