/** The name that the server gives to an output column without AS (FigureColname of the server). */
import type { Node, SelectStmt } from '@pgsql/types';
import { stringsOf } from './names.ts';
import { as } from './nodes.ts';

/** Names of the first columns of subqueries that have been walked: what a star in them stands for. */
export type FirstColumns = Pick<WeakMap<Node, string>, 'get'>;

const NONE: FirstColumns = new WeakMap();

/** `?column?` where nothing gives a name. `known`: what is known of subqueries in it. */
export function outputName(node: Node | undefined, known: FirstColumns = NONE): string {
	return figure(node, known)?.name ?? '?column?';
}

/** `strong` names win over those of a cast's type or a CASE. */
function figure(node: Node | undefined, known: FirstColumns): { name: string; strong: boolean } | undefined {
	if (node === undefined) return undefined;
	const strong = (name: string): { name: string; strong: boolean } => ({ name, strong: true });
	if ('ColumnRef' in node) return lastName(stringsOf(node.ColumnRef.fields));
	if ('A_Indirection' in node)
		return lastName(stringsOf(node.A_Indirection.indirection)) ?? figure(node.A_Indirection.arg, known);
	if ('FuncCall' in node) return strong(stringsOf(node.FuncCall.funcname).at(-1) ?? '');
	if ('A_Expr' in node && node.A_Expr.kind === 'AEXPR_NULLIF') return strong('nullif');
	if ('TypeCast' in node) {
		const arg = figure(node.TypeCast.arg, known);
		if (arg?.strong === true) return arg;
		const type = stringsOf(node.TypeCast.typeName?.names).at(-1);
		return type === undefined ? arg : { name: type, strong: false };
	}
	if ('CollateClause' in node) return figure(node.CollateClause.arg, known);
	if ('GroupingFunc' in node) return strong('grouping');
	if ('MergeSupportFunc' in node) return strong('merge_action');
	if ('SubLink' in node) return subLinkName(node.SubLink.subLinkType, node.SubLink.subselect, known);
	if ('CaseExpr' in node) {
		const otherwise = figure(node.CaseExpr.defresult, known);
		return otherwise?.strong === true ? otherwise : { name: 'case', strong: false };
	}
	return fixedName(node);
}

function lastName(names: readonly string[]): { name: string; strong: boolean } | undefined {
	const name = names.findLast((candidate) => candidate !== '');
	return name === undefined ? undefined : { name, strong: true };
}

function subLinkName(
	type: string | undefined,
	subselect: Node | undefined,
	known: FirstColumns,
): { name: string; strong: boolean } | undefined {
	if (type === 'EXISTS_SUBLINK') return { name: 'exists', strong: true };
	if (type === 'ARRAY_SUBLINK') return { name: 'array', strong: true };
	if (type !== 'EXPR_SUBLINK' || subselect === undefined) return undefined;
	return { name: known.get(subselect) ?? firstColumn(as(subselect, 'SelectStmt')), strong: true };
}

/** The name of a query's first column: that of its leftmost part. */
function firstColumn(query: SelectStmt | undefined): string {
	if (query?.larg !== undefined) return firstColumn(query.larg);
	if (query?.valuesLists !== undefined) return 'column1';
	const target = as(query?.targetList?.[0], 'ResTarget');
	return target?.name ?? outputName(target?.val);
}

const FIXED: Readonly<Record<string, string>> = {
	A_ArrayExpr: 'array',
	RowExpr: 'row',
	CoalesceExpr: 'coalesce',
	XmlSerialize: 'xmlserialize',
	JsonParseExpr: 'json',
	JsonScalarExpr: 'json_scalar',
	JsonSerializeExpr: 'json_serialize',
	JsonObjectConstructor: 'json_object',
	JsonArrayConstructor: 'json_array',
	JsonArrayQueryConstructor: 'json_array',
	JsonObjectAgg: 'json_objectagg',
	JsonArrayAgg: 'json_arrayagg',
};

function fixedName(node: Node): { name: string; strong: boolean } | undefined {
	const tag = Object.keys(node)[0] ?? '';
	const fixed = FIXED[tag];
	if (fixed !== undefined) return { name: fixed, strong: true };
	if ('MinMaxExpr' in node) return { name: node.MinMaxExpr.op === 'IS_GREATEST' ? 'greatest' : 'least', strong: true };
	if ('SQLValueFunction' in node) return { name: sqlValueName(node.SQLValueFunction.op), strong: true };
	if ('JsonFuncExpr' in node)
		return { name: (node.JsonFuncExpr.op ?? '').replace(/_OP$/, '').toLowerCase(), strong: true };
	if ('XmlExpr' in node && node.XmlExpr.op !== 'IS_DOCUMENT')
		return { name: (node.XmlExpr.op ?? '').replace(/^IS_/, '').toLowerCase(), strong: true };
	return undefined;
}

function sqlValueName(op: string | undefined): string {
	return (op ?? '')
		.replace(/^SVFOP_/, '')
		.replace(/_N$/, '')
		.toLowerCase();
}
