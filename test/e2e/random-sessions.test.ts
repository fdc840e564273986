/**
 * Random sessions through a whole gateway, in both ways of pooling: what a client hears is what the server itself says, also when
 * several of them take turns on few connections. By hand: PORTCULLIS_RUNS=5000, and PORTCULLIS_SEED for other ones.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Backend } from '../../src/wire/backend.ts';
import { encodeFrontend, type FrontendFields } from '../../src/wire/encode.ts';
import { openDirect, plain } from '../session/converse.ts';
import {
	Bind,
	ClosePortal,
	CloseStatement,
	DescribePortal,
	DescribeStatement,
	Execute,
	Flush,
	Parse,
	Query,
	Sync,
	WireClient,
} from '../session/wire-client.ts';
import { createDatabase, startPostgres, type TestDatabase } from '../support/postgres.ts';
import { startToolGateway, TOOL_PASSWORD, type ToolGateway } from '../support/tools.ts';

const runs = Number(process.env['PORTCULLIS_RUNS'] ?? 12);
/** The same ones each time, so that a run of CI finds nothing that is not about what it tests. */
const seed = Number(process.env['PORTCULLIS_SEED'] ?? 20_261_122);

const ways = ['session', 'transaction'] as const;

/** Nothing of it changes what another client sees. */
const preparable = fc.constantFrom(
	...['select 1 as one', 'select generate_series(1, 4) as n', 'select $1::int as given', 'select 1/$1::int as q'],
	...['select 1/0', 'nonsense', 'select nothing_like_that', '', 'values (1, $1)', 'select * from nowhere'],
	...[
		'begin',
		'commit',
		'rollback',
		'savepoint s',
		'rollback to s',
		'release s',
		'commit and chain',
		'rollback and chain',
	],
	...[
		'begin isolation level serializable',
		'begin read only',
		'show transaction_isolation',
		'set transaction read only',
	],
	...[
		'declare c cursor for select generate_series(1, 5) as n',
		'fetch 2 from c',
		'move 1 in c',
		'close c',
		'close all',
	],
	...['declare c cursor with hold for select generate_series(1, 3) as h', 'fetch 1 from p'],
	...["set timezone = 'Asia/Tokyo'", "set local timezone = 'UTC'", 'show timezone', 'reset timezone', 'reset all'],
	...["set datestyle = 'German, DMY'", 'show datestyle', "select '2020-02-03'::date, '1 day'::interval"],
	...[
		"set application_name = 'me'",
		'show application_name',
		'set work_mem = 200',
		'show work_mem',
		'set nothing_like_it = 1',
	],
	...["select set_config('timezone', 'UTC', true)", "select set_config('timezone', 'Europe/Berlin', false)"],
	...['prepare a as select 41 as n', 'execute a', 'deallocate a', 'deallocate all', 'discard all', 'discard plans'],
	...['create temp table fleeting (a int)', 'insert into fleeting values (1) returning a', 'select * from fleeting'],
	...[
		'create temp table fleeting (b text, c int)',
		'drop table fleeting',
		'alter table fleeting add d int',
		'discard temp',
	],
);

const statementNames = fc.constantFrom('', '', 'a', 'b');
const portalNames = fc.constantFrom('', '', 'p', 'q');
const values = fc.constantFrom<string[]>([], [], ['2'], ['0'], ['x'], ['1', '2']);

/** What is sent at once. */
const group: fc.Arbitrary<readonly FrontendFields[]> = fc.oneof(
	{ weight: 6, arbitrary: preparable.map((sql) => [Query(sql)]) },
	{
		weight: 2,
		arbitrary: fc.tuple(preparable, preparable).map((texts) => [Query(texts.join('; ').replaceAll('$1', '1'))]),
	},
	{
		weight: 6,
		arbitrary: fc
			.tuple(preparable, statementNames, portalNames, values, fc.constantFrom(0, 0, 1))
			.map(([sql, name, portal, given, rows]) => [
				...[Parse(sql, name), DescribeStatement(name), Bind(given, name, portal)],
				...[DescribePortal(portal), Execute(rows, portal), Sync],
			]),
	},
	{
		weight: 3,
		arbitrary: fc
			.tuple(statementNames, portalNames, values)
			.map(([name, portal, given]) => [Bind(given, name, portal), DescribePortal(portal), Execute(0, portal), Sync]),
	},
	{ weight: 2, arbitrary: fc.tuple(preparable, statementNames).map(([sql, name]) => [Parse(sql, name)]) },
	{ weight: 1, arbitrary: portalNames.map((portal) => [Execute(2, portal)]) },
	{ weight: 1, arbitrary: statementNames.map((name) => [CloseStatement(name)]) },
	{ weight: 1, arbitrary: portalNames.map((portal) => [ClosePortal(portal)]) },
	{ weight: 3, arbitrary: fc.constantFrom([Sync], [Sync], [Flush]) },
);

const session = fc.array(group, { minLength: 1, maxLength: 12 });

let database: TestDatabase;
let gateway: ToolGateway;

beforeAll(async () => {
	const server = await startPostgres();
	database = await createDatabase({ server });
	const { host, port, user } = server;
	const common = { host, port, user, dbname: database.database, password: { env: 'SECRET' } };
	gateway = await startToolGateway({
		users: { one: ['app'], two: ['app'], three: ['app'] },
		databases: {
			session: common,
			transaction: { ...common, pool: { mode: 'transaction', size: 3 } },
		},
		policy: ways.map((name) => `p, role:app, ${name}, *, allow\np, role:app, ${name}.*.*, *, allow\n`).join(''),
		secrets: { SECRET: server.password },
		limits: { poolWaitMs: 60_000 },
	});
});

afterAll(async () => {
	await gateway?.stop();
	await database?.drop();
});

describe.each(ways)('pooling by %s', (way) => {
	it('three random sessions at a time', { timeout: 120_000 + 1_000 * runs }, async () => {
		const property = fc.asyncProperty(fc.tuple(session, session, session), async (sessions) => {
			const wanted: unknown[][] = [];
			for (const groups of sessions) wanted.push(await hear(await openDirect(database), groups));
			const clients = ['one', 'two', 'three'].map((user) =>
				WireClient.open({ port: gateway.port, params: { user, database: way }, password: TOOL_PASSWORD }),
			);
			const heard = await Promise.all(
				sessions.map(async (groups, n) => hear((await clients[n]) as WireClient, groups)),
			);
			for (const [n, want] of wanted.entries()) {
				const [got, expected] = comparable(heard[n] ?? [], want);
				expect(got).toEqual(expected);
			}
		});
		await fc.assert(property, { numRuns: runs, seed, timeout: 60_000 });
	});
});

const last = 'that was all';

async function hear(client: WireClient, groups: readonly (readonly FrontendFields[])[]): Promise<unknown[]> {
	for (const messages of [...groups, [Sync, Query('rollback'), Query(`select '${last}'`)]]) {
		client.socket.write(Buffer.concat(messages.map(encodeFrontend)));
		await new Promise((resolve) => setImmediate(resolve));
	}
	const heard: Backend[] = [];
	const isLast = (answer: Backend): boolean => answer.type === 'DataRow' && String(answer.values[0]) === last;
	for (let answers = await client.ready(); answers.length > 0; answers = await client.ready()) {
		heard.push(...answers);
		if (answers.some(isLast)) break;
	}
	client.destroy();
	return heard.map((answer) => plain(answer, 'WP'));
}

/** What the gateway knows by itself it says sooner than the server would. */
const sooner: ReadonlySet<string> = new Set(['26000', '42P01', '42501']);

/** What was heard, up to where the gateway says sooner what is the matter; then the sessions are no longer comparable. */
function comparable(heard: readonly unknown[], wanted: readonly unknown[]): [readonly unknown[], readonly unknown[]] {
	const at = heard.findIndex((answer, n) => JSON.stringify(answer) !== JSON.stringify(wanted[n]));
	const { type, fields } = (heard[at] ?? {}) as { type?: string; fields?: { C?: string } };
	const isSooner = type === 'ErrorResponse' && sooner.has(fields?.C ?? '');
	return isSooner ? [heard.slice(0, at), wanted.slice(0, at)] : [heard, wanted];
}
