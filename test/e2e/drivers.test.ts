/** Drivers of other languages sign in by each way that they can: psycopg 2 and 3, asyncpg and pgjdbc, where they are installed. */
import { execFile, spawnSync } from 'node:child_process';
import { createPrivateKey } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeCertificate } from '../support/certificates.ts';
import { SERVICE_PASSWORD, startGateway, type TestGateway } from '../support/gateway.ts';
import { COMPILER, pgjdbc, pythonWith } from '../support/tools.ts';

const scripts = join(import.meta.dirname, 'drivers');

const jar = pgjdbc();

type Way = 'scram' | 'scram over TLS' | 'token' | 'device' | 'certificate';

interface Driver {
	readonly name: string;
	readonly program: string | undefined;
	/** How each way shows up in the audit log; a way that is missing is not one for this driver. */
	readonly methods: Partial<Readonly<Record<Way, string>>>;
}

/** psycopg 3, asyncpg and pgjdbc show no NOTICE before the login is through: nobody would see where to approve a device login. */
const drivers: readonly Driver[] = [
	{
		name: 'psycopg2',
		program: pythonWith('psycopg2'),
		methods: {
			scram: 'scram-sha-256',
			'scram over TLS': 'scram-sha-256-plus',
			token: 'token',
			device: 'device',
			certificate: 'certificate',
		},
	},
	{
		name: 'psycopg',
		program: pythonWith('psycopg'),
		methods: {
			scram: 'scram-sha-256',
			'scram over TLS': 'scram-sha-256-plus',
			token: 'token',
			certificate: 'certificate',
		},
	},
	{
		name: 'asyncpg',
		program: pythonWith('asyncpg'),
		methods: {
			scram: 'scram-sha-256',
			'scram over TLS': 'scram-sha-256',
			token: 'token',
			certificate: 'certificate',
		},
	},
	{
		name: 'pgjdbc',
		program: jar === undefined ? undefined : 'java',
		methods: {
			scram: 'scram-sha-256',
			'scram over TLS': 'scram-sha-256',
			token: 'token',
			certificate: 'certificate',
		},
	},
];

for (const { name, program } of drivers) {
	if (program === undefined) console.warn(`${name} is missing: its logins are LEFT OUT`);
}

const authority = makeCertificate({ name: 'Clients', authority: true });
const own = makeCertificate({ name: 'localhost', hosts: ['localhost', '127.0.0.1'] });
const robot = makeCertificate({ name: 'robot', issuer: authority });
let folder: string;
let gateway: TestGateway;

const installed = drivers.filter(({ program }) => program !== undefined);

beforeAll(async () => {
	if (installed.length === 0) return;
	folder = await mkdtemp(join(tmpdir(), 'portcullis-drivers-'));
	const files = {
		'server.crt': own.cert,
		'server.key': own.key,
		'clients.crt': authority.cert,
		'robot.crt': robot.cert,
		'robot.key': robot.key,
		// What pgjdbc wants.
		'robot.pk8': createPrivateKey(robot.key).export({ type: 'pkcs8', format: 'der' }),
	};
	for (const [name, content] of Object.entries(files)) await writeFile(join(folder, name), content, { mode: 0o600 });
	if (installed.some(({ name }) => name === 'pgjdbc')) {
		const { status, stderr } = spawnSync(COMPILER, ['-d', folder, join(scripts, 'Login.java')], { encoding: 'utf8' });
		if (status !== 0) throw new Error(stderr);
	}
	gateway = await startGateway({
		configure: (config) => {
			const [cert, key, clientCa] = ['server.crt', 'server.key', 'clients.crt'].map((name) => join(folder, name));
			config.listen['tls'] = { mode: 'allow', cert, key, clientCa };
			config.identity.users.push({ name: 'robot', certificate: true, roles: ['writer'] });
		},
	});
});

afterAll(async () => {
	if (installed.length === 0) return;
	await gateway.stop();
	await rm(folder, { recursive: true });
});

interface Attempt {
	readonly user: string;
	readonly password?: string;
	readonly tls: boolean;
	readonly certificate?: boolean;
	readonly options?: string;
}

async function attemptFor(way: Way): Promise<Attempt> {
	switch (way) {
		case 'scram':
			return { user: 'app', password: SERVICE_PASSWORD, tls: false };
		case 'scram over TLS':
			return { user: 'app', password: SERVICE_PASSWORD, tls: true };
		case 'token': {
			const claims = { padding: 'x'.repeat(12_000) };
			return { user: 'ana', password: await gateway.provider.forge('ana', { claims }), tls: true };
		}
		case 'device':
			return { user: 'ana', tls: true, options: '-c portcullis.login=device' };
		case 'certificate':
			return { user: 'robot', tls: true, certificate: true };
	}
}

function commandOf({ name }: Driver, { user, password, tls, certificate, options }: Attempt): string[] {
	const { port } = gateway;
	const [ca, cert, key, pk8] = ['server.crt', 'robot.crt', 'robot.key', 'robot.pk8'].map((file) => join(folder, file));
	if (name !== 'pgjdbc') {
		const shown = certificate === true ? { cert, key } : {};
		const secret = password === undefined ? {} : { password };
		const wish = options === undefined ? {} : { options };
		const settings = { host: 'localhost', port, user, database: 'shop', tls, ca, ...secret, ...shown, ...wish };
		return [join(scripts, 'login.py'), name, JSON.stringify(settings)];
	}
	const query = new URLSearchParams(tls ? { sslmode: 'verify-full', sslrootcert: ca ?? '' } : { sslmode: 'disable' });
	if (certificate === true) {
		query.set('sslcert', cert ?? '');
		query.set('sslkey', pk8 ?? '');
	}
	const url = `jdbc:postgresql://localhost:${port}/shop?${query.toString()}`;
	return ['-cp', [folder, jar].join(delimiter), 'Login', url, user, password ?? ''];
}

/** What the driver's program says in the end; approves the device login when a notice shows its code. */
function run(driver: Driver, attempt: Attempt): Promise<string> {
	return new Promise((resolve) => {
		const env = { PATH: process.env['PATH'], HOME: '/nonexistent', LC_ALL: 'C.UTF-8' };
		const child = execFile(
			driver.program ?? '',
			commandOf(driver, attempt),
			{ env, timeout: 100_000 },
			(_error, out, err) => resolve(out.trim() === '' ? err : out.trim()),
		);
		let said = '';
		child.stderr?.on('data', (chunk) => {
			const before = said;
			said += String(chunk);
			const code = /confirm the code (\S+)\n/.exec(said)?.[1];
			if (code !== undefined && !before.includes(code)) void gateway.provider.approveDevice(code, attempt.user);
		});
	});
}

async function lastLogin(): Promise<string> {
	const logins = (await gateway.audit()).filter((record) => JSON.stringify(record).includes('"event_code":"login"'));
	return JSON.stringify(logins.at(-1));
}

describe.each(installed)('$name', (driver) => {
	const ways = Object.entries(driver.methods).map(([way, method]) => ({ way: way as Way, method }));
	test.each(ways)('$way', async ({ way, method }) => {
		const attempt = await attemptFor(way);
		expect(await run(driver, attempt)).toBe(attempt.user);
		expect(await lastLogin()).toContain(`"${method}"`);
	});

	test('a wrong password is refused in words that the driver shows', async () => {
		const said = await run(driver, { user: 'app', password: 'x', tls: true });
		expect(said).toContain('password authentication failed for user "app"');
	});
});
