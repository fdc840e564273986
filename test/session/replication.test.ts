/** Replication connections beside PostgreSQL's own: the same messages, records before commands, streams that end when they may not go on. */
import { createHash } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { FrontendFields } from '../../src/wire/encode.ts';
import { createDatabase, type TestDatabase } from '../support/postgres.ts';
import { converse, plain, type Turn } from './converse.ts';
import { startTestGateway, type TestGateway, type TestGatewayOptions } from './gateway.ts';
import {
	Bind,
	CloseStatement,
	CopyData,
	CopyDone,
	CopyFail,
	DescribeStatement,
	Execute,
	Flush,
	Parse,
	Query,
	Sync,
	WireClient,
} from './wire-client.ts';

let database: TestDatabase;
const running: TestGateway[] = [];

beforeAll(async () => {
	database = await createDatabase({ setup: 'create table items (id int primary key, word text)' });
});

afterEach(async () => {
	for (const gateway of running.splice(0)) await gateway.close();
});

afterAll(async () => {
	await database?.drop();
});

async function start(options: TestGatewayOptions = {}): Promise<TestGateway> {
	const gateway = await startTestGateway(database, options);
	running.push(gateway);
	return gateway;
}

type Kind = 'true' | 'database';

function direct(kind: Kind): Promise<WireClient> {
	const { port, user, password } = database;
	return WireClient.open({ port, params: { user, database: database.database, replication: kind }, password });
}

function through(gateway: TestGateway, kind: Kind): Promise<WireClient> {
	const name = kind === 'true' ? 'replication' : 'db';
	return WireClient.open({ port: gateway.port, params: { database: name, replication: kind } });
}

let slots = 0;
const freshSlot = (): string => `slot_${process.pid}_${(slots += 1)}`;

/** Where the server's log is now. */
async function position(): Promise<string> {
	const [row] = await database.sql('select pg_current_wal_flush_lsn()::text as at');
	return String(row?.['at']);
}

/** Bytes of the log in [from, to), as XLogData carries them (protocol, "Streaming Replication Protocol"). */
class Log {
	readonly #from: bigint;
	readonly bytes: Buffer;
	seen = 0;

	constructor(from: string, to: string) {
		this.#from = lsn(from);
		this.bytes = Buffer.alloc(Number(lsn(to) - this.#from));
	}

	get complete(): boolean {
		return this.seen === this.bytes.length;
	}

	take(data: Buffer): void {
		if (data[0] !== XLOG_DATA) return;
		const at = Number(data.readBigUInt64BE(1) - this.#from);
		if (at !== this.seen) throw new Error(`a gap at ${at}`);
		this.seen += data.copy(this.bytes, at, XLOG_DATA_HEADER);
	}
}

const XLOG_DATA = 0x77;
const KEEPALIVE = 0x6b;
/** Type, position, end of the log, time of sending. */
const XLOG_DATA_HEADER = 25;

function lsn(text: string): bigint {
	const [high = '', low = ''] = text.split('/');
	return (BigInt(`0x${high}`) << 32n) + BigInt(`0x${low}`);
}

/** Standby status update: written, flushed and applied up to here; `reply`: the other side shall answer at once. */
function statusUpdate(at: bigint, reply: boolean): FrontendFields {
	const data = Buffer.alloc(34);
	data[0] = 0x72;
	for (const offset of [1, 9, 17]) data.writeBigUInt64BE(at, offset);
	data[33] = reply ? 1 : 0;
	return { type: 'CopyData', data };
}

/** Follows a stream until `enough`, then ends it from this side. Answers every message but XLogData and keepalives. */
async function follow(client: WireClient, command: string, enough: (data: Buffer) => boolean): Promise<unknown[]> {
	client.send(Query(command));
	const heard: unknown[] = [];
	for (let over = false; !over; ) {
		const message = await client.next();
		if (message === null || message.type === 'ErrorResponse')
			throw new Error(`the stream ended: ${String(message?.raw)}`);
		if (message.type === 'CopyData') over = enough(message.data);
		else heard.push(plain(message, ''));
	}
	client.send(CopyDone);
	for (const message of await client.ready()) if (message.type !== 'CopyData') heard.push(plain(message, ''));
	return heard;
}

const direction: readonly Kind[] = ['true', 'database'];

describe.each(direction)('replication=%s', (kind) => {
	const slot = freshSlot();
	const conversations: readonly (readonly [string, readonly Turn[]])[] = [
		['what the server is', [{ send: [Query('SHOW wal_segment_size')] }, { send: [Query('SHOW port;')] }]],
		[
			'a slot that comes and goes',
			[
				{ send: [Query(`CREATE_REPLICATION_SLOT ${slot} TEMPORARY PHYSICAL`)] },
				{ send: [Query(`READ_REPLICATION_SLOT ${slot}`)] },
				{ send: [Query(`DROP_REPLICATION_SLOT ${slot}`)] },
				{ send: [Query(`READ_REPLICATION_SLOT ${slot}`)] },
			],
		],
		['errors', [{ send: [Query('TIMELINE_HISTORY 99')] }, { send: [Query('SHOW no_such')] }]],
		['commands in a row', [{ send: [Query('SHOW port'), Query('SHOW nothing'), Query('SHOW port')], until: 3 }]],
		['a start that fails', [{ send: [Query('START_REPLICATION SLOT none PHYSICAL 0/1'), CopyData('x'), CopyDone] }]],
		['a start that fails, given up', [{ send: [Query('START_REPLICATION FFFFFFF/0'), CopyFail('x')] }]],
		[
			'the extended protocol is not taken',
			[
				{ send: [Parse('select 1'), Bind(), Execute(), Sync] },
				{ send: [DescribeStatement(), CloseStatement(), Sync, Sync], until: 2 },
				{ send: [CloseStatement(), Flush], until: 'ErrorResponse' },
				{ send: [Sync, Query('SHOW port')], until: 2 },
			],
		],
		['nor is FunctionCall', [{ send: [{ type: 'FunctionCall', oid: 1, argFormats: [], args: [], resultFormat: 0 }] }]],
	];
	it.each(conversations)('%s', async (_name, turns) => {
		const gateway = await start();
		const wanted = await converse(await direct(kind), turns, 'P');
		expect(await converse(await through(gateway, kind), turns, 'P')).toEqual(wanted);
	});

	it.each<[string, FrontendFields]>([
		['Query', Query('SHOW port')],
		['CopyFail', CopyFail('x')],
		['Sync', Sync],
		['Parse', Parse('select 1')],
	])('%s in a stream ends the session', async (_name, message) => {
		const gateway = await start();
		const at = await position();
		const turns: readonly Turn[] = [{ send: [Query(`START_REPLICATION ${at}`)], until: 'CopyBothResponse' }];
		const ends = async (client: WireClient): Promise<unknown> => {
			client.send(...(turns[0]?.send ?? []));
			await client.until('CopyBothResponse');
			client.send(message);
			const last = (await client.rest()).at(-1);
			return last === undefined ? null : plain(last, '');
		};
		expect(await ends(await through(gateway, kind))).toEqual(await ends(await direct(kind)));
	});

	it('the log byte for byte, with the end said by the client, and SHOW behind it', async () => {
		const gateway = await start();
		const from = await position();
		await database.sql(
			"insert into items select i, repeat('x', 2000) from generate_series(1, 3000) i; delete from items",
		);
		const to = await position();
		const hear = async (client: WireClient): Promise<unknown> => {
			const log = new Log(from, to);
			const heard = await follow(client, `START_REPLICATION ${from} TIMELINE 1`, (data) => {
				log.take(data);
				if (data[0] === KEEPALIVE) client.send(statusUpdate(lsn(from), false));
				return log.complete;
			});
			const shown = (await client.query('SHOW port')).map((message) => plain(message, ''));
			client.destroy();
			expect(log.bytes.length).toBeGreaterThan(5_000_000);
			return { heard, shown, log: createHash('sha256').update(log.bytes).digest('hex') };
		};
		expect(await hear(await through(gateway, kind))).toEqual(await hear(await direct(kind)));
	});
});
