/** A snapshot in memory: the objects that come with the server (shared by all snapshots of it) and those made since. */
import { type ColumnNames, columnNames, type PackedRelation, unpackRelation } from './decode.ts';
import { type LostFields, NO_LOST_FIELDS } from './lost-fields.ts';
import type {
	Cast,
	CatalogSnapshot,
	Operator,
	OperatorClass,
	Relation,
	Routine,
	SchemaObjects,
	Type,
	WantedRelations,
} from './snapshot.ts';

/** What one load gave of one part of the catalogue. */
export interface Objects {
	readonly relations: readonly PackedRelation[];
	readonly routines: readonly Routine[];
	readonly operators: readonly Operator[];
	readonly types: readonly Type[];
	/** Element type to array type. */
	readonly arrays: ReadonlyMap<number, number>;
	readonly casts: readonly Cast[];
	readonly columnNames: ColumnNames;
	/** Oid of a view to its definition. */
	readonly definitions: ReadonlyMap<number, string | null>;
}

interface Named {
	readonly oid: number;
	readonly schema: string;
	readonly name: string;
}

/** By oid and by name; a name that is there once costs no array. */
class Index<T extends Named> {
	readonly byOid = new Map<number, T>();
	readonly #byName = new Map<string, T | T[]>();

	constructor(objects: readonly T[]) {
		for (const object of objects) {
			this.byOid.set(object.oid, object);
			const same = this.#byName.get(object.name);
			if (same === undefined) this.#byName.set(object.name, object);
			else if (Array.isArray(same)) same.push(object);
			else this.#byName.set(object.name, [same, object]);
		}
	}

	named(name: string): readonly T[] {
		const same = this.#byName.get(name);
		if (same === undefined) return [];
		return Array.isArray(same) ? same : [same];
	}

	ofSchema(schema: string): readonly T[] {
		return [...this.byOid.values()].filter((object) => object.schema === schema);
	}

	in(schema: string, name: string): T | undefined {
		const same = this.#byName.get(name);
		if (same === undefined) return undefined;
		if (Array.isArray(same)) return same.find((object) => object.schema === schema);
		return same.schema === schema ? same : undefined;
	}
}

/** One part of the catalogue, indexed. Immutable but for the relations that it unpacks when they are first asked for. */
export class IndexedObjects {
	readonly routines: Index<Routine>;
	readonly operators: Index<Operator>;
	readonly types: Index<Type>;
	readonly arrays: ReadonlyMap<number, number>;
	readonly casts: readonly Cast[];
	readonly #casts = new Map<string, Cast>();
	readonly #packed: Index<PackedRelation>;
	readonly #children = new Map<number, number[]>();
	readonly #unpacked = new Map<number, Relation>();
	readonly #columnNames: ColumnNames;
	readonly #definitions: ReadonlyMap<number, string | null>;

	constructor(objects: Objects) {
		this.routines = new Index(objects.routines);
		this.operators = new Index(objects.operators);
		this.types = new Index(objects.types);
		this.arrays = objects.arrays;
		this.casts = objects.casts;
		for (const cast of objects.casts) this.#casts.set(`${cast.source} ${cast.target}`, cast);
		this.#packed = new Index(objects.relations);
		this.#columnNames = objects.columnNames;
		this.#definitions = objects.definitions;
		for (const relation of objects.relations) {
			if (relation.parents === '') continue;
			for (const parent of relation.parents.split(' ')) this.#addChild(Number(parent), relation.oid);
		}
	}

	relation(schema: string, name: string): Relation | undefined {
		return this.#keep(this.#packed.in(schema, name));
	}

	relationByOid(oid: number): Relation | undefined {
		return this.#keep(this.#packed.byOid.get(oid));
	}

	/** Unpacks without keeping: a walk over everything leaves no trace in memory. */
	*relations(wanted?: WantedRelations): Iterable<Relation> {
		const columns = wanted?.columns?.map((name) => JSON.stringify(name));
		for (const packed of this.#packed.byOid.values()) {
			if (wanted?.isWanted(packed.schema, packed.name) === false) continue;
			if (columns?.some((name) => packed.columns.includes(name)) === false) continue;
			yield this.#unpacked.get(packed.oid) ?? this.#unpack(packed);
		}
	}

	cast(source: number, target: number): Cast | undefined {
		return this.#casts.get(`${source} ${target}`);
	}

	hasField(name: string): boolean {
		const written = JSON.stringify(name);
		for (const { columns } of this.#packed.byOid.values()) if (columns.includes(written)) return true;
		for (const { outColumns } of this.routines.byOid.values()) if (outColumns.includes(name)) return true;
		return false;
	}

	/** Names of columns that relations, types and functions of this part have not any more in `after`; others may have them. */
	*fieldsGoneIn(after: IndexedObjects): Iterable<string> {
		for (const { oid, columns } of this.#packed.byOid.values()) {
			const now = after.#packed.byOid.get(oid)?.columns ?? '';
			if (now === columns) continue;
			for (const name of columnNames(columns)) if (!now.includes(JSON.stringify(name))) yield name;
		}
		for (const { oid, outColumns } of this.routines.byOid.values()) {
			const now = after.routines.byOid.get(oid)?.outColumns;
			for (const name of outColumns) if (now?.includes(name) !== true) yield name;
		}
	}

	#keep(packed: PackedRelation | undefined): Relation | undefined {
		if (packed === undefined) return undefined;
		let relation = this.#unpacked.get(packed.oid);
		if (relation === undefined) {
			relation = this.#unpack(packed);
			this.#unpacked.set(packed.oid, relation);
		}
		return relation;
	}

	#unpack(packed: PackedRelation): Relation {
		const children = this.#children.get(packed.oid) ?? [];
		return unpackRelation(packed, this.#columnNames, children, this.#definitions.get(packed.oid) ?? null);
	}

	#addChild(parent: number, child: number): void {
		const children = this.#children.get(parent);
		if (children === undefined) this.#children.set(parent, [child]);
		else children.push(child);
	}
}

/** What a snapshot says beside its objects. */
export interface SnapshotHead {
	readonly revision: number;
	readonly serverVersion: number;
	readonly user: string;
	readonly timeZone: string;
	readonly operatorClasses: readonly OperatorClass[];
	/** Schema name to whether the gateway's role may use it. */
	readonly schemas: ReadonlyMap<string, boolean>;
	/** Of snapshots before; missing: none. */
	readonly lostFields?: LostFields;
}

export class MemorySnapshot implements CatalogSnapshot {
	readonly revision: number;
	readonly serverVersion: number;
	readonly user: string;
	readonly timeZone: string;
	readonly userCasts: readonly Cast[];
	readonly operatorClasses: readonly OperatorClass[];
	readonly hasShards: boolean;
	readonly lostFields: LostFields;
	readonly #schemas: ReadonlyMap<string, boolean>;
	readonly #builtin: IndexedObjects;
	readonly #made: IndexedObjects;

	constructor(head: SnapshotHead, builtin: IndexedObjects, made: IndexedObjects) {
		this.revision = head.revision;
		this.serverVersion = head.serverVersion;
		this.user = head.user;
		this.timeZone = head.timeZone;
		this.userCasts = made.casts;
		this.operatorClasses = head.operatorClasses;
		this.lostFields = head.lostFields ?? NO_LOST_FIELDS;
		this.#schemas = head.schemas;
		this.#builtin = builtin;
		this.#made = made;
		this.hasShards = made.relation('pg_catalog', 'pg_dist_shard') !== undefined;
	}

	hasSchema(name: string): boolean {
		return this.#schemas.has(name);
	}

	mayUseSchema(name: string): boolean {
		return this.#schemas.get(name) === true;
	}

	relation(schema: string, name: string): Relation | undefined {
		return this.#made.relation(schema, name) ?? this.#builtin.relation(schema, name);
	}

	relationByOid(oid: number): Relation | undefined {
		return this.#made.relationByOid(oid) ?? this.#builtin.relationByOid(oid);
	}

	routines(schema: string, name: string): readonly Routine[] {
		return inSchema(schema, this.routinesNamed(name));
	}

	routinesNamed(name: string): readonly Routine[] {
		return joined(this.#builtin.routines.named(name), this.#made.routines.named(name));
	}

	routineByOid(oid: number): Routine | undefined {
		return this.#made.routines.byOid.get(oid) ?? this.#builtin.routines.byOid.get(oid);
	}

	operators(schema: string, name: string): readonly Operator[] {
		return inSchema(schema, this.operatorsNamed(name));
	}

	operatorsNamed(name: string): readonly Operator[] {
		return joined(this.#builtin.operators.named(name), this.#made.operators.named(name));
	}

	type(schema: string, name: string): Type | undefined {
		return this.#made.types.in(schema, name) ?? this.#builtin.types.in(schema, name);
	}

	typeByOid(oid: number): Type | undefined {
		return this.#made.types.byOid.get(oid) ?? this.#builtin.types.byOid.get(oid);
	}

	arrayTypeOf(element: number): number {
		return this.#made.arrays.get(element) ?? this.#builtin.arrays.get(element) ?? 0;
	}

	cast(source: number, target: number): Cast | undefined {
		return this.#made.cast(source, target) ?? this.#builtin.cast(source, target);
	}

	mayBeField(name: string): boolean {
		return this.lostFields.has(name) || this.#made.hasField(name) || this.#builtin.hasField(name);
	}

	objectsIn(schema: string): SchemaObjects {
		const { routines, operators, types } = this.#made;
		return {
			routines: routines.ofSchema(schema),
			operators: operators.ofSchema(schema),
			types: types.ofSchema(schema),
		};
	}

	*relations(wanted?: WantedRelations): Iterable<Relation> {
		yield* this.#builtin.relations(wanted);
		yield* this.#made.relations(wanted);
	}
}

function inSchema<T extends Named>(schema: string, objects: readonly T[]): readonly T[] {
	return objects.every((object) => object.schema === schema)
		? objects
		: objects.filter((object) => object.schema === schema);
}

function joined<T>(some: readonly T[], more: readonly T[]): readonly T[] {
	if (more.length === 0) return some;
	return some.length === 0 ? more : [...some, ...more];
}
