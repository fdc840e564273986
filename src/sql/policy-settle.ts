/**
 * Writes masks and filters so that they mean the same whatever the session has set. They are spliced into statements, and would be
 * computed under TimeZone, DateStyle and the like as their user chooses them: a filter on days would let the next day's rows through.
 */
import type { CatalogSnapshot, Routine } from '../catalog/snapshot.ts';
import { unreachable } from '../errors.ts';
import type { PolicyTree } from '../stages.ts';
import { TYPE } from './names.ts';
import { isSettled, moved, settledCall, type Settling } from './policy-calls.ts';
import { literalOf } from './policy-literal.ts';
import {
	boundOf,
	commonOf,
	declaredFor,
	elementOf,
	isImplicit,
	resolveOperator,
	resolveRoutine,
	resultOf,
	routinesTaking,
} from './policy-resolve.ts';
import { isReadAlike, nameOf, textOf, valueOfText } from './policy-text.ts';
import { absolute, castTo, local, operatorTree, textTree, today, type Typed, unsettled } from './policy-tree.ts';
import { baseType } from './types.ts';
import { pinnedZone } from './zone.ts';

/** What the tree is about. */
export interface PolicyPlace {
	readonly catalog: CatalogSnapshot;
	/** Type of the masked column; a filter has none. */
	readonly value?: number;
	/** Type of another column of the row. */
	readonly column: (name: string) => number;
	/** What the result becomes: the type of the masked column. Missing: a truth value. */
	readonly result?: number;
}

/** Throws Unsettled for what cannot be written so. What the server would refuse is left for it to refuse. */
export function settle(tree: PolicyTree, place: PolicyPlace): PolicyTree {
	const settler = new Settler(place);
	const typed = settler.of(tree);
	return place.result === undefined ? typed.tree : settler.become(typed, place.result);
}

class Settler {
	readonly #place: PolicyPlace;
	readonly #catalog: CatalogSnapshot;
	readonly #settling: Settling;
	/** The server refuses the whole for a part of it, whatever the rest is. */
	#refused = false;

	constructor(place: PolicyPlace) {
		this.#place = place;
		this.#catalog = place.catalog;
		this.#settling = { catalog: place.catalog, zone: () => this.#zone() };
	}

	#zone(): string {
		const { timeZone } = this.#catalog;
		const pinned = pinnedZone(timeZone);
		if (pinned !== null) return pinned;
		throw unsettled(
			`what depends on a time zone (the server's is ${JSON.stringify(timeZone)})`,
			'set timeZone of the database in the configuration to UTC or the name of a region, Area/Location',
		);
	}

	of(tree: PolicyTree): Typed {
		switch (tree.node) {
			case 'value':
				return { tree, type: this.#place.value ?? 0 };
			case 'column':
				return { tree, type: this.#place.column(tree.name) };
			case 'claim':
				throw new Error(`claims.${tree.name} has no value here`);
			case 'text':
				return { tree, type: TYPE.unknown };
			case 'number':
				return { tree, type: numberType(tree.number) };
			case 'word':
				return this.#word(tree);
			case 'operator':
				return this.#operator(tree);
			case 'quantified':
				return this.#quantified(tree);
			case 'logic':
				return { tree: { ...tree, parts: tree.parts.map((part) => this.of(part).tree) }, type: TYPE.bool };
			case 'not':
			case 'test':
				return { tree: { ...tree, of: this.of(tree.of).tree }, type: TYPE.bool };
			case 'cast':
				return this.#cast(tree);
			case 'call':
				return this.#call(tree);
			case 'choice':
			case 'array':
				return this.#items(tree);
			case 'case':
				return this.#case(tree);
			case 'index':
				return this.#index(tree);
			default:
				return unreachable(tree);
		}
	}

	#word(tree: Extract<PolicyTree, { node: 'word' }>): Typed {
		switch (tree.word) {
			case 'NULL':
				return { tree, type: TYPE.unknown };
			case 'TRUE':
			case 'FALSE':
				return { tree, type: TYPE.bool };
			case 'CURRENT_TIMESTAMP':
				return { tree, type: TYPE.timestamptz };
			case 'CURRENT_DATE':
				return { tree: today(this.#zone()), type: TYPE.date };
			case 'LOCALTIMESTAMP':
				return { tree: this.#now(), type: TYPE.timestamp };
			case 'LOCALTIME':
				return { tree: castTo('time', this.#now()), type: TYPE.time };
			case 'CURRENT_TIME':
				throw unsettled('current_time', 'take localtime');
			default:
				return unreachable(tree.word);
		}
	}

	#now(): PolicyTree {
		return local({ node: 'call', name: 'now', args: [] }, this.#zone());
	}

	// ---------------------------------------------------------------- operators

	#operator(tree: Extract<PolicyTree, { node: 'operator' }>): Typed {
		const left = tree.left === null ? null : this.of(tree.left);
		const right = this.of(tree.right);
		const meant = this.#meant(tree.op, left?.type, right.type);
		if (meant === null) return { tree: { ...tree, left: left?.tree ?? null, right: right.tree }, type: 0 };
		const types = [...(left === null ? [] : [left.type]), right.type];
		const type = resultOf(this.#catalog, meant.of.result, meant, types);
		const operands = [...(left === null ? [] : [left]), right];
		if (left === null) return { tree: { ...tree, right: this.#taken(operands, meant.declared, 0) }, type };
		return { tree: this.#binary(tree.op, meant, [left, right]), type };
	}

	#binary(
		op: string,
		{ routine, declared }: { readonly routine: Routine | undefined; readonly declared: readonly number[] },
		operands: readonly [Typed, Typed],
	): PolicyTree {
		const [left, right] = operands;
		const [l = 0, r = 0] = declared;
		if (MIXED.test(routine?.name ?? '')) {
			const both = [this.become(left, l), this.become(right, r)] as const;
			const absolutes = both.map((tree, at) => this.#absolute({ tree, type: declared[at] ?? 0 }));
			return operatorTree(op, absolutes[0] ?? both[0], absolutes[1] ?? both[1]);
		}
		const [one, other] = [this.#taken(operands, declared, 0), this.#taken(operands, declared, 1)];
		switch (routine?.name) {
			case 'timestamptz_pl_interval':
				return moved('+', one, other, this.#zone());
			case 'timestamptz_mi_interval':
				return moved('-', one, other, this.#zone());
			case 'interval_pl_timestamptz':
				return moved('+', other, one, this.#zone());
			case 'textanycat':
				return operatorTree(op, one, textOf(this.#catalog, right, this.#settling.zone));
			case 'anytextcat':
				return operatorTree(op, textOf(this.#catalog, left, this.#settling.zone), other);
			default:
				if (routine === undefined || !isSettled(routine))
					throw unsettled(`the operator ${op} of ${nameOf(this.#catalog, left.type)}`, 'take another one');
				return operatorTree(op, one, other);
		}
	}

	/** Null where the server would find none that could be meant, or it does not matter which. */
	#meant(op: string, left: number | undefined, right: number) {
		const found = left === 0 || right === 0 ? null : resolveOperator(this.#catalog, op, left ?? 0, right);
		if (found !== null) return found;
		const named = this.#catalog
			.operators('pg_catalog', op)
			.filter((operator) => (operator.left === 0) === (left === undefined));
		const routines = named
			.filter((operator) => left === undefined || left === 0 || isImplicit(this.#catalog, left, operator.left))
			.filter((operator) => right === 0 || isImplicit(this.#catalog, right, operator.right))
			.map(({ routine }) => this.#catalog.routineByOid(routine));
		const isAny = routines.every((routine) => routine !== undefined && isSettled(routine));
		const types = left === undefined ? [right] : [left, right];
		this.#refused ||=
			isAny &&
			this.#areSure(
				types,
				named.flatMap((operator) => [operator.left, operator.right]),
			);
		if (this.#refused || isAny) return null;
		throw unsettled(`the operator ${op} between values whose types are not clear`, 'write casts');
	}

	/** That nothing takes these types: rows, ranges and what users make may be taken where any row, range and so on is declared. */
	#areSure(types: readonly number[], declared: readonly number[]): boolean {
		const isOpen = declared.some((oid) => this.#catalog.typeByOid(oid)?.kind === 'p');
		return types.every((oid) => {
			const type = this.#catalog.typeByOid(baseType(this.#catalog, oid) ?? oid);
			return oid !== 0 && (oid === TYPE.unknown || !isOpen || (type?.kind === 'b' && type.schema === 'pg_catalog'));
		});
	}

	#quantified(tree: Extract<PolicyTree, { node: 'quantified' }>): Typed {
		const left = this.of(tree.left);
		const list = this.of(tree.list);
		const element = list.type === TYPE.unknown ? TYPE.unknown : elementOf(this.#catalog, list.type);
		const meant = this.#meant(tree.op, left.type, element);
		if (meant === null) return { tree: { ...tree, left: left.tree, list: list.tree }, type: TYPE.bool };
		const [l = 0, r = 0] = meant.declared;
		if (meant.routine === undefined || !isSettled(meant.routine))
			throw unsettled(`the operator ${tree.op} with ${tree.quantifier}`, 'write out what it is compared with');
		const array = this.#catalog.arrayTypeOf(r);
		const taken = array === 0 ? list.tree : this.become(list, array);
		const one = this.#catalog.typeByOid(l)?.kind === 'p' ? left.tree : this.become(left, l);
		return { tree: { ...tree, left: one, list: taken }, type: TYPE.bool };
	}

	/** What the operator or function takes for the operand at that place. */
	#taken(operands: readonly Typed[], declared: readonly number[], at: number): PolicyTree {
		const operand = operands[at];
		if (operand === undefined) throw new Error('an operand is missing');
		const wanted = declared[at] ?? 0;
		if (this.#catalog.typeByOid(wanted)?.kind !== 'p') return this.become(operand, wanted);
		const types = operands.map(({ type }) => type);
		const meant = declaredFor(this.#catalog, declared, types, at);
		return meant === 0 ? operand.tree : this.become(operand, meant);
	}

	#absolute({ tree, type }: Typed): PolicyTree {
		if (type === TYPE.date) return absolute(castTo('timestamp', tree), this.#zone());
		return type === TYPE.timestamp ? absolute(tree, this.#zone()) : tree;
	}

	// ---------------------------------------------------------------- functions and what is like them

	#call(tree: Extract<PolicyTree, { node: 'call' }>): Typed {
		const args = tree.args.map((arg) => this.of(arg));
		const types = args.map(({ type }) => type);
		const found = types.includes(0) ? null : resolveRoutine(this.#catalog, tree.name, types);
		const [only] = args;
		const named = args.length === 1 ? this.#catalog.type('pg_catalog', tree.name) : undefined;
		const isExact = found?.declared.every((type, at) => type === types[at]) === true;
		if (named !== undefined && only !== undefined && !isExact && (only.type === TYPE.unknown || found === null))
			return { tree: this.#explicit(only, named.oid, named.name, ''), type: named.oid };
		if (found === null) {
			const taking = routinesTaking(this.#catalog, tree.name, types.length);
			const isAny = taking.every(({ of }) => isSettled(of));
			this.#refused ||=
				isAny &&
				this.#areSure(
					types,
					taking.flatMap(({ declared }) => declared),
				);
			if (this.#refused || isAny) return { tree: { ...tree, args: args.map((arg) => arg.tree) }, type: 0 };
			throw unsettled(`the function ${tree.name} of values whose types are not clear`, 'write casts');
		}
		const given = args.map((arg, at): Typed => {
			const declared = found.declared[at] ?? 0;
			const isAny = this.#catalog.typeByOid(declared)?.kind === 'p';
			return { tree: this.#taken(args, found.declared, at), type: isAny ? arg.type : declared };
		});
		return { tree: settledCall(this.#settling, found.routine, given), type: found.result };
	}

	#items(tree: Extract<PolicyTree, { node: 'choice' | 'array' }>): Typed {
		const items = tree.items.map((item) => this.of(item));
		const { trees, type } = this.#brought(items);
		const whole = tree.node === 'array' ? this.#catalog.arrayTypeOf(type) : type;
		// An array of arrays is one of their type.
		const isNested = tree.node === 'array' && elementOf(this.#catalog, type) !== 0;
		return { tree: { ...tree, items: trees }, type: isNested ? type : whole };
	}

	#case(tree: Extract<PolicyTree, { node: 'case' }>): Typed {
		const whens = tree.branches.map(({ when }) => this.of(when).tree);
		const results = tree.branches.map(({ result }) => this.of(result));
		const otherwise = tree.otherwise === null ? [] : [this.of(tree.otherwise)];
		// The server looks at ELSE first.
		const { trees, type } = this.#brought([...otherwise, ...results]);
		const rest = trees.slice(otherwise.length);
		const branches = whens.map((when, at) => ({ when, result: rest[at] ?? ({ node: 'word', word: 'NULL' } as const) }));
		return { tree: { ...tree, branches, otherwise: otherwise.length === 0 ? null : (trees[0] ?? null) }, type };
	}

	/** Values of which one is given are brought to one type. */
	#brought(items: readonly Typed[]): { readonly trees: readonly PolicyTree[]; readonly type: number } {
		const types = items.map(({ type }) => type);
		const common = types.includes(0) ? null : commonOf(this.#catalog, types);
		if (common === null) return { trees: items.map(({ tree }) => tree), type: 0 };
		// Literals alone are made what they are used as, by whoever uses them.
		const isOpen = types.every((type) => type === TYPE.unknown);
		return { trees: items.map((item) => (isOpen ? item.tree : this.become(item, common))), type: common };
	}

	#index(tree: Extract<PolicyTree, { node: 'index' }>): Typed {
		const [of, at] = [this.of(tree.of), this.of(tree.at)];
		const base = baseType(this.#catalog, of.type) ?? of.type;
		return {
			tree: { ...tree, of: of.tree, at: at.tree },
			type: base === TYPE.jsonb ? base : elementOf(this.#catalog, base),
		};
	}

	// ---------------------------------------------------------------- casts

	#cast(tree: Extract<PolicyTree, { node: 'cast' }>): Typed {
		const named = this.#catalog.type('pg_catalog', tree.type)?.oid ?? 0;
		const of = this.of(tree.of);
		if (!tree.array) return { tree: this.#explicit(of, named, tree.type, tree.modifier), type: named };
		const type = this.#catalog.arrayTypeOf(named);
		return { tree: { ...tree, of: this.become(of, type) }, type };
	}

	/** The value as it is taken for that type, by a cast that is written, or one that is not. */
	become(given: Typed, type: number): PolicyTree {
		const to = baseType(this.#catalog, type) ?? type;
		const from = baseType(this.#catalog, given.type) ?? given.type;
		if (from === to) return given.tree;
		if (from === TYPE.unknown) {
			// Written with its type, since what is around it may be written in another way.
			const isTime = given.tree.node === 'text' && SINGLE.has(to);
			return this.#read(given, to) ?? (isTime ? castTo(nameOf(this.#catalog, to), given.tree) : given.tree);
		}
		if (from === 0) return this.#doubtful(given, to);
		const pinned = this.#converted({ tree: given.tree, type: from }, to, '');
		return pinned ?? given.tree;
	}

	#explicit(given: Typed, type: number, name: string, modifier: string): PolicyTree {
		const from = baseType(this.#catalog, given.type) ?? given.type;
		if (from === TYPE.unknown) return castTo(name, this.#read(given, type) ?? given.tree, modifier);
		if (from === 0) return castTo(name, this.#doubtful(given, type), modifier);
		const pinned = from === type ? undefined : this.#converted({ tree: given.tree, type: from }, type, modifier);
		return castTo(name, pinned ?? given.tree, modifier);
	}

	/** A literal. */
	#read({ tree }: Typed, type: number): PolicyTree | null {
		if (tree.node !== 'text') return null;
		const made = literalOf(tree.text, type, this.#settling.zone);
		if (made !== null || isReadAlike(this.#catalog, type) || SINGLE.has(type)) return made;
		const name = nameOf(this.#catalog, type);
		if ((name === 'regconfig' || name === 'regdictionary') && tree.text.startsWith('pg_catalog.')) return null;
		if (ALIKE[name]?.test(tree.text) === true) return null;
		if (boundOf(this.#catalog, type) !== 0 && /^\s*empty\s*$/i.test(tree.text)) return null;
		const parts = partsOf(tree.text);
		const element = elementOf(this.#catalog, type) || boundOf(this.#catalog, type);
		const isAlike = (part: string): boolean => literalOf(part, element, this.#settling.zone) === null;
		if (SINGLE.has(element) && parts?.every((part) => isAlike(part)) === true) return null;
		throw unsettled(`a literal that is read as ${name}`, 'make it of its parts, each with its offset');
	}

	/** Whatever the value is, only where it does not matter. */
	#doubtful({ tree }: Typed, type: number): PolicyTree {
		if (isReadAlike(this.#catalog, type) && !STRING_TYPES.has(type)) return tree;
		if (this.#refused) return tree;
		throw unsettled(`a value whose type is not clear, as ${nameOf(this.#catalog, type)}`, 'write casts');
	}

	/** Undefined: as it stands. */
	#converted(given: Typed, to: number, modifier: string): PolicyTree | undefined {
		const { tree, type: from } = given;
		const zone = this.#settling.zone;
		if (from === TYPE.timestamptz) {
			if (to === TYPE.timestamp) return local(tree, zone());
			if (to === TYPE.date || to === TYPE.time) return castTo(to === TYPE.date ? 'date' : 'time', local(tree, zone()));
		}
		if (to === TYPE.timestamptz && (from === TYPE.date || from === TYPE.timestamp)) return this.#absolute(given);
		const [source, target] = [this.#catalog.typeByOid(from), this.#catalog.typeByOid(to)];
		const cast = this.#catalog.cast(from, to);
		if (cast !== undefined && cast.routine !== 0) {
			const routine = this.#catalog.routineByOid(cast.routine);
			if (routine !== undefined && (routine.volatility === 'immutable' || STRINGS.has(routine.name))) return undefined;
			// Nought is nought in any currency.
			if (tree.node === 'number' && tree.number === 0) return undefined;
			throw unsettled(`a cast of ${nameOf(this.#catalog, from)} to ${nameOf(this.#catalog, to)}`, 'take other types');
		}
		if (cast !== undefined && cast.context === 'implicit' && target?.category === source?.category) return undefined;
		if (target?.category === 'S' && source?.category !== 'S') return textOf(this.#catalog, given, zone);
		if (source?.category === 'S' && target !== undefined && target.category !== 'S')
			return valueOfText(this.#catalog, tree, { type: to, name: nameOf(this.#catalog, to), modifier }, zone);
		const [one, other] = [elementOf(this.#catalog, from), elementOf(this.#catalog, to)];
		if (one === 0 || other === 0 || one === other) return undefined;
		if (this.#converted({ tree: textTree(''), type: one }, other, '') === undefined) return undefined;
		throw unsettled(`a cast of ${nameOf(this.#catalog, from)} to ${nameOf(this.#catalog, to)}`, 'cast its elements');
	}
}

/** Operators between a timestamptz and what has no zone. */
const MIXED = /^(date|timestamp)_[a-z]+_timestamptz$|^timestamptz_[a-z]+_(date|timestamp)$/;

/** Literals of types that are read by the session's settings, but not these. By `xmloption` a part of a document may be an error. */
const ALIKE: Readonly<Record<string, RegExp>> = { money: /^\s*0+(\.0+)?\s*$/, xml: /^\s*</ };

/** Types of which `literalOf` says how a literal is read. */
const SINGLE: ReadonlySet<number> = new Set([
	TYPE.date,
	TYPE.timestamp,
	TYPE.timestamptz,
	TYPE.time,
	TYPE.timetz,
	TYPE.interval,
]);

const STRING_TYPES: ReadonlySet<number> = new Set([TYPE.text, TYPE.varchar, TYPE.bpchar]);
const STRINGS: ReadonlySet<string> = new Set(['text', 'bpchar', 'varchar', 'name']);

/** As the server's scanner types numbers. */
function numberType(number: number): number {
	if (!Number.isInteger(number) || Math.abs(number) >= 1e21) return TYPE.numeric;
	if (number >= -2_147_483_648 && number <= 2_147_483_647) return TYPE.int4;
	return TYPE.int8;
}

/** Elements of an array's literal, or bounds of a range's; undefined where it is not a plain list. An unbounded side is no part. */
function partsOf(text: string): readonly string[] | undefined {
	const inner = /^\s*(?:\{([^{}]*)\}|[[(]([^[\](){}]*)[\])])\s*$/.exec(text);
	if (inner === null) return undefined;
	const list = inner[1] ?? inner[2] ?? '';
	if (list.trim() === '') return [];
	const parts = list.split(',').map((part) => part.trim().replace(/^"([^"\\]*)"$/, '$1'));
	return parts.some((part) => /["\\]/.test(part))
		? undefined
		: parts.filter((part) => part !== '' && !/^null$/i.test(part));
}
