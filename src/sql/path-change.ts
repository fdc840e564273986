/** Texts of several statements of which an earlier one changes what the names of a later one mean: they are refused. */
import { GatewayError } from '../errors.ts';
import type { Decision, StatementDecision } from '../stages.ts';
import type { Parsed } from './parse.ts';
import { isUnguardedText } from './unrestricted.ts';
import type { AnalysisContext } from './walk.ts';

/** In a text of several statements an earlier one must not change what the names of a later one mean. */
export function pathChange(parsed: Parsed, inputs: AnalysisContext): GatewayError | undefined {
	if (parsed.statements.length < 2 || isUnguardedText(inputs, parsed)) return undefined;
	// Without the word in it a text calls no set_config; U&"" may hide it.
	const mayCall = /set_config|u&"/i.test(parsed.source.sql);
	const lastNaming = parsed.statements.findLastIndex(({ node }) => !('TransactionStmt' in node));
	const changing = parsed.statements.find(({ node }, i) => {
		// A rollback may undo a SET of search_path; more transaction control after it names nothing.
		if ('TransactionStmt' in node) return i < lastNaming && node.TransactionStmt.kind?.includes('ROLLBACK') === true;
		return i < parsed.statements.length - 1 && changesNames(node, mayCall);
	});
	if (changing === undefined) return undefined;
	return mayChangePath({ position: parsed.source.position(changing.start) });
}

/** SET search_path, set_config, ROLLBACK (which may undo one), DISCARD, RESET ALL, and code that may do so. */
function changesNames(node: object, mayCall: boolean): boolean {
	if ('DoStmt' in node || 'CallStmt' in node || 'DiscardStmt' in node) return true;
	if ('VariableSetStmt' in node) return /"name":"search_path"|VAR_RESET_ALL/i.test(JSON.stringify(node));
	return mayCall && JSON.stringify(node).includes('"set_config"');
}

function mayChangePath(fields: { readonly position?: number }): GatewayError {
	return new GatewayError(
		'42501',
		'a statement that may change search_path has to be sent by itself, before those that it is meant for',
		fields,
	);
}

/**
 * The same by what the statements were found to do: EXECUTE of what sets search_path, and with `dirty` (the transaction under
 * way has changed the path, or has a cursor whose rows do) what ends the transaction or fetches. Undefined: nothing moves.
 */
export function movedNames({ statements }: Decision, dirty: boolean): GatewayError | undefined {
	const lastNaming = statements.findLastIndex(({ node }) => !NAMELESS.has(node));
	const moves = statements.some((statement, i) => i < lastNaming && movesNames(statement, dirty));
	return moves ? mayChangePath({}) : undefined;
}

/** They name nothing that search_path is looked through for. */
const NAMELESS: ReadonlySet<string> = new Set([
	'TransactionStmt',
	'FetchStmt',
	'ClosePortalStmt',
	'DeallocateStmt',
	'ListenStmt',
	'UnlistenStmt',
	'NotifyStmt',
]);

function movesNames({ node, effects }: StatementDecision, dirty: boolean): boolean {
	const isExecute = effects.some(({ type }) => type === 'execute');
	if (isExecute && effects.some(isPath)) return true;
	return dirty && (node === 'FetchStmt' || effects.some(({ type }) => type === 'commit'));
}

function isPath(effect: StatementDecision['effects'][number]): boolean {
	return effect.type === 'names-unknown' || (effect.type === 'set' && effect.name === 'search_path');
}
