/** From pgbouncer.ini to a configuration that loads: what is taken over, what is said of the rest, and mistakes in the files. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { parseVerifier } from '../../../src/auth/verifier.ts';
import { runCommandLine } from '../../../src/cli/program.ts';
import { loadConfig } from '../../../src/config/load.ts';

let folder: string;
beforeEach(async () => {
	folder = await mkdtemp(join(tmpdir(), 'portcullis-migrate-'));
	await mkdir(join(folder, 'policies'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

interface Migrated {
	readonly status: number;
	readonly out: string;
	readonly err: string;
	/** The YAML, as data. */
	readonly config: Record<string, unknown>;
}

/** Runs the command on these files; the first is the ini. */
async function run(files: Readonly<Record<string, string>>, ...more: string[]): Promise<Migrated> {
	for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
	let out = '';
	let err = '';
	const io = {
		out: (text: string) => void (out += text),
		err: (text: string) => void (err += text),
		stdin: Readable.from([]),
		env: {},
		color: false,
		columns: 100,
	};
	const status = await runCommandLine(['migrate', 'pgbouncer', join(folder, Object.keys(files)[0] ?? ''), ...more], io);
	return { status, out, err, config: (parse(out) ?? {}) as Record<string, unknown> };
}

const USERS = `"app" "secret"
; a comment
"old" "md545f2603610af569b6155c45067268c6b"
"we""ird" "SCRAM-SHA-256$4096:c2FsdHNhbHRzYWx0$3MI3RnhjKgROTyf8pyd7YFB71dpC2JnTLdbW4xvJpoU=:Y3v5zBMSJn0VQmmNbVGVlGUkOG6Ep7m7X8dJ7LKO3oM=" more
`;

const INI = `
[databases]
shop = host=10.0.0.5 port=5433 dbname=shop_prod user=pool password='it''s secret' pool_size=30 max_db_connections=25
crm =
[users]
app = max_user_client_connections=4
[pgbouncer]
listen_addr = *
listen_port = 6433
auth_type = scram-sha-256
auth_file = users.txt
unix_socket_dir = /var/run/postgresql
max_client_conn = 300
query_timeout = 1.5
query_wait_timeout = 120
tcp_keepidle = 30
idle_transaction_timeout = 60
client_login_timeout = 0
server_tls_sslmode = require
max_db_client_connections = 50
admin_users = dba
stats_users = prometheus, dba2
`;

test('peers become peers, but for the one that this is', async () => {
	const peers = '[peers]\n1 = host=gw1 port=6433\n2 = host=gw2\n3 = host=gw3 port=6434\n';
	const { config, err } = await run({ 'pgbouncer.ini': `[pgbouncer]\npeer_id = 2\n${peers}` });
	expect(config).toMatchObject({
		listen: {
			peers: [
				{ host: 'gw1', port: 6433 },
				{ host: 'gw3', port: 6434 },
			],
		},
	});
	expect(err).toMatch(/listen\.peers: peers elsewhere are reached with verify-full/);
	expect(err).toMatch(/peer_id: a gateway needs no number/);
});

test('everything that has a counterpart is taken over, and the result loads', async () => {
	const { status, out, config } = await run({ 'pgbouncer.ini': INI, 'users.txt': USERS });
	expect(status).toBe(0);
	expect(config).toMatchObject({
		listen: { host: '0.0.0.0', port: 6433 },
		databases: {
			shop: {
				host: '10.0.0.5',
				port: 5433,
				dbname: 'shop_prod',
				user: 'pool',
				password: { env: 'SHOP_PASSWORD' },
				tls: { mode: 'require' },
				pool: { mode: 'session', size: 25 },
				limits: { sessionsMax: 50 },
			},
			crm: { host: '/var/run/postgresql', user: 'gateway', pool: { mode: 'session', size: 20 } },
		},
		limits: {
			sessionsMax: 300,
			queryTimeoutMs: 1_500,
			poolWaitMs: 120_000,
			keepAliveMs: 30_000,
			idleTransactionTimeoutMs: 60_000,
		},
	});
	await writeFile(join(folder, 'portcullis.yaml'), out);
	const env = { SHOP_PASSWORD: 'x', CRM_PASSWORD: 'y' };
	const loaded = await loadConfig(join(folder, 'portcullis.yaml'), env);
	expect(loaded.databases.map(({ name }) => name)).toEqual(['shop', 'crm']);
	expect(loaded.identity.users.map(({ name, sessionsMax }) => [name, sessionsMax])).toEqual([
		['app', 4],
		['we"ird', null],
	]);
});

test('no password gets out; of a plain one there is a verifier', async () => {
	const { out, err, config } = await run({ 'pgbouncer.ini': INI, 'users.txt': USERS });
	const users = (config['identity'] as { users: { name: string; password: { scram: string } }[] }).users;
	expect(users.map(({ password }) => parseVerifier(password.scram) !== null)).toEqual([true, true]);
	expect(users[1]?.password.scram).toContain('c2FsdHNhbHRzYWx0');
	expect(out + err).not.toMatch(/secret\b(?!s)|it's|45f2603610af/);
	expect(err).toContain('- account old: its password is not known (MD5): portcullis hash-password');
	expect(err).toContain('put the password of pool into the environment variable SHOP_PASSWORD');
	expect(err).toMatch(/databases crm: PgBouncer signed in as whoever the client was/);
});

test('operators of PgBouncer become rules of the policy, and so does who could connect', async () => {
	const { err } = await run({ 'pgbouncer.ini': INI, 'users.txt': USERS });
	expect(err.match(/^- p, .*$/gm)).toEqual([
		'- p, *, shop, connect, allow',
		'- p, *, crm, connect, allow',
		'- p, user:dba, portcullis, connect, allow',
		'- p, user:dba, portcullis, alter, allow',
		'- p, user:prometheus, portcullis, connect, allow',
		'- p, user:dba2, portcullis, connect, allow',
	]);
});

describe('what has no counterpart is listed with place and reason', () => {
	const rows: readonly { readonly name: string; readonly ini: string; readonly want: RegExp }[] = [
		{
			name: 'an option',
			ini: '[pgbouncer]\nserver_reset_query = DISCARD ALL',
			want: /ini:2: server_reset_query: in session mode each session has/,
		},
		{
			name: 'one that PgBouncer has not either',
			ini: '[pgbouncer]\nfoo = 1',
			want: /ini:2: foo: not an option that PgBouncer/,
		},
		{ name: 'a fallback database', ini: '[databases]\n* = host=x', want: /ini:2: \*: databases have to be listed/ },
		{ name: 'several hosts', ini: '[databases]\na = host=x,y,z', want: /ini:2: a: are these hosts one cluster\?/ },
		{
			name: 'several addresses',
			ini: '[pgbouncer]\nlisten_addr = ::1, 10.0.0.1',
			want: /ini:2: listen_addr: 10\.0\.0\.1: /,
		},
		{
			name: 'an option of a database',
			ini: '[databases]\na = host=x timezone=UTC',
			want: /ini:2: a: timezone: clients choose/,
		},
		{
			name: 'an option of a user',
			ini: '[users]\na = pool_mode=session',
			want: /ini:2: a: pool_mode: a pool is of a database/,
		},
		{
			name: 'a way of signing in',
			ini: '[pgbouncer]\nauth_type = hba',
			want: /ini:2: auth_type: hba: accounts sign in with SCRAM/,
		},
		{
			name: 'no number',
			ini: '[pgbouncer]\nmax_client_conn = many',
			want: /ini:2: max_client_conn: not a number: many/,
		},
		{
			name: 'a section',
			ini: '[friends]\n1 = host=x',
			want: /ini:2: \[friends\]: a section that PgBouncer is not known/,
		},
		{ name: 'a peer on a socket', ini: '[peers]\n1 = host=/tmp/1', want: /ini:2: peer 1: gateways listen by TCP only/ },
		{ name: 'pools of peers', ini: '[peers]\n1 = host=x pool_size=3', want: /ini:2: peer 1: pool_size: so many/ },
		{
			name: 'statement pooling',
			ini: '[pgbouncer]\npool_mode = statement\n[databases]\na = host=x',
			want: /pool_mode: statement: the nearest/,
		},
	];
	test.each(rows)('$name', async ({ ini, want }) => {
		const { status, out, err } = await run({ 'pgbouncer.ini': ini });
		expect(status).toBe(0);
		expect(err).toMatch(want);
		expect(out).toMatch(want);
	});
});

test('several hosts are taken in turns, as PgBouncer takes them', async () => {
	const { config } = await run({ 'pgbouncer.ini': '[databases]\na = host=x,y port=6000 user=u' });
	expect(config['databases']).toMatchObject({ a: { host: ['x', 'y'], port: 6000, targetSessionAttrs: 'any' } });
});

test('a pool mode is taken over', async () => {
	const { config } = await run({ 'pgbouncer.ini': '[databases]\na = host=x pool_mode=transaction' });
	expect(config['databases']).toMatchObject({ a: { pool: { mode: 'transaction' } } });
});

test("the console's name goes to no database", async () => {
	const { config, err } = await run({ 'pgbouncer.ini': '[databases]\nportcullis = host=x user=u' });
	expect(config['databases']).toMatchObject({ portcullis_db: { dbname: 'portcullis' } });
	expect(err).toMatch(/database portcullis is called portcullis_db here/);
});

test('TLS of clients and servers', async () => {
	const tls = `[databases]
a = host=x user=u
local = host=/run user=u
[pgbouncer]
client_tls_sslmode = verify-full
client_tls_key_file = /k
client_tls_cert_file = /c
client_tls_ca_file = /ca
server_tls_sslmode = verify-ca
server_tls_ca_file = /sca
`;
	const { config } = await run({ 'pgbouncer.ini': tls });
	expect(config).toMatchObject({
		listen: { tls: { mode: 'require', cert: '/c', key: '/k', clientCa: '/ca' } },
		databases: { a: { tls: { mode: 'verify-ca', ca: '/sca' } } },
	});
	expect((config['databases'] as Record<string, object>)['local']).not.toHaveProperty('tls');
});

describe('files', () => {
	test('include others', async () => {
		const files = {
			'pgbouncer.ini': '[pgbouncer]\n%include more.ini\nlisten_port = 1\n',
			'more.ini': 'listen_port = 2\nmax_client_conn = 7\n',
		};
		const { config } = await run(files);
		expect(config).toMatchObject({ listen: { port: 1 }, limits: { sessionsMax: 7 } });
	});

	test('are written where there is none yet, for the owner alone', async () => {
		const output = join(folder, 'portcullis.yaml');
		const first = await run({ 'pgbouncer.ini': INI, 'users.txt': USERS }, '-o', output);
		expect([first.status, first.out]).toEqual([0, `${output} is written\n`]);
		expect(await readFile(output, 'utf8')).toContain('listen:');
		const second = await run({ 'pgbouncer.ini': INI, 'users.txt': USERS }, '-o', output);
		expect([second.status, second.err]).toEqual([1, `portcullis: ${output} is there already\n`]);
	});

	const rows: readonly {
		readonly name: string;
		readonly files: Readonly<Record<string, string>>;
		readonly want: RegExp;
	}[] = [
		{
			name: 'a line that is nothing',
			files: { 'p.ini': '[pgbouncer]\nnonsense' },
			want: /p\.ini:2: neither a section nor/,
		},
		{
			name: 'a line before the first section',
			files: { 'p.ini': 'a = 1' },
			want: /p\.ini:1: stands before the first section/,
		},
		{
			name: 'a broken connection string',
			files: { 'p.ini': "[databases]\na = host='x" },
			want: /p\.ini:2: .* from here: host='x/,
		},
		{ name: 'an include that is missing', files: { 'p.ini': '%include none.ini' }, want: /no such file: none\.ini/ },
		{
			name: 'an include of itself',
			files: { 'p.ini': '%include p.ini' },
			want: /include each other more than 10 deep/,
		},
		{
			name: 'users that are missing',
			files: { 'p.ini': '[pgbouncer]\nauth_file = none.txt' },
			want: /no such file: .*none\.txt/,
		},
		{
			name: 'a broken list of users',
			files: { 'p.ini': '[pgbouncer]\nauth_file = u.txt', 'u.txt': '"a" "b"\na b\n' },
			want: /u\.txt:2: not of the form "user" "password"/,
		},
	];
	test.each(rows)('with $name are an error in one line', async ({ files, want }) => {
		const { status, out, err } = await run(files);
		expect([status, out]).toEqual([1, '']);
		expect(err).toMatch(want);
		expect(err.trim().split('\n')).toHaveLength(1);
	});
});
