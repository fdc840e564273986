/** Operators and auditors at a gateway with real worker processes: one dies, all are replaced one by one, their number changes. */
import { appendFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import pg from 'pg';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { listLogs } from '../../src/audit/logs.ts';
import { auditSearch } from '../../src/cli/audit.ts';
import { auditVerify } from '../../src/cli/audit-verify.ts';
import type { CommandIo } from '../../src/cli/io.ts';
import { readExposition } from '../admin/exposition.ts';
import { SERVICE_PASSWORD, startGateway, type TestGateway } from '../support/gateway.ts';
import { otherConfig, patience, type Served, serveProcess } from '../support/serving.ts';

vi.setConfig({ testTimeout: 300_000 });

let world: TestGateway;
let served: Served | null = null;
/** Statements that clients had the results of, over the whole file. */
let statements = 0;

beforeAll(async () => {
	world = await startGateway();
	const rules = 'p, user:app, portcullis, connect, allow\np, user:app, portcullis, alter, allow\n';
	await appendFile(join(world.folder, 'policies', 'policy.csv'), `\n${rules}`);
}, 180_000);
afterAll(async () => {
	await served?.kill();
	await world?.stop();
});

async function serve(workers: number): Promise<Served> {
	const file = await otherConfig(world, 'operators', (config) => {
		config['workers'] = workers;
		config['admin'] = { host: '127.0.0.1', port: 0 };
		// What a test holds back it holds back for as long as it takes.
		config['limits'] = { poolWaitMs: 120_000 };
	});
	const started = await serveProcess(file);
	served = started;
	await started.listening;
	return started;
}

async function stop(): Promise<void> {
	served?.signal('SIGTERM');
	expect(await served?.ended).toBe(0);
}

async function connect(database: string): Promise<pg.Client> {
	const { port = 0 } = served ?? {};
	const client = new pg.Client({ host: '127.0.0.1', port, user: 'app', password: SERVICE_PASSWORD, database });
	client.on('error', () => undefined);
	await client.connect();
	return client;
}

async function withClient<T>(database: string, use: (client: pg.Client) => Promise<T>): Promise<T> {
	const client = await connect(database);
	try {
		return await use(client);
	} finally {
		await client.end();
	}
}

function command(sql: string): Promise<Record<string, unknown>[]> {
	return withClient('portcullis', async (client) => (await client.query(sql)).rows);
}

/** So many statements, each in a session of its own: the sessions are handed out in turn. */
async function work(count: number): Promise<void> {
	for (let n = 0; n < count; n += 1)
		await withClient('shop', async (client) => {
			await client.query(`select ${n} as n, 'operators' as whose`);
			statements += 1;
		});
}

async function metric(series: string): Promise<number | undefined> {
	const page = await (await fetch(`http://127.0.0.1:${served?.adminPort}/metrics`)).text();
	readExposition(page);
	const line = page.split('\n').find((one) => one.startsWith(`${series} `));
	return line === undefined ? undefined : Number(line.slice(series.length + 1));
}

/** A worker that is held up for longer than others wait for it is not in what they say: so it is asked until it is. */
async function counted(want: number): Promise<void> {
	await vi.waitFor(async () => expect(await metric(allowed)).toBe(want), patience);
}

async function shows(sql: string, want: readonly object[]): Promise<void> {
	await vi.waitFor(async () => expect(await command(sql)).toMatchObject(want), patience);
}

const allowed = 'portcullis_statements_total{database="shop",effect="allow"}';

async function found(options: object): Promise<string[]> {
	let out = '';
	const io: CommandIo = {
		out: (text) => {
			out += text;
		},
		err: () => undefined,
		stdin: new PassThrough(),
		env: {},
		color: false,
		columns: 0,
	};
	await auditSearch(io, served?.configFile ?? '', options);
	return out.trimEnd().split('\n').slice(1);
}

async function verified(): Promise<readonly [number, string]> {
	let out = '';
	const io = { out: (text: string) => void (out += text), color: false } as CommandIo;
	return [await auditVerify(io, served?.configFile ?? ''), out];
}

test('whichever worker answers, it answers for both', async () => {
	await serve(2);
	await work(6);
	for (let n = 0; n < 2; n += 1) {
		await counted(6);
		await vi.waitFor(async () => expect(await metric('portcullis_worker_up{worker="2"}')).toBe(1), patience);
		const [one, two] = [served?.workers().get(1), served?.workers().get(2)];
		await shows('SHOW WORKERS', [
			{ worker: 1, pid: one },
			{ worker: 2, pid: two },
		]);
	}
	const clients = await Promise.all([1, 2, 3, 4].map(() => connect('shop')));
	await vi.waitFor(async () => {
		const found = (await command('SHOW CLIENTS')).filter(({ database }) => database === 'shop');
		expect(found).toHaveLength(4);
		expect(new Set(found.map(({ worker }) => worker))).toEqual(new Set([1, 2]));
	}, patience);
	await Promise.all(clients.map((client) => client.end()));
});

test('what was paused stays so, and what was counted stays counted, when a worker is killed', async () => {
	await counted(6);
	await command('PAUSE shop');
	const before = served?.workers().get(2) ?? 0;
	process.kill(before, 'SIGKILL');
	await vi.waitFor(() => expect(served?.workers().get(2)).not.toBe(before), patience);
	await shows('SHOW DATABASES', [{ name: 'shop', paused: 1, pool_size: 20 }]);
	// A client of the one and one of the other: both wait.
	const waiting = Promise.all([work(1), work(1)]);
	await shows('SHOW POOLS', [{ cl_waiting: 2 }]);
	await counted(6);
	await command('RESUME shop');
	await waiting;
	await counted(8);
	await shows('SHOW WORKERS', [{ state: 'active' }, { state: 'active' }]);
});

test('the gateway stays ready, and its counters stay what they are, while workers are replaced one by one', async () => {
	const bad: object[] = [];
	const [had, done] = [statements, served?.since('rolling restart is done')];
	served?.signal('SIGUSR2');
	await vi.waitFor(async () => {
		const response = await fetch(`http://127.0.0.1:${served?.adminPort}/readyz`);
		const { silent, ...said } = (await response.json()) as { readonly silent?: readonly string[] };
		const count = await metric(allowed);
		// One that is leaving cannot tell for the other when that is held up.
		if ((response.status !== 200 && silent === undefined) || count !== had) bad.push({ ...said, silent, count });
		expect(done?.()).toHaveLength(1);
	}, patience);
	expect(bad).toEqual([]);
	await work(4);
	await counted(statements);
});

test('every statement is in one of the logs, which verify, also when there are fewer workers', async () => {
	await stop();
	const folder = join(world.folder, 'audit-operators');
	expect(listLogs(folder).map(({ name }) => name)).toEqual(['worker-1', 'worker-2']);
	const rows = await found({ text: "'operators' as whose" });
	expect(rows).toHaveLength(statements);
	expect(new Set(rows.map((row) => /worker-\d/.exec(row)?.[0]))).toEqual(new Set(['worker-1', 'worker-2']));
	const [status, words] = await verified();
	expect([status, words]).toEqual([0, expect.stringMatching(/ in 2 logs/)]);
	await serve(1);
	await work(2);
	await counted(2);
	expect(await metric('portcullis_workers{state="configured"}')).toBe(1);
	await stop();
	expect(listLogs(folder).map(({ name }) => name)).toEqual(['.', 'worker-1', 'worker-2']);
	expect(await found({ text: "'operators' as whose" })).toHaveLength(statements);
	expect(await verified()).toEqual([0, expect.stringMatching(/ in 3 logs/)]);
});
