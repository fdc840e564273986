/** The target of a write, whose masked columns are written out in place wherever the statement reads them. */
import type { Protection } from './protection.ts';
import type { Relation } from '../catalog/snapshot.ts';

/** How references to a write's target are treated. Never both masked and raw: a reference is replaced, or refused. */
export interface InlineTarget {
	readonly relation: Relation;
	readonly protection: Protection;
	/** SQL by which the row is qualified: the alias, or the relation's name, or old/new. */
	readonly qualifier: string;
}
