/** What operators and auditors see of a gateway with two workers: whole gateways in one process, joined by a bus, with one folder of logs. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type pg from 'pg';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { auditReport, auditSearch } from '../../src/cli/audit.ts';
import { auditVerify } from '../../src/cli/audit-verify.ts';
import type { CommandIo } from '../../src/cli/io.ts';
import { readExposition } from '../admin/exposition.ts';
import { readAudit, startGateway, type TestGateway } from '../support/gateway.ts';
import { joinedBuses } from '../support/workers.ts';

const CONSOLE = { database: 'portcullis' };
const patience = { timeout: 60_000, interval: 20 };

const gateways: TestGateway[] = [];
let logs: string;
beforeAll(async () => {
	const policy = await readFile(fileURLToPath(new URL('../../policies/policy.csv', import.meta.url)), 'utf8');
	const { buses } = joinedBuses(2);
	const policies = {
		'policy.csv': `${policy}\np, user:ana, portcullis, connect, allow\np, user:ana, portcullis, alter, allow\n`,
	};
	for (const bus of buses) {
		const gateway = await startGateway({
			bus,
			policies,
			configure: (config) => {
				config['workers'] = 2;
				config['admin'] = { host: '127.0.0.1', port: 0 };
				// What a test holds back it holds back for as long as it takes.
				config['limits'] = { poolWaitMs: 120_000 };
				// That of the first is where all of them are.
				config['audit'] = { path: gateways[0] === undefined ? './audit' : join(gateways[0].folder, 'audit') };
			},
		});
		gateways.push(gateway);
	}
	logs = join(gateways[0]?.folder ?? '', 'audit');
}, 120_000);
afterAll(async () => {
	// The folder with the logs goes last.
	for (const gateway of gateways.toReversed()) await gateway.stop();
});

function at(worker: number): TestGateway {
	const gateway = gateways[worker - 1];
	if (gateway === undefined) throw new Error(`no worker ${worker}`);
	return gateway;
}

async function withClient<T>(client: Promise<pg.Client>, use: (client: pg.Client) => Promise<T>): Promise<T> {
	const open = await client;
	try {
		return await use(open);
	} finally {
		await open.end();
	}
}

/** A command on the console of that worker; its rows. */
function command(worker: number, sql: string): Promise<Record<string, unknown>[]> {
	return withClient(at(worker).connect('ana', CONSOLE), async (client) => (await client.query(sql)).rows);
}

async function metrics(worker: number): Promise<(series: string) => number | undefined> {
	const response = await fetch(`http://127.0.0.1:${at(worker).gateway.adminPort}/metrics`);
	const page = await response.text();
	readExposition(page);
	return (series) => {
		const line = page.split('\n').find((one) => one.startsWith(`${series} `));
		return line === undefined ? undefined : Number(line.slice(series.length + 1));
	};
}

function capture(): { io: CommandIo; out: () => string } {
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
	return { io, out: () => out };
}

test('metrics and readiness are of both, whichever is asked', async () => {
	const series = 'portcullis_statements_total{database="shop",effect="mask"}';
	const before = (await metrics(1))(series) ?? 0;
	for (const worker of [1, 2])
		await withClient(at(worker).connect('app'), async (client) => client.query('select id from sales.orders limit 1'));
	for (const worker of [1, 2]) {
		const found = await metrics(worker);
		expect(found(series)).toBe(before + 2);
		expect(found('portcullis_workers{state="alive"}')).toBe(2);
		expect(found('process_start_time_seconds{worker="2"}')).toBeGreaterThan(0);
		const ready = await fetch(`http://127.0.0.1:${at(worker).gateway.adminPort}/readyz`);
		expect([ready.status, await ready.json()]).toMatchObject([200, { status: 'ready' }]);
	}
});

test('SHOW is of both, with the worker of each session', async () => {
	await withClient(at(1).connect('app'), (one) =>
		withClient(at(2).connect('app'), async (two) => {
			await Promise.all([one.query('select 1'), two.query('select 1')]);
			for (const worker of [1, 2]) {
				const clients = await command(worker, 'SHOW CLIENTS');
				const apps = clients.filter(({ database }) => database === 'shop').map((row) => row['worker']);
				expect([apps.length, new Set(apps)]).toEqual([2, new Set([1, 2])]);
				expect(await command(worker, 'SHOW DATABASES')).toMatchObject([
					{ name: 'shop', current_client_connections: 2 },
				]);
				expect(await command(worker, 'SHOW WORKERS')).toMatchObject([
					{ worker: 1, state: 'active' },
					{ worker: 2, state: 'active' },
				]);
			}
		}),
	);
});

test('PAUSE holds back the clients of both, until either is told RESUME', async () => {
	await command(1, 'PAUSE shop');
	let done = false;
	const waiting = at(2)
		.connect('app')
		.then(async (client) => {
			const { rows } = await client.query('select 7 as seven');
			done = true;
			await client.end();
			return rows;
		});
	await vi.waitFor(async () => {
		expect(await command(2, 'SHOW POOLS')).toMatchObject([{ database: 'shop', cl_waiting: 1 }]);
	}, patience);
	expect(done).toBe(false);
	await command(2, 'RESUME shop');
	expect(await waiting).toEqual([{ seven: 7 }]);
	expect(await command(1, 'SHOW DATABASES')).toMatchObject([{ paused: 0 }]);
});

test('KILL_CLIENT finds the session; the command is recorded where it was given, its effect where it took place', async () => {
	const victim = await at(2).connect('app');
	const ended = new Promise((resolve) => {
		victim.once('end', () => resolve(null));
	});
	const [row] = (await command(1, 'SHOW CLIENTS')).filter(({ database }) => database === 'shop');
	expect(row).toMatchObject({ worker: 2 });
	await command(1, `KILL_CLIENT '${String(row?.['id'])}'`);
	await ended;
	type Line = { metadata: { event_code: string }; query_info?: { query_string: string }; status_detail?: string };
	const has = async (log: string, found: (line: Line) => boolean): Promise<number> =>
		((await readAudit(join(logs, log))) as unknown as Line[]).filter(found).length;
	const commands = (line: Line): boolean => line.query_info?.query_string.startsWith('KILL_CLIENT') === true;
	const logouts = ({ metadata, status_detail }: Line): boolean =>
		metadata.event_code === 'logout' && status_detail === 'killed';
	await vi.waitFor(async () => expect(await has('worker-2', logouts)).toBe(1), patience);
	expect([await has('worker-1', commands), await has('worker-2', commands)]).toEqual([1, 0]);
	expect(await has('worker-1', logouts)).toBe(0);
});

test('RELOAD is done by both', async () => {
	const notices: string[] = [];
	await withClient(at(2).connect('ana', CONSOLE), async (client) => {
		client.on('notice', ({ message }) => notices.push(String(message)));
		await client.query('RELOAD');
	});
	expect(notices).toEqual([expect.stringMatching(/^policy \w+ is unchanged$/)]);
	for (const { log } of gateways)
		expect(log.filter(({ message }) => message === 'policy is unchanged')).toHaveLength(1);
});

test('the logs of both verify, and are searched and reported on as one', async () => {
	const path = at(1).configFile;
	const verified = capture();
	expect([await auditVerify(verified.io, path), verified.out()]).toEqual([0, expect.stringMatching(/ in 2 logs/)]);
	const found = capture();
	await auditSearch(found.io, path, { user: 'app', text: 'select id from sales.orders' });
	expect(found.out()).toMatch(/ worker-1\/\d+ /);
	expect(found.out()).toMatch(/ worker-2\/\d+ /);
	const report = capture();
	await auditReport(report.io, logs, {});
	expect(report.out()).toMatch(/, from 2 logs/);
});
