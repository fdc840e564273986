/** `(x).f` and `x.f` may call a function f(x): such a call needs what f(x) written out would need. */
import { coercedArguments } from './coercions.ts';
import { checkRoutine, findRoutines, noteResult } from './routines.ts';
import { baseType } from './types.ts';
import type { Walk } from './walk.ts';

/** They carry no column's value; a row of a table has them as fields too. */
export const SYSTEM_COLUMNS: ReadonlySet<string> = new Set(['tableoid', 'ctid', 'xmin', 'xmax', 'cmin', 'cmax']);

/** The field's type where `type` is a composite that has the field; undefined for what may be a call, which is checked. */
export function fieldFunction(walk: Walk, field: string, type: number | null): number | undefined {
	const { catalog } = walk.context;
	const composite = type === null ? undefined : catalog.typeByOid(baseType(catalog, type) ?? type);
	if (composite !== undefined && composite.relation !== 0) {
		const column = catalog.relationByOid(composite.relation)?.columns.find((candidate) => candidate.name === field);
		if (column !== undefined) return column.typeOid;
	}
	const call = {
		names: [field],
		args: [{ type, constant: false, safe: false }],
		loose: false,
		location: undefined,
		action: 'execute' as const,
	};
	const routines = findRoutines(walk.context, call);
	for (const routine of routines) {
		checkRoutine(walk, routine, 'execute', undefined);
		noteResult(walk, routine);
	}
	coercedArguments(walk, routines, call);
	if (routines.length > 0 || walk.mode === 'view') return undefined;
	// A function that only the session sees yet is looked for through it.
	if (composite !== undefined && composite.kind !== 'p' && !SYSTEM_COLUMNS.has(field)) walk.doubt = true;
	walk.sought.push(field);
	return undefined;
}
