/** A whole gateway for tests: the demo's sample database, a real OpenID provider, the repository's policies, its own audit log. */
import { randomBytes } from 'node:crypto';
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { stringify } from 'yaml';
import { formatVerifier, makeVerifier } from '../../src/auth/verifier.ts';
import { SERVICE } from '../../src/cli/demo/people.ts';
import { GATEWAY_ROLE, shopRolesSql, shopSql } from '../../src/cli/demo/shop.ts';
import { type Gateway, startGateway as startRealGateway } from '../../src/cli/gateway.ts';
import type { WorkerBus } from '../../src/cli/workers/bus.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { SessionLog } from '../../src/session/services.ts';
import { type IdentityProvider, startOidc } from './oidc.ts';
import { createDatabase, startPostgres, type TestDatabase } from './postgres.ts';

/** A line of the operator's log. */
export interface LogLine {
	readonly level: 'info' | 'warn' | 'error';
	readonly message: string;
	readonly fields: Readonly<Record<string, unknown>>;
}

export interface TestGateway {
	readonly host: string;
	readonly port: number;
	readonly gateway: Gateway;
	readonly provider: IdentityProvider;
	/** The sample database behind it; `sql` there goes around the gateway, as superuser. */
	readonly backend: TestDatabase;
	/** Temporary: portcullis.yaml, policies/ (a copy), audit/. */
	readonly folder: string;
	readonly configFile: string;
	readonly log: readonly LogLine[];
	/** What to connect with; a person's password is a fresh token. Database: shop. */
	credentials(name: string): Promise<ClientOptions>;
	/** A connected pg client; the gateway's `stop` does not end it. */
	connect(name: string, options?: pg.ClientConfig): Promise<pg.Client>;
	/** Every record of the audit log up to now, parsed. */
	audit(): Promise<Record<string, unknown>[]>;
	/** Ends the gateway, the provider and the database, and removes the folder. */
	stop(): Promise<void>;
}

export interface ClientOptions {
	readonly host: string;
	readonly port: number;
	readonly user: string;
	readonly password: string;
	readonly database: string;
}

export interface TestGatewayOptions {
	/** Changes portcullis.yaml before it is read; `config` may be changed in place. */
	readonly configure?: (config: TestConfig) => void;
	/** Replaces files of policies/, e.g. `{ 'policy.csv': '...' }`. */
	readonly policies?: Readonly<Record<string, string>>;
	/** The gateway's clock, milliseconds since the epoch; missing: the real one. */
	readonly now?: () => number;
	/** The way to other workers (`joinedBuses`); missing: there are none. */
	readonly bus?: WorkerBus;
	/** How the provider gives tokens. */
	readonly oidc?: Parameters<typeof startOidc>[0];
	/** SQL to run in the database before the gateway starts, as superuser. */
	readonly setup?: string;
}

/** portcullis.yaml as data: open, so that tests can write what is wrong too. */
export interface TestConfig {
	listen: Record<string, unknown>;
	identity: { issuers: Record<string, unknown>[]; users: Record<string, unknown>[] } & Record<string, unknown>;
	databases: Record<string, Record<string, unknown>>;
	[key: string]: unknown;
}

/** Password of the service account `app`. */
export const SERVICE_PASSWORD = 'service-password';

/** One verifier with few rounds: tests sign in often. */
const SERVICE_VERIFIER = makeVerifier(SERVICE_PASSWORD, { iterations: 4096 }).then(formatVerifier);

/** By hand: every text goes to the thread that long ones are analysed in, and nothing may come to be otherwise. */
const ASIDE = process.env['PORTCULLIS_ASIDE'] === '1';

const GATEWAY_PASSWORD = 'gateway-password';
const TEMPLATE = 'shop_template';

/** Starts all of it in about a second; the sample database is made once a run and copied from then on. Stop it in afterAll. */
export async function startGateway(options: TestGatewayOptions = {}): Promise<TestGateway> {
	const folder = await mkdtemp(join(tmpdir(), 'portcullis-test-'));
	await cp(fileURLToPath(new URL('../../policies', import.meta.url)), join(folder, 'policies'), { recursive: true });
	for (const [name, text] of Object.entries(options.policies ?? {}))
		await writeFile(join(folder, 'policies', name), text);
	const backend = await shopDatabase(options.setup);
	const provider = await startOidc(options.oidc);
	const config = await testConfig(backend, provider);
	options.configure?.(config);
	if (ASIDE) config['limits'] = { ...(config['limits'] as object | undefined), sqlThreadLengthMin: 0 };
	const configFile = join(folder, 'portcullis.yaml');
	await writeFile(configFile, stringify(config));
	const log: LogLine[] = [];
	let gateway: Gateway;
	try {
		const secrets = {
			SHOP_PASSWORD: GATEWAY_PASSWORD,
			INTROSPECTION_SECRET: provider.resourceServer.clientSecret,
			ROLE_PASSWORD: 'role password',
		};
		gateway = await startRealGateway(await loadConfig(configFile, secrets), {
			log: recorder(log),
			loadConfig: () => loadConfig(configFile, secrets),
			...(options.now === undefined ? {} : { now: options.now }),
			...(options.bus === undefined ? {} : { bus: options.bus }),
		});
	} catch (error) {
		await Promise.all([provider.stop(), backend.drop(), rm(folder, { recursive: true, force: true })]);
		throw error;
	}
	const { host, port } = gateway;
	const credentials = async (name: string): Promise<ClientOptions> => {
		const password = name === SERVICE.name ? SERVICE_PASSWORD : await provider.signIn(name);
		return { host, port, user: name, password, database: 'shop' };
	};
	return {
		host,
		port,
		gateway,
		provider,
		backend,
		folder,
		configFile,
		log,
		credentials,
		connect: async (name, more = {}) => {
			const client = new pg.Client({ ...(await credentials(name)), ...more });
			client.on('error', () => undefined);
			await client.connect();
			return client;
		},
		audit: () => readAudit(join(folder, 'audit')),
		stop: async () => {
			await gateway.close(0);
			await Promise.all([provider.stop(), backend.drop()]);
			await rm(folder, { recursive: true, force: true });
		},
	};
}

/** A fresh copy of the sample database with the gateway's role in place. */
export async function shopDatabase(setup?: string): Promise<TestDatabase> {
	const server = await startPostgres();
	const admin = new pg.Client({ ...server, database: 'postgres' });
	await admin.connect();
	try {
		// Test files run in several processes; the first one makes the template, the others wait for it.
		await admin.query('select pg_advisory_lock(6432)');
		const made = await admin.query('select from pg_database where datname = $1', [TEMPLATE]);
		if (made.rowCount === 0) {
			await admin.query(shopRolesSql(GATEWAY_PASSWORD));
			const draft = `${TEMPLATE}_${randomBytes(4).toString('hex')}`;
			await admin.query(`create database ${draft}`);
			const client = new pg.Client({ ...server, database: draft });
			await client.connect();
			await client.query(shopSql());
			await client.end();
			await admin.query(`alter database ${draft} rename to ${TEMPLATE}`);
		}
		// Two copies of one template at a time are an error for PostgreSQL, so the lock is held for this too.
		return await createDatabase({ server, template: TEMPLATE, ...(setup === undefined ? {} : { setup }) });
	} finally {
		await admin.end();
	}
}

async function testConfig(backend: TestDatabase, provider: IdentityProvider): Promise<TestConfig> {
	const { issuer, audience, clientId } = provider;
	const claims = { scopes: ['openid'], username: 'preferred_username', groups: 'groups', claims: ['tenant'] };
	const { name, roles, claims: attributes } = SERVICE;
	return {
		listen: { host: '127.0.0.1', port: 0 },
		identity: {
			issuers: [{ issuer, audience, clientId, ...claims }],
			users: [{ name, password: { scram: await SERVICE_VERIFIER }, roles: [...roles], claims: { ...attributes } }],
		},
		databases: {
			shop: {
				host: backend.host,
				port: backend.port,
				dbname: backend.database,
				user: GATEWAY_ROLE,
				password: { env: 'SHOP_PASSWORD' },
			},
		},
		policies: './policies',
		audit: { path: './audit' },
	};
}

function recorder(lines: LogLine[]): SessionLog {
	const write =
		(level: LogLine['level']) =>
		(fields: object, message: string): void => {
			lines.push({ level, message, fields: { ...fields } });
		};
	return { info: write('info'), warn: write('warn'), error: write('error') };
}

export async function readAudit(folder: string): Promise<Record<string, unknown>[]> {
	const files = (await readdir(folder)).filter((name) => name.endsWith('.jsonl')).sort();
	const texts = await Promise.all(files.map((name) => readFile(join(folder, name), 'utf8')));
	return texts
		.flatMap((text) => text.split('\n'))
		.filter((line) => line !== '')
		.map((line) => JSON.parse(line) as Record<string, unknown>);
}
