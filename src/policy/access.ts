/** What one identity may do in one database under one policy: each distinct question is put to Casbin once. */
import { randomUUID } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type {
	Access,
	Action,
	Answer,
	BoundExpression,
	ColumnAnswer,
	FilterAnswer,
	HidingRule,
	Identity,
} from '../stages.ts';
import type { Rule } from './csv.ts';
import type { Engine, Verdict } from './engine.ts';
import { bindExpression, type CompiledExpression } from './expression.ts';
import { POLICY_LIMITS } from './limits.ts';
import {
	catalogTypes,
	isEverything,
	isExact,
	matches,
	mayBeOfSystem,
	type NamePattern,
	namesRelation,
	type Target,
} from './object.ts';
import { type Slice, sliceOf } from './slice.ts';

export interface AccessParts {
	readonly engine: Engine;
	/** All rules of the policy, in the order of the file. */
	readonly rules: readonly Rule[];
	readonly masks: ReadonlyMap<string, CompiledExpression>;
	readonly filters: ReadonlyMap<string, CompiledExpression>;
	readonly database: string;
	readonly revision: string;
	readonly shape: string;
	readonly who: ReadonlySet<string>;
	readonly claims: Identity['claims'];
	readonly memory: AccessMemory;
}

type AnyAnswer = Answer | ColumnAnswer | FilterAnswer;

interface Slices {
	readonly decision: Slice;
	readonly protection: Slice;
}

/** What was answered under one policy, shared by all of its `Access` objects so that it is bounded as a whole. */
export class AccessMemory {
	readonly answers = new LRUCache<string, AnyAnswer>({ max: POLICY_LIMITS.answersMax });
	readonly slices = new LRUCache<string, Slices>({ max: POLICY_LIMITS.slicesMax });
	#accesses = 0;

	/** A prefix that keeps the entries of one `Access` apart from all others. */
	nextPrefix(): string {
		return `${this.#accesses++} `;
	}
}

export class PolicyAccess implements Access {
	readonly database: string;
	readonly revision: string;
	readonly shape: string;
	readonly #parts: AccessParts;
	/** Rules that are for this identity and this database. */
	readonly #own: readonly Rule[];
	readonly #prefix: string;
	#unrestricted: boolean | undefined;
	#narrowsSystem: boolean | undefined;
	#hiding: readonly HidingRule[] | undefined;

	constructor(parts: AccessParts) {
		this.#parts = parts;
		this.database = parts.database;
		this.revision = parts.revision;
		this.shape = parts.shape;
		this.#prefix = parts.memory.nextPrefix();
		this.#own = parts.rules.filter(
			(rule) => parts.who.has(rule.subject) && matches(rule.object.database, parts.database),
		);
	}

	get unrestricted(): boolean {
		this.#unrestricted ??= mayBeUnrestricted(this.#own) && this.#isAllowedAll();
		return this.#unrestricted;
	}

	/** Asks for names that no rule has: what allows these is a rule for everything. */
	#isAllowedAll(): boolean {
		const name = `portcullis ${randomUUID()}`;
		return (
			EVERYTHING.database.every((action) => this.onDatabase(action).allowed) &&
			EVERYTHING.relation.every((action) => this.onRelation(name, name, action).allowed) &&
			EVERYTHING.function.every((action) => this.onFunction(name, name, [], action).allowed)
		);
	}

	get narrowsSystem(): boolean {
		this.#narrowsSystem ??= this.#own.some(
			({ effect, object }) => effect === 'deny' && mayBeOfSystem(object) && !isEverything(object),
		);
		return this.#narrowsSystem;
	}

	get hiding(): readonly HidingRule[] {
		this.#hiding ??= this.#own.flatMap(hidingRules);
		return this.#hiding;
	}

	onDatabase(action: Action): Answer {
		return this.#answer({ kind: 'database', database: this.database }, action);
	}

	onSchema(schema: string, action: Action): Answer {
		return this.#answer({ kind: 'schema', database: this.database, schema }, action);
	}

	onRelation(schema: string, relation: string, action: Action): Answer {
		return this.#answer({ kind: 'relation', database: this.database, schema, relation }, action);
	}

	onColumn(schema: string, relation: string, column: string, action: Action): Answer {
		return this.#answer({ kind: 'column', database: this.database, schema, relation, column }, action);
	}

	onFunction(schema: string, name: string, types: readonly string[], action: 'execute' | 'call'): Answer {
		return this.#answer(
			{ kind: 'function', database: this.database, schema, name, types: catalogTypes(types) },
			action,
		);
	}

	readColumn(schema: string, relation: string, column: string): ColumnAnswer {
		const target: Target = { kind: 'column', database: this.database, schema, relation, column };
		return this.#cached<ColumnAnswer>('read', target, 'select', () => {
			const decision = this.#ask('decision', target, 'select');
			const protections = this.#ask('protection', target, 'select').matched;
			const mask = this.#maskOf(protections);
			const named = [...protections.filter(isMaskRule), ...decision.matched.filter((rule) => rule.effect === 'deny')];
			const protectionNamed = named.some((rule) => namesRelation(rule.object));
			const answer = toAnswer(decision);
			return mask ? { ...answer, mask, protectionNamed } : { ...answer, protectionNamed };
		});
	}

	filtersOf(schema: string, relation: string): FilterAnswer {
		const target: Target = { kind: 'relation', database: this.database, schema, relation };
		return this.#cached<FilterAnswer>('filter', target, 'select', () => {
			const matched = this.#ask('protection', target, 'select').matched.filter((rule) => !isMaskRule(rule));
			const held = matched.filter((rule) => rule.effect === 'filter' && !isLifted(rule, 'unfilter', matched));
			const once = held.filter((rule, index) => held.findIndex((other) => other.argument === rule.argument) === index);
			return {
				filters: once.map((rule) => this.#bind(this.#parts.filters, rule)),
				protectionNamed: matched.some((rule) => namesRelation(rule.object)),
				rules: matched.map((rule) => rule.ref),
			};
		});
	}

	#maskOf(protections: readonly Rule[]): BoundExpression | undefined {
		const first = protections.find((rule) => rule.effect === 'mask' && !isLifted(rule, 'unmask', protections));
		return first && this.#bind(this.#parts.masks, first);
	}

	#bind(expressions: ReadonlyMap<string, CompiledExpression>, rule: Rule): BoundExpression {
		const expression = expressions.get(rule.argument);
		// The load refuses such a rule; were it not so, the statement must fail rather than go unprotected.
		if (!expression)
			throw new Error(`${rule.ref.file}:${rule.ref.line} names ${rule.argument}, which masks.yaml does not have`);
		return bindExpression(expression, this.#parts.claims, rule.ref);
	}

	#answer(target: Target, action: Action): Answer {
		return this.#cached<Answer>('ask', target, action, () => {
			const verdict = this.#ask('decision', target, action);
			const answer = toAnswer(verdict);
			const actionNamed =
				answer.allowed && verdict.matched.some((rule) => rule.action === action && rule.effect === 'allow');
			return { ...answer, actionNamed };
		});
	}

	#cached<T extends AnyAnswer>(question: string, target: Target, action: Action, make: () => T): T {
		const { answers } = this.#parts.memory;
		const key = this.#prefix + JSON.stringify([question, action, ...Object.values(target)]);
		// The question is part of the key, so the entry has the type that this question makes.
		const known = answers.get(key) as T | undefined;
		if (known !== undefined) return known;
		const made = make();
		answers.set(key, made);
		return made;
	}

	#ask(kind: keyof Slices, target: Target, action: Action): Verdict {
		return this.#parts.engine.ask(this.#slicesFor(target)[kind], this.#parts.who, target, action);
	}

	/**
	 * The rules that could cover the target: Casbin's time grows with the rules that it looks at, and it would look at every
	 * rule of the policy for every column. What is left out could not have matched.
	 */
	#slicesFor(target: Target): Slices {
		const remembered = this.#parts.memory.slices;
		const key = this.#prefix + JSON.stringify(placeOf(target));
		const known = remembered.get(key);
		if (known) return known;
		const near = this.#own.filter((rule) => isNear(rule, target));
		const slices: Slices = { decision: sliceOf('decision', near), protection: sliceOf('protection', near) };
		remembered.set(key, slices);
		return slices;
	}
}

/** What somebody has to be allowed who may do everything. Reading the server's files and replication are not part of it. */
const EVERYTHING = {
	database: ['connect', 'create', 'alter', 'drop', 'grant', 'temp', 'set', 'do', 'listen', 'notify', 'maintain'],
	relation: [
		...(['select', 'insert', 'update', 'delete', 'truncate', 'lock'] as const),
		...(['create', 'alter', 'drop', 'grant', 'maintain'] as const),
	],
	function: ['execute'],
} as const satisfies Record<string, readonly Action[]>;

/** Cheap, before Casbin is asked: nothing narrows, and there are rules for all relations and all functions. */
function mayBeUnrestricted(rules: readonly Rule[]): boolean {
	const isAll = (pattern: NamePattern): boolean => pattern.wild && pattern.text === '*';
	if (rules.some(({ effect }) => effect === 'deny' || effect === 'mask' || effect === 'filter')) return false;
	const objects = rules.filter(({ effect }) => effect === 'allow').map(({ object }) => object);
	const relations = objects.some(
		(object) => object.kind === 'relation' && isAll(object.schema) && isAll(object.relation),
	);
	const functions = objects.some(
		(object) => object.kind === 'function' && isAll(object.schema) && isAll(object.name) && object.types === null,
	);
	return relations && functions;
}

function hidingRules({ effect, action, object }: Rule): HidingRule[] {
	if (effect !== 'deny' || (action !== 'select' && action !== '*') || object.kind !== 'column') return [];
	const { schema, relation, column } = object;
	return [
		{
			isFor: (inSchema, name) => matches(schema, inSchema) && matches(relation, name),
			relation: schema.wild || relation.wild ? null : { schema: schema.text, name: relation.text },
			covers: (name) => matches(column, name),
			column: column.wild ? null : column.text,
		},
	];
}

function toAnswer(verdict: Verdict): Answer {
	const deny = verdict.matched.filter((rule) => rule.effect === 'deny');
	const denied = !verdict.allowed && deny.length > 0;
	const made = denied ? deny : verdict.allowed ? verdict.matched.filter((rule) => rule.effect === 'allow') : [];
	return {
		allowed: verdict.allowed,
		denied,
		deniedByName: denied && deny.some((rule) => !isEverything(rule.object)),
		named: verdict.allowed && made.some((rule) => isExact(rule.object)),
		rules: made.map((rule) => rule.ref),
	};
}

function isMaskRule(rule: Rule): boolean {
	return rule.effect === 'mask' || rule.effect === 'unmask';
}

/** True when one of the matching rules lifts this mask or filter: any with its name, or with no name at all. */
function isLifted(rule: Rule, by: 'unmask' | 'unfilter', matched: readonly Rule[]): boolean {
	return matched.some((other) => other.effect === by && (other.argument === '' || other.argument === rule.argument));
}

/** What of a target says which rules could cover it. */
function placeOf(target: Target): readonly string[] {
	switch (target.kind) {
		case 'database':
			return ['database'];
		case 'schema':
			return ['schema', target.schema];
		case 'relation':
		case 'column':
			return ['relation', target.schema, target.relation];
		case 'function':
			return ['function', target.schema, target.name];
	}
}

function isNear({ object }: Rule, target: Target): boolean {
	switch (target.kind) {
		case 'database':
			return object.kind === 'database';
		case 'schema':
			return object.kind === 'relation' && matches(object.schema, target.schema);
		case 'relation':
		case 'column':
			return (
				(object.kind === 'relation' || object.kind === 'column') &&
				matches(object.schema, target.schema) &&
				matches(object.relation, target.relation)
			);
		case 'function':
			return object.kind === 'function' && matches(object.schema, target.schema) && matches(object.name, target.name);
	}
}
