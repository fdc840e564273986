/** Every table and view of pg_catalog and information_schema of PostgreSQL 14 to 18: harmless, masked or refused. */
import type { MaskedRelation } from '../safety.ts';
import { secretSettings } from './settings.ts';

/** Names separated by white space. Definitions, sizes and settings are harmless; so are the server's own totals. */
export const harmlessRelations = {
	pg_catalog: `
		pg_aggregate pg_am pg_amop pg_amproc pg_attrdef pg_auth_members pg_available_extension_versions
		pg_available_extensions pg_cast pg_collation pg_constraint pg_conversion pg_cursors pg_database pg_db_role_setting
		pg_default_acl pg_depend pg_description pg_enum pg_event_trigger pg_extension pg_foreign_data_wrapper
		pg_foreign_server pg_foreign_table pg_group pg_index pg_indexes pg_inherits pg_init_privs pg_language
		pg_largeobject_metadata pg_matviews pg_namespace pg_opclass pg_operator pg_opfamily pg_parameter_acl
		pg_partitioned_table pg_policies pg_policy pg_prepared_xacts pg_proc pg_publication
		pg_publication_namespace pg_publication_rel pg_publication_tables pg_range pg_replication_origin
		pg_replication_slots pg_rewrite pg_roles pg_rules pg_seclabel pg_seclabels pg_sequence pg_shdepend
		pg_shdescription pg_shseclabel pg_stat_archiver pg_stat_bgwriter pg_stat_checkpointer pg_stat_database_conflicts
		pg_stat_progress_analyze pg_stat_recovery_prefetch pg_stat_replication_slots pg_stat_subscription pg_stat_subscription_stats pg_stat_wal
		pg_statistic_ext pg_subscription_rel pg_tables pg_tablespace pg_timezone_abbrevs pg_timezone_names pg_transform
		pg_trigger pg_ts_config pg_ts_config_map pg_ts_dict pg_ts_parser pg_ts_template pg_type pg_user pg_views
		pg_wait_events`,
	information_schema: `
		_pg_foreign_data_wrappers _pg_foreign_servers _pg_foreign_table_columns _pg_foreign_tables
		administrable_role_authorizations applicable_roles attributes character_sets check_constraint_routine_usage
		check_constraints collation_character_set_applicability collations column_column_usage column_domain_usage
		column_options column_privileges column_udt_usage columns constraint_column_usage constraint_table_usage
		data_type_privileges domain_constraints domain_udt_usage domains element_types enabled_roles
		foreign_data_wrapper_options foreign_data_wrappers foreign_server_options foreign_servers foreign_table_options
		foreign_tables information_schema_catalog_name key_column_usage parameters referential_constraints
		role_column_grants role_routine_grants role_table_grants role_udt_grants role_usage_grants routine_column_usage
		routine_privileges routine_routine_usage routine_sequence_usage routine_table_usage routines schemata sequences
		sql_features sql_implementation_info sql_parts sql_sizing table_constraints table_privileges tables transforms
		triggered_update_columns triggers udt_privileges usage_privileges user_defined_types user_mappings
		view_column_usage view_routine_usage view_table_usage views`,
} as const;

interface Refusal {
	/** A clause: "it tells ...". */
	readonly reason: string;
	/** Names separated by white space; those of pg_catalog without schema. */
	readonly relations: string;
}

export const refusedRelations: readonly Refusal[] = [
	{ reason: 'it holds password hashes', relations: 'pg_authid pg_shadow' },
	{
		reason: 'it holds passwords for other servers',
		relations: `pg_user_mapping pg_user_mappings
			information_schema._pg_user_mappings information_schema.user_mapping_options`,
	},
	{
		reason: 'it holds sampled values of columns',
		relations: 'pg_statistic pg_statistic_ext_data pg_stats pg_stats_ext pg_stats_ext_exprs',
	},
	{ reason: 'it holds the contents of large objects', relations: 'pg_largeobject' },
	{
		reason: 'it tells how the server is configured in its files',
		relations: 'pg_hba_file_rules pg_ident_file_mappings pg_file_settings pg_config',
	},
	{
		reason: 'it tells statements and memory of backends',
		relations: 'pg_backend_memory_contexts pg_shmem_allocations pg_shmem_allocations_numa pg_aios',
	},
	{
		reason: 'it tells how replication connects',
		relations: 'pg_stat_wal_receiver pg_replication_origin_status',
	},
	{
		reason: 'it counts rows, also those that a filter hides',
		relations: `pg_stat_xact_all_tables pg_stat_xact_sys_tables pg_stat_xact_user_tables pg_stat_xact_user_functions
			pg_stat_progress_basebackup`,
	},
];

type Mask = Omit<MaskedRelation, 'safe'> & Pick<Refusal, 'relations'>;

/** As src/session/virtual-names.ts begins the names of statements that clients share; a test holds them together. */
export const SHARED_PREFIX = 'portcullis shared ';

const OWN_SESSION = 'pid operator(pg_catalog.=) pg_catalog.pg_backend_pid()';
const NO_BIGINT = 'null::pg_catalog.int8';
const NO_FLOAT = 'null::pg_catalog.float8';

function ownSessionOnly(...columns: readonly string[]): Record<string, string> {
	return Object.fromEntries(columns.map((column) => [column, `case when ${OWN_SESSION} then ${column} end`]));
}

function without(value: string, ...columns: readonly string[]): Record<string, string> {
	return Object.fromEntries(columns.map((column) => [column, value]));
}

const SECRET_NAMES = `'{${secretSettings.trim().split(/\s+/).join(',')}}'::pg_catalog.text[]`;
const ROWS_COUNTED = 'it counts rows, also those that a filter hides';
const BLOCKS_COUNTED = 'it counts block accesses, which tell whether a hidden row exists';

export const maskedRelations: readonly Mask[] = [
	{
		reason: 'it tells statements of other users',
		relations: 'pg_stat_activity',
		columns: ownSessionOnly('query', 'query_id', 'client_addr', 'client_hostname', 'client_port'),
	},
	{
		// With `pool.mode: transaction` a connection has statements of all who were on it: SHARED_PREFIX is how the gateway names them.
		reason: 'it tells statements of other users',
		relations: 'pg_prepared_statements',
		columns: {
			statement: `case when pg_catalog.starts_with(name, '${SHARED_PREFIX}') then ''::pg_catalog.text else statement end`,
		},
	},
	{
		reason: 'it tells who is signed in elsewhere',
		relations: 'pg_stat_ssl pg_stat_gssapi',
		columns: {},
		filter: OWN_SESSION,
	},
	{
		reason: 'it tells where replicas are',
		relations: 'pg_stat_replication',
		columns: {
			client_addr: 'null::pg_catalog.inet',
			client_hostname: 'null::pg_catalog.text',
			client_port: 'null::pg_catalog.int4',
		},
	},
	{
		// Predicate locks are taken on the hidden rows that a serializable transaction passes by.
		reason: 'it tells which rows were touched',
		relations: 'pg_locks',
		columns: { page: 'null::pg_catalog.int4', tuple: 'null::pg_catalog.int2' },
		filter: `mode operator(pg_catalog.<>) 'SIReadLock'::pg_catalog.text`,
	},
	{
		reason: 'it holds a connection string with its password',
		relations: 'pg_subscription',
		columns: { subconninfo: `''::pg_catalog.text` },
	},
	{
		reason: 'it tells commands and connection strings of the operator, which may hold passwords',
		relations: 'pg_settings',
		columns: Object.fromEntries(
			['setting', 'boot_val', 'reset_val'].map((column) => [
				column,
				`case when name operator(pg_catalog.=) any (${SECRET_NAMES}) then ''::pg_catalog.text else ${column} end`,
			]),
		),
	},
	{
		// Exact after ANALYZE where a table is small. -1 is what a table has that was never analysed.
		reason: ROWS_COUNTED,
		relations: 'pg_class',
		columns: { reltuples: `'-1'::pg_catalog.float4` },
	},
	{
		reason: 'it holds the value that old rows have in an added column',
		relations: 'pg_attribute',
		columns: { attmissingval: 'null::pg_catalog.anyarray' },
	},
	{
		reason: 'it tells how far sequences have come',
		relations: 'pg_sequences',
		columns: without(NO_BIGINT, 'last_value'),
	},
	{
		reason: ROWS_COUNTED,
		relations: 'pg_stat_all_tables pg_stat_sys_tables pg_stat_user_tables',
		columns: without(
			NO_BIGINT,
			...['seq_tup_read', 'idx_tup_fetch', 'n_tup_ins', 'n_tup_upd', 'n_tup_del', 'n_tup_hot_upd'],
			...['n_tup_newpage_upd', 'n_live_tup', 'n_dead_tup', 'n_mod_since_analyze', 'n_ins_since_vacuum'],
		),
	},
	{
		// Blocks are no secret: the size of a relation tells of them.
		reason: ROWS_COUNTED,
		relations: `pg_stat_progress_cluster pg_stat_progress_copy pg_stat_progress_create_index
			pg_stat_progress_vacuum`,
		columns: without(
			NO_BIGINT,
			...['heap_blks_vacuumed', 'index_vacuum_count', 'max_dead_tuples', 'num_dead_tuples', 'max_dead_tuple_bytes'],
			...['dead_tuple_bytes', 'num_dead_item_ids', 'tuples_total', 'tuples_done', 'heap_tuples_scanned'],
			...[
				'heap_tuples_written',
				'bytes_processed',
				'bytes_total',
				'tuples_processed',
				'tuples_excluded',
				'tuples_skipped',
			],
		),
	},
	{
		reason: ROWS_COUNTED,
		relations: 'pg_stat_all_indexes pg_stat_sys_indexes pg_stat_user_indexes',
		columns: without(NO_BIGINT, 'idx_tup_read', 'idx_tup_fetch'),
	},
	{
		reason: ROWS_COUNTED,
		relations: 'pg_stat_user_functions',
		columns: { ...without(NO_BIGINT, 'calls'), ...without(NO_FLOAT, 'total_time', 'self_time') },
	},
	{
		reason: ROWS_COUNTED,
		relations: 'pg_stat_database',
		columns: {
			...without(NO_BIGINT, 'blks_read', 'blks_hit', 'tup_returned', 'tup_fetched'),
			...without(NO_BIGINT, 'tup_inserted', 'tup_updated', 'tup_deleted'),
			...without(NO_FLOAT, 'blk_read_time', 'blk_write_time'),
		},
	},
	{
		reason: BLOCKS_COUNTED,
		relations: 'pg_statio_all_tables pg_statio_sys_tables pg_statio_user_tables',
		columns: without(
			NO_BIGINT,
			...['heap_blks_read', 'heap_blks_hit', 'idx_blks_read', 'idx_blks_hit'],
			...['toast_blks_read', 'toast_blks_hit', 'tidx_blks_read', 'tidx_blks_hit'],
		),
	},
	{
		reason: BLOCKS_COUNTED,
		relations: 'pg_statio_all_indexes pg_statio_sys_indexes pg_statio_user_indexes',
		columns: without(NO_BIGINT, 'idx_blks_read', 'idx_blks_hit'),
	},
	{
		reason: BLOCKS_COUNTED,
		relations: 'pg_statio_all_sequences pg_statio_sys_sequences pg_statio_user_sequences',
		columns: without(NO_BIGINT, 'blks_read', 'blks_hit'),
	},
	{
		reason: BLOCKS_COUNTED,
		relations: 'pg_stat_io',
		columns: {
			...without(NO_BIGINT, 'reads', 'writes', 'writebacks', 'extends', 'hits', 'evictions', 'reuses', 'fsyncs'),
			...without('null::pg_catalog.numeric', 'read_bytes', 'write_bytes', 'extend_bytes'),
			...without(NO_FLOAT, 'read_time', 'write_time', 'writeback_time', 'extend_time', 'fsync_time'),
		},
	},
	{
		reason: BLOCKS_COUNTED,
		relations: 'pg_stat_slru',
		columns: without(
			NO_BIGINT,
			...['blks_zeroed', 'blks_hit', 'blks_read', 'blks_written', 'blks_exists', 'flushes', 'truncates'],
		),
	},
];
