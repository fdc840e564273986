/** PostgreSQL's own programs (pg_dump, pg_basebackup, ...) with the server that they belong to, and a whole gateway in front of any database. */
import { execFile, spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { formatVerifier, makeVerifier } from '../../src/auth/verifier.ts';
import { type Gateway, startGateway } from '../../src/cli/gateway.ts';
import { loadConfig } from '../../src/config/load.ts';

/** An installation of PostgreSQL, server and clients, as Debian lays it out. */
export interface Installation {
	readonly major: number;
	/** Has bin and lib. For `startPostgres`. */
	readonly native: string;
	readonly bin: string;
}

const DEBIAN = '/usr/lib/postgresql';

/** The newest that has all of the programs; null says loudly that tests are left out. */
export function installation(programs: readonly string[]): Installation | null {
	const versions = existsSync(DEBIAN) ? readdirSync(DEBIAN).map(Number).filter(Number.isInteger) : [];
	for (const major of versions.sort((a, b) => b - a)) {
		const native = join(DEBIAN, String(major));
		const bin = join(native, 'bin');
		if (programs.every((program) => existsSync(join(bin, program)))) return { major, native, bin };
	}
	process.stderr.write(`\n!! ${programs.join(', ')}: MISSING, their tests are LEFT OUT. Install postgresql.\n\n`);
	return null;
}

export interface Ended {
	/** -1 when it was killed. */
	readonly status: number;
	readonly stdout: string;
	readonly stderr: string;
}

/** Runs a program to its end, or for 60 seconds. `input` is given to it. */
export function runProgram(
	program: string,
	args: readonly string[],
	{ env = {}, input = '' }: { readonly env?: Readonly<Record<string, string>>; readonly input?: string } = {},
): Promise<Ended> {
	const all = {
		PATH: process.env['PATH'] ?? '',
		HOME: '/nonexistent',
		LC_ALL: 'C',
		TZ: 'UTC',
		PGCONNECT_TIMEOUT: '10',
		...env,
	};
	return new Promise((resolve) => {
		const options = { env: all, timeout: 60_000, maxBuffer: 256 * 1024 * 1024 };
		const child = execFile(program, [...args], options, (error, stdout, stderr) => {
			resolve({ status: error === null ? 0 : typeof error.code === 'number' ? error.code : -1, stdout, stderr });
		});
		child.stdin?.on('error', () => undefined);
		child.stdin?.end(input);
	});
}

/** The first Python that has the module. */
export function pythonWith(module: string): string | undefined {
	return ['python3', '/usr/bin/python3'].find((python) => spawnSync(python, ['-c', `import ${module}`]).status === 0);
}

/** Of the JDK; by a name, so that it is not taken for a package's. */
export const COMPILER = 'javac';

/** pgjdbc's file, where Debian has it or PGJDBC_JAR says, if it can be worked with: there is a JDK too. */
export function pgjdbc(): string | undefined {
	const jar = [process.env['PGJDBC_JAR'] ?? '', '/usr/share/java/postgresql.jar'].find((file) => existsSync(file));
	return jar !== undefined && spawnSync(COMPILER, ['--version']).status === 0 ? jar : undefined;
}

export interface ToolGateway {
	readonly port: number;
	readonly gateway: Gateway;
	readonly folder: string;
	/** Every record of the audit log up to now. */
	audit(): Promise<Record<string, unknown>[]>;
	stop(): Promise<void>;
}

/** Password of every user of a tool gateway. */
export const TOOL_PASSWORD = 'tool-password';

const VERIFIER = makeVerifier(TOOL_PASSWORD, { iterations: 4096 }).then(formatVerifier);

/** `users`: names with their roles in the policy. `databases`, `limits`: as in portcullis.yaml. */
export interface ToolGatewayOptions {
	readonly users: Readonly<Record<string, readonly string[]>>;
	readonly databases: Readonly<Record<string, object>>;
	readonly policy: string;
	readonly masks?: object;
	readonly limits?: object;
	/** The environment that the configuration takes secrets from. */
	readonly secrets?: Readonly<Record<string, string>>;
	/** The gateway's clock, milliseconds since the epoch; missing: the real one. */
	readonly now?: () => number;
}

/** Starts a whole gateway in this process. Stop it in afterAll. */
export async function startToolGateway(options: ToolGatewayOptions): Promise<ToolGateway> {
	const { users, databases, policy, masks = {}, limits = {}, now } = options;
	const folder = await mkdtemp(join(tmpdir(), 'portcullis-tools-'));
	await cp(new URL('../../policies/model.conf', import.meta.url), join(folder, 'policies', 'model.conf'));
	await writeFile(join(folder, 'policies', 'policy.csv'), policy);
	await writeFile(join(folder, 'policies', 'masks.yaml'), stringify(masks));
	const scram = await VERIFIER;
	const config = {
		listen: { host: '127.0.0.1', port: 0 },
		identity: {
			users: Object.entries(users).map(([name, roles]) => ({ name, password: { scram }, roles: [...roles] })),
		},
		databases,
		policies: './policies',
		audit: { path: './audit' },
		limits,
	};
	const file = join(folder, 'portcullis.yaml');
	await writeFile(file, stringify(config));
	const quiet = (): void => undefined;
	const gateway = await startGateway(await loadConfig(file, options.secrets ?? {}), {
		log: { info: quiet, warn: quiet, error: quiet },
		...(now === undefined ? {} : { now }),
	});
	return {
		port: gateway.port,
		gateway,
		folder,
		audit: () => readAudit(join(folder, 'audit')),
		stop: async () => {
			await gateway.close(0);
			await rm(folder, { recursive: true, force: true });
		},
	};
}

async function readAudit(folder: string): Promise<Record<string, unknown>[]> {
	const files = (await readdir(folder)).filter((name) => name.endsWith('.jsonl')).sort();
	const texts = await Promise.all(files.map((name) => readFile(join(folder, name), 'utf8')));
	return texts
		.flatMap((text) => text.split('\n'))
		.filter((line) => line !== '')
		.map((line) => JSON.parse(line) as Record<string, unknown>);
}
