/** What the configuration says about signing in reaches the auth bridge, and what it says of a server reaches the dialler. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { authProblems } from '../../src/auth/settings.ts';
import { authSettings } from '../../src/cli/auth-settings.ts';
import { targetOf } from '../../src/cli/backends.ts';
import type { Config } from '../../src/config/config.ts';
import { parseConfig } from '../../src/config/load.ts';

const key = Buffer.alloc(32).toString('base64');
const VERIFIER = `SCRAM-SHA-256$4096:c2FsdA==$${key}:${key}`;

async function parse(text: string): Promise<Config> {
	const folder = await mkdtemp(join(tmpdir(), 'portcullis-settings-'));
	onTestFinished(() => rm(folder, { recursive: true }));
	const file = join(folder, 'portcullis.yaml');
	return parseConfig(`policies: .\n${text}`, { file, shown: file, env: { A: 'a secret', B: 'b secret' } });
}

test('identity', async () => {
	const config = await parse(`
identity:
  login: device
  expiry: { action: refresh, graceMs: 1000 }
  issuers:
    - { issuer: https://a.example.com, audience: portcullis, clientId: psql }
    - issuer: https://b.example.com
      audience: [one, two]
      clientId: psql
      clientSecret: { env: A }
      scopes: [openid, groups]
      parameters: { resource: 'urn:db' }
      username: email
      prefix: 'b:'
      workloads: { username: azp }
      groups: groups
      claims: [tenant]
      requiredScopes: [db]
      introspection: { clientId: gateway, clientSecret: { env: B }, always: true, everyMs: 60000 }
  users:
    - { name: app, password: { scram: "${VERIFIER}" }, roles: [writer], claims: { tenant: acme } }
databases: { shop: { host: localhost, user: u } }
`);
	const settings = authSettings(config);
	expect(settings).toEqual({
		login: 'device',
		expiry: { action: 'refresh', graceMs: 1000 },
		issuers: [
			{
				issuer: 'https://a.example.com',
				audience: ['portcullis'],
				clientId: 'psql',
				clientSecret: undefined,
				scopes: ['openid'],
				parameters: {},
				username: 'sub',
				prefix: '',
				workloads: undefined,
				groups: undefined,
				claims: [],
				requiredScopes: [],
				introspection: undefined,
			},
			{
				issuer: 'https://b.example.com',
				audience: ['one', 'two'],
				clientId: 'psql',
				clientSecret: 'a secret',
				scopes: ['openid', 'groups'],
				parameters: { resource: 'urn:db' },
				username: 'email',
				prefix: 'b:',
				workloads: { username: 'azp', prefix: 'workload:' },
				groups: 'groups',
				claims: ['tenant'],
				requiredScopes: ['db'],
				introspection: { clientId: 'gateway', clientSecret: 'b secret', always: true, everyMs: 60_000 },
			},
		],
		users: [
			{
				name: 'app',
				password: { scram: VERIFIER },
				certificate: false,
				roles: ['writer'],
				claims: { tenant: 'acme' },
			},
		],
	});
	expect(authProblems(settings)).toEqual([]);
});

test('databases', async () => {
	const config = await parse(`
identity: { issuers: [{ issuer: https://a.example.com, audience: portcullis }] }
databases: { shop: { host: localhost, user: u, password: { env: A }, allowPassword: [md5] } }
`);
	const [database] = config.databases;
	if (database === undefined) throw new Error('no database');
	const { password, ...target } = targetOf(database, config);
	expect(target).toMatchObject({ host: 'localhost', dbname: 'shop', user: 'u', allowPassword: ['md5'] });
	expect(await password()).toBe('a secret');
});
