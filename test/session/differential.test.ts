/** Random pipelines, in random pieces: what a client hears through the gateway is what the server itself says. */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Backend } from '../../src/wire/backend.ts';
import { encodeFrontend, type FrontendFields } from '../../src/wire/encode.ts';
import { otherVersions } from '../catalog/support.ts';
import { createDatabase, startPostgres, type TestDatabase } from '../support/postgres.ts';
import { openDirect, plain } from './converse.ts';
import { startTestGateway, type TestGateway } from './gateway.ts';
import { until } from './until.ts';
import {
	Bind,
	ClosePortal,
	CloseStatement,
	CopyData,
	CopyDone,
	CopyFail,
	DescribePortal,
	DescribeStatement,
	Execute,
	Flush,
	Parse,
	Query,
	Sync,
	WireClient,
} from './wire-client.ts';

/** More are run by hand: PORTCULLIS_RUNS=5000. */
const runs = Number(process.env['PORTCULLIS_RUNS'] ?? 150);

const statementNames = fc.constantFrom('', '', 'a', 'b');
const portalNames = fc.constantFrom('', '', 'p', 'q');

/** What can be prepared: with and without parameters, rows, errors at each stage, transactions, settings. */
const preparable = fc.constantFrom(
	'select 1 as one',
	'select generate_series(1, 4) as n',
	'select $1::int as given',
	'select 1/$1::int as given',
	'select 1/0',
	'insert into items values (1)',
	'insert into once values (1)',
	'select count(*) from items',
	'nonsense',
	'nonsense',
	'select nothing_like_that',
	'',
	'begin',
	'commit',
	'rollback',
	'savepoint s',
	'rollback to s',
	'set search_path = public, pg_catalog',
	'set local search_path = pg_catalog, public',
	'show search_path',
	"set application_name = 'changed'",
	'deallocate a',
	'create temp table if not exists fleeting (a int)',
);

const texts = fc.oneof(
	preparable,
	fc.constantFrom(
		'select 1; select 2',
		'begin; insert into items values (2); commit',
		'insert into items values (3); select 1/0',
		'copy items to stdout',
		'deallocate all',
		'nonsense; select 1',
		'select 1; nonsense',
		'discard plans',
		'discard all',
		'rollback; select 1',
	),
);

const message: fc.Arbitrary<readonly FrontendFields[]> = fc.oneof(
	{ weight: 4, arbitrary: fc.tuple(preparable, statementNames).map(([sql, name]) => [Parse(sql, name)]) },
	{
		weight: 4,
		arbitrary: fc
			.tuple(fc.constantFrom<string[]>([], ['2'], ['0'], ['x'], ['1', '2']), statementNames, portalNames)
			.map(([values, statement, portal]) => [Bind(values, statement, portal)]),
	},
	{
		weight: 4,
		arbitrary: fc.tuple(fc.constantFrom(0, 1, 3), portalNames).map(([rows, portal]) => [Execute(rows, portal)]),
	},
	{
		weight: 4,
		arbitrary: fc
			.tuple(preparable, fc.constantFrom<string[]>([], ['2'], ['0']))
			.map(([sql, values]) => [Parse(sql), Bind(values), DescribePortal(), Execute()]),
	},
	{ weight: 1, arbitrary: statementNames.map((name) => [DescribeStatement(name)]) },
	{ weight: 1, arbitrary: portalNames.map((name) => [DescribePortal(name)]) },
	{ weight: 1, arbitrary: statementNames.map((name) => [CloseStatement(name)]) },
	{ weight: 1, arbitrary: portalNames.map((name) => [ClosePortal(name)]) },
	{ weight: 3, arbitrary: fc.constant([Sync]) },
	{ weight: 1, arbitrary: fc.constant([Flush]) },
	{ weight: 3, arbitrary: texts.map((sql) => [Query(sql)]) },
	{
		weight: 1,
		arbitrary: fc
			.constantFrom<FrontendFields[]>(
				[CopyDone],
				[CopyFail('no')],
				[CopyData('x\n'), CopyDone],
				[CopyData('7\n'), Sync, CopyDone],
			)
			.map((data) => [Query('copy items from stdin'), ...data]),
	},
	{ weight: 1, arbitrary: fc.constantFrom<FrontendFields[]>([CopyData('5\n')], [CopyDone], [CopyFail('stray')]) },
);

/** Where the bytes are cut, and whether there is time for an answer before they go on. */
interface Cut {
	readonly at: number;
	readonly pause: boolean;
}

const cut: fc.Arbitrary<Cut> = fc.record({ at: fc.nat({ max: 4_000 }), pause: fc.boolean() });

/** Long enough for most answers, milliseconds. */
const pauseMs = 3;

const modes = ['session', 'transaction'] as const;

const runsOn = [undefined, ...otherVersions()].flatMap((native) => modes.map((mode) => ({ native, mode })));

describe.each(runsOn)('PostgreSQL ($native), $mode mode', ({ native, mode }) => {
	let database: TestDatabase;
	let gateway: TestGateway;

	beforeAll(async () => {
		database = await createDatabase({
			server: await startPostgres(native === undefined ? {} : { native }),
			setup: 'create table items (id int); create table once (id int primary key deferrable initially deferred)',
		});
		gateway = await startTestGateway(database, { poolSize: 4, ...(mode === 'session' ? {} : { pooled: {} }) });
	});

	afterAll(async () => {
		await gateway?.close();
		await database?.drop();
	});

	it.each([
		{ name: 'random pipelines', denied: (sql: string) => sql, without: '' },
		{
			// What the server cannot parse is what the gateway refuses: all but the words is the same.
			name: 'random pipelines with denials',
			denied: (sql: string) => sql.replaceAll('nonsense', "select 'deny_me'"),
			without: 'SVCMP',
		},
	])('$name', { timeout: 60_000 + 300 * runs }, async ({ denied, without }) => {
		const property = fc.asyncProperty(
			fc.array(message, { minLength: 1, maxLength: 14 }).map((lists) => lists.flat()),
			fc.array(cut, { maxLength: 6 }),
			async (messages, cuts) => {
				const wanted = await hear(await openDirect(database), messages, [], without);
				await database.sql('delete from items; delete from once');
				// A Query in an open pipeline can upset the server itself ("StartTransactionCommand: unexpected state").
				fc.pre(wanted !== upset);
				const mapped = messages.map((one) => ('sql' in one ? { ...one, sql: denied(one.sql) } : one));
				const got = await hear(await WireClient.open({ port: gateway.port }), mapped, cuts, without);
				await database.sql('delete from items; delete from once');
				expect(got).toEqual(wanted);
			},
		);
		await fc.assert(property, { numRuns: runs, timeout: 30_000 });
		const { recorded } = gateway.pipeline;
		await until(() =>
			recorded.every(({ record, outcomes }) => outcomes.length === (record.decision.effect === 'deny' ? 0 : 1)),
		);
	});
});

const last = 'that was all';

/** In place of what was heard, when the server was not itself. */
const upset: unknown[] = [];

/** Sends the messages, cut into pieces at the given offsets, and hears everything up to an answer that ends it. */
async function hear(
	client: WireClient,
	messages: readonly FrontendFields[],
	cuts: readonly Cut[],
	without: string,
): Promise<unknown[]> {
	const bytes = Buffer.concat([...messages, Sync, Query('rollback'), Query(`select '${last}'`)].map(encodeFrontend));
	let at = 0;
	const within = cuts.map((one) => ({ ...one, at: one.at % bytes.length })).sort((a, b) => a.at - b.at);
	for (const { at: end, pause } of [...within, { at: bytes.length, pause: false }]) {
		client.socket.write(bytes.subarray(at, end));
		at = end;
		await new Promise((resolve) => (pause ? setTimeout(resolve, pauseMs) : setImmediate(resolve)));
	}
	const heard: Backend[] = [];
	for (;;) {
		const answers = await client.ready();
		heard.push(...answers);
		if (
			answers.length === 0 ||
			answers.some((answer) => answer.type === 'DataRow' && String(answer.values[0]) === last)
		)
			break;
	}
	client.destroy();
	const isUpset = (answer: Backend): boolean =>
		answer.type === 'ErrorResponse' && answer.fields.get('M')?.includes('StartTransactionCommand') === true;
	return heard.some(isUpset) ? upset : heard.map((answer) => plain(answer, without));
}
