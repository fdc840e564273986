/** Which operator or function of pg_catalog the server takes for given types: its own rules (parse_oper.c, parse_func.c), not repeated elsewhere. */
import type { CatalogSnapshot, Operator, Routine } from '../catalog/snapshot.ts';
import { unreachable } from '../errors.ts';
import { TYPE } from './names.ts';
import { baseType } from './types.ts';

/** A routine, and the types that it takes here: those that it declares, with its variadic one spread out. */
export interface Resolved {
	readonly routine: Routine;
	readonly declared: readonly number[];
	readonly result: number;
}

interface Candidate<T> {
	readonly of: T;
	readonly declared: readonly number[];
}

/** Null where the server would find none, or several that fit as well. `left`: 0 for a prefix operator. */
export function resolveOperator(
	catalog: CatalogSnapshot,
	name: string,
	left: number,
	right: number,
): (Candidate<Operator> & { readonly routine: Routine | undefined }) | null {
	const isPrefix = left === 0;
	const named = catalog.operators('pg_catalog', name).filter((operator) => (operator.left === 0) === isPrefix);
	const found = isPrefix
		? select(
				catalog,
				[right],
				named.map((of) => ({ of, declared: [of.right] })),
			)
		: (exactOperator(catalog, named, left, right) ??
			select(
				catalog,
				[left, right],
				named.map((of) => ({ of, declared: [of.left, of.right] })),
			));
	return found === null ? null : { ...found, routine: catalog.routineByOid(found.of.routine) };
}

/** binary_oper_exact: a literal is taken for the type of the other side. */
function exactOperator(
	catalog: CatalogSnapshot,
	named: readonly Operator[],
	left: number,
	right: number,
): Candidate<Operator> | undefined {
	const isGuess = left === TYPE.unknown || right === TYPE.unknown;
	const [l, r] = [left === TYPE.unknown ? right : left, right === TYPE.unknown ? left : right];
	const find = (one: number, other: number): Operator | undefined =>
		named.find((operator) => operator.left === one && operator.right === other);
	const base = baseType(catalog, l) ?? l;
	const of = find(l, r) ?? (isGuess ? find(base, base) : undefined);
	return of === undefined ? undefined : { of, declared: [of.left, of.right] };
}

/** func_get_detail, but for calls that are casts. Null as above. */
export function resolveRoutine(catalog: CatalogSnapshot, name: string, types: readonly number[]): Resolved | null {
	const candidates = routinesTaking(catalog, name, types.length);
	const exact = candidates.find(({ declared }) => declared.every((type, at) => type === types[at]));
	const found = exact ?? select(catalog, types, candidates);
	return found === null
		? null
		: { routine: found.of, declared: found.declared, result: resultOf(catalog, found.of.returnType, found, types) };
}

const ANY = 2276;

/** Functions of that name for so many arguments. */
export function routinesTaking(catalog: CatalogSnapshot, name: string, count: number): Candidate<Routine>[] {
	const plain: Candidate<Routine>[] = [];
	const spread: Candidate<Routine>[] = [];
	for (const of of catalog.routines('pg_catalog', name)) {
		if (of.kind !== 'function') continue;
		const { argTypes, variadic } = of;
		if (variadic !== 0 && count >= argTypes.length - (variadic === ANY ? 1 : 0)) {
			const fixed = argTypes.slice(0, -1);
			const rest = Array.from({ length: count - fixed.length }, () => variadic);
			spread.push({ of, declared: [...fixed, ...rest] });
		}
		if (variadic !== ANY && count <= argTypes.length && count >= argTypes.length - of.defaults)
			plain.push({ of, declared: argTypes.slice(0, count) });
	}
	return [...plain, ...spread];
}

/** The operator's or function's result for these arguments; 0 where it is not told. */
export function resultOf(
	catalog: CatalogSnapshot,
	type: number,
	{ declared }: { readonly declared: readonly number[] },
	given: readonly number[],
): number {
	const whole = POLYMORPHIC.get(type);
	if (whole === undefined) return catalog.typeByOid(type)?.kind === 'p' ? 0 : type;
	// A range, or several: of which kind it is, is told by another of the very kind.
	if (whole.shape === 'range')
		return given[declared.findIndex((one, at) => one === type && given[at] !== TYPE.unknown)] ?? 0;
	const element = elementMeant(catalog, declared, given, whole.compatible);
	if (element === null) return 0;
	return whole.shape === 'element' ? element : catalog.arrayTypeOf(element);
}

/** The type that a literal is given where a polymorphic one is declared; 0 where it is not told. */
export function declaredFor(
	catalog: CatalogSnapshot,
	declared: readonly number[],
	given: readonly number[],
	at: number,
): number {
	return resultOf(catalog, declared[at] ?? 0, { declared }, given);
}

type Shape = 'element' | 'nonarray' | 'array' | 'enum' | 'range' | 'multirange';
interface Polymorphic {
	readonly shape: 'element' | 'array' | 'range';
	readonly wants: Shape;
	readonly compatible: boolean;
}

function polymorphic(shape: Polymorphic['shape'], compatible: boolean, wants: Shape = shape): Polymorphic {
	return { shape, wants, compatible };
}

const POLYMORPHIC: ReadonlyMap<number, Polymorphic> = new Map([
	[2283, polymorphic('element', false)],
	[2776, polymorphic('element', false, 'nonarray')],
	[3500, polymorphic('element', false, 'enum')],
	[2277, polymorphic('array', false)],
	[3831, polymorphic('range', false)],
	[4537, polymorphic('range', false, 'multirange')],
	[5077, polymorphic('element', true)],
	[5079, polymorphic('element', true, 'nonarray')],
	[5078, polymorphic('array', true)],
	[5080, polymorphic('range', true)],
	[4538, polymorphic('range', true, 'multirange')],
]);

/** The element type that the polymorphic arguments stand for; null where they do not tell, or not alike. */
function elementMeant(
	catalog: CatalogSnapshot,
	declared: readonly number[],
	given: readonly number[],
	compatible: boolean,
): number | null {
	const found: number[] = [];
	for (const [at, type] of declared.entries()) {
		const wanted = POLYMORPHIC.get(type);
		const actual = given[at] ?? TYPE.unknown;
		if (wanted === undefined || wanted.compatible !== compatible || actual === TYPE.unknown) continue;
		found.push(wanted.shape === 'element' ? actual : partOf(catalog, actual, wanted.shape));
	}
	if (found.length === 0) return compatible ? TYPE.text : null;
	return compatible ? commonOf(catalog, found) : found.every((type) => type === found[0]) ? (found[0] ?? null) : null;
}

function partOf(catalog: CatalogSnapshot, type: number, shape: 'array' | 'range'): number {
	return shape === 'array' ? elementOf(catalog, type) : boundOf(catalog, type);
}

/** Ranges and multiranges that come with the server, and what they are of; of others the catalogue tells. */
const BOUNDS: ReadonlyMap<number, number> = new Map([
	[3904, TYPE.int4],
	[4451, TYPE.int4],
	[3926, TYPE.int8],
	[4536, TYPE.int8],
	[3906, TYPE.numeric],
	[4532, TYPE.numeric],
	[3908, TYPE.timestamp],
	[4533, TYPE.timestamp],
	[3910, TYPE.timestamptz],
	[4534, TYPE.timestamptz],
	[3912, TYPE.date],
	[4535, TYPE.date],
]);

/** What a range is of, where that is known; otherwise 0. */
export function boundOf(catalog: CatalogSnapshot, type: number): number {
	const base = baseType(catalog, type) ?? type;
	const builtIn = BOUNDS.get(base);
	if (builtIn !== undefined) return builtIn;
	const { kind, makes: [part = 0] = [] } = catalog.typeByOid(base) ?? {};
	if (kind === 'm') return boundOf(catalog, part);
	return kind === 'r' ? part : 0;
}

/** Of an array type, its element's; otherwise 0. */
export function elementOf(catalog: CatalogSnapshot, type: number): number {
	const { element = 0 } = catalog.typeByOid(baseType(catalog, type) ?? type) ?? {};
	return element !== 0 && catalog.arrayTypeOf(element) === (baseType(catalog, type) ?? type) ? element : 0;
}

/** select_common_type: of CASE, COALESCE, GREATEST, ARRAY and the like; null where there is none. Literals alone are text. */
export function commonOf(catalog: CatalogSnapshot, types: readonly number[]): number | null {
	const known = types.filter((type) => type !== TYPE.unknown);
	if (known.every((type) => type === known[0])) return known[0] ?? TYPE.text;
	let common: number | undefined;
	for (const type of known.map((one) => baseType(catalog, one) ?? one)) {
		if (common === undefined) common = type;
		if (type === common) continue;
		const [one, other] = [catalog.typeByOid(common), catalog.typeByOid(type)];
		if (one === undefined || other === undefined || one.category !== other.category) return null;
		if (!one.preferred && isImplicit(catalog, common, type) && !isImplicit(catalog, type, common)) common = type;
	}
	return common ?? null;
}

/** can_coerce_type without being asked: a literal goes to any type. */
export function isImplicit(catalog: CatalogSnapshot, from: number, to: number): boolean {
	if (from === to || from === TYPE.unknown || to === ANY) return true;
	const [source, target] = [baseType(catalog, from) ?? from, baseType(catalog, to) ?? to];
	if (source === target) return from === source || to === target || from === to;
	const cast = catalog.cast(source, target);
	if (cast !== undefined) return cast.context === 'implicit';
	const [one, other] = [elementOf(catalog, source), elementOf(catalog, target)];
	return one !== 0 && other !== 0 && isImplicit(catalog, one, other);
}

function fits<T>(catalog: CatalogSnapshot, types: readonly number[], { declared }: Candidate<T>): boolean {
	const matches = declared.every((type, at) => {
		const actual = types[at] ?? 0;
		const wanted = POLYMORPHIC.get(type);
		if (wanted === undefined) return isImplicit(catalog, actual, type);
		return actual === TYPE.unknown || hasShape(catalog, actual, wanted.wants);
	});
	const isTold = (compatible: boolean): boolean =>
		!declared.some((type, at) => POLYMORPHIC.get(type)?.compatible === compatible && types[at] !== TYPE.unknown) ||
		elementMeant(catalog, declared, types, compatible) !== null;
	return matches && isTold(false) && isTold(true);
}

function hasShape(catalog: CatalogSnapshot, type: number, shape: Shape): boolean {
	const kind = catalog.typeByOid(baseType(catalog, type) ?? type)?.kind;
	switch (shape) {
		case 'element':
			return true;
		case 'nonarray':
			return elementOf(catalog, type) === 0;
		case 'array':
			return elementOf(catalog, type) !== 0;
		case 'enum':
			return kind === 'e';
		case 'range':
			return kind === 'r';
		case 'multirange':
			return kind === 'm';
		default:
			return unreachable(shape);
	}
}

/** func_match_argtypes and func_select_candidate. */
function select<T>(
	catalog: CatalogSnapshot,
	given: readonly number[],
	all: readonly Candidate<T>[],
): Candidate<T> | null {
	let left = all.filter((candidate) => fits(catalog, given, candidate));
	if (left.length <= 1) return left[0] ?? null;
	const types = given.map((type) => baseType(catalog, type) ?? type);
	left = best(left, ({ declared }) => count(types, (type, at) => type !== TYPE.unknown && declared[at] === type));
	if (left.length === 1) return left[0] ?? null;
	left = best(left, ({ declared }) =>
		count(
			types,
			(type, at) => type !== TYPE.unknown && (declared[at] === type || isPreferred(catalog, type, declared[at])),
		),
	);
	if (left.length === 1) return left[0] ?? null;
	if (!types.includes(TYPE.unknown)) return null;
	left = byCategory(catalog, types, left);
	if (left.length === 1) return left[0] ?? null;
	return byOthers(catalog, types, left);
}

function isPreferred(catalog: CatalogSnapshot, type: number, declared: number | undefined): boolean {
	const wanted = catalog.typeByOid(declared ?? 0);
	return wanted?.preferred === true && wanted.category === catalog.typeByOid(type)?.category;
}

/** Literals: the category that all candidates want, or strings where one does, and its preferred type. */
function byCategory<T>(catalog: CatalogSnapshot, types: readonly number[], candidates: Candidate<T>[]): Candidate<T>[] {
	let kept = candidates;
	for (const [at, type] of types.entries()) {
		if (type !== TYPE.unknown) continue;
		const wanted = candidates.map(({ declared }) => catalog.typeByOid(declared[at] ?? 0));
		const categories = new Set(wanted.map((one) => one?.category));
		if (categories.size > 1 && !categories.has('S')) return candidates;
		const category = categories.size > 1 ? 'S' : [...categories][0];
		const preferred = wanted.some((one) => one?.category === category && one?.preferred === true);
		kept = kept.filter(({ declared }) => {
			const one = catalog.typeByOid(declared[at] ?? 0);
			return one?.category === category && (!preferred || one?.preferred === true);
		});
	}
	return kept.length > 0 ? kept : candidates;
}

/** All that is known is of one type: literals are taken for it. */
function byOthers<T>(
	catalog: CatalogSnapshot,
	types: readonly number[],
	candidates: readonly Candidate<T>[],
): Candidate<T> | null {
	const known = [...new Set(types.filter((type) => type !== TYPE.unknown))];
	const [only] = known;
	if (only === undefined || known.length > 1) return null;
	const same = types.map(() => only);
	const fitting = candidates.filter((candidate) => fits(catalog, same, candidate));
	return fitting.length === 1 ? (fitting[0] ?? null) : null;
}

function best<T>(of: readonly T[], score: (one: T) => number): T[] {
	const scores = of.map(score);
	const most = Math.max(...scores);
	return of.filter((_, at) => scores[at] === most);
}

function count(types: readonly number[], counts: (type: number, at: number) => boolean): number {
	return types.filter(counts).length;
}
