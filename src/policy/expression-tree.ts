/** Turns an expression of masks.yaml into a tree in which everything is pinned to pg_catalog, or says why it is not taken. */
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
import type { PolicyTree } from '../stages.ts';
import type { ExpressionRules } from './expression.ts';
import { refusedFunction, sessionsChoice } from './expression-functions.ts';
import { typeName } from './expression-types.ts';

/**
 * The session's search_path could put a look-alike before what the author meant, a better match in the types even after
 * pg_catalog. So every operator, function and type of the tree is pg_catalog's, and what the grammar would resolve by
 * search_path behind other syntax (IN, BETWEEN, LIKE, CASE x WHEN, NULLIF) is made of such operators.
 *
 * @throws Error with a reason for the author of the policy
 */
export function expressionTree(expr: Expr, rules: ExpressionRules): PolicyTree {
	return new Reader(rules).expr(expr);
}

/** Every node of the tree, itself among them. */
export function eachNode(tree: PolicyTree, look: (node: PolicyTree) => void): void {
	mapTree(tree, (node) => {
		look(node);
		return undefined;
	});
}

/** The tree with what `change` gives in place of nodes; undefined: as it is, but for what is within. */
export function mapTree(tree: PolicyTree, change: (node: PolicyTree) => PolicyTree | undefined): PolicyTree {
	const of = (node: PolicyTree): PolicyTree => mapTree(node, change);
	const changed = change(tree);
	if (changed !== undefined) return changed;
	switch (tree.node) {
		case 'value':
		case 'column':
		case 'claim':
		case 'text':
		case 'number':
		case 'word':
			return tree;
		case 'operator':
			return { ...tree, left: tree.left === null ? null : of(tree.left), right: of(tree.right) };
		case 'quantified':
			return { ...tree, left: of(tree.left), list: of(tree.list) };
		case 'logic':
			return { ...tree, parts: tree.parts.map(of) };
		case 'not':
		case 'test':
		case 'cast':
			return { ...tree, of: of(tree.of) };
		case 'call':
			return { ...tree, args: tree.args.map(of) };
		case 'choice':
		case 'array':
			return { ...tree, items: tree.items.map(of) };
		case 'case': {
			const branches = tree.branches.map(({ when, result }) => ({ when: of(when), result: of(result) }));
			return { ...tree, branches, otherwise: tree.otherwise === null ? null : of(tree.otherwise) };
		}
		case 'index':
			return { ...tree, of: of(tree.of), at: of(tree.at) };
		default:
			return unreachable(tree);
	}
}

/** Symbols that the parser knows, each of which pg_catalog has. */
const OPERATORS: ReadonlySet<string> = new Set(
	'= != > >= < <= @> <@ ? ?| ?& #>> ~ ~* !~ !~* @@ || - #- && + * % / | & >> ^ # <<'.split(' '),
);

const PATTERN_OPERATORS = { LIKE: '~~', 'NOT LIKE': '!~~', ILIKE: '~~*', 'NOT ILIKE': '!~~*' } as const;

/** Keywords that are values. The rest names the gateway's own role and database, which tells nothing about the person. */
const KEYWORDS: Partial<Record<ValueKeyword, Extract<PolicyTree, { node: 'word' }>['word']>> = {
	current_date: 'CURRENT_DATE',
	current_time: 'CURRENT_TIME',
	current_timestamp: 'CURRENT_TIMESTAMP',
	localtime: 'LOCALTIME',
	localtimestamp: 'LOCALTIMESTAMP',
};

const COMPARED_WITH_ALL: ReadonlyMap<string, 'ANY' | 'ALL'> = new Map([
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

class Reader {
	readonly #rules: ExpressionRules;

	constructor(rules: ExpressionRules) {
		this.#rules = rules;
	}

	expr(expr: Expr): PolicyTree {
		switch (expr.type) {
			case 'binary':
				return this.#binary(expr);
			case 'unary':
				return this.#unary(expr);
			case 'ternary':
				return this.#between(expr);
			case 'cast':
				return { node: 'cast', of: this.expr(expr.operand), ...typeName(expr.to) };
			case 'member': {
				const member = typeof expr.member === 'number' ? number(expr.member) : text(expr.member);
				return operator(expr.op, this.expr(expr.operand), member);
			}
			case 'arrayIndex':
				return { node: 'index', of: this.expr(expr.array), at: this.expr(expr.index) };
			case 'array':
				return { node: 'array', items: this.#all(expr.expressions) };
			case 'case':
				return this.#case(expr);
			case 'call':
				return this.#call(expr);
			case 'extract':
				return this.#function('extract', [text(expr.field.name), this.expr(expr.from)]);
			case 'substring': {
				const from = expr.from ? this.expr(expr.from) : number(1);
				return this.#function('substring', [this.expr(expr.value), from, ...this.#optional(expr.for)]);
			}
			case 'overlay': {
				const parts = [expr.value, expr.placing, expr.from].map((part) => this.expr(part));
				return this.#function('overlay', [...parts, ...this.#optional(expr.for)]);
			}
			default:
				return this.#leaf(expr);
		}
	}

	#leaf(expr: Leaf): PolicyTree {
		switch (expr.type) {
			case 'ref':
				return this.#ref(expr, 'value');
			case 'null':
				return { node: 'word', word: 'NULL' };
			case 'boolean':
				return { node: 'word', word: expr.value ? 'TRUE' : 'FALSE' };
			case 'integer':
			case 'numeric':
				return number(expr.value);
			case 'string':
				return text(expr.value);
			case 'keyword': {
				const word = KEYWORDS[expr.keyword];
				if (word !== undefined) return { node: 'word', word };
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

	#optional(expr: Expr | null | undefined): PolicyTree[] {
		return expr ? [this.expr(expr)] : [];
	}

	#all(exprs: readonly Expr[]): PolicyTree[] {
		return exprs.map((expr) => this.expr(expr));
	}

	#ref(ref: ExprRef, use: 'value' | 'list'): PolicyTree {
		const name = ref.name.replaceAll('""', '"');
		if (ref.name === '*') throw new Error('* is not allowed');
		if (!ref.table)
			return name === 'value' && this.#rules.kind === 'mask' ? { node: 'value' } : { node: 'column', name };
		if (ref.table.schema !== undefined || ref.table.name !== 'claims') {
			throw new Error(
				`${[ref.table.schema, ref.table.name, name].filter(Boolean).join('.')}: only columns of the same row and claims.NAME`,
			);
		}
		return { node: 'claim', name, use };
	}

	#binary({ op, opSchema, left, right }: ExprBinary): PolicyTree {
		if (opSchema !== undefined && opSchema !== 'pg_catalog')
			throw new Error(`operators of schema ${opSchema} are not allowed`);
		switch (op) {
			case 'AND':
			case 'OR':
				return { node: 'logic', op, parts: [this.expr(left), this.expr(right)] };
			case 'IN':
				return this.#in(left, right);
			case 'NOT IN':
				return { node: 'not', of: this.#in(left, right) };
			case 'LIKE':
			case 'NOT LIKE':
			case 'ILIKE':
			case 'NOT ILIKE':
				return operator(PATTERN_OPERATORS[op], this.expr(left), this.expr(right));
			case 'AT TIME ZONE':
				return this.#function('timezone', [this.expr(right), this.expr(left)]);
			default:
				if (!OPERATORS.has(op)) throw new Error(`operator ${op} is not allowed`);
				return this.#comparison(op, left, right);
		}
	}

	/** `x = any(list)` comes from the parser as a call of a function `any`. */
	#comparison(op: string, left: Expr, right: Expr): PolicyTree {
		const quantifier =
			right.type === 'call' && !right.function.schema ? COMPARED_WITH_ALL.get(right.function.name) : undefined;
		if (quantifier === undefined || right.type !== 'call') return operator(op, this.expr(left), this.expr(right));
		const [list, ...more] = right.args;
		if (!list || more.length > 0) throw new Error(`${quantifier} takes one array`);
		return { node: 'quantified', op: symbol(op), left: this.expr(left), quantifier, list: this.#list(list) };
	}

	#in(left: Expr, right: Expr): PolicyTree {
		const items = right.type === 'list' ? right.expressions : [right];
		return { node: 'logic', op: 'OR', parts: items.map((item) => this.#isIn(left, item)) };
	}

	#isIn(left: Expr, item: Expr): PolicyTree {
		const isClaim = item.type === 'ref' && item.table !== undefined;
		if (!isClaim) return operator('=', this.expr(left), this.expr(item));
		return { node: 'quantified', op: '=', left: this.expr(left), quantifier: 'ANY', list: this.#list(item) };
	}

	#list(expr: Expr): PolicyTree {
		return expr.type === 'ref' ? this.#ref(expr, 'list') : this.expr(expr);
	}

	#unary({ op, opSchema, operand }: ExprUnary): PolicyTree {
		if (opSchema !== undefined && opSchema !== 'pg_catalog')
			throw new Error(`operators of schema ${opSchema} are not allowed`);
		const of = this.expr(operand);
		switch (op) {
			case 'NOT':
				return { node: 'not', of };
			case '+':
			case '-':
				return operator(op, null, of);
			case 'IS NULL':
			case 'IS NOT NULL':
			case 'IS TRUE':
			case 'IS FALSE':
			case 'IS NOT TRUE':
			case 'IS NOT FALSE':
				return { node: 'test', of, test: op };
			default:
				return unreachable(op);
		}
	}

	#between({ op, value, lo, hi }: ExprTernary): PolicyTree {
		const parts = [operator('>=', this.expr(value), this.expr(lo)), operator('<=', this.expr(value), this.expr(hi))];
		const within: PolicyTree = { node: 'logic', op: 'AND', parts };
		return op === 'BETWEEN' ? within : { node: 'not', of: within };
	}

	#case({ value, whens, else: otherwise }: ExprCase): PolicyTree {
		const branches = whens.map((when) => ({
			when: value ? operator('=', this.expr(value), this.expr(when.when)) : this.expr(when.when),
			result: this.expr(when.value),
		}));
		if (branches.length === 0) throw new Error('CASE without WHEN');
		return { node: 'case', branches, otherwise: otherwise ? this.expr(otherwise) : null };
	}

	#call(call: ExprCall): PolicyTree {
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
		return special ?? this.#function(name, this.#all(call.args));
	}

	/** Calls that are syntax of their own. */
	#special(name: string, args: readonly Expr[]): PolicyTree | undefined {
		switch (name) {
			case 'coalesce':
				return { node: 'choice', of: 'COALESCE', items: this.#all(args) };
			case 'greatest':
				return { node: 'choice', of: 'GREATEST', items: this.#all(args) };
			case 'least':
				return { node: 'choice', of: 'LEAST', items: this.#all(args) };
			case 'nullif': {
				const [left, right, ...more] = args;
				if (!left || !right || more.length > 0) throw new Error('nullif takes two arguments');
				const when = operator('=', this.expr(left), this.expr(right));
				const branch = { when, result: { node: 'word', word: 'NULL' } as const };
				return { node: 'case', branches: [branch], otherwise: this.expr(left) };
			}
			case 'position': {
				const [only] = args;
				if (args.length !== 1 || only?.type !== 'binary' || only.op !== 'IN') return undefined;
				return this.#function('position', [this.expr(only.right), this.expr(only.left)]);
			}
			case 'trim':
				return this.#function('btrim', this.#all(args));
			case 'any':
			case 'some':
			case 'all':
				throw new Error(`${name} stands only after a comparison`);
			default:
				return undefined;
		}
	}

	#function(name: string, args: readonly PolicyTree[]): PolicyTree {
		const refusal = refusedFunction(name, this.#rules.isHarmlessFunction);
		if (refusal !== undefined) throw new Error(refusal);
		return { node: 'call', name, args };
	}
}

function text(value: string): PolicyTree {
	return { node: 'text', text: value };
}

function symbol(op: string): string {
	return op === '!=' ? '<>' : op;
}

function operator(op: string, left: PolicyTree | null, right: PolicyTree): PolicyTree {
	return { node: 'operator', op: symbol(op), left, right };
}

function number(value: number): PolicyTree {
	if (!Number.isFinite(value) || (Number.isInteger(value) && !Number.isSafeInteger(value))) {
		throw new Error(`number ${value} is too large to be exact: write it as a quoted literal with a cast`);
	}
	return { node: 'number', number: value };
}
