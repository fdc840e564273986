/** What drivers and tools do in earnest gives the same through the gateway as without it. */
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { text } from 'node:stream/consumers';
import pg from 'pg';
import postgres from 'postgres';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createDatabase, type TestDatabase } from '../support/postgres.ts';
import { hasPsql, psql } from '../support/psql.ts';
import { startTestGateway, type TestGateway } from './gateway.ts';

interface Target {
	readonly host: string;
	readonly port: number;
	readonly user: string;
	readonly password: string;
	readonly database: string;
}

let database: TestDatabase;
let gateway: TestGateway;

beforeAll(async () => {
	database = await createDatabase({
		setup: `create table items (id int primary key, name text, made timestamptz default '2024-01-02 03:04:05Z', data bytea);
			insert into items (id, name, data) select n, 'item ' || n, decode(md5(n::text), 'hex') from generate_series(1, 500) n;
			create table lines (a int, b text)`,
	});
	gateway = await startTestGateway(database);
});

afterAll(async () => {
	await gateway?.close();
	await database?.drop();
});

/** Does the same directly and through the gateway, and compares what came of it. */
async function check(act: (target: Target) => Promise<unknown>): Promise<void> {
	const { host, port, user, password } = database;
	const direct: Target = { host, port, user, password, database: database.database };
	const wanted = await act(direct);
	await database.sql('truncate lines');
	const got = await act({ ...direct, port: gateway.port });
	await database.sql('truncate lines');
	expect(got).toEqual(wanted);
}

async function withPg(target: Target, use: (client: pg.Client) => Promise<unknown>): Promise<unknown> {
	const client = new pg.Client({ ...target });
	await client.connect();
	try {
		return await use(client);
	} finally {
		await client.end();
	}
}

async function withPostgres(target: Target, use: (sql: postgres.Sql) => Promise<unknown>): Promise<unknown> {
	const sql = postgres({ ...target, max: 1, onnotice: () => undefined });
	try {
		return await use(sql);
	} finally {
		await sql.end();
	}
}

const failure = (error: unknown): unknown => {
	const { message, code, position, detail } = error as pg.DatabaseError;
	return { message, code, position, detail };
};

describe('pg', () => {
	const rows: readonly (readonly [string, (client: pg.Client) => Promise<unknown>])[] = [
		['texts', async (client) => (await client.query('select * from items order by id limit 3')).rows],
		['parameters', async (client) => (await client.query('select $1::int + 1 as n, $2 as t', [41, 'x'])).rows],
		[
			'named statements',
			async (client) => {
				const query = { name: 'by id', text: 'select name from items where id = $1' };
				const found = [];
				for (const id of [1, 2, 3]) found.push((await client.query({ ...query, values: [id] })).rows);
				return found;
			},
		],
		[
			'many at once',
			async (client) => {
				const some = Array.from({ length: 50 }, (_, n) => client.query('select $1::int as n', [n]));
				return (await Promise.all(some)).map((result) => result.rows);
			},
		],
		['several results', async (client) => client.query('select 1 as a; select 2 as b; update items set name = name')],
		[
			'arrays, dates and bytes',
			async (client) => (await client.query('select made, data, array[1, 2] as a from items where id = 7')).rows,
		],
		[
			'binary results',
			async (client) =>
				(
					await client.query({
						text: 'select id, data from items where id < 4',
						values: [],
						binary: true,
					} as pg.QueryConfig)
				).rows,
		],
		['an error', (client) => client.query('select nothing from items').catch(failure)],
		['an error of a constraint', (client) => client.query('insert into items (id) values (1)').catch(failure)],
		[
			'a transaction that fails',
			async (client) => {
				await client.query('begin');
				const first = await client.query('select 1/0').catch(failure);
				const second = await client.query('select 1').catch(failure);
				await client.query('rollback');
				return [first, second, (await client.query('select 1 as fine')).rows];
			},
		],
		[
			'notifications',
			async (client) => {
				const heard = new Promise((resolve) =>
					client.once('notification', ({ channel, payload }) => resolve([channel, payload])),
				);
				await client.query('listen bell');
				await client.query("notify bell, 'ding'");
				return heard;
			},
		],
	];

	it.each(rows)('%s', (_, use) => check((target) => withPg(target, use)));
});

describe('postgres.js', () => {
	const rows: readonly (readonly [string, (sql: postgres.Sql) => Promise<unknown>])[] = [
		['a tagged query', async (sql) => [...(await sql`select id, name, made from items where id = ${5}`)]],
		[
			'many at once',
			async (sql) =>
				Promise.all(Array.from({ length: 50 }, (_, n) => sql`select ${n}::int as n`.then((found) => found[0]))),
		],
		[
			'a transaction',
			async (sql) => sql.begin(async (inner) => [...(await inner`select 1 as a`), ...(await inner`select 2 as b`)]),
		],
		['a transaction that fails', (sql) => sql.begin((inner) => inner`select 1/0`).catch(failure)],
		[
			'a pipelined transaction that fails',
			(sql) => sql.begin((inner) => [inner`select 1`, inner`select nothing`, inner`select 2`]).catch(failure),
		],
		[
			'a cursor',
			async (sql) => {
				const batches: unknown[] = [];
				await sql`select id from items order by id`.cursor(100, (batch) => {
					batches.push(batch.length);
				});
				return batches;
			},
		],
		['bytes', async (sql) => [...(await sql`select ${Buffer.from([0, 1, 255])}::bytea as bytes`)]],
		[
			'COPY in and out',
			async (sql) => {
				const written = await sql`copy lines from stdin`.writable();
				await pipeline(Readable.from(Array.from({ length: 2_000 }, (_, n) => `${n}\tline ${n}\n`)), written);
				return text(await sql`copy (select * from lines order by a) to stdout`.readable());
			},
		],
		['a simple query', async (sql) => [...(await sql`select 1 as a; select 2 as b`.simple())]],
		[
			'a description',
			(sql) =>
				sql`select id, name from items where id = ${1}`
					.describe()
					.then(({ types, columns }) => [types, columns.map(({ name }) => name)]),
		],
	];

	it.each(rows)('%s', (_, use) => check((target) => withPostgres(target, use)));
});

describe.skipIf(!hasPsql())('psql', () => {
	const scripts: readonly (readonly [string, string])[] = [
		['queries', 'select * from items order by id limit 2;\n\\x\nselect 1 as a, null as b;'],
		['an error with its position', 'select 1,\n nothing\n from items;'],
		['a transaction', 'begin;\nselect 1/0;\nselect 1;\nrollback;\nselect 2;'],
		[
			'\\copy both ways',
			'\\copy lines from stdin\n1\tone\n2\ttwo\n\\.\n\\copy (select * from lines order by a) to stdout',
		],
		['COPY with an error', '\\copy lines from stdin\n1\tone\nx\ttwo\n\\.\nselect count(*) from lines;'],
		['descriptions', '\\d items\n\\dt\n\\l template0\n\\df items\n'],
		[
			'\\gdesc, \\gexec and \\bind',
			"select 1 as a, 'x' as b \\gdesc\nselect 'select ' || n from generate_series(1, 3) n \\gexec\n",
		],
		['several on a line', 'select 1\\; select 2\\; select 3;'],
		['conninfo', '\\echo :SERVER_VERSION_NUM :DBNAME :USER :ENCODING\nshow server_encoding;'],
	];

	it.each(scripts)('%s', (_, script) =>
		check(async (target) => {
			const { status, stdout, stderr } = await psql(target, script, []);
			return { status, stdout, stderr };
		}),
	);
});
