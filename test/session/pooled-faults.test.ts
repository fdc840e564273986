/**
 * Connections that go from client to client, in transaction mode and in session mode with `reuse`, under faults at random: backends
 * are killed, statements cancelled, clients cut off, while everybody checks every answer. Nobody may get a wrong one, and at the end
 * every counter is back at zero. Longer: PORTCULLIS_FAULTS_MS=600000.
 */
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { encodeCancelRequest } from '../../src/wire/encode.ts';
import { createDatabase, type TestDatabase } from '../support/postgres.ts';
import { startTestGateway, type TestGateway } from './gateway.ts';
import { until } from './until.ts';

const faultsMs = Number(process.env['PORTCULLIS_FAULTS_MS'] ?? 3_000);
const clientsMax = 12;
const size = 3;
/** It goes on without faults until there were so many, however slow the machine is. */
const answersMin = 100;

/** What a fault may bring about, and nothing else. */
const excused: ReadonlySet<string> = new Set([
	...['57P01', '08006', '57014', '53300', '25P02', '08001'],
	...['ECONNRESET', 'EPIPE', 'ECONNREFUSED'],
]);

let database: TestDatabase;
let gateway: TestGateway;

beforeAll(async () => {
	database = await createDatabase({ setup: 'create table ledger (who text, n int)' });
});

afterEach(() => gateway?.close());

afterAll(() => database?.drop());

const times = { queueTimeoutMs: 1_000, checkAfterMs: 50, lifetimeMs: 700 };
const modes = [
	{ mode: 'transaction mode', lastsMs: faultsMs, options: { pooled: { statementsMax: 5, ...times } } },
	{ mode: 'session mode with reuse', lastsMs: faultsMs / 2, options: { reusing: times } },
];

interface Counts {
	answers: number;
	excused: number;
	sessions: number;
}

const random = (below: number): number => Math.floor(Math.random() * below);

/** One session from its login to its end, in which every answer is looked at. */
async function session(name: string, counts: Counts): Promise<void> {
	const client = new pg.Client({ host: '127.0.0.1', port: gateway.port, user: 'someone', database: 'db' });
	let cut = false;
	client.on('error', () => undefined);
	const ask = async (text: string, values?: unknown[], prepared?: string): Promise<unknown[][]> => {
		const given = { text, rowMode: 'array', ...(values === undefined ? {} : { values }) } as const;
		const { rows } = await client.query<unknown[]>(prepared === undefined ? given : { ...given, name: prepared });
		counts.answers += 1;
		return rows;
	};
	const acts: (() => Promise<void>)[] = [
		async () => {
			const n = random(1_000_000);
			expect(await ask('select $1::int + 1', [n])).toEqual([[n + 1]]);
		},
		async () => {
			const n = random(9);
			expect(await ask(`select ${n}, $1::text`, [name], `statement ${n}`)).toEqual([[n, name]]);
		},
		async () => expect(await ask('show application_name')).toEqual([[name]]),
		async () => {
			await ask('begin');
			await ask('insert into ledger values ($1, 1)', [name]);
			expect(
				await ask('select count(*)::int from ledger where who = $1 and xmin = pg_current_xact_id()::xid', [name]),
			).toEqual([[1]]);
			await ask(random(2) === 0 ? 'commit' : 'rollback');
		},
		async () => {
			await ask(`create temp table mine as select '${name}'::text as owner`);
			expect(await ask('select owner from mine')).toEqual([[name]]);
			await ask('drop table mine');
		},
		async () => {
			await ask("select set_config('timezone', 'Asia/Tokyo', false)");
			expect(await ask('show timezone')).toEqual([['Asia/Tokyo']]);
			await ask('reset timezone');
		},
		async () => {
			await ask('begin');
			await ask('set local work_mem = 1000');
			if (random(2) === 0) await sleep(random(20));
			await ask('rollback');
		},
		async () => {
			const { processID: pid, secretKey } = client as unknown as { processID: number; secretKey: number };
			const key = Buffer.alloc(4);
			key.writeInt32BE(secretKey);
			const slow = ask('select pg_sleep(0.2)');
			const socket = connect({ host: '127.0.0.1', port: gateway.port });
			socket.on('error', () => undefined);
			socket.end(encodeCancelRequest(pid, key));
			socket.resume();
			await slow;
		},
		async () => {
			await ask(random(2) === 0 ? 'begin' : 'select pg_advisory_lock(1)');
			cut = true;
			(client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
		},
	];
	try {
		await client.connect();
		counts.sessions += 1;
		await ask(`set application_name = '${name}'`);
		for (let n = random(30); n > 0 && !cut; n -= 1) {
			const act = acts[n === 1 ? random(acts.length) : random(acts.length - 1)] as () => Promise<void>;
			try {
				await act();
			} catch (error) {
				const { code } = error as { code?: string };
				if (code === undefined || !excused.has(code)) throw error;
				counts.excused += 1;
				await ask('rollback');
			}
		}
	} catch (error) {
		const { code, message } = error as { code?: string; message: string };
		const gone = /Connection terminated|not queryable|connection was lost/.test(message);
		if (!gone && (code === undefined || !excused.has(code))) throw error;
		counts.excused += 1;
	} finally {
		if (!cut) await client.end().catch(() => undefined);
	}
}

it.each(modes)('$mode gives no wrong answer and loses nothing', { timeout: 120_000 + faultsMs * 2 }, async (row) => {
	const { mode, lastsMs, options } = row;
	gateway = await startTestGateway(database, { poolSize: size, ...options });
	const counts: Counts = { answers: 0, excused: 0, sessions: 0 };
	const endMs = performance.now() + lastsMs;
	let killed = 0;
	const killer = (async () => {
		while (performance.now() < endMs) {
			await sleep(200 + random(500));
			const rows = await database.sql(
				`select pg_terminate_backend(pid) as killed from pg_stat_activity
				where datname = current_database() and pid <> pg_backend_pid() order by random() limit 1`,
			);
			killed += rows.length;
		}
	})();
	const clients = Array.from({ length: clientsMax }, async (_, n) => {
		for (let turn = 0; performance.now() < endMs || counts.answers < answersMin; turn += 1)
			await session(`client ${n}.${turn}`, counts);
	});
	await Promise.all([killer, ...clients]);
	await until(() => {
		const { leased, waiting, connecting } = gateway.pool.stats;
		return leased + waiting + connecting + gateway.listener.stats.sessions + gateway.listener.stats.connecting === 0;
	});
	const rows = await database.sql(
		`select count(*)::int as n, count(*) filter (where state <> 'idle')::int as busy,
			(select count(*)::int from pg_locks where locktype = 'advisory') as locks
		from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`,
	);
	const [{ n = -1, busy = -1, locks = -1 } = {}] = rows as { n?: number; busy?: number; locks?: number }[];
	expect(n).toBeLessThanOrEqual(size);
	expect([busy, locks]).toEqual([0, 0]);
	process.stdout.write(`${JSON.stringify({ mode, ms: lastsMs, killed, ...counts })}\n`);
});
