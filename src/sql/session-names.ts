/** What names mean to a session: its search_path, and what nobody but it sees yet. */
import { overlay } from '../catalog/overlay.ts';
import type { CatalogSnapshot, Relation } from '../catalog/snapshot.ts';

/** What names mean to the session at this moment. */
export interface SessionNames {
	/** search_path as set, unquoted; null while nobody knows. */
	readonly searchPath: readonly string[] | null;
	readonly tempSchema: string | null;
	/** Relations that only this session sees: of a transaction that has not ended. The same array as long as nothing changed. */
	readonly own?: readonly Relation[];
	/** Schemas that its transaction makes. */
	readonly schemas?: readonly string[];
}

/** Something is there that only its session sees. */
export function hasOwn({ own, schemas }: SessionNames): boolean {
	return own !== undefined || schemas !== undefined;
}

export function withOwn({ own = [], schemas = [] }: SessionNames, snapshot: CatalogSnapshot): CatalogSnapshot {
	return overlay(snapshot, own, [], [], schemas);
}

/** Tells two of them apart, but for what only the session sees. */
export function textOf({ searchPath, tempSchema }: SessionNames): string {
	let path = '?';
	if (searchPath !== null) {
		path = joinedPaths.get(searchPath) ?? JSON.stringify(searchPath);
		joinedPaths.set(searchPath, path);
	}
	return `${path}/${tempSchema ?? ''}`;
}

const joinedPaths = new WeakMap<readonly string[], string>();
