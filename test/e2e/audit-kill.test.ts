/** kill -9 of a gateway under load: whatever the database executed has its record, and the log verifies after the restart. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { searchLog } from '../../src/audit/search.ts';
import { verifyLog } from '../../src/audit/verify.ts';
import { GATEWAY_ROLE } from '../../src/cli/demo/shop.ts';
import { type ClientOptions, startGateway, type TestGateway } from '../support/gateway.ts';
import { compiledProgram } from '../support/program.ts';

/** More for a night: PORTCULLIS_KILLS=100. */
const kills = Number(process.env.PORTCULLIS_KILLS ?? 3);
const clients = 6;
const project = fileURLToPath(new URL('../..', import.meta.url));

let world: TestGateway;
let configFile: string;

beforeAll(async () => {
	const policy = await readFile(join(project, 'policies', 'policy.csv'), 'utf8');
	// Who may not read a table has the values bound for it redacted, and these are what is looked for.
	const rules = ['insert', 'select']
		.map((action) => `p, role:writer, shop.public.executed, ${action}, allow\n`)
		.join('');
	world = await startGateway({
		policies: { 'policy.csv': `${policy}\n${rules}` },
		setup: `create table public.executed (id text primary key); grant insert on public.executed to ${GATEWAY_ROLE}`,
	});
	configFile = join(world.folder, 'killed.yaml');
	await writeFile(
		configFile,
		(await readFile(world.configFile, 'utf8')).replace('path: ./audit', 'path: ./audit-killed'),
	);
});
afterAll(() => world.stop());

async function serve(): Promise<{ child: ChildProcess; port: number }> {
	const [node, program] = await compiledProgram();
	const child = spawn(node, [program, 'serve', '--config', configFile], {
		cwd: project,
		env: { ...process.env, SHOP_PASSWORD: 'gateway-password' },
		stdio: ['ignore', 'pipe', 'ignore'],
	});
	onTestFinished(() => {
		child.kill('SIGKILL');
	});
	const port = await new Promise<number>((resolve, reject) => {
		let text = '';
		child.stdout.on('data', (bytes: Buffer) => {
			text += bytes.toString();
			const found = /listens on \S+:(\d+)/.exec(text)?.[1];
			if (found !== undefined) resolve(Number(found));
		});
		child.on('exit', () => reject(new Error('the gateway ended')));
	});
	return { child, port };
}

/** Inserts one row after the other, by turns in the simple and the extended protocol, until the connection breaks. */
async function insertUntilBroken(options: ClientOptions, name: string, done: () => void): Promise<void> {
	const client = new pg.Client(options);
	client.on('error', () => undefined);
	try {
		await client.connect();
		for (let n = 0; ; n += 1) {
			const id = `${name}-${n}`;
			if (n % 2 === 0) await client.query(`insert into executed values ('${id}')`);
			else await client.query('insert into executed values ($1)', [id]);
			done();
		}
	} catch {
		// The gateway was killed.
	}
	await client.end().catch(() => undefined);
}

/** Statements that were under way may still commit. */
async function backendsAreGone(): Promise<void> {
	const sql = `select from pg_stat_activity where datname = current_database() and usename = '${GATEWAY_ROLE}' and query like '%executed%'`;
	await expect.poll(async () => (await world.backend.sql(sql)).length).toBe(0);
}

/** Ids in every statement that the log holds since then, from its text or its parameters. */
async function recordedIds(fromMs: number): Promise<Set<string>> {
	const ids = new Set<string>();
	await searchLog(join(world.folder, 'audit-killed'), { fromMs }, ({ record }) => {
		for (const match of JSON.stringify(record).matchAll(/kill\d+-\d+-\d+/g)) ids.add(match[0]);
	});
	return ids;
}

test(
	`${kills} times: what was executed is recorded, and the log verifies`,
	async () => {
		for (let kill = 0; kill < kills; kill += 1) {
			const begunMs = Date.now();
			const { child, port } = await serve();
			const options = { ...(await world.credentials('app')), port };
			let executed = 0;
			const enough = 20 + ((kill * 37) % 300);
			const exited = new Promise((resolve) => child.on('exit', resolve));
			const work = Array.from({ length: clients }, (_nothing, client) =>
				insertUntilBroken(options, `kill${kill}-${client}`, () => {
					executed += 1;
					if (executed === enough) child.kill('SIGKILL');
				}),
			);
			await Promise.all([exited, ...work]);
			await backendsAreGone();
			expect(executed).toBeGreaterThanOrEqual(enough);
			const rows = await world.backend.sql(`select id from executed where id like 'kill${kill}-%'`);
			const recorded = await recordedIds(begunMs);
			expect(rows.length).toBeGreaterThanOrEqual(enough);
			expect(rows.map((row) => String(row.id)).filter((id) => !recorded.has(id))).toEqual([]);
		}
		const { child } = await serve();
		const exited = new Promise((resolve) => child.on('exit', resolve));
		child.kill('SIGTERM');
		await exited;
		const report = await verifyLog(join(world.folder, 'audit-killed'));
		expect(report).toMatchObject({ ok: true, findings: [], segments: kills + 1 });
	},
	60_000 + kills * 30_000,
);
