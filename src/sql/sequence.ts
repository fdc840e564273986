/** Asks the policy for the sequence that nextval and the like name. */
import type { Node } from '@pgsql/types';
import { GatewayError } from '../errors.ts';
import type { Relation } from '../catalog/snapshot.ts';
import {
	displayRelation,
	effectivePath,
	isOwnTemporary,
	resolveType,
	stringsOf,
	TYPE,
	UnknownObject,
} from './names.ts';
import { as } from './nodes.ts';
import { quoteIdentifier, quoteLiteral } from './quote.ts';
import { addRules, denied, noteUse, positionAt, refuse, type Walk } from './walk.ts';

/** True when the sequence is named by a literal and allowed; throws when it is refused or can't be told. */
export function checkSequence(
	walk: Walk,
	argument: Node | undefined,
	action: 'select' | 'update',
	location: number | undefined,
): boolean {
	const owning = serialCall(walk, argument);
	if (owning !== undefined) return checkOwned(walk, owning, action, location);
	const text = nameLiteral(walk, argument);
	if (text === undefined) {
		throw new GatewayError(
			'42501',
			'permission denied for sequence: its name has to be a literal, so that the policy can be asked for it',
			positionAt(walk, location),
		);
	}
	mayOnSequence(walk, relationIn(walk, argument, text, location), action, location);
	return true;
}

/** The relation that a text names, as regclass input reads it. Its schema is written into the text. */
function relationIn(walk: Walk, argument: Node | undefined, text: string, location: number | undefined): Relation {
	const { access, catalog } = walk.context;
	const parts = splitName(text);
	const database = parts.length > 2 ? parts.at(-3) : undefined;
	if (parts.length > 3 || (database !== undefined && database !== access.database))
		throw new GatewayError(
			'0A000',
			`cross-database references are not implemented: ${text}`,
			positionAt(walk, location),
		);
	const schemas = parts.length > 1 ? [parts.at(-2) ?? ''] : effectivePath(walk.context, true);
	const name = parts.at(-1) ?? '';
	const relation = schemas.map((schema) => catalog.relation(schema, name)).find((found) => found !== undefined);
	if (relation === undefined)
		throw new UnknownObject('42P01', `relation "${text}" does not exist`, positionAt(walk, location));
	if (parts.length === 1) writeSchema(walk, argument, relation);
	return relation;
}

function mayOnSequence(
	walk: Walk,
	relation: Relation,
	action: 'select' | 'update',
	location: number | undefined,
): void {
	if (isOwnTemporary(walk, relation)) return;
	const { access } = walk.context;
	const answer = access.onRelation(relation.schema, relation.name, action);
	addRules(noteUse(walk, 'relation', relation.schema, relation.name, action), answer.rules);
	if (answer.allowed) return;
	throw denied(
		walk,
		`sequence ${displayRelation(relation)}`,
		answer,
		action,
		`${access.database}.${displayRelation(relation)}`,
		location,
	);
}

const REGCLASS = 2205;

/** pg_get_serial_sequence('table', 'column') with constants, and nothing of a user's by that name. */
function serialCall(walk: Walk, node: Node | undefined): readonly [Node, string] | undefined {
	const cast = as(node, 'TypeCast');
	if (cast !== undefined)
		return resolveType(walk, cast.typeName)?.oid === REGCLASS ? serialCall(walk, cast.arg) : undefined;
	const call = as(node, 'FuncCall');
	const names = stringsOf(call?.funcname);
	if (names.at(-1) !== SERIAL || (names.length > 1 && names[0] !== 'pg_catalog') || call?.args?.length !== 2)
		return undefined;
	const [table, column] = call.args;
	const text = nameLiteral(walk, table);
	const isOwn = walk.context.catalog.routinesNamed(SERIAL).every(({ schema }) => schema === 'pg_catalog');
	if (table === undefined || text === undefined || nameLiteral(walk, column) === undefined || !isOwn) return undefined;
	return [table, text];
}

const SERIAL = 'pg_get_serial_sequence';

/** A sequence is in the schema of the column that owns it; which one that is the catalogue does not say, so each has to be allowed. */
function checkOwned(
	walk: Walk,
	[argument, text]: readonly [Node, string],
	action: 'select' | 'update',
	location: number | undefined,
): boolean {
	const table = relationIn(walk, argument, text, location);
	for (const relation of walk.context.catalog.relations())
		if (relation.kind === 'sequence' && relation.schema === table.schema)
			mayOnSequence(walk, relation, action, location);
	return true;
}

/** A cast may cut the name, but for one to these. */
function nameLiteral(walk: Walk, node: Node | undefined): string | undefined {
	const cast = as(node, 'TypeCast');
	if (cast === undefined) return as(node, 'A_Const')?.sval?.sval;
	const type = resolveType(walk, cast.typeName)?.oid;
	const keeps = type === REGCLASS || type === TYPE.text || type === TYPE.varchar;
	return keeps && (cast.typeName?.typmods ?? []).length === 0 ? nameLiteral(walk, cast.arg) : undefined;
}

/** The server reads the name when it runs: by then search_path may lead elsewhere, or the sequence may be gone. */
function writeSchema(walk: Walk, node: Node | undefined, relation: Pick<Relation, 'schema' | 'name'>): void {
	const cast = as(node, 'TypeCast');
	if (cast !== undefined) {
		writeSchema(walk, cast.arg, relation);
		return;
	}
	const location = as(node, 'A_Const')?.location ?? 0;
	const { tokens } = walk.source;
	const token = tokens[walk.source.tokenAt(location)];
	if (token?.name !== 'SCONST' || token.start !== location) {
		throw refuse(walk, 'the name of a sequence that the gateway cannot place', location, 'Write its schema before it.');
	}
	const qualified = quoteLiteral(`${quoteIdentifier(relation.schema)}.${quoteIdentifier(relation.name)}`);
	walk.edits.replace(token.start, token.end, qualified);
}

/** As the server reads a bare name in a text: its white space around it goes, and capitals of ASCII become small. */
function folded(name: string): string {
	return name.replaceAll(/^[ \t\n\r\f\v]+|[ \t\n\r\f\v]+$/g, '').replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase());
}

/** Splits a possibly quoted, possibly qualified name as regclass input does. */
export function splitName(text: string): readonly string[] {
	const parts: string[] = [];
	let at = 0;
	while (at <= text.length) {
		if (text[at] === '"') {
			let part = '';
			at += 1;
			while (at < text.length && !(text[at] === '"' && text[at + 1] !== '"')) {
				if (text[at] === '"') at += 1;
				part += text[at] ?? '';
				at += 1;
			}
			parts.push(part);
			at += 2;
		} else {
			const dot = text.indexOf('.', at);
			const end = dot === -1 ? text.length : dot;
			parts.push(folded(text.slice(at, end)));
			at = end + 1;
		}
	}
	return parts;
}
