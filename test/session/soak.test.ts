/** Many short sessions, dropped at any byte in any way: nothing is left behind, neither sockets nor leases nor memory. */
import { connect } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { protocolVersions } from '../../src/wire/codes.ts';
import { encodeFrontend, encodeStartupMessage } from '../../src/wire/encode.ts';
import { createDatabase, type TestDatabase } from '../support/postgres.ts';
import { startTestGateway, type TestGateway } from './gateway.ts';
import { until } from './until.ts';
import {
	Bind,
	CopyData,
	CopyDone,
	DescribePortal,
	Execute,
	Flush,
	Parse,
	Query,
	Sync,
	Terminate,
	WireClient,
} from './wire-client.ts';

/** Thousands are run by hand: PORTCULLIS_RUNS=5000. */
const runs = Number(process.env['PORTCULLIS_RUNS'] ?? 300);

let database: TestDatabase;
let gateway: TestGateway;

beforeAll(async () => {
	database = await createDatabase({ setup: 'create table items (id int)' });
	gateway = await startTestGateway(database, { poolSize: 20 });
});

afterAll(async () => {
	await gateway?.close();
	await database?.drop();
});

const conversation = Buffer.concat([
	encodeStartupMessage(protocolVersions.v3_0, Object.entries({ user: 'someone', database: 'db' })),
	...[
		Query('select 1'),
		Parse('select $1::int', 'a'),
		Bind(['7'], 'a'),
		DescribePortal(),
		Execute(),
		Flush,
		Sync,
		Query("select 'deny_me'"),
		Query('begin'),
		Query("select repeat('x', 100000)"),
		Query('select slow_me from (select 1 as slow_me) x'),
		Parse("select 'deny_me'"),
		Bind(),
		Sync,
		Query('rollback'),
		Query('copy items from stdin'),
		CopyData('1\n'),
		CopyDone,
		Query('set search_path = public'),
		Query("select 'look_up_me'"),
		Terminate,
	].map(encodeFrontend),
]);

interface Drop {
	/** The conversation goes as far as this byte. */
	readonly at: number;
	readonly how: 'reset' | 'end' | 'wait';
	readonly reads: boolean;
}

const drop: fc.Arbitrary<Drop> = fc.record({
	at: fc.nat({ max: conversation.length }),
	how: fc.constantFrom('reset', 'end', 'wait'),
	reads: fc.boolean(),
});

async function play({ at, how, reads }: Drop): Promise<void> {
	const socket = connect({ host: '127.0.0.1', port: gateway.port });
	socket.on('error', () => undefined);
	const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
	if (reads) socket.resume();
	await new Promise<void>((resolve) => socket.write(conversation.subarray(0, at), () => resolve()));
	if (how === 'wait' && reads) await Promise.race([closed, new Promise((resolve) => setTimeout(resolve, at % 50))]);
	if (how === 'reset') socket.resetAndDestroy();
	else {
		socket.end();
		socket.resume();
	}
	await closed;
}

async function nothingLeft(): Promise<void> {
	await until(() => {
		const { sessions, connecting } = gateway.listener.stats;
		const { leased, connecting: dialling, waiting } = gateway.pool.stats;
		return sessions + connecting + leased + dialling + waiting === 0;
	});
}

describe('sessions that are dropped at random', () => {
	it('leave nothing behind', { timeout: 120_000 + 300 * runs }, async () => {
		setFlagsFromString('--expose_gc');
		const gc = runInNewContext('gc') as () => void;
		const used = (): number => {
			gateway.pipeline.recorded.length = 0;
			gateway.pipeline.events.length = 0;
			gateway.pipeline.paths.length = 0;
			gateway.pipeline.own.length = 0;
			gateway.pipeline.found.length = 0;
			gc();
			return process.memoryUsage().heapUsed;
		};
		const drops = fc.sample(drop, runs);
		const some = async (list: readonly Drop[]): Promise<void> => {
			const left = [...list];
			await Promise.all(
				Array.from({ length: 10 }, async () => {
					for (let next = left.pop(); next !== undefined; next = left.pop()) await play(next);
				}),
			);
			await nothingLeft();
		};
		await some(drops.slice(0, runs / 3));
		const before = used();
		await some(drops.slice(runs / 3));
		const grown = used() - before;
		// Two megabytes for what V8 has compiled meanwhile; a leaked session would be 20,000 bytes.
		expect(grown).toBeLessThan(2_000_000 + 2_000 * runs);
		expect(process.getActiveResourcesInfo().filter((kind) => kind === 'TCPSocketWrap').length).toBeLessThan(10);
		const client = await WireClient.open({ port: gateway.port });
		expect((await client.query('select 1')).length).toBe(4);
		client.destroy();
		await nothingLeft();
	});
});
