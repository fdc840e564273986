/** The policy changes while a portal or cursor waits to be read further: what it shows is decided again, in both ways of pooling. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { FrontendFields } from '../../src/wire/encode.ts';
import { Bind, Execute, Flush, Parse, Query, Sync, WireClient } from '../session/wire-client.ts';
import { createDatabase, startPostgres, type TestDatabase } from '../support/postgres.ts';
import { startToolGateway, TOOL_PASSWORD, type ToolGateway } from '../support/tools.ts';

const ways = ['session', 'transaction'] as const;

const rules = (more: (name: string) => string): string =>
	ways
		.map(
			(way) =>
				`p, role:app, ${way}, connect, allow\np, role:app, ${way}.public.*, *, allow\np, role:app, ${way}, listen, allow\n${more(way)}`,
		)
		.join('');
const before = rules(() => '');
const hiding = rules((way) => `p, role:app, ${way}.public.numbers, select, filter, few\n`);
const denying = rules((way) => `p, role:app, ${way}.public.numbers, select, deny\n`);
const deaf = rules((way) => `p, role:app, ${way}, listen, deny\n`);
const unrelated = rules((way) => `p, role:app, ${way}.public.others, select, deny\n`);

let database: TestDatabase;
let gateway: ToolGateway;

beforeAll(async () => {
	const server = await startPostgres();
	const setup = 'create table numbers as select n from generate_series(1, 9) n; create table others (a int)';
	database = await createDatabase({ server, setup });
	const { host, port, user } = server;
	const common = { host, port, user, dbname: database.database, password: { env: 'SECRET' } };
	gateway = await startToolGateway({
		users: { one: ['app'] },
		databases: {
			session: { ...common, pool: { mode: 'session', size: 50 } },
			transaction: { ...common, pool: { mode: 'transaction', size: 50 } },
		},
		policy: before,
		masks: { filters: { few: 'n < 3' } },
		secrets: { SECRET: server.password },
	});
});

afterAll(async () => {
	await gateway?.stop();
	await database?.drop();
});

async function adopt(policy: string): Promise<void> {
	await writeFile(join(gateway.folder, 'policies', 'policy.csv'), policy);
	await gateway.gateway.reload();
}

const select = 'select n from numbers order by n desc';

/** What is done before the policy changes, and with which message it ends; and what would show more behind it. */
const waits: readonly {
	readonly name: string;
	readonly first: readonly (readonly FrontendFields[])[];
	readonly until?: 'BindComplete' | 'PortalSuspended' | 'ReadyForQuery';
	readonly after: readonly FrontendFields[];
}[] = [
	{
		name: 'a portal of the same pipeline',
		first: [[Parse(select), Bind(), Flush]],
		until: 'BindComplete',
		after: [Execute(2), Sync],
	},
	{
		name: 'a suspended portal of the same pipeline',
		first: [[Parse(select), Bind(), Execute(2), Flush]],
		until: 'PortalSuspended',
		after: [Execute(2), Sync],
	},
	{
		name: 'a portal of the transaction',
		first: [[Query('begin')], [Parse(select), Bind([], '', 'p'), Execute(2, 'p'), Sync]],
		after: [Execute(2, 'p'), Sync],
	},
	{
		name: 'FETCH of a portal',
		first: [[Query('begin')], [Parse(select), Bind([], '', 'p'), Execute(2, 'p'), Sync]],
		after: [Query('fetch 2 from p')],
	},
	{
		name: 'a cursor',
		first: [[Query('begin')], [Query(`declare c cursor for ${select}`)]],
		after: [Query('fetch 2 from c')],
	},
	{
		name: 'a cursor by the extended protocol',
		first: [[Query('begin')], [Parse(`declare c cursor for ${select}`), Bind(), Execute(), Sync]],
		after: [Parse('fetch 2 from c'), Bind(), Execute(), Sync],
	},
	{
		name: 'a cursor that is held',
		first: [[Query(`declare h cursor with hold for ${select}`)]],
		after: [Query('fetch 2 from h')],
	},
	{
		name: 'a cursor that is held, behind a DECLARE that has failed',
		first: [
			[Query(`declare h cursor with hold for ${select}`)],
			[Query('declare h cursor with hold for select 1 as n')],
		],
		after: [Query('fetch 2 from h')],
	},
	{
		name: 'FETCH that was bound before',
		first: [[Query(`declare h cursor with hold for ${select}`)], [Parse('fetch 2 from h'), Bind(), Flush]],
		until: 'BindComplete',
		after: [Execute(), Sync],
	},
	{
		name: 'EXECUTE of a FETCH',
		first: [[Query(`declare h cursor with hold for ${select}`)], [Parse('fetch 2 from h', 's'), Sync]],
		after: [Query('execute s')],
	},
	{
		name: 'a cursor that EXECUTE declared, of a name that stands for something else by now',
		first: [
			[Parse(`declare h cursor with hold for ${select}`, 's'), Sync],
			...[Query('execute s'), Query('deallocate s'), Query('prepare s as select 1 as n')].map((one) => [one]),
		],
		after: [Query('fetch 2 from h')],
	},
	{
		name: 'a portal of EXECUTE, of a name that stands for something else by now',
		first: [
			[Query('begin')],
			[Query(`prepare s as ${select}`)],
			[Parse('execute s'), Bind([], '', 'p'), Execute(2, 'p'), Sync],
			...[Query('deallocate s'), Query('prepare s as select 1 as n')].map((one) => [one]),
		],
		after: [Execute(2, 'p'), Sync],
	},
];

const answers = async (client: WireClient): Promise<string> =>
	(await client.ready())
		.map((message) => {
			if (message.type === 'DataRow') return String(message.values[0]);
			return message.type === 'ErrorResponse' ? (message.fields.get('C') ?? '') : '';
		})
		.filter((told) => told !== '')
		.join();

const policies = { hiding, denying, unrelated } as const;

describe.each(ways)('pool: %s', (way) => {
	const open = (): Promise<WireClient> =>
		WireClient.open({ port: gateway.port, params: { user: 'one', database: way }, password: TOOL_PASSWORD });

	/** What each was told by its name, under each policy. */
	const told = new Map<string, string>();

	async function waiting({ first, until = 'ReadyForQuery' }: (typeof waits)[number]): Promise<WireClient> {
		const client = await open();
		for (const [at, messages] of first.entries()) {
			client.send(...messages);
			await client.until(at === first.length - 1 ? until : 'ReadyForQuery');
		}
		return client;
	}

	// A policy takes longer to adopt than all of them together.
	beforeAll(async () => {
		await adopt(before);
		const clients = new Map<string, WireClient>();
		for (const name of Object.keys(policies))
			for (const one of waits) clients.set(`${one.name}, ${name}`, await waiting(one));
		for (const [name, policy] of Object.entries(policies)) {
			await adopt(policy);
			for (const one of waits) {
				const client = clients.get(`${one.name}, ${name}`) as WireClient;
				client.send(...one.after);
				told.set(`${one.name}, ${name}`, await answers(client));
				client.destroy();
			}
		}
	});

	test.each(waits)('$name', ({ name }) => {
		expect(told.get(`${name}, hiding`)).toBe('42501');
		expect(told.get(`${name}, denying`)).toBe('42501');
		expect(told.get(`${name}, unrelated`)).toMatch(/^(9,8|7,6)$/);
	});

	test('LISTEN', async () => {
		await adopt(before);
		const client = await open();
		await client.query('listen bell');
		await database.sql("notify bell, 'heard'");
		expect(await client.until('NotificationResponse')).toMatchObject([{ payload: 'heard' }]);
		await adopt(deaf);
		await database.sql("notify bell, 'unheard'");
		const last = await client.rest();
		expect(last.map(({ type }) => type)).toEqual(['ErrorResponse']);
		const [error] = last;
		expect(error?.type === 'ErrorResponse' && error.fields.get('C')).toBe('42501');
	});

	test('a name that stands for another cursor by now', async () => {
		await adopt(before);
		const client = await open();
		await client.query(`declare h cursor with hold for ${select}`);
		await adopt(hiding);
		await client.query('close h');
		await client.query('declare h cursor with hold for select 5 as n');
		client.send(Query('fetch 2 from h'));
		expect(await answers(client)).toBe('5');
		client.destroy();
	});
});
