/** What is known of an expression by its parts: whether it may meet rows that a filter hides, and whether it may fail only once it runs. */
import { coercedTogether } from './coercions.ts';
import { commonType } from './types.ts';
import type { ExprInfo, Walk } from './walk.ts';

/** Parts of one whole: constant or safe when all of them are. */
export function joined(parts: readonly ExprInfo[], type?: number | null): ExprInfo {
	return {
		type: type === undefined ? commonType(parts.map((part) => part.type)) : type,
		constant: parts.every((part) => part.constant),
		safe: parts.every((part) => part.safe),
		runs: parts.some((part) => part.runs === true),
		late: parts.some((part) => part.late === true),
	};
}

/** Parts of which some are computed only where others came out one way: a row then decides whether a constant is, and fails. */
export function tried(parts: readonly ExprInfo[], type?: number | null): ExprInfo {
	const whole = joined(parts, type);
	return whole.late === true && !whole.constant ? { ...whole, safe: false } : whole;
}

/** The server brings them to one type; where they are not known to be of one, code that is not leakproof may do so. */
export function brought(walk: Walk, parts: readonly ExprInfo[]): ExprInfo {
	const whole = tried(parts);
	const runs = coercedTogether(walk, parts);
	return runs || (whole.type === null && parts.length > 1) ? unsafe(walk, whole) : whole;
}

/** The result of a call with these arguments. `folds`: of constants the planner knows it before anything runs. */
export function called(
	walk: Walk,
	args: ExprInfo,
	info: { type: number | null; constant: boolean; leakproof: boolean; folds: boolean },
): ExprInfo {
	const { type, constant, leakproof, folds } = info;
	const runs = args.runs === true || (constant && !folds);
	const late = args.late === true || (constant && runs && !leakproof);
	if (late && args.late !== true) walk.lates += 1;
	return { type, constant, safe: args.safe && (leakproof || constant), runs, late };
}

/** Code over row values that is not known to be leakproof; over constants it runs with the statement. */
export function unsafe(walk: Walk, info: ExprInfo): ExprInfo {
	if (!info.constant) return { ...info, safe: false };
	walk.lates += 1;
	return { ...info, runs: true, late: true };
}
