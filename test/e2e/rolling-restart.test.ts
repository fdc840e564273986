/** Two gateways behind a TCP balancer are restarted one after the other while clients are at work: nobody's transaction is broken. */
import { EventEmitter } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { parse, stringify } from 'yaml';
import { serve } from '../../src/cli/serve.ts';
import { GATEWAY_ROLE } from '../../src/cli/demo/shop.ts';
import { Balancer } from '../support/balancer.ts';
import { SERVICE_PASSWORD, startGateway, type TestConfig, type TestGateway } from '../support/gateway.ts';

const patience = { timeout: 60_000, interval: 20 };

const rules = [
	...['shop', 'shop_tx'].flatMap((name) => [
		`p, *, ${name}, connect, allow`,
		...['select', 'insert'].map((action) => `p, *, ${name}.public.ledger, ${action}, allow`),
	]),
	'',
].join('\n');

/** Gives database, provider and policy. */
let world: TestGateway;
let balancer: Balancer;
beforeAll(async () => {
	world = await startGateway({
		setup: `create table public.ledger (op text, who text); grant select, insert on public.ledger to ${GATEWAY_ROLE}`,
		policies: { 'policy.csv': rules, 'masks.yaml': '{}' },
	});
	balancer = await Balancer.start(20);
});
afterAll(async () => {
	await balancer?.close();
	await world?.stop();
});

interface Running {
	readonly port: number;
	readonly adminPort: number;
	readonly messages: string[];
	/** SIGTERM; resolves with the exit status. */
	stop(): Promise<number>;
}

let started = 0;

/** `portcullis serve`, as an operator runs it. */
async function start(limits: Record<string, number>): Promise<Running> {
	started += 1;
	const config = parse(await readFile(world.configFile, 'utf8')) as TestConfig;
	const { shop } = config.databases;
	config.databases = {
		shop: { ...shop, pool: { size: 20 } },
		shop_tx: { ...shop, pool: { mode: 'transaction', size: 4 } },
	};
	const own = { ...config, audit: { path: `./audit${started}` }, admin: { host: '127.0.0.1', port: 0 }, limits };
	const file = join(world.folder, `replica${started}.yaml`);
	await writeFile(file, stringify(own));
	const signals = new EventEmitter();
	const messages: string[] = [];
	const log = (_fields: object, message: string): void => {
		messages.push(message);
	};
	let written = '';
	const out = (text: string): void => {
		written += text;
	};
	const env = { SHOP_PASSWORD: 'gateway-password' };
	const io = { out, err: () => undefined, stdin: new PassThrough(), env, color: false, columns: 100 };
	const status = serve(io, {
		config: file,
		signals: signals as unknown as NodeJS.Process,
		log: { info: log, warn: log, error: log },
	});
	await vi.waitFor(() => expect(written).toMatch(/health and metrics/), patience);
	const [, port, adminPort] = /:(\d+) for [^]*:(\d+)\n$/.exec(written) ?? [];
	const stop = (): Promise<number> => {
		signals.emit('SIGTERM');
		return status;
	};
	return { port: Number(port), adminPort: Number(adminPort), messages, stop };
}

const login = (database: string): pg.ClientConfig => ({
	host: '127.0.0.1',
	port: balancer.port,
	user: 'app',
	password: SERVICE_PASSWORD,
	database,
});

interface Tally {
	committed: string[];
	/** Sessions that ended between two transactions. */
	moved: number;
	/** Errors in a transaction, or without a reason. */
	broken: unknown[];
}

/** Transactions, one after the other; a new session whenever the gateway ends the one there is. */
async function works(name: string, database: string, tally: Tally, goesOn: () => boolean): Promise<void> {
	for (let turn = 0; goesOn(); turn += 1) {
		const client = new pg.Client(login(database));
		client.on('error', () => undefined);
		let inTransaction = false;
		try {
			await client.connect();
			for (let n = 0; goesOn(); n += 1) {
				const op = `${name}.${turn}.${n}`;
				await client.query('begin');
				inTransaction = true;
				await client.query('insert into public.ledger values ($1, $2)', [op, name]);
				await sleep(n % 7);
				await client.query('commit');
				inTransaction = false;
				tally.committed.push(op);
				await sleep(n % 5);
			}
			await client.end();
		} catch (error) {
			const { code, message } = error as { code?: string; message: string };
			const told = code === '57P01' || /Connection terminated|not queryable/.test(message);
			if (inTransaction || !told) tally.broken.push(error);
			tally.moved += 1;
		}
	}
}

test('a rolling restart under load breaks no transaction, and lets nobody wait', { timeout: 180_000 }, async () => {
	const limits = { drainNoticeMs: 500, drainTimeoutMs: 60_000 };
	let gateways = [await start(limits), await start(limits)];
	await balancer.serve(gateways);
	await vi.waitFor(() => expect(balancer.ready).toHaveLength(2), patience);
	const tally: Tally = { committed: [], moved: 0, broken: [] };
	let going = true;
	const clients = ['shop', 'shop_tx'].flatMap((database) =>
		[1, 2, 3].map((n) => works(`${database}${n}`, database, tally, () => going)),
	);
	const some = async (): Promise<void> => {
		const had = tally.committed.length;
		await vi.waitFor(() => expect(tally.committed.length).toBeGreaterThan(had + 30), patience);
	};
	await some();
	for (const old of [...gateways]) {
		// One that is in a transaction when the signal comes, and takes its time.
		const slow = new pg.Client({ ...login('shop'), port: old.port });
		slow.on('error', () => undefined);
		await slow.connect();
		await slow.query('begin');
		await slow.query("insert into public.ledger values ('slow', 'slow')");
		const stopped = old.stop();
		// It says so first, while it still lets people in.
		await vi.waitFor(() => expect(balancer.ready).not.toContain(old), patience);
		await vi.waitFor(() => expect(balancer.ready).toHaveLength(1), patience);
		await vi.waitFor(async () => {
			const late = new pg.Client({ ...login('shop'), port: old.port });
			late.on('error', () => undefined);
			await expect(late.connect()).rejects.toThrow();
		}, patience);
		await some();
		expect((await slow.query('commit')).command).toBe('COMMIT');
		expect(await stopped).toBe(0);
		expect(old.messages.at(-1)).toBe('stopped');
		gateways = [...gateways.filter((one) => one !== old), await start(limits)];
		await balancer.serve(gateways);
		await vi.waitFor(() => expect(balancer.ready).toHaveLength(2), patience);
		await some();
	}
	going = false;
	await Promise.all(clients);
	expect(tally.broken).toEqual([]);
	expect(balancer.refused).toBe(0);
	const rows = await world.backend.sql('select op, count(*)::int as n from public.ledger group by op');
	const found = new Map(rows.map(({ op, n }) => [op, n]));
	expect(found.get('slow')).toBe(2);
	expect(tally.committed.filter((op) => found.get(op) !== 1)).toEqual([]);
	expect(found.size).toBe(tally.committed.length + 1);
	process.stdout.write(`rolling restart: ${tally.committed.length} transactions, ${tally.moved} sessions moved\n`);
	expect(await Promise.all(gateways.map((gateway) => gateway.stop()))).toEqual([0, 0]);
});

test('what does not end in time is ended, with the reason', { timeout: 120_000 }, async () => {
	const gateway = await start({ drainTimeoutMs: 300 });
	await balancer.serve([gateway]);
	await vi.waitFor(() => expect(balancer.ready).toHaveLength(1), patience);
	const held = await Promise.all(
		['shop', 'shop_tx'].map(async (database) => {
			const client = new pg.Client(login(database));
			const ends: unknown[] = [];
			client.on('error', (error) => ends.push(error));
			await client.connect();
			await client.query('begin');
			await client.query("insert into public.ledger values ('never', 'never')");
			return ends;
		}),
	);
	expect(await gateway.stop()).toBe(0);
	for (const ends of held) await vi.waitFor(() => expect(ends[0]).toMatchObject({ code: '57P01' }), patience);
	expect(await world.backend.sql("select from public.ledger where op = 'never'")).toEqual([]);
	const left = await world.backend.sql(
		`select from pg_stat_activity where usename = '${GATEWAY_ROLE}' and datname = current_database() and state <> 'idle'`,
	);
	expect(left).toEqual([]);
});
