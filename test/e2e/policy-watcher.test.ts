/** Two gateways and one policy: a change at one is heard at the other at once, over PostgreSQL and Redis, also after the line was cut. */
import { createHash } from 'node:crypto';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createClient } from '@redis/client';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { GATEWAY_ROLE } from '../../src/cli/demo/shop.ts';
import { formatNotice } from '../../src/policy/watcher/notice.ts';
import { Cable } from '../support/cable.ts';
import { makeCertificate } from '../support/certificates.ts';
import { SERVICE_PASSWORD, startGateway, type TestConfig, type TestGateway } from '../support/gateway.ts';
import { hasRedis, startRedis, type TestRedis } from '../support/redis.ts';
import { type Sibling, type Siblings, startSiblings } from '../support/siblings.ts';

const patience = { timeout: 60_000, interval: 20 };
const password = 'redis password';
const certificate = makeCertificate({ name: 'redis', hosts: ['127.0.0.1'] });

const allowed = 'p, *, shop, connect, allow\np, *, shop.public.notes, select, allow\n';
const denied = 'p, *, shop, connect, allow\n';

let world: TestGateway;
let redis: TestRedis | null = null;
const withRedis = hasRedis();
beforeAll(async () => {
	world = await startGateway({
		setup: `create table public.notes (n int); insert into public.notes values (1); grant select on public.notes to ${GATEWAY_ROLE}`,
		policies: { 'policy.csv': allowed, 'masks.yaml': '{}' },
	});
	await writeFile(join(world.folder, 'redis.crt'), certificate.cert);
	if (withRedis) redis = await startRedis({ conf: [`requirepass "${password}"`], tls: certificate });
}, 120_000);

let siblings: Siblings | null = null;
let line: Cable | null = null;
afterEach(async () => {
	await siblings?.stop();
	await line?.close();
	[siblings, line] = [null, null];
});
afterAll(async () => {
	await redis?.stop();
	await world?.stop();
});

type Way = 'postgres' | 'redis';

/** What `policyWatcher` holds beside the name; the way goes over a cable that can be cut. */
function overWay(way: Way, port: number): object {
	const { database: dbname, user } = world.backend;
	return way === 'redis'
		? {
				redis: {
					host: '127.0.0.1',
					port,
					password: { env: 'REDIS_PASSWORD' },
					tls: { mode: 'verify-full', ca: './redis.crt' },
				},
			}
		: { postgres: { host: '127.0.0.1', port, dbname, user, password: { env: 'WATCHER_PASSWORD' } } };
}

/** `differAfterMs`: before the log warns. `channel`: one for each test. */
async function start(way: Way, channel: string, more: object = {}): Promise<readonly [Sibling, Sibling]> {
	const to = way === 'redis' ? redis : world.backend;
	if (to === null) throw new Error('there is no Redis');
	const cable = await Cable.lay({ host: '127.0.0.1', port: to.port });
	line = cable;
	siblings = await startSiblings(world, {
		count: 2,
		secrets: { REDIS_PASSWORD: password, WATCHER_PASSWORD: world.backend.password },
		configure: (config: TestConfig, index) => {
			config['policyWatcher'] = { name: `gw-${index}`, channel, ...more, ...overWay(way, cable.port) };
		},
	});
	const [one, other] = siblings.all;
	if (one === undefined || other === undefined) throw new Error('there are not two');
	await acquainted(one, other);
	return [one, other];
}

/** Each hears the other. */
async function acquainted(...gateways: readonly Sibling[]): Promise<void> {
	await vi.waitFor(async () => {
		for (const gateway of gateways) expect(await peers(gateway)).toMatchObject({ up: 1, heard: 1 });
	}, patience);
}

async function peers(gateway: Sibling): Promise<Record<'up' | 'same' | 'other' | 'heard', number>> {
	const page = await gateway.metrics();
	const value = (series: string): number =>
		Number(
			page
				.split('\n')
				.find((row) => row.startsWith(`${series} `))
				?.slice(series.length + 1) ?? Number.NaN,
		);
	const same = value('portcullis_policy_peers{state="same"}');
	const other = value('portcullis_policy_peers{state="other"}');
	return { up: value('portcullis_policy_watcher_up'), same, other, heard: same + other };
}

/** As an editor does, in one step. */
async function write(gateway: Sibling, rules: string): Promise<void> {
	await writeFile(join(gateway.policies, 'next'), rules);
	await rename(join(gateway.policies, 'next'), join(gateway.policies, 'policy.csv'));
}

async function outcomeAt(gateway: Sibling): Promise<string> {
	const client = new pg.Client({
		host: '127.0.0.1',
		port: gateway.port,
		user: 'app',
		password: SERVICE_PASSWORD,
		database: 'shop',
	});
	client.on('error', () => undefined);
	await client.connect();
	try {
		await client.query('select n from public.notes');
		return 'allowed';
	} catch (error) {
		return (error as { code: string }).code;
	} finally {
		await client.end();
	}
}

function reloadsIn(records: readonly Record<string, unknown>[]): unknown[] {
	return records
		.filter(({ metadata }) => (metadata as { event_code: string }).event_code === 'policy-reload')
		.map(({ unmapped, status }) => [(unmapped as { trigger: string }).trigger, status]);
}

const messages = (gateway: Sibling): string[] => gateway.log.map(({ message }) => message);
const differ = 'other gateways have another policy in force';
const agree = 'all gateways that are heard of have the same policy in force';
const deaf = 'the policy watcher hears nobody: the policy stays in force, and its files are followed';

/** Says something on the channel, as anybody could who may connect there. */
async function say(way: Way, channel: string, texts: readonly string[]): Promise<void> {
	if (way === 'postgres') {
		await world.backend.sql(
			texts.map((text) => `select pg_notify('${channel}', '${text.replaceAll("'", "''")}')`).join('; '),
		);
		return;
	}
	const socket = { host: '127.0.0.1', port: redis?.port ?? 0, tls: true, ca: certificate.cert } as const;
	const client = createClient({ socket, password });
	client.on('error', () => undefined);
	await client.connect();
	await Promise.all(texts.map((text) => client.publish(channel, text)));
	client.destroy();
}

const ways: readonly Way[] = withRedis ? ['postgres', 'redis'] : ['postgres'];

describe.each(ways)('over %s', (way) => {
	test('a change at one gateway is in force at the other too, and both know it', { timeout: 180_000 }, async () => {
		const [one, other] = await start(way, `change_${way}`, { differAfterMs: 1_000 });
		expect(await Promise.all([outcomeAt(one), outcomeAt(other)])).toEqual(['allowed', 'allowed']);
		await write(one, denied);
		await vi.waitFor(async () => expect(await outcomeAt(one)).toBe('42501'), patience);
		// Each has files of its own, and nobody has changed those of the other: that is told of.
		await vi.waitFor(() => expect(messages(other)).toContain(differ), patience);
		expect(other.log.find(({ message }) => message === differ)?.fields).toMatchObject({
			others: { 'gw-0': expect.stringMatching(/^[0-9a-f]{16}$/) },
		});
		expect(await peers(other)).toMatchObject({ same: 0, other: 1 });
		expect(await outcomeAt(other)).toBe('allowed');
		await write(other, denied);
		await other.gateway.reload();
		await vi.waitFor(() => {
			expect(messages(other)).toContain(agree);
			expect(messages(one)).toContain(agree);
		}, patience);
		expect(await outcomeAt(other)).toBe('42501');
		expect(await peers(one)).toMatchObject({ same: 1, other: 0 });
	});

	test('a line that is cut is found again, and what was missed is asked for', { timeout: 180_000 }, async () => {
		const [one, other] = await start(way, `cut_${way}`);
		if (line === null) throw new Error('no line');
		line.state = 'refusing';
		line.reset();
		await vi.waitFor(() => {
			expect(messages(one)).toContain(deaf);
			expect(messages(other)).toContain(deaf);
		}, patience);
		// Files are followed all the same.
		await write(one, denied);
		await vi.waitFor(async () => expect(await outcomeAt(one)).toBe('42501'), patience);
		expect(await peers(one)).toMatchObject({ up: 0 });
		expect(await peers(other)).toMatchObject({ other: 0 });
		line.state = 'whole';
		await vi.waitFor(async () => expect(await peers(other)).toMatchObject({ up: 1, other: 1 }), patience);
		expect(messages(one).filter((message) => message === deaf)).toHaveLength(1);
	});

	test('forged notices change nothing, and are no flood of looks', { timeout: 180_000 }, async () => {
		const [one] = await start(way, `forged_${way}`, { differAfterMs: 1_000 });
		await write(one, 'p, nonsense');
		await vi.waitFor(
			() => expect(messages(one)).toContain('policy cannot be used: the former stays in force'),
			patience,
		);
		const before = reloadsIn(await one.audit()).length;
		const notices = Array.from({ length: 500 }, (_, n) =>
			formatNotice({
				kind: n % 3 === 0 ? 'ask' : 'state',
				gateway: 'mallory',
				instance: createHash('sha256').update(`i${n}`).digest('hex').slice(0, 16),
				revision: createHash('sha256').update(`r${n}`).digest('hex').slice(0, 16),
			}),
		);
		await say(way, `forged_${way}`, ['rubbish', '{}', `{"v":1,"kind":"state"}`, 'x'.repeat(3_000), ...notices]);
		await vi.waitFor(() => expect(messages(one)).toContain(differ), patience);
		// A mistake that is known is not told again, and what is in force stays.
		expect(reloadsIn(await one.audit())).toHaveLength(before);
		expect(await outcomeAt(one)).toBe('allowed');
		const page = await one.metrics();
		const told = Number(/^portcullis_policy_notices_total\{result="told"\} (\d+)$/m.exec(page)?.[1]);
		expect(told).toBeLessThan(50);
		expect(await peers(one)).toMatchObject({ other: expect.toSatisfy((count: number) => count > 100 && count <= 256) });
	});

	test('a gateway that stops says so', { timeout: 180_000 }, async () => {
		const [one, other] = await start(way, `gone_${way}`);
		await other.gateway.close(0);
		await vi.waitFor(async () => expect(await peers(one)).toMatchObject({ heard: 0 }), patience);
	});
});

describe('a gateway whose own watch of its files is late', () => {
	test.each(ways)('looks at them when it is told, over %s', { timeout: 180_000 }, async (way) => {
		const { PolicyStore } = await import('../../src/policy/store.ts');
		// Nothing is watched and nothing polled in any gateway: what happens is by notices alone.
		const watch = vi.spyOn(PolicyStore.prototype, 'watch').mockImplementation(() => undefined);
		try {
			const [one, other] = await start(way, `late_${way}`);
			await write(other, denied);
			await write(one, denied);
			await one.gateway.reload();
			await vi.waitFor(async () => expect(await outcomeAt(other)).toBe('42501'), patience);
			await vi.waitFor(
				async () => expect(reloadsIn(await other.audit()).at(-1)).toEqual(['another gateway', 'Success']),
				patience,
			);
			expect(await readFile(join(other.policies, 'policy.csv'), 'utf8')).toBe(denied);
		} finally {
			watch.mockRestore();
		}
	});
});

test('over a database of the configuration, with its role', { timeout: 180_000 }, async () => {
	siblings = await startSiblings(world, {
		count: 2,
		configure: (config, index) => {
			config['policyWatcher'] = { name: `gw-${index}`, channel: 'of_database', postgres: { database: 'shop' } };
		},
	});
	await acquainted(...siblings.all);
	const rows = await world.backend.sql(
		`select distinct usename from pg_stat_activity where application_name = 'portcullis policy watcher' and datname = current_database()`,
	);
	expect(rows).toEqual([{ usename: GATEWAY_ROLE }]);
});

test.runIf(withRedis)('a gateway starts without its Redis, and finds it later', { timeout: 180_000 }, async () => {
	const own = await startRedis();
	try {
		const cable = await Cable.lay({ host: '127.0.0.1', port: own.port });
		line = cable;
		cable.state = 'refusing';
		siblings = await startSiblings(world, {
			count: 2,
			configure: (config, index) => {
				const redisAt = { host: '127.0.0.1', port: cable.port };
				config['policyWatcher'] = { name: `gw-${index}`, channel: 'later', redis: redisAt };
			},
		});
		const [one] = siblings.all;
		if (one === undefined) throw new Error('no gateway');
		await vi.waitFor(() => expect(messages(one)).toContain(deaf), patience);
		expect(await outcomeAt(one)).toBe('allowed');
		cable.state = 'whole';
		await acquainted(...siblings.all);
		await own.restart();
		cable.reset();
		await vi.waitFor(() => expect(messages(one).filter((message) => message === deaf)).toHaveLength(2), patience);
		await vi.waitFor(async () => expect(await peers(one)).toMatchObject({ up: 1 }), patience);
	} finally {
		await siblings?.stop();
		siblings = null;
		await own.stop();
	}
});

test.runIf(withRedis)(
	'a wrong password, and a certificate that is not trusted, are told without the password',
	{ timeout: 180_000 },
	async () => {
		for (const wrong of [
			{ password: { env: 'WRONG' }, tls: { mode: 'verify-full', ca: './redis.crt' } },
			{ password: { env: 'REDIS_PASSWORD' }, tls: { mode: 'verify-full' } },
		]) {
			siblings = await startSiblings(world, {
				count: 1,
				secrets: { WRONG: 'not the password', REDIS_PASSWORD: password },
				configure: (config) => {
					config['policyWatcher'] = { redis: { host: '127.0.0.1', port: redis?.port, ...wrong } };
				},
			});
			const [one] = siblings.all;
			if (one === undefined) throw new Error('no gateway');
			await vi.waitFor(() => expect(messages(one)).toContain(deaf), patience);
			const { problem } = one.log.find(({ message }) => message === deaf)?.fields ?? {};
			expect(problem).toMatch(/WRONGPASS|certificate/);
			expect(JSON.stringify(one.log)).not.toMatch(/not the password|redis password/);
			await siblings.stop();
			siblings = null;
		}
	},
);
