/** Which types the server would coerce without being asked: enough of it to tell which overloads cannot be meant. */
import type { CatalogSnapshot } from '../catalog/snapshot.ts';
import { TYPE } from './names.ts';

/** Domains count as their base type, varchar as text: what operators and functions are looked up by. */
export function baseType(catalog: CatalogSnapshot, oid: number | null): number | null {
	if (oid === null) return null;
	let at = oid;
	for (let hops = 0; hops < 32; hops += 1) {
		const type = catalog.typeByOid(at);
		if (type === undefined || type.kind !== 'd') break;
		at = type.base;
	}
	return at;
}

/**
 * The type that UNION, VALUES, CASE, COALESCE and ARRAY give to values of these types. Several make a common one by rules
 * that are not repeated here: null, so that nobody takes one of them for it.
 */
export function commonType(types: readonly (number | null)[]): number | null {
	const known = new Set(types.filter((type) => type !== TYPE.unknown));
	if (known.size > 1) return null;
	const [only] = known;
	return only === undefined && types.length > 0 ? TYPE.text : (only ?? null);
}

/** Untyped literals in the columns of a query are text to whoever reads it. */
export function resolvedType(type: number | null): number | null {
	return type === TYPE.unknown ? TYPE.text : type;
}

/** For finding exact operators: varchar has none of its own and uses text's. */
export function operatorType(catalog: CatalogSnapshot, oid: number | null): number | null {
	const base = baseType(catalog, oid);
	return base === TYPE.varchar ? TYPE.text : base;
}

/** anyrange, anymultirange, anycompatiblemultirange, anycompatiblerange: no cast makes a range for them. */
const ANY_RANGE: ReadonlySet<number> = new Set([3831, 4537, 4538, 5080]);
const NO_RANGES: ReadonlySet<string> = new Set(['b', 'c', 'e']);

/**
 * False only where the server certainly would not coerce `from` to `to` implicitly. Unknown types and pseudo-types count
 * as coercible, so a caller that asks "can this overload be meant" errs towards yes.
 */
export function maybeCoercible(catalog: CatalogSnapshot, from: number | null, to: number): boolean {
	if (from === null || from === TYPE.unknown || from === to) return true;
	const target = catalog.typeByOid(to);
	if (target === undefined || (target.kind === 'p' && !ANY_RANGE.has(to))) return true;
	const source = baseType(catalog, from) ?? from;
	if (target.kind === 'p') return !NO_RANGES.has(catalog.typeByOid(source)?.kind ?? '');
	if (source === to || baseType(catalog, to) === source) return true;
	const sourceType = catalog.typeByOid(source);
	if (sourceType === undefined) return true;
	if (sourceType.kind === 'c' || sourceType.kind === 'p') return true;
	const cast = catalog.cast(source, to) ?? catalog.cast(from, to);
	if (cast !== undefined) return cast.context === 'implicit';
	if (sourceType.element !== 0 && target.element !== 0)
		return maybeCoercible(catalog, sourceType.element, target.element);
	return false;
}
