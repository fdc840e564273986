/**
 * Real Patroni with etcd behind the gateway, with pgbench and writers at work, while the leader moves, crashes and dies: who
 * notices, how long it takes, and that nothing is lost or done twice. Takes minutes: PORTCULLIS_PATRONI=1.
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { SERVICE_PASSWORD, startGateway, type TestGateway } from '../support/gateway.ts';
import { patroniBinaries, type PatroniCluster, type PatroniNode, startPatroni } from '../support/patroni.ts';

const binaries = patroniBinaries();
const wanted = process.env['PORTCULLIS_PATRONI'] === '1';
const modes = ['session', 'transaction'] as const;

const POLICY = `
p, *, bench_*, connect, allow
p, role:writer, bench_*.public.*, select, allow
p, role:writer, bench_*.public.*, insert, allow
p, role:writer, bench_*.public.*, update, allow
`;
const SETUP = `
create role gateway login password 'gateway-password';
create table ledger (writer int, number int);
grant select, insert, update on all tables in schema public to gateway;
`;

let cluster: PatroniCluster;
let gateway: TestGateway;

beforeAll(async () => {
	if (!wanted || binaries === null) return;
	cluster = await startPatroni(binaries, 2);
	const leader = await cluster.leader();
	await cluster.sql(leader, 'postgres', 'create database bench');
	await pgbench(['-i', '-s', '1', '-q'], {
		port: leader.port,
		user: 'postgres',
		password: 'superuser-password',
		database: 'bench',
	});
	await cluster.sql(leader, 'bench', SETUP);
	gateway = await startGateway({
		policies: { 'policy.csv': POLICY },
		configure: (config) => {
			const urls = cluster.nodes.map(({ url }) => url);
			const at = { dbname: 'bench', user: 'gateway', password: { env: 'SHOP_PASSWORD' }, tls: { mode: 'disable' } };
			for (const mode of modes)
				config.databases[`bench_${mode}`] = { ...at, patroni: { urls }, pool: { mode, size: 20 } };
			config['limits'] = { hostCheckMs: 500 };
		},
	});
}, 180_000);
afterAll(async () => {
	await gateway?.stop();
	await cluster?.stop();
}, 60_000);

interface At {
	readonly port: number;
	readonly user: string;
	readonly password: string;
	readonly database: string;
}

function pgbench(args: readonly string[], { port, user, password, database }: At): Promise<string> {
	const all = ['-h', '127.0.0.1', '-p', String(port), '-U', user, ...args, database];
	const child = spawn(join(binaries ?? '', 'pgbench'), all, { env: { PATH: '/usr/bin:/bin', PGPASSWORD: password } });
	let said = '';
	child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
	child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
	return new Promise((resolve, reject) => {
		child.once('error', reject);
		child.once('close', () => resolve(said));
	});
}

async function nextLeader(former: PatroniNode): Promise<PatroniNode> {
	return vi.waitFor(
		async () => {
			const leader = await cluster.leader(1);
			if (leader.name === former.name) throw new Error('it is still the same');
			return leader;
		},
		{ timeout: 90_000, interval: 200 },
	);
}

/** Writes a row about every 50 ms, in a transaction of its own, and connects again when its connection is lost. */
class Writer {
	readonly acknowledged: number[] = [];
	readonly problems: string[] = [];
	/** The longest time between two rows that were acknowledged. */
	pauseMs = 0;
	#number = 0;
	#lastMs = performance.now();
	#stopped = false;
	#running: Promise<void> = Promise.resolve();
	readonly #id: number;
	readonly #database: string;

	constructor(id: number, database: string) {
		this.#id = id;
		this.#database = database;
	}

	start(): void {
		this.#lastMs = performance.now();
		this.#running = this.#run();
	}

	async stop(): Promise<void> {
		this.#stopped = true;
		await this.#running;
	}

	async #run(): Promise<void> {
		let client: pg.Client | null = null;
		while (!this.#stopped) {
			try {
				client ??= await gateway.connect('app', { database: this.#database });
				const number = ++this.#number;
				await client.query(`insert into ledger values (${this.#id}, ${number})`);
				this.acknowledged.push(number);
				this.pauseMs = Math.max(this.pauseMs, performance.now() - this.#lastMs);
				this.#lastMs = performance.now();
				await sleep(50);
			} catch (error) {
				const { code = 'client', message } = error as { code?: string; message: string };
				this.problems.push(`${code} ${message}`);
				await client?.end().catch(() => undefined);
				client = null;
				await sleep(50);
			}
		}
		await client?.end();
	}
}

interface Event {
	readonly name: string;
	readonly happen: (leader: PatroniNode) => Promise<void>;
	/** Afterwards: brings back what was taken away. */
	readonly mend: (former: PatroniNode) => void;
}

const EVENTS: readonly Event[] = [
	{ name: 'switchover', happen: (leader) => cluster.switchover(leader), mend: () => undefined },
	{ name: 'PostgreSQL crashes', happen: (leader) => leader.crash(), mend: () => undefined },
	{ name: 'the machine dies', happen: (leader) => leader.kill(), mend: (former) => former.start() },
];

const rows = modes.flatMap((mode) => EVENTS.map((event) => ({ mode, ...event })));

describe.skipIf(!wanted || binaries === null)('with pgbench at work', () => {
	test.each(rows)(
		'$name, pool mode $mode',
		async ({ mode, name, happen, mend }) => {
			const database = `bench_${mode}`;
			const leader = await cluster.leader();
			await cluster.sql(leader, 'bench', 'truncate ledger');
			const writers = Array.from({ length: 10 }, (_, id) => new Writer(id, database));
			for (const writer of writers) writer.start();
			const load = pgbench(['-c', '5', '-j', '1', '-R', '25', '-T', '45', '-n', '-M', 'prepared'], {
				port: gateway.port,
				user: 'app',
				password: SERVICE_PASSWORD,
				database,
			});
			await sleep(5000);
			await happen(leader);
			const next = await nextLeader(leader);
			const after = writers.map(({ acknowledged }) => acknowledged.length);
			// All of them go on.
			for (const [id, { acknowledged }] of writers.entries())
				await vi.waitFor(() => expect(acknowledged.length).toBeGreaterThan((after[id] ?? 0) + 20), 60_000);
			const said = await load;
			await Promise.all(writers.map((writer) => writer.stop()));
			const counted = await cluster.sql(
				next,
				'bench',
				'select writer, number, count(*)::int as times from ledger group by 1, 2',
			);
			const kept = new Set(counted.map(({ writer, number }) => `${String(writer)} ${String(number)}`));
			const lost = writers.flatMap(({ acknowledged }, id) =>
				acknowledged.filter((number) => !kept.has(`${id} ${number}`)),
			);
			const noticed = writers.filter(({ problems }) => problems.length > 0);
			const pauseMs = Math.max(...writers.map((writer) => writer.pauseMs));
			const aborted = new Set([...said.matchAll(/client (\d+) [^\n]*abort/g)].map(([, client]) => client));
			const done = /number of transactions actually processed: (\d+)/.exec(said)?.[1] ?? '0';
			const why = /(?:ERROR|FATAL): [^\n]*/.exec(said)?.[0].replace(/^/, ' (').concat(')') ?? '';
			const codes = [...new Set(noticed.flatMap(({ problems }) => problems))].join('; ');
			process.stdout.write(
				`${mode}, ${name}: ${noticed.length} of ${writers.length} writers noticed (${codes}), longest pause ${(pauseMs / 1000).toFixed(1)} s, ` +
					`lost ${lost.length}, twice ${counted.filter(({ times }) => times !== 1).length}; pgbench: ${aborted.size} of 5 clients aborted${why}, ${done} transactions\n`,
			);
			expect(lost).toEqual([]);
			expect(counted.filter(({ times }) => times !== 1)).toEqual([]);
			expect(pauseMs).toBeLessThan(60_000);
			mend(leader);
			await cluster.leader();
		},
		240_000,
	);
});
