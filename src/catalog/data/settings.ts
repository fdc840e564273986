/** The settings of PostgreSQL 14 to 18 that a session may change: harmless ones by name, and why others are refused. */

/** Names in lower case, separated by white space. Harmless whatever the value: they change plans, limits or formats. */
export const harmlessSettings = `
	application_name backend_flush_after bytea_output check_function_bodies client_connection_check_interval
	commit_siblings constraint_exclusion cpu_index_tuple_cost cpu_operator_cost cpu_tuple_cost cursor_tuple_fraction
	datestyle debug_parallel_query default_statistics_target default_table_access_method default_tablespace
	default_text_search_config default_toast_compression default_transaction_deferrable default_transaction_isolation
	default_transaction_read_only default_with_oids effective_cache_size effective_io_concurrency enable_async_append
	enable_bitmapscan enable_distinct_reordering enable_gathermerge enable_group_by_reordering enable_hashagg
	enable_hashjoin enable_incremental_sort enable_indexonlyscan enable_indexscan enable_material enable_memoize
	enable_mergejoin enable_nestloop enable_parallel_append enable_parallel_hash enable_partition_pruning
	enable_partitionwise_aggregate enable_partitionwise_join enable_presorted_aggregate enable_self_join_elimination
	enable_seqscan enable_sort enable_tidscan escape_string_warning exit_on_error extra_float_digits file_copy_method
	force_parallel_mode from_collapse_limit geqo geqo_effort geqo_generations geqo_pool_size geqo_seed
	geqo_selection_bias geqo_threshold gin_fuzzy_search_limit gin_pending_list_limit hash_mem_multiplier
	idle_in_transaction_session_timeout idle_session_timeout intervalstyle io_combine_limit jit jit_above_cost
	jit_expressions jit_inline_above_cost jit_optimize_above_cost jit_tuple_deforming join_collapse_limit lc_monetary
	lc_numeric lc_time lock_timeout logical_decoding_work_mem maintenance_io_concurrency maintenance_work_mem
	max_parallel_maintenance_workers max_parallel_workers max_parallel_workers_per_gather md5_password_warnings
	min_parallel_index_scan_size min_parallel_table_scan_size parallel_leader_participation parallel_setup_cost
	parallel_tuple_cost plan_cache_mode quote_all_identifiers random_page_cost recursive_worktable_factor
	restrict_nonsystem_relation_kind search_path seed seq_page_cost statement_timeout stats_fetch_consistency
	synchronize_seqscans synchronous_commit tcp_keepalives_count tcp_keepalives_idle tcp_keepalives_interval
	tcp_user_timeout temp_buffers temp_tablespaces timezone_abbreviations transaction_deferrable
	transaction_isolation transaction_read_only transaction_timeout vacuum_buffer_usage_limit vacuum_cost_delay
	vacuum_cost_limit vacuum_cost_page_dirty vacuum_cost_page_hit vacuum_cost_page_miss vacuum_failsafe_age
	vacuum_freeze_min_age vacuum_freeze_table_age vacuum_max_eager_freeze_failure_rate
	vacuum_multixact_failsafe_age vacuum_multixact_freeze_min_age vacuum_multixact_freeze_table_age vacuum_truncate
	wal_sender_timeout wal_skip_threshold work_mem xmlbinary xmloption
	hnsw.ef_search hnsw.iterative_scan hnsw.max_scan_tuples hnsw.scan_mem_multiplier ivfflat.iterative_scan
	ivfflat.max_probes ivfflat.probes pg_trgm.similarity_threshold pg_trgm.strict_word_similarity_threshold
	pg_trgm.word_similarity_threshold plperl.use_strict
	citus.enable_repartition_joins citus.executor_slow_start_interval citus.explain_all_tasks
	citus.force_max_query_parallelization citus.local_table_join_policy citus.max_adaptive_executor_pool_size
	citus.multi_shard_modify_mode citus.shard_count citus.task_assignment_policy`;

/** Harmless with these values only (lower case), and where they go back to what the session began with. */
export const harmlessValues: Readonly<
	Record<
		string,
		{
			readonly values: readonly string[];
			readonly reason: string;
			readonly grantable?: true;
			readonly unrestricted?: true;
		}
	>
> = {
	client_min_messages: {
		unrestricted: true,
		values: ['info', 'notice', 'warning', 'error'],
		reason: "it sends the server's log messages, plans and statements among them, to the client",
	},
	row_security: {
		grantable: true,
		values: ['on', 'true', 'tru', 'tr', 't', 'yes', 'ye', 'y', '1'],
		reason: 'it decides whether row-level security filters or fails',
	},
	standard_conforming_strings: {
		values: ['on', 'true', 'tru', 'tr', 't', 'yes', 'ye', 'y', '1'],
		reason: 'it changes how string literals are read',
	},
};

const REWRITTEN = 'it sends statements as they were rewritten, with the values of filters, to the client';

/** Never, whatever the policy says: the gateway relies on them. Those of Citus: citus.* of its shared_library_init.c. */
export const refusedSettings: Readonly<Record<string, string>> = {
	role: 'it changes as whom statements run',
	session_authorization: 'it changes as whom statements run',
	is_superuser: 'it tells as whom statements run',
	backslash_quote: 'it changes how string literals are read',
	transform_null_equals: 'it changes what expressions mean, those of masks and filters too',
	array_nulls: 'it changes what literals mean, those of masks and filters too',
	local_preload_libraries: 'it loads code into the server',
	session_preload_libraries: 'it loads code into the server',
	shared_preload_libraries: 'it loads code into the server',
	dynamic_library_path: 'it loads code into the server',
	extension_control_path: 'it loads code into the server',
	// Debian's own, and of its later 15.
	extension_destdir: 'it loads code into the server',
	output_plugin_libraries: 'it loads code into the server',
	jit_provider: 'it loads code into the server',
	session_replication_role: 'it switches off triggers, rules and foreign keys',
	allow_system_table_mods: 'it lets the system catalogues be changed',
	lo_compat_privileges: 'it switches off the privileges of large objects',
	debug_print_parse: 'it logs statements with their values',
	debug_print_rewritten: 'it logs statements with their values',
	debug_print_plan: 'it logs statements with their values',
	'citus.log_remote_commands': REWRITTEN,
	'citus.log_local_commands': REWRITTEN,
	'citus.grep_remote_commands': REWRITTEN,
	'citus.log_intermediate_results': REWRITTEN,
	'citus.log_multi_join_order': REWRITTEN,
	'citus.multi_task_query_log_level': REWRITTEN,
	'citus.worker_min_messages': "it sends the workers' log messages, statements among them, to the client",
	'citus.enable_manual_changes_to_shards': 'it lets shards be changed past the table that they are of',
	'citus.override_table_visibility': 'it decides which shards a session sees, and the gateway must see the same',
	'citus.show_shards_for_app_name_prefixes':
		'it decides which shards a session sees, and the gateway must see the same',
	'citus.subquery_pushdown': 'it has queries answered wrongly, those that filters are made of too',
};

/** Only where a `set` rule allows it. What is on no list is refused the same way. */
export const grantableSettings: Readonly<Record<string, string>> = {
	createrole_self_grant: 'it decides about roles',
	password_encryption: 'it decides about passwords',
	scram_iterations: 'it decides about passwords',
	debug_logical_replication_streaming: 'it is for testing the server',
	debug_pretty_print: 'it decides what the server logs',
	icu_validation_level: 'it decides what the server logs',
	log_parameter_max_length_on_error: 'it decides what the server logs',
	trace_notify: 'it decides what the server logs',
	trace_sort: 'it decides what the server logs',
};

/** Commands and connection strings of the operator's, which may hold passwords. Names separated by white space. */
export const secretSettings = `
	primary_conninfo ssl_passphrase_command restore_command archive_command archive_cleanup_command recovery_end_command`;

/** Settings of extensions by what stands before the dot: never, since they load code, log values or switch masks off. */
export const refusedPrefixes: Readonly<Record<string, string>> = {
	portcullis: "it is the gateway's own",
	anon: 'it decides about masks',
	auto_explain: 'it logs plans with their values',
	pg_stat_statements: 'it decides what is recorded of statements',
	pgaudit: 'it decides what is recorded of statements',
	plperl: 'it runs code in the server',
	plperlu: 'it runs code in the server',
	plpython3u: 'it runs code in the server',
	pltcl: 'it runs code in the server',
	pltclu: 'it runs code in the server',
	plv8: 'it runs code in the server',
	postgis: 'it lets raster functions read files',
};
