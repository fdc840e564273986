/** System relations: every one of every supported version is classified, and the masks do what they say on a live server. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { maskedRelations } from '../../src/catalog/data/relations.ts';
import { needsNamedRule, relationSafety } from '../../src/catalog/relation-safety.ts';
import type { CatalogSnapshot, Relation } from '../../src/catalog/snapshot.ts';
import { createDatabase, startPostgres, type TestDatabase } from '../support/postgres.ts';
import { readLists } from './lists.ts';
import { loadOnce, otherVersions, withSession } from './support.ts';

function verdictOf(path: string): string {
	const [schema = '', name = ''] = path.split('.');
	const verdict = relationSafety(schema, name);
	if (verdict.safe === true) return 'harmless';
	return verdict.safe === 'masked'
		? 'masked'
		: verdict.reason.endsWith('known to be harmless')
			? 'unlisted'
			: 'refused';
}

describe('verdicts', () => {
	const relations: Record<string, string[]> = {
		harmless: [
			...[
				'pg_catalog.pg_namespace',
				'pg_catalog.pg_type',
				'pg_catalog.pg_roles',
				'pg_catalog.pg_user',
				'pg_catalog.pg_tablespace',
			],
			...['information_schema.columns', 'information_schema.tables', 'pg_catalog.pg_index', 'pg_catalog.pg_constraint'],
			...['pg_catalog.pg_proc', 'pg_catalog.pg_database', 'pg_catalog.pg_description', 'pg_catalog.pg_seclabel'],
			...['pg_catalog.pg_cursors', 'pg_catalog.pg_replication_slots'],
		],
		masked: [
			...[
				'pg_catalog.pg_stat_activity',
				'pg_catalog.pg_subscription',
				'pg_catalog.pg_sequences',
				'pg_catalog.pg_locks',
				'pg_catalog.pg_prepared_statements',
			],
			...['pg_catalog.pg_stat_progress_copy', 'pg_catalog.pg_stat_progress_vacuum', 'pg_catalog.pg_stat_io'],
			...['pg_catalog.pg_stat_user_tables', 'pg_catalog.pg_class', 'pg_catalog.pg_stat_ssl', 'pg_catalog.pg_attribute'],
		],
		refused: [
			...['pg_catalog.pg_authid', 'pg_catalog.pg_shadow', 'pg_catalog.pg_user_mapping', 'pg_catalog.pg_user_mappings'],
			...['information_schema.user_mapping_options', 'information_schema._pg_user_mappings', 'pg_catalog.pg_statistic'],
			...[
				'pg_catalog.pg_stats',
				'pg_catalog.pg_stats_ext',
				'pg_catalog.pg_stats_ext_exprs',
				'pg_catalog.pg_statistic_ext_data',
			],
			...[
				'pg_catalog.pg_largeobject',
				'pg_catalog.pg_hba_file_rules',
				'pg_catalog.pg_file_settings',
				'pg_catalog.pg_aios',
			],
			...[
				'pg_catalog.pg_stat_progress_basebackup',
				'pg_catalog.pg_stat_wal_receiver',
				'pg_catalog.pg_backend_memory_contexts',
			],
		],
		unlisted: [
			...[
				'pg_catalog.pg_not_yet_invented',
				'information_schema.pg_class',
				'pg_catalog.columns',
				'pg_toast.pg_toast_1255',
			],
			...[
				'pg_catalog.PG_CLASS',
				'pg_catalog.toString',
				'pg_catalog.__proto__',
				'public.pg_class',
				'pg_temp_3.pg_class',
			],
		],
	};
	const rows = Object.entries(relations).flatMap(([want, paths]) => paths.map((path) => ({ path, want })));
	it.each(rows)('$path is $want', ({ path, want }) => {
		expect(verdictOf(path)).toBe(want);
	});

	it.each([14, 15, 16, 17, 18])('classify every relation of PostgreSQL %i', (version) => {
		const relations = [...readLists('relations')].filter(([, versions]) => versions.has(version)).map(([name]) => name);
		expect(relations.length).toBeGreaterThan(200);
		expect(relations.filter((path) => verdictOf(path) === 'unlisted')).toEqual([]);
	});

	const named: { name: string; schema?: string; want: boolean }[] = [
		{ name: 'citus_stat_activity', want: true },
		{ name: 'citus_dist_stat_activity', want: true },
		{ name: 'citus_lock_waits', want: true },
		{ name: 'citus_shards', want: false },
		{ name: 'chunk', want: false },
		{ schema: 'columnar_internal', name: 'chunk', want: true },
		{ schema: 'columnar', name: 'chunk', want: true },
		{ name: 'pg_stat_statements', want: true },
		{ name: 'pg_stat_monitor', want: true },
		{ name: 'pg_qualstats_by_query', want: true },
		{ name: 'pg_stat_statements_info', want: false },
		{ name: 'employees', want: false },
	];
	it.each(named)('$schema $name needs a rule that names it: $want', ({ schema = 'any', name, want }) => {
		expect(needsNamedRule(schema, name) !== null).toBe(want);
	});
});

describe.each([undefined, ...otherVersions()])('a live server (%s)', (native) => {
	let database: TestDatabase;
	let snapshot: CatalogSnapshot;
	beforeAll(async () => {
		const server = await startPostgres(native === undefined ? {} : { native });
		database = await createDatabase({
			server,
			setup: 'create table t (id serial primary key, x text); insert into t(x) values (1), (2)',
		});
		snapshot = await loadOnce(database);
	});
	afterAll(() => database.drop());

	/** As the gateway would put it in place of the relation. */
	function maskedQuery(relation: Relation): string {
		const safety = relationSafety(relation.schema, relation.name);
		if (safety.safe !== 'masked') throw new Error(`${relation.name} is not masked`);
		const columns = relation.columns.map(({ name }) => {
			const mask = Object.hasOwn(safety.columns, name) ? safety.columns[name] : undefined;
			return mask === undefined ? name : `${mask} as ${name}`;
		});
		const where = safety.filter === undefined ? '' : ` where ${safety.filter}`;
		return `select ${columns.join(', ')} from ${relation.schema}.${relation.name}${where}`;
	}

	const names = maskedRelations.flatMap(({ relations }) => relations.split(/\s+/).filter((name) => name !== ''));

	it('has no relation that is not on the lists', async () => {
		const open = [...snapshot.relations()]
			.filter(({ schema }) => schema === 'pg_catalog' || schema === 'information_schema')
			.filter(({ kind }) => kind === 'table' || kind === 'view')
			.map(({ schema, name }) => `${schema}.${name}`);
		expect(open.length).toBeGreaterThan(200);
		expect(open.filter((path) => verdictOf(path) === 'unlisted')).toEqual([]);
	});

	it.each(names)('%s keeps its columns and their types when masked', async (name) => {
		const relation = snapshot.relation('pg_catalog', name);
		if (relation === undefined) throw new Error(`no ${name}`);
		const types = relation.columns.map((column) => `pg_typeof(m.${column.name})::oid::int as ${column.name}`);
		const rows = await database.sql(
			`select ${types.join(', ')} from (values (1)) v left join (${maskedQuery(relation)}) m on true limit 1`,
		);
		expect(rows).toEqual([Object.fromEntries(relation.columns.map((column) => [column.name, column.typeOid]))]);
		const safety = relationSafety('pg_catalog', name);
		const masks = safety.safe === 'masked' ? Object.keys(safety.columns) : [];
		if (masks.length > 0) expect(relation.columns.some((column) => masks.includes(column.name))).toBe(true);
	});

	it('masked pg_stat_activity shows the statement of the session that asks and no other', async () => {
		const relation = snapshot.relation('pg_catalog', 'pg_stat_activity');
		if (relation === undefined) throw new Error('no pg_stat_activity');
		await withSession(database, async (other) => {
			await other.query(`select 'secret of another'`);
			const rows = await database.sql(`select query, pid = pg_backend_pid() as own from (${maskedQuery(relation)}) a`);
			expect(rows.filter((row) => row['own'] === true).map((row) => row['query'])).toEqual([
				expect.stringContaining('as own'),
			]);
			expect(rows.filter((row) => row['own'] !== true && row['query'] !== null)).toEqual([]);
			expect(rows.length).toBeGreaterThan(1);
		});
	});

	it('masked pg_stat_activity cannot be fooled by an operator earlier in search_path', async () => {
		const relation = snapshot.relation('pg_catalog', 'pg_stat_activity');
		if (relation === undefined) throw new Error('no pg_stat_activity');
		await database.sql(`
			create schema evil;
			create function evil.yes(integer, integer) returns boolean language sql as 'select true';
			create operator evil.= (leftarg = integer, rightarg = integer, function = evil.yes)`);
		await withSession(database, async (other) => {
			await other.query(`select 'secret of another'`);
			const rows = await database.sql(`
				set search_path = evil, pg_catalog; select query from (${maskedQuery(relation)}) a where query like '%secret of%another%'`);
			expect(rows.every((row) => String(row['query']).includes('from (select'))).toBe(true);
		});
	});

	it('masked pg_sequences does not tell how far a sequence has come', async () => {
		const relation = snapshot.relation('pg_catalog', 'pg_sequences');
		if (relation === undefined) throw new Error('no pg_sequences');
		const last = (from: string) => database.sql(`select last_value from ${from} s where sequencename = 't_id_seq'`);
		expect(await last('pg_sequences')).toEqual([{ last_value: '2' }]);
		expect(await last(`(${maskedQuery(relation)})`)).toEqual([{ last_value: null }]);
	});

	it('masked pg_locks hides which rows a serializable transaction passed by', async () => {
		const relation = snapshot.relation('pg_catalog', 'pg_locks');
		if (relation === undefined) throw new Error('no pg_locks');
		const count = (from: string) => `(select count(*) from ${from} l where mode = 'SIReadLock')`;
		const rows = await database.sql(`
			begin isolation level serializable; select * from t where id = 1;
			select ${count('pg_locks')} > 0 as raw, ${count(`(${maskedQuery(relation)})`)} as masked`);
		expect(rows).toEqual([{ raw: true, masked: '0' }]);
	});
});
