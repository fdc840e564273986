/** CREATE SCHEMA, alone or with what is in it. */
import type { Node } from '@pgsql/types';
import { overlay } from '../catalog/overlay.ts';
import { mayOnDatabase } from './may.ts';
import { type NodeOf, type NodeTag, tagOf } from './nodes.ts';
import { requireSelf, selfName } from './owner.ts';
import { refuse, takeNotes, type Walk } from './walk.ts';

/** The order in which the server makes the elements, whatever order they are written in (transformCreateSchemaStmtElements). */
const ORDER: readonly NodeTag[] = [
	'CreateSeqStmt',
	'CreateStmt',
	'ViewStmt',
	'IndexStmt',
	'CreateTrigStmt',
	'GrantStmt',
];

/** `element`: decides a statement by its class. */
export function createSchema(
	walk: Walk,
	node: NodeOf<'CreateSchemaStmt'>,
	element: (walk: Walk, node: Node) => void,
): void {
	mayOnDatabase(walk, 'create', 'CREATE SCHEMA');
	if (node.authrole !== undefined) requireSelf(walk, node.authrole, 'CREATE SCHEMA ... AUTHORIZATION');
	const schema = node.schemaname ?? selfName(walk);
	elements(walk, schema, node.schemaElts ?? [], element);
	// Where there is one already, it is not made, and what the catalogue says of it holds.
	const isNew = !walk.context.catalog.hasSchema(schema);
	if (isNew) walk.madeSchemas.push(schema);
	walk.effects.push(isNew ? { type: 'ddl', schema } : { type: 'ddl' });
}

/** The server puts the new schema before all others while it makes what is in it, and later elements may name earlier ones. */
function elements(walk: Walk, schema: string, nodes: readonly Node[], element: (walk: Walk, node: Node) => void): void {
	if (nodes.length === 0) return;
	const { context } = walk;
	if (context.catalog.hasSchema(schema)) throw refuse(walk, 'CREATE SCHEMA with elements of a schema that is there');
	const known = ORDER.flatMap((tag) => nodes.filter((candidate) => tag === tagOf(candidate)));
	if (known.length < nodes.length) throw refuse(walk, 'CREATE SCHEMA with elements of this kind');
	const searchPath = [schema, ...context.searchPath];
	for (const one of known) {
		const inner: Walk = {
			...walk,
			context: { ...context, searchPath, catalog: overlay(context.catalog, [...walk.made], [], [], [schema]) },
		};
		element(inner, one);
		takeNotes(walk, inner);
	}
}
