/** LISTEN in transaction mode, by a listener that all sessions share: what a client sees is held against a connection of its own. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Backend } from '../../src/wire/backend.ts';
import type { FrontendFields } from '../../src/wire/encode.ts';
import { createDatabase, type TestDatabase } from '../support/postgres.ts';
import { startTestGateway, type TestGateway, type TestGatewayOptions } from './gateway.ts';
import { until } from './until.ts';
import {
	Bind,
	CloseStatement,
	DescribePortal,
	DescribeStatement,
	Execute,
	Flush,
	Parse,
	Sync,
	WireClient,
} from './wire-client.ts';

let database: TestDatabase;
let gateway: TestGateway;

beforeAll(async () => {
	database = await createDatabase({
		setup:
			'create table parent (id int primary key); create table child (id int references parent deferrable initially deferred)',
	});
});

afterEach(async () => {
	await gateway?.close();
});

afterAll(async () => {
	await database?.drop();
});

async function start(size = 2, more: TestGatewayOptions = {}): Promise<void> {
	gateway = await startTestGateway(database, { hears: {}, ...more, poolSize: size, pooled: { ...more.pooled } });
}

const open = (): Promise<WireClient> => WireClient.open({ port: gateway.port });

const direct = (): Promise<WireClient> =>
	WireClient.open({
		port: database.port,
		params: { user: database.user, database: database.database },
		password: database.password,
	});

/** Messages in short; process ids are of no meaning. */
function told(answers: readonly Backend[]): string[] {
	return answers.map((answer) => {
		switch (answer.type) {
			case 'DataRow':
				return `row ${answer.values.map(String).join('|')}`;
			case 'CommandComplete':
				return answer.tag;
			case 'ReadyForQuery':
				return `ready ${answer.status}`;
			case 'NotificationResponse':
				return `heard ${answer.channel}=${answer.payload}`;
			case 'ErrorResponse':
			case 'NoticeResponse': {
				const { fields } = answer;
				return `${answer.type} ${['C', 'M', 'P', 'D', 'H'].map((code) => fields.get(code) ?? '').join('|')}`;
			}
			default:
				return answer.type;
		}
	});
}

type Step = string | readonly FrontendFields[] | { readonly notify: string };

/** How many ReadyForQuery the messages end with. */
function syncs(messages: readonly FrontendFields[]): number {
	return messages.filter(({ type }) => type === 'Sync' || type === 'Query').length;
}

/** Of a query that does nothing: whether it is answered before or after what is heard meanwhile is chance. */
function heardFirst(seen: readonly string[]): string[] {
	const isHeard = (one: string): boolean => one.startsWith('heard ');
	return [...seen.filter(isHeard), ...seen.filter((one) => !isHeard(one))];
}

/** Plays the steps on one connection, with a second one that notifies; a last empty query shows what comes late. */
async function play(connect: () => Promise<WireClient>, steps: readonly Step[]): Promise<string[]> {
	const client = await connect();
	const other = await connect();
	const seen: string[] = [];
	for (const step of [...steps, '', ''] as const) {
		if (step === '') seen.push(...heardFirst(told(await client.query(step))));
		else if (typeof step === 'string') seen.push(...told(await client.query(step)));
		else if ('notify' in step) await other.query(step.notify);
		else {
			client.send(...step);
			seen.push(...told(await client.ready(syncs(step))));
		}
	}
	client.destroy();
	other.destroy();
	return seen;
}

const run = (sql: string): FrontendFields[] => [Parse(sql), Bind(), Execute()];

const conversations: readonly { readonly name: string; readonly steps: readonly Step[] }[] = [
	{ name: 'LISTEN by itself', steps: ['listen a', { notify: "notify a, 'x'" }] },
	{ name: 'one of another channel', steps: ['listen a', { notify: "notify b, 'x'" }] },
	{ name: "a client's own", steps: ['listen a', "notify a, 'x'", "select pg_notify('a', 'y')"] },
	{ name: 'without LISTEN', steps: [{ notify: 'notify a' }, 'notify a'] },
	{ name: 'LISTEN twice', steps: ['listen a', 'listen a', 'notify a'] },
	{ name: 'in a transaction', steps: ['begin', 'listen a', { notify: "notify a, 'early'" }, 'commit', 'notify a'] },
	{ name: 'in a transaction that is rolled back', steps: ['begin', 'listen a', 'rollback', 'notify a'] },
	{ name: 'in one that fails', steps: ['begin', 'listen a', 'select nosuch', 'commit', 'notify a'] },
	{
		name: 'in one that failed before',
		steps: ['begin', 'select nosuch', 'listen a', 'unlisten a', 'rollback', 'notify a'],
	},
	{ name: 'in one that is read only', steps: ['begin read only', 'listen a', 'commit', 'notify a'] },
	{
		name: 'in one that fails at its commit',
		steps: ['begin', 'insert into child values (7)', 'listen a', 'commit', 'notify a'],
	},
	{
		name: 'a savepoint rolled back',
		steps: [
			'begin',
			'listen a',
			'savepoint s',
			'listen b',
			'rollback to s',
			'listen c',
			'commit',
			'notify a',
			'notify b',
			'notify c',
		],
	},
	{
		name: 'a savepoint rolled back after an error',
		steps: [
			'begin',
			'listen a',
			'savepoint s',
			'listen b',
			'select nosuch',
			'rollback to s',
			'commit',
			'notify a',
			'notify b',
		],
	},
	{
		name: 'savepoints of one name, released and rolled back',
		steps: [
			...[
				'begin',
				'savepoint s',
				'listen a',
				'savepoint s',
				'listen b',
				'release s',
				'rollback to s',
				'listen c',
				'commit',
			],
			...['notify a', 'notify b', 'notify c'],
		],
	},
	{ name: 'UNLISTEN', steps: ['listen a', 'listen b', 'unlisten a', 'notify a', 'notify b'] },
	{ name: 'UNLISTEN of everything', steps: ['listen a', 'listen b', 'unlisten *', 'notify a', 'notify b'] },
	{ name: 'UNLISTEN rolled back', steps: ['listen a', 'begin', 'unlisten a', 'rollback', 'notify a'] },
	{
		name: 'UNLISTEN of what was heard in the transaction',
		steps: ['listen a', 'begin', { notify: 'notify a' }, 'unlisten a', 'commit'],
	},
	{
		name: 'UNLISTEN and LISTEN in one transaction',
		steps: ['listen a', 'begin', { notify: 'notify a' }, 'unlisten a', 'listen a', 'commit', 'notify a'],
	},
	{ name: 'DISCARD ALL', steps: ['listen a', 'discard all', 'notify a'] },
	{ name: 'LISTEN and NOTIFY in one transaction', steps: ['begin', "notify a, 'x'", 'listen a', 'commit'] },
	{ name: 'heard in a transaction', steps: ['listen a', 'begin', { notify: 'notify a' }, 'select 1', 'commit'] },
	{
		name: 'heard in a failed transaction',
		steps: ['listen a', 'begin', 'select nosuch', { notify: 'notify a' }, 'select 1', 'rollback'],
	},
	{ name: 'several statements', steps: ["listen a; notify a, 'x'; select 1", 'notify a'] },
	{ name: 'several statements that fail', steps: ['listen a; select 1/0', 'notify a'] },
	{ name: 'an error behind it points to its place', steps: ['listen a; select nosuch', 'select 1; listen a; selec 1'] },
	{ name: 'a commit in several statements', steps: ['begin; listen a; commit; select 1/0', 'notify a'] },
	{ name: 'a block in several statements', steps: ['listen a; begin; select 1/0', 'rollback', 'notify a'] },
	{
		name: 'COMMIT AND CHAIN',
		steps: ['begin', 'listen a', 'commit and chain', 'listen b', 'rollback', 'notify a', 'notify b'],
	},
	{ name: 'twice the same in one transaction', steps: ['listen a', "notify a, 'x'; notify a, 'x'; notify a, 'y'"] },
	{
		name: 'names',
		steps: [
			...['listen Chan', 'notify chan', 'listen "Chan"', 'notify "Chan"', 'listen "a ""b"', 'notify "a ""b"'],
			...['listen "é"', 'notify É', 'notify "é"', 'listen U&"\\00fc"', 'notify "ü"'],
			...[`listen ${'long'.repeat(20)}`, `notify ${'long'.repeat(15)}lon`, 'listen ""', 'listen a b'],
		],
	},
	{ name: 'a payload of its own', steps: ['listen a', `select pg_notify('a', repeat('é', 3999))`, "notify a, ''"] },
	{
		name: 'the extended protocol',
		steps: [
			[...run('listen a'), Sync],
			[...run("notify a, 'x'"), Sync],
		],
	},
	{
		name: 'an extended LISTEN that fails behind',
		steps: [[...run('listen a'), ...run('select 1/0'), Sync], 'notify a'],
	},
	{
		name: 'a pipeline',
		steps: [[...run('begin'), ...run('listen a'), ...run('commit'), ...run("notify a, 'x'"), Sync]],
	},
	{
		name: 'a pipeline of several transactions',
		steps: [[...run('listen a'), Sync, ...run('select 1'), Sync, ...run('unlisten a'), Sync], 'notify a'],
	},
	{
		name: 'a prepared LISTEN',
		steps: [
			[Parse('listen a', 's'), DescribeStatement('s'), Sync],
			[Bind([], 's'), DescribePortal(), Execute(), Sync],
			'notify a',
			[Bind([], 's'), Execute(), Execute(), Sync],
			[CloseStatement('s'), Sync],
			'notify a',
		],
	},
	{ name: 'Flush in front of Sync', steps: [[...run('listen a'), Flush, Sync], 'notify a'] },
	{
		name: 'no place inside of a segment',
		steps: ['listen a', [Parse('select 1'), Flush, Bind(), Execute(), Sync], 'notify a'],
	},
	{ name: 'the usage of the queue', steps: ['listen a', 'select pg_notification_queue_usage() < 1'] },
];

describe('as on a connection of its own', () => {
	it.each(conversations)('$name', async ({ steps }) => {
		await start();
		const want = await play(direct, steps);
		expect(await play(open, steps)).toEqual(want);
		await until(() => gateway.pool.stats.leased === 0);
	});
});
