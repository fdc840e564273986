/** What a table's owner hangs on it for all who use it: policies of row-level security, and rules. */
import type { Node } from '@pgsql/types';
import { truth } from './expression.ts';
import { mayOnRelation } from './may.ts';
import { as, type NodeOf, tagOf } from './nodes.ts';
import { rowScope, type Scope } from './scope.ts';
import { channel } from './session-statements.ts';
import { refuse, type Walk } from './walk.ts';

/** CREATE and ALTER POLICY. Its conditions run for whoever uses the table, so they must not rest on what is kept from its maker. */
export function rowPolicy(walk: Walk, node: NodeOf<'CreatePolicyStmt'> | NodeOf<'AlterPolicyStmt'>): void {
	if (node.table === undefined) throw refuse(walk, 'a policy of row-level security without a table');
	const relation = mayOnRelation(walk, node.table, 'alter', true);
	// That no rule lets its maker read some of it matters to who may use the table, and then it holds as for any condition.
	walk.touchesProtected = false;
	const around = { walk, scope: rowScope(relation), place: 'output', writing: false } as const;
	for (const condition of [node.qual, node.with_check]) if (condition !== undefined) truth(condition, around);
	refuseProtected(walk, 'a policy of row-level security');
	walk.effects.push({ type: 'ddl' });
}

/** CREATE RULE: its maker may do what it does, on what is not protected; for whom it is done then is the maker's choice. */
export function createRule(walk: Walk, node: NodeOf<'RuleStmt'>): void {
	if (node.relation === undefined || node.event === 'CMD_SELECT') throw refuse(walk, 'CREATE RULE ... ON SELECT');
	const relation = mayOnRelation(walk, node.relation, 'alter', true);
	const scope = rowScope(relation, 'new', 'old');
	if (node.whereClause !== undefined) truth(node.whereClause, { walk, scope, place: 'output', writing: false });
	for (const action of node.actions ?? []) ruleAction(walk, action, scope);
	refuseProtected(walk, 'a rule');
	walk.effects.push({ type: 'ddl' });
}

const ACTIONS: ReadonlySet<string> = new Set(['SelectStmt', 'InsertStmt', 'UpdateStmt', 'DeleteStmt']);

function ruleAction(walk: Walk, action: Node, scope: Scope): void {
	const tag = tagOf(action);
	if (tag === 'NotifyStmt') channel(walk, 'notify');
	else if (ACTIONS.has(tag) && as(action, 'SelectStmt')?.intoClause === undefined)
		walk.query(walk, action, scope, 'output');
	else throw refuse(walk, `a rule with a statement of kind ${tag}`);
}

function refuseProtected(walk: Walk, what: string): void {
	if (walk.masks || walk.hidesRows || walk.touchesProtected || walk.checks.length > 0)
		throw refuse(walk, `${what} over something that the policy protects from you`);
}
