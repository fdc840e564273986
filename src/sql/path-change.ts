/** Texts of several statements of which an earlier one changes what the names of a later one mean: they are refused. */
import type { Node } from '@pgsql/types';
import { GatewayError } from '../errors.ts';
import type { Decision, StatementDecision } from '../stages.ts';
import { as, type NodeOf } from './nodes.ts';
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
		if (pathSet(node) !== undefined) return false;
		// A rollback may undo a SET of search_path; more transaction control after it names nothing.
		if ('TransactionStmt' in node) return i < lastNaming && node.TransactionStmt.kind?.includes('ROLLBACK') === true;
		return i < parsed.statements.length - 1 && changesNames(node, mayCall);
	});
	if (changing === undefined) return undefined;
	return mayChangePath({ position: parsed.source.position(changing.start) });
}

/** Longest name in bytes; the server cuts what is longer. */
const NAME_BYTES_MAX = 63;

/**
 * The search_path of the statements after this one, where it says so in so many words and to the end of the session: SET with
 * constants, or the set_config('search_path', '', false) that dumps begin with.
 */
export function pathSet(node: Node): readonly string[] | undefined {
	const set = as(node, 'VariableSetStmt');
	if (set?.kind === 'VAR_SET_VALUE' && set.name === 'search_path' && set.is_local !== true) {
		const names = (set.args ?? []).map((arg) => as(arg, 'A_Const')?.sval?.sval);
		const isPlain = (name: string | undefined): name is string =>
			name !== undefined && Buffer.byteLength(name) <= NAME_BYTES_MAX;
		return names.every(isPlain) ? names : undefined;
	}
	return isEmptying(as(node, 'SelectStmt')) ? [] : undefined;
}

/** What the tree says of a call with nothing but arguments. */
const PLAIN_CALL: ReadonlySet<string> = new Set(['funcname', 'args', 'funcformat', 'location']);

/** `select pg_catalog.set_config('search_path', '', false)` and nothing else. */
function isEmptying(select: NodeOf<'SelectStmt'> | undefined): boolean {
	const { targetList, op, limitOption, ...more } = select ?? {};
	const target = as(targetList?.[0], 'ResTarget');
	if (targetList?.length !== 1 || Object.keys(more).length > 0 || op !== 'SETOP_NONE') return false;
	if (limitOption !== 'LIMIT_OPTION_DEFAULT') return false;
	const call = as(target?.val, 'FuncCall');
	const { args } = call ?? {};
	if (args?.length !== 3 || Object.keys(call ?? {}).some((key) => !PLAIN_CALL.has(key))) return false;
	const words = (call?.funcname ?? []).map((part) => as(part, 'String')?.sval);
	const [name, value, local] = args.map((arg) => as(arg, 'A_Const'));
	const isCall = words.join('.') === 'pg_catalog.set_config' && name?.sval?.sval === 'search_path';
	// An empty string and false are left out of the tree.
	const isEmpty = value?.sval !== undefined && (value.sval.sval ?? '') === '';
	return isCall && isEmpty && local?.boolval !== undefined && local.boolval.boolval !== true;
}

/**
 * Words by which the body of DO says that it sets search_path. It may hide that; but whoever may DO runs any code as the gateway's
 * role, and what a name means to the statements after it is not theirs to gain by: what was resolved is written with its schema.
 */
const MOVES_PATH = /search_path|set_config|\b(?:reset|discard|rollback|abort)\b/i;

/** SET search_path, set_config, ROLLBACK (which may undo one), DISCARD, RESET ALL, and code that may do so. */
function changesNames(node: object, mayCall: boolean): boolean {
	if ('CallStmt' in node || 'DiscardStmt' in node) return true;
	if ('DoStmt' in node) return MOVES_PATH.test(JSON.stringify(node));
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
