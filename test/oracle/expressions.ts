/** Typed expressions of the random queries: total ones only, so that no error depends on the order in which a plan works. */
import type { Tape } from './tape.ts';
import type { ValueType } from './world.ts';

export interface Column {
	readonly name: string;
	readonly type: ValueType;
}

/** One thing in FROM, by the name that it goes by. */
export interface Source {
	/** As it has to be written; empty when its columns can only be named bare. */
	readonly alias: string;
	readonly columns: readonly Column[];
	/** Its row as a whole may be named by the alias. */
	readonly hasRow: boolean;
}

/** What an expression may name: innermost query first. */
export type Scopes = readonly (readonly Source[])[];

/** Makes a subquery with one column per type, whose rows have a fixed order when `one` asks for at most one row. */
export type MakeQuery = (types: readonly ValueType[], scopes: Scopes, depth: number, one: boolean) => string;

export const TYPES: readonly ValueType[] = ['int', 'text', 'bool', 'num', 'date'];

export const SQL_TYPE: Readonly<Record<ValueType, string>> = {
	int: 'int',
	text: 'text',
	bool: 'boolean',
	num: 'numeric',
	date: 'date',
};

const LITERALS: Readonly<Record<ValueType, readonly string[]>> = {
	int: ['1', '2', '0', '5', '(-3)', '12', 'null::int'],
	num: ['1.5', '0.0', '100.25', '(-2.5)', 'null::numeric'],
	text: ["'p1'", "'a'", "''", "'XXX-XX-1001'", "'acme'", "'ü€😀'", "e'\\''", '$$q$$', 'null::text', "'Ops'"],
	bool: ['true', 'false', 'null::boolean'],
	date: ["date '1981-02-04'", "date '2023-10-29'", "'2024-01-27'::date", 'null::date'],
};

export function quoted(name: string): string {
	return /^[a-z_][a-z0-9_]*$/.test(name) && name !== 'select' ? name : `"${name}"`;
}

/** Expressions over `scopes`; `parameters` collects the values of `$n`. */
export class Expressions {
	readonly #tape: Tape;
	readonly #query: MakeQuery;
	readonly #parameters: string[];

	constructor(tape: Tape, query: MakeQuery, parameters: string[]) {
		this.#tape = tape;
		this.#query = query;
		this.#parameters = parameters;
	}

	of(type: ValueType, scopes: Scopes, depth: number): string {
		const tape = this.#tape;
		if (depth <= 0 || !tape.chance(65)) return this.#leaf(type, scopes);
		if (tape.chance(12)) return this.#general(type, scopes, depth - 1);
		switch (type) {
			case 'int':
				return this.#int(scopes, depth - 1);
			case 'num':
				return this.#num(scopes, depth - 1);
			case 'text':
				return this.#text(scopes, depth - 1);
			case 'date':
				return `(${this.of('date', scopes, depth - 1)} + ${tape.below(9)})`;
			case 'bool':
				return `(${this.condition(scopes, depth - 1)})`;
		}
	}

	/** A column of that type, or a literal. */
	#leaf(type: ValueType, scopes: Scopes): string {
		const tape = this.#tape;
		const columns = scopes.flatMap((scope, level) => {
			// An inner item of the same name would be meant instead.
			const hidden = new Set(scopes.slice(0, level).flatMap((inner) => inner.map((source) => source.alias)));
			const seen = scope.filter((source) => !hidden.has(source.alias));
			return this.columns(seen, level > 0).filter((column) => column.type === type);
		});
		if (columns.length > 0 && !tape.chance(18)) {
			const { text } = tape.pick(columns);
			return type === 'text' && tape.chance(12) ? `spy(${text})` : text;
		}
		return this.literal(type);
	}

	literal(type: ValueType): string {
		const text = this.#tape.pick(LITERALS[type]);
		if (!this.#tape.chance(15)) return text;
		const value = /^(?:date )?'([^'\\]*)'(?:::date)?$|^\(?(-?[\d.]+|true|false)\)?$/.exec(text);
		const given = value?.[1] ?? value?.[2];
		if (given === undefined) return text;
		this.#parameters.push(given);
		return `$${this.#parameters.length}::${SQL_TYPE[type]}`;
	}

	/** `column = $1` without a cast: the server has to find the parameter's type by itself, as it would have without the gateway. */
	#untyped(scopes: Scopes): string | undefined {
		const columns = this.columns(scopes[0] ?? [], false).filter(({ type }) => type === 'int' || type === 'text');
		if (columns.length === 0) return undefined;
		const column = this.#tape.pick(columns);
		this.#parameters.push(
			this.#tape.pick(column.type === 'int' ? ['1', '2', '5'] : ['p1', 'acme', 'XXX-XX-1001', 'doc 1']),
		);
		const parameter = `$${this.#parameters.length}`;
		return this.#tape.pick([
			`${column.text} = ${parameter}`,
			`${column.text} in (${parameter})`,
			`${column.text} < ${parameter}`,
			`${parameter} = ${column.text}`,
		]);
	}

	/** How each column can be written. `outer`: qualified, or an inner column of the same name would be meant. */
	columns(scope: readonly Source[], outer: boolean): readonly (Column & { text: string })[] {
		const names = scope.flatMap((source) => source.columns.map((column) => column.name));
		const isClear = (name: string): boolean =>
			names.filter((other) => other === name).length === 1 && !scope.some((source) => source.alias === name);
		return scope.flatMap((source) =>
			source.columns.flatMap((column) => {
				const bare = !outer && isClear(column.name) && (source.alias === '' || this.#tape.chance(30));
				if (!bare && source.alias === '') return [];
				return [{ ...column, text: bare ? quoted(column.name) : `${source.alias}.${quoted(column.name)}` }];
			}),
		);
	}

	#rows(scopes: Scopes): readonly Source[] {
		return (scopes[0] ?? []).filter((source) => source.hasRow);
	}

	#general(type: ValueType, scopes: Scopes, depth: number): string {
		const tape = this.#tape;
		const arg = (): string => this.of(type, scopes, depth);
		switch (tape.below(8)) {
			case 0:
				return `coalesce(${arg()}, ${arg()})`;
			case 1:
				return `case when ${this.condition(scopes, depth)} then ${arg()} else ${arg()} end`;
			case 2:
				return `nullif(${arg()}, ${arg()})`;
			case 3:
				return `greatest(${arg()}, ${arg()})`;
			case 4:
				return `(array[${arg()}, ${arg()}])[${1 + tape.below(3)}]`;
			case 5:
				return `(${this.#query([type], scopes, depth, true)})`;
			case 6:
				return `case ${this.of('int', scopes, depth)} when ${this.of('int', scopes, depth)} then ${arg()} end`;
			default:
				return `cast(${arg()} as ${SQL_TYPE[type]})`;
		}
	}

	#int(scopes: Scopes, depth: number): string {
		const tape = this.#tape;
		const rows = this.#rows(scopes);
		const [a, b] = [this.of('int', scopes, depth), this.of('int', scopes, depth)];
		switch (tape.below(10)) {
			case 8:
			case 9:
				return this.#failing(scopes) ?? `abs(${b})`;
			case 0:
				return `(${a} + ${b})`;
			case 1:
				return `(${a} - ${b})`;
			case 2:
				return `length(${this.of('text', scopes, depth)})`;
			case 3:
				return `abs(${a})`;
			case 4:
				return `(${this.condition(scopes, depth)})::int`;
			case 5:
				return `extract(year from ${this.of('date', scopes, depth)})::int`;
			case 6: {
				const fields = rows.flatMap((row) =>
					row.columns
						.filter((column) => column.type === 'int')
						.map((column) => `(${row.alias}).${quoted(column.name)}`),
				);
				return fields.length > 0 ? tape.pick(fields) : `- ${a}`;
			}
			default:
				return `(select count(*)::int from (${this.#query(['int', 'text'], scopes, depth, false)}) as q(x, y))`;
		}
	}

	/** Fails for a row that a filter hides, and for no other: an error tells that there is one. */
	#failing(scopes: Scopes): string | undefined {
		const tenants = this.columns(scopes[0] ?? [], false).filter(({ name }) => name === 'tenant');
		if (tenants.length === 0) return undefined;
		const { text } = this.#tape.pick(tenants);
		return this.#tape.pick([
			`(1 / (1 - coalesce((${text} = 'globex')::int, 0)))`,
			`(case when ${text} = 'globex' then 'x' else '2' end)::int`,
			`length(substring(${text} for case ${text} when 'globex' then -1 else 3 end))`,
			`(array[1])[1] + coalesce(mod(5, 1 - (${text} = 'globex')::int), 0)`,
		]);
	}

	#num(scopes: Scopes, depth: number): string {
		const a = this.of('num', scopes, depth);
		switch (this.#tape.below(5)) {
			case 0:
				return `(${a} + ${this.of('num', scopes, depth)})`;
			case 1:
				return `(${a} * ${this.of('int', scopes, depth)})`;
			case 2:
				return `round(${a}, 1)`;
			case 3:
				return `${this.of('int', scopes, depth)}::numeric`;
			default:
				return `(select avg(x) from (${this.#query(['num'], scopes, depth, false)}) as q(x))`;
		}
	}

	#text(scopes: Scopes, depth: number): string {
		const tape = this.#tape;
		const rows = this.#rows(scopes);
		const a = this.of('text', scopes, depth);
		switch (tape.below(11)) {
			case 9:
			case 10:
				return `spy(${a})`;
			case 0:
				return `(${a} || ${this.of('text', scopes, depth)})`;
			case 1:
				return `upper(${a})`;
			case 2:
				return `left(${a}, ${tape.below(5)})`;
			case 3:
				return `substring(${a} from 2)`;
			case 4:
				return `${this.of(tape.pick(['int', 'num', 'date', 'bool']), scopes, depth)}::text`;
			case 5:
				return `concat(${a}, ${this.of('int', scopes, depth)})`;
			case 6:
				return rows.length > 0 ? this.#wholeRow(tape.pick(rows)) : `lower(${a})`;
			case 7:
				return `(select string_agg(x, ',' order by x) from (${this.#query(['text'], scopes, depth, false)}) as q(x))`;
			default:
				return `(${a} collate "C")`;
		}
	}

	#wholeRow({ alias, columns }: Source): string {
		const first = columns[0]?.name ?? '';
		return this.#tape.pick([
			`${alias}::text`,
			`to_jsonb(${alias})::text`,
			`row(${alias}.*)::text`,
			`row_to_json(${alias})::text`,
			`(to_jsonb(${alias}) ->> '${first}')`,
			`array_to_string(array(select jsonb_object_keys(to_jsonb(${alias})) order by 1), ',')`,
		]);
	}

	condition(scopes: Scopes, depth: number): string {
		const tape = this.#tape;
		const type = tape.pick(TYPES);
		const arg = (of: ValueType = type): string => this.of(of, scopes, depth - 1);
		const rows = this.#rows(scopes);
		switch (tape.below(18)) {
			case 0:
				return `${arg()} ${tape.pick(['=', '<', '>=', '<>'])} ${arg()}`;
			case 1:
				return `(${this.condition(scopes, depth - 1)} and ${this.condition(scopes, depth - 1)})`;
			case 2:
				return `(${this.condition(scopes, depth - 1)} or ${this.condition(scopes, depth - 1)})`;
			case 3:
				return `not (${this.condition(scopes, depth - 1)})`;
			case 4:
				return `${arg()} is ${tape.pick(['', 'not '])}null`;
			case 5:
				return `${arg()} ${tape.pick(['', 'not '])}between ${tape.pick(['', 'symmetric '])}${arg()} and ${arg()}`;
			case 6:
				return `${arg()} ${tape.pick(['', 'not '])}in (${arg()}, ${arg()})`;
			case 7:
				return `${arg()} ${tape.pick(['', 'not '])}in (${this.#query([type], scopes, depth - 1, false)})`;
			case 8:
				return `${tape.pick(['', 'not '])}exists (${this.#query([type], scopes, depth - 1, false)})`;
			case 9:
				return `${arg()} ${tape.pick(['=', '<'])} ${tape.pick(['any', 'all'])} (array[${arg()}, ${arg()}])`;
			case 10:
				return `${arg()} ${tape.pick(['=', '>'])} ${tape.pick(['any', 'all'])} (${this.#query([type], scopes, depth - 1, false)})`;
			case 11:
				return `${arg()} is ${tape.pick(['', 'not '])}distinct from ${arg()}`;
			case 12:
				return `${arg('text')} ${tape.pick(['like', 'not like', 'ilike', '~', 'similar to'])} ${tape.pick(["'p%'", "'XXX%'", "'%e%'", "'doc _'"])}`;
			case 13:
				return `(${arg('int')}, ${arg()}) ${tape.pick(['=', '<'])} (${arg('int')}, ${arg()})`;
			case 16:
			case 17:
				return this.#untyped(scopes) ?? 'true';
			case 14:
				return `(${arg('int')}, ${arg()}) in (${this.#query(['int', type], scopes, depth - 1, false)})`;
			default:
				return rows.length > 0
					? `${tape.pick(rows).alias} is ${tape.pick(['', 'not '])}null`
					: `(${arg('bool')}) is not true`;
		}
	}
}
