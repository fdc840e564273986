/** Attacks on the state of the session: roles, settings, encodings, what startup packets and options set. */
import { type AttackCase, attacks, conversations } from '../case.ts';
import { type RawClient, ServerError, type Target } from '../client.ts';
import { encodeStartupMessage } from '../../../src/wire/encode.ts';

const harmlessThere: Readonly<Record<string, string>> = {
	'set_config by a column': 'the setting of that name is not shown',
	local_preload_libraries: 'the server refuses the setting',
	session_preload_libraries: 'the server refuses the setting',
	'a setting by UPDATE of pg_settings': 'the server may refuse the value',
	'SET ROLE in capitals': 'the server takes it or not',
};

const refused = attacks('session', 'denied', {
	'SET ROLE': 'set role pg_read_all_data',
	'SET ROLE NONE': 'set role none',
	'SET LOCAL ROLE': ['begin', 'set local role pg_monitor', 'rollback'],
	'RESET ROLE': 'reset role',
	'SET SESSION ROLE in quotes': `set session "role" = 'pg_monitor'`,
	'SET ROLE in capitals': `set "ROLE" to 'pg_monitor'`,
	'SET SESSION AUTHORIZATION': 'set session authorization postgres',
	'SET SESSION AUTHORIZATION DEFAULT': 'set session authorization default',
	'RESET SESSION AUTHORIZATION': 'reset session authorization',
	'SET session_authorization': "set session_authorization = 'postgres'",
	'set_config of role': "select set_config('role', 'pg_monitor', false)",
	'set_config of role in capitals': "select set_config('ROLE', 'pg_monitor', true)",
	'set_config of session_authorization': "select set_config('session_authorization', 'postgres', false)",
	'set_config in a CTE': "with s as (select set_config('role', 'pg_monitor', false)) select * from s",
	'set_config in WHERE': "select 1 where set_config('role', 'pg_monitor', false) <> ''",
	'set_config in VALUES': "values (set_config('role', 'pg_monitor', false))",
	'set_config in INSERT': [
		'begin',
		"insert into lab.inbox values (8, set_config('role', 'pg_monitor', true))",
		'rollback',
	],
	'set_config in FROM': "select * from set_config('role', 'pg_monitor', false)",
	'set_config by a column': "select set_config(name, 'pg_monitor', true) from pg_settings where name = 'role'",
	'set_config by EXECUTE': ["prepare s (text) as select set_config($1, 'pg_monitor', true)", "execute s ('role')"],
	row_security: 'set row_security = off',
	'row_security by set_config': "select set_config('row_security', 'off', false)",
	session_replication_role: 'set session_replication_role = replica',
	standard_conforming_strings: 'set standard_conforming_strings = off',
	'standard_conforming_strings by set_config': "select set_config('standard_conforming_strings', 'off', false)",
	'standard_conforming_strings LOCAL': ['begin', 'set local standard_conforming_strings to off', 'rollback'],
	'standard_conforming_strings as FALSE': 'set standard_conforming_strings = false',
	backslash_quote: 'set backslash_quote = on',
	client_encoding: "set client_encoding = 'LATIN1'",
	'client_encoding by SET NAMES': "set names 'SJIS'",
	'client_encoding by set_config': "select set_config('client_encoding', 'BIG5', false)",
	'client_encoding by a name that looks like another': "set client_encoding = 'GB18030'",
	session_preload_libraries: "set session_preload_libraries = 'auto_explain'",
	local_preload_libraries: "set local_preload_libraries = 'auto_explain'",
	dynamic_library_path: "set dynamic_library_path = '/tmp'",
	'a setting of an extension': 'set auto_explain.log_min_duration = 0',
	debug_print_plan: 'set debug_print_plan = on',
	log_statement: "set log_statement = 'none'",
	log_min_messages: "set log_min_messages = 'panic'",
	log_min_error_statement: "set log_min_error_statement = 'panic'",
	log_duration: 'set log_duration = off',
	lo_compat_privileges: 'set lo_compat_privileges = on',
	allow_system_table_mods: 'set allow_system_table_mods = on',
	zero_damaged_pages: 'set zero_damaged_pages = on',
	ignore_checksum_failure: 'set ignore_checksum_failure = on',
	transform_null_equals: 'set transform_null_equals = on',
	'client_min_messages to debug': 'set client_min_messages = debug5',
	'client_min_messages to log': "select set_config('client_min_messages', 'log', false)",
	'a setting by UPDATE of pg_settings':
		"update pg_settings set setting = 'off' where name = 'standard_conforming_strings'",
	'ALTER ROLE SET': ['begin', "alter role current_user set role = 'pg_monitor'", 'rollback'],
	'ALTER ROLE IN DATABASE SET': ['begin', 'alter role all set row_security = off', 'rollback'],
	'ALTER SYSTEM': 'alter system reset deadlock_timeout',
	'a function with SET': [
		'begin',
		"create function lab.g() returns int language sql set row_security = off as 'select 1'",
		'rollback',
	],
	'SET in a batch': 'select 1; set role pg_monitor',
	'SET SESSION CHARACTERISTICS is harmless, SET ROLE after it is not': [
		'set session characteristics as transaction read only',
		'set role pg_monitor',
	],
}).map((attack) => ({
	...attack,
	bare: harmlessThere[attack.name] ?? null,
	protocols: attack.name === 'SET in a batch' ? (['simple'] as const) : attack.protocols,
}));

const plainThere: Readonly<Record<string, string>> = {
	'a comment that ends early': 'the comment is not closed',
	'a byte order mark': 'the server does not take it',
	'no-break spaces': 'it is no white space to the server',
};

const states = attacks('session', 'no-secret', {
	'SET ROLE and a read': ['set role pg_read_all_data', 'select ssn from app.people'],
	'RESET ALL and a read': ['reset all', 'select ssn from app.people'],
	'DISCARD ALL and a read': ['discard all', 'select ssn from app.people'],
	'DISCARD PLANS and EXECUTE': ['prepare q as select ssn from app.people', 'discard plans', 'execute q'],
	'DEALLOCATE ALL and a new statement of the same name': [
		'prepare q as select id from app.depts',
		'deallocate all',
		'prepare q as select ssn from app.people',
		'execute q',
	],
	'DEALLOCATE and PREPARE of the same name in one transaction that fails': [
		'prepare q as select id from app.depts',
		'begin',
		'deallocate q',
		'prepare q as select ssn from app.people',
		'rollback',
		'execute q',
	],
	'a cursor that outlives its transaction': [
		'begin',
		'declare c cursor with hold for select ssn from app.people',
		'commit',
		'fetch all c',
	],
	'a transaction snapshot of another': [
		'begin isolation level repeatable read',
		"set transaction snapshot '00000003-0000001B-1'",
		'rollback',
		'select ssn from app.people',
	],
	'enable_* and work_mem move a plan, not a mask': [
		'set enable_seqscan = off',
		'set work_mem = 64',
		'select ssn from app.people',
	],
	'a parallel plan': ["set debug_parallel_query = 'regress'", 'select ssn, name from app.people'],
	'another output format': [
		"set bytea_output = 'escape'",
		"set datestyle = 'German'",
		'select photo, born from app.people',
		'select born from app.people',
	],
	'another interval and float format': [
		'set extra_float_digits = 3',
		'select salary::float8, bonus::float8 from app.people',
	],
	plan_cache_mode: [
		'set plan_cache_mode = force_generic_plan',
		'prepare q (int) as select ssn from app.people where id = $1',
		'execute q (1)',
	],
	'temp_tablespaces and others': ['set default_transaction_read_only = on', 'select ssn from app.people'],
	'application_name with a statement in it': [
		"set application_name = 'x''; select ssn from app.people; --'",
		'select ssn from app.people',
	],
	'a comment that ends early': 'select 1 /* /* */ ; select ssn from app.people /* */ */',
	'a string with a backslash before its end': "select 'a\\' as x, ssn from app.people --'",
	'an escape string that hides a quote': "select e'\\'' as x, ssn as y from app.people --'",
	'dollar quotes': 'select $a$ ; $b$ $a$ as x, ssn from app.people',
	'dollar quotes with a parameter in front': 'select 1 as a$b$c, ssn from app.people',
	'Unicode strings': `select U&'\\0061' as x, ssn from app.people`,
	'adjacent strings': "select 'a'\n'b' as x, ssn from app.people",
	'operators that look like comments': 'select 1 --1\n, ssn from app.people',
	'operators next to a comment': 'select 5*/**/2 as x, ssn from app.people',
	'a psql variable that is none': 'select ssn as ":x" from app.people',
	'hexadecimal and underscores': 'select 0x1F as x, 1_000 as y, ssn from app.people',
	'a byte order mark': '\ufeffselect ssn from app.people',
	'no-break spaces': 'select\u00a0ssn from app.people',
	'an identifier with dollar and Unicode': 'select ssn as näme$1 from app.people',
}).map((attack) => ({ ...attack, bare: plainThere[attack.name] ?? null }));

/** Signs in with the parameters and runs what would give the secret then; everything received is searched. */
function withStartup(params: Record<string, string>, sql: string, protocol: 'simple' | 'extended' = 'simple') {
	return async (client: RawClient, _world: unknown, target: Target): Promise<void> => {
		try {
			await client.signIn(target, params);
		} catch (error) {
			if (error instanceof ServerError) return;
			throw error;
		}
		await client.run(sql, { protocol });
	};
}

const noStartup: Readonly<Record<string, string>> = {
	'options set session_authorization': 'the server refuses the parameter',
	'options load a library': 'the server may have no such library',
	'options with switches of the server': 'the server may refuse the switch',
	'replication=true': 'it tells nothing of tables',
	'replication as 1': 'it tells nothing of tables',
	'a parameter sets strings': 'the quotes mean something else there',
	'options set strings': 'the quotes mean something else there',
	'options with escapes': 'the server refuses the name',
	'a database of another name': 'there is no such database',
	'another user in the startup packet twice': 'the password belongs to the other',
};

const startups = conversations(
	'session',
	'no-secret',
	{
		'options set a role': withStartup({ options: '-c role=pg_read_all_data' }, 'select ssn from app.people'),
		'options set session_authorization': withStartup(
			{ options: '-c session_authorization=postgres' },
			'select ssn from app.people',
		),
		'options set strings': withStartup(
			{ options: '-c standard_conforming_strings=off' },
			"select 'a\\' as x, ssn from app.people --'",
		),
		'a parameter sets strings': withStartup(
			{ standard_conforming_strings: 'off' },
			"select 'a\\', ssn from app.people where name <> ' or true --'",
		),
		'a parameter sets a role': withStartup({ role: 'pg_read_all_data' }, 'select ssn from app.people'),
		'a parameter sets the encoding': withStartup({ client_encoding: 'LATIN1' }, 'select ssn from app.people'),
		'a parameter sets the encoding to SJIS': withStartup({ client_encoding: 'SJIS' }, 'select ssn from app.people'),
		'options in the short form': withStartup(
			{ options: '-crow_security=off -cclient_encoding=SJIS' },
			'select ssn from app.people',
		),
		'options with escapes': withStartup(
			{ options: '-c search\\_path=a\\ pp -c search_path=app' },
			'select ssn from people',
		),
		'options with switches of the server': withStartup({ options: '-d 5 -P -O' }, 'select ssn from app.people'),
		'options log at the client': withStartup(
			{ options: '-c client_min_messages=log -c log_statement=all -c log_min_duration_statement=0' },
			'select ssn from app.people',
		),
		'options load a library': withStartup(
			{ options: '-c session_preload_libraries=auto_explain' },
			'select ssn from app.people',
		),
		'an option twice': withStartup({ options: '-c search_path=lab -c search_path=app' }, 'select ssn from people'),
		'replication=database': withStartup({ replication: 'database' }, 'select ssn from app.people'),
		'replication=true': withStartup({ replication: 'true' }, 'IDENTIFY_SYSTEM'),
		'replication=database and BASE_BACKUP': withStartup(
			{ replication: 'database' },
			"BASE_BACKUP (LABEL 'x', CHECKPOINT 'fast')",
		),
		'replication as 1': withStartup({ replication: '1' }, 'TIMELINE_HISTORY 1'),
		'an unknown option of the protocol': withStartup({ '_pq_.something': 'on' }, 'select ssn from app.people'),
		'application_name carries SQL': withStartup(
			{ application_name: "'; select ssn from app.people; --" },
			'select ssn from app.people',
		),
		'a database of another name': async (client, world, target) => {
			const failed: unknown = await client
				.signIn({ ...target, database: `postgres${world.own.id}` })
				.catch((error: unknown) => error);
			if (!(failed instanceof ServerError)) throw new Error('signed in to a database that is not there');
		},
		'another user in the startup packet twice': async (client, _world, target) => {
			client.send(
				encodeStartupMessage(0x0003_0000, [
					['user', target.user],
					['user', 'postgres'],
					['database', target.database],
					['database', target.database],
				]),
			);
			await client.next();
			client.destroy();
		},
	},
	{ unsigned: true },
).map((attack) => ({ ...attack, bare: noStartup[attack.name] ?? null }));

export const session: readonly AttackCase[] = [...refused, ...states, ...startups];
