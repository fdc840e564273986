/** Expressions of masks.yaml: parsed, checked against what is allowed, and printed so that nothing in a database can hijack them. */
import { type Expr, parse } from 'pgsql-ast-parser';
import type { BoundExpression, Identity, RuleRef, ValueUse } from '../stages.ts';
import { type ClaimUse, claimLiteral } from './claims.ts';
import { printExpression } from './expression-print.ts';
import { assertReadAlike } from './expression-reading.ts';

/** Longest expression in characters; the parser's work grows faster than the text. */
const EXPRESSION_LENGTH_MAX = 4_000;

/** A stretch of SQL, or a hole that is filled where the expression is used. */
export type Piece =
	| string
	| { readonly kind: 'value'; readonly as?: ValueUse }
	| { readonly kind: 'column'; readonly name: string; readonly as?: ValueUse }
	| { readonly kind: 'claim'; readonly name: string; readonly use: ClaimUse };

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
	readonly pieces: readonly Piece[];
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
	const pieces = printExpression(parsed, rules);
	assertReadAlike(text, parsed);
	const columns = new Set<string>();
	const claims = new Set<string>();
	for (const piece of pieces) {
		if (typeof piece === 'string') continue;
		if (piece.kind === 'column') columns.add(piece.name);
		if (piece.kind === 'claim') claims.add(piece.name);
	}
	const bare = claims.size === 0 && isColumn(parsed);
	return { name, kind: rules.kind, columns: [...columns], claims: [...claims], pieces, bare };
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
	const computed = kind === 'mask' && expression.bare;
	const pieces: Piece[] = [];
	for (const piece of expression.pieces) {
		if (typeof piece === 'string' || piece.kind !== 'claim') {
			pieces.push(piece);
			continue;
		}
		const literal = claimLiteral(claims, piece.name, piece.use);
		if (literal === undefined) {
			const nothing = kind === 'mask' ? '(null)' : '(false)';
			return { name, rule, columns: [], render: () => nothing };
		}
		pieces.push(literal);
	}
	return {
		name,
		rule,
		columns,
		render: ({ value, valueAs, column }) => {
			let sql = computed ? '(COALESCE(' : '(';
			for (const piece of pieces) {
				if (typeof piece === 'string') sql += piece;
				else if (piece.kind === 'column') sql += column(piece.name, piece.as ?? 'value');
				else if (piece.kind === 'value' && piece.as !== undefined && valueAs !== undefined) sql += valueAs(piece.as);
				else if (value !== undefined) sql += value;
				else throw new Error(`mask ${name} was asked for without a column`);
			}
			return computed ? `${sql}))` : `${sql})`;
		},
	};
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
