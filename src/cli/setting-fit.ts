/** Whether masks and filters can be written so that they mean the same in every session: told before a statement is refused for it. */
import type { CatalogSnapshot, Column, Relation } from '../catalog/snapshot.ts';
import type { ExpressionUse } from '../policy/mask-uses.ts';
import type { PolicyProblem } from '../policy/problem.ts';
import { unsettledReason } from '../sql/protection.ts';
import { turns } from './turns.ts';

const KINDS: ReadonlySet<Relation['kind']> = new Set(['table', 'partitioned', 'view', 'matview', 'foreign']);

/** Uses on types beyond this number are not looked at. */
const USES_MAX = 10_000;

/** A warning for each mask or filter and the types that it meets, if it means what a session's settings say there. */
export async function settingProblems(
	uses: readonly ExpressionUse[],
	catalog: CatalogSnapshot,
): Promise<PolicyProblem[]> {
	if (uses.length === 0) return [];
	const turn = turns();
	const seen = new Set<string>();
	const problems: PolicyProblem[] = [];
	const look = (use: ExpressionUse, at: number, relation: Relation, column?: Column): void => {
		const { columns, rule } = use.expression;
		const types = columns.map((name) => relation.columns.find((one) => one.name === name)?.typeOid);
		const key = JSON.stringify([at, column?.typeOid, types]);
		if (seen.has(key) || seen.size >= USES_MAX) return;
		seen.add(key);
		const reason = unsettledReason(catalog, relation, use.expression, column);
		if (reason === null) return;
		problems.push({
			severity: 'warning',
			file: rule.file,
			line: rule.line,
			reason: `${relation.schema}.${relation.name} cannot be read under this rule: ${reason}`,
		});
	};
	// In an order of their own: the same problem is told in the same words, and a log has it once.
	for (const relation of [...catalog.relations()].sort((one, other) => one.oid - other.oid)) {
		const { schema, name } = relation;
		if (!KINDS.has(relation.kind) || schema.startsWith('pg_') || schema === 'information_schema') continue;
		for (const [at, use] of uses.entries()) {
			await turn();
			if (use.kind === 'filter' && use.covers(schema, name, null)) look(use, at, relation);
			if (use.kind === 'filter') continue;
			for (const column of relation.columns) if (use.covers(schema, name, column.name)) look(use, at, relation, column);
		}
	}
	return problems;
}
