/**
 * Which bind parameters of a statement may be written down: on a protected relation those that meet nothing but plain columns, and
 * nowhere those that go into pgcrypto as a password or key. In doubt a parameter is not shown; nothing else rests on this.
 */
import type { InsertStmt, Node, SelectStmt, UpdateStmt } from '@pgsql/types';
import { isSecretFunction } from '../secrets.ts';
import type { StatementDecision } from '../stages.ts';
import { stringsOf } from './names.ts';
import { as } from './nodes.ts';
import { type Protection, protectionOf, systemProtection, unprotected } from './protection.ts';
import { isSystem } from './read-relation.ts';
import type { UseNote, Walk } from './walk.ts';

/** A member of StatementDecision, or nothing where the statement has no parameters, or all of them may be shown. */
export function shownParameters(walk: Walk, node: Node, sql: string): Pick<StatementDecision, 'shownParameters'> {
	if (!/\$\d/.test(sql) || (!walk.touchesProtected && !mayHaveSecrets.test(sql))) return {};
	const all = contentsOf(node, true);
	if (all.parameters.length === 0) return {};
	const shown = walk.touchesProtected ? new PlainPlaces(walk).of(node, all) : everywhere(all);
	for (const place of all.secret) shown.delete(place);
	const hidden = new Set(all.parameters.filter(({ place }) => !shown.has(place)).map(({ number }) => number));
	return {
		shownParameters: new Set(all.parameters.map(({ number }) => number).filter((number) => !hidden.has(number))),
	};
}

const mayHaveSecrets = /crypt|hmac/i;

interface Parameter {
	readonly number: number;
	/** Offset in the text: tells one occurrence from the other. */
	readonly place: number;
}

/** What stands anywhere in a part of the tree, subqueries included. */
interface Contents {
	readonly parameters: Parameter[];
	/** Last names of column references; null for a star. */
	readonly columns: (string | null)[];
	readonly functions: string[];
	/** Places of parameters among the arguments of pgcrypto's functions. */
	readonly secret: number[];
	readonly subqueries: SelectStmt[];
	/** Names are made here that are no relation's own: derived tables, CTEs, functions in FROM, lists of column aliases. */
	derived: boolean;
}

function everywhere({ parameters }: Contents): Set<number> {
	return new Set(parameters.map(({ place }) => place));
}

/** A part of the tree that is still to be looked at. */
interface Pending {
	readonly part: unknown;
	/** Among the arguments of one of pgcrypto's functions. */
	readonly secret: boolean;
}

/** Every node is looked at once. `inside`: of subqueries too. */
function contentsOf(root: unknown, inside: boolean): Contents {
	const found: Contents = { parameters: [], columns: [], functions: [], secret: [], subqueries: [], derived: false };
	const pending: Pending[] = [{ part: root, secret: false }];
	for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
		const { part, secret } = next;
		if (Array.isArray(part)) for (const one of part) pending.push({ part: one, secret });
		else if (typeof part === 'object' && part !== null) {
			for (const [tag, value] of Object.entries(part)) {
				// A literal's value is never looked at: one analysis may serve many. What a subquery holds is a matter of its own.
				if (tag === 'A_Const' || (tag === 'subselect' && !inside)) continue;
				pending.push({ part: value, secret: take(found, tag, value, secret) });
			}
		}
	}
	return found;
}

const deriving: ReadonlySet<string> = new Set([
	'RangeSubselect',
	'RangeFunction',
	'RangeTableFunc',
	'JsonTable',
	'CommonTableExpr',
	'colnames',
]);

/** Notes one node. True when what is below it goes into one of pgcrypto's functions. */
function take(found: Contents, tag: string, value: unknown, secret: boolean): boolean {
	const node = { [tag]: value } as unknown as Node;
	const parameter = as(node, 'ParamRef');
	if (parameter !== undefined) {
		const place = parameter.location ?? 0;
		found.parameters.push({ number: parameter.number ?? 0, place });
		if (secret) found.secret.push(place);
	}
	const column = as(node, 'ColumnRef');
	if (column !== undefined) {
		const last = column.fields?.at(-1);
		found.columns.push(last !== undefined && 'A_Star' in last ? null : (stringsOf(column.fields).at(-1) ?? null));
	}
	const select = as(as(node, 'SubLink')?.subselect, 'SelectStmt');
	if (select !== undefined) found.subqueries.push(select);
	if (deriving.has(tag)) found.derived = true;
	const call = as(node, 'FuncCall');
	if (call === undefined) return secret;
	const name = stringsOf(call.funcname).at(-1) ?? '';
	found.functions.push(name);
	return secret || isSecretFunction(name);
}

/** Finds the parameters that meet plain columns alone. Goes clause by clause: what it does not know it does not show. */
class PlainPlaces {
	readonly #protections: readonly Protection[] | null;
	readonly #routines: ReadonlySet<string>;
	readonly #places = new Set<number>();

	constructor(walk: Walk) {
		const notes = [...walk.uses.values()];
		this.#protections = protectionsOf(walk, notes);
		this.#routines = new Set(
			notes.filter(({ kind }) => kind === 'function').map(({ name }) => name.replace(/\(.*/s, '')),
		);
	}

	of(node: Node, all: Contents): Set<number> {
		if (this.#protections === null || all.derived) return this.#places;
		const select = as(node, 'SelectStmt');
		const insert = as(node, 'InsertStmt');
		const update = as(node, 'UpdateStmt');
		const remove = as(node, 'DeleteStmt');
		if (select !== undefined) this.#select(select, true);
		if (insert !== undefined) this.#insert(insert);
		if (update !== undefined) this.#update(update);
		if (remove !== undefined) this.#clauses(remove.usingClause, remove.whereClause, remove.returningClause?.exprs);
		return this.#places;
	}

	/** `outermost`: its columns go to the client, and not into what is around it. */
	#select(select: SelectStmt, outermost: boolean): void {
		for (const side of [select.larg, select.rarg]) if (side !== undefined) this.#select(side, outermost);
		this.#clauses(select.fromClause, select.whereClause, select.havingClause, select.limitCount, select.limitOffset);
		if (outermost) this.#clauses(select.targetList, select.valuesLists);
		else for (const target of select.targetList ?? []) this.#subqueries(contentsOf(target, false));
		this.#clauses(select.groupClause, select.sortClause, select.distinctClause);
	}

	#insert(insert: InsertStmt): void {
		const select = as(insert.selectStmt, 'SelectStmt');
		const columns = (insert.cols ?? []).map((column) => as(column, 'ResTarget'));
		for (const row of select?.valuesLists ?? []) {
			for (const [index, value] of (as(row, 'List')?.items ?? []).entries())
				this.#assigned(columns[index]?.name, value);
		}
		if (select !== undefined && select.valuesLists === undefined) this.#select(select, false);
		const conflict = insert.onConflictClause;
		for (const target of conflict?.targetList ?? []) this.#assigned(as(target, 'ResTarget')?.name, target);
		this.#clauses(conflict?.whereClause, insert.returningClause?.exprs);
	}

	#update(update: UpdateStmt): void {
		for (const target of update.targetList ?? []) this.#assigned(as(target, 'ResTarget')?.name, target);
		this.#clauses(update.fromClause, update.whereClause, update.returningClause?.exprs);
	}

	/** A value that goes into a column. */
	#assigned(column: string | undefined, value: Node): void {
		const several = as(as(value, 'ResTarget')?.val, 'MultiAssignRef') !== undefined;
		if (column !== undefined && !several && this.#isPlain(column)) this.#island(value);
	}

	/** Each condition, item or expression by itself. */
	#clauses(...parts: readonly (Node | readonly Node[] | undefined)[]): void {
		for (const part of parts) {
			if (part === undefined) continue;
			if (Array.isArray(part)) this.#clauses(...(part as readonly Node[]));
			else this.#clause(part as Node);
		}
	}

	#clause(node: Node): void {
		const conditions = as(node, 'BoolExpr')?.args ?? as(node, 'List')?.items;
		const join = as(node, 'JoinExpr');
		if (conditions !== undefined) this.#clauses(conditions);
		else if (join !== undefined) this.#clauses(join.larg, join.rarg, join.quals);
		else this.#island(node);
	}

	/** Values in one expression meet each other, so all of its columns have to be plain. */
	#island(node: Node): void {
		const contents = contentsOf(node, false);
		const { parameters, columns, functions, subqueries } = contents;
		this.#subqueries(contents);
		const plain =
			subqueries.length === 0 &&
			columns.every((name) => name !== null && this.#isPlain(name)) &&
			functions.every((name) => !this.#routines.has(name));
		if (plain) for (const { place } of parameters) this.#places.add(place);
	}

	#subqueries({ subqueries }: Contents): void {
		for (const select of subqueries) this.#select(select, false);
	}

	/** Some relation of the statement has such a column, and none has a protected one of that name. */
	#isPlain(column: string): boolean {
		const found = (this.#protections ?? []).flatMap((protection) => protection.byName.get(column) ?? []);
		return found.length > 0 && found.every(({ state }) => state === 'plain');
	}
}

/** Of all relations that the statement uses; null where one is a view, whose columns may be anything. */
function protectionsOf(walk: Walk, notes: readonly UseNote[]): readonly Protection[] | null {
	const { catalog, access } = walk.context;
	const protections: Protection[] = [];
	for (const { kind, schema, name } of notes) {
		if (kind !== 'relation') continue;
		const relation = catalog.relation(schema, name);
		if (relation === undefined || relation.kind === 'view' || relation.kind === 'matview') return null;
		const system = isSystem(schema) ? systemProtection(relation) : null;
		if (system === 'harmless') protections.push(unprotected(relation));
		else if (system === null) protections.push(protectionOf(catalog, access, relation, false));
		else if ('refused' in system) return null;
		else protections.push(system);
	}
	return protections;
}
