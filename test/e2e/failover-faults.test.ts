/**
 * Faults at random across failovers: two servers that take turns, a network that is cut, processes that are killed, operators that
 * pause and kill, clients that leave in the middle, while everybody checks every answer. What was told to be committed is there,
 * nothing is there twice, nobody gets the answer of another, nothing hangs, and at the end every counter is back at rest.
 * Longer: PORTCULLIS_FAULTS_MS=600000. The same again: PORTCULLIS_FAULTS_SEED, which each run prints.
 */
import { readFile, writeFile } from 'node:fs/promises';
import pg from 'pg';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { parse, stringify } from 'yaml';
import { GATEWAY_ROLE, shopRolesSql, shopSql } from '../../src/cli/demo/shop.ts';
import { Cable } from '../support/cable.ts';
import { SERVICE_PASSWORD, startGateway, type TestConfig, type TestGateway } from '../support/gateway.ts';
import { Rotation } from '../support/rotation.ts';
import { type ClientsOptions, type Counts, work } from './faults/clients.ts';
import { Ledger } from './faults/ledger.ts';
import { Seeded } from './faults/seeded.ts';
import { Storm } from './faults/storm.ts';

const lastsMs = Number(process.env['PORTCULLIS_FAULTS_MS'] ?? 4_000);
const seed = Number(process.env['PORTCULLIS_FAULTS_SEED'] ?? Date.now() % 1_000_000);

/** It goes on without faults until there were so many, however slow the machine is. */
const answersMin = 200;

const SETUP = `
create table public.ledger (op text, who text);
create index on public.ledger (op);
create table public.counters (id int primary key, n int not null default 0);
insert into public.counters select g from generate_series(0, 19) g;
grant select, insert, update on public.ledger, public.counters to ${GATEWAY_ROLE};
`;

const names = ['shop', 'shop_tx', 'shop_ro'] as const;
const functions = ['pg_sleep(double precision)', 'pg_advisory_lock(bigint)', 'pg_advisory_unlock(bigint)'];
const rules = [
	...names.flatMap((name) => [
		...['connect', 'temp', 'set'].map((action) => `p, *, ${name}, ${action}, allow`),
		...functions.map((signature) => `p, *, ${name}.pg_catalog.${signature.replace(/\(.*/, '(*)')}, execute, allow`),
		...['select', 'insert', 'update', 'copy'].map((action) => `p, *, ${name}.public.*, ${action}, allow`),
	]),
	...['connect', 'alter'].map((action) => `p, *, portcullis, ${action}, allow`),
	'',
];

let rotation: Rotation;
let cables: readonly [Cable, Cable];
let gateway: TestGateway;

beforeAll(async () => {
	rotation = await Rotation.start(async (sql) => {
		await sql('postgres', shopRolesSql('gateway-password'));
		await sql('postgres', 'create database shop');
		await sql('shop', `${shopSql()}; ${SETUP}`);
	});
	const lay = (port: number): Promise<Cable> => Cable.lay({ host: '127.0.0.1', port });
	cables = [await lay(rotation.ports[0]), await lay(rotation.ports[1])];
	gateway = await startGateway({
		policies: { 'policy.csv': rules.join('\n'), 'masks.yaml': '{}' },
		configure: (config) => {
			const host = ['127.0.0.1', '127.0.0.1'];
			const port = cables.map((cable) => cable.port);
			const at = { user: GATEWAY_ROLE, password: { env: 'SHOP_PASSWORD' }, dbname: 'shop', host, port };
			config.databases = {
				shop: { ...at, pool: { size: 6 } },
				shop_tx: { ...at, pool: { mode: 'transaction', size: 4, checkAfterMs: 200, reserve: 1, reserveAfterMs: 300 } },
				shop_ro: { ...at, targetSessionAttrs: 'prefer-standby', pool: { mode: 'transaction', size: 3 } },
			};
			const times = { hostCheckMs: 100, hostTimeoutMs: 1_000, connectTimeoutMs: 3_000, backendLifetimeMs: 5_000 };
			const waits = {
				poolWaitMs: 3_000,
				failoverWaitMs: 20_000,
				queryTimeoutMs: 4_000,
				idleTransactionTimeoutMs: 5_000,
			};
			config['limits'] = { ...times, ...waits, lingerMs: 2_000 };
		},
	});
});

afterAll(async () => {
	await gateway?.stop();
	await Promise.all(cables?.map((cable) => cable.close()) ?? []);
	await rotation?.stop();
});

const console = async (command: string): Promise<Record<string, unknown>[]> => {
	const client = await gateway.connect('app', { database: 'portcullis' });
	try {
		return (await client.query<Record<string, unknown>>(command)).rows;
	} finally {
		await client.end();
	}
};

let changing: Promise<unknown> = Promise.resolve();

/** One change of the file after the other. */
function change(edit: (databases: TestConfig['databases']) => void): Promise<void> {
	const mine = changing.then(async () => {
		const config = parse(await readFile(gateway.configFile, 'utf8')) as TestConfig;
		edit(config.databases);
		await writeFile(gateway.configFile, stringify(config));
		await gateway.gateway.reload();
	});
	changing = mine.catch(() => undefined);
	return mine;
}

const resize = (size: number): Promise<void> =>
	change((databases) => {
		for (const name of ['shop', 'shop_tx']) Object.assign(databases[name]?.['pool'] as object, { size });
	});

/** It is as good as another place: the sessions that there are go there, or have to go. */
const replace = (): Promise<void> =>
	change(({ shop_tx: pooled }) => {
		Object.assign(pooled as object, { lagMaxMs: Number(pooled?.['lagMaxMs'] ?? 10_000) + 1 });
	});

let removed: Record<string, unknown> | undefined;

const remove = (back: boolean): Promise<void> =>
	change((databases) => {
		removed ??= databases['shop_ro'];
		if (back && removed !== undefined) databases['shop_ro'] = removed;
		else delete databases['shop_ro'];
	});

/** Clients that all ask at once, and do not mind how that ends. */
async function crowd(): Promise<void> {
	const { host, port } = gateway;
	const login = { host, port, user: 'app', password: SERVICE_PASSWORD, database: 'shop_tx' };
	const one = async (): Promise<void> => {
		const client = new pg.Client(login);
		client.on('error', () => undefined);
		try {
			await client.connect();
			await client.query('select pg_sleep(0.2)');
		} catch {
			// Too many, or hit by something else.
		} finally {
			await client.end().catch(() => undefined);
		}
	};
	await Promise.all(Array.from({ length: 30 }, one));
}

/** Everything that counts something which should be over by now: what is not zero. */
async function unrest(): Promise<string[]> {
	const left: string[] = [];
	for (const row of await console('show pools'))
		for (const key of ['cl_active', 'cl_waiting', 'sv_active', 'sv_login', 'maxwait', 'sv_pinned'])
			if (row[key] !== 0) left.push(`${String(row['database'])}.${key} = ${String(row[key])}`);
	for (const row of await console('show databases'))
		for (const key of ['current_client_connections', 'paused', 'disabled'])
			if (row[key] !== 0) left.push(`${String(row['name'])}.${key} = ${String(row[key])}`);
	const clients = (await console('show clients')).filter(({ database }) => database !== 'portcullis');
	left.push(...clients.map((client) => `a session is there: ${JSON.stringify(client)}`));
	const backends = await rotation.sql(
		'shop',
		`select state, query, (select count(*)::int from pg_locks l where l.pid = a.pid and locktype = 'advisory') as locks
		from pg_stat_activity a where usename = '${GATEWAY_ROLE}' and backend_type = 'client backend'`,
	);
	for (const { state, query, locks } of backends)
		if (state !== 'idle' || locks !== 0)
			left.push(`a backend is ${String(state)} with ${String(locks)} locks: ${String(query)}`);
	return left;
}

async function found(): Promise<{ rows: ReadonlyMap<string, number>; counters: number }> {
	const rows = await rotation.sql('shop', 'select op, count(*)::int as n from public.ledger group by op');
	const [sum] = await rotation.sql('shop', 'select sum(n)::int as n from public.counters');
	return { rows: new Map(rows.map(({ op, n }) => [String(op), Number(n)])), counters: Number(sum?.['n']) };
}

test('no wrong answer, nothing lost, nothing twice, nothing left behind', {
	timeout: 600_000 + lastsMs * 2,
}, async () => {
	process.stdout.write(`PORTCULLIS_FAULTS_SEED=${seed} PORTCULLIS_FAULTS_MS=${lastsMs}\n`);
	const random = new Seeded(seed);
	const ledger = new Ledger();
	const counts: Counts = { sessions: 0, answers: 0, left: 0, cancels: 0, excused: {} };
	const { host, port } = gateway;
	const login = { host, port, user: 'app', password: SERVICE_PASSWORD };
	const options: ClientsOptions = { ...login, ledger, counts, patienceMs: 120_000 };
	const byHand = { console, resize, replace, remove, crowd };
	const storm = new Storm({ rotation, cables, random: random.fork(), role: GATEWAY_ROLE, ...byHand });
	const begunMs = performance.now();
	let raging = true;
	const failures: Error[] = [];
	const goesOn = (): boolean => failures.length === 0 && (raging || counts.answers < answersMin);
	const fails = (error: unknown): void => {
		failures.push(error instanceof Error ? error : new Error(String(error)));
	};
	const clients = names.flatMap((name) =>
		Array.from({ length: name === 'shop_ro' ? 2 : 8 }, (_, n) =>
			work(`${name}${n}`, name, random.fork(), options, goesOn).catch(fails),
		),
	);
	const endMs = begunMs + lastsMs;
	const turnEveryMs = Math.max(4_000, Math.min(20_000, lastsMs / 3));
	await Promise.all([storm.rage(endMs, turnEveryMs).catch(fails), storm.harass(endMs).catch(fails)]);
	raging = false;
	await Promise.all(clients);
	const [failure] = failures;
	if (failure !== undefined) throw failure;
	await vi.waitFor(async () => expect(await unrest()).toEqual([]), { timeout: 120_000, interval: 200 });
	const { rows, counters } = await found();
	const { wrong, ...result } = ledger.check(rows, counters);
	expect(wrong, storm.diary.join('\n')).toEqual([]);
	const { excused, ...numbers } = counts;
	const seconds = Math.round((performance.now() - begunMs) / 1000);
	process.stdout.write(
		`${JSON.stringify({ seed, seconds, ...numbers, ...result, failovers: rotation.turns, faults: storm.counts, excused })}\n`,
	);
});
