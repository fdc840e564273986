/** Service accounts sign in with client certificates, by pg and psql, while everybody else goes on as before. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTcp } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import pg from 'pg';
import postgres from 'postgres';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { formatVerifier, makeVerifier } from '../../src/auth/verifier.ts';
import { encodeSSLRequest } from '../../src/wire/encode.ts';
import { makeCertificate, makeRevocationList, type TestCertificate } from '../support/certificates.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { hasPsql, psql } from '../support/psql.ts';

const password = 'both password';
const authority = makeCertificate({ name: 'Clients', authority: true });
const stranger = makeCertificate({ name: 'Strangers', authority: true });
const own = makeCertificate({ name: 'localhost', hosts: ['localhost', '127.0.0.1'] });
const issue = (name: string, more: object = {}): TestCertificate =>
	makeCertificate({ name, issuer: authority, ...more });

const certificates = {
	robot: issue('robot', { usage: 'client' }),
	both: issue('both'),
	revoked: issue('robot'),
	expired: issue('robot', { days: -1 }),
	'for servers only': issue('robot', { usage: 'server' }),
	'of a stranger': makeCertificate({ name: 'robot', issuer: stranger }),
	'signed by itself': makeCertificate({ name: 'robot' }),
	'of another account': issue('both'),
	'of somebody unknown': issue('somebody'),
} as const;
type CertificateKey = keyof typeof certificates;

let folder: string;
let gateway: TestGateway;

beforeAll(async () => {
	folder = await mkdtemp(join(tmpdir(), 'portcullis-certificates-'));
	const write = (name: string, text: string): Promise<void> => writeFile(join(folder, name), text, { mode: 0o600 });
	await write('server.crt', own.cert);
	await write('server.key', own.key);
	await write('clients.crt', authority.cert);
	await write('clients.crl', makeRevocationList(authority, [certificates.revoked]));
	for (const [name, { cert, key }] of Object.entries(certificates)) {
		await write(`${name.replaceAll(' ', '-')}.crt`, cert);
		await write(`${name.replaceAll(' ', '-')}.key`, key);
	}
	const scram = formatVerifier(await makeVerifier(password));
	gateway = await startGateway({
		configure: (config) => {
			config.listen['tls'] = {
				mode: 'allow',
				cert: join(folder, 'server.crt'),
				key: join(folder, 'server.key'),
				clientCa: join(folder, 'clients.crt'),
				clientCrl: join(folder, 'clients.crl'),
			};
			config.identity.users.push(
				{ name: 'robot', certificate: true, roles: ['writer'], claims: { tenant: 'acme' } },
				{ name: 'both', certificate: true, password: { scram }, roles: ['writer'], claims: { tenant: 'acme' } },
			);
		},
	});
});

afterAll(async () => {
	await gateway.stop();
	await rm(folder, { recursive: true });
});

interface Attempt {
	readonly user: string;
	readonly secret?: string;
	/** Null: plaintext. */
	readonly certificate?: CertificateKey | null;
}

function client({ user, secret, certificate }: Attempt): pg.Client {
	const { host, port } = gateway;
	const shown = certificate === undefined || certificate === null ? {} : certificates[certificate];
	const { cert, key } = shown as Partial<TestCertificate>;
	const made = new pg.Client({
		host,
		port,
		user,
		database: 'shop',
		password: secret ?? '',
		ssl:
			certificate === null
				? false
				: { ca: own.cert, ...(cert === undefined || key === undefined ? {} : { cert, key }) },
	});
	made.on('error', () => undefined);
	return made;
}

async function lastAudited(): Promise<string> {
	return JSON.stringify((await gateway.audit()).at(-1));
}

describe('pg', () => {
	test('a certificate with the name of an account signs it in, and is on record', async () => {
		const robot = client({ user: 'robot', certificate: 'robot' });
		await robot.connect();
		onTestFinished(() => robot.end());
		expect((await robot.query("select current_setting('portcullis.user') as who")).rows).toEqual([{ who: 'robot' }]);
		expect((await robot.query('select count(*)::int as n from sales.orders')).rows[0]?.n).toBeGreaterThan(0);
		const audited = JSON.stringify(await gateway.audit());
		expect(audited).toContain('certificate');
		const { fingerprint256 } = new (await import('node:crypto')).X509Certificate(certificates.robot.der);
		expect(audited).toContain(fingerprint256);
	});

	const accepted: (Attempt & { name: string })[] = [
		{ name: 'an account with both, by its certificate', user: 'both', certificate: 'both' },
		{ name: 'an account with both, by its password', user: 'both', secret: password },
		{ name: 'an account with both, by its password over plaintext', user: 'both', secret: password, certificate: null },
		{
			name: 'an account with both, by password with a bad certificate',
			user: 'both',
			secret: password,
			certificate: 'expired',
		},
		{
			name: 'an account without certificate, showing one',
			user: 'app',
			secret: 'service-password',
			certificate: 'robot',
		},
	];
	test.each(accepted)('$name', async (attempt) => {
		const one = client(attempt);
		await one.connect();
		await one.end();
	});

	test('a person with a token, showing a certificate', async () => {
		const one = client({ user: 'ana', secret: await gateway.provider.signIn('ana'), certificate: 'robot' });
		await one.connect();
		await one.end();
	});

	const refused: (Attempt & { name: string; reason: RegExp })[] = [
		{ name: 'no certificate', user: 'robot', reason: /the account has no password; no client certificate was shown/ },
		{ name: 'plaintext', user: 'robot', certificate: null, reason: /no client certificate was shown/ },
		...(
			[
				['revoked', /not trusted \(CERT_REVOKED\)/],
				['expired', /not trusted \(CERT_HAS_EXPIRED\)/],
				['for servers only', /not trusted \(INVALID_PURPOSE\)/],
				['of a stranger', /not trusted \(UNABLE_TO_VERIFY_LEAF_SIGNATURE|UNABLE_TO_GET_ISSUER_CERT/],
				['signed by itself', /not trusted \(DEPTH_ZERO_SELF_SIGNED_CERT|UNABLE_TO_GET_CRL\)/],
				['of another account', /it names \\"both\\"/],
			] as const
		).map(([certificate, reason]) => ({ name: `a certificate ${certificate}`, user: 'robot', certificate, reason })),
		{ name: 'a wrong password', user: 'robot', secret: 'x', certificate: null, reason: /no client certificate/ },
		{
			name: 'the certificate of an account that may not use one',
			user: 'app',
			certificate: 'robot',
			secret: 'x',
			reason: /wrong password/,
		},
	];
	test.each(refused)('$name: 28P01, and the operator knows why', async ({ reason, ...attempt }) => {
		const one = client({ secret: 'x', ...attempt });
		await expect(one.connect()).rejects.toMatchObject({ code: '28P01', severity: 'FATAL' });
		expect(await lastAudited()).toMatch(reason);
	});

	test('a person cannot come by certificate', async () => {
		const one = client({ user: 'somebody', certificate: 'of somebody unknown', secret: 'x' });
		await expect(one.connect()).rejects.toMatchObject({ code: '28P01' });
	});
});

test('postgres.js by certificate', async () => {
	const { host, port } = gateway;
	const { cert, key } = certificates.robot;
	const ssl = { ca: own.cert, cert, key };
	const sql = postgres({ host, port, user: 'robot', database: 'shop', ssl, max: 1, fetch_types: false });
	onTestFinished(() => sql.end({ timeout: 1 }));
	expect([...(await sql`select current_setting('portcullis.user') as who`)]).toEqual([{ who: 'robot' }]);
});

describe.runIf(hasPsql())('psql', () => {
	async function run(user: string, certificate: CertificateKey, secret: string): Promise<string> {
		const { host, port } = gateway;
		const file = join(folder, certificate.replaceAll(' ', '-'));
		const conninfo = `dbname=shop sslmode=require sslcert=${file}.crt sslkey=${file}.key`;
		const result = await psql({ host, port, user, password: secret, database: conninfo }, 'select 1;');
		return result.status === 0 ? result.stdout : result.stderr;
	}

	test('by certificate', async () => {
		expect(await run('robot', 'robot', '')).toBe('1\n');
	});

	test('by password, with a certificate that is not good', async () => {
		expect(await run('both', 'of a stranger', password)).toBe('1\n');
	});

	test('refused', async () => {
		expect(await run('robot', 'revoked', 'x')).toMatch(/password authentication failed for user "robot"/);
	});
});

test('no TLS session is taken up again, or its certificate would never be looked at again', async () => {
	const connect = async (session?: Buffer): Promise<{ reused: boolean; session: Buffer | undefined }> => {
		const raw = connectTcp(gateway.port, gateway.host);
		raw.write(encodeSSLRequest());
		await new Promise((resolve) => {
			raw.once('data', resolve);
		});
		const { cert, key } = certificates.robot;
		let kept: Buffer | undefined;
		const secured: TLSSocket = connectTls({
			socket: raw,
			cert,
			key,
			ca: own.cert,
			host: 'localhost',
			maxVersion: 'TLSv1.2',
			...(session === undefined ? {} : { session }),
		});
		secured.on('session', (one: Buffer) => {
			kept = one;
		});
		await new Promise((resolve, reject) => {
			secured.once('secureConnect', resolve);
			secured.once('error', reject);
		});
		const reused = secured.isSessionReused();
		kept ??= secured.getSession();
		secured.destroy();
		return { reused, session: kept };
	};
	const first = await connect();
	expect(first.session).toBeDefined();
	expect((await connect(first.session)).reused).toBe(false);
});
