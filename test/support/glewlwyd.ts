/** Glewlwyd, an OpenID provider written in C by others, in a process of its own; where it is missing its tests are left out. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Where Debian puts the tables and the first administrator (`admin`, `password`). */
const SCHEMA = '/usr/share/dbconfig-common/data/glewlwyd/install/sqlite3';
const MODULES = '/usr/lib/glewlwyd';
const DEADLINE_MS = 20_000;
const PROGRAM = 'glewlwyd';
const SQLITE = 'sqlite3';

/** `aud` of its access tokens. */
export const AUDIENCE = 'https://portcullis.example.com';
/** What a client asks for so that a token is meant for the gateway. */
export const SCOPE = 'shop';

export interface Glewlwyd {
	readonly issuer: string;
	/** A public client: authorization code with PKCE, device flow, refresh tokens. */
	readonly clientId: string;
	/** Of that client. */
	readonly redirect: string;
	/** A client with a secret for people, which may ask about its own tokens. */
	readonly desk: { readonly clientId: string; readonly clientSecret: string };
	/** A client with a secret, for client credentials. */
	readonly workload: { readonly clientId: string; readonly clientSecret: string };
	/** What the person does in a browser with an address that a client wants opened. Answers the redirect that leaves the provider. */
	authorize(url: string, name: string): Promise<string>;
	/** What the person does in a browser with `verification_uri_complete`. */
	approveDevice(url: string, name: string): Promise<void>;
	/** An access token by client credentials. */
	workloadToken(resource?: string): Promise<string>;
	/** Takes the private key for new tokens from now on, and publishes that one only. */
	rotate(): Promise<void>;
	stop(): Promise<void>;
}

export interface GlewlwydPerson {
	readonly name: string;
	readonly email: string;
	readonly groups: readonly string[];
}

/** `describe.runIf(hasGlewlwyd())`. Says loudly when there is none. */
export function hasGlewlwyd(): boolean {
	const missing = [PROGRAM, SQLITE].filter((program) => spawnSync(program, ['--version']).error !== undefined);
	if (missing.length === 0 && existsSync(SCHEMA)) return true;
	process.stderr.write(
		`\n!! ${missing.join(' and ')} IS MISSING: the tests of a second OpenID provider are LEFT OUT.\n\n`,
	);
	return false;
}

/** Starts it with these people, whose password is their name, in about two seconds. */
export async function startGlewlwyd(people: readonly GlewlwydPerson[]): Promise<Glewlwyd> {
	const folder = await mkdtemp(join(tmpdir(), 'portcullis-glewlwyd-'));
	const port = await freePort();
	const base = `http://127.0.0.1:${port}`;
	const database = join(folder, 'database');
	const made = spawnSync(SQLITE, [database], { input: readFileSync(SCHEMA), encoding: 'utf8' });
	if (made.status !== 0) throw new Error(`glewlwyd: ${made.stderr}`);
	const file = join(folder, 'glewlwyd.conf');
	await writeFile(file, configuration(base, port, database));
	const child = spawn(PROGRAM, ['-c', file], { stdio: ['ignore', 'pipe', 'pipe'] });
	let said = '';
	for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (said += String(chunk)));
	const stop = async (): Promise<void> => {
		await ended(child);
		await rm(folder, { recursive: true, force: true });
	};
	try {
		await answers(`${base}/api/auth`, child, () => said);
		return { ...(await setUp(base, people)), stop };
	} catch (error) {
		await stop();
		throw error;
	}
}

function configuration(base: string, port: number, database: string): string {
	const modules = { user: 'user', client: 'client', user_auth_scheme: 'scheme', plugin: 'plugin' };
	return [
		`port=${port}`,
		'bind_address="127.0.0.1"',
		`external_url="${base}"`,
		'login_url="login.html"',
		'api_prefix="api"',
		'log_mode="console"',
		'log_level="ERROR"',
		'cookie_secure=0',
		'session_key="GLEWLWYD2_SESSION_ID"',
		'admin_scope="g_admin"',
		'profile_scope="g_profile"',
		...Object.entries(modules).map(([name, path]) => `${name}_module_path="${MODULES}/${path}"`),
		'hash_algorithm="SHA512"',
		`database = { type = "sqlite3" path = "${database}" };`,
	].join('\n');
}

async function setUp(base: string, people: readonly GlewlwydPerson[]): Promise<Omit<Glewlwyd, 'stop'>> {
	const issuer = `${base}/api/oidc`;
	const workload = { clientId: 'reporting', clientSecret: 'secret-of-reporting' };
	const desk = { clientId: 'desk', clientSecret: 'secret-of-desk' };
	const clientId = 'psql';
	// Compared whole: it takes no other port for that of a loopback address.
	const redirect = `http://localhost:${await freePort()}/back`;
	const admin = await Session.open(base, 'admin', 'password');
	await admin.send('POST', '/api/mod/plugin/', plugin(issuer));
	await admin.send('PUT', '/api/mod/user/database', await withGroups(admin));
	await admin.send('PUT', '/api/mod/user/database/reset');
	await admin.send('POST', '/api/scope/', {
		name: SCOPE,
		display_name: SCOPE,
		password_required: true,
		password_max_age: 0,
	});
	for (const { name, email, groups } of people) {
		const scope = ['openid', SCOPE];
		await admin.send('POST', '/api/user/', {
			username: name,
			name,
			email,
			groups,
			password: name,
			scope,
			enabled: true,
		});
	}
	await admin.send('POST', '/api/client/', {
		client_id: clientId,
		confidential: false,
		redirect_uri: [redirect],
		authorization_type: ['code', 'device_authorization', 'refresh_token'],
		enabled: true,
	});
	await admin.send('POST', '/api/client/', {
		client_id: desk.clientId,
		client_secret: desk.clientSecret,
		confidential: true,
		redirect_uri: [redirect],
		// The last is what lets it ask about its tokens.
		authorization_type: ['code', 'refresh_token', 'client_credentials'],
		token_endpoint_auth_method: ['client_secret_basic'],
		enabled: true,
	});
	await admin.send('POST', '/api/client/', {
		client_id: workload.clientId,
		client_secret: workload.clientSecret,
		confidential: true,
		authorization_type: ['client_credentials'],
		token_endpoint_auth_method: ['client_secret_post', 'client_secret_basic'],
		scope: [SCOPE],
		enabled: true,
	});
	const browse = async (url: string, name: string): Promise<string> => {
		const person = await Session.open(base, name, name);
		for (const client of [clientId, desk.clientId])
			await person.send('PUT', `/api/auth/grant/${client}`, { scope: `openid ${SCOPE}` });
		// What the page of the provider adds once the person has looked at it.
		return person.location(`${url}&g_continue`);
	};
	return {
		issuer,
		clientId,
		redirect,
		workload,
		desk,
		authorize: browse,
		approveDevice: async (url, name) => {
			const back = await browse(url, name);
			if (!back.includes('deviceComplete')) throw new Error(`glewlwyd did not take the approval: ${back}`);
		},
		workloadToken: (resource = AUDIENCE) => clientCredentials(issuer, workload, resource),
		rotate: async () => {
			await admin.send('PUT', '/api/mod/plugin/oidc', plugin(issuer));
			await admin.send('PUT', '/api/mod/plugin/oidc/reset');
		},
	};
}

/** With a key pair of its own each time. */
function plugin(issuer: string): object {
	const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
	const parameters = {
		iss: issuer,
		'jwt-type': 'ecdsa',
		'jwt-key-size': '256',
		key: keys.privateKey.export({ format: 'pem', type: 'sec1' }),
		cert: keys.publicKey.export({ format: 'pem', type: 'spki' }),
		'jwks-show': true,
		'subject-type': 'public',
		'access-token-duration': 600,
		'refresh-token-duration': 3600,
		'refresh-token-rolling': true,
		'refresh-token-one-use': 'always',
		'code-duration': 60,
		'allow-non-oidc': true,
		'auth-type-code-enabled': true,
		'auth-type-token-enabled': false,
		'auth-type-id-token-enabled': true,
		'auth-type-none-enabled': false,
		'auth-type-password-enabled': false,
		'auth-type-client-enabled': true,
		'auth-type-device-enabled': true,
		'auth-type-refresh-enabled': true,
		'pkce-allowed': true,
		'pkce-required': true,
		'introspection-revocation-allowed': true,
		'introspection-revocation-allow-target-client': true,
		'resource-allowed': true,
		'resource-scope': { [SCOPE]: [AUDIENCE, 'https://other.example.com'] },
		'resource-scope-and-client-property': false,
		'device-authorization-expiration': 600,
		'device-authorization-interval': 1,
		'allowed-scope': ['openid', SCOPE],
		'name-claim': 'no',
		'email-claim': 'mandatory',
		'scope-claim': 'no',
		'additional-parameters': [
			{ 'user-parameter': 'username', 'token-parameter': 'preferred_username' },
			{ 'user-parameter': 'groups', 'token-parameter': 'groups' },
		],
		claims: [{ name: 'preferred_username', type: 'string', 'user-property': 'username', mandatory: true }],
	};
	return { module: 'oidc', name: 'oidc', display_name: 'oidc', parameters };
}

/** The store of people as it is, and `groups` as one more thing that it knows of them. */
async function withGroups(admin: Session): Promise<object> {
	const store = (await admin.send('GET', '/api/mod/user/database')) as { parameters: { 'data-format': object } };
	const groups = { multiple: true, read: true, write: true, 'profile-read': false, 'profile-write': false };
	return {
		...store,
		parameters: { ...store.parameters, 'data-format': { ...store.parameters['data-format'], groups } },
	};
}

async function clientCredentials(issuer: string, workload: Glewlwyd['workload'], resource: string): Promise<string> {
	const { clientId: client_id, clientSecret: client_secret } = workload;
	const form = { grant_type: 'client_credentials', client_id, client_secret, scope: SCOPE, resource };
	const response = await fetch(`${issuer}/token`, { method: 'POST', body: new URLSearchParams(form) });
	const { access_token: token } = (await response.json()) as { access_token?: string };
	if (token === undefined) throw new Error(`glewlwyd gave no token: ${response.status}`);
	return token;
}

/** Somebody who has signed in at the provider. */
class Session {
	readonly #base: string;
	readonly #cookie: string;

	static async open(base: string, username: string, password: string): Promise<Session> {
		const response = await fetch(`${base}/api/auth/`, {
			method: 'POST',
			headers: { 'content-type': 'application/json' },
			body: JSON.stringify({ username, password }),
		});
		const cookie = response.headers.getSetCookie()[0]?.replace(/;.*/, '');
		if (!response.ok || cookie === undefined) throw new Error(`glewlwyd: ${username}: status ${response.status}`);
		return new Session(base, cookie);
	}

	private constructor(base: string, cookie: string) {
		this.#base = base;
		this.#cookie = cookie;
	}

	async send(method: string, path: string, body?: object): Promise<unknown> {
		const response = await fetch(`${this.#base}${path}`, {
			method,
			headers: { 'content-type': 'application/json', cookie: this.#cookie },
			...(body === undefined ? {} : { body: JSON.stringify(body) }),
		});
		const text = await response.text();
		if (!response.ok) throw new Error(`glewlwyd: ${method} ${path}: status ${response.status} ${text}`);
		return text === '' ? null : JSON.parse(text);
	}

	/** Where an address leads on to. */
	async location(url: string): Promise<string> {
		const response = await fetch(url, { redirect: 'manual', headers: { cookie: this.#cookie } });
		const text = await response.text();
		const next = response.headers.get('location');
		if (next === null) throw new Error(`glewlwyd: ${url}: status ${response.status} ${text}`);
		return next;
	}
}

async function freePort(): Promise<number> {
	const server = createServer();
	await new Promise<void>((resolve) => {
		server.listen(0, '127.0.0.1', resolve);
	});
	const address = server.address();
	await new Promise((resolve) => {
		server.close(resolve);
	});
	return typeof address === 'object' && address !== null ? address.port : 0;
}

async function answers(url: string, child: ChildProcess, said: () => string): Promise<void> {
	const endMs = performance.now() + DEADLINE_MS;
	for (;;) {
		const up = await fetch(url).then(
			() => true,
			() => false,
		);
		if (up) return;
		if (child.exitCode !== null || performance.now() > endMs) throw new Error(`glewlwyd does not start: ${said()}`);
		await new Promise((resolve) => setTimeout(resolve, 50));
	}
}

async function ended(child: ChildProcess): Promise<void> {
	if (child.exitCode !== null || child.signalCode !== null) return;
	const over = new Promise((resolve) => child.once('exit', resolve));
	child.kill('SIGTERM');
	const late = setTimeout(() => child.kill('SIGKILL'), 2_000);
	await over;
	clearTimeout(late);
}
