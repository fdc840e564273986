/** CREATE and ALTER PUBLICATION: they choose what logical replication carries, which takes `replicate` to receive. */
import type { Node } from '@pgsql/types';
import { truth } from './expression.ts';
import { mayInSchema, mayOnDatabase, mayOnRelation } from './may.ts';
import { as, type NodeOf } from './nodes.ts';
import { rowScope } from './scope.ts';
import { refuse, type Walk } from './walk.ts';

/** What is carried is carried as it is. Publishing a table may also keep others from changing it (replica identity): `alter` on each. */
export function createPublication(walk: Walk, node: NodeOf<'CreatePublicationStmt'>): void {
	mayOnDatabase(walk, 'replicate', 'CREATE PUBLICATION');
	mayOnDatabase(walk, 'create', 'CREATE PUBLICATION');
	if (node.for_all_tables === true) mayOnDatabase(walk, 'alter', 'CREATE PUBLICATION ... FOR ALL TABLES');
	for (const object of node.pubobjects ?? []) published(walk, object);
	walk.effects.push({ type: 'ddl' });
}

export function alterPublication(walk: Walk, node: NodeOf<'AlterPublicationStmt'>): void {
	mayOnDatabase(walk, 'replicate', 'ALTER PUBLICATION');
	mayOnDatabase(walk, 'alter', 'ALTER PUBLICATION');
	for (const object of node.pubobjects ?? []) published(walk, object);
	walk.effects.push({ type: 'ddl' });
}

function published(walk: Walk, node: Node): void {
	const object = as(node, 'PublicationObjSpec');
	const table = object?.pubtable;
	if (table?.relation !== undefined) {
		const relation = mayOnRelation(walk, table.relation, 'alter', true);
		if (table.whereClause !== undefined)
			truth(table.whereClause, { walk, scope: rowScope(relation), place: 'output', writing: false });
	} else if (object?.pubobjtype === 'PUBLICATIONOBJ_TABLES_IN_SCHEMA')
		mayInSchema(walk, object.name ?? '', 'alter', 'publishing the tables');
	else throw refuse(walk, 'a publication of tables in what is the schema by then', undefined, 'Name the schema.');
}
