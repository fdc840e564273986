/** Reads the project's own sources for the tests that hold its architecture: files, their imports, their syntax. */
import { readdirSync, readFileSync } from 'node:fs';
import { parseSync } from 'oxc-parser';

/** A file of the project. `path` is relative to the project's root, with slashes. */
export interface SourceFile {
	readonly path: string;
	readonly text: string;
}

/** One import, re-export, dynamic import or import type. `specifier` is null where it is no literal. */
export interface Import {
	readonly specifier: string | null;
	/** Nothing of it is left when types are stripped. */
	readonly typeOnly: boolean;
	/** 1-based. */
	readonly line: number;
}

interface Node {
	readonly type: string;
	readonly start: number;
	readonly end: number;
	readonly [key: string]: unknown;
}

const root = new URL('../../', import.meta.url);

/** All TypeScript files of `folder`, a path relative to the project's root. */
export function sourceFiles(folder: string): SourceFile[] {
	const names = readdirSync(new URL(`${folder}/`, root), { recursive: true, encoding: 'utf8' });
	return names
		.filter((name) => name.endsWith('.ts'))
		.sort()
		.map((name) => {
			const path = `${folder}/${name.replaceAll('\\', '/')}`;
			return { path, text: readFileSync(new URL(path, root), 'utf8') };
		});
}

/** Top-level statements of a file. Throws where it does not parse. */
export function statements(file: SourceFile): readonly Node[] {
	const { program, errors } = parseSync(file.path, file.text, { sourceType: 'module' });
	if (errors.length > 0) throw new Error(`${file.path}: ${errors[0]?.message ?? 'does not parse'}`);
	return program.body as unknown as readonly Node[];
}

/** 1-based line of an offset. */
export function lineAt(text: string, offset: number): number {
	return text.slice(0, offset).split('\n').length;
}

/** Every way in which a file names another module, in order. */
export function importsOf(file: SourceFile): Import[] {
	const found: Import[] = [];
	visit(statements(file), (node) => {
		const source = sourceOf(node);
		if (source === undefined) return;
		const specifier = source?.['value'];
		found.push({
			specifier: typeof specifier === 'string' ? specifier : null,
			typeOnly: isTypeOnly(node),
			line: lineAt(file.text, node.start),
		});
	});
	return found;
}

/** The node that names the module, null where there is none to read; undefined where the node imports nothing. */
function sourceOf(node: Node): Node | null | undefined {
	switch (node.type) {
		case 'ImportDeclaration':
		case 'ExportAllDeclaration':
		case 'ImportExpression':
		case 'TSImportType':
			return node['source'] as Node;
		case 'ExportNamedDeclaration':
			return (node['source'] as Node | null) ?? undefined;
		case 'TSImportEqualsDeclaration': {
			const reference = node['moduleReference'] as Node;
			return (reference['expression'] as Node | undefined) ?? null;
		}
		default:
			return isCallOf(node, 'require') ? ((node['arguments'] as Node[])[0] ?? null) : undefined;
	}
}

function isCallOf(node: Node, name: string): boolean {
	const callee = node['callee'] as Node | undefined;
	return node.type === 'CallExpression' && callee?.type === 'Identifier' && callee['name'] === name;
}

function isTypeOnly(node: Node): boolean {
	if (node.type === 'TSImportType') return true;
	if (node['importKind'] === 'type' || node['exportKind'] === 'type') return true;
	const specifiers = node['specifiers'] as Node[] | undefined;
	if (specifiers === undefined || specifiers.length === 0) return false;
	return specifiers.every((one) => one['importKind'] === 'type' || one['exportKind'] === 'type');
}

/** Every node below `from`, parents first. */
export function visit(from: unknown, onNode: (node: Node) => void): void {
	if (Array.isArray(from)) {
		for (const item of from) visit(item, onNode);
		return;
	}
	if (typeof from !== 'object' || from === null) return;
	if (typeof (from as Node).type === 'string') onNode(from as Node);
	for (const value of Object.values(from)) visit(value, onNode);
}
