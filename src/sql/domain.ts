/** ALTER DOMAIN: a constraint on a domain is tried on every value that there is, in whatever table. */
import type { Relation, Type } from '../catalog/snapshot.ts';
import { schemasMeant } from './alteration.ts';
import { stored } from './definition.ts';
import { truth } from './expression.ts';
import { mayInSchema, mayOnFound } from './may.ts';
import { displayRelation, stringsOf } from './names.ts';
import { as, type NodeOf } from './nodes.ts';
import { columnsUnknown } from './scope.ts';
import { refuse, type Walk } from './walk.ts';

/** Subtypes of AlterDomainStmt (parsenodes.h). */
const SET_NOT_NULL = 'O';
const ADD_CONSTRAINT = 'C';
const VALIDATE = 'V';
const DEFAULT = 'T';

export function alterDomain(walk: Walk, node: NodeOf<'AlterDomainStmt'>): void {
	const names = stringsOf(node.typeName);
	const schemas = schemasMeant(walk, 'OBJECT_DOMAIN', names);
	for (const schema of schemas) mayInSchema(walk, schema, 'alter', 'ALTER DOMAIN');
	const types = schemas.flatMap((schema) => walk.context.catalog.type(schema, names.at(-1) ?? '') ?? []);
	// Made a moment ago perhaps, and by then in some table: look again.
	if (types.length === 0) walk.doubt = true;
	const constraint = as(node.def, 'Constraint');
	const triesValues =
		node.subtype === SET_NOT_NULL ||
		node.subtype === VALIDATE ||
		(node.subtype === ADD_CONSTRAINT && constraint?.skip_validation !== true);
	if (triesValues) for (const type of types) mayTryValues(walk, type);
	const around = { walk, scope: columnsUnknown(), place: 'output', writing: false } as const;
	if (constraint?.raw_expr !== undefined) truth(constraint.raw_expr, around);
	else if (node.subtype === DEFAULT && node.def !== undefined)
		stored(walk, node.def, types.length === 1 ? (types[0]?.base ?? null) : null, columnsUnknown());
	walk.effects.push({ type: 'ddl' });
}

/** Whether the constraint fails tells of the values: `alter` on each table with such a column, none of which the policy protects. */
function mayTryValues(walk: Walk, type: Type): void {
	const { catalog } = walk.context;
	const known = new Map<number, boolean>();
	for (const relation of catalog.relations()) {
		if (!STORES.has(relation.kind) || !relation.columns.some(({ typeOid }) => holds(walk, typeOid, type.oid, known)))
			continue;
		mayOnFound(walk, relation, 'alter', true);
		if (relation.kind === 'matview' && walk.masks)
			throw refuse(
				walk,
				`a constraint on values in ${displayRelation(relation)}, which reads what the policy protects,`,
			);
	}
}

const STORES: ReadonlySet<Relation['kind']> = new Set(['table', 'partitioned', 'matview', 'foreign']);

/** Values of the one have values of the other in them: domains over it, arrays, rows; ranges too, whose subtype is not known. */
function holds(walk: Walk, oid: number, wanted: number, known: Map<number, boolean>): boolean {
	if (oid === wanted) return true;
	const before = known.get(oid);
	if (before !== undefined) return before;
	known.set(oid, false);
	const { catalog } = walk.context;
	const type = catalog.typeByOid(oid);
	if (type === undefined) return false;
	if (type.schema !== 'pg_catalog' && (type.kind === 'r' || type.kind === 'm'))
		throw refuse(walk, 'a constraint on the values of a domain where a table has a range of a type of its own');
	const fields = type.relation === 0 ? [] : (catalog.relationByOid(type.relation)?.columns ?? []);
	const found = [type.base, type.element, ...fields.map(({ typeOid }) => typeOid)].some(
		(part) => part !== 0 && part !== oid && holds(walk, part, wanted, known),
	);
	known.set(oid, found);
	return found;
}
