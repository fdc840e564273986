/**
 * Which bind parameters of a statement may be written down: on a protected relation those that meet nothing but plain columns, and
 * nowhere those that go into pgcrypto as a password or key. In doubt a parameter is not shown; nothing else rests on this.
 */
import type { DeleteStmt, InsertStmt, MergeStmt, Node, SelectStmt, UpdateStmt, WithClause } from '@pgsql/types';
import { isSecretFunction } from '../secrets.ts';
import type { StatementDecision } from '../stages.ts';
import { stringsOf } from './names.ts';
import { as } from './nodes.ts';
import { type Protection, protectionOf, systemProtection, unprotected } from './protection.ts';
import { isSystem } from './read-relation.ts';
import { type DerivedTable, outputsOf } from './shown-outputs.ts';
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
	/** Those that stand alone: where there is no such column, a relation's whole row. */
	readonly bare: string[];
	/** Names by which relations are known in FROM and WITH. */
	readonly ranges: string[];
	readonly derivedTables: DerivedTable[];
	readonly functions: string[];
	/** Places of parameters among the arguments of pgcrypto's functions. */
	readonly secret: number[];
	readonly subqueries: SelectStmt[];
	/** Names are made here that nobody follows: functions in FROM, lists of column aliases. */
	strange: boolean;
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
	const found: Contents = {
		parameters: [],
		columns: [],
		bare: [],
		ranges: [],
		derivedTables: [],
		functions: [],
		secret: [],
		subqueries: [],
		strange: false,
	};
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

const makingNames: ReadonlySet<string> = new Set([
	'RangeFunction',
	'RangeTableFunc',
	'JsonTable',
	'colnames',
	'search_clause',
	'cycle_clause',
	'ReturningOption',
]);

const namingRanges: ReadonlySet<string> = new Set(['relname', 'aliasname', 'ctename']);

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
		const name = last !== undefined && 'A_Star' in last ? null : (stringsOf(column.fields).at(-1) ?? null);
		found.columns.push(name);
		if (name !== null && column.fields?.length === 1) found.bare.push(name);
	}
	const select = as(as(node, 'SubLink')?.subselect, 'SelectStmt');
	if (select !== undefined) found.subqueries.push(select);
	if (makingNames.has(tag)) found.strange = true;
	if (namingRanges.has(tag) && typeof value === 'string') found.ranges.push(value);
	const derived = as(node, 'RangeSubselect')?.subquery;
	if (derived !== undefined) found.derivedTables.push({ query: derived, aliases: [] });
	const cte = as(node, 'CommonTableExpr');
	if (cte?.ctequery !== undefined)
		found.derivedTables.push({ query: cte.ctequery, aliases: stringsOf(cte.aliascolnames) });
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
	/** Relations and what stands for one: alone, each is a whole row. */
	#ranges: ReadonlySet<string> = new Set();
	/** Names of columns of derived tables and CTEs: those of plain columns alone, and all others. */
	readonly #clean = new Set<string>();
	readonly #tainted = new Set<string>();

	constructor(walk: Walk) {
		const notes = [...walk.uses.values()];
		this.#protections = protectionsOf(walk, notes);
		this.#routines = new Set(
			notes.filter(({ kind }) => kind === 'function').map(({ name }) => name.replace(/\(.*/s, '')),
		);
	}

	of(node: Node, all: Contents): Set<number> {
		if (this.#protections === null || all.strange) return this.#places;
		this.#ranges = new Set([...all.ranges, 'excluded', 'old', 'new']);
		if (this.#follow(all.derivedTables)) this.#statement(node, true);
		return this.#places;
	}

	/**
	 * What the columns of derived tables and CTEs are made of. One that is made of anything but plain columns taints its name wherever it
	 * stands, and that may taint others in turn. False where a name cannot be told.
	 */
	#follow(tables: readonly DerivedTable[]): boolean {
		const outputs = tables.map(outputsOf);
		if (outputs.includes(null)) return false;
		const all = outputs
			.flatMap((some) => some ?? [])
			.map(({ name, values }) => ({ name, values: values.map((value) => contentsOf(value, true)) }));
		for (const { name } of all) if (name !== null) this.#clean.add(name);
		for (let before = -1; before < this.#tainted.size; ) {
			before = this.#tainted.size;
			for (const { name, values } of all) {
				if (values.every((value) => this.#isPlainValue(value))) continue;
				if (name === null) return false;
				this.#tainted.add(name);
			}
		}
		return true;
	}

	/** `outermost`: what it gives goes to the client, and not into what is around it. */
	#statement(node: Node, outermost: boolean): void {
		const select = as(node, 'SelectStmt');
		const insert = as(node, 'InsertStmt');
		const update = as(node, 'UpdateStmt');
		const remove = as(node, 'DeleteStmt');
		const merge = as(node, 'MergeStmt');
		if (select !== undefined) this.#select(select, outermost);
		if (insert !== undefined) this.#insert(insert);
		if (update !== undefined) this.#update(update);
		if (remove !== undefined) this.#clauses(remove.usingClause, remove.whereClause);
		if (merge !== undefined) this.#merge(merge);
		this.#returning(insert ?? update ?? remove ?? merge, outermost);
	}

	/** RETURNING and WITH, which all that write have. */
	#returning(of: InsertStmt | UpdateStmt | DeleteStmt | MergeStmt | undefined, outermost: boolean): void {
		if (of === undefined) return;
		this.#with(of.withClause);
		if (outermost) this.#clauses(of.returningClause?.exprs);
		else for (const target of of.returningClause?.exprs ?? []) this.#subqueries(contentsOf(target, false));
	}

	#with(clause: WithClause | undefined): void {
		for (const one of clause?.ctes ?? []) {
			const query = as(one, 'CommonTableExpr')?.ctequery;
			if (query !== undefined) this.#statement(query, false);
		}
	}

	/** `outermost`: its columns go to the client, and not into what is around it. */
	#select(select: SelectStmt, outermost: boolean): void {
		this.#with(select.withClause);
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
		this.#clauses(conflict?.whereClause);
	}

	#update(update: UpdateStmt): void {
		for (const target of update.targetList ?? []) this.#assigned(as(target, 'ResTarget')?.name, target);
		this.#clauses(update.fromClause, update.whereClause);
	}

	#merge(merge: MergeStmt): void {
		this.#clauses(merge.sourceRelation, merge.joinCondition);
		for (const one of merge.mergeWhenClauses ?? []) {
			const { condition, targetList = [], values = [] } = as(one, 'MergeWhenClause') ?? {};
			this.#clauses(condition);
			for (const [index, target] of targetList.entries())
				this.#assigned(as(target, 'ResTarget')?.name, values[index] ?? target);
		}
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
		const derived = as(node, 'RangeSubselect')?.subquery;
		if (conditions !== undefined) this.#clauses(conditions);
		else if (derived !== undefined) this.#statement(derived, false);
		else if (join !== undefined) this.#clauses(join.larg, join.rarg, join.quals);
		else this.#island(node);
	}

	/** Values in one expression meet each other, so all of its columns have to be plain. */
	#island(node: Node): void {
		const contents = contentsOf(node, false);
		this.#subqueries(contents);
		if (contents.subqueries.length > 0 || !this.#isPlainValue(contents)) return;
		for (const { place } of contents.parameters) this.#places.add(place);
	}

	#isPlainValue({ columns, bare, functions }: Contents): boolean {
		return (
			columns.every((name) => name !== null && this.#isPlain(name)) &&
			bare.every((name) => !this.#ranges.has(name)) &&
			functions.every((name) => !this.#routines.has(name))
		);
	}

	#subqueries({ subqueries }: Contents): void {
		for (const select of subqueries) this.#select(select, false);
	}

	/** Some relation of the statement has such a column, derived ones included, and none has a protected one of that name. */
	#isPlain(column: string): boolean {
		if (this.#tainted.has(column)) return false;
		const found = (this.#protections ?? []).flatMap((protection) => protection.byName.get(column) ?? []);
		return (found.length > 0 || this.#clean.has(column)) && found.every(({ state }) => state === 'plain');
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
