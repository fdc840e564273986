/** On which columns and relations rules put which masks and filters: for looking whether they fit there. */
import type { BoundExpression, RuleRef } from '../stages.ts';
import type { Rule } from './csv.ts';
import { bindExpression, type CompiledExpression } from './expression.ts';
import { mapTree } from './expression-tree.ts';
import { covers, isExact, type Target } from './object.ts';

/** A mask that a rule puts on columns. */
export interface MaskUse {
	readonly rule: RuleRef;
	/** The rule has a wildcard: which columns it reaches depends on what there is. */
	readonly wild: boolean;
	readonly mask: BoundExpression;
	/** The mask holds for the column for somebody who may read it, as far as can be told without knowing who: no rule before it has the word. */
	readonly holds: (schema: string, relation: string, column: string) => boolean;
}

/** Left out are masks that name claims: their text is another for everybody. */
export function maskUses(
	rules: readonly Rule[],
	masks: ReadonlyMap<string, CompiledExpression>,
	database: string,
): MaskUse[] {
	return rules.flatMap((rule, at) => {
		const expression = rule.effect === 'mask' ? masks.get(rule.argument) : undefined;
		if (expression === undefined || expression.claims.length > 0) return [];
		const isTold = (target: Target): boolean =>
			rules.some((other, place) => isLouder(other, place < at, rule) && covers(other.object, target));
		const isRead = (target: Target): boolean =>
			rules.some(({ effect, action, object }) => effect === 'allow' && isSelect(action) && covers(object, target));
		return [
			{
				rule: rule.ref,
				wild: !isExact(rule.object),
				mask: bindExpression(expression, {}, rule.ref),
				holds: (schema, relation, column) => {
					const target: Target = { kind: 'column', database, schema, relation, column };
					return covers(rule.object, target) && !isTold(target) && isRead(target);
				},
			},
		];
	});
}

/** A mask or filter that a rule puts on columns or relations. */
export interface ExpressionUse {
	readonly kind: 'mask' | 'filter';
	/** What any claims would make of it, as far as types go: they are null. */
	readonly expression: BoundExpression;
	/** `column`: of a mask alone. */
	readonly covers: (schema: string, relation: string, column: string | null) => boolean;
}

/** Those with claims among them. */
export function expressionUses(
	rules: readonly Rule[],
	expressions: Record<'masks' | 'filters', ReadonlyMap<string, CompiledExpression>>,
	database: string,
): ExpressionUse[] {
	return rules.flatMap(({ effect, argument, object, ref }): ExpressionUse[] => {
		if (effect !== 'mask' && effect !== 'filter') return [];
		const compiled = (effect === 'mask' ? expressions.masks : expressions.filters).get(argument);
		if (compiled === undefined) return [];
		const { name, columns } = compiled;
		const tree = mapTree(compiled.tree, ({ node }) => (node === 'claim' ? { node: 'word', word: 'NULL' } : undefined));
		const target = (schema: string, relation: string, column: string | null): Target =>
			column === null
				? { kind: 'relation', database, schema, relation }
				: { kind: 'column', database, schema, relation, column };
		return [
			{
				kind: effect,
				expression: { name, columns, rule: ref, tree },
				covers: (schema, relation, column) => covers(object, target(schema, relation, column)),
			},
		];
	});
}

function isSelect(action: Rule['action']): boolean {
	return action === 'select' || action === '*';
}

/** For everybody for whom the rule is, another one keeps it from a column that both are for: an earlier mask, one that lifts it, a denial. */
function isLouder(other: Rule, isBefore: boolean, rule: Rule): boolean {
	if ((other.subject !== '*' && other.subject !== rule.subject) || !isSelect(other.action)) return false;
	if (other.effect === 'deny') return true;
	if (other.effect === 'unmask') return other.argument === '' || other.argument === rule.argument;
	return other.effect === 'mask' && isBefore;
}
