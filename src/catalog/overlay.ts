/** Relations and routines that only one session sees, temporary or not yet committed: looked up through it, laid over a snapshot. */
import type { CatalogConnection } from './connection.ts';
import { decodeRoutine, int, packRelation, type Row, text, unpackRelation } from './decode.ts';
import { CATALOG_LIMITS } from './limits.ts';
import { type RelationChoice, relationsQuery, routinesQuery, withDetails } from './queries.ts';
import type { CatalogSnapshot, Relation, Routine, SchemaObjects, Type, WantedRelations } from './snapshot.ts';

/** Which relations to look for: by schema (`pg_temp` stands for the session's own) and name (null: all of that schema), or all of its temporary ones. */
export type RelationSearch = readonly { readonly schema: string; readonly name: string | null }[] | 'temporary';

/**
 * Looks relations up through a session's own connection, as its transaction sees them; those that are not there are left
 * out. `inTransaction`: the connection is inside a transaction block (status T; status E cannot be asked). It leaves no
 * trace: settings, transaction and savepoints are as before, one Query message each way. Rejects with the connection's
 * error. Nothing else may be in progress on the connection (no pipeline: the Query message would commit it). Of `children`
 * only those among the relations found are known; in definitions of temporary views a name without schema is temporary. `shards`: as
 * `hasShards` of the snapshot says.
 */
export async function loadRelations(
	connection: CatalogConnection,
	search: RelationSearch,
	inTransaction: boolean,
	shards = false,
): Promise<Relation[]> {
	if (search !== 'temporary' && search.length === 0) return [];
	const rows = await seen(connection, withDetails(relationsQuery(chosen(search), shards)), inTransaction);
	return rows.map((row) => decodeDetailed(row, rows));
}

/** The same for routines, of all schemas, that have one of these names and did not come with the server. */
export async function loadRoutines(
	connection: CatalogConnection,
	names: readonly string[],
	inTransaction: boolean,
): Promise<Routine[]> {
	if (names.length === 0) return [];
	const select = `${routinesQuery('user')} and p.proname in (${names.map(literal).join(', ')})`;
	const rows = await seen(connection, select, inTransaction);
	return rows.map((row) => decodeRoutine(row, (same) => same, 'user'));
}

/** Asks as the session's transaction sees things, and leaves no trace. */
async function seen(connection: CatalogConnection, select: string, inTransaction: boolean): Promise<Row[]> {
	const [begin, end] = inTransaction
		? [`savepoint ${SAVEPOINT}`, `rollback to savepoint ${SAVEPOINT}; release savepoint ${SAVEPOINT}`]
		: ['begin read only', 'rollback'];
	const settings = `set local search_path = ''; set local quote_all_identifiers = off;
		set local lock_timeout = ${CATALOG_LIMITS.lockTimeoutMs}; ${PLANNING}`;
	try {
		return await connection.query(`${begin}; ${settings}; ${select}; ${end}`);
	} catch (error) {
		await connection.query(end).catch(() => undefined);
		throw error;
	}
}

/** Whoever tries out plans in their session (enable_hashjoin = off) would wait ten seconds for each of these questions. */
const PLANNING = [
	'bitmapscan',
	'hashagg',
	'hashjoin',
	'indexscan',
	'material',
	'mergejoin',
	'nestloop',
	'seqscan',
	'sort',
]
	.map((name) => `set local enable_${name} = on`)
	.concat('set local jit = off')
	.join('; ');

const SAVEPOINT = 'portcullis_catalog';

function chosen(search: RelationSearch): RelationChoice {
	const where =
		search === 'temporary'
			? 'n.oid = pg_my_temp_schema()'
			: search
					.map(({ schema, name }) =>
						name === null ? inSchema(schema) : `(${inSchema(schema)} and c.relname = ${literal(name)})`,
					)
					.join(' or ');
	return {
		where: `(${where})`,
		attributes: `a.attrelid in (select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace where ${where})`,
	};
}

function inSchema(schema: string): string {
	return schema === 'pg_temp' ? 'n.oid = pg_my_temp_schema()' : `n.nspname = ${literal(schema)}`;
}

/** Means the same whatever standard_conforming_strings says. */
function literal(value: string): string {
	if (value.includes('\0')) throw new RangeError('a PostgreSQL name has no NUL');
	return `e'${value.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`;
}

function decodeDetailed(row: Row, all: readonly Row[]): Relation {
	const packed = packRelation(row, (same) => same);
	const details = JSON.parse(row[9] ?? '[]') as [number, number, string, number, string | null, string | null][];
	const names = {
		types: new Map(details.map(([type, typmod, name, , , plain]) => [`${type} ${typmod}`, { name, plain }])),
		collations: new Map(details.map(([, , , collation, name]) => [collation, name ?? '"???"'])),
	};
	const oid = text(row[0]);
	const children = all.filter((other) => (other[7] ?? '').split(' ').includes(oid)).map((other) => int(other[0]));
	return unpackRelation(packed, names, children, row[10] ?? null);
}

/**
 * The snapshot, with `relations` in place of those of the same schema and name, and of those of the same oid, and without
 * those that are `gone`. Has the revision of the snapshot below it: who keeps decisions by revision must not keep those made
 * under an overlay. An oid of 0 stands for one that is not known yet. `routines` and `schemas` are there besides those of the snapshot.
 */
export function overlay(
	snapshot: CatalogSnapshot,
	relations: readonly Relation[],
	gone: readonly Relation[] = [],
	routines: readonly Routine[] = [],
	schemas: readonly string[] = [],
): CatalogSnapshot {
	if (relations.length + gone.length + routines.length + schemas.length === 0) return snapshot;
	return new Overlay(snapshot, relations, gone, routines, schemas);
}

/** The relation of that name that every session sees, whatever lies over the snapshot for one of them. */
export function committedRelation(snapshot: CatalogSnapshot, schema: string, name: string): Relation | undefined {
	let at = snapshot;
	while (at.below !== undefined) at = at.below;
	return at.relation(schema, name);
}

class Overlay implements CatalogSnapshot {
	readonly revision: number;
	readonly serverVersion: number;
	readonly user: string;
	readonly timeZone: string;
	readonly userCasts: CatalogSnapshot['userCasts'];
	readonly operatorClasses: CatalogSnapshot['operatorClasses'];
	readonly below: CatalogSnapshot;
	readonly hasShards: boolean;
	readonly #relations: readonly Relation[];
	readonly #byOid: ReadonlyMap<number, Relation>;
	readonly #gone: ReadonlySet<Relation>;
	readonly #routines: readonly Routine[];
	readonly #schemas: ReadonlySet<string>;

	constructor(
		below: CatalogSnapshot,
		relations: readonly Relation[],
		gone: readonly Relation[],
		routines: readonly Routine[],
		schemas: readonly string[],
	) {
		this.revision = below.revision;
		this.serverVersion = below.serverVersion;
		this.user = below.user;
		this.timeZone = below.timeZone;
		this.userCasts = below.userCasts;
		this.operatorClasses = below.operatorClasses;
		this.below = below;
		this.hasShards = below.hasShards === true;
		this.#relations = relations;
		this.#byOid = new Map(relations.filter(({ oid }) => oid !== 0).map((relation) => [relation.oid, relation]));
		this.#gone = new Set(gone);
		this.#routines = routines;
		this.#schemas = new Set([...schemas, ...relations.map(({ schema }) => schema)]);
	}

	hasSchema(name: string): boolean {
		return this.#schemas.has(name) || this.below.hasSchema(name);
	}

	mayUseSchema(name: string): boolean {
		return this.#schemas.has(name) || this.below.mayUseSchema(name);
	}

	relation(schema: string, name: string): Relation | undefined {
		const own = this.#relations.find((relation) => relation.name === name && relation.schema === schema);
		if (own !== undefined) return own;
		const below = this.below.relation(schema, name);
		return below !== undefined && this.#isHidden(below) ? undefined : below;
	}

	#isHidden(below: Relation): boolean {
		return this.#byOid.has(below.oid) || this.#gone.has(below);
	}

	relationByOid(oid: number): Relation | undefined {
		return this.#byOid.get(oid) ?? this.below.relationByOid(oid);
	}

	*relations(wanted?: WantedRelations): Iterable<Relation> {
		yield* this.#relations;
		const names = new Set(this.#relations.map(({ schema, name }) => JSON.stringify([schema, name])));
		for (const relation of this.below.relations(wanted)) {
			if (this.#isHidden(relation) || names.has(JSON.stringify([relation.schema, relation.name]))) continue;
			yield relation;
		}
	}

	routines(schema: string, name: string): readonly Routine[] {
		return this.#with(
			this.below.routines(schema, name),
			(routine) => routine.schema === schema && routine.name === name,
		);
	}

	routinesNamed(name: string): readonly Routine[] {
		return this.#with(this.below.routinesNamed(name), (routine) => routine.name === name);
	}

	routineByOid(oid: number): Routine | undefined {
		return this.#routines.find((routine) => routine.oid === oid) ?? this.below.routineByOid(oid);
	}

	/** One that was replaced keeps its oid. */
	#with(below: readonly Routine[], wanted: (routine: Routine) => boolean): readonly Routine[] {
		const own = this.#routines.filter(wanted);
		return own.length === 0 ? below : [...below.filter(({ oid }) => own.every((other) => other.oid !== oid)), ...own];
	}

	operators(schema: string, name: string) {
		return this.below.operators(schema, name);
	}

	operatorsNamed(name: string) {
		return this.below.operatorsNamed(name);
	}

	type(schema: string, name: string): Type | undefined {
		return this.below.type(schema, name);
	}

	typeByOid(oid: number): Type | undefined {
		return this.below.typeByOid(oid);
	}

	arrayTypeOf(element: number): number {
		return this.below.arrayTypeOf(element);
	}

	objectsIn(schema: string): SchemaObjects {
		const below = this.below.objectsIn(schema);
		return { ...below, routines: this.#with(below.routines, (routine) => routine.schema === schema) };
	}

	cast(source: number, target: number) {
		return this.below.cast(source, target);
	}

	mayBeField(name: string) {
		return (
			this.#relations.some(({ columns }) => columns.some((column) => column.name === name)) ||
			this.#routines.some(({ outColumns }) => outColumns.includes(name)) ||
			this.below.mayBeField(name)
		);
	}
}
