/** Reads PgBouncer's files as it reads them: the ini file with its includes and connection strings, and the list of users. */
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { CommandError } from '../io.ts';

/** `name = value` of a section. */
export interface Entry {
	readonly name: string;
	readonly value: string;
	/** E.g. `pgbouncer.ini:12`. */
	readonly place: string;
}

export interface Ini {
	/** By name of the section in lower case; of entries with one name the last counts, as in PgBouncer. */
	readonly sections: ReadonlyMap<string, readonly Entry[]>;
}

const fileBytesMax = 16 * 1024 * 1024;
const includesMax = 10;

/** CommandError with file and line for what cannot be read. */
export async function readIni(path: string): Promise<Ini> {
	const sections = new Map<string, Map<string, Entry>>();
	await readInto(sections, resolve(path), path, { section: null, depth: 0 });
	return { sections: new Map([...sections].map(([name, entries]) => [name, [...entries.values()]])) };
}

interface Where {
	section: Map<string, Entry> | null;
	readonly depth: number;
}

async function readInto(
	sections: Map<string, Map<string, Entry>>,
	path: string,
	shown: string,
	where: Where,
): Promise<void> {
	if (where.depth > includesMax)
		throw new CommandError(`${shown}: files include each other more than ${includesMax} deep`);
	const lines = (await readText(path, shown)).split(/\r?\n/);
	for (const [index, raw] of lines.entries()) {
		const line = raw.trim();
		const place = `${shown}:${index + 1}`;
		if (line === '' || line.startsWith(';') || line.startsWith('#')) continue;
		const include = /^%include\s+(.+)$/.exec(line);
		if (include !== null) {
			const name = include[1] ?? '';
			// PgBouncer takes it from its working directory; that of the file is the better guess here.
			await readInto(sections, resolve(dirname(path), name), name, { ...where, depth: where.depth + 1 });
			continue;
		}
		const section = /^\[([^\]]+)\]$/.exec(line);
		if (section !== null) {
			const name = (section[1] ?? '').toLowerCase();
			where.section = sections.get(name) ?? new Map<string, Entry>();
			sections.set(name, where.section);
			continue;
		}
		const entry = /^("(?:[^"]|"")+"|[^\s="]+)\s*=\s*(.*)$/.exec(line);
		if (entry === null) throw new CommandError(`${place}: neither a section nor name = value: ${line}`);
		if (where.section === null) throw new CommandError(`${place}: stands before the first section`);
		const name = unquoted(entry[1] ?? '', '"');
		where.section.set(name, { name, value: entry[2] ?? '', place });
	}
}

/** `key=value` pairs as in libpq, values in single quotes where they need them. CommandError at `place`. */
export function parseConnectionString({ value, place }: Entry): ReadonlyMap<string, string> {
	const found = new Map<string, string>();
	let rest = value.trim();
	while (rest !== '') {
		const pair = /^(\w+)\s*=\s*('(?:[^']|'')*'|[^\s']*)(?:\s+|$)/.exec(rest);
		if (pair === null) throw new CommandError(`${place}: the connection string cannot be read from here: ${rest}`);
		found.set((pair[1] ?? '').toLowerCase(), unquoted(pair[2] ?? '', "'"));
		rest = rest.slice(pair[0].length);
	}
	return found;
}

/** Names and what stands for their passwords: plain, `md5...` or `SCRAM-SHA-256$...`. CommandError for what cannot be read. */
export async function readUsers(path: string): Promise<ReadonlyMap<string, string>> {
	const users = new Map<string, string>();
	for (const [index, raw] of (await readText(path, path)).split(/\r?\n/).entries()) {
		const line = raw.trim();
		if (line === '' || line.startsWith(';') || line.startsWith('#')) continue;
		const fields = /^("(?:[^"]|"")*")\s+("(?:[^"]|"")*")/.exec(line);
		if (fields === null) throw new CommandError(`${path}:${index + 1}: not of the form "user" "password"`);
		users.set(unquoted(fields[1] ?? '', '"'), unquoted(fields[2] ?? '', '"'));
	}
	return users;
}

function unquoted(text: string, quote: string): string {
	return text.startsWith(quote) ? text.slice(1, -1).replaceAll(quote + quote, quote) : text;
}

async function readText(path: string, shown: string): Promise<string> {
	let bytes: Buffer;
	try {
		bytes = await readFile(path);
	} catch (error) {
		const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
		throw new CommandError(code === 'ENOENT' ? `no such file: ${shown}` : `${shown} cannot be read (${code})`);
	}
	if (bytes.length > fileBytesMax) throw new CommandError(`${shown} is larger than ${fileBytesMax} bytes`);
	return bytes.toString('utf8');
}
