/** The lists in data/: which routines, relations and settings each supported version of PostgreSQL comes with. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export type ListKind = keyof typeof LIST_QUERIES;

/** One column of names each, in a database without extensions, under an empty search_path. */
export const LIST_QUERIES = {
	routines: `
		select case n.nspname when 'pg_catalog' then '' else n.nspname || '.' end || p.proname || '(' || coalesce(
			(select string_agg(format_type(t, null), ',' order by o) from unnest(p.proargtypes) with ordinality x(t, o)), '') || ')'
		from pg_proc p join pg_namespace n on n.oid = p.pronamespace
		where p.oid < 16384`,
	relations: `
		select n.nspname || '.' || c.relname
		from pg_class c join pg_namespace n on n.oid = c.relnamespace
		where n.nspname in ('pg_catalog', 'information_schema') and c.relkind in ('r', 'v', 'm', 'f', 'p', 'S')`,
	settings: `select context || ' ' || lower(name) from pg_settings where context in ('user', 'superuser')`,
} as const;

/** A line `## 14 15` opens the section of the names that exactly these versions have. */
export function parseLists(text: string): Map<string, Set<number>> {
	const versions = new Map<string, Set<number>>();
	let section: number[] = [];
	for (const line of text.split('\n')) {
		if (line.startsWith('## ')) section = line.slice(3).split(' ').map(Number);
		else if (line !== '') versions.set(line, new Set(section));
	}
	return versions;
}

export function formatLists(versions: ReadonlyMap<string, ReadonlySet<number>>): string {
	const sections = new Map<string, string[]>();
	for (const [name, has] of versions) {
		if (has.size === 0) continue;
		const section = [...has].sort((a, b) => a - b).join(' ');
		sections.set(section, [...(sections.get(section) ?? []), name]);
	}
	const order = [...sections].sort(([a], [b]) => (a < b ? -1 : 1));
	return order.map(([section, names]) => `## ${section}\n${names.sort().join('\n')}\n`).join('');
}

/** Names to the major versions that have them. */
export function readLists(kind: ListKind): Map<string, Set<number>> {
	return parseLists(readFileSync(fileURLToPath(new URL(`./data/${kind}.txt`, import.meta.url)), 'utf8'));
}
