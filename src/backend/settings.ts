/** Settings that a session has beyond what its backend begins with, and the SQL that leads from one set of them to another. */

const meaningless = /^(?:application_name|portcullis\..*|.*_timeout)$/;

/** Immutable; equal ones have equal keys. */
export class Settings {
	/** By name in lower case; values as SET takes them. */
	readonly values: ReadonlyMap<string, string>;
	readonly key: string;
	#meaning: string | null = null;

	constructor(values: ReadonlyMap<string, string>) {
		this.values = values;
		this.key = JSON.stringify([...values].sort(([a], [b]) => (a < b ? -1 : 1)));
	}

	/** Equal for settings under which a text means the same: without those that only name, limit or tell of a session. */
	get meaning(): string {
		this.#meaning ??= JSON.stringify(
			[...this.values].filter(([name]) => !meaningless.test(name)).sort(([a], [b]) => (a < b ? -1 : 1)),
		);
		return this.#meaning;
	}

	/** With these in place of what they were; null: without that one. The same object when nothing is another. */
	with(changes: ReadonlyMap<string, string | null>): Settings {
		const changed = [...changes].filter(([name, value]) => (this.values.get(name) ?? null) !== value);
		if (changed.length === 0) return this;
		const values = new Map(this.values);
		for (const [name, value] of changed) {
			if (value === null) values.delete(name);
			else values.set(name, value);
		}
		return new Settings(values);
	}
}

export const noSettings = new Settings(new Map());

/**
 * One text for the simple protocol that makes `to` of `from`; empty where there is nothing to do. Every name is looked up
 * in pg_catalog, whatever search_path is in force.
 */
export function settingsChange(from: Settings, to: Settings): string {
	if (from.key === to.key) return '';
	const statements: string[] = [];
	for (const name of from.values.keys()) if (!to.values.has(name)) statements.push(`reset ${quotedName(name)}`);
	const set = [...to.values].filter(([name, value]) => from.values.get(name) !== value);
	if (set.length > 0) statements.push(setting(set));
	return statements.join('; ');
}

/** Sets every one of them, whatever it is. */
export function settingsAnew(settings: Iterable<readonly [string, string]>): string {
	const set = [...settings];
	return set.length === 0 ? '' : setting(set);
}

/** A SELECT of one row: each setting's value as SHOW prints it, null for one that there is not. */
export function settingColumns(names: Iterable<string>): string[] {
	return [...names].map((name) => `pg_catalog.current_setting(${quotedLiteral(name)}, true)`);
}

function setting(set: readonly (readonly [string, string])[]): string {
	const calls = set.map(
		([name, value]) => `pg_catalog.set_config(${quotedLiteral(name)}, ${quotedLiteral(value)}, false)`,
	);
	return `select ${calls.join(', ')}`;
}

/** `portcullis.user` is two identifiers. */
function quotedName(name: string): string {
	return name
		.split('.')
		.map((part) => `"${part.replaceAll('"', '""')}"`)
		.join('.');
}

/** standard_conforming_strings is on: backends with anything else are refused. */
export function quotedLiteral(text: string): string {
	return `'${text.replaceAll("'", "''")}'`;
}
