/** Databases that are made, renamed, copied and dropped through the gateway, which has connections of its own to them. */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { SERVICE } from '../../src/cli/demo/people.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { startPostgres } from '../support/postgres.ts';

const MADE = `made_${randomBytes(6).toString('hex')}`;
const COPY = `${MADE}_copy`;
/** Names that clients know them by, and how their connections are kept. */
const modes = { session: 'made_session', transaction: 'made_transaction' } as const;
let gateway: TestGateway;
let admin: pg.Client;
let folder: string;

beforeAll(async () => {
	const server = await startPostgres();
	folder = mkdtempSync(join(tmpdir(), 'portcullis-whole-'));
	const names = ['shop', ...Object.values(modes)];
	const policy = names.flatMap((name) =>
		[name, `${name}.*.*`, `${name}.*.*(*)`].map((object) => `p, user:${SERVICE.name}, ${object}, *, allow`),
	);
	gateway = await startGateway({
		policies: { 'policy.csv': `${policy.join('\n')}\n`, 'masks.yaml': 'masks: {}\nfilters: {}\n' },
		configure: ({ databases }) => {
			const file = join(folder, 'password');
			writeFileSync(file, server.password);
			const shop = databases['shop'] ?? {};
			Object.assign(shop, { user: server.user, password: { file } });
			for (const [mode, name] of Object.entries(modes))
				databases[name] = { ...shop, dbname: MADE, pool: { mode, size: 3 } };
		},
	});
	admin = await gateway.connect(SERVICE.name);
});

afterAll(async () => {
	await admin.end();
	for (const name of [MADE, COPY]) await gateway.backend.sql(`drop database if exists ${name} with (force)`);
	await gateway.stop();
	await rm(folder, { recursive: true, force: true });
});

async function inside(database: string, sql: string): Promise<unknown[]> {
	const client = await gateway.connect(SERVICE.name, { database });
	try {
		return (await client.query({ text: sql, rowMode: 'array' })).rows.flat();
	} finally {
		await client.end();
	}
}

test.each(Object.values(modes))('%s: what is made can be used at once, dropped, and made again', async (name) => {
	for (const column of ['one', 'two']) {
		await admin.query(`create database ${MADE}`);
		await inside(name, `create table kept as select 1 as ${column}`);
		expect(await inside(name, `select ${column} from kept`)).toEqual([1]);
		await admin.query(`drop database ${MADE}`);
	}
});

test('it can be copied and renamed', async () => {
	const name = modes.transaction;
	await admin.query(`create database ${MADE}`);
	await inside(name, 'create table kept as select 3 as three');
	await admin.query(`create database ${COPY} template ${MADE}`);
	expect(await inside(name, 'select three from kept')).toEqual([3]);
	await admin.query(`drop database ${COPY}`);
	await admin.query(`alter database ${MADE} rename to ${COPY}`);
	await expect(inside(name, 'select three from kept')).rejects.toMatchObject({ code: '3D000' });
	await admin.query(`alter database ${COPY} rename to ${MADE}`);
	expect(await inside(name, 'select three from kept')).toEqual([3]);
	await admin.query(`drop database ${MADE}`);
});
