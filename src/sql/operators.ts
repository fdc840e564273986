/** Finds the operators that an expression may mean, asks the policy for user-defined ones, and tells leakproof ones. */
import type { Operator } from '../catalog/snapshot.ts';
import { effectivePath, noteShadowed, TYPE, UnknownObject } from './names.ts';
import { coerced } from './coercions.ts';
import { checkRoutine } from './routines.ts';
import { baseType, maybeCoercible, operatorType } from './types.ts';
import { shownType } from './type-display.ts';
import { type AnalysisContext, noteUse, positionAt, type Walk } from './walk.ts';

export interface OperatorInfo {
	readonly type: number | null;
	readonly leakproof: boolean;
	readonly volatile: boolean;
	readonly immutable: boolean;
}

/** `left` is undefined for a prefix operator; a type of null can't be told. */
export interface Operation {
	readonly names: readonly string[];
	readonly left: number | null | undefined;
	readonly right: number | null;
	readonly location: number | undefined;
}

/** Checks every operator that may be meant; the server says itself where there is none. */
export function checkOperator(walk: Walk, operation: Operation): OperatorInfo {
	const { context } = walk;
	const candidates = operatorsMeant(walk, operation);
	let leakproof = candidates.length > 0;
	let volatile = false;
	let immutable = candidates.length > 0;
	for (const operator of candidates) {
		walk.types.add(operator.result);
		if (coercedOperands(walk, operation, operator)) leakproof = false;
		const routine = context.catalog.routineByOid(operator.routine);
		if (routine === undefined) {
			leakproof = false;
			immutable = false;
			continue;
		}
		if (!routine.builtin) {
			walk.usersOperator = true;
			checkRoutine(walk, routine, 'execute', operation.location);
		} else if (routine.volatility === 'volatile') {
			// None of PostgreSQL's own operators has such a function. What it leaves in the session is to be known.
			noteUse(walk, 'function', routine.schema, `${routine.name}(${routine.argNames.join(',')})`, 'execute');
		}
		leakproof &&= routine.leakproof;
		volatile ||= routine.volatility === 'volatile';
		immutable &&= routine.volatility === 'immutable';
	}
	const first = candidates[0];
	const same = first !== undefined && candidates.every((operator) => operator.result === first.result);
	return { type: same ? polymorphic(context, first.result) : null, leakproof, volatile, immutable };
}

/** True where a user's cast may run on an operand. */
function coercedOperands(walk: Walk, { left, right, location }: Operation, operator: Operator): boolean {
	const wanted = { assignment: false, location };
	const ofLeft = left !== undefined && coerced(walk, { type: left }, { ...wanted, type: operator.left });
	return coerced(walk, { type: right }, { ...wanted, type: operator.right }) || ofLeft;
}

function polymorphic(context: AnalysisContext, type: number): number | null {
	return context.catalog.typeByOid(type)?.kind === 'p' ? null : type;
}

/** Every operator that may be meant; one where that is certain. Throws UnknownObject (42883) where none has the name. */
export function operatorsMeant(walk: Walk, operation: Operation): readonly Operator[] {
	const { names, left, right } = operation;
	const key = `${left ?? (left === null ? '?' : '-')} ${right ?? '?'} ${names.join('\0')}`;
	let meant = walk.operators.get(key);
	if (meant === undefined) walk.operators.set(key, (meant = findOperators(walk, operation)));
	return meant;
}

/** As the server's error has it, where the types are known. */
function signature(walk: Walk, { names, left, right }: Operation): string {
	const types = [...(left === undefined ? [] : [left]), right].map((type) => shownType(walk, type));
	if (types.includes(undefined)) return names.join('.');
	return [...types.slice(0, -1), names.join('.'), types.at(-1)].join(' ');
}

function findOperators(walk: Walk, operation: Operation): readonly Operator[] {
	const { context } = walk;
	const { catalog } = context;
	const name = operation.names.at(-1) ?? '';
	const schema = operation.names.length > 1 ? (operation.names.at(-2) ?? '') : undefined;
	const schemas = schema === undefined ? effectivePath(context, false) : [schema];
	if (schema === undefined) {
		const has = (candidate: string): boolean => catalog.operators(candidate, name).length > 0;
		noteShadowed(context, 'operator', name, has, (candidate) => isBetter(context, operation, candidate));
	}
	const prefix = operation.left === undefined;
	// One that the catalogue does not know may be anything: it is looked for again, and never forwarded.
	if (schemas.every((candidate) => catalog.operators(candidate, name).length === 0)) {
		throw new UnknownObject('42883', `operator does not exist: ${signature(walk, operation)}`, {
			...positionAt(walk, operation.location),
			hint: 'No operator matches the given name and argument types. You might need to add explicit type casts.',
		});
	}
	const named = schemas
		.flatMap((candidate) => [...catalog.operators(candidate, name)])
		.filter((operator) => (operator.left === 0) === prefix)
		.filter((operator) => schema !== undefined || !losesToText(context, operation, operator));
	const fits = (operator: Operator): boolean =>
		(prefix || maybeCoercible(catalog, operation.left ?? null, operator.left)) &&
		maybeCoercible(catalog, operation.right, operator.right);
	// Once it is dropped, one further on in search_path is meant.
	const andBehind = (found: Operator): readonly Operator[] =>
		schema !== undefined || found.schema === 'pg_catalog'
			? [found]
			: [found, ...named.filter((other) => other.schema !== found.schema && fits(other))];
	// What the operands are, before anything is taken for another type.
	const given = exactOperator(named, prefix ? 0 : (operation.left ?? null), operation.right);
	if (given !== undefined) return andBehind(given);
	// A domain counts as its base type then, and an exact fit wins again.
	const based = exactOperator(
		named,
		prefix ? 0 : baseType(catalog, operation.left ?? null),
		baseType(catalog, operation.right),
	);
	if (based !== undefined) return andBehind(based);
	const left = prefix ? 0 : operatorType(catalog, operation.left ?? null);
	const right = operatorType(catalog, operation.right);
	const fitting = named.filter(
		(operator) =>
			(prefix || maybeCoercible(catalog, left, operator.left)) && maybeCoercible(catalog, right, operator.right),
	);
	const exact = exactOperator(named, left, right);
	if (exact === undefined) return fitting.length > 0 ? fitting : named;
	// Varchar: text's operator is meant, unless a user's own takes it too.
	const isUsers = (operator: Operator): boolean => catalog.routineByOid(operator.routine)?.builtin !== true;
	return [...new Set([...andBehind(exact), ...fitting.filter((operator) => operator !== exact && isUsers(operator))])];
}

/** Types that the server takes for text where there is no operator of their own. */
const LIKE_TEXT: ReadonlySet<number | null> = new Set([TYPE.varchar, TYPE.bpchar, TYPE.name]);

/**
 * Beside such a type an untyped literal is text, whatever else an operator would take it for: pg_catalog's own of two texts, the preferred
 * type of strings, wins over all but those for the very type (func_select_candidate of the server). An extension's
 * (`||` of ltree, `~` of citext) is not meant then.
 */
function losesToText({ catalog }: AnalysisContext, { names, left, right }: Operation, operator: Operator): boolean {
	if (left === undefined || (left === TYPE.unknown) === (right === TYPE.unknown)) return false;
	const given = left === TYPE.unknown ? right : left;
	const known = baseType(catalog, given);
	if (!LIKE_TEXT.has(known)) return false;
	const [typed, untyped] = left === TYPE.unknown ? [operator.right, operator.left] : [operator.left, operator.right];
	const literal = catalog.typeByOid(untyped);
	const isOfText = literal === undefined || (literal.category === 'S' && literal.preferred);
	if (typed === known || typed === given || isOfText) return false;
	return catalog
		.operators('pg_catalog', names.at(-1) ?? '')
		.some((own) => own.left === TYPE.text && own.right === TYPE.text);
}

/** An operator of that schema may be taken for one of pg_catalog, which has none of just these types. */
function isBetter({ catalog }: AnalysisContext, { names, left, right }: Operation, schema: string): boolean {
	const name = names.at(-1) ?? '';
	const isPrefix = left === undefined;
	const ofKind = (of: string): readonly Operator[] =>
		catalog.operators(of, name).filter((operator) => (operator.left === 0) === isPrefix);
	if (exactOperator(ofKind('pg_catalog'), isPrefix ? 0 : (left ?? null), right) !== undefined) return false;
	return ofKind(schema).some(
		(operator) =>
			(isPrefix || maybeCoercible(catalog, left ?? null, operator.left)) &&
			maybeCoercible(catalog, right, operator.right),
	);
}

/** The server's first rule: exact types, an untyped literal taken for the type of the other side. */
function exactOperator(named: readonly Operator[], left: number | null, right: number | null): Operator | undefined {
	if (left === null || right === null) return undefined;
	if (left === TYPE.unknown && right === TYPE.unknown) {
		return named.find((operator) => operator.left === TYPE.text && operator.right === TYPE.text);
	}
	const l = left === TYPE.unknown ? right : left;
	const r = right === TYPE.unknown ? (left === 0 ? TYPE.text : left) : right;
	return named.find((operator) => operator.left === l && operator.right === r);
}
