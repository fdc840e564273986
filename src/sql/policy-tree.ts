/** What the pinning of masks and filters is made of: trees with types, and what cannot be pinned. */
import type { PolicyTree } from '../stages.ts';

/** A part of a mask or filter, and its type; TYPE.unknown for a literal without one, 0 where the type is not told. */
export interface Typed {
	readonly tree: PolicyTree;
	readonly type: number;
}

/** A part of a mask or filter would mean what the session's settings say, and there is no way to write it otherwise. */
export class Unsettled extends Error {
	/** @param what the part, in words of the expression. @param advice how to write it instead. */
	constructor(what: string, advice: string) {
		super(`${what} means what the session's settings say: ${advice}`);
		this.name = 'Unsettled';
	}
}

export function unsettled(what: string, advice: string): Unsettled {
	return new Unsettled(what, advice);
}

export function textTree(text: string): PolicyTree {
	return { node: 'text', text };
}

export function callTree(name: string, ...args: readonly PolicyTree[]): PolicyTree {
	return { node: 'call', name, args };
}

export function castTo(type: string, of: PolicyTree, modifier = ''): PolicyTree {
	return { node: 'cast', of, type, modifier, array: false };
}

export function operatorTree(op: string, left: PolicyTree, right: PolicyTree): PolicyTree {
	return { node: 'operator', op, left, right };
}

/** What a `timestamptz` is on the clocks of a zone. `zone`: as `pinnedZone` writes it. */
export function local(of: PolicyTree, zone: string): PolicyTree {
	return callTree('timezone', castTo('text', textTree(zone)), of);
}

/** The `timestamptz` at which clocks of a zone show a `timestamp`. */
export function absolute(of: PolicyTree, zone: string): PolicyTree {
	return local(of, zone);
}

/** The day that it is in a zone. */
export function today(zone: string): PolicyTree {
	return castTo('date', local(callTree('now'), zone));
}
