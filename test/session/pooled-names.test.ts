/** Transaction mode: what SQL says of a prepared statement's name holds though the Parse of it has yet to be answered, or has failed. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Backend } from '../../src/wire/backend.ts';
import type { FrontendFields } from '../../src/wire/encode.ts';
import { createDatabase, type TestDatabase } from '../support/postgres.ts';
import { converse, openDirect, type Turn } from './converse.ts';
import { startTestGateway, type TestGateway } from './gateway.ts';
import { Bind, CloseStatement, DescribeStatement, Execute, Parse, Query, Sync, WireClient } from './wire-client.ts';

let database: TestDatabase;
let gateway: TestGateway;

beforeAll(async () => {
	database = await createDatabase();
	gateway = await startTestGateway(database, { pooled: {} });
});

afterAll(async () => {
	await gateway?.close();
	await database?.drop();
});

/** All of it is sent at once. */
const skipped = [Parse('select 1'), Bind(['too many']), Parse('select 2', 'a'), Sync];
const done = [Parse('select 2', 'a'), Sync];
const run = (sql: string): FrontendFields[] => [Parse(sql), Bind(), Execute(), Sync];

const rows: readonly [string, readonly FrontendFields[], number][] = [
	['DEALLOCATE of what was skipped', [...skipped, ...run('deallocate a')], 2],
	['DEALLOCATE of what was skipped, by a Query', [...skipped, Query('deallocate a')], 2],
	['EXECUTE of what was skipped', [...skipped, ...run('execute a')], 2],
	['EXECUTE of what was skipped, by a Query', [...skipped, Query('execute a')], 2],
	['PREPARE of what was skipped', [...skipped, ...run('prepare a as select 3'), Query('execute a')], 3],
	['DEALLOCATE of what was prepared', [...done, ...run('deallocate a'), Query('deallocate a')], 3],
	['EXECUTE of what was prepared, by a Query', [...done, Query('execute a')], 2],
	['EXECUTE of what was prepared', [...done, ...run('execute a')], 2],
	[
		'PREPARE that is skipped',
		[...done, Bind(['x'], 'a'), Query(''), Query('prepare a as select 3'), Sync, ...run('execute a')],
		3,
	],
	['EXECUTE that is skipped', [...done, Bind(['x'], 'a'), Query(''), Query('execute a'), Sync, Query('execute a')], 3],
	['EXECUTE after one that was skipped', [...done, Parse('bad'), Parse('execute a'), Sync, ...run('execute a')], 3],
	['EXECUTE that is described', [...done, Parse('execute a'), DescribeStatement(), Bind(), Execute(), Sync], 2],
	['EXECUTE of what was closed', [...done, CloseStatement('a'), Sync, Query('execute a')], 3],
];

describe('a name in SQL', () => {
	it.each(rows)('%s', async (_name, send, until) => {
		const turns: readonly Turn[] = [{ send, until }];
		const wanted = await converse(await openDirect(database), turns, 'P');
		for (const _ of [1, 2, 3]) {
			expect(await converse(await WireClient.open({ port: gateway.port }), turns, 'P')).toEqual(wanted);
		}
	});
});

describe('what was decided before the policy or the catalogue changed', () => {
	afterEach(() => {
		gateway.pipeline.replacement = 'new_text';
	});

	const told = (answers: readonly Backend[]): unknown[] =>
		answers.flatMap((answer) => {
			if (answer.type === 'DataRow') return answer.values.map(String);
			if (answer.type === 'RowDescription') return answer.fields.map(({ name }) => name);
			return answer.type === 'ErrorResponse' ? [answer.fields.get('C')] : [];
		});

	/** Prepared under one policy, and that policy is another by now. */
	async function prepared(...first: FrontendFields[]): Promise<WireClient> {
		const client = await WireClient.open({ port: gateway.port });
		gateway.pipeline.replacement = "'before'::text as before";
		client.send(Parse('select old_text', 'a'), ...first, Sync);
		await client.ready();
		gateway.pipeline.replacement = "'after'::text as after";
		gateway.pipeline.revision += 1;
		return client;
	}

	it('is not described', async () => {
		const client = await prepared();
		client.send(DescribeStatement('a'), Sync);
		expect(told(await client.ready())).toEqual(['after']);
		client.destroy();
	});

	it('is not run by a name that the server has for it', async () => {
		const client = await prepared();
		gateway.pipeline.replacement = "'before'::text as before";
		expect(told(await client.query('execute a'))).toEqual(['before', 'before']);
		gateway.pipeline.replacement = "'after'::text as after";
		gateway.pipeline.revision += 1;
		client.send(Bind([], 'a'), Execute(), Sync);
		expect(told(await client.ready())).toEqual(['after']);
		expect(told(await client.query('execute a'))).toEqual(['after', 'after']);
		client.send(Parse('execute a'), Bind(), Execute(), Sync);
		expect(told(await client.ready())).toEqual(['after']);
		expect(await client.query('deallocate a')).not.toContainEqual(expect.objectContaining({ type: 'ErrorResponse' }));
		expect(told(await client.query('execute a'))).toEqual(['26000']);
		client.destroy();
	});

	it('keeps its name taken, and is deallocated by it', async () => {
		const client = await prepared();
		client.send(Parse('select 1', 'a'), Sync);
		expect(told(await client.ready())).toEqual(['42P05']);
		expect(told(await client.query('prepare a as select 1'))).toEqual(['42P05']);
		client.send(Bind([], 'a'), Execute(), Sync);
		expect(told(await client.ready())).toEqual(['after']);
		expect(told(await client.query('execute a'))).toEqual(['after', 'after']);
		expect(told(await client.query('deallocate a'))).toEqual([]);
		expect(told(await client.query('execute a'))).toEqual(['26000']);
		client.destroy();
	});
});
