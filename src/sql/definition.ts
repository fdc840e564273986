/** CREATE of relations, schemas, types, routines and what hangs on them. */
import type { Node, RangeVar, SelectStmt } from '@pgsql/types';
import { checkSetting, literalOf } from './call.ts';
import type { Relation } from '../catalog/snapshot.ts';
import { columnType, madeColumn } from './casts.ts';
import { coerced } from './coercions.ts';
import { expression, truth } from './expression.ts';
import { harmlessIndex } from './harmless-alter.ts';
import { type Making, mayCreateRelation, mayInSchema, mayOnRelation, objectNames, schemaOf } from './may.ts';
import { displayRelation, effectivePath, isOwnTemporary, resolveType, stringsOf, UnknownObject } from './names.ts';
import { as, type NodeOf, tagOf } from './nodes.ts';
import { argumentNames, fieldWritten, mayMakeOperator, mayMakeRoutine, mayMakeType, routineMade } from './new-code.ts';
import { constrainedBy, indexedBy } from './operator-class.ts';
import { quoteIdentifier } from './quote.ts';
import { readRelation } from './read-relation.ts';
import { mayReplaceRoutine, mayReplaceView } from './replacing.ts';
import { checkRoutine } from './routines.ts';
import { execute } from './session-statements.ts';
import { columnsUnknown, madeScope, newScope, rowScope, type Scope } from './scope.ts';
import { select } from './select.ts';
import { type MadeColumn, noteMade, noteMadeBeside, noteMadeIndex } from './made.ts';
import { tableLike } from './table-like.ts';
import { denied, refuse, type Walk } from './walk.ts';

export function createTable(walk: Walk, node: NodeOf<'CreateStmt'>): void {
	const making = mayCreateRelation(walk, node.relation);
	const columns: MadeColumn[] = [];
	const parents: Relation[] = [];
	for (const parent of node.inhRelations ?? []) {
		const range = as(parent, 'RangeVar');
		if (range === undefined) continue;
		const relation = mayOnRelation(walk, range, 'alter', true);
		parents.push(relation);
		columns.push(...columnsOf(walk, relation, range.location));
	}
	columns.push(...typedColumns(walk, node.ofTypename));
	const own = (node.tableElts ?? []).map((element) => elementColumns(walk, element));
	columns.push(...own.flat());
	const scope = columnsScope(making, columns);
	for (const [i, element] of (node.tableElts ?? []).entries())
		elementExpressions(walk, element, own[i]?.[0]?.type ?? null, scope, making);
	const types = columns.map(({ type }) => type);
	// A foreign key to the table itself compares columns of it.
	if (node.tableElts?.some((element) => hasForeignKey(element, making.name)) === true) {
		for (const type of types) coerced(walk, { type: null }, { type, assignment: false, location: undefined });
	}
	for (const element of node.tableElts ?? []) constrainedBy(walk, as(element, 'Constraint') ?? {}, types, scope);
	for (const param of node.partspec?.partParams ?? []) {
		const element = as(param, 'PartitionElem');
		const { type } = expression(element?.expr, { walk, scope, place: 'output', writing: false });
		const key = element?.expr === undefined ? columns.find(({ name }) => name === element?.name)?.type : type;
		indexedBy(walk, element?.opclass, typeof key === 'number' ? [key] : null);
	}
	boundExpressions(walk, node.partbound, parents);
	noteMade(walk, making, 'table', columns);
	noteMadeBeside(walk, making, node.tableElts ?? []);
	walk.effects.push({ type: 'ddl' });
}

/** Columns that come from another relation. */
function columnsOf(walk: Walk, relation: Relation, location: number | undefined): readonly MadeColumn[] {
	return relation.columns.map(({ name, typeOid }) => {
		madeColumn(walk, typeOid, location);
		return { name, type: typeOid };
	});
}

/** CREATE TABLE ... OF type: the fields of the type. */
function typedColumns(walk: Walk, typeName: NodeOf<'TypeName'> | undefined): readonly MadeColumn[] {
	if (typeName === undefined) return [];
	const relation = walk.context.catalog.relationByOid(resolveType(walk, typeName)?.relation ?? 0);
	if (relation === undefined) throw refuse(walk, 'CREATE TABLE OF a type that the gateway does not know');
	return columnsOf(walk, relation, typeName.location);
}

/** FOR VALUES of a partition: constants, or expressions of constants, cast to the types of its key. `of`: what it is a partition of. */
export function boundExpressions(
	walk: Walk,
	bound: NodeOf<'PartitionBoundSpec'> | undefined,
	of: readonly Relation[],
): void {
	const types = of.flatMap(({ columns }) => columns.map(({ typeOid }) => typeOid));
	const around = { walk, scope: newScope(null), place: 'output', writing: false } as const;
	for (const datum of [...(bound?.listdatums ?? []), ...(bound?.lowerdatums ?? []), ...(bound?.upperdatums ?? [])]) {
		// MINVALUE and MAXVALUE come as column references.
		if ('ColumnRef' in datum || 'PartitionRangeDatum' in datum) continue;
		const info = expression(datum, around);
		for (const type of types) coerced(walk, info, { type, assignment: true, location: undefined });
	}
}

/** What ALTER TABLE adds: a column, or a constraint. `scope`: what its expressions see. */
export function tableElement(walk: Walk, node: Node, scope: Scope): void {
	const [column] = elementColumns(walk, node);
	elementExpressions(walk, node, column?.type ?? null, scope);
}

/** The columns that a column, constraint or LIKE clause of CREATE TABLE makes. */
function elementColumns(walk: Walk, node: Node): readonly MadeColumn[] {
	const column = as(node, 'ColumnDef');
	const like = as(node, 'TableLikeClause');
	if (like !== undefined) return tableLike(walk, like);
	// A partition's column, or that of a table of a type, may go without one.
	if (column?.typeName === undefined) return [];
	return [{ name: column.colname ?? '', type: columnType(walk, column.typeName, column.location)?.oid ?? null }];
}

/** Default, computation and constraints. `type`: of the column that they stand at. */
function elementExpressions(walk: Walk, node: Node, type: number | null, scope: Scope, making?: Making): void {
	const column = as(node, 'ColumnDef');
	const constraint = as(node, 'Constraint');
	if (column !== undefined) {
		stored(walk, column.raw_default, type, scope);
		for (const entry of column.constraints ?? []) {
			constraintOf(walk, as(entry, 'Constraint') ?? {}, type, scope, making);
			constrainedBy(walk, as(entry, 'Constraint') ?? {}, [type], scope);
		}
	} else if (constraint !== undefined) constraintOf(walk, constraint, null, scope, making);
	else if (!('TableLikeClause' in node)) throw refuse(walk, `a table element of kind ${tagOf(node)}`);
}

/** The columns of a table that is being made; one that comes from several places has the type that all of them agree on. */
function columnsScope(making: Making, columns: readonly MadeColumn[]): Scope {
	const types = new Map<string, number | null>();
	for (const { name, type } of columns) {
		const before = types.get(name);
		types.set(name, before === undefined || before === type ? type : null);
	}
	return madeScope(
		making,
		[...types].map(([name, type]) => ({ name, type })),
	);
}

/** A default, or what is computed in its place: cast to the type of its column, each time that a row is stored. */
export function stored(walk: Walk, node: Node | undefined, type: number | null, scope: Scope): void {
	if (node === undefined) return;
	const info = expression(node, { walk, scope, place: 'output', writing: false });
	coerced(walk, info, { type, assignment: true, location: undefined });
}

/** `type`: of the column that it stands at. */
function constraintOf(
	walk: Walk,
	constraint: NodeOf<'Constraint'>,
	type: number | null,
	scope: Scope,
	making?: Making,
): void {
	const around = { walk, scope, place: 'output', writing: false } as const;
	if (constraint.contype === 'CONSTR_CHECK') truth(constraint.raw_expr, around);
	else stored(walk, constraint.raw_expr, type, scope);
	if (constraint.where_clause !== undefined) truth(constraint.where_clause, around);
	for (const exclusion of constraint.exclusions ?? []) {
		const element = as(as(exclusion, 'List')?.items?.[0], 'IndexElem');
		expression(element?.expr, around);
	}
	if (constraint.pktable === undefined) return;
	if (making !== undefined && refersToItself(walk, constraint.pktable, making)) return;
	// A foreign key answers whether a row is there: only for those who may see all rows of it.
	const item = readRelation(walk, constraint.pktable, null);
	if (walk.reads.has(item)) throw refuse(walk, 'a foreign key to a protected relation', constraint.pktable.location);
	// Columns of two types are compared by a cast.
	for (const { type } of item.columns ?? [])
		coerced(walk, { type: null }, { type, assignment: false, location: undefined });
}

function hasForeignKey(element: Node, to: string): boolean {
	const constraints = [element, ...(as(element, 'ColumnDef')?.constraints ?? [])];
	return constraints.some((constraint) => as(constraint, 'Constraint')?.pktable?.relname === to);
}

/** REFERENCES the table that is being made, and is not there yet; nothing is in it that could be told of. The schema is written. */
function refersToItself(walk: Walk, range: RangeVar, making: Making): boolean {
	const { catalog, access, tempSchema, searchPath } = walk.context;
	if (range.relname !== making.name || range.catalogname !== undefined) return false;
	if (catalog.relation(making.schema, making.name) !== undefined) return false;
	if (!making.temporary && access.filtersOf(making.schema, making.name).filters.length > 0) return false;
	if (range.schemaname !== undefined)
		return range.schemaname === making.schema || (making.temporary && range.schemaname === 'pg_temp');
	// The temporary schema is searched first unless it is listed.
	if (making.temporary) return !searchPath.includes('pg_temp') && (tempSchema === null || tempSchema === making.schema);
	const first = effectivePath(walk.context, true).find(
		(schema) => schema === making.schema || catalog.relation(schema, making.name) !== undefined,
	);
	if (first !== making.schema) return false;
	walk.edits.insert(range.location ?? 0, `${quoteIdentifier(making.schema)}.`);
	return true;
}

export function createTableAs(walk: Walk, node: NodeOf<'CreateTableAsStmt'>): void {
	const making = mayCreateRelation(walk, node.into?.rel);
	if (node.query === undefined) throw refuse(walk, 'CREATE TABLE AS without a query');
	// What was prepared was decided then, and is asked for again before it runs.
	if ('ExecuteStmt' in node.query) execute(walk, node.query.ExecuteStmt);
	else madeOf(walk, making, walk.query(walk, node.query, null, 'output'), node.into?.colNames);
	walk.effects.push({ type: 'ddl' });
}

/** A table of what a query gives. */
function madeOf(
	walk: Walk,
	making: Making,
	columns: readonly MadeColumn[] | null,
	aliases: readonly Node[] | undefined,
): void {
	const names = stringsOf(aliases);
	for (const { type } of columns ?? []) madeColumn(walk, type, undefined);
	noteMade(walk, making, 'table', columns?.map(({ name, type }, i) => ({ name: names[i] ?? name, type })) ?? null);
}

/** What SELECT INTO makes; of a set operation the first part says it. */
export function intoOf(node: SelectStmt): RangeVar | undefined {
	return firstPart(node).at(-1)?.intoClause?.rel;
}

/** The statement and the first parts of its set operations, down to the one that is none. */
function firstPart(node: SelectStmt): readonly SelectStmt[] {
	const parts = [node];
	for (let part = node.larg; part !== undefined; part = part.larg) parts.push(part);
	return parts;
}

/** SELECT INTO: as CREATE TABLE AS. */
export function selectInto(walk: Walk, node: SelectStmt, into: RangeVar): void {
	const making = mayCreateRelation(walk, into);
	const query = firstPart(node).reduceRight<SelectStmt | undefined>((larg, part) => {
		const { intoClause: _into, ...rest } = part;
		return larg === undefined ? rest : { ...rest, larg };
	}, undefined);
	madeOf(walk, making, select(walk, query ?? node, null, 'output'), undefined);
	walk.effects.push({ type: 'ddl' });
}

/** The rewritten query becomes the definition, so the view shows its maker's rows; who reads it is masked once more. */
export function createView(walk: Walk, node: NodeOf<'ViewStmt'>): void {
	if (node.query === undefined) throw refuse(walk, 'CREATE VIEW without a query');
	const columns = walk.query(walk, node.query, null, 'output');
	const making = mayCreateRelation(walk, viewName(walk, node.view));
	if (node.replace === true) mayReplaceView(walk, making);
	const names = stringsOf(node.aliases);
	noteMade(walk, making, 'view', columns?.map(({ name, type }, i) => ({ name: names[i] ?? name, type })) ?? null);
	if (walk.masks) walk.made.push(...walk.made.splice(0).map((view) => ({ ...view, madeOverProtected: true })));
	walk.effects.push({ type: 'ddl' });
}

/** A view over something temporary is temporary itself, which the server notes, whatever it is called. */
function viewName(walk: Walk, range: RangeVar | undefined): RangeVar | undefined {
	const { tempSchema } = walk.context;
	const temporary = [...walk.uses.values()].some(({ kind, schema }) => kind === 'relation' && schema === tempSchema);
	return temporary && range?.schemaname === undefined ? { ...range, relpersistence: 't' } : range;
}

export function createIndex(walk: Walk, node: NodeOf<'IndexStmt'>): void {
	if (node.relation === undefined) throw refuse(walk, 'CREATE INDEX without a relation');
	const relation = mayOnRelation(walk, node.relation, 'alter', harmlessIndex(node));
	const isPlain = node.whereClause === undefined && (node.indexParams ?? []).every((param) => !isComputed(param));
	// What it stored is as it was: whatever is computed of that would fail by values that the policy keeps back.
	if (relation.kind === 'matview' && walk.masks && !isPlain)
		throw refuse(
			walk,
			`an index of an expression on ${displayRelation(relation)}, which reads what the policy protects,`,
		);
	const around = { walk, scope: rowScope(relation), place: 'output', writing: false } as const;
	for (const param of node.indexParams ?? []) {
		const element = as(param, 'IndexElem');
		const { type } = expression(element?.expr, around);
		const key =
			element?.expr === undefined ? relation.columns.find(({ name }) => name === element?.name)?.typeOid : type;
		indexedBy(walk, element?.opclass, typeof key === 'number' ? [key] : null);
	}
	if (node.whereClause !== undefined) truth(node.whereClause, around);
	noteMadeIndex(walk, relation, node.idxname ?? '');
	walk.effects.push({ type: 'ddl' });
}

/** Its expressions run when the table is analysed, on values as they are. */
export function createStatistics(walk: Walk, node: NodeOf<'CreateStatsStmt'>): void {
	const range = as(node.relations?.[0], 'RangeVar');
	if (range === undefined || node.relations?.length !== 1) throw refuse(walk, 'CREATE STATISTICS of this kind');
	const relation = mayOnRelation(walk, range, 'alter', true);
	// Without a name of their own they are made beside the table.
	if (node.defnames !== undefined) mayInSchema(walk, schemaOf(walk, node.defnames), 'create', 'CREATE STATISTICS');
	const around = { walk, scope: rowScope(relation), place: 'output', writing: false } as const;
	for (const entry of node.exprs ?? []) expression(as(entry, 'StatsElem')?.expr, around);
}

function isComputed(param: Node): boolean {
	return as(param, 'IndexElem')?.expr !== undefined;
}

export function createSequence(walk: Walk, node: NodeOf<'CreateSeqStmt'>): void {
	noteMade(walk, mayCreateRelation(walk, node.sequence), 'sequence', []);
	walk.effects.push({ type: 'ddl' });
}

/** The body is not analysed: to call it takes `execute`. What it sets for itself is as good as SET. */
export function createFunction(walk: Walk, node: NodeOf<'CreateFunctionStmt'>): void {
	mayInSchema(
		walk,
		schemaOf(walk, node.funcname),
		'create',
		node.is_procedure === true ? 'CREATE PROCEDURE' : 'CREATE FUNCTION',
	);
	const name = { schema: schemaOf(walk, node.funcname), name: stringsOf(node.funcname).at(-1) ?? '' };
	const action = node.is_procedure === true ? 'call' : 'execute';
	const args = argumentNames(walk, node.parameters);
	const routine = { ...name, args, action, field: fieldWritten(walk, node.parameters) } as const;
	mayMakeRoutine(walk, routine);
	if (node.replace === true) mayReplaceRoutine(walk, routine);
	walk.madeRoutines.push(...routineMade(walk, routine, node));
	for (const option of node.options ?? []) functionOption(walk, option);
	for (const parameter of node.parameters ?? []) {
		expression(as(parameter, 'FunctionParameter')?.defexpr, {
			walk,
			scope: columnsUnknown(),
			place: 'output',
			writing: false,
		});
	}
	walk.effects.push({ type: 'ddl' });
}

export function functionOption(walk: Walk, node: Node): void {
	const option = as(node, 'DefElem');
	const set = as(option?.arg, 'VariableSetStmt');
	if (option?.defname !== 'set' || set === undefined) return;
	const values = (set.args ?? []).map(literalOf);
	checkSetting(
		walk,
		(set.name ?? '').toLowerCase(),
		values.includes(undefined) ? undefined : values.join(', '),
		undefined,
	);
}

export function createTrigger(walk: Walk, node: NodeOf<'CreateTrigStmt'>): void {
	if (node.relation === undefined) throw refuse(walk, 'CREATE TRIGGER without a relation');
	const relation = mayOnRelation(walk, node.relation, 'alter', true);
	routineNamed(walk, stringsOf(node.funcname));
	mayGather(walk, relation, node);
	const around = { walk, scope: columnsUnknown(), place: 'output', writing: false } as const;
	if (node.whenClause !== undefined) truth(node.whenClause, around);
	walk.effects.push({ type: 'ddl' });
}

/** The server's own trigger that writes the words of some columns into another: no more into one that may be read than may be read of them. */
function mayGather(walk: Walk, relation: Relation, node: NodeOf<'CreateTrigStmt'>): void {
	if (stringsOf(node.funcname).at(-1)?.startsWith('tsvector_update_trigger') !== true) return;
	const { access } = walk.context;
	const [into, , ...from] = stringsOf(node.args);
	if (into === undefined || !access.readColumn(relation.schema, relation.name, into).allowed) return;
	for (const name of from) {
		const answer = access.readColumn(relation.schema, relation.name, name);
		const display = `${displayRelation(relation)}.${name}`;
		if (!answer.allowed && !isOwnTemporary(walk, relation))
			throw denied(walk, `column ${display}`, answer, 'select', `${access.database}.${display}`);
	}
}

/** Types, domains, aggregates, operators, text search objects, collations: named in a schema. */
export function createNamed(walk: Walk, names: readonly Node[] | undefined, what: string): void {
	mayInSchema(walk, schemaOf(walk, names), 'create', what);
	if (what === 'CREATE TYPE' || what === 'CREATE DOMAIN') mayMakeType(walk, stringsOf(names).at(-1) ?? '');
	walk.effects.push({ type: 'ddl' });
}

/** Options of CREATE AGGREGATE, OPERATOR, TYPE and TEXT SEARCH ... that name a routine. */
const ROUTINE_OPTIONS: ReadonlySet<string> = new Set([
	...[
		'function',
		'procedure',
		'sfunc',
		'sfunc1',
		'finalfunc',
		'combinefunc',
		'serialfunc',
		'deserialfunc',
		'msfunc',
		'minvfunc',
		'mfinalfunc',
	],
	...['restrict', 'join', 'input', 'output', 'receive', 'send', 'typmod_in', 'typmod_out', 'analyze', 'subscript'],
	...['canonical', 'subtype_diff', 'start', 'gettoken', 'end', 'headline', 'lextypes', 'init', 'lexize'],
]);

/** What is made will call these routines for whoever uses it: its maker needs `execute` on each that may be meant. */
export function routinesOf(walk: Walk, definition: readonly Node[] | undefined): void {
	for (const node of definition ?? []) {
		const option = as(node, 'DefElem');
		if (option?.arg === undefined) continue;
		const word = (option.defname ?? '').toLowerCase();
		if (ROUTINE_OPTIONS.has(word)) routineNamed(walk, objectNames(option.arg));
		else if (OPERATOR_OPTIONS.has(word)) operatorNamed(walk, objectNames(option.arg), definition ?? []);
	}
}

/** Options of CREATE OPERATOR and AGGREGATE that name an operator which the planner may take in place of what is made. */
const OPERATOR_OPTIONS: ReadonlySet<string> = new Set(['commutator', 'negator', 'sortop']);

/** Every operator of that name: its function may run, and where its types are those of the new one it is changed to name that in turn. */
function operatorNamed(walk: Walk, names: readonly string[], definition: readonly Node[]): void {
	const { catalog } = walk.context;
	const types = ['leftarg', 'rightarg'].map((side) => {
		const option = definition.map((node) => as(node, 'DefElem')).find((entry) => entry?.defname === side);
		return resolveType(walk, as(option?.arg, 'TypeName'))?.oid;
	});
	for (const operator of catalog.operatorsNamed(names.at(-1) ?? '')) {
		if (names.length > 1 && operator.schema !== names.at(-2)) continue;
		const routine = catalog.routineByOid(operator.routine);
		if (routine !== undefined && !routine.builtin) checkRoutine(walk, routine, 'execute', undefined);
		const isChanged = types.includes(operator.left) && types.includes(operator.right);
		if (isChanged) mayInSchema(walk, operator.schema, 'alter', 'naming a commutator or negator');
	}
}

/** CREATE AGGREGATE, OPERATOR, TYPE, COLLATION and TEXT SEARCH ... */
export function define(walk: Walk, node: NodeOf<'DefineStmt'>): void {
	routinesOf(walk, node.definition);
	const name = stringsOf(node.defnames).at(-1) ?? '';
	const options = (node.definition ?? []).map((option) => as(option, 'DefElem'));
	const typesOf = (...words: readonly string[]) =>
		options.filter((option) => words.includes(option?.defname ?? '')).map((option) => as(option?.arg, 'TypeName'));
	if (node.kind === 'OBJECT_AGGREGATE') {
		// The old way to write it has the type of its argument among the options.
		const [ofOld] = typesOf('basetype');
		const written = as(node.args?.[0], 'List')?.items ?? [];
		const parameters = ofOld === undefined ? written : [{ FunctionParameter: { argType: ofOld } }];
		const args = argumentNames(walk, parameters);
		const field = fieldWritten(walk, parameters);
		const made = { schema: schemaOf(walk, node.defnames), name, args, action: 'execute', field } as const;
		mayMakeRoutine(walk, made);
		if (node.replace === true) mayReplaceRoutine(walk, made);
	} else if (node.kind === 'OBJECT_OPERATOR') mayMakeOperator(walk, name, typesOf('leftarg', 'rightarg'));
	createNamed(walk, node.defnames, node.kind === 'OBJECT_TYPE' ? 'CREATE TYPE' : 'CREATE');
}

/** Every routine of that name, whatever its arguments. */
export function routineNamed(walk: Walk, names: readonly string[]): void {
	const { catalog } = walk.context;
	const found = catalog
		.routinesNamed(names.at(-1) ?? '')
		.filter((routine) => names.length < 2 || routine.schema === names.at(-2));
	if (found.length === 0 && names.length > 0)
		throw new UnknownObject('42883', `function ${names.join('.')} does not exist`, {}, [], names.at(-1));
	for (const routine of found) checkRoutine(walk, routine, 'execute', undefined);
}

export function createDomain(walk: Walk, node: NodeOf<'CreateDomainStmt'>): void {
	// Without a default of its own it takes that of what it is over.
	const type = node.typeName === undefined ? null : (columnType(walk, node.typeName, undefined)?.oid ?? null);
	for (const constraint of node.constraints ?? [])
		constraintOf(walk, as(constraint, 'Constraint') ?? {}, type, columnsUnknown());
	createNamed(walk, node.domainname, 'CREATE DOMAIN');
}
