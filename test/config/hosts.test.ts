/** Several hosts, Patroni and shards in portcullis.yaml: what is read from them, and what is said of every mistake. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Config, DatabaseConfig } from '../../src/config/config.ts';
import { ConfigError } from '../../src/config/document.ts';
import { parseConfig } from '../../src/config/load.ts';

const PEM = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n';

let folder: string;
beforeAll(async () => {
	folder = await mkdtemp(join(tmpdir(), 'portcullis-config-'));
	await mkdir(join(folder, 'policies'));
	await writeFile(join(folder, 'a.pem'), PEM);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** `body` is what stands behind `shop:`. */
async function parse(body: string): Promise<Config> {
	const text = `identity: { users: [{ name: app, certificate: true }] }\nlisten: { tls: { cert: a.pem, key: a.pem, clientCa: a.pem } }\ndatabases:\n  shop: { user: gateway, ${body} }\n`;
	return parseConfig(text, { file: join(folder, 'p.yaml'), shown: 'p.yaml', env: { TOKEN: 'Bearer x' } });
}

async function shop(body: string): Promise<DatabaseConfig> {
	const [database] = (await parse(body)).databases;
	if (database === undefined) throw new Error('no database');
	return database;
}

describe('hosts', () => {
	const at = (host: string, port = 5432) => ({ host, port });
	const rows: { body: string; hosts: { host: string; port: number }[]; attrs?: string }[] = [
		{ body: 'host: a', hosts: [at('a')], attrs: 'any' },
		{ body: 'host: a, port: 1', hosts: [at('a', 1)], attrs: 'any' },
		{ body: 'host: "a, b"', hosts: [at('a'), at('b')] },
		{ body: 'host: [a, b], port: 6000', hosts: [at('a', 6000), at('b', 6000)] },
		{ body: 'host: [a, b], port: [1, 2]', hosts: [at('a', 1), at('b', 2)] },
		{ body: 'host: [a, a], port: [1, 2]', hosts: [at('a', 1), at('a', 2)] },
		{ body: 'host: ["::1", /run/pg]', hosts: [at('::1'), at('/run/pg')] },
		{ body: 'host: [a], targetSessionAttrs: read-write', hosts: [at('a')], attrs: 'read-write' },
		{
			body: 'host: [a, b], targetSessionAttrs: prefer-standby, lagMaxMs: 10000',
			hosts: [at('a'), at('b')],
			attrs: 'prefer-standby',
		},
		{ body: 'patroni: { urls: ["https://n1:8008"] }', hosts: [] },
	];
	test.each(rows)('$body', async ({ body, hosts, attrs = 'primary' }) => {
		expect(await shop(body)).toMatchObject({
			hosts,
			targetSessionAttrs: attrs,
			sharded: null,
			host: hosts[0]?.host ?? '',
		});
	});

	test('TLS is verified unless all of them are this machine', async () => {
		const modes = [];
		for (const body of [
			'host: [127.0.0.1, "::1"]',
			'host: [127.0.0.1, b]',
			'patroni: { urls: ["http://127.0.0.1:1"] }',
		])
			modes.push((await shop(body)).tls.mode);
		expect(modes).toEqual(['disable', 'verify-full', 'verify-full']);
	});

	test('Patroni with its certificates and credentials', async () => {
		const { patroni } = await shop(
			'patroni: { urls: ["https://n1:8008"], tls: { ca: a.pem }, authorization: { env: TOKEN } }',
		);
		expect(patroni).toMatchObject({ urls: ['https://n1:8008'], tls: { ca: PEM, cert: null, key: null } });
		expect(patroni?.authorization?.reveal()).toBe('Bearer x');
	});

	test('Patroni without TLS is a warning: anybody on the way could name another host', async () => {
		const { warnings } = await parse('patroni: { urls: ["http://n1:8008", "http://127.0.0.1:8008"] }');
		expect(warnings).toEqual([expect.stringMatching(/^databases\.shop\.patroni\.urls: n1 is asked without TLS/)]);
	});
});

test('shards, each with hosts of its own', async () => {
	const { sharded } = await shop(
		'shards: { eu: { host: [a, b], lagMaxMs: 1 }, us: { host: c, dbname: shop_us } }, shardBy: { by: claim, claim: region, map: { europe: eu }, default: us }',
	);
	expect(sharded).toMatchObject({
		shards: {
			eu: { hosts: [{ host: 'a' }, { host: 'b' }], targetSessionAttrs: 'primary', lagMaxMs: 1, dbname: null },
			us: { hosts: [{ host: 'c' }], targetSessionAttrs: 'any', dbname: 'shop_us' },
		},
		by: { by: 'claim', claim: 'region', map: { europe: 'eu' }, default: 'us' },
	});
	expect((await shop('shards: { eu: { host: a } }')).sharded?.by).toEqual({
		by: 'parameter',
		claim: null,
		map: null,
		default: null,
	});
});

describe('mistakes', () => {
	const rows: { body: string; want: string }[] = [
		{ body: 'port: 1', want: 'databases.shop.host: missing' },
		{ body: 'host: []', want: 'databases.shop.host: too small: expected array to have >=1 items' },
		{ body: 'host: "a,,b"', want: 'databases.shop.host: one of the names is empty' },
		{ body: 'host: [a, b, a]', want: 'databases.shop.host: a is there twice' },
		{
			body: 'host: [a, b], port: [1, 2, 3]',
			want: 'databases.shop.port: 3 ports for 2 hosts: give one, or one for each',
		},
		{ body: 'host: a, targetSessionAttrs: master', want: 'databases.shop.targetSessionAttrs: invalid option' },
		{ body: 'host: a, patroni: { urls: [nowhere] }', want: 'databases.shop.patroni.urls[0]: invalid URL' },
		{
			body: 'host: a, patroni: { urls: ["http://127.0.0.1:1"], tls: { cert: a.pem } }',
			want: 'databases.shop.patroni.tls: cert and key go together',
		},
		{ body: 'shards: {}', want: 'databases.shop.shards: must hold at least one shard' },
		{ body: 'shards: { eu: { port: 1 } }', want: 'databases.shop.shards.eu.host: missing' },
		{ body: 'host: a, shards: { eu: { host: b } }', want: 'databases.shop.host: is for each of the shards to say' },
		{
			body: 'shards: { eu: { host: b } }, shardBy: { by: claim }',
			want: 'databases.shop.shardBy.claim: missing: by claim needs it',
		},
		{
			body: 'shards: { eu: { host: b } }, shardBy: { claim: x }',
			want: 'databases.shop.shardBy.claim: is there by parameter',
		},
		{
			body: 'shards: { eu: { host: b } }, shardBy: { default: us }',
			want: 'databases.shop.shardBy.default: there is no shard "us"',
		},
		{
			body: 'shards: { eu: { host: b } }, shardBy: { map: { x: us } }',
			want: 'databases.shop.shardBy.map.x: there is no shard "us"',
		},
		{ body: 'host: b, shardBy: { by: user }', want: 'databases.shop.shardBy: is there without shards' },
	];
	test.each(rows)('$body', async ({ body, want }) => {
		const failure: unknown = await parse(body).catch((error: unknown) => error);
		expect(failure).toBeInstanceOf(ConfigError);
		const lines = (failure as ConfigError).message.split('\n');
		expect(lines).toEqual([expect.stringContaining(`: ${want}`)]);
	});
});
