/** What applications do with psycopg 3 (pipelines too), asyncpg and pgjdbc gives the same through the gateway as without it, pooled or not. */
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createDatabase, startPostgres, type TestDatabase } from '../support/postgres.ts';
import {
	COMPILER,
	pgjdbc,
	pythonWith,
	runProgram,
	startToolGateway,
	TOOL_PASSWORD,
	type ToolGateway,
} from '../support/tools.ts';

const scripts = join(import.meta.dirname, 'drivers');

interface Target {
	readonly port: number;
	readonly user: string;
	readonly password: string;
	readonly database: string;
}

let folder: string;
let database: TestDatabase;
let gateway: ToolGateway;

beforeAll(async () => {
	folder = await mkdtemp(join(tmpdir(), 'portcullis-work-'));
	const server = await startPostgres();
	database = await createDatabase({ server });
	const { host, port, user } = server;
	const at = { host, port, user, dbname: database.database, password: { env: 'SECRET' } };
	const policyOf = (name: string): string =>
		`p, role:app, ${name}, *, allow\np, role:app, ${name}.*.*, *, allow\np, role:app, ${name}.*.*(*), *, allow\n`;
	gateway = await startToolGateway({
		users: { app: ['app'] },
		databases: {
			work: { ...at, pool: { mode: 'session' } },
			pooled: { ...at, pool: { mode: 'transaction', size: 2 } },
		},
		policy: ['work', 'pooled'].map(policyOf).join(''),
		secrets: { SECRET: server.password },
	});
});

afterAll(async () => {
	await gateway?.stop();
	await database?.drop();
	if (folder !== undefined) await rm(folder, { recursive: true });
});

/** The same work directly and through the gateway; what it says has to be the same. At least so many lines. */
async function check(
	linesMin: number,
	commandFor: (target: Target) => readonly [string, readonly string[]],
): Promise<void> {
	const { port, user, password } = database;
	const direct = { port, user, password, database: database.database };
	const through = { port: gateway.port, user: 'app', password: TOOL_PASSWORD };
	const wanted = await runProgram(...commandFor(direct));
	expect(wanted).toMatchObject({ status: 0, stderr: '' });
	expect(wanted.stdout.split('\n').length).toBeGreaterThan(linesMin);
	for (const name of ['work', 'pooled']) {
		expect(await runProgram(...commandFor({ ...through, database: name })), name).toEqual(wanted);
	}
}

describe.each([
	['psycopg', 45],
	['asyncpg', 25],
] as const)('%s', (name, lines) => {
	const python = pythonWith(name);
	if (python === undefined) console.warn(`${name} is missing: its work is LEFT OUT`);
	test.skipIf(python === undefined)('does its work', { timeout: 60_000 }, async () => {
		await check(lines, (target) => {
			const settings = { host: '127.0.0.1', sslmode: 'disable', ...target };
			return [python ?? '', [join(scripts, 'work.py'), name, JSON.stringify(settings)]];
		});
	});
});

describe('pgjdbc', () => {
	const jar = pgjdbc();
	if (jar === undefined) console.warn('pgjdbc is missing: its work is LEFT OUT');
	test.skipIf(jar === undefined)(
		'does its work, with statements prepared by itself or by the server',
		{ timeout: 60_000 },
		async () => {
			const compiled = spawnSync(COMPILER, ['-cp', jar ?? '', '-d', folder, join(scripts, 'Work.java')], {
				encoding: 'utf8',
			});
			expect(compiled).toMatchObject({ status: 0 });
			await check(90, ({ port, user, password, database: name }) => {
				const url = `jdbc:postgresql://127.0.0.1:${port}/${name}?sslmode=disable`;
				return ['java', ['-cp', [folder, jar].join(delimiter), 'Work', url, user, password]];
			});
		},
	);
});
