/** `(x).f` and `x.f` may call a function f(x): such a call needs what f(x) written out would need. */
import { checkRoutine, findRoutines } from './routines.ts';
import type { Walk } from './walk.ts';

/** Checks what a field selection may call; gives the field's type where `type` is a composite that has the field. */
export function fieldFunction(walk: Walk, field: string, type: number | null): number | null {
	const { catalog } = walk.context;
	const composite = type === null ? undefined : catalog.typeByOid(type);
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
	for (const routine of findRoutines(walk.context, call)) checkRoutine(walk, routine, 'execute', undefined);
	return null;
}
