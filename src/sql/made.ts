/** What a statement makes, noted so that those after it in the same text can name it before the catalogue knows it. */
import type { Node } from '@pgsql/types';
import type { Relation } from '../catalog/snapshot.ts';
import type { Making } from './may.ts';
import { stringsOf, TYPE } from './names.ts';
import { as, type NodeOf } from './nodes.ts';
import type { Walk } from './walk.ts';

export interface MadeColumn {
	readonly name: string;
	readonly type: number | null;
}

/**
 * Notes a relation whose columns are known, for the rest of the text. Where another has the name nothing is made, or not yet:
 * what the catalogue shows of that one holds.
 */
export function noteMade(
	walk: Walk,
	{ schema, name: relname, temporary }: Making,
	kind: Relation['kind'],
	columns: readonly MadeColumn[] | null,
): void {
	const { catalog } = walk.context;
	if (columns === null || (!temporary && catalog.relation(schema, relname) !== undefined)) return;
	walk.made.push({
		oid: 0,
		schema,
		name: relname,
		kind,
		temporary,
		columns: [...new Map(columns.map((column) => [column.name, column])).values()].map(({ name, type }, i) => ({
			name,
			attnum: i + 1,
			// An untyped literal is stored as text.
			typeOid: type === TYPE.unknown ? TYPE.text : (type ?? 0),
			type: '',
			notNull: false,
			hasDefault: false,
			generated: '',
			collation: null,
		})),
		parents: [],
		children: [],
		primaryKey: [],
		definition: null,
		hasRules: false,
		hasTriggers: false,
		rowType: 0,
	});
}

/** Longest name in bytes; the server shortens what it makes up in a way of its own. */
const NAME_BYTES_MAX = 63;

/** Sequences and indexes that come with a table's elements, under the names that the server gives them or the statement does. */
export function noteMadeBeside(walk: Walk, table: Making, elements: readonly Node[]): void {
	for (const element of elements) {
		const column = as(element, 'ColumnDef');
		if (column !== undefined && takesNumbers(column)) note(walk, table, sequenceOf(table, column), 'sequence');
		const constraints = [element, ...(column?.constraints ?? [])].flatMap((node) => as(node, 'Constraint') ?? []);
		for (const constraint of constraints) note(walk, table, indexOf(table, constraint, column?.colname), 'index');
	}
}

/** CREATE INDEX with a name: it is made beside its table. */
export function noteMadeIndex(walk: Walk, table: Pick<Relation, 'schema' | 'temporary'>, name: string): void {
	note(walk, table, name, 'index');
}

function note(
	walk: Walk,
	{ schema, temporary }: Pick<Relation, 'schema' | 'temporary'>,
	name: string | undefined,
	kind: 'sequence' | 'index',
): void {
	if (name === undefined || name === '' || Buffer.byteLength(name) > NAME_BYTES_MAX) return;
	noteMade(walk, { schema, name, temporary }, kind, []);
}

const SERIAL: ReadonlySet<string> = new Set(['serial', 'bigserial', 'smallserial', 'serial2', 'serial4', 'serial8']);

function takesNumbers({ typeName, constraints = [] }: NodeOf<'ColumnDef'>): boolean {
	const [name, ...more] = stringsOf(typeName?.names);
	if (name !== undefined && more.length === 0 && SERIAL.has(name)) return true;
	return constraints.some((node) => as(node, 'Constraint')?.contype === 'CONSTR_IDENTITY');
}

function sequenceOf(table: Making, { colname, constraints = [] }: NodeOf<'ColumnDef'>): string {
	const identity = constraints.map((node) => as(node, 'Constraint')).find((one) => one?.contype === 'CONSTR_IDENTITY');
	const named = identity?.options
		?.map((option) => as(option, 'DefElem'))
		.find((one) => one?.defname === 'sequence_name');
	return stringsOf(as(named?.arg, 'List')?.items).at(-1) ?? `${table.name}_${colname ?? ''}_seq`;
}

function indexOf(table: Making, constraint: NodeOf<'Constraint'>, column: string | undefined): string | undefined {
	const { contype, conname, keys } = constraint;
	if (contype === 'CONSTR_PRIMARY') return conname ?? `${table.name}_pkey`;
	if (contype === 'CONSTR_EXCLUSION') return conname;
	if (contype !== 'CONSTR_UNIQUE') return undefined;
	const columns = column === undefined ? stringsOf(keys) : [column];
	return conname ?? `${table.name}_${columns.join('_')}_key`;
}
