/** The relation under a view that the server writes through by itself, and which of its columns the view's are. */
import type { RangeVar, SelectStmt } from '@pgsql/types';
import type { Relation } from '../catalog/snapshot.ts';
import { answerOf, type Deed, deniedThere, refuseByKin } from './kin.ts';
import { displayRelation, stringsOf } from './names.ts';
import { as } from './nodes.ts';
import { defaultSqlLimits, parse } from './parse.ts';
import { protectionOf } from './protection.ts';
import { guarded, isSystem } from './read-relation.ts';
import { isKeyword, type SourceText } from './source.ts';
import { addRules, noteUse, refuse, type Walk } from './walk.ts';

/** The one relation in FROM of a view. */
export interface ViewBase {
	readonly relation: Relation;
	/** Rows of children are left alone (FROM ONLY), whatever a statement on the view says. */
	readonly only: boolean;
	/** The base's columns by the view's, where these are nothing more. */
	readonly columns: ReadonlyMap<string, string>;
	/** The base's columns by the names that the definition has for them. */
	readonly names: ReadonlyMap<string, string>;
	readonly query: SelectStmt;
	/** The name that its row has in the definition. */
	readonly alias: string;
	/** SQL of the view's column as the definition has it; undefined where that can't be told. */
	readonly expression: (at: number) => string | undefined;
}

/** Undefined where the view reads no relation or several; the server may still refuse to write through one that it gives. */
export function viewBase(walk: Walk, view: Relation): ViewBase | undefined {
	const definition = view.kind === 'view' ? definitionOf(view) : undefined;
	const query = definition?.query;
	// With a WITH clause the server writes through none, and the name in FROM may be the clause's.
	if (
		definition === undefined ||
		query === undefined ||
		query.withClause !== undefined ||
		query.fromClause?.length !== 1
	)
		return undefined;
	const range = as(query.fromClause[0], 'RangeVar');
	const relation = range === undefined ? undefined : named(walk, range);
	if (range === undefined || relation === undefined) return undefined;
	const aliases = stringsOf(range.alias?.colnames);
	const names = new Map(relation.columns.map(({ name }, at) => [aliases[at] ?? name, name]));
	const columns = new Map<string, string>();
	for (const [at, target] of (query.targetList ?? []).entries()) {
		const field = as(as(as(target, 'ResTarget')?.val, 'ColumnRef')?.fields?.at(-1), 'String')?.sval;
		const own = field === undefined ? undefined : names.get(field);
		const column = view.columns[at];
		if (own !== undefined && column !== undefined) columns.set(column.name, own);
	}
	const alias = range.alias?.aliasname ?? relation.name;
	return { relation, only: range.inh !== true, columns, names, query, alias, expression: expressionOf(definition) };
}

interface Definition {
	readonly query: SelectStmt;
	readonly source: SourceText;
}

/** Kept as long as the snapshot's relation lives, which is replaced and never changed. */
const definitions = new WeakMap<Relation, Definition | null>();

function definitionOf(view: Relation): Definition | undefined {
	let definition = definitions.get(view);
	if (definition === undefined) {
		const parsed = parse(view.definition ?? '', { ...defaultSqlLimits, statementsMax: 1 });
		const query = as(parsed.statements[0]?.node, 'SelectStmt');
		definitions.set(view, (definition = query === undefined ? null : { query, source: parsed.source }));
	}
	return definition ?? undefined;
}

/** The server prints `expression AS name` for what is no plain column. */
function expressionOf({ query, source }: Definition): ViewBase['expression'] {
	return (at) => {
		const { location } = as(query.targetList?.[at], 'ResTarget') ?? {};
		if (location === undefined) return undefined;
		const { tokens } = source;
		const first = source.tokenAt(location);
		let depth = 0;
		for (let i = first; i < tokens.length; i += 1) {
			const token = tokens[i];
			if (depth === 0 && (token?.text === ',' || isKeyword(token, 'from'))) {
				const [last, word] = [tokens[i - 3], tokens[i - 2]];
				return last !== undefined && i - 3 >= first && isKeyword(word, 'as')
					? source.slice(location, last.end)
					: undefined;
			}
			if (token?.text === '(' || token?.text === '[') depth += 1;
			else if (token?.text === ')' || token?.text === ']') depth -= 1;
		}
		return undefined;
	};
}

/** Definitions are printed under an empty search_path: a name without schema is the session's own relation or one of pg_catalog's. */
function named(
	{ context: { catalog, tempSchema } }: Walk,
	{ schemaname, relname = '' }: RangeVar,
): Relation | undefined {
	if (schemaname !== undefined) return catalog.relation(schemaname, relname);
	const own = tempSchema === null ? undefined : catalog.relation(tempSchema, relname);
	return own ?? catalog.relation('pg_catalog', relname);
}

/**
 * A write to a view is one to its table. A rule that names the view is its author's word for that; a wildcard, or the session's
 * own view, is not, so the table is asked for as well. What a rule denies for the table is denied either way.
 */
export function requireBase(walk: Walk, view: Relation, isNamed: boolean, deed: Deed): void {
	const base = viewBase(walk, view);
	if (base !== undefined) noteRow(walk, base);
	// What its own triggers and rules do is their author's choice.
	if (isNamed && view.instead?.some((action) => action === deed.action) === true) return;
	if (base === undefined) return;
	const { relation, only } = base;
	if (isSystem(relation.schema))
		throw refuse(walk, `writing to the system catalogue ${displayRelation(relation)}`, deed.location);
	const column = deed.column === undefined ? undefined : base.columns.get(deed.column);
	if (deed.column !== undefined && column === undefined) return;
	const there: Deed = { ...deed, only, ...(column === undefined ? {} : { column }) };
	const own = relation.schema === walk.context.tempSchema;
	const answer = own ? undefined : answerOf(walk.context.access, relation, deed.action, column);
	if (answer !== undefined) {
		addRules(noteUse(walk, 'relation', relation.schema, relation.name, deed.action), answer.rules);
		const allowed = isNamed || answer.allowed || mayColumn(walk, relation, there);
		if (answer.denied || !allowed) throw deniedThere(walk, relation, answer, there);
		refuseByKin(walk, relation, there);
	}
	if (relation.kind === 'view') requireBase(walk, relation, isNamed || answer?.named === true, there);
}

/** An error quotes the whole row of the table, also what the view does not show of it and no rule lets be read. */
function noteRow(walk: Walk, { relation, only }: ViewBase): void {
	const { catalog, access } = walk.context;
	if (walk.touchesProtected || relation.temporary || isSystem(relation.schema)) return;
	walk.touchesProtected = !guarded(walk, relation, () => protectionOf(catalog, access, relation, only)).none;
}

/** Some of its columns may be written: which ones the statement writes is asked one by one. */
function mayColumn(
	{ context: { access } }: Walk,
	{ schema, name, columns }: Relation,
	{ action, column }: Deed,
): boolean {
	if (column !== undefined || action === 'delete') return false;
	return columns.some((one) => access.onColumn(schema, name, one.name, action).allowed);
}
