/** Names of statements and portals whose messages fail or are still under way mean through the gateway what they mean to the server. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { FrontendFields } from '../../src/wire/encode.ts';
import { converse, openDirect, type Turn } from '../session/converse.ts';
import {
	Bind,
	ClosePortal,
	CloseStatement,
	DescribeStatement,
	Execute,
	Parse,
	Query,
	Sync,
	WireClient,
} from '../session/wire-client.ts';
import { createDatabase, startPostgres, type TestDatabase } from '../support/postgres.ts';
import { startToolGateway, TOOL_PASSWORD, type ToolGateway } from '../support/tools.ts';

const ways = ['session', 'transaction'] as const;

let database: TestDatabase;
let gateway: ToolGateway;

async function startOwn(): Promise<ToolGateway> {
	const { host, port, user, password } = await startPostgres();
	const common = { host, port, user, dbname: database.database, password: { env: 'SECRET' } };
	return startToolGateway({
		users: { somebody: ['app'] },
		databases: { session: common, transaction: { ...common, pool: { mode: 'transaction', size: 2 } } },
		policy: ways.map((name) => `p, role:app, ${name}, *, allow\np, role:app, ${name}.*.*, *, allow\n`).join(''),
		secrets: { SECRET: password },
	});
}

beforeAll(async () => {
	database = await createDatabase({ server: await startPostgres() });
	gateway = await startOwn();
});

afterAll(async () => {
	await gateway?.stop();
	await database?.drop();
});

const run = (sql: string): FrontendFields[] => [Parse(sql), Bind(), Execute(), Sync];
const good = [Parse('select 1'), Sync];
const bound = [Bind(), Execute(), Sync];
const named = [Parse('select 2', 'a'), Sync];
const reset = [Query('set timezone = "UTC"'), Query('reset all')];

/** All of it is sent at once; so many ReadyForQuery come. */
const rows: readonly [string, readonly FrontendFields[], number][] = [
	['Bind of what was parsed behind a text of no grammar', [Parse('bad'), Sync, ...good, ...bound], 3],
	['Bind of what was parsed behind a column of nothing', [Parse('select no'), Sync, ...good, ...bound], 3],
	['Bind of what was parsed behind a relation of nothing', [Parse('table no'), Sync, ...good, ...bound], 3],
	['Bind of what a text of no grammar has replaced', [...good, Parse('bad'), Sync, ...bound], 3],
	['Bind of what a column of nothing has replaced', [...good, Parse('select no'), Sync, ...bound], 3],
	['Bind of what a relation of nothing has replaced', [...good, Parse('table no'), Sync, ...bound], 3],
	['Bind of what was to be replaced and was not', [...good, Bind([], 'no'), Parse('bad'), Sync, ...bound], 3],
	['Bind of what was replaced twice', [...good, Parse('bad'), Sync, Parse('select no'), Sync, ...bound], 4],
	[
		'Bind in a failed transaction',
		[...named, Query('begin'), Query('bad'), Bind([], 'a'), Sync, Bind([], 'b'), Sync],
		5,
	],
	['Parse and Bind in a failed transaction', [Query('begin'), Query('bad'), ...run('select 1'), ...bound], 4],
	['COMMIT in a failed transaction', [Query('begin'), Query('bad'), ...run('commit'), ...bound], 4],
	[
		'a name that is taken, given to what fails',
		[Parse('select 1', 'a'), Query('create temp table t (a int)'), Parse('select no', 'a'), Sync],
		2,
	],
	[
		'DISCARD ALL behind a Close, behind SET',
		[Query('set search_path = x'), CloseStatement('x'), ...run('discard all')],
		2,
	],
	['DISCARD ALL behind a Close, behind RESET', [...reset, CloseStatement('x'), ...run('discard all')], 3],
	[
		'DISCARD ALL behind a Close, behind DDL',
		[Query('create temp table t ()'), ClosePortal('x'), ...run('discard all')],
		2,
	],
	['DISCARD ALL behind a Describe', [...named, ...reset, DescribeStatement('a'), ...run('discard all')], 4],
];

describe.each(ways)('pooling by %s', (way) => {
	it.each(rows)('%s', async (_name, send, until) => {
		const turns: readonly Turn[] = [{ send, until }];
		const wanted = await converse(await openDirect(database), turns, 'WP');
		for (const _ of [1, 2, 3]) {
			const params = { user: 'somebody', database: way };
			const client = await WireClient.open({ port: gateway.port, params, password: TOOL_PASSWORD });
			expect(await converse(client, turns, 'WP')).toEqual(wanted);
		}
	});
});
