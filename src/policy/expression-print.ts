/** Prints an expression of masks.yaml: everything in parentheses, every function, operator and type pinned to pg_catalog. */
import type {
	Expr,
	ExprBinary,
	ExprCall,
	ExprCase,
	ExprRef,
	ExprTernary,
	ExprUnary,
	ValueKeyword,
} from 'pgsql-ast-parser';
import { unreachable } from '../errors.ts';
import type { ValueUse } from '../stages.ts';
import { quoteLiteral } from './claims.ts';
import type { ExpressionRules, Piece } from './expression.ts';
import { refusedFunction, sessionsChoice } from './expression-functions.ts';
import { typeName } from './expression-types.ts';

/**
 * SQL of the expression with holes for the value, the columns and the claims.
 *
 * The session's search_path could put a look-alike before what the author meant, a better match in the types even after
 * pg_catalog. So operators are written OPERATOR(pg_catalog.+), and what the grammar would resolve by search_path behind
 * other syntax (IN, BETWEEN, LIKE, CASE x WHEN, NULLIF) is written out with such operators.
 *
 * @throws Error with a reason for the author of the policy
 */
export function printExpression(expr: Expr, rules: ExpressionRules): Piece[] {
	return new Printer(rules).expr(expr);
}

type Sql = Piece[];

/** Joins text and pieces: sql`(${left} AND ${right})`. */
function sql(texts: TemplateStringsArray, ...parts: readonly (Sql | string)[]): Sql {
	const out: Sql = [];
	for (const [index, text] of texts.entries()) {
		if (text !== '') out.push(text);
		const part = parts[index];
		if (typeof part === 'string') out.push(part);
		else if (part) out.push(...part);
	}
	return out;
}

function join(parts: readonly Sql[], separator: string): Sql {
	return parts.flatMap((part, index) => (index === 0 ? part : [separator, ...part]));
}

/** Symbols that the parser knows, each of which pg_catalog has. */
const OPERATORS: ReadonlySet<string> = new Set(
	'= != > >= < <= @> <@ ? ?| ?& #>> ~ ~* !~ !~* @@ || - #- && + * % / | & >> ^ # <<'.split(' '),
);

const PATTERN_OPERATORS = { LIKE: '~~', 'NOT LIKE': '!~~', ILIKE: '~~*', 'NOT ILIKE': '!~~*' } as const;

/** Keywords that are values. The rest names the gateway's own role and database, which tells nothing about the person. */
const KEYWORDS: Partial<Record<ValueKeyword, string>> = {
	current_date: 'CURRENT_DATE',
	current_time: 'CURRENT_TIME',
	current_timestamp: 'CURRENT_TIMESTAMP',
	localtime: 'LOCALTIME',
	localtimestamp: 'LOCALTIMESTAMP',
};

const COMPARED_WITH_ALL: ReadonlyMap<string, string> = new Map([
	['any', 'ANY'],
	['some', 'ANY'],
	['all', 'ALL'],
]);

/** What has no expressions within it, or is refused as it stands. */
type Leaf = Exclude<Expr, { type: Composite }>;
type Composite =
	| 'binary'
	| 'unary'
	| 'ternary'
	| 'cast'
	| 'member'
	| 'arrayIndex'
	| 'array'
	| 'case'
	| 'call'
	| 'extract'
	| 'substring'
	| 'overlay';

/** Types that hold the text of whatever is cast to them. */
const TEXTUAL = /^pg_catalog\.(text|varchar|bpchar)(\(\d+\))?$/;

/** Functions that take the text of whatever they are given. */
const JOINING: ReadonlySet<string> = new Set(['concat', 'concat_ws', 'format']);

/** A column whose text is wanted; anything else as it is. */
function used(pieces: Sql, as: ValueUse): Sql {
	const [piece] = pieces;
	if (pieces.length !== 1 || piece === undefined || typeof piece === 'string' || piece.kind === 'claim') return pieces;
	return [{ ...piece, as }];
}

class Printer {
	readonly #rules: ExpressionRules;

	constructor(rules: ExpressionRules) {
		this.#rules = rules;
	}

	expr(expr: Expr): Sql {
		switch (expr.type) {
			case 'binary':
				return this.#binary(expr);
			case 'unary':
				return this.#unary(expr);
			case 'ternary':
				return this.#between(expr);
			case 'cast': {
				const type = typeName(expr.to);
				return sql`CAST(${TEXTUAL.test(type) ? used(this.expr(expr.operand), 'text') : this.expr(expr.operand)} AS ${type})`;
			}
			case 'member': {
				const member = typeof expr.member === 'number' ? number(expr.member) : quoteLiteral(expr.member);
				return operator(expr.op, this.expr(expr.operand), [member]);
			}
			case 'arrayIndex':
				return sql`((${this.expr(expr.array)})[${this.expr(expr.index)}])`;
			case 'array':
				return sql`ARRAY[${this.#items(expr.expressions)}]`;
			case 'case':
				return this.#case(expr);
			case 'call':
				return this.#call(expr);
			case 'extract':
				return this.#function('extract', [[quoteLiteral(expr.field.name)], this.expr(expr.from)]);
			case 'substring': {
				const from = expr.from ? this.expr(expr.from) : ['1'];
				return this.#function('substring', [this.expr(expr.value), from, ...this.#optional(expr.for)]);
			}
			case 'overlay': {
				const parts = [expr.value, expr.placing, expr.from].map((part) => this.expr(part));
				return this.#function('overlay', [...parts, ...this.#optional(expr.for)]);
			}
			default:
				return [this.#leaf(expr)];
		}
	}

	#leaf(expr: Leaf): Piece {
		switch (expr.type) {
			case 'ref':
				return this.#ref(expr, 'value');
			case 'null':
				return 'NULL';
			case 'boolean':
				return expr.value ? 'TRUE' : 'FALSE';
			case 'integer':
			case 'numeric':
				return number(expr.value);
			case 'string':
				return quoteLiteral(expr.value);
			case 'keyword': {
				const keyword = KEYWORDS[expr.keyword];
				if (keyword !== undefined) return keyword;
				throw new Error(`${expr.keyword} is about the gateway's own session, not about the person: use claims`);
			}
			case 'list':
			case 'array':
				throw new Error('a list in parentheses stands only after IN');
			case 'parameter':
				throw new Error(`parameter ${expr.name} has no value here`);
			case 'default':
			case 'constant':
				throw new Error(`${expr.type} is not allowed here`);
			case 'select':
			case 'union':
			case 'union all':
			case 'values':
			case 'with':
			case 'with recursive':
			case 'array select':
				throw new Error('subqueries are not allowed');
			default:
				return unreachable(expr);
		}
	}

	#optional(expr: Expr | null | undefined): Sql[] {
		return expr ? [this.expr(expr)] : [];
	}

	#items(exprs: readonly Expr[]): Sql {
		return join(
			exprs.map((expr) => this.expr(expr)),
			', ',
		);
	}

	#ref(ref: ExprRef, use: 'value' | 'list'): Piece {
		const name = ref.name.replaceAll('""', '"');
		if (ref.name === '*') throw new Error('* is not allowed');
		if (!ref.table)
			return name === 'value' && this.#rules.kind === 'mask' ? { kind: 'value' } : { kind: 'column', name };
		if (ref.table.schema !== undefined || ref.table.name !== 'claims') {
			throw new Error(
				`${[ref.table.schema, ref.table.name, name].filter(Boolean).join('.')}: only columns of the same row and claims.NAME`,
			);
		}
		return { kind: 'claim', name, use };
	}

	#binary({ op, opSchema, left, right }: ExprBinary): Sql {
		if (opSchema !== undefined && opSchema !== 'pg_catalog')
			throw new Error(`operators of schema ${opSchema} are not allowed`);
		switch (op) {
			case 'AND':
			case 'OR':
				return sql`(${this.expr(left)} ${op} ${this.expr(right)})`;
			case 'IN':
				return this.#in(left, right);
			case 'NOT IN':
				return sql`(NOT ${this.#in(left, right)})`;
			case 'LIKE':
			case 'NOT LIKE':
			case 'ILIKE':
			case 'NOT ILIKE':
				return operator(PATTERN_OPERATORS[op], this.expr(left), this.expr(right));
			case 'AT TIME ZONE':
				return this.#function('timezone', [this.expr(right), this.expr(left)]);
			default:
				if (!OPERATORS.has(op)) throw new Error(`operator ${op} is not allowed`);
				if (op === '||') return operator(op, used(this.expr(left), 'joined'), used(this.expr(right), 'joined'));
				return this.#comparison(op === '!=' ? '<>' : op, left, right);
		}
	}

	/** `x = any(list)` comes from the parser as a call of a function `any`. */
	#comparison(op: string, left: Expr, right: Expr): Sql {
		const quantifier =
			right.type === 'call' && !right.function.schema ? COMPARED_WITH_ALL.get(right.function.name) : undefined;
		if (quantifier === undefined || right.type !== 'call') return operator(op, this.expr(left), this.expr(right));
		const [list, ...more] = right.args;
		if (!list || more.length > 0) throw new Error(`${quantifier} takes one array`);
		return sql`(${this.expr(left)} OPERATOR(pg_catalog.${op}) ${quantifier} (${this.#list(list)}))`;
	}

	#in(left: Expr, right: Expr): Sql {
		const items = right.type === 'list' ? right.expressions : [right];
		return sql`(${join(
			items.map((item) => this.#isIn(left, item)),
			' OR ',
		)})`;
	}

	#isIn(left: Expr, item: Expr): Sql {
		const isClaim = item.type === 'ref' && item.table !== undefined;
		if (isClaim) return sql`(${this.expr(left)} OPERATOR(pg_catalog.=) ANY (${this.#list(item)}))`;
		return operator('=', this.expr(left), this.expr(item));
	}

	#list(expr: Expr): Sql {
		return expr.type === 'ref' ? [this.#ref(expr, 'list')] : this.expr(expr);
	}

	#unary({ op, opSchema, operand }: ExprUnary): Sql {
		if (opSchema !== undefined && opSchema !== 'pg_catalog')
			throw new Error(`operators of schema ${opSchema} are not allowed`);
		const inner = this.expr(operand);
		switch (op) {
			case 'NOT':
				return sql`(NOT ${inner})`;
			case '+':
			case '-':
				return sql`(OPERATOR(pg_catalog.${op}) ${inner})`;
			case 'IS NULL':
			case 'IS NOT NULL':
			case 'IS TRUE':
			case 'IS FALSE':
			case 'IS NOT TRUE':
			case 'IS NOT FALSE':
				return sql`(${inner} ${op})`;
			default:
				return unreachable(op);
		}
	}

	#between({ op, value, lo, hi }: ExprTernary): Sql {
		const within = sql`(${operator('>=', this.expr(value), this.expr(lo))} AND ${operator('<=', this.expr(value), this.expr(hi))})`;
		return op === 'BETWEEN' ? within : sql`(NOT ${within})`;
	}

	#case({ value, whens, else: otherwise }: ExprCase): Sql {
		const branches = whens.map((when) => {
			const condition = value ? operator('=', this.expr(value), this.expr(when.when)) : this.expr(when.when);
			return sql` WHEN ${condition} THEN ${this.expr(when.value)}`;
		});
		if (branches.length === 0) throw new Error('CASE without WHEN');
		return sql`(CASE${branches.flat()}${otherwise ? sql` ELSE ${this.expr(otherwise)}` : ''} END)`;
	}

	#call(call: ExprCall): Sql {
		const { name, schema } = call.function;
		if (schema !== undefined && schema !== 'pg_catalog')
			throw new Error(`function ${schema}.${name}: only built-in functions are allowed`);
		if (call.distinct || call.orderBy || call.filter || call.withinGroup || call.over) {
			throw new Error(`${name}: aggregates and window functions are not allowed`);
		}
		const [first] = call.args;
		const chosen = sessionsChoice(name, first?.type === 'string' ? first.value : undefined, call.args.length);
		if (chosen !== undefined) throw new Error(chosen);
		const special = schema === undefined ? this.#special(name, call.args) : undefined;
		return (
			special ??
			this.#function(
				name,
				call.args.map((argument) => (JOINING.has(name) ? used(this.expr(argument), 'joined') : this.expr(argument))),
			)
		);
	}

	/** Calls that are syntax of their own. */
	#special(name: string, args: readonly Expr[]): Sql | undefined {
		switch (name) {
			case 'coalesce':
			case 'greatest':
			case 'least':
				return sql`${name.toUpperCase()}(${this.#items(args)})`;
			case 'nullif': {
				const [left, right, ...more] = args;
				if (!left || !right || more.length > 0) throw new Error('nullif takes two arguments');
				return sql`(CASE WHEN ${operator('=', this.expr(left), this.expr(right))} THEN NULL ELSE ${this.expr(left)} END)`;
			}
			case 'position': {
				const [only] = args;
				if (args.length !== 1 || only?.type !== 'binary' || only.op !== 'IN') return undefined;
				return this.#function('position', [this.expr(only.right), this.expr(only.left)]);
			}
			case 'trim':
				return this.#function(
					'btrim',
					args.map((argument) => this.expr(argument)),
				);
			case 'any':
			case 'some':
			case 'all':
				throw new Error(`${name} stands only after a comparison`);
			default:
				return undefined;
		}
	}

	#function(name: string, args: readonly Sql[]): Sql {
		const refusal = refusedFunction(name, this.#rules.isHarmlessFunction);
		if (refusal !== undefined) throw new Error(refusal);
		return sql`pg_catalog.${quoteName(name)}(${join(args, ', ')})`;
	}
}

function operator(op: string, left: Sql, right: Sql): Sql {
	return sql`(${left} OPERATOR(pg_catalog.${op === '!=' ? '<>' : op}) ${right})`;
}

function number(value: number): string {
	if (!Number.isFinite(value) || (Number.isInteger(value) && !Number.isSafeInteger(value))) {
		throw new Error(`number ${value} is too large to be exact: write it as a quoted literal with a cast`);
	}
	return value < 0 ? `(${value})` : String(value);
}

function quoteName(name: string): string {
	return /^[a-z_][a-z0-9_]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`;
}
