/** Names in sight of an expression: range items with their columns, and the CTEs around them. */
import type { Relation } from '../catalog/snapshot.ts';
import type { InlineTarget } from './inline-target.ts';
import type { Leaf } from './leaf.ts';
import type { ExprInfo, UseNote } from './walk.ts';

export interface ItemColumn {
	readonly name: string;
	/** Type oid, or null when it can't be told. */
	readonly type: number | null;
	/** Its value is what a mask makes, or the item is filtered and the value computed: not to be run on hidden rows. */
	readonly masked: boolean;
	/** Name of the relation's own column, where it is one (an alias list may have renamed it). */
	readonly origin?: string;
	/** For a column of VALUES: what its rows give. */
	readonly given?: readonly ExprInfo[];
	/** For a column that USING made of two: the item whose column it is, value and type. */
	readonly from?: RangeItem;
	/** For a column of a join under a name of its own: the item whose column it is, and the relation's own name for it. */
	readonly behind?: { readonly item: RangeItem; readonly origin: string };
	/** For a column that a subquery or CTE hands on as it is: the column that it is there. */
	readonly through?: { readonly item: RangeItem; readonly column: ItemColumn; readonly cte?: CteInfo };
}

/** One thing that FROM (or the target of a write) brings into sight. */
export interface RangeItem {
	/** The name by which columns of it are qualified; null for an unnamed subquery. */
	readonly name: string | null;
	/** Schema, where `schema.name.column` may refer to it (no alias given). */
	readonly schema: string | null;
	/** null: not known (a function that returns records, or the like). */
	readonly columns: readonly ItemColumn[] | null;
	/** The relation was replaced by a subquery: qualified references lose their schema, system columns are gone. */
	readonly replaced: boolean;
	/** Columns of it are reachable only by qualified name (merged by USING, or `excluded`, `old`, `new`). */
	readonly qualifiedOnly: boolean;
	/** Target of a write whose columns are masked in place. */
	readonly inline?: InlineTarget;
	/** Where columns that are read are noted. */
	readonly note?: UseNote;
	/** Type oid of the row as a whole where it is a named composite type. */
	readonly rowType: number | null;
	/** A function in FROM: its row may be a value that is no row. */
	readonly maybeValue?: boolean;
	/** A function in FROM: it may give something else by the time that the text runs. */
	readonly isFunction?: boolean;
	/** Of a function in FROM: its columns are the fields of a row type, and what is no row has functions in their place. */
	readonly ofRow?: boolean;
	/** Names of its columns that a join has merged with others: a bare name or star means the join's column instead. */
	merged?: ReadonlySet<string>;
	/** An outer join may put nulls in place of its row. */
	nullable?: boolean;
	/** Columns that the query compares with one of this item, by its name in the relation: only rows where they are equal are kept. */
	equal?: { readonly origin: string; readonly other: Leaf }[];
}

/** Columns that a bare name or a bare star means; null when they are not known. */
export function bareColumns(item: RangeItem): readonly ItemColumn[] | null {
	const { columns, merged } = item;
	if (item.qualifiedOnly) return [];
	return columns === null || merged === undefined ? columns : columns.filter((column) => !merged.has(column.name));
}

/** What is known of a CTE from outside. */
export interface CteInfo {
	readonly name: string;
	readonly columns: readonly ItemColumn[] | null;
	/** How often it is read. */
	uses: number;
}

export interface Scope {
	readonly parent: Scope | null;
	readonly items: RangeItem[];
	readonly ctes: CteInfo[];
}

export function newScope(parent: Scope | null): Scope {
	return { parent, items: [], ctes: [] };
}

/** Names of a relation that is being made: any bare name may be a column of it. */
export function columnsUnknown(): Scope {
	const item: RangeItem = {
		name: null,
		schema: null,
		columns: null,
		replaced: false,
		qualifiedOnly: false,
		rowType: null,
	};
	return { ...newScope(null), items: [item] };
}

/** Names of a relation that nothing is kept back of, where one row of it is in sight; under another name only as `name.column`. */
export function rowScope(relation: Relation, ...names: readonly string[]): Scope {
	const columns = relation.columns.map(({ name, typeOid }) => ({ name, type: typeOid, masked: false, origin: name }));
	const item = (name: string): RangeItem => ({
		name,
		schema: names.length === 0 ? relation.schema : null,
		columns,
		replaced: false,
		qualifiedOnly: names.length > 0,
		rowType: relation.rowType,
	});
	return { ...newScope(null), items: (names.length === 0 ? [relation.name] : names).map(item) };
}

/** As rowScope, of a relation that is being made. */
export function madeScope(
	{ schema, name }: { readonly schema: string; readonly name: string },
	columns: readonly { readonly name: string; readonly type: number | null }[],
): Scope {
	const item: RangeItem = {
		...{ name, schema, replaced: false, qualifiedOnly: false, rowType: null },
		columns: columns.map((column) => ({ ...column, masked: false, origin: column.name })),
	};
	return { ...newScope(null), items: [item] };
}

export function findCte(scope: Scope | null, name: string): CteInfo | undefined {
	for (let at = scope; at !== null; at = at.parent) {
		const found = at.ctes.findLast((cte) => cte.name === name);
		if (found !== undefined) return found;
	}
	return undefined;
}

/** What a bare or qualified name means. `opaque`: some item in sight has unknown columns, so it may be one of those. */
export type Resolution =
	| { readonly kind: 'column'; readonly item: RangeItem; readonly column: ItemColumn }
	| { readonly kind: 'item'; readonly item: RangeItem }
	| { readonly kind: 'opaque'; readonly item: RangeItem }
	| { readonly kind: 'missing-column'; readonly item: RangeItem }
	| { readonly kind: 'unknown' };

/** A bare name: the innermost scope that has such a column wins, then an item of that name as a whole row. */
export function resolveBare(scope: Scope, name: string): Resolution {
	for (let at: Scope | null = scope; at !== null; at = at.parent) {
		let opaque: RangeItem | undefined;
		for (const item of at.items) {
			const columns = bareColumns(item);
			if (columns === null) {
				opaque ??= item;
				continue;
			}
			const column = columns.find((candidate) => candidate.name === name);
			if (column !== undefined) return { kind: 'column', item, column };
		}
		if (opaque !== undefined) return { kind: 'opaque', item: opaque };
	}
	const item = findItem(scope, name, null);
	return item === undefined ? { kind: 'unknown' } : { kind: 'item', item };
}

/** `item.column`, or `schema.item.column`. */
export function resolveQualified(scope: Scope, schema: string | null, itemName: string, name: string): Resolution {
	const item = findItem(scope, itemName, schema);
	if (item === undefined) return { kind: 'unknown' };
	if (item.columns === null) return { kind: 'opaque', item };
	const column = item.columns.find((candidate) => candidate.name === name);
	return column === undefined ? { kind: 'missing-column', item } : { kind: 'column', item, column };
}

export function findItem(scope: Scope, name: string, schema: string | null): RangeItem | undefined {
	for (let at: Scope | null = scope; at !== null; at = at.parent) {
		const item = at.items.find(
			(candidate) => candidate.name === name && (schema === null || candidate.schema === schema),
		);
		if (item !== undefined) return item;
	}
	return undefined;
}
