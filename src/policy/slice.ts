/** Rules in the form in which Casbin takes them: of one kind, in the order of the file. */
import type { Rule } from './csv.ts';

/** `decision`: rules that allow and deny. `protection`: mask, unmask, filter and unfilter. */
export type RuleKind = 'decision' | 'protection';

export interface Slice {
	readonly kind: RuleKind;
	readonly rules: readonly Rule[];
	/** For each rule its columns, as model.conf names them. */
	readonly rows: string[][];
}

export function kindOf(rule: Rule): RuleKind {
	return rule.effect === 'allow' || rule.effect === 'deny' ? 'decision' : 'protection';
}

/** The rules of one kind among those given. */
export function sliceOf(kind: RuleKind, rules: readonly Rule[]): Slice {
	const own = rules.filter((rule) => kindOf(rule) === kind);
	const rows = own.map((rule) => [rule.subject, rule.objectText, rule.action, rule.effect, rule.argument]);
	return { kind, rules: own, rows };
}
