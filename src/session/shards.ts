/** How a session in transaction mode moves to another shard of its database: by SET portcullis.shard, or a comment in front. */
import { GatewayError } from '../errors.ts';
import type { Decision, SessionEffect, StatementDecision } from '../stages.ts';
import type { Frontend } from '../wire/frontend.ts';
import type { Conversation } from './conversation.ts';
import type { Loans } from './loans.ts';
import type { DatabaseServices } from './services.ts';

export const shardSetting = 'portcullis.shard';

/** What a text says of the shard. `alone`: it is a SET and nothing else. */
export interface ShardChoice {
	/** As written: a name, or what stands for one in the configuration; null: it cannot be read. */
	readonly asked: string | null;
	readonly alone: boolean;
}

const comment = /^\s*\/\*\s*portcullis\.shard\s*[=:]\s*(?:'([^']*)'|([A-Za-z0-9_.-]+))\s*\*\//;
/** Bare words as PostgreSQL takes them here; DEFAULT is none. */
const set =
	/^\s*set\s+(?:session\s+)?portcullis\.shard\s*(?:=|\sto\s)\s*(?:'([^'\\]*)'|(?!default\b)([a-z_][a-z0-9_]*|[0-9]+))\s*;?\s*$/i;
/** A comment in front that means to say it. */
const meant = /^\s*\/\*[^*]*portcullis\.shard/;

/** Null: the text says nothing of it. Any other way to set it is refused as a setting of the gateway's own. */
export function shardChoice(sql: string): ShardChoice | null {
	const alone = set.exec(sql);
	if (alone !== null) return { asked: alone[1] ?? alone[2]?.toLowerCase() ?? null, alone: true };
	const inFront = comment.exec(sql);
	if (inFront !== null) return { asked: inFront[1] ?? inFront[2] ?? null, alone: false };
	return meant.test(sql) ? { asked: null, alone: false } : null;
}

/**
 * Between two transactions, with nothing on a backend: the session moves to the shard that the message's text names, before it asks
 * for a backend. Null: there is nothing against it. Where it cannot move, `shardDecision` refuses the text.
 */
export function moveShard(conversation: Conversation, loans: Loans, message: Frontend): GatewayError | null {
	const { database } = conversation;
	if (typeof database.shard !== 'string') return null;
	const sql = textOf(conversation, message);
	const choice = sql === null ? null : choiceFor(database, sql);
	if (choice === null) return null;
	const named = shardNamed(conversation, choice);
	if (named instanceof GatewayError) return named;
	if (named.shard === database.shard) return null;
	if (loans.subscriptions.busy) return cannotMove(conversation);
	loans.moveTo({ ...named, ...named.asRole?.(conversation.identity) });
	return null;
}

function textOf({ statements, segment }: Conversation, message: Frontend): string | null {
	if (message.type === 'Query' || message.type === 'Parse') return message.sql;
	if (message.type !== 'Bind') return null;
	const found = statements.lookup(message.statement, segment);
	return found.type === 'present' ? found.value.sql : null;
}

/**
 * The decision on a text that says something of the shard, where it is the gateway's to make: a SET of the shard that the session is
 * on by now is allowed; another shard than that is refused. Null: the policy decides.
 */
export function shardDecision(conversation: Conversation, sql: string): Decision | null {
	const choice = choiceFor(conversation.database, sql);
	if (choice === null) return null;
	const named = shardNamed(conversation, choice);
	if (named instanceof GatewayError) return decision(sql, named);
	if (named.shard === conversation.database.shard) return choice.alone ? decision(sql, null) : null;
	return decision(sql, cannotMove(conversation));
}

function choiceFor({ shard, onShard }: DatabaseServices, sql: string): ShardChoice | null {
	return typeof shard === 'string' && onShard !== undefined ? shardChoice(sql) : null;
}

function shardNamed({ database, identity }: Conversation, { asked }: ShardChoice): DatabaseServices | GatewayError {
	if (asked === null) {
		const hint = `Write it as /* ${shardSetting} = NAME */ in front of the statement.`;
		return new GatewayError('42601', `the comment on ${shardSetting} cannot be read`, { hint });
	}
	try {
		return database.onShard?.(identity, asked) ?? database;
	} catch (error) {
		if (!(error instanceof GatewayError)) throw error;
		// At the login it ends the connection; here it is the statement's.
		return new GatewayError(error.sqlstate, error.message, error.hint === undefined ? {} : { hint: error.hint });
	}
}

function cannotMove({ loans, database }: Conversation): GatewayError {
	if (loans === null) {
		const hint = 'Connect again with options=-c portcullis.shard=NAME, or pool the database by transaction.';
		return new GatewayError('0A000', `the session is on shard "${database.shard}" to its end`, { hint });
	}
	const detail =
		'It is in a transaction or a pipeline, listens to something, or keeps its server connection for what it has there.';
	return new GatewayError('25001', `the session cannot leave shard "${database.shard}" now`, { detail });
}

function decision(sql: string, error: GatewayError | null): Decision {
	const effect = error === null ? 'allow' : 'deny';
	const set: SessionEffect = { type: 'set', name: shardSetting, local: false };
	const refused = error === null ? {} : { error };
	// Never current: what is prepared is looked at again before it runs, for the session may have moved.
	const revision = 'shard';
	const statement: StatementDecision = {
		effect,
		node: 'VariableSetStmt',
		sql,
		rewritten: sql,
		objects: [],
		rules: [],
		touchesProtected: false,
		checks: [],
		hidesRows: false,
		effects: error === null ? [set] : [],
		...refused,
	};
	return { effect, sql, rewritten: sql, edits: [], statements: [statement], revision, ...refused };
}
