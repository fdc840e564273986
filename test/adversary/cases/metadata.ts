/** Attacks on metadata that carries data: statistics, activity of others, passwords, files, sequences. */
import { type AttackCase, attacks, probes } from '../case.ts';
import { otherTenant, peopleCount } from '../guesses.ts';

const statistics = attacks('metadata', 'no-secret', {
	pg_stats: "select * from pg_stats where tablename = 'people'",
	'pg_stats, most common values': 'select most_common_vals::text from pg_stats',
	'pg_stats, histogram': 'select histogram_bounds::text from pg_stats',
	'pg_stats through a view of the catalogue':
		'select s.histogram_bounds from pg_catalog.pg_stats s join pg_class c on c.relname = s.tablename',
	'pg_stats as JSON': 'select row_to_json(s) from pg_stats s',
	'pg_stats in a sublink': "select (select string_agg(histogram_bounds::text, ' ') from pg_stats)",
	'pg_stats in a CTE': 'with s as (table pg_stats) select histogram_bounds from s',
	pg_statistic:
		"select stavalues1, stavalues2, stavalues3 from pg_statistic where starelid = 'app.people'::regclass and staattnum in (3, 4, 5)",
	'pg_statistic as text': 'select s::text from pg_statistic s',
	pg_stats_ext: 'select most_common_vals from pg_stats_ext',
	pg_stats_ext_exprs: 'select histogram_bounds::text from pg_stats_ext_exprs',
	pg_statistic_ext_data: 'select stxdmcv::text from pg_statistic_ext_data',
	'pg_statistic_ext_data as bytes': 'select stxdmcv::bytea from pg_statistic_ext_data',
	'pg_stats by COPY': 'copy (select histogram_bounds from pg_stats) to stdout',
	'pg_stats in a new view': [
		'begin',
		'create temp view v as select histogram_bounds::text from pg_stats',
		'table v',
		'rollback',
	],
	'pg_stats in EXPLAIN ANALYZE': [
		'begin',
		'explain (analyze, verbose) create temp table t as select histogram_bounds::text from pg_stats',
		'table t',
		'rollback',
	],
	attmissingval: 'select attmissingval from pg_attribute where attmissingval is not null',
	'attmissingval as text': 'select a::text from pg_attribute a where atthasmissing',
	'a sequence in pg_sequences': "select last_value::text from pg_sequences where sequencename = 'invoice_seq'",
	'a sequence in a whole row': 'select s::text from pg_sequences s',
});

const activity = attacks('metadata', 'no-secret', {
	pg_stat_activity: 'select query from pg_stat_activity',
	'pg_stat_activity, whole rows': 'select a from pg_stat_activity a',
	'pg_stat_activity as JSON': 'select to_jsonb(a) from pg_stat_activity a',
	pg_stat_get_activity: 'select * from pg_stat_get_activity(null)',
	pg_stat_get_backend_activity: 'select pg_stat_get_backend_activity(n) from pg_stat_get_backend_idset() n',
	'pg_stat_activity in a join': 'select l.mode, a.query from pg_locks l full join pg_stat_activity a using (pid)',
	'pg_stat_activity in a view of the own': [
		'begin',
		'create temp view v as select query from pg_stat_activity',
		'table v',
		'rollback',
	],
	pg_stat_statements: 'select query from pg_stat_statements',
}).map((attack) => (attack.name === 'pg_stat_statements' ? { ...attack, bare: 'the extension is not there' } : attack));

const passwords = attacks('metadata', 'no-secret', {
	pg_authid: 'select rolname, rolpassword from pg_authid',
	'pg_authid, whole rows': 'table pg_authid',
	'pg_authid through a cast': 'select a::text from pg_authid a',
	pg_shadow: 'select * from pg_shadow',
	pg_user_mapping: 'select umoptions from pg_user_mapping',
	pg_user_mappings: 'select umoptions from pg_user_mappings',
	'user_mapping_options of information_schema': 'select option_value from information_schema.user_mapping_options',
	'_pg_user_mappings of information_schema': 'select umoptions from information_schema._pg_user_mappings',
	pg_subscription: 'select subconninfo from pg_subscription',
	'pg_subscription as JSON': 'select to_jsonb(s) from pg_subscription s',
	pg_largeobject: "select convert_from(data, 'UTF8') from pg_largeobject",
	'pg_largeobject in COPY': 'copy (select data from pg_largeobject) to stdout',
});

const neverThere: Readonly<Record<string, string>> = {
	'UPDATE of pg_authid': 'there is no such role',
};

const refused = attacks('metadata', 'denied', {
	'COPY of pg_authid': 'copy pg_authid to stdout',
	'COPY of pg_statistic': 'copy pg_statistic (starelid) to stdout',
	'COPY of pg_largeobject': 'copy pg_largeobject to stdout',
	'COPY of pg_user_mapping': 'copy pg_user_mapping to stdout',
	pg_hba_file_rules: 'select * from pg_hba_file_rules',
	pg_file_settings: 'select * from pg_file_settings',
	pg_ident_file_mappings: 'select * from pg_ident_file_mappings',
	pg_backend_memory_contexts: 'select * from pg_backend_memory_contexts',
	'pg_config of the server': 'select * from pg_config',
	'UPDATE of pg_class': ['begin', "update pg_class set relname = 'x' where relname = 'nothing'", 'rollback'],
	'DELETE from pg_statistic': ['begin', 'delete from pg_statistic where false', 'rollback'],
	'INSERT into a catalogue': ['begin', "insert into pg_description values (0, 0, 0, 'x')", 'rollback'],
	'UPDATE of pg_authid': ['begin', "update pg_authid set rolsuper = true where rolname = 'nobody'", 'rollback'],
	'DELETE from a catalogue': ['begin', 'delete from pg_depend where false', 'rollback'],
	'LOCK of a catalogue': ['begin', 'lock table pg_class in access exclusive mode', 'rollback'],
	'a reload of the server': 'select pg_reload_conf()',
	'ALTER SYSTEM': 'alter system reset authentication_timeout',
	CHECKPOINT: 'checkpoint',
	LOAD: "load 'auto_explain'",
}).map((attack) => ({ ...attack, bare: neverThere[attack.name] ?? null }));

const counts = probes('metadata', {
	'reltuples counts hidden rows': {
		guesses: peopleCount,
		sql: (g) => `select reltuples = ${g} from pg_class where oid = 'app.people'::regclass`,
	},
	'n_live_tup counts hidden rows': {
		guesses: peopleCount,
		sql: (g) => `select n_tup_ins = ${g} from pg_stat_all_tables where relid = 'app.people'::regclass`,
	},
	'pg_stat_get_live_tuples counts hidden rows': {
		guesses: peopleCount,
		sql: (g) => `select pg_stat_get_tuples_inserted('app.people'::regclass) = ${g}`,
	},
	'pg_stats knows tenants': {
		guesses: otherTenant,
		sql: (g) => `select count(*) from pg_stats where tablename = 'people' and most_common_vals::text like '%${g}%'`,
	},
	'n_distinct and null_frac': {
		guesses: () => ({ right: '3', wrong: '4' }),
		sql: (g) =>
			`select count(*) from pg_stats where tablename = 'people' and attname = 'tenant' and n_distinct in (${g}, -${g} / 14.0)`,
	},
	'pg_class of an index': {
		guesses: peopleCount,
		sql: (g) => `select reltuples = ${g} from pg_class where relname = 'people_pkey'`,
	},
	'pg_stat_user_tables in a view of the own': {
		guesses: peopleCount,
		sql: (g) => [
			'begin',
			'create temp view v as select n_tup_ins from pg_stat_user_tables',
			`select count(*) from v where n_tup_ins = ${g}`,
			'rollback',
		],
	},
});

export const metadata: readonly AttackCase[] = [...statistics, ...activity, ...passwords, ...refused, ...counts];
