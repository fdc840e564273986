/** What Citus brings is no way around the rules: its functions, its views, its shards and its settings, by a stand-in for it. */
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { citusStandIn } from '../support/citus.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';

const distribute = 'create_distributed_table(regclass,text,citus.distribution_type,text,integer)';

/** app may do nearly everything, by wildcards; ben reads one table; gita may distribute tables, by name. */
const rules = `
p, *,            shop,                      connect, allow
p, role:writer,  shop,                      set,     allow
p, role:writer,  shop.*.*,                  *,       allow
p, role:writer,  shop.*.*(*),               *,       allow
p, role:writer,  shop.app.people.ssn,       select,  mask,   nothing
p, role:writer,  shop.app.people,           select,  filter, own_tenant
p, role:writer,  shop.app.people,           delete,  deny
p, role:writer,  shop.app.fresh.ssn,        select,  mask,   nothing
p, role:writer,  shop.pg_catalog.${distribute}, execute, allow
p, user:ben,     shop.app.people,           select,  allow
p, user:ben,     shop.app.people.ssn,       select,  mask,   nothing
p, user:gita,    shop.pg_catalog.${distribute}, execute, allow
`;

const secret = '943-11-2718';

const setup = `${citusStandIn}
	create schema app;
	grant usage, create on schema app to public;
	create table app.people (id int, tenant text, ssn text);
	grant all on app.people to public;
	select create_distributed_table('app.people', 'id');
	insert into app.people_102008 values (1, 'acme', '${secret}'), (2, 'globex', '${secret}');
	insert into pg_dist_authinfo values (1, 'gateway', 'password=${secret}');
	insert into pg_dist_shard values ('app.people', 99, 't', '${secret}', '${secret}');
	insert into columnar_internal.chunk values (1, 1, 3, '${secret}', '${secret}')`;

let gateway: TestGateway;
let clients: Record<'app' | 'ben' | 'gita', pg.Client>;
beforeAll(async () => {
	gateway = await startGateway({ policies: { 'policy.csv': rules }, setup });
	const [app, ben, gita] = [await gateway.connect('app'), await gateway.connect('ben'), await gateway.connect('gita')];
	clients = { app, ben, gita };
});
afterAll(async () => {
	for (const client of Object.values(clients ?? {})) await client.end();
	await gateway?.stop();
});

/** First cells of all rows, or the error. */
async function answer(as: keyof typeof clients, sql: string): Promise<unknown> {
	try {
		const { rows } = await clients[as].query({ text: sql, rowMode: 'array' });
		return (rows as unknown[][]).map((row) => row[0]);
	} catch (error) {
		const { code, message } = error as { code?: string; message: string };
		return `${code} ${message}`;
	}
}

test('the stand-in does what it must not be used for', async () => {
	const leak = `select result from run_command_on_workers('select ssn from app.people_102008 limit 1')`;
	expect(await gateway.backend.sql(leak)).toEqual([{ result: secret }]);
});

describe('for whom rules with wildcards allow everything', () => {
	test('no function of it runs', async () => {
		const calls = await gateway.backend.sql(`
			select quote_ident(n.nspname) || '.' || quote_ident(p.proname) || '(' || array_to_string(array(
				select 'null::' || replace(format_type(t, null), 'anyelement', 'int') from unnest(p.proargtypes) with ordinality x(t, o) order by o
			), ', ') || ')' as call
			from pg_proc p join pg_namespace n on n.oid = p.pronamespace
			where p.oid >= 16384 and n.nspname in ('pg_catalog', 'citus_internal') and p.proname <> 'create_distributed_table'`);
		expect(calls.length).toBeGreaterThan(30);
		for (const { call } of calls) {
			for (const as of ['app', 'ben'] as const) {
				expect(await answer(as, `select * from ${String(call)}`)).toMatch(/^42501 permission denied for function/);
			}
		}
	});

	const kept = [
		'pg_dist_partition',
		'pg_dist_shard',
		'pg_dist_placement',
		'pg_dist_node',
		'pg_dist_authinfo',
		'citus_tables',
		'citus_shards',
		'citus_stat_activity',
		'citus_dist_stat_activity',
		'citus_lock_waits',
		'citus_stat_statements',
		'columnar.chunk',
		'columnar_internal.chunk',
	];
	test.each(kept)('%s is not read', async (relation) => {
		for (const as of ['app', 'ben'] as const) {
			expect(await answer(as, `select * from ${relation}`)).toMatch(/^42501 permission denied for relation/);
			expect(await answer(as, `select count(*) from (table ${relation}) t`)).toMatch(/^42501 /);
		}
	});
});

describe('a shard', () => {
	test('shows what its table shows', async () => {
		expect(await answer('app', 'select id from app.people_102008')).toEqual([1]);
		expect(await answer('app', 'select ssn from app.people_102008')).toEqual([null]);
		expect(await answer('app', `select count(*)::int from app.people_102008 where ssn = '${secret}'`)).toEqual([0]);
		expect(await answer('app', 'select p::text from app.people_102008 p')).toEqual(['(1,acme,)']);
		expect(await answer('app', 'delete from app.people_102008')).toMatch(
			/^42501 permission denied for relation app.people/,
		);
		expect(await answer('app', 'explain analyze select id from app.people_102008')).toMatch(/^42501 /);
		expect(await answer('ben', 'select id from app.people_102008')).toMatch(/^42501 /);
	});

	test('shows no more in the transaction that makes it', async () => {
		const { app } = clients;
		await app.query('create table app.fresh (id int, ssn text)');
		await app.query('begin');
		await app.query(`select create_distributed_table('app.fresh', 'id', shard_count := 1)`);
		const [made] = (await app.query(`select c.relname from pg_class c where c.relname ~ '^fresh_'`)).rows as {
			relname: string;
		}[];
		await app.query(`insert into app.${made?.relname} values (1, '${secret}')`);
		const shown = await answer('app', `select coalesce(ssn, 'masked') from app.${made?.relname}`);
		await app.query('rollback');
		expect(shown).toEqual(['masked']);
	});
});

test('whom a rule names the function may distribute a table, and use it', async () => {
	await clients.app.query('create table app.orders (id int primary key, note text)');
	expect(await answer('gita', `select create_distributed_table('app.orders', 'id', colocate_with := 'none')`)).toEqual([
		'',
	]);
	expect(await answer('gita', `select create_reference_table('app.orders')`)).toMatch(/^42501 /);
	await clients.app.query(
		`insert into app.orders values (1, 'one') on conflict (id) do update set note = excluded.note`,
	);
	const join = 'select o.note from app.orders o join app.people p using (id) group by o.id, o.note';
	expect(await answer('app', join)).toEqual([]);
	expect(await answer('app', 'explain (format json) select * from app.orders where id = 1')).toHaveLength(1);
});

describe('settings', () => {
	const settings: readonly (readonly [string, 'app' | 'ben', boolean])[] = [
		["set citus.multi_shard_modify_mode to 'sequential'", 'ben', true],
		['set local citus.shard_count = 64', 'ben', true],
		['set citus.enable_ddl_propagation = off', 'ben', false],
		['set citus.enable_ddl_propagation = off', 'app', true],
		['set citus.log_remote_commands = on', 'app', false],
		['set citus.override_table_visibility = off', 'app', false],
		["set citus.show_shards_for_app_name_prefixes = '*'", 'app', false],
		['set citus.enable_manual_changes_to_shards = on', 'app', false],
		["select set_config('citus.worker_min_messages', 'debug1', false)", 'app', false],
	];
	test.each(settings)('%s, as %s: %s', async (sql, as, allowed) => {
		const got = await answer(as, sql);
		if (allowed) expect(got).toEqual([]);
		else expect(got).toMatch(/^42501 /);
	});

	test('those of the startup packet are no others', async () => {
		const signedIn = (options: string): Promise<pg.Client> => gateway.connect('app', { options });
		await (await signedIn('-c citus.multi_shard_modify_mode=sequential')).end();
		await expect(signedIn('-c citus.log_remote_commands=on')).rejects.toThrow(/citus.log_remote_commands/);
	});
});
