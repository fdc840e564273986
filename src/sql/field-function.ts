/** `(x).f` and `x.f` may call a function f(x): such a call needs what f(x) written out would need. */
import type { Node } from '@pgsql/types';
import type { Relation, Type } from '../catalog/snapshot.ts';
import { coercedArguments } from './coercions.ts';
import { checkRoutine, findRoutines, noteResult } from './routines.ts';
import { displayRelation, effectivePath, stringsOf, TYPE, UnknownObject } from './names.ts';
import { as } from './nodes.ts';
import { displayIdentifier } from './quote.ts';
import { isSystem } from './read-relation.ts';
import { resolveBare, type Scope } from './scope.ts';
import { baseType } from './types.ts';
import { positionAt, type Walk } from './walk.ts';

/** They carry no column's value; a row of a table has them as fields too. */
export const SYSTEM_COLUMNS: ReadonlySet<string> = new Set(['tableoid', 'ctid', 'xmin', 'xmax', 'cmin', 'cmax']);

/** The field's type where `type` is a composite that has the field; undefined for what may be a call, which is checked. */
export function fieldFunction(
	walk: Walk,
	field: string,
	type: number | null,
	location: number | undefined,
	isRow: boolean,
): number | undefined {
	const { catalog } = walk.context;
	const composite = type === null ? undefined : catalog.typeByOid(baseType(catalog, type) ?? type);
	const column = rowTypeOf(walk, type)?.columns.find((candidate) => candidate.name === field);
	if (column !== undefined) return column.typeOid;
	const call = {
		names: [field],
		args: [{ type, constant: false, safe: false }],
		loose: false,
		location,
		action: 'execute' as const,
	};
	const routines = findRoutines(walk.context, call);
	for (const routine of routines) {
		checkRoutine(walk, routine, 'execute', location);
		noteResult(walk, routine);
	}
	coercedArguments(walk, routines, call);
	if (routines.length > 0 || walk.mode === 'view') return undefined;
	if (composite !== undefined && (SCALARS.has(composite.kind) || composite.oid === TYPE.unknown))
		throw noField(walk, field, composite, location);
	// Nor is anything known of a type that Parse has declared, and that the catalogue does not have.
	if (composite === undefined && !isRow && mayMakeCode(walk)) throw unknownField(walk, field, location);
	const row = isRow || SYSTEM_COLUMNS.has(field) ? undefined : rowTypeOf(walk, type);
	if (row !== undefined) throw noColumn(walk, field, row, location);
	// Nobody makes a function of a name that is a field's; a record that has no such field may be a text by then.
	if (composite?.kind === 'p' && mayMakeCode(walk) && !catalog.mayBeField(field))
		throw unknownField(walk, field, location);
	// A function that only the session sees yet is looked for through it.
	if (composite !== undefined && composite.kind !== 'p' && !SYSTEM_COLUMNS.has(field)) walk.doubt = true;
	walk.sought.push(field);
	return undefined;
}

/** The relation whose columns are the fields of a value of that type. */
export function rowTypeOf({ context: { catalog } }: Walk, type: number | null): Relation | undefined {
	const composite = type === null ? undefined : catalog.typeByOid(baseType(catalog, type) ?? type);
	return composite === undefined || composite.relation === 0 ? undefined : catalog.relationByOid(composite.relation);
}

/** The identity may create in a schema that functions are looked for in. */
export function mayMakeCode({ context }: Walk): boolean {
	const { access } = context;
	if (access.unrestricted) return false;
	return effectivePath(context, false).some((schema) => !isSystem(schema) && access.onSchema(schema, 'create').allowed);
}

/** Where it is no row, a function of that name could come to be before the statement runs. */
function unknownField(walk: Walk, field: string, location: number | undefined): UnknownObject {
	const words = `the field ${displayIdentifier(field)} of a value whose type the gateway cannot tell is not allowed through the gateway`;
	const fields = { ...positionAt(walk, location), hint: 'Cast the value to its type.' };
	return new UnknownObject('42501', words, fields, [], field);
}

/** Base types, enums, ranges and multiranges: they have no fields, whatever becomes of them. Nor has an untyped literal. */
const SCALARS: ReadonlySet<string> = new Set(['b', 'e', 'r', 'm']);

/** What the server says, which would look for a function once more: one that somebody has made meanwhile would run. */
function noField(walk: Walk, field: string, type: Type, location: number | undefined): UnknownObject {
	const name = type.schema === 'pg_catalog' ? displayIdentifier(type.name) : displayRelation(type);
	const words = `column notation .${field} applied to type ${name}, which is not a composite type`;
	return new UnknownObject('42809', words, positionAt(walk, location), [], field);
}

/**
 * Throws 42703, as the server would, for a field that nothing has, of what a function gives: by the time that the text runs, it may
 * give what another function by that name takes. `item`: the function's name in FROM; undefined for a call elsewhere.
 */
export function refuseUnknownField(
	walk: Walk,
	field: string,
	item: string | undefined,
	location: number | undefined,
): void {
	const { catalog } = walk.context;
	if (walk.mode === 'view' || !mayMakeCode(walk)) return;
	if (catalog.mayBeField(field) || catalog.routinesNamed(field).length > 0) return;
	const words =
		item === undefined
			? `could not identify column "${field}" in record data type`
			: `column ${item}.${field} does not exist`;
	throw new UnknownObject('42703', words, positionAt(walk, location), [], field);
}

/** The same of a row that has no such field; the session may see another state of its type. */
function noColumn(walk: Walk, field: string, row: Relation, location: number | undefined): UnknownObject {
	const words = `column "${field}" not found in data type ${displayRelation(row)}`;
	return new UnknownObject('42703', words, positionAt(walk, location), [row], field);
}

/** `(t).f` of a row of FROM whose columns are known. Its own type is not. */
export function isFieldOfRow(node: Node | undefined, field: string, scope: Scope): boolean {
	const names = stringsOf(as(node, 'ColumnRef')?.fields);
	const found = names.length === 1 ? resolveBare(scope, names[0] ?? '') : undefined;
	return found?.kind === 'item' && found.item.columns?.some(({ name }) => name === field) === true;
}
