/** Routines of well-known extensions that do what PostgreSQL's own do only under a rule by name: run SQL text, read files, pages, statements of others. */
import type { RoutineClass } from '../safety.ts';

interface Listed {
	readonly class: RoutineClass;
	/** A clause: "it runs ...". */
	readonly reason: string;
	/** Separated by white space; all overloads. */
	readonly names: string;
}

/** Of contrib of PostgreSQL 14 to 18, PostGIS, pgTAP, pg_cron, pg_background and aws_s3. */
export const extensionRoutines: readonly Listed[] = [
	{
		class: 'sql',
		reason: 'it runs SQL text that it is given, or reads relations that it is told by name',
		names: `
			dblink dblink_connect dblink_connect_u dblink_exec dblink_open dblink_fetch dblink_send_query dblink_get_result
			dblink_build_sql_delete dblink_build_sql_insert dblink_build_sql_update
			crosstab crosstab2 crosstab3 crosstab4 connectby xpath_table
			populate_geometry_columns addgeometrycolumn dropgeometrycolumn dropgeometrytable updategeometrysrid
			st_findextent find_extent lockrow
			schedule schedule_in_database alter_job pg_background_launch query_export_to_s3 table_import_from_s3
			results_eq results_ne set_eq set_ne set_has set_hasnt bag_eq bag_ne bag_has bag_hasnt is_empty isnt_empty row_eq
			throws_ok throws_like throws_ilike throws_matching throws_imatching lives_ok performs_ok performs_within`,
	},
	{ class: 'files', reason: 'it reads files of the server', names: 'xslt_process' },
	{
		class: 'sessions',
		reason: "it tells of other sessions' statements and rows",
		names: 'pg_stat_statements pgrowlocks',
	},
	{
		class: 'statistics',
		reason: 'it tells sampled values of columns, or counts rows',
		names: `
			pgstattuple pgstattuple_approx pgstatindex pgstatginindex pgstathashindex pg_relpages
			st_estimatedextent estimated_extent _postgis_stats _postgis_selectivity _postgis_join_selectivity _postgis_index_extent
			pg_visibility pg_visibility_map pg_visibility_map_summary`,
	},
	{
		class: 'replication',
		reason: 'it shows stored pages or the write-ahead log',
		names: `
			get_raw_page bt_metap bt_page_stats bt_multi_page_stats bt_page_items
			pg_get_wal_record_info pg_get_wal_records_info pg_get_wal_block_info
			pg_get_logical_snapshot_info pg_get_logical_snapshot_meta`,
	},
	{
		class: 'admin',
		reason: 'it changes what is stored, past all checks',
		names: 'heap_force_kill heap_force_freeze pg_truncate_visibility_map pg_stat_statements_reset',
	},
];
