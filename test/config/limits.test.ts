/** Limits of databases and accounts: what they say for themselves goes before what holds for all; the reserved name, the admin port. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { consoleDatabase } from '../../src/admin/console/console.ts';
import type { Config } from '../../src/config/config.ts';
import { parseConfig } from '../../src/config/load.ts';

let folder: string;
beforeAll(async () => {
	folder = await mkdtemp(join(tmpdir(), 'portcullis-config-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const SECRET = 'PASSWORD';

/** `rest` follows a user and the key `databases:`. */
function load(rest: string, user = ''): Promise<Config> {
	const head = `identity: { users: [{ name: app, password: { env: ${SECRET} }${user} }] }\npolicies: .\ndatabases:\n`;
	const options = { file: join(folder, 'portcullis.yaml'), shown: 'portcullis.yaml', env: { [SECRET]: 'x' } };
	return parseConfig(head + rest, options);
}

test('a database has the limits that hold for all, but for those that it has of its own', async () => {
	const { databases } = await load(`
  shop: { host: localhost, user: u, limits: { queryTimeoutMs: 5, idleTransactionTimeoutMs: 0, sessionsMax: 7 } }
  crm: { host: localhost, user: u }
limits: { queryTimeoutMs: 100, idleTransactionTimeoutMs: 200, backendLifetimeMs: 300 }
`);
	expect(databases.map(({ limits }) => limits)).toEqual([
		{
			sessionsMax: 7,
			queryTimeoutMs: 5,
			transactionTimeoutMs: 0,
			idleTransactionTimeoutMs: 0,
			backendLifetimeMs: 300,
		},
		{
			sessionsMax: 0,
			queryTimeoutMs: 100,
			transactionTimeoutMs: 0,
			idleTransactionTimeoutMs: 200,
			backendLifetimeMs: 300,
		},
	]);
});

test('an account may have a number of sessions of its own', async () => {
	const database = '  shop: { host: localhost, user: u }\n';
	expect((await load(database)).identity.users[0]?.sessionsMax).toBeNull();
	expect((await load(database, ', sessionsMax: 3')).identity.users[0]?.sessionsMax).toBe(3);
});

test.each([
	{ host: '127.0.0.1', want: [] },
	{ host: '0.0.0.0', want: [expect.stringMatching(/^admin\.host: 0\.0\.0\.0: /) as string] },
])('an admin port on $host is worth $want.length warnings', async ({ host, want }) => {
	const { warnings } = await load(`  shop: { host: localhost, user: u }\nadmin: { host: ${host} }\n`);
	expect(warnings).toEqual(want);
});

test("the console's name cannot be given to a database", async () => {
	await expect(load(`  ${consoleDatabase}: { host: localhost, user: u }\n`)).rejects.toThrow(
		/^portcullis\.yaml:4: databases\.portcullis: is the gateway's own database: choose another name$/,
	);
});

test.each(['queryTimeoutMs: -1', 'queryTimeoutMs: 1.5', 'sessionsMax: many', 'poolWaitMs: 5'])(
	'%s is a mistake',
	async (limit) => {
		await expect(load(`  shop: { host: localhost, user: u, limits: { ${limit} } }\n`)).rejects.toThrow(
			/databases\.shop\.limits\./,
		);
	},
);

// A timer of more than 2^31 milliseconds fires at once: nobody could sign in, and nothing would be drained.
test.each(['loginTimeoutMs', 'connectTimeoutMs', 'poolWaitMs', 'drainTimeoutMs', 'lingerMs', 'keepAliveMs'])(
	'%s of more than a timer can wait is refused',
	async (key) => {
		const database = '  shop: { host: localhost, user: u }\n';
		await expect(load(`${database}limits: { ${key}: 2592000000 }\n`)).rejects.toThrow(
			new RegExp(`limits\\.${key}: must be at most`),
		);
	},
);

test('what is compared with a clock may be as long as it likes', async () => {
	const limits = 'limits: { backendLifetimeMs: 2592000000, idleTransactionTimeoutMs: 2592000000 }';
	const { databases } = await load(`  shop: { host: localhost, user: u }\n${limits}\n`);
	expect(databases[0]?.limits.backendLifetimeMs).toBe(2_592_000_000);
});
