/** Starts everything that the demo shows: PostgreSQL with the sample database, an OpenID provider, and the gateway. */
import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { stringify } from 'yaml';
import { formatVerifier, makeVerifier } from '../../auth/verifier.ts';
import { loadConfig } from '../../config/load.ts';
import { type Gateway, startGateway } from '../gateway.ts';
import type { SessionLog } from '../../session/services.ts';
import type { Cleanup } from './cleanup.ts';
import { type IdentityProvider, startIdentityProvider } from './identity.ts';
import { makeCertificate } from './certificates.ts';
import { LOADER, PEOPLE, SERVICE } from './people.ts';
import { type EmbeddedPostgres, freePort, startEmbeddedPostgres } from './postgres.ts';
import { GATEWAY_ROLE, shopRolesSql, shopSql } from './shop.ts';

/** Ports that are taken when they are free. */
const PORTS = { gateway: 6432, provider: 9455, postgres: 5499, admin: 9187 } as const;

export interface Scene {
	/** Temporary: configuration, tokens, passwords and audit log. */
	readonly folder: string;
	readonly configFile: string;
	readonly auditFolder: string;
	readonly policyFile: string;
	readonly gateway: Gateway;
	readonly provider: IdentityProvider;
	readonly postgres: EmbeddedPostgres;
	/** Files in PEM: the authority of the gateway's certificate, and the certificate and key of the account `loader`. */
	readonly tls: DemoTls;
	/** Name of a person or service to the file that holds the token or password to sign in with. */
	readonly secretFiles: ReadonlyMap<string, string>;
}

export interface DemoTls {
	readonly authority: string;
	readonly clientCert: string;
	readonly clientKey: string;
}

/** Tells that something begins; what it answers is called with a line about how it went. */
export type Progress = (what: string) => (result: string) => void;

/** Starts the parts; each is undone by `cleanup`, also when a later one fails. Throws what the parts throw. */
export async function startScene(cleanup: Cleanup, progress: Progress): Promise<Scene> {
	const folder = await mkdtemp(join(tmpdir(), 'portcullis-demo-'));
	// The last thing to go, and synchronous so that `exit` can do it too.
	const remove = (): void => rmSync(folder, { recursive: true, force: true });
	process.once('exit', remove);
	cleanup.add(remove);

	const gatewayPassword = randomBytes(18).toString('base64url');
	const [postgres, provider] = await Promise.all([
		startDatabase(cleanup, progress, gatewayPassword),
		startProvider(cleanup, progress),
	]);
	const done = progress('Gateway');
	const secretFiles = await writeSecrets(folder, provider);
	const tls = await writeCertificates(folder);
	const configFile = join(folder, 'portcullis.yaml');
	const policies = fileURLToPath(new URL('../../../policies', import.meta.url));
	await writeFile(join(folder, 'gateway.password'), gatewayPassword, { mode: 0o600 });
	await writeFile(configFile, await configText({ folder, policies, postgres, provider, secretFiles }), { mode: 0o600 });
	const gateway = await startGateway(await loadConfig(configFile, process.env), { log: silent });
	cleanup.add(() => gateway.close());
	done(`${gateway.host}:${gateway.port}, policy ${join(policies, 'policy.csv')}`);
	const policyFile = join(policies, 'policy.csv');
	return {
		folder,
		configFile,
		auditFolder: join(folder, 'audit'),
		policyFile,
		gateway,
		provider,
		postgres,
		tls,
		secretFiles,
	};
}

async function startDatabase(cleanup: Cleanup, progress: Progress, gatewayPassword: string): Promise<EmbeddedPostgres> {
	const done = progress('PostgreSQL');
	const postgres = await startEmbeddedPostgres({ port: PORTS.postgres });
	cleanup.add(() => postgres.stop());
	await asSuperuser(postgres, 'postgres', [shopRolesSql(gatewayPassword), 'create database shop']);
	await asSuperuser(postgres, 'shop', [shopSql()]);
	done(
		`${postgres.version} on ${postgres.host}:${postgres.port}, database shop: 480 employees, 6,000 orders, two tenants`,
	);
	return postgres;
}

async function asSuperuser(server: EmbeddedPostgres, database: string, statements: readonly string[]): Promise<void> {
	const { host, port, user, password } = server;
	const client = new pg.Client({ host, port, user, password, database });
	await client.connect();
	try {
		for (const statement of statements) await client.query(statement);
	} finally {
		await client.end();
	}
}

async function startProvider(cleanup: Cleanup, progress: Progress): Promise<IdentityProvider> {
	const done = progress('OpenID provider');
	const provider = await startIdentityProvider({ port: PORTS.provider, people: PEOPLE });
	cleanup.add(() => provider.stop());
	done(`${provider.issuer}, ${PEOPLE.length} people, authorization code and device flow`);
	return provider;
}

/** Signs everybody in and writes what they then have: a token each, and the service account's password. */
async function writeSecrets(folder: string, provider: IdentityProvider): Promise<Map<string, string>> {
	const secrets = new Map<string, string>();
	const write = async (name: string, kind: string, secret: string): Promise<void> => {
		const file = join(folder, `${name}.${kind}`);
		await writeFile(file, secret, { mode: 0o600 });
		secrets.set(name, file);
	};
	for (const { name } of PEOPLE) await write(name, 'token', await provider.signIn(name));
	await write(SERVICE.name, 'password', randomBytes(12).toString('base64url'));
	return secrets;
}

/** An authority of the demo's own, a certificate for the gateway, and one for the account that signs in by it. */
async function writeCertificates(folder: string): Promise<DemoTls> {
	const issuer = makeCertificate({ name: 'Portcullis demo', authority: true });
	const hosts = ['localhost', '127.0.0.1'];
	const gateway = makeCertificate({ name: 'localhost', hosts, usage: 'server', issuer });
	const loader = makeCertificate({ name: LOADER.name, usage: 'client', issuer });
	const write = async (name: string, text: string): Promise<string> => {
		const file = join(folder, name);
		await writeFile(file, text, { mode: 0o600 });
		return file;
	};
	await write('gateway.crt', gateway.cert);
	await write('gateway.key', gateway.key);
	return {
		authority: await write('authority.crt', issuer.cert),
		clientCert: await write('loader.crt', loader.cert),
		clientKey: await write('loader.key', loader.key),
	};
}

interface ConfigParts {
	readonly folder: string;
	readonly policies: string;
	readonly postgres: EmbeddedPostgres;
	readonly provider: IdentityProvider;
	readonly secretFiles: ReadonlyMap<string, string>;
}

/** portcullis.yaml of the demo: what an operator would write by hand. */
async function configText({ policies, postgres, provider, secretFiles }: ConfigParts): Promise<string> {
	const servicePassword = await readFile(secretFiles.get(SERVICE.name) ?? '', 'utf8');
	return stringify({
		listen: {
			host: '127.0.0.1',
			port: await freePort(PORTS.gateway),
			tls: { mode: 'allow', cert: './gateway.crt', key: './gateway.key', clientCa: './authority.crt' },
		},
		admin: { port: await freePort(PORTS.admin) },
		identity: {
			issuers: [
				{
					issuer: provider.issuer,
					audience: provider.audience,
					clientId: provider.clientId,
					scopes: ['openid', 'email', 'groups'],
					username: 'preferred_username',
					groups: 'groups',
					claims: ['tenant'],
					workloads: { username: 'client_id' },
				},
			],
			users: [
				{
					name: SERVICE.name,
					password: { scram: formatVerifier(await makeVerifier(servicePassword)) },
					roles: SERVICE.roles,
					claims: SERVICE.claims,
				},
				{ ...LOADER, certificate: true },
			],
		},
		databases: {
			shop: {
				host: postgres.host,
				port: postgres.port,
				user: GATEWAY_ROLE,
				password: { file: './gateway.password' },
			},
		},
		policies,
		audit: { path: './audit' },
	});
}

/** What a client sees is the demo; what the gateway logs would only stand in between. */
const silent: SessionLog = { info: () => undefined, warn: () => undefined, error: () => undefined };
