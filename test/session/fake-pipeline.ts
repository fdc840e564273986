/** A pipeline that allows everything but what a mark in the text asks for, so that sessions are tested without a policy. */
import type { Node } from '@pgsql/types';
import type { Accepted } from '../../src/audit/log.ts';
import type { Outcome, SessionEvent, StatementRecord } from '../../src/audit/event.ts';
import { GatewayError } from '../../src/errors.ts';
import type { SessionAudit, StatementContext, StatementPipeline } from '../../src/session/services.ts';
import { mapPosition } from '../../src/sql/edits.ts';
import { defaultSqlLimits, parse } from '../../src/sql/parse.ts';
import type { AuditReceipt, Decision, Identity, Residue, SessionEffect, StatementDecision } from '../../src/stages.ts';
import type { ResponseFields, RowField } from '../../src/wire/backend.ts';

/** What the log would hold. */
export interface Recorded {
	readonly record: StatementRecord;
	readonly receipt: AuditReceipt;
	readonly outcomes: Outcome[];
}

/**
 * Marks: `deny_me` anywhere denies, `slow_me` decides by a Promise, `wait_for_me` when the test says so, `hide_me` hides rows, `protect_me` touches a
 * protected relation, `old_text` is rewritten to `new_text`, `leak_me` is a column that the guard stops,
 * `look_up_me` looks for relations of the session's own.
 */
export class FakePipeline implements StatementPipeline, SessionAudit {
	readonly recorded: Recorded[] = [];
	readonly events: SessionEvent[] = [];
	/** Search paths that decisions were made with. */
	readonly paths: (readonly string[] | null)[] = [];
	/** Names of the session's own relations that decisions were made with. */
	readonly own: (readonly string[])[] = [];
	/** What `look_up_me` found. */
	readonly found: (readonly string[])[] = [];
	/** What EXECUTE would run. */
	readonly executed: (string | undefined)[] = [];
	/** Decisions that the test has to give, by calling these. */
	readonly waiting = new Set<() => void>();
	/** Set to make every record fail. */
	failure: GatewayError | null = null;
	/** Grows: prepared statements are decided again. */
	revision = 1;
	/** Texts that are denied from now on. */
	readonly denied = new Set<string>();
	/** What replaces `old_text`. */
	replacement = 'new_text';
	#queue: (() => void)[] = [];

	decide(context: StatementContext, sql: string): Decision | Promise<Decision> {
		this.paths.push(context.names.searchPath);
		const executes = /^execute (\w+)/.exec(sql)?.[1];
		if (executes !== undefined) this.executed.push(context.prepared(executes)?.statement.sql);
		const decision = this.#decide(sql);
		this.own.push(context.names.own?.map(({ name }) => name) ?? []);
		if (sql.includes('look_up_me')) return this.#lookUp(context, decision);
		if (sql.includes('wait_for_me')) return this.#wait(context, decision);
		if (!sql.includes('slow_me')) return decision;
		return new Promise((resolve) => {
			setTimeout(() => resolve(decision), 5);
		});
	}

	decideCall(_context: StatementContext, oid: number): Decision {
		return oid === 1 ? this.#decide('select deny_me') : this.#decide(`select ${oid}`);
	}

	isCurrent(decision: Decision): boolean {
		return decision.revision === String(this.revision);
	}

	accept(record: StatementRecord, done: Accepted): void {
		if (this.#queue.length === 0) setImmediate(() => this.#write());
		this.#queue.push(() => {
			if (this.failure !== null) {
				done(this.failure, null);
				return;
			}
			const receipt = { id: String(this.recorded.length + 1), sequence: this.recorded.length + 1 } as AuditReceipt;
			this.recorded.push({ record, receipt, outcomes: [] });
			done(null, receipt);
		});
	}

	outcome(receipt: AuditReceipt, outcome: Outcome): void {
		this.recorded[receipt.sequence - 1]?.outcomes.push(outcome);
	}

	event(event: SessionEvent, done?: Accepted): void {
		this.events.push(event);
		if (done !== undefined) setImmediate(() => done(this.failure, null));
	}

	clientFields(fields: ResponseFields, decision: Decision, statement: number): ResponseFields {
		const told = inClientsText(fields, decision);
		return decision.statements[statement]?.touchesProtected === true ? this.redactedFields(told) : told;
	}

	redactedFields(fields: ResponseFields): ResponseFields {
		return new Map([...fields].filter(([code]) => !['D', 'W', 'q'].includes(code)));
	}

	breach(fields: readonly RowField[]): string | null {
		return fields.some(({ name }) => name === 'leak_me') ? 'some.relation.leak_me' : null;
	}

	#wait({ interruption }: StatementContext, decision: Decision): Promise<Decision> {
		return new Promise((resolve) => {
			const give = (): void => settle(decision);
			const settle = (made: Decision): void => {
				this.waiting.delete(give);
				resolve(made);
			};
			const signal = interruption?.();
			const stop = (): void => settle({ ...decision, effect: 'deny', error: signal?.reason as GatewayError });
			signal?.addEventListener('abort', stop, { once: true });
			this.waiting.add(give);
		});
	}

	async #lookUp(context: StatementContext, decision: Decision): Promise<Decision> {
		const found = await context.lookUp([
			{ schema: 'pg_temp', name: 'mine' },
			{ schema: 'public', name: 'fresh' },
		]);
		this.found.push(found.map(({ name }) => name).sort());
		return decision;
	}

	#write(): void {
		const queue = this.#queue;
		this.#queue = [];
		for (const write of queue) write();
	}

	#decide(sql: string): Decision {
		const revision = String(this.revision);
		try {
			const { source, statements: parsed } = parse(sql, defaultSqlLimits);
			const statements = parsed.map(({ node, start, end }) =>
				this.#statement(Object.keys(node)[0] ?? '', source.slice(start, end), channelEffects(node)),
			);
			const refused = this.denied.has(sql) || sql.includes('deny_me');
			const rewritten = sql.replaceAll('old_text', this.replacement);
			if (!refused) return { effect: 'allow', sql, rewritten, edits: [], statements, revision };
			const error = new GatewayError('42501', 'no rule allows this');
			const denied = statements.map((statement) => ({ ...statement, effect: 'deny', error }) as const);
			return { effect: 'deny', sql, rewritten: sql, edits: [], statements: denied, error, revision };
		} catch (error) {
			if (!(error instanceof GatewayError)) throw error;
			const statements = [{ ...this.#statement('Unparsable', sql), effect: 'deny', error } as const];
			return { effect: 'deny', sql, rewritten: sql, edits: [], statements, error, revision };
		}
	}

	#statement(node: string, sql: string, more: readonly SessionEffect[] = []): StatementDecision {
		return {
			effect: 'allow',
			node,
			sql,
			rewritten: sql.replaceAll('old_text', this.replacement),
			objects: [],
			rules: [],
			touchesProtected: sql.includes('protect_me'),
			checks: [],
			hidesRows: sql.includes('hide_me'),
			effects: [...more, ...effectsOf(node, sql)],
		};
	}
}

function inClientsText(fields: ResponseFields, { sql, edits }: Decision): ResponseFields {
	const position = fields.get('P');
	if (position === undefined || edits.length === 0) return fields;
	return new Map([...fields, ['P', String(mapPosition(sql, edits, Number(position)))]]);
}

function channelEffects(node: Node): SessionEffect[] {
	if ('ListenStmt' in node) return [{ type: 'listen', channel: node.ListenStmt.conditionname ?? '' }];
	return 'UnlistenStmt' in node ? [{ type: 'unlisten', channel: node.UnlistenStmt.conditionname ?? null }] : [];
}

function effectsOf(node: string, sql: string): SessionEffect[] {
	return [...ownEffects(node, sql), ...residueIn(node, sql)];
}

/** As the analysis tells it, as far as these tests need it. */
function residueIn(node: string, sql: string): SessionEffect[] {
	const left: Residue[] = [];
	if (/^(Declare|ClosePortal)/.test(node)) left.push('cursor');
	if (/^(Prepare|Execute|Deallocate)/.test(node)) left.push('prepared');
	if (/isten/.test(node)) left.push('listen');
	if (node === 'DiscardStmt') left.push('all');
	if (node === 'DoStmt' || sql.includes('user_code')) left.push('code');
	if (/pg_(try_)?advisory_(un)?lock/.test(sql)) left.push('lock');
	if (/setseed/.test(sql)) left.push('seed');
	if (/nextval|setval|counted/.test(sql)) left.push('sequence');
	if (/currval|lastval/.test(sql)) left.push('sequence-read');
	return left.map((what) => ({ type: 'leaves', what, of: `app.${what}` }));
}

function ownEffects(node: string, sql: string): SessionEffect[] {
	if (node === 'VariableSetStmt' && /reset all/i.test(sql)) return [{ type: 'names-unknown' }];
	if (node === 'VariableSetStmt' && /characteristics/i.test(sql))
		return [{ type: 'set', name: 'default_transaction_isolation', local: false }];
	if (node === 'VariableSetStmt') {
		const name =
			/(?:set|reset)\s+(?:local\s+|session\s+)?(time zone|names|[\w.]+)/i.exec(sql)?.[1]?.toLowerCase() ?? '';
		const known = { 'time zone': 'timezone', names: 'client_encoding', transaction: '' }[name] ?? name;
		const reset = /reset|to default/i.test(sql) ? { reset: true } : {};
		return known === '' ? [] : [{ type: 'set', name: known, local: /\blocal\b/i.test(sql), ...reset }];
	}
	const set = /set_config\('([\w.]+)'/i.exec(sql)?.[1];
	if (set !== undefined) return [{ type: 'set', name: set, local: false }];
	if (node === 'DiscardStmt' && /all/i.test(sql))
		return [{ type: 'names-unknown' }, { type: 'deallocate', name: null }, { type: 'unlisten', channel: null }];
	if (node === 'DeallocateStmt') {
		const name = /deallocate\s+(\w+)/i.exec(sql)?.[1] ?? 'all';
		return [{ type: 'deallocate', name: name === 'all' ? null : name }];
	}
	if (node === 'ExecuteStmt') return [{ type: 'execute', name: /execute\s+(\w+)/i.exec(sql)?.[1] ?? '' }];
	if (node === 'PrepareStmt')
		return [{ type: 'prepare', name: /prepare\s+"?([\w ]+?)"?\s+(?:as|\()/i.exec(sql)?.[1] ?? '' }];
	if (/^(Create|Alter|Drop|View)/.test(node) || /\binto temp/i.test(sql)) return [{ type: 'ddl' }];
	if (node !== 'TransactionStmt') return [];
	const name = lastName(sql);
	if (/^\s*(begin|start)/i.test(sql)) return [{ type: 'begin' }];
	if (/^\s*rollback\s+to/i.test(sql)) return [{ type: 'savepoint', does: 'rollback', name }];
	if (/^\s*(rollback|abort)/i.test(sql)) return [{ type: 'rollback' }];
	if (/^\s*(commit|end)/i.test(sql)) return [{ type: 'commit' }];
	return [{ type: 'savepoint', does: /^\s*release/i.test(sql) ? 'release' : 'define', name }];
}

/** The last identifier of a short text, as the grammar reads it. */
function lastName(sql: string): string {
	const [, quoted, bare] = /(?:"((?:[^"]|"")+)"|([^\s"]+))\s*;?\s*$/.exec(sql) ?? [];
	return quoted?.replaceAll('""', '"') ?? bare?.toLowerCase() ?? '';
}

export const someone: Identity = { name: 'someone', roles: [], groups: [], claims: {}, method: 'scram-sha-256' };
