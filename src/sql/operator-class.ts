/** Operator classes of users: what sorts or indexes by one runs its functions, which need `execute` like those behind an operator. */
import type { Node } from '@pgsql/types';
import type { OperatorClass } from '../catalog/snapshot.ts';
import { stringsOf } from './names.ts';
import { as, type NodeOf } from './nodes.ts';
import { checkOperator, type Operation, operatorsMeant } from './operators.ts';
import { checkRoutine } from './routines.ts';
import { baseType } from './types.ts';
import { resolveBare, type Scope } from './scope.ts';
import type { Walk } from './walk.ts';

/**
 * What an index, an exclusion constraint or a partition key is sorted by: the class that is named, or else that of its type.
 * `types`: those of the column or expression; null where they can't be told, which may be any.
 */
export function indexedBy(walk: Walk, named: readonly Node[] | undefined, types: readonly number[] | null): void {
	const names = stringsOf(named);
	for (const entry of walk.context.catalog.operatorClasses) {
		const isMeant = names.length > 0 ? isNamed(entry, names) : entry.isDefault && isOfOne(walk, entry, types);
		if (isMeant) checkClass(walk, entry);
	}
}

/** In whichever schema: once one is dropped, another is meant. */
function isNamed({ schema, name }: OperatorClass, names: readonly string[]): boolean {
	return name === names.at(-1) && (names.length < 2 || schema === names.at(-2));
}

/** A row, an array or a range is compared by its parts. */
function isOfOne(walk: Walk, { type }: OperatorClass, types: readonly number[] | null): boolean {
	if (types === null) return true;
	const { catalog } = walk.context;
	const wanted = catalog.typeByOid(type);
	const seen = new Set<number>();
	const isIn = (oid: number): boolean => {
		if (oid === type || wanted?.kind === 'p') return true;
		const own = catalog.typeByOid(baseType(catalog, oid) ?? oid);
		if (own === undefined || seen.has(own.oid)) return false;
		seen.add(own.oid);
		const fields = own.relation === 0 ? [] : (catalog.relationByOid(own.relation)?.columns ?? []);
		return [own.oid, own.element, ...fields.map(({ typeOid }) => typeOid)].some((part) => part !== oid && isIn(part));
	};
	return types.some(isIn);
}

/** The index behind a key or an exclusion constraint. `types`: of the columns that it may be on, which `scope` tells by their names. */
export function constrainedBy(
	walk: Walk,
	constraint: NodeOf<'Constraint'>,
	types: readonly (number | null)[],
	scope: Scope,
): void {
	const known = types.flatMap((type) => type ?? []);
	const columns = known.length < types.length ? null : known;
	if (constraint.contype === 'CONSTR_PRIMARY' || constraint.contype === 'CONSTR_UNIQUE')
		indexedBy(walk, undefined, columns);
	for (const exclusion of constraint.exclusions ?? []) {
		const [index, operator] = as(exclusion, 'List')?.items ?? [];
		const element = as(index, 'IndexElem');
		indexedBy(walk, element?.opclass, element?.expr === undefined ? columns : null);
		const names = stringsOf(as(operator, 'List')?.items);
		const column = element?.expr === undefined ? resolveBare(scope, element?.name ?? '') : undefined;
		// Both operands are values of the element; a class that is named may be for another type.
		const type = column?.kind === 'column' && element?.opclass === undefined ? column.column.type : null;
		if (names.length > 0) checkOperator(walk, { names, left: type, right: type, location: undefined });
	}
}

/** `ORDER BY ... USING operator`, which sorts by the support function of a class that has the operator. */
export function sortedBy(walk: Walk, operation: Operation): void {
	checkOperator(walk, operation);
	const users = operatorsMeant(walk, operation).filter(({ schema }) => schema !== 'pg_catalog');
	for (const entry of walk.context.catalog.operatorClasses)
		if (users.some(({ oid }) => entry.operators.includes(oid))) checkClass(walk, entry);
}

/** Functions of extensions are the server's administrator's, as in casts. */
function checkClass(walk: Walk, { routines }: OperatorClass): void {
	const { catalog } = walk.context;
	for (const oid of routines) {
		const routine = catalog.routineByOid(oid);
		if (routine !== undefined && !routine.builtin && routine.ofExtension !== true)
			checkRoutine(walk, routine, 'execute', undefined);
	}
}
