/** Sign-in against an OpenID provider by others (glewlwyd, in C): what was learnt with the first one is not a habit of it. */
import { spawn } from 'node:child_process';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { TokenVerifier } from '../../src/auth/token.ts';
import { login, logout, token } from '../../src/cli/person/commands.ts';
import { signIn } from '../auth/oauth-client.ts';
import { arrive, type TestPerson } from '../cli/person/person.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { AUDIENCE, type Glewlwyd, hasGlewlwyd, SCOPE, startGlewlwyd } from '../support/glewlwyd.ts';
import { hasPsql } from '../support/psql.ts';

const WHO = "select current_setting('portcullis.user') as who";

describe.runIf(hasGlewlwyd())('glewlwyd', () => {
	let provider: Glewlwyd;
	let gateway: TestGateway;
	/** What the gateway's clock is ahead of the real one. */
	let aheadMs = 0;

	beforeAll(async () => {
		provider = await startGlewlwyd([
			{ name: 'ana', email: 'ana@acme.example', groups: ['audit', 'data-team'] },
			{ name: 'ben', email: 'ben@acme.example', groups: ['data-team'] },
		]);
		const { issuer, clientId } = provider;
		gateway = await startGateway({
			now: () => Date.now() + aheadMs,
			policies: {
				'policy.csv':
					'p, *, shop, connect, allow\np, group:audit, shop.hr.secrets, select, allow\np, user:workload:reporting, shop.public.offices, select, allow\n',
			},
			configure: (config) => {
				config.identity.issuers.unshift({
					issuer,
					audience: AUDIENCE,
					clientId,
					scopes: ['openid', SCOPE],
					parameters: { resource: AUDIENCE },
					username: 'preferred_username',
					groups: 'groups',
					workloads: {},
				});
				const [, other] = config.identity.issuers;
				if (other !== undefined) other['prefix'] = 'first:';
			},
		});
	}, 30_000);

	afterAll(async () => {
		await gateway?.stop();
		await provider?.stop();
	});

	async function connect(user: string, password: string, more: pg.ClientConfig = {}): Promise<pg.Client> {
		const client = await gateway.connect('app', { user, password, ...more });
		onTestFinished(() => client.end().catch(() => undefined));
		return client;
	}

	/** Somebody at a command line, whose browser is signed in at the provider. */
	async function person(name: string, env: NodeJS.ProcessEnv = {}): Promise<TestPerson> {
		const made = await arrive(env);
		onTestFinished(() => made.leave());
		made.browser = (url) => {
			void provider.authorize(url, name).then((back) => fetch(back));
			return true;
		};
		return made;
	}

	async function signedIn(name: string): Promise<TestPerson> {
		const made = await person(name);
		await signInAt(made, provider.clientId);
		return made;
	}

	async function signInAt(who: TestPerson, clientId: string): Promise<void> {
		const { issuer, redirect } = provider;
		const where = { issuer, clientId, redirect, scope: ['openid', SCOPE], param: { resource: AUDIENCE } };
		await login(who.io, { profile: 'default', ...where }, who.deps);
	}

	async function tokenOf(made: TestPerson): Promise<string> {
		made.written.out = '';
		await token(made.io, { profile: 'default' }, made.deps);
		return made.written.out.trim();
	}

	test('a workload signs in with a token that it got by client credentials', async () => {
		const client = await connect('workload:reporting', await provider.workloadToken());
		expect((await client.query(WHO)).rows).toEqual([{ who: 'workload:reporting' }]);
		expect((await client.query('select count(*)::int as n from public.offices')).rows).toEqual([{ n: 5 }]);
		await expect(client.query('select * from hr.secrets')).rejects.toMatchObject({ code: '42501' });
	});

	test('a workload is nobody else, and a token for somebody else does not do', async () => {
		await expect(connect('reporting', await provider.workloadToken())).rejects.toMatchObject({ code: '28000' });
		await expect(connect('ana', await provider.workloadToken())).rejects.toMatchObject({ code: '28000' });
		const other = await provider.workloadToken('https://other.example.com');
		await expect(connect('workload:reporting', other)).rejects.toMatchObject({ code: '28P01' });
	});

	test('a person signs in in the browser, and is who the provider says, with their groups', async () => {
		const ana = await signedIn('ana');
		expect(ana.written.out).toContain('Signed in as ana');
		const client = await connect('ana', await tokenOf(ana));
		expect((await client.query('select count(*)::int as n from hr.secrets')).rows).toEqual([{ n: 3 }]);
		const ben = await connect('ben', await tokenOf(await signedIn('ben')));
		await expect(ben.query('select * from hr.secrets')).rejects.toMatchObject({ code: '42501' });
	});

	test('the token is renewed, and forgotten at logout', async () => {
		const ana = await signedIn('ana');
		const before = await tokenOf(ana);
		ana.clock.aheadMs = 570_000;
		const after = await tokenOf(ana);
		ana.clock.aheadMs = 0;
		expect(after).not.toBe(before);
		const client = await connect('ana', after);
		expect((await client.query(WHO)).rows).toEqual([{ who: 'ana' }]);
		// A client without a secret may not revoke there, and the person is told.
		await logout(ana.io, { profile: 'default' }, ana.deps);
		expect(ana.written.err).toMatch(/the provider could not be told: .*\/revoke: status 401\n$/);
		expect(ana.written.out).toContain('Forgot the sign-in of ana.');
	});

	test('asked about a token, it says who it is of, and that it is revoked', async () => {
		const { clientId, clientSecret } = provider.desk;
		const ana = await person('ana', { PORTCULLIS_CLIENT_SECRET: clientSecret });
		await signInAt(ana, clientId);
		const introspection = { clientId, clientSecret, always: true };
		const settings = { issuer: provider.issuer, audience: AUDIENCE, username: 'preferred_username', introspection };
		const verifier = new TokenVerifier([settings], { fetch, now: Date.now });
		const held = await tokenOf(ana);
		expect(await verifier.verify(held, 'token')).toMatchObject({ ok: true, identity: { name: 'ana' } });
		await logout(ana.io, { profile: 'default' }, ana.deps);
		expect(ana.written.out).toContain('Signed out ana.');
		expect(await verifier.verify(held, 'token')).toMatchObject({
			ok: false,
			reason: expect.stringContaining('not active') as string,
		});
	});

	test.runIf(hasPsql())('psql shows the code, and goes on when the person has approved it', async () => {
		const env = { PATH: process.env['PATH'] ?? '', HOME: '/nonexistent', PGOPTIONS: '-c portcullis.login=device' };
		const target = `host=${gateway.host} port=${gateway.port} user=ana dbname=shop`;
		const child = spawn('psql', ['-XAt', '-c', WHO, target], { env });
		let [said, got, approved] = ['', '', false];
		child.stdout.on('data', (chunk) => {
			got += String(chunk);
		});
		child.stderr.on('data', (chunk) => {
			said += String(chunk);
			const url = /open (\S+) and confirm the code \S+\n/.exec(said)?.[1];
			if (url === undefined || approved) return;
			approved = true;
			void provider.approveDevice(url, 'ana');
		});
		const status = await new Promise((resolve) => child.once('close', resolve));
		expect({ status, got }, said).toEqual({ status: 0, got: 'ana\n' });
	});

	test('OAUTHBEARER as libpq 18 does it', async () => {
		const ana = await signedIn('ana');
		const options = '-c portcullis.login=oauthbearer';
		const attempts = await signIn(gateway.port, 'ana', () => tokenOf(ana), options);
		expect(attempts.map((attempt) => attempt.signedIn)).toEqual([false, true]);
		expect(attempts[0]?.failure).toMatchObject({
			status: 'invalid_token',
			'openid-configuration': `${provider.issuer}/.well-known/openid-configuration`,
			scope: `openid ${SCOPE}`,
		});
	});

	test('a new key is fetched when a token names it', async () => {
		await connect('workload:reporting', await provider.workloadToken());
		await provider.rotate();
		const fresh = await provider.workloadToken();
		// An unknown key id is asked about once in 30 seconds at most.
		aheadMs += 31_000;
		const client = await connect('workload:reporting', fresh);
		expect((await client.query(WHO)).rows).toEqual([{ who: 'workload:reporting' }]);
	});
});
