/** `listen.peers` in portcullis.yaml: what is read, and what is said of every mistake. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Config } from '../../src/config/config.ts';
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

/** `peers`: what stands behind the key. */
function parse(peers: string): Promise<Config> {
	const text = `listen: { peers: ${peers} }\nidentity: { issuers: [{ issuer: https://id.example.com, audience: p }] }\ndatabases: { shop: { host: localhost, user: gateway } }\n`;
	return parseConfig(text, { file: join(folder, 'p.yaml'), shown: 'p.yaml', env: {} });
}

const none = { ca: null, cert: null, key: null };

test.each([
	{ peers: '[]', want: [] },
	{ peers: '[{ host: gw2 }]', want: [{ host: 'gw2', port: 6432, tls: { mode: 'verify-full', ...none } }] },
	{
		peers: '[{ host: 127.0.0.1, port: 1 }, { host: 127.0.0.1, port: 2 }]',
		want: [1, 2].map((port) => ({ host: '127.0.0.1', port, tls: { mode: 'disable', ...none } })),
	},
	{
		peers: '[{ host: gw2, tls: { mode: verify-ca, ca: a.pem } }]',
		want: [{ host: 'gw2', port: 6432, tls: { ...none, mode: 'verify-ca', ca: PEM } }],
	},
	{
		peers: '[{ host: localhost, tls: { ca: a.pem } }]',
		want: [{ host: 'localhost', port: 6432, tls: { ...none, mode: 'verify-full', ca: PEM } }],
	},
])('$peers', async ({ peers, want }) => {
	const config = await parse(peers);
	expect(config.listen.peers).toEqual(want);
	expect(config.warnings.filter((warning) => warning.includes('peers'))).toEqual([]);
});

test('a peer without TLS elsewhere is a warning', async () => {
	const { warnings } = await parse('[{ host: gw2, tls: { mode: disable } }]');
	expect(warnings).toContain('listen.peers[0].tls.mode: disable to gw2: cancel keys can be read on the network');
});

test.each([
	{ peers: '[{ port: 1 }]', want: /listen\.peers\[0\]\.host: missing/ },
	{ peers: '[{ host: a, prot: 1 }]', want: /prot/ },
	{ peers: '[{ host: /run }]', want: /listen\.peers\[0\]\.host: gateways do not listen on Unix sockets/ },
	{ peers: '[{ host: a }, { host: a, port: 6432 }]', want: /listen\.peers\[1\]: a:6432 is there twice/ },
	{ peers: '[{ host: a, tls: { mode: verify-ca } }]', want: /listen\.peers\[0\]\.tls\.ca: missing: mode verify-ca/ },
	{ peers: '[{ host: a, tls: { cert: a.pem } }]', want: /listen\.peers\[0\]\.tls: cert and key go together/ },
	{ peers: '[{ host: a, tls: { ca: b.pem } }]', want: /listen\.peers\[0\]\.tls\.ca: no such file/ },
	{ peers: `[${Array.from({ length: 33 }, (_, n) => `{ host: h${n} }`).join(', ')}]`, want: /listen\.peers: .*32/ },
])('what is wrong with $peers', async ({ peers, want }) => {
	await expect(parse(peers)).rejects.toThrow(ConfigError);
	await expect(parse(peers)).rejects.toThrow(want);
});
