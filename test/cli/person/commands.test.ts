/** login, token, psql and logout against a real OpenID provider; psql through a real gateway to a real database. */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFile, stat } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { decodeJwt } from 'jose';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { type LoginOptions, login, logout, token } from '../../../src/cli/person/commands.ts';
import { readProfile, writeProfile } from '../../../src/cli/person/profile.ts';
import { startGateway, type TestGateway } from '../../support/gateway.ts';
import { type IdentityProvider, startOidc } from '../../support/oidc.ts';
import { compiledProgram } from '../../support/program.ts';
import { hasPsql } from '../../support/psql.ts';
import { arrive, type TestPerson } from './person.ts';

let oidc: IdentityProvider;

beforeAll(async () => {
	oidc = await startOidc({ tokenLifetimeS: 600 });
});

afterAll(async () => {
	await oidc.stop();
});

/** Somebody whose browser signs in as `name`, and comes back to wherever the provider sends it. */
async function someone(name = 'ana', env: NodeJS.ProcessEnv = {}): Promise<TestPerson & { pages: string[] }> {
	const person = await arrive(env);
	onTestFinished(() => person.leave());
	const pages: string[] = [];
	person.browser = (url) => {
		void browse(url, name).then((page) => pages.push(page));
		return true;
	};
	return Object.assign(person, { pages });
}

async function browse(url: string, name: string): Promise<string> {
	const back = await oidc.authorize(url, name);
	return (await fetch(back)).text();
}

function first(): LoginOptions {
	return { profile: 'default', issuer: oidc.issuer, clientId: oidc.clientId };
}

async function tokensOf(person: TestPerson): Promise<NonNullable<Awaited<ReturnType<typeof readProfile>>>['tokens']> {
	return (await readProfile(person.file))?.tokens ?? null;
}

describe('login', () => {
	test('in the browser, with PKCE; only the owner can read what is kept', async () => {
		const ana = await someone();
		expect(await login(ana.io, first(), ana.deps)).toBe(0);
		expect(ana.written.out).toBe('Signed in as ana; the token is renewed by itself.\n');
		const url = new URL(/http\S+/.exec(ana.written.err)?.[0] ?? '');
		expect(Object.fromEntries(url.searchParams)).toMatchObject({
			response_type: 'code',
			code_challenge_method: 'S256',
			prompt: 'consent',
			scope: 'openid profile email offline_access',
			redirect_uri: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+\/callback$/) as string,
		});
		expect((await stat(ana.file)).mode & 0o777).toBe(0o600);
		const tokens = await tokensOf(ana);
		expect(decodeJwt(tokens?.token ?? '')).toMatchObject({ aud: oidc.audience, preferred_username: 'ana' });
		expect(tokens?.refreshToken).toBeTruthy();
		expect(ana.pages.join()).toContain('You can close this page');
		// Nothing of the token is shown.
		expect(ana.written.out + ana.written.err).not.toContain(tokens?.token.slice(0, 20));
	});

	test('by a code on another device', async () => {
		const ana = await someone();
		const { err } = ana.io;
		const io = {
			...ana.io,
			err: (text: string) => {
				err(text);
				const code = /confirm the code (\S+)/.exec(text)?.[1];
				if (code !== undefined) void oidc.approveDevice(code, 'ana');
			},
		};
		expect(await login(io, { ...first(), device: true }, ana.deps)).toBe(0);
		expect(decodeJwt((await tokensOf(ana))?.token ?? '')).toMatchObject({ preferred_username: 'ana' });
	});

	test('what was said once is remembered, and forgotten for another provider', async () => {
		const ana = await someone();
		const told = {
			host: 'gw.example.com',
			port: 7000,
			sslmode: 'verify-full',
			username: 'email',
			scope: ['openid', 'email'],
		};
		await login(ana.io, { ...first(), ...told }, ana.deps);
		await login(ana.io, { profile: 'default' }, ana.deps);
		expect(await readProfile(ana.file)).toMatchObject({
			gateway: { host: 'gw.example.com', port: 7000, sslmode: 'verify-full' },
			username: 'email',
			scopes: ['openid', 'email'],
			tokens: { user: oidc.people.find(({ name }) => name === 'ana')?.email },
		});
		const elsewhere = { profile: 'default', issuer: 'https://other.example.com' };
		await expect(login(ana.io, elsewhere, ana.deps)).rejects.toThrow(
			/first sign-in at https:\/\/other\.example\.com needs --client-id/,
		);
	});

	test('with the ID token in place of the access token', async () => {
		const ana = await someone();
		await login(ana.io, { ...first(), idToken: true }, ana.deps);
		expect(decodeJwt((await tokensOf(ana))?.token ?? '')).toMatchObject({ aud: oidc.clientId });
	});

	test('back to the address that is registered, which is remembered', async () => {
		const ana = await someone();
		const taken = createServer();
		await once(taken.listen(0, '127.0.0.1'), 'listening');
		const { port } = taken.address() as AddressInfo;
		const redirect = `http://127.0.0.1:${port}/callback`;
		await expect(login(ana.io, { ...first(), redirect }, ana.deps)).rejects.toThrow(
			/could not come back to it: .*EADDRINUSE/,
		);
		taken.close();
		await once(taken, 'close');
		await login(ana.io, { ...first(), redirect }, ana.deps);
		expect(ana.written.err).toContain(encodeURIComponent(redirect));
		ana.written.err = '';
		await login(ana.io, { profile: 'default' }, ana.deps);
		expect(ana.written.err).toContain(encodeURIComponent(redirect));
	});

	test('without opening a browser', async () => {
		const ana = await someone();
		const { err } = ana.io;
		const opened: string[] = [];
		const io = {
			...ana.io,
			err: (text: string) => {
				err(text);
				const url = /Sign in here: (\S+)/.exec(text)?.[1];
				if (url !== undefined) void browse(url, 'ana');
			},
		};
		const deps = { ...ana.deps, openBrowser: (url: string) => opened.push(url) > 0 };
		expect(await login(io, { ...first(), browser: false }, deps)).toBe(0);
		expect(opened).toEqual([]);
	});

	test('answers to another flow, or from another provider, change nothing', async () => {
		const ana = await someone();
		const answers: string[] = [];
		ana.browser = (url) => {
			void (async () => {
				const back = new URL(await oidc.authorize(url, 'ana'));
				const attempts: ((query: URLSearchParams) => void)[] = [
					(query) => query.set('state', 'x'),
					(query) => query.delete('state'),
					(query) => query.append('state', 'x'),
					(query) => query.set('iss', 'https://evil.example.com'),
					(query) => query.delete('code'),
				];
				for (const change of attempts) {
					const forged = new URL(back);
					change(forged.searchParams);
					answers.push(`${(await fetch(forged)).status}`);
				}
				answers.push(`${(await fetch(new URL('/', back))).status}`);
				answers.push(`${(await fetch(back, { method: 'POST' })).status}`);
				await fetch(back);
			})();
			return true;
		};
		expect(await login(ana.io, first(), ana.deps)).toBe(0);
		expect(answers).toEqual(['400', '400', '400', '400', '400', '404', '404']);
	});

	const failures: { name: string; options: Partial<LoginOptions>; change?: (back: URL) => void; want: RegExp }[] = [
		{
			name: 'no issuer',
			options: { issuer: undefined as never },
			want: /needs --host, the name of the gateway, or --issuer/,
		},
		{ name: 'an issuer over plaintext', options: { issuer: 'http://id.example.com' }, want: /must be https/ },
		{
			name: 'a browser that would come back elsewhere',
			options: { redirect: 'https://example.com/callback' },
			want: /must be http:\/\/127\.0\.0\.1 or http:\/\/localhost/,
		},
		{
			name: 'a browser that would come back by a query',
			options: { redirect: 'http://localhost:1/?a=b' },
			want: /a port and a path only/,
		},
		{ name: 'a mode that may fall back', options: { sslmode: 'prefer' }, want: /must be one of disable, require/ },
		{
			name: 'a provider that is not there',
			options: { issuer: 'http://127.0.0.1:1' },
			want: /127\.0\.0\.1:1\/.*ECONN|bad port/,
		},
		{ name: 'a claim that is not there', options: { username: 'nick' }, want: /has no name \(nick\): --username/ },
		{
			name: 'the person says no',
			options: {},
			change: (back) => {
				back.searchParams.delete('code');
				back.searchParams.set('error', 'access_denied');
				back.searchParams.set('error_description', 'not today');
			},
			want: /refused the sign-in: access_denied: not today/,
		},
		{
			name: 'a code that is not good',
			options: {},
			change: (back) => back.searchParams.set('code', 'stolen'),
			want: /refused the sign-in: .*invalid_grant/,
		},
	];
	test.each(failures)('comes to nothing: $name', async ({ options, change, want }) => {
		const ana = await someone();
		ana.browser = (url) => {
			void oidc.authorize(url, 'ana').then((back) => {
				const changed = new URL(back);
				change?.(changed);
				return fetch(changed);
			});
			return true;
		};
		await expect(login(ana.io, { ...first(), ...options }, ana.deps)).rejects.toThrow(want);
		expect(await readProfile(ana.file)).toBeNull();
	});
});

describe('token', () => {
	test('is printed, and renewed before it ends', async () => {
		const ana = await someone();
		await login(ana.io, first(), ana.deps);
		ana.written.out = '';
		await token(ana.io, { profile: 'default' }, ana.deps);
		const one = ana.written.out.trim();
		expect(decodeJwt(one)).toMatchObject({ preferred_username: 'ana' });
		// What the provider gives has its own clock; here it only matters that the file says that it ends soon.
		await shorten(ana);
		ana.written.out = '';
		await token(ana.io, { profile: 'default' }, ana.deps);
		expect(ana.written.out.trim()).not.toBe(one);
		expect(decodeJwt(ana.written.out.trim())).toMatchObject({ preferred_username: 'ana' });
		expect(ana.asked.filter((path) => path.endsWith('refresh_token'))).toHaveLength(1);
	});

	test('processes at the same time renew it once', async () => {
		const ana = await someone();
		await login(ana.io, first(), ana.deps);
		await shorten(ana);
		ana.written.out = '';
		await Promise.all(Array.from({ length: 5 }, () => token(ana.io, { profile: 'default' }, ana.deps)));
		expect(new Set(ana.written.out.trim().split('\n')).size).toBe(1);
		expect(ana.asked.filter((path) => path.endsWith('refresh_token'))).toHaveLength(1);
	});

	test('of a sign-in that the provider has ended: sign in again', async () => {
		const ana = await someone();
		await login(ana.io, first(), ana.deps);
		await oidc.revoke((await tokensOf(ana))?.refreshToken ?? '');
		await shorten(ana);
		await expect(token(ana.io, { profile: 'default' }, ana.deps)).rejects.toThrow(
			/has ended .*invalid_grant.*portcullis login/,
		);
	});

	test('without a refresh token, or without a sign-in', async () => {
		const ana = await someone();
		await expect(token(ana.io, { profile: 'default' }, ana.deps)).rejects.toThrow(/nobody is signed in/);
		await login(ana.io, { ...first(), scope: ['openid', 'profile'] }, ana.deps);
		expect(ana.written.out).toBe('Signed in as ana for 10 minutes.\n');
		await shorten(ana);
		await expect(token(ana.io, { profile: 'default' }, ana.deps)).rejects.toThrow(/has expired: portcullis login/);
	});

	async function shorten(person: TestPerson): Promise<void> {
		const profile = await readProfile(person.file);
		if (profile?.tokens == null) throw new Error('nobody is signed in');
		await writeProfile(person.file, { ...profile, tokens: { ...profile.tokens, expiresAtMs: Date.now() + 30_000 } });
	}
});

test('logout forgets the tokens and tells the provider', async () => {
	const ana = await someone();
	await login(ana.io, first(), ana.deps);
	const { refreshToken } = (await tokensOf(ana)) ?? {};
	ana.written.out = '';
	expect(await logout(ana.io, { profile: 'default' }, ana.deps)).toBe(0);
	expect(ana.written.out).toBe('Signed out ana.\n');
	expect(await readFile(ana.file, 'utf8')).not.toContain(refreshToken);
	const form = { grant_type: 'refresh_token', client_id: oidc.clientId, refresh_token: refreshToken ?? '' };
	const answer = await fetch(`${oidc.issuer}/token`, { method: 'POST', body: new URLSearchParams(form) });
	expect(await answer.json()).toMatchObject({ error: 'invalid_grant' });
	await logout(ana.io, { profile: 'default' }, ana.deps);
	expect(ana.written.out).toContain('Nobody was signed in.');
});

describe.runIf(hasPsql())('psql', () => {
	let gateway: TestGateway;

	beforeAll(async () => {
		// Whatever people are asked for otherwise, a token as the password does.
		gateway = await startGateway({
			configure: (config) => {
				config.identity['login'] = 'oauthbearer';
			},
		});
	});

	afterAll(async () => {
		await gateway.stop();
	});

	/** The command as it is installed, in a process of its own. */
	async function run(
		person: TestPerson,
		...args: readonly string[]
	): Promise<{ status: number; out: string; err: string }> {
		const [node, program] = await compiledProgram();
		return new Promise((resolve) => {
			const { env } = person.io;
			const child = execFile(node, [program, ...args], { env, timeout: 100_000 }, (error, out, err) => {
				resolve({ status: error === null ? 0 : Number(error.code ?? -1), out, err });
			});
			child.stdin?.end();
		});
	}

	async function signedIn(name: string, env: NodeJS.ProcessEnv = {}): Promise<TestPerson> {
		const person = await arrive(env);
		onTestFinished(() => person.leave());
		person.browser = (url) => {
			void gateway.provider.authorize(url, name).then((back) => fetch(back));
			return true;
		};
		const { issuer, clientId } = gateway.provider;
		const { host, port } = gateway;
		await login(person.io, { profile: 'default', issuer, clientId, host, port }, person.deps);
		return person;
	}

	test('is signed in, on the database asked for, with what the policy lets them see', async () => {
		const ben = await signedIn('ben');
		const args = [
			'psql',
			'shop',
			'-XAt',
			'-c',
			"select current_setting('portcullis.user'), ssn from hr.employees limit 1",
		];
		const got = await run(ben, ...args);
		expect(got).toMatchObject({ status: 0, out: expect.stringMatching(/^ben\|XXX-XX-\d{4}\n$/) as string });
	});

	test("the status is psql's own, and so are its words", async () => {
		const ben = await signedIn('ben');
		const got = await run(ben, 'psql', 'shop', '-X', '-v', 'ON_ERROR_STOP=1', '-c', 'select * from hr.secrets');
		expect(got.status).toBe(1);
		expect(got.err).toContain('permission denied');
	});

	test('nothing in arguments or environment leads the token elsewhere', async () => {
		const ben = await signedIn('ben', {
			PGHOST: '192.0.2.1',
			PGHOSTADDR: '192.0.2.1',
			PGPORT: '1',
			PGUSER: 'x',
			PGDATABASE: 'x',
		});
		const got = await run(ben, 'psql', 'shop', '-XAt', '-h', '192.0.2.2', '-p', '2', '-U', 'y', '-c', 'select 1');
		expect(got).toMatchObject({ status: 0, out: '1\n' });
		const odd = await run(ben, 'psql', "host=192.0.2.1 dbname='x\\", '-XAt', '-c', 'select 1');
		expect(odd.err).toContain('database "host=192.0.2.1 dbname=\'x\\" does not exist');
	});

	test('options of the person go along', async () => {
		const ben = await signedIn('ben', { PGOPTIONS: '-c work_mem=3MB' });
		expect((await run(ben, 'psql', 'shop', '-XAt', '-c', 'show work_mem')).out).toBe('3MB\n');
	});

	test('another machine is asked over TLS only', async () => {
		const ben = await signedIn('ben');
		const profile = await readProfile(ben.file);
		if (profile === null) throw new Error('no profile');
		// A name that is not one of this machine, though it leads here: the gateway at hand has no TLS.
		await writeProfile(ben.file, { ...profile, gateway: { ...profile.gateway, host: 'LOCALHOST' } });
		const got = await run(ben, 'psql', 'shop', '-X', '-c', 'select 1');
		expect(got.status).toBe(2);
		expect(got.err).toMatch(/server does not support SSL/);
	});

	test('where psql is missing, or nobody is signed in, one line says so', async () => {
		const ben = await signedIn('ben');
		const { PATH: _path, ...env } = ben.io.env;
		const without = { ...ben, io: { ...ben.io, env: { ...env, PATH: '/nonexistent' } } };
		expect(await run(without, 'psql', 'shop')).toEqual({
			status: 1,
			out: '',
			err: 'portcullis: psql is not installed\n',
		});
		const nobody = await arrive();
		onTestFinished(() => nobody.leave());
		const got = await run(nobody, 'psql', 'shop');
		expect(got).toEqual({ status: 1, out: '', err: 'portcullis: nobody is signed in: portcullis login\n' });
	});
});
