/** EXPLAIN: estimates and run times tell of hidden rows, so on protected relations only the shape of the plan is shown. */
import type { ExplainStmt, Node } from '@pgsql/types';
import { literalOf } from './call.ts';
import { as } from './nodes.ts';
import { isKeyword } from './source.ts';
import { refuse, type Walk } from './walk.ts';

const TRUE_WORDS: ReadonlySet<string> = new Set(['true', 'on', '1', 'yes', 't', 'y', 'tr', 'tru', 'ye']);

/** Decides the statement inside; COSTS is switched off where it touches something protected, ANALYZE is refused there. */
export function explain(walk: Walk, node: ExplainStmt, inside: (walk: Walk, node: Node) => void): void {
	if (node.query === undefined) throw refuse(walk, 'EXPLAIN without a statement');
	inside(walk, node.query);
	// What EXECUTE runs was decided when it was prepared; whether that holds still is for `executed` to see.
	const name = as(executeIn(node.query), 'ExecuteStmt')?.name;
	if (name !== undefined && walk.context.touchesProtected?.(name) !== false) walk.touchesProtected = true;
	// The rows are those of the plan, not what a write is made to return for its filter.
	walk.hidesRows = false;
	if (!walk.touchesProtected) return;
	if (isOn(node, 'analyze')) {
		throw refuse(
			walk,
			'EXPLAIN ANALYZE of a statement on protected relations',
			undefined,
			'Its counts tell of rows that the policy hides; EXPLAIN without ANALYZE shows the plan.',
		);
	}
	withoutCosts(walk, node);
}

function executeIn(query: Node): Node {
	return as(query, 'CreateTableAsStmt')?.query ?? query;
}

function isOn(node: ExplainStmt, name: string): boolean {
	return (node.options ?? []).some((entry) => {
		const option = as(entry, 'DefElem');
		if (option?.defname?.toLowerCase() !== name) return false;
		if (option.arg === undefined) return true;
		const word =
			literalOf(option.arg) ?? as(option.arg, 'String')?.sval ?? String(as(option.arg, 'Integer')?.ival ?? 1);
		return TRUE_WORDS.has(word.toLowerCase());
	});
}

/** What planning touched and took rests on the rows of the table too; named only where the client names them, since not every version has all. */
const ON_PLANNING = ['buffers', 'memory'] as const;

/** The last of several options of a name is the one that holds. */
function withoutCosts(walk: Walk, node: ExplainStmt): void {
	const { source } = walk;
	const at = source.tokenAt(walk.start);
	const next = source.tokens[at + 1];
	const explainToken = source.tokens[at];
	if (explainToken === undefined || next === undefined || !isKeyword(explainToken, 'explain'))
		throw refuse(walk, 'an EXPLAIN that the gateway cannot place');
	const close = next.text === '(' ? source.tokens[source.closing(at + 1)] : undefined;
	// A bracket may also open the query itself.
	const isOptions =
		next.text === '(' &&
		!['select', 'values', 'with', 'table', '('].includes((source.tokens[at + 2]?.text ?? '').toLowerCase());
	const also = ON_PLANNING.filter((name) => isOn(node, name)).map((name) => `, ${name.toUpperCase()} OFF`);
	if (isOptions && close !== undefined) walk.edits.insert(close.start, `, COSTS OFF, SUMMARY OFF${also.join('')}`);
	else if (isOn(node, 'verbose')) walk.edits.replace(next.start, next.end, '(VERBOSE, COSTS OFF)');
	else walk.edits.insert(explainToken.end, ' (COSTS OFF)');
}
