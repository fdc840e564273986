/** Messages that no client should send, in each state of a session: answered as the server answers them, and what came before them too. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodeFrontend, type FrontendFields } from '../../src/wire/encode.ts';
import { openDirect } from '../session/converse.ts';
import { Bind, Execute, Flush, Parse, Query, Sync, WireClient } from '../session/wire-client.ts';
import { createDatabase, startPostgres, type TestDatabase } from '../support/postgres.ts';
import { startToolGateway, TOOL_PASSWORD, type ToolGateway } from '../support/tools.ts';

const ways = ['session', 'transaction'] as const;

let database: TestDatabase;
let gateway: ToolGateway;

beforeAll(async () => {
	const server = await startPostgres();
	database = await createDatabase({ server, setup: 'create table taken (a int, b text)' });
	const { host, port, user, password } = server;
	const common = { host, port, user, dbname: database.database, password: { env: 'SECRET' } };
	gateway = await startToolGateway({
		users: { somebody: ['app'] },
		databases: { session: common, transaction: { ...common, pool: { mode: 'transaction', size: 2 } } },
		policy: ways.map((name) => `p, role:app, ${name}, *, allow\np, role:app, ${name}.*.*, *, allow\n`).join(''),
		secrets: { SECRET: password },
	});
});

afterAll(async () => {
	await gateway?.stop();
	await database?.drop();
});

const bytesOf = (...messages: FrontendFields[]): Buffer => Buffer.concat(messages.map(encodeFrontend));

function message(type: string, body = '', length = body.length + 4): Buffer {
	const head = Buffer.alloc(5);
	head.write(type, 0, 'latin1');
	head.writeInt32BE(length, 1);
	return Buffer.concat([head, Buffer.from(body, 'latin1')]);
}

const states: readonly (readonly [string, Buffer])[] = [
	['between statements', bytesOf(Query('select 1'))],
	['in a pipeline', bytesOf(Parse('select 1'), Bind(), Execute(), Flush)],
	['in a transaction', bytesOf(Query('begin'))],
	['in a failed transaction', bytesOf(Query('begin'), Query('bad'))],
	['in a failed pipeline', bytesOf(Parse('bad'))],
	['behind a COPY', bytesOf(Query('copy taken to stdout'))],
];

/** What is wrong, and whether the server says why it closes the connection: of a bad length it says nothing. */
const fatal: readonly (readonly [string, Buffer, 'says' | 'closes'])[] = [
	['a type that no client sends', message('Z', 'I'), 'says'],
	['a type of nobody', message('\xff'), 'says'],
	['a password when nobody asks', message('p', 'x\0'), 'says'],
	['a length of nothing', message('Q', '', 0), 'closes'],
	['a negative length', message('P', '', -1), 'closes'],
	['a length beyond all limits', message('B', '', 0x7fff_ffff), 'closes'],
];

const dropped: readonly (readonly [string, Buffer])[] = [
	['CopyFail without an end', message('f', 'no')],
	['CopyFail without anything', message('f')],
	['CopyFail that is no UTF-8', message('f', '\xff\0')],
];

/** Types, SQLSTATEs and words, in their order. */
async function hear(client: WireClient, bytes: Buffer): Promise<string[]> {
	client.socket.write(Buffer.concat([bytes, bytesOf(Sync, Query('rollback'))]));
	client.socket.end();
	const heard = await client.rest();
	client.destroy();
	return heard.map((one) => {
		if (one.type === 'ReadyForQuery') return `${one.type} ${one.status}`;
		if (one.type !== 'ErrorResponse') return one.type;
		return ['S', 'C', 'M'].map((code) => one.fields.get(code)).join(' ');
	});
}

describe.each(ways)('pooling by %s', (way) => {
	const through = (): Promise<WireClient> =>
		WireClient.open({ port: gateway.port, params: { user: 'somebody', database: way }, password: TOOL_PASSWORD });

	describe.each(states)('%s', (_state, before) => {
		it.each(fatal)('%s', async (_name, bad, server) => {
			const sent = Buffer.concat([before, bad]);
			const wanted = await hear(await openDirect(database), sent);
			const got = await hear(await through(), sent);
			if (server === 'closes') expect(got.pop()).toMatch(/^FATAL 08P01 /);
			expect(got).toEqual(wanted);
		});

		it.each(dropped)('%s', async (_name, bad) => {
			const sent = Buffer.concat([before, bad]);
			expect(await hear(await through(), sent)).toEqual(await hear(await openDirect(database), sent));
		});
	});

	it.each(dropped)('ends a COPY: %s', async (_name, bad) => {
		const sent = Buffer.concat([bytesOf(Query('copy taken from stdin')), bad]);
		expect(await hear(await through(), sent)).toEqual(await hear(await openDirect(database), sent));
	});
});
