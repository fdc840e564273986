/** Whether a query in the place of a value gives one row at most, or may fail for giving several. */
import type { Node, SelectStmt } from '@pgsql/types';
import type { CatalogSnapshot } from '../catalog/snapshot.ts';
import { stringsOf } from './names.ts';
import { as, type NodeOf } from './nodes.ts';
import type { Scope } from './scope.ts';
import type { Walk } from './walk.ts';

/** A query in the place of a value fails where it gives several rows, and does so for each row around it that it looks at. */
export function mayFailByCount(walk: Walk, { subLinkType, subselect }: NodeOf<'SubLink'>, around: Scope): boolean {
	if (subLinkType !== 'EXPR_SUBLINK' || isSingle(walk.context.catalog, as(subselect, 'SelectStmt'))) return false;
	for (let scope: Scope | null = around; scope !== null; scope = scope.parent) {
		if (scope.items.some((item) => walk.named.has(item))) return true;
	}
	return false;
}

/** One row at most: nothing in FROM, or an aggregate without GROUP BY, or LIMIT 1. */
function isSingle(catalog: CatalogSnapshot, query: SelectStmt | undefined): boolean {
	if (query === undefined || query.larg !== undefined || query.valuesLists !== undefined) return false;
	const targets = (query.targetList ?? []).map((node) => as(node, 'ResTarget')?.val);
	const isAggregate = (node: Node | undefined): boolean => {
		const call = as(node, 'FuncCall');
		const routines = catalog.routinesNamed(stringsOf(call?.funcname).at(-1) ?? '');
		return call?.over === undefined && routines.length > 0 && routines.every(({ kind }) => kind === 'aggregate');
	};
	if (query.groupClause === undefined && targets.some(isAggregate)) return true;
	const isOne = as(query.limitCount, 'A_Const')?.ival?.ival === 1;
	return isOne && query.limitOption !== 'LIMIT_OPTION_WITH_TIES';
}
