/** What a policy says about relations and columns that the database does not have: seen once the catalogue is known. */
import type { Rule } from './csv.ts';
import type { MaskFile, NamedExpression } from './masks.ts';
import { matches, namesRelation } from './object.ts';
import type { PolicyProblem } from './problem.ts';

/** A relation as the catalogue knows it. */
export interface KnownRelation {
	readonly schema: string;
	readonly name: string;
	readonly columns: readonly { readonly name: string }[];
}

/**
 * An error: a mask or filter names a column that a relation named by its rule does not have, so every statement on it would
 * be refused. A warning: the same for a relation that the rule reaches by a wildcard, and rules that name what is not there
 * (it may be made later, and nothing is allowed meanwhile).
 */
export function catalogProblems(
	rules: readonly Rule[],
	expressions: Pick<MaskFile, 'masks' | 'filters'>,
	database: string,
	relations: Iterable<KnownRelation>,
): PolicyProblem[] {
	const known = [...relations];
	return rules
		.filter((rule) => matches(rule.object.database, database))
		.flatMap((rule) => [...missingObject(rule, known), ...missingColumns(rule, expressions, known)]);
}

function missingObject(rule: Rule, relations: readonly KnownRelation[]): PolicyProblem[] {
	const { object } = rule;
	if (!namesRelation(object) || (object.kind !== 'relation' && object.kind !== 'column')) return [];
	const warning = (reason: string): PolicyProblem[] => [
		{ severity: 'warning', file: rule.ref.file, line: rule.ref.line, reason },
	];
	const relation = relations.find(({ schema, name }) => schema === object.schema.text && name === object.relation.text);
	// A rule on `create` names what is not there yet.
	if (!relation)
		return rule.action === 'create'
			? []
			: warning(`there is no relation ${object.schema.text}.${object.relation.text}`);
	if (object.kind === 'relation' || object.column.wild) return [];
	const exists = relation.columns.some(({ name }) => name === object.column.text);
	return exists ? [] : warning(`${object.schema.text}.${object.relation.text} has no column ${object.column.text}`);
}

function missingColumns(
	rule: Rule,
	expressions: Pick<MaskFile, 'masks' | 'filters'>,
	relations: readonly KnownRelation[],
): PolicyProblem[] {
	const { object } = rule;
	const expression = expressionOf(rule, expressions);
	if (!expression || expression.columns.length === 0 || (object.kind !== 'relation' && object.kind !== 'column'))
		return [];
	const problems: PolicyProblem[] = [];
	for (const { schema, name, columns } of relations) {
		if (!matches(object.schema, schema) || !matches(object.relation, name)) continue;
		const missing = expression.columns.filter((column) => !columns.some((other) => other.name === column));
		if (missing.length === 0) continue;
		problems.push({
			severity: namesRelation(object) ? 'error' : 'warning',
			file: 'masks.yaml',
			line: expression.line,
			reason: `${expression.kind} ${expression.name} names ${missing.join(', ')}, which ${schema}.${name} does not have (${rule.ref.file}:${rule.ref.line})`,
		});
	}
	return problems;
}

function expressionOf(
	rule: Rule,
	{ masks, filters }: Pick<MaskFile, 'masks' | 'filters'>,
): NamedExpression | undefined {
	if (rule.effect === 'mask') return masks.get(rule.argument);
	return rule.effect === 'filter' ? filters.get(rule.argument) : undefined;
}
