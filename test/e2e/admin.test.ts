/** The admin port and the end of a whole gateway: health, metrics that move, and an orderly drain. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import pg from 'pg';
import { afterEach, expect, test } from 'vitest';
import { readExposition } from '../admin/exposition.ts';
import {
	SERVICE_PASSWORD,
	startGateway,
	type TestConfig,
	type TestGateway,
	type TestGatewayOptions,
} from '../support/gateway.ts';
import { compiledProgram } from '../support/program.ts';

let gateway: TestGateway | undefined;
afterEach(async () => {
	await gateway?.stop();
	gateway = undefined;
});

async function start(limits: Record<string, unknown> = {}, options: TestGatewayOptions = {}): Promise<TestGateway> {
	gateway = await startGateway({
		...options,
		configure: (config) => {
			config['admin'] = { port: 0 };
			config['limits'] = limits;
			options.configure?.(config);
		},
	});
	return gateway;
}

function ask(path: string, at: TestGateway = gateway as TestGateway): Promise<Response> {
	return fetch(`http://127.0.0.1:${at.gateway.adminPort}${path}`);
}

/** Value of one series. */
async function metric(series: string): Promise<number | undefined> {
	const page = await (await ask('/metrics')).text();
	const families = readExposition(page);
	const [, name = '', labels = ''] = /^([a-z_]+)(?:\{(.*)\})?$/.exec(series) ?? [];
	const wanted = Object.fromEntries([...labels.matchAll(/(\w+)="([^"]*)"/g)].map(([, key, value]) => [key, value]));
	const family = families.get(name.replace(/_(count|sum|bucket)$/, '')) ?? families.get(name);
	const found = family?.samples.find(
		(sample) => sample.name === name && Object.entries(wanted).every(([key, value]) => sample.labels[key] === value),
	);
	return found?.value;
}

async function code(act: Promise<unknown>): Promise<unknown> {
	return act.then(
		() => 'ok',
		(error: { code?: unknown }) => error.code,
	);
}

test('without the key there is no admin port', async () => {
	gateway = await startGateway();
	expect(gateway.gateway.adminPort).toBeNull();
});

test('metrics follow what clients do', async () => {
	const parts = await start();
	const connect: TestGateway['connect'] = (...all) => parts.connect(...all);
	const ben = await connect('ben');
	await ben.query('select id, ssn from hr.employees where id < 5');
	await ben.query('select 1');
	await ben.query('select 1');
	expect(await code(ben.query('select * from hr.secrets'))).toBe('42501');
	expect(await code(ben.query('select 1/0'))).toBe('22012');
	expect(await code(connect('ben', { password: 'wrong' }))).toBe('28P01');
	expect(await code(connect('ben', { database: 'nowhere' }))).toBe('3D000');
	const want: Readonly<Record<string, number>> = {
		'portcullis_sessions{database="shop",state="idle"}': 1,
		'portcullis_statements_total{database="shop",effect="allow"}': 3,
		'portcullis_statements_total{database="shop",effect="mask"}': 1,
		'portcullis_statements_total{database="shop",effect="deny"}': 1,
		'portcullis_statement_outcomes_total{database="shop",status="success"}': 3,
		'portcullis_statement_outcomes_total{database="shop",status="failure"}': 1,
		'portcullis_statement_duration_seconds_count{database="shop"}': 4,
		'portcullis_logins_total{method="token",result="success"}': 1,
		'portcullis_logins_total{method="token",result="refused"}': 1,
		'portcullis_logins_total{method="token",result="denied"}': 1,
		'portcullis_decisions_total{result="hit"}': 1,
		'portcullis_pool_connections{database="shop",state="leased"}': 1,
		'portcullis_leases_total{database="shop",result="granted"}': 1,
		'portcullis_catalog_current{database="shop"}': 1,
		portcullis_audit_healthy: 1,
		portcullis_ready: 1,
		'portcullis_guard_breaches_total{database="shop"}': 0,
	};
	for (const [series, value] of Object.entries(want)) expect([series, await metric(series)]).toEqual([series, value]);
	const sent = async (): Promise<number> =>
		(await metric('portcullis_client_bytes_total{database="shop",direction="sent"}')) ?? 0;
	const before = await sent();
	expect(before).toBeGreaterThan(500);
	await ben.end();
	await expect.poll(() => metric('portcullis_sessions{database="shop",state="idle"}')).toBe(0);
	expect(await metric('portcullis_sessions_ended_total{database="shop",reason="terminate"}')).toBe(1);
	// What a session has sent is still counted when it is gone.
	expect(await sent()).toBeGreaterThanOrEqual(before);
});

test('it is not ready while the database cannot be asked, and says so', async () => {
	await start(
		{ connectTimeoutMs: 500 },
		{
			configure: (config: TestConfig) => {
				config.databases['away'] = { host: '127.0.0.1', port: 1, user: 'nobody' };
			},
		},
	);
	const response = await ask('/readyz');
	expect(response.status).toBe(503);
	expect(await response.json()).toMatchObject({
		checks: {
			draining: 'ok',
			'catalogue shop': 'ok',
			'catalogue away': expect.stringMatching(/unknown: .*connect/i) as string,
		},
	});
	expect((await ask('/readyz?database=shop')).status).toBe(200);
	expect((await ask('/healthz')).status).toBe(200);
});

test('a drain: readiness goes first, then no more clients, then idle ones go, and a transaction may finish', async () => {
	const parts = await start({ drainNoticeMs: 2_000, drainTimeoutMs: 120_000 });
	const { gateway: running } = parts;
	const connect: TestGateway['connect'] = (...all) => parts.connect(...all);
	const [idle, busy] = [await connect('ben'), await connect('app')];
	const idleEnds = once(idle, 'error');
	const busyEnds = once(busy, 'error');
	await busy.query('begin');
	const closed = running.close();
	const { status, checks } = (await (await ask('/readyz')).json()) as { status: string; checks: object };
	expect([status, checks]).toEqual([
		'not ready',
		expect.objectContaining({ draining: 'the gateway is about to stop' }),
	]);
	// Until balancers have noticed, clients that still come are served.
	const late = await connect('ben');
	expect((await late.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
	const [error] = (await idleEnds) as [pg.DatabaseError];
	expect(error.code).toBe('57P01');
	expect(await code(connect('ben'))).not.toBe('ok');
	expect((await ask('/readyz')).status).toBe(503);
	expect((await busy.query('select count(*)::int as orders from sales.orders')).rowCount).toBe(1);
	await busy.query('commit');
	const [end] = (await busyEnds) as [pg.DatabaseError];
	expect(end.code).toBe('57P01');
	await closed;
	await expect(ask('/healthz')).rejects.toThrow();
});

test('a transaction that does not finish in time is cut off', async () => {
	const parts = await start({ drainTimeoutMs: 200 });
	const { gateway: running } = parts;
	const connect: TestGateway['connect'] = (...all) => parts.connect(...all);
	const busy = await connect('app');
	const ends = once(busy, 'error');
	await busy.query('begin');
	await running.close();
	const [end] = (await ends) as [pg.DatabaseError];
	expect(end.code).toBe('57P01');
});

test('SIGTERM does all that to the real program, which ends with status 0', async () => {
	const parts = await start();
	// The same configuration for another process: the one of this test goes first, the audit log has one writer.
	await parts.gateway.close(0);
	await rm(`${parts.folder}/audit`, { recursive: true });
	const [node, main] = await compiledProgram();
	const program = spawn(node, [main, 'serve', '--config', parts.configFile], {
		env: { ...process.env, SHOP_PASSWORD: 'gateway-password' },
		stdio: ['ignore', 'pipe', 'pipe'],
	});
	try {
		let out = '';
		let log = '';
		program.stdout.on('data', (chunk) => {
			out += String(chunk);
		});
		program.stderr.on('data', (chunk) => {
			log += String(chunk);
		});
		const pattern = /listens on 127\.0\.0\.1:(\d+) for shop\nhealth and metrics on (http:\S+)\n/;
		await expect.poll(() => out).toMatch(pattern);
		const [, port, admin] = pattern.exec(out) ?? [];
		const options = {
			host: '127.0.0.1',
			port: Number(port),
			user: 'app',
			password: SERVICE_PASSWORD,
			database: 'shop',
		};
		const client = new pg.Client(options);
		client.on('error', () => undefined);
		const ends = once(client, 'error');
		await client.connect();
		await client.query('begin');
		const exit = once(program, 'exit');
		program.kill('SIGTERM');
		await expect.poll(async () => (await fetch(`${admin}/readyz`)).status).toBe(503);
		expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
		await client.query('commit');
		await ends;
		expect(await exit).toEqual([0, null]);
		expect(log).toMatch(/"signal":"SIGTERM".*draining/);
		expect(log).toMatch(/"stopped"/);
	} finally {
		program.kill('SIGKILL');
	}
}, 120_000);
