/** Statements that act on the session itself: SET, SHOW, transactions, cursors, prepared statements, DISCARD. */
import type {
	DeclareCursorStmt,
	DiscardStmt,
	ExecuteStmt,
	ListenStmt,
	Node,
	TransactionStmt,
	UnlistenStmt,
	VariableSetStmt,
} from '@pgsql/types';
import { isSecretSetting, secretSettingNames } from '../catalog/safety.ts';
import { checkSetting, literalOf, secretSetting } from './call.ts';
import { coerced } from './coercions.ts';
import { expression } from './expression.ts';
import { as } from './nodes.ts';
import { quoteLiteral } from './quote.ts';
import { newScope } from './scope.ts';
import { isKeyword } from './source.ts';
import { addRules, denied, noteUse, refuse, type Walk } from './walk.ts';

export function setVariable(walk: Walk, statement: VariableSetStmt): void {
	const name = (statement.name ?? '').toLowerCase();
	const local = statement.is_local === true;
	switch (statement.kind) {
		case 'VAR_SET_VALUE': {
			checkSetting(walk, name, settingValue(statement.args), undefined);
			walk.effects.push({ type: 'set', name, local });
			return;
		}
		case 'VAR_SET_DEFAULT':
		case 'VAR_RESET':
			checkSetting(walk, name, null, undefined);
			walk.effects.push({ type: 'set', name, local, reset: true });
			return;
		case 'VAR_RESET_ALL':
			walk.effects.push({ type: 'names-unknown' });
			return;
		case 'VAR_SET_MULTI':
			setTransaction(walk, statement);
			return;
		default:
			throw refuse(walk, `SET of kind ${String(statement.kind)}`);
	}
}

/** SET TRANSACTION and SET SESSION CHARACTERISTICS are harmless; a snapshot comes from another session. */
function setTransaction(walk: Walk, statement: VariableSetStmt): void {
	if (statement.name === 'TRANSACTION SNAPSHOT') {
		const { access } = walk.context;
		const answer = access.onDatabase('replicate');
		if (!answer.allowed) throw denied(walk, 'SET TRANSACTION SNAPSHOT', answer, 'replicate', access.database);
		return;
	}
	for (const node of statement.args ?? []) {
		const option = as(node, 'DefElem')?.defname ?? '';
		if (!option.startsWith('transaction_') && !option.startsWith('default_transaction_'))
			throw refuse(walk, `SET TRANSACTION ${option}`);
		if (statement.name === 'SESSION CHARACTERISTICS')
			walk.effects.push({ type: 'set', name: `default_${option}`, local: false });
	}
}

/** The value as SHOW would print it; undefined when it is not only constants. */
function settingValue(args: readonly Node[] | undefined): string | undefined {
	const values = (args ?? []).map(literalOf);
	return values.includes(undefined) ? undefined : values.join(', ');
}

/** SHOW; SHOW ALL becomes a query that leaves out what may hold a password of the operator's. */
export function show(walk: Walk, name: string): void {
	noteUse(walk, 'setting', '', name.toLowerCase(), 'show');
	if (isSecretSetting(name)) throw secretSetting(walk, name, undefined);
	if (name !== 'all') return;
	const names = secretSettingNames().map((secret) => quoteLiteral(secret));
	const { tokens } = walk.source;
	const at = walk.source.tokenAt(walk.start);
	const [first, last] = [tokens[at], tokens[at + 1]];
	if (first === undefined || last === undefined || !isKeyword(first, 'show') || !isKeyword(last, 'all'))
		throw refuse(walk, 'a SHOW ALL that the gateway cannot place');
	walk.edits.replace(
		first.start,
		last.end,
		`SELECT name, CASE WHEN name OPERATOR(pg_catalog.=) ANY (ARRAY[${names.join(', ')}]) THEN '' ELSE pg_catalog.current_setting(name) END AS setting, short_desc AS description FROM pg_catalog.pg_settings`,
	);
}

export function transaction(walk: Walk, statement: TransactionStmt): void {
	switch (statement.kind) {
		case 'TRANS_STMT_BEGIN':
		case 'TRANS_STMT_START':
			walk.effects.push({ type: 'begin' });
			return;
		case 'TRANS_STMT_COMMIT':
			walk.effects.push({ type: 'commit' });
			return;
		case 'TRANS_STMT_ROLLBACK':
			walk.effects.push({ type: 'rollback' }, { type: 'names-unknown' });
			return;
		case 'TRANS_STMT_SAVEPOINT':
			walk.effects.push({ type: 'savepoint', does: 'define', name: statement.savepoint_name ?? '' });
			return;
		case 'TRANS_STMT_RELEASE':
			walk.effects.push({ type: 'savepoint', does: 'release', name: statement.savepoint_name ?? '' });
			return;
		case 'TRANS_STMT_ROLLBACK_TO': {
			const name = statement.savepoint_name ?? '';
			walk.effects.push({ type: 'savepoint', does: 'rollback', name }, { type: 'names-unknown' });
			return;
		}
		default:
			throw refuse(walk, 'two-phase commit (PREPARE TRANSACTION, COMMIT PREPARED, ROLLBACK PREPARED)');
	}
}

export function discard(walk: Walk, statement: DiscardStmt): void {
	if (statement.target !== 'DISCARD_ALL') return;
	walk.effects.push({ type: 'deallocate', name: null }, { type: 'names-unknown' }, { type: 'unlisten', channel: null });
}

export function declareCursor(walk: Walk, statement: DeclareCursorStmt): void {
	if (statement.query === undefined) throw refuse(walk, 'DECLARE CURSOR without a query');
	walk.query(walk, statement.query, null, 'output');
}

export function execute(walk: Walk, statement: ExecuteStmt): void {
	const around = { walk, scope: newScope(null), place: 'output', writing: false } as const;
	for (const target of walk.context.castTargets?.(statement.name ?? '') ?? []) walk.types.add(target);
	for (const parameter of statement.params ?? [])
		coerced(walk, expression(parameter, around), { type: null, assignment: true, location: undefined });
	walk.effects.push({ type: 'execute', name: statement.name ?? '' });
}

/** LISTEN and NOTIFY: channels are the database's. */
export function channel(walk: Walk, action: 'listen' | 'notify'): void {
	const { access } = walk.context;
	const answer = access.onDatabase(action);
	addRules(noteUse(walk, 'database', '', access.database, action), answer.rules);
	if (!answer.allowed) throw denied(walk, action.toUpperCase(), answer, action, access.database);
}

export function listen(walk: Walk, { conditionname = '' }: ListenStmt): void {
	channel(walk, 'listen');
	walk.effects.push({ type: 'listen', channel: conditionname });
}

/** Nobody is refused that they hear less. */
export function unlisten(walk: Walk, { conditionname }: UnlistenStmt): void {
	walk.effects.push({ type: 'unlisten', channel: conditionname ?? null });
}

/** DO runs code that the gateway does not analyse; a rule for `do` is its author's choice. */
export function doBlock(walk: Walk): void {
	const { access } = walk.context;
	const answer = access.onDatabase('do');
	addRules(noteUse(walk, 'database', '', access.database, 'do'), answer.rules);
	if (!answer.allowed) throw denied(walk, 'DO', answer, 'do', access.database);
	walk.touchesProtected = true;
	walk.effects.push({ type: 'ddl' }, { type: 'names-unknown' });
}
