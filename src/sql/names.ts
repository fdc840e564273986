/** Resolves names of relations, routines, operators and types through search_path as the server does. */
import type { Node, RangeVar, TypeName } from '@pgsql/types';
import type { CatalogSnapshot, Relation, Type } from '../catalog/snapshot.ts';
import { GatewayError, type GatewayErrorFields } from '../errors.ts';
import { displayIdentifier } from './quote.ts';
import { type AnalysisContext, positionAt, type Walk } from './walk.ts';

/** pg_type oids that the analysis knows by heart. */
export const TYPE = {
	bool: 16,
	int8: 20,
	int2: 21,
	int4: 23,
	text: 25,
	oid: 26,
	bpchar: 1042,
	varchar: 1043,
	numeric: 1700,
	unknown: 705,
	bit: 1560,
	float4: 700,
	float8: 701,
	interval: 1186,
	date: 1082,
	timestamp: 1114,
	timestamptz: 1184,
	time: 1083,
	timetz: 1266,
	name: 19,
	xml: 142,
	json: 114,
	jsonb: 3802,
} as const;

/** Raised when the catalogue does not know a name; the pipeline looks at the catalogue once more before it believes it. */
export class UnknownObject extends GatewayError {
	/** Where a relation of that name was looked for, in order; empty when it is no relation that is missing. */
	readonly search: readonly RelationName[];
	/** Name of the routine that is missing, without its schema. */
	readonly routine: string | undefined;

	constructor(
		sqlstate: string,
		message: string,
		fields: GatewayErrorFields,
		search: readonly RelationName[] = [],
		routine?: string,
	) {
		super(sqlstate, message, fields);
		this.search = search;
		this.routine = routine;
	}
}

/** `pg_temp` stands for the session's own temporary schema. */
export interface RelationName {
	readonly schema: string;
	readonly name: string;
}

/** Strings of a list of String nodes, e.g. the name of a function. */
export function stringsOf(nodes: readonly Node[] | undefined): string[] {
	return (nodes ?? []).map((node) => ('String' in node ? (node.String.sval ?? '') : ''));
}

/** search_path as the server works with it: "$user" put in, missing schemas left out, pg_catalog (and the temporary schema) first unless listed. */
export function effectivePath(context: AnalysisContext, withTemporary: boolean): readonly string[] {
	const { catalog } = context;
	const path: string[] = [];
	for (const name of context.searchPath) {
		const schema = name === '$user' ? catalog.user : name;
		if (schema === 'pg_temp') {
			if (withTemporary && context.tempSchema !== null) path.push(context.tempSchema);
		} else if (catalog.mayUseSchema(schema) && !path.includes(schema)) path.push(schema);
	}
	if (!path.includes('pg_catalog')) path.unshift('pg_catalog');
	if (withTemporary && context.tempSchema !== null && !path.includes(context.tempSchema))
		path.unshift(context.tempSchema);
	return path;
}

/**
 * Notes a name without schema that means pg_catalog's in the text, but something of the session's path once it is spliced.
 * `isBetter`: one of that schema may be taken even where pg_catalog is searched first.
 */
export function noteShadowed(
	{ shadowing }: AnalysisContext,
	kind: 'function' | 'operator' | 'type',
	name: string,
	has: (schema: string) => boolean,
	isBetter: (schema: string) => boolean = () => false,
): void {
	if (shadowing === undefined || shadowing.found !== undefined) return;
	const before = shadowing.schemas.find(has);
	const schema = before ?? shadowing.later.find(isBetter);
	if (schema === undefined) return;
	const place = before === undefined ? 'with types that fit better than' : 'before';
	const words = `search_path has another in ${displayIdentifier(schema)}, ${place} that of pg_catalog`;
	shadowing.found = new GatewayError('42501', `permission denied for ${kind} ${name}: ${words}`, {
		hint: 'Leave that schema out of search_path, or put pg_catalog before it.',
	});
}

/** The relation that a RangeVar means. Throws UnknownObject (42P01) where there is none. */
export function resolveRelation(walk: Walk, range: RangeVar): Relation {
	const { catalog, access } = walk.context;
	const name = range.relname ?? '';
	if (range.catalogname !== undefined && range.catalogname !== access.database) {
		throw new GatewayError(
			'0A000',
			`cross-database references are not implemented: "${range.catalogname}.${range.schemaname}.${name}"`,
			positionAt(walk, range.location),
		);
	}
	if (range.schemaname !== undefined) {
		const schema = range.schemaname === 'pg_temp' ? walk.context.tempSchema : range.schemaname;
		const found = schema === null ? undefined : catalog.relation(schema, name);
		if (found !== undefined) return found;
		throw new UnknownObject(
			'42P01',
			`relation "${range.schemaname}.${name}" does not exist`,
			positionAt(walk, range.location),
			[{ schema: range.schemaname, name }],
		);
	}
	const path = effectivePath(walk.context, true);
	const found = findRelation(catalog, path, name);
	if (found !== undefined) return found;
	const search = ['pg_temp', ...path].map((schema) => ({ schema, name }));
	throw new UnknownObject('42P01', `relation "${name}" does not exist`, positionAt(walk, range.location), search);
}

function findRelation(catalog: CatalogSnapshot, path: readonly string[], name: string): Relation | undefined {
	for (const schema of path) {
		const found = catalog.relation(schema, name);
		if (found !== undefined) return found;
	}
	return undefined;
}

/** True for the session's own temporary relations. */
export function isOwnTemporary(walk: Walk, relation: Relation): boolean {
	return relation.temporary && walk.context.tempSchema !== null && relation.schema === walk.context.tempSchema;
}

/** The type that a TypeName means: undefined for one that the catalogue does not know (the server will say so). */
export function resolveType(walk: Walk, typeName: TypeName | undefined): Type | undefined {
	if (typeName === undefined) return undefined;
	const { catalog } = walk.context;
	const names = stringsOf(typeName.names);
	if (typeName.pct_type === true) return typeOfColumn(walk, names);
	const name = names.at(-1) ?? '';
	const schema = names.length > 1 ? names.at(-2) : undefined;
	let type: Type | undefined;
	if (schema !== undefined) {
		const real = schema === 'pg_temp' ? walk.context.tempSchema : schema;
		type = real === null || real === undefined ? undefined : catalog.type(real, name);
	} else {
		noteShadowed(walk.context, 'type', name, (candidate) => catalog.type(candidate, name) !== undefined);
		for (const candidate of effectivePath(walk.context, true)) {
			type = catalog.type(candidate, name);
			if (type !== undefined) break;
		}
	}
	if (type !== undefined) walk.types.add(type.oid);
	if (type === undefined || (typeName.arrayBounds ?? []).length === 0) return type;
	return catalog.typeByOid(catalog.arrayTypeOf(type.oid));
}

/** `table.column%TYPE`: what that is by now. Throws UnknownObject (42P01, 42703); undefined where nobody knows the column's type. */
function typeOfColumn(walk: Walk, names: readonly string[]): Type | undefined {
	const { catalog } = walk.context;
	const [column = '', relname = '', schemaname, catalogname] = names.toReversed();
	const relation = resolveRelation(walk, {
		relname,
		...(schemaname === undefined ? {} : { schemaname }),
		...(catalogname === undefined ? {} : { catalogname }),
	});
	const found = relation.columns.find(({ name }) => name === column);
	if (found === undefined) {
		const words = `column "${column}" of relation "${displayRelation(relation)}" does not exist`;
		throw new UnknownObject('42703', words, {}, [relation]);
	}
	const type = catalog.typeByOid(found.typeOid);
	if (type !== undefined) walk.types.add(type.oid);
	return type;
}

export function displayRelation(relation: { readonly schema: string; readonly name: string }): string {
	return `${displayIdentifier(relation.schema)}.${displayIdentifier(relation.name)}`;
}
