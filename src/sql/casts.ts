/** Casts: which of them run a user's function, and which may meet rows that a filter hides. */
import type { TypeName } from '@pgsql/types';
import type { CatalogSnapshot, Type } from '../catalog/snapshot.ts';
import { effectivePath, resolveType, stringsOf, TYPE } from './names.ts';
import { checkRoutine } from './routines.ts';
import { baseType } from './types.ts';
import { noteUse, type Walk } from './walk.ts';

/** Every user-defined cast that an explicit cast to `target` may run needs `execute` on its function. `given`: the type, or those of a row's fields. */
export function checkUserCasts(
	walk: Walk,
	given: number | null | readonly (number | null)[],
	target: number | undefined,
	location: number | undefined,
	seen: ReadonlySet<number> = new Set(),
): void {
	const { catalog } = walk.context;
	// A column that the text has altered has a type that nobody knows, as 0.
	const source = typeof given === 'number' && given !== 0 ? given : null;
	if (source === TYPE.unknown || target === undefined || source === target || seen.has(target)) return;
	// A row is cast field by field.
	const fields = catalog.relationByOid(catalog.typeByOid(target)?.relation ?? 0)?.columns ?? [];
	for (const [i, field] of fields.entries()) {
		const known = typeof given === 'object' && given?.length === fields.length ? given[i] : null;
		checkUserCasts(walk, known ?? null, field.typeOid, location, new Set([...seen, target]));
	}
	const element = catalog.typeByOid(target)?.element ?? 0;
	if (element !== 0) {
		// An array is cast element by element.
		const from = source === null ? null : (catalog.typeByOid(baseType(catalog, source) ?? 0)?.element ?? null);
		checkUserCasts(walk, from === 0 ? null : from, element, location, seen);
	}
	const from = baseType(catalog, source);
	const to = baseType(catalog, target);
	for (const cast of catalog.userCasts) {
		if (cast.routine === 0 || (cast.target !== target && cast.target !== to)) continue;
		if (source !== null && cast.source !== source && cast.source !== from) continue;
		const routine = catalog.routineByOid(cast.routine);
		if (routine === undefined || routine.builtin) continue;
		if (source === null) walk.guesses.push({ routine, types: [cast.source], location });
		else checkRoutine(walk, routine, 'execute', location);
	}
}

/**
 * The type that is named where a value of it is made: a user's function in the checks of a domain, of its base, elements or
 * fields needs `execute`.
 */
export function usedType(walk: Walk, typeName: TypeName | undefined, location: number | undefined): Type | undefined {
	const type = resolveType(walk, typeName);
	if (type === undefined) return undefined;
	checkTypeRoutines(walk, type, location, new Set());
	for (const other of typesBehind(walk, typeName, type)) {
		checkTypeRoutines(walk, other, location, new Set());
		for (const { target, routine: oid } of walk.context.catalog.userCasts) {
			const routine = target === other.oid && oid !== 0 ? walk.context.catalog.routineByOid(oid) : undefined;
			if (routine !== undefined && !routine.builtin) checkRoutine(walk, routine, 'execute', location);
		}
	}
	return type;
}

/** The same of a column that is made: where nothing is written to it, a domain's default is computed. */
export function columnType(walk: Walk, typeName: TypeName, location: number | undefined): Type | undefined {
	const type = usedType(walk, typeName, location);
	if (type === undefined) return undefined;
	for (const each of [type, ...typesBehind(walk, typeName, type)]) checkDefault(walk, each, location);
	return type;
}

/** Types of that name further on in search_path: once the one that is meant is dropped or renamed, one of them is. */
function typesBehind(walk: Walk, typeName: TypeName | undefined, { schema }: Type): readonly Type[] {
	const [name, ...more] = stringsOf(typeName?.names);
	if (name === undefined || more.length > 0 || schema === 'pg_catalog') return [];
	const { catalog } = walk.context;
	return effectivePath(walk.context, true).flatMap((candidate) =>
		candidate === schema ? [] : (catalog.type(candidate, name) ?? []),
	);
}

/** Types that a Parse declares for its parameters: values of them are made at Bind. */
export function checkParameterTypes(walk: Walk): void {
	for (const oid of walk.context.parameterTypes) {
		const type = walk.context.catalog.typeByOid(oid);
		if (type !== undefined) checkTypeRoutines(walk, type, undefined, new Set());
	}
}

/** The same for a type that is told by another value of it. */
export function madeType(walk: Walk, oid: number | null, location: number | undefined): void {
	const type = oid === null ? undefined : walk.context.catalog.typeByOid(oid);
	if (type !== undefined) checkTypeRoutines(walk, type, location, new Set());
}

/** The same of a column that is made. */
export function madeColumn(walk: Walk, oid: number | null, location: number | undefined): void {
	madeType(walk, oid, location);
	const type = oid === null ? undefined : walk.context.catalog.typeByOid(oid);
	if (type !== undefined) checkDefault(walk, type, location);
}

function checkDefault(walk: Walk, type: Type, location: number | undefined): void {
	for (const oid of type.defaultRoutines ?? []) {
		const routine = walk.context.catalog.routineByOid(oid);
		if (routine !== undefined) checkRoutine(walk, routine, 'execute', location);
	}
}

function checkTypeRoutines(walk: Walk, type: Type, location: number | undefined, seen: Set<number>): void {
	const { catalog } = walk.context;
	if (seen.has(type.oid) || type.schema === 'pg_catalog') return;
	seen.add(type.oid);
	for (const oid of type.routines) {
		const routine = catalog.routineByOid(oid);
		if (routine === undefined) continue;
		if (!routine.builtin) checkRoutine(walk, routine, 'execute', location);
		// One that acts on the session: what it leaves there is to be known.
		else noteUse(walk, 'function', routine.schema, `${routine.name}(${routine.argNames.join(',')})`, 'execute');
	}
	const fields = type.relation === 0 ? [] : (catalog.relationByOid(type.relation)?.columns ?? []);
	for (const oid of [type.base, type.element, ...(type.makes ?? []), ...fields.map((column) => column.typeOid)]) {
		const part = catalog.typeByOid(oid);
		if (part !== undefined) checkTypeRoutines(walk, part, location, seen);
	}
}

/** Binary-coercible, or by a leakproof function: it tells nothing about a row. */
export function isSafeCast(catalog: CatalogSnapshot, source: number | null, target: number): boolean {
	if (source === null) return false;
	const from = baseType(catalog, source) ?? source;
	if (from === target || source === target || source === TYPE.unknown) return true;
	if (from === TYPE.varchar && target === TYPE.text) return true;
	const cast = catalog.cast(from, target);
	if (cast === undefined) return false;
	return cast.routine === 0 ? cast.context === 'implicit' : catalog.routineByOid(cast.routine)?.leakproof === true;
}
