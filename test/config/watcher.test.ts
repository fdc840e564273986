/** `policyWatcher` in portcullis.yaml: what is read, and what is said of every mistake. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Config } from '../../src/config/config.ts';
import { parseConfig } from '../../src/config/load.ts';

let folder: string;
beforeAll(async () => {
	folder = await mkdtemp(join(tmpdir(), 'portcullis-config-'));
	await mkdir(join(folder, 'policies'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** `watcher`: what stands behind the key. */
function parse(watcher: string): Promise<Config> {
	const databases =
		'{ shop: { host: localhost, user: g }, ro: { host: [a, b], user: g, targetSessionAttrs: standby } }';
	const identity = '{ issuers: [{ issuer: https://id.example.com, audience: p }] }';
	const text = `identity: ${identity}\ndatabases: ${databases}\npolicyWatcher: ${watcher}\n`;
	return parseConfig(text, { file: join(folder, 'p.yaml'), shown: 'p.yaml', env: { SECRET: 's3cret' } });
}

const none = { ca: null, cert: null, key: null };
const common = { name: null, channel: 'portcullis_policy', differAfterMs: 60_000 };

test.each([
	{ watcher: '{ postgres: { database: shop } }', want: { ...common, over: { type: 'database', database: 'shop' } } },
	{
		watcher: '{ name: gw-1, channel: other, differAfterMs: 5000, postgres: { host: db, dbname: ops, user: w } }',
		want: {
			name: 'gw-1',
			channel: 'other',
			differAfterMs: 5_000,
			over: {
				type: 'postgres',
				host: 'db',
				port: 5432,
				dbname: 'ops',
				user: 'w',
				password: null,
				tls: { mode: 'verify-full', ...none },
			},
		},
	},
	{
		watcher: '{ redis: { host: 127.0.0.1 } }',
		want: {
			...common,
			over: {
				type: 'redis',
				host: '127.0.0.1',
				port: 6379,
				user: null,
				password: null,
				tls: { mode: 'disable', ...none },
			},
		},
	},
])('$watcher', async ({ watcher, want }) => {
	expect((await parse(watcher)).policyWatcher).toEqual(want);
});

test('its password does not print', async () => {
	const config = await parse('{ redis: { host: r, password: { env: SECRET } } }');
	expect(JSON.stringify(config.policyWatcher)).not.toContain('s3cret');
	expect(JSON.stringify(config.policyWatcher)).toContain('[redacted]');
});

test('a server elsewhere without TLS is a warning', async () => {
	const { warnings } = await parse('{ redis: { host: r, tls: { mode: disable } } }');
	expect(warnings).toContain(
		'policyWatcher.redis.tls.mode: disable to r: the password, and which policy is in force, can be read on the network',
	);
});

test.each([
	{ watcher: '{}', want: /policyWatcher: needs one of postgres and redis/ },
	{ watcher: '{ postgres: { database: shop }, redis: { host: r } }', want: /needs one of postgres and redis/ },
	{ watcher: '{ postgres: {} }', want: /policyWatcher\.postgres: needs database, or host/ },
	{ watcher: '{ postgres: { database: nope } }', want: /postgres\.database: there is no database "nope"/ },
	{ watcher: '{ postgres: { database: ro } }', want: /postgres\.database: ro leads to standbys/ },
	{ watcher: '{ postgres: { database: shop, host: h } }', want: /postgres\.host: is there beside database/ },
	{ watcher: '{ postgres: { host: h } }', want: /postgres\.dbname: missing[^]*postgres\.user: missing/ },
	{ watcher: '{ postgres: { host: h, dbname: d, user: u, password: x } }', want: /postgres\.password/ },
	{ watcher: '{ redis: { port: 1 } }', want: /redis\.host: missing/ },
	{ watcher: '{ redis: { host: r, password: { env: NOPE } } }', want: /redis\.password: environment variable NOPE/ },
	{ watcher: '{ name: "a b", redis: { host: r } }', want: /policyWatcher\.name: must be letters/ },
	{ watcher: '{ channel: "a\'b", redis: { host: r } }', want: /policyWatcher\.channel: must be small letters/ },
	{ watcher: '{ differAfterMs: 10, redis: { host: r } }', want: /differAfterMs/ },
])('what is wrong with $watcher', async ({ watcher, want }) => {
	await expect(parse(watcher)).rejects.toThrow(want);
});
