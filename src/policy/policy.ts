/** The policy in force: loaded from a folder as a whole or not at all, and the `Access` of each identity under it. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { LRUCache } from 'lru-cache';
import type { Access, Identity } from '../stages.ts';
import { AccessMemory, PolicyAccess } from './access.ts';
import { type Link, parseRules, type Rule } from './csv.ts';
import { Engine } from './engine.ts';
import { prepareReading } from './expression-reading.ts';
import { catalogProblems, type KnownRelation } from './catalog-problems.ts';
import { POLICY_LIMITS } from './limits.ts';
import { type ExpressionUse, expressionUses, type MaskUse, maskUses } from './mask-uses.ts';
import { type MaskFile, parseMasks } from './masks.ts';
import { isOfSystem } from './object.ts';
import { PolicyError, type PolicyProblem, ProblemList } from './problem.ts';

export interface LoadOptions {
	/** True for a built-in function that neither acts nor tells anything beyond its arguments. */
	readonly isHarmlessFunction: (name: string) => boolean;
}

/** The texts of the three files. `masks` may be empty. */
export interface PolicySource {
	readonly model: string;
	readonly rules: string;
	readonly masks: string;
}

const FILES = { model: 'model.conf', rules: 'policy.csv', masks: 'masks.yaml' } as const;

/** Immutable. Made by `loadPolicy` or `parsePolicy`. */
export class Policy {
	/** Hash of the three files: 16 hexadecimal digits. */
	readonly revision: string;
	readonly rules: readonly Rule[];
	readonly links: readonly Link[];
	/** What does not keep the policy from being used: rules that do nothing. */
	readonly warnings: readonly PolicyProblem[];
	readonly #engine: Engine;
	readonly #expressions: MaskFile;
	/** Subjects of any rule: principals that no rule names change no answer. */
	readonly #subjects: ReadonlySet<string>;
	readonly #claims: readonly string[];
	readonly #memory = new AccessMemory();
	readonly #accesses = new LRUCache<string, Access>({ max: POLICY_LIMITS.accessesMax });
	readonly #byIdentity = new WeakMap<Identity, Map<string, Access>>();

	constructor(parts: {
		revision: string;
		rules: readonly Rule[];
		links: readonly Link[];
		warnings: readonly PolicyProblem[];
		engine: Engine;
		expressions: MaskFile;
	}) {
		this.revision = parts.revision;
		this.rules = parts.rules;
		this.links = parts.links;
		this.warnings = parts.warnings;
		this.#engine = parts.engine;
		this.#expressions = parts.expressions;
		this.#subjects = new Set(parts.rules.map((rule) => rule.subject));
		this.#claims = claimsUsed(parts.rules, parts.expressions);
	}

	/** Claims that masks and filters name, sorted. */
	get claims(): readonly string[] {
		return this.#claims;
	}

	/**
	 * What the identity may do in the database, which is the name that the client connects to. Identities of equal shape get
	 * the same object. Cheap enough to be asked for every statement.
	 */
	accessFor(identity: Identity, database: string): Access {
		let known = this.#byIdentity.get(identity);
		if (!known) {
			known = new Map();
			this.#byIdentity.set(identity, known);
		}
		let access = known.get(database);
		if (!access) {
			access = this.#accessOf(identity, database);
			known.set(database, access);
		}
		return access;
	}

	/** Rules that name what the catalogue of a database does not have; see `catalogProblems`. */
	problems(database: string, relations: Iterable<KnownRelation>): PolicyProblem[] {
		return catalogProblems(this.rules, this.#expressions, database, relations);
	}

	/** Masks that rules put on columns of the database. */
	masksIn(database: string): readonly MaskUse[] {
		return maskUses(this.rules, this.#expressions.masks, database);
	}

	/** Masks and filters that rules put on columns and relations of the database, those with claims too. */
	expressionsIn(database: string): readonly ExpressionUse[] {
		return expressionUses(this.rules, this.#expressions, database);
	}

	/** Every NAME of `role:NAME` that the identity has, by the configuration or by g lines. */
	rolesOf(identity: Identity): ReadonlySet<string> {
		const roles = [...this.#principalsOf(identity)].filter((principal) => principal.startsWith('role:'));
		return new Set(roles.map((role) => role.slice('role:'.length)));
	}

	#principalsOf(identity: Identity): Set<string> {
		return this.#engine.principals([
			`user:${identity.name}`,
			...identity.roles.map((role) => `role:${role}`),
			...identity.groups.map((group) => `group:${group}`),
		]);
	}

	#accessOf(identity: Identity, database: string): Access {
		const all = this.#principalsOf(identity);
		const who = new Set([...all].filter((principal) => this.#subjects.has(principal)).sort());
		const claims: Record<string, Identity['claims'][string]> = {};
		for (const name of this.#claims) {
			const value = Object.hasOwn(identity.claims, name) ? identity.claims[name] : undefined;
			if (value !== undefined) Object.defineProperty(claims, name, { value, enumerable: true });
		}
		const shape = JSON.stringify([database, [...who], Object.entries(claims)]);
		const known = this.#accesses.get(shape);
		if (known) return known;
		const access = new PolicyAccess({
			engine: this.#engine,
			rules: this.rules,
			masks: this.#expressions.masks,
			filters: this.#expressions.filters,
			database,
			revision: this.revision,
			shape,
			who,
			claims,
			memory: this.#memory,
		});
		this.#accesses.set(shape, access);
		return access;
	}
}

/**
 * Reads and parses a folder.
 *
 * @throws PolicyError with every problem of every file
 */
export async function loadPolicy(folder: string, options: LoadOptions): Promise<Policy> {
	return parsePolicy(await readPolicy(folder), options);
}

/**
 * Reads model.conf, policy.csv and masks.yaml (which may be missing) of a folder.
 *
 * @throws PolicyError when one of them cannot be read
 */
export async function readPolicy(folder: string): Promise<PolicySource> {
	const read = async (
		file: string,
		optional: boolean,
	): Promise<{ text: string; problems: ProblemList['problems'] }> => {
		const list = new ProblemList(file);
		const text = await readText(join(folder, file), list, optional);
		return { text, problems: list.problems };
	};
	const [model, rules, masks] = await Promise.all([
		read(FILES.model, false),
		read(FILES.rules, false),
		read(FILES.masks, true),
	]);
	const problems = [model, rules, masks].flatMap((file) => file.problems);
	if (problems.length > 0) throw new PolicyError(problems);
	return { model: model.text, rules: rules.text, masks: masks.text };
}

/** @throws PolicyError with every problem of every file */
export async function parsePolicy(source: PolicySource, options: LoadOptions): Promise<Policy> {
	const inRules = new ProblemList(FILES.rules);
	const inMasks = new ProblemList(FILES.masks);
	const inModel = new ProblemList(FILES.model);
	await prepareReading();
	const { rules, links } = parseRules(source.rules, FILES.rules, inRules);
	const expressions = parseMasks(source.masks, inMasks, options.isHarmlessFunction);
	checkNames(rules, expressions, inRules);
	checkSystem(rules, inRules);
	checkUse(rules, expressions, inMasks);
	let engine: Engine | undefined;
	try {
		engine = await Engine.create(source.model, rules, links);
	} catch (error) {
		inModel.error(0, error instanceof Error ? error.message : String(error));
	}
	const problems = [...inModel.problems, ...inRules.problems, ...inMasks.problems];
	const errors = problems.filter((problem) => problem.severity === 'error');
	if (!engine || errors.length > 0) throw new PolicyError(errors);
	return new Policy({ revision: revisionOf(source), rules, links, warnings: problems, engine, expressions });
}

async function readText(path: string, problems: ProblemList, optional: boolean): Promise<string> {
	try {
		const bytes = await readFile(path);
		if (bytes.length > POLICY_LIMITS.fileBytesMax)
			throw new Error(`the file is larger than ${POLICY_LIMITS.fileBytesMax} bytes`);
		return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
	} catch (error) {
		const missing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
		if (missing && optional) return '';
		problems.error(0, missing ? `no such file: ${path}` : error instanceof Error ? error.message : String(error));
		return '';
	}
}

/** Rules that name masks and filters that masks.yaml does not have. */
function checkNames(rules: readonly Rule[], expressions: MaskFile, problems: ProblemList): void {
	for (const rule of rules) {
		const kind = rule.effect === 'mask' || rule.effect === 'unmask' ? 'mask' : 'filter';
		if (rule.argument === '' || expressions.broken.has(`${kind} ${rule.argument}`)) continue;
		const known = kind === 'mask' ? expressions.masks : expressions.filters;
		if (!known.has(rule.argument))
			problems.error(rule.ref.line, `masks.yaml has no ${kind} named ${JSON.stringify(rule.argument)}`);
	}
}

/** Rules that nothing would come of: what PostgreSQL brings is read as a whole, or not at all. */
function checkSystem(rules: readonly Rule[], problems: ProblemList): void {
	for (const { effect, object, ref } of rules) {
		const narrows = effect === 'mask' || effect === 'filter' || (effect === 'deny' && object.kind === 'column');
		if (narrows && isOfSystem(object))
			problems.error(ref.line, `a system relation can be denied as a whole only: ${effect} would not hold there`);
	}
}

/** Expressions that no rule applies: likely a name that was mistyped, though nothing is wrong with it. */
function checkUse(rules: readonly Rule[], expressions: MaskFile, problems: ProblemList): void {
	for (const expression of [...expressions.masks.values(), ...expressions.filters.values()]) {
		const { kind, name, line } = expression;
		if (rules.some((rule) => rule.effect === kind && rule.argument === name)) continue;
		problems.warning(line, `no rule applies the ${kind} ${name}`);
	}
}

function claimsUsed(rules: readonly Rule[], expressions: MaskFile): string[] {
	const used = new Set<string>();
	for (const rule of rules) {
		const expression =
			rule.effect === 'mask'
				? expressions.masks.get(rule.argument)
				: rule.effect === 'filter'
					? expressions.filters.get(rule.argument)
					: undefined;
		for (const claim of expression?.claims ?? []) used.add(claim);
	}
	return [...used].sort();
}

/** Hash of the three files: 16 hexadecimal digits. */
export function revisionOf(source: PolicySource): string {
	const hash = createHash('sha256');
	for (const text of [source.model, source.rules, source.masks])
		hash.update(`${Buffer.byteLength(text)}:`).update(text);
	return hash.digest('hex').slice(0, 16);
}
