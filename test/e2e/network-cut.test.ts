/**
 * The network between the gateway and one server is cut, and nothing says so: what is under way ends by the limits of time that are
 * configured, nothing is lost for good, and all goes on once the network is back.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { afterAll, afterEach, describe, expect, test, vi } from 'vitest';
import { parse, stringify } from 'yaml';
import { Cable } from '../support/cable.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { hasNetworks, type Network, startNetwork } from '../support/network.ts';

const patience = { timeout: 60_000, interval: 50 };

const rules = [
	...['shop', 'shop_tx'].flatMap((name) => [
		`p, *, ${name}, connect, allow`,
		`p, *, ${name}.pg_catalog.pg_sleep(*), execute, allow`,
	]),
	'p, *, portcullis, connect, allow',
	'',
].join('\n');

const ends: (() => Promise<unknown>)[] = [];
afterEach(async () => {
	for (const end of ends.splice(0).toReversed()) await end();
});

type At = { readonly host: string; readonly port: number };

/** The way to the server is laid when it is known where that is. */
async function gatewayOver(lay: (to: At) => Promise<At>, limits: Record<string, number>): Promise<TestGateway> {
	const gateway = await startGateway({
		policies: { 'policy.csv': rules, 'masks.yaml': '{}' },
		configure: (config) => {
			config['limits'] = { connectTimeoutMs: 1_000, poolWaitMs: 1_500, ...limits };
		},
	});
	ends.push(() => gateway.stop());
	const at = await lay(gateway.backend);
	const config = parse(await readFile(gateway.configFile, 'utf8')) as { databases: Record<string, object> };
	const shop = { ...config.databases['shop'], ...at, tls: { mode: 'disable' } };
	config.databases = {
		shop: { ...shop, pool: { size: 4 } },
		shop_tx: { ...shop, pool: { mode: 'transaction', size: 2, checkAfterMs: 1 } },
	};
	await writeFile(gateway.configFile, stringify(config));
	await gateway.gateway.reload();
	return gateway;
}

async function atRest(gateway: TestGateway): Promise<void> {
	const operator = await gateway.connect('app', { database: 'portcullis' });
	const counts = async (): Promise<unknown[]> => {
		const { rows } = await operator.query<Record<string, unknown>>('show pools');
		return rows.map((row) => [row['sv_active'], row['sv_login'], row['cl_waiting']]);
	};
	await vi.waitFor(
		async () =>
			expect(await counts()).toEqual([
				[0, 0, 0],
				[0, 0, 0],
			]),
		patience,
	);
	await operator.end();
}

describe('bytes that vanish', () => {
	test('end statements by queryTimeoutMs, and a client without one is told that there is no server', async () => {
		let cable: Cable | undefined;
		const lay = async (to: At): Promise<At> => {
			cable = await Cable.lay(to);
			ends.unshift(() => cable?.close() ?? Promise.resolve());
			return { host: '127.0.0.1', port: cable.port };
		};
		const gateway = await gatewayOver(lay, { queryTimeoutMs: 500 });
		const [own, busy, idle] = await Promise.all(
			['shop', 'shop_tx', 'shop_tx'].map((database) => gateway.connect('app', { database })),
		);
		await busy?.query('begin');
		await idle?.query('select 1');
		if (cable !== undefined) cable.state = 'dropping';
		const cutMs = performance.now();
		const took = (): number => Math.round(performance.now() - cutMs);
		const overdue = { code: '57014', severity: 'FATAL', message: /did not cancel an overdue statement/ };
		const times: Record<string, number> = {};
		await Promise.all([
			expect(own?.query('select 1').finally(() => (times['session'] = took()))).rejects.toMatchObject(overdue),
			expect(busy?.query('select 1').finally(() => (times['transaction'] = took()))).rejects.toMatchObject(overdue),
			// The connection that is kept is tried first, and then there is none to be had. The session goes on.
			expect(idle?.query('select 1').finally(() => (times['between'] = took()))).rejects.toMatchObject({
				code: expect.stringMatching(/^(08001|53300)$/) as string,
				severity: 'ERROR',
			}),
		]);
		if (cable !== undefined) cable.state = 'whole';
		const mendedMs = performance.now();
		await vi.waitFor(async () => expect((await idle?.query('select 2 as n'))?.rows).toEqual([{ n: 2 }]), patience);
		const back = await gateway.connect('app');
		times['back'] = Math.round(performance.now() - mendedMs);
		await Promise.all([idle?.end(), back.end()]);
		await atRest(gateway);
		process.stdout.write(`the network was cut: ${JSON.stringify(times)}\n`);
	}, 120_000);
});

// By hand: where a byte was on its way as the network was cut, Linux sends it again for a quarter of an hour before it gives up.
const wanted = process.env['PORTCULLIS_NETNS'] === '1' && (await hasNetworks());

describe.skipIf(!wanted)('packets that vanish (Linux network namespaces)', () => {
	let network: Network | undefined;
	afterAll(() => network?.close());

	test('are noticed by TCP after keepAliveMs, also where nobody says anything', async () => {
		const lay = async (to: At): Promise<At> => {
			network = await startNetwork(to);
			return { host: network.host, port: network.port };
		};
		const gateway = await gatewayOver(lay, { keepAliveMs: 1_000 });
		const [working, silent, pooled] = await Promise.all(
			['shop', 'shop', 'shop_tx'].map((database) => gateway.connect('app', { database })),
		);
		const told: Record<string, string> = {};
		silent?.on('error', (error) => (told['silent'] ??= (error as { code?: string }).code ?? ''));
		await silent?.query('begin');
		const long = working?.query('select pg_sleep(600)');
		const lost = expect(long).rejects.toMatchObject({ code: '08006', severity: 'FATAL' });
		await pooled?.query('select 1');
		await vi.waitFor(async () => {
			const active = await gateway.backend.sql(
				`select from pg_stat_activity where query like '%pg_sleep(600)%' and state = 'active' and pid <> pg_backend_pid()`,
			);
			expect(active).toHaveLength(1);
		}, patience);
		await network?.cut();
		const cutMs = performance.now();
		await lost;
		const ms = Math.round(performance.now() - cutMs);
		await vi.waitFor(() => expect(told).toEqual({ silent: '08006' }), patience);
		await expect(pooled?.query('select 1')).rejects.toMatchObject({ severity: 'ERROR' });
		await network?.mend();
		const mendedMs = performance.now();
		await vi.waitFor(async () => expect((await pooled?.query('select 2 as n'))?.rows).toEqual([{ n: 2 }]), patience);
		const back = Math.round(performance.now() - mendedMs);
		await pooled?.end();
		await atRest(gateway);
		process.stdout.write(`the network was cut: noticed after ${ms} ms, back after ${back} ms\n`);
	}, 120_000);
});
