/** Every way to sign in, through the whole gateway, by the clients that people have; and what happens when a sign-in expires. */
import { spawn } from 'node:child_process';
import { copyFile, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import postgres from 'postgres';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { formatVerifier, makeVerifier } from '../../src/auth/verifier.ts';
import { type Gateway, startGateway } from '../../src/cli/gateway.ts';
import { parseConfig } from '../../src/config/load.ts';
import { signIn } from '../auth/oauth-client.ts';
import { type IdentityProvider, startOidc } from '../support/oidc.ts';
import { createDatabase, type TestDatabase } from '../support/postgres.ts';
import { hasPsql, psql } from '../support/psql.ts';

const password = 'app password';
const PSQL = 'psql';
let folder: string;
let database: TestDatabase;
let oidc: IdentityProvider;
let gateway: Gateway;
/** What the gateway's clock is ahead of the real one. */
let aheadMs = 0;
const problems: string[] = [];

beforeAll(async () => {
	folder = await mkdtemp(join(tmpdir(), 'portcullis-sign-in-'));
	[database, oidc] = await Promise.all([createDatabase({ setup: 'create table t as select 7 as n' }), startOidc()]);
	await copyFile('policies/model.conf', join(folder, 'model.conf'));
	await writeFile(join(folder, 'policy.csv'), 'p, *, shop, connect, allow\np, *, shop.public.t, select, allow\n');
	await writeFile(join(folder, 'masks.yaml'), 'masks: {}\nfilters: {}\n');
	gateway = await startGateway(await config(), {
		log: { info: () => undefined, warn: () => undefined, error: (_fields, message) => problems.push(message) },
		now: () => Date.now() + aheadMs,
	});
});

afterAll(async () => {
	await gateway.close(0);
	await oidc.stop();
	await database.drop();
	await rm(folder, { recursive: true });
});

async function config(): Promise<Parameters<typeof startGateway>[0]> {
	const { host, port, user } = database;
	const verifier = formatVerifier(await makeVerifier(password));
	const settings = {
		listen: { host: '127.0.0.1', port: 0 },
		identity: {
			issuers: [
				{
					issuer: oidc.issuer,
					audience: oidc.audience,
					clientId: oidc.clientId,
					scopes: ['openid', 'profile'],
					username: 'preferred_username',
				},
			],
			users: [{ name: 'app', password: { scram: verifier } }],
		},
		databases: { shop: { host, port, dbname: database.database, user, password: { env: 'PASSWORD' } } },
		policies: folder,
		audit: { path: join(folder, 'audit') },
	};
	const file = join(folder, 'portcullis.yaml');
	return parseConfig(JSON.stringify(settings), { file, shown: file, env: { PASSWORD: database.password } });
}

/** The audit log's file that is written to. */
async function lastSegment(): Promise<string> {
	const files = (await readdir(join(folder, 'audit'))).filter((name) => name.endsWith('.jsonl')).sort();
	return files.at(-1) ?? 'none';
}

function client(user: string, secret: string | undefined, options?: string, application_name?: string): pg.Client {
	const { host, port } = gateway;
	const made = new pg.Client({
		host,
		port,
		user,
		database: 'shop',
		...(secret === undefined ? {} : { password: secret }),
		...(options === undefined ? {} : { options }),
		...(application_name === undefined ? {} : { application_name }),
	});
	made.on('error', () => undefined);
	return made;
}

async function read(of: pg.Client): Promise<unknown> {
	return (await of.query<{ n: number }>('select n from t')).rows;
}

const rows = [{ n: 7 }];

describe('pg', () => {
	test('a service account by SCRAM', async () => {
		const app = client('app', password);
		await app.connect();
		onTestFinished(() => app.end());
		expect(await read(app)).toEqual(rows);
	});

	test('a person with a token as the password', async () => {
		const ana = client('ana', await oidc.signIn('ana'));
		await ana.connect();
		onTestFinished(() => ana.end());
		expect(await read(ana)).toEqual(rows);
	});

	test('a person by the device flow', async () => {
		const ana = client('ana', undefined, '-c portcullis.login=device -c work_mem=3MB');
		ana.on('notice', ({ message }) => {
			const code = /confirm the code (\S+)/.exec(message ?? '')?.[1];
			if (code !== undefined) void oidc.approveDevice(code, 'ana');
		});
		await ana.connect();
		onTestFinished(() => ana.end());
		expect(await read(ana)).toEqual(rows);
		// The gateway's own option does not reach the server, the others do.
		expect((await ana.query('show work_mem')).rows).toEqual([{ work_mem: '3MB' }]);
	});

	const refused: { name: string; user: string; secret: () => Promise<string>; code: string }[] = [
		{ name: 'a wrong password', user: 'app', secret: async () => 'x', code: '28P01' },
		{ name: "a token in place of an account's password", user: 'app', secret: () => oidc.signIn('ana'), code: '28P01' },
		{ name: "an account's password in place of a token", user: 'ana', secret: async () => password, code: '28P01' },
		{ name: "somebody else's token", user: 'ben', secret: () => oidc.signIn('ana'), code: '28000' },
		{ name: 'a forged token', user: 'ana', secret: () => oidc.forge('ana', { key: 'foreign' }), code: '28P01' },
		{ name: 'an expired token', user: 'ana', secret: () => oidc.forge('ana', { expiresInS: -60 }), code: '28P01' },
		{
			name: 'a token for another audience',
			user: 'ana',
			secret: () => oidc.forge('ana', { audience: 'x' }),
			code: '28P01',
		},
		{
			name: 'a token that calls itself a service account',
			user: 'app',
			secret: () => oidc.forge('app', { claims: { preferred_username: 'app' } }),
			code: '28P01',
		},
	];
	test.each(refused)('$name: $code', async ({ user, secret, code }) => {
		await expect(client(user, await secret()).connect()).rejects.toMatchObject({ code, severity: 'FATAL' });
	});
});

test('drivers that take a function ask for a token for each connection', async () => {
	let asked = 0;
	const password = (): Promise<string> => {
		asked += 1;
		return oidc.signIn('ana');
	};
	const { host, port } = gateway;
	const one = { host, port, user: 'ana', database: 'shop' };
	for (let connection = 1; connection <= 2; connection += 1) {
		const ana = new pg.Client({ ...one, password });
		await ana.connect();
		expect(await read(ana)).toEqual(rows);
		await ana.end();
		expect(asked).toBe(connection);
	}
	const sql = postgres({ ...one, password, max: 1, onnotice: () => undefined });
	onTestFinished(() => sql.end());
	expect([...(await sql`select n from t`)]).toEqual(rows);
	expect(asked).toBe(3);
});

test('postgres.js by the device flow', async () => {
	const { host, port } = gateway;
	const sql = postgres({
		host,
		port,
		user: 'ana',
		database: 'shop',
		connection: { options: '-c portcullis.login=device' },
		max: 1,
		fetch_types: false,
		onnotice: ({ message }) => {
			const code = /confirm the code (\S+)/.exec(message ?? '')?.[1];
			if (code !== undefined) void oidc.approveDevice(code, 'ana');
		},
	});
	onTestFinished(() => sql.end({ timeout: 1 }));
	expect([...(await sql`select n from t`)]).toEqual(rows);
});

describe('the server knows whose session it is', () => {
	const asked = "select current_setting('portcullis.user') as who, current_setting('application_name') as app";

	test('by settings, with the application_name as the client gave it', async () => {
		for (const application_name of [undefined, 'a tool']) {
			const ana = client('ana', await oidc.signIn('ana'), '-c work_mem=3MB', application_name);
			await ana.connect();
			onTestFinished(() => ana.end());
			expect((await ana.query(asked)).rows).toEqual([{ who: 'ana', app: application_name ?? '' }]);
			const [pid] = (await ana.query<{ pid: number }>('select pg_backend_pid() as pid')).rows;
			const seen = await database.sql(`select application_name from pg_stat_activity where pid = ${pid?.pid}`);
			expect(seen).toEqual([{ application_name: application_name ?? '' }]);
			const audited = await ana.query<{ id: string }>("select current_setting('portcullis.session') as id");
			const log = await readFile(join(folder, 'audit', await lastSegment()), 'utf8');
			expect(log).toContain(audited.rows[0]?.id);
		}
	});

	test('and no statement changes that', async () => {
		const ana = client('ana', await oidc.signIn('ana'));
		await ana.connect();
		onTestFinished(() => ana.end());
		const attempts = [
			'set portcullis."user" = \'ben\'',
			'set local portcullis."user" = \'ben\'',
			'set "portcullis"."user" = \'ben\'',
			'set PORTCULLIS."User" to \'ben\'',
			'reset portcullis."user"',
			"select set_config('portcullis.user', 'ben', false)",
			"select set_config('Portcullis.USER', 'ben', true)",
			"select set_config('port' || 'cullis.user', 'ben', false)",
			"select pg_catalog.set_config(n, 'ben', false) from (values ('portcullis.user')) as v (n)",
			"do $$ begin perform set_config('portcullis.user', 'ben', false); end $$",
			"create function pg_temp.f() returns int language sql set portcullis.session = 'ben' as 'select 1'",
			"alter role current_user set portcullis.session = 'ben'",
			"begin; set portcullis.session = 'x'",
		];
		for (const sql of attempts) {
			await expect(
				ana.query(sql).then(() => sql),
				sql,
			).rejects.toMatchObject({ code: '42501' });
			await ana.query('rollback');
		}
		const bound = ana.query('select set_config($1, $2, false)', ['portcullis.user', 'ben']);
		await expect(bound).rejects.toMatchObject({ code: '42501' });
		for (const sql of ['discard all', 'reset all']) await ana.query(sql).catch(() => undefined);
		expect((await ana.query(asked)).rows).toMatchObject([{ who: 'ana' }]);
	});

	test('nor does the startup packet', async () => {
		const token = await oidc.signIn('ana');
		const ana = client('ana', token, '-c portcullis.user=ben --Portcullis.User=ben');
		await ana.connect();
		onTestFinished(() => ana.end());
		expect((await ana.query(asked)).rows).toMatchObject([{ who: 'ana' }]);
		const words = '-c x.y\\ -c\\ portcullis.user=ben';
		await expect(client('ana', token, words).connect()).rejects.toMatchObject({ code: '42501' });
	});
});

test('OAUTHBEARER as libpq 18 does it', async () => {
	const { port } = gateway;
	const attempts = await signIn(port, 'ana', () => oidc.signIn('ana'), '-c portcullis.login=oauthbearer');
	expect(attempts.map(({ signedIn }) => signedIn)).toEqual([false, true]);
	expect(attempts[0]?.failure).toMatchObject({
		status: 'invalid_token',
		'openid-configuration': `${oidc.issuer}/.well-known/openid-configuration`,
		scope: 'openid profile',
	});
});

describe.runIf(hasPsql())('psql', () => {
	test('an account, and a person with a token', async () => {
		const { host, port } = gateway;
		for (const [user, secret] of [
			['app', password],
			['ana', await oidc.signIn('ana')],
		] as const) {
			const result = await psql({ host, port, user, password: secret, database: 'shop' }, 'select n from t;');
			expect(result).toMatchObject({ status: 0, stdout: '7\n' });
		}
	});

	test('the device flow: nothing to configure but the option', async () => {
		const env = { PATH: process.env['PATH'] ?? '', HOME: '/nonexistent', PGOPTIONS: '-c portcullis.login=device' };
		const target = `host=${gateway.host} port=${gateway.port} user=ana dbname=shop`;
		const child = spawn(PSQL, ['-X', '-A', '-t', '-c', 'select n from t', target], { env });
		let said = '';
		let got = '';
		child.stdout.on('data', (chunk) => {
			got += String(chunk);
		});
		child.stderr.on('data', (chunk) => {
			const before = said;
			said += String(chunk);
			const code = /confirm the code (\S+)\n/.exec(said)?.[1];
			if (code !== undefined && !before.includes(code)) void oidc.approveDevice(code, 'ana');
		});
		const status = await new Promise((resolve) => {
			child.on('close', resolve);
		});
		expect({ status, got }).toEqual({ status: 0, got: '7\n' });
		expect(said).toMatch(/^NOTICE: {2}sign in as ana: open http/);
	});
});

test('when the token expires the transaction goes on, and then no statement is taken any more', async () => {
	const ana = client('ana', await oidc.forge('ana', { expiresInS: 600 }));
	await ana.connect();
	onTestFinished(() => {
		aheadMs = 0;
	});
	await ana.query('begin');
	aheadMs = 600_000;
	expect(await read(ana)).toEqual(rows);
	// The tolerance of 30 s that lets a token in holds at its end too.
	aheadMs = 640_000;
	expect(await read(ana)).toEqual(rows);
	await ana.query('commit');
	await expect(read(ana)).rejects.toMatchObject({ code: '28000', severity: 'FATAL' });
	await ana.end().catch(() => undefined);
});

test('nothing of this was a trouble for the gateway itself', () => {
	expect(problems).toEqual([]);
});
