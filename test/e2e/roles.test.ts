/** Who signs in at the server for whom: other roles there by roles of the policy, each with names of its own. */
import pg from 'pg';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { startGateway, type TestGateway } from '../support/gateway.ts';

const WRITER = 'shop_writer_role';
const READER = 'shop_reader_role';
const password = 'role password';
let gateway: TestGateway;

/** A table `mine` in a schema of each role's name, so that one text means another table to each. */
const SETUP = `
	do $$ declare r text; begin
		foreach r in array array['${WRITER}', '${READER}'] loop
			execute format('create role %I login password %L', r, '${password}');
			execute format('create schema %I authorization %I', r, r);
			execute format('create table %I.mine as select %L as whose', r, r);
			execute format('grant select on %I.mine to %I', r, r);
			execute format('grant usage on schema sales to %I', r);
			execute format('grant select on all tables in schema sales to %I', r);
		end loop;
		create schema gateway;
		create table gateway.mine as select 'gateway' as whose;
		grant usage on schema gateway to public;
		grant select on gateway.mine to public;
	end $$`;

const POLICY = `p, *, shop, connect, allow
p, *, shop.*.mine, select, allow
p, *, shop.public.*, create, allow
g, group:data-team, role:analyst
g, user:ana, role:auditor
`;

beforeAll(async () => {
	gateway = await startGateway({
		setup: SETUP,
		policies: { 'policy.csv': POLICY, 'masks.yaml': 'masks: {}\nfilters: {}\n' },
		configure: (config) => {
			// What the one without a place waits for.
			config['limits'] = { poolWaitMs: 2_000 };
			const secret = { env: 'ROLE_PASSWORD' };
			Object.assign(config.databases['shop'] ?? {}, {
				users: {
					writer: { user: WRITER, password: secret },
					auditor: { user: READER, password: secret },
					// Ana is an auditor before she is anything else.
					analyst: { user: 'nobody', password: secret },
				},
				pool: { size: 3 },
			});
			config.identity.users.push({
				name: 'plain',
				password: {
					scram: config.identity.users[0]?.['password'] === undefined ? '' : scramOf(config.identity.users[0]),
				},
			});
		},
	});
});

function scramOf(user: Record<string, unknown>): string {
	return (user['password'] as { scram: string }).scram;
}

afterAll(async () => {
	const { host, port, user, password: secret } = gateway.backend;
	await gateway.stop();
	const admin = new pg.Client({ host, port, user, password: secret, database: 'postgres' });
	await admin.connect();
	await admin.query(`drop role ${WRITER}, ${READER}`);
	await admin.end();
});

async function client(name: string): Promise<pg.Client> {
	const options = await gateway.credentials(name === 'plain' ? 'app' : name);
	const made = new pg.Client({ ...options, user: name });
	made.on('error', () => undefined);
	await made.connect();
	onTestFinished(() => made.end());
	return made;
}

const rows: { name: string; role: string }[] = [
	{ name: 'app', role: WRITER },
	{ name: 'ana', role: READER },
	{ name: 'plain', role: 'gateway' },
];

test.each(rows)('$name works as $role', async ({ name, role }) => {
	const one = await client(name);
	expect((await one.query('select current_user as who, session_user as session')).rows).toEqual([
		{ who: role, session: role },
	]);
	expect(JSON.stringify(await gateway.audit())).toContain(role);
});

test('the same text means to each what it means on the server, also when it was decided for another before', async () => {
	const clients = await Promise.all(rows.map(async ({ name, role }) => ({ role, one: await client(name) })));
	for (let round = 0; round < 2; round++) {
		for (const { role, one } of clients) {
			const { rows: got } = await one.query('select whose from mine');
			expect(got).toEqual([{ whose: role }]);
		}
	}
});

test('what the server refuses the role is refused, whatever the policy allows', async () => {
	const writer = await client('app');
	await expect(writer.query(`select whose from ${READER}.mine`)).rejects.toMatchObject({ code: '42501' });
});

test('a function that could be a field is made only by who may run it, as each role has a catalogue of its own', async () => {
	const writer = await client('app');
	const make = (args: string): Promise<unknown> =>
		writer.query(`create function public.nearest(${args}) returns text language sql as $$select 'a'$$`);
	await expect(make('x text')).rejects.toMatchObject({
		code: '42501',
		message: expect.stringMatching(/taken for a field/),
	});
	// The server has not given the role that right.
	await expect(make('x text, y text')).rejects.toMatchObject({ message: 'permission denied for schema public' });
});

test('a role that cannot sign in there keeps its people out, and says so to the operator only', async () => {
	const failure: unknown = await client('ben').catch((error: unknown) => error);
	expect(failure).toMatchObject({ code: '08004', message: 'the database server rejected the login of the gateway' });
});

test('all roles share the places of the pool', async () => {
	const clients = await Promise.all(rows.map(({ name }) => client(name)));
	expect(clients).toHaveLength(3);
	const options = await gateway.credentials('app');
	await expect(new pg.Client(options).connect()).rejects.toMatchObject({ code: '53300' });
});
