/** What may be altered of a table of which the policy masks or hides columns, and no rows: what neither reads those columns nor gives them another sense. */
import type { Node } from '@pgsql/types';
import type { Relation } from '../catalog/snapshot.ts';
import { stringsOf } from './names.ts';
import { as, type NodeOf } from './nodes.ts';
import type { Protection } from './protection.ts';

/** Whether a change may be made to a table of which something is kept back. */
export type Harmless = (relation: Relation, protection: Protection) => boolean;

/** How values are stored, and what the planner is told: of any column. */
const STORING: ReadonlySet<string> = new Set([
	'AT_SetRelOptions',
	'AT_ResetRelOptions',
	'AT_SetOptions',
	'AT_ResetOptions',
	'AT_SetStatistics',
	'AT_SetStorage',
	'AT_SetCompression',
	'AT_ClusterOn',
	'AT_DropCluster',
]);

/** Of a column that is seen as it is. */
const OF_COLUMN: ReadonlySet<string> = new Set(['AT_ColumnDefault', 'AT_SetNotNull', 'AT_DropNotNull']);

/** A new column with these holds nothing that was there before. */
const OF_NEW: ReadonlySet<string | undefined> = new Set([
	'CONSTR_NULL',
	'CONSTR_NOTNULL',
	'CONSTR_DEFAULT',
	'CONSTR_IDENTITY',
]);

/**
 * ALTER TABLE that adds columns, or changes how they are stored. What takes columns away or names them anew is not among it: masks and
 * filters go by names, and may look at other columns of the row.
 */
export function harmlessAlter({ cmds = [] }: NodeOf<'AlterTableStmt'>): Harmless {
	const commands = cmds.map((entry) => as(entry, 'AlterTableCmd'));
	return (relation, protection) =>
		isWholeTable(relation, protection) &&
		commands.every((command) => {
			const { subtype = '', name = '', def } = command ?? {};
			if (STORING.has(subtype)) return true;
			if (OF_COLUMN.has(subtype)) return isPlain(protection, name);
			return subtype === 'AT_AddColumn' && isNew(as(def, 'ColumnDef'));
		});
}

/** CREATE INDEX of columns that are seen as they are, and of what is computed of these. */
export function harmlessIndex(index: NodeOf<'IndexStmt'>): Harmless {
	const { indexParams = [], indexIncludingParams = [], whereClause } = index;
	return (relation, protection) =>
		isWholeTable(relation, protection) &&
		[...indexParams, ...indexIncludingParams].every((param) => {
			const { name, expr } = as(param, 'IndexElem') ?? {};
			return expr === undefined ? isPlain(protection, name ?? '') : readsPlain(relation, protection, expr);
		}) &&
		readsPlain(relation, protection, whereClause);
}

/** All of its rows are seen, and it stands for no others. */
function isWholeTable({ kind, parents, children }: Relation, { filters }: Protection): boolean {
	return kind === 'table' && filters.length === 0 && parents.length === 0 && children.length === 0;
}

function isPlain({ byName }: Protection, name: string): boolean {
	return byName.get(name)?.state === 'plain';
}

function isNew(column: NodeOf<'ColumnDef'> | undefined): boolean {
	const { constraints = [] } = column ?? {};
	return column !== undefined && constraints.every((node) => OF_NEW.has(as(node, 'Constraint')?.contype));
}

/** Every reference in it is to such a column, by its name or that of the table before it: none is to the row as a whole, or to what f(row) gives. */
function readsPlain(relation: Relation, protection: Protection, value: unknown): boolean {
	if (typeof value !== 'object' || value === null) return true;
	if (Array.isArray(value)) return value.every((entry) => readsPlain(relation, protection, entry));
	if ('SubLink' in value) return false;
	const fields = as(value as Node, 'ColumnRef')?.fields;
	if (fields === undefined) return Object.values(value).every((entry) => readsPlain(relation, protection, entry));
	const names = stringsOf(fields);
	const isNamed =
		names.length === fields.length && (names.length === 1 || (names.length === 2 && names[0] === relation.name));
	return isNamed && isPlain(protection, names.at(-1) ?? '');
}
