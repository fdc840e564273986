/**
 * Lists what a PostgreSQL server comes with (routines, relations, settings) into test/catalog/data, and routines that
 * src/catalog/data/routines.ts does not know under its "unlisted", for a person to read up on and to put where they belong.
 *
 *     npx tsx scripts/list-builtins.ts postgres://postgres@127.0.0.1:5432/postgres
 *
 * Run it once for each supported version, against a database without extensions. The tests then say what is left to do.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { formatLists, LIST_QUERIES, parseLists } from '../test/catalog/lists.ts';

const url = process.argv[2];
if (url === undefined) throw new Error('usage: list-builtins <connection string>');
const client = new pg.Client({ connectionString: url });
await client.connect();
try {
	const setting = await one("select current_setting('server_version_num')");
	const version = Math.floor(Number(setting[0]) / 10_000);
	await client.query("set search_path = ''");
	for (const [kind, query] of Object.entries(LIST_QUERIES)) {
		const names = await one(query);
		merge(`test/catalog/data/${kind}.txt`, version, names);
		if (kind === 'routines') addUnlisted(names);
		process.stdout.write(`${names.length} ${kind} of PostgreSQL ${version}\n`);
	}
} finally {
	await client.end();
}

async function one(query: string): Promise<string[]> {
	const result = await client.query<[string]>({ text: query, rowMode: 'array' });
	return result.rows.map(([name]) => name);
}

/** Brings the list of all versions up to date with what this version has. */
function merge(path: string, version: number, names: readonly string[]): void {
	const file = fileURLToPath(new URL(`../${path}`, import.meta.url));
	const versions = existsSync(file) ? parseLists(readFileSync(file, 'utf8')) : new Map<string, Set<number>>();
	for (const has of versions.values()) has.delete(version);
	for (const name of names) {
		const has = versions.get(name) ?? new Set<number>();
		has.add(version);
		versions.set(name, has);
	}
	writeFileSync(file, formatLists(versions));
}

function addUnlisted(names: readonly string[]): void {
	const file = fileURLToPath(new URL('../src/catalog/data/routines.ts', import.meta.url));
	const text = readFileSync(file, 'utf8');
	const known = new Set<string>();
	for (const line of text.split('\n')) {
		const open = line.indexOf('(');
		if (line.startsWith('#') || open <= 0 || !line.endsWith(')')) continue;
		for (const types of line.slice(open + 1, -1).split(')(')) known.add(`${line.slice(0, open)}(${types})`);
	}
	const added = names.filter((name) => !known.has(name));
	if (added.length === 0) return;
	const end = text.lastIndexOf('`;');
	const section = `# unlisted: nobody has looked at it yet\n${added.join('\n')}\n`;
	writeFileSync(file, `${text.slice(0, end)}${section}${text.slice(end)}`);
	process.stdout.write(
		`${added.length} routines are new: put them where they belong in src/catalog/data/routines.ts\n`,
	);
}
