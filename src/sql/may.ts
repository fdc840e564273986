/** Asks the policy for what a statement does to objects as such: create, alter, drop, grant, maintain and the like. */
import type { Node, RangeVar } from '@pgsql/types';
import type { Relation } from '../catalog/snapshot.ts';
import type { Action } from '../stages.ts';
import type { Harmless } from './harmless-alter.ts';
import { displayRelation, effectivePath, isOwnTemporary, resolveRelation, stringsOf, UnknownObject } from './names.ts';
import { as } from './nodes.ts';
import { refuseByKin } from './kin.ts';
import { protectionOf } from './protection.ts';
import { displayIdentifier, quoteIdentifier } from './quote.ts';
import { guarded, isSystem, qualifyName } from './read-relation.ts';
import { noteBeneath } from './view.ts';
import { addRules, denied, noteUse, refuse, type Walk } from './walk.ts';

/** An action on the database as a whole. */
export function mayOnDatabase(walk: Walk, action: Action, what: string): void {
	const { access } = walk.context;
	const answer = access.onDatabase(action);
	addRules(noteUse(walk, 'database', '', access.database, action), answer.rules);
	if (!answer.allowed) throw denied(walk, what, answer, action, access.database);
}

/** An action within a schema; a name without one goes where the server would put it. */
export function mayInSchema(walk: Walk, schema: string, action: Action, what: string): void {
	const { access } = walk.context;
	if (isSystem(schema)) throw refuse(walk, `${what} in the schema ${schema}`);
	const answer = access.onSchema(schema, action);
	addRules(noteUse(walk, 'schema', schema, schema, action), answer.rules);
	if (!answer.allowed)
		throw denied(
			walk,
			`schema ${displayIdentifier(schema)}`,
			answer,
			action,
			`${access.database}.${displayIdentifier(schema)}.*`,
		);
}

/** The schema of a qualified name (a list of strings), or the one in which an unqualified name would be made. */
export function schemaOf(walk: Walk, names: readonly Node[] | undefined): string {
	const parts = stringsOf(names);
	const schema = parts.length > 1 ? parts.at(-2) : undefined;
	if (schema === 'pg_temp') throw refuse(walk, 'an object other than a relation in the temporary schema');
	return schema ?? creationSchema(walk);
}

/** Where the server would make an object of a name without schema: the first schema of search_path that it may use. */
function creationSchema(walk: Walk): string {
	const { catalog, searchPath } = walk.context;
	const found = searchPath
		.map((name) => (name === '$user' ? catalog.user : name))
		.find((name) => catalog.mayUseSchema(name));
	if (found === undefined) throw refuse(walk, 'creating an object while search_path names no schema that exists');
	return found;
}

/** Where a relation is made. */
export interface Making {
	readonly schema: string;
	readonly name: string;
	readonly temporary: boolean;
}

/** CREATE of a relation: `temp` on the database for temporary ones, else `create` on the name. The schema is written into the text. */
export function mayCreateRelation(walk: Walk, range: RangeVar | undefined): Making {
	if (range === undefined) throw refuse(walk, 'creating a relation without a name');
	const { access, tempSchema } = walk.context;
	if (range.relpersistence === 't' || range.schemaname === 'pg_temp') {
		mayOnDatabase(walk, 'temp', 'temporary relations');
		return { schema: tempSchema ?? 'pg_temp', name: range.relname ?? '', temporary: true };
	}
	const schema = range.schemaname ?? creationSchema(walk);
	const name = range.relname ?? '';
	if (isSystem(schema) || schema.startsWith('pg_temp_'))
		throw refuse(walk, `creating a relation in the schema ${schema}`, range.location);
	const answer = access.onRelation(schema, name, 'create');
	addRules(noteUse(walk, 'relation', schema, name, 'create'), answer.rules);
	if (!answer.allowed)
		throw denied(
			walk,
			`relation ${displayRelation({ schema, name })}`,
			answer,
			'create',
			`${access.database}.${displayRelation({ schema, name })}`,
			range.location,
		);
	if (range.schemaname === undefined) walk.edits.insert(range.location ?? 0, `${quoteIdentifier(schema)}.`);
	return { schema, name, temporary: false };
}

/**
 * An action on an existing relation. `unprotected`: refused where the policy masks, hides or filters something of it for
 * this identity, since it could be used to slip the protection; a function: unless that says that it could not.
 */
export function mayOnRelation(walk: Walk, range: RangeVar, action: Action, unprotected: boolean | Harmless): Relation {
	const relation = resolveUnplaced(walk, range);
	mayOnFound(walk, relation, action, unprotected, range.location);
	qualifyName(walk, range, relation);
	return relation;
}

/** Of a relation that it changes as such, the server does not say where in the text it stands. */
function resolveUnplaced(walk: Walk, range: RangeVar): Relation {
	try {
		return resolveRelation(walk, range);
	} catch (error) {
		if (!(error instanceof UnknownObject)) throw error;
		throw new UnknownObject(error.sqlstate, error.message, {}, error.search, error.routine);
	}
}

/** The same for a relation that is already found. */
export function mayOnFound(
	walk: Walk,
	relation: Relation,
	action: Action,
	unprotected: boolean | Harmless,
	location?: number,
): void {
	const { access, catalog } = walk.context;
	if (isOwnTemporary(walk, relation)) return;
	if (relation.temporary || isSystem(relation.schema))
		throw refuse(walk, `${action} on ${displayRelation(relation)}`, location);
	const answer = access.onRelation(relation.schema, relation.name, action);
	addRules(noteUse(walk, 'relation', relation.schema, relation.name, action), answer.rules);
	if (!answer.allowed)
		throw denied(
			walk,
			`relation ${displayRelation(relation)}`,
			answer,
			action,
			`${access.database}.${displayRelation(relation)}`,
			location,
		);
	refuseByKin(walk, relation, { action, only: false, location });
	if (unprotected === false) return;
	const protection = guarded(walk, relation, () => protectionOf(catalog, access, relation, false));
	// What is computed of all rows may fail, and the error quotes a value: of a column that no rule lets be read, too.
	if (!protection.none) walk.touchesProtected = true;
	noteBeneath(walk, relation);
	const narrowed =
		protection.filters.length > 0 ||
		protection.columns.some((column) => column.state === 'masked' || column.state === 'hidden');
	const harmless = typeof unprotected === 'function' && unprotected(relation, protection);
	if (narrowed && !harmless)
		throw refuse(walk, `${action} on ${displayRelation(relation)}, which the policy protects from you,`, location);
}

/** An action on a relation that does not exist (DROP ... IF EXISTS): the rule for its name decides, the server reports. */
export function mayOnName(walk: Walk, schema: string, name: string, action: Action): void {
	const { access } = walk.context;
	const answer = access.onRelation(schema, name, action);
	addRules(noteUse(walk, 'relation', schema, name, action), answer.rules);
	if (!answer.allowed)
		throw denied(
			walk,
			`relation ${displayRelation({ schema, name })}`,
			answer,
			action,
			`${access.database}.${displayRelation({ schema, name })}`,
		);
}

/** A relation named by a list of strings (DROP, COMMENT); undefined when there is none, which the server will say. */
export function relationNamed(walk: Walk, names: readonly string[]): Relation | undefined {
	const { catalog, tempSchema } = walk.context;
	const name = names.at(-1) ?? '';
	const given = names.length > 1 ? names.at(-2) : undefined;
	const schemas =
		given === undefined ? effectivePath(walk.context, true) : [given === 'pg_temp' ? (tempSchema ?? '') : given];
	return schemas.map((schema) => catalog.relation(schema, name)).find((found) => found !== undefined);
}

/** Strings of an object's name in DROP, COMMENT and GRANT, whichever way the grammar wraps it. */
export function objectNames(node: Node | undefined): readonly string[] {
	const list = as(node, 'List');
	if (list !== undefined) return stringsOf(list.items);
	const typeName = as(node, 'TypeName');
	if (typeName !== undefined) return stringsOf(typeName.names);
	const routine = as(node, 'ObjectWithArgs');
	if (routine !== undefined) return stringsOf(routine.objname);
	const range = as(node, 'RangeVar');
	if (range !== undefined) return [...(range.schemaname === undefined ? [] : [range.schemaname]), range.relname ?? ''];
	const single = as(node, 'String')?.sval;
	return single === undefined ? [] : [single];
}
