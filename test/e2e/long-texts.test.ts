/** Long statements keep nobody but their senders waiting, whatever they are made of, also ten at once. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import pg from 'pg';
import { watchLoop } from '../../bench/rig/hold.ts';
import { defaultSqlLimits, parse } from '../../src/sql/parse.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';

let gateway: TestGateway;
let clients: pg.Client[];
let other: pg.Client;
/** CPU milliseconds that parsing a megabyte takes in this process: if it were done in the event loop, it would be held so long at least. */
let parsingMs: number;

/** What is parsed for comparison. */
const MEGABYTE = 1_000_000;
/** Analysed in the loop, a text of so many bytes would hold it longer than parsing a megabyte does. */
const LONG = 400_000;
/** Each of a crowd. */
const CROWD_BYTES = 60_000;
/** Of a busy machine. */
const TIMEOUT_MS = 180_000;
/** How often somebody else asks meanwhile, at most. */
const ASKS_MAX = 50;

const repeated = (piece: (i: number) => string, between: string, bytes = LONG): string => {
	const pieces: string[] = [];
	for (let i = 0, length = 0; length < bytes; i += 1) {
		const one = piece(i);
		pieces.push(one);
		length += one.length + between.length;
	}
	return pieces.join(between);
};
const inList = (bytes = LONG): string =>
	`select count(*)::int as n from hr.employees where ssn <> 'x' and id in (${repeated((i) => String(i % 1000), ',', bytes)})`;

beforeAll(async () => {
	gateway = await startGateway();
	clients = await Promise.all(Array.from({ length: 10 }, () => open('ana')));
	other = await open('ben');
	parse(inList(MEGABYTE), defaultSqlLimits);
	const stop = watchLoop();
	parse(inList(MEGABYTE), defaultSqlLimits);
	parsingMs = stop().cpuMs;
	// The thread is there, and knows what is compiled.
	await clients[0]?.query(inList(CROWD_BYTES));
});
afterAll(async () => {
	await Promise.all([...(clients ?? []), other].map((client) => client?.end()));
	await gateway?.stop();
});

async function open(name: string): Promise<pg.Client> {
	const client = new pg.Client(await gateway.credentials(name));
	await client.connect();
	return client;
}

/** What the loop is held at most while the work goes on, beside somebody who asks all the time. */
async function heldMs(work: () => Promise<unknown>): Promise<number> {
	let busy = true;
	const asks = (async () => {
		for (let asked = 0; busy && asked < ASKS_MAX; asked += 1)
			expect((await other.query<{ n: number }>('select 1 as n')).rows).toEqual([{ n: 1 }]);
	})();
	const stop = watchLoop();
	try {
		await work();
	} finally {
		busy = false;
		await asks;
	}
	return stop().cpuMs;
}

const codeOf = (running: Promise<unknown>): Promise<string> =>
	running.then(
		() => 'done',
		(error: unknown) => (error as { code: string }).code,
	);

const first = (): pg.Client => clients[0] as pg.Client;

const ROWS: readonly { readonly name: string; readonly run: () => Promise<unknown>; readonly want: string }[] = [
	{ name: 'an IN list', run: () => first().query(inList()), want: 'done' },
	{ name: 'the same in Parse', run: () => first().query(`${inList()} and id > $1`, [0]), want: 'done' },
	{
		name: 'VALUES',
		run: () => first().query(`select count(*) from (values ${repeated((i) => `(${i}, 'some text')`, ', ')}) v`),
		want: 'done',
	},
	{
		name: 'COPY (query)',
		run: () => first().query(`copy (${inList()}) to stdout (format nothing)`),
		want: '22023',
	},
	{
		name: 'many statements',
		run: () => first().query(Array.from({ length: 2_000 }, () => 'select id from hr.employees limit 0').join(';')),
		want: 'done',
	},
	{
		name: 'a CASE',
		run: () => first().query(`select case 1 ${repeated((i) => `when ${i} then ${i}`, ' ')} end no syntax`),
		want: '42601',
	},
	{
		name: 'a chain of AND',
		run: () => first().query(`select from hr.secrets where ${repeated(() => 'true', ' and ')}`),
		want: '42501',
	},
	{ name: 'a string', run: () => first().query(`select length('${'x'.repeat(MEGABYTE)}')`), want: 'done' },
	{ name: 'a comment', run: () => first().query(`select 1 /* ${'x'.repeat(MEGABYTE)} */`), want: 'done' },
	{ name: 'too many parentheses', run: () => first().query(`select ${'('.repeat(MEGABYTE / 2)}`), want: '54001' },
];

test.each(ROWS)(
	'$name',
	async ({ run, want }) => {
		let got = '';
		const held = await heldMs(async () => {
			got = await codeOf(run());
		});
		expect(got).toBe(want);
		expect(held).toBeLessThan(parsingMs * 0.6);
	},
	TIMEOUT_MS,
);

test(
	'ten at once, of one user',
	async () => {
		const sql = inList(CROWD_BYTES);
		let rows: unknown[] = [];
		const held = await heldMs(async () => {
			rows = await Promise.all(clients.map(async (client) => (await client.query<{ n: number }>(sql)).rows));
		});
		expect(new Set(rows.map((row) => JSON.stringify(row))).size).toBe(1);
		expect(held).toBeLessThan(parsingMs * 0.6);
	},
	TIMEOUT_MS,
);
