/** The embedded PostgreSQL: starts, answers, is gone afterwards; also when Node is killed or the port is taken. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { type EmbeddedPostgres, freePort, startEmbeddedPostgres } from '../../../src/cli/demo/postgres.ts';
import { createDatabase, startPostgres } from '../../support/postgres.ts';

const running: EmbeddedPostgres[] = [];
afterEach(async () => {
	await Promise.all(running.splice(0).map((server) => server.stop()));
});

describe('startEmbeddedPostgres', () => {
	test('stop() leaves no process and no directory', async () => {
		const server = await startEmbeddedPostgres();
		running.push(server);
		expect(Number.parseInt(server.version, 10)).toBeGreaterThanOrEqual(18);
		expect(existsSync(join(server.directory, 'data', 'PG_VERSION'))).toBe(true);
		await server.stop();
		await server.stop();
		expect(existsSync(server.directory)).toBe(false);
		expect(isAlive(server.pid)).toBe(false);
	});

	test('takes another port when the wanted one is taken', async () => {
		const taken = createServer();
		const port = await new Promise<number>((resolve) => {
			taken.listen(0, '127.0.0.1', () => {
				const address = taken.address();
				resolve(typeof address === 'object' && address !== null ? address.port : 0);
			});
		});
		const server = await startEmbeddedPostgres({ port });
		running.push(server);
		expect(server.port).not.toBe(port);
		taken.close();
	});

	test('takes the wanted port when it is free', async () => {
		const port = await freePort();
		const server = await startEmbeddedPostgres({ port });
		running.push(server);
		expect(server.port).toBe(port);
	});

	test("says the server's own words when it cannot start", async () => {
		const start = startEmbeddedPostgres({ settings: { shared_buffers: 'nonsense' } });
		await expect(start).rejects.toThrow(/did not start: .*shared_buffers/s);
	});

	test('ends with a Node that is killed', async () => {
		const module = JSON.stringify(new URL('../../../src/cli/demo/postgres.ts', import.meta.url).href);
		const script = `
			import(${module}).then(async ({ startEmbeddedPostgres }) => {
				const { directory, pid } = await startEmbeddedPostgres();
				process.stdout.write(JSON.stringify({ directory, pid }) + '\\n');
				setInterval(() => {}, 1000);
			});`;
		const child = spawn(process.execPath, ['--import', 'tsx', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
		const said = await new Promise<string>((resolve) => child.stdout.once('data', (chunk) => resolve(String(chunk))));
		const { directory, pid } = JSON.parse(said) as { directory: string; pid: number };
		expect(isAlive(pid)).toBe(true);
		child.kill('SIGKILL');
		await expect.poll(() => isAlive(pid) || existsSync(directory)).toBe(false);
	});
});

describe('createDatabase', () => {
	test('makes a database that is gone after drop()', async () => {
		const database = await createDatabase({ setup: 'create table t (a int); insert into t values (1), (2)' });
		expect(await database.sql('select count(*)::int as n from t')).toEqual([{ n: 2 }]);
		await database.drop();
		const other = await createDatabase();
		const left = await other.sql(`select 1 from pg_database where datname = '${database.database}'`);
		await other.drop();
		expect(left).toEqual([]);
	});

	test('all callers share one server', async () => {
		expect((await startPostgres()).port).toBe((await startPostgres()).port);
	});
});

/** Whether a process runs; one that ended but was not yet waited for does not. */
function isAlive(pid: number): boolean {
	try {
		process.kill(pid, 0);
		return true;
	} catch {
		return false;
	}
}
