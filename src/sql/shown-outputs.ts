/** What the columns of a derived table or CTE are called and made of, for telling which bound values meet protected columns. */
import type { Node, SelectStmt } from '@pgsql/types';
import { stringsOf } from './names.ts';
import { as } from './nodes.ts';

/** A query in FROM or WITH. */
export interface DerivedTable {
	readonly query: Node;
	/** The list of column names of a CTE; empty: its columns are called what the query calls them. */
	readonly aliases: readonly string[];
}

/** A column: its value in each branch of a UNION, or in each row of VALUES. */
export interface Output {
	/** Null for an expression without AS: what the server calls it is not told here. */
	readonly name: string | null;
	readonly values: readonly Node[];
}

/** A star stands for columns that keep their names, so there is nothing to say of it where only names count. */
type Column = Output | 'star';

/** Null where it cannot be told: a star where columns get other names by their place. */
export function outputsOf({ query, aliases }: DerivedTable): readonly Output[] | null {
	const columns = columnsOf(query);
	if (columns === null) return null;
	if (aliases.length === 0) return columns.filter((column) => column !== 'star');
	if (columns.includes('star') || aliases.length > columns.length) return null;
	return columns.flatMap((column, index) => {
		const name = aliases[index];
		if (column === 'star') return [];
		return name === undefined ? [column] : [{ ...column, name }];
	});
}

function columnsOf(query: Node): readonly Column[] | null {
	const select = as(query, 'SelectStmt');
	if (select !== undefined) return selectColumns(select);
	const writes =
		as(query, 'InsertStmt') ?? as(query, 'UpdateStmt') ?? as(query, 'DeleteStmt') ?? as(query, 'MergeStmt');
	return writes === undefined ? null : (writes.returningClause?.exprs ?? []).map(columnOf);
}

function selectColumns(select: SelectStmt): readonly Column[] | null {
	if (select.larg !== undefined && select.rarg !== undefined) return merged([select.larg, select.rarg]);
	const rows = select.valuesLists?.map((row) => as(row, 'List')?.items ?? []);
	if (rows === undefined) return (select.targetList ?? []).map(columnOf);
	const [first = []] = rows;
	if (rows.some((row) => row.length !== first.length)) return null;
	return first.map((_, index) => ({ name: `column${index + 1}`, values: rows.flatMap((row) => row[index] ?? []) }));
}

/** The names are those of the first; the columns meet by their places. */
function merged([left, right]: readonly [SelectStmt, SelectStmt]): readonly Column[] | null {
	const [first, second] = [selectColumns(left), selectColumns(right)];
	if (first === null || second === null || first.length !== second.length) return null;
	const columns: Output[] = [];
	for (const [index, column] of first.entries()) {
		const other = second[index];
		if (column === 'star' || other === 'star' || other === undefined) return null;
		columns.push({ name: column.name, values: [...column.values, ...other.values] });
	}
	return columns;
}

function columnOf(target: Node): Column {
	const { name, val } = as(target, 'ResTarget') ?? {};
	if (val === undefined) return { name: name ?? null, values: [target] };
	const fields = as(val, 'ColumnRef')?.fields;
	const last = fields?.at(-1);
	if (last !== undefined && 'A_Star' in last) return 'star';
	return { name: name ?? stringsOf(fields).at(-1) ?? null, values: [val] };
}
