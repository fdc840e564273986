/** Casts: which of them run a user's function, and which may meet rows that a filter hides. */
import type { CatalogSnapshot } from '../catalog/snapshot.ts';
import { TYPE } from './names.ts';
import { checkRoutine } from './routines.ts';
import { baseType } from './types.ts';
import type { Walk } from './walk.ts';

/** Every user-defined cast that an explicit cast to `target` may run needs `execute` on its function. */
export function checkUserCasts(walk: Walk, source: number | null, target: number | undefined, location: number | undefined): void {
	const { catalog } = walk.context;
	if (source === TYPE.unknown || target === undefined) return;
	const element = catalog.typeByOid(target)?.element ?? 0;
	if (element !== 0) {
		// An array is cast element by element.
		const from = source === null ? null : (catalog.typeByOid(baseType(catalog, source) ?? 0)?.element ?? null);
		checkUserCasts(walk, from === 0 ? null : from, element, location);
	}
	const from = baseType(catalog, source);
	const to = baseType(catalog, target);
	for (const cast of catalog.userCasts) {
		if (cast.routine === 0 || (cast.target !== target && cast.target !== to)) continue;
		if (source !== null && cast.source !== source && cast.source !== from) continue;
		const routine = catalog.routineByOid(cast.routine);
		if (routine !== undefined && !routine.builtin) checkRoutine(walk, routine, 'execute', location);
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
