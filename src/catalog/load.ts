/** Loads a snapshot of a database over a connection that is the catalogue's own. */
import type { CatalogConnection } from './connection.ts';
import {
	bool,
	CatalogFormatError,
	type ColumnType,
	decodeCast,
	decodeOperator,
	decodeOperatorClass,
	decodeRoutine,
	decodeType,
	int,
	type Intern,
	packRelation,
	type Row,
	text,
} from './decode.ts';
import { viewsOfColumns } from './data/views.ts';
import { CATALOG_LIMITS } from './limits.ts';
import { LostFields, NO_LOST_FIELDS } from './lost-fields.ts';
import { IndexedObjects, MemorySnapshot } from './memory.ts';
import {
	castsQuery,
	collationsQuery,
	columnTypesQuery,
	definitionsQuery,
	fingerprintQuery,
	identityQuery,
	operatorClassesQuery,
	operatorsQuery,
	type Part,
	relationsOf,
	relationsQuery,
	routinesQuery,
	schemasQuery,
	sessionSetup,
	systemDefinitionsQuery,
	typesQuery,
} from './queries.ts';

/** What stays the same as long as the connection does. */
export interface Server {
	/** As in server_version_num. */
	readonly version: number;
	readonly user: string;
	readonly timeZone: string;
	readonly builtin: IndexedObjects;
	readonly collations: ReadonlyMap<number, string>;
	readonly columnTypes: ReadonlyMap<string, ColumnType>;
}

/** Equal fingerprints: nothing that a snapshot holds has changed in between. */
export interface Fingerprint {
	readonly text: string;
	/** What it cost the server. */
	readonly costMs: number;
	/** Citus is there, and has a list of shards. */
	readonly hasShards: boolean;
}

export interface Load {
	readonly snapshot: MemorySnapshot;
	/** What was made since the server was. */
	readonly made: IndexedObjects;
	readonly fingerprint: Fingerprint;
	/** False when definitions of views were left out because somebody holds what they read. */
	readonly complete: boolean;
}

/**
 * Prepares a fresh connection for the catalogue (it stays so) and loads what comes with the server. `timeZone`: in place of the one
 * that the server gives to the role; rejects where the server does not know it.
 */
export async function loadServer(connection: CatalogConnection, timeZone?: string): Promise<Server> {
	await connection.query(sessionSetup(CATALOG_LIMITS));
	if (timeZone !== undefined) await connection.query(`set time zone '${timeZone.replaceAll("'", "''")}'`);
	const [identity] = await connection.query(identityQuery);
	if (identity === undefined) throw new CatalogFormatError('the database does not say which version it is');
	const intern = makeIntern();
	const collations = await loadCollations(connection, 'builtin');
	const columnTypes = await loadColumnTypes(connection, 'builtin');
	const objects = await loadObjects(connection, 'builtin', intern, false);
	const definitions = await connection.query(systemDefinitionsQuery(viewsOfColumns));
	return {
		version: int(identity[0]),
		user: text(identity[1]),
		timeZone: text(identity[3]),
		builtin: new IndexedObjects({
			...objects,
			columnNames: { types: columnTypes, collations },
			definitions: new Map(definitions.map((row) => [int(row[0]), text(row[1])])),
		}),
		collations,
		columnTypes,
	};
}

/** Looks whether anything has changed. */
export async function loadFingerprint(connection: CatalogConnection): Promise<Fingerprint> {
	const [row] = await connection.query(fingerprintQuery);
	if (row === undefined) throw new CatalogFormatError('the database gives no fingerprint');
	return { text: text(row[0]), costMs: Number(text(row[1])), hasShards: row[2] === 't' };
}

/**
 * Loads everything made since the server was, as of one moment (a REPEATABLE READ transaction). The connection must be one
 * that `loadServer` prepared. Rejects with the connection's errors; the transaction may be left open then. `whenLocked`: what
 * becomes of definitions of views that it would have to wait for. `before`: the load before, of the same database, whose fields that
 * are gone are remembered, or which fields were lost before there was any.
 */
export async function loadSnapshot(
	connection: CatalogConnection,
	server: Server,
	revision: number,
	whenLocked: 'reject' | 'leave out' = 'leave out',
	before: Load | LostFields = NO_LOST_FIELDS,
): Promise<Load> {
	await connection.query('begin isolation level repeatable read read only');
	const fingerprint = await loadFingerprint(connection);
	const schemas = await connection.query(schemasQuery);
	const collations = new Map([...server.collations, ...(await loadCollations(connection, 'user'))]);
	const columnTypes = new Map([...server.columnTypes, ...(await loadColumnTypes(connection, 'user'))]);
	const objects = await loadObjects(connection, 'user', makeIntern(), fingerprint.hasShards);
	const operatorClasses = (await connection.query(operatorClassesQuery)).map((row) => decodeOperatorClass(row));
	const definitions = await loadDefinitions(connection, whenLocked);
	await connection.query('rollback');
	const made = new IndexedObjects({
		...objects,
		columnNames: { types: columnTypes, collations },
		definitions: definitions ?? new Map(),
	});
	const head = {
		revision,
		serverVersion: server.version,
		user: server.user,
		timeZone: server.timeZone,
		operatorClasses,
		schemas: new Map(schemas.map((row) => [text(row[0]), bool(row[1])])),
		lostFields: before instanceof LostFields ? before : before.snapshot.lostFields.with(before.made.fieldsGoneIn(made)),
	};
	return {
		snapshot: new MemorySnapshot(head, server.builtin, made),
		made,
		fingerprint,
		complete: definitions !== null && ![...definitions.values()].includes(null),
	};
}

async function loadObjects(connection: CatalogConnection, part: Part, intern: Intern, shards: boolean) {
	const relations = await connection.query(relationsQuery(relationsOf(part), shards));
	const routines = await connection.query(routinesQuery(part));
	const operators = await connection.query(operatorsQuery(part));
	const types = (await connection.query(typesQuery(part))).map((row) => decodeType(row, intern));
	const casts = await connection.query(castsQuery(part));
	return {
		relations: relations.map((row) => packRelation(row, intern)),
		routines: routines.map((row) => decodeRoutine(row, intern, part)),
		operators: operators.map((row) => decodeOperator(row, intern)),
		types: types.map(({ type }) => type),
		arrays: new Map(types.filter(({ array }) => array !== 0).map(({ type, array }) => [type.oid, array])),
		casts: casts.map((row) => decodeCast(row)),
	};
}

async function loadCollations(connection: CatalogConnection, part: Part): Promise<Map<number, string>> {
	const rows = await connection.query(collationsQuery(part));
	return new Map(rows.map((row) => [int(row[0]), text(row[1])]));
}

async function loadColumnTypes(connection: CatalogConnection, part: Part): Promise<Map<string, ColumnType>> {
	const rows = await connection.query(columnTypesQuery(relationsOf(part)));
	return new Map(rows.map((row) => [`${text(row[0])} ${text(row[1])}`, { name: text(row[2]), plain: row[3] ?? null }]));
}

/**
 * Oid to definition, null for a view whose relations somebody is changing. Null as a whole when that happened just now
 * (lock_timeout); the transaction has failed then, which is why this comes last in it.
 */
async function loadDefinitions(
	connection: CatalogConnection,
	whenLocked: 'reject' | 'leave out',
): Promise<Map<number, string | null> | null> {
	let rows: Row[];
	try {
		rows = await connection.query(definitionsQuery);
	} catch (error) {
		if (whenLocked === 'leave out' && sqlstateOf(error) === LOCK_NOT_AVAILABLE) return null;
		throw error;
	}
	return new Map(rows.map((row) => [int(row[0]), row[1] ?? null]));
}

const LOCK_NOT_AVAILABLE = '55P03';

/** "could not open relation with OID", "cache lookup failed", an undefined object, a lock that somebody has, a deadlock. */
const RACES = /^(XX000|3F000|42P01|42703|42704|42883|55P03|40P01)$/;

/** True for errors of a load that come of DDL at the same moment: it reads one state of the catalogues and asks functions that see another. */
export function isRace(error: unknown): boolean {
	return RACES.test(sqlstateOf(error) ?? '');
}

/** Errors of the server carry their SQLSTATE as `sqlstate` (the gateway's own) or as `code` (drivers). */
function sqlstateOf(error: unknown): string | null {
	if (typeof error !== 'object' || error === null) return null;
	if ('sqlstate' in error && typeof error.sqlstate === 'string') return error.sqlstate;
	return 'code' in error && typeof error.code === 'string' ? error.code : null;
}

function makeIntern(): Intern {
	const kept = new Map<string, string>();
	return (text) => {
		const same = kept.get(text);
		if (same !== undefined) return same;
		kept.set(text, text);
		return text;
	};
}
