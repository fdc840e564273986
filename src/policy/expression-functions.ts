/** Which functions an expression of masks.yaml may not call, however harmless: those that need or make several rows. */

/**
 * Why a function may not be called, or undefined when it may. `name` is without schema: only pg_catalog's are called.
 */
export function refusedFunction(name: string, isHarmless: (name: string) => boolean): string | undefined {
	if (ROW_FUNCTIONS.has(name)) return `function ${name} aggregates rows or returns several, which is not allowed in an expression`;
	if (!isHarmless(name)) return `function ${name} is not on the list of harmless built-in functions`;
	return undefined;
}

/** Aggregates, window functions and set-returning functions of pg_catalog, PostgreSQL 14 to 18. */
const ROW_FUNCTIONS: ReadonlySet<string> = new Set(['count', 'sum', 'unnest', 'generate_series']);
