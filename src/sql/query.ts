/** Walks whatever may stand where a query stands: SELECT anywhere, writing statements in WITH. */
import type { Node } from '@pgsql/types';
import { merge } from './merge.ts';
import { tagOf } from './nodes.ts';
import type { ItemColumn, Scope } from './scope.ts';
import { select } from './select.ts';
import { type Place, refuse, type Walk } from './walk.ts';
import { insert, remove, update } from './write.ts';

export function queryNode(walk: Walk, node: Node, scope: Scope | null, place: Place): readonly ItemColumn[] | null {
	if ('SelectStmt' in node) return select(walk, node.SelectStmt, scope, place);
	if ('InsertStmt' in node) return insert(walk, node.InsertStmt, scope, true);
	if ('UpdateStmt' in node) return update(walk, node.UpdateStmt, scope, true);
	if ('DeleteStmt' in node) return remove(walk, node.DeleteStmt, scope);
	if ('MergeStmt' in node) return merge(walk, node.MergeStmt, scope, true);
	throw refuse(walk, `a query of kind ${tagOf(node)}`);
}
