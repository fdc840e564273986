/** The grammar's own list of node types, read from the parser and from its type declarations, and what a parse tree is made of. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

const require = createRequire(import.meta.url);

/** Type of a field: a node of any type, or one certain type, alone or in a list. */
type FieldType = 'Node' | (string & {});

export interface Grammar {
	/** Node types of the union `Node` in the declarations. */
	readonly declared: readonly string[];
	/** Node types that the parser itself can write out. */
	readonly written: readonly string[];
	/** For each type its fields that hold nodes, with their types. */
	readonly fields: ReadonlyMap<string, ReadonlyMap<string, FieldType>>;
}

export function readGrammar(): Grammar {
	const declarations = readFileSync(join(dirname(require.resolve('@pgsql/types')), 'types.d.ts'), 'utf8');
	const wasm = readFileSync(join(dirname(require.resolve('libpg-query')), 'libpg-query.wasm'), 'latin1');
	return { declared: declaredTags(declarations), written: writtenTags(wasm), fields: fieldsOf(declarations) };
}

/** `export type Node = { ParseResult: ParseResult; } | ...` */
export function declaredTags(declarations: string): string[] {
	const union = /export type Node = ([\s\S]*?);\nexport /.exec(declarations)?.[1];
	if (union === undefined) throw new Error('the declarations have no type Node');
	return [...union.matchAll(/^ {4}(\w+): (\w+);$/gm)].map((match) => match[1] ?? '');
}

/** The parser writes a node as `"SelectStmt":{`; that text stands in its data as a string of its own. */
export function writtenTags(wasm: string): string[] {
	const found = [...wasm.matchAll(/\0"([A-Z]\w+)":\{(?=\0)/g)].map((match) => match[1] ?? '');
	return [...new Set(found)].filter((tag) => !tag.startsWith('PLpgSQL_'));
}

function fieldsOf(declarations: string): Map<string, Map<string, FieldType>> {
	const all = new Map<string, Map<string, FieldType>>();
	for (const [, name = '', body = ''] of declarations.matchAll(/^export interface (\w+) \{\n([\s\S]*?)^\}/gm)) {
		const fields = new Map<string, FieldType>();
		for (const [, field = '', type = ''] of body.matchAll(/^ {4}(\w+)\??: (\w+)(?:\[\])?;$/gm)) fields.set(field, type);
		all.set(name, fields);
	}
	return all;
}

/** Every node type in a tree: those with a tag, and those that a field holds without one. */
export function tagsIn(grammar: Grammar, type: string, value: unknown, into: Set<string> = new Set()): Set<string> {
	if (Array.isArray(value)) {
		for (const entry of value) tagsIn(grammar, type, entry, into);
		return into;
	}
	if (typeof value !== 'object' || value === null) return into;
	if (type === 'Node') {
		for (const [tag, node] of Object.entries(value)) tagsIn(grammar, tag, node, into);
		return into;
	}
	const fields = grammar.fields.get(type);
	if (fields === undefined) return into;
	into.add(type);
	for (const [name, field] of Object.entries(value)) {
		const fieldType = fields.get(name);
		if (fieldType !== undefined) tagsIn(grammar, fieldType, field, into);
	}
	return into;
}
