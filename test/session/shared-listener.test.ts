/** The listener that sessions share: when it is there, what becomes of clients when it is lost or they do not read, and who hears what. */
import { connect } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { connectBackend } from '../../src/backend/connection.ts';
import { GatewayError } from '../../src/errors.ts';
import type { Backend } from '../../src/wire/backend.ts';
import { protocolVersions } from '../../src/wire/codes.ts';
import { encodeStartupMessage, type FrontendFields } from '../../src/wire/encode.ts';
import { createDatabase, type TestDatabase } from '../support/postgres.ts';
import { startTestGateway, type TestGateway, type TestGatewayOptions } from './gateway.ts';
import { until } from './until.ts';
import { Bind, Execute, Flush, Parse, Query, Sync, WireClient } from './wire-client.ts';

let database: TestDatabase;
let gateway: TestGateway;

beforeAll(async () => {
	database = await createDatabase({
		setup: `create function listen_by_code(channel text) returns void language plpgsql as
			$$ begin execute format('listen %I', channel); end $$`,
	});
});

afterEach(async () => {
	await gateway?.close();
});

afterAll(async () => {
	await database?.drop();
});

async function start(size: number, more: TestGatewayOptions = {}): Promise<void> {
	gateway = await startTestGateway(database, { hears: {}, ...more, poolSize: size, pooled: { ...more.pooled } });
}

const open = (): Promise<WireClient> => WireClient.open({ port: gateway.port });

/** What is heard, errors as their SQLSTATE, rows as they are. */
function told(answers: readonly Backend[]): string[] {
	return answers.flatMap((answer) => {
		switch (answer.type) {
			case 'NotificationResponse':
				return [`${answer.channel}=${answer.payload}`];
			case 'DataRow':
				return [answer.values.map(String).join('|')];
			case 'ErrorResponse':
				return [`${answer.fields.get('V')} ${answer.fields.get('C')}`];
			default:
				return [];
		}
	});
}

const ask = async (client: WireClient, sql: string): Promise<string[]> => told(await client.query(sql));

async function listening(...channels: string[]): Promise<WireClient> {
	const client = await open();
	for (const channel of channels) expect(await ask(client, `listen ${channel}`)).toEqual([]);
	return client;
}

/** What comes by itself, without anything being asked. */
async function hears(client: WireClient): Promise<string> {
	const message = await client.next();
	return message === null ? 'the end' : (told([message])[0] ?? message.type);
}

const stats = () => gateway.hearing?.stats;

/** Process ids of connections that hear, as the server lists them. */
async function lines(): Promise<number[]> {
	const rows = await database.sql(
		"select pid from pg_stat_activity where datname = current_database() and application_name = 'hears'",
	);
	return rows.map((row) => Number(row['pid']));
}

/** Ends the connection that hears, as an operator of the server would. */
async function cut(): Promise<void> {
	const [pid] = await lines();
	await database.sql(`select pg_terminate_backend(${pid})`);
	await until(() => stats()?.connection === null);
}

describe('many that listen', () => {
	it('need no server connection of their own, and each hears what is for it', async () => {
		await start(1);
		const clients = await Promise.all(Array.from({ length: 24 }, (_, n) => listening(`c${n % 8}`)));
		expect(gateway.pool.stats).toMatchObject({ leased: 0, pinned: { listen: 0 } });
		expect(stats()).toMatchObject({ channels: 8, hearers: 24 });
		expect(await lines()).toHaveLength(1);
		for (let n = 0; n < 8; n += 1) await database.sql(`notify c${n}, 'for ${n}'`);
		expect(await Promise.all(clients.map(hears))).toEqual(clients.map((_, n) => `c${n % 8}=for ${n % 8}`));
		// Nothing else comes behind it.
		expect(await Promise.all(clients.map((client) => ask(client, 'select 1')))).toEqual(clients.map(() => ['1']));
	});

	it('tell of the process that has notified', async () => {
		await start(1);
		const [client, other] = [await listening('a'), await open()];
		const [pid] = await ask(other, "select pg_backend_pid() from pg_notify('a', '')");
		const heard = await client.next();
		expect(heard).toMatchObject({ type: 'NotificationResponse', pid: Number(pid) });
	});

	it('are told while they are idle, and not while they are in the middle of something', async () => {
		await start(2);
		const client = await listening('a');
		client.send(Parse('select 1'), Flush);
		expect((await client.next())?.type).toBe('ParseComplete');
		await database.sql("notify a, 'x'");
		await until(() => stats()?.received === 1);
		client.send(Bind(), Execute(), Flush);
		expect(told(await client.until('CommandComplete'))).toEqual(['1']);
		client.send(Sync);
		expect(told(await client.ready())).toEqual(['a=x']);
	});

	it('are forgotten with their sessions and by UNLISTEN, and the connection goes when nobody is left', async () => {
		await start(1, { hears: { lingerMs: 1 } });
		const [one, two] = [await listening('a', 'b'), await listening('b')];
		expect(stats()).toMatchObject({ channels: 2, hearers: 2 });
		one.destroy();
		await until(() => stats()?.hearers === 1);
		expect(stats()).toMatchObject({ channels: 1 });
		await ask(two, 'unlisten *');
		await until(() => stats()?.connection === null);
		while ((await lines()).length > 0);
		expect(await ask(two, 'listen a')).toEqual([]);
		await database.sql("notify a, 'again'");
		expect(await hears(two)).toBe('a=again');
	});

	it('have a limit of channels', async () => {
		await start(1, { limits: { channelsMax: 2 } });
		const client = await listening('a', 'b');
		expect(await ask(client, 'listen c')).toEqual(['ERROR 54000']);
		expect(await ask(client, 'listen a')).toEqual([]);
		expect(await ask(client, 'unlisten a')).toEqual([]);
		expect(await ask(client, 'listen c')).toEqual([]);
	});

	it('hear nothing of what rolled back, and the listener forgets it', async () => {
		await start(1);
		const client = await listening('a');
		for (const sql of ['begin', 'listen b', 'rollback', 'begin; listen c; select 1/0', 'rollback'])
			await ask(client, sql);
		await until(() => stats()?.channels === 1);
	});
});

describe('an acknowledgement', () => {
	/** A connection that comes when it is let. */
	function slowly(): {
		readonly hears: NonNullable<TestGatewayOptions['hears']>;
		let: () => void;
		asked: () => boolean;
	} {
		let go: () => void = () => undefined;
		let asked = false;
		const wait = new Promise<void>((resolve) => {
			go = resolve;
		});
		const { host, port, user, password } = database;
		const target = {
			host,
			port,
			user,
			dbname: database.database,
			password: () => password,
			tls: { mode: 'disable' },
		} as const;
		const connect = async (signal: AbortSignal) => {
			asked = true;
			await wait;
			return connectBackend(target, { application_name: 'hears' }, { signal });
		};
		return { hears: { connect }, let: () => go(), asked: () => asked };
	}

	it.each([
		{ name: 'of LISTEN', messages: [Query('listen a')], before: [] },
		{ name: 'of LISTEN in a transaction', messages: [Query('listen a')], before: ['begin'] },
		{ name: 'of an extended LISTEN', messages: [Parse('listen a'), Bind(), Execute(), Sync], before: [] },
	])('$name waits until the server listens', async ({ messages, before }) => {
		const slow = slowly();
		await start(2, { hears: slow.hears });
		const [client, other] = [await open(), await open()];
		for (const sql of before) await client.query(sql);
		client.send(...messages);
		await until(slow.asked);
		let answered = false;
		const answer = client.until('CommandComplete').then(() => {
			answered = true;
		});
		expect(await ask(other, 'select 1')).toEqual(['1']);
		expect(answered).toBe(false);
		slow.let();
		await answer;
		await client.ready();
		if (before.length > 0) await client.query('commit');
		await other.query("notify a, 'x'");
		expect(await hears(client)).toBe('a=x');
	});

	it('is an error where there is no connection to be had', async () => {
		const error = new GatewayError('08004', 'the database server rejected the login', { severity: 'FATAL' });
		await start(1, { hears: { connect: () => Promise.reject(error) } });
		const client = await open();
		expect(await ask(client, 'listen a')).toEqual(['ERROR 08004']);
		await client.query('begin');
		expect(await ask(client, 'listen a')).toEqual(['ERROR 08004']);
		expect(await ask(client, 'select 1')).toEqual(['ERROR 25P02']);
		await client.query('rollback');
		expect(await ask(client, 'unlisten a; select 2')).toEqual(['2']);
		client.send(Parse('listen a'), Bind(), Execute(), Sync, Query('select 3'));
		expect(told(await client.ready(2))).toEqual(['ERROR 08004', '3']);
	});

	it('waits for a server that comes back in time, and gives up then', async () => {
		let attempts = 0;
		const away = new GatewayError('08001', 'cannot connect', { severity: 'FATAL' });
		const connect = (): Promise<never> => {
			attempts += 1;
			return Promise.reject(away);
		};
		await start(1, { hears: { connect, waitMs: 300 } });
		const client = await open();
		expect(await ask(client, 'listen a')).toEqual(['ERROR 08001']);
		expect(attempts).toBeGreaterThan(1);
		expect(await ask(client, 'select 1')).toEqual(['1']);
	});
});

describe('when the connection is lost', () => {
	it('who listens is ended, once its transaction is over, and nobody else', async () => {
		await start(3);
		const [idle, working, other] = [await listening('a'), await listening('a'), await open()];
		const failing = await listening('b');
		await working.query('begin');
		await failing.query('begin');
		await cut();
		expect(await hears(idle)).toBe('FATAL 57P01');
		expect(await idle.next()).toBeNull();
		expect(await ask(working, 'select 1')).toEqual(['1']);
		expect(told(await working.query('commit'))).toEqual([]);
		expect(await hears(working)).toBe('FATAL 57P01');
		expect(await ask(failing, 'select nosuch')).toEqual(['ERROR 42703']);
		expect(told(await failing.query('rollback'))).toEqual([]);
		expect(await hears(failing)).toBe('FATAL 57P01');
		expect(await ask(other, 'select 2')).toEqual(['2']);
		expect(stats()).toMatchObject({ losses: 1, channels: 0, hearers: 0 });
		expect(await ask(other, 'listen a')).toEqual([]);
		await database.sql("notify a, 'x'");
		expect(await hears(other)).toBe('a=x');
	});

	it('a LISTEN that is not committed yet is listened to anew', async () => {
		await start(1);
		const client = await open();
		await client.query('begin');
		await client.query('listen a');
		await cut();
		expect(told(await client.query('commit'))).toEqual([]);
		await database.sql("notify a, 'x'");
		expect(await hears(client)).toBe('a=x');
	});

	it('because the server says nothing any more, that is noticed', async () => {
		await start(1, { hears: { checkMs: 20, timeoutMs: 300 } });
		const client = await listening('a');
		const [pid = 0] = await lines();
		process.kill(pid, 'SIGSTOP');
		try {
			expect(await hears(client)).toBe('FATAL 57P01');
		} finally {
			process.kill(pid, 'SIGCONT');
		}
	});
});

it('who was held up itself does not take the server for dead', async () => {
	await start(1, { hears: { timeoutMs: 2_000 } });
	const client = await listening('a');
	const answered = gateway.hearing?.caughtUp();
	Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2_500);
	await answered;
	expect(stats()?.connection).not.toBeNull();
	await database.sql("notify a, 'x'");
	expect(await hears(client)).toBe('a=x');
});

it('a failed transaction ends with its COMMIT, though nothing can be listened to', async () => {
	const { host, port, user, password } = database;
	const target = {
		host,
		port,
		user,
		dbname: database.database,
		password: () => password,
		tls: { mode: 'disable' },
	} as const;
	let refused: GatewayError | null = null;
	const connect = (signal: AbortSignal) =>
		refused === null ? connectBackend(target, { application_name: 'hears' }, { signal }) : Promise.reject(refused);
	await start(1, { hears: { connect } });
	const client = await open();
	for (const sql of ['begin', 'listen a', 'select nosuch']) await client.query(sql);
	refused = new GatewayError('08004', 'the database server rejected the login', { severity: 'FATAL' });
	await cut();
	expect(told(await client.query('commit'))).toEqual([]);
	for (const sql of ['begin']) await client.query(sql);
	expect(await ask(client, 'listen a')).toEqual(['ERROR 08004']);
	expect(told(await client.query('rollback'))).toEqual([]);
	expect(await ask(client, 'select 1')).toEqual(['1']);
});

describe('a client that does not take what it listens for', () => {
	const payload = 'x'.repeat(7_000);

	const flood = (times: number): Promise<unknown> =>
		database.sql(`select pg_notify('a', '${payload}' || n) from generate_series(1, ${times}) n`);

	it('because of its transaction, is ended when that is over', async () => {
		await start(2, { limits: { notifyBytesMax: 20_000 } });
		const [client, other] = [await listening('a'), await listening('a')];
		await client.query('begin');
		await flood(2);
		expect((await hears(other)).length).toBeGreaterThan(7_000);
		await flood(3);
		await until(() => stats()?.overflows === 1);
		expect(await ask(client, 'select 1')).toEqual(['1']);
		expect(told(await client.query('commit'))).toEqual([]);
		expect(await hears(client)).toBe('FATAL 54000');
		for (let n = 0; n < 4; n += 1) expect((await hears(other)).length).toBeGreaterThan(7_000);
		expect(await ask(other, 'select 1')).toEqual(['1']);
	});

	it('because it does not read, is ended; the others are told', async () => {
		await start(2, { limits: { notifyBytesMax: 100_000 } });
		const [deaf, other] = [await listening('a'), await listening('a')];
		let heard = 0;
		const reading = (async () => {
			for (let message = await other.next(); message !== null; message = await other.next()) heard += 1;
		})();
		deaf.socket.pause();
		let sent = 0;
		while (stats()?.overflows === 0) {
			await flood(100);
			sent += 100;
		}
		deaf.socket.resume();
		const all = told(await deaf.rest());
		expect(all.slice(-1)).toEqual(['FATAL 54000']);
		expect(all.length).toBeLessThan(sent);
		await until(() => heard >= sent);
		other.destroy();
		await reading;
		expect(heard).toBe(sent);
	});
});

describe('what a server connection hears by itself', () => {
	const run = (sql: string): FrontendFields[] => [Parse(sql), Bind(), Execute(), Sync];

	it('is for who keeps the connection, once', async () => {
		await start(2);
		const client = await listening('twice');
		// The mark makes it code that nobody looks into.
		client.send(...run("select listen_by_code('twice'), listen_by_code('own') /* user_code */"));
		await client.ready();
		expect(gateway.pool.stats.pinned).toMatchObject({ code: 1 });
		await database.sql("notify twice, 'x'");
		expect(await hears(client)).toBe('twice=x');
		await database.sql("notify own, 'y'");
		expect(await hears(client)).toBe('own=y');
	});

	it('reaches nobody where the code was trusted to leave nothing', async () => {
		await start(1, { pooled: { trusted: ['app.code'] } });
		const [one, two] = [await open(), await open()];
		one.send(...run("select listen_by_code('secret') /* user_code */"));
		await one.ready();
		await database.sql("notify secret, 'x'");
		expect(await ask(two, 'select 1')).toEqual(['1']);
		expect(await ask(two, "select pg_notify('secret', 'y')")).toEqual(['']);
		expect(await ask(one, 'select 1')).toEqual(['1']);
	});
});

describe('the process id of a notification', () => {
	/** Greeted by hand, to see what it is told. */
	async function known(): Promise<{ readonly client: WireClient; readonly pid: number }> {
		const socket = connect({ host: '127.0.0.1', port: gateway.port, noDelay: true });
		const client = new WireClient(socket);
		const params = Object.entries({ user: 'someone', database: 'db' });
		socket.write(encodeStartupMessage(protocolVersions.v3_0, params));
		const data = (await client.ready()).find(({ type }) => type === 'BackendKeyData');
		if (data?.type !== 'BackendKeyData') throw new Error('no BackendKeyData');
		return { client, pid: data.pid };
	}

	const heardOf = (answers: readonly Backend[]): [string, number][] =>
		answers.flatMap((answer) =>
			answer.type === 'NotificationResponse' ? [[answer.payload, answer.pid] as [string, number]] : [],
		);

	it('is what the client was told at its sign-in for its own, in every way to notify', async () => {
		await start(1);
		const { client, pid } = await known();
		await client.query('listen a');
		const ways = [
			"notify a, 'x'",
			"select pg_notify('a', 'x')",
			"do $$ begin perform pg_notify('a', 'x'); end $$",
			"begin; notify a, 'x'; commit",
			"listen a; notify a, 'x'",
		];
		for (const sql of ways) expect([sql, heardOf(await client.query(sql))]).toEqual([sql, [['x', pid]]]);
		client.send(Parse("notify a, 'x'"), Bind(), Execute(), Sync);
		expect(heardOf(await client.ready())).toEqual([['x', pid]]);
		await client.query('begin');
		await client.query("notify a, 'x'");
		expect(heardOf(await client.query('commit'))).toEqual([['x', pid]]);
	});

	it('is never that for those of others, who have the same connection right before and after', async () => {
		await start(1);
		const { client, pid } = await known();
		await client.query('listen a');
		const others = await Promise.all([open(), open(), open()]);
		let over = false;
		const works = others.map(async (other, who) => {
			for (let n = 0; !over; n += 1) expect(await ask(other, `notify a, 'other ${who} ${n}'`)).toEqual([]);
		});
		const wrong: unknown[] = [];
		for (let n = 0; n < 100; n += 1) {
			for (const [payload, from] of heardOf(await client.query(`notify a, 'own ${n}'`)))
				if ((from === pid) !== payload.startsWith('own')) wrong.push([payload, from]);
		}
		over = true;
		await Promise.all(works);
		expect(wrong).toEqual([]);
	});
});
