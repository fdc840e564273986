/** `portcullis policy test` on the shipped policy and the sample database: every case holds, and a wrong one is found. */
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { CommandError, type CommandIo } from '../../src/cli/io.ts';
import { policyTest } from '../../src/cli/policy-test.ts';
import { ConfigError } from '../../src/config/document.ts';
import { shopDatabase } from '../support/gateway.ts';
import type { TestDatabase } from '../support/postgres.ts';

let database: TestDatabase;
let folder: string;
let config: string;

beforeAll(async () => {
	database = await shopDatabase();
	folder = await mkdtemp(join(tmpdir(), 'portcullis-cases-'));
	config = join(folder, 'portcullis.yaml');
	await cp(fileURLToPath(new URL('../../policies', import.meta.url)), join(folder, 'policies'), { recursive: true });
	await writeFile(
		config,
		`identity: { issuers: [{ issuer: https://id.example.com, audience: portcullis, claims: [tenant] }] }
databases:
  shop: { host: "${database.host}", port: ${database.port}, dbname: ${database.database}, user: ${database.user}, password: { env: PASSWORD } }
`,
	);
});

afterAll(async () => {
	await rm(folder, { recursive: true, force: true });
	await database?.drop();
});

async function run(): Promise<{ status: number; out: string }> {
	let out = '';
	const io: CommandIo = {
		out: (text) => {
			out += text;
		},
		err: () => undefined,
		stdin: new PassThrough(),
		env: { PASSWORD: database.password },
		color: false,
		columns: 100,
	};
	return { status: await policyTest(io, { config }), out };
}

test('the shipped cases hold', async () => {
	const { status, out } = await run();
	expect(out).toMatch(/cases, all as expected\n$/);
	expect(status).toBe(0);
});

test('a wrong expectation fails, with its place and the rules', async () => {
	const file = join(folder, 'policies/cases/wrong.yaml');
	await writeFile(
		file,
		'people: { ben: { groups: [data-team], claims: { tenant: acme } } }\ncases:\n  - { name: planted, as: ben, sql: "select ssn from hr.employees", expect: allow }\n',
	);
	try {
		const { status, out } = await run();
		expect(status).toBe(1);
		expect(out).toContain('FAIL  planted cases/wrong.yaml:3\n      expected allow, got mask and filter\n');
		expect(out).toMatch(/ {6}policy\.csv:\d+ {2}p, role:analyst, shop\.hr\.employees\.ssn, select, mask, ssn_last4\n/);
		expect(out).toMatch(/cases, 1 not as expected\n$/);
	} finally {
		await rm(file);
	}
});

test('mistakes in a case file and a folder without cases are errors', async () => {
	const cases = join(folder, 'policies/cases');
	await writeFile(join(cases, 'broken.yaml'), 'cases:\n  - { as: nobody-known, sql: x, expect: allow }\n');
	await expect(run()).rejects.toThrow(ConfigError);
	await rm(cases, { recursive: true });
	await expect(run()).rejects.toThrow(CommandError);
});
