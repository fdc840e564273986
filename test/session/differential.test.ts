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
const runs = Number(process.env['PORTCULLIS_RUNS'] ?? 60);

const statementNames = fc.constantFrom('', '', 'a', 'b');
const portalNames = fc.constantFrom('', '', 'p', 'q', 'walk');

/** Formats of results or parameters, right and wrong ones. */
const formats = fc.constantFrom<number[]>([], [], [0], [1], [1], [0, 1], [1, 0, 1], [2]);

const types = fc.constantFrom<number[]>([], [], [], [23], [25], [0], [23, 25], [999_999], [705]);

/** int4pl, int4div, version; what there is not. */
const functions = fc.constantFrom(177, 154, 89, 999_999);

const int4 = (value: number): Buffer => {
	const bytes = Buffer.alloc(4);
	bytes.writeInt32BE(value);
	return bytes;
};

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
	'savepoint t',
	'release s',
	'rollback to t',
	'prepare c as select 5 as five',
	'prepare d (int) as select $1 as given',
	'execute c',
	'execute a',
	"execute d('7')",
	'deallocate c',
	'declare walk cursor for select generate_series(1, 5) as n',
	'declare kept cursor with hold for select generate_series(1, 3) as n',
	'fetch 2 from walk',
	'fetch all from kept',
	'close walk',
	'copy items to stdout',
	'copy items from stdin',
	"notify bell, 'ding'",
	"select 1 as a, 'x'::text as b, null::int as c",
	'insert into items values ($1) returning id, id + 1 as next',
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
		arbitrary: fc.tuple(fc.constantFrom(0, 1, 3, -1), portalNames).map(([rows, portal]) => [Execute(rows, portal)]),
	},
	{
		weight: 4,
		arbitrary: fc
			.tuple(preparable, fc.constantFrom<string[]>([], ['2'], ['0']))
			.map(([sql, values]) => [Parse(sql), Bind(values), DescribePortal(), Execute()]),
	},
	{
		weight: 3,
		arbitrary: fc
			.record({
				sql: preparable,
				paramTypes: types,
				statement: statementNames,
				portal: portalNames,
				values: fc.constantFrom<(Buffer | null)[]>([], [Buffer.from('3')], [int4(3)], [null]),
				paramFormats: formats,
				resultFormats: formats,
				rows: fc.constantFrom(0, 0, 1, 2),
				describe: fc.boolean(),
				close: fc.boolean(),
			})
			.map(
				({ sql, paramTypes, statement, portal, values, paramFormats, resultFormats, rows, describe: both, close }) => [
					Parse(sql, statement, paramTypes),
					...(both ? [DescribeStatement(statement)] : []),
					{ ...Bind([], statement, portal), params: values, paramFormats, resultFormats } as FrontendFields,
					...(both ? [DescribePortal(portal)] : []),
					Execute(rows, portal),
					...(close ? [ClosePortal(portal), Execute(rows, portal)] : [Execute(rows, portal)]),
				],
			),
	},
	{
		weight: 1,
		arbitrary: fc
			.constantFrom<FrontendFields[]>(
				[CopyDone],
				[CopyFail('no')],
				[CopyData('8\n'), CopyDone, Sync],
				[Flush, CopyData('8\n'), Sync, CopyDone],
				[CopyData('8\nx\n'), CopyDone],
				[Execute(), CopyData('9\n'), CopyDone],
			)
			.map((data) => [Parse('copy items from stdin'), Bind(), Execute(), ...data]),
	},
	{
		weight: 1,
		arbitrary: fc
			.record({
				oid: functions,
				args: fc.constantFrom<(Buffer | null)[]>([], [int4(6), int4(3)], [int4(6), int4(0)], [null, int4(1)]),
				argFormats: fc.constantFrom<number[]>([], [1], [1, 1], [0], [1, 1, 1]),
				resultFormat: fc.constantFrom<0 | 1>(0, 1),
			})
			.map((call): FrontendFields[] => [{ type: 'FunctionCall', ...call }]),
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
	])('$name', { timeout: 120_000 + 300 * runs }, async ({ denied, without }) => {
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
	if (heard.some(isUpset)) return upset;
	return heard.map((answer) => plain(answer, isOutOfPlace(answer) ? 'MW' : without));
}

/** Which message of those that do not belong into a COPY the server meets first, and at what line of the data, the gateway does not tell alike. */
function isOutOfPlace(answer: Backend): boolean {
	return answer.type === 'ErrorResponse' && answer.fields.get('M')?.startsWith('unexpected message type') === true;
}
