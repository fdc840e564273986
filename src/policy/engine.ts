/** Casbin at work: loads the model, checks that it keeps the promises of the format, and answers one question at a time. */
import {
	type Adapter,
	DefaultEffector,
	Effect,
	type Effector,
	type EffectorStream,
	EnforceContext,
	type Enforcer,
	type Model,
	newEnforcer,
	newModelFromString,
} from 'casbin';
import type { Action } from '../stages.ts';
import type { Link, Rule } from './csv.ts';
import { brokenPromises } from './model-probes.ts';
import { covers, type ObjectPattern, type Target } from './object.ts';
import type { RuleKind, Slice } from './slice.ts';

/** What Casbin said: its decision, and the rules that took part in it, in the order of the file. */
export interface Verdict {
	readonly allowed: boolean;
	readonly matched: readonly Rule[];
}

/** Names of Casbin's sections for the two kinds of rule; model.conf explains them. */
const SECTIONS = {
	decision: { p: 'p', context: new EnforceContext('r', 'p', 'e', 'm') },
	protection: { p: 'p2', context: new EnforceContext('r', 'p2', 'e2', 'm2') },
} as const satisfies Record<RuleKind, { p: string; context: EnforceContext }>;

/** Columns that the model must define, in the order of policy.csv. */
const DEFINITIONS = [
	['r', 'r', ['who', 'object', 'action']],
	['p', 'p', ['subject', 'object', 'action', 'eft', 'argument']],
	['p', 'p2', ['subject', 'object', 'action', 'protection', 'argument']],
] as const;

/** Answers questions under one policy. Not reentrant, and need not be: `ask` is synchronous. */
export class Engine {
	readonly #enforcer: Enforcer;
	readonly #effector: MatchEffector;
	readonly #roles: ReadonlyMap<string, readonly string[]>;

	private constructor(enforcer: Enforcer, effector: MatchEffector, roles: ReadonlyMap<string, readonly string[]>) {
		this.#enforcer = enforcer;
		this.#effector = effector;
		this.#roles = roles;
	}

	/**
	 * @param modelText model.conf
	 * @throws Error when the model is not one, or does not keep what the policy format promises
	 */
	static async create(modelText: string, rules: readonly Rule[], links: readonly Link[]): Promise<Engine> {
		const engine = await Engine.#build(modelText, rules, links);
		const broken = await brokenPromises((probeRules) => Engine.#build(modelText, probeRules, []));
		if (broken.length > 0) throw new Error(`the model breaks a promise of the policy format: ${broken.join('; ')}`);
		return engine;
	}

	static async #build(modelText: string, rules: readonly Rule[], links: readonly Link[]): Promise<Engine> {
		const model = newModelFromString(modelText);
		checkDefinitions(model);
		const enforcer = await newEnforcer(model, new LinkAdapter(links));
		const effector = new MatchEffector();
		enforcer.setEffector(effector);
		const patterns = new Map<string, ObjectPattern>(rules.map((rule) => [rule.objectText, rule.object]));
		await enforcer.addFunction('is', (who: ReadonlySet<string>, subject: string) => who.has(subject));
		await enforcer.addFunction('covers', (objectText: string, target: Target) => {
			const pattern = patterns.get(objectText);
			return pattern !== undefined && covers(pattern, target);
		});
		const roles = new Map<string, readonly string[]>();
		for (const { member } of links) {
			if (!roles.has(member)) roles.set(member, await enforcer.getImplicitRolesForUser(member));
		}
		return new Engine(enforcer, effector, roles);
	}

	/** Everything that somebody with these names is: the names themselves, `*`, and the roles that g lines lead to. */
	principals(names: Iterable<string>): Set<string> {
		const all = new Set<string>(names).add('*');
		for (const name of [...all]) {
			for (const role of this.#roles.get(name) ?? []) all.add(role);
		}
		return all;
	}

	/** Asks Casbin one question of these rules. */
	ask(slice: Slice, who: ReadonlySet<string>, target: Target, action: Action): Verdict {
		// Without rules Casbin would run the matcher on an empty one; nothing is allowed that no rule allows.
		if (slice.rules.length === 0) return { allowed: false, matched: [] };
		const { p, context } = SECTIONS[slice.kind];
		const assertion = this.#enforcer.getModel().model.get('p')?.get(p);
		if (!assertion) throw new Error(`model.conf does not define ${p}`);
		assertion.policy = slice.rows;
		const allowed = this.#enforcer.enforceSync(context, who, target, action);
		return { allowed, matched: this.#effector.matched.flatMap((index) => slice.rules[index] ?? []) };
	}
}

/** Casbin's own effector, which also notes which rules matched: the decision stays Casbin's, the reasons are kept. */
class MatchEffector implements Effector {
	readonly #inner = new DefaultEffector();
	/** Indexes into the policy of the last question. */
	matched: number[] = [];

	newStream(expression: string): EffectorStream {
		const inner = this.#inner.newStream(expression);
		const matched: number[] = [];
		this.matched = matched;
		let index = 0;
		let settled = false;
		return {
			current: () => inner.current(),
			pushEffect: (effect) => {
				if (effect !== Effect.Indeterminate) matched.push(index);
				index++;
				// Casbin would stop here. The rest is looked at for the reasons only, and may not change what was settled.
				if (settled) return [inner.current(), false, false];
				const [result, explains, done] = inner.pushEffect(effect);
				settled = done;
				return [result, explains, false];
			},
		};
	}
}

/** Gives Casbin the g lines; the rules come with each question. */
class LinkAdapter implements Adapter {
	readonly #links: readonly Link[];

	constructor(links: readonly Link[]) {
		this.#links = links;
	}

	async loadPolicy(model: Model): Promise<void> {
		const assertion = model.model.get('g')?.get('g');
		if (!assertion) throw new Error('the model lacks [role_definition] g = _, _');
		assertion.policy = this.#links.map(({ member, role }) => [member, role]);
	}

	async savePolicy(): Promise<boolean> {
		return false;
	}

	async addPolicy(): Promise<void> {
		throw new Error('the policy is read from files only');
	}

	async removePolicy(): Promise<void> {
		throw new Error('the policy is read from files only');
	}

	async removeFilteredPolicy(): Promise<void> {
		throw new Error('the policy is read from files only');
	}
}

function checkDefinitions(model: Model): void {
	for (const [section, key, columns] of DEFINITIONS) {
		const tokens = model.model.get(section)?.get(key)?.tokens ?? [];
		const wanted = columns.map((column) => `${key}_${column}`);
		if (tokens.join() !== wanted.join()) throw new Error(`the model must define ${key} = ${columns.join(', ')}`);
	}
	if (model.model.get('g')?.get('g')?.value.replace(/\s/g, '') !== '_,_') {
		throw new Error('the model must define g = _, _');
	}
	for (const [section, key] of [
		['e', 'e2'],
		['m', 'm2'],
	] as const) {
		if (!model.model.get(section)?.has(key)) throw new Error(`the model must define ${key}`);
	}
}
