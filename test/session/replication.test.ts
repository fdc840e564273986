/** Replication connections beside PostgreSQL's own: the same messages, records before commands, streams that end when they may not go on. */
import { createHash } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { GatewayError } from '../../src/errors.ts';
import type { FrontendFields } from '../../src/wire/encode.ts';
import { createDatabase, type TestDatabase } from '../support/postgres.ts';
import { converse, plain, type Turn } from './converse.ts';
import { startTestGateway, type TestGateway, type TestGatewayOptions } from './gateway.ts';
import { until as untilTrue } from './until.ts';
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
	Terminate,
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
			'a manifest that is none',
			[
				{ send: [Query('UPLOAD_MANIFEST')], until: 'CopyInResponse' },
				{ send: [CopyData('{}'), CopyDone] },
				{ send: [Query('UPLOAD_MANIFEST')], until: 'CopyInResponse' },
				{ send: [CopyFail('given up'), Query('SHOW port')], until: 2 },
			],
		],
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
		// Other test files write to the same server meanwhile.
		const heard = async (client: WireClient): Promise<string> =>
			JSON.stringify(await converse(client, turns, 'P'), null, 1).replaceAll(
				/(position of this server) [0-9A-F/]+/g,
				'$1',
			);
		const wanted = await heard(await direct(kind));
		expect(await heard(await through(gateway, kind))).toBe(wanted);
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
			"set synchronous_commit = on; insert into items select i, repeat('x', 2000) from generate_series(1, 3000) i; delete from items",
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

/** A stream that has begun, and the position that it began at. */
async function streaming(gateway: TestGateway): Promise<{ client: WireClient; at: bigint }> {
	const at = await position();
	const client = await through(gateway, 'true');
	client.send(Query(`START_REPLICATION ${at}`));
	await client.until('CopyBothResponse');
	return { client, at: lsn(at) };
}

/** Writes to the server's log, so that the stream has something to say. */
const write = (): Promise<unknown> => database.sql("select pg_logical_emit_message(false, 'test', repeat('x', 100))");

/** Hears keepalives, and then some of the log. */
async function untilData(client: WireClient): Promise<void> {
	for (;;) {
		const message = await client.next();
		expect(message?.type).toBe('CopyData');
		if (message?.type === 'CopyData' && message.data[0] === XLOG_DATA) return;
	}
}

/** What the client is told in the end. */
async function lastWords(client: WireClient): Promise<unknown> {
	const last = (await client.rest()).at(-1);
	return last?.type === 'ErrorResponse' ? last.fields.get('C') : last?.type;
}

/** The same of a stream that ends at the beginning of a message, which is when the server has something to say. */
async function wordsAtTheEnd(client: WireClient): Promise<unknown> {
	const words = lastWords(client);
	while (!client.closed) await write();
	return words;
}

describe('a stream', () => {
	it('outlasts all limits of time', async () => {
		const limits = { queryTimeoutMs: 30, transactionTimeoutMs: 30, idleTransactionTimeoutMs: 30, idleTimeoutMs: 30 };
		const gateway = await start({ limits: { ...limits, backendLifetimeMs: 30 } });
		const { client, at } = await streaming(gateway);
		const endMs = performance.now() + 300;
		await untilTrue(() => performance.now() > endMs);
		await write();
		await untilData(client);
		client.send(statusUpdate(at, false), CopyDone);
		expect((await client.ready()).at(-1)?.type).toBe('ReadyForQuery');
		client.destroy();
	});

	it('ends when the sign-in has lapsed', async () => {
		let nowMs = 1_000_000;
		const gateway = await start({ identity: { expiresAtMs: 2_000_000 }, now: () => nowMs });
		const { client } = await streaming(gateway);
		await write();
		nowMs = 2_000_001;
		expect(await wordsAtTheEnd(client)).toBe('28000');
	});

	it('ends when the policy allows it no longer', async () => {
		let withdrawn = false;
		let nowMs = 1_000_000;
		const gateway = await start({ withdrawn: () => withdrawn, now: () => nowMs });
		const { client } = await streaming(gateway);
		await write();
		withdrawn = true;
		nowMs += 1_000;
		expect(await wordsAtTheEnd(client)).toBe('42501');
	});

	it('does not hold up the end of the gateway, as a statement does', async () => {
		const gateway = await start();
		const { client } = await streaming(gateway);
		const words = lastWords(client);
		await gateway.listener.close({ deadlineMs: 600_000 });
		// In the middle of a message nothing can be said, and other tests on the same server may have begun one.
		expect(['57P01', 'CopyData']).toContain(await words);
	});

	it('is on record before it begins, and with its bytes when it is over', async () => {
		const gateway = await start();
		const { client } = await streaming(gateway);
		await write();
		await untilData(client);
		client.send(CopyDone);
		await client.ready();
		client.destroy();
		const [{ record, outcomes } = { outcomes: [] }] = gateway.pipeline.recorded;
		expect(record).toMatchObject({ phase: 'execute', decision: { node: 'StartReplicationCmd', effect: 'allow' } });
		expect(record?.decision.objects).toMatchObject([{ kind: 'database', name: 'any', action: 'replicate' }]);
		expect(outcomes).toMatchObject([{ status: 'success', tag: 'START_REPLICATION' }]);
		expect(outcomes[0]?.rows).toBeGreaterThan(0);
		// The first piece may be a short one; this much is in front of each (protocol, XLogData).
		expect(outcomes[0]?.bytes).toBeGreaterThan(25);
	});

	it('does not begin when it cannot be recorded', async () => {
		const gateway = await start();
		const client = await through(gateway, 'true');
		gateway.pipeline.failure = new GatewayError('53100', 'the disk is full');
		client.send(Query(`START_REPLICATION ${await position()}`));
		expect(await lastWords(client)).toBe('53100');
	});

	it('whose client says no more than goodbye is over, and its connection closed', async () => {
		const gateway = await start();
		const { client } = await streaming(gateway);
		client.send(Terminate);
		await untilTrue(() => gateway.pool.stats.leased === 0);
		expect(gateway.pipeline.recorded[0]?.outcomes).toMatchObject([{ status: 'unknown' }]);
		client.destroy();
	});
});

it('a base backup that nobody reads waits at the server, and memory stays flat', async () => {
	const gateway = await start();
	const held = (): number => process.memoryUsage().arrayBuffers + process.memoryUsage().external;
	const before = held();
	const client = await through(gateway, 'true');
	client.socket.pause();
	client.send(Query("BASE_BACKUP (LABEL 'deaf', CHECKPOINT 'fast')"));
	const waits = "query like 'BASE_BACKUP%deaf%' and wait_event = 'ClientWrite'";
	while ((await database.sql(`select pid from pg_stat_activity where ${waits}`)).length === 0);
	expect(held() - before).toBeLessThan(64 * 1024 * 1024);
	client.socket.resume();
	const heard = await client.ready();
	const bytes = heard.reduce((sum, message) => sum + (message.type === 'CopyData' ? message.data.length : 0), 0);
	expect(bytes).toBeGreaterThan(20_000_000);
	expect(gateway.pipeline.recorded[0]?.outcomes).toMatchObject([{ status: 'success', tag: 'BASE_BACKUP' }]);
	client.destroy();
});

describe('refused', () => {
	it.each<[string, Kind, string, string]>([
		['SQL on a physical connection', 'true', 'select 1', '0A000'],
		['nothing at all on one', 'true', '', '0A000'],
		['two commands at once', 'database', 'SHOW port; SHOW port', '42601'],
		['SQL behind a command', 'database', 'SHOW port; drop table items', '42601'],
		['SQL that the policy denies', 'database', 'select deny_me', '42501'],
	])('%s', async (_name, kind, sql, code) => {
		const gateway = await start();
		const client = await through(gateway, kind);
		const [error, ready] = await client.query(sql);
		expect(error?.type === 'ErrorResponse' && error.fields.get('C')).toBe(code);
		expect(ready?.type).toBe('ReadyForQuery');
		expect(gateway.pipeline.recorded.map(({ record }) => record.decision.effect)).toEqual(['deny']);
		expect((await client.query('SHOW port')).map(({ type }) => type)).toContain('DataRow');
		client.destroy();
	});

	it('a command in a transaction that has failed, and one that the policy denies by then', async () => {
		let withdrawn = false;
		const gateway = await start({ withdrawn: () => withdrawn });
		const client = await through(gateway, 'database');
		await client.query('begin');
		withdrawn = true;
		const heard = await client.query('IDENTIFY_SYSTEM');
		expect(heard.map((message) => plain(message, 'D'))).toMatchObject([
			{ type: 'ErrorResponse', fields: { C: '42501', M: 'permission denied to replicate database "any"' } },
			{ type: 'ReadyForQuery', status: 'E' },
		]);
		withdrawn = false;
		const [error] = await client.query('IDENTIFY_SYSTEM');
		expect(error?.type === 'ErrorResponse' && error.fields.get('C')).toBe('25P02');
		client.destroy();
	});
});
