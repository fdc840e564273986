/** What names mean to a session: its search_path, and what nobody but it sees yet. */
import { overlay } from '../catalog/overlay.ts';
import type { CatalogSnapshot, Relation } from '../catalog/snapshot.ts';
import type { RelationName } from './names.ts';

/** What names mean to the session at this moment. */
export interface SessionNames {
	/** search_path as set, unquoted; null while nobody knows. */
	readonly searchPath: readonly string[] | null;
	readonly tempSchema: string | null;
	/** Relations that only this session sees: of a transaction that has not ended. The same array as long as nothing changed. */
	readonly own?: readonly Relation[];
	/** Schemas that its transaction makes. */
	readonly schemas?: readonly string[];
	/** Relations that its transaction has altered, and how often. Columns of those that are not among `own` have types that nobody knows. */
	readonly altered?: { readonly relations: readonly RelationName[]; readonly count: number };
}

/** Something is there that only its session sees. */
export function hasOwn({ own, schemas, altered }: SessionNames): boolean {
	return own !== undefined || schemas !== undefined || altered !== undefined;
}

export function withOwn({ own = [], schemas = [], altered }: SessionNames, snapshot: CatalogSnapshot): CatalogSnapshot {
	const unsure = (altered?.relations ?? []).flatMap(({ schema, name }): Relation[] => {
		const before = snapshot.relation(schema, name);
		if (before === undefined || own.some((one) => one.oid === before.oid)) return [];
		return own.some((one) => one.schema === schema && one.name === name) ? [] : [typeless(before)];
	});
	return overlay(snapshot, [...own, ...unsure], [], [], schemas);
}

/** `columns`: whose types may be others by now; all where it is not given. */
export function typeless(relation: Relation, columns?: ReadonlySet<string>): Relation {
	return {
		...relation,
		columns: relation.columns.map((column) =>
			columns === undefined || columns.has(column.name) ? { ...column, typeOid: 0 } : column,
		),
	};
}

/** Tells two of them apart, but for what only the session sees. */
export function textOf({ searchPath, tempSchema, altered }: SessionNames): string {
	let path = '?';
	if (searchPath !== null) {
		path = joinedPaths.get(searchPath) ?? JSON.stringify(searchPath);
		joinedPaths.set(searchPath, path);
	}
	return `${path}/${tempSchema ?? ''}${altered === undefined ? '' : `/${altered.count}`}`;
}

const joinedPaths = new WeakMap<readonly string[], string>();
