/** The bridge: who is asked for what, what a client is told, what only the log is told, and what guessing costs. */
import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { AuthBridge } from '../../src/auth/bridge.ts';
import type { Exchange, LoginRequest, Step } from '../../src/auth/exchange.ts';
import { FailureLimiter } from '../../src/auth/failures.ts';
import { continueScram, finishScram, startScram } from '../../src/auth/scram-client.ts';
import type { AuthSettings } from '../../src/auth/settings.ts';
import { formatVerifier, makeVerifier } from '../../src/auth/verifier.ts';
import { decodeBackend } from '../../src/wire/backend.ts';
import { FakeIssuer, makeKey } from './issuer.ts';

const key = await makeKey('k1');
const verifier = formatVerifier(await makeVerifier('secret'));
const hash = Buffer.alloc(32, 9);

let issuer: FakeIssuer;
let settings: AuthSettings;
let delays: number[];

beforeEach(() => {
	issuer = new FakeIssuer('https://id.example.com', [key]);
	settings = {
		issuers: [{ issuer: issuer.issuer, audience: 'portcullis', username: 'email' }],
		users: [{ name: 'app', password: { scram: verifier }, roles: ['writer'], claims: { tenant: 'acme' } }],
	};
	delays = [];
});

function makeBridge(failures = new FailureLimiter()): AuthBridge {
	const delay = async (ms: number): Promise<void> => {
		delays.push(ms);
	};
	return new AuthBridge(settings, { now: issuer.now, fetch: issuer.fetch, delay, failures });
}

const encrypted = { version: 'TLSv1.3', cipher: 'TLS_AES_256_GCM_SHA384', serverCertHash: hash };

function login(fields: Partial<LoginRequest> = {}): LoginRequest {
	return { user: 'ana', database: 'shop', tls: encrypted, address: '10.0.0.7', ...fields };
}

function password(text: string): Buffer {
	return Buffer.from(`${text}\0`);
}

/** Names of the messages in a step, for comparing. */
function names(step: Step): string[] {
	return step.messages.map((message) => decodeBackend(message).type);
}

/** Plays SCRAM as a client would. */
async function playScram(exchange: Exchange, secret: string, bind: Buffer | null = null): Promise<Step> {
	const asked = await exchange.step(null);
	if (asked.type !== 'send') return asked;
	const offer = decodeBackend(asked.messages[0] as Buffer);
	if (offer.type !== 'AuthenticationSASL') throw new Error(offer.type);
	const start = startScram({ offered: offer.mechanisms, tls: true, serverCertHash: bind, nonce: 'clientnonce' });
	const length = Buffer.alloc(4);
	length.writeInt32BE(start.message.length);
	const first = await exchange.step(
		Buffer.concat([Buffer.from(`${start.mechanism}\0`), length, Buffer.from(start.message)]),
	);
	if (first.type !== 'send') return first;
	const challenge = decodeBackend(first.messages[0] as Buffer);
	if (challenge.type !== 'AuthenticationSASLContinue') throw new Error(challenge.type);
	const final = await continueScram(start, secret, challenge.data.toString());
	const last = await exchange.step(Buffer.from(final.message));
	if (last.type !== 'done') return last;
	const proof = decodeBackend(last.messages[0] as Buffer);
	if (proof.type !== 'AuthenticationSASLFinal') throw new Error(proof.type);
	finishScram(final, proof.data.toString());
	return last;
}

async function playToken(exchange: Exchange, token: string): Promise<Step> {
	const asked = await exchange.step(null);
	return asked.type === 'send' ? exchange.step(password(token)) : asked;
}

describe('who is asked for what', () => {
	const rows: { name: string; request: Partial<LoginRequest>; change?: Partial<AuthSettings>; want: string }[] = [
		{ name: 'an account over TLS', request: { user: 'app' }, want: 'SCRAM-SHA-256-PLUS SCRAM-SHA-256' },
		{ name: 'an account over plaintext', request: { user: 'app', tls: null }, want: 'SCRAM-SHA-256' },
		{
			name: 'an account where the certificate cannot be bound',
			request: { user: 'app', tls: { version: 'TLSv1.3', cipher: 'x' } },
			want: 'SCRAM-SHA-256',
		},
		{
			name: 'an account that wishes for something else',
			request: { user: 'app', options: '-c portcullis.login=password' },
			want: 'SCRAM-SHA-256-PLUS SCRAM-SHA-256',
		},
		{ name: 'a person over TLS', request: {}, want: 'password' },
		{ name: 'a person over plaintext', request: { tls: null }, want: '28000' },
		{ name: 'a person over plaintext on this machine', request: { tls: null, address: '127.0.0.1' }, want: 'password' },
		{
			name: 'anybody where there are no issuers',
			request: {},
			change: { issuers: [] },
			want: 'SCRAM-SHA-256-PLUS SCRAM-SHA-256',
		},
		{ name: 'an unknown wish', request: { options: '-c portcullis.login=magic' }, want: '22023' },
		{ name: 'capitals make another name', request: { user: 'APP' }, want: 'password' },
	];
	test.each(rows)('$name: $want', async ({ request, change = {}, want }) => {
		settings = { ...settings, ...change };
		const step = await makeBridge().begin(login(request)).step(null);
		if (step.type === 'fail') {
			expect(step.error).toMatchObject({ sqlstate: want, severity: 'FATAL' });
			return;
		}
		const [message] = step.messages.map(decodeBackend);
		const asked = message?.type === 'AuthenticationSASL' ? message.mechanisms.join(' ') : 'password';
		expect(asked).toBe(want);
	});
});

describe('SCRAM', () => {
	test('an account signs in', async () => {
		const step = await playScram(makeBridge().begin(login({ user: 'app' })), 'secret');
		expect(names(step)).toEqual(['AuthenticationSASLFinal', 'AuthenticationOk']);
		expect(step).toMatchObject({
			type: 'done',
			identity: { name: 'app', roles: ['writer'], groups: [], claims: { tenant: 'acme' }, method: 'scram-sha-256' },
		});
		expect(delays).toEqual([]);
	});

	test('with channel binding', async () => {
		const step = await playScram(makeBridge().begin(login({ user: 'app' })), 'secret', hash);
		expect(step).toMatchObject({ type: 'done', identity: { method: 'scram-sha-256-plus' } });
	});

	test('a wrong password, an unknown user and a foreign certificate', async () => {
		settings = { ...settings, issuers: [] };
		const bridge = makeBridge();
		const tries = [
			{ user: 'app', bind: null, sqlstate: '28P01', reason: 'wrong password' },
			{ user: 'nobody', bind: null, sqlstate: '28P01', reason: 'no such user' },
			{ user: 'app', bind: Buffer.alloc(32), sqlstate: '28000', reason: 'channel binding data does not match' },
		];
		for (const { user, bind, sqlstate, reason } of tries) {
			const step = await playScram(bridge.begin(login({ user })), bind === null ? 'x' : 'secret', bind);
			expect(step).toMatchObject({ type: 'fail', reason, error: { sqlstate, severity: 'FATAL' } });
			if (step.type === 'fail' && sqlstate === '28P01') {
				expect(step.error.message).toBe(`password authentication failed for user "${user}"`);
				expect([step.error.detail, step.error.hint]).toEqual([undefined, undefined]);
			}
		}
		expect(delays).toEqual([250, 250, 250]);
	});

	/** Salt and rounds that a user is told. */
	const ask = async (user: string, bridge: AuthBridge): Promise<string> => {
		const exchange = bridge.begin(login({ user, tls: null }));
		await exchange.step(null);
		const first = Buffer.from('n,,n=,r=x');
		const step = await exchange.step(Buffer.concat([Buffer.from('SCRAM-SHA-256\0\0\0\0\x09'), first]));
		const message = decodeBackend(step.messages[0] as Buffer);
		return message.type === 'AuthenticationSASLContinue' ? message.data.toString().replace(/^r=[^,]*/, '') : '';
	};

	test('a made-up user is asked as a real one by every worker, and as any of the real ones', async () => {
		const other = formatVerifier(await makeVerifier('other', { iterations: 5000, salt: Buffer.alloc(20, 1) }));
		settings = { users: [...(settings.users ?? []), { name: 'job', password: { scram: other } }] };
		const bridge = makeBridge();
		const names = Array.from({ length: 40 }, (_, index) => `nobody${index}`);
		const told = await Promise.all(names.map((name) => ask(name, bridge)));
		expect(await Promise.all(names.map((name) => ask(name, makeBridge())))).toEqual(told);
		const shapes = new Set(told.map((one) => one.replace(/s=([^,]*)/, (_, salt: string) => `s=${salt.length}`)));
		expect([...shapes].sort()).toEqual([',s=24,i=4096', ',s=28,i=5000']);
		// Whoever has other accounts learns nothing of these.
		settings = { users: settings.users?.slice(1) };
		expect(await ask('nobody1', makeBridge())).not.toBe(told[1]);
	});

	test('a made-up user is asked as a real one, and the same each time', async () => {
		settings = { ...settings, issuers: [] };
		const bridge = makeBridge();
		const [real, nobody, again] = [await ask('app', bridge), await ask('nobody', bridge), await ask('nobody', bridge)];
		expect(again).toBe(nobody);
		expect(nobody).not.toBe(real);
		expect(nobody.replace(/s=[^,]*/, '')).toBe(real.replace(/s=[^,]*/, ''));
		expect(nobody).toHaveLength(real.length);
	});

	test.each([
		Buffer.alloc(0),
		Buffer.from('SCRAM-SHA-256'),
		Buffer.from('SCRAM-SHA-256\0'),
		Buffer.from('SCRAM-SHA-256\0\xff\xff\xff\xff', 'latin1'),
		Buffer.from('SCRAM-SHA-256\0\0\0\0\x7fabc'),
		Buffer.from('OAUTHBEARER\0\0\0\0\0'),
		password('secret'),
	])('garbage in place of the first message %#', async (garbage) => {
		const exchange = makeBridge().begin(login({ user: 'app' }));
		await exchange.step(null);
		expect(await exchange.step(garbage)).toMatchObject({ type: 'fail', error: { sqlstate: '08P01' } });
	});
});

describe('token as password', () => {
	test('a person signs in', async () => {
		const step = await playToken(makeBridge().begin(login()), await issuer.token());
		expect(names(step)).toEqual(['AuthenticationOk']);
		expect(step).toMatchObject({ type: 'done', identity: { name: 'ana', method: 'token', roles: [] } });
	});

	const rows: {
		name: string;
		user?: string;
		token: () => Promise<string>;
		sqlstate: string;
		told: RegExp;
		reason: RegExp;
	}[] = [
		{
			name: 'a password',
			token: async () => 'secret',
			sqlstate: '28P01',
			told: /^password auth/,
			reason: /not a JSON/,
		},
		{ name: 'nothing', token: async () => '', sqlstate: '28P01', told: /^password auth/, reason: /empty password/ },
		{
			name: "somebody else's token",
			user: 'bob',
			token: () => issuer.token(),
			sqlstate: '28000',
			told: /does not belong to user "bob"$/,
			reason: /belongs to user "ana"/,
		},
		{
			name: 'an expired token',
			token: () => issuer.token({ claims: { exp: 1_600_000_000 } }),
			sqlstate: '28P01',
			told: /^password auth/,
			reason: /expired/,
		},
		{
			name: 'a token for another audience',
			token: () => issuer.token({ claims: { aud: 'x' } }),
			sqlstate: '28P01',
			told: /^password authentication failed for user "ana"$/,
			reason: /claim aud .*issuer "https:\/\/id\.example\.com", key id "k1"/,
		},
	];
	test.each(rows)('$name', async ({ user = 'ana', token, sqlstate, told, reason }) => {
		const text = await token();
		const step = await playToken(makeBridge().begin(login({ user })), text);
		expect(step).toMatchObject({ type: 'fail', error: { sqlstate, severity: 'FATAL' }, method: 'token' });
		if (step.type !== 'fail') return;
		expect(step.error.message).toMatch(told);
		expect(step.reason).toMatch(reason);
		expect(delays).toEqual([250]);
	});

	test('a token in the name of a service account is worth nothing', async () => {
		const token = await issuer.token({ claims: { email: 'app' } });
		for (const user of ['app', 'ana']) {
			expect(await playToken(makeBridge().begin(login({ user })), token)).toMatchObject({ type: 'fail' });
		}
	});

	test('an outage is told as one', async () => {
		issuer.mode = 'down';
		const step = await playToken(makeBridge().begin(login()), await issuer.token());
		expect(step).toMatchObject({
			type: 'fail',
			error: { sqlstate: '28000' },
			reason: expect.stringMatching(/ECONNREFUSED/),
		});
		if (step.type === 'fail') expect(step.error.message).not.toMatch(/ECONN|example/);
	});

	test('a token of 16 kB', async () => {
		const token = await issuer.token({ claims: { padding: 'x'.repeat(12_000) } });
		expect(token.length).toBeGreaterThan(16_000);
		expect(await playToken(makeBridge().begin(login()), token)).toMatchObject({ type: 'done' });
	});

	test.each([Buffer.alloc(0), Buffer.from('x'), Buffer.from('a\0b\0'), Buffer.from([0xff, 0])])(
		'garbage %#',
		async (garbage) => {
			const exchange = makeBridge().begin(login());
			await exchange.step(null);
			expect(await exchange.step(garbage)).toMatchObject({ type: 'fail', error: { sqlstate: '08P01' } });
		},
	);
});

describe('guessing', () => {
	const limits = { burst: 2, forgetMs: 1e9, pauseMs: 60_000, pauseMsMax: 60_000 };

	test('after the burst nobody is asked any more, until the pause is over', async () => {
		const bridge = makeBridge(new FailureLimiter({ address: limits }));
		const begin = (): Exchange => bridge.begin(login({ user: 'app' }));
		for (let attempt = 0; attempt < 3; attempt += 1) await playScram(begin(), 'x');
		expect(await begin().step(null)).toMatchObject({
			type: 'fail',
			error: { sqlstate: '28000', message: 'too many failed logins, try again later' },
			reason: expect.stringMatching(/this address: refused for 60 s/),
		});
		issuer.nowMs += 60_000;
		expect(await playScram(begin(), 'secret')).toMatchObject({ type: 'done' });
	});

	test('attempts in parallel gain nothing', async () => {
		const bridge = makeBridge(new FailureLimiter({ address: limits }));
		const tries = Array.from({ length: 20 }, () => playScram(bridge.begin(login({ user: 'app' })), 'x'));
		const results = await Promise.all(tries);
		const looked = results.filter((step) => step.type === 'fail' && step.reason === 'wrong password');
		expect(looked).toHaveLength(3);
		const late = playScram(bridge.begin(login({ user: 'app' })), 'secret');
		expect(await late).toMatchObject({ type: 'fail' });
	});

	test('bad tokens for a name, from anywhere, keep nobody out who has a good one', async () => {
		const bridge = makeBridge(new FailureLimiter({ address: limits, user: limits }));
		for (let from = 1; from < 50; from += 1) await playToken(bridge.begin(login({ address: `10.1.${from}.1` })), 'x');
		expect(await playToken(bridge.begin(login({ address: '192.0.2.1' })), await issuer.token())).toMatchObject({
			type: 'done',
		});
		// But a flood from one address does not get far, whatever names it uses.
		const flood = { address: '10.9.9.9' };
		for (const user of ['a', 'b', 'c', 'd']) await playToken(bridge.begin(login({ ...flood, user })), 'x');
		expect(await bridge.begin(login({ ...flood, user: 'e' })).step(null)).toMatchObject({
			type: 'fail',
			reason: expect.stringMatching(/too many failed logins of this address/),
		});
	});

	test("what is no guess does not count: expired, somebody else's, provider down, plaintext", async () => {
		const bridge = makeBridge(new FailureLimiter({ address: limits, user: limits }));
		const expired = await issuer.token({ claims: { exp: 1_600_000_000 } });
		const good = await issuer.token();
		for (let attempt = 0; attempt < 5; attempt += 1) {
			await playToken(bridge.begin(login()), expired);
			await playToken(bridge.begin(login({ user: 'bob' })), good);
			await playToken(bridge.begin(login({ tls: null })), good);
		}
		expect(await playToken(bridge.begin(login()), good)).toMatchObject({ type: 'done' });
	});

	test('a delay is cut short when the client leaves', async () => {
		const bridge = new AuthBridge(settings, { now: issuer.now, fetch: issuer.fetch });
		const leaving = new AbortController();
		const exchange = bridge.begin(login({ signal: leaving.signal }));
		await exchange.step(null);
		leaving.abort();
		expect(await exchange.step(password('x'))).toMatchObject({ type: 'fail' });
	});
});

test('no bytes of a client make a login throw, and none sign anybody in', async () => {
	settings = { ...settings, issuers: [{ issuer: issuer.issuer, audience: 'portcullis', username: 'email' }] };
	const bridge = makeBridge(new FailureLimiter({ address: { burst: 1e9, forgetMs: 1, pauseMs: 1, pauseMsMax: 2 } }));
	const bytes = fc.oneof(
		fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array)),
		fc.string({ unit: 'binary', maxLength: 100 }).map((text) => Buffer.from(`${text}\0`)),
		fc
			.string({ maxLength: 60 })
			.map((text) =>
				Buffer.concat([Buffer.from('SCRAM-SHA-256\0\0\0\0'), Buffer.from([text.length]), Buffer.from(text)]),
			),
		fc
			.string({ maxLength: 60 })
			.map((text) => Buffer.from(`OAUTHBEARER\0\0\0\0${String.fromCharCode(text.length)}${text}`)),
	);
	const kinds = fc.constantFrom('app', 'password', 'oauthbearer');
	await fc.assert(
		fc.asyncProperty(kinds, fc.array(bytes, { minLength: 1, maxLength: 4 }), async (kind, messages) => {
			const user = kind === 'app' ? 'app' : 'ana';
			const exchange = bridge.begin(
				login({ user, options: `-c portcullis.login=${kind === 'app' ? 'device' : kind}` }),
			);
			let step = await exchange.step(null);
			for (const message of messages) {
				if (step.type !== 'send') break;
				step = await exchange.step(message);
			}
			expect(['send', 'fail']).toContain(step.type);
		}),
		{ numRuns: 500 },
	);
});

test('probe names the providers that cannot be used', async () => {
	expect(await makeBridge().probe()).toEqual([]);
	issuer.mode = 'error';
	expect(await makeBridge().probe()).toEqual(['https://id.example.com/.well-known/openid-configuration: status 500']);
});
