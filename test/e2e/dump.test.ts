/** pg_dump and pg_restore through the gateway give what they give without it, masks apart; pgbench runs in each of its protocols. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createDatabase, startPostgres, type TestDatabase, type TestPostgres } from '../support/postgres.ts';
import {
	type Ended,
	installation,
	runProgram,
	startToolGateway,
	TOOL_PASSWORD,
	type ToolGateway,
} from '../support/tools.ts';

const installed = installation(['postgres', 'initdb', 'pg_dump', 'pg_dumpall', 'pg_restore', 'psql', 'pgbench']);

/** What a rule with a wildcard does not allow: large objects, options of foreign servers, and a snapshot for other sessions. */
const named = [
	...['lo_open(oid,integer)', 'lo_close(integer)', 'loread(integer,integer)', 'lowrite(integer,bytea)'],
	...['lo_create(oid)', 'lo_creat(integer)', 'pg_export_snapshot()'],
].map((routine) => `p, role:dba, "DB.pg_catalog.${routine}", execute, allow`);

const rulesOf = (database: string): string =>
	[...named, 'p, role:dba, DB.pg_catalog.pg_user_mappings, select, allow'].join('\n').replaceAll('DB', database);

const POLICY = `
p, role:dba, *, *, allow
p, role:dba, *.*.*, *, allow
p, role:dba, *.*.*(*), *, allow
${rulesOf('zoo')}
${['psql', 'custom', 'directory', 'bench'].map(rulesOf).join('\n')}
p, role:reader, zoo, connect, allow
p, role:reader, zoo, set, allow
p, role:reader, zoo.*.*, select, allow
p, role:reader, zoo.*.*, lock, allow
p, role:reader, zoo.zoo.parent.name, select, mask, stars
`;

describe.skipIf(installed === null)('PostgreSQL’s own programs', () => {
	const { native, bin } = installed ?? { native: '', bin: '' };
	let server: TestPostgres;
	let zoo: TestDatabase;
	const copies = new Map<string, TestDatabase>();
	let gateway: ToolGateway;
	let folder: string;

	beforeAll(async () => {
		server = await startPostgres({ native });
		zoo = await createDatabase({ server, setup: await readFile(join(import.meta.dirname, 'dump', 'zoo.sql'), 'utf8') });
		for (const name of ['psql', 'custom', 'directory', 'bench']) copies.set(name, await createDatabase({ server }));
		const { host, port, user } = server;
		const target = { host, port, user, password: { env: 'SECRET' } };
		gateway = await startToolGateway({
			users: { dba: ['dba'], reader: ['reader'] },
			databases: {
				zoo: { ...target, dbname: zoo.database },
				...Object.fromEntries([...copies].map(([name, { database }]) => [name, { ...target, dbname: database }])),
				postgres: { ...target, dbname: 'postgres' },
			},
			policy: POLICY,
			masks: { masks: { stars: "'***'" } },
			secrets: { SECRET: server.password },
		});
		folder = await mkdtemp(join(tmpdir(), 'portcullis-dump-'));
	});

	afterAll(async () => {
		await gateway?.stop();
		await zoo?.drop();
		for (const copy of copies.values()) await copy.drop();
		if (folder !== undefined) await rm(folder, { recursive: true, force: true });
	});

	const through = (program: string, args: readonly string[], user = 'dba', input = ''): Promise<Ended> => {
		const env = { PGHOST: '127.0.0.1', PGPORT: String(gateway.port), PGUSER: user, PGPASSWORD: TOOL_PASSWORD };
		return runProgram(join(bin, program), args, { env, input });
	};
	const direct = (program: string, args: readonly string[]): Promise<Ended> => {
		const { host, port, user, password } = server;
		const env = { PGHOST: host, PGPORT: String(port), PGUSER: user, PGPASSWORD: password };
		return runProgram(join(bin, program), args, { env });
	};

	/** Text of a dump, without the key that newer versions make anew for each. */
	function textOf({ status, stdout, stderr }: Ended): string {
		expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
		return stdout.replaceAll(/^\\(un)?restrict .*$/gm, '');
	}

	test.each([
		['schema and rows', []],
		['rows as INSERT', ['--column-inserts', '--rows-per-insert=7']],
		['the schema alone', ['--schema-only', '--no-owner']],
		['cleaning first', ['--clean', '--if-exists', '--create']],
	] as const)('pg_dump: %s', async (_name, args) => {
		const wanted = textOf(await direct('pg_dump', [...args, zoo.database]));
		const got = textOf(await through('pg_dump', [...args, 'zoo']));
		expect(wanted.length).toBeGreaterThan(10_000);
		// No diff of a hundred thousand characters when it fails.
		expect(got === wanted, firstDifference(got, wanted)).toBe(true);
	});

	const ways: readonly {
		readonly copy: string;
		readonly format: readonly string[];
		readonly program: string;
		readonly restore: readonly string[];
	}[] = [
		{
			copy: 'psql',
			format: [],
			program: 'psql',
			restore: ['-X', '-q', '-v', 'ON_ERROR_STOP=1', '-o', '/dev/null', '-f'],
		},
		{ copy: 'custom', format: ['-Fc'], program: 'pg_restore', restore: ['--exit-on-error'] },
		{ copy: 'directory', format: ['-Fd', '-j2'], program: 'pg_restore', restore: ['-j2'] },
	];
	test.each(ways)('there and back: $copy', async ({ copy, format, program, restore }) => {
		const file = join(folder, copy);
		expect(await through('pg_dump', [...format, '-f', file, 'zoo'])).toMatchObject({ status: 0, stderr: '' });
		expect(await through(program, ['-d', copy, ...restore, file])).toMatchObject({ status: 0, stderr: '' });
		const got = textOf(await direct('pg_dump', [copies.get(copy)?.database ?? '']));
		const wanted = textOf(await direct('pg_dump', [zoo.database]));
		expect(got === wanted, firstDifference(got, wanted)).toBe(true);
	});

	test('pg_dump under masks gives masked rows', async () => {
		const raw = textOf(await direct('pg_dump', ['-t', 'zoo.parent', zoo.database]));
		expect(raw).toContain('wide é 漢');
		for (const args of [[], ['--inserts']]) {
			const masked = textOf(
				await through('pg_dump', [...args, '-t', 'zoo.parent', '-t', 'zoo.child', 'zoo'], 'reader'),
			);
			expect(masked.split('***').length - 1).toBe(501);
			expect(masked).not.toContain('wide');
			expect(masked).not.toContain('kid');
		}
	});

	test('pg_dumpall is refused where it asks for password hashes, and gives the rest', async () => {
		const whole = await through('pg_dumpall', ['--globals-only']);
		expect(whole.status).not.toBe(0);
		expect(whole.stderr).toContain('permission denied for relation pg_catalog.pg_authid: it holds password hashes');
		const globals = ['--globals-only', '--no-role-passwords'];
		// Other tests make roles on the same server.
		const before = textOf(await direct('pg_dumpall', globals));
		const got = textOf(await through('pg_dumpall', globals));
		expect([before, textOf(await direct('pg_dumpall', globals))]).toContain(got);
	});

	test('pgbench makes its tables, and runs in all three of its protocols', async () => {
		expect(await through('pgbench', ['-i', '-q', '-s', '1', 'bench'])).toMatchObject({ status: 0 });
		for (const mode of ['simple', 'extended', 'prepared']) {
			for (const script of [['-S'], ['-b', 'tpcb-like']]) {
				const { status, stdout, stderr } = await through('pgbench', [
					'-n',
					'-M',
					mode,
					...script,
					'-c',
					'4',
					'-t',
					'25',
					'bench',
				]);
				expect({ mode, status, stderr }).toEqual({ mode, status: 0, stderr: '' });
				expect(stdout).toContain('number of transactions actually processed: 100/100');
				expect(stdout).toContain('number of failed transactions: 0');
			}
		}
		const off = 'sum(delta)::int - (select sum(abalance)::int from pgbench_accounts) as off';
		const sums = await copies.get('bench')?.sql(`select count(*)::int as n, ${off} from pgbench_history`);
		expect(sums).toEqual([{ n: 300, off: 0 }]);
	});
});

function firstDifference(got: string, wanted: string): string {
	const lines = wanted.split('\n');
	const at = got.split('\n').findIndex((line, index) => line !== lines[index]);
	return `line ${at + 1}: ${got.split('\n')[at] ?? ''} and not ${lines[at] ?? ''}`;
}
