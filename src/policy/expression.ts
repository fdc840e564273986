/** Expressions of masks.yaml: parsed, checked against what is allowed, and made a tree that nothing in a database can hijack. */
import { type Expr, parse } from 'pgsql-ast-parser';
import type { BoundExpression, Identity, PolicyTree, RuleRef } from '../stages.ts';
import { claimText } from './claims.ts';
import { eachNode, expressionTree, mapTree } from './expression-tree.ts';
import { assertReadAlike } from './expression-reading.ts';

/** Longest expression in characters; the parser's work grows faster than the text. */
const EXPRESSION_LENGTH_MAX = 4_000;

export type ExpressionKind = 'mask' | 'filter';

export interface ExpressionRules {
	readonly kind: ExpressionKind;
	/** Built-in functions that neither act nor tell anything beyond their arguments. */
	readonly isHarmlessFunction: (name: string) => boolean;
}

/** An expression that was found to be allowed. */
export interface CompiledExpression {
	readonly name: string;
	readonly kind: ExpressionKind;
	/** Columns of the same row that it names, other than `value`. */
	readonly columns: readonly string[];
	/** Claims that it names. */
	readonly claims: readonly string[];
	readonly tree: PolicyTree;
	/** It is a column and nothing else: a cast to the type that it has is none to the server, which would tell of the column itself. */
	readonly bare: boolean;
}

/**
 * `prepareReading` must have been awaited before.
 *
 * @throws Error with a reason for the author of the policy
 */
export function compileExpression(name: string, text: string, rules: ExpressionRules): CompiledExpression {
	if (text.length > EXPRESSION_LENGTH_MAX)
		throw new Error(`the expression is longer than ${EXPRESSION_LENGTH_MAX} characters`);
	if (text.includes('\0')) throw new Error('the expression contains a NUL character');
	const parsed = parseExpression(text);
	const tree = expressionTree(parsed, rules);
	assertReadAlike(text, parsed);
	const columns = new Set<string>();
	const claims = new Set<string>();
	eachNode(tree, (node) => {
		if (node.node === 'column') columns.add(node.name);
		if (node.node === 'claim') claims.add(node.name);
	});
	const bare = claims.size === 0 && isColumn(parsed);
	return { name, kind: rules.kind, columns: [...columns], claims: [...claims], tree, bare };
}

function isColumn(expr: Expr): boolean {
	return expr.type === 'ref' || (expr.type === 'cast' && isColumn(expr.operand));
}

/** Fills in the claims of one identity. `rule` is the rule that applies the expression. */
export function bindExpression(
	expression: CompiledExpression,
	claims: Identity['claims'],
	rule: RuleRef,
): BoundExpression {
	const { name, columns, kind } = expression;
	const missing = expression.claims.some((claim) => claimText(claims, claim, 'value') === undefined);
	if (missing) return { name, rule, columns: [], tree: { node: 'word', word: kind === 'mask' ? 'NULL' : 'FALSE' } };
	const tree = mapTree(expression.tree, (node) => {
		if (node.node !== 'claim') return undefined;
		const text = claimText(claims, node.name, node.use);
		if (text === undefined) throw new Error(`claims.${node.name} is missing`);
		return { node: 'text', text };
	});
	const computed = kind === 'mask' && expression.bare;
	return { name, rule, columns, tree: computed ? { node: 'choice', of: 'COALESCE', items: [tree] } : tree };
}

function parseExpression(text: string): Expr {
	try {
		// The line feed ends a comment at the end of the text.
		return parse(`${text}\n`, 'expr');
	} catch (error) {
		const [first = 'it does not parse'] = error instanceof Error ? error.message.split('\n') : [];
		throw new Error(`${first.replace(/:$/, '')} (operators need spaces around them: "value - 1")`);
	}
}
