/** Values of a statement that may be written a second time, elsewhere in its text, and are sure to be the same there. */
import type { Node } from '@pgsql/types';
import { isSafeCast } from './casts.ts';
import { constantText, constantType } from './literal.ts';
import { resolveType, stringsOf, TYPE } from './names.ts';
import { as, type NodeOf } from './nodes.ts';
import { operatorsMeant } from './operators.ts';
import { quoteIdentifier } from './quote.ts';
import { findRoutines } from './routines.ts';
import type { Walk } from './walk.ts';

/** A value, written so that it means the same under any search_path. `type`: its oid; UNKNOWN for an untyped literal. */
export interface MovedValue {
	readonly text: string;
	readonly type: number;
}

/** Undefined for anything that is not known to be one value for the whole statement. */
export function movedValue(walk: Walk, node: Node | undefined): MovedValue | undefined {
	const constant = as(node, 'A_Const');
	if (constant !== undefined) {
		const text = constantText(constant);
		return text === undefined ? undefined : { text, type: constantType(constant) };
	}
	const parameter = as(node, 'ParamRef');
	if (parameter !== undefined) return parameterValue(walk, parameter.number ?? 0);
	const time = TIMES[as(node, 'SQLValueFunction')?.op ?? ''];
	if (time !== undefined) return time;
	const cast = as(node, 'TypeCast');
	if (cast !== undefined) return castValue(walk, cast);
	const call = as(node, 'FuncCall');
	if (call !== undefined) return callValue(walk, call);
	const operation = as(node, 'A_Expr');
	return operation?.kind === 'AEXPR_OP' ? computedValue(walk, operation) : undefined;
}

const TIMES: Readonly<Record<string, MovedValue>> = {
	SVFOP_CURRENT_DATE: { text: 'CURRENT_DATE', type: TYPE.date },
	SVFOP_CURRENT_TIMESTAMP: { text: 'CURRENT_TIMESTAMP', type: TYPE.timestamptz },
	SVFOP_LOCALTIMESTAMP: { text: 'LOCALTIMESTAMP', type: TYPE.timestamp },
};

/** Its type is declared, or found by its one place alone: another place, that comes first then, could give it another one. */
function parameterValue(walk: Walk, number: number): MovedValue | undefined {
	const declared = walk.context.parameterTypes[number - 1] ?? 0;
	if (declared === 0 && walk.source.occurrences(number) !== 1) return undefined;
	return { text: `$${number}`, type: declared === 0 ? TYPE.unknown : declared };
}

function castValue(walk: Walk, cast: NodeOf<'TypeCast'>): MovedValue | undefined {
	const value = movedValue(walk, cast.arg);
	const type = resolveType(walk, cast.typeName);
	if (value === undefined || type?.schema !== 'pg_catalog' || (cast.typeName?.typmods ?? []).length > 0)
		return undefined;
	const { catalog, parameterTypes } = walk.context;
	// A parameter of no declared type would get the type of the cast, and be no untyped literal.
	const parameter = as(cast.arg, 'ParamRef');
	const declared = parameter === undefined || (parameterTypes[(parameter.number ?? 0) - 1] ?? 0) !== 0;
	const own = catalog.cast(value.type, type.oid);
	const isBuiltin = own !== undefined && catalog.routineByOid(own.routine)?.builtin === true;
	if (declared && !isBuiltin && !isSafeCast(catalog, value.type, type.oid)) return undefined;
	return { text: `CAST(${value.text} AS pg_catalog.${quoteIdentifier(type.name)})`, type: type.oid };
}

/** The server's own functions that are the same for the whole statement, of values of known types. */
function callValue(walk: Walk, call: NodeOf<'FuncCall'>): MovedValue | undefined {
	const { agg_distinct, agg_filter, agg_order, agg_star, agg_within_group, func_variadic, over } = call;
	if ([agg_distinct, agg_filter, agg_order, agg_star, agg_within_group, func_variadic, over].some(Boolean))
		return undefined;
	const values: MovedValue[] = [];
	for (const arg of call.args ?? []) {
		const value = movedValue(walk, arg);
		if (value === undefined) return undefined;
		values.push(value);
	}
	const routines = findRoutines(walk.context, {
		names: stringsOf(call.funcname),
		args: values.map(({ type }) => ({ type, constant: true, safe: true })),
		loose: false,
		location: call.location,
		action: 'execute',
	});
	const [routine] = routines;
	if (routine === undefined || routines.length !== 1 || !routine.builtin) return undefined;
	if (routine.kind !== 'function' || routine.returnsSet || routine.volatility === 'volatile') return undefined;
	if (walk.context.catalog.typeByOid(routine.returnType)?.kind !== 'b') return undefined;
	const args = values.map(({ text }) => text).join(', ');
	return { text: `pg_catalog.${quoteIdentifier(routine.name)}(${args})`, type: routine.returnType };
}

function computedValue(walk: Walk, operation: NodeOf<'A_Expr'>): MovedValue | undefined {
	const left = movedValue(walk, operation.lexpr);
	const right = movedValue(walk, operation.rexpr);
	if (left === undefined || right === undefined) return undefined;
	const names = stringsOf(operation.name);
	const operators = operatorsMeant(walk, { names, left: left.type, right: right.type, location: operation.location });
	const [operator] = operators;
	const { catalog } = walk.context;
	if (operator?.schema !== 'pg_catalog' || operators.length !== 1) return undefined;
	const routine = catalog.routineByOid(operator.routine);
	if (routine?.builtin !== true || routine.volatility === 'volatile') return undefined;
	if (catalog.typeByOid(operator.result)?.kind !== 'b') return undefined;
	return { text: `(${left.text} OPERATOR(pg_catalog.${operator.name}) ${right.text})`, type: operator.result };
}
