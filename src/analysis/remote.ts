/** Catalogue, policy and session as the thread sees them: each question is put to the event loop once, and the answer kept. */
import type { CatalogSnapshot, Relation, SchemaObjects } from '../catalog/snapshot.ts';
import type { Access, Action, Answer, BoundExpression, ColumnAnswer, FilterAnswer, RuleRef } from '../stages.ts';
import type { AccessHead, AccessMethod, CatalogHead, CatalogList, CatalogMethod, Question } from './messages.ts';

/** Waits for the loop's answer. Throws what the answer's making threw. */
export type Ask = (question: Question) => unknown;

/** Answers by their question. */
class Known<M extends string> {
	readonly #answers = new Map<M, Map<unknown, unknown>>();
	size = 0;

	get(method: M, args: readonly unknown[], make: () => unknown): unknown {
		let answers = this.#answers.get(method);
		if (answers === undefined) this.#answers.set(method, (answers = new Map()));
		const [only] = args;
		const key = args.length === 1 && typeof only !== 'object' ? only : JSON.stringify(args);
		if (answers.has(key)) return answers.get(key);
		const made = make();
		answers.set(key, made);
		this.size += 1;
		return made;
	}
}

/** A snapshot of the loop's. What is one object there is one object here. */
export class RemoteCatalog implements CatalogSnapshot {
	readonly revision: number;
	readonly serverVersion: number;
	readonly user: string;
	readonly timeZone: string;
	readonly below?: CatalogSnapshot;
	readonly #id: number;
	readonly #ask: Ask;
	readonly #known = new Known<CatalogMethod | CatalogList>();
	readonly #objects = new Map<string, unknown>();

	constructor({ id, revision, serverVersion, user, timeZone }: CatalogHead, below: CatalogSnapshot | null, ask: Ask) {
		this.#id = id;
		this.#ask = ask;
		this.revision = revision;
		this.serverVersion = serverVersion;
		this.user = user;
		this.timeZone = timeZone;
		if (below !== null) this.below = below;
	}

	/** Answers that are kept. */
	get size(): number {
		return this.#known.size;
	}

	get userCasts() {
		return this.#list('userCasts');
	}

	get operatorClasses() {
		return this.#list('operatorClasses');
	}

	hasSchema(name: string) {
		return this.#get('hasSchema', name);
	}

	mayUseSchema(name: string) {
		return this.#get('mayUseSchema', name);
	}

	relation(schema: string, name: string) {
		return this.#get('relation', schema, name);
	}

	relationByOid(oid: number) {
		return this.#get('relationByOid', oid);
	}

	routines(schema: string, name: string) {
		return this.#get('routines', schema, name);
	}

	routinesNamed(name: string) {
		return this.#get('routinesNamed', name);
	}

	routineByOid(oid: number) {
		return this.#get('routineByOid', oid);
	}

	operators(schema: string, name: string) {
		return this.#get('operators', schema, name);
	}

	operatorsNamed(name: string) {
		return this.#get('operatorsNamed', name);
	}

	type(schema: string, name: string) {
		return this.#get('type', schema, name);
	}

	typeByOid(oid: number) {
		return this.#get('typeByOid', oid);
	}

	arrayTypeOf(element: number) {
		return this.#get('arrayTypeOf', element);
	}

	cast(source: number, target: number) {
		return this.#get('cast', source, target);
	}

	objectsIn(schema: string): SchemaObjects {
		return this.#get('objectsIn', schema);
	}

	mayBeField(name: string) {
		return this.#get('mayBeField', name);
	}

	*relations(): Iterable<Relation> {
		for (let from = 0; ; ) {
			const some = this.#ask({ of: 'relations', id: this.#id, from }) as readonly Relation[];
			if (some.length === 0) return;
			yield* some.map((relation) => this.#one(relation));
			from += some.length;
		}
	}

	#list<L extends CatalogList>(list: L): CatalogSnapshot[L] {
		const ask = (): unknown => this.#ask({ of: 'list', id: this.#id, list });
		return this.#known.get(list, [], ask) as CatalogSnapshot[L];
	}

	#get<M extends CatalogMethod>(method: M, ...args: Parameters<CatalogSnapshot[M]>): ReturnType<CatalogSnapshot[M]> {
		const made = this.#known.get(method, args, () => {
			const answer = this.#ask({ of: 'catalog', id: this.#id, method, args });
			return Array.isArray(answer) ? answer.map((one: unknown) => this.#one(one)) : this.#one(answer);
		});
		// The question was put to the method of that name.
		return made as ReturnType<CatalogSnapshot[M]>;
	}

	/** Copies of an object are told by what is in them. */
	#one<T>(object: T): T {
		if (typeof object !== 'object' || object === null) return object;
		const key = JSON.stringify(object);
		const known = this.#objects.get(key);
		if (known !== undefined) return known as T;
		this.#objects.set(key, object);
		return object;
	}
}

/** An Access of the loop's. */
export class RemoteAccess implements Access {
	readonly database: string;
	readonly revision: string;
	readonly shape: string;
	readonly unrestricted: boolean;
	readonly narrowsSystem: boolean;
	readonly #ask: Ask;
	readonly #known = new Known<AccessMethod>();
	readonly #rules = new Map<string, RuleRef>();

	constructor({ database, revision, shape, unrestricted, narrowsSystem }: AccessHead, ask: Ask) {
		this.database = database;
		this.revision = revision;
		this.shape = shape;
		this.unrestricted = unrestricted;
		this.narrowsSystem = narrowsSystem;
		this.#ask = ask;
	}

	/** Answers that are kept. */
	get size(): number {
		return this.#known.size;
	}

	onDatabase(action: Action) {
		return this.#get('onDatabase', action);
	}

	onRelation(schema: string, relation: string, action: Action) {
		return this.#get('onRelation', schema, relation, action);
	}

	onColumn(schema: string, relation: string, column: string, action: Action) {
		return this.#get('onColumn', schema, relation, column, action);
	}

	onFunction(schema: string, name: string, types: readonly string[], action: 'execute' | 'call') {
		return this.#get('onFunction', schema, name, types, action);
	}

	onSchema(schema: string, action: Action) {
		return this.#get('onSchema', schema, action);
	}

	readColumn(schema: string, relation: string, column: string): ColumnAnswer {
		const args = [schema, relation, column];
		const made = this.#known.get('readColumn', args, () => {
			const { mask, ...rest } = this.#asked<ColumnAnswer>('readColumn', args);
			return this.#ruled(mask === undefined ? rest : { ...rest, mask: this.#bound(mask) });
		});
		return made as ColumnAnswer;
	}

	filtersOf(schema: string, relation: string): FilterAnswer {
		const args = [schema, relation];
		const made = this.#known.get('filtersOf', args, () => {
			const answer = this.#asked<FilterAnswer>('filtersOf', args);
			return this.#ruled({ ...answer, filters: answer.filters.map((filter) => this.#bound(filter)) });
		});
		return made as FilterAnswer;
	}

	#get(method: AccessMethod, ...args: readonly unknown[]): Answer {
		return this.#known.get(method, args, () => this.#ruled(this.#asked<Answer>(method, args))) as Answer;
	}

	#asked<T>(method: AccessMethod, args: readonly unknown[]): T {
		return this.#ask({ of: 'access', method, args }) as T;
	}

	#bound(expression: BoundExpression): BoundExpression {
		return { ...expression, rule: this.#rule(expression.rule) };
	}

	#ruled<T extends { readonly rules: readonly RuleRef[] }>(answer: T): T {
		return { ...answer, rules: answer.rules.map((rule) => this.#rule(rule)) };
	}

	/** One object for a rule, whatever it is the answer to: rules are told apart so. */
	#rule(rule: RuleRef): RuleRef {
		const key = `${rule.file}\0${rule.line}\0${rule.text}`;
		const known = this.#rules.get(key);
		if (known !== undefined) return known;
		this.#rules.set(key, rule);
		return rule;
	}
}
