/** Cursors of DECLARE: what one shows was decided when it was declared, and is decided again before FETCH under another policy. */
import { GatewayError } from '../errors.ts';
import type { Decision, StatementDecision } from '../stages.ts';
import type { Conversation } from './conversation.ts';
import type { SessionLimits } from './limits.ts';

/** What a cursor or portal shows, and under which policy that was found to be right. */
export interface Shown {
	readonly sql: string;
	readonly paramTypes: readonly number[];
	/** Its text as the server has it. */
	readonly rewritten: string;
	/** Revision of the policy that it was decided under, or last found to be decided alike. */
	policy: string;
	/** Revision under which it would be another text, or none; null: none is known. */
	refusedUnder: string | null;
}

/** One DECLARE that was sent. */
interface Declared extends Shown {
	readonly holds: boolean;
}

/** A CLOSE that was sent: what stands before it is gone once it has succeeded. */
interface Closing {
	readonly by: StatementDecision;
}

/** No revision: what is not known was declared under one of several. */
const SEVERAL = '';

/** How many are kept, and how much of their texts. */
type Limits = Pick<SessionLimits, 'portalsMax' | 'statementBytesMax'>;

/** By name, in the order in which they were sent: whether a DECLARE has succeeded is not known, and it may have failed because there was one. */
export class Cursors {
	readonly #limits: Limits;
	readonly #sent = new Map<string, (Declared | Closing)[]>();
	#count = 0;
	/** Characters of all texts that are kept. */
	#length = 0;
	/** There were too many to keep: each that is not known is taken for one that was declared under this revision. */
	#lost: string | null = null;
	/** Some of them outlive their transaction. */
	#lostHeld = false;

	constructor(limits: Limits) {
		this.#limits = limits;
	}

	/** Statements of the decision are about to be sent. */
	note({ statements }: Decision, paramTypes: readonly number[], policy: string): void {
		for (const statement of statements) {
			for (const effect of statement.effects) {
				if (effect.type === 'close') this.#closes(effect.name, statement);
				else if (effect.type === 'declare') {
					const { sql } = statement;
					this.#declares(effect.name, { ...shownOf(statement, { sql, paramTypes }, policy), holds: effect.holds });
				}
			}
		}
	}

	/** CLOSE (null: CLOSE ALL, DISCARD ALL) has succeeded. */
	closed(name: string | null, by: StatementDecision): void {
		for (const each of name === null ? [...this.#sent.keys()] : [name]) {
			const sent = this.#sent.get(each) ?? [];
			const at = sent.findIndex((one) => 'by' in one && one.by === by);
			this.#keep(each, sent.slice(at + 1));
		}
	}

	/** No transaction is open, and nothing is outstanding: what is not held is gone. */
	rest(): void {
		if (!this.#lostHeld) this.#lost = null;
		if (this.#count === 0) return;
		for (const [name, sent] of this.#sent) {
			this.#keep(
				name,
				sent.filter((one) => 'holds' in one && one.holds),
			);
		}
	}

	/** What FETCH of that name may show. Null: nobody knows, and it was decided under another policy. */
	named(name: string, policy: string): readonly Shown[] | null {
		if (this.#lost !== null && this.#lost !== policy) return null;
		return (this.#sent.get(name) ?? []).filter((one) => 'policy' in one);
	}

	#declares(name: string, declared: Declared): void {
		const sent = this.#sent.get(name) ?? [];
		const last = sent.at(-1);
		const same = last !== undefined && 'policy' in last && last.rewritten === declared.rewritten;
		if (same && last.policy === declared.policy && last.holds === declared.holds && last.sql === declared.sql) return;
		const { portalsMax, statementBytesMax } = this.#limits;
		if (this.#count >= portalsMax || this.#length + lengthOf(declared) > statementBytesMax) {
			for (const one of [...this.#sent.values()].flat()) if ('policy' in one) this.#lose(one);
			this.#sent.clear();
			this.#count = 0;
			this.#length = 0;
		}
		this.#add(name, declared);
	}

	#lose({ policy, holds }: Declared): void {
		this.#lostHeld ||= holds;
		this.#lost = this.#lost === null || this.#lost === policy ? policy : SEVERAL;
	}

	/** Where nothing of that name is known there is nothing to forget; what is not noted stays known for longer. */
	#closes(name: string | null, by: StatementDecision): void {
		if (this.#count >= this.#limits.portalsMax) return;
		const names = name === null ? [...this.#sent.keys()] : [name];
		for (const each of names) if (this.#sent.has(each)) this.#add(each, { by });
	}

	#add(name: string, one: Declared | Closing): void {
		const sent = this.#sent.get(name);
		if (sent === undefined) this.#sent.set(name, [one]);
		else sent.push(one);
		this.#count += 1;
		this.#length += lengthOf(one);
	}

	#keep(name: string, left: (Declared | Closing)[]): void {
		const kept = new Set(left);
		for (const one of this.#sent.get(name) ?? []) {
			if (kept.has(one)) continue;
			this.#count -= 1;
			this.#length -= lengthOf(one);
		}
		if (left.length === 0) this.#sent.delete(name);
		else this.#sent.set(name, left);
	}
}

/**
 * What a statement shows that is sent under this policy. `of`: the text that it stands in. Of EXECUTE it is what that runs now: by
 * then its name may stand for something else, or for the same as it was decided anew.
 */
export function shownOf(
	statement: StatementDecision | undefined,
	of: Pick<Shown, 'sql' | 'paramTypes'>,
	policy: string,
): Shown {
	const executes = statement?.executes;
	const { sql, paramTypes } = executes === undefined ? of : { sql: executes, paramTypes: [] };
	return { sql, paramTypes, rewritten: rewrittenOf(statement), policy, refusedUnder: null };
}

/** As the server has it; of EXECUTE what that runs. */
export function rewrittenOf(statement: StatementDecision | undefined): string {
	return statement?.executesRewritten ?? statement?.rewritten ?? '';
}

function lengthOf(one: Declared | Closing): number {
	if ('by' in one) return 0;
	return one.sql.length + (one.rewritten === one.sql ? 0 : one.rewritten.length);
}

/** Null: what the decision fetches would be shown today as well. again: that is not known yet. An error: it would not. */
export function fetchable(conversation: Conversation, decision: Decision): 'again' | GatewayError | null {
	for (const [at, { cursor, effects }] of decision.statements.entries()) {
		if (cursor === undefined || effects.some(({ type }) => type === 'declare')) continue;
		// What the same text declares is decided with it; whether that fails is told before it is fetched from.
		const before = decision.statements.slice(0, at);
		if (before.some(({ effects }) => effects.some((effect) => effect.type === 'declare' && effect.name === cursor)))
			continue;
		const shown = shownBy(conversation, cursor);
		if (shown === 'again') return 'again';
		if (shown === null) return changed(cursor);
		for (const one of shown) {
			const holds = stillShown(conversation, one);
			if (holds === 'again') return 'again';
			if (!holds) return changed(cursor);
		}
	}
	return null;
}

/** A portal of Bind has a name among those of cursors. */
function shownBy(conversation: Conversation, name: string): 'again' | readonly Shown[] | null {
	const { portals, segment, cursors } = conversation;
	const found = portals.lookup(name, segment);
	if (found.type === 'unsure') {
		conversation.drain();
		return 'again';
	}
	const declared = cursors.named(name, policyOf(conversation));
	if (declared === null || found.type === 'absent') return declared;
	return [...declared, found.value.shown];
}

function stillShown(conversation: Conversation, shown: Shown): boolean | 'again' {
	const policy = policyOf(conversation);
	if (shown.policy === policy) return true;
	if (shown.refusedUnder === policy) return false;
	const { pipeline } = conversation.services;
	const made = pipeline.decide(conversation.context(), shown.sql, shown.paramTypes);
	if (made instanceof Promise) {
		conversation.wait(made.then((decision) => settle(shown, decision, policy)));
		return 'again';
	}
	return settle(shown, made, policy);
}

function settle(shown: Shown, { effect, statements }: Decision, policy: string): boolean {
	const [statement] = statements;
	const holds = effect !== 'deny' && statements.length === 1 && rewrittenOf(statement) === shown.rewritten;
	if (holds) shown.policy = policy;
	else shown.refusedUnder = policy;
	return holds;
}

function policyOf(conversation: Conversation): string {
	return conversation.context().access.revision;
}

function changed(name: string): GatewayError {
	const words = `the policy has changed since cursor "${name}" was declared`;
	return new GatewayError('42501', words, { hint: 'Declare it again.' });
}
