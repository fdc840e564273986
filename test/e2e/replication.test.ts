/** pg_basebackup, pg_receivewal, pg_recvlogical, a standby and a subscriber work through the gateway, for those whom a rule allows it. */
import { randomBytes } from 'node:crypto';
import { type ChildProcess, spawn } from 'node:child_process';
import { appendFile, chmod, chown, mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePort } from '../../src/cli/demo/postgres.ts';
import { createDatabase, startPostgres, type TestDatabase, type TestPostgres } from '../support/postgres.ts';
import {
	type Ended,
	installation,
	runProgram,
	startToolGateway,
	TOOL_PASSWORD,
	type ToolGateway,
} from '../support/tools.ts';

const installed = installation(['postgres', 'initdb', 'pg_basebackup', 'pg_receivewal', 'pg_recvlogical', 'psql']);

/** A standby needs at least as much as its primary has (test/support/global-setup.ts). */
const PRIMARY = ['max_connections=300', 'max_prepared_transactions=10', 'max_wal_senders=50'];

/** Everybody may read; `backup` may copy the server, `feed` the database; `nosy` neither. */
const POLICY = `
p, *, shop, connect, allow
p, *, shop, temp, allow
p, *, shop.*.*, select, allow
p, *, shop.public.people.ssn, select, mask, nothing
p, *, replication, connect, allow
p, role:backup, replication, replicate, allow
p, role:feed, shop, replicate, allow
p, role:feed, pooled, connect, allow
p, role:feed, pooled, replicate, allow
p, role:feed, pooled.*.*, select, allow
`;

const SETUP = `
create table people (id int primary key, name text, ssn text);
insert into people select i, 'name ' || i, '123-45-' || i from generate_series(1, 500) i;
create publication feed for table people;
`;

describe.skipIf(installed === null)('replication through the gateway', () => {
	const { native, bin } = installed ?? { native: '', bin: '' };
	const suffix = randomBytes(4).toString('hex');
	const role = `gateway_${suffix}`;
	let server: TestPostgres;
	let database: TestDatabase;
	let gateway: ToolGateway;
	let folder: string;

	beforeAll(async () => {
		server = await startPostgres({ native });
		database = await createDatabase({ server, setup: SETUP });
		await database.sql(`create role ${role} login replication password 'gateway'; grant pg_read_all_data to ${role};
			create role plain_${suffix} login password 'gateway'`);
		const { host, port } = server;
		const password = { env: 'SECRET' };
		const target = { host, port, user: role, password };
		gateway = await startToolGateway({
			users: { backup: ['backup'], feed: ['feed'], nosy: [], both: ['backup', 'feed'] },
			databases: {
				shop: { ...target, dbname: database.database, limits: { queryTimeoutMs: 300 } },
				replication: { ...target, dbname: 'postgres', limits: { queryTimeoutMs: 300, transactionTimeoutMs: 300 } },
				pooled: { ...target, dbname: database.database, pool: { mode: 'transaction', size: 1 } },
				powerless: { ...target, dbname: database.database, user: `plain_${suffix}` },
			},
			policy: `${POLICY}p, role:feed, powerless, connect, allow\np, role:feed, powerless, replicate, allow\n`,
			masks: { masks: { nothing: 'null' } },
			secrets: { SECRET: 'gateway' },
		});
		folder = await mkdtemp(join(tmpdir(), 'portcullis-replication-'));
		await chmod(folder, 0o777);
	});

	afterAll(async () => {
		await gateway?.stop();
		await database?.drop();
		if (folder !== undefined) await rm(folder, { recursive: true, force: true });
	});

	const as = (user: string): Record<string, string> => ({
		PGHOST: '127.0.0.1',
		PGPORT: String(gateway.port),
		PGUSER: user,
		PGPASSWORD: TOOL_PASSWORD,
	});
	const tool = (name: string, user: string, args: readonly string[]): Promise<Ended> =>
		runProgram(join(bin, name), args, { env: as(user) });

	/** The records of a session by this user, in order: what was asked and how it ended. */
	async function recorded(
		user: string,
	): Promise<{ asked: string[]; outcomes: Record<string, unknown>[]; logins: unknown[] }> {
		const records = (await gateway.audit()).filter((record) => JSON.stringify(record).includes(`"${user}"`));
		const of = (code: string): Record<string, unknown>[] =>
			records.filter(({ metadata }) => (metadata as { event_code: string }).event_code === code);
		return {
			asked: of('statement').map(({ query_info }) => (query_info as { query_string: string }).query_string),
			outcomes: of('outcome').map(({ unmapped }) => unmapped as Record<string, unknown>),
			logins: of('login').map(({ unmapped }) => (unmapped as Record<string, unknown>)['replication']),
		};
	}

	/** Runs a copy of the server on its own; answers how to ask it and how to stop it. */
	async function startCopy(data: string, settings: readonly string[]): Promise<Copy> {
		const owner = await stat((await database.sql('show data_directory'))[0]?.['data_directory'] as string);
		for (const path of [data, ...(await readdir(data, { recursive: true })).map((name) => join(data, name))])
			await chown(path, owner.uid, owner.gid);
		await chmod(data, 0o700);
		const port = await freePort();
		const flags = [
			`port=${port}`,
			'unix_socket_directories=',
			'listen_addresses=127.0.0.1',
			'fsync=off',
			...PRIMARY,
			...settings,
		];
		const child = spawn(join(bin, 'postgres'), ['-D', data, ...flags.flatMap((flag) => ['-c', flag])], {
			uid: owner.uid,
			gid: owner.gid,
			stdio: ['ignore', 'ignore', 'pipe'],
			env: { PATH: process.env['PATH'] ?? '', LC_ALL: 'C' },
		});
		const copy = new Copy(child, { ...server, port });
		await copy.ready();
		return copy;
	}

	test('pg_basebackup makes a copy that starts, and that follows as a standby through the gateway', async () => {
		const data = join(folder, 'copy');
		const slot = `standby_${suffix}`;
		const taken = await tool('pg_basebackup', 'backup', [
			'-D',
			data,
			'-X',
			'stream',
			'-c',
			'fast',
			'-R',
			'-C',
			'-S',
			slot,
		]);
		expect(taken).toMatchObject({ status: 0 });
		const { asked, outcomes } = await recorded('backup');
		expect(asked.some((sql) => sql.startsWith('BASE_BACKUP'))).toBe(true);
		expect(asked.filter((sql) => sql.startsWith('START_REPLICATION'))).toHaveLength(1);
		const largest = Math.max(...outcomes.map(({ bytes }) => Number(bytes)));
		expect(largest).toBeGreaterThan(20_000_000);

		// As an operator would: the standby signs in at the gateway.
		await appendFile(
			join(data, 'postgresql.auto.conf'),
			`primary_conninfo = 'host=127.0.0.1 port=${gateway.port} user=backup password=${TOOL_PASSWORD}'\nprimary_slot_name = '${slot}'\n`,
		);
		const standby = await startCopy(data, ['hot_standby=on']);
		try {
			await database.sql("insert into people values (1001, 'after the copy', 'x')");
			const seen = await standby.until(database.database, 'select ssn from people where id = 1001');
			expect(seen).toEqual([{ ssn: 'x' }]);
			const [status] = await database.sql(
				`select state, application_name as name from pg_stat_replication where usename = '${role}'`,
			);
			expect(status).toMatchObject({ state: 'streaming' });
			// Longer than any limit of time that the databases have.
			const aged = `usename = '${role}' and state = 'streaming' and clock_timestamp() - backend_start > interval '800 ms'`;
			await rowsOf(() => database.sql(`select pid from pg_stat_replication where ${aged}`));
			await database.sql("insert into people values (1002, 'later', 'y')");
			expect(await standby.until(database.database, 'select ssn from people where id = 1002')).toEqual([{ ssn: 'y' }]);
		} finally {
			await standby.stop();
			await database.sql(
				`select pg_drop_replication_slot('${slot}') from pg_replication_slots where slot_name = '${slot}' and not active`,
			);
		}
	});

	test('pg_receivewal receives the log, and stops where it is told to', async () => {
		const log = join(folder, 'wal');
		await runProgram('mkdir', [log]);
		await database.sql('select pg_switch_wal()');
		const slot = `wal_${suffix}`;
		expect(await tool('pg_receivewal', 'backup', ['--create-slot', '-S', slot])).toMatchObject({ status: 0 });
		await database.sql(
			"insert into people select i, 'x', 'x' from generate_series(2000, 3000) i; select pg_switch_wal()",
		);
		const [row] = await database.sql('select pg_current_wal_insert_lsn()::text as at');
		let running = true;
		const receiving = tool('pg_receivewal', 'backup', ['-D', log, '-S', slot, '--endpos', String(row?.['at']), '-v']);
		void receiving.finally(() => {
			running = false;
		});
		// It ends when it has seen something behind its end, and a server with nothing to do writes nothing for a while.
		for (let id = 3001; running; id += 1) await database.sql(`insert into people values (${id}, 'x', 'x')`);
		const ended = await receiving;
		expect(ended).toMatchObject({ status: 0 });
		expect((await readdir(log)).length).toBeGreaterThan(0);
		expect(await tool('pg_receivewal', 'backup', ['--drop-slot', '-S', slot])).toMatchObject({ status: 0 });
	});

	test('pg_recvlogical sees an insert, unmasked', async () => {
		const slot = `logical_${suffix}`;
		const args = ['-d', 'shop', '-S', slot];
		const created = await tool('pg_recvlogical', 'feed', [...args, '--create-slot', '-P', 'test_decoding']);
		expect(created).toMatchObject({ status: 0, stderr: '' });
		await database.sql("insert into people values (4001, 'fed', '987-65-4321')");
		const [row] = await database.sql('select pg_current_wal_insert_lsn()::text as at');
		const got = await tool('pg_recvlogical', 'feed', [...args, '--start', '-f', '-', '--endpos', String(row?.['at'])]);
		expect(got.status).toBe(0);
		expect(got.stdout).toContain(
			"table public.people: INSERT: id[integer]:4001 name[text]:'fed' ssn[text]:'987-65-4321'",
		);
		expect(await tool('pg_recvlogical', 'feed', [...args, '--drop-slot'])).toMatchObject({ status: 0 });
		const { asked, outcomes, logins } = await recorded('feed');
		expect(new Set(logins)).toEqual(new Set(['logical']));
		const opening = [
			"SELECT pg_catalog.set_config('search_path', '', false)",
			'SHOW data_directory_mode',
			'IDENTIFY_SYSTEM',
		];
		expect(asked).toEqual([
			...opening,
			expect.stringMatching(/^CREATE_REPLICATION_SLOT .* LOGICAL "test_decoding"/),
			...opening,
			expect.stringMatching(/^START_REPLICATION SLOT .* LOGICAL/),
			...opening,
			expect.stringMatching(/^DROP_REPLICATION_SLOT/),
		]);
		expect(outcomes.map(({ ended }) => ended)).toEqual(asked.map(() => 'success'));
	});

	test('where connections are pooled by transaction, a replication connection is its own', async () => {
		const slot = `pooled_${suffix}`;
		const target = `host=127.0.0.1 port=${gateway.port} user=feed dbname=pooled`;
		const env = as('feed');
		// Leaves a connection behind that is idle, and is none for replication.
		expect(await runProgram(join(bin, 'psql'), ['-X', '-c', 'select 1', target], { env })).toMatchObject({ status: 0 });
		const args = ['-d', 'pooled', '-S', slot];
		expect(await tool('pg_recvlogical', 'feed', [...args, '--create-slot', '-P', 'test_decoding'])).toMatchObject({
			status: 0,
			stderr: '',
		});
		await database.sql("insert into people values (4501, 'pooled', 'x')");
		const [row] = await database.sql('select pg_current_wal_insert_lsn()::text as at');
		const got = await tool('pg_recvlogical', 'feed', [...args, '--start', '-f', '-', '--endpos', String(row?.['at'])]);
		expect(got.stdout).toContain("name[text]:'pooled'");
		// It is not handed on, whose walsender it would be.
		const script =
			"select count(*) from pg_stat_activity where pid = pg_backend_pid() and backend_type = 'client backend'";
		const after = await runProgram(join(bin, 'psql'), ['-X', '-A', '-t', '-c', script, target], { env });
		expect(after).toMatchObject({ status: 0, stdout: '1\n' });
		expect(await tool('pg_recvlogical', 'feed', [...args, '--drop-slot'])).toMatchObject({ status: 0 });
	});

	test('a subscriber copies the table and follows it', async () => {
		const data = join(folder, 'subscriber');
		expect(await tool('pg_basebackup', 'backup', ['-D', data, '-X', 'fetch', '-c', 'fast'])).toMatchObject({
			status: 0,
		});
		const subscriber = await startCopy(data, []);
		const name = `subscriber_${suffix}`;
		try {
			const there = { ...database, port: subscriber.server.port };
			await subscriber.sql(database.database, 'truncate people');
			const conninfo = `host=127.0.0.1 port=${gateway.port} user=feed password=${TOOL_PASSWORD} dbname=shop`;
			await subscriber.sql(database.database, `create subscription ${name} connection '${conninfo}' publication feed`);
			// The first copy is SQL, so it is masked; the stream is not.
			expect(await subscriber.until(there.database, 'select name, ssn from people where id = 7')).toEqual([
				{ name: 'name 7', ssn: null },
			]);
			await database.sql("insert into people values (5001, 'streamed', '111')");
			expect(await subscriber.until(there.database, 'select ssn from people where id = 5001')).toEqual([
				{ ssn: '111' },
			]);
			await subscriber.sql(database.database, `drop subscription ${name}`);
		} finally {
			await subscriber.stop();
		}
	});

	test.each([
		[
			'without the rule, physical',
			'pg_basebackup',
			'nosy',
			['-D', '-', '-F', 't', '-X', 'none'],
			/permission denied to replicate database "replication"/,
		],
		[
			'without the rule, logical',
			'pg_recvlogical',
			'nosy',
			['-d', 'shop', '-S', 'x', '--create-slot'],
			/permission denied to replicate database "shop"/,
		],
		[
			'with the rule for another database',
			'pg_basebackup',
			'feed',
			['-D', '-', '-F', 't', '-X', 'none'],
			/permission denied to replicate database "replication"/,
		],
		[
			'of a role that may not',
			'pg_recvlogical',
			'feed',
			['-d', 'powerless', '-S', 'x', '--create-slot'],
			/the gateway's role on the database server may not replicate/,
		],
		[
			'to the server itself',
			'pg_basebackup',
			'backup',
			['-t', 'server:/tmp/never', '-X', 'none'],
			/a base backup to the server itself writes files there/,
		],
	] as const)('refused: %s', async (_name, program, user, args, words) => {
		const { status, stderr } = await tool(program, user, args);
		expect(status).not.toBe(0);
		expect(stderr).toMatch(words);
	});

	test('SQL on a replication connection goes the way of all SQL', async () => {
		const target = `host=127.0.0.1 port=${gateway.port} user=feed dbname=shop replication=database`;
		const script = [
			'select id, ssn from people where id = 3;',
			'delete from people;',
			'begin isolation level repeatable read;',
			`CREATE_REPLICATION_SLOT within_${suffix} TEMPORARY LOGICAL pgoutput USE_SNAPSHOT;`,
			'create temp table t as select 1 as a; select * from t;',
			'commit;',
			'SHOW server_version_num;',
			'show search_path;',
		].join('\n');
		const env = as('feed');
		const { stdout, stderr } = await runProgram(join(bin, 'psql'), ['-X', '-A', '-t', target], { env, input: script });
		expect(stdout).toContain('3|\n');
		expect(stdout).toContain(`within_${suffix}|`);
		expect(stdout).toContain('"$user", public');
		expect(stderr).toContain('permission denied');
		const direct = `host=127.0.0.1 port=${server.port} user=${role} dbname=${database.database} replication=database`;
		const shows = ['-X', '-A', '-t', '-c', 'SHOW server_version_num'];
		const wanted = await runProgram(join(bin, 'psql'), [...shows, direct], { env: { PGPASSWORD: 'gateway' } });
		const got = await runProgram(join(bin, 'psql'), [...shows, target], { env });
		expect(got.stdout).toBe(wanted.stdout);
	});
});

/** A running copy of the server. */
class Copy {
	readonly server: TestPostgres;
	readonly #child: ChildProcess;
	#said = '';

	constructor(child: ChildProcess, server: TestPostgres) {
		this.#child = child;
		this.server = server;
		child.stderr?.on('data', (chunk) => {
			this.#said += String(chunk);
		});
	}

	async ready(): Promise<void> {
		await this.until('postgres', 'select 1');
	}

	async sql(database: string, text: string): Promise<unknown[]> {
		const { host, port, user, password } = this.server;
		const client = new pg.Client({ host, port, user, password, database });
		client.on('error', () => undefined);
		await client.connect();
		try {
			return (await client.query(text)).rows as unknown[];
		} finally {
			await client.end();
		}
	}

	/** Asks until there are rows. */
	until(database: string, text: string): Promise<unknown[]> {
		return rowsOf(() =>
			this.sql(database, text).catch((error: unknown) => {
				if (this.#child.exitCode !== null) throw new Error(this.#said, { cause: error });
				return [];
			}),
		);
	}

	async stop(): Promise<void> {
		const gone = new Promise((resolve) => this.#child.once('exit', resolve));
		this.#child.kill('SIGINT');
		await gone;
	}
}

/** Asks until there are rows; the test's own deadline ends the wait. */
async function rowsOf(ask: () => Promise<unknown[]>): Promise<unknown[]> {
	for (;;) {
		const rows = await ask();
		if (rows.length > 0) return rows;
		await new Promise((resolve) => setTimeout(resolve, 50));
	}
}
