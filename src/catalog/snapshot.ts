/** One immutable picture of a database's catalogue: relations, columns, functions, operators, types and casts by name and oid. */

export type RelationKind =
	| 'table' // pg_class.relkind r
	| 'partitioned' // p
	| 'view' // v
	| 'matview' // m
	| 'foreign' // f
	| 'sequence' // S
	| 'composite' // c
	| 'toast' // t
	| 'index'; // i, I

export interface Column {
	readonly name: string;
	readonly attnum: number;
	readonly typeOid: number;
	/** format_type(atttypid, atttypmod) under an empty search_path: can be spliced after `::` as it stands. */
	readonly type: string;
	/** The same without the domains over it, where one of them checks its values, which a mask need not be. Missing: it has none such. */
	readonly plainType?: string;
	readonly notNull: boolean;
	readonly hasDefault: boolean;
	/** '' | 'stored' | 'virtual' */
	readonly generated: '' | 'stored' | 'virtual';
	/** Attnums of the columns that a generated one is computed from. Missing: none. */
	readonly computedFrom?: readonly number[];
	/** Schema-qualified, quoted collation when it is not the type's default. */
	readonly collation: string | null;
}

export interface Relation {
	readonly oid: number;
	readonly schema: string;
	readonly name: string;
	readonly kind: RelationKind;
	/** Snapshots hold no temporary relations, which belong to one session each; overlays do. */
	readonly temporary: boolean;
	/** Without dropped columns, in attnum order; system columns are not listed. */
	readonly columns: readonly Column[];
	/** Oids of direct parents (inheritance and partitioning). */
	readonly parents: readonly number[];
	/** Oids of direct children. */
	readonly children: readonly number[];
	/** Attnums of the primary key, in key order; empty when there is none. */
	readonly primaryKey: readonly number[];
	/**
	 * For views and materialized views, of pg_catalog and information_schema only those that tell of columns: pg_get_viewdef under an empty search_path.
	 * Null where it is not known (somebody is changing the view or what it reads): such a view must not be read.
	 */
	readonly definition: string | null;
	/** Rules other than a view's own, INSTEAD or ALSO, for any command. */
	readonly hasRules: boolean;
	/** Row triggers BEFORE or INSTEAD OF INSERT or UPDATE that are switched on: they may change what is written. */
	readonly hasTriggers: boolean;
	/** Those on INSERT. Missing: as `hasTriggers`. */
	readonly hasInsertTriggers?: boolean;
	/** Of a view: what INSTEAD OF triggers and unconditional DO INSTEAD rules do in place of writing through it. Missing: none of it. */
	readonly instead?: readonly ('insert' | 'update' | 'delete')[];
	/** Code that is not PostgreSQL's own runs when it is read: of a policy, a view, a virtual column. Missing: no. */
	readonly readRunsCode?: boolean;
	/** The same when it is written: of triggers, checks, defaults, indexes, domains, and of tables that refer to it. */
	readonly writeRunsCode?: boolean;
	/** A user's code, and none of an extension's, is in what CREATE TABLE ... LIKE copies of it: defaults, checks, indexes. Missing: no. */
	readonly copiesCode?: boolean;
	/** Writing it may take a number from a sequence (a default, an identity column). */
	readonly usesSequence?: boolean;
	/** For composite types: the type of the row; pg_class.reltype. */
	readonly rowType: number;
	/** A view that the text at hand makes over something protected: it shows what its reader may see, but is no barrier. Missing: no. */
	readonly madeOverProtected?: boolean;
}

export interface Routine {
	readonly oid: number;
	readonly schema: string;
	readonly name: string;
	readonly kind: 'function' | 'procedure' | 'aggregate' | 'window';
	/** Input argument types (proargtypes). */
	readonly argTypes: readonly number[];
	/** Each input type as regprocedure prints it under an empty search_path with pg_catalog: 'integer', 'hr.mytype'. */
	readonly argNames: readonly string[];
	/** How many trailing arguments have defaults. */
	readonly defaults: number;
	/** Type oid of the variadic element, or 0. */
	readonly variadic: number;
	readonly returnsSet: boolean;
	readonly returnType: number;
	/** Names of the columns that a FROM item of it has (OUT/TABLE arguments), when it declares them. */
	readonly outColumns: readonly string[];
	readonly volatility: 'immutable' | 'stable' | 'volatile';
	readonly leakproof: boolean;
	/** Written in C, which takes a superuser to install. Missing: no. */
	readonly compiled?: boolean;
	/** Part of an extension, which takes the server's administrator to install. Missing: no. */
	readonly ofExtension?: boolean;
	/** oid < 16384 and in pg_catalog: comes with the server. */
	readonly builtin: boolean;
}

export interface Operator {
	readonly oid: number;
	readonly schema: string;
	readonly name: string;
	/** 0 for a prefix operator. */
	readonly left: number;
	readonly right: number;
	readonly result: number;
	/** Oid of the routine behind it. */
	readonly routine: number;
}

export interface Type {
	readonly oid: number;
	readonly schema: string;
	readonly name: string;
	/** pg_type.typtype: base b, composite c, domain d, enum e, pseudo p, range r, multirange m. */
	readonly kind: string;
	/** pg_type.typcategory, one letter. */
	readonly category: string;
	readonly preferred: boolean;
	/** Element type for arrays, or 0. */
	readonly element: number;
	/** Base type for domains, or 0. */
	readonly base: number;
	/** pg_class oid for composites, or 0. */
	readonly relation: number;
	/** Routines that making a value runs: in the checks of a domain, or to make a range canonical. */
	readonly routines: readonly number[];
	/** Other types of which making a value makes values, besides those above: what a domain's checks cast to, what a range is of. Missing: none. */
	readonly makes?: readonly number[];
	/** Users' routines that the default of a domain runs, where nothing is written to a column of it. Missing: none. */
	readonly defaultRoutines?: readonly number[];
}

export interface Cast {
	readonly source: number;
	readonly target: number;
	/** Oid of the routine, or 0 (binary coercible, or by I/O). */
	readonly routine: number;
	readonly context: 'implicit' | 'assignment' | 'explicit';
}

/** An operator class that did not come with the server. */
export interface OperatorClass {
	readonly schema: string;
	readonly name: string;
	/** Type of what is indexed by it. */
	readonly type: number;
	/** It is meant where an index of that type names none. */
	readonly isDefault: boolean;
	/** Operators of its family. */
	readonly operators: readonly number[];
	/** What sorting or an index by it may run: the support functions of its family, and those behind its operators. */
	readonly routines: readonly number[];
}

export interface SchemaObjects {
	readonly routines: readonly Routine[];
	readonly operators: readonly Operator[];
	readonly types: readonly Type[];
}

/** Which relations somebody looks for among all that there are. */
export interface WantedRelations {
	readonly isWanted: (schema: string, name: string) => boolean;
	/** Those with a column of one of these names; null: with any columns. */
	readonly columns: readonly string[] | null;
}

export interface CatalogSnapshot {
	/** Grows by one with every change that was seen. */
	readonly revision: number;
	/** As in server_version_num, e.g. 180004. */
	readonly serverVersion: number;
	/** Role that the gateway signs in with: what "$user" means in search_path. */
	readonly user: string;
	/** The zone of dates in masks and filters: what the server gives to that role, or the configuration. */
	readonly timeZone: string;
	/** Citus is there, and has a list of shards. Missing: no. */
	readonly hasShards?: boolean;
	/** What every session sees, or is nearer to it, where something that one of them sees lies over it. Missing: this is that. */
	readonly below?: CatalogSnapshot;
	hasSchema(name: string): boolean;
	/** There is such a schema and the gateway's role has USAGE on it: the server skips others in search_path. */
	mayUseSchema(name: string): boolean;
	relation(schema: string, name: string): Relation | undefined;
	relationByOid(oid: number): Relation | undefined;
	/** Every overload, functions, procedures, aggregates and window functions alike. */
	routines(schema: string, name: string): readonly Routine[];
	/** Every overload in every schema. */
	routinesNamed(name: string): readonly Routine[];
	routineByOid(oid: number): Routine | undefined;
	operators(schema: string, name: string): readonly Operator[];
	/** Every operator of that name in every schema. */
	operatorsNamed(name: string): readonly Operator[];
	type(schema: string, name: string): Type | undefined;
	typeByOid(oid: number): Type | undefined;
	/** pg_type.typarray's inverse is `element`; this finds the array type of an element type, or 0. */
	arrayTypeOf(element: number): number;
	cast(source: number, target: number): Cast | undefined;
	/**
	 * Whether a column of a relation or type, or what a function gives, has that name, or had it in a snapshot before: a statement
	 * that was decided by that one may still wait. Looks at all that there is: do not use per statement.
	 */
	mayBeField(name: string): boolean;
	/** Casts that are not built in (oid >= 16384). */
	readonly userCasts: readonly Cast[];
	readonly operatorClasses: readonly OperatorClass[];
	/** What users have made in a schema besides relations. Looks at all that there is: do not use per statement. */
	objectsIn(schema: string): SchemaObjects;
	/** All relations, for validation and for `explain`; do not use per statement. Made as they are asked for, not kept. `wanted`: others may be left out. */
	relations(wanted?: WantedRelations): Iterable<Relation>;
}
