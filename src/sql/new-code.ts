/** Code by the name of other code: until it is committed the catalogue does not know it, and what was decided for the one would run the other. */
import type { FunctionParameter, Node, TypeName } from '@pgsql/types';
import { routineSafety } from '../catalog/safety.ts';
import type { Operator, Routine, Type } from '../catalog/snapshot.ts';
import { SYSTEM_COLUMNS } from './field-function.ts';
import { displayRelation, resolveType } from './names.ts';
import { as } from './nodes.ts';
import { displayIdentifier } from './quote.ts';
import { displayType } from './type-display.ts';
import { baseType } from './types.ts';
import { refuse, type Walk } from './walk.ts';

interface Name {
	readonly schema: string;
	readonly name: string;
}

/** A routine that comes to be there, under its name and in its schema. */
export interface NewRoutine extends Name {
	/** Types of the arguments that a call gives, as regprocedure prints them. */
	readonly args: readonly string[];
	readonly action: 'execute' | 'call';
	/** Type of the one argument that it can be called with, so that `(x).f` may call it; undefined where it takes more or none. */
	readonly field: Type | 'unknown' | undefined;
}

/**
 * Throws 42501 where a new routine could be taken for one that its maker may run, for a cast, or for a field, and no rule lets
 * its maker run it: a text that was decided before it was there would run it.
 */
export function mayMakeRoutine(walk: Walk, made: NewRoutine): void {
	const { access, catalog } = walk.context;
	const { schema, name, args, action, field } = made;
	if (access.onFunction(schema, name, args, action).allowed) return;
	const before = catalog
		.routines(schema, name)
		.find((routine) => routine.schema === schema && routine.argNames.join('\0') === args.join('\0'));
	const isNew = before === undefined || fieldOf(walk, before) === undefined;
	const isField = action === 'execute' && isNew && mayBeField(walk, name, field);
	const isTaken =
		before === undefined &&
		(catalog.routinesNamed(name).some((routine) => mayRun(walk, routine)) ||
			['pg_catalog', schema].some((at) => catalog.type(at, name) !== undefined));
	if (!isTaken && !isField) return;
	const what = isTaken ? 'another of its name' : `a field of a value, as in (x).${displayIdentifier(name)}`;
	const words = `making ${displayRelation(made)}(${args.join(',')}), which could be taken for ${what},`;
	throw refuse(walk, words, undefined, `A rule that allows ${action} on it would allow that.`);
}

/** What a routine gives that declares several columns. */
const RECORD = 2249;

/** No server gives it to a routine. */
const NO_OID = -1;

/**
 * A routine as the rest of its text may call it. None where another has its name, which would be called in its place once
 * a rollback in the text took it away, or where one of its types is not known yet.
 */
export function routineMade(
	walk: Walk,
	{ schema, name, args, action }: NewRoutine,
	{ parameters = [], returnType }: { readonly parameters?: Node[]; readonly returnType?: TypeName },
): readonly Routine[] {
	if (walk.context.catalog.routinesNamed(name).length > 0) return [];
	const all = parameters.flatMap((node) => as(node, 'FunctionParameter') ?? []);
	const given = all.filter(({ mode }) => mode !== 'FUNC_PARAM_OUT' && mode !== 'FUNC_PARAM_TABLE');
	const shown = all.filter(
		({ mode }) => mode === 'FUNC_PARAM_OUT' || mode === 'FUNC_PARAM_TABLE' || mode === 'FUNC_PARAM_INOUT',
	);
	const types = given.map(({ argType }) => resolveType(walk, argType));
	const answer = returnType ?? (shown.length === 1 ? shown[0]?.argType : undefined);
	const returned = answer === undefined ? RECORD : resolveType(walk, answer)?.oid;
	if (returned === undefined || types.includes(undefined)) return [];
	const last = types.at(-1);
	const routine: Routine = {
		oid: NO_OID,
		schema,
		name,
		kind: action === 'call' ? 'procedure' : 'function',
		argTypes: types.flatMap((type) => type?.oid ?? []),
		argNames: args,
		defaults: given.filter(({ defexpr }) => defexpr !== undefined).length,
		variadic: given.at(-1)?.mode === 'FUNC_PARAM_VARIADIC' ? (last?.element ?? 0) : 0,
		returnsSet: returnType?.setof === true || all.some(({ mode }) => mode === 'FUNC_PARAM_TABLE'),
		returnType: returned,
		outColumns: shown.map((parameter) => parameter.name ?? ''),
		volatility: 'volatile',
		leakproof: false,
		builtin: false,
	};
	return [routine];
}

/**
 * A text that was decided before may have `(x).name` in it: of a row that has no such field by then, or of a value whose type is or
 * was one with that field.
 */
function mayBeField(walk: Walk, name: string, type: NewRoutine['field']): boolean {
	const { catalog } = walk.context;
	if (type === undefined) return false;
	const base = type === 'unknown' ? undefined : catalog.typeByOid(baseType(catalog, type.oid) ?? 0);
	if (base === undefined || base.kind === 'c' || base.kind === 'p') return true;
	// What another session has made or lost since the last look counts too.
	walk.doubt = true;
	return SYSTEM_COLUMNS.has(name) || catalog.mayBeField(name);
}

/** There is a function that `(x).name` could call, if x were what it takes, and that one may not run. */
export function mayBeForbiddenCall(walk: Walk, name: string): boolean {
	if (walk.context.access.unrestricted) return false;
	const routines = walk.context.catalog.routinesNamed(name).filter(({ kind }) => kind === 'function');
	return routines.some((routine) => !mayRun(walk, routine) && fieldOf(walk, routine) !== undefined);
}

/** Of a routine that can be called with one argument. */
export function fieldOf(walk: Walk, { argTypes, defaults, variadic }: Routine): NewRoutine['field'] {
	const needed = argTypes.length - defaults - (variadic === 0 ? 0 : 1);
	const [first] = argTypes;
	if (first === undefined || needed > 1) return undefined;
	return walk.context.catalog.typeByOid(variadic !== 0 && argTypes.length === 1 ? variadic : first) ?? 'unknown';
}

/** The same of one that is written out. */
export function fieldWritten(walk: Walk, parameters: readonly (Node | undefined)[] | undefined): NewRoutine['field'] {
	const given = (parameters ?? []).flatMap((node) => {
		const parameter = as(node, 'FunctionParameter');
		const { mode } = parameter ?? {};
		return parameter === undefined || mode === 'FUNC_PARAM_OUT' || mode === 'FUNC_PARAM_TABLE' ? [] : [parameter];
	});
	const needed = given.filter(({ defexpr, mode }) => defexpr === undefined && mode !== 'FUNC_PARAM_VARIADIC');
	const [first] = given;
	if (first === undefined || needed.length > 1) return undefined;
	return (first.mode === 'FUNC_PARAM_VARIADIC' ? undefined : resolveType(walk, first.argType)) ?? 'unknown';
}

/** Throws 42501 where one may run a routine, and once it is gone another of the name, which one may not run, could come to be meant. */
export function mayLoseRoutines(walk: Walk, lost: readonly Routine[]): void {
	const [first] = lost;
	if (first === undefined || !lost.some((routine) => mayRun(walk, routine))) return;
	const others = walk.context.catalog.routinesNamed(first.name).filter((routine) => !lost.includes(routine));
	const behind = others.find((routine) => !mayRun(walk, routine));
	if (behind === undefined) return;
	throw refuse(
		walk,
		`taking away ${displayRelation(first)}, behind which ${displayRelation(behind)} could come to be meant,`,
	);
}

function mayRun({ context: { access } }: Walk, routine: Routine): boolean {
	if (routine.builtin && routineSafety(routine).safe) return true;
	const action = routine.kind === 'procedure' ? 'call' : 'execute';
	return access.onFunction(routine.schema, routine.name, routine.argNames, action).allowed;
}

/** Throws 42501 for a type by the name of one of pg_catalog's: a cast to that one would come to be one to this. */
export function mayMakeType(walk: Walk, name: string): void {
	if (walk.context.access.unrestricted || walk.context.catalog.type('pg_catalog', name) === undefined) return;
	throw refuse(walk, `a type by the name of ${displayIdentifier(name)}, which pg_catalog has too,`);
}

/** Throws 42501 for an operator that could be taken for one of pg_catalog's. */
export function mayMakeOperator(walk: Walk, name: string, types: readonly (TypeName | undefined)[]): void {
	const { access, catalog } = walk.context;
	if (access.unrestricted || catalog.operators('pg_catalog', name).length === 0) return;
	const isOwn = types.some((type) => type !== undefined && resolveType(walk, type)?.schema !== 'pg_catalog');
	if (!isOwn) throw refuse(walk, `an operator ${name} between types of pg_catalog, which has one of that name too,`);
}

/** Throws 42501 where an operator that comes to be in another schema could be taken for one of pg_catalog's, or has a function that its mover may not run. */
export function mayMoveOperator(walk: Walk, { oid, name, left, right, routine }: Operator): void {
	const { access, catalog } = walk.context;
	if (access.unrestricted) return;
	const others = catalog.operatorsNamed(name).filter((other) => other.oid !== oid);
	const isOwn = [left, right].some((type) => type !== 0 && catalog.typeByOid(type)?.schema !== 'pg_catalog');
	const isTaken = !isOwn && others.some(({ schema }) => schema === 'pg_catalog');
	const behind = catalog.routineByOid(routine);
	if (others.length === 0 || (!isTaken && (behind === undefined || mayRun(walk, behind)))) return;
	throw refuse(walk, `moving an operator ${name}, which could be taken for another of its name,`);
}

/** Types of the arguments that a call gives, as regprocedure prints them. */
export function argumentNames(walk: Walk, parameters: readonly (Node | undefined)[] | undefined): readonly string[] {
	return (parameters ?? []).flatMap((node) => {
		const parameter: FunctionParameter | undefined = as(node, 'FunctionParameter');
		const isGiven = parameter?.mode !== 'FUNC_PARAM_OUT' && parameter?.mode !== 'FUNC_PARAM_TABLE';
		return parameter === undefined || !isGiven ? [] : [typeDisplay(walk, parameter.argType)];
	});
}

/** format_type under an empty search_path; what is not known is written as it stands, which no rule names. */
function typeDisplay(walk: Walk, typeName: TypeName | undefined): string {
	const { catalog } = walk.context;
	const type = resolveType(walk, typeName);
	// It may be one for which there is such a routine.
	if (type === undefined && typeName?.pct_type === true)
		throw refuse(walk, 'an argument of the type of a column that the transaction has altered');
	if (type === undefined) return (typeName?.names ?? []).map((part) => as(part, 'String')?.sval ?? '').join('.');
	return displayType(catalog, type);
}
