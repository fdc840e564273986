/** The SQL/JSON constructors and query functions: their parts are expressions, their code is the server's own. */
import type { JsonBehavior, JsonOutput, JsonValueExpr, Node } from '@pgsql/types';
import { checkUserCasts, usedType } from './casts.ts';
import { coercedTo, coercedToJson } from './coercions.ts';
import { TYPE } from './names.ts';
import { as, type NodeOf, type NodeTag } from './nodes.ts';
import type { Around } from './expression.ts';
import { type ExprInfo, refuse } from './walk.ts';

type Handlers = { [K in NodeTag]?: (value: NodeOf<K>, around: Around) => ExprInfo };

/** The walkers of expression.ts, given here so that the two files need not import each other. */
export interface JsonWalkers {
	readonly expression: (node: Node | undefined, around: Around) => ExprInfo;
	readonly sortItems: (nodes: readonly Node[] | undefined, around: Around) => void;
	readonly windowDefinition: (window: NodeOf<'WindowDef'> | undefined, around: Around) => void;
}

/** Handlers for the nodes of SQL/JSON. */
export function jsonExpressions(walkers: JsonWalkers): Handlers {
	const value = (node: JsonValueExpr | undefined, around: Around): boolean => made(walkers, node?.raw_expr, around);
	const behavior = (node: JsonBehavior | undefined, around: Around): void => {
		walkers.expression(node?.expr, around);
	};
	const aggregate = (node: NodeOf<'JsonAggConstructor'> | undefined, around: Around): void => {
		walkers.expression(node?.agg_filter, around);
		walkers.sortItems(node?.agg_order, around);
		walkers.windowDefinition(node?.over, around);
		outputType(node?.output, around);
	};
	const keyValue = (node: NodeOf<'JsonKeyValue'> | undefined, around: Around): boolean => {
		const key = made(walkers, node?.key, around);
		return value(node?.value, around) && key;
	};
	return {
		JsonValueExpr: (node, around) => result(value(node, around), undefined, around),
		JsonParseExpr: (node, around) => result(value(node.expr, around), node.output, around),
		JsonScalarExpr: (node, around) => result(made(walkers, node.expr, around), node.output, around),
		JsonSerializeExpr: (node, around) => result(value(node.expr, around), node.output, around),
		JsonIsPredicate: (node, around) => ({
			...result(made(walkers, node.expr, around), undefined, around),
			type: TYPE.bool,
		}),
		JsonObjectConstructor: (node, around) =>
			result(
				(node.exprs ?? []).map((item) => keyValue(as(item, 'JsonKeyValue'), around)).every(Boolean),
				node.output,
				around,
			),
		JsonArrayConstructor: (node, around) =>
			result(
				(node.exprs ?? []).map((item) => value(as(item, 'JsonValueExpr'), around)).every(Boolean),
				node.output,
				around,
			),
		JsonArrayQueryConstructor: (node, around) => {
			if (node.query === undefined) throw refuse(around.walk, 'JSON_ARRAY without a query', node.location);
			const columns = around.walk.query(around.walk, node.query, around.scope, around.place);
			coercedToJson(around.walk, columns ?? [{ type: null }]);
			outputType(node.output, around);
			return { type: null, constant: false, safe: true };
		},
		JsonObjectAgg: (node, around) => {
			aggregate(node.constructor, around);
			keyValue(node.arg, around);
			return { type: null, constant: false, safe: false };
		},
		JsonArrayAgg: (node, around) => {
			aggregate(node.constructor, around);
			value(node.arg, around);
			return { type: null, constant: false, safe: false };
		},
		JsonFuncExpr: (node, around) => {
			const constant = value(node.context_item, around);
			const path = walkers.expression(node.pathspec, around).constant;
			const passed = (node.passing ?? []).map((item) => value(as(item, 'JsonArgument')?.val, around)).every(Boolean);
			behavior(node.on_empty, around);
			behavior(node.on_error, around);
			const type = node.op === 'JSON_EXISTS_OP' ? TYPE.bool : null;
			return { ...result(constant && path && passed, node.output, around), type };
		},
	};
}

/** A value is made JSON, or taken for JSON or for text that is read as such. True where it is constant. */
function made(walkers: JsonWalkers, node: Node | undefined, around: Around): boolean {
	const info = walkers.expression(node, around);
	coercedToJson(around.walk, [info]);
	coercedTo(around.walk, info, [TYPE.json, TYPE.jsonb, TYPE.text]);
	return info.constant;
}

/** RETURNING: what comes out is cast to the type, whatever it was. */
function outputType(output: JsonOutput | undefined, { walk }: Around): void {
	const type = usedType(walk, output?.typeName, undefined);
	checkUserCasts(walk, null, type?.oid, undefined);
}

/** Their functions are not leakproof: safe only over constants, and then they run with the statement. */
function result(constant: boolean, output: JsonOutput | undefined, around: Around): ExprInfo {
	outputType(output, around);
	if (constant) around.walk.lates += 1;
	return { type: null, constant, safe: constant, runs: constant, late: constant };
}
