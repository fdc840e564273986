/** Which columns of a database are hidden from an identity: all of them together, for the catalogues in which their names stand. */
import type { CatalogSnapshot, Column, Relation } from '../catalog/snapshot.ts';
import type { Access, HidingRule } from '../stages.ts';
import { related } from './kin.ts';
import { isHidden } from './protection.ts';

/** Plain data, so that it can be told to a thread. */
export interface HiddenColumns {
	/** Oids of the relations that have one, ascending. */
	readonly relations: readonly number[];
	/** `oid * 65536 + attnum` of each, ascending. */
	readonly keys: readonly number[];
	/** There are more than somebody wants to know of; the lists are cut short. */
	readonly tooMany: boolean;
}

/** What an attnum is added to; attnums are 16 bits wide. */
export const KEY_FACTOR = 65_536;

/** Kept as long as access and snapshot live: both are replaced, never changed. */
const known = new WeakMap<Access, WeakMap<CatalogSnapshot, HiddenColumns | null>>();

/** Null where no column is hidden. `columnsMax`: how many are looked for; the same for all calls. */
export function hiddenColumns(catalog: CatalogSnapshot, access: Access, columnsMax: number): HiddenColumns | null {
	const rules = access.hiding ?? [];
	if (rules.length === 0) return null;
	// Relations that only one session sees are its own, or will be known to all soon.
	let committed = catalog;
	while (committed.below !== undefined) committed = committed.below;
	let ofAccess = known.get(access);
	if (ofAccess === undefined) known.set(access, (ofAccess = new WeakMap()));
	let hidden = ofAccess.get(committed);
	if (hidden === undefined) ofAccess.set(committed, (hidden = find(committed, access, rules, columnsMax)));
	return hidden;
}

function find(
	catalog: CatalogSnapshot,
	access: Access,
	rules: readonly HidingRule[],
	columnsMax: number,
): HiddenColumns | null {
	const keys = new Set<number>();
	const looked = new Set<number>();
	for (const relation of candidates(catalog, rules)) {
		if (keys.size > columnsMax) break;
		if (!KINDS.has(relation.kind) || relation.temporary || isServers(relation.schema)) continue;
		const own = rules.filter(({ isFor }) => isFor(relation.schema, relation.name));
		const named = relation.columns.filter(({ name }) => own.some(({ covers }) => covers(name)));
		// What is hidden in a table is hidden in its partitions and children, and in its parents.
		for (const one of named.length === 0 ? [] : withKin(catalog, relation)) {
			for (const column of sameColumns(one, named)) {
				const key = one.oid * KEY_FACTOR + column.attnum;
				if (looked.has(key)) continue;
				looked.add(key);
				// A denial has the last word: whoever's rule it is need not be asked for again.
				if (one === relation || isHidden(catalog, access, one, column)) keys.add(key);
			}
		}
	}
	if (keys.size === 0) return null;
	const ascending = [...keys].sort((a, b) => a - b).slice(0, columnsMax);
	const relations = [...new Set(ascending.map((key) => Math.floor(key / KEY_FACTOR)))];
	return { relations, keys: ascending, tooMany: keys.size > columnsMax };
}

const KINDS: ReadonlySet<Relation['kind']> = new Set(['table', 'partitioned', 'view', 'matview', 'foreign']);

/** No other schema may be called so. */
function isServers(schema: string): boolean {
	return schema.startsWith('pg_') || schema === 'information_schema';
}

/** Looks at all names of the catalogue only where a rule has a wildcard for the relation. */
function* candidates(catalog: CatalogSnapshot, rules: readonly HidingRule[]): Iterable<Relation> {
	for (const { relation } of rules) {
		const named = relation === null ? undefined : catalog.relation(relation.schema, relation.name);
		if (named !== undefined) yield named;
	}
	const wild = rules.filter(({ relation }) => relation === null);
	if (wild.length === 0) return;
	const columns = wild.flatMap(({ column }) => column ?? []);
	yield* catalog.relations({
		isWanted: (schema, name) => !isServers(schema) && wild.some(({ isFor }) => isFor(schema, name)),
		columns: columns.length === wild.length ? columns : null,
	});
}

function withKin(catalog: CatalogSnapshot, relation: Relation): readonly Relation[] {
	return [relation, ...related(catalog, relation, 'parents'), ...related(catalog, relation, 'children')];
}

function sameColumns({ columns }: Relation, named: readonly Column[]): readonly Column[] {
	return columns.filter(({ name }) => named.some((other) => other.name === name));
}
