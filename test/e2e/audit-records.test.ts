/** What the log has of each way to send a statement, through a whole gateway: text, values, rows, bytes, how it ended, and no secrets. */
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { encodeCancelRequest } from '../../src/wire/encode.ts';
import { ocsfProblems } from '../audit/ocsf/validate.ts';
import {
	Bind,
	CopyData,
	CopyDone,
	Execute,
	Parse,
	Query,
	Sync,
	Terminate,
	WireClient,
} from '../session/wire-client.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';

type Json = Readonly<Record<string, unknown>>;

/** A statement's record with its outcome. */
interface Recorded {
	readonly sql: string;
	readonly record: Json;
	readonly unmapped: Json;
	readonly outcome: Json;
}

let world: TestGateway;
beforeAll(async () => {
	world = await startGateway();
});
afterAll(() => world?.stop());

/** Runs `work` in a session of its own, and gives what the log has of it once the session is over. */
async function recorded(work: (client: WireClient) => Promise<unknown>): Promise<Recorded[]> {
	const { port, user, password, database } = await world.credentials('app');
	const name = `records-${Math.random()}`;
	const client = await WireClient.open({ port, params: { user, database, application_name: name }, password });
	await work(client);
	client.send(Terminate);
	client.socket.end();
	const own = (record: Json): boolean => JSON.stringify(record).includes(name);
	const isLogout = (record: Json): boolean => codeOf(record) === 'logout' && own(record);
	await expect.poll(async () => (await world.audit()).some(isLogout)).toBe(true);
	const all = await world.audit();
	for (const record of all) expect([codeOf(record), ocsfProblems(record)]).toEqual([codeOf(record), []]);
	return all
		.filter((record) => codeOf(record) === 'statement' && own(record))
		.map((record) => {
			const { uid } = record['metadata'] as { uid: string };
			const outcome = all.find((other) => (other['metadata'] as Json)['correlation_uid'] === uid);
			return {
				sql: (record['query_info'] as { query_string: string }).query_string,
				record,
				unmapped: record['unmapped'] as Json,
				outcome: (outcome?.['unmapped'] ?? {}) as Json,
			};
		});
}

function codeOf(record: Json): unknown {
	return (record['metadata'] as Json)['event_code'];
}

describe('a statement', () => {
	test('of a text of several has a record each, with its own text, rows and bytes', async () => {
		const found = await recorded((client) =>
			client.query("select 1; select id from sales.orders limit 3 ; select 'x'"),
		);
		expect(found.map(({ sql, outcome }) => [sql, outcome['rows'], outcome['tag']])).toEqual([
			['select 1', 1, 'SELECT 1'],
			['select id from sales.orders limit 3', 3, 'SELECT 3'],
			["select 'x'", 1, 'SELECT 1'],
		]);
		for (const { outcome } of found) expect(outcome).toMatchObject({ ended: 'success', bytes: expect.any(Number) });
	});

	test('prepared and run by name has its whole text and its values each time', async () => {
		const sql = 'select id from sales.orders where id = $1';
		const found = await recorded(async (client) => {
			client.send(Parse(sql, 'named'), Bind(['1'], 'named'), Execute(), Bind(['2'], 'named'), Execute(), Sync);
			await client.ready();
		});
		expect(found.map(({ sql: text, unmapped }) => [text, unmapped['phase']])).toEqual([
			[sql, 'prepare'],
			[sql, 'execute'],
			[sql, 'execute'],
		]);
		const values = found.slice(1).map(({ unmapped }) => (unmapped['parameters'] as { value: string }[])[0]?.value);
		expect(values).toEqual(['1', '2']);
	});

	test('whose portal is fetched in portions has all of its rows in one outcome', async () => {
		const found = await recorded(async (client) => {
			client.send(
				Parse('select generate_series(1, 10)'),
				Bind([], '', 'p'),
				Execute(4, 'p'),
				Execute(4, 'p'),
				Execute(4, 'p'),
				Sync,
			);
			await client.ready();
		});
		expect(found.at(-1)?.outcome).toMatchObject({ ended: 'success', rows: 10 });
	});

	test('whose portal is left suspended has the rows that went', async () => {
		const found = await recorded(async (client) => {
			client.send(Parse('select generate_series(1, 10)'), Bind([], '', 'p'), Execute(4, 'p'), Sync);
			await client.ready();
		});
		expect(found.at(-1)?.outcome).toMatchObject({ rows: 4 });
	});

	test('of SQL that runs what was prepared, or fetches from a cursor, tells of what', async () => {
		const found = await recorded(async (client) => {
			await client.query('prepare p as select id from sales.orders where id = $1');
			await client.query('execute p (1)');
			await client.query('begin; declare c cursor for select id from sales.orders');
			await client.query('fetch 2 from c');
			await client.query('commit');
		});
		const [, execute, , , fetch] = found;
		expect(execute?.unmapped).toMatchObject({
			executes: 'prepare p as select id from sales.orders where id = $1',
			objects: [expect.objectContaining({ name: 'orders' })],
		});
		expect(fetch).toMatchObject({ unmapped: { cursor: 'c' }, outcome: { rows: 2 } });
	});

	test('that copies has rows and bytes, both ways', async () => {
		const found = await recorded(async (client) => {
			await client.query('copy (select id from sales.orders order by id limit 5) to stdout');
			client.send(Query('copy sales.orders (tenant, customer_id) from stdin'));
			await client.until('CopyInResponse');
			client.send(CopyData('acme\t3\nacme\t3\n'), CopyDone);
			await client.ready();
		});
		expect(found[0]?.outcome).toMatchObject({ tag: 'COPY 5', rows: 5 });
		expect(found[0]?.outcome['bytes']).toBeGreaterThan(5);
		expect(found.at(-1)?.outcome).toMatchObject({ tag: 'COPY 2', rows: 2, bytes: 14 });
	});

	test('that fails, is denied in a pipeline, or is skipped behind that', async () => {
		const found = await recorded(async (client) => {
			client.send(Parse('select 1'), Bind(), Execute(), Parse('select * from hr.secrets'), Bind(), Execute());
			client.send(Parse('select 2'), Bind(), Execute(), Sync);
			await client.ready();
			await client.query('select 1/0');
		});
		const seen = found
			.filter(({ unmapped }) => unmapped['phase'] !== 'prepare' || unmapped['objects'] !== undefined)
			.map(({ sql, record, outcome }) => [sql, record['action'], outcome['ended']]);
		expect(seen).toContainEqual(['select 1', 'Allowed', 'success']);
		expect(seen).toContainEqual(['select * from hr.secrets', 'Denied', undefined]);
		expect(seen).toContainEqual(['select 1/0', 'Allowed', 'failure']);
		expect(seen).not.toContainEqual(['select 2', 'Allowed', 'success']);
	});

	test('that is cancelled, and that somebody cancelled it', async () => {
		const client = await world.connect('app', { application_name: 'to-be-cancelled' });
		const running = client.query('select pg_sleep(30)').catch((error: unknown) => error);
		const find = async (code: string): Promise<Json[]> =>
			(await world.audit()).filter((one) => codeOf(one) === code && JSON.stringify(one).includes('to-be-cancelled'));
		const sleeping = "select from pg_stat_activity where state = 'active' and query = 'select pg_sleep(30)'";
		await expect.poll(async () => (await world.backend.sql(sleeping)).length).toBe(1);
		const { processID, secretKey } = client as unknown as { processID: number; secretKey: number };
		const key = Buffer.alloc(4);
		key.writeInt32BE(secretKey);
		connect({ host: '127.0.0.1', port: world.port }).end(encodeCancelRequest(processID, key));
		expect(await running).toMatchObject({ code: '57014' });
		await client.end();
		expect(await find('cancel')).toMatchObject([{ unmapped: { matched: true } }]);
		const uids = (await find('statement')).map((one) => (one['metadata'] as { uid: string }).uid);
		const outcome = (await world.audit()).find((one) => (one['metadata'] as Json)['correlation_uid'] === uids[0]);
		expect(outcome).toMatchObject({ status_code: '57014', unmapped: { ended: 'cancelled' } });
	});

	test('with anything in it stays on one line and acts on no terminal', async () => {
		const nasty = 'select \'\u001b[2J\u202e\u0085\r\n"}\u2028{"metadata":\'';
		const found = await recorded((client) => client.query(nasty));
		expect(found.map(({ sql }) => sql)).toEqual([nasty]);
	});

	test('that holds a secret is recorded without it, allowed or denied, parsed or not', async () => {
		const secret = 'hunter2-never-to-be-seen';
		await recorded(async (client) => {
			await client.query(`create user eve password '${secret}'`);
			await client.query(`alter role gateway password e'${secret}'; select 1`);
			await client.query(`alter role gateway pasword '${secret}'`);
			await client.query(`alter role gateway password '${secret}`);
			await client.query(`select dblink_connect('host=h password=${secret}')`);
			await client.query(`create subscription s connection 'password=${secret}' publication p`);
			await client.query(`-- password '${secret}'\nselect 1`);
			await client.query(`do $$ begin execute 'alter role x password ''${secret}'''; end $$`);
			await client.query(`select 'postgres://u:${secret}@h/db'`);
		});
		const lines = (await world.audit()).map((record) => JSON.stringify(record)).filter((line) => line.includes(secret));
		// The third has no word before it that would tell.
		expect(lines.map((line) => /alter role gateway (\w+) /.exec(line)?.[1])).toEqual(['pasword']);
		const logged = world.log.map((line) => JSON.stringify(line)).filter((line) => line.includes(secret));
		expect(logged).toEqual([]);
	});

	test('names the connection that ran it', async () => {
		const found = await recorded(async (client) => {
			await client.query('select pg_backend_pid()');
		});
		expect(found[0]?.unmapped).toMatchObject({ backend_pid: expect.any(Number), backend_role: 'gateway' });
		expect(found[0]?.record).toMatchObject({ dst_endpoint: { ip: expect.any(String), port: expect.any(Number) } });
	});
});

describe('in a pool', () => {
	let pooled: TestGateway;
	beforeAll(async () => {
		pooled = await startGateway({
			configure: (config) => {
				for (const database of Object.values(config.databases)) database['pool'] = { mode: 'transaction', size: 2 };
			},
		});
	});
	afterAll(() => pooled?.stop());

	test('each statement is recorded with the connection that ran it, however the connections change hands', async () => {
		const clients = await Promise.all(['a', 'b', 'c'].map((name) => pooled.connect('app', { application_name: name })));
		const ran: string[] = [];
		const run = async (
			client: (typeof clients)[number],
			name: string,
			sql: string,
			values: unknown[],
		): Promise<void> => {
			const { rows } = (await client.query(sql, values)) as { rows: { pid: number }[] };
			ran.push(`${name} ${sql} ${rows[0]?.pid}`);
		};
		for (let round = 0; round < 8; round += 1) {
			await Promise.all(
				clients.map((client, index) => {
					const name = 'abc'[index] ?? '';
					const simple = `select pg_backend_pid() as pid, ${round}`;
					return round % 2 === 0
						? run(client, name, simple, [])
						: run(client, name, `select pg_backend_pid() as pid, $1::int + ${round}`, [index]);
				}),
			);
		}
		await Promise.all(clients.map((client) => client.end()));
		expect(new Set(ran.map((line) => line.slice(line.lastIndexOf(' ')))).size).toBeLessThan(3);
		const recorded = (await pooled.audit())
			.filter((one) => codeOf(one) === 'statement' && (one['unmapped'] as Json)['phase'] === 'execute')
			.map((one) => {
				const { app_name: name } = one['actor'] as { app_name: string };
				const { query_string: sql } = one['query_info'] as { query_string: string };
				return `${name} ${sql} ${String((one['unmapped'] as Json)['backend_pid'])}`;
			})
			.filter((line) => line.includes('pg_backend_pid'));
		expect(recorded.sort()).toEqual(ran.sort());
	});
});
