/** Whoever does not read slows down whoever writes: memory stays flat in both directions, and every byte arrives. */
import { createHash } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodeFrontend } from '../../src/wire/encode.ts';
import { MessageBudget } from '../../src/wire/message-budget.ts';
import { createDatabase, type TestDatabase } from '../support/postgres.ts';
import { startTestGateway, type TestGateway } from './gateway.ts';
import { until } from './until.ts';
import { Bind, CopyDone, Execute, Parse, Query, Sync, WireClient } from './wire-client.ts';

const mib = 1024 * 1024;

/** What may be under way in buffers of the kernel and of streams, of both sides. */
const slackBytes = 64 * mib;

let database: TestDatabase;
let gateway: TestGateway;

beforeAll(async () => {
	database = await createDatabase({
		setup: `create table lines (a text);
			create function slow() returns trigger language plpgsql as $$ begin perform pg_sleep(0.02); return new; end $$;
			create table slow_lines (a text);
			create trigger slow before insert on slow_lines for each row execute function slow()`,
	});
	gateway = await startTestGateway(database);
});

afterAll(async () => {
	await gateway?.close();
	await database?.drop();
});

/** A session whose socket nobody reads from any more. */
async function deaf(sql: string): Promise<WireClient> {
	const client = await WireClient.open({ port: gateway.port });
	client.socket.pause();
	client.send(Query(sql));
	return client;
}

/** Bytes outside of the JavaScript heap that this process holds: all buffers, the gateway's included. */
function held(): number {
	const { arrayBuffers, external } = process.memoryUsage();
	return arrayBuffers + external;
}

/** Writes the bytes again and again for a second, as fast as they are taken. Answers how many were. */
async function pour(socket: Socket, bytes: Buffer): Promise<number> {
	const beforeBytes = socket.bytesWritten;
	const endMs = performance.now() + 1_000;
	while (performance.now() < endMs) {
		while (!socket.writableNeedDrain) socket.write(bytes);
		await new Promise((resolve) => setImmediate(resolve));
	}
	return socket.bytesWritten - socket.writableLength - beforeBytes;
}

async function waitsFor(event: string, sql: string): Promise<void> {
	for (;;) {
		const rows = await database.sql(
			`select wait_event from pg_stat_activity where datname = current_database() and query like '${sql}%'`,
		);
		if (rows.some((row) => row['wait_event'] === event)) return;
	}
}

describe('a client that stops reading', () => {
	it.each([
		['rows', "select repeat('x', 1000) as wide from generate_series(1, 3000000)"],
		['large rows', "select repeat('x', 20000000) as huge from generate_series(1, 150)"],
		['COPY out', "copy (select repeat('x', 1000) as copied from generate_series(1, 3000000)) to stdout"],
	])('%s: the server waits, and memory stays flat', async (_, sql) => {
		const before = held();
		const client = await deaf(sql);
		await waitsFor('ClientWrite', sql.slice(0, 12));
		const during = held() - before;
		expect(during).toBeLessThan(slackBytes);
		// Another session is none the worse.
		const other = await WireClient.open({ port: gateway.port });
		expect((await other.query('select 1')).length).toBe(4);
		other.destroy();
		client.destroy();
		await until(() => gateway.pool.stats.leased === 0);
	});

	it('and goes on later gets everything', async () => {
		const rows = 40_000;
		const client = await deaf(`select repeat(md5(n::text), 30) from generate_series(1, ${rows}) n`);
		await waitsFor('ClientWrite', 'select repeat(md5');
		client.socket.resume();
		const hash = createHash('md5');
		const heard = await client.ready();
		let count = 0;
		for (const message of heard) {
			if (message.type !== 'DataRow') continue;
			count += 1;
			hash.update(message.values[0] ?? '');
		}
		expect(count).toBe(rows);
		const wanted = createHash('md5');
		for (let n = 1; n <= rows; n += 1) wanted.update(createHash('md5').update(String(n)).digest('hex').repeat(30));
		expect(hash.digest('hex')).toBe(wanted.digest('hex'));
		client.destroy();
	});

	it('in the middle of many short answers gets each of them', async () => {
		// The memory that the backend is read into is used again: not while the client has yet to take what lies in it.
		const [queries, length] = [1_500, 12_000];
		const client = await WireClient.open({ port: gateway.port });
		client.socket.pause();
		// One by one, so that the gateway reads each by itself.
		const text = (n: number): string => `select repeat('${n},', ${length} / length('${n},')) from pg_sleep(0.0003)`;
		for (let n = 0; n < queries; n += 1) client.send(Query(text(n)));
		await waitsFor('ClientWrite', 'select repeat');
		client.socket.resume();
		for (let n = 0; n < queries; n += 1) {
			const row = (await client.ready()).find((message) => message.type === 'DataRow');
			const word = `${n},`;
			expect(String(row?.values[0])).toBe(word.repeat(Math.floor(length / word.length)));
		}
		client.destroy();
	});
});

describe('COPY in', () => {
	it('faster than the server: the client waits, and memory stays flat', async () => {
		const before = held();
		const client = await WireClient.open({ port: gateway.port });
		client.send(Query('copy slow_lines from stdin'));
		await client.until('CopyInResponse');
		const data = Buffer.from(`${'y'.repeat(1000)}\n`.repeat(64));
		expect(await pour(client.socket, encodeFrontend({ type: 'CopyData', data }))).toBeLessThan(slackBytes);
		expect(held() - before).toBeLessThan(slackBytes);
		client.destroy();
		// The server would go on with what it has, as on a direct connection.
		const mine = `datname = current_database() and query like 'copy slow_lines%'`;
		await database.sql(`select pg_terminate_backend(pid) from pg_stat_activity where ${mine}`);
		await until(() => gateway.pool.stats.leased === 0);
	});

	it('of a message larger than any buffer arrives whole', async () => {
		const client = await WireClient.open({ port: gateway.port });
		client.send(Query('copy lines from stdin'));
		await client.until('CopyInResponse');
		const line = `${'z'.repeat(999)}\n`;
		client.send({ type: 'CopyData', data: Buffer.from(line.repeat(50_000)) }, CopyDone);
		expect((await client.ready())[0]).toMatchObject({ type: 'CommandComplete', tag: 'COPY 50000' });
		expect(await database.sql('select sum(length(a))::int as n from lines')).toEqual([{ n: 50_000 * 999 }]);
		client.destroy();
	});
});

describe('a large parameter', () => {
	it('arrives whole', async () => {
		const client = await WireClient.open({ port: gateway.port });
		client.send(Parse('select length($1::text)'), Bind(['w'.repeat(30 * mib)]), Execute(), Sync);
		const row = (await client.ready()).find((message) => message.type === 'DataRow');
		expect(String(row?.values[0])).toBe(String(30 * mib));
		client.destroy();
	});
});

describe('a client that sends faster than it is served', () => {
	it('waits, and memory stays flat', async () => {
		const before = held();
		const client = await WireClient.open({ port: gateway.port });
		client.send(Query('select pg_sleep(1.5)'));
		const query = encodeFrontend(Query(`select length('${'v'.repeat(100_000)}')`));
		expect(await pour(client.socket, query)).toBeLessThan(slackBytes);
		expect(held() - before).toBeLessThan(slackBytes);
		client.destroy();
		await until(() => gateway.pool.stats.leased === 0);
	});
});

describe('a client that connects and says nothing', () => {
	it('costs no more than its socket', async () => {
		const sockets = Array.from({ length: 50 }, () => connect({ host: '127.0.0.1', port: gateway.port }));
		await until(() => gateway.listener.stats.connecting === 50);
		for (const socket of sockets) socket.destroy();
		await until(() => gateway.listener.stats.connecting === 0);
	});
});

it('many long messages that are begun and not finished: one user has half of the room, and gives it back by leaving', async () => {
	const longMessages = new MessageBudget(4 * mib);
	const other = await startTestGateway(database, { longMessages });
	const text = encodeFrontend(Query(`select '${'x'.repeat(1.5 * mib)}' as x`));
	const open = (user: string): Promise<WireClient> => WireClient.open({ port: other.port, params: { user } });
	const holder = await open('someone');
	holder.socket.write(text.subarray(0, -1));
	await until(() => longMessages.bytes === text.length);
	const second = await open('someone');
	second.socket.write(text.subarray(0, -1));
	const told = await second.rest();
	const [error] = told;
	expect(error?.type === 'ErrorResponse' ? [error.fields.get('S'), error.fields.get('C')] : told).toEqual([
		'FATAL',
		'53200',
	]);
	const third = await open('another');
	third.socket.write(text);
	expect((await third.ready()).at(-1)?.type).toBe('ReadyForQuery');
	expect(longMessages.bytes).toBe(text.length);
	holder.destroy();
	await until(() => longMessages.bytes === 0);
	third.destroy();
	await other.close();
});
