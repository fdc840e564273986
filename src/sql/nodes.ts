/** Every node type of the grammar and the part it plays; a new parser version that adds one does not compile until somebody has looked at it. */
import type { Node } from '@pgsql/types';

type KeysOfUnion<T> = T extends unknown ? keyof T : never;

/** Name of a node type, e.g. SelectStmt. */
export type NodeTag = KeysOfUnion<Node>;

/** The value of a node of type K. */
export type NodeOf<K extends NodeTag> = Extract<Node, Record<K, unknown>>[K];

/** The tag of a node. A node has exactly one key. */
export function tagOf(node: Node): NodeTag {
	return Object.keys(node)[0] as NodeTag;
}

/** The value of a node if it is of that type. */
export function as<K extends NodeTag>(node: Node | undefined, tag: K): NodeOf<K> | undefined {
	if (node === undefined || !(tag in node)) return undefined;
	return (node as Record<string, unknown>)[tag] as NodeOf<K>;
}
