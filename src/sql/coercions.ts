/**
 * Casts that nobody has written: the server puts them between a value and the type that is wanted in its place. A user's function
 * behind one needs `execute`, like one behind a cast that is written, wherever it is not sure that it does not run.
 */
import type { Cast, CatalogSnapshot, Routine, Type } from '../catalog/snapshot.ts';
import { madeType } from './casts.ts';
import { TYPE } from './names.ts';
import { type Call, checkRoutine, declaredType } from './routines.ts';
import { baseType } from './types.ts';
import type { ExprInfo, Walk } from './walk.ts';

/** What is known of a value that is put somewhere. `fields`: the types of a row that is written out. */
export type Given = Pick<ExprInfo, 'type' | 'fields'>;

/** Where a value comes to be of another type. */
export interface Wanted {
	/** Null where it can't be told. */
	readonly type: number | null;
	/** Casts for assignment count too: in what is stored, and where the server wants one certain type. */
	readonly assignment: boolean;
	/** Several values get one type in common, which is one of theirs and of the same category. */
	readonly common?: boolean;
	readonly location: number | undefined;
}

/** A cast that runs only if values of these types are in the statement. */
export interface Guess {
	readonly routine: Routine;
	readonly types: readonly number[];
	readonly location: number | undefined;
}

/** Asks for every cast that may be put there. True where a user's function may run. */
export function coerced(walk: Walk, given: Given, wanted: Wanted): boolean {
	const casts = unwrittenCasts(walk);
	if (casts.length === 0 || walk.mode === 'view') return false;
	if (given.type === TYPE.unknown || (given.type === wanted.type && isKnown(given.type))) return false;
	const found: Guess[] = [];
	const from = isKnown(given.type) ? given : { ...given, type: null };
	collect({ walk, casts, wanted, found, seen: new Set() }, from, wanted.type || null);
	for (const guess of found) {
		if (guess.types.length === 0) checkRoutine(walk, guess.routine, 'execute', guess.location);
		else walk.guesses.push(guess);
	}
	return found.length > 0;
}

/** False also for a column that the text has altered, whose type is 0. */
function isKnown(type: number | null): type is number {
	return type !== null && type !== 0;
}

/** Values that get one type in common: in CASE, COALESCE, arrays, VALUES, UNION, IN, USING and the like. */
export function coercedTogether(walk: Walk, parts: readonly Given[], location?: number): boolean {
	if (walk.mode === 'view' || parts.length < 2) return false;
	const types = [...new Set(parts.map(({ type }) => (isKnown(type) ? type : null)))];
	// An untyped literal becomes a value of the others' type; a domain counts as what it is made of.
	if (types.includes(TYPE.unknown))
		for (const type of types) madeType(walk, baseType(walk.context.catalog, type), location);
	if (unwrittenCasts(walk).length === 0 || (types.length < 2 && types[0] !== null)) return false;
	let runs = false;
	for (const from of types) {
		for (const type of types) {
			if (from === type && from !== null) continue;
			const wanted = { type: type === TYPE.unknown ? null : type, assignment: false, common: true, location };
			if (type !== TYPE.unknown && coerced(walk, { type: from }, wanted)) runs = true;
		}
	}
	return runs;
}

/** The arguments of a call, for each routine that it may mean. */
export function coercedArguments(walk: Walk, candidates: readonly Routine[], { args, loose, location }: Call): boolean {
	if (unwrittenCasts(walk).length === 0) return false;
	let runs = false;
	for (const routine of candidates) {
		const together: Given[] = [];
		for (const [at, arg] of args.entries()) {
			// A name or VARIADIC may bring an argument anywhere.
			const declared = loose ? [...routine.argTypes, routine.variadic] : [declaredType(routine, at) ?? 0];
			for (const type of declared) {
				if (ANY_COMPATIBLE.has(type)) together.push({ type: elementOrSelf(walk, arg.type, type) });
				else if (type !== 0 && coerced(walk, arg, { type, assignment: false, location })) runs = true;
			}
		}
		if (coercedTogether(walk, together, location)) runs = true;
	}
	return runs;
}

/** anycompatible, anycompatiblearray, anycompatiblenonarray, anycompatiblerange, anycompatiblemultirange. */
const ANY_COMPATIBLE: ReadonlySet<number> = new Set([5077, 5078, 5079, 5080, 4538]);
const ANY_COMPATIBLE_ARRAY = 5078;

function elementOrSelf(walk: Walk, type: number | null, declared: number): number | null {
	if (declared !== ANY_COMPATIBLE_ARRAY || type === null || type === TYPE.unknown) return type;
	return walk.context.catalog.typeByOid(baseType(walk.context.catalog, type) ?? 0)?.element ?? null;
}

/** A condition; also of one certain type: LIMIT, a frame, a subscript. */
export function coercedTo(walk: Walk, given: Given, types: readonly number[], location?: number): boolean {
	let runs = false;
	for (const type of types) if (coerced(walk, given, { type, assignment: true, location })) runs = true;
	return runs;
}

/** The server makes JSON of a value by a cast to json, where its type or that of a part has one, whoever made that. */
export function coercedToJson(walk: Walk, values: readonly Given[], location?: number): void {
	const { catalog } = walk.context;
	if (walk.mode === 'view' || catalog.userCasts.length === 0) return;
	for (const cast of catalog.userCasts) {
		const routine = catalog.routineByOid(cast.routine);
		if ((cast.target !== TYPE.json && cast.target !== TYPE.jsonb) || !isUsers(routine)) continue;
		for (const { type } of values) {
			if (type === TYPE.unknown) continue;
			const parts = !isKnown(type) || catalog.typeByOid(type)?.kind === 'p' ? null : partsOf(catalog, [type]);
			if (parts === null) walk.guesses.push({ routine, types: [cast.source], location });
			else if (parts.has(cast.source)) checkRoutine(walk, routine, 'execute', location);
		}
	}
}

/** The server's own functions that make JSON of any value. */
export const MAKES_JSON =
	/^(to_jsonb?|array_to_json|row_to_json|jsonb?_(object_)?agg(_.*)?|jsonb?_build_(array|object))$/;

/** Once all of the statement is seen: casts that were only guessed at run where values of their types are in it. */
export function finishCoercions(walk: Walk): void {
	if (walk.guesses.length === 0) return;
	const known = typesIn(walk);
	for (const { routine, types, location } of walk.guesses) {
		if (types.every((type) => isIn(walk, known, type))) checkRoutine(walk, routine, 'execute', location);
	}
	walk.guesses.length = 0;
}

/** Types of the casts' results that values of the statement may have: what EXECUTE gives may be cast to one. */
export function castTargets(walk: Walk): readonly number[] {
	const casts = unwrittenCasts(walk);
	if (casts.length === 0) return [];
	const known = typesIn(walk);
	return casts.map(({ target }) => target).filter((target) => isIn(walk, known, target));
}

// ---------------------------------------------------------------- casts

/** Of users, and put in without being asked for. What an extension brings was installed by the server's administrator. */
function unwrittenCasts(walk: Walk): readonly Cast[] {
	if (walk.casts !== undefined) return walk.casts;
	const { catalog } = walk.context;
	walk.casts = catalog.userCasts.filter(
		(cast) =>
			cast.context !== 'explicit' &&
			(isUsers(catalog.routineByOid(cast.routine)) || (cast.routine === 0 && runsCode(catalog, cast.target))),
	);
	return walk.casts;
}

function isUsers(routine: Routine | undefined): routine is Routine {
	if (routine === undefined || routine.builtin || routine.ofExtension === true) return false;
	return routine.schema !== 'pg_catalog';
}

/** Making a value of the type runs a user's function. */
function runsCode(catalog: CatalogSnapshot, oid: number): boolean {
	return [...partsOf(catalog, [oid])].some((part) => (catalog.typeByOid(part)?.routines.length ?? 0) > 0);
}

interface Search {
	readonly walk: Walk;
	readonly casts: readonly Cast[];
	readonly wanted: Wanted;
	readonly found: Guess[];
	readonly seen: ReadonlySet<number>;
}

function collect(search: Search, given: Given, to: number | null): void {
	const { walk, casts, wanted } = search;
	const { catalog } = walk.context;
	if (given.type === TYPE.unknown) return;
	const from = baseType(catalog, given.type);
	const target = baseType(catalog, to);
	if (from !== null && from === target) return;
	for (const cast of casts) {
		// A row that is written out has no type that a cast could be from.
		if (given.fields !== undefined || (cast.context !== 'implicit' && !wanted.assignment)) continue;
		if ((from !== null && cast.source !== from) || (target !== null && cast.target !== target)) continue;
		if (wanted.common === true && category(catalog, cast.source) !== category(catalog, cast.target)) continue;
		note(search, cast, [...(from === null ? [cast.source] : []), ...(target === null ? [cast.target] : [])]);
	}
	if (target === null || search.seen.has(target)) return;
	const type = catalog.typeByOid(target);
	if (type === undefined || wanted.common === true) return;
	const inner = { ...search, seen: new Set([...search.seen, target]) };
	if (type.element !== 0) {
		const element = from === null ? null : (catalog.typeByOid(from)?.element ?? 0);
		if (element !== 0) collect(inner, { type: element }, type.element);
	}
	if (type.relation !== 0) fieldByField(inner, given, type);
}

/** A row without a type of its own becomes one of a type field by field. */
function fieldByField(search: Search, { type, fields }: Given, target: Type): void {
	const { catalog } = search.walk.context;
	if (type !== null && catalog.typeByOid(type)?.kind !== 'p') return;
	const columns = catalog.relationByOid(target.relation)?.columns ?? [];
	const known = fields?.length === columns.length ? fields : null;
	for (const [at, column] of columns.entries()) collect(search, { type: known?.[at] ?? null }, column.typeOid);
}

/** A cast of that kind may run; for sure where no type was guessed. */
function note({ walk, wanted, found }: Search, cast: Cast, types: readonly number[]): void {
	const { catalog } = walk.context;
	const { location } = wanted;
	const own = catalog.routineByOid(cast.routine);
	const routines =
		own === undefined ? [...partsOf(catalog, [cast.target])].flatMap((part) => codeOf(catalog, part)) : [own];
	for (const routine of routines) found.push({ routine, types, location });
}

function codeOf(catalog: CatalogSnapshot, type: number): readonly Routine[] {
	const routines = (catalog.typeByOid(type)?.routines ?? []).map((oid) => catalog.routineByOid(oid));
	return routines.filter(isUsers);
}

function category(catalog: CatalogSnapshot, type: number): string | undefined {
	return catalog.typeByOid(type)?.category;
}

// ---------------------------------------------------------------- types of the statement

/** The types themselves, what domains are made of, elements of arrays and fields of rows. */
function partsOf(catalog: CatalogSnapshot, types: Iterable<number>): ReadonlySet<number> {
	const parts = new Set(types);
	for (const oid of parts) {
		const type = catalog.typeByOid(oid);
		if (type === undefined || (type.schema === 'pg_catalog' && type.element === 0)) continue;
		for (const part of [type.base, type.element, ...(type.makes ?? [])]) if (part !== 0) parts.add(part);
		if (type.relation === 0) continue;
		for (const column of catalog.relationByOid(type.relation)?.columns ?? []) parts.add(column.typeOid);
	}
	return parts;
}

/** Every type that a value of the statement may have; null where that is not known. */
function typesIn(walk: Walk): ReadonlySet<number> | null {
	const { catalog, parameterTypes } = walk.context;
	if (walk.anyType) return null;
	const parts = partsOf(catalog, [...walk.types, ...parameterTypes]);
	// Of what a user's range is made is not told.
	const isRange = (oid: number): boolean => {
		const type = catalog.typeByOid(oid);
		return type !== undefined && type.schema !== 'pg_catalog' && (type.kind === 'r' || type.kind === 'm');
	};
	return [...parts].some(isRange) ? null : parts;
}

function isIn(walk: Walk, known: ReadonlySet<number> | null, type: number): boolean {
	return known === null || known.has(type) || walk.context.catalog.typeByOid(type)?.schema === 'pg_catalog';
}
