/**
 * A stand-in for Citus, which none of the package sources has: its catalogue and functions by their public names and signatures, on a
 * plain PostgreSQL. Those that run a text run it here; shards are real tables. It distributes nothing, and its plans are PostgreSQL's.
 */

/** Text of a setup by a superuser. */
export const citusStandIn = `
set allow_system_table_mods = on;
create schema citus; create schema citus_internal; create schema columnar; create schema columnar_internal;
grant usage on schema citus, citus_internal, columnar, columnar_internal to public;
create type citus.distribution_type as enum ('hash', 'range', 'append');
create sequence pg_catalog.pg_dist_shardid_seq minvalue 102008;
create table pg_catalog.pg_dist_partition (logicalrelid regclass not null, partmethod "char" not null, partkey text,
	colocationid integer not null default 0, repmodel "char" not null default 's', autoconverted boolean not null default false);
create table pg_catalog.pg_dist_shard (logicalrelid regclass not null, shardid int8 not null, shardstorage "char" not null,
	shardminvalue text, shardmaxvalue text);
create table pg_catalog.pg_dist_placement (placementid bigint, shardid bigint, shardstate int, shardlength bigint, groupid int);
create table pg_catalog.pg_dist_node (nodeid int, groupid int, nodename text, nodeport int);
create table pg_catalog.pg_dist_authinfo (nodeid int, rolename name, authinfo text);
create view pg_catalog.citus_tables as select logicalrelid as table_name, partkey as distribution_column from pg_dist_partition;
create view pg_catalog.citus_shards as select logicalrelid as table_name, shardid from pg_dist_shard;
create function pg_catalog.citus_stat_activity() returns setof pg_stat_activity language sql security definer
	as 'select * from pg_stat_activity';
create view pg_catalog.citus_stat_activity as select * from pg_catalog.citus_stat_activity();
create view pg_catalog.citus_dist_stat_activity as select * from pg_catalog.citus_stat_activity();
create view pg_catalog.citus_lock_waits as
	select pid as waiting_gpid, query as blocked_statement from pg_catalog.citus_stat_activity();
create view pg_catalog.citus_stat_statements as select query from pg_catalog.citus_stat_activity();
create table columnar_internal.chunk (storage_id bigint, stripe_num bigint, attr_num int, minimum_value bytea, maximum_value bytea);
create view columnar.chunk as select * from columnar_internal.chunk;
grant select on all tables in schema columnar, columnar_internal to public;
grant select on pg_catalog.pg_dist_partition, pg_catalog.pg_dist_shard, pg_catalog.pg_dist_placement, pg_catalog.pg_dist_node,
	pg_catalog.pg_dist_authinfo, pg_catalog.citus_tables, pg_catalog.citus_shards, pg_catalog.citus_stat_activity,
	pg_catalog.citus_dist_stat_activity, pg_catalog.citus_lock_waits, pg_catalog.citus_stat_statements to public;

${runners([
	'pg_catalog.run_command_on_workers(command text, parallel bool default true)',
	'pg_catalog.run_command_on_coordinator(command text, give_warning bool default false)',
	'pg_catalog.run_command_on_all_nodes(command text, parallel bool default true, give_warning bool default false)',
	'pg_catalog.run_command_on_shards(table_name regclass, command text, parallel bool default true)',
	'pg_catalog.run_command_on_placements(table_name regclass, command text, parallel bool default true)',
	'pg_catalog.run_command_on_colocated_placements(t1 regclass, t2 regclass, command text, parallel bool default true)',
	'pg_catalog.master_run_on_worker(worker_name text[], port integer[], command text, parallel bool)',
	'pg_catalog.worker_apply_shard_ddl_command(bigint, command text)',
	'pg_catalog.worker_create_or_replace_object(command text)',
	'pg_catalog.worker_save_query_explain_analyze(command text, options jsonb)',
	'pg_catalog.worker_partition_query_result(result_prefix text, command text, partition_column_index int, partition_method citus.distribution_type)',
	'pg_catalog.create_intermediate_result(result_id text, command text)',
	'pg_catalog.broadcast_intermediate_result(result_id text, command text)',
	'citus_internal.execute_command_on_remote_nodes_as_user(command text, username text)',
])}
${others([
	'pg_catalog.read_intermediate_result(result_id text, format text)',
	'pg_catalog.fetch_intermediate_results(result_ids text[], node_host text, node_port int)',
	'pg_catalog.get_all_active_transactions()',
	'pg_catalog.get_global_active_transactions()',
	'pg_catalog.citus_stat_statements_reset()',
	'pg_catalog.master_get_table_ddl_events(table_name text)',
	'pg_catalog.create_reference_table(table_name regclass)',
	'pg_catalog.undistribute_table(table_name regclass, cascade_via_foreign_keys boolean default false)',
	'pg_catalog.alter_distributed_table(table_name regclass, distribution_column text default null, shard_count int default null)',
	'pg_catalog.alter_table_set_access_method(table_name regclass, access_method text)',
	'pg_catalog.alter_columnar_table_set(table_name regclass, chunk_group_row_limit int default null)',
	'pg_catalog.citus_add_node(nodename text, nodeport integer)',
	'pg_catalog.citus_move_shard_placement(shard_id bigint, source_node_id int, target_node_id int)',
	'pg_catalog.citus_drain_node(nodename text, nodeport integer)',
	'pg_catalog.rebalance_table_shards(relation regclass default null)',
	'pg_catalog.get_rebalance_table_shards_plan(relation regclass default null)',
	'pg_catalog.isolate_tenant_to_new_shard(table_name regclass, tenant_id anyelement, cascade_option text default null)',
	'pg_catalog.get_shard_id_for_distribution_column(table_name regclass, distribution_value anyelement)',
	'pg_catalog.citus_backend_gpid()',
	'pg_catalog.citus_table_size(logicalrelid regclass)',
	'citus_internal.add_shard_metadata(relation_id regclass, shard_id bigint)',
])}

create function pg_catalog.create_distributed_table(table_name regclass, distribution_column text,
	distribution_type citus.distribution_type default 'hash', colocate_with text default 'default', shard_count int default null)
returns void language plpgsql security definer as $f$
declare
	schema name; relation name; id bigint; count int := coalesce(shard_count, 2);
begin
	select n.nspname, c.relname into schema, relation from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = table_name;
	insert into pg_dist_partition (logicalrelid, partmethod, partkey, colocationid) values (table_name, 'h', distribution_column, 1);
	for i in 1 .. count loop
		id := nextval('pg_dist_shardid_seq');
		execute format('create table %I.%I (like %s including all)', schema, case
			when octet_length(relation || '_' || id) < 64 then relation || '_' || id
			else left(relation, 63 - 10 - octet_length('_' || id)) || '_' || left(md5(relation), 8) || '_' || id end, table_name);
		execute format('grant all on %I.%I to public', schema, case
			when octet_length(relation || '_' || id) < 64 then relation || '_' || id
			else left(relation, 63 - 10 - octet_length('_' || id)) || '_' || left(md5(relation), 8) || '_' || id end);
		insert into pg_dist_shard values (table_name, id, 't', (-2147483648 + (i - 1) * 1000)::text, (i * 1000)::text);
	end loop;
end $f$;
set allow_system_table_mods = off;
`;

/** Functions that run the text `command`, with the rights of a superuser, and answer its first cell. */
function runners(signatures: readonly string[]): string {
	return signatures
		.map(
			(
				signature,
			) => `create function ${signature} returns table (nodename text, success bool, result text) language plpgsql
				security definer as $f$ begin nodename := 'localhost'; success := true; execute command into result; return next; end $f$;`,
		)
		.join('\n');
}

/** Functions of which only the name matters. */
function others(signatures: readonly string[]): string {
	return signatures
		.map((signature) => `create function ${signature} returns text language sql as $f$ select 'done' $f$;`)
		.join('\n');
}
