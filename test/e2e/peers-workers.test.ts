/** Two gateways of two workers each behind a balancer: cancel requests, the policy's revision, and a rolling restart under load. */
import { cp, writeFile } from 'node:fs/promises';
import { connect as connectTcp } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest';
import { GATEWAY_ROLE } from '../../src/cli/demo/shop.ts';
import { encodeCancelRequest } from '../../src/wire/encode.ts';
import { Balancer } from '../support/balancer.ts';
import { Cable } from '../support/cable.ts';
import { SERVICE_PASSWORD, startGateway, type TestGateway } from '../support/gateway.ts';
import { otherConfig, patience, type Served, serveProcess } from '../support/serving.ts';

vi.setConfig({ testTimeout: 300_000 });

const databases = ['shop', 'shop_tx'];
const rules = [
	...databases.flatMap((name) => [
		`p, *, ${name}, connect, allow`,
		`p, *, ${name}.pg_catalog.pg_sleep(*), execute, allow`,
		`p, *, ${name}.public.ledger, insert, allow`,
	]),
	...['connect', 'alter'].map((action) => `p, *, portcullis, ${action}, allow`),
	'',
].join('\n');

/** Gives database and provider. */
let world: TestGateway;
const gateways: Served[] = [];
const cables: Cable[] = [];
let balancer: Balancer;
beforeAll(async () => {
	world = await startGateway({
		setup: `create table public.ledger (op text); grant insert on public.ledger to ${GATEWAY_ROLE}`,
		policies: { 'policy.csv': rules, 'masks.yaml': '{}' },
	});
	// Their ports are not known before they listen.
	const places = [1, 2].map(() => ({ host: '127.0.0.1', port: 0 }));
	for (const place of places) cables.push(await Cable.lay(place));
	const started = await Promise.all(
		places.map(async (_place, index) => {
			const policies = join(world.folder, `policies-${index}`);
			await cp(join(world.folder, 'policies'), policies, { recursive: true });
			const file = await otherConfig(world, `peer-${index}`, (config) => {
				const { shop } = config.databases;
				Object.assign(config, {
					workers: 2,
					admin: { host: '127.0.0.1', port: 0 },
					limits: { drainTimeoutMs: 120_000, poolWaitMs: 120_000 },
					policies,
					policyWatcher: { postgres: { database: 'shop' } },
				});
				config.listen['peers'] = cables.map(({ port }) => ({ host: '127.0.0.1', port }));
				config.databases = { shop: { ...shop }, shop_tx: { ...shop, pool: { mode: 'transaction', size: 6 } } };
			});
			const served = await serveProcess(file);
			gateways.push(served);
			await served.listening;
			return served;
		}),
	);
	gateways.splice(0, gateways.length, ...started);
	for (const [index, place] of places.entries()) place.port = started[index]?.port ?? 0;
	balancer = await Balancer.start(100);
	await balancer.serve(gateways);
	await vi.waitFor(() => expect(balancer.ready).toHaveLength(2), patience);
}, 300_000);
afterAll(async () => {
	await balancer?.close();
	await Promise.all(gateways.map((gateway) => gateway.kill()));
	await Promise.all(cables.map((cable) => cable.close()));
	await world?.stop();
});

async function connect(database: string, port = balancer.port): Promise<pg.Client> {
	const client = new pg.Client({ host: '127.0.0.1', port, user: 'app', password: SERVICE_PASSWORD, database });
	client.on('error', () => undefined);
	await client.connect();
	return client;
}

/** As libpq does, and waits for the end of the connection. */
async function cancel(client: pg.Client, port = balancer.port): Promise<void> {
	const { processID, secretKey } = client as unknown as { readonly processID: number; readonly secretKey: number };
	const key = Buffer.alloc(4);
	key.writeInt32BE(secretKey);
	const socket = connectTcp({ host: '127.0.0.1', port });
	socket.on('error', () => undefined);
	socket.write(encodeCancelRequest(processID, key));
	await new Promise((resolve) => socket.on('close', resolve).resume());
}

let tags = 0;

/** A long statement that the server works on, and how it ends. */
async function sleeping(
	client: pg.Client,
): Promise<{ readonly ended: Promise<unknown>; readonly over: () => boolean }> {
	tags += 1;
	const tag = `/* sleeper ${tags} */`;
	let over = false;
	const ended = client
		.query(`select pg_sleep(600) ${tag}`)
		.catch((error: unknown) => (error as { code?: string }).code)
		.finally(() => {
			over = true;
		});
	const running = `select from pg_stat_activity where state = 'active' and position('${tag}' in query) > 0
		and usename = '${GATEWAY_ROLE}'`;
	await vi.waitFor(async () => expect(await world.backend.sql(running)).toHaveLength(1), patience);
	return { ended, over: () => over };
}

test('a cancel request finds its session at any gateway and any worker, and hits no other statement', async () => {
	const rounds = 4;
	const works = [...databases, ...databases].map(async (database) => {
		const client = await connect(database);
		for (let round = 0; round < rounds; round += 1) {
			const { ended, over } = await sleeping(client);
			// What the others cancel meanwhile is not this one.
			expect(over()).toBe(false);
			await cancel(client);
			expect(await ended).toBe('57014');
			expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
		}
		await client.end();
	});
	await Promise.all(works);
});

test('a changed policy is in force at all four workers', async () => {
	const revisions = async (): Promise<string[]> => {
		const all: string[] = [];
		for (const { port } of gateways) {
			const console = await connect('portcullis', port);
			const { rows } = await console.query<{ policy: string }>('show workers');
			await console.end();
			all.push(...rows.map(({ policy }) => policy));
		}
		return all;
	};
	const before = await revisions();
	expect(before).toHaveLength(4);
	expect(new Set(before).size).toBe(1);
	for (const index of gateways.keys())
		await writeFile(
			join(world.folder, `policies-${index}`, 'policy.csv'),
			`${rules}# another\np, *, shop, temp, allow\n`,
		);
	await vi.waitFor(async () => {
		const after = await revisions();
		expect(after).toHaveLength(4);
		expect(new Set(after).size).toBe(1);
		expect(after[0]).not.toBe(before[0]);
	}, patience);
});

interface Tally {
	readonly committed: string[];
	/** Errors in a transaction, at a login, or without a reason. */
	readonly broken: string[];
}

/** Transactions, one after the other; a new session whenever the gateway ends the one there is. */
async function works(name: string, database: string, tally: Tally, goesOn: () => boolean): Promise<void> {
	for (let turn = 0; goesOn(); turn += 1) {
		let at = 'login';
		try {
			const client = await connect(database);
			for (let n = 0; goesOn(); n += 1) {
				const op = `${name}.${turn}.${n}`;
				at = 'begin';
				await client.query('begin');
				at = 'transaction';
				await client.query('insert into public.ledger values ($1)', [op]);
				await client.query('commit');
				at = 'between';
				tally.committed.push(op);
				await sleep(n % 5);
			}
			await client.end();
		} catch (error) {
			const { code, message } = error as { code?: string; message: string };
			const told = code === '57P01' || /Connection terminated|not queryable/.test(message);
			if (!told || at === 'login' || at === 'transaction') tally.broken.push(`${at}: ${code} ${message}`);
		}
	}
}

test('a rolling restart of one of them under load breaks no transaction, and what still runs can be cancelled', async () => {
	const [one, other] = gateways as [Served, Served];
	const before = one.workers();
	const [begun, done] = [one.since('rolling restart begins'), one.since('rolling restart is done')];
	const tally: Tally = { committed: [], broken: [] };
	// Of a first try.
	await world.backend.sql('delete from public.ledger');
	let going = true;
	onTestFinished(() => {
		going = false;
	});
	const clients = databases.map((database) => works(database, database, tally, () => going));
	const some = async (): Promise<void> => {
		const had = tally.committed.length;
		await vi.waitFor(() => expect(tally.committed.length).toBeGreaterThan(had + 10), patience);
	};
	await some();
	const fates: unknown[] = [];
	// Two after the other are at the one worker and the other, so the restart waits for one of them twice.
	for (const slow of [await connect('shop', one.port), await connect('shop', one.port)]) {
		await slow.query('begin');
		void sleeping(slow).then(async ({ ended }) => {
			await vi.waitFor(() => expect(begun()).toHaveLength(1), patience);
			await some();
			await cancel(slow, other.port);
			fates.push(await ended);
			await slow.end();
		});
	}
	one.signal('SIGUSR2');
	await vi.waitFor(() => expect(done()).toHaveLength(1), patience);
	await some();
	going = false;
	await Promise.all(clients);
	expect(tally.broken).toEqual([]);
	expect(fates).toEqual(['57014', '57014']);
	for (const worker of [1, 2]) expect(one.workers().get(worker)).not.toBe(before.get(worker));
	const rows = await world.backend.sql('select op from public.ledger');
	expect(new Set(rows.map(({ op }) => op))).toEqual(new Set(tally.committed));
	expect(balancer.refused).toBe(0);
});
