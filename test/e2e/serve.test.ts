/** `serve` as an operator runs it, and `explain` beside it: signals, a drain that lets transactions finish, TLS. */
import { EventEmitter } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { explain, type ExplainOptions } from '../../src/cli/explain.ts';
import type { CommandIo } from '../../src/cli/io.ts';
import { serve } from '../../src/cli/serve.ts';
import { type LogLine, startGateway, type TestGateway } from '../support/gateway.ts';

/** Gives a database, a provider and a configuration; `serve` then runs a second gateway on them. */
let world: TestGateway;
beforeAll(async () => {
	world = await startGateway();
});
afterAll(() => world.stop());

function commandIo(stdin = ''): { io: CommandIo; written: () => string } {
	let written = '';
	const input = new PassThrough();
	input.end(stdin);
	const io: CommandIo = {
		out: (text) => {
			written += text;
		},
		err: () => undefined,
		stdin: input,
		env: { SHOP_PASSWORD: 'gateway-password' },
		color: false,
		columns: 100,
	};
	return { io, written: () => written };
}

test('SIGHUP reads the policy; SIGTERM lets a transaction finish, takes no more clients, and ends with 0', async () => {
	const config = join(world.folder, 'second.yaml');
	const text = (await readFile(world.configFile, 'utf8')).replace('path: ./audit', 'path: ./audit-second');
	await writeFile(config, text);
	const signals = new EventEmitter();
	const log: LogLine[] = [];
	const write = (level: LogLine['level']) => (fields: object, message: string) => {
		log.push({ level, message, fields: { ...fields } });
	};
	const { io, written } = commandIo();
	const status = serve(io, {
		config,
		signals: signals as unknown as NodeJS.Process,
		log: { info: write('info'), warn: write('warn'), error: write('error') },
	});
	await expect.poll(written).toMatch(/^portcullis \S+ listens on 127\.0\.0\.1:\d+ for shop\n$/);
	const port = Number(/:(\d+) for/.exec(written())?.[1]);

	signals.emit('SIGHUP');
	await expect.poll(() => log.map(({ message }) => message)).toContain('policy is unchanged');

	const options = { ...(await world.credentials('app')), port };
	const idle = new pg.Client(options);
	const busy = new pg.Client(options);
	const idleEnded = new Promise<Error>((resolve) => idle.on('error', resolve));
	busy.on('error', () => undefined);
	await Promise.all([idle.connect(), busy.connect()]);
	await busy.query('begin');
	await busy.query("insert into sales.orders (tenant, customer_id, note) values ('acme', 3, 'drained')");

	for (const workers of [1, 2]) {
		const another = join(world.folder, `second-${workers}.yaml`);
		await writeFile(another, `${text}\nworkers: ${workers}\n`);
		await expect(serve(commandIo().io, { config: another, signals: process })).rejects.toMatchObject({
			sqlstate: 'F0001',
			message: `audit directory ${join(world.folder, 'audit-second')} is in use by process ${process.pid}`,
			hint: 'Two gateways cannot write one: give each an audit.path of its own.',
		});
	}

	signals.emit('SIGTERM');
	expect(await idleEnded).toMatchObject({ code: '57P01' });
	await expect(new pg.Client(options).connect()).rejects.toThrow();
	expect((await busy.query('commit')).command).toBe('COMMIT');
	expect(await status).toBe(0);
	expect(log.at(-1)?.message).toBe('stopped');
	expect(signals.eventNames()).toEqual([]);
	expect(await world.backend.sql("select from sales.orders where note = 'drained'")).toHaveLength(1);
});

async function explained(sql: string, options: Partial<ExplainOptions>, stdin?: string): Promise<string> {
	const { io, written } = commandIo(stdin);
	expect(await explain(io, sql, { config: world.configFile, user: 'ben', ...options })).toBe(0);
	return written();
}

const ANALYST = { group: ['data-team'], claim: { tenant: 'acme' } };

test('explain: decision, objects, masks, filters, rules with file and line, and what runs', async () => {
	const text = await explained('select ssn from hr.employees', ANALYST);
	expect(text).toMatch(/^who +user:ben \(group:data-team, claim tenant=acme\)$/m);
	expect(text).toMatch(/^decision +mask SelectStmt$/m);
	expect(text).toMatch(/^object +select relation hr\.employees \(ssn\)$/m);
	expect(text).toMatch(/^ +ssn masked by ssn_last4 \(policy\.csv:\d+\)$/m);
	expect(text).toMatch(/^ +not read, masked too: .*salary/m);
	expect(text).toMatch(/^ +rows filtered by own_tenant \(policy\.csv:\d+\)$/m);
	expect(text).toMatch(/policy\.csv:\d+ {2}p, role:analyst, shop\.hr\.employees\.ssn, select, mask, ssn_last4$/m);
	expect(text).toMatch(/^runs +select ssn from \(/m);
	expect(text).toMatch(/'acme'/);
});

test('explain: the way through views, and the rule for each mask, filter and hidden column', async () => {
	const text = await explained('select * from hr.employee_directory', ANALYST);
	expect(text).toMatch(/^object +select relation hr\.employees \(.*\) via hr\.employee_directory$/m);
	expect(text).toMatch(/^ +email masked by email \(policy\.csv:\d+\)$/m);
	expect(text).toMatch(/^ +photo hidden \(policy\.csv:\d+\)$/m);
	const json = JSON.parse(await explained('select * from hr.employees', { ...ANALYST, json: true })) as {
		statements: { objects: { reasons: string[] }[] }[];
	};
	expect(json.statements[0]?.objects[0]?.reasons.join()).toMatch(/ssn masked by ssn_last4 \(policy\.csv:\d+\)/);
});

test('explain: a denial with its error', async () => {
	const text = await explained('select * from hr.employees', { user: 'app' });
	expect(text).toMatch(/^who +user:app \(role:writer, claim tenant=acme\)$/m);
	expect(text).toMatch(/^decision +deny SelectStmt$/m);
	expect(text).toMatch(/^error +42501 permission denied for relation hr\.employees/m);
	expect(text).not.toMatch(/^runs/m);
});

test('explain: several statements from standard input, as JSON', async () => {
	const json = JSON.parse(
		await explained('-', { ...ANALYST, json: true }, 'select 1; select salary from hr.employees'),
	) as {
		decision: string;
		statements: { decision: string }[];
	};
	expect(json.decision).toBe('mask');
	expect(json.statements.map(({ decision }) => decision)).toEqual(['allow', 'mask']);
});

test('explain: search_path as given, or as the database has it', async () => {
	expect(await explained('select * from offices', ANALYST)).toMatch(/relation public\.offices/);
	expect(await explained('select * from offices', { ...ANALYST, searchPath: 'hr' })).toMatch(
		/42P01 relation "offices" does not exist/,
	);
	expect(await explained('select name from departments', { ...ANALYST, searchPath: 'hr, sales' })).toMatch(
		/relation hr\.departments/,
	);
});

test('explain: an unknown database', async () => {
	await expect(explained('select 1', { database: 'nowhere' })).rejects.toThrow(
		'the configuration has no database "nowhere", only shop',
	);
});
