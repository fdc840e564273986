/** What becomes of a session whose token expires or is revoked, through the whole gateway and with a real provider. */
import { once } from 'node:events';
import type pg from 'pg';
import { afterEach, describe, expect, onTestFinished, test } from 'vitest';
import { startGateway, type TestGateway, type TestGatewayOptions } from '../support/gateway.ts';

let gateway: TestGateway;
/** What the gateway's clock is ahead of the real one. */
let aheadMs = 0;
const now = (): number => Date.now() + aheadMs;

afterEach(async () => {
	aheadMs = 0;
	await gateway.stop();
});

interface Expiry {
	readonly action?: 'end' | 'refuse' | 'refresh';
	readonly graceMs?: number;
}

async function start(expiry: Expiry, more: TestGatewayOptions = {}): Promise<void> {
	gateway = await startGateway({
		now,
		...more,
		configure: (config) => {
			config.identity['expiry'] = expiry;
			more.configure?.(config);
		},
	});
}

async function connect(options: pg.ClientConfig = {}, name = 'ana'): Promise<pg.Client> {
	const client = await gateway.connect(name, options);
	onTestFinished(() => client.end().catch(() => undefined));
	return client;
}

/** The end of the session, as the client hears of it. */
async function endOf(client: pg.Client): Promise<unknown> {
	const [error] = (await once(client, 'error')) as unknown[];
	return error;
}

const expired = { code: '28000', severity: 'FATAL', message: 'the sign-in has expired: sign in again' };

async function reasons(): Promise<string> {
	return JSON.stringify((await gateway.audit()).slice(-3));
}

describe('refuse', () => {
	test('the transaction goes on for its grace, and not longer, however it is chained', async () => {
		await start({ graceMs: 60_000 });
		const client = await connect({ password: await gateway.provider.forge('ana', { expiresInS: 600 }) });
		await client.query('begin');
		aheadMs = 640_000;
		await client.query('select 1');
		await client.query('commit and chain');
		await client.query('select 1; commit; begin');
		aheadMs = 700_000;
		await expect(client.query('select 1')).rejects.toMatchObject(expired);
		expect(await reasons()).toContain('token expired');
	});

	test('an idle session learns of it with its next statement', async () => {
		await start({});
		const client = await connect({ password: await gateway.provider.forge('ana', { expiresInS: 600 }) });
		await client.query('select 1');
		aheadMs = 640_000;
		await expect(client.query('select 1')).rejects.toMatchObject(expired);
	});
});

describe('end', () => {
	test('ends an idle session, and one in the middle of a transaction, by itself', async () => {
		await start({ action: 'end' });
		// The tolerance of clocks is 30 s: five of them are left when they sign in.
		const password = await gateway.provider.forge('ana', { expiresInS: 60 });
		aheadMs = 60_000 + 25_000;
		const clients = await Promise.all([connect({ password }), connect({ password })]);
		await clients[1]?.query('begin');
		for (const error of await Promise.all(clients.map(endOf))) expect(error).toMatchObject(expired);
		expect(await reasons()).toContain('token expired');
	});
});

describe('an opaque token', () => {
	const opaque = (everyMs: number): TestGatewayOptions => ({
		oidc: { opaqueTokens: true },
		configure: (config) => {
			const [issuer] = config.identity.issuers;
			if (issuer === undefined) throw new Error('no issuer');
			const { clientId } = gatewayClient;
			issuer['introspection'] = { clientId, clientSecret: { env: 'INTROSPECTION_SECRET' }, everyMs };
		},
	});
	const gatewayClient = { clientId: 'portcullis' };

	test('signs in, and when it is revoked the session ends', async () => {
		await start({ action: 'end' }, opaque(50));
		const token = await gateway.provider.signIn('ana');
		expect(token).not.toContain('.');
		const client = await connect({ password: token });
		const before = await client.query('select 1 as one');
		expect(before.rows).toEqual([{ one: 1 }]);
		const end = endOf(client);
		await gateway.provider.revoke(token);
		expect(await end).toMatchObject({ code: '28000', message: 'the sign-in no longer holds: sign in again' });
		expect(await reasons()).toContain('sign-in revoked: the issuer says that the token is not active');
		await expect(connect({ password: token })).rejects.toMatchObject({ code: '28P01' });
	});

	test('is asked about at sign-in only where that is wished', async () => {
		await start({ action: 'end' }, opaque(0));
		const token = await gateway.provider.signIn('ana');
		const client = await connect({ password: token });
		await gateway.provider.revoke(token);
		expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
	});
});

describe('the console', () => {
	const operators: TestGatewayOptions = {
		oidc: { opaqueTokens: true },
		policies: { 'policy.csv': 'p, user:ana, portcullis, connect, allow\np, user:ana, portcullis, alter, allow\n' },
	};
	const asked = (everyMs: number): TestGatewayOptions => ({
		...operators,
		configure: (config) => {
			const [issuer] = config.identity.issuers;
			if (issuer === undefined) throw new Error('no issuer');
			issuer['introspection'] = { clientId: 'portcullis', clientSecret: { env: 'INTROSPECTION_SECRET' }, everyMs };
		},
	});

	test('does nothing more for an operator whose token was revoked', async () => {
		await start({}, asked(50));
		const token = await gateway.provider.signIn('ana');
		const client = await connect({ password: token, database: 'portcullis' });
		await gateway.provider.revoke(token);
		const refused = new Promise((resolve) => {
			const again = (): void => void client.query('show version').then(again, resolve);
			again();
		});
		expect(await refused).toMatchObject({ code: '28000', message: 'the sign-in no longer holds: sign in again' });
		expect(await reasons()).toContain('sign-in revoked: the issuer says that the token is not active');
	});

	test('ends by itself where that is the choice', async () => {
		await start({ action: 'end' }, asked(50));
		const token = await gateway.provider.signIn('ana');
		const client = await connect({ password: token, database: 'portcullis' });
		const end = endOf(client);
		await gateway.provider.revoke(token);
		expect(await end).toMatchObject({ code: '28000', severity: 'FATAL' });
	});
});

describe('refresh', () => {
	/** Signs in by the device flow, which is what the gateway asks people for. */
	async function byDevice(): Promise<pg.Client> {
		const { port, host } = gateway;
		const { default: driver } = await import('pg');
		const client = new driver.Client({ host, port, user: 'ana', database: 'shop' });
		client.on('error', () => undefined);
		client.on('notice', ({ message }) => {
			const code = /confirm the code (\S+)/.exec(message ?? '')?.[1];
			if (code !== undefined) void gateway.provider.approveDevice(code, 'ana');
		});
		await client.connect();
		onTestFinished(() => client.end().catch(() => undefined));
		return client;
	}

	const withRefreshToken: TestGatewayOptions = {
		oidc: { tokenLifetimeS: 4 },
		configure: (config) => {
			config.identity['login'] = 'device';
			const [issuer] = config.identity.issuers;
			if (issuer !== undefined) issuer['scopes'] = ['openid', 'offline_access'];
		},
	};

	test('a token of the device flow is renewed, so the session outlives it', async () => {
		await start({ action: 'refresh' }, withRefreshToken);
		const client = await byDevice();
		const signedInMs = Date.now();
		// Each is renewed after four fifths of its time; when the second renewal begins, the first has taken effect.
		const renewals = (): number => gateway.provider.grants.filter((grant) => grant === 'refresh_token').length;
		while (renewals() < 2) await client.query('select 1');
		// A moment at which the first token is over, tolerance included.
		aheadMs = signedInMs + 4_000 + 30_000 + 500 - Date.now();
		expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
	});

	test('without that choice the refresh token is left alone', async () => {
		await start({}, withRefreshToken);
		const client = await byDevice();
		aheadMs = 4_000 + 30_000 + 1_000;
		await expect(client.query('select 1')).rejects.toMatchObject(expired);
		expect(gateway.provider.grants).not.toContain('refresh_token');
	});
});
