/** ALTER TYPE of an enum: filters and masks know its values by their words, so where a table is protected they keep these. */
import type { Relation, Type } from '../catalog/snapshot.ts';
import { schemasMeant } from './alteration.ts';
import { mayInSchema } from './may.ts';
import { displayRelation, stringsOf } from './names.ts';
import type { NodeOf } from './nodes.ts';
import { protectionOf } from './protection.ts';
import { guarded } from './read-relation.ts';
import { refuse, type Walk } from './walk.ts';

export function alterEnum(walk: Walk, node: NodeOf<'AlterEnumStmt'>): void {
	const { catalog } = walk.context;
	const names = stringsOf(node.typeName);
	const schemas = schemasMeant(walk, 'OBJECT_TYPE', names);
	for (const schema of schemas) mayInSchema(walk, schema, 'alter', 'ALTER TYPE');
	walk.effects.push({ type: 'ddl' });
	if (node.oldVal === undefined) return;
	for (const schema of schemas) {
		const type = catalog.type(schema, names.at(-1) ?? '');
		if (type !== undefined) mayRenameValue(walk, type);
	}
}

function mayRenameValue(walk: Walk, type: Type): void {
	for (const relation of walk.context.catalog.relations()) {
		if (relation.columns.some(({ typeOid }) => holds(walk, typeOid, type.oid)) && isNarrowed(walk, relation))
			throw refuse(
				walk,
				`renaming a value of a type that ${displayRelation(relation)} has, which the policy protects from you,`,
			);
	}
}

/** Its values are of the enum, or made of some: domains, arrays, rows and ranges. */
function holds({ context: { catalog } }: Walk, oid: number, wanted: number): boolean {
	const types = new Set([oid]);
	for (const one of types) {
		if (one === wanted) return true;
		const type = catalog.typeByOid(one);
		if (type === undefined) continue;
		const fields = type.relation === 0 ? [] : (catalog.relationByOid(type.relation)?.columns ?? []);
		for (const part of [type.base, type.element, ...(type.makes ?? []), ...fields.map(({ typeOid }) => typeOid)])
			if (part !== 0) types.add(part);
	}
	return false;
}

function isNarrowed(walk: Walk, relation: Relation): boolean {
	const { access, catalog } = walk.context;
	const { columns, filters } = guarded(walk, relation, () => protectionOf(catalog, access, relation, false));
	return filters.length > 0 || columns.some(({ state }) => state === 'masked');
}
