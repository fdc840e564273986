/** Whoever may do everything gets the server's own answers, in both ways of keeping connections. */
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { SERVICE } from '../../src/cli/demo/people.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';

let gateway: TestGateway;

beforeAll(async () => {
	const names = ['shop', 'pooled'];
	const policy = names.flatMap((name) =>
		[name, `${name}.*.*`, `${name}.*.*(*)`].map((object) => `p, user:${SERVICE.name}, ${object}, *, allow`),
	);
	gateway = await startGateway({
		policies: { 'policy.csv': `${policy.join('\n')}\n`, 'masks.yaml': 'masks: {}\nfilters: {}\n' },
		configure: ({ databases }) => {
			databases['pooled'] = { ...databases['shop'], pool: { mode: 'transaction' } };
		},
	});
});

afterAll(() => gateway.stop());

test.each([
	{ database: 'shop', file: 'postgres.c' },
	// What a pool keeps prepared for several clients is told apart before it is sent.
	{ database: 'pooled', file: 'portcullis' },
])('several statements in one Parse, $database', async ({ database, file }) => {
	const client = await gateway.connect(SERVICE.name, { database });
	onTestFinished(() => client.end());
	for (const name of ['', 'named']) {
		const both = client.query({ name, text: 'select 1; select $1::int', values: [1] });
		await expect(both).rejects.toMatchObject({
			code: '42601',
			message: 'cannot insert multiple commands into a prepared statement',
			file,
			line: expect.stringMatching(/^\d+$/) as string,
			routine: 'exec_parse_message',
		});
		expect((await client.query('select $1::int as one', [1])).rows).toEqual([{ one: 1 }]);
	}
	await client.query('begin');
	await expect(client.query({ text: 'select 1; select $1::int', values: [1] })).rejects.toMatchObject({
		code: '42601',
	});
	await expect(client.query('select $1::int', [1])).rejects.toMatchObject({ code: '25P02' });
	await client.query('rollback');
	const records = (await gateway.audit()).filter((record) => JSON.stringify(record).includes('42601'));
	expect(records).not.toEqual([]);
});

test.each(['shop', 'pooled'])("the server's debug messages, as it sends them, %s", async (database) => {
	const client = await gateway.connect(SERVICE.name, { database });
	onTestFinished(() => client.end());
	const said: string[] = [];
	client.on('notice', ({ severity, message }) => said.push(`${severity}: ${message}`));
	await client.query("set client_min_messages = 'debug1'");
	await client.query('create temp table told (id int primary key)');
	expect(said.join('\n')).toMatch(/^DEBUG: .*told_pkey/m);
	await client.query("select set_config('client_min_messages', 'notice', false)");
});
