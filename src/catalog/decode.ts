/** From rows of text to the nouns of the catalogue; throws CatalogFormatError on anything that the queries never give. */
import type { Cast, Column, Operator, OperatorClass, Relation, RelationKind, Routine, Type } from './snapshot.ts';

export type Row = readonly (string | null)[];

/** The database answered with something else than was asked for. */
export class CatalogFormatError extends Error {
	override readonly name = 'CatalogFormatError';
}

/** A relation as it is stored: its columns stay one text until somebody asks for them. */
export interface PackedRelation {
	readonly oid: number;
	readonly schema: string;
	readonly name: string;
	readonly kind: RelationKind;
	readonly rowType: number;
	readonly flags: string;
	readonly primaryKey: string;
	readonly parents: string;
	/** JSON as in relationsQuery. */
	readonly columns: string;
}

/** What format_type says of a type, and of what it is without the domains over it; null for what no domain checks. */
export interface ColumnType {
	readonly name: string;
	readonly plain: string | null;
}

/** Names that a column's numbers stand for. */
export interface ColumnNames {
	/** By `${type oid} ${typmod}`. */
	readonly types: ReadonlyMap<string, ColumnType>;
	/** Oid to the qualified, quoted name. */
	readonly collations: ReadonlyMap<number, string>;
}

const KINDS: Readonly<Record<string, RelationKind>> = {
	r: 'table',
	p: 'partitioned',
	v: 'view',
	m: 'matview',
	f: 'foreign',
	S: 'sequence',
	c: 'composite',
	t: 'toast',
	i: 'index',
	I: 'index',
};

/** Keeps one copy of strings that come again and again (schemas, keys, flags). */
export type Intern = (text: string) => string;

export function packRelation(row: Row, intern: Intern): PackedRelation {
	return {
		oid: int(row[0]),
		schema: intern(text(row[1])),
		name: text(row[2]),
		kind: known(KINDS, row[3]),
		rowType: int(row[4]),
		flags: intern(text(row[5])),
		primaryKey: intern(row[6] ?? ''),
		parents: intern(row[7] ?? ''),
		columns: row[8] ?? '',
	};
}

/** `children` and `definition` are found elsewhere. */
export function unpackRelation(
	packed: PackedRelation,
	names: ColumnNames,
	children: readonly number[],
	definition: string | null,
): Relation {
	return {
		oid: packed.oid,
		schema: packed.schema,
		name: packed.name,
		kind: packed.kind,
		temporary: packed.flags.includes('t'),
		columns: decodeColumns(packed.columns, names),
		parents: oids(packed.parents),
		children,
		primaryKey: oids(packed.primaryKey),
		definition,
		hasRules: packed.flags.includes('r'),
		hasTriggers: packed.flags.includes('g'),
		hasInsertTriggers: packed.flags.includes('i'),
		instead: INSTEAD.flatMap(([flag, action]) => (packed.flags.includes(flag) ? [action] : [])),
		readRunsCode: packed.flags.includes('u'),
		writeRunsCode: packed.flags.includes('w'),
		copiesCode: packed.flags.includes('l'),
		usesSequence: packed.flags.includes('s'),
		rowType: packed.rowType,
	};
}

const INSTEAD = [
	['I', 'insert'],
	['U', 'update'],
	['D', 'delete'],
] as const;

/** Of the columns of a packed relation. */
export function columnNames(json: string): string[] {
	return json === '' ? [] : (JSON.parse(json) as [number, string][]).map(([, name]) => name);
}

function decodeColumns(json: string, names: ColumnNames): Column[] {
	if (json === '') return [];
	const columns = JSON.parse(json) as [number, string, number, number, number, number, number[]?][];
	return columns.map(([attnum, name, typeOid, typmod, flags, collation, computedFrom]) => ({
		name,
		attnum,
		typeOid,
		...typeNames(names.types.get(`${typeOid} ${typmod}`)),
		notNull: (flags & 1) !== 0,
		hasDefault: (flags & 2) !== 0,
		generated: (flags & 4) !== 0 ? 'stored' : (flags & 8) !== 0 ? 'virtual' : '',
		collation: collation === 0 ? null : (names.collations.get(collation) ?? '"???"'),
		...(computedFrom === undefined ? {} : { computedFrom }),
	}));
}

/** '???' is what format_type says of a type that is gone: it runs nowhere. */
function typeNames({ name, plain }: ColumnType = { name: '???', plain: null }): Pick<Column, 'type' | 'plainType'> {
	return plain === null ? { type: name } : { type: name, plainType: plain };
}

const ROUTINE_KINDS: Readonly<Record<string, Routine['kind']>> = {
	f: 'function',
	p: 'procedure',
	a: 'aggregate',
	w: 'window',
};

const VOLATILITIES: Readonly<Record<string, Routine['volatility']>> = { i: 'immutable', s: 'stable', v: 'volatile' };

export function decodeRoutine(row: Row, intern: Intern, part: 'builtin' | 'user'): Routine {
	const schema = intern(text(row[1]));
	return {
		oid: int(row[0]),
		schema,
		name: text(row[2]),
		kind: known(ROUTINE_KINDS, row[3]),
		argTypes: oids(text(row[4])),
		argNames: strings(row[5]).map((name) => intern(name)),
		defaults: int(row[6]),
		variadic: int(row[7]),
		returnsSet: bool(row[8]),
		returnType: int(row[9]),
		outColumns: strings(row[10]).map((name) => intern(name)),
		volatility: known(VOLATILITIES, row[11]),
		leakproof: bool(row[12]),
		compiled: bool(row[13]),
		ofExtension: bool(row[14]),
		builtin: part === 'builtin',
	};
}

export function decodeOperator(row: Row, intern: Intern): Operator {
	return {
		oid: int(row[0]),
		schema: intern(text(row[1])),
		name: intern(text(row[2])),
		left: int(row[3]),
		right: int(row[4]),
		result: int(row[5]),
		routine: int(row[6]),
	};
}

/** A type, and the oid of its array type or 0. */
export function decodeType(row: Row, intern: Intern): { type: Type; array: number } {
	const type = {
		oid: int(row[0]),
		schema: intern(text(row[1])),
		name: text(row[2]),
		kind: intern(text(row[3])),
		category: intern(text(row[4])),
		preferred: bool(row[5]),
		element: int(row[6]),
		base: int(row[7]),
		relation: int(row[8]),
		routines: oids(text(row[10])),
		...(row[11] === '' ? {} : { makes: oids(text(row[11])) }),
		...(row[12] === '' ? {} : { defaultRoutines: oids(text(row[12])) }),
	};
	return { type, array: int(row[9]) };
}

const CONTEXTS: Readonly<Record<string, Cast['context']>> = { i: 'implicit', a: 'assignment', e: 'explicit' };

export function decodeCast(row: Row): Cast {
	return {
		source: int(row[0]),
		target: int(row[1]),
		routine: int(row[2]),
		context: known(CONTEXTS, row[3]),
	};
}

export function decodeOperatorClass(row: Row): OperatorClass {
	return {
		schema: text(row[0]),
		name: text(row[1]),
		type: int(row[2]),
		isDefault: bool(row[3]),
		operators: oids(text(row[4])),
		routines: oids(text(row[5])),
	};
}

export function text(cell: string | null | undefined): string {
	if (cell === null || cell === undefined)
		throw new CatalogFormatError('a name is missing in an answer of the database');
	return cell;
}

/** Oids reach 2^32 - 1, counts and attnums far less. */
export function int(cell: string | null | undefined): number {
	const value = Number(text(cell));
	if (!Number.isSafeInteger(value)) throw new CatalogFormatError(`${String(cell)} is no number`);
	return value;
}

export function bool(cell: string | null | undefined): boolean {
	return text(cell) === 't';
}

/** '1 2 3', as in an oidvector. */
function oids(list: string): number[] {
	return list === '' ? [] : list.split(' ').map(int);
}

function strings(json: string | null | undefined): string[] {
	return json === null || json === undefined ? [] : (JSON.parse(json) as string[]);
}

function known<T>(table: Readonly<Record<string, T>>, cell: string | null | undefined): T {
	const value = table[text(cell)];
	if (value === undefined) throw new CatalogFormatError(`${String(cell)} is not among ${Object.keys(table).join(' ')}`);
	return value;
}
