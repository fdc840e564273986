/** A primary with real standbys behind the gateway: reading from a standby, cancelling there, and a promotion while clients are at work. */
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { GATEWAY_ROLE, shopRolesSql, shopSql } from '../../src/cli/demo/shop.ts';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { catalogOf } from '../../src/cli/backends.ts';
import { loadConfig } from '../../src/config/load.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { type Replicas, startReplicas } from '../support/replicas.ts';
import { eventually } from '../support/time.ts';

let replicas: Replicas;
let gateway: TestGateway;

const LEDGER = `create table public.ledger (id int primary key); grant select, insert on public.ledger to ${GATEWAY_ROLE}`;

/** The same rules for every name that begins with shop, and a table that the service may write. */
async function policy(): Promise<string> {
	const text = await readFile(fileURLToPath(new URL('../../policies/policy.csv', import.meta.url)), 'utf8');
	const rules = text.replace(/(, +)shop(?=[.,])/g, '$1shop*');
	const more = ['select', 'insert'].map((action) => `p, role:writer, shop*.public.ledger, ${action}, allow`);
	const console = ['p, *, portcullis, connect, allow'];
	return [rules, ...more, ...console, ''].join('\n');
}

beforeAll(async () => {
	replicas = await startReplicas(1, async (sql) => {
		await sql('postgres', shopRolesSql('gateway-password'));
		await sql('postgres', 'create database shop');
		await sql('shop', `${shopSql()}; ${LEDGER}`);
	});
	const { primary, standbys } = replicas;
	const host = ['127.0.0.1', ...standbys.map((standby) => standby.host)];
	const port = [primary.port, ...standbys.map((standby) => standby.port)];
	gateway = await startGateway({
		policies: { 'policy.csv': await policy() },
		configure: (config) => {
			const { databases } = config;
			const at = { user: GATEWAY_ROLE, password: { env: 'SHOP_PASSWORD' }, dbname: 'shop', host, port };
			databases['shop'] = at;
			databases['shop_tx'] = { ...at, pool: { mode: 'transaction', size: 3 } };
			databases['shop_ro'] = { ...at, targetSessionAttrs: 'prefer-standby', lagMaxMs: 10_000 };
			config['limits'] = { hostCheckMs: 100 };
		},
	});
});
afterAll(async () => {
	await gateway?.stop();
	await replicas?.stop();
});

/** What pg's own cancelling is made of; its types do not have it. */
interface CancelConnection {
	connect(port: number, host: string): void;
	once(event: 'connect', then: () => void): void;
	cancel(pid: number, key: number): void;
}

async function portOf(client: pg.Client): Promise<number> {
	const { rows } = await client.query<{ port: number }>('select pg_catalog.inet_server_port() as port');
	return rows[0]?.port ?? 0;
}

/** What the console says. */
async function shown(what: string): Promise<Record<string, unknown>[]> {
	const client = await gateway.connect('ana', { database: 'portcullis' });
	try {
		return (await client.query<Record<string, unknown>>(`show ${what}`)).rows;
	} finally {
		await client.end();
	}
}

describe('a standby', () => {
	test('is where the read-only name leads, under the same policy', async () => {
		const client = await gateway.connect('ben', { database: 'shop_ro' });
		try {
			const { rows } = await client.query('select id, ssn from hr.employees order by id limit 1');
			expect(rows).toEqual([{ id: 1, ssn: 'XXX-XX-7907' }]);
			expect((await client.query('show transaction_read_only')).rows).toEqual([{ transaction_read_only: 'on' }]);
			await expect(client.query('select photo from hr.employees')).rejects.toMatchObject({ code: '42703' });
		} finally {
			await client.end();
		}
		const writer = await gateway.connect('app', { database: 'shop_ro' });
		await expect(writer.query('insert into public.ledger values (0)')).rejects.toMatchObject({ code: '25006' });
		await writer.end();
	});

	test('is where a cancel request goes for a session there', async () => {
		const client = await gateway.connect('ben', { database: 'shop_ro' });
		const other = new pg.Client({ ...(await gateway.credentials('ben')), database: 'shop_ro' });
		const long = client.query(
			'select count(*) from hr.employees a, hr.employees b, hr.employees c, hr.employees d, hr.employees e',
		);
		const refused = expect(long).rejects.toMatchObject({ code: '57014' });
		await eventually(async () => {
			const active = await replicas.standbys[0]?.sql(
				'shop',
				`select from pg_stat_activity where query like '%employees%' and state = 'active' and pid <> pg_backend_pid()`,
			);
			expect(active).toHaveLength(1);
		});
		const { processID, secretKey } = client as unknown as { processID: number; secretKey: number };
		const { connection } = other as unknown as { connection: CancelConnection };
		connection.connect(gateway.port, gateway.host);
		connection.once('connect', () => connection.cancel(processID, secretKey));
		await refused;
		await client.end();
	});

	test('is what commands ask that run without the gateway', async () => {
		const secrets = { SHOP_PASSWORD: 'gateway-password' };
		const config = await loadConfig(gateway.configFile, secrets);
		const database = config.databases.find(({ name }) => name === 'shop_ro');
		if (database === undefined) throw new Error('no database');
		const catalog = catalogOf(database, config);
		await catalog.start();
		expect([...catalog.snapshot().relations()].length).toBeGreaterThan(5);
		await catalog.close();
	});

	test('shows with its lag in SHOW HOSTS', async () => {
		const [primary, standby] = (await shown('hosts')).filter(({ database }) => database === 'shop_ro');
		expect(primary).toMatchObject({
			host: '127.0.0.1',
			port: replicas.primary.port,
			state: 'primary',
			used: 1,
			lag_ms: null,
		});
		expect(standby).toMatchObject({ port: replicas.standbys[0]?.port, state: 'standby', used: 1, reason: '' });
		expect(Number(standby?.['lag_ms'])).toBeLessThan(10_000);
	});
});

test('when the primary goes, who is in a transaction hears of it at once, and everybody else waits for the next one', async () => {
	const [standby] = replicas.standbys;
	if (standby === undefined) throw new Error('no standby');
	const writing = await gateway.connect('app');
	expect(await portOf(writing)).toBe(replicas.primary.port);
	await writing.query('insert into public.ledger values (1)');
	await eventually(async () => expect(await standby.sql('shop', 'select * from ledger')).toHaveLength(1));
	await writing.query('begin');
	await writing.query('insert into public.ledger values (2)');
	// Between two transactions, on connections that it shares with others, with a setting of its own.
	const pooled = await gateway.connect('app', { database: 'shop_tx' });
	await pooled.query("set application_name = 'waits'");
	const statement = { name: 'one', text: 'insert into public.ledger values ($1)' };
	await pooled.query({ ...statement, values: [10] });
	await eventually(async () => expect(await standby.sql('shop', 'select * from ledger')).toHaveLength(2));

	await replicas.crash();
	await expect(writing.query('commit')).rejects.toMatchObject({});
	// These ask while there is no primary.
	const late = [1, 2, 3].map(() => gateway.connect('app'));
	await eventually(async () =>
		expect(await shown('hosts')).toContainEqual(expect.objectContaining({ database: 'shop', state: 'down' })),
	);
	const patient = pooled.query({ ...statement, values: [11] });
	await eventually(async () => {
		const waiting = (await shown('pools')).find(({ database }) => database === 'shop_tx');
		expect(waiting).toMatchObject({ cl_waiting: 1 });
	});
	// Who comes now is to come in and wait.
	expect((await shown('readiness')).filter(({ ok }) => ok !== 1)).toEqual([]);
	await gateway.gateway.reload();
	await standby.promote();
	await patient;
	expect((await pooled.query('show application_name')).rows).toEqual([{ application_name: 'waits' }]);
	expect(await portOf(pooled)).toBe(standby.port);
	await pooled.end();

	const clients = await Promise.all(late);
	for (const client of clients) expect(await portOf(client)).toBe(standby.port);
	const [first] = clients;
	await first?.query('insert into public.ledger values (3)');
	// What was not committed is not there, what was is, and nothing is there twice.
	expect(await standby.sql('shop', 'select id from ledger order by id')).toEqual([1, 3, 10, 11].map((id) => ({ id })));
	await Promise.all(clients.map((client) => client.end()));

	const hosts = (await shown('hosts')).filter(({ database }) => database === 'shop');
	expect(hosts).toMatchObject([
		{ state: 'down', used: 0 },
		{ port: standby.port, state: 'primary', used: 1, timeline: 2 },
	]);
	const said = gateway.log.filter(({ message }) => message === 'another host is the primary now');
	expect(said.map(({ fields }) => fields)).toContainEqual(
		expect.objectContaining({ database: 'shop', host: `127.0.0.1:${standby.port}` }),
	);
	// The read-only name falls back to the one host that is left.
	const reader = await gateway.connect('ben', { database: 'shop_ro' });
	expect((await reader.query('select id from hr.employees order by id limit 1')).rows).toEqual([{ id: 1 }]);
	await reader.end();
});

test('a gateway that stops while clients wait for a host tells them so', async () => {
	const [standby] = replicas.standbys;
	await standby?.stop();
	await eventually(async () => {
		const hosts = (await shown('hosts')).filter(({ database }) => database === 'shop');
		expect(hosts.map(({ state }) => state)).toEqual(['down', 'down']);
	});
	const refused = expect(gateway.connect('app')).rejects.toMatchObject({ code: '57P01' });
	await eventually(async () => {
		const waiting = (await shown('pools')).find(({ database }) => database === 'shop');
		expect(waiting).toMatchObject({ cl_waiting: 1 });
	});
	await gateway.gateway.close(0);
	await refused;
});
