/** Notes columns on whose statistics the planner may try a condition that is not leakproof. */
import type { RangeItem } from './scope.ts';
import type { AskedColumn, Walk } from './walk.ts';

/**
 * A column is read where something of the statement's may run on it before a filter: in a condition (then it counts if that
 * is not leakproof), or in the select list of a query inside, whose column a condition outside may ask about. `name` is the
 * relation's own; without it all columns count.
 */
export function noteAsked(walk: Walk, item: RangeItem, name: string | undefined): void {
	if (walk.asked === null) sampled(walk, { item, name });
	else walk.asked.push({ item, name });
}

/** Runs `walkIt`, which walks a condition and tells whether it is leakproof; what it asks about counts if not. */
export function collectAsked(walk: Walk, walkIt: () => boolean): void {
	const outer = walk.asked;
	const asked: AskedColumn[] = [];
	walk.asked = asked;
	const safe = walkIt();
	walk.asked = outer;
	for (const one of asked) {
		if (!safe) sampled(walk, one);
		else if (outer !== null) outer.push(one);
	}
}

function sampled(walk: Walk, { item, name }: AskedColumn): void {
	const read = walk.reads.get(item);
	if (read === undefined) return;
	if (name !== undefined) read.sampled.add(name);
	else for (const { column } of read.protection.columns) read.sampled.add(column.name);
}
