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
	const mayDo = inputs.access.onDatabase('do').allowed;
	const lastNaming = parsed.statements.findLastIndex(({ node }) => !('TransactionStmt' in node));
	const savepoints: string[] = [];
	const changing = parsed.statements.find(({ node }, i) => {
		if (pathSet(node) !== undefined) return false;
		// A rollback may undo a SET of search_path; more transaction control after it names nothing.
		if ('TransactionStmt' in node) return !isFollowed(savepoints, node.TransactionStmt) && i < lastNaming;
		return i < parsed.statements.length - 1 && changesNames(node, mayCall, mayDo);
	});
	if (changing === undefined) return undefined;
	return mayChangePath({ position: parsed.source.position(changing.start) });
}

/** False for a ROLLBACK TO a savepoint that is not of this text: nobody knows what names meant there. `savepoints`: those up to here. */
function isFollowed(savepoints: string[], { kind, savepoint_name: name = '' }: NodeOf<'TransactionStmt'>): boolean {
	const index = savepoints.lastIndexOf(name);
	if (kind === 'TRANS_STMT_SAVEPOINT') savepoints.push(name);
	else if (kind === 'TRANS_STMT_COMMIT' || kind === 'TRANS_STMT_ROLLBACK') savepoints.length = 0;
	else if (kind === 'TRANS_STMT_RELEASE') savepoints.length = Math.max(0, index);
	else if (kind === 'TRANS_STMT_ROLLBACK_TO') {
		savepoints.length = index + 1;
		return index !== -1;
	}
	return true;
}

/** Longest name in bytes; the server cuts what is longer. */
const NAME_BYTES_MAX = 63;

/** `local`: to the end of the transaction, and of the text at the latest. */
export interface PathSet {
	readonly path: readonly string[];
	readonly local: boolean;
}

/**
 * The search_path of the statements after this one, where it says so in so many words: SET and SET LOCAL with constants, or the
 * set_config('search_path', '', false) that dumps begin with.
 */
export function pathSet(node: Node): PathSet | undefined {
	const set = as(node, 'VariableSetStmt');
	if (set?.kind === 'VAR_SET_VALUE' && set.name === 'search_path') {
		const names = (set.args ?? []).map((arg) => as(arg, 'A_Const')?.sval?.sval);
		const isPlain = (name: string | undefined): name is string =>
			name !== undefined && Buffer.byteLength(name) <= NAME_BYTES_MAX;
		return names.every(isPlain) ? { path: names, local: set.is_local === true } : undefined;
	}
	return isEmptying(as(node, 'SelectStmt')) ? { path: [], local: false } : undefined;
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

/** SET search_path, set_config, DISCARD, RESET ALL, and code that may do so: a procedure of somebody who may not DO the same. */
function changesNames(node: object, mayCall: boolean, mayDo: boolean): boolean {
	if ('DiscardStmt' in node || ('CallStmt' in node && !mayDo)) return true;
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

/** What is known of a session at the moment in which a text of several statements is sent. */
export interface TextMoment {
	/** The transaction under way has changed search_path, or has a cursor whose rows do. */
	readonly dirty: boolean;
	/** A transaction is under way that has changed search_path or done DDL: what a ROLLBACK takes back is not of the text alone. */
	readonly inTransaction: boolean;
}

/**
 * The same by what the statements were found to do: EXECUTE of what sets search_path; in a dirty transaction what ends it or fetches;
 * and what takes back a transaction in which the text was sent. Undefined: nothing moves.
 */
export function movedNames({ statements }: Decision, moment: TextMoment): GatewayError | undefined {
	const lastNaming = statements.findLastIndex(({ node }) => !NAMELESS.has(node));
	const moves = statements.some((statement, i) => i < lastNaming && movesNames(statement, moment.dirty));
	const end = statements.findIndex(({ effects }) =>
		effects.some(({ type }) => type === 'commit' || type === 'rollback'),
	);
	const takesBack = statements[end]?.effects.some(({ type }) => type === 'rollback') === true;
	return moves || (moment.inTransaction && takesBack && end < lastNaming) ? mayChangePath({}) : undefined;
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

function movesNames({ node, cursor, effects }: StatementDecision, dirty: boolean): boolean {
	const isExecute = effects.some(({ type }) => type === 'execute');
	if (isExecute && effects.some(isPath)) return true;
	const fetches = node === 'FetchStmt' || (isExecute && cursor !== undefined);
	return dirty && (fetches || effects.some(({ type }) => type === 'commit'));
}

function isPath(effect: StatementDecision['effects'][number]): boolean {
	return effect.type === 'names-unknown' || (effect.type === 'set' && effect.name === 'search_path');
}
