/** portcullis.yaml: what is read from it, and what is said of every mistake. */
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { inspect } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Config } from '../../src/config/config.ts';
import { ConfigError } from '../../src/config/document.ts';
import { loadConfig, parseConfig } from '../../src/config/load.ts';

const VERIFIER = 'SCRAM-SHA-256$4096:c2FsdA==$c3RvcmVk:c2VydmVy';
const PEM = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n';

let folder: string;
beforeAll(async () => {
	folder = await mkdtemp(join(tmpdir(), 'portcullis-config-'));
	await mkdir(join(folder, 'policies'));
	await mkdir(join(folder, 'tls'));
	await writeFile(join(folder, 'tls/a.pem'), PEM);
	await writeFile(join(folder, 'tls/not.pem'), 'hello');
	await writeFile(join(folder, 'secret'), 'from a file\n');
	await writeFile(join(folder, 'empty'), '\n');
	await writeFile(join(folder, 'verifier'), VERIFIER);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const ENV = { SHOP_PASSWORD: 'hunter2', CLIENT_SECRET: 'hunter4', EMPTY: '' };

async function parse(text: string): Promise<Config> {
	return parseConfig(text, { file: join(folder, 'portcullis.yaml'), shown: 'portcullis.yaml', env: ENV });
}

async function errorsOf(text: string): Promise<string[]> {
	try {
		await parse(text);
		return [];
	} catch (error) {
		if (!(error instanceof ConfigError)) throw error;
		return error.message.replaceAll(folder, '.').split('\n');
	}
}

const USERS = `identity: { users: [{ name: app, password: { scram: "${VERIFIER}" } }] }`;
const DATABASES = 'databases: { shop: { host: localhost, user: gateway } }';

/** The example of the documentation, with files that are there. */
const FULL = `
listen:
  host: 0.0.0.0
  port: 6433
  tls: { cert: ./tls/a.pem, key: tls/a.pem, mode: allow, clientCa: tls/a.pem, clientCrl: tls/a.pem, clientName: uri }
identity:
  login: password
  issuers:
    - issuer: https://id.example.com
      audience: portcullis
      clientId: psql
      scopes: [openid, email, groups]
      username: email
      groups: groups
      claims: [tenant]
    - issuer: https://opaque.example.com
      prefix: 'opaque:'
      audience: [portcullis, psql]
      clientId: psql
      clientSecret: { env: CLIENT_SECRET }
      requiredScopes: [db]
      introspection: { clientId: gateway, clientSecret: { file: secret }, always: true }
  users:
    - name: app
      password: { scram: "${VERIFIER}" }
      roles: [writer]
      claims: { tenant: acme, level: 3, admin: false, regions: [eu, us] }
    - name: other
      password: { file: verifier }
    - name: spiffe://example.com/app
      certificate: true
databases:
  shop:
    host: 10.0.0.5
    port: 5433
    dbname: shop_prod
    user: gateway
    password: { env: SHOP_PASSWORD }
    users: { writer: { user: shop_writer, password: { env: CLIENT_SECRET } }, reader: { user: shop_reader } }
    tls: { mode: verify-ca, ca: ./tls/a.pem }
    pool: { mode: session, size: 5 }
  local: { host: 127.0.0.1, user: gateway, password: { file: ./secret }, allowPassword: [md5] }
policies: ./policies
audit:
  path: /var/log/portcullis
  durability: disk
  key: { file: secret }
admin:
  port: 0
limits:
  sessionsMax: 10
`;

describe('what is read', () => {
	test('everything, with absolute paths', async () => {
		const config = await parse(FULL);
		expect(config).toMatchObject({
			file: join(folder, 'portcullis.yaml'),
			listen: {
				host: '0.0.0.0',
				port: 6433,
				tls: {
					mode: 'allow',
					cert: join(folder, 'tls/a.pem'),
					key: join(folder, 'tls/a.pem'),
					clientCa: join(folder, 'tls/a.pem'),
					clientCrl: join(folder, 'tls/a.pem'),
					clientName: 'uri',
				},
			},
			identity: {
				login: 'password',
				issuers: [
					{
						issuer: 'https://id.example.com',
						audience: ['portcullis'],
						clientId: 'psql',
						scopes: ['openid', 'email', 'groups'],
						username: 'email',
						groups: 'groups',
						claims: ['tenant'],
						clientSecret: null,
						requiredScopes: [],
						introspection: null,
					},
					{
						issuer: 'https://opaque.example.com',
						audience: ['portcullis', 'psql'],
						username: 'sub',
						prefix: 'opaque:',
						groups: null,
						requiredScopes: ['db'],
						introspection: { clientId: 'gateway', always: true },
					},
				],
				users: [
					{ name: 'app', roles: ['writer'], claims: { tenant: 'acme', level: 3, admin: false, regions: ['eu', 'us'] } },
					{ name: 'other', certificate: false, roles: [], claims: {} },
					{ name: 'spiffe://example.com/app', certificate: true, password: null, roles: [], claims: {} },
				],
			},
			databases: [
				{
					name: 'shop',
					host: '10.0.0.5',
					port: 5433,
					dbname: 'shop_prod',
					user: 'gateway',
					users: { writer: { user: 'shop_writer' }, reader: { user: 'shop_reader', password: null } },
					tls: { mode: 'verify-ca', ca: PEM, cert: null, key: null },
					pool: { mode: 'session', size: 5 },
					allowPassword: [],
				},
				{
					name: 'local',
					host: '127.0.0.1',
					port: 5432,
					dbname: 'local',
					tls: { mode: 'disable' },
					allowPassword: ['md5'],
					pool: { mode: 'session', size: 20 },
				},
			],
			policies: join(folder, 'policies'),
			audit: { path: '/var/log/portcullis', durability: 'disk', parameters: 'on' },
			admin: { host: '127.0.0.1', port: 0 },
			limits: { sessionsMax: 10, loginTimeoutMs: 60_000 },
			warnings: [],
		});
		expect(Object.keys(config.databases[0]?.users ?? {})).toEqual(['writer', 'reader']);
		expect(config.databases[0]?.users['writer']?.password?.reveal()).toBe('hunter4');
		const secrets = [
			...config.identity.users.slice(0, 2).map((user) => user.password),
			...config.databases.map((one) => one.password),
			config.audit.key,
			config.identity.issuers[1]?.clientSecret,
			config.identity.issuers[1]?.introspection?.clientSecret,
		];
		expect(secrets.map((secret) => secret?.reveal())).toEqual([
			VERIFIER,
			VERIFIER,
			'hunter2',
			'from a file',
			'from a file',
			'hunter4',
			'from a file',
		]);
	});

	test('defaults where they are safe', async () => {
		const config = await parse(`${USERS}\ndatabases: { shop: { host: db.example.com, user: gateway } }`);
		expect(config).toMatchObject({
			listen: { host: '127.0.0.1', port: 6432, tls: null },
			identity: { login: 'password', issuers: [] },
			databases: [
				{
					dbname: 'shop',
					port: 5432,
					password: null,
					tls: { mode: 'verify-full', ca: null },
					pool: { mode: 'session', size: 20 },
				},
			],
			policies: join(folder, 'policies'),
			audit: { path: join(folder, 'audit'), durability: 'os', key: null },
			admin: null,
		});
	});

	test('TLS to a server is verified unless the server is this machine or the file says otherwise', async () => {
		const cases = {
			'db.example.com': 'verify-full',
			'10.1.2.3': 'verify-full',
			localhost: 'disable',
			'127.0.0.2': 'disable',
			'::1': 'disable',
			/* socket */ '/run/pg': 'disable',
			'127.0.0.1.example.com': 'verify-full',
		};
		for (const [host, mode] of Object.entries(cases)) {
			const config = await parse(`${USERS}\ndatabases: { shop: { host: "${host}", user: gateway } }`);
			expect([host, config.databases[0]?.tls.mode]).toEqual([host, mode]);
		}
		const local = await parse(
			`${USERS}\ndatabases: { shop: { host: localhost, user: gateway, tls: { ca: tls/a.pem } } }`,
		);
		expect(local.databases[0]?.tls.mode).toBe('verify-full');
	});

	test('what would travel in the clear is a warning', async () => {
		const config = await parse(
			`listen: { host: 0.0.0.0 }\n${USERS}\ndatabases: { shop: { host: db, user: gateway, tls: { mode: disable } } }`,
		);
		expect(config.warnings).toEqual([
			'listen.tls.mode: off on 0.0.0.0: what clients send can be read on the network',
			'databases.shop.tls.mode: disable to db: statements and rows can be read on the network',
		]);
	});

	test('issuers that can name the people of each other are a warning', async () => {
		const issuer = (name: string): string => `{ issuer: "https://${name}.example.com", audience: portcullis }`;
		const config = await parse(
			`identity: { issuers: [${issuer('a')}, ${issuer('b')}] }\ndatabases: { shop: { host: localhost, user: u } }`,
		);
		expect(config.warnings).toEqual([
			'identity.issuers: 2 of them have no prefix, so each can name the people and groups of the others',
		]);
	});

	test('it is frozen, and prints no secret in any way', async () => {
		const config = await parse(FULL);
		expect(
			Object.isFrozen(config) && Object.isFrozen(config.identity.users[0]?.claims) && Object.isFrozen(config.limits),
		).toBe(true);
		const printed = [
			JSON.stringify(config),
			inspect(config, { depth: 9, showHidden: true }),
			String(config.databases[0]?.password),
			`${String(config.audit.key)}`,
		].join('\n');
		expect(printed).toContain('[redacted]');
		for (const secret of ['hunter2', 'hunter4', 'from a file', VERIFIER, 'c3RvcmVk'])
			expect(printed).not.toContain(secret);
	});

	test('a password that a program prints is asked for when it is needed, and not before', async () => {
		const config = await parse(
			`${USERS}\ndatabases: { shop: { host: localhost, user: gateway, password: { command: [cat, ./printed] } } }`,
		);
		const password = config.databases[0]?.password;
		// The folder of the configuration is where it runs.
		await writeFile(join(folder, 'printed'), 'hunter5\n');
		expect(await password?.current()).toBe('hunter5');
		expect(() => password?.reveal()).toThrow(/only when it is needed/);
		expect(`${JSON.stringify(config)}${inspect(config, { depth: 9, showHidden: true })}`).not.toContain('hunter5');
	});

	test('a secret that was rotated in its file is taken up', async () => {
		await writeFile(join(folder, 'rotating'), 'one\r\n');
		const config = await parse(
			`${USERS}\ndatabases: { shop: { host: localhost, user: gateway, password: { file: rotating } } }`,
		);
		await writeFile(join(folder, 'rotating'), 'two\n');
		const password = config.databases[0]?.password;
		expect([password?.reveal(), await password?.current()]).toEqual(['one', 'two']);
	});
});

describe('mistakes', () => {
	const cases: readonly { readonly name: string; readonly text: string; readonly want: readonly string[] }[] = [
		{
			name: 'an empty file',
			text: '',
			want: ['portcullis.yaml: identity: missing', 'portcullis.yaml: databases: missing'],
		},
		{ name: 'no map', text: '- a', want: ['portcullis.yaml: invalid input: expected object, received array'] },
		{ name: 'no YAML', text: 'a: [1,\nb: 2', want: ['portcullis.yaml:2: '] },
		{
			name: 'a key twice',
			text: `${USERS}\n${DATABASES}\npolicies: a\npolicies: b`,
			want: ['portcullis.yaml:4: Map keys must be unique'],
		},
		{ name: 'two documents', text: 'a: 1\n---\nb: 2', want: ['portcullis.yaml:2: '] },
		{
			name: 'unknown keys at every level',
			text: [
				'listen:',
				'  hosts: x',
				'  tls: { mode: off, cart: x }',
				'identity:',
				'  users:',
				'    - name: app',
				`      password: { scram: "${VERIFIER}" }`,
				'      role: writer',
				'databases:',
				'  shop: { host: h, user: u, sslmode: require, pool: { max: 3 } }',
				'polices: x',
			].join('\n'),
			want: [
				'portcullis.yaml:2: listen.hosts: unknown key',
				'portcullis.yaml:3: listen.tls.cart: unknown key',
				'portcullis.yaml:8: identity.users[0].role: unknown key',
				'portcullis.yaml:10: databases.shop.pool.max: unknown key',
				'portcullis.yaml:10: databases.shop.sslmode: unknown key',
				'portcullis.yaml:11: polices: unknown key',
			],
		},
		{
			name: 'wrong types and values',
			text: [
				'listen: { port: "6432", host: "", tls: { mode: on } }',
				'identity:',
				'  login: saml',
				'  issuers: [{ issuer: nowhere, audience: [] }]',
				`  users: [{ name: 5, password: { scram: "${VERIFIER}" }, roles: writer, claims: { a: { b: 1 } } }]`,
				'databases:',
				'  shop: { host: h, user: u, port: 0, pool: { size: 1.5 } }',
				'audit: { durability: never }',
				'limits: { sessionsMax: 0, queryBytesMax: 1MB }',
			].join('\n'),
			want: [
				'portcullis.yaml:1: listen.host: too small',
				'portcullis.yaml:1: listen.port: invalid input: expected number, received string',
				'portcullis.yaml:1: listen.tls.mode: invalid',
				'portcullis.yaml:3: identity.login: invalid option: expected one of "password"|"oauthbearer"|"device"',
				'portcullis.yaml:4: identity.issuers[0].issuer: invalid URL',
				'portcullis.yaml:4: identity.issuers[0].audience: ',
				'portcullis.yaml:5: identity.users[0].name: invalid input: expected string, received number',
				'portcullis.yaml:5: identity.users[0].roles: invalid input: expected array, received string',
				'portcullis.yaml:5: identity.users[0].claims.a: must be a string, a number, true, false or a list of strings',
				'portcullis.yaml:7: databases.shop.port: too small: expected number to be >=1',
				'portcullis.yaml:7: databases.shop.pool.size: invalid input: expected int, received number',
				'portcullis.yaml:8: audit.durability: invalid option',
				'portcullis.yaml:9: limits.sessionsMax: too small',
				'portcullis.yaml:9: limits.queryBytesMax: invalid input: expected number, received string',
			],
		},
		{
			name: 'what is required',
			text: 'identity:\n  issuers: [{}]\n  users:\n    - { }\ndatabases:\n  shop: {}\n  none:\n',
			want: [
				'portcullis.yaml:2: identity.issuers[0].issuer: missing',
				'portcullis.yaml:2: identity.issuers[0].audience: missing',
				'portcullis.yaml:4: identity.users[0].name: missing',
				'portcullis.yaml:4: identity.users[0].password: missing',
				'portcullis.yaml:6: databases.shop.user: missing',
				'portcullis.yaml:6: databases.shop.host: missing',
				'portcullis.yaml:7: databases.none: invalid input: expected object, received null',
			],
		},
		{
			name: 'passwords that are not secrets, without printing them',
			text: [
				'identity:',
				'  users:',
				'    - { name: a, password: hunter3 }',
				'    - { name: b, password: { scram: hunter3 } }',
				'databases:',
				'  shop: { host: h, user: u, password: hunter3 }',
				'  more: { host: h, user: u, password: { env: A, file: B } }',
				'  other: { host: h, user: u, password: { enf: A } }',
			].join('\n'),
			want: [
				'portcullis.yaml:3: identity.users[0].password: must be { scram: VERIFIER }, { env: NAME } or { file: PATH }',
				'portcullis.yaml:4: identity.users[1].password.scram: not a SCRAM-SHA-256 verifier: make one with portcullis hash-password',
				'portcullis.yaml:6: databases.shop.password: must be { env: NAME }, { file: PATH } or { command: [PROGRAM, ...] }',
				'portcullis.yaml:7: databases.more.password: must be { env: NAME }, { file: PATH } or { command',
				'portcullis.yaml:8: databases.other.password: must be { env: NAME }, { file: PATH } or { command',
			],
		},
		{
			name: 'roles on the server without a name, or with a password that stands in the file',
			text: `${USERS}\ndatabases:\n  shop: { host: h, user: u, users: { a: {}, b: { user: c, password: hunter } } }`,
			want: [
				'portcullis.yaml:3: databases.shop.users.a.user: missing',
				'portcullis.yaml:3: databases.shop.users.b.password: must be { env: NAME }, { file: PATH } or { command',
			],
		},
		{
			name: 'a program that is none',
			text: `${USERS}\ndatabases:\n  shop: { host: h, user: u, password: { command: [] } }\n  more: { host: h, user: u, password: { command: cat hunter } }`,
			want: [
				'portcullis.yaml:3: databases.shop.password.command: too small: expected array to have >=1 items',
				'portcullis.yaml:4: databases.more.password: must be { env: NAME }, { file: PATH } or { command',
			],
		},
		{
			name: 'no database',
			text: `${USERS}\ndatabases: {}`,
			want: ['portcullis.yaml:2: databases: must hold at least one database'],
		},
		{
			name: 'nobody',
			text: `identity: {}\n${DATABASES}`,
			want: ['portcullis.yaml:1: identity: has neither issuers nor users'],
		},
		{
			name: 'files and secrets that are not there, and keys that contradict each other',
			text: [
				'listen: { tls: { cert: tls/none.pem } }',
				'identity:',
				'  issuers:',
				'    - { issuer: https://a, audience: x }',
				'    - { issuer: https://a, audience: y }',
				'  users:',
				`    - { name: app, password: { scram: "${VERIFIER}" } }`,
				'    - { name: app, password: { env: UNSET } }',
				'    - { name: two, password: { env: EMPTY } }',
				'    - { name: three, password: { file: empty } }',
				'databases:',
				'  shop:',
				'    host: h',
				'    user: u',
				'    password: { file: none }',
				'    tls: { mode: verify-ca, cert: tls/not.pem }',
				'policies: ./nowhere',
				'audit: { key: { file: policies } }',
			].join('\n'),
			want: [
				'portcullis.yaml:1: listen.tls.cert: no such file: ./tls/none.pem',
				'portcullis.yaml:1: listen.tls.key: missing: mode require needs it',
				'portcullis.yaml:5: identity.issuers[1].issuer: "https://a" is there twice',
				'portcullis.yaml:8: identity.users[1].name: "app" is there twice',
				'portcullis.yaml:8: identity.users[1].password: environment variable UNSET is not set',
				'portcullis.yaml:9: identity.users[2].password: environment variable EMPTY is not set',
				'portcullis.yaml:10: identity.users[3].password: ./empty is empty',
				'portcullis.yaml:15: databases.shop.password: no such file: ./none',
				'portcullis.yaml:16: databases.shop.tls: cert and key go together',
				'portcullis.yaml:16: databases.shop.tls.ca: missing: mode verify-ca needs it',
				'portcullis.yaml:16: databases.shop.tls.cert: tls/not.pem is not a PEM file',
				'portcullis.yaml:17: policies: no such file: ./nowhere',
				'portcullis.yaml:18: audit.key: ./policies is a folder',
			],
		},
		{
			name: 'a connection of one session that the next one is to have',
			text: `${USERS}\ndatabases:\n  shop: { host: localhost, user: u, pool: { reuse: true }, tellUser: [setting] }`,
			want: ['portcullis.yaml:3: databases.shop.pool.reuse: no connection is used again with `tellUser: [setting]`'],
		},
		{
			name: 'a word that is none of the format',
			text: `${USERS}\ndatabases:\n  shop: { host: localhost, user: u, pool: { mode: statement } }`,
			want: ['portcullis.yaml:3: databases.shop.pool.mode: invalid option'],
		},
		{
			name: 'issuers: secrets that stand in the file, or belong to nobody, and a login that nobody could do',
			text: [
				'identity:',
				'  login: device',
				'  issuers:',
				'    - { issuer: https://a, audience: x, clientId: c, clientSecret: hunter3 }',
				'    - { issuer: https://b, audience: x, introspection: { clientId: c } }',
				'    - { issuer: https://c, audience: x, introspection: { clientId: c, clientSecret: { env: A }, often: 1 } }',
				'databases: { shop: { host: h, user: u, allowPassword: [plain] } }',
			].join('\n'),
			want: [
				'portcullis.yaml:4: identity.issuers[0].clientSecret: must be { env: NAME } or { file: PATH }',
				'portcullis.yaml:5: identity.issuers[1].introspection.clientSecret: missing',
				'portcullis.yaml:6: identity.issuers[2].introspection.often: unknown key',
				'portcullis.yaml:7: databases.shop.allowPassword[0]: invalid option: expected one of "cleartext"|"md5"',
			],
		},
		{
			name: 'issuers: secrets that are not there, or belong to nobody',
			text: [
				'identity:',
				'  issuers:',
				'    - { issuer: https://a, audience: x, clientSecret: { env: SHOP_PASSWORD } }',
				'    - { issuer: https://b, audience: x, clientId: c, clientSecret: { env: UNSET } }',
				'    - { issuer: https://c, audience: x, introspection: { clientId: c, clientSecret: { file: none } } }',
				DATABASES,
			].join('\n'),
			want: [
				'portcullis.yaml:3: identity.issuers[0].clientSecret: is there without clientId',
				'portcullis.yaml:4: identity.issuers[1].clientSecret: environment variable UNSET is not set',
				'portcullis.yaml:5: identity.issuers[2].introspection.clientSecret: no such file: ./none',
			],
		},
		{
			name: 'the device flow without a client',
			text: `identity: { login: device, issuers: [{ issuer: https://a, audience: x }] }\n${DATABASES}`,
			want: ['portcullis.yaml:1: identity.issuers[0].clientId: missing: login device needs it'],
		},
		{
			name: 'a way for people to sign in, without an issuer',
			text: `identity: { login: oauthbearer, users: [{ name: app, password: { scram: "${VERIFIER}" } }] }\n${DATABASES}`,
			want: ['portcullis.yaml:1: identity.login: oauthbearer needs an issuer'],
		},
		{
			name: 'client certificates that nobody could check',
			text: [
				'listen: { tls: { mode: allow, cert: tls/a.pem, key: tls/a.pem, clientCrl: tls/none.pem } }',
				'identity:',
				'  users:',
				'    - { name: app, certificate: true }',
				DATABASES,
			].join('\n'),
			want: [
				'portcullis.yaml:1: listen.tls.clientCrl: is there without clientCa',
				'portcullis.yaml:1: listen.tls.clientCrl: no such file: ./tls/none.pem',
				'portcullis.yaml:4: identity.users[0].certificate: needs listen.tls.clientCa',
			],
		},
		{
			name: 'client certificates without TLS, and an account with neither',
			text: [
				'listen: { tls: { mode: off, clientCa: tls/a.pem } }',
				'identity:',
				'  users:',
				'    - { name: app, certificate: true }',
				DATABASES,
			].join('\n'),
			want: ['portcullis.yaml:4: identity.users[0].certificate: needs listen.tls.clientCa'],
		},
		{
			name: 'an account without any proof, a name from nowhere',
			text: [
				'listen: { tls: { clientName: serial } }',
				'identity: { users: [{ name: app }, { name: b, certificate: false }] }',
				DATABASES,
			].join('\n'),
			want: [
				'portcullis.yaml:1: listen.tls.clientName: invalid option: expected one of "cn"|"dns"|"email"|"uri"',
				'portcullis.yaml:2: identity.users[0].password: missing',
				'portcullis.yaml:2: identity.users[1].password: missing',
			],
		},
		{
			name: 'an alias that grows without end',
			text: `a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: &d [*c, *c]\ne: &e [*d, *d]\nf: &f [*e, *e]\ng: &g [*f, *f]\nh: [*g, *g]`,
			want: ['portcullis.yaml: Excessive alias count'],
		},
	];
	for (const { name, text, want } of cases) {
		test(name, async () => {
			const errors = await errorsOf(text);
			expect(errors.map((line, index) => line.startsWith(want[index] ?? '\0') || line)).toEqual(want.map(() => true));
			expect(errors.join('\n')).not.toContain('hunter');
		});
	}

	test('a file that is missing, a folder, not UTF-8 or not readable', async () => {
		await writeFile(join(folder, 'latin1.yaml'), Buffer.from([0x61, 0x3a, 0xe9]));
		await writeFile(join(folder, 'locked.yaml'), 'a: 1');
		await chmod(join(folder, 'locked.yaml'), 0o000);
		const cases: Readonly<Record<string, RegExp>> = {
			'nowhere.yaml': /^\S+nowhere\.yaml: no such file$/,
			policies: /^\S+policies: is a folder/,
			'latin1.yaml': /^\S+latin1\.yaml: is not UTF-8$/,
			// Root may read anything; then it is merely incomplete.
			'locked.yaml': process.getuid?.() === 0 ? /locked\.yaml: / : /locked\.yaml: no permission to read/,
		};
		for (const [file, want] of Object.entries(cases)) {
			await expect(loadConfig(join(folder, file), ENV)).rejects.toThrow(want);
		}
		const short = relative(process.cwd(), join(folder, 'nowhere.yaml'));
		await expect(loadConfig(short, ENV)).rejects.toThrow(`${short}: no such file: ${join(folder, 'nowhere.yaml')}`);
	});
});

test.each([
	{ name: 'session pooling', keys: '', want: ['setting'] },
	{ name: 'transaction pooling', keys: ', pool: { mode: transaction }', want: ['user'] },
	{ name: 'session pooling with reuse', keys: ', pool: { reuse: true }', want: ['user'] },
	{ name: 'nobody', keys: ', pool: { reuse: true }, tellUser: []', want: [] },
	{ name: 'what is asked for', keys: ', pool: { mode: transaction }, tellUser: [setting]', want: ['setting'] },
])('whose session it is, as the server is told: $name', async ({ keys, want }) => {
	const databases = `databases: { shop: { host: localhost, user: gateway${keys} } }`;
	expect((await parse(`${USERS}\n${databases}`)).databases[0]?.tellUser).toEqual(want);
});
