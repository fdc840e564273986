/** Which functions an expression of masks.yaml may not call, however harmless: those over several rows, and those that act. */

/** Why a function may not be called, or undefined when it may. `name` is without schema: only pg_catalog's are called. */
export function refusedFunction(name: string, isHarmless: (name: string) => boolean): string | undefined {
	if (rowFunctions.has(name))
		return `function ${name} works over rows or returns several, and an expression has one value`;
	if (ACTS.test(name)) return `function ${name} acts instead of computing`;
	if (!isHarmless(name)) return `function ${name} is not on the list of harmless built-in functions`;
	return undefined;
}

/** Waiting, locking, seeding and taking a transaction id, which a statement may do but a mask has no reason for. */
const ACTS = /^(pg_sleep|pg_advisory_|pg_try_advisory_|setseed$|txid_current$|pg_current_xact_id$)/;

/**
 * Why a call would mean what the session chooses, or undefined: without the name of a configuration, or a dictionary, text search takes the
 * session's default one, and a name without schema is looked for in its search_path. `first`: the first argument where it is a literal.
 */
export function sessionsChoice(name: string, first: string | undefined, count: number): string | undefined {
	if (name === 'get_current_ts_config' || /^ts_match_t[qt]$/.test(name))
		return `function ${name} takes the session's own text search configuration`;
	if (!TEXT_SEARCH.test(name) || (count > 1 && first?.startsWith('pg_catalog.') === true)) return undefined;
	return `function ${name} takes what the session chooses, unless the first argument names it with its schema: ${name}('pg_catalog.simple', ...)`;
}

const TEXT_SEARCH =
	/^((plainto_|phraseto_|websearch_to_|to_)ts(query|vector)|jsonb?_to_tsvector|ts_headline|ts_lexize|ts_parse)$/;

/** Aggregates, window functions and set-returning functions of pg_catalog: pg_proc of PostgreSQL 14 to 18, by name. */
export const rowFunctions: ReadonlySet<string> = new Set(
	`
	aclexplode any_value array_agg avg bit_and bit_or bit_xor bool_and bool_or corr count covar_pop covar_samp
	cume_dist dense_rank every first_value generate_series generate_subscripts json_agg json_agg_strict
	json_array_elements json_array_elements_text json_each json_each_text json_object_agg json_object_agg_strict
	json_object_agg_unique json_object_agg_unique_strict json_object_keys json_populate_recordset json_to_recordset
	jsonb_agg jsonb_agg_strict jsonb_array_elements jsonb_array_elements_text jsonb_each jsonb_each_text
	jsonb_object_agg jsonb_object_agg_strict jsonb_object_agg_unique jsonb_object_agg_unique_strict
	jsonb_object_keys jsonb_path_query jsonb_path_query_tz jsonb_populate_recordset jsonb_to_recordset lag
	last_value lead max min mode nth_value ntile percent_rank percentile_cont percentile_disc
	pg_available_extension_versions pg_available_extensions pg_available_wal_summaries pg_config pg_cursor
	pg_event_trigger_ddl_commands pg_event_trigger_dropped_objects pg_extension_update_paths pg_get_aios
	pg_get_backend_memory_contexts pg_get_catalog_foreign_keys pg_get_keywords pg_get_loaded_modules
	pg_get_multixact_members pg_get_publication_tables pg_get_replication_slots pg_get_shmem_allocations
	pg_get_shmem_allocations_numa pg_get_wait_events pg_get_wal_resource_managers pg_hba_file_rules
	pg_ident_file_mappings pg_listening_channels pg_lock_status pg_logical_slot_get_binary_changes
	pg_logical_slot_get_changes pg_logical_slot_peek_binary_changes pg_logical_slot_peek_changes
	pg_ls_archive_statusdir pg_ls_dir pg_ls_logdir pg_ls_logicalmapdir pg_ls_logicalsnapdir pg_ls_replslotdir
	pg_ls_summariesdir pg_ls_tmpdir pg_ls_waldir pg_mcv_list_items pg_options_to_table pg_partition_ancestors
	pg_partition_tree pg_prepared_statement pg_prepared_xact pg_show_all_file_settings pg_show_all_settings
	pg_show_replication_origin_status pg_snapshot_xip pg_stat_get_activity pg_stat_get_backend_idset
	pg_stat_get_backend_io pg_stat_get_io pg_stat_get_progress_info pg_stat_get_recovery_prefetch
	pg_stat_get_replication_slot pg_stat_get_slru pg_stat_get_subscription pg_stat_get_wal_senders pg_stop_backup
	pg_tablespace_databases pg_timezone_abbrevs pg_timezone_abbrevs_abbrevs pg_timezone_abbrevs_zone
	pg_timezone_names pg_wal_summary_contents range_agg range_intersect_agg rank regexp_matches
	regexp_split_to_table regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy
	regr_syy row_number stddev stddev_pop stddev_samp string_agg string_to_table sum ts_debug ts_parse ts_stat
	ts_token_type txid_snapshot_xip unnest var_pop var_samp variance xmlagg
	`
		.trim()
		.split(/\s+/),
);
