/** The device flow (RFC 8628) in the terminal: each answer of a provider, limits, and a real provider with real clients. */
import { spawn } from 'node:child_process';
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { AuthBridge } from '../../src/auth/bridge.ts';
import { DeviceFlows } from '../../src/auth/device-exchange.ts';
import { ADDRESS_FAILURES } from '../../src/auth/limits.ts';
import type { LoginRequest, Step } from '../../src/auth/exchange.ts';
import type { IssuerSettings } from '../../src/auth/settings.ts';
import { decodeBackend } from '../../src/wire/backend.ts';
import { type IdentityProvider, startOidc } from '../support/oidc.ts';
import { hasPsql } from '../support/psql.ts';
import { LoginGate } from './gate.ts';
import { FakeIssuer, makeKey } from './issuer.ts';

const key = await makeKey('k1');
const clientToken = 'psql';

/** A provider whose answers to polls are given one by one; its clock goes on by the waits of the gateway. */
class FakeProvider extends FakeIssuer {
	/** Answers of the token endpoint, in order; a number is a status without meaning, 'down' no answer. */
	polls: (Record<string, unknown> | number | 'down')[] = [];
	authorization: Record<string, unknown> = {
		device_code: 'dc',
		user_code: 'ABCD-EFGH',
		verification_uri: 'https://id.example.com/device',
		verification_uri_complete: 'https://id.example.com/device?user_code=ABCD-EFGH',
		expires_in: 600,
		interval: 5,
	};
	readonly waits: number[] = [];
	readonly forms: Record<string, string>[] = [];

	constructor() {
		super('https://id.example.com', [key]);
		this.metadata = {
			device_authorization_endpoint: 'https://id.example.com/device/auth',
			token_endpoint: 'https://id.example.com/token',
		};
		this.routes.set('/device/auth', (form) => {
			this.forms.push(Object.fromEntries(form));
			return Response.json(this.authorization);
		});
		this.routes.set('/token', (form) => {
			this.forms.push(Object.fromEntries(form));
			const next = this.polls.shift();
			if (next === undefined) throw new Error('polled too often');
			if (next === 'down') throw new TypeError('fetch failed');
			if (typeof next === 'number') return Response.json({}, { status: next });
			return Response.json(next, { status: 'error' in next ? 400 : 200 });
		});
	}

	readonly delay = async (ms: number): Promise<void> => {
		this.waits.push(ms);
		this.nowMs += ms;
		await Promise.resolve();
	};
}

const PSQL = 'psql';
let provider: FakeProvider;

beforeEach(() => {
	provider = new FakeProvider();
});

function bridge(fields: Partial<IssuerSettings> = {}): AuthBridge {
	const issuer = {
		issuer: provider.issuer,
		audience: 'portcullis',
		username: 'email',
		clientId: clientToken,
		scopes: ['openid', 'groups'],
		...fields,
	};
	const { now, fetch, delay } = provider;
	return new AuthBridge({ login: 'device', issuers: [issuer] }, { now, fetch, delay });
}

const request: LoginRequest = {
	user: 'ana',
	database: 'shop',
	tls: { version: 'TLSv1.3', cipher: 'x' },
	address: '10.0.0.7',
};

/** First and last step. */
async function run(fields: Partial<LoginRequest> = {}, of = bridge()): Promise<{ shown: string[]; last: Step }> {
	const first = await of.begin({ ...request, ...fields }).step(null);
	if (first.type !== 'wait') return { shown: [], last: first };
	const shown = first.messages.map((bytes) => {
		const message = decodeBackend(bytes);
		return message.type === 'NoticeResponse' ? (message.fields.get('M') ?? '') : message.type;
	});
	return { shown, last: await first.next };
}

const pending = { error: 'authorization_pending' };

describe('approval', () => {
	test('shows address and code after AuthenticationOk, polls as asked, and signs in', async () => {
		provider.polls = [pending, pending, { access_token: await provider.token() }];
		const { shown, last } = await run();
		expect(shown).toEqual([
			'AuthenticationOk',
			'sign in as ana: open https://id.example.com/device?user_code=ABCD-EFGH and confirm the code ABCD-EFGH',
		]);
		expect(last).toMatchObject({ type: 'done', messages: [], identity: { name: 'ana', method: 'device' } });
		expect(provider.waits).toEqual([5000, 5000, 5000]);
		expect(provider.forms[0]).toEqual({ client_id: 'psql', scope: 'openid groups' });
		expect(provider.forms[1]).toEqual({
			client_id: 'psql',
			grant_type: 'urn:ietf:params:oauth:grant-type:device_code',
			device_code: 'dc',
		});
	});

	test('a client secret goes to the provider only', async () => {
		provider.polls = [{ access_token: await provider.token() }];
		const { shown, last } = await run({}, bridge({ clientSecret: 'hush' }));
		expect(last.type).toBe('done');
		expect(provider.forms.map((form) => form['client_secret'])).toEqual(['hush', 'hush']);
		expect(shown.join()).not.toContain('hush');
	});

	test('the ID token does where the access token is opaque or for somebody else', async () => {
		const idToken = await provider.token({ claims: { aud: 'psql' } });
		for (const accessToken of ['opaque', await provider.token({ claims: { aud: 'elsewhere' } })]) {
			provider.polls = [{ access_token: accessToken, id_token: idToken }];
			expect((await run()).last).toMatchObject({ type: 'done', identity: { name: 'ana' } });
		}
	});

	test('slows down when asked, and while the provider fails', async () => {
		const token = await provider.token({ claims: { exp: 1_700_009_999 } });
		provider.polls = [{ error: 'slow_down' }, pending, 503, 'down', 429, pending, { access_token: token }];
		expect((await run()).last.type).toBe('done');
		expect(provider.waits).toEqual([5000, 10_000, 10_000, 20_000, 40_000, 60_000, 60_000]);
	});

	test('without verification_uri_complete, expires_in and interval', async () => {
		provider.authorization = { device_code: 'dc', user_code: 'ABCD', verification_uri: 'https://id.example.com/d' };
		provider.polls = [{ access_token: await provider.token() }];
		const { shown, last } = await run();
		expect(shown[1]).toBe('sign in as ana: open https://id.example.com/d and confirm the code ABCD');
		expect(last.type).toBe('done');
		expect(provider.waits).toEqual([5000]);
	});
});

test('once a token is renewed, the issuer is asked about the new one', async () => {
	const startMs = provider.nowMs;
	const until = (minutes: number): Record<string, unknown> => ({ exp: (startMs + minutes * 60_000) / 1000 });
	const [first, second] = [
		await provider.token({ claims: until(10) }),
		await provider.token({ claims: until(60) }),
	] as const;
	const asked: number[] = [];
	provider.metadata['introspection_endpoint'] = 'https://id.example.com/introspect';
	provider.routes.set('/introspect', (form) => {
		asked.push([first, second].indexOf(form.get('token') ?? ''));
		return Response.json({ active: true });
	});
	provider.polls = [
		{ access_token: first, refresh_token: 'r1' },
		{ access_token: second, refresh_token: 'r2' },
	];
	let over: () => void = () => undefined;
	const gone = new Promise<void>((resolve) => {
		over = resolve;
	});
	const { now, fetch, delay } = provider;
	const forHalfAnHour = async (ms: number): Promise<void> => {
		await delay(ms);
		if (now() >= startMs + 30 * 60_000) over();
	};
	const introspection = { clientId: 'gateway', clientSecret: 'hush', always: true, everyMs: 3 * 60_000 };
	const { issuer } = provider;
	const own = { issuer, audience: 'portcullis', username: 'email', clientId: clientToken, introspection };
	const deps = { now, fetch, delay: forHalfAnHour };
	const { last } = await run(
		{},
		new AuthBridge({ issuers: [own], login: 'device', expiry: { action: 'refresh' } }, deps),
	);
	if (last.type !== 'done' || last.standing === undefined) throw new Error('not signed in');
	last.standing.watch(() => undefined);
	await gone;
	last.standing.close();
	expect(last.standing.lapse(startMs + 30 * 60_000)).toBeNull();
	// At sign-in and twice before the renewal; then by it, and of the new one alone.
	expect(asked.slice(0, 6)).toEqual([0, 0, 0, 1, 1, 1]);
	expect(asked.slice(3)).not.toContain(0);
});

describe('refusal', () => {
	const rows: { name: string; polls: FakeProvider['polls']; told: RegExp; reason: RegExp }[] = [
		{ name: 'denied', polls: [pending, { error: 'access_denied' }], told: /denied/, reason: /person denied/ },
		{ name: 'expired', polls: [{ error: 'expired_token' }], told: /not approved in time/, reason: /in time/ },
		{ name: 'another error', polls: [{ error: 'invalid_client' }], told: /try again later/, reason: /invalid_client/ },
		{ name: 'no token', polls: [{}], told: /device login failed/, reason: /gave no token/ },
		{
			name: 'an opaque token alone',
			polls: [{ access_token: 'x' }],
			told: /device login failed/,
			reason: /not a JSON Web Token/,
		},
	];
	test.each(rows)('$name', async ({ polls, told, reason }) => {
		provider.polls = polls;
		const { last } = await run();
		expect(last).toMatchObject({ type: 'fail', method: 'device', error: { sqlstate: '28000', severity: 'FATAL' } });
		if (last.type !== 'fail') return;
		expect(last.error.message).toMatch(told);
		expect(last.reason).toMatch(reason);
	});

	test("the provider's time is over, also when it goes on saying pending", async () => {
		provider.authorization = { ...provider.authorization, expires_in: 60 };
		provider.polls = Array(20).fill(pending);
		expect((await run()).last).toMatchObject({ type: 'fail', reason: 'nobody approved the login in time' });
		expect(provider.waits.slice(0, -1).reduce((sum, ms) => sum + ms, 0)).toBe(60_000);
	});

	test('somebody else approved it', async () => {
		provider.polls = [{ access_token: await provider.token({ claims: { email: 'mallory' } }) }];
		const { last } = await run();
		expect(last).toMatchObject({ type: 'fail', error: { message: 'the token does not belong to user "ana"' } });
	});

	test('a token of another issuer, though a configured one', async () => {
		const other = new FakeIssuer('https://other.example.com', [key]);
		const issuers = [provider, other].map(({ issuer }) => ({
			issuer,
			audience: 'portcullis',
			username: 'email',
			clientId: 'psql',
		}));
		const fetch: typeof globalThis.fetch = (input, init) =>
			(String(input).startsWith(other.issuer) ? other : provider).fetch(input, init);
		const both = new AuthBridge({ login: 'device', issuers }, { now: provider.now, delay: provider.delay, fetch });
		provider.polls = [{ access_token: await other.token() }];
		expect((await run({}, both)).last).toMatchObject({ type: 'fail', reason: expect.stringMatching(/another issuer/) });
	});

	const answers: { name: string; change: () => void; reason: RegExp }[] = [
		{
			name: 'no device flow there',
			change: () => {
				provider.metadata = {};
			},
			reason: /no device_authorization_endpoint/,
		},
		{
			name: 'a page over plaintext',
			change: () => {
				provider.authorization = { ...provider.authorization, verification_uri: 'http://evil.example.com' };
			},
			reason: /usable verification_uri/,
		},
		{
			name: 'a code that would write to the terminal',
			change: () => {
				provider.authorization = { ...provider.authorization, user_code: '\u001b[2J' };
			},
			reason: /user_code/,
		},
		{
			name: 'provider down',
			change: () => {
				provider.mode = 'down';
			},
			reason: /ECONNREFUSED/,
		},
		{
			name: 'refused',
			change: () => {
				provider.routes.set('/device/auth', () => Response.json({ error: 'unauthorized_client' }, { status: 401 }));
			},
			reason: /unauthorized_client/,
		},
	];
	test.each(answers)('before anything is sent: $name', async ({ change, reason }) => {
		change();
		const { shown, last } = await run();
		expect(shown).toEqual([]);
		expect(last).toMatchObject({ type: 'fail', reason: expect.stringMatching(reason) });
		if (last.type === 'fail') expect(last.error.message).not.toMatch(/example|ECONN/);
	});

	test('over plaintext from another machine', async () => {
		expect((await run({ tls: null })).last).toMatchObject({ type: 'fail', error: { sqlstate: '28000' } });
		expect(provider.fetched).toEqual([]);
	});

	test('a client that leaves ends the polling', async () => {
		const leaving = new AbortController();
		provider.polls = [pending];
		const first = await bridge()
			.begin({ ...request, signal: leaving.signal })
			.step(null);
		leaving.abort();
		expect(first.type === 'wait' && (await first.next)).toMatchObject({
			type: 'fail',
			reason: expect.stringMatching(/client left/),
		});
		expect(provider.polls).toHaveLength(1);
	});
});

test('who begins again and again is held up, and the provider is asked no more; nobody else is', async () => {
	const of = bridge();
	const begin = async (address: string): Promise<Step> => {
		const leaving = new AbortController();
		const first = await of.begin({ ...request, address, signal: leaving.signal }).step(null);
		leaving.abort();
		return first.type === 'wait' ? first.next : first;
	};
	const { now } = provider;
	const standing = now();
	for (let login = 0; login < 60; login += 1) {
		await begin(`2001:db8::${login.toString(16)}`);
		provider.nowMs = standing;
	}
	// The burst, and the one that went beyond it.
	expect(provider.forms).toHaveLength(ADDRESS_FAILURES.burst + 1);
	expect(await begin('2001:db8::ffff')).toMatchObject({
		reason: expect.stringMatching(/too many failed logins of this address/),
	});
	expect(await begin('2001:db8:1::1')).toMatchObject({ reason: expect.stringMatching(/the client left/) });
});

test('only so many logins wait, altogether and by address', () => {
	const flows = new DeviceFlows(3, 2);
	const leaves = [flows.enter('a'), flows.enter('a')];
	expect(flows.enter('a')).toBeNull();
	leaves.push(flows.enter('b'));
	expect(flows.enter('c')).toBeNull();
	for (const leave of leaves) leave?.();
	expect(flows.enter('c')).not.toBeNull();
});

test('an empty password starts the device flow where the issuer has a client, and fails where not', async () => {
	provider.polls = [{ access_token: await provider.token() }];
	const empty = async (of: AuthBridge): Promise<Step> => {
		const exchange = of.begin({ ...request, options: '-c portcullis.login=password' });
		await exchange.step(null);
		return exchange.step(Buffer.from([0]));
	};
	expect((await empty(bridge())).type).toBe('wait');
	const issuers = [{ issuer: provider.issuer, audience: 'portcullis', username: 'email' }];
	const { now, fetch, delay } = provider;
	expect(await empty(new AuthBridge({ issuers }, { now, fetch, delay }))).toMatchObject({
		type: 'fail',
		error: { sqlstate: '28P01' },
	});
});

describe('a real provider', () => {
	let oidc: IdentityProvider;
	let gate: LoginGate;
	let port: number;
	let person: string;

	beforeAll(async () => {
		oidc = await startOidc();
		person = oidc.people[0]?.name ?? '';
		const issuer = {
			issuer: oidc.issuer,
			audience: oidc.audience,
			username: 'preferred_username',
			clientId: oidc.clientId,
			scopes: ['openid', 'profile'],
		};
		gate = new LoginGate({ settings: { issuers: [issuer] }, pollMs: 20 });
		port = await gate.start();
	});

	afterAll(async () => {
		gate.stop();
		await oidc.stop();
	});

	/** Approves as `name` when the text of a NOTICE is there. */
	async function approve(text: string, name: string): Promise<void> {
		const code = /confirm the code (\S+)/.exec(text)?.[1];
		if (code === undefined) throw new Error(`no code in: ${text}`);
		await oidc.approveDevice(code, name);
	}

	function connectAs(user: string): { client: pg.Client; noticed: Promise<string> } {
		const client = new pg.Client({
			host: '127.0.0.1',
			port,
			user,
			database: 'shop',
			options: '-c portcullis.login=device',
		});
		client.on('error', () => undefined);
		const noticed = new Promise<string>((resolve) => {
			client.on('notice', ({ message }) => resolve(message ?? ''));
		});
		return { client, noticed };
	}

	test('pg waits for the approval', async () => {
		const { client, noticed } = connectAs(person);
		onTestFinished(() => client.end());
		const connected = client.connect();
		await approve(await noticed, person);
		await connected;
		expect(gate.steps.at(-1)).toMatchObject({ type: 'done', identity: { name: person, issuer: oidc.issuer } });
	});

	test("a login that somebody else approves is nobody's", async () => {
		const other = oidc.people[1]?.name ?? '';
		const { client, noticed } = connectAs(person);
		const connected = client.connect();
		const failed = expect(connected).rejects.toMatchObject({ code: '28000' });
		await approve(await noticed, other);
		await failed;
	});

	test.runIf(hasPsql())('psql shows address and code while it waits, and goes on', async () => {
		const env = { PATH: process.env['PATH'] ?? '', HOME: '/nonexistent', PGOPTIONS: '-c portcullis.login=device' };
		const conninfo = `host=127.0.0.1 port=${port} user=${person} dbname=shop sslmode=disable`;
		const psql = spawn(PSQL, ['-X', '-w', '-c', '', conninfo], { env, stdio: ['ignore', 'ignore', 'pipe'] });
		const ended = new Promise<number | null>((resolve) => {
			psql.on('close', resolve);
		});
		let said = '';
		for await (const chunk of psql.stderr) {
			said += String(chunk);
			if (!said.includes('confirm the code') || !said.endsWith('\n')) continue;
			await approve(said, person);
			break;
		}
		expect(said).toMatch(new RegExp(`^NOTICE: {2}sign in as ${person}: open http://127\\.0\\.0\\.1`));
		expect(await ended).toBe(0);
	});
});
