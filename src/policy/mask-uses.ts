/** On which columns rules put which masks: for asking a database whether they fit. */
import type { BoundExpression, RuleRef } from '../stages.ts';
import type { Rule } from './csv.ts';
import { bindExpression, type CompiledExpression } from './expression.ts';
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
