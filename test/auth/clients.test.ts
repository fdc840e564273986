/** Real clients sign in at the bridge: pg, postgres.js and, where it is installed, psql (libpq's own SCRAM and TLS code). */
import { execFile } from 'node:child_process';
import pg from 'pg';
import postgres from 'postgres';
import { afterEach, describe, expect, test } from 'vitest';
import { formatVerifier, makeVerifier } from '../../src/auth/verifier.ts';
import type { SignatureKind } from '../support/certificates.ts';
import { hasPsql } from '../support/psql.ts';
import { LoginGate } from './gate.ts';
import { FakeIssuer, makeKey } from './issuer.ts';

const password = 'pass word';
/** Needs SASLprep, which postgres.js does not do. */
const preparedPassword = 'p\u00e4ss \u2168 word';
const verifier = formatVerifier(await makeVerifier(password));
const preparedVerifier = formatVerifier(await makeVerifier(preparedPassword));
const key = await makeKey('k1', 'RS256');
const withPsqlClients = hasPsql();

const issuer = new FakeIssuer('https://id.example.com', [key]);
let gate: LoginGate;

/** The port of a gate with a person's issuer and two accounts. */
async function open(tls: SignatureKind | null): Promise<number> {
	const settings = {
		issuers: [{ issuer: issuer.issuer, audience: 'portcullis', username: 'email' }],
		users: [
			{ name: 'app', password: { scram: verifier } },
			{ name: 'prepared', password: { scram: preparedVerifier } },
		],
	};
	gate = new LoginGate({ settings, network: issuer, tls });
	return gate.start();
}

afterEach(() => {
	gate.stop();
});

interface Attempt {
	readonly port: number;
	readonly user: string;
	readonly password: string;
	readonly tls: boolean;
}

type Client = (attempt: Attempt) => Promise<string>;

/** Each answers 'ok' or the text of the error that its user would see. */
const clients: Readonly<Record<string, Client>> = {
	pg: (attempt) => withPg(attempt, false),
	'pg with channel binding': (attempt) => withPg(attempt, true),
	'postgres.js': async ({ port, user, password: secret, tls }) => {
		const sql = postgres({
			host: '127.0.0.1',
			port,
			user,
			password: secret,
			database: 'shop',
			ssl: tls ? { rejectUnauthorized: false } : false,
			max: 1,
			fetch_types: false,
		});
		try {
			await sql`select 1`.simple();
			return 'ok';
		} catch (error) {
			return (error as Error).message;
		} finally {
			await sql.end({ timeout: 1 });
		}
	},
	...(withPsqlClients
		? {
				psql: (attempt: Attempt) => withPsql(attempt, attempt.tls ? 'sslmode=require' : 'sslmode=disable'),
				'psql that insists on channel binding': (attempt: Attempt) =>
					withPsql(
						attempt,
						attempt.tls && attempt.user === 'app' ? 'sslmode=require channel_binding=require' : 'sslmode=prefer',
					),
				'psql without channel binding': (attempt: Attempt) =>
					withPsql(attempt, 'sslmode=prefer channel_binding=disable'),
			}
		: {}),
};

async function withPg({ port, user, password: secret, tls }: Attempt, enableChannelBinding: boolean): Promise<string> {
	const client = new pg.Client({
		host: '127.0.0.1',
		port,
		user,
		password: secret,
		database: 'shop',
		ssl: tls ? { rejectUnauthorized: false } : false,
		enableChannelBinding,
	});
	client.on('error', () => undefined);
	try {
		await client.connect();
		return 'ok';
	} catch (error) {
		return (error as Error).message;
	} finally {
		await client.end().catch(() => undefined);
	}
}

const command = 'psql';

function withPsql({ port, user, password: secret }: Attempt, more: string): Promise<string> {
	const conninfo = `host=127.0.0.1 port=${port} user=${user} dbname=shop ${more}`;
	const env = { ...process.env, PGPASSWORD: secret, PGCONNECT_TIMEOUT: '10', HOME: '/nonexistent' };
	return new Promise((resolve) => {
		execFile(command, ['-X', '-w', '-c', '', conninfo], { env }, (error, _out, err) => {
			resolve(error === null ? 'ok' : err);
		});
	});
}

describe.each(Object.entries(clients))('%s', (_name, client) => {
	const rows = [
		{ name: 'SCRAM over plaintext', user: 'app', tls: null, secret: password, want: /^ok$/ },
		{ name: 'SCRAM over TLS', user: 'app', tls: 'rsa-sha256', secret: password, want: /^ok$/ },
		{
			name: 'SCRAM over TLS with a certificate of SHA-384',
			user: 'app',
			tls: 'ecdsa-sha384',
			secret: password,
			want: /^ok$/,
		},
		{
			name: 'a wrong password',
			user: 'app',
			tls: 'rsa-sha256',
			secret: 'x',
			want: /password authentication failed for user "app"/,
		},
		{ name: 'a token over TLS', user: 'ana', tls: 'ecdsa-sha256', secret: 'token', want: /^ok$/ },
		{
			name: 'a wrong token',
			user: 'ana',
			tls: 'rsa-sha256',
			secret: 'x.y.z',
			want: /password authentication failed for user "ana"/,
		},
	] as const;
	test.each(rows)('$name', async ({ user, tls, secret, want }) => {
		const port = await open(tls);
		const token = await issuer.token({ claims: { padding: 'x'.repeat(12_000) } });
		const got = await client({ port, user, password: secret === 'token' ? token : secret, tls: tls !== null });
		expect(got).toMatch(want);
		const last = gate.steps.at(-1);
		expect(last?.type).toBe(got === 'ok' ? 'done' : 'fail');
	});
});

test('the clients that can do it did bind the channel', async () => {
	const port = await open('ecdsa-sha256');
	const attempt = { port, user: 'app', password, tls: true };
	for (const [name, method] of [
		['pg', 'scram-sha-256'],
		['pg with channel binding', 'scram-sha-256-plus'],
		['psql', 'scram-sha-256-plus'],
		['psql without channel binding', 'scram-sha-256'],
	] as const) {
		const client = clients[name];
		if (client === undefined) continue;
		expect(await client(attempt)).toBe('ok');
		expect(gate.steps.at(-1)).toMatchObject({ type: 'done', identity: { method } });
	}
});

test('a password beyond ASCII is prepared as the clients prepare it', async () => {
	const port = await open(null);
	for (const name of ['pg', 'psql']) {
		const attempt = { port, user: 'prepared', password: preparedPassword, tls: false };
		expect(await (clients[name]?.(attempt) ?? 'ok')).toBe('ok');
	}
});
