/** Reads the corpus: statements of people in analytics/, statements of tools in tools/. */
import { readdirSync, readFileSync } from 'node:fs';

/** Statements of one person that belong together, in one session. */
export interface Script {
	/** E.g. `select.sql:12`. */
	readonly place: string;
	readonly statements: readonly string[];
}

/** Statements of one tool, in the order that it sent them. */
export interface Tool {
	readonly name: string;
	/** Which tool it is, in which version, and how the statements were found. */
	readonly source: string;
	/** What it adds to the startup packet. */
	readonly startup?: Readonly<Record<string, string>>;
	readonly statements: readonly ToolStatement[];
}

export interface ToolStatement {
	/** `{regclass crm.customers}` stands for an oid, quoted or not. */
	readonly sql: string;
	readonly params?: readonly (string | null)[];
	/** Why a gateway refuses it all the same; it is not sent. */
	readonly refused?: string;
	/** It reads rows or columns that the policy leaves out. */
	readonly filtered?: boolean;
}

/** Scripts of a file of analytics/: separated by blank lines, each statement ended by a semicolon at the end of a line. */
export function scriptsOf(file: string): Script[] {
	const text = readFileSync(new URL(`./analytics/${file}`, import.meta.url), 'utf8');
	const scripts: Script[] = [];
	let line = 1;
	for (const block of text.split('\n\n')) {
		const statements = block
			.split(/;\n|;$/)
			.map((statement) => statement.trim())
			.filter((statement) => statement !== '');
		if (statements.length > 0) scripts.push({ place: `${file}:${line}`, statements });
		line += block.split('\n').length + 1;
	}
	return scripts;
}

export function tools(): Tool[] {
	const folder = new URL('./tools/', import.meta.url);
	return readdirSync(folder)
		.filter((name) => name.endsWith('.json'))
		.sort()
		.map((name) => {
			const tool = JSON.parse(readFileSync(new URL(name, folder), 'utf8')) as Omit<Tool, 'name'>;
			return { name: name.replace('.json', ''), ...tool };
		});
}

const PLACEHOLDER = /\{(reg\w+) ([^}]+)\}/g;

/** Casts that give the oids of all placeholders in the texts: `'crm.customers'::regclass`. */
export function placeholdersOf(texts: Iterable<string>): Map<string, string> {
	const found = new Map<string, string>();
	for (const text of texts) {
		for (const [whole, type = '', name = ''] of text.matchAll(PLACEHOLDER)) {
			found.set(whole, `'${name.replaceAll("'", "''")}'::${type}`);
		}
	}
	return found;
}

export function withOids(text: string, oids: ReadonlyMap<string, string>): string {
	return text.replace(PLACEHOLDER, (whole) => oids.get(whole) ?? '0');
}
