/** Shards of Citus belong to the table that they are of, as partitions do, for a load and for what only one session sees. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadRelations, overlay } from '../../src/catalog/overlay.ts';
import type { CatalogSnapshot } from '../../src/catalog/snapshot.ts';
import { citusStandIn } from '../support/citus.ts';
import { createDatabase, type TestDatabase } from '../support/postgres.ts';
import { loadOnce, withSession } from './support.ts';

const long = 'a_name_so_long_that_no_number_of_a_shard_has_room_behind_it';

let database: TestDatabase;
let snapshot: CatalogSnapshot;
beforeAll(async () => {
	database = await createDatabase({
		setup: `${citusStandIn}
			create schema app; create schema other;
			create table app.people (id int, ssn text); create table app.${long} (id int);
			create table app.plain (id int); create table app.plain_1 (id int);
			select create_distributed_table('app.people', 'id'), create_distributed_table('app.${long}', 'id', shard_count := 1);
			create table other.people_102008 (id int); create table app.persons_102008 (id int); create table app.people_7 (id int)`,
	});
	snapshot = await loadOnce(database);
});
afterAll(() => database.drop());

/** Names of the parents of a relation. */
function parentsOf(catalog: CatalogSnapshot, schema: string, name: string): (string | undefined)[] {
	const relation = catalog.relation(schema, name);
	if (relation === undefined) throw new Error(`no ${schema}.${name}`);
	return relation.parents.map((oid) => catalog.relationByOid(oid)?.name);
}

const rows: readonly { readonly schema?: string; readonly name: string; readonly want: readonly string[] }[] = [
	{ name: 'people_102008', want: ['people'] },
	{ name: 'people_102009', want: ['people'] },
	{ name: 'people', want: [] },
	{ name: 'people_7', want: [] },
	{ name: 'plain_1', want: [] },
	{ name: 'persons_102008', want: [] },
	{ schema: 'other', name: 'people_102008', want: [] },
];

describe('shards', () => {
	it.each(rows)('$schema $name belongs to $want', ({ schema = 'app', name, want }) => {
		expect(parentsOf(snapshot, schema, name)).toEqual(want);
	});

	it('are known by their number where the name had to be cut', () => {
		const cut = [...snapshot.relations()].find(({ name }) => name.endsWith('_102010'));
		if (cut === undefined) throw new Error('no such shard');
		expect(cut.name.startsWith(long)).toBe(false);
		expect(parentsOf(snapshot, 'app', cut.name)).toEqual([long]);
	});

	it('are the children of their table', () => {
		const children = snapshot.relation('app', 'people')?.children.map((oid) => snapshot.relationByOid(oid)?.name);
		expect(children?.toSorted()).toEqual(['people_102008', 'people_102009']);
		expect(snapshot.hasShards).toBe(true);
	});

	it('are known as such in the transaction that makes them', async () => {
		await withSession(database, async (session) => {
			await session.query(`begin; select create_distributed_table('app.plain', 'id')`);
			const search = ['plain_102011', 'people_102008'].map((name) => ({ schema: 'app', name }));
			const found = await loadRelations(session, search, true, snapshot.hasShards);
			const seen = overlay(snapshot, found);
			expect(parentsOf(seen, 'app', 'plain_102011')).toEqual(['plain']);
			expect(parentsOf(seen, 'app', 'people_102008')).toEqual(['people']);
			await session.query('rollback');
		});
	});
});

it('a database without Citus is not asked for them', async () => {
	const bare = await createDatabase({ setup: 'create table t (a int); create table t_102008 (a int)' });
	const seen = await loadOnce(bare);
	expect(seen.hasShards).toBe(false);
	expect(parentsOf(seen, 'public', 't_102008')).toEqual([]);
	await bare.drop();
});
