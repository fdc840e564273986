/** Replication connections: who may open one, and the decision on each of its commands. They carry everything unmasked. */
import { GatewayError } from '../errors.ts';
import type { Access, Answer, Decision, ObjectUse, RuleRef, StatementDecision } from '../stages.ts';
import type { Frontend } from '../wire/frontend.ts';
import { type ReplicationCommand, readCommand } from './replication-command.ts';

/** physical: of the whole server, commands only. database: of one database, commands and SQL. As in the startup packet. */
export type Replication = 'physical' | 'database';

/** The name that pg_basebackup, pg_receivewal and standbys connect to; pg_hba.conf calls physical replication so too. */
export const physicalName = 'replication';

/** What `parse_bool` (bool.c) reads as true and as false: any beginning of these words that is no beginning of others. */
const yes: ReadonlySet<string> = new Set(['t', 'tr', 'tru', 'true', 'y', 'ye', 'yes', 'on', '1']);
const no: ReadonlySet<string> = new Set(['f', 'fa', 'fal', 'fals', 'false', 'n', 'no', 'of', 'off', '0']);

/** Startup parameter `replication` (protocol, "Streaming Replication Protocol"); null: an ordinary connection. FATAL 22023. */
export function replicationOf(params: ReadonlyMap<string, string>): Replication | null {
	const value = params.get('replication');
	if (value === undefined || no.has(value.toLowerCase())) return null;
	if (value === 'database') return 'database';
	if (yes.has(value.toLowerCase())) return 'physical';
	throw new GatewayError('22023', `invalid value for parameter "replication": "${value}"`, {
		severity: 'FATAL',
		hint: 'Valid values are: "false", 0, "true", 1, "database".',
	});
}

/** For the backend's startup packet. */
export function replicationStartup(replication: Replication | null): Readonly<Record<string, string>> {
	if (replication === null) return {};
	return { replication: replication === 'physical' ? 'true' : 'database' };
}

/**
 * Whether somebody may replicate. A rule with `*` for its action was hardly written with this in mind, so it counts only for
 * somebody from whom the policy keeps nothing in the database.
 */
export function mayReplicate(access: Access): Answer {
	const answer = access.onDatabase('replicate');
	if (!answer.allowed || answer.actionNamed === true || access.unrestricted) return answer;
	return { ...answer, allowed: false };
}

/** Throws FATAL 42501 for somebody who may not replicate. `physical`: the database's entry lets the whole server be copied. */
export function requireReplicate(
	replication: Replication,
	{ access, name, physical }: { readonly access: Access; readonly name: string; readonly physical: boolean },
): void {
	const answer = mayReplicate(access);
	if (!answer.allowed) throw notAllowed(name, answer, 'FATAL');
	if (replication === 'database' || physical) return;
	throw new GatewayError('42501', `physical replication is not offered under the name "${name}"`, {
		severity: 'FATAL',
		detail: 'It copies every database of the server, and not only this one.',
		hint: `Connect to the database "${physicalName}", or set physicalReplication for this one in the gateway's configuration.`,
	});
}

/** What the server says of a role that may not replicate is about the gateway's own role, which the client cannot know. */
export function replicationLoginError(error: unknown, role: string): unknown {
	if (!(error instanceof GatewayError)) return error;
	const said = error.cause instanceof GatewayError ? error.cause : error;
	if (said.sqlstate === '42501') {
		return new GatewayError('42501', "the gateway's role on the database server may not replicate", {
			severity: 'FATAL',
			detail: `The server says: ${said.message}`,
			hint: `It needs the attribute REPLICATION: ALTER ROLE ${role} REPLICATION.`,
			cause: error,
		});
	}
	if (error.sqlstate !== '08004') return error;
	return new GatewayError('08004', error.message, {
		severity: 'FATAL',
		hint: 'pg_hba.conf of the server has to let the role of the gateway replicate (database "replication" for physical replication).',
		cause: error,
	});
}

/** The decision on a Query of a replication connection; null: it is SQL, for the pipeline. */
export function decideReplication(replication: Replication, access: Access, sql: string): Decision | null {
	const command = readCommand(sql);
	if (command !== null) return decideCommand(command, access, sql);
	if (replication === 'database') return null;
	const words = 'cannot execute SQL commands in WAL sender for physical replication';
	return decision(access, sql, { node: 'Undecided', objects: [], rules: [], error: new GatewayError('0A000', words) });
}

/** What the server says to messages that a replication connection does not take; null for all others. */
export function refusedInReplication(message: Frontend): GatewayError | null {
	switch (message.type) {
		case 'Parse':
		case 'Bind':
		case 'Describe':
		case 'Execute':
		case 'Close':
			return new GatewayError('08P01', 'extended query protocol not supported in a replication connection');
		case 'FunctionCall':
			return new GatewayError('08P01', 'fastpath function calls not supported in a replication connection');
		default:
			return null;
	}
}

function decideCommand(
	{ node, wellFormed, writesOnServer }: ReplicationCommand,
	access: Access,
	sql: string,
): Decision {
	const answer = mayReplicate(access);
	const copy = writesOnServer ? access.onDatabase('copy') : null;
	const objects = [use(access, 'replicate', answer), ...(copy === null ? [] : [use(access, 'copy', copy)])];
	const rules = [...answer.rules, ...(copy?.rules ?? [])];
	return decision(access, sql, { node, objects, rules, ...errorOf() });

	function errorOf(): { readonly error?: GatewayError } {
		if (!answer.allowed) return { error: notAllowed(access.database, answer, 'ERROR') };
		if (!wellFormed) return { error: new GatewayError('42601', 'syntax error in a replication command') };
		if (copy === null || copy.allowed) return {};
		const words = 'permission denied: a base backup to the server itself writes files there';
		return { error: new GatewayError('42501', words, { detail: detailOf(copy, 'copy') }) };
	}
}

function use({ database }: Access, action: 'replicate' | 'copy', { rules }: Answer): ObjectUse {
	const nothing = { columns: [], masks: {}, filters: [], hidden: [] };
	return { kind: 'database', schema: '', name: database, action, rules, ...nothing };
}

function decision(
	{ revision }: Access,
	sql: string,
	made: { readonly node: string; readonly objects: readonly ObjectUse[]; readonly rules: readonly RuleRef[] } & {
		readonly error?: GatewayError;
	},
): Decision {
	const effect = made.error === undefined ? 'allow' : 'deny';
	const statement: StatementDecision = {
		effect,
		sql,
		rewritten: sql,
		touchesProtected: false,
		checks: [],
		hidesRows: false,
		effects: [],
		...made,
	};
	const error = made.error === undefined ? {} : { error: made.error };
	return { effect, sql, rewritten: sql, edits: [], statements: [statement], revision: `${revision}/none`, ...error };
}

export function notAllowed(name: string, answer: Answer, severity: 'ERROR' | 'FATAL'): GatewayError {
	const words = `permission denied to replicate database "${name}"`;
	return new GatewayError('42501', words, { severity, detail: detailOf(answer, 'replicate') });
}

function detailOf({ denied, rules }: Answer, action: string): string {
	const [rule] = rules;
	if (denied && rule !== undefined) return `${rule.file}:${rule.line} denies it.`;
	if (rule === undefined) return `No rule of the policy allows ${action} on the database.`;
	return `${rule.file}:${rule.line} does not name ${action}, which goes around masks, filters and denials.`;
}
