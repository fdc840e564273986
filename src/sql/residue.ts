/** What a statement may leave in the session behind its transaction, so that a pool knows what it has to keep apart. */
import type { Node, SelectStmt } from '@pgsql/types';
import type { CatalogSnapshot, Relation } from '../catalog/snapshot.ts';
import type { ObjectUse, Residue, SessionEffect } from '../stages.ts';
import { routineSafety } from '../catalog/safety.ts';
import { tagOf } from './nodes.ts';

/**
 * Statement classes by what they leave; what is not listed is unknown. DDL may make or drop what is temporary. Those that
 * run expressions which the analysis does not see (of indexes, checks, views) count as a user's code.
 */
const BY_STATEMENT: Readonly<Record<string, Residue | null>> = {
	...over(null, [
		...['SelectStmt', 'InsertStmt', 'UpdateStmt', 'DeleteStmt', 'MergeStmt', 'CopyStmt', 'ExplainStmt'],
		...['VariableSetStmt', 'VariableShowStmt', 'TransactionStmt', 'FetchStmt', 'NotifyStmt', 'ConstraintsSetStmt'],
		...['LockStmt', 'TruncateStmt', 'CheckPointStmt', 'FunctionCall', 'CallStmt'],
	]),
	...over('temporary', [
		...['CreateStmt', 'CreateTableAsStmt', 'ViewStmt', 'IndexStmt', 'CreateSchemaStmt', 'CreateSeqStmt'],
		...['CreateFunctionStmt', 'CreateTrigStmt', 'CreateDomainStmt', 'CreateEnumStmt', 'CreateRangeStmt'],
		...['CompositeTypeStmt', 'DefineStmt', 'CreateCastStmt', 'AlterSeqStmt', 'AlterFunctionStmt', 'AlterEnumStmt'],
		...['RenameStmt', 'AlterObjectSchemaStmt', 'DropStmt', 'CommentStmt', 'GrantStmt', 'AlterOwnerStmt'],
		...['CreateStatsStmt', 'AlterStatsStmt', 'AlterCollationStmt', 'AlterTSDictionaryStmt', 'AlterTSConfigurationStmt'],
		...['CreatePolicyStmt', 'AlterPolicyStmt', 'RuleStmt', 'AlterDefaultPrivilegesStmt'],
		...['CreatePublicationStmt', 'AlterPublicationStmt'],
	]),
	...over('code', [
		'DoStmt',
		'AlterTableStmt',
		'AlterDomainStmt',
		'VacuumStmt',
		'ClusterStmt',
		'ReindexStmt',
		'RefreshMatViewStmt',
	]),
	...over('unknown', ['CreateExtensionStmt', 'AlterExtensionStmt']),
	...over('cursor', ['DeclareCursorStmt', 'ClosePortalStmt']),
	...over('prepared', ['PrepareStmt', 'ExecuteStmt', 'DeallocateStmt']),
	...over('listen', ['ListenStmt', 'UnlistenStmt']),
	DiscardStmt: 'all',
};

/** PostgreSQL's own functions that act on the session, wherever they are called. */
const BY_FUNCTION: ReadonlyMap<string, Residue> = new Map<string, Residue>([
	...[
		...['pg_advisory_lock', 'pg_advisory_lock_shared', 'pg_try_advisory_lock', 'pg_try_advisory_lock_shared'],
		...['pg_advisory_unlock', 'pg_advisory_unlock_shared', 'pg_advisory_unlock_all'],
	].map((name) => [name, 'lock'] as const),
	['nextval', 'sequence'],
	['setval', 'sequence'],
	['currval', 'sequence-read'],
	['lastval', 'sequence-read'],
	['setseed', 'seed'],
]);

const IN_VIEWS = /\b(?:pg_(?:try_)?advisory_(?:un)?lock\w*|nextval|setval|currval|lastval|setseed|set_config)\b/g;

const WRITES: ReadonlySet<ObjectUse['action']> = new Set(['insert', 'update', 'delete', 'truncate']);

/** Classes of harmful functions of PostgreSQL's own that a rule may allow, and that leave nothing in the session. */
const TRANSIENT: ReadonlySet<string> = new Set([
	'files',
	'sessions',
	'large-objects',
	'statistics',
	'notify',
	'sequence',
]);

/** `objects`: what the analysis found the statement to use. */
export function residueOf(
	catalog: CatalogSnapshot,
	node: Node,
	objects: readonly ObjectUse[],
): Extract<SessionEffect, { type: 'leaves' }>[] {
	const left = new Map<Residue, string>();
	const leave = (what: Residue | null, of: string): void => {
		if (what !== null && !left.has(what)) left.set(what, of);
	};
	const tag = tagOf(node);
	leave(Object.hasOwn(BY_STATEMENT, tag) ? (BY_STATEMENT[tag] ?? null) : 'unknown', tag);
	if ('SelectStmt' in node && makesTable(node.SelectStmt)) leave('temporary', tag);
	if (tag === 'ExplainStmt') leave(...explained(node));
	const called = functionsIn(node);
	for (const name of called) leave(BY_FUNCTION.get(name) ?? null, name);
	// A default or check that the next statement of the text may run already.
	if (left.has('temporary') && called.has('set_config')) leave('unknown', tag);
	// What a table takes over (LIKE, INHERITS) the next statement of the text may run already.
	const writing = tag === 'CreateStmt' || objects.some((use) => use.kind === 'relation' && WRITES.has(use.action));
	for (const use of objects) {
		if (use.kind === 'function') leave(ofRoutine(catalog, use, called), `${use.schema}.${use.name}`);
		else if (use.kind === 'relation') {
			const relation = catalog.relation(use.schema, use.name);
			if (relation !== undefined) ofRelation(catalog, relation, writing, leave);
		}
	}
	return [...left].map(([what, of]) => ({ type: 'leaves', what, of }));
}

/** Of a FunctionCall message. */
export function residueOfCall(
	catalog: CatalogSnapshot,
	objects: readonly ObjectUse[],
): Extract<SessionEffect, { type: 'leaves' }>[] {
	return objects.flatMap((use) => {
		const name = use.name.slice(0, use.name.indexOf('('));
		const what = BY_FUNCTION.get(name) ?? ofRoutine(catalog, use, new Set());
		return what === null ? [] : [{ type: 'leaves', what, of: `${use.schema}.${use.name}` }];
	});
}

function over(what: Residue | null, tags: readonly string[]): Record<string, Residue | null> {
	return Object.fromEntries(tags.map((tag) => [tag, what]));
}

/** SELECT INTO; of a set operation the first part has it. No values are looked at: their statement may stand for many. */
function makesTable(select: SelectStmt): boolean {
	return select.intoClause !== undefined || (select.larg !== undefined && makesTable(select.larg));
}

/** EXPLAIN ANALYZE does what the statement does. */
function explained(node: Node): [Residue | null, string] {
	const inner = 'ExplainStmt' in node ? node.ExplainStmt.query : undefined;
	const tag = inner === undefined ? 'ExplainStmt' : tagOf(inner);
	return [Object.hasOwn(BY_STATEMENT, tag) ? (BY_STATEMENT[tag] ?? null) : 'unknown', tag];
}

/** Last parts of the names of all functions that are called in the tree. */
function functionsIn(node: Node): Set<string> {
	const found = new Set<string>();
	const stack: unknown[] = [node];
	for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
		if (typeof next !== 'object' || next === null) continue;
		if (Array.isArray(next)) {
			for (const one of next) stack.push(one);
			continue;
		}
		for (const [key, value] of Object.entries(next)) {
			if (key === 'funcname' && Array.isArray(value)) {
				const last = (value.at(-1) as { String?: { sval?: string } } | undefined)?.String?.sval;
				if (last !== undefined) found.add(last);
			} else if (typeof value === 'object') stack.push(value);
		}
	}
	return found;
}

/** What any routine of that name and these arguments may leave. `called`: names of functions that the text itself calls. */
function ofRoutine(catalog: CatalogSnapshot, use: ObjectUse, called: ReadonlySet<string>): Residue | null {
	const open = use.name.indexOf('(');
	const name = open === -1 ? use.name : use.name.slice(0, open);
	const found = catalog
		.routines(use.schema, name)
		.filter((routine) => `${name}(${routine.argNames.join(',')})` === use.name);
	if (found.length === 0) return 'unknown';
	for (const routine of found) {
		if (!routine.builtin) {
			if (routine.compiled !== true || routine.volatility === 'volatile') return 'code';
			continue;
		}
		const known = BY_FUNCTION.get(name);
		if (known !== undefined) return known;
		// That of a text tells of itself; that of a type, in the check of a domain, does not.
		if (name === 'set_config') {
			if (!called.has(name)) return 'unknown';
			continue;
		}
		const safety = routineSafety(routine);
		if (!safety.safe && !TRANSIENT.has(safety.class)) return 'unknown';
	}
	return null;
}

/** Triggers, defaults, checks, policies and views that run along; those of partitions and children too. */
function ofRelation(
	catalog: CatalogSnapshot,
	relation: Relation,
	writing: boolean,
	leave: (what: Residue, of: string) => void,
	seen: Set<number> = new Set(),
): void {
	if (seen.has(relation.oid)) return;
	seen.add(relation.oid);
	const name = `${relation.schema}.${relation.name}`;
	if (relation.readRunsCode === true || (writing && relation.writeRunsCode === true)) leave('code', name);
	if (writing && relation.usesSequence === true) leave('sequence', name);
	for (const [called] of (relation.definition ?? '').matchAll(IN_VIEWS))
		leave(BY_FUNCTION.get(called) ?? (called === 'set_config' ? 'unknown' : 'lock'), name);
	for (const oid of relation.children) {
		const child = catalog.relationByOid(oid);
		if (child !== undefined) ofRelation(catalog, child, writing, leave, seen);
	}
}
