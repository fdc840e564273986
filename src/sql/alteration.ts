/** ALTER, DROP, RENAME, COMMENT and GRANT. */
import type { AlterTableCmd, ColumnRef, Node } from '@pgsql/types';
import type { Relation } from '../catalog/snapshot.ts';
import { coerced } from './coercions.ts';
import { boundExpressions, functionOption, stored, tableElement } from './definition.ts';
import { expression } from './expression.ts';
import {
	mayInSchema,
	mayOnDatabase,
	mayOnFound,
	mayOnName,
	mayOnRelation,
	objectNames,
	relationNamed,
	schemaOf,
} from './may.ts';
import { mayLoseRoutines, mayMakeOperator, mayMakeType } from './new-code.ts';
import { displayRelation, effectivePath, isOwnTemporary, resolveType, stringsOf } from './names.ts';
import { as, type NodeOf } from './nodes.ts';
import { constrainedBy, indexedBy } from './operator-class.ts';
import { harmlessAlter } from './harmless-alter.ts';
import { mayAlterIfThere } from './if-exists.ts';
import { related } from './kin.ts';
import { ObjectPlaces, writeSchemaAt } from './object-places.ts';
import { isSystem, noteTypes } from './read-relation.ts';
import { mayBecomeChild, mayRenameRoutines, mayRenameSchema, renameColumn, renameRelation } from './renaming.ts';
import { noteMadeBeside } from './made.ts';
import { requireSelf } from './owner.ts';
import { displayIdentifier } from './quote.ts';
import { columnsUnknown, rowScope, type Scope } from './scope.ts';
import { typeless } from './session-names.ts';
import { denied, refuse, type Walk } from './walk.ts';

const RELATION_KINDS: ReadonlySet<string> = new Set([
	'OBJECT_TABLE',
	'OBJECT_VIEW',
	'OBJECT_MATVIEW',
	'OBJECT_SEQUENCE',
	'OBJECT_INDEX',
	'OBJECT_FOREIGN_TABLE',
]);

/** Kinds that hang on a relation: their name's last part is their own, what comes before is the relation's. */
const PARTS_OF_RELATION: ReadonlySet<string> = new Set([
	'OBJECT_TRIGGER',
	'OBJECT_RULE',
	'OBJECT_POLICY',
	'OBJECT_COLUMN',
	'OBJECT_TABCONSTRAINT',
]);

const SCHEMA_KINDS: ReadonlySet<string> = new Set([
	'OBJECT_TYPE',
	'OBJECT_DOMAIN',
	'OBJECT_FUNCTION',
	'OBJECT_PROCEDURE',
	'OBJECT_ROUTINE',
	'OBJECT_AGGREGATE',
	'OBJECT_OPERATOR',
	'OBJECT_COLLATION',
	'OBJECT_CONVERSION',
	'OBJECT_STATISTIC_EXT',
	'OBJECT_TSCONFIGURATION',
	'OBJECT_TSDICTIONARY',
	'OBJECT_TSPARSER',
	'OBJECT_TSTEMPLATE',
]);

const ROUTINE_KINDS: ReadonlySet<string> = new Set([
	'OBJECT_FUNCTION',
	'OBJECT_PROCEDURE',
	'OBJECT_ROUTINE',
	'OBJECT_AGGREGATE',
]);

const DATABASE_KINDS: ReadonlySet<string> = new Set([
	'OBJECT_SCHEMA',
	'OBJECT_EXTENSION',
	'OBJECT_CAST',
	'OBJECT_PUBLICATION',
]);

/** Subcommands that need more than `alter`, or that nothing can vouch for. */
const REFUSED_COMMANDS: ReadonlySet<string> = new Set([
	'AT_GenericOptions',
	'AT_AlterColumnGenericOptions',
	'AT_SetTableSpace',
]);

/** Subcommands that change no column. */
const TELLING: ReadonlySet<string> = new Set(['AT_AddConstraint', 'AT_DropConstraint', 'AT_ValidateConstraint']);

export function alterTable(walk: Walk, node: NodeOf<'AlterTableStmt'>): void {
	if (node.relation === undefined) throw refuse(walk, 'ALTER TABLE without a relation');
	const relation = mayAlterIfThere(walk, node.relation, node.missing_ok === true, harmlessAlter(node));
	const commands = (node.cmds ?? []).map((entry) => as(entry, 'AlterTableCmd'));
	// Its values may be cast by what reads columns that are not told apart.
	if (relation !== undefined) noteTypes(walk, relation);
	// What else is done to it may give its columns other types.
	const isOnlyTold = commands.every((command) => TELLING.has(command?.subtype ?? ''));
	const scope = relation !== undefined && isOnlyTold ? rowScope(relation) : columnsUnknown();
	for (const command of commands) {
		const subtype = command?.subtype ?? '';
		if (command === undefined || REFUSED_COMMANDS.has(subtype)) throw refuse(walk, `ALTER TABLE of kind ${subtype}`);
		if (subtype === 'AT_ChangeOwner') requireSelf(walk, command.newowner, 'OWNER TO');
		const type = relation?.columns.find(({ name }) => name === command.name)?.typeOid ?? null;
		if (subtype === 'AT_ColumnDefault' || subtype === 'AT_SetExpression') stored(walk, command.def, type, scope);
		else alterDefinition(walk, relation, command, scope);
		if (relation !== undefined) mayCompute(walk, relation, command);
		if (relation !== undefined && command.def !== undefined) noteMadeBeside(walk, relation, [command.def]);
		const column = subtype === 'AT_AlterColumnType' ? as(command.def, 'ColumnDef') : undefined;
		// An index on the column is made anew.
		const next = column === undefined ? undefined : resolveType(walk, column.typeName)?.oid;
		if (next !== undefined) indexedBy(walk, undefined, [next]);
		// Without USING the values that there are, are cast.
		if (column !== undefined && column.raw_default === undefined) {
			const wanted = { type: resolveType(walk, column.typeName)?.oid ?? null, assignment: true, location: undefined };
			coerced(walk, { type }, wanted);
		}
	}
	if (relation !== undefined) noteRetyped(walk, relation, commands);
	walk.effects.push({ type: 'ddl' });
}

/** Subcommands after which a column of that name is of another type, or another column may get its name. */
const RETYPING: ReadonlySet<string> = new Set(['AT_AlterColumnType', 'AT_DropColumn']);

/** For the rest of the text; partitions and children are altered with it. */
function noteRetyped(walk: Walk, relation: Relation, commands: readonly (NodeOf<'AlterTableCmd'> | undefined)[]): void {
	const columns = commands.flatMap((command) => (RETYPING.has(command?.subtype ?? '') ? [command?.name ?? ''] : []));
	if (columns.length === 0) return;
	const names = new Set(columns);
	for (const one of [relation, ...related(walk.context.catalog, relation, 'children')])
		walk.made.push(typeless(one, names));
}

function alterDefinition(
	walk: Walk,
	relation: Relation | undefined,
	{ def: node, subtype }: AlterTableCmd,
	scope: Scope,
): void {
	if (
		node === undefined ||
		'DefElem' in node ||
		'List' in node ||
		'ReplicaIdentityStmt' in node ||
		'ATAlterConstraint' in node
	)
		return;
	if ('ColumnDef' in node || 'Constraint' in node) {
		tableElement(walk, node, scope);
		constrainedBy(walk, as(node, 'Constraint') ?? {}, relation?.columns.map(({ typeOid }) => typeOid) ?? [], scope);
		return;
	}
	const partition = as(node, 'PartitionCmd');
	if (partition !== undefined) {
		if (partition.name !== undefined) {
			const child = mayOnRelation(walk, partition.name, 'alter', true);
			if (relation !== undefined && partition.bound !== undefined) mayBecomeChild(walk, child, relation);
		}
		boundExpressions(walk, partition.bound, relation === undefined ? [] : [relation]);
		return;
	}
	const parent = as(node, 'RangeVar');
	if (parent !== undefined) {
		const found = mayOnRelation(walk, parent, 'alter', true);
		if (relation !== undefined && subtype !== 'AT_DropInherit') mayBecomeChild(walk, relation, found);
		return;
	}
	if ('String' in node || 'Integer' in node || 'TypeName' in node) return;
	expression(node, { walk, scope: columnsUnknown(), place: 'output', writing: false });
}

/** Throws where what one may read would come to be computed from what no rule lets one read: it would show that. */
function mayCompute(walk: Walk, relation: Relation, { subtype, name, def }: AlterTableCmd): void {
	const { access } = walk.context;
	const column = as(def, 'ColumnDef');
	const written = subtype === 'AT_SetExpression' || subtype === 'AT_AlterColumnType' ? name : column?.colname;
	const computed = subtype === 'AT_SetExpression' ? def : (column?.raw_default ?? column?.constraints);
	if (written === undefined || computed === undefined || isOwnTemporary(walk, relation)) return;
	if (!access.readColumn(relation.schema, relation.name, written).allowed) return;
	for (const { fields, location } of columnRefs(computed)) {
		const last = fields?.at(-1);
		const read = stringsOf(fields).at(-1);
		const isRow = last !== undefined && ('A_Star' in last || read === relation.name);
		for (const { name: from } of relation.columns) {
			if (from === written || (!isRow && from !== read)) continue;
			const answer = access.readColumn(relation.schema, relation.name, from);
			const display = `${displayRelation(relation)}.${displayIdentifier(from)}`;
			if (!answer.allowed)
				throw denied(walk, `column ${display}`, answer, 'select', `${access.database}.${display}`, location);
		}
	}
}

function columnRefs(value: unknown): readonly ColumnRef[] {
	if (typeof value !== 'object' || value === null) return [];
	return Object.entries(value).flatMap(([tag, child]) =>
		tag === 'ColumnRef' ? [child as ColumnRef] : columnRefs(child),
	);
}

export function drop(walk: Walk, node: NodeOf<'DropStmt'>): void {
	const kind = node.removeType ?? '';
	const ifExists = node.missing_ok === true;
	const places = new ObjectPlaces(walk, kind, { verb: ['drop'], concurrently: node.concurrent === true, ifExists });
	for (const object of node.objects ?? []) {
		const relation = mayOnObject(walk, kind, object, { action: 'drop', unprotected: false, places, ifExists });
		if (ROUTINE_KINDS.has(kind)) {
			const names = objectNames(object);
			const schema = schemaFromNames(walk, names);
			const named = walk.context.catalog.routinesNamed(names.at(-1) ?? '');
			mayLoseRoutines(
				walk,
				named.filter((routine) => routine.schema === schema),
			);
		}
		if (relation !== undefined && RELATION_KINDS.has(kind)) walk.gone.push(relation);
		if (kind === 'OBJECT_SCHEMA' && isFollowed(walk)) walk.gone.push(...relationsIn(walk, objectNames(object)));
	}
	walk.effects.push({ type: 'ddl' }, { type: 'names-unknown' });
}

/** There is something after it in the text that may make a table of a name that the schema has. */
function isFollowed({ source, start }: Walk): boolean {
	return source.tokens.slice(source.tokenAt(start)).some(({ text }) => text === ';');
}

function relationsIn({ context: { catalog } }: Walk, [schema]: readonly string[]): readonly Relation[] {
	const found: Relation[] = [];
	for (const relation of catalog.relations())
		if (relation.schema === schema)
			found.push(...[catalog.relation(schema, relation.name)].filter((one) => one !== undefined));
	return found;
}

interface OnObject {
	readonly action: 'alter' | 'drop';
	readonly unprotected: boolean;
	/** Where the names of relations stand, so that their schemas can be written. */
	readonly places?: ObjectPlaces;
	readonly ifExists?: boolean;
}

/** One object of DROP, COMMENT, RENAME or OWNER TO; gives the relation that it is or hangs on. An object that is not there is the server's to report. */
export function mayOnObject(walk: Walk, kind: string, object: Node | undefined, on: OnObject): Relation | undefined {
	const { action, unprotected, places } = on;
	const names = objectNames(object);
	if (RELATION_KINDS.has(kind) || PARTS_OF_RELATION.has(kind)) {
		const isRelation = RELATION_KINDS.has(kind);
		const own = isRelation ? names : names.slice(0, -1);
		const place = kind === 'OBJECT_COLUMN' ? places?.next(names.length) : places?.next(own.length, !isRelation);
		const relation = relationNamed(walk, own);
		if (relation !== undefined) {
			mayOnFound(walk, relation, isRelation ? action : 'alter', unprotected);
			if (own.length === 1) writeSchemaAt(walk, place, relation.schema, relation.name);
		} else mayOnAbsent(walk, own, place, { ...on, action: isRelation ? action : 'alter' });
		return relation;
	}
	if (SCHEMA_KINDS.has(kind)) {
		const place = places?.next(names.length);
		if (on.ifExists === true && isNowhere(walk, kind, names)) writeSchemaAt(walk, place, 'pg_temp', names[0] ?? '');
		else for (const schema of schemasMeant(walk, kind, names)) mayInSchema(walk, schema, action, action.toUpperCase());
	} else if (DATABASE_KINDS.has(kind)) mayOnDatabase(walk, action, action.toUpperCase());
	else throw refuse(walk, `${action.toUpperCase()} of this kind of object (${kind})`);
	return undefined;
}

/**
 * A relation that nobody knows. Where it need not be there, and no rule would let it be dropped, only one of the session's own
 * can be meant: the common `drop table if exists t; create temp table t ...`.
 */
function mayOnAbsent(walk: Walk, names: readonly string[], place: number | undefined, on: OnObject): void {
	const { action, ifExists } = on;
	const name = names.at(-1) ?? '';
	const given = names.length > 1 ? names.at(-2) : undefined;
	walk.doubt = true;
	walk.absent.push(
		...(given === undefined ? effectivePath(walk.context, false) : [given]).map((schema) => ({ schema, name })),
	);
	if (given === undefined) walk.absent.push({ schema: 'pg_temp', name });
	if (given === 'pg_temp' && ifExists === true) return;
	const schema = schemaFromNames(walk, names);
	const isOwn =
		given === undefined && ifExists === true && !walk.context.access.onRelation(schema, name, action).allowed;
	if (!isOwn) mayOnName(walk, schema, name, action);
	if (given === undefined) writeSchemaAt(walk, place, isOwn ? 'pg_temp' : schema, name);
}

/** A name without schema that nothing has: where no rule would let it be dropped, the server is led to where it finds nothing. */
function isNowhere(walk: Walk, kind: string, names: readonly string[]): boolean {
	const isHeld = ROUTINE_KINDS.has(kind) || kind === 'OBJECT_TYPE' || kind === 'OBJECT_DOMAIN';
	if (!isHeld || names.length > 1) return false;
	const { catalog, access } = walk.context;
	const name = names[0] ?? '';
	const isThere = effectivePath(walk.context, true).some(
		(schema) => catalog.type(schema, name) !== undefined || catalog.routines(schema, name).length > 0,
	);
	return !isThere && !access.onSchema(schemaFromNames(walk, names), 'drop').allowed;
}

/** Schemas of which one is meant by the name of what is no relation: all of search_path that have such an object. */
export function schemasMeant(walk: Walk, kind: string, names: readonly string[]): readonly string[] {
	const first = schemaFromNames(walk, names);
	if (names.length > 1) return [first];
	const { catalog } = walk.context;
	const name = names.at(-1) ?? '';
	const has = (schema: string): boolean => {
		if (ROUTINE_KINDS.has(kind)) return catalog.routines(schema, name).length > 0;
		if (kind === 'OBJECT_OPERATOR') return catalog.operators(schema, name).length > 0;
		if (kind === 'OBJECT_TYPE' || kind === 'OBJECT_DOMAIN') return catalog.type(schema, name) !== undefined;
		// The catalogue does not hold these.
		return true;
	};
	const path = effectivePath(walk.context, false).filter((schema) => !isSystem(schema) && has(schema));
	return [...new Set([first, ...path])];
}

function schemaFromNames(walk: Walk, names: readonly string[]): string {
	return schemaOf(
		walk,
		names.map((sval) => ({ String: { sval } })),
	);
}

export function comment(walk: Walk, node: NodeOf<'CommentStmt'>): void {
	const kind = node.objtype ?? '';
	if (kind === 'OBJECT_DOMCONSTRAINT') {
		// The domain and the constraint's name.
		const [domain] = as(node.object, 'List')?.items ?? [];
		mayOnObject(walk, 'OBJECT_DOMAIN', domain, { action: 'alter', unprotected: false });
		return;
	}
	const places = new ObjectPlaces(walk, kind, { verb: ['comment', 'on'] });
	mayOnObject(walk, kind, node.object, { action: 'alter', unprotected: false, places });
}

export function rename(walk: Walk, node: NodeOf<'RenameStmt'>): void {
	const kind = node.renameType === 'OBJECT_DOMCONSTRAINT' ? 'OBJECT_DOMAIN' : (node.renameType ?? '');
	const name = node.newname ?? '';
	if (node.relation !== undefined) {
		const relation = mayAlterIfThere(walk, node.relation, node.missing_ok === true);
		if (relation === undefined) return;
		if (RELATION_KINDS.has(kind)) renameRelation(walk, relation, { schema: relation.schema, name });
		else if (kind === 'OBJECT_COLUMN') renameColumn(walk, relation, node.subname ?? '', name);
	} else {
		mayOnObject(walk, kind, node.object, { action: 'alter', unprotected: true });
		if (ROUTINE_KINDS.has(kind)) mayRenameRoutines(walk, objectNames(node.object), { name });
		if (kind === 'OBJECT_SCHEMA') mayRenameSchema(walk, node.subname ?? '', name);
		if (node.renameType === 'OBJECT_TYPE' || node.renameType === 'OBJECT_DOMAIN') mayMakeType(walk, name);
	}
	walk.effects.push({ type: 'ddl' }, { type: 'names-unknown' });
}

export function moveToSchema(walk: Walk, node: NodeOf<'AlterObjectSchemaStmt'>): void {
	const kind = node.objectType ?? '';
	const schema = node.newschema ?? '';
	mayInSchema(walk, schema, 'create', 'SET SCHEMA');
	if (node.relation !== undefined) {
		const relation = mayAlterIfThere(walk, node.relation, node.missing_ok === true);
		if (relation === undefined) return;
		renameRelation(walk, relation, { schema, name: relation.name });
	} else {
		mayOnObject(walk, kind, node.object, { action: 'alter', unprotected: true });
		const names = objectNames(node.object);
		if (ROUTINE_KINDS.has(kind)) mayRenameRoutines(walk, names, { schema });
		if (kind === 'OBJECT_TYPE' || kind === 'OBJECT_DOMAIN') mayMakeType(walk, names.at(-1) ?? '');
		const types = as(node.object, 'ObjectWithArgs')?.objargs?.map((type) => as(type, 'TypeName'));
		if (kind === 'OBJECT_OPERATOR') mayMakeOperator(walk, names.at(-1) ?? '', types ?? []);
	}
	walk.effects.push({ type: 'ddl' }, { type: 'names-unknown' });
}

export function alterSequence(walk: Walk, node: NodeOf<'AlterSeqStmt'>): void {
	if (node.sequence === undefined) throw refuse(walk, 'ALTER SEQUENCE without a sequence');
	mayAlterIfThere(walk, node.sequence, node.missing_ok === true);
	walk.effects.push({ type: 'ddl' });
}

/** The gateway's role may take what it may alter; nothing is given to another. */
export function alterOwner(walk: Walk, node: NodeOf<'AlterOwnerStmt'>): void {
	requireSelf(walk, node.newowner, 'OWNER TO');
	mayOnObject(walk, node.objectType ?? '', node.object, { action: 'alter', unprotected: true });
	walk.effects.push({ type: 'ddl' });
}

/** ALTER of what is named in a schema and holds nothing of the policy's: statistics, collations, text search. */
export function alterNamed(walk: Walk, kind: string, names: readonly Node[] | undefined): void {
	for (const schema of schemasMeant(walk, kind, stringsOf(names))) mayInSchema(walk, schema, 'alter', 'ALTER');
	walk.effects.push({ type: 'ddl' });
}

export function alterFunction(walk: Walk, node: NodeOf<'AlterFunctionStmt'>): void {
	for (const schema of schemasMeant(walk, 'OBJECT_FUNCTION', stringsOf(node.func?.objname)))
		mayInSchema(walk, schema, 'alter', 'ALTER FUNCTION');
	for (const action of node.actions ?? []) functionOption(walk, action);
	walk.effects.push({ type: 'ddl' });
}

/** Privileges in the database do not matter to people behind the gateway, but they are not to be given away by it. */
export function grant(walk: Walk, node: NodeOf<'GrantStmt'>): void {
	if (node.targtype !== 'ACL_TARGET_OBJECT' || node.objtype !== 'OBJECT_TABLE') {
		mayOnDatabase(walk, 'grant', node.is_grant === true ? 'GRANT' : 'REVOKE');
		return;
	}
	for (const object of node.objects ?? []) {
		const range = as(object, 'RangeVar');
		if (range === undefined) throw refuse(walk, 'GRANT on this kind of object');
		mayOnRelation(walk, range, 'grant', true);
	}
}

/** What later objects are granted to others, as GRANT on all there are; of another role's objects it is that role's to say. */
export function defaultPrivileges(walk: Walk, node: NodeOf<'AlterDefaultPrivilegesStmt'>): void {
	for (const entry of node.options ?? []) {
		const option = as(entry, 'DefElem');
		if (option?.defname !== 'roles') continue;
		for (const role of as(option.arg, 'List')?.items ?? [])
			requireSelf(walk, as(role, 'RoleSpec'), 'ALTER DEFAULT PRIVILEGES FOR');
	}
	mayOnDatabase(walk, 'grant', 'ALTER DEFAULT PRIVILEGES');
}
