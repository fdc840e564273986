/** Which views of pg_catalog and information_schema tell of columns by their names, or of what is made of columns. */

/**
 * Their definitions are loaded: for whom columns are hidden, they are read through those. With their schemas. Not among them are views that
 * read what only their owner may (pg_authid).
 */
export const viewsOfColumns: readonly string[] = [
	...['pg_catalog.pg_indexes', 'pg_catalog.pg_publication_tables'],
	...[
		...['check_constraints', 'column_column_usage', 'column_domain_usage', 'column_udt_usage', 'columns'],
		...[
			'constraint_column_usage',
			'constraint_table_usage',
			'data_type_privileges',
			'element_types',
			'key_column_usage',
		],
		...['referential_constraints', 'routine_column_usage', 'table_constraints', 'triggered_update_columns', 'triggers'],
		'view_column_usage',
	].map((name) => `information_schema.${name}`),
];
