/** Somebody from whom nothing is held back: the server's own answers, roles and settings, and the end of it when the policy changes. */
import { mkdtempSync, writeFileSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { SERVICE } from '../../src/cli/demo/people.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { startPostgres } from '../support/postgres.ts';

const modes = ['session', 'transaction'] as const;
const EVERYTHING = modes
	.flatMap((mode) => [mode, `${mode}.*.*`, `${mode}.*.*(*)`])
	.map((object) => `p, user:${SERVICE.name}, ${object}, *, allow`);
const SUPERUSER = modes.map((mode) => `p, user:${SERVICE.name}, ${mode}, superuser, allow`);
let gateway: TestGateway;
let folder: string;

beforeAll(async () => {
	const server = await startPostgres();
	folder = mkdtempSync(join(tmpdir(), 'portcullis-superuser-'));
	const file = join(folder, 'password');
	writeFileSync(file, server.password);
	gateway = await startGateway({
		policies: { 'policy.csv': policyText(SUPERUSER), 'masks.yaml': 'masks: {}\nfilters: {}\n' },
		configure: (config) => {
			const shop = { ...config.databases['shop'], user: server.user, password: { file } };
			config.databases = Object.fromEntries(modes.map((mode) => [mode, { ...shop, pool: { mode, size: 2 } }]));
		},
	});
});

afterAll(async () => {
	await gateway.stop();
	await rm(folder, { recursive: true, force: true });
});

function policyText(more: readonly string[]): string {
	return `${[...EVERYTHING, ...more].join('\n')}\n`;
}

async function adopt(more: readonly string[]): Promise<void> {
	await writeFile(join(gateway.folder, 'policies', 'policy.csv'), policyText(more));
	await gateway.gateway.reload();
}

async function connected(database: string): Promise<{ client: pg.Client; one: (sql: string) => Promise<unknown> }> {
	const client = await gateway.connect(SERVICE.name, { database });
	onTestFinished(() => client.end().catch(() => undefined));
	const one = async (sql: string): Promise<unknown> => {
		const result = await client.query<unknown[]>({ text: sql, rowMode: 'array' });
		return result.rows[0]?.[0];
	};
	return { client, one };
}

describe.each(modes)('%s mode', (mode) => {
	test('a role is taken and given back', async () => {
		const { one } = await connected(mode);
		await one('set role pg_monitor');
		expect(await one('select current_user')).toBe('pg_monitor');
		await expect(one('select ssn from hr.employees')).rejects.toMatchObject({ code: '42501', message: /schema hr/ });
		await one('reset role');
		expect(await one('select count(ssn) > 0 from hr.employees')).toBe(true);
		await one('set session authorization pg_read_all_data');
		expect(await one('select session_user')).toBe('pg_read_all_data');
		const { one: other } = await connected(mode);
		expect(await other('select current_user')).not.toBe('pg_read_all_data');
	});

	test('strings are read as the session says', async () => {
		const { one } = await connected(mode);
		await one('set standard_conforming_strings = off');
		expect(await one(`select 'it\\'s; select 2'`)).toBe("it's; select 2");
		await expect(one(`select 'it''s \\'`)).rejects.toMatchObject({
			code: '42601',
			message: /unterminated quoted string/,
		});
		await one('set standard_conforming_strings = on');
		expect(await one(`select 'it''s \\'`)).toBe("it's \\");
	});

	test('what does not parse gets the answer of the server, in and out of transactions', async () => {
		const { one } = await connected(mode);
		await expect(one('selec 1')).rejects.toMatchObject({ code: '42601', position: '1' });
		await one('begin');
		await expect(one('selec 1')).rejects.toMatchObject({ code: '42601' });
		await expect(one('select 1')).rejects.toMatchObject({ code: '25P02' });
		await one('rollback');
		await expect(one('select 1; selec 1')).rejects.toMatchObject({ code: '42601', position: '11' });
		expect(await one('select 1')).toBe(1);
	});

	test('who is held back from now on does not keep what the session has become', async () => {
		onTestFinished(() => adopt(SUPERUSER));
		const { one } = await connected(mode);
		const { one: plain } = await connected(mode);
		await one('set role pg_monitor');
		expect(await plain('select 1')).toBe(1);
		await adopt([]);
		await expect(one('select current_user')).rejects.toMatchObject({ code: '57P01' });
		expect(await plain('select 1')).toBe(1);
		await expect(plain('set role pg_monitor')).rejects.toMatchObject({ code: '42501' });
	});
});
