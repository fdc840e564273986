/** Random queries and writes over the world: every place in which a relation can be read, every kind of join, grouping and set operation. */
import { type Column, Expressions, quoted, type Scopes, type Source, TYPES } from './expressions.ts';
import { Tape } from './tape.ts';
import { RELATIONS, type ValueType, type WorldColumn, type WorldRelation } from './world.ts';

export interface Statement {
	readonly sql: string;
	/** Values of `$1`, `$2`, ... */
	readonly values: readonly string[];
	/** The rows come in a fixed order. */
	readonly ordered: boolean;
	readonly writes: boolean;
}

/** What stands under a name that WITH made. */
interface Cte {
	readonly name: string;
	readonly columns: readonly Column[];
}

export function statementOf(numbers: readonly number[]): Statement {
	return withParametersInOrder(new Grammar(new Tape(numbers)).statement());
}

/** Choices that were not taken may have taken parameters: those that stand in the text are numbered anew. */
function withParametersInOrder(statement: Statement): Statement {
	const values: string[] = [];
	const sql = statement.sql.replaceAll(/\$(\d+)/g, (_, number: string) => {
		values.push(statement.values[Number(number) - 1] ?? '');
		return `$${values.length}`;
	});
	return { ...statement, sql, values };
}

class Grammar {
	readonly #tape: Tape;
	readonly #parameters: string[] = [];
	readonly #expr: Expressions;
	#ctes: readonly Cte[] = [];
	#names = 0;

	constructor(tape: Tape) {
		this.#tape = tape;
		this.#expr = new Expressions(
			tape,
			(types, scopes, depth, one) => this.#subquery(types, scopes, depth, one),
			this.#parameters,
		);
	}

	statement(): Statement {
		const tape = this.#tape;
		const writes = tape.chance(25);
		if (writes) {
			const sql = tape.chance(20) ? this.#writingWith() : this.#write();
			return { sql, values: this.#parameters, ordered: false, writes };
		}
		const types = tape.times(1, 4, () => tape.pick(TYPES));
		const ordered = tape.chance(30);
		const withs = tape.chance(25) ? this.#with() : '';
		const query = tape.chance(8) ? this.#plainTable() : this.#query(types, [], 3);
		if (query.star) return { sql: `${withs}${query.sql}`, values: this.#parameters, ordered: false, writes };
		const order = ordered
			? ` order by ${types.map((_, i) => `${i + 1}${tape.pick(['', ' desc', ' nulls first'])}`).join(', ')}`
			: '';
		const limit =
			ordered && tape.chance(50)
				? ` limit ${1 + tape.below(9)}${tape.chance(30) ? ` offset ${tape.below(4)}` : ''}`
				: '';
		return { sql: `${withs}${query.sql}${order}${limit}`, values: this.#parameters, ordered, writes };
	}

	#name(): string {
		this.#names += 1;
		// Names that shadow relations and columns, and one that has to be quoted.
		return this.#tape.chance(12) ? this.#tape.pick(['people', 'name', 'id', '"A b"']) : `t${this.#names}`;
	}

	/** `select * from t`, `table t`: with all the columns that there are. */
	#plainTable(): { sql: string; star: boolean } {
		const relation = this.#tape.pick(RELATIONS);
		const name = this.#relationName(relation);
		const lock = relation.table === true ? this.#tape.pick(['', ' for update', ' for share', '']) : '';
		const sql = this.#tape.pick([
			`select * from ${name}${lock}`,
			`table ${name}`,
			`select x.* from ${name} x${lock}`,
			`select x from ${name} x`,
		]);
		return { sql, star: true };
	}

	#relationName(relation: WorldRelation): string {
		return `${this.#tape.chance(25) ? 'lab.' : ''}${quoted(relation.name)}`;
	}

	#with(): string {
		const recursive = this.#tape.chance(20);
		const entries = this.#tape.times(1, 2, () => {
			const name = this.#tape.chance(20) ? 'items' : `w${(this.#names += 1)}`;
			const types = this.#tape.times(1, 3, () => this.#tape.pick(TYPES));
			const columns = types.map((type, i): Column => ({ name: `x${i}`, type }));
			const hint = this.#tape.pick(['', ' materialized', ' not materialized']);
			const list = columns.map((column) => column.name).join(', ');
			let body = this.#query(types, [], 2).sql;
			if (recursive && types[0] === 'int') {
				const rest = columns
					.slice(1)
					.map((column) => `, r.${column.name}`)
					.join('');
				body = `${this.#simple(types, [], 1)} union select r.x0 + 1${rest} from ${name} r where r.x0 < 4`;
			}
			const text = `${name}(${list}) as${hint} (${body})`;
			this.#ctes = [...this.#ctes.filter((cte) => cte.name !== name), { name, columns }];
			return text;
		});
		return `with ${recursive ? 'recursive ' : ''}${[...new Map(entries.map((entry) => [entry.split('(')[0], entry])).values()].join(', ')} `;
	}

	#subquery(types: readonly ValueType[], scopes: Scopes, depth: number, one: boolean): string {
		const { sql } = this.#query(types, scopes, Math.min(depth, 2));
		return one ? `${sql} order by ${types.map((_, i) => i + 1).join(', ')} limit 1` : sql;
	}

	/** A query whose columns have these types. ORDER BY may follow it. */
	#query(types: readonly ValueType[], scopes: Scopes, depth: number): { sql: string; star: boolean } {
		const tape = this.#tape;
		if (depth > 1 && tape.chance(15)) {
			const operator = tape.pick(['union', 'union all', 'intersect', 'except', 'except all']);
			return {
				sql: `${this.#select(types, scopes, depth - 1)} ${operator} ${this.#select(types, scopes, depth - 1)}`,
				star: false,
			};
		}
		if (tape.chance(4)) {
			const rows = tape.times(1, 3, () => `(${types.map((type) => this.#expr.literal(type)).join(', ')})`);
			return { sql: `values ${rows.join(', ')}`, star: false };
		}
		return { sql: this.#select(types, scopes, depth), star: false };
	}

	#select(types: readonly ValueType[], scopes: Scopes, depth: number): string {
		const kind = this.#tape.below(10);
		if (kind === 8) return this.#grouped(types, scopes, depth);
		if (kind === 9) return this.#windowed(types, scopes, depth);
		return this.#simple(types, scopes, depth);
	}

	#where(scopes: Scopes, depth: number): string {
		return this.#tape.chance(65) ? ` where ${this.#expr.condition(scopes, depth)}` : '';
	}

	#simple(types: readonly ValueType[], scopes: Scopes, depth: number): string {
		const { text, sources } = this.#from(scopes, depth);
		const inner: Scopes = [sources, ...scopes];
		const list = types.map((type, i) => `${this.#expr.of(type, inner, depth)} as c${i}`).join(', ');
		const where = this.#where(inner, depth);
		if (this.#tape.chance(10)) return `select distinct ${list} from ${text}${where}`;
		if (this.#tape.chance(6)) {
			// The first of each group in a total order; the order by of the whole would stand in its way.
			const all = types.map((_, i) => i + 1).join(', ');
			return `select * from (select distinct on (c0) * from (select ${list} from ${text}${where}) q order by ${all}) q`;
		}
		if (this.#tape.chance(6)) {
			const all = types.map((_, i) => i + 1).join(', ');
			return `select * from (select ${list} from ${text}${where} order by ${all} ${this.#tape.pick(['limit 3', 'offset 2', 'fetch first 2 rows only'])}) q`;
		}
		return `select ${list} from ${text}${where}`;
	}

	#grouped(types: readonly ValueType[], scopes: Scopes, depth: number): string {
		const tape = this.#tape;
		const { text, sources } = this.#from(scopes, depth);
		const inner: Scopes = [sources, ...scopes];
		const where = this.#where(inner, depth);
		const columns = this.#expr.columns(sources, false);
		if (columns.length === 0) return this.#simple(types, scopes, depth);
		const keys = tape.times(1, 2, () => tape.pick(columns));
		const keyTexts = [...new Set(keys.map((key) => key.text))];
		const list = types.map((type, i) => {
			const fitting = keys.filter((key) => key.type === type);
			return `${fitting.length > 0 && tape.chance(50) ? tape.pick(fitting).text : this.#aggregate(type, inner, depth)} as c${i}`;
		});
		const sets = tape.pick([
			keyTexts.join(', '),
			keyTexts.join(', '),
			`rollup (${keyTexts.join(', ')})`,
			`cube (${keyTexts.join(', ')})`,
			`grouping sets ((${keyTexts.join(', ')}), ())`,
		]);
		const having = tape.chance(30)
			? ` having ${this.#aggregate('int', inner, 1)} ${tape.pick(['>', '<='])} ${tape.below(5)}`
			: '';
		return `select ${list.join(', ')} from ${text}${where} group by ${sets}${having}`;
	}

	#aggregate(type: ValueType, scopes: Scopes, depth: number): string {
		const tape = this.#tape;
		const arg = (of: ValueType = type): string => this.#expr.of(of, [scopes[0] ?? []], depth - 1);
		const filter = tape.chance(20) ? ` filter (where ${this.#expr.condition([scopes[0] ?? []], 1)})` : '';
		switch (type) {
			case 'int':
				return `${tape.pick(['count(*)', `count(${arg(tape.pick(TYPES))})`, `count(distinct ${arg()})`, `sum(${arg()})`, `max(${arg()})`])}${filter}::int`;
			case 'num':
				return `${tape.pick([`sum(${arg()})`, `avg(${arg('int')})`, `min(${arg()})`])}${filter}`;
			case 'text': {
				const value = arg();
				return `${tape.pick([`max(${value})`, `string_agg(${value}, '/' order by ${value})`, `min(${value})`])}${filter}`;
			}
			case 'bool':
				return `${tape.pick(['bool_and', 'bool_or', 'every'])}(${arg()})${filter}`;
			case 'date':
				return `${tape.pick(['max', 'min'])}(${arg()})${filter}`;
		}
	}

	#windowed(types: readonly ValueType[], scopes: Scopes, depth: number): string {
		const tape = this.#tape;
		const { text, sources } = this.#from(scopes, depth);
		const inner: Scopes = [sources, ...scopes];
		const where = this.#where(inner, depth);
		const over = (): string => {
			const partition = tape.chance(50) ? `partition by ${this.#expr.of(tape.pick(TYPES), inner, 1)} ` : '';
			return `over (${partition}order by ${this.#expr.of(tape.pick(TYPES), inner, 1)}${tape.pick(['', ' desc', ' nulls first'])})`;
		};
		const list = types.map((type, i) => {
			const value = this.#expr.of(type, inner, 1);
			if (type === 'int')
				return `${tape.pick(['rank()', 'dense_rank()', 'count(*)', `count(${value})`])} ${over()}::int as c${i}`;
			if (type === 'num') return `${tape.pick(['sum', 'min'])}(${value}) ${over()} as c${i}`;
			if (type === 'bool') return `bool_or(${value}) ${over()} as c${i}`;
			return `${tape.pick(['max', 'min'])}(${value}) ${over()} as c${i}`;
		});
		return `select ${list.join(', ')} from ${text}${where}`;
	}

	// ---------------------------------------------------------------- FROM

	#from(scopes: Scopes, depth: number): { text: string; sources: readonly Source[] } {
		const tape = this.#tape;
		const first = this.#item(scopes, depth, []);
		let { text } = first;
		let sources: readonly Source[] = [first.source];
		/** Items of the list before the last comma: a join after it does not see them. */
		let before: readonly Source[] = [];
		const more = depth <= 1 ? tape.below(2) : tape.below(3);
		for (let i = 0; i < more; i += 1) {
			const next = this.#item(scopes, depth, [...before, ...sources]);
			if ([...before, ...sources].some((source) => source.alias === next.source.alias)) continue;
			const kind = tape.pick(['join', 'left join', ',', 'cross join', 'right join', 'full join', 'using']);
			const lateral = next.text.startsWith('lateral');
			const merged = kind === 'using' && before.length === 0 ? this.#using(text, sources, next) : undefined;
			if (merged !== undefined) {
				({ text, sources } = merged);
				continue;
			}
			if (kind === ',') {
				text = `${text}, ${next.text}`;
				before = [...before, ...sources];
				sources = [next.source];
				continue;
			}
			const both = [...sources, next.source];
			const on = kind === 'full join' && !lateral ? this.#equality(sources, next.source) : undefined;
			if (on !== undefined) text = `${text} full join ${next.text} on ${on}`;
			else if (kind === 'cross join' || kind === 'full join' || kind === 'using')
				text = `${text} cross join ${next.text}`;
			else {
				const join = lateral && kind === 'right join' ? 'join' : kind;
				text = `${text} ${join} ${next.text} on ${this.#expr.condition([both, ...scopes], Math.min(depth, 2))}`;
			}
			sources = both;
		}
		return { text, sources: [...before, ...sources] };
	}

	/** JOIN ... USING, when both sides have a column of one name and type, once each. */
	#using(
		text: string,
		sources: readonly Source[],
		next: { text: string; source: Source },
	): { text: string; sources: readonly Source[] } | undefined {
		const left = sources.flatMap((source) => source.columns);
		const common = left.filter(
			(column) =>
				left.filter((other) => other.name === column.name).length === 1 &&
				next.source.columns.filter((other) => other.name === column.name && other.type === column.type).length === 1 &&
				next.source.columns.filter((other) => other.name === column.name).length === 1,
		);
		const [first] = common;
		if (first === undefined || next.text.startsWith('lateral')) return undefined;
		const without = (source: Source): Source => ({
			...source,
			columns: source.columns.filter((column) => column.name !== first.name),
		});
		const kind = this.#tape.pick(['join', 'left join', 'right join', 'full join']);
		const merged: Source = { alias: '', columns: [first], hasRow: false };
		return {
			text: `${text} ${kind} ${next.text} using (${quoted(first.name)})`,
			sources: [merged, ...sources.map(without), without(next.source)],
		};
	}

	#equality(left: readonly Source[], right: Source): string | undefined {
		const rights = this.#expr.columns([right], true);
		for (const column of this.#expr.columns(left, true)) {
			const other = rights.find((candidate) => candidate.type === column.type);
			if (other !== undefined) return `${column.text} = ${other.text}`;
		}
		return undefined;
	}

	#item(scopes: Scopes, depth: number, siblings: readonly Source[]): { text: string; source: Source } {
		const tape = this.#tape;
		const kind = tape.below(20);
		if (kind >= 17 && depth > 0) return this.#derived(scopes, depth, siblings);
		if (kind === 16) return this.#function(siblings);
		if (kind >= 14 && this.#ctes.length > 0) {
			const cte = tape.pick(this.#ctes);
			const alias = tape.chance(50) ? this.#name() : cte.name;
			return {
				text: alias === cte.name ? alias : `${cte.name} as ${alias}`,
				source: { alias, columns: cte.columns, hasRow: true },
			};
		}
		return this.#relation();
	}

	#relation(): { text: string; source: Source } {
		const tape = this.#tape;
		const shadowed = new Set(this.#ctes.map((cte) => cte.name));
		const relation = tape.pick(RELATIONS);
		const plain = shadowed.has(relation.name) ? `lab.${quoted(relation.name)}` : this.#relationName(relation);
		const only = relation.name === 'teams' && tape.chance(20) ? 'only ' : '';
		if (tape.chance(15))
			return {
				text: `${only}${plain}`,
				source: { alias: quoted(relation.name), columns: relation.columns, hasRow: true },
			};
		const alias = this.#name();
		if (tape.chance(10)) {
			const columns = relation.columns.map((column, i) => (i < 2 ? { ...column, name: `y${i}` } : column));
			// A row as a whole keeps the table's own names in JSON, which a subquery in its place cannot give it.
			return { text: `${only}${plain} as ${alias}(y0, y1)`, source: { alias, columns, hasRow: false } };
		}
		return {
			text: `${only}${plain} ${tape.pick(['', 'as '])}${alias}`,
			source: { alias, columns: relation.columns, hasRow: true },
		};
	}

	#derived(scopes: Scopes, depth: number, siblings: readonly Source[]): { text: string; source: Source } {
		const tape = this.#tape;
		const types = tape.times(1, 3, () => tape.pick(TYPES));
		const lateral = siblings.length > 0 && tape.chance(50);
		const { sql } = this.#query(types, lateral ? [siblings, ...scopes] : scopes, depth - 1);
		const alias = this.#name();
		const columns = types.map((type, i): Column => ({ name: `z${i}`, type }));
		const list = columns.map((column) => column.name).join(', ');
		return {
			text: `${lateral ? 'lateral ' : ''}(${sql}) as ${alias}(${list})`,
			source: { alias, columns, hasRow: true },
		};
	}

	#function(siblings: readonly Source[]): { text: string; source: Source } {
		const alias = this.#name();
		const ints = this.#expr.columns(siblings, true).filter((column) => column.type === 'int');
		const bound = ints.length > 0 && this.#tape.chance(50) ? `least(${this.#tape.pick(ints).text}, 4)` : '3';
		const columns: readonly Column[] = [
			{ name: 'v', type: 'int' },
			{ name: 'n', type: 'int' },
		];
		// A function may see its siblings as LATERAL does, so it is treated as such.
		return {
			text: `lateral (select v, n::int from generate_series(1, ${bound}) with ordinality as g(v, n)) as ${alias}`,
			source: { alias, columns, hasRow: true },
		};
	}

	// ---------------------------------------------------------------- writes

	#write(): string {
		const tape = this.#tape;
		const relation = tape.pick(RELATIONS.filter((candidate) => candidate.writable === true));
		switch (tape.below(5)) {
			case 4:
				return this.#settable(relation).length > 0 ? this.#merge(relation) : this.#insert(relation);
			case 0:
				return this.#update(relation);
			case 1:
				return this.#delete(relation);
			case 2:
				return this.#insert(relation);
			default:
				return this.#upsert(relation);
		}
	}

	/** WITH w AS (a write) and a query over what it returns. */
	#writingWith(): string {
		const tape = this.#tape;
		const relation = tape.pick(RELATIONS.filter((candidate) => this.#settable(candidate).length > 0));
		const { text, source } = this.#target(relation);
		const columns = tape
			.times(1, 3, (i) => ({ ...tape.pick(relation.columns), name: `r${i}`, from: tape.pick(relation.columns) }))
			.map(({ name, from }) => ({ name, type: from.type, from: from.name }));
		const list = columns.map(({ name, from }) => `${source.alias}.${quoted(from)} as ${name}`).join(', ');
		const column = tape.pick(this.#writable(relation).filter((candidate) => candidate.name !== 'tenant'));
		const write = tape.chance(50)
			? `delete from ${text}${this.#where([[source]], 2)} returning ${list}`
			: `update ${text} set ${quoted(column.name)} = ${this.#value(column, [[this.#plainTarget(source, relation)]])}${this.#where([[source]], 2)} returning ${list}`;
		this.#ctes = [{ name: 'w', columns }];
		return `with w as (${write}) ${
			this.#query(
				tape.times(1, 3, () => tape.pick(TYPES)),
				[],
				2,
			).sql
		}`;
	}

	#merge(relation: WorldRelation): string {
		const tape = this.#tape;
		const { text, source } = this.#target(relation);
		const columns: readonly Column[] = [
			{ name: 'k', type: 'int' },
			{ name: 's', type: 'text' },
		];
		const using: Source = { alias: 'src', columns, hasRow: false };
		const plain = [this.#plainTarget(source, relation), using];
		const settable = this.#writable(relation).filter((column) => column.name !== 'tenant');
		const column = tape.pick(settable);
		const and = (scope: readonly Source[]): string =>
			tape.chance(40) ? ` and ${this.#expr.condition([[], scope], 1)}` : '';
		const inserted = this.#inserted(relation);
		const insert = `insert (${inserted.map(({ name }) => quoted(name)).join(', ')}) values (${this.#row(inserted, 0, []).replace(/^0/, 'src.k + 900')})`;
		const clauses = tape.pick([
			[
				`when matched${and([source, using])} then update set ${quoted(column.name)} = ${this.#expr.of(column.type, [[], plain], 1)}`,
			],
			[`when matched${and([source, using])} then delete`],
			['when matched then do nothing', `when not matched${and([using])} then ${insert}`],
			[
				`when matched then update set ${quoted(column.name)} = ${this.#expr.of(column.type, [[], plain], 1)}`,
				`when not matched then ${insert}`,
			],
			[`when not matched by source${and([source])} then delete`],
			[
				`when not matched by source${and([source])} then update set ${quoted(column.name)} = ${this.#expr.of(column.type, [[], [plain[0] ?? source]], 1)}`,
				`when matched and false then delete`,
			],
		]);
		// Each number once, so that no row is merged twice.
		const rows = `(select x as k, max(y) as s from (${this.#query(['int', 'text'], [], 1).sql}) as q(x, y) group by x)`;
		const on = `${source.alias}.id = src.k${tape.chance(30) ? ` and ${this.#expr.condition([[], [source, using]], 1)}` : ''}`;
		const returning = tape.chance(50)
			? ` returning merge_action(), ${source.alias}.id, ${source.alias}.${quoted(tape.pick(relation.columns).name)}`
			: '';
		return `merge into ${text} using ${rows} as src on ${on} ${clauses.join(' ')}${returning}`;
	}

	#returning(target: Source, others: readonly Source[]): string {
		const tape = this.#tape;
		if (tape.chance(30)) return '';
		if (tape.chance(25)) return ` returning ${target.alias}.*`;
		if (tape.chance(10) && others.length === 0) return ' returning *';
		const scopes: Scopes = [[{ ...target, hasRow: false }, ...others]];
		const exprs = tape.times(1, 3, () => this.#expr.of(tape.pick(TYPES), scopes, 2));
		const versioned = tape.chance(25)
			? target.columns.slice(0, 6).map((column) => `${tape.pick(['old', 'new'])}.${quoted(column.name)}`)
			: [];
		return ` returning ${[...exprs, ...versioned].join(', ')}`;
	}

	#target(relation: WorldRelation): { text: string; source: Source } {
		const alias = this.#tape.chance(50) ? 'tgt' : quoted(relation.name);
		const text = alias === 'tgt' ? `${this.#relationName(relation)} as tgt` : this.#relationName(relation);
		return { text, source: { alias, columns: relation.columns, hasRow: false } };
	}

	/** Columns that both sides can write, and that no other row depends on. */
	#writable(relation: WorldRelation): readonly WorldColumn[] {
		return relation.columns.filter((column) => column.masked !== true && column.name !== 'id' && column.name !== 'at');
	}

	/** Those of them that are not the tenant, for writable relations. */
	#settable(relation: WorldRelation): readonly WorldColumn[] {
		return relation.writable === true ? this.#writable(relation).filter((column) => column.name !== 'tenant') : [];
	}

	/** What is written must not be computed from a mask of the target. */
	#plainTarget(source: Source, relation: WorldRelation): Source {
		const plain = new Set(relation.columns.filter((column) => column.masked !== true).map((column) => column.name));
		return { ...source, columns: source.columns.filter((column) => plain.has(column.name)), hasRow: false };
	}

	#value(column: WorldColumn, scopes: Scopes): string {
		// Rows of another tenant, now and then: the check option has something to do.
		if (column.name === 'tenant')
			return this.#tape
				.pick(["'acme'", "'acme'", "'acme'", "'globex'", 'null', 'tenant'])
				.replace('tenant', scopes.length > 0 ? 'tenant' : "'acme'");
		return this.#expr.of(column.type, scopes, 2);
	}

	#update(relation: WorldRelation): string {
		const tape = this.#tape;
		const { text, source } = this.#target(relation);
		const others = tape.chance(40) ? this.#from([], 1) : undefined;
		const clash = others?.sources.some((other) => other.alias === source.alias || other.alias === '') === true;
		const joined = clash || others === undefined ? [] : others.sources;
		const scopes: Scopes = [[source, ...joined]];
		const settable = this.#writable(relation);
		const set = [...new Set(tape.times(1, 2, () => tape.pick(settable)))]
			.map((column) => `${quoted(column.name)} = ${this.#value(column, [[this.#plainTarget(source, relation)]])}`)
			.join(', ');
		const from = joined.length > 0 ? ` from ${others?.text}` : '';
		// Several partners for a row would make it chance which one is taken.
		const key = `${source.alias}.id`;
		const where =
			joined.length > 0
				? ` where ${key} in (select max(id) from ${quoted(relation.name)}) and ${this.#onePartner(others?.text ?? '', joined)} and ${this.#expr.condition(scopes, 2)}`
				: this.#where(scopes, 2);
		return `update ${text} set ${set}${from}${where}${this.#returning(source, joined)}`;
	}

	/** True for one row of the joined items: the first in the order of all their columns. */
	#onePartner(text: string, sources: readonly Source[]): string {
		const columns = this.#expr.columns(sources, true);
		const row = (columns.length > 0 ? columns.map((column) => `${column.text}::text`) : ['1']).join(" || '|' || ");
		return `coalesce(${row}, '') = (select min(coalesce(${row}, '')) from ${text})`;
	}

	#delete(relation: WorldRelation): string {
		const { text, source } = this.#target(relation);
		if (this.#tape.chance(30)) {
			const other = this.#relation();
			if (other.source.alias !== source.alias) {
				const where = ` where ${this.#expr.condition([[source, other.source]], 2)}`;
				// Which partner a row was deleted with is chance, so only the row itself comes back.
				return `delete from ${text} using ${other.text}${where}${this.#returning(source, [])}`;
			}
		}
		return `delete from ${text}${this.#where([[source]], 2)}${this.#returning(source, [])}`;
	}

	#inserted(relation: WorldRelation): readonly WorldColumn[] {
		const optional = this.#writable(relation).filter((column) => column.name !== 'tenant' && this.#tape.chance(60));
		return [...relation.columns.filter((column) => ['id', 'at', 'tenant'].includes(column.name)), ...optional];
	}

	#row(columns: readonly WorldColumn[], id: number, scopes: Scopes): string {
		return columns
			.map((column) => {
				if (column.name === 'id') return String(id);
				if (column.name === 'at') return "date '2024-03-01'";
				return this.#value(column, scopes);
			})
			.join(', ');
	}

	#insert(relation: WorldRelation): string {
		const { text, source } = this.#target(relation);
		const columns = this.#inserted(relation);
		const list = columns.map((column) => quoted(column.name)).join(', ');
		const types = columns.slice(1).map((column) => column.type);
		const plain = columns.slice(1).every((column) => column.name !== 'at' && column.name !== 'tenant');
		const rows =
			this.#tape.chance(30) && plain && types.length > 0
				? `select 900 + row_number() over (order by ${types.map((_, i) => i + 1).join(', ')}), q.* from (${this.#subquery(types, [], 2, true)}) q`
				: this.#tape.chance(40)
					? `select ${this.#row(columns, 900, [])} where ${this.#expr.condition([], 2)}`
					: `values ${this.#tape.times(1, 2, (i) => `(${this.#row(columns, 900 + i, [])})`).join(', ')}`;
		return `insert into ${text} (${list}) ${rows}${this.#returning(source, [])}`;
	}

	#upsert(relation: WorldRelation): string {
		const { text, source } = this.#target(relation);
		if (relation.name === 'events') return this.#insert(relation);
		const columns = this.#inserted(relation);
		const list = columns.map((column) => quoted(column.name)).join(', ');
		const settable = this.#writable(relation).filter((column) => column.name !== 'tenant');
		const excluded: Source = {
			alias: 'excluded',
			columns: columns.filter((column) => column.masked !== true),
			hasRow: false,
		};
		const column = this.#tape.pick(settable);
		// The columns of both are in sight, so that a bare name of one would be ambiguous.
		const value = this.#expr.of(column.type, [[], [this.#plainTarget(source, relation), excluded]], 1);
		const where = this.#tape.chance(40) ? ` where ${this.#expr.condition([[], [source, excluded]], 2)}` : '';
		const action = this.#tape.chance(30) ? 'nothing' : `update set ${quoted(column.name)} = ${value}${where}`;
		return `insert into ${text} (${list}) values (${this.#row(columns, this.#tape.pick([1, 2, 5, 901]), [])}) on conflict (id) do ${action}${this.#returning(source, [])}`;
	}
}
